"""`runs`, `purge`, and a run Id or `last` in place of a ledger."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from ledgers import advance, new_row, working
from rich.console import Console
from typer.testing import CliRunner

from batch_share.cli.app import app
from batch_share.cli.ledgers import _local, _show_runs
from batch_share.cli.screen import console
from batch_share.errors import BatchShareError, LedgerError, SettingsError
from batch_share.ledger.files import LedgerName
from batch_share.ledger.known import KnownRun, add_ledgers, open_history
from batch_share.ledger.states import State
from batch_share.results.wording import DECLINED

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, with nothing in its index."""
    monkeypatch.setenv("BATCH_SHARE_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ledger(folder: Path) -> Path:
    """A ledger with one shared row, whose one run was long ago."""
    file = folder / "leads.csv.ledger.db"
    asyncio.run(_make(file))
    return file


async def _make(file: Path) -> None:
    async with working(file, new_row(1)) as opened:
        await advance(opened, 1, State.SHARED)
        await opened.end_run("done")
    with open_history(file.parent / "data") as history:
        await add_ledgers(history, [LedgerName.of(file)], {})


def call(*words: str) -> Result:
    return CliRunner().invoke(app, [*words])


def only_run() -> dict[str, object]:
    (run,) = json.loads(call("runs", "--json").stdout)
    return dict(run)


def test_where_nothing_ran_that_is_said() -> None:
    assert call("runs").stdout == "No runs yet on this machine.\n"
    assert json.loads(call("runs", "--json").stdout) == []


def test_runs_tells_of_each(ledger: Path) -> None:
    run = only_run()
    assert (run["command"], run["how"], run["states"]) == ("run", "done", {"ended": 1})
    assert (run["sheet"], run["ledger"], run["started"]) == ("leads.csv", str(ledger), "2026-01-02T12:00:00Z")
    (line,) = call("runs").stdout.splitlines()[2:]
    assert [cell.strip() for cell in line.split("│")][2:] == ["run", "leads.csv", "done", "1 ended"]
    assert line.startswith(str(run["run"]))


REFUSED = "done (1,204 calls were refused; the limit is 25/5s, of bulk calls 10/5s)"
UNREACHED = "https://api-in21.leadsquared.com could not be reached in 7 tries: no connection: Connection refused"
AT = datetime(2026, 3, 1, 9)  # noqa: DTZ001 - the index holds UTC without a zone
FIRST = f"bcdfghjk  {_local(AT)}  follow-up"


def known(ended: str | None = "done", sheet: str = "leads.csv", **changes: Any) -> KnownRun:
    """A run that is over, if nothing else is said."""
    values: dict[str, Any] = {
        "id": "bcdfghjk",
        "ledger": LedgerName.of("leads.csv.ledger.db"),
        "host": "https://leads.example",
        "number": 1,
        "command": "follow-up",
        "sheet": sheet,
        "started_at": AT,
        "ended_at": AT if ended else None,
        "ended": ended,
        "counts": {"shared": 1057, "unknown": 1, "failed": 22},
        "purged_at": None,
    }
    return KnownRun(**values | changes)


def listed(*runs: KnownRun, width: int | None = None) -> list[str]:
    """The lines of the list on a terminal of this width, or in a file."""
    out = io.StringIO()
    terminal = Console(file=out, width=width, force_terminal=True, color_system=None)
    _show_runs(terminal if width else console(file=out), runs)
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("width", [60, 80])
def test_on_a_narrow_terminal_each_run_has_a_few_lines_of_its_own(width: int) -> None:
    assert listed(known(), known(None, counts=None), known(purged_at=AT), width=width) == [
        f"{FIRST}  leads.csv",
        "  done: 1,057 shared, 1 unknown, 22 failed",
        f"{FIRST}  leads.csv",
        "  running",
        f"{FIRST}  leads.csv",
        "  done; purged: 1,057 shared, 1 unknown, 22 failed",
    ]


def test_of_how_a_run_ended_a_word_is_listed_and_status_has_the_rest(ledger: Path) -> None:
    assert listed(known(REFUSED), width=80)[1] == "  done: 1,057 shared, 1 unknown, 22 failed"
    assert (
        listed(known(f"{UNREACHED}. Run it again."), width=60)[1] == "  stopped: 1,057 shared, 1 unknown, 22 failed"
    )
    assert listed(known(DECLINED), width=60)[1].startswith("  not begun, nobody confirmed it")

    async def stop() -> None:
        async with working(ledger) as opened:
            await opened.end_run(UNREACHED)

    assert "last run" not in call("status", str(ledger)).stdout
    asyncio.run(stop())
    shown = " ".join(call("status", str(ledger)).stdout.split())
    assert f"The last run was stopped: {UNREACHED}" in shown


def test_a_name_that_is_longer_than_the_terminal_is_wide_goes_on_below() -> None:
    reported = listed(known(sheet=f"{'leads-of-the-north-' * 3}.xlsx"), width=60)
    assert "".join(line.strip() for line in reported[:-1]).replace(" ", "") == (
        f"{FIRST}{'leads-of-the-north-' * 3}.xlsx".replace(" ", "")
    )


@pytest.mark.parametrize("width", [None, 170])
def test_where_there_is_room_the_runs_are_a_table_with_all_of_each_on_one_line(width: int | None) -> None:
    _, _, line = listed(known(REFUSED), width=width)
    assert [cell.strip() for cell in line.split("│")][2:] == [
        "follow-up",
        "leads.csv",
        "done",
        "1,057 shared, 1 unknown, 22 failed",
    ]


def test_runs_lists_the_newest_alone_if_told_to(ledger: Path) -> None:
    async def run_again() -> None:
        async with working(ledger) as opened:
            await opened.end_run("done")

    asyncio.run(run_again())
    assert call("runs", "--add", str(ledger)).exit_code == 0
    runs = json.loads(call("runs", "--json").stdout)
    assert len(runs) == 2
    assert json.loads(call("runs", "--json", "--limit", "1").stdout) == runs[:1]


@pytest.mark.parametrize("command", ["status", "results"])
def test_a_run_id_or_last_means_its_ledger(ledger: Path, command: str) -> None:
    by_name = call(command, str(ledger)).stdout
    assert by_name
    assert call(command, "last").stdout == by_name
    assert call(command, str(only_run()["run"])).stdout == by_name


def test_a_file_of_that_name_wins(ledger: Path, folder: Path) -> None:
    (folder / "last").write_text("no ledger")
    reported = call("status", "last").exception
    assert isinstance(reported, LedgerError)
    assert "no ledger, or a damaged one" in reported.wrong


@pytest.mark.parametrize(
    ("named", "words"), [("last", "no run on this machine yet"), ("abcdefgh", "no run with this Id")]
)
def test_a_run_that_is_not_there_is_reported(named: str, words: str) -> None:
    reported = call("status", named).exception
    assert isinstance(reported, LedgerError)
    assert words in reported.wrong


def test_a_file_that_is_no_id_is_reported_as_ever() -> None:
    reported = call("status", "gone.db").exception
    assert isinstance(reported, LedgerError)
    assert "there is no such file" in reported.wrong


def test_purge_asks_and_deletes_nothing_where_nobody_answers(ledger: Path) -> None:
    done = call("purge", "--older-than", "1d")
    assert isinstance(done.exception, BatchShareError)
    assert str(done.exception).startswith("Nothing was deleted")
    assert f"  {ledger}\n" in done.stdout
    assert ledger.is_file()


def test_purge_deletes_when_told_to_and_tells_of_the_run_afterwards(ledger: Path, folder: Path) -> None:
    (folder / "leads.csv").write_text("Lead\n1\n")
    run_id = str(only_run()["run"])
    done = call("purge", "--older-than", "1d", "--yes")
    assert "Deleted: 2 files." in done.stdout
    assert not ledger.exists()
    assert (folder / "leads.csv").is_file()
    assert only_run()["states"] == {"ended": 1}
    assert "done; purged" in call("runs").stdout
    reported = call("status", run_id).exception
    assert isinstance(reported, LedgerError)
    assert f"run {run_id} was purged on" in reported.wrong
    assert call("purge", "--older-than", "1d").stdout == "Nothing to delete.\n"


def test_purge_says_what_it_did_as_json(ledger: Path) -> None:
    done = call("purge", "--older-than", "1d", "--yes", "--json")
    assert str(ledger) in json.loads(done.stdout.splitlines()[-1])["deleted"]


def test_purge_tells_of_a_time_that_is_none() -> None:
    reported = call("purge", "--older-than", "long").exception
    assert isinstance(reported, SettingsError)
    assert reported.setting == "older-than"
