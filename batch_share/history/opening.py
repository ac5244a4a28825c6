"""Opening the index: made where there is none, begun anew where it is damaged or of another time."""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock
from sqlalchemy import URL, create_engine, event, insert, inspect, select
from sqlalchemy.exc import SQLAlchemyError

from batch_share.errors import HistoryError, LedgerError
from batch_share.history import schema
from batch_share.history.index import History
from batch_share.ledger.database import create_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine

FILE: Final = "history.db"
_ASIDE: Final = ".damaged-"
# Not FULL: after a power cut the last lines may be missing, and come back with the next run of their ledger.
_PRAGMAS: Final = ("busy_timeout=20000", "journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON")
_TOO_NEW: Final = "it was written by a later version of batch_share: update this one"


class _Unusable(Exception):
    """The file is there and is no index of this version."""


@contextmanager
def open_history(folder: Path) -> Iterator[History]:
    """Open the index in `folder`, also beside other processes. Raises HistoryError.

    One that is damaged, or of an earlier version, is put aside and a new one begun: `History.begun_anew` says so.
    """
    file = folder / FILE
    put_aside = None
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(folder / ".history.lock", mode=0o600, timeout=20):
            try:
                engine = _open(file)
            except _Unusable:
                put_aside = _put_aside(file)
                engine = _open(file)
    except LedgerError as error:
        raise HistoryError(file, error.problem) from None
    except _Unusable as error:
        raise HistoryError(file, str(error)) from None
    except OSError as error:  # a timeout of the lock too
        raise HistoryError(file, f"it can't be used ({error.strerror or 'another process holds it'})") from None
    try:
        yield History(file, engine, begun_anew=put_aside)
    finally:
        engine.dispose()


def _open(file: Path) -> Engine:
    create_private(file)
    engine = _engine(file)
    try:
        with engine.begin() as connection:
            _prepare(connection, file)
    except SQLAlchemyError as error:
        engine.dispose()
        problem = str(getattr(error, "orig", None) or error).splitlines()[0]
        if "not a database" in problem or "malformed" in problem:
            raise _Unusable(problem) from None
        raise HistoryError(file, f"it can't be used ({problem})") from None
    except (_Unusable, HistoryError):
        engine.dispose()
        raise
    return engine


@lru_cache(maxsize=8)  # a run opens it several times: its statements are compiled once
def _engine(file: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(file)))

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the transactions are begun below
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # At once as a writer: one that only then becomes one is refused where another was quicker.
        reads = connection.get_execution_options().get("reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _prepare(connection: Connection, file: Path) -> None:
    tables = set(inspect(connection).get_table_names())
    if not tables:
        schema.metadata.create_all(connection)
        connection.execute(insert(schema.about).values(version=schema.VERSION))
        return
    if not tables >= set(schema.metadata.tables):
        raise _Unusable("it is no index of batch_share")
    found = connection.scalar(select(schema.about.c.version))
    if found is not None and found > schema.VERSION:
        raise HistoryError(file, _TOO_NEW)
    if found != schema.VERSION:
        raise _Unusable("it is of an earlier version")


def check_whole(history: History) -> None:
    """Raises HistoryError if it was begun anew, and nobody has seen to what the one before knew."""
    before = sorted(history.file.parent.glob(f"{history.file.name}{_ASIDE}*"))
    if before:
        raise HistoryError(
            history.file,
            "it was begun anew, so what earlier ledgers shared may be missing: take them in with `batch-share runs "
            f"--add LEDGER`, then delete the old one, {before[0]}, and try again",
        )


def _put_aside(file: Path) -> Path:
    """Keep a file that can't be used under another name: it may hold what somebody wants."""
    number = 1
    while (aside := file.with_name(f"{file.name}{_ASIDE}{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    return file.replace(aside)
