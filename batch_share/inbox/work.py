"""The work on one sheet of an inbox: begun, or gone on with where an earlier watch was cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_share.errors import BatchShareError
from batch_share.inbox.fate import Outcome
from batch_share.ledger.files import read_ledger
from batch_share.pipeline.jobs import resume, run_sheet
from batch_share.pipeline.standing import nothing_due
from batch_share.planning.intake import SheetJob

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.inbox.places import Case
    from batch_share.planning.plan import SheetOptions
    from batch_share.sending.onlookers import Watcher
    from batch_share.settings import Settings


async def work_on(case: Case, options: SheetOptions, settings: Settings, watcher: Watcher) -> Outcome:
    """Do what is to be done now for a sheet. It raises nothing that is foreseeable: that is in the Outcome."""
    try:
        if not await _is_taken_in(case.ledger):
            ending = await run_sheet(SheetJob(case.sheet, case.ledger, options), settings, watcher)
        elif (at_rest := await nothing_due(case.ledger)) is not None:
            return Outcome(at_rest)
        else:
            # Not run: with other options than those it was taken in with, the same rows would be other ones.
            ending = await resume(case.ledger, settings, watcher)
    except BatchShareError as error:
        return Outcome(error=error)
    return Outcome(ending.summary, ending.error, interrupted=ending.interrupted)


async def _is_taken_in(ledger: Path) -> bool:
    """Whether a ledger is there and holds a sheet. One that was cut off before it had tables is empty."""
    if not _size(ledger):
        return False
    async with read_ledger(ledger) as opened:
        return await opened.sheet() is not None


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0
