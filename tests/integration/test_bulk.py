"""Runs in bulk: many rows to a call, each with its own ending, whatever a call for many does or does not say."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from invariants import check_all_shared, check_never_twice
from trial import (
    BULK,
    CREATE,
    FAST,
    OF_LEAD,
    SHARE,
    STATUS,
    Onlooker,
    Trial,
    altogether,
    answer,
    ask_to_stop,
    envelope,
    options,
    sheet_rows,
    trial,
)
from virtual_time import run_virtually
from virtual_trial import in_virtual_time

from batch_share.common import Rate
from batch_share.errors import NotAnswered, OwnerNotVerified, SettingsError
from batch_share.leadsquared.account import Account
from batch_share.ledger.states import State
from batch_share.sandbox import World
from batch_share.sandbox.faults import KINDS, Particulars, strike
from batch_share.sandbox.sheets import active_users
from batch_share.sending.session import Stop

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from trial import Step, Wrapper

    from batch_share.jobs.job import Ending
    from batch_share.sandbox.wire import Reply, SandboxCall

ROWS = 60
USERS = "UserManagement.svc/Users.Get"
QUICK = Particulars(FAST, retry_after=0.02, away=0.05, drip=0.05)
OF_BULK = sorted(name for name, kind in KINDS.items() if kind.of == frozenset({BULK}))
UNMATCHED = sorted({*OF_BULK} - {"shuffled", "unnumbered", "applied-500-mx"})
APPLIED = sorted(name for name in KINDS if name.startswith("applied-") and name not in OF_BULK)
OPEN = [name.removeprefix("applied-") for name in APPLIED]
UNCLEAR = [*OPEN, *APPLIED, "applied-500-mx", *UNMATCHED, "500-mx", "failed"]
"""Faults after which nobody knows of some rows of a bulk call whether they were posted."""


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait of the program's own is longer than a moment."""
    sleep = Stop.sleep

    async def briefly(stop: Stop, seconds: float) -> None:
        await sleep(stop, min(seconds, 0.06))

    monkeypatch.setattr(Stop, "sleep", briefly)


@dataclass(slots=True)
class Strike:
    """Lets `kind` hit the n-th call of `endpoint` that is for several rows."""

    endpoint: str
    kind: str
    number: int = 1
    seen: int = 0

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        """A wrapper of the sandbox."""
        if call.endpoint == self.endpoint and len(json.loads(call.body)) > 1:
            self.seen += 1
            if self.seen == self.number:
                return await strike(self.kind, QUICK, step, call)
        return await step(call)


@dataclass(slots=True)
class Refuses:
    """Refuses share calls that have this lead in them; as a whole, as LeadSquared may."""

    lead: str

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        """A wrapper of the sandbox."""
        if call.endpoint == SHARE and self.lead in [item["EntityId"] for item in json.loads(call.body)]:
            call.outcome = "refused"
            return envelope(500, "This lead can't be shared")
        return await step(call)


@dataclass(slots=True)
class RefusesItem:
    """Refuses one lead's item of a bulk call, in the given words, and posts the others; `times` as often."""

    lead: str
    words: str
    kind: str = "MXInvalidInputException"
    times: int = 1000

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        """A wrapper of the sandbox."""
        items = json.loads(call.body) if call.endpoint == BULK else []
        leads = [item["RelatedProspectId"] for item in items]
        if self.lead not in leads or not self.times:
            return await step(call)
        self.times -= 1
        at = leads.index(self.lead)
        call.body = json.dumps([item for item in items if item is not items[at]]).encode()
        rows = json.loads((await step(call)).body)["Response"] if len(items) > 1 else []
        refused = {"ActivityCreated": False, "ExceptionType": self.kind, "ExceptionMessage": self.words}
        rows[at:at] = [refused]
        return answer(200, json.dumps({"Response": [row | {"RowNumber": n} for n, row in enumerate(rows, 1)]}))


NOBODY = active_users(World(seed=1, leads=70, users=7))[1].id


@dataclass(slots=True)
class WithoutAddress:
    """Tells no e-mail address of one user."""

    user: str

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        """A wrapper of the sandbox."""
        reply = await step(call)
        if call.endpoint != USERS:
            return reply
        users = [
            user | ({"EmailAddress": ""} if user["ID"] == self.user else {}) for user in json.loads(reply.body)
        ]
        return replace(reply, body=json.dumps(users).encode())


