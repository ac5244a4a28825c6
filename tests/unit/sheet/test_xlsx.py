"""Workbooks that Excel opens and calamine does not: read by another way, with the same cells."""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest
import xlsxwriter

from batch_share.common import Cause
from batch_share.errors import SheetError
from batch_share.sheet import excel
from batch_share.sheet.reader import ReadOptions, read_sheet
from batch_share.sheet.table import DAMAGED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batch_share.sheet.reader import Sheet

PAGE = "xl/worksheets/sheet1.xml"
DATE, TIME, ELAPSED = "yyyy-mm-dd hh:mm", "hh:mm:ss", "[h]:mm"
MOMENT = dt.datetime(2026, 12, 31, 18, 30)  # noqa: DTZ001 - a cell has no zone
CELLS: list[tuple[object, str | None]] = [
    (7, None),
    (1.5, None),
    (0.3, None),
    (1e20, None),
    (1234567890123456, None),
    (True, None),
    ("00123", None),
    (" blanks ", None),
    ("Jürgen 𝕏 & <b>", None),
    (MOMENT, DATE),
    (MOMENT.date(), DATE),
    (dt.time(3, 4, 5), TIME),
    (1.75, ELAPSED),
    (0.25, "0%"),
    ("=NA()", "#N/A"),
    ('=IF(1,"","")', "empty"),
    ("=A1", "7"),
    ("=B1", "none"),
]
Parts = dict[str, bytes]


def book(path: Path, spoil: Callable[[Parts], Parts] = lambda parts: parts, *, since_1904: bool = False) -> Path:
    """A workbook with a cell of each kind, a hidden row and a merged range, its parts spoilt."""
    with xlsxwriter.Workbook(path, {"date_1904": since_1904}) as made:
        page = made.add_worksheet("One")
        page.write_row(2, 1, ["Lead Number", "User Email", "X"])
        for row, (value, shape) in enumerate(CELLS, start=4):
            page.write_row(row, 1, [row, "a@x.com"])
            if isinstance(value, str) and value.startswith("="):
                page.write_formula(row, 3, value, None, shape)
            else:
                page.write(row, 3, value, shape and made.add_format({"num_format": shape}))
        page.set_row(5, None, None, {"hidden": True})
        page.merge_range("B40:C41", "below")
        second = made.add_worksheet("Macros")
        second.write_row(0, 0, ["Lead Number", "User Email"])
    with zipfile.ZipFile(path) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    # Formulas with an empty text and with no value, which this library does not write.
    parts[PAGE] = parts[PAGE].replace(b"<v>empty</v>", b"<v></v>").replace(b"<v>none</v>", b"")
    with zipfile.ZipFile(path, "w") as out:
        for name, content in spoil(parts).items():
            out.writestr(name, content)
    return path


