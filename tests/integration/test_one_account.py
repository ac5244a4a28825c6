"""Several keys of one account: one limit, one memory, one turn, by the OrgId that LeadSquared tells."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from invariants import check_never_twice
from pydantic import SecretStr
from trial import CREATE, DROPPED, KEY, Fault, Onlooker, Trial, answer, envelope, sheet_rows, trial

from batch_share import BatchShare
from batch_share.common import Rate
from batch_share.errors import AccessDenied, LedgerError
from batch_share.leadsquared import account
from batch_share.leadsquared.account import Account, account_name, names_of_account, remember_account
from batch_share.ledger.files import read_ledger
from batch_share.ledger.states import State
from batch_share.planning.intake import show_sheet
from batch_share.planning.plan import SheetOptions
from batch_share.sending import session
from batch_share.sending.session import Connection, open_connection, remembered

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.sandbox.wire import Reply

STRICT = Rate(20, 0.4)
SECOND = "the-second-key-of-the-trial"
WHO = "Authentication.svc/UserByAccessKey.Get"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the account asks often."""
    monkeypatch.setattr(account, "ASK_AGAIN", 0.01)


def second_of(first: Trial, rows: list[list[str]], **changes: Any) -> Trial:
    """A second sheet on the same machine, run with another key of the account."""
    folder = first.folder / "second"
    folder.mkdir()
    own = {"state_folder": first.folder / "state", "data_folder": first.folder / "data"}
    made = Trial(folder, first.sandbox, own | {"access_key": SecretStr(SECOND)} | changes)
    made.write(rows)
    return made


def names(it: Trial) -> dict[str, str]:
    """What this machine knows of which key is of which account."""
    return json.loads((it.folder / "state" / "identities").read_text())  # type: ignore[no-any-return]


def told(org_id: object) -> Reply:
    """The answer that says whose the keys are, and of which account."""
    return answer(200, json.dumps([{"UserId": "u", "Role": "Administrator", "OrgId": org_id}]))


async def test_two_keys_at_once_share_the_one_limit(tmp_path: Path) -> None:
    async with trial(tmp_path, rate=STRICT, other_access_keys=(SECOND,)) as first:
        second = second_of(first, sheet_rows(24)[12:])
        onlookers = Onlooker(), Onlooker()
        endings = await asyncio.gather(first.run(onlookers[0], rate=STRICT), second.run(onlookers[1], rate=STRICT))
        assert [ending.summary.states for ending in endings] == [{State.SHARED: 12}] * 2
        report = first.sandbox.report()
        assert (report["refusals"], report["activities"], report["duplicates"]) == (0, 24, 0)
        assert report["fullest_window"] <= STRICT.limit
        assert sum(len(each.waited_for) for each in onlookers) >= 1
        assert len(names(first)) == 2
        assert len({*names(first).values()}) == 1


async def test_the_next_run_of_an_account_waits_no_longer_than_its_period(tmp_path: Path) -> None:
    """What its own file says is no other key's: it was closed, so nothing of it is under way."""
    async with trial(tmp_path) as it:
        await it.run()
        async with open_connection(it.settings(), Onlooker()) as connection:
            assert 0.0 < connection.memory.seconds_to_wait(5.0) <= 5.0


async def test_what_one_key_shared_another_does_not_share_again(tmp_path: Path) -> None:
    async with trial(tmp_path, other_access_keys=(SECOND,)) as first:
        await first.run()
        second = second_of(first, sheet_rows(12))
        ending = await second.run()
        assert ending.summary.states == {State.SKIPPED: 12}
        assert len(first.leads_sent()) == 12


