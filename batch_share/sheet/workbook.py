"""Workbooks: .xlsx, .xlsm, .xls and .ods. No formula is computed, no link followed.

Each kind has its reader, for what one does not tell of a kind can turn an error into a blank: .xlsx is read with
pandas and calamine, which show an error as nothing at all, and its XML says where the errors are.
"""

from __future__ import annotations

import zipfile
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from io import BytesIO
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from batch_share.errors import SheetError
from batch_share.sheet.limits import check_package
from batch_share.sheet.open_document import open_document_worksheets
from batch_share.sheet.table import NO_FAULTS, Markings, RawRow, Table, Worksheet, cell_text
from batch_share.sheet.text import PEEK
from batch_share.sheet.workbook_xml import read_markings
from batch_share.sheet.xls import xls_worksheets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pandas as pd

    from batch_share.settings import SheetLimits

ZIP_MAGIC: Final = b"PK\x03\x04"
OLE_MAGIC: Final = b"\xd0\xcf\x11\xe0"
ANSWERED: Final = ("Summary", "Failures", "Results")
"""The worksheets of a workbook of results. Read as a sheet, it is the last of them: that alone has every row."""


def workbook_tables(path: Path, wanted: str | None, limits: SheetLimits) -> list[Table]:
    """The worksheets that may be meant: the one that is named, else every visible one. Raises SheetError."""
    with path.open("rb") as file:
        is_zip = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
    if is_zip:
        check_package(path, limits)
    with _refusing(path):
        worksheets = _reader(path, is_zip=is_zip)(path)
    several = len(worksheets) > 1
    return [_table(path, each, several=several) for each in _candidates(path, worksheets, wanted)]


def _reader(path: Path, *, is_zip: bool) -> Callable[[Path], list[Worksheet]]:
    if not is_zip:
        return xls_worksheets
    with zipfile.ZipFile(path) as package:
        parts = {name.lower() for name in package.namelist()}
    if any(part.endswith("workbook.bin") for part in parts):
        raise SheetError(path, "a binary workbook (.xlsb), which is not read here: save it as .xlsx")
    is_office = "[content_types].xml" in parts or "content.xml" not in parts
    return _office_worksheets if is_office else open_document_worksheets


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn whatever a parser raises into a SheetError."""
    try:
        yield
    except SheetError:
        raise
    except BaseException as error:  # the parsers' errors have no common base, and a panic is no Exception
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise SheetError(path, f"not a workbook that can be read ({_first_line(error)})") from None
        raise


def _candidates(path: Path, worksheets: Sequence[Worksheet], wanted: str | None) -> Sequence[Worksheet]:
    if wanted is not None:
        named = [each for each in worksheets if each.name == wanted]
        if not named:
            names = ", ".join(repr(each.name) for each in worksheets)
            raise SheetError(path, f"it has no worksheet {wanted!r}, only {names}")
        return named[:1]
    visible = [each for each in worksheets if each.visible]
    if not visible:
        raise SheetError(path, "the workbook has no visible worksheet: name one with --worksheet")
    return visible if tuple(each.name for each in visible) != ANSWERED else visible[-1:]


def _table(path: Path, worksheet: Worksheet, *, several: bool) -> Table:
    @cache
    def whole() -> tuple[list[RawRow], Markings]:
        with _refusing(path):
            return worksheet.read()

    def peek() -> Iterator[RawRow]:
        if worksheet.peek is None:
            return takewhile(lambda row: row.number <= PEEK, whole()[0])
        with _refusing(path):
            return iter(worksheet.peek(PEEK))

    def late_notes() -> Sequence[str]:
        return whole()[1].notes()

    return Table(
        worksheet=worksheet.name,
        ragged=False,
        rows=lambda: iter(whole()[0]),
        peek=peek,
        notes=[f"worksheet {worksheet.name!r}"] if several else [],
        late_notes=late_notes,
    )


def _office_worksheets(path: Path) -> list[Worksheet]:
    import pandas as pd  # noqa: PLC0415 - half a second that a CSV need not wait for
    from python_calamine import SheetVisibleEnum  # noqa: PLC0415 - as pandas

    book = pd.ExcelFile(BytesIO(path.read_bytes()), engine="calamine")
    visible = {each.name for each in book.book.sheets_metadata if each.visible == SheetVisibleEnum.Visible}
    return [
        Worksheet(name, name in visible, partial(_read, path, book, name), partial(_frame, book, name))
        for name in map(str, book.sheet_names)
    ]


def _read(path: Path, book: pd.ExcelFile, name: str) -> tuple[list[RawRow], Markings]:
    rows = _frame(book, name)
    markings, faults = read_markings(path, name)
    found = [replace(row, faults=faults.pop(row.number, NO_FAULTS)) for row in rows] if faults else rows
    # Below the last value there is no row to calamine, whatever errors stand there.
    return found + [RawRow(number, [], faults=faults[number]) for number in sorted(faults)], markings


def _frame(book: pd.ExcelFile, name: str, count: int | None = None) -> list[RawRow]:
    import pandas as pd  # noqa: PLC0415

    frame = pd.read_excel(book, sheet_name=name, header=None, dtype=object, na_filter=False, nrows=count)
    rows = enumerate(frame.itertuples(index=False, name=None), start=1)
    return [RawRow(number, [cell_text(cell) for cell in cells]) for number, cells in rows]


def _first_line(error: Any) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
