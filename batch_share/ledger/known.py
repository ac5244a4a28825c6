"""The index of what ran on this machine: every ledger, every run, and the shares that are still live.

Ledgers are the truth: the index only knows where they are and what is live, is brought up to date from them, and is
begun anew where it is damaged or of another version. Times are UTC, without a zone.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock
from sqlalchemy import (
    JSON,
    URL,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    delete,
    event,
    false,
    func,
    inspect,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError

from batch_share.common import utc_now
from batch_share.errors import BatchShareError, HistoryError, LedgerError, LedgerLocked
from batch_share.ledger.database import create_private
from batch_share.ledger.files import LedgerLock, LedgerName, read_ledger
from batch_share.ledger.queries import NEVER
from batch_share.ledger.records import run_id
from batch_share.ledger.states import State

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Engine, Select

    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import RunRecord, Share


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


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run, with its totals by state. `ended_at` is None while it goes on; if `purged_at`, only this is left."""

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


VERSION: Final = 2

metadata = MetaData()

about = Table("about", metadata, Column("version", Integer, primary_key=True))
"""The version of these tables, in one row."""

ledgers = Table(
    "ledgers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("path", Text, nullable=False),
    Column("job", String(40), nullable=False),
    Column("host", Text, nullable=False),
    Column("account", String(40)),  # NULL: it was added by somebody whose keys are not known
    Column("sheet_path", Text),
    Column("mark", Text),  # what `live` was made of; NULL: it is to be made
    Column("calls", Integer),  # the number of its last call; NULL: nobody noted it; since version 2, as the next
    Column("forgotten_at", DateTime),  # somebody said that nobody will finish it
    UniqueConstraint("path", "job"),
)
"""Each ledger, where it was last. One that was begun anew in the place of another is another one."""

runs = Table(
    "runs",
    metadata,
    Column("id", String(8), primary_key=True),
    Column("ledger_id", ForeignKey("ledgers.id"), nullable=False),
    Column("number", Integer, nullable=False),  # in its ledger
    Column("command", String(20), nullable=False),
    Column("sheet", Text),
    Column("started_at", DateTime, nullable=False),
    Column("ended_at", DateTime),  # NULL: it goes on, or was cut off and nobody has looked since
    Column("ended", Text),
    Column("counts", JSON(none_as_null=True)),
    Column("purged_at", DateTime),
    Index("runs_by_start", "started_at"),
    Index("runs_by_ledger", "ledger_id", "number"),
)
"""Each run of a ledger, with its totals."""

live = Table(
    "live",
    metadata,
    Column("ledger_id", ForeignKey("ledgers.id"), primary_key=True),
    Column("row_id", Integer, primary_key=True),  # less than 0: it was taken aside
    Column("sheet_row", Integer, nullable=False),
    Column("lead_id", String(36), nullable=False),
    Column("user_id", String(36), nullable=False),
    Column("access", Integer, nullable=False),
    Column("ends_at", DateTime, nullable=False),
    Column("request_id", String(100)),
    Column("run_id", String(8), nullable=False),
    Column("made", Integer, nullable=False),  # in which bringing up to date it was seen
    Column("held", Boolean, nullable=False, server_default=false()),  # its row is under way; since version 2
    Index("live_by_pair", "lead_id", "user_id"),
    Index("live_by_end", "ends_at"),
)
"""The shares of each ledger that had not ended when it was last looked at. `access` is 0 where nobody knows whether
it stands: it may have been made, or it is being revoked. The rows that are under way are among them, `held`: one
that is not shared yet ends never."""


_RUN: Final = (
    select(runs, ledgers.c.path, ledgers.c.host)
    .join_from(runs, ledgers)
    .order_by(runs.c.started_at.desc(), runs.c.number.desc())
)
_LIVE: Final = select(live, ledgers.c.path, ledgers.c.job, runs.c.sheet).select_from(
    live.join(ledgers).outerjoin(runs, runs.c.id == live.c.run_id)
)
_SHARE: Final = tuple(name for name in LiveShare.__slots__ if name not in {"ledger", "sheet"})


