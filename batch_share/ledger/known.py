"""The list of this machine's ledgers, and what is to be known of each also when it is gone.

Those in a store tell that themselves, and nothing of them is in the list.

Ledgers are the truth, and who has what is asked of them: `catch_up` looks at each that was written since it was
last looked at. What it told is kept, its runs and the shares that had not ended, since a ledger may be deleted, or
an older copy may take its place. Times are UTC, without a zone.
"""

# ruff: noqa: S608 - no value is part of a statement

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from filelock import FileLock

from batch_share.common import utc_now
from batch_share.errors import BatchShareError, HistoryError, LedgerError, LedgerLocked
from batch_share.ledger.database import create_private
from batch_share.ledger.files import LedgerName, read_ledger
from batch_share.ledger.queries import NEVER
from batch_share.ledger.records import run_id
from batch_share.ledger.states import BEING_REVOKED, ON_ITS_WAY, State

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from pydantic import SecretStr

    from batch_share.ledger.known_in_store import StoreHistory
    from batch_share.ledger.reading import LedgerReader


@dataclass(frozen=True, slots=True)
class KnownLedger:
    """A ledger of this machine. `account` is None where it was added without its keys.

    Its last call that is known had the number `calls`, None if an earlier version noted it. Nobody will finish it
    since it was `forgotten_at`.
    """

    id: int
    ledger: LedgerName
    job: str
    host: str
    account: str | None
    sheet_path: Path | None
    mark: str | None
    calls: int | None
    forgotten_at: datetime | None
    seen: str | None


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run on this machine; times are UTC, without a zone.

    `id` stands for its `ledger` wherever one is named. It was the run of this `number` on that ledger, of a
    `command`, for the account at `host`; `sheet` is the name of its sheet, None if it came to none. It began
    `started_at`; `ended_at`, `ended` (how, in words) and `counts` (the ledger's rows by state then) are None while
    it goes on, or if it was cut off. If `purged_at`, only this is left of it.
    """

    id: str
    ledger: LedgerName
    host: str
    number: int
    command: str
    sheet: str | None
    started_at: datetime
    ended_at: datetime | None
    ended: str | None
    counts: Mapping[str, int] | None
    purged_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        """The object that `runs --json` prints."""
        return {
            "run": self.id,
            "started": _iso(self.started_at),
            "ended": _iso(self.ended_at),
            "how": self.ended,
            "command": self.command,
            "host": self.host,
            "sheet": self.sheet,
            "ledger": str(self.ledger),
            "states": dict(self.counts or {}),
            "purged": _iso(self.purged_at),
        }


@dataclass(frozen=True, slots=True)
class LiveShare:
    """A share that has not ended: whose, until when, and where it is recorded.

    `access` is 1 (read), 2 (write), or 0 where nobody knows whether it stands; `row_id` is the row's Id in the
    ledger, `job` what the ledger is known by, `sheet` the name of its sheet. Of a row that is under way, `held`, it
    may be one that is yet to be made: its `access` is 0 then.
    """

    lead_id: str
    user_id: str
    access: int
    ends_at: datetime
    ledger: LedgerName
    job: str
    row_id: int
    sheet: str
    sheet_row: int
    request_id: str | None
    run_id: str
    held: bool = False


def _iso(at: datetime | None) -> str | None:
    return None if at is None else f"{at.isoformat(timespec='seconds')}Z"


FILE: Final = "history.db"
VERSION: Final = 3

_TABLES: Final = """
CREATE TABLE about (version INTEGER PRIMARY KEY);
CREATE TABLE ledgers (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL, job VARCHAR(40) NOT NULL, host TEXT NOT NULL,
    account VARCHAR(40), -- NULL: it was added by somebody whose keys are not known
    sheet_path TEXT,
    mark TEXT, -- what `live` was made of, NULL: it is to be made
    calls INTEGER, -- the number of its last call, NULL: nobody noted it (since version 2, as the next)
    forgotten_at DATETIME, -- somebody said that nobody will finish it
    seen TEXT, -- its file as it was when it was last looked at, NULL: it is to be (since version 3)
    UNIQUE (path, job) -- one that was begun anew in the place of another is another one
);
CREATE TABLE runs (
    id VARCHAR(8) PRIMARY KEY, ledger_id INTEGER NOT NULL REFERENCES ledgers (id),
    number INTEGER NOT NULL, -- in its ledger
    command VARCHAR(20) NOT NULL, sheet TEXT, started_at DATETIME NOT NULL,
    ended_at DATETIME, -- NULL: it goes on, or was cut off and nobody has looked since
    ended TEXT, counts JSON, purged_at DATETIME
);
CREATE INDEX runs_by_start ON runs (started_at);
CREATE INDEX runs_by_ledger ON runs (ledger_id, number);
CREATE TABLE live ( -- the shares of each ledger that had not ended when it was last looked at
    ledger_id INTEGER NOT NULL REFERENCES ledgers (id),
    row_id INTEGER NOT NULL, -- less than 0: it was taken aside
    sheet_row INTEGER NOT NULL, lead_id VARCHAR(36) NOT NULL, user_id VARCHAR(36) NOT NULL,
    access INTEGER NOT NULL, -- 0: nobody knows whether it stands
    ends_at DATETIME NOT NULL, -- of one that is yet to be made: never
    request_id VARCHAR(100), run_id VARCHAR(8) NOT NULL,
    made INTEGER NOT NULL, -- of no use any more
    held BOOLEAN NOT NULL DEFAULT 0, -- its row is under way (since version 2)
    PRIMARY KEY (ledger_id, row_id)
);
CREATE INDEX live_by_pair ON live (lead_id, user_id);
CREATE INDEX live_by_end ON live (ends_at)
"""
_UPGRADES: Final = {
    1: """
ALTER TABLE ledgers ADD COLUMN calls INTEGER;
ALTER TABLE ledgers ADD COLUMN forgotten_at DATETIME;
ALTER TABLE live ADD COLUMN held BOOLEAN NOT NULL DEFAULT 0;
UPDATE ledgers SET mark = NULL -- so that what is under way is noted
""",
    2: "ALTER TABLE ledgers ADD COLUMN seen TEXT",
}
"""By the version that it starts from: what makes the tables those of the next."""

# Not FULL: after a power cut the last lines may be missing, and come back with the next run of their ledger.
_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON")
_ASIDE: Final = ".damaged-"

_LEDGER: Final = """
SELECT id, path, job, host, account, sheet_path, mark, calls, forgotten_at, seen FROM ledgers WHERE """
_RUN: Final = """
SELECT runs.id, number, command, sheet, started_at, ended_at, ended, counts, purged_at, path, host
FROM runs JOIN ledgers ON ledgers.id = ledger_id WHERE """
_NEWEST_FIRST: Final = " ORDER BY started_at DESC, number DESC LIMIT :most"
_OF_ACCOUNT: Final = """
ends_at > :after AND account IN (SELECT value FROM json_each(:accounts)) AND job != :not_in"""
_LIVE: Final = """
SELECT row_id, sheet_row, lead_id, user_id, access, ends_at, request_id, run_id, held, path, job, sheet
FROM live JOIN ledgers ON ledgers.id = live.ledger_id LEFT JOIN runs ON runs.id = run_id WHERE """

CUT_OFF: Final = "cut off"
GONE: Final = "unknown: its ledger is gone, or can't be read"
_CHUNK: Final = 2000


class NotedShare(NamedTuple):
    """A share as it is noted, which has the Id `row_id` in its ledger; `ends_at` is UTC, without a zone."""

    row_id: int
    sheet_row: int
    lead_id: str
    user_id: str
    access: int
    ends_at: datetime
    request_id: str | None
    run_id: str
    held: bool


class History:
    """The list, open. Make one with `open_history`. Every method raises HistoryError.

    `begun_anew` is where the one before was put, if it could not be used. What the ledgers of a `store` tell is
    told with what is listed.
    """

    def __init__(
        self,
        file: Path,
        connection: sqlite3.Connection,
        begun_anew: Path | None = None,
        store: StoreHistory | None = None,
    ) -> None:
        self.file = file
        self.begun_anew = begun_anew
        self.store = store
        self._connection = connection

    def _read(self, query: str, as_they_are: bool = False, /, **values: object) -> list[Any]:
        """What is found, by name; or as the file has it, in the order of its columns."""
        try:
            cursor = self._connection.cursor()
            if as_they_are:
                cursor.row_factory = None
            return cursor.execute(query, _stored(values)).fetchall()
        except (sqlite3.Error, ValueError) as error:  # a value that is none of ours
            raise HistoryError(self.file, f"it can't be read or written ({error})") from None

    def _write(self, *statements: str, rows: Sequence[Mapping[str, object]] = ({},), **values: object) -> None:
        """Run these in one transaction, each once for every one of the rows."""
        try:
            # At once as a writer: one that only then becomes one is refused where another was quicker.
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:
                for statement in statements:
                    self._connection.executemany(statement, (_stored({**values, **row}) for row in rows))
        except sqlite3.Error as error:
            raise HistoryError(self.file, f"it can't be read or written ({error})") from None

    # ------------------------------------------------------------------------------------------ ledgers

    def note_ledger(
        self, name: LedgerName, job: str, host: str, account: str | None, sheet: Path | None, calls: int = 0
    ) -> KnownLedger:
        """Take in a ledger, or where it is now. An account that is known stays, if none is given.

        `calls` is the number of its last call.
        """
        for known in self._ledgers("job = :job AND path != :path", job=job, path=str(name)):
            if not known.ledger.exists():
                self.moved(known.ledger, name, job)
        self._write(
            """INSERT INTO ledgers (path, job, host, account, sheet_path, calls)
            VALUES (:path, :job, :host, :account, :sheet, :calls)
            ON CONFLICT (path, job) DO UPDATE SET host = excluded.host, calls = excluded.calls,
            account = coalesce(excluded.account, account), sheet_path = coalesce(excluded.sheet_path, sheet_path)
            """,
            path=str(name),
            job=job,
            host=host,
            account=account,
            sheet=str(sheet) if sheet else None,
            calls=calls,
        )
        (known,) = self._ledgers("path = :path AND job = :job", path=str(name), job=job)
        return known

    def moved(self, old: LedgerName, new: LedgerName, job: str | None = None) -> None:
        """A ledger is at another place, and with it its sheet if that was beside it.

        Without `job`, all that were ever known to be there are.
        """
        for known in self._ledgers("path = :old AND job = coalesce(:job, job)", old=str(old), job=job):
            if self._ledgers("path = :new AND job = :job", new=str(new), job=known.job):
                self._write("DELETE FROM live WHERE ledger_id = :id", id=known.id)  # it was noted there already
                continue
            sheet = known.sheet_path
            if sheet is not None and sheet == old.beside(sheet.name):
                sheet = new.beside(sheet.name)
            there = str(sheet) if sheet else None
            moved = "UPDATE ledgers SET path = :new, sheet_path = :sheet WHERE id = :id"
            self._write(moved, id=known.id, new=str(new), sheet=there)
            if new.in_store:  # that tells of it itself
                self._write(
                    "DELETE FROM live WHERE ledger_id = :id AND row_id >= 0",
                    "DELETE FROM runs WHERE ledger_id = :id",
                    "UPDATE ledgers SET mark = NULL, seen = NULL WHERE id = :id",
                    id=known.id,
                )

    def ledgers(self, *, unended: bool = False) -> list[KnownLedger]:
        """Every listed ledger that was not purged; with `unended`, those with a run of which no end is known."""
        runs = "SELECT 1 FROM runs WHERE ledger_id = ledgers.id AND purged_at IS NULL"
        which = f"{runs} AND ended_at IS NULL" if unended else runs
        return self._ledgers(f"EXISTS ({which}) ORDER BY id")

    def all_ledgers(self) -> list[KnownLedger]:
        """Every ledger that was not purged, those of the store with them."""
        return [*self.ledgers(), *(self.store.ledgers() if self.store else ())]

    def _ledgers(self, which: str, **values: object) -> list[KnownLedger]:
        found = []
        for row in self._read(_LEDGER + which, **values):
            ledger, sheet = LedgerName.of(row.pop("path")), row.pop("sheet_path")
            found.append(KnownLedger(ledger=ledger, sheet_path=Path(sheet) if sheet else None, **row))
        return found

    def ledger_of_sheet(self, sheet: Path) -> LedgerName | None:
        """Where the ledger is that a sheet was run into last, of those that are there."""
        last = "sheet_path IN (:absolute, :resolved)" + _NEWEST_FIRST
        runs = self._runs(last, absolute=str(sheet.absolute()), resolved=str(sheet.resolve()), most=-1)
        return next((run.ledger for run in runs if run.ledger.exists()), None)

    def ledger_of_job(self, beginning: str) -> LedgerName | None:
        """Where the ledger of the job is whose Id begins so, of those that are there."""
        found = self._ledgers("substr(job, 1, length(:it)) = :it ORDER BY id DESC", it=beginning)
        listed = next((known.ledger for known in found if known.ledger.exists()), None)
        return listed or (self.store.ledger_of_job(beginning) if self.store else None)

    def last_call(self, job: str) -> int:
        """The number of the last call of a job that anybody has noted, in whichever of its ledgers."""
        noted = [known.calls or 0 for known in self._ledgers("job = :job", job=job)]
        return max([*noted, CallCount(self.file.parent, job).read()])

    def unfinished(self, name: LedgerName, host: str, but: str) -> tuple[KnownLedger, KnownRun] | None:
        """The ledger that was at a place before the one of the job `but`, with its last run, if that left rows.

        Such as were to be sent, or under way. None if nobody is to finish it, or no call was ever made for it.
        """
        there = "path = :path AND host = :host AND job != :but AND purged_at IS NULL" + _NEWEST_FIRST
        for last in self._runs(there, path=str(name), host=host, but=but, most=1):
            (known,) = self._ledgers("id = (SELECT ledger_id FROM runs WHERE id = :run)", run=last.id)
            left = [State(state) for state, count in (last.counts or {}).items() if count]
            goes_on = any(each in {*ON_ITS_WAY, *BEING_REVOKED, State.UNKNOWN} for each in left)
            was_called = known.calls is None or self.last_call(known.job) > 0
            if (goes_on or last.ended in {None, CUT_OFF, GONE}) and was_called and not known.forgotten_at:
                return known, last
        return None

    def lost(self, host: str) -> list[tuple[KnownLedger, KnownRun]]:
        """The ledgers that are gone, wherever they were, with their jobs unfinished; each with its last run."""
        known = self._ledgers("host = :host ORDER BY id DESC", host=host)
        there = {each.job for each in known if each.ledger.exists()}
        left = (self.unfinished(each.ledger, host, "") for each in known if each.job not in there)
        return [each for each in left if each is not None]

    def note_seen(self, ledger: KnownLedger, mark: str, stamp: str | None) -> None:
        """What a ledger tells is known, its live shares by this `mark`, as it was with this `stamp` of its file."""
        seen = "UPDATE ledgers SET mark = :mark, seen = :stamp WHERE id = :id"
        self._write(seen, id=ledger.id, mark=mark, stamp=stamp)

    def give_up(self, ledger: KnownLedger) -> None:
        """Its runs without an end won't be told of any more: nobody can look."""
        unended = "ledger_id = :id AND ended_at IS NULL"
        self._write(f"UPDATE runs SET ended_at = started_at, ended = :how WHERE {unended}", id=ledger.id, how=GONE)

    def forget(self, run: KnownRun, at: datetime) -> None:
        """Nobody will finish the job of this run: its rows that are under way are held no longer."""
        if run.ledger.in_store and self.store:
            return self.store.give_up(run, at)
        of_run = "job = (SELECT job FROM ledgers JOIN runs ON ledger_id = ledgers.id WHERE runs.id = :run)"
        theirs = f"ledger_id IN (SELECT id FROM ledgers WHERE {of_run})"
        return self._write(
            f"UPDATE ledgers SET forgotten_at = :at WHERE {of_run}",
            f"DELETE FROM live WHERE {theirs} AND ends_at = :never",
            f"UPDATE live SET held = 0 WHERE {theirs}",
            run=run.id,
            at=at,
            never=NEVER,
        )

    def go_on(self, job: str) -> None:
        """A job that nobody was to finish goes on."""
        if self.store:
            self.store.go_on(job)
        which = "job = :job AND forgotten_at IS NOT NULL"
        self._write(f"UPDATE ledgers SET forgotten_at = NULL, mark = NULL, seen = NULL WHERE {which}", job=job)

    def purged(self, ledger: KnownLedger, at: datetime) -> None:
        """Note that nothing of a listed ledger is left but the counts of its runs."""
        self._write(
            "DELETE FROM live WHERE ledger_id = :id",
            "UPDATE runs SET purged_at = :at WHERE ledger_id = :id",
            "UPDATE ledgers SET mark = NULL WHERE id = :id",
            id=ledger.id,
            at=at,
        )

    # ------------------------------------------------------------------------------------------ runs

    def note_runs(self, ledger: KnownLedger, entries: Sequence[Mapping[str, Any]]) -> None:
        """Take in runs as they are in their ledger; counts that are None stay as they were."""
        self._write(
            """INSERT INTO runs (id, ledger_id, number, command, sheet, started_at, ended_at, ended, counts)
            VALUES (:id, :ledger_id, :number, :command, :sheet, :started_at, :ended_at, :ended, :counts)
            ON CONFLICT (id) DO UPDATE SET ledger_id = excluded.ledger_id, ended_at = excluded.ended_at,
            ended = excluded.ended, sheet = coalesce(excluded.sheet, sheet),
            counts = coalesce(excluded.counts, counts), purged_at = NULL
            """,
            rows=entries,
            ledger_id=ledger.id,
        )

    def runs(self, limit: int | None = None, job: str | None = None, run_id: str | None = None) -> list[KnownRun]:
        """The runs of this machine, or of all ledgers of a job, or the one of this Id, newest first."""
        which = "job = coalesce(:job, job) AND runs.id = coalesce(:run, runs.id)" + _NEWEST_FIRST
        found = self._runs(which, job=job, run=run_id, most=-1 if limit is None else limit)
        if self.store is None:
            return found
        found += self.store.runs(limit, job, run_id)
        return sorted(found, key=lambda run: (run.started_at, run.number), reverse=True)[:limit]

    def _runs(self, which: str, **values: object) -> list[KnownRun]:
        found = self._read(_RUN + which, **values)
        return [KnownRun(ledger=LedgerName.of(row.pop("path")), **row) for row in found]

    def last_end(self, ledger: KnownLedger) -> datetime | None:
        """When the last run of a ledger ended; None if one may go on."""
        if ledger.ledger.in_store and self.store:
            return self.store.last_end(ledger)
        ends = [run.ended_at for run in self._runs("ledger_id = :id", id=ledger.id)]
        return None if None in ends else max(filter(None, ends), default=None)

    # ------------------------------------------------------------------------------------------ live shares

    def note_live(self, ledger: KnownLedger, shares: Sequence[NotedShare], after: int = -1) -> list[int]:
        """Take in live shares of a ledger, in the order of their rows: all from `after` one up to the last.

        Only what is other than it was noted is written. Returns the rows between them that are noted and are not
        among them; without shares, all that come after: they are to be forgotten once all are taken in, since a
        share may be another row's by now.
        """
        up_to = f"AND row_id <= {shares[-1].row_id:d}" if shares else ""
        which = f"ledger_id = :id AND row_id > :after {up_to}"
        query = f"SELECT {', '.join(NotedShare._fields)} FROM live WHERE {which} ORDER BY row_id"
        noted = self._read(query, True, id=ledger.id, after=after)
        at = NotedShare._fields.index("ends_at")
        found = [(*each[:at], _at(each.ends_at), *each[at + 1 :]) for each in shares]
        if noted == found:  # as nearly always
            return []
        before, now = {row[0]: row for row in noted}, {row[0] for row in found}
        both = zip(shares, found, strict=True)
        other = [share._asdict() for share, row in both if before.get(share.row_id) != row]
        if other:
            self._write(
                """INSERT OR REPLACE INTO live (ledger_id, row_id, sheet_row, lead_id, user_id, access, ends_at,
                request_id, run_id, made, held) VALUES (:ledger_id, :row_id, :sheet_row, :lead_id, :user_id,
                :access, :ends_at, :request_id, :run_id, 0, :held)""",
                rows=other,
                ledger_id=ledger.id,
            )
        return [row_id for row_id in before if row_id not in now]

    def live_noted(
        self, ledger: KnownLedger, now: datetime, gone: Iterable[int] = (), told: Iterable[int] = ()
    ) -> None:
        """All were taken in: forget the rows that are `gone`, and what has ended.

        Of other copies of it too, which are older; but not what was taken aside, except of the rows that it has
        `told` of, by their Ids there.
        """
        theirs = "ledger_id IN (SELECT id FROM ledgers WHERE job = :job)"
        unseen = f"{theirs} AND row_id IN (SELECT value FROM json_each(:unseen))"
        older = f"{theirs} AND row_id >= 0 AND ledger_id != :id"
        forget = f"DELETE FROM live WHERE ends_at <= :now OR ({unseen}) OR ({older})"
        unseen_ids = json.dumps([*gone, *told])  # its own rows; less than 0 are those taken aside
        self._write(forget, id=ledger.id, job=ledger.job, now=now, unseen=unseen_ids)

    def take_aside(self, job: str) -> None:
        """Keep what is known of a job's shares, though a ledger is to take its place that does not know of them.

        Each stays until that knows of a share of the same lead with the same user, or until its end.
        """
        first = "min((SELECT coalesce(min(row_id), 0) FROM live), 0)"
        theirs = "row_id >= 0 AND ledger_id IN (SELECT id FROM ledgers WHERE job = :job)"
        self._write(
            f"UPDATE live SET row_id = {first} - 1 - row_id WHERE {theirs}",
            "UPDATE ledgers SET mark = NULL, seen = NULL WHERE job = :job",
            job=job,
        )

    def knows_any(self, accounts: Collection[str], host: str, after: datetime, not_in: str) -> bool:
        """Whether there is, or may be, any share that `live_among` would tell of."""
        return bool(
            self._live(f"{_OF_ACCOUNT} LIMIT 1", after=after, accounts=json.dumps([*accounts]), not_in=not_in)
        ) or (self.store is not None and self.store.knows_any(host, after, not_in))

    def live_among(
        self,
        accounts: Collection[str],
        leads: Iterable[str] | None,
        after: datetime,
        *,
        not_in: str = "",
        host: str | None = None,
    ) -> list[LiveShare]:
        """The shares of these leads (None: all) that end after a time, but for those of the job `not_in`.

        Listed ones are of the account by any of its names; those of the store, where no other host can say what the
        account was called, of whichever account of the `host`: no two have a lead in common.
        """
        found = self._live(_OF_ACCOUNT, leads, after=after, accounts=json.dumps([*accounts]), not_in=not_in)
        return found + self.store.live(host, leads, after, not_in) if self.store else found

    def live_after(
        self, after: datetime, leads: Iterable[str] | None = None, host: str | None = None
    ) -> list[LiveShare]:
        """Every share that ends after a time (UTC, without a zone), the first to end first; only of these leads.

        Or of a host, whichever keys they were made with: no two of its accounts have a lead in common. Those that
        are yet to be made are not among them.
        """
        of_host = "ends_at > :after AND host = coalesce(:host, host) AND ends_at != :never"
        order = " ORDER BY ends_at, path, row_id"
        found = self._live(of_host + order, leads, after=after, host=host, never=NEVER)
        if self.store is None:
            return found
        found += [share for share in self.store.live(host, leads, after) if share.ends_at != NEVER]
        return sorted(found, key=lambda share: (share.ends_at, str(share.ledger), share.row_id))

    def live_of(self, job: str, *, aside: bool = False) -> list[LiveShare]:
        """Every share of a job that was noted, but for those that were yet to be made.

        Or, with them, what was taken `aside` of it and is still known to nobody else.
        """
        which = "row_id < 0" if aside else "ends_at != :never"
        return self._live(f"job = :job AND {which}", job=job, never=NEVER)

    def _live(self, which: str, leads: Iterable[str] | None = None, **values: object) -> list[LiveShare]:
        if leads is not None:
            which = f"lead_id IN (SELECT value FROM json_each(:leads)) AND {which}"
            values["leads"] = json.dumps([*leads])
        found = self._read(_LIVE + which, **values)
        names = {path: LedgerName.of(path) for path in {row["path"] for row in found}}
        for row in found:
            row["ledger"] = names[row.pop("path")]
            row |= {"sheet": row["sheet"] or row["ledger"].short, "held": bool(row["held"])}
        return [LiveShare(**row) for row in found]


def _at(moment: datetime) -> str:
    return moment.isoformat(" ", "microseconds")


def _stored(values: Mapping[str, object]) -> dict[str, object]:
    """Values as the file has them."""
    stored = dict(values)
    for name, value in values.items():
        if isinstance(value, datetime):
            stored[name] = _at(value)
        elif isinstance(value, dict):
            stored[name] = json.dumps(value)
    return stored


def _row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> dict[str, Any]:
    row = {name: value for (name, *_), value in zip(cursor.description, values, strict=True)}
    for name, value in row.items():
        if value is not None and name.endswith("_at"):
            row[name] = datetime.fromisoformat(value)
        elif value is not None and name == "counts":
            row[name] = json.loads(value)
    return row


class _Unusable(Exception):
    """The file is there and is no list that this version can read."""


@contextmanager
def open_history(
    folder: Path, ledger: LedgerName | None = None, store: SecretStr | None = None
) -> Iterator[History]:
    """Open the list in `folder`, also beside other processes. Raises HistoryError.

    It tells too of what is in the store of the `ledger`, if it is in one, else in the `store` that is set.

    One that is damaged is put aside, since it may hold what somebody wants, and a new one begun:
    `History.begun_anew` says so.
    """
    file = folder / FILE
    aside: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(folder / ".history.lock", mode=0o600, timeout=20):
            try:
                connection = _open(file)
            except _Unusable:
                number = 1
                while (there := Path(f"{file}{_ASIDE}{number}")).exists():
                    number += 1
                for suffix in ("-wal", "-shm"):
                    file.with_name(file.name + suffix).unlink(missing_ok=True)
                aside = file.replace(there)
                connection = _open(file)
    except LedgerError as error:
        raise HistoryError(file, error.wrong, problem=error.problem, hint=error.hint) from None
    except _Unusable as error:
        raise HistoryError(file, str(error)) from None
    except OSError as error:  # a timeout of the lock too
        raise HistoryError(file, f"it can't be used ({error.strerror or 'another process holds it'})") from None
    told: StoreHistory | None = None
    if store is not None or (ledger is not None and ledger.in_store):
        from batch_share.ledger.known_in_store import StoreHistory  # noqa: PLC0415 - for few, and it takes time

        told = StoreHistory.of(ledger, store)
    with closing(connection):
        yield History(file, connection, aside, told)


def _open(file: Path) -> sqlite3.Connection:
    """Raises _Unusable, HistoryError, LedgerError."""
    create_private(file)
    connection = sqlite3.connect(file, timeout=20, isolation_level=None, check_same_thread=False)
    connection.row_factory = _row
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            _prepare(connection, file)
    except sqlite3.Error as error:
        connection.close()
        if "not a database" in str(error) or "malformed" in str(error):
            raise _Unusable(str(error)) from None
        raise HistoryError(file, f"it can't be used ({error})") from None
    except (_Unusable, HistoryError):
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, file: Path) -> None:
    """Make the tables, or make them those of today."""
    there = {row["name"] for row in connection.execute("SELECT name FROM sqlite_master")}
    steps = [_TABLES]
    if there:
        if not there >= {"about", "ledgers", "runs", "live"}:
            raise _Unusable("it is no index of batch_share")
        known = connection.execute("SELECT version FROM about").fetchone() or {"version": 0}
        if known["version"] > VERSION:
            raise HistoryError(file, "it was written by a later version of batch_share: update this one")
        if known["version"] not in {VERSION, *_UPGRADES}:
            raise _Unusable("it is of an earlier version")
        steps = [_UPGRADES[since] for since in range(known["version"], VERSION)]
    for statement in (each for step in steps for each in step.split(";")):
        connection.execute(statement)
    if steps:
        connection.execute("DELETE FROM about")
        connection.execute("INSERT INTO about VALUES (?)", (VERSION,))


