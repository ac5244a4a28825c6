"""Who has access now, by what the ledgers of this machine know."""

from __future__ import annotations

import asyncio
import csv
import datetime as dt
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from trial import DROPPED, OF_TYPE, SHARE, Fault, Onlooker, Trial, sheet_rows, trial

from batch_share import BatchShare, HistoryError, SettingsError
from batch_share.common import utc_now
from batch_share.leadsquared.protocol import post_activity
from batch_share.ledger.files import LedgerName
from batch_share.ledger.known import FILE
from batch_share.planning import access
from batch_share.results.wording import BY_HAND, OTHERS
from batch_share.sandbox.sheets import active_users
from batch_share.sending.session import open_connection

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
        for user, lead, ending in ((None, None, "soon"), ("", None, None), (None, " ", None)):
            with pytest.raises(SettingsError):
                await bs.access(user, lead, ending)


@pytest.mark.parametrize("online", [False, True])
async def test_a_lead_that_is_named_otherwise_than_by_number_or_id_is_refused(tmp_path: Path, online: bool) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        lead, bs = it.sandbox.world.leads[0], BatchShare(it.settings())
        for named in (lead.email, lead.phone, "Varun Agarwal"):
            with pytest.raises(SettingsError, match="lead: name the lead by its number or Id"):
                await bs.access(lead=named, online=online)
        found = await bs.access(lead="9810000019", online=online)  # it may be meant as a phone number
        assert found.shares == []
        assert any(each.startswith("9810000019 was taken for a lead's number") for each in found.remarks)


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
        assert (
            elsewhere.remarks[0]
            == "Left out: 2 shares at another host, or of another account, than the one that is set"
        )
        bs, lead = BatchShare(it.settings(host="http://127.0.0.1:9")), it.sandbox.world.leads[0]
        for user, of_lead in ((active_users(it.sandbox.world)[0].id, None), (None, lead.id.upper())):
            assert (await bs.access(user, of_lead)).remarks[0].startswith("Left out: 1 share at another host")
        assert not (await bs.access(ending="1m")).remarks[0].startswith("Left out")
        # Whose address or number it is in another account nobody here can tell.
        remarks = (await bs.access(lead=str(lead.number))).remarks
        assert remarks[0].startswith("Left out: 2 shares at another host")
        assert remarks[0].endswith(", whosever they are")
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


# -------------------------------------------------------------------------------------------- other machines


def elsewhere(first: Trial) -> Trial:
    """Another machine, which runs nothing: it has the account's keys and no ledger."""
    return Trial(first.folder / "elsewhere", first.sandbox, {"event": "201"})


