"""A week of somebody with a workbook: planned, sent, stopped, gone on with, corrected in Excel, and one number."""

from __future__ import annotations

import datetime as dt
import json
import signal
from typing import TYPE_CHECKING

import openpyxl
import pytest
from processes import Pause, SandboxProcess, Shell, sandbox_thread, shell_for
from week import ROWS, STAYS_WRONG, TYPO, YEAR, write

from batch_share.common import Rate
from batch_share.sandbox import SandboxOptions, World
from batch_share.sandbox.sheets import active_users

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openpyxl.worksheet.worksheet import Worksheet

HOW = ("--event", "Site visit", "--timezone", "UTC")
RUN = ("run", "reassign.xlsx", *HOW, "--yes")


@pytest.fixture
def sandbox(pause: Pause) -> Iterator[SandboxProcess]:
    """With a limit that is met."""
    options = SandboxOptions(port=0, rate=Rate(200, 0.4), latency=0.005, processing=0.1)
    with sandbox_thread(options, pause) as made:
        yield made


@pytest.fixture
def shell(tmp_path: Path, sandbox: SandboxProcess) -> Shell:
    slow = shell_for(sandbox, tmp_path)
    return Shell(tmp_path, {**slow.env, "BATCH_SHARE_RATE": "200/400ms"})


def find(page: Worksheet, text: str) -> tuple[int, int]:
    """Where a cell says this."""
    return next((cell.row, cell.column) for row in page for cell in row if cell.value == text)


def correct(file: Path) -> None:
    """Correct four rows of the sheet of failed rows, as a person does in Excel, and sort it otherwise."""
    world = World()
    leads = [lead for lead in world.leads if lead.email]
    book = openpyxl.load_workbook(file)
    page = next(page for page in book if any(cell.value == "Reason" for row in page for cell in row))
    top, _ = find(page, "Reason")
    header = [str(cell.value) for cell in page[top]]
    rows = [[cell.value for cell in row] for row in page.iter_rows(min_row=top + 1)]
    assert len(rows) == 8
    for row in rows:
        named = dict(zip(header, row, strict=True))
        if named["Contact E-mail"] == f"nobody-{TYPO}@example.com":
            row[header.index("Contact E-mail")] = leads[TYPO].email
        if named["Assign To"] == "left.the.company@sales.example.com":
            row[header.index("Assign To")] = active_users(world)[3].email
        if named["Access"] == "full":
            row[header.index("Access")] = "write"
        if named["Share Until"] == "end of March":
            row[header.index("Share Until")] = dt.datetime(YEAR, 3, 31, tzinfo=dt.UTC).replace(tzinfo=None)
    for at, row in enumerate(reversed(rows), top + 1):
        for column, value in enumerate(row, 1):
            page.cell(at, column, value)
    book.save(file)


def look_ups(sandbox: SandboxProcess) -> int:
    """Calls by which leads were looked up."""
    return len(sandbox.calls("LeadManagement.svc/Leads.Get"))


def test_a_week(shell: Shell, sandbox: SandboxProcess, pause: Pause, tmp_path: Path) -> None:
    write(tmp_path / "reassign.xlsx")

    planned = shell.run("plan", "reassign.xlsx", *HOW, "--online", "--json")
    plan = json.loads(planned.stdout)
    assert (planned.returncode, plan["rows"], plan["to_send"], plan["invalid"]) == (3, ROWS, 292, 8)
    assert plan["parts"]["to_send"] + plan["parts"]["invalid"] == ROWS
    assert any("2 rows" in note for note in plan["notes"]), "of the section and the total"
    asked = look_ups(sandbox)

    pause.after = 30
    stopped = shell.start(*RUN)
    pause.catch(stopped)
    stopped.send_signal(signal.SIGINT)
    pause.go_on()
    _, err = stopped.communicate()
    assert stopped.returncode == 130, err
    assert 30 <= sandbox.report()["activities"] < 292
    assert shell.run(*RUN).returncode == 3
    assert look_ups(sandbox) - asked <= 2 * 8, "of those alone who are not there"
    report = sandbox.report()
    assert (report["activities"], report["duplicates"], report["refusals"]) == (292, 0, 0)

    correct(tmp_path / "reassign.failed.xlsx")
    done = shell.run("run", "reassign.failed.xlsx", "--yes", "--json")
    assert json.loads(done.stdout)["states"] == {"shared": 296, "invalid": 4}, done.stderr
    check_one_number(shell, tmp_path)

    again = shell.run(*RUN, "--json")
    assert json.loads(again.stdout)["states"] == {"shared": 296, "invalid": 4}
    check_one_number(shell, tmp_path)
    report = sandbox.report()
    assert (report["activities"], report["live_shares"]["count"], report["duplicates"]) == (296, 296, 0)


def check_one_number(shell: Shell, folder: Path) -> None:
    """Every place says the same, and nothing tells to correct what was corrected."""
    for name in ("reassign.xlsx", "reassign.failed.xlsx"):
        status = shell.run("status", name)
        assert "296 of 300" in status.stdout + status.stderr
        assert json.loads(shell.run("status", name, "--json").stdout)["states"] == {"shared": 296, "invalid": 4}
    assert "296 shared" in shell.run("run", "reassign.xlsx", *HOW, "--yes", "--one-line").stdout
    assert shell.run("report", "reassign.xlsx", "-o", "report.html").returncode == 0
    assert "296 of 300 rows are shared" in (folder / "report.html").read_text(encoding="utf-8")
    book = openpyxl.load_workbook(folder / "reassign.results.xlsx")
    said = {str(cell.value) for page in book for row in page for cell in row if cell.value is not None}
    assert any("296 of 300" in each for each in said)
    assert "end of March" not in said
    failed = openpyxl.load_workbook(folder / "reassign.failed.xlsx")
    page = next(page for page in failed if any(cell.value == "Reason" for row in page for cell in row))
    top, _ = find(page, "Reason")
    assert page.max_row - top == len(STAYS_WRONG)
