"""A sheet as text cells with the sheet's own row numbers, whatever kind of file it is.

A sheet may begin with a title, a date and an empty line before its table does. Nothing is guessed from a cell's
look: `00123`, `1e5`, `NA` and `+91…` arrive as written. A row's number is the one that a spreadsheet shows beside
it: blank rows count, and a cell with line breaks in it is still one row.
"""

from __future__ import annotations

import shlex
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from batch_share.common import ROWS_NAMED, plural, spell_rows
from batch_share.errors import SheetError
from batch_share.outputs import is_spelled, spelled
from batch_share.settings import SheetLimits
from batch_share.sheet.columns import Columns, doubt_of, is_known, letters, match_columns, spell_unread, squeeze
from batch_share.sheet.mapping import Remembered, SheetMapping
from batch_share.sheet.table import OLE_MAGIC, ZIP_MAGIC, archive
from batch_share.sheet.text import check_encoding, text_tables
from batch_share.sheet.workbook import workbook_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from batch_share.sheet.table import RawRow, Table


def likeliest_header(
    rows: Iterable[RawRow], mapping: Mapping[str, str], remembered: Remembered | None = None
) -> RawRow | None:
    """The first of the rows with the most headers that are known; None if all are blank.

    A row with the headers of a sheet that is remembered comes first. Where fewer than two are known, it is the
    first row more than half as wide as the widest, which is no title: its headers are what the error then shows.
    """
    filled = [row for row in rows if not row.is_blank]
    if not filled:
        return None
    if remembered is not None and (as_before := next(filter(lambda row: remembered.of(row.cells), filled), None)):
        return as_before
    known = {squeeze(header) for header in mapping}
    best = max(filled, key=lambda row: (familiarity(row, known), -row.number))
    if familiarity(best, known) > 1:
        return best
    widths = [sum(bool(cell.strip()) for cell in row.cells) for row in filled]
    return next(row for row, width in zip(filled, widths, strict=True) if 2 * width > max(widths))


def familiarity(row: RawRow, known: set[str]) -> int:
    """How many of a row's cells are headers that are known, or of the mapping."""
    return sum(squeeze(cell) in known or is_known(cell) for cell in row.cells if cell.strip())


WORKBOOK_SUFFIXES: Final = frozenset({".xlsx", ".xlsm", ".xls", ".ods"})
PEEK: Final = 50
"""Rows among which a header is looked for: a title page is not longer, and a person sees as many at once."""

FIRST_ROWS: Final = 300
"""Rows that say what a column holds: enough for one whose first cells are blank, and read in no time."""

LEDGER_MAGIC: Final = b"SQLi"
"""How every ledger in a file begins: given in place of its sheet, it is told by that."""

