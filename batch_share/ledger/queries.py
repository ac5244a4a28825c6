"""What is asked of a ledger: which rows are meant, as conditions; what was found, as records; what it comes to.

A ledger is summed up in one transaction, by state, user and reason, so that the numbers fit each other also while a
run goes on, and as it is read: memory stays flat however many rows there are.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import DateTime, Text, case, cast, false, func, or_, select, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from batch_share.common import IN_THE_SHEET, ROWS_NAMED, Action, Cause
from batch_share.ledger.records import (
    OLD_WORDS,
    Alike,
    Instruction,
    LastCall,
    NewRow,
    Row,
    Share,
    Statistics,
    UserResults,
    Why,
    why_of,
)
from batch_share.ledger.schema import attempts, lookups, rows
from batch_share.ledger.states import ARE_SHARED, MAY_STAND, PROCESSING, TROUBLED, UNTIL_ENDED, Stage, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Connection, RowMapping
    from sqlalchemy.sql.compiler import SQLCompiler

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


LOOK: Final = "look"
"""The step of an attempt that looked an unknown row up."""

RETRY: Final = "retry"
"""The step of an attempt that put a failed row back, to be tried again."""


IN_SHEET: Final = rows.c.position.is_not(None)
"""Rows that the sheet in force has."""

_WITHOUT_CALL: Final = (State.PENDING, State.FAILED, State.INVALID, State.SKIPPED)
MATTERS: Final = IN_SHEET | rows.c.activity_id.is_not(None) | rows.c.state.not_in(_WITHOUT_CALL)
"""Those, and rows of earlier sheets of which something is at LeadSquared, or may be: all others are history."""

IS_DOUBLE: Final = rows.c.notice_kind == Cause.DOUBLE
"""Rows whose activity was found twice."""

TROUBLE: Final = or_(rows.c.state.in_(TROUBLED) & MATTERS, IS_DOUBLE)
"""Rows that a person has to look at; of one that was corrected, no more as it was."""

STATUS_NOT_READ: Final = rows.c.state.in_(PROCESSING) & rows.c.cause.in_(
    (Cause.STATUS_UNREAD, Cause.STATUS_REFUSED)
)
"""Rows of which nobody knows whether LeadSquared is still processing them: why is to be told."""

# By the index of states, a database would read and sort all of a state for every page.
TROUBLE_IN_ORDER: Final = or_((rows.c.state + "").in_(TROUBLED) & MATTERS, IS_DOUBLE)
FIXABLE: Final = (
    (rows.c.state + "").in_((State.FAILED, State.INVALID))
    & rows.c.position.is_not(None)
    & rows.c.activity_id.is_(None)
)
"""Rows that failed or are invalid, and have no activity."""

REVOCATION_LOST: Final = (rows.c.state == State.UNKNOWN) & (rows.c.stage == Stage.REVOKE)
"""Rows whose revocation was sent, and not answered: no look-up tells of it, and another one does no harm."""

FIXABLE_IN_SHEET: Final = FIXABLE & rows.c.cause.in_(sorted(IN_THE_SHEET))
"""Those of them that can be fixed in the sheet itself alone."""

GONE_LAST: Final = (rows.c.position.is_(None), rows.c.position)  # databases differ in where they sort NULL

MEANT: Final = rows.c.position.is_not(None) & rows.c.chosen
"""Rows that the sheet in force has, and that were not left out of it."""

ACCEPTED: Final = (rows.c.state == State.ACCEPTED) & MEANT
"""Those that wait for the status API's word."""

RECOVERS: Final = (rows.c.state == State.UNKNOWN) & (
    (rows.c.cause == Cause.RECOVERED) | rows.c.details["recovered"].as_boolean()
)
"""Rows of which a ledger that was recovered does not know whether anything was sent."""

COUNTED: Final = rows.c.renewed_as.is_(None) | rows.c.state.not_in((State.SHARED, State.REVOKED))
"""Rows but for those whose share was renewed: the row in their place is told of, while nothing is the matter."""

OF_EARLIER_SHEET: Final = rows.c.position.is_(None) & COUNTED & MATTERS
"""The rows of earlier sheets of which something is at LeadSquared, or may be."""

TO_BE_REVOKED: Final = rows.c.state == State.TO_REVOKE
"""Rows whose share is to be revoked."""


class _Time(GenericFunction[datetime]):
    """The time that a text tells as `isoformat` does: SQLite has no type of times, and they are texts there."""

    type = DateTime()
    inherit_cache = True
    name, identifier = "replace", "time_of_text"


@compiles(_Time, "postgresql")
def _as_timestamp(element: _Time, compiler: SQLCompiler, **how: Any) -> str:
    return f"CAST({compiler.process(element.clauses.clauses[0], **how)} AS TIMESTAMP)"


_MINUTES, _END = rows.c.notice_details["now"][0].as_integer(), rows.c.notice_details["now"][1].as_string()
_IS_OTHER = or_(_MINUTES.is_not(None), _END.is_not(None))  # the sheet says another length than was sent
DURATION_NOW: Final = case((_IS_OTHER, _MINUTES), else_=rows.c.duration)
UNTIL_NOW: Final = case((_IS_OTHER, _Time(_END, "T", " ")), else_=rows.c.until)
"""How long a row lasts as the sheet says now, and not as when it was sent: so its share is renewed."""


