"""Dialects: every answer of every API, right or wrong, written otherwise and meaning the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from asking import ManualClock, ask

from batch_share.common import Rate
from batch_share.sandbox import Sandbox, SandboxOptions
from batch_share.sandbox.faults import Particulars, strike
from batch_share.sandbox.wire import DIALECTS, Reply, in_dialect, throttled

if TYPE_CHECKING:
    from collections.abc import Sequence

LEADS, USERS = "LeadManagement.svc/Leads.Get", "UserManagement.svc/Users.Get"
OF_TYPE = "ProspectActivity.svc/CustomActivity/RetrieveByActivityEvent"


def reported(dialect: str, value: object, endpoint: str = "Any.svc/Where") -> Any:
    """What a value becomes in a dialect."""
    return json.loads(in_dialect(dialect, endpoint, Reply.json(value)).body)


@pytest.mark.parametrize(
    ("dialect", "value", "becomes"),
    [
        ("lower", {"Message": [{"Id": "ID"}], "mx_Custom_1": 2}, {"message": [{"id": "ID"}], "mx_custom_1": 2}),
        ("upper", [{"Key": "Owner", "Value": "x"}], [{"KEY": "Owner", "VALUE": "x"}]),
        (
            "swapped",
            {"ProspectID": 1, "ProspectAutoId": 2, "UserId": 3, "ID": 4, "Data": [{"Id": 5}], "OwnerIdName": 6},
            {"ProspectId": 1, "ProspectAutoID": 2, "UserID": 3, "Id": 4, "Data": [{"ID": 5}], "OwnerIDName": 6},
        ),
        ("swapped", {"Identity": 1, "Paid": 2, "EmailAddress": 3}, {"Identity": 1, "Paid": 2, "EmailAddress": 3}),
        (
            "texts",
            {"ShareStatus": 6, "Items": [True, False, None, 1.5, "x"]},
            {"ShareStatus": "6", "Items": ["True", "False", None, "1.5", "x"]},
        ),
        ("single", {"List": [{"Data": [{"Key": "a"}]}]}, {"List": {"Data": {"Key": "a"}}}),
        ("single", {"List": [], "Two": [1, 2]}, {"List": [], "Two": [1, 2]}),
        ("single", [{"ID": 1}], {"ID": 1}),
        ("nulls", {"RecordCount": 0}, {"RecordCount": None, "List": None}),
        ("nulls", {"RecordCount": 2, "Leads": []}, {"RecordCount": None, "Leads": None}),
        ("nulls", [], None),
        ("nulls", {"Data": [{"Key": "a", "Value": ""}]}, {"Data": [{"Key": "a", "Value": None}]}),
        ("nulls", {"Fields": {"Status": "Active"}}, {"Fields": {"Status": "Active"}}),
    ],
)
def test_a_dialect_is_what_it_is_said_to_be(dialect: str, value: object, becomes: object) -> None:
    assert reported(dialect, value) == becomes


@pytest.mark.parametrize(
    ("endpoint", "name"), [(LEADS, "Leads"), (USERS, "Users"), ("ProspectActivity.svc/ActivityTypes.Get", "Data")]
)
def test_a_bare_list_is_wrapped_by_the_name_of_what_it_holds(endpoint: str, name: str) -> None:
    assert reported("wrapped", [{"a": 1}], endpoint) == {name: [{"a": 1}]}
    assert reported("wrapped", [], endpoint) == {name: []}
    assert reported("wrapped", {"Leads": [1]}, endpoint) == {"Leads": [1]}


def test_nulls_stand_for_the_names_that_are_left_out() -> None:
    envelope = {"Message": None, "ExceptionType": None, "ExceptionMessage": None}
    assert reported("nulls", {"Status": "Success", "Message": {}}) == {"Status": "Success"} | envelope
    (row,) = reported("nulls", {"Response": [{"RowNumber": 1, "ActivityCreated": True}]})["Response"]
    assert row["ActivityCreated"] is True
    assert row.keys() > {"ProspectActivityId", "ExceptionType", "ExceptionMessage"}
    (lead,) = reported("nulls", [{"ProspectID": "a"}])
    assert (lead["ProspectID"], lead["ProspectAutoId"], lead["EmailAddress"]) == ("a", None, None)


def test_a_mark_comes_first_and_a_type_not_at_all() -> None:
    reply = Reply.json({"Id": 1})
    assert in_dialect("bom", LEADS, reply).body == b"\xef\xbb\xbf" + reply.body
    assert in_dialect("typeless", LEADS, reply).content_type is None


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("body", [b"", b"No such API.", b'{"Status":"Succ', b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_left_alone(dialect: str, body: bytes) -> None:
    reply = Reply(200, body)
    assert in_dialect(dialect, LEADS, reply) is reply


def test_an_unknown_dialect_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="dialect can't be 'klingon': choose plain, lower, upper, swapped, "):
        SandboxOptions(dialect="klingon")


# ------------------------------------------------------------------------------------------------- every answer


def a_sandbox(dialect: str, *wrappers: Any, **changes: Any) -> Sandbox:
    """A small sandbox that speaks a dialect."""
    return Sandbox(SandboxOptions(leads=5, dialect=dialect, processing=0, **changes), ManualClock(), wrappers)


async def every_answer(sandbox: Sandbox) -> Sequence[Reply]:
    """One answer of every API that makes or shows something, and refusals of each form."""
    world = sandbox.world
    lead, user = world.leads[0], world.users[1]
    post = {"RelatedProspectId": lead.id, "ActivityEvent": 201, "ActivityNote": "n"}
    owned = post | {"Fields": [{"SchemaName": "Owner", "Value": user.id}]}
    share: dict[str, Any] = {
        "Entity": 1,
        "EntityType": 3,
        "ContextEntity": 1,
        "AccessType": 1,
        "DurationInMinutes": 30,
    }
    share |= {"UserId": user.id, "EntityId": str(lead.number)}
    days = {"FromDate": "2000-01-01 00:00:00", "ToDate": "2100-01-01 00:00:00", "ActivityEvent": 201}
    by_ids = {"SearchParameters": {"LeadIds": [lead.id]}, "Columns": {"Include_CSV": "ProspectID"}}
    replies = [
        await ask(sandbox, "POST", "ProspectActivity.svc/Create", owned),
        await ask(sandbox, "POST", "ProspectActivity.svc/Create", post | {"ActivityEvent": 1}),
        await ask(sandbox, "POST", "ProspectActivity.svc/Create", post | {"ActivityNote": "<b>"}),
        await ask(sandbox, "POST", "ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId", [post, {}]),
        await ask(sandbox, "POST", "ProspectActivity.svc/Retrieve", {}, leadId=lead.id),
        await ask(sandbox, "POST", OF_TYPE, {"Parameter": days}),
        await ask(sandbox, "POST", OF_TYPE, {"Parameter": days | {"ActivityEvent": 202}}),
        await ask(sandbox, "POST", "LeadManagement.svc/Leads/Retrieve/ByIds", by_ids),
        await ask(sandbox, "GET", "LeadManagement.svc/Leads.GetById", id=lead.id),
        await ask(sandbox, "GET", "LeadManagement.svc/Leads.GetById", id="nobody"),
        await ask(sandbox, "GET", USERS),
        await ask(sandbox, "POST", "UserManagement.svc/User/AdvancedSearch", {}),
        await ask(sandbox, "GET", "ProspectActivity.svc/ActivityTypes.Get"),
        await ask(sandbox, "GET", "Authentication.svc/UserByAccessKey.Get"),
    ]
    activity = sandbox.account.visible()[0].id
    asked = [share | {"ContextEntityId": activity}]
    replies += [
        await ask(sandbox, "GET", "ProspectActivity.svc/GetActivityDetails", activityId=activity),
        await ask(sandbox, "POST", "EntityAccess.svc/Share", asked),
    ]
    request = next(iter(sandbox.account.requests))
    return [*replies, await ask(sandbox, "GET", "EntityAccess.svc/Status/Get", id=request)]


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "plain"])
async def test_every_api_speaks_it_and_does_the_same(dialect: str) -> None:
    plain = await every_answer(a_sandbox("plain"))
    spoken = await every_answer(sandbox := a_sandbox(dialect))
    assert [reply.status for reply in spoken] == [reply.status for reply in plain]
    places = [call.endpoint for call in sandbox.journal.calls]
    assert list(spoken) == [in_dialect(dialect, place, reply) for place, reply in zip(places, plain, strict=True)]
    assert sandbox.report()["live_shares"]["count"] == 1


def names_in(value: Any) -> set[str]:
    """All names in a JSON value."""
    if isinstance(value, dict):
        return set(value).union(*map(names_in, value.values()))
    return set().union(*map(names_in, value)) if isinstance(value, list) else set()


async def test_no_name_is_forgotten() -> None:
    for reply in await every_answer(a_sandbox("lower")):
        assert all(name.islower() for name in names_in(json.loads(reply.body)))
    for reply in await every_answer(a_sandbox("upper")):
        assert all(name.isupper() for name in names_in(json.loads(reply.body)))


async def test_the_documented_samples_are_plain() -> None:
    plain = [json.loads(reply.body) for reply in await every_answer(a_sandbox("plain"))]
    assert plain[0].keys() == {"Status", "Message"}
    assert plain[7].keys() == {"RecordCount", "Leads"}
    assert plain[7]["Leads"][0].keys() == {"ProspectID"}
    assert plain[6] == {"RecordCount": 0}


async def test_refusals_at_the_door_and_faults_speak_it_too() -> None:
    sandbox = a_sandbox("upper", rate=Rate(1, 5))
    call, refused = sandbox.arrive("GET", USERS, {}, {})
    assert json.loads((await sandbox.answer(call, refused)).body)["STATUS"] == "Error"
    await ask(sandbox, "GET", USERS)
    too_many = json.loads((await ask(sandbox, "GET", USERS)).body)
    assert too_many["EXCEPTIONTYPE"] == "MXAPIRateLimitExceededException"
    particulars = Particulars(Rate(25, 5))
    struck = a_sandbox("upper", lambda step, call: strike("shuffled", particulars, step, call))
    bulk = "ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId"
    rows = json.loads((await ask(struck, "POST", bulk, [{}, {}])).body)["RESPONSE"]
    assert [row["ROWNUMBER"] for row in rows] == [2, 1]


async def test_plain_is_what_it_is_without_a_dialect() -> None:
    reply = throttled(Rate(25, 5), 429)
    assert in_dialect("plain", LEADS, reply) is reply
    assert SandboxOptions().dialect == "plain"
