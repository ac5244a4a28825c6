"""`batch-share plan`, and runs of a part of a sheet or of a plan that was approved."""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest
from hostile import wide
from processes import SAMPLES, SandboxProcess, Shell

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def samples(tmp_path: Path) -> Path:
    return shutil.copytree(SAMPLES, tmp_path, dirs_exist_ok=True)


def planned(shell: Shell, *arguments: str) -> dict[str, Any]:
    done = shell.run("plan", *arguments, "--json")
    assert "Traceback" not in done.stderr
    return dict(json.loads(done.stdout))


def states(shell: Shell, *arguments: str) -> dict[str, int]:
    done = shell.run("run", *arguments, "--yes", "--json")
    assert "Traceback" not in done.stderr
    return dict(json.loads(done.stdout)["states"])


def test_a_plan_makes_no_call_at_all(shell: Shell, sandbox: SandboxProcess) -> None:
    done = shell.run("plan", "leads.xlsx", "--event", "201")
    assert done.returncode == 3
    assert "leads.xlsx: 40 rows: 39 to be sent; 1 can't be sent.\n" in done.stdout
    assert "Row 16, Sales User 'Nisha Gupta': neither an e-mail address nor a GUID" in done.stdout
    assert "worksheet 'Cover'" in done.stdout
    assert "Columns: Permission → Access; kept but not read: Customer, City\n" in done.stdout
    assert sandbox.report()["total_calls"] == 0


def test_a_plan_online_looks_people_up_and_changes_nothing(shell: Shell, sandbox: SandboxProcess) -> None:
    plan = planned(shell, "leads.xlsx", "--event", "201", "--online")
    assert (plan["to_send"], plan["invalid"]) == (37, 3)
    assert any("no lead has this email" in problem for problem in plan["problems"])
    assert any("is no longer an active user" in problem for problem in plan["problems"])
    assert "Isha Rao <isha.rao.2@sales.example.com>" in plan["leads_per_user"]
    assert sandbox.report()["activities"] == 0


def test_a_workbook_that_is_too_much_is_refused_in_a_line(offline: Shell, tmp_path: Path) -> None:
    wide(tmp_path / "wide.xlsx")
    done = offline.run("plan", "wide.xlsx", BATCH_SHARE_SHEET__MEMORY_MB="600")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "batch-share: wide.xlsx: damaged, or too large to be read within 600 MB (sheet.memory_mb): "
        "open it in a spreadsheet program and save it as .xlsx\n"
    )


def test_a_plan_needs_no_keys(offline: Shell) -> None:
    done = offline.run("plan", "minimal.csv", "--event", "201", "--duration", "7d", BATCH_SHARE_ACCESS_KEY="")
    assert done.returncode == 0


def test_the_costs_are_reported(offline: Shell) -> None:
    plan = planned(offline, "leads.csv", "--rate", "25/5s", "--daily-limit", "1000")
    assert plan["calls"] == 3 * plan["to_send"] + 3  # and three to check two activity types' owners
    assert plan["seconds"] == round((plan["calls"] - 25) / 5)
    assert plan["share_of_daily_limit"] == plan["calls"] / 1000
    today = dt.datetime.now(dt.UTC).date()
    assert today <= dt.date.fromisoformat(plan["ends_on"]) <= today + dt.timedelta(days=1)
    said = offline.run("plan", "leads.csv", "--daily-limit", "100").stdout
    assert f"{plan['calls']}% of the 100 calls a day: run it again each day, and it ends on " in said


def test_the_guards_are_reported_and_what_would_stop_the_run(offline: Shell) -> None:
    sheet = ["minimal.csv", "--event", "201", "--duration", "7d"]
    reported = offline.run("plan", *sheet, "--canary", "2", "--stop-at", "5%", "--max-rows", "5")
    guards = "at most 5 rows, a canary of 2, stops after 10 failures in a row or at 5 % failed of 50 or more"
    assert f"\nGuards: {guards}.\n" in reported.stdout
    assert (reported.returncode, "Would stop" in reported.stdout) == (0, False)
    large = offline.run("plan", *sheet, "--max-rows", "4", "--max-per-user", "1")
    assert (
        "\nWould stop: 5 rows would be sent and --max-rows allows 4.\nWould stop: these users would" in large.stdout
    )
    assert large.returncode == 3
    plan = planned(offline, *sheet, "--max-rows", "4", "--stop-after-failures", "0")
    assert (plan["guards"], len(plan["would_stop"])) == ("at most 4 rows", 1)
    refused = offline.run("plan", *sheet, "--canary", "2", BATCH_SHARE_FOLLOW_UP="false")
    assert (refused.returncode, "needs the follow-up" in refused.stderr) == (2, True)


@pytest.mark.parametrize("name", ["plan.csv", "plan.xlsx"])
def test_every_row_has_its_plan_in_a_file(offline: Shell, tmp_path: Path, name: str) -> None:
    offline.run("plan", "mistakes.csv", "--output", name)
    assert (tmp_path / name).stat().st_size > 1000
    if name.endswith(".csv"):
        with (tmp_path / name).open(encoding="utf-8-sig", newline="") as source:
            rows = list(csv.DictReader(source))
        assert [row["Sheet Row"] for row in rows] == [str(number) for number in range(2, 23)]
        assert rows[0]["Plan"] == "to send"
        assert rows[1]["Reason"].startswith("Row 3, Lead Id 'not-a-guid'")
    else:
        _, *cells = openpyxl.load_workbook(tmp_path / name)["Results"].iter_rows()
        assert [row[-1].value for row in cells] == [*range(2, 23)]


