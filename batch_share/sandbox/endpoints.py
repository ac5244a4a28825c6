"""Every API that the sandbox imitates: what it takes, checks, does and shows, and what people call it.

An API is a function here, and a line of HANDLERS. Which exception a bad element raises is documented for few of
them; all come as an MX exception with words. Whoever looks up what is not there finds an empty array, never an
error (https://apidocs.leadsquared.com/search-by-lead-criteria/).
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from batch_share.common import MAX_DURATION_MINUTES
from batch_share.sandbox.account import DEFAULT_MINUTES, Grant, read_date, show_date
from batch_share.sandbox.wire import Json, Refusal, Reply, json_array, json_object, missing, mistyped, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from batch_share.sandbox.account import Activity, SandboxAccount
    from batch_share.sandbox.wire import SandboxCall
    from batch_share.sandbox.world import Lead, User

    Handler: TypeAlias = Callable[[SandboxAccount, SandboxCall], Any]

MAX_BULK = 25  # activities of a call, as documented
MAX_NOTE = 2000  # characters, as documented; more than batch_share ever sends
MAX_FIELD = 200  # characters of a text field, as documented
MAX_IDS = 10_000  # leads of a call, as documented
MAX_PAGE = 1000  # of leads, users and activities: as documented, and seen live
_KEPT = 100  # characters that the record keeps of what a caller names: a GUID has 36
# As ASP.NET validates requests: a tag, a closing tag, a comment, an entity. "a < b" and "<3" pass.
_MARKUP = re.compile(r"<[a-z!/?]|&#", re.IGNORECASE)
_FIELD_NAME = re.compile(r"Owner|Status|mx_Custom_[0-9]{1,2}")
_EVENT_NAMES = {201: "Site visit", 202: "Call back", 999: "Old campaign"}
_SORT_KEYS: dict[str, Callable[[Activity], Any]] = {
    "ProspectActivityId": operator.attrgetter("id"),
    "CreatedOn": operator.attrgetter("created_on"),
    "ModifiedOn": operator.attrgetter("modified_on"),
}

# ----------------------------------------------------------------------- ProspectActivity.svc: posting and reading


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
    call.lead, call.user = draft.lead_id[:_KEPT], draft.owner_id[:_KEPT] or None
    activity = _post(account, draft)
    call.user, call.activity = activity.owner.id, activity.id
    return {"Status": "Success", "Message": {"Id": activity.id}}


def create_many(account: SandboxAccount, call: SandboxCall) -> Any:
    """POST Bulk/CustomActivity/Add/ByLeadId: up to 25 activities, each accepted or refused by itself.

    https://apidocs.leadsquared.com/post-bulk-activities-on-leads/; the form of a refused row is from client code.
    """
    drafts = [Draft.read(item) for item in json_array(call.body)]
    if not 1 <= len(drafts) <= MAX_BULK:
        raise refusal("MXInvalidInputException", f"Between 1 and {MAX_BULK} activities can be posted in a call")
    rows: list[dict[str, Any]] = []
    for number, draft in enumerate(drafts, start=1):
        row: dict[str, Any] = {"RowNumber": number, "ProspectActivityId": None, "ActivityCreated": False}
        try:
            row |= {"ProspectActivityId": _post(account, draft).id, "ActivityCreated": True}
        except Refusal as refused:
            row |= {"ExceptionType": refused.kind, "ExceptionMessage": refused.words}
        rows.append(row)
    call.lead = ",".join(draft.lead_id[:_KEPT] for draft in drafts)
    call.activity = ",".join(row["ProspectActivityId"] or "" for row in rows)
    return {"Response": rows}


def _post(account: SandboxAccount, draft: Draft) -> Activity:
    """Make the activity. Raises Refusal for whatever of it the account does not take."""
    if not draft.lead_id:
        raise missing("RelatedProspectId")
    lead = account.world.lead(draft.lead_id)
    if lead is None:
        raise refusal("MXInvalidEntityException", "Lead does not exist in the system")
    if not draft.event:
        raise refusal("MXInvalidActivityException", "Event Code is invalid or empty")
    if draft.event not in map(str, account.options.activity_types):
        words = "Invalid event code"  # in a 200, as seen live for a deactivated activity type
        raise Refusal(Reply.json({"Status": "Failed", "Message": {"Message": words}}), "", words)
    unknown = [name for name in draft.fields if not _FIELD_NAME.fullmatch(name)]
    if unknown:
        raise refusal("MXUnknownAttributeException", f"Attribute(s) does not exist - {','.join(unknown)}")
    if any(_MARKUP.search(text) for text in (draft.note, *draft.fields.values())):
        raise refusal("MXXSSException", "A potentially dangerous value was detected in the request")
    if len(draft.note) > MAX_NOTE or any(len(text) > MAX_FIELD for text in draft.fields.values()):
        raise refusal("MXInvalidInputException", f"A note has at most {MAX_NOTE} characters, a field {MAX_FIELD}")
    date = read_date(draft.date) if draft.date else None
    owner: User | None = account.world.key_user  # where none is named, or whoever is is ignored
    if not account.options.ignore_owner and (draft.owner_email or draft.owner_id):
        by_email = account.world.user_with_email(draft.owner_email)
        owner = by_email if draft.owner_email else account.world.user(draft.owner_id)
    if owner is None or not owner.active:
        raise refusal("MXInvalidInputException", "Owner is not an active user of the account")
    return account.post(lead, int(draft.event), draft.note, owner, draft.fields, date)


def of_lead(account: SandboxAccount, call: SandboxCall) -> Any:
    """POST Retrieve?leadId=: a lead's activities, latest first, 25 where no page size is given.

    https://apidocs.leadsquared.com/get-activities-of-a-lead/; `Offset` is the page, from 0, as seen live.
    """
    call.lead = call.parameter("leadId")[:_KEPT]
    lead = account.world.lead(call.lead)
    if lead is None:
        raise refusal("MXInvalidEntityException", "Lead does not exist in the system")
    body = json_object(call.body)
    event, paging = body.child("Parameter").integer("ActivityEvent"), body.child("Paging")
    found = [activity for activity in reversed(account.visible(lead)) if event in {None, activity.event}]
    size = paging.integer("RowCount") or 25
    count, page = _page_of_activities(account, found, size, paging.integer("Offset") or 0)
    entries = [
        {
            "Id": activity.id,
            "EventCode": activity.event,
            "EventName": _event_name(activity.event),
            "ActivityScore": 0,
            "CreatedOn": show_date(activity.created_on),
            "ModifiedOn": show_date(activity.modified_on),
            "ActivityType": 2,
            "Type": "Custom",
            "RelatedProspectId": activity.lead.id,
            "Data": [
                {"Key": "NotableEventDescription", "Value": "" if account.options.hide_note else activity.note}
            ],
            "ActivityFields": _fields(account, activity),
        }
        for activity in page
    ]
    return {"RecordCount": count, "ProspectActivities": entries}


def details(account: SandboxAccount, call: SandboxCall) -> Any:
    """GET GetActivityDetails?activityId=: one activity, field by field.

    https://apidocs.leadsquared.com/get-activity-details/
    """
    call.activity = call.parameter("activityId")[:_KEPT]
    activity = account.activities.get(call.activity.lower())
    if activity is None or activity not in account.visible(activity.lead):
        raise refusal("MXUnknownProspectActivityException", "Activity does not exist.")
    fields = [
        {"SchemaName": name, "DisplayName": name, "Value": value, "DataType": "String", "IsMandatory": False}
        for name, value in _fields(account, activity).items()
    ]
    name = _event_name(activity.event)
    return {"ID": activity.id, "Name": name, "DisplayName": name, "Fields": fields}


def by_event(account: SandboxAccount, call: SandboxCall) -> Any:
    """POST CustomActivity/RetrieveByActivityEvent: the account's activities of a type, by when they were modified.

    https://apidocs.leadsquared.com/bulk-retrieve-activities-by-activity-event/; the bounds are whole seconds, what
    they are compared with is not; `List` is left out when it is empty (both seen live). Direction 1 is descending,
    as on the pages that explain it; an unknown column leaves the order alone.
    """
    body = json_object(call.body)
    parameter, sorting, paging = body.child("Parameter"), body.child("Sorting"), body.child("Paging")
    since, until = read_date(parameter.needed("FromDate")), read_date(parameter.needed("ToDate"))
    event = parameter.integer("ActivityEvent")
    if event is None:
        raise refusal("MXInvalidActivityException", "Event Code is invalid or empty")
    found = [item for item in account.visible() if item.event == event and since <= item.modified_on <= until]
    if key := _SORT_KEYS.get(sorting.text("ColumnName") or ""):
        found.sort(key=key, reverse=sorting.integer("Direction") == 1)
    size = paging.integer("PageSize") or 100
    count, page = _page_of_activities(account, found, size, (paging.integer("PageIndex") or 1) - 1)
    creator = account.world.key_user
    entries = [
        {
            "ProspectActivityId": activity.id,
            "RelatedProspectId": activity.lead.id,
            "ActivityType": 2,
            "ActivityEvent": activity.event,
            "CreatedOn": show_date(activity.created_on),
            "CreatedBy": creator.id,
            "CreatedByEmailAddress": creator.email,
            "ModifiedOn": show_date(activity.modified_on),
        }
        | _fields(account, activity)
        for activity in page
    ]
    return {"RecordCount": count} | ({"List": entries} if entries else {})


def types(account: SandboxAccount, call: SandboxCall) -> Any:  # noqa: ARG001 - every handler takes the call
    """GET ActivityTypes.Get: the codes that activities may have, and what people call them."""
    return [
        {"ActivityEvent": event, "ActivityEventName": _event_name(event), "Score": 0}
        for event in (*account.options.activity_types, *account.options.deactivated_types)
    ]


def _page_of_activities(
    account: SandboxAccount, found: list[Activity], size: int, page: int
) -> tuple[int, list[Activity]]:
    """The RecordCount and the activities of a page, from 0, as the account lists them."""
    if not 1 <= size <= MAX_PAGE:
        raise refusal("MXInvalidInputException", f"PageSize can not be more than {MAX_PAGE}.")
    paging = account.options.paging
    if paging == "oldest-first":
        found = sorted(found, key=lambda activity: activity.posted_at)
    start = 0 if paging == "ignored" else max(page, 0) * size
    shown = found[start : start + size]
    return len(shown if paging == "page-count" else found), shown


def _fields(account: SandboxAccount, activity: Activity) -> dict[str, str]:
    """The fields of an activity, as far as the account shows them."""
    shown, owner = {"Status": "Active"}, activity.owner
    if not account.options.hide_note:
        shown = {"ActivityEvent_Note": activity.note} | shown
    forms = {"id": owner.id, "email": owner.email, "name": owner.name, "both": owner.name}
    if not account.options.hide_owner:
        shown["Owner"] = forms[account.options.owners]
        if account.options.owners == "both":
            shown |= {"OwnerId": owner.id, "OwnerIdEmailAddress": owner.email, "OwnerIdName": owner.name}
    return shown | dict(activity.fields)


def _event_name(event: int) -> str:
    return _EVENT_NAMES.get(event, f"Activity {event}")


# ----------------------------------------------- EntityAccess.svc: https://apidocs.leadsquared.com/entity-sharing/

SHARE = "EntityAccess.svc/Share"
REVOKE = "EntityAccess.svc/Revoke"
STATUS = "EntityAccess.svc/Status/Get"
_CONSTANTS = {"Entity": 1, "EntityType": 3, "ContextEntity": 1}
# Only 6 is documented, with this text. The other numbers are inventions that a client must not rely on.
_PROGRESS = {
    "queued": (1, "Request is queued."),
    "processing": (3, "Request is being processed."),
    "processed": (6, "Request processed successfully."),
    "failed": (5, "Request processed with errors."),
}


def share_or_revoke(account: SandboxAccount, call: SandboxCall) -> Any:
    """POST Share, POST Revoke: grant users access to leads in the context of activities they own, or take it back.

    https://apidocs.leadsquared.com/share-a-lead/, https://apidocs.leadsquared.com/revoke-access-to-a-shared-lead/.
    All elements are checked before any is accepted. A grant is revoked whatever its access type; revoking one that
    is not there is accepted.
    """
    items, most = json_array(call.body), account.options.share_batch
    call.lead, call.user, call.activity = (
        ",".join((item.text(name) or "")[:_KEPT] for item in items)
        for name in ("EntityId", "UserId", "ContextEntityId")
    )
    if not 1 <= len(items) <= most:
        raise refusal("MXInvalidInputException", f"Between 1 and {most} entities can be shared in a request")
    is_share = call.endpoint == SHARE
    grants = tuple(_grant(account, item, is_share=is_share) for item in items)
    return {"Status": "Success", "Message": {"Id": account.accept("share" if is_share else "revoke", grants).id}}


def _grant(account: SandboxAccount, item: Json, *, is_share: bool) -> Grant:
    """What an element asks to be granted, or revoked. Raises Refusal."""
    wrong, minutes = "MXInvalidInputException", DEFAULT_MINUTES
    if is_share:
        item.needed("AccessType")
        asked = item.integer("DurationInMinutes")
        minutes = DEFAULT_MINUTES if asked is None else asked
        if not 1 <= minutes <= MAX_DURATION_MINUTES:
            raise refusal(wrong, "DurationInMinutes is out of range")
    access = item.integer("AccessType") or (None if is_share else 1)
    for name, value in _CONSTANTS.items():
        item.needed(name)
        if item.integer(name) != value:
            raise refusal(wrong, f"{name} is not supported")
    if access not in {1, 2}:
        raise refusal(wrong, "AccessType is 1 (read) or 2 (write)")
    lead = account.world.numbers.get(item.needed("EntityId"))  # its ProspectAutoId, not its GUID
    if lead is None:
        raise refusal("MXInvalidEntityException", "Lead does not exist in the system")
    user = account.world.user(item.needed("UserId"))
    if user is None:
        raise refusal(wrong, "User does not exist in the system")
    activity = account.activities.get(item.needed("ContextEntityId").lower())
    if activity is None or activity.lead != lead:
        raise refusal(wrong, "Activity does not exist on the lead")
    if is_share and not user.active:
        raise refusal(wrong, "User is not an active user of the account")
    if is_share and activity.owner != user:
        raise refusal(wrong, "User is not the owner of the activity")
    return Grant(lead, user, activity, access, minutes)


def status(account: SandboxAccount, call: SandboxCall) -> Any:
    """GET Status/Get?id=: https://apidocs.leadsquared.com/get-status-of-a-share-revoke-request/"""
    request = account.requests.get(call.parameter("id").lower())
    if request is None:
        raise refusal("MXInvalidInputException", "Request Id does not exist")
    state = request.state(account.clock.time())
    number, text = _PROGRESS[state]
    return {
        "Status": "Success",
        "Message": {"ResponseText": text},
        "ShareStatus": number,
        "ErrorMessage": request.error if state == "failed" else None,
    }


