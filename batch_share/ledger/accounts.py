"""Accounts that a store has: whose turn it is to call one, on whichever host, and what is known of it.

Their locks are held by the one connection that writes what is sent: whoever loses it has none of them any more.
What is kept of an account is a text; nobody here knows what it says.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from batch_share.common import Holder

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

    from sqlalchemy import Connection, Row

    from batch_share.ledger.database import Database
    from batch_share.ledger.postgres import Store

LOCKS: Final = 0x62_73_69
"""Of accounts, each by its number: beside whatever else the database has locks of."""

_MAKE: Final = text("INSERT INTO batch_share.accounts (name, host) VALUES (:name, :host) ON CONFLICT DO NOTHING")
_FIND: Final = text(
    "SELECT id, name FROM batch_share.accounts WHERE name = :name OR host = :host ORDER BY name != :name, id"
)
_LOCK: Final = text(f"SELECT pg_try_advisory_lock({LOCKS}, :id)")
_UNLOCK: Final = text(f"SELECT pg_advisory_unlock({LOCKS}, id) FROM unnest(CAST(:ids AS integer[])) id")  # noqa: S608
# Once it is ours, not before: whoever had it may have noted something until then.
_HAVE: Final = text(
    "UPDATE batch_share.accounts SET holder = :holder, process = :process, command = :command, "
    "since = clock_timestamp() WHERE id = ANY(:ids) RETURNING id, name, known, "
    "extract(epoch FROM clock_timestamp() - called) AS age"
)
_HOLDER: Final = text("SELECT holder, process, command, since FROM batch_share.accounts WHERE id = :id")
_HOLDERS: Final = text(
    "SELECT name, holder, process, command, since FROM batch_share.accounts WHERE EXISTS (SELECT FROM pg_locks "  # noqa: S608
    f"WHERE locktype = 'advisory' AND granted AND classid = {LOCKS} AND objid = id AND objsubid = 2 AND "
    "database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
)
_PUT: Final = text(
    "UPDATE batch_share.accounts SET known = :known, called = clock_timestamp() - make_interval(secs => :seconds) "
    "WHERE id = :id"
)
_DROP: Final = text("DELETE FROM batch_share.accounts WHERE id = :id")


class Accounts:
    """The accounts of a store, to whoever works by one connection to it and does this `command`.

    `kept` is what was kept of each that is ours when it became that, and how many seconds before it was last
    called. `noting` is what was last asked to be kept, until it is.
    """

    def __init__(self, database: Database, command: str) -> None:
        self._database, self._command = database, command
        self._numbers: dict[str, int] = {}
        self.kept: dict[str, tuple[str, float]] = {}
        self.noting: asyncio.Future[Any] | None = None

    async def take(self, name: str, host: str, all_of_host: str | None = None) -> Holder | None:
        """Try to have an account, and with all of its host that of this name and those too; else who has one.

        All are had or none, so that no two wait for each other. Raises LedgerError.
        """

        def take(connection: Connection) -> Holder | None:
            had: dict[str, int] = {}

            def have(row: Row[Any]) -> bool:
                if row.name not in self._numbers and not connection.scalar(_LOCK, {"id": row.id}):
                    return False
                had[row.name] = row.id
                return True

            connection.execute(_MAKE, {"name": name, "host": host})
            wanted = [{"name": name, "host": None}]
            if all_of_host is not None:
                connection.execute(_MAKE, {"name": all_of_host, "host": None})
                # In this order: while another has the host's, it may make another account known.
                wanted += [{"name": all_of_host, "host": None}, {"name": name, "host": host}]
            for each in wanted:
                for row in connection.execute(_FIND, each).all():
                    if row.name in had or have(row):
                        continue
                    ours = [number for name, number in had.items() if name not in self._numbers]
                    connection.execute(_UNLOCK, {"ids": ours})
                    return _holder(connection.execute(_HOLDER, {"id": row.id}).one_or_none())
            mine = {"holder": platform.node(), "process": os.getpid(), "command": self._command}
            for row in connection.execute(_HAVE, mine | {"ids": [*had.values()]}):
                if row.name not in self._numbers:
                    self._numbers[row.name] = row.id
                    self.kept[row.name] = (row.known or "", float(row.age or 0.0))
            return None

        return await self._database.write(take, alone=True)

    def give_back(self, *names: str) -> None:
        """Let others have them, once all is kept that was asked for."""
        ids = [self._numbers.pop(name) for name in names if name in self._numbers]
        for name in names:
            self.kept.pop(name, None)
        if ids:
            self._soon(_UNLOCK, ids=ids)

    def put(self, name: str, known: str, seconds: float) -> None:
        """Keep this of an account that is ours, last called so many seconds ago."""
        if name in self._numbers:
            self._soon(_PUT, id=self._numbers[name], known=known, seconds=seconds)

    def drop(self, name: str) -> None:
        """Keep nothing of one that is ours."""
        if name in self._numbers:
            self._soon(_DROP, id=self._numbers[name])

    def today(self) -> dt.datetime:
        """Now, by the store's own clock: hosts may differ on when a day ends."""
        held = self._database.held
        assert held is not None  # noqa: S101 - for the type checker
        return held.now().replace(tzinfo=dt.UTC)

    def may_send(self) -> bool:
        """Whether nobody else can have them by now: else a call that has not left must not."""
        held = self._database.held
        return held is not None and held.is_sure()

    def _soon(self, statement: Any, **values: Any) -> None:
        """In the order in which it is asked for. Where the store is lost nothing is kept, and no call leaves."""

        def noted(noting: asyncio.Future[Any]) -> None:
            if not noting.cancelled():
                noting.exception()
            if self.noting is noting:
                self.noting = None

        self.noting = self._database.write(lambda connection: connection.execute(statement, values), alone=True)
        self.noting.add_done_callback(noted)


def holders(store: Store) -> dict[str, Holder]:
    """Who has which accounts of a store now, by their names. Raises LedgerError."""
    with store.looking() as connection:
        return {row.name: _holder(row) for row in connection.execute(_HOLDERS)}


@asynccontextmanager
async def open_accounts(store: Store, command: str) -> AsyncIterator[Accounts]:
    """The accounts of a store, for work that has no ledger there. Raises LedgerError."""
    from batch_share.ledger.database import Database  # noqa: PLC0415 - which needs this module
    from batch_share.ledger.postgres import Held, StoredName  # noqa: PLC0415 - for few, and it takes time

    with store.looking() as connection:
        store.check_version(connection)
    held = Held(store, store)
    try:
        held.lock()
        database = Database(held.engine, StoredName(store, "accounts"), held)
        try:
            yield Accounts(database, command)
        finally:
            await database.close()
    finally:
        held.close()


def _holder(row: Row[Any] | None) -> Holder:
    return Holder(row.process, row.holder, row.command, row.since) if row is not None else Holder()
