"""What is known across the ledgers of a store: their runs and live shares, asked of the tables of all of them.

Nothing is noted for it but how many rows were in which state when a run ended: so whatever any host has committed
is known to all others at once. Of a ledger that was purged its runs are left.
"""

# ruff: noqa: S608 - no value is part of a statement

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from batch_share.errors import IS_QUEUED, OF_SCHEDULE, HistoryError, LedgerError
from batch_share.ledger.known import CUT_OFF, KnownLedger, KnownRun, LiveShare
from batch_share.ledger.postgres import LOCKS, WAS_SENT, Store, StoredName
from batch_share.ledger.queries import (
    COUNTED,
    MATTERS,
    NEVER,
    SHARE_NOT_ENDED,
    STANDS,
    UNDER_WAY,
    USER_KINDS,
    share_of,
)
from batch_share.ledger.records import run_id
from batch_share.ledger.states import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from pydantic import SecretStr
    from sqlalchemy import ColumnElement

    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.records import Share

_OF_LEDGER: Final = """
batch_share.ledgers JOIN batch_share.about AS job ON job.ledger = ledgers.id AND job.name = 'job'
JOIN batch_share.about AS host ON host.ledger = ledgers.id AND host.name = 'host'
AND host.value = coalesce(:host, host.value)
AND NOT EXISTS (SELECT FROM batch_share.about WHERE ledger = ledgers.id AND name IN ('moved_to', 'copy_of'))"""

_LEDGERS: Final = f"""
SELECT ledgers.id, ledgers.name, purged_at, forgotten_at, job.value AS job, host.value AS host,
account.value AS account, sheet.name AS sheet, sheet.path
FROM {_OF_LEDGER}
LEFT JOIN batch_share.about AS account ON account.ledger = ledgers.id AND account.name = 'account'
LEFT JOIN LATERAL (
SELECT name, path FROM batch_share.sheets WHERE ledger = ledgers.id ORDER BY id DESC LIMIT 1
) AS sheet ON true
WHERE ledgers.id = ANY(coalesce(:ids, ARRAY[ledgers.id]))"""

# Whoever works on a ledger holds its lock. A run without an end whose lock is free was cut off; the end of one that
# is not the last of its ledger was noted by nobody.
_RUNS: Final = f"""
SELECT runs.ledger, runs.id, command, started_at, ended_at, ended, runs.sheet, counts,
NOT EXISTS (SELECT FROM batch_share.runs AS later
WHERE later.ledger = runs.ledger AND later.id > runs.id) AS is_last,
ended_at IS NULL AND EXISTS (
SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = {LOCKS} AND objid = runs.ledger AND objsubid = 2
AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS goes_on,
CASE WHEN ended_at IS NULL THEN (SELECT sent_at FROM batch_share.attempts
WHERE ledger = runs.ledger AND run_id = runs.id ORDER BY attempts.id DESC LIMIT 1) END AS last_call
FROM batch_share.runs """


def _sql(condition: ColumnElement[bool]) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return f"({condition.compile(dialect=dialect, compile_kwargs={'literal_binds': True})})"


_COUNTS: Final = f"""
SELECT json_object_agg(state, n) FROM (SELECT state, sum(n) AS n FROM (
SELECT state, count(*) AS n FROM batch_share.rows WHERE ledger = :id AND {_sql(COUNTED)} GROUP BY state
UNION ALL
SELECT state, -count(*) FROM batch_share.rows WHERE ledger = :id AND {_sql(COUNTED & ~MATTERS)} GROUP BY state
) AS each GROUP BY state HAVING sum(n) > 0) AS counted"""


class _Ledger(NamedTuple):
    """A ledger of the store, with what a run of it is known by."""

    name: StoredName
    job: str
    host: str
    sheet: str | None
    known: KnownLedger
    purged_at: datetime | None


