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
        (None, None, ("Region=",), []),
    ],
)
def test_what_is_taken(limit: int | None, rows: str | None, only: tuple[str, ...], numbers: list[int]) -> None:
    assert chosen(limit, rows, *only) == numbers


@pytest.mark.parametrize("rows", ["x", "7-5", "5-", "-5", "1,,2", "", " ", "\t"])
def test_what_is_no_range_is_reported(rows: str) -> None:
    with pytest.raises(SettingsError, match="is no range of rows"):
        Selection.parse(None, rows, ())


@pytest.mark.parametrize("only", ["Region", "", " "])
def test_what_is_no_condition_is_reported(only: str) -> None:
    with pytest.raises(SettingsError, match=f"only: '{only}' is no condition"):
        Selection.parse(None, None, [only])


def test_a_column_that_is_not_there_is_reported() -> None:
    with pytest.raises(SheetError, match="Did you mean 'Region'"):
        chosen(None, None, "Regoin=x")


def test_a_row_too_short_for_the_column_is_not_taken() -> None:
    is_chosen = Selection.parse(None, None, ["Region=x"]).chooser(Path("leads.csv"), COLUMNS)
    assert not is_chosen(RawRow(2, ["1"]))


def test_it_is_spelled_as_it_was_given() -> None:
    assert str(Selection.parse(5, "2-9,11", ["A=b"])) == "--limit 5 --rows 2-9,11 --only A=b"
    assert not Selection()
