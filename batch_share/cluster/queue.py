"""The jobs of a store, the sheets that they are of, and the schedules that make them.

All times are the store's: no two hosts' clocks are ever held against each other.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import NullPool, text
from sqlalchemy.exc import SQLAlchemyError

from batch_share.cluster import engine
from batch_share.errors import BatchShareError, LedgerError, ScheduleMissed, SettingsError
from batch_share.ledger import schema
from batch_share.ledger.postgres import SERVED, WORKERS, Store, StoredName, explain, try_lock
from batch_share.logs import log

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection

    from batch_share.ledger.files import LedgerName

JobState = Literal["queued", "running", "ended", "cancelled"]

LEAST_REST, MOST_REST = 5, 60
"""Seconds that a job rests after trouble with the store: it doubles, for a disk is not made larger at once."""

FOLLOW_UP_AFTER, FOLLOW_UP_EVERY, FOLLOWED_UP_FOR = 5 * 60, 60 * 60, 24 * 60 * 60
"""Seconds from a job's end to the first follow-up of what is still in process, and at most between two: each comes
when that end is twice as long ago. After a day without an answer a person is to look."""

LATE: Final = 15 * 60
"""Seconds after which a schedule's time counts as missed: a worker that is updated is back by then."""

_LIVING: Final = f"""living AS MATERIALIZED (
    SELECT objid::bigint::integer AS worker FROM pg_locks
    WHERE locktype = 'advisory' AND classid = {WORKERS} AND objsubid = 2 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"""  # noqa: S608
_DUE: Final = """due AS (
    SELECT DISTINCT ON (account) id FROM batch_share.jobs AS job
    WHERE state IN ('queued', 'running') AND account = ANY(:accounts) AND due <= now()
    AND (rests_until IS NULL OR rests_until <= now())
    AND (worker IS NULL OR worker NOT IN (SELECT worker FROM living))
    AND NOT EXISTS (SELECT FROM batch_share.jobs AS other WHERE other.account = job.account
        AND other.state = 'running' AND other.worker IN (SELECT worker FROM living))
    ORDER BY account, state DESC, due, id)"""  # one an account: what somebody began, then what is due for longest
_SEEN: Final = text(
    f"WITH {_LIVING}, {_DUE} SELECT EXISTS (SELECT FROM due) AS is_due, "  # noqa: S608
    "(SELECT max(version) FROM batch_share.store) AS version, "
    "ARRAY(SELECT id FROM batch_share.jobs WHERE worker = :me AND stop) AS stop, "
    "ARRAY(SELECT id FROM batch_share.jobs WHERE worker = :me AND cut) AS cut, "
    "EXISTS (SELECT FROM batch_share.schedules WHERE next <= now() AND NOT paused) AS is_time"
)
_CLAIM: Final = text(
    f"WITH {_LIVING}, {_DUE} UPDATE batch_share.jobs SET worker = :me, host = :host, "  # noqa: S608
    "state = 'running', began = coalesce(began, now()) FROM due WHERE jobs.id = due.id RETURNING jobs.*"
)
_HAS_WORKER: Final = text(
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' "  # noqa: S608
    f"AND classid = {SERVED} AND objsubid = 2 AND granted "
    "AND objid = (hashtext(:account)::bigint & 4294967295)::oid "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
)
_END: Final = text(
    "UPDATE batch_share.jobs SET worker = NULL, state = :state, exit_code = :exit_code, error = :error, "
    "progress = coalesce(:progress, progress), "
    "ended = CASE WHEN :state IN ('ended', 'cancelled') THEN now() END, "
    "rested = CASE WHEN :rests THEN least(:most, greatest(:least, 2 * rested)) ELSE 0 END, "
    "rests_until = CASE WHEN :rests THEN now() + make_interval(secs => least(:most, greatest(:least, 2 * rested))) "
    "END WHERE id = :id AND worker = :me"
)

