"""What a plan or a run learnt of leads and users is not asked for again, and nobody is refused for it."""

from __future__ import annotations

import csv
import json
from contextlib import asynccontextmanager
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from trial import CREATE, Fault, Onlooker, Trial, answer, options

from batch_share.common import Rate, utc_now
from batch_share.jobs.job import do
from batch_share.jobs.run import RunSheet
from batch_share.ledger.files import LedgerName
from batch_share.ledger.states import State
from batch_share.library import BatchShare
from batch_share.planning import intake
from batch_share.planning.intake import SheetJob, show_sheet
from batch_share.planning.plan import SheetOptions
from batch_share.sandbox import Sandbox
from batch_share.sandbox.sheets import active_users

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from trial import Wrapper

    from batch_share.jobs.job import Ending
    from batch_share.planning.overview import Overview

PEOPLE = ("Leads.Get", "ByIds", "RetrieveLeadByPhoneNumber", "GetByEmailaddress", "Users.Get", "User/Retrieve")


@asynccontextmanager
async def trial(folder: Path, *faults: Wrapper, **changes: Any) -> AsyncIterator[Trial]:
    async with Sandbox(options(**changes), wrappers=faults) as sandbox:
        yield Trial(folder, sandbox, {"event": "201", "duration": "7d"})


def write(it: Trial, header: Sequence[str], rows: Sequence[Sequence[str]], name: str = "leads.csv") -> None:
    with (it.folder / name).open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([header, *rows])


def by_phone(it: Trial, leads: slice = slice(30)) -> list[list[str]]:
    """Leads by phone: a call for each."""
    users = active_users(it.sandbox.world)
    return [[lead.phone, users[at % 3].email] for at, lead in enumerate(it.sandbox.world.leads[leads])]


def looked_up(it: Trial) -> int:
    """How many calls looked people up."""
    return sum(count for path, count in it.sandbox.report()["calls"].items() if any(map(path.__contains__, PEOPLE)))


async def plan(it: Trial, onlooker: Onlooker | None = None, name: str = "leads.csv", **changes: Any) -> Overview:
    return await show_sheet(it.folder / name, SheetOptions(), it.settings(**changes), onlooker)


async def run(it: Trial, name: str, onlooker: Onlooker | None = None, **changes: Any) -> Ending:
    job = SheetJob(it.folder / name, LedgerName.of_sheet(it.folder / name))
    return await do(RunSheet(job), it.settings(**changes), onlooker or Onlooker())


