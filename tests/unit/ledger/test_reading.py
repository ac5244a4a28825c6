"""Reading a ledger: counts, rows in the sheet's order, what is to do; also beside a process that writes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ledgers import (
    HOST,
    NOON,
    advance,
    always,
    because,
    instruction,
    new_row,
    row_of,
    sheet_record,
    unsendable,
    working,
)
from sqlalchemy import Engine, event

from batch_share.common import Action, Cause
from batch_share.ledger import schema
from batch_share.ledger.files import LedgerName, open_ledger, read_ledger
from batch_share.ledger.queries import TROUBLE, USER_KINDS
from batch_share.ledger.records import Alike, EndingSoon, NewRow, Result, Row, Settled, ToShare, Waiting, Why
from batch_share.ledger.states import Stage, State
from batch_share.sheet.columns import USERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


async def leads(rows: AsyncIterator[Row]) -> list[str]:
    return [row.cells[0] async for row in rows]


async def test_an_empty_ledger_has_nothing_to_tell(file: Path) -> None:
    async with working(file) as ledger:
        assert await ledger.sheet() is None
        assert await ledger.counts() == {}
        assert await ledger.waiting_requests() == []
        assert await leads(ledger.all_rows()) == []


async def test_of_rows_that_are_done_no_more_is_read_than_is_told(file: Path) -> None:
    async with working(file, *map(new_row, range(1, 5)), unsendable(5, State.INVALID)) as ledger:
        for number, to in ((1, State.SHARED), (2, State.SHARED), (3, State.REVOKED)):
            await advance(ledger, number, to)
        first, *others = [row async for row in ledger.answered()]
        assert isinstance(first, Settled)
        assert (first.cells, first.state, first.sheet_row) == (["1", "Hello"], State.SHARED, 2)
        assert [type(row) for row in others] == [Settled, Row, Row, Row]
        counted = [each async for each in ledger.planned()]
        assert counted[:2] == [(State.SHARED, True, 2), (State.REVOKED, True, 1)]
        assert [each.state for each in counted[2:] if isinstance(each, NewRow)] == [State.PENDING, State.INVALID]


async def test_its_facts_are_the_host_the_schema_and_a_job_of_its_own(file: Path, tmp_path: Path) -> None:
    async with working(file) as ledger, working(tmp_path / "other.db") as other:
        facts = await ledger.facts()
        assert facts.host == HOST
        assert await ledger.schema_version() == schema.VERSION
        assert len(facts.job) == 32
        assert facts.job != (await other.facts()).job


async def test_a_row_comes_back_as_it_was_taken_in(file: Path) -> None:
    cells = ["1", "=1+1\n“é”", "", " x "]
    async with working(file, new_row(1, cells)) as ledger:
        row = await row_of(ledger, 1)
    assert (row.sheet_row, row.cells, row.position, row.instruction) == (2, cells, 0, instruction(1))


async def test_an_invalid_row_has_no_instruction_but_a_reason(file: Path) -> None:
    async with working(file, unsendable(1, State.INVALID)) as ledger:
        row = await row_of(ledger, 1)
    assert (row.state, row.instruction, row.why) == (State.INVALID, None, because("why it is invalid"))


async def test_counts_are_by_state_and_sum_up_to_the_rows(file: Path) -> None:
    async with working(file, *map(new_row, range(4)), unsendable(9, State.INVALID)) as ledger:
        await advance(ledger, 0, State.SHARED)
        await advance(ledger, 1, State.UNKNOWN)
        counts = await ledger.counts()
    assert counts == {State.PENDING: 2, State.SHARED: 1, State.UNKNOWN: 1, State.INVALID: 1}


async def test_to_do_are_the_pending_and_the_posted_in_the_sheets_order(file: Path) -> None:
    async with working(file, *map(new_row, reversed(range(6))), unsendable(9, State.SKIPPED)) as ledger:
        for number, state in enumerate([State.SHARED, State.POSTED, State.FAILED, State.UNKNOWN]):
            await advance(ledger, number, state)
        assert await leads(ledger.to_do()) == ["5", "4", "1"]


async def test_what_is_still_to_be_shared_is_counted_by_leads_and_people(file: Path) -> None:
    asha, ravi = instruction(1).user_id, instruction(2).user_id
    ends = [NOON + timedelta(days=days) for days in (-1, 3, 9)]
    rows = [
        new_row(1, user_id=asha, duration=7),
        new_row(2, user_id=asha, access=2, duration=10080),
        replace(new_row(3), instruction=instruction(2, user_id=ravi, duration=None, until=ends[1])),
        new_row(4, user_id=ravi, duration=None, until=ends[2]),
        new_row(5, user_id=ravi, duration=None, until=ends[0]),
        new_row(6, duration=1),
        new_row(7, start=ends[2], duration=1, access=2),
        new_row(8, action=Action.REVOKE, duration=1),
        replace(new_row(9, duration=1), chosen=False),
        unsendable(10, State.INVALID),
        unsendable(11, State.SKIPPED),
    ]
    async with working(file, *rows) as ledger:
        await advance(ledger, 1, State.POSTED)
        await advance(ledger, 6, State.SHARED)
        assert await ledger.to_share() == ToShare(4, 2, 4, 1, 7, 10080, ends[1], ends[2])
        assert len(await ledger.ids_to_do()) == 5


async def test_where_nothing_is_to_be_shared_nothing_lasts(file: Path) -> None:
    async with working(file, unsendable(1, State.INVALID)) as ledger:
        assert await ledger.to_share() == ToShare()


async def test_rows_to_do_come_page_by_page_while_others_change(file: Path) -> None:
    async with working(file, *map(new_row, range(1100))) as ledger:
        handed_out = []
        async for row in ledger.to_do():
            handed_out.append(row.cells[0])
            if row.id % 100 == 0:
                await advance(ledger, int(row.cells[0]), State.FAILED)
    assert handed_out == [str(number) for number in range(1100)]


async def test_rows_the_sheet_lost_come_last(file: Path) -> None:
    async with working(file, *map(new_row, range(4))) as ledger:
        await advance(ledger, 0, State.SHARED)
        await advance(ledger, 1, State.UNKNOWN)
        await ledger.take_in(sheet_record(), [new_row(3), new_row(2)])
        assert await leads(ledger.all_rows()) == ["3", "2", "0", "1"]


async def test_troubled_rows_are_the_first_few_in_the_sheets_order_lost_ones_last(file: Path) -> None:
    async with working(file, *map(new_row, range(5))) as ledger:
        for number, state in enumerate([State.FAILED, State.UNKNOWN, State.SHARED, State.FAILED]):
            await advance(ledger, number, state)
        await ledger.take_in(sheet_record(), [unsendable(9, State.INVALID), *map(new_row, (4, 3, 2, 1))])
        troubled = [row.cells[0] for row in await ledger.rows_where(TROUBLE, most=10)]
        assert troubled == ["9", "3", "1"]  # what failed, and was lost or corrected since, is over
        assert [row.cells[0] for row in await ledger.rows_where(TROUBLE, most=2)] == troubled[:2]


def told(alike: Alike) -> tuple[Why | None, int, int, Why | None]:
    """Why rows are where they are, how many, the number of the first, and what else is to be known of that."""
    assert isinstance(alike.row, Row)
    return alike.row.why, alike.rows, alike.first[0], alike.row.notice


async def test_why_rows_are_skipped_the_most_frequent_reason_first(file: Path) -> None:
    rows = [unsendable(number, State.SKIPPED) for number in range(5)]
    reasons = ["as row 2", "left out", "left out", "as row 1", "gone"]
    said = [replace(row, why=because(reason)) for row, reason in zip(rows, reasons, strict=True)]
    async with working(file, *said, new_row(9)) as ledger:
        found = [("as row 2", 2, 1), ("left out", 2, 2), ("gone", 1, 5)]
        assert [*map(told, (await ledger.totals()).skipped)] == [
            (because(why), count, first, None) for why, count, first in found
        ]


async def test_skipped_rows_before_which_a_share_was_revoked_are_reported_apart(file: Path) -> None:
    rows = [new_row(number, action=Action.REASSIGN) for number in range(4)]
    async with working(file, *rows) as ledger:
        found = [await row_of(ledger, number) for number in range(4)]
        for row in found[:3]:
            notice = Why(Cause.REVOKED_FIRST, {"of": [f"a.csv row {row.id}"]})
            await ledger.answer_claims({row.id: Result(State.PENDING, "", notice=notice)})
        noon = Why(Cause.ALREADY_SHARED, {"until": "noon"})
        await ledger.rejudge([(row, noon) for row in (found[0], found[3])])
        notice = Why(Cause.REVOKED_FIRST, {"of": [f"a.csv row {found[0].id}"]})
        assert [*map(told, (await ledger.totals()).skipped)] == [(noon, 1, 1, notice), (noon, 1, 4, None)]
        await ledger.rejudge([(row, noon) for row in found[1:3]])
        many, alone = (await ledger.totals()).skipped
        assert (told(many), told(alone)) == ((noon, 3, 1, notice), (noon, 1, 4, None))
        assert ([*many.first], many.is_same, alone.is_same) == ([1, 2, 3], False, True)


async def test_a_row_that_the_sheet_lost_before_it_was_sent_is_not_told_of(file: Path) -> None:
    async with working(file, new_row(1)) as ledger:
        attempt = await ledger.intend([await row_of(ledger, 1)], Stage.ACTIVITY, [None])
        await ledger.settle(attempt, [await row_of(ledger, 1)], [Result(State.PENDING, "throttled")])
        await ledger.take_in(sheet_record(), [new_row(2)])
        assert (await ledger.totals()).skipped == []
        totals = await ledger.totals()
        assert (totals.states, totals.earlier) == ({State.PENDING: 1}, {})


async def test_the_users_to_do_are_those_of_rows_still_to_be_posted(file: Path) -> None:
    async with working(file, *(new_row(number) for number in (1, 2, 3))) as ledger:
        await advance(ledger, 1, State.POSTED)
        await advance(ledger, 2, State.FAILED)
        assert {*(await ledger.ids_to_do(State.PENDING)).values()} == {instruction(3).user_id}


async def test_requests_to_follow_up_come_once_each_oldest_first(file: Path) -> None:
    async with working(file, *map(new_row, range(4))) as ledger:
        for number, request in enumerate(["b", "a", "b", "c"]):
            row = await advance(ledger, number, State.SHARING)
            await ledger.settle([0], [row], [Result(State.ACCEPTED, "done", learned={"request_id": request})])
        assert sorted(await ledger.waiting_requests()) == ["a", "b", "c"]
        await ledger.note_status("b", NOON, always(Result(State.SHARED, "processed")))
        assert sorted(await ledger.waiting_requests()) == ["a", "c"]


async def test_a_reader_sees_what_was_committed_while_the_writer_goes_on(file: Path) -> None:
    async with working(file, new_row(1)) as ledger, read_ledger(LedgerName.of(file)) as reader:
        row = await advance(ledger, 1, State.POSTED)
        assert await reader.counts() == {State.POSTED: 1}
        await ledger.intend([row], Stage.SHARE, [None])
        assert await reader.counts() == {State.SHARING: 1}
        assert await reader.sheet() == sheet_record()


async def test_reading_leaves_an_intent_alone(file: Path) -> None:
    async with working(file, new_row(1)) as ledger:
        await advance(ledger, 1, State.SHARING)
    async with read_ledger(LedgerName.of(file)) as reader:
        assert await reader.counts() == {State.SHARING: 1}


async def test_rows_to_do_are_read_by_their_place_and_not_sorted_for_every_page(in_file: Path) -> None:
    """Else every page of a sheet of a hundred thousand rows would read all of them."""
    plans: list[str] = []

    @event.listens_for(Engine, "before_cursor_execute")
    def explain(_connection: object, cursor: Any, statement: str, values: Any, *_: object) -> None:
        if "LIMIT" in statement and "position >" in statement:
            plans.extend(step[-1] for step in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall())

    async with working(in_file, new_row(1), new_row(2)) as ledger:
        assert [row.sheet_row async for row in ledger.to_do()] == [2, 3]
    event.remove(Engine, "before_cursor_execute", explain)
    assert any("rows_by_position" in step for step in plans)
    assert not any("ORDER BY" in step for step in plans)


async def test_a_row_waits_for_its_time(file: Path) -> None:
    rows = [
        new_row(1),
        new_row(2, start=NOON),
        new_row(3, start=NOON + timedelta(seconds=1)),
        new_row(4, start=NOON + timedelta(days=1), user_id="other", event=202),
    ]
    async with working(file, *rows) as ledger:
        assert await leads(ledger.to_do()) == ["1", "2"]
        assert len(await ledger.ids_to_do()) == 2
        assert "other" not in (await ledger.ids_to_do(State.PENDING)).values()
        assert (await ledger.totals()).waiting == Waiting(2, NOON + timedelta(seconds=1))
    async with open_ledger(LedgerName.of(file), now=lambda: NOON + timedelta(hours=1)) as later:
        assert await leads(later.to_do()) == ["1", "2", "3"]
        assert (await later.totals()).waiting == Waiting(1, NOON + timedelta(days=1))


async def test_what_was_begun_does_not_wait(file: Path) -> None:
    async with working(file, new_row(1)) as ledger:
        await advance(ledger, 1, State.POSTED)
        await ledger.take_in(sheet_record(digest="other"), [new_row(1, start=NOON + timedelta(days=1))])
        assert len(await ledger.ids_to_do()) == 1
        assert (await ledger.totals()).waiting == Waiting()


async def test_a_row_that_is_left_out_waits_for_nothing(file: Path) -> None:
    row = replace(new_row(1, start=NOON + timedelta(days=1)), state=State.SKIPPED, chosen=False)
    async with working(file, row) as ledger:
        assert (await ledger.totals()).waiting == Waiting()


async def test_the_time_of_a_row_that_waits_can_be_changed(file: Path) -> None:
    async with working(file, new_row(1, start=NOON + timedelta(days=1))) as ledger:
        await ledger.take_in(sheet_record(digest="other"), [new_row(1, start=NOON - timedelta(days=1))])
        assert await leads(ledger.to_do()) == ["1"]


def test_the_look_ups_that_are_of_users_are_called_as_the_sheet_calls_them() -> None:
    assert USER_KINDS == USERS


async def test_a_page_tells_what_each_row_asks_for_be_it_shared_or_not(file: Path) -> None:
    async with working(file, new_row(1, access=2), new_row(2, access=2)) as ledger:
        await advance(ledger, 1, State.SHARED)
        shared, pending = await ledger.page((False, -1), 5, None)
    assert [row.instruction and row.instruction.access for row in (shared, pending)] == [2, 2]
    assert (shared.ends_at, pending.ends_at) == (NOON + timedelta(hours=1), None)


async def test_lead_numbers_are_those_of_shares_that_may_not_have_ended(file: Path) -> None:
    async with working(file, *map(new_row, range(1, 5)), new_row(5, lead_number="")) as ledger:
        for number, state in enumerate((State.SHARED, State.ACCEPTED, State.REVOKED, State.PENDING), 1):
            await advance(ledger, number, state)
        await advance(ledger, 5, State.SHARED)
        assert await ledger.lead_numbers() == {1: "1", 2: "2"}
        ledger.now = lambda: NOON + timedelta(hours=1)
        assert await ledger.lead_numbers() == {}


async def test_shares_that_end_soon_are_those_that_stand(file: Path) -> None:
    lengths, states = (60, 10 * 1440, 2 * 1440, 60, 7 * 1440), [State.SHARED] * 5
    states[3] = State.REVOKED
    async with working(file, *(new_row(n, duration=each) for n, each in enumerate(lengths, 1))) as ledger:
        assert (await ledger.totals()).ending == EndingSoon()
        for number, state in enumerate(states, 1):
            await advance(ledger, number, state)
        assert (await ledger.totals()).ending == EndingSoon(3, NOON + timedelta(hours=1))
        ledger.now = lambda: NOON + timedelta(days=2)
        assert (await ledger.totals()).ending == EndingSoon(1, NOON + timedelta(days=7))
        ledger.now = lambda: NOON + timedelta(days=3)
        assert (await ledger.totals()).ending == EndingSoon(2, NOON + timedelta(days=7))
