"""Calls whose answer was lost: looked up, adopted or repeated, and never one activity too many."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import pytest
from old_ledgers import turn_back
from trial import (
    CREATE,
    DROPPED,
    HEADER,
    OF_LEAD,
    OF_TYPE,
    SHARE,
    Fault,
    Onlooker,
    Samples,
    Trial,
    altogether,
    answer,
    ask_to_stop,
    envelope,
    options,
    sheet_rows,
    trial,
)
from virtual_time import run_virtually
from virtual_trial import in_virtual_time

from batch_share.errors import SettingsError
from batch_share.jobs.reconcile import MOST_PAGES, MOST_REPEATS
from batch_share.ledger.states import State
from batch_share.results.wording import NOT_ASKED, ExitCode, reason_of

if TYPE_CHECKING:
    from pathlib import Path

    from trial import Step, Wrapper

    from batch_share.jobs.job import Ending
    from batch_share.sandbox.wire import Reply, SandboxCall
    from batch_share.sending.onlookers import Awaited
    from batch_share.sending.session import Connection

LOST = [
    (answer(502, "<html>Bad gateway</html>", "text/html"), False),
    (answer(500, "oops"), False),
    (answer(200, "{"), True),
    (answer(200, '{"Status": "Success", "Message": {}}'), True),
    (answer(204, ""), True),
    (DROPPED, True),
    (DROPPED, False),
]


ALL_SHARED = {State.SHARED: 12}


def activities(it: Trial) -> int:
    return int(it.sandbox.report()["activities"])


@pytest.mark.parametrize(("reply", "applied"), LOST)
async def test_an_activity_whose_answer_was_lost_is_found_or_posted_again(
    tmp_path: Path, reply: Reply, applied: bool
) -> None:
    async with trial(tmp_path, Fault(CREATE, [4], reply, applied)) as it:
        ending = await it.run()
        assert ending.summary.states == ALL_SHARED
        assert ending.looked_up == {"found" if applied else "absent": 1}
        assert activities(it) == 12
        assert it.sandbox.report()["live_shares"]["count"] == 12


@pytest.mark.parametrize(("reply", "applied"), LOST)
async def test_a_share_whose_answer_was_lost_is_repeated_in_the_same_context(
    tmp_path: Path, reply: Reply, applied: bool
) -> None:
    async with trial(tmp_path, Fault(SHARE, [4], reply, applied)) as it:
        ending = await it.run()
        assert ending.summary.states == ALL_SHARED
        assert ending.looked_up == {"again": 1}
        assert activities(it) == 12
        assert it.sandbox.report()["live_shares"]["count"] == 12
        assert len(it.sent(SHARE)) == 13
        assert it.sent(OF_TYPE) == []


async def test_nothing_is_posted_before_two_looks(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [4], DROPPED)) as it:
        await it.run(workers=1)
        (lost,) = [call for call in it.sent(CREATE) if call["outcome"] == "fault"]
        lead = it.rows("lead_id")[3][0]
        later = [call for call in it.sandbox.journal.since(lost["n"]) if call["lead"] == lead]
        assert [call["endpoint"] for call in later[:3]] == [OF_LEAD, OF_LEAD, CREATE]


def lagging(folder: Path, monkeypatch: pytest.MonkeyPatch, *faults: Wrapper) -> Trial:
    """A trial in virtual time, in an account whose reads show nothing younger than ten seconds."""
    reported = options(leads=30, users=7, read_lag=10.0)
    return in_virtual_time(folder, monkeypatch, reported, *faults, workers=1, grace=60.0)


@pytest.mark.usefixtures("traceable_sleep")
def test_what_reads_show_late_is_not_posted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look is too early; the grace is longer than reads lag."""
    it = lagging(tmp_path, monkeypatch, Fault(CREATE, [4], DROPPED, applied=True))
    ending = run_virtually(it.run())
    assert ending.summary.states == ALL_SHARED
    assert ending.looked_up == {"found": 1}
    assert len(it.leads_sent()) == 12
    lead = it.rows("lead_id")[3][0]
    assert [call["lead"] for call in it.sent(OF_LEAD)].count(lead) == 2


