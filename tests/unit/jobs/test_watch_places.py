"""Where a sheet is worked on and where it goes: moved whole, and never over another."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from batch_share.errors import BatchShareError
from batch_share.jobs import watch
from batch_share.jobs.watch import AGREED, DONE, FAILED, HELD, WHY, WORKING, Inbox
from batch_share.ledger.files import LedgerName

if TYPE_CHECKING:
    from pathlib import Path

NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inbox:
    monkeypatch.setattr(watch, "utc_now", lambda: NOON)
    return Inbox(tmp_path)


def drop(places: Inbox, text: str, name: str = "leads.csv") -> Path:
    file = places.folder / name
    file.write_text(text)
    return file


def test_a_sheet_goes_with_all_that_was_made_of_it(places: Inbox) -> None:
    case = places.take(drop(places, "1"))
    assert case == places.folder / "working" / "20260102-120000_leads.csv" / "leads.csv"
    LedgerName.of_sheet(case).as_file().write_text("ledger")
    done = places.finish(case, DONE)
    assert done.read_text() == "1"
    assert LedgerName.of_sheet(done).as_file().read_text() == "ledger"
    assert done.parent == places.folder / "done" / "20260102-120000_leads.csv"
    assert places.begun() == []


def test_of_the_same_name_in_the_same_second_none_is_lost(places: Inbox) -> None:
    for text in "123":
        places.finish(places.take(drop(places, text)), DONE)
    both = [places.take(drop(places, text)) for text in "45"]
    assert places.begun() == sorted(both)
    for case in both:
        places.finish(case, DONE)
    kept = sorted(file.read_text() for file in (places.folder / DONE).glob("*/leads.csv"))
    assert kept == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("name", ["a_b.csv", "two words.xlsx", "_.csv", "a-1_x.ods", "é.csv"])
def test_what_was_begun_is_found_again_whatever_it_is_called(places: Inbox, name: str) -> None:
    case = places.take(drop(places, "1", name))
    assert places.begun() == [case]
    LedgerName.of_sheet(case).as_file().write_text("ledger")
    case.unlink()
    assert places.begun() == [case]


def test_a_folder_whose_move_was_cut_off_is_no_sheet(places: Inbox) -> None:
    (places.folder / "working" / "20260102-120000_leads.csv").mkdir(parents=True)
    (places.folder / "working" / "of a person").mkdir()
    (places.folder / "working" / "of a person" / "notes.txt").write_text("mine")
    assert places.begun() == []
    assert [each.name for each in (places.folder / "working").iterdir()] == ["of a person"]


def test_why_it_failed_is_kept_for_its_owner_alone(places: Inbox) -> None:
    failed = places.finish(places.take(drop(places, "1")), FAILED, "no column for the lead")
    why = failed.parent / WHY
    assert why.read_text() == "no column for the lead\n"
    assert why.stat().st_mode & 0o777 == 0o600


def test_one_watches_at_a_time(places: Inbox) -> None:
    with (
        places.locked(),
        pytest.raises(BatchShareError, match="is watched already"),
        Inbox(places.folder).locked(),
    ):
        raise AssertionError
    with Inbox(places.folder).locked():
        pass


def test_an_inbox_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(BatchShareError, match="is no folder"):
        Inbox(tmp_path / "gone")


def test_a_sheet_that_is_gone_leaves_no_folder(places: Inbox) -> None:
    with pytest.raises(BatchShareError, match="can't be read, made or moved"):
        places.take(places.folder / "gone.csv")
    assert list((places.folder / "working").iterdir()) == []


def test_why_it_failed_does_not_take_the_place_of_a_sheet_of_that_name(places: Inbox) -> None:
    failed = places.finish(places.take(drop(places, "1", WHY)), FAILED, "no column for the lead")
    assert (failed.name, failed.read_text()) == (WHY, "1")
    assert (failed.parent / "why-2.txt").read_text() == "no column for the lead\n"


def test_what_is_held_says_how_to_agree_and_is_agreed_to_where_a_person_moves_it(places: Inbox) -> None:
    held = places.finish(places.take(drop(places, "1")), HELD, "it has 58 rows")
    assert places.begun() == []
    agreed = places.folder / AGREED
    words = (held.parent / WHY).read_text()
    assert words.startswith("it has 58 rows\n")
    assert f"move the folder {held.parent} to {agreed}" in words
    held.parent.rename(agreed / held.parent.name)
    (case,) = places.begun()
    assert case.parents[1] == agreed
    assert places.finish(case, DONE).parents[1] == places.folder / DONE


@pytest.mark.parametrize("name", ["inbox", AGREED])
def test_a_sheet_by_itself_is_agreed_to_only_in_the_folder_for_it(tmp_path: Path, name: str) -> None:
    """Whatever the inbox is called."""
    (tmp_path / name / AGREED).mkdir(parents=True)
    places = Inbox(tmp_path / name)
    assert places.take(drop(places, "1")).parents[1] == tmp_path / name / WORKING
    assert places.take(drop(places, "1", f"{AGREED}/leads.csv")).parents[1] == tmp_path / name / AGREED
    assert [sheet.parents[1].name for sheet in places.begun()] == [AGREED, WORKING]


def test_what_is_held_is_agreed_to_where_it_is_moved_back_and_nothing_else_is(places: Inbox) -> None:
    held = places.finish(places.take(drop(places, "1")), HELD, "it has 58 rows")
    failed = places.finish(places.take(drop(places, "2", "other.csv")), FAILED, "a mistake")
    for sheet in (held, failed):
        sheet.parent.rename(places.folder / sheet.parent.name)
    assert [*places.begun()] == [places.folder / AGREED / held.parent.name / held.name]
    done = places.finish(places.begun()[0], DONE)
    done.parent.rename(places.folder / done.parent.name)
    assert places.begun() == []
