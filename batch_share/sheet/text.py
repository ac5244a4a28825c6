"""CSV and its kin: comma, semicolon, tab or bar; in UTF-8, UTF-16, Windows-1252 or what is named.

Read with the csv module, row by row: it alone tells a row with too few cells from one whose last cells are blank,
and a sheet of a million rows needs no more memory than one of ten. The encoding is named by whoever knows, or told
by the file's bytes in an order that never varies: a mark at its beginning; UTF-16 without one; UTF-8. What is
mostly UTF-8 is UTF-8 that was damaged, and all else is Windows-1252. Nothing is guessed from what words look like:
short sheets would be taken for something else than long ones. What the encoding does not have is marked where it
stands, for whoever reads the rows to tell its place.
"""

from __future__ import annotations

import codecs
import csv
import re
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, TextIO

from batch_share.errors import SettingsError, SheetError, check_not_empty
from batch_share.sheet.columns import letters, suggest
from batch_share.sheet.table import RawRow, Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch_share.settings import SheetLimits

MARKING: Final = "batch_share.marking"
"""The error handler that turns each byte which can't be decoded into a lone surrogate: no text has one."""

MARKED: Final = re.compile("[\udc00-\udcff]")

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
        rows = partial(_rows, path, encoding, delimiter, limits)
        divided = [f"cells divided by {name}"] if delimiter != "," else []
        tables.append(Table(None, True, rows, notes + divided))
    return tables


def _rows(path: Path, encoding: Encoding, delimiter: str, limits: SheetLimits) -> Iterator[RawRow]:
    number = 0
    # Twice as long as the longest cell: whether it is too long is for the caller to say, with its row.
    csv.field_size_limit(2 * limits.cell_characters)
    try:
        with path.open(encoding=encoding.codec, errors=MARKING, newline="") as file:
            source = csv.reader(_lines(file), strict=True, delimiter=delimiter)
            for number, cells in enumerate(source, start=1):
                text = "".join(cells)
                if "\0" in text or not (text.isascii() or MARKED.search(text) is None):
                    raise _no_text(path, encoding, number, cells)
                # Our own results may come back as a sheet: without the apostrophes that they have for spreadsheets.
                unguarded = [cell[1:] if cell.startswith("'") and guarded(cell) != cell else cell for cell in cells]
                yield RawRow(number, unguarded)
    except csv.Error as error:
        problem = f"can't be read from here on ({error}): look for a quotation mark that is not closed"
        raise SheetError(path, problem, row=number + 1) from None
    except OSError as error:
        raise SheetError(path, f"can't be read ({error.strerror})") from None


def _lines(file: TextIO) -> Iterator[str]:
    """The file's lines without the mark at its beginning, and without the Ctrl-Z with which DOS ends a text."""
    mark = "\ufeff"
    for line in file:
        if text := line.removeprefix(mark).rstrip("\x1a"):  # what ends with it is the last: no line end follows
            yield text
        mark = ""


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
