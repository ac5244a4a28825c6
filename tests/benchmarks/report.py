"""What benchmarks yield: the lines of one table, and every raw run behind them, as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from processes import ROOT
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from rich.console import Console

Run = dict[str, Any]
"""What was measured in one run, with what it was a run of."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: what was measured, what beside it, and how they compare with the goal.

    `met` is None where there is no goal, or where it does not speak of a run of this size.
    """

    what: str
    measured: str
    beside: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One benchmark. `how` is said below the table: what one must know to read its numbers."""

    letter: str
    title: str
    how: str
    lines: Sequence[Line]
    runs: Sequence[Run]
    options: dict[str, Any] = field(default_factory=dict)


def median(runs: Iterable[Run], name: str, **of: Any) -> float:
    """The median of what is called `name` in those runs that are `of` these."""
    return float(statistics.median(run[name] for run in those(runs, **of)))


def those(runs: Iterable[Run], **of: Any) -> list[Run]:
    """The runs that are `of` these."""
    return [run for run in runs if all(run.get(name) == value for name, value in of.items())]


def paired(runs: Iterable[Run], name: str, over: Run, under: Run) -> float:
    """The median, over runs that took turns, of what is called `name` in one over that in the other."""
    runs = list(runs)
    pairs = zip(those(runs, **over), those(runs, **under), strict=True)
    return float(statistics.median(one[name] / other[name] for one, other in pairs))


def show(console: Console, parts: Iterable[Part]) -> None:
    """Print one table of all parts, and below it how each was measured."""
    parts = list(parts)
    console.print(table_of(parts))
    for part in parts:
        console.print(f"({part.letter}) {part.how}", highlight=False, markup=False)


def table_of(parts: Iterable[Part]) -> Table:
    """The table."""
    table = Table(title="batch_share, measured beside what else could be used")
    for header in ("", "what", "measured", "beside it"):
        table.add_column(header)
    table.add_column("ratio", justify="right")
    table.add_column("goal")
    table.add_column("met")
    for part in parts:
        table.add_row(f"[bold]{part.letter}[/bold]", f"[bold]{part.title}[/bold]")
        for line in part.lines:
            ratio = "" if line.ratio is None else f"{line.ratio:.3g}"
            table.add_row("", line.what, line.measured, line.beside, ratio, line.goal, _verdict(line))
        table.add_section()
    return table


def _verdict(line: Line) -> str:
    return {None: "", True: "[green]yes[/green]", False: "[red]no[/red]"}[line.met]


def write_page(file: Path, parts: Iterable[Part], size: str) -> None:
    """Put the table into a page of the manual: in place of those parts that were measured, the others stay.

    Each is headed by when and on what it was measured.
    """
    text, machine = file.read_text(encoding="utf-8"), about(size)["machine"]
    on = f"{datetime.now(UTC):%Y-%m-%d}, {machine['cpus']} cores, Python {machine['python']}, {machine['system']}"
    for part in parts:
        before, begin, rest = text.partition(f"<!-- {part.letter}: begin -->\n")
        _, end, after = rest.partition(f"<!-- {part.letter}: end -->")
        if not end:
            raise ValueError(f"{file} has no place for part {part.letter}")
        rows = ["| what | measured | beside it | ratio | goal |", "|---|---|---|---|---|"]
        for line in part.lines:
            ratio = "" if line.ratio is None else f"{line.ratio:.3g}"
            missed = " (missed)" if line.met is False else ""
            rows.append(f"| {line.what} | {line.measured} | {line.beside} | {ratio} | {line.goal}{missed} |")
        head = f"### {part.title[0].upper()}{part.title[1:]}"
        text = "\n".join([f"{before}{begin}", head, "", *rows, "", f"{part.how} Measured {on}.", f"{end}{after}"])
    file.write_text(text, encoding="utf-8")


def save(file: Path, size: str, parts: Iterable[Part]) -> None:
    """Write everything to `file`, with what it was measured on and when."""
    text = json.dumps(about(size) | {"parts": [asdict(part) for part in parts]}, indent=1, default=str)
    file.write_text(text + "\n", encoding="utf-8")


def about(size: str) -> dict[str, Any]:
    """When, of which commit, on what machine."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "size": size,
        "commit": _git("rev-parse", "HEAD"),
        "changed_since": bool(_git("status", "--porcelain")),
        "machine": {
            "cpus": os.cpu_count(),
            "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
        },
    }


def _git(*arguments: str) -> str:
    """What git says; nothing where it is not, or where this is no clone."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()
