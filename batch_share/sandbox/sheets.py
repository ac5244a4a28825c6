"""Sheets that fit the sandbox's account, with the mistakes that sheets have: the demo's, and two of samples/.

Deterministic: the same world gives the same files.
"""

from __future__ import annotations

import csv
import datetime as dt
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch_share.sandbox.world import User, World

EVENT: Final = 201
_MADE: Final = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - a workbook's dates have no zone; any will do, if it stays
_ENDS: Final = dt.date(2035, 12, 31)
_REGIONS: Final = ("North", "East", "South", "West")
_HEADER: Final = (
    "Lead Name", "Lead Id", "Lead Number", "Phone", "Region", "Sales User", "User Id", "Access", "Duration",
    "Activity Event", "Note",
)  # fmt: skip
_CSV_ROWS: Final = 110  # done in half a minute at 25 calls in 5 seconds
_EXCEL_ROWS: Final = 40  # few enough to be looked through


def write_csv(world: World, file: Path) -> None:
    """A CSV of 110 leads, one to a row, its users in turn; four can't be sent, LeadSquared will refuse another."""
    users, at = active_users(world), _HEADER.index
    rows = [
        [
            f"{lead.first_name} {lead.last_name}",
            lead.id,
            str(lead.number),
            lead.phone,
            _REGIONS[number % 4],
            users[number % 6].name,
            users[number % 6].id,
            "write" if number % 3 == 0 else "read",
            ("7d", "12h", "1440")[number % 3],
            str(EVENT),
            "Holiday cover" if number % 5 == 0 else "",
        ]
        for number, lead in enumerate(world.leads[:_CSV_ROWS])
    ]
    rows[11][at("Lead Number")] = ""  # no mistake: the Lead Id says which lead it is
    rows[23][at("User Id")] = "asha@sales.example.com"
    rows[37][at("Duration")] = "soon"
    rows[52][at("Lead Number")] = str(world.leads[53].number)  # another lead's
    rows[64][at("Activity Event")] = "999"  # a type that was deactivated: refused when it is posted
    rows[80] = list(rows[79])  # the same row twice
    rows[95] = rows[95][:-2]  # two cells too few
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows([_HEADER, *rows])


def write_excel(world: World, file: Path) -> None:
    """A workbook as people keep them: another sheet before it, a title, e-mail addresses, columns of their own."""
    import xlsxwriter  # noqa: PLC0415 - only when a workbook is written

    with xlsxwriter.Workbook(file) as book:
        book.set_properties({"title": "Weekend cover", "created": _MADE})
        about = book.add_worksheet("About")
        about.write_column(0, 0, ["Weekend cover", "Kept by Sales Operations", "One lead to a row"])
        page = book.add_worksheet("Cover")
        bold = book.add_format({"bold": True, "font_size": 14})
        head = book.add_format({"bold": True, "bg_color": "#DDEBF7"})
        date = book.add_format({"num_format": "dd-mmm-yyyy"})
        page.write_string(0, 0, "Weekend cover, all regions", bold)
        page.write_string(1, 0, "Ask Sales Operations before you change anything")
        page.write_row(3, 0, _COVER, head)
        for number, row in enumerate(_cover(world), start=4):
            for column, cell in enumerate(row):
                if isinstance(cell, dt.date):
                    page.write_datetime(number, column, cell, date)
                elif cell != "":
                    page.write(number, column, cell)
        page.freeze_panes(4, 0)
        page.set_column(0, len(_COVER) - 1, 18)


_COVER: Final = ("Customer", "Lead Number", "Lead Email", "City", "Sales User", "Permission", "Until", "Note")


def _cover(world: World) -> Iterator[list[Any]]:
    """40 leads; three mistakes: nobody has that e-mail address, a user who left, a name for a user."""
    users = active_users(world)
    for number in range(_CSV_ROWS, _CSV_ROWS + _EXCEL_ROWS):
        lead, user = world.leads[number], users[number % 6]
        by_number = lead.number if number % 2 else ""
        by_email = "" if number % 2 else lead.email
        access, note = ("edit" if number % 4 == 0 else "view"), ("VIP" if number % 9 == 0 else "")
        row = [lead.first_name, by_number, by_email, _REGIONS[number % 4], user.email, access, _ENDS, note]
        match number - _CSV_ROWS:
            case 4:
                row[2] = "nobody@example.com"
            case 7:
                row[4] = world.users[9].email
            case 11:
                row[4] = world.users[1].name
        yield row


def active_users(world: World) -> list[User]:
    """Who is active, and no administrator."""
    return [user for user in world.users[1:] if user.active]
