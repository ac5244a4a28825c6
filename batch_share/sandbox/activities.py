"""ProspectActivity.svc: posting activities, one or many, and reading them back.

https://apidocs.leadsquared.com/post-an-activity-to-lead/, https://apidocs.leadsquared.com/get-activities-of-a-lead/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch_share.sandbox.account import read_date, show_date
from batch_share.sandbox.wire import Json, Refusal, failed, json_array, json_object, missing, refusal, succeeded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_share.sandbox.account import Activity, SandboxAccount
    from batch_share.sandbox.wire import SandboxCall
    from batch_share.sandbox.world import Lead, User

MAX_BULK = 25
MAX_NOTE = 2000
MAX_FIELD = 200
# As ASP.NET validates requests: a tag, a closing tag, a comment, an entity. "a < b" and "<3" pass.
_MARKUP = re.compile(r"<[a-z!/?]|&#", re.IGNORECASE)
_FIELD_NAME = re.compile(r"Owner|Status|mx_Custom_[0-9]{1,2}")


@dataclass(frozen=True, slots=True)
class Draft:
    """An activity as its caller wrote it: well typed, not yet checked against the account."""

    lead_id: str
    event: str
    note: str
    owner_id: str
    owner_email: str
    date: str
    fields: Mapping[str, str]

    @classmethod
    def read(cls, body: Json) -> Draft:
        """Read the object of Create, or an element of the bulk call's array."""
        fields = {field.needed("SchemaName"): field.text("Value") or "" for field in body.children("Fields")}
        return cls(
            lead_id=body.text("RelatedProspectId") or "",
            event=body.text("ActivityEvent") or "",
            note=body.text("ActivityNote") or "",
            owner_id=fields.pop("Owner", ""),
            owner_email=body.text("ActivityOwnerEmail") or "",
            date=body.text("ActivityDateTime") or "",
            fields=fields,
        )


def create(account: SandboxAccount, call: SandboxCall) -> Any:
    """POST Create: one activity on a lead.

    https://apidocs.leadsquared.com/post-an-activity-to-lead/. The form with an e-mail address instead of the lead's
    GUID, which makes leads, is refused here as if the GUID were missing.
    """
    draft = Draft.read(json_object(call.body))
    call.lead, call.user = draft.lead_id[:100], draft.owner_id[:100] or None
    activity = _post(account, draft)
    call.user, call.activity = activity.owner.id, activity.id
    return succeeded(activity.id)


def create_many(account: SandboxAccount, call: SandboxCall) -> Any:
    """POST Bulk/CustomActivity/Add/ByLeadId: up to 25 activities, each accepted or refused by itself.

    https://apidocs.leadsquared.com/post-bulk-activities-on-leads/; the form of a refused row is from client code.
    """
    drafts = [Draft.read(item) for item in json_array(call.body)]
    if not 1 <= len(drafts) <= MAX_BULK:
        raise refusal("MXInvalidInputException", f"Between 1 and {MAX_BULK} activities can be posted in a call")
    rows = [_row(account, number, draft) for number, draft in enumerate(drafts, start=1)]
    call.lead = ",".join(draft.lead_id[:100] for draft in drafts)
    call.activity = ",".join(row["ProspectActivityId"] or "" for row in rows)
    return {"Response": rows}


def _row(account: SandboxAccount, number: int, draft: Draft) -> dict[str, Any]:
    row: dict[str, Any] = {"RowNumber": number, "ProspectActivityId": None, "ActivityCreated": False}
    try:
        return row | {"ProspectActivityId": _post(account, draft).id, "ActivityCreated": True}
    except Refusal as refused:
        return row | {"ExceptionType": refused.kind, "ExceptionMessage": refused.words}


def _post(account: SandboxAccount, draft: Draft) -> Activity:
    lead, event = _lead(account, draft), _event(account, draft)
    _check_texts(draft)
    date = read_date(draft.date) if draft.date else None
    return account.post(lead, event, draft.note, _owner(account, draft), draft.fields, date)


def _lead(account: SandboxAccount, draft: Draft) -> Lead:
    if not draft.lead_id:
        raise refusal("MXMandatoryAttributeMissingException", "'RelatedProspectId' is mandatory")
    lead = account.world.lead(draft.lead_id)
    if lead is None:
        raise refusal("MXInvalidEntityException", "Lead does not exist in the system")
    return lead


