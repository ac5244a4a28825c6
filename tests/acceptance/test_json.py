"""What commands print with `--json` is what is described of it, no more and no less: cli/printed.py."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from json_reference import all_keys, described, misfits, misfits_of
from processes import FAST, SAMPLES, SandboxProcess, Shell, sandbox_thread, shell_for, wait_until
from queues import emptied
from trial import CREATE, DROPPED, SHARE, Fault, envelope, sheet_rows
from trial import HEADER as COLUMNS

from batch_share.cli.entry import Asked
from batch_share.cli.printed import InProgress
from batch_share.common import Rate
from batch_share.ledger.known import FILE as HISTORY
from batch_share.sandbox import SandboxOptions
from batch_share.sandbox.wire import throttled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trial import Step

    from batch_share.ledger.postgres import Store
    from batch_share.sandbox.wire import Reply, SandboxCall

HOW = ("--event", "201", "--duration", "7d")
OPTIONS: dict[str, Any] = {"port": 0, "rate": Rate.parse(FAST), "bulk_rate": Rate.parse(FAST), "processing": 0.05}


@dataclass
class Answers:
    """Runs commands with `--json`, and holds each answer against the description; `met` are the keys in them."""

    shell: Shell
    met: set[str] = field(default_factory=set)

    def __call__(self, *command: str, code: int = 0, **env: str) -> Any:
        """What a command prints."""
        done = self.shell.run(*command, "--json", **env)
        assert done.returncode == code, (command, done.stdout, done.stderr)
        for line in done.stderr.splitlines():
            if line.startswith("{"):
                assert misfits(json.loads(line), InProgress, self.met) == [], line
        return self.fitting(done.stdout, " ".join(command))

    def fitting(self, printed: str, command: str) -> Any:
        """The one value that was printed, which is as described."""
        (line,) = printed.splitlines()
        value = json.loads(line)
        first, *rest = command.split()
        name = f"{first} {rest[0]}" if first in {"config", "store", "schedule"} else first
        for option in ("--all-jobs", "--queue"):
            name = f"{name} {option}" if option in rest else name
        assert misfits_of(value, name, self.met) == [], command
        return value

    def write(self, name: str, rows: Sequence[Sequence[str]], columns: Sequence[str] = COLUMNS) -> None:
        """Write a sheet."""
        with (self.shell.folder / name).open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([columns, *rows])

    def change(self, name: str, statement: str) -> None:
        """Change a file of SQLite's while nobody works on it."""
        with closing(sqlite3.connect(self.shell.folder / name)) as connection, connection:
            connection.execute(statement)


async def _twice(step: Step, call: SandboxCall) -> Reply:
    await step(call)
    return await step(call)


def answers(sandbox: SandboxProcess, folder: Path, met: set[str]) -> Answers:
    """Those of another account, in a folder of its own."""
    folder.mkdir()
    return Answers(shell_for(sandbox, folder), met)


def test_every_command_prints_what_is_described_and_nothing_else(tmp_path: Path, store: Store) -> None:
    met: set[str] = set()
    with sandbox_thread(SandboxOptions(**OPTIONS)) as sandbox:
        a_job_from_its_plan_to_its_end(answers(sandbox, tmp_path / "one", met), sandbox)
        what_there_is_to_look_at(answers(sandbox, tmp_path / "two", met), sandbox)
        emptied(store)
        in_a_store(answers(sandbox, tmp_path / "three", met), str(store))
    troubles(tmp_path, met)
    Answers(shell_for(sandbox, tmp_path), met).fitting(json.dumps(Asked("run", Path("leads.csv")).cut(130)), "run")
    assert all_keys() - met == set()


