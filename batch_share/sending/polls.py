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
    """A request Id to be asked for at `due`; given up after `until`, once it has been asked."""

    due: float
    order: int
    request_id: str = field(compare=False)
    accepted_at: float | None = field(compare=False, default=None)
    until: float | None = field(compare=False, default=None)
    interval: float = field(compare=False, default=FIRST_INTERVAL)

    @property
    def is_of_this_run(self) -> bool:
        """Whether its age is known."""
        return self.accepted_at is not None

    @property
    def was_asked(self) -> bool:
        """Whether it was asked for before, in vain."""
        return self.until is not None


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
            return await self._next()

    async def _next(self) -> Poll | None:
        while not self._closed and (self._heap or self._under_way or not self._complete):
            rest = self._rest()
            if rest is not None and rest <= 0:
                self._under_way += 1
                return heapq.heappop(self._heap)
            self._changed.clear()
            await wait_for_event(self._changed, rest)
        return None

    def done(self, poll: Poll, *, settled: bool) -> None:
        """What became of a poll that was taken: unless settled, it is asked again later, or its time is over."""
        self._under_way -= 1
        self._in_vain -= poll.until is not None
        self._learn(poll, settled=settled)
        if not settled:
            self._ask_again(poll)
        self._changed.set()

    def _ask_again(self, poll: Poll) -> None:
        """Put a request that was asked for in vain back, unless its time is over."""
        now = _now()
        if poll.until is None:
            poll.until = self._last_until = now + self._wait
        poll.due = now + poll.interval
        poll.interval = min(poll.interval * GROWTH, LONGEST_INTERVAL)
        if poll.due <= poll.until:
            self._in_vain += 1
            heapq.heappush(self._heap, poll)

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
        """Seconds to the next poll, None if there is none. What was learnt since it was put there counts."""
        while self._heap and self._heap[0].due < (likely := self._likely(self._heap[0])):
            self._heap[0].due = likely
            heapq.heapreplace(self._heap, self._heap[0])
        return self._heap[0].due - _now() if self._heap else None

    def _likely(self, poll: Poll) -> float:
        """When an answer is likely; for a request that was asked for already, and in vain, it is not put off."""
        if poll.accepted_at is None or poll.until is not None:
            return 0.0
        return poll.accepted_at + self.patience

    def _push(self, poll: Poll) -> None:
        self._orders += 1
        heapq.heappush(self._heap, poll)
        self._changed.set()

    def _learn(self, poll: Poll, *, settled: bool) -> None:
        """The first ask of a request whose age is known tells whether it came too early."""
        if poll.accepted_at is None or poll.until is not None:
            return
        if settled:
            self.patience *= _IN_TIME
        else:
            age = _now() - poll.accepted_at
            self.patience = min(max(self.patience, age * _TOO_EARLY), LONGEST_PATIENCE)


def _now() -> float:
    return asyncio.get_running_loop().time()
