"""The index of runs: what it keeps, beside others, and what becomes of one that can't be used."""

from __future__ import annotations

import datetime as dt
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from ledgers import HOST, NOON

from batch_share.errors import HistoryError
from batch_share.ledger import known
from batch_share.ledger.files import LedgerName
from batch_share.ledger.known import FILE, NotedShare, open_history

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.ledger.known import History, KnownLedger

HOUR = dt.timedelta(hours=1)


def note(history: History, name: str, account: str | None = "acme") -> KnownLedger:
    """A ledger called so, with one run that goes on."""
    path = history.file.parent / f"{name}.db"
    known = history.note_ledger(LedgerName.of(path), f"job of {name}", HOST, account, path.with_suffix(".csv"))
    history.note_runs(known, [entry(f"run{name:_>5}")])
    return known


def entry(run: str, number: int = 1, **changes: Any) -> dict[str, Any]:
    values = {"id": run, "number": number, "command": "run", "sheet": "leads.csv", "started_at": NOON}
    return values | {"ended_at": None, "ended": None, "counts": None} | changes


def share(row: int = 1, **changes: Any) -> NotedShare:
    noted = NotedShare(row, row + 1, "lead", "user", 1, NOON + HOUR, "req", "run____a", held=False)
    return noted._replace(**changes)


def test_it_and_its_folder_are_for_its_owner_alone(tmp_path: Path) -> None:
    with open_history(tmp_path / "new" / "data") as history:
        assert stat.S_IMODE(history.file.stat().st_mode) == 0o600
        assert stat.S_IMODE(history.file.parent.stat().st_mode) == 0o700


def test_runs_come_newest_first_with_their_ledger(tmp_path: Path) -> None:
    with open_history(tmp_path) as history:
        a, b = note(history, "a"), note(history, "b")
        later = entry(
            "later___", 2, started_at=NOON + HOUR, ended_at=NOON + HOUR, ended="done", counts={"shared": 3}
        )
        history.note_runs(a, [later])
        first = history.runs(1)[0]
        assert (first.id, first.ledger, first.counts, first.host) == ("later___", a.ledger, {"shared": 3}, HOST)
        assert {run.ledger for run in history.runs()} == {a.ledger, b.ledger}


def test_a_run_that_is_noted_again_keeps_what_is_not_reported_anew(tmp_path: Path) -> None:
    with open_history(tmp_path) as history:
        known = note(history, "a")
        history.note_runs(known, [entry("run____a", ended_at=NOON, ended="done", counts={"shared": 1})])
        history.note_runs(known, [entry("run____a", sheet=None, ended_at=NOON, ended="done")])
        (found,) = history.runs(run_id="run____a")
        assert (found.sheet, found.ended, found.counts) == ("leads.csv", "done", {"shared": 1})


def test_an_account_that_is_known_stays(tmp_path: Path) -> None:
    with open_history(tmp_path) as history:
        note(history, "a")
        assert note(history, "a", None).account == "acme"
        assert len(history.ledgers()) == 1


def test_live_shares_are_those_of_the_account_that_have_not_ended(tmp_path: Path) -> None:
    with open_history(tmp_path) as history:
        a, other = note(history, "a"), note(history, "b", "other")
        history.note_live(a, [share(1), share(2, user_id="another"), share(3, ends_at=NOON)])
        history.note_live(other, [share(1)])
        live = {each.user_id: each for each in history.live_among({"acme"}, ["lead", "none"], NOON)}
        assert {user: each.row_id for user, each in live.items()} == {"user": 1, "another": 2}
        assert history.live_among({"acme"}, ["lead"], NOON + HOUR) == []
        found = live["user"]
        assert (found.ledger, found.sheet, found.sheet_row, found.request_id) == (a.ledger, "leads.csv", 2, "req")


def test_whatever_has_not_ended_comes_by_its_end(tmp_path: Path) -> None:
    with open_history(tmp_path) as history:
        a, other = note(history, "a"), note(history, "b", "other")
        history.note_live(a, [share(1, ends_at=NOON + 3 * HOUR), share(2), share(3, ends_at=NOON)])
        history.note_live(other, [share(1, ends_at=NOON + 2 * HOUR)])
        found = [(each.ledger, each.row_id) for each in history.live_after(NOON)]
        assert found == [(a.ledger, 2), (other.ledger, 1), (a.ledger, 1)]
        assert history.live_after(NOON + 3 * HOUR) == []


