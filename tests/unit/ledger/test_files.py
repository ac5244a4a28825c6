"""Opening a ledger: a new one, an older, a newer, a stranger, one that another works on."""

# ruff: noqa: ASYNC240 - a test waits for its own small files
from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from ledgers import HOST, POSTED, advance, new_row, seen_from_outside, working
from sqlalchemy import text

from batch_share.errors import LedgerError, LedgerLocked, LedgerTooNew
from batch_share.ledger import schema
from batch_share.ledger.files import LedgerName, open_ledger, read_ledger
from batch_share.ledger.states import Stage, State
from batch_share.outputs import Output, Written

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from sqlalchemy import Connection

    from batch_share.ledger.reading import LedgerReader

    Way = Callable[[LedgerName], AbstractAsyncContextManager[LedgerReader]]

VERSION = "select value from about where name = 'schema_version'"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "leads.ledger.db"


async def refusals(file: Path) -> list[LedgerError]:
    """How the file is refused by each of the three ways to open it."""
    found = []
    for way in (
        open_ledger(LedgerName.of(file), host=HOST),
        open_ledger(LedgerName.of(file)),
        read_ledger(LedgerName.of(file)),
    ):
        with pytest.raises(LedgerError) as caught:
            async with way:
                pass
        found.append(caught.value)
    return found


