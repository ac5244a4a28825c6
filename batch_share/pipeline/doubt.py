"""Whether the people of a sheet are those who are to get its leads: what only a person can say, before any call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_share.errors import SheetError
from batch_share.ledger.opening import read_ledger
from batch_share.pipeline.before import holds_anything
from batch_share.pipeline.intake import plan_job
from batch_share.pipeline.watcher import Doubt
from batch_share.sheet.columns import doubt_of, unread_people
from batch_share.units import ascii_lower

if TYPE_CHECKING:
    from batch_share.ledger.reading import LedgerReader
    from batch_share.pipeline.intake import SheetJob
    from batch_share.pipeline.plan import Plan
    from batch_share.pipeline.watcher import Watcher
    from batch_share.settings import Settings


async def settle_doubt(job: SheetJob, plan: Plan, settings: Settings, watcher: Watcher) -> None:
    """Ask whether the doubtful columns name who is to get the leads, where nobody has said so yet.

    Whoever approved a plan has, and an earlier run whose columns the ledger knows. Raises SheetError if nobody is
    sure, and if the sheet was changed meanwhile; LedgerError.
    """
    sheet = plan.sheet
    if not sheet.found.doubtful or job.approved is not None or await _was_settled(job, plan):
        return
    words, options = doubt_of(sheet.columns, sheet.found)
    columns = " and ".join(repr(sheet.columns[index]) for index in sheet.found.doubtful)
    name = f"{sheet.path.name}, worksheet {sheet.worksheet}" if sheet.worksheet else sheet.path.name
    if not watcher.is_sure(Doubt([f"{name}: {words}."], f"Share each lead with the person in {columns}?")):
        raise SheetError(sheet.path, f"{words}: if each is to be shared with that person, say so with {options}")
    if plan_job(job.sheet, job.options, settings).record.digest != plan.record.digest:
        raise SheetError(sheet.path, "it was changed while you were asked about it: run it again")


async def unread_told(plan: Plan, ledger: LedgerReader) -> list[str]:
    """What is to be known of columns that hold somebody and are not read, once users were looked up."""
    known = await ledger.known_users()
    users = {ascii_lower(name) for user_id, (_, email) in known.items() for name in (user_id or "", email)}
    return unread_people(plan.sheet.columns, plan.sheet.found, users - {""})


async def _was_settled(job: SheetJob, plan: Plan) -> bool:
    """Whether the ledger's sheet was read so too."""
    if not holds_anything(job.ledger):
        return False
    async with read_ledger(job.ledger) as ledger:
        before = await ledger.sheet()
    said = (before.mapping or {}) if before is not None else {}
    now = plan.record.mapping or {}
    headers = [plan.sheet.columns[index] for index in plan.sheet.found.doubtful]
    return all(said.get(header) == now[header] for header in headers)
