"""Guards against a run that goes wrong as a whole: they count and decide, nothing else. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch_share.errors import TooManyFailures, TooManyForUser, TooManyRows
from batch_share.ledger.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    """Counts rows that failed one after the other, in the order in which they end. `most` 0 counts none.

    Without a follow-up an accepted row is at its end, else only a shared one is.
    """

    most: int = 0
    follow_up: bool = True
    in_a_row: int = 0

    def ended(self, state: State, reason: str, rows: int = 1) -> None:
        """`rows` rows are in this state now, for this reason. Raises TooManyFailures."""
        if state is State.SHARED or (state is State.ACCEPTED and not self.follow_up):
            self.in_a_row = 0
        elif state is State.FAILED:
            self.in_a_row += rows
            if 0 < self.most <= self.in_a_row:
                raise TooManyFailures(self.in_a_row, reason)
