"""Guards against a run that goes wrong as a whole: they count and decide, nothing else. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batch_share.errors import TooManyFailures, TooManyForUser, TooManyRows
from batch_share.ledger.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_share.settings import Settings

ENOUGH: Final = 50
"""Rows that must be settled before a percentage of them says anything."""


def check_sizes(users: Mapping[str, int], max_rows: int | None, max_per_user: int | None) -> None:
    """Whether a run may send so many leads to each user. Raises TooManyRows, TooManyForUser."""
    rows = sum(users.values())
    if max_rows is not None and rows > max_rows:
        raise TooManyRows(rows, max_rows)
    if max_per_user is None:
        return
    over = {user: count for user, count in users.items() if count > max_per_user}
    if over:
        raise TooManyForUser(dict(sorted(over.items(), key=lambda each: (-each[1], each[0]))), max_per_user)


@dataclass(slots=True)
class FailureGuard:
    """Counts rows as they end: those failed one after the other (`most` 0: any number), and their percentage.

    Without a follow-up an accepted row is at its end, else only a shared one is.
    """

    most: int = 0
    follow_up: bool = True
    in_a_row: int = 0
    percent: float | None = None
    failed: int = 0
    settled: int = 0

    def ended(self, state: State, reason: str, rows: int = 1) -> None:
        """`rows` rows are in this state now, for this reason. Raises TooManyFailures."""
        if state is State.SHARED or (state is State.ACCEPTED and not self.follow_up):
            self.in_a_row = 0
            self.settled += rows
        elif state is State.FAILED:
            self.in_a_row += rows
            self.failed += rows
            self.settled += rows
            self._check(reason)

    def off(self) -> None:
        """Count on, but end nothing: for work that sends no rows of its own."""
        self.most, self.percent = 0, None

    def _check(self, reason: str) -> None:
        if 0 < self.most <= self.in_a_row:
            raise TooManyFailures(self.in_a_row, reason)
        if self.percent is None or self.settled < ENOUGH:
            return
        if self.failed * 100 >= self.percent * self.settled:
            raise TooManyFailures(self.failed, reason, self.settled)


def spell_guards(settings: Settings) -> str:
    """All guards of a run in one line, "" if there are none."""
    first = [
        f"at most {settings.max_rows:,} rows" if settings.max_rows else "",
        f"at most {settings.max_per_user:,} leads for each user" if settings.max_per_user else "",
        f"a canary of {settings.canary:,}" if settings.canary else "",
    ]
    stops = [
        f"after {settings.stop_after_failures:,} failures in a row" if settings.stop_after_failures else "",
        f"at {settings.stop_at:g} % failed of {ENOUGH} or more" if settings.stop_at else "",
    ]
    stopping = " or ".join(filter(None, stops))
    return ", ".join(filter(None, [*first, f"stops {stopping}" if stopping else ""]))
