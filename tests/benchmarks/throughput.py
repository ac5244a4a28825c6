"""(b) Rows a minute to *confirmed* shares: the script of an hour, and whole runs of ours, at the real limit.

In virtual time, and so at the real 25 calls in 5 s, over as many rows as it takes, and the same in every run: how
fast a machine is has no part in it. All code is the real one but for the sockets: both hand their calls straight to
a sandbox, which holds them against its strict window, lets them travel and processes the shares in its own time.
That the script works through aiohttp as well is tested in the smoke.
"""

from __future__ import annotations

import asyncio
import json
import math
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from trial import Onlooker, options, sheet_rows
from virtual_time import run_virtually
from virtual_trial import VirtualClock, in_virtual_time

from batch_share.common import Rate
from batch_share.ledger.states import State
from batch_share.sandbox import Sandbox
from batch_share.settings import Settings
from benchmarks.bare import keys_of
from benchmarks.report import Line, Part, Run, median
from benchmarks.script import Script
from benchmarks.sizes import LIMIT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import aiohttp

    from batch_share.sandbox import SandboxOptions
    from batch_share.sandbox.wire import Reply
    from benchmarks.sizes import ShareBatch

CALLS_A_ROW: Final = 3
"""Post, share, and ask once: the least there is, one by one."""

MEAN_TRIP: Final = 0.15 * math.exp(0.4**2 / 2)
"""The mean of a lognormal round trip of median 150 ms and sigma 0.4, in seconds."""

ONE_BY_ONE_GOAL: Final = 0.97
BULK_GOAL: Final = 10.0
BULK_LIMITS: Final = (Rate(1, 5.0), Rate(5, 5.0), Rate(10, 5.0))
SCRIPT: Final = "the script"
ONE_BY_ONE: Final = "ours, one by one"
IN_MEMORY: Final = "/dev/shm" if Path("/dev/shm").is_dir() else None


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to run ours: what changes in its settings, and what the sandbox allows on top."""

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    reported: dict[str, Any] = field(default_factory=dict)

    @property
    def is_bulk(self) -> bool:
        """Whether many rows go in a call."""
        return bool(self.changes.get("bulk"))

    @property
    def is_there(self) -> bool:
        """Whether there are such settings."""
        return set(self.changes) <= set(Settings.model_fields)


def _bulk(rate: Rate) -> Mode:
    settings = {"bulk": True, "bulk_rate": rate, "share_batch": 25}
    return Mode(f"ours, in bulk at {rate}", settings, {"bulk_rate": rate, "share_batch": 25})


MODES: Final = [Mode(ONE_BY_ONE), *map(_bulk, BULK_LIMITS)]
BEST: Final = MODES[-1].name


def measure(sizes: ShareBatch) -> Part:
    """The script and every mode of ours, with every seed."""
    runs = [the_script(sizes.job_rows, seed) for seed in sizes.job_seeds]
    for mode in MODES:
        if mode.is_there:
            rows = sizes.bulk_rows if mode.is_bulk else sizes.job_rows
            runs += [ours(mode, rows, seed) for seed in sizes.job_seeds]
    script = median(runs, "a_minute", mode=SCRIPT)
    lines = [_script_line(runs), *(_line(mode, runs, script) for mode in MODES)]
    return Part("b", f"rows a minute, confirmed, {LIMIT}", _how(sizes), lines, runs, _setting())


def _setting() -> dict[str, Any]:
    return {"latency": 0.15, "jitter": 0.4, "processing": 3.0}


def _reported(rows: int, seed: int, **changes: Any) -> SandboxOptions:
    return options(leads=rows, seed=seed, rate=LIMIT, **_setting(), **changes)


def _how(sizes: ShareBatch) -> str:
    return (
        f"Virtual minutes at the real {LIMIT}, strict sliding window, round trip 150 ms (lognormal, sigma 0.4), "
        "processing about 3 s; the whole of a run, look-ups and owner check included, to the last share confirmed; "
        f"{sizes.job_rows} rows ({sizes.bulk_rows} in bulk), median of {len(sizes.job_seeds)} seed(s). The limit "
        f"allows {_allowed():g} rows a minute at {CALLS_A_ROW} calls a row, if calls arrived when they are sent; "
        f"with the round trips, as in the bound of (a), {_within_bound(sizes.job_rows):.1f} for so many rows."
    )


def _allowed() -> float:
    return 60 * LIMIT.per_second / CALLS_A_ROW


def _within_bound(rows: int) -> float:
    beyond = (CALLS_A_ROW * rows - LIMIT.limit) / LIMIT.limit
    return 60 * rows / (beyond * (LIMIT.period + MEAN_TRIP))


# ------------------------------------------------------------------------------------------------ the script


@dataclass(frozen=True, slots=True)
class _Heard:
    """An answer, as far as the script looks at it."""

    reply: Reply

    @property
    def status(self) -> int:
        return self.reply.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self.reply.headers

    def raise_for_status(self) -> None:
        if self.status >= 400:
            raise RuntimeError(self.reply.body.decode())

    async def json(self) -> Any:
        return json.loads(self.reply.body)


@dataclass(frozen=True, slots=True)
class _DirectSession:
    """As much of a ClientSession as the script uses, straight into a sandbox in this process."""

    sandbox: Sandbox

    @asynccontextmanager
    async def request(
        self, method: str, path: str, *, json: object = None, params: Mapping[str, str] | None = None
    ) -> AsyncIterator[_Heard]:
        call, refused = self.sandbox.arrive(method, path, params or {}, keys_of(self.sandbox.options))
        call.body = b"" if json is None else _encoded(json)
        yield _Heard(await self.sandbox.answer(call, refused))


def _encoded(content: object) -> bytes:
    return json.dumps(content).encode()


def the_script(rows: int, seed: int) -> Run:
    """The script, over as many rows."""

    async def main() -> Run:
        sandbox = Sandbox(_reported(rows, seed), VirtualClock())
        script = Script(cast("aiohttp.ClientSession", _DirectSession(sandbox)), seed)
        began = asyncio.get_running_loop().time()
        confirmed = await script.share_all(sheet_rows(rows, sandbox.world))
        return _run(SCRIPT, sandbox, seed, confirmed, asyncio.get_running_loop().time() - began)

    return run_virtually(main())


# ------------------------------------------------------------------------------------------------ ours


def ours(mode: Mode, rows: int, seed: int) -> Run:
    """A whole run of ours, over as many rows."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder, pytest.MonkeyPatch.context() as patch:
        pace = {"rate": LIMIT, "workers": None, "grace": 60.0, "wait": 600.0}
        it = in_virtual_time(
            Path(folder), patch, _reported(rows, seed, **mode.reported), rows=rows, **pace, **mode.changes
        )

        async def main() -> Run:
            began = asyncio.get_running_loop().time()
            ending = await it.run(Onlooker())
            took = asyncio.get_running_loop().time() - began
            assert ending.error is None, ending.error
            return _run(mode.name, it.sandbox, seed, ending.summary.states[State.SHARED], took)

        return run_virtually(main())