async def test_another_machine_sees_what_the_first_gave_by_its_activities(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        mine = (await BatchShare(it.settings()).access(online=True)).shares
        found = await BatchShare(elsewhere(it).settings()).access(online=True)
        assert [each.ledger for each in found.shares] == [None] * len(mine)
        theirs = {(each.lead_id, each.user_id) for each in found.shares}
        assert theirs == {(each.lead_id, each.user_id) for each in mine}
        ends = [(a.ends_at - b.ends_at).total_seconds() for a, b in zip(found.shares, mine, strict=True)]
        assert max(map(abs, ends)) <= 90
        assert {(each.access, each.doubtful) for each in found.shares} == {(None, True)}
        assert {each.as_json()["known_by"] for each in found.shares} == {"leadsquared"}
        assert list(found.remarks) == [BY_HAND]


async def test_what_its_own_ledgers_know_is_told_once_and_what_was_revoked_is_not(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        await it.revoke(rows="2-4")
        found = await BatchShare(it.settings()).access(online=True)
        assert sorted(each.sheet_row or 0 for each in found.shares) == [*range(5, 14)]
        assert all(each.ledger is not None for each in found.shares)


async def test_of_other_machines_only_what_was_asked_for_and_is_not_over_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        bs = BatchShare(elsewhere(it).settings())
        user = active_users(it.sandbox.world)[0]
        for asked in (user.id, user.email.upper()):
            theirs = (await bs.access(asked, online=True)).shares
            assert {each.user_id for each in theirs} == {user.id}
        lead = it.sandbox.world.leads[3].id
        assert [each.lead_id for each in (await bs.access(lead=lead, online=True)).shares] == [lead]
        assert (await bs.access(ending="6d", online=True)).shares == []
        monkeypatch.setattr(access, "utc_now", lambda: utc_now() + dt.timedelta(days=8))
        assert (await bs.access(online=True)).shares == []


@pytest.mark.parametrize("how", ["refuse", "without"])
async def test_where_leadsquared_does_not_list_them_its_ledgers_are_told(tmp_path: Path, how: str) -> None:
    missing: dict[str, Any] = {how: ("RetrieveByActivityEvent",)}
    async with trial(tmp_path, **missing) as it:
        await it.run()
        found = await BatchShare(it.settings()).access(online=True)
        assert len(found.shares) == 12
        assert any("could be read" in remark and "may be missing" in remark for remark in found.remarks)


async def test_an_activity_that_says_no_end_or_quotes_a_marker_is_no_share(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        marked = it.sandbox.account.visible()[0].note.split()[0]
        async with open_connection(it.settings(), Onlooker()) as connection:
            for note in (f"[bs-{'a' * 16}] of before", f"as {marked} [2099-12-04T10:00Z] says"):
                lead, user = it.sandbox.world.leads[20], active_users(it.sandbox.world)[0]
                call = post_activity(lead_id=lead.id, event=201, note=note, owner_id=user.id, custom=None)
                await connection.send(call, connection.called())
        found = await BatchShare(elsewhere(it).settings()).access(online=True)
        assert len(found.shares) == 12
        assert found.remarks[0] == (
            "Without an end, since earlier versions of batch_share posted it: 1 activity of other machines"
        )


async def test_without_an_activity_type_nobody_is_asked(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        found = await BatchShare(Trial(tmp_path / "elsewhere", it.sandbox).settings()).access(online=True)
        assert "--set event=CODE" in found.remarks[0]
        assert it.sent(OF_TYPE) == []
        for wrong in ("-", "0"):
            with pytest.raises(SettingsError, match="event: not the code of an activity type"):
                await BatchShare(it.settings(event=wrong)).access(online=True)


async def test_a_lead_is_found_by_its_number_too(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        lead, bs = it.sandbox.world.leads[3], BatchShare(elsewhere(it).settings())
        assert [each.lead_id for each in (await bs.access(lead=str(lead.number), online=True)).shares] == [lead.id]
        found = await bs.access(lead="999999", online=True)
        assert (found.shares, "Which lead has the number 999999" in found.remarks[0]) == ([], True)


@pytest.mark.parametrize(("owners", "count"), [("email", 3), ("both", 3), ("id", 3), ("name", 0)])
async def test_a_user_is_found_however_owners_are_shown_but_by_their_names(
    tmp_path: Path, owners: str, count: int
) -> None:
    async with trial(tmp_path, owners=owners) as it:
        await it.run(trust_owner=True)
        user, bs = active_users(it.sandbox.world)[0], BatchShare(elsewhere(it).settings())
        for asked in (user.id, user.email):
            found = await bs.access(asked, online=True)
            assert len(found.shares) == count
            assert any("does not show by Id" in remark for remark in found.remarks) is not bool(count)
        remarks = (await bs.access("nobody@x.example", online=True)).remarks
        assert remarks[0].startswith("No ledger of this machine, nor LeadSquared, knows a user with")


async def test_a_ledger_that_is_gone_has_its_shares_told_once(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        it.ledger.rename(tmp_path / "moved.db")
        found = await BatchShare(it.settings(event="201")).access(online=True)
        assert [each.ledger for each in found.shares] == [it.name.absolute()] * 12


@pytest.mark.parametrize("before", [0, 6])
async def test_while_a_run_goes_on_it_waits_and_misses_nothing(tmp_path: Path, before: int) -> None:
    async with trial(tmp_path, latency=0.02) as it:
        if before:
            it.write(sheet_rows(before))
            await it.run()
            it.write(sheet_rows(12))
        begun = asyncio.Event()
        run = asyncio.create_task(it.run(Onlooker(lambda _: begun.set())))
        await begun.wait()
        found = await BatchShare(it.settings(event="201")).access(online=True)
        assert run.done()
        assert [each.ledger for each in found.shares] == [it.name.absolute()] * 12
