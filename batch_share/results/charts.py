"""The shapes of the report's charts: numbers only, which its template draws as SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batch_share.ledger.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH: Final = 100.0
"""Of every chart, whatever room it is given: it is stretched."""

HEIGHT: Final = 40.0
"""Of a chart over time."""

COLOUR: Final = {
    State.SHARED: "good",
    State.ACCEPTED: "way",
    State.FAILED: "bad",
    State.UNKNOWN: "doubt",
    State.INVALID: "wrong",
    State.SKIPPED: "quiet",
    State.SHARING: "todo",
    State.POSTED: "todo",
    State.POSTING: "todo",
    State.PENDING: "todo",
}
"""The class of each state's colour; of all others `other`."""

ORDER: Final = tuple(COLOUR)


def colour_of(state: State) -> str:
    """The class of a state's colour."""
    return COLOUR.get(state, "other")


def in_order(states: Mapping[State, int]) -> list[tuple[State, int]]:
    """The states that there are, as bars show them from left to right."""
    first = [state for state in ORDER if states.get(state)]
    return [(state, states[state]) for state in [*first, *(s for s in states if s not in ORDER and states[s])]]


def legend(states: Mapping[State, int]) -> list[tuple[str, str]]:
    """Each colour that there is, with the states that it stands for."""
    names: dict[str, list[str]] = {}
    for state, _ in in_order(states):
        names.setdefault(colour_of(state), []).append(str(state))
    return [(colour, ", ".join(each)) for colour, each in names.items()]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a bar."""

    x: float
    width: float
    colour: str


def bar(states: Mapping[State, int], most: int) -> list[Piece]:
    """A bar of rows by state, where `most` rows would be as long as a bar gets."""
    pieces, x = [], 0.0
    for state, count in in_order(states):
        width = WIDTH * count / max(most, 1)
        pieces.append(Piece(round(x, 3), round(width, 3), colour_of(state)))
        x += width
    return pieces


@dataclass(frozen=True, slots=True)
class Steps:
    """A chart over time: the outline of what is below the curve, the height of the limit, the top of the scale."""

    outline: str
    limit_y: float | None
    top: float


def steps(values: Sequence[float], limit: float | None) -> Steps:
    """The chart of `values`, each over as much time, with a line at `limit` if there is one."""
    top = nice_top(max([*values, limit or 0.0]))
    across, up = WIDTH / max(len(values), 1), HEIGHT / top
    points = [f"M0 {HEIGHT:g}"]
    for number, value in enumerate(values):
        y = round(HEIGHT - value * up, 3)
        points.append(f"L{round(number * across, 3):g} {y:g}L{round((number + 1) * across, 3):g} {y:g}")
    points.append(f"L{WIDTH:g} {HEIGHT:g}Z")
    return Steps("".join(points), None if limit is None else round(HEIGHT - limit * up, 3), top)


def nice_top(highest: float) -> float:
    """The end of a scale that holds `highest` with a little room: a round number."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest * 1.1))
    return next(step * power for step in (1, 2, 3, 4, 5, 6, 8, 10) if step * power >= highest * 1.1)
