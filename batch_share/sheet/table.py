"""Rows of text under the numbers that a spreadsheet shows beside them: what every kind of file is turned into."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

NO_FAULTS: Final[Mapping[int, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as text.

    `problem` says why its cells can't be trusted to stand under their headers; `faults`, by column, why a single
    cell can't be read.
    """

    number: int
    cells: Sequence[str]
    problem: str | None = None
    faults: Mapping[int, str] = field(default_factory=lambda: NO_FAULTS)

    @property
    def is_blank(self) -> bool:
        """Whether nothing stands in it."""
        return not any(cell.strip() for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Table:
    """A way to read a file: as CSV with one delimiter, or one worksheet of it.

    `rows` reads it to its end, `peek` only its first rows; both may raise SheetError while they go. `ragged`: rows
    come as long as they are written, so one that is too short is an error and no blank end. `notes` are what a
    person should know of how it was read; some are known only once it was (`late_notes`).
    """

    worksheet: str | None
    ragged: bool
    rows: Callable[[], Iterator[RawRow]]
    peek: Callable[[], Iterator[RawRow]]
    notes: Sequence[str] = ()
    late_notes: Callable[[], Sequence[str]] = tuple
