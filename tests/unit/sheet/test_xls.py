"""Old workbooks: errors, hidden rows, passwords and broken containers are told, and nothing is printed."""

from __future__ import annotations

import datetime as dt
import struct
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
import xlwt

from batch_share.common import Cause
from batch_share.errors import SheetError
from batch_share.sheet.columns import Field
from batch_share.sheet.reader import read_sheet
from batch_share.sheet.rows import RowRules
from batch_share.sheet.table import FAULTS, NO_FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEAD = ["Lead Number", "User Email", "Access", "Action", "Start", "Duration", "Until", "Rank"]
FILLED: list[object] = [7, "a@x.com", "read", "share", dt.date(2026, 1, 2), "7d"]
DEFAULTS = {Field.ACCESS: "write", Field.DURATION: "7d", Field.EVENT: "201", Field.NOTE: "Note"}
FREE = 0xFFFFFFFF
END = 0xFFFFFFFE
NOT_THERE = 0x2A  # by its name xlwt does not know it
DATE = xlwt.easyxf(num_format_str="yyyy-mm-dd")


def book(*rows: list[object]) -> tuple[xlwt.Workbook, Any]:
    """A workbook with one worksheet of these rows; what begins with a # is an error."""
    made = xlwt.Workbook()
    page = made.add_sheet("One")
    table: list[list[object]] = [[*HEAD], *rows]
    for number, cells in enumerate(table):
        for column, cell in enumerate(cells):
            if isinstance(cell, str) and cell.startswith("#"):
                page.row(number).set_cell_error(column, NOT_THERE if cell == "#N/A" else cell)
            elif cell is not None:
                page.write(number, column, cell, DATE if isinstance(cell, dt.date) else xlwt.Style.default_style)
    return made, page


def saved(made: xlwt.Workbook, path: Path) -> Path:
    made.save(str(path))
    return path


