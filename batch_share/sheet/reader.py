"""A sheet as text cells with the sheet's own row numbers, whatever kind of file it is.

A sheet may begin with a title, a date and an empty line before its table does. Nothing is guessed from a cell's
look: `00123`, `1e5`, `NA` and `+91…` arrive as written. A row's number is the one that a spreadsheet shows beside
it: blank rows count, and a cell with line breaks in it is still one row.
"""

from __future__ import annotations

import codecs
import csv
import os
import re
import shlex
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from batch_share.common import ROWS_NAMED, Correction, plural, spell_rows
from batch_share.errors import SettingsError, SheetError, check_not_empty, spelled
from batch_share.outputs import is_spelled
from batch_share.settings import SheetLimits
from batch_share.sheet.columns import (
    Columns,
    doubt_of,
    is_known,
    letters,
    map_option,
    match_columns,
    spell_unread,
    squeeze,
    suggest,
)
from batch_share.sheet.mapping import Remembered, SheetMapping
from batch_share.sheet.table import IN_BLOCK, OLE_MAGIC, ZIP_MAGIC, Block, RawRow, Table, archive
from batch_share.sheet.workbook import workbook_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Set


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

    Where the `mapping` says nothing of columns, what lies in `memory` counts: the folder of what was said of
    sheets with the same headers. `encoding` is a text file's, by any name that Python has for it; None: its bytes
    tell. A workbook says its own. What a sheet may hold at most is said by `limits`. Raises SettingsError for one
    that is none.
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
    """A sheet's header and, on demand, its rows. `blocks()` may raise SheetError while it goes.

    It leaves out what holds no lead: rows with nothing in any column that is read. All cells are under headers, but
    for those of rows with a problem. `found` is where each field stands. `notes()` is what a person should know of
    how the sheet was read, and of what was left out once that was to its end, `of_people` what of the columns that
    name the user, or may be meant to. `checks` deserve a second look, each with the option that may be meant, if
    any. `worksheets` are all that there are to choose from. `mapping` is what was said of the sheet, or of one with
    the same headers. `corrections()` are those that its rows were read with, once that was to its end; `corrected`
    is another text for other ones of the page.
    """

    path: Path
    worksheet: str | None
    header_row: int
    columns: Sequence[str]
    found: Columns
    blocks: Callable[[], Iterator[Block]]
    notes: Callable[[], Sequence[str]]
    of_people: Sequence[str] = ()
    checks: Mapping[str, str] = field(default_factory=dict)
    worksheets: Sequence[str] = ()
    mapping: SheetMapping = field(default_factory=SheetMapping)
    corrections: Callable[[], Sequence[Correction]] = tuple
    corrected: str = ""

    def rows(self) -> Iterator[RawRow]:
        """Row by row."""
        for block in self.blocks():
            yield from block.rows()


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
    """Raises SheetError for what is no file, as a folder or a stream, and for a name that can't be kept."""
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
        is_stream = path.exists() or str(path) == "-"
        raise SheetError(path, "a stream: save it to a file first" if is_stream else "there is no such file")


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
    first: list[int] = []
    without = 0

    def blocks() -> Iterator[Block]:
        nonlocal first, without
        below = _Below(path, table, header.number, len(columns), found.used, limits)
        yield from below.blocks()
        first, without = below.first, below.others

    def notes() -> Sequence[str]:
        start = [f"headers in row {header.number}"] if header.number > 1 else []
        hold = f"{plural(without, 'row')} {'holds' if without == 1 else 'hold'} no lead, left out"
        empty = [f"{hold}: {spell_rows(first, without)}"] if without else []
        return [*table.notes, *start, *table.late_notes, *empty, *said.notes]

    people = spell_unread(columns, found)
    if found.doubtful:
        words, options = doubt_of(columns, found)
        people.insert(0, f"{words}: read as the user only once you said so, with {options} or when `run` asks")
    checks = {
        f"column {columns[at]!r} holds dates and is not read": map_option(columns[at], meant) if meant else ""
        for at, meant in found.dated.items()
    }
    return Sheet(
        path,
        table.worksheet,
        header.number,
        columns,
        found,
        blocks,
        notes,
        people,
        checks,
        table.worksheets,
        said.mapping,
    )


