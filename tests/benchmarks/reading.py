"""(d) Reading a sheet and planning every row of it, beside others reading it and doing nothing with it.

`plan` without --online is measured: the rows read, checked and counted. Each in a process of its own, in turn, in
CPU time of that process and of those that it starts, start-up and imports counted on both sides: a sheet is planned
once in a process.
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.children import measured
from benchmarks.report import Line, Part, Run, median, paired, those
from benchmarks.sheets import WIDE, write_csv, write_excel

if TYPE_CHECKING:
    from benchmarks.sizes import ShareBatch

PEERS: Final = {".csv": ("pandas", "polars", "duckdb"), ".xlsx": ("pandas",)}
GOALS: Final = {".csv": 2.2, ".xlsx": 3.0}
"""Times pandas' CPU, of 100,000 rows and more."""

MOST_MB: Final = 400
GOALS_AT: Final = 100_000


def measure(sizes: ShareBatch) -> Part:
    """Each sheet by all in turn, as often as the sizes say."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sheets = {f"{rows}.csv": rows for rows in sizes.read_rows} | {
            f"{sizes.read_rows[0]}.xlsx": sizes.read_rows[0]
        }
        for sheet, rows in sheets.items():
            write = write_csv if sheet.endswith(".csv") else write_excel
            write(folder / sheet, rows, WIDE)
        runs = [
            measured("plan" if reader == "plan" else "read_alone", folder, sheet=sheet, **_by(reader))
            | {"sheet": sheet, "reader": reader, "asked": rows}
            for _ in range(sizes.read_runs)
            for sheet, rows in sheets.items()
            for reader in (*filter(is_there, PEERS[Path(sheet).suffix]), "plan")
        ]
    assert all(run["rows"] == run["asked"] for run in runs)
    how = (
        f"12 columns; `plan` without --online, beside others reading all as text (pandas' read_csv; its read_excel "
        f"with calamine); {sizes.read_runs} run(s) of each in turn, CPU time and memory with start-up, imports and "
        "the process that parses a workbook. The ratio is ours over pandas'."
    )
    lines = [_line(sheet, rows, runs) for sheet, rows in sheets.items()]
    return Part("d", "reading and planning", how, lines, runs, {"rows": sizes.read_rows})


def is_there(reader: str) -> bool:
    """Whether it is installed."""
    return importlib.util.find_spec(reader) is not None


def _by(reader: str) -> dict[str, str]:
    return {} if reader == "plan" else {"reader": reader}


def _line(sheet: str, rows: int, runs: list[Run]) -> Line:
    ours = those(runs, sheet=sheet, reader="plan")
    most_mb = median(ours, "peak_mb")
    peers = [
        f"{reader}: {median(runs, 'whole_cpu', sheet=sheet, reader=reader):.2f} s, "
        f"{median(runs, 'peak_mb', sheet=sheet, reader=reader):.0f} MB"
        if is_there(reader)
        else f"{reader}: not installed"
        for reader in PEERS[Path(sheet).suffix]
    ]
    ratio = paired(those(runs, sheet=sheet), "whole_cpu", {"reader": "plan"}, {"reader": "pandas"})
    most = GOALS[Path(sheet).suffix]
    met = ratio <= most and most_mb <= MOST_MB if rows >= GOALS_AT else None
    measured_text = f"{median(ours, 'whole_cpu'):.2f} s of CPU, {most_mb:.0f} MB"
    goal = f"at most {most:g}, {MOST_MB} MB"
    return Line(f"{rows:,} rows, {Path(sheet).suffix}", measured_text, "; ".join(peers), ratio, goal, met)
