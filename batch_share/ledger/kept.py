"""Whom earlier look-ups found, kept on this machine for the next plan or run, by account.

It is of help, not of need: what can't be read or written is as if nothing were kept, and a damaged file is begun
anew. It is asked by digests, so that it tells nobody whom it knows but by what is found. That nobody was found is
not kept: whoever is made in a minute must be found then.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from batch_share.common import utc_now
from batch_share.errors import LedgerError
from batch_share.ledger.database import create_private
from batch_share.ledger.records import Lookup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

T = TypeVar("T")

FILE: Final = "answers.db"

_VERSION: Final = 1
_PAGE: Final = 500
_AHEAD: Final = 1
"""Minutes by which an answer may be of later than now: a clock that was set back by more tells nothing."""

_TABLES: Final = """
CREATE TABLE about (salt BLOB NOT NULL);
CREATE TABLE answers (
    question BLOB PRIMARY KEY, found TEXT NOT NULL, found_at INTEGER NOT NULL, for_good INTEGER NOT NULL
) WITHOUT ROWID
"""
_TYPES: Final = ("Activity Event", "")
_BY_ID, _BY_NUMBER = "Lead Id", "Lead Number"
_OTHERS: Final = 0o077


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """What was found for one `account`, in the `folder` of the index; used for so many `minutes`, 0: never.

    Which number a lead of an Id has, and the other way round, counts for good: neither ever changes.
    """

    folder: Path
    account: str
    minutes: int
    now: Callable[[], datetime] = utc_now

    @property
    def holds_anything(self) -> bool:
        """Whether there may be something that is used."""
        return bool(self.minutes) and (self.folder / FILE).exists()

    async def note_lookups(self, answers: Sequence[Lookup]) -> None:
        """Keep those who were found, all or none of them; of all others nothing is known any more."""
        if self.minutes:
            self._do(lambda opened: self._note(opened, answers), None, makes=True)

    def find(self, names: Iterable[tuple[str, str]], *, numbers_too: bool) -> Iterator[Lookup]:
        """Those of these who were found, by kind and value, read page by page.

        With `numbers_too` also leads of whom only Id and number are known: their address and phone are "" then.
        """
        source, nobody = iter(names), list[Lookup]()
        while self.minutes and (page := list(islice(source, _PAGE))):
            yield from self._do(partial(self._found, page=page, numbers_too=numbers_too), nobody)

    def note_types(self, types: Mapping[int, str]) -> None:
        """Keep what the account's activity types are called, by code, if any were told."""
        if self.minutes and types:
            self._do(lambda opened: self._put(opened, [(_TYPES, types, False)]), None, makes=True)

    def types(self) -> dict[int, str]:
        """What the account's activity types are called, by code; nothing if that is not known."""
        if not self.minutes:
            return {}
        nothing: dict[bytes, Any] = {}
        found = self._do(lambda opened: self._get(opened, [self._key(opened, *_TYPES)]), nothing)
        return {int(code): str(name) for each in found.values() for code, name in each.items()}

    def forget(self, older_than: int | None = None) -> int:
        """Delete what is used no more, and what was found more than so many minutes ago. How much it was."""
        return self._do(lambda opened: self._forget(opened, older_than), 0)

    # ------------------------------------------------------------------------------------------ in a transaction

    def _note(self, opened: _Opened, answers: Sequence[Lookup]) -> None:
        gone = [(kinds + each.kind, each.value) for each in answers if each.found is None for kinds in _KINDS]
        keys = [(self._key(opened, *name),) for name in gone]
        opened.connection.executemany("DELETE FROM answers WHERE question = ?", keys)
        found: list[tuple[tuple[str, str], Any, bool]] = []
        for each in answers:
            if each.found is None:
                continue
            if each.kind not in _LEADS:
                found.append(((each.kind, each.value), each.found, False))
                continue
            lead = [each.found[name] for name in _LEAD]
            found.append(((each.kind, each.value), lead, False))
            for kind, value in zip((_BY_ID, _BY_NUMBER), lead[:2], strict=True):
                found.append(((_FOR_GOOD + kind, value), lead[:2], True))
        self._put(opened, found)

    def _found(self, opened: _Opened, page: Sequence[tuple[str, str]], *, numbers_too: bool) -> list[Lookup]:
        whom: dict[bytes, tuple[str, str]] = {}
        for kinds in _KINDS if numbers_too else ("",):
            whom |= {self._key(opened, kinds + kind, value): (kind, value) for kind, value in page}
        answers = self._get(opened, [*whom])
        # In that order: of a lead that is known in both ways the last has its address, too.
        found = {name: answers[key] for key, name in whom.items() if key in answers}
        return [Lookup(kind, value, _whole(answer)) for (kind, value), answer in found.items()]

    def _put(self, opened: _Opened, found: Iterable[tuple[tuple[str, str], Any, bool]]) -> None:
        rows = [
            (self._key(opened, *name), json.dumps(answer, separators=(",", ":")), self._minute(), for_good)
            for name, answer, for_good in found
        ]
        opened.connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", rows)

    def _get(self, opened: _Opened, keys: Sequence[bytes]) -> dict[bytes, Any]:
        marks, now = ",".join("?" * len(keys)), self._minute()
        found = opened.connection.execute(
            f"SELECT question, found FROM answers WHERE question IN ({marks}) "  # noqa: S608 - no value is in it
            "AND (for_good OR found_at BETWEEN ? AND ?)",
            (*keys, now - self.minutes, now + _AHEAD),
        )
        return {key: json.loads(answer) for key, answer in found}

    def _forget(self, opened: _Opened, older_than: int | None) -> int:
        now = self._minute()
        since = 0 if older_than is None else now - older_than
        over = "NOT ? OR found_at < ? OR (NOT for_good AND found_at NOT BETWEEN ? AND ?)"
        values = self.minutes, since, now - self.minutes, now + _AHEAD
        return opened.connection.execute(f"DELETE FROM answers WHERE {over}", values).rowcount  # noqa: S608

    def _key(self, opened: _Opened, kind: str, value: str) -> bytes:
        name = f"{self.account}\n{kind}\n{value}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(name, digest_size=16, key=opened.salt).digest()

    def _minute(self) -> int:
        return int(self.now().replace(tzinfo=UTC).timestamp() // 60)

    # ------------------------------------------------------------------------------------------ the file

    def _do(self, work: Callable[[_Opened], T], otherwise: T, *, makes: bool = False) -> T:
        """What `work` comes to, in one transaction; `otherwise` where the file can't be used.

        So it is where there is none, unless the work `makes` it.
        """
        file = self.folder / FILE
        if not makes and not file.exists():
            return otherwise
        for _ in range(2):
            try:
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                create_private(file)
                with closing(sqlite3.connect(file, timeout=5)) as connection, connection:
                    return work(_Opened(connection, _begun(connection, file)))
            except (sqlite3.DatabaseError, ValueError) as error:
                if getattr(error, "sqlite_errorcode", None) in _PASSING:
                    return otherwise
                with suppress(OSError):  # damaged
                    file.unlink(missing_ok=True)
                    file.with_name(f"{FILE}-journal").unlink(missing_ok=True)
            except (OSError, LedgerError):
                return otherwise
        return otherwise


class _Opened(NamedTuple):
    """The file in a transaction, and what its digests are salted with."""

    connection: sqlite3.Connection
    salt: bytes


_FOR_GOOD: Final = "for good: "
_LEADS: Final = {_BY_ID, _BY_NUMBER, "Lead Email", "Lead Phone"}
_LEAD: Final = ("id", "number", "email", "phone")
"""What is kept of a lead, in this order: a sheet may have a million."""

_KINDS: Final = (_FOR_GOOD, "")
_PASSING: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
}
"""What says nothing of the file: it is in use for too long, or the disk is full."""


def _whole(answer: Any) -> Any:
    return dict.fromkeys(_LEAD, "") | dict(zip(_LEAD, answer, strict=False)) if isinstance(answer, list) else answer


def _begun(connection: sqlite3.Connection, file: Path) -> bytes:
    """Begin a transaction, with the tables made if need be. The salt. Raises sqlite3.DatabaseError, OSError."""
    stat = file.stat()
    if os.name == "posix" and (stat.st_uid != os.geteuid() or stat.st_mode & _OTHERS):
        raise sqlite3.DatabaseError  # somebody else may have written whom it knows
    connection.execute("PRAGMA synchronous = OFF")  # what a failing machine spoils is begun anew
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        for table in _TABLES.split(";"):
            connection.execute(table)
        connection.execute("INSERT INTO about VALUES (?)", (os.urandom(16),))
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    salts = connection.execute("SELECT salt FROM about").fetchall()
    if len(salts) != 1 or version not in {0, _VERSION}:
        raise sqlite3.DatabaseError
    return bytes(salts[0][0])
