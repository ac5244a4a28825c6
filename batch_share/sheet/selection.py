"""Which rows of a sheet a run is for: the first N, some row numbers, or those where a column says something."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batch_share.errors import SettingsError, SheetError
from batch_share.sheet.columns import squeeze, suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from batch_share.sheet.table import RawRow

_RANGE: Final = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")


@dataclass(frozen=True, slots=True)
class Selection:
    """The first `limit` rows of those whose number is within `ranges` and whose cells say what `only` says."""

    limit: int | None = None
    ranges: tuple[tuple[int, int], ...] = ()
    only: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, limit: int | None, rows: str | None, only: Sequence[str]) -> Selection:
        """From the options' words: `5-40,50` (None: all); `Region=North`. Raises SettingsError."""
        return cls(limit, _ranges(rows) if rows is not None else (), tuple(_condition(each) for each in only))

    def __bool__(self) -> bool:
        return self.limit is not None or bool(self.ranges) or bool(self.only)

    def __str__(self) -> str:
        parts = [f"--limit {self.limit}"] if self.limit is not None else []
        rows = ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self.ranges)
        parts += [f"--rows {rows}"] if rows else []
        return " ".join([*parts, *(f"--only {name}={value}" for name, value in self.only)])

    def none_of(self, rows: int, first: int, last: int, whose: str = "its") -> str:
        """The end of a sentence: that it chooses none of so many rows, whose numbers these are the ends of."""
        where = f", which are numbered {first} to {last}" if self.ranges and rows else ""
        return f"chooses none of {whose} {rows:,} row{'' if rows == 1 else 's'}{where}"

    def chooser(self, path: Path, columns: Sequence[str]) -> Callable[[RawRow], bool]:
        """Says of each row, in order, whether it is chosen. Raises SheetError for a column that is not there."""
        wanted = [(_place(path, columns, name), value.lower()) for name, value in self.only]
        taken = 0

        def is_chosen(row: RawRow) -> bool:
            nonlocal taken
            if self.ranges and not any(first <= row.number <= last for first, last in self.ranges):
                return False
            if not all(_says(row, place, value) for place, value in wanted):
                return False
            taken += 1
            return self.limit is None or taken <= self.limit

        return is_chosen


def _says(row: RawRow, place: int, value: str) -> bool:
    return place < len(row.cells) and row.cells[place].strip().lower() == value


def _ranges(text: str) -> tuple[tuple[int, int], ...]:
    found = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise SettingsError("rows", f"{part.strip()!r} is no range of rows: write 5-40, or 5-40,50")
        found.append((int(match[1]), int(match[2] or match[1])))
    return tuple(found)


def _condition(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise SettingsError("only", f"{text!r} is no condition: write a column, =, and what it says: Region=North")
    return name.strip(), value.strip()


def _place(path: Path, columns: Sequence[str], name: str) -> int:
    places = [index for index, header in enumerate(columns) if squeeze(header) == squeeze(name)]
    if not places:
        told = f"names a column {name!r} that is not there.{suggest(name, columns)}"
        raise SheetError(
            path, f"--only {told}", problem=f"The choice of rows {told}", hint="Name a column of the sheet."
        )
    return places[0]
