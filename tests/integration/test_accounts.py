"""The main job on accounts that answer in other ways, or lack APIs: every row is shared, once and with its user."""

from __future__ import annotations

import asyncio
import csv
import json
import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from trial import (
    CREATE,
    DROPPED,
    FAST,
    OF_LEAD,
    SHARE,
    STATUS,
    Fault,
    Onlooker,
    Refuses,
    Trial,
    options,
    sheet_rows,
    trial,
)
from virtual_time import run_virtually
from virtual_trial import in_virtual_time

from batch_share.errors import NoSuchApi, NotAnswered, OwnerNotVerified
from batch_share.ledger.states import State
from batch_share.planning.intake import show_sheet
from batch_share.planning.plan import SheetOptions
from batch_share.results.wording import next_steps
from batch_share.sandbox.endpoints import NAMES
from batch_share.sandbox.faults import Particulars, strike
from batch_share.sandbox.wire import DIALECTS, Reply

if TYPE_CHECKING:
    from pathlib import Path

    from trial import Step

    from batch_share.jobs.job import Ending
    from batch_share.sandbox.wire import SandboxCall

HELPERS = sorted(path.rpartition("/")[2] for path in NAMES["helpers"])
"""Every API that a run can do without."""

GET_BY_ID = "LeadManagement.svc/Leads.GetById"


