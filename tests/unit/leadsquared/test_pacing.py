"""Never 26 arrivals in any 5 seconds, and no slot wasted: thousands of calls in virtual time."""

from __future__ import annotations

import asyncio
import math
import os
import random
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import pytest
from aiolimiter import AsyncLimiter
from virtual_time import run_virtually

from batch_share.common import Rate
from batch_share.leadsquared.account import AccountMemory
from batch_share.leadsquared.pacing import SPREAD, Hold, Pacer, PacerClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

RATE: Final = Rate(25, 5.0)
EVEN: Final = 0.2
WORKERS: Final = 8
SEEDS: Final = [1, 2, 3]

T = TypeVar("T")
Slot: TypeAlias = "Callable[[], AbstractAsyncContextManager[object]]"


def now() -> float:
    """The loop's time, in virtual seconds."""
    return asyncio.get_running_loop().time()


@dataclass
class Server:
    """Notes when calls arrive: a random part of a lognormal round trip after they were sent."""

    seed: int
    arrivals: list[float] = field(default_factory=list)
    median: float = 0.25
    trips: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    async def call(self) -> None:
        """A call that is answered after one round trip, 50 to 1 000 ms."""
        trip = min(max(self.random.lognormvariate(math.log(self.median), 0.8), 0.05), 1.0)
        self.trips.append(trip)
        there = trip * self.random.random()
        # On its way, a call arrives whatever becomes of its sender.
        asyncio.get_running_loop().call_later(there, self._arrive)
        await asyncio.sleep(trip)

    def _arrive(self) -> None:
        self.arrivals.append(now())

    def fullest(self, period: float) -> int:
        """The most arrivals in any half-open window of `period` seconds, wherever it starts."""
        window: deque[float] = deque()
        most = 0
        for at in sorted(self.arrivals):
            window.append(at)
            while window[0] <= at - period:
                window.popleft()
            most = max(most, len(window))
        return most


async def make_calls(slot: Slot, server: Server, calls: int, workers: int = WORKERS) -> float:
    """`workers` make `calls` calls together; the seconds that it took."""
    began, left = now(), iter(range(calls))

    async def worker() -> None:
        for _ in left:
            async with slot():
                await server.call()

    await asyncio.gather(*(worker() for _ in range(workers)))
    return now() - began


async def instantly(pacer: Pacer, calls: int) -> list[float]:
    """When each of `calls` calls that are answered at once was sent."""
    sent = []
    for _ in range(calls):
        async with pacer.slot():
            sent.append(now())
    return sent


class Remembered(AccountMemory):
    """A memory of a call some seconds ago, that counts how often it was told, and keeps what it was asked."""

    def __init__(self, seconds_to_wait: float = 0.0) -> None:
        self.owes, self.asked, self.noted = seconds_to_wait, list[float](), 0
        self.learnt: list[dict[str, Rate]] = []

    def seconds_to_wait(self, period: float) -> float:
        """What is seconds_to_wait, whatever the period."""
        self.asked.append(period)
        return self.owes

    def note(self) -> None:
        """Count."""
        self.noted += 1

    def keep(self, **known: Any) -> None:
        """Keep."""
        self.learnt.append(known)


# ------------------------------------------------------------------------------------------------- the proof


@pytest.mark.parametrize(("seed", "median"), [*zip(SEEDS, [0.05, 0.15, 0.4], strict=True)])
def test_ten_thousand_calls_never_put_26_arrivals_into_5_seconds(seed: int, median: float) -> None:
    server = Server(seed, median=median)
    took = run_virtually(paced(RATE, server, 10_000))
    assert len(server.arrivals) == 10_000
    assert server.fullest(5.0) == 25
    # Nobody who does not know when a call arrives can do better than a period and a round trip for each permit.
    best = (10_000 - 25) / 25 * (5.0 + fmean(server.trips))
    assert took <= 1.03 * best


async def paced(rate: Rate, server: Server, calls: int) -> float:
    """The seconds that `calls` calls take."""
    return await make_calls(Pacer(rate).slot, server, calls)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_bare_limiter_does_put_more_than_25_into_5_seconds(seed: int) -> None:
    async def bare() -> None:
        limiter = AsyncLimiter(25, 5)
        await make_calls(lambda: limiter, server, 10_000)

    server = Server(seed)
    run_virtually(bare())
    assert server.fullest(5.0) > 25


@pytest.mark.parametrize("rate", [Rate(1, 1.0), Rate(10, 5.0), Rate(20, 5.0), Rate(72, 5.0), Rate(3, 0.5)], ids=str)
def test_other_rates_are_kept_too(rate: Rate) -> None:
    server = Server(4)
    run_virtually(make_calls_at(rate, server, 1_000, workers=100))
    assert len(server.arrivals) == 1_000
    assert server.fullest(rate.period) == rate.limit


