"""The sandbox's only source of time, so that a test can bring its own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Protocol


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
