"""What a person says before any call: a plan approved, to which a run is held, and doubts about people settled."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from batch_share.errors import LedgerError, PlanChanged, SettingsError, SheetError
from batch_share.ledger.files import read_ledger
from batch_share.ledger.records import CHOICE_FROM, Unchecked
from batch_share.planning.intake import plan_job
from batch_share.planning.overview import holds_anything
from batch_share.sending.onlookers import Doubt
from batch_share.sheet.columns import doubt_of

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.ledger.reading import LedgerReader
    from batch_share.outputs import Named
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
        raise SheetError(sheet.path, f"{words}: if each is to be shared with that person, say so with {options}")
    if plan_job(job.sheet, job.options, settings).record.digest != plan.record.digest:
        raise SheetError(sheet.path, "it was changed while you were asked about it: run it again")
    return meant


async def check_said(ledger: LedgerReader, settings: Settings) -> None:
    """Raises LedgerError if rows rest on what somebody was sure of, and nobody agreed to the run then."""
    unsaid = [each for each in await ledger.unsaid() if each != Unchecked.IDS or not settings.trust_ids]
    if unsaid:
        about = "their Ids" if unsaid == [Unchecked.IDS] else "who is to get them"
        raise LedgerError(ledger.file, f"nobody has agreed to its rows ({about}): run the sheet itself again")


async def _said(job: SheetJob) -> dict[str, str]:
    """What somebody has agreed to in an earlier run."""
    if not holds_anything(job.ledger):
        return {}
    async with read_ledger(job.ledger) as ledger:
        return await ledger.said_columns()


_BINDING: Final = (
    "host",
    "event",
    "access",
    "duration",
    "note",
    "allow_duplicates",
    "renew",
    "force",
    "timezone",
    "trust_owner",
)
"""The settings that change what a run does, and not only how fast."""


class Approval(BaseModel):
    """What was approved: the sheet as it was read, and the settings that give it meaning. It holds no key."""

    model_config = ConfigDict(extra="forbid")

    version: int = 1
    sheet: str
    digest: str
    settings: dict[str, str | bool | int | None]


def approval_of(plan: Plan, settings: Settings) -> Approval:
    """What approving this plan means."""
    public = settings.public()
    return Approval(
        sheet=plan.record.name, digest=plan.record.digest, settings={name: public[name] for name in _BINDING}
    )


def save_approval(target: Named, approval: Approval) -> None:
    """Write it as JSON. Raises SettingsError."""
    with target.written() as temporary:
        temporary.write_text(json.dumps(approval.model_dump(), indent=2) + "\n", encoding="utf-8")


def check_approval(file: Path, plan: Plan, settings: Settings) -> None:
    """Raises PlanChanged if this is not what was approved, SettingsError if the file can't be read."""
    try:
        approved = Approval.model_validate_json(file.read_bytes())
    except OSError as error:
        raise SettingsError("plan", f"{file} can't be read ({error.strerror})") from None
    except ValidationError:
        raise SettingsError("plan", f"{file} is not a plan that `batch-share plan --save` wrote") from None
    now = approval_of(plan, settings)
    changed = [name for name in _BINDING if approved.settings.get(name) != now.settings[name]]
    if changed:
        raise PlanChanged(file, f"the setting {changed[0]}")
    if approved.digest[:CHOICE_FROM] != now.digest[:CHOICE_FROM]:
        raise PlanChanged(file, f"the sheet {plan.record.name}, or how it is read,")
    if approved.digest != now.digest:
        raise PlanChanged(file, "the choice of rows")
