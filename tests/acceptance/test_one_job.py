"""A week's sheet with mistakes, corrected in its sheet of failed rows: one job, one number in every place."""

from __future__ import annotations

import csv
import datetime as dt
import json
from typing import TYPE_CHECKING

import openpyxl
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from processes import SandboxProcess, Shell

HEADER = ["Customer", "Lead Number", "User Email", "Access", "Until"]
USER = "isha.rao.2@sales.example.com"
ROWS = 60
WRONG = [*range(0, 60, 5)]  # twelve rows, of which four are never put right
END = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=30)


def week(rows: range) -> list[list[object]]:
    """Rows of a sheet, with mistakes in some."""
    made: list[list[object]] = [[f"Customer {at}", 869000 + at, USER, "read", f"{END:%d.%m.%Y}"] for at in rows]
    for at, row in zip(rows, made, strict=True):
        if at in WRONG:
            row[4 if at % 10 else 3] = "soon"
    return made


def write(file: Path, rows: list[list[object]]) -> None:
    if file.suffix == ".csv":
        with file.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows([HEADER, *rows])
        return
    book = openpyxl.Workbook()
    for row in [HEADER, *rows]:
        book.worksheets[0].append(row)
    book.save(file)


def correct(file: Path) -> None:
    """Put eight rows right, and sort them otherwise, as a person does it in a spreadsheet program."""
    if file.suffix == ".csv":
        with file.open(encoding="utf-8-sig", newline="") as read:
            header, *rows = csv.reader(read)
        for row in rows[:8]:
            row[3:5] = ["write", f"{END:%d/%m/%Y}"]
        with file.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows([header, *sorted(rows, reverse=True)])
        return
    book = openpyxl.load_workbook(file)
    page = book.worksheets[0]
    cells: list[list[object]] = [list(row) for row in page.iter_rows(min_row=2, values_only=True)]
    for each in cells[:8]:
        each[3:5] = ["write", END]
    for at, each in enumerate(reversed(cells), start=2):
        for column, value in enumerate(each, start=1):
            page.cell(at, column, value)
    book.save(file)


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_a_week_is_one_job_and_one_number(
    shell: Shell, tmp_path: Path, sandbox: SandboxProcess, suffix: str
) -> None:
    sheet, failed = tmp_path / f"week{suffix}", tmp_path / f"week.failed{suffix}"
    write(sheet, week(range(ROWS)))
    first = shell.run("run", sheet.name, "--event", "201", "--yes", "--one-line")
    assert first.stdout.startswith(f"{sheet.name}: 48 shared, 12 invalid (exit 3)")
    correct(failed)

    planned = shell.run("plan", failed.name)
    assert "  8 rows as corrected in " in planned.stdout
    done = shell.run("run", failed.name, "--yes", "--one-line")
    assert done.stdout.startswith(f"{sheet.name}: 56 shared, 4 invalid (exit 3)")
    assert "kept" not in done.stderr
    assert sorted(each.name for each in tmp_path.glob("*.ledger.db")) == [f"{sheet.name}.ledger.db"]

    shown = shell.run("status", sheet.name)
    assert shown.stdout.startswith("56 of 60 rows are shared.")
    assert shell.run("status", failed.name).stdout == shown.stdout
    assert f"\n8 rows as corrected in {failed.name}." in shown.stdout
    assert f"batch-share run {failed.name}\n" in shown.stdout
    told = json.loads(shell.run("status", sheet.name, "--json").stdout)
    assert (told["states"], told["corrected"]) == ({"shared": 56, "invalid": 4}, {failed.name: 8})
    shell.run("report", sheet.name, "--output", "report.html")
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "56 of 60 rows are shared." in report
    assert f"8 rows as corrected in {failed.name}." in report
    if suffix == ".xlsx":
        book = openpyxl.load_workbook(tmp_path / "week.results.xlsx")
        assert book.sheetnames == ["Summary", "Failures", "Results"]
        assert book["Summary"]["A1"].value == "56 of 60 rows shared"
        assert book["Failures"].max_row == 5
        assert [book["Results"]["D2"].value, book["Results"]["F2"].value] == ["write", "shared"]
        assert openpyxl.load_workbook(failed).worksheets[0].max_row == 5
    else:
        with (tmp_path / "week.results.csv").open(encoding="utf-8-sig", newline="") as read:
            results = [*csv.DictReader(read)]
        assert (len(results), results[0]["Access"], results[0]["Result"]) == (60, "write", "shared")
        assert len(failed.read_text(encoding="utf-8-sig").splitlines()) == 5

    calls = sandbox.report()["live_shares"]["count"]
    again = shell.run("run", sheet.name, "--event", "201", "--yes", "--one-line")
    assert again.stdout.startswith(f"{sheet.name}: 56 shared, 4 invalid (exit 3)")
    again = shell.run("run", sheet.name, "--event", "201", "--note", "Taken in anew", "--yes", "--one-line")
    assert again.stdout.startswith(f"{sheet.name}: 56 shared, 4 invalid (exit 3)")
    assert sandbox.report()["live_shares"]["count"] == calls == 56

    write(sheet, week(range(61, 64)))  # the next week's, by the same name
    last = shell.run("run", sheet.name, "--event", "201", "--yes", "--one-line")
    assert last.stdout.startswith(f"{sheet.name}: 3 shared (exit 0)")
    shown = shell.run("status", sheet.name)
    assert shown.stdout.startswith("All 3 rows are shared.")
    assert "Apart from these, 56 rows from earlier sheets: 56 shared." in shown.stdout
    assert not failed.exists()