def test_what_is_found_goes_on_before_anything_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, not_there = Fault(CREATE, [4], DROPPED, applied=True), Fault(CREATE, [6], DROPPED)
    reported = options(leads=30, users=7)
    it = in_virtual_time(tmp_path, monkeypatch, reported, there, not_there, workers=1, grace=60.0)
    ending = run_virtually(it.run())
    assert (ending.summary.states, ending.looked_up) == (ALL_SHARED, {"found": 1, "absent": 1})
    shared = [call["at"] for call in it.sent(SHARE)]
    assert len([at for at in shared if at < 30]) == 11
    assert max(shared) >= 60


def test_while_the_second_look_is_waited_for_it_is_reported_when_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(connection: Connection) -> tuple[float, Awaited | None]:
        return asyncio.get_running_loop().time(), connection.tally.awaited

    samples = Samples(look)
    it = lagging(tmp_path, monkeypatch, Fault(CREATE, [4, 6], DROPPED))
    assert run_virtually(it.run(samples)).summary.states == ALL_SHARED
    reported = [(at, awaited) for at, awaited in samples.seen if awaited is not None and not awaited.requests]
    assert 100 <= len(reported) <= 120
    assert all(awaited.again is None or at <= awaited.again <= awaited.until + 1e-6 for at, awaited in reported)
    assert sum(awaited.again is not None for _, awaited in reported) > 100


def test_a_stop_ends_the_wait_for_the_second_look_and_the_row_stays_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stopped_then_resumed() -> tuple[Ending, float, Ending]:
        tasks: list[asyncio.Task[None]] = []

        async def stop(connection: Connection) -> None:
            while "waiting to look up unknown rows again" not in connection.tally.phase:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(1.0)
            connection.stop.ask()

        onlooker = Onlooker(lambda connection: tasks.append(asyncio.create_task(stop(connection))))
        return await it.run(onlooker), asyncio.get_running_loop().time(), await it.resume()

    it = lagging(tmp_path, monkeypatch, Fault(CREATE, [4], DROPPED))
    ending, seconds, rest = run_virtually(stopped_then_resumed())
    assert ending.exit_code is ExitCode.INTERRUPTED
    assert ending.summary.states == {State.SHARED: 11, State.UNKNOWN: 1}
    assert seconds < 60.0
    assert rest.looked_up == {"absent": 1}
    assert rest.summary.states == ALL_SHARED
    assert len(it.leads_sent()) == 12


async def test_a_stop_while_leads_are_looked_at_leaves_the_others_to_the_next_run(tmp_path: Path) -> None:
    async def stops(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == OF_LEAD and len(it.sent(OF_LEAD)) == 2:  # the first is the owner's check
            ask_to_stop(onlooker)
        return await step(call)

    onlooker = Onlooker()
    async with trial(tmp_path, Fault(CREATE, [3, 4, 5], DROPPED, applied=True), stops) as it:
        ending = await it.run(onlooker, workers=1)
        assert ending.exit_code is ExitCode.INTERRUPTED
        assert ending.looked_up == {"found": 1}
        assert ending.summary.states[State.UNKNOWN] == 2
        assert len(it.sent(OF_LEAD)) == 2
        assert (await it.resume()).summary.states == ALL_SHARED
        assert activities(it) == 12


async def test_many_are_found_by_a_few_calls(tmp_path: Path) -> None:
    lost = Fault(CREATE, range(2, 40, 2), DROPPED, applied=True)
    async with trial(tmp_path, lost, rows=40) as it:
        ending = await it.run(workers=1)
        assert ending.summary.states == {State.SHARED: 40}
        assert ending.looked_up == {"found": 19}
        assert activities(it) == 40
        assert len(it.sent(OF_TYPE)) == 1
        assert len(it.sent(OF_LEAD)) == 1  # the owner's check


async def test_one_look_settles_all_rows_of_a_lead(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [2, 4, 6], DROPPED, applied=True), rows=0) as it:
        lead, others = sheet_rows(1)[0], sheet_rows(6)
        it.write([[*lead[:2], *row[2:]] for row in others[:5]] + [[*lead[:2], *others[0][2:5], "202"]])
        ending = await it.run(workers=1)
        assert ending.looked_up == {"found": 3}
        assert activities(it) == 6
        assert len(it.sent(OF_LEAD)) == 2 + 2  # one look for each type, and the owner's checks


