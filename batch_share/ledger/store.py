"""Writing a ledger, in the words of the work: take a sheet in, note an intent, settle it."""

from __future__ import annotations

import itertools
import os
import platform
import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import bindparam, delete, false, func, insert, or_, select, true, update

from batch_share.common import Action, Cause, chunks
from batch_share.errors import GIVEN_UP, IllegalTransition, LedgerError, OfAnotherSheet
from batch_share.ledger import database
from batch_share.ledger.accounts import Accounts
from batch_share.ledger.queries import (
    ASKED_ANEW,
    GIVES_ACCESS,
    INSTRUCTION,
    LEAN,
    LOOK,
    RETRY,
    again_from,
    row_of,
    state_in_sheet,
)
from batch_share.ledger.reading import PAGE, SHOWN, LedgerReader
from batch_share.ledger.records import (
    Changes,
    Edit,
    Facts,
    Instruction,
    Lookup,
    NewRow,
    Result,
    Row,
    SheetRecord,
    Why,
)
from batch_share.ledger.schema import about, attempts, edits, lookups, owner_checks, rows, runs, sheets
from batch_share.ledger.states import (
    ARE_SHARED,
    BEFORE,
    INTENT_OF,
    INTENTS,
    MAY_STAND,
    NEVER_SENT,
    TRANSITIONS,
    Stage,
    State,
    predecessors,
)
from batch_share.outputs import RESULTS, WRITTEN, as_fact, written_in

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, RowMapping, Update

    from batch_share.ledger.database import Database
    from batch_share.ledger.files import LedgerName

T = TypeVar("T")
P = ParamSpec("P")

_UNDO = "undo"
_NOTICE = ("notice_kind", "notice_details")

_RENEWED = (*INSTRUCTION, "key", "position", "sheet_row", "cells", "chosen", "edit")
"""The columns that a renewed row has of the one before it."""

_BACK = Result(State.PENDING, "", learned={"share_status": None})
"""What is known of a failed row that goes back to before the step that failed."""

_NOTHING_ASKED = dict.fromkeys(INSTRUCTION) | {"action": Action.SHARE}
_INTENTS, _BEFORE = frozenset(INTENTS), frozenset(BEFORE.values())
_MAY_STAND = frozenset(state for state, _ in MAY_STAND)
_OTHERS = (Cause.LEFT_OUT, Cause.ALREADY_SHARED, Cause.HELD)
_TAKEN = tuple(
    rows.c[name]
    for name in (
        *("id", "key", "state", "stage", "cause", "details", "doubtful", "activity_id", "share_status", *_NOTICE),
        *("position", "sheet_row", "cells", "chosen", "edit", *INSTRUCTION),
    )
)
"""The columns that a row of the sheet may change, and those by which it is known whether it does."""

_IN_SUMMARY = frozenset({"unchecked", "zone"})
"""The facts that results show and that may be others without any row being so."""

_UNSEEN = frozenset({"note", "custom", "changed_at"})
"""What neither results nor shares show of a row."""

_MAY_BE_SENT = (
    rows.c.position.is_not(None)
    & rows.c.lead_id.is_not(None)
    & GIVES_ACCESS
    & or_(
        rows.c.state == State.PENDING,
        (rows.c.state == State.SKIPPED) & rows.c.cause.in_(_OTHERS),
        (rows.c.state == State.FAILED) & (rows.c.stage == Stage.ACTIVITY),
    )
)
"""Rows that were not sent, as far as this ledger knows, and may be."""

# Ids are not the database's to give: nobody else writes to a ledger, and they begin at 1 in each.
# Built once: for the statements of every call, building takes longer than running.
_NEXT_RUN, _NEXT_SHEET = (select(func.coalesce(func.max(each.c.id), 0) + 1) for each in (runs, sheets))
_LAST_ROW = select(func.max(rows.c.id))
_NEW_ATTEMPT = insert(attempts)
_ANSWERED = update(attempts).where(attempts.c.id == bindparam("attempt_id"))
_REQUESTED = select(rows.c.id, rows.c.doubtful, rows.c.state).where(rows.c.request_id == bindparam("request"))
_ENDING = select(rows.c.id, rows.c.doubtful, rows.c.state).where(
    rows.c.revoke_id == bindparam("request"), rows.c.state == State.ENDING
)
_BY_ID = update(rows).where(rows.c.id == bindparam("row_id"))
_SAME_EDIT = delete(edits).where(edits.c.key == bindparam("key_"))
_SAME_LOOKUP = delete(lookups).where(lookups.c.kind == bindparam("kind_"), lookups.c.value == bindparam("value_"))


