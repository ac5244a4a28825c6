"""The answered sheet: the same rows in the same order, answered; and never a live formula."""

from __future__ import annotations

import asyncio
import csv
import gc
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest
import xlsxwriter.workbook
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import NOON, SHARED, advance, always, because, new_row, row_of, sheet_record, unsendable, working
from spreadsheets import LIVE, NUMBERS, live_cells

from batch_share.common import Action, Cause
from batch_share.errors import BatchShareError
from batch_share.ledger.records import Result, Why
from batch_share.ledger.states import Stage, State
from batch_share.results.answers import COLUMNS, results_path, write_results
from batch_share.results.wording import NOT_ASKED, reason_of
from batch_share.settings import SheetLimits
from batch_share.sheet.columns import Field
from batch_share.sheet.reader import FORMULA_STARTS, text_tables
from batch_share.sheet.workbook import workbook_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch_share.ledger.store import Ledger

DANGEROUS = [
    "=1+1",
    "+919876543210",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",
    "＋1",
    "－1",
    "＠1",
    "'=1",
    "=A1|''!'",
]
HARMLESS = ["00123", "1e5", "NA", "12345678901234567890", "https://leads.example/x", "é", "a=b", " 1", "", "x\ny"]
SETTLES = "a run that asks for it again, with the sheet and options as they were, settles it"
BOTH = pytest.mark.parametrize("suffix", [".csv", ".xlsx"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "leads.db"


def read_back(target: Path) -> tuple[list[str], list[list[str]]]:
    """The columns and rows of a results sheet as our own reader sees them."""
    limits = SheetLimits()
    first, *_ = text_tables(target, limits) if target.suffix == ".csv" else workbook_tables(target, None, limits)
    header, *rows = first.rows()
    assert {len(row.cells) for row in rows} <= {len(header.cells)}
    return list(header.cells), [list(row.cells) for row in rows]


async def with_cells(ledger: Ledger, *rows: Sequence[str]) -> None:
    """Take in rows with these cells under as many headers as the first has."""
    columns = [f"Column {n}" for n in range(len(rows[0]))]
    await ledger.take_in(sheet_record(columns), [new_row(n, cells) for n, cells in enumerate(rows)])


@BOTH
async def test_every_row_is_answered_in_the_sheets_order(file: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out{suffix}"
    rows = [new_row(3), unsendable(2, State.INVALID), new_row(1), new_row(0)]
    async with working(file, *rows) as ledger:
        row = await advance(ledger, 3, State.ACCEPTED)
        await ledger.note_status(str(row.request_id), NOON, always(SHARED))
        await advance(ledger, 1, State.FAILED)
        await write_results(ledger, target)
    columns, answered = read_back(target)
    assert columns == ["Lead", "Note", "Result", "Reason", "Activity Id", "Request Id", "Share Status", "Sheet Row"]
    assert answered == [
        ["3", "Hello", "shared", "", "act", "req1", "6", "4"],
        ["2", "", "invalid", "why it is invalid", "", "", "", "3"],
        ["1", "Hello", "failed", "refused", "", "", "", "2"],
        ["0", "Hello", "pending", "not yet sent", "", "", "", "1"],
    ]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.PENDING, "not yet sent"),
        (State.POSTING, "posting its activity, or cut off while doing so: the next run looks it up"),
        (State.POSTED, "activity posted, not yet shared"),
        (State.SHARING, "sharing, or cut off while doing so: the next run shares again in the same activity"),
        (State.ACCEPTED, ""),
        (State.UNKNOWN, "nobody knows"),
    ],
)
async def test_a_row_that_is_under_way_says_where_it_stands(file: Path, state: State, reason: str) -> None:
    async with working(file, new_row(1)) as ledger:
        await advance(ledger, 1, state)
        await write_results(ledger, file.with_suffix(".csv"))
    _, [answered] = read_back(file.with_suffix(".csv"))
    assert answered[2:4] == [state, reason]


async def test_an_unknown_row_that_now_asks_for_something_else_says_so_and_how_it_is_settled(file: Path) -> None:
    async with working(file, new_row(1)) as ledger:
        await advance(ledger, 1, State.UNKNOWN)
        await ledger.take_in(sheet_record(), [replace(new_row(1, event=300), key="other")])
        await write_results(ledger, file.with_suffix(".csv"))
    _, (other, former) = read_back(file.with_suffix(".csv"))
    assert other[2:4] == ["pending", "not yet sent"]
    assert former[2:4] == [
        "unknown",
        f"{NOT_ASKED}: nobody knows; {SETTLES}",
    ]