class _Below:
    """Reads what stands below the headers of a table, once.

    `first` are the first of the `others`: rows that say something to people alone, such as titles and totals.
    """

    def __init__(
        self, path: Path, table: Table, header: int, width: int, used: Set[int], limits: SheetLimits
    ) -> None:
        self._path, self._table, self._header, self._width = path, table, header, width
        self._used, self._limits = used, limits
        self._count = self.others = 0
        self.first: list[int] = []

    def blocks(self) -> Iterator[Block]:
        for block in self._table.blocks():
            suspects, last, error = sorted(self._suspects(block)), 0, None
            numbers: list[int] = []
            cells: list[Sequence[str]] = []
            odd: dict[int, RawRow] = {}
            for at in suspects:
                numbers += block.numbers[last:at]
                cells += block.cells[last:at]
                self._count += at - last
                last = at + 1
                try:
                    row = self._fit(block.row(at))
                except SheetError as raised:
                    error = raised
                    break
                if row is not None:
                    if row.problem or row.faults:
                        odd[len(cells)] = row
                    numbers.append(row.number)
                    cells.append(row.cells)
            if error is None:
                numbers += block.numbers[last:]
                cells += block.cells[last:]
                self._count += len(block.cells) - last
            if cells:
                yield Block(numbers, cells, odd) if suspects else block
            if error is not None:
                raise error

    def _suspects(self, block: Block) -> set[int]:
        """The places of rows that may not be read as they are: all others are as wide as the headers."""
        limits, count = self._limits, len(block.cells)
        if self._count + count > limits.rows or self._width > limits.columns:
            return {*range(count)}
        if max(map(len, map("".join, block.cells)), default=0) > limits.cell_characters:
            return {*range(count)}
        found = {*block.odd}
        if count and block.numbers[0] <= self._header:
            found |= {at for at, number in enumerate(block.numbers) if number <= self._header}
        if {*map(len, block.cells)} != {self._width}:
            found |= {at for at, cells in enumerate(block.cells) if len(cells) != self._width}
        others = [cells for at, cells in enumerate(block.cells) if at not in found] if found else block.cells
        if not any(all(map(str.strip, map(itemgetter(at), others))) for at in self._used):  # else each is read
            places = (at for at in range(count) if at not in found)
            found |= {at for at in places if not any(block.cells[at][each].strip() for each in self._used)}
        return found

    def _fit(self, row: RawRow) -> RawRow | None:
        """The row as it is read, None where that is nothing. Raises SheetError for what is over the limits."""
        used, limits = self._used, self._limits
        if row.number <= self._header or (row.is_blank and used.isdisjoint(row.faults)):
            return None
        fitted = _fitted(row, self._width, ragged=self._table.ragged)
        read = (at for at in used if at < len(fitted.cells) and fitted.cells[at].strip())
        is_read = not used or not used.isdisjoint(row.faults) or next(read, None) is not None
        # Where cells may be under wrong headers, one alone still holds no lead and its user.
        is_read = is_read or bool(fitted.problem and sum(bool(cell.strip()) for cell in fitted.cells) > 1)
        self._count += is_read
        if self._count > limits.rows:
            raise SheetError(self._path, f"more than {limits.rows:,} rows, the limit (sheet.rows)", row=row.number)
        if len(row.cells) > limits.columns:
            wrong = f"more than {limits.columns:,} columns, the limit (sheet.columns)"
            raise SheetError(self._path, wrong, row=row.number)
        if (longest := max(map(len, row.cells), default=0)) > limits.cell_characters:
            limit = f"the limit is {limits.cell_characters:,} (sheet.cell_characters)"
            raise SheetError(self._path, f"a cell of {longest:,} characters; {limit}", row=row.number)
        if is_read:
            return fitted
        self.others += 1
        self.first += [row.number] if self.others <= ROWS_NAMED else []
        return None


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


