"""The sheet of failed rows: those that can be fixed, as the sheet had them, to be run again by itself.

Not in it: unknown rows (`resume --only-unknown` settles them), rows whose activity stands at
LeadSquared (they would get a second one; `retry` shares them in the first), rows that the sheet no longer has, and
rows that can only be fixed in the sheet itself: their cells don't stand under their headers, or a formula gives no
value. What a person began to fix is never written over, nor removed.

Each row has a reference, by which it is known wherever it is sorted to: running the sheet goes on with the job that
its rows are of, with that job's settings and columns.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batch_share.common import IN_THE_SHEET
from batch_share.errors import BatchShareError
from batch_share.ledger.states import State
from batch_share.outputs import Output, digest_of, is_in_the_way
from batch_share.results.wording import reason_of
from batch_share.results.writing import (
    CHANGED,
    Layout,
    check_format,
    fill,
    last_of,
    write_csv,
    write_output,
    writing,
)
from batch_share.sheet.reader import WORKBOOK_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Container

    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Row, SheetRecord
    from batch_share.outputs import Named
    from batch_share.sheet.reader import Sheet

REFERENCE: Final = "Row Reference"
ADDED: Final = ("Reason", "Sheet Row", REFERENCE)
"""The columns that a sheet of failed rows has behind the sheet's own."""

_ADDED_BEFORE: Final = ADDED[:2]
"""Those of earlier versions, whose sheets of failed rows were jobs of their own."""

KEY_LENGTH: Final = 20
_REFERENCE: Final = re.compile(rf"R-([0-9a-f]{{10}})-([0-9a-f]{{{KEY_LENGTH}}})")


def reference_in(cell: str) -> tuple[str, str] | None:
    """The beginnings of the job's Id and of the row's key that a row reference names; None for anything else."""
    found = _REFERENCE.fullmatch(cell.strip())
    return (found[1], found[2]) if found else None


def reference_column(sheet: Sheet) -> int | None:
    """Which column holds the references; of several, as another file of failed rows may have had one, the last."""
    named = [at for at, header in enumerate(sheet.columns) if header.startswith(REFERENCE)]
    return named[-1] if named else None


def is_fixable(row: Row, sheet: SheetRecord) -> bool:
    """Whether it failed or is invalid, with nothing at LeadSquared, and can be fixed outside of its sheet."""
    is_over = row.state in {State.FAILED, State.INVALID} and row.activity_id is None and not row.doubtful
    return is_over and len(row.cells) == len(sheet.columns) and row.cause not in IN_THE_SHEET


_ALWAYS: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
"""The time that is noted in the workbook: the same rows give the same file."""

_LONGEST_TITLE: Final = 31


@dataclass(frozen=True, slots=True)
class FailedSheet:
    """Where the sheet of failed rows is, None if there is none; `remark` is what a person should know of it."""

    path: Path | None = None
    remark: str | None = None


def failed_path(sheet: Path) -> Path:
    """Where the failed rows of `sheet` go: beside it, in its own format."""
    suffix = ".xlsx" if sheet.suffix.lower() in WORKBOOK_SUFFIXES else ".csv"
    return sheet.with_name(f"{sheet.stem}.failed{suffix}")


async def write_failed_to(ledger: LedgerReader, target: Named) -> FailedSheet:
    """Write the failed rows to a file that was named, and leave the sheet of them beside the sheet as it is.

    There is none if no row can be fixed. Raises SettingsError for a file that is there and not ours, LedgerError,
    BatchShareError for one that is neither .csv nor .xlsx.
    """
    check_format(target.target)
    sheet = await ledger.sheet()
    rows = _Fixable(ledger, sheet)
    if sheet is None or not await rows.are_any():
        return FailedSheet()
    placed = await write_output(ledger, Output.FAILED, target, lambda file: _write(file, sheet, rows))
    return FailedSheet(placed.path)


