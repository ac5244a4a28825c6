"""The sheet of failed rows: those that can be mended, as the sheet had them, to be run again by itself.

Not in it: rows of which nobody knows (`reconcile` settles them), rows whose activity stands at LeadSquared (they
would get a second one; `retry` shares them in the first), rows that the sheet no longer has, and rows that can only
be mended in the sheet itself: their cells don't stand under their headers, or a formula gives no value.

What a person began to mend is never written over. A file is ours as long as its bytes are those that were noted.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batch_share.errors import BatchShareError
from batch_share.ledger.states import State
from batch_share.ledger.store import FAILED_SHEET
from batch_share.results.mending import ADDED, header_of
from batch_share.results.next_step import in_the_sheet
from batch_share.results.reason import reason_of
from batch_share.results.sheet import replacing, write_csv
from batch_share.results.workbook import Looks, fill, writing
from batch_share.sheet.reader import WORKBOOK_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Row, SheetRecord
    from batch_share.ledger.store import Ledger

CHANGED: Final = "was changed or written by somebody else"
_ALWAYS: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
"""The time that is noted in the workbook: the same rows give the same file."""

_STEP: Final = 1 << 20
_LONGEST_TITLE: Final = 31


@dataclass(frozen=True, slots=True)
class Written:
    """A sheet of failed rows as it was written: where, the digest of its bytes, and that of what it says."""

    path: str
    file: str
    rows: str

    @property
    def place(self) -> Path:
        """Where it was written."""
        return Path(self.path)

    @property
    def is_there(self) -> bool:
        """Whether it is still there, be it changed."""
        return self.place.is_file()

    @property
    def is_untouched(self) -> bool:
        """Whether it stands there as it was written."""
        return _digest_of(self.place) == self.file

    def remove(self) -> None:
        """Take it away. Raises BatchShareError."""
        try:
            self.place.unlink()
        except OSError as error:
            told = f"{self.path} is no longer true, and can't be removed ({error.strerror})."
            raise BatchShareError(told) from None


@dataclass(frozen=True, slots=True)
class FailedSheet:
    """Where the sheet of failed rows is, None if there is none; `remark` is what a person should know of it."""

    path: Path | None = None
    remark: str | None = None


def failed_path(sheet: Path) -> Path:
    """Where the failed rows of `sheet` go: beside it, in its own format."""
    suffix = ".xlsx" if sheet.suffix.lower() in WORKBOOK_SUFFIXES else ".csv"
    return sheet.with_name(f"{sheet.stem}.failed{suffix}")


async def last_written(ledger: LedgerReader) -> Written | None:
    """What the ledger notes of the sheet of failed rows that was written last."""
    noted = (await ledger.facts()).get(FAILED_SHEET)
    return Written(**json.loads(noted)) if noted else None


async def failed_sheet_of(ledger: LedgerReader) -> Path | None:
    """The sheet of failed rows, where there is one now."""
    written = await last_written(ledger)
    return written.place if written and written.is_there else None


async def write_failed(ledger: Ledger, target: Path) -> FailedSheet:
    """Write the failed rows to `target`, or to another name where somebody is at work on that; or remove the file.

    Raises BatchShareError when it can't be written, LedgerError.
    """
    before = await last_written(ledger)
    sheet = await ledger.sheet()
    rows = _Mendable(ledger, sheet)
    if sheet is None or not await rows.are_any():
        return await _remove(ledger, before)
    said = await rows.digest()
    if before is not None and before.rows == said and before.is_there:
        return FailedSheet(
            before.place, None if before.is_untouched else f"{before.place.name} {CHANGED}: it is kept"
        )
    place, remark = _place(before, target)
    await _write(place, sheet, rows)
    await _note(ledger, Written(str(place.absolute()), _digest_of(place), said))
    return FailedSheet(place, remark)


def _place(before: Written | None, target: Path) -> tuple[Path, str | None]:
    """Where to write: over what is ours and untouched, else under the first number that is free."""
    if before is not None and before.is_untouched:
        return before.place, None
    busy, place, number = None, target, 1
    while place.exists():
        busy, number = place, number + 1
        place = target.with_name(f"{target.stem}-{number}{target.suffix}")
    if busy is None:
        return place, None
    return place, f"{busy.name} {CHANGED}, so it is kept, and the rows that fail now are in {place.name}"


async def _remove(ledger: Ledger, before: Written | None) -> FailedSheet:
    """No row failed: take away what we wrote, unless somebody changed it."""
    if before is None:
        return FailedSheet()
    await ledger.note_failed_sheet("")
    if not before.is_there:
        return FailedSheet()
    name = before.place.name
    if not before.is_untouched:
        return FailedSheet(None, f"No row is left to mend; {name} {CHANGED}, so it is kept")
    before.remove()
    return FailedSheet(None, f"No row is left to mend: {name} was removed")


async def _note(ledger: Ledger, written: Written) -> None:
    await ledger.note_failed_sheet(json.dumps(asdict(written)))


# ------------------------------------------------------------------------------------------------ its rows


@dataclass(frozen=True, slots=True)
class _Mendable:
    """The rows, read from the ledger as often as they are wanted: there may be a million."""

    ledger: LedgerReader
    sheet: SheetRecord | None

    @property
    def header(self) -> list[str]:
        """The columns with ours."""
        return header_of(self.sheet) if self.sheet else []

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
        width = len(self.header) - len(ADDED)
        there = len(self.sheet.columns) if self.sheet else 0
        async for row in self.ledger.mendable():
            if len(row.cells) == there and not in_the_sheet(row):
                yield row.state, _cells(row, width)


def _cells(row: Row, width: int) -> list[str]:
    return [*row.cells[:width], reason_of(row), str(row.sheet_row)]


# ------------------------------------------------------------------------------------------------ the file


async def _write(place: Path, sheet: SheetRecord, rows: _Mendable) -> None:
    header = rows.header
    with replacing(place) as temporary:
        if place.suffix == ".csv":
            await write_csv(temporary, header, rows.cells())
            return
        async with writing(temporary, _ALWAYS) as book:
            ours = range(len(header) - len(ADDED), len(header))
            page = book.page(_title(sheet.worksheet))
            await fill(book, page, header, rows.cells(), Looks(ours.start, ours))


def _title(worksheet: str | None) -> str:
    """As the sheet's own worksheet is called, so that --worksheet means this one too."""
    fits = worksheet and len(worksheet) <= _LONGEST_TITLE and not set(worksheet) & set("[]:*?/\\")
    return worksheet if worksheet and fits and worksheet.strip("'") == worksheet else "Failed"


def _digest_of(file: Path) -> str:
    digest: Any = hashlib.sha256()
    try:
        with file.open("rb") as source:
            while chunk := source.read(_STEP):
                digest.update(chunk)
    except OSError:
        return ""
    return str(digest.hexdigest())
