"""The command `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from batch_share.cli.arguments import LedgerFile, named_output, tell_place


def report(
    ledger: LedgerFile,
    output: Annotated[
        Optional[Path], typer.Option("--output", "-o", help="An .html file. Default: beside the sheet.")
    ] = None,
    most: Annotated[int, typer.Option(min=0, help="Rows to look at that are listed.")] = 100,
) -> None:
    """Write what became of LEDGER as one HTML file, for people.

    It has charts, is good to read, send and print, and can be asked while a run works on the ledger.

    Example: batch-share report leads.csv.ledger.db -o report.html
    """
    import asyncio

    from batch_share.jobs.run import report_of

    tell_place(asyncio.run(report_of(ledger, named_output(output), most)))
