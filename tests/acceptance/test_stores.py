"""Every command on a ledger in a store, by its name, its sheet or a run; and what is printed to be typed next."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from processes import SAMPLES, Shell
from stores import IS_INSTALLED, server

from batch_share.ledger.files import LedgerName
from batch_share.ledger.postgres import StoredName
from batch_share.sandbox import World
from batch_share.sandbox.sheets import active_users

if TYPE_CHECKING:
    from pathlib import Path

    from processes import SandboxProcess

    from batch_share.ledger.postgres import Store

COMMAND = re.compile(r"\n  (batch-share .*)")
SHEET = ("--event", "201", "--duration", "7d")


@pytest.fixture
def stored(shell: Shell, store: Store) -> Shell:
    """A shell that has the store in its settings."""
    return replace(shell, env={**shell.env, "BATCH_SHARE_STORE": str(store)})


def few(sheet: Path, rows: int = 3) -> Path:
    """A sheet of so many leads, each for somebody else."""
    world = World()
    users = [user.email for user in active_users(world)]
    lines = [f"{lead.number},{users[at]}" for at, lead in enumerate(world.leads[:rows])]
    sheet.write_text("\n".join(["Lead Number,User Email", *lines]), encoding="utf-8")
    return sheet


def printed(output: str) -> list[str]:
    """The one command that is printed to be typed next."""
    (command,) = COMMAND.findall(f"\n{output}")
    program, *arguments = shlex.split(command)
    assert program == "batch-share"
    return arguments


def test_a_sheet_has_its_own_ledger_in_the_store_which_every_command_takes(
    stored: Shell, store: Store, tmp_path: Path, sandbox: SandboxProcess
) -> None:
    shutil.copy(SAMPLES / "leads.csv", tmp_path)
    first = stored.run("run", "leads.csv", "--yes", "--json")
    assert first.returncode == 3, first.stderr
    totals = json.loads(first.stdout)
    user = os.environ.get("LOGNAME") or os.environ.get("USER") or "root"
    assert totals["ledger"].startswith(f"{store}#")
    assert totals["ledger"].endswith(f":{tmp_path / 'leads.csv'}")
    assert user in totals["ledger"]
    assert [*tmp_path.glob("*.db")] == []
    assert totals["results"] == str(tmp_path / "leads.results.csv")
    name = totals["ledger"].partition("#")[2]
    for named in ("leads.csv", name, totals["ledger"], totals["run"], "last", "leads.failed.csv"):
        seen = json.loads(stored.run("status", named, "--json").stdout)
        assert (seen["ledger"], seen["states"]) == (totals["ledger"], totals["states"])
    assert json.loads(stored.run("run", "leads.csv", "--yes", "--json").stdout)["states"] == totals["states"]
    said = stored.run("status", "leads.csv").stdout
    assert f"Ledger: {totals['ledger']}" in said
    for command in (
        ("resume", "last"),
        ("follow-up", name),
        ("retry", "leads.csv"),
        ("status", name, "--audit"),
    ):
        done = stored.run(*command, "--json")
        assert json.loads(done.stdout)["ledger"] == totals["ledger"], done.stderr
    assert stored.run("report", name).stdout.strip() == str(tmp_path / "leads.report.html")
    assert stored.run("results", name).stdout.strip() == str(tmp_path / "leads.results.csv")
    assert json.loads(stored.run("runs", "--json").stdout)[0]["ledger"] == totals["ledger"]
    asked = stored.run("revoke", "leads.csv", "--yes", "--json")
    assert json.loads(asked.stdout)["states"]["revoked"] == 104
    assert sandbox.report()["live_shares"]["count"] == 0
    assert sandbox.report()["duplicates"] == 0


def test_a_named_ledger_goes_on_elsewhere_and_its_results_are_written_there(
    stored: Shell, tmp_path: Path, sandbox: SandboxProcess, store: Store
) -> None:
    few(tmp_path / "leads.csv")
    name = f"week 12 {tmp_path}"
    assert stored.run("run", "leads.csv", *SHEET, "--ledger", name, "--yes").returncode == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "leads.csv").unlink()
    others = {"BATCH_SHARE_DATA_FOLDER": str(elsewhere / "data"), "BATCH_SHARE_STATE_FOLDER": str(elsewhere / "s")}
    there = Shell(elsewhere, {**stored.env, **others})
    del there.env["BATCH_SHARE_STORE"]  # type: ignore[attr-defined]
    whole = f"{store}#{name}"
    assert there.run("status", name).returncode == 1
    for named in ((whole,), (name, "--store", str(store))):
        assert json.loads(there.run("status", *named, "--json").stdout)["states"] == {"shared": 3}
    for target in ("answered.xlsx", "answered.csv"):
        assert there.run("results", whole, "-o", target).stdout.strip() == target
        assert (elsewhere / target).stat().st_size > 100
    assert there.run("report", whole, "-o", "r.html").returncode == 0
    assert json.loads(there.run("revoke", whole, "--yes", "--json").stdout)["states"] == {"revoked": 3}
    assert sandbox.report()["live_shares"]["count"] == 0


def test_what_is_to_be_typed_next_names_the_ledger_its_store_and_the_account(
    stored: Shell, tmp_path: Path, store: Store
) -> None:
    few(tmp_path / "leads.csv")
    (tmp_path / "batch-share.toml").write_text(
        f"[accounts.own]\nhost = '{stored.env['BATCH_SHARE_HOST']}'\n"
        "[accounts.other]\nhost = 'https://api.leadsquared.com'\ndefault = true\n"
    )
    keys = {
        name.replace("SHARE_", "SHARE_ACCOUNTS__OWN__"): stored.env[name]
        for name in ("BATCH_SHARE_ACCESS_KEY", "BATCH_SHARE_SECRET_KEY")
    }
    plain = ("BATCH_SHARE_STORE", "BATCH_SHARE_HOST", "BATCH_SHARE_ACCESS_KEY", "BATCH_SHARE_SECRET_KEY")
    shell = Shell(tmp_path, {name: value for name, value in stored.env.items() if name not in plain} | keys)
    typed = ("--store", str(store), "--account", "own")
    plan = printed(shell.run("plan", "leads.csv", *SHEET, *typed).stdout)
    assert {*plan} >= {"own", f"--store={store}"}
    done = shell.run(*plan, "--yes", "--no-follow-up")
    assert done.returncode == 5, done.stderr
    ask = printed(done.stdout)
    assert ask[0] == "follow-up"
    assert ask[-2:] == ["--account", "own"]
    assert shell.run(*ask).returncode == 0


def test_no_password_of_a_store_is_shown_or_may_be_typed(stored: Shell, tmp_path: Path, store: Store) -> None:
    few(tmp_path / "leads.csv")
    secret = str(store).replace("postgres@", "postgres:s3cr3t-w0rd@")
    stored = replace(stored, env={**stored.env, "BATCH_SHARE_STORE": secret})
    shown = ""
    for command in (
        ("run", "leads.csv", *SHEET, "--yes", "--verbose"),
        ("status", "leads.csv"),
        ("status", "leads.csv", "--json"),
        ("runs", "--json"),
        ("config", "show"),
        ("config", "show", "--json"),
        ("status", "no such"),
        ("results", "leads.csv"),
    ):
        done = stored.run(*command)
        shown += done.stdout + done.stderr
    assert str(store) in shown
    assert "s3cr3t" not in shown
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"s3cr3t" not in written
    for typed in (
        ("status", f"{secret}#x"),
        ("status", "x", "--store", secret),
        ("run", "x.csv", "--store", secret),
    ):
        done = stored.run(*typed)
        assert done.returncode == 2
        assert "never type a password in a command" in done.stderr
        assert "s3cr3t" not in done.stderr


def test_a_sheet_that_has_its_ledger_in_a_file_is_not_begun_anew_in_a_store(
    shell: Shell, stored: Shell, tmp_path: Path, sandbox: SandboxProcess
) -> None:
    few(tmp_path / "leads.csv")
    assert shell.run("run", "leads.csv", *SHEET, "--yes").returncode == 0
    refused = stored.run("run", "leads.csv", *SHEET, "--yes")
    assert refused.returncode == 1
    assert "`batch-share move leads.csv.ledger.db` takes it in there" in refused.stderr
    assert stored.run("run", "leads.csv", *SHEET, "--yes", "--store", "none").returncode == 0
    assert sandbox.report()["activities"] == 3


@pytest.mark.parametrize("url", ["postgresql:///x?host=/nowhere", "postgresql://127.0.0.1:9/x"])
def test_a_store_that_cannot_be_reached_is_told_in_a_sentence(shell: Shell, tmp_path: Path, url: str) -> None:
    few(tmp_path / "leads.csv")
    for command in (("run", "leads.csv", *SHEET, "--yes"), ("status", "leads.csv")):
        done = shell.run(*command, BATCH_SHARE_STORE=url)
        assert done.returncode == 1
        assert re.search(r"^batch-share: .*the store can't be reached \(", done.stderr), done.stderr


def test_a_sheets_ledger_is_another_for_each_place_it_may_be_at(tmp_path: Path, store: Store) -> None:
    from pydantic import SecretStr

    url = SecretStr(str(store))
    one = LedgerName.of_sheet(tmp_path / "x" / ".." / "leads.csv", url)
    assert isinstance(one, StoredName)
    assert one == LedgerName.of_sheet(tmp_path / "leads.csv", url)
    assert one != LedgerName.of_sheet(tmp_path / "x" / "leads.csv", url)


def test_a_store_is_made_checked_and_given_the_ledger_of_a_file(
    shell: Shell, tmp_path: Path, sandbox: SandboxProcess
) -> None:
    if not IS_INSTALLED:
        pytest.skip("nothing that starts PostgreSQL is installed")
    with server() as made:
        url = str(made.store())
        stored = replace(shell, env={**shell.env, "BATCH_SHARE_STORE": url})
        assert shell.run("store", "check").returncode == 2
        assert "batch-share store init" in stored.run("store", "check").stdout
        for is_new in (True, False):
            assert json.loads(stored.run("store", "init", "--json").stdout) == {"store": url, "made": is_new}
        checked = stored.run("store", "check", "--json")
        assert (checked.returncode, json.loads(checked.stdout)["problems"]) == (0, 0)
        assert stored.run("store", "upgrade").stdout == "The tables are of this version already.\n"
        few(tmp_path / "leads.csv")
        assert shell.run("run", "leads.csv", *SHEET, "--yes").returncode == 0
        moved = stored.run("move", "leads.csv.ledger.db", "--json")
        assert moved.returncode == 0, moved.stderr
        assert json.loads(moved.stdout)["ledger"].startswith(f"{url}#")
        assert f"it was moved to {url}#" in shell.run("resume", "leads.csv").stderr
        for command in (("status", "leads.csv"), ("run", "leads.csv", *SHEET, "--yes")):
            done = stored.run(*command, "--json")
            assert json.loads(done.stdout)["states"] == {"shared": 3}, done.stderr
        assert sandbox.report()["activities"] == 3
        assert stored.run("move", "leads.csv").returncode == 1
        name = json.loads(moved.stdout)["ledger"].partition("#")[2]
        back = stored.run("move", name, "--to", "leads.ledger.db")
        assert "is now the ledger leads.ledger.db" in back.stdout, back.stderr
        assert "it was moved to" in stored.run("status", "leads.csv").stderr
        assert "it was moved to" in shell.run("results", "leads.csv.ledger.db").stderr
        assert json.loads(shell.run("status", "leads.ledger.db", "--json").stdout)["states"] == {"shared": 3}
        shell.run("revoke", "leads.ledger.db", "--yes")
        assert sandbox.report()["live_shares"]["count"] == 0
