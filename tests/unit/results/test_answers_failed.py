"""The sheet of failed rows: which are in it, that it runs as it is, and that nobody's work on it is lost."""

# ruff: noqa: ASYNC240 - a test waits for its own small files
from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest
from ledgers import REFUSED, advance, because, new_row, sheet_record, unsendable, working
from openpyxl.styles import Font, PatternFill
from spreadsheets import LIVE, live_cells, opened

from batch_share.common import Cause
from batch_share.errors import BatchShareError
from batch_share.ledger.files import LedgerName, open_ledger
from batch_share.ledger.records import Result, Why
from batch_share.ledger.states import Stage, State
from batch_share.outputs import Output
from batch_share.results.answers import FailedSheet, failed_path, summarize, write_failed
from batch_share.results.writing import written_last
from batch_share.settings import SheetLimits
from batch_share.sheet.reader import text_tables
from batch_share.sheet.workbook import workbook_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch_share.ledger.records import NewRow
    from batch_share.ledger.store import Ledger

BOTH = pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
NO_SHARE = Result(State.FAILED, "refused", "No", 500, stage=Stage.SHARE, why=because("no share"))


@pytest.fixture(autouse=True)
def sheet(tmp_path: Path) -> Path:
    """The sheet, beside its ledger: the failed rows go there too."""
    (tmp_path / "leads.csv").touch()
    return tmp_path / "leads.csv"


def read_back(file: Path) -> list[list[str]]:
    limits = SheetLimits()
    first, *_ = text_tables(file, limits) if file.suffix == ".csv" else workbook_tables(file, None, limits)
    return [list(row.cells) for row in first.rows()]


async def refuse(ledger: Ledger, number: int, result: Result = REFUSED) -> None:
    row = await advance(ledger, number, State.POSTED if result.stage is Stage.SHARE else State.PENDING)
    stage = result.stage or Stage.ACTIVITY
    await ledger.settle(await ledger.intend([row], stage, [None]), [row], [result])


async def written_from(folder: Path, target: Path, columns: Sequence[str], *rows: NewRow, name: str = "") -> Path:
    """The sheet of failed rows of a ledger that holds these rows."""
    async with working(folder / "leads.db") as ledger:
        record = sheet_record(columns)
        await ledger.take_in(replace(record, name=name or record.name), rows)
        outcome = await write_failed(ledger, target)
    assert outcome == FailedSheet(target)
    return target


def invalid(number: int, cells: Sequence[str]) -> NewRow:
    return replace(unsendable(number, State.INVALID), cells=list(cells))


def wrong(number: int, cells: Sequence[str], *problems: list[str]) -> NewRow:
    """A row of which these columns, each with its value, are wrong, and why."""
    return replace(invalid(number, cells), why=Why(Cause.INVALID, {"problems": [*problems]}))


# ------------------------------------------------------------------------------------------------ what is in it