def other_database(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


# -------------------------------------------------------------------------------------------------- its file


async def test_its_files_are_for_their_owner_alone_from_the_first_byte(file: Path) -> None:
    async with working(file, new_row(1)):
        modes = {each.name: each.stat().st_mode & 0o777 for each in file.parent.iterdir()}
    names = {file.name, f"{file.name}-wal", f"{file.name}-shm", f".{file.name}.lock"}
    assert modes == dict.fromkeys(names, 0o600)


@pytest.mark.parametrize("host", [HOST, None])
async def test_a_ledger_that_is_there_is_opened_and_stays_as_it_is(file: Path, host: str | None) -> None:
    async with working(file, new_row(1)) as ledger:
        await advance(ledger, 1, State.POSTED)
        facts = await ledger.facts()
    async with open_ledger(LedgerName.of(file), host=host) as ledger:
        assert await ledger.facts() == facts
        assert await ledger.counts() == {State.POSTED: 1}


async def test_a_ledger_keeps_the_host_it_was_made_for(file: Path) -> None:
    async with working(file):
        pass
    async with open_ledger(LedgerName.of(file), host="https://other.example") as ledger:
        assert (await ledger.facts()).host == HOST


@pytest.mark.parametrize("way", [open_ledger, read_ledger])
async def test_a_missing_file_is_reported_and_not_made(file: Path, way: Way) -> None:
    with pytest.raises(LedgerError, match="there is no such file"):
        async with way(LedgerName.of(file)):
            pass
    assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize("way", [open_ledger, read_ledger])
async def test_a_file_that_may_not_even_be_looked_at_is_reported(
    file: Path, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permission bits don't bind root, so the refusal is put in by hand."""

    def refuse(*_: object, **__: object) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.is_file", refuse)
    with pytest.raises(LedgerError, match=r"it can't be looked at \(Permission denied\)"):
        async with way(LedgerName.of(file)):
            pass


async def test_a_missing_folder_is_reported_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is no such folder"):
        async with open_ledger(LedgerName.of(tmp_path / "typo" / "leads.db"), host=HOST):
            pass
    assert not (tmp_path / "typo").exists()


async def test_a_folder_is_no_ledger(file: Path) -> None:
    file.mkdir()
    assert "unable to open database file" in (await refusals(file))[0].wrong


async def test_a_text_file_is_no_ledger_and_stays_as_it_is(file: Path) -> None:
    content = b"Lead Id,Lead Number\n" * 100
    file.write_bytes(content)
    for error in await refusals(file):
        assert "no ledger, or a damaged one" in error.wrong
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    "statements",
    [
        ["create table customers (name text)"],
        ["create table about (title text)"],
        ["create table about (name text, value text)"],
        ["create table about (name text, value text)", "insert into about values ('schema_version', 'new')"],
    ],
)
async def test_a_database_of_somebody_else_is_refused_and_stays_as_it_is(file: Path, statements: list[str]) -> None:
    other_database(file, *statements)
    for error in await refusals(file):
        assert "not a ledger of batch_share" in error.wrong
    assert seen_from_outside(file, "select count(*) from sqlite_master") == [(1,)]


@pytest.mark.parametrize("content", [b"x", b"\n", b"SQLite format 3", b"\0" * 4096])
async def test_a_short_file_of_somebody_else_is_never_made_a_ledger(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    for error in await refusals(file):
        assert error.wrong == "this file is no ledger, or a damaged one: name another"
    assert file.read_bytes() == content


async def test_a_file_whose_beginning_can_not_be_read_is_reported(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    file.write_text("something")
    monkeypatch.setattr("batch_share.ledger.files.is_database", refuse)
    for error in await refusals(file):
        assert error.wrong == "it can't be looked at (Permission denied)"


async def test_a_name_that_can_be_kept_nowhere_is_reported_and_nothing_is_made(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"caf\xe9.db")
    with pytest.raises(
        LedgerError, match=r"caf\\udce9\.db: its name, or that of its folder, is not UTF-8: rename it"
    ):
        async with open_ledger(LedgerName.of(file), host=HOST):
            pass
    assert not file.exists()


async def test_a_link_to_nothing_leads_to_a_ledger_that_only_its_owner_can_read(file: Path) -> None:
    file.symlink_to(file.with_name("real.db"))
    async with working(file, new_row(1)):
        modes = {each.name: each.lstat().st_mode & 0o777 for each in file.parent.iterdir() if not each.is_symlink()}
    names = {"real.db", "real.db-wal", "real.db-shm", ".real.db.lock"}
    assert modes == dict.fromkeys(names, 0o600)


@pytest.mark.parametrize("what", ["deleted", "moved", "replaced"])
async def test_nothing_is_begun_in_a_ledger_that_is_not_where_it_was_and_answers_are_noted(
    file: Path, what: str
) -> None:
    async with working(file, new_row(1), new_row(2)) as ledger:
        first, second = (await ledger.rows_by_id([1, 2])).values()
        begun = await ledger.intend([first], Stage.ACTIVITY, [None])
        kept = file.rename(file.with_name("kept.db"))
        if what == "deleted":
            kept.unlink()
        elif what == "replaced":
            shutil.copy(kept, file)
        with pytest.raises(LedgerError, match="it was moved, deleted or replaced while the run worked on it"):
            await ledger.intend([second], Stage.ACTIVITY, [None])
        await ledger.settle(begun, [first], [POSTED])
        assert await ledger.counts() == {State.POSTED: 1, State.PENDING: 1}
        if what == "moved":
            kept.rename(file)
            await ledger.intend([second], Stage.ACTIVITY, [None])


async def test_a_report_is_noted_beside_the_run_that_works_on_the_ledger(file: Path) -> None:
    written = Written(Output.REPORT, "leads.report.html", "digest")
    async with working(file, new_row(1)) as ledger, read_ledger(LedgerName.of(file)) as reader:
        await reader.note_written(lambda noted: [*noted, written])
        await advance(ledger, 1, State.SHARED)
        assert (await ledger.counts(), await ledger.written()) == ({State.SHARED: 1}, [written])


async def test_an_empty_file_becomes_a_ledger_only_when_a_host_is_known(file: Path) -> None:
    """A process that was killed at its very start leaves one."""
    file.touch()
    for way in (open_ledger(LedgerName.of(file)), read_ledger(LedgerName.of(file))):
        with pytest.raises(LedgerError, match="or an empty one"):
            async with way:
                pass
    async with open_ledger(LedgerName.of(file), host=HOST) as ledger:
        assert (await ledger.facts()).host == HOST


@pytest.mark.parametrize("name", ["Leads%20May.db", "leads?1.db", "?uri=true.db", "a#b&c=d.db", "ä %41.db"])
async def test_whatever_a_ledger_is_called_it_is_in_that_file_and_in_no_other(tmp_path: Path, name: str) -> None:
    async with working(tmp_path / name, new_row(1)):
        pass
    assert {file.name for file in tmp_path.iterdir()} == {name, f".{name}.lock"}
    assert seen_from_outside(tmp_path / name, "select count(*) from rows") == [(1,)]


async def test_all_that_was_committed_is_in_the_one_file_that_people_copy(file: Path, tmp_path: Path) -> None:
    """Also while a run works, and after it was killed: the log beside it holds nothing that the file lacks."""
    async with working(file, *[new_row(number) for number in range(20)]) as ledger:
        for number in range(20):
            await advance(ledger, number, State.ACCEPTED)
            shutil.copy(file, tmp_path / "copy.db")
            copied = seen_from_outside(tmp_path / "copy.db", "select count(*) from rows where state = 'accepted'")
            assert copied == [(number + 1,)]


# ------------------------------------------------------------------------------------------------ its schema


def add_colour(connection: Connection) -> None:
    connection.execute(text("create table colours (name text)"))


def add_red(connection: Connection) -> None:
    connection.execute(text("insert into colours values ('red')"))


@pytest.mark.parametrize("way", [open_ledger, read_ledger])
async def test_an_older_ledger_is_upgraded_step_by_step_whichever_way_it_is_opened(
    file: Path, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    async with working(file, new_row(1)):
        now = schema.VERSION
    with monkeypatch.context() as patch:
        patch.setattr(schema, "VERSION", now + 2)
        patch.setitem(schema.UPGRADES, now, (add_colour,))
        patch.setitem(schema.UPGRADES, now + 1, (add_red,))
        async with way(LedgerName.of(file)) as ledger:
            assert await ledger.counts() == {State.PENDING: 1}
    assert seen_from_outside(file, "select name from colours") == [("red",)]
    assert seen_from_outside(file, VERSION) == [(str(now + 2),)]


async def test_an_upgrade_that_breaks_off_leaves_the_ledger_as_it_was(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks_off(connection: Connection) -> None:
        add_colour(connection)
        connection.execute(text("this is no SQL"))

    async with working(file, new_row(1)):
        now = schema.VERSION
    with monkeypatch.context() as patch:
        patch.setattr(schema, "VERSION", now + 1)
        patch.setitem(schema.UPGRADES, now, (breaks_off,))
        with pytest.raises(LedgerError, match="syntax error"):
            async with open_ledger(LedgerName.of(file)):
                pass
    assert seen_from_outside(file, "select name from sqlite_master where name = 'colours'") == []
    async with open_ledger(LedgerName.of(file)) as ledger:
        assert await ledger.counts() == {State.PENDING: 1}


async def test_an_older_ledger_without_a_way_up_is_refused(file: Path) -> None:
    async with working(file):
        pass
    other_database(file, "update about set value = '0' where name = 'schema_version'")
    for error in await refusals(file):
        assert error.wrong == "its schema version 0 is not one that can be upgraded"


async def test_a_newer_ledger_is_refused_with_what_to_do_and_stays_as_it_is(file: Path) -> None:
    async with working(file):
        pass
    other_database(file, "update about set value = '99' where name = 'schema_version'")
    for error in await refusals(file):
        assert isinstance(error, LedgerTooNew)
        assert "schema 99" in error.wrong
        assert "Update batch_share" in error.wrong
    assert seen_from_outside(file, VERSION) == [("99",)]


# ---------------------------------------------------------------------------------------------- who has it


async def test_a_ledger_is_opened_for_work_once_at_a_time(file: Path) -> None:
    async with working(file):
        with pytest.raises(LedgerLocked):
            async with open_ledger(LedgerName.of(file), host=HOST):
                pass
    async with open_ledger(LedgerName.of(file)):
        pass


async def test_a_damaged_ledger_that_another_has_is_said_to_be_worked_on(file: Path) -> None:
    """It can't tell who has it."""
    file.write_bytes(b"no ledger" * 100)
    with LedgerName.of(file).locked():
        for way in (open_ledger(LedgerName.of(file)), open_ledger(LedgerName.of(file), host=HOST)):
            with pytest.raises(LedgerLocked, match=r"Another batch_share process is working on it\. Wait for"):
                async with way:
                    pass
    with pytest.raises(LedgerError, match="no ledger, or a damaged one"):
        async with open_ledger(LedgerName.of(file)):
            pass


async def test_a_refused_ledger_does_not_stay_locked(file: Path) -> None:
    file.write_bytes(b"no ledger" * 100)
    with pytest.raises(LedgerError):
        async with open_ledger(LedgerName.of(file), host=HOST):
            pass
    file.unlink()
    async with open_ledger(LedgerName.of(file), host=HOST):
        pass


async def test_a_ledger_is_closed_and_free_after_an_error_in_the_work(file: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with working(file):
            raise ZeroDivisionError
    async with open_ledger(LedgerName.of(file)):
        pass
    assert not file.with_name(f"{file.name}-wal").exists()


async def test_a_ledger_can_be_looked_at_while_it_is_worked_on(file: Path) -> None:
    async with working(file, new_row(1)), read_ledger(LedgerName.of(file)) as reader:
        assert await reader.counts() == {State.PENDING: 1}


# ------------------------------------------------------------------------------------------------- its name


def test_a_ledger_is_called_as_it_was_named_and_is_one_whatever_its_name(file: Path, tmp_path: Path) -> None:
    name = LedgerName.of(file)
    assert (str(name), name.short) == (str(file), "leads.ledger.db")
    assert LedgerName.of(str(file)) == LedgerName.of(name) == name
    file.write_bytes(b"")
    (tmp_path / "other.db").symlink_to(file)
    link = LedgerName.of(tmp_path / "other.db")
    assert link != name
    assert link.resolved() == name.resolved()
    assert link.lock_file == name.lock_file == tmp_path.resolve() / ".leads.ledger.db.lock"


def test_what_is_there_of_a_ledger_can_be_asked_by_its_name(file: Path) -> None:
    name = LedgerName.of(file)
    assert (name.exists(), name.size(), name.place(), name.files()) == (False, None, None, [])
    file.write_bytes(b"")
    assert (name.exists(), name.size()) == (True, 0)
    file.write_bytes(b"x")
    for beside in (".leads.ledger.db.lock", "leads.ledger.db-wal"):
        name.beside(beside).touch()
    assert name.size()
    assert [each.name for each in name.files()] == [
        "leads.ledger.db",
        "leads.ledger.db-wal",
        ".leads.ledger.db.lock",
    ]
    before = name.place()
    file.rename(file.with_name("moved.db"))
    file.write_bytes(b"x")
    assert name.place() not in {None, before}


def test_a_relative_name_is_good_everywhere_once_it_is_absolute(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    name = LedgerName.of(file.name)
    assert str(name) == "leads.ledger.db"
    assert (str(name.absolute()), name.beside("leads.csv")) == (str(file), file.with_name("leads.csv"))