class History:
    """The index, open. Make one with `open_history`. Every method raises HistoryError.

    `begun_anew` is where the one before was put, if it could not be used.
    """

    def __init__(self, file: Path, engine: Engine, begun_anew: Path | None = None) -> None:
        self.file = file
        self.begun_anew = begun_anew
        self._engine = engine

    # ------------------------------------------------------------------------------------------ ledgers, runs

    def note_ledger(
        self, name: LedgerName, job: str, host: str, account: str | None, sheet: Path | None, calls: int = 0
    ) -> KnownLedger:
        """Take in a ledger, or where it is now. An account that is known stays, if none is given.

        `calls` is the number of its last call.
        """
        values = {"path": str(name), "job": job, "host": host, "account": account, "calls": calls}
        values["sheet_path"] = str(sheet) if sheet else None
        new = insert(ledgers).values(values)
        changes = {
            "host": host,
            "calls": calls,
            "account": func.coalesce(new.excluded.account, ledgers.c.account),
            "sheet_path": func.coalesce(new.excluded.sheet_path, ledgers.c.sheet_path),
        }
        with self._writing() as connection:
            connection.execute(new.on_conflict_do_update(index_elements=["path", "job"], set_=changes))
            found = connection.execute(
                select(ledgers).where(ledgers.c.path == str(name), ledgers.c.job == job)
            ).mappings()
            return _ledger(found.one())

    def moved(self, old: LedgerName, new: LedgerName, job: str | None = None) -> None:
        """A ledger is at another place, and with it its sheet if that was beside it.

        Without `job`, all that were ever known to be there are.
        """
        there_before = (ledgers.c.path == str(old)) & (true() if job is None else ledgers.c.job == job)
        with self._writing() as connection:
            for row in connection.execute(select(ledgers).where(there_before)).mappings().all():
                known = _ledger(row)
                there = (ledgers.c.path == str(new)) & (ledgers.c.job == known.job)
                if connection.execute(select(ledgers.c.id).where(there)).first():  # it was noted there already
                    connection.execute(delete(live).where(live.c.ledger_id == known.id))
                    continue
                sheet = known.sheet_path
                if sheet is not None and sheet == old.beside(sheet.name):
                    sheet = new.beside(sheet.name)
                values = {"path": str(new), "sheet_path": str(sheet) if sheet else None}
                connection.execute(update(ledgers).where(ledgers.c.id == known.id).values(values))

    def elsewhere(self, job: str, name: LedgerName) -> list[LedgerName]:
        """Where else than there a ledger was known to be."""
        others = select(ledgers.c.path).where(ledgers.c.job == job, ledgers.c.path != str(name))
        with self._reading() as connection:
            return [LedgerName.of(found) for found in connection.execute(others).scalars()]

    def numbers(self, ledger: KnownLedger) -> dict[int, bool]:
        """The runs of a ledger that are known, by number: whether they are known to have ended."""
        with self._reading() as connection:
            found = connection.execute(select(runs.c.number, runs.c.ended_at).where(runs.c.ledger_id == ledger.id))
            return {number: ended_at is not None for number, ended_at in found}

    def note_runs(self, ledger: KnownLedger, entries: Sequence[Mapping[str, Any]]) -> None:
        """Take in runs as they are in their ledger; counts that are None stay as they were."""
        new = insert(runs)
        changes = {
            "ledger_id": new.excluded.ledger_id,
            "sheet": func.coalesce(new.excluded.sheet, runs.c.sheet),
            "ended_at": new.excluded.ended_at,
            "ended": new.excluded.ended,
            "counts": func.coalesce(new.excluded.counts, runs.c.counts),
            "purged_at": None,
        }
        if entries:
            with self._writing() as connection:
                upsert = new.on_conflict_do_update(index_elements=["id"], set_=changes)
                connection.execute(upsert, [{"ledger_id": ledger.id, **entry} for entry in entries])

    def runs(self, limit: int | None = None) -> list[KnownRun]:
        """The runs of this machine, newest first."""
        return self._runs(_RUN.limit(limit))

    def run(self, run_id: str) -> KnownRun | None:
        """The run of this Id."""
        found = self._runs(_RUN.where(runs.c.id == run_id))
        return found[0] if found else None

    def _runs(self, query: Select[Any]) -> list[KnownRun]:
        with self._reading() as connection:
            found = connection.execute(query).mappings().all()
        names = [name for name in KnownRun.__slots__ if name != "ledger"]
        return [KnownRun(ledger=LedgerName.of(row["path"]), **{name: row[name] for name in names}) for row in found]

    def ledger_of_sheet(self, sheet: Path) -> LedgerName | None:
        """Where the ledger is that a sheet was run into last, of those that are there."""
        paths = {str(sheet.absolute()), str(sheet.resolve())}
        last = select(ledgers.c.path).join_from(ledgers, runs).where(ledgers.c.sheet_path.in_(paths))
        with self._reading() as connection:
            found = connection.execute(last.order_by(runs.c.started_at.desc())).scalars()
            return next((name for name in map(LedgerName.of, found) if name.exists()), None)

    def ledger_of_job(self, beginning: str) -> LedgerName | None:
        """Where the ledger of the job is whose Id begins so, of those that are there."""
        of_job = select(ledgers.c.path).where(ledgers.c.job.startswith(beginning)).order_by(ledgers.c.id.desc())
        with self._reading() as connection:
            found = connection.execute(of_job).scalars()
            return next((name for name in map(LedgerName.of, found) if name.exists()), None)

    def ledgers(self, *, unended: bool = False) -> list[KnownLedger]:
        """Every ledger that was not purged; with `unended`, those with a run of which no end is known."""
        here = select(runs.c.id).where(runs.c.ledger_id == ledgers.c.id, runs.c.purged_at.is_(None))
        if unended:
            here = here.where(runs.c.ended_at.is_(None))
        with self._reading() as connection:
            found = connection.execute(select(ledgers).where(here.exists()).order_by(ledgers.c.id)).mappings()
            return [_ledger(row) for row in found]

    def last_end(self, ledger: KnownLedger) -> datetime | None:
        """When the last run of a ledger ended; None if one may go on."""
        with self._reading() as connection:
            found = connection.execute(select(runs.c.ended_at).where(runs.c.ledger_id == ledger.id)).scalars()
            ends = [*found]
        return None if None in ends or not ends else max(end for end in ends if end)

    def last_call(self, job: str) -> int:
        """The number of the last call of a job that anybody has noted, in whichever of its ledgers."""
        with self._reading() as connection:
            found = connection.scalar(select(func.max(ledgers.c.calls)).where(ledgers.c.job == job))
        return max(found or 0, CallCount(self.file.parent, job).read())

    def unfinished(self, name: LedgerName, host: str, but: str) -> tuple[KnownLedger, KnownRun] | None:
        """The ledger that was at a place before the one of the job `but`, with its last run, if that left rows.

        Such as were to be sent, or under way. None if nobody is to finish it, or no call was ever made for it.
        """
        at = (ledgers.c.path == str(name), ledgers.c.host == host, ledgers.c.job != but)
        last = self._runs(_RUN.where(*at, runs.c.purged_at.is_(None)).limit(1))
        if not last or not _is_unfinished(last[0]):
            return None
        of_run = select(ledgers).join_from(runs, ledgers).where(runs.c.id == last[0].id)
        with self._reading() as connection:
            ledger = _ledger(connection.execute(of_run).mappings().one())
        if ledger.forgotten_at or not (ledger.calls is None or self.last_call(ledger.job)):
            return None
        return ledger, last[0]

    def take_aside(self, job: str) -> None:
        """Keep what is known of a job's shares, though a ledger is to take its place that does not know of them.

        Each stays until that knows of a share of the same lead with the same user, or until its end.
        """
        with self._writing() as connection:
            first = connection.scalar(select(func.min(live.c.row_id))) or 0
            theirs = select(ledgers.c.id).where(ledgers.c.job == job)
            known = (live.c.row_id >= 0) & live.c.ledger_id.in_(theirs)
            connection.execute(update(live).where(known).values(row_id=min(first, 0) - 1 - live.c.row_id))
            connection.execute(update(ledgers).where(ledgers.c.job == job).values(mark=None))

    def taken_aside(self, job: str) -> list[LiveShare]:
        """What was taken aside of a job and is still known to nobody else."""
        return self._shares(_LIVE.where(ledgers.c.job == job, live.c.row_id < 0))

    def drop_aside(self, job: str, row_ids: Sequence[int]) -> None:
        """Forget these, by what they are known by: the job's ledger knows of them."""
        theirs = select(ledgers.c.id).where(ledgers.c.job == job)
        with self._writing() as connection:
            for at in range(0, len(row_ids), _CHUNK):
                these = live.c.row_id.in_(row_ids[at : at + _CHUNK])
                connection.execute(delete(live).where(live.c.ledger_id.in_(theirs), these))

    def runs_of(self, job: str) -> dict[str, int]:
        """By the Ids of a job's known runs, whichever copy had them, how many rows were revoked by their end."""
        with self._reading() as connection:
            of_job = select(runs.c.id, runs.c.counts).join_from(runs, ledgers).where(ledgers.c.job == job)
            counts = {run.id: run.counts or {} for run in connection.execute(of_job)}
        return {each: sum(states.get(state, 0) for state in _REVOKED) for each, states in counts.items()}

    def first_start(self, job: str) -> datetime | None:
        """When the first run of a job began that is known."""
        first = select(func.min(runs.c.started_at)).join_from(runs, ledgers).where(ledgers.c.job == job)
        with self._reading() as connection:
            started_at: datetime | None = connection.scalar(first)
        return started_at

    def forget(self, run_id: str, at: datetime) -> None:
        """Nobody will finish the job of this run: its rows that are under way are held no longer."""
        with self._writing() as connection:
            of_run = select(ledgers.c.job).join_from(runs, ledgers).where(runs.c.id == run_id)
            job = connection.scalar(of_run)
            ids = select(ledgers.c.id).where(ledgers.c.job == job)
            connection.execute(update(ledgers).where(ledgers.c.job == job).values(forgotten_at=at))
            connection.execute(delete(live).where(live.c.ledger_id.in_(ids), live.c.ends_at == NEVER))
            connection.execute(update(live).where(live.c.ledger_id.in_(ids)).values(held=False))

    def go_on(self, job: str) -> None:
        """A job that nobody was to finish goes on."""
        with self._writing() as connection:
            again = update(ledgers).where(ledgers.c.job == job, ledgers.c.forgotten_at.is_not(None))
            connection.execute(again.values(forgotten_at=None, mark=None))

    def give_up(self, ledger: KnownLedger, words: str) -> None:
        """Its runs without an end won't be told of any more: nobody can look."""
        unended = update(runs).where(runs.c.ledger_id == ledger.id, runs.c.ended_at.is_(None))
        with self._writing() as connection:
            connection.execute(unended.values(ended_at=runs.c.started_at, ended=words))

    def purged(self, ledger: KnownLedger, at: datetime) -> None:
        """Note that nothing of a ledger is left but the counts of its runs."""
        with self._writing() as connection:
            connection.execute(delete(live).where(live.c.ledger_id == ledger.id))
            connection.execute(update(runs).where(runs.c.ledger_id == ledger.id).values(purged_at=at))
            connection.execute(update(ledgers).where(ledgers.c.id == ledger.id).values(mark=None))

    # ------------------------------------------------------------------------------------------ live shares

    def next_making(self, ledger: KnownLedger) -> int:
        """The number by which the live shares of a ledger are known that are about to be noted."""
        with self._reading() as connection:
            found = connection.scalar(select(func.max(live.c.made)).where(live.c.ledger_id == ledger.id))
            return (found or 0) + 1

    def note_live(self, ledger: KnownLedger, made: int, shares: Iterable[Mapping[str, Any]]) -> None:
        """Take in live shares of a ledger, those that are there already too."""
        values = [{"ledger_id": ledger.id, "made": made, **share} for share in shares]
        if values:
            with self._writing() as connection:
                connection.execute(insert(live).prefix_with("OR REPLACE"), values)

    def live_noted(self, ledger: KnownLedger, made: int, mark: str, now: datetime) -> None:
        """All were taken in, made of a ledger that is known by `mark`: forget what was not, and what has ended.

        Of other copies of it too, which are older; but not what was taken aside.
        """
        of_job = live.c.ledger_id.in_(select(ledgers.c.id).where(ledgers.c.job == ledger.job))
        gone = of_job & ((live.c.ledger_id != ledger.id) | (live.c.made != made)) & (live.c.row_id >= 0)
        with self._writing() as connection:
            connection.execute(delete(live).where(or_(gone, live.c.ends_at <= now)))
            connection.execute(update(ledgers).where(ledgers.c.id == ledger.id).values(mark=mark))

    def any_live(self, accounts: Collection[str], now: datetime, *, not_in: str) -> bool:
        """Whether the account, by any of its names, has live shares that were not made by the job `not_in`."""
        which = (ledgers.c.account.in_(accounts), ledgers.c.job != not_in, live.c.ends_at > now)
        with self._reading() as connection:
            found = connection.execute(select(live.c.row_id).join_from(live, ledgers).where(*which).limit(1))
            return found.first() is not None

    def live_among(
        self, accounts: Collection[str], leads: Iterable[str], after: datetime, *, not_in: str = ""
    ) -> list[LiveShare]:
        """The shares of these leads that end after a time, without those of the job `not_in`."""
        return self._live_among(ledgers.c.account.in_(accounts), leads, after, not_in)

    def live_at(self, host: str, leads: Iterable[str], after: datetime) -> list[LiveShare]:
        """The same of a host, whichever keys they were made with: no two of its accounts have a lead in common.

        Those that are yet to be made are not among them.
        """
        found = self._live_among(ledgers.c.host == host, leads, after, "")
        return [share for share in found if share.ends_at != NEVER]

    def live_after(self, after: datetime) -> list[LiveShare]:
        """Every share that ends after a time (UTC, without a zone), the first to end first."""
        last = (live.c.ends_at > after) & (live.c.ends_at != NEVER)
        return self._shares(_LIVE.where(last).order_by(live.c.ends_at, ledgers.c.path, live.c.row_id))

    def live_of(self, job: str) -> list[LiveShare]:
        """Every share of a job that was noted, but for those that were yet to be made."""
        return self._shares(_LIVE.where(ledgers.c.job == job, live.c.ends_at != NEVER))

    def _live_among(
        self, ours: ColumnElement[bool], leads: Iterable[str], after: datetime, not_in: str
    ) -> list[LiveShare]:
        # The ledger unindexed: by it, a database would go through all its shares for every few leads.
        theirs = select(ledgers.c.id).where(ours, ledgers.c.job != not_in)
        which = live.c.lead_id.in_([*leads]) & (live.c.ends_at > after)
        return self._shares(_LIVE.where(which, (live.c.ledger_id + 0).in_(theirs)))

    def _shares(self, query: Select[Any]) -> list[LiveShare]:
        with self._reading() as connection:
            found = connection.execute(query).mappings().all()
        names = {text: LedgerName.of(text) for text in {row["path"] for row in found}}
        return [_share(row, names[row["path"]]) for row in found]

    def _reading(self) -> AbstractContextManager[Connection]:
        return self._working(self._engine.execution_options(reads=True))

    def _writing(self) -> AbstractContextManager[Connection]:
        return self._working(self._engine)

    @contextmanager
    def _working(self, engine: Engine) -> Iterator[Connection]:
        try:
            with engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            problem = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise HistoryError(self.file, f"it can't be read or written ({problem})") from None


