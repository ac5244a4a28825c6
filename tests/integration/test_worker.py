"""A worker in this process: what is handed over is done as a run does it, once, and by one worker."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from ledgers import set_clock
from psycopg_pool import AsyncConnectionPool
from pydantic import SecretStr
from queues import emptied, ended, hand_over, places
from sqlalchemy import text
from stores import server
from trial import KEY, SECRET, Trial, sheet_rows, trial

from batch_share.cluster.engine import waking
from batch_share.cluster.queue import Queue, Wanted
from batch_share.cluster.worker import Worker
from batch_share.common import Rate, utc_now
from batch_share.errors import LedgerTooNew
from batch_share.ledger.files import read_ledger
from batch_share.ledger.postgres import ENGINE, StoredName, shared
from batch_share.ledger.states import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path
    from typing import Any

    from trial import Step

    from batch_share.ledger.postgres import Store
    from batch_share.sandbox.wire import Reply, SandboxCall
    from batch_share.settings import Settings


def worker_for(it: Trial, store: Store, said: list[str]) -> Worker:
    def settings(given: Mapping[str, Any]) -> Settings:
        return it.settings(**given)

    return Worker(store, {it.sandbox.url: settings}, said.append)


async def test_what_is_submitted_is_done_and_its_results_are_those_of_a_run(tmp_path: Path, store: Store) -> None:
    queue, said = emptied(store), list[str]()
    async with trial(tmp_path) as it:
        job = await hand_over(it, queue, f"{tmp_path}-s")
        assert (job.state, job.sheet is not None) == ("queued", True)
        await worker_for(it, store, said).work(once=True)
        over = queue.job(job.id)
        assert (over.state, over.exit_code, over.error) == ("ended", 0, None)
        async with read_ledger(StoredName(store, job.ledger)) as ledger:
            assert await ledger.counts() == {State.SHARED: 12}
        assert max(Counter(it.leads_sent()).values()) == 1
        assert over.progress is not None
        assert over.progress["states"] == {"shared": 12}
    assert [line.partition(" ")[0] for line in said] == ["job", "job"]


async def test_what_was_approved_is_done_also_where_a_workers_clock_is_ahead(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, said, end = emptied(store), list[str](), utc_now() + timedelta(days=1)
    async with trial(tmp_path) as it:
        leads = "".join(f"{lead},{user},{end.isoformat()}Z\n" for lead, _, user, *_ in sheet_rows(3))
        (tmp_path / "leads.csv").write_text(f"Lead Id,User Id,Until\n{leads}", encoding="utf-8")
        job = await hand_over(it, queue, f"{tmp_path}-u", event="201")
        set_clock(monkeypatch, timedelta(days=3))
        await worker_for(it, store, said).work(once=True)
        assert queue.job(job.id).exit_code == 0
        async with read_ledger(StoredName(store, job.ledger)) as ledger:
            assert await ledger.counts() == {State.SHARED: 3}


async def test_whoever_is_called_looks_at_once(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, said = emptied(store), list[str]()
    monkeypatch.setattr("batch_share.cluster.worker.LOOK", 40.0)  # seconds between its own looks, below the lease
    async with trial(tmp_path) as it:
        working = asyncio.create_task((worker := worker_for(it, store, said)).work())
        listens = (
            "SELECT EXISTS (SELECT FROM pg_stat_activity "
            "WHERE query ILIKE 'LISTEN %' AND datname = current_database())"
        )
        while True:
            with store.looking() as connection:
                if connection.scalar(text(listens)):
                    break
            await asyncio.sleep(0.05)
        for _ in range(3):
            job = await hand_over(it, queue, f"{tmp_path}-c")
            async with asyncio.timeout(20):  # its own look would come later
                while queue.job(job.id).state == "queued":  # noqa: ASYNC110 - a thread's doing
                    await asyncio.sleep(0.02)
            queue.cancel(job.id)
            await ended(queue, job)
        worker.drain()
        await working


async def test_what_the_engine_has_left_behind_changes_nothing(tmp_path: Path) -> None:
    """Jobs of it that hang, workers that it knows no more, and nobody who is told: the look finds what is due."""
    said = list[str]()
    with server() as running:
        store = running.store()
        store.init()
        queue = Queue(store)
        async with trial(tmp_path) as it:
            job = await hand_over(it, queue, f"{tmp_path}-e")
            with store.looking() as connection:
                connection.execute(text(f"SET LOCAL search_path = {ENGINE}"))
                connection.execute(text("UPDATE procrastinate_jobs SET status = 'doing'"))
            again = await hand_over(it, queue, f"{tmp_path}-e2")
            with store.looking() as connection:
                connection.execute(text(f"SET LOCAL search_path = {ENGINE}"))
                connection.execute(text("DELETE FROM procrastinate_workers"))
                told = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'procrastinate_jobs'::regclass "
                triggers = connection.scalars(text(f"{told} AND tgname LIKE '%notify%'")).all()
                assert triggers
                for name in triggers:
                    connection.execute(text(f"ALTER TABLE procrastinate_jobs DISABLE TRIGGER {name}"))
            await worker_for(it, store, said).work(once=True)
            assert [queue.job(each.id).exit_code for each in (job, again)] == [0, 0]
            with store.looking() as connection:
                connection.execute(text(f"DROP SCHEMA {ENGINE} CASCADE"))
            last = await hand_over(it, queue, f"{tmp_path}-e3")
            await worker_for(it, store, said).work(once=True)
            assert queue.job(last.id).exit_code == 0
        shared(store).dispose()


async def test_an_engine_that_is_broken_changes_nothing(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, said = emptied(store), list[str]()
    monkeypatch.setattr("batch_share.cluster.engine._OPTIONS", {"search_path": "nowhere"})
    async with trial(tmp_path) as it:
        job = await hand_over(it, queue, f"{tmp_path}-b")
        await worker_for(it, store, said).work(once=True)
        assert queue.job(job.id).exit_code == 0


async def test_an_engine_that_does_not_hear_that_it_is_to_end_keeps_nobody(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = list[str]()

    async def deaf(*_given: object, **_options: object) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            heard.append("once")

    emptied(store)
    monkeypatch.setattr("procrastinate.App.run_worker_async", deaf)
    async with trial(tmp_path) as it:
        worker = worker_for(it, store, [])
        working = asyncio.create_task(worker.work())
        await asyncio.sleep(1)
        worker.drain()
        await asyncio.wait_for(working, 30)
    assert heard


async def test_who_is_to_end_while_its_engine_only_begins_leaves_nothing_that_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by SIGTERM in its first second: a task of the pool that did not hear of it kept the process for ever."""
    opened, whole, pools = asyncio.Event(), AsyncConnectionPool.open, list[AsyncConnectionPool]()

    async def slow(pool: AsyncConnectionPool, **_given: object) -> None:
        await whole(pool)
        pools.append(pool)
        opened.set()
        await asyncio.sleep(3600)

    monkeypatch.setattr(AsyncConnectionPool, "open", slow)
    async with waking(store, ["spring"], lambda: None):
        await opened.wait()
    left = [task for task in asyncio.all_tasks() if task.get_name().startswith("pool-")]
    await pools[0].close()  # else what is left would keep the tests, too
    assert left == []


