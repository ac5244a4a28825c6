"""When to ask the status API: for each request once an answer is likely, then ever more rarely while there is none.

How long LeadSquared takes is learnt as the answers come: to ask too early costs a call, to ask late costs nothing
while there is other work.
"""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from batch_share.common import wait_for_event
from batch_share.sending.onlookers import Awaited

if TYPE_CHECKING:
    from collections.abc import Iterable

FIRST_PATIENCE: Final = 0.5
"""Seconds after which the first request is asked for. Short: it costs a few calls, and the rest is learnt."""

LONGEST_PATIENCE: Final = 60.0
FIRST_INTERVAL: Final = 2.0
LONGEST_INTERVAL: Final = 60.0
GROWTH: Final = 1.6

SOON: Final = 1.0
"""Seconds to the first ask that are no waiting."""

_TOO_EARLY: Final = 1.25
_IN_TIME: Final = 0.998
"""A quarter up after an ask in vain; a little down after another, since many are under way before it shows."""


@dataclass(order=True, slots=True)
class Poll:
    """A request Id to be asked for at `due`; given up after `until`, None before it was asked for in vain.

    Of one that an earlier run was given nobody knows when it was accepted.
    """

    due: float
    order: int
    request_id: str = field(compare=False)
    accepted_at: float | None = field(compare=False, default=None)
    until: float | None = field(compare=False, default=None)
    interval: float = field(compare=False, default=FIRST_INTERVAL)


class Polls:
    """The requests that are waiting, the earliest due first. `wait`: seconds for each, from its first ask."""

    def __init__(self, wait: float) -> None:
        self._wait = wait
        self._heap: list[Poll] = []
        self._orders = 0
        self._under_way = 0
        self._in_vain = 0  # of those that are waiting or under way, the ones that were asked for already
        self._last_until = self._last_added = 0.0
        self._complete = False
        self._closed = False
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self.patience = FIRST_PATIENCE

    def add_old(self, request_ids: Iterable[str]) -> None:
        """Requests of an earlier run: nobody knows how old they are, so they are asked for at once."""
        for request_id in request_ids:
            self._push(Poll(0.0, self._orders, request_id))

    def add(self, request_id: str) -> None:
        """A request that was accepted just now."""
        self._last_added = now = _now()
        self._push(Poll(now + self.patience, self._orders, request_id, accepted_at=now))

    def complete(self) -> None:
        """No more will be added."""
        self._complete = True
        self._changed.set()

    async def take(self) -> Poll | None:
        """The next poll, once it is due; None when all are settled or given up. Give each back with `done`."""
        async with self._turn:  # one waits for what is next, the others for their turn
            while not self._closed and (self._heap or self._under_way or not self._complete):
                rest = self._rest()
                if rest is not None and rest <= 0:
                    self._under_way += 1
                    return heapq.heappop(self._heap)
                self._changed.clear()
                await wait_for_event(self._changed, rest)
        return None

    def done(self, poll: Poll, *, settled: bool) -> None:
        """What became of a poll that was taken: unless settled, it is asked again later, or its time is over.

        The first ask of a request whose age is known tells whether it came too early.
        """
        now = _now()
        is_first = poll.until is None
        self._under_way -= 1
        self._in_vain -= not is_first
        if is_first and poll.accepted_at is not None:
            too_early = max(self.patience, (now - poll.accepted_at) * _TOO_EARLY)
            self.patience = self.patience * _IN_TIME if settled else min(too_early, LONGEST_PATIENCE)
        if not settled:
            if poll.until is None:
                poll.until = self._last_until = now + self._wait
            poll.due = now + poll.interval
            poll.interval = min(poll.interval * GROWTH, LONGEST_INTERVAL)
            if poll.due <= poll.until:
                self._in_vain += 1
                heapq.heappush(self._heap, poll)
        self._changed.set()

    async def none_left(self) -> None:
        """Wait until all that were added are settled or given up; more may be added then."""
        while not self._closed and (self._heap or self._under_way):
            self._changed.clear()
            await self._changed.wait()

    def awaited(self) -> Awaited | None:
        """What is waited for if there is nothing else to do; None while first asks, soon, may settle all.

        It is asked often, and there may be a hundred thousand: none of them is looked at but the next.
        """
        waiting, rest, now = len(self._heap) + self._under_way, self._rest(), _now()
        if not waiting or not (self._in_vain or (rest is not None and rest > SOON)):
            return None
        until = self._last_until if self._in_vain else 0.0
        if self._in_vain < waiting:
            until = max(until, max(self._last_added + self.patience, now) + self._wait)
        again = now + rest if rest is not None and rest > 0 else None
        return Awaited(again, until, waiting)

    def close(self) -> None:
        """Give up all that are waiting."""
        self._closed = True
        self._changed.set()

    def _rest(self) -> float | None:
        """Seconds to the next poll, None if there is none.

        What was learnt since it was put there counts: a first ask is put off until an answer is likely.
        """
        while self._heap:
            poll = self._heap[0]
            is_first = poll.accepted_at is not None and poll.until is None
            if not is_first or poll.due >= (likely := (poll.accepted_at or 0.0) + self.patience):
                return poll.due - _now()
            poll.due = likely
            heapq.heapreplace(self._heap, poll)
        return None

    def _push(self, poll: Poll) -> None:
        self._orders += 1
        heapq.heappush(self._heap, poll)
        self._changed.set()


def _now() -> float:
    return asyncio.get_running_loop().time()