@pytest.fixture(autouse=True)
def nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Its parser writes of what is odd to the screen, unless it is told not to."""
    yield
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("error", ["#N/A", "#REF!", "#DIV/0!", "#NAME?", "#VALUE!", "#NUM!", "#NULL!"])
@pytest.mark.parametrize("column", range(7))
def test_an_error_makes_its_row_invalid_and_is_never_a_default(column: int, error: str, tmp_path: Path) -> None:
    row = [*FILLED, None]
    row[column] = error
    if HEAD[column] == "Until":
        row[HEAD.index("Duration")] = None
    sheet = read_sheet(saved(book(row)[0], tmp_path / "leads.xls"))
    (raw,) = sheet.rows()
    problems = RowRules(sheet.columns, sheet.found, DEFAULTS).check(raw)
    assert isinstance(problems, list)
    assert [str(problem) for problem in problems] == [f"Row 2, {HEAD[column]}: {FAULTS[Cause.ERROR_VALUE]}"]


def test_an_error_of_a_formula_is_one_too(tmp_path: Path) -> None:
    """Where a formula has a number, an error has two bytes of ones, and its code."""
    made, page = book([*FILLED[:2], None])
    page.write(1, 2, xlwt.Formula("NA()"))
    content = bytearray(made.get_biff_data())
    formula, at = 0x0006, 0
    while int.from_bytes(content[at : at + 2], "little") != formula:
        at += 4 + int.from_bytes(content[at + 2 : at + 4], "little")
    content[at + 10 : at + 18] = bytes([2, 0, NOT_THERE, 0, 0, 0, 0xFF, 0xFF])
    (tmp_path / "leads.xls").write_bytes(content)
    (row,) = read_sheet(tmp_path / "leads.xls").rows()
    assert (row.cells[2], row.faults) == ("", {2: Cause.ERROR_VALUE})


def test_an_error_in_a_column_that_is_not_read_does_no_harm_and_one_below_all_is_reported(tmp_path: Path) -> None:
    rows: list[list[object]] = [[*FILLED, None, "#N/A"], ["#N/A"] * 2, [None] * 7 + ["#N/A"]]
    sheet = read_sheet(saved(book(*rows)[0], tmp_path / "leads.xls"))
    first, last = sheet.rows()
    assert not isinstance(RowRules(sheet.columns, sheet.found, DEFAULTS).check(first), list)
    assert (last.number, last.faults) == (3, {0: Cause.ERROR_VALUE, 1: Cause.ERROR_VALUE})


def test_hidden_rows_and_columns_and_merged_ranges_are_reported(tmp_path: Path) -> None:
    made, page = book(FILLED, FILLED, FILLED)
    page.row(2).hidden = page.row(3).hidden = page.row(90).hidden = True
    page.col(5).hidden = page.col(90).hidden = True
    page.write_merge(1, 2, 7, 7, "x")
    sheet = read_sheet(saved(made, tmp_path / "leads.xls"))
    assert len([*sheet.rows()]) == 3
    assert sheet.notes() == [
        "2 hidden rows, read like the others",
        "1 hidden column, read like the others",
        "1 merged range: only the first cell of each has the value",
    ]


def test_a_workbook_with_odd_formats_is_read_and_what_it_hides_is_said_to_be_unseen(tmp_path: Path) -> None:
    content = book(FILLED, ["#N/A"])[0].get_biff_data()
    function_groups, palette = struct.pack("<HH", 0x009C, 2), struct.pack("<HHH", 0x0092, 2, 56)
    assert content.count(function_groups) == 1
    at = content.index(function_groups)
    (tmp_path / "leads.xls").write_bytes(content[:at] + palette + content[at + len(palette) :])
    sheet = read_sheet(tmp_path / "leads.xls")
    assert [row.faults for row in sheet.rows()] == [NO_FAULTS, {0: Cause.ERROR_VALUE}]
    assert sheet.notes() == ["hidden rows and columns and merged ranges can't be told in this file"]


@pytest.mark.parametrize("since_1904", [False, True])
@pytest.mark.parametrize(
    ("days", "shape", "text"),
    [
        (46022, "yyyy-mm-dd", "2025-12-31"),
        (46022.75, "yyyy-mm-dd", "2025-12-31 18:00:00"),
        (0.5, "hh:mm", "12:00:00"),
        (1.5, "[h]:mm", "1 day, 12:00:00"),
        (7, "[ss].00", "7 days, 0:00:00"),
        (-3, "yyyy-mm-dd", "-3"),
        (10_000_000, "yyyy-mm-dd", "10000000"),
        (7, "[Red]0", "7"),
        (0.1, "0.0", "0.1"),
        (1234567890123456, "0", "1.23456789012346E+15"),
    ],
)
def test_a_number_is_shown_by_its_kind(
    days: float, shape: str, text: str, since_1904: bool, tmp_path: Path
) -> None:
    made, page = book(FILLED)
    made.dates_1904 = since_1904
    page.write(1, 7, days - 1462 * (since_1904 and days > 40_000 and shape == "yyyy-mm-dd" and days < 50_000),
               xlwt.easyxf(num_format_str=shape))  # fmt: skip
    (row,) = read_sheet(saved(made, tmp_path / "leads.xls")).rows()
    assert row.cells[7] == text


def test_a_workbook_of_all_the_rows_there_can_be_is_read(tmp_path: Path) -> None:
    made, page = book()
    for number in range(1, 65_536, 7):  # the last of which is 65,535
        page.write(number, 0, number)
    *_, last = read_sheet(saved(made, tmp_path / "leads.xls")).rows()
    assert (last.number, last.cells[0]) == (65_536, "65535")


def test_a_worksheet_that_is_hidden_is_not_taken(tmp_path: Path) -> None:
    made, page = book(FILLED)
    page.visibility = 1
    made.add_sheet("Shown").write(0, 0, "Read me")
    with pytest.raises(SheetError, match="no column for the lead"):
        read_sheet(saved(made, tmp_path / "leads.xls"))


# ---------------------------------------------------------------------------------------------- old versions


def record(kind: int, content: bytes) -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def old(version: int, *rows: list[str | float]) -> bytes:
    """A worksheet as Excel 2, 3, 4 or 95 (which is 5) wrote it; that of 95 in a workbook."""
    beginning = {2: 0x0009, 3: 0x0209, 4: 0x0409, 5: 0x0809}[version]
    coding = record(0x0042, struct.pack("<H", 1252))
    page = b""
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            place = struct.pack("<HH", row, column) + bytes(3 if version == 2 else 2)
            if isinstance(cell, str):
                length = struct.pack("<B" if version == 2 else "<H", len(cell))
                page += record(0x0004 if version == 2 else 0x0204, place + length + cell.encode("cp1252"))
            else:
                page += record(0x0003 if version == 2 else 0x0203, place + struct.pack("<d", cell))
    ending = record(0x000A, b"")
    if version < 5:
        return record(beginning, struct.pack("<HH", 0, 0x10)) + coding + page + ending
    globally, locally = (record(beginning, struct.pack("<HHHH", 0x0500, kind, 0, 0)) for kind in (5, 0x10))
    listed = b"\0\0\5Leads"
    at = len(globally) + len(coding) + 8 + len(listed) + len(ending)
    return globally + coding + record(0x0085, struct.pack("<I", at) + listed) + ending + locally + page + ending


@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_a_workbook_of_excel_95_or_older_is_read(version: int, tmp_path: Path) -> None:
    (tmp_path / "leads.xls").write_bytes(
        old(version, ["Lead Number", "User Email", "Näme"], [7, "a@x.com", "Müller"])
    )
    sheet = read_sheet(tmp_path / "leads.xls")
    assert sheet.columns == ["Lead Number", "User Email", "Näme"]
    assert [row.cells for row in sheet.rows()] == [["7", "a@x.com", "Müller"]]


def test_a_workbook_of_excel_95_is_read_from_its_container_too(tmp_path: Path) -> None:
    rows: list[list[str | float]] = [[number, "a@x.com"] for number in range(200)]
    content = old(5, ["Lead Number", "User Email"], *rows)
    sectors = -(-len(content) // 512)
    chain = [*range(3, 2 + sectors), END]
    head = looping([0xFFFFFFFD, END, *chain], [("Root Entry", 5, END, 0), ("Book", 2, 2, len(content))])
    (tmp_path / "leads.xls").write_bytes(head + content.ljust(512 * sectors, b"\0"))
    assert len([*read_sheet(tmp_path / "leads.xls").rows()]) == 200


# ------------------------------------------------------------------------------------------------- containers


def test_a_protected_workbook_is_refused_with_what_to_do(tmp_path: Path) -> None:
    content = book(FILLED)[0].get_biff_data()
    size = int.from_bytes(content[2:4], "little") + 4
    protected = content[:size] + struct.pack("<HHH", 0x002F, 2, 0) + content[size:]
    (tmp_path / "leads.xls").write_bytes(protected)
    with pytest.raises(SheetError, match="protected with a password: remove it and try again"):
        read_sheet(tmp_path / "leads.xls")


def looping(sectors: list[int], entries: list[tuple[str, int, int, int]], **counts: int) -> bytes:
    """A container of one kilobyte: a table of sectors and a directory, both as they are given."""
    head = bytearray(512)
    head[:8] = bytes.fromhex("d0cf11e0a1b11ae1")
    struct.pack_into("<HHHHH", head, 24, 0x3E, 3, 0xFFFE, 9, 6)
    struct.pack_into(
        "<IIIIIIIII",
        head,
        44,
        counts.get("tables", 1),
        1,
        0,
        4096,
        counts.get("small", END),
        counts.get("smalls", 0),
        counts.get("more", END),
        counts.get("mores", 0),
        0,
    )
    for at in range(80, 512, 4):
        struct.pack_into("<I", head, at, FREE)
    table = b"".join(struct.pack("<I", each) for each in [*sectors, *[FREE] * (128 - len(sectors))])
    directory = b""
    for name, kind, start, size in entries:
        title = name.encode("utf-16-le")
        child = 1 if kind == 5 else FREE
        directory += title.ljust(64, b"\0") + struct.pack("<HBBIII", len(title) + 2, kind, 1, FREE, FREE, child)
        directory += bytes(36) + struct.pack("<IQ", start, size)
    return bytes(head) + table + directory.ljust(512, b"\0")


@pytest.mark.parametrize(
    "content",
    [
        looping([0xFFFFFFFD, 1], []),
        looping([0xFFFFFFFD, 1], [("Root Entry", 5, END, 0), ("Workbook", 2, 1, 0xFFFFF000)]),
        looping([0xFFFFFFFD, END], [("Root Entry", 5, 1, 0xFFFFF000), ("Workbook", 2, 0, 100)]),
        looping([0xFFFFFFFD, 1], [("Root Entry", 5, 1, 512), ("Workbook", 2, 0, 100)], small=1, smalls=0xFFFFFF),
        looping([0xFFFFFFFD, END], [("Root Entry", 5, END, 0)], tables=0xFFFFFFFF, more=1, mores=0x2040810),
        looping([0xFFFFFFFD, END], [("Root Entry", 5, END, 0), ("WordDocument", 2, END, 0)]),
    ],
    ids=["directory", "workbook", "small ones", "their table", "tables", "no workbook"],
)
def test_a_container_that_loops_is_refused_and_takes_no_memory(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "leads.xls").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(SheetError):
            read_sheet(tmp_path / "leads.xls")
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()
