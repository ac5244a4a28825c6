"""Never more than `limit` calls in any `period`, and no slot wasted.

LeadSquared allows 25 calls in 5 seconds for an account (https://apidocs.leadsquared.com/rate-limits/) and does
not say whether the window slides. `AsyncLimiter(25, 5)` alone lets 25 go at once *and* refills, so a sliding
window sees up to 49. Here two things work together:

1. a guard of `limit` permits, each given back `period` after its call's answer arrived. A call reached the server
   no later than its answer reached us, so the next call on that permit arrives more than `period` after it: no
   window, sliding or fixed, can hold more than `limit`, whatever the latency;
2. `AsyncLimiter(1, distance)`, which lets permits that come back together go one by one, and slowly apart. The
   distance is a tenth of the even one (`period / limit`): the whole of it would leave slots idle whenever a permit
   came back late. After an idle period, with every permit home, the first `limit` calls need none at all: the guard
   alone is the proof.

Other integrations use the same account. A refusal tells the account's limit, which is kept from then on, and calls
are spread evenly, so that others find room between them; another refusal, though that is kept, lowers the rate by a
quarter, and quiet raises it again, call by call, up to the limit.

All clocks are the event loop's; tests run this in virtual time.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiolimiter import AsyncLimiter

from batch_share.common import Rate, loop_time, wait_for_event
from batch_share.leadsquared.guesses import CLOCK_MARGIN
from batch_share.logs import log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from batch_share.leadsquared.account import AccountMemory

SPREAD: Final = 0.1
"""The least distance of two calls, as a part of the even one, while nobody else is seen to use the account. With
none a period's calls would come in a burst; with more, slots stay idle whenever a permit comes back late."""

LOWER: Final = 0.75
"""What is left of the rate after a second refusal that tells nothing new: one that was bad luck costs little, and
a few of them in a row find the pace all the same."""

QUIET_PERIODS: Final = 6
"""Periods without a refusal after which the rate is raised by one call: sooner, each try that is refused would cost
more than the calls it wins."""


class PacerClosed(Exception):
    """The run is stopping: no slot will be given any more."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing goes from `since` to `until`, by the loop's clock, for a refusal; `asked`: it told how long."""

    since: float
    until: float
    asked: bool


