"""Refusing a hostile file before anything parses it; and what a file is by its first bytes, whatever its name says.

A sheet comes from anybody. A few kilobytes can unpack to gigabytes, and an XML file can name entities and files of
its own; so size, compression and prologue are looked at first, and every limit is a setting.
"""

from __future__ import annotations

import codecs
import re
import zipfile
from typing import TYPE_CHECKING, Final
from xml.parsers import expat

from batch_share.errors import SheetError
from batch_share.sheet.table import DAMAGED, PROTECTED, SAVE_AS

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

    from batch_share.settings import SheetLimits

ZIP_MAGIC: Final = b"PK\x03\x04"
OLE_MAGIC: Final = b"\xd0\xcf\x11\xe0"
BARE_XLS: Final = tuple(b"\x09%c" % version for version in (0, 2, 4, 8))
"""How an .xls begins that is in no container, as those of Excel 4 and older: with the version of its records."""

HEAD: Final = 4096
"""So many bytes tell it."""

_ARCHIVES: Final = {ZIP_MAGIC: "zip", b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7-Zip", b"Rar!": "RAR"}
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WEB_PAGE: Final = re.compile(r"\Amime-version:|<!doctype html|<(?:html|head|body|table)\b")
_BINARY: Final = re.compile(r"[\x00-\x08\x0e-\x19\x1c-\x1f]")


def archive(head: bytes) -> str | None:
    """What a file is, and what to do about it, if it is an archive. Workbooks may be zip archives, too."""
    kind = next((kind for magic, kind in _ARCHIVES.items() if head.startswith(magic)), None)
    return kind and f"a {kind} archive, not a sheet: unpack it"


def no_workbook(head: bytes) -> str:
    """What a file is, and what to do about it, that is called a workbook and is none."""
    if packed := archive(head):
        return packed
    text = head.decode("utf-16" if head.startswith(_UTF_16) else "latin-1", errors="ignore")
    text = text.removeprefix(codecs.BOM_UTF8.decode("latin-1")).lstrip().lower()
    if _BINARY.search(text) or not text:
        return DAMAGED
    if _WEB_PAGE.search(text):
        return f"a web page, not a workbook: {SAVE_AS}"
    if text.startswith("<"):
        return f"XML, not a workbook: {SAVE_AS}"
    return "text, not a workbook: give it a name that ends in .csv"


_MEGABYTE: Final = 1_000_000
_PROLOGUE_STEP: Final = 4096
_EXTENT_STEP: Final = 1 << 20
_TAG: Final = 4096
_ENCRYPTED: Final = 1

# The parser takes memory for every cell of the rectangle around the filled ones, 32 bytes each, and where it gets
# none the process ends.
AREA: Final = 30_000_000
TOO_FAR: Final = "a filled cell stands far away from the others: delete all rows and columns between"

# A cell with something in it: one that has only a format closes itself. Bounded, so that no XML makes it slow.
_CELL: Final = re.compile(
    rb"<(?:\w{1,20}:)?c\s(?:[^<>]{0,400}?\s)?r\s{0,9}=\s{0,9}[\"']([A-Za-z]{1,9})(\d{1,20})[\"'][^<>]{0,400}(?<!/)>"
)


def check_file(path: Path, limits: SheetLimits) -> None:
    """Refuse a file that is too large. Raises SheetError."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise SheetError(path, f"can't be read ({error.strerror})") from None
    if size == 0:
        raise SheetError(path, "the file is empty")
    if size > limits.file_mb * _MEGABYTE:
        limit = f"the limit of {limits.file_mb} MB (sheet.file_mb)"
        raise SheetError(path, f"{size / _MEGABYTE:,.0f} MB is over {limit}")


def check_package(path: Path, limits: SheetLimits) -> None:
    """Refuse a zipped workbook that unpacks to too much, or whose XML brings a DTD. Raises SheetError."""
    try:
        with zipfile.ZipFile(path) as package:
            if any(entry.flag_bits & _ENCRYPTED for entry in package.infolist()):
                raise SheetError(path, PROTECTED)
            _check_sizes(path, package.infolist(), limits)
            for entry in package.infolist():
                if entry.filename.lower().endswith((".xml", ".rels")):
                    with package.open(entry) as part:
                        _check_prologue(path, part)
                    with package.open(entry) as part:
                        _check_extent(path, part)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zipfile.zlib.error):  # type: ignore[attr-defined]
        raise SheetError(path, DAMAGED) from None


def _check_sizes(path: Path, entries: list[zipfile.ZipInfo], limits: SheetLimits) -> None:
    if len(entries) > limits.entries:
        limit = f"the limit is {limits.entries:,} (sheet.entries)"
        raise SheetError(path, f"{len(entries):,} parts in the workbook; {limit}")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > limits.unpacked_mb * _MEGABYTE:
        size = f"{unpacked / _MEGABYTE:,.0f} MB"
        raise SheetError(path, f"it unpacks to {size}; the limit is {limits.unpacked_mb} MB (sheet.unpacked_mb)")
    worst = max((entry.file_size / max(entry.compress_size, 1) for entry in entries), default=0.0)
    if worst > limits.ratio and unpacked > _MEGABYTE:
        raise SheetError(
            path, f"a part unpacks to {worst:,.0f} times its size; the limit is {limits.ratio} (sheet.ratio)"
        )


class _Root(Exception):
    """The root element began: nothing after it can be a DTD."""


class _Doctype(Exception):
    """The file brings a DTD, which no spreadsheet program writes."""


def _check_prologue(path: Path, part: IO[bytes]) -> None:
    parser = expat.ParserCreate()

    def root(_name: str, _attributes: object) -> None:
        raise _Root

    def doctype(*_: object) -> None:
        raise _Doctype

    parser.StartElementHandler = root
    parser.StartDoctypeDeclHandler = doctype
    try:
        while chunk := part.read(_PROLOGUE_STEP):
            parser.Parse(chunk)
    except (_Root, expat.ExpatError):  # what is not XML at all is for the reader to refuse
        return
    except (LookupError, ValueError):
        raise SheetError(path, "its XML is in an encoding that no spreadsheet writes: not opened") from None
    except _Doctype:
        raise SheetError(path, "its XML brings a document type, which no spreadsheet does: not opened") from None


def _check_extent(path: Path, part: IO[bytes]) -> None:
    """Refuse filled cells so far apart that the rectangle around them would not fit into memory."""
    rows: set[int] = set()
    columns: set[int] = set()
    tail = b""
    while chunk := part.read(_EXTENT_STEP):
        found = _CELL.findall(tail + chunk)
        tail = chunk[-_TAG:]
        rows = _ends(rows | {int(row) for row in {row for _, row in found}})
        columns = _ends(columns | {_column(letters) for letters in {letters for letters, _ in found}})
    if rows and _span(rows) * _span(columns) > AREA:
        raise SheetError(path, TOO_FAR)


def _ends(places: set[int]) -> set[int]:
    return {min(places), max(places)} if places else places


def _span(ends: set[int]) -> int:
    return max(ends) - min(ends) + 1


def _column(letters: bytes) -> int:
    """`A` is 1, `Z` 26, `AA` 27."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - 64
    return number