async def test_a_ledger_is_run_by_each_key_of_its_account_and_by_no_other_account(tmp_path: Path) -> None:
    async with trial(tmp_path, other_access_keys=(SECOND,)) as it:
        await it.run()
        it.write(sheet_rows(13))
        by_second: dict[str, Any] = {"access_key": SecretStr(SECOND)}
        assert (await it.run(**by_second)).summary.states == {State.SHARED: 13}
        async with read_ledger(it.name) as ledger:
            assert (await ledger.facts()).account == names(it)[account_name(it.sandbox.url, SecretStr(KEY))]
        own_key = account_name(it.sandbox.url, SecretStr(SECOND))
        remember_account(tmp_path / "state", own_key, account_name("org", it.sandbox.url, "another"))
        it.write(sheet_rows(14))
        before = len(it.sandbox.journal.since(0))
        with pytest.raises(LedgerError, match=r"it belongs to another account of .*\. Set its own keys, or name"):
            await it.run(**by_second)
        settings = it.settings(**by_second)
        seen = await show_sheet(it.folder / "leads.csv", SheetOptions.of(settings), settings, None, it.name)
        assert "belongs to another account" in seen.refusal
        by_name: dict[str, Any] = {"asia": {}, "europe": {}}
        with pytest.raises(LedgerError, match=r"Name its own with --account \(asia, europe\), or name another"):
            await it.run(**by_second, accounts=by_name, account="europe")
        assert len(it.sandbox.journal.since(0)) == before, "no call was made"
        assert (await it.run(accounts=by_name, account="asia")).summary.states == {State.SHARED: 14}
        with pytest.raises(LedgerError, match="Name its own with --account asia, or name another"):
            await it.run(**by_second, accounts=by_name, account="europe")


async def test_a_ledger_of_another_account_is_refused_also_by_a_key_that_is_new(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(WHO, range(2, 99), told("another")), other_access_keys=(SECOND,)) as it:
        await it.run()
        it.write(sheet_rows(13))
        with pytest.raises(LedgerError, match="it belongs to another account"):
            await it.run(access_key=SecretStr(SECOND))
        assert len(it.leads_sent()) == 12


@pytest.mark.parametrize("reply", [answer(429, "{}"), envelope(500, "something else"), DROPPED])
async def test_a_ledger_of_an_account_is_run_by_no_key_whose_account_could_not_be_asked(
    tmp_path: Path, reply: Reply
) -> None:
    async with trial(tmp_path, Fault(WHO, [2], reply), other_access_keys=(SECOND,)) as it:
        await it.run()
        it.write(sheet_rows(13))
        by_second: dict[str, Any] = {"access_key": SecretStr(SECOND)}
        before = len(it.sandbox.journal.since(0))
        with pytest.raises(
            LedgerError, match=r"could not be asked just now whether the keys are of it\. Run it again"
        ):
            await it.run(**by_second)
        assert len(it.sandbox.journal.since(0)) == before + 1
        assert (await it.run(**by_second)).summary.states == {State.SHARED: 13}


async def test_a_ledger_of_an_account_is_run_by_a_new_key_where_no_account_is_told_any_more(tmp_path: Path) -> None:
    gone = answer(404, "no such page", "text/html")
    async with trial(tmp_path, Fault(WHO, range(2, 99), gone), other_access_keys=(SECOND,)) as it:
        await it.run()
        it.write(sheet_rows(13))
        assert (await it.run(access_key=SecretStr(SECOND))).summary.states == {State.SHARED: 13}


@pytest.mark.parametrize("org_id", ["", "another"])
async def test_a_ledger_of_which_no_account_was_told_is_run_by_no_account_of_another_name(
    tmp_path: Path, org_id: str
) -> None:
    faults = Fault(WHO, [1], told("")), Fault(WHO, range(2, 99), told(org_id))
    by_name: dict[str, Any] = {"accounts": {"asia": {}, "europe": {}}}
    async with trial(tmp_path, *faults, other_access_keys=(SECOND,)) as it:
        await it.run(**by_name, account="asia")
        it.write(sheet_rows(13))
        with pytest.raises(LedgerError, match="Name its own with --account asia, or name another"):
            await it.run(**by_name, account="europe", access_key=SecretStr(SECOND))
        assert len(it.leads_sent()) == 12
        assert (await it.run(**by_name, account="asia")).summary.states == {State.SHARED: 13}


async def test_a_ledger_of_which_no_account_was_told_is_run_by_a_new_key(tmp_path: Path) -> None:
    """Where LeadSquared does not say whose a key is, one that was replaced must not stop a job."""
    async with trial(tmp_path, Fault(WHO, range(1, 99), told("")), other_access_keys=(SECOND,)) as it:
        await it.run()
        it.write(sheet_rows(13))
        assert (await it.run(access_key=SecretStr(SECOND))).summary.states == {State.SHARED: 13}


