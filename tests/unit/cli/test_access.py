"""`access`: one sentence, a table that is not long, and the whole as JSON."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from batch_share.cli import ledgers as command
from batch_share.cli.app import app
from batch_share.ledger.files import LedgerName
from batch_share.planning.access import Access, KnownShare
from batch_share.results.wording import OTHERS

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 12, 2, 4, 30)  # noqa: DTZ001 - the index holds UTC without a zone
LONG = "a.rather.long.address.of.somebody@sales.department.example.com"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the index."""
    monkeypatch.setenv("BATCH_SHARE_DATA_FOLDER", str(tmp_path / "data"))


def share(number: int = 1, **changes: Any) -> KnownShare:
    values: dict[str, Any] = {"lead_id": f"{number:08x}-0000-4000-8000-000000000000", "lead_number": str(number)}
    values |= {"user_id": "u", "user_name": "Asha", "user_email": "asha@x.example", "access": "read"}
    values |= {"doubtful": False, "ends_at": AT + timedelta(hours=number - 1), "sheet": "leads.csv"}
    values |= {"sheet_row": number + 1, "ledger": LedgerName.of("leads.csv.ledger.db"), "run_id": "wvwqmbyd"}
    return KnownShare(**values | changes)


def said(*shares: KnownShare, chosen: bool = False) -> str:
    return command._said(Access(shares, [], frozenset(), []), chosen=chosen)


def test_where_nothing_is_known_that_is_said() -> None:
    done = CliRunner().invoke(app, ["access"])
    assert (done.exit_code, done.stdout) == (0, "This machine knows of no share that gives anyone access.\n")
    assert done.stderr == f"{OTHERS}.\n"
    done = CliRunner().invoke(app, ["access", "--user", "a@x.example", "--json"])
    found = json.loads(done.stdout)
    assert (done.exit_code, found["shares"], found["remarks"][-1], done.stderr) == (0, [], OTHERS, "")


@pytest.mark.parametrize("option", ["--user", "--lead", "--ending"])
def test_an_option_that_is_empty_is_a_mistake(option: str) -> None:
    assert CliRunner().invoke(app, ["access", option, " "]).exit_code == 2


def test_one_sentence_says_how_much_and_what_ends_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_local", lambda at, _="": f"{at:%d %H:%M} there")
    assert said(share()) == "1 lead is shared with 1 user; the share ends 02 04:30 there."
    two = said(share(1), share(2, user_id="v"), share(1, user_id="v"))
    assert two == "2 leads are shared with 2 users; the first share ends 02 04:30 there."
    doubtful = share(1, access=None, doubtful=True)
    assert said(doubtful, share(2)).endswith("ends 02 05:30 there. Whether 1 share is still live is unknown.")
    assert said(doubtful, doubtful) == ("No share is known to be live. Whether 2 shares are still live is unknown.")


def test_shares_of_other_machines_are_told_apart() -> None:
    other = share(2, doubtful=True, access=None, ledger=None, sheet="", sheet_row=None, run_id="")
    go = "By the activities in LeadSquared, 2 shares made on other machines are live."
    assert said(share(), other, other).endswith(f" {go}")
    assert said(other).endswith(" By the activities in LeadSquared, 1 share made on another machine is live.")
    assert other.as_json()["known_by"] == "leadsquared"
    assert share().as_json()["known_by"] == "ledger"
    assert said(chosen=True) == "This machine knows of no such share that gives anyone access."


def test_the_table_fits_on_a_terminal_and_is_not_long() -> None:
    out = Console(file=io.StringIO(), width=80, force_terminal=False)
    found = Access([share(n, lead_number="", user_email=LONG) for n in range(1, 251)], [], frozenset(), [])
    out.print(command._table(found))
    assert isinstance(out.file, io.StringIO)
    lines = out.file.getvalue().splitlines()
    assert (len(lines), max(map(len, lines))) == (22, 80)
    assert "2026-12-02" in lines[2]
    assert "read" in lines[2]
    assert "00000001" in lines[2]
    assert "a.rather" in lines[2]


def test_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def found(*_: object, online: bool) -> Access:
        return Access([share(n) for n in range(1, 251)], ["Look here"], frozenset(), [])

    monkeypatch.setattr("batch_share.library.BatchShare.access", found)
    done = CliRunner().invoke(app, ["access"])
    assert done.stdout.endswith("\nand 230 more: --json lists all\n")
    assert (len(done.stdout.splitlines()), done.stderr) == (24, "Look here.\n")
    assert len(json.loads(CliRunner().invoke(app, ["access", "--json"]).stdout)["shares"]) == 250