class CallCount:
    """The number of a job's last call, noted in a file of its own in `folder` before the call leaves.

    By it an older copy of the job's ledger is told from the one that made the call. It is of help, not of need: a
    file that can't be written holds up nothing.
    """

    def __init__(self, folder: Path, job: str) -> None:
        # The job is what a ledger says, and that may come from anywhere.
        self._file = folder / "calls" / hashlib.blake2b(job.encode(), digest_size=16).hexdigest()
        self._open: int | None = None

    def read(self) -> int:
        """The number that was noted; 0 if none was."""
        try:
            return int(self._file.read_bytes())
        except (OSError, ValueError):
            return 0

    def note(self, number: int) -> None:
        """A call with this number is about to leave."""
        with suppress(OSError):
            if self._open is None:
                self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._open = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600)
            os.lseek(self._open, 0, os.SEEK_SET)
            os.write(self._open, b"%020d" % number)

    def close(self) -> None:
        """No call is made any more."""
        if self._open is not None:
            os.close(self._open)
            self._open = None

    def forget(self) -> None:
        """The number is known elsewhere: the file is of no more use."""
        self.close()
        with suppress(OSError):
            self._file.unlink(missing_ok=True)


def check_whole(history: History) -> None:
    """Raises HistoryError if it was begun anew, and nobody has seen to what the one before knew."""
    before = sorted(history.file.parent.glob(f"{history.file.name}{_ASIDE}*"))
    if before:
        raise HistoryError(
            history.file,
            "it was begun anew, so what earlier ledgers shared may be missing: take them in with `batch-share runs "
            f"--add LEDGER`, then delete the old one, {before[0]}, and try again",
            problem="The index of runs was begun anew, so what earlier ledgers shared may be missing.",
            hint="Have the earlier ledgers taken in, then have the old index deleted, and try again.",
        )