@asynccontextmanager
async def slow_trial(folder: Path) -> AsyncIterator[tuple[Trial, asyncio.Event]]:
    """One whose sheet takes seconds, and what happens once its first call arrives."""
    posted = asyncio.Event()

    async def tell(step: Step, call: SandboxCall) -> Reply:
        posted.set()
        return await step(call)

    async with trial(folder, tell, rate=Rate(10, 0.5), rows=24) as it:
        it.changes["rate"] = Rate(10, 0.5)
        yield it, posted


async def test_who_is_told_to_drain_gives_its_job_back_and_another_ends_it(tmp_path: Path, store: Store) -> None:
    queue, said = emptied(store), list[str]()
    async with slow_trial(tmp_path) as (it, posted):
        job = await hand_over(it, queue, f"{tmp_path}-d")
        first = worker_for(it, store, said)
        working = asyncio.create_task(first.work())
        await asyncio.wait_for(posted.wait(), 60)
        first.drain()
        await working
        assert queue.job(job.id).state == "running"
        await worker_for(it, store, said).work(once=True)
        over = queue.job(job.id)
        assert (over.state, over.exit_code) == ("ended", 0)
        assert max(Counter(it.leads_sent()).values()) == 1


async def test_who_loses_its_place_while_its_job_waits_for_a_ledger_is_back_at_once(
    tmp_path: Path, store: Store
) -> None:
    """Else all its accounts stood still for as long as somebody used that ledger."""
    queue, said = emptied(store), list[str]()
    name = StoredName(store, f"{tmp_path}-l")
    name.number(make=True)
    async with trial(tmp_path) as it:
        with name.locked():
            job = await hand_over(it, queue, name.name)
            working = asyncio.create_task((worker := worker_for(it, store, said)).work())
            async with asyncio.timeout(60):
                while queue.job(job.id).state != "running":  # noqa: ASYNC110 - a thread's doing
                    await asyncio.sleep(0.05)
            (lost,) = places(store)
            with store.looking() as connection:
                connection.execute(text(f"SELECT pg_terminate_backend({lost})"))
            async with asyncio.timeout(60):
                while not places(store) - {lost}:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.05)
        over = await ended(queue, job)
        assert (over.state, over.exit_code) == ("ended", 0)
        assert max(Counter(it.leads_sent()).values()) == 1
        worker.drain()
        await working