@cache
def _row_in(states: frozenset[State]) -> Update:
    """Change the row `row_id` if it is in one of these states."""
    here = or_(false(), *(rows.c.state == state for state in sorted(states)))
    return update(rows).where(rows.c.id == bindparam("row_id"), here)


def _writes(
    operation: Callable[Concatenate[Ledger, Connection, P], T],
) -> Callable[Concatenate[Ledger, P], Coroutine[Any, Any, T]]:
    """A method that is one operation of `Database.write`: whoever calls it waits until it is committed."""

    @wraps(operation)
    async def write(self: Ledger, /, *given: P.args, **named: P.kwargs) -> T:
        return await self._database.write(lambda connection: operation(self, connection, *given, **named))

    return write


class Repeated(Exception):
    """A row asks for what an unchanged one asks for: which of them comes first, all must be judged to tell."""


class UnchangedRows(Protocol):
    """Rows of a sheet in force, by place, that the sheet to be taken in has as they are.

    `ids` are theirs, 0 in the place of any other row, and `places` those of all others; `notes` are those that get
    another note, by Id under each.
    """

    ids: array[int]

    def places(self) -> Iterable[int]: ...
    def notes(self) -> Mapping[str, Sequence[int]]: ...


class Ledger(LedgerReader):
    """A ledger open for work, by this process alone. Make one with `open_ledger`.

    `run_id` is the run that `begin_run` noted, `results` what `note_results` was told by the last run, if no row is
    other than it was then. `on_call` is told the number of each call that is about to leave. Every method raises
    LedgerError, in one sentence, when the file can't be written; then nothing of it was done.
    """

    def __init__(self, name: LedgerName, opened: Database, now: Callable[[], datetime] | None = None) -> None:
        super().__init__(name, opened, now)
        self.run_id = 0
        self._last_attempt = 0
        self.results: str | None = None
        self._place: tuple[int, int] | None = None
        self.on_call: Callable[[int], None] | None = None

    # ------------------------------------------------------------------------------------------ the whole

    @_writes
    def begin_run(
        self,
        connection: Connection,
        command: str,
        version: str,
        settings: Mapping[str, Any],
        *,
        only_looked_up: bool = False,
    ) -> None:
        """Note that this process starts to work on the ledger. What an earlier one left under way becomes unknown.

        `settings` are kept as they are: give them without keys. With `only_looked_up` the run sends no other rows
        than those that it looks up or puts back.
        """
        self.run_id = connection.execute(_NEXT_RUN).scalar_one()
        values = {"command": command, "version": version, "settings": dict(settings), "started_at": self.now()}
        connection.execute(insert(runs), {"id": self.run_id, **values})
        self._only_looked_up_in = self.run_id if only_looked_up else None
        facts = {row.name: row.value for row in connection.execute(select(about))}
        called = connection.scalar(select(func.max(attempts.c.id))) or 0
        known = Facts.of(facts)
        self._last_attempt, self.results = max(called, known.calls), known.results
        if WRITTEN not in facts:  # by the results, which are noted anew, an older ledger tells what is its own
            _put_facts(connection, {WRITTEN: as_fact(written_in(facts))})
        # Whatever ends this run before it notes them anew: what is written by then is not of this ledger.
        connection.execute(delete(about).where(about.c.name == RESULTS))
        _put_facts(connection, {"process": f"{os.getpid()} on {platform.node()}"})
        # An intent found at start-up: its call may have left, so its row is unknown.
        for intent, stage in INTENTS.items():
            cut_off = Result(State.UNKNOWN, "", stage=stage, why=Why(Cause.CUT_OFF))
            self._move_all(connection, true(), intent, cut_off)

    @_writes
    def take_up(self, connection: Connection, job: str, since: datetime, calls: int) -> None:
        """Commit that this ledger, which holds nothing yet, is to recover this job: as `recover` is told."""
        _put_facts(connection, Facts.stored({"job": job, "recovered": since, "calls": calls}))
        self._last_attempt = max(self._last_attempt, calls)

    @_writes
    def recover(
        self,
        connection: Connection,
        marker: Callable[[Row], str],
        since: datetime | None = None,
        calls: int = 0,
    ) -> int:
        """Commit that rows are unknown, of which another copy may have sent anything; how many there are.

        That was done `since` then, up to the call with the number `calls`. From then on whatever is new in this
        ledger is to be looked up too, what is renewed with it: without `since`, it is now. Rows that are left out
        wait for the run that they are for.
        """
        tried = select(attempts.c.id).where(attempts.c.row_id == rows.c.id).exists()
        which = _MAY_BE_SENT & rows.c.chosen & ~tried
        if since is not None:
            _put_facts(connection, Facts.stored({"recovered": since, "calls": calls}))
            self._last_attempt = max(self._last_attempt, calls)
            which = _MAY_BE_SENT & or_(rows.c.chosen, tried)
            self.results = None
            # Not when they were moved: by that, it is told when their shares end.
            posted = rows.c.position.is_not(None) & (rows.c.state == State.POSTED)
            unknown = {"state": State.UNKNOWN, "stage": Stage.SHARE, "doubtful": True}
            connection.execute(update(rows).where(posted).values(unknown))
            may_go_on = rows.c.state == State.UNKNOWN, rows.c.stage.in_((Stage.ACTIVITY, Stage.SHARE))
            recovered = {"cause": Cause.RECOVERED, "details": None}
            connection.execute(update(rows).where(*may_go_on).values(recovered))
        began = connection.scalar(select(about.c.value).where(about.c.name == "recovered"))
        if began is None:
            return 0
        ids = connection.scalars(select(rows.c.id).where(which).order_by(rows.c.id)).all()
        for chunk in chunks(ids, PAGE):
            self._look_up_first(connection, chunk, datetime.fromisoformat(began), marker)
        return len(ids)

    @_writes
    def note_revoked(self, connection: Connection, standing: Collection[tuple[str, str]]) -> int:
        """Commit that a newer copy has revoked what this one takes to be shared, but for these leads and users.

        Returns how many rows that are.
        """
        shared = rows.c.state.in_((State.SHARED, State.ACCEPTED)) & (rows.c.ends_at > self.now())
        columns = rows.c.id, rows.c.state, rows.c.lead_id, rows.c.user_id
        found = connection.execute(select(*columns).where(shared)).all()
        gone = [row for row in found if (row.lead_id, row.user_id) not in standing]
        for row in gone:
            revoked = Result(State.REVOKED, "", why=Why(Cause.PERHAPS_REVOKED))
            self._move_or_touch(connection, row.id, State(row.state), revoked)
        return len(gone)

    def _look_up_first(
        self, connection: Connection, ids: Sequence[int], since: datetime, marker: Callable[[Row], str]
    ) -> None:
        """Make rows unknown, as if a call that was made for each `since` then had not been answered."""
        self.results = None
        for found in connection.execute(select(*LEAN).where(rows.c.id.in_(ids))).mappings().all():
            row = row_of(found)
            unknown = Result(State.UNKNOWN, "", stage=Stage.ACTIVITY, why=Why(Cause.RECOVERED))
            self._move_or_touch(connection, row.id, row.state, unknown)
            self._attempt(connection, row.id, Stage.ACTIVITY, since, marker=marker(row))

    async def note_results(self, stamp: str) -> None:
        """Commit by what the results are known that were written of the rows as they are."""
        self.results = stamp
        await self.note(results=stamp)

    async def note(self, **facts: Any) -> None:
        """Commit some of the Facts, by name, if they are others than they were."""
        known = await self.facts()
        changed = Facts.stored({name: value for name, value in facts.items() if value != getattr(known, name)})
        if not _IN_SUMMARY.isdisjoint(changed):
            self.results = None
        if changed:
            await self._database.write(partial(_put_facts, facts=changed))

    @_writes
    def end_run(self, connection: Connection, ended: str) -> None:
        """Note how this process ended, in words."""
        values = {"ended_at": self.now(), "ended": ended}
        connection.execute(update(runs).where(runs.c.id == self.run_id).values(values))

    # ------------------------------------------------------------------------------------------ the sheet

    async def take_in(
        self,
        sheet: SheetRecord,
        new_rows: Iterable[NewRow],
        new_edits: Sequence[Edit] = (),
        unchanged: UnchangedRows | None = None,
    ) -> Changes:
        """Make `sheet` the one in force, with the edits that its rows were read by, in one transaction.

        Where some are `unchanged`, `new_rows` are all others. Raises Repeated if one of them is one of these.
        A row is known by its key: what became of it stays. Rows that the sheet no longer has stay if anything may
        have been sent for them, out of the sheet's order, and are never sent again. Raises OfAnotherSheet if that
        is so of all of them, and the sheet before was called otherwise.
        """

        def take(connection: Connection) -> Changes:
            before = connection.execute(select(sheets).order_by(sheets.c.id.desc()).limit(1)).mappings().first()
            # The digest is of how its rows are read too: of that the results show what comes of it.
            as_before = {name: before[name] for name in SheetRecord.__slots__} if before else {}
            is_other = bool(new_edits) or as_before | {"digest": ""} != _fields(sheet) | {"digest": ""}
            stay = set(filter(None, unchanged.ids)) if unchanged else set[int]()
            in_force = connection.scalars(select(rows.c.id).where(rows.c.position.is_not(None))).all()
            lost, kept = {*in_force} - stay, len(stay)
            for note, ids in unchanged.notes().items() if unchanged else ():
                for page in chunks(ids, PAGE):
                    connection.execute(update(rows).where(rows.c.id.in_(page)).values(note=note))
            places = unchanged.places() if unchanged else itertools.count()
            for chunk in chunks(zip(places, new_rows, strict=False), PAGE):
                kept_here, other_here = self._take_chunk(connection, chunk, lost, stay)
                kept, is_other = kept + kept_here, is_other or other_here
            for page in chunks(lost, PAGE):
                connection.execute(update(rows).where(rows.c.id.in_(page)).values(position=None))
            # Rows that the sheet had lost when they were posted, and has again: they go on.
            again = (rows.c.cause == Cause.GONE) & rows.c.position.is_not(None) & rows.c.chosen
            self._move_all(connection, again, State.FAILED, Result(State.POSTED, ""))
            gone = self._drop_gone(connection)
            is_other = is_other or bool(lost or gone)
            if not kept and before is not None and before["name"] != sheet.name:
                was_sent = select(rows.c.id).where(rows.c.position.is_(None)).limit(1)
                if connection.scalar(was_sent) is not None:
                    raise OfAnotherSheet(self.name, before["name"], sheet.name)
            number = connection.execute(_NEXT_SHEET).scalar_one()
            connection.execute(insert(sheets), {"id": number, "taken_at": self.now(), **_fields(sheet)})
            if is_other:
                self.results = None
                _put_facts(connection, {SHOWN: str(number)})
            elif before and connection.scalar(select(about.c.name).where(about.c.name == SHOWN)) is None:
                _put_facts(connection, {SHOWN: str(before["id"])})  # an older ledger had not noted it
            if new_edits:
                values = [{**_fields(edit), "made_at": self.now()} for edit in new_edits]
                connection.execute(_SAME_EDIT, [{"key_": edit.key} for edit in new_edits])
                connection.execute(insert(edits), values)
            total = connection.scalar(select(func.count()).where(rows.c.position.is_not(None)))
            return Changes(new=(total or 0) - kept, kept=kept, gone=gone)

        return await self._database.write(take, alone=True)

    @_writes
    def put_edits(self, connection: Connection, new: Sequence[Edit]) -> None:
        """Have rows of the sheet read so when it is taken in next; those without cells as they stand there."""
        connection.execute(_SAME_EDIT, [{"key_": edit.key} for edit in new])
        if values := [{**_fields(edit), "made_at": self.now()} for edit in new if edit.cells]:
            connection.execute(insert(edits), values)

    def _take_chunk(
        self, connection: Connection, chunk: Sequence[tuple[int, NewRow]], lost: set[int], stay: Collection[int]
    ) -> tuple[int, bool]:
        """Add the rows that are new, and of the others, which are not `lost`, write only what is other than it was.

        Most of a sheet that was run already is as it was, and a statement for each row takes longer than the rest.
        Returns how many were not new, and whether results or shares show anything of what is.
        """
        there_already = select(*_TAKEN).where(rows.c.key.in_([row.key for _, row in chunk]))
        known = {found["key"]: found for found in connection.execute(there_already).mappings()}
        fresh, now = list[dict[str, Any]](), self.now()
        changed: dict[tuple[str, ...], list[dict[str, Any]]] = {}  # by which columns are
        for position, row in chunk:
            there = known.get(row.key)
            values = self._values(position, row, there)
            if there is None:
                fresh.append(values | {"key": row.key, "changed_at": now})
                continue
            if there["id"] in stay:
                raise Repeated
            lost.discard(there["id"])
            other = {name: value for name, value in values.items() if there[name] != value}
            if other:
                if "state" in values:
                    other["changed_at"] = now
                changed.setdefault(tuple(other), []).append(other | {"row_id": there["id"]})
        if fresh:
            last = connection.scalar(_LAST_ROW) or 0
            for number, values in enumerate(fresh, last + 1):
                values["id"] = number
            connection.execute(insert(rows), fresh)
        for same in changed.values():
            connection.execute(_BY_ID, same)
        is_other = bool(fresh) or any(not _UNSEEN.issuperset(names) for names in changed)
        return len(chunk) - len(fresh), is_other

    def _values(self, position: int, row: NewRow, there: RowMapping | None) -> dict[str, Any]:
        """What a row takes from the sheet: everything that was not sent yet, as far as the ledger knows it."""
        values: dict[str, Any] = {"position": position, "sheet_row": row.sheet_row, "cells": list(row.cells)}
        values |= {"chosen": row.chosen, "edit": row.edit}
        # In the state that it had before the sheet lost it.
        state = state_in_sheet(there["state"], there["cause"]) if there is not None else None
        if there is None or state in NEVER_SENT:
            nothing = _NOTHING_ASKED | {"user_id": row.user_id}
            values |= (_fields(row.instruction) if row.instruction else nothing) | {"state": row.state}
            if there is None or there["cause"] != Cause.REVOKING_EARLIER or row.state is not State.PENDING:
                values |= _why_values(row.why)  # else nobody would know what was revoked for it
            return values
        asked = row.instruction
        if asked is None or not row.chosen:
            return values
        # Whatever is sent for it again is as the sheet says now; a share that may stand ends when it was to end.
        if state is State.UNKNOWN and there["stage"] != Stage.REVOKE:
            values |= {"duration": asked.duration, "until": asked.until, "note": asked.note, "custom": asked.custom}
        elif state is State.POSTED:
            values |= {"duration": asked.duration, "until": asked.until}
        elif state is State.FAILED and row.state is State.PENDING and (back := again_from(there)) is not None:
            anew = {name: getattr(asked, name) for name in ASKED_ANEW[back]}
            if any(there[name] != value for name, value in anew.items()):  # a person's wish to have it tried again
                values |= anew | {"state": back} | _row_values(_BACK)
        elif state is State.SHARED:  # for its next share, should it be renewed
            values |= {"note": asked.note, "custom": asked.custom}
        if state in ARE_SHARED:
            values |= _why_values(_length_notice(there, asked), _NOTICE)
        return values

    def _drop_gone(self, connection: Connection) -> int:
        """Rows without a place: forget those nothing was ever tried for, end those that still would be sent."""
        gone = rows.c.position.is_(None)
        tried = select(attempts.c.id).where(attempts.c.row_id == rows.c.id).exists()
        unsent = delete(rows).where(gone, rows.c.state.in_(NEVER_SENT), rows.c.renewal == 0, ~tried)
        count = (connection.execute(unsent)).rowcount
        why = Why(Cause.GONE)
        for old, which, ending in (
            (State.PENDING, true(), Result(State.SKIPPED, "", why=why)),
            (State.POSTED, rows.c.doubtful, Result(State.UNKNOWN, "", stage=Stage.SHARE, why=why)),
            (State.POSTED, true(), Result(State.FAILED, "", stage=Stage.SHARE, why=why)),
        ):
            count += self._move_all(connection, gone & which, old, ending)
        return count

    @_writes
    def rejudge(self, connection: Connection, decided: Sequence[tuple[Row, Why | None]]) -> None:
        """Commit why rows are not sent, None: they are. One whose activity stands is then not shared."""
        for row, why in decided:
            result = Result(State.SKIPPED if why else State.PENDING, "", why=why)
            if row.state is State.POSTED:
                if why is None:
                    continue
                result = Result(State.UNKNOWN if row.doubtful else State.FAILED, "", stage=Stage.SHARE, why=why)
            self._move_or_touch(connection, row.id, row.state, result)

    # ------------------------------------------------------------------------------------------ the work

    async def intend(self, rows: Sequence[Row], step: Stage, markers: Sequence[str | None]) -> list[int]:
        """Commit that a call for these rows is about to leave. Returns the attempts' Ids for `settle`.

        `markers` are what the activities can be found by, should the answer be lost. Raises as `check_place` too.
        """
        self.check_place()
        numbers = await self._intend(rows, step, markers)
        if self.on_call is not None:
            self.on_call(numbers[-1])
        return numbers

    @_writes
    def _intend(
        self, connection: Connection, rows: Sequence[Row], step: Stage, markers: Sequence[str | None]
    ) -> list[int]:
        for row in rows:
            self._move(connection, row.id, INTENT_OF[step], since=_BEFORE)
        both = zip(rows, markers, strict=True)
        return [self._attempt(connection, row.id, step, marker=marker) for row, marker in both]

    @_writes
    def settle(
        self, connection: Connection, attempt_ids: Sequence[int], rows: Sequence[Row], results: Sequence[Result]
    ) -> None:
        """Commit what became of the call of an intent, for each of its rows."""
        now = self.now()
        for attempt_id, row, result in zip(attempt_ids, rows, results, strict=True):
            changes = _row_values(result)
            if result.state is State.ACCEPTED and (asked := row.instruction) is not None:
                changes["ends_at"] = asked.until or now + timedelta(minutes=asked.duration or 0)
            self._move(connection, row.id, result.state, changes, since=_INTENTS)
            values = {"attempt_id": attempt_id, "answered_at": now}
            self._database.change(connection, _ANSWERED, values | _attempt_values(result))

    @_writes
    def end(self, connection: Connection, row: Row, result: Result) -> None:
        """Commit that `row`, before a step, ends without a further call."""
        self._move(connection, row.id, result.state, _row_values(result), since=_BEFORE)

    @_writes
    def answer_claims(self, connection: Connection, results: Mapping[int, Result]) -> None:
        """Commit what became of the shares that were to be revoked for these rows, by Id.

        With the state `pending` a row stays where it is: it may be shared now, and its notice says what was done.
        """
        for row_id, result in results.items():
            self._move_or_touch(connection, row_id, State.PENDING, result)

    @_writes
    def resolve(self, connection: Connection, looked_at: datetime, results: Mapping[int, Result]) -> None:
        """Commit what a look-up of `unknown` rows showed, by Id: with the state `unknown` they stay so."""
        for row_id, result in results.items():
            self._move_or_touch(connection, row_id, State.UNKNOWN, result)
            values = {"answered_at": self.now()} | _attempt_values(result)
            self._attempt(connection, row_id, LOOK, looked_at, **values)

    @_writes
    def try_again(self, connection: Connection, states: Mapping[int, State], begun: Collection[int] = ()) -> None:
        """Commit that failed rows, by Id, go back to before the step that failed.

        Rows with an Id in `begun` went back in an earlier run, and are this run's to send.
        """
        for row_id, state in states.items():
            self._move(connection, row_id, state, _row_values(_BACK), since=frozenset({State.FAILED}))
        for row_id in (*states, *begun):
            self._attempt(connection, row_id, RETRY)

    @_writes
    def renew(self, connection: Connection, marker: Callable[[Row], str]) -> int:
        """Let another row take the place of each whose share is to be renewed: how many there are.

        The row before stays as what it shared, out of the sheet's order; the marker of the new one is another. In a
        ledger that was recovered another copy may have renewed it: it is looked up first.
        """
        if self.renew_before is None:
            return 0
        if self.forced_by:  # with the renewals or not at all, however many there are
            _put_facts(connection, {"forced_by": str(self.forced_by)})
        ids = connection.scalars(select(rows.c.id).where(self.to_renew()).order_by(rows.c.position)).all()
        last = connection.scalar(_LAST_ROW) or 0
        began = connection.scalar(select(about.c.value).where(about.c.name == "recovered"))
        for chunk in chunks(enumerate(ids, last + 1), PAGE):
            new_ids, renewed = {old: new for new, old in chunk}, list[dict[str, Any]]()
            found = connection.execute(select(rows).where(rows.c.id.in_(new_ids))).mappings().all()
            for row in found:
                values = {"key": f"{row['key']}~{row['renewal']}", "position": None}
                connection.execute(update(rows).where(rows.c.id == row["id"]).values(values))
                # To be sent as the sheet says now, and nothing was sent for it.
                kept = {name: row[name] for name in _RENEWED}
                if other := (row["notice_details"] or {}).get("now"):
                    minutes, until = other
                    kept |= {"duration": minutes, "until": datetime.fromisoformat(until) if until else None}
                fresh = {"id": new_ids[row["id"]], "state": State.PENDING, "renewal": row["renewal"] + 1}
                renewed.append(kept | fresh | {"changed_at": self.now()})
            connection.execute(insert(rows), renewed)
            for old, new in new_ids.items():
                earlier = (rows.c.id == old) | (rows.c.renewed_as == old)
                connection.execute(update(rows).where(earlier).values(renewed_as=new))
            if began is not None:
                self._look_up_first(connection, [*new_ids.values()], datetime.fromisoformat(began), marker)
        self.results = None if ids else self.results
        return len(ids)

    @_writes
    def undo(self, connection: Connection, row_ids: Collection[int], doubtful: Collection[int] = ()) -> None:
        """Commit that the shares of these rows are to be revoked; the `doubtful` ones may not stand."""
        plain = Result(State.TO_REVOKE, "")
        in_doubt = replace(plain, stage=Stage.REVOKE, doubtful=True)
        for row_id in row_ids:
            values = _row_values(in_doubt if row_id in doubtful else plain)
            self._move(connection, row_id, State.TO_REVOKE, values, since=_MAY_STAND)
        for row_id in row_ids:
            self._attempt(connection, row_id, _UNDO)

    @_writes
    def note_status(
        self,
        connection: Connection,
        request_id: str,
        sent_at: datetime,
        meaning: Callable[[State, int, bool], Result],
    ) -> tuple[int, State, Result]:
        """Commit the status API's answer for every accepted row of `request_id`.

        By its `meaning` for the rows: the state that they are in, how many the request was made for, those included
        that were revoked meanwhile, and whether they are doubtful.
        Returns how many are accepted, the state before, and what it means for them.

        A state of `accepted` or `ending` leaves the rows where they are, with the raw number and text.
        """
        before = State.ACCEPTED
        together = connection.execute(_REQUESTED, {"request": request_id}).all()
        if not any(row.state == before for row in together):
            ending = connection.execute(_ENDING, {"request": request_id}).all()
            before, together = (State.ENDING, ending) if ending else (before, together)
        found = [row for row in together if row.state == before]
        meant = meaning(before, len(together), bool(found) and found[0].doubtful)
        for row in found:
            self._move_or_touch(connection, row.id, before, meant)
            answered = {"answered_at": self.now()} | _attempt_values(meant)
            self._attempt(connection, row.id, "status", sent_at, **answered)
        return len(found), before, meant

    @_writes
    def note_owner_check(self, connection: Connection, event: int, activity_id: str, *, verified: bool) -> None:
        """Commit that the owner of an activity of type `event` was read back (or is trusted without), just now."""
        values = {"event": event, "activity_id": activity_id, "verified": verified, "checked_at": self.now()}
        connection.execute(delete(owner_checks).where(owner_checks.c.event == event))
        connection.execute(insert(owner_checks).values(values))

    @_writes
    def note_lookups(self, connection: Connection, answers: Sequence[Lookup]) -> None:
        """Commit what LeadSquared answered about leads and users; a later answer replaces an earlier one."""
        if answers:
            same = [{"kind_": answer.kind, "value_": answer.value} for answer in answers]
            connection.execute(_SAME_LOOKUP, same)
            values = [{**_fields(answer), "asked_at": self.now()} for answer in answers]
            connection.execute(insert(lookups), values)

    def _move(
        self,
        connection: Connection,
        row_id: int,
        state: State,
        values: Mapping[str, Any] | None = None,
        *,
        since: frozenset[State],
    ) -> None:
        """How a row's state changes once something was tried for it: from one of `since`, as the table allows."""
        self.results = None
        changes = {"row_id": row_id, "state": state, "changed_at": self.now(), **(values or {})}
        if not self._database.change(connection, _row_in(predecessors(state) & since), changes):
            raise IllegalTransition(self.name, row_id, state)

    def _move_all(self, connection: Connection, which: ColumnElement[bool], old: State, result: Result) -> int:
        """What became of all rows in `old` of which this is true, as the table allows: how many there were."""
        assert result.state in TRANSITIONS[old], (old, result.state)  # noqa: S101 - a slip of ours
        values = {"state": result.state, "changed_at": self.now()} | _row_values(result)
        moved = connection.execute(update(rows).where(rows.c.state == old, which).values(values)).rowcount
        self.results = None if moved else self.results
        return moved

    def _move_or_touch(self, connection: Connection, row_id: int, old: State, result: Result) -> None:
        """What became of a row in `old`, be it that it stays there."""
        if result.state is not old:
            self._move(connection, row_id, result.state, _row_values(result), since=frozenset({old}))
            return
        self.results = None
        values = {"row_id": row_id} | _row_values(result)
        if not self._database.change(connection, _row_in(frozenset({old})), values):
            raise IllegalTransition(self.name, row_id, old)

    def _attempt(
        self,
        connection: Connection,
        row_id: int,
        step: str,
        sent_at: datetime | None = None,
        **values: Any,
    ) -> int:
        self._last_attempt += 1  # not the database's to give: nobody else writes to it, and many are added at once
        call = {"id": self._last_attempt, "row_id": row_id, "run_id": self.run_id, "step": step}
        self._database.change(connection, _NEW_ATTEMPT, call | {"sent_at": sent_at or self.now()} | values)
        return self._last_attempt

    # ------------------------------------------------------------------------------------------ plumbing

    async def prepare(self, host: str | None) -> None:
        """Upgrade the tables; with `host`, create them where there are none. Raises LedgerTooNew, LedgerError."""
        facts = {"job": uuid.uuid4().hex, "host": host} if host is not None else None
        await self._database.write(lambda connection: database.prepare(connection, self.name, facts))
        self._place = self.name.place()

    def may_send(self) -> bool:
        """Whether nobody else can work on it by now: else a call that has not left must not."""
        return self._database.held is None or self._database.held.is_sure()

    def accounts(self, command: str) -> Accounts | None:
        """Those of its store, by the connection that works on it, for this command; None for one in a file."""
        return Accounts(self._database, command) if self._database.held is not None else None

    def check_place(self) -> None:
        """Raises LedgerError if the file is no longer where it was opened: nobody would find what is noted now.

        Of one in a store, if its lock may have been given to another.
        """
        if self._database.held is not None and not self.may_send():
            raise LedgerError(self.name, GIVEN_UP)
        if self.name.place() != self._place:
            raise LedgerError(
                self.name,
                "it was moved, deleted or replaced while the run worked on it, so nothing more was sent. What was "
                "sent before is in the results; put the ledger back and run the same command again",
            )


