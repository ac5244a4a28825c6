"""Sheets of any length that fit the sandbox's account, written row by row: a million leads take no memory here."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

from trial import HEADER

from batch_share.sandbox.sheets import EVENT, active_users
from batch_share.sandbox.world import FIRST_NUMBER, World, guid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

SEED = 1

NOTHING: Final[Mapping[str, str]] = {}

WIDE: Final = {
    "Name": "Asha Rao {at}",
    "City": "Pune",
    "Phone": "+91 98{at:08}",
    "Stage": "Open",
    "Source": "Web",
    "Remark": "",
}
"""Columns that sheets have besides, by header: what is in them, `at` being the row."""


def rows_of(count: int) -> Iterator[list[str]]:
    """A row for each of as many leads, with the users in turn; as `trial.sheet_rows`, without a world of leads."""
    users = [user.id for user in active_users(World(SEED, leads=0))]
    for at in range(count):
        number = str(FIRST_NUMBER + at)
        yield [guid(SEED, "lead", at), number, users[at % 5], ("read", "write")[at % 2], "7d", str(EVENT)]


def write_csv(file: Path, count: int, more: Mapping[str, str] = NOTHING) -> None:
    """A CSV of `count` rows, with these columns more."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow([*HEADER, *more])
        writer.writerows(_with(more, rows_of(count)))


def write_excel(file: Path, count: int, more: Mapping[str, str] = NOTHING) -> None:
    """A workbook of `count` rows, with these columns more."""
    import xlsxwriter

    with xlsxwriter.Workbook(file, {"constant_memory": True}) as book:
        page = book.add_worksheet("Leads")
        page.write_row(0, 0, [*HEADER, *more])
        for number, row in enumerate(_with(more, rows_of(count)), start=1):
            page.write_row(number, 0, row)


def _with(more: Mapping[str, str], rows: Iterable[list[str]]) -> Iterator[list[str]]:
    for at, row in enumerate(rows):
        yield [*row, *(text.format(at=at) for text in more.values())]