def test_the_mapping_that_is_suggested_is_the_one_that_works(offline: Shell, tmp_path: Path) -> None:
    rows = "".join(f"86900{at};nisha.gupta.1@sales.example.com\n" for at in range(3))
    (tmp_path / "odd.csv").write_text(f"Lead #;User Email\n{rows}", encoding="utf-8")
    sheet = ["odd.csv", "--event", "201", "--duration", "7d"]
    refused = offline.run("plan", *sheet)
    option = re.search(r'--map "(.*)"', refused.stderr)
    assert (refused.returncode, option and option[1]) == (2, "Lead #=Lead Number")
    assert option
    assert planned(offline, *sheet, "--map", option[1])["to_send"] == 3


def test_a_mapping_can_be_saved_and_used(shell: Shell, tmp_path: Path) -> None:
    foreign = ["--map", "Lead-Nr=Lead Number", "--map", "Betreuer=User Email", "--map", "Dauer=Duration"]
    shell.run("plan", "export.csv", "--event", "201", *foreign, "--save-map", "saved.toml")
    assert planned(shell, "export.csv", "--event", "201", "--mapping", "saved.toml")["to_send"] == 12
    assert states(shell, "export.csv", "--event", "201", "--mapping", "saved.toml") == {"shared": 12}


def test_a_saved_mapping_does_not_say_what_only_a_person_can(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "owned.csv").write_text("Lead Number,Owner\n869000,isha.rao.2@sales.example.com\n")
    options = "owned.csv", "--event", "201", "--duration", "7d"
    assert shell.run("plan", *options, "--save-map", "saved.toml").returncode == 0
    assert "Owner" not in (tmp_path / "saved.toml").read_text()
    assert shell.run("run", *options, "--mapping", "saved.toml", "--yes").returncode == 2


def test_a_run_is_held_to_the_plan_that_was_approved(shell: Shell, sandbox: SandboxProcess, tmp_path: Path) -> None:
    options = ["--event", "201", "--duration", "7d"]
    shell.run("plan", "minimal.csv", *options, "--save", "plan.json")
    for changed in (["--event", "202", "--duration", "7d"], [*options, "--limit", "1"], [*options, "--note", "x"]):
        refused = shell.run("run", "minimal.csv", "--plan", "plan.json", *changed)
        assert refused.returncode == 1
        assert "changed since plan.json was approved. Nothing was sent" in refused.stderr
    assert states(shell, "minimal.csv", "--plan", "plan.json", *options) == {"shared": 5}
    with (tmp_path / "minimal.csv").open("a", encoding="utf-8") as sheet:
        sheet.write("869409,nisha.gupta.1@sales.example.com\n")
    assert shell.run("run", "minimal.csv", "--plan", "plan.json", *options).returncode == 1
    assert sandbox.report()["activities"] == 5


def test_a_part_first_and_then_the_whole_repeats_and_loses_nothing(shell: Shell, sandbox: SandboxProcess) -> None:
    assert states(shell, "leads.csv", "--limit", "3") == {"shared": 3, "skipped": 107}
    assert states(shell, "leads.csv", "--rows", "10-12") == {"shared": 6, "skipped": 104}
    assert states(shell, "leads.csv", "--only", "Region=North", "--limit", "5")["shared"] == 9
    assert states(shell, "leads.csv") == {"shared": 104, "invalid": 4, "skipped": 1, "failed": 1}
    assert sandbox.report()["duplicates"] == 0
    assert sandbox.report()["activities"] == 104


def test_an_end_is_kept_in_the_accounts_time_zone(shell: Shell, sandbox: SandboxProcess, tmp_path: Path) -> None:
    (tmp_path / "until.csv").write_text(
        "Lead Number,User Email,Until\n869000,nisha.gupta.1@sales.example.com,2035-06-30 18:00\n", encoding="utf-8"
    )
    assert states(shell, "until.csv", "--event", "201") == {"shared": 1}
    (share,) = sandbox.report()["live_shares"]["shares"]
    assert share["expires"].startswith(("2035-06-30 12:30", "2035-06-30 12:29"))  # Asia/Kolkata is 5:30 ahead


def test_one_row_is_called_one(offline: Shell, tmp_path: Path) -> None:
    user = "nisha.gupta.1@sales.example.com"
    lasting = ("1d", "2d", "3d", "4d", "5d", "6d", "6d")
    rows = [f"86900{at},{user},{each}," for at, each in enumerate(lasting)]
    rows = [*rows, rows[0], f"869009,{user},6d,2035-01-01"]
    (tmp_path / "one.csv").write_text("\n".join(["Lead Number,User Email,Duration,Start", *rows]), encoding="utf-8")
    said = offline.run("plan", "one.csv", "--event", "201", "--timezone", "UTC").stdout
    assert "; 1 the same as an earlier row, so not sent.\n" in said
    assert "8 to be sent (1 of them waits for its start, the first until 2035-01-01 00:00 UTC);" in said
    assert re.search(r"Lasting: 6 days \(3\), .* and 1 other\.", said)


def test_what_looks_odd_is_reported(offline: Shell, tmp_path: Path) -> None:
    user = "nisha.gupta.1@sales.example.com"
    rows = [f"86900{at},{user},read,{'100d' if at == 3 else '7d'}" for at in range(6)]
    content = "\n".join(["Lead Number,User Email,Access,Duration", *rows, f"869000,{user},write,7d"])
    (tmp_path / "odd.csv").write_text(content, encoding="utf-8")
    assert planned(offline, "odd.csv", "--event", "201")["oddities"] == [
        "the same lead and user twice, with different access: row 2 says read and row 8 says write",
        f"{user} gets 7 of 7 leads",
        "1 share lasts longer than 90 days: row 5",
    ]
