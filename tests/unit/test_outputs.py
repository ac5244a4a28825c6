"""Files that a person names for an output: ours may be written again, all else is refused and stays as it is."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from placing import named

from batch_share.errors import SettingsError
from batch_share.outputs import Named, check_apart, digest_of, write_private

if TYPE_CHECKING:
    from pathlib import Path


def write(target: Named, text: str) -> None:
    with target.written() as temporary:
        temporary.write_text(text)


def test_what_we_wrote_is_written_again_as_often_as_nobody_changed_it(tmp_path: Path) -> None:
    target = named(tmp_path / "plan.csv")
    for text in ("one", "two", "one", "three"):
        write(target, text)
        assert target.target.read_text() == text
    moved = target.target.rename(tmp_path / "kept.csv")
    write(named(moved), "four")
    moved.write_text("mine")
    with pytest.raises(SettingsError, match=r"output: .*kept\.csv is there, and is nothing that batch_share wrote"):
        write(named(moved), "five")
    assert moved.read_text() == "mine"


def test_it_and_the_list_are_for_their_owner_alone(tmp_path: Path) -> None:
    target = named(tmp_path / "plan.csv")
    write(target, "one")
    (known,) = target.folder.iterdir()
    assert (target.folder.stat().st_mode & 0o777, known.stat().st_mode & 0o777) == (0o700, 0o600)
    assert target.target.stat().st_mode & 0o777 == 0o600


def test_a_list_that_can_not_be_kept_is_no_reason_not_to_write(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    write(named(tmp_path / "plan.csv"), "one")
    with pytest.raises(SettingsError, match="is nothing that batch_share wrote"):
        write(named(tmp_path / "plan.csv"), "two")


@pytest.mark.parametrize("way", ["itself", "a link", "a hard link"])
def test_it_is_never_the_sheet_though_it_be_ours(tmp_path: Path, way: str) -> None:
    sheet = tmp_path / "leads.failed.csv"
    write(named(sheet), "ours")
    target = sheet if way == "itself" else tmp_path / "other.csv"
    if way == "a link":
        target.symlink_to(sheet)
    elif way == "a hard link":
        target.hardlink_to(sheet)
    with pytest.raises(SettingsError, match="is the sheet itself: name another file"):
        write(Named("output", target, tmp_path / "data", [tmp_path / "gone.csv", sheet]), "plan")
    assert sheet.read_text() == "ours"


def test_it_is_never_a_ledger_a_folder_a_pipe_or_a_link_to_nothing(tmp_path: Path) -> None:
    ledger, folder, pipe, link = (tmp_path / name for name in ("ledger.db", "folder", "pipe", "link"))
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("CREATE TABLE about (x)")
    folder.mkdir()
    os.mkfifo(pipe)
    link.symlink_to("nowhere")
    for target, words in ((ledger, "is a ledger"), *((each, "is nothing that") for each in (folder, pipe, link))):
        with pytest.raises(SettingsError, match=words):
            named(target).check()


def test_what_can_not_be_looked_at_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    target = named(tmp_path / "plan.csv")
    target.target.touch()
    monkeypatch.setattr("batch_share.outputs.is_database", refuse)
    with pytest.raises(SettingsError, match=r"is there, and can't be looked at \(Permission denied\)"):
        target.check()


def test_a_file_that_can_not_be_read_is_known_by_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "plan.csv").touch()
    monkeypatch.setattr("pathlib.Path.open", refuse)
    assert digest_of(tmp_path / "plan.csv") == ""


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    ledger = tmp_path / "leads.csv.ledger.db"
    check_apart(ledger, named(tmp_path / "plan.csv"), None, named(tmp_path / "plan.json", "save"))
    with pytest.raises(SettingsError, match=r"save: .*plan\.csv is where --output goes: name another file"):
        check_apart(ledger, named(tmp_path / "plan.csv"), named(tmp_path / "." / "plan.csv", "save"))
    with pytest.raises(SettingsError, match=r"save: .* is where the ledger goes: name another file"):
        check_apart(ledger, named(ledger, "save"))


def test_a_private_file_is_one_from_its_first_byte(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        write_private(tmp_path / "why.txt", "so")
    finally:
        os.umask(old)
    assert ((tmp_path / "why.txt").stat().st_mode & 0o777, (tmp_path / "why.txt").read_text()) == (0o600, "so")
