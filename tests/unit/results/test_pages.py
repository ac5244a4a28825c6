"""The worksheets before the answered sheet: the summary, and the rows that somebody has to look at."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest
from ledgers import NOON, REFUSED, advance, because, new_row, sheet_record, unsendable, working
from spreadsheets import LIVE, live_cells

from batch_share.common import Cause
from batch_share.ledger.records import Lookup, Result, SheetRecord, Why
from batch_share.ledger.states import Stage, State
from batch_share.results.answers import ENDS_SHOWN, FAILURES_COLUMNS, NONE, ON_PAPER, RUNS_SHOWN, write_results
from batch_share.results.wording import OPEN
from batch_share.results.writing import Layout, Line, fill, writing
from batch_share.sheet.reader import ReadOptions, read_sheet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from batch_share.ledger.store import Ledger

FAILED_LATER = Result(State.FAILED, "refused", "No share", 500, stage=Stage.SHARE, why=because("no share"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out.xlsx"


def page(target: Path, name: str) -> list[tuple[Any, ...]]:
    """The cells of a worksheet as another program reads them."""
    found = openpyxl.load_workbook(target)[name]
    return [tuple("" if cell is None else cell for cell in row) for row in found.iter_rows(values_only=True)]


def facts(target: Path) -> dict[str, tuple[Any, ...]]:
    """The summary, by what stands in its first column."""
    return {str(row[0]): row[1:] for row in page(target, "Summary")}


async def refuse(ledger: Ledger, number: int, result: Result) -> None:
    row = await advance(ledger, number, State.POSTED if result.stage is Stage.SHARE else State.PENDING)
    stage = result.stage or Stage.ACTIVITY
    await ledger.settle(await ledger.intend([row], stage, [None]), [row], [result])


# ------------------------------------------------------------------------------------------------ the summary


async def test_the_summary_comes_first_and_the_three_are_always_there(target: Path) -> None:
    async with working(target.with_suffix(".db"), new_row(1)) as ledger:
        await write_results(ledger, target)
    book = openpyxl.load_workbook(target)
    assert book.sheetnames == ["Summary", "Failures", "Results"]
    assert book.active is not None
    assert book.active.title == "Summary"


async def test_the_summary_counts_rows_by_state_with_what_it_means(target: Path) -> None:
    rows = [*map(new_row, range(4)), unsendable(8, State.INVALID), unsendable(9, State.SKIPPED)]
    async with working(target.with_suffix(".db"), *rows) as ledger:
        await advance(ledger, 0, State.SHARED)
        await advance(ledger, 1, State.SHARED)
        await advance(ledger, 2, State.UNKNOWN)
        await write_results(ledger, target)
    reported, lines = facts(target), page(target, "Summary")
    assert lines[0][0] == "2 of 6 rows shared"
    assert lines[1][0].startswith("2 rows need attention: the worksheet Failures")
    assert reported["shared"][:2] == (2, "LeadSquared confirms that the share was processed")
    assert [reported[name][0] for name in ("pending", "invalid", "skipped", "unknown")] == [1, 1, 1, 1]
    assert reported["1 row"][0] == "Row 10: why it is skipped"


async def test_the_summary_says_who_got_what_by_name(target: Path) -> None:
    asha, other = "a" * 36, "b" * 36
    rows = [new_row(n, user_id=asha) for n in range(4)] + [new_row(7, user_id=other), unsendable(9, State.INVALID)]
    rows.append(replace(unsendable(10, State.INVALID), user_id=asha))
    found = {"id": asha, "name": "Asha Rao", "email": "asha@x.example", "active": True}
    async with working(target.with_suffix(".db"), *rows) as ledger:
        await ledger.note_lookups([Lookup("User Email", "asha@x.example", found)])
        await ledger.note_lookups([Lookup("Lead Id", "x", {"id": asha, "number": "1", "email": "", "phone": ""})])
        await advance(ledger, 0, State.SHARED)
        await advance(ledger, 1, State.FAILED)
        await advance(ledger, 2, State.ACCEPTED)
        await advance(ledger, 7, State.UNKNOWN)
        await write_results(ledger, target)
    reported = facts(target)
    first, *others = "Shared", "Ended", "Under way", "Failed", "Unknown", "Revoked", "Not sent", "Rows"
    assert reported["User"] == (first, "Read", "Write", "Until", *others)
    day = dt.datetime(2026, 1, 2)  # noqa: DTZ001 - as a cell has it
    assert reported["Asha Rao <asha@x.example>"] == (1, 1, "", day, "", 1, 1, "", "", 2, 5)
    assert reported[other] == ("", "", "", "", "", "", "", 1, "", "", 1)
    assert reported["(user not found, or not looked up)"] == (*[""] * 9, 1, 1)


async def test_the_summary_says_what_access_who_has_until_when_by_which_activity_and_what_ends_when(
    target: Path,
) -> None:
    days = [*range(1, ENDS_SHOWN + 1), 40, 41]
    rows = [
        new_row(at, duration=day * 1440, access=1 + at % 2, user_id=f"{at % 3}" * 36) for at, day in enumerate(days)
    ]
    async with working(target.with_suffix(".db"), *rows, new_row(90, duration=1), new_row(91)) as ledger:
        await ledger.note_lookups([Lookup("Activity Event", "201", {"name": "Site visit"})])
        await ledger.note(zone="Asia/Kolkata")
        for at in (*range(len(days)), 90):
            await advance(ledger, at, State.SHARED)
        ledger.now = lambda: NOON + dt.timedelta(minutes=2)  # the shortest has ended by then
        await write_results(ledger, target)
    reported = facts(target)
    assert reported["Access"][0] == "17 shares with 3 people: 9 to read, 8 to write"
    assert reported["Until"][0] == "12 Feb 2026 17:30 IST at the latest, the first 3 Jan 2026 17:30"
    assert reported["Activity"][0] == "Site visit (201)"
    assert reported["Ends"][:4] == ("Shares", "Read", "Write", "People")
    first = dt.datetime(2026, 1, 3)  # noqa: DTZ001 - as a cell has it
    ends = [row[:5] for row in page(target, "Summary") if isinstance(row[0], dt.datetime)]
    assert ends[:2] == [(first, 1, 1, "", 1), (first + dt.timedelta(days=1), 1, "", 1, 1)]
    assert len(ends) == ENDS_SHOWN
    assert reported["later"][:4] == (2, 1, 1, 2)


async def test_where_no_share_stands_the_summary_says_nothing_of_access(target: Path) -> None:
    async with working(target.with_suffix(".db"), new_row(1), new_row(2)) as ledger:
        await advance(ledger, 1, State.FAILED)
        await advance(ledger, 2, State.REVOKED)
        await write_results(ledger, target)
    assert not {"Access", "Until", "Activity", "Ends", "What ends when"} & {*facts(target)}


async def test_the_summary_says_which_sheet_which_account_and_when(target: Path) -> None:
    record = SheetRecord("leads.xlsx", "leads.xlsx", "June", "digest", ["Lead", "Note"])
    async with working(target.with_suffix(".db")) as ledger:
        await ledger.take_in(record, [new_row(1)])
        await ledger.end_run("done")
        await ledger.begin_run("reconcile", "1.0", {})
        await write_results(ledger, target, target.with_name("leads.failed.xlsx"))
    reported = facts(target)
    assert reported["Sheet"][0] == "leads.xlsx, worksheet June"
    assert reported["Account"][0] == "https://leads.example"
    assert reported["Ledger"][0] == str(target.with_suffix(".db"))
    (fixing, *_) = [row[1] for row in page(target, "Summary") if row[0] == "To do" and "fixed" in row[1]]
    assert fixing.startswith("Some rows can be fixed: correct them in leads.failed.xlsx, then: ")
    noon = NOON.replace(tzinfo=dt.UTC).astimezone().replace(tzinfo=None)
    zone = f"{NOON.replace(tzinfo=dt.UTC).astimezone():%Z}"
    assert [reported["Command"][at] for at in (0, 2)] == [f"Started ({zone})", f"Ended ({zone})"]
    assert (reported["run"][0], reported["run"][2]) == (noon, noon)
    assert (reported["run"][4], reported["run"][5]) == ("1 s", "done")
    assert (reported["reconcile"][2], reported["reconcile"][5]) == ("not recorded", OPEN)


async def test_the_summary_says_that_a_run_after_which_others_came_was_cut_off(target: Path) -> None:
    async with working(target.with_suffix(".db"), new_row(1)) as ledger:
        await ledger.begin_run("resume", "1.0", {})
        await ledger.end_run("done")
        await write_results(ledger, target)
    reported = facts(target)
    assert (reported["run"][5], reported["resume"][5]) == ("cut off", "done")


async def test_of_many_runs_the_last_are_shown(target: Path) -> None:
    async with working(target.with_suffix(".db"), new_row(1)) as ledger:
        for _ in range(RUNS_SHOWN + 2):
            await ledger.begin_run("follow-up", "1.0", {})
        await write_results(ledger, target)
    lines = [row[0] for row in page(target, "Summary")]
    assert f"The last {RUNS_SHOWN} of {RUNS_SHOWN + 3} runs." in lines
    assert (lines.count("follow-up"), lines.count("run")) == (RUNS_SHOWN, 0)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.SHARED, "Nothing is left to do."),
        (State.REVOKED, "Nothing is left to do."),
        (State.ACCEPTED, "Nothing went wrong; 1 row still under way or"),
    ],
)
async def test_where_nothing_went_wrong_it_says_so(target: Path, state: State, words: str) -> None:
    async with working(target.with_suffix(".db"), new_row(1)) as ledger:
        await advance(ledger, 1, state)
        await write_results(ledger, target)
    assert page(target, "Summary")[1][0].startswith(words)
    assert page(target, "Failures") == [(NONE,)]


async def test_rows_whose_activity_stands_are_counted_with_their_command(target: Path) -> None:
    async with working(target.with_suffix(".db"), new_row(1), new_row(2)) as ledger:
        await refuse(ledger, 1, FAILED_LATER)
        await refuse(ledger, 2, REFUSED)
        await write_results(ledger, target)
    words = "1 row failed after the activity was posted; to share in it: batch-share retry out.db"
    assert ("To do", words) in [row[:2] for row in page(target, "Summary")]


# ------------------------------------------------------------------------------------------------ the failures


async def test_failures_are_only_the_rows_to_look_at_with_words_and_next_step(target: Path) -> None:
    rows = [*map(new_row, range(6)), unsendable(8, State.INVALID), unsendable(9, State.SKIPPED)]
    async with working(target.with_suffix(".db"), *rows) as ledger:
        await refuse(ledger, 0, REFUSED)
        await refuse(ledger, 1, FAILED_LATER)
        await advance(ledger, 2, State.UNKNOWN)
        await advance(ledger, 3, State.SHARED)
        await write_results(ledger, target, target.with_name("leads.failed.xlsx"))
    header, *found = page(target, "Failures")
    assert header == (*FAILURES_COLUMNS, "Lead", "Note")
    assert [row[:4] for row in found] == [
        (1, "failed", "refused", "No such lead"),
        (2, "failed", "no share", "No share"),
        (3, "unknown", "nobody knows", "timeout"),
        (9, "invalid", "why it is invalid", ""),
    ]
    assert [row[5:] for row in found] == [(0, "Hello"), (1, "Hello"), (2, "Hello"), (8, "")]
    commands = [
        "in leads.failed.xlsx; then run",
        "retry out.db",
        "resume out.db --only-unknown",
        "in leads.failed.xlsx; then run",
    ]
    assert [command in row[4] for row, command in zip(found, commands, strict=True)] == [True] * 4


async def test_more_failures_than_a_page_of_the_ledger_are_all_there_and_doubles_and_lost_rows_too(
    target: Path,
) -> None:
    rows = [unsendable(number, State.INVALID) for number in range(1203)]
    async with working(target.with_suffix(".db"), new_row(5000), new_row(5001), *rows) as ledger:
        await advance(ledger, 5000, State.UNKNOWN)
        double = await advance(ledger, 5001, State.UNKNOWN)
        learned = {"activity_id": "act"}
        twice = Why(Cause.DOUBLE, {"counts": "act", "others": ["act2"]})
        await ledger.resolve(NOON, {double.id: Result(State.POSTED, "found", notice=twice, learned=learned)})
        await ledger.take_in(sheet_record(), [new_row(5001), *rows])
        await write_results(ledger, target)
    _, *found = page(target, "Failures")
    assert len(found) == 1205
    assert found[0][1] == "posted"
    assert found[0][2].endswith("its activity was found 2 times: keep act, delete act2 in LeadSquared")
    assert found[0][4].startswith("Delete the second activity")
    assert [row[0] for row in found[1:-1]] == [row.sheet_row for row in rows]
    assert (found[-1][0], found[-1][1]) == ("", "unknown")


async def test_no_cell_of_any_worksheet_is_live(target: Path) -> None:
    record = replace(sheet_record(LIVE), name="=1+1", worksheet="=2")
    words = Result(State.FAILED, "refused", "=cmd()", stage=Stage.ACTIVITY, why=because("+1"))
    async with working(target.with_suffix(".db")) as ledger:
        await ledger.take_in(record, [new_row(1, LIVE), new_row(2, LIVE), unsendable(3, State.SKIPPED)])
        row, *_ = [row async for row in ledger.all_rows()]
        await ledger.settle(await ledger.intend([row], Stage.ACTIVITY, [None]), [row], [words])
        found = {"id": row.instruction.user_id if row.instruction else "", "name": "=1+1", "email": "@x"}
        await ledger.note_lookups([Lookup("User Id", "x", found)])
        await ledger.end_run("=1+1")
        await write_results(ledger, target)
    assert page(target, "Failures")[1][3] == "=cmd()"
    assert live_cells(target) == []


@pytest.mark.parametrize("name", ["Failures", "Results"])
async def test_tables_have_a_frozen_header_filters_and_print_on_one_page_wide(target: Path, name: str) -> None:
    async with working(target.with_suffix(".db"), unsendable(1, State.INVALID)) as ledger:
        await write_results(ledger, target)
    found = openpyxl.load_workbook(target)[name]
    assert found.freeze_panes == "A2"
    assert found.auto_filter.ref is not None
    assert found.print_title_rows == "$1:$1"
    assert (found.page_setup.orientation, found.page_setup.fitToWidth, found.page_setup.fitToHeight) == (
        "landscape", None, 0,
    )  # fmt: skip
    column = [cell.value for cell in found[1]].index("Result") + 1
    assert found.cell(2, column).fill.fgColor.rgb == "FFFCE4D6"


# -------------------------------------------------------------------------------------- read as a sheet again


async def test_on_paper_failures_have_as_many_columns_of_the_sheet_as_can_be_read(target: Path) -> None:
    header = (*(f"Column {number:02}" for number in range(20)),)
    async with working(target.with_suffix(".db")) as ledger:
        await ledger.take_in(sheet_record(header), [new_row(1)])
        await refuse(ledger, 1, replace(REFUSED, why=because("a long reason " * 9), words="many words " * 9))
        await write_results(ledger, target)
    found = openpyxl.load_workbook(target)["Failures"]
    first, last = found.print_area.rpartition("!")[2].replace("$", "").split(":")
    shown = len(found[f"{first}:{last}"][0])
    assert (first, last[-1]) == ("A1", "2")
    own = 11 + 9 + 3 * 42
    assert own + 11 <= ON_PAPER < own + 2 * 11
    assert shown == len(FAILURES_COLUMNS) + 1


async def test_read_as_a_sheet_a_results_workbook_has_all_its_rows(target: Path) -> None:
    columns = ["Lead Id", "User Id"]
    async with working(target.with_suffix(".db")) as ledger:
        shown = [replace(new_row(number, ["a", "b"])) for number in range(3)]
        await ledger.take_in(sheet_record(columns), [*shown, unsendable(9, State.INVALID)])
        await write_results(ledger, target)
    sheet = read_sheet(target)
    assert sheet.worksheet == "Results"
    assert len([*sheet.rows()]) == 4
    assert len([*read_sheet(target, ReadOptions(worksheet="Failures")).rows()]) == 1


async def test_the_heights_of_rows_are_not_kept_in_memory(target: Path) -> None:
    async def lines() -> AsyncIterator[Line]:
        for _ in range(200):
            yield Line(State.FAILED, ["failed", "x" * 200])

    async with writing(target) as book:
        sheet = book.page("Long")
        await fill(book, sheet, ["Result", "Reason"], lines(), Layout(0))
        assert max(len(sheet.row_info), len(sheet.row_sizes)) <= 1
    heights = openpyxl.load_workbook(target)["Long"].row_dimensions
    assert {heights[number].height for number in range(2, 202)} == {60}
