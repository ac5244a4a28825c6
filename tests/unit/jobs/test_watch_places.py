"""Where a sheet is worked on and where it goes: moved whole, and never over another."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from batch_share.errors import BatchShareError
from batch_share.jobs.watch import AGREED, DONE, FAILED, HELD, WHY, Folders

if TYPE_CHECKING:
    from pathlib import Path

NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)


@pytest.fixture
def places(tmp_path: Path) -> Folders:
    return Folders(tmp_path, lambda: NOON)


def drop(places: Folders, text: str, name: str = "leads.csv") -> Path:
    file = places.inbox / name
    file.write_text(text)
    return file


def test_a_sheet_goes_with_all_that_was_made_of_it(places: Folders) -> None:
    case = places.take(drop(places, "1"))
    assert case.sheet == places.inbox / "working" / "20260102-120000_leads.csv" / "leads.csv"
    case.ledger.as_file().write_text("ledger")
    done = places.finish(case, DONE)
    assert done.sheet.read_text() == "1"
    assert done.ledger.as_file().read_text() == "ledger"
    assert done.folder == places.inbox / "done" / "20260102-120000_leads.csv"
    assert places.begun() == []


def test_of_the_same_name_in_the_same_second_none_is_lost(places: Folders) -> None:
    for text in "123":
        places.finish(places.take(drop(places, text)), DONE)
    both = [places.take(drop(places, text)) for text in "45"]
    assert [case.folder for case in places.begun()] == sorted(case.folder for case in both)
    for case in both:
        places.finish(case, DONE)
    kept = sorted(file.read_text() for file in (places.inbox / DONE).glob("*/leads.csv"))
    assert kept == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("name", ["a_b.csv", "two words.xlsx", "_.csv", "a-1_x.ods", "é.csv"])
def test_what_was_begun_is_found_again_whatever_it_is_called(places: Folders, name: str) -> None:
    case = places.take(drop(places, "1", name))
    assert places.begun() == [case]
    case.ledger.as_file().write_text("ledger")
    case.sheet.unlink()
    assert places.begun() == [case]


def test_a_folder_whose_move_was_cut_off_is_no_sheet(places: Folders) -> None:
    (places.inbox / "working" / "20260102-120000_leads.csv").mkdir(parents=True)
    (places.inbox / "working" / "of a person").mkdir()
    (places.inbox / "working" / "of a person" / "notes.txt").write_text("mine")
    assert places.begun() == []
    assert [each.name for each in (places.inbox / "working").iterdir()] == ["of a person"]


def test_why_it_failed_is_kept_for_its_owner_alone(places: Folders) -> None:
    failed = places.finish(places.take(drop(places, "1")), FAILED, "no column for the lead")
    why = failed.folder / WHY
    assert why.read_text() == "no column for the lead\n"
    assert why.stat().st_mode & 0o777 == 0o600


def test_one_watches_at_a_time(places: Folders) -> None:
    with (
        places.locked(),
        pytest.raises(BatchShareError, match="is watched already"),
        Folders(places.inbox).locked(),
    ):
        raise AssertionError
    with Folders(places.inbox).locked():
        pass


def test_an_inbox_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(BatchShareError, match="is no folder"):
        Folders(tmp_path / "gone")


def test_a_sheet_that_is_gone_leaves_no_folder(places: Folders) -> None:
    with pytest.raises(BatchShareError, match="can't be read, made or moved"):
        places.take(places.inbox / "gone.csv")
    assert list((places.inbox / "working").iterdir()) == []


def test_why_it_failed_does_not_take_the_place_of_a_sheet_of_that_name(places: Folders) -> None:
    failed = places.finish(places.take(drop(places, "1", WHY)), FAILED, "no column for the lead")
    assert (failed.sheet.name, failed.sheet.read_text()) == (WHY, "1")
    assert (failed.folder / "why-2.txt").read_text() == "no column for the lead\n"


def test_what_is_held_says_how_to_agree_and_is_agreed_to_where_a_person_moves_it(places: Folders) -> None:
    held = places.finish(places.take(drop(places, "1")), HELD, "it has 58 rows")
    assert not held.is_agreed
    assert places.begun() == []
    agreed = places.inbox / AGREED
    words = (held.folder / WHY).read_text()
    assert words.startswith("it has 58 rows\n")
    assert f"move this folder ({held.folder}) to {agreed}" in words
    held.folder.rename(agreed / held.folder.name)
    (case,) = places.begun()
    assert case.is_agreed
    assert places.finish(case, DONE).folder.parent == places.inbox / DONE


@pytest.mark.parametrize("name", ["inbox", AGREED])
def test_a_sheet_by_itself_is_agreed_to_only_in_the_folder_for_it(tmp_path: Path, name: str) -> None:
    """Whatever the inbox is called."""
    (tmp_path / name / AGREED).mkdir(parents=True)
    places = Folders(tmp_path / name)
    assert not places.take(drop(places, "1")).is_agreed
    assert places.take(drop(places, "1", f"{AGREED}/leads.csv")).is_agreed
    assert [case.is_agreed for case in places.begun()] == [True, False]
