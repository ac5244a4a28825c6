"""The answer of a command that could not do its work: what was asked for, whether anything was sent, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batch_share.cli.entry import Asked, answer, in_short
from batch_share.cli.screen import Display
from batch_share.errors import (
    AccessDenied,
    BatchShareError,
    LedgerLocked,
    NotConfirmed,
    SettingsError,
    SheetError,
    TooManyFailures,
    Unreachable,
)
from batch_share.jobs.job import Ending
from batch_share.ledger.files import LedgerName
from batch_share.ledger.states import State
from batch_share.results.wording import Summary

REFUSED = AccessDenied(401, "Invalid.")
RUN = Asked("run", Path("leads.csv"))


@pytest.mark.parametrize(
    ("error", "sent", "words"),
    [
        (REFUSED, 0, "nothing sent: keys refused"),
        (REFUSED, 3, "stopped: keys refused"),
        (
            SettingsError("host", "is not set. Set it", problem="The setting host is not set."),
            0,
            "nothing sent: the setting host is not set",
        ),
        (SettingsError("until", "not a date. Set it"), 0, "nothing sent: the setting until: not a date"),
        (SheetError(Path("a.csv"), "is odd"), 0, "nothing sent: is odd"),
        (SheetError(Path("a.csv"), "breaks\noff.", row=7), 0, "nothing sent: row 7: breaks off"),
        (LedgerLocked("a.db", "Another works on it. Wait"), 0, "nothing sent: Another works on it"),
        (NotConfirmed(), 0, "nothing sent: it was not confirmed"),
        (Unreachable("https://x", 7, "no route"), 9, "stopped: LeadSquared could not be reached"),
        (TooManyFailures(10, "refused: a@x.example"), 9, "stopped: too many rows failed"),
        (BatchShareError("The disk is full. Delete something."), 0, "nothing sent: The disk is full"),
    ],
)
def test_why_is_reported_in_few_words(error: BatchShareError, sent: int, words: str) -> None:
    assert in_short(error, sent) == words


@pytest.mark.parametrize(
    ("path", "typed", "asked"),
    [
        ("batch-share run", {"sheet": Path("a.csv"), "ledger": Path("a.db")}, Asked("run", Path("a.csv"))),
        ("batch-share run", {"sheet": Path("a.csv"), "ledger": None}, Asked("run", Path("a.csv"))),
        ("batch-share status", {"ledger": "last"}, Asked("status", Path("last"))),
        ("batch-share config show", {}, Asked("config show", None)),
    ],
)
def test_what_was_asked_for_is_known_by_its_arguments(path: str, typed: dict[str, Any], asked: Asked) -> None:
    assert Asked.of(path, typed) == asked


def test_only_who_asked_for_an_answer_gets_one(capsys: pytest.CaptureFixture[str]) -> None:
    for typed in ({}, {"json": False}, {"set": None}, {"set": ["one_line=false"]}):
        answer(REFUSED, RUN, typed)
    assert capsys.readouterr().out == ""
    answer(REFUSED, RUN, {"set": ["--one-line=true"]})
    answer(REFUSED, Asked("retry", None), {"set": ["one_line=true", "max_rows=wrong"]})
    assert capsys.readouterr().out == (
        "leads.csv: nothing sent: keys refused (exit 1)\nretry: nothing sent: keys refused (exit 1)\n"
    )
    answer(REFUSED, RUN, {"json": True, "set": ["one_line=true"]})
    reported = json.loads(capsys.readouterr().out)
    assert reported == {
        "command": "run",
        "file": str(Path("leads.csv").absolute()),
        "sent": 0,
        "error": {"kind": "AccessDenied", "message": str(REFUSED)},
        "exit_code": 1,
    }


@pytest.mark.parametrize(
    ("states", "sent", "line"),
    [
        ({}, 0, "leads.csv: nothing sent: keys refused (exit 1)"),
        (
            {State.SHARED: 2, State.PENDING: 1},
            0,
            "leads.csv: nothing sent: keys refused; 2 shared, 1 pending (exit 1); ledger /a/b.db",
        ),
        ({State.SHARED: 2}, 2, "leads.csv: stopped: keys refused; 2 shared (exit 1); ledger /a/b.db"),
    ],
)
def test_a_run_that_an_error_stopped_answers_with_its_totals(
    states: dict[State, int], sent: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ending = Ending(Summary(states, LedgerName.of("/a/b.db"), sheet="leads.csv"), REFUSED, sent=sent)
    Display(one_line=True).end(ending, RUN)
    assert capsys.readouterr().out == f"{line}\n"
    Display(json=True).end(ending, RUN)
    reported = json.loads(capsys.readouterr().out)
    assert reported == ending.summary.as_json() | RUN.stopped(REFUSED, 1, sent)


def test_a_run_that_was_cut_answers_that_nobody_knows_what_it_sent(capsys: pytest.CaptureFixture[str]) -> None:
    Display().cut(RUN)
    assert capsys.readouterr().out == ""
    Display(one_line=True).cut(RUN)
    assert capsys.readouterr().out == "leads.csv: cut off by the user (exit 130)\n"
    Display(json=True).cut(RUN)
    reported = json.loads(capsys.readouterr().out)
    assert (reported["sent"], reported["error"]["kind"], reported["exit_code"]) == (None, "KeyboardInterrupt", 130)