async def test_a_plan_without_a_call_knows_what_another_key_shared(tmp_path: Path) -> None:
    async with trial(tmp_path, other_access_keys=(SECOND,)) as first:
        await first.run()
        second = second_of(first, sheet_rows(14))
        async with open_connection(second.settings(), Onlooker()):
            pass
        before = len(first.sandbox.journal.since(0))
        settings = second.settings()
        seen = await show_sheet(second.folder / "leads.csv", SheetOptions.of(settings), settings, None, second.name)
        assert (seen.already, seen.states[State.PENDING]) == (12, 2)
        assert len(first.sandbox.journal.since(0)) == before


async def test_what_was_kept_by_the_key_is_kept_by_the_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def as_before(connection: Connection, *_: object) -> Connection:
        return connection

    async with trial(tmp_path, other_access_keys=(SECOND,)) as first:
        with monkeypatch.context() as patch:
            patch.setattr(session, "_identified", as_before)
            await first.run(daily_limit=10_000)
        calls = remembered(first.settings()).calls
        assert calls > 30
        key_file = tmp_path / "state" / f"{account_name(first.sandbox.url, SecretStr(KEY))}.account"
        assert key_file.exists()

        again = second_of(first, sheet_rows(12), access_key=SecretStr(KEY))
        assert (await again.run(daily_limit=10_000)).summary.states == {State.SKIPPED: 12}
        assert len(first.leads_sent()) == 12, "nothing was sent twice"
        assert not key_file.exists()
        assert remembered(first.settings()).calls > calls, "the calls of the day count on"

        with_other = second_of(Trial(tmp_path / "second", first.sandbox, again.changes), sheet_rows(12))
        with_other.changes |= again.changes | {"access_key": SecretStr(SECOND)}
        assert (await with_other.run()).summary.states == {State.SKIPPED: 12}


async def test_a_process_that_ended_while_it_moved_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    async with trial(tmp_path) as it:
        with monkeypatch.context() as patch:
            patch.setattr(session, "remember_account", killed)
            with pytest.raises(KeyboardInterrupt):
                await it.run()
        assert (await it.run()).summary.states == {State.SHARED: 12}
        check_never_twice(it)
        assert len(names(it)) == 1