def _is_unfinished(run: KnownRun) -> bool:
    """Whether a ledger's last run left rows that are to be sent, or of which nobody knows."""
    if run.ended in {None, CUT_OFF, GONE}:
        return True
    left = [State(state) for state, rows in (run.counts or {}).items() if rows]
    return any(each.is_on_its_way or each.is_being_revoked or each is State.UNKNOWN for each in left)


def _share(row: Mapping[Any, Any], ledger: LedgerName) -> LiveShare:
    values = {name: row[name] for name in _SHARE}
    return LiveShare(ledger=ledger, sheet=row["sheet"] or ledger.short, **values)


def _ledger(row: Mapping[Any, Any]) -> KnownLedger:
    names = [name for name in KnownLedger.__slots__ if name not in {"ledger", "sheet_path"}]
    sheet = row["sheet_path"]
    values = {name: row[name] for name in names}
    return KnownLedger(ledger=LedgerName.of(row["path"]), sheet_path=Path(sheet) if sheet else None, **values)


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
        raise HistoryError(file, error.wrong, problem=error.problem, hint=error.hint) from None
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
        metadata.create_all(connection)
        connection.execute(insert(about).values(version=VERSION))
        return
    if not tables >= set(metadata.tables):
        raise _Unusable("it is no index of batch_share")
    found = connection.scalar(select(about.c.version))
    if found is not None and found > VERSION:
        raise HistoryError(file, _TOO_NEW)
    if found == 1:
        for statement in _SINCE_1:
            connection.exec_driver_sql(statement)
        connection.execute(update(ledgers).values(mark=None))  # so that what is under way is noted
        connection.execute(update(about).values(version=VERSION))
    elif found != VERSION:
        raise _Unusable("it is of an earlier version")


