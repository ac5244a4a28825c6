"""(e) Start-up, by CPU time: `batch-share --help` beside a Python that only imports click, in turn.

And a run of ten rows up to its first call, then at rest while nobody answers that.
"""

from __future__ import annotations

import importlib.util
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from processes import ROOT

from benchmarks.children import environment
from benchmarks.report import Line, Part, Run, median, paired, those
from benchmarks.sheets import write_csv

if TYPE_CHECKING:
    from benchmarks.sizes import ShareBatch

GOAL: Final = 2.0
FIRST_CALL: Final = 1.0
"""Seconds of CPU until the first call of ten rows, at most."""

AT_REST: Final = 2.0
"""Milliseconds of CPU a second, at most."""

_SETTLED: Final = 0.5
"""Seconds after the first call until it rests."""

COMMANDS: Final = {"help": ["-m", "batch_share", "--help"], "click": ["-c", "import click"]}


def measure(sizes: ShareBatch) -> Part:
    """Both in turn, after once for the disk's sake."""
    how = (
        f"{sizes.starts} starts of each in turn, after one that is not counted; medians of CPU time. The run is of "
        f"ten rows of .csv, its keys in the environment; its first call is not answered for {sizes.rest:g} s."
    )
    if not is_there():
        return Part("e", "start-up", how, [Line("--help", "click is not installed: `make bench` does")], [])
    for command in COMMANDS:
        _start(command)
    runs = [_start(command) for _ in range(sizes.starts) for command in COMMANDS]
    ours, theirs = median(runs, "cpu_seconds", command="help"), median(runs, "cpu_seconds", command="click")
    ratio = paired(runs, "cpu_seconds", {"command": "help"}, {"command": "click"})
    beside = f"import click: {theirs * 1000:.0f} ms"
    lines = [Line("--help", f"{ours * 1000:.0f} ms", beside, ratio, f"at most {GOAL:g} x", ratio <= GOAL)]
    if Path("/proc/self/task").exists():  # where else the time of another process is told, nobody has looked
        runs += [_run_to_its_first_call(sizes.rest) for _ in range(min(sizes.starts, 5))]  # it takes its time
        first = median(runs, "cpu_seconds", command="run") / theirs
        cpu, rest = (median(those(runs, command="run"), name) for name in ("cpu_seconds", "at_rest"))
        goal = f"at most {FIRST_CALL:g} s"
        lines.append(
            Line("run of ten rows, to its first call", f"{cpu:.2f} s", beside, first, goal, cpu <= FIRST_CALL)
        )
        goal = f"at most {AT_REST:g} ms"
        lines.append(Line("the same at rest, a second", f"{rest:.2f} ms", "", None, goal, rest <= AT_REST))
    return Part("e", "start-up", how, lines, runs)


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


def _run_to_its_first_call(rest: float) -> Run:
    """The CPU until it connects (s), and while it then waits `rest` seconds for an answer (ms a second)."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as server:
        write_csv(Path(folder) / "leads.csv", 10)
        own = {
            "BATCH_SHARE_HOST": f"http://127.0.0.1:{server.getsockname()[1]}",
            "BATCH_SHARE_ACCESS_KEY": "benchmark-access-key",
            "BATCH_SHARE_SECRET_KEY": "benchmark-secret-key",
            "BATCH_SHARE_STATE_FOLDER": folder,
            "BATCH_SHARE_DATA_FOLDER": folder,
        }
        command = [sys.executable, "-m", "batch_share", "run", "leads.csv", "--yes"]
        with subprocess.Popen(
            command, cwd=folder, env=environment(**own), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            server.settimeout(60)
            connection, _ = server.accept()
            first = _cpu_of(process.pid)
            time.sleep(_SETTLED)
            settled = _cpu_of(process.pid)
            time.sleep(rest)
            at_rest = (_cpu_of(process.pid) - settled) / rest
            connection.close()
            process.kill()
    return {"command": "run", "cpu_seconds": first, "at_rest": at_rest * 1000}


def _cpu_of(process: int) -> float:
    """Seconds that all threads of a process took; its ticks of 10 ms would be too coarse."""
    threads = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in threads) / 1e9
