"""Runs that end early, by a person's hand or by force, and what the next command makes of them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from processes import DEADLINE, SAMPLES, Pause, SandboxProcess, Shell, sandbox_thread, shell_for, wait_until

from batch_share.common import Rate
from batch_share.sandbox import SandboxOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CREATE = "ProspectActivity.svc/Create"


@pytest.fixture
def sandbox(pause: Pause) -> Iterator[SandboxProcess]:
    """With a limit that is met."""
    reported = SandboxOptions(port=0, rate=Rate(60, 0.4), latency=0.06, processing=0.05)
    with sandbox_thread(reported, pause) as made:
        yield made


@pytest.fixture
def shell(tmp_path: Path, sandbox: SandboxProcess) -> Shell:
    shutil.copy(SAMPLES / "leads.csv", tmp_path)
    slow = shell_for(sandbox, tmp_path)
    return Shell(tmp_path, {**slow.env, "BATCH_SHARE_RATE": "60/400ms"})


def started(shell: Shell, pause: Pause, activities: int) -> subprocess.Popen[str]:
    """A run that is under way: the sandbox has made `activities` for it, and does nothing more until it goes on."""
    pause.after = activities
    process = shell.start("run", "leads.csv", "--yes")
    pause.catch(process)
    return process


def finish(shell: Shell, *command: str) -> dict[str, int]:
    done = shell.run(*command, "--yes", "--json")
    assert "Traceback" not in done.stderr
    summary = json.loads(done.stdout)
    assert summary["rows"] == 110
    assert sum(summary["states"].values()) == 110
    return dict(summary["states"])


def recorded_activities(ledger: Path) -> set[str]:
    with closing(sqlite3.connect(ledger)) as connection:
        query = "SELECT activity_id FROM rows WHERE activity_id IS NOT NULL"
        return {activity_id for (activity_id,) in connection.execute(query)}


@pytest.mark.parametrize("command", [("run", "leads.csv"), ("resume", "leads.csv.ledger.db")])
def test_ctrl_c_drains_and_the_next_command_goes_on(
    shell: Shell, sandbox: SandboxProcess, pause: Pause, command: tuple[str, ...]
) -> None:
    process = started(shell, pause, activities=15)
    process.send_signal(signal.SIGINT)
    pause.go_on()
    _, screen = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130
    assert "Interrupted." in screen
    states = finish(shell, *command)
    assert states == {"shared": 104, "invalid": 4, "skipped": 1, "failed": 1}
    assert sandbox.report()["duplicates"] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_drained_run_has_nothing_under_way(
    shell: Shell, pause: Pause, tmp_path: Path, number: signal.Signals
) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # under nohup it would be handed down that one is ignored
    try:
        process = started(shell, pause, activities=15)
    finally:
        signal.signal(number, before)
    process.send_signal(number)
    pause.go_on()
    _, screen = process.communicate(timeout=DEADLINE)
    assert (process.returncode, "Interrupted." in screen) == (130, True)
    assert (tmp_path / "leads.results.csv").is_file()
    status = json.loads(shell.run("status", "leads.csv.ledger.db", "--json").stdout)
    assert not {"posting", "sharing", "unknown"} & set(status["states"])
    assert sum(status["states"].values()) == 110


def test_a_run_under_nohup_outlives_its_terminal(shell: Shell, sandbox: SandboxProcess, pause: Pause) -> None:
    pause.after = 5
    nohup = ["sh", "-c", "trap '' HUP; exec \"$0\" -m batch_share run leads.csv --yes --limit 30", sys.executable]
    with subprocess.Popen(
        nohup, cwd=shell.folder, env=shell.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        pause.catch(process)
        process.send_signal(signal.SIGHUP)
        pause.go_on()
        _, screen = process.communicate(timeout=DEADLINE)
    assert process.returncode == 3, screen
    assert sandbox.report()["live_shares"]["count"] == 29


def test_a_second_ctrl_c_cuts_and_leaves_a_ledger_that_goes_on(
    shell: Shell, sandbox: SandboxProcess, pause: Pause
) -> None:
    process = started(shell, pause, activities=15)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    pause.go_on()
    _, screen = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130
    assert "Traceback" not in screen
    states = finish(shell, "run", "leads.csv")
    assert states["shared"] + states["failed"] == 105
    assert sandbox.report()["duplicates"] == 0


def test_kill_9_repeats_nothing_that_was_recorded(
    shell: Shell, sandbox: SandboxProcess, pause: Pause, tmp_path: Path
) -> None:
    process, ledger = started(shell, pause, activities=30), tmp_path / "leads.csv.ledger.db"
    wait_until(lambda: len(recorded_activities(ledger)) >= 25)
    process.kill()
    process.communicate(timeout=DEADLINE)
    pause.go_on()
    recorded = recorded_activities(ledger)
    before = {call["lead"] for call in sandbox.calls(CREATE) if call["activity"] in recorded}
    seen = len(sandbox.calls(CREATE))
    states = finish(shell, "run", "leads.csv")
    after = {call["lead"] for call in sandbox.calls(CREATE)[seen:]}
    assert after
    assert not before & after
    assert sandbox.report()["duplicates"] == 0
    assert sandbox.report()["fullest_window"] <= 60
    assert states["shared"] + states["failed"] == 105


def test_a_second_process_on_the_same_ledger_is_refused(shell: Shell, pause: Pause) -> None:
    process = started(shell, pause, activities=3)
    second = shell.run("run", "leads.csv", "--yes")
    process.kill()
    process.communicate(timeout=DEADLINE)
    assert second.returncode == 1
    assert "is working on it" in second.stderr


def test_a_second_sheet_of_the_account_waits_its_turn_and_takes_over_from_the_dead(
    shell: Shell, sandbox: SandboxProcess, pause: Pause, tmp_path: Path
) -> None:
    shutil.copy(SAMPLES / "minimal.csv", tmp_path)
    first = started(shell, pause, activities=10)
    second = shell.start("run", "minimal.csv", "--event", "201", "--duration", "7d", "--yes", "--json")
    assert second.stderr is not None
    assert f"(process {first.pid}) on this machine is using this account" in second.stderr.readline()
    before = sandbox.report()["total_calls"]
    first.kill()
    first.communicate(timeout=DEADLINE)
    pause.go_on()
    out, _ = second.communicate(timeout=DEADLINE)
    assert second.returncode == 0
    assert set(json.loads(out)["states"]) == {"shared"}
    assert before < sandbox.report()["total_calls"]
    assert finish(shell, "run", "leads.csv")["shared"] == 104
    report = sandbox.report()
    assert (report["duplicates"], report["refusals"]) == (0, 0)
    assert report["fullest_window"] <= 60


@pytest.mark.parametrize("option", [("--ledger", "/sys/leads.db"), ()])
def test_a_folder_that_nobody_can_write_is_reported_in_a_sentence(
    shell: Shell, sandbox: SandboxProcess, option: tuple[str, ...]
) -> None:
    """/sys takes no files, not even from root: the ledger's folder, and then the account's."""
    done = shell.run("run", "leads.csv", "--yes", *option, BATCH_SHARE_STATE_FOLDER="/sys/state")
    assert done.returncode == 1
    assert "can't be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert sandbox.report()["total_calls"] == 0


def interrupted(process: subprocess.Popen[bytes]) -> int:
    """Its exit code after Ctrl-C; after the second, if the first came just before Python began to read."""
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(10)
    process.kill()  # else leaving the process would wait for ever
    return process.wait()


def test_ctrl_c_at_the_question_sends_nothing(shell: Shell, sandbox: SandboxProcess) -> None:
    """On a terminal of its own, where somebody is asked."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "batch_share", "run", "leads.csv"]
    with subprocess.Popen(
        command, cwd=shell.folder, env=dict(shell.env), stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        said = b""
        while b"Send?" not in said:
            assert select.select([ours], [], [], DEADLINE)[0], said  # it may have ended before it asked
            said += os.read(ours, 4096)
        assert interrupted(process) == 130
    os.close(theirs)
    os.close(ours)
    assert sandbox.calls(CREATE) == []


def test_status_answers_while_a_run_works(shell: Shell, pause: Pause) -> None:
    process = started(shell, pause, activities=3)
    status = shell.run("status", "leads.csv.ledger.db", "--json")
    process.kill()
    process.communicate(timeout=DEADLINE)
    assert json.loads(status.stdout)["rows"] == 110
