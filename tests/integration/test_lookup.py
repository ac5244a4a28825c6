"""Looking leads and users up before a run: few calls, nobody guessed at, nothing asked twice."""

from __future__ import annotations

import csv
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from trial import CREATE, KEY, Fault, Onlooker, Refuses, Trial, answer, ask_to_stop, envelope, options, sheet_rows

from batch_share.errors import BatchShareError, SettingsError, SheetError
from batch_share.jobs.job import do
from batch_share.jobs.run import RunSheet
from batch_share.leadsquared.account import account_name, remember_account
from batch_share.ledger.files import LedgerName, read_ledger
from batch_share.ledger.states import State
from batch_share.planning import directory
from batch_share.planning.intake import SheetJob, show_sheet
from batch_share.planning.plan import SheetOptions
from batch_share.results.wording import ExitCode
from batch_share.sandbox import Sandbox
from batch_share.sandbox.sheets import active_users
from batch_share.sending.calls import READ_TRIES
from batch_share.sheet.rows import Selection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from trial import Step, Wrapper

    from batch_share.planning.overview import Overview
    from batch_share.sandbox.wire import Reply, SandboxCall

BY_IDS, CRITERIA = "LeadManagement.svc/Leads/Retrieve/ByIds", "LeadManagement.svc/Leads.Get"
USERS, ONE_USER = "UserManagement.svc/Users.Get", "UserManagement.svc/User/Retrieve/ByEmailAddress"
KEY_USER = "Authentication.svc/UserByAccessKey.Get"
TYPES = "ProspectActivity.svc/ActivityTypes.Get"
YEAR = datetime.now(UTC).year + 1
PHONE = "LeadManagement.svc/RetrieveLeadByPhoneNumber"


@asynccontextmanager
async def trial(folder: Path, *faults: Wrapper, **changes: Any) -> AsyncIterator[Trial]:
    async with Sandbox(options(**changes), wrappers=faults) as sandbox:
        yield Trial(folder, sandbox, {"event": "201", "duration": "7d"})


