"""Which files are sheets, and when one is fully written; the clock is the test's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import SAMPLES

from batch_share.jobs.watch import PATIENCE, Inbox, is_sheet


@dataclass
class Clock:
    """A clock that goes when it is told to."""

    time: float = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def inbox(tmp_path: Path, clock: Clock) -> Inbox:
    return Inbox(tmp_path, 5.0, clock)


@pytest.mark.parametrize(
    "name", ["a.csv", "A B.TSV", "leads.xlsx", "m.xlsm", "old.xls", "o.ods", "my.results of May.csv"]
)
def test_sheets_are_taken(name: str) -> None:
    assert is_sheet(Path(name))


@pytest.mark.parametrize(
    "name",
    [
        "~$leads.xlsx", ".leads.csv", ".~lock.leads.ods#", "leads.csv.part", "leads.xlsx.tmp",
        "leads.csv.ledger.db", ".leads.csv.ledger.db.lock", "leads.results.csv", "leads.Results.xlsx",
        "leads.results-2.csv", "leads.failed.xlsx", "leads.pdf", "notes.txt", "csv", ".csv", "leads", "report.html",
    ],
)  # fmt: skip
def test_what_is_temporary_or_our_own_is_not(name: str) -> None:
    assert not is_sheet(Path(name))


def test_a_sheet_is_ready_once_it_has_been_quiet(inbox: Inbox, clock: Clock) -> None:
    file = inbox.folder / "leads.csv"
    file.write_text("Lead")
    assert inbox.ready() == []
    clock.time += 4.9
    assert inbox.ready() == []
    assert [*inbox.unsettled] == [file]
    clock.time += 0.1
    assert inbox.ready() == [file]


def test_one_that_grows_begins_anew(inbox: Inbox, clock: Clock) -> None:
    file = inbox.folder / "leads.csv"
    for words in ("Lead", "Lead Number", "Lead Number\n1"):
        file.write_text(words)
        assert inbox.ready() == []
        clock.time += 4.0
    clock.time += 1.0
    assert inbox.ready() == [file]


def test_one_that_is_written_over_in_the_same_size_begins_anew(inbox: Inbox, clock: Clock) -> None:
    file = inbox.folder / "leads.csv"
    file.write_text("1")
    inbox.ready()
    clock.time += 5.0
    os.utime(file, ns=(1, 1))
    assert inbox.ready() == []


def test_one_that_went_and_came_again_begins_anew(inbox: Inbox, clock: Clock) -> None:
    file = inbox.folder / "leads.csv"
    file.write_text("1")
    seen = file.stat()
    inbox.ready()
    file.unlink()
    assert inbox.ready() == []
    assert [*inbox.unsettled] == []
    file.write_text("2")
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    clock.time += 5.0
    assert inbox.ready() == []


def test_a_workbook_that_is_cut_off_gets_more_time_and_is_taken_in_the_end(inbox: Inbox, clock: Clock) -> None:
    whole = (SAMPLES / "leads.xlsx").read_bytes()
    cut, good = inbox.folder / "cut.xlsx", inbox.folder / "good.xlsx"
    cut.write_bytes(whole[:-1000])
    good.write_bytes(whole)
    inbox.ready()
    clock.time += 5.0
    assert inbox.ready() == [good]
    clock.time += 5.0 * (PATIENCE - 1)
    assert set(inbox.ready()) == {cut, good}


def test_the_oldest_comes_first_and_folders_are_none(inbox: Inbox, clock: Clock) -> None:
    for age, name in enumerate(("new.csv", "older.csv", "oldest.csv")):
        (inbox.folder / name).write_text("1")
        os.utime(inbox.folder / name, (1000 - age, 1000 - age))
    (inbox.folder / "folder.csv").mkdir()
    inbox.ready()
    clock.time += 5.0
    assert [file.name for file in inbox.ready()] == ["oldest.csv", "older.csv", "new.csv"]


def test_one_that_whoever_writes_it_keeps_to_himself_is_left(
    inbox: Inbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    (inbox.folder / "leads.csv").write_text("1")
    inbox.ready()
    clock.time += 5.0
    monkeypatch.setattr(Path, "open", refused)
    assert inbox.ready() == []