def a_job_from_its_plan_to_its_end(run: Answers, sandbox: SandboxProcess) -> None:
    """Complete, with rows that are invalid, wait or are there twice; then corrected, changed, ended, revoked."""
    shutil.copy(SAMPLES / "mistakes.csv", run.shell.folder)
    assert run("plan", "mistakes.csv", *HOW, code=3)["problem_cells"]
    assert run("plan", "gone.csv", code=2)["error"]["kind"] == "SheetError"
    rows = sheet_rows(5)
    bad = [rows[4][0], "86-95", *rows[4][2:]]
    later = [[*rows[3], "2030-01-01 09:00"]]
    run.write("leads.csv", [*([*row, ""] for row in [*rows[:3], rows[0], bad]), *later], [*COLUMNS, "Start"])
    planned = run("plan", "leads.csv", *HOW, "--online", "--daily-limit", "1000", code=3)
    assert (planned["to_send"], planned["waiting"], planned["invalid"]) == (4, 1, 1)
    assert run("run", "leads.csv", "--duration", "soon", "--yes", code=2)["exit_code"] == 2
    done = run("run", "leads.csv", *HOW, "--yes", code=3)
    assert done["states"] == {"pending": 1, "shared": 3, "invalid": 1, "skipped": 1}
    assert (done["audit"]["verdict"], done["waiting"]) == ("proved", 1)
    assert done["first_due"].startswith("2030-01-01T")
    assert done["preview"]["to_send"] == 4
    for again, code in ((("resume",), 3), (("retry", "--yes"), 0), (("follow-up",), 3)):
        assert run(*again, "leads.csv", code=code)["rows"] == 6
    failed = Path(done["failed_sheet"])
    failed.write_text(failed.read_text(encoding="utf-8").replace("86-95", rows[4][1]), encoding="utf-8")
    done = run("run", failed.name, "--yes")
    assert (done["states"], done["failed_sheet"]) == ({"pending": 1, "shared": 4, "skipped": 1}, None)
    assert done["corrected"] == {failed.name: 1}
    run.write("leads.csv", rows[:2])
    assert run("run", "leads.csv", *HOW, "--yes")["earlier"] == {"shared": 2}
    assert run("run", "leads.csv", *HOW, "--if-changed")["states"] == {"shared": 2}
    assert run("revoke", "leads.csv", code=1)["error"]["kind"] == "NotConfirmed"
    assert run("revoke", "leads.csv", "--rows", "2", "--yes")["states"] == {"shared": 1, "revoked": 1}
    run.write("more.csv", sheet_rows(8)[5:])
    run("run", "more.csv", *HOW, "--yes")
    run.change("more.csv.ledger.db", "UPDATE rows SET ends_at = '2020-01-01 00:00:00.000000'")
    assert run("status", "more.csv")["states"] == {"ended": 3}
    assert run("run", "more.csv", *HOW, "--yes", code=6)["states"] == {"ended": 3}
    assert run("status", "nothing.csv", code=1)["error"]["kind"] == "LedgerError"
    run.write("last.csv", sheet_rows(12)[11:])
    run("run", "last.csv", *HOW, "--yes")
    (run.shell.folder / "last.csv.ledger.db").unlink()
    user = rows[1][2]
    ended = run("revoke", "--all-jobs", "--user", user, "--yes", code=1)
    assert {"error" in each for each in ended["jobs"]} == {True, False}
    assert run("revoke", "--all-jobs", "--user", "nobody@example.com", "--yes", code=2)["sent"] == 0


def what_there_is_to_look_at(run: Answers, sandbox: SandboxProcess) -> None:
    """Access, runs, what is deleted, and what is said of the account and the settings."""
    assert run("runs") == run("access")["shares"] == []
    run.write("leads.csv", sheet_rows(3))
    run("run", "leads.csv", *HOW, "--yes")
    assert len(run("access")["shares"]) == 3
    other: dict[str, Any] = {"BATCH_SHARE_DATA_FOLDER": str(run.shell.folder / "other"), "BATCH_SHARE_EVENT": "201"}
    elsewhere = run("access", "--online", **other)["shares"]
    assert {each["known_by"] for each in elsewhere} == {"leadsquared"}
    assert run("access", "--ending", "soon", code=2)["error"]["kind"] == "SettingsError"
    run.change(f"data/{HISTORY}", "UPDATE runs SET ended_at = '2020-01-01 00:00:00.000000'")
    assert run("purge", "--older-than", "9d", "--yes")["kept"]
    assert run("purge", "--older-than", "9d", "--force", code=1)["error"]["message"].startswith(
        "Nothing was deleted"
    )
    with (run.shell.folder / "leads.results.csv").open("a", encoding="utf-8") as results:
        results.write("checked\n")
    purged = run("purge", "--older-than", "9d", "--force", "--yes")
    assert purged["deleted"]
    assert purged["changed"]
    assert run("runs")[0]["purged"]
    lead, user = sheet_rows(1)[0][0], sheet_rows(1)[0][2]
    assert run("verify", lead, user, "--yes", code=2)["error"]["kind"] == "SettingsError"
    assert run("doctor", code=0)["problems"] == 0
    assert run("doctor", code=1, BATCH_SHARE_ACCESS_KEY="another")["problems"] >= 1
    assert run("config", "show")["access_key"]["value"] is True
    assert run("config", "show", code=2, BATCH_SHARE_RATE="fast")["error"]["kind"] == "SettingsError"


