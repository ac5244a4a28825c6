"""Opening a ledger's database, and writing to it in groups.

SQLite by default, in WAL mode with synchronous=FULL: what is committed survives the power going out.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import event, insert, inspect, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from batch_share.errors import LedgerError, LedgerTooNew
from batch_share.ledger import schema

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    Operation = Callable[[AsyncConnection], Awaitable[Any]]

T = TypeVar("T")


def connect(file: Path) -> AsyncEngine:
    """An engine on the SQLite file `file`, every connection set up for safety before speed. Raises LedgerError."""
    _check_opens(file)
    engine = create_async_engine(f"sqlite+aiosqlite:///{file}")

    @event.listens_for(engine.sync_engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        try:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
                cursor.execute(f"PRAGMA {pragma}")
        except Exception:
            connection.close()  # it never gets into the pool, so nobody else would end its thread
            raise
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        # The driver begins only before a row is written: tables and savepoints would be committed one by one.
        connection.exec_driver_sql("BEGIN")

    return engine


def _check_opens(file: Path) -> None:
    """Open it once without the driver, whose thread outlives a connection that could not be opened."""
    try:
        sqlite3.connect(file).close()
    except sqlite3.Error as error:
        raise LedgerError(file, f"it can't be opened ({error})") from None


def create_private(file: Path) -> None:
    """Create an empty file that only its owner can read, before SQLite would make one that anybody can."""
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise LedgerError(file, f"can't be created ({error.strerror})") from None


def prepare(connection: Connection, ledger: Path, facts: dict[str, str] | None) -> None:
    """Make the tables of a new ledger, bring an older one up to date, refuse a newer one or a stranger.

    Without `facts` no ledger is made: an empty file is refused.
    """
    if facts is not None and not inspect(connection).get_table_names():
        schema.metadata.create_all(connection)
        facts = facts | {"schema_version": str(schema.VERSION)}
        connection.execute(insert(schema.about), [{"name": name, "value": facts[name]} for name in facts])
        return
    _upgrade(connection, ledger, check_version(connection, ledger))


def check_version(connection: Connection, ledger: Path) -> int:
    """The ledger's schema version. Raises LedgerTooNew for one from the future, LedgerError for a stranger."""
    found = _version(connection)
    if found is None:
        raise LedgerError(ledger, "this is a database, but not a ledger of batch_share, or an empty one")
    version = int(found)
    if version > schema.VERSION:
        raise LedgerTooNew(
            ledger,
            f"it was written by a later version of batch_share (schema {version}, this one knows "
            f"{schema.VERSION}). Update batch_share and try again.",
        )
    return version


def _version(connection: Connection) -> str | None:
    """What stands where a ledger has its version, None in other databases."""
    about = schema.about
    shape = inspect(connection)
    if about.name not in shape.get_table_names():
        return None
    if not {each["name"] for each in shape.get_columns(about.name)} >= set(about.columns.keys()):
        return None
    found = connection.scalar(select(about.c.value).where(about.c.name == "schema_version"))
    return found if found and found.isdecimal() else None


def _upgrade(connection: Connection, ledger: Path, version: int) -> None:
    for step in range(version, schema.VERSION):
        if step not in schema.UPGRADES:
            raise LedgerError(ledger, f"its schema version {version} is not one that can be upgraded")
        schema.UPGRADES[step](connection)
    if version < schema.VERSION:
        in_force = update(schema.about).where(schema.about.c.name == "schema_version")
        connection.execute(in_force.values(value=str(schema.VERSION)))


def explain(ledger: Path, error: SQLAlchemyError) -> LedgerError:
    """A database's error in one sentence, with what it means for the work."""
    problem = str(getattr(error, "orig", None) or error).splitlines()[0]
    if "not a database" in problem or "malformed" in problem:
        return LedgerError(ledger, f"this file is no ledger, or a damaged one ({problem})")
    return LedgerError(
        ledger,
        f"it can't be read or written ({problem}). Every call that had left is noted in it as an intent; "
        "mend this and run the same command again.",
    )


class Writer:
    """Writes to the ledger in order, everything that waits at a moment in one transaction.

    A call of `do` returns when its operation is committed, so an intent is on disk before its call leaves.
    """

    def __init__(self, engine: AsyncEngine, ledger: Path) -> None:
        self._engine = engine
        self._ledger = ledger
        self._turn = asyncio.Lock()
        self._waiting: list[tuple[Operation, asyncio.Future[Any]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def do(self, operation: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run `operation` in a transaction and commit it. If it raises, nothing of it was done, and it alone.

        Raises LedgerError too where the transaction fails as a whole.

        A caller that is cancelled meanwhile does not undo it: what is known gets written.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        done.add_done_callback(_look_at_error)
        self._waiting.append((operation, done))
        task = asyncio.create_task(self._commit_waiting())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(done)

    async def close(self) -> None:
        """Wait until everything that was asked for is committed or has failed."""
        while tasks := [*self._tasks]:
            await asyncio.gather(*tasks)
            # Their callbacks need not have run: since Python 3.12, waiting for what is done gives way to nobody.
            self._tasks.difference_update(tasks)

    async def _commit_waiting(self) -> None:
        async with self._turn:
            batch, self._waiting = self._waiting, []
            if not batch:
                return
            try:
                async with self._engine.begin() as connection:
                    endings = [await self._apart(connection, operation) for operation, _ in batch]
            except SQLAlchemyError as error:
                endings = [Failed(explain(self._ledger, error))] * len(batch)
            except Exception as error:
                endings = [Failed(error)] * len(batch)
            for (_, done), ending in zip(batch, endings, strict=True):
                if isinstance(ending, Failed):
                    done.set_exception(ending.error)
                else:
                    done.set_result(ending)

    async def _apart(self, connection: AsyncConnection, operation: Operation) -> Any:
        """The operation's result, or Failed if it alone is undone; raises what is the whole database's trouble."""
        savepoint = await connection.begin_nested()
        try:
            result = await operation(connection)
        except IntegrityError as error:
            ending = Failed(explain(self._ledger, error))
        except SQLAlchemyError:
            raise
        except Exception as error:
            ending = Failed(error)
        else:
            await savepoint.commit()
            return result
        await savepoint.rollback()
        return ending


@dataclass(frozen=True, slots=True)
class Failed:
    """How an operation ended that changed nothing."""

    error: Exception


def _look_at_error(done: asyncio.Future[Any]) -> None:
    """Its caller may be gone (cancelled); asyncio would then complain of an exception nobody read."""
    if not done.cancelled():
        done.exception()