async def test_a_plan_that_is_not_the_approved_one_is_refused(tmp_path: Path, store: Store) -> None:
    queue, said = emptied(store), list[str]()
    async with trial(tmp_path) as it:
        job = await hand_over(it, queue, f"{tmp_path}-p")
        with store.looking() as connection:
            connection.execute(text("UPDATE batch_share.stored_sheets SET bytes = bytes || '\n'::bytea"))
        await worker_for(it, store, said).work(once=True)
        over = queue.job(job.id)
        assert (over.state, over.exit_code) == ("ended", 1)
        assert "approved" in (over.error or "")
        assert it.leads_sent() == []


async def test_no_key_is_in_the_store(tmp_path: Path, store: Store) -> None:
    queue, said = emptied(store), list[str]()
    async with trial(tmp_path) as it:
        await hand_over(it, queue, f"{tmp_path}-k")
        await worker_for(it, store, said).work(once=True)
    with store.looking() as connection:
        tables = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname LIKE 'batch_share%'"
        for table in connection.scalars(text(tables)).all():
            rows = connection.scalars(text(f"SELECT t::text FROM {table} AS t")).all()
            assert not [row for row in rows if KEY in row or SECRET in row], table
    assert said
    assert not [line for line in said if KEY in line or SECRET in line]


async def test_two_keys_of_one_account_are_one_at_a_time(tmp_path: Path, store: Store) -> None:
    """By the account's lock, whichever names they have in the settings: never a call too many."""
    queue, said = emptied(store), list[str]()
    async with trial(tmp_path, rate=Rate(10, 0.5)) as it:
        it.changes["rate"] = Rate(10, 0.5)
        first, second = await hand_over(it, queue, f"{tmp_path}-1"), await hand_over(it, queue, f"{tmp_path}-2")
        with store.looking() as connection:
            connection.execute(text(f"UPDATE batch_share.jobs SET account = 'other' WHERE id = {second.id}"))

        def settings(given: Mapping[str, Any]) -> Settings:
            return it.settings(**given)

        workers = [Worker(store, {account: settings}, said.append) for account in (it.sandbox.url, "other")]
        await asyncio.gather(*(worker.work(once=True) for worker in workers))
        assert [queue.job(each.id).exit_code for each in (first, second)] == [0, 0], said
        report = it.sandbox.report()
        assert (report["refusals"], report["fullest_window"] <= 10) == (0, True)


