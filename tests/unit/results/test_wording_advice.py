"""The outcome and what to do about it, in words."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from batch_share.ledger.files import LedgerName
from batch_share.ledger.records import Waiting
from batch_share.ledger.states import AT_REST, State
from batch_share.results.wording import (
    TO_REPORT,
    Step,
    Summary,
    at_rest,
    headline,
    named_in_commands,
    next_steps,
    others,
)


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ({}, "The ledger has no rows yet."),
        ({State.SHARED: 1}, "The one row is shared."),
        ({State.SHARED: 1200}, "All 1,200 rows are shared."),
        ({State.SHARED: 97, State.FAILED: 3}, "97 of 100 rows are shared."),
        ({State.PENDING: 1}, "0 of 1 row is shared."),
    ],
)
def test_the_headline(states: dict[State, int], words: str) -> None:
    assert headline(states) == words


@pytest.mark.parametrize("state", [state for state in State if state is not State.SHARED])
def test_no_state_is_left_out_of_the_rest(state: State) -> None:
    assert others({State.SHARED: 5, state: 2}).startswith("2 ")


def test_the_rest_is_reported_in_one_line() -> None:
    found = others({State.SHARED: 5, State.FAILED: 2, State.SKIPPED: 1, State.PENDING: 3, State.POSTED: 1})
    assert found == "2 failed, 1 skipped, 4 still to be sent."
    assert others({State.SHARED: 5}) == ""


SETTLE = "batch-share resume x.db --only-unknown --set on_unknown=settle"


def steps(states: dict[State, int], **more: Any) -> list[str]:
    return [str(each) for each in next_steps(Summary(states, LedgerName.of("/of mine/x.db"), **more))]


def test_where_all_is_well_nothing_is_to_be_done() -> None:
    assert steps({State.SHARED: 3, State.SKIPPED: 1}) == []


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ({State.SHARED: 3}, "every row is shared."),
        ({State.SHARED: 3, State.SKIPPED: 1}, "every row is shared or skipped."),
        ({State.REVOKED: 1, State.SKIPPED: 1, State.SHARED: 0}, "every row is skipped or revoked."),
        ({State.SHARED: 1, State.SKIPPED: 1, State.REVOKED: 1}, "every row is shared, skipped or revoked."),
        ({}, "no rows were read."),
    ],
)
def test_what_became_of_rows_of_which_none_needs_anything(states: dict[State, int], words: str) -> None:
    assert steps(states) == []
    assert at_rest(states) == words


@pytest.mark.parametrize("state", [*State])
def test_every_state_is_at_rest_or_has_a_next_step(state: State) -> None:
    assert (steps({state: 1}) == []) is (state in AT_REST)


@pytest.mark.parametrize(
    ("state", "step"),
    [
        (State.PENDING, "1 row still to be sent: batch-share resume x.db"),
        (State.POSTING, "1 row still to be sent: batch-share resume x.db"),
        (
            State.UNKNOWN,
            f"1 row unknown; to settle them, and send nothing else: {SETTLE}",
        ),
        (State.REVOKING, "1 share still to be revoked: batch-share revoke x.db"),
        (State.ACCEPTED, "1 row not yet confirmed as processed; to ask again: batch-share follow-up x.db"),
        (State.FAILED, "1 row failed or invalid: the results say why"),
        (State.INVALID, "1 row failed or invalid: the results say why"),
    ],
)
def test_what_to_do_next(state: State, step: str) -> None:
    expected = [step, TO_REPORT] if state is State.UNKNOWN else [step]
    assert steps({state: 1}) == expected
    assert steps({State.SHARED: 1}, earlier={state: 1}) == expected


@pytest.mark.parametrize(
    ("more", "step"),
    [
        ({"renewable": 1}, "1 share ended; to share again: batch-share resume x.db --renew 1d"),
        (
            {"failed_sheet": Path("/a b/c.failed.csv")},
            "Some rows can be fixed: correct them in c.failed.csv, then: batch-share run c.failed.csv",
        ),
        ({"in_sheet": 2}, "2 rows to be fixed in the sheet itself, as the reason says; then run it again"),
        ({"standing": 2}, "2 rows failed after the activity was posted; to share in it: batch-share retry x.db"),
        ({"noticed": 1}, "1 row posted twice: the results say which activity to delete"),
    ],
)
def test_what_to_do_about_what_no_state_says(more: dict[str, Any], step: str) -> None:
    assert steps({State.SHARED: 1}, **more) == [step]


def test_rows_of_which_leadsquared_did_not_tell_are_asked_for_again_and_only_the_others_fixed() -> None:
    again = "LeadSquared did not tell whom 2 rows name; to ask again: batch-share run c.failed.csv"
    fixed = "Some rows can be fixed: correct them in c.failed.csv, then: batch-share run c.failed.csv"
    file = Path("/a b/c.failed.csv")
    assert steps({State.INVALID: 2}, failed_sheet=file, untold=2) == [again]
    assert steps({State.INVALID: 3}, failed_sheet=file, untold=2) == [again, fixed]


def test_rows_that_wait_are_not_still_to_be_sent() -> None:
    waiting = Waiting(2, datetime(2026, 3, 1, 9))  # noqa: DTZ001 - as ledgers note it
    words = "2 rows wait for their start, the first until 2026-03-01 09:00 UTC. Then: batch-share resume x.db --due"
    assert steps({State.PENDING: 2}, waiting=waiting) == [words]
    assert steps({State.PENDING: 3}, waiting=waiting) == ["1 row still to be sent: batch-share resume x.db", words]


def test_what_leadsquared_wants_no_call_for_waits_until_then() -> None:
    until = datetime(2026, 3, 1, 9, tzinfo=UTC)
    (step,) = steps({State.PENDING: 1}, waiting_until=until)
    assert step.startswith("1 row still to be sent, from 2026-03-01 ")


def test_where_the_terminal_is_files_are_named_in_full() -> None:
    summary = Summary({State.PENDING: 1}, LedgerName.of("/of mine/x.db"), failed_sheet=Path("/a b/c.csv"))
    assert next_steps(summary, str) == [
        Step("1 row still to be sent", "batch-share resume '/of mine/x.db'"),
        Step(
            "Some rows can be fixed: correct them in /a b/c.csv, then",
            "batch-share run '/a b/c.csv'",
            for_some=True,
        ),
    ]


@pytest.mark.parametrize(
    ("ledger", "named"),
    [
        ("/of mine/leads.csv.ledger.db", "/of mine/leads.csv"),
        ("leads.XLSX.ledger.db", "leads.XLSX"),
        ("x.db", "x.db"),
        ("leads.csv", "leads.csv"),
        ("no.sheet.ledger.db", "no.sheet.ledger.db"),  # what commands don't take for a sheet
    ],
)
def test_commands_name_the_sheet_where_its_ledger_is_called_after_it(ledger: str, named: str) -> None:
    assert str(named_in_commands(LedgerName.of(ledger))) == named