# ---------------------------------------------- LeadManagement.svc, UserManagement.svc, Authentication.svc: people

_NUMBER = re.compile(r"\s*[0-9]{1,18}\s*", re.ASCII)  # what surely fits into 64 bits
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TESTS: dict[str, Callable[[str, str], bool]] = {"eq": operator.eq, "lik": operator.contains}


def one_lead(account: SandboxAccount, call: SandboxCall) -> Any:
    """GET Leads.GetById?id=, Leads.GetByEmailaddress?emailaddress=, RetrieveLeadByPhoneNumber?phone=.

    https://apidocs.leadsquared.com/get-a-lead-by-email-id/, https://apidocs.leadsquared.com/get-lead-by-phone/; a
    phone number with or without its country code.
    """
    if call.endpoint == "LeadManagement.svc/Leads.GetById":
        call.lead = call.query.get("id", "")[:_KEPT]
        lead = account.world.lead(call.lead)
        found = [lead] if lead else []
    elif call.endpoint == "LeadManagement.svc/Leads.GetByEmailaddress":
        email = call.query.get("emailaddress", "").strip().lower()
        found = [lead for lead in account.world.leads if lead.email == email]
    else:
        digits = re.sub(r"\D", "", call.query.get("phone", ""))
        phones = [(lead, re.sub(r"\D", "", lead.phone)) for lead in account.world.leads]
        found = [lead for lead, phone in phones if digits in {phone, phone[-10:]}]
    return [_shown_lead(lead) for lead in found]


