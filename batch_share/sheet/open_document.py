"""OpenDocument spreadsheets (.ods), from their own XML: the parser of workbooks shows an error there as a blank.

Nothing is resolved, followed or expanded: `parsing.check_package` has refused every DTD. What the XML repeats is
laid out only where something stands, and refused where that would not fit into memory.
"""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple
from xml.etree import ElementTree as ET

from batch_share.common import Cause
from batch_share.errors import SheetError
from batch_share.sheet.table import (
    AREA,
    NO_FAULTS,
    PROTECTED,
    TOO_FAR,
    Markings,
    RawRow,
    Worksheet,
    cell_text,
    is_error,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OFFICE, _TABLE, _TEXT, _STYLE, _DRAWING = (
    f"{{urn:oasis:names:tc:opendocument:xmlns:{name}:1.0}}"
    for name in ("office", "table", "text", "style", "drawing")
)
_ERROR_TYPE: Final = "{urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0}value-type"
_WORKSHEET: Final = [f"{_OFFICE}spreadsheet", f"{_TABLE}table"]
_OF_A_TABLE: Final = frozenset({f"{_TABLE}table-row", f"{_TABLE}table-column"})
_CELLS: Final = frozenset({f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"})
_ASIDES: Final = frozenset({
    f"{_OFFICE}annotation", f"{_TEXT}note", f"{_TEXT}ruby-text", f"{_DRAWING}frame",
})  # fmt: skip
_SIGNS: Final = {f"{_TEXT}s": " ", f"{_TEXT}tab": "\t", f"{_TEXT}line-break": "\n"}
_SPANS: Final = (f"{_TABLE}number-columns-spanned", f"{_TABLE}number-rows-spanned")
_VALUES: Final = {
    "float": "value",
    "percentage": "value",
    "currency": "value",
    "date": "date-value",
    "time": "time-value",
    "boolean": "boolean-value",
}
_HIDDEN: Final = frozenset({"collapse", "filter"})

_BLANKS: Final = re.compile(r"[ \t\r\n]+")
_TIME: Final = re.compile(r"PT([0-9]{1,2})H([0-9]{1,2})M([0-9]{1,2})(?:[.,][0-9]+)?S")

_ROW_ITSELF: Final = 16
"""Cells for which a row takes as much memory, beside that of its own."""


class _Run(NamedTuple):
    """So many cells beside each other that say the same."""

    times: int
    text: str
    fault: str | None


@dataclass(slots=True)
class _Page:
    """A worksheet as its XML has it: each row with something in it once, with its number and how often it comes."""

    name: str
    visible: bool
    rows: list[tuple[int, int, list[_Run]]] = field(default_factory=list)
    height: int = 0
    hidden_rows: int = 0
    columns: list[tuple[int, bool]] = field(default_factory=list)
    merged: int = 0

    def add(self, element: ET.Element) -> None:
        """Its next row or column, which may stand for several."""
        hidden = element.get(f"{_TABLE}visibility") in _HIDDEN
        if element.tag == f"{_TABLE}table-column":
            self.columns.append((_count(element, "columns"), hidden))
            return
        count = _count(element, "rows")
        cells = [cell for cell in element if cell.tag in _CELLS]
        runs = [_Run(_count(cell, "columns"), *_content(cell)) for cell in cells]
        while runs and not runs[-1].text and runs[-1].fault is None:
            runs.pop()
        if any(run.text.strip() or run.fault for run in runs):
            self.rows.append((self.height + 1, count, runs))
            self.hidden_rows += count if hidden else 0
        self.merged += sum(any(cell.get(span, "1") != "1" for span in _SPANS) for cell in cells)
        self.height += count


def open_document_worksheets(path: Path) -> list[Worksheet]:
    """Its worksheets. Raises SheetError, and whatever the parsers of zip archives and of XML raise."""
    pages: list[_Page] = []
    hidden_styles = set()
    within: list[str] = []
    with zipfile.ZipFile(path) as package:
        manifest = "META-INF/manifest.xml"
        if manifest in package.namelist() and b"encryption-data" in package.read(manifest):
            raise SheetError(path, PROTECTED)
        with package.open("content.xml") as source:
            for event, element in ET.iterparse(source, ("start", "end")):  # noqa: S314 - no DTD, no entity
                if event == "start":
                    within.append(element.tag)
                    if within[2:] == _WORKSHEET:
                        visible = element.get(f"{_TABLE}style-name") not in hidden_styles
                        pages.append(_Page(element.get(f"{_TABLE}name", ""), visible))
                    continue
                within.pop()
                if element.tag in _OF_A_TABLE and within[2:4] == _WORKSHEET and f"{_TABLE}table" not in within[4:]:
                    pages[-1].add(element)
                    element.clear()
                elif element.tag == f"{_STYLE}style":
                    properties = element.find(f"{_STYLE}table-properties")
                    if properties is not None and properties.get(f"{_TABLE}display") == "false":
                        hidden_styles.add(element.get(f"{_STYLE}name"))
    return [Worksheet(page.name, page.visible, partial(_laid_out, path, page)) for page in pages]


def _laid_out(path: Path, page: _Page) -> tuple[Iterator[RawRow], Markings]:
    widths = [sum(run.times for run in runs) for _, _, runs in page.rows]
    if sum(count * (width + _ROW_ITSELF) for width, (_, count, _) in zip(widths, page.rows, strict=True)) > AREA:
        raise SheetError(path, TOO_FAR)
    hidden_columns = 0
    left = max(widths, default=0)
    for count, hidden in page.columns:
        hidden_columns += min(count, left) if hidden else 0
        left = max(0, left - count)
    return _rows(page), Markings(page.hidden_rows, hidden_columns, page.merged)


def _rows(page: _Page) -> Iterator[RawRow]:
    for first, count, runs in page.rows:
        cells = [run for run in runs for _ in range(run.times)]
        texts = [cell.text for cell in cells]
        faults = {column: cell.fault for column, cell in enumerate(cells) if cell.fault is not None}
        for number in range(first, first + count):
            yield RawRow(number, texts, faults=faults or NO_FAULTS)


def _count(element: ET.Element, what: str) -> int:
    return max(1, int(element.get(f"{_TABLE}number-{what}-repeated", "1")))


def _content(cell: ET.Element) -> tuple[str, str | None]:
    """What a cell says, or why it says nothing."""
    if cell.get(_ERROR_TYPE) == "error":
        return "", Cause.ERROR_VALUE
    kind = cell.get(f"{_OFFICE}value-type", "")
    value = cell.get(f"{_OFFICE}{_VALUES.get(kind, 'string-value')}")
    is_formula = f"{_TABLE}formula" in cell.attrib
    if value is not None and not is_formula:
        return _as_shown(kind, value), None
    shown = "\n".join("".join(_pieces(each)) for each in cell.iterfind(f"{_TEXT}p"))
    if is_formula and is_error(shown):
        return "", Cause.ERROR_VALUE
    if value is not None:
        return _as_shown(kind, value), None
    return ("", Cause.NEVER_STORED) if is_formula and not shown and kind != "string" else (shown, None)


def _as_shown(kind: str, value: str) -> str:
    match kind:
        case "float" | "percentage" | "currency":
            return cell_text(float(value))
        case "boolean":
            return value.upper()
        case "date":
            with suppress(ValueError):
                return cell_text(dt.datetime.fromisoformat(value))
        case "time" if time := _TIME.fullmatch(value):
            hours, minutes, seconds = map(int, time.groups())
            with suppress(ValueError):
                return str(dt.time(hours, minutes, seconds))
    return value


def _pieces(element: ET.Element) -> Iterator[str]:
    """The text within an element, with the blanks that XML leaves to elements of their own."""
    yield _BLANKS.sub(" ", element.text or "")
    for child in element:
        if child.tag in _SIGNS:
            yield _SIGNS[child.tag] * int(child.get(f"{_TEXT}c", "1"))
        elif child.tag not in _ASIDES:
            yield from _pieces(child)
        yield _BLANKS.sub(" ", child.tail or "")
