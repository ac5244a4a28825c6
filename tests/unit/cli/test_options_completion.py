"""What bash is answered when somebody presses Tab, by its own protocol."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from batch_share.cli.app import app

if TYPE_CHECKING:
    from pathlib import Path


def completed(line: str) -> list[str]:
    """The answers for the last word of `line`."""
    env = {
        "_BATCH_SHARE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(shlex.split(line)) - (0 if line.endswith(" ") else 1)),
    }
    return CliRunner().invoke(app, [], env=env, prog_name="batch-share").stdout.strip().splitlines()


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sheets").mkdir()
    for name in ("leads.csv", "leads.xlsx", "leads.csv.ledger.db", "notes.md", "of June.csv", "sheets/more.ods"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


def test_commands_and_options_are_completed() -> None:
    assert completed("batch-share res") == ["results", "resume"]
    assert "--event" in completed("batch-share run --ev")


@pytest.mark.parametrize("command", ["run", "plan"])
def test_sheets_are_completed_where_a_sheet_is_wanted(command: str) -> None:
    assert completed(f"batch-share {command} le") == ["leads.csv", "leads.xlsx"]
    assert completed(f"batch-share {command} of") == ["of\\ June.csv"]
    assert completed(f"batch-share {command} sh") == ["sheets/more.ods"]
    assert completed(f"batch-share {command} no") == []


@pytest.mark.parametrize("command", ["resume", "follow-up", "status", "results"])
def test_ledgers_are_completed_where_a_ledger_is_wanted(command: str) -> None:
    assert completed(f"batch-share {command} le") == ["leads.csv.ledger.db"]
    assert completed(f"batch-share {command} gone/") == []