def write(it: Trial, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with (it.folder / "leads.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([header, *rows])


def looked_up(it: Trial) -> dict[str, int]:
    """How many calls of each look-up were made."""
    calls = it.sandbox.report()["calls"]
    return {name: calls[name] for name in (BY_IDS, CRITERIA, PHONE, USERS, ONE_USER) if name in calls}


async def test_ids_are_looked_up_a_thousand_at_a_time(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        it.write(sheet_rows(1001))
        seen = await show_sheet(it.folder / "leads.csv", SheetOptions(), it.settings(), Onlooker())
        assert seen.states == {State.PENDING: 1001}
        assert it.sandbox.report()["calls"] == {KEY_USER: 1, BY_IDS: 2, USERS: 1, TYPES: 1}


@pytest.mark.parametrize(("refused", "calls"), [(False, 3), (True, 3)])
async def test_numbers_are_looked_up_with_in_where_that_works_and_else_by_pages(
    tmp_path: Path, refused: bool, calls: int
) -> None:
    async with trial(tmp_path, refuse_in=refused) as it:
        leads, user = it.sandbox.world.leads[:30], active_users(it.sandbox.world)[0]
        write(it, ["Lead Number", "User Id"], [[str(lead.number), user.id] for lead in leads])
        ending = await it.run()
        assert ending.summary.states == {State.SHARED: 30}
        assert looked_up(it) == {CRITERIA: calls, USERS: 1}
        assert sorted(it.leads_sent()) == sorted(lead.id for lead in leads)


async def test_many_leads_are_asked_for_in_stretches_of_which_the_first_shows_whether_in_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the users once, at the end."""
    monkeypatch.setattr(directory, "STRETCH", 7)
    async with trial(tmp_path) as it:
        leads, users = it.sandbox.world.leads[:30], active_users(it.sandbox.world)
        rows = [[str(lead.number), users[at % 4].email] for at, lead in enumerate(leads)]
        write(it, ["Lead Number", "User Email"], [*rows, *rows[:9]])
        ending = await it.run()
        assert ending.summary.states == {State.SHARED: 30, State.SKIPPED: 9}
        one_by_one, tried, many = 1, 1, 5
        assert looked_up(it) == {CRITERIA: one_by_one + tried + many, USERS: 1}


async def test_nobody_is_asked_for_twice_however_many_stretches_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "STRETCH", 3)
    async with trial(tmp_path, refuse_in=True) as it:
        user = active_users(it.sandbox.world)[0]
        numbers = [str(lead.number) for lead in it.sandbox.world.leads[:3]]
        numbers.insert(1, "5")
        write(it, ["Lead Number", "User Id"], [[number, user.id] for number in numbers * 2])
        seen = await show_sheet(it.folder / "leads.csv", SheetOptions(), it.settings(), Onlooker())
        assert seen.states == {State.PENDING: 3, State.INVALID: 2, State.SKIPPED: 3}
        tried = 1  # IN; the page that was read then found one of them
        assert looked_up(it) == {CRITERIA: len(numbers) + tried, USERS: 1}


async def test_a_sheet_that_is_broken_far_below_costs_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "STRETCH", 2)
    async with trial(tmp_path) as it:
        it.write(sheet_rows(60))
        with (it.folder / "leads.csv").open("a", encoding="utf-8") as out:
            out.write('"never closed')
        with pytest.raises(SheetError, match="quotation mark that is not closed"):
            await show_sheet(it.folder / "leads.csv", SheetOptions(), it.settings(), Onlooker())
        assert looked_up(it) == {}


async def test_what_in_does_not_find_is_asked_for_once_more_alone(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        leads, user = it.sandbox.world.leads[:10], active_users(it.sandbox.world)[0]
        emails = [*(lead.email.upper() for lead in leads), "nobody@example.com"]
        write(it, ["Lead Email", "User Id"], [[email, user.id] for email in emails])
        ending = await it.run()
        assert ending.summary.states == {State.SHARED: 10, State.INVALID: 1}
        assert looked_up(it)[CRITERIA] == 4
        assert it.query("SELECT reason FROM rows WHERE state = 'invalid'") == [
            ("Row 12, Lead Email 'nobody@example.com': no lead has this email",)
        ]


async def test_in_is_given_up_where_it_answers_with_others(tmp_path: Path) -> None:
    everybody = answer(200, json.dumps([{"ProspectID": each, "ProspectAutoId": each} for each in ("7", "8")]))
    async with trial(tmp_path, Fault(CRITERIA, [2], everybody)) as it:
        leads, user = it.sandbox.world.leads[:5], active_users(it.sandbox.world)[0]
        write(it, ["Lead Number", "User Id"], [[str(lead.number), user.id] for lead in leads])
        assert (await it.run()).summary.states == {State.SHARED: 5}
        assert looked_up(it)[CRITERIA] == 3  # one alone, IN, and a page that has all the others


async def test_leads_are_found_by_phone_with_and_without_country_code(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        leads, user = it.sandbox.world.leads[:2], active_users(it.sandbox.world)[0]
        write(it, ["Lead Phone", "User Id"], [[leads[0].phone, user.id], [leads[1].phone[4:], user.id]])
        assert (await it.run()).summary.states == {State.SHARED: 2}
        assert looked_up(it) == {PHONE: 2, USERS: 1}


async def test_a_user_that_the_list_lacks_is_asked_for_before_the_row_is_refused(tmp_path: Path) -> None:
    async with trial(tmp_path, listed_users=3) as it:
        world = it.sandbox.world
        emails = [world.users[1].email, world.users[7].email, "nobody@example.com"]
        rows = [[lead.id, email] for lead, email in zip(world.leads, emails, strict=False)]
        write(it, ["Lead Id", "User Email"], rows)
        ending = await it.run()
        assert ending.summary.states == {State.SHARED: 2, State.INVALID: 1}
        assert looked_up(it) == {BY_IDS: 1, USERS: 1, ONE_USER: 2}


async def test_an_inactive_user_is_reported_by_name(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        retired = it.sandbox.world.users[9]
        write(it, ["Lead Id", "New Owner"], [[it.sandbox.world.leads[0].id, retired.email]])
        ending = await it.run()
        assert ending.summary.states == {State.INVALID: 1}
        reason = it.rows("reason")[0][0]
        assert f"Row 2, New Owner '{retired.email}': {retired.name} is no longer an active user" in reason


async def test_an_id_and_a_number_of_two_leads_are_not_sent(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        rows = sheet_rows(3)
        rows[1][1] = rows[2][1]
        it.write(rows)
        ending = await it.run()
        assert ending.summary.states == {State.SHARED: 2, State.INVALID: 1}
        assert "Row 3, Lead Number '869002': is not that of Lead Id" in it.rows("reason")[1][0]


async def test_two_leads_with_one_number_are_nobody(tmp_path: Path) -> None:
    twins = answer(200, '[{"ProspectID": "a", "ProspectAutoId": 7}, {"ProspectID": "b", "ProspectAutoId": "7"}]')
    async with trial(tmp_path, Fault(CRITERIA, [1], twins)) as it:
        write(it, ["Lead Number", "User Id"], [["7", active_users(it.sandbox.world)[0].id]])
        await it.run()
        assert it.rows("reason") == [("Row 2, Lead Number '7': found 2 times: use the Id instead",)]
        assert it.sent(CREATE) == []


@pytest.mark.parametrize("reply", [envelope(500, "Not allowed"), answer(200, '{"Leads": 7}'), answer(502, "oops")])
async def test_where_the_look_up_of_many_is_refused_each_is_asked_for_alone(tmp_path: Path, reply: Reply) -> None:
    async with trial(tmp_path, Fault(BY_IDS, range(1, 1 + READ_TRIES), reply)) as it:
        it.write(sheet_rows(3))
        assert (await it.run()).summary.states == {State.SHARED: 3}
        assert it.sandbox.report()["calls"]["LeadManagement.svc/Leads.GetById"] == 3


async def test_nothing_is_asked_twice_but_what_was_not_found(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        rows = sheet_rows(5)
        rows[4][0], rows[4][1] = "0f8fad5b-d9cb-469f-a165-70867728950e", ""
        it.write(rows)
        await it.run()
        assert looked_up(it) == {BY_IDS: 1, USERS: 1}
        await it.resume()
        assert looked_up(it) == {BY_IDS: 1, USERS: 1}
        await it.run()
        assert looked_up(it) == {BY_IDS: 2, USERS: 1}
        it.write([*rows, sheet_rows(6)[5]])
        assert (await it.run()).summary.states == {State.SHARED: 5, State.INVALID: 1}
        assert looked_up(it) == {BY_IDS: 3, USERS: 1}


async def test_no_call_could_create_a_lead(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        it.write(sheet_rows(3))
        await it.run()
        bodies = [call.body for call in it.sandbox.journal.calls if call.endpoint == CREATE]
        assert all(b"RelatedProspectId" in body and b"EmailAddress" not in body for body in bodies)


# ------------------------------------------------------------------------------------------------- stopping


@dataclass(slots=True)
class StopAt:
    """Asks the work to end as a call of `endpoint` arrives; with `throttled` that call must be made again."""

    onlooker: Onlooker
    endpoint: str
    number: int = 1
    throttled: bool = False
    seen: int = 0

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        """A wrapper of the sandbox."""
        self.seen += call.endpoint == self.endpoint
        if call.endpoint != self.endpoint or self.seen != self.number:
            return await step(call)
        ask_to_stop(self.onlooker)
        return envelope(429, "Wait", "MXAPIRateLimitExceededException") if self.throttled else await step(call)


@pytest.mark.parametrize(
    ("number", "throttled"),
    [(1, False), (2, False), (2, True), (3, False)],
    ids=["the first", "whether IN works", "whether IN works, unanswered", "with IN"],
)
async def test_a_stop_while_leads_are_looked_up_sends_nothing_and_asks_no_more(
    tmp_path: Path, number: int, throttled: bool
) -> None:
    onlooker = Onlooker()
    async with trial(tmp_path, StopAt(onlooker, CRITERIA, number, throttled)) as it:
        leads, user = it.sandbox.world.leads[:10], active_users(it.sandbox.world)[0]
        write(it, ["Lead Number", "User Id"], [[str(lead.number), user.id] for lead in leads])
        ending = await it.run(onlooker)
        assert ending.exit_code is ExitCode.INTERRUPTED
        assert looked_up(it) == {CRITERIA: number}
        assert (ending.summary.rows, it.sent(CREATE)) == (0, [])
        assert (await it.run()).summary.states == {State.SHARED: 10}
        assert it.sandbox.report()["duplicates"] == 0


async def test_a_plan_that_is_stopped_while_people_are_looked_up_is_no_plan(tmp_path: Path) -> None:
    """It would call everybody who was not yet asked for invalid."""
    onlooker = Onlooker()
    async with trial(tmp_path, StopAt(onlooker, BY_IDS)) as it:
        it.write(sheet_rows(3))
        with pytest.raises(BatchShareError, match="No plan: it was stopped before everybody was looked up"):
            await show(it, onlooker)
        assert looked_up(it) == {BY_IDS: 1}


# ------------------------------------------------------------------------------------------------ only shown


async def show(it: Trial, onlooker: Onlooker | None, **changes: Any) -> Overview:
    return await show_sheet(it.folder / "leads.csv", SheetOptions(), it.settings(**changes), onlooker)


async def test_without_anybody_looking_on_a_sheet_is_shown_without_a_call(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        it.write(sheet_rows(3))
        assert (await show(it, None)).states == {State.PENDING: 3}
        assert it.sandbox.report()["total_calls"] == 0
        assert not (tmp_path / "state").exists()


async def test_a_plan_says_why_people_could_not_be_looked_up(tmp_path: Path) -> None:
    async with trial(tmp_path, without=("Users", "Leads")) as it:
        lead, user = it.sandbox.world.leads[0], active_users(it.sandbox.world)[0]
        write(it, ["Lead Email", "User Email"], [[lead.email, user.email]])
        seen = await show(it, Onlooker())
        assert seen.states == {State.INVALID: 1}
        [why] = seen.invalid
        assert "could not be looked up: HTTP 404: No such API." in why


# ------------------------------------------------------------------------------------------------ time zones


def write_ends(it: Trial) -> None:
    """Two rows with an end that names no time zone."""
    leads, user = it.sandbox.world.leads[:2], active_users(it.sandbox.world)[0]
    write(it, ["Lead Id", "User Id", "Until"], [[lead.id, user.id, f"{YEAR}-06-30 18:00"] for lead in leads])


@pytest.mark.parametrize(
    ("named", "end", "calls"),
    [({}, "12:30", 1), ({"timezone": "Europe/Berlin"}, "16:00", 0)],
    ids=["account", "option"],
)
async def test_an_end_is_in_the_accounts_time_zone_unless_one_is_named(
    tmp_path: Path, named: dict[str, Any], end: str, calls: int
) -> None:
    async with trial(tmp_path) as it:
        write_ends(it)
        seen = await show(it, Onlooker(), **named)
        assert seen.lasting == {f"until {YEAR}-06-30 18:00 {named.get('timezone', 'Asia/Kolkata')}": 2}
        assert len(it.sent(KEY_USER)) == calls
        running, going_on = Refuses(), Refuses()
        await it.run(running, **named)
        await it.resume(going_on, **named)
        zones = {str(onlooker.previews[0].zone) for onlooker in (running, going_on)}
        assert zones == {named.get("timezone", "Asia/Kolkata")}
        await it.run(follow_up=False, **named)
        assert [until for (until,) in it.rows("until")] == [f"{YEAR}-06-30 {end}:00.000000"] * 2


@pytest.mark.parametrize("named", ["India Standard Time", "", "Asia"])
async def test_an_account_whose_time_zone_means_nothing_is_reported_to_name_one(tmp_path: Path, named: str) -> None:
    nowhere = answer(200, json.dumps({"Id": "7", "TimeZone": named}))
    async with trial(tmp_path, Fault(KEY_USER, [1, 2], nowhere)) as it:
        write_ends(it)
        with pytest.raises(
            SettingsError, match=r"timezone: the account's own could not be found out: give --timezone"
        ):
            await show(it, Onlooker())
        ending = await it.run()
        assert isinstance(ending.error, SettingsError)
        assert (ending.summary.rows, it.sent(CREATE)) == (0, [])


async def test_a_refused_question_for_the_time_zone_ends_the_run_with_nothing_sent(tmp_path: Path) -> None:
    async with trial(tmp_path, refuse=("UserByAccessKey.Get",)) as it:
        write_ends(it)
        ending = await it.run()
        assert isinstance(ending.error, SettingsError)
        assert "give --timezone" in str(ending.error)
        assert (ending.summary.rows, it.sent(CREATE)) == (0, [])


async def test_a_stop_while_the_time_zone_is_asked_for_sends_nothing(tmp_path: Path) -> None:
    onlooker = Onlooker()
    async with trial(tmp_path, StopAt(onlooker, KEY_USER, throttled=True)) as it:
        write_ends(it)
        key, account = account_name(it.sandbox.url, SecretStr(KEY)), account_name("org", it.sandbox.url, "10001")
        remember_account(tmp_path / "state", key, account)
        ending = await it.run(onlooker)
        assert ending.exit_code is ExitCode.INTERRUPTED
        assert it.sandbox.report()["calls"] == {KEY_USER: 1}
        assert (await it.run()).summary.states == {State.SHARED: 2}


async def test_a_row_that_is_wrong_counts_for_its_user_if_another_row_made_that_user_known(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        first, *others = sheet_rows(4, it.sandbox.world)
        late, unread, nobody = ([*row[:2], first[2], *row[3:]] for row in others)
        late[4], unread[1], nobody[2] = "soon", "x", "ffffffff-0000-4000-8000-000000000000"
        it.write([first, late, unread, nobody])
        ending = await it.run()
        assert ending.summary.states == {State.SHARED: 1, State.INVALID: 3}
        assert it.rows("state", "user_id") == [
            ("shared", first[2]), ("invalid", first[2]), ("invalid", first[2]), ("invalid", None),
        ]  # fmt: skip
        async with read_ledger(LedgerName.of(it.ledger)) as ledger:
            assert await ledger.counts_by_user() == {
                first[2]: {State.SHARED: 1, State.INVALID: 2}, None: {State.INVALID: 1},
            }  # fmt: skip


async def test_rows_that_are_left_out_count_for_their_user_too(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        first, second = sheet_rows(2, it.sandbox.world)
        it.write([first, [*second[:2], first[2], *second[3:4], "soon", "201"]])
        job = SheetJob(tmp_path / "leads.csv", it.name, SheetOptions(selection=Selection.parse(1, None, [])))
        await do(RunSheet(job), it.settings(), Onlooker())
        assert it.rows("state", "user_id") == [("shared", first[2]), ("skipped", first[2])]


# ------------------------------------------------------------------------------------------------ what it costs


@pytest.mark.parametrize(
    ("fields", "without", "count"),
    [
        (["Lead Id", "User Id"], (), 60),
        (["Lead Id", "User Id"], ("ByIds",), 60),
        (["Lead Number", "User Email"], (), 150),
        (["Lead Email", "User Email"], ("Users.Get",), 7),
        (["Lead Phone", "User Id"], (), 5),
    ],
)
async def test_a_plan_tells_how_many_calls_look_people_up(
    tmp_path: Path, fields: list[str], without: tuple[str, ...], count: int
) -> None:
    async with trial(tmp_path, without=without) as it:
        users = active_users(it.sandbox.world)[:3]
        said = {"Lead Id": "id", "Lead Number": "number", "Lead Email": "email", "Lead Phone": "phone"}
        person = "id" if fields[1] == "User Id" else "email"
        rows = [
            [str(getattr(lead, said[fields[0]])), getattr(users[at % 3], person)]
            for at, lead in enumerate(it.sandbox.world.leads[:count])
        ]
        write(it, fields, rows)
        least, most = (await show(it, None)).look_ups
        assert (await show(it, Onlooker())).look_ups == (0, 0)
        made = sum(looked_up(it).values()) + len(it.sent(TYPES))
        assert least <= made <= most
        assert (made == least) is not bool(without)


# ------------------------------------------------------------------------------------------------ activity types


async def test_an_activity_is_called_by_its_name_in_the_plan_and_in_the_question(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        it.write(sheet_rows(12))
        onlooker = Onlooker()
        assert (await show(it, None)).directory.type_names == {}
        assert (await show(it, Onlooker())).directory.type_names[201] == "Site visit"
        await it.run(onlooker)
        assert onlooker.previews[0].activities == [(201, "Site visit")]
        it.write(sheet_rows(13))
        assert (await show(it, None)).directory.type_names[201] == "Site visit", "its ledger knows"


async def test_a_type_that_the_account_has_not_is_refused_with_the_nearest_and_taken_once_it_is_there(
    tmp_path: Path,
) -> None:
    async with trial(tmp_path, activity_types=(201, 202, 250)) as it:
        rows = sheet_rows(4)
        it.write([*rows[:3], [*rows[3][:5], "251"]])
        ending = await it.run()
        assert ending.summary.states == {State.SHARED: 3, State.INVALID: 1}
        ((reason,),) = it.query("SELECT reason FROM rows WHERE state = 'invalid'")
        assert reason == (
            "Row 5, Activity Event '251': the account has no activity type 251; it has 201 (Site visit), "
            "202 (Call back), 250 (Activity 250)"
        )
        assert len((await show(it, Onlooker())).problems) == 1
        it.sandbox.options = replace(it.sandbox.options, activity_types=(201, 251))
        it.sandbox.account.options = it.sandbox.options
        assert (await it.run()).summary.states == {State.SHARED: 4}


async def test_a_type_for_all_rows_that_the_account_has_not_is_one_error(tmp_path: Path) -> None:
    words = r"event: the account has no activity type 205; it has 201 \(Site visit\), 202 \(Call back\)"
    async with trial(tmp_path) as it:
        write(it, ["Lead Number", "User Id", "Duration"], [[row[1], row[2], "7d"] for row in sheet_rows(3)])
        settings = it.settings(event="205")
        with pytest.raises(SettingsError, match=words):
            await show_sheet(it.folder / "leads.csv", SheetOptions(), settings, Onlooker())
        ending = await it.run(event="205")
        assert isinstance(ending.error, SettingsError)
        assert it.sent(CREATE) == []
        assert (await it.run(event="202")).summary.states == {State.SHARED: 3}


@pytest.mark.parametrize("how", [{"refuse": ("ActivityTypes.Get",)}, {"without": ("ActivityTypes.Get",)}])
async def test_where_types_are_not_told_none_is_refused(tmp_path: Path, how: Any) -> None:
    async with trial(tmp_path, **how) as it:
        it.write(sheet_rows(12))
        onlooker = Onlooker()
        assert (await it.run(onlooker)).summary.states == {State.SHARED: 12}
        assert onlooker.previews[0].activities == [(201, "")]


@pytest.mark.parametrize("body", ["[]", "{}", "null", '[{"Name": "no code"}]', '"text"'])
async def test_a_list_of_types_that_is_not_understood_says_nothing(tmp_path: Path, body: str) -> None:
    async with trial(tmp_path, Fault(TYPES, range(1, 9), answer(200, body))) as it:
        it.write(sheet_rows(12))
        assert (await it.run()).summary.states == {State.SHARED: 12}