SAME_END: Final = timedelta(minutes=10)
"""By so much may the ends of one share differ: its copies may have accepted it at different times, and its activity
says the end as it was when it was posted."""


async def note_runs(
    history: History, ledger: LedgerReader, account: str | None, *, goes_on: bool
) -> KnownLedger | None:
    """Take in every run of an open ledger; with `goes_on` the last has not ended.

    None if it holds none, or is an older copy: what that does not know is known. Of one in a store none is.
    """
    if ledger.name.in_store:
        return None
    facts, sheet = await ledger.facts(), await ledger.sheet()
    job, recorded, calls = facts.job, await ledger.runs(), await ledger.last_number()
    if not recorded or calls < history.last_call(job):
        return None
    path, name, counts = Path(sheet.path) if sheet else None, ledger.name.resolved(), await ledger.counts()
    known = history.note_ledger(name, job, facts.host, account, path, calls)
    entries: list[dict[str, Any]] = []
    for run in recorded:
        is_last, ended_at, ended = run is recorded[-1], run.ended_at, run.ended
        if goes_on and is_last:
            ended_at = ended = None
        elif ended_at is None:  # it could not say so itself
            ended_at, ended = await ledger.last_call(run.id) or run.started_at, CUT_OFF
        entry = {
            "id": run_id(job, run.id, run.started_at),
            "number": run.id,
            "command": run.command,
            "started_at": run.started_at,
        }
        entry |= {"sheet": sheet.name if sheet else None, "ended_at": ended_at, "ended": ended}
        entries.append(entry | {"counts": {str(state): n for state, n in counts.items()} if is_last else None})
    history.note_runs(known, entries)
    return known