@dataclass(slots=True)
class Hold:
    """Holds activities that are posted by themselves back until so many bulk calls were made.

    How many rows go in the slots between bulk calls depends on the machine: one that is answered late leaves the
    next one nothing. What a test has to say of bulk calls must not. (The first activity proves the form before any
    bulk call is made, and so is not held.)
    """

    bulk_calls: int
    seen: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        """A wrapper of the sandbox."""
        if call.endpoint == BULK:
            self.seen += 1
            if self.seen == self.bulk_calls:
                self.over.set()
        elif call.endpoint == CREATE and self.seen:
            await self.over.wait()
        return await step(call)


def bulk_trial(folder: Path, *faults: Wrapper, **changes: Any) -> AbstractAsyncContextManager[Trial]:
    """A trial of sixty rows."""
    return trial(folder, *faults, **{"rows": ROWS, "leads": 70, "users": 7} | changes)


def virtual_bulk_trial(folder: Path, monkeypatch: pytest.MonkeyPatch, *faults: Wrapper, **changes: Any) -> Trial:
    """The same in virtual time: for what hangs on how long a share call waits for more rows."""
    reported = options(leads=80, users=7, latency=0.005, **changes)
    return in_virtual_time(folder, monkeypatch, reported, *faults, rows=ROWS)


async def run(it: Trial, onlooker: Onlooker | None = None, **changes: Any) -> Ending:
    """Run in bulk, bulk calls one after the other, and with few workers, so that most rows go in bulk."""
    return await it.run(onlooker, **{"bulk": True, "bulk_rate": Rate(2, 0.05), "workers": 2} | changes)


async def run_to_all_shared(it: Trial) -> Ending:
    """Run in bulk; every row once."""
    ending = await run(it)
    all_shared(it)
    return ending


def sizes(it: Trial, endpoint: str) -> list[int]:
    """How many rows the calls of an endpoint that did something were for."""
    return [len(call["lead"].split(",")) for call in it.sent(endpoint) if call["outcome"] == "done"]


def all_shared(it: Trial, rows: int = ROWS) -> None:
    """Every row once."""
    check_all_shared(it, sheet_rows(rows, it.sandbox.world))


# ------------------------------------------------------------------------------------------ as it should be


async def test_many_rows_go_in_a_call(tmp_path: Path) -> None:
    async with bulk_trial(tmp_path, Hold(bulk_calls=4)) as it:
        ending = await run(it)
        assert (ending.error, [*ending.remarks]) == (None, [])
        all_shared(it)
        assert max(sizes(it, BULK)) == max(sizes(it, SHARE)) == 25
        assert sum(sizes(it, BULK)) > ROWS / 2
        assert sum(sizes(it, SHARE)) == ROWS
        assert len(it.sent(STATUS)) == len(sizes(it, SHARE)) < 8
        requests = it.query("SELECT count(*) FROM rows GROUP BY request_id")
        assert sorted(count for (count,) in requests) == sorted(sizes(it, SHARE))


async def test_each_form_is_proved_before_many_rows_go_out(tmp_path: Path) -> None:
    async with bulk_trial(tmp_path) as it:
        await run(it)
        calls = [call["endpoint"] for call in it.sandbox.journal.since(0)]
        steps = [endpoint for endpoint in calls if endpoint in {BULK, CREATE, OF_LEAD}]
        assert steps[:4] == [CREATE, OF_LEAD, BULK, OF_LEAD]
        assert sizes(it, BULK)[0] == 1