def _put_facts(connection: Connection, facts: Mapping[str, str]) -> None:
    """Each in the place of what was noted by its name before."""
    connection.execute(delete(about).where(about.c.name.in_(facts)))
    connection.execute(insert(about), [{"name": name, "value": value} for name, value in facts.items()])


def _length_notice(there: RowMapping, asked: Instruction) -> Why | None:
    """No share that was sent is changed: its row says so where the sheet asks for another length now."""
    other: dict[str, Any] = {}
    lengths = {"before": (there["duration"], there["until"]), "now": (asked.duration, asked.until)}
    if lengths["before"] != lengths["now"]:
        for name, (minutes, end) in lengths.items():
            other[name] = [minutes, end.isoformat() if end else None]
    kind, details = there["notice_kind"], there["notice_details"]
    if kind is not None and kind != Cause.SENT_BEFORE:
        # What it tells matters more; should it be renewed, its next share lasts as the sheet says, too.
        told = {name: each for name, each in (details or {}).items() if name not in {"before", "now"}}
        return Why(Cause(kind), told | other)
    return Why(Cause.SENT_BEFORE, other) if other else None


def _row_values(result: Result) -> dict[str, Any]:
    doubtful = result.doubtful or result.state is State.UNKNOWN
    values = {"stage": result.stage, "doubtful": doubtful} | _why_values(result.why) | dict(result.learned)
    return values | _why_values(result.notice, _NOTICE) if result.notice else values


def _why_values(why: Why | None, names: Sequence[str] = ("cause", "details")) -> dict[str, Any]:
    """In the columns of these `names`, why a row is where it is, or its notice."""
    return dict(zip(names, (why.cause, why.details or None) if why else (None, None), strict=True))


def _attempt_values(result: Result) -> dict[str, Any]:
    return {
        "outcome": result.outcome,
        "http_status": result.http_status,
        "answer_id": result.answer_id,
        "words": result.words or None,
    }


def _fields(record: Instruction | SheetRecord | Lookup | Edit) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}
