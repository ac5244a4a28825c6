"""Reading activities back, and what their types are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asking import ManualClock, reported

from batch_share.sandbox import Sandbox, SandboxOptions

if TYPE_CHECKING:
    from batch_share.sandbox.account import Activity

OF_LEAD, DETAILS = "ProspectActivity.svc/Retrieve", "ProspectActivity.svc/GetActivityDetails"
OF_TYPE = "ProspectActivity.svc/CustomActivity/RetrieveByActivityEvent"
ALWAYS = {"FromDate": "2000-01-01 00:00:00", "ToDate": "2100-01-01 00:00:00", "ActivityEvent": 201}
TYPES = "ProspectActivity.svc/ActivityTypes.Get"


def a_sandbox(**changes: Any) -> Sandbox:
    """Two leads, five users, and three types of activity."""
    values: dict[str, Any] = {"leads": 2, "users": 5, "activity_types": (201, 202, 300)}
    return Sandbox(SandboxOptions(**values | changes), ManualClock())


def post(sandbox: Sandbox, event: int = 201, owner: int = 1) -> Activity:
    """An activity on the first lead."""
    world = sandbox.world
    return sandbox.account.post(world.leads[0], event, "n", world.users[owner], {}, None)


async def test_types_have_names_that_reads_show_too() -> None:
    sandbox = a_sandbox()
    names = {201: "Site visit", 202: "Call back", 300: "Activity 300", 999: "Old campaign"}
    types = await reported(sandbox, "GET", TYPES)
    assert {each["ActivityEvent"]: each["ActivityEventName"] for each in types} == names
    for event, name in names.items():
        activity = post(sandbox, event)
        assert (await reported(sandbox, "GET", DETAILS, activityId=activity.id))["DisplayName"] == name
        shown = await reported(sandbox, "POST", OF_LEAD, {}, leadId=activity.lead.id)
        assert (shown["ProspectActivities"][0]["EventCode"], shown["ProspectActivities"][0]["EventName"]) == (
            event,
            name,
        )


# ------------------------------------------------------------------------------------------------- owners


async def shown_owners(sandbox: Sandbox) -> list[dict[str, str]]:
    """What each of the three reads shows that has to do with an owner."""
    activity = post(sandbox)
    details = await reported(sandbox, "GET", DETAILS, activityId=activity.id)
    of_lead = await reported(sandbox, "POST", OF_LEAD, {}, leadId=activity.lead.id)
    (of_type,) = (await reported(sandbox, "POST", OF_TYPE, {"Parameter": ALWAYS}))["List"]
    shown = [
        {field["SchemaName"]: field["Value"] for field in details["Fields"]},
        of_lead["ProspectActivities"][0]["ActivityFields"],
        of_type,
    ]
    return [{name: value for name, value in each.items() if name.startswith("Owner")} for each in shown]


@pytest.mark.parametrize(("form", "attribute"), [("id", "id"), ("email", "email"), ("name", "name")])
async def test_an_owner_is_shown_as_the_account_does(form: str, attribute: str) -> None:
    sandbox = a_sandbox(owners=form)
    assert await shown_owners(sandbox) == [{"Owner": getattr(sandbox.world.users[1], attribute)}] * 3


async def test_an_owner_may_be_shown_under_four_names_and_under_none() -> None:
    sandbox = a_sandbox(owners="both")
    user = sandbox.world.users[1]
    assert (
        await shown_owners(sandbox)
        == [{"Owner": user.name, "OwnerId": user.id, "OwnerIdEmailAddress": user.email, "OwnerIdName": user.name}]
        * 3
    )
    assert await shown_owners(a_sandbox(owners="both", hide_owner=True)) == [{}] * 3


# ------------------------------------------------------------------------------------------------- paging


async def listed(paging: str, pages: int = 4) -> list[tuple[int, list[int]]]:
    """RecordCount and activities (0 is the oldest) of each page of two, of a lead with five activities."""
    sandbox = a_sandbox(paging=paging)
    assert isinstance(sandbox.clock, ManualClock)
    posted = []
    for _ in range(5):
        posted.append(post(sandbox).id)
        sandbox.clock.advance(1.0)
    answers = []
    latest_first = {"ColumnName": "ModifiedOn", "Direction": 1}
    for page in range(pages):
        asked: dict[str, Any] = {"Paging": {"Offset": str(page), "RowCount": "2"}}
        of_lead = await reported(sandbox, "POST", OF_LEAD, asked, leadId=sandbox.world.leads[0].id)
        asked = {"Paging": {"PageIndex": page + 1, "PageSize": 2}, "Parameter": ALWAYS, "Sorting": latest_first}
        of_type = await reported(sandbox, "POST", OF_TYPE, asked)
        ids = [entry["Id"] for entry in of_lead["ProspectActivities"]]
        assert ids == [entry["ProspectActivityId"] for entry in of_type.get("List", [])]
        assert of_lead["RecordCount"] == of_type["RecordCount"]
        answers.append((of_lead["RecordCount"], [posted.index(each) for each in ids]))
    return answers


@pytest.mark.parametrize(
    ("paging", "pages"),
    [
        ("usual", [(5, [4, 3]), (5, [2, 1]), (5, [0]), (5, [])]),
        ("ignored", [(5, [4, 3])] * 4),
        ("oldest-first", [(5, [0, 1]), (5, [2, 3]), (5, [4]), (5, [])]),
        ("page-count", [(2, [4, 3]), (2, [2, 1]), (1, [0]), (0, [])]),
    ],
)
async def test_activities_are_listed_as_the_account_does(paging: str, pages: list[tuple[int, list[int]]]) -> None:
    assert await listed(paging) == pages


@pytest.mark.parametrize("odd", [{"owners": "odd"}, {"paging": "odd"}])
def test_an_unknown_form_is_refused_with_the_choices(odd: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=r"(owners can't be 'odd': choose id, |paging can't be 'odd': choose usual, )"
    ):
        SandboxOptions(**odd)
