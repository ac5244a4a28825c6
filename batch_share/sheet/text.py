"""CSV and its kin: comma, semicolon, tab or bar; in UTF-8, UTF-16, Windows-1252 or what is named.

Read with the csv module, row by row: it alone tells a row with too few cells from one whose last cells are blank,
and a sheet of a million rows needs no more memory than one of ten.
"""

from __future__ import annotations

import csv
import re
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, TextIO

from batch_share.errors import SheetError
from batch_share.sheet.columns import letters
from batch_share.sheet.encoding import MARKED, MARKING, UTF_8, WINDOWS_1252, find_encoding, sample
from batch_share.sheet.table import RawRow, Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch_share.settings import SheetLimits
    from batch_share.sheet.encoding import Encoding

DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""What may stand between two cells, the likeliest first."""

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What makes a spreadsheet take a cell's text for a formula, the full-width forms too."""

# Some programs drop blanks, quotation marks and what nobody sees before they look at a cell's first character.
_UNSEEN: Final = r"['\"\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]*"
_FORMULA: Final = re.compile(_UNSEEN + f"[{re.escape(''.join(FORMULA_STARTS))}]")

PEEK: Final = 50
"""Rows among which a header is looked for."""


def text_tables(path: Path, limits: SheetLimits, named: str | None = None) -> list[Table]:
    """The ways to read a text file, one for each delimiter; `named` is its encoding, if somebody said.

    Raises SheetError for what is no text.
    """
    encoding = find_encoding(path, named)
    notes = _notes(path, encoding)
    return [_table(path, encoding, delimiter, notes, limits) for delimiter in DELIMITERS]


def _notes(path: Path, encoding: Encoding) -> list[str]:
    """How it was read, with a sample of it where nothing in the file says so itself."""
    if encoding.is_named or encoding == WINDOWS_1252:
        words = ", ".join(f"“{word}”" for word in sample(path, encoding))
        return [f"read as {encoding.name}{': ' if words else ''}{words}"]
    return [f"{encoding.name} text"] if encoding != UTF_8 else []


def _table(path: Path, encoding: Encoding, delimiter: str, notes: list[str], limits: SheetLimits) -> Table:
    rows = partial(_rows, path, encoding, delimiter, limits)
    told = notes + ([f"cells divided by {DELIMITERS[delimiter]}"] if delimiter != "," else [])
    return Table(None, True, rows, lambda: islice(rows(), PEEK), told)


def _rows(path: Path, encoding: Encoding, delimiter: str, limits: SheetLimits) -> Iterator[RawRow]:
    number = 0
    # Twice as long as the longest cell: whether it is too long is for the caller to say, with its row.
    csv.field_size_limit(2 * limits.cell_characters)
    try:
        with path.open(encoding=encoding.codec, errors=MARKING, newline="") as file:
            source = csv.reader(_lines(file), strict=True, delimiter=delimiter)
            for number, cells in enumerate(source, start=1):
                _check_text(path, encoding, number, cells)
                yield RawRow(number, [_unguarded(cell) for cell in cells])
    except csv.Error as error:
        problem = f"can't be read from here on ({error}): look for a quotation mark that is not closed"
        raise SheetError(path, problem, row=number + 1) from None
    except OSError as error:
        raise SheetError(path, f"can't be read ({error.strerror})") from None


def _lines(file: TextIO) -> Iterator[str]:
    """The file's lines without the mark at its beginning, and without the Ctrl-Z with which DOS ends a text."""
    mark = "\ufeff"
    for line in file:
        if text := line.removeprefix(mark).rstrip("\x1a"):  # what ends with it is the last: no line end follows
            yield text
        mark = ""


def _check_text(path: Path, encoding: Encoding, number: int, cells: list[str]) -> None:
    """Raises SheetError for a byte of no text, with its place."""
    text = "".join(cells)
    if "\0" not in text and (text.isascii() or not MARKED.search(text)):
        return
    for index, cell in enumerate(cells):
        if (byte := MARKED.search(cell)) is not None:
            held = f"a byte (0x{ord(byte[0]) - 0xDC00:02X}) that is {_foreign(encoding)}"
        elif "\0" in cell:
            held = "a NUL byte, which no text has: remove it, or export the sheet again"
        else:
            continue
        raise SheetError(path, f"column {letters(index)} holds {held}", row=number)


def _foreign(encoding: Encoding) -> str:
    """What a byte is that the encoding does not have, and what to do."""
    if encoding.is_named:
        return f"no {encoding.name}: look whether --encoding says the right one, or save the sheet as “CSV UTF-8”"
    if encoding == UTF_8:
        return (
            "no UTF-8, as the rest of the sheet is: mend that cell and save the sheet as “CSV UTF-8”, or say which "
            "encoding it is in with --encoding"
        )
    if encoding == WINDOWS_1252:
        return (
            "neither UTF-8 nor Windows-1252: say which encoding the sheet is in with --encoding, such as "
            "windows-1250, windows-1251 or shift_jis, or save it as “CSV UTF-8”"
        )
    return f"no {encoding.name}: save the sheet as “CSV UTF-8”"


def guarded(cell: str) -> str:
    """The cell as it stands in our own CSV files: with an apostrophe where a spreadsheet would see a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _unguarded(cell: str) -> str:
    """The way back, for our own results may come back as a sheet."""
    return cell[1:] if cell.startswith("'") and guarded(cell) != cell else cell
