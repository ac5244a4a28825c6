"""Ledgers in a store, which is a database of PostgreSQL: its tables, its connections, its locks.

All ledgers have their rows in the same tables, each with the number of its ledger. What is asked of a ledger is
asked of views, which show the rows of the one ledger that the transaction has set: so the statements for a ledger
in a file are good for it too. Where none is set, an error comes of it, and not everybody's rows.

Whoever works on a ledger does so by one connection that holds its lock. The server ends a connection that has been
silent for a `LEASE`, and with it the lock: another may work on it then. So a connection that is lost is never made
anew, and no call leaves unless the server has just been heard.
"""

from __future__ import annotations

import atexit
import os
import platform
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sqlalchemy import (
    JSON,
    URL,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    insert,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from batch_share.common import boot_time
from batch_share.errors import (
    CAN_T_BE_USED,
    GIVEN_UP,
    IN_USE,
    NO_DRIVER,
    NO_TABLES,
    STORE_MEANINGS,
    WAIT,
    LedgerError,
    LedgerLocked,
    LedgerTooNew,
    SettingsError,
    StoreTrouble,
)
from batch_share.ledger import schema
from batch_share.ledger.database import Database
from batch_share.ledger.files import LedgerName
from batch_share.outputs import check_apart
from batch_share.settings import STORES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor
    from datetime import datetime

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import ExceptionContext

    from batch_share.outputs import Named

OLDEST: Final = 14
"""The first version of PostgreSQL that ends a connection which is idle for too long."""

LEASE: Final = 4.0
"""Seconds of silence after which the server takes a lock away: less than a person waits for, and more than a
machine under load is held up by."""

HEARD_WITHIN: Final = 0.75 * LEASE
"""A call may leave if the server was heard so many seconds ago: what is left of the lease is for the way there."""

LOCKS: Final = 0x62_73_68
"""Of ledgers, each with its number: "bsh", beside whatever else the database has locks of."""

_BEAT: Final = LEASE / 4
_CONNECT_SECONDS: Final = 10
_PATIENCE: Final = 30  # seconds that a statement may take: 100,000 rows are taken in by many
WORKERS: Final = LOCKS + 2  # between them are those of accounts
SERVED: Final = LOCKS + 3
"""Of accounts that workers have the keys of, each by the hash of its name: shared by all of them."""

_SCHEMA, _VIEWS, ENGINE = "batch_share", "batch_share_ledger", "batch_share_engine"
_LIVES: Final = {"keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 2, "tcp_user_timeout": 4000}

_LOST: Final = {"57P01", "57P02", "57P03", "57P05", "25P03", "08003", "08006"}

WAS_SENT: Final = "state NOT IN ('pending', 'invalid', 'skipped')"
"""Rows that are in the index of leads. Who asks for them says it in these words: else it would not be used."""

_SET: Final = text("current_setting('bs.ledger')::integer")


def _tables() -> MetaData:
    """The tables of all ledgers: those of one, each row with the number of its ledger."""
    made = MetaData(schema=_SCHEMA)
    # Of the engine's tables, in a schema of their own, its last migration that they have; null: there are none.
    Table("store", made, Column("version", Integer, nullable=False), Column("engine", Text))
    Table(
        "ledgers",
        made,
        Column("id", Integer, Identity(), primary_key=True),
        Column("name", Text(collation="C"), nullable=False),
        Column("written", BigInteger, nullable=False, server_default="0"),  # how many times anything was
        Column("forgotten_at", DateTime),  # somebody said that nobody will finish it
        Column("purged_at", DateTime, index=True),  # only its runs are left, and its name is free
        Index("ledgers_by_name", "name", unique=True, postgresql_where=text("purged_at IS NULL")),
    )
    moment = DateTime(timezone=True)
    Table(
        "accounts",
        made,
        Column("id", Integer, Identity(), primary_key=True),
        Column("name", Text(collation="C"), nullable=False, unique=True),
        Column("host", Text),
        *(Column(name, Text) for name in ("known", "holder", "command")),
        Column("process", Integer),
        *(Column(name, moment) for name in ("called", "since")),
    )
    for table in schema.metadata.sorted_tables:
        its = Column("ledger", Integer, primary_key=True, autoincrement=False, server_default=_SET)
        parts: list[Any] = [its]
        for column in table.columns:
            default: Any = column.server_default
            # As long as in a file, and sorted as there: by their bytes.
            kind = Text(collation="C") if isinstance(column.type, String) else column.type
            parts.append(
                Column(
                    column.name,
                    kind,
                    primary_key=column.primary_key,
                    nullable=column.nullable,
                    autoincrement=False,
                    server_default=default.arg if default is not None else None,
                )
            )
            for key in column.foreign_keys:
                there = key.column.table.name
                theirs = [f"{_SCHEMA}.{there}.ledger", f"{_SCHEMA}.{there}.{key.column.name}"]
                parts.append(ForeignKeyConstraint(["ledger", column.name], theirs))
            if column.unique:
                parts.append(UniqueConstraint("ledger", column.name))
        parts += (Index(each.name, "ledger", *(one.name for one in each.columns)) for each in table.indexes)
        if table is schema.runs:  # what is told of it when its rows are others, or are purged
            parts += Column("counts", JSON(none_as_null=True)), Column("sheet", Text)
        elif table is schema.rows:  # who has what is asked of all ledgers
            parts.append(Index("rows_by_lead", "lead_id", postgresql_where=text(WAS_SENT)))
        Table(table.name, made, *parts)
    _add_queue(made)
    return made


def _add_queue(made: MetaData) -> None:
    """The tables of what workers are to do, and when: none of a ledger's own, and no key is in any of them.

    A job is `queued`, `running`, `ended` or `cancelled`. A `worker` has it as long as the lock of that number is
    held. Whoever sees trouble that may pass lets it rest.
    """
    moment, now_ = DateTime(timezone=True), text("now()")
    Sequence("workers", metadata=made)  # each that begins takes the next number
    Table(
        "stored_sheets",
        made,
        Column("id", Integer, Identity(), primary_key=True),
        Column("ledger", Text(collation="C"), nullable=False, index=True),
        Column("name", Text, nullable=False),
        Column("bytes", LargeBinary, nullable=False),
        Column("stored", moment, nullable=False, server_default=now_),
    )
    jobs = Table(
        "jobs",
        made,
        Column("id", Integer, Identity(), primary_key=True),
        Column("ledger", Text(collation="C"), nullable=False, index=True),
        Column("account", Text(collation="C"), nullable=False),
        Column("kind", Text, nullable=False),
        Column("options", JSON, nullable=False),
        Column("approved", JSON(none_as_null=True)),
        Column("sheet", Integer, ForeignKey(f"{_SCHEMA}.stored_sheets.id", ondelete="SET NULL")),
        Column("schedule", Text),
        Column("submitted_by", Text, nullable=False),
        Column("submitted", moment, nullable=False, server_default=now_),
        Column("due", moment, nullable=False, server_default=now_),
        Column("state", Text, nullable=False, server_default="queued"),
        *(Column(name, Boolean, nullable=False, server_default="false") for name in ("stop", "cut")),
        Column("worker", Integer),
        Column("host", Text),
        Column("began", moment),
        Column("ended", moment),
        Column("exit_code", Integer),
        Column("error", Text),
        Column("rested", Integer, nullable=False, server_default="0"),  # seconds, the last time
        Column("rests_until", moment),
        Column("progress", JSON(none_as_null=True)),
    )
    Index("jobs_open", jobs.c.account, postgresql_where=text("state IN ('queued', 'running')"))
    Table(
        "schedules",
        made,
        Column("name", Text(collation="C"), primary_key=True),
        Column("account", Text(collation="C"), nullable=False),
        Column("options", JSON, nullable=False),
        Column("cron", Text, nullable=False),
        Column("zone", Text, nullable=False),
        Column("next", moment, nullable=False),
        Column("last", moment),
        Column("dropped", Integer, nullable=False, server_default="0"),
        Column("paused", Boolean, nullable=False, server_default="false"),
        Column("missed", moment),
    )


_METADATA: Final = _tables()
_LEDGERS, _STORE = _METADATA.tables[f"{_SCHEMA}.ledgers"], _METADATA.tables[f"{_SCHEMA}.store"]
_FOUND: Final = text(
    "SELECT id, written, EXISTS (SELECT FROM batch_share.about WHERE ledger = id) AS begun "
    "FROM batch_share.ledgers WHERE name = :name AND purged_at IS NULL"
)

now = boot_time

_PURGED_AT_ONCE: Final = 10_000
"""Rows that are deleted by one statement: the server is heard in between, long before the lease is over."""

_PURGED: Final = (
    f"UPDATE {_SCHEMA}.runs SET settings = '{{}}' WHERE ledger = :id",  # noqa: S608
    f"DELETE FROM {_SCHEMA}.stored_sheets WHERE ledger = (SELECT name FROM {_SCHEMA}.ledgers WHERE id = :id)",  # noqa: S608
    f"UPDATE {_SCHEMA}.ledgers SET purged_at = :at WHERE id = :id",  # noqa: S608
)
_LEFT: Final = f"""
SELECT id FROM {_SCHEMA}.ledgers WHERE purged_at IS NOT NULL AND EXISTS (
SELECT FROM {_SCHEMA}.about WHERE ledger = id AND name NOT IN ('job', 'host'))"""  # noqa: S608


_SECRET: Final = ("password", "sslpassword")
_URLS: Final[dict[str, URL]] = {}
"""Of each store that was named with a password, its URL: it has none where a ledger in it is named elsewhere."""


@dataclass(frozen=True, slots=True)
class Store:
    """A database of ledgers, called by its URL without a password. Make one with `Store.of`."""

    _name: str

    @classmethod
    def of(cls, url: str) -> Store:
        """The store at this URL. Raises SettingsError, which quotes nothing of it."""
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            parsed = None
        if parsed is None or not url.startswith(STORES) or not parsed.database:
            raise SettingsError(
                "store", "is no URL like postgresql://user@host/database", problem="The store's URL is none."
            )
        shown = parsed._replace(drivername="postgresql", password=None).difference_update_query(_SECRET)
        name = shown.render_as_string()
        if parsed.password is not None or not parsed.query.keys().isdisjoint(_SECRET):
            _URLS[name] = parsed
        return cls(name)

    def __str__(self) -> str:
        return self._name

    def conninfo(self) -> str:
        """What libpq connects by, with the password."""
        return _URLS.get(self._name, make_url(self._name)).render_as_string(hide_password=False)

    def connect(self, *, lease: bool = False, **pool: Any) -> Engine:
        """An engine on it; with a `lease` its connections are ended that are silent for longer."""
        options = {"search_path": _VIEWS, "statement_timeout": f"{_PATIENCE}s"}
        if lease:
            silence = f"{int(1000 * LEASE)}ms"
            options |= {"idle_session_timeout": silence, "idle_in_transaction_session_timeout": silence}
        given: dict[str, Any] = {
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
            "application_name": f"batch-share {platform.node()}:{os.getpid()}",
            "connect_timeout": _CONNECT_SECONDS,
        }
        try:
            url = _URLS.get(self._name, make_url(self._name)).set(drivername="postgresql+psycopg")
            engine = create_engine(url, connect_args={**given, **_LIVES}, hide_parameters=True, **pool)
        except ModuleNotFoundError:
            raise SettingsError("store", NO_DRIVER) from None

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            options = connection.get_execution_options()
            if (ledger := options.get("ledger")) is None:
                return
            # One writes at a time, as in a file: the others wait for the row. What is read is of one moment.
            first = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
            if options.get("writes"):
                first = f"UPDATE {_SCHEMA}.ledgers SET written = written + 1 WHERE id = {ledger:d}"  # noqa: S608
            connection.exec_driver_sql(f"{first}; SELECT set_config('bs.ledger', '{ledger:d}', true)")

        return engine

    @contextmanager
    def looking(self) -> Iterator[Connection]:
        """A connection to look something up by, or to change something that is no ledger's. Raises LedgerError."""
        try:
            with shared(self).begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise explain(self, error) from None

    def clock(self) -> Callable[[], datetime]:
        """What tells the time by its clock. Raises LedgerError."""
        with self.looking() as connection:
            return clock_by(connection)

    def init(self) -> bool:
        """Make the tables where there are none; whether there were none. Raises LedgerError."""
        with self.looking() as connection:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCKS})"))  # of two that do it at once
            if connection.scalar(text(f"SELECT to_regclass('{_SCHEMA}.store')")) is not None:
                return False
            for name in (_SCHEMA, _VIEWS):
                connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {name}"))
            _METADATA.create_all(connection)
            for table in schema.metadata.sorted_tables:
                columns = ", ".join(f'"{column.name}"' for column in table.columns)
                here = "WHERE ledger = current_setting('bs.ledger')::integer"
                shown = f"SELECT {columns} FROM {_SCHEMA}.{table.name} {here}"  # noqa: S608
                connection.execute(text(f"CREATE VIEW {_VIEWS}.{table.name} AS {shown}"))
            connection.execute(insert(_STORE).values(version=schema.VERSION))
            self.upgrade_engine(connection)
            return True

    def upgrade_engine(self, connection: Connection) -> None:
        """Make the tables of what wakes workers, or have it bring them up to what is installed of it; if it is."""
        with suppress(ModuleNotFoundError):
            from procrastinate.schema import SchemaManager  # noqa: PLC0415 - it takes long

            since = connection.scalar(select(_STORE.c.engine))
            migrations = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
            scripts = [each.read_text(encoding="utf-8") for each in migrations if each.name > (since or "")]
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {ENGINE}; SET LOCAL search_path = {ENGINE}")
            for script in scripts if since is not None else [SchemaManager.get_schema()]:
                # As it is: through SQLAlchemy each % in it would stand for a value.
                connection.connection.cursor().execute(script)
            connection.exec_driver_sql(f"SET LOCAL search_path = {_VIEWS}")
            if scripts:
                connection.execute(update(_STORE).values(engine=migrations[-1].name))

    def check_version(self, connection: Connection) -> None:
        """Raises LedgerError if its tables are none of this version's, or there are none."""
        there = connection.scalar(text(f"SELECT to_regclass('{_SCHEMA}.store')"))
        version = connection.scalar(select(_STORE.c.version)) if there is not None else None
        if version is None:
            raise LedgerError(self, NO_TABLES)
        if version > schema.VERSION:
            raise LedgerTooNew(
                self,
                f"its tables are of a later version of batch_share ({version}, this one knows {schema.VERSION}). "
                "Update batch_share and try again.",
            )
        if version < schema.VERSION:
            raise LedgerError(
                self,
                "its tables are of an earlier version: `batch-share store upgrade`",
                problem="The store's tables are of an earlier version.",
                hint="Whoever looks after the store is to upgrade it.",
            )


