"""Jobs on a ledger in a store: as on one in a file; and whoever loses the store stops, and nothing is repeated."""

from __future__ import annotations

import asyncio
import os
import platform
import re
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import pytest
from ledgers import set_clock
from pydantic import SecretStr
from sqlalchemy import text
from trial import CREATE, KEY, SHARE, Fault, Onlooker, Trial, envelope, sheet_rows, trial

from batch_share import BatchShare
from batch_share.common import Holder, Rate, utc_now
from batch_share.errors import BatchShareError, DailyLimitReached, LedgerError
from batch_share.jobs.check_up import ask
from batch_share.jobs.job import do
from batch_share.jobs.run import AuditLedger, Resume
from batch_share.jobs.verify import Verification
from batch_share.leadsquared.account import account_name, remember_account
from batch_share.ledger.accounts import open_accounts
from batch_share.ledger.files import LedgerName, read_ledger
from batch_share.ledger.known import open_history
from batch_share.ledger.postgres import StoredName
from batch_share.ledger.states import State
from batch_share.planning.access import who_has_access
from batch_share.planning.intake import show_sheet
from batch_share.planning.plan import SheetOptions
from batch_share.sandbox.sheets import active_users
from batch_share.sending.session import Course, _account_file, open_connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from trial import Step, Wrapper

    from batch_share.ledger.postgres import Store
    from batch_share.ledger.records import Facts
    from batch_share.sandbox.wire import Reply, SandboxCall


@dataclass(slots=True)
class StoredTrial(Trial):
    """A trial whose ledger is in a store."""

    store: Store | None = None

    @property
    def name(self) -> LedgerName:
        """What the ledger is called."""
        assert self.store is not None
        return StoredName(self.store, str(self.folder))


@asynccontextmanager
async def stored(folder: Path, store: Store, *faults: Wrapper) -> AsyncIterator[StoredTrial]:
    """A trial with a sheet of twelve rows."""
    async with trial(folder, *faults) as made:
        yield StoredTrial(made.folder, made.sandbox, made.changes, store=store)


async def test_a_sheet_is_run_again_followed_up_and_revoked(tmp_path: Path, store: Store) -> None:
    async with stored(tmp_path, store, Fault(CREATE, [3], envelope(500, "The service is busy"))) as it:
        first = await it.run()
        assert first.summary.states == {State.SHARED: 11, State.FAILED: 1}
        assert (tmp_path / "leads.results.csv").is_file()
        assert (await it.run()).summary.states == {State.SHARED: 11, State.FAILED: 1}
        await it.retry()
        assert (await it.follow_up()).summary.states == {State.SHARED: 12}
        assert max(Counter(it.leads_sent()).values()) == 1
        with open_history(tmp_path / "elsewhere", it.name) as history:
            job = (await facts(it)).job
            assert {run.ledger for run in history.runs(job=job)} == {it.name}
            assert len([share for share in history.live_after(utc_now()) if share.job == job]) == 12
        await it.revoke()
        assert (await it.follow_up()).summary.states == {State.REVOKED: 12}
        assert it.live() == 0