def dimension(of: bytes) -> Callable[[Parts], Parts]:
    def spoil(parts: Parts) -> Parts:
        return parts | {PAGE: re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="%s"' % of, parts[PAGE])}

    return spoil


def of_macros(parts: Parts) -> Parts:
    """The second worksheet becomes one of macros."""
    for name in ("[Content_Types].xml", "xl/_rels/workbook.xml.rels"):
        parts[name] = parts[name].replace(b"worksheets/sheet2", b"macrosheets/sheet2")
    relations = parts["xl/_rels/workbook.xml.rels"]
    kind = rb'Type="[^"]*" Target="macrosheets'
    macros = b'Type="http://schemas.microsoft.com/office/2006/relationships/xlMacrosheet" Target="macrosheets'
    parts["xl/_rels/workbook.xml.rels"] = re.sub(kind, macros, relations)
    parts["xl/macrosheets/sheet2.xml"] = parts.pop("xl/worksheets/sheet2.xml")
    return parts


def in_utf_16(name: str) -> Callable[[Parts], Parts]:
    def spoil(parts: Parts) -> Parts:
        return parts | {name: parts[name].decode().replace("UTF-8", "UTF-16").encode("utf-16")}

    return spoil


def of_another_name(parts: Parts) -> Parts:
    renamed = (name.replace("workbook.xml", "book.xml") for name in parts)
    return dict(zip(renamed, (each.replace(b"workbook.xml", b"book.xml") for each in parts.values()), strict=True))


def of_an_error_of_tomorrow(parts: Parts) -> Parts:
    return parts | {PAGE: parts[PAGE].replace(b"#N/A", b"#TOMORROW!")}


def everything(sheet: Sheet) -> tuple[list[object], list[str]]:
    """What was read, and what is said of it."""
    rows = [(row.number, [*row.cells], {**row.faults}, row.problem) for row in sheet.rows()]
    return [sheet.worksheet, sheet.header_row, sheet.columns, rows], [*sheet.notes()]


@pytest.mark.parametrize("since_1904", [False, True])
@pytest.mark.parametrize(
    "spoil",
    [
        *map(dimension, [b"1:3", b"B:D", b"A0:D9", b"D9:B3", b"", b"B3"]),
        of_macros,
        *map(in_utf_16, [PAGE, "xl/sharedStrings.xml", "xl/styles.xml", "xl/workbook.xml"]),
        of_another_name,
        of_an_error_of_tomorrow,
    ],
    ids=[
        "rows",
        "columns",
        "row 0",
        "backwards",
        "none",
        "one cell",
        "macros",
        "UTF-16",
        "texts in UTF-16",
        "styles in UTF-16",
        "workbook in UTF-16",
        "name",
        "error",
    ],
)
def test_an_odd_workbook_has_the_cells_that_it_has_when_it_is_not_odd(
    spoil: Callable[[Parts], Parts], since_1904: bool, tmp_path: Path
) -> None:
    plain, plain_notes = everything(
        read_sheet(book(tmp_path / "plain.xlsx", since_1904=since_1904), ReadOptions("One"))
    )
    odd, odd_notes = everything(read_sheet(book(tmp_path / "leads.xlsm", spoil, since_1904=since_1904)))
    assert odd == plain
    assert odd_notes == plain_notes[spoil is of_macros :]  # it has but one worksheet then


@pytest.mark.parametrize(
    ("spoil", "engines"), [(dimension(b"B3:D41"), ["calamine"]), (dimension(b"1:3"), ["calamine", "openpyxl"])]
)
def test_each_way_tells_what_a_cell_has_and_what_it_has_not(
    spoil: Callable[[Parts], Parts], engines: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened: list[str] = []

    def spied(path: Path, engine: str, real: Callable[[Path, str], Any] = excel._open) -> Any:
        opened.append(engine)
        return real(path, engine)

    monkeypatch.setattr(excel, "_open", spied)
    rows = [*read_sheet(book(tmp_path / "leads.xlsx", spoil), ReadOptions("One")).rows()]
    assert opened == engines
    assert [row.cells[3] for row in rows[: len(CELLS)]] == [
        "7", "1.5", "0.3", "1.00000000000000E+20", "1.23456789012346E+15", "TRUE", "00123", " blanks ",
        "Jürgen 𝕏 & <b>", "2026-12-31 18:30:00", "2026-12-31", "03:04:05", "1 day, 18:00:00", "0.25",
        "", "", "7", "",
    ]  # fmt: skip
    faults = {row.number: dict(row.faults) for row in rows if row.faults}
    assert faults == {19: {3: Cause.ERROR_VALUE}, 22: {3: Cause.NEVER_STORED}}


def test_an_odd_workbook_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    def cut(parts: Parts) -> Parts:
        odd = dimension(b"1:3")(parts)
        return odd | {PAGE: odd[PAGE][: len(odd[PAGE]) // 2]}

    with pytest.raises(SheetError) as caught:
        read_sheet(book(tmp_path / "leads.xlsx", cut), ReadOptions("One"))
    assert caught.value.wrong == DAMAGED


def test_macros_are_no_worksheet(tmp_path: Path) -> None:
    with pytest.raises(SheetError, match="it has no worksheet 'Macros', only 'One'"):
        read_sheet(book(tmp_path / "leads.xlsm", of_macros), ReadOptions("Macros"))


@pytest.mark.usefixtures("parsed_apart")
def test_what_another_way_warns_of_does_no_harm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "error")

    def with_an_extension(parts: Parts) -> Parts:
        odd = dimension(b"1:3")(parts)
        extension = b'<extLst><ext uri="{CCE6A557-97BC-4b89-ADB6-D9C93CAAB3DF}"/></extLst></worksheet>'
        return odd | {PAGE: odd[PAGE].replace(b"</worksheet>", extension)}

    assert [*read_sheet(book(tmp_path / "leads.xlsx", with_an_extension), ReadOptions("One")).rows()]


def test_a_workbook_whose_look_was_taken_is_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[Any] = []
    load = openpyxl.load_workbook

    def noted(*args: Any, **more: Any) -> Any:
        opened.append(load(*args, **more))
        return opened[-1]

    monkeypatch.setattr(openpyxl, "load_workbook", noted)
    with pytest.raises(LookupError):
        excel.look_of(book(tmp_path / "leads.xlsx"), "One", ["no such header"])
    assert [each._archive.fp for each in opened] == [None]
