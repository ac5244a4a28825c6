"""A workbook as people have them: a title, merged cells, sections, a total, dates in five forms, mistakes."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import openpyxl

from batch_share.sandbox import World
from batch_share.sandbox.sheets import active_users

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 300
YEAR = dt.datetime.now(dt.UTC).year + 1
HEADER = ("Lead Number", "Contact E-mail", "Assign To", "Access", "Share Until", "Remarks")
HEADER_ROW = 4
FORMS: tuple[Callable[[dt.date], object], ...] = (
    lambda day: day,  # a date of Excel's own
    lambda day: f"{day:%d/%m/%Y}",
    lambda day: f"{day:%d-%b-%Y}",
    lambda day: f"{day:%d.%m.%Y}",
    lambda day: f"{day.day} {day:%B %Y}",
)
TYPO, NOBODY, WRONG_DATE, WRONG_ACCESS = 20, 60, 120, 180
STAYS_WRONG = (240, 241, 242, 243)


def write(file: Path) -> None:
    """A workbook as people have them: a title, merged cells, sections, a total, dates in five forms, mistakes."""
    world = World()
    users, leads = active_users(world), [lead for lead in world.leads if lead.email]
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    page["A1"] = "Leads to be shared this quarter"
    page.merge_cells("A1:F1")
    page["A2"] = "Sales operations, north and south"
    for at, name in enumerate(HEADER, 1):
        page.cell(HEADER_ROW, at, name)
    for at in range(ROWS):
        lead, day = leads[at], dt.date(YEAR, 1 + at % 12, 13 + at % 15)
        row: list[object] = [lead.number, lead.email, users[at % 7].email, "write" if at % 3 == 0 else "read"]
        row += [FORMS[at % 5](day), "" if at % 10 else "call first"]
        if at in {TYPO, *STAYS_WRONG}:
            row[0], row[1] = None, f"nobody-{at}@example.com"
        if at == NOBODY:
            row[2] = "left.the.company@sales.example.com"
        if at == WRONG_DATE:
            row[4] = "end of March"
        if at == WRONG_ACCESS:
            row[3] = "full"
        page.append(row)
        if at == ROWS // 2:
            page.append(["", "", "", "", "", "South"])
    page.append(["", "", "", "", "", f"Total: {ROWS}"])
    book.save(file)