@BOTH
async def test_it_has_the_rows_to_fix_in_the_sheets_own_columns_and_why(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"leads.failed{suffix}"
    rows = [*map(new_row, range(6)), unsendable(8, State.INVALID), unsendable(9, State.SKIPPED)]
    async with working(tmp_path / "leads.db", *rows) as ledger:
        await advance(ledger, 0, State.SHARED)
        await advance(ledger, 1, State.UNKNOWN)
        await refuse(ledger, 2)
        await refuse(ledger, 3, NO_SHARE)  # its activity stands: another run would post a second one
        await advance(ledger, 4, State.ACCEPTED)
        assert await write_failed(ledger, target) == FailedSheet(target)
        assert (await ledger.totals()).standing == 1
        assert await written_last(ledger, Output.FAILED) == target
        job = (await ledger.facts()).job
    assert [row[:4] for row in read_back(target)] == [
        ["Lead", "Note", "Reason", "Sheet Row"],
        ["2", "Hello", "refused", "3"],
        ["8", "", "why it is invalid", "9"],
    ]
    assert [row[4] for row in read_back(target)] == ["Row Reference", f"R-{job[:10]}-key2", f"R-{job[:10]}-key8"]
    assert target.stat().st_mode & 0o777 == 0o600


async def test_rows_that_the_sheet_no_longer_has_are_not_in_it(tmp_path: Path) -> None:
    async with working(tmp_path / "leads.db", new_row(1), new_row(2)) as ledger:
        await refuse(ledger, 1)
        await ledger.take_in(sheet_record(), [new_row(2)])
        assert await write_failed(ledger, tmp_path / "leads.failed.csv") == FailedSheet()
    assert not (tmp_path / "leads.failed.csv").exists()


@pytest.mark.parametrize("cells", [["1"], ["1", "2", "3"]])
async def test_a_row_whose_cells_are_not_under_their_headers_would_look_right_there_and_is_left_out(
    tmp_path: Path, cells: list[str]
) -> None:
    target = tmp_path / "leads.failed.csv"
    await written_from(tmp_path, target, ["Lead", "Note"], invalid(1, cells), invalid(2, ["2", "b"]))
    assert [row[0] for row in read_back(target)] == ["Lead", "2"]


@pytest.mark.parametrize("cause", [Cause.NEVER_STORED, Cause.ERROR_VALUE])
async def test_a_row_whose_formula_gave_no_value_would_have_an_empty_cell_there_and_is_left_out(
    tmp_path: Path, cause: Cause
) -> None:
    target = tmp_path / "leads.failed.csv"
    formula = replace(invalid(1, ["", "b"]), why=Why(cause, {"problems": [["Lead", "", "wrong"]]}))
    await written_from(tmp_path, target, ["Lead", "Note"], formula, invalid(2, ["2", "b"]))
    assert [row[0] for row in read_back(target)] == ["Lead", "2"]
    async with open_ledger(LedgerName.of(tmp_path / "leads.db")) as ledger:
        assert (await summarize(ledger)).in_sheet == 1


@BOTH
async def test_columns_of_the_same_names_are_kept(tmp_path: Path, suffix: str) -> None:
    columns = ["reason", "SHEET ROW", "Reason 2", "Lead"]
    target = tmp_path / f"leads.failed{suffix}"
    header, row = read_back(
        await written_from(tmp_path, target, columns, invalid(1, ["mine", "77", "mine too", "x"]))
    )
    assert header == [*columns, "Reason 3", "Sheet Row 2", "Row Reference"]
    assert row[:-1] == ["mine", "77", "mine too", "x", "why it is invalid", "2"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("leads.failed.csv", ["Lead"]),
        ("leads.failed-2.csv", ["Lead"]),
        ("leads.csv", ["Lead", "Reason", "Sheet Row"]),
    ],
)
async def test_of_a_sheet_of_failed_rows_the_old_reasons_are_replaced(
    tmp_path: Path, name: str, kept: list[str]
) -> None:
    target, columns = tmp_path / "again.csv", ["Lead", "Reason", "Sheet Row"]
    header, row = read_back(await written_from(tmp_path, target, columns, invalid(1, ["x", "old", "9"]), name=name))
    assert header[: len(kept)] == kept
    assert len(header) == len(kept) + 3
    assert row[-3:-1] == ["why it is invalid", "2"]


