"""What a ledger tells without any call: its totals, its results, its report; and whether there is nothing to do."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from batch_share.common import utc_now
from batch_share.errors import BatchShareError
from batch_share.jobs.job import sheet_of
from batch_share.ledger.files import read_ledger
from batch_share.ledger.states import OPEN, State, rows_in
from batch_share.outputs import Output
from batch_share.planning.already_shared import choose_renewals
from batch_share.planning.intake import as_in_force, plan_meant
from batch_share.results.answers import (
    FailedSheet,
    failed_path,
    results_path,
    summarize,
    write_failed,
    write_failed_to,
    write_results,
)
from batch_share.results.notify import Notice, tell
from batch_share.results.report import ROWS_REPORTED, report_path, write_report
from batch_share.results.wording import CUT, DONE, INTERRUPTED, ExitCode, Summary, why_stopped
from batch_share.results.writing import beside, written_last

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.jobs.job import Ending
    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.reading import LedgerReader
    from batch_share.outputs import Named
    from batch_share.planning.intake import SheetJob
    from batch_share.results.writing import Placed
    from batch_share.settings import Settings


async def unchanged(job: SheetJob, settings: Settings) -> Summary | None:
    """The totals of the job's ledger if its sheet and options are as they were and nothing is to be done now.

    Rows that wait for their time are not to be done now. Raises SheetError, SettingsError, LedgerError.
    """
    job, settings, plan = await plan_meant(job, settings)
    planned = plan.record
    if not job.ledger.exists():
        return None
    async with read_ledger(job.ledger) as ledger:
        in_force = await ledger.sheet()
        if in_force is None or in_force.digest != planned.digest:
            return None
        if (await as_in_force(ledger, plan))[1]:
            return None
        await choose_renewals(ledger, settings)
        return await _at_rest(ledger)


async def nothing_due(ledger_name: LedgerName) -> Summary | None:
    """The totals of a ledger if nothing is to be done in it now. Raises LedgerError."""
    async with read_ledger(ledger_name) as ledger:
        return None if await ledger.sheet() is None else await _at_rest(ledger)


async def is_agreed_to(ledger_name: LedgerName) -> bool:
    """Whether a ledger, there or not, holds a sheet, and nothing that somebody was sure of but never agreed to."""
    if not ledger_name.size():
        return False
    async with read_ledger(ledger_name) as ledger:
        return await ledger.sheet() is not None and not (await ledger.facts()).unsaid


async def _at_rest(ledger: LedgerReader) -> Summary | None:
    """None also where the last run came to no end, its results being part of it, or one goes on just now.

    Nor is it at rest while somebody is to be asked for again, since LeadSquared could not tell of them, or while
    shares have ended that may be renewed: a person is to know that. Rows that another job held may be free by now.
    """
    facts = await ledger.facts()
    if facts.results is None or facts.unanswered or await ledger.ids_to_do():
        return None
    if any(claim.state is not State.SKIPPED for claim in await ledger.claims()):
        return None
    summary = await summarize(ledger, await written_last(ledger, Output.RESULTS))
    goes_on = rows_in(summary.states, OPEN) or rows_in(summary.earlier, OPEN)
    return None if goes_on or summary.renewable or summary.held else summary


async def status_of(ledger_name: LedgerName) -> Summary:
    """The totals of a ledger, also while a run works on it. Raises LedgerError."""
    async with read_ledger(ledger_name) as ledger:
        await sheet_of(ledger)
        return await summarize(ledger, await written_last(ledger, Output.RESULTS))


async def results_of(ledger_name: LedgerName, target: Named | None) -> Placed:
    """Write a ledger's results to `target`, by default beside its sheet; where they are. Raises BatchShareError."""
    async with read_ledger(ledger_name) as ledger:
        there = beside(ledger.name, await sheet_of(ledger))
        chosen = _sparing(target, there) or results_path(there)
        return await write_results(ledger, chosen, await written_last(ledger, Output.FAILED))


async def failed_sheet_of_ledger(ledger_name: LedgerName, target: Named | None) -> FailedSheet:
    """Write a ledger's rows to fix to `target`, by default beside its sheet. Raises BatchShareError."""
    async with read_ledger(ledger_name) as ledger:
        there = beside(ledger.name, await sheet_of(ledger))
        named = _sparing(target, there)
        return await (write_failed_to(ledger, named) if named else write_failed(ledger, failed_path(there)))


async def report_of(ledger_name: LedgerName, target: Named | None, most: int = ROWS_REPORTED) -> Placed:
    """Write a ledger's report to `target`, by default beside its sheet; where it is. Raises BatchShareError."""
    async with read_ledger(ledger_name) as ledger:
        there = beside(ledger.name, await sheet_of(ledger))
        return await write_report(ledger, _sparing(target, there) or report_path(there), most=most)


def _sparing(target: Named | None, sheet: Path) -> Named | None:
    """The target, which is never the sheet itself."""
    return target and replace(target, spared=[sheet])


async def notify(
    settings: Settings,
    command: str,
    file: Path,
    ended: Ending | BatchShareError | None,
    ledger: LedgerName,
    release: str = "",
) -> str | None:
    """Tell whoever the settings name how it ended, None: cut off. A sentence if that could not be done."""
    if settings.notify is None:
        return None
    summary = None
    if isinstance(ended, BatchShareError):
        words, code = why_stopped(ended), ExitCode.of(ended)
    elif ended is None:
        words, code = CUT, ExitCode.INTERRUPTED
    else:
        words, code, summary = INTERRUPTED if ended.interrupted else DONE, ended.exit_code, ended.summary
        if ended.error is not None:
            words = why_stopped(ended.error)
    if summary is None:
        with suppress(BatchShareError):  # the ledger may have no totals
            summary = await status_of(ledger)
    return await tell(settings.notify, Notice(command, file, words, code, utc_now(), summary, release))