_FOLLOW_UP: Final = text(
    "WITH job AS (SELECT *, coalesce((options ->> 'since')::float, extract(epoch FROM now())) AS since "
    "FROM batch_share.jobs WHERE id = :id), "
    "told AS (SELECT *, json_build_object('settings', options -> 'settings', 'since', since) AS its FROM job), "
    "there AS (UPDATE batch_share.jobs AS other SET options = told.its FROM told WHERE other.ledger = told.ledger "
    "AND other.kind = 'follow_up' AND other.state = 'queued' RETURNING other.id) "  # of a run before: one is enough
    "INSERT INTO batch_share.jobs (ledger, account, kind, options, submitted_by, due) "
    "SELECT ledger, account, 'follow_up', its, submitted_by, "
    "now() + make_interval(secs => least(:most, greatest(:least, extract(epoch FROM now()) - since))) "
    "FROM told WHERE NOT EXISTS (SELECT FROM there)"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job to be handed over: of this `kind`, on the ledger of this name, for an `account` by its name.

    `options` are settings and how the sheet is read, without keys; `approved` is what the job is held to. It is
    `due` at once, unless that says when. With a `sheet`, its name and bytes, those are kept for it.
    """

    ledger: str
    account: str
    by: str
    kind: str = "run"
    options: Mapping[str, Any] = field(default_factory=dict)
    approved: Mapping[str, Any] | None = None
    due: dt.datetime | None = None
    sheet: tuple[str, bytes] | None = None


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job of a store. `stop`: somebody asked for its end. `host`: where it was begun last."""

    id: int
    ledger: str
    account: str
    kind: str
    options: Mapping[str, Any]
    approved: Mapping[str, Any] | None
    sheet: int | None
    schedule: str | None
    submitted_by: str
    submitted: dt.datetime
    due: dt.datetime
    state: JobState
    stop: bool
    host: str | None
    began: dt.datetime | None
    ended: dt.datetime | None
    exit_code: int | None
    error: str | None
    progress: Mapping[str, Any] | None

    @classmethod
    def of(cls, row: Any) -> QueuedJob:
        """As it is in its table."""
        return cls(**{name: getattr(row, name) for name in cls.__dataclass_fields__})

    @property
    def may_be_followed_up(self) -> bool:
        """Whether what is still in process at its end is asked for again by itself: a day from the first one on."""
        due = self.due.timestamp()
        return due - float(self.options.get("since", due)) < FOLLOWED_UP_FOR

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state in {"ended", "cancelled"}

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        shown = (
            "id",
            "ledger",
            "account",
            "kind",
            "state",
            "host",
            "schedule",
            "submitted_by",
            "exit_code",
            "error",
        )
        return {name: getattr(self, name) for name in shown} | _times(self, "submitted", "due", "began", "ended")


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a worker left a job: over, or given back `queued` or `running`; or it `rests` after trouble.

    `follows`: requests of it are still in process, and are to be asked for later.
    """

    id: int
    state: JobState
    exit_code: int | None = None
    error: str | None = None
    rests: bool = False
    progress: Mapping[str, Any] | None = None
    follows: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """Runs its sheet, the newest in the ledger of its name, whenever `cron` says so by the clocks of its `zone`.

    `next` and `last` are when it is due, and when it made a job. It `dropped` so many, as the one before went on.
    `missed` is the latest time at which it should have run, and did not.
    """

    name: str
    account: str
    cron: str
    zone: str
    next: dt.datetime
    last: dt.datetime | None
    dropped: int
    paused: bool
    missed: dt.datetime | None

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        shown = ("name", "account", "cron", "zone", "dropped", "paused")
        return {name: getattr(self, name) for name in shown} | _times(self, "next", "last", "missed")


def _times(of: object, *names: str) -> dict[str, str | None]:
    """For programs, in UTC; None where it is not known yet."""
    moments = {name: getattr(of, name) for name in names}
    return {name: f"{at.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}" if at else None for name, at in moments.items()}


def next_time(cron: str, zone: str, after: dt.datetime) -> dt.datetime:
    """When `cron` (five fields) says so next by the clocks of a zone, in UTC. Raises SettingsError.

    What falls into the hour that clocks repeat comes once, in the first of the two; what falls into the hour that
    they leave out comes an hour later. So it is reckoned by the clock on the wall, and what is not later is passed.
    """
    from croniter import croniter  # noqa: PLC0415 - it is there only where it is used
    from croniter.croniter import CroniterError  # noqa: PLC0415

    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError("timezone", f"there is no time zone {zone!r}: write one as in Europe/Berlin") from None
    if len(cron.split()) != 5:  # with six the first would be taken for minutes still
        raise SettingsError("cron", 'write five fields, minute hour day month weekday, as in "0 7 * * 1-5"')
    wall = after.astimezone(place).replace(tzinfo=None, fold=0)
    try:
        moments = croniter(cron, wall, ret_type=dt.datetime)
        while True:
            found: dt.datetime = moments.get_next(dt.datetime).replace(tzinfo=place).astimezone(dt.UTC)
            if found > after:
                return found
    except (CroniterError, ValueError, KeyError):
        wrong = f'{cron!r} is no time that comes: write minute hour day month weekday, as in "0 7 * * 1-5"'
        raise SettingsError("cron", wrong) from None


class Queue:
    """What is to be done in a store. Its methods raise LedgerError where the store can't be used."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    def at(cls, url: str) -> Queue:
        """That of the store at this URL. Raises SettingsError, which quotes nothing of it."""
        return cls(Store.of(url))

    @classmethod
    def of(cls, ledger: LedgerName) -> Queue | None:
        """That of the store that a ledger is in; None of one in a file."""
        return cls(ledger.store) if isinstance(ledger, StoredName) else None

    def ledger(self, name: str | None, sheet: str = "") -> StoredName:
        """The ledger of this name in its store; without one, a new one for the sheet called so."""
        new = f"{sheet}-{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        return StoredName(self.store, name or new)

    def submit(self, wanted: Wanted) -> QueuedJob:
        """Keep a job, and its sheet with it, in one transaction."""
        with self.store.looking() as connection:
            self.store.check_version(connection)
            job = _add(connection, wanted)
            engine.call(connection, wanted.account)
            return job

    def job(self, wanted: int) -> QueuedJob:
        """The job of this Id. Raises BatchShareError if there is none."""
        with self.store.looking() as connection:
            found = text("SELECT * FROM batch_share.jobs WHERE id = :id")
            row = connection.execute(found, {"id": wanted}).one_or_none()
        if row is None:
            raise BatchShareError(f"There is no job {wanted} in {self.store}.", problem="There is no such job.")
        return QueuedJob.of(row)

    def jobs(self, most: int = 20) -> list[QueuedJob]:
        """The newest, so many at most, newest first."""
        with self.store.looking() as connection:
            self.store.check_version(connection)
            found = text("SELECT * FROM batch_share.jobs ORDER BY id DESC LIMIT :most")
            return [QueuedJob.of(row) for row in connection.execute(found, {"most": most})]

    def sheet(self, job: QueuedJob) -> tuple[str, bytes]:
        """The name and the bytes of a job's sheet. Raises LedgerError if they were purged."""
        with self.store.looking() as connection:
            found = text("SELECT name, bytes FROM batch_share.stored_sheets WHERE id = :id")
            row = connection.execute(found, {"id": job.sheet}).one_or_none()
        if row is None:
            raise LedgerError(f"{self.store}#{job.ledger}", "the sheet of this job was purged: submit it anew")
        return str(row.name), bytes(row.bytes)

    def open_jobs(self) -> dict[str, QueuedJob]:
        """By ledger, what goes on or is handed over. A follow-up that waits for its time holds nobody up."""
        with self.store.looking() as connection:
            waits = "(state = 'queued' AND kind <> 'follow_up')"
            found = f"SELECT * FROM batch_share.jobs WHERE state = 'running' OR {waits}"  # noqa: S608
            return {row.ledger: QueuedJob.of(row) for row in connection.execute(text(f"{found} ORDER BY id DESC"))}

    def has_worker(self, account: str) -> bool:
        """Whether a worker is there that has the keys of the account of this name."""
        with self.store.looking() as connection:
            return bool(connection.scalar(_HAS_WORKER, {"account": account}))

    def cancel(self, wanted: int, *, cut: bool = False) -> QueuedJob:
        """Ask for a job's end: whoever does it ends it as by Ctrl-C, and one that is not begun never is.

        `cut`: what is under way is not waited for.
        """
        with self.store.looking() as connection:
            asked = (
                "UPDATE batch_share.jobs SET stop = true, cut = cut OR :cut, "
                "state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END, "
                "ended = CASE state WHEN 'queued' THEN now() ELSE ended END "
                "WHERE id = :id AND state IN ('queued', 'running')"
            )
            account = connection.scalar(text(f"{asked} RETURNING account"), {"id": wanted, "cut": cut})
            if account is not None:
                engine.call(connection, account)
        return self.job(wanted)

    def schedules(self) -> list[Schedule]:
        """All of them, by their names."""
        with self.store.looking() as connection:
            self.store.check_version(connection)
            rows = connection.execute(text("SELECT * FROM batch_share.schedules ORDER BY name"))
            return [Schedule(*(getattr(row, name) for name in Schedule.__dataclass_fields__)) for row in rows]

    def add_schedule(self, name: str, cron: str, zone: str, wanted: Wanted) -> Schedule:
        """Have the sheet run, by its ledger's name, whenever `cron` says so. Raises SettingsError."""
        with self.store.looking() as connection:
            self.store.check_version(connection)
            now = connection.scalar(text("SELECT now()"))
            assert now is not None  # noqa: S101 - for the type checker
            given = {"name": name, "account": wanted.account, "cron": cron, "zone": zone}
            given |= {"options": json.dumps(wanted.options)}
            made = text(
                "INSERT INTO batch_share.schedules (name, account, options, cron, zone, next) "
                "VALUES (:name, :account, :options, :cron, :zone, :next) ON CONFLICT DO NOTHING"
            )
            if not connection.execute(made, {**given, "next": next_time(cron, zone, now)}).rowcount:
                raise SettingsError("schedule", f"there is one called {name!r}: remove it first")
            if wanted.sheet is not None:
                _keep_sheet(connection, wanted.ledger, *wanted.sheet)
        return next(each for each in self.schedules() if each.name == name)

    def pause_schedule(self, name: str, *, paused: bool = True) -> None:
        """Make no job of it until it is told to go on, which catches up once. Raises SettingsError."""
        # It is due as of now: what went by meanwhile nobody has missed.
        due = "CASE WHEN :paused THEN next ELSE greatest(next, now()) END"
        self._change(
            f"UPDATE batch_share.schedules SET paused = :paused, next = {due} WHERE name = :name",  # noqa: S608
            name,
            paused=paused,
        )

    def remove_schedule(self, name: str) -> None:
        """Forget it; its ledger stays. Raises SettingsError."""
        self._change("DELETE FROM batch_share.schedules WHERE name = :name", name)

    def _change(self, change: str, name: str, **given: object) -> None:
        with self.store.looking() as connection:
            if not connection.execute(text(change), {"name": name, **given}).rowcount:
                raise SettingsError("schedule", f"there is none called {name!r}")

    def tick(self, now: dt.datetime | None = None) -> tuple[list[QueuedJob], list[ScheduleMissed]]:
        """Make the jobs of all schedules whose time has come: of each one, however many times went by meanwhile.

        None while its last one is not over: that is counted. Those that did not run in time are told, once.
        Whoever else does this at the same moment leaves it. `now` is for tests.
        """
        made, missed = list[QueuedJob](), list[ScheduleMissed]()
        with self.store.looking() as connection:
            now = now or connection.scalar(text("SELECT now()"))
            assert now is not None  # noqa: S101 - for the type checker
            due = text(
                "SELECT its.*, job.id AS job, job.state AS state FROM batch_share.schedules AS its "
                "LEFT JOIN LATERAL (SELECT id, state FROM batch_share.jobs WHERE schedule = its.name "
                "AND state IN ('queued', 'running') ORDER BY id LIMIT 1) AS job ON true "
                "WHERE next <= :now AND NOT paused FOR UPDATE OF its SKIP LOCKED"
            )
            for each in connection.execute(due, {"now": now}).all():
                try:
                    then = next_time(each.cron, each.zone, now)
                except SettingsError as error:  # a host that doesn't know the zone leaves it to one that does
                    log.warning("a schedule is left out", schedule=each.name, error=str(error))
                    continue
                if each.job is None:
                    wanted = Wanted(each.name, each.account, f"schedule {each.name}", options=each.options)
                    made.append(_add(connection, wanted, each.name))
                why = ""
                if each.job is not None:
                    waits = "still waits for a worker that has its account's keys"
                    why = f"its job {each.job} {waits if each.state == 'queued' else 'still goes on'}"
                elif (now - each.next).total_seconds() > LATE:
                    why = "no worker was there; it runs now, once for all that it missed"
                if why:
                    at = each.next.astimezone(ZoneInfo(each.zone))
                    words = f"did not run at {at:%Y-%m-%d %H:%M}: {why}"
                    missed.append(ScheduleMissed(each.name, each.account, words))
                change = text(
                    "UPDATE batch_share.schedules SET next = :next, dropped = dropped + :dropped, "
                    "missed = coalesce(:missed, missed), "
                    "last = CASE :dropped WHEN 0 THEN :now ELSE last END WHERE name = :name"
                )
                given = {"next": then, "dropped": int(each.job is not None)}
                given |= {"missed": each.next if why else None}
                connection.execute(change, {**given, "now": now, "name": each.name})
        return made, missed


def _add(connection: Connection, wanted: Wanted, schedule: str | None = None) -> QueuedJob:
    """The job that is made of it; without a sheet of its own it is of the newest that its ledger has."""
    sheet = _keep_sheet(connection, wanted.ledger, *wanted.sheet) if wanted.sheet is not None else None
    made = text(
        "INSERT INTO batch_share.jobs "
        "(ledger, account, kind, options, approved, sheet, schedule, submitted_by, due) VALUES "
        "(:ledger, :account, :kind, :options, :approved, coalesce(:sheet, "
        "(SELECT max(id) FROM batch_share.stored_sheets WHERE ledger = :ledger)), :schedule, :by, "
        "coalesce(:due, now())) RETURNING *"
    )
    given = {name: getattr(wanted, name) for name in ("ledger", "account", "kind", "by", "due")}
    given |= {"options": json.dumps(wanted.options), "sheet": sheet, "schedule": schedule}
    approved = json.dumps(wanted.approved) if wanted.approved is not None else None
    return QueuedJob.of(connection.execute(made, {**given, "approved": approved}).one())


def _keep_sheet(connection: Connection, ledger: str, name: str, content: bytes) -> int:
    kept = text(
        "INSERT INTO batch_share.stored_sheets (ledger, name, bytes) VALUES (:ledger, :name, :bytes) RETURNING id"
    )
    number: int = connection.execute(kept, {"ledger": ledger, "name": name, "bytes": content}).scalar_one()
    return number


@dataclass(frozen=True, slots=True)
class Seen:
    """What a worker saw when it looked: jobs that are its own from now on, and those of its own that are to end.

    Of these some are to be `cut` off. It is `late` for what is due if another took at that moment. Schedules that
    were `missed` are to be told.
    """

    claimed: Sequence[QueuedJob]
    stop: Collection[int]
    cut: Collection[int] = ()
    late: bool = False
    missed: Sequence[ScheduleMissed] = ()


class Post:
    """A worker's place in a store: one connection, whose lock tells the others that its jobs are in good hands.

    The server ends it when it has been silent for the lease, as one is whose process is frozen. It is used by one
    thread, and never made anew. Raises LedgerError, as all its methods do.
    """

    def __init__(self, store: Store, host: str, accounts: Collection[str] = ()) -> None:
        self._store, self._host = store, host
        try:
            engine = store.connect(lease=True, poolclass=NullPool)
            self._connection = engine.connect().execution_options(isolation_level="READ COMMITTED")
            with self._connection.begin():
                store.check_version(self._connection)
                self.number: int = self._connection.scalar(text("SELECT nextval('batch_share.workers')::integer"))
            try_lock(store, self._connection, WORKERS, self.number)  # nobody else has this number
            with self._connection.begin():
                shown = text(f"SELECT pg_advisory_lock_shared({SERVED}, hashtext(:account))")
                for account in accounts:  # so others know whose work is done
                    self._connection.execute(shown, {"account": account})
        except SQLAlchemyError as error:
            raise explain(store, error) from None

    def look(
        self,
        accounts: Sequence[str],
        ends: Sequence[JobEnd] = (),
        progress: Mapping[int, Mapping[str, Any]] | None = None,
    ) -> Seen:
        """Tell how jobs ended and how far others are, and take what is due of these accounts: of each one job."""
        given = {"me": self.number, "accounts": list(accounts)}
        try:
            with self._connection.begin():
                for end in ends:
                    how = {name: getattr(end, name) for name in ("id", "state", "exit_code", "error", "rests")}
                    how |= {"least": LEAST_REST, "most": MOST_REST, "me": self.number}
                    told = json.dumps(end.progress) if end.progress is not None else None
                    is_mine = self._connection.execute(_END, {**how, "progress": told}).rowcount
                    if end.follows and is_mine:
                        when = {"least": FOLLOW_UP_AFTER, "most": FOLLOW_UP_EVERY}
                        self._connection.execute(_FOLLOW_UP, {"id": end.id, **when})
                for job, reported in (progress or {}).items():
                    far = text("UPDATE batch_share.jobs SET progress = :far WHERE id = :id AND worker = :me")
                    self._connection.execute(far, {"far": json.dumps(reported), "id": job, "me": self.number})
                seen = self._connection.execute(_SEEN, given).one()
                if seen.version != schema.VERSION:  # it was upgraded meanwhile, or taken back
                    self._store.check_version(self._connection)
            _, missed = Queue(self._store).tick() if seen.is_time and accounts else ((), ())
            claimed, late = list[QueuedJob](), False
            if seen.is_due:
                with self._connection.begin():
                    # One takes at a time: two might take two jobs of one account. The others look again soon.
                    late = not self._connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({WORKERS}, 0)"))
                    if not late:
                        rows = self._connection.execute(_CLAIM, {**given, "host": self._host})
                        claimed = [QueuedJob.of(row) for row in rows]
        except SQLAlchemyError as error:
            raise explain(self._store, error) from None
        return Seen(claimed, {*seen.stop}, {*seen.cut}, late, missed)

    def close(self) -> None:
        """Give the place up; whatever jobs it has are anybody's."""
        with suppress(SQLAlchemyError):
            if not self._connection.invalidated:  # else the server would see it a moment later
                self._connection.execute(text("SELECT pg_advisory_unlock_all()"))
        self._connection.close()
        self._connection.engine.dispose()
