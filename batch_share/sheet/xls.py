"""Workbooks of Excel 97 to 2003 and older (.xls), with xlrd.

olefile takes the workbook out of its container first. xlrd's own way there follows a chain of sectors that loops
for ever, and refuses containers of some programs, which Excel opens.
"""

from __future__ import annotations

import datetime as dt
import re
from functools import partial
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Final

from batch_share.common import Cause
from batch_share.errors import SheetError
from batch_share.sheet.table import (
    DAMAGED,
    NO_FAULTS,
    PROTECTED,
    Markings,
    RawRow,
    Worksheet,
    cell_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence, Set
    from pathlib import Path

    from xlrd.book import Book
    from xlrd.sheet import Cell

_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
_COUNTS_AT: Final = (44, 64, 72)
"""Where the head of a container counts the sectors of its tables: a smaller sector than 512 bytes there is not."""

_DAYS: Final = 2_958_466
"""Dates end with the year 9999."""

_ELAPSED: Final = re.compile(r"\[(h+|m+|s+)\]", re.IGNORECASE)
"""A number format that counts hours (or minutes, seconds) on past a day: no time of a day, and no date."""


def xls_worksheets(path: Path) -> list[Worksheet]:
    """Its worksheets, each read when it is wanted. Raises SheetError, and whatever xlrd and olefile raise."""
    import xlrd  # noqa: PLC0415 - a CSV need not wait for it

    stream = _workbook_stream(path)
    try:
        book = _open(stream, formatted=True)
    except Exception as error:
        if isinstance(error, xlrd.XLRDError) and "encrypted" in str(error):
            raise SheetError(path, PROTECTED) from None
        book = _open(stream, formatted=False)  # formats are where files of other programs are odd
    hidden = book._sheet_visibility  # noqa: SLF001 - a sheet says it too, but only once it is loaded
    names = book.sheet_names()
    return [Worksheet(name, not hidden[at], partial(_read, book, at)) for at, name in enumerate(names)]


def _workbook_stream(path: Path) -> bytes:
    import olefile  # noqa: PLC0415

    content = path.read_bytes()
    if not content.startswith(olefile.MAGIC):
        return content  # Excel 4 and older knew no containers
    if _ENCRYPTED in content:
        raise SheetError(path, PROTECTED)
    counts = [int.from_bytes(content[at : at + 4], "little") for at in _COUNTS_AT]
    if max(counts) > len(content) // 512:
        raise SheetError(path, DAMAGED)
    with olefile.OleFileIO(BytesIO(content)) as container:
        name = "Workbook" if container.exists("Workbook") else "Book"
        if not container.exists(name) or max(container.root.size, container.get_size(name)) > len(content):
            raise SheetError(path, DAMAGED)
        return bytes(container.openstream(name).read())


def _open(stream: bytes, *, formatted: bool) -> Book:
    import xlrd  # noqa: PLC0415

    return xlrd.open_workbook(
        file_contents=stream, logfile=StringIO(), formatting_info=formatted, on_demand=True, ragged_rows=True
    )


def _read(book: Book, at: int) -> tuple[list[RawRow], Markings]:
    sheet = book.sheet_by_index(at)
    elapsed = {
        index
        for index, shape in enumerate(book.xf_list)
        if _ELAPSED.search(book.format_map[shape.format_key].format_str)
    }
    rows = [_row(row, sheet.row(row), elapsed, book.datemode) for row in range(sheet.nrows) if sheet.row_len(row)]
    markings = Markings(
        hidden_rows=sum(bool(each.hidden) for row, each in sheet.rowinfo_map.items() if row < sheet.nrows),
        hidden_columns=sum(bool(each.hidden) for column, each in sheet.colinfo_map.items() if column < sheet.ncols),
        merged=len(sheet.merged_cells),
        reported=bool(book.formatting_info),
    )
    book.unload_sheet(at)
    return rows, markings


def _row(row: int, cells: Sequence[Cell], elapsed: Set[int], datemode: int) -> RawRow:
    import xlrd  # noqa: PLC0415

    faults = {column: Cause.ERROR_VALUE for column, cell in enumerate(cells) if cell.ctype == xlrd.XL_CELL_ERROR}
    texts = [cell_text(_value(cell, elapsed, datemode)) for cell in cells]
    return RawRow(row + 1, texts, faults=faults or NO_FAULTS)


def _value(cell: Cell, elapsed: Set[int], datemode: int) -> object:
    import xlrd  # noqa: PLC0415

    match cell.ctype:
        case xlrd.XL_CELL_ERROR:
            return None
        case xlrd.XL_CELL_BOOLEAN:
            return bool(cell.value)
        case xlrd.XL_CELL_NUMBER | xlrd.XL_CELL_DATE if cell.xf_index in elapsed:
            return dt.timedelta(cell.value)
        case xlrd.XL_CELL_DATE if 0 <= cell.value < _DAYS:
            moment: dt.datetime = xlrd.xldate_as_datetime(cell.value, datemode)
            return moment if cell.value >= 1 else moment.time()
        case _:
            return cell.value
