"""What the parser of workbooks does not tell of an .xlsx: what is hidden or merged, and cells without a true value.

Only for Office's XML. Nothing here is resolved, followed or expanded: `limits.check_package` has refused every DTD.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from xml.parsers import expat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import IO

_STEP: Final = 1 << 20
# Seconds are saved on a large sheet that has neither.
_WORTH_PARSING: Final = re.compile(rb"<(?:\w+:)?(?:f|mergeCell)[ />]|hidden=|t=.e.")
_CELL: Final = re.compile(r"([A-Z]{1,3})(\d{1,7})")


NEVER_STORED: Final = "a formula whose value was never stored: open the sheet in a spreadsheet program and save it"
ERROR_VALUE: Final = "an error, not a value: mend its formula"


@dataclass(slots=True)
class Markings:
    """Of one worksheet: hidden rows and columns, merged ranges; by row (from 1) and column (from 0), bad cells."""

    hidden_rows: int = 0
    hidden_columns: int = 0
    merged: int = 0
    faults: dict[int, dict[int, str]] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """What of it a person should know."""
        counts = {
            "hidden rows, read like the others": self.hidden_rows,
            "hidden columns, read like the others": self.hidden_columns,
            "merged ranges: only the first cell of each has the value": self.merged,
        }
        return [f"{count} {what}" for what, count in counts.items() if count]


def read_markings(path: Path, worksheet: str) -> Markings:
    """The markings of `worksheet`; none for a workbook whose XML is not as Office writes it."""
    try:
        with zipfile.ZipFile(path) as package:
            part = _part_of(package, worksheet)
            if part is None or not _is_worth_parsing(package, part):
                return Markings()
            with package.open(part) as source:
                return _Scan().of(source)
    except (LookupError, ValueError, expat.ExpatError, zipfile.BadZipFile):
        return Markings()


def _part_of(package: zipfile.ZipFile, worksheet: str) -> str | None:
    """The file inside the package that holds a worksheet, by way of its relation's Id."""
    sheets = {each.get("name"): _relation(each) for each in _elements(package, "xl/workbook.xml", "sheet")}
    relations = _elements(package, "xl/_rels/workbook.xml.rels", "Relationship")
    targets = {each.get("Id"): each.get("Target", "") for each in relations}
    target = targets.get(sheets.get(worksheet))
    return posixpath.normpath(posixpath.join("/xl", target)).lstrip("/") if target else None


def _relation(attributes: dict[str, str]) -> str | None:
    return next((value for name, value in attributes.items() if name.rpartition(":")[2] == "id"), None)


def _elements(package: zipfile.ZipFile, part: str, name: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []

    def start(element: str, attributes: dict[str, str]) -> None:
        if _local(element) == name:
            found.append(attributes)

    with package.open(part) as source:
        _parse(source, start)
    return found


def _is_worth_parsing(package: zipfile.ZipFile, part: str) -> bool:
    with package.open(part) as source:
        return any(_WORTH_PARSING.search(window) for window in _windows(source))


def _windows(source: IO[bytes]) -> Iterator[bytes]:
    """The file in pieces that overlap, so that nothing is cut in two."""
    tail = b""
    while chunk := source.read(_STEP):
        yield tail + chunk
        tail = chunk[-64:]


class _Scan:
    """One pass over a worksheet's XML."""

    def __init__(self) -> None:
        self._found = Markings()
        self._cell = ""
        self._type: str | None = None
        self._formula = False
        self._valued = False
        self._in_value = False

    def of(self, source: IO[bytes]) -> Markings:
        """What the XML says. Raises ExpatError."""
        _parse(source, self._start, self._end, self._text)
        return self._found

    def _start(self, element: str, attributes: dict[str, str]) -> None:
        match _local(element):
            case "c":
                self._cell, self._type = attributes.get("r", ""), attributes.get("t")
                self._formula = self._valued = False
            case "f":
                self._formula = True
            case "v":
                self._in_value = True
                self._valued = self._type == "str"  # an empty text is a value, an empty number is none
            case "row" if _is_true(attributes.get("hidden")):
                self._found.hidden_rows += 1
            case "col" if _is_true(attributes.get("hidden")):
                self._found.hidden_columns += _width(attributes)
            case "mergeCell":
                self._found.merged += 1

    def _text(self, text: str) -> None:
        self._valued = self._valued or (self._in_value and bool(text))

    def _end(self, element: str) -> None:
        match _local(element):
            case "v":
                self._in_value = False
            case "c" if self._type == "e":
                self._note(ERROR_VALUE)
            case "c" if self._formula and not self._valued:
                self._note(NEVER_STORED)

    def _note(self, fault: str) -> None:
        place = _CELL.fullmatch(self._cell)
        if place is not None:
            self._found.faults.setdefault(int(place[2]), {})[_column(place[1])] = fault


def _width(attributes: dict[str, str]) -> int:
    """Columns in a range; none for one that hides everything right of the data."""
    first, last = (int(attributes.get(name, "0")) for name in ("min", "max"))
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