async def make_calls_at(rate: Rate, server: Server, calls: int, workers: int) -> None:
    """Make the calls with more workers than the limit can keep busy."""
    await make_calls(Pacer(rate).slot, server, calls, workers)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("pause", "reported"), [(None, None), (0.3, None), (30.0, None), (None, Rate(10, 5.0))])
def test_a_refusal_in_the_middle_breaks_no_window(seed: int, pause: float | None, reported: Rate | None) -> None:
    async def with_refusals() -> None:
        pacer = Pacer(RATE)
        for at in (0.1, 3.0, 60.0, 60.1, 400.0):
            asyncio.get_running_loop().call_later(at, lambda: pacer.refused(pause=pause, reported=reported))
        await make_calls(pacer.slot, server, 3_000)

    server = Server(seed)
    run_virtually(with_refusals())
    assert len(server.arrivals) == 3_000
    assert server.fullest(5.0) <= 25
    if reported is not None:
        late = Server(seed, [at for at in server.arrivals if at > 5.0])
        assert late.fullest(reported.period) == reported.limit


@pytest.mark.parametrize("seed", SEEDS)
def test_calls_that_fail_or_are_cancelled_on_their_way_count_too(seed: int) -> None:
    async def unruly() -> None:
        pacer, chance = Pacer(RATE), random.Random(seed)

        async def call() -> None:
            async with pacer.slot(), asyncio.timeout(chance.choice([0.1, 0.3, 5])):
                await server.call()

        for _ in range(1_000):
            await asyncio.gather(*(call() for _ in range(3)), return_exceptions=True)
        await asyncio.sleep(1)

    server = Server(seed)
    run_virtually(unruly())
    # A call that was given up arrives at most a round trip later than we think: so much shorter is the window.
    assert server.fullest(5.0 - 1.0) <= 25
    assert len(server.arrivals) == 3_000


@pytest.mark.parametrize("seed", range(20))
def test_a_process_killed_and_started_anew_breaks_no_window(seed: int, tmp_path: Path) -> None:
    async def lives() -> None:
        file, chance = tmp_path / "name.account", random.Random(seed)
        for _ in range(6):
            memory = AccountMemory(file, now).__enter__()
            life = asyncio.create_task(make_calls(Pacer(RATE, memory).slot, server, 1_000))
            await asyncio.sleep(chance.uniform(0, 20))
            last = file.stat().st_mtime
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
            os.utime(file, (last, last))  # a killed process notes nothing as it goes
            await asyncio.sleep(chance.choice([0, 0.5, 3]))

    server = Server(seed)
    run_virtually(lives())
    assert len(server.arrivals) >= 25
    assert server.fullest(5.0) <= 25


@pytest.mark.parametrize("seed", range(20))
def test_jobs_that_leave_the_account_to_each_other_break_no_window(seed: int, tmp_path: Path) -> None:
    """Three jobs, each with a pacer of its own for all its life, have the turn in any order."""

    async def turns() -> None:
        file, chance = tmp_path / "name.account", random.Random(seed)
        memories = [AccountMemory(file, now) for _ in range(3)]
        pacers = [Pacer(RATE, memory) for memory in memories]
        for _ in range(12):
            memory, pacer = chance.choice([*zip(memories, pacers, strict=True)])
            memory.open()
            pacer.resume(RATE)
            await make_calls(pacer.slot, server, chance.choice([1, 10, 30, 60]))
            memory.close()
            await asyncio.sleep(chance.choice([0, 0, 0.5, 3, 30]))

    server = Server(seed)
    run_virtually(turns())
    assert server.fullest(5.0) <= 25


@pytest.mark.parametrize(
    ("known", "kept"), [(Rate(10, 5.0), Rate(10, 5.0)), (Rate(60, 60.0), Rate(60, 60.0)), (Rate(50, 5.0), RATE)]
)
def test_what_others_were_reported_in_a_pause_is_kept_if_it_is_less(known: Rate, kept: Rate) -> None:
    async def main() -> None:
        await make_calls(pacer.slot, server, 30)
        server.arrivals.clear()
        await asyncio.sleep(30.0)
        pacer.resume(known)
        await make_calls(pacer.slot, server, 100)

    pacer, server = Pacer(RATE, Remembered(seconds_to_wait=2.0)), Server(0)
    run_virtually(main())
    assert (pacer.rate, pacer.limit) == (kept, kept)
    assert server.fullest(kept.period) == kept.limit


