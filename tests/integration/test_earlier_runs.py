"""Memory across runs: what another ledger of the account has shared, and is shared still, is not shared again."""

from __future__ import annotations

import csv
import datetime as dt
import os
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
from placing import named
from pydantic import SecretStr
from trial import (
    CREATE,
    DROPPED,
    SHARE,
    Fault,
    Onlooker,
    Trial,
    answer,
    ask_to_stop,
    envelope,
    options,
    sheet_rows,
    trial,
)

from batch_share.common import utc_now
from batch_share.errors import HistoryError, LedgerError, OfAnotherSheet
from batch_share.jobs.job import do
from batch_share.jobs.outputs import report_of, results_of
from batch_share.jobs.purge import delete, find_old
from batch_share.jobs.run import RunSheet
from batch_share.leadsquared.account import names_of_account
from batch_share.ledger import known, reading, schema
from batch_share.ledger.files import LedgerName, open_ledger, read_ledger
from batch_share.ledger.known import FILE, History, open_history
from batch_share.ledger.states import State
from batch_share.planning import already_shared
from batch_share.planning.already_shared import known_runs, note_move
from batch_share.planning.intake import SheetJob, show_sheet
from batch_share.planning.plan import SheetOptions
from batch_share.sandbox import Sandbox
from batch_share.sandbox.sheets import active_users

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from batch_share.ledger.reading import LedgerReader

READ, WRITE = "read", "write"

ALREADY = "already shared with this user until "


def another(first: Trial, rows: list[list[str]], name: str = "another") -> Trial:
    """A second sheet of the same account, on the same machine."""
    folder = first.folder / name
    folder.mkdir()
    own = {"state_folder": first.folder / "state", "data_folder": first.folder / "data"}
    made = Trial(folder, first.sandbox, own)
    made.write(rows)
    return made


def asking(count: int, access: str, **cells: str) -> list[list[str]]:
    """Rows of which each asks for this access."""
    return [[*row[:3], access, cells.get("duration", row[4]), *row[5:]] for row in sheet_rows(count)]


def states(it: Trial) -> list[str]:
    return [state for (state,) in it.rows("state")]


def write_numbers(it: Trial, count: int) -> None:
    """A sheet that names leads by their numbers alone."""
    with (it.folder / "leads.csv").open("w", newline="") as out:
        csv.writer(out).writerows(
            [
                ("Lead Number", "User Id", "Duration", "Activity Event"),
                *((r[1], r[2], "7d", "201") for r in sheet_rows(count)),
            ]
        )


def later(monkeypatch: pytest.MonkeyPatch, **passed: float) -> None:
    """Work on ledgers at another time."""
    now = utc_now() + dt.timedelta(**passed)
    monkeypatch.setattr("batch_share.ledger.files.utc_now", lambda: now)


