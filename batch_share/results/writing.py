"""Writing results: CSV that no spreadsheet program finds a formula in, and workbooks, and where they may go.

In a workbook numbers and dates are such, and every text stays text; rows go to disk as they come, and all prints
well. What is made of a ledger is noted there as the ledger's own.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
import string
import tempfile
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from xml.sax.saxutils import escape

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
from batch_share.sheet.columns import letters
from batch_share.sheet.reader import guarded
from batch_share.sheet.table import cell_text
from batch_share.sheet.workbook import NO_LOOK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import SheetRecord
    from batch_share.sheet.workbook import Look

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
_A4: Final = 9
_OPTIONS: Final = {
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "constant_memory": True,
}
_AS_TEXT: Final = {"num_format": "@", "quote_prefix": True, "valign": "top"}
"""quote_prefix: the text stays text even after somebody edits the cell."""


class Line(NamedTuple):
    """A row of a table: its cells, and by column (from 0) what is `wrong` with one, in a sentence."""

    state: State
    cells: Sequence[str]
    wrong: Mapping[int, str] = {}


_PLAIN_STARTS: Final = frozenset({"", *string.ascii_letters, *string.digits})
"""How nearly every cell begins, which `guarded` leaves as it is: asked so, it takes a quarter of the time."""


async def write_csv(file: Path, header: Sequence[str], lines: AsyncIterator[Line]) -> None:
    """Write a table as CSV that no spreadsheet program finds a formula in."""
    with file.open("w", encoding="utf-8", newline="") as out:
        out.write("\ufeff")  # by which Excel sees UTF-8; the encoding "utf-8-sig" is several times as slow
        # All quoted: LibreOffice divides at semicolons and tabs too, and finds formulas in the middle of a text.
        writer = csv.writer(out, quoting=csv.QUOTE_ALL)
        writer.writerow([guarded(cell) for cell in header])
        async for line in lines:
            writer.writerow([cell if cell[:1] in _PLAIN_STARTS else guarded(cell) for cell in line.cells])


def check_format(target: Path) -> None:
    """Raises BatchShareError for a name that is neither of a CSV file nor of a workbook."""
    if target.suffix.lower() not in {".csv", ".xlsx"}:
        raise BatchShareError(f"Results are written as .csv or .xlsx, not as {target.name}")


class Book:
    """A workbook that is being written, and the shapes of its cells."""

    def __init__(self, book: Any) -> None:
        self._book = book
        self._shapes: dict[tuple[tuple[str, Any], ...], Any] = {}
        self.text = self.shape()
        self.wrapped = self.shape(text_wrap=True)
        self.head = self.shape(bold=True, bg_color="#1F3864", font_color="white")
        self.aside = self.shape(bold=True, bg_color="#8497B0", font_color="white")
        self.number = self.shape(num_format="#,##0", quote_prefix=False)
        self.fills = {state: self.shape(bg_color=colour, text_wrap=True) for state, colour in COLOURS.items()}

    def shape(self, **layout: Any) -> Any:
        """A shape of cells, which hold text if it says nothing else."""
        key = tuple(layout.items())
        if key not in self._shapes:
            self._shapes[key] = self._book.add_format(_AS_TEXT | layout)
        return self._shapes[key]

    def index(self, shape: Mapping[str, Any]) -> int:
        """The number of a shape in the file."""
        return int(self.shape(**shape)._get_xf_index())  # noqa: SLF001 - nothing else tells it

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
class Column:
    """How the cells of a column are written: numbers and dates as such, in its formats, unless it `is_text`.

    A column that `takes_dates` has the format of one in all its cells, so that what is typed there is a date. None:
    the format that nobody misreads, the width that its texts need.
    """

    is_text: bool = False
    takes_dates: bool = False
    number: str | int | None = None
    date: str | int | None = None
    width: float | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table looks: the column `coloured` (from 0) shows each row's state, `ours` are the columns we added.

    The first ones are written as the `columns` say; if it `is_exact`, whatever would be read back as another text
    stays text. Its title is that of the `above`.
    No column is wider than `widest` characters: a longer text takes several lines. On paper there are only as many
    columns, from the left, as have `on_paper` characters together; None: all.
    """

    coloured: int
    ours: range = range(0)
    columns: Sequence[Column] = ()
    is_exact: bool = False
    above: Look = NO_LOOK
    widest: int = WIDEST
    on_paper: int | None = None


