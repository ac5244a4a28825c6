"""The states of a row and the one table of legal transitions.

::

    pending → posting → posted → sharing → accepted → shared
       invalid (can't be sent)   skipped (need not be sent)   failed (refused)   unknown (sent, and nobody knows)

`posting` and `sharing` are intents, committed before their call leaves. A process that finds one left by another
can't know whether the call arrived: the row is `unknown`, and goes on only after it was looked up.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Final


class State(StrEnum):
    """Where a row stands."""

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


class Stage(StrEnum):
    """Which step a `failed` or `unknown` row was in."""

    ACTIVITY = "activity"
    SHARE = "share"
    PROCESSING = "processing"


TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    # failed without a call: its end was over before its turn came
    State.PENDING: frozenset({State.POSTING, State.SKIPPED, State.FAILED}),
    # back to pending: definitely not done (a throttle, no connection)
    State.POSTING: frozenset({State.POSTED, State.PENDING, State.FAILED, State.UNKNOWN}),
    # failed without a call: as above, or the activity turned out to belong to somebody else
    # unknown: a share that may have been done was to be repeated, and can't be
    State.POSTED: frozenset({State.SHARING, State.FAILED, State.UNKNOWN}),
    State.SHARING: frozenset({State.ACCEPTED, State.POSTED, State.FAILED, State.UNKNOWN}),
    # back to posted: its request was of many rows and could not be processed; it is shared again by itself
    State.ACCEPTED: frozenset({State.SHARED, State.FAILED, State.POSTED}),
    State.SHARED: frozenset(),
    State.INVALID: frozenset(),
    State.SKIPPED: frozenset(),
    State.FAILED: frozenset(),
    # looked up: found, definitely not there, or found to be somebody else's; a share goes back to be shared again
    State.UNKNOWN: frozenset({State.POSTED, State.PENDING, State.FAILED}),
}

INTENTS: Final = {State.POSTING: Stage.ACTIVITY, State.SHARING: Stage.SHARE}
"""The states that say "a call may be under way", each with its stage."""

INTENT_OF: Final = {stage: state for state, stage in INTENTS.items()}
"""The intent of each step that sends something."""

BEFORE: Final = {Stage.ACTIVITY: State.PENDING, Stage.SHARE: State.POSTED}
"""Where a row stands before each step, and again after one that was definitely not done."""

NEVER_SENT: Final = frozenset({State.PENDING, State.INVALID, State.SKIPPED})
"""States in which nothing of a row is, or can be, at LeadSquared."""

SENT: Final = (State.ACCEPTED, State.SHARED)
"""States of a row whose lead is shared until its time is over, as far as is known."""

TO_DO: Final = frozenset({State.PENDING, State.POSTED})
"""States from which a run goes on."""

TROUBLED: Final = frozenset({State.FAILED, State.UNKNOWN, State.INVALID})
"""States that a person has to look at."""


@cache
def predecessors(state: State) -> frozenset[State]:
    """The states from which `state` may be reached."""
    return frozenset(old for old, news in TRANSITIONS.items() if state in news)