def leads_by_ids(account: SandboxAccount, call: SandboxCall) -> Any:
    """POST Leads/Retrieve/ByIds: up to 10,000 GUIDs; those that are unknown are simply not there.

    https://apidocs.leadsquared.com/get-leads-in-bulk-by-ids/
    """
    body = json_object(call.body)
    wanted = body.child("SearchParameters").properties.get("LeadIds") or []
    if not isinstance(wanted, list) or not all(isinstance(item, str) for item in wanted):
        raise mistyped("LeadIds")
    columns = body.child("Columns").text("Include_CSV")
    if not wanted or not columns:
        raise missing("Include_CSV" if wanted else "LeadIds")
    if len(wanted) > MAX_IDS:
        raise refusal("MXInvalidInputException", f"Number of leads can not be more than {MAX_IDS}.")
    found = [lead for lead in map(account.world.lead, dict.fromkeys(wanted)) if lead]
    return {"RecordCount": len(found), "Leads": [_shown_lead(lead, columns) for lead in found[_page(body)]]}


def leads_by_criteria(account: SandboxAccount, call: SandboxCall) -> Any:
    """POST Leads.Get: https://apidocs.leadsquared.com/search-by-lead-criteria/

    Its traps are as seen live: a LookupName in the wrong case finds nothing, a body without `Parameter` finds
    everybody, and a page is never larger than 1000. Of the columns only ProspectAutoId has an order here: it is
    compared as a number, and sorted by, downwards if Direction is 1, unless the account's `lead_lists` are odd.
    """
    body, lists, is_list = json_object(call.body), account.options.lead_lists, False
    found: Sequence[Lead] = account.world.leads
    in_order: Callable[[Lead], Any]
    in_order = (lambda lead: str(lead.number)) if lists == "as-text" else operator.attrgetter("number")
    if "Parameter" in body.properties:
        parameter = body.child("Parameter")
        name, value = parameter.needed("LookupName"), parameter.text("LookupValue") or ""
        sign = (parameter.text("SqlOperator") or "=").strip().upper()
        wanted = {item.strip().casefold() for item in (value.split(",") if sign == "IN" else [value])}
        if sign in _ORDERS and name == "ProspectAutoId":
            if not _NUMBER.fullmatch(value):
                raise refusal("MXInvalidInputException", "LookupValue is not a number")
            if lists == "refused":
                raise refusal("MXInvalidEntityException", f"Operator {sign} is not supported")
            least: Any = value.strip() if lists == "as-text" else int(value)
            found, is_list = [lead for lead in found if _ORDERS[sign](in_order(lead), least)], True
        elif sign not in {"=", "IN"} or (sign == "IN" and account.options.refuse_in):
            raise refusal("MXInvalidEntityException", f"Operator {sign[:20]} is not supported")
        elif name == "ProspectAutoId":
            found = [lead for lead in map(account.world.numbers.get, sorted(wanted)) if lead]
        else:
            shown = [(lead, str(_shown_lead(lead).get(name, "")).casefold()) for lead in found]
            found = [lead for lead, theirs in shown if theirs in wanted - {""}]
    sorting = body.child("Sorting")
    if sorting.text("ColumnName") == "ProspectAutoId":
        key = operator.attrgetter("id") if lists == "unsorted" else in_order
        found = sorted(found, key=key, reverse=sorting.integer("Direction") == 1)
    if lists == "skipping" and is_list:
        found = [lead for at, lead in enumerate(found) if at % 10 != 7]  # of every ten one, and never the first
    page = found[_page(body, account.options.lead_page)]
    if lists == "repeating" and is_list:
        page = [*page[:2], *page[1:]]
    columns = body.child("Columns").text("Include_CSV")
    return [_shown_lead(lead, columns) for lead in page]


