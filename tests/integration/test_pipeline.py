"""Whole jobs against a sandbox over a real socket: what comes out, and what the server saw of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from placing import named
from trial import (
    BULK,
    CREATE,
    KEY,
    OF_LEAD,
    SECRET,
    SHARE,
    STATUS,
    Fault,
    Onlooker,
    Trial,
    altogether,
    answer,
    envelope,
    options,
    sheet_rows,
    trial,
)

from batch_share.common import Rate
from batch_share.errors import (
    AccessDenied,
    DailyLimitReached,
    LedgerError,
    NotAnswered,
    OwnerNotVerified,
    SettingsError,
    StillThrottled,
    Unreachable,
)
from batch_share.jobs.job import do
from batch_share.jobs.outputs import results_of
from batch_share.jobs.run import RunSheet
from batch_share.ledger.states import State
from batch_share.ledger.store import Ledger
from batch_share.planning.intake import SheetJob
from batch_share.planning.plan import SheetOptions
from batch_share.results.wording import ExitCode
from batch_share.sandbox import Sandbox
from batch_share.sending import calls, guards
from batch_share.sheet.rows import Selection

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trial import Step

    from batch_share.sandbox.wire import Reply, SandboxCall
    from batch_share.sending.session import Connection


async def test_every_row_is_shared_once_with_its_own_user_and_access(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=60) as it:
        ending = await it.run()
        shares = it.sandbox.report()["live_shares"]["shares"]
        rows = sheet_rows(60)
        assert ending.exit_code is ExitCode.DONE
        assert ending.summary.states == {State.SHARED: 60}
        assert sorted((share["lead"], share["user"], share["access"]) for share in shares) == sorted(
            (row[1], row[2], 2 if row[3] == "write" else 1) for row in rows
        )
        assert sorted(it.leads_sent()) == sorted(row[0] for row in rows)


async def test_a_run_makes_no_more_calls_than_it_needs(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=20) as it:
        await it.run()
        assert it.sandbox.report()["calls"] == {
            "LeadManagement.svc/Leads/Retrieve/ByIds": 1,
            "UserManagement.svc/Users.Get": 1,
            "ProspectActivity.svc/ActivityTypes.Get": 1,
            "Authentication.svc/UserByAccessKey.Get": 1,
            "ProspectActivity.svc/Retrieve": 1,
            CREATE: 20,
            SHARE: 20,
            STATUS: 20,
        }


async def test_the_ledger_holds_each_attempt_and_no_key(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        steps = it.query("SELECT step, outcome, count(*) FROM attempts GROUP BY 1, 2 ORDER BY 1")
        assert steps == [("activity", "done", 12), ("share", "done", 12), ("status", "processed", 12)]
        assert it.query("SELECT * FROM attempts WHERE answered_at IS NULL OR sent_at > answered_at") == []
    held = b"".join(file.read_bytes() for file in files_in(tmp_path))
    assert KEY.encode() not in held
    assert SECRET.encode() not in held


def files_in(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


@pytest.mark.parametrize("form", [429, 403, 200])
async def test_a_throttle_in_any_form_costs_nothing_but_time(tmp_path: Path, form: int) -> None:
    async with trial(tmp_path, rows=4, rate=Rate(10, 1.0), reject_as=form, retry_after=0.02) as it:
        onlooker = Onlooker()
        ending = await it.run(onlooker, rate=Rate(60, 1.0))
        report = it.sandbox.report()
        assert ending.summary.states == {State.SHARED: 4}
        assert report["refusals"] >= 1
        assert report["duplicates"] == 0
        assert onlooker.connection is not None
        assert onlooker.connection.pacer.rate == Rate(10, 1.0)


async def test_a_limit_that_was_reported_is_kept_by_the_next_run_that_asks_for_auto(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=4, rate=Rate(10, 1.0), retry_after=0.02) as it:
        await it.run(rate=Rate(60, 1.0))
        assert "the limit is 10/1s" in it.query("SELECT ended FROM runs")[0][0]
        refusals = it.sandbox.report()["refusals"]
        assert refusals > 0
        it.write(sheet_rows(8)[4:])
        onlooker = Onlooker()
        await it.run(onlooker, rate="auto")
        assert onlooker.previews[0].pace.rate == Rate(10, 1.0)
        assert it.sandbox.report()["refusals"] == refusals


async def test_a_run_stops_before_it_exceeds_the_days_allowance_and_goes_on_the_day_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trial(tmp_path, rows=20) as it:
        ending = await it.run(daily_limit=30)
        assert isinstance(ending.error, DailyLimitReached)
        assert not {State.POSTING, State.SHARING, State.UNKNOWN} & set(ending.summary.states)
        assert it.sandbox.report()["total_calls"] == 30
        assert isinstance((await it.run(daily_limit=30)).error, DailyLimitReached)
        assert it.sandbox.report()["total_calls"] == 30
        monkeypatch.setattr("batch_share.leadsquared.account.AccountMemory._today", lambda _: "2099-01-01")
        assert (await it.run(daily_limit=100)).summary.states == {State.SHARED: 20}
        assert it.sandbox.report()["duplicates"] == 0


@pytest.mark.parametrize("reply", [envelope(401, "Invalid Access Details"), envelope(403, "No permission")])
async def test_a_refused_key_stops_the_run_at_once(tmp_path: Path, reply: Reply) -> None:
    async with trial(tmp_path, Fault(CREATE, [5], reply), rows=30) as it:
        ending = await it.run(workers=1, follow_up=False)
        assert isinstance(ending.error, AccessDenied)
        assert ending.exit_code is ExitCode.NOT_DONE
        assert len(it.sent(CREATE)) == 5
        assert ending.summary.states == {State.PENDING: 26, State.ACCEPTED: 4}


@pytest.mark.parametrize(
    "reply",
    [
        envelope(400, "Because"),
        envelope(500, "Because"),
        envelope(200, "Because"),
        answer(200, '{"Status": "Failed", "Message": {"Message": "Because"}}'),
    ],
)
@pytest.mark.parametrize(("endpoint", "stage"), [(CREATE, "activity"), (SHARE, "share")])
async def test_a_refusal_is_that_rows_failure_with_their_words(
    tmp_path: Path, endpoint: str, stage: str, reply: Reply
) -> None:
    async with trial(tmp_path, Fault(endpoint, [3], reply)) as it:
        ending = await it.run(workers=1)
        assert ending.summary.states == {State.SHARED: 11, State.FAILED: 1}
        (row,) = it.query("SELECT stage, reason FROM rows WHERE state = 'failed'")
        assert row == (stage, f"LeadSquared refused the {stage}: Because")


async def test_a_server_that_answers_nothing_properly_stops_the_run(tmp_path: Path) -> None:
    unwell = Fault(CREATE, range(3, 1000), answer(502, "oops"))
    async with trial(tmp_path, unwell, rows=40) as it:
        ending = await it.run(workers=1, follow_up=False)
        assert isinstance(ending.error, NotAnswered)
        assert ending.summary.states == {State.ACCEPTED: 2, State.UNKNOWN: 10, State.PENDING: 28}


async def test_lost_answers_that_come_singly_stop_nothing(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, range(2, 60, 2), answer(502, "oops")), rows=40) as it:
        ending = await it.run(workers=1, on_unknown="park")
        assert ending.error is None
        assert ending.summary.states == {State.SHARED: 20, State.UNKNOWN: 20}


async def test_an_unreachable_host_stops_the_run_with_nothing_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_time_at_all(_stop: object, _seconds: float) -> None:
        return

    monkeypatch.setattr("batch_share.sending.session.Stop.sleep", no_time_at_all)
    async with trial(tmp_path) as it:
        ending = await it.run(host="http://127.0.0.1:9")
        assert isinstance(ending.error, Unreachable)
        assert ending.error.tries == calls.CONNECT_TRIES
        assert it.sandbox.report()["total_calls"] == 0


async def test_an_ignored_owner_is_seen_on_the_first_activity_and_nothing_is_shared(tmp_path: Path) -> None:
    async with trial(tmp_path, ignore_owner=True) as it:
        ending = await it.run()
        assert isinstance(ending.error, OwnerNotVerified)
        assert ending.error.found == it.sandbox.world.key_user.id
        assert ending.summary.states == {State.FAILED: 1, State.PENDING: 11}
        assert it.sent(SHARE) == []
        assert len(it.sent(CREATE)) == 1


async def test_an_owner_that_is_not_shown_must_be_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_share.sending.steps.LOOKS", (0.0, 0.0))
    async with trial(tmp_path, hide_owner=True) as it:
        doubted = await it.run()
        assert isinstance(doubted.error, OwnerNotVerified)
        assert doubted.summary.states == {State.POSTED: 1, State.PENDING: 11}
        trusted = await it.run(trust_owner=True)
        assert trusted.summary.states == {State.SHARED: 12}
        assert len(it.sent(CREATE)) == 12


async def test_each_activity_type_is_checked_once_a_run(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        it.write([[*row[:5], "201" if at % 3 else "202"] for at, row in enumerate(sheet_rows(12))])
        await it.run()
        assert len(it.sent("ProspectActivity.svc/Retrieve")) == 2
        it.write([[*row[:5], "202"] for row in sheet_rows(20)[12:]])
        await it.run()
        assert len(it.sent("ProspectActivity.svc/Retrieve")) == 3


async def test_an_activity_of_the_keys_own_user_proves_nothing(tmp_path: Path) -> None:
    async with trial(tmp_path, ignore_owner=True) as it:
        rows = sheet_rows(6)
        for row in rows[:2]:
            row[2] = it.sandbox.world.key_user.id
        it.write(rows)
        ending = await it.run()
        assert isinstance(ending.error, OwnerNotVerified)
        assert (ending.summary.states[State.FAILED], ending.summary.states[State.PENDING]) == (1, 3)
        assert len(it.sent(CREATE)) == 3, "theirs, which are right all the same, and one to see it by"
        assert {share["user"] for share in it.sandbox.report()["live_shares"]["shares"]} <= {rows[0][2]}


@pytest.mark.parametrize("bulk", [False, True])
async def test_an_activity_for_the_keys_own_user_may_be_given_to_somebody_else_too(
    tmp_path: Path, bulk: bool
) -> None:
    """To the lead's owner, say: no page tells what an account does with an owner that it does not take."""

    async def to_another(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == CREATE:
            call.body = call.body.replace(own.encode(), another.encode())
        return await step(call)

    async with trial(tmp_path, to_another, refuse=(BULK,)) as it:
        own, another = it.sandbox.world.key_user.id, sheet_rows(1)[0][2]
        it.write([[*row[:2], own, *row[3:]] for row in sheet_rows(6)])
        ending = await it.run(bulk=bulk)
        assert isinstance(ending.error, OwnerNotVerified)
        assert ending.summary.states == {State.FAILED: 1, State.PENDING: 5}
        assert it.sent(SHARE) == []


async def test_rows_of_a_type_that_gets_its_owner_are_shared_and_none_of_one_that_does_not(tmp_path: Path) -> None:
    """The owner of the second type is looked at when its turn comes, and the first does not wait for that."""

    async def no_owner_for_202(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == CREATE and (asked := json.loads(call.body))["ActivityEvent"] == 202:
            call.body = json.dumps(asked | {"Fields": []}).encode()
        return await step(call)

    async with trial(tmp_path, no_owner_for_202) as it:
        rows = sheet_rows(12)
        it.write([[*row[:5], "201" if at < 6 else "202"] for at, row in enumerate(rows)])
        ending = await it.run(workers=1)
        assert isinstance(ending.error, OwnerNotVerified)
        assert ending.summary.states == {State.SHARED: 6, State.FAILED: 1, State.PENDING: 5}
        live = it.sandbox.report()["live_shares"]["shares"]
        assert sorted((share["lead"], share["user"]) for share in live) == sorted(
            (row[1], row[2]) for row in rows[:6]
        )


@pytest.mark.parametrize("reply", [envelope(500, "Not allowed"), answer(200, "{}")])
async def test_where_the_keys_user_is_not_reported_the_owners_of_two_are_checked(
    tmp_path: Path, reply: Reply
) -> None:
    """The first row's user may be the key's own, whose activity it would be in any case."""
    async with trial(tmp_path, Fault("Authentication.svc/UserByAccessKey.Get", range(1, 9), reply)) as it:
        assert (await it.run()).summary.states == {State.SHARED: 12}
        assert len({call["lead"] for call in it.sent(OF_LEAD)}) == 2


async def test_an_ignored_owner_is_seen_though_nobody_tells_who_the_keys_user_is(tmp_path: Path) -> None:
    async with trial(tmp_path, ignore_owner=True, without=("UserByAccessKey.Get",)) as it:
        rows = sheet_rows(6)
        for row in rows[:3]:
            row[2] = it.sandbox.world.key_user.id
        it.write(rows)
        ending = await it.run()
        assert isinstance(ending.error, OwnerNotVerified)
        assert len(it.sent(CREATE)) == 4, "theirs, which are right all the same, and one to see it by"
        assert {share["user"] for share in it.sandbox.report()["live_shares"]["shares"]} <= {rows[0][2]}


async def test_a_throttle_that_never_ends_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "LONGEST_REFUSED", 0.3)
    throttle = envelope(429, "The calls of the day are spent")
    async with trial(tmp_path, Fault(CREATE, range(3, 999), throttle)) as it:
        ending = await it.run(workers=1, rate=Rate(50, 0.01), follow_up=False)
        assert isinstance(ending.error, StillThrottled)
        assert "The calls of the day are spent. Other programs" in str(ending.error)
        assert ending.summary.states == {State.ACCEPTED: 2, State.PENDING: 10}


async def test_rows_for_the_keys_own_user_alone_need_no_proof(tmp_path: Path) -> None:
    async with trial(tmp_path, ignore_owner=True) as it:
        it.write([[*row[:2], it.sandbox.world.key_user.id, *row[3:]] for row in sheet_rows(3)])
        assert (await it.run()).summary.states == {State.SHARED: 3}


async def until(is_so: Callable[[], bool]) -> None:
    """Let the others run until the sandbox has got somewhere."""
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - the sandbox tells nobody
            await asyncio.sleep(0.001)


def stop_after(activities: int, it: Trial, tasks: list[asyncio.Task[None]]) -> Onlooker:
    """Asks the run to end once so many activities are posted."""

    async def wait(connection: Connection) -> None:
        await until(lambda: it.sandbox.report()["activities"] >= activities)
        connection.stop.ask()

    return Onlooker(lambda connection: tasks.append(asyncio.create_task(wait(connection))))


@pytest.mark.parametrize("way", ["run", "resume"])
async def test_a_stopped_run_drains_and_goes_on_without_repeating_anything(tmp_path: Path, way: str) -> None:
    async with trial(tmp_path, rows=60, latency=0.01) as it:
        tasks: list[asyncio.Task[None]] = []
        ending = await it.run(stop_after(10, it, tasks))
        assert ending.exit_code is ExitCode.INTERRUPTED
        assert not {State.POSTING, State.SHARING, State.UNKNOWN} & set(ending.summary.states)
        assert ending.summary.states[State.PENDING] > 0
        rest = await getattr(it, way)()
        assert rest.summary.states == {State.SHARED: 60}
        assert len(it.leads_sent()) == 60


async def test_a_cut_run_leaves_intents_that_the_next_run_settles(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=60, latency=0.02) as it:
        running = asyncio.create_task(it.run())
        await until(lambda: it.sandbox.report()["activities"] >= 20)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        under_way = it.query("SELECT count(*) FROM rows WHERE state IN ('posting', 'sharing')")[0][0]
        assert under_way > 0
        onlooker = Onlooker()
        ending = await it.run(onlooker)
        assert onlooker.previews[0].cut_off == under_way
        assert ending.summary.states == {State.SHARED: 60}
        assert sum(ending.looked_up.values()) == under_way
        assert it.sandbox.report()["duplicates"] == 0
        assert it.query("SELECT ended FROM runs")[0] == ("cut off",)


async def test_a_broken_ledger_ends_the_run_in_good_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle, count = Ledger.settle, 0

    async def breaks(self: Ledger, *arguments: Any) -> None:
        nonlocal count
        count += 1
        if count == 7:
            raise LedgerError(self.name, "the disk is full")
        await settle(self, *arguments)

    async with trial(tmp_path, rows=40) as it:
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "settle", breaks)
            ending = await it.run()
        assert isinstance(ending.error, LedgerError)
        assert sum(ending.summary.states.values()) == 40
        again = await it.run()
        assert again.summary.states == {State.SHARED: 40}
        assert sum(again.looked_up.values()) == 1
        assert it.sandbox.report()["duplicates"] == 0


