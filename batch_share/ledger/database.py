"""Opening a ledger's database, and working on it from one thread, writes in groups.

SQLite by default, in WAL mode with synchronous=FULL: what is committed survives the power going out. Most of what a
call costs the ledger is the way into the database, once for each statement: so alike changes of single rows are
gathered and run together, at the end of their group.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import URL, create_engine, event, insert, inspect, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.sql.compiler import SQLCompiler

from batch_share.common import utc_now
from batch_share.errors import LedgerError, LedgerMoved, LedgerTooNew, NoLedger
from batch_share.ledger import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection, CursorResult, Engine, Insert, Select, Update

    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.postgres import Held

    Operation = Callable[[Connection], Any]
    Values = Mapping[str, Any]
    Kind = tuple[Insert | Update | Select[Any], tuple[str, ...]]  # with the names of the values that it is given
    _Place = tuple[str, Any, Callable[[Any], Any] | None]  # a name, the value if none is given, how it is written

T = TypeVar("T")

_COUNTED: Final = {"preserve_rowcount": True}


class NotAsExpected(Exception):
    """Some of the changes met no row. Which ones shows when they are made one by one."""


MOVED_TO: Final = "moved_to"
"""The fact that says where a ledger is now that nobody may work on any more."""

COPY_OF: Final = "copy_of"
"""The fact that says of what a ledger is a copy: nobody may work on it before that says that it was moved here."""

PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "wal_autocheckpoint=1",  # all of it is in the one file that people copy, also after a crash
    "foreign_keys=ON",
    "busy_timeout=10000",
)


def connect(file: Path) -> Engine:
    """An engine on the SQLite file `file`, every connection set up for safety before speed. Opens nothing yet."""
    engine = create_engine(URL.create("sqlite", database=str(file)))  # no name of a file is ever decoded

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def create_private(file: Path) -> None:
    """Create an empty file that only its owner can read, before SQLite would make one that anybody can.

    Where a link leads to no file yet, it is that file.
    """
    try:
        os.close(os.open(os.path.realpath(file), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise LedgerError(file, f"can't be created ({error.strerror})") from None


def prepare(connection: Connection, ledger: LedgerName | Path, facts: dict[str, str] | None) -> None:
    """Make the tables of a new ledger, bring an older one up to date, refuse a newer one or a stranger.

    Without `facts` no ledger is made: an empty file is refused.
    """
    is_file = connection.dialect.name == "sqlite"
    facts_there = select(schema.about.c.name)
    there = inspect(connection).get_table_names() if is_file else connection.scalars(facts_there).all()
    if facts is not None and not there:
        if is_file:  # in a store the tables of all ledgers are there
            schema.metadata.create_all(connection)
        facts = facts | {"schema_version": str(schema.VERSION)}
        connection.execute(insert(schema.about), [{"name": name, "value": facts[name]} for name in facts])
        return
    version = check_version(connection, ledger)
    for since in range(version, schema.VERSION):
        if since not in schema.UPGRADES:
            raise LedgerError(ledger, f"its schema version {version} is not one that can be upgraded")
        for step in schema.UPGRADES[since]:
            if isinstance(step, str):
                connection.exec_driver_sql(step)
            else:
                step(connection)
    if version < schema.VERSION:
        in_force = update(schema.about).where(schema.about.c.name == "schema_version")
        connection.execute(in_force.values(value=str(schema.VERSION)))


def check_version(connection: Connection, ledger: LedgerName | Path) -> int:
    """The ledger's schema version.

    Raises LedgerTooNew for one from the future, LedgerMoved for one that is elsewhere, NoLedger for a stranger.
    """
    about, facts = schema.about, dict[str, str]()
    is_file = connection.dialect.name == "sqlite"
    is_there = not is_file  # a store was looked at before
    if not is_there and about.name in (shape := inspect(connection)).get_table_names():
        # Other databases may have a table of this name, too.
        is_there = {each["name"] for each in shape.get_columns(about.name)} >= set(about.columns.keys())
    if is_there:
        asked = about.c.name.in_(("schema_version", MOVED_TO, COPY_OF))
        facts = {each.name: each.value for each in connection.execute(select(about).where(asked))}
    found = facts.get("schema_version")
    if not found or not found.isdecimal():
        stranger = NoLedger(ledger, "this is a database, but not a ledger of batch_share, or an empty one")
        stranger.is_empty = is_file and not inspect(connection).get_table_names()
        raise stranger
    version = int(found)
    if version > schema.VERSION:
        raise LedgerTooNew(
            ledger,
            f"it was written by a later version of batch_share (schema {version}, this one knows "
            f"{schema.VERSION}). Update batch_share and try again.",
        )
    if other := facts.get(MOVED_TO) or facts.get(COPY_OF):
        raise LedgerMoved(ledger, other, on_its_way=MOVED_TO not in facts)
    return version


def end_move(connection: Connection) -> None:
    """What was a copy is the ledger from now on."""
    connection.execute(schema.about.delete().where(schema.about.c.name == COPY_OF))


def explain(ledger: LedgerName | Path, error: SQLAlchemyError) -> LedgerError:
    """A database's error in one sentence, with what it means for the work."""
    if type(getattr(error, "orig", None)).__module__.startswith("psycopg"):
        from batch_share.ledger import postgres  # noqa: PLC0415 - it is there only where it is used

        return postgres.explain(ledger, error)
    problem = (str(getattr(error, "orig", None) or error).splitlines() or ["no reason given"])[0]
    if "not a database" in problem or "malformed" in problem:
        cure = "if it is one, put a copy of it in its place and `resume` that with --recover, which repeats nothing"
        return LedgerError(ledger, f"this file is no ledger, or a damaged one ({problem}): {cure}")
    if "unable to open" in problem:
        return LedgerError(ledger, f"it can't be opened ({problem})")
    return LedgerError(
        ledger,
        f"it can't be read or written ({problem}). Every call that had left is noted in it as an intent; "
        "fix this and run the same command again.",
        problem=f"The ledger can't be read or written: {problem}.",
        hint="Every call that had left is noted in it. Fix this and go on: nothing is sent twice.",
    )