@cache
def shared(store: Store) -> Engine:
    """The one engine of this process by which it looks at a store: opening one takes longer than what it is for."""
    engine = store.connect(pool_size=3, pool_pre_ping=True)
    atexit.register(engine.dispose)  # else each of its connections would warn at the end
    return engine


@dataclass(frozen=True, slots=True)
class StoredName(LedgerName):
    """A ledger in a store: the store, and what the ledger is called there."""

    _file: Path = field(init=False, default=Path())  # it has none
    store: Store
    name: str
    in_store: ClassVar[bool] = True

    def __str__(self) -> str:
        return f"{self.store}#{self.name}"

    @property
    def short(self) -> str:
        """What it is called by somebody who knows where it is."""
        return self.name

    def resolved(self) -> LedgerName:
        """The same: it has one name, which is good everywhere."""
        return self

    absolute = resolved

    def now(self) -> datetime:
        """By the store's clock, which every job of its ledgers goes by. Raises LedgerError."""
        return self.store.clock()()

    def number(self, *, make: bool = False) -> int:
        """Its number in the store; it can be made. Raises LedgerError if it is not there."""
        with self.store.looking() as connection:
            self.store.check_version(connection)
            if make:
                made = text("INSERT INTO batch_share.ledgers (name) VALUES (:name) ON CONFLICT DO NOTHING")
                connection.execute(made, {"name": self.name})
            found = select(_LEDGERS.c.id).where(_LEDGERS.c.name == self.name, _LEDGERS.c.purged_at.is_(None))
            number: int | None = connection.scalar(found)
        if number is None:
            raise LedgerError(
                self,
                "there is no such ledger in the store. `batch-share run SHEET` makes one",
                problem="There is no such ledger.",
                hint="Running a sheet makes one.",
            )
        return number

    def check_exists(self) -> None:
        """Raises LedgerError where it is not there."""
        self.number()

    def size(self) -> int | None:
        """None if it is not there, 0 if a run was killed as it began, else 1. Raises LedgerError."""
        with self.store.looking() as connection:
            self.store.check_version(connection)
            found = connection.execute(_FOUND, {"name": self.name}).one_or_none()
            return int(found.begun) if found else None

    def beside(self, name: str) -> Path:
        """The file of this name in the current folder: a store has none."""
        return Path(name).absolute()

    def place(self) -> tuple[int, int] | None:
        """None: nobody can put it elsewhere while somebody works on it."""
        return None

    def stamp(self) -> str | None:
        """Another one whenever it was written; None if it is not there, or nobody can tell."""
        try:
            with self.store.looking() as connection:
                found = connection.execute(_FOUND, {"name": self.name}).one_or_none()
        except LedgerError:
            return None
        return f"{found.id} {found.written}" if found else None

    def files(self) -> list[Path]:
        """None: it is made of none."""
        return []

    def check_apart(self, *named: Named | None) -> None:
        """Raises SettingsError if two of these are one file."""
        check_apart(None, *named)

    @contextmanager
    def locked(self, patience: float = 0.2) -> Iterator[None]:
        """Hold its lock. Raises LedgerLocked while another process does, LedgerError."""
        with self._held(patience, make=False):
            yield

    @contextmanager
    def _held(self, patience: float, *, make: bool) -> Iterator[Held]:
        """Its lock, by the one connection that works on it."""
        held = Held(self.store, self, self.number(make=make))
        try:
            until = time.monotonic() + patience
            while not held.lock():
                if time.monotonic() > until:
                    raise LedgerLocked(self, f"{IN_USE} {WAIT}", problem=CAN_T_BE_USED)
                time.sleep(0.05)
            yield held
        finally:
            held.close()

    @contextmanager
    def working(self, *, make: bool) -> Iterator[Database]:
        """Hold its lock, and work on it; `make` it if it is not there. Raises as `locked`."""
        with self._held(0.2, make=make) as held:
            yield Database(held.engine, self, held)

    def purge(self, at: datetime) -> None:
        """Delete all of it but its runs, with their counts; its name is free then. Raises as `locked`."""
        with self._held(0.2, make=False) as held:
            try:
                held.purge(at)
            except SQLAlchemyError as error:
                raise explain(self, error) from None

    def database(self) -> Database:
        """What is looked at, whoever works on it. Raises LedgerError."""
        engine, clock = shared(self.store).execution_options(ledger=self.number()), self.store.clock()
        return Database(engine, self, is_shared=True, now=clock)


