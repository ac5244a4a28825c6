"""The answered sheet: every original column in the input's order, then what became of the row.

No cell of it is ever a live formula. CSV has no types, so there a text that a spreadsheet would take for a formula
gets an apostrophe in front, which batch_share's own reader takes off again; in a workbook every cell is text.
"""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Final

from batch_share.common import __version__
from batch_share.errors import BatchShareError
from batch_share.ledger.written import Output
from batch_share.outputs import Named, digest_of
from batch_share.results.failures_page import add_failures
from batch_share.results.reason import reason_of
from batch_share.results.summary_page import add_summary
from batch_share.results.workbook import Looks, fill, writing
from batch_share.results.writing import write_output
from batch_share.sheet.reader import WORKBOOK_SUFFIXES
from batch_share.sheet.text import guarded
from batch_share.sheet.workbook import ANSWERED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Row
    from batch_share.ledger.states import State
    from batch_share.results.writing import Placed

COLUMNS: Final = ("Result", "Reason", "Activity Id", "Request Id", "Share Status", "Sheet Row")


def results_path(sheet: Path) -> Path:
    """Where the results of `sheet` go when nobody says: beside it, in its own format."""
    suffix = ".xlsx" if sheet.suffix.lower() in WORKBOOK_SUFFIXES else ".csv"
    return sheet.with_name(f"{sheet.stem}.results{suffix}")


async def write_results(ledger: LedgerReader, target: Path | Named, failed_sheet: Path | None = None) -> Placed:
    """Write the answered sheet as CSV or .xlsx, as `write_output` does.

    A workbook has a summary and the failures before it, which name the `failed_sheet`. Raises BatchShareError when
    the file can't be written, LedgerError.
    """
    sheet = await ledger.sheet()
    columns = list(sheet.columns) if sheet else []
    header = [*columns, *COLUMNS]

    async def write(file: Path) -> None:
        answers = _answers(ledger, len(columns))
        if file.suffix.lower() == ".csv":
            await write_csv(file, header, answers)
            return
        async with writing(file) as book:
            await add_summary(book, ledger, failed_sheet)
            await add_failures(book, ledger, columns, failed_sheet)
            looks = Looks(len(columns), range(len(columns), len(header)))
            await fill(book, book.page(ANSWERED[-1]), header, answers, looks)

    check_format(target.target if isinstance(target, Named) else target)
    return await write_output(ledger, Output.RESULTS, target, write)


def fingerprint(target: Path) -> str:
    """What a file of results is known by: another if anybody else wrote it, or another version of this program."""
    return json.dumps([__version__, digest_of(target)])


async def write_table(
    target: Named, header: Sequence[str], rows: AsyncIterator[tuple[State, list[str]]], *, coloured: int
) -> None:
    """Write rows as CSV or .xlsx, where the column `coloured` (from 0) shows each row's state.

    Raises SettingsError, as `Named` does.
    """
    with target.written() as temporary:
        if temporary.suffix.lower() == ".csv":
            await write_csv(temporary, header, rows)
            return
        async with writing(temporary) as book:
            await fill(book, book.page(ANSWERED[-1]), header, rows, Looks(coloured))


def check_format(target: Path) -> None:
    """Raises BatchShareError for a name that is neither of a CSV file nor of a workbook."""
    if target.suffix.lower() not in {".csv", ".xlsx"}:
        raise BatchShareError(f"Results are written as .csv or .xlsx, not as {target.name}")


async def _answers(ledger: LedgerReader, width: int) -> AsyncIterator[tuple[State, list[str]]]:
    async for row in ledger.all_rows():
        cells = [*row.cells[:width], *[""] * (width - len(row.cells))]
        yield row.state, cells + _answer(row)


def _answer(row: Row) -> list[str]:
    return [
        str(row.state),
        reason_of(row),
        row.activity_id or "",
        row.request_id or "",
        "" if row.share_status is None else str(row.share_status),
        str(row.sheet_row) if row.position is not None else "",
    ]


# ------------------------------------------------------------------------------------------------------ CSV


async def write_csv(file: Path, header: Sequence[str], answers: AsyncIterator[tuple[State, list[str]]]) -> None:
    """Write a table as CSV that no spreadsheet program finds a formula in."""
    with file.open("w", encoding="utf-8-sig", newline="") as out:  # Excel needs the BOM to see UTF-8
        # All quoted: LibreOffice divides at semicolons and tabs too, and finds formulas in the middle of a text.
        writer = csv.writer(out, quoting=csv.QUOTE_ALL)
        writer.writerow([guarded(cell) for cell in header])
        async for _, cells in answers:
            writer.writerow([guarded(cell) for cell in cells])
