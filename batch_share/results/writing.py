"""Writing what is made of a ledger to where it may go, and noting it there as the ledger's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batch_share.errors import LedgerError
from batch_share.ledger.store import Ledger
from batch_share.outputs import (
    Named,
    Output,
    Written,
    digest_of,
    is_in_the_way,
    names_for,
    telling_of,
    temporary_for,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import SheetRecord

    Write = Callable[[Path], Awaitable[None]]

CHANGED: Final = "was changed or written by somebody else"
_HELD: Final = "is held open by another program"
_NOW_IN: Final = {
    Output.RESULTS: "the results are in",
    Output.FAILED: "the rows that fail now are in",
    Output.REPORT: "the report is in",
}


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an output is; `remark` is what a person should know of it."""

    path: Path
    remark: str | None = None


async def write_output(
    ledger: LedgerReader, kind: Output, target: Path | Named, write: Write, *, said: str = ""
) -> Placed:
    """Write an output to `target`, or to a numbered name where that is not ours; `said` is what it says, in short.

    Where the last of its kind went is gone on with. A `Named` target is that or nothing: raises SettingsError if it
    is not ours. Raises BatchShareError if it can't be written, LedgerError.
    """
    noted = await ledger.written()
    ours = {each.digest for each in noted}
    if isinstance(target, Named):
        return await _write_named(ledger, target, ours, write)
    last, kept = last_of(noted, kind), None
    with telling_of(target), temporary_for(target) as temporary:
        await write(temporary)
        digest = digest_of(temporary)
        for place in names_for(target, target.with_name(last.name) if last else None):
            if is_in_the_way(place, ours):
                kept = f"{place.name} {CHANGED}"
                continue
            # Before it is there: whatever is cut off then, the file is known as ours.
            await _note(ledger, Written(kind, place.name, digest, said), digest_of(place))
            try:
                temporary.replace(place)
            except PermissionError:
                if not place.is_file():
                    raise
                kept = f"{place.name} {_HELD}"
            else:
                break
    return Placed(place, kept and f"{kept}, so it is kept, and {_NOW_IN[kind]} {place.name}")


async def _write_named(ledger: LedgerReader, named: Named, ours: set[str], write: Write) -> Placed:
    with named.written(ours) as temporary:
        await write(temporary)
        written = Written(Output.NAMED, named.target.name, digest_of(temporary))
        await _note(ledger, written, digest_of(named.target))
    return Placed(named.target)


def beside(ledger: LedgerName, sheet: SheetRecord) -> Path:
    """Where the sheet of a ledger is, or would be in the ledger's folder if its own is gone.

    Of two sheets the one beside the ledger is meant: they were moved together.
    """
    path = Path(sheet.path)
    there = ledger.beside(path.name)
    return path if path.parent.is_dir() and not there.is_file() else there


async def written_last(ledger: LedgerReader, kind: Output) -> Path | None:
    """The output of a kind that was written last, where it is there still, be it changed."""
    sheet, last = await ledger.sheet(), last_of(await ledger.written(), kind)
    if sheet is None or last is None:
        return None
    place = beside(ledger.name, sheet).with_name(last.name)
    return place if place.is_file() else None


def last_of(noted: Sequence[Written], kind: Output) -> Written | None:
    """The output of a kind that was written last."""
    return next((each for each in reversed(noted) if each.kind == kind), None)


async def _note(ledger: LedgerReader, written: Written, there: str) -> None:
    """Of a ledger that can only be read, the file is not known as ours later on: it is written all the same."""
    try:
        await ledger.note_written(written, there)
    except LedgerError:
        if isinstance(ledger, Ledger):
            raise
