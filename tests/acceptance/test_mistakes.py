"""Sheets as people make them, with the same mistake in row after row, and with rows that are no leads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import openpyxl
import xlsxwriter

if TYPE_CHECKING:
    from pathlib import Path

    from processes import Shell


def weekend_cover(file: Path) -> None:
    """What people make of a sheet: a title above it, sections, a total, 60 ends that are no date, two rows to send."""
    rows: list[list[object]] = [["Weekend cover"], ["Prepared by Asha"], []]
    rows.append(["No", "Lead Number", "User Email", "Until", "City", "Value"])
    for section, first in (("NORTH", 0), ("SOUTH", 20), ("WEST", 40)):
        rows.append([f"REGION {section}"])
        for at in range(first, first + 20):
            rows.append([at, 869000 + at, "isha.rao.2@sales.example.com", "31/31/2095", "Pune", 10])
    for at in (60, 61):
        rows.append([at, 869000 + at, "isha.rao.2@sales.example.com", "2095-12-31" if at == 60 else "soon", "", 10])
    rows.append(["Total", "", "", "", "", 620])
    with xlsxwriter.Workbook(file) as book:
        page = book.add_worksheet("Cover")
        for number, cells in enumerate(rows):
            page.write_row(number, 0, cells)


def test_the_same_mistake_is_told_once_and_rows_that_hold_no_lead_are_left_out(
    shell: Shell, tmp_path: Path
) -> None:
    weekend_cover(tmp_path / "cover.xlsx")
    planned = shell.run("plan", "cover.xlsx", "--event", "201")
    assert planned.returncode == 3
    assert planned.stdout.startswith("cover.xlsx: 62 rows\n")
    assert "  4 rows hold no lead, left out: rows 5, 26, 47 and 1 more\n" in planned.stdout
    mistake = "Rows 6, 7, 8 and 58 more, such as row 6: Until '31/31/2095': not a date: "
    assert planned.stdout.count("not a date") == planned.stdout.count(mistake) == 1
    assert len(planned.stdout.splitlines()) <= 15
    assert len(json.loads(shell.run("plan", "cover.xlsx", "--event", "201", "--json").stdout)["problems"]) == 61
    done = shell.run("run", "cover.xlsx", "--event", "201", "--yes")
    assert done.returncode == 3
    assert "4 rows hold no lead, left out: rows 5, 26, 47 and 1 more" in done.stderr
    assert done.stdout.count("not a date") == done.stdout.count(mistake) == 1
    assert len(done.stdout.splitlines()) <= 15
    states = json.loads(shell.run("status", "cover.xlsx.ledger.db", "--json").stdout)["states"]
    assert states == {"shared": 1, "invalid": 61}
    book = openpyxl.load_workbook(tmp_path / "cover.results.xlsx")
    reasons = [str(cells[1].value) for cells in [row[6:] for row in book["Results"].iter_rows(min_row=2)]]
    assert len([reason for reason in reasons if reason.startswith("Row ") and "not a date" in reason]) == 61


def test_a_sheet_whose_other_rows_hold_no_lead_has_nothing_to_look_at(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "cover.csv").write_text(
        "No,Lead Number,User Email,Value\nNORTH,,,\n1,869001,isha.rao.2@sales.example.com,1\nTotal,,,1\n,,,\n",
        encoding="utf-8",
    )
    done = shell.run("run", "cover.csv", "--event", "201", "--duration", "7d", "--yes", "--json")
    assert (done.returncode, json.loads(done.stdout)["states"]) == (0, {"shared": 1})
    assert "2 rows hold no lead, left out: rows 2 and 4" in done.stderr