TEXT_SUFFIXES: Final = frozenset({".csv", ".tsv", ".txt"})
SHEET_SUFFIXES: Final = TEXT_SUFFIXES | WORKBOOK_SUFFIXES
"""How the names of files end that are read as sheets, in small letters."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a sheet is to be read: which `worksheet`, which `header_row` (from 1), which column holds what.

    Where the `mapping` says nothing of columns, what lies in `memory` counts: the folder of what was said of sheets
    with the same headers. `encoding` is a text file's, by any name that Python has for it; None: its bytes tell. A
    workbook says its own. Raises SettingsError for one that is none.
    """

    worksheet: str | None = None
    header_row: int | None = None
    mapping: SheetMapping = field(default_factory=SheetMapping)
    limits: SheetLimits = field(default_factory=SheetLimits)
    encoding: str | None = None
    memory: Path | None = None

    def __post_init__(self) -> None:
        if self.encoding is not None:
            check_encoding(self.encoding)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet's header and, on demand, its rows. `rows()` may raise SheetError while it goes.

    `rows()` leaves out what holds no lead: rows with nothing in any column that is read. `found` is where each
    field stands. `notes()` is what a person should know of how the sheet was read, and of what was left out once
    that was to its end, `of_people` what of the columns that name the user, or may be meant to. `worksheets` are
    all that there are to choose from. `mapping` is what was said of the sheet, or of one with the same headers.
    """

    path: Path
    worksheet: str | None
    header_row: int
    columns: Sequence[str]
    found: Columns
    rows: Callable[[], Iterator[RawRow]]
    notes: Callable[[], Sequence[str]]
    of_people: Sequence[str] = ()
    worksheets: Sequence[str] = ()
    mapping: SheetMapping = field(default_factory=SheetMapping)


def read_sheet(path: Path, options: ReadOptions | None = None) -> Sheet:
    """Open a CSV, TSV, .xlsx, .xlsm, .xls or .ods file and find its table. Raises SheetError.

    Of several worksheets the first visible one is taken whose headers say which lead and which user; one of whose
    columns only a person can say whether it is the user's, if no other is left.
    """
    sheet, lacking = open_sheet(path, options or ReadOptions())
    if lacking is not None:
        raise lacking
    return sheet


def open_sheet(path: Path, options: ReadOptions) -> tuple[Sheet, SheetError | None]:
    """The same where it can't be told which column holds what: with none of them read, and why. Raises SheetError.

    Of several worksheets it is then the one that is most like what was looked for.
    """
    check_sheet_file(path)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise SheetError(path, f"can't be read ({error.strerror})") from None
    if size == 0:
        raise SheetError(path, "the file is empty")
    if size > options.limits.file_mb * 1_000_000:
        limit = f"the limit of {options.limits.file_mb} MB (sheet.file_mb)"
        raise SheetError(path, f"{size / 1_000_000:,.0f} MB is over {limit}")
    with closing(_tables(path, options)) as tables:
        return _fitting(path, tables, options)


class _Said(NamedTuple):
    """What was said of a sheet, what a person should know of that, and how large it may be."""

    mapping: SheetMapping
    notes: Sequence[str]
    limits: SheetLimits


def _fitting(path: Path, tables: Iterable[Table], options: ReadOptions) -> tuple[Sheet, SheetError | None]:
    """The first of the tables whose columns are told, else the likeliest."""
    failures: list[tuple[int, Table, Sheet, SheetError]] = []
    remembered = None
    if options.memory is not None and not options.mapping.columns:
        remembered = Remembered.load(options.memory)
    doubtful: Sheet | None = None
    seen: list[Table] = []
    for table in tables:
        seen.append(table)
        header, first_rows = _top(table, options, remembered)
        if header is None:
            continue
        columns = [cell.strip() for cell in _trim(header.cells)]
        before, remark = (remembered.of(columns), remembered.remark) if remembered else (None, "")
        mapping = options.mapping.over(before) if before else options.mapping
        notes = [f"columns as last time: {before.spelled()}"] if before else [*filter(None, [remark])]
        said = _Said(mapping, notes, options.limits)
        try:
            found = match_columns(path, columns, mapping.columns, first_rows)
        except SheetError as unclear:
            error = unclear
            if remark:
                told = f"{unclear.wrong}. And {remark}"
                error = SheetError(path, told, problem=unclear.problem, hint=unclear.hint)
            unread = _sheet(path, table, header, Columns({}, {}), said)
            failures.append((familiarity(header, set()) + len(columns) // 2, table, unread, error))
            continue
        sheet = _sheet(path, table, header, found, said)
        if not found.doubtful:
            return sheet, None
        doubtful = doubtful or sheet
    if doubtful is not None:
        return doubtful, None
    if failures:
        _, table, sheet, lacking = max(failures, key=lambda failure: failure[0])
        for _ in _first(table):
            pass  # a row that can't be read is the reason, whatever the others lack
        return sheet, lacking
    raise _why_none(path, options, seen)


def _why_none(path: Path, options: ReadOptions, seen: Iterable[Table]) -> SheetError:
    """Why no table of a sheet has headers at all."""
    if options.header_row is not None:
        return SheetError(path, "it has no such header row")
    for table in seen:
        if any(row.faults or not row.is_blank for row in table.rows()):  # which raises what was not told yet
            return SheetError(
                path,
                f"its first {PEEK} rows are blank: name that of the headers with --header-row",
                problem=f"The sheet's first {PEEK} rows are blank.",
                hint="Say in which row the headers are.",
            )
    return SheetError(path, "the sheet is empty")


def check_sheet_file(path: Path) -> None:
    """Raises SheetError if there is no such file, or a folder in its place, or if its name can't be kept."""
    if not is_spelled(path):
        raise SheetError(Path(spelled(path.name)), "its name, or that of its folder, is not UTF-8: rename it")
    if path.is_dir():
        watched = f"`batch-share watch {shlex.quote(str(path))}` runs each sheet that is dropped into it"
        raise SheetError(
            path,
            f"a folder, not a sheet: {watched}",
            problem="This is a folder, not a sheet.",
            hint="Choose a sheet in it.",
        )
    if not path.is_file():
        raise SheetError(path, "there is no such file")


def _tables(path: Path, options: ReadOptions) -> Generator[Table]:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        suffix = path.suffix.lower()
        if magic == LEDGER_MAGIC:
            raise SheetError(
                path,
                f"a ledger, not a sheet: `batch-share resume {shlex.quote(str(path))}` resumes it",
                problem="This is a ledger, not a sheet.",
                hint="Resume the run it belongs to, or choose a sheet.",
            )
        if magic in {ZIP_MAGIC, OLE_MAGIC} or suffix in WORKBOOK_SUFFIXES:
            yield from workbook_tables(path, options.worksheet, options.limits)
            return
        if packed := archive(magic):
            raise SheetError(path, packed)
        if suffix not in TEXT_SUFFIXES:
            known = ", ".join(sorted(SHEET_SUFFIXES))
            raise SheetError(path, f"not a kind of sheet that is read here ({known}): save it as one of these")
        if options.worksheet is not None:
            raise SheetError(path, f"a CSV file has no worksheet {options.worksheet!r}")
        yield from text_tables(path, options.limits, options.encoding)
    except OSError as error:
        raise SheetError(path, f"can't be read ({error.strerror})") from None