# ----------------------------------------------------------------------------------------------- text files

# CSV and its kin: comma, semicolon, tab or bar; in UTF-8, UTF-16, Windows-1252 or what is named.
#
# Read with the csv module, row by row: it alone tells a row with too few cells from one whose last cells are
# blank, and a sheet of a million rows needs no more memory than one of ten. The encoding is named by whoever
# knows, or told by the file's bytes in an order that never varies: a mark at its beginning; UTF-16 without one;
# UTF-8. What is mostly UTF-8 is UTF-8 that was damaged, and all else is Windows-1252. Nothing is guessed from
# what words look like: short sheets would be taken for something else than long ones. What the encoding does
# not have is marked where it stands, for whoever reads the rows to tell its place.

MARKING: Final = "batch_share.marking"
"""The error handler that turns each byte which can't be decoded into a lone surrogate: no text has one."""

MARKED: Final = re.compile("[\udc00-\udcff]")
_HELD_BY_NO_TEXT: Final = re.compile("[\0\udc00-\udcff]")

_STEP: Final = 1 << 20
"""Bytes that are decoded at a time: fast, and little memory."""

_SAMPLE: Final = 1 << 18
"""Bytes that tell UTF-16: enough for a long title in another alphabet, and read in no time."""

_UNDEFINED: Final = bytes([0x81, 0x8D, 0x8F, 0x90, 0x9D])
"""The bytes that Windows-1252 has no letter for."""

# Letters of the alphabets that people write, as UTF-8 has them. In Windows-1252 the same bytes are a capital that
# few words end with, and then a symbol; what many words do end with (ß, É, Ö and a quotation mark) is not in it.
_LIKELY: Final = re.compile("[\u0080-\u017f\u0380-\u047f\u05c0-\u067f\u0800-\ufffc\U00010000-\U0010ffff]")

# Half of the bytes of Latin letters in UTF-16; fewer where other alphabets stand beside numbers and addresses.
_LEAST_ZEROS: Final = 0.2

_WORD: Final = re.compile(r'[^\s,;|"]*[^\x00-\x7f][^\s,;|"]*')
_WORDS: Final = 3  # as many as a person looks at, and enough to see that the encoding is wrong
_LINES: Final = 1000
"""Of a sample: in a sheet where it is always the same word, no more are looked through."""

_WIDEST: Final = 4
"""Bytes of a character in the widest encoding."""

_LONGEST_WORD: Final = 30  # three of them are a line of a terminal

_KNOWN: Final = (
    "utf-8", "utf-16", "windows-1250", "windows-1251", "windows-1252", "windows-1253", "windows-1254",
    "windows-1255", "windows-1256", "windows-1257", "windows-1258", "iso-8859-1", "iso-8859-2", "iso-8859-5",
    "iso-8859-7", "iso-8859-9", "iso-8859-15", "cp437", "cp850", "cp852", "cp866", "mac-roman", "koi8-r",
    "shift_jis", "euc-jp", "gb18030", "big5", "euc-kr",
)  # fmt: skip
"""What is proposed for a name that is none; any other that Python has a codec for is taken too."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """The `codec` to decode with, what people call it, and whether somebody has named it."""

    codec: str
    name: str
    is_named: bool = False


UTF_8: Final = Encoding("utf-8", "UTF-8")
WINDOWS_1252: Final = Encoding("cp1252", "Windows-1252")

_MARKS: Final = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, Encoding("utf-32", "UTF-32")),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, Encoding("utf-32", "UTF-32")),
    (codecs.BOM_UTF16_LE, Encoding("utf-16", "UTF-16")),
    (codecs.BOM_UTF16_BE, Encoding("utf-16", "UTF-16")),
)


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # noqa: S101 - for the type checker: nothing is encoded with it
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(MARKING, _mark)


def check_encoding(name: str) -> None:
    """Raises SettingsError for what is no name of an encoding, or of one that text can't be read in."""
    check_not_empty("encoding", name)
    try:
        b"a".decode(name, MARKING)
    except (LookupError, ValueError):
        close = suggest(name, _KNOWN) or " Write a name such as windows-1250, windows-1251 or shift_jis."
        raise SettingsError("encoding", f"{name!r} is no encoding of text that is known here.{close}") from None