@BOTH
async def test_no_cell_of_it_is_live_and_all_come_back(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"leads.failed{suffix}"
    await written_from(tmp_path, target, LIVE, invalid(1, LIVE))
    assert live_cells(target) == []
    header, row = read_back(target)
    assert (header[: len(LIVE)], row[: len(LIVE)]) == (LIVE, LIVE)


@pytest.mark.parametrize(
    ("worksheet", "title"),
    [("June leads", "June leads"), (None, "Failed"), ("x" * 32, "Failed"), ("a/b", "Failed"), ("'a'", "Failed")],
)
async def test_its_worksheet_is_called_as_the_sheets_own(tmp_path: Path, worksheet: str | None, title: str) -> None:
    target = tmp_path / "leads.failed.xlsx"
    async with working(tmp_path / "leads.db") as ledger:
        await ledger.take_in(replace(sheet_record(), worksheet=worksheet), [unsendable(1, State.INVALID)])
        await write_failed(ledger, target)
    assert opened(target).sheetnames == [title]


@pytest.mark.parametrize(
    ("sheet", "failed"),
    [
        ("leads.csv", "leads.failed.csv"),
        ("leads.tsv", "leads.failed.csv"),
        ("my.leads.ODS", "my.leads.failed.xlsx"),
    ],
)
def test_it_lies_beside_its_sheet_in_its_format(sheet: str, failed: str) -> None:
    assert failed_path(Path("folder") / sheet) == Path("folder") / failed


# ------------------------------------------------------------------------------------------------ whose it is


@BOTH
async def test_the_same_rows_are_not_written_again(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"leads.failed{suffix}"
    async with working(tmp_path / "leads.db", unsendable(1, State.INVALID)) as ledger:
        await write_failed(ledger, target)
        before = target.stat()
        assert await write_failed(ledger, target) == FailedSheet(target)
    after = target.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@BOTH
async def test_other_rows_take_the_place_of_those_that_nobody_touched(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"leads.failed{suffix}"
    async with working(tmp_path / "leads.db", unsendable(1, State.INVALID)) as ledger:
        await write_failed(ledger, target)
    async with open_ledger(LedgerName.of(tmp_path / "leads.db")) as ledger:  # another day
        await ledger.take_in(sheet_record(), [unsendable(2, State.INVALID)])
        await ledger.begin_run("run", "1.0", {})
        assert await write_failed(ledger, target) == FailedSheet(target)
    assert [row[0] for row in read_back(target)] == ["Lead", "2"]
    assert not target.with_name(f"leads.failed-2{suffix}").exists()


async def test_what_somebody_changed_is_kept_and_reported_while_its_rows_are_the_same(tmp_path: Path) -> None:
    target = tmp_path / "leads.failed.csv"
    async with working(tmp_path / "leads.db", unsendable(1, State.INVALID)) as ledger:
        await write_failed(ledger, target)
        target.write_text("half fixed")
        outcome = await write_failed(ledger, target)
    assert outcome.path == target
    assert outcome.remark == "leads.failed.csv is not what this ledger wrote: it is kept"
    assert target.read_text() == "half fixed"


async def test_other_rows_go_beside_what_somebody_changed_and_that_is_reported(tmp_path: Path) -> None:
    target, second, third = (tmp_path / f"leads.failed{number}.csv" for number in ("", "-2", "-3"))
    async with working(tmp_path / "leads.db", unsendable(1, State.INVALID)) as ledger:
        await write_failed(ledger, target)
        target.write_text("half fixed")
        await ledger.take_in(sheet_record(), [unsendable(2, State.INVALID)])
        outcome = await write_failed(ledger, target)
        assert outcome.path == second == await written_last(ledger, Output.FAILED)
        assert outcome.remark is not None
        assert "leads.failed.csv is not what this ledger wrote" in outcome.remark
        assert outcome.remark.endswith("the rows that fail now are in leads.failed-2.csv")
        await ledger.take_in(sheet_record(), [unsendable(3, State.INVALID)])
        assert await write_failed(ledger, target) == FailedSheet(second)
        second.write_text("half fixed too")
        await ledger.take_in(sheet_record(), [unsendable(4, State.INVALID)])
        assert (await write_failed(ledger, target)).path == third
    assert (target.read_text(), second.read_text()) == ("half fixed", "half fixed too")


async def test_a_file_that_another_wrote_before_is_never_written_over(tmp_path: Path) -> None:
    target = tmp_path / "leads.failed.csv"
    target.write_text("mine")
    async with working(tmp_path / "leads.db", unsendable(1, State.INVALID)) as ledger:
        assert (await write_failed(ledger, target)).path == tmp_path / "leads.failed-2.csv"
    assert target.read_text() == "mine"


async def test_one_that_was_deleted_is_written_again(tmp_path: Path) -> None:
    target = tmp_path / "leads.failed.csv"
    async with working(tmp_path / "leads.db", unsendable(1, State.INVALID)) as ledger:
        await write_failed(ledger, target)
        target.unlink()
        assert await written_last(ledger, Output.FAILED) is None
        assert await write_failed(ledger, target) == FailedSheet(target)


async def test_when_no_row_is_left_to_fix_ours_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "leads.failed.csv"
    async with working(tmp_path / "leads.db", unsendable(1, State.INVALID)) as ledger:
        await write_failed(ledger, target)
        await ledger.take_in(sheet_record(), [new_row(1)])
        outcome = await write_failed(ledger, target)
        assert outcome == FailedSheet(None, "No row is left to fix: leads.failed.csv was removed")
        assert await write_failed(ledger, target) == FailedSheet()
    assert not target.exists()


@pytest.mark.parametrize("is_there", [True, False])
async def test_when_no_row_is_left_to_fix_what_somebody_changed_stays(tmp_path: Path, is_there: bool) -> None:
    target = tmp_path / "leads.failed.csv"
    async with working(tmp_path / "leads.db", unsendable(1, State.INVALID)) as ledger:
        await write_failed(ledger, target)
        target.write_text("fixed") if is_there else target.unlink()
        await ledger.take_in(sheet_record(), [new_row(1)])
        outcome = await write_failed(ledger, target)
    assert outcome.path is None
    assert (outcome.remark or "").endswith("so it is kept") is is_there
    assert target.exists() is is_there


async def test_that_it_can_not_be_written_is_reported(tmp_path: Path) -> None:
    async with working(tmp_path / "leads.db", unsendable(1, State.INVALID)) as ledger:
        with pytest.raises(BatchShareError, match="can't be written"):
            await write_failed(ledger, tmp_path / "missing" / "leads.failed.csv")
        assert await written_last(ledger, Output.FAILED) is None


# ------------------------------------------------------------------------------------------------ as a workbook

COLUMNS = ["Lead Number", "Lead Phone", "Until", "Deal", "Discount", "Code"]
FORMATS = ["General", "General", "dd/mm/yyyy", "[$₹-4009] #,##0.00", "0%", "General"]
ENDS = datetime(2026, 12, 31)  # noqa: DTZ001 - as a cell has it
CELLS: list[list[Any]] = [[1, 98123, ENDS, 1500.5, 0.15, "007"], [2, 98124, "soon", 10, 0.5, "008"]]


@pytest.fixture
def workbook(tmp_path: Path) -> Path:
    """A sheet as people keep it: with a title, in formats of its own."""
    book = openpyxl.Workbook()
    page: Any = book.active
    page.title = "Leads"
    page["A1"] = "North region"
    page["A1"].font = Font(b=True, sz=16, color="FF1F3864")
    page["A1"].fill = PatternFill("solid", fgColor="FFDDEBF7")
    page.merge_cells("A1:C1")
    page["A2"], page["B2"] = "=1+1", ENDS
    page["A2"].data_type = "s"
    page["B2"].number_format = "d mmm yyyy"
    for at, row in enumerate([COLUMNS, *CELLS], start=4):
        for column, value in enumerate(row, start=1):
            cell = page.cell(at, column, value)
            cell.number_format = FORMATS[column - 1] if at > 4 else "General"
    page.column_dimensions["D"].width = 33
    book.save(tmp_path / "leads.xlsx")
    return tmp_path / "leads.xlsx"


async def failed_page(workbook: Path, *rows: NewRow, columns: Sequence[str] = COLUMNS) -> Any:
    target = failed_path(workbook)
    fields = {"Lead Number": "Lead Number", "Lead Phone": "Lead Phone", "Until": "Until"}
    async with working(workbook.with_suffix(".db")) as ledger:
        record = replace(sheet_record(columns), name=workbook.name, worksheet="Leads", mapping=fields)
        await ledger.take_in(replace(record, path=str(workbook)), rows)
        await write_failed(ledger, target)
    return opened(target)["Leads"]


WRONG = wrong(5, ["2", "98124", "soon", "10", "0.5", "008"], ["Until", "soon", "not a date"])
RIGHT = invalid(4, ["1", "98123", "2026-12-31", "1500.5", "0.15", "007"])


async def test_numbers_and_dates_are_shown_as_the_sheet_shows_them_and_phones_are_text(workbook: Path) -> None:
    page = await failed_page(workbook, RIGHT, WRONG)
    _, right, _ = page.iter_rows(min_row=4)
    assert [cell.value for cell in right][:6] == [1, "98123", ENDS, 1500.5, 0.15, "007"]
    assert [cell.number_format for cell in right][:6] == ["General", "@", *FORMATS[2:5], "@"]


async def test_the_title_the_widths_and_what_is_merged_above_the_headers_are_kept(workbook: Path) -> None:
    page = await failed_page(workbook, WRONG)
    assert (page["A1"].value, page["A1"].font.b, page["A1"].font.sz) == ("North region", True, 16)
    assert (page["A1"].fill.fgColor.rgb, page["A1"].font.color.rgb) == ("FFDDEBF7", "FF1F3864")
    assert [str(each) for each in page.merged_cells.ranges] == ["A1:C1"]
    assert (page["A2"].value, page["A2"].data_type, page["A2"].quotePrefix) == ("=1+1", "s", True)
    assert (page["B2"].value, page["B2"].number_format) == (ENDS, "d mmm yyyy")
    assert page.column_dimensions["D"].width == pytest.approx(33, abs=0.01)
    assert [cell.value for cell in page[4]] == [*COLUMNS, "Reason", "Sheet Row", "Row Reference"]
    assert page.auto_filter.ref == "A4:I5"  # with the reference, which is sorted with its row
    assert page.freeze_panes == "A5"
    assert live_cells(workbook.with_name("leads.failed.xlsx")) == []


async def test_the_cell_that_is_wrong_is_marked_and_says_why_and_takes_a_date(workbook: Path) -> None:
    twice = wrong(
        6, ["x", "98125", "31.12", "1", "1", "1"], ["Until", "31.12", "not a date"], ["Until", "", "over"]
    )
    page = await failed_page(workbook, RIGHT, WRONG, twice)
    marked = {cell.coordinate: cell.comment.text for row in page.iter_rows() for cell in row if cell.comment}
    assert marked == {"C6": "Not a date.", "C7": "Not a date.\nOver."}
    assert [page[place].fill.fgColor.rgb for place in ("C5", "C6", "C7")] == ["00000000", "FFFFC7CE", "FFFFC7CE"]
    assert (page["C6"].value, page["C6"].number_format, page["C6"].quotePrefix) == ("soon", "dd/mm/yyyy", False)


async def test_no_size_of_the_sheet_fills_the_screen_and_no_format_that_excel_would_refuse_is_kept(
    workbook: Path,
) -> None:
    book = opened(workbook)
    book["Leads"]["A1"].font = Font(sz=400)
    book["Leads"]["D1"] = "small"
    book["Leads"].column_dimensions["D"].width = 250
    book["Leads"]["D5"].number_format = book["Leads"]["D6"].number_format = f'0"{"x" * 300}"'
    book.save(workbook)
    page = await failed_page(workbook, RIGHT)
    assert (page["A1"].font.sz, page.row_dimensions[1].height) == (48, pytest.approx(67.2, abs=0.5))
    assert page.column_dimensions["D"].width == pytest.approx(100.71, abs=0.01)
    assert (page["D5"].value, page["D5"].number_format) == (1500.5, "General")


async def test_a_title_that_would_be_taken_for_the_headers_is_left_out(workbook: Path) -> None:
    """Whoever has no header that is known named their row; a sheet of failed rows is to run without a word."""
    book = opened(workbook)
    page: Any = book["Leads"]
    for at, name in enumerate("abcdef", start=1):
        page.cell(3, at, name)
        page.cell(4, at, name.upper())
    book.save(workbook)
    page = await failed_page(workbook, invalid(4, ["1", "2", "3", "4", "5", "6"]), columns=[*"ABCDEF"])
    assert [cell.value for cell in page[1]][:6] == [*"ABCDEF"]
    assert page["D2"].number_format == FORMATS[3]


@pytest.mark.parametrize("how", ["gone", "damaged", "other headers", "another worksheet"])
async def test_of_a_sheet_that_is_no_longer_as_it_was_no_look_is_kept(workbook: Path, how: str) -> None:
    book = opened(workbook)
    if how == "other headers":
        book["Leads"]["A4"] = "Other"
    else:
        book["Leads"].title = "Others"
    book.save(workbook)
    if how == "damaged":
        workbook.write_bytes(b"PK\x03\x04")
    elif how == "gone":
        workbook.unlink()
    page = await failed_page(workbook, RIGHT, WRONG)
    assert [cell.value for cell in page[1]][:6] == COLUMNS
    assert [cell.value for cell in page[2]][:6] == [1, "98123", ENDS, 1500.5, 0.15, "007"]
    assert page["C3"].number_format == "yyyy-mm-dd"


@pytest.mark.parametrize("text", ["1.50", "2026-12-31 18:00", "2026-12-31 00:00:00", "-0", "0.10"])
async def test_what_would_be_read_back_as_another_text_stays_as_it_is(workbook: Path, text: str) -> None:
    """Or it would be taken for a correction."""
    page = await failed_page(workbook, invalid(4, ["1", "2", "3", text, "5", text]))
    assert [page["D5"].value, page["F5"].value] == [text, text]
    assert read_back(failed_path(workbook))[-1][3] == text
