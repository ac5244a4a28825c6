"""Which files are sheets, and when one is fully written; the clock is the test's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import SAMPLES

from batch_share.jobs.watch import PATIENCE, Arrivals, is_sheet


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
def arrivals(tmp_path: Path, clock: Clock) -> Arrivals:
    return Arrivals(tmp_path, clock, settle=5.0)


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


def test_a_sheet_is_ready_once_it_has_been_quiet(arrivals: Arrivals, clock: Clock) -> None:
    file = arrivals.folder / "leads.csv"
    file.write_text("Lead")
    assert arrivals.ready() == []
    clock.time += 4.9
    assert arrivals.ready() == []
    assert arrivals.unsettled() == [file]
    clock.time += 0.1
    assert arrivals.ready() == [file]


def test_one_that_grows_begins_anew(arrivals: Arrivals, clock: Clock) -> None:
    file = arrivals.folder / "leads.csv"
    for words in ("Lead", "Lead Number", "Lead Number\n1"):
        file.write_text(words)
        assert arrivals.ready() == []
        clock.time += 4.0
    clock.time += 1.0
    assert arrivals.ready() == [file]


def test_one_that_is_written_over_in_the_same_size_begins_anew(arrivals: Arrivals, clock: Clock) -> None:
    file = arrivals.folder / "leads.csv"
    file.write_text("1")
    arrivals.ready()
    clock.time += 5.0
    os.utime(file, ns=(1, 1))
    assert arrivals.ready() == []


def test_one_that_went_and_came_again_begins_anew(arrivals: Arrivals, clock: Clock) -> None:
    file = arrivals.folder / "leads.csv"
    file.write_text("1")
    seen = file.stat()
    arrivals.ready()
    file.unlink()
    assert arrivals.ready() == []
    assert arrivals.unsettled() == []
    file.write_text("2")
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    clock.time += 5.0
    assert arrivals.ready() == []


def test_a_workbook_that_is_cut_off_gets_more_time_and_is_taken_in_the_end(
    arrivals: Arrivals, clock: Clock
) -> None:
    whole = (SAMPLES / "leads.xlsx").read_bytes()
    cut, good = arrivals.folder / "cut.xlsx", arrivals.folder / "good.xlsx"
    cut.write_bytes(whole[:-1000])
    good.write_bytes(whole)
    arrivals.ready()
    clock.time += 5.0
    assert arrivals.ready() == [good]
    clock.time += 5.0 * (PATIENCE - 1)
    assert set(arrivals.ready()) == {cut, good}


def test_the_oldest_comes_first_and_folders_are_none(arrivals: Arrivals, clock: Clock) -> None:
    for age, name in enumerate(("new.csv", "older.csv", "oldest.csv")):
        (arrivals.folder / name).write_text("1")
        os.utime(arrivals.folder / name, (1000 - age, 1000 - age))
    (arrivals.folder / "folder.csv").mkdir()
    arrivals.ready()
    clock.time += 5.0
    assert [file.name for file in arrivals.ready()] == ["oldest.csv", "older.csv", "new.csv"]
