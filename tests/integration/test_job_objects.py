"""Jobs as objects: looked at, waited for, stopped, agreed to much later, and two of them at once."""

from __future__ import annotations

import asyncio
import csv
import logging
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from trial import CREATE, DROPPED, FAST, SHARE, Fault, Trial, envelope, options, sheet_rows, trial
from virtual_time import run_virtually
from virtual_trial import START, in_virtual_time, wall

from batch_share import BatchShare, BatchShareError, Holder, Preview, SettingsError, State
from batch_share.common import Rate
from batch_share.errors import NotConfirmed
from batch_share.leadsquared import account
from batch_share.leadsquared.account import AccountMemory
from batch_share.results.wording import ExitCode
from batch_share.sandbox.wire import throttled
from batch_share.sending import session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from trial import Step, Wrapper

    from batch_share import Job, Progress
    from batch_share.sandbox.wire import Reply, SandboxCall

STRICT = Rate(5, 5.0)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the account asks often."""
    monkeypatch.setattr(account, "ASK_AGAIN", 0.01)


def late_by(seconds: float) -> Wrapper:
    """A call is answered so much later."""

    async def answer(step: Step, call: SandboxCall) -> Reply:
        reply = await step(call)
        await asyncio.sleep(seconds)
        return reply

    return answer


async def seen(job: Job[Any]) -> list[Progress]:
    return [progress async for progress in job]


# ------------------------------------------------------------------------------------------- one job


async def test_every_kind_of_job_is_started_in_one_way(tmp_path: Path) -> None:
    async with trial(tmp_path) as it, BatchShare(it.settings()) as bs:
        run = await bs.start("run", tmp_path / "leads.csv")
        assert (run.kind, run.ledger, run.preview, run.is_done) == ("run", it.name, None, False)
        ending = await run
        assert str(ending.summary) == "12 rows: 12 shared"
        assert await run is ending
        assert isinstance(run.preview, Preview)
        assert run.preview.to_send == 12
        others = [
            await bs.start("resume", it.ledger),
            await bs.start("resume", it.ledger, only_unknown=True),
            await bs.start("retry", it.ledger, reason="gone"),
            await bs.start("follow_up", it.ledger),
            await bs.start("audit", it.ledger),
            await bs.start("revoke", it.ledger, rows="2-3"),
        ]
        with pytest.raises(BatchShareError, match="is working on it"):  # six at once on one ledger
            await others[1]
        for job in others:
            await job.over()
        assert len({job.id for job in (run, *others)}) == 7
        await (await bs.start("revoke", it.ledger, rows="2-4"))
        assert (await bs.status(it.ledger)).states == {State.SHARED: 9, State.REVOKED: 3}


@pytest.mark.parametrize(
    ("kind", "reported", "error", "words"),
    [
        ("share", {}, ValueError, "one of run, resume, retry, revoke, follow_up, audit, not 'share'"),
        ("run", {"rows": "2-3"}, TypeError, "run is not told rows"),
        ("revoke", {"reason": "gone"}, TypeError, "revoke is not told reason"),
        ("resume", {"options": object()}, TypeError, "resume is not told options"),
        ("revoke", {"rows": " "}, SettingsError, "rows"),
        ("retry", {"reason": ""}, SettingsError, "reason"),
    ],
)
async def test_what_a_job_is_not_told_is_never_passed_over(
    tmp_path: Path, kind: Any, reported: dict[str, Any], error: type[Exception], words: str
) -> None:
    async with trial(tmp_path) as it, BatchShare(it.settings()) as bs:
        await bs.run(tmp_path / "leads.csv")
        with pytest.raises(error, match=words):
            await (await bs.start(kind, it.ledger, **reported))
        assert it.live() == 12


async def test_each_reader_sees_the_progress_from_the_beginning_to_the_end(tmp_path: Path) -> None:
    async def slowly(job: Job[Any]) -> list[Progress]:
        reported: list[Progress] = []
        async for progress in job:
            reported.append(progress)
            await asyncio.sleep(0.3)
        return reported

    async with trial(tmp_path, latency=0.01) as it, BatchShare(it.settings(workers=1), every=0.01) as bs:
        job = await bs.start("run", tmp_path / "leads.csv")
        quick, slow, _ = await asyncio.gather(seen(job), slowly(job), job)
        assert len(quick) > len(slow) > 1
        for reported in (quick, slow):
            assert reported[0].states == {}
            assert reported[-1].states == {State.SHARED: 12}
            assert [each.calls for each in reported] == sorted(each.calls for each in reported)
            assert {each.job for each in reported} == {job.id}
        assert any(each.states.get(State.PENDING) for each in slow), "the newest then, not the oldest"
        assert await seen(job) == [job.progress] == [quick[-1]]


async def test_a_job_that_is_stopped_ends_in_good_order(tmp_path: Path) -> None:
    async with trial(tmp_path, latency=0.01) as it, BatchShare(it.settings(workers=1), every=0.001) as bs:
        job = await bs.start("run", tmp_path / "leads.csv")
        async for progress in job:
            if progress.states.get(State.ACCEPTED):
                job.stop()
                assert job.progress.stopping
        ending = await job
        assert (ending.exit_code, ending.interrupted) == (ExitCode.INTERRUPTED, True)
        assert State.UNKNOWN not in ending.summary.states
        assert 0 < ending.summary.states[State.PENDING] < 12
        assert (await bs.run(tmp_path / "leads.csv")).summary.states == {State.SHARED: 12}
        assert len(it.leads_sent()) == 12


async def test_a_job_that_is_stopped_before_it_began_sends_nothing(tmp_path: Path) -> None:
    async with trial(tmp_path) as it, BatchShare(it.settings()) as bs:
        job = await bs.start("run", tmp_path / "leads.csv")
        job.stop()
        assert (await job).interrupted
        assert it.sandbox.report()["total_calls"] == 0


async def test_a_job_that_is_cut_leaves_what_the_next_one_settles(tmp_path: Path) -> None:
    async with trial(tmp_path, latency=0.05) as it, BatchShare(it.settings(), every=0.001) as bs:
        job = await bs.start("run", tmp_path / "leads.csv")
        async for progress in job:
            if progress.states.get(State.POSTING):
                job.cut()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert job.is_done
        assert (await bs.run(tmp_path / "leads.csv")).summary.states == {State.SHARED: 12}
        assert len(it.leads_sent()) == 12


async def test_who_waits_for_a_job_may_be_cancelled_and_the_job_goes_on(tmp_path: Path) -> None:
    async def wait(job: Job[Any]) -> None:
        await job

    async with trial(tmp_path) as it, BatchShare(it.settings()) as bs:
        job = await bs.start("run", tmp_path / "leads.csv")
        waiting = asyncio.create_task(wait(job))
        await asyncio.sleep(0)
        waiting.cancel()
        assert (await job).summary.states == {State.SHARED: 12}


async def test_the_method_is_the_whole_job_so_to_cancel_it_cuts(tmp_path: Path) -> None:
    async with trial(tmp_path, latency=0.05) as it, BatchShare(it.settings()) as bs:
        running = asyncio.create_task(bs.run(tmp_path / "leads.csv"))
        while not it.sent(CREATE):  # noqa: ASYNC110 - the sandbox tells nobody
            await asyncio.sleep(0.001)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert (await bs.run(tmp_path / "leads.csv")).summary.states == {State.SHARED: 12}


async def test_leaving_stops_the_jobs_and_waits_for_them(tmp_path: Path) -> None:
    async with trial(tmp_path, latency=0.01) as it:
        async with BatchShare(it.settings(workers=1)) as bs:
            job = await bs.start("run", tmp_path / "leads.csv")
            while len(it.sent(CREATE)) < 3:  # noqa: ASYNC110 - the sandbox tells nobody
                await asyncio.sleep(0.001)
        assert job.is_done
        assert (await job).interrupted
        assert not {State.POSTING, State.SHARING, State.UNKNOWN} & {*(await job).summary.states}


async def test_who_is_cancelled_while_leaving_cuts_the_jobs(tmp_path: Path) -> None:
    async def leave(it: Trial, jobs: list[Job[Any]]) -> None:
        async with BatchShare(it.settings(workers=1)) as bs:
            jobs.append(await bs.start("run", tmp_path / "leads.csv"))
            while not it.sent(CREATE):  # noqa: ASYNC110 - the sandbox tells nobody
                await asyncio.sleep(0.001)

    async with trial(tmp_path, Fault(CREATE, [1], late_by(30.0))) as it:
        jobs: list[Job[Any]] = []
        leaving = asyncio.create_task(leave(it, jobs))
        while not (jobs and jobs[0].progress.stopping):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(leaving, 60)
        assert jobs[0].is_done
        assert (await it.run()).summary.states == {State.SHARED: 12}
        assert len(it.leads_sent()) == 12


async def test_a_follow_up_follows_up_whatever_the_settings_say(tmp_path: Path) -> None:
    async with trial(tmp_path) as it, BatchShare(it.settings(follow_up=False)) as bs:
        assert (await bs.run(tmp_path / "leads.csv")).summary.states == {State.ACCEPTED: 12}
        assert (await bs.follow_up(it.ledger)).summary.states == {State.SHARED: 12}


async def test_an_error_that_nobody_foresaw_is_raised_by_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise ZeroDivisionError

    async with trial(tmp_path) as it, BatchShare(it.settings()) as bs:
        monkeypatch.setattr("batch_share.jobs.run.send_rows", fail)
        job = await bs.start("run", tmp_path / "leads.csv")
        with pytest.raises(ZeroDivisionError):
            await job
        assert (await seen(job))[-1].states == {State.PENDING: 12}
        monkeypatch.undo()
        assert (await bs.run(tmp_path / "leads.csv")).summary.states == {State.SHARED: 12}


# ------------------------------------------------------------------------------------------- what is shown of it


def virtual(folder: Path, monkeypatch: pytest.MonkeyPatch, *faults: Any, rows: int = 12, **changes: Any) -> Trial:
    """A trial in virtual time, the memory of the account with it, that keeps a strict limit."""
    reported = options(rate=STRICT, latency=0.1, processing=1.0)
    it = in_virtual_time(folder, monkeypatch, reported, *faults, rows=rows, rate=STRICT, wait=60.0, **changes)
    monkeypatch.setattr(session, "AccountMemory", partial(AccountMemory, wall_clock=lambda: wall().timestamp()))
    return it


def test_progress_tells_what_is_waited_for_and_how_long_it_takes_if_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = virtual(tmp_path, monkeypatch, daily_limit=500)

    async def watched() -> list[Progress]:
        async with BatchShare(it.settings(), every=0.25) as bs:
            return await seen(await bs.start("run", it.folder / "leads.csv"))

    reported = run_virtually(watched())
    lookups = [each.looked_up for each in reported if each.looked_up is not None]
    assert lookups == sorted(lookups)
    assert lookups[-1][0] == lookups[-1][1] > 0
    etas = [each.eta for each in reported if each.eta is not None and not each.is_looking_up]
    assert etas[0] > etas[-1] > 0
    awaited = [each.awaited for each in reported if each.awaited is not None]
    for each in awaited:
        assert each.until.tzinfo is UTC
        assert each.again is None or each.again <= each.until
    assert reported[-1].eta is None
    assert reported[-1].daily == (reported[-1].calls, 500)
    assert [each.daily[0] for each in reported if each.daily] == sorted(
        each.daily[0] for each in reported if each.daily
    )


async def test_progress_tells_of_an_outage(tmp_path: Path) -> None:
    async with trial(tmp_path) as it, BatchShare(it.settings(host="http://127.0.0.1:9"), every=0.01) as bs:
        job = await bs.start("run", tmp_path / "leads.csv")
        async for progress in job:
            if progress.outage is not None:
                assert (progress.outage.tries, progress.outage.most) == (1, 7)
                assert "no connection" in progress.outage.words
                job.stop()
        assert (await job).interrupted


async def test_progress_tells_until_when_leadsquared_wants_no_call(tmp_path: Path) -> None:
    slow_down = throttled(FAST, 429, 20.0)
    async with trial(tmp_path, Fault(CREATE, [1], slow_down)) as it, BatchShare(it.settings(), every=0.01) as bs:
        job = await bs.start("run", tmp_path / "leads.csv")
        async for progress in job:
            if progress.held is not None:
                assert 0 < (progress.held.until - datetime.now(UTC)).total_seconds() <= 20
                assert (progress.refusals, progress.eta) == (1, None)
                job.stop()
        assert (await job).interrupted


async def test_what_nobody_knows_has_no_time_left(tmp_path: Path) -> None:
    lost = Fault(CREATE, [1], DROPPED, applied=True)
    async with trial(tmp_path, lost, latency=0.01) as it, BatchShare(it.settings(workers=1), every=0.001) as bs:
        reported = await seen(await bs.start("run", tmp_path / "leads.csv"))
        unknown = [each for each in reported if each.states.get(State.UNKNOWN)]
        assert unknown
        assert {each.eta for each in unknown} == {None}
        assert any(each.eta for each in reported)


# ------------------------------------------------------------------------------------------- two at once


@asynccontextmanager
async def beside(it: Trial, first: int, last: int, **changes: Any) -> AsyncIterator[Trial]:
    """Another sheet of the same account, with the rows of these leads."""
    folder = it.folder / "other"
    folder.mkdir()
    shared = {"state_folder": it.folder / "state", "data_folder": it.folder / "data"}
    other = Trial(folder, it.sandbox, it.changes | shared | changes)
    other.write(sheet_rows(last)[first:])
    yield other


async def test_two_jobs_of_one_account_take_turns_and_do_not_mix(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "batch_share")
    heard: list[Progress] = []
    async with trial(tmp_path, latency=0.01) as it, beside(it, 12, 20) as other:
        async with BatchShare(it.settings(workers=2), on_progress=heard.append, every=0.01) as bs:
            first = await bs.start("run", it.folder / "leads.csv")
            while not it.sent(CREATE):  # noqa: ASYNC110 - the sandbox tells nobody
                await asyncio.sleep(0.001)
            second = await bs.start("run", other.folder / "leads.csv")
            reported = dict(zip((first, second), await asyncio.gather(seen(first), seen(second)), strict=True))
            endings = [await first, await second]
        assert [each.summary.states for each in endings] == [{State.SHARED: 12}, {State.SHARED: 8}]
        assert {each.waiting_for for each in reported[first]} == {None}
        assert Holder(None) in {each.waiting_for for each in reported[second]}
        assert {sum(each.states.values()) for each in reported[first]} <= {0, 12}
        assert {sum(each.states.values()) for each in reported[second]} <= {0, 8}
        for job in (first, second):
            assert job.progress in heard
            assert {each.job for each in reported[job]} == {job.id}
        assert it.sandbox.report()["duplicates"] == 0
        assert it.sandbox.report()["total_calls"] == first.progress.calls + second.progress.calls
    runs = {(vars(record)["run"], record.getMessage()) for record in caplog.records if vars(record).get("run")}
    for name in ("started", "planned", "ended"):
        assert {run for run, message in runs if message == name} == {each.summary.run for each in endings}


async def test_two_accounts_are_called_at_the_same_time(tmp_path: Path) -> None:
    async with trial(tmp_path, latency=0.01) as one:
        (tmp_path / "two").mkdir()
        async with trial(tmp_path / "two", latency=0.01) as two:
            both = BatchShare(one.settings(workers=1)), BatchShare(two.settings(workers=1))
            jobs = [await bs.start("run", it.folder / "leads.csv") for bs, it in zip(both, (one, two), strict=True)]
            reported = await asyncio.gather(*map(seen, jobs))
            assert [(await job).summary.states for job in jobs] == [{State.SHARED: 12}] * 2
            assert {each.waiting_for for each in (*reported[0], *reported[1])} == {None}
            assert [len(it.leads_sent()) for it in (one, two)] == [12, 12]


# ------------------------------------------------------------------------------------------- agreed to much later


def late(it: Trial, answers: Callable[[Preview], Awaitable[bool]], **changes: Any) -> BatchShare:
    return BatchShare(it.settings(**changes), agree=answers)


def test_the_account_is_free_while_an_answer_is_waited_for_and_what_changed_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other job has shared six of the twelve, and has called up to the limit, when the answer comes."""
    it = virtual(tmp_path, monkeypatch)
    asked: list[Preview] = []
    between: list[int] = []

    async def both() -> tuple[Any, Any, dict[str, Any]]:
        async with beside(it, 6, 18) as other, BatchShare(other.settings()) as theirs:

            async def agree(preview: Preview) -> bool:
                asked.append(preview)
                ending = await theirs.run(other.folder / "leads.csv")
                between.append(len(it.sandbox.journal.calls))
                others.append(ending)
                return True

            others: list[Any] = []
            async with late(it, agree) as bs:
                return await bs.run(it.folder / "leads.csv"), others[0], it.sandbox.report()

    mine, theirs, report = run_virtually(both())
    assert [preview.to_send for preview in asked] == [12], "six are fewer, and no others: nobody is asked again"
    assert mine.summary.states == {State.SHARED: 6, State.SKIPPED: 6}
    assert theirs.summary.states == {State.SHARED: 12}
    assert (report["activities"], report["duplicates"], report["live_shares"]["count"]) == (18, 0, 18)
    assert 0 < between[0] < report["total_calls"]
    assert (report["refusals"], report["fullest_window"]) == (0, STRICT.limit)


