"""Ledgers for tests: rows in few words, brought to a state by the legal way, looked at from outside."""

from __future__ import annotations

import json
import sqlite3
from contextlib import asynccontextmanager, closing
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from batch_share.common import Cause
from batch_share.ledger.files import LedgerName, open_ledger
from batch_share.ledger.postgres import StoredName
from batch_share.ledger.records import OLD_WORDS, Instruction, NewRow, Result, SheetRecord, Why, why_of
from batch_share.ledger.states import Stage, State
from batch_share.results.wording import spell, spell_notice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    import pytest

    from batch_share.ledger.records import Row
    from batch_share.ledger.store import Ledger


def set_clock(monkeypatch: pytest.MonkeyPatch, ahead: timedelta) -> None:
    """Let this machine's clock be `ahead` from now on, for all that asks what time it is; a store's stays right."""

    class Off(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + ahead

    monkeypatch.setattr("batch_share.common.datetime", Off)


def because(words: str) -> Why:
    """A reason in words of its own, which nobody here reads."""
    return Why(Cause.OLD_WORDS, {OLD_WORDS: words})


HOST: Final = "https://leads.example"
NOON: Final = datetime(2026, 1, 2, 12)  # noqa: DTZ001 - the ledger notes UTC without a zone

POSTED: Final = Result(State.POSTED, "done", http_status=200, answer_id="act", learned={"activity_id": "act"})
ACCEPTED: Final = Result(State.ACCEPTED, "done", http_status=200, answer_id="req", learned={"request_id": "req"})
SHARED: Final = Result(State.SHARED, "processed", "Done.", 200, learned={"share_status": 6})
REFUSED: Final = Result(State.FAILED, "refused", "No such lead", 400, stage=Stage.ACTIVITY, why=because("refused"))
LOST: Final = Result(State.UNKNOWN, "lost", "timeout", stage=Stage.ACTIVITY, why=because("nobody knows"))


def always(result: Result) -> Callable[[State, int, bool], Result]:
    """What an answer of the status API means, whatever the request is of."""
    return lambda _before, _rows, _doubtful: result


def sheet_record(columns: Sequence[str] = ("Lead", "Note"), digest: str = "digest") -> SheetRecord:
    """A sheet as the ledger notes it."""
    return SheetRecord("leads.csv", "leads.csv", None, digest, list(columns))


def instruction(number: int = 1, **changes: Any) -> Instruction:
    """What a row asks for, some of it changed."""
    guid = f"{number:08x}-0000-4000-8000-000000000000"
    values = {
        "lead_id": guid,
        "lead_number": str(number),
        "user_id": guid,
        "access": 1,
        "duration": 60,
        "event": 201,
    }
    return Instruction(**values | {"note": "Hello"} | changes)  # type: ignore[arg-type]


def new_row(number: int, cells: Sequence[str] | None = None, **changes: Any) -> NewRow:
    """Row `number` of the lead `number`, pending, some of its instruction changed."""
    shown = list(cells) if cells is not None else [str(number), "Hello"]
    return NewRow(f"key{number}", number + 1, shown, State.PENDING, instruction(number, **changes))


def unsendable(number: int, state: State) -> NewRow:
    """A row that is `invalid` or `skipped` as it comes."""
    asked = instruction(number) if state is State.SKIPPED else None
    return NewRow(f"key{number}", number + 1, [str(number), ""], state, asked, because(f"why it is {state}"))


@asynccontextmanager
async def working(file: Path | LedgerName, *rows: NewRow) -> AsyncIterator[Ledger]:
    """The ledger `file` with a run begun; `rows` are taken in if there are any."""
    async with open_ledger(LedgerName.of(file), host=HOST, now=lambda: NOON) as ledger:
        if rows:
            await ledger.take_in(sheet_record(), rows)
        await ledger.begin_run("run", "1.0", {})
        yield ledger


async def row_of(ledger: Ledger, number: int) -> Row:
    """The row of lead `number`, wherever it stands."""
    (found,) = [row async for row in ledger.all_rows() if row.cells[0] == str(number)]
    return found


async def advance(ledger: Ledger, number: int, to: State) -> Row:
    """Bring the pending row of lead `number` to a state by the shortest legal way."""
    row = await row_of(ledger, number)
    if to not in {State.PENDING, State.INVALID, State.SKIPPED}:
        await _send(ledger, row, to)
    return await row_of(ledger, number)


async def _send(ledger: Ledger, row: Row, to: State) -> None:
    attempt = await ledger.intend([row], Stage.ACTIVITY, [None])
    if to is State.POSTING:
        return
    first = {State.FAILED: REFUSED, State.UNKNOWN: LOST}.get(to, POSTED)
    await ledger.settle(attempt, [row], [first])
    if to in {State.FAILED, State.UNKNOWN, State.POSTED}:
        return
    attempt = await ledger.intend([row], Stage.SHARE, [None])
    if to is State.SHARING:
        return
    request = f"req{row.id}"
    await ledger.settle(attempt, [row], [Result(State.ACCEPTED, "done", learned={"request_id": request})])
    if to is State.ACCEPTED:
        return
    await ledger.note_status(request, NOON, always(SHARED))
    if to is not State.SHARED:
        await _revoke(ledger, row, to)


async def _revoke(ledger: Ledger, row: Row, to: State) -> None:
    await ledger.undo([row.id])
    if to is State.TO_REVOKE:
        return
    attempt = await ledger.intend([row], Stage.REVOKE, [None])
    if to is State.REVOKING:
        return
    request = f"rev{row.id}"
    await ledger.settle(attempt, [row], [Result(State.ENDING, "done", learned={"revoke_id": request})])
    if to is State.REVOKED:
        await ledger.note_status(request, NOON, always(Result(State.REVOKED, "processed")))


def seen_from_outside(file: Path | LedgerName, query: str) -> list[Any]:
    """What another process would read just now: what is committed, and no more."""
    if isinstance(file, StoredName):
        chosen = text("SELECT set_config('bs.ledger', :number, true)")
        with file.store.looking() as connection:
            connection.execute(chosen, {"number": str(file.number())})
            return [tuple(map(_as_in_a_file, row)) for row in connection.execute(text(query))]
    with closing(sqlite3.connect(str(file))) as connection:
        return connection.execute(query).fetchall()


def change_from_outside(file: Path | LedgerName, *statements: str, **values: Any) -> None:
    """Change a ledger while nobody works on it."""
    if isinstance(file, StoredName):
        number = file.number()
        with file.store.looking() as connection:
            connection.execute(text("SELECT set_config('bs.ledger', :number, true)"), {"number": str(number)})
            written = text("UPDATE batch_share.ledgers SET written = written + 1 WHERE id = :id")
            connection.execute(written, {"id": number})
            for statement in statements:
                connection.execute(text(statement), values)
        return
    with closing(sqlite3.connect(str(file))) as connection:
        for statement in statements:
            connection.execute(statement, values)
        connection.commit()


def _as_in_a_file(value: Any) -> Any:
    """A value as SQLite has it."""
    if isinstance(value, datetime):
        return value.isoformat(" ", "microseconds")
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def seen_in_words(file: Path | LedgerName, query: str) -> list[Any]:
    """The same; in a file rows have a reason and a notice too, in words for people."""
    if isinstance(file, StoredName):
        return seen_from_outside(file, query)
    with closing(sqlite3.connect(str(file))) as connection:
        connection.create_function("reason_of", 5, _reason)
        connection.create_function("notice_of", 2, _notice)
        connection.execute(
            "CREATE TEMP VIEW rows AS SELECT *, reason_of(state, stage, cause, details, sheet_row) AS reason, "
            "notice_of(notice_kind, notice_details) AS notice FROM main.rows"
        )
        return connection.execute(query).fetchall()


def _reason(state: str, stage: str | None, cause: str | None, details: str | None, sheet_row: int) -> str | None:
    why = why_of(cause, json.loads(details or "{}"))
    return spell(State(state), Stage(stage) if stage else None, why, sheet_row) or None


def _notice(kind: str | None, details: str | None) -> str | None:
    return spell_notice(Why(Cause(kind), json.loads(details or "{}"))) if kind else None
