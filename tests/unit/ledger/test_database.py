"""The database beneath: safety settings, and writing in groups without one write spoiling another's."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from contextlib import asynccontextmanager, closing
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import pytest
from ledgers import seen_from_outside
from sqlalchemy import bindparam, create_engine, event, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from batch_share.common import utc_now
from batch_share.errors import LedgerError
from batch_share.ledger import schema
from batch_share.ledger.database import Database, connect, create_private, explain, prepare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    Operation = Callable[[Connection], int]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "notes.db"


@asynccontextmanager
async def opened(file: Path) -> AsyncIterator[tuple[Database, Engine]]:
    """A database with a table of numbers, each of which may be there once."""
    engine = connect(file)
    database = Database(engine, file)
    await database.write(lambda connection: connection.execute(text("create table notes (n integer unique)")))
    try:
        yield database, engine
    finally:
        await database.close()


def note(number: int, then: Exception | None = None) -> Operation:
    """An operation that writes `number`, and raises `then` after it has."""

    def operation(connection: Connection) -> int:
        connection.execute(text("insert into notes values (:n)"), {"n": number})
        if then is not None:
            raise then
        return number

    return operation


def noted(file: Path) -> list[int]:
    return [number for (number,) in seen_from_outside(file, "select n from notes order by rowid")]


# ----------------------------------------------------------------------------------------------- connecting


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("busy_timeout", 10000),
        ("wal_autocheckpoint", 1),
    ],
)
def test_every_connection_puts_safety_before_speed(file: Path, pragma: str, value: object) -> None:
    engine = connect(file)
    with engine.connect() as first, engine.connect() as second:
        for connection in (first, second):
            assert connection.execute(text(f"pragma {pragma}")).scalar() == value
    engine.dispose()


def test_a_file_is_made_for_its_owner_alone_and_one_that_is_there_stays(file: Path) -> None:
    create_private(file)
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("something")
    create_private(file)
    assert file.read_text() == "something"


def test_a_file_that_cannot_be_made_is_reported(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(LedgerError, match=r"can't be created \(No space left on device\)"):
            create_private(file)


async def test_a_write_that_begins_by_reading_holds_others_off_from_its_start(file: Path) -> None:
    """Else it would fail where another process, a report, had written between its reading and its writing."""

    def read_then_write(connection: Connection) -> None:
        connection.execute(text("select n from notes")).all()
        with pytest.raises(sqlite3.OperationalError, match="locked"), closing(sqlite3.connect(file, 0)) as other:
            other.execute("insert into notes values (1)")
        connection.execute(text("insert into notes values (2)"))

    async with opened(file) as (database, _):
        await database.write(read_then_write)
    assert noted(file) == [2]


async def test_tables_that_could_not_all_be_made_are_not_made_at_all(file: Path) -> None:
    """Else a process killed at its start would leave a ledger that nobody can open."""
    database = Database(connect(file), file)
    facts: dict[str, Any] = {"job": None}
    with pytest.raises(LedgerError):
        await database.write(lambda connection: prepare(connection, file, facts))
    await database.close()
    assert seen_from_outside(file, "select name from sqlite_master") == []


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        ("file is not a database", "this file is no ledger, or a damaged one (file is not a database)"),
        ("database disk image is malformed", "this file is no ledger, or a damaged one (database disk image"),
        ("disk I/O error\nand more", "it can't be read or written (disk I/O error). Every call that had left"),
    ],
)
def test_a_databases_error_is_reported_in_words_for_a_person(file: Path, words: str, reported: str) -> None:
    assert explain(file, SQLAlchemyError(words)).wrong.startswith(reported)


def test_of_a_ledger_that_is_damaged_it_is_said_how_its_job_goes_on(file: Path) -> None:
    said = explain(file, SQLAlchemyError("database disk image is malformed")).wrong
    assert "put a copy of it in its place and `resume` that with --recover, which repeats nothing" in said


# -------------------------------------------------------------------------------------------------- writing


async def test_what_was_done_is_committed_when_do_returns(file: Path) -> None:
    async with opened(file) as (database, _):
        assert await database.write(note(7)) == 7
        assert noted(file) == [7]


async def test_many_at_once_are_few_transactions_and_in_order(file: Path) -> None:
    async with opened(file) as (database, engine):
        commits: list[object] = []
        event.listen(engine, "commit", commits.append)
        results = await asyncio.gather(*(database.write(note(number)) for number in range(100)))
        assert results == noted(file) == list(range(100))
        assert len(commits) <= 2


async def test_one_that_fails_is_undone_and_fails_its_own_caller_only(file: Path) -> None:
    async with opened(file) as (database, _):
        wanted = [note(1), note(2, KeyError("two")), note(1), note(3)]
        results = await asyncio.gather(*map(database.write, wanted), return_exceptions=True)
        assert results[0] == 1
        assert isinstance(results[1], KeyError)
        assert isinstance(results[2], LedgerError), "a row that is there already"
        assert results[3] == 3
        assert noted(file) == [1, 3]


async def test_a_row_that_is_there_already_fails_its_own_caller_only(file: Path) -> None:
    async with opened(file) as (database, _):
        writes = (database.write(note(number)) for number in (1, 2, 1, 3))
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(each) for each in results] == [int, int, LedgerError, int]
        assert noted(file) == [1, 2, 3]


async def test_a_full_disk_fails_every_write_of_its_group_and_none_is_half_done(file: Path) -> None:
    async with opened(file) as (database, _):
        results = await asyncio.gather(
            database.write(note(1)), database.write(fills_up), database.write(note(2)), return_exceptions=True
        )
        assert all(isinstance(each, LedgerError) and "full" in each.wrong for each in results), results
        assert noted(file) == []


def fills_up(connection: Connection) -> None:
    """What a full disk looks like to SQLite: the file may not grow, and something large is written."""
    pages = connection.execute(text("pragma page_count")).scalar()
    connection.execute(text(f"pragma max_page_count = {pages}"))
    connection.execute(text("create table large as select zeroblob(1000000)"))


def next_of(numbers: Iterator[int]) -> Operation:
    """An operation that uses up what it was given."""

    def operation(connection: Connection) -> int:
        return note(next(numbers))(connection)

    return operation


async def test_one_that_can_be_run_but_once_is_run_but_once(file: Path) -> None:
    """Its neighbours may fail, and what shared their transaction is done again."""
    numbers = iter([2])
    async with opened(file) as (database, _):
        once = database.write(next_of(numbers), alone=True)
        wanted = [database.write(note(1, KeyError("one"))), once, database.write(note(3, KeyError("three")))]
        results = await asyncio.gather(*wanted, return_exceptions=True)
        assert [type(each) for each in results] == [KeyError, int, KeyError]
        assert noted(file) == [2]


async def test_the_writer_goes_on_after_a_failure(file: Path) -> None:
    async with opened(file) as (database, _):
        with pytest.raises(LedgerError):
            await database.write(lambda connection: connection.execute(text("this is no SQL")))
        assert await database.write(note(1)) == 1


async def test_what_a_cancelled_caller_asked_for_is_still_committed(file: Path) -> None:
    async with opened(file) as (database, _):
        asked = asyncio.ensure_future(database.write(note(1)))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    assert noted(file) == [1]


async def test_a_failure_that_nobody_waits_for_any_more_is_no_noise(file: Path) -> None:
    """Warnings are errors here, and asyncio's complaint about an error nobody read would be a logged one."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with opened(file) as (database, _):
        asked = asyncio.ensure_future(database.write(note(1, KeyError("one"))))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    assert complaints == []