class Pacer:
    """The one gate through which all calls of an account go, in the order in which they ask.

    `rate` is kept now, `limit` is the most that is kept: what was asked for, or what LeadSquared has told since,
    whichever is less; `refusals` is how often it said "too many". `memory` carries the last calls over a restart.
    A pacer that `is_bulk` is of bulk calls alone, each of which is a call of the account too, and noted as that.
    """

    def __init__(self, rate: Rate, memory: AccountMemory | None = None, *, is_bulk: bool = False) -> None:
        self._memory, self._is_bulk = memory, is_bulk
        self._turnstile = asyncio.Lock()
        self._spares = asyncio.Lock()
        self._waiting = 0
        self._nobody_waits = asyncio.Event()
        self._changed = asyncio.Event()
        self._out = 0
        self._unspaced = 0
        self.refusals = 0
        self._opens_at: float | None = None
        self._hold: Hold | None = None
        self._closed = False
        self.limit = rate
        self._heard_at = float("-inf")  # of a refusal, or of nothing for so long that the rate was raised
        self._set_rate(rate)

    @property
    def hold(self) -> Hold | None:
        """For which refusal nothing goes now, if for any: of several, the one whose time is over last."""
        return self._hold if self._hold is not None and loop_time() < self._hold.until else None

    @asynccontextmanager
    async def slot(self, *, if_free: bool = False) -> AsyncIterator[None]:
        """Wait for a turn and hold it while the call is under way. Raises PacerClosed once `close` was called.

        A turn `if_free` is one that nobody else wants: whoever asks for another goes first.
        """
        if if_free:
            async with self._spares:  # one at a time: whoever comes meanwhile has no more than one before it
                while self._waiting and not self._closed:
                    await self._nobody_waits.wait()
                await self._acquire()
        else:
            self._waiting += 1
            self._nobody_waits.clear()
            try:
                await self._acquire()
            finally:
                self._waiting -= 1
                if not self._waiting:
                    self._nobody_waits.set()
        try:
            self._note()
            yield
        finally:
            asyncio.get_running_loop().call_later(self.rate.period + CLOCK_MARGIN, self._give_back)
            self._note()

    def refused(self, *, pause: float | None, reported: Rate | None) -> None:
        """Close the account's gate after a throttle: for `pause` seconds, else one period; learn what was told.

        From now on nothing goes unspaced, and all evenly: somebody else is using the account's calls as well.
        """
        self.refusals += 1
        if self.refusals == 1:
            self._set_rate(self.rate)
        self._unspaced = 0
        if reported is not None:
            if reported.per_second < self.limit.per_second:
                self.limit = reported
            if self._memory is not None:
                self._memory.keep(**{"bulk_rate" if self._is_bulk else "rate": reported})
        since, self._heard_at = loop_time() - self._heard_at, loop_time()
        if self.limit.per_second < self.rate.per_second or self.limit.period != self.rate.period:
            calls = int(min(self.limit.per_second, self.rate.per_second) * self.limit.period + 1e-9)
            self._set_rate(Rate(max(1, calls), self.limit.period))
        elif self.rate.period <= since < self._quiet:  # sooner it is the same burst, later it is bad luck
            self._set_rate(Rate(max(1, int(self.rate.limit * LOWER)), self.rate.period))
        hold = Hold(loop_time(), loop_time() + (self.rate.period if pause is None else pause), pause is not None)
        self._opens_at = max(self._opening(), hold.until)
        if self.hold is None or self.hold.until < hold.until:
            self._hold = hold

    def resume(self, rate: Rate) -> None:
        """Go on after others had the account for a while: their calls count, as those of an earlier process do.

        `rate` is the most that is known to be allowed by now.
        """
        if rate.per_second < self.limit.per_second:
            self.limit = rate
        if rate.per_second < self.rate.per_second:
            self._set_rate(rate)
        if self._opens_at is not None and self._memory is not None:
            seconds_to_wait = self._memory.seconds_to_wait(self.rate.period + CLOCK_MARGIN)
            self._opens_at = max(self._opens_at, loop_time() + seconds_to_wait)

    def close(self) -> None:
        """Give no more slots; whoever waits for one gets PacerClosed. Calls under way are not touched."""
        self._closed = True
        self._changed.set()
        self._nobody_waits.set()

    # The turnstile lets one caller at a time wait for the gate, a permit and its distance, first come first served.
    # It takes its permit only as it goes: whoever is cancelled on the way has nothing to give back.
    async def _acquire(self) -> None:
        async with self._turnstile:
            known = None
            while known != self.refusals:  # refused on the way: all over again, at the pace learnt
                if self._closed:
                    raise PacerClosed
                if self.rate.limit < self.limit.limit and loop_time() - self._heard_at >= self._quiet:
                    self._heard_at = loop_time()  # after so much quiet one call more: whoever used them may be gone
                    self._set_rate(Rate(self.rate.limit + 1, self.rate.period))
                    log.info("rate raised", rate=str(self.rate), limit=str(self.limit))
                while (wait := self._opening() - loop_time()) > 0 or self._out >= self.rate.limit:
                    await self._change(wait if wait > 0 else None)
                known = self.refusals
                await self._distance()
            self._out += 1

    def _opening(self) -> float:
        if self._opens_at is None:  # the first call of this process
            period = self.rate.period + CLOCK_MARGIN
            self._opens_at = loop_time() + (
                self._memory.seconds_to_wait(period) if self._memory is not None else 0.0
            )
        return self._opens_at

    async def _distance(self) -> None:
        if self._out == 0 and not self.refusals:  # every permit is home: a whole period went by
            self._unspaced = self.rate.limit
        if self._unspaced > 0:
            self._unspaced -= 1
            return
        # A task, so that `close` need not wait for it: at a slow rate a distance takes minutes.
        distance = asyncio.create_task(self._spacing.acquire())
        distance.add_done_callback(lambda _: self._changed.set())
        try:
            while not distance.done():
                await self._change()
        finally:
            distance.cancel()

    async def _change(self, at_most: float | None = None) -> None:
        self._changed.clear()
        await wait_for_event(self._changed, at_most)
        if self._closed:
            raise PacerClosed

    def _give_back(self) -> None:
        self._out -= 1
        self._changed.set()

    def _note(self) -> None:
        if self._memory is not None and not self._is_bulk:  # else the account's pacer does it
            self._memory.note()

    def _set_rate(self, rate: Rate) -> None:
        self.rate, self._quiet = rate, QUIET_PERIODS * rate.period
        self._spacing = AsyncLimiter(1, rate.period / rate.limit * (1 if self.refusals else SPREAD))