async def test_a_lost_row_says_but_once_that_it_is_lost(file: Path) -> None:
    async with working(file, new_row(1)) as ledger:
        row = await advance(ledger, 1, State.SHARING)
        await ledger.begin_run("run", "1.0", {})
        await ledger.resolve(NOON, {row.id: Result(State.POSTED, "again", stage=Stage.SHARE, doubtful=True)})
        await ledger.take_in(sheet_record(), [])
        reason = reason_of(await row_of(ledger, 1))
    assert reason.count(NOT_ASKED) == 1
    assert reason.endswith(f"; {SETTLES}")


async def test_what_was_revoked_before_a_row_is_reported_in_words(file: Path) -> None:
    async with working(file, new_row(1, action=Action.REASSIGN)) as ledger:
        row = await row_of(ledger, 1)
        notice = Why(Cause.REVOKED_FIRST, {"of": ["leads.csv row 17"]})
        await ledger.answer_claims({row.id: Result(State.PENDING, "", notice=notice)})
        await ledger.rejudge([(row, because("already shared"))])
        reason = reason_of(await row_of(ledger, 1))
    assert reason == "already shared; the lead's shares with other users were revoked first: leads.csv row 17"


@BOTH
async def test_rows_the_sheet_lost_come_last_without_a_row_number(file: Path, suffix: str) -> None:
    async with working(file, new_row(1), new_row(2)) as ledger:
        await advance(ledger, 1, State.SHARED)
        await ledger.take_in(sheet_record(), [new_row(2)])
        await write_results(ledger, file.with_suffix(suffix))
    _, answered = read_back(file.with_suffix(suffix))
    if suffix == ".xlsx":  # apart, on a worksheet of their own; read as a sheet, it is the one of the rows
        book = openpyxl.load_workbook(file.with_suffix(suffix))
        answered += [["" if cell is None else str(cell) for cell in row] for row in [*book["Earlier"].values][1:]]
    assert [(row[0], row[2], row[-1]) for row in answered] == [("2", "pending", "3"), ("1", "shared", "")]


@BOTH
async def test_a_row_of_another_length_keeps_its_answer_under_the_right_headers(file: Path, suffix: str) -> None:
    async with working(file) as ledger:
        await with_cells(ledger, ["a", "b"], ["short"], ["w", "i", "d", "e"])
        await write_results(ledger, file.with_suffix(suffix))
    _, answered = read_back(file.with_suffix(suffix))
    assert [row[:3] for row in answered] == [["a", "b", "pending"], ["short", "", "pending"], ["w", "i", "pending"]]


@BOTH
async def test_a_ledger_without_a_sheet_gives_the_header_alone(file: Path, suffix: str) -> None:
    async with working(file) as ledger:
        await write_results(ledger, file.with_suffix(suffix))
    assert read_back(file.with_suffix(suffix)) == (list(COLUMNS), [])


# ------------------------------------------------------------------------------------------- never a formula


async def test_a_csv_has_no_cell_that_a_spreadsheet_takes_for_a_formula(file: Path) -> None:
    columns = [*HARMLESS[:2], *DANGEROUS]
    async with working(file) as ledger:
        await ledger.take_in(sheet_record(columns), [new_row(1, ["1", "2", *DANGEROUS])])
        row = await row_of(ledger, 1)
        words = Result(
            State.FAILED,
            "refused",
            stage=Stage.ACTIVITY,
            why=because('=HYPERLINK("x")'),
            learned={"activity_id": "+1"},
        )
        await ledger.settle(await ledger.intend([row], Stage.ACTIVITY, [None]), [row], [words])
        await write_results(ledger, file.with_suffix(".csv"))
    with file.with_suffix(".csv").open(encoding="utf-8-sig", newline="") as written:
        header, answered = csv.reader(written)
    assert not [cell for cell in header + answered if cell.startswith(FORMULA_STARTS)]
    assert answered[2:] == [*(f"'{cell}" for cell in DANGEROUS), "failed", '\'=HYPERLINK("x")', "'+1", "", "", "2"]


async def test_harmless_cells_are_written_as_they_are(file: Path) -> None:
    async with working(file) as ledger:
        await with_cells(ledger, HARMLESS)
        await write_results(ledger, file.with_suffix(".csv"))
    with file.with_suffix(".csv").open(encoding="utf-8-sig", newline="") as written:
        assert list(csv.reader(written))[1][: len(HARMLESS)] == HARMLESS


