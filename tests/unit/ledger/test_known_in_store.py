"""What is known across the ledgers of a store is what the index of runs knows of the same ledgers in files."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from ledgers import HOST, NOON, advance, new_row, unsendable, working
from sqlalchemy import text

from batch_share.common import utc_now
from batch_share.errors import HistoryError, LedgerError, LedgerLocked
from batch_share.ledger.files import LedgerName, open_ledger, read_ledger
from batch_share.ledger.known import CUT_OFF, open_history, refresh
from batch_share.ledger.postgres import WAS_SENT, Store, StoredName
from batch_share.ledger.states import NEVER_SENT, State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from batch_share.ledger.known import History, KnownRun, LiveShare
    from batch_share.ledger.records import NewRow

STATES = [state for state in State if state is not State.ENDED]
LATER = datetime(2100, 1, 1)  # noqa: DTZ001 - as all times of a ledger
JOB = "the job of both"


def rows() -> list[NewRow]:
    """One for each state that a row can be in."""
    kept = {State.INVALID, State.SKIPPED}
    return [
        unsendable(at, state) if state in kept else new_row(at, duration=None, until=LATER)
        for at, state in enumerate(STATES, 1)
    ]


async def made(name: LedgerName, job: str = JOB, ended: str = "done") -> None:
    """A ledger with a row in every state."""
    async with working(name, *rows()) as ledger:
        await ledger.note(job=job)
        for at, state in enumerate(STATES, 1):
            await advance(ledger, at, state)
        if ended:
            await ledger.end_run(ended)


async def known(folder: Path, name: LedgerName, *, goes_on: bool = False) -> History:
    """The index, which has looked at the ledger."""
    with open_history(folder, name) as history:
        async with read_ledger(name) as ledger:
            await refresh(history, ledger, "acme", goes_on=goes_on)
    return history


def without_place(found: Sequence[Any]) -> list[Any]:
    """The same, wherever their ledger is."""
    return [replace(each, ledger=LedgerName.of("ledger")) for each in found]


def own(store: Store, folder: Path, name: str = "leads") -> StoredName:
    """The name of a ledger of this test alone."""
    return StoredName(store, f"{folder}-{name}")


def in_one(history: History, name: LedgerName) -> list[LiveShare]:
    """The shares of one ledger."""
    found = history.live_among({"acme"}, None, NOON, host=HOST)
    return sorted((share for share in found if share.ledger == name), key=by_row)


@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_store_tells_what_the_index_knows_of_the_same_ledger(
    tmp_path: Path, store: Store, *, forgotten: bool
) -> None:
    file, stored = LedgerName.of(tmp_path / "leads.ledger.db"), own(store, tmp_path)
    told = []
    for name in (file, stored):
        await made(name, f"{JOB} {tmp_path} {forgotten}")
        await known(tmp_path, name)
        with open_history(tmp_path, name) as history:
            (run,) = (run for run in history.runs() if run.ledger == name)
            if forgotten:
                history.forget(run, NOON)
            shares = in_one(history, name)
            leads = [share.lead_id for share in shares[1:3]]
            found = history.live_among({"acme"}, leads, NOON, host=HOST)
            among = sorted((share for share in found if share.ledger == name), key=by_row)
            after = [share for share in history.live_after(NOON, host=HOST) if share.ledger == name]
            others = history.live_among({"acme"}, leads, NOON, host=HOST, not_in=run_job(shares))
            assert run_job(shares) not in {share.job for share in others}
            told.append([without_place(each) for each in ([run], shares, among, after)])
    of_file, of_store = told
    assert of_store == of_file
    assert len(of_store[1]) == (6 if forgotten else 9)


def run_job(shares: Sequence[LiveShare]) -> str:
    """The job that all of these are of."""
    (job,) = {share.job for share in shares}
    return job


def by_row(share: LiveShare) -> int:
    """Where it is in its ledger."""
    return share.row_id


async def test_whoever_looks_sees_at_once_what_another_host_has_committed(tmp_path: Path, store: Store) -> None:
    name = own(store, tmp_path)
    with open_history(tmp_path, name) as history:
        async with working(name, *rows()[:2]) as ledger:
            await ledger.note(job=str(tmp_path))
            assert in_one(history, name) == []
            await advance(ledger, 1, State.SHARING)
            (share,) = in_one(history, name)
            assert (share.held, share.access) == (True, 0)
            run = running(history, name)
            assert (run.ended_at, run.ended) == (None, None)
            assert run.counts == {"pending": 1, "sharing": 1}
        for _ in range(1000):  # the server takes a moment to see that its connection is closed
            if (run := running(history, name)).ended is not None:
                break
            await asyncio.sleep(0.01)
        assert (run.ended, run.counts) == (CUT_OFF, {"pending": 1, "sharing": 1})
        assert run.ended_at == NOON
        assert history.store is not None
        assert history.store.knows_any(HOST, NOON, "another job")
        assert not history.store.knows_any("https://other.example", NOON, "another job")
        async with open_ledger(name) as ledger:
            await ledger.begin_run("resume", "1.0", {})
            await ledger.end_run("done")
        assert {each.ended for each in history.runs(job=str(tmp_path))} == {CUT_OFF, "done"}
        found = history.runs(run_id=run.id)
        assert [(each.id, each.number) for each in found] == [(run.id, 1)]
        assert history.runs(run_id="aaaaaaaa") == []


def running(history: History, name: LedgerName) -> KnownRun:
    """The newest run of a ledger."""
    return next(run for run in history.runs() if run.ledger == name)


async def test_a_job_is_given_up_and_goes_on(tmp_path: Path, store: Store) -> None:
    name = own(store, tmp_path)
    await made(name, str(tmp_path))
    with open_history(tmp_path, name) as history:
        before = in_one(history, name)
        history.forget(running(history, name), NOON)
        assert not any(share.held for share in in_one(history, name))
        history.go_on(str(tmp_path))
        assert in_one(history, name) == before
        assert history.ledger_of_job(str(tmp_path)) == name
        assert history.ledger_of_job("no such job") is None


async def test_a_purge_leaves_the_runs_and_frees_the_name(tmp_path: Path, store: Store) -> None:
    name, other = own(store, tmp_path), own(store, tmp_path, "other")
    await made(name, "purged")
    await made(other, "kept")
    with open_history(tmp_path, name) as history:
        assert history.store is not None
        (ledger,) = (each for each in history.all_ledgers() if each.ledger == name)
        before = running(history, name)
        history.store.purge(ledger, NOON)
        assert history.runs(job="purged") == [replace(before, purged_at=NOON)]
        assert in_one(history, name) == []
        assert name not in {each.ledger for each in history.all_ledgers()}
        assert len(in_one(history, other)) == 9
        assert not name.exists()
        with store.looking() as connection:
            for table in ("rows", "attempts", "lookups", "sheets", "edits", "owner_checks"):
                left = text(f"SELECT count(*) FROM batch_share.{table} WHERE ledger = :id")
                assert connection.scalar(left, {"id": ledger.id}) == 0
        with pytest.raises(LedgerError, match="no such ledger"):
            history.store.purge(ledger, NOON)
        await made(name, "anew")
        assert len(in_one(history, name)) == 9
        assert {run.purged_at for run in history.runs() if run.ledger == name} == {None, NOON}


async def test_nothing_is_purged_while_somebody_works_on_it(tmp_path: Path, store: Store) -> None:
    name = own(store, tmp_path)
    await made(name)
    with open_history(tmp_path, name) as history:
        assert history.store is not None
        (ledger,) = (each for each in history.all_ledgers() if each.ledger == name)
        async with open_ledger(name):
            with pytest.raises(LedgerLocked):
                history.store.purge(ledger, NOON)
        assert len(in_one(history, name)) == 9


async def test_what_a_purge_left_that_was_cut_off_goes_with_the_next(tmp_path: Path, store: Store) -> None:
    name, other = own(store, tmp_path), own(store, tmp_path, "other")
    await made(name)
    await made(other)
    with open_history(tmp_path, name) as history:
        assert history.store is not None
        ledgers = {each.ledger: each for each in history.all_ledgers()}
        with store.looking() as connection:
            cut_off = text("UPDATE batch_share.ledgers SET purged_at = now() WHERE id = :id")
            connection.execute(cut_off, {"id": ledgers[name].id})
        assert not name.exists()
        assert in_one(history, name) == []
        history.store.purge(ledgers[other], NOON)
        with store.looking() as connection:
            left = text("SELECT count(*) FROM batch_share.rows WHERE ledger = :id")
            assert connection.scalar(left, {"id": ledgers[name].id}) == 0


async def test_a_store_that_cannot_be_asked_is_an_index_that_cannot(tmp_path: Path) -> None:
    nowhere = StoredName(Store.of(f"postgresql://nobody@/nothing?host={tmp_path}"), "leads")
    with open_history(tmp_path, nowhere) as history, pytest.raises(HistoryError, match="can't be reached"):
        history.runs()


MANY = """
INSERT INTO batch_share.ledgers (name) SELECT 'many-' || n FROM generate_series(1, 100) AS n;
INSERT INTO batch_share.rows (ledger, id, key, sheet_row, cells, lead_id, state, ends_at, changed_at)
SELECT ledgers.id, n, n, n, '[]', ledgers.name || n, 'shared', '2100-01-01', now()
FROM batch_share.ledgers, generate_series(1, 300) AS n WHERE starts_with(name, 'many-');
INSERT INTO batch_share.about (ledger, name, value)
SELECT id, fact, 'acme' FROM batch_share.ledgers, unnest(ARRAY['host', 'job']) AS fact
WHERE starts_with(name, 'many-');
ANALYZE batch_share.ledgers, batch_share.about, batch_share.rows"""
"""Ledgers enough for PostgreSQL to choose: of next to none it takes any way, by what it counted last."""


def test_the_shares_of_a_page_of_leads_are_found_by_their_index(store: Store) -> None:
    from batch_share.ledger.known_in_store import _live

    values = {"host": None, "after": utc_now(), "not_in": "", "leads": [f"many-{n}1" for n in range(1, 26)]}
    with store.looking() as connection:
        connection.exec_driver_sql(MANY)
        plan = connection.scalars(text(f"EXPLAIN {_live(of_leads=True)}"), values).all()
        connection.rollback()
    assert any("rows_by_lead" in line for line in plan), plan
    assert not any("rows_by_state" in line for line in plan), plan


def test_the_index_of_leads_has_all_rows_that_were_sent() -> None:
    assert f"state NOT IN ({', '.join(repr(str(state)) for state in NEVER_SENT)})" == WAS_SENT
