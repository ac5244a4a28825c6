"""CSV and its kin: comma, semicolon, tab or bar; UTF-8, UTF-16 or Windows-1252.

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
from batch_share.sheet.encoding import NAMES, detect_encoding
from batch_share.sheet.table import RawRow, Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch_share.settings import SheetLimits

DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""What may stand between two cells, the likeliest first."""

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What makes a spreadsheet take a cell's text for a formula, the full-width forms too."""

# Some programs drop blanks, quotation marks and what nobody sees before they look at a cell's first character.
_UNSEEN: Final = r"['\"\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]*"
_FORMULA: Final = re.compile(_UNSEEN + f"[{re.escape(''.join(FORMULA_STARTS))}]")

PEEK: Final = 50
"""Rows among which a header is looked for."""


def text_tables(path: Path, limits: SheetLimits) -> list[Table]:
    """The ways to read a text file, one for each delimiter. Raises SheetError for what is no text."""
    encoding = detect_encoding(path)
    return [_table(path, encoding, delimiter, limits) for delimiter in DELIMITERS]


def _table(path: Path, encoding: str, delimiter: str, limits: SheetLimits) -> Table:
    rows = partial(_rows, path, encoding, delimiter, limits)
    told = [f"{NAMES[encoding]} text"] if NAMES[encoding] != "UTF-8" else []
    told += [f"cells divided by {DELIMITERS[delimiter]}"] if delimiter != "," else []
    return Table(None, True, rows, lambda: islice(rows(), PEEK), told)


def _rows(path: Path, encoding: str, delimiter: str, limits: SheetLimits) -> Iterator[RawRow]:
    number = 0
    # Twice as long as the longest cell: whether it is too long is for the caller to say, with its row.
    csv.field_size_limit(2 * limits.cell_characters)
    try:
        with path.open(encoding=encoding, errors="surrogateescape", newline="") as file:
            source = csv.reader(_lines(file), strict=True, delimiter=delimiter)
            for number, cells in enumerate(source, start=1):
                yield RawRow(number, [_unguarded(cell) for cell in cells])
    except UnicodeError:
        raise SheetError(
            path, f"not {NAMES[encoding]} from here on: save it as “CSV UTF-8”", row=number + 1
        ) from None
    except csv.Error as error:
        problem = f"can't be read from here on ({error}): look for a quotation mark that is not closed"
        raise SheetError(path, problem, row=number + 1) from None
    except OSError as error:
        raise SheetError(path, f"can't be read ({error.strerror})") from None


def _lines(file: TextIO) -> Iterator[str]:
    """The file's lines. Raises UnicodeEncodeError at the very one that was not decoded, not a buffer before."""
    for line in file:
        line.encode()
        yield line


def guarded(cell: str) -> str:
    """The cell as it stands in our own CSV files: with an apostrophe where a spreadsheet would see a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _unguarded(cell: str) -> str:
    """The way back, for our own results may come back as a sheet."""
    return cell[1:] if cell.startswith("'") and guarded(cell) != cell else cell