def state_at(now: datetime) -> ColumnElement[str]:
    """The state of a row as people are told it: a share that is over by now is `ended`."""
    is_over = (rows.c.state == State.SHARED) & (rows.c.ends_at <= now)
    return case((is_over, State.ENDED.value), else_=rows.c.state)


_LAST_SHARE: Final = (
    select(func.max(attempts.c.id))
    .where(attempts.c.row_id == rows.c.id, attempts.c.step == Stage.SHARE, attempts.c.outcome == "done")
    .correlate(rows)
    .scalar_subquery()
)
WITH_SHARE: Final = rows.outerjoin(attempts, attempts.c.id == _LAST_SHARE)
"""Rows, each with the call that shared its lead, if there was one."""


def _in(states: Iterable[tuple[State, Stage | None]]) -> ColumnElement[bool]:
    """Rows in one of these states, each with the stage that it needs; not by the index of states."""
    # By it, a database would sort all of them for every page.
    here = ((rows.c.state + "" == state, stage) for state, stage in states)
    return or_(*(each if stage is None else each & (rows.c.stage == stage) for each, stage in here))


SHARE_MAY_STAND: Final = _in(MAY_STAND)
"""Rows of whose share nobody knows that it does not stand."""

SHARE_NOT_ENDED: Final = _in(UNTIL_ENDED)
"""The same, and rows whose share is being revoked."""

UNDER_WAY: Final = MEANT & (
    rows.c.state.in_((State.POSTING, State.POSTED, State.SHARING))
    | ((rows.c.state == State.UNKNOWN) & rows.c.stage.in_((Stage.ACTIVITY, Stage.SHARE)))
)
"""Rows of which something was sent, or may have been, and a share is still to come of it."""

SHARE_MAY_COME: Final = SHARE_NOT_ENDED | UNDER_WAY
"""Rows whose share may not have ended, or is still to be made."""

NEVER: Final = datetime(9999, 1, 1)  # noqa: DTZ001 - as all times of a ledger
"""When a share ends that is still to be made."""

LONG_AGO: Final = datetime(1, 1, 1)  # noqa: DTZ001 - as all times of a ledger
"""When a share ended that was never made."""

GIVES_ACCESS: Final = rows.c.action != Action.REVOKE
"""Rows that are to be shared."""

CLEARED: Final = (rows.c.action == Action.SHARE) | rows.c.notice_kind.is_not(None)
"""Rows before which nothing is to be revoked, or was."""


def to_go_on(looked_up_in: int | None) -> ColumnElement[bool]:
    """Rows that are meant; with the number of a run, only those that it has looked up or put back."""
    if looked_up_in is None:
        return MEANT
    chosen = attempts.c.step.in_((LOOK, RETRY))
    looked_up = select(attempts.c.row_id).where(attempts.c.run_id == looked_up_in, chosen)
    return MEANT & rows.c.id.in_(looked_up)


OF_CALL: Final = (attempts.c.sent_at, attempts.c.answered_at, attempts.c.words, attempts.c.marker)
"""The columns that tell a call."""

LEAN: Final = tuple(column for column in rows.c if column is not rows.c.cells)
"""The columns of a row without its cells, for many that are kept."""

INSTRUCTION: Final = tuple(Instruction.__slots__)
"""The columns that hold what a row asks for."""

STATES: Final = {str(state): state for state in State}
"""By name: asked so, one of a million is known in a fifth of the time."""

STANDS: Final = rows.c.state.in_(ARE_SHARED) | ((rows.c.state == State.FAILED) & (rows.c.stage == Stage.REVOKE))
_NOW = rows.alias()
SHARES: Final = select(
    *(rows.c[name] for name in ("id", "state", "stage", "doubtful", "lead_id", "user_id")),
    case((UNDER_WAY, true()), else_=false()).label("held"),
    func.coalesce(_NOW.c.sheet_row, rows.c.sheet_row).label("sheet_row"),
    func.coalesce(_NOW.c.position, rows.c.position).label("position"),
    *(rows.c[name] for name in ("request_id", "duration", "until", "changed_at", "ends_at")),
    case((STANDS, rows.c.access), else_=0).label("access"),
    attempts.c.run_id,
).select_from(WITH_SHARE.outerjoin(_NOW, _NOW.c.id == rows.c.renewed_as))
"""What rows shared, each with the call that did, if there was one; a renewed one stands where its row is now."""


def row_of(found: RowMapping) -> Row:
    """A row, found with all its columns but those of its cells, if they are not wanted."""
    values = {name: found[name] for name in INSTRUCTION} | {"action": Action(found["action"])}
    asked = Instruction(**values) if found["lead_id"] else None
    stage = Stage(found["stage"]) if found["stage"] else None
    return Row(
        id=found["id"],
        key=found["key"],
        sheet_row=found["sheet_row"],
        cells=found.get("cells", ()),
        state=State(found["state"]),
        instruction=asked,
        position=found["position"],
        stage=stage,
        why=why_of(found["cause"], found["details"]),
        doubtful=found["doubtful"],
        activity_id=found["activity_id"],
        request_id=found["request_id"],
        share_status=found["share_status"],
        notice=why_of(found["notice_kind"], found["notice_details"]),
        revoke_id=found["revoke_id"],
        changed_at=found["changed_at"],
        ends_at=found["ends_at"],
        renewal=found["renewal"],
        edit=found["edit"],
    )