_PLAIN: Final = Column()
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_NO_NUMBER: Final = re.compile(r"[0-9.,:/ +-]*[0-9][0-9.,:/ +-]*(?:[eE][0-9]+)?")
"""What looks like a number or a date to a spreadsheet program, which would change it: 007, 20 digits, 1e5."""

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?: [0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?")
_FIRST_DAY: Final = dt.datetime(1900, 3, 1)  # noqa: DTZ001 - as a cell has it; before it Excel counts a day too many
_DIGITS: Final = 15  # that Excel keeps of a number
_SHOWN: Final = 11  # of a whole number before Excel writes it with an exponent
_LETTERS: Final = frozenset(string.ascii_letters)
_A_TEXT: Final = re.compile(r"[0-9]+[A-DF-Za-df-z]")
"""How a text that begins with digits and is no number goes on: an Id does, and 1e5 does not."""

_WHOLE: Final = re.compile(r"0|[1-9][0-9]*")
_ODD: Final = re.compile(r"[&<>\x00-\x1f\ufffe\uffff]|_x[0-9a-fA-F]{4}_|^\s|\s$")
"""What can't stand in a workbook's XML as it is."""

_UNWRITABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]")
_MEANT: Final = re.compile(r"_x[0-9a-fA-F]{4}_")
"""What a spreadsheet program would take for one of these."""

_DAY_0: Final = dt.datetime(1899, 12, 30)  # noqa: DTZ001 - from which the days of a cell are counted
_WRONG: Final = "#FFC7CE"
_MOST_NOTES: Final = 5000  # all of them wait in the memory; the reason stands in its own column too


def _as_cell(text: str, column: Column, layout: Layout) -> tuple[str | float | dt.datetime, dict[str, Any], float]:
    """What a text is written as: a number, a date or itself; its shape, and how many characters it takes."""
    value: float | dt.datetime | None = None
    if not column.is_text and _NUMBER.fullmatch(text) and sum(map(str.isdigit, text)) <= _DIGITS:
        value = float(text)
    elif not column.is_text and _DATE.fullmatch(text):
        with suppress(ValueError):
            moment = dt.datetime.fromisoformat(text)
            value = moment if moment >= _FIRST_DAY else None
    if layout.is_exact and value is not None and cell_text(value) != text:
        value = None
    room: float = min(len(text), layout.widest)
    if isinstance(value, dt.datetime):
        form = column.date or ("yyyy-mm-dd hh:mm" if value.time() != dt.time() else "yyyy-mm-dd")
        room = max(room, len(form) if isinstance(form, str) else 0)
        return value, {"num_format": form, "quote_prefix": False, "align": "left"}, room
    if value is not None:
        form = column.number or ("0" if len(text) > _SHOWN and "." not in text else "General")
        room += 1 if form in {"0", "General"} else 7  # for a currency and what divides thousands
        return value, {"num_format": form, "quote_prefix": False, "align": "right", "indent": 1}, room
    form, is_kept = column.number or "General", False
    if column.takes_dates:
        form = column.date or "yyyy-mm-dd"
    if column.is_text or guarded(text) != text or (not column.takes_dates and _NO_NUMBER.fullmatch(text)):
        form, is_kept = "@", True
    length = len(text)
    wrap = {"text_wrap": True} if length > layout.widest else {}
    if length > _EXCEL_CELL // 2:  # which counts the two halves of an emoji
        text = text.encode("utf-16-le")[: 2 * _EXCEL_CELL].decode("utf-16-le", "ignore")
    return text, {"num_format": form, "quote_prefix": is_kept, **wrap}, room


