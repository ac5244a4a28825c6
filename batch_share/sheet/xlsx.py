"""Workbooks of Excel 2007 and later (.xlsx, .xlsm), opened with pandas.

calamine reads them, which is the fastest. It shows an error as nothing at all: where the errors are, the XML says.
What it can't read and Excel can, odd dimensions, macro sheets beside the others, parts in UTF-16 or of other names,
openpyxl reads, which takes ten times as long.
"""

from __future__ import annotations

from errno import ENOMEM
from functools import cache, partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

from batch_share.sheet.table import ERROR_VALUE, NEVER_STORED, NO_FAULTS, RawRow, Worksheet, cell_text
from batch_share.sheet.workbook_xml import list_worksheets, read_markings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from batch_share.sheet.table import Markings
    from batch_share.sheet.workbook_xml import Faults, Listed


def xlsx_worksheets(path: Path) -> list[Worksheet]:
    """Its worksheets, each read when it is wanted. Raises whatever the parsers of zip archives and XML raise."""
    book = cache(partial(_open, path, "calamine"))
    return [Worksheet(each.name, each.visible, partial(_read, path, book, each)) for each in list_worksheets(path)]


def can_not_read(error: BaseException) -> bool:
    """Whether a parser can't read a file. A panic is no Exception; for want of memory even an import may fail."""
    if isinstance(error, MemoryError | ImportError) or getattr(error, "errno", None) == ENOMEM:
        return False
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _open(path: Path, engine: Any, **options: Any) -> Any:
    import pandas as pd  # noqa: PLC0415 - half a second that another workbook need not wait for

    return pd.ExcelFile(BytesIO(path.read_bytes()), engine=engine, engine_kwargs=options).book


def _read(path: Path, book: Callable[[], Any], listed: Listed) -> tuple[Iterator[RawRow], Markings]:
    markings, faults = read_markings(path, listed.part)
    try:
        sheet = book().get_sheet_by_name(listed.name)
    except BaseException as error:
        if not can_not_read(error):
            raise
        return _rows_of_openpyxl(path, listed.name), markings
    return _rows(sheet, faults), markings


def _rows(sheet: Any, faults: Faults) -> Iterator[RawRow]:
    before = [""] * (sheet.start[1] if sheet.start else 0)
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        yield RawRow(number, [*before, *map(cell_text, cells)], faults=faults.pop(number, NO_FAULTS))
    # Below the last value there is no row to calamine, whatever errors stand there.
    for number in sorted(faults):
        yield RawRow(number, [], faults=faults[number])


def _rows_of_openpyxl(path: Path, name: str) -> Iterator[RawRow]:
    """Each row by its values and by its formulas: a cell has either to openpyxl."""
    values, formulas = (_open(path, "openpyxl", data_only=values)[name] for values in (True, False))
    for sheet in (values, formulas):
        sheet.reset_dimensions()
    for number, pair in enumerate(zip(values.iter_rows(), formulas.iter_rows(), strict=True), start=1):
        cells = [*zip(*pair, strict=True)]
        faults = {at: fault for at, cell in enumerate(cells) if (fault := _fault(*cell)) is not None}
        texts = ["" if at in faults else cell_text(value.value) for at, (value, _) in enumerate(cells)]
        yield RawRow(number, texts, faults=faults or NO_FAULTS)


def _fault(value: Any, formula: Any) -> str | None:
    if value.data_type == "e":
        return ERROR_VALUE
    # An empty text is a value, an empty number is none.
    is_unstored = formula.data_type == "f" and value.value is None and value.data_type != "str"
    return NEVER_STORED if is_unstored else None
