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
from typing import TYPE_CHECKING, Any, Final

from batch_share import __version__
from batch_share.errors import BatchShareError
from batch_share.ledger.states import State
from batch_share.ledger.store import NOT_ASKED
from batch_share.sheet.reader import WORKBOOK_SUFFIXES
from batch_share.sheet.text import guarded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Row

COLUMNS: Final = ("Result", "Reason", "Activity Id", "Request Id", "Share Status", "Sheet Row")
_WIDEST: Final = 60
_LINE_POINTS: Final = 15.0
_MOST_LINES: Final = 10
_EXCEL_CELL: Final = 32_767
_NO_SUCH_CELL: Final = -1  # what xlsxwriter returns past the last row or column, without writing

COLOURS: Final = {
    State.SHARED: "#C6EFCE",
    State.ACCEPTED: "#DDEBF7",
    State.SKIPPED: "#EDEDED",
    State.INVALID: "#FCE4D6",
    State.FAILED: "#FFC7CE",
    State.UNKNOWN: "#FFEB9C",
    State.TO_REVOKE: "#FFEB9C",
    State.ENDING: "#DDEBF7",
    State.REVOKED: "#D9D2E9",
}
"""Behind the Result of each state in a workbook."""

_LABELS: Final = {
    State.PENDING: "not yet sent",
    State.POSTED: "activity posted, not yet shared",
    State.POSTING: "posting the activity, or cut off while it did: then the next run looks it up",
    State.REVOKING: "taking its share back, or cut off while it did: `batch-share revoke` takes it back again",
    State.SHARING: "sharing, or cut off while it did: then the next run shares again in the same activity",
}


def results_path(sheet: Path) -> Path:
    """Where the results of `sheet` go when nobody says: beside it, in its own format."""
    suffix = ".xlsx" if sheet.suffix.lower() in WORKBOOK_SUFFIXES else ".csv"
    return sheet.with_name(f"{sheet.stem}.results{suffix}")


async def write_results(ledger: LedgerReader, target: Path) -> None:
    """Write the answered sheet as CSV or .xlsx, to a temporary file that is then renamed.

    Raises BatchShareError when the file can't be written, LedgerError.
    """
    sheet = await ledger.sheet()
    columns = list(sheet.columns) if sheet else []
    await write_table(target, [*columns, *COLUMNS], _answers(ledger, len(columns)), coloured=len(columns))


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
    suffix = target.suffix.lower()
    if suffix not in {".csv", ".xlsx"}:
        raise BatchShareError(f"Results are written as .csv or .xlsx, not as {target.name}")
    with replacing(target) as temporary:
        if suffix == ".csv":
            await _write_csv(temporary, header, rows)
        else:
            await _write_excel(temporary, header, rows, coloured=coloured)


async def _answers(ledger: LedgerReader, width: int) -> AsyncIterator[tuple[State, list[str]]]:
    async for row in ledger.all_rows():
        cells = [*row.cells[:width], *[""] * (width - len(row.cells))]
        yield row.state, cells + _answer(row)


def reason_of(row: Row) -> str:
    """Why a row is where it is, for the person who reads the results."""
    reason = "; ".join(filter(None, (row.reason or _label(row), row.notice)))
    if row.position is not None or row.state is not State.UNKNOWN:
        return reason
    told = reason if NOT_ASKED in reason else f"{NOT_ASKED}: {reason}"
    return f"{told}; a run that asks for it again, as the sheet and its options were, settles it"


def _label(row: Row) -> str | None:
    start = row.instruction.start if row.instruction and row.state is State.PENDING else None
    return f"waits until {start:%Y-%m-%d %H:%M} UTC" if start else _LABELS.get(row.state)


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


async def _write_csv(file: Path, header: Sequence[str], answers: AsyncIterator[tuple[State, list[str]]]) -> None:
    with file.open("w", encoding="utf-8-sig", newline="") as out:  # Excel needs the BOM to see UTF-8
        # All quoted: LibreOffice divides at semicolons and tabs too, and finds formulas in the middle of a text.
        writer = csv.writer(out, quoting=csv.QUOTE_ALL)
        writer.writerow([guarded(cell) for cell in header])
        async for _, cells in answers:
            writer.writerow([guarded(cell) for cell in cells])


# ---------------------------------------------------------------------------------------------------- Excel


async def _write_excel(
    file: Path, header: Sequence[str], answers: AsyncIterator[tuple[State, list[str]]], *, coloured: int
) -> None:
    import xlsxwriter  # noqa: PLC0415 - only when a workbook is written
    from xlsxwriter.exceptions import FileCreateError  # noqa: PLC0415

    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    # A folder of its own: after an error xlsxwriter leaves the rows it has buffered behind.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as buffers:
        try:
            with xlsxwriter.Workbook(file, options | {"constant_memory": True, "tmpdir": buffers}) as book:
                await _fill(book, header, answers, coloured)
        except FileCreateError as error:
            raise BatchShareError(f"The results can't be written ({error})") from None


async def _fill(
    book: Any, header: Sequence[str], answers: AsyncIterator[tuple[State, list[str]]], coloured: int
) -> None:
    page = book.add_worksheet("Results")
    # quote_prefix: the text stays text even after somebody edits the cell
    as_text = {"num_format": "@", "quote_prefix": True, "valign": "top"}
    head = book.add_format({**as_text, "bold": True, "bg_color": "#1F3864", "font_color": "white"})
    text = book.add_format(as_text)
    wrapped = book.add_format({**as_text, "text_wrap": True})
    fills = {state: book.add_format({**as_text, "bg_color": colour}) for state, colour in COLOURS.items()}
    page.freeze_panes(1, 0)
    page.set_landscape()
    page.fit_to_pages(1, 0)  # on paper: one page wide, as many as it takes
    page.repeat_rows(0)
    widths = [len(name) for name in header]
    for column, name in enumerate(header):
        page.write_string(0, column, name, head)
    number = 0
    async for state, cells in answers:
        number += 1
        lines = -(-max(map(len, cells), default=1) // _WIDEST)
        if lines > 1:  # LibreOffice makes no room for wrapped text by itself
            page.set_row(number, _LINE_POINTS * min(lines, _MOST_LINES))
        for column, cell in enumerate(cells):
            plain = wrapped if len(cell) > _WIDEST else text
            shape = fills.get(state, plain) if column == coloured else plain
            if page.write_string(number, column, cell[:_EXCEL_CELL], shape) == _NO_SUCH_CELL:
                raise BatchShareError("The results are larger than a worksheet can be: write them as .csv")
            widths[column] = max(widths[column], min(len(cell), _WIDEST))
    for column, width in enumerate(widths):
        page.set_column(column, column, width + 2)
    page.autofilter(0, 0, max(number, 1), len(header) - 1)