def _event(account: SandboxAccount, draft: Draft) -> int:
    if not draft.event:
        raise refusal("MXInvalidActivityException", "Event Code is invalid or empty")
    if draft.event not in map(str, account.options.activity_types):
        raise failed("Invalid event code")
    return int(draft.event)


def _check_texts(draft: Draft) -> None:
    unknown = [name for name in draft.fields if not _FIELD_NAME.fullmatch(name)]
    if unknown:
        raise refusal("MXUnknownAttributeException", f"Attribute(s) does not exist - {','.join(unknown)}")
    if any(_MARKUP.search(text) for text in (draft.note, *draft.fields.values())):
        raise refusal("MXXSSException", "A potentially dangerous value was detected in the request")
    if len(draft.note) > MAX_NOTE or any(len(text) > MAX_FIELD for text in draft.fields.values()):
        raise refusal("MXInvalidInputException", f"A note has at most {MAX_NOTE} characters, a field {MAX_FIELD}")


def _owner(account: SandboxAccount, draft: Draft) -> User:
    """The owner that was named, if it can be one; the key's own user where none was, or where it is ignored."""
    if account.options.ignore_owner or not (draft.owner_email or draft.owner_id):
        return account.world.key_user
    named = account.world.user_with_email(draft.owner_email) if draft.owner_email else None
    owner = named if draft.owner_email else account.world.user(draft.owner_id)
    if owner is None or not owner.active:
        raise refusal("MXInvalidInputException", "Owner is not an active user of the account")
    return owner


MAX_PAGE = 1000
_NAMES = {201: "Site visit", 202: "Call back", 999: "Old campaign"}
_SORT_KEYS = {
    "ProspectActivityId": lambda activity: activity.id,
    "CreatedOn": lambda activity: activity.created_on,
    "ModifiedOn": lambda activity: activity.modified_on,
}


def of_lead(account: SandboxAccount, call: SandboxCall) -> Any:
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


def details(account: SandboxAccount, call: SandboxCall) -> Any:
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


def by_event(account: SandboxAccount, call: SandboxCall) -> Any:
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


def types(account: SandboxAccount, call: SandboxCall) -> Any:  # noqa: ARG001 - every handler takes the call
    """GET ActivityTypes.Get: the codes that activities may have, and what people call them."""
    return [
        {"ActivityEvent": event, "ActivityEventName": _name(event), "Score": 0}
        for event in (*account.options.activity_types, *account.options.deactivated_types)
    ]


def _page_size(paging: Json, name: str, default: int) -> int:
    """The page size that was asked for, from 1 to 1000."""
    size = paging.integer(name) or default
    if not 1 <= size <= MAX_PAGE:
        raise refusal("MXInvalidInputException", f"PageSize can not be more than {MAX_PAGE}.")
    return size


def _page(account: SandboxAccount, found: list[Activity], page: int, size: int) -> tuple[int, list[Activity]]:
    """The RecordCount and the activities of a page, from 0, as the account lists them."""
    paging = account.options.paging
    if paging == "oldest-first":
        found = sorted(found, key=lambda activity: activity.posted_at)
    start = 0 if paging == "ignored" else max(page, 0) * size
    shown = found[start : start + size]
    return len(shown if paging == "page-count" else found), shown


def _parameter(call: SandboxCall, name: str) -> str:
    value = call.query.get(name, "")
    if not value:
        raise missing(name)
    return value[:100]


def _sorted(activities: list[Activity], sorting: Json) -> list[Activity]:
    """Direction 1 is descending, as on the pages that explain it; an unknown column leaves the order alone."""
    key = _SORT_KEYS.get(sorting.text("ColumnName") or "")
    return sorted(activities, key=key, reverse=sorting.integer("Direction") == 1) if key else activities


def _fields(account: SandboxAccount, activity: Activity) -> dict[str, str]:
    owner = {} if account.options.hide_owner else _shown_owner(account.options.owners, activity.owner)
    note = {} if account.options.hide_note else {"ActivityEvent_Note": activity.note}
    return note | {"Status": "Active"} | owner | dict(activity.fields)


def _shown_owner(form: str, owner: User) -> dict[str, str]:
    if form == "both":
        name, email = owner.name, owner.email
        return {"Owner": name, "OwnerId": owner.id, "OwnerIdEmailAddress": email, "OwnerIdName": name}
    return {"Owner": {"id": owner.id, "email": owner.email, "name": owner.name}[form]}


def _entry(account: SandboxAccount, activity: Activity) -> dict[str, Any]:
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


def _event_entry(account: SandboxAccount, activity: Activity) -> dict[str, Any]:
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
