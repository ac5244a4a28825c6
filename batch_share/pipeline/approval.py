"""A plan that somebody approved, so that a run of anything else is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from batch_share.errors import PlanChanged, SettingsError
from batch_share.ledger.records import CHOICE_FROM

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.outputs import Named
    from batch_share.pipeline.plan import Plan
    from batch_share.settings import Settings

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
