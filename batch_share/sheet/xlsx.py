"""Workbooks of Excel 2007 and later (.xlsx, .xlsm), opened with pandas; what pandas does not tell, from their XML.

calamine reads them, the fastest. What it can't read and Excel can (odd dimensions, sheets of macros among others,
parts in UTF-16 or of other names, errors that it does not know) openpyxl reads, in ten times as long.

What they don't tell is what is hidden or merged, and which cells have no true value. In the XML nothing is
resolved, followed or expanded: `limits.check_package` has refused every DTD. Cells are counted as the parser counts
them, so that a fault stands in the very cell whose value it leaves blank.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from errno import ENOMEM
from functools import cache, partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from xml.parsers import expat

from batch_share.common import Cause
from batch_share.sheet.table import NO_FAULTS, Markings, RawRow, Worksheet, cell_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import IO

_STEP: Final = 1 << 20
_OVERLAP: Final = 1024
# Seconds are saved on a large sheet that has neither.
_WORTH_PARSING: Final = re.compile(
    rb"<(?:[^<>\s/:]{1,99}:)?(?:f|mergeCell)[\s/>]|hidden\s{0,99}=|=\s{0,99}[\"'](?:e[\"']|&)|<\0|\0<"  # UTF-16
)
_CELL: Final = re.compile(r"([A-Za-z]{1,3})([0-9]{1,7})")

Faults = dict[int, dict[int, str]]
"""By row (from 1) and column (from 0), why a cell has no value."""


class Listed(NamedTuple):
    """A worksheet as the workbook names it, and the part of the package that holds it."""

    name: str
    visible: bool
    part: str


def list_worksheets(path: Path) -> list[Listed]:
    """Its worksheets, not its charts, dialogs and macros. Raises ValueError, ExpatError or BadZipFile."""
    with zipfile.ZipFile(path) as package:
        try:
            return _Parts(package).worksheets()
        except LookupError:
            raise ValueError("its parts do not hang together") from None


def read_markings(path: Path, part: str) -> tuple[Markings, Faults]:
    """What is marked in a worksheet. Raises ValueError, ExpatError or BadZipFile where that can't be told."""
    with zipfile.ZipFile(path) as package:
        if not any(_WORTH_PARSING.search(window) for window in _windows(package, part)):
            return Markings(), {}
        with package.open(part) as source:
            return _Scan().of(source)


def is_in_utf_16(path: Path) -> bool:
    """Whether any of its XML is."""
    with zipfile.ZipFile(path) as package:
        for name in package.namelist():
            if name.lower().endswith((".xml", ".rels")):
                with package.open(name) as part:
                    if b"\0" in part.read(4):
                        return True
    return False


