"""Taking a part of a sheet: the first rows, some numbers, some values."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch_share.errors import SettingsError, SheetError
from batch_share.sheet.rows import Selection
from batch_share.sheet.table import RawRow

COLUMNS = ["Lead Number", "Region"]
ROWS = [RawRow(number, [str(number), ("North", "south")[number % 2]]) for number in range(2, 12)]


def chosen(limit: int | None = None, rows: str | None = None, *only: str) -> list[int]:
    is_chosen = Selection.parse(limit, rows, only).chooser(Path("leads.csv"), COLUMNS)
    return [row.number for row in ROWS if is_chosen(row)]


@pytest.mark.parametrize(
    ("limit", "rows", "only", "numbers"),
    [
        (None, None, (), [*range(2, 12)]),
        (3, None, (), [2, 3, 4]),
        (None, "5-7", (), [5, 6, 7]),
        (None, "3, 9-20", (), [3, 9, 10, 11]),
        (None, None, ("region=NORTH",), [2, 4, 6, 8, 10]),
        (None, None, ("Region=South", "Lead Number=5"), [5]),
        (2, "5-9", ("Region=south",), [5, 7]),
    ],
)
def test_what_is_taken(limit: int | None, rows: str | None, only: tuple[str, ...], numbers: list[int]) -> None:
    assert chosen(limit, rows, *only) == numbers


@pytest.mark.parametrize("rows", ["x", "7-5", "5-", "-5", "1,,2", "", " ", "\t"])
def test_what_is_no_range_is_reported(rows: str) -> None:
    with pytest.raises(SettingsError, match="is no range of rows"):
        Selection.parse(None, rows, ())


@pytest.mark.parametrize("only", ["Region", "", " ", "=North", "Region=", "Region= "])
def test_what_is_no_condition_is_reported(only: str) -> None:
    with pytest.raises(SettingsError, match=f"only: '{only}' is no condition"):
        Selection.parse(None, None, [only])


def test_a_column_that_is_not_there_is_reported() -> None:
    with pytest.raises(SheetError, match="Did you mean 'Region'"):
        chosen(None, None, "Regoin=x")


@pytest.mark.parametrize(("name", "column"), [("re-gion", 1), ("RE GION", 0)])
def test_of_two_columns_that_differ_in_a_sign_the_one_that_was_named_is_meant(name: str, column: int) -> None:
    is_chosen = Selection.parse(None, None, [f"{name}=x"]).chooser(Path("leads.csv"), ["Re gion", "Re-gion"])
    assert [is_chosen(RawRow(2, ["x", ""])), is_chosen(RawRow(3, ["", "x"]))] == [column == 0, column == 1]


def test_a_name_that_fits_two_columns_and_is_neither_is_refused() -> None:
    with pytest.raises(SheetError, match=r"--only names a column 'region' and there are 'Re gion' and 'Re-gion'"):
        Selection.parse(None, None, ["region=x"]).chooser(Path("leads.csv"), ["Re gion", "Re-gion"])


def test_a_row_too_short_for_the_column_is_not_taken() -> None:
    is_chosen = Selection.parse(None, None, ["Region=x"]).chooser(Path("leads.csv"), COLUMNS)
    assert not is_chosen(RawRow(2, ["1"]))


def test_it_is_spelled_as_it_was_given() -> None:
    assert str(Selection.parse(5, "2-9,11", ["A=b"])) == "--limit 5 --rows 2-9,11 --only A=b"
    assert not Selection()