def test_calls_that_another_job_made_in_the_pause_count_against_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follow-up ends with a burst of calls; the first of ours comes a period after the last of it."""
    it = virtual(tmp_path, monkeypatch)

    async def both() -> float:
        theirs: list[float] = []

        def moments() -> list[float]:
            return [call["at"] for call in it.sandbox.journal.since(0)]

        async with beside(it, 12, 24) as other:

            async def agree(_: Preview) -> bool:
                await asyncio.sleep(60.0)
                await other.run()
                theirs.extend(moments())
                return True

            await late(it, agree).run(it.folder / "leads.csv")
        return min(at for at in moments() if at > theirs[-1]) - theirs[-1]

    assert run_virtually(both()) >= STRICT.period
    assert it.sandbox.limits.refusals == 0


def with_start(it: Trial, seconds: float) -> None:
    """Of the sheet's four rows the last is to be sent only then."""
    header = ["Lead Id", "Lead Number", "User Id", "Access", "Duration", "Activity Event", "Start"]
    starts = ["", "", "", (START + timedelta(seconds=seconds)).isoformat()]
    with (it.folder / "leads.csv").open("w", newline="", encoding="utf-8") as out:
        rows = [[*row, start] for row, start in zip(sheet_rows(4), starts, strict=True)]
        csv.writer(out).writerows([header, *rows])


