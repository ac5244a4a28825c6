"""What a person approved before any call: a plan, to which a run is held."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from batch_share.errors import PlanChanged, SettingsError
from batch_share.ledger.records import CHOICE_FROM

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.outputs import Named
    from batch_share.planning.plan import Plan
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

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    sheet: str
    digest: str
    settings: dict[str, str | bool | int | None]

    @classmethod
    def of(cls, plan: Plan, settings: Settings) -> Approval:
        """What approving this plan means."""
        public = settings.public()
        binding = {name: public[name] for name in _BINDING}
        return cls(sheet=plan.record.name, digest=plan.record.digest, settings=binding)

    def save(self, target: Named) -> None:
        """Write it as JSON. Raises SettingsError."""
        with target.written() as temporary:
            temporary.write_text(json.dumps(self.model_dump(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, file: Path) -> Approval:
        """As it was saved. Raises SettingsError if the file can't be read."""
        try:
            return cls.model_validate_json(file.read_bytes())
        except OSError as error:
            raise SettingsError(
                "plan",
                f"{file} can't be read ({error.strerror})",
                problem=f"The saved plan can't be read ({error.strerror}).",
            ) from None
        except ValidationError:
            raise SettingsError(
                "plan",
                f"{file} is not a plan that `batch-share plan --save` wrote",
                problem="The saved plan is none that batch_share wrote.",
                hint="Plan again, and save that.",
            ) from None


def check_approval(approved: Approval | Path, plan: Plan, settings: Settings) -> None:
    """Raises PlanChanged if this is not what was approved, SettingsError if its file can't be read."""
    file = None if isinstance(approved, Approval) else approved
    before = approved if isinstance(approved, Approval) else Approval.load(approved)
    now = Approval.of(plan, settings)
    changed = [name for name in _BINDING if before.settings.get(name) != now.settings[name]]
    if changed:
        raise PlanChanged(file, f"the setting {changed[0]}")
    if before.digest[:CHOICE_FROM] != now.digest[:CHOICE_FROM]:
        raise PlanChanged(file, f"the sheet {plan.record.name}, or how it is read,")
    if before.digest != now.digest:
        raise PlanChanged(file, "the choice of rows")