# ------------------------------------------------------------------------------------------------- no slot wasted


def test_a_cold_start_sends_its_first_25_at_once() -> None:
    sent = run_virtually(sent_by_a_new_pacer(26))
    assert sent[:25] == [0.0] * 25
    assert 5.0 < sent[25] < 5.1


async def sent_by_a_new_pacer(calls: int, memory: Remembered | None = None) -> list[float]:
    """When each call was sent."""
    return await instantly(Pacer(RATE, memory), calls)


def test_n_calls_take_about_n_minus_25_fifths_of_a_second() -> None:
    sent = run_virtually(sent_by_a_new_pacer(400))
    assert sent[-1] == pytest.approx((400 - 25) / 5, abs=0.3)


def test_the_first_of_a_new_period_go_at_once_even_if_they_come_one_by_one() -> None:
    async def main() -> list[float]:
        pacer = Pacer(Rate(2, 5.0))
        first = await instantly(pacer, 1)
        await asyncio.sleep(3)
        return first + await instantly(pacer, 2)

    assert run_virtually(main()) == [0.0, 3.0, pytest.approx(5.0, abs=0.02)]


def test_under_load_calls_are_spread_after_the_first() -> None:
    async def main() -> list[float]:
        pacer, sent = Pacer(RATE), []

        async def call(number: int) -> None:
            async with pacer.slot():
                sent.append(now())
                await asyncio.sleep(0.3 + number / 1000)

        await asyncio.gather(*(call(number) for number in range(200)))
        return sent

    gaps = [after - before for before, after in pairwise(run_virtually(main())[25:])]
    assert min(gaps) > SPREAD * EVEN - 0.01


def test_after_an_idle_period_calls_go_at_once_again() -> None:
    async def two_bursts() -> list[float]:
        pacer = Pacer(RATE)
        await instantly(pacer, 60)
        await asyncio.sleep(6)
        began = now()
        return [at - began for at in await instantly(pacer, 25)]

    assert run_virtually(two_bursts()) == [0.0] * 25


def test_after_a_short_idle_time_calls_do_not_go_at_once() -> None:
    async def two_bursts() -> list[float]:
        pacer = Pacer(RATE)
        await instantly(pacer, 25)
        await asyncio.sleep(4)
        return await instantly(pacer, 1)

    assert run_virtually(two_bursts())[0] > 5.0


def test_turns_are_given_in_the_order_of_asking() -> None:
    async def order() -> list[int]:
        pacer, served = Pacer(Rate(2, 1.0)), []

        async def call(number: int) -> None:
            async with pacer.slot():
                served.append(number)

        await asyncio.gather(*(call(number) for number in range(50)))
        return served

    assert run_virtually(order()) == list(range(50))


# ------------------------------------------------------------------------------------------------- the gate


def sent_after_a_refusal(pause: float | None, reported: Rate | None, calls: int = 60) -> tuple[Pacer, list[float]]:
    """A new pacer that is refused at once, and when it sent its next calls."""

    async def main() -> tuple[Pacer, list[float]]:
        pacer = Pacer(RATE)
        pacer.refused(pause=pause, reported=reported)
        return pacer, await instantly(pacer, calls)

    return run_virtually(main())


@pytest.mark.parametrize(
    ("pause", "reported", "first"),
    [(None, None, 5.0), (12.5, None, 12.5), (0.0, None, 0.0), (None, Rate(6, 3.0), 3.0), (1.0, Rate(6, 3.0), 1.0)],
)
def test_the_first_call_after_a_refusal_waits_for_the_pause_or_a_period(
    pause: float | None, reported: Rate | None, first: float
) -> None:
    pacer, sent = sent_after_a_refusal(pause, reported)
    assert sent[0] == pytest.approx(first)
    assert pacer.refusals == 1


def test_it_tells_for_how_long_nothing_goes_by_the_refusal_that_is_over_last() -> None:
    async def main() -> list[Hold | None]:
        pacer = Pacer(RATE)
        seen = [pacer.hold]
        await asyncio.sleep(1)
        for pause in (100.0, None, 20.0):
            pacer.refused(pause=pause, reported=None)
            seen.append(pacer.hold)
        await asyncio.sleep(99)
        seen.append(pacer.hold)
        await asyncio.sleep(1)
        seen.append(pacer.hold)
        pacer.refused(pause=None, reported=Rate(10, 5.0))
        return [*seen, pacer.hold]

    longest = Hold(1.0, 101.0, asked=True)
    assert run_virtually(main()) == [None, *[longest] * 4, None, Hold(101.0, 106.0, asked=False)]