async def test_a_job_waits_for_another_that_calls_the_account_from_elsewhere(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    onlooker, waits = Onlooker(), asyncio.Queue[Holder]()
    monkeypatch.setattr(Onlooker, "wait_turn", lambda _onlooker, holder: waits.put_nowait(holder))
    async with stored(tmp_path, store) as it:
        account = _account_file(it.settings()).name
        async with open_accounts(store, "doctor") as elsewhere:
            assert await elsewhere.take(account, it.sandbox.url) is None
            run = asyncio.create_task(it.run(onlooker))
            holder = await asyncio.wait_for(waits.get(), 30)
            assert (holder.host, holder.process, holder.command) == (platform.node(), os.getpid(), "doctor")
            assert it.leads_sent() == []
        assert (await run).summary.states == {State.SHARED: 12}
        account = _account_file(it.settings()).name
        async with open_accounts(store, "verify") as elsewhere:
            assert await elsewhere.take(account, it.sandbox.url) is None
            course = Course()
            run = asyncio.create_task(do(Resume(it.name), it.settings(), onlooker, course))
            assert (await asyncio.wait_for(waits.get(), 30)).command == "verify"
            assert (course.progress().waiting_for or Holder()).command == "verify"
            course.stop.ask()
            with pytest.raises(BatchShareError, match="Nothing was sent"):
                await run


async def test_retry_follow_up_and_revoke_wait_for_an_account_that_another_host_calls(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = asyncio.Queue[Holder]()
    monkeypatch.setattr(Onlooker, "wait_turn", lambda _onlooker, holder: waits.put_nowait(holder))
    async with stored(tmp_path, store, Fault(CREATE, [3], envelope(500, "The service is busy"))) as it:
        await it.run()
        account = _account_file(it.settings()).name
        for work, state in ((it.retry, State.SHARED), (it.revoke, State.REVOKED), (it.follow_up, State.REVOKED)):
            async with open_accounts(store, "run") as elsewhere:
                assert await elsewhere.take(account, it.sandbox.url) is None
                before = it.sandbox.report()["total_calls"]
                job = asyncio.create_task(work())
                assert (await asyncio.wait_for(waits.get(), 30)).command == "run", work
                assert it.sandbox.report()["total_calls"] == before, work
            await job
            assert (await it.follow_up()).summary.states == {state: 12}, work
        assert it.live() == 0


async def test_who_has_no_ledger_waits_for_the_account_too(tmp_path: Path, store: Store) -> None:
    url = SecretStr(str(store))
    async with stored(tmp_path, store) as it:
        await it.run()
        calls = len(it.sandbox.journal.calls)
        settings, waits = it.settings(store=url), Onlooker()
        account, options = _account_file(settings).name, SheetOptions.of(settings)
        async with open_accounts(store, "run") as elsewhere:
            assert await elsewhere.take(account, it.sandbox.url) is None
            whose = rf"another batch_share \({platform.node()}, process {os.getpid()}, `run` since "
            assert re.match(whose, (await ask(settings)).why_not)
            it.write(sheet_rows(13))
            sheet, new = tmp_path / "leads.csv", LedgerName.of(tmp_path / "new.db")
            for work in (
                show_sheet(sheet, options, settings, waits, new),
                Verification(settings, waits, "100001", "user1@sales.example.com").carry_out(),
                who_has_access(settings, None, None, None, waits),
                do(AuditLedger(it.name), settings, waits),
            ):
                waits.waited_for.clear()
                waiting = asyncio.create_task(work)
                while not waits.waited_for:
                    await asyncio.wait([waiting], timeout=0.01)
                    assert not waiting.done()
                waiting.cancel()
                await asyncio.wait([waiting])
            assert len(it.sandbox.journal.calls) == calls
        assert (await ask(settings)).why_not == ""


async def test_the_calls_of_a_day_count_over_hosts(tmp_path: Path, store: Store) -> None:
    async with stored(tmp_path, store) as it:
        await it.run()
        calls = len(it.sandbox.journal.calls)
        (tmp_path / "second").mkdir()
        second = StoredTrial(tmp_path / "second", it.sandbox, store=store)
        second.write(sheet_rows(24)[12:])
        ending = await second.run(daily_limit=calls + 6)
        assert isinstance(ending.error, DailyLimitReached)
        assert len(it.sandbox.journal.calls) == calls + 6
        assert (await second.resume(daily_limit=1000)).summary.states == {State.SHARED: 12}


async def test_what_was_learnt_on_one_host_is_known_on_another(tmp_path: Path, store: Store) -> None:
    async with stored(tmp_path, store) as it:
        url = SecretStr(str(store))
        async with open_connection(it.settings(store=url), Onlooker()) as connection:
            connection.memory.keep(rate=Rate(7, 5.0), share_batch=3)
            assert connection.memory.account.calls == 1  # whose the key is
        elsewhere = it.settings(store=url, state_folder=tmp_path / "another", rate=None)
        async with open_connection(elsewhere, Onlooker()) as connection:
            assert connection.pacer.rate == Rate(7, 5.0)
            assert connection.memory.account.share_batch == 3
            assert connection.memory.account.calls == 2
            assert 0.0 < connection.memory.seconds_to_wait(5.0) <= 5.0


async def test_after_a_host_that_was_cut_off_a_whole_period_is_waited_whatever_a_clock_says(
    tmp_path: Path, store: Store
) -> None:
    async with stored(tmp_path, store) as it:
        url = SecretStr(str(store))
        with suppress(ZeroDivisionError):
            async with open_connection(it.settings(store=url), Onlooker()):
                raise ZeroDivisionError
        name = _account_file(it.settings()).name
        with store.looking() as connection:
            long_ago = "UPDATE batch_share.accounts SET called = now() - interval '3 days' WHERE name = :name"
            connection.execute(text(long_ago), {"name": name})
        elsewhere = it.settings(store=url, state_folder=tmp_path / "another")
        remember_account(tmp_path / "another", account_name(it.sandbox.url, SecretStr(KEY)), name.split(".")[0])
        async with open_connection(elsewhere, Onlooker()) as connection:
            assert 5.5 < connection.memory.seconds_to_wait(5.0) <= 6.0
            await asyncio.sleep(0.2)
            assert connection.memory.seconds_to_wait(5.0) <= 5.8


async def facts(it: StoredTrial) -> Facts:
    async with read_ledger(it.name) as ledger:
        return await ledger.facts()


async def test_whoever_loses_the_store_stops_and_another_goes_on(tmp_path: Path, store: Store) -> None:
    async def end_connections(step: Step, call: SandboxCall) -> Reply:
        with store.looking() as connection:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()"
            connection.execute(text(f"{ended} AND datname = current_database()"))
        return await step(call)

    lost = Fault(SHARE, [4], end_connections)
    async with stored(tmp_path, store, lost) as it:
        with pytest.raises(LedgerError, match="the account was given up"):
            await it.run()
        sent = it.leads_sent()
        await it.resume()
        assert (await it.follow_up()).summary.states == {State.SHARED: 12}
        assert len(sent) < 12
        assert max(Counter(it.leads_sent()).values()) == 1


async def test_a_second_host_knows_what_the_first_has_shared(tmp_path: Path, store: Store) -> None:
    async with trial(tmp_path) as it:
        url = SecretStr(str(store))
        first, second = (
            it.settings(
                store=url,
                data_folder=tmp_path / host / "data",
                state_folder=tmp_path / host / "state",
            )
            for host in ("one", "two")
        )
        yes = Onlooker().agree
        name, again = (StoredName(store, f"{tmp_path}-{host}") for host in ("one", "two"))
        async with BatchShare(first, agree=yes) as here, BatchShare(second, agree=yes) as there:
            ended = await here.run(tmp_path / "leads.csv", ledger=name)
            assert ended.summary.states == {State.SHARED: 12}
            planned = await there.plan(tmp_path / "leads.csv", ledger=again)
            assert (planned.already, planned.to_send) == (12, 0)
            ended = await there.run(tmp_path / "leads.csv", ledger=again)
            assert ended.summary.states == {State.SKIPPED: 12}
            assert len(it.leads_sent()) == 12
            runs = [run for run in (await there.runs()).runs if run.ledger in {name, again}]
            assert [(run.ledger, run.ended, run.counts) for run in runs] == [
                (again, "done", {"skipped": 12}),
                (name, "done", {"shared": 12}),
            ]
            assert there.ledger_of(runs[1].id) == name
            access = await there.access()
            assert {(share.ledger, bool(share.lead_number)) for share in access.shares} == {(name, True)}


async def test_old_ledgers_are_purged_by_any_host_and_their_runs_stay(tmp_path: Path, store: Store) -> None:
    async with stored(tmp_path, store) as it:
        await it.run()
        await it.revoke()
        await it.follow_up()
        bs = BatchShare(it.settings(store=SecretStr(str(store)), data_folder=tmp_path / "elsewhere"))
        with store.looking() as connection:
            ended = "UPDATE batch_share.runs SET started_at = started_at - interval '2 days', "
            moved = "ended_at = ended_at - interval '2 days' WHERE ledger = :number"
            connection.execute(text(ended + moved), {"number": cast("StoredName", it.name).number()})
        sweep = await bs.purge("1d")
        (old,) = (old for old in sweep.old if old.known.ledger == it.name)
        assert [file.name for file in old.files] == ["leads.results.csv"]
        sweep = await bs.delete(replace(sweep, old=[old]))
        assert (list(sweep.purged), sweep.kept_at_last) == ([it.name], [])
        assert str(it.name) in sweep.as_json()["deleted"]
        runs = [run for run in (await bs.runs(1000)).runs if run.ledger == it.name]
        assert [run.counts for run in runs if run.command == "follow-up"] == [{"revoked": 12}]
        assert all(run.purged_at for run in runs)
        with pytest.raises(LedgerError, match="was purged on"):
            bs.ledger_of(runs[0].id)
        assert (await it.run()).summary.states == {State.SHARED: 12}


async def test_a_host_whose_clock_is_ahead_purges_and_forgets_nothing_that_is_live(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next run of the sheet, on a host whose clock is right, would share all of it again."""
    async with stored(tmp_path, store) as it:
        await it.run()
        bs = BatchShare(it.settings(store=SecretStr(str(store))))
        set_clock(monkeypatch, timedelta(days=100))
        while all(run.ended is None for run in (await bs.runs()).runs if run.ledger == it.name):
            pass  # it goes on until the server has seen that its connection was closed
        sweep = await bs.purge("90d")
        assert it.name not in {*(old.known.ledger for old in sweep.old), *(kept.ledger for kept in sweep.kept)}
        user = active_users(it.sandbox.world)[0]
        theirs = [share for share in (await bs.access(user.email)).shares if share.ledger == it.name]
        assert {share.user_id for share in theirs} == {user.id}
        number = cast("StoredName", it.name).number()
        with store.looking() as connection:
            ended = text("UPDATE batch_share.runs SET ended_at = '2020-01-01' WHERE ledger = :number")
            connection.execute(ended, {"number": number})
        (kept,) = (each for each in (await bs.purge("90d")).kept if each.ledger == it.name)
        assert kept.why.startswith("12 of its shares are live, the last until ")


async def test_what_is_to_be_renewed_is_to_be_done_also_where_a_hosts_clock_is_behind(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stored(tmp_path, store) as it:
        await it.run()
        with store.looking() as connection:
            sooner = text(
                "UPDATE batch_share.rows SET ends_at = ends_at - interval '6 days' WHERE ledger = :number"
            )
            connection.execute(sooner, {"number": cast("StoredName", it.name).number()})
        set_clock(monkeypatch, timedelta(days=-2))
        for renew, is_due in (("2d", True), ("12h", False)):
            bs = BatchShare(it.settings(store=SecretStr(str(store)), renew=renew))
            assert (await bs.unchanged(tmp_path / "leads.csv", ledger=it.name) is None) is is_due


async def test_a_ledger_with_live_shares_or_of_a_schedule_is_kept(tmp_path: Path, store: Store) -> None:
    async with stored(tmp_path, store) as it:
        await it.run()
        bs = BatchShare(it.settings(store=SecretStr(str(store))))
        number = cast("StoredName", it.name).number()
        with store.looking() as connection:
            ended = text("UPDATE batch_share.runs SET ended_at = '2020-01-01' WHERE ledger = :number")
            connection.execute(ended, {"number": number})
        kept = None
        while kept is None:  # its run goes on until the server has seen that its connection was closed
            sweep = await bs.purge("1d")
            kept = next((each for each in sweep.kept if each.ledger == it.name), None)
        assert kept.why.startswith("12 of its shares are live, the last until ")
        with store.looking() as connection:
            made = "INSERT INTO batch_share.schedules (name, account, options, cron, zone, next) "
            values = "VALUES (:name, 'a', '{}', '0 7 * * *', 'UTC', now())"
            connection.execute(text(made + values), {"name": it.name.short})
        sweep = await bs.purge("1d", force=True)
        (kept,) = (each for each in sweep.kept if each.ledger == it.name)
        assert kept.why == f"it is of the schedule {it.name.short}"