@pytest.mark.parametrize("again", [True, False])
def test_more_than_was_agreed_to_is_asked_about_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    it = virtual(tmp_path, monkeypatch, timezone="UTC")
    with_start(it, 3600.0)
    asked: list[int] = []

    async def agree(preview: Preview) -> bool:
        asked.append(preview.to_send)
        await asyncio.sleep(7200.0)
        return again or len(asked) == 1

    ending = run_virtually(late(it, agree).run(it.folder / "leads.csv"))
    assert asked == [3, 4]
    if again:
        assert ending.summary.states == {State.SHARED: 4}
    else:
        assert isinstance(ending.error, NotConfirmed)
        assert it.sent(CREATE) == []


def test_a_retry_and_a_revocation_can_be_agreed_to_later_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = virtual(tmp_path, monkeypatch, Fault(SHARE, [1, 2], envelope(400, "no")), rows=4)

    async def agree(_: Preview) -> bool:
        await asyncio.sleep(600.0)
        return True

    async def jobs() -> list[dict[State, int]]:
        bs = late(it, agree)
        endings = [await bs.run(it.folder / "leads.csv"), await bs.retry(it.ledger), await bs.revoke(it.ledger)]
        return [dict(ending.summary.states) for ending in endings]

    assert run_virtually(jobs()) == [{State.SHARED: 2, State.FAILED: 2}, {State.SHARED: 4}, {State.REVOKED: 4}]
    assert it.sandbox.limits.refusals == 0