_SINCE_1: Final = (
    "ALTER TABLE ledgers ADD COLUMN calls INTEGER",
    "ALTER TABLE ledgers ADD COLUMN forgotten_at DATETIME",
    "ALTER TABLE live ADD COLUMN held BOOLEAN NOT NULL DEFAULT 0",
)


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


def _put_aside(file: Path) -> Path:
    """Keep a file that can't be used under another name: it may hold what somebody wants."""
    number = 1
    while (aside := file.with_name(f"{file.name}{_ASIDE}{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    return file.replace(aside)


_SAME_END: Final = timedelta(minutes=10)
"""Two copies of a ledger may differ in when a share of theirs was accepted, so ends."""

_REVOKED: Final = (State.TO_REVOKE, State.REVOKING, State.ENDING, State.REVOKED)
CUT_OFF: Final = "cut off"
GONE: Final = "unknown: its ledger is gone, or can't be read"
_CHUNK: Final = 2000


async def note_runs(
    history: History, ledger: LedgerReader, account: str | None, *, goes_on: bool
) -> KnownLedger | None:
    """Take in every run of an open ledger; with `goes_on` the last has not ended. None if it holds none."""
    facts, sheet = await ledger.facts(), await ledger.sheet()
    recorded, counts = await ledger.runs(), await ledger.counts()
    if not recorded:
        return None
    path, name, calls = Path(sheet.path) if sheet else None, ledger.name.resolved(), await ledger.last_number()
    if calls < history.last_call(facts["job"]):  # an older copy: what it does not know is known
        return None
    for other in history.elsewhere(facts["job"], name):
        if not other.exists():
            history.moved(other, name, facts["job"])
    known = history.note_ledger(name, facts["job"], facts["host"], account, path, calls)
    ended = history.numbers(known)
    last = recorded[-1]
    entries = []
    for each in recorded:
        if ended.get(each.id) and each is not last:
            continue
        entry = await _ended(ledger, each, goes_on=goes_on and each is last)
        entry |= {"counts": {str(state): n for state, n in counts.items()} if each is last else None}
        entry |= {"id": run_id(facts["job"], each), "number": each.id, "command": each.command}
        entries.append(entry | {"started_at": each.started_at, "sheet": sheet.name if sheet else None})
    history.note_runs(known, entries)
    return known


async def _ended(ledger: LedgerReader, run: RunRecord, *, goes_on: bool) -> dict[str, Any]:
    """When and how a run ended, also if it could not say so itself."""
    if goes_on:
        return {"ended_at": None, "ended": None}
    if run.ended_at is not None:
        return {"ended_at": run.ended_at, "ended": run.ended}
    return {"ended_at": await ledger.last_call(run.id) or run.started_at, "ended": CUT_OFF}


async def refresh(history: History, ledger: LedgerReader, account: str | None, *, goes_on: bool = False) -> None:
    """Take in the runs of an open ledger, and its live shares if they are others than last time.

    Nothing of an older copy is taken in. Raises HistoryError, LedgerError.
    """
    known = await note_runs(history, ledger, account, goes_on=goes_on)
    if known is not None and (mark := await ledger.share_mark()) != known.mark:
        await _note_live(history, ledger, known, mark, utc_now())


async def _note_live(history: History, ledger: LedgerReader, known: KnownLedger, mark: str, now: datetime) -> None:
    """In parts, so that others need not wait: what was live stays until all was seen."""
    recorded = await ledger.runs()
    ids = {run.id: run_id(known.job, run) for run in recorded}
    ids[0] = ids[recorded[-1].id]  # of what is yet to be shared
    made, chunk = history.next_making(known), list[dict[str, Any]]()
    async for share in ledger.shares(held=known.forgotten_at is None):
        if share.ends_at is not None and share.ends_at > now:
            chunk.append(_values(share, ids))
        if len(chunk) == _CHUNK:
            history.note_live(known, made, chunk)
            chunk = []
    history.note_live(known, made, chunk)
    history.live_noted(known, made, mark, now)
    if aside := history.taken_aside(known.job):
        ends = await ledger.ends_of({(share.lead_id, share.user_id) for share in aside})
        history.drop_aside(known.job, [each.row_id for each in aside if _is_told(each, ends)])


def _is_told(share: LiveShare, ends: Mapping[tuple[str, str], datetime]) -> bool:
    """Whether a ledger knows of a share, or what became of a row that was under way: by the ends that it knows."""
    end = ends.get((share.lead_id, share.user_id))
    return end is not None and (share.ends_at == NEVER or share.ends_at <= end + _SAME_END)


def _values(share: Share, run_ids: Mapping[int, str]) -> dict[str, Any]:
    return {
        "row_id": share.row_id,
        "sheet_row": share.sheet_row,
        "lead_id": share.lead_id,
        "user_id": share.user_id,
        "access": share.access,
        "ends_at": share.ends_at,
        "request_id": share.request_id,
        "run_id": run_ids.get(share.run or 0, ""),
        "held": share.held,
    }


async def catch_up(history: History, besides: LedgerName | None = None) -> None:
    """Find out about every run of which no end is known, but those of the ledger `besides`. Raises HistoryError."""
    for known in history.ledgers(unended=True):
        if not _is_same(known.ledger, besides):
            await _catch_up(history, known)


def _is_same(known: LedgerName, other: LedgerName | None) -> bool:
    return other is not None and known == other.resolved()


async def _catch_up(history: History, known: KnownLedger) -> None:
    if not known.ledger.exists():
        history.give_up(known, GONE)
        return
    try:
        in_use = is_in_use(known.ledger)
        async with read_ledger(known.ledger) as ledger:
            if (await ledger.facts())["job"] != known.job:
                history.give_up(known, GONE)
                return
            await refresh(history, ledger, known.account, goes_on=in_use)
    except HistoryError:
        raise
    except LedgerLocked:  # of an older version, and its run goes on
        return
    except BatchShareError:
        history.give_up(known, GONE)


async def look_at_all(history: History, host: str, besides: LedgerName) -> list[LedgerName]:
    """Bring everything that is known of a host's ledgers up to date; those that can't be looked at.

    Raises HistoryError.
    """
    unseen = []
    for known in history.ledgers():
        if known.host == host and not _is_same(known.ledger, besides):
            try:
                async with read_ledger(known.ledger) as ledger:
                    await refresh(history, ledger, known.account, goes_on=is_in_use(known.ledger))
            except HistoryError:
                raise
            except BatchShareError:
                unseen.append(known.ledger)
    return unseen


def is_in_use(ledger: LedgerName) -> bool:
    """Whether a process works on the ledger. Raises LedgerError."""
    lock = LedgerLock(ledger)
    try:
        lock.acquire()
    except LedgerLocked:
        return True
    lock.release()
    return False


async def add_ledgers(
    history: History, names: Sequence[LedgerName], accounts: Mapping[str, str]
) -> list[LedgerName]:
    """Take in ledgers that the index does not know; `accounts` by host. Returns older copies, which it does not.

    Raises LedgerError, HistoryError.
    """
    older = []
    for name in names:
        async with read_ledger(name) as ledger:
            facts = await ledger.facts()
            if await ledger.last_number() < history.last_call(facts["job"]):
                older.append(name)
            await refresh(history, ledger, accounts.get(facts["host"]), goes_on=is_in_use(name))
    return older
