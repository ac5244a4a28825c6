"""What is told of a run: counts and names of files, and nothing of leads, users or the machine."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ledgers import NOON, because, instruction

from batch_share import errors
from batch_share.common import Cause
from batch_share.errors import (
    AccessDenied,
    BatchShareError,
    LedgerTooNew,
    NotConfirmed,
    OwnerNotVerified,
    SheetError,
    Unreachable,
)
from batch_share.jobs.watch import SheetOutcome
from batch_share.ledger.files import LedgerName
from batch_share.ledger.records import Alike, EndingSoon, Row, Why
from batch_share.ledger.states import State
from batch_share.results.notify import Notice
from batch_share.results.wording import OTHERWISE, Summary, why_stopped

SECRETIVE = Path("/home/asha")


def summary(**states: int) -> Summary:
    trouble = Row(
        1, "k", 2, ["Nisha", "n@x.example"], State.FAILED, instruction(), 0, why=because("n@x.example is bad")
    )
    counts = {State(name): count for name, count in states.items()}
    ledger, results = LedgerName.of(SECRETIVE / "leads.csv.ledger.db"), SECRETIVE / "leads.results.csv"
    return Summary(counts, ledger, results, [Alike(trouble, 1, [2])], failed_sheet=SECRETIVE / "leads.failed.csv")


def notice(**changes: Any) -> Notice:
    values: dict[str, Any] = {
        "command": "run",
        "subject": SECRETIVE / "leads.csv",
        "ended": "done",
        "exit_code": 3,
        "at": NOON,
    }
    return Notice(**values | {"summary": summary(shared=97, failed=2, invalid=1)} | changes)


def test_it_is_a_short_text_with_the_totals_and_what_to_do() -> None:
    assert notice().text.splitlines() == [
        "batch-share run of leads.csv: done.",
        "97 of 100 rows are shared. 2 failed, 1 invalid (not sent).",
        "Some rows can be fixed: correct them in leads.failed.csv, then: batch-share run leads.failed.csv",
        "Ledger: leads.csv.ledger.db, results: leads.results.csv",
    ]


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        (1, "1 share ends within the next 7 days, on 2026-01-02 12:00 UTC."),
        (1204, "1,204 shares end within the next 7 days, the first on 2026-01-02 12:00 UTC."),
    ],
)
def test_what_ends_soon_is_told_in_a_line(shares: int, words: str) -> None:
    ending = notice(summary=replace(summary(shared=97), ending=EndingSoon(shares, NOON)))
    assert ending.text.splitlines()[2] == words
    assert ending.as_json()["text"] == ending.text


@pytest.mark.parametrize("known", [None, summary(pending=60)])
def test_of_a_held_sheet_it_says_where_to_move_it_and_not_where_the_inbox_is(known: Summary | None) -> None:
    outcome = SheetOutcome(SECRETIVE / "inbox" / "held" / "20260102-120000_leads.csv" / "leads.csv", NotConfirmed())
    reported = notice(summary=known, release=outcome.release)
    second = reported.text.splitlines()[1]
    assert outcome.ledger == LedgerName.of_sheet(outcome.sheet)
    move = Path("inbox", "held", "20260102-120000_leads.csv"), Path("inbox", "agreed")
    assert second.startswith("If it is right as it is, move the folder {} to {}: then all of it".format(*move))
    assert "asha" not in reported.text
    assert "batch-share resume" not in reported.text
    assert reported.as_json()["text"] == reported.text
    assert replace(outcome, ended=SheetError(SECRETIVE, "bad")).release == ""


def test_as_data_it_says_the_same() -> None:
    reported = json.loads(json.dumps(notice().as_json()))
    assert reported.pop("text") == notice().text
    assert reported == {
        "at": "2026-01-02T12:00:00Z",
        "command": "run",
        "file": "leads.csv",
        "ended": "done",
        "exit_code": 3,
        "rows": 100,
        "states": {"shared": 97, "failed": 2, "invalid": 1},
        "doubles": 0,
        "unchecked": [],
        "run": None,
        "ledger": "leads.csv.ledger.db",
        "results": "leads.results.csv",
        "failed_sheet": "leads.failed.csv",
    }


def test_nobody_is_named_in_it_and_no_folder() -> None:
    reported = json.dumps(notice().as_json())
    for private in ("Nisha", "n@x.example", "asha", "home", instruction().lead_id):
        assert private not in reported


def test_what_was_not_checked_is_reported_without_a_name() -> None:
    unchecked = [Why(Cause.OWNER_NOT_CHECKED, {"rows": 0, "why": "it is shown as Asha Rao"})]
    reported = notice(summary=replace(summary(shared=1), unchecked=unchecked)).as_json()
    assert reported["unchecked"] == [{"what": "owner", "rows": 0}]
    assert "Asha" not in json.dumps(reported)


def test_without_totals_it_says_so() -> None:
    reported = notice(summary=None)
    assert "Its totals are unknown" in reported.text
    assert set(reported.as_json()) == {"at", "command", "file", "ended", "exit_code", "text"}


def test_where_there_are_no_results_none_are_named() -> None:
    reported = notice(summary=Summary({State.SHARED: 1}, LedgerName.of("x.db")))
    assert reported.text.endswith("Ledger: x.db")
    assert reported.as_json()["results"] is None


def test_the_name_of_a_file_is_one_line() -> None:
    reported = notice(subject=Path("here\n/<!channel>\nx>&.csv"))
    assert reported.text.splitlines()[0] == "batch-share run of <!channel>?x>&.csv: done."


def test_an_error_is_reported_without_what_it_quotes() -> None:
    found = why_stopped(OwnerNotVerified("act-1", "user-1", "user-2"))
    assert found == "stopped, the first activity's owner could not be verified"
    assert why_stopped(AccessDenied(401, "no such key")) == "stopped, LeadSquared refused access"
    assert why_stopped(Unreachable("https://x", 3, "words")) == "stopped, LeadSquared could not be reached"
    assert why_stopped(SheetError(Path("a/b.csv"), "words")) == "stopped, the sheet can't be used"
    assert why_stopped(LedgerTooNew(Path("a/b.db"), "9")) == "stopped, the ledger can't be used"
    assert why_stopped(BatchShareError("The lead n@x.example …")) == f"stopped, {OTHERWISE}"


@pytest.mark.parametrize(
    "kind",
    [
        each
        for _, each in inspect.getmembers(errors, inspect.isclass)
        if issubclass(each, BatchShareError) and each not in {BatchShareError, errors.ScheduleMissed}
    ],
)
def test_every_kind_of_error_has_its_words(kind: type[BatchShareError]) -> None:
    assert why_stopped(kind.__new__(kind)) != f"stopped, {OTHERWISE}"


def test_shares_that_have_ended_have_their_next_step_in_it() -> None:
    ended = replace(summary(ended=3), renewable=3)
    assert "3 shares ended; to share again: batch-share resume" in notice(summary=ended).text
    assert "to share again" not in notice(summary=summary(ended=3)).text
