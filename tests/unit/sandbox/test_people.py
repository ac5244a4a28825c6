"""Looking leads and users up by criteria."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asking import ManualClock, ask, reported

from batch_share.sandbox import Sandbox, SandboxOptions

LEADS, SEARCH = "LeadManagement.svc/Leads.Get", "UserManagement.svc/User/AdvancedSearch"


def a_sandbox(**changes: Any) -> Sandbox:
    """Six leads, 869000 to 869005, and twelve users, of which the tenth has left."""
    return Sandbox(SandboxOptions(**{"leads": 6, "users": 12} | changes), ManualClock())


async def numbers(sign: str, value: object, **more: Any) -> list[int]:
    """The numbers, less 869000, of the leads that are found."""
    lookup = {"LookupName": "ProspectAutoId", "LookupValue": value, "SqlOperator": sign}
    found = await reported(a_sandbox(), "POST", LEADS, {"Parameter": lookup} | more)
    return [int(lead["ProspectAutoId"]) - 869000 for lead in found]


@pytest.mark.parametrize(
    ("sign", "found"),
    [(">=", [3, 4, 5]), (">", [4, 5]), ("<=", [0, 1, 2, 3]), ("<", [0, 1, 2]), ("=", [3]), (" >= ", [3, 4, 5])],
)
async def test_lead_numbers_are_compared_as_numbers(sign: str, found: list[int]) -> None:
    assert await numbers(sign, "869003") == found
    assert await numbers(sign, 869003) == found


async def test_a_number_of_fewer_digits_is_smaller() -> None:
    assert await numbers(">", "9") == [0, 1, 2, 3, 4, 5]
    assert await numbers("<", "1000000000000") == [0, 1, 2, 3, 4, 5]
    assert await numbers("<", "9") == []


@pytest.mark.parametrize(
    ("direction", "found"), [("0", [2, 3, 4, 5]), ("1", [5, 4, 3, 2]), (1, [5, 4, 3, 2]), (None, [2, 3, 4, 5])]
)
async def test_leads_are_sorted_by_number_either_way(direction: object, found: list[int]) -> None:
    sorting = {"ColumnName": "ProspectAutoId"} | ({} if direction is None else {"Direction": direction})
    assert await numbers(">=", "869002", Sorting=sorting) == found


async def test_sorted_leads_come_by_pages() -> None:
    pages = [
        await numbers(
            ">=",
            "869001",
            Sorting={"ColumnName": "ProspectAutoId", "Direction": "1"},
            Paging={"PageIndex": page, "PageSize": 2},
        )
        for page in (1, 2, 3, 4)
    ]
    assert pages == [[5, 4], [3, 2], [1], []]


UPWARDS = {"Sorting": {"ColumnName": "ProspectAutoId", "Direction": "0"}}


async def listed(value: str, **changes: Any) -> list[int]:
    """The numbers of the leads that are listed from one on, in order."""
    lookup = {"LookupName": "ProspectAutoId", "LookupValue": value, "SqlOperator": ">="}
    found = await reported(a_sandbox(**changes), "POST", LEADS, {"Parameter": lookup} | UPWARDS)
    return [int(lead["ProspectAutoId"]) for lead in found]


async def test_numbers_begin_and_go_on_as_an_account_has_them() -> None:
    assert await listed("0", first_number=98, number_step=3) == [98, 101, 104, 107, 110, 113]


async def test_an_account_may_list_leads_in_odd_ways() -> None:
    some = {"first_number": 8, "leads": 12}
    assert await listed("9", **some) == [9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    assert await listed("9", lead_lists="as-text", **some) == [9]
    assert await listed("18", lead_lists="as-text", **some) == [18, 19, 8, 9]
    assert await listed("9", lead_lists="repeating", **some) == [9, 10, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    assert await listed("9", lead_lists="skipping", **some) == [9, 10, 11, 12, 13, 14, 15, 17, 18, 19]
    unsorted = await listed("9", lead_lists="unsorted", **some)
    assert unsorted != sorted(unsorted) == [*range(9, 20)]
    assert await listed("9", lead_page=3, **some) == [9, 10, 11]


async def test_an_account_may_refuse_to_list_leads() -> None:
    sandbox, lookup = a_sandbox(lead_lists="refused"), {"LookupName": "ProspectAutoId", "LookupValue": "869003"}
    for sign, status in (("=", 200), ("IN", 200), (">=", 500), ("<", 500)):
        reply = await ask(sandbox, "POST", LEADS, {"Parameter": lookup | {"SqlOperator": sign}})
        assert reply.status == status, sign


@pytest.mark.parametrize("wrong", [{"lead_lists": "odd"}, {"lead_page": 1001}, {"number_step": 0}])
def test_what_no_account_does_is_no_option(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"lead_lists can't be 'odd': choose usual, |a page has 1 to 1000 leads"):
        a_sandbox(**wrong)


@pytest.mark.parametrize(
    "lookup",
    [
        {"LookupName": "EmailAddress", "LookupValue": "a", "SqlOperator": ">="},
        {"LookupName": "ProspectAutoId", "LookupValue": "all", "SqlOperator": ">="},
        {"LookupName": "ProspectAutoId", "LookupValue": "", "SqlOperator": ">="},
        {"LookupName": "ProspectAutoId", "LookupValue": "9" * 5000, "SqlOperator": ">="},
        {"LookupName": "ProspectAutoId", "LookupValue": "1", "SqlOperator": "!="},
    ],
)
async def test_what_has_no_order_is_refused(lookup: dict[str, str]) -> None:
    reply = await ask(a_sandbox(), "POST", LEADS, {"Parameter": lookup})
    assert reply.status == 500
    assert json.loads(reply.body)["ExceptionType"].startswith("MX")


# ------------------------------------------------------------------------------------------------- users


def condition(name: str, sign: str, value: str, join: str | None = None) -> dict[str, str | None]:
    """A condition of a search of users."""
    return {"LookupName": name, "Operator": sign, "LookupValue": value, "ConditionOperator": join}


def group(*conditions: dict[str, str | None], join: str | None = None) -> dict[str, object]:
    """Conditions together."""
    return {"Condition": conditions, "GroupOperator": join}


async def found_users(sandbox: Sandbox, *groups: dict[str, object], **more: Any) -> list[int]:
    """The positions of the users that are found."""
    users = [user.id for user in sandbox.world.users]
    body = {"Columns": {"Include_CSV": "UserID"}, "GroupConditions": groups, "GroupOperator": None} | more
    shown = await reported(sandbox, "POST", SEARCH, body)
    return [users.index(user["UserID"]) for user in shown["Users"]]


async def test_a_user_is_found_whether_active_or_listed_or_not() -> None:
    sandbox = a_sandbox(listed_users=1)
    for at, active in ((0, True), (3, True), (9, False)):
        user = sandbox.world.users[at]
        for name, value in (("UserID", user.id), ("EmailAddress", user.email.upper())):
            body = {"Columns": {"Include_CSV": "*"}, "GroupConditions": [group(condition(name, "eq", value))]}
            assert await reported(sandbox, "POST", SEARCH, body) == {
                "RecordCount": 1,
                "Users": [
                    {
                        "UserID": user.id,
                        "FirstName": user.first_name,
                        "LastName": user.last_name,
                        "EmailAddress": user.email,
                        "Role": user.role,
                        "StatusCode": 0 if active else 1,
                        "Tag": None,
                    }
                ],
            }


async def test_what_was_not_asked_for_is_null() -> None:
    body = {"Columns": {"Include_CSV": "userid, StatusCode"}, "Paging": {"PageIndex": 2, "PageSize": 9}}
    shown = await reported(sandbox := a_sandbox(), "POST", SEARCH, body)
    assert shown["RecordCount"] == 12
    assert [user["UserID"] for user in shown["Users"]] == [user.id for user in sandbox.world.users[9:]]
    assert [user["StatusCode"] for user in shown["Users"]] == [1, 0, 0]
    assert {user[name] for user in shown["Users"] for name in ("FirstName", "EmailAddress", "Role")} == {None}


async def test_conditions_and_groups_are_joined_as_they_say() -> None:
    sandbox = a_sandbox()
    first, second = (condition("UserID", "eq", user.id) for user in sandbox.world.users[1:3])
    sales = condition("Role", "lik", "sales")
    assert await found_users(sandbox) == [*range(12)]
    assert await found_users(sandbox, group(sales)) == [*range(1, 12)]
    assert await found_users(sandbox, group(first, second)) == []
    assert await found_users(sandbox, group(first, sales)) == [1]
    assert await found_users(sandbox, group(first | {"ConditionOperator": "or"}, second)) == [1, 2]
    assert await found_users(sandbox, group(first), group(second)) == []
    assert await found_users(sandbox, group(first), group(second), GroupOperator="OR") == [1, 2]
    assert await found_users(sandbox, group(first, join="OR"), group(second)) == [1, 2]


async def test_users_are_sorted_as_asked() -> None:
    sandbox = a_sandbox()
    by_address = sorted(range(12), key=lambda at: sandbox.world.users[at].email)
    column = {"ColumnName": "EmailAddress"}
    assert await found_users(sandbox, Sorting=[column | {"Direction": 0}]) == by_address
    assert await found_users(sandbox, Sorting=[column | {"Direction": 1}]) == by_address[::-1]


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (condition("UserId", "eq", "x"), 500),
        (condition("UserID", "gt", "x"), 500),
        (condition("UserID", "", "x"), 500),
        ("UserID", 400),
    ],
)
async def test_a_search_that_makes_no_sense_is_refused(bad: object, status: int) -> None:
    reply = await ask(a_sandbox(), "POST", SEARCH, {"GroupConditions": [{"Condition": [bad]}]})
    assert reply.status == status
    assert json.loads(reply.body)["Status"] == "Error"


@pytest.mark.parametrize("ids", [True, "x", [1], {"x": 1}])
async def test_ids_that_are_no_array_of_texts_are_a_400(ids: object) -> None:
    body = {"SearchParameters": {"LeadIds": ids}, "Columns": {"Include_CSV": "ProspectID"}}
    assert (await ask(a_sandbox(), "POST", "LeadManagement.svc/Leads/Retrieve/ByIds", body)).status == 400