async def test_a_request_that_takes_its_time_is_followed_up_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch_share.sending.follow_up._TOO_EARLY", 0.0)  # ask at once, and never learn
    async with trial(tmp_path, processing=60.0) as it:
        ending = await it.run()
        assert ending.summary.states == {State.ACCEPTED: 12}
        assert ending.exit_code is ExitCode.STILL_PROCESSING
        assert len(it.sent(STATUS)) == 12
        assert "accepted, not yet processed (ShareStatus " in it.rows("reason")[0][0]
        it.put_forward(90.0)
        assert (await it.follow_up()).summary.states == {State.SHARED: 12}


async def test_a_request_that_could_not_be_processed_is_a_failure(tmp_path: Path) -> None:
    async with trial(tmp_path, fail=1.0) as it:
        ending = await it.run()
        assert ending.summary.states == {State.FAILED: 12}
        stage, reason = it.rows("stage", "reason")[0]
        assert stage == "processing"
        assert reason.endswith("could not process it: User does not have access to the entity type.")


@pytest.mark.parametrize(
    "reply", [answer(502, "oops"), answer(200, "[]"), envelope(500, "Request Id does not exist")]
)
async def test_an_unreadable_status_settles_nothing(tmp_path: Path, reply: Reply) -> None:
    async with trial(tmp_path, Fault(STATUS, [1], reply)) as it:
        ending = await it.run()
        assert ending.summary.states == {State.SHARED: 11, State.ACCEPTED: 1}
        assert (await it.follow_up()).summary.states == {State.SHARED: 12}


