"""What the guards count, and when they end a run."""

from __future__ import annotations

import pytest

from batch_share.errors import TooManyFailures, TooManyForUser, TooManyRows
from batch_share.ledger.states import State
from batch_share.pipeline.guards import FailureGuard, check_sizes, spell_guards
from batch_share.settings import Settings


def test_as_much_as_is_allowed_may_be_sent() -> None:
    check_sizes({"a": 3, "b": 2}, 5, 3)
    check_sizes({"a": 1_000_000}, None, None)


def test_more_is_told() -> None:
    with pytest.raises(TooManyRows):
        check_sizes({"a": 3, "b": 2}, 4, None)
    with pytest.raises(TooManyForUser) as told:
        check_sizes({"a": 3, "b": 2, "c": 4}, None, 2)
    assert told.value.users == {"c": 4, "a": 3}


def test_a_success_begins_the_count_anew() -> None:
    guard = FailureGuard(2)
    guard.ended(State.FAILED, "one")
    guard.ended(State.ACCEPTED, "")
    assert guard.in_a_row == 1
    guard.ended(State.SHARED, "")
    guard.ended(State.FAILED, "two")
    with pytest.raises(TooManyFailures, match="three"):
        guard.ended(State.FAILED, "three")


def test_without_a_follow_up_an_accepted_row_is_a_success() -> None:
    guard = FailureGuard(2, follow_up=False, in_a_row=1)
    guard.ended(State.ACCEPTED, "")
    assert guard.in_a_row == 0


def test_none_is_any_number() -> None:
    FailureGuard(0).ended(State.FAILED, "", 1000)


def test_a_percentage_counts_once_enough_rows_are_settled() -> None:
    guard = FailureGuard(percent=5)
    guard.ended(State.FAILED, "early", 2)
    guard.ended(State.SHARED, "", 47)
    guard.ended(State.SHARED, "", 1)
    with pytest.raises(TooManyFailures, match="3 rows failed of the 51 that are settled"):
        guard.ended(State.FAILED, "late")


def test_a_guard_that_is_off_ends_nothing() -> None:
    guard = FailureGuard(1, percent=1)
    guard.off()
    guard.ended(State.FAILED, "", 100)


def test_all_guards_are_told_in_one_line() -> None:
    settings = Settings(max_rows=500, canary=5, stop_after_failures=10, stop_at="5%")
    assert spell_guards(settings) == (
        "at most 500 rows, a canary of 5, stops after 10 failures in a row or at 5 % failed of 50 or more"
    )
    assert spell_guards(Settings(stop_after_failures=0)) == ""
