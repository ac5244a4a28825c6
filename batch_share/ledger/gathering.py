"""Changes of single rows that a group of operations makes: alike ones are run together, at the end of the group.

Most of what a call costs the ledger is the way into the database, once for each statement. A hundred rows that are
changed by one statement cost little more than one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Insert, Update

    Values = Mapping[str, Any]


class NotAsExpected(Exception):
    """Some of the changes met no row. Which ones shows when they are made one by one."""


class Gathering:
    """The changes of one transaction. Each is of a row that no other operation of its group looks at."""

    def __init__(self, *, together: bool) -> None:
        self._together = together
        self._alike: dict[tuple[Insert | Update, tuple[str, ...]], list[Values]] = {}

    def change(self, connection: Connection, statement: Insert | Update, values: Values) -> bool:
        """Add or change one row; whether there was one to change. One that is gathered says yes, for now."""
        if not self._together:
            return _run(connection, statement, [values])
        self._alike.setdefault((statement, tuple(values)), []).append(values)
        return True

    def run(self, connection: Connection) -> None:
        """Make the gathered changes. Raises NotAsExpected."""
        for (statement, _), gathered in self._alike.items():
            if not _run(connection, statement, gathered):
                raise NotAsExpected


def _run(connection: Connection, statement: Insert | Update, gathered: list[Values]) -> bool:
    changed = connection.execute(statement, gathered)
    return statement.is_insert or changed.rowcount == len(gathered)
