"""Workbooks of Excel 2007 and later (.xlsx, .xlsm), opened with pandas.

calamine reads them, the fastest. What it can't read and Excel can (odd dimensions, sheets of macros among others,
parts in UTF-16 or of other names, errors that it does not know) openpyxl reads, in ten times as long. Where errors
are, and formulas without a value, which look like blanks or texts to either, the XML says.
"""

from __future__ import annotations

from errno import ENOMEM
from functools import cache, partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

from batch_share.sheet.table import NO_FAULTS, RawRow, Worksheet, cell_text
from batch_share.sheet.workbook_xml import is_in_utf_16, list_worksheets, read_markings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from batch_share.sheet.table import Markings
    from batch_share.sheet.workbook_xml import Faults, Listed


def xlsx_worksheets(path: Path) -> list[Worksheet]:
    """Its worksheets, each read when it is wanted. Raises whatever the parsers of zip archives and XML raise."""
    book = cache(partial(_open_fast, path))
    return [Worksheet(each.name, each.visible, partial(_read, path, book, each)) for each in list_worksheets(path)]


def can_not_read(error: BaseException) -> bool:
    """Whether a parser can't read a file. A panic is no Exception; for want of memory even an import may fail."""
    if isinstance(error, MemoryError | ImportError) or getattr(error, "errno", None) == ENOMEM:
        return False
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _open(path: Path, engine: Any) -> Any:
    import pandas as pd  # noqa: PLC0415 - half a second that another workbook need not wait for

    return pd.ExcelFile(BytesIO(path.read_bytes()), engine=engine).book


def _open_fast(path: Path) -> Any:
    if is_in_utf_16(path):
        raise ValueError("calamine finds nothing in such a part")
    return _open(path, "calamine")


def _read(path: Path, book: Callable[[], Any], listed: Listed) -> tuple[Iterator[RawRow], Markings]:
    markings, faults = read_markings(path, listed.part)
    try:
        sheet = book().get_sheet_by_name(listed.name)
    except BaseException as error:
        if not can_not_read(error):
            raise
        sheet = _open(path, "openpyxl")[listed.name]
        sheet.reset_dimensions()
        return _rows(sheet.iter_rows(values_only=True), faults), markings
    before = [None] * (sheet.start[1] if sheet.start else 0)
    return _rows(([*before, *cells] for cells in sheet.iter_rows()), faults), markings


def _rows(values: Iterable[Sequence[object]], faults: Faults) -> Iterator[RawRow]:
    for number, cells in enumerate(values, start=1):
        wrong = faults.pop(number, NO_FAULTS)
        texts = ["" if column in wrong else cell_text(cell) for column, cell in enumerate(cells)]
        yield RawRow(number, texts, faults=wrong)
    # Below the last value there is no row to calamine, whatever errors stand there.
    for number in sorted(faults):
        yield RawRow(number, [], faults=faults[number])
