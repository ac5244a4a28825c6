"""Sheets that fit the sandbox's account, with the mistakes that sheets have: the demo's, and those in samples/.

Deterministic: the same world gives the same files, so a test can hold samples/ against this.
"""

from __future__ import annotations

import csv
import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batch_share.sandbox.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch_share.sandbox.world import Lead, User

EVENT: Final = 201
_MADE: Final = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - a workbook's dates have no zone; any will do, if it stays
_REGIONS: Final = ("North", "East", "South", "West")
_HEADER: Final = (
    "Lead Name", "Lead Id", "Lead Number", "Phone", "Region", "Sales User", "User Id", "Access", "Duration",
    "Activity Event", "Note",
)  # fmt: skip
_CSV_ROWS: Final = 110
_EXCEL_ROWS: Final = 40


def write_csv(world: World, file: Path) -> None:
    """A CSV of 110 leads; four rows can't be sent, and LeadSquared will refuse two more."""
    rows = [list(row) for row in _rows(world, 0, _CSV_ROWS)]
    rows[11][_at("Lead Number")] = ""
    rows[23][_at("User Id")] = "asha@sales.example.com"
    rows[37][_at("Duration")] = "soon"
    rows[52][_at("Lead Number")] = str(world.leads[53].number)  # another lead's: refused when it is shared
    rows[64][_at("Activity Event")] = "999"  # no such activity type: refused when it is posted
    rows[80] = list(rows[79])  # the same row twice
    rows[95] = rows[95][:-2]  # two cells too few
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows([_HEADER, *rows])


def write_excel(world: World, file: Path) -> None:
    """A workbook of 40 leads, numbers as numbers; one row's user is no longer active."""
    import xlsxwriter  # noqa: PLC0415 - only when a workbook is written

    rows = [list(row) for row in _rows(world, _CSV_ROWS, _EXCEL_ROWS)]
    retired = world.users[9]
    rows[7][_at("Sales User")], rows[7][_at("User Id")] = retired.name, retired.id
    with xlsxwriter.Workbook(file) as book:
        book.set_properties({"title": "Leads to share", "created": _MADE})
        page = book.add_worksheet("To share")
        head = book.add_format({"bold": True, "bg_color": "#DDEBF7"})
        page.write_row(0, 0, _HEADER, head)
        page.freeze_panes(1, 0)
        for number, row in enumerate(rows, start=1):
            for column, cell in enumerate(row):
                write = page.write_number if column in _NUMBERS else page.write_string
                write(number, column, int(cell) if column in _NUMBERS else cell)
        page.autofit()


def _rows(world: World, first: int, count: int) -> Iterator[tuple[str, ...]]:
    """One lead to a row, its users in turn; who is active, and no administrator."""
    users = [user for user in world.users[1:] if user.active]
    for number in range(first, first + count):
        yield _row(world.leads[number], users[number % 6], number)


def _row(lead: Lead, user: User, number: int) -> tuple[str, ...]:
    return (
        f"{lead.first_name} {lead.last_name}",
        lead.id,
        str(lead.number),
        lead.phone,
        _REGIONS[number % 4],
        user.name,
        user.id,
        "write" if number % 3 == 0 else "read",
        ("7d", "12h", "1440")[number % 3],
        str(EVENT),
        "Holiday cover" if number % 5 == 0 else "",
    )


def _at(header: str) -> int:
    return _HEADER.index(header)


_NUMBERS: Final = (_at("Lead Number"), _at("Activity Event"))


def _main() -> None:
    """Make samples/ again: `python -m batch_share.sandbox.sheets samples`."""
    folder, world = Path(sys.argv[1]), World()
    write_csv(world, folder / "leads.csv")
    write_excel(world, folder / "leads.xlsx")


if __name__ == "__main__":
    _main()
