"""The answered sheet: every original column in the input's order, then what became of the row.

No cell of it is ever a live formula. CSV has no types, so there a text that a spreadsheet would take for a formula
gets an apostrophe in front, which batch_share's own reader takes off again; in a workbook every cell is text, and a
worksheet "Failures" has only the rows that a person has to look at, with what to do about each.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from batch_share.common import __version__
from batch_share.errors import BatchShareError, LedgerError
from batch_share.ledger.written import Output
from batch_share.outputs import Named, digest_of
from batch_share.results.failed_sheet import failed_path, write_failed
from batch_share.results.summary_page import add_summary
from batch_share.results.tables import Layout, check_format, fill, write_csv, writing
from batch_share.results.wording import Advice, reason_of
from batch_share.results.writing import beside, write_output, written_last
from batch_share.sheet.reader import WORKBOOK_SUFFIXES
from batch_share.sheet.workbook import ANSWERED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Row
    from batch_share.ledger.states import State
    from batch_share.ledger.store import Ledger
    from batch_share.results.failed_sheet import FailedSheet
    from batch_share.results.tables import Book
    from batch_share.results.writing import Placed

FAILURES_COLUMNS: Final = ("Sheet Row", "Result", "Reason", "LeadSquared Said", "What To Do Next")
NONE: Final = "No row failed, is unknown or invalid: there is nothing to look at."
ON_PAPER: Final = 165
"""Characters that a line on paper has at most: so many can be read, and the person has the sheet for the rest."""

_WIDEST: Final = 40


async def add_failures(book: Book, ledger: LedgerReader, columns: Sequence[str], failed_sheet: Path | None) -> None:
    """Write the worksheet; `failed_sheet` is where failed rows can be mended. Raises LedgerError."""
    page = book.page(ANSWERED[1])
    advice = Advice(ledger.name.short, failed_sheet.name if failed_sheet else None)
    layout = Layout(FAILURES_COLUMNS.index("Result"), range(len(FAILURES_COLUMNS)), _WIDEST, ON_PAPER)
    if not await ledger.troubled_rows(1):
        page.set_column(0, 0, len(NONE))
        page.write_string(0, 0, NONE, book.text)
        return
    await fill(book, page, [*FAILURES_COLUMNS, *columns], _rows(ledger, advice, len(columns)), layout)


async def _rows(ledger: LedgerReader, advice: Advice, width: int) -> AsyncIterator[tuple[State, list[str]]]:
    async for row, words in ledger.all_troubled():
        yield row.state, [*_told(row, words, advice), *_cells(row, width)]


def _told(row: Row, words: str, advice: Advice) -> list[str]:
    where = str(row.sheet_row) if row.position is not None else ""
    return [where, str(row.state), reason_of(row), words, advice.next_step(row, words)]


def _cells(row: Row, width: int) -> list[str]:
    return [*row.cells[:width], *[""] * (width - len(row.cells))]


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
            layout = Layout(len(columns), range(len(columns), len(header)))
            await fill(book, book.page(ANSWERED[-1]), header, answers, layout)

    check_format(target.target if isinstance(target, Named) else target)
    return await write_output(ledger, Output.RESULTS, target, write)


def fingerprint(target: Path) -> str:
    """What a file of results is known by: another if anybody else wrote it, or another version of this program."""
    return json.dumps([__version__, digest_of(target)])


async def write_beside(ledger: Ledger, remark: Callable[[str], None]) -> Path | None:
    """Write the results and the failed rows where they go; None where there is no sheet to answer.

    Not if they stand there already: else that is most of the work of a run without any. Raises BatchShareError.
    """
    sheet = await ledger.sheet()
    if sheet is None:
        return None
    there = beside(ledger.name, sheet)
    before = await written_last(ledger, Output.RESULTS)
    if before is not None and ledger.results == fingerprint(before):
        await ledger.note_results(ledger.results)
        return before
    failed = await _failed_beside(ledger, remark, failed_path(there))
    results = await write_results(ledger, results_path(there), failed.path if failed else None)
    if results.remark:
        remark(results.remark)
    if failed is not None:
        await ledger.note_results(fingerprint(results.path))
    return results.path


async def _failed_beside(ledger: Ledger, remark: Callable[[str], None], target: Path) -> FailedSheet | None:
    """Write the failed rows; None where they can't be written, which must not hide the results either."""
    try:
        failed = await write_failed(ledger, target)
    except LedgerError:
        raise
    except BatchShareError as problem:
        remark(f"The rows to mend are in no file: {str(problem).rstrip('.')}")
        return None
    if failed.remark:
        remark(failed.remark)
    return failed


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
            await fill(book, book.page(ANSWERED[-1]), header, rows, Layout(coloured))


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
