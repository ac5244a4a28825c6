"""Writing results: CSV that no spreadsheet program finds a formula in, and workbooks, and where they may go.

In a workbook every text stays text, rows go to disk as they come, and all prints well. What is made of a ledger is
noted there as the ledger's own.
"""

from __future__ import annotations

import csv
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batch_share.errors import BatchShareError, LedgerError
from batch_share.ledger.states import State
from batch_share.ledger.store import Ledger
from batch_share.outputs import (
    Named,
    Output,
    Written,
    digest_of,
    is_in_the_way,
    names_for,
    telling_of,
    temporary_for,
    with_written,
)
from batch_share.sheet.reader import guarded

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import SheetRecord

    Write = Callable[[Path], Awaitable[None]]

COLOURS: Final = {
    State.SHARED: "#C6EFCE",
    State.ENDED: "#F2E6C9",
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

WIDEST: Final = 60
"""Characters of a column: more, and two columns fill a screen."""

_LINE_POINTS: Final = 15.0  # the height of a line of Calibri 11, which is the default
_MOST_LINES: Final = 10  # of a row: a longer text is read in its cell
_EXCEL_CELL: Final = 32_767
_NO_SUCH_CELL: Final = -1  # what xlsxwriter returns past the last row or column, without writing
_A4: Final = 9
_OPTIONS: Final = {
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "constant_memory": True,
}
_AS_TEXT: Final = {"num_format": "@", "quote_prefix": True, "valign": "top"}
"""quote_prefix: the text stays text even after somebody edits the cell."""


async def write_csv(file: Path, header: Sequence[str], answers: AsyncIterator[tuple[State, list[str]]]) -> None:
    """Write a table as CSV that no spreadsheet program finds a formula in."""
    with file.open("w", encoding="utf-8-sig", newline="") as out:  # Excel needs the BOM to see UTF-8
        # All quoted: LibreOffice divides at semicolons and tabs too, and finds formulas in the middle of a text.
        writer = csv.writer(out, quoting=csv.QUOTE_ALL)
        writer.writerow([guarded(cell) for cell in header])
        async for _, cells in answers:
            writer.writerow([guarded(cell) for cell in cells])


def check_format(target: Path) -> None:
    """Raises BatchShareError for a name that is neither of a CSV file nor of a workbook."""
    if target.suffix.lower() not in {".csv", ".xlsx"}:
        raise BatchShareError(f"Results are written as .csv or .xlsx, not as {target.name}")


class Book:
    """A workbook that is being written, and the shapes of its cells."""

    def __init__(self, book: Any) -> None:
        self._book = book
        self.text = self.shape()
        self.wrapped = self.shape(text_wrap=True)
        self.head = self.shape(bold=True, bg_color="#1F3864", font_color="white")
        self.aside = self.shape(bold=True, bg_color="#8497B0", font_color="white")
        self.number = self._book.add_format({"num_format": "#,##0", "valign": "top"})
        self.fills = {state: self.shape(bg_color=colour, text_wrap=True) for state, colour in COLOURS.items()}

    def shape(self, **layout: Any) -> Any:
        """A shape of cells that hold text."""
        return self._book.add_format(_AS_TEXT | layout)

    def page(self, name: str) -> Any:
        """A new worksheet. On paper it is one page wide, as many as it takes, and each has its number."""
        page = self._book.add_worksheet(name)
        page.set_landscape()
        page.set_paper(_A4)
        page.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.6)
        page.fit_to_pages(1, 0)
        page.set_footer("&L&F&C&A&RPage &P of &N")
        return page