async def test_an_owner_that_a_bulk_call_does_not_give_stops_the_run_at_one_activity(tmp_path: Path) -> None:
    async def ignoring(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == BULK:
            call.body = call.body.replace(b"ActivityOwnerEmail", b"SomethingElse")
        return await step(call)

    async with bulk_trial(tmp_path, ignoring) as it:
        ending = await run(it)
        assert isinstance(ending.error, OwnerNotVerified)
        assert sizes(it, BULK) == sizes(it, CREATE) == [1]
        assert sizes(it, SHARE) == []


async def no_owner_for_singles(step: Step, call: SandboxCall) -> Reply:
    """An account whose Create ignores the owner, which no page promises; bulk calls are documented to take one."""
    if call.endpoint == CREATE:
        call.body = json.dumps(json.loads(call.body) | {"Fields": []}).encode()
    return await step(call)


async def test_where_single_activities_get_no_owner_all_rows_go_in_bulk_calls(tmp_path: Path) -> None:
    lost = Strike(BULK, "reset")
    async with bulk_trial(tmp_path, no_owner_for_singles, lost) as it:
        ending = await run(it)
        assert ending.summary.states == {State.SHARED: ROWS - 1, State.FAILED: 1}
        assert ending.looked_up == {"absent": 25}
        ((reason,),) = it.query("SELECT reason FROM rows WHERE state = 'failed'")
        assert "its owner is" in reason
        (remark,) = ending.remarks
        assert remark.startswith("Activities posted by themselves do not get their user as owner here")
        assert account(it).ignores_owner
        assert len(it.sent(CREATE)) == 1, "no other row was risked"
        it.write(sheet_rows(70, it.sandbox.world)[ROWS:])
        assert altogether((await run(it)).summary) == {State.SHARED: 69, State.FAILED: 1}
        assert len(it.sent(CREATE)) == 1, "it is remembered"
        check_never_twice(it)


async def test_an_owner_that_is_not_shown_is_not_taken_for_an_ignored_one(tmp_path: Path) -> None:
    async with bulk_trial(tmp_path, hide_owner=True) as it:
        ending = await run(it)
        assert isinstance(ending.error, OwnerNotVerified)
        assert ending.error.found == ""
        assert ending.summary.states == {State.POSTED: 1, State.PENDING: ROWS - 1}
        assert (it.sent(BULK), it.sent(SHARE), [*ending.remarks]) == ([], [], [])
        assert not account(it).ignores_owner


async def test_where_no_call_gives_an_owner_one_activity_is_risked_and_nothing_shared(tmp_path: Path) -> None:
    """Activities posted by themselves get none, and bulk calls are refused."""
    async with bulk_trial(tmp_path, no_owner_for_singles, refuse=(BULK,)) as it:
        for failed in (1, 2):
            ending = await run(it)
            assert isinstance(ending.error, OwnerNotVerified)
            assert ending.error.found == it.sandbox.world.key_user.id
            assert ending.summary.states[State.FAILED] == failed
            assert (len(it.sent(CREATE)), sizes(it, BULK), it.sent(SHARE)) == (failed, [], [])


async def test_where_bulk_calls_alone_give_an_owner_no_canary_is_posted(tmp_path: Path) -> None:
    """It would go one by one, each row to the keys' own user."""
    async with bulk_trial(tmp_path, no_owner_for_singles) as it:
        await run(it)
        sent = len(it.sent(CREATE)), len(it.sent(BULK))
        it.write(sheet_rows(70, it.sandbox.world))
        ending = await run(it, canary=ROWS + 1)  # two more than are shared
        assert isinstance(ending.error, SettingsError)
        assert ending.error.setting == "canary"
        assert ending.summary.states == {State.SHARED: ROWS - 1, State.FAILED: 1, State.PENDING: 10}
        assert (len(it.sent(CREATE)), len(it.sent(BULK))) == sent
        assert (await run(it)).summary.states == {State.SHARED: 69, State.FAILED: 1}


async def test_a_row_that_can_get_its_owner_in_no_way_fails_and_nothing_is_sent_for_it(tmp_path: Path) -> None:
    async with bulk_trial(tmp_path, no_owner_for_singles, WithoutAddress(NOBODY)) as it:
        ending = await run(it)
        rows = it.query(f"SELECT state, reason FROM rows WHERE user_id = '{NOBODY}'")
        assert {state for state, _ in rows} == {"failed"}
        assert len([reason for _, reason in rows if "its user has no e-mail address" in reason]) >= 11
        assert ending.summary.states[State.SHARED] >= ROWS - 13
        assert len(it.sent(CREATE)) == 1
        check_never_twice(it)


async def test_a_row_that_could_get_its_owner_in_no_way_fails_at_once_and_goes_when_it_is_tried_again(
    tmp_path: Path,
) -> None:
    """By itself none got its owner in an earlier run, and bulk calls, which are refused by now, need an address."""
    async with bulk_trial(tmp_path, WithoutAddress(NOBODY), refuse=(BULK,)) as it:
        one, nobodys, *others = sheet_rows(7, it.sandbox.world)
        assert nobodys[2] == NOBODY
        it.write([one])
        await run(it)
        remember_that_owners_are_ignored(it)
        it.write([nobodys, *(row for row in others if row[2] != NOBODY)])
        assert (await run(it)).summary.states == {State.FAILED: 1, State.SHARED: 4}
        ((lead, reason),) = it.query("SELECT lead_id, reason FROM rows WHERE state = 'failed'")
        assert (lead, "its user has no e-mail address" in reason) == (nobodys[0], True)
        assert lead not in it.leads_sent()
        assert (await it.retry(bulk=True)).summary.states == {State.SHARED: 5}
        check_never_twice(it)


async def test_a_single_activity_that_gets_its_owner_ends_the_remembering(tmp_path: Path) -> None:
    async with bulk_trial(tmp_path) as it:
        faulty = await run(it)
        assert faulty.error is None
        remember_that_owners_are_ignored(it)
        it.write(sheet_rows(70, it.sandbox.world))
        assert (await it.run()).error is None
        assert not account(it).ignores_owner


def remember_that_owners_are_ignored(it: Trial) -> None:
    """An earlier run saw that activities posted by themselves do not get their owner."""
    (file,) = (it.folder / "state").glob("*.account")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"ignores_owner": True}))


