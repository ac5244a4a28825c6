"""The sandbox's limits: strict, and blind to refused calls."""

from __future__ import annotations

import pytest

from batch_share.common import Rate
from batch_share.sandbox.server import Limits, Window

RATE = Rate(2, 5)


def admit(window: Window, now: float) -> bool:
    """Count a call if there is room for it."""
    has_room = window.has_room(now)
    if has_room:
        window.count(now)
    return has_room


def test_a_sliding_window_admits_up_to_its_limit() -> None:
    window = Window(RATE)
    assert [admit(window, now) for now in (0.0, 1.0, 4.9)] == [True, True, False]


def test_a_sliding_window_has_room_as_soon_as_its_oldest_call_is_one_period_old() -> None:
    window = Window(RATE)
    assert [admit(window, now) for now in (0.0, 1.0, 5.0, 5.9, 6.0)] == [True, True, True, False, True]


def test_a_refused_call_does_not_count_against_the_next() -> None:
    window = Window(RATE)
    for now in (0.0, 0.0, 4.0, 4.5):
        admit(window, now)
    assert admit(window, 5.0)


def test_a_fixed_window_starts_anew_at_each_tick() -> None:
    window = Window(RATE, is_fixed=True)
    assert [admit(window, now) for now in (4.8, 4.9, 4.95, 5.0, 5.1, 5.2)] == [True, True, False, True, True, False]


def test_the_fullest_window_slides_even_where_the_limit_does_not() -> None:
    window = Window(RATE, is_fixed=True)
    for now in (4.8, 4.9, 5.0, 5.1, 60.0):
        admit(window, now)
    assert window.fullest == 4


def test_asking_for_room_counts_nothing() -> None:
    window = Window(RATE)
    assert all(window.has_room(0.0) for _ in range(5))
    assert window.fullest == 0


@pytest.mark.parametrize("bulk", [True, False])
def test_calls_beyond_the_rate_are_reported_which_rate(bulk: bool) -> None:
    limits = Limits(Window(RATE))
    assert [limits.exceeded(0.0, bulk=bulk) for _ in range(3)] == [None, None, RATE]


def test_a_bulk_call_counts_in_both_buckets_and_when_refused_in_none() -> None:
    limits = Limits(Window(RATE), Window(Rate(1, 5)))
    assert limits.exceeded(0.0, bulk=True) is None
    assert limits.exceeded(0.0, bulk=True) == Rate(1, 5)
    assert limits.exceeded(0.0, bulk=False) is None
    assert limits.exceeded(0.0, bulk=False) == RATE
    assert limits.refusals == 2