@asynccontextmanager
async def writing(file: Path, made_at: dt.datetime | None = None) -> AsyncIterator[Book]:
    """Write a workbook to `file`; with `made_at`, the same rows give the same bytes. Raises BatchShareError."""
    import xlsxwriter  # noqa: PLC0415 - only when a workbook is written
    from xlsxwriter.exceptions import FileCreateError  # noqa: PLC0415

    # A folder of its own: after an error xlsxwriter leaves the rows it has buffered behind.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as buffers:
        try:
            with xlsxwriter.Workbook(file, _OPTIONS | {"tmpdir": buffers}) as book:
                if made_at is not None:
                    book.set_properties({"created": made_at})
                yield Book(book)
        except FileCreateError as error:
            raise BatchShareError(f"The results can't be written ({error})") from None


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table looks: the column `coloured` (from 0) shows each row's state, `ours` are the columns we added.

    No column is wider than `widest` characters: a longer text takes several lines. On paper there are only as many
    columns, from the left, as have `on_paper` characters together; None: all.
    """

    coloured: int
    ours: range = range(0)
    widest: int = WIDEST
    on_paper: int | None = None


async def fill(
    book: Book, page: Any, header: Sequence[str], rows: AsyncIterator[tuple[State, list[str]]], layout: Layout
) -> int:
    """Write a table from the top of `page`: header, filters, widths. How many rows there were."""
    page.freeze_panes(1, 0)
    page.hide_gridlines(0)  # on paper too: rows of several lines are told apart by them
    page.repeat_rows(0)
    page.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})  # as it should be: no mark in every cell
    widths = [len(name) for name in header]
    for column, name in enumerate(header):
        page.write_string(0, column, name, book.head if column in layout.ours or not layout.ours else book.aside)
    number = 0
    async for state, cells in rows:
        number += 1
        lines = -(-max(map(len, cells), default=1) // layout.widest)
        if lines > 1:  # LibreOffice makes no room for wrapped text by itself
            page.set_row(number, _LINE_POINTS * min(lines, _MOST_LINES))
        for column, cell in enumerate(cells):
            widths[column] = max(widths[column], min(len(cell), layout.widest))
            plain = book.wrapped if len(cell) > layout.widest else book.text
            shape = book.fills.get(state, plain) if column == layout.coloured else plain
            if page.write_string(number, column, cell[:_EXCEL_CELL], shape) == _NO_SUCH_CELL:
                raise BatchShareError("The results are larger than a worksheet can be: write them as .csv")
        # Its row is on disk, and only there: a million heights would fill the memory.
        page.row_info.pop(number - 1, None)
        page.row_sizes.pop(number - 1, None)
    widths = [width + 2 for width in widths]
    for column, width in enumerate(widths):
        page.set_column(column, column, width)
    if layout.on_paper is not None:
        most = layout.on_paper
        fitting = sum(together <= most for together in accumulate(widths))
        page.print_area(0, 0, max(number, 1), max(fitting, 1) - 1)
    page.autofilter(0, 0, max(number, 1), len(header) - 1)
    return number


CHANGED: Final = "was changed or written by somebody else"
_HELD: Final = "is held open by another program"
_NOW_IN: Final = {
    Output.RESULTS: "the results are in",
    Output.FAILED: "the rows that fail now are in",
    Output.REPORT: "the report is in",
}


@dataclass(frozen=True, slots=True)
class Placed:
    """The `path` where an output is; `remark` is what a person should know of it."""

    path: Path
    remark: str | None = None


async def write_output(
    ledger: LedgerReader, kind: Output, target: Path | Named, write: Write, *, said: str = ""
) -> Placed:
    """Write an output to `target`, or to a numbered name where that is not ours; `said` is what it says, in short.

    Where the last of its kind went is gone on with. A `Named` target is that or nothing: raises SettingsError if it
    is not ours. Raises BatchShareError if it can't be written, LedgerError.
    """
    noted = await ledger.written()
    ours = {each.digest for each in noted}
    if isinstance(target, Named):
        with target.written(ours) as temporary:  # noqa: ASYNC240 - a Named, no Path
            await write(temporary)
            written = Written(Output.NAMED, target.target.name, digest_of(temporary))
            await _note(ledger, written, digest_of(target.target))
        return Placed(target.target)
    last, kept = last_of(noted, kind), None
    with telling_of(target), temporary_for(target) as temporary:
        await write(temporary)
        digest = digest_of(temporary)
        for place in names_for(target, target.with_name(last.name) if last else None):
            if is_in_the_way(place, ours):
                kept = f"{place.name} {CHANGED}"
                continue
            # Before it is there: whatever is cut off then, the file is known as ours.
            await _note(ledger, Written(kind, place.name, digest, said), digest_of(place))
            try:
                temporary.replace(place)
            except PermissionError:
                if not place.is_file():
                    raise
                kept = f"{place.name} {_HELD}"
            else:
                break
    return Placed(place, kept and f"{kept}, so it is kept, and {_NOW_IN[kind]} {place.name}")


def beside(ledger: LedgerName, sheet: SheetRecord) -> Path:
    """Where the sheet of a ledger is, or would be in the ledger's folder if its own is gone.

    Of two sheets the one beside the ledger is meant: they were moved together.
    """
    path = Path(sheet.path)
    there = ledger.beside(path.name)
    return path if path.parent.is_dir() and not there.is_file() else there


async def written_last(ledger: LedgerReader, kind: Output) -> Path | None:
    """The output of a kind that was written last, where it is there still, be it changed."""
    sheet, last = await ledger.sheet(), last_of(await ledger.written(), kind)
    if sheet is None or last is None:
        return None
    place = beside(ledger.name, sheet).with_name(last.name)
    return place if place.is_file() else None


def last_of(noted: Sequence[Written], kind: Output) -> Written | None:
    """The output of a kind that was written last."""
    return next((each for each in reversed(noted) if each.kind == kind), None)


async def _note(ledger: LedgerReader, written: Written, there: str) -> None:
    """Of a ledger that can only be read, the file is not known as ours later on: it is written all the same."""
    try:
        await ledger.note_written(partial(with_written, new=written, there=there))
    except LedgerError:
        if isinstance(ledger, Ledger):
            raise
