"""(d) Reading a sheet and planning every row of it, beside pandas reading it and doing nothing with it.

`plan` without --online is measured: the rows read, checked, keyed and counted. Each in a process of its own, in
turn, imports not counted but those of the process that parses a workbook: they come with every one.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.children import measured
from benchmarks.report import Line, Part, Run, median, paired, those
from benchmarks.sheets import write_csv, write_excel

if TYPE_CHECKING:
    from benchmarks.sizes import ShareBatch

SHEETS: Final = {"leads.csv": write_csv, "leads.xlsx": write_excel}
READERS: Final = {"leads.csv": "read_csv", "leads.xlsx": "read_excel (calamine)"}


def measure(sizes: ShareBatch) -> Part:
    """Each sheet by both in turn, as often as the sizes say."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for sheet, write in SHEETS.items():
            write(folder / sheet, sizes.read_rows)
        runs = [
            measured(job, folder, sheet=sheet) | {"sheet": sheet}
            for _ in range(sizes.read_runs)
            for sheet in SHEETS
            for job in ("pandas_alone", "plan")
        ]
    assert {run["rows"] for run in runs} == {sizes.read_rows}
    how = (
        f"{sizes.read_rows:,} rows of 6 columns; `plan` without --online, beside pandas reading all as text; "
        f"{sizes.read_runs} runs of each in turn, imports not counted but in the process that parses a workbook. "
        "The ratio is ours over pandas'."
    )
    lines = [_line(sheet, runs) for sheet in SHEETS]
    return Part("d", "reading and planning", how, lines, runs, {"rows": sizes.read_rows})


def _line(sheet: str, runs: list[Run]) -> Line:
    ours, theirs = (median(runs, "seconds", sheet=sheet, job=job) for job in ("plan", "pandas_alone"))
    own_mb, their_mb = (median(runs, "peak_mb", sheet=sheet, job=job) for job in ("plan", "pandas_alone"))
    beside = f"{READERS[sheet]}: {theirs:.2f} s, {their_mb:.0f} MB"
    ratio = paired(those(runs, sheet=sheet), "seconds", {"job": "plan"}, {"job": "pandas_alone"})
    return Line(sheet, f"{ours:.2f} s, {own_mb:.0f} MB", beside, ratio)
