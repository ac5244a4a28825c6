"""What a person reads before and after a run."""

from __future__ import annotations

import io
from typing import Any

import pytest
from ledgers import sheet_record
from rich.console import Console

from batch_share.cli.display import Display
from batch_share.ledger.records import Cause, Changes
from batch_share.ledger.states import State
from batch_share.pipeline.watcher import Preview
from batch_share.settings import Settings
from batch_share.units import Rate


def previewed(states: dict[State, int] | None = None, **told: Any) -> Preview:
    """Ten rows to be sent, if nothing else is said."""
    states = states or {State.PENDING: 10}
    values: dict[str, Any] = {
        "sheet": sheet_record(),
        "host": "https://leads.example",
        "states": states,
        "changes": None,
        "cut_off": 0,
        "settings": Settings.model_construct(),
        "rate": Rate(25, 5.0),
        "events": 1,
        "to_do": {state: states[state] for state in (State.PENDING, State.POSTED) if state in states},
    }
    return Preview(**values | told)


def screen(preview: Preview) -> str:
    """What is shown of it where output goes to a file."""
    out = io.StringIO()
    Display(yes=True, console=Console(file=out, highlight=False)).agree(preview)
    return out.getvalue()


@pytest.mark.parametrize(
    ("cause", "why"),
    [
        (
            Cause.SHEET,
            "The sheet or its options changed since this ledger was begun",
        ),
        (
            Cause.CHOICE,
            "Other rows are chosen than last time, the sheet is the same",
        ),
        (Cause.FOUND, "Somebody is found who was not found last time"),
    ],
)
def test_why_rows_are_other_ones_than_last_time(cause: Cause, why: str) -> None:
    assert f"\n  {why}: 8 of 10 rows are as they were.\n" in screen(previewed(changes=Changes(2, 8, 0, cause)))


@pytest.mark.parametrize("changes", [None, Changes(10, 0, 0)])
def test_of_a_sheet_that_is_new_or_the_same_nothing_is_told(changes: Changes | None) -> None:
    assert "as they were" not in screen(previewed(changes=changes))


@pytest.mark.parametrize(
    ("follow_up", "words"),
    [(True, "32 calls (with the follow-up), about 1 s"), (False, "22 calls (without the follow-up), about 1 s")],
)
def test_a_run_says_what_it_costs_as_its_plan_does(follow_up: bool, words: str) -> None:
    settings = Settings.model_construct(follow_up=follow_up)
    assert f"  10 rows to send: {words} at 25/5s.\n" in screen(previewed(settings=settings))
