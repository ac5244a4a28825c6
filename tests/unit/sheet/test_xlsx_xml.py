"""Cells of an .xlsx that have no value: told wherever they stand and however the file is written, never a blank."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_share.common import Cause
from batch_share.errors import SheetError
from batch_share.settings import SheetLimits
from batch_share.sheet.columns import Field
from batch_share.sheet.reader import read_sheet
from batch_share.sheet.rows import RowRules, ShareRow
from batch_share.sheet.table import FAULTS
from batch_share.sheet.workbook import workbook_tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from batch_share.sheet.table import RawRow

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELATIONS = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
PREFIXED = MAIN.replace("xmlns", "xmlns:y")
HEAD = "".join(
    f'<c t="inlineStr"><is><t>{name}</t></is></c>' for name in ("Lead Number", "User Email", "Access", "Rank")
)
MAIL = '<c t="inlineStr"><is><t>a@x.com</t></is></c>'
ERROR = '<c t="e"><f>NA()</f><v>#N/A</v></c>'
DEFAULTS = {Field.ACCESS: "write", Field.DURATION: "7d", Field.EVENT: "201", Field.NOTE: "Note"}


def package(
    path: Path,
    rows: str,
    book: str = "xl/workbook.xml",
    target: str = "worksheets/sheet1.xml",
    part: str = "xl/worksheets/sheet1.xml",
    root: str | None = None,
    before: str = "",
) -> Path:
    """A workbook of these rows, whose parts are called and refer to each other like this."""
    folder, _, name = book.rpartition("/")
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "_rels/.rels": f'<Relationships {RELATIONS}><Relationship Id="r" Type="{OFFICE}/officeDocument" '
        f'Target="{root or book}"/></Relationships>',
        book: f'<workbook {MAIN} xmlns:r="{OFFICE}"><sheets><sheet name="A" r:id="r1"/></sheets></workbook>',
        f"{folder}/_rels/{name}.rels": f'<Relationships {RELATIONS}><Relationship Id="r1" '
        f'Type="{OFFICE}/worksheet" Target="{target}"/></Relationships>',
        part: f"<worksheet {MAIN}>{before}<sheetData>{rows}</sheetData></worksheet>",
    }
    with zipfile.ZipFile(path, "w") as out:
        for each, content in parts.items():
            out.writestr(each, content)
    return path


def reported(path: Path) -> list[str]:
    """Of each row with which access it goes, or what is wrong with it."""
    sheet = read_sheet(path)
    rules = RowRules(sheet.columns, sheet.found, DEFAULTS)
    checked = [rules.check(row) for row in sheet.rows()]
    return [
        word
        for row in checked
        for word in ([f"access {row.access}"] if isinstance(row, ShareRow) else map(str, row))
    ]


@pytest.mark.parametrize(
    "cells",
    [
        f"<row>{HEAD}</row><row><c><v>7</v></c>{MAIL}{ERROR}</row>",
        f'<row r="1">{HEAD}</row><row r="2"><c><v>7</v></c>{MAIL}{ERROR}</row>',
        f'<row>{HEAD}</row><row><c r="A2"><v>7</v></c>{MAIL}<c r="C2" t="e"><v>#N/A</v></c></row>',
        f'<row>{HEAD}</row><row><c><v>7</v></c>{MAIL}<c r="c2" t="e"><v>#N/A</v></c></row>',
        f"<row>{HEAD}</row><row><c><v>7</v></c>{MAIL}<c t='e'><v>#N/A</v></c></row>",
        f'<row>{HEAD}</row><row><c><v>7</v></c>{MAIL}<c s="0"\n t = "e" ><v>#N/A</v></c></row>',
        f'<row>{HEAD}</row><row><c><v>7</v></c>{MAIL}<c t="e"/></row>',
        f'<row>{HEAD}</row><row><c><v>7</v></c>{MAIL}<c t="str"><f>X()</f><v>#N/A</v></c></row>',
        f'<row>{HEAD}</row><y:row {PREFIXED}><c><v>7</v></c>{MAIL}<y:c t="e"><y:v>#N/A</y:v></y:c></y:row>',
    ],
    ids=["no addresses", "rows", "some", "lower case", "apostrophes", "spaced", "empty", "text", "prefixes"],
)
def test_an_error_is_one_however_its_cell_is_written(cells: str, tmp_path: Path) -> None:
    (wrong,) = reported(package(tmp_path / "leads.xlsx", cells))
    assert wrong.startswith("Row 2, Access")
    assert wrong.endswith(FAULTS[Cause.ERROR_VALUE])


@pytest.mark.parametrize(
    "names",
    [
        {"root": "/xl/workbook.xml"},
        {"target": "/xl/worksheets/sheet1.xml"},
        {"target": "other.xml", "part": "xl/other.xml"},
        {"target": "Worksheets/Sheet1.XML"},
        {"part": "xl\\worksheets\\sheet1.xml"},
        {"book": "data/workbook.xml", "part": "xl/worksheets/sheet1.xml", "target": "/xl/worksheets/sheet1.xml"},
        {"book": "data/workbook.xml", "part": "data/worksheets/sheet1.xml"},
        {"book": "xl/book.xml"},
        {"target": "../sheets/s.xml", "part": "sheets/s.xml"},
    ],
    ids=lambda names: " ".join(names.values()),
)
def test_an_error_is_one_whatever_the_parts_are_called(names: dict[str, str], tmp_path: Path) -> None:
    """Or the workbook is refused: some are more than its parser finds."""
    rows = f"<row>{HEAD}</row><row><c><v>7</v></c>{MAIL}{ERROR}</row>"
    try:
        assert reported(package(tmp_path / "leads.xlsx", rows, **names)) == [
            f"Row 2, Access: {FAULTS[Cause.ERROR_VALUE]}"
        ]
    except SheetError as error:
        assert "damaged, or not a workbook" in error.wrong  # noqa: PT017 - either ending is right


def test_a_formula_whose_value_was_never_stored_is_reported_without_addresses_too(tmp_path: Path) -> None:
    rows = f"<row>{HEAD}</row><row><c><v>7</v></c>{MAIL}<c><f>B9</f></c></row>"
    assert reported(package(tmp_path / "leads.xlsx", rows)) == [f"Row 2, Access: {FAULTS[Cause.NEVER_STORED]}"]


def test_a_row_of_nothing_but_errors_is_a_row_unless_no_column_of_them_is_read(tmp_path: Path) -> None:
    full = f"<row>{ERROR * 4}</row>"
    unread = f"<row><c/><c/><c/>{ERROR}</row>"
    rows = f"<row>{HEAD}</row>{unread}{full}{unread}<row><c><v>7</v></c>{MAIL}<c/>{ERROR}</row>{full}"
    names = ("Lead Number", "User Email", "Access")
    wrong = [[f"Row {number}, {name}: {FAULTS[Cause.ERROR_VALUE]}" for name in names] for number in (3, 6)]
    assert sorted(reported(package(tmp_path / "leads.xlsx", rows))) == sorted(["access 2", *wrong[0], *wrong[1]])


@pytest.mark.parametrize("spoilt", ['<c x="&nowhere;"', '<c:c xmlns:d=""'])
def test_a_workbook_whose_errors_cannot_be_reported_is_refused(spoilt: str, tmp_path: Path) -> None:
    """Its parser minds less than an XML parser does, and would show an error as a blank."""
    rows = f"<row>{HEAD}</row><row><c><v>7</v></c>{MAIL}{ERROR}</row><row>{spoilt}><v>1</v></c></row>"
    with pytest.raises(SheetError, match="damaged, or not a workbook"):
        reported(package(tmp_path / "leads.xlsx", rows))


def test_a_binary_workbook_is_refused_for_its_errors_cannot_be_reported(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "leads.xlsx", "w") as out:
        out.writestr("xl/workbook.bin", b"\x83\x01\x00")
    with pytest.raises(SheetError, match=r"save it as \.xlsx"):
        read_sheet(tmp_path / "leads.xlsx")


PLACES = st.lists(st.tuples(st.none() | st.integers(0, 6), st.sampled_from("vvvx")), max_size=5)
ROWS = st.lists(st.tuples(st.none() | st.integers(1, 9), PLACES), min_size=1, max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=ROWS, data=st.data())
def test_an_error_is_reported_in_the_very_place_where_its_value_would_stand(
    table: list[tuple[int | None, list[tuple[int | None, str]]]], data: st.DataObject, tmp_path: Path
) -> None:
    """Whichever rows and cells have addresses, in whatever order."""
    count = sum(len(places) for _, places in table)
    chosen = data.draw(st.integers(0, max(0, count - 1)))
    page = [_read(tmp_path, table, chosen, cell) for cell in ("<v>77</v>", "<v>#N/A</v>")]
    values = {(row.number, at) for row in page[0] for at, text in enumerate(row.cells) if text == "77"}
    faults = {(row.number, at) for row in page[1] for at in row.faults}
    assert values <= faults  # a cell that comes twice has its last value


def _read(
    folder: Path, table: Sequence[tuple[int | None, Sequence[tuple[int | None, str]]]], chosen: int, cell: str
) -> list[RawRow]:
    number, rows = 0, ""
    for at, places in table:
        row = ""
        for column, _ in places:
            kind = ' t="e"' if number == chosen and "#" in cell else ""
            place = f' r="{"ABCDEFG"[column]}{at or 9}"' if column is not None else ""
            row += f"<c{place}{kind}>{cell if number == chosen else '<v>1</v>'}</c>"
            number += 1
        rows += f'<row r="{at}">{row}</row>' if at else f"<row>{row}</row>"
    (found,) = workbook_tables(package(folder / "any.xlsx", rows), None, SheetLimits())
    return [*found.rows()]
