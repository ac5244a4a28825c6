"""A store: its tables, its one connection that works on a ledger, and what is said where it can't."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from ledgers import HOST, NOON, new_row, set_clock, working
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from batch_share.common import Holder
from batch_share.errors import GIVEN_UP, LedgerError, LedgerLocked, LedgerTooNew, SettingsError
from batch_share.ledger import postgres
from batch_share.ledger.accounts import holders, open_accounts
from batch_share.ledger.files import LedgerName, open_ledger, read_ledger
from batch_share.ledger.postgres import Store, StoredName
from batch_share.ledger.states import Stage, State
from batch_share.outputs import Named
from batch_share.planning.already_shared import choose_renewals
from batch_share.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "hunter2"
NOWHERE = "postgresql://ops@/leads?host=/nowhere"


@pytest.fixture
def name(store: Store, tmp_path: Path) -> StoredName:
    return StoredName(store, str(tmp_path))


def end_connections(store: Store) -> None:
    """As the server does with all that were silent."""
    with store.looking() as connection:
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid() AND "
        connection.execute(text(f"{ended} datname = current_database()"))


# -------------------------------------------------------------------------------------------------- its name


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ops:{PASSWORD}@db.example/leads#spring",
        f"postgresql://ops@db.example/leads?password={PASSWORD}#spring",
        f"postgresql://ops@db.example/leads?sslpassword={PASSWORD}#spring",
    ],
)
def test_a_ledger_in_a_store_is_called_by_its_url_without_the_password(url: str) -> None:
    name = LedgerName.of(url)
    assert (str(name), name.short) == ("postgresql://ops@db.example/leads#spring", "spring")
    assert PASSWORD not in repr(name)
    assert name.resolved() == name.absolute() == name
    assert name.in_store
    assert name.files() == []


@pytest.mark.parametrize("url", [f"postgresql://ops:{PASSWORD}@db:port/leads", "postgresql://db.example", "x.db"])
def test_what_is_no_store_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Store.of(url)
    assert url not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_store_alone_is_no_ledger() -> None:
    with pytest.raises(SettingsError):
        LedgerName.of("postgresql://db.example/leads")


# ------------------------------------------------------------------------------------------------ the ledgers


async def test_the_rows_of_a_ledger_are_its_own(store: Store, name: StoredName) -> None:
    other = StoredName(store, f"{name.name}-2")
    async with working(name, new_row(1), new_row(2)) as first, working(other, new_row(1)) as second:
        assert (await first.facts()).job != (await second.facts()).job
        assert [await each.counts() for each in (first, second)] == [{State.PENDING: 2}, {State.PENDING: 1}]
        assert [row.id async for row in second.all_rows()] == [1]
    with store.looking() as connection, pytest.raises(SQLAlchemyError, match=r"bs\.ledger|invalid input syntax"):
        connection.execute(text("SELECT * FROM rows"))


async def test_a_ledger_is_there_once_it_is_begun_and_is_another_whenever_it_was_written(name: StoredName) -> None:
    assert (name.exists(), name.stamp()) == (False, None)
    for way in (open_ledger(name), read_ledger(name)):
        with pytest.raises(LedgerError, match="no such ledger in the store"):
            async with way:
                pass
    async with working(name) as ledger:
        before = name.stamp()
        await ledger.note(zone="UTC")
        assert name.stamp() != before
    stamp = name.stamp()
    async with read_ledger(name) as reading:
        assert (await reading.facts()).zone == "UTC"
    assert (name.size(), name.stamp()) == (1, stamp)


async def test_one_at_a_time_works_on_a_ledger_and_others_are_told_who_does(name: StoredName) -> None:
    async with working(name):
        with pytest.raises(LedgerLocked, match=f"process {os.getpid()} on"):
            async with open_ledger(name, host=HOST):
                pass
        async with read_ledger(name) as reading:
            assert len(await reading.runs()) == 1
    async with open_ledger(name):
        pass


# -------------------------------------------------------------------------------------------------- the lock


async def test_whoever_has_lost_the_connection_writes_nothing_more_and_sends_nothing(
    store: Store, name: StoredName
) -> None:
    async with working(name, new_row(1)) as ledger:
        (row,) = [row async for row in ledger.all_rows()]
        end_connections(store)
        for _ in range(2):  # and does not come back by a connection without the lock
            with pytest.raises(LedgerError, match="the account was given up"):
                await ledger.note(zone="UTC")
        with pytest.raises(LedgerError, match="the account was given up"):
            await ledger.intend([row], Stage.ACTIVITY, [None])
        async with open_ledger(name, now=lambda: NOON) as other:
            assert await other.counts() == {State.PENDING: 1}


async def test_no_call_is_noted_when_the_server_was_not_just_heard(
    name: StoredName, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with working(name, new_row(1)) as ledger:
        (row,) = [row async for row in ledger.all_rows()]
        assert ledger.may_send()
        asleep = postgres.now() + postgres.HEARD_WITHIN
        monkeypatch.setattr(postgres, "now", lambda: asleep)
        assert not ledger.may_send()
        with pytest.raises(LedgerError, match=GIVEN_UP):
            await ledger.intend([row], Stage.ACTIVITY, [None])


async def test_the_server_hears_of_whoever_waits(name: StoredName, monkeypatch: pytest.MonkeyPatch) -> None:
    heard, loop = asyncio.Semaphore(0), asyncio.get_running_loop()

    def hear(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if statement == "SELECT 1":
            loop.call_soon_threadsafe(heard.release)

    monkeypatch.setattr(postgres, "_BEAT", 0.02)
    event.listen(Engine, "after_cursor_execute", hear)
    try:
        async with working(name), asyncio.timeout(30):
            for _ in range(3):
                await heard.acquire()
    finally:
        event.remove(Engine, "after_cursor_execute", hear)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_host_whose_clock_is_off_notes_the_time_of_the_store(
    store: Store, name: StoredName, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """Else the next host would wait too short until an activity shows, or share again what has not ended.

    Nor is anything renewed sooner, or later, by the host that has the job.
    """
    set_clock(monkeypatch, timedelta(hours=hours))
    async with open_ledger(name, host=HOST) as ledger:
        await ledger.begin_run("run", "1", {})
        (run,) = await ledger.runs()
        with store.looking() as connection:
            now = connection.scalar(text("SELECT now() AT TIME ZONE 'UTC'"))
        accounts = ledger.accounts("run")
        assert accounts is not None
        assert now is not None
        await choose_renewals(ledger, Settings(renew="2d"))
        assert ledger.renew_before is not None
        renewed = ledger.renew_before - timedelta(days=2)
        async with read_ledger(name) as looked_at:
            told = [ledger.now(), looked_at.now(), name.now()]
        for noted in (run.started_at, accounts.today().replace(tzinfo=None), renewed, *told):
            assert abs((noted - now).total_seconds()) < 60


async def test_a_lock_that_would_be_another_connections_is_refused(
    name: StoredName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind PgBouncer, which may keep what is set from the server, too."""
    async with working(name):
        pass
    monkeypatch.setattr(postgres, "LEASE", 4.0001)  # the server takes milliseconds
    with pytest.raises(LedgerError, match="PgBouncer"), name.locked():
        pass


