"""(a) Pacing against a strict sliding window: what each limiter uses of the limit, and how often it is refused.

In real time and through real sockets: what a limiter does to a real network's order of arrival is the question, and
a clock that jumps would answer another. All settings run side by side, each against a sandbox process of its own.
They hardly load the machine, so the long form can afford the real 25 calls in 5 s; shorter forms shorten the period
and the round trips alike.

The bound is the best that can be done without knowing when calls arrive: a call may only count as over a period
after its answer came, so `limit` calls take a period and a round trip.
"""

from __future__ import annotations

import asyncio
import importlib.util
import statistics
import time
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import aiohttp
from aiolimiter import AsyncLimiter

from batch_share.leadsquared.pacing import Pacer
from batch_share.sandbox import SandboxOptions
from benchmarks.bare import keys_of
from benchmarks.children import sandbox_of
from benchmarks.report import Line, Part, Run, median, those
from benchmarks.sizes import LIMIT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from processes import SandboxProcess

    from batch_share.common import Rate
    from benchmarks.sizes import ShareBatch

Slot: TypeAlias = "Callable[[], AbstractAsyncContextManager[object]]"

OURS: Final = "ours (Pacer)"
PYRATE: Final = "pyrate-limiter"
GOAL: Final = 1.03
JITTER: Final = 0.4
THROTTLED: Final = 429
_CALL: Final = "Authentication.svc/UserByAccessKey.Get"


def limiters(rate: Rate) -> dict[str, Callable[[], Slot]]:
    """Everybody who competes, by name, each made anew for each run."""
    bare, even = (rate.limit, rate.period), (1, rate.period / rate.limit)
    return {
        f"AsyncLimiter({bare[0]}, {bare[1]:g})": lambda: _always(AsyncLimiter(*bare)),
        f"AsyncLimiter({even[0]}, {even[1]:g})": lambda: _always(AsyncLimiter(*even)),
        PYRATE: lambda: _pyrate(rate),
        OURS: lambda: Pacer(rate).slot,
    }


def _always(limiter: AsyncLimiter) -> Slot:
    return lambda: limiter


def _pyrate(rate: Rate) -> Slot:
    import pyrate_limiter

    limiter = pyrate_limiter.Limiter(pyrate_limiter.Rate(rate.limit, round(rate.period * 1000)))

    @asynccontextmanager
    async def slot() -> AsyncIterator[None]:
        await limiter.try_acquire_async("calls")
        yield

    return slot


def is_there(limiter: str) -> bool:
    """Whether it is installed."""
    return limiter != PYRATE or importlib.util.find_spec("pyrate_limiter") is not None


@dataclass(frozen=True, slots=True)
class Setting:
    """One limiter at one round trip."""

    limiter: str
    trip: float
    make: Callable[[], Slot]


def measure(sizes: ShareBatch) -> Part:
    """Run all settings side by side, as often as the sizes say, each time with another seed."""
    settings = [
        Setting(name, trip, make)
        for trip in sizes.trips
        for name, make in limiters(sizes.rate).items()
        if is_there(name)
    ]
    runs = [run for seed in range(1, sizes.paced_runs + 1) for run in _side_by_side(settings, sizes, seed)]
    lines = [
        _line(name, trip, those(runs, limiter=name, trip=trip), sizes)
        for trip in sizes.trips
        for name in limiters(sizes.rate)
    ]
    return Part("a", f"pacing, {sizes.rate}, strict sliding window", _how(sizes), lines, runs, _options(sizes))


def _options(sizes: ShareBatch) -> dict[str, Any]:
    return {
        "rate": str(sizes.rate), "calls": sizes.calls, "workers": sizes.rate.limit, "trips": sizes.trips,
        "jitter": JITTER,
    }  # fmt: skip


def _how(sizes: ShareBatch) -> str:
    shortened = f" Shortened: {LIMIT} with 50, 150 and 400 ms became {sizes.rate}, the round trips as much less."
    return (
        f"Real time, real sockets, a sandbox process for each setting, all in the same minute; {sizes.calls} calls "
        f"by {sizes.rate.limit} workers, refused ones made again; round trips lognormal (sigma {JITTER:g}) about "
        f"the median; {sizes.paced_runs} run(s), each with a seed of its own. Used: (N - limit)/limit x period "
        "over the time it took. Beside it: the bound (N - limit)/limit x (period + mean round trip); the ratio is "
        f"the time over that.{shortened if sizes.rate != LIMIT else ''}"
    )


def _side_by_side(settings: list[Setting], sizes: ShareBatch, seed: int) -> list[Run]:
    with ExitStack() as stack:
        sandboxes = [
            stack.enter_context(
                sandbox_of(rate=str(sizes.rate), latency=setting.trip, jitter=JITTER, seed=seed, leads=1)
            )
            for setting in settings
        ]
        return asyncio.run(_try_all(settings, sandboxes, sizes, seed))


async def _try_all(
    settings: list[Setting], sandboxes: list[SandboxProcess], sizes: ShareBatch, seed: int
) -> list[Run]:
    trials = [_try(setting, sandbox, sizes) for setting, sandbox in zip(settings, sandboxes, strict=True)]
    return [run | {"seed": seed} for run in await asyncio.gather(*trials)]


async def _try(setting: Setting, sandbox: SandboxProcess, sizes: ShareBatch) -> Run:
    """Make the calls, and ask the sandbox how they came."""
    trips: list[float] = []
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        f"{sandbox.url}/v2/", headers=keys_of(SandboxOptions()), connector=connector
    ) as session:
        slot, left = setting.make(), iter(range(sizes.calls))
        began = time.perf_counter()
        await asyncio.gather(*(_worker(session, slot, left, trips) for _ in range(sizes.rate.limit)))
        took = time.perf_counter() - began
    report = await asyncio.to_thread(sandbox.report)
    beyond = (sizes.calls - sizes.rate.limit) / sizes.rate.limit
    mean = statistics.fmean(trips)
    return {
        "limiter": setting.limiter,
        "trip": setting.trip,
        "seconds": took,
        "mean_trip": mean,
        "bound": beyond * (sizes.rate.period + mean),
        "over_bound": took / (beyond * (sizes.rate.period + mean)),
        "used": beyond * sizes.rate.period / took,
        "refusals": report["refusals"],
        "fullest": report["fullest_window"],
    }


async def _worker(session: aiohttp.ClientSession, slot: Slot, left: Iterator[int], trips: list[float]) -> None:
    for _ in left:
        status = THROTTLED
        while status == THROTTLED:
            async with slot():
                began = time.perf_counter()
                async with session.get(_CALL) as answer:
                    await answer.read()
                trips.append(time.perf_counter() - began)
            status = answer.status
        assert status == 200


def _line(limiter: str, trip: float, runs: list[Run], sizes: ShareBatch) -> Line:
    what = f"{limiter}, {trip * 1000:g} ms"
    if not runs:
        return Line(what, "not installed: `make bench` does")
    refusals, ratio = sum(run["refusals"] for run in runs), median(runs, "over_bound")
    measured = f"{median(runs, 'used'):.1%} used, {refusals} refused, fullest {max(run['fullest'] for run in runs)}"
    beside = f"{median(runs, 'seconds'):.2f} s, bound {median(runs, 'bound'):.2f} s"
    if limiter != OURS:
        return Line(what, measured, beside, ratio)
    met = refusals == 0 and ratio <= GOAL
    return Line(what, measured, beside, ratio, f"0 refused, at most {GOAL}", met)
