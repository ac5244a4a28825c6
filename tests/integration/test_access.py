"""Who has access now, by what the ledgers of this machine know."""

from __future__ import annotations

import csv
import datetime as dt
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from trial import DROPPED, SHARE, Fault, Trial, sheet_rows, trial

from batch_share import BatchShare, HistoryError, SettingsError
from batch_share.common import utc_now
from batch_share.ledger.files import LedgerName
from batch_share.ledger.known import FILE
from batch_share.planning import access
from batch_share.planning.access import OTHERS
from batch_share.sandbox.sheets import active_users

if TYPE_CHECKING:
    from pathlib import Path

HEADER = ("Lead Number", "User Email", "Access", "Duration", "Activity Event")


def another(first: Trial, rows: list[list[str]]) -> Trial:
    """A second sheet of the same account, on the same machine."""
    folder = first.folder / "another"
    folder.mkdir()
    made = Trial(
        folder, first.sandbox, {"state_folder": first.folder / "state", "data_folder": first.folder / "data"}
    )
    made.write(rows)
    return made


def by_address(it: Trial, count: int, duration: str = "7d") -> None:
    """A sheet that names leads by number and users by address, each row another user."""
    users, leads = active_users(it.sandbox.world), it.sandbox.world.leads
    with (it.folder / "leads.csv").open("w", newline="") as out:
        rows = [(leads[at].number, users[at].email, "write", duration, "201") for at in range(count)]
        csv.writer(out).writerows([HEADER, *rows])


async def test_every_live_share_is_told_with_whose_it_is_and_where_it_was_made(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        by_address(it, 2)
        run = (await it.run()).summary.run
        found = await BatchShare(it.settings()).access()
        calls = it.sandbox.report()["total_calls"]
        user, lead = active_users(it.sandbox.world)[0], it.sandbox.world.leads[0]
        first = found.shares[0]
        assert [each.sheet_row for each in found.shares] == [2, 3]
        assert (first.lead_id, first.lead_number) == (lead.id, str(lead.number))
        assert (first.user_id, first.user_email, first.access, first.doubtful) == (
            user.id,
            user.email,
            "write",
            False,
        )
        assert (first.sheet, str(first.ledger), first.run_id) == ("leads.csv", str(it.ledger), run)
        assert abs(first.ends_at - utc_now() - dt.timedelta(days=7)) < dt.timedelta(minutes=5)
        assert (found.remarks, found.unseen) == ([OTHERS], [])
        assert it.sandbox.report()["total_calls"] == calls
        reported = found.as_json()["shares"][0]
        assert reported["ends"] == f"{first.ends_at.isoformat(timespec='seconds')}Z"
        assert (reported["lead_number"], reported["row"], reported["run"]) == (str(lead.number), 2, run)


async def test_a_user_is_known_by_address_in_every_ledger_if_one_has_looked_them_up(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        by_address(it, 2)
        await it.run()
        second = another(it, sheet_rows(7)[5:])  # by Ids alone: its users are the first two again
        await second.run()
        user = active_users(it.sandbox.world)[0]
        bs = BatchShare(it.settings())
        for named in (user.email, user.email.upper(), user.id, f" {user.id.upper()} "):
            found = await bs.access(named)
            assert {each.ledger for each in found.shares} == {it.name, second.name}
            assert {each.user_email for each in found.shares} == {user.email}
            assert found.user_ids == {user.id}


async def test_an_address_that_no_ledger_knows_is_an_answer(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        found = await BatchShare(it.settings()).access("nobody@x.example")
        assert (found.shares, found.user_ids) == ([], frozenset())
        assert "knows a user with the Id or e-mail address nobody@x.example" in found.remarks[0]


async def test_leads_and_ends_can_be_chosen(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        rows = sheet_rows(3)
        rows[2][4] = "90m"
        it.write(rows)
        await it.run()
        bs = BatchShare(it.settings())
        assert [each.sheet_row for each in (await bs.access()).shares] == [4, 2, 3]
        assert [each.sheet_row for each in (await bs.access(ending="2h")).shares] == [4]
        assert [each.sheet_row for each in (await bs.access(ending="89m")).shares] == []
        assert [each.sheet_row for each in (await bs.access(lead=rows[1][1])).shares] == [3]
        assert [each.sheet_row for each in (await bs.access(lead=rows[0][0].upper())).shares] == [2]
        for wrong in ({"ending": "soon"}, {"user": ""}, {"lead": " "}):
            with pytest.raises(SettingsError):
                await bs.access(**wrong)


async def test_what_nobody_knows_is_told_as_doubtful(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(SHARE, range(1, 100), DROPPED, applied=True), rows=1) as it:
        await it.run()
        (share,) = (await BatchShare(it.settings()).access()).shares
        assert (share.access, share.doubtful, share.lead_number) == (None, True, sheet_rows(1)[0][1])


async def test_what_changed_since_the_last_run_ended_is_seen(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        bs = BatchShare(it.settings())
        assert len((await bs.access()).shares) == 2
        with closing(sqlite3.connect(tmp_path / "data" / FILE)) as index:  # as if nobody had told it
            index.execute("DELETE FROM live")
            index.execute("UPDATE ledgers SET mark = NULL")
            index.commit()
        assert len((await bs.access()).shares) == 2
        await it.revoke()
        assert [*(await bs.access()).shares] == []


async def test_a_ledger_that_cant_be_looked_at_is_told_with_what_was_known_of_it(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        second = another(it, sheet_rows(3)[1:])
        await second.run()
        second.ledger.rename(tmp_path / "elsewhere.db")
        second.ledger.write_bytes(it.ledger.read_bytes())  # another one in its place
        it.ledger.unlink()
        found = await BatchShare(it.settings()).access()
        assert len(found.shares) == 3
        assert {*found.unseen} == {it.name, second.name}
        assert [each.is_seen for each in found.shares] == [False] * 3
        assert str(it.ledger) in found.remarks[0]
        assert found.remarks[0].endswith("; 3 shares of before are told as last known")


async def test_shares_at_another_host_are_counted_alone(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        elsewhere = await BatchShare(it.settings(host="http://127.0.0.1:9")).access()
        assert elsewhere.shares == []
        assert elsewhere.remarks[0] == "Left out: 2 shares at another host than the one that is set"
        nowhere = it.settings().model_copy(update={"host": None})
        assert len((await BatchShare(nowhere).access()).shares) == 2


async def test_an_index_that_was_begun_anew_is_told_of(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        (tmp_path / "data" / FILE).write_bytes(b"no index" * 1000)
        bs = BatchShare(it.settings())
        for _ in range(2):
            found = await bs.access()
            assert found.shares == []
            assert "it was begun anew" in found.remarks[0]
        await bs.runs(add=[LedgerName.of(it.ledger)])
        assert len((await bs.access()).shares) == 1


async def test_an_index_that_breaks_is_no_trouble_of_a_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(*_: object, **__: object) -> None:
        raise HistoryError(tmp_path / FILE, "it can't be read")

    async with trial(tmp_path, rows=1) as it:
        await it.run()
        monkeypatch.setattr(access, "refresh", breaks)
        with pytest.raises(HistoryError, match="it can't be read"):
            await BatchShare(it.settings()).access()