def named(it: Trial, count: int, *fields: str) -> None:
    """Write a sheet whose rows name leads and users in these ways."""
    world = it.sandbox.world
    users = [user for user in world.users if user.active]
    leads = {"Lead Number": "number", "Lead Email": "email", "Lead Phone": "phone", "Lead Id": "id"}
    people = {"User Id": "id", "User Email": "email"}
    with (it.folder / "leads.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow([*fields, "Duration", "Activity Event"])
        for at, lead in enumerate(world.leads[:count]):
            user = users[at % 3]
            cells = [
                getattr(lead, leads[each]) if each in leads else getattr(user, people[each]) for each in fields
            ]
            writer.writerow([*map(str, cells), "7d", "201"])


def is_right(it: Trial, rows: int) -> bool:
    """Whether each row was posted and shared once, with the user whose activity it is."""
    report = it.sandbox.report()
    return (report["duplicates"], report["activities"], it.live()) == (0, rows, rows)


# ------------------------------------------------------------------------------------------------ dialects


@pytest.mark.parametrize("bulk", [False, True], ids=["one by one", "bulk"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_every_row_is_shared_in_every_dialect(tmp_path: Path, dialect: str, *, bulk: bool) -> None:
    lost = Fault(CREATE, [3, 5], DROPPED, applied=True)
    async with trial(tmp_path, lost, rows=30, dialect=dialect) as it:
        ending = await it.run(bulk=bulk)
        assert (ending.error, ending.summary.states) == (None, {State.SHARED: 30})
        assert is_right(it, 30)
        assert ending.summary.unchecked == []


@pytest.mark.parametrize("lead", ["Lead Number", "Lead Email", "Lead Phone"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_people_are_found_in_every_dialect(tmp_path: Path, dialect: str, lead: str) -> None:
    async with trial(tmp_path, dialect=dialect, listed_users=2) as it:
        named(it, 9, lead, "User Email")
        assert (await it.run()).summary.states == {State.SHARED: 9}
        assert is_right(it, 9)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_one_row_is_shared_and_revoked_in_every_dialect(tmp_path: Path, dialect: str) -> None:
    """A list of one may come as that one."""
    async with trial(tmp_path, Fault(CREATE, [1], DROPPED, applied=True), rows=1, dialect=dialect) as it:
        assert (await it.run()).summary.states == {State.SHARED: 1}
        assert is_right(it, 1)
        assert (await it.revoke()).summary.states == {State.REVOKED: 1}
        assert it.live() == 0


# ------------------------------------------------------------------------------------------------ missing APIs


@pytest.mark.parametrize("api", HELPERS)
@pytest.mark.parametrize("bulk", [False, True], ids=["one by one", "bulk"])
async def test_every_row_is_shared_without_any_one_of_the_other_apis(
    tmp_path: Path, api: str, *, bulk: bool
) -> None:
    lost = Fault(CREATE, [3], DROPPED, applied=True)
    async with trial(tmp_path, lost, rows=30, without=(api,)) as it:
        # Without reading a lead's activities what is lost is found among those of its type.
        ending = await it.run(bulk=bulk)
        assert (ending.error, ending.summary.states) == (None, {State.SHARED: 30})
        assert is_right(it, 30)
        assert ending.summary.unchecked == []


@pytest.mark.parametrize("api", HELPERS)
@pytest.mark.parametrize(
    ("lead", "needed"),
    [("Lead Number", "Leads.Get"), ("Lead Email", ""), ("Lead Phone", "")],
)
async def test_people_are_found_without_any_one_of_the_other_apis(
    tmp_path: Path, lead: str, needed: str, api: str
) -> None:
    async with trial(tmp_path, without=(api,)) as it:
        named(it, 5, lead, "User Email")
        ending = await it.run()
        if api == needed:
            assert ending.summary.states == {State.INVALID: 5}
            assert "could not be looked up: HTTP 404: No such API" in it.rows("reason")[0][0]
        else:
            assert ending.summary.states == {State.SHARED: 5}
            assert is_right(it, 5)


async def test_three_calls_are_enough(tmp_path: Path) -> None:
    async with trial(tmp_path, without=("helpers", "Revoke")) as it:
        ending = await it.run(trust_ids=True, trust_owner=True)
        assert (ending.error, ending.summary.states) == (None, {State.SHARED: 12})
        assert is_right(it, 12)
        assert [(each.cause, each.details["rows"]) for each in ending.summary.unchecked] == [
            ("ids", 12),
            ("owner", 0),
        ]
        assert [each["what"] for each in ending.summary.as_json()["unchecked"]] == ["ids", "owner"]
        called = {call["endpoint"] for call in it.sandbox.journal.since(0) if call["outcome"] == "done"}
        assert called == {CREATE, SHARE, STATUS}


async def test_ids_that_nobody_could_check_are_not_sent_unless_somebody_says_so(tmp_path: Path) -> None:
    async with trial(tmp_path, without=("helpers",)) as it:
        onlooker = Onlooker()
        ending = await it.run(onlooker, trust_owner=True)
        assert ending.summary.states == {State.INVALID: 12}
        assert "--trust-ids uses them as they are" in it.rows("reason")[0][0]
        assert it.sent(CREATE) == []
        [doubt] = onlooker.doubts
        assert "whether the Ids of 12 rows are right" in doubt.reported[0]
        # Asked again, somebody is sure; what was answered once is kept, whoever runs it then.
        ending = await it.run(Onlooker(sure=True), trust_owner=True)
        assert ending.summary.states == {State.SHARED: 12}
        assert (await it.run(trust_owner=True)).summary.states == {State.SHARED: 12}
        assert is_right(it, 12)


async def test_rows_without_all_ids_are_invalid_and_the_others_go(tmp_path: Path) -> None:
    async with trial(tmp_path, without=("helpers",)) as it:
        rows = sheet_rows(3, it.sandbox.world)
        rows[1][1] = ""
        it.write(rows)
        ending = await it.run(trust_ids=True, trust_owner=True)
        assert ending.summary.states == {State.SHARED: 2, State.INVALID: 1}
        assert is_right(it, 2)


async def test_where_the_apis_come_back_nothing_stays_unchecked(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        there, gone = it.sandbox._handlers, NAMES["Leads"] | NAMES["Users"]
        it.sandbox._handlers = {place: handler for place, handler in there.items() if place[1] not in gone}
        assert (await it.run()).summary.states == {State.INVALID: 12}
        it.sandbox._handlers = there
        ending = await it.run()
        assert (ending.summary.states, ending.summary.unchecked) == ({State.SHARED: 12}, [])


async def test_lead_ids_alone_do_without_the_look_up_of_many(tmp_path: Path) -> None:
    async with trial(tmp_path, without=("ByIds",)) as it:
        named(it, 7, "Lead Id", "User Id")
        assert (await it.run()).summary.states == {State.SHARED: 7}
        assert len(it.sent(GET_BY_ID)) == 7


@pytest.mark.parametrize("api", ["Create", "Share", "Status"])
def test_only_one_of_the_three_stops_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: str) -> None:
    it = in_virtual_time(tmp_path, monkeypatch, options(without=(api,)), rows=20, wait=60.0)
    ending = run_virtually(it.run(workers=1))
    assert isinstance(ending.error, NoSuchApi)
    assert ending.error.path in NAMES[api]
    assert ending.summary.states.get(State.FAILED, 0) == ending.summary.states.get(State.UNKNOWN, 0) == 0
    assert ending.exit_code == 1


def test_a_missing_status_api_stops_the_next_run_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = in_virtual_time(tmp_path, monkeypatch, options(without=("Status",)), rows=6, wait=15.0)
    for job in (it.run, it.run, it.follow_up):
        ending = run_virtually(job())
        assert isinstance(ending.error, NoSuchApi)
        assert ending.exit_code == 1
        assert ending.summary.states == {State.ACCEPTED: 6}


def test_requests_that_are_forgotten_stop_no_run_where_a_status_was_read_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forgets(step: Step, call: SandboxCall) -> Reply:
        return Reply(404, b"") if is_over and call.endpoint == STATUS else await step(call)

    is_over = False
    it = in_virtual_time(tmp_path, monkeypatch, options(), forgets, rows=4)
    assert run_virtually(it.run()).summary.states == {State.SHARED: 4}
    it.write(sheet_rows(12, it.sandbox.world))
    run_virtually(it.run(follow_up=False))
    is_over = True
    ending = run_virtually(it.follow_up(wait=15.0))
    assert (ending.error, ending.summary.states) == (None, {State.SHARED: 4, State.ACCEPTED: 8})


# ------------------------------------------------------------------------------------------------ owners


@pytest.mark.parametrize("owners", ["id", "email", "name", "both"])
async def test_an_owner_is_the_same_person_in_whatever_way_it_is_shown(tmp_path: Path, owners: str) -> None:
    async with trial(tmp_path, Fault(CREATE, [3], DROPPED, applied=True), owners=owners) as it:
        ending = await it.run()
        assert (ending.error, ending.summary.states) == (None, {State.SHARED: 12})
        assert is_right(it, 12)


@pytest.mark.parametrize("owners", ["id", "email", "name", "both"])
async def test_an_owner_that_is_somebody_else_is_seen_in_whatever_way_it_is_shown(
    tmp_path: Path, owners: str
) -> None:
    async with trial(tmp_path, owners=owners, ignore_owner=True) as it:
        ending = await it.run()
        assert isinstance(ending.error, OwnerNotVerified)
        assert ending.error.is_anothers
        assert it.sent(SHARE) == []


async def test_an_owner_that_can_not_be_compared_is_said_to_be_so_and_can_be_trusted(tmp_path: Path) -> None:
    """Without a list of users nobody knows whether a name is one user's alone."""
    async with trial(tmp_path, owners="name", without=("Users.Get",)) as it:
        ending = await it.run()
        assert isinstance(ending.error, OwnerNotVerified)
        assert "which can't be compared" in str(ending.error)
        assert "--trust-owner" in str(ending.error)
        assert it.sent(SHARE) == []
        ending = await it.run(trust_owner=True)
        assert ending.summary.states == {State.SHARED: 12}
        assert [each.cause for each in ending.summary.unchecked] == ["owner"]
        assert is_right(it, 12)


@pytest.mark.parametrize("missing", [("Retrieve",), ("Retrieve", "GetActivityDetails")])
async def test_an_owner_is_read_by_whichever_api_there_is(tmp_path: Path, missing: tuple[str, ...]) -> None:
    async with trial(tmp_path, without=missing) as it:
        ending = await it.run()
        assert (ending.error, ending.summary.states) == (None, {State.SHARED: 12})
        assert ending.summary.unchecked == []


# ------------------------------------------------------------------------------------------------ contradictions


@pytest.mark.parametrize("kind", ["failed-with-id", "error-with-id", "applied-404", "404"])
@pytest.mark.parametrize("endpoint", [CREATE, SHARE], ids=["Create", "Share"])
async def test_what_an_answer_denies_that_can_not_be_is_looked_up_and_done_once(
    tmp_path: Path, endpoint: str, kind: str
) -> None:
    async with trial(tmp_path, Fault(endpoint, [4, 7], partial(strike, kind, Particulars(FAST)))) as it:
        ending = await it.run()
        assert (ending.error, ending.summary.states) == (None, {State.SHARED: 12})
        assert is_right(it, 12)


async def test_a_request_id_that_another_row_has_is_no_answer(tmp_path: Path) -> None:
    async with trial(tmp_path, one_request_id=True, rows=3) as it:
        ending = await it.run()
        assert (ending.summary.states, ending.exit_code) == ({State.SHARED: 1, State.UNKNOWN: 2}, 4)
        ending = await it.run()  # now the first row's Id is known from the ledger alone
        assert (ending.summary.states, ending.exit_code) == ({State.SHARED: 1, State.UNKNOWN: 2}, 4)


# ------------------------------------------------------------------------------------------------ whole lists


@pytest.mark.parametrize("of_one_lead", [1, 30, 130])
@pytest.mark.parametrize("paging", ["usual", "ignored", "oldest-first", "page-count"])
async def test_no_list_makes_an_activity_look_absent(tmp_path: Path, paging: str, of_one_lead: int) -> None:
    """One lead, whose activities of the type are many: a list that is not whole proves nothing."""
    async with trial(tmp_path, paging=paging, rows=0, without=("RetrieveByActivityEvent",)) as it:
        lead, users = it.sandbox.world.leads[0], [user for user in it.sandbox.world.users if user.active]
        for at in range(of_one_lead):
            it.sandbox.account.post(lead, 201, f"old {at}", users[0], {}, None)
        rows = [[lead.id, str(lead.number), user.id, "read", "7d", "201"] for user in users[:6]]
        it.write(rows)
        struck: Any = Fault(CREATE, [2, 4], DROPPED, applied=True)
        ending = await _with(it, struck)
        assert len(it.sandbox.account.activities) == of_one_lead + 6
        left = ending.summary.states.get(State.UNKNOWN, 0)
        assert ending.summary.states == {State.SHARED: 6 - left} | ({State.UNKNOWN: left} if left else {})
        assert not left or paging == "ignored"


async def _with(it: Trial, fault: Fault) -> Any:
    """Run with a fault that is there from now on."""
    step = it.sandbox._step

    async def hit(call: SandboxCall) -> Reply:
        return await fault(step, call)

    it.sandbox._step = hit
    return await it.run()


async def test_no_api_that_shows_no_note_proves_an_absence(tmp_path: Path) -> None:
    """The owner is read where notes are shown; what was lost is looked for where none are."""

    async def without_notes(step: Step, call: SandboxCall) -> Reply:
        reply = await step(call)
        if call.endpoint != OF_LEAD:
            return reply
        return replace(reply, body=b'{"RecordCount":0,"ProspectActivities":[]}')

    lost = Fault(CREATE, [4], DROPPED, applied=True)
    async with trial(tmp_path, without_notes, lost) as it:
        ending = await it.run()
        assert ending.summary.states == {State.SHARED: 11, State.UNKNOWN: 1}
        assert len(it.sandbox.account.activities) == 12


@pytest.mark.parametrize("reported", [None, "page"])
@pytest.mark.parametrize("size", [1, 10, 20])
async def test_a_page_that_is_shorter_than_was_asked_for_is_not_the_last(
    tmp_path: Path, size: int, reported: str | None
) -> None:
    async def short(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint != OF_LEAD:
            return await step(call)
        body = json.loads(call.body)
        body["Paging"]["RowCount"] = str(size)
        call.body = json.dumps(body).encode()
        reply = await step(call)
        page = json.loads(reply.body)
        page["RecordCount"] = len(page["ProspectActivities"]) if reported else None
        return replace(reply, body=json.dumps(page).encode())

    lost = Fault(CREATE, [2, 4], DROPPED, applied=True)
    async with trial(tmp_path, short, lost, rows=6, paging="oldest-first") as it:
        lead, users = it.sandbox.world.leads[0], [user for user in it.sandbox.world.users if user.active]
        for at in range(18):
            it.sandbox.account.post(lead, 201, f"old {at}", users[0], {}, None)
        it.write([[lead.id, str(lead.number), user.id, "read", "7d", "201"] for user in users[:6]])
        ending = await it.run()
        assert len(it.sandbox.account.activities) == 18 + 6
        assert set(ending.summary.states) <= {State.SHARED, State.UNKNOWN}
        assert size == 1 or ending.summary.states == {State.SHARED: 6}


async def test_ids_that_were_trusted_are_no_more_once_nobody_says_so(tmp_path: Path) -> None:
    async with trial(tmp_path, without=("helpers",), rows=6) as it:
        await it.run(Refuses(), trust_ids=True, trust_owner=True)
        ending = await it.run(trust_owner=True)
        assert (ending.summary.states, ending.summary.unchecked) == ({State.INVALID: 6}, [])
        assert it.sent(CREATE) == []
        assert (await it.run(trust_ids=True, trust_owner=True)).summary.states == {State.SHARED: 6}
        it.write(sheet_rows(7, it.sandbox.world))
        onlooker = Onlooker()
        # What was shared stays so, in its place; only of the new row it is to be said.
        ending = await it.run(onlooker, trust_owner=True)
        assert ending.summary.states == {State.SHARED: 6, State.INVALID: 1}
        assert "of 1 row" in onlooker.doubts[0].reported[0]
        assert [position for (position,) in it.rows("position")] == [*range(7)]


async def test_an_outage_of_all_look_ups_makes_no_row_invalid(tmp_path: Path) -> None:
    async def away(step: Step, call: SandboxCall) -> Reply:
        there = call.endpoint not in NAMES["Leads"] | NAMES["Users"]
        return await step(call) if there else Reply(503, b"")

    async with trial(tmp_path, away) as it:
        ending = await it.run()
        assert isinstance(ending.error, NotAnswered)
        assert "No look-up of leads or users was properly answered (" in str(ending.error)
        assert "no such APIs, with Ids in the sheet and --trust-ids" in str(ending.error)
        assert (ending.summary.rows, it.sent(CREATE)) == (0, [])


@pytest.mark.parametrize(
    "reply", [DROPPED, Reply(405, b""), Reply(501, b"<h1>Unsupported</h1>"), Reply(500, b"oops")]
)
async def test_ids_that_are_trusted_need_no_api_but_the_three(tmp_path: Path, reply: Reply) -> None:
    async def few(step: Step, call: SandboxCall) -> Reply:
        return reply if call.endpoint in NAMES["helpers"] else await step(call)

    async with trial(tmp_path, few, rows=3) as it:
        ending = await it.run(trust_ids=True, trust_owner=True)
        assert ending.summary.states == {State.SHARED: 3}


@pytest.mark.parametrize("reply", [Reply(404, b"<h1>Not found</h1>"), Reply(405, b""), Reply(501, b"Unsupported")])
async def test_a_server_that_is_not_leadsquared_is_told_as_that_and_no_row_as_wrong(
    tmp_path: Path, reply: Reply
) -> None:
    async def another(step: Step, call: SandboxCall) -> Reply:
        return reply

    async with trial(tmp_path, another, rows=3) as it:
        ending = await it.run()
        assert isinstance(ending.error, NoSuchApi)
        assert "Check that the host is your region's" in str(ending.error)
        assert (ending.summary.rows, it.sent(CREATE)) == (0, [])
        with pytest.raises(NoSuchApi):
            await show_sheet(it.folder / "leads.csv", SheetOptions(), it.settings(), Onlooker())


def test_apis_that_never_answer_hold_up_no_run_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def mute(step: Step, call: SandboxCall) -> Reply:
        return Reply(200, b"", silent=True) if call.endpoint in NAMES["helpers"] else await step(call)

    async def lasting() -> tuple[Ending, float]:
        ending = await it.run(trust_ids=True, trust_owner=True)
        assert is_right(it, 12)
        return ending, asyncio.get_running_loop().time()

    it = in_virtual_time(tmp_path, monkeypatch, options(), mute, rows=12, answer_timeout=60.0)
    ending, seconds = run_virtually(lasting())
    assert ending.summary.states == {State.SHARED: 12}
    assert seconds < 14 * 60.0  # whose keys they are, in one try; the first one thrice; each of eight others; again


@pytest.mark.parametrize("owner", ["GetActivityDetails", "RetrieveByActivityEvent"])
def test_the_owner_is_checked_by_the_api_that_is_not_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str
) -> None:
    async def mute(step: Step, call: SandboxCall) -> Reply:
        is_other = call.endpoint.startswith("ProspectActivity.svc/") and call.endpoint not in NAMES[owner]
        is_read = call.endpoint in NAMES["helpers"]
        return Reply(200, b"", silent=True) if is_other and is_read else await step(call)

    it = in_virtual_time(tmp_path, monkeypatch, options(), mute, rows=12, answer_timeout=60.0)
    ending = run_virtually(it.run())
    assert (ending.error, ending.summary.states, ending.summary.unchecked) == (None, {State.SHARED: 12}, [])


async def test_rows_whose_people_nobody_can_tell_of_are_not_said_to_be_wrong(tmp_path: Path) -> None:
    async with trial(tmp_path, without=("helpers",)) as it:
        named(it, 2, "Lead Email", "User Email")
        ending = await it.run()
        assert (ending.summary.states, ending.summary.untold) == ({State.INVALID: 2}, 2)
        (step,) = next_steps(ending.summary)
        assert step.words == "LeadSquared did not tell whom 2 rows name; to ask again"


async def test_ids_that_are_trusted_are_sent_nowhere_in_an_outage(tmp_path: Path) -> None:
    async def away(step: Step, call: SandboxCall) -> Reply:
        return Reply(503, b"")

    async with trial(tmp_path, away, rows=3) as it:
        ending = await it.run(trust_ids=True, trust_owner=True)
        assert isinstance(ending.error, NotAnswered)
        assert it.sent(CREATE) == []


async def test_leads_that_the_look_up_of_many_leaves_out_are_asked_for_alone(tmp_path: Path) -> None:
    async def clamped(step: Step, call: SandboxCall) -> Reply:
        reply = await step(call)
        if not call.endpoint.endswith("ByIds"):
            return reply
        page = json.loads(reply.body)
        return replace(reply, body=json.dumps({**page, "Leads": page["Leads"][:3]}).encode())

    async with trial(tmp_path, clamped) as it:
        assert (await it.run()).summary.states == {State.SHARED: 12}


async def test_an_address_that_changed_is_still_their_own(tmp_path: Path) -> None:
    async def renamed(step: Step, call: SandboxCall) -> Reply:
        reply = await step(call)
        return replace(reply, body=reply.body.replace(b"@sales.", b"@new.")) if changed else reply

    changed: list[bool] = []
    async with trial(tmp_path, renamed, owners="email", rows=6) as it:
        await it.run()
        changed.append(True)
        it.write(sheet_rows(9, it.sandbox.world))
        ending = await it.run()
        assert (ending.error, ending.summary.states) == (None, {State.SHARED: 9})


async def test_an_address_that_several_have_is_nobodys(tmp_path: Path) -> None:
    async def one_for_all(step: Step, call: SandboxCall) -> Reply:
        reply = await step(call)
        return replace(reply, body=re.sub(rb"[a-z0-9.]+@sales", b"team@sales", reply.body))

    async with trial(tmp_path, one_for_all, owners="email", ignore_owner=True, rows=6) as it:
        ending = await it.run()
        assert isinstance(ending.error, OwnerNotVerified)
        assert "can't be compared" in str(ending.error)
        assert it.sent(SHARE) == []


async def test_requests_that_are_forgotten_stop_no_run(tmp_path: Path) -> None:
    async def forgets(step: Step, call: SandboxCall) -> Reply:
        return Reply(404, b"") if call.query.get("id") in old else await step(call)

    old: set[str] = set()
    async with trial(tmp_path, forgets, rows=4) as it:
        await it.run(follow_up=False)
        old |= {request for (request,) in it.rows("request_id")}
        it.write(sheet_rows(9, it.sandbox.world))
        ending = await it.run()
        assert (ending.error, ending.summary.states) == (None, {State.ACCEPTED: 4, State.SHARED: 5})


async def test_without_revoke_what_takes_nothing_back_is_shared(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=4, without=("Revoke",)) as it:
        await it.run()
        ending = await it.revoke()
        assert ending.error is None
        assert ending.summary.states == {State.FAILED: 4}
        assert "the share still stands" in it.rows("reason")[0][0]