async def test_an_activity_that_is_there_twice_is_reported(tmp_path: Path) -> None:
    creates = count(1)

    async def twice(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == CREATE and next(creates) == 4:
            await step(call)
            await step(call)
            return DROPPED
        return await step(call)

    async with trial(tmp_path, twice) as it:
        ending = await it.run(workers=1)
        assert ending.summary.states == ALL_SHARED
        assert ending.summary.noticed == 1
        assert activities(it) == 13
        (row,) = it.query("SELECT activity_id, notice, cells FROM rows WHERE notice IS NOT NULL")
        assert f"found 2 times: keep {row[0]}, delete " in row[1]
        (trouble,) = ending.summary.troubles
        assert reason_of(trouble.row).endswith(str(row[1]))
        assert ending.summary.as_json()["doubles"] == 1
        assert "found 2 times" in (tmp_path / "leads.results.csv").read_text("utf-8-sig")


@pytest.mark.parametrize("applied", [True, False])
async def test_a_parked_row_waits_for_a_person_unless_it_is_found(tmp_path: Path, applied: bool) -> None:
    faults = Fault(CREATE, [4], DROPPED, applied), Fault(SHARE, [2], DROPPED, applied)
    async with trial(tmp_path, *faults) as it:
        ending = await it.run(on_unknown="park")
        left = 1 if applied else 2
        assert ending.summary.states == {State.SHARED: 12 - left, State.UNKNOWN: left}
        assert ending.exit_code is ExitCode.SOME_UNKNOWN
        assert activities(it) == (12 if applied else 11)
        assert (await it.resume()).summary.states == ALL_SHARED
        assert activities(it) == 12


PARKED_REASON = (
    "it is unknown whether the activity was posted: it was not found in two looks, and --on-unknown park posts "
    "nothing again. `batch-share resume --only-unknown` with --on-unknown settle looks again, and posts it if it "
    "is missing"
)


async def test_a_parked_row_says_how_it_is_settled_and_that_settles_it(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [2], DROPPED), rows=2) as it:
        for job in (it.run, it.resume, it.reconcile):
            assert (await job(on_unknown="park")).summary.states == {State.SHARED: 1, State.UNKNOWN: 1}
            assert it.query("SELECT reason FROM rows WHERE state = 'unknown'") == [(PARKED_REASON,)]
        assert (await it.reconcile(on_unknown="settle")).summary.states == {State.SHARED: 2}


async def test_what_an_old_option_left_unknown_says_so_and_is_settled_by_that_option(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [2], DROPPED)) as it:
        it.write([[*row[:5], ""] for row in sheet_rows(2)])
        await it.run(workers=1, event="201", on_unknown="park")
        ending = await it.run(event="202")
        assert altogether(ending.summary) == {State.SHARED: 3, State.UNKNOWN: 1}
        (former,) = ending.summary.troubles
        assert reason_of(former.row).startswith(NOT_ASKED)
        ending = await it.run(event="201")
        assert ending.looked_up == {"absent": 1}
        assert altogether(ending.summary) == {State.SHARED: 4}
        assert activities(it) == 4


async def test_reconcile_settles_the_unknown_rows_and_no_others(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [2, 3], DROPPED), Fault(SHARE, [1], DROPPED, applied=True)) as it:
        it.write(sheet_rows(4))
        await it.run(workers=1, on_unknown="park")
        it.write(sheet_rows(8))
        denied = Fault(CREATE, [1], envelope(401, "No"))
        it.sandbox._step, step = (lambda call: denied(step, call)), it.sandbox._step
        assert (await it.run(workers=1, on_unknown="park")).summary.states[State.PENDING] == 4
        ending = await it.reconcile()
        assert ending.looked_up == {"absent": 2, "again": 1}
        assert ending.summary.states == {State.SHARED: 4, State.PENDING: 4}
        assert activities(it) == 4