def _run(mode: str, sandbox: Sandbox, seed: int, confirmed: int, took: float) -> Run:
    report = sandbox.report()
    return {
        "mode": mode,
        "seed": seed,
        "confirmed": confirmed,
        "seconds": took,
        "a_minute": 60 * confirmed / took,
        "calls_per_row": report["total_calls"] / confirmed,
        "refusals": report["refusals"],
        "fullest": report["fullest_window"],
        "outcomes": report["outcomes"],
        "endpoints": report["calls"],
        "live_shares": report["live_shares"]["count"],
        "duplicates": report["duplicates"],
    }


def _script_line(runs: list[Run]) -> Line:
    ratio = median(runs, "a_minute", mode=SCRIPT) / _allowed()
    return Line(SCRIPT, _measured(SCRIPT, runs), _beside_limit(), ratio)


def _line(mode: Mode, runs: list[Run], script: float) -> Line:
    if not mode.is_there:
        return Line(mode.name, "not there yet")
    a_minute = median(runs, "a_minute", mode=mode.name)
    measured = _measured(mode.name, runs)
    if not mode.is_bulk:
        ratio = a_minute / _allowed()
        of_bound = a_minute / _within_bound(runs[0]["confirmed"])
        beside = f"{_beside_limit()} ({of_bound:.3f} of the bound)"
        return Line(mode.name, measured, beside, ratio, f"at least {ONE_BY_ONE_GOAL}", ratio >= ONE_BY_ONE_GOAL)
    beside, ratio = f"the script: {script:.1f}", a_minute / script
    if mode.name != BEST:
        return Line(mode.name, measured, beside, ratio)
    return Line(mode.name, measured, beside, ratio, f"at least {BULK_GOAL:g} x", ratio >= BULK_GOAL)


def _beside_limit() -> str:
    return f"the limit allows {_allowed():g}"


def _measured(mode: str, runs: list[Run]) -> str:
    a_minute, calls = (median(runs, name, mode=mode) for name in ("a_minute", "calls_per_row"))
    refusals = sum(run["refusals"] for run in runs if run["mode"] == mode)
    return f"{a_minute:.1f} rows a minute, {calls:.2f} calls a row, {refusals} refused"
