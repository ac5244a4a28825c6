"""The process that parses a workbook: asked in lines of JSON on its standard input, it answers in such.

A workbook comes from anybody, and not all of its parsers are in Python: one may take all memory, come to no end, or
end its process. This one has limits and no keys, and it ends when its input does: nobody is left to ask.

A few kilobytes can unpack to gigabytes, and an XML file can name entities and files of its own; so size,
compression and prologue are looked at before anything is parsed, and every limit is a setting.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import sys
import warnings
import zipfile
import zlib
from contextlib import suppress
from functools import partial
from operator import methodcaller
from pathlib import Path
from queue import SimpleQueue
from string import ascii_letters, digits
from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from xml.parsers import expat

from batch_share.errors import SheetError
from batch_share.sheet.excel import can_not_read, look_of, xls_worksheets, xlsx_worksheets
from batch_share.sheet.open_document import open_document_worksheets
from batch_share.sheet.table import (
    AREA,
    DAMAGED,
    OLE_MAGIC,
    PROTECTED,
    SAVE_AS,
    TOO_FAR,
    ZIP_MAGIC,
    archive,
    column_named,
)

if sys.platform != "win32":
    import resource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from batch_share.sheet.table import Worksheet

_BARE_XLS: Final = tuple(b"\x09%c" % version for version in (0, 2, 4, 8))
"""How an .xls begins that is in no container, as those of Excel 4 and older: with the version of its records."""

_HEAD: Final = 4096
"""Bytes by which a file is told: what a web page or XML begins with stands in fewer."""

_MEGABYTE: Final = 1_000_000
_ENCRYPTED: Final = 1
_PROLOGUE_STEP: Final = 4096  # no more of what follows the prologue is parsed
_EXTENT_STEP: Final = 1 << 20  # fast, and little memory
_TAG: Final = 4096  # of which so many bytes are looked at twice: more than a tag that is looked for is long
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WEB_PAGE: Final = re.compile(r"\Amime-version:|<!doctype html|<(?:html|head|body|table)\b")
_BINARY: Final = re.compile(r"[\x00-\x08\x0e-\x19\x1c-\x1f]")

# A cell with something in it: one that has only a format closes itself. Bounded, so that no XML makes it slow.
_CELL: Final = re.compile(
    rb"<(?:\w{1,20}:)?c\s(?:[^<>]{0,400}?\s)?r\s{0,9}=\s{0,9}[\"']([A-Za-z]{1,9})(\d{1,20})[\"'][^<>]{0,400}(?<!/)>"
)

# As nearly every program writes them, empty ones too.
_PLAIN: Final = b'<c r="'
_PLAIN_CELL: Final = re.compile(rb'<c r="([A-Za-z]{1,9}\d{1,20})"')
_LETTERS, _DIGITS = ascii_letters.encode(), digits.encode()

_NO_MEMORY: Final = "Error -4 "
"""How zlib says that there is none left, which says nothing of the workbook."""

Answer = list[Any] | dict[str, Any]
"""A row as a list: its number, its cells and its faults, if it has any. What comes once is a mapping."""


def main() -> None:
    """Answer until nobody is left to ask."""
    out, sys.stdout = sys.stdout.buffer, sys.stderr  # whatever a parser has to say
    warnings.simplefilter("ignore")
    asked: SimpleQueue[Any] = SimpleQueue()

    def listen() -> None:
        for line in sys.stdin.buffer:
            asked.put(json.loads(line))
        os._exit(0)

    Thread(target=listen, daemon=True).start()
    job = asked.get()
    limits = SimpleNamespace(**job["limits"])
    if sys.platform != "win32":
        for what, most in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_CPU, limits.seconds + 1),
            (resource.RLIMIT_AS, limits.memory_mb * _MEGABYTE),
        ):
            with suppress(ValueError, OSError):  # macOS takes some for wishes, and refuses others
                resource.setrlimit(what, (most, most))
    encode = json.JSONEncoder(separators=(",", ":")).encode
    for answer in answers(Path(job["path"]), limits, iter(asked.get, None)):
        out.write(f"{encode(answer)}\n".encode())
        if isinstance(answer, dict):
            out.flush()


def answers(path: Path, limits: Any, wanted: Iterator[Any]) -> Iterator[Answer]:
    """Which worksheets there are; then, of each that is `wanted`, its rows and, last, what is to be known of it.

    Where a worksheet is named with headers, how it looks.

    Rows in which nothing stands are left out.
    """
    try:
        worksheets = _worksheets(path, limits)
        yield {"worksheets": [[each.name, each.visible] for each in worksheets]}
    except BaseException as error:
        yield _refusal(error)
        return
    for index in wanted:
        try:
            if isinstance(index, dict):
                yield look_of(path, **index)
                continue
            rows, markings = worksheets[index].read()
            for row in rows:
                if row.faults:
                    yield [row.number, row.cells, [*row.faults.items()]]
                elif not row.is_blank:
                    yield [row.number, row.cells]
            yield {"notes": markings.notes()}
        except BaseException as error:
            yield _refusal(error)


def _refusal(error: BaseException) -> Answer:
    """Why there is no answer. What is no matter of the file is raised again."""
    if isinstance(error, SheetError):
        return {"refused": error.wrong}
    if can_not_read(error):
        return {"refused": DAMAGED}
    raise error


def _worksheets(path: Path, limits: Any) -> list[Worksheet]:
    """Its worksheets, by what the file is, whatever its name says. Raises SheetError."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise SheetError(path, f"can't be read ({error.strerror})") from None
    parts: set[str] = set()
    if head.startswith(ZIP_MAGIC):
        check_package(path, limits)
        with zipfile.ZipFile(path) as package:
            parts = {name.lower() for name in package.namelist()}
    if head.startswith((OLE_MAGIC, *_BARE_XLS)):
        found = xls_worksheets(path)
    elif any(part.endswith("workbook.bin") for part in parts):
        raise SheetError(path, "a binary workbook (.xlsb), which is not read here: save it as .xlsx")
    elif not parts.isdisjoint({"[content_types].xml", "_rels/.rels"}):
        found = xlsx_worksheets(path)
    elif not parts.isdisjoint({"content.xml", "meta-inf/manifest.xml"}):
        found = open_document_worksheets(path)
    else:
        raise SheetError(path, _no_workbook(head))
    if not found:
        raise SheetError(path, DAMAGED)
    return found


