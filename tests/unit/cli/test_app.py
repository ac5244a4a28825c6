"""The help of the whole, and what is given in place of something else."""

from __future__ import annotations

import json
import shlex
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import typer
from json_reference import misfits_of
from readme_reference import commands
from typer.testing import CliRunner

from batch_share.cli.app import app, main
from batch_share.cli.options import GROUPS, with_options
from batch_share.errors import LedgerError, SheetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize("width", [80, 120])
def test_no_command_is_described_in_half_a_sentence(width: int) -> None:
    said = CliRunner().invoke(app, ["--help"], terminal_width=width).stdout
    reported = said.partition("Every day:\n")[2].partition("Options:\n")[0].splitlines()
    described = [line for line in reported if line.startswith("  ")]
    assert {line.split()[0] for line in described} == {name.split()[0] for name in commands()}
    assert [line for line in described if not line.endswith(".") or "..." in line or "…" in line] == []


def test_commands_are_reported_by_what_they_are_for() -> None:
    said = CliRunner().invoke(app, ["--help"]).stdout
    headings = [line for line in said.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        "Every day:",
        "When something went wrong:",
        "On several hosts:",
        "Set up:",
        "Learn:",
        "Housekeeping:",
        "Options:",
    ]
    assert "reconcile" not in said


def test_who_types_what_a_command_was_called_is_told_its_name() -> None:
    done = CliRunner().invoke(app, ["reconcile", "my leads.db", "--on-unknown", "settle"])
    assert (done.exit_code, done.stdout) == (2, "")
    now = "batch-share resume 'my leads.db' --on-unknown settle --only-unknown"
    assert done.stderr == f"batch-share: reconcile is now called: {now}\n"


def test_help_builds_what_no_command_takes_and_a_command_only_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []

    def building(command: Any) -> Any:
        built.append(command.__name__)
        return with_options(command)

    monkeypatch.setattr("batch_share.cli.entry.with_options", building)
    assert "Share every lead of SHEET" in CliRunner().invoke(app, ["--help"]).stdout
    assert built == []
    assert "--older-than" in CliRunner().invoke(app, ["purge", "--help"]).stdout
    assert built == ["purge"]


@pytest.mark.parametrize("command", ["plan", "run", "resume", "retry", "revoke", "follow-up", "watch"])
def test_help_has_few_options_in_groups(command: str) -> None:
    said = CliRunner().invoke(app, [command, "--help"], terminal_width=80).stdout
    options = [line for line in said.splitlines() if line.startswith("  -") and "--help" not in line]
    assert len(options) <= 21
    headings = [line[:-1] for line in said.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Arguments", *(group for group in GROUPS if group in headings)]
    assert "Every setting is an option too" in said.splitlines()[-2]


def all_commands(group: Any, *names: str) -> Iterator[tuple[str, Any]]:
    """Every command by its full name, those of groups of commands too."""
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from all_commands(each, *names, name)
        elif not each.hidden:
            yield " ".join([*names, name]), each


EVERY = dict(all_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("command", EVERY)
def test_the_example_of_every_command_is_one_that_it_takes(command: str) -> None:
    said = EVERY[command].help.partition("Example:")[2].strip().splitlines()
    assert said, "its help has no example"
    words = shlex.split(said[0])
    names = ["batch-share", *command.split()]
    assert words[: len(names)] == names
    EVERY[command].make_context(command, words[len(names) :])  # raises for what it does not take


@pytest.mark.parametrize("command", ["resume", "retry", "revoke", "follow-up", "status", "results", "report"])
def test_a_sheet_in_place_of_its_ledger_is_as_good(command: str, tmp_path: Path) -> None:
    sheet, ledger = tmp_path / "leads.csv", tmp_path / "leads.csv.ledger.db"
    sheet.write_text("Lead Number\n", encoding="utf-8")
    reported = CliRunner().invoke(app, [command, str(sheet)]).exception
    assert isinstance(reported, SheetError)
    assert reported.wrong == (
        f"it was never run on this machine, so there is no ledger of it: `batch-share run {sheet}` runs it"
    )
    ledger.write_text("x", encoding="utf-8")
    for named in (sheet, ledger):
        reported = CliRunner().invoke(app, [command, str(named)]).exception
        assert isinstance(reported, LedgerError)
        assert str(reported).startswith(f"Ledger {ledger}: this file is no ledger")


def test_a_ledger_may_be_called_like_a_sheet(tmp_path: Path) -> None:
    ledger = tmp_path / "kept.csv"
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("CREATE TABLE other (x)")
    reported = CliRunner().invoke(app, ["status", str(ledger)]).exception
    assert isinstance(reported, LedgerError)


def test_a_file_that_is_not_there_is_reported_by_whoever_opens_it(tmp_path: Path) -> None:
    reported = CliRunner().invoke(app, ["status", str(tmp_path / "gone.csv")]).exception
    assert isinstance(reported, LedgerError)
    assert "there is no such file" in reported.wrong


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_ledger_in_place_of_its_sheet_is_told_what_goes_on_with_it(command: str, tmp_path: Path) -> None:
    ledger = tmp_path / "leads.csv.ledger.db"
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("CREATE TABLE other (x)")
    reported = CliRunner().invoke(app, [command, str(ledger), "--event", "201", "--duration", "7d"]).exception
    assert isinstance(reported, SheetError)
    assert reported.wrong == f"a ledger, not a sheet: `batch-share resume {ledger}` resumes it"


def test_of_a_fault_of_our_own_a_person_is_told_what_is_true_and_nothing_of_its_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise ExceptionGroup("unhandled errors in a TaskGroup", [TypeError("'leads.csv' is no number")])

    monkeypatch.setattr("batch_share.cli.app.app", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    (details,) = tmp_path.iterdir()
    assert "'leads.csv' is no number" in details.read_text()
    assert details.stat().st_mode & 0o077 == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert " ".join(told.err.split()) == (
        "batch-share: a fault of batch_share itself (TypeError) ended this. What was sent is noted in the ledger: "
        "run the same command again to go on, nothing is repeated. "
        f"The details are in {details}: please report them."
    )


def test_a_fault_whose_details_can_be_kept_nowhere_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing: dict[str, str] = {}
    monkeypatch.setattr("batch_share.cli.app.app", lambda: nothing["it"])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "(KeyError) ended this" in capsys.readouterr().err


def test_a_program_is_told_of_a_fault_of_our_own_as_of_any_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ExceptionGroup("unhandled errors in a TaskGroup", [TypeError("no number")])

    monkeypatch.setattr("batch_share.library.BatchShare.__init__", broken)
    done = CliRunner().invoke(app, ["status", "leads.csv", "--json"])
    told = json.loads(done.stdout)
    assert misfits_of(told, "status", set()) == []
    assert (told["sent"], told["exit_code"], told["error"]["kind"]) == (None, 1, "ExceptionGroup")
    assert "a fault of batch_share itself (TypeError) ended this" in told["error"]["message"]
