"""The index: which ledgers and runs there are on this machine, and which of their shares are live."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, or_, select, true, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError

from batch_share.errors import HistoryError
from batch_share.history.records import KnownLedger, KnownRun, LiveShare
from batch_share.history.schema import ledgers, live, runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Engine, Select

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

    def note_ledger(self, path: Path, job: str, host: str, account: str | None, sheet: Path | None) -> KnownLedger:
        """Take in a ledger, or where it is now. An account that is known stays, if none is given."""
        values = {"path": str(path), "job": job, "host": host, "account": account}
        values["sheet_path"] = str(sheet) if sheet else None
        new = insert(ledgers).values(values)
        changes = {
            "host": host,
            "account": func.coalesce(new.excluded.account, ledgers.c.account),
            "sheet_path": func.coalesce(new.excluded.sheet_path, ledgers.c.sheet_path),
        }
        with self._writing() as connection:
            connection.execute(new.on_conflict_do_update(index_elements=["path", "job"], set_=changes))
            found = connection.execute(
                select(ledgers).where(ledgers.c.path == str(path), ledgers.c.job == job)
            ).mappings()
            return _ledger(found.one())

    def moved(self, old: Path, new: Path, job: str | None = None) -> None:
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
                if sheet is not None and sheet.parent == old.parent:
                    sheet = new.with_name(sheet.name)
                values = {"path": str(new), "sheet_path": str(sheet) if sheet else None}
                connection.execute(update(ledgers).where(ledgers.c.id == known.id).values(values))

    def elsewhere(self, job: str, path: Path) -> list[Path]:
        """Where else than at `path` a ledger was known to be."""
        others = select(ledgers.c.path).where(ledgers.c.job == job, ledgers.c.path != str(path))
        with self._reading() as connection:
            return [Path(found) for found in connection.execute(others).scalars()]

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
        return [KnownRun(ledger=Path(row["path"]), **{name: row[name] for name in names}) for row in found]

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
        """All were taken in, made of a ledger that is known by `mark`: forget what was not, and what has ended."""
        gone = (live.c.ledger_id == ledger.id) & (live.c.made != made)
        with self._writing() as connection:
            connection.execute(delete(live).where(or_(gone, live.c.ends_at <= now)))
            connection.execute(update(ledgers).where(ledgers.c.id == ledger.id).values(mark=mark))

    def any_live(self, account: str, now: datetime, *, not_in: str) -> bool:
        """Whether the account has live shares that were not made by the job `not_in`."""
        which = (ledgers.c.account == account, ledgers.c.job != not_in, live.c.ends_at > now)
        with self._reading() as connection:
            found = connection.execute(select(live.c.row_id).join_from(live, ledgers).where(*which).limit(1))
            return found.first() is not None

    def live_among(
        self, account: str, leads: Iterable[str], after: datetime, *, not_in: str = ""
    ) -> list[LiveShare]:
        """The shares of these leads that end after a time, without those of the job `not_in`."""
        return self._live_among(ledgers.c.account == account, leads, after, not_in)

    def live_at(self, host: str, leads: Iterable[str], after: datetime) -> list[LiveShare]:
        """The same of a host, whichever keys they were made with: no two of its accounts have a lead in common."""
        return self._live_among(ledgers.c.host == host, leads, after, "")

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
        paths = {text: Path(text) for text in {row["path"] for row in found}}
        return [_share(row, paths[row["path"]]) for row in found]

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


def _share(row: Mapping[Any, Any], ledger: Path) -> LiveShare:
    values = {name: row[name] for name in _SHARE}
    return LiveShare(ledger=ledger, sheet=row["sheet"] or ledger.name, **values)


def _ledger(row: Mapping[Any, Any]) -> KnownLedger:
    names = [name for name in KnownLedger.__slots__ if name not in {"path", "sheet_path"}]
    sheet = row["sheet_path"]
    values = {name: row[name] for name in names}
    return KnownLedger(path=Path(row["path"]), sheet_path=Path(sheet) if sheet else None, **values)