class Database:
    """One database and the one thread that works on it, so that no call waits for a disk.

    Writes are made in order, everything that waits at a moment in one transaction. `write` returns when its
    operation is committed, so an intent is on disk before its call leaves.

    Raises LedgerError where no thread can be started.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: LedgerName | Path,
        held: Held | None = None,
        *,
        is_shared: bool = False,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.held = held  # the lock of one in a store, by the connection that works on it
        self.now = now  # of one that is looked at: the time by its store's clock, of a file by this machine's
        self._is_shared = is_shared  # others look at it by the same engine
        self._engine = engine
        self._is_file = engine.dialect.name == "sqlite"  # a store begins by itself, and knows a writer by this
        self._writing = engine if self._is_file else engine.execution_options(writes=True)
        self._ledger = ledger
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        try:  # now: later nobody could be told that the machine has no thread left, and whoever asked would wait
            self._thread.submit(bool)
        except RuntimeError as error:
            raise LedgerError(
                ledger,
                f"no thread could be started for it ({error}): end some of what else runs on this machine, "
                "and try again",
            ) from None
        self._waiting: deque[_Wish] = deque()
        self._to_read: list[_Wish] = []
        self._no_reads = asyncio.Event()
        self._no_reads.set()
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self._is_closed = False
        self._alike: dict[Kind, list[Values]] | None = None
        self._compiled: dict[Kind, tuple[str, list[_Place]]] = {}
        if held is not None:
            held.beat(self._thread)

    async def read(self, operation: Callable[[Connection], T]) -> T:
        """Run `operation`, which changes nothing. Raises LedgerError.

        What is asked for while others are read waits and goes with its like: the way into the thread and back costs
        more than most that is read there.
        """
        if self._is_closed:
            raise LedgerError(self._ledger, "it is closed already")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._to_read.append(_Wish(operation, done, alone=False))
        if self._no_reads.is_set():
            self._read_next()
        return await done

    def write(self, operation: Callable[[Connection], T], *, alone: bool = False) -> asyncio.Future[T]:
        """Run `operation` in a transaction and commit it. If it raises, nothing of it was done, and it alone.

        It may be run twice, should another of its group fail; `alone` for one that can be run but once. Raises
        LedgerError too where the transaction fails as a whole. A caller that is cancelled meanwhile does not undo
        it: what is known gets written.
        """
        if self._is_closed:  # else whoever comes too late would wait for ever
            raise LedgerError(self._ledger, "it is closed already")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Wish(operation, done, alone))
        if self._at_rest.is_set():
            self._at_rest.clear()
            loop.call_soon(self._commit_next)  # soon: whatever else is asked for in this turn goes with it
        return done

    async def close(self) -> None:
        """Wait until everything that was asked for is committed or has failed, and close the file."""
        try:
            await self._at_rest.wait()
            await self._no_reads.wait()
            self._is_closed = True
            if not self._is_shared:
                leave = self.held.close if self.held is not None else self._engine.dispose
                await asyncio.get_running_loop().run_in_executor(self._thread, leave)
        finally:
            # Also when it is cut: whoever opens the ledger next must find nobody writing.
            self._is_closed = True
            self._thread.shutdown(wait=True)
            for wish in (*self._waiting, *self._to_read):  # of those that were cut off with it, nothing is done
                wish.done.cancel()
            self._waiting.clear()
            self._to_read.clear()

    # Callbacks, not a task: a loop that ends cancels every task, and whoever waits for a write would wait for ever.
    def _commit_next(self) -> None:
        group: list[_Wish] = []  # what waits now, up to the next that is to be alone
        while self._waiting and not (group and (group[0].alone or self._waiting[0].alone)):
            group.append(self._waiting.popleft())
        if not group:
            self._at_rest.set()
            return
        operations = [wish.operation for wish in group]
        committed = asyncio.get_running_loop().run_in_executor(self._thread, self._commit, operations)
        committed.add_done_callback(partial(self._ended, group, self._commit_next))

    def _read_next(self) -> None:
        group, self._to_read = self._to_read, []
        if not group:
            self._no_reads.set()
            return
        operations = [wish.operation for wish in group]
        read = asyncio.get_running_loop().run_in_executor(self._thread, self._read, operations)
        self._no_reads.clear()
        read.add_done_callback(partial(self._ended, group, self._read_next))

    def _ended(self, group: Sequence[_Wish], go_on: Callable[[], None], ended: asyncio.Future[list[Any]]) -> None:
        for wish, ending in zip(group, ended.result(), strict=True):
            if wish.done.cancelled():  # its caller is gone
                continue
            if isinstance(ending, NotDone):
                wish.done.set_exception(ending.error)
            else:
                wish.done.set_result(ending)
        go_on()

    # ------------------------------------------------------------------------------------------ in the thread

    def change(self, connection: Connection, statement: Insert | Update, values: Mapping[str, Any]) -> bool:
        """For an operation of `write`, not one that is `alone`: add a row, or change one; whether there was one.

        Its like in the group are run with it. Where one of them finds nothing to change, everything is run again,
        one by one, so that what is said here is right in the end.
        """
        if self._alike is None:
            return self._run(connection, (statement, tuple(values)), [values])
        self._alike.setdefault((statement, tuple(values)), []).append(values)
        return True

    def _read(self, operations: Sequence[Operation]) -> list[Any]:
        """Each operation's result, or NotDone."""
        endings: list[Any] = []
        try:
            with self._engine.connect() as connection:
                if self._is_file:
                    connection.exec_driver_sql("BEGIN")  # all of the group sees the same
                for operation in operations:
                    try:
                        endings.append(operation(connection))
                    except SQLAlchemyError as error:
                        endings.append(NotDone(explain(self._ledger, error)))
                    except Exception as error:
                        endings.append(NotDone(error))
        except SQLAlchemyError as error:  # there is no connection, or none any more
            endings += [NotDone(explain(self._ledger, error))] * (len(operations) - len(endings))
        return endings

    def _commit(self, operations: Sequence[Operation]) -> list[Any]:
        """Each operation's result, or NotDone: all in one transaction, or each in its own if one of them fails."""
        try:
            return self._transact(operations, together=True)
        except SQLAlchemyError as error:
            # Not one row's trouble but the database's: nothing of the group was done, and nothing more is tried.
            if len(operations) == 1 or not isinstance(error, IntegrityError):
                return [NotDone(explain(self._ledger, error))] * len(operations)
        except NotAsExpected:
            pass
        except Exception as error:
            if len(operations) == 1:
                return [NotDone(error)]
        endings: list[Any] = []
        for operation in operations:
            try:
                endings += self._transact([operation], together=False)
            except SQLAlchemyError as error:
                endings.append(NotDone(explain(self._ledger, error)))
            except Exception as error:
                endings.append(NotDone(error))
        return endings

    def _transact(self, operations: Sequence[Operation], *, together: bool) -> list[Any]:
        """What they return. Raises NotAsExpected if a change that was gathered met no row."""
        self._alike = {} if together else None
        with self._writing.begin() as connection:
            # The driver begins only before a row is written: tables would be committed one by one. A writer begins
            # as one: where it became one later, it would fail if another process (a report) had written meanwhile.
            # Not by an event of the engine's: once it has one, each statement asks for listeners in vain.
            if self._is_file:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            endings = [operation(connection) for operation in operations]
            for kind, values in (self._alike or {}).items():
                if not self._run(connection, kind, values):
                    raise NotAsExpected
            return endings

    def _run(self, connection: Connection, kind: Kind, many: Sequence[Values]) -> bool:
        """Whether each of the changes, which are of one kind, met a row."""
        changed = self.execute(connection, kind, many)
        return kind[0].is_insert or changed.rowcount == len(many)

    def execute(self, connection: Connection, kind: Kind, many: Sequence[Values]) -> CursorResult[Any]:
        """For what is executed for every call: a statement, with values that have the same names each time.

        It is compiled once. SQLAlchemy would look anew at the statement and at each value, which takes it longer
        than the database takes. What is found is as the driver gives it.
        """
        dialect = connection.dialect
        if kind not in self._compiled:
            made = kind[0].compile(dialect=dialect, column_keys=kind[1], for_executemany=True)
            assert isinstance(made, SQLCompiler)  # noqa: S101 - whatever is executed is one
            places: list[_Place] = []
            types = {name: each.type for each, name in made.bind_names.items()}
            for name in made.positiontup or types:
                written = types[name].dialect_impl(dialect).bind_processor(dialect)
                places.append((name, made.params[name], written))
            self._compiled[kind] = str(made), places
        sql, places = self._compiled[kind]
        rows: list[Any] = [
            tuple([write(each.get(name, none)) if write else each.get(name, none) for name, none, write in places])
            for each in many
        ]
        if not dialect.positional:
            rows = [dict(zip((name for name, _, _ in places), row, strict=True)) for row in rows]
        return connection.exec_driver_sql(sql, rows if len(rows) > 1 else rows[0], _COUNTED)


@dataclass(frozen=True, slots=True)
class _Wish:
    """An operation that waits to be committed, and whoever waits for it."""

    operation: Operation
    done: asyncio.Future[Any]
    alone: bool


@dataclass(frozen=True, slots=True)
class NotDone:
    """How an operation ended that changed nothing."""

    error: Exception
