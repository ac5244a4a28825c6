"""The shapes of bars: what is drawn adds up, and nothing lies outside."""

from __future__ import annotations

import pytest

from batch_share.ledger.states import State
from batch_share.results.report import WIDTH, bar, colour_of, in_order, legend


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
