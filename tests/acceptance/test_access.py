"""Who has access now, and taking it all back, as a person asks for them: two sheets through the sandbox."""

from __future__ import annotations

import json
import re
import shutil
import signal
from typing import TYPE_CHECKING

from processes import SAMPLES, Pause, SandboxProcess, Shell
from trial import REVOKE

if TYPE_CHECKING:
    from pathlib import Path


def test_who_has_access_is_told_without_a_call(shell: Shell, sandbox: SandboxProcess, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "minimal.csv", tmp_path)
    assert shell.run("access").stdout == "This machine knows of no share that gives anyone access.\n"
    assert shell.run("run", "minimal.csv", "--event", "201", "--duration", "7d", "--yes").returncode == 0
    calls = sandbox.report()["total_calls"]

    done = shell.run("access")
    assert done.returncode == 0
    first, *rest = done.stdout.splitlines()
    ends = r"the first share ends \d{4}-\d\d-\d\d \d\d:\d\d [+\w-]+"
    assert re.fullmatch(rf"5 leads are shared with 3 users; {ends}\.", first)
    assert len(rest) == 7
    assert "on other machines" in done.stderr

    found = json.loads(shell.run("access", "--json").stdout)
    assert [each["row"] for each in found["shares"]] == [2, 3, 4, 5, 6]
    one = found["shares"][0]
    assert (one["sheet"], one["ledger"]) == ("minimal.csv", str(tmp_path / "minimal.csv.ledger.db"))
    assert one["ends"].endswith("Z")
    user = one["user_email"] or one["user"]
    theirs = json.loads(shell.run("access", "--user", user.upper(), "--json").stdout)["shares"]
    assert theirs == [each for each in found["shares"] if each["user"] == one["user"]]
    by_lead = json.loads(shell.run("access", "--lead", one["lead"], "--json").stdout)["shares"]
    assert by_lead == [one]
    assert json.loads(shell.run("access", "--ending", "6d", "--json").stdout)["shares"] == []
    assert shell.run("access", "--ending", "soon").returncode == 2
    assert sandbox.report()["total_calls"] == calls


def two_jobs(shell: Shell, folder: Path) -> str:
    """Two sheets that are run, and the address of a user who has shares of both."""
    shutil.copy(SAMPLES / "minimal.csv", folder)
    header, *rows = (folder / "minimal.csv").read_text(encoding="utf-8").splitlines()
    (folder / "write.csv").write_text("\n".join([header, *rows[:1]]), encoding="utf-8")
    for sheet, access in (("minimal.csv", "read"), ("write.csv", "write")):
        asked = ("--event", "201", "--duration", "7d", "--access", access, "--yes")
        assert shell.run("run", sheet, *asked).returncode == 0
    shares = json.loads(shell.run("access", "--json").stdout)["shares"]
    return str(next(each["user_email"] for each in shares if each["sheet"] == "write.csv"))


def live(sandbox: SandboxProcess) -> int:
    return int(sandbox.report()["live_shares"]["count"])


def test_what_one_user_has_by_every_job_is_revoked(shell: Shell, sandbox: SandboxProcess, tmp_path: Path) -> None:
    user = two_jobs(shell, tmp_path)
    theirs = json.loads(shell.run("access", "--user", user, "--json").stdout)["shares"]
    assert {each["sheet"] for each in theirs} == {"minimal.csv", "write.csv"}
    before = live(sandbox)

    refused = shell.run("revoke", "--user", user, "--all-jobs")
    assert (refused.returncode, live(sandbox)) == (1, before)
    assert "Nothing was revoked: it was not confirmed. --yes confirms it." in refused.stderr
    assert f"{len(theirs)} shares with {user} to revoke: minimal.csv (" in refused.stderr

    done = shell.run("revoke", "--user", user.upper(), "--all-jobs", "--yes")
    assert (done.returncode, live(sandbox)) == (0, before - len(theirs)), done.stderr
    lines = sorted(done.stdout.splitlines())
    assert lines[0] == f"minimal.csv: {len(theirs) - 1} of {len(theirs) - 1} revoked."
    assert lines[1] == "write.csv: 1 of 1 revoked."
    assert f"{len(theirs)} shares with {user.upper()} to revoke: " in done.stderr
    assert done.stderr.endswith(
        "Shares that were made on other machines, or by hand in LeadSquared, are not known here.\n"
    )

    again = shell.run("revoke", "--user", user, "--all-jobs", "--json")
    assert (again.returncode, json.loads(again.stdout)["jobs"]) == (0, [])
    assert "nothing to revoke" in shell.run("revoke", "--user", user, "--all-jobs").stdout


