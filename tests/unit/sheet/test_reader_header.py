"""Which row is the header: the one with the most headers that are known, the first of equals."""

from __future__ import annotations

import pytest

from batch_share.sheet.reader import likeliest_header
from batch_share.sheet.table import RawRow

HEAD = ["Lead Number", "User Email"]


def found(*table: list[str], mapping: dict[str, str] | None = None) -> int | None:
    header = likeliest_header([RawRow(n, cells) for n, cells in enumerate(table, start=1)], mapping or {})
    return header.number if header else None


@pytest.mark.parametrize(
    ("table", "number"),
    [
        ([HEAD, ["1", "a@x.com"]], 1),
        ([["Weekend cover"], [], HEAD], 3),
        ([["Lead Number"], HEAD], 2),
        ([HEAD, HEAD], 1),
        ([HEAD, [*HEAD, "Access"]], 2),
        ([[" ", ""], ["Kunde", "Betreuer"], ["1", "2"]], 2),
        ([["Note", "x"], ["Kunde", "y"]], 1),
        ([], None),
        ([["", " "], []], None),
    ],
)
def test_the_row_that_is_best_known_is_the_header(table: list[list[str]], number: int | None) -> None:
    assert found(*table) == number


def test_headers_of_the_mapping_are_known_too() -> None:
    table = [["Lead Number", "x"], ["Kunde", "Betreuer"]]
    assert found(*table) == 1
    assert found(*table, mapping={"kunde": "Lead Number", "BETREUER": "User Email"}) == 2
