"""The shapes of charts: what is drawn adds up, and nothing lies outside."""

from __future__ import annotations

import re

import pytest

from batch_share.ledger.states import State
from batch_share.results.report import HEIGHT, WIDTH, bar, colour_of, in_order, legend, nice_top, steps


def test_a_bar_has_a_piece_for_each_state_side_by_side() -> None:
    pieces = bar({State.FAILED: 1, State.SHARED: 3, State.SKIPPED: 0}, 8)
    assert [(piece.x, piece.width, piece.colour) for piece in pieces] == [(0.0, 37.5, "good"), (37.5, 12.5, "bad")]


def test_a_bar_of_nothing_is_empty() -> None:
    assert bar({}, 0) == []


@pytest.mark.parametrize("state", list(State))
def test_every_state_is_drawn(state: State) -> None:
    assert in_order({state: 2}) == [(state, 2)]
    assert bar({state: 2}, 2)[0].width == WIDTH
    assert legend({state: 2}) == [(colour_of(state), str(state))]


def test_states_of_one_colour_are_one_in_the_legend() -> None:
    assert legend({State.PENDING: 1, State.SHARED: 1, State.POSTED: 1}) == [
        ("good", "shared"),
        ("todo", "posted, pending"),
    ]


@pytest.mark.parametrize(
    ("highest", "top"), [(0, 1), (0.04, 0.05), (0.95, 2), (1, 2), (4.5, 5), (5, 6), (7, 8), (9.5, 20), (25, 30)]
)
def test_a_scale_ends_at_a_round_number_with_some_room(highest: float, top: float) -> None:
    assert nice_top(highest) == pytest.approx(top)


def test_a_chart_holds_every_value_and_its_limit() -> None:
    chart = steps([0.0, 5.0, 2.5], 5.0)
    numbers = [float(each) for each in re.findall(r"[\d.]+", chart.outline)]
    xs, ys = numbers[::2], numbers[1::2]
    assert min(xs) == 0
    assert max(xs) == WIDTH
    assert min(ys) == chart.limit_y == pytest.approx(HEIGHT / 6, abs=0.001)
    assert max(ys) == HEIGHT


def test_a_chart_without_a_limit_has_no_line() -> None:
    assert steps([1.0], None).limit_y is None
    assert steps([], None).top == 1.0