@cache
def _live(*, of_leads: bool = False) -> str:
    """What asks for shares that may not have ended: as `share_of` takes them, and what else their ledgers tell.

    Of leads, those are looked for first: how many ledgers are of a host PostgreSQL guesses far too low, and would
    go through all of their rows.
    """
    leads = f"WITH rows AS MATERIALIZED (SELECT * FROM batch_share.rows WHERE {WAS_SENT} AND lead_id = ANY(:leads))"

    names = "id", "state", "stage", "doubtful", "lead_id", "user_id"
    asked = "request_id", "duration", "until", "changed_at", "ends_at"
    return f"""{leads if of_leads else ""}
SELECT {", ".join(f"rows.{name}" for name in names)}, {_sql(UNDER_WAY)},
coalesce(now.sheet_row, rows.sheet_row), coalesce(now.position, rows.position),
{", ".join(f"rows.{name}" for name in asked)}, CASE WHEN {_sql(STANDS)} THEN rows.access ELSE 0 END, call.run_id,
rows.ledger, rows.lead_number, forgotten_at
FROM {_OF_LEDGER} JOIN {"rows" if of_leads else "batch_share.rows AS rows"} ON rows.ledger = ledgers.id
LEFT JOIN batch_share.rows AS now ON now.ledger = rows.ledger AND now.id = rows.renewed_as
LEFT JOIN LATERAL (
SELECT run_id FROM batch_share.attempts AS made WHERE made.ledger = rows.ledger AND made.row_id = rows.id
AND made.step = 'share' AND made.outcome = 'done' ORDER BY made.id DESC LIMIT 1
) AS call ON true
WHERE purged_at IS NULL AND rows.{WAS_SENT} AND ({_sql(SHARE_NOT_ENDED)} OR {_sql(UNDER_WAY)})
AND (rows.ends_at IS NULL OR rows.ends_at > :after OR {_sql(UNDER_WAY)}) AND job.value != :not_in """


class SeenInStore(NamedTuple):
    """What the ledgers of a store tell besides: users by Id, numbers of leads by ledger and row, activity types."""

    here: set[tuple[LedgerName, str]]
    users: dict[str | None, tuple[str, str]]
    numbers: dict[tuple[LedgerName, str], dict[int, str]]
    events: set[int]


