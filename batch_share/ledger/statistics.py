"""What a ledger comes to: its rows by state, user and reason.

All of it is read in one transaction, so that the numbers fit each other also while a run goes on, and summed up as
it is read: memory stays flat however many rows there are.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Text, case, cast, func, select

from batch_share.common import ROWS_NAMED, Cause
from batch_share.ledger.queries import COUNTED, IN_SHEET, LEAN, MATTERS, TROUBLED, row_of, state_at
from batch_share.ledger.records import NewRow, Row, Why
from batch_share.ledger.schema import lookups, rows
from batch_share.ledger.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

USERS_REPORTED: Final = 25
REASONS_REPORTED: Final = 15
"""The busiest users, the most frequent reasons; of the others only how many."""

KINDS_KEPT: Final = 2000
"""Reasons that are told apart while they are counted; should there be more, the others are counted as one."""

USER_KINDS: Final = ("User Id", "User Email", "Sales User")
"""The kinds of look-ups that are of users."""

_BATCH: Final = 2000

_VARYING: Final = (
    (re.compile(r"\b[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\b", re.IGNORECASE), "…"),
    (re.compile(r"\bbs-[\w-]+"), "…"),
    (re.compile(r"[^\s\"'“”‘’<>(),;:]+@[^\s\"'“”‘’<>(),;:]+"), "…"),
    (re.compile(r"“[^”]*”|‘[^’]*’|\"[^\"]*\"|(?<!\w)'[^']*'(?!\w)"), "“…”"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?)?"), "…"),
    (re.compile(r"\bRow \d+, "), ""),
    (re.compile(r"\brow \d+\b"), "row …"),
    (re.compile(r"\b\d+(?= characters; | cells | of \d+ cells)"), "…"),
    (re.compile(r"\+?\b\d[\d,-]{4,}\b"), "…"),
)
"""What differs between two reasons of one kind, in what LeadSquared or the checker of the sheet said: Ids, markers,
addresses, times, rows, what a cell said."""


@dataclass(frozen=True, slots=True)
class Alike:
    """How many rows are where they are for one reason, and the numbers of the `first` of them.

    `row` is the first, without its cells, and with this reason alone if it has several; its `why` is None for rows
    of too many reasons to be told apart. `is_same`: it is the others' reason word for word, and not only but for
    what a cell, or LeadSquared, says of each.
    """

    row: Row | NewRow
    rows: int
    first: Sequence[int]
    is_same: bool = True

    @property
    def cause(self) -> Cause | None:
        """Why they are where they are, if there is anything to say of it."""
        return self.row.cause

    @property
    def notice(self) -> Why | None:
        """What else is to be known of the first."""
        return self.row.notice if isinstance(self.row, Row) else None


class Reasons:
    """Rows by why they are where they are: what is wrong in the same column in the same way is one reason."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], Alike] = {}

    def add(self, row: Row | NewRow, rows: int = 1) -> None:
        """Take a row in, which comes after those before it in the sheet, and stands for so many that say the same.

        One that has several things wrong has as many reasons.
        """
        notice = row.notice if isinstance(row, Row) else None
        problems = row.why.details.get("problems", ()) if row.why else ()
        parts = [Why(row.why.cause, {"problems": [each]}) for each in problems] if row.why else []
        told: Why | None
        for why in parts or [row.why or Why.in_old_words("")]:
            kind, told = self._kind(row, why), why
            if kind not in self._found and len(self._found) >= KINDS_KEPT:
                kind, told = (row.state,), None
            known = self._found.get(kind) or Alike(replace(row, why=told, cells=()), 0, ())
            first = known.first if len(known.first) == ROWS_NAMED else (*known.first, row.sheet_row)
            is_same = known.is_same and (told, notice) == (known.row.why, known.notice)
            self._found[kind] = Alike(known.row, known.rows + rows, first, is_same)

    def _kind(self, row: Row | NewRow, why: Why) -> tuple[object, ...]:
        # What was wrong in a sheet beside it is no matter; what earlier runs have shared is another thing for each.
        cause = None if "problems" in why.details else why.cause
        common = {} if cause is Cause.ALREADY_SHARED else _common(why.details)
        kind = row.state, cause, json.dumps(common, sort_keys=True)
        if isinstance(row, NewRow):
            return kind
        return *kind, row.stage, row.position is None, row.notice and row.notice.cause

    def most(self) -> list[Alike]:
        """The reasons, those of the most rows first, of those of as many the first in the sheet."""
        return sorted(self._found.values(), key=lambda alike: -alike.rows)


