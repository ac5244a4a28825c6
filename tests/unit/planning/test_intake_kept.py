"""What is kept of look-ups: for a day, by account, and never what was not found."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from batch_share.ledger.records import Lookup
from batch_share.planning.intake import ANSWERS_FILE, KeptAnswers

if TYPE_CHECKING:
    from pathlib import Path

DAY = 1440
NOW = datetime(2026, 11, 27, 12, 0)  # noqa: DTZ001 - as ledgers note times
LEAD = {"id": "l-1", "number": "869001", "email": "asha@example.com", "phone": "+91-9812345678"}
USER = {"id": "u-1", "email": "rep@example.com", "name": "Rep", "active": True}
BY_EMAIL = Lookup("Lead Email", "asha@example.com", LEAD)
OF_USER = Lookup("User Email", "rep@example.com", USER)


def kept(folder: Path, account: str = "acme", minutes: int = DAY, later: timedelta = timedelta()) -> KeptAnswers:
    return KeptAnswers(folder, account, minutes, lambda: NOW + later)


def found(answers: KeptAnswers, *names: tuple[str, str], numbers_too: bool = True) -> list[Lookup]:
    return [*answers.find(names, numbers_too=numbers_too)]


async def test_whom_a_look_up_found_is_known_for_a_day(tmp_path: Path) -> None:
    await kept(tmp_path).note_lookups([BY_EMAIL, OF_USER])
    names = [(each.kind, each.value) for each in (BY_EMAIL, OF_USER)]
    assert found(kept(tmp_path, later=timedelta(hours=24)), *names) == [BY_EMAIL, OF_USER]
    assert found(kept(tmp_path, later=timedelta(hours=24, minutes=1)), *names) == []
    assert found(kept(tmp_path, later=timedelta(hours=-1)), *names) == []  # whoever set the clock back


async def test_id_and_number_of_a_lead_are_known_for_good_but_not_its_address(tmp_path: Path) -> None:
    await kept(tmp_path).note_lookups([BY_EMAIL])
    later = kept(tmp_path, later=timedelta(days=400))
    bare = LEAD | {"email": "", "phone": ""}
    for name in (("Lead Id", "l-1"), ("Lead Number", "869001")):
        assert found(later, name) == [Lookup(*name, bare)]
        assert found(later, name, numbers_too=False) == []


async def test_another_account_knows_nothing_of_it(tmp_path: Path) -> None:
    await kept(tmp_path).note_lookups([BY_EMAIL])
    kept(tmp_path).note_types({201: "Site visit"})
    other = kept(tmp_path, account="globex")
    assert found(other, ("Lead Email", BY_EMAIL.value), ("Lead Id", "l-1"), ("Lead Number", "869001")) == []
    assert (other.types(), kept(tmp_path).types()) == (
        [],
        [Lookup("Activity Event", "201", {"name": "Site visit"})],
    )


async def test_whoever_was_not_found_is_not_kept_and_no_longer_known(tmp_path: Path) -> None:
    answers, by_id = kept(tmp_path), Lookup("Lead Id", "l-1", LEAD)
    await answers.note_lookups([by_id])
    await answers.note_lookups([replace(by_id, found=None), replace(BY_EMAIL, found=None)])
    assert found(answers, ("Lead Id", "l-1"), ("Lead Email", BY_EMAIL.value)) == []


async def test_nothing_is_kept_where_the_setting_says_so(tmp_path: Path) -> None:
    answers = kept(tmp_path, minutes=0)
    await answers.note_lookups([BY_EMAIL])
    assert not (tmp_path / ANSWERS_FILE).exists()
    await kept(tmp_path).note_lookups([BY_EMAIL])
    assert found(answers, ("Lead Id", "l-1")) == []
    assert answers.forget() == 3
    assert found(kept(tmp_path), ("Lead Id", "l-1")) == []


async def test_what_is_over_is_deleted_and_with_an_age_what_was_kept_for_good(tmp_path: Path) -> None:
    await kept(tmp_path).note_lookups([BY_EMAIL])
    later = kept(tmp_path, later=timedelta(days=2))
    assert (later.forget(), later.forget()) == (1, 0)
    assert later.forget(older_than=DAY) == 2
    assert found(later, ("Lead Id", "l-1")) == []


async def test_the_file_is_private_and_tells_nobody_by_whose_address_it_was_asked(tmp_path: Path) -> None:
    await kept(tmp_path / "data").note_lookups([Lookup("Lead Phone", "98123", LEAD | {"phone": ""})])
    file = tmp_path / "data" / ANSWERS_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"98123" not in file.read_bytes()


@pytest.mark.parametrize("damage", ["text", "torn", "tables", "version", "salt", "json"])
async def test_a_damaged_file_is_begun_anew(tmp_path: Path, damage: str) -> None:
    answers, file = kept(tmp_path), tmp_path / ANSWERS_FILE
    await answers.note_lookups([BY_EMAIL])
    if damage == "text":
        file.write_text("this is no database, and never was one")
    elif damage == "torn":
        file.write_bytes(file.read_bytes()[:5000])
    else:
        statement = {
            "tables": "DROP TABLE answers",
            "version": "PRAGMA user_version = 99",
            "salt": "DELETE FROM about",
            "json": "UPDATE answers SET found = '{'",
        }[damage]
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(statement)
    assert found(answers, ("Lead Email", BY_EMAIL.value)) == []
    await answers.note_lookups([BY_EMAIL])
    assert found(answers, ("Lead Email", BY_EMAIL.value)) == [BY_EMAIL]


@pytest.mark.skipif(os.name != "posix", reason="no modes")
async def test_what_others_could_have_written_is_not_believed(tmp_path: Path) -> None:
    answers = kept(tmp_path)
    await answers.note_lookups([BY_EMAIL])
    (tmp_path / ANSWERS_FILE).chmod(0o666)
    assert found(answers, ("Lead Email", BY_EMAIL.value)) == []
    assert stat.S_IMODE((tmp_path / ANSWERS_FILE).stat().st_mode) == 0o600


async def test_where_there_can_be_no_file_nothing_is_known(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    answers = kept(tmp_path / "a file")
    await answers.note_lookups([BY_EMAIL])
    assert found(answers, ("Lead Email", BY_EMAIL.value)) == []
    (tmp_path / ANSWERS_FILE).mkdir()
    await kept(tmp_path).note_lookups([BY_EMAIL])
    assert found(kept(tmp_path), ("Lead Email", BY_EMAIL.value)) == []


async def test_a_file_that_is_in_use_for_long_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = kept(tmp_path)
    await answers.note_lookups([BY_EMAIL])
    connect = sqlite3.connect
    with closing(connect(tmp_path / ANSWERS_FILE)) as other:
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(sqlite3, "connect", lambda file, timeout: connect(file, timeout=timeout / 1000))
        assert found(answers, ("Lead Email", BY_EMAIL.value)) == []
        other.rollback()
    assert found(answers, ("Lead Email", BY_EMAIL.value)) == [BY_EMAIL]


async def test_a_page_is_one_transaction_however_many_are_asked_for(tmp_path: Path) -> None:
    answers = kept(tmp_path)
    many = [Lookup("Lead Id", f"l-{at}", LEAD | {"id": f"l-{at}", "number": str(at)}) for at in range(1201)]
    await answers.note_lookups(many)
    names = [("Lead Id", f"l-{at}") for at in range(2000)]
    assert found(answers, *names) == many
