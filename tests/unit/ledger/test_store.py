"""Writing a ledger: intents before calls, legal transitions only, sheets taken in again and again."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from ledgers import (
    ACCEPTED,
    LOST,
    NOON,
    POSTED,
    REFUSED,
    SHARED,
    advance,
    always,
    because,
    instruction,
    new_row,
    row_of,
    seen_from_outside,
    sheet_record,
    unsendable,
    working,
)
from sqlalchemy import Connection

from batch_share.common import Cause
from batch_share.errors import IllegalTransition, SheetError
from batch_share.ledger.queries import TROUBLE
from batch_share.ledger.reading import PAGE
from batch_share.ledger.records import Changes, LastCall, Result, Why
from batch_share.ledger.schema import rows
from batch_share.ledger.states import INTENT_OF, TRANSITIONS, Stage, State
from batch_share.results.wording import spell_notice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch_share.ledger.records import NewRow, Row, SheetRecord
    from batch_share.ledger.store import Ledger

ATTEMPTS = "select step, sent_at, answered_at, outcome, http_status, answer_id, words from attempts order by id"
MOMENT = "2026-01-02 12:00:00.000000"


# ------------------------------------------------------------------------------------------------ the calls


@pytest.mark.parametrize(
    ("step", "before", "intent"),
    [(Stage.ACTIVITY, State.PENDING, "posting"), (Stage.SHARE, State.POSTED, "sharing")],
)
async def test_an_intent_is_committed_before_its_call_can_leave(
    file: Path, step: Stage, before: State, intent: str
) -> None:
    async with working(file, new_row(1)) as ledger:
        row = await advance(ledger, 1, before)
        await ledger.intend([row], step, [None])
        assert seen_from_outside(file, "select state from rows") == [(intent,)]
        assert seen_from_outside(file, ATTEMPTS)[-1] == (step, MOMENT, None, None, None, None, None)


async def test_an_attempt_keeps_the_answer_its_time_and_the_apis_own_words(file: Path) -> None:
    async with working(file, new_row(1)) as ledger:
        row = await row_of(ledger, 1)
        throttled = Result(State.PENDING, "throttled", "too many calls", 429)
        await ledger.settle(await ledger.intend([row], Stage.ACTIVITY, [None]), [row], [throttled])
        await ledger.settle(await ledger.intend([row], Stage.ACTIVITY, [None]), [row], [POSTED])
        await ledger.settle(await ledger.intend([row], Stage.SHARE, [None]), [row], [ACCEPTED])
        await ledger.note_status("req", NOON, always(SHARED))
    assert seen_from_outside(file, ATTEMPTS) == [
        ("activity", MOMENT, MOMENT, "throttled", 429, None, "too many calls"),
        ("activity", MOMENT, MOMENT, "done", 200, "act", None),
        ("share", MOMENT, MOMENT, "done", 200, "req", None),
        ("status", MOMENT, MOMENT, "processed", 200, None, "Done."),
    ]


# -------------------------------------------------------------------------------------------- calls for many


async def test_the_intents_of_a_call_for_many_are_committed_together_each_with_its_marker(file: Path) -> None:
    async with working(file, *map(new_row, (1, 2, 3))) as ledger:
        them = [await row_of(ledger, number) for number in (3, 1)]
        found = await ledger.intend(them, Stage.ACTIVITY, ["third", "first"])
        assert len(set(found)) == 2
        states = "select cells, state from rows order by id"
        assert [state for _, state in seen_from_outside(file, states)] == ["posting", "pending", "posting"]
        marked = "select row_id, marker from attempts order by id"
        assert seen_from_outside(file, marked) == [(them[0].id, "third"), (them[1].id, "first")]


async def test_each_row_of_a_call_for_many_is_settled_by_its_own_result(file: Path) -> None:
    async with working(file, *map(new_row, (1, 2, 3, 4))) as ledger:
        them = [await row_of(ledger, number) for number in (1, 2, 3, 4)]
        attempts = await ledger.intend(them, Stage.ACTIVITY, [None] * 4)
        throttled = Result(State.PENDING, "throttled", "too many calls", 429)
        await ledger.settle(attempts, them, [POSTED, REFUSED, LOST, throttled])
        assert seen_from_outside(file, "select state from rows order by id") == [
            ("posted",),
            ("failed",),
            ("unknown",),
            ("pending",),
        ]
        assert [outcome for _, _, _, outcome, *_ in seen_from_outside(file, ATTEMPTS)] == [
            "done",
            "refused",
            "lost",
            "throttled",
        ]


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_one_row_that_may_not_be_sent_keeps_a_call_for_many_from_being_noted(file: Path, at: int) -> None:
    async with working(file, *map(new_row, (1, 2, 3))) as ledger:
        them = [await row_of(ledger, number) for number in (1, 2, 3)]
        await ledger.settle(await ledger.intend([them[at]], Stage.ACTIVITY, [None]), [them[at]], [REFUSED])
        before = seen_from_outside(file, "select * from rows order by id")
        with pytest.raises(IllegalTransition):
            await ledger.intend(them, Stage.ACTIVITY, [None] * 3)
        assert seen_from_outside(file, "select * from rows order by id") == before
        assert len(seen_from_outside(file, ATTEMPTS)) == 1


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_one_result_that_may_not_be_leaves_all_rows_of_a_call_as_they_were(file: Path, at: int) -> None:
    async with working(file, *map(new_row, (1, 2, 3))) as ledger:
        them = [await row_of(ledger, number) for number in (1, 2, 3)]
        attempts = await ledger.intend(them, Stage.ACTIVITY, [None] * 3)
        results = [POSTED] * 3
        results[at] = ACCEPTED
        before = seen_from_outside(file, "select * from rows order by id")
        with pytest.raises(IllegalTransition):
            await ledger.settle(attempts, them, results)
        assert seen_from_outside(file, "select * from rows order by id") == before
        assert {answered for _, _, answered, *_ in seen_from_outside(file, ATTEMPTS)} == {None}


def meant_for(one: Result, of_many: Result, _before: State, rows: int, _doubtful: bool) -> Result:
    return of_many if rows > 1 else one


@pytest.mark.parametrize(
    ("rows", "of_many", "state"),
    [(2, True, State.POSTED), (1, True, State.FAILED), (2, False, State.FAILED), (1, False, State.FAILED)],
)
async def test_a_failure_means_something_else_for_a_request_of_many(
    file: Path, rows: int, state: State, *, of_many: bool
) -> None:
    failed = Result(State.FAILED, "failed", "No access", 200, stage=Stage.PROCESSING, why=because("failed"))
    again = replace(failed, state=State.POSTED, stage=Stage.SHARE, why=because("again"))
    async with working(file, *map(new_row, range(1, rows + 2))) as ledger:
        them = [await advance(ledger, number, State.POSTED) for number in range(1, rows + 1)]
        await ledger.settle(await ledger.intend(them, Stage.SHARE, [None] * rows), them, [ACCEPTED] * rows)
        assert await ledger.waiting_requests() == ["req"]
        meant = again if state is State.POSTED else failed
        meaning = partial(meant_for, failed, again if of_many else failed)
        assert await ledger.note_status("req", NOON, meaning) == (rows, State.ACCEPTED, meant)
        assert await ledger.waiting_requests() == []
        row = await row_of(ledger, rows)
        assert (row.state, row.stage, row.why) == (meant.state, meant.stage, meant.why)
        assert (await row_of(ledger, rows + 1)).state is State.PENDING


async def test_a_request_that_nobody_waits_for_concerns_no_row(file: Path) -> None:
    async with working(file, new_row(1)) as ledger:
        await advance(ledger, 1, State.SHARED)
        assert (await ledger.note_status("req1", NOON, always(SHARED)))[0] == 0


async def test_what_was_learned_on_the_way_stays_with_the_row(file: Path) -> None:
    async with working(file, new_row(1)) as ledger:
        row = await row_of(ledger, 1)
        await ledger.settle(await ledger.intend([row], Stage.ACTIVITY, [None]), [row], [POSTED])
        await ledger.settle(await ledger.intend([row], Stage.SHARE, [None]), [row], [ACCEPTED])
        await ledger.note_status("req", NOON, always(SHARED))
        row = await row_of(ledger, 1)
        assert (row.state, row.activity_id, row.request_id, row.share_status) == (State.SHARED, "act", "req", 6)
        assert (row.stage, row.why) == (None, None)


@pytest.mark.parametrize("result", [REFUSED, LOST])
async def test_a_row_in_trouble_keeps_its_stage_and_reason(file: Path, result: Result) -> None:
    async with working(file, new_row(1)) as ledger:
        row = await row_of(ledger, 1)
        await ledger.settle(await ledger.intend([row], Stage.ACTIVITY, [None]), [row], [result])
        row = await row_of(ledger, 1)
        assert (row.state, row.stage, row.why) == (result.state, Stage.ACTIVITY, result.why)


async def test_a_row_may_fail_without_a_further_call(file: Path) -> None:
    async with working(file, new_row(1)) as ledger:
        ending = Result(State.FAILED, "failed", stage=Stage.ACTIVITY, why=because("somebody else owns it"))
        await ledger.end(await advance(ledger, 1, State.POSTED), ending)
        row = await row_of(ledger, 1)
        assert (row.state, row.stage, row.why) == (State.FAILED, Stage.ACTIVITY, because("somebody else owns it"))
        assert len(seen_from_outside(file, ATTEMPTS)) == 1


async def test_a_status_that_settles_nothing_is_kept_and_leaves_the_row_accepted(file: Path) -> None:
    async with working(file, new_row(1)) as ledger:
        row = await advance(ledger, 1, State.ACCEPTED)
        pending = Result(
            State.ACCEPTED, "pending", "Queued", 200, why=because("not yet"), learned={"share_status": 3}
        )
        noted = await ledger.note_status(str(row.request_id), NOON, always(pending))
        assert noted == (1, State.ACCEPTED, pending)
        row = await row_of(ledger, 1)
        assert (row.state, row.why, row.share_status) == (State.ACCEPTED, because("not yet"), 3)


async def test_a_status_concerns_every_accepted_row_of_its_request_and_no_other(file: Path) -> None:
    async with working(file, *map(new_row, range(4))) as ledger:
        for number, request in enumerate(["a", "a", "b"]):
            row = await advance(ledger, number, State.SHARING)
            await ledger.settle([1], [row], [Result(State.ACCEPTED, "done", learned={"request_id": request})])
        for count in (2, 0):  # asked twice, counted once
            assert await ledger.note_status("a", NOON, always(SHARED)) == (count, State.ACCEPTED, SHARED)
        assert await ledger.counts() == {State.SHARED: 2, State.ACCEPTED: 1, State.PENDING: 1}


# ------------------------------------------------------------------------------------------ the transitions


def rows_in(state: State) -> Iterator[NewRow]:
    """One row for every state it could be told to enter."""
    for number in range(len(State)):
        yield unsendable(number, state) if state in {State.INVALID, State.SKIPPED} else new_row(number)


@pytest.mark.parametrize("old", sorted(set(State) - {State.ENDED}))  # which no ledger holds
async def test_a_row_enters_the_states_of_the_table_and_every_other_is_refused(in_file: Path, old: State) -> None:
    async with working(in_file, *rows_in(old)) as ledger:
        entered = set()
        for number, new in enumerate(State):
            row = await advance(ledger, number, old)
            if await obeys(ledger, row, new):
                entered.add(new)
        assert entered == TRANSITIONS[old]


async def obeys(ledger: Ledger, row: Row, new: State) -> bool:
    """Whether the row could enter the state; if not, nothing at all may have changed."""
    reported = ledger._database.write(
        lambda connection: ledger._move(connection, row.id, new, since=frozenset(State))
    )
    if new in TRANSITIONS[row.state]:
        await reported
        return (await row_of(ledger, int(row.cells[0]))).state is new
    before = everything(ledger)
    with pytest.raises(IllegalTransition) as caught:
        await reported
    assert (caught.value.row_id, caught.value.state, caught.value.ledger) == (row.id, new, ledger.name)
    assert everything(ledger) == before
    return False


@pytest.mark.parametrize("result", [POSTED, LOST, REFUSED])
async def test_an_answer_settles_an_intent_and_nothing_else(file: Path, result: Result) -> None:
    """An answer that comes when its row was found cut off changes nothing: a look-up decides."""
    async with working(file, new_row(1), new_row(2), new_row(3)) as ledger:
        for number, old in enumerate([State.UNKNOWN, State.POSTED, State.PENDING], start=1):
            row = await advance(ledger, number, old)
            with pytest.raises(IllegalTransition):
                await ledger.settle([1], [row], [result])


async def test_a_look_up_decides_about_unknown_rows_alone(file: Path) -> None:
    async with working(file, *map(new_row, range(5))) as ledger:
        for number, old in enumerate([State.POSTING, State.POSTED, State.PENDING, State.ACCEPTED]):
            row = await advance(ledger, number, old)
            for new in (State.POSTED, State.PENDING, State.FAILED, State.UNKNOWN):
                with pytest.raises(IllegalTransition):
                    await ledger.resolve(NOON, {row.id: Result(new, "found")})


async def test_an_unknown_row_comes_with_its_last_call(file: Path) -> None:
    async with working(file, new_row(1), new_row(2), new_row(3)) as ledger:
        row = await row_of(ledger, 1)
        for marker in ("first", "last"):
            attempt = await ledger.intend([row], Stage.ACTIVITY, [marker])
            await ledger.settle(attempt, [row], [Result(State.PENDING, "throttled") if marker == "first" else LOST])
        await advance(ledger, 2, State.SHARING)
        await ledger.begin_run("run", "1.0", {})
        (activity,) = await ledger.unknown_rows(Stage.ACTIVITY)
        (share,) = await ledger.unknown_rows(Stage.SHARE)
        assert (activity.sheet_row, activity.last_call) == (2, LastCall(NOON, NOON, "timeout", "last"))
        assert (share.sheet_row, share.last_call, share.changed_at) == (3, LastCall(NOON, None, "", None), NOON)


async def test_rows_that_a_run_looked_up_can_be_sent_alone(file: Path) -> None:
    async with working(file, new_row(1), new_row(2)) as ledger:
        row = await advance(ledger, 2, State.UNKNOWN)
        await ledger.begin_run("reconcile", "1.0", {}, only_looked_up=True)
        assert [each.sheet_row async for each in ledger.to_do()] == []
        await ledger.resolve(NOON, {row.id: Result(State.PENDING, "absent")})
        assert [each.sheet_row async for each in ledger.to_do()] == [3]
        assert {*await ledger.ids_to_do()} == {row.id}
        await ledger.begin_run("run", "1.0", {})
        assert [each.sheet_row async for each in ledger.to_do()] == [2, 3]


def everything(ledger: Ledger) -> list[Any]:
    return [seen_from_outside(ledger.name, query) for query in ("select * from rows", "select * from attempts")]


@pytest.mark.parametrize("old", sorted(set(State) - {State.PENDING, State.ENDED}))
async def test_only_a_pending_row_can_have_its_activity_posted(file: Path, old: State) -> None:
    first = unsendable(1, old) if old in {State.INVALID, State.SKIPPED} else new_row(1)
    async with working(file, first) as ledger:
        row = await advance(ledger, 1, old)
        attempts = seen_from_outside(file, ATTEMPTS)
        with pytest.raises(IllegalTransition):
            await ledger.intend([row], Stage.ACTIVITY, [None])
        assert (await row_of(ledger, 1)).state == old
        assert seen_from_outside(file, ATTEMPTS) == attempts


async def test_two_that_want_the_same_row_at_once_get_it_once(file: Path) -> None:
    async with working(file, new_row(1), new_row(2)) as ledger:
        row, other = await row_of(ledger, 1), await row_of(ledger, 2)
        wanted = [ledger.intend([each], Stage.ACTIVITY, [None]) for each in (row, row, other)]
        first, second, third = await asyncio.gather(*wanted, return_exceptions=True)
        assert isinstance(first, list)
        assert isinstance(second, IllegalTransition)
        assert isinstance(third, list), "one caller's mistake is not another's"
        assert await ledger.counts() == {State.POSTING: 2}
        assert len(seen_from_outside(file, ATTEMPTS)) == 2


# ------------------------------------------------------------------------------------------------ the runs


@pytest.mark.parametrize(("intent", "stage"), [(State.POSTING, Stage.ACTIVITY), (State.SHARING, Stage.SHARE)])
async def test_an_intent_left_by_another_process_becomes_unknown(file: Path, intent: State, stage: Stage) -> None:
    async with working(file, new_row(1), new_row(2)) as ledger:
        await advance(ledger, 1, intent)
    async with working(file) as ledger:
        row = await row_of(ledger, 1)
        assert (row.state, row.stage, row.why) == (State.UNKNOWN, stage, Why(Cause.CUT_OFF))
        assert [each.cells[0] async for each in ledger.to_do()] == ["2"]


@pytest.mark.parametrize("state", sorted(set(State) - set(INTENT_OF.values()) - {State.INVALID, State.SKIPPED}))
async def test_every_other_state_outlives_its_process(file: Path, state: State) -> None:
    async with working(file, new_row(1)) as ledger:
        before = await advance(ledger, 1, state)
    async with working(file) as ledger:
        assert await row_of(ledger, 1) == before


async def test_the_results_that_were_noted_hold_for_the_next_run_alone(file: Path) -> None:
    async with working(file, new_row(1)) as ledger:
        assert ledger.results is None
        await ledger.note_results("these")
        await ledger.note_results("those")
    async with working(file) as ledger:
        assert ledger.results == "those"
    async with working(file) as ledger:
        assert ledger.results is None, "the run before noted none"


@pytest.mark.parametrize("old", [State.PENDING, State.POSTING, State.ACCEPTED])
async def test_the_results_that_were_noted_hold_only_while_no_row_changes(file: Path, old: State) -> None:
    async with working(file, new_row(1)) as ledger:
        row = await advance(ledger, 1, old)
        await ledger.note_results("these")
    async with working(file) as ledger:
        if old is State.PENDING:
            assert ledger.results == "these"
            await ledger.end(row, REFUSED)
        if old is State.ACCEPTED:
            assert ledger.results == "these"
            await ledger.note_status("req1", NOON, always(replace(SHARED, state=State.ACCEPTED)))
        assert ledger.results is None


@pytest.mark.parametrize(
    ("sheet", "taken", "stay"),
    [
        (sheet_record(digest="other"), [new_row(1)], True),
        (sheet_record(digest="other"), [new_row(1, note="which no results show")], True),
        (replace(sheet_record(), worksheet="Other"), [new_row(1)], False),
        (sheet_record(["Lead", "Other"]), [new_row(1)], False),
        (sheet_record(), [new_row(1, ["1", "Other"])], False),
        (sheet_record(), [new_row(1), new_row(2)], False),
        (sheet_record(), [], False),
    ],
)
async def test_the_results_that_were_noted_are_those_of_another_sheet_only_if_they_say_the_same(
    file: Path, sheet: SheetRecord, taken: list[NewRow], *, stay: bool
) -> None:
    async with working(file, new_row(1)) as ledger:
        await ledger.note_results("these")
        shares = await ledger.share_mark()
        await ledger.take_in(sheet, taken)
        assert ledger.results == ("these" if stay else None)
        assert (await ledger.share_mark() == shares) == stay, "they are looked at again as rarely"


async def test_a_sheet_that_is_taken_in_again_costs_what_changed_and_not_a_statement_for_each_row(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 3 * PAGE
    async with working(file, *(new_row(number) for number in range(count))) as ledger:
        written = Counter[str]()
        run = Connection.execute

        def counting(self: Connection, statement: Any, values: Any = None, **named: Any) -> Any:
            written["statements"] += 1
            if getattr(statement, "table", None) is rows:
                written["rows"] += len(values) if values else 0
            return run(self, statement, values, **named)

        monkeypatch.setattr(Connection, "execute", counting)
        most = 2 * count // PAGE + 20  # two a page, and those for the sheet as a whole
        for taken, rows_written in (
            ([new_row(number) for number in range(count)], 0),
            ([new_row(number, ["changed", ""] if number == 7 else None) for number in range(count)], 1),
            ([new_row(number, note="of all") for number in range(count)], count),
        ):
            written.clear()
            await ledger.take_in(sheet_record(), taken)
            # The one that was changed is as it was again in the last of them, and is among its rows.
            assert written["rows"] == rows_written
            assert written["statements"] <= most, written


async def test_each_run_is_noted_from_beginning_to_end(file: Path) -> None:
    async with working(file) as ledger:
        await ledger.end_run("done")
    async with working(file) as ledger:
        await ledger.begin_run("resume", "2.0", {"rate": "25/5s"})
        runs = await ledger.runs()
    assert [(run.command, run.version, run.ended) for run in runs] == [
        ("run", "1.0", "done"),
        ("run", "1.0", None),
        ("resume", "2.0", None),
    ]
    assert (runs[0].started_at, runs[0].ended_at, runs[2].settings) == (NOON, NOON, {"rate": "25/5s"})


async def test_an_attempt_belongs_to_its_run(file: Path) -> None:
    async with working(file, new_row(1)) as ledger:
        await advance(ledger, 1, State.POSTED)
    async with working(file) as ledger:
        await ledger.intend([await row_of(ledger, 1)], Stage.SHARE, [None])
    seen = seen_from_outside(file, "select run_id, step from attempts order by id")
    assert seen == [(1, "activity"), (2, "share")]


async def test_the_last_owner_check_of_each_activity_type_is_kept(file: Path) -> None:
    async with working(file) as ledger:
        await ledger.note_owner_check(201, "act", verified=True)
        await ledger.note_owner_check(202, "other", verified=False)
        await ledger.note_owner_check(201, "later", verified=True)
    seen = seen_from_outside(file, "select event, activity_id, verified from owner_checks order by event")
    assert seen == [(201, "later", 1), (202, "other", 0)]


# ----------------------------------------------------------------------------------------------- the sheets


async def cells_and_states(ledger: Ledger) -> list[tuple[str, State, int | None]]:
    return [(row.cells[0], row.state, row.position) async for row in ledger.all_rows()]


async def test_a_sheet_that_is_taken_in_is_the_one_in_force(file: Path) -> None:
    async with working(file, new_row(1)) as ledger:
        assert await ledger.take_in(sheet_record(digest="next"), [new_row(1)]) == Changes(new=0, kept=1, gone=0)
        assert await ledger.sheet() == sheet_record(digest="next")
        assert seen_from_outside(file, "select digest, taken_at from sheets") == [
            ("digest", MOMENT),
            ("next", MOMENT),
        ]


async def test_rows_may_be_inserted_moved_and_removed_and_what_was_done_stays(file: Path) -> None:
    async with working(file, *map(new_row, range(4))) as ledger:
        await advance(ledger, 0, State.SHARED)
        await advance(ledger, 1, State.UNKNOWN)
        changes = await ledger.take_in(sheet_record(), [new_row(9), new_row(3), new_row(1), new_row(0)])
        assert changes == Changes(new=1, kept=3, gone=1)
        assert await cells_and_states(ledger) == [
            ("9", State.PENDING, 0),
            ("3", State.PENDING, 1),
            ("1", State.UNKNOWN, 2),
            ("0", State.SHARED, 3),
        ]


async def test_a_fixed_row_that_was_never_sent_takes_everything_from_the_sheet(file: Path) -> None:
    async with working(file, new_row(1), unsendable(2, State.SKIPPED)) as ledger:
        changed = replace(new_row(1, ["1", "Bye"], note="Bye", duration=5), sheet_row=40)
        await ledger.take_in(sheet_record(), [changed, new_row(2)])
        row = await row_of(ledger, 1)
        assert (row.sheet_row, row.cells, row.instruction) == (40, ["1", "Bye"], changed.instruction)
        second = await row_of(ledger, 2)
        assert (second.state, second.why) == (State.PENDING, None)


@pytest.mark.parametrize("state", sorted({State.POSTING, State.SHARING, State.ACCEPTED, State.SHARED}))
async def test_a_fixed_row_that_was_sent_keeps_what_was_asked_for(file: Path, state: State) -> None:
    async with working(file, new_row(1)) as ledger:
        before = await advance(ledger, 1, state)
        await ledger.take_in(sheet_record(), [new_row(1, ["1", "Bye"], note="Bye", duration=5)])
        note = "Bye" if state is State.SHARED else "Hello"  # of its next share, should it be renewed
        after = replace(before, cells=["1", "Bye"], instruction=instruction(1, note=note))
        assert replace(await row_of(ledger, 1), notice=None) == after


async def test_a_row_whose_activity_was_refused_is_tried_again_as_the_sheet_says_now(file: Path) -> None:
    """Nothing of it stands: kept as it was, no correction of its length or its note ever helped it."""
    async with working(file, new_row(1), new_row(2)) as ledger:
        before = await advance(ledger, 1, State.FAILED)
        await ledger.take_in(sheet_record(), [new_row(1), new_row(2)])
        assert await row_of(ledger, 1) == before, "nobody changed it: that is for a retry"
        await ledger.take_in(sheet_record(), [new_row(1, note="Bye", duration=5), new_row(2)])
        row = await row_of(ledger, 1)
        assert (row.state, row.stage, row.why) == (State.PENDING, None, None)
        assert row.instruction == instruction(1, note="Bye", duration=5)


@pytest.mark.parametrize("is_doubtful", [False, True])
async def test_a_row_whose_share_was_refused_is_shared_as_long_as_the_sheet_says_now(
    file: Path, is_doubtful: bool
) -> None:
    async with working(file, new_row(1)) as ledger:
        row = await advance(ledger, 1, State.POSTED)
        attempts = await ledger.intend([row], Stage.SHARE, [None])
        refused = Result(State.FAILED, "no", stage=Stage.SHARE, why=Why(Cause.REFUSED), doubtful=is_doubtful)
        await ledger.settle(attempts, [row], [refused])
        await ledger.take_in(sheet_record(), [new_row(1, note="Bye")])
        assert (await row_of(ledger, 1)).state is State.FAILED, "the note is of the activity, which stands"
        await ledger.take_in(sheet_record(), [new_row(1, note="Bye", duration=5)])
        row = await row_of(ledger, 1)
        is_shared_again = (State.POSTED, instruction(1, note="Hello", duration=5))
        stays = (State.FAILED, instruction(1, note="Hello"))  # a share may stand, which ends when it was to end
        assert (row.state, row.instruction) == (stays if is_doubtful else is_shared_again)


async def test_whatever_is_sent_again_for_an_unknown_row_is_as_the_sheet_says_now(file: Path) -> None:
    async with working(file, new_row(1)) as ledger:
        await advance(ledger, 1, State.UNKNOWN)
        await ledger.take_in(sheet_record(), [new_row(1, note="Bye", duration=5, custom={"mx_Custom_1": "x"})])
        row = await row_of(ledger, 1)
        assert row.state is State.UNKNOWN
        assert row.instruction == instruction(1, note="Bye", duration=5, custom={"mx_Custom_1": "x"})


async def test_a_row_that_was_left_out_is_neither_sent_nor_looked_up(file: Path) -> None:
    async with working(file, *[new_row(number) for number in range(1, 5)]) as ledger:
        for number, state in ((1, State.POSTED), (2, State.UNKNOWN), (3, State.POSTED)):
            await advance(ledger, number, state)
        await ledger.take_in(sheet_record(), [new_row(number) for number in (1, 2, 4)])  # 3 is gone: failed
        left_out = [replace(new_row(number), state=State.SKIPPED, chosen=False) for number in (1, 2, 3)]
        await ledger.take_in(sheet_record(), [*left_out, new_row(4)])
        assert [row.sheet_row async for row in ledger.to_do()] == [5]
        assert await ledger.unknown_rows(Stage.ACTIVITY) == []
        assert [(await row_of(ledger, number)).state for number in (1, 2, 3)] == ["posted", "unknown", "failed"]
        await ledger.take_in(sheet_record(), [new_row(number) for number in (1, 2, 3, 4)])
        assert [row.sheet_row async for row in ledger.to_do()] == [2, 4, 5]
        assert len(await ledger.unknown_rows(Stage.ACTIVITY)) == 1


async def test_a_posted_row_whose_share_may_have_been_done_is_unknown_when_the_sheet_loses_it(file: Path) -> None:
    async with working(file, new_row(1)) as ledger:
        row = await advance(ledger, 1, State.SHARING)
        await ledger.begin_run("run", "1.0", {})
        await ledger.resolve(NOON, {row.id: Result(State.POSTED, "again", stage=Stage.SHARE, doubtful=True)})
        await ledger.take_in(sheet_record(), [])
        row = await row_of(ledger, 1)
        assert (row.state, row.stage, row.why) == (State.UNKNOWN, Stage.SHARE, Why(Cause.GONE))
        await ledger.take_in(sheet_record(), [new_row(1)])
        assert len(await ledger.unknown_rows(Stage.SHARE)) == 1


async def test_a_duration_that_is_fixed_before_the_share_left_is_the_one_that_is_sent(file: Path) -> None:
    """Else a lead would be shared for longer than the sheet and the results say."""
    async with working(file, new_row(1, duration=60)) as ledger:
        await advance(ledger, 1, State.POSTED)
        await ledger.take_in(sheet_record(), [new_row(1, note="Bye", duration=5)])
        row = await row_of(ledger, 1)
        assert row.state is State.POSTED
        assert row.instruction == instruction(1, duration=5)  # the note left with the activity


@pytest.mark.parametrize("state", [State.ACCEPTED, State.SHARED])
async def test_a_row_that_was_sent_says_that_the_sheet_asks_for_another_length_now(
    file: Path, state: State
) -> None:
    async with working(file, new_row(1, duration=10080), new_row(2)) as ledger:
        await advance(ledger, 1, state)
        await ledger.take_in(sheet_record(), [new_row(1, duration=20160), new_row(2)])
        row = await row_of(ledger, 1)
        lengths = {"before": [10080, None], "now": [20160, None]}
        assert row.notice == Why(Cause.SENT_BEFORE, lengths)
        assert (await ledger.totals()).other_end == (state is State.SHARED)
        assert row.instruction == instruction(1, duration=10080)
        assert (await row_of(ledger, 2)).notice is None
        left_out = replace(new_row(1, duration=10080), state=State.SKIPPED, chosen=False)
        await ledger.take_in(sheet_record(), [left_out, new_row(2)])
        assert (await row_of(ledger, 1)).notice == row.notice
        totals = await ledger.totals()
        assert (totals.noticed, totals.other_end, await ledger.rows_where(TROUBLE, most=9)) == (0, 0, [])
        await ledger.take_in(sheet_record(), [new_row(1, duration=10080), new_row(2)])
        assert (await row_of(ledger, 1)).notice is None


async def test_that_the_sheet_asks_for_another_length_is_still_reported_once_the_share_is_processed(
    file: Path,
) -> None:
    end = NOON.replace(hour=18)
    async with working(file, new_row(1)) as ledger:
        row = await advance(ledger, 1, State.ACCEPTED)
        await ledger.take_in(sheet_record(), [new_row(1, duration=None, until=end)])
        await ledger.note_status(f"req{row.id}", NOON, always(SHARED))
        row = await row_of(ledger, 1)
        assert (row.state, row.why) == (State.SHARED, None)
        lengths = {"before": [60, None], "now": [None, end.isoformat()]}
        assert row.notice == Why(Cause.SENT_BEFORE, lengths)


async def test_that_an_activity_is_there_twice_matters_more_than_another_length(file: Path) -> None:
    async with working(file, new_row(1)) as ledger:
        row = await advance(ledger, 1, State.UNKNOWN)
        twice = Why(Cause.DOUBLE, {"counts": "act", "others": ["act2"]})
        await ledger.resolve(NOON, {row.id: Result(State.POSTED, "found", notice=twice)})
        attempt = await ledger.intend([await row_of(ledger, 1)], Stage.SHARE, [None])
        await ledger.settle(attempt, [row], [ACCEPTED])
        await ledger.take_in(sheet_record(), [new_row(1, duration=5)])
        notice = (await row_of(ledger, 1)).notice
        assert spell_notice(notice) == spell_notice(twice)
        assert notice is not None
        assert notice.details["now"] == [5, None]  # its next share lasts so
        assert (await ledger.totals()).noticed == 1
        await ledger.take_in(sheet_record(), [new_row(1)])
        assert (await row_of(ledger, 1)).notice == twice


async def test_a_row_that_nothing_was_tried_for_is_forgotten_when_the_sheet_loses_it(file: Path) -> None:
    async with working(file, new_row(1), unsendable(2, State.INVALID), unsendable(3, State.SKIPPED)) as ledger:
        assert await ledger.take_in(sheet_record(), [new_row(4)]) == Changes(new=1, kept=0, gone=3)
        assert await cells_and_states(ledger) == [("4", State.PENDING, 0)]


@pytest.mark.parametrize(
    ("state", "after", "why"),
    [
        (State.POSTING, State.POSTING, None),
        (State.POSTED, State.FAILED, Why(Cause.GONE)),
        (State.SHARING, State.SHARING, None),
        (State.ACCEPTED, State.ACCEPTED, None),
        (State.SHARED, State.SHARED, None),
        (State.FAILED, State.FAILED, because("refused")),
        (State.UNKNOWN, State.UNKNOWN, because("nobody knows")),
    ],
)
async def test_a_row_that_was_sent_stays_when_the_sheet_loses_it_and_is_not_sent_again(
    file: Path, state: State, after: State, why: Why | None
) -> None:
    async with working(file, new_row(1)) as ledger:
        await advance(ledger, 1, state)
        await ledger.take_in(sheet_record(), [new_row(2)])
        row = await row_of(ledger, 1)
        assert (row.state, row.position, row.why) == (after, None, why)
        assert [each.cells[0] async for each in ledger.to_do()] == ["2"]


async def test_a_row_with_an_attempt_that_was_not_done_is_skipped_when_the_sheet_loses_it(file: Path) -> None:
    async with working(file, new_row(1)) as ledger:
        row = await row_of(ledger, 1)
        await ledger.settle(
            await ledger.intend([row], Stage.ACTIVITY, [None]), [row], [Result(State.PENDING, "throttled")]
        )
        await ledger.take_in(sheet_record(), [new_row(2)])
        gone = await row_of(ledger, 1)
        assert (gone.state, gone.why) == (State.SKIPPED, Why(Cause.GONE))
        await ledger.take_in(sheet_record(), [new_row(1)])
        back = await row_of(ledger, 1)
        assert (back.state, back.why, back.position) == (State.PENDING, None, 0)


@pytest.mark.parametrize("state", sorted(set(State) - {State.INVALID, State.SKIPPED}))
async def test_a_row_that_returns_goes_on_where_it_stood(file: Path, state: State) -> None:
    async with working(file, new_row(1)) as ledger:
        before = await advance(ledger, 1, state)
        await ledger.take_in(sheet_record(), [new_row(2)])
        await ledger.take_in(sheet_record(), [new_row(2), new_row(1)])
        after = await row_of(ledger, 1)
        assert replace(after, id=before.id) == replace(before, position=1)


async def test_a_sheet_that_breaks_in_the_middle_changes_nothing(file: Path) -> None:
    def broken() -> Iterator[NewRow]:
        yield new_row(8)
        raise SheetError(file, "not UTF-8")

    async with working(file, new_row(1), new_row(2)) as ledger:
        await advance(ledger, 1, State.POSTED)
        before = await cells_and_states(ledger)
        with pytest.raises(SheetError):
            await ledger.take_in(sheet_record(digest="broken"), broken())
        assert await cells_and_states(ledger) == before
        assert await ledger.sheet() == sheet_record()


async def test_more_rows_than_a_page_are_taken_in_and_known_again(file: Path) -> None:
    rows = [new_row(number) for number in range(1201)]
    async with working(file, *rows) as ledger:
        await advance(ledger, 700, State.SHARED)
        assert await ledger.take_in(sheet_record(), reversed(rows)) == Changes(new=0, kept=1201, gone=0)
        assert [row.cells[0] async for row in ledger.all_rows()] == [str(n) for n in reversed(range(1201))]
        assert await ledger.counts() == {State.PENDING: 1200, State.SHARED: 1}


async def test_more_rows_than_a_page_that_the_sheet_lost_are_all_there(file: Path) -> None:
    async with working(file, *map(new_row, range(PAGE + 2))) as ledger:
        lost = [row async for row in ledger.to_do()]
        attempts = await ledger.intend(lost, Stage.ACTIVITY, [None] * len(lost))
        await ledger.settle(attempts, lost, [LOST] * len(lost))
        await ledger.take_in(sheet_record(digest="next"), [new_row(9999)])
        assert [row.key async for row in ledger.all_rows()] == ["key9999", *(row.key for row in lost)]