class StoreHistory:
    """What a store knows, as `History` tells it of this machine. Every method raises HistoryError."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._is_checked = False

    @classmethod
    def of(cls, ledger: LedgerName | None, url: SecretStr | None) -> StoreHistory | None:
        """Of the store of a ledger, else of the one at this URL; None of none. Raises SettingsError."""
        if isinstance(ledger, StoredName):
            return cls(ledger.store)
        return cls(Store.of(url.get_secret_value())) if url is not None else None

    def _all(self, query: str, **values: object) -> Sequence[Any]:
        try:
            with self.store.looking() as connection:
                if not self._is_checked:
                    self.store.check_version(connection)
                    self._is_checked = True
                done = connection.execute(text(query), values)
                return done.all() if done.returns_rows else []
        except LedgerError as error:
            raise HistoryError(Path(str(self.store)), error.wrong, problem=error.problem, hint=error.hint) from None

    def now(self) -> datetime:
        """By the store's clock, in UTC: whether a share has ended is no matter of the host that asks."""
        ((now,),) = self._all("SELECT now() AT TIME ZONE 'UTC'")
        moment: datetime = now
        return moment

    # ------------------------------------------------------------------------------------------ ledgers

    def _ledgers(self, ids: Iterable[int] | None = None, host: str | None = None) -> dict[int, _Ledger]:
        found = {}
        for each in self._all(_LEDGERS, ids=None if ids is None else [*ids], host=host):
            name = StoredName(self.store, each.name)
            sheet = Path(each.path) if each.path else None
            state = (None, None, each.forgotten_at, None)
            known = KnownLedger(each.id, name, each.job, each.host, each.account, sheet, *state)
            found[each.id] = _Ledger(name, each.job, each.host, each.sheet, known, each.purged_at)
        return found

    def ledgers(self) -> list[KnownLedger]:
        """Every ledger that was not purged."""
        return [each.known for each in self._ledgers().values() if each.purged_at is None]

    def ledger_of_job(self, beginning: str) -> StoredName | None:
        """The ledger of the job whose Id begins so."""
        found = (each for each in self._ledgers().values() if each.job.startswith(beginning))
        return next((each.name for each in found if each.purged_at is None), None)

    def needed_for(self, ledger: LedgerName) -> str | None:
        """What a ledger is still to be worked on for; None if nothing."""
        name = ledger.short
        jobs = "SELECT FROM batch_share.jobs WHERE ledger = :name AND state IN ('queued', 'running')"
        schedules = "SELECT FROM batch_share.schedules WHERE name = :name"
        ((job, schedule),) = self._all(f"SELECT EXISTS ({jobs}), EXISTS ({schedules})", name=name)
        return OF_SCHEDULE.format(name=name) if schedule else IS_QUEUED if job else None

    def purge(self, ledger: KnownLedger, at: datetime) -> None:
        """Delete all of a ledger but its runs; its name is free then. Raises LedgerLocked, LedgerError."""
        sheet = ledger.sheet_path
        self.note_end(ledger.ledger, sheet.name if sheet else None, self._counts(ledger.id))
        StoredName(self.store, ledger.ledger.short).purge(at)

    def give_up(self, run: KnownRun, at: datetime) -> None:
        """Nobody will finish the job of this run."""
        number = StoredName(self.store, run.ledger.short).number()
        self._all("UPDATE batch_share.ledgers SET forgotten_at = :at WHERE id = :id", id=number, at=at)

    def go_on(self, job: str) -> None:
        """A job that nobody was to finish goes on."""
        theirs = "id IN (SELECT ledger FROM batch_share.about WHERE name = 'job' AND value = :job)"
        which = f"forgotten_at IS NOT NULL AND {theirs}"
        self._all(f"UPDATE batch_share.ledgers SET forgotten_at = NULL WHERE {which}", job=job)

    # ------------------------------------------------------------------------------------------ runs

    def note_end(self, name: LedgerName, sheet: str | None, counts: Mapping[State, int]) -> None:
        """Note what a ledger held when its last run ended."""
        last = "(SELECT max(runs.id) FROM batch_share.runs WHERE runs.ledger = ledgers.id)"
        self._all(
            f"""UPDATE batch_share.runs SET counts = CAST(:counts AS json), sheet = :sheet FROM batch_share.ledgers
            WHERE ledgers.name = :name AND purged_at IS NULL AND runs.ledger = ledgers.id AND runs.id = {last}""",
            name=name.short,
            sheet=sheet,
            counts=json.dumps(counts),
        )

    def runs(self, limit: int | None = None, job: str | None = None, run: str | None = None) -> list[KnownRun]:
        """The runs of all hosts, or of all ledgers of a job, or the one of this Id, newest first."""
        which, values = "", dict[str, object]()
        if job is not None:
            which = (
                "WHERE runs.ledger IN (SELECT ledger FROM batch_share.about WHERE name = 'job' AND value = :job)"
            )
            values = {"job": job}
        elif run is not None:
            each = (
                f"SELECT runs.ledger, runs.id, started_at, job.value AS job FROM {_OF_LEDGER} JOIN batch_share.runs"
            )
            every = self._all(f"{each} ON runs.ledger = ledgers.id", host=None)
            meant = [one for one in every if run_id(one.job, one.id, one.started_at) == run]
            if not meant:
                return []
            which = "WHERE runs.ledger = :ledger AND runs.id = :id"
            values = {"ledger": meant[0].ledger, "id": meant[0].id}
        found = self._all(
            f"{_RUNS}{which} ORDER BY started_at DESC, runs.id DESC LIMIT :most", most=limit, **values
        )
        ledgers = self._ledgers({each.ledger for each in found})
        # One that was killed as it began has a run, and is of no host yet.
        return [self._run(each, ledgers[each.ledger]) for each in found if each.ledger in ledgers]

    def _run(self, found: Any, ledger: _Ledger) -> KnownRun:
        ended_at, ended, counts = found.ended_at, found.ended, found.counts
        if ended_at is None and not (found.goes_on and found.is_last):
            ended_at, ended = found.last_call or found.started_at, CUT_OFF
        if found.is_last and counts is None and ledger.purged_at is None:
            counts = self._counts(found.ledger)
        return KnownRun(
            id=run_id(ledger.job, found.id, found.started_at),
            ledger=ledger.name,
            host=ledger.host,
            number=found.id,
            command=found.command,
            sheet=found.sheet or ledger.sheet,
            started_at=found.started_at,
            ended_at=ended_at,
            ended=ended,
            counts=counts,
            purged_at=ledger.purged_at,
        )

    def _counts(self, ledger: int) -> dict[State, int]:
        ((counts,),) = self._all(_COUNTS, id=ledger)
        return {State(state): n for state, n in (counts or {}).items()}

    def last_end(self, ledger: KnownLedger) -> datetime | None:
        """When the last run of a ledger ended; None if one goes on."""
        ends = [
            each.ended_at or (None if each.goes_on and each.is_last else each.last_call or each.started_at)
            for each in self._all(f"{_RUNS} WHERE runs.ledger = :id", id=ledger.id)
        ]
        return None if None in ends else max(filter(None, ends), default=None)

    # ------------------------------------------------------------------------------------------ live shares

    def knows_any(self, host: str, after: datetime, not_in: str) -> bool:
        """Whether there may be a share of the host that ends after a time, of another job than this."""
        ((found,),) = self._all(f"SELECT EXISTS ({_live()})", host=host, after=after, not_in=not_in)
        return bool(found)

    def live(
        self, host: str | None, leads: Iterable[str] | None, after: datetime, not_in: str = ""
    ) -> list[LiveShare]:
        """The shares of a host (None: of all) and these leads that end after a time, those to be made with them."""
        of = {} if leads is None else {"leads": [*leads]}
        found = []
        for each in self._all(_live(of_leads=bool(of)), host=host, after=after, not_in=not_in, **of):
            share = share_of(each[:-3], at_latest=True)
            if each.forgotten_at is not None:  # nothing is to come of it any more
                share = share._replace(held=False, ends_at=None if share.ends_at == NEVER else share.ends_at)
            if share.ends_at is not None and share.ends_at > after:
                found.append((each.ledger, share))
        return [*self._told(found)] if found else []

    def _told(self, found: Sequence[tuple[int, Share]]) -> Iterator[LiveShare]:
        ids = {ledger for ledger, _ in found}
        ledgers, runs = self._ledgers(ids), dict[tuple[int, int | None], str]()
        each = "SELECT ledger, id, started_at FROM batch_share.runs WHERE ledger = ANY(:ids) ORDER BY id"
        for run in self._all(each, ids=[*ids]):
            runs[run.ledger, run.id] = run_id(ledgers[run.ledger].job, run.id, run.started_at)
            runs[run.ledger, None] = runs[run.ledger, run.id]  # the last: of what is yet to be shared
        for at, share in found:
            ledger, ends_at = ledgers[at], share.ends_at or NEVER  # of each it is known
            yield LiveShare(
                *(share.lead_id, share.user_id, share.access, ends_at, ledger.name, ledger.job, share.row_id),
                *(ledger.sheet or ledger.name.short, share.sheet_row, share.request_id),
                *(runs.get((at, share.run), ""), share.held),
            )

    def seen(self, host: str | None, now: datetime) -> SeenInStore:
        """What else they tell, those of a host."""
        ledgers = {at: each for at, each in self._ledgers(host=host).items() if each.purged_at is None}
        of: dict[int, tuple[LedgerName, str]] = {at: (each.name, each.job) for at, each in ledgers.items()}
        numbers: dict[tuple[LedgerName, str], dict[int, str]] = {each: {} for each in of.values()}
        for row in self._all(_live(), host=host, after=now, not_in=""):
            if row.lead_number:
                numbers[of[row.ledger]][row.id] = row.lead_number
        kinds, users = [*USER_KINDS], dict[str | None, tuple[str, str]]()
        each = (
            "SELECT DISTINCT found::text FROM batch_share.lookups WHERE kind = ANY(:kinds) AND ledger = ANY(:ids)"
        )
        for (found,) in self._all(each, kinds=kinds, ids=[*of]):
            user = json.loads(found) if found else None
            if user and "id" in user:
                name, email = users.get(user["id"], ("", ""))
                users[user["id"]] = (user.get("name") or name, user.get("email") or email)
        each = "SELECT DISTINCT event FROM batch_share.rows WHERE event IS NOT NULL AND ledger = ANY(:ids)"
        events = {event for (event,) in self._all(each, ids=[*of])}
        return SeenInStore({*of.values()}, users, numbers, events)