async def test_a_store_that_takes_no_intents_rests_its_job_and_lets_no_call_leave(
    tmp_path: Path, own_store: Store
) -> None:
    """As one whose disk is full: what is not noted is not sent."""
    store, said, full = own_store, list[str](), "batch_share.is_full"
    queue = Queue(store)
    async with slow_trial(tmp_path) as (it, posted):
        job = await hand_over(it, queue, f"{tmp_path}-full")
        working = asyncio.create_task((worker := worker_for(it, store, said)).work())
        await asyncio.wait_for(posted.wait(), 60)
        with store.looking() as connection:
            body = "BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END"
            connection.execute(text(f"CREATE FUNCTION {full}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"))
            refuse = "CREATE TRIGGER is_full BEFORE INSERT ON batch_share.attempts EXECUTE FUNCTION"
            connection.execute(text(f"{refuse} {full}()"))
        async with asyncio.timeout(60):
            while (rests := queue.job(job.id)).error is None:  # noqa: ASYNC110 - the worker's doing
                await asyncio.sleep(0.05)
        assert (rests.state, "its disk is full" in (rests.error or "")) == ("running", True)
        sent = len(it.leads_sent())
        await asyncio.sleep(0.5)
        assert len(it.leads_sent()) == sent < 24
        with store.looking() as connection:
            connection.execute(text(f"DROP FUNCTION {full}() CASCADE"))
            connection.execute(text("UPDATE batch_share.jobs SET rests_until = now()"))
        over = await ended(queue, job)
        assert (over.state, over.exit_code, over.error) == ("ended", 0, None)
        assert max(Counter(it.leads_sent()).values()) == 1
        worker.drain()
        await working


async def test_two_stores_that_have_one_account_are_told_of_and_send_nothing_twice(
    tmp_path: Path, store: Store, own_store: Store
) -> None:
    """Nobody can keep them from each other: what is refused is sent later, more slowly, and both come to an end."""
    said, queues = list[str](), (emptied(store), Queue(own_store))
    async with trial(tmp_path, rate=Rate(10, 0.5), rows=24) as it:
        it.changes |= {"rate": Rate(10, 0.5)}
        jobs = []
        for queue, leads in zip(queues, (slice(0, 12), slice(12, 24)), strict=True):
            it.write(sheet_rows(24, it.sandbox.world)[leads])
            jobs.append(await hand_over(it, queue, f"{tmp_path}-two"))
        await asyncio.gather(*(worker_for(it, each.store, said).work(once=True) for each in queues))
        assert [queue.job(job.id).exit_code for queue, job in zip(queues, jobs, strict=True)] == [0, 0], said
        report = it.sandbox.report()
        assert (report["duplicates"], report["activities"], report["refusals"] > 0) == (0, 24, True)
    assert [line for line in said if "somebody else calls it" in line]


async def test_a_worker_whose_store_is_upgraded_ends_its_calls_and_leaves_its_job(
    tmp_path: Path, store: Store
) -> None:
    queue, said = emptied(store), list[str]()
    async with slow_trial(tmp_path) as (it, posted):
        job = await hand_over(it, queue, f"{tmp_path}-u")
        working = asyncio.create_task(worker_for(it, store, said).work())
        await asyncio.wait_for(posted.wait(), 60)
        try:
            with store.looking() as connection:
                connection.execute(text("UPDATE batch_share.store SET version = version + 1"))
            with pytest.raises(LedgerTooNew, match="Update batch_share"):
                await asyncio.wait_for(working, 60)
        finally:
            with store.looking() as connection:
                connection.execute(text("UPDATE batch_share.store SET version = version - 1"))
        assert queue.job(job.id).state == "running"
        await worker_for(it, store, said).work(once=True)
        assert queue.job(job.id).exit_code == 0
        assert max(Counter(it.leads_sent()).values()) == 1


def due(queue: Queue) -> None:
    """Whatever waits is due now."""
    with queue.store.looking() as connection:
        connection.execute(text("UPDATE batch_share.jobs SET due = now() WHERE state = 'queued'"))


