"""(h) A finished ledger: the same sheet run again, unchanged, with another note, with one row changed; its results.

Each is a command as a person starts it, start-up included, in CPU time: its own and that of the processes which it
starts. Results as a workbook are held against a bare xlsxwriter loop over the very cells of that workbook.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batch_share.sandbox import SandboxOptions
from benchmarks.children import environment, measured, sandbox_of
from benchmarks.overhead import UNLIMITED
from benchmarks.report import Line, Part, Run, median
from benchmarks.sheets import rows_of, write_csv

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.sizes import ShareBatch

MOST_SECONDS: Final = 5.0
MOST_OF_BARE: Final = 1.5
GOALS_AT: Final = 100_000
AGAIN: Final = {
    "run again, unchanged": ["run", "leads.csv", "--yes"],
    "run again, another note": ["run", "leads.csv", "--yes", "--note", "Until Friday"],
    "run again, one row changed": ["run", "leads.csv", "--yes", "--note", "Until Friday"],
    "plan": ["plan", "leads.csv"],
    "status": ["status", "leads.csv"],
    "results .csv": ["results", "leads.csv", "--output", "out.csv"],
    "results .xlsx": ["results", "leads.csv", "--output", "out.xlsx"],
}


def measure(sizes: ShareBatch) -> Part:
    """One ledger, and all of these of it."""
    rows = sizes.growth[-1]
    with (
        tempfile.TemporaryDirectory() as name,
        sandbox_of(leads=rows + 1, bulk_rate="100000/0.1s", **UNLIMITED) as it,
    ):
        folder = Path(name)
        write_csv(folder / "leads.csv", rows)
        environ = _environment(it.url)
        _command(folder, environ, "run", "leads.csv", "--yes", "--bulk", "--bulk-rate", "10/0.1s")
        runs = []
        for what, command in AGAIN.items():
            with _changed(folder, rows, what):
                runs.append({"what": what, "cpu_seconds": _command(folder, environ, *command)})
        runs.append(measured("bare_workbook", folder, sheet="out.xlsx") | {"what": "bare"})
    lines = [_line(what, runs, rows) for what in AGAIN]
    how = (
        f"A ledger of {rows:,} finished rows; each command once, its CPU time with start-up and the processes that "
        "it starts. Bare: xlsxwriter with constant_memory, the same cells, imports and the reading of them not "
        "counted."
    )
    return Part("h", f"a finished ledger of {rows:,} rows", how, lines, runs, {"rows": rows})


@contextmanager
def _changed(folder: Path, rows: int, what: str) -> Iterator[None]:
    """With another user in the last row, for the time that it is run so."""
    if not what.endswith("one row changed"):
        yield
        return
    sheet = folder / "leads.csv"
    text = sheet.read_text(encoding="utf-8")
    last, other = list(rows_of(rows + 1))[-2:]
    sheet.write_text(text.replace(",".join(last), ",".join(other)), encoding="utf-8")
    yield
    sheet.write_text(text, encoding="utf-8")


def _environment(url: str) -> dict[str, str]:
    keys = SandboxOptions()
    return environment(
        BATCH_SHARE_HOST=url,
        BATCH_SHARE_ACCESS_KEY=keys.access_key,
        BATCH_SHARE_SECRET_KEY=keys.secret_key,
        BATCH_SHARE_RATE="100000/0.1s",
        BATCH_SHARE_STATE_FOLDER="state",
        BATCH_SHARE_DATA_FOLDER="data",
        BATCH_SHARE_LOG_FOLDER="log",
    )


def _command(folder: Path, environ: dict[str, str], *command: str) -> float:
    """Its CPU seconds."""
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "batch_share", *command], cwd=folder, env=environ, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _line(what: str, runs: list[Run], rows: int) -> Line:
    seconds = median(runs, "cpu_seconds", what=what)
    goal: dict[str, Any] = {}
    if what == "results .xlsx":
        bare = median(runs, "cpu_seconds", what="bare")
        beside, ratio = f"bare xlsxwriter: {bare:.2f} s", seconds / bare
        goal = {"goal": f"at most {MOST_OF_BARE:g}", "met": ratio <= MOST_OF_BARE}
    else:
        unchanged = median(runs, "cpu_seconds", what="run again, unchanged")
        beside, ratio = f"unchanged: {unchanged:.2f} s", seconds / unchanged
        if what in ("run again, another note", "run again, one row changed"):
            goal = {"goal": f"at most {MOST_SECONDS:g} s", "met": seconds <= MOST_SECONDS}
    if rows < GOALS_AT:
        goal = {}
    return Line(what, f"{seconds:.2f} s of CPU", beside, ratio, **goal)
