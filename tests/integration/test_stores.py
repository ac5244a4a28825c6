"""A store as a whole: what `store check` finds, how its tables become those of today, what is moved there."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError
from stores import IS_INSTALLED, server
from trial import trial

from batch_share import BatchShare
from batch_share.errors import (
    BatchShareError,
    LedgerError,
    LedgerLocked,
    LedgerMoved,
    SettingsError,
    StoreTrouble,
)
from batch_share.jobs import stores
from batch_share.jobs.check_up import Level
from batch_share.jobs.stores import StoreSeen, check_store, move_ledger, upgrade_store
from batch_share.ledger import schema
from batch_share.ledger.files import LedgerName, open_ledger, read_ledger
from batch_share.ledger.postgres import ENGINE, Store, StoredName, shared
from batch_share.ledger.reading import LedgerReader
from batch_share.ledger.states import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trial import Trial

NOW = schema.VERSION
SCHEMAS = ("batch_share", "batch_share_ledger", "batch_share_engine")


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
        for name in SCHEMAS:
            connection.execute(text(f"GRANT USAGE ON SCHEMA {name} TO lesser"))
            connection.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA {name} TO lesser"))
    lesser = Store.of(str(own).replace("postgres@", "lesser@"))
    (well,) = check_store(lesser)
    assert (well.level, "as lesser" in well.words) == (Level.OK, True)
    with own.looking() as connection:
        name = connection.scalar(text("SELECT current_database()"))
        connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    assert [each.check for each in check_store(lesser)] == ["commits"]
    (gone,) = check_store(Store.of(str(own).replace("?host=", "?host=/nowhere")))
    assert (gone.check, gone.level) == ("way there", Level.PROBLEM)


def test_a_role_that_may_not_read_or_write_some_tables_is_told_which(own: Store) -> None:
    own.init()
    lesser = Store.of(str(own).replace("postgres@", "lesser@"))
    with own.looking() as connection:
        connection.execute(text("CREATE ROLE lesser LOGIN"))
        for name in SCHEMAS:
            connection.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA {name} TO lesser"))
    (nothing,) = check_store(lesser)
    assert (nothing.check, nothing.level) == ("user", Level.PROBLEM)
    with own.looking() as connection:
        for name in SCHEMAS:
            connection.execute(text(f"GRANT USAGE ON SCHEMA {name} TO lesser"))
        connection.execute(text("REVOKE SELECT ON batch_share.store, batch_share.rows FROM lesser"))
        connection.execute(text("REVOKE UPDATE ON batch_share_ledger.rows, batch_share.jobs FROM lesser"))
    (some,) = check_store(lesser)
    assert some.words == "The user lesser may not read and write all of its tables: jobs, rows, store."
    with own.looking() as connection:
        for name in SCHEMAS:
            connection.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA {name} TO lesser"))
    assert [each.level for each in check_store(lesser)] == [Level.OK]
    shared(lesser).dispose()


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
        before = LedgerReader(it.name, it.name.database())
        async with read_ledger(target) as after:
            assert await before.facts() == await after.facts()
            assert (await after.facts()).job == moved
            assert await before.counts() == await after.counts() == {State.SHARED: 12}
            assert [each async for each in before.all_rows()] == [each async for each in after.all_rows()]
            assert await before.runs() == await after.runs()
            assert await before.last_number() == await after.last_number()
        await before.close()
        for job in (it.resume, it.run, it.revoke):
            with pytest.raises(LedgerError, match=f"it was moved to {re.escape(str(target))}: name that"):
                await job()
        with pytest.raises(LedgerError, match="it was moved to"):
            await move_ledger(it.name, StoredName(store, f"another {tmp_path}"))
        another = LedgerName.of(tmp_path / "another.db")
        async with open_ledger(another, host=it.sandbox.url):
            pass
        with pytest.raises(LedgerError, match="there is a ledger of this name"):
            await move_ledger(another, target)


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
        assert (await it.resume()).summary.states == {State.SHARED: 12}
        await move_ledger(it.name, target)
        async with read_ledger(target) as ledger:
            assert await ledger.counts() == {State.SHARED: 12}


async def test_a_ledger_goes_into_the_store_and_back_and_what_is_known_of_it_is_known_once(
    tmp_path: Path, own_store: Store
) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        first, url = it.name, SecretStr(str(own_store))
        library = BatchShare(it.settings(store=url))
        (_, stored) = await library.move(first)
        with pytest.raises(LedgerError, match="there is a file already, so nothing was moved"):
            await library.move(stored, to=first.as_file())
        with pytest.raises(SettingsError, match="a ledger is moved from a file into a store, or from there"):
            await library.move(first, to=tmp_path / "x.db")
        back = LedgerName.of(tmp_path / "back.db")
        assert await library.move(stored, to=back.as_file()) == (stored, back)
        for gone, now in ((stored, back), (first, stored)):
            for look in (library.status, library.results, library.resume, library.page):
                with pytest.raises(LedgerMoved, match=f"it was moved to {re.escape(str(now))}: name that"):
                    await look(gone)
        with sqlite3.connect(str(first)) as one, sqlite3.connect(str(back)) as other:
            for table in schema.metadata.sorted_tables:
                each = f"SELECT * FROM {table.name} ORDER BY 1, 2"
                rows, moved = one.execute(each).fetchall(), other.execute(each).fetchall()
                assert [row for row in rows if row[0] != "moved_to"] == moved
        assert oct(back.as_file().stat().st_mode & 0o777) == "0o600"
        known = await library.runs()
        assert [run.ledger for run in known.runs] == [back]
        assert known.runs[0].counts == {State.SHARED: 12}
        assert len((await library.access()).shares) == 12
        await library.revoke(back)
        assert it.live() == 0
        assert (await library.access()).shares == []
        # And there again, under the name that is its own.
        assert (await library.move(back, ledger=stored.short))[1] == stored
        assert (await library.status(stored)).states == {State.REVOKED: 12}
        assert [run.ledger for run in (await library.runs()).runs] == [stored, stored]


@pytest.mark.parametrize("is_back", [False, True], ids=["file", "store"])
async def test_a_move_that_is_cut_off_anywhere_leaves_one_ledger_to_work_on(
    tmp_path: Path, store: Store, is_back: bool
) -> None:
    """It fails at its first statement, its second, and so on, until it comes to its end."""
    async with trial(tmp_path, rows=3) as it:
        await it.run()
        one: LedgerName = it.name
        other: LedgerName = StoredName(store, f"cut off {tmp_path} {is_back}")
        if is_back:
            await move_ledger(one, other)
            one, other = other, LedgerName.of(tmp_path / "back.db")
        left, cuts = 0, 0

        def cut(*_: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise OperationalError("cut off", {}, Exception("cut off"))

        while True:
            left = cuts + 1
            event.listen(Engine, "before_cursor_execute", cut)
            event.listen(Engine, "commit", cut)
            try:
                await move_ledger(one, other)
            except BatchShareError:
                cuts += 1
            finally:
                event.remove(Engine, "before_cursor_execute", cut)
                event.remove(Engine, "commit", cut)
            good = []
            for name in (one, other):
                with suppress(LedgerError):
                    async with open_ledger(name) as ledger:
                        good.append((name, await ledger.counts()))
            ((where, counts),) = good
            assert counts == {State.SHARED: 3}
            if where == other:
                break
            if is_back:  # what is undone by a person, as the refusal says
                other.as_file().unlink(missing_ok=True)
        assert cuts > 20
        with pytest.raises(LedgerMoved):
            await move_ledger(one, other)


async def test_a_move_that_is_cut_off_as_it_commits_leaves_one_ledger_to_work_on(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = StoredName(store, f"cut {tmp_path}")
    whole, loop, begun, go_on = stores._into_store, asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def take_over(*given: Any) -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(30)
        whole(*given)

    monkeypatch.setattr(stores, "_into_store", take_over)
    async with trial(tmp_path) as it:
        await it.run()
        moving = asyncio.create_task(move_ledger(it.name, target))
        await begun.wait()
        moving.cancel()  # as by Ctrl-C
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await moving
        await is_a_copy(target, it)


async def is_a_copy(target: StoredName, it: Trial) -> None:
    """All of it came, and the file is still the ledger: until it is moved anew."""
    assert target.exists()
    with pytest.raises(
        LedgerMoved, match=r"is a copy of .* whose move was cut off, and that is the one to work on"
    ):
        async with read_ledger(target):
            pass
    assert (await it.resume()).summary.states == {State.SHARED: 12}


async def test_a_move_whose_commit_is_not_answered_leaves_one_ledger_to_work_on(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, whole = StoredName(store, f"unanswered {tmp_path}"), stores._into_store

    def take_over(*given: Any) -> None:
        whole(*given)
        raise StoreTrouble(target, "it was lost")

    monkeypatch.setattr(stores, "_into_store", take_over)
    async with trial(tmp_path) as it:
        await it.run()
        with pytest.raises(StoreTrouble):
            await move_ledger(it.name, target)
        await is_a_copy(target, it)
        monkeypatch.setattr(stores, "_into_store", whole)
        await move_ledger(it.name, target)
        async with read_ledger(target) as there:
            assert await there.counts() == {State.SHARED: 12}


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