async def test_where_bulk_calls_are_refused_single_ones_are_tried_again(tmp_path: Path) -> None:
    """They did not get their owner in an earlier run, and do by now."""
    async with bulk_trial(tmp_path, refuse=(BULK,)) as it:
        it.write(sheet_rows(1, it.sandbox.world))
        assert (await it.run()).error is None
        remember_that_owners_are_ignored(it)
        it.write(sheet_rows(ROWS, it.sandbox.world))
        ending = await run(it)
        assert (ending.error, len(it.sent(BULK)), account(it).ignores_owner) == (None, 3, False)
        all_shared(it)


async def test_rows_that_go_by_themselves_go_in_bulk_calls_where_those_alone_give_an_owner(tmp_path: Path) -> None:
    """All were sent before by a run that was cut off, so each has a call of its own, the first looked at."""
    async with bulk_trial(tmp_path, no_owner_for_singles, Strike(BULK, "reset")) as it:
        await run(it, on_unknown="park")
        lost = it.query("SELECT lead_id FROM rows WHERE state = 'unknown'")
        assert len(lost) == 25
        before, reads = len(it.sent(BULK)), len(it.sent(OF_LEAD))
        assert (await it.reconcile(bulk=True, bulk_rate=Rate(2, 0.05))).summary.states == {
            State.SHARED: ROWS - 1,
            State.FAILED: 1,
        }
        assert sorted(call["lead"] for call in it.sent(BULK)[before:]) == sorted(lead for (lead,) in lost)
        assert len(it.sent(OF_LEAD)) > reads
        assert len(it.sent(CREATE)) == 1, "no other row was risked"
        check_never_twice(it)