async def test_closing_waits_for_what_was_asked_for(file: Path) -> None:
    async with opened(file) as (database, _):
        asked = [asyncio.ensure_future(database.write(note(number))) for number in range(10)]
        await asyncio.sleep(0)
    assert noted(file) == list(range(10))
    await asyncio.gather(*asked)


def count(connection: Connection) -> int:
    """How many numbers are noted."""
    return int(connection.scalar(text("select count(*) from notes")) or 0)


async def test_what_is_to_be_read_meanwhile_is_read_together_and_sees_what_was_written_before(file: Path) -> None:
    async with opened(file) as (database, engine):
        begun: list[object] = []
        await database.write(note(1))
        event.listen(engine, "begin", begun.append)
        assert await asyncio.gather(*(database.read(count) for _ in range(100))) == [1] * 100
        assert len(begun) == 2, "the first, and all others after it"
        await database.write(note(2))
        assert await database.read(count) == 2


async def test_a_reading_that_fails_fails_its_own_caller_only(file: Path) -> None:
    def wrong(connection: Connection) -> int:
        return len(connection.execute(text("select nothing from nowhere")).all())

    def odd(_: Connection) -> int:
        raise KeyError("odd")

    async with opened(file) as (database, _):
        wanted = (count, wrong, odd, count)
        first, *results = await asyncio.gather(*map(database.read, (count, *wanted)), return_exceptions=True)
        assert (first, results[0], results[3]) == (0, 0, 0)
        assert isinstance(results[1], LedgerError)
        assert isinstance(results[2], KeyError)


async def test_closing_waits_for_what_is_to_be_read(file: Path) -> None:
    async with opened(file) as (database, _):
        await database.write(note(1))
        asked = [asyncio.create_task(database.read(count)) for _ in range(3)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*asked) == [1, 1, 1]


