"""What a run costs: the calls that are left to be made, at least, and how long they take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batch_share.ledger.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_share.units import Rate

_TO_SEND: Final = {State.PENDING: 2, State.POSTING: 1, State.POSTED: 1}
"""By state, the calls until a row is accepted, without the one that is under way."""

_TO_FOLLOW: Final = (*_TO_SEND, State.SHARING, State.ACCEPTED)


@dataclass(frozen=True, slots=True)
class Cost:
    """Calls, at the rate at which they begin; `follow_up`: those that ask for the status of shares are counted."""

    calls: int
    rate: Rate
    follow_up: bool

    @property
    def seconds(self) -> float:
        """How long they take: the first `limit` calls go at once."""
        return max(0, self.calls - self.rate.limit) / self.rate.per_second


def calls_left(states: Mapping[State, int], events: int = 0, *, follow_up: bool) -> int:
    """Calls for rows in these states; those of `events` activity types have their first owner checked."""
    calls = sum(count * states.get(state, 0) for state, count in _TO_SEND.items())
    if follow_up:
        calls += sum(states.get(state, 0) for state in _TO_FOLLOW)
    return calls + owner_check_calls(events)


def owner_check_calls(events: int) -> int:
    """One to find out whose the keys are, and one to read an activity of each type."""
    return events + 1 if events else 0
