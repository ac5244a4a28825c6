"""Why a row is where it is, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batch_share.ledger.records import NOT_ASKED, spell_notice
from batch_share.ledger.states import State

if TYPE_CHECKING:
    from batch_share.ledger.records import Row

_LABELS: Final = {
    State.PENDING: "not yet sent",
    State.POSTED: "activity posted, not yet shared",
    State.POSTING: "posting the activity, or cut off while it did: then the next run looks it up",
    State.REVOKING: "taking its share back, or cut off while it did: `batch-share revoke` takes it back again",
    State.SHARING: "sharing, or cut off while it did: then the next run shares again in the same activity",
}


def reason_of(row: Row) -> str:
    """Why a row is where it is, for the person who reads the results."""
    reason = "; ".join(filter(None, (row.reason or _label(row), spell_notice(row.notice or ""))))
    if row.position is not None or row.state is not State.UNKNOWN:
        return reason
    told = reason if NOT_ASKED in reason else f"{NOT_ASKED}: {reason}"
    return f"{told}; a run that asks for it again, as the sheet and its options were, settles it"


def _label(row: Row) -> str | None:
    start = row.instruction.start if row.instruction and row.state is State.PENDING else None
    return f"waits until {start:%Y-%m-%d %H:%M} UTC" if start else _LABELS.get(row.state)