def test_after_a_refusal_nothing_goes_unspaced() -> None:
    _, sent = sent_after_a_refusal(None, None)
    assert min(after - before for before, after in pairwise(sent)) > EVEN - 0.01


def test_a_refusal_ends_the_first_calls_that_go_unspaced() -> None:
    async def main() -> list[float]:
        pacer = Pacer(RATE)
        await instantly(pacer, 3)
        pacer.refused(pause=0.0, reported=None)
        return await instantly(pacer, 20)

    assert min(after - before for before, after in pairwise(run_virtually(main()))) > EVEN - 0.01


def sent_by_three(pacer: Pacer, refuse: Callable[[], None]) -> list[float]:
    """When three callers were sent, the second of them refused while it waits for its distance."""

    async def main() -> list[float]:
        pacer.refused(pause=0.0, reported=None)  # from here on calls are spaced
        loop = asyncio.get_running_loop()
        loop.call_later(EVEN / 2, refuse)
        sent = await asyncio.gather(*(instantly(pacer, 1) for _ in range(3)))
        return [at for (at,) in sent]

    return run_virtually(main())


@pytest.mark.parametrize("reported", [None, Rate(10, 5.0)])
@pytest.mark.parametrize("pause", [0.0, 0.15, 7.0, None])
def test_a_refusal_while_one_waits_for_its_distance_lets_no_two_go_together(
    pause: float | None, reported: Rate | None
) -> None:
    pacer = Pacer(RATE)
    sent = sent_by_three(pacer, lambda: pacer.refused(pause=pause, reported=reported))
    assert sent[1] >= EVEN / 2 + (5.0 if pause is None else pause)
    assert sent[2] - sent[1] > pacer.rate.period / pacer.rate.limit - 0.01


def test_a_lower_limit_also_holds_for_one_who_waits_for_its_distance() -> None:
    async def main() -> tuple[int, float]:
        pacer = Pacer(Rate(10, 5.0))
        pacer.refused(pause=0.0, reported=None)  # from here on calls are spaced
        sent = asyncio.create_task(instantly(pacer, 6))
        await asyncio.sleep(2.25)  # five are sent, at 0 to 2 s, the sixth waits for 2.5 s
        pacer.refused(pause=0.0, reported=Rate(3, 5.0))
        return len([at for at in await sent if at < 2.25]), (await sent)[-1]

    before, last = run_virtually(main())
    assert before == 5
    assert last > 6.0  # when the third call, sent at 1 s, is a period old, two are left


def test_a_refusal_also_holds_up_the_one_whose_turn_is_next() -> None:
    async def main() -> list[float]:
        pacer = Pacer(RATE)
        pacer.refused(pause=0.0, reported=None)  # from here on calls are spaced
        await instantly(pacer, 1)
        asyncio.get_running_loop().call_later(0.1, lambda: pacer.refused(pause=7.0, reported=None))
        return await instantly(pacer, 1)

    assert run_virtually(main()) == [pytest.approx(7.1)]


@pytest.mark.parametrize("reported", [Rate(10, 5.0), Rate(1, 1.0), Rate(72, 60.0)], ids=str)
def test_a_lower_limit_is_learnt(reported: Rate) -> None:
    pacer, sent = sent_after_a_refusal(None, reported, 100)
    assert pacer.rate == reported
    assert Server(0, sent).fullest(reported.period) <= reported.limit


@pytest.mark.parametrize("reported", [None, RATE, Rate(72, 5.0), Rate(30, 5.0), Rate(5, 1.0)], ids=str)
def test_the_rate_is_never_raised(reported: Rate | None) -> None:
    pacer, sent = sent_after_a_refusal(None, reported)
    assert pacer.rate == RATE
    assert Server(0, sent).fullest(5.0) <= 25


@pytest.mark.parametrize(("is_bulk", "name"), [(False, "rate"), (True, "bulk_rate")])
def test_what_was_reported_is_remembered(is_bulk: bool, name: str) -> None:
    async def main() -> list[dict[str, Rate]]:
        memory = Remembered()
        pacer = Pacer(RATE, memory, is_bulk=is_bulk)
        pacer.refused(pause=None, reported=Rate(20, 5.0))
        pacer.refused(pause=None, reported=None)
        return memory.learnt

    assert run_virtually(main()) == [{name: Rate(20, 5.0)}]


def test_repeated_refusals_that_tell_nothing_new_lower_the_rate_by_a_quarter_a_burst() -> None:
    async def main() -> list[int]:
        pacer, limits = Pacer(RATE), []
        for reported in (RATE, None, RATE, Rate(72, 5.0)):
            for _ in range(5):
                pacer.refused(pause=None, reported=reported)
            limits.append(pacer.rate.limit)
            await asyncio.sleep(5.0)
        return limits

    assert run_virtually(main()) == [25, 18, 13, 9]


