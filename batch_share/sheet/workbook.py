"""Workbooks: .xlsx, .xlsm, .xls and .ods, with pandas and calamine. No formula is computed, no link followed."""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from functools import cached_property, partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from batch_share.errors import SheetError
from batch_share.sheet.limits import check_package
from batch_share.sheet.table import NO_FAULTS, RawRow, Table
from batch_share.sheet.text import PEEK
from batch_share.sheet.workbook_xml import Markings, read_markings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd

    from batch_share.settings import SheetLimits

ZIP_MAGIC: Final = b"PK\x03\x04"
ANSWERED: Final = ("Summary", "Failures", "Results")
"""The worksheets of a workbook of results. Read as a sheet, it is the last of them: that alone has every row."""

OLE_MAGIC: Final = b"\xd0\xcf\x11\xe0"
_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")

# Excel keeps 15 digits of a number; what is longer was already changed before it reached the file.
_EXACT_NUMBER: Final = 10**15


def workbook_tables(path: Path, wanted: str | None, limits: SheetLimits) -> list[Table]:
    """The worksheets that may be meant: the one that is named, else every visible one. Raises SheetError."""
    with path.open("rb") as file:
        head = file.read(1 << 20)
    if head.startswith(OLE_MAGIC) and _ENCRYPTED in head:
        raise SheetError(path, "protected with a password: remove it and try again")
    if head.startswith(ZIP_MAGIC):
        check_package(path, limits)
    book = _open(path)
    return [Worksheet(path, book, name).table() for name in _candidates(path, book, wanted)]


def _open(path: Path) -> pd.ExcelFile:
    import pandas as pd  # noqa: PLC0415 - half a second that a CSV need not wait for

    with _refusing(path):
        return pd.ExcelFile(BytesIO(path.read_bytes()), engine="calamine")


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn whatever the parser raises into a SheetError."""
    try:
        yield
    except BaseException as error:  # calamine's and zip's errors have no common base, and a panic is no Exception
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise SheetError(path, f"not a workbook that can be read ({_first_line(error)})") from None
        raise


def _candidates(path: Path, book: pd.ExcelFile, wanted: str | None) -> Sequence[str]:
    names = [str(name) for name in book.sheet_names]
    if wanted is not None:
        if wanted not in names:
            raise SheetError(path, f"it has no worksheet {wanted!r}, only {', '.join(map(repr, names))}")
        return [wanted]
    from python_calamine import SheetVisibleEnum  # noqa: PLC0415 - as pandas

    visible = [each.name for each in book.book.sheets_metadata if each.visible == SheetVisibleEnum.Visible]
    if not visible:
        raise SheetError(path, "the workbook has no visible worksheet: name one with --worksheet")
    return visible if tuple(visible) != ANSWERED else [ANSWERED[-1]]


class Worksheet:
    """One worksheet; what costs time is read once, when it is wanted."""

    def __init__(self, path: Path, book: pd.ExcelFile, name: str) -> None:
        self._path = path
        self._book = book
        self._name = name

    def table(self) -> Table:
        """The worksheet as a table."""
        notes = [f"worksheet {self._name!r}"] if len(self._book.sheet_names) > 1 else []
        return Table(
            worksheet=self._name,
            ragged=False,
            rows=lambda: iter(self._rows),
            peek=partial(self._read, PEEK),
            notes=notes,
            late_notes=self._notes,
        )

    def _notes(self) -> Sequence[str]:
        return self._markings.notes()

    @cached_property
    def _rows(self) -> list[RawRow]:
        return [*self._read(None)]

    @cached_property
    def _markings(self) -> Markings:
        return read_markings(self._path, self._name)

    def _read(self, count: int | None) -> Iterator[RawRow]:
        import pandas as pd  # noqa: PLC0415

        with _refusing(self._path):
            frame = pd.read_excel(
                self._book, sheet_name=self._name, header=None, dtype=object, na_filter=False, nrows=count
            )
        faults = self._markings.faults if count is None else {}
        for number, cells in enumerate(frame.itertuples(index=False, name=None), start=1):
            yield RawRow(number, [_cell_text(cell) for cell in cells], faults=faults.get(number, NO_FAULTS))


def _cell_text(value: object) -> str:
    """A cell as text. A whole number has no `.0`; true and false are spelled as Excel shows them."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124 - NaN, without numpy
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return _number_text(value)
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        return value.date().isoformat()
    return str(value)


def _number_text(value: float) -> str:
    if abs(value) >= _EXACT_NUMBER:
        return f"{value:.14E}"
    return str(int(value)) if value == int(value) else repr(value)


def _first_line(error: Any) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