async def test_a_stop_ends_a_job_that_waits_for_an_answer(tmp_path: Path) -> None:
    asked, cancelled = asyncio.Event(), asyncio.Event()

    async def agree(_: Preview) -> bool:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return True

    async with trial(tmp_path) as it:
        async with late(it, agree) as bs:
            job = await bs.start("run", tmp_path / "leads.csv")
            await asked.wait()
            assert job.progress.phase == "waiting for a confirmation"
            assert job.preview is not None
            job.stop()
            ending = await job
        assert (ending.interrupted, ending.error, it.sent(CREATE)) == (True, None, [])
        assert cancelled.is_set()
        assert ending.summary.results is not None
        assert (await it.run()).summary.states == {State.SHARED: 12}


async def test_a_no_needs_no_turn_and_a_stop_ends_waiting_for_it(tmp_path: Path) -> None:
    from turns import account_turn

    from batch_share.sending.session import _account_file

    async with trial(tmp_path) as it:
        held = account_turn(_account_file(it.settings()), lambda _: None)

        async def agree(_: Preview) -> bool:
            if len(turns) == 0:
                turns.append(await held.__aenter__())
            return await answer

        for said in (False, True):
            turns: list[object] = []
            answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            held = account_turn(_account_file(it.settings()), lambda _: None)
            job = await late(it, agree).start("run", tmp_path / "leads.csv")
            while not turns:  # noqa: ASYNC110 - it is the turn that is waited for
                await asyncio.sleep(0.001)
            answer.set_result(said)
            if said:
                while job.progress.waiting_for is None:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.001)
                job.stop()
            ending = await asyncio.wait_for(job, 60)
            assert (isinstance(ending.error, NotConfirmed), ending.interrupted) == (not said, said)
            assert it.sent(CREATE) == []
            await held.__aexit__(None, None, None)
        assert (await it.run()).summary.states == {State.SHARED: 12}


async def test_an_agreement_that_fails_is_the_jobs_end(tmp_path: Path) -> None:
    async def agree(_: Preview) -> bool:
        raise ZeroDivisionError

    async with trial(tmp_path) as it, late(it, agree) as bs:
        with pytest.raises(ZeroDivisionError):
            await bs.run(tmp_path / "leads.csv")
        assert it.sent(CREATE) == []
        assert (await it.run()).summary.states == {State.SHARED: 12}
