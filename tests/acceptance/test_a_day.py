"""A day in the life of who shares leads: doctor, plan, run, crash, go on, fix, follow up, report, undo."""

from __future__ import annotations

import json
import shutil
import signal
from typing import TYPE_CHECKING

import openpyxl
import pytest
from kills import Killer
from processes import SAMPLES, SandboxProcess, Shell, sandbox_thread, shell_for

from batch_share.common import Rate
from batch_share.sandbox import SandboxOptions, World
from batch_share.sandbox.sheets import active_users

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHEET, LEDGER = "leads.xlsx", "leads.xlsx.ledger.db"
CANARY = 3
RUN = ("run", SHEET, "--event", "201", "--canary", str(CANARY), "--yes", "--json")
CREATE, STATUS = "ProspectActivity.svc/Create", "EntityAccess.svc/Status/Get"


@pytest.fixture
def killer() -> Killer:
    """What cuts a run off in the middle, once it knows which."""
    return Killer("activity:applied-not-answered", 10)


@pytest.fixture
def sandbox(killer: Killer) -> Iterator[SandboxProcess]:
    """With a limit that is met."""
    reported = SandboxOptions(port=0, rate=Rate(20, 0.4), latency=0.02, processing=0.1)
    with sandbox_thread(reported, killer) as made:
        yield made


@pytest.fixture
def shell(tmp_path: Path, sandbox: SandboxProcess) -> Shell:
    shutil.copy(SAMPLES / SHEET, tmp_path)
    slow = shell_for(sandbox, tmp_path)
    return Shell(tmp_path, {**slow.env, "BATCH_SHARE_RATE": "20/400ms"})


def reported(shell: Shell, *command: str, code: int) -> dict[str, int]:
    """The rows by state that a command ends with."""
    done = shell.run(*command)
    assert done.returncode == code, done.stderr
    states: dict[str, int] = json.loads(done.stdout)["states"]
    return states


def live(sandbox: SandboxProcess) -> int:
    return int(sandbox.report()["live_shares"]["count"])


def fix(file: Path) -> int:
    """Correct every row of a sheet of failed rows, as a person does; how many there are."""
    book, world = openpyxl.load_workbook(file), World()
    others = [lead.email for lead in reversed(world.leads) if lead.email]
    page = next(page for page in book if any(cell.value == "Reason" for row in page for cell in row))
    rows = list(page.iter_rows())
    header = next(at for at, row in enumerate(rows) if any(cell.value == "Reason" for cell in row))
    names = [str(cell.value) for cell in rows[header]]
    for at, row in enumerate(rows[header + 1 :]):
        if not row[names.index("Lead Number")].value:
            row[names.index("Lead Email")].value = others[at]
        row[names.index("Sales User")].value = active_users(world)[0].email
    book.save(file)
    return len(rows) - header - 1


def test_a_day(shell: Shell, sandbox: SandboxProcess, killer: Killer) -> None:
    checked = shell.run("doctor", "--json")
    assert (checked.returncode, json.loads(checked.stdout)["problems"]) == (0, 0)

    guards = ("--canary", str(CANARY), "--max-rows", "37")
    planned = shell.run("plan", SHEET, "--event", "201", "--online", *guards, "--json")
    plan = json.loads(planned.stdout)
    assert (planned.returncode, plan["rows"], plan["to_send"], plan["invalid"]) == (3, 40, 37, 3)
    assert plan["guards"] == "at most 37 rows, a canary of 3, stops after 10 failures in a row"
    assert plan["would_stop"] == []
    assert sandbox.report()["activities"] == 0

    crashed = shell.start(*RUN)  # in the middle of it, the power goes
    killer.pid = crashed.pid
    crashed.communicate()
    assert crashed.returncode == -signal.SIGKILL
    assert 0 < sandbox.report()["activities"] < 37
    assert sandbox.calls(STATUS)[CANARY - 1]["n"] < sandbox.calls(CREATE)[CANARY]["n"]  # the first three went first
    assert "cut off" in shell.run("runs").stdout

    assert reported(shell, "resume", "last", "--yes", "--json", code=3) == {"shared": 37, "invalid": 3}
    assert (sandbox.report()["duplicates"], live(sandbox)) == (0, 37)

    fixed = fix(shell.folder / "leads.failed.xlsx")
    assert fixed == 3
    again = ("run", "leads.failed.xlsx", "--event", "201", "--json")
    assert reported(shell, *again, code=0) == {"shared": 40}
    assert live(sandbox) == 40

    assert reported(shell, "follow-up", LEDGER, "--json", code=0) == {"shared": 40}
    assert shell.run("report", LEDGER, "-o", "report.html").returncode == 0
    assert "All 40 rows are shared" in (shell.folder / "report.html").read_text(encoding="utf-8")

    assert reported(shell, "revoke", LEDGER, "--yes", "--json", code=0) == {"revoked": 40}
    report = sandbox.report()
    assert (live(sandbox), report["duplicates"], report["refusals"]) == (0, 0, 0)
    assert reported(shell, *RUN, code=0) == {"revoked": 40}  # what was undone stays undone