async def refresh(history: History, ledger: LedgerReader, account: str | None, *, goes_on: bool = False) -> None:
    """Take in the runs of an open ledger, and its live shares if they are others than last time.

    Nothing of an older copy is taken in; of one in a store, what is in it now that its run has ended. Raises
    HistoryError, LedgerError.
    """
    if history.store is not None and ledger.name.in_store:
        if not goes_on:
            sheet = await ledger.sheet()
            history.store.note_end(ledger.name, sheet.name if sheet else None, await ledger.counts())
        return
    stamp = ledger.name.stamp()  # before it is read: what is written meanwhile is looked at next time
    known = await note_runs(history, ledger, account, goes_on=goes_on)
    if known is None:
        return
    if (mark := await ledger.share_mark()) != known.mark:
        await _note_live(history, ledger, known)
    history.note_seen(known, mark, stamp)


async def _note_live(history: History, ledger: LedgerReader, known: KnownLedger) -> None:
    """In parts, so that others need not wait: what was live stays until all was seen."""
    now, recorded = utc_now(), await ledger.runs()
    ids = {run.id: run_id(known.job, run.id, run.started_at) for run in recorded}
    ids[0] = ids[recorded[-1].id]  # of what is yet to be shared
    gone, last = list[int](), -1
    async for page in ledger.share_pages(held=known.forgotten_at is None):
        live = [
            NotedShare(
                *(share.row_id, share.sheet_row, share.lead_id, share.user_id, share.access, share.ends_at),
                *(share.request_id, ids.get(share.run or 0, ""), share.held),
            )
            for share in page
            if share.ends_at is not None and share.ends_at > now
        ]
        if live:
            gone += history.note_live(known, live, last)
            last = live[-1].row_id
    gone += history.note_live(known, [], last)
    # What was taken aside is told by the ledger, once that knows of a share that ends no earlier, or what became of
    # a row that was under way.
    told: list[int] = []
    if aside := history.live_of(known.job, aside=True):
        ends = await ledger.ends_of({(share.lead_id, share.user_id) for share in aside})
        known_ends = ((share, ends.get((share.lead_id, share.user_id))) for share in aside)
        told = [
            share.row_id
            for share, end in known_ends
            if end is not None and (share.ends_at == NEVER or share.ends_at <= end + SAME_END)
        ]
    history.live_noted(known, now, gone, told)