async def test_a_type_whose_bulk_calls_are_refused_goes_one_by_one_beside_one_that_does_not(tmp_path: Path) -> None:
    refused: list[SandboxCall] = []
    are_refused = asyncio.Event()

    async def refuses_202(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == BULK and {item["ActivityEvent"] for item in json.loads(call.body)} == {202}:
            refused.append(call)
            if len(refused) == 3:
                are_refused.set()
            return envelope(400, "Not in bulk")
        if call.endpoint == CREATE and refused:  # else all might go by themselves meanwhile
            await are_refused.wait()
        return await step(call)

    async with bulk_trial(tmp_path, refuses_202) as it:
        rows = sheet_rows(ROWS, it.sandbox.world)
        it.write([[*row[:5], ("201", "202")[at % 2]] for at, row in enumerate(rows)])
        ending = await run(it)
        assert ending.error is None
        assert [remark.rpartition(": ")[2] for remark in ending.remarks] == ["Not in bulk"]
        assert {state for (state,) in it.rows("state")} == {"shared"}
        assert len(refused) == 3
        check_never_twice(it)


async def test_a_row_that_is_refused_in_every_way_fails(tmp_path: Path) -> None:
    refused: list[str] = []

    async def refuses_ones(step: Step, call: SandboxCall) -> Reply:
        items = json.loads(call.body) if call.endpoint == BULK else []
        if len(items) == 1 and len(it.sent(BULK)) > 2:
            refused.append(items[0]["RelatedProspectId"])
            call.outcome = "refused"
            return envelope(500, "Not this one")
        return await step(call)

    async with bulk_trial(tmp_path, no_owner_for_singles, Strike(BULK, "reset"), refuses_ones) as it:
        ending = await run(it)
        reasons = it.query("SELECT reason FROM rows WHERE state = 'failed' AND reason LIKE '%Not this one'")
        assert len(reasons) == len(refused) == 25
        assert ending.summary.states == {State.SHARED: ROWS - 26, State.FAILED: 26}
        check_never_twice(it)


async def test_a_second_run_has_nothing_to_send(tmp_path: Path) -> None:
    async with bulk_trial(tmp_path) as it:
        await run(it)
        before = len(it.sent(BULK)), len(it.sent(CREATE)), len(it.sent(SHARE))
        assert (await run(it)).error is None
        assert (len(it.sent(BULK)), len(it.sent(CREATE)), len(it.sent(SHARE))) == before


async def test_a_run_that_was_stopped_goes_on_in_bulk_or_one_by_one(tmp_path: Path) -> None:
    onlooker = Onlooker()

    async def stopping(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == BULK and len(it.sent(BULK)) == 3:
            ask_to_stop(onlooker)
        return await step(call)

    async with bulk_trial(tmp_path, Hold(bulk_calls=3), stopping) as it:
        ending = await run(it, onlooker, bulk_rate=Rate(1, 0.05))
        assert ending.interrupted
        assert ending.summary.states[State.POSTED] > 0
        check_never_twice(it)
        assert (await it.run()).error is None
        all_shared(it)


async def test_two_activity_types_are_proved_each_and_go_together(tmp_path: Path) -> None:
    async with bulk_trial(tmp_path, Hold(bulk_calls=3)) as it:
        rows = sheet_rows(ROWS, it.sandbox.world)
        it.write([[*row[:5], ("201", "202")[at % 2]] for at, row in enumerate(rows)])
        assert (await run(it)).error is None
        assert {state for (state,) in it.rows("state")} == {"shared"}
        assert [size for size in sizes(it, BULK) if size == 1][:2] == [1, 1]
        together = [call for call in it.sent(BULK) if "," in call["lead"]]
        assert together


# ------------------------------------------------------------------------------------------ owners by address


async def test_a_user_whose_address_is_not_theirs_alone_gets_no_activity_in_bulk(tmp_path: Path) -> None:
    async def two_with_one_address(step: Step, call: SandboxCall) -> Reply:
        reply = await step(call)
        if call.endpoint != USERS:
            return reply
        users = json.loads(reply.body)
        users[1]["EmailAddress"] = users[0]["EmailAddress"].upper()
        users[2]["EmailAddress"] = ""
        return replace(reply, body=json.dumps(users).encode())

    async with bulk_trial(tmp_path, two_with_one_address, Hold(bulk_calls=2)) as it:
        assert (await run(it)).error is None
        all_shared(it)
        doubtful = {user.id for user in it.sandbox.world.users[:3]}
        owners = {row[0]: row[1] for row in it.rows("lead_id", "user_id")}
        in_bulk = {owners[lead] for call in it.sent(BULK) for lead in call["lead"].split(",")}
        assert in_bulk
        assert not in_bulk & doubtful


async def test_users_whom_the_list_leaves_out_are_asked_for(tmp_path: Path) -> None:
    async with bulk_trial(tmp_path, Hold(bulk_calls=3), listed_users=1) as it:
        assert (await run(it)).error is None
        all_shared(it)
        assert sum(sizes(it, BULK)) > ROWS / 2


def test_without_any_address_rows_go_one_by_one_and_are_shared_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(step: Step, call: SandboxCall) -> Reply:
        reply = await step(call)
        if call.endpoint != USERS:
            return reply
        users = [user | {"EmailAddress": ""} for user in json.loads(reply.body)]
        return replace(reply, body=json.dumps(users).encode())

    it = virtual_bulk_trial(tmp_path, monkeypatch, nobody)
    assert run_virtually(run_to_all_shared(it)).error is None
    assert sizes(it, BULK) == []
    assert len(sizes(it, SHARE)) < ROWS / 2


# ------------------------------------------------------------------------------------------ bulk calls


async def test_an_item_that_was_refused_is_its_rows_failure_alone(tmp_path: Path) -> None:
    refuses = RefusesItem("", "Field mx_Custom_1 is mandatory")
    async with bulk_trial(tmp_path, refuses, Hold(bulk_calls=3)) as it:
        refuses.lead = it.sandbox.world.leads[40].id
        ending = await run(it, workers=1)
        assert ending.summary.states == {State.SHARED: ROWS - 1, State.FAILED: 1}
        ((lead, stage, reason),) = it.query("SELECT lead_id, stage, reason FROM rows WHERE state = 'failed'")
        assert (lead, stage) == (refuses.lead, "activity")
        assert reason == "LeadSquared refused the activity: Field mx_Custom_1 is mandatory"
        check_never_twice(it)


async def test_an_item_that_was_one_too_many_is_sent_again(tmp_path: Path) -> None:
    refuses = RefusesItem("", "Too many calls", "MXAPIRateLimitExceededException", times=1)
    async with bulk_trial(tmp_path, refuses, Hold(bulk_calls=3)) as it:
        refuses.lead = it.sandbox.world.leads[40].id
        ending = await run(it, workers=1, bulk_rate=Rate(10, 0.05))
        assert ending.error is None
        assert refuses.times == 0
        all_shared(it)


@pytest.mark.parametrize("kind", UNCLEAR)
async def test_rows_of_which_a_bulk_call_says_nothing_plain_are_looked_up(tmp_path: Path, kind: str) -> None:
    async with bulk_trial(tmp_path, Strike(BULK, kind)) as it:
        ending = await run(it, answer_timeout=1.0 if kind.endswith("silent") else 30.0)
        assert ending.error is None
        all_shared(it)
        unclear = 1 if kind == "unsaid" else 25
        became = "absent" if kind in {*OPEN, "500-mx", "failed"} else "found"
        assert ending.looked_up.get(became, 0) >= unclear
        if not kind.endswith("refused"):  # nobody gets a connection for a while, another bulk call neither
            assert ending.looked_up == {became: unclear}


@pytest.mark.parametrize("kind", ["shuffled", "unnumbered", "wrong-type", "slow"])
async def test_a_right_answer_in_another_form_is_an_answer(tmp_path: Path, kind: str) -> None:
    async with bulk_trial(tmp_path, Strike(BULK, kind)) as it:
        ending = await run(it)
        assert (ending.error, ending.looked_up) == (None, {})
        all_shared(it)


async def test_a_bulk_call_whose_body_was_refused_did_nothing_and_its_rows_go_alone(tmp_path: Path) -> None:
    async with bulk_trial(tmp_path, Strike(BULK, "400")) as it:
        ending = await run(it)
        assert (ending.error, ending.looked_up) == (None, {})
        all_shared(it)
        assert len(sizes(it, CREATE)) > 25


@pytest.mark.parametrize("kind", ["429", "throttle-200", "429-retry-after"])
@pytest.mark.parametrize("endpoint", [BULK, SHARE])
async def test_a_throttled_call_is_made_again(tmp_path: Path, endpoint: str, kind: str) -> None:
    async with bulk_trial(tmp_path, Strike(endpoint, kind)) as it:
        ending = await run(it)
        assert (ending.error, ending.looked_up) == (None, {})
        all_shared(it)
        assert [call["outcome"] for call in it.sent(endpoint)].count("refused") == 1


def test_an_account_without_bulk_calls_is_named_and_served_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = virtual_bulk_trial(tmp_path, monkeypatch, refuse=(BULK,))
    ending = run_virtually(run_to_all_shared(it))
    assert ending.error is None
    (remark,) = ending.remarks
    assert remark.startswith("LeadSquared refuses bulk calls, so activities were posted one by one: ")
    assert len(it.sent(BULK)) == 3
    assert len(sizes(it, SHARE)) < ROWS / 2


async def test_ten_lost_answers_in_a_row_stop_a_run_in_bulk_too(tmp_path: Path) -> None:
    async with bulk_trial(tmp_path, faults="Bulk:applied-502=100%") as it:
        it.write(sheet_rows(ROWS, it.sandbox.world))
        ending = await run(it)
        assert isinstance(ending.error, NotAnswered)
        check_never_twice(it)


# ------------------------------------------------------------------------------------------ share calls


@pytest.mark.parametrize("at", [0, 1, 30, ROWS - 1])
async def test_a_refused_share_call_is_halved_until_the_guilty_row_stands_alone(tmp_path: Path, at: int) -> None:
    refuses = Refuses("")
    async with bulk_trial(tmp_path, refuses) as it:
        refuses.lead = str(it.sandbox.world.leads[at].number)
        ending = await run(it)
        assert ending.summary.states == {State.SHARED: ROWS - 1, State.FAILED: 1}
        ((lead, stage, reason),) = it.query("SELECT lead_number, stage, reason FROM rows WHERE state = 'failed'")
        assert (lead, stage) == (refuses.lead, "share")
        assert reason == "LeadSquared refused the share: This lead can't be shared"
        refusals = [call for call in it.sent(SHARE) if call["outcome"] == "refused"]
        assert len(refusals) <= 6
        assert account(it).share_batch == 0, "no size was to blame"
        check_never_twice(it)


def account(it: Trial) -> Account:
    """What is remembered of the account."""
    (file,) = (it.folder / "state").glob("*.account")
    return Account.read(file)


async def test_an_account_that_takes_no_arrays_is_remembered_and_served_one_by_one(tmp_path: Path) -> None:
    async with bulk_trial(tmp_path, share_batch=1) as it:
        assert (await run(it)).error is None
        all_shared(it)
        assert sizes(it, SHARE) == [1] * ROWS
        refused = len(it.sent(SHARE)) - ROWS
        assert 1 <= refused <= 10
        assert account(it).share_batch == 1
        it.write(sheet_rows(ROWS + 10, it.sandbox.world))
        assert (await run(it)).error is None
        all_shared(it, ROWS + 10)
        assert len(it.sent(SHARE)) == ROWS + 10 + refused, "the second run tried arrays again"


def test_an_account_that_takes_few_shares_in_a_call_gets_as_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = virtual_bulk_trial(tmp_path, monkeypatch, share_batch=10)
    assert run_virtually(run_to_all_shared(it)).error is None
    assert 4 <= max(sizes(it, SHARE)) <= 10
    assert account(it).share_batch == max(sizes(it, SHARE))
    it.write(sheet_rows(ROWS + 15, it.sandbox.world))
    assert run_virtually(run(it, share_batch=10)).error is None
    assert account(it).share_batch == 10, "what was asked for was taken"


async def test_shares_go_together_as_many_as_the_setting_says(tmp_path: Path) -> None:
    async with bulk_trial(tmp_path) as it:
        assert (await run(it, share_batch=4)).error is None
        all_shared(it)
        assert max(sizes(it, SHARE)) == 4


@pytest.mark.parametrize("kind", ["reset", "applied-reset", "502", "applied-no-id"])
async def test_shares_whose_answer_was_lost_are_repeated_one_by_one_in_their_contexts(
    tmp_path: Path, kind: str
) -> None:
    async with bulk_trial(tmp_path, Strike(SHARE, kind)) as it:
        ending = await run(it)
        assert ending.error is None
        all_shared(it)
        assert list(ending.looked_up) == ["again"]
        assert sizes(it, SHARE).count(1) >= ending.looked_up["again"]


# ------------------------------------------------------------------------------------------ processing


async def test_a_batch_that_could_not_be_processed_is_shared_again_row_by_row(tmp_path: Path) -> None:
    async with bulk_trial(tmp_path, fail_leads=frozenset({869030})) as it:
        ending = await run(it, wait=5.0)
        assert ending.summary.states == {State.SHARED: ROWS - 1, State.FAILED: 1}
        failed = it.query("SELECT lead_number, stage, reason FROM rows WHERE state = 'failed'")
        words = "User does not have access to the entity type."
        assert failed == [
            ("869030", "processing", f"LeadSquared accepted the share but could not process it: {words}")
        ]
        assert it.sandbox.report()["live_shares"]["count"] == ROWS - 1
        contexts = {call["activity"] for call in it.sent(SHARE)}
        assert {each for context in contexts for each in context.split(",")} == {
            row[0] for row in it.rows("activity_id")
        }
        check_never_twice(it)


async def test_a_batch_that_failed_is_shared_again_by_the_next_run_where_this_one_only_asks(
    tmp_path: Path,
) -> None:
    async with bulk_trial(tmp_path, Hold(bulk_calls=3), fail_leads=frozenset({869030})) as it:
        await run(it, follow_up=False)
        ending = await it.follow_up()
        returned = ending.summary.states[State.POSTED]
        assert 1 < returned <= 25
        reasons = it.query("SELECT DISTINCT reason FROM rows WHERE state = 'posted'")
        why = "the shares in its call could not be processed, so each is shared again on its own"
        assert reasons == [(f"{why}: User does not have access to the entity type.",)]
        ending = await it.resume(wait=5.0)
        assert ending.summary.states == {State.SHARED: ROWS - 1, State.FAILED: 1}
        check_never_twice(it)


# ------------------------------------------------------------------------------------------ pace

REAL = {"rate": Rate(25, 5.0), "workers": None, "grace": 60.0, "wait": 600.0}


def at_the_real_limit(folder: Path, monkeypatch: pytest.MonkeyPatch, bulk_rate: Rate, rows: int) -> Trial:
    """A run of so many rows in virtual time, ended."""
    pace: dict[str, Any] = {"rate": REAL["rate"], "latency": 0.15, "jitter": 0.4, "processing": 3.0}
    reported = options(leads=rows, bulk_rate=bulk_rate, **pace)
    it = in_virtual_time(folder, monkeypatch, reported, rows=rows, bulk=True, bulk_rate=bulk_rate, **REAL)
    ending = run_virtually(it.run())
    assert ending.summary.states == {State.SHARED: rows}
    return it


@pytest.mark.parametrize(("limit", "in_bulk"), [(1, 0.45), (10, 0.9)])
def test_no_bulk_call_is_one_too_many_and_idle_slots_carry_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, in_bulk: float
) -> None:
    it = at_the_real_limit(tmp_path, monkeypatch, Rate(limit, 5.0), rows=600)
    limits = it.sandbox.limits
    assert (limits.refusals, limits.calls.fullest) == (0, 25)
    posted_in_bulk = sum(sizes(it, BULK)) / 600
    assert posted_in_bulk >= in_bulk
    if limit == 1:  # twenty-five in bulk, and about twenty in the slots that they leave
        assert posted_in_bulk <= 0.65


def test_ten_rows_are_done_in_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = at_the_real_limit(tmp_path, monkeypatch, Rate(1, 5.0), rows=10)
    assert it.sandbox.journal.since(0)[-1]["at"] < 10


def test_nobody_waits_for_a_bulk_call_that_nobody_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows that are left go one by one long before the second bulk call may leave."""
    it = in_virtual_time(tmp_path, monkeypatch, options(leads=40, bulk_rate=Rate(1, 600.0)), rows=20, **REAL)

    async def timed() -> float:
        assert (await it.run(bulk=True, bulk_rate=Rate(1, 600.0))).summary.states == {State.SHARED: 20}
        return asyncio.get_running_loop().time()

    assert run_virtually(timed()) < 30


def test_a_limit_of_bulk_calls_is_not_the_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pace: dict[str, Any] = {"rate": REAL["rate"], "bulk_rate": Rate(2, 5.0), "latency": 0.15, "processing": 3.0}
    changes: dict[str, Any] = {"rows": 400, "bulk": True, "bulk_rate": Rate(10, 5.0)}
    onlooker = Onlooker()
    it = in_virtual_time(tmp_path, monkeypatch, options(leads=400, **pace), **REAL | changes)
    assert run_virtually(it.run(onlooker)).summary.states == {State.SHARED: 400}
    assert onlooker.connection is not None
    assert onlooker.connection.bulk_pacer.limit == Rate(2, 5.0)
    assert onlooker.connection.pacer.limit == Rate(25, 5.0)
    assert (account(it).rate, account(it).bulk_rate) == (None, Rate(2, 5.0))
    ((ended,),) = it.query("SELECT ended FROM runs")
    assert ended.endswith("calls were refused; the limit is 25/5s, of bulk calls 2/5s)")
