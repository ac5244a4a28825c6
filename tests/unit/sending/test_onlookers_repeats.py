"""What is to be expected of calls whose shares fail together."""

from __future__ import annotations

from batch_share.sending.onlookers import Repeats


def settled(good: int, bad: int) -> Repeats:
    """After as many calls of 25 rows."""
    repeats = Repeats()
    for at in range(good + bad):
        repeats.under_way[25] += 1
        repeats.settle(25, failed=at < bad)
    return repeats


def test_where_nothing_failed_nothing_is_expected() -> None:
    assert settled(9, 0).calls(1000, 25) == 0
    assert Repeats().calls(1000, 25) == 0


def test_the_more_calls_failed_the_more_is_expected_and_never_more_than_row_by_row_and_its_rounds() -> None:
    expected = [settled(100 - bad, bad).calls(1000, 25) for bad in (1, 10, 50, 90)]
    assert expected == sorted(expected)
    assert 0 < expected[0] < 20
    assert settled(0, 100).calls(1000, 25) <= 2 * (1000 + 1000 / 5)


def test_what_waits_and_what_is_under_way_counts() -> None:
    repeats = settled(8, 2)
    fresh = repeats.calls(0, 25)
    assert fresh == 0
    repeats.under_way[25] = 1
    under_way = repeats.calls(0, 25)
    repeats.under_way[25] = 0
    repeats.waiting = lambda: [25]
    waiting = repeats.calls(25, 25)
    assert 0 < under_way < waiting
    repeats.waiting = lambda: [1]
    assert 1 < repeats.calls(1, 25) < 2, "shared and asked for, but for what such a row costs anyway"


def test_small_calls_say_nothing_of_large_ones() -> None:
    repeats = Repeats()
    repeats.settle(5, failed=True)
    assert (repeats.settled, repeats.failed) == (0, 0)
