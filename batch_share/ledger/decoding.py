"""What a query found, as records."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from batch_share.common import Action
from batch_share.ledger.records import GONE_POSTED, Instruction, Row, Share, Shared
from batch_share.ledger.states import Stage, State

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import RowMapping

INSTRUCTION: Final = tuple(Instruction.__slots__)
"""The columns that hold what a row asks for."""

SHARE: Final = ("id", "sheet_row", "lead_id", "user_id", "access", "request_id")
"""The columns of `rows` that say what was shared with whom."""


def row_of(found: RowMapping) -> Row:
    """A row, found with all its columns."""
    values = {name: found[name] for name in INSTRUCTION} | {"action": Action(found["action"])}
    asked = Instruction(**values) if found["lead_id"] else None
    stage = Stage(found["stage"]) if found["stage"] else None
    return Row(
        id=found["id"],
        key=found["key"],
        sheet_row=found["sheet_row"],
        cells=found["cells"],
        state=State(found["state"]),
        instruction=asked,
        position=found["position"],
        stage=stage,
        reason=found["reason"],
        activity_id=found["activity_id"],
        request_id=found["request_id"],
        share_status=found["share_status"],
        notice=found["notice"],
        revoke_id=found["revoke_id"],
    )


def state_in_sheet(state: str, reason: str | None) -> State:
    """The state of a row that the sheet in force has, be it again: one that was lost when it was posted goes on."""
    return State.POSTED if reason == GONE_POSTED else State(state)


def shared_of(found: RowMapping) -> Shared:
    """A row that may be taken back, found with the call that shared its lead."""
    accepted_at = found["answered_at"]
    return Shared(
        id=found["id"],
        sheet_row=found["sheet_row"],
        is_in_sheet=found["position"] is not None,
        state=State(found["state"]),
        user_id=found["user_id"],
        ends_at=_end_of(found, accepted_at) if accepted_at else None,
    )


def _end_of(found: RowMapping, begun: datetime) -> datetime:
    """When a share ends that was begun then."""
    end: datetime = found["until"] or begun + timedelta(minutes=found["duration"] or 0)
    return end


def share_of(found: RowMapping) -> Share:
    """A share, found with the call that made it."""
    begun = found["answered_at"] or found["changed_at"]
    values = {name: found[name] for name in SHARE if name != "id"}
    return Share(row_id=found["id"], ends_at=_end_of(found, begun), run=found["run_id"], **values)
