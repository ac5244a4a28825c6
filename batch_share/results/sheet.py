"""The answered sheet: every original column in the input's order, then what became of the row.

No cell of it is ever a live formula. CSV has no types, so there a text that a spreadsheet would take for a formula
gets an apostrophe in front, which batch_share's own reader takes off again; in a workbook every cell is text.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batch_share import __version__
from batch_share.errors import BatchShareError
from batch_share.results.failures_page import add_failures
from batch_share.results.reason import reason_of
from batch_share.results.summary_page import add_summary
from batch_share.results.workbook import Looks, fill, writing
from batch_share.sheet.reader import WORKBOOK_SUFFIXES
from batch_share.sheet.text import guarded
from batch_share.sheet.workbook import ANSWERED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from contextlib import AbstractContextManager

    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Row
    from batch_share.ledger.states import State

COLUMNS: Final = ("Result", "Reason", "Activity Id", "Request Id", "Share Status", "Sheet Row")


def results_path(sheet: Path) -> Path:
    """Where the results of `sheet` go when nobody says: beside it, in its own format."""
    suffix = ".xlsx" if sheet.suffix.lower() in WORKBOOK_SUFFIXES else ".csv"
    return sheet.with_name(f"{sheet.stem}.results{suffix}")


async def write_results(ledger: LedgerReader, target: Path, failed_sheet: Path | None = None) -> None:
    """Write the answered sheet as CSV or .xlsx, to a temporary file that is then renamed.

    A workbook has a summary and the failures before it, which name the `failed_sheet`. Raises BatchShareError when
    the file can't be written, LedgerError.
    """
    sheet = await ledger.sheet()
    columns = list(sheet.columns) if sheet else []
    header, answers = [*columns, *COLUMNS], _answers(ledger, len(columns))
    with _replacing_results(target) as temporary:
        if target.suffix.lower() == ".csv":
            await write_csv(temporary, header, answers)
            return
        async with writing(temporary) as book:
            await add_summary(book, ledger, failed_sheet)
            await add_failures(book, ledger, columns, failed_sheet)
            looks = Looks(len(columns), range(len(columns), len(header)))
            await fill(book, book.page(ANSWERED[-1]), header, answers, looks)


def fingerprint(target: Path) -> str:
    """What a file of results is known by: another if anybody else wrote it, or another version of this program."""
    try:
        found = target.stat()
    except OSError:
        return ""
    return json.dumps([__version__, str(target.absolute()), found.st_ino, found.st_size, found.st_mtime_ns])


async def write_table(
    target: Path, header: Sequence[str], rows: AsyncIterator[tuple[State, list[str]]], *, coloured: int
) -> None:
    """Write rows as CSV or .xlsx, where the column `coloured` (from 0) shows each row's state. Raises as above."""
    with _replacing_results(target) as temporary:
        if target.suffix.lower() == ".csv":
            await write_csv(temporary, header, rows)
            return
        async with writing(temporary) as book:
            await fill(book, book.page(ANSWERED[-1]), header, rows, Looks(coloured))


def _replacing_results(target: Path) -> AbstractContextManager[Path]:
    if target.suffix.lower() not in {".csv", ".xlsx"}:
        raise BatchShareError(f"Results are written as .csv or .xlsx, not as {target.name}")
    return replacing(target)


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


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary file beside `target` that takes its place at the end, or disappears on any error."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise BatchShareError(f"The results {target} can't be written ({error.strerror}).") from None


# ------------------------------------------------------------------------------------------------------ CSV


async def write_csv(file: Path, header: Sequence[str], answers: AsyncIterator[tuple[State, list[str]]]) -> None:
    """Write a table as CSV that no spreadsheet program finds a formula in."""
    with file.open("w", encoding="utf-8-sig", newline="") as out:  # Excel needs the BOM to see UTF-8
        # All quoted: LibreOffice divides at semicolons and tabs too, and finds formulas in the middle of a text.
        writer = csv.writer(out, quoting=csv.QUOTE_ALL)
        writer.writerow([guarded(cell) for cell in header])
        async for _, cells in answers:
            writer.writerow([guarded(cell) for cell in cells])
