"""A store as a whole: what `store check` finds, how its tables become those of today, what is moved there."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from stores import IS_INSTALLED, server
from trial import trial

from batch_share.errors import LedgerError, LedgerLocked, SettingsError, StoreTrouble
from batch_share.jobs import stores
from batch_share.jobs.check_up import Level
from batch_share.jobs.stores import StoreSeen, check_store, move_ledger, upgrade_store
from batch_share.ledger import schema
from batch_share.ledger.files import LedgerName, open_ledger, read_ledger
from batch_share.ledger.postgres import ENGINE, Store, StoredName, shared
from batch_share.ledger.states import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = schema.VERSION


@pytest.fixture
def own() -> Iterator[Store]:
    """A store without tables, whose server is no other test's."""
    if not IS_INSTALLED:
        pytest.skip("nothing that starts PostgreSQL is installed")
    with server() as made:
        its = made.store()
        yield its
        shared(its).dispose()


def test_a_store_is_checked_as_it_is(own: Store) -> None:
    first = check_store(own)
    assert [each.check for each in first] == ["tables", "user"]  # the role of tests is a superuser
    assert first[0].next == "batch-share store init"
    assert own.init()
    with own.looking() as connection:
        connection.execute(text("CREATE ROLE lesser LOGIN"))
        for name in ("batch_share", "batch_share_ledger"):
            connection.execute(text(f"GRANT USAGE ON SCHEMA {name} TO lesser"))
        connection.execute(text("GRANT SELECT ON batch_share.store TO lesser"))
    lesser = Store.of(str(own).replace("postgres@", "lesser@"))
    (well,) = check_store(lesser)
    assert (well.level, "as lesser" in well.words) == (Level.OK, True)
    with own.looking() as connection:
        name = connection.scalar(text("SELECT current_database()"))
        connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    assert [each.check for each in check_store(lesser)] == ["commits"]
    (gone,) = check_store(Store.of(str(own).replace("?host=", "?host=/nowhere")))
    assert (gone.check, gone.level) == ("way there", Level.PROBLEM)