async def test_what_is_still_in_process_is_followed_up_by_itself(tmp_path: Path, store: Store) -> None:
    """And told once it is known: nobody is told each time that nothing is heard yet."""
    queue, said, told = emptied(store), list[str](), tmp_path / "told.jsonl"
    async with trial(tmp_path, processing=3600.0) as it:
        it.changes["notify"] = SecretStr(str(told))
        job = await hand_over(it, queue, f"{tmp_path}-f")
        for _ in range(2):
            await worker_for(it, store, said).work(once=True)
            due(queue)
        assert [(each.kind, each.exit_code) for each in queue.jobs()] == [
            ("follow_up", None),
            ("follow_up", 5),
            ("run", 5),
        ]
        it.put_forward(36_000)
        await worker_for(it, store, said).work(once=True)
        assert [each.exit_code for each in queue.jobs()] == [0, 5, 5]
        async with read_ledger(StoredName(store, job.ledger)) as ledger:
            assert await ledger.counts() == {State.SHARED: 12}
        assert max(Counter(it.leads_sent()).values()) == 1
    lines = [json.loads(line) for line in told.read_text().splitlines()]
    assert [(each["command"], each["exit_code"]) for each in lines] == [("run", 5), ("follow-up", 0)]


async def test_what_stopped_a_job_before_its_first_call_is_told(tmp_path: Path, store: Store) -> None:
    queue, said, told = emptied(store), list[str](), tmp_path / "told.jsonl"
    async with trial(tmp_path) as it:
        it.changes["notify"] = SecretStr(str(told))
        await hand_over(it, queue, f"{tmp_path}-n")
        with store.looking() as connection:
            connection.execute(text("UPDATE batch_share.stored_sheets SET bytes = bytes || '\n'::bytea"))
        await worker_for(it, store, said).work(once=True)
    ((line),) = [json.loads(line) for line in told.read_text().splitlines()]
    assert (line["command"], line["exit_code"], "approved" in line["ended"]) == ("run", 1, True), line["ended"]


async def test_a_schedule_that_did_not_run_is_told_by_whoever_looks_next(tmp_path: Path, store: Store) -> None:
    """A worker that has the keys of another account alone is told too."""
    queue, said, told = emptied(store), list[str](), tmp_path / "told.jsonl"
    async with trial(tmp_path) as it:
        it.changes["notify"] = SecretStr(str(told))
        queue.add_schedule("nightly", "0 7 * * *", "Asia/Kolkata", Wanted("nightly", "other", "asha"))
        with store.looking() as connection:
            connection.execute(text("UPDATE batch_share.schedules SET next = '2026-01-01 01:30+00'"))
        await worker_for(it, store, said).work(once=True)
    ((line),) = [json.loads(line) for line in told.read_text().splitlines()]
    assert (line["command"], line["file"], line["exit_code"]) == ("schedule", "nightly", 1)
    assert line["text"].startswith("batch-share schedule of nightly: did not run at 2026-01-01 07:00: no worker")
    assert "did not run at 2026-01-01 07:00" in said[0]
    assert len(queue.jobs()) == 1


async def test_a_forced_job_whose_end_nobody_was_told_of_is_not_sent_again(tmp_path: Path, store: Store) -> None:
    """Its worker was killed between the end of the run and the next look: to go on is not to force once more."""
    queue, said = emptied(store), list[str]()
    async with trial(tmp_path) as it:
        job = await hand_over(it, queue, f"{tmp_path}-f", force=True)
        for _ in range(2):
            await worker_for(it, store, said).work(once=True)
            assert queue.job(job.id).exit_code == 0
            assert max(Counter(it.leads_sent()).values()) == 1
            with store.looking() as connection:
                change = (
                    "UPDATE batch_share.jobs SET state = 'running', exit_code = NULL, ended = NULL, worker = NULL"
                )
                connection.execute(text(change))
        again = await hand_over(it, queue, f"{tmp_path}-f", force=True)
        await worker_for(it, store, said).work(once=True)
        assert queue.job(again.id).exit_code == 0
        assert {*Counter(it.leads_sent()).values()} == {2}, "another job that is forced is meant"