def test_the_refusals_of_the_burst_that_reported_the_limit_lower_it_no_further() -> None:
    async def main() -> Rate:
        pacer = Pacer(RATE)
        for _ in range(10):
            pacer.refused(pause=None, reported=Rate(20, 5.0))
            await asyncio.sleep(0.4)
        return pacer.rate

    assert run_virtually(main()) == Rate(20, 5.0)


@pytest.mark.parametrize(("ours", "reported"), [(Rate(10, 0.2), Rate(20, 0.5)), (Rate(10, 2.0), Rate(20, 5.0))])
def test_a_limit_of_another_period_is_kept_however_the_rate_falls_and_rises(ours: Rate, reported: Rate) -> None:
    async def main() -> list[float]:
        pacer = Pacer(ours)
        for limit in (None, None, reported):
            pacer.refused(pause=0.0, reported=limit)
            await asyncio.sleep(ours.period)
        assert pacer.rate.period == reported.period
        assert pacer.rate.per_second < reported.per_second
        sent = await instantly(pacer, 2_000)
        assert pacer.rate == reported
        return sent

    sent = run_virtually(main())
    assert Server(0, sent).fullest(reported.period) <= reported.limit


def test_a_rate_is_never_less_than_one_call() -> None:
    async def main() -> Rate:
        pacer = Pacer(Rate(2, 1.0))
        for _ in range(5):
            pacer.refused(pause=0.0, reported=None)
            await asyncio.sleep(1.0)
        return pacer.rate

    assert run_virtually(main()) == Rate(1, 1.0)


def test_quiet_raises_the_rate_call_by_call_up_to_what_was_reported() -> None:
    async def main() -> list[tuple[float, int]]:
        pacer, seen = Pacer(RATE), list[tuple[float, int]]()
        pacer.refused(pause=0.0, reported=Rate(6, 5.0))
        await asyncio.sleep(5.0)
        pacer.refused(pause=0.0, reported=Rate(6, 5.0))
        began = now()
        for _ in range(150):
            async with pacer.slot():
                if not seen or seen[-1][1] != pacer.rate.limit:
                    seen.append((now() - began, pacer.rate.limit))
        assert pacer.limit == Rate(6, 5.0)
        return seen

    (_, first), (second_at, second), (third_at, third) = run_virtually(main())  # no more: it ends at the limit
    assert (first, second, third) == (4, 5, 6)
    assert 30.0 <= second_at < 32.0
    assert 60.0 <= third_at < 64.0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rate_that_falls_and_rises_breaks_no_window(seed: int) -> None:
    async def with_refusals() -> None:
        pacer = Pacer(RATE)
        for at in range(1, 400, 37):
            asyncio.get_running_loop().call_later(at, lambda: pacer.refused(pause=0.1, reported=RATE))
        await make_calls(pacer.slot, server, 3_000)

    server = Server(seed)
    run_virtually(with_refusals())
    assert len(server.arrivals) == 3_000
    assert server.fullest(5.0) <= 25


def test_a_shorter_pause_does_not_open_the_gate_early() -> None:
    async def main() -> list[float]:
        pacer = Pacer(RATE)
        pacer.refused(pause=30.0, reported=None)
        pacer.refused(pause=1.0, reported=None)
        return await instantly(pacer, 1)

    assert run_virtually(main()) == [30.0]


def test_the_gate_pauses_everybody_who_waits() -> None:
    async def main() -> None:
        pacer = Pacer(RATE)
        asyncio.get_running_loop().call_later(2.0, lambda: pacer.refused(pause=100.0, reported=None))
        await make_calls(pacer.slot, server, 40, workers=40)

    server = Server(5)
    run_virtually(main())
    assert [at for at in server.arrivals if 3.0 < at < 102.0] == []
    assert len(server.arrivals) == 40


def test_a_pause_can_grow_while_somebody_waits_for_it() -> None:
    async def main() -> list[float]:
        pacer = Pacer(RATE)
        pacer.refused(pause=5.0, reported=None)
        asyncio.get_running_loop().call_later(4.0, lambda: pacer.refused(pause=10.0, reported=None))
        return await instantly(pacer, 1)

    assert run_virtually(main()) == [14.0]


# ------------------------------------------------------------------------------------------------- closing


def waiting_for_a_permit(pacer: Pacer) -> None:
    """Nothing more to do: every permit is out."""


def waiting_at_the_gate(pacer: Pacer) -> None:
    """Close the gate for a while."""
    pacer.refused(pause=60.0, reported=None)