def reasons_of(connection: Connection, which: ColumnElement[bool]) -> list[Alike]:
    """Why these rows are where they are, as `Reasons` tells it."""
    details, is_gone = cast(rows.c.details, Text), rows.c.position.is_(None)
    # Each of those that earlier runs have shared has details of its own, and they are told as one.
    told = case((rows.c.cause == Cause.ALREADY_SHARED, None), else_=details)
    same = rows.c.state, rows.c.stage, rows.c.cause, told, rows.c.notice_kind, is_gone
    place = func.row_number().over(partition_by=same, order_by=rows.c.position).label("place")
    alike = func.count().over(partition_by=same).label("alike")
    found = select(*LEAN, place, alike).where(which).subquery()
    first = select(found).where(found.c.place <= ROWS_NAMED).order_by(found.c.position.is_(None), found.c.position)
    reasons = Reasons()
    for row in connection.execute(first.execution_options(yield_per=_BATCH)).mappings():
        reasons.add(row_of(row), row["alike"] if row["place"] == 1 else 0)
    return reasons.most()


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many rows wait for their time, and when that of the first has come (UTC, without a zone)."""

    rows: int = 0
    first: datetime | None = None


NONE_WAITING: Final = Waiting()


@dataclass(frozen=True, slots=True)
class EndingSoon:
    """How many shares end within the next `days`, and when the first does (UTC, without a zone)."""

    shares: int = 0
    first: datetime | None = None
    days: int = 7


NONE_ENDING: Final = EndingSoon()


@dataclass(frozen=True, slots=True)
class ToShare:
    """What rows that are still to be sent would give: `leads` to `people`, each of them counted once.

    `reads` and `writes` count the shares. Of rows that say how long they last, the `shortest` and `longest` in
    minutes; of those that say until when, `first_end` (of ends still to come) and `last_end` (UTC, without a zone).
    None where no row says so.
    """

    leads: int = 0
    people: int = 0
    reads: int = 0
    writes: int = 0
    shortest: int | None = None
    longest: int | None = None
    first_end: datetime | None = None
    last_end: datetime | None = None


class Occasion(StrEnum):
    """Why a sheet was taken in again."""

    SHEET = "its bytes or its options changed"
    CHOICE = "other rows were chosen"
    FOUND = "somebody was found who was not found before"


@dataclass(frozen=True, slots=True)
class Changes:
    """What taking a sheet in changed: rows that are `new`, known already (`kept`), and no longer there (`gone`).

    Of its leads and users so many were `looked_up`, and `recalled` from earlier look-ups.
    """

    new: int
    kept: int
    gone: int
    occasion: Occasion = Occasion.SHEET
    recalled: int = 0
    looked_up: int = 0


@dataclass(frozen=True, slots=True)
class UserResults:
    """What became of a user's rows. `user_id` is None for those that no user is known of."""

    user_id: str | None
    name: str
    email: str
    states: Mapping[State, int]

    @property
    def rows(self) -> int:
        """All rows of the user."""
        return sum(self.states.values())


@dataclass(frozen=True, slots=True)
class Statistics:
    """A ledger in numbers. `users` and `reasons` are those with the most rows, of `all_users` and `all_reasons`."""

    states: Mapping[State, int]
    users: Sequence[UserResults]
    all_users: int
    reasons: Sequence[Alike]
    all_reasons: int


def gather(connection: Connection, now: datetime) -> Statistics:
    """Sum a ledger up as it is `now` (UTC, without a zone)."""
    kinds = reasons_of(connection, rows.c.state.in_(TROUBLED) & MATTERS)
    known = known_users(connection)
    users = [
        UserResults(user_id, *known.get(user_id, ("", "")), states)
        for user_id, states in counts_by_user(connection, now).items()
    ]
    users.sort(key=lambda user: (-user.rows, user.name, user.user_id or ""))
    by_state = select(state_at(now), func.count()).where(IN_SHEET, COUNTED).group_by(state_at(now))
    return Statistics(
        states={State(state): count for state, count in connection.execute(by_state)},
        users=users[:USERS_REPORTED],
        all_users=len(users),
        reasons=kinds[:REASONS_REPORTED],
        all_reasons=len(kinds),
    )


def counts_by_user(connection: Connection, now: datetime) -> dict[str | None, dict[State, int]]:
    """By user Id, None for rows whose user is not known, how many rows are in each state."""
    counted: dict[str | None, dict[State, int]] = {}
    by_user = select(rows.c.user_id, state_at(now), func.count()).where(IN_SHEET, COUNTED)
    by_user = by_user.group_by(rows.c.user_id, state_at(now))
    for user_id, state, count in connection.execute(by_user):
        counted.setdefault(user_id, {})[State(state)] = count
    return counted


def known_users(connection: Connection) -> dict[str | None, tuple[str, str]]:
    """By Id, name and e-mail address of the users that LeadSquared was asked for: there are few."""
    found = select(lookups.c.found).where(lookups.c.kind.in_(USER_KINDS))
    users = (user for (user,) in connection.execute(found.execution_options(yield_per=_BATCH)) if user)
    return {user["id"]: (user.get("name") or "", user.get("email") or "") for user in users if "id" in user}


def _common(detail: Any) -> Any:
    """The details of a reason without what differs between those of its kind."""
    match detail:
        case {"problems": problems}:
            return {"problems": [[column, value and "…", kind_of(wrong)] for column, value, wrong in problems]}
        case dict():
            return {name: _common(each) for name, each in detail.items()}
        case list():
            return [_common(each) for each in detail]
        case str():
            return kind_of(detail)
        case bool() | None:
            return detail
    return "…"


@lru_cache(KINDS_KEPT)
def kind_of(said: str) -> str:
    """What was said without what differs between those of its kind."""
    for varying, instead in _VARYING:
        said = varying.sub(instead, said)
    return said