async def write_failed(ledger: LedgerReader, target: Path) -> FailedSheet:
    """Write the failed rows to `target`, or to another name where somebody is at work on that; or remove the file.

    Raises BatchShareError when it can't be written, LedgerError.
    """
    noted, sheet = await ledger.written(), await ledger.sheet()
    before, ours = last_of(noted, Output.FAILED), {each.digest for each in noted}
    rows = _Fixable(ledger, sheet)
    if sheet is None or not await rows.are_any():
        if before is None:
            return FailedSheet()
        remark = _removed(target.with_name(before.name), ours)
        await ledger.forget_written(Output.FAILED)
        return FailedSheet(None, remark)
    said = await rows.digest()
    if before is not None and before.said == said:
        place = target.with_name(before.name)
        found = digest_of(place)
        if found == before.digest:
            return FailedSheet(place)
        if found and found not in ours:
            return FailedSheet(place, f"{place.name} {CHANGED}: it is kept")
    placed = await write_output(ledger, Output.FAILED, target, lambda file: _write(file, sheet, rows), said=said)
    return FailedSheet(placed.path, placed.remark)


def _removed(place: Path, ours: Container[str]) -> str | None:
    """No row failed: take away what we wrote, unless somebody changed it. What is to be told of that."""
    if is_in_the_way(place, ours):
        return f"No row is left to fix; {place.name} {CHANGED}, so it is kept"
    try:
        place.unlink()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BatchShareError(
            f"{place} is no longer true, and can't be removed ({error.strerror}).",
            problem=f"{place.name} is no longer true, and can't be removed ({error.strerror}).",
        ) from None
    return f"No row is left to fix: {place.name} was removed"


# ------------------------------------------------------------------------------------------------ its rows


@dataclass(frozen=True, slots=True)
class _Fixable:
    """The rows, read from the ledger as often as they are wanted: there may be a million."""

    ledger: LedgerReader
    sheet: SheetRecord | None

    @property
    def header(self) -> list[str]:
        """The sheet's own columns and ours, whose names are no other's: no header may be there twice."""
        if self.sheet is None:
            return []
        header = list(self.sheet.columns)
        if Path(self.sheet.name).stem.partition(".failed")[1] and tuple(header[-2:]) == _ADDED_BEFORE:
            header = header[:-2]  # which an earlier sheet of failed rows brought
        for name in ADDED:
            there, number, chosen = {each.casefold() for each in header}, 1, name
            while chosen.casefold() in there:
                number += 1
                chosen = f"{name} {number}"
            header.append(chosen)
        return header

    async def are_any(self) -> bool:
        """Whether there is one."""
        counts = await self.ledger.counts()
        if not counts.get(State.FAILED) and not counts.get(State.INVALID):
            return False
        async for _ in self.cells():
            return True
        return False

    async def digest(self) -> str:
        """Of all that the rows say."""
        digest = hashlib.sha256(json.dumps(self.header).encode())
        async for _, cells in self.cells():
            digest.update(json.dumps(cells).encode())
        return digest.hexdigest()

    async def cells(self) -> AsyncIterator[tuple[State, list[str]]]:
        """Each row as it will stand there."""
        width, job = len(self.header) - len(ADDED), (await self.ledger.facts())["job"]
        async for row in self.ledger.fixable():
            if self.sheet is not None and is_fixable(row, self.sheet):
                reference = f"R-{job[:10]}-{row.key[:KEY_LENGTH]}"
                yield row.state, [*row.cells[:width], reason_of(row), str(row.sheet_row), reference]


# ------------------------------------------------------------------------------------------------ the file


async def _write(file: Path, sheet: SheetRecord, rows: _Fixable) -> None:
    header = rows.header
    if file.suffix.lower() == ".csv":
        await write_csv(file, header, rows.cells())
        return
    async with writing(file, _ALWAYS) as book:
        ours = range(len(header) - len(ADDED), len(header))
        # As the sheet's own worksheet is called, so that --worksheet means this one too.
        name = sheet.worksheet or ""
        fits = 0 < len(name) <= _LONGEST_TITLE and not set(name) & set("[]:*?/\\") and name.strip("'") == name
        await fill(book, book.page(name if fits else "Failed"), header, rows.cells(), Layout(ours.start, ours))