def _page(body: Json, most: int = MAX_PAGE) -> slice:
    paging = body.child("Paging")
    size = min(max(paging.integer("PageSize") or 100, 1), most)
    start = max((paging.integer("PageIndex") or 1) - 1, 0) * size
    return slice(start, start + size)


def _shown_lead(lead: Lead, columns: str | None = None) -> dict[str, Any]:
    """A lead as reads show it, in the columns asked for: their case does not matter, the answer's is its own."""
    shown = {
        "ProspectID": lead.id,
        "ProspectAutoId": str(lead.number),
        "FirstName": lead.first_name,
        "LastName": lead.last_name,
        "EmailAddress": lead.email,
        "Phone": lead.phone,
        "OwnerId": lead.owner_id,
    }
    if not columns:
        return shown
    asked = {column.strip().lower() for column in columns.split(",")}
    return {name: value for name, value in shown.items() if name.lower() in asked}


def users(account: SandboxAccount, call: SandboxCall) -> Any:  # noqa: ARG001 - every handler takes the call
    """GET Users.Get, as many as the account lists: https://apidocs.leadsquared.com/get-users/"""
    return [_shown_user("ID", user) for user in account.world.users[: account.options.listed_users]]


def users_by_criteria(account: SandboxAccount, call: SandboxCall) -> Any:
    """POST User/AdvancedSearch, which finds inactive users too, and those that Users.Get does not list.

    https://apidocs.leadsquared.com/user-advanced-search/; what is not among the columns asked for is null. That
    conditions, and groups of them, are joined by AND unless one of them says OR is a guess.
    """
    body = json_object(call.body)
    everybody = [_shown_user("UserID", user) for user in account.world.users]
    found = [shown for shown in everybody if _fits(shown, body)]
    for sorting in reversed(body.children("Sorting")):
        column, downwards = sorting.needed("ColumnName"), sorting.integer("Direction") == 1
        found.sort(key=lambda shown: str(shown.get(column)), reverse=downwards)
    columns = (body.child("Columns").text("Include_CSV") or "*").lower()
    asked = {column.strip() for column in columns.split(",")}
    return {
        "RecordCount": len(found),
        "Users": [
            {name: value if "*" in asked or name.lower() in asked else None for name, value in shown.items()}
            for shown in found[_page(body)]
        ],
    }