@pytest.mark.parametrize("hinder", [waiting_for_a_permit, waiting_at_the_gate])
def test_closing_wakes_all_who_wait_and_touches_no_call_under_way(hinder: Callable[[Pacer], None]) -> None:
    async def main() -> tuple[list[Any], float, bool]:
        pacer, server = Pacer(Rate(1, 1.0)), Server(1)
        under_way = asyncio.create_task(make_calls(pacer.slot, server, 1, workers=1))
        await asyncio.sleep(0.001)
        hinder(pacer)
        waiters = [asyncio.create_task(instantly(pacer, 1)) for _ in range(5)]
        await asyncio.sleep(0.009)
        pacer.close()
        came = await asyncio.gather(*waiters, return_exceptions=True)
        woken = now()
        await under_way
        return came, woken, len(server.arrivals) == 1

    came, woken, arrived = run_virtually(main())
    assert [type(error) for error in came] == [PacerClosed] * 5
    assert woken == pytest.approx(0.01)
    assert arrived


def test_closing_wakes_one_who_waits_for_a_long_distance() -> None:
    async def main() -> tuple[Any, float]:
        pacer = Pacer(Rate(2, 600.0))
        pacer.refused(pause=0.0, reported=None)  # from here on calls are spaced
        await instantly(pacer, 1)
        asyncio.get_running_loop().call_later(1.0, pacer.close)
        (came,) = await asyncio.gather(instantly(pacer, 1), return_exceptions=True)
        return came, now()

    came, woken = run_virtually(main())
    assert isinstance(came, PacerClosed)
    assert woken == pytest.approx(1.0)


def test_whoever_asks_after_closing_gets_no_slot() -> None:
    async def main() -> None:
        pacer = Pacer(RATE)
        pacer.close()
        with pytest.raises(PacerClosed):
            await instantly(pacer, 1)

    run_virtually(main())


# ------------------------------------------------------------------------------------------------- cancelling


@pytest.mark.parametrize("seed", range(10))
def test_cancelled_waiters_leave_no_trace(seed: int) -> None:
    async def main() -> list[float]:
        pacer, chance = Pacer(Rate(5, 1.0)), random.Random(seed)
        waiters = [asyncio.create_task(make_calls(pacer.slot, Server(seed), 1, workers=1)) for _ in range(60)]
        for waiter in chance.sample(waiters, 40):
            asyncio.get_running_loop().call_later(chance.uniform(0, 10), waiter.cancel)
        await asyncio.gather(*waiters, return_exceptions=True)
        await asyncio.sleep(3)
        began = now()
        return [at - began for at in await instantly(pacer, 6)]

    # Five permits, no more and no fewer, are home again.
    sent = run_virtually(main())
    assert sent[:5] == [0.0] * 5
    assert 1.0 < sent[5] < 1.1


def test_a_cancelled_waiter_does_not_hold_up_the_next() -> None:
    async def main() -> list[float]:
        pacer = Pacer(Rate(1, 1.0))
        await instantly(pacer, 1)
        first = asyncio.create_task(instantly(pacer, 1))
        second = asyncio.create_task(instantly(pacer, 1))
        await asyncio.sleep(0.5)
        first.cancel()
        return await second

    assert run_virtually(main())[0] == pytest.approx(1.0, abs=0.05)


async def both_permits_out(pacer: Pacer) -> None:
    """Whoever asks next waits for a permit."""
    await instantly(pacer, 2)


async def another_ahead(pacer: Pacer) -> None:
    """Whoever asks next waits at the turnstile, behind one who waits for a permit."""
    await instantly(pacer, 2)
    asyncio.create_task(instantly(pacer, 1), name="ahead")  # noqa: RUF006 - it ends before the loop does
    await asyncio.sleep(0)


async def gate_closed(pacer: Pacer) -> None:
    """Whoever asks next waits at the gate."""
    pacer.refused(pause=20.0, reported=None)


async def one_just_sent(pacer: Pacer) -> None:
    """Whoever asks next waits for its distance."""
    pacer.refused(pause=0.0, reported=None)
    await instantly(pacer, 1)


@pytest.mark.parametrize(
    ("hinder", "served"), [(both_permits_out, 10), (another_ahead, 10), (gate_closed, 20), (one_just_sent, 5)]
)
def test_wherever_a_waiter_is_cancelled_it_leaves_at_once_with_nothing_taken(
    hinder: Callable[[Pacer], Coroutine[Any, Any, None]], served: float
) -> None:
    async def main() -> None:
        pacer = Pacer(Rate(2, 10.0))
        await hinder(pacer)
        victim, behind = (asyncio.create_task(instantly(pacer, 1)) for _ in range(2))
        await asyncio.sleep(1)
        victim.cancel()
        await asyncio.wait([victim])
        assert victim.cancelled()
        assert now() == 1.0
        assert await behind == [pytest.approx(served, abs=0.02)]
        await asyncio.sleep(30)
        first, second, third = await instantly(pacer, 3)
        assert second - first < 5.1
        assert third - first == pytest.approx(10, abs=0.02)

    run_virtually(main())