async def catch_up(
    history: History, besides: LedgerName | None = None, host: str | None = None, *, runs_only: bool = False
) -> list[LedgerName]:
    """Look at every ledger that was written since it was last looked at, or has a run of which no end is known.

    But at the one `besides`; with `host`, only at those of that. With `runs_only`, the shares of a run that goes on
    are left to whoever asks for them. Returns those that can't be looked at: of them is known what they told
    before. Raises HistoryError.
    """
    unseen = []
    unended, own = {known.id for known in history.ledgers(unended=True)}, besides and besides.resolved()
    for known in history.ledgers():
        stamp = known.ledger.stamp()
        is_known = stamp is not None and stamp == known.seen and known.id not in unended
        if is_known or known.ledger == own or host not in {None, known.host}:
            continue
        try:
            async with read_ledger(known.ledger) as ledger:
                if (await ledger.facts()).job == known.job:
                    # Not of each: whoever wants to work on it just then would be refused.
                    unended_there = [run for run in (await ledger.runs())[-1:] if run.ended_at is None]
                    goes_on = bool(unended_there) and is_in_use(known.ledger)
                    if goes_on and runs_only:  # of many rows it would take a second each time
                        await note_runs(history, ledger, known.account, goes_on=True)
                    else:
                        await refresh(history, ledger, known.account, goes_on=goes_on)
                    continue
        except HistoryError:
            raise
        except LedgerLocked:  # of an older version, and its run goes on
            unseen.append(known.ledger)
            continue
        except BatchShareError:
            unseen.append(known.ledger)
        if known.id in unended:  # it is gone, can't be read, or another one is in its place
            history.give_up(known)
    return unseen


def is_in_use(ledger: LedgerName) -> bool:
    """Whether a process works on the ledger. Raises LedgerError."""
    try:
        with ledger.locked():
            return False
    except LedgerLocked:
        return True


async def add_ledgers(
    history: History, names: Sequence[LedgerName], accounts: Mapping[str, str]
) -> list[LedgerName]:
    """Take in ledgers that the list does not know; `accounts` by host. Returns older copies, which it does not.

    Raises LedgerError, HistoryError.
    """
    older = []
    for name in names:
        async with read_ledger(name) as ledger:
            facts = await ledger.facts()
            if await ledger.last_number() < history.last_call(facts.job):
                older.append(name)
            await refresh(history, ledger, accounts.get(facts.host), goes_on=is_in_use(name))
    return older
