"""Sheets as people make them, with the same mistake in row after row, and with rows that are no leads."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import openpyxl
import xlsxwriter

if TYPE_CHECKING:
    from pathlib import Path

    from processes import Shell


LEFT_OUT = "4 rows hold no lead, left out: rows 5, 26, 47 and 1 more"


def weekend_cover(file: Path, *ends: str) -> None:
    """A title above the table, sections, a total, 60 ends that are no date, and rows with these ends."""
    user = "isha.rao.2@sales.example.com"
    rows: list[list[object]] = [["Weekend cover"], ["Prepared by Asha"], []]
    rows.append(["No", "Lead Number", "User Email", "Until", "City", "Value"])
    for section, first in (("NORTH", 0), ("SOUTH", 20), ("WEST", 40)):
        rows.append([f"REGION {section}"])
        rows += ([at, 869000 + at, user, "31/31/2026", "Pune", 10] for at in range(first, first + 20))
    rows += ([at, 869000 + at, user, end, "", 10] for at, end in enumerate(ends, start=60))
    rows.append(["Total", "", "", "", "", 620])
    with xlsxwriter.Workbook(file) as book:
        page = book.add_worksheet("Cover")
        for number, cells in enumerate(rows):
            page.write_row(number, 0, cells)


def test_the_same_mistake_in_every_row_is_one_line(offline: Shell, tmp_path: Path) -> None:
    weekend_cover(tmp_path / "cover.xlsx")
    planned = offline.run("plan", "cover.xlsx", "--event", "201")
    assert planned.returncode == 3
    assert planned.stdout.startswith("cover.xlsx: 60 rows: 60 can't be sent.\n")
    assert f"\n  {LEFT_OUT}\n" in planned.stdout
    assert "\n  All 60 rows: Until '31/31/2026': not a date: " in planned.stdout
    assert planned.stdout.count("31/31/2026") == 1
    assert len(planned.stdout.splitlines()) <= 15
    reported = json.loads(offline.run("plan", "cover.xlsx", "--event", "201", "--json").stdout)
    assert (reported["rows"], len(reported["problems"]), len(reported["problem_cells"])) == (60, 60, 60)
    assert LEFT_OUT in reported["notes"]


def test_a_run_tells_each_mistake_once_and_each_row_its_own(shell: Shell, tmp_path: Path) -> None:
    end = f"{dt.datetime.now(dt.UTC).date() + dt.timedelta(days=30)}"
    weekend_cover(tmp_path / "cover.xlsx", end, "soon")
    done = shell.run("run", "cover.xlsx", "--event", "201", "--yes")
    assert done.returncode == 3
    assert LEFT_OUT in done.stderr
    assert "\nRows 6, 7, 8 and 58 more, for example row 6: Until '31/31/2026': not a date: " in done.stdout
    assert done.stdout.count("not a date") == 1
    assert len(done.stdout.splitlines()) <= 15
    states = json.loads(shell.run("status", "cover.xlsx.ledger.db", "--json").stdout)["states"]
    assert states == {"shared": 1, "invalid": 61}
    results = openpyxl.load_workbook(tmp_path / "cover.results.xlsx")["Results"]
    told = [[cell.value for cell in row[6:8]] for row in results.iter_rows(min_row=2)]
    assert sum(result == "invalid" and "not a date" in str(reason) for result, reason in told) == 61
    assert told[-1][1].startswith("Until: not a date"), "its row and cell stand beside"
    shell.run("report", "cover.xlsx.ledger.db", "--output", "report.html")
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Rows 6, 7, 8 and 58 more, for example row 6: Until" in report


def test_a_sheet_whose_other_rows_hold_no_lead_has_nothing_to_look_at(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "cover.csv").write_text(
        "No,Lead Number,User Email,Value\nNORTH,,,\n1,869001,isha.rao.2@sales.example.com,1\nTotal,,,1\n,,,\n",
        encoding="utf-8",
    )
    done = shell.run("run", "cover.csv", "--event", "201", "--duration", "7d", "--yes", "--json")
    assert (done.returncode, json.loads(done.stdout)["states"]) == (0, {"shared": 1})
    assert "2 rows hold no lead, left out: rows 2 and 4" in done.stderr