async def test_a_csv_says_that_it_is_utf_8(file: Path) -> None:
    async with working(file, new_row(1, ["1", "é"])) as ledger:
        await write_results(ledger, file.with_suffix(".csv"))
    content = file.with_suffix(".csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    assert "é".encode() in content


async def answered_cells(file: Path, columns: dict[str, str], name: str = "out.xlsx") -> list[Any]:
    """The cells of a workbook of results whose one row holds these texts, by header, all of them read as notes."""
    fields = dict.fromkeys(columns, "Note") | {header: header for header in columns if header in {*Field}}
    async with working(file) as ledger:
        record = replace(sheet_record([*columns]), mapping=fields)
        await ledger.take_in(record, [new_row(1, [*columns.values()])])
        await write_results(ledger, file.with_name(name))
    _, row = openpyxl.load_workbook(file.with_name(name))["Results"].iter_rows()
    return [*row]


async def test_what_a_spreadsheet_would_change_or_compute_is_kept_as_text(file: Path) -> None:
    texts = [text for text in (*DANGEROUS, *HARMLESS) if text not in {"-1", ""}]
    cells = (await answered_cells(file, {f"Column {at}": text for at, text in enumerate(texts)}))[: len(texts)]
    assert {cell.data_type for cell in cells} == {"s"}
    assert not [cell.value for cell in cells if cell.hyperlink]
    changed = [*DANGEROUS, "00123", "1e5", "12345678901234567890", " 1"]
    assert [
        cell.value for cell, text in zip(cells, texts, strict=True) if text in changed and not cell.quotePrefix
    ] == []
    assert {cell.number_format for cell in cells if cell.quotePrefix} == {"@"}


@pytest.mark.parametrize(
    ("text", "value", "shown"),
    [
        ("7", 7, "General"),
        ("-1", -1, "General"),
        ("0.15", 0.15, "General"),
        ("1200.50", 1200.5, "General"),
        ("123456789012345", 123456789012345, "0"),  # else 1.23457E+14
        ("2026-12-31", datetime(2026, 12, 31), "yyyy-mm-dd"),  # noqa: DTZ001 - as a cell has it
        ("2026-12-31 18:00", datetime(2026, 12, 31, 18), "yyyy-mm-dd hh:mm"),  # noqa: DTZ001
        ("2026-02-30", "2026-02-30", "@"),
        ("1899-12-31", "1899-12-31", "@"),  # there is no such day in Excel
        ("1234567890123456", "1234567890123456", "@"),
        ("31/12/2026", "31/12/2026", "@"),
    ],
)
async def test_numbers_are_numbers_and_dates_are_dates(file: Path, text: str, value: object, shown: str) -> None:
    cell, *_ = await answered_cells(file, {"Anything": text})
    assert (cell.value, cell.number_format) == (value, shown)


async def test_ids_and_phone_numbers_are_text_whatever_they_look_like(file: Path) -> None:
    columns = {
        "Lead Id": "12",
        "Lead Phone": "9812345678",
        "User Id": "13",
        "Sales User": "14",
        "Lead Number": "15",
    }
    cells = (await answered_cells(file, columns))[:5]
    assert [cell.value for cell in cells] == ["12", "9812345678", "13", "14", 15]
    assert {cell.number_format for cell in cells[:4]} == {"@"}


async def test_the_numbers_of_what_we_added_are_numbers_too(file: Path) -> None:
    cells = await answered_cells(file, {"Lead": "x"})
    assert cells[-1].value == 2


@BOTH
async def test_no_cell_of_a_results_file_is_live_in_any_column_and_all_come_back(file: Path, suffix: str) -> None:
    texts, target = [*LIVE, *NUMBERS, *DANGEROUS], file.with_suffix(suffix)
    headers = texts[1:] + texts[:1]
    async with working(file) as ledger:
        await ledger.take_in(sheet_record(headers), [new_row(1, texts), new_row(2, texts[::-1])])
        row, _ = [row async for row in ledger.all_rows()]
        words = Result(
            State.FAILED, "refused", stage=Stage.ACTIVITY, why=because("=1+1"), learned={"activity_id": "+1"}
        )
        await ledger.settle(await ledger.intend([row], Stage.ACTIVITY, [None]), [row], [words])
        await write_results(ledger, target)
    assert live_cells(target) == []
    columns, rows = read_back(target)
    assert columns == [*headers, *COLUMNS]
    assert [row[: len(texts)] for row in rows] == [texts, texts[::-1]]
    assert rows[0][len(texts) :] == ["failed", "=1+1", "+1", "", "", "2"]


async def test_a_formula_in_the_middle_of_a_text_stays_there_where_semicolons_and_tabs_divide(file: Path) -> None:
    """LibreOffice's default when it opens a CSV: comma, semicolon and tab, each ends a cell."""
    texts = ["x;=1+1", "x\t=1+1", "a;=1+1;b"]
    async with working(file) as ledger:
        await ledger.take_in(sheet_record(texts), [new_row(1, texts)])
        await write_results(ledger, file.with_suffix(".csv"))
    assert live_cells(file.with_suffix(".csv")) == []
    assert read_back(file.with_suffix(".csv"))[1][0][:3] == texts


async def test_a_row_of_a_workbook_is_as_high_as_its_longest_text(file: Path) -> None:
    target = file.with_suffix(".xlsx")
    texts = ["short", "x" * 100, "x" * 5000]
    async with working(
        file, *(new_row(number, [str(number), text]) for number, text in enumerate(texts))
    ) as ledger:
        await write_results(ledger, target)
    page = openpyxl.load_workbook(target)["Results"]
    assert [page.row_dimensions[number].height for number in (2, 3, 4)] == [None, 30, 150]


async def test_a_text_longer_than_a_cell_of_a_workbook_is_cut_and_not_lost(file: Path) -> None:
    async with working(file) as ledger:
        await with_cells(ledger, ["x" * 40_000])
        await write_results(ledger, file.with_suffix(".xlsx"))
    _, [answered] = read_back(file.with_suffix(".xlsx"))
    assert answered[0] == "x" * 32_767


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.text(
    "'=+-@\t\r\n\",; aé", max_size=6
)


@settings(max_examples=25)
@given(rows=st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=4))
def test_a_results_csv_read_as_a_sheet_has_the_same_cells(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    target = tmp_path_factory.mktemp("round") / "out.csv"

    async def write() -> None:
        async with working(target.with_suffix(".db")) as ledger:
            await with_cells(ledger, *rows)
            await write_results(ledger, target)

    asyncio.run(write())
    assert [row[:3] for row in read_back(target)[1]] == rows


# ------------------------------------------------------------------------------------------------ the file


@pytest.mark.parametrize(
    ("sheet", "results"),
    [
        ("leads.csv", "leads.results.csv"),
        ("leads.txt", "leads.results.csv"),
        ("leads.XLSX", "leads.results.xlsx"),
        ("my.leads.csv", "my.leads.results.csv"),
        ("leads", "leads.results.csv"),
    ],
)
def test_results_lie_beside_their_sheet_in_its_format(sheet: str, results: str) -> None:
    assert results_path(Path("folder") / sheet) == Path("folder") / results


@pytest.mark.parametrize("name", ["out.pdf", "out", "out.xls", "out.csv.gz"])
async def test_another_format_is_refused_and_nothing_written(file: Path, name: str) -> None:
    async with working(file, new_row(1)) as ledger:
        before = sorted(file.parent.iterdir())
        with pytest.raises(BatchShareError, match=rf"\.csv or \.xlsx, not as {name}"):
            await write_results(ledger, file.with_name(name))
        assert sorted(file.parent.iterdir()) == before


@BOTH
async def test_a_folder_that_does_not_exist_is_reported(file: Path, suffix: str) -> None:
    target = file.parent / "missing" / f"out{suffix}"
    async with working(file, new_row(1)) as ledger:
        with pytest.raises(BatchShareError, match=r"can't be written \(No such file or directory\)"):
            await write_results(ledger, target)
    assert not target.parent.exists()


@BOTH
async def test_results_take_the_place_of_older_ones_and_are_for_their_owner_alone(file: Path, suffix: str) -> None:
    target = file.with_name(f"out{suffix}")
    async with working(file, new_row(1)) as ledger:
        await write_results(ledger, target)
        target.chmod(0o644)
        await ledger.take_in(sheet_record(), [new_row(1), new_row(2)])
        await write_results(ledger, target)
    assert len(read_back(target)[1]) == 2
    assert target.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in file.parent.iterdir() if each.name.startswith(".out")] == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # xlsxwriter's own open file
async def test_a_workbook_that_cannot_be_packed_is_reported_and_leaves_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    (file.parent / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(file.parent / "tmp"))
    monkeypatch.setattr(xlsxwriter.workbook, "ZipFile", refuse)
    async with working(file, new_row(1)) as ledger:
        with pytest.raises(BatchShareError, match="No space left on device"):
            await write_results(ledger, file.with_name("out.xlsx"))
    gc.collect()  # here, where its warning is expected
    assert [
        each.name for each in file.parent.rglob("*") if each.suffix == ".xlsx" or each.parent.name == "tmp"
    ] == []


async def test_more_than_a_worksheet_holds_is_reported_and_not_cut(file: Path) -> None:
    target = file.with_name("out.xlsx")
    async with working(file) as ledger:
        await with_cells(ledger, ["x"] * 16_380)
        with pytest.raises(BatchShareError, match=r"larger than a worksheet can be: write them as \.csv"):
            await write_results(ledger, target)
        await write_results(ledger, file.with_name("out.csv"))
    assert not target.exists()