def test_one_question_is_asked_for_all_jobs(shell: Shell, sandbox: SandboxProcess, tmp_path: Path) -> None:
    user, before = two_jobs(shell, tmp_path), live(sandbox)
    code, _, shown = shell.at_terminal("n", "revoke", "--user", user, "--all-jobs")
    assert (code, live(sandbox), shown.count("(y/N)")) == (1, before, 1)
    code, out, shown = shell.at_terminal("y", "revoke", "--user", user, "--all-jobs", "--json")
    assert (code, shown.count("(y/N)")) == (0, 1)
    assert "minimal.csv (" in shown
    assert "write.csv (1)" in " ".join(shown.split())
    reported = json.loads(out)
    assert [each["exit_code"] for each in reported["jobs"]] == [0, 0]
    assert sum(each["states"]["revoked"] for each in reported["jobs"]) == before - live(sandbox)


def test_the_most_urgent_exit_code_counts_and_the_other_jobs_go_on(
    shell: Shell, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    user, before = two_jobs(shell, tmp_path), live(sandbox)
    (tmp_path / "write.csv.ledger.db").unlink()
    done = shell.run("revoke", "--user", user, "--all-jobs", "--yes")
    assert done.returncode == 1
    assert "write.csv.ledger.db: nothing sent: it could not be read" in done.stdout
    assert "of 2 revoked.\n" in done.stdout
    assert "Could not be looked at: " in done.stderr
    assert live(sandbox) < before


def test_a_signal_ends_all_jobs_and_the_same_command_goes_on(
    shell: Shell, sandbox: SandboxProcess, pause: Pause, tmp_path: Path
) -> None:
    user, before = two_jobs(shell, tmp_path), live(sandbox)
    command = ("revoke", "--user", user, "--all-jobs", "--yes", "--json")
    pause.after, pause.endpoint = 1, REVOKE
    with shell.start(*command) as process:
        pause.catch(process)
        process.send_signal(signal.SIGINT)
        pause.go_on()
        out, err = process.communicate()
    reported = json.loads(out)
    assert (process.returncode, reported["exit_code"], len(reported["jobs"])) == (130, 130, 1), err
    assert live(sandbox) > before - 3
    assert shell.run(*command).returncode == 0
    assert (live(sandbox), sandbox.report()["refusals"]) == (before - 3, 0)


def test_all_jobs_are_of_one_user_and_of_no_ledger(shell: Shell, sandbox: SandboxProcess, tmp_path: Path) -> None:
    two_jobs(shell, tmp_path)
    calls, ledger = sandbox.report()["total_calls"], "minimal.csv.ledger.db"
    for options, words in (
        (("--all-jobs", "--yes"), "say whose, as in --user"),
        (("--user", "a@x.example", "--all-jobs", "--rows", "2", "--yes"), "leave out --rows"),
        ((ledger, "--user", "a@x.example", "--all-jobs", "--yes"), f"leave out {ledger}"),
        (
            ("--user", "a@x.example", "--all-jobs", "--yes"),
            "knows a user with the Id or e-mail address a@x.example",
        ),
        (("--yes",), "name the ledger of a run"),
    ):
        done = shell.run("revoke", *options)
        assert (options, done.returncode, done.stdout) == (options, 2, "")
        assert words in done.stderr
    assert sandbox.report()["total_calls"] == calls