async def test_a_sheet_that_changed_keeps_what_was_done(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        rows = sheet_rows(20)
        it.write([*rows[15:20], *rows[3:12]])
        ending = await it.run()
        assert altogether(ending.summary) == {State.SHARED: 17}
        assert len(it.leads_sent()) == 17


async def test_a_host_that_was_mistyped_before_anything_was_sent_can_be_fixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "CONNECT_TRIES", 1)
    async with trial(tmp_path) as it:
        error = (await it.run(host="http://127.0.0.1:9")).error
        assert isinstance(error, Unreachable)
        assert "rows that are left" not in str(error)  # it was to look people up, as a plan does
        assert (await it.run()).summary.states == {State.SHARED: 12}


async def test_rows_that_were_left_out_are_not_promised(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(SHARE, [2], envelope(401, "No"))) as it:
        await it.run(workers=1, follow_up=False)
        onlooker = Onlooker()
        job = SheetJob(tmp_path / "leads.csv", it.name, SheetOptions(selection=Selection.parse(None, "9-10", [])))
        ending = await do(RunSheet(job), it.settings(), onlooker)
        (preview,) = onlooker.previews
        assert (preview.to_send, preview.left_out) == (2, 1)
        assert preview.cost.calls == 2 * 3 + 2 + 1  # the owner checked, and one that was accepted before asked for
        assert ending.summary.states[State.POSTED] == 1
        assert (await it.run()).summary.states == {State.SHARED: 12}


async def test_results_never_take_the_place_of_the_sheet(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        before = (tmp_path / "leads.csv").read_bytes()
        with pytest.raises(SettingsError, match=r"leads\.csv is the sheet itself: name another file"):
            await results_of(it.name, named(tmp_path / "leads.csv"))
        assert (tmp_path / "leads.csv").read_bytes() == before


async def test_a_ledger_belongs_to_one_host(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        async with Sandbox(options()) as other:
            with pytest.raises(LedgerError, match="it belongs to"):
                await it.run(host=other.url)
            assert other.report()["total_calls"] == 0


def test_a_test_that_fails_while_a_run_is_under_way_ends(tmp_path: Path) -> None:
    """Its loop cancels the run, which closes its ledger: none may wait for what was cancelled with it."""
    posts = iter(range(1, 100))
    is_under_way = asyncio.Event()

    async def tells(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == CREATE and next(posts) == 4:
            is_under_way.set()
        return await step(call)

    async def fails() -> None:
        async with trial(tmp_path, tells, latency=0.02) as it:
            run = asyncio.create_task(it.run())
            await is_under_way.wait()
            assert run.done(), "on purpose"

    with pytest.raises(AssertionError, match="on purpose"):
        asyncio.run(fails())
