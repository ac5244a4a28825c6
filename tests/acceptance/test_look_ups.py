"""From the shell: nobody is looked up twice, mistakes come first, and activity types go by their names."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pytest

from batch_share.sandbox import World
from batch_share.sandbox.sheets import active_users

if TYPE_CHECKING:
    from pathlib import Path

    from processes import SandboxProcess, Shell

ALONE = "LeadManagement.svc/RetrieveLeadByPhoneNumber"
USERS = "UserManagement.svc/Users.Get"


@pytest.fixture(autouse=True)
def sheet(tmp_path: Path) -> Path:
    """Leads by phone, which are looked up one by one, and two rows that say something wrong."""
    return write(tmp_path / "visits.csv", 0, 30)


def write(file: Path, first: int, last: int) -> Path:
    world = World()
    users = active_users(world)
    with file.open("w", newline="", encoding="utf-8") as out:
        lines = csv.writer(out)
        lines.writerow(["Lead Phone", "User Email", "Days"])
        leads = enumerate(world.leads[first:last])
        lines.writerows([lead.phone, users[at % 4].email, "soon" if at in {3, 8} else "7"] for at, lead in leads)
    return file


def looked_up(sandbox: SandboxProcess) -> tuple[int, int]:
    calls = sandbox.report()["calls"]
    return calls.get(ALONE, 0), calls.get(USERS, 0)


def test_whom_a_plan_found_the_run_and_the_next_sheet_do_not_look_up(
    shell: Shell, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    event = ("--event", "201")
    planned = shell.run("plan", "visits.csv", *event, "--online")
    assert "can't be sent" not in planned.stderr, "so few are looked up in no time: all is told together"
    assert "  Rows 5 and 10: Days 'soon': " in planned.stdout
    assert looked_up(sandbox) == (28, 1)
    assert (
        "32 of 32 leads and users are known from earlier look-ups."
        in shell.run("plan", "visits.csv", *event).stdout
    )
    done = shell.run("run", "visits.csv", *event, "--yes")
    assert "32 of 32 leads and users are known from earlier look-ups." in done.stderr
    write(tmp_path / "next.csv", 2, 32)
    done = shell.run("run", "next.csv", *event, "--yes")
    assert "28 of 32 leads and users are known from earlier look-ups." in done.stderr
    assert looked_up(sandbox) == (32, 1)
    shell.run("plan", "visits.csv", *event, "--online", "--ledger", "other.db", BATCH_SHARE_KEEP_ANSWERS="0")
    assert looked_up(sandbox) == (60, 2)


def test_an_activity_type_goes_by_its_name(shell: Shell, sandbox: SandboxProcess) -> None:
    named = ("visits.csv", "--event", "Site visit")
    assert "Activity “Site visit”. Its code is looked up with --online" in shell.run("plan", *named).stdout
    wrong = shell.run("plan", "visits.csv", "--event", "Site vist", "--online")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    (said,) = [line for line in wrong.stderr.splitlines() if "event" in line]
    assert said.startswith(
        "batch-share: event: the account has no activity type 'Site vist'; it has 201 (Site visit)"
    )
    assert looked_up(sandbox) == (0, 0)
    assert "Activity “Site visit” (201)." in shell.run("plan", *named, "--online", "--save", "plan.json").stdout
    done = shell.run("run", *named, "--plan", "plan.json", "--yes", "--json")
    assert json.loads(done.stdout)["states"] == {"shared": 28, "invalid": 2}
    again = shell.run("run", "visits.csv", "--event", "201", "--yes", "--json")
    assert json.loads(again.stdout)["states"] == {"shared": 28, "invalid": 2}
    retried = shell.run("retry", "visits.csv", "--yes", "--json", BATCH_SHARE_EVENT="Site visit")
    assert "Traceback" not in retried.stderr
    assert sandbox.report()["activities"] == 28
