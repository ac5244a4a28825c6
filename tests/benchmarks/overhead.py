"""(c) What the engine costs: with the limit lifted, rows a second beside a bare loop that makes the same calls.

Each run is a process of its own on one core, the sandbox (which limits and delays nothing) on another; the two take
turns. Ours does all of a run: read and check the sheet, look people up, check an owner, note every call in a ledger
on disk before it leaves, write the results.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trial import CREATE, SHARE, STATUS

from benchmarks.children import cores, measured, sandbox_of
from benchmarks.jobs import WORKERS
from benchmarks.report import Line, Part, Run, median, paired
from benchmarks.sheets import write_csv

if TYPE_CHECKING:
    from benchmarks.sizes import ShareBatch

UNLIMITED: Final[dict[str, Any]] = {"rate": "100000/0.1s", "processing": 0.0}
GOAL: Final = 0.5


def measure(sizes: ShareBatch) -> Part:
    """Both in turn, as often as the sizes say."""
    rows = sizes.engine_rows
    runs = [run for _ in range(sizes.engine_runs) for run in (_bare(rows), _ours(rows))]
    lines = [_line("by the clock", "seconds", runs), _line("by CPU time of the process", "cpu_seconds", runs)]
    return Part("c", "engine, rows a second with no limit", _how(sizes), lines, runs, UNLIMITED | {"rows": rows})


def _how(sizes: ShareBatch) -> str:
    where = "the sandbox on another" if cores() else "shared with the sandbox: no other could be chosen"
    return (
        f"{sizes.engine_rows} rows, {WORKERS} workers, real sockets, one core, {where}; {sizes.engine_runs} runs "
        "of each in turn. Ours is a whole run, from reading the sheet to the written results."
    )


def _bare(rows: int) -> Run:
    with tempfile.TemporaryDirectory() as folder, sandbox_of(leads=rows, **UNLIMITED) as sandbox:
        numbers = measured("bare_loop", Path(folder), url=sandbox.url, rows=rows)
        return _checked(numbers, sandbox.report(), rows)


def _ours(rows: int) -> Run:
    with tempfile.TemporaryDirectory() as folder, sandbox_of(leads=rows, **UNLIMITED) as sandbox:
        write_csv(Path(folder) / "leads.csv", rows)
        numbers = measured("whole_run", Path(folder), url=sandbox.url, sheet="leads.csv")
        assert numbers["states"] == {"shared": rows}, numbers
        return _checked(numbers, sandbox.report(), rows)


def _checked(numbers: Run, report: dict[str, Any], rows: int) -> Run:
    """Both have made the very same calls for the rows."""
    calls = report["calls"]
    assert [calls[name] for name in (CREATE, SHARE, STATUS)] == [rows] * 3, calls
    return numbers | {"rows": rows, "calls": calls}


def _line(what: str, clock: str, runs: list[Run]) -> Line:
    bare, ours = (median(runs, clock, job=job) for job in ("bare_loop", "whole_run"))
    rows = runs[0]["rows"]
    ratio = paired(runs, clock, {"job": "bare_loop"}, {"job": "whole_run"})
    found, beside = f"{rows / ours:.0f} rows/s", f"bare loop: {rows / bare:.0f}"
    if clock == "cpu_seconds":
        found, beside = f"{ours / rows * 1000:.2f} ms a row", f"bare loop: {bare / rows * 1000:.2f}"
    return Line(what, found, beside, ratio, f"at least {GOAL}", ratio >= GOAL)
