"""What each state means, in the words of whoever reads a screen or a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batch_share.ledger.states import State

if TYPE_CHECKING:
    from batch_share.ledger.records import RunRecord

CUT_OFF: Final = "cut off"
NO_USER: Final = "(rows whose user was not found, or not looked up)"
"""In place of a user: for rows that name one in vain, and those that were wrong before anybody was looked up."""

OPEN: Final = "going on, or cut off before it could say how it ended"

MEANING: Final = {
    State.PENDING: "not yet sent",
    State.POSTING: "its activity is being posted, or was when the run was cut off",
    State.POSTED: "activity posted, not yet shared",
    State.SHARING: "being shared, or was when the run was cut off",
    State.ACCEPTED: "accepted by LeadSquared, not yet known to be processed",
    State.SHARED: "LeadSquared says the share was processed",
    State.INVALID: "can't be sent: something is wrong in the sheet",
    State.SKIPPED: "not to be sent, as told below",
    State.FAILED: "refused by LeadSquared",
    State.UNKNOWN: "sent, but nobody knows whether it arrived; looked up before it is sent again",
    State.TO_REVOKE: "its share is still to be taken back: `batch-share revoke` goes on",
    State.REVOKING: "its share is being taken back, or was when the run was cut off",
    State.ENDING: "LeadSquared is taking its share back, not yet known to be processed",
    State.REVOKED: "LeadSquared says the share was taken back",
}


def how_it_ended(run: RunRecord, *, is_last: bool) -> str:
    """How a run ended; one that did not say so was cut off if others came after it: only one works at a time."""
    return run.ended or (OPEN if is_last else CUT_OFF)


def meaning_of(state: State) -> str:
    """What `state` means; its own name where there is nothing more to say."""
    return MEANING.get(state, str(state).replace("_", " "))