def steps_until_done(interrupt_after: int, prepare: Callable[[Pacer], None]) -> tuple[bool, bool, float]:
    """Cancel a waiter after so many turns of the loop, in the same turn in which the gate changes.

    Whether it was cancelled, whether it had been sent before, and when the next caller was served.
    """

    async def main() -> tuple[bool, bool, float]:
        pacer = Pacer(Rate(2, 1.0))
        prepare(pacer)
        sent: list[float] = []

        async def call() -> None:
            async with pacer.slot():
                sent.append(now())
                await asyncio.sleep(0.1)

        waiter = asyncio.create_task(call())
        for _ in range(interrupt_after):
            await asyncio.sleep(0)
        pacer.refused(pause=0.5, reported=None)
        before = bool(sent)
        waiter.cancel()
        (came,) = await asyncio.gather(waiter, return_exceptions=True)
        later = await instantly(pacer, 3)
        return isinstance(came, asyncio.CancelledError), bool(sent) == before, later[-1]

    return run_virtually(main())


def nothing(pacer: Pacer) -> None:
    """The gate is open."""


def a_pause(pacer: Pacer) -> None:
    """The gate is closed for a moment."""
    pacer.refused(pause=0.2, reported=None)


@pytest.mark.parametrize("prepare", [nothing, a_pause])
@pytest.mark.parametrize("turns", range(8))
def test_a_cancellation_is_never_swallowed_at_any_await(turns: int, prepare: Callable[[Pacer], None]) -> None:
    cancelled, sent_nothing_more, last = steps_until_done(turns, prepare)
    assert cancelled
    assert sent_nothing_more
    assert last < 3.0


def test_a_cancellation_that_comes_together_with_closing_is_not_swallowed() -> None:
    async def main() -> Any:
        pacer = Pacer(RATE)
        pacer.refused(pause=60.0, reported=None)
        waiter = asyncio.create_task(instantly(pacer, 1))
        await asyncio.sleep(1)
        pacer.close()
        waiter.cancel()
        return await asyncio.gather(waiter, return_exceptions=True)

    (came,) = run_virtually(main())
    assert isinstance(came, asyncio.CancelledError)


# ------------------------------------------------------------------------------------------------- the memory


def test_what_is_owed_from_before_is_waited_out_and_asked_once() -> None:
    memory = Remembered(seconds_to_wait=3.5)
    assert run_virtually(sent_by_a_new_pacer(30, memory))[0] == 3.5
    (period,) = memory.asked
    assert 5.0 < period < 5.1  # a whole period, and a margin for a clock that ticks otherwise


def test_a_pause_shorter_than_what_is_owed_does_not_shorten_it() -> None:
    async def main() -> list[float]:
        pacer = Pacer(RATE, Remembered(seconds_to_wait=3.5))
        pacer.refused(pause=1.0, reported=None)
        return await instantly(pacer, 1)

    assert run_virtually(main()) == [3.5]


@pytest.mark.parametrize(("is_bulk", "noted"), [(False, [1, 2]), (True, [0, 0])])
def test_every_send_and_every_answer_is_noted_but_by_the_pacer_of_bulk_calls(
    is_bulk: bool, noted: list[int]
) -> None:
    memory = Remembered()

    async def main() -> list[int]:
        pacer, seen = Pacer(RATE, memory, is_bulk=is_bulk), []
        async with pacer.slot():
            seen.append(memory.noted)
        return [*seen, memory.noted]

    assert run_virtually(main()) == noted


def test_a_call_that_fails_is_noted_and_its_error_comes_out() -> None:
    memory = Remembered()

    async def main() -> None:
        with pytest.raises(KeyError):
            async with Pacer(RATE, memory).slot():
                raise KeyError

    run_virtually(main())
    assert memory.noted == 2


# ------------------------------------------------------------------------------------------------- spare slots


def in_turn(pacer: Pacer, log: list[str], name: str, *, if_free: bool = False) -> asyncio.Task[None]:
    """Somebody who asks for a slot, and notes when he has it."""

    async def ask() -> None:
        async with pacer.slot(if_free=if_free):
            log.append(name)

    return asyncio.create_task(ask())