def _fits(shown: dict[str, Any], body: Json) -> bool:
    """Whether a user is wanted by the GroupConditions."""
    groups = body.children("GroupConditions")
    verdicts = []
    for group in groups:
        conditions = group.children("Condition")
        met = []
        for condition in conditions:
            name, sign = condition.needed("LookupName"), condition.needed("Operator").lower()
            if name not in shown or sign not in _TESTS:
                raise refusal("MXInvalidInputException", f"{name[:50]} {sign[:20]} is not supported")
            value = (condition.text("LookupValue") or "").strip().casefold()
            met.append(_TESTS[sign](str(shown[name]).casefold(), value))
        says_or = any((each.text("ConditionOperator") or "").upper() == "OR" for each in conditions)
        verdicts.append(any(met) if says_or else all(met))
    says_or = any((each.text("GroupOperator") or "").upper() == "OR" for each in (body, *groups))
    return any(verdicts) if says_or else all(verdicts)


def one_user(account: SandboxAccount, call: SandboxCall) -> Any:
    """GET User/Retrieve/ByUserId?userId=, User/Retrieve/ByEmailAddress?emailAddress=; an inactive one is not found.

    https://apidocs.leadsquared.com/get-user-by-id/, answered in the same form by e-mail address.
    """
    if call.endpoint == "UserManagement.svc/User/Retrieve/ByUserId":
        user = account.world.user(call.query.get("userId", ""))
    else:
        user = account.world.user_with_email(call.query.get("emailAddress", ""))
    if user is None or not user.active:
        return []
    shown = _shown_user("UserId", user)
    del shown["StatusCode"], shown["Tag"]
    return [shown]


