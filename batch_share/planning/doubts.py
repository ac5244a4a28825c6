"""Doubts about the people whom a sheet names, settled by a person before any call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_share.errors import LedgerError, SheetError
from batch_share.ledger.files import read_ledger
from batch_share.ledger.records import Unchecked
from batch_share.planning.intake import plan_job
from batch_share.sending.onlookers import Doubt
from batch_share.sheet.columns import doubt_of

if TYPE_CHECKING:
    from batch_share.ledger.reading import LedgerReader
    from batch_share.planning.intake import SheetJob
    from batch_share.planning.plan import Plan
    from batch_share.sending.onlookers import Watcher
    from batch_share.settings import Settings


async def settle_doubt(job: SheetJob, plan: Plan, settings: Settings, watcher: Watcher) -> dict[str, str]:
    """Ask whether the doubtful columns name who is to get the leads, where nobody has said so yet.

    Returns them, by header with what they hold, if somebody is sure now: it is said once the run is agreed to.
    Raises SheetError if nobody is sure, and if the sheet was changed meanwhile; LedgerError.
    """
    sheet = plan.sheet
    doubtful = {sheet.columns[index] for index in sheet.found.doubtful}
    meant = {header: name for header, name in (plan.record.mapping or {}).items() if header in doubtful}
    if not meant or meant.items() <= (await _said(job)).items():
        return {}
    words, options = doubt_of(sheet.columns, sheet.found)
    columns = " and ".join(map(repr, meant))
    name = f"{sheet.path.name}, worksheet {sheet.worksheet}" if sheet.worksheet else sheet.path.name
    if not watcher.is_sure(Doubt([f"{name}: {words}."], f"Share each lead with the person in {columns}?")):
        raise SheetError(
            sheet.path,
            f"{words}: if each is to be shared with that person, say so with {options}",
            problem=f"{words}.",
            hint=f"If each lead is to be shared with the person in {columns}, say so.",
        )
    if plan_job(job.sheet, job.options, settings).record.digest != plan.record.digest:
        raise SheetError(sheet.path, "it was changed while you were asked about it: run it again")
    return meant


async def check_said(ledger: LedgerReader, settings: Settings) -> None:
    """Raises LedgerError if rows rest on what somebody was sure of, and nobody agreed to the run then."""
    unsaid = [each for each in await ledger.unsaid() if each != Unchecked.IDS or not settings.trust_ids]
    if unsaid:
        about = "their Ids" if unsaid == [Unchecked.IDS] else "who is to get them"
        raise LedgerError(ledger.name, f"nobody has agreed to its rows ({about}): run the sheet itself again")


async def _said(job: SheetJob) -> dict[str, str]:
    """What somebody has agreed to in an earlier run."""
    if not job.ledger.holds_anything():
        return {}
    async with read_ledger(job.ledger) as ledger:
        return await ledger.said_columns()