def days_later(patch: pytest.MonkeyPatch, days: float) -> None:
    """Let what is kept be judged as of a later day."""
    patch.setattr(
        intake.KeptAnswers, "_minute", lambda _: int(utc_now().replace(tzinfo=UTC).timestamp() // 60 + days * 1440)
    )


async def test_what_a_plan_looked_up_its_run_and_the_next_sheet_do_not(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ["Lead Phone", "User Email"], by_phone(it))
        assert (await plan(it)).look_ups == (32, 35)
        await plan(it, Onlooker())
        assert (calls := looked_up(it)) == 31
        offline, onlooker = await plan(it), Onlooker()
        assert (offline.look_ups, offline.directory.kept, offline.directory.asked) == ((0, 0), 33, 0)
        assert (await it.run(onlooker)).summary.states == {State.SHARED: 30}
        (preview,) = onlooker.previews
        assert preview.changes is not None
        assert (preview.changes.recalled, preview.changes.looked_up) == (33, 0)
        write(it, ["Lead Phone", "User Email"], by_phone(it, slice(20, 31)), "next.csv")
        await run(it, "next.csv", onlooker, force=True)
        assert looked_up(it) == calls + 1
        assert onlooker.previews[1].changes is not None
        assert (onlooker.previews[1].changes.recalled, onlooker.previews[1].changes.looked_up) == (13, 1)
        # The ledger has names and addresses of its own, for whoever looks into it.
        assert it.query("SELECT count(*) FROM lookups WHERE kind = 'Lead Phone'") == [(30,)]


async def test_a_day_later_all_but_ids_and_numbers_are_looked_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trial(tmp_path) as it:
        write(it, ["Lead Phone", "User Email"], by_phone(it, slice(5)))
        await plan(it, Onlooker())
        days_later(monkeypatch, 1.1)
        before = looked_up(it)
        await plan(it, Onlooker())
        assert looked_up(it) == before + 6
        days_later(monkeypatch, 9)
        leads, user = it.sandbox.world.leads[:5], active_users(it.sandbox.world)[0]
        write(it, ["Lead Number", "User Email"], [[str(lead.number), user.email] for lead in leads])
        seen = await plan(it, Onlooker())
        assert (seen.directory.kept, seen.to_send, looked_up(it)) == (5, 5, before + 7)  # the list of users
        # With an address beside it that could not be held against what is kept.
        write(it, ["Lead Id", "Lead Email", "User Email"], [[leads[0].id, "b@example.com", user.email]])
        seen = await plan(it, Onlooker())
        assert (seen.directory.kept, seen.to_send, len(seen.problems)) == (1, 0, 1)  # the user


async def test_no_account_uses_what_another_one_was_told(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ["Lead Phone", "User Email"], by_phone(it, slice(4)))
        await plan(it, Onlooker())
        async with Sandbox(options()) as sandbox:
            other = Trial(tmp_path, sandbox, it.changes)
            seen = await plan(other, Onlooker())
            assert (seen.directory.kept, looked_up(other)) == (0, 5)
        assert (await plan(it, access_key=SecretStr("another-key-of-nobody-knows-whom"))).directory.kept == 0


async def test_nobody_is_kept_where_the_setting_says_so(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ["Lead Phone", "User Email"], by_phone(it, slice(4)))
        await plan(it, Onlooker())
        before = looked_up(it)
        assert (await plan(it, Onlooker(), keep_answers=0)).directory.kept == 0
        assert looked_up(it) == 2 * before


async def test_a_lead_that_was_just_made_is_found(tmp_path: Path) -> None:
    async with trial(tmp_path, seed=71) as it:
        lead, user = it.sandbox.world.leads[0], active_users(it.sandbox.world)[0]
        write(it, ["Lead Email", "User Email"], [["new@example.com", user.email]])
        assert (await plan(it, Onlooker())).to_send == 0
        rename(it, lead, "new@example.com")
        assert (await plan(it, Onlooker())).to_send == 1
        assert (await run(it, "leads.csv")).summary.states == {State.SHARED: 1}


async def test_no_row_is_refused_for_what_was_so_earlier(tmp_path: Path) -> None:
    async with trial(tmp_path, seed=72) as it:
        (lead, other), user = it.sandbox.world.leads[:2], active_users(it.sandbox.world)[0]
        rows = [[lead.id, lead.email, user.email], [other.id, "moved@example.com", user.email]]
        write(it, ["Lead Id", "Lead Email", "User Email"], rows)
        seen = await plan(it, Onlooker())
        assert (seen.to_send, len(seen.problems)) == (1, 1)
        rename(it, other, "moved@example.com")
        offline = await plan(it)
        assert (offline.to_send, offline.directory.kept, offline.directory.asked) == (2, 2, 1)
        assert (await run(it, "leads.csv")).summary.states == {State.SHARED: 2}
        assert {call["lead"] for call in it.sent(CREATE)} == {lead.id, other.id}


async def test_a_row_that_still_says_something_else_is_refused_by_what_is_so_now(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        lead, user = it.sandbox.world.leads[0], active_users(it.sandbox.world)[0]
        write(it, ["Lead Id", "Lead Email", "User Email"], [[lead.id, "wrong@example.com", user.email]])
        await plan(it, Onlooker())
        assert (await run(it, "leads.csv")).summary.states == {State.INVALID: 1}
        assert f"which has {lead.email!r}" in it.rows("reason")[0][0]


async def test_a_purge_forgets_it(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ["Lead Phone", "User Email"], by_phone(it, slice(4)))
        await plan(it, Onlooker())
        library = BatchShare(it.settings())
        assert (await library.delete(await library.purge("1d"))).forgotten == 0
        with pytest.MonkeyPatch.context() as patch:
            days_later(patch, 2)
            assert (await library.delete(await library.purge("1d"))).forgotten == 4 * 3 + 3 + 1
        assert (await plan(it)).directory.kept == 0


async def test_mistakes_are_told_before_look_ups_that_take_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "LONG_LOOK_UP", 0.01)
    async with trial(tmp_path) as it:
        rows = [*by_phone(it), *([phone, "Asha Rao"] for phone, _ in by_phone(it, slice(30, 33)))]
        write(it, ["Lead Phone", "User Email"], rows)
        onlooker = Onlooker()
        await plan(it, onlooker, rate=Rate(25, 0.1), keep_answers=0, workers=1)
        (outlook,) = onlooker.outlooks
        assert (outlook.rows, outlook.wrong, outlook.people, outlook.kept) == (33, 3, 33, 0)
        assert (outlook.least, outlook.most, round(outlook.seconds, 6)) == (32, 35, 0.04)
        assert [(each.rows, each.first) for each in outlook.mistakes] == [(3, (32, 33, 34))]
        await plan(it, onlooker)
        assert len(onlooker.outlooks) == 1  # at this pace it is done at once


async def test_a_row_that_is_over_in_utc_alone_is_looked_up(tmp_path: Path) -> None:
    there = answer(200, json.dumps([{"UserId": "u-1", "TimeZone": "Pacific/Honolulu"}]))
    async with trial(tmp_path, Fault("Authentication.svc/UserByAccessKey.Get", range(1, 9), there)) as it:
        lead, user = it.sandbox.world.leads[0], active_users(it.sandbox.world)[0]
        end = f"{utc_now() - timedelta(hours=2):%Y-%m-%d %H:%M}"
        write(it, ["Lead Id", "User Id", "Until"], [[lead.id, user.id, end]])
        assert (await plan(it)).to_send == 0
        assert (await plan(it, Onlooker())).to_send == 1


async def test_a_sheet_of_which_nothing_can_be_sent_costs_no_call(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ["Lead Phone", "User Email"], [["+91-9812345678", "Asha Rao"]])
        seen = await plan(it, Onlooker())
        assert (seen.to_send, len(seen.problems), seen.is_asked) == (0, 1, False)
        assert it.sandbox.report()["total_calls"] == 0
        assert (await it.run()).summary.states == {State.INVALID: 1}
        assert looked_up(it) == 0


def rename(it: Trial, lead: Any, email: str) -> None:
    """Let the lead have another address: one of a world of its own, since such are made once for all tests."""
    object.__setattr__(lead, "email", email)