async def test_a_reader_that_is_cancelled_disturbs_no_other(file: Path) -> None:
    async with opened(file) as (database, _):
        asked = [asyncio.create_task(database.read(count)) for _ in range(3)]
        await asyncio.sleep(0)
        asked[1].cancel()
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert (results[0], results[2]) == (0, 0)
        assert isinstance(results[1], asyncio.CancelledError)


# ------------------------------------------------------------------------------------------------- being cut


class Cut:
    """Work on a database in a loop that ends, and cancels all that is left, while a write is being committed."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.is_written: list[str] = []
        self._is_cut = threading.Event()

    async def until_cut(self) -> None:
        loop, is_writing = asyncio.get_running_loop(), asyncio.Event()

        def slowly(connection: Connection) -> int:
            loop.call_soon_threadsafe(is_writing.set)
            self._is_cut.wait(10)
            return note(1)(connection)

        self._work = asyncio.create_task(self._write(slowly))
        await is_writing.wait()

    async def _write(self, slowly: Operation) -> None:
        async with opened(self.file) as (database, _):
            try:
                await database.write(slowly)
            finally:
                self._is_cut.set()
                async with asyncio.timeout(60):
                    await database.write(note(2))
                self.is_written.append("to the end")


def test_what_is_written_as_a_loop_ends_is_committed_and_waited_for(file: Path) -> None:
    """As asyncio.run ends: every task is cancelled at once, one that commits for the others too."""
    cut = Cut(file)
    asyncio.run(cut.until_cut())
    assert (cut.is_written, noted(file)) == (["to the end"], [1, 2])


async def test_what_waits_when_a_database_is_cut_off_is_reported_and_never_written(file: Path) -> None:
    loop, is_writing, may_write = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def slowly(connection: Connection) -> int:
        loop.call_soon_threadsafe(is_writing.set)
        may_write.wait(10)
        return note(1)(connection)

    async with opened(file):
        engine = connect(file)
    database = Database(engine, file)
    first = asyncio.ensure_future(database.write(slowly))
    await is_writing.wait()
    second = asyncio.ensure_future(database.write(note(2)))
    closing = asyncio.create_task(database.close())
    await asyncio.sleep(0)
    may_write.set()
    closing.cancel()
    ended = await asyncio.gather(closing, first, second, return_exceptions=True)
    engine.dispose()
    assert [type(each) for each in ended] == [asyncio.CancelledError, int, asyncio.CancelledError]
    assert noted(file) == [1]


async def test_where_no_thread_is_left_nothing_is_begun(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    with pytest.raises(LedgerError, match="end some of what else runs"):
        Database(connect(file), file)


async def test_what_is_asked_of_one_that_is_closed_is_refused(file: Path) -> None:
    async with opened(file) as (database, _):
        pass
    with pytest.raises(LedgerError, match="is closed"):
        await asyncio.wait_for(database.write(note(1)), 60)
    with pytest.raises(LedgerError, match="is closed"):
        await asyncio.wait_for(database.read(note(2)), 60)
    assert noted(file) == []


@pytest.mark.parametrize("paramstyle", ["qmark", "named"])
async def test_what_is_executed_for_every_call_is_written_as_sqlalchemy_writes_it(
    file: Path, paramstyle: Literal["qmark", "named"]
) -> None:
    """Other drivers than SQLite's take values by name."""
    database = Database(create_engine(f"sqlite:///{file}", paramstyle=paramstyle), file)
    asked = (select(schema.about.c.value).where(schema.about.c.name == bindparam("asked")), ("asked",))
    runs, at = schema.runs, utc_now()

    def work(connection: Connection) -> None:
        schema.metadata.create_all(connection)
        begun = {"command": "run", "version": "1", "settings": {"a": [1]}, "started_at": at}
        assert database.change(connection, insert(runs), begun | {"id": 7})
        assert database.change(connection, insert(schema.about), {"name": "job", "value": "j"})

    def ask(connection: Connection) -> tuple[Any, Any]:
        found = connection.execute(select(runs.c.id, runs.c.settings, runs.c.started_at, runs.c.ended_at)).one()
        return tuple(found), database.execute(connection, asked, [{"asked": "job"}]).scalars().all()

    await database.write(work)
    assert await database.read(ask) == ((7, {"a": [1]}, at, None), ["j"])
    ended = update(runs).where(runs.c.id == bindparam("run"), runs.c.command == "run")
    for run, there in ((7, True), (8, False)):
        change = partial(database.change, statement=ended, values={"run": run, "ended_at": at})
        assert await database.write(change) == there
    await database.close()
