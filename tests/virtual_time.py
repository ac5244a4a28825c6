"""An event loop whose clock jumps to the next timer instead of waiting for it: hours pass in milliseconds."""

from __future__ import annotations

import asyncio
import math
import selectors
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Executor
    from contextvars import Context

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _JumpingSelector(selectors.DefaultSelector):
    """Looks for I/O without waiting; where asyncio would wait for a timer, time itself moves on."""

    now = 0.0
    wakeups = 0
    has_work: Callable[[], bool]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("the test waits for something that never happens: no timer is set")
        ready = super().select(0)
        # A timer of this very moment is due once it is past: after half a year the loop's nanosecond is none.
        if not ready and not self.has_work():
            self.now = max(self.now + timeout, _later(self.now))
            self.wakeups += 1
        return ready


def _later(now: float) -> float:
    """Two nanoseconds on; after half a year of seconds the next float is further than that."""
    return max(now + 2e-9, math.nextafter(now, math.inf))


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For tests without sockets. What is meant for a thread is done at once, and takes no time.

    Every timer takes two nanoseconds at least, as on a real clock. AsyncLimiter sets a timer for this very moment
    when rounding leaves it a hair short: time that stood still would let it do so for ever.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self._jumping.has_work = lambda: bool(self._ready)  # type: ignore[attr-defined]

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._jumping.now

    @property
    def wakeups(self) -> int:
        """How often a timer has ended a wait so far."""
        return self._jumping.wakeups

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Set a timer, a moment ahead."""
        return super().call_at(max(when, _later(self.time())), callback, *args, context=context)

    def run_in_executor(
        self, _executor: Executor | None, work: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Do it here and now."""
        done = self.create_future()
        try:
            done.set_result(work(*args))
        except Exception as error:
            done.set_exception(error)
        return done


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end on a loop of its own, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
