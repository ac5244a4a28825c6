"""Rows in which nothing stands that is read: titles of sections, totals. They are left out and told, not failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import xlsxwriter

from batch_share.sheet.reader import read_sheet

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "No,Lead Number,User Email,Access,Days,City,Value"


def read(folder: Path, *lines: str, header: str = HEADER) -> tuple[list[int], list[str]]:
    """The numbers of the rows that are there, and what is to be known of the sheet."""
    file = folder / "leads.csv"
    file.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    sheet = read_sheet(file)
    numbers = [row.number for row in sheet.rows()]
    return numbers, list(sheet.notes())


@pytest.mark.parametrize(
    "line",
    ["REGION NORTH,,,,,,", ",,,,,Pune,", "Total,,,,,,4711", ",,,,,,4711", "REGION NORTH", "x, ,\t,,, ,"],
)
def test_a_row_with_nothing_in_what_is_read_is_left_out_and_told(tmp_path: Path, line: str) -> None:
    expected = ([2, 4], ["1 row holds no lead, left out: row 3"])
    assert read(tmp_path, "1,5,a@x.com,,,,", line, "2,6,a@x.com,,,,") == expected


@pytest.mark.parametrize(
    "line",
    [
        ",Total,,,,,",
        ",,a@x.com,,,,",
        ",,,read,,,",
        ",,,,7,,",
        ",#REF!,,,,,",
        "5,a@x.com",  # one cell too few before them: of somebody, under wrong headers
        ",,,,,5,a@x.com,x",  # the same the other way
        "7,,,,,Pune",
    ],
)
def test_a_row_that_may_be_meant_is_judged(tmp_path: Path, line: str) -> None:
    assert read(tmp_path, line) == ([2], [])


def test_the_first_are_named_and_all_are_counted_each_time(tmp_path: Path) -> None:
    (tmp_path / "leads.csv").write_text(f"{HEADER}\n" + "x,,,,,,\n" * 1200 + "1,5,a@x.com,,,,\n")
    sheet = read_sheet(tmp_path / "leads.csv")
    assert sheet.notes() == []
    for _ in range(2):
        assert [row.number for row in sheet.rows()] == [1202]
        assert sheet.notes() == ["1,200 rows hold no lead, left out: rows 2, 3, 4 and 1,197 more"]


def test_a_formula_without_a_value_in_what_is_read_is_no_empty_cell(tmp_path: Path) -> None:
    file = tmp_path / "leads.xlsx"
    with xlsxwriter.Workbook(file) as book:
        page = book.add_worksheet()
        page.write_row(0, 0, HEADER.split(","))
        page.write_row(1, 0, ["North"])
        page.write_row(2, 0, ["1"])
        page.write_formula(2, 1, "=A1", None, "")
    sheet = read_sheet(file)
    assert [row.number for row in sheet.rows()] == [3]
    assert list(sheet.notes())[-1] == "1 row holds no lead, left out: row 2"
