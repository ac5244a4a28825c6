"""The states of a row and the one table of legal transitions.

::

    pending → posting → posted → sharing → accepted → shared
       invalid (can't be sent)   skipped (need not be sent)   failed (refused)   unknown (sent, and nobody knows)
    and when a share is revoked:  shared → to_revoke → revoking → ending → revoked

`posting`, `sharing` and `revoking` are intents, committed before their call leaves. A process that finds one left
by another can't know whether the call arrived: the row is `unknown`. It goes on only after it was looked up, or,
where a share is revoked, by revoking it again in the same activity: that can't take away more.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container, Mapping


class State(StrEnum):
    """Where a row stands.

    | state | what it means |
    |---|---|
    | `pending` | nothing was sent for it yet |
    | `posting`, `sharing`, `revoking` | a call is under way that posts its activity, shares, revokes |
    | `posted` | its activity is there, and it is not shared yet |
    | `accepted`, `ending` | LeadSquared took the request to share, to revoke, and is still processing it |
    | `shared`, `revoked` | LeadSquared says that this was done |
    | `ended` | shared, and the time of the share is over |
    | `to_revoke` | it is to be revoked |
    | `invalid`, `skipped` | it can't be sent; it need not be |
    | `failed` | LeadSquared refused it |
    | `unknown` | a call may have been done: the next run looks that up before it sends anything |
    """

    PENDING = "pending"
    POSTING = "posting"
    POSTED = "posted"
    SHARING = "sharing"
    ACCEPTED = "accepted"
    SHARED = "shared"
    INVALID = "invalid"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNKNOWN = "unknown"
    TO_REVOKE = "to_revoke"
    REVOKING = "revoking"
    ENDING = "ending"
    REVOKED = "revoked"

    ENDED = "ended"
    """Shared, and the time of the share is over. No ledger holds it: by the time it is told of what is `shared`."""

    @property
    def is_at_rest(self) -> bool:
        """Nothing is to be done."""
        return self in AT_REST


class Stage(StrEnum):
    """Which step a `failed` or `unknown` row was in."""

    ACTIVITY = "activity"
    SHARE = "share"
    PROCESSING = "processing"
    REVOKE = "revoke"
    EARLIER = "earlier"
    """Shares of earlier runs are revoked before the row's own is made, or for a row that asks for no more."""


TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    # failed without a call: its end was over before its turn came, or an earlier share could not be revoked
    # revoked without a call of its own: it asked for no more than earlier shares to be revoked, and they were
    # unknown, here and below: the ledger is older than its job, or was lost, so that it may have been sent
    State.PENDING: frozenset({State.POSTING, State.SKIPPED, State.FAILED, State.REVOKED, State.UNKNOWN}),
    # back to pending: definitely not done (a throttle, no connection)
    State.POSTING: frozenset({State.POSTED, State.PENDING, State.FAILED, State.UNKNOWN}),
    # failed without a call: as above, or the activity turned out to belong to somebody else
    # unknown: a share that may have been done was to be repeated, and can't be
    # to_revoke: such a share, revoked to be sure instead
    State.POSTED: frozenset({State.SHARING, State.FAILED, State.UNKNOWN, State.TO_REVOKE}),
    State.SHARING: frozenset({State.ACCEPTED, State.POSTED, State.FAILED, State.UNKNOWN}),
    # back to posted: its request was of many rows and could not be processed; it is shared again by itself
    # revoked, here and below: by a newer copy of the ledger, which is not there any more
    State.ACCEPTED: frozenset({State.SHARED, State.FAILED, State.POSTED, State.TO_REVOKE, State.REVOKED}),
    State.SHARED: frozenset({State.TO_REVOKE, State.REVOKED}),
    State.INVALID: frozenset(),
    # what it repeats is over, or is to be made once more; there is something to revoke by now
    State.SKIPPED: frozenset({State.PENDING, State.UNKNOWN}),
    # tried again from the step that failed, by a person's wish; a share that stands, revoked again
    State.FAILED: frozenset({State.PENDING, State.POSTED, State.TO_REVOKE, State.UNKNOWN}),
    # looked up: found, definitely not there, or found to be somebody else's; a share goes back to be shared again
    # accepted, shared: found after its ledger was lost, with a request that is known, or with its time over
    State.UNKNOWN: frozenset(
        {State.POSTED, State.PENDING, State.FAILED, State.TO_REVOKE, State.ACCEPTED, State.SHARED}
    ),
    State.TO_REVOKE: frozenset({State.REVOKING}),
    State.REVOKING: frozenset({State.ENDING, State.TO_REVOKE, State.FAILED, State.UNKNOWN}),
    # unknown: nobody knew whether there was a share to revoke, which may be why that could not be processed
    State.ENDING: frozenset({State.REVOKED, State.FAILED, State.UNKNOWN}),
    State.REVOKED: frozenset(),
    State.ENDED: frozenset(),
}

INTENTS: Final = {State.POSTING: Stage.ACTIVITY, State.SHARING: Stage.SHARE, State.REVOKING: Stage.REVOKE}
"""The states that say "a call may be under way", each with its stage."""

INTENT_OF: Final = {stage: state for state, stage in INTENTS.items()}
"""The intent of each step that sends something."""

NEVER_SENT: Final = (State.PENDING, State.INVALID, State.SKIPPED)
"""Nothing of the row is, or can be, at LeadSquared."""

TO_DO: Final = (State.PENDING, State.POSTED)
"""A run goes on from here."""

ON_ITS_WAY: Final = (*TO_DO, State.POSTING, State.SHARING)
"""A run has still to send something before the lead is shared, or does so just now."""

ARE_SHARED: Final = (State.ACCEPTED, State.SHARED)
"""The lead is shared until its time is over, as far as is known."""

BEING_REVOKED: Final = (State.TO_REVOKE, State.REVOKING)
"""Its share is still to be revoked, or is being so just now."""

PROCESSING: Final = (State.ACCEPTED, State.ENDING)
"""LeadSquared has accepted a request, and its word on it is waited for."""

OPEN: Final = (*INTENTS, *PROCESSING, State.UNKNOWN)
"""Something was begun that is to be settled before the row is at rest."""

TROUBLED: Final = (State.FAILED, State.UNKNOWN, State.INVALID)
"""A person has to look at the row."""

AT_REST: Final = (State.SHARED, State.ENDED, State.SKIPPED, State.REVOKED)
"""Nothing is to be done."""

BEFORE: Final = {
    Stage.ACTIVITY: State.PENDING,
    Stage.SHARE: State.POSTED,
    Stage.REVOKE: State.TO_REVOKE,
}
"""Where a row stands before each step, and again after one that was definitely not done."""

MAY_STAND: Final = (
    (State.SHARED, None),
    (State.ACCEPTED, None),
    (State.POSTED, Stage.SHARE),
    (State.UNKNOWN, Stage.SHARE),
    (State.UNKNOWN, Stage.REVOKE),
    (State.FAILED, Stage.REVOKE),
    (State.TO_REVOKE, None),
)
"""States, each with the stage that it needs or None, in which a share stands or may stand."""

UNTIL_ENDED: Final = (*MAY_STAND, (State.REVOKING, None), (State.ENDING, None))
"""The same and those in which it is being revoked: until that is heard of, it may stand."""


def rows_in(states: Mapping[State, int], these: Container[State]) -> int:
    """How many of the rows, counted by state, are in one of these."""
    return sum(rows for state, rows in states.items() if state in these)


@cache
def predecessors(state: State) -> frozenset[State]:
    """The states from which `state` may be reached."""
    return frozenset(old for old, news in TRANSITIONS.items() if state in news)