def find_encoding(path: Path, named: str | None) -> Encoding:
    """The encoding that was named, else the one that the bytes tell. Raises SheetError for what is no text."""
    if named is not None:
        return Encoding(codecs.lookup(named).name, named, is_named=True)
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    # UTF-16 has a zero beside each ASCII letter, always on the same side.
    before, after = head[0::2].count(0), head[1::2].count(0)
    fewer, more = sorted((before, after))
    if more and more >= _LEAST_ZEROS * (len(head) // 2) and fewer <= more / 10:
        return Encoding("utf-16-be" if before > after else "utf-16-le", "UTF-16")
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        try:
            while chunk := file.read(_STEP):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return _utf_8_or_1252(path)
    return UTF_8


def sample(path: Path, encoding: Encoding) -> list[str]:
    """The first words that are not ASCII, as they are read."""
    words: dict[str, None] = {}
    with path.open(encoding=encoding.codec, errors=MARKING, newline="") as file:
        for line in islice((line for line in file if not line.isascii()), _LINES):
            found = [word for word in _WORD.findall(line.removeprefix("\ufeff")) if word.isprintable()]
            words |= dict.fromkeys(
                word if len(word) <= _LONGEST_WORD else f"{word[: _LONGEST_WORD - 1]}…" for word in found
            )
            if len(words) >= _WORDS:
                break
    return [*words][:_WORDS]


def _utf_8_or_1252(path: Path) -> Encoding:
    """Damaged UTF-8, if no more is wrong in it than there are letters; else Windows-1252. Raises SheetError."""
    letters = wrong = zeros = undefined = 0
    with path.open("rb") as file:
        while chunk := file.read(_STEP) + file.readline():  # to a line's end: no letter is cut
            text = chunk.decode("utf-8", "replace")
            letters += len(_LIKELY.findall(text))
            wrong += text.count("\ufffd") - chunk.count("\ufffd".encode())  # some sheets hold the very mark
            zeros, undefined = zeros + chunk.count(0), undefined + sum(map(chunk.count, _UNDEFINED))
    if letters >= wrong:
        return UTF_8
    if zeros and undefined:
        raise SheetError(path, "not a text file: save the sheet as “CSV UTF-8”, or as a workbook")
    return WINDOWS_1252


DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""What may stand between two cells, the likeliest first."""

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What makes a spreadsheet take a cell's text for a formula, the full-width forms too."""

# Some programs drop blanks, quotation marks and what nobody sees before they look at a cell's first character.
_UNSEEN: Final = r"['\"\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]*"
_FORMULA: Final = re.compile(_UNSEEN + f"[{re.escape(''.join(FORMULA_STARTS))}]")


def text_tables(path: Path, limits: SheetLimits, named: str | None = None) -> list[Table]:
    """The ways to read a text file, one for each delimiter; `named` is its encoding, if somebody said.

    How it was read is told with a sample of it where nothing in the file says so itself. Raises SheetError for what
    is no text.
    """
    encoding = find_encoding(path, named)
    notes = [f"{encoding.name} text"] if encoding != UTF_8 else []
    if encoding.is_named or encoding == WINDOWS_1252:
        words = ", ".join(f"“{word}”" for word in sample(path, encoding))
        notes = [f"read as {encoding.name}{': ' if words else ''}{words}"]
    tables = []
    for delimiter, name in DELIMITERS.items():
        blocks = partial(_blocks, path, encoding, delimiter, limits)
        divided = [f"cells divided by {name}"] if delimiter != "," else []
        tables.append(Table(None, True, blocks, notes + divided))
    return tables


def _blocks(path: Path, encoding: Encoding, delimiter: str, limits: SheetLimits) -> Iterator[Block]:
    number = 0
    # Twice as long as the longest cell: whether it is too long is for the caller to say, with its row.
    csv.field_size_limit(2 * limits.cell_characters)
    try:
        with path.open("rb") as end:
            end.seek(-min(_WIDEST, path.stat().st_size), os.SEEK_END)
            ends_as_in_dos = b"\x1a" in end.read()
        with path.open(encoding=encoding.codec, errors=MARKING, newline="") as file:
            if file.read(1) != "\ufeff":  # the mark at its beginning
                file.seek(0)
            # DOS ends a text with Ctrl-Z: what ends with it is the last line, and no line end follows.
            lines = (line.rstrip("\x1a") for line in file) if ends_as_in_dos else file
            source = csv.reader(filter(None, lines), strict=True, delimiter=delimiter)
            broken: csv.Error | None = None
            while broken is None:
                block: list[list[str]] = []
                try:
                    block.extend(islice(source, IN_BLOCK))  # which keeps what came before an error
                except csv.Error as error:
                    broken = error
                if not block:
                    break
                numbers = range(number + 1, number + 1 + len(block))
                text = "\n".join(map("\n".join, ([""], *block)))
                if "\0" in text or not (text.isascii() or MARKED.search(text) is None):
                    wrong = next(at for at, cells in enumerate(block) if _HELD_BY_NO_TEXT.search("".join(cells)))
                    yield Block(numbers[:wrong], block[:wrong])
                    raise _no_text(path, encoding, numbers[wrong], block[wrong])
                if "\n'" in text:
                    # Our own results may come back: without the apostrophes that they have for spreadsheets.
                    for cells in block:
                        for at, cell in enumerate(cells):
                            if cell.startswith("'") and guarded(cell) != cell:
                                cells[at] = cell[1:]
                yield Block(numbers, block)
                number += len(block)
            if broken is not None:
                problem = f"can't be read from here on ({broken}): look for a quotation mark that is not closed"
                raise SheetError(path, problem, row=number + 1)
    except OSError as error:
        raise SheetError(path, f"can't be read ({error.strerror})") from None


def _no_text(path: Path, encoding: Encoding, number: int, cells: list[str]) -> SheetError:
    """A byte of no text, with its place, and what to do."""
    index, cell = next((index, cell) for index, cell in enumerate(cells) if MARKED.search(cell) or "\0" in cell)
    byte = MARKED.search(cell)
    if byte is None:
        held = "a NUL byte, which no text has: remove it, or export the sheet again"
        return SheetError(path, f"column {letters(index)} holds {held}", row=number)
    if encoding.is_named:
        what = f"no {encoding.name}: look whether --encoding says the right one, or save the sheet as “CSV UTF-8”"
    elif encoding == UTF_8:
        what = (
            "no UTF-8, as the rest of the sheet is: fix that cell and save the sheet as “CSV UTF-8”, or say which "
            "encoding it is in with --encoding"
        )
    elif encoding == WINDOWS_1252:
        what = (
            "neither UTF-8 nor Windows-1252: say which encoding the sheet is in with --encoding, such as "
            "windows-1250, windows-1251 or shift_jis, or save it as “CSV UTF-8”"
        )
    else:
        what = f"no {encoding.name}: save the sheet as “CSV UTF-8”"
    held = f"a byte (0x{ord(byte[0]) - 0xDC00:02X}) that is {what}"
    return SheetError(path, f"column {letters(index)} holds {held}", row=number)


def guarded(cell: str) -> str:
    """The cell as it stands in our own CSV files: with an apostrophe where a spreadsheet would see a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell
