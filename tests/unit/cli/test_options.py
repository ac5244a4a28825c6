"""The options of a command become settings by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from batch_share.cli.app import app
from batch_share.cli.options import load_given
from batch_share.common import Rate
from batch_share.settings import Settings

OF_THE_SHEET = {"sheet", "worksheet", "header_row", "encoding", "map_", "mapping", "limit", "rows", "only"}
OF_THE_COMMAND = {"ledger", "plan", "folder", "user", "reason", "all_", "no_follow_up"} | OF_THE_SHEET
OF_THE_COMMAND |= {"online", "output", "save", "save_map", "once", "every", "settle"}
OF_THE_SCREEN = {"yes", "json", "verbose", "if_changed", "due"}


@pytest.mark.parametrize("name", ["plan", "run", "resume", "retry", "revoke", "reconcile", "follow-up", "watch"])
def test_every_option_is_a_setting_or_the_commands_own(name: str) -> None:
    """One that is neither, by a slip in its name, would be taken and change nothing."""
    command: Any = typer.main.get_command(app)
    options = {each.name for each in command.commands[name].params}
    assert options - set(Settings.model_fields) <= OF_THE_COMMAND | OF_THE_SCREEN


def test_what_was_given_is_set_and_what_was_not_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_SHARE_BULK", "true")
    monkeypatch.setenv("BATCH_SHARE_STOP_AFTER_FAILURES", "7")
    monkeypatch.setenv("BATCH_SHARE_WAIT", "5s")
    found = load_given(
        {
            "sheet": Path("x.csv"),
            "rate": "20/5s",
            "bulk": False,
            "stop_after_failures": 0,
            "wait": None,
            "yes": True,
        }
    )
    assert (found.rate, found.bulk, found.stop_after_failures) == (Rate(20, 5.0), True, 0)
    assert (found.wait, found.follow_up) == (5.0, True)
    assert not load_given({"no_follow_up": True}).follow_up
