"""An activity type by its name: the same rows as by its code, and nothing is sent where it is not clear."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest
from trial import CREATE, HEADER, Fault, Onlooker, answer, sheet_rows, trial

from batch_share.errors import PlanChanged, SettingsError
from batch_share.jobs.job import do
from batch_share.jobs.run import RunSheet
from batch_share.ledger.files import LedgerName
from batch_share.ledger.states import State
from batch_share.library import BatchShare
from batch_share.planning.intake import SheetJob, show_sheet
from batch_share.planning.plan import SheetOptions

if TYPE_CHECKING:
    from pathlib import Path

    from trial import Trial

    from batch_share.planning.overview import Overview

TYPES = "ProspectActivity.svc/ActivityTypes.Get"


def types(*named: tuple[int, str]) -> Any:
    return answer(200, json.dumps([{"ActivityEvent": code, "ActivityEventName": name} for code, name in named]))


def write(it: Trial, events: list[str] | None = None, rows: int = 4) -> None:
    """A sheet with these activity types, or without a column of them."""
    made = sheet_rows(rows, it.sandbox.world)
    with (it.folder / "leads.csv").open("w", newline="", encoding="utf-8") as out:
        lines = csv.writer(out)
        lines.writerow(HEADER if events else HEADER[:-1])
        lines.writerows([*row[:-1], *([events[at % len(events)]] if events else [])] for at, row in enumerate(made))


async def plan(it: Trial, onlooker: Onlooker | None = None, **changes: Any) -> Overview:
    return await show_sheet(it.folder / "leads.csv", SheetOptions(), it.settings(**changes), onlooker)


async def test_a_name_is_its_code_and_nothing_is_sent_twice_for_it(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it)
        assert (await it.run(event="  site   VISIT ")).summary.states == {State.SHARED: 4}
        for event in ("201", "Site visit"):
            assert (await it.run(event=event)).sent == 0
        assert it.query("SELECT event, count(*) FROM rows GROUP BY event") == [(201, 4)]
        assert len(it.sent(CREATE)) == 4
        assert (await plan(it, event="Site Visit")).sent_before == {State.SHARED: 4}


async def test_a_column_may_hold_codes_and_names(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ["Site visit", "202", "call back", "Cal back"])
        assert (await it.run()).summary.states == {State.SHARED: 3, State.INVALID: 1}
        assert it.rows("event")[:3] == [(201,), (202,), (202,)]
        said = (
            "Row 5, Activity Event 'Cal back': the account has no activity type 'Cal back'; it has 202 (Call back)"
        )
        assert it.rows("reason")[3][0].startswith(said)


async def test_a_name_that_comes_to_be_is_found_by_the_next_run(tmp_path: Path) -> None:
    later = Fault(TYPES, [2], types((201, "Site visit"), (202, "Follow up")))
    async with trial(tmp_path, later) as it:
        write(it, ["Site visit", "Follow up"])
        assert (await it.run()).summary.states == {State.SHARED: 2, State.INVALID: 2}
        assert (await it.run()).summary.states == {State.SHARED: 4}
        assert [event for (event,) in it.rows("event")] == [201, 202, 201, 202]


@pytest.mark.parametrize(
    ("told", "event", "wrong"),
    [
        (types((201, "Site visit")), "Site vist", "the account has no activity type 'Site vist'; it has 201"),
        (
            types((201, "Visit"), (305, " VISIT")),
            "visit",
            "2 activity types of this name: give the code, 201 or 305",
        ),
        (answer(404, "no such page"), "Site visit", "LeadSquared does not tell their names: give its code"),
    ],
)
async def test_a_name_that_is_not_clear_is_refused_before_anybody_is_looked_up(
    tmp_path: Path, told: Any, event: str, wrong: str
) -> None:
    async with trial(tmp_path, Fault(TYPES, range(1, 9), told)) as it:
        write(it)
        with pytest.raises(SettingsError, match=wrong):
            await plan(it, Onlooker(), event=event)
        ending = await it.run(event=event)
        assert isinstance(ending.error, SettingsError)
        assert wrong in str(ending.error)
        assert it.sent(CREATE) == it.sent("LeadManagement.svc/Leads/Retrieve/ByIds") == []


async def test_where_names_are_not_told_now_those_of_today_will_do(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(TYPES, range(2, 9), answer(502, "oops"))) as it:
        write(it)
        await plan(it, Onlooker(), event="Site visit")
        assert (await it.run(event="Site visit")).summary.states == {State.SHARED: 4}


async def test_a_plan_that_makes_no_call_knows_a_name_from_earlier_or_shows_it(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it)
        seen = await plan(it, event="Site visit")
        (code,) = seen.events
        assert code < 0
        assert (seen.directory.type_name(code), seen.to_send) == ("Site visit", 4)
        await plan(it, Onlooker(), event="Call back")
        seen = await plan(it, event="site visit")
        assert [*seen.events] == [201]
        seen = await plan(it, event="Not known yet")  # there may be one by now
        assert (seen.to_send, [seen.directory.type_name(code) for code in seen.events]) == (4, ["Not known yet"])
        assert it.sent(CREATE) == []


async def test_an_approved_plan_holds_for_the_type_that_its_name_meant(tmp_path: Path) -> None:
    renamed = Fault(TYPES, [3], types((202, "Site visit")))
    async with trial(tmp_path, renamed) as it:
        write(it)
        settings = it.settings(event="Site visit")
        approval = (await plan(it, Onlooker(), event="Site visit")).approval()
        assert approval.activity_types == {"site visit": 201}
        job = SheetJob(it.folder / "leads.csv", LedgerName.of(tmp_path / "other.db"), approved=approval)
        assert (await do(RunSheet(job), settings, Onlooker())).summary.states == {State.SHARED: 4}
        job = SheetJob(it.folder / "leads.csv", it.name, approved=approval)
        ending = await do(RunSheet(job), settings, Onlooker())
        assert isinstance(ending.error, PlanChanged)
        assert len(it.sent(CREATE)) == 4


async def test_other_commands_do_with_a_name_in_the_settings(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it)
        await it.run(event="Site visit")
        for job in (it.retry, it.resume, it.follow_up):
            assert (await job(event="Site visit")).error is None
        library = BatchShare(it.settings(event="Site visit"))
        assert len((await library.access(online=True)).shares) == 4
        with pytest.raises(SettingsError, match="it has 201"):
            await BatchShare(it.settings(event="Site vist")).access(online=True)
