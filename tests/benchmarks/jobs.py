"""What is measured in a process of its own: `python -m benchmarks.jobs JOB [CORE, ARGUMENTS]`, in JSON.

Imports come before the clock starts: what they take is start-up's affair.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.children import pin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batch_share.ledger.files import LedgerName
    from batch_share.settings import Settings

Numbers = dict[str, Any]


def whole_run(url: str, sheet: str) -> Numbers:
    """A run of `sheet`, in this folder, from reading it to the written results."""
    from trial import Onlooker

    from batch_share.jobs.job import do
    from batch_share.jobs.run import RunSheet
    from batch_share.planning.intake import SheetJob

    with _timed() as numbers:
        ending = asyncio.run(do(RunSheet(SheetJob(Path(sheet), _ledger())), unlimited(url), Onlooker()))
    return numbers | {"states": ending.summary.states, "error": ending.error and str(ending.error)}


def taking_in(url: str, sheet: str) -> Numbers:
    """Read `sheet`, look all its leads up, take it into a ledger, send nothing, write the results."""
    from trial import Onlooker

    from batch_share.jobs.job import do
    from batch_share.jobs.outputs import results_of
    from batch_share.jobs.run import RunSheet
    from batch_share.planning.intake import SheetJob

    class Unwilling(Onlooker):
        def agree(self, preview: object) -> bool:
            return False

    with _timed() as numbers:
        ending = asyncio.run(do(RunSheet(SheetJob(Path(sheet), _ledger())), unlimited(url), Unwilling()))
        asyncio.run(results_of(_ledger(), None))
    return numbers | {"states": ending.summary.states}


def plan(sheet: str) -> Numbers:
    """What `batch-share plan` does of `sheet`, without asking anybody."""
    from batch_share.planning.intake import show_sheet
    from batch_share.planning.plan import SheetOptions
    from batch_share.settings import Settings

    with _timed() as numbers:
        overview = asyncio.run(show_sheet(Path(sheet), SheetOptions(), Settings(), None))
    return numbers | {"rows": overview.rows}


def read_alone(sheet: str, reader: str) -> Numbers:
    """Read `sheet` by somebody else and do nothing with it: all as text."""
    with _timed() as numbers:
        if reader == "polars":
            import polars as pl

            rows = pl.read_csv(sheet, infer_schema=False).height
        elif reader == "duckdb":
            import duckdb

            whole = duckdb.connect()  # a table, for a query alone would read no more than it needs
            whole.execute(f"CREATE TABLE sheet AS FROM read_csv('{sheet}', all_varchar = true)")
            ((rows,),) = whole.execute("SELECT count(*) FROM sheet").fetchall()
        else:
            import pandas as pd

            if sheet.endswith(".csv"):
                rows = len(pd.read_csv(sheet, dtype=str))
            else:
                rows = len(pd.read_excel(sheet, dtype=str, engine="calamine"))
    return numbers | {"rows": rows}


def bare_workbook(sheet: str) -> Numbers:
    """Write the cells of a workbook once more, with xlsxwriter alone."""
    import python_calamine
    import xlsxwriter

    whole = python_calamine.CalamineWorkbook.from_path(sheet)
    pages = [whole.get_sheet_by_name(name).to_python() for name in whole.sheet_names]
    # A date is a number in a workbook; here it is as long a text.
    plain = [[[c if isinstance(c, str | int | float) else str(c) for c in row] for row in page] for page in pages]
    with _timed() as numbers, xlsxwriter.Workbook("bare.xlsx", {"constant_memory": True}) as book:
        for cells in plain:
            page = book.add_worksheet()
            for number, row in enumerate(cells):
                page.write_row(number, 0, row)
    return numbers | {"rows": max(map(len, plain))}


def bare_loop(url: str, rows: int) -> Numbers:
    """The calls of a run and nothing else."""
    from benchmarks.bare import make_calls
    from benchmarks.sheets import rows_of

    given = list(rows_of(rows))
    with _timed() as numbers:
        asyncio.run(make_calls(url, given, WORKERS))
    return numbers


WORKERS = 100
"""As many as ours takes by itself at such a limit."""


def unlimited(url: str) -> Settings:
    """Settings for a sandbox that refuses nothing and processes at once."""
    from pydantic import SecretStr

    from batch_share.common import Rate
    from batch_share.sandbox import SandboxOptions
    from batch_share.sending import follow_up
    from batch_share.settings import Settings

    follow_up.FIRST_PATIENCE = 0.0  # type: ignore[misc] # waiting for what is done at once would be no work to measure
    keys = SandboxOptions()
    return Settings(
        host=url,
        access_key=SecretStr(keys.access_key),
        secret_key=SecretStr(keys.secret_key),
        rate=Rate(100_000, 0.1),
        workers=WORKERS,
        state_folder=Path("state"),
        data_folder=Path("data"),
        log_folder=Path("log"),
    )


def _ledger() -> LedgerName:
    from batch_share.ledger.files import LedgerName

    return LedgerName.of("ledger.db")


@contextmanager
def _timed() -> Iterator[Numbers]:
    """The seconds, by the clock on the wall and by this process's own; and the memory that it had before."""
    numbers: Numbers = {"mb_before": peak_mb()}
    began, began_cpu = time.perf_counter(), time.process_time()
    yield numbers
    numbers |= {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - began_cpu}


def peak_mb() -> float:
    """The most memory that this process ever held, in MB, and beside it the largest of those that it started."""
    both = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(both) / (1024 if sys.platform == "darwin" else 1) / 1024


def whole_cpu() -> float:
    """CPU seconds of this process since it began, and of those that it started."""
    return sum(os.times()[:4])


JOBS: dict[str, Callable[..., Numbers]] = {
    job.__name__: job for job in (whole_run, taking_in, plan, read_alone, bare_loop, bare_workbook)
}


def main(name: str, reported: str) -> None:
    """Do the job and print its numbers."""
    core, arguments = json.loads(reported)
    pin(core)
    numbers = JOBS[name](**arguments)
    sys.stdout.write(json.dumps(numbers | {"job": name, "peak_mb": peak_mb(), "whole_cpu": whole_cpu()}) + "\n")


if __name__ == "__main__":
    # The system counts as this process's what its parent held when it started it. A child of our own begins small.
    if child := os.fork():
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    main(*sys.argv[1:])
