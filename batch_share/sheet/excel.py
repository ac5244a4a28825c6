"""Workbooks of Excel: .xlsx and .xlsm, opened with pandas; .xls of Excel 2003 and older, with xlrd.

Of the first, calamine reads what it can, the fastest. What it can't read and Excel can (odd dimensions, sheets of
macros among others, parts in UTF-16 or of other names, errors that it does not know) openpyxl reads, in ten times
as long. What neither tells, their XML does: what is hidden or merged, and which cells have no true value. In it
nothing is resolved, followed or expanded: `parsing.check_package` has refused every DTD. Cells are counted as the
parser counts them, so that a fault stands in the very cell whose value it leaves blank.

Of the second, olefile takes the workbook out of its container first. xlrd's own way there follows a chain of
sectors that loops for ever, and refuses containers of some programs, which Excel opens.
"""

from __future__ import annotations

import datetime as dt
import posixpath
import re
import zipfile
from collections import Counter
from contextlib import closing
from errno import ENOMEM
from functools import cache, partial
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from xml.parsers import expat

from batch_share.common import Cause
from batch_share.errors import SheetError
from batch_share.sheet.table import (
    DAMAGED,
    NO_FAULTS,
    PROTECTED,
    Markings,
    RawRow,
    Worksheet,
    cell_text,
    column_named,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
    from pathlib import Path

    from xlrd.book import Book
    from xlrd.sheet import Cell

_STEP: Final = 1 << 20
"""Bytes of a part that are looked through at a time."""

_OVERLAP: Final = 1024
"""Of which so many are looked at twice: more than what is looked for is long."""

# Seconds are saved on a large sheet that has neither.
_WORTH_PARSING: Final = re.compile(
    rb"<(?:[^<>\s/:]{1,99}:)?(?:f|mergeCell)[\s/>]|hidden\s{0,99}=|=\s{0,99}[\"'](?:e[\"']|&)|<\0|\0<"  # UTF-16
)
_SIGNS: Final = (b"<f", b":f", b"mergeCell", b"hidden", b'"e', b"'e", b'"&', b"'&", b"\0")
"""One of them is in whatever that finds."""

_ADDRESS: Final = re.compile(r"([A-Za-z]{1,3})([0-9]{1,7})")
_TRUE: Final = frozenset({"1", "true"})
_WIDE: Final = 1000
"""Columns that are hidden at once, of which it is told how many: more hide everything right of the data."""

Faults = dict[int, dict[int, str]]
"""By row (from 1) and column (from 0), why a cell has no value."""


class Listed(NamedTuple):
    """A worksheet as the workbook names it, and the part of the package that holds it."""

    name: str
    visible: bool
    part: str


def xlsx_worksheets(path: Path) -> list[Worksheet]:
    """Its worksheets, each read when it is wanted. Raises whatever the parsers of zip archives and XML raise."""
    book = cache(partial(_open_fast, path))
    return [Worksheet(each.name, each.visible, partial(_read, path, book, each)) for each in list_worksheets(path)]


def list_worksheets(path: Path) -> list[Listed]:
    """Its worksheets, not its charts, dialogs and macros. Raises ValueError, ExpatError or BadZipFile."""
    with zipfile.ZipFile(path) as package:
        names = {_plain(name): name for name in package.namelist()}
        try:
            book = {kind: to for to, kind in _relations(package, names, "").values()}["officeDocument"]
            relations = _relations(package, names, book)
            found = []
            for sheet in _elements(package, names, book, "sheet"):
                of = next((value for name, value in sheet.items() if name.rpartition(":")[2] == "id"), None)
                part, kind = relations[of]
                if kind == "worksheet":
                    visible = sheet.get("state", "visible") == "visible"
                    found.append(Listed(sheet["name"], visible, names[_plain(posixpath.normpath(part))]))
        except LookupError:
            raise ValueError("its parts do not hang together") from None
    return found


def _plain(part: str) -> str:
    """A part's name as it is known: told apart neither by case nor by kind of slash."""
    return part.replace("\\", "/").lstrip("/").lower()


def _relations(package: zipfile.ZipFile, names: Mapping[str, str], part: str) -> dict[str | None, tuple[str, str]]:
    """By Id, the parts that a part refers to, and as what: by the last word of the address that says so."""
    folder, name = posixpath.split(part)
    elements = _elements(package, names, posixpath.join(folder, "_rels", f"{name}.rels"), "Relationship")
    return {
        each.get("Id"): (
            posixpath.join(f"/{folder}", each.get("Target", "")),
            each.get("Type", "").rpartition("/")[2],
        )
        for each in elements
    }


def _elements(package: zipfile.ZipFile, names: Mapping[str, str], part: str, name: str) -> list[dict[str, str]]:
    """The attributes of each such element of a part. Raises LookupError if there is no such part."""
    found: list[dict[str, str]] = []

    def start(element: str, attributes: dict[str, str]) -> None:
        if element.rpartition(":")[2] == name:
            found.append(attributes)

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    with package.open(names[_plain(posixpath.normpath(part))]) as source:
        parser.ParseFile(source)
    return found


def _open_fast(path: Path) -> Any:
    with zipfile.ZipFile(path) as package:
        for name in package.namelist():
            if name.lower().endswith((".xml", ".rels")):
                with package.open(name) as part:
                    if b"\0" in part.read(4):
                        raise ValueError("it is in UTF-16, in which calamine finds nothing")
    return _open(path, "calamine")


def _open(path: Path, engine: Any) -> Any:
    import pandas as pd  # noqa: PLC0415 - half a second that another workbook need not wait for

    return pd.ExcelFile(BytesIO(path.read_bytes()), engine=engine).book


def can_not_read(error: BaseException) -> bool:
    """Whether a parser can't read a file. A panic is no Exception; for want of memory even an import may fail."""
    if isinstance(error, MemoryError | ImportError) or getattr(error, "errno", None) == ENOMEM:
        return False
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _read(path: Path, book: Callable[[], Any], listed: Listed) -> tuple[Iterator[RawRow], Markings]:
    markings, faults = read_markings(path, listed.part)
    try:
        sheet = book().get_sheet_by_name(listed.name)
    except BaseException as error:
        if not can_not_read(error):
            raise
        sheet = _open(path, "openpyxl")[listed.name]
        sheet.reset_dimensions()
        return _rows(sheet.iter_rows(values_only=True), faults), markings
    before = [None] * (sheet.start[1] if sheet.start else 0)
    return _rows(([*before, *cells] for cells in sheet.iter_rows()), faults), markings


def _rows(values: Iterable[Sequence[object]], faults: Faults) -> Iterator[RawRow]:
    for number, cells in enumerate(values, start=1):
        wrong = faults.pop(number, NO_FAULTS)
        texts = [cell if isinstance(cell, str) else cell_text(cell) for cell in cells]
        for column in wrong:
            if column < len(texts):
                texts[column] = ""
        yield RawRow(number, texts, faults=wrong)
    # Below the last value there is no row to calamine, whatever errors stand there.
    for number in sorted(faults):
        yield RawRow(number, [], faults=faults[number])


# ------------------------------------------------------------------------------------------- how a worksheet looks

_LOOKED_AT: Final = range(50, 1000)
"""Rows among which headers are looked for, and by which it is told how numbers and dates are shown below them."""

_LONGEST_FORMAT: Final = 255
_WIDEST: Final = 100
_LARGEST_FONT: Final = 48
"""A workbook comes from anybody: what Excel would refuse, and what would fill a screen, is not kept."""

_PADDING: Final = 5 / 7
"""Characters of a column's width in which none stands."""

_LAYOUT: Final = re.compile(rb"<(?:\w{1,20}:)?(col|mergeCell)\s([^<>]{0,400})>")
_ATTRIBUTE: Final = re.compile(rb"(\w{1,20})\s{0,9}=\s{0,9}[\"']([^\"']{0,100})")
_RANGE: Final = re.compile(r"([A-Z]{1,3})([0-9]{1,7}):([A-Z]{1,3})([0-9]{1,7})")
_NUMERIC: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_COLOUR: Final = re.compile(r"[0-9A-Fa-f]{2}([0-9A-Fa-f]{6})")


def look_of(path: Path, worksheet: str, columns: Sequence[str]) -> dict[str, Any]:
    """How a worksheet with these headers looks, as `workbook.Look` has it, by the first of its rows.

    Raises LookupError if it has no such headers, and whatever the parsers of zip archives and XML raise.
    """
    import openpyxl  # noqa: PLC0415 - of pandas, which is slower to come, nothing is needed

    part = next(each.part for each in list_worksheets(path) if each.name == worksheet)
    shown: dict[str, list[Counter[str | int]]] = {kind: [Counter() for _ in columns] for kind in ("n", "d", "s")}
    title: list[tuple[int, int, str, str | int, dict[str, Any]]] = []
    header = 0
    # What is left to the collector may be closed by it in the wrong order, with a warning.
    with closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
        sheet = book[worksheet]
        sheet.reset_dimensions()
        for number, row in enumerate(sheet.iter_rows(max_row=_LOOKED_AT.stop), start=1):
            cells = [(at, cell, cell_text(cell.value)) for at, cell in enumerate(row) if cell.value is not None]
            if header:
                for at, cell, text in cells:
                    if at < len(columns) and (cell.data_type != "s" or _NUMERIC.fullmatch(text)):
                        shown.get(cell.data_type, shown["n"])[at][_format(cell)] += 1
            elif {at: text.strip() for at, _, text in cells} == {
                at: each for at, each in enumerate(columns) if each
            }:
                header = number
            elif number > _LOOKED_AT.start:
                break
            else:
                title += [(number - 1, at, text, _format(cell), _style(cell)) for at, cell, text in cells]
    if not header:
        raise LookupError(f"no such headers in {worksheet!r}")
    merged: list[tuple[int, int, int, int]] = []
    widths: dict[int, float] = {}
    with zipfile.ZipFile(path) as package, package.open(part) as source:
        tail = b""
        while chunk := source.read(_STEP):
            for kind, attributes in _LAYOUT.findall(tail + chunk):
                said = {name.decode(): value.decode() for name, value in _ATTRIBUTE.findall(attributes)}
                if kind == b"col":
                    upto, room = min(int(said["max"]), len(columns)), float(said.get("width", 0)) - _PADDING
                    widths |= dict.fromkeys(range(int(said["min"]) - 1, upto), min(max(room, 0), _WIDEST))
                elif (place := _RANGE.fullmatch(said["ref"])) and int(place[4]) < header:
                    ends = int(place[2]) - 1, column_named(place[1]), int(place[4]) - 1, column_named(place[3])
                    merged.append(ends)
            tail = chunk[chunk.rfind(b"<") :]
            if header == 1:  # widths stand before the cells, what is merged behind them
                break
    numbers, dates, texts = ([next(iter(each.most_common(1)), (None, 0)) for each in of] for of in shown.values())
    return {
        "rows_above": header - 1,
        "title": title,
        "merged": merged,
        "widths": [widths.get(at) for at in range(len(columns))],
        "numbers": [form for form, _ in numbers],
        "dates": [form for form, _ in dates],
        "texts": [at for at, (_, found) in enumerate(texts) if found > numbers[at][1]],
    }


def _format(cell: Any) -> str | int:
    """A cell's number format: by its number if Excel knows it by that, as it shows some as each country does."""
    from openpyxl.styles.numbers import BUILTIN_FORMATS_REVERSE  # noqa: PLC0415 - only when it is asked for

    form = str(cell.number_format)
    if len(form) > _LONGEST_FORMAT:
        return "General"
    known: int | None = BUILTIN_FORMATS_REVERSE.get(form)
    return form if known is None else known


def _style(cell: Any) -> dict[str, Any]:
    """How a cell above the headers looks, in xlsxwriter's words. A colour of the theme is left out."""
    style = {"bold": cell.font.b, "italic": cell.font.i, "font_size": min(cell.font.sz or 0, _LARGEST_FONT)}
    style["align"] = cell.alignment.horizontal if cell.alignment.horizontal in {"center", "right"} else None
    for name, colour in (("font_color", cell.font.color), ("bg_color", cell.fill.fill_type and cell.fill.fgColor)):
        if colour and colour.type == "rgb" and (rgb := _COLOUR.fullmatch(colour.rgb)):
            style[name] = f"#{rgb[1]}"
    return {name: value for name, value in style.items() if value}


def read_markings(path: Path, part: str) -> tuple[Markings, Faults]:
    """What is marked in a worksheet. Raises ValueError, ExpatError or BadZipFile where that can't be told."""
    with zipfile.ZipFile(path) as package:
        tail, is_worth_it = b"", False
        with package.open(part) as source:
            while not is_worth_it and (chunk := source.read(_STEP)):
                text = tail + chunk
                is_likely = any(sign in text for sign in _SIGNS)  # found many times as fast
                is_worth_it = is_likely and _WORTH_PARSING.search(text) is not None
                tail = chunk[-_OVERLAP:]
        scan = _Scan()
        if is_worth_it:
            parser = expat.ParserCreate()
            parser.StartElementHandler = scan.start
            parser.EndElementHandler = scan.end
            parser.CharacterDataHandler = scan.text
            with package.open(part) as source:
                parser.ParseFile(source)
    return scan.found, scan.faults


class _Scan:
    """One pass over a worksheet's XML."""

    def __init__(self) -> None:
        self.found = Markings()
        self.faults: Faults = {}
        self._row = self._column = 0
        self._cell = (0, 0)
        self._type: str | None = None
        self._formula = False
        self._valued = False
        self._in_value = False

    def start(self, element: str, attributes: dict[str, str]) -> None:
        match element.rpartition(":")[2]:
            case "c":
                self._type = attributes.get("t")
                self._formula = self._valued = False
                self._cell = self._row, self._column  # without an address it is the next
                if (address := attributes.get("r")) is not None:
                    place = _ADDRESS.fullmatch(address)
                    if place is None:
                        raise ValueError(f"no address of a cell: {address[:20]!r}")
                    self._cell = int(place[2]), column_named(place[1])
                self._column = self._cell[1] + 1
            case "f":
                self._formula = True
            case "v":
                self._in_value = True
                self._valued = self._type == "str"  # an empty text is a value, an empty number is none
            case "row":
                self._row = int(attributes.get("r", self._row + 1))
                self._column = 0
                self.found.hidden_rows += attributes.get("hidden") in _TRUE
            case "col" if attributes.get("hidden") in _TRUE:
                first, last = attributes.get("min", "0"), attributes.get("max", "0")
                if first.isdecimal() and last.isdecimal() and int(last) < _WIDE:
                    self.found.hidden_columns += int(last) - int(first) + 1
            case "mergeCell":
                self.found.merged += 1

    def text(self, text: str) -> None:
        self._valued = self._valued or (self._in_value and bool(text))

    def end(self, element: str) -> None:
        name, fault = element.rpartition(":")[2], None
        if name == "v":
            self._in_value = False
        elif name == "c" and self._type == "e":
            fault = Cause.ERROR_VALUE
        elif name == "c" and self._formula and not self._valued:
            fault = Cause.NEVER_STORED
        if fault is not None:
            self.faults.setdefault(self._cell[0], {})[self._cell[1]] = fault


# --------------------------------------------------------------------------------------- Excel 97 to 2003 and older

_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
_COUNTS_AT: Final = (44, 64, 72)
"""Where the head of a container counts the sectors of its tables: a smaller sector than 512 bytes there is not."""

_DAYS: Final = 2_958_466
"""Dates end with the year 9999."""

_ELAPSED: Final = re.compile(r"\[(h+|m+|s+)\]", re.IGNORECASE)
"""A number format that counts hours (or minutes, seconds) on past a day: no time of a day, and no date."""


def xls_worksheets(path: Path) -> list[Worksheet]:
    """Its worksheets, each read when it is wanted. Raises SheetError, and whatever xlrd and olefile raise."""
    import olefile  # noqa: PLC0415 - a CSV need not wait for it
    import xlrd  # noqa: PLC0415

    content = path.read_bytes()
    if content.startswith(olefile.MAGIC):  # Excel 4 and older knew no containers
        if _ENCRYPTED in content:
            raise SheetError(path, PROTECTED)
        counts = [int.from_bytes(content[at : at + 4], "little") for at in _COUNTS_AT]
        if max(counts) > len(content) // 512:
            raise SheetError(path, DAMAGED)
        with olefile.OleFileIO(BytesIO(content)) as container:
            name = "Workbook" if container.exists("Workbook") else "Book"
            if not container.exists(name) or max(container.root.size, container.get_size(name)) > len(content):
                raise SheetError(path, DAMAGED)
            content = bytes(container.openstream(name).read())
    open_book = partial(
        xlrd.open_workbook, file_contents=content, logfile=StringIO(), on_demand=True, ragged_rows=True
    )
    try:
        book = open_book(formatting_info=True)
    except Exception as error:
        if isinstance(error, xlrd.XLRDError) and "encrypted" in str(error):
            raise SheetError(path, PROTECTED) from None
        book = open_book(formatting_info=False)  # formats are where files of other programs are odd
    hidden = book._sheet_visibility  # noqa: SLF001 - a sheet says it too, but only once it is loaded
    names = book.sheet_names()
    return [Worksheet(name, not hidden[at], partial(_read_xls, book, at)) for at, name in enumerate(names)]


def _read_xls(book: Book, at: int) -> tuple[list[RawRow], Markings]:
    import xlrd  # noqa: PLC0415

    sheet = book.sheet_by_index(at)
    elapsed = {
        index
        for index, shape in enumerate(book.xf_list)
        if _ELAPSED.search(book.format_map[shape.format_key].format_str)
    }
    rows = []
    for number in range(sheet.nrows):
        if cells := sheet.row(number):
            wrong = {
                column: Cause.ERROR_VALUE for column, cell in enumerate(cells) if cell.ctype == xlrd.XL_CELL_ERROR
            }
            texts = [cell_text(_value(cell, elapsed, book.datemode)) for cell in cells]
            rows.append(RawRow(number + 1, texts, faults=wrong or NO_FAULTS))
    markings = Markings(
        hidden_rows=sum(bool(each.hidden) for row, each in sheet.rowinfo_map.items() if row < sheet.nrows),
        hidden_columns=sum(bool(each.hidden) for column, each in sheet.colinfo_map.items() if column < sheet.ncols),
        merged=len(sheet.merged_cells),
        reported=bool(book.formatting_info),
    )
    book.unload_sheet(at)
    return rows, markings


def _value(cell: Cell, elapsed: Set[int], datemode: int) -> object:
    import xlrd  # noqa: PLC0415

    match cell.ctype:
        case xlrd.XL_CELL_ERROR:
            return None
        case xlrd.XL_CELL_BOOLEAN:
            return bool(cell.value)
        case xlrd.XL_CELL_NUMBER | xlrd.XL_CELL_DATE if cell.xf_index in elapsed:
            return dt.timedelta(cell.value)
        case xlrd.XL_CELL_DATE if 0 <= cell.value < _DAYS:
            moment: dt.datetime = xlrd.xldate_as_datetime(cell.value, datemode)
            return moment if cell.value >= 1 else moment.time()
        case _:
            return cell.value
