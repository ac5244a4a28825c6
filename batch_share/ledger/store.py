"""The ledger's doings, in the words of the work: take a sheet in, note an intent, settle it, count."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import case, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from batch_share.errors import IllegalTransition, LedgerError
from batch_share.ledger import database
from batch_share.ledger.lock import LedgerLock
from batch_share.ledger.records import (
    Changes,
    Instruction,
    NewRow,
    Result,
    Row,
    RunRecord,
    SheetRecord,
)
from batch_share.ledger.schema import about, attempts, owner_checks, rows, runs, sheets
from batch_share.ledger.states import INTENT_OF, INTENTS, NEVER_SENT, TO_DO, Stage, State, predecessors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import ColumnElement, Executable, Insert, RowMapping
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")

PAGE = 500
_INSTRUCTION = ("lead_id", "lead_number", "user_id", "access", "duration", "event", "note")

GONE = "the sheet no longer has this row; nothing was sent for it"
GONE_POSTED = "the sheet no longer has this row: its activity was posted, the lead was not shared"
CUT_OFF = "the program was cut off while this call was under way; it may or may not have arrived"


def utc_now() -> datetime:
    """The time as the ledger notes it: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


class Ledger:
    """An open ledger. Make one with `open_ledger`.

    Every method that touches the file raises LedgerError, in one sentence, when it can't.
    """

    def __init__(self, file: Path, engine: AsyncEngine, now: Callable[[], datetime] = utc_now) -> None:
        self.file = file
        self._engine = engine
        self._writer = database.Writer(engine, file)
        self._now = now
        self._run_id = 0

    # ------------------------------------------------------------------------------------------ the whole

    async def facts(self) -> dict[str, str]:
        """What is known of the ledger as a whole: `job`, `host`, `schema_version`."""
        return {row["name"]: row["value"] for row in await self._all(select(about))}

    async def sheet(self) -> SheetRecord | None:
        """The sheet in force, None before the first was taken in."""
        found = await self._all(select(sheets).order_by(sheets.c.id.desc()).limit(1))
        if not found:
            return None
        return SheetRecord(**{name: found[0][name] for name in ("name", "path", "worksheet", "digest", "columns")})

    async def begin_run(self, command: str, version: str, settings: Mapping[str, Any]) -> None:
        """Note that this process starts to work on the ledger. What an earlier one left under way becomes unknown.

        `settings` are kept as they are: give them without keys.
        """

        async def begin(connection: AsyncConnection) -> None:
            values = {"command": command, "version": version, "settings": dict(settings), "started_at": self._now()}
            self._run_id = await _new_id(connection, insert(runs).values(values))
            for intent in INTENTS:
                await self._abandon(connection, intent)

        await self._writer.do(begin)

    async def end_run(self, ended: str) -> None:
        """Note how this process ended, in words."""
        values = {"ended_at": self._now(), "ended": ended}
        await self._execute(update(runs).where(runs.c.id == self._run_id).values(values))

    async def runs(self) -> list[RunRecord]:
        """Every process that worked on the ledger, oldest first."""
        return [RunRecord(**row) for row in await self._all(select(runs).order_by(runs.c.id))]

    async def _abandon(self, connection: AsyncConnection, intent: State) -> None:
        """An intent found at start-up: its call may have left, so its row is unknown."""
        found = update(rows).where(rows.c.state == intent)
        values = {"state": State.UNKNOWN, "stage": INTENTS[intent], "reason": CUT_OFF, "changed_at": self._now()}
        await connection.execute(found.values(values))

    # ------------------------------------------------------------------------------------------ the sheet

    async def take_in(self, sheet: SheetRecord, new_rows: Iterable[NewRow]) -> Changes:
        """Make `sheet` the one in force, in one transaction.

        A row is known by its key: what became of it stays. Rows that the sheet no longer has stay if anything may
        have been sent for them, out of the sheet's order, and are never sent again.
        """

        async def take(connection: AsyncConnection) -> Changes:
            known = await self._known(connection)
            kept = 0
            await connection.execute(update(rows).values(position=None))
            for chunk in _chunks(enumerate(new_rows), PAGE):
                kept += await self._take_chunk(connection, chunk, known)
            gone = await self._drop_gone(connection)
            await connection.execute(insert(sheets).values(taken_at=self._now(), **_fields(sheet)))
            total = await connection.scalar(select(func.count()).where(rows.c.position.is_not(None)))
            return Changes(new=(total or 0) - kept, kept=kept, gone=gone)

        return await self._writer.do(take)

    async def _known(self, connection: AsyncConnection) -> dict[str, tuple[int, State]]:
        found = await connection.execute(select(rows.c.key, rows.c.id, rows.c.state))
        return {key: (row_id, State(state)) for key, row_id, state in found}

    async def _take_chunk(
        self,
        connection: AsyncConnection,
        chunk: Sequence[tuple[int, NewRow]],
        known: Mapping[str, tuple[int, State]],
    ) -> int:
        fresh = [self._values(position, row) for position, row in chunk if row.key not in known]
        if fresh:
            await connection.execute(insert(rows), fresh)
        for position, row in chunk:
            if row.key in known:
                row_id, state = known[row.key]
                values = self._values(position, row) if state in NEVER_SENT else _place(position, row)
                await connection.execute(update(rows).where(rows.c.id == row_id).values(values))
        return len(chunk) - len(fresh)

    def _values(self, position: int, row: NewRow) -> dict[str, Any]:
        asked = _fields(row.instruction) if row.instruction else dict.fromkeys(_INSTRUCTION)
        state = {"key": row.key, "state": row.state, "reason": row.reason, "changed_at": self._now()}
        return _place(position, row) | asked | state

    async def _drop_gone(self, connection: AsyncConnection) -> int:
        """Rows without a place: forget those nothing was ever tried for, end those that still would be sent."""
        gone = rows.c.position.is_(None)
        tried = select(attempts.c.id).where(attempts.c.row_id == rows.c.id).exists()
        unsent = delete(rows).where(gone, rows.c.state.in_(NEVER_SENT), ~tried)
        count = (await connection.execute(unsent)).rowcount
        for old, new, reason in ((State.PENDING, State.SKIPPED, GONE), (State.POSTED, State.FAILED, GONE_POSTED)):
            values = {"state": new, "reason": reason, "changed_at": self._now()}
            if new is State.FAILED:
                values["stage"] = Stage.SHARE
            count += (
                await connection.execute(update(rows).where(gone, rows.c.state == old).values(values))
            ).rowcount
        return count

    # ------------------------------------------------------------------------------------------ the work

    async def intend(self, row: Row, step: Stage) -> int:
        """Commit that a call for `row` is about to leave. Returns the attempt's Id for `settle`."""

        async def note(connection: AsyncConnection) -> int:
            await self._move(connection, row.id, INTENT_OF[step])
            return await self._attempt(connection, row.id, step)

        return await self._writer.do(note)

    async def settle(self, attempt_id: int, row: Row, result: Result) -> None:
        """Commit what became of the call of an intent."""

        async def note(connection: AsyncConnection) -> None:
            await self._move(connection, row.id, result.state, _row_values(result))
            values = {"answered_at": self._now()} | _attempt_values(result)
            await connection.execute(update(attempts).where(attempts.c.id == attempt_id).values(values))

        await self._writer.do(note)

    async def fail(self, row: Row, stage: Stage, reason: str) -> None:
        """Commit that `row` failed without a further call."""
        result = Result(State.FAILED, "failed", stage=stage, reason=reason)
        await self._writer.do(lambda connection: self._move(connection, row.id, State.FAILED, _row_values(result)))

    async def note_status(self, request_id: str, sent_at: datetime, result: Result) -> int:
        """Commit the status API's answer for every accepted row of `request_id`; how many those are.

        A `result.state` of `accepted` leaves the rows where they are, with the raw number and text.
        """
        waiting = select(rows.c.id).where(rows.c.request_id == request_id, rows.c.state == State.ACCEPTED)

        async def note(connection: AsyncConnection) -> int:
            found = (await connection.execute(waiting)).all()
            for (row_id,) in found:
                if result.state is State.ACCEPTED:
                    await connection.execute(update(rows).where(rows.c.id == row_id).values(_row_values(result)))
                else:
                    await self._move(connection, row_id, result.state, _row_values(result))
                await self._attempt(
                    connection, row_id, "status", sent_at, answered_at=self._now(), **_attempt_values(result)
                )
            return len(found)

        return await self._writer.do(note)

    async def note_owner_check(self, event: int, activity_id: str, *, verified: bool) -> None:
        """Commit that the owner of an activity of type `event` was read back (or is trusted without)."""
        values = {"event": event, "activity_id": activity_id, "verified": verified, "checked_at": self._now()}
        await self._execute(insert(owner_checks).values(values))

    async def _move(
        self,
        connection: AsyncConnection,
        row_id: int,
        state: State,
        values: Mapping[str, Any] | None = None,
    ) -> None:
        """The only way a row's state changes once it is in the ledger."""
        here = rows.c.id == row_id, rows.c.state.in_(predecessors(state))
        changes = {"state": state, "changed_at": self._now(), **(values or {})}
        moved = await connection.execute(update(rows).where(*here).values(changes))
        if moved.rowcount != 1:
            raise IllegalTransition(self.file, row_id, state)

    async def _attempt(
        self,
        connection: AsyncConnection,
        row_id: int,
        step: str,
        sent_at: datetime | None = None,
        **values: Any,
    ) -> int:
        call = {"row_id": row_id, "run_id": self._run_id, "step": step, "sent_at": sent_at or self._now()}
        return await _new_id(connection, insert(attempts).values(call | values))

    # ------------------------------------------------------------------------------------------ reading

    async def counts(self) -> dict[State, int]:
        """How many rows are in each state; the sum is the number of rows."""
        found = await self._all(select(rows.c.state, func.count().label("n")).group_by(rows.c.state))
        return {State(row["state"]): row["n"] for row in found}

    async def checked_events(self) -> set[int]:
        """The activity types whose owner was verified, or is trusted."""
        return {row["event"] for row in await self._all(select(owner_checks.c.event))}

    async def events_to_do(self) -> list[int]:
        """The activity types of the rows that are still to be sent, in order of first use."""
        todo = select(rows.c.event).where(self._to_do()).group_by(rows.c.event).order_by(func.min(rows.c.position))
        return [row["event"] for row in await self._all(todo)]

    async def next_to_do(self, event: int) -> Row | None:
        """The first row of this activity type that is still to be sent, one whose activity stands before others."""
        posted_first = case((rows.c.state == State.POSTED, 0), else_=1)
        first = select(rows).where(self._to_do(), rows.c.event == event)
        found = await self._all(first.order_by(posted_first, rows.c.position).limit(1))
        return _row(found[0]) if found else None

    async def to_do(self) -> AsyncIterator[Row]:
        """The rows that are still to be sent, in the sheet's order, read page by page as they are wanted."""
        async for row in self._in_order(self._to_do()):
            yield row

    async def all_rows(self) -> AsyncIterator[Row]:
        """Every row in the sheet's order, then those that the sheet no longer has."""
        async for row in self._in_order(rows.c.position.is_not(None)):
            yield row
        for found in await self._all(select(rows).where(rows.c.position.is_(None)).order_by(rows.c.id)):
            yield _row(found)

    async def waiting_requests(self) -> list[str]:
        """The request Ids of accepted rows, each once, oldest first."""
        accepted = select(rows.c.request_id).where(rows.c.state == State.ACCEPTED)
        ordered = accepted.group_by(rows.c.request_id).order_by(func.min(rows.c.changed_at))
        return [row["request_id"] for row in await self._all(ordered)]

    def _to_do(self) -> ColumnElement[bool]:
        return rows.c.state.in_(TO_DO) & rows.c.position.is_not(None)

    async def _in_order(self, which: ColumnElement[bool]) -> AsyncIterator[Row]:
        last = -1
        while True:
            page = select(rows).where(which, rows.c.position > last).order_by(rows.c.position).limit(PAGE)
            found = await self._all(page)
            for row in found:
                yield _row(row)
            if len(found) < PAGE:
                return
            last = found[-1]["position"]

    # ------------------------------------------------------------------------------------------ plumbing

    async def _all(self, query: Executable) -> Sequence[RowMapping]:
        try:
            async with self._engine.connect() as connection:
                return (await connection.execute(query)).mappings().all()
        except SQLAlchemyError as error:
            raise database.explain(self.file, error) from None

    async def _execute(self, statement: Executable) -> None:
        await self._writer.do(lambda connection: connection.execute(statement))

    async def prepare(self, facts: dict[str, str]) -> None:
        """Create or upgrade the tables. Raises LedgerTooNew, LedgerError."""
        await self._writer.do(
            lambda connection: connection.run_sync(database.prepare, self.file, {"job": uuid.uuid4().hex} | facts)
        )

    async def check_readable(self) -> None:
        """Raise LedgerError or LedgerTooNew for a file that is no ledger we can read."""
        try:
            async with self._engine.connect() as connection:
                await connection.run_sync(database.check_version, self.file)
        except SQLAlchemyError as error:
            raise database.explain(self.file, error) from None

    async def close(self) -> None:
        """Finish what is being written and close the file."""
        await self._writer.close()
        await self._engine.dispose()