def in_a_store(run: Answers, url: str) -> None:
    """A ledger of a file is moved to a store that is made and well; then sheets are handed over in it."""
    run.write("leads.csv", sheet_rows(3))
    run("run", "leads.csv", *HOW, "--yes")
    assert run("store", "init", BATCH_SHARE_STORE=url)["made"] is False
    assert run("store", "upgrade", BATCH_SHARE_STORE=url)["store"] == url
    assert run("store", "check", BATCH_SHARE_STORE=url)["problems"] == 0
    assert run("move", "leads.csv", BATCH_SHARE_STORE=url)["ledger"].startswith(f"{url}#")
    run.write("more.csv", sheet_rows(6)[3:])
    run = Answers(Shell(run.shell.folder, {**run.shell.env, "BATCH_SHARE_STORE": url}), run.met)
    handed = run("submit", "more.csv", *HOW, "--yes")
    assert (handed["state"], handed["kind"]) == ("queued", "run")
    assert run.shell.run("worker", "--once").returncode == 0
    assert run("submit", "more.csv", *HOW, "--into", handed["ledger"], "--at", "2999-01-01 07:00", "--yes")["due"]
    assert [each["exit_code"] for each in run("jobs")] == [None, 0]
    assert run("cancel", str(run("jobs")[0]["id"]))["state"] == "cancelled"
    assert run("cancel", "0", code=1)["error"]["kind"] == "BatchShareError"
    with run.shell.start("worker") as worker:
        again = run("submit", "more.csv", *HOW, "--into", handed["ledger"], "--wait", "--yes")
        worker.send_signal(signal.SIGTERM)
        worker.communicate()
    assert again["totals"]["states"] == {"shared": 3}
    asked = [
        ("resume", "--yes"),
        ("retry", "--reason", "x", "--yes"),
        ("revoke", "--rows", "2", "--yes"),
        ("follow-up",),
    ]
    for kind, *more in asked:
        assert run(kind, handed["ledger"], *more, "--queue")["state"] == "queued"
    assert run("revoke", handed["ledger"], "--queue", code=1)["error"]["kind"] == "NotConfirmed"
    in_file = run("follow-up", "gone.ledger.db", "--queue", code=2, BATCH_SHARE_STORE="none")
    assert "workers reach no file" in in_file["error"]["message"]
    assert run.shell.run("worker", "--once").returncode == 0
    assert [each["exit_code"] for each in run("jobs")[:4]] == [0, 0, 0, 0]
    assert run("status", handed["ledger"])["states"] == {"shared": 2, "revoked": 1}
    nightly = "schedule", "add", "nightly", "more.csv", "--cron", "0 7 * * 1-5", *HOW, "--yes"
    assert run(*nightly)["paused"] is False
    assert run(*nightly, code=2)["error"]["kind"] == "SettingsError"
    assert run("schedule", "list")[0]["missed"] is None


def troubles(folder: Path, met: set[str]) -> None:
    """Failed, doubled and unknown rows, a run that is stopped, and an account that is closed or short of APIs."""

    gone = envelope(500, "Lead does not exist")
    for name, code, faults, options, more, expected in (
        ("failed", 3, [Fault(CREATE, [1], gone)], {}, (), {"failed": 1, "shared": 4}),
        ("stopped", 1, [Fault(CREATE, range(9), gone)], {}, ("--stop-after-failures", "2"), {}),
        ("twice", 0, [Fault(CREATE, [2], _twice)], {}, (), {"shared": 5}),
        ("unknown", 4, [Fault(CREATE, [2], DROPPED)], {}, ("--on-unknown", "park"), {"shared": 4, "unknown": 1}),
        ("closed", 1, [Fault(CREATE, [2], throttled(Rate(25, 5.0), 429, 86_400.0))], {}, (), {}),
        ("short", 0, [], {"without": ("helpers",)}, ("--trust-ids", "--trust-owner"), {"shared": 5}),
    ):
        with sandbox_thread(SandboxOptions(**{**OPTIONS, **options}), *faults) as sandbox:
            run = answers(sandbox, folder / name, met)
            run.write("leads.csv", sheet_rows(5))
            done = run("run", "leads.csv", *HOW, *more, "--workers", "1", "--yes", code=code)
            assert done["states"] == (expected or done["states"]), name
            run("status", "leads.csv", *(["--audit"] if name == "twice" else []), code=code)
    with sandbox_thread(SandboxOptions(**OPTIONS)) as sandbox:
        run = answers(sandbox, folder / "interrupted", met)
        run.write("leads.csv", sheet_rows(9))
        with run.shell.start("run", "leads.csv", *HOW, "--yes", "--json", BATCH_SHARE_RATE="2/1s") as process:
            wait_until(lambda: bool(sandbox.calls(CREATE)) or process.poll() is not None)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate()
        assert process.returncode == 130, err
        assert run.fitting(out, "run")["states"]["pending"] > 0
    closed = Fault(SHARE, [1], throttled(Rate(25, 5.0), 429, 86_400.0))
    with sandbox_thread(SandboxOptions(**OPTIONS), closed) as sandbox:
        run, row = answers(sandbox, folder / "tried", met), sheet_rows(1)[0]
        tried = run("verify", row[0], row[2], "--event", "201", "--yes", code=1)
        assert (tried["error"]["kind"], tried["exit_code"]) == ("AccountClosed", 1)
        assert tried["answers"]


def test_the_description_has_no_key_without_words() -> None:
    assert "None" not in described()
