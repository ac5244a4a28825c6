"""Guards against a run that goes wrong as a whole: they count and decide, nothing else. No I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from batch_share.errors import (
    NotAnswered,
    SettingsError,
    StillThrottled,
    TooManyFailures,
    TooManyForUser,
    TooManyRows,
)
from batch_share.ledger.states import Stage, State
from batch_share.settings import ENOUGH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from batch_share.ledger.records import Result
    from batch_share.settings import Settings

TOO_LATE: Final = "too late"
"""The outcome of a row whose end was over before its turn came: to stop would make others late as well."""

_THROUGH: Final = {
    State.POSTED: Stage.ACTIVITY,
    State.ACCEPTED: Stage.SHARE,
    State.SHARED: Stage.PROCESSING,
}
"""The step that a row got through, by the state it is in now."""

_TAKES_BACK: Final = frozenset({Stage.REVOKE, Stage.EARLIER})
"""Stages whose failures say nothing of the rows that are sent."""

_WELL: Final = {"done", "processed"}
"""Outcomes of calls that did what they should: not of look-ups, nor of calls that are made again."""


def excesses(
    users: Mapping[str, int], settings: Settings, names: Mapping[str, str], revocations: int = 0
) -> Iterator[TooManyRows | TooManyForUser]:
    """What is too much where so many leads would be sent to each user; `names` says what some users are called.

    Shares that would be revoked count as rows.
    """
    rows, most, most_each = sum(users.values()) + revocations, settings.max_rows, settings.max_per_user
    if most is not None and rows > most:
        yield TooManyRows(rows, most, revocations)
    if most_each is None:
        return
    called = {names.get(user, user): count for user, count in users.items() if count > most_each}
    if called:
        yield TooManyForUser(dict(sorted(called.items(), key=lambda each: (-each[1], each[0]))), most_each)


def call_by_address(known: Mapping[str | None, tuple[str, str]]) -> dict[str, str]:
    """By Id, what users are called of whom name and e-mail address are known: the address, else the name.

    One that several have does not say which of them is meant, so their Ids are told with it.
    """
    called = {user: email or name for user, (name, email) in known.items() if user and (email or name)}
    having = Counter(called.values())
    return {user: each if having[each] == 1 else f"{each}, {user}" for user, each in called.items()}


def check_canary(settings: Settings) -> None:
    """A canary is judged by what the follow-up hears. Raises SettingsError."""
    if settings.canary is not None and not settings.follow_up:
        raise SettingsError(
            "canary",
            "needs the follow-up: leave --no-follow-up away, or --canary",
            problem="A canary needs the follow-up.",
            hint="Follow up, or send without a canary.",
        )


@dataclass(slots=True)
class FailureGuard:
    """Counts rows as their steps end: those failed in a row (`most` 0: any number), and their percentage.

    Without limits it ends nothing: for work that sends no rows of its own.

    In a row are rows that fail at one step while no other gets through it. Each step by itself: the answer to a
    share comes long after those to later activities, and rows that wait for it say nothing against it. A call that
    is refused as a whole has failed none of its rows, nor has one whose rows are shared again by themselves.
    So the percentage, too, is of all that failed or were accepted (`sent`), be they shared by now or not.
    `spell` says to people why the `last` failed.
    """

    most: int = 0
    percent: float | None = None
    failed: int = 0
    sent: int = 0
    last: Result | None = None
    spell: Callable[[Result], str] = attrgetter("words")
    _waiting: int = 0
    _in_a_row: Counter[Stage] = field(default_factory=Counter)

    @property
    def in_a_row(self) -> int:
        """Rows that failed in a row, at the step where most did."""
        return max(self._in_a_row.values(), default=0)

    def count(self, result: Result, rows: int = 1) -> None:
        """This is what became of `rows` rows. Of an answer for many, all are counted before any `check`."""
        if result.outcome in _WELL and result.state in _THROUGH:
            self._in_a_row[_THROUGH[result.state]] = 0
        if result.state is State.ACCEPTED:
            self.sent += rows
            self._waiting += rows
        elif result.state is State.SHARED:
            self._count_once(rows)
        elif result.state is State.POSTED and result.outcome == "failed":
            self._count_once(rows)
            self.sent -= rows  # the request of many could not be processed: each is sent by itself
        elif result.state is State.FAILED and result.stage is not None:
            if result.stage in _TAKES_BACK or result.outcome == TOO_LATE:
                return
            if result.stage is Stage.PROCESSING:
                self._count_once(rows)
            else:
                self.sent += rows
            self._in_a_row[result.stage] += rows
            self.failed += rows
            self.last = result

    def _count_once(self, rows: int) -> None:
        """These have their answer: they count as sent already, unless an earlier run sent them."""
        known = min(self._waiting, rows)
        self._waiting -= known
        self.sent += rows - known

    def check(self) -> None:
        """Whether the work may go on. Raises TooManyFailures."""
        if self.last is None:
            return
        # Rows that failed in processing had all been accepted: it is told of how many.
        accepted = self.sent if self.last.stage is Stage.PROCESSING else None
        if 0 < self.most <= self.in_a_row:
            raise TooManyFailures(self.in_a_row, self.spell(self.last), accepted=accepted)
        if self.percent is None or self.sent < ENOUGH:
            return
        if self.failed * 100 >= self.percent * self.sent:
            raise TooManyFailures(self.failed, self.spell(self.last), self.sent, accepted)


MOST_LOST: Final = 10
"""Calls that may go without a proper answer, one after the other, before the run stops: one is bad luck."""

LONGEST_REFUSED: Final = 900.0
"""Seconds in which every call may be refused as one too many, before the run stops."""


MOST_IN_VAIN: Final = 2
"""Shares of a user that failed, each in a call of its own, while none was processed: one may be for its lead."""


@dataclass(slots=True)
class FailingUsers:
    """Users whose every share fails, as far as that is proved.

    A request that failed with several shares proves nothing of any.
    """

    _failed: Counter[str] = field(default_factory=Counter)
    _served: set[str] = field(default_factory=set)

    def note(self, users: Sequence[str], *, processed: bool) -> None:
        """A request with shares of these users was processed, or could not be."""
        if processed:
            self._served.update(users)
        elif len(users) == 1:
            self._failed.update(users)

    def includes(self, user: str) -> bool:
        """Whether all fails that is shared with this user. Where failures come at random, some of it succeeds."""
        return self._failed[user] >= MOST_IN_VAIN and user not in self._served


@dataclass(slots=True)
class Health:
    """What decides whether a run goes on, of how LeadSquared does; and whether it has more to do.

    `returned` rows are to be shared again, since the request that they were part of failed.
    """

    refused_since: float | None = None
    lost_in_a_row: int = 0
    returned: int = 0

    def answered(self) -> None:
        """A call was not refused as one too many."""
        self.refused_since = None

    def count_lost(self, words: str | None) -> None:
        """A call that is not repeated has ended: without an answer, as `words` say, or (None) with one.

        Raises NotAnswered.
        """
        self.lost_in_a_row = self.lost_in_a_row + 1 if words is not None else 0
        if words is not None and self.lost_in_a_row >= MOST_LOST:
            raise NotAnswered(self.lost_in_a_row, words)

    def refused(self, now: float, period: float, words: str) -> None:
        """One too many is soon over; when it is not, somebody must know. Raises StillThrottled."""
        if self.refused_since is None:
            self.refused_since = now
        if now - self.refused_since > max(LONGEST_REFUSED, 20 * period):
            raise StillThrottled(now - self.refused_since, words)