@asynccontextmanager
async def open_ledger(
    file: Path, *, host: str | None = None, now: Callable[[], datetime] = utc_now
) -> AsyncIterator[Ledger]:
    """Open a ledger for work, alone. With `host` a missing one is created, for that host.

    Raises LedgerLocked while another process has it, LedgerTooNew, and LedgerError for anything else.
    """
    if host is None:
        _must_exist(file)
    lock = LedgerLock(file)
    lock.acquire()
    try:
        if host is not None:
            database.create_private(file)
        ledger = Ledger(file, database.connect(file), now)
        try:
            await ledger.prepare({"host": host} if host is not None else {})
            yield ledger
        finally:
            await ledger.close()
    finally:
        lock.release()


@asynccontextmanager
async def read_ledger(file: Path) -> AsyncIterator[Ledger]:
    """Open a ledger to look at it, also while a run works on it. Raises LedgerTooNew, LedgerError."""
    _must_exist(file)
    ledger = Ledger(file, database.connect(file))
    try:
        await ledger.check_readable()
        yield ledger
    finally:
        await ledger.close()


async def _new_id(connection: AsyncConnection, statement: Insert) -> int:
    return int((await connection.execute(statement.returning(statement.table.c.id))).scalar_one())


def _must_exist(file: Path) -> None:
    if not file.is_file():
        raise LedgerError(file, "there is no such file. `batch-share run SHEET` makes a ledger")


def _row(found: RowMapping) -> Row:
    asked = Instruction(**{name: found[name] for name in _INSTRUCTION}) if found["lead_id"] else None
    stage = Stage(found["stage"]) if found["stage"] else None
    return Row(
        id=found["id"],
        sheet_row=found["sheet_row"],
        cells=found["cells"],
        state=State(found["state"]),
        instruction=asked,
        position=found["position"],
        stage=stage,
        reason=found["reason"],
        activity_id=found["activity_id"],
        request_id=found["request_id"],
        share_status=found["share_status"],
    )


def _place(position: int, row: NewRow) -> dict[str, Any]:
    return {"position": position, "sheet_row": row.sheet_row, "cells": list(row.cells)}


def _row_values(result: Result) -> dict[str, Any]:
    return {"stage": result.stage, "reason": result.reason, **result.learned}


def _attempt_values(result: Result) -> dict[str, Any]:
    return {
        "outcome": result.outcome,
        "http_status": result.http_status,
        "answer_id": result.answer_id,
        "words": result.words or None,
    }


def _fields(record: Instruction | SheetRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk
