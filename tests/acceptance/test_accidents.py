"""What happens to anybody: odd names, streams that are closed, full or narrow, files that are in the way."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from processes import DEADLINE, ROOT, SAMPLES, SandboxProcess, Shell

from batch_share.ledger.files import LedgerName

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

RUN = ("run", "minimal.csv", "--event", "201", "--duration", "7d", "--yes")
NARROW = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "posix": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""},
}


@pytest.fixture(autouse=True)
def sheet(tmp_path: Path) -> Path:
    return Path(shutil.copy(SAMPLES / "minimal.csv", tmp_path))


def in_sh(shell: Shell, line: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A line of the shell, in which `bs` is the command."""
    command = f'PYTHONPATH={ROOT}; export PYTHONPATH; bs() {{ "{sys.executable}" -m batch_share "$@"; }}; {line}'
    bash = ["bash", "-o", "pipefail", "-c", command]
    return subprocess.run(
        bash,
        cwd=shell.folder,
        env={**shell.env, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )


# ------------------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize(
    ("narrow", "seen"), [("cp1252", "\\u0906\\u0936\\u093e"), ("posix", "\\u0906\\u0936\\u093e")]
)
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_letter_that_can_not_be_shown_is_spelled_out_and_changes_no_exit_code(
    offline: Shell, sheet: Path, narrow: str, seen: str, more: list[str]
) -> None:
    sheet.write_text("Lead Number,User Email,Note\n1,आशा,x\n2,a@x.example,आशा → …\n", encoding="utf-8")
    done = offline.run_alone("plan", "minimal.csv", *RUN[2:-1], *more, **NARROW[narrow])
    assert done.returncode == 3
    assert done.stderr == ""
    assert seen in done.stdout
    if more:
        assert json.loads(done.stdout)["rows"] == 2


def test_a_run_whose_output_finds_no_room_is_done_all_the_same(shell: Shell, sandbox: SandboxProcess) -> None:
    done = in_sh(shell, f"bs {' '.join(RUN)} --json > /dev/full")
    assert done.returncode == 0
    assert done.stderr.count("standard output can't be written (No space left on device)") == 1
    assert "Traceback" not in done.stderr
    assert sandbox.report()["live_shares"]["count"] == 5


def test_a_reader_that_is_gone_changes_nothing(shell: Shell) -> None:
    assert shell.run(*RUN).returncode == 0
    done = in_sh(shell, "bs status minimal.csv.ledger.db | (exec <&-); exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("standard output can't be written (Broken pipe)") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_closed_streams_are_none_of_the_works_business(shell: Shell, tmp_path: Path, closed: str) -> None:
    done = in_sh(shell, f"bs {' '.join(RUN)} {closed}")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert (tmp_path / "minimal.results.csv").is_file()


def test_whoever_can_not_be_asked_has_not_agreed(shell: Shell, sandbox: SandboxProcess, tmp_path: Path) -> None:
    assert shell.run(*RUN).returncode == 0
    done = in_sh(shell, "bs revoke minimal.csv.ledger.db <&-")
    assert done.returncode == 1
    assert "Add --yes" in done.stderr
    assert "Traceback" not in done.stderr
    for file in (tmp_path / "data" / "history.db", tmp_path / "minimal.csv.ledger.db"):
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE runs SET ended_at = '2020-01-01 00:00:00.000000'")
    done = in_sh(shell, "bs purge --older-than 90d --force <&-")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "Nothing was deleted: it was not confirmed" in done.stderr
    assert (tmp_path / "minimal.csv.ledger.db").is_file()
    assert sandbox.report()["live_shares"]["count"] == 5


# --------------------------------------------------------------------------------------------------- names


def has_such_names(folder: Path) -> bool:
    try:
        (folder / os.fsdecode(b"caf\xe9")).touch()
    except OSError:  # macOS
        return False
    return True


@pytest.mark.parametrize("command", [RUN, ("plan", "minimal.csv"), ("demo", "minimal.csv")])
def test_a_name_that_is_not_utf_8_is_reported_first_and_leaves_nothing(
    offline: Shell, sheet: Path, command: tuple[str, ...]
) -> None:
    if not has_such_names(sheet.parent):
        pytest.skip("no file can be called so here")
    odd = sheet.with_name(os.fsdecode(b"caf\xe9.csv"))
    shutil.copy(sheet, odd)
    before = sorted(sheet.parent.iterdir())
    done = offline.run_alone(*(each.replace("minimal.csv", odd.name) for each in command))
    assert done.returncode == 2
    assert "SHEET is not UTF-8: caf" in done.stderr
    assert "rename that" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(sheet.parent.iterdir()) == before


def test_so_is_that_of_the_folder(offline: Shell, sheet: Path) -> None:
    if not has_such_names(sheet.parent):
        pytest.skip("no file can be called so here")
    folder = sheet.with_name(os.fsdecode(b"d\xe9"))
    folder.mkdir()
    inside = Shell(folder, offline.env)
    shutil.copy(sheet, folder)
    done = inside.run_alone(*RUN)
    reported = "batch-share: minimal.csv: its name, or that of its folder, is not UTF-8: rename it\n"
    assert (done.returncode, done.stderr) == (2, reported)
    assert [file.name for file in folder.iterdir()] == ["minimal.csv"]


def test_a_watch_files_such_a_sheet_away_and_goes_on(shell: Shell, sheet: Path, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    if not has_such_names(tmp_path):
        pytest.skip("no file can be called so here")
    shutil.copy(sheet, inbox / os.fsdecode(b"a-caf\xe9.csv"))
    shutil.copy(sheet, inbox / "good.csv")
    done = shell.run_alone("watch", "inbox", "--once", "--settle", "0.1s", "--yes", *RUN[2:-1])
    assert "Traceback" not in done.stderr
    assert "is not UTF-8: rename it (exit 2)" in done.stdout
    assert [os.fsencode(each.name)[-9:] for each in (inbox / "failed").iterdir()] == [b"-caf\xe9.csv"]
    assert [each.name.partition("_")[2] for each in (inbox / "done").iterdir()] == ["good.csv"]


# ---------------------------------------------------------------------------------- files that are in the way


@pytest.mark.parametrize("option", ["--save", "--save-map", "--output"])
def test_no_plan_takes_the_place_of_the_sheet_a_ledger_or_what_a_person_wrote(
    shell: Shell, sheet: Path, tmp_path: Path, option: str
) -> None:
    assert shell.run(*RUN).returncode == 0
    ledger, notes = tmp_path / "minimal.csv.ledger.db", tmp_path / "notes.csv"
    kept = ledger.with_name("kept.csv")
    shutil.copy(ledger, kept)
    notes.write_text("mine")
    before = {file: file.read_bytes() for file in (sheet, ledger, kept, notes)}
    for target, words in (
        ("minimal.csv", "is the sheet itself"),
        ("kept.csv", "is a ledger, or another database"),
        ("notes.csv", "is there, and is nothing that batch_share wrote"),
    ):
        done = shell.run("plan", "minimal.csv", *RUN[2:-1], option, target, "--json")
        assert done.returncode == 2
        assert words in done.stderr
        assert json.loads(done.stdout)["error"]["kind"] == "SettingsError"
    if option != "--output":
        done = shell.run("plan", "minimal.csv", option, ledger.name)
        assert (done.returncode, "is where the ledger goes" in done.stderr) == (2, True)
    for _ in range(2):
        assert shell.run("plan", "minimal.csv", *RUN[2:-1], option, "fresh.csv").returncode == 0
    assert {file: file.read_bytes() for file in before} == before


def test_what_is_to_be_reported_is_added_to_no_sheet_and_to_no_ledger(
    shell: Shell, sheet: Path, tmp_path: Path
) -> None:
    before = sheet.read_bytes()
    refused = shell.run(*RUN, "--notify", "minimal.csv")
    assert (refused.returncode, sheet.read_bytes()) == (2, before)
    assert "notify: the file can't be appended to" in refused.stderr
    assert not (tmp_path / "minimal.csv.ledger.db").exists()


def test_new_names_are_reported_on_the_screen(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "minimal.results.csv").write_text("mine")
    done = shell.run(*RUN)
    assert "so it is kept, and the results are in minimal.results-2.csv." in done.stderr
    assert "Results: minimal.results-2.csv\n" in done.stdout
    (tmp_path / "minimal.report.html").write_text("mine")
    reported = shell.run("report", "minimal.csv.ledger.db")
    assert reported.stdout == f"{tmp_path / 'minimal.report-2.html'}\n"
    assert reported.stderr.endswith("so it is kept, and the report is in minimal.report-2.html.\n")
    assert (tmp_path / "minimal.results.csv").read_text() == "mine"


def test_whoever_writes_the_same_file_each_night_goes_on_to(shell: Shell, tmp_path: Path) -> None:
    for night in range(3):
        assert shell.run(*RUN, "--force").returncode == 0
        for command in (("results", "last", "-o", "answered.csv"), ("report", "last", "-o", "told.html")):
            done = shell.run(*command)
            assert (night, done.returncode, done.stderr) == (night, 0, "")
    (tmp_path / "answered.csv").write_text("with remarks")
    done = shell.run("results", "last", "-o", "answered.csv")
    assert done.returncode == 2
    assert "or was changed since: name another file" in done.stderr


def test_a_file_of_one_letter_is_never_made_a_ledger(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    done = shell.run(*RUN, "--ledger", "notes.txt")
    assert done.returncode == 1
    assert done.stderr == "batch-share: Ledger notes.txt: this file is no ledger, or a damaged one: name another\n"
    assert (tmp_path / "notes.txt").read_text() == "x"


def test_all_that_is_kept_is_for_its_owner_alone(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to("real.db")
    command = f"umask 0; bs {' '.join(RUN)} --ledger link.db --notify told.jsonl && bs report link.db"
    plan = f"{' '.join(RUN[1:-1])} --save plan.json --output plan.csv"
    assert in_sh(shell, f"{command} && bs plan {plan}").returncode == 0
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.name != "minimal.csv"]
    assert {file.name for file in files} >= {"real.db", "told.jsonl", "plan.json", "plan.csv", "written"}
    assert {file.name for file in files if file.stat().st_mode & 0o077} == set()


# -------------------------------------------------------------------------------------- an answer, all the same


BROKEN: Mapping[str, tuple[dict[str, str], str, int, str]] = {
    "keys refused": ({"BATCH_SHARE_SECRET_KEY": "wrong"}, "AccessDenied", 1, "keys refused"),
    "no host": ({"BATCH_SHARE_HOST": ""}, "SettingsError", 2, "the setting host is not set"),
    "a bad setting": ({"BATCH_SHARE_RATE": "fast"}, "SettingsError", 2, "the setting rate: 'fast' is no rate"),
    "no sheet": ({}, "SheetError", 2, "there is no such file"),
    "a sheet that can't be read": ({}, "SheetError", 2, "the file is empty"),
    "locked": ({}, "LedgerLocked", 1, "Another batch_share process is working on it"),
    "not agreed": ({}, "NotConfirmed", 1, "it was not confirmed; 105 pending, 4 invalid, 1 skipped"),
}


def broken(case: str, sheet: Path) -> AbstractContextManager[None]:
    if case == "no sheet":
        sheet.unlink()
    elif case == "a sheet that can't be read":
        sheet.write_text("")
    elif case == "not agreed":
        shutil.copy(SAMPLES / "leads.csv", sheet)
    elif case == "locked":
        ledger = sheet.with_name(f"{sheet.name}.ledger.db")
        with closing(sqlite3.connect(ledger)) as connection:
            connection.execute("CREATE TABLE about (x)")
        return LedgerName.of(ledger).locked()
    return nullcontext()


def answered(shell: Shell, *options: str, **env: str) -> tuple[int, str]:
    done = shell.run(*RUN[:-1], *options, **env)
    assert done.stdout.count("\n") == 1
    assert done.stderr != ""
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


@pytest.mark.parametrize("case", BROKEN)
def test_a_script_gets_its_answer_whatever_is_wrong(shell: Shell, sheet: Path, case: str) -> None:
    env, kind, code, why = BROKEN[case]
    with broken(case, sheet):
        status, out = answered(shell, "--json", **env)
        reported: dict[str, Any] = json.loads(out)
        assert (status, reported["exit_code"], reported["error"]["kind"]) == (code, code, kind)
        assert (reported["command"], reported["file"], reported["sent"]) == ("run", str(sheet), 0)
        assert len(reported["error"]["message"]) > 10
        ways: list[tuple[list[str], dict[str, str]]] = [
            (["--one-line"], {}),
            ([], {"BATCH_SHARE_ONE_LINE": "true"}),
        ]
        for options, more in ways[: 1 if case == "a bad setting" else 2]:  # then no setting is known
            status, line = answered(shell, *options, **env, **more)
            assert status == code
            assert line.startswith(f"minimal.csv: nothing sent: {why}")
            assert f" (exit {code})" in line


def test_other_commands_answer_too(shell: Shell, tmp_path: Path) -> None:
    data = {"BATCH_SHARE_DATA_FOLDER": str(tmp_path / "minimal.csv")}  # where no folder can be made
    for command, file, code in (
        (("plan", "none.csv"), str(tmp_path / "none.csv"), 2),
        (("status", "none.db"), str(tmp_path / "none.db"), 1),
        (("resume", "minimal.csv"), "minimal.csv", 2),
        (("runs",), None, 1),
        (("purge", "--older-than", "90d"), None, 1),
    ):
        done = shell.run(*command, "--json", **(data if file is None else {}))
        reported = json.loads(done.stdout)
        assert (command, done.returncode, reported["exit_code"]) == (command, code, code)
        assert (reported["command"], reported["file"] and Path(reported["file"]).name) == (
            command[0],
            file and Path(file).name,
        )
        assert reported["sent"] == 0


def test_a_run_that_was_stopped_on_its_way_says_what_it_had_sent(shell: Shell, sandbox: SandboxProcess) -> None:
    shell.run(*RUN, "--rows", "2-3")
    again = ("--rows", "2-4", "--json", "--stop-after-failures", "1", "--event", "999", "--force")
    reported = json.loads(shell.run(*RUN, *again).stdout)
    assert (reported["exit_code"], reported["error"]["kind"]) == (1, "TooManyFailures")
    assert reported["sent"] > 0
    assert reported["states"]["failed"] == 1