@pytest.mark.parametrize("reply", [envelope(500, "No such lead"), answer(200, "{}"), answer(502, "oops")])
async def test_a_look_up_that_fails_leaves_the_row_unknown(tmp_path: Path, reply: Reply) -> None:
    async with trial(tmp_path, Fault(CREATE, [4], DROPPED), Fault(OF_LEAD, range(2, 99), reply)) as it:
        ending = await it.run(workers=1)
        assert ending.summary.states == {State.SHARED: 11, State.UNKNOWN: 1}
        assert "could not be read" in it.query("SELECT reason FROM rows WHERE state = 'unknown'")[0][0]
        assert activities(it) == 11


@pytest.mark.parametrize("shown", [0, 1])
async def test_a_list_that_is_not_whole_proves_nothing(tmp_path: Path, shown: int) -> None:
    activity = {"Id": "11111111-0000-4000-8000-000000000000"}
    partial = answer(200, json.dumps({"RecordCount": 3, "ProspectActivities": [activity] * shown}))
    nothing = answer(200, json.dumps({"RecordCount": 3}))
    faults = Fault(CREATE, [4], DROPPED), Fault(OF_LEAD, [2], partial), Fault(OF_LEAD, range(3, 99), nothing)
    async with trial(tmp_path, *faults) as it:
        ending = await it.run(workers=1)
        assert ending.summary.states == {State.SHARED: 11, State.UNKNOWN: 1}
        assert "not whole" in it.query("SELECT reason FROM rows WHERE state = 'unknown'")[0][0]


@dataclass(slots=True)
class Pages:
    """Answers calls of an endpoint, the `first` and later ones, with pages that show activities of no row.

    `growing`: one more is always to come; else the list is longer than would be read.
    """

    endpoint: str
    growing: bool
    first: int = 1
    calls: int = 0
    shown: int = 0

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        """A wrapper of the sandbox."""
        self.calls += call.endpoint == self.endpoint
        if call.endpoint != self.endpoint or self.calls < self.first:
            return await step(call)
        ids = [f"{self.calls:08d}-{at}" for at in range(MOST_PAGES + self.calls)]
        self.shown += len(ids)
        records = [{"Id": each, "ProspectActivityId": each} for each in ids]
        total = self.shown + 1 if self.growing else 9999
        return answer(200, json.dumps({"RecordCount": total, "ProspectActivities": records, "List": records}))


@pytest.mark.parametrize(("growing", "pages"), [(True, MOST_PAGES), (False, 1)])
async def test_a_lead_with_too_many_activities_proves_nothing(tmp_path: Path, growing: bool, pages: int) -> None:
    there = Pages(OF_LEAD, growing, first=2)
    async with trial(tmp_path, Fault(CREATE, [4], DROPPED), there) as it:
        ending = await it.run(workers=1, on_unknown="park")
        assert ending.summary.states == {State.SHARED: 11, State.UNKNOWN: 1}
        assert (
            "could not be read: there are too many. " in it.query("SELECT reason FROM rows WHERE reason > ''")[0][0]
        )
        assert there.calls == 1 + pages
        assert activities(it) == 11


async def test_a_type_with_too_many_activities_is_looked_for_lead_by_lead(tmp_path: Path) -> None:
    there = Pages(OF_TYPE, growing=False)
    async with trial(tmp_path, Fault(CREATE, range(2, 8), DROPPED, applied=True), there) as it:
        ending = await it.run(workers=1)
        assert ending.summary.states == ALL_SHARED
        assert ending.looked_up == {"found": 6}
        assert (there.calls, len(it.sent(OF_LEAD))) == (1, 1 + 6)


async def test_a_row_that_is_lost_again_and_again_is_left_to_the_next_run(tmp_path: Path) -> None:
    async def never(step: Step, call: SandboxCall) -> Reply:
        return DROPPED if call.endpoint == CREATE and call.lead == bad else await step(call)

    async def note_lead(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == CREATE:
            call.lead = json.loads(call.body)["RelatedProspectId"]
        return await step(call)

    async with trial(tmp_path, note_lead, never) as it:
        bad = it.sandbox.world.leads[5].id
        ending = await it.run()
        assert ending.summary.states == {State.SHARED: 11, State.UNKNOWN: 1}
        assert sum(call["lead"] == bad for call in it.sent(CREATE)) == 1 + MOST_REPEATS


async def test_an_adopted_activity_of_somebody_else_is_never_shared(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [4], DROPPED, applied=True)) as it:
        activity = it.sandbox.account.world.key_user

        async def forget_owner(step: Step, call: SandboxCall) -> Reply:
            reply = await step(call)
            if call.endpoint == OF_LEAD and call.lead == lost:
                return answer(200, reply.body.decode().replace(user, activity.id))
            return reply

        lost, user = sheet_rows(12)[3][0], sheet_rows(12)[3][2]
        step = it.sandbox._step
        it.sandbox._step = lambda call: forget_owner(step, call)
        ending = await it.run(workers=1)
        assert ending.summary.states == {State.SHARED: 11, State.FAILED: 1}
        assert ending.looked_up == {"foreign": 1}
        assert "not this row's user: not shared" in it.query("SELECT reason FROM rows WHERE state='failed'")[0][0]


