"""(e) Start-up: `batch-share --help` beside a Python that only imports click, in turn, by CPU time."""

from __future__ import annotations

import importlib.util
import resource
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from processes import ROOT

from benchmarks.children import environment
from benchmarks.report import Line, Part, Run, median, paired

if TYPE_CHECKING:
    from benchmarks.sizes import ShareBatch

GOAL: Final = 2.0
COMMANDS: Final = {"help": ["-m", "batch_share", "--help"], "click": ["-c", "import click"]}


def measure(sizes: ShareBatch) -> Part:
    """Both in turn, after once for the disk's sake."""
    how = f"{sizes.starts} starts of each in turn, after one that is not counted; medians of CPU time."
    if not is_there():
        return Part("e", "start-up", how, [Line("--help", "click is not installed: `make bench` does")], [])
    for command in COMMANDS:
        _start(command)
    runs = [_start(command) for _ in range(sizes.starts) for command in COMMANDS]
    ours, theirs = median(runs, "cpu_seconds", command="help"), median(runs, "cpu_seconds", command="click")
    ratio = paired(runs, "cpu_seconds", {"command": "help"}, {"command": "click"})
    beside = f"import click: {theirs * 1000:.0f} ms"
    line = Line("--help", f"{ours * 1000:.0f} ms", beside, ratio, f"at most {GOAL:g} x", ratio <= GOAL)
    return Part("e", "start-up", how, [line], runs)


def is_there() -> bool:
    """Whether click is installed: Typer brings its own."""
    return importlib.util.find_spec("click") is not None


def _start(command: str) -> Run:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *COMMANDS[command]], cwd=ROOT, env=environment(), check=True, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"command": command, "cpu_seconds": cpu_seconds}
