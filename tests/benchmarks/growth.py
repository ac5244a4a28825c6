"""(f) Growth: what each row costs in runs of more and more rows, and what a large sheet takes in memory.

Whole runs as in (c), each in a process of its own against a sandbox without a limit. The largest ledger is then
resumed with nothing left to do. A million rows would take an hour to send: they are read, looked up, taken into a
ledger and written to the results, all that memory could grow with; that it does not grow while rows are sent, the
runs before have shown. A row's cost is told in CPU time: these runs are minutes apart, and by the clock the one
would have other neighbours than the other. (A sandbox that knows a million leads takes a gigabyte itself.)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batch_share.sandbox import SandboxOptions
from benchmarks.children import environment, measured, sandbox_of
from benchmarks.overhead import UNLIMITED
from benchmarks.report import Line, Part, Run, median, those
from benchmarks.sheets import write_csv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.sizes import ShareBatch

MOST_MB: Final = 400.0
EVEN: Final = 1.2
RESUME_SECONDS: Final = 3.0
GOALS_AT: Final = 100_000
"""The size that the goals speak of."""


def measure(sizes: ShareBatch) -> Part:
    """Runs of all sizes, a resume of the largest, and the most rows that are taken in."""
    runs = []
    for rows, times in zip(sizes.growth, sizes.growth_runs, strict=True):
        for at in range(times):
            is_last = rows == sizes.growth[-1] and at == times - 1
            runs += _whole_run(rows, sizes.resumes if is_last else 0)
    runs.append(_taking_in(sizes.most_rows))
    lines = [*_cost_lines(runs, sizes.growth), *_memory_lines(runs, sizes), _resume_line(runs)]
    how = (
        f"Whole runs of CSV sheets, as in (c): {' / '.join(map(str, sizes.growth_runs))} of each size, medians; "
        "the most memory that the process ever held (ru_maxrss). A row's cost is held against the cheapest size's."
    )
    return Part("f", "growth", how, lines, runs, UNLIMITED | {"rows": sizes.growth, "most_rows": sizes.most_rows})


def _whole_run(rows: int, resumes: int) -> list[Run]:
    with tempfile.TemporaryDirectory() as name, sandbox_of(leads=rows, **UNLIMITED) as sandbox:
        folder = Path(name)
        write_csv(folder / "leads.csv", rows)
        run = measured("whole_run", folder, url=sandbox.url, sheet="leads.csv") | {"rows": rows}
        assert run["states"] == {"shared": rows}, run
        return [run, *(_resume(folder, sandbox.url, rows) for _ in range(resumes))]


def _resume(folder: Path, url: str, rows: int) -> Run:
    """`batch-share resume`, as a person starts it, of a ledger with nothing left to do."""
    keys = SandboxOptions()
    env = environment(
        BATCH_SHARE_HOST=url,
        BATCH_SHARE_ACCESS_KEY=keys.access_key,
        BATCH_SHARE_SECRET_KEY=keys.secret_key,
        BATCH_SHARE_STATE_FOLDER=str(folder / "state"),
        BATCH_SHARE_DATA_FOLDER=str(folder / "data"),
        BATCH_SHARE_LOG_FOLDER=str(folder / "log"),
    )
    command = [sys.executable, "-m", "batch_share", "resume", "ledger.db", "--yes"]
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
    return {"job": "resume", "rows": rows, "seconds": time.perf_counter() - began}


def _taking_in(rows: int) -> Run:
    with tempfile.TemporaryDirectory() as name, sandbox_of(leads=rows, **UNLIMITED) as sandbox:
        write_csv(Path(name) / "leads.csv", rows)
        run = measured("taking_in", Path(name), url=sandbox.url, sheet="leads.csv") | {"rows": rows}
        assert run["states"] == {"pending": rows}, run
        return run


def _cost_lines(runs: Sequence[Run], sizes: Sequence[int]) -> list[Line]:
    costs, by_clock = (
        {rows: median(runs, clock, job="whole_run", rows=rows) / rows for rows in sizes}
        for clock in ("cpu_seconds", "seconds")
    )
    cheapest = min(costs.values())
    is_judged = sizes[-1] >= GOALS_AT
    return [
        Line(
            f"{rows:,} rows",
            f"{cost * 1000:.2f} ms of CPU a row",
            f"by the clock: {by_clock[rows] * 1000:.2f} ms",
            cost / cheapest,
            f"at most {EVEN:g}",
            cost / cheapest <= EVEN if is_judged else None,
        )
        for rows, cost in costs.items()
    ]


def _memory_lines(runs: Sequence[Run], sizes: ShareBatch) -> list[Line]:
    mbs = {rows: median(runs, "peak_mb", job="whole_run", rows=rows) for rows in sizes.growth}
    beside = [f"{median(runs, 'mb_before', job='whole_run', rows=sizes.growth[0]):.0f} MB before"]
    beside += [f"{rows:,}: {mb:.0f} MB" for rows, mb in mbs.items()][:-1]
    before_last, last = sizes.growth[-2:]
    a_row = (mbs[last] - mbs[before_last]) / (last - before_last) * 1000
    return [
        _memory_line(f"memory, {last:,} rows", mbs[last], f"; {a_row:.2f} KB a row", ", ".join(beside), sizes),
        _memory_line(
            f"memory, {sizes.most_rows:,} rows taken in",
            (most := median(runs, "peak_mb", job="taking_in")),
            f", {median(runs, 'seconds', job='taking_in') / sizes.most_rows * 1000:.3f} ms a row",
            f"{last:,} rows: {mbs[last]:.0f} MB",
            sizes,
            most / mbs[last],
        ),
    ]


def _memory_line(
    what: str, mb: float, more: str, beside: str, sizes: ShareBatch, ratio: float | None = None
) -> Line:
    met = mb <= MOST_MB if sizes.growth[-1] >= GOALS_AT else None
    return Line(what, f"{mb:.0f} MB{more}", beside, ratio, f"at most {MOST_MB:g} MB", met)


def _resume_line(runs: Sequence[Run]) -> Line:
    rows, seconds = those(runs, job="resume")[0]["rows"], median(runs, "seconds", job="resume")
    met = seconds < RESUME_SECONDS if rows >= GOALS_AT else None
    what, measured_text = f"resume, {rows:,} finished rows", f"{seconds:.2f} s, start-up included"
    return Line(what, measured_text, goal=f"under {RESUME_SECONDS:g} s", met=met)
