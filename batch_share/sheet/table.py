"""Rows of text under the numbers that a spreadsheet shows beside them: what every kind of file is turned into."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch_share.common import Cause, plural
from batch_share.errors import SheetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

FAULTS: Final = {
    Cause.NEVER_STORED: (
        "a formula whose value was never stored: open the sheet in a spreadsheet program and save it"
    ),
    Cause.ERROR_VALUE: "an error, not a value: fix its formula",
}
"""Why a single cell can't be read."""

ZIP_MAGIC: Final = b"PK\x03\x04"
OLE_MAGIC: Final = b"\xd0\xcf\x11\xe0"
_ARCHIVES: Final = {ZIP_MAGIC: "zip", b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7-Zip", b"Rar!": "RAR"}

PROTECTED: Final = "protected with a password: remove it and try again"
SAVE_AS: Final = "open it in a spreadsheet program and save it as .xlsx"
DAMAGED: Final = f"damaged, or not a workbook: {SAVE_AS}"
TOO_FAR: Final = "a filled cell stands far away from the others: delete all rows and columns between"
AREA: Final = 30_000_000
"""Cells of the rectangle around the filled ones: a parser takes 32 bytes for each, a gigabyte, and gets no more."""

NO_FAULTS: Final[Mapping[int, str]] = MappingProxyType({})

_ERROR: Final = re.compile(r"#(?:[A-ZÀ-Þ_]{2,16}(?:/0)?[!?]|N/[AD]|NV|GETTING_DATA)|Err:[0-9]{3}")
"""How spreadsheet programs write an error, in whatever language: `#REF!`, `#BEZUG!`, `#NOM?`, `Err:502`."""

# Excel keeps 15 digits of a number; what is longer was already changed before it reached the file.
_EXACT_NUMBER: Final = 10**15


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as text.

    `problem` says why its cells can't be trusted to stand under their headers; `faults`, by column, which of
    the `FAULTS` a single cell has. `edit` is the key of the correction that its cells are of, if any.
    """

    number: int
    cells: Sequence[str]
    problem: str | None = None
    faults: Mapping[int, str] = field(default_factory=lambda: NO_FAULTS)
    edit: str | None = None

    @property
    def is_blank(self) -> bool:
        """Whether nothing stands in it."""
        return not any(cell.strip() for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Block:
    """Rows one below the other: their numbers and cells; by place those of which there is more to say."""

    numbers: Sequence[int]
    cells: Sequence[Sequence[str]]
    odd: Mapping[int, RawRow] = field(default_factory=dict)

    def row(self, at: int) -> RawRow:
        """The row at a place, from 0."""
        return self.odd.get(at) or RawRow(self.numbers[at], self.cells[at])

    def rows(self) -> Iterator[RawRow]:
        """Each by itself."""
        return map(self.row, range(len(self.cells)))

    def column(self, place: int) -> list[str]:
        """The cells of a column as they are. Rows that are `odd`, and may be narrower, have none."""
        if not self.odd:
            return [*map(itemgetter(place), self.cells)]
        return ["" if at in self.odd else cells[place] for at, cells in enumerate(self.cells)]


IN_BLOCK: Final = 1024
"""Rows of a block: fewer cost more calls, and more do not stay in a processor's nearest memory."""


def blocks_of(rows: Iterable[RawRow]) -> Iterator[Block]:
    """The same rows in blocks; where they end with an error, those before it come before it."""
    source, error = iter(rows), None
    while error is None:
        block: list[RawRow] = []
        try:
            block.extend(islice(source, IN_BLOCK))  # which keeps what came before an error
        except SheetError as raised:
            error = raised
        if not block and error is None:
            return
        odd = {at: row for at, row in enumerate(block) if row.problem or row.faults or row.edit}
        yield Block([row.number for row in block], [row.cells for row in block], odd)
    raise error


@dataclass(frozen=True, slots=True)
class Table:
    """A way to read a file: as CSV with one delimiter, or one worksheet of it.

    `blocks` reads it, and may raise SheetError while it goes. `ragged`: rows come as long as they are written, so
    one that is too short is an error and no blank end. `notes` are what a person should know of how it was read,
    `late_notes` what of it matters less than where the headers are. `worksheets` are the names of all that the file
    has, hidden ones too.
    """

    worksheet: str | None
    ragged: bool
    blocks: Callable[[], Iterator[Block]]
    notes: Sequence[str] = ()
    late_notes: Sequence[str] = ()
    worksheets: Sequence[str] = ()

    def rows(self) -> Iterator[RawRow]:
        """Row by row."""
        for block in self.blocks():
            yield from block.rows()


@dataclass(slots=True)
class Markings:
    """What a worksheet hides and merges; with `told` false, the file does not let that be told."""

    hidden_rows: int = 0
    hidden_columns: int = 0
    merged: int = 0
    reported: bool = True

    def notes(self) -> list[str]:
        """What of it a person should know."""
        if not self.reported:
            return ["hidden rows and columns and merged ranges can't be told in this file"]
        counts = {
            ("hidden row", ", read like the others"): self.hidden_rows,
            ("hidden column", ", read like the others"): self.hidden_columns,
            ("merged range", ": only the first cell of each has the value"): self.merged,
        }
        return [f"{plural(count, noun)}{rest}" for (noun, rest), count in counts.items() if count]


@dataclass(frozen=True, slots=True)
class Worksheet:
    """One worksheet of a workbook: `read` gives its rows, those that are blank or not, and what is marked in it.

    A cell with an error, or with a formula that has no value, is blank there and in its row's `faults`.
    """

    name: str
    visible: bool
    read: Callable[[], tuple[Iterable[RawRow], Markings]]


def is_error(text: str) -> bool:
    """Whether it is what a spreadsheet program shows in place of a value that it could not work out."""
    return text.startswith(("#", "Err:")) and _ERROR.fullmatch(text) is not None


def cell_text(value: object) -> str:
    """A workbook's cell as text. A whole number has no `.0`; true and false are spelled as Excel shows them."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124 - NaN, without numpy
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        if abs(value) >= _EXACT_NUMBER:
            return f"{value:.14E}"
        return str(int(value)) if value == int(value) else repr(value)
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        return value.date().isoformat()
    return str(value)


def column_named(letters: str) -> int:
    """Where the column stands that a spreadsheet calls so: `A` is 0, `Z` 25, `AA` 26."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def archive(head: bytes) -> str | None:
    """What a file is, and what to do about it, if it is an archive. Workbooks may be zip archives, too."""
    kind = next((kind for magic, kind in _ARCHIVES.items() if head.startswith(magic)), None)
    return kind and f"a {kind} archive, not a sheet: unpack it"
