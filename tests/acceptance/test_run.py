"""`batch-share run` and what goes with it, as a person or a script starts it."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from processes import SAMPLES, SandboxProcess, Shell

from batch_share.sandbox import World
from batch_share.sandbox.sheets import active_users

EXPECTED = {"shared": 104, "invalid": 4, "skipped": 1, "failed": 1}
"""What becomes of samples/leads.csv: see batch_share/sandbox/sheets.py."""


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    return Path(shutil.copy(SAMPLES / "leads.csv", tmp_path))


def object_of(output: str) -> dict[str, Any]:
    """The one JSON object on standard output."""
    return dict(json.loads(output))


def results(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as source:
        return list(csv.DictReader(source))


def test_a_sheet_is_shared_to_its_last_row(shell: Shell, sandbox: SandboxProcess, sheet: Path) -> None:
    done = shell.run("run", "leads.csv", "--yes", "--json")
    assert done.returncode == 3
    summary = object_of(done.stdout)
    assert summary["rows"] == 110
    assert summary["states"] == EXPECTED
    report = sandbox.report()
    assert report["refusals"] == 0
    assert report["duplicates"] == 0
    assert report["live_shares"]["count"] == EXPECTED["shared"]


def test_the_results_hold_every_row_in_order_with_what_became_of_it(shell: Shell, sheet: Path) -> None:
    summary = object_of(shell.run("run", "leads.csv", "--yes", "--json").stdout)
    rows = results(sheet.with_name("leads.results.csv"))
    assert summary["results"] == str(sheet.with_name("leads.results.csv"))
    assert [row["Sheet Row"] for row in rows] == [str(number) for number in range(2, 112)]
    assert all(row["Activity Id"] and row["Request Id"] for row in rows if row["Result"] == "shared")
    assert {row["Share Status"] for row in rows if row["Result"] == "shared"} == {"6"}
    assert rows[37]["Reason"].startswith("Duration: 'soon' is no duration: write minutes, or 30m, ")
    assert rows[0]["Phone"] == "'+91-9810000019"


def test_the_same_command_again_sends_nothing(shell: Shell, sandbox: SandboxProcess, sheet: Path) -> None:
    shell.run("run", "leads.csv", "--yes")
    calls = sandbox.report()["total_calls"]
    again = shell.run("run", "leads.csv")
    assert again.returncode == 3
    assert "Nothing left to send." in again.stderr
    assert sandbox.report()["total_calls"] == calls


def test_status_and_results_answer_without_the_sheet_and_the_account(shell: Shell, sheet: Path) -> None:
    ran = object_of(shell.run("run", "leads.csv", "--rows", "20-30", "--json").stdout)
    sheet.unlink()
    status = shell.run("status", "leads.csv.ledger.db", "--json", BATCH_SHARE_HOST="")
    assert object_of(status.stdout) == {name: value for name, value in ran.items() if name != "preview"}
    assert status.returncode == 3
    answered = shell.run("results", "leads.csv.ledger.db", "-o", "answered.xlsx", BATCH_SHARE_HOST="")
    assert answered.returncode == 0
    assert answered.stdout.strip() == "answered.xlsx"
    assert sheet.with_name("answered.xlsx").stat().st_size > 1000


def test_follow_up_can_come_days_later(shell: Shell, sheet: Path) -> None:
    ran = shell.run("run", "leads.csv", "--yes", "--json", "--no-follow-up")
    assert ran.returncode == 3
    assert object_of(ran.stdout)["states"]["accepted"] == EXPECTED["shared"]
    followed = shell.run("follow-up", "leads.csv.ledger.db", "--json", "--wait", "20s")
    assert object_of(followed.stdout)["states"] == EXPECTED


def test_a_workbook_comes_back_as_a_workbook(shell: Shell, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "leads.xlsx", tmp_path)
    summary = object_of(shell.run("run", "leads.xlsx", "--event", "201", "--json").stdout)
    assert summary["states"] == {"shared": 37, "invalid": 3}
    assert summary["results"].endswith("leads.results.xlsx")


def test_above_50_rows_nobody_at_the_terminal_means_no(shell: Shell, sandbox: SandboxProcess, sheet: Path) -> None:
    refused = shell.run("run", "leads.csv")
    assert refused.returncode == 1
    assert "--yes" in refused.stderr
    assert sandbox.report()["activities"] == 0


ASKED = re.compile(
    r"5 leads to 3 people \(read\) with activity “Site visit” \(201\), until \d+ \w{3} \d{4}; "
    r"lead from “Lead Number”, person from “User Email”. "
    r"Send\? \(y/N\)"
)


def plain(shown: str) -> str:
    """What a terminal shows, without colours and where its lines were broken."""
    return " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).split())


@pytest.mark.parametrize("json_too", [False, True])
def test_on_a_terminal_a_run_of_any_size_asks_in_one_sentence(
    shell: Shell, sandbox: SandboxProcess, tmp_path: Path, json_too: bool
) -> None:
    shutil.copy(SAMPLES / "minimal.csv", tmp_path)
    command = ("run", "minimal.csv", "--event", "201", "--duration", "7d", *(["--json"] if json_too else []))
    for answer in ("", "n"):
        code, out, shown = shell.at_terminal(answer, *command)
        assert (code, len(ASKED.findall(plain(shown)))) == (1, 1)
        assert "Nothing was sent: the run was not confirmed." in shown
        assert sandbox.report()["activities"] == 0
    code, _, shown = shell.at_terminal("n", "resume", "minimal.csv.ledger.db")
    assert (code, len(ASKED.findall(plain(shown)))) == (1, 1)
    code, out, shown = shell.at_terminal("y", *command)
    assert (code, len(ASKED.findall(plain(shown)))) == (0, 1)
    assert sandbox.report()["live_shares"]["count"] == 5
    if json_too:
        assert object_of(out)["states"] == {"shared": 5}


def test_yes_sends_without_a_question_and_says_what_it_sends_all_the_same(
    shell: Shell, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    shutil.copy(SAMPLES / "minimal.csv", tmp_path)
    command = ("run", "minimal.csv", "--event", "201", "--duration", "7", "--yes")
    code, _, shown = shell.at_terminal("n", *command)
    assert (code, "(y/N)" in shown) == (0, False)
    assert "5 leads to 3 people (read) with activity “Site visit” (201), for 7 minutes; " in plain(shown)
    assert sandbox.report()["live_shares"]["count"] == 5


@pytest.mark.parametrize(("rows", "code", "words"), [("2-9", 0, "8 leads to "), ("2-60", 1, "Add --yes to send")])
def test_a_closed_standard_input_is_nobody_to_ask(
    shell: Shell, sheet: Path, rows: str, code: int, words: str
) -> None:
    command = ["sh", "-c", 'exec "$0" -m batch_share run leads.csv --rows "$1" <&-', sys.executable, rows]
    done = subprocess.run(command, cwd=shell.folder, env=shell.env, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert words in done.stderr
    assert done.returncode == code


def test_the_screen_says_what_is_wrong_and_where_things_are(shell: Shell, sheet: Path) -> None:
    done = shell.run("run", "leads.csv", "--yes")
    assert "105 rows to send: 318 calls (with the follow-up)" in done.stderr
    assert "Row 25, User Id 'asha@sales.example.com': not a GUID" in done.stdout
    assert "Row 66: LeadSquared refused the activity: Invalid event code" in done.stdout
    assert "\nResults, with 3 more reasons: leads.results.csv\n" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        (["run", "nothing.csv"], {}, "nothing.csv: there is no such file"),
        (["run", "leads.csv"], {"BATCH_SHARE_ACCESS_KEY": ""}, "access_key: is not set"),
        (["run", "leads.csv"], {"BATCH_SHARE_HOST": "http://example.com"}, "host: use https://"),
        (["run", "leads.csv", "--rate", "fast"], {}, "rate: 'fast' is no rate"),
        (["run", "leads.csv", "--access", "admin"], {}, "access: not an access"),
        (["run", "leads.csv", "--worksheet", "One"], {}, "a CSV file has no worksheet 'One'"),
        (["run", "leads.csv", "--frobnicate"], {}, "No such option: --frobnicate"),
        (["sandbox", "--limit", "0"], {}, "sandbox: '0' is no rate"),
        (["status", "leads.csv"], {}, "it was never run on this machine"),
    ],
)
def test_a_mistake_in_the_command_is_one_sentence_and_exit_code_2(
    offline: Shell, sheet: Path, arguments: list[str], env: dict[str, str], words: str
) -> None:
    done = offline.run(*arguments, **env)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_sheet_without_rows_is_one_sentence_and_leaves_nothing(
    offline: Shell, tmp_path: Path, command: str
) -> None:
    (tmp_path / "empty.csv").write_text("Lead Number,User Email\n", encoding="utf-8")
    done = offline.run(command, "empty.csv", "--event", "201", "--duration", "7d")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == "batch-share: empty.csv: the sheet is empty: no row with a lead stands below its headers\n"
    )
    assert [file.name for file in tmp_path.glob("empty*")] == ["empty.csv"]


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        (["resume", "nothing.db"], {}, "there is no such file"),
        (["run", "leads.csv", "--yes", "--ledger", "no/such/folder.db"], {}, "folder"),
        (["run", "leads.csv", "--yes"], {"BATCH_SHARE_STATE_FOLDER": "leads.csv/state"}, "state folder"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_code_1(
    offline: Shell, sheet: Path, arguments: list[str], env: dict[str, str], words: str
) -> None:
    done = offline.run(*arguments, **env)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_keys_are_one_sentence_and_exit_code_1(shell: Shell, sheet: Path) -> None:
    done = shell.run("run", "leads.csv", "--yes", BATCH_SHARE_SECRET_KEY="wrong")
    assert done.returncode == 1
    assert "LeadSquared refused access (HTTP 401)" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_key_is_printed_or_kept(shell: Shell, sheet: Path) -> None:
    key = "very-secret-and-wrong"
    done = shell.run("run", "leads.csv", "--limit", "9", BATCH_SHARE_SECRET_KEY=key)
    assert shell.run("run", "leads.csv", "--limit", "9").returncode == 0
    assert key not in done.stdout + done.stderr
    for file in sheet.parent.rglob("*"):
        held = file.read_bytes() if file.is_file() else b""
        assert key.encode() not in held
        assert b"sandbox-secret-key" not in held
        assert b"sandbox-access-key" not in held


def test_the_command_that_is_reported_runs_the_rows_that_were_fixed(shell: Shell, sandbox: SandboxProcess) -> None:
    world, sheet = World(), shell.folder / "of mine.csv"
    user, numbers = active_users(world)[0].email, [str(lead.number) for lead in world.leads[:2]]
    sheet.write_text(f"Kunde Nr,Betreuer,Ende\n{numbers[0]},{user},\n{numbers[1]},{user},neulich\n")
    maps = ("--map", "Kunde Nr=Lead Number", "--map", "Betreuer=Sales User", "--map", "Ende=Until")
    options = ("--event", "201", "--duration", "7d", "--access", "write", "--timezone", "Asia/Kolkata")
    done = shell.run("run", sheet.name, *maps, *options, "--note", "it's for you")
    assert done.returncode == 3, done.stderr
    reported = done.stdout.partition(", then:\n  ")[2].partition("\n")[0]
    failed = shell.folder / "of mine.failed.csv"
    failed.write_text(failed.read_text(encoding="utf-8-sig").replace("neulich", ""), encoding="utf-8")
    program, *arguments = shlex.split(reported)
    assert (program, arguments[:2]) == ("batch-share", ["run", failed.name])
    again = shell.run(*arguments, "--json")
    assert (again.returncode, object_of(again.stdout)["states"]) == (0, {"shared": 2})
    calls = sandbox.calls("ProspectActivity.svc/Create")
    assert len(calls) == 2


def test_nobody_gets_a_lead_because_they_have_it_already(
    shell: Shell, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    world, sheet = World(), tmp_path / "export.csv"
    lead, user = world.leads[0], active_users(world)[0]
    sheet.write_text(f"ProspectAutoId,OwnerIdEmailAddress\n{lead.number},{user.email}\n")
    command = "run", "export.csv", "--event", "201", "--duration", "7d", "--yes"
    refused = shell.run(*command)
    assert refused.returncode == 2
    assert f"'OwnerIdEmailAddress' ('{user.email}') usually says who has the lead now" in refused.stderr
    assert not sheet.with_name("export.csv.ledger.db").exists()
    assert sandbox.report()["total_calls"] == 0
    option = shlex.split(refused.stderr[refused.stderr.index("--map") :].strip().rstrip("."))
    assert shell.run(*command, *option).returncode == 0
    assert sandbox.report()["live_shares"]["count"] == 1