class _Parts:
    """Where a package keeps what, by its relations; names are told apart neither by case nor by kind of slash."""

    def __init__(self, package: zipfile.ZipFile) -> None:
        self._package = package
        self._names = {_plain(name): name for name in package.namelist()}

    def worksheets(self) -> list[Listed]:
        """Raises LookupError."""
        book = {kind: to for to, kind in self._relations("").values()}["officeDocument"]
        relations = self._relations(book)
        sheets = [(each, *relations[_relation(each)]) for each in self._elements(book, "sheet")]
        return [
            Listed(sheet["name"], sheet.get("state", "visible") == "visible", self._name(part))
            for sheet, part, kind in sheets
            if kind == "worksheet"
        ]

    def _relations(self, part: str) -> dict[str | None, tuple[str, str]]:
        """By Id, the parts that a part refers to, and as what: by the last word of the address that says so."""
        folder, name = posixpath.split(part)
        elements = self._elements(posixpath.join(folder, "_rels", f"{name}.rels"), "Relationship")
        return {
            each.get("Id"): (
                posixpath.join(f"/{folder}", each.get("Target", "")),
                each.get("Type", "").rpartition("/")[2],
            )
            for each in elements
        }

    def _elements(self, part: str, name: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []

        def start(element: str, attributes: dict[str, str]) -> None:
            if _local(element) == name:
                found.append(attributes)

        with self._package.open(self._name(part)) as source:
            _parse(source, start)
        return found

    def _name(self, part: str) -> str:
        return self._names[_plain(posixpath.normpath(part))]


def _plain(part: str) -> str:
    return part.replace("\\", "/").lstrip("/").lower()


def _relation(attributes: dict[str, str]) -> str | None:
    return next((value for name, value in attributes.items() if name.rpartition(":")[2] == "id"), None)


def _windows(package: zipfile.ZipFile, part: str) -> Iterator[bytes]:
    """The part in pieces that overlap, so that nothing is cut in two."""
    tail = b""
    with package.open(part) as source:
        while chunk := source.read(_STEP):
            yield tail + chunk
            tail = chunk[-_OVERLAP:]


class _Scan:
    """One pass over a worksheet's XML."""

    def __init__(self) -> None:
        self._found = Markings()
        self._faults: Faults = {}
        self._row = self._column = 0
        self._cell = (0, 0)
        self._type: str | None = None
        self._formula = False
        self._valued = False
        self._in_value = False

    def of(self, source: IO[bytes]) -> tuple[Markings, Faults]:
        """What the XML says. Raises ExpatError, ValueError."""
        _parse(source, self._start, self._end, self._text)
        return self._found, self._faults

    def _start(self, element: str, attributes: dict[str, str]) -> None:
        match _local(element):
            case "c":
                self._type = attributes.get("t")
                self._formula = self._valued = False
                self._cell = self._place(attributes.get("r"))
                self._column = self._cell[1] + 1
            case "f":
                self._formula = True
            case "v":
                self._in_value = True
                self._valued = self._type == "str"  # an empty text is a value, an empty number is none
            case "row":
                self._row = int(attributes.get("r", self._row + 1))
                self._column = 0
                self._found.hidden_rows += _is_true(attributes.get("hidden"))
            case "col" if _is_true(attributes.get("hidden")):
                self._found.hidden_columns += _width(attributes)
            case "mergeCell":
                self._found.merged += 1

    def _place(self, address: str | None) -> tuple[int, int]:
        """The cell's row and column: by its address, else the next."""
        if address is None:
            return self._row, self._column
        place = _CELL.fullmatch(address)
        if place is None:
            raise ValueError(f"no address of a cell: {address[:20]!r}")
        return int(place[2]), _column(place[1].upper())

    def _text(self, text: str) -> None:
        self._valued = self._valued or (self._in_value and bool(text))

    def _end(self, element: str) -> None:
        match _local(element):
            case "v":
                self._in_value = False
            case "c" if self._type == "e":
                self._note(Cause.ERROR_VALUE)
            case "c" if self._formula and not self._valued:
                self._note(Cause.NEVER_STORED)

    def _note(self, fault: str) -> None:
        row, column = self._cell
        self._faults.setdefault(row, {})[column] = fault


def _width(attributes: dict[str, str]) -> int:
    """Columns in a range; none for one that hides everything right of the data."""
    try:
        first, last = (int(attributes.get(name, "0")) for name in ("min", "max"))
    except ValueError:
        return 0
    return last - first + 1 if last < 1000 else 0


def _column(letters: str) -> int:
    """`A` is 0, `Z` 25, `AA` 26."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def _is_true(value: str | None) -> bool:
    return value in {"1", "true"}


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _parse(
    source: IO[bytes],
    start: Callable[[str, dict[str, str]], None],
    end: Callable[[str], None] | None = None,
    text: Callable[[str], None] | None = None,
) -> None:
    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.ParseFile(source)


def xlsx_worksheets(path: Path) -> list[Worksheet]:
    """Its worksheets, each read when it is wanted. Raises whatever the parsers of zip archives and XML raise."""
    book = cache(partial(_open_fast, path))
    return [Worksheet(each.name, each.visible, partial(_read, path, book, each)) for each in list_worksheets(path)]


def can_not_read(error: BaseException) -> bool:
    """Whether a parser can't read a file. A panic is no Exception; for want of memory even an import may fail."""
    if isinstance(error, MemoryError | ImportError) or getattr(error, "errno", None) == ENOMEM:
        return False
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _open(path: Path, engine: Any) -> Any:
    import pandas as pd  # noqa: PLC0415 - half a second that another workbook need not wait for

    return pd.ExcelFile(BytesIO(path.read_bytes()), engine=engine).book


def _open_fast(path: Path) -> Any:
    if is_in_utf_16(path):
        raise ValueError("calamine finds nothing in such a part")
    return _open(path, "calamine")


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
        texts = ["" if column in wrong else cell_text(cell) for column, cell in enumerate(cells)]
        yield RawRow(number, texts, faults=wrong)
    # Below the last value there is no row to calamine, whatever errors stand there.
    for number in sorted(faults):
        yield RawRow(number, [], faults=faults[number])