async def test_whoever_comes_next_has_the_lock_at_once(name: StoredName) -> None:
    """Though the server may not have seen the end of the connection that had it."""
    async with working(name):
        pass
    for _ in range(20):
        async with working(name):
            pass
        with name.locked(patience=0):
            pass
        with name.locked(patience=0):
            pass


async def test_a_lock_is_not_had_where_the_server_is_gone_meanwhile(
    name: StoredName, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with working(name):
        pass
    connect, gone = Store.connect, Store.of(NOWHERE)
    monkeypatch.setattr(Store, "connect", lambda _store, **more: connect(gone, **more))
    with pytest.raises(LedgerError, match="can't be reached"), name.locked():
        pass


async def test_one_at_a_time_has_an_account_of_a_store(name: StoredName, tmp_path: Path) -> None:
    other, mine, second = StoredName(name.store, f"{name.name}-2"), f"{tmp_path}-mine", f"{tmp_path}-second"
    async with working(other) as theirs:
        elsewhere = theirs.accounts("retry")
        async with working(name) as ours, working(tmp_path / "leads.db") as in_file:
            here = ours.accounts("run")
            assert in_file.accounts("run") is None
            assert here is not None
            assert elsewhere is not None
            assert await here.take(mine, HOST) is None
            assert await here.take(mine, HOST) is None
            holder = await elsewhere.take(mine, HOST)
            assert holder is not None
            assert (holder.process, holder.host, holder.command) == (os.getpid(), platform.node(), "run")
            assert holder.since is not None
            assert abs((datetime.now(UTC) - holder.since).total_seconds()) < 60
            assert await elsewhere.take(second, HOST) is None
            assert {each: at.command for each, at in holders(name.store).items() if each in {mine, second}} == {
                mine: "run",
                second: "retry",
            }
            here.put(mine, "what is known", 5.0)
            here.give_back(mine)
            assert here.kept == {}
        assert await elsewhere.take(mine, HOST) is None
        known, age = elsewhere.kept[mine]
        assert (known, 5.0 <= age < 65.0) == ("what is known", True)
        elsewhere.drop(mine)
        elsewhere.give_back(mine, mine)
        assert await elsewhere.take(mine, HOST) is None
        assert elsewhere.kept[mine] == ("", 0.0)


async def test_a_key_of_nobody_knows_which_account_has_all_of_its_host_or_none(
    name: StoredName, tmp_path: Path
) -> None:
    host = f"https://{tmp_path.name}.example"
    known, new, all_of_host = (f"{tmp_path}-{each}" for each in ("known", "new", "host"))
    async with open_accounts(name.store, "doctor") as first, open_accounts(name.store, "plan") as second:
        assert await first.take(known, host) is None
        assert (await second.take(new, host, all_of_host) or Holder()).command == "doctor"
        assert second.kept == {}
        first.give_back(known)
        assert first.noting is not None
        await first.noting
        assert await second.take(new, host, all_of_host) is None
        assert second.kept.keys() == {known, new, all_of_host}
        assert (await first.take(known, host) or Holder()).command == "plan"
        assert (await first.take(f"{new}-2", host, all_of_host) or Holder()).command == "plan"
        assert second.may_send()


async def test_whoever_loses_the_store_has_no_account_any_more(name: StoredName, tmp_path: Path) -> None:
    async with open_accounts(name.store, "doctor") as lost:
        assert await lost.take(str(tmp_path), HOST) is None
        end_connections(name.store)
        lost.put(str(tmp_path), "of no use", 0.0)
        assert lost.noting is not None
        await asyncio.wait([lost.noting])
        assert not lost.may_send()
        async with open_accounts(name.store, "plan") as next_:
            assert await next_.take(str(tmp_path), HOST) is None
            assert next_.kept == {str(tmp_path): ("", 0.0)}
        with pytest.raises(LedgerError, match="the account was given up"):
            await lost.take(str(tmp_path), HOST)


async def test_a_ledger_may_be_waited_for(name: StoredName) -> None:
    async with working(name):
        with pytest.raises(LedgerLocked), name.locked(patience=0.06):
            pass
    with name.locked():
        pass


def test_what_lies_beside_a_ledger_of_a_store_is_in_the_current_folder(
    name: StoredName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert name.beside("leads.results.csv") == tmp_path / "leads.results.csv"
    one, other = (Named(option, tmp_path / "out.csv", tmp_path) for option in ("results", "report"))
    name.check_apart(one, None)
    with pytest.raises(SettingsError, match=r"--report|results"):
        name.check_apart(one, other)


# ------------------------------------------------------------------------------------------------- the tables


def test_tables_are_made_once(store: Store) -> None:
    assert not store.init()


async def test_tables_of_another_version_are_refused(store: Store, name: StoredName) -> None:
    version = text("UPDATE batch_share.store SET version = version + :by")
    for by, error, words in ((1, LedgerTooNew, "later version"), (-1, LedgerError, "store upgrade")):
        with store.looking() as connection:
            connection.execute(version, {"by": by})
        try:
            with pytest.raises(error, match=words):
                name.exists()
        finally:
            with store.looking() as connection:
                connection.execute(version, {"by": -by})


def test_a_database_without_tables_is_told_apart(store: Store) -> None:
    other = Store.of(re.sub(r"/store\d+\?", "/postgres?", str(store)))
    assert str(other) != str(store)
    with pytest.raises(LedgerError, match="store init"):
        StoredName(other, "spring").exists()
    postgres.shared(other).dispose()


def test_what_the_server_refuses_is_told_in_a_sentence(store: Store) -> None:
    with pytest.raises(LedgerError, match="can't be read or written"), store.looking() as connection:
        connection.execute(text("SELECT 1 / 0"))


def test_what_a_store_needs_may_not_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SettingsError, match=r"batch-share\[cluster\]"):
        Store.of("postgresql://db.example/leads").connect()


def test_a_store_that_is_not_there_is_told_of_in_a_sentence(tmp_path: Path) -> None:
    store = Store.of(f"postgresql://ops:{PASSWORD}@/leads?host={tmp_path}")
    with pytest.raises(LedgerError, match="can't be reached") as caught:
        store.init()
    assert StoredName(store, "spring").stamp() is None
    assert PASSWORD not in str(caught.value)
