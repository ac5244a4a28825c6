"""Workbooks of every kind: dates, numbers, truths and blanks arrive as a spreadsheet shows them."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import odf.opendocument
import odf.table
import openpyxl
import pytest
import xlwt

from batch_share.errors import SheetError
from batch_share.sheet.reader import ReadOptions, read_sheet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAD = ["Lead Number", "User Email", "X"]
VALUES: list[tuple[object, str]] = [
    (7, "7"),
    (1.5, "1.5"),
    (True, "TRUE"),
    ("NA", "NA"),
    ("00123", "00123"),
    (dt.datetime(2026, 12, 31), "2026-12-31"),  # noqa: DTZ001 - a cell has no zone
    (dt.datetime(2026, 12, 31, 18, 30), "2026-12-31 18:30:00"),  # noqa: DTZ001
]


def office(path: Path, value: object) -> None:
    book = openpyxl.Workbook()
    book.active.append(HEAD)
    book.active.append([1, "a@x.com", value])
    book.save(path)


def old_office(path: Path, value: object) -> None:
    book = xlwt.Workbook()
    page = book.add_sheet("One")
    shape = (
        xlwt.easyxf(num_format_str="yyyy-mm-dd hh:mm")
        if isinstance(value, dt.datetime)
        else xlwt.Style.default_style
    )
    for column, head in enumerate(HEAD):
        page.write(0, column, head)
    page.write(1, 0, 1)
    page.write(1, 2, value, shape)
    book.save(str(path))


@pytest.mark.parametrize(
    ("suffix", "write"),
    [(".xlsx", office), (".xlsm", office), (".xls", old_office)],
    ids=lambda each: str(each)[:5],
)
@pytest.mark.parametrize(("value", "text"), VALUES)
def test_a_value_arrives_as_it_is_shown_in_every_kind_of_workbook(
    value: object, text: str, suffix: str, write: Callable[[Path, object], None], tmp_path: Path
) -> None:
    path = tmp_path / f"leads{suffix}"
    write(path, value)
    (row,) = read_sheet(path).rows()
    assert (row.number, row.cells[0], row.cells[2]) == (2, "1", text)


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"valuetype": "float", "value": "7"}, "7"),
        ({"valuetype": "date", "datevalue": "2026-12-31"}, "2026-12-31"),
        ({"valuetype": "boolean", "booleanvalue": "true"}, "TRUE"),
    ],
)
def test_a_value_of_an_open_document_arrives_as_it_is_shown(
    attributes: dict[str, str], text: str, tmp_path: Path
) -> None:
    book = odf.opendocument.OpenDocumentSpreadsheet()
    table = odf.table.Table(name="One")
    for cells in ([{"valuetype": "string", "stringvalue": head} for head in HEAD], [attributes] * 3):
        row = odf.table.TableRow()
        for each in cells:
            row.addElement(odf.table.TableCell(**each))
        table.addElement(row)
    book.spreadsheet.addElement(table)
    book.save(str(tmp_path / "leads.ods"))
    (found,) = read_sheet(tmp_path / "leads.ods").rows()
    assert list(found.cells) == [text] * 3


def several(path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["Read me first"])
    for name, state in [("Hidden", "hidden"), ("Very", "veryHidden"), ("First", "visible"), ("Second", "visible")]:
        page = book.create_sheet(name)
        page.append(["Cover"])
        page.append(HEAD)
        page.append([len(name), "a@x.com", name])
        page.sheet_state = state
    book.save(path)


@pytest.mark.parametrize(("wanted", "taken"), [(None, "First"), ("Second", "Second"), ("Very", "Very")])
def test_the_first_visible_fitting_worksheet_is_taken_unless_one_is_named(
    wanted: str | None, taken: str, tmp_path: Path
) -> None:
    several(tmp_path / "leads.xlsx")
    sheet = read_sheet(tmp_path / "leads.xlsx", ReadOptions(worksheet=wanted))
    assert (sheet.worksheet, sheet.header_row) == (taken, 2)
    assert [row.cells[2] for row in sheet.rows()] == [taken]
    assert f"worksheet {taken!r}" in sheet.notes()


def test_a_named_worksheet_that_does_not_fit_is_refused_and_no_other_is_taken(tmp_path: Path) -> None:
    several(tmp_path / "leads.xlsx")
    with pytest.raises(SheetError, match="no column for the lead"):
        read_sheet(tmp_path / "leads.xlsx", ReadOptions(worksheet="Sheet"))


@pytest.mark.parametrize("at", [514, 666, 760, 1421])
def test_an_old_workbook_whose_records_are_too_short_is_refused(at: int, tmp_path: Path) -> None:
    """Its parser panics at the length that was changed, and a panic is no Exception."""
    path = tmp_path / "leads.xls"
    old_office(path, "x")
    content = bytearray(path.read_bytes())
    content[at] = 1
    path.write_bytes(content)
    with pytest.raises(SheetError, match="damaged, or not a workbook"):
        read_sheet(path)