def new_row_of(found: RowMapping) -> NewRow:
    """A row as a plan would have it, found without its cells and its note."""
    asked = None
    if found["lead_id"]:
        asked = Instruction(
            lead_id=found["lead_id"],
            lead_number=found["lead_number"],
            user_id=found["user_id"],
            access=found["access"],
            duration=found["duration"],
            event=found["event"],
            note="",
            until=found["until"],
            start=found["start"],
            action=Action(found["action"]),
        )
    why = why_of(found["cause"], found["details"])
    return NewRow(
        found["key"], found["sheet_row"], (), State(found["state"]), asked, why, found["chosen"], found["user_id"]
    )


def with_last_call(found: RowMapping) -> Row:
    """A row, found with the columns of a call that was made for it, if there was one."""
    names = ("sent_at", "answered_at", "words", "marker")
    sent_at, answered_at, words, marker = (found[name] for name in names)
    call = LastCall(sent_at, answered_at, words or "", marker) if sent_at is not None else None
    return replace(row_of(found), last_call=call)


def state_in_sheet(state: str, cause: str | None) -> State:
    """The state of a row that the sheet in force has, be it again: one that was lost when it was posted goes on."""
    return State.POSTED if (state, cause) == (State.FAILED, Cause.GONE) else State(state)


ASKED_ANEW: Final = {State.PENDING: ("duration", "until", "note", "custom"), State.POSTED: ("duration", "until")}
"""What a refused row takes anew from the sheet, by where it begins again: an activity that stands has its note."""


def again_from(found: RowMapping) -> State | None:
    """Where a row begins again should the sheet ask for something else of what is in ASKED_ANEW; None: it does not.

    It was refused, and no share of it stands, nor may stand.
    """
    if state_in_sheet(found["state"], found["cause"]) is not State.FAILED or found["doubtful"]:
        return None
    if found["activity_id"] is None:
        return State.PENDING
    return State.POSTED if found["stage"] in (Stage.SHARE, Stage.PROCESSING) else None


def share_of(found: Sequence[Any], *, at_latest: bool = False) -> Share:
    """What a row shared. Of a share that was never accepted nobody knows the end; or `at_latest`, when it would."""
    # As columns, not by their names: there may be a million.
    row_id, state, stage, doubtful, lead_id, user_id, held, sheet_row, position = found[:9]
    request_id, duration, until, changed_at, ends_at, access, run = found[9:]
    if held and state != State.SHARING and (state, stage) not in MAY_STAND:
        ends_at = NEVER
    elif ends_at is None and at_latest:
        ends_at = until or changed_at + timedelta(minutes=duration or 0)
    return Share(
        *(row_id, sheet_row, position is not None, STATES[state], doubtful, lead_id, user_id),
        *(access, ends_at, request_id, run, bool(held), changed_at),
    )


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
        for why in parts or [row.why or Why(Cause.OLD_WORDS, {OLD_WORDS: ""})]:
            # What was wrong in a sheet beside it is no matter; what earlier runs have shared is another for each.
            cause = None if "problems" in why.details else why.cause
            common = {} if cause is Cause.ALREADY_SHARED else _common(why.details)
            kind: tuple[object, ...] = row.state, cause, json.dumps(common, sort_keys=True)
            if isinstance(row, Row):
                kind = *kind, row.stage, row.position is None, row.notice and row.notice.cause
            told = why
            if kind not in self._found and len(self._found) >= KINDS_KEPT:
                kind, told = (row.state,), None
            known = self._found.get(kind) or Alike(replace(row, why=told, cells=()), 0, ())
            first = known.first if len(known.first) == ROWS_NAMED else (*known.first, row.sheet_row)
            is_same = known.is_same and (told, notice) == (known.row.why, known.notice)
            self._found[kind] = Alike(known.row, known.rows + rows, first, is_same)

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


def gather(connection: Connection, now: datetime) -> Statistics:
    """Sum a ledger up as it is `now` (UTC, without a zone)."""
    kinds = reasons_of(connection, rows.c.state.in_(TROUBLED) & MATTERS)
    known = known_users(connection)
    users = [
        UserResults(user_id, *known.get(user_id, ("", "")), states)
        for user_id, states in counts_by_user(connection, now).items()
    ]
    users.sort(key=lambda user: (-user.rows, user.name, user.user_id or ""))
    state = state_at(now)  # one for both: else a database would take what it is grouped by for another
    by_state = select(state, func.count()).where(IN_SHEET, COUNTED).group_by(state)
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
    state = state_at(now)
    by_user = select(rows.c.user_id, state, func.count()).where(IN_SHEET, COUNTED)
    by_user = by_user.group_by(rows.c.user_id, state)
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
