"""Hostile workbooks: refused in one sentence before a parser sees them, whatever their XML says."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest
import xlsxwriter

from batch_share.errors import SheetError
from batch_share.settings import SheetLimits
from batch_share.sheet.parsing import check_package
from batch_share.sheet.reader import ReadOptions, read_sheet

if TYPE_CHECKING:
    from pathlib import Path

SHEET = "xl/worksheets/sheet1.xml"


def workbook(path: Path) -> Path:
    """A good workbook with a hidden column, so that its XML is looked at closely."""
    with xlsxwriter.Workbook(path) as book:
        page = book.add_worksheet("One")
        page.write_row(0, 0, ["Lead Number", "User Email", "City"])
        page.write_row(1, 0, [1, "a@x.com", "Pune"])
        page.set_column(2, 2, None, None, {"hidden": True})
    return path


def changed(path: Path, part: str, old: bytes, new: bytes) -> Path:
    """The good workbook with some bytes of one part replaced."""
    with zipfile.ZipFile(workbook(path)) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    assert old in parts[part]
    parts[part] = parts[part].replace(old, new)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in parts.items():
            out.writestr(name, content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(SheetError) as caught:
        check_package(path, SheetLimits())
    assert "\n" not in str(caught.value)
    return caught.value.wrong


def test_a_good_workbook_passes(tmp_path: Path) -> None:
    check_package(workbook(tmp_path / "leads.xlsx"), SheetLimits())


@pytest.mark.parametrize(("size", "passes"), [(1_000_000, True), (1_000_001, False)])
def test_a_file_may_be_as_large_as_the_limit_and_no_larger(size: int, passes: bool, tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    path.write_bytes(bytes(size))
    with pytest.raises(SheetError) as caught:
        read_sheet(path, ReadOptions(limits=SheetLimits(file_mb=1)))
    assert ("sheet.file_mb" in caught.value.wrong) is not passes  # it is no sheet, either


@pytest.mark.parametrize("encoding", [b"utf-7", b"shift_jis", b"nonsense", b"utf-16-le"])
@pytest.mark.parametrize("part", [SHEET, "xl/styles.xml"])
def test_xml_in_an_encoding_that_no_spreadsheet_writes_is_refused(
    part: str, encoding: bytes, tmp_path: Path
) -> None:
    path = changed(tmp_path / "leads.xlsx", part, b'encoding="UTF-8"', b'encoding="%s"' % encoding)
    try:
        assert [*read_sheet(path).rows()]
    except SheetError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either ending is right


@pytest.mark.parametrize("width", [b"x", b"", b"1e3"])
def test_a_column_range_that_is_no_number_does_no_harm(width: bytes, tmp_path: Path) -> None:
    path = changed(tmp_path / "leads.xlsx", SHEET, b'<col min="3"', b'<col min="%s"' % width)
    sheet = read_sheet(path)
    assert [row.number for row in sheet.rows()] == [2]
    assert sheet.notes() == []


@pytest.mark.parametrize("place", [b"XFD1048576", b"ZZZZ99999999999", b"xfd1048576"])
@pytest.mark.parametrize("start", [b'<c r="%s"', b"<c\n s='0' r = '%s'"])
def test_a_cell_far_away_is_refused_before_memory_is_taken_for_all_between(
    start: bytes, place: bytes, tmp_path: Path
) -> None:
    """The parser would ask for half a terabyte, and no exception tells that: the process ends."""
    quote = b'"' if b'"' in start else b"'"
    old = b'<c r="C2"'
    assert quote in start
    assert "delete" in refusal(changed(tmp_path / "leads.xlsx", SHEET, old, start % place))


def test_formats_far_away_are_no_cells(tmp_path: Path) -> None:
    far = b'<c r="XFD1048576" s="0"/></row></sheetData>'
    path = changed(tmp_path / "leads.xlsx", SHEET, b"</row></sheetData>", far)
    check_package(path, SheetLimits())
    assert [row.number for row in read_sheet(path).rows()] == [2]


def test_a_long_sheet_and_a_wide_one_are_not_far(tmp_path: Path) -> None:
    for place in (b"C1048576", b"XFD2"):
        check_package(changed(tmp_path / "leads.xlsx", SHEET, b'<c r="C2"', b'<c r="%s"' % place), SheetLimits())


@pytest.mark.parametrize("digits", [21, 5000])
def test_a_row_number_of_any_length_is_no_error_of_ours(digits: int, tmp_path: Path) -> None:
    place = b'<c r="C%s"' % (b"9" * digits)
    path = changed(tmp_path / "leads.xlsx", SHEET, b'<c r="C2"', place)
    check_package(path, SheetLimits())