class Held:
    """The one connection that works on a ledger and holds its lock, as long as it is heard.

    Without the ledger's `number` it is of none, and for locks of accounts alone. `now` is there with the lock.
    """

    now: Callable[[], datetime]

    def __init__(self, store: Store, name: StoredName | Store, number: int | None = None) -> None:
        self._name, self._number = name, number
        self._opened = self._is_lost = False
        self._heard = self._asked = now()
        self._done = threading.Event()
        engine = store.connect(lease=True, pool_size=1, max_overflow=0)
        self._whole = engine
        self.engine = engine.execution_options(ledger=number)

        @event.listens_for(engine, "do_connect")
        def _connect_once(dialect: Any, *_given: Any) -> None:
            # SQLAlchemy makes a connection anew by itself, and the new one would work without the lock.
            if self._opened:
                self._is_lost = True
                raise dialect.dbapi.OperationalError(GIVEN_UP)
            self._opened = True

        @event.listens_for(engine, "before_cursor_execute")
        def _ask(*_given: Any) -> None:
            self._asked = now()

        @event.listens_for(engine, "after_cursor_execute")
        def _hear(*_given: Any) -> None:
            self._heard = self._asked  # the server was silent since no earlier than it was asked

        @event.listens_for(engine, "handle_error")
        def _fail(context: ExceptionContext) -> None:
            # The server gave the lock to others when it ended the connection, not a lease later.
            self._is_lost = self._is_lost or context.is_disconnect

    def lock(self) -> bool:
        """Try to have the lock. Raises LedgerError where nobody could be sure of it."""
        try:
            with self._whole.connect() as connection:
                has = try_lock(self._name, connection, LOCKS, self._number)
                self.now = clock_by(connection)
                return has
        except SQLAlchemyError as error:
            raise explain(self._name, error) from None

    def beat(self, thread: Executor) -> None:
        """From now on have the server hear of us, in the thread that works on the ledger."""

        def ask() -> None:
            if now() - self._heard > _BEAT / 2:
                with self._whole.connect() as connection:
                    connection.execute(text("SELECT 1"))

        def beat() -> None:
            with suppress(SQLAlchemyError, RuntimeError):  # it was lost, or closed
                while not self._done.wait(_BEAT):
                    thread.submit(ask).result()

        threading.Thread(target=beat, name="lease", daemon=True).start()

    def purge(self, at: datetime) -> None:
        """Delete all of the ledger but its runs, and what was left of others when their purge was cut off.

        First it has no name any more, so that nobody takes what is left of it for all there is.
        """
        with self._whole.connect() as connection:
            for statement in _PURGED:
                connection.execute(text(statement), {"id": self._number, "at": at})
            connection.commit()
            left = [each.id for each in connection.execute(text(_LEFT))]
            for table in reversed(schema.metadata.sorted_tables):  # a row comes after those that name it
                which = f"{_SCHEMA}.{table.name} WHERE ledger = :id"
                if table is schema.about:
                    which += " AND name NOT IN ('job', 'host')"  # by these a run is known
                page = f"SELECT ctid FROM {which} LIMIT {_PURGED_AT_ONCE}"  # noqa: S608
                delete = text(f"DELETE FROM {_SCHEMA}.{table.name} WHERE ctid = ANY(ARRAY({page}))")  # noqa: S608
                for number in left if table is not schema.runs else ():
                    while connection.execute(delete, {"id": number}).rowcount == _PURGED_AT_ONCE:
                        connection.commit()
            connection.commit()

    def is_sure(self) -> bool:
        """Whether the lock is held without doubt: a call may leave."""
        return not self._is_lost and now() - self._heard < HEARD_WITHIN

    def close(self) -> None:
        """Give the locks back, then the connection: when the server sees its end, only the server knows."""
        if self._opened and self.is_sure() and not self._done.is_set():
            with suppress(SQLAlchemyError), self._whole.connect() as connection:
                connection.execute(text("SELECT pg_advisory_unlock_all()"))
        self._done.set()
        self.engine.dispose()