def test_what_hands_out_another_connection_for_each_transaction_is_found(
    own: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.init()
    whole, connections = own.connect, []

    def pooled(*_given: object, **_pool: object) -> object:
        connections.append(whole(lease=True, pool_size=2, isolation_level="AUTOCOMMIT"))
        return Pooled(connections[0])

    monkeypatch.setattr(Store, "connect", pooled)
    (found_,) = [each for each in check_store(own) if each.check == "way there"]
    assert found_.level is Level.PROBLEM
    assert "PgBouncer" in found_.words
    connections[0].dispose()


class Pooled:
    """Gives each statement a connection by itself, as PgBouncer does in transaction mode."""

    def __init__(self, engine: object) -> None:
        self.engine, self.mine = engine, None

    def connect(self) -> Pooled:
        return Pooled(self.engine)

    def __enter__(self) -> Pooled:
        return self

    def __exit__(self, *_ended: object) -> None:
        if self.mine is not None:
            self.mine.__exit__(None, None, None)

    def execute(self, statement: object) -> object:
        with self.engine.connect() as connection:  # type: ignore[attr-defined]
            result = connection.execute(statement)
            return result.freeze()() if result.returns_rows else result

    def exec_driver_sql(self, statement: str) -> None:
        if statement == "BEGIN":
            self.mine = self.engine.connect().__enter__()  # type: ignore[attr-defined]

    def scalar(self, statement: object) -> object:
        return self.mine.scalar(statement) if self.mine is not None else self.execute(statement).scalar()  # type: ignore[attr-defined]


def test_tables_of_an_earlier_version_are_upgraded_while_nobody_works(
    own: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.init()
    with own.looking() as connection:
        connection.execute(text("DROP VIEW batch_share_ledger.edits"))
        connection.execute(text("ALTER TABLE batch_share.edits ADD COLUMN of_old integer"))
        connection.execute(text("UPDATE batch_share.store SET version = version - 1"))
    with pytest.raises(LedgerError, match="its tables are of an earlier version: `batch-share store upgrade`"):
        StoredName(own, "any").exists()
    with pytest.raises(LedgerError, match="which can't be upgraded"):
        upgrade_store(own)
    monkeypatch.setitem(stores.UPGRADES, NOW - 1, ["ALTER TABLE batch_share.edits DROP COLUMN of_old"])
    assert upgrade_store(own) == NOW - 1
    assert upgrade_store(own) == NOW
    assert not StoredName(own, "any").exists()


def test_what_wakes_workers_is_brought_up_to_what_is_installed(
    own: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.init()
    (tmp_path / "02.00.00_01_pre_old.sql").write_text("SELECT 'was done' / 0;")
    (tmp_path / "99.00.00_50_post_more.sql").write_text("INSERT INTO more VALUES ('100%'); SELECT '%s';")
    (tmp_path / "99.00.00_01_pre_more.sql").write_text("CREATE TABLE more (said text);")
    monkeypatch.setattr("procrastinate.schema.SchemaManager.get_migrations_path", lambda: str(tmp_path))
    for _ in range(2):
        assert upgrade_store(own) == NOW
    with own.looking() as connection:
        assert connection.scalars(text(f"SELECT said FROM {ENGINE}.more")).all() == ["100%"]


def test_what_wakes_workers_is_made_where_it_was_not_installed(own: Store) -> None:
    own.init()
    with own.looking() as connection:
        connection.execute(text(f"DROP SCHEMA {ENGINE} CASCADE"))
        connection.execute(text("UPDATE batch_share.store SET engine = NULL"))
    upgrade_store(own)
    with own.looking() as connection:
        assert connection.scalar(text(f"SELECT count(*) FROM {ENGINE}.procrastinate_jobs")) == 0


async def test_tables_are_not_upgraded_while_somebody_works(own: Store) -> None:
    own.init()
    async with open_ledger(StoredName(own, "busy"), host="https://h.example"):
        with own.looking() as connection:
            connection.execute(text("UPDATE batch_share.store SET version = version - 1"))
        with pytest.raises(LedgerLocked, match="somebody works on a ledger of it"):
            upgrade_store(own)


async def test_a_ledger_is_moved_whole_and_goes_on_in_the_store(tmp_path: Path, store: Store) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        target = StoredName(store, f"moved {tmp_path}")
        moved = await move_ledger(it.name, target)
        assert moved["rows"] == 12
        async with read_ledger(it.name) as before, read_ledger(target) as after:
            assert await before.facts() == await after.facts()
            assert await before.counts() == await after.counts() == {State.SHARED: 12}
            assert [each async for each in before.all_rows()] == [each async for each in after.all_rows()]
            assert await before.runs() == await after.runs()
            assert await before.last_number() == await after.last_number()
        for job in (it.resume, it.run, it.revoke):
            with pytest.raises(LedgerError, match=f"it was moved to {re.escape(str(target))}: name that"):
                await job()
        with pytest.raises(LedgerError, match="it was moved to"):
            await move_ledger(it.name, StoredName(store, f"another {tmp_path}"))
        with pytest.raises(LedgerError, match="there is a ledger of this name"):
            await move_ledger(it.name, target)


async def test_a_move_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = StoredName(store, f"failed {tmp_path}")
    async with trial(tmp_path) as it:
        await it.run()
        async with open_ledger(it.name):
            with pytest.raises(LedgerLocked):
                await move_ledger(it.name, target)
        with sqlite3.connect(str(it.name)) as file:
            file.execute("UPDATE rows SET cells = 'no JSON' WHERE id = (SELECT max(id) FROM rows)")
        with pytest.raises(LedgerError, match="it can't be taken over"):
            await move_ledger(it.name, target)
        assert not target.exists()
        with sqlite3.connect(str(it.name)) as file:
            file.execute("UPDATE rows SET cells = '[]' WHERE cells = 'no JSON'")
            # cut off before anything arrived
            file.execute("INSERT INTO about (name, value) VALUES ('moved_to', ?)", (str(target),))
        with pytest.raises(LedgerError, match="it was moved to"):
            await it.resume()
        assert (await move_ledger(it.name, target))["rows"] == 12


async def test_a_move_that_is_cut_off_as_it_commits_leaves_one_ledger_to_work_on(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = StoredName(store, f"cut {tmp_path}")
    whole, loop, begun, go_on = stores._take_over, asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def take_over(*given: Any) -> dict[str, int]:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(30)
        return whole(*given)

    monkeypatch.setattr(stores, "_take_over", take_over)
    async with trial(tmp_path) as it:
        await it.run()
        moving = asyncio.create_task(move_ledger(it.name, target))
        await begun.wait()
        moving.cancel()  # as by Ctrl-C
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await moving
        async with read_ledger(target) as there:
            assert await there.counts() == {State.SHARED: 12}
        with pytest.raises(LedgerError, match="it was moved to"):
            await it.resume()


async def test_a_move_whose_commit_is_not_answered_leaves_one_ledger_to_work_on(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, whole = StoredName(store, f"unanswered {tmp_path}"), stores._take_over

    def take_over(*given: Any) -> dict[str, int]:
        whole(*given)
        raise StoreTrouble(target, "it was lost")

    monkeypatch.setattr(stores, "_take_over", take_over)
    async with trial(tmp_path) as it:
        await it.run()
        with pytest.raises(StoreTrouble):
            await move_ledger(it.name, target)
        assert target.exists()
        with pytest.raises(LedgerError, match="it was moved to"):
            await it.resume()


async def test_nothing_is_moved_of_what_is_no_ledger(tmp_path: Path, store: Store) -> None:
    target = StoredName(store, f"none {tmp_path}")
    for content in (None, b"", b"SQLite format 3\0"):
        if content is not None:
            (tmp_path / "x.db").write_bytes(content)
        with pytest.raises(LedgerError):
            await move_ledger(LedgerName.of(tmp_path / "x.db"), target)
    assert not target.exists()


def test_without_the_driver_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(
        SettingsError, match=re.escape("needs what `pip install 'batch-share[cluster]'` brings along")
    ):
        StoredName(Store.of("postgresql://nobody@127.0.0.1:9/none"), "x").exists()


def test_a_password_that_is_refused_is_told_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import OperationalError

    for said, check in (
        ('FATAL:  password authentication failed for user "asha"', "user"),
        ("FATAL:  unsupported startup parameter: options", "way there"),
    ):

        def refuse(_store: Store, said: str = said) -> StoreSeen:
            raise OperationalError("connect", {}, Exception(said))

        monkeypatch.setattr(stores, "_look", refuse)
        (each,) = check_store(Store.of("postgresql://asha:s3cr3t@h/d"))
        assert (each.check, each.level) == (check, Level.PROBLEM)
        assert "s3cr3t" not in each.words + each.next
