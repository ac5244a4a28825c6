"""How the sandbox counts calls (https://apidocs.leadsquared.com/rate-limits/), and its only source of time.

No page says whether LeadSquared's window slides or is fixed, so there are both, and both are strict. A refused call
does not count: it costs nothing but the answer. A test can bring a clock of its own.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from batch_share.common import Rate
    from batch_share.sandbox.options import SandboxOptions


class Clock(Protocol):
    """`time` measures (limits, latency, processing), `now` dates (CreatedOn, expiry), `sleep` waits."""

    def time(self) -> float:
        """Seconds since some moment; it never goes back."""

    def now(self) -> datetime:
        """The date and time, in UTC."""

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed on this clock."""


class LoopClock:
    """The running event loop's time and the wall's date."""

    def time(self) -> float:
        """The loop's time: a loop that runs in virtual time takes the sandbox along."""
        return asyncio.get_running_loop().time()

    def now(self) -> datetime:
        """The wall clock."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait on the loop."""
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that stands still until it is advanced; a sleep advances it at once. For tests."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._passed = 0.0

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._passed += seconds

    def time(self) -> float:
        """Seconds advanced so far."""
        return self._passed

    def now(self) -> datetime:
        """The start, plus what was advanced."""
        return self._start + timedelta(seconds=self._passed)

    async def sleep(self, seconds: float) -> None:
        """Advance by `seconds` and let others run."""
        self.advance(seconds)
        await asyncio.sleep(0)


class Window(ABC):
    """Admits calls up to `rate`. `refusals` counts the others; `fullest` is the most it admitted in any period."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.refusals = 0
        self.fullest = 0
        self._recent: deque[float] = deque()

    @abstractmethod
    def has_room(self, now: float) -> bool:
        """Whether a call that arrives now would be admitted."""

    def count(self, now: float) -> None:
        """Count a call that was admitted."""
        self._forget(now)
        self._recent.append(now)
        self.fullest = max(self.fullest, len(self._recent))

    def admit(self, now: float) -> bool:
        """Count a call that arrives now, or refuse it."""
        if not self.has_room(now):
            self.refusals += 1
            return False
        self.count(now)
        return True

    def _forget(self, now: float) -> None:
        while self._recent and now - self._recent[0] >= self.rate.period:
            self._recent.popleft()


class SlidingWindow(Window):
    """Never more than the limit in any period, wherever it begins."""

    def has_room(self, now: float) -> bool:
        """Whether the period that ends now has a call left."""
        self._forget(now)
        return len(self._recent) < self.rate.limit


class FixedWindow(Window):
    """Never more than the limit between two ticks of the clock; around a tick, up to twice as many."""

    def __init__(self, rate: Rate) -> None:
        super().__init__(rate)
        self._tick = 0.0
        self._used = 0

    def has_room(self, now: float) -> bool:
        """Whether the current period has a call left."""
        tick = now // self.rate.period
        if tick != self._tick:
            self._tick, self._used = tick, 0
        return self._used < self.rate.limit

    def count(self, now: float) -> None:
        """Count a call in the current period."""
        super().count(now)
        self._used += 1


class Limits:
    """The account's two buckets: every call counts in `calls`, a bulk call in `bulk` as well.

    Whether LeadSquared counts a bulk call twice is unknown; this is the stricter reading.
    """

    def __init__(self, options: SandboxOptions) -> None:
        kind = FixedWindow if options.fixed_window else SlidingWindow
        self.calls: Window = kind(options.rate)
        self.bulk: Window | None = kind(options.bulk_rate) if options.bulk_rate else None

    @property
    def refusals(self) -> int:
        """Calls refused by either bucket."""
        return self.calls.refusals + (self.bulk.refusals if self.bulk else 0)

    def exceeded(self, now: float, *, bulk: bool) -> Rate | None:
        """Count a call in its buckets, or name the rate that has no room for it: then it counts nowhere."""
        buckets = [self.calls, self.bulk] if bulk and self.bulk else [self.calls]
        full = next((bucket for bucket in buckets if not bucket.has_room(now)), None)
        if full is not None:
            full.refusals += 1
            return full.rate
        for bucket in buckets:
            bucket.count(now)
        return None
