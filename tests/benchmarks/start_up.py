"""(e) Start-up, by CPU time: `batch-share --help` beside a Python that only imports click, in turn.

And a run: up to its first call, and at rest while a request is processed, between two calls, with a log to write
and with a view to draw.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import resource
import select
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from processes import ROOT
from trial import STATUS

from batch_share.sandbox import SandboxOptions
from benchmarks.children import environment, sandbox_of
from benchmarks.report import Line, Part, Run, median, paired
from benchmarks.sheets import write_csv

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.sizes import ShareBatch

GOAL: Final = 2.0
FIRST_CALL: Final = 1.0
"""Seconds of CPU until the first call of ten rows, at most."""

AT_REST: Final = 2.0
"""Milliseconds of CPU a second, at most."""

PLACES: Final = ("into a pipe", "on a terminal")

COMMANDS: Final = {"help": ["-m", "batch_share", "--help"], "click": ["-c", "import click"]}


def measure(sizes: ShareBatch) -> Part:
    """Both in turn, after once for the disk's sake."""
    how = (
        f"{sizes.starts} starts of each in turn, after one that is not counted; medians of CPU time. The runs are "
        f"of .csv, their keys in the environment. At rest one waits for a request: {sizes.rest:g} s without a call."
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
        times = min(sizes.starts, 3)  # they take their time
        runs += [_to_its_first_call() for _ in range(times)]
        runs += [_at_rest(place, sizes.rest) for _ in range(times) for place in PLACES]
        cpu = median(runs, "cpu_seconds", command="run")
        goal = f"at most {FIRST_CALL:g} s"
        lines.append(
            Line(
                "run of ten rows, to its first call", f"{cpu:.2f} s", beside, cpu / theirs, goal, cpu <= FIRST_CALL
            )
        )
        for place in PLACES:
            rest = median(runs, "at_rest", command=place)
            what, goal = f"a run at rest {place}, a second", f"at most {AT_REST:g} ms"
            lines.append(Line(what, f"{rest:.2f} ms", "", None, goal, rest <= AT_REST))
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


def _to_its_first_call() -> Run:
    """The CPU that a run takes until it connects (s)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        with _running(f"http://127.0.0.1:{server.getsockname()[1]}", 10, subprocess.DEVNULL) as process:
            connection, _ = server.accept()
            cpu_seconds = _cpu_of(process)
            connection.close()
    return {"command": "run", "cpu_seconds": cpu_seconds}


def _at_rest(place: str, seconds: float) -> Run:
    """The CPU that a run takes while it waits for what goes on for ever (ms a second), between two calls."""
    reader, writer = os.openpty() if place == "on a terminal" else os.pipe()
    with sandbox_of(leads=10, faults="Status:pending=100%") as sandbox, _running(sandbox.url, 1, writer) as process:
        os.close(writer)
        while True:
            calls, before, until = sandbox.report()["calls"], _cpu_of(process), time.monotonic() + seconds
            # Somebody must read what a terminal shows, or it is soon full.
            while (left := until - time.monotonic()) > 0:
                if select.select([reader], [], [], left)[0]:
                    os.read(reader, 65536)
            took = _cpu_of(process) - before
            if STATUS in calls and sandbox.report()["calls"] == calls:
                break
    os.close(reader)
    return {"command": place, "at_rest": took / seconds * 1000}


@contextlib.contextmanager
def _running(host: str, rows: int, stderr: int) -> Iterator[int]:
    """A run of so many rows; it is killed at the end."""
    with tempfile.TemporaryDirectory() as folder:
        write_csv(Path(folder) / "leads.csv", rows)
        own = {
            "BATCH_SHARE_HOST": host,
            "BATCH_SHARE_ACCESS_KEY": SandboxOptions().access_key,
            "BATCH_SHARE_SECRET_KEY": SandboxOptions().secret_key,
            "BATCH_SHARE_STATE_FOLDER": folder,
            "BATCH_SHARE_DATA_FOLDER": folder,
            "TERM": "xterm-256color",
        }
        command = [sys.executable, "-m", "batch_share", "run", "leads.csv", "--yes"]
        with subprocess.Popen(
            command, cwd=folder, env=environment(**own), stdout=subprocess.DEVNULL, stderr=stderr
        ) as process:
            try:
                yield process.pid
            finally:
                process.kill()


def _cpu_of(process: int) -> float:
    """Seconds that all threads of a process took; its ticks of 10 ms would be too coarse."""
    threads = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in threads) / 1e9
