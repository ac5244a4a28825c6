"""The counts behind a progress display, and what work waits for.

They are kept as the work goes, so that looking costs the ledger nothing. All moments are the event loop's.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from batch_share.ledger.states import BEFORE, INTENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from batch_share.ledger.known import LiveShare
    from batch_share.ledger.states import State

STARTING: Final = "starting"
"""The phase in which nothing has happened yet."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """What is waited for, while nothing else goes on: how long it takes nobody knows.

    `requests` are still being processed; 0: what is waited for is another look at what nobody knows. It is asked
    `again` then, or just now if that is None, and for the last time at `until`.
    """

    again: float | None
    until: float
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Outage:
    """LeadSquared can't be reached: `words` say why. Of `most` tries that a call has, `tries` were in vain."""

    words: str
    tries: int
    most: int


@dataclass(slots=True)
class Tally:
    """What a progress display shows.

    `sent` counts posts, shares and revocations of rows, but not those that certainly did nothing and are to be sent
    again. `waiting` rows are pending because their time has not come.
    `above` is told of each call, too, of an outage and of what is waited for.
    `taken_back` are the earlier shares that LeadSquared said were taken back, for rows whose action asked for that.
    `returned` rows are to be shared again by themselves, since the request that they were part of failed.
    """

    phase: str = STARTING
    states: Counter[State] = field(default_factory=Counter)
    calls: int = 0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=500))
    refusals: int = 0
    refused_since: float | None = None
    looked_up: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    lost_in_a_row: int = 0
    waiting: int = 0
    returned: int = 0
    taken_back: set[LiveShare] = field(default_factory=set)
    remarks: list[str] = field(default_factory=list)
    outage: Outage | None = None
    ask_awaited: Callable[[], Awaited | None] | None = None
    above: Tally | None = None

    def begin(self, states: Mapping[State, int]) -> None:
        """Count from these."""
        self.phase = STARTING
        self.states.clear()
        self.states.update(states)

    def remark(self, words: str) -> None:
        """Something that a person should be told at the end, once."""
        if words not in self.remarks:
            self.remarks.append(words)

    def called(self) -> float:
        """One more call leaves, just now: when that is, by the loop's clock."""
        at = asyncio.get_running_loop().time()
        for tally in self._and_above():
            tally.calls += 1
            tally.recent.append(at)
        return at

    def never_left(self, at: float) -> None:
        """The call that was to leave then did not."""
        for tally in self._and_above():
            tally.calls -= 1
            with suppress(ValueError):  # so long ago that it is no recent one
                tally.recent.remove(at)

    def out_of_reach(self, outage: Outage) -> None:
        """A call found nobody once more. Of several that are tried again, the one nearest to giving up counts."""
        for tally in self._and_above():
            if tally.outage is None or tally.outage.tries <= outage.tries:
                tally.outage = outage

    def reached(self) -> None:
        """LeadSquared has answered."""
        for tally in self._and_above():
            tally.outage = None

    @property
    def awaited(self) -> Awaited | None:
        """What is waited for now, None if something is done, too."""
        return self.ask_awaited() if self.ask_awaited is not None else None

    @contextmanager
    def waits_for(self, ask_awaited: Callable[[], Awaited | None]) -> Iterator[None]:
        """While the body runs, nothing goes on but what `ask_awaited` tells of, whenever it is asked."""
        self._tell_awaited(ask_awaited)
        try:
            yield
        finally:
            self._tell_awaited(None)

    def _tell_awaited(self, ask_awaited: Callable[[], Awaited | None] | None) -> None:
        for tally in self._and_above():
            tally.ask_awaited = ask_awaited

    def _and_above(self) -> Iterator[Tally]:
        tally: Tally | None = self
        while tally is not None:
            yield tally
            tally = tally.above

    def moved(self, old: State, new: State, rows: int = 1) -> None:
        """`rows` rows went from one state to another."""
        self.states[old] -= rows
        self.states[new] += rows
        begun = new in INTENTS
        undone = old in INTENTS and BEFORE[INTENTS[old]] is new
        for tally in self._and_above():
            tally.sent += rows * (begun - undone)

    def calls_per_second(self, seconds: float = 10.0) -> float:
        """Calls per second over the last `seconds`, or since the first if that is less."""
        now = asyncio.get_running_loop().time()
        times = [at for at in self.recent if now - at <= seconds]
        return len(times) / max(min(seconds, now - times[0]), 1.0) if times else 0.0