def clock_by(connection: Connection) -> Callable[[], datetime]:
    """What tells the time, in UTC, by the store's clock as it is now and what passes: those of hosts may differ."""
    began: datetime = connection.execute(text("SELECT now() AT TIME ZONE 'UTC'")).scalar_one()
    at = now()
    return lambda: began + timedelta(seconds=now() - at)


def try_lock(named: object, connection: Connection, kind: int, number: int | None) -> bool:
    """Try to have a lock, or none, while the connection lasts. Raises LedgerError where it could not be sure."""
    silence = "extract(epoch FROM current_setting('idle_session_timeout')::interval)"
    mine = connection.execute(text(f"SELECT pg_backend_pid(), {silence}")).one()
    asked = text("SELECT CAST(:number AS integer) IS NULL OR pg_try_advisory_lock(:kind, :number)")
    got = connection.scalar(asked, {"kind": kind, "number": number})
    connection.commit()
    if connection.scalar(text("SELECT pg_backend_pid()")) != mine[0] or float(mine[1]) != LEASE:
        raise LedgerError(
            named,
            "something between here and the store, such as PgBouncer, keeps from it what a connection asks: a "
            "lock may be lost, so connect to PostgreSQL itself",
        )
    connection.rollback()
    return bool(got)


def explain(ledger: object, error: SQLAlchemyError) -> LedgerError:
    """What PostgreSQL, or the way there, refused, in one sentence; never with a password."""
    original = getattr(error, "orig", None)
    state = getattr(original, "sqlstate", None)
    problem = (str(original or error).strip().splitlines() or ["no reason given"])[0]
    is_lost = state in _LOST or (isinstance(error, DBAPIError) and error.connection_invalidated)
    if GIVEN_UP in problem or (is_lost and not isinstance(ledger, Store)):
        return StoreTrouble(ledger, GIVEN_UP)
    if state is None or is_lost:
        return StoreTrouble(ledger, f"the store can't be reached ({problem})")
    return StoreTrouble(
        ledger,
        f"it can't be read or written ({STORE_MEANINGS.get(state, problem)}). Every call that had left is noted in "
        "it as an intent; fix this and run the same command again.",
    )
