"""Finding the header: a sheet may begin with a title, a date and an empty line before its table does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_share.sheet.columns import is_known, squeeze

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from batch_share.sheet.table import RawRow


def likeliest_header(rows: Iterable[RawRow], mapping: Mapping[str, str]) -> RawRow | None:
    """The first of the rows with the most headers that are known; None if all are blank.

    Where fewer than two are known, the first row that is not blank: its headers are what the error then shows.
    """
    filled = [row for row in rows if not row.is_blank]
    if not filled:
        return None
    known = {squeeze(header) for header in mapping}
    best = max(filled, key=lambda row: (familiarity(row, known), -row.number))
    return best if familiarity(best, known) > 1 else filled[0]


def familiarity(row: RawRow, known: set[str]) -> int:
    """How many of a row's cells are headers that are known, or of the mapping."""
    return sum(squeeze(cell) in known or is_known(cell) for cell in row.cells if cell.strip())