async def test_it_is_asked_once(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        for _ in range(2):
            async with open_connection(it.settings(), Onlooker()):
                pass
        assert len(it.sent(WHO)) == 1


@pytest.mark.parametrize(
    "reply",
    [
        answer(404, "no such page", "text/html"),
        answer(403, "{}"),
        answer(200, "<html>a gateway</html>", "text/html"),
        envelope(500, "something else"),
        told("0"),
        told(None),
        told("00000000-0000-0000-0000-000000000000"),
        DROPPED,
    ],
)
async def test_where_it_is_not_told_the_key_is_the_account(tmp_path: Path, reply: Reply) -> None:
    async with trial(tmp_path, Fault(WHO, range(1, 99), reply)) as it:
        assert (await it.run()).summary.states == {State.SHARED: 12}
        assert not (tmp_path / "state" / "identities").exists()
        assert names_of_account(it.settings()) == {account_name(it.sandbox.url, SecretStr(KEY))}


async def test_an_answer_that_fails_changes_no_identity(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(WHO, range(2, 99), envelope(500, "something else"))) as it:
        await it.run()
        known = names(it)
        it.write(sheet_rows(14))
        await it.run()
        assert names(it) == known
        assert [*known] == [account_name(it.sandbox.url, SecretStr(KEY))]


async def test_what_a_key_shared_whose_account_could_not_be_asked_another_does_not_share_again(
    tmp_path: Path,
) -> None:
    async with trial(tmp_path, Fault(WHO, [1], DROPPED), other_access_keys=(SECOND,)) as first:
        await first.run()
        second = second_of(first, sheet_rows(12))
        assert (await second.run()).summary.states == {State.SKIPPED: 12}


@pytest.mark.parametrize("unheard", [range(2, 3), range(2, 99)])
async def test_while_the_account_can_t_be_asked_other_keys_wait(tmp_path: Path, unheard: range) -> None:
    async with trial(tmp_path, Fault(WHO, unheard, DROPPED), rate=STRICT, other_access_keys=(SECOND,)) as first:
        await first.run(rate=STRICT)
        await asyncio.sleep(STRICT.period)  # of the server's own clock
        first.ledger.unlink()
        first.write(sheet_rows(80)[50:])
        second = second_of(first, sheet_rows(50)[12:])
        await asyncio.gather(second.run(rate=STRICT), first.run(rate=STRICT))
        report = first.sandbox.report()
        assert (report["refusals"], report["activities"]) == (0, 80)
        assert report["fullest_window"] <= STRICT.limit


async def test_keys_that_are_refused_are_tried_once(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        with pytest.raises(AccessDenied):
            await it.run(access_key=SecretStr("wrong"))
        assert len(it.sandbox.journal.since(0)) == 1


async def test_an_account_that_wants_no_call_is_not_asked(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        file = tmp_path / "state" / f"{account_name(it.sandbox.url, SecretStr(KEY))}.account"
        file.parent.mkdir()
        file.write_text(json.dumps({"closed": True, "closed_until": 9e9}))
        async with open_connection(it.settings(), Onlooker()) as connection:
            connection.memory.close_for(60)
        async with open_connection(it.settings(), Onlooker()):
            pass
        assert len(it.sent(WHO)) <= 1


async def test_what_the_account_learnt_by_another_key_is_kept(tmp_path: Path) -> None:
    async with trial(tmp_path, other_access_keys=(SECOND,)) as first:
        own = tmp_path / "state" / f"{account_name('org', first.sandbox.url, '10001')}.account"
        own.parent.mkdir()
        own.write_text(json.dumps({"closed": True, "rate": "2/1s", "share_batch": 3}))
        os.utime(own, (1, 1))  # so long ago that nothing is waited for
        async with open_connection(first.settings(rate=None, bulk=True), Onlooker()) as connection:
            assert connection.pacer.rate == Rate(2, 1)
            assert connection.share_batch.most == 3
            assert connection.turn.is_held
        assert Account.read(own).rate == Rate(2, 1.0)
        assert not first.sent(CREATE)


async def test_another_accounts_ledgers_are_left_alone_by_what_is_done_to_all(tmp_path: Path) -> None:
    """By names alone, without a call: it was told of both keys that they are of two accounts."""
    async with trial(tmp_path, other_access_keys=(SECOND,)) as first:
        await first.run()
        second = second_of(first, sheet_rows(14))
        key = account_name(first.sandbox.url, SecretStr(SECOND))
        async with BatchShare(second.settings()) as library:
            assert len((await library.access()).shares) == 12, "nobody knows that it is another's"
            remember_account(tmp_path / "state", key, account_name("org", first.sandbox.url, "another"))
            found = await library.access()
        assert found.shares == []
        left_out = "Left out: 12 shares at another host, or of another account, than the one that is set"
        assert found.remarks[0] == left_out
        async with BatchShare(first.settings()) as library:
            assert len((await library.access()).shares) == 12


async def test_a_plan_refuses_a_ledger_of_another_account_by_its_name_before_any_call(tmp_path: Path) -> None:
    by_name: dict[str, Any] = {"accounts": {"asia": {}, "europe": {}}}
    async with trial(tmp_path, Fault(WHO, range(1, 99), told("")), other_access_keys=(SECOND,)) as it:
        await it.run(**by_name, account="asia")
        it.write(sheet_rows(13))
        before = len(it.sandbox.journal.since(0))
        settings = it.settings(**by_name, account="europe", access_key=SecretStr(SECOND))
        options = SheetOptions.of(settings)
        for watcher in (None, Onlooker()):
            seen = await show_sheet(it.folder / "leads.csv", options, settings, watcher, it.name)
            assert "belongs to another account" in seen.refusal
        assert len(it.sandbox.journal.since(0)) == before
        settings = it.settings(**by_name, account="asia")
        assert (await show_sheet(it.folder / "leads.csv", options, settings, None, it.name)).refusal == ""
