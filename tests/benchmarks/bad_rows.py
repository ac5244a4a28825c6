"""(g) In bulk, with rows that LeadSquared can't process: a failed call of many does not say which of them it is.

In virtual time as (b), so the same in every run: the real code at the real limits, its calls handed straight to a
sandbox. The bound is arithmetic. A request that settles tells one thing, failed or not, and costs two calls, so
rows of which a share p is bad take at least 2 x H(p) calls each to find the bad ones (H: Shannon's entropy, in
bits) and 1/25 to be posted; without any bad ones 3/25. No run is over before the processing that it waits for,
twice where something is shared again.
"""

from __future__ import annotations

import asyncio
import math
import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from trial import Onlooker, options
from virtual_time import run_virtually
from virtual_trial import in_virtual_time

from batch_share.common import Rate
from batch_share.ledger.states import State
from batch_share.sandbox import World
from benchmarks.report import Line, Part, Run
from benchmarks.sizes import LIMIT
from benchmarks.throughput import IN_MEMORY

if TYPE_CHECKING:
    from benchmarks.sizes import ShareBatch

BULK_LIMIT: Final = Rate(10, 5.0)
MOST: Final = 25
GOALS: Final = {0.0: 1_900, 0.01: 800, 0.05: 300}
"""Rows a minute where processing takes a second, at so many bad rows (of the second, one in a hundred)."""


def measure(sizes: ShareBatch) -> Part:
    """Every share of bad rows with every time of processing."""
    runs = [_run(sizes.bad_rows, bad, processing) for bad in sizes.bad_shares for processing in sizes.processing]
    how = (
        f"Virtual minutes at the real {LIMIT} and {BULK_LIMIT} in bulk, round trip 150 ms; {sizes.bad_rows} rows, "
        "bad ones at random; whole runs, to the last share confirmed. Beside it what no way could do better "
        "(2 x H(p) + 1/25 calls a row, at least 3/25; processing once, twice with bad rows); the ratio is ours "
        "over that."
    )
    lines = [_line(run, sizes) for run in runs]
    return Part("g", "in bulk with bad rows, rows a minute", how, lines, runs, {"rows": sizes.bad_rows})


def bound(rows: int, bad: float, processing: float) -> float:
    """Rows a minute that no way of asking could surpass."""
    entropy = -sum(p * math.log2(p) for p in (bad, 1 - bad) if p)
    calls = rows * max(3 / MOST, 1 / MOST + 2 * entropy)
    seconds = max((calls - LIMIT.limit) / LIMIT.per_second, processing * (2 if bad else 1))
    return 60 * rows / seconds


def _run(rows: int, bad: float, processing: float) -> Run:
    leads = World(seed=1, leads=rows).leads
    wrong = frozenset(lead.number for lead in random.Random(3).sample(leads, round(bad * rows)))
    reported = options(
        leads=rows, seed=1, rate=LIMIT, bulk_rate=BULK_LIMIT, share_batch=MOST, latency=0.15, jitter=0.4,
        processing=processing, fail_leads=wrong,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder, pytest.MonkeyPatch.context() as patch:
        it = in_virtual_time(
            Path(folder), patch, reported, rows=rows, rate=LIMIT, bulk_rate=BULK_LIMIT, bulk=True, share_batch=MOST,
            workers=None, grace=60.0, wait=600.0,
        )  # fmt: skip

        async def main() -> Run:
            began = asyncio.get_running_loop().time()
            ending = await it.run(Onlooker())
            assert ending.error is None, ending.error
            took, report = asyncio.get_running_loop().time() - began, it.sandbox.report()
            assert ending.summary.states.get(State.FAILED, 0) == len(wrong)
            return {
                "bad": bad,
                "processing": processing,
                "seconds": took,
                "a_minute": 60 * rows / took,
                "calls_per_row": report["total_calls"] / rows,
                "refusals": report["refusals"],
                "duplicates": report["duplicates"],
                "bound": bound(rows, bad, processing),
            }

        return run_virtually(main())


def _line(run: Run, sizes: ShareBatch) -> Line:
    what = f"{run['bad']:.1%} bad, processing {run['processing']:g} s"
    measured = f"{run['a_minute']:,.0f}, {run['calls_per_row']:.3f} calls a row, {run['refusals']} refused"
    beside, ratio = f"bound: {run['bound']:,.0f}", run["a_minute"] / run["bound"]
    goal = GOALS.get(run["bad"]) if run["processing"] == 1.0 else None
    if goal is None:
        return Line(what, measured, beside, ratio)
    met = run["a_minute"] >= goal if sizes.bad_rows >= 1000 else None
    return Line(what, measured, beside, ratio, f"at least {goal:,}", met)
