"""`make bench`: measure, print one table, keep everything in a JSON file. No number passes or fails anything."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

from benchmarks import again, bad_rows, growth, overhead, pace, reading, start_up, stored, throughput
from benchmarks.report import save, show, write_page
from benchmarks.sizes import SIZES

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.report import Part
    from benchmarks.sizes import ShareBatch

BENCHMARKS: Final[dict[str, Callable[[ShareBatch], Part]]] = {
    "a": pace.measure,
    "b": throughput.measure,
    "c": overhead.measure,
    "d": reading.measure,
    "e": start_up.measure,
    "f": growth.measure,
    "g": bad_rows.measure,
    "h": again.measure,
    "i": stored.measure,
}


_WIDTH: Final = 160


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="long")
    parser.add_argument("--only", default="", help="letters of the benchmarks, such as bc")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"))
    parser.add_argument("--page", type=Path, help="a page of the manual to write the table to")
    asked = parser.parse_args()
    reported, parts = Console(stderr=True), []
    for letter, measure in BENCHMARKS.items():
        if letter in (asked.only or BENCHMARKS):
            reported.print(f"measuring ({letter}) ...", highlight=False)
            parts.append(measure(SIZES[asked.size]))
            save(asked.json, asked.size, parts)  # after each: the next may take long, and break off
            if asked.page:
                write_page(asked.page, parts[-1:], asked.size)
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    show(console, parts)
    console.print(f"All runs are in {asked.json}", highlight=False)


if __name__ == "__main__":
    main()
