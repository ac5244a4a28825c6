"""The worksheet "Failures": only the rows that a person has to look at, and what to do about each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batch_share.results.next_step import Advice
from batch_share.results.reason import reason_of
from batch_share.results.workbook import Looks, fill
from batch_share.sheet.workbook import ANSWERED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Row
    from batch_share.ledger.states import State
    from batch_share.results.workbook import Book

COLUMNS: Final = ("Sheet Row", "Result", "Reason", "LeadSquared Said", "What To Do Next")
NONE: Final = "No row failed, is unknown or invalid: there is nothing to look at."
ON_PAPER: Final = 165
"""Characters that a line on paper has at most: so many can be read, and the person has the sheet for the rest."""

_WIDEST: Final = 40


async def add_failures(book: Book, ledger: LedgerReader, columns: Sequence[str], failed_sheet: Path | None) -> None:
    """Write the worksheet; `failed_sheet` is where failed rows can be mended. Raises LedgerError."""
    page = book.page(ANSWERED[1])
    advice = Advice(ledger.file.name, failed_sheet.name if failed_sheet else None)
    looks = Looks(COLUMNS.index("Result"), range(len(COLUMNS)), _WIDEST, ON_PAPER)
    if not await ledger.troubled_rows(1):
        page.set_column(0, 0, len(NONE))
        page.write_string(0, 0, NONE, book.text)
        return
    await fill(book, page, [*COLUMNS, *columns], _rows(ledger, advice, len(columns)), looks)


async def _rows(ledger: LedgerReader, advice: Advice, width: int) -> AsyncIterator[tuple[State, list[str]]]:
    async for row, words in ledger.all_troubled():
        yield row.state, [*_told(row, words, advice), *_cells(row, width)]


def _told(row: Row, words: str, advice: Advice) -> list[str]:
    where = str(row.sheet_row) if row.position is not None else ""
    return [where, str(row.state), reason_of(row), words, advice.next_step(row, words)]


def _cells(row: Row, width: int) -> list[str]:
    return [*row.cells[:width], *[""] * (width - len(row.cells))]
