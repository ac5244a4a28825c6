"""ProspectActivity.svc: reading activities back (https://apidocs.leadsquared.com/get-activities-of-a-lead/)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batch_share.sandbox.account import read_date, show_date
from batch_share.sandbox.wire import Json, json_object, missing, refusal

if TYPE_CHECKING:
    from batch_share.sandbox.account import Account, Activity
    from batch_share.sandbox.wire import Call
    from batch_share.sandbox.world import User

MAX_PAGE = 1000
_NAMES = {201: "Site visit", 202: "Call back"}
_SORT_KEYS = {
    "ProspectActivityId": lambda activity: activity.id,
    "CreatedOn": lambda activity: activity.created_on,
    "ModifiedOn": lambda activity: activity.modified_on,
}


def of_lead(account: Account, call: Call) -> Any:
    """POST Retrieve?leadId=: a lead's activities, latest first, 25 where no page size is given.

    https://apidocs.leadsquared.com/get-activities-of-a-lead/; `Offset` is the page, from 0, as seen live.
    """
    call.lead = _parameter(call, "leadId")
    lead = account.world.lead(call.lead)
    if lead is None:
        raise refusal("MXInvalidEntityException", "Lead does not exist in the system")
    body = json_object(call.body)
    event, paging = body.child("Parameter").integer("ActivityEvent"), body.child("Paging")
    found = [activity for activity in account.visible_on(lead) if event in {None, activity.event}]
    size = _page_size(paging, "RowCount", 25)
    count, page = _page(account, found, paging.integer("Offset") or 0, size)
    return {"RecordCount": count, "ProspectActivities": [_entry(account, activity) for activity in page]}


def details(account: Account, call: Call) -> Any:
    """GET GetActivityDetails?activityId=: one activity, field by field.

    https://apidocs.leadsquared.com/get-activity-details/
    """
    call.activity = _parameter(call, "activityId")
    activity = account.activity(call.activity)
    if activity is None or not account.is_visible(activity):
        raise refusal("MXUnknownProspectActivityException", "Activity does not exist.")
    fields = [
        {"SchemaName": name, "DisplayName": name, "Value": value, "DataType": "String", "IsMandatory": False}
        for name, value in _fields(account, activity).items()
    ]
    name = _name(activity.event)
    return {"ID": activity.id, "Name": name, "DisplayName": name, "Fields": fields}


def by_event(account: Account, call: Call) -> Any:
    """POST CustomActivity/RetrieveByActivityEvent: the account's activities of a type, by when they were modified.

    https://apidocs.leadsquared.com/bulk-retrieve-activities-by-activity-event/; the bounds are whole seconds, what
    they are compared with is not; `List` is left out when it is empty (both seen live).
    """
    body = json_object(call.body)
    parameter, paging = body.child("Parameter"), body.child("Paging")
    since, until = read_date(parameter.needed("FromDate")), read_date(parameter.needed("ToDate"))
    event = parameter.integer("ActivityEvent")
    if event is None:
        raise refusal("MXInvalidActivityException", "Event Code is invalid or empty")
    found = [item for item in account.visible() if item.event == event and since <= item.modified_on <= until]
    size = _page_size(paging, "PageSize", 100)
    ordered = _sorted(found, body.child("Sorting"))
    count, page = _page(account, ordered, (paging.integer("PageIndex") or 1) - 1, size)
    return {"RecordCount": count} | ({"List": [_event_entry(account, item) for item in page]} if page else {})


def types(account: Account, call: Call) -> Any:  # noqa: ARG001 - every handler takes the call
    """GET ActivityTypes.Get: the codes that activities may have, and what people call them."""
    return [
        {"ActivityEvent": event, "ActivityEventName": _name(event), "Score": 0}
        for event in account.options.activity_types
    ]


def _page_size(paging: Json, name: str, default: int) -> int:
    """The page size that was asked for, from 1 to 1000."""
    size = paging.integer(name) or default
    if not 1 <= size <= MAX_PAGE:
        raise refusal("MXInvalidInputException", f"PageSize can not be more than {MAX_PAGE}.")
    return size


def _page(account: Account, found: list[Activity], page: int, size: int) -> tuple[int, list[Activity]]:
    """The RecordCount and the activities of a page, from 0, as the account lists them."""
    paging = account.options.paging
    if paging == "oldest-first":
        found = sorted(found, key=lambda activity: activity.posted_at)
    start = 0 if paging == "ignored" else max(page, 0) * size
    shown = found[start : start + size]
    return len(shown if paging == "page-count" else found), shown


def _parameter(call: Call, name: str) -> str:
    value = call.query.get(name, "")
    if not value:
        raise missing(name)
    return value[:100]


def _sorted(activities: list[Activity], sorting: Json) -> list[Activity]:
    """Direction 1 is descending, as on the pages that explain it; an unknown column leaves the order alone."""
    key = _SORT_KEYS.get(sorting.text("ColumnName") or "")
    return sorted(activities, key=key, reverse=sorting.integer("Direction") == 1) if key else activities


def _fields(account: Account, activity: Activity) -> dict[str, str]:
    owner = {} if account.options.hide_owner else _owner(account.options.owners, activity.owner)
    note = {} if account.options.hide_note else {"ActivityEvent_Note": activity.note}
    return note | {"Status": "Active"} | owner | dict(activity.fields)


def _owner(form: str, owner: User) -> dict[str, str]:
    if form == "both":
        name, email = owner.name, owner.email
        return {"Owner": name, "OwnerId": owner.id, "OwnerIdEmailAddress": email, "OwnerIdName": name}
    return {"Owner": {"id": owner.id, "email": owner.email, "name": owner.name}[form]}


def _entry(account: Account, activity: Activity) -> dict[str, Any]:
    return {
        "Id": activity.id,
        "EventCode": activity.event,
        "EventName": _name(activity.event),
        "ActivityScore": 0,
        "CreatedOn": show_date(activity.created_on),
        "ModifiedOn": show_date(activity.modified_on),
        "ActivityType": 2,
        "Type": "Custom",
        "RelatedProspectId": activity.lead.id,
        "Data": [{"Key": "NotableEventDescription", "Value": "" if account.options.hide_note else activity.note}],
        "ActivityFields": _fields(account, activity),
    }


def _event_entry(account: Account, activity: Activity) -> dict[str, Any]:
    creator = account.world.key_user
    return {
        "ProspectActivityId": activity.id,
        "RelatedProspectId": activity.lead.id,
        "ActivityType": 2,
        "ActivityEvent": activity.event,
        "CreatedOn": show_date(activity.created_on),
        "CreatedBy": creator.id,
        "CreatedByEmailAddress": creator.email,
        "ModifiedOn": show_date(activity.modified_on),
    } | _fields(account, activity)


def _name(event: int) -> str:
    return _NAMES.get(event, f"Activity {event}")
