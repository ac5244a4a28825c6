"""A CSV or Excel file as text cells with the sheet's own row numbers.

Nothing is guessed from a cell's look: `00123`, `1e5`, `NA` and `+91…` arrive as written. CSV is read with the csv
module, row by row, because it alone tells a row with too few cells from one whose last cells are blank; Excel with
pandas and calamine. A row's number is the one that a spreadsheet shows beside it: blank rows count, and a cell
with line breaks in it is still one row.
"""

from __future__ import annotations

import csv
import datetime as dt
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO

from batch_share.errors import SheetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

EXCEL_SUFFIXES: Final = frozenset({".xlsx"})
CSV_SUFFIXES: Final = frozenset({".csv", ".txt"})
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What makes a spreadsheet take a cell's text for a formula, the full-width forms too."""

# Excel keeps 15 digits of a number; what is longer was already changed before it reached the file.
_EXACT_NUMBER: Final = 10**15


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as text. `problem` says why its cells can't be trusted to stand under their headers."""

    number: int
    cells: Sequence[str]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet's header and, on demand, its rows. `rows()` may raise SheetError while it goes."""

    path: Path
    worksheet: str | None
    columns: Sequence[str]
    rows: Callable[[], Iterator[RawRow]]


def read_sheet(path: Path, worksheet: str | None = None) -> Sheet:
    """Open a CSV (UTF-8, with or without BOM) or .xlsx file; the first row that is not blank is the header.

    `worksheet` names one in a workbook, else the first is read. Raises SheetError.
    """
    if not path.is_file():
        raise SheetError(path, "there is no such file")
    suffix = path.suffix.lower()
    if suffix in EXCEL_SUFFIXES:
        return _read_excel(path, worksheet)
    if suffix not in CSV_SUFFIXES:
        known = ", ".join(sorted(CSV_SUFFIXES | EXCEL_SUFFIXES))
        raise SheetError(path, f"not a kind of sheet that is read here ({known}): save it as one of these")
    if worksheet is not None:
        raise SheetError(path, f"a CSV file has no worksheet {worksheet!r}")
    return _with_header(path, None, lambda: _csv_rows(path), ragged=True)


def _with_header(
    path: Path, worksheet: str | None, source: Callable[[], Iterator[RawRow]], *, ragged: bool
) -> Sheet:
    """`ragged`: rows come as long as they are written, so one that is too short is an error and no blank end."""
    header = next((row for row in source() if any(cell.strip() for cell in row.cells)), None)
    if header is None:
        raise SheetError(path, "the sheet is empty")
    columns = _trim([cell.strip() for cell in header.cells])

    def rows() -> Iterator[RawRow]:
        for row in source():
            if row.number > header.number and any(cell.strip() for cell in row.cells):
                yield _fitted(row, len(columns), ragged=ragged)

    return Sheet(path, worksheet, columns, rows)


def _fitted(row: RawRow, width: int, *, ragged: bool) -> RawRow:
    """The row at the header's width. Blank cells past it mean nothing, filled ones mean that something shifted."""
    cells = _trim(row.cells) if len(row.cells) > width else list(row.cells)
    if len(cells) > width:
        problem = f"{len(cells)} cells for {width} headers: something may be under a wrong header"
        return RawRow(row.number, cells, problem)
    if len(cells) < width and ragged:
        return RawRow(
            row.number, cells, f"only {len(cells)} of {width} cells: something may be under a wrong header"
        )
    return RawRow(row.number, [*cells, *[""] * (width - len(cells))])


def _trim(cells: Sequence[str]) -> list[str]:
    end = len(cells)
    while end and not cells[end - 1].strip():
        end -= 1
    return list(cells[:end])


# ------------------------------------------------------------------------------------------------------ CSV


def _csv_rows(path: Path) -> Iterator[RawRow]:
    csv.field_size_limit(sys.maxsize if sys.maxsize < 2**31 else 2**31 - 1)
    number = 0
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            for number, cells in enumerate(csv.reader(_lines(file), strict=True), start=1):
                yield RawRow(number, [_unguarded(cell) for cell in cells])
    except UnicodeError:
        problem = "not UTF-8: save it as “CSV UTF-8” and try again"
        raise SheetError(path, problem, row=number + 1) from None
    except csv.Error as error:
        problem = f"can't be read from here on ({error}): look for a quotation mark that is not closed"
        raise SheetError(path, problem, row=number + 1) from None
    except OSError as error:
        raise SheetError(path, f"can't be read ({error.strerror})") from None


def _lines(file: TextIO) -> Iterator[str]:
    """The file's lines. Raises UnicodeEncodeError at the very one that was not UTF-8, not a buffer before it."""
    for line in file:
        line.encode()
        yield line


def guarded(cell: str) -> str:
    """The cell as it stands in our own CSV files: with an apostrophe where a spreadsheet would see a formula."""
    return f"'{cell}" if cell.lstrip("'").startswith(FORMULA_STARTS) else cell


def _unguarded(cell: str) -> str:
    """The way back, for our own results may come back as a sheet."""
    return cell[1:] if cell.startswith("'") and guarded(cell) != cell else cell


# ---------------------------------------------------------------------------------------------------- Excel


def _read_excel(path: Path, worksheet: str | None) -> Sheet:
    name, table = _excel_table(path, worksheet)

    def rows() -> Iterator[RawRow]:
        for number, cells in enumerate(table, start=1):
            yield RawRow(number, [_cell_text(cell) for cell in cells])

    return _with_header(path, name, rows, ragged=False)


def _excel_table(path: Path, worksheet: str | None) -> tuple[str, Sequence[Sequence[Any]]]:
    import pandas as pd  # noqa: PLC0415 - half a second that a CSV need not wait for

    try:
        with pd.ExcelFile(path, engine="calamine") as workbook:
            name = _choose_worksheet(path, [str(each) for each in workbook.sheet_names], worksheet)
            frame = pd.read_excel(workbook, sheet_name=name, header=None, dtype=object, na_filter=False)
    except SheetError:
        raise
    except Exception as error:  # calamine's and zip's errors have no common base
        raise SheetError(path, f"not a workbook that can be read ({_first_line(error)})") from None
    return name, frame.to_numpy().tolist()


def _choose_worksheet(path: Path, names: list[str], wanted: str | None) -> str:
    if not names:
        raise SheetError(path, "the workbook has no worksheet")
    if wanted is None:
        return names[0]
    if wanted not in names:
        raise SheetError(path, f"it has no worksheet {wanted!r}, only {', '.join(map(repr, names))}")
    return wanted


def _cell_text(value: object) -> str:
    """A cell as text. A whole number has no `.0`; true and false are spelled as Excel shows them."""
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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
