"""Faults: their specs, their chance, and what each says and does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from asking import KEYS, ManualClock, ask, reported

from batch_share.common import Rate
from batch_share.sandbox import Sandbox, SandboxOptions
from batch_share.sandbox.endpoints import HANDLERS, NAMES, STATUS
from batch_share.sandbox.faults import KINDS, Chance, Faults, Particulars, parse_faults, strike
from batch_share.sandbox.wire import Reply, SandboxCall

if TYPE_CHECKING:
    from collections.abc import Mapping

CREATE, SHARE = "ProspectActivity.svc/Create", "EntityAccess.svc/Share"
PARTICULARS = Particulars(Rate(20, 5), elsewhere="https://other.example/", retry_after=7.0, away=2.0, drip=3.0)
RIGHT = Reply(200, b'{"Right":true}')


def call(n: int = 1, endpoint: str = CREATE, query: Mapping[str, str] | None = None) -> SandboxCall:
    """The n-th call."""
    return SandboxCall(n, 0.0, "POST", endpoint, query or {})


async def right(call: SandboxCall) -> Reply:
    """A step that takes effect."""
    call.outcome = "done"
    return RIGHT


async def hit(spec: str, *, seed: int = 1, calls: int = 2000) -> list[int]:
    """The numbers of the calls that a spec hits."""
    faults, made = Faults(parse_faults(spec), seed, PARTICULARS), [call(n) for n in range(calls)]
    for each in made:
        await faults(right, each)
    return [each.n for each in made if each.fault]


# ------------------------------------------------------------------------------------------------- specs


@pytest.mark.parametrize("spec", ["", "  "])
def test_no_spec_is_no_fault(spec: str) -> None:
    assert parse_faults(spec) == ()


def test_a_spec_says_what_hits_how_many_calls_of_which_endpoint() -> None:
    assert parse_faults(" applied-reset=2% , create:503=0.5%,Get:PENDING=100%") == (
        Chance("applied-reset", 0.02, None),
        Chance("503", 0.005, frozenset({CREATE})),
        Chance("pending", 1.0, frozenset({STATUS})),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_can_be_asked_for(kind: str) -> None:
    (chance,) = parse_faults(f"{kind}=3%")
    assert (chance.kind, chance.share, chance.endpoints) == (kind, 0.03, KINDS[kind].of)
    endpoints = [name for name, paths in NAMES.items() if paths <= (KINDS[kind].of or paths)]
    assert endpoints
    assert all(SandboxOptions(faults=f"{endpoint}:{kind}=3%").faults for endpoint in endpoints)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("503", "'503' is no fault: write 503=2% or Create:503=2%, with commas between several"),
        ("503=2", "'503=2' is no fault: write "),
        ("503=-2%", "'503=-2%' is no fault: write "),
        ("503=2%,", "'' is no fault: write "),
        ("503=2% 502=2%", "'503=2% 502=2%' is no fault: write "),
        ("503=101%", "'503=101%' is more than 100%"),
        ("lightning=2%", "there is no fault 'lightning': choose error-envelope, failed, "),
        ("applied-400=2%", "there is no fault 'applied-400': choose "),
        ("Nowhere:503=2%", "there is no endpoint 'Nowhere': choose Status, Bulk, Leads, Users, Create, "),
        (":503=2%", "there is no endpoint '': choose "),
        ("Create:pending=2%", "pending is a fault of Status alone, not of Create"),
        ("Create:shuffled=2%", "shuffled is a fault of Bulk alone, not of Create"),
        ("Users:failed-with-id=2%", "failed-with-id is a fault of Create, Share, Revoke alone, not of Users"),
    ],
)
def test_a_bad_spec_is_refused_with_the_choices(spec: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        SandboxOptions(faults=spec)
    assert str(caught.value).startswith(problem)
    assert "\n" not in str(caught.value)


def test_every_endpoint_has_a_name() -> None:
    assert frozenset().union(*NAMES.values()) == {path for _, path in HANDLERS}
    assert all(NAMES.values())
    assert NAMES["Status"] == NAMES["Get"] == {STATUS}
    assert len(NAMES["Leads"]) == 5


# ------------------------------------------------------------------------------------------------- chance


async def test_the_same_seed_hits_the_same_calls() -> None:
    assert await hit("503=2%") == await hit("503=2%")
    assert await hit("503=2%") != await hit("503=2%", seed=2)
    assert await hit("503=2%") != await hit("502=2%")


async def test_as_many_calls_are_hit_as_was_said() -> None:
    assert 20 <= len(await hit("503=2%")) <= 65
    assert len(await hit("503=0%")) == 0
    assert len(await hit("reset=100%", calls=50)) == 50


async def test_one_call_has_one_fault_the_first_that_hits() -> None:
    both, made = Faults(parse_faults("503=100%,502=100%"), 1, PARTICULARS), call()
    assert (await both(right, made)).status == 503
    assert made.fault == "503"


async def test_another_endpoint_is_left_alone() -> None:
    faults, made = Faults(parse_faults("Share:503=100%"), 1, PARTICULARS), call(endpoint=SHARE)
    assert await faults(right, call()) is RIGHT
    assert (await faults(right, made)).status == 503


async def test_a_request_that_is_pending_stays_so() -> None:
    faults = Faults(parse_faults("pending=30%"), 1, PARTICULARS)
    stuck = []
    for at in range(50):
        polls = [call(n, STATUS, {"id": f"request {at}"}) for n in range(at, at + 9)]
        for each in polls:
            await faults(right, each)
        assert len({each.fault for each in polls}) == 1
        stuck.append(polls[0].fault)
    assert 5 <= stuck.count("pending") <= 25


# ------------------------------------------------------------------------------------------------- what happens


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_is_done_only_where_the_name_says_so(kind: str) -> None:
    made = call()
    await strike(kind, PARTICULARS, right, made)
    assert made.fault == kind
    done = {"wrong-type", "slow", "shuffled", "unnumbered", "item-missing", "item-doubled", "misnumbered", "unsaid"}
    done |= {"failed-with-id", "error-with-id"}
    assert (made.outcome == "done") is (kind.startswith("applied-") or kind in done)


@pytest.mark.parametrize(
    ("kind", "status", "reported"),
    [
        ("failed-with-id", 200, {"Status": "Failed", "Message": {"Id": "a1", "Message": "The request failed"}}),
        (
            "error-with-id",
            500,
            {
                "Status": "Error",
                "ExceptionType": "MXInvalidInputException",
                "ExceptionMessage": "The request can not be processed",
                "Message": {"Id": "a1"},
            },
        ),
    ],
)
async def test_a_denial_names_the_id_of_what_was_made(kind: str, status: int, reported: object) -> None:
    async def made(_call: SandboxCall) -> Reply:
        return Reply.json({"Status": "Success", "Message": {"Id": "a1"}})

    reply = await strike(kind, PARTICULARS, made, call())
    assert (reply.status, json.loads(reply.body)) == (status, reported)


@pytest.mark.parametrize("kind", ["failed-with-id", "error-with-id"])
@pytest.mark.parametrize("value", [{"Status": "Failed", "Message": {"Message": "no"}}, {"Message": None}, [], {}])
async def test_what_has_no_id_is_reported_as_it_is(kind: str, value: object) -> None:
    async def refused(_call: SandboxCall) -> Reply:
        return Reply.json(value)

    assert await strike(kind, PARTICULARS, refused, call()) == Reply.json(value)


BULK_RIGHT = [{"RowNumber": n, "ProspectActivityId": f"a{n}", "ActivityCreated": True} for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("kind", "reported"),
    [
        ("shuffled", BULK_RIGHT[::-1]),
        ("unnumbered", [{name: item[name] for name in list(item)[1:]} for item in BULK_RIGHT]),
        ("item-missing", BULK_RIGHT[:2]),
        ("item-doubled", [*BULK_RIGHT, BULK_RIGHT[0]]),
        ("misnumbered", [item | {"RowNumber": 1} for item in BULK_RIGHT]),
        ("unsaid", [{"RowNumber": 1}, *BULK_RIGHT[1:]]),
    ],
)
async def test_a_fault_of_bulk_calls_changes_the_items_of_the_right_answer(kind: str, reported: object) -> None:
    async def posted(_call: SandboxCall) -> Reply:
        return Reply.json({"Response": BULK_RIGHT})

    reply = await strike(kind, PARTICULARS, posted, call())
    assert json.loads(reply.body) == {"Response": reported}


@pytest.mark.parametrize(
    ("kind", "status", "reported"),
    [
        ("error-envelope", 200, "MX"),
        ("failed", 200, '"Failed"'),
        ("throttle-200", 200, "limit of 20 in 5 second"),
        ("429", 429, "limit of 20 in 5 second"),
        ("429-retry-after", 429, "limit of 20 in 5 second"),
        ("no-id", 200, '"Success"'),
        ("500-mx", 500, "MX"),
        ("applied-404", 404, "No such API."),
        ("500", 500, "<html>"),
        ("html", 200, "<html>"),
        ("pending", 200, '"ShareStatus": 1'),
        ("id-gone", 500, "Request Id does not exist"),
        ("wrong-type", 200, "Right"),
        ("slow", 200, "Right"),
        *((str(status), status, "") for status in (204, 302, 400, 401, 403, 404, 502, 503, 504)),
    ],
)
async def test_a_fault_says_what_its_name_says(kind: str, status: int, reported: str) -> None:
    reply = await strike(kind, PARTICULARS, right, call())
    assert reply.status == status
    assert reported in reply.body.decode()


async def test_faults_of_the_wire_are_made_on_the_wire() -> None:
    said = {kind: await strike(kind, PARTICULARS, right, call()) for kind in KINDS}
    assert said["302"].headers == {"Location": "https://other.example/"}
    assert said["429-retry-after"].headers == {"Retry-After": "7"}
    assert (said["reset"].drop, said["silent"].silent) == (True, True)
    assert (said["refused"].drop, said["refused"].away) == (True, 2.0)
    assert said["truncated"].missing > 0
    assert (said["slow"].drip, said["slow"].body) == (3.0, RIGHT.body)
    assert (said["wrong-type"].content_type, said["wrong-type"].body) == ("text/plain", RIGHT.body)
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(said["bad-json"].body)


# ------------------------------------------------------------------------------------------------- a whole account


def an_account(**changes: Any) -> tuple[Sandbox, list[dict[str, Any]]]:
    """A sandbox, and the bodies of a Share of each of three leads, each in an activity of its own."""
    values: dict[str, Any] = {"leads": 3, "users": 3, "processing": 0.0}
    sandbox = Sandbox(SandboxOptions(**values | changes), ManualClock())
    user = sandbox.world.users[1]
    share = {"UserId": user.id, "Entity": 1, "EntityType": 3, "ContextEntity": 1, "AccessType": 2}
    bodies = [
        share
        | {"EntityId": str(lead.number), "ContextEntityId": sandbox.account.post(lead, 201, "n", user, {}, None).id}
        for lead in sandbox.world.leads
    ]
    return sandbox, bodies


@pytest.mark.parametrize("kind", ["failed-with-id", "error-with-id", "applied-404"])
async def test_what_is_denied_was_done_and_the_report_says_so(kind: str) -> None:
    sandbox, (body, *_) = an_account(faults=f"Share:{kind}=100%")
    reply = await ask(sandbox, "POST", SHARE, [body])
    (request,) = sandbox.account.requests
    assert (request in reply.body.decode()) is (kind != "applied-404")
    report = sandbox.report()
    assert (report["live_shares"]["count"], report["outcomes"], report["faults"]) == (1, {"done": 1}, {kind: 1})
    assert sandbox.journal.since(0)[0]["activity"] == body["ContextEntityId"]


async def test_one_request_id_is_the_first_ones_and_the_others_are_not_done() -> None:
    sandbox, bodies = an_account(one_request_id=True)
    refused = await ask(sandbox, "POST", SHARE, [bodies[0] | {"AccessType": 3}])
    assert refused.status == 500
    replies = [await ask(sandbox, "POST", SHARE, [body]) for body in bodies]
    assert len({reply.body for reply in replies}) == 1
    (grant,) = sandbox.account.live_shares()
    assert (grant.lead, grant.activity.id) == (sandbox.world.leads[0], bodies[0]["ContextEntityId"])
    assert sandbox.report()["outcomes"] == {"refused": 1, "done": 1, "not done": 2}
    request = json.loads(replies[0].body)["Message"]["Id"]
    status = await reported(sandbox, "GET", STATUS, id=request)
    assert status["ShareStatus"] == 6
    revoked = [await reported(sandbox, "POST", "EntityAccess.svc/Revoke", [body]) for body in bodies[:2]]
    assert revoked[0] != revoked[1]


async def test_every_share_has_a_request_id_of_its_own_otherwise() -> None:
    sandbox, bodies = an_account()
    replies = [await ask(sandbox, "POST", SHARE, [body]) for body in bodies]
    assert len({reply.body for reply in replies}) == len(sandbox.account.live_shares()) == 3


async def test_a_sandbox_has_the_faults_of_its_options() -> None:
    sandbox = Sandbox(SandboxOptions(faults="503=100%"), ManualClock())
    call, refused = sandbox.arrive("POST", CREATE, {}, KEYS)
    assert (refused, (await sandbox.answer(call, None)).status) == (None, 503)
    assert sandbox.report()["faults"] == {"503": 1}
    with pytest.raises(RuntimeError, match="not listening"):
        _ = sandbox.url


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].of == NAMES["Bulk"]])
async def test_what_an_account_does_not_have_is_not_found_whatever_would_hit_it(kind: str) -> None:
    options = SandboxOptions(without=("Bulk",), faults=f"Bulk:{kind}=100%")
    reply = await ask(
        Sandbox(options, ManualClock()), "POST", "ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId"
    )
    assert reply.status == (500 if kind == "applied-500-mx" else 404)


@pytest.mark.parametrize("kind", ["failed-with-id", "error-with-id"])
async def test_a_call_without_an_id_in_its_answer_is_denied_as_it_is(kind: str) -> None:
    sandbox = Sandbox(SandboxOptions(without=("Create",), faults=f"Create:{kind}=100%"), ManualClock())
    assert (await ask(sandbox, "POST", CREATE)).status == 404