def _no_workbook(head: bytes) -> str:
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


def check_package(path: Path, limits: Any) -> None:
    """Refuse a zipped workbook that unpacks to too much, or whose XML brings a DTD. Raises SheetError."""
    try:
        with zipfile.ZipFile(path) as package:
            entries = package.infolist()
            if any(entry.flag_bits & _ENCRYPTED for entry in entries):
                raise SheetError(path, PROTECTED)
            if len(entries) > limits.entries:
                limit = f"the limit is {limits.entries:,} (sheet.entries)"
                raise SheetError(path, f"{len(entries):,} parts in the workbook; {limit}")
            unpacked = sum(entry.file_size for entry in entries)
            if unpacked > limits.unpacked_mb * _MEGABYTE:
                limit = f"the limit is {limits.unpacked_mb} MB (sheet.unpacked_mb)"
                raise SheetError(path, f"it unpacks to {unpacked / _MEGABYTE:,.0f} MB; {limit}")
            worst = max((entry.file_size / max(entry.compress_size, 1) for entry in entries), default=0.0)
            if worst > limits.ratio and unpacked > _MEGABYTE:
                limit = f"the limit is {limits.ratio} (sheet.ratio)"
                raise SheetError(path, f"a part unpacks to {worst:,.0f} times its size; {limit}")
            for entry in entries:
                if entry.filename.lower().endswith((".xml", ".rels")):
                    with package.open(entry) as part:
                        _check_prologue(path, part)
                    _check_extent(path, package, entry)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        if str(error).startswith(_NO_MEMORY):
            raise MemoryError from None
        raise SheetError(path, DAMAGED) from None


class _Begun(Exception):
    """The root element began, after which there is no DTD; or one did, which no spreadsheet program writes."""


def _check_prologue(path: Path, part: IO[bytes]) -> None:
    parser = expat.ParserCreate()

    def begun(what: str, *_: object) -> None:
        raise _Begun(what)

    parser.StartElementHandler = partial(begun, "root")
    parser.StartDoctypeDeclHandler = partial(begun, "document type")
    try:
        while chunk := part.read(_PROLOGUE_STEP):
            parser.Parse(chunk)
    except expat.ExpatError:  # what is not XML at all is for the reader to refuse
        return
    except (LookupError, ValueError):
        raise SheetError(path, "its XML is in an encoding that no spreadsheet writes: not opened") from None
    except _Begun as what:
        if str(what) != "root":
            reported = f"its XML brings a {what}, which no spreadsheet does: not opened"
            raise SheetError(path, reported) from None


def _check_extent(path: Path, package: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Refuse filled cells so far apart that the rectangle around them would not fit into memory."""
    for counts_empty in (True, False):  # those are told three times as fast as filled ones
        rows: set[int] = set()
        columns: set[int] = set()
        tail = b""
        with package.open(entry) as part:
            while chunk := part.read(_EXTENT_STEP):
                text = tail + chunk
                tail = chunk[-_TAG:]
                if counts_empty and text.count(b"<c") == text.count(_PLAIN) and b":c" not in text:
                    found = _PLAIN_CELL.findall(text)
                    numbers = {*map(methodcaller("lstrip", _LETTERS), found)}
                    letters = {*map(methodcaller("rstrip", _DIGITS), found)}
                else:
                    cells = _CELL.findall(text)
                    numbers, letters = {row for _, row in cells}, {column for column, _ in cells}
                if numbers:
                    rows |= {*map(int, numbers)}
                    columns |= {column_named(each.decode()) for each in letters}
                    rows, columns = {min(rows), max(rows)}, {min(columns), max(columns)}
        if not rows or (max(rows) - min(rows) + 1) * (max(columns) - min(columns) + 1) <= AREA:
            return
    raise SheetError(path, TOO_FAR)
