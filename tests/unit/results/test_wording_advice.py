"""The outcome and what to do about it, in words."""

from __future__ import annotations

import pytest

from batch_share.ledger.states import State
from batch_share.results.wording import at_rest, headline, next_steps, others


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ({}, "The ledger holds no row yet."),
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


def test_where_all_is_well_nothing_is_to_be_done() -> None:
    assert next_steps({State.SHARED: 3, State.SKIPPED: 1}, 0, "x.db") == []


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ({State.SHARED: 3}, "every row is shared."),
        ({State.SHARED: 3, State.SKIPPED: 1}, "every row is shared or skipped."),
        ({State.REVOKED: 1, State.SKIPPED: 1, State.SHARED: 0}, "every row is skipped or revoked."),
        ({State.SHARED: 1, State.SKIPPED: 1, State.REVOKED: 1}, "every row is shared, skipped or revoked."),
        ({}, "no row was taken in."),
    ],
)
def test_what_became_of_rows_of_which_none_needs_anything(states: dict[State, int], words: str) -> None:
    assert next_steps(states, 0, "x.db") == []
    assert at_rest(states) == words


@pytest.mark.parametrize("state", [*State])
def test_every_state_is_at_rest_or_has_a_next_step(state: State) -> None:
    assert (next_steps({state: 1}, 0, "x.db") == []) is state.is_at_rest


def test_what_has_ended_may_be_shared_again() -> None:
    assert next_steps({State.ENDED: 1}, 0, "x.db", renewable=1) == [
        "To share again what has ended: batch-share resume x.db --renew 1d"
    ]


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (State.PENDING, "batch-share resume x.db"),
        (State.POSTING, "batch-share resume x.db"),
        (State.UNKNOWN, "batch-share resume x.db --only-unknown"),
        (State.ACCEPTED, "batch-share follow-up x.db"),
        (State.FAILED, "See to the rows that failed: the results say why."),
        (State.INVALID, "run the sheet again"),
    ],
)
def test_what_to_do_next(state: State, word: str) -> None:
    (step,) = next_steps({state: 1}, 0, "x.db")
    assert word in step


def test_rows_that_have_a_sheet_of_their_own_are_reported_with_its_command() -> None:
    (step,) = next_steps({State.FAILED: 1, State.INVALID: 1}, 0, "x.db", "batch-share run a.csv --event 201")
    assert step.startswith("See to the rows that failed or are invalid: ")
    assert step.endswith("correct them there, then run it: batch-share run a.csv --event 201")


def test_doubles_are_to_be_deleted() -> None:
    (step,) = next_steps({State.SHARED: 1}, 1, "x.db")
    assert step.startswith("Delete")
