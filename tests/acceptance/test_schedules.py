"""Runs that nobody looks at: by cron, systemd and Airflow as the manual says, and in a watched folder."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import commands
from hostile import long, wide
from processes import DEADLINE, ROOT, SAMPLES, Pause, SandboxProcess, Shell, sandbox_thread, shell_for, wait_until
from recipes import FOLDER, INSTALLED, Failed, run_task, snippet, units

from batch_share.common import Rate
from batch_share.sandbox import SandboxOptions

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST = "Lead Number,User Email"
"""The headers of a sheet that needs no others."""


@pytest.fixture
def here(tmp_path: Path, shell: Shell) -> Callable[[str], str]:
    """An example as it would stand on this machine: with the command and the folder of this test."""
    command = tmp_path / "bin" / "batch-share"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m batch_share "$@"\n')
    command.chmod(0o755)
    folder = tmp_path / "srv"
    folder.mkdir()
    (folder / ".env").write_text("".join(f"{k}={v}\n" for k, v in shell.env.items() if k.startswith("BATCH_SHARE")))
    few(folder / "leads.csv", 4)
    return lambda text: text.replace(INSTALLED, str(command)).replace(FOLDER, str(folder))


def few(sheet: Path, rows: int) -> Path:
    """The first rows of the sample, which are good ones."""
    lines = (SAMPLES / "leads.csv").read_text("utf-8").splitlines(keepends=True)
    sheet.write_text("".join(lines[: rows + 1]), encoding="utf-8")
    return sheet


def in_nothing(command: str) -> subprocess.CompletedProcess[str]:
    """A command as cron starts it: by sh, and with next to no environment."""
    bare = ["env", "-i", "PATH=/usr/bin:/bin", "HOME=/", "SHELL=/bin/sh", "/bin/sh", "-c", command]
    return subprocess.run(bare, capture_output=True, text=True, check=False, cwd="/", timeout=DEADLINE)


def forked_in_nothing(command: str) -> subprocess.CompletedProcess[str]:
    """The same, for a command of which it is known that cron can start it."""
    there, said = command.removeprefix("cd ").split(" && ")
    return commands().run(shlex.split(said)[1:], Path(there), {"PATH": "/usr/bin:/bin", "HOME": "/"}, DEADLINE)


# ------------------------------------------------------------------------------------- as the manual says


def test_the_line_for_cron_works_in_cron(here: Callable[[str], str], sandbox: SandboxProcess) -> None:
    line = here(snippet("cron")).strip()
    fields, command = line.split(maxsplit=5)[:5], line.split(maxsplit=5)[5]
    assert fields == ["5", "*", "*", "*", "*"]
    assert "%" not in command  # cron would take it for the end of the line
    first = in_nothing(command)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == "leads.csv: 4 shared (exit 0); ledger leads.csv.ledger.db\n"
    calls = sandbox.report()["total_calls"]
    again = in_nothing(command)
    assert again.stdout == "leads.csv: nothing to do: 4 shared (exit 0); ledger leads.csv.ledger.db\n"
    assert (again.returncode, again.stderr, sandbox.report()["total_calls"]) == (0, "", calls)


@pytest.mark.parametrize("handed_over", ["reassign", "revoke"])
def test_the_line_for_cron_takes_nothing_back_that_it_does_not_say(
    here: Callable[[str], str], sandbox: SandboxProcess, tmp_path: Path, handed_over: str
) -> None:
    folder = tmp_path / "srv"
    command = here(snippet("cron")).strip().split(maxsplit=5)[5]
    (folder / "leads.csv").rename(folder / "june.csv")
    assert forked_in_nothing(command.replace("leads.csv", "june.csv", 1)).returncode == 0
    head, *rows = few(folder / "leads.csv", 4).read_text("utf-8").splitlines()
    at = head.split(",").index("User Id")
    cells = [row.split(",") for row in rows]
    before = [each[at] for each in cells]
    if handed_over == "reassign":  # each to the next one's user
        for each, user in zip(cells, [*before[1:], before[0]], strict=True):
            each[at] = user
    lines = [f"{head},Action", *(",".join([*each, handed_over]) for each in cells)]
    (folder / "leads.csv").write_text("\n".join(lines), encoding="utf-8")
    standing = sandbox.report()["live_shares"]
    for short in ("", " --max-revokes 3"):
        refused = forked_in_nothing(command + short)
        assert refused.returncode == 1
        assert refused.stdout == (
            "leads.csv: nothing sent: shares would have been revoked without a confirmation; 4 pending (exit 1); "
            "ledger leads.csv.ledger.db\n"
        )
        assert "4 shares of june.csv would be revoked from " in refused.stderr
        assert "add --max-revokes 4," in refused.stderr
    assert sandbox.report()["live_shares"] == standing
    assert sandbox.calls("EntityAccess.svc/Revoke") == []
    done = forked_in_nothing(command + " --max-revokes 4")
    assert (done.returncode, done.stderr) == (0, "")
    became = {"reassign": "shared", "revoke": "revoked"}[handed_over]
    assert done.stdout == f"leads.csv: 4 {became} (exit 0); ledger leads.csv.ledger.db\n"
    assert sandbox.report()["live_shares"]["count"] == (4 if handed_over == "reassign" else 0)


def test_the_systemd_units_work(here: Callable[[str], str]) -> None:
    service, timer = units(here)
    assert timer["Install"]["WantedBy"] == "timers.target"
    asked = service["Service"]
    done = in_nothing(f"cd {asked['WorkingDirectory']} && {asked['ExecStart']}")
    assert (done.returncode, done.stdout.partition(" (")[0]) == (0, "leads.csv: 4 shared")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_takes_the_units(here: Callable[[str], str], tmp_path: Path) -> None:
    files = [tmp_path / "batch-share.service", tmp_path / "batch-share.timer"]
    files[0].write_text(here(snippet("service")).replace("User=batch-share", "User=root"))
    files[1].write_text(snippet("timer"))
    command = ["systemd-analyze", "verify", "--man=no", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE)
    assert [line for line in done.stderr.splitlines() if str(tmp_path) in line or "batch-share" in line] == []


def test_the_task_for_airflow_works(here: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_task(here(snippet("airflow")), monkeypatch).startswith("leads.csv: 4 shared (exit 0)")


def test_it_tells_airflow_what_can_be_tried_again(
    here: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, env = here(snippet("airflow")), tmp_path / "srv" / ".env"
    good = env.read_text()
    env.write_text(re.sub(r"HOST=.*", "HOST=http://127.0.0.1:9", good))
    shutil.copy(SAMPLES / "mistakes.csv", tmp_path / "srv" / "leads.csv")
    with pytest.raises(Failed) as unknown_setting:
        run_task(text.replace('"201"', '"0"'), monkeypatch)
    assert not unknown_setting.value.again
    env.write_text(good)
    with pytest.raises(Failed, match=r"invalid \(exit 3\)") as some_invalid:
        run_task(text, monkeypatch)
    assert not some_invalid.value.again
    env.write_text(good.replace("sandbox-secret-key", "wrong-key-of-nobody"))
    few(tmp_path / "srv" / "leads.csv", 6)
    with pytest.raises(Failed) as refused:
        run_task(text, monkeypatch)
    assert refused.value.again
    assert "wrong-key" not in str(refused.value)


# --------------------------------------------------------------------------------------------- one line


def test_one_line_is_all_that_is_printed(shell: Shell, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "leads.csv", tmp_path)
    done = shell.run("run", "leads.csv", "--yes", "--one-line")
    assert done.stdout == (
        "leads.csv: 104 shared, 4 invalid, 1 skipped, 1 failed (exit 3); ledger leads.csv.ledger.db\n"
    )
    assert (done.returncode, done.stderr) == (3, "")
    resting = shell.run("resume", "leads.csv.ledger.db", "--due", BATCH_SHARE_ONE_LINE="true")
    assert resting.stdout.startswith("leads.csv: nothing to do: 104 shared, 4 invalid, ")
    assert (resting.returncode, resting.stderr) == (0, "")


def test_an_error_is_reported_beside_the_line(shell: Shell, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "leads.csv", tmp_path)
    done = shell.run("run", "leads.csv", "--one-line")
    assert done.returncode == 1
    assert "Add --yes to send them" in done.stderr
    assert done.stdout.count("\n") == 1
    assert "pending" in done.stdout


def test_rows_that_wait_are_no_error(shell: Shell, tmp_path: Path) -> None:
    sheet = few(tmp_path / "leads.csv", 3)
    head, *rows = sheet.read_text("utf-8").splitlines()
    said = [f"{head},Start", f"{rows[0]},", f"{rows[1]},2030-03-01 09:00", f"{rows[2]},2030-03-02"]
    sheet.write_text("\n".join(said), encoding="utf-8")
    done = shell.run("run", "leads.csv", "--one-line", "--timezone", "Asia/Kolkata")
    assert done.stdout == (
        "leads.csv: 1 shared, 2 waiting until 2030-03-01 03:30 UTC or later (exit 0); ledger leads.csv.ledger.db\n"
    )
    assert done.returncode == 0
    reported = shell.run("status", "leads.csv.ledger.db")
    assert "2 rows wait for their start, the first until 2030-03-01 03:30 UTC." in reported.stdout
    assert reported.returncode == 0


# ------------------------------------------------------------------------------------------- the watched folder


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def where(inbox: Path) -> dict[str, str]:
    """By sheet, in which folder it is."""
    return {
        each.name.partition("_")[2]: place
        for place in ("working", "done", "failed", "held", "agreed")
        if (inbox / place).is_dir()
        for each in (inbox / place).iterdir()
    }


def test_each_sheet_is_filed_with_what_was_made_of_it(shell: Shell, inbox: Path, tmp_path: Path) -> None:
    few(inbox / "good.csv", 3)
    few(inbox / "big.csv", 58)  # three of them for what good.csv asks for, too
    few(inbox / "~$good.csv", 3)
    (inbox / "notes.txt").write_text("Call Asha\n")
    (inbox / "folder.csv").mkdir()
    shutil.copy(SAMPLES / "mistakes.csv", inbox)
    (inbox / "nonsense.csv").write_text("a,b\n1,2\n")
    watch = ("watch", "inbox", "--once", "--settle", "0.2s", "--event", "201", "--notify", "told.jsonl")
    done = shell.run(*watch)
    assert done.returncode == 1  # of several, the most urgent
    assert where(inbox) == {
        "good.csv": "done",
        "big.csv": "held",
        "mistakes.csv": "failed",
        "nonsense.csv": "failed",
    }
    assert len(done.stdout.splitlines()) == 4
    assert "good.csv: 3 shared (exit 0); in inbox/done/" in done.stdout
    assert "more than 50, and nobody to ask. Add --yes to send them. (exit 1)" in done.stdout
    (folder,) = (inbox / "done").iterdir()
    assert sorted(each.name for each in folder.iterdir() if not each.name.startswith(".")) == [
        "good.csv", "good.csv.ledger.db", "good.results.csv",
    ]  # fmt: skip
    assert {each.name for each in inbox.iterdir() if each.name != ".batch-share-watch.lock"} == {
        "~$good.csv", "notes.txt", "folder.csv", "working", "done", "failed", "held", "agreed",
    }  # fmt: skip
    (held,) = (inbox / "held").iterdir()
    assert f"in inbox/held/{held.name}: to send it as it is, move that folder to inbox/agreed" in done.stdout
    assert f"move the folder {held} to {inbox / 'agreed'}" in (held / "why.txt").read_text("utf-8")
    reported = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text("utf-8").splitlines()]
    told = {each["file"]: each for each in reported}["big.csv"]
    assert told["ended"] == "stopped, it was not confirmed"
    assert f"move the folder inbox/held/{held.name} to inbox/agreed: then all of it is sent" in told["text"]
    assert len(reported) == 4
    assert shell.run(*watch).stdout == ""  # it waits for somebody
    held.rename(inbox / "agreed" / held.name)
    agreed = shell.run(*watch)
    assert agreed.stdout.startswith("big.csv: 5")
    assert where(inbox)["big.csv"] == "failed"  # one of its rows is invalid
    assert (inbox / "failed" / held.name / "big.results.csv").is_file()


def test_a_sheet_that_takes_shares_back_needs_a_setting(
    shell: Shell, sandbox: SandboxProcess, tmp_path: Path, inbox: Path
) -> None:
    june = few(tmp_path / "june.csv", 2)
    assert shell.run("run", "june.csv").returncode == 0
    head, *rows = june.read_text("utf-8").splitlines()
    back = "\n".join([f"{head},Action", *(f"{row},revoke" for row in rows)])
    watch = ("watch", "inbox", "--once", "--settle", "0.1s", "--yes")
    (inbox / "back.csv").write_text(back, encoding="utf-8")
    refused = shell.run(*watch, BATCH_SHARE_MAX_REVOKES="1")
    assert (refused.returncode, where(inbox)) == (1, {"back.csv": "held"})
    (why,) = (inbox / "held").glob("*/why.txt")
    said = "2 shares of june.csv would be revoked from "
    assert why.read_text("utf-8").startswith(said)
    assert said in refused.stdout
    assert sandbox.report()["live_shares"]["count"] == 2
    (inbox / "again.csv").write_text(back, encoding="utf-8")
    assert shell.run(*watch, BATCH_SHARE_MAX_REVOKES="2").returncode == 0
    assert where(inbox)["again.csv"] == "done"
    assert sandbox.report()["live_shares"]["count"] == 0


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "", f"{LEAST}\n", f'{LEAST}\n1,"\n'])
def test_a_sheet_that_cannot_be_run_has_the_exit_code_of_a_run(shell: Shell, inbox: Path, content: str) -> None:
    sheet, options = inbox / "leads.csv", ("--event", "201", "--duration", "7d")
    sheet.write_text(content)
    ran = shell.run("run", str(sheet), *options)
    for made in inbox.glob("leads.csv.ledger.db*"):
        made.unlink()
    done = shell.run("watch", "inbox", "--once", "--settle", "0.1s", *options)
    assert (done.returncode, where(inbox)) == (ran.returncode, {"leads.csv": "failed"})
    assert f"(exit {ran.returncode}); in inbox/failed/" in done.stdout


def test_a_workbook_that_is_too_much_ends_no_watch(shell: Shell, inbox: Path) -> None:
    wide(inbox / "a_memory.xlsx")
    limits = {"BATCH_SHARE_SHEET__MEMORY_MB": "600", "BATCH_SHARE_SHEET__SECONDS": "60"}
    done = shell.run("watch", "inbox", "--once", "--settle", "0.1s", **limits)
    assert (done.returncode, done.stderr) == (2, "")
    long(inbox / "b_time.ods")
    few(inbox / "c_good.csv", 2)
    done = shell.run("watch", "inbox", "--once", "--settle", "0.1s", BATCH_SHARE_SHEET__SECONDS="1")
    assert where(inbox) == {"a_memory.xlsx": "failed", "b_time.ods": "failed", "c_good.csv": "done"}
    assert (done.returncode, done.stderr) == (2, "")
    why = [file.read_text("utf-8").strip() for file in sorted((inbox / "failed").glob("*/why.txt"))]
    reported = "damaged, or too large to be read within"
    assert [each.partition(": open it")[0] for each in why] == [
        f"a_memory.xlsx: {reported} 600 MB (sheet.memory_mb)",
        f"b_time.ods: {reported} 1 s (sheet.seconds)",
    ]


def test_the_same_name_again_is_another_job(shell: Shell, inbox: Path) -> None:
    for rows in (1, 2):
        few(inbox / "leads.csv", rows)
        assert shell.run("watch", "inbox", "--once", "--settle", "0.1s").returncode == 0
    ledgers = list((inbox / "done").glob("*/leads.csv.ledger.db"))
    assert len(ledgers) == 2
    runs = json.loads(shell.run("runs", "--json").stdout)
    assert {Path(run["ledger"]) for run in runs} == {ledger.resolve() for ledger in ledgers}
    assert shell.run("status", "last").returncode == 0


def test_it_watches_until_it_is_told_to_end(shell: Shell, inbox: Path) -> None:
    with shell.start("watch", "inbox", "--settle", "0.1s", "--every", "0.1s", "--yes") as process:
        wait_until((inbox / ".batch-share-watch.lock").exists)
        few(inbox / "one.csv", 2)
        wait_until(lambda: where(inbox).get("one.csv") == "done")
        second = shell.run("watch", "inbox", "--once")
        assert second.returncode == 1
        assert "is watched already" in second.stderr
        few(inbox / "two.csv", 2)
        wait_until(lambda: where(inbox).get("two.csv") == "done")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert err.splitlines() == [
        "batch-share: Watching inbox: sheets dropped there are run. Ctrl-C stops it.",
        "batch-share: Stopped watching inbox: the next watch resumes what is in inbox/working.",
    ]
    assert [line.partition(";")[0] for line in out.splitlines()] == [
        "one.csv: 2 shared (exit 0)",
        "two.csv: 2 skipped (exit 0)",  # the same leads for the same users
    ]


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM])
def test_a_watch_that_was_ended_goes_on_and_repeats_nothing(
    tmp_path: Path, inbox: Path, pause: Pause, blow: signal.Signals
) -> None:
    pause.after = 8
    with sandbox_thread(
        SandboxOptions(port=0, rate=Rate(40, 1.0), latency=0.02, processing=0.05), pause
    ) as sandbox:
        shell = shell_for(sandbox, tmp_path)
        few(inbox / "leads.csv", 40)
        options = ("--settle", "0.1s", "--every", "0.1s", "--yes", "--rate", "40/1s")
        with shell.start("watch", "inbox", *options) as process:
            pause.catch(process)
            process.send_signal(blow)
            pause.go_on()
            process.communicate(timeout=DEADLINE)
        assert process.returncode == (-signal.SIGKILL if blow is signal.SIGKILL else 0)
        assert where(inbox) == {"leads.csv": "working"}
        again = shell.run("watch", "inbox", "--once", *options)
        assert where(inbox).keys() == {"leads.csv"}
        assert again.stdout.count("leads.csv:") == 1
        report = sandbox.report()
        assert report["duplicates"] == 0
        assert report["activities"] == report["live_shares"]["count"]
