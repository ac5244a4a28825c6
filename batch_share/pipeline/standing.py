"""Whether a ledger has anything to do at all: what a schedule asks before it starts a run. It makes no call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_share.ledger.files import read_ledger
from batch_share.ledger.reading import UNANSWERED
from batch_share.ledger.states import INTENTS, State
from batch_share.ledger.written import Output
from batch_share.planning.intake import plan_job
from batch_share.results.summary import summarize
from batch_share.results.writing import written_last

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.ledger.reading import LedgerReader
    from batch_share.planning.intake import SheetJob
    from batch_share.results.summary import Summary
    from batch_share.settings import Settings

_OPEN = (*INTENTS, State.UNKNOWN, State.ACCEPTED, State.ENDING)


async def unchanged(job: SheetJob, settings: Settings) -> Summary | None:
    """The totals of the job's ledger if its sheet and options are as they were and nothing is to be done now.

    Rows that wait for their time are not to be done now. Raises SheetError, SettingsError, LedgerError.
    """
    if not job.ledger.is_file():
        return None
    planned = plan_job(job.sheet, job.options, settings).record
    async with read_ledger(job.ledger) as ledger:
        in_force = await ledger.sheet()
        if in_force is None or in_force.digest != planned.digest:
            return None
        return await _at_rest(ledger)


async def nothing_due(ledger_file: Path) -> Summary | None:
    """The totals of a ledger if nothing is to be done in it now. Raises LedgerError."""
    async with read_ledger(ledger_file) as ledger:
        return None if await ledger.sheet() is None else await _at_rest(ledger)


async def _at_rest(ledger: LedgerReader) -> Summary | None:
    """None also where the last run came to no end, its results being part of it, or one goes on just now.

    Nor is it at rest while somebody is to be asked for again, since LeadSquared could not tell of them.
    """
    facts = await ledger.facts()
    if "results" not in facts or facts.get(UNANSWERED, "0") != "0" or await ledger.to_do_counts():
        return None
    if any(not claim.is_skipped for claim in await ledger.claims()):
        return None
    counts = await ledger.counts()
    if any(counts.get(state) for state in _OPEN):
        return None
    return await summarize(ledger, await written_last(ledger, Output.RESULTS))