async def test_what_is_shared_already_is_skipped_with_where_and_until_when(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        first = await it.run()
        second = another(it, sheet_rows(4))
        ending = await second.run()
        assert states(second) == ["skipped"] * 3 + ["shared"]
        (reason,) = second.rows("reason")[1]
        until = utc_now() + dt.timedelta(days=7)
        assert reason.startswith(f"{ALREADY}{until:%Y-%m-%d}")
        assert reason.endswith(f" UTC by leads.csv row 3 (run Id {first.summary.run})")
        assert len(it.sent(SHARE)) == 4
        assert (ending.summary.exit_code, [*ending.remarks]) == (0, [])


async def test_a_sandbox_that_was_started_anew_is_another_account(tmp_path: Path) -> None:
    """With the key that it prints an earlier practice at the same host has shared nothing there."""
    async with trial(tmp_path, rows=3, start=1) as it:
        await it.run()
        before, port = {*it.sandbox.account.requests}, int(it.sandbox.url.rpartition(":")[2])
    own: dict[str, Any] = {"start": 2, "access_key": "of-this-start", "port": port}
    async with Sandbox(options(**own)) as anew:
        second = another(Trial(tmp_path, anew), sheet_rows(3))
        second.changes["access_key"] = SecretStr("of-this-start")
        await second.run()
        assert states(second) == ["shared"] * 3
        assert before.isdisjoint(anew.account.requests)
    async with Sandbox(options(**own)) as same:
        third = another(Trial(tmp_path, same), sheet_rows(3), "third")
        third.changes["access_key"] = SecretStr("of-this-start")
        await third.run()
        assert states(third) == ["skipped"] * 3


async def test_the_same_ledger_is_no_reason(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        it.write(asking(2, WRITE))
        await it.run()
        it.write(asking(2, READ))
        await it.run()
        assert states(it) == ["shared"] * 4
        assert len(it.sent(SHARE)) == 4


async def test_writing_covers_reading_and_not_the_other_way_round(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        it.write([*asking(1, READ), asking(2, WRITE)[1]])
        await it.run()
        second = another(it, [asking(1, WRITE)[0], asking(2, READ)[1]])
        await second.run()
        assert states(second) == ["shared", "skipped"]


async def test_another_user_is_another_share(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        rows = sheet_rows(2)
        rows[0][2], rows[1][2] = rows[1][2], rows[0][2]
        second = another(it, rows)
        await second.run()
        assert states(second) == ["shared", "shared"]


async def test_what_ends_soon_is_renewed_if_told_to(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        it.write([*asking(1, READ, duration="2d"), asking(2, READ, duration="9d")[1]])
        await it.run()
        second = another(it, asking(2, READ))
        await second.run(renew="1d")
        assert states(second) == ["skipped", "skipped"]
        await second.run(renew="3d")
        assert states(second) == ["shared", "skipped"]


async def test_force_shares_all_again(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        second = another(it, sheet_rows(2))
        await second.run()
        assert states(second) == ["skipped", "skipped"]
        await second.run(force=True)
        assert states(second) == ["shared", "shared"]


async def test_when_that_share_has_ended_the_same_sheet_shares_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        second = another(it, sheet_rows(2))
        await second.run()
        onlooker = Onlooker()
        await second.run(onlooker)
        assert onlooker.previews[0].to_send == 0
        later(monkeypatch, days=7, minutes=1)
        await second.resume()
        assert states(second) == ["shared", "shared"]


async def test_a_share_until_a_day_is_live_until_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with trial(tmp_path, rows=1) as it:
        end = utc_now().replace(microsecond=0, second=0) + dt.timedelta(days=3)
        sheet = it.folder / "leads.csv"
        sheet.write_text(sheet.read_text().replace("Duration", "Until").replace("7d", f"{end:%Y-%m-%d %H:%M}"))
        await it.run(timezone="UTC")
        second = another(it, sheet_rows(1))
        later(monkeypatch, days=2)
        await second.run()
        (reason,) = second.rows("reason")[0]
        assert f"{ALREADY}{end:%Y-%m-%d %H:%M} UTC" in reason
        later(monkeypatch, days=4)
        await second.run()
        assert states(second) == ["shared"]


async def test_what_failed_to_be_processed_is_no_share(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2, fail=1.0) as it:
        await it.run()
        second = another(it, sheet_rows(2))
        await second.run()
        assert states(second) == ["failed", "failed"]
        assert len(it.sent(SHARE)) == 4


async def test_an_accepted_share_is_one_until_it_is_known_to_have_failed(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2, fail=1.0) as it:
        await it.run(follow_up=False)
        second = another(it, sheet_rows(2))
        await second.run()
        assert states(second) == ["skipped", "skipped"]
        await it.follow_up()
        await second.resume(follow_up=False)
        assert states(second) == ["accepted", "accepted"]


async def test_rows_that_wait_are_judged_again_when_it_is_resumed(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=4) as it:
        second = another(it, sheet_rows(4))
        stopping = Onlooker()
        stopping.during = lambda _: ask_to_stop(stopping)
        await second.run(stopping)
        assert "pending" in states(second)
        await it.run()
        await second.resume()
        assert set(states(second)) <= {"shared", "skipped"}
        assert len(it.sent(SHARE)) == 4


def forget(folder: Path, *statements: str) -> None:
    """Bring the index to where it would be had its run been killed."""
    with closing(sqlite3.connect(folder / "data" / FILE)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


async def test_a_run_that_was_killed_is_found_out_about(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        forget(tmp_path, "UPDATE runs SET ended_at = NULL, ended = NULL", "DELETE FROM live")
        forget(tmp_path, "UPDATE ledgers SET mark = NULL")
        with closing(sqlite3.connect(it.ledger)) as connection, connection:
            connection.execute("UPDATE runs SET ended_at = NULL, ended = NULL")
        second = another(it, sheet_rows(2))
        await second.run()
        assert states(second) == ["skipped", "skipped"]
        runs, _ = await known_runs(it.settings(), 10, [])
        assert [run.ended for run in runs] == ["done", "cut off"]
        assert runs[1].ended_at is not None


@pytest.mark.parametrize("is_planned", [True, False])
async def test_a_ledger_that_was_written_since_is_looked_at_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_planned: bool
) -> None:
    looked_at: list[LedgerName] = []

    def look(name: LedgerName) -> AbstractAsyncContextManager[LedgerReader]:
        looked_at.append(name)
        return read_ledger(name)

    monkeypatch.setattr(known, "read_ledger", look)
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        await known_runs(it.settings(), 10, [])
        forget(tmp_path, "DELETE FROM live", "UPDATE ledgers SET mark = NULL")  # as if nobody could note its end
        looked_at.clear()
        await known_runs(it.settings(), 10, [])
        assert looked_at == []
        os.utime(it.ledger)
        second = another(it, sheet_rows(2))
        if is_planned:
            seen = await show_sheet(second.folder / "leads.csv", SheetOptions(), second.settings(), None)
            assert seen.already == 2
        else:
            await second.run()
            assert states(second) == ["skipped", "skipped"]
        assert looked_at == [it.name.resolved()]


async def test_a_killed_run_whose_ledger_is_gone_is_given_up(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        forget(tmp_path, "UPDATE runs SET ended_at = NULL, ended = NULL")
        it.ledger.unlink()
        runs, _ = await known_runs(it.settings(), 10, [])
        assert [run.ended for run in runs] == ["unknown: its ledger is gone, or can't be read"]


async def test_a_ledger_that_was_moved_is_reported_of_at_its_new_place(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        (tmp_path / "done").mkdir()
        new = LedgerName.of(it.ledger.rename(tmp_path / "done" / it.ledger.name))
        remarks: list[str] = []
        note_move(it.settings(), it.name, new, remarks.append)
        (run,), _ = await known_runs(it.settings(), 10, [])
        assert (run.ledger, remarks) == (new, [])
        (tmp_path / "nothing").write_text("")
        note_move(it.settings(data_folder=tmp_path / "nothing"), new, it.name, remarks.append)
        assert [remark for remark in remarks if "can't be used" in remark] == remarks != []


async def test_a_run_goes_on_without_an_index_and_says_so(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        (tmp_path / "data").write_text("no folder")
        ending = await it.run()
        assert ending.summary.states == {State.SHARED: 2}
        (remark,) = ending.remarks
        assert "The run continues without it" in remark


async def test_a_damaged_index_is_begun_anew_and_made_again_of_its_ledgers(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        first = await it.run()
        (tmp_path / "data" / FILE).write_bytes(b"nonsense" * 1000)
        second = another(it, sheet_rows(2))
        ending = await second.run()
        assert any("begun anew" in remark for remark in ending.remarks)
        assert states(second) == ["shared", "shared"]
        runs, _ = await known_runs(it.settings(), 10, [it.name])
        assert {run.id for run in runs} == {first.summary.run, ending.summary.run}
        third = another(it, sheet_rows(2), "third")
        await third.run()
        assert states(third) == ["skipped", "skipped"]


async def test_a_plan_tells_what_is_shared_already(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        await it.run()
        second = another(it, sheet_rows(4))
        for changes, already in (({}, 3), ({"renew": "8d"}, 0), ({"force": True}, 0)):
            settings = second.settings(**changes)
            seen = await show_sheet(second.folder / "leads.csv", SheetOptions(), settings, None)
            assert (seen.already, seen.states[State.PENDING]) == (already, 4 - already)
            planned = [row.state for row in seen.planned()]
            assert planned.count(State.SKIPPED) == already
        seen = await show_sheet(it.folder / "leads.csv", SheetOptions(), it.settings(), None)
        assert seen.already == 0, "its own ledger is no reason"
        assert seen.sent_before == {State.SHARED: 3}


@pytest.mark.parametrize("watcher", [None, Onlooker()], ids=["offline", "online"])
async def test_a_plan_of_a_sheet_that_was_run_says_what_the_next_run_does(
    tmp_path: Path, watcher: Onlooker | None
) -> None:
    """Posted, failed, unknown, shared and new rows; the leads are known by their numbers."""
    faults = (
        Fault(SHARE, [1], envelope(500, "No such lead")),
        Fault(CREATE, [4], DROPPED),
        Fault(SHARE, [2], answer(403, "No")),
    )
    async with trial(tmp_path, *faults, rows=4) as it:
        write_numbers(it, 5)
        await it.run(workers=1, on_unknown="park")
        await it.run(workers=1, on_unknown="park")
        write_numbers(it, 6)
        before = [state for (state,) in it.rows("state")]
        calls = it.sandbox.report()["calls"].copy()
        seen = await show_sheet(it.folder / "leads.csv", SheetOptions(), it.settings(), watcher)
        planned = [row.state for row in seen.planned()]
        assert planned == [*map(State, before), State.PENDING]
        assert set(before) == {"failed", "unknown", "shared"}
        assert (seen.to_send, seen.users.total()) == (1, 1)
        assert seen.as_json()["sent_before"] == {state: before.count(state) for state in set(before)}
        made = it.sandbox.report()["calls"]
        assert sum(made.values()) - sum(calls.values()) == (0 if watcher is None else 1), "one new lead"
        onlooker = Onlooker()
        await it.run(onlooker, on_unknown="park")
        assert seen.cost.calls == onlooker.previews[0].cost.calls


async def test_a_row_whose_activity_stands_is_planned_to_be_shared(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(SHARE, [2], answer(403, "No")), rows=2) as it:
        await it.run(workers=1)
        seen = await show_sheet(it.folder / "leads.csv", SheetOptions(), it.settings(), None)
        assert seen.sent_before == {State.SHARED: 1, State.POSTED: 1}
        onlooker = Onlooker()
        await it.run(onlooker)
        assert (seen.to_send, seen.users.total(), seen.cost.calls) == (1, 1, onlooker.previews[0].cost.calls)


async def test_a_plan_with_the_ledger_of_another_sheet_says_that_it_stops_the_run(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        await it.run()
        it.write(sheet_rows(6)[3:])
        same = await show_sheet(it.folder / "leads.csv", SheetOptions(), it.settings(), None)
        assert same.would_stop == []
        other = (it.folder / "leads.csv").rename(tmp_path / "other.csv")
        seen = await show_sheet(other, SheetOptions(), it.settings(), None, it.name)
        assert seen.would_stop == ["the ledger belongs to the sheet leads.csv, and holds none of these rows"]
        with pytest.raises(OfAnotherSheet):
            await do(RunSheet(SheetJob(other, it.name)), it.settings(), Onlooker())


async def test_a_plan_whose_ledger_can_not_even_be_looked_for_says_so(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        named = tmp_path / f"{'long' * 70}.db"
        with pytest.raises(LedgerError, match=r"can't be looked at \(File name too long\)"):
            await show_sheet(it.folder / "leads.csv", SheetOptions(), it.settings(), None, LedgerName.of(named))


async def test_a_user_whom_the_ledger_knows_is_one_in_a_plan_beside_leads_that_it_does_not(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        user, leads = active_users(it.sandbox.world)[0], it.sandbox.world.leads
        header = ("Lead Number", "User Email", "Duration", "Activity Event")
        rows = [(str(lead.number), user.email, "7d", "201") for lead in leads[:6]]
        for count in (3, 6):
            with (it.folder / "leads.csv").open("w", newline="") as out:
                csv.writer(out).writerows([header, *rows[:count]])
            if count == 3:
                await it.run(max_rows=1)  # looked up, and not sent
        seen = await show_sheet(it.folder / "leads.csv", SheetOptions(), it.settings(max_per_user=5), None)
        assert dict(seen.users) == {f"{user.name} <{user.email}>": 6}
        assert len(seen.would_stop) == 1


async def test_a_plan_for_another_host_says_that_its_ledger_stops_the_run(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        elsewhere = it.settings(host="http://127.0.0.1:9")
        seen = await show_sheet(it.folder / "leads.csv", SheetOptions(), elsewhere, None)
        (why,) = seen.would_stop
        assert (
            why == f"the ledger leads.csv.ledger.db belongs to {it.sandbox.url}, and the host is {elsewhere.host}"
        )
        assert seen.to_send == 2
        another = await show_sheet(
            it.folder / "leads.csv", SheetOptions(), elsewhere, None, LedgerName.of(tmp_path / "new.ledger.db")
        )
        assert another.would_stop == []
        (tmp_path / "empty.ledger.db").touch()
        empty = await show_sheet(
            it.folder / "leads.csv", SheetOptions(), elsewhere, None, LedgerName.of(tmp_path / "empty.ledger.db")
        )
        assert (empty.to_send, empty.would_stop) == (2, [])


async def test_what_goes_page_by_page_is_all_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(already_shared, "_PAGE", 2)
    monkeypatch.setattr(known, "_CHUNK", 2)
    monkeypatch.setattr(reading, "SHARES_PAGE", 2)
    monkeypatch.setattr(reading, "PAGE", 2)
    async with trial(tmp_path, rows=5) as it:
        await it.run()
        second = another(it, sheet_rows(6))
        seen = await show_sheet(second.folder / "leads.csv", SheetOptions(), second.settings(), None)
        assert seen.already == 5
        await second.run()
        assert states(second) == ["skipped"] * 5 + ["shared"]


async def test_a_plan_without_an_account_or_an_index_is_made_all_the_same(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        sheet = another(it, sheet_rows(2)).folder / "leads.csv"
        seen = await show_sheet(sheet, SheetOptions(), it.settings(access_key=None), None)
        assert (seen.already, seen.live.remarks) == (0, [])
        seen = await show_sheet(it.folder / "leads.csv", SheetOptions(), it.settings(access_key=None), None)
        assert (seen.to_send, seen.sent_before) == (0, {State.SHARED: 2})
        forget(tmp_path, "DROP TABLE live", "CREATE TABLE live (x)")
        seen = await show_sheet(sheet, SheetOptions(), it.settings(), None)
        assert seen.states[State.PENDING] == 2
        (remark,) = seen.live.remarks
        assert "can't be read or written" in remark
        (tmp_path / "nothing").write_text("")
        seen = await show_sheet(sheet, SheetOptions(), it.settings(data_folder=tmp_path / "nothing"), None)
        assert seen.states[State.PENDING] == 2
        assert "can't be used" in seen.live.remarks[0]


async def test_an_index_that_fails_in_the_middle_of_a_plan_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise HistoryError(tmp_path / FILE, "gone")

    async with trial(tmp_path, rows=2) as it:
        await it.run()
        sheet = another(it, sheet_rows(2)).folder / "leads.csv"
        monkeypatch.setattr(History, "live_among", fail)
        seen = await show_sheet(sheet, SheetOptions(), it.settings(), None)
        assert seen.states[State.PENDING] == 2
        assert "gone" in seen.live.remarks[0]


async def test_an_index_that_is_damaged_inside_stops_no_run(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        forget(tmp_path, "DROP TABLE live", "CREATE TABLE live (x)")
        second = another(it, sheet_rows(2))
        ending = await second.run()
        assert states(second) == ["shared", "shared"]
        assert all("The run continues without it" in remark for remark in ending.remarks)
        assert ending.remarks


async def test_runs_says_that_its_index_was_begun_anew(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        (tmp_path / "data" / FILE).write_bytes(b"nonsense" * 1000)
        runs, (remark,) = await known_runs(it.settings(), 10, [])
        assert runs == []
        assert "runs --add LEDGER" in remark


async def test_a_run_that_goes_on_is_running(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        async with open_ledger(LedgerName.of(it.ledger)) as ledger:
            await ledger.begin_run("resume", "1", {})
            ((run, before), _) = await known_runs(it.settings(), 10, [])
            assert (run.command, run.ended_at, before.ended) == ("resume", None, "done")
            await ledger.end_run("done")
        ((run, _), _) = await known_runs(it.settings(), 10, [])
        assert run.ended == "done"


@pytest.mark.parametrize("spoil", ["another job", "no ledger"])
async def test_a_killed_run_whose_ledger_is_another_one_now_is_given_up(tmp_path: Path, spoil: str) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        forget(tmp_path, "UPDATE runs SET ended_at = NULL, ended = NULL")
        if spoil == "no ledger":
            it.ledger.write_bytes(b"nonsense" * 1000)
        else:
            with closing(sqlite3.connect(it.ledger)) as connection, connection:
                connection.execute("UPDATE about SET value = 'another' WHERE name = 'job'")
        ((run,), _) = await known_runs(it.settings(), 10, [])
        assert run.ended == "unknown: its ledger is gone, or can't be read"
        age(tmp_path)
        deleted, (why,) = await purge(it)
        assert deleted == []
        assert ("another ledger has taken its place" in why) is (spoil == "another job")


async def test_a_ledger_of_an_older_version_whose_run_goes_on_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        forget(tmp_path, "UPDATE runs SET ended_at = NULL, ended = NULL")
        async with open_ledger(LedgerName.of(it.ledger)):
            monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
            ((run,), _) = await known_runs(it.settings(), 10, [])
            assert run.ended_at is None
            forget(tmp_path, "UPDATE runs SET ended_at = '2020-01-01 00:00:00.000000', ended = 'done'")
            assert await purge(it, force=True) == ([], ["it is in use"])


async def test_a_ledger_that_nothing_ran_on_is_not_taken_in(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        async with open_ledger(LedgerName.of(it.ledger), host=it.sandbox.url):
            pass
        assert await known_runs(it.settings(access_key=None), 10, [it.name]) == ([], [])


async def test_where_a_live_share_is_recorded(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        ending = await it.run()
        row = sheet_rows(2)[1]
        with open_history(it.settings().data_folder) as history:
            (found,) = history.live_among(names_of_account(it.settings()), [row[0]], utc_now())
        assert (found.ledger, found.sheet_row, found.run_id) == (it.name.resolved(), 3, ending.summary.run)
        assert (found.user_id, found.request_id) == (row[2], it.rows("request_id")[1][0])


# ------------------------------------------------------------------------------------------------- purge


def age(folder: Path) -> None:
    """Let all runs have ended a year ago."""
    for file in (folder / "data" / FILE, *folder.rglob("*.ledger.db")):
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE runs SET ended_at = '2020-01-01 00:00:00.000000' WHERE ended_at > ''")


def end_shares(it: Trial) -> None:
    """Let the shares of a ledger be over."""
    with closing(sqlite3.connect(it.ledger)) as connection, connection:
        connection.execute("UPDATE rows SET ends_at = '2020-01-01 00:00:00.000000'")


async def purge(it: Trial, **changes: Any) -> tuple[list[str], list[str]]:
    """The names of the files deleted, and why ledgers were kept."""
    force = changes.get("force", False)
    sweep = await find_old(it.settings(), 90 * 1440, force=force)
    sweep = await delete(it.settings(), sweep)
    return sorted(file.name for file in sweep.deleted), [kept.why for kept in (*sweep.kept, *sweep.kept_at_last)]


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.is_file())


GONE = [".leads.csv.ledger.db.lock", "leads.csv.ledger.db", "leads.results.csv"]


async def test_purge_deletes_the_ledger_and_its_results_and_never_the_sheet(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        ending = await it.run()
        end_shares(it)
        assert await purge(it) == ([], []), "it is not old yet"
        age(tmp_path)
        assert await purge(it) == (GONE, [])
        assert files(tmp_path) == ["leads.csv"]
        (run,), _ = await known_runs(it.settings(), 10, [])
        assert (run.id, run.counts, run.purged_at is None) == (ending.summary.run, {"ended": 2}, False)
        with open_history(tmp_path / "data") as history:
            assert history.ledgers() == []


async def test_purge_takes_along_what_else_was_written_of_the_sheet_and_nothing_like_it(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        (tmp_path / "leads.failed.csv").write_text("mine")
        it.write([*sheet_rows(1), ["", "", "", "", "soon", ""]])
        await it.run()
        await report_of(it.name, None)
        await results_of(it.name, named(tmp_path / "answered.csv"))
        end_shares(it)
        age(tmp_path)
        theirs = ["leads.failed.csv", "leads.failed-3.csv", "leads.report-2.html", "leads.results.xlsx"]
        for name in theirs:
            (tmp_path / name).write_text("mine")
        deleted, _ = await purge(it)
        assert deleted == sorted([*GONE, "leads.failed-2.csv", "leads.report.html", "answered.csv"])
        assert files(tmp_path) == sorted([*theirs, "leads.csv"])


@pytest.mark.parametrize("when", ["before it is looked for", "before it is deleted"])
async def test_purge_leaves_what_somebody_changed_and_tells_it(tmp_path: Path, when: str) -> None:
    results = tmp_path / "leads.results.csv"
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        end_shares(it)
        age(tmp_path)
        if when == "before it is looked for":
            results.write_text("with remarks")
        sweep = await find_old(it.settings(), 1, force=False)
        results.write_text("with remarks")
        sweep = await delete(it.settings(), sweep)
        assert sorted(file.name for file in sweep.deleted) == [*GONE[:2]]
        reported = [str(results)] if when == "before it is looked for" else []
        assert sweep.as_json()["changed"] == reported
        assert files(tmp_path) == ["leads.csv", "leads.results.csv"]


async def test_purge_finds_results_beside_the_ledger_when_the_sheets_folder_is_gone(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        end_shares(it)
        age(tmp_path)
        forget(tmp_path, "UPDATE ledgers SET sheet_path = '/gone/leads.csv'")
        assert await purge(it) == (GONE, [])


async def test_live_shares_keep_their_ledger_unless_forced(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        age(tmp_path)
        deleted, (why,) = await purge(it)
        assert deleted == []
        assert why.startswith("2 of its shares are live, the last until ")
        assert await purge(it, force=True) == (GONE, [])


async def test_rows_that_are_not_at_their_end_keep_their_ledger(tmp_path: Path) -> None:
    lost = Fault(CREATE, [2, 3], answer(500, "?"))
    async with trial(tmp_path, lost, rows=3) as it:
        await it.run(follow_up=False, on_unknown="park", trust_owner=True)
        end_shares(it)
        age(tmp_path)
        deleted, (why,) = await purge(it)
        assert deleted == []
        assert why.startswith("rows are unfinished: ")
        assert "accepted" in why
        assert "unknown" in why


async def test_a_ledger_in_use_is_kept_even_when_forced(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        age(tmp_path)
        sweep = await find_old(it.settings(), 1, force=True)
        with LedgerName.of(it.ledger).locked():
            sweep = await delete(it.settings(), sweep)
        assert sweep.deleted == []
        assert "another batch_share process" in sweep.kept_at_last[0].why
        assert it.ledger.is_file()


async def test_a_ledger_that_is_gone_is_reported(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        it.ledger.unlink()
        age(tmp_path)
        deleted, (why,) = await purge(it)
        assert deleted == []
        assert why.startswith("it no longer exists")


async def test_what_came_to_the_ledger_after_it_was_shown_keeps_it(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        end_shares(it)
        age(tmp_path)
        sweep = await find_old(it.settings(), 1, force=False)
        assert len(sweep.old) == 1
        with closing(sqlite3.connect(it.ledger)) as connection, connection:
            connection.execute("UPDATE rows SET state = 'accepted'")
        sweep = await delete(it.settings(), sweep)
        assert sweep.as_json() == {
            "deleted": [],
            "kept": [{"ledger": str(it.ledger), "why": "rows are unfinished: 1 accepted"}],
            "changed": [],
            "look_ups": 0,
        }


async def test_an_index_that_fails_while_it_is_purged_is_reported(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        end_shares(it)
        age(tmp_path)
        sweep = await find_old(it.settings(), 1, force=False)
        forget(tmp_path, "DROP TABLE live", "CREATE TABLE live (x)")
        with pytest.raises(HistoryError):
            await delete(it.settings(), sweep)


async def test_a_ledger_without_a_sheet_has_nothing_beside_it(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        async with open_ledger(LedgerName.of(it.ledger), host=it.sandbox.url) as ledger:
            await ledger.begin_run("run", "1", {})
            await ledger.end_run("done")
        await known_runs(it.settings(), 10, [it.name])
        age(tmp_path)
        assert await purge(it) == ([".leads.csv.ledger.db.lock", "leads.csv.ledger.db"], [])


async def test_results_that_are_run_as_a_sheet_are_kept(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        end_shares(it)
        again = Trial(tmp_path, it.sandbox)
        results = tmp_path / "leads.results.csv"
        job = SheetJob(results, LedgerName.of(tmp_path / "other.db"))
        await do(RunSheet(job), again.settings(force=True), Onlooker())
        age(tmp_path)
        deleted, kept = await purge(it)
        assert "leads.csv.ledger.db" in deleted
        assert "leads.results.csv" not in deleted
        assert len(kept) == 1
