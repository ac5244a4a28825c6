"""Look-ups on the wire: the documented requests, and answers of any shape."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_share.leadsquared import people
from batch_share.leadsquared.people import FoundLead, FoundUser, KeyUser
from batch_share.leadsquared.protocol import Answer, Denied, Lost, Refused, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = {"Include_CSV": "ProspectID,ProspectAutoId,EmailAddress,Phone"}
PAGE = {"PageIndex": 1, "PageSize": 1000}
READERS = [people.read_leads, people.read_users, people.read_key_user]


def answer(value: object, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(value).encode())


def test_leads_are_asked_for_by_ids_as_documented() -> None:
    call = people.leads_by_ids(["a", "b"])
    assert (call.method, call.path, dict(call.query)) == ("POST", "LeadManagement.svc/Leads/Retrieve/ByIds", {})
    body = {"SearchParameters": {"LeadIds": ["a", "b"]}, "Paging": PAGE, "Columns": COLUMNS}
    assert json.loads(call.body or b"") == body


def test_leads_are_asked_for_by_a_field_as_documented() -> None:
    call = people.leads_where("ProspectAutoId", ["7", "8"], "IN")
    assert (call.method, call.path) == ("POST", "LeadManagement.svc/Leads.Get")
    criteria = {"LookupName": "ProspectAutoId", "LookupValue": "7,8", "SqlOperator": "IN"}
    assert json.loads(call.body or b"") == {"Parameter": criteria, "Paging": PAGE, "Columns": COLUMNS}


def test_leads_from_a_number_on_are_asked_for_in_order() -> None:
    call = people.leads_from(7, 300)
    assert (call.method, call.path) == ("POST", "LeadManagement.svc/Leads.Get")
    assert json.loads(call.body or b"") == {
        "Parameter": {"LookupName": "ProspectAutoId", "LookupValue": "7", "SqlOperator": ">="},
        "Sorting": {"ColumnName": "ProspectAutoId", "Direction": "0"},
        "Paging": {"PageIndex": 1, "PageSize": 300},
        "Columns": COLUMNS,
    }


@pytest.mark.parametrize(
    ("call", "path", "query"),
    [
        (people.found_by("lead phone", "+91"), "LeadManagement.svc/RetrieveLeadByPhoneNumber", {"phone": "+91"}),
        (people.ALL_USERS, "UserManagement.svc/Users.Get", {}),
        (people.found_by("user id", "u"), "UserManagement.svc/User/Retrieve/ByUserId", {"userId": "u"}),
        (
            people.found_by("user email", "e"),
            "UserManagement.svc/User/Retrieve/ByEmailAddress",
            {"emailAddress": "e"},
        ),
        (people.KEY_USER, "Authentication.svc/UserByAccessKey.Get", {}),
    ],
)
def test_what_is_only_read_is_a_get(call: Any, path: str, query: dict[str, str]) -> None:
    assert (call.method, call.path, dict(call.query), call.body) == ("GET", path, query, None)


LEAD = {"ProspectID": " ABC ", "ProspectAutoId": 7, "EmailAddress": "A@x.com", "Phone": None, "Other": [1]}
FOUND = FoundLead("abc", "7", "A@x.com", "")


def test_leads_are_read_in_one_spelling() -> None:
    assert people.read_leads(answer([LEAD])) == [FOUND]
    assert people.read_leads(answer({"RecordCount": 1, "Leads": [LEAD]})) == [FOUND]
    assert people.read_leads(answer([])) == []


def test_ids_and_numbers_are_read_in_whatever_spelling() -> None:
    guid = "0f8fad5b-d9cb-469f-a165-70867728950e"
    for spelt in (guid.upper(), f"{{{guid}}}", guid.replace("-", "")):
        [lead] = cast("list[FoundLead]", people.read_leads(answer({"prospectid": spelt, "ProspectAutoID": "7.0"})))
        [user] = cast("list[FoundUser]", people.read_users(answer({"Users": [{"UserID": spelt}]})))
        assert (lead.id, lead.number, user.id) == (guid, "7", guid)
    assert people.read_leads(answer([{"ProspectID": guid, "ProspectAutoId": "7,001"}])) == [
        FoundLead(guid, "", "", "")
    ]


@pytest.mark.parametrize(
    "wrapped",
    [
        {"Result": [LEAD]},
        {"Status": "Success", "Message": [LEAD]},
        {"Message": {"Data": {"Items": [LEAD]}}},
        {"Leads": LEAD, "RecordCount": 1},
        {"Leads": [{"LeadPropertyList": [{"Attribute": name, "Value": value} for name, value in LEAD.items()]}]},
    ],
)
def test_a_list_is_found_however_it_is_wrapped(wrapped: object) -> None:
    assert people.read_leads(answer(wrapped)) == [FOUND]


def test_what_counts_leads_and_shows_none_is_not_understood() -> None:
    assert isinstance(people.read_leads(answer({"RecordCount": 3, "Rows": []})), Lost)
    assert people.read_leads(answer({"RecordCount": 0})) == []


def test_users_are_read_with_their_status() -> None:
    user = {"ID": "ABC", "FirstName": "Asha", "LastName": None, "EmailAddress": "a@x.com"}
    listed = people.read_users(answer([{**user, "StatusCode": 0}, {**user, "StatusCode": 1}]))
    assert listed == [FoundUser("abc", "a@x.com", "Asha", active) for active in (True, False)]
    retrieved = people.read_users(answer([{"UserId": "ABC", "EmailAddress": "a@x.com"}]))
    assert retrieved == [FoundUser("abc", "a@x.com", "", active=True)]


def test_what_is_found_can_be_stored_and_shown_whatever_it_holds() -> None:
    cut = "Asha \ud83d"  # half an emoji, from a server that counts in UTF-16
    user = {"UserId": "A\x00C", "FirstName": cut, "LastName": "R\x1b[2J\n" + "x" * 600, "EmailAddress": cut}
    name = "Asha R [2J " + "x" * 489
    assert people.read_users(answer([user])) == [FoundUser("a c", "Asha", name, active=True)]
    lead = {"ProspectID": "A\ud83d", "ProspectAutoId": "7\n8", "EmailAddress": cut, "Phone": "\u202e1"}
    assert people.read_leads(answer([lead])) == [FoundLead("a", "", "Asha", "1")]


def test_the_user_behind_the_keys_tells_the_time_zone() -> None:
    found = people.read_key_user(answer({"Id": "u", "TimeZone": "Asia/Kolkata", "Role": "Administrator"}))
    assert isinstance(found, KeyUser)
    assert (found.id, found.role, found.time_zone) == ("u", "Administrator", "Asia/Kolkata")


@pytest.mark.parametrize(("told", "org_id"), [({"OrgId": " 41 "}, "41"), ({"OrgId": 41}, "41"), ({}, "")])
def test_the_user_behind_the_keys_tells_the_account(told: dict[str, object], org_id: str) -> None:
    found = people.read_key_user(answer({"Id": "u", **told}))
    assert isinstance(found, KeyUser)
    assert found.org_id == org_id


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("given_answer", "kind"),
    [
        (answer({"x": 1}), Lost),
        (answer([7]), Lost),
        (Answer(200, {}, b"<html>"), Lost),
        (Answer(502, {}, b""), Lost),
        (answer({"Status": "Error", "ExceptionType": "MXX", "ExceptionMessage": "no"}, 500), Refused),
        (answer({}, 401), Denied),
        (answer({}, 429), Throttled),
    ],
)
def test_what_is_no_answer_is_an_outcome(
    read: Callable[[Answer], object], given_answer: Answer, kind: type
) -> None:
    assert isinstance(read(given_answer), kind)


NAMES = st.sampled_from(["Leads", "ProspectID", "ProspectAutoId", "ID", "UserId", "StatusCode", "Id"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Leads", "ProspectID", "ProspectAutoId", "ID", "UserId", "StatusCode", "Id"]), inner
        )
    ),
    max_leaves=8,
)


@given(value=JSON, status=st.sampled_from([200, 204, 400, 500]))
def test_no_reader_ever_raises(value: object, status: int) -> None:
    for read in READERS:
        read(answer(value, status))