async def test_nothing_is_posted_again_where_reads_show_no_marker(tmp_path: Path) -> None:
    """Not found proves nothing then: both activities are there."""
    async with trial(tmp_path, Fault(CREATE, [3, 5], DROPPED, applied=True), hide_note=True) as it:
        ending = await it.run()
        assert ending.summary.states == {State.SHARED: 10, State.UNKNOWN: 2}
        assert activities(it) == 12
        assert all("take it for not posted with --trust-marker" in reason for (reason,) in unknown_reasons(it))
        assert (await it.run()).summary.states == {State.SHARED: 10, State.UNKNOWN: 2}
        assert activities(it) == 12


async def test_a_marker_in_a_field_that_the_account_drops_proves_nothing_either(tmp_path: Path) -> None:
    async def drop(step: Step, call: SandboxCall) -> Reply:
        reply = await step(call)
        return (
            answer(200, reply.body.decode().replace("bs-", "xx-")) if call.endpoint in {OF_LEAD, OF_TYPE} else reply
        )

    async with trial(tmp_path, Fault(CREATE, [3], DROPPED, applied=True), drop) as it:
        ending = await it.run(marker_field="mx_Custom_7")
        assert ending.summary.states == {State.SHARED: 11, State.UNKNOWN: 1}
        assert activities(it) == 12


def unknown_reasons(it: Trial) -> list[tuple[str]]:
    return it.query("SELECT reason FROM rows WHERE state = 'unknown'")


async def test_an_activity_that_stands_shows_that_markers_come_back(tmp_path: Path) -> None:
    """In a run that posts nothing first, and so reads nothing back."""
    async with trial(tmp_path, Fault(CREATE, [4], DROPPED)) as it:
        await it.run(on_unknown="park")
        assert (await it.reconcile()).summary.states == ALL_SHARED
        assert activities(it) == 12


async def test_a_first_row_of_which_nothing_is_known_is_trusted_or_left(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [1], DROPPED), rows=1) as it:
        assert (await it.run()).summary.states == {State.UNKNOWN: 1}
        assert activities(it) == 0
        assert (await it.run(trust_marker=True)).summary.states == {State.SHARED: 1}
        assert activities(it) == 1


async def test_a_note_that_quotes_another_rows_marker_does_not_take_its_place(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [2], DROPPED), rows=3) as it:
        await it.run(workers=1, on_unknown="park")
        ((marker,),) = it.query(
            "SELECT marker FROM attempts JOIN rows ON row_id = rows.id WHERE state = 'unknown' AND marker > ''"
        )
        rows = sheet_rows(3)
        quoting = [*rows[1][:3], "write" if rows[1][3] == "read" else "read", *rows[1][4:]]
        with (tmp_path / "leads.csv").open("w", encoding="utf-8") as out:
            out.write(",".join([*HEADER, "Note"]) + "\n")
            out.writelines(",".join([*row, ""]) + "\n" for row in rows)
            out.write(",".join([*quoting, f"see {marker} there"]) + "\n")
        assert (await it.run(workers=1)).summary.states == {State.SHARED: 4}
        assert activities(it) == 4
        assert len(set(it.rows("activity_id"))) == 4


