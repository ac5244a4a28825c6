"""Statements that are compiled once for all ledgers of a process: else each ledger compiles all of its own anew.

That is a third of the time of a test that opens a few. In use a process opens one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, event
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

if TYPE_CHECKING:
    from sqlalchemy import Connection

_COMPILED: LRUCache[Any, Any] = LRUCache(2000)


def share_compiled() -> None:
    """Let every engine of this process take what was compiled for another; all are of one dialect."""
    event.listen(Engine, "engine_connect", _share)
    SQLiteDialect_pysqlite.__eq__ = _is_alike  # type: ignore[method-assign]
    SQLiteDialect_pysqlite.__hash__ = _hash  # type: ignore[method-assign, assignment]


def _share(connection: Connection) -> None:
    connection.engine._compiled_cache = _COMPILED


def _is_alike(dialect: object, other: object) -> bool:
    return type(dialect) is type(other)


def _hash(dialect: object) -> int:
    return hash(type(dialect))
