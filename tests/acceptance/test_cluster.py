"""Handed over on one host, done on another without a shared disk, its results written on a third."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import zipfile
from typing import TYPE_CHECKING

import pytest
from processes import FAST, SAMPLES, Pause, SandboxProcess, Shell, sandbox_thread, shell_for
from queues import emptied
from recipes import snippet
from sqlalchemy import text

from batch_share.common import Rate
from batch_share.sandbox import SandboxOptions

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.ledger.postgres import Store

GIVEN = ("leads.csv", "--yes", "--event", "201")


@pytest.fixture
def hosts(tmp_path: Path, sandbox: SandboxProcess, store: Store) -> list[Shell]:
    """Three shells, each in a folder with settings of its own, that have the store in common."""
    emptied(store)
    shells = []
    for name in ("one", "two", "three"):
        (folder := tmp_path / name).mkdir()
        shell = shell_for(sandbox, folder)
        shells.append(Shell(shell.folder, {**shell.env, "BATCH_SHARE_STORE": str(store)}))
    shutil.copy(SAMPLES / "leads.csv", shells[0].folder)
    return shells


def test_a_sheet_is_done_where_it_is_not_and_ends_as_a_run_of_it(
    hosts: list[Shell], sandbox: SandboxProcess, tmp_path: Path
) -> None:
    submits, works, writes = hosts
    handed = json.loads(submits.run("submit", *GIVEN, "--json").stdout)
    assert handed["state"] == "queued"
    done = works.run("worker", "--once")
    assert (done.returncode, done.stdout) == (0, "")
    ((job),) = json.loads(writes.run("jobs", "--json").stdout)
    assert (job["id"], job["state"], job["exit_code"], job["error"]) == (handed["id"], "ended", 3, None)
    for kind in ("csv", "xlsx"):
        done = writes.run("results", job["ledger"], "--output", f"answers.{kind}")
        assert (done.returncode, done.stderr) == (0, "")
    report = sandbox.report()
    assert (report["duplicates"], report["refusals"], report["live_shares"]["count"]) == (0, 0, 104)
    assert not [*works.folder.glob("*.csv")]
    (tmp_path / "run").mkdir()
    with sandbox_thread(SandboxOptions(port=0, rate=Rate.parse(FAST), latency=0.005, processing=0.05)) as other:
        runs = shell_for(other, tmp_path / "run")
        shutil.copy(SAMPLES / "leads.csv", runs.folder)
        assert runs.run("run", *GIVEN).returncode == 3
        assert runs.run("results", "leads.csv", "--output", "answers.xlsx").returncode == 0
    ours, theirs = answered(writes.folder, "answers.csv"), answered(runs.folder, "leads.results.csv")
    assert ours["answers.csv"].count(b"\n") == 111
    assert ours.pop("answers.csv") == theirs.pop("leads.results.csv")
    assert ours == theirs


def answered(folder: Path, name: str) -> dict[str, bytes]:
    """The answers in CSV, and all parts of those in a workbook, but for what tells one run from another.

    Those are the Ids that the account gave, here by which row has them; the worksheet that tells of times, the
    account and where the ledger is; and that a run leaves a sheet of failed rows beside its own, a worker none.
    """
    content = (folder / name).read_bytes()
    rows = csv.DictReader(content.decode("utf-8-sig").splitlines())
    given = {
        row[kind]: f"<{kind} of {at}>" for at, row in enumerate(rows) for kind in ("Activity Id", "Request Id")
    }
    ids = re.compile("|".join(filter(None, given)).encode())
    assert len(given) > 2 * 104
    with zipfile.ZipFile(folder / "answers.xlsx") as book:
        parts = {part: book.read(part) for part in book.namelist()}
    assert b"<t>What became of the rows</t>" in parts.pop("xl/worksheets/sheet1.xml")
    del parts["docProps/core.xml"]  # when it was written
    failed = b"leads.failed.csv; then run that file", b"a sheet of its own; then run that sheet"
    return {
        part: ids.sub(lambda found: given[found[0].decode()].encode(), each).replace(*failed)
        for part, each in {**parts, name: content}.items()
    }


def test_who_waits_ends_as_a_run_does(hosts: list[Shell]) -> None:
    submits, works, _ = hosts
    with works.start("worker") as worker:
        done = submits.run("submit", *GIVEN, "--wait", "--json")
        assert done.returncode == 3, done.stderr
        told = json.loads(done.stdout)
        assert told["totals"]["states"]["shared"] == 104
        worker.send_signal(signal.SIGTERM)
        out, err = worker.communicate(timeout=60)
    assert (worker.returncode, out) == (0, "")
    assert "Traceback" not in err


def test_a_job_is_cancelled_before_and_while_it_is_done(hosts: list[Shell], pause: Pause) -> None:
    submits, works, _ = hosts
    later = json.loads(submits.run("submit", *GIVEN, "--at", "2999-01-01 07:00", "--json").stdout)
    assert later["due"].startswith(("2998-12-31", "2999-01-01"))
    assert json.loads(submits.run("cancel", str(later["id"]), "--json").stdout)["state"] == "cancelled"
    pause.after = 5
    job = json.loads(submits.run("submit", *GIVEN, "--json").stdout)
    with works.start("worker", "--once") as worker:
        pause.catch(worker)
        said = submits.run("cancel", str(job["id"])).stdout
        pause.go_on()
        worker.communicate(timeout=60)
    assert "is being ended" in said
    first, second = json.loads(submits.run("jobs", "--json").stdout)
    assert (first["state"], first["exit_code"], second["state"]) == ("cancelled", 130, "cancelled")


def test_a_schedule_is_kept_listed_paused_and_removed(hosts: list[Shell]) -> None:
    shell = hosts[0]
    made = shell.run(
        "schedule", "add", "nightly", *GIVEN, "--cron", "0 7 * * 1-5", "--set", "timezone=Asia/Kolkata"
    )
    assert (made.returncode, made.stderr) == (0, "")
    assert "nightly runs next at" in made.stdout
    ((listed),) = json.loads(shell.run("schedule", "list", "--json").stdout)
    assert (listed["name"], listed["zone"], listed["paused"]) == ("nightly", "Asia/Kolkata", False)
    assert listed["next"][11:16] == "01:30"
    assert shell.run("schedule", "pause", "nightly").stdout == "nightly is paused.\n"
    assert "paused" in shell.run("schedule", "list").stdout
    assert shell.run("schedule", "pause", "nightly", "--end").stdout == "nightly goes on.\n"
    assert shell.run("schedule", "remove", "nightly").stdout == "nightly is removed.\n"
    assert shell.run("schedule", "remove", "nightly").returncode == 2
    wrong = shell.run("schedule", "add", "nightly", *GIVEN, "--cron", "7")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)
    assert "write five fields" in wrong.stderr


def test_what_can_not_be_handed_over_is_told_in_a_sentence(hosts: list[Shell], store: Store) -> None:
    shell = hosts[0]
    none = shell.run("submit", *GIVEN, BATCH_SHARE_STORE="")
    assert (none.returncode, none.stderr.count("\n")) == (2, 1)
    assert "BATCH_SHARE_STORE" in none.stderr
    many = shell.run("submit", "leads.csv", "--event", "201")
    assert (many.returncode, "Add --yes" in many.stderr) == (1, True)
    assert "To send it" not in many.stdout, "that is to submit it"
    gone = shell.run("submit", "none.csv", "--yes")
    assert (gone.returncode, "no such file" in gone.stderr) == (2, True)
    assert shell.run("cancel", "1").returncode == 1
    assert shell.run("submit", *GIVEN, "--at", "soon").returncode == 2
    plan = shell.run("plan", *GIVEN[:1], "--event", "201", "--save", "plan.json")
    assert plan.returncode in {0, 3}
    other = shell.run("submit", *GIVEN, "--plan", "plan.json", "--duration", "9d")
    assert (other.returncode, "duration" in other.stderr) == (1, True)
    assert json.loads(shell.run("jobs", "--json").stdout) == []


def test_a_job_says_what_its_trouble_is(hosts: list[Shell], store: Store) -> None:
    kept = "INSERT INTO batch_share.jobs (ledger, account, kind, options, submitted_by, state, exit_code, error)"
    with store.looking() as connection:
        connection.execute(text(f"{kept} VALUES ('a', 'b', 'run', '{{}}', 'asha', 'ended', 1, 'it is gone.')"))
    assert hosts[0].run("jobs").stdout.endswith("by asha: ended (exit 1). it is gone.\n")


def test_the_service_of_the_manual_does_what_was_submitted(hosts: list[Shell]) -> None:
    command = re.search(r"^ExecStart=(.+)$", snippet("worker", "hosts"), re.MULTILINE)
    assert command is not None
    hosts[0].run("submit", *GIVEN)
    assert hosts[1].run(*command[1].split()[1:], "--once").returncode == 0
    ((job),) = json.loads(hosts[2].run("jobs", "--json").stdout)
    assert (job["state"], job["exit_code"]) == ("ended", 3)