def test_a_ledgers_own_shares_are_left_out_where_that_is_asked(tmp_path: Path) -> None:
    with open_history(tmp_path) as history:
        a = note(history, "a")
        history.note_live(a, [share()])
        assert history.knows_any({"acme"}, "", NOON, "another job")
        assert not history.live_among({"acme"}, None, NOON, not_in=a.job)
        assert history.live_among({"acme"}, ["lead"], NOON, not_in=a.job) == []


def test_what_was_not_seen_again_is_live_no_more_and_not_before_all_was_seen(tmp_path: Path) -> None:
    with open_history(tmp_path) as history:
        a = note(history, "a")
        history.note_live(a, [share(1), share(2)])
        gone = history.note_live(a, [share(2)])
        assert len(history.live_among({"acme"}, ["lead"], NOON)) == 2
        history.live_noted(a, NOON, gone)
        history.note_seen(a, "two", "as it is")
        assert [each.row_id for each in history.live_among({"acme"}, ["lead"], NOON)] == [2]
        assert (history.ledgers()[0].mark, history.ledgers()[0].seen) == ("two", "as it is")


def test_of_the_live_shares_only_what_is_other_than_it_was_is_written(tmp_path: Path) -> None:
    with open_history(tmp_path) as history, closing(sqlite3.connect(tmp_path / FILE)) as counting:
        a, all_of_them = note(history, "a"), [share(row) for row in range(1, 101)]
        history.note_live(a, all_of_them)
        stays = counting.execute("PRAGMA data_version").fetchone()
        assert history.note_live(a, all_of_them[:60]) == []
        assert history.note_live(a, all_of_them[61:], after=60) == [61]
        assert history.note_live(a, [], after=99) == [100]
        assert counting.execute("PRAGMA data_version").fetchone() == stays, "nothing was written"
        history.note_live(a, [*all_of_them[:99], share(100, user_id="another")])
        assert {each.row_id: each.user_id for each in history.live_of(a.job)}[100] == "another"


def test_of_a_purged_ledger_only_its_runs_are_left(tmp_path: Path) -> None:
    with open_history(tmp_path) as history:
        a = note(history, "a")
        history.note_live(a, [share()])
        history.purged(a, NOON)
        assert history.ledgers() == []
        assert history.live_among({"acme"}, ["lead"], NOON) == []
        assert [run.purged_at for run in history.runs()] == [NOON]


def test_a_ledger_with_a_run_that_goes_on_has_no_end(tmp_path: Path) -> None:
    with open_history(tmp_path) as history:
        a = note(history, "a")
        assert history.ledgers(unended=True) == [a]
        assert history.last_end(a) is None
        history.give_up(a)
        assert history.ledgers(unended=True) == []
        assert history.last_end(a) == NOON
        history.note_runs(a, [entry("later___", 2, ended_at=NOON + HOUR, ended="done")])
        assert history.last_end(a) == NOON + HOUR


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from unit.ledger.test_known import note, share
from batch_share.ledger.known import open_history
name = sys.argv[2]
for _ in range(15):
    with open_history(Path(sys.argv[1])) as history:
        known = note(history, name)
        gone = history.note_live(known, [share(row, lead_id=name) for row in range(100)])
        history.live_noted(known, share().ends_at.replace(hour=0), gone)
