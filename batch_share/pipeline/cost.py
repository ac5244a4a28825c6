"""What a run costs: how many calls, and how long they take at the account's rates. No I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch_share.leadsquared.bulk import MOST as MOST_ACTIVITIES

if TYPE_CHECKING:
    from batch_share.units import Rate


@dataclass(frozen=True, slots=True)
class Cost:
    """At least so many `calls`, which take about so many `seconds`."""

    calls: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast an account may be called: `rate`, and inside it `bulk_rate`; `share_batch` shares go in a call.

    With `follow_up` every request is asked for once.
    """

    rate: Rate
    bulk_rate: Rate
    share_batch: int
    follow_up: bool

    def one_by_one(self, fresh: int, standing: int = 0) -> Cost:
        """An activity and a share for each `fresh` row, a share alone for those whose activity is `standing`."""
        return self._cost(2 * fresh + standing + (fresh + standing) * self.follow_up)

    def in_bulk(self, fresh: int, standing: int = 0) -> Cost:
        """The same with many rows to a call, and rows by themselves in the slots that bulk calls leave."""
        together = fresh * self._share_in_bulk()
        posts = together / MOST_ACTIVITIES + (fresh - together)
        return self._cost(posts + (fresh + standing) * self._calls_after_post)

    def _share_in_bulk(self) -> float:
        """The part of the rows that bulk calls carry while no slot is idle."""
        of_bulk_call = 1 + MOST_ACTIVITIES * self._calls_after_post
        bulk_calls = min(self.bulk_rate.per_second, self.rate.per_second / of_bulk_call)
        singles = (self.rate.per_second - bulk_calls * of_bulk_call) / (1 + self._calls_after_post)
        return MOST_ACTIVITIES * bulk_calls / (MOST_ACTIVITIES * bulk_calls + singles)

    @property
    def _calls_after_post(self) -> float:
        """For each row: its part of a share call and of asking what became of it."""
        return (1 + self.follow_up) / self.share_batch

    def _cost(self, calls: float) -> Cost:
        """The first calls, as many as the limit, go at once."""
        return Cost(math.ceil(calls), max(0.0, calls - self.rate.limit) / self.rate.per_second)