async def settle() -> None:
    """Let everybody come to where they wait."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_whoever_asks_for_another_slot_goes_before_all_who_ask_for_a_spare_one() -> None:
    async def main() -> list[str]:
        pacer, log = Pacer(Rate(1, 5.0)), list[str]()
        tasks = [in_turn(pacer, log, "first")]
        await settle()
        tasks += [in_turn(pacer, log, f"spare {at}", if_free=True) for at in range(3)]
        await settle()
        tasks += [in_turn(pacer, log, f"urgent {at}") for at in range(3)]
        await asyncio.gather(*tasks)
        return log

    log = run_virtually(main())
    assert log[0] == "first"
    # One spare may be at the turnstile already when the urgent ones come; no more.
    assert log[1:5] == ["spare 0", "urgent 0", "urgent 1", "urgent 2"]
    assert log[5:] == ["spare 1", "spare 2"]


def test_no_spare_slot_is_given_while_anybody_waits_for_another() -> None:
    async def main() -> list[str]:
        pacer, log = Pacer(Rate(1, 5.0)), list[str]()
        tasks = [in_turn(pacer, log, f"urgent {at}") for at in range(3)]
        await settle()
        tasks.insert(0, in_turn(pacer, log, "spare", if_free=True))
        await asyncio.sleep(6)
        tasks.append(in_turn(pacer, log, "late"))
        await asyncio.gather(*tasks)
        return log

    assert run_virtually(main()) == ["urgent 0", "urgent 1", "urgent 2", "late", "spare"]


def test_spare_slots_are_slots_like_others_when_nobody_else_asks() -> None:
    async def main() -> float:
        pacer = Pacer(RATE)
        return await make_calls(lambda: pacer.slot(if_free=True), server, 500)

    server = Server(1)
    took = run_virtually(main())
    assert server.fullest(5.0) == 25
    assert (500 - 25) / took >= 0.85 * RATE.per_second


@pytest.mark.parametrize("seed", SEEDS)
def test_both_kinds_together_never_put_26_arrivals_into_5_seconds(seed: int) -> None:
    async def main() -> float:
        pacer = Pacer(RATE)
        both = (
            make_calls(pacer.slot, server, 1000, workers=4),
            make_calls(lambda: pacer.slot(if_free=True), server, 1000),
        )
        began = now()
        await asyncio.gather(*both)
        return now() - began

    server = Server(seed)
    took = run_virtually(main())
    assert len(server.arrivals) == 2000
    assert server.fullest(5.0) == 25
    assert (2000 - 25) / took >= 0.8 * RATE.per_second


def test_closing_wakes_those_who_wait_for_a_spare_slot() -> None:
    async def main() -> tuple[list[object], float]:
        pacer, log = Pacer(Rate(1, 60.0)), list[str]()
        tasks = [in_turn(pacer, log, "first"), in_turn(pacer, log, "urgent")]
        await settle()
        tasks += [in_turn(pacer, log, "spare", if_free=True) for _ in range(3)]
        await settle()
        pacer.close()
        reported: list[object] = [*await asyncio.gather(*tasks, return_exceptions=True)]
        with pytest.raises(PacerClosed):
            async with pacer.slot(if_free=True):
                pass
        return reported, now()

    reported, at = run_virtually(main())
    assert [type(each) for each in reported[1:]] == [PacerClosed] * 4
    assert at == 0.0


@pytest.mark.parametrize("if_free", [False, True])
def test_whoever_gives_up_waiting_gives_everything_back(*, if_free: bool) -> None:
    async def main() -> list[str]:
        pacer, log = Pacer(Rate(1, 5.0)), list[str]()
        await in_turn(pacer, log, "first")
        given_up = [in_turn(pacer, log, "given up", if_free=each) for each in (if_free, True, True, if_free)]
        await settle()
        last = [in_turn(pacer, log, "spare", if_free=True), in_turn(pacer, log, "urgent")]
        await settle()
        for task in given_up:
            task.cancel()
        await asyncio.gather(*given_up, *last, return_exceptions=True)
        return [*log, str(math.floor(now()))]

    assert run_virtually(main()) == ["first", "urgent", "spare", "10"]


def test_a_spare_slot_whose_call_is_cancelled_or_fails_is_given_back_a_period_later() -> None:
    async def main() -> float:
        pacer = Pacer(Rate(1, 5.0))

        async def call() -> None:
            async with pacer.slot(if_free=True):
                await asyncio.sleep(1000)

        task = asyncio.create_task(call())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with pacer.slot(if_free=True):
            return now()

    assert run_virtually(main()) == pytest.approx(6.0, abs=0.1)