"""


def test_several_processes_write_it_at_once(tmp_path: Path) -> None:
    from processes import ROOT

    script = WRITER.format(tests=str(ROOT / "tests"))
    command = [sys.executable, "-c", script, str(tmp_path)]
    writers = [subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True) for name in "abcd"]
    reported = [writer.communicate(timeout=60)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4, reported
    with open_history(tmp_path) as history:
        assert history.begun_anew is None
        assert len(history.runs()) == 4
        assert [len(history.live_among({"acme"}, [name], NOON)) for name in "abcd"] == [100] * 4


def damage(file: Path) -> None:
    file.write_bytes(b"this was a database once" * 100)


def break_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])


def replace_by_another(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE about (x)")


def make_older(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE about SET version = 0")


@pytest.mark.parametrize("spoil", [damage, break_off, replace_by_another, make_older])
def test_one_that_cant_be_used_is_put_aside_and_a_new_one_begun(tmp_path: Path, spoil: Any) -> None:
    for time in (1, 2):
        with open_history(tmp_path) as history:
            note(history, "a")
        spoil(tmp_path / FILE)
        before = (tmp_path / FILE).read_bytes()
        with open_history(tmp_path) as history:
            assert history.begun_anew == tmp_path / f"{FILE}.damaged-{time}"
            assert history.begun_anew.read_bytes() == before
            assert history.runs() == []
        with open_history(tmp_path) as history:
            assert history.begun_anew is None


@pytest.mark.parametrize("version", [1, 2])
def test_what_one_of_an_earlier_version_had_taken_aside_is_kept(tmp_path: Path, version: int) -> None:
    with open_history(tmp_path) as history:
        a = note(history, "a")
        history.note_live(a, [share(1), share(2, user_id="another")])
        history.take_aside(a.job)
    turned_back = {3: ["seen"], 2: ["calls", "forgotten_at"]}
    with closing(sqlite3.connect(tmp_path / FILE)) as connection, connection:
        for column in (each for since in range(known.VERSION, version, -1) for each in turned_back[since]):
            connection.execute(f"ALTER TABLE ledgers DROP COLUMN {column}")
        if version == 1:
            connection.execute("ALTER TABLE live DROP COLUMN held")
        connection.execute("UPDATE about SET version = ?", (version,))
    with open_history(tmp_path) as history:
        assert history.begun_anew is None
        assert sorted(each.row_id for each in history.live_of(a.job, aside=True)) == [-3, -2]
        assert {each.user_id for each in history.live_among({"acme"}, ["lead"], NOON)} == {"user", "another"}
        history.live_noted(a, NOON, told=[-3])
        assert [each.user_id for each in history.live_of(a.job, aside=True)] == ["user"]


def test_one_of_a_later_version_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(known, "VERSION", known.VERSION + 1)
        with open_history(tmp_path) as history:
            note(history, "a")
    with pytest.raises(HistoryError, match=r"later version of batch_share"), open_history(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)


def test_a_folder_that_cant_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HistoryError, match=r"can't be used"), open_history(tmp_path / "file" / "data"):
        pass


def test_one_that_is_damaged_while_it_is_open_is_reported(tmp_path: Path) -> None:
    with open_history(tmp_path) as history:
        note(history, "a")
        with closing(sqlite3.connect(history.file)) as connection, connection:
            connection.execute("DROP TABLE runs")
        with pytest.raises(HistoryError, match=r"can't be read or written"):
            history.runs()


def test_a_value_that_is_none_of_ours_is_reported(tmp_path: Path) -> None:
    with open_history(tmp_path) as history:
        note(history, "a")
        with closing(sqlite3.connect(history.file)) as connection, connection:
            connection.execute("UPDATE runs SET started_at = 'long ago'")
        with pytest.raises(HistoryError, match=r"can't be read or written"):
            history.runs()


def test_what_is_known_of_a_ledger_goes_with_it(tmp_path: Path) -> None:
    with open_history(tmp_path) as history:
        known = note(history, "a")
        history.note_live(known, [share()])
        history.moved(known.ledger, LedgerName.of(tmp_path / "done" / "a.db"))
        (moved,) = history.ledgers()
        assert (moved.ledger.as_file(), moved.sheet_path) == (
            tmp_path / "done" / "a.db",
            tmp_path / "done" / "a.csv",
        )
        assert [each.ledger for each in history.live_among({"acme"}, ["lead"], NOON)] == [moved.ledger]


def test_another_ledger_that_was_at_its_place_before_stays_there(tmp_path: Path) -> None:
    with open_history(tmp_path) as history:
        known = note(history, "a")
        before = history.note_ledger(known.ledger, "another job", HOST, "acme", None)
        history.moved(known.ledger, LedgerName.of(tmp_path / "b.db"), known.job)
        history.note_runs(before, [entry("before__")])
        found = {each.job: each.ledger for each in history.ledgers()}
        assert found == {known.job: LedgerName.of(tmp_path / "b.db"), before.job: known.ledger}


def test_a_ledger_that_is_noted_at_its_new_place_already_is_forgotten_at_the_old(tmp_path: Path) -> None:
    with open_history(tmp_path) as history:
        old = note(history, "a")
        history.note_live(old, [share()])
        new = history.note_ledger(LedgerName.of(tmp_path / "b.db"), old.job, HOST, "acme", None)
        history.note_live(new, [share()])
        history.moved(old.ledger, new.ledger)
        assert [each.ledger for each in history.live_among({"acme"}, ["lead"], NOON)] == [new.ledger]
