"""What a plan says a run costs."""

from __future__ import annotations

import pytest

from batch_share.common import Rate
from batch_share.leadsquared.account import Account
from batch_share.ledger.states import State
from batch_share.sending.onlookers import Cost, Pace
from batch_share.settings import Settings

LIMIT = Rate(25, 5.0)
LEAST, MOST = Rate(1, 5.0), Rate(10, 5.0)
ROWS = {State.PENDING: 10_000}


@pytest.mark.parametrize(
    ("states", "follow_up", "calls"),
    [
        ({}, True, 0),
        ({State.PENDING: 8}, True, 24),
        ({State.PENDING: 100}, False, 200),
        ({State.PENDING: 100, State.POSTED: 50}, True, 400),
        ({State.POSTING: 2, State.SHARING: 2, State.ACCEPTED: 10, State.SHARED: 99}, True, 4 + 2 + 10),
        ({State.POSTING: 2, State.SHARING: 2, State.ACCEPTED: 10, State.UNKNOWN: 9}, False, 2),
        (ROWS, True, 30_000),
    ],
)
def test_one_by_one_a_row_takes_two_calls_and_one_to_follow_up(
    states: dict[State, int], follow_up: bool, calls: int
) -> None:
    assert Pace(LIMIT, follow_up).cost(states) == Cost(calls, LIMIT, follow_up)


def test_as_many_calls_as_the_limit_go_at_once() -> None:
    assert Pace(LIMIT, follow_up=True).cost({State.PENDING: 8}).seconds == 0
    assert Pace(LIMIT, follow_up=True).cost(ROWS).seconds == (30_000 - 25) / 5
    assert Pace(Rate(10, 5.0), follow_up=True).cost(ROWS).seconds == (30_000 - 10) / 2


def test_the_owner_of_each_type_is_checked_and_in_bulk_of_each_form() -> None:
    assert Pace(LIMIT, follow_up=True).cost({State.PENDING: 8}, events=2).calls == 24 + 1 + 2
    assert Pace(LIMIT, True, MOST, 25).cost({State.PENDING: 25}, events=2).calls == 3 + 3 + 4


def test_at_the_limit_of_bulk_calls_a_batch_takes_three_calls() -> None:
    """One to post, one to share, one to follow up: eight of them in five seconds leave no slot for more."""
    cost = Pace(LIMIT, True, MOST, 25).cost(ROWS)
    assert (cost.calls, cost.bulk_rate) == (1200, MOST)


def test_slots_that_bulk_calls_leave_carry_rows() -> None:
    """Of 25 calls in 5 seconds, three are spent on 25 rows in bulk; 22 carry a row each and its part of a share."""
    cost = Pace(LIMIT, True, LEAST, 25).cost(ROWS)
    per_period = 25 + 22 / 1.08
    assert cost.calls == pytest.approx(10_000 / per_period * 25, abs=1)


def test_where_each_share_takes_a_call_bulk_still_saves_the_posts() -> None:
    slow = Pace(LIMIT, True, MOST, 1)
    assert slow.cost(ROWS).calls == 10_000 / 25 + 2 * 10_000
    assert slow.cost(ROWS | {State.POSTED: 500}).calls == 10_000 / 25 + 2 * 10_500


@pytest.mark.parametrize("fresh", [1, 9, 1000])
@pytest.mark.parametrize("share_batch", [1, 25])
def test_bulk_never_costs_more(fresh: int, share_batch: int) -> None:
    states = {State.PENDING: fresh}
    assert Pace(LIMIT, True, LEAST, share_batch).cost(states).calls <= Pace(LIMIT, True).cost(states).calls


def test_a_run_begins_at_what_is_set_or_else_at_what_is_known_of_the_account() -> None:
    known = Account(rate=Rate(20, 5.0), bulk_rate=Rate(5, 5.0), share_batch=10)
    auto, given = Settings(rate=None, bulk_rate=None), Settings(rate=MOST, bulk_rate=LEAST, share_batch=3)
    assert Pace.of(auto, known, bulk=True) == Pace(Rate(20, 5.0), True, Rate(5, 5.0), 10)
    assert Pace.of(auto, Account(), bulk=True) == Pace(LIMIT, True, LEAST, 25)
    assert Pace.of(given, known, bulk=True) == Pace(MOST, True, LEAST, 3)
    assert Pace.of(given, known, bulk=False) == Pace(MOST, True)