async def test_an_activity_of_another_lead_is_never_adopted(tmp_path: Path) -> None:
    async def elsewhere(step: Step, call: SandboxCall) -> Reply:
        reply = await step(call)
        if call.endpoint != OF_TYPE:
            return reply
        page = json.loads(reply.body)
        for each in page["List"]:
            each["RelatedProspectId"] = "11111111-0000-4000-8000-000000000000"
        return answer(200, json.dumps(page))

    async with trial(tmp_path, Fault(CREATE, range(2, 9), DROPPED, applied=True), elsewhere) as it:
        ending = await it.run(workers=1)
        assert ending.summary.states == ALL_SHARED
        assert len(it.sent(OF_LEAD)) > 7, "each was looked up on its own lead"
        assert activities(it) == 12


@pytest.mark.parametrize("kind", ["refused", "over", "gone"])
async def test_of_a_share_that_may_have_been_done_nothing_false_is_reported(tmp_path: Path, kind: str) -> None:
    """The first one was done and its answer lost; it can't be repeated."""
    refusal = envelope(500, "Already shared in this context", "MXDuplicateEntryException")
    faults = Fault(SHARE, [2], DROPPED, applied=True), Fault(SHARE, range(4, 99), refusal)
    async with trial(tmp_path, *faults, rows=3) as it:
        await it.run(workers=1, on_unknown="park")
        if kind == "over":
            with closing(sqlite3.connect(it.ledger)) as ledger:
                ledger.execute("UPDATE rows SET duration = NULL, until = '2026-01-01 00:00:00.000000'")
                ledger.commit()
        if kind == "gone":
            it.write([row for at, row in enumerate(sheet_rows(3)) if at != 1])
        ending = await (it.run() if kind == "gone" else it.resume())
        unknown = {State.UNKNOWN: 1}
        assert ending.summary.states == {State.SHARED: 2} | (unknown if kind != "gone" else {})
        assert ending.summary.earlier == (unknown if kind == "gone" else {}), "no longer a row of the sheet"
        ((stage, reason),) = it.query("SELECT stage, reason FROM rows WHERE state = 'unknown'")
        assert stage == "share"
        assert "it is unknown" in reason
        assert it.sandbox.report()["live_shares"]["count"] == 3


async def test_a_throttle_while_a_share_is_repeated_forgets_nothing(tmp_path: Path) -> None:
    throttle, refusal = envelope(429, "Too many"), envelope(500, "Already shared in this context")
    lost, held_up = Fault(SHARE, [1], DROPPED, applied=True), Fault(SHARE, [2], throttle)
    async with trial(tmp_path, lost, held_up, Fault(SHARE, range(2, 9), refusal), rows=1) as it:
        assert (await it.run()).summary.states == {State.UNKNOWN: 1}


async def test_a_marker_field_that_the_sheet_uses_is_refused_whatever_the_command(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        it.write([])
        with (tmp_path / "leads.csv").open("w", encoding="utf-8") as out:
            out.write(",".join([*HEADER, "mx_Custom_1"]) + "\n" + ",".join([*sheet_rows(1)[0], "mine"]) + "\n")
        await it.run()
        for command in (it.resume, it.reconcile):
            with pytest.raises(SettingsError, match="the sheet has a column for mx_Custom_1"):
                await command(marker_field="mx_Custom_1")


async def test_a_marker_may_stand_in_a_custom_field(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [4], DROPPED, applied=True)) as it:
        ending = await it.run(marker_field="mx_Custom_7")
        assert ending.looked_up == {"found": 1}
        shown = it.sandbox.account.visible()
        assert {activity.note for activity in shown} == {"Lead shared for a limited time"}
        assert len({activity.fields["mx_Custom_7"] for activity in shown}) == 12


async def test_an_activity_that_was_posted_without_a_marker_stays_unknown(tmp_path: Path) -> None:
    """A ledger of version 2: nothing says what to look for."""
    async with trial(tmp_path, Fault(CREATE, [4], DROPPED, applied=True)) as it:
        await it.run(on_unknown="park", workers=1)
        with closing(sqlite3.connect(it.ledger)) as ledger:
            ledger.execute("UPDATE rows SET state = 'posting', activity_id = NULL WHERE sheet_row = 5")
            ledger.commit()
        turn_back(it.ledger, 2)
        ending = await it.run()
        assert ending.summary.states == {State.SHARED: 11, State.UNKNOWN: 1}
        assert activities(it) == 12
