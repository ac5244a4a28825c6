"""What a spreadsheet program makes of a file's cells, by the file's own bytes and not by our reader."""

from __future__ import annotations

import csv
import re
import unicodedata
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import openpyxl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
BEFORE = ["", " ", "  ", "\u00a0", "\u3000", "\ufeff", "\u200b", "\u2060", "\u00ad", '"', "'", "''", "' ", "\x0b"]
LIVE = [f"{before}{start}1+1" for start in STARTS for before in BEFORE]
"""Cells that some program would take for a formula, if nobody prevented it."""

NUMBERS = ["+919876543210", "+91-98765-43210", "00123", "12345678901234567890", "1e5", "-5", "2024-01-02"]

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_QUOTED = re.compile(r'\ufeff?(?:"(?:[^"]|"")*"(?:,|\r\n))*')


def opened(file: Path) -> Any:
    """A workbook as openpyxl reads it, which of a file leaves its parts open for a while."""
    return openpyxl.load_workbook(BytesIO(file.read_bytes()))


def live_cells(file: Path) -> list[str]:
    """The cells that begin like a formula and that nothing keeps from being one."""
    return [*_live_in_csv(file)] if file.suffix == ".csv" else [*_live_in_workbook(file)]


def begins_like_a_formula(text: str) -> bool:
    """Whether the first character that anybody sees is one that formulas begin with."""
    at = 0
    while at < len(text) and text[at] not in STARTS and (_is_unseen(text[at]) or text[at] in "'\""):
        at += 1
    return at < len(text) and text[at] in STARTS


def _is_unseen(char: str) -> bool:
    return unicodedata.category(char)[0] in "ZC"


def _live_in_csv(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8", newline="") as source:
        text = source.read()
    # A cell without quotes is divided by programs that take semicolons or tabs for the end of a cell.
    assert _QUOTED.fullmatch(text)
    for row in csv.reader(text.removeprefix("\ufeff").splitlines(keepends=True)):
        yield from (cell for cell in row if begins_like_a_formula(cell) and not cell.startswith("'"))


def _live_in_workbook(file: Path) -> Iterator[str]:
    with zipfile.ZipFile(file) as parts:
        pages = [name for name in parts.namelist() if name.startswith("xl/worksheets/sheet")]
        sheets = [ET.fromstring(parts.read(name)) for name in pages]
        styles = ET.fromstring(parts.read("xl/styles.xml"))
        assert not [name for name in parts.namelist() if "externalLink" in name or "calcChain" in name]
    kept_as_text = [shape.get("quotePrefix") == "1" for shape in styles.findall(f"{_MAIN}cellXfs/{_MAIN}xf")]
    assert sheets
    for sheet in sheets:
        assert not [*sheet.iter(f"{_MAIN}f"), *sheet.iter(f"{_MAIN}hyperlink")]
        for cell in sheet.iter(f"{_MAIN}c"):
            text = "".join(cell.itertext())
            if cell.get("t") not in {"s", "inlineStr"}:
                float(text or 0)  # a number, or a date, which is one: nothing else is no text
            elif begins_like_a_formula(text) and not kept_as_text[int(cell.get("s", "0"))]:
                yield text
