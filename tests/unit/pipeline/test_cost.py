"""What a plan says a run costs."""

from __future__ import annotations

import pytest

from batch_share.pipeline.cost import Cost, Pace
from batch_share.units import Rate


def pace(bulk: Rate = Rate(1, 5.0), share_batch: int = 25, *, follow_up: bool = True) -> Pace:  # noqa: B008
    """The documented limit, and the smallest for bulk calls."""
    return Pace(Rate(25, 5.0), bulk, share_batch, follow_up)


@pytest.mark.parametrize(
    ("fresh", "standing", "follow_up", "cost"),
    [
        (0, 0, True, Cost(0, 0.0)),
        (8, 0, True, Cost(24, 0.0)),
        (100, 0, True, Cost(300, 55.0)),
        (100, 0, False, Cost(200, 35.0)),
        (100, 50, True, Cost(400, 75.0)),
        (10_000, 0, True, Cost(30_000, 5995.0)),
    ],
)
def test_one_by_one_a_row_takes_two_calls_and_one_to_follow_up(
    fresh: int, standing: int, follow_up: bool, cost: Cost
) -> None:
    assert pace(follow_up=follow_up).one_by_one(fresh, standing) == cost


def test_at_the_limit_of_bulk_calls_a_batch_takes_three_calls() -> None:
    """One to post, one to share, one to follow up: eight of them in five seconds leave no slot for more."""
    cost = pace(Rate(10, 5.0)).in_bulk(10_000)
    assert cost == Cost(1200, pytest.approx(235.0))


def test_slots_that_bulk_calls_leave_carry_rows() -> None:
    """Of 25 calls in 5 seconds, one posts 25 rows and three are spent on these; 22 carry a row each and its part."""
    cost = pace().in_bulk(10_000)
    per_period = 25 + 22 / 1.08
    assert cost.seconds == pytest.approx(10_000 / per_period * 5 - 5)
    assert cost.calls == pytest.approx(10_000 / per_period * 25, abs=1)


def test_where_each_share_takes_a_call_bulk_still_saves_the_posts() -> None:
    slow = pace(Rate(10, 5.0), share_batch=1)
    assert slow.in_bulk(10_000).calls == 10_000 / 25 + 2 * 10_000
    assert slow.in_bulk(10_000, standing=500).calls == 10_000 / 25 + 2 * 10_500


@pytest.mark.parametrize("fresh", [1, 9, 1000])
@pytest.mark.parametrize("share_batch", [1, 25])
def test_bulk_never_costs_more(fresh: int, share_batch: int) -> None:
    both = pace(share_batch=share_batch)
    assert both.in_bulk(fresh).calls <= both.one_by_one(fresh).calls
