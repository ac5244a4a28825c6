"""Reading activities back, and what their types are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asking import told

from batch_share.sandbox import Sandbox, SandboxOptions
from batch_share.sandbox.clock import ManualClock

if TYPE_CHECKING:
    from batch_share.sandbox.account import Activity

OF_LEAD, DETAILS = "ProspectActivity.svc/Retrieve", "ProspectActivity.svc/GetActivityDetails"
OF_TYPE = "ProspectActivity.svc/CustomActivity/RetrieveByActivityEvent"
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
    names = {201: "Site visit", 202: "Call back", 300: "Activity 300"}
    types = await told(sandbox, "GET", TYPES)
    assert {each["ActivityEvent"]: each["ActivityEventName"] for each in types} == names
    for event, name in names.items():
        activity = post(sandbox, event)
        assert (await told(sandbox, "GET", DETAILS, activityId=activity.id))["DisplayName"] == name
        shown = await told(sandbox, "POST", OF_LEAD, {}, leadId=activity.lead.id)
        assert (shown["ProspectActivities"][0]["EventCode"], shown["ProspectActivities"][0]["EventName"]) == (
            event,
            name,
        )