def _top(table: Table, options: ReadOptions, remembered: Remembered | None) -> tuple[RawRow | None, list[RawRow]]:
    """The headers, None if there are none, and the first rows under them."""
    if options.header_row is None:
        first = [*_readable(_first(table))]
        header = likeliest_header((row for row in first if row.number <= PEEK), options.mapping.columns, remembered)
        return header, [row for row in first if header is not None and row.number > header.number]
    rows = table.rows()
    header = next((row for row in rows if row.number == options.header_row and not row.is_blank), None)
    return header, [*islice(_readable(rows), FIRST_ROWS)]


def _first(table: Table) -> Iterator[RawRow]:
    for row in table.rows():
        if row.number <= FIRST_ROWS:
            yield row
        if row.number >= FIRST_ROWS:
            return


def _readable(rows: Iterator[RawRow]) -> Iterator[RawRow]:
    """The rows up to one that can't be read: whether that matters shows when all are."""
    try:
        yield from rows
    except SheetError:
        return


def _sheet(path: Path, table: Table, header: RawRow, found: Columns, said: _Said) -> Sheet:
    columns, limits = [cell.strip() for cell in _trim(header.cells)], said.limits
    first: list[int] = []  # of the rows that say something to people alone: titles of sections, totals
    without = 0

    def rows() -> Iterator[RawRow]:
        nonlocal first, without
        count, others, first_of, used = 0, 0, list[int](), found.used
        for row in table.rows():
            if row.number <= header.number or (row.is_blank and used.isdisjoint(row.faults)):
                continue
            fitted = _fitted(row, len(columns), ragged=table.ragged)
            read = (at for at in used if at < len(fitted.cells) and fitted.cells[at].strip())
            is_read = not used or not used.isdisjoint(row.faults) or next(read, None) is not None
            # Where cells may be under wrong headers, one alone still holds no lead and its user.
            is_read = is_read or bool(fitted.problem and sum(bool(cell.strip()) for cell in fitted.cells) > 1)
            count += is_read
            if count > limits.rows:
                raise SheetError(path, f"more than {limits.rows:,} rows, the limit (sheet.rows)", row=row.number)
            if len(row.cells) > limits.columns:
                wrong = f"more than {limits.columns:,} columns, the limit (sheet.columns)"
                raise SheetError(path, wrong, row=row.number)
            if (longest := max(map(len, row.cells), default=0)) > limits.cell_characters:
                limit = f"the limit is {limits.cell_characters:,} (sheet.cell_characters)"
                raise SheetError(path, f"a cell of {longest:,} characters; {limit}", row=row.number)
            if is_read:
                yield fitted
                continue
            others += 1
            first_of += [row.number] if others <= ROWS_NAMED else []
        first, without = first_of, others

    def notes() -> Sequence[str]:
        start = [f"headers in row {header.number}"] if header.number > 1 else []
        hold = f"{plural(without, 'row')} {'holds' if without == 1 else 'hold'} no lead, left out"
        empty = [f"{hold}: {spell_rows(first, without)}"] if without else []
        return [*table.notes, *start, *table.late_notes, *empty, *said.notes]

    people = spell_unread(columns, found)
    if found.doubtful:
        words, options = doubt_of(columns, found)
        people.insert(0, f"{words}: read as the user only once you said so, with {options} or when `run` asks")
    return Sheet(
        path, table.worksheet, header.number, columns, found, rows, notes, people, table.worksheets, said.mapping
    )


def _fitted(row: RawRow, width: int, *, ragged: bool) -> RawRow:
    """The row at the header's width. Blank cells past it mean nothing, filled ones mean that something shifted."""
    cells = _trim(row.cells) if len(row.cells) > width else list(row.cells)
    if len(cells) > width:
        shifted = f"{len(cells)} cells for {width} headers"
        if not ragged:
            places = ", ".join(letters(index) for index in range(width, len(cells)) if cells[index].strip())
            shifted = f"column {places} has no header"
        return replace(row, cells=cells, problem=f"{shifted}: something may be under a wrong header")
    if len(cells) < width and ragged:
        problem = f"only {len(cells)} of {width} cells: something may be under a wrong header"
        return replace(row, cells=cells, problem=problem)
    return replace(row, cells=[*cells, *[""] * (width - len(cells))])


def _trim(cells: Sequence[str]) -> list[str]:
    end = len(cells)
    while end and not cells[end - 1].strip():
        end -= 1
    return list(cells[:end])
