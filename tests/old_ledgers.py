"""Ledgers as earlier versions made them: a new one, turned back step by step to what that version had."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_DROPPED: Final = {
    10: ["edits.was"],
    9: ["edits", "rows.edit"],
    8: ["rows_by_end", "rows_by_renewal", "rows.ends_at", "rows.renewal", "rows.renewed_as"],
    7: ["rows.cause", "rows.details", "rows.doubtful", "rows.notice_kind", "rows.notice_details", "lookups.cause"],
    6: ["rows_by_activity"],
    5: ["rows.action"],
    4: ["rows_by_revoke", "rows.revoke_id", "rows.start"],
    3: ["rows_by_request", "rows.chosen"],
    2: ["attempts.marker", "rows.notice"],
    1: ["lookups", "sheets.mapping", "rows.until", "rows.custom"],
}
"""What a version lacks of that after it: columns, indexes, a table."""

OLDEST: Final = min(_DROPPED)


def turn_back(file: Path, version: int) -> None:
    """Make a ledger of today one of this version. No row says why it is where it is, and none has a notice."""
    with closing(sqlite3.connect(file)) as connection:
        if version < 8:
            connection.execute("ALTER TABLE rows ADD COLUMN reason TEXT")
            connection.execute("ALTER TABLE rows ADD COLUMN notice TEXT")
        for number in range(max(_DROPPED), version - 1, -1):
            for name in _DROPPED[number]:
                table, _, column = name.partition(".")
                kind = "INDEX" if name.startswith("rows_by") else "TABLE"
                drop = f"ALTER TABLE {table} DROP COLUMN {column}" if column else f"DROP {kind} {name}"
                connection.execute(drop)
        connection.execute("UPDATE about SET value = ? WHERE name = 'schema_version'", [str(version)])
        connection.commit()
