"""What a run costs: the calls that are left to be made, at least, and how long they take. No I/O.

How many shares go in a call no page says, so an account's refusals teach it, and it is remembered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batch_share.leadsquared.protocol import MOST_ACTIVITIES
from batch_share.ledger.states import State, rows_in
from batch_share.settings import DEFAULT_BULK_RATE, DEFAULT_RATE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_share.common import Rate
    from batch_share.leadsquared.account import Account, AccountMemory
    from batch_share.settings import Settings

MOST_SHARES: Final = 25
"""As many as a bulk call posts activities; no page gives a maximum."""


class ShareBatch:
    """What is tried, `most` shares in a call: the setting, else what an earlier run has learnt of the account."""

    def __init__(self, setting: int | None, memory: AccountMemory) -> None:
        self._memory = memory
        self._accepted = 1
        self.most = setting or memory.account.share_batch or MOST_SHARES

    def accepted(self, size: int) -> None:
        """A call of this size was accepted."""
        self._accepted = max(self._accepted, size)
        if size > (self._memory.account.share_batch or size):
            self._memory.keep(share_batch=size)

    def refused(self, size: int, parts: int) -> None:
        """A call of this size was refused, though every row of it was accepted in calls of at most `parts`.

        So no row is to blame, but their number; unless that was taken before.
        """
        most = max(self._accepted, parts)
        if size > self._accepted and most < self.most:
            self.most = most
            self._memory.keep(share_batch=most)


@dataclass(frozen=True, slots=True)
class Cost:
    """Calls, of which at most `rate` are made; with a `bulk_rate`, many rows to a call.

    `follow_up`: those that ask for the status of shares are counted.
    """

    calls: int
    rate: Rate
    follow_up: bool
    bulk_rate: Rate | None = None

    @property
    def seconds(self) -> float:
        """How long they take: the first `limit` calls go at once."""
        return max(0, self.calls - self.rate.limit) / self.rate.per_second


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast an account may be called: `rate`, and inside it `bulk_rate`; `share_batch` shares go in a call.

    Without a bulk rate rows go one by one. With `follow_up` every request is asked for once.
    """

    rate: Rate
    follow_up: bool
    bulk_rate: Rate | None = None
    share_batch: int = 1

    @classmethod
    def of(cls, settings: Settings, account: Account, *, bulk: bool) -> Pace:
        """The pace at which a run with these settings begins, by what is known of the account."""
        rate = settings.rate or account.rate or DEFAULT_RATE
        if not bulk:
            return cls(rate, settings.follow_up)
        bulk_rate = settings.bulk_rate or account.bulk_rate or DEFAULT_BULK_RATE
        return cls(rate, settings.follow_up, bulk_rate, settings.share_batch or account.share_batch or MOST_SHARES)

    def cost(self, states: Mapping[State, int], events: int = 0) -> Cost:
        """What is left to do for rows in these states; those of `events` activity types have owners checked."""
        fresh = states.get(State.PENDING, 0)
        together = 0.0
        if self.bulk_rate is not None:  # bulk calls carry those for which no slot is idle
            after_post = (1 + self.follow_up) / self.share_batch
            of_bulk_call = 1 + MOST_ACTIVITIES * after_post
            bulk_calls = min(self.bulk_rate.per_second, self.rate.per_second / of_bulk_call)
            singles = (self.rate.per_second - bulk_calls * of_bulk_call) / (1 + after_post)
            together = fresh * MOST_ACTIVITIES * bulk_calls / (MOST_ACTIVITIES * bulk_calls + singles)
        calls = together / MOST_ACTIVITIES + (fresh - together)
        to_share = rows_in(states, lambda state: state.is_on_its_way)
        to_revoke = rows_in(states, lambda state: state.is_being_revoked)
        calls += (to_share - states.get(State.SHARING, 0)) / self.share_batch + to_revoke
        if self.follow_up:
            calls += (to_share + states.get(State.ACCEPTED, 0)) / self.share_batch
            calls += to_revoke + states.get(State.ENDING, 0)
        calls = math.ceil(round(calls, 6))  # rounding errors must not make another call
        # To find out whose the keys are, and to read an activity of each type; in bulk, of each form too.
        if events:
            calls += events + 1 if self.bulk_rate is None else 2 * events + 3
        return Cost(calls, self.rate, self.follow_up, self.bulk_rate)