class _Lines:
    """The lines of a table below its header, and how many characters each of its columns takes.

    As what they are in the file: cell by cell, by the library's own way, it takes four times as long.
    """

    def __init__(
        self, book: Book, page: Any, layout: Layout, columns: Sequence[Column], widths: list[float]
    ) -> None:
        self.widths = widths
        self._book, self._page, self._layout, self._columns = book, page, layout, columns
        self._names = [letters(at) for at in range(len(columns))]
        as_text = [book.index(_as_cell("A", column, layout)[1]) for column in columns]
        self._blanks = [f'" s="{index}"/>' for index in as_text]
        self._texts = [f'" s="{index}" t="inlineStr"><is>' for index in as_text]
        self._numbers: list[
            tuple[str, float] | None
        ] = []  # in front of a short one, and what it needs beside itself
        for column in columns:
            _, shape, room = _as_cell("1", column, layout)
            is_kept = column.is_text or layout.is_exact
            self._numbers.append(None if is_kept else (f'" s="{book.index(shape)}"><v>', room - 1))

    def put(self, at: int, line: Line) -> None:
        """Write a line as the one `at` that place, from 0. Raises BatchShareError past the end of the worksheet."""
        if at >= self._page.xls_rowmax or len(line.cells) > self._page.xls_colmax:
            raise BatchShareError("The results are larger than a worksheet can be: write them as .csv")
        state, texts, wrong = line
        layout, columns, widths, number, longest = self._layout, self._columns, self.widths, f"{at + 1}", 1
        parts = [""]
        for place, text in enumerate(texts):
            name, length, colour = self._names[place], len(text), None
            longest = max(longest, length)
            if place == layout.coloured and state in COLOURS:
                colour = {"bg_color": COLOURS[state], "text_wrap": True}
            elif place in wrong:
                colour = {"bg_color": _WRONG}
            room, is_text = float(length), columns[place].is_text or text[:1] in _LETTERS or _A_TEXT.match(text)
            # Nearly every cell is blank, a text or a short number, and has not to be looked at any more.
            if colour is None and not length:
                head, content = self._blanks[place], ""
            elif colour is None and is_text and length <= layout.widest:
                head = self._texts[place]
                content = f"{_as_xml(text) if _ODD.search(text) else f'<t>{text}</t>'}</is></c>"
            elif colour is None and (given := self._numbers[place]) and length <= _SHOWN and _WHOLE.fullmatch(text):
                head, content = given[0], f"{text}</v></c>"
                room += given[1]
            else:
                value, shape, room = _as_cell(text, columns[place], layout)
                head, content = f'" s="{self._book.index(shape | (colour or {}))}"', _content(value)
            parts += ('<c r="', name, number, head, content)
            widths[place] = max(widths[place], room)
        high = -(-longest // layout.widest)  # LibreOffice makes no room for wrapped text by itself
        height = f' ht="{_LINE_POINTS * min(high, _MOST_LINES):g}" customHeight="1"' if high > 1 else ""
        parts[0] = f'<row r="{number}"{height}>'
        self._page.fh.write("".join((*parts, "</row>")))


def _as_xml(text: str) -> str:
    """A text that is not plain, as workbooks have it: with what can't stand in XML as `_x0007_`."""
    text = _UNWRITABLE.sub(lambda found: f"_x{ord(found[0]):04X}_", _MEANT.sub(r"_x005F\g<0>", text))
    space = ' xml:space="preserve"' if text != text.strip() else ""
    return f"<t{space}>{escape(text)}</t>"


def _content(value: str | float | dt.datetime) -> str:
    """What stands in a cell, after its attributes."""
    if isinstance(value, dt.datetime):
        value = (value - _DAY_0) / dt.timedelta(days=1)
    if isinstance(value, float):
        return f"><v>{value:.16G}</v></c>"
    return f' t="inlineStr"><is>{_as_xml(value)}</is></c>' if value else "/>"


async def fill(book: Book, page: Any, header: Sequence[str], lines: AsyncIterator[Line], layout: Layout) -> None:
    """Write a table from the top of `page`: title, header, filters, widths. Raises BatchShareError."""
    above, columns = layout.above, [*layout.columns, *[_PLAIN] * (len(header) - len(layout.columns))]
    heights: dict[int, float] = {}
    for row, at, text, form, style in above.title:
        value, shape, _ = _as_cell(text, Column(number=form, date=form), layout)
        heights[row] = max(heights.get(row, _LINE_POINTS), 1.4 * style.get("font_size", 0))
        page.set_row(row, heights[row])
        page.write(row, at, value, book.shape(**{**shape, "indent": 0, **style}))
    page.merge.extend(map(list, above.merged))  # its own way writes the cells anew, and rows that come later
    first = number = above.rows_above
    page.freeze_panes(first + 1, 0)
    page.hide_gridlines(0)  # on paper too: rows of several lines are told apart by them
    page.repeat_rows(first)
    page.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})  # as it should be: no mark in every cell
    for at, name in enumerate(header):
        shape = book.head if at in layout.ours or not layout.ours else book.aside
        page.write_string(first, at, name, shape)
    page._write_single_row(first + 1)  # noqa: SLF001 - what comes then is ours, and goes to disk by itself
    written = _Lines(book, page, layout, columns, [len(name) for name in header])
    notes: list[tuple[int, int, str]] = []
    async for line in lines:
        number += 1
        written.put(number, line)
        notes += [(number, at, what) for at, what in line.wrong.items() if len(notes) < _MOST_NOTES]
    for row, at, what in notes:  # only now: were there no more lines, by an error, it would look for theirs
        page.write_comment(row, at, what, {"author": "batch_share", "x_scale": 2})
    page.previous_row, page.dim_rowmax = number + 1, number
    widths = [column.width or width + 2 for column, width in zip(columns, written.widths, strict=True)]
    for at, width in enumerate(widths):
        page.set_column(at, at, width)
    last = max(number, first + 1)
    if layout.on_paper is not None:
        most = layout.on_paper
        fitting = sum(together <= most for together in accumulate(widths))
        page.print_area(0, 0, last, max(fitting, 1) - 1)
    page.autofilter(first, 0, last, len(header) - 1)


CHANGED: Final = "is not what this ledger wrote"
"""Of a file that was changed since, that is another ledger's, or somebody's own."""

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

    Of two sheets the one beside the ledger is meant: they were moved together. Of a ledger in a store, whose sheet
    is on another machine, in the current folder.
    """
    path = Path(sheet.path)
    there = ledger.beside(path.name)
    return path if path.parent.is_dir() and (ledger.in_store or not there.is_file()) else there


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