def _shown_user(id_name: str, user: User) -> dict[str, Any]:
    return {
        id_name: user.id,
        "FirstName": user.first_name,
        "LastName": user.last_name,
        "EmailAddress": user.email,
        "Role": user.role,
        "StatusCode": 0 if user.active else 1,
        "Tag": None,
    }


def key_user(account: SandboxAccount, call: SandboxCall) -> Any:
    """GET UserByAccessKey.Get: https://apidocs.leadsquared.com/user-authentication/"""
    user = account.world.key_user
    return {
        "Id": user.id,
        "Name": user.name,
        "Role": user.role,
        "EmailAddress": user.email,
        "TimeZone": "Asia/Kolkata",
        "OrgId": str(10_000 + account.options.seed + account.options.start),
        "OrgShortCode": "SANDBOX",
        "LSQCommonServiceURLs": {"api": call.host} if call.host else {},
    }


# ------------------------------------------------------------------------------------ all of them, and their names

BULK = "ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId"
HANDLERS: dict[tuple[str, str], Handler] = {
    ("POST", "ProspectActivity.svc/Create"): create,
    ("POST", BULK): create_many,
    ("POST", "ProspectActivity.svc/Retrieve"): of_lead,
    ("GET", "ProspectActivity.svc/GetActivityDetails"): details,
    ("POST", "ProspectActivity.svc/CustomActivity/RetrieveByActivityEvent"): by_event,
    ("GET", "ProspectActivity.svc/ActivityTypes.Get"): types,
    ("POST", SHARE): share_or_revoke,
    ("POST", REVOKE): share_or_revoke,
    ("GET", STATUS): status,
    ("POST", "LeadManagement.svc/Leads/Retrieve/ByIds"): leads_by_ids,
    ("POST", "LeadManagement.svc/Leads.Get"): leads_by_criteria,
    ("GET", "LeadManagement.svc/Leads.GetById"): one_lead,
    ("GET", "LeadManagement.svc/Leads.GetByEmailaddress"): one_lead,
    ("GET", "LeadManagement.svc/RetrieveLeadByPhoneNumber"): one_lead,
    ("GET", "UserManagement.svc/Users.Get"): users,
    ("GET", "UserManagement.svc/User/Retrieve/ByEmailAddress"): one_user,
    ("GET", "UserManagement.svc/User/Retrieve/ByUserId"): one_user,
    ("POST", "UserManagement.svc/User/AdvancedSearch"): users_by_criteria,
    ("GET", "Authentication.svc/UserByAccessKey.Get"): key_user,
}
"""What answers which method and path."""

_PATHS = [path for _, path in HANDLERS]
_GROUPS = {"Status": STATUS, "Bulk": BULK, "Leads": "LeadManagement.svc/", "Users": "UserManagement.svc/"}
NAMES: dict[str, frozenset[str]] = {
    **{name: frozenset(path for path in _PATHS if path.startswith(start)) for name, start in _GROUPS.items()},
    **{path.rpartition("/")[2]: frozenset({path}) for path in _PATHS},
    "helpers": frozenset(_PATHS) - {"ProspectActivity.svc/Create", SHARE, REVOKE, STATUS},
}
"""The endpoints behind a name: the last part of a path (`Share`, `Users.Get`), or Status, Bulk, Leads, Users.

`helpers` are all but those that post an activity, share, revoke and ask what became of it.
"""


def paths_of(name: str) -> frozenset[str]:
    """The endpoints behind a name, in any case. Raises ValueError, one sentence that names the choices."""
    found = {known.lower(): paths for known, paths in NAMES.items()}.get(name.strip().lower())
    if found is None:
        raise ValueError(f"there is no endpoint {name.strip()!r}: choose {', '.join(NAMES)}")
    return found
