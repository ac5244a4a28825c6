"""LeadManagement.svc, UserManagement.svc and Authentication.svc: looking up leads and users.

Whatever is not found is an empty array, never an error (https://apidocs.leadsquared.com/search-by-lead-criteria/).
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any

from batch_share.sandbox.wire import Json, json_object, missing, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batch_share.sandbox.account import SandboxAccount
    from batch_share.sandbox.wire import SandboxCall
    from batch_share.sandbox.world import Lead, User

MAX_IDS = 10_000
MAX_PAGE = 1000
_NUMBER = re.compile(r"\s*[0-9]{1,18}\s*", re.ASCII)
_ORDERS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TESTS: dict[str, Callable[[str, str], bool]] = {"eq": operator.eq, "lik": operator.contains}


def lead_by_id(account: SandboxAccount, call: SandboxCall) -> Any:
    """GET Leads.GetById?id="""
    call.lead = call.query.get("id", "")[:100]
    lead = account.world.lead(call.lead)
    return [_lead(lead)] if lead else []


def lead_by_email(account: SandboxAccount, call: SandboxCall) -> Any:
    """GET Leads.GetByEmailaddress?emailaddress=: https://apidocs.leadsquared.com/get-a-lead-by-email-id/"""
    email = call.query.get("emailaddress", "").strip().lower()
    return [_lead(lead) for lead in account.world.leads if lead.email == email]


def lead_by_phone(account: SandboxAccount, call: SandboxCall) -> Any:
    """GET RetrieveLeadByPhoneNumber?phone=, with or without the country code.

    https://apidocs.leadsquared.com/get-lead-by-phone/
    """
    digits = re.sub(r"\D", "", call.query.get("phone", ""))
    return [_lead(lead) for lead in account.world.leads if digits in _phone_forms(lead)]


def leads_by_ids(account: SandboxAccount, call: SandboxCall) -> Any:
    """POST Leads/Retrieve/ByIds: up to 10,000 GUIDs; those that are unknown are simply not there.

    https://apidocs.leadsquared.com/get-leads-in-bulk-by-ids/
    """
    body = json_object(call.body)
    wanted = body.child("SearchParameters").strings("LeadIds")
    if not wanted:
        raise missing("LeadIds")
    if not body.child("Columns").text("Include_CSV"):
        raise missing("Include_CSV")
    if len(wanted) > MAX_IDS:
        raise refusal("MXInvalidInputException", f"Number of leads can not be more than {MAX_IDS}.")
    found = [lead for lead in map(account.world.lead, dict.fromkeys(wanted)) if lead]
    return {"RecordCount": len(found), "Leads": _page(found, body)}


def leads_by_criteria(account: SandboxAccount, call: SandboxCall) -> Any:
    """POST Leads.Get: https://apidocs.leadsquared.com/search-by-lead-criteria/

    Its traps are as seen live: a LookupName in the wrong case finds nothing, a body without `Parameter` finds
    everybody, and a page is never larger than 1000. Of the columns only ProspectAutoId has an order here: it is
    compared as a number, and sorted by, downwards if Direction is 1.
    """
    body = json_object(call.body)
    found: Sequence[Lead] = account.world.leads
    if "Parameter" in body.properties:
        found = _matching(account, body.child("Parameter"))
    sorting = body.child("Sorting")
    if sorting.text("ColumnName") == "ProspectAutoId":
        found = sorted(found, key=lambda lead: lead.number, reverse=sorting.integer("Direction") == 1)
    return _page(found, body)


def users(account: SandboxAccount, call: SandboxCall) -> Any:  # noqa: ARG001 - every handler takes the call
    """GET Users.Get, as many as the account lists: https://apidocs.leadsquared.com/get-users/"""
    return [{"ID": user.id} | _user(user) for user in account.world.users[: account.options.listed_users]]


def users_by_criteria(account: SandboxAccount, call: SandboxCall) -> Any:
    """POST User/AdvancedSearch, which finds inactive users too, and those that Users.Get does not list.

    https://apidocs.leadsquared.com/user-advanced-search/; what is not among the columns asked for is null. That
    conditions, and groups of them, are joined by AND unless one of them says OR is a guess.
    """
    body = json_object(call.body)
    found = [shown for user in account.world.users if _fits(shown := {"UserID": user.id} | _user(user), body)]
    for sorting in reversed(body.children("Sorting")):
        column, downwards = sorting.needed("ColumnName"), sorting.integer("Direction") == 1
        found.sort(key=lambda shown: str(shown.get(column)), reverse=downwards)
    columns = (body.child("Columns").text("Include_CSV") or "*").lower()
    asked = {column.strip() for column in columns.split(",")}
    return {
        "RecordCount": len(found),
        "Users": [
            {name: value if "*" in asked or name.lower() in asked else None for name, value in shown.items()}
            for shown in found[_page_of(body)]
        ],
    }


def user_by_id(account: SandboxAccount, call: SandboxCall) -> Any:
    """GET User/Retrieve/ByUserId?userId=: https://apidocs.leadsquared.com/get-user-by-id/"""
    return _found_user(account.world.user(call.query.get("userId", "")))


def user_by_email(account: SandboxAccount, call: SandboxCall) -> Any:
    """GET User/Retrieve/ByEmailAddress?emailAddress=, answered as by Id."""
    return _found_user(account.world.user_with_email(call.query.get("emailAddress", "")))


def key_user(account: SandboxAccount, call: SandboxCall) -> Any:
    """GET UserByAccessKey.Get: https://apidocs.leadsquared.com/user-authentication/"""
    user = account.world.key_user
    return {
        "Id": user.id,
        "Name": user.name,
        "Role": user.role,
        "EmailAddress": user.email,
        "TimeZone": "Asia/Kolkata",
        "OrgId": str(10_000 + account.options.seed),
        "OrgShortCode": "SANDBOX",
        "LSQCommonServiceURLs": {"api": call.host} if call.host else {},
    }


def _matching(account: SandboxAccount, parameter: Json) -> list[Lead]:
    name, value = parameter.needed("LookupName"), parameter.text("LookupValue") or ""
    sign = (parameter.text("SqlOperator") or "=").strip().upper()
    if sign in _ORDERS and name == "ProspectAutoId":
        if not _NUMBER.fullmatch(value):
            raise refusal("MXInvalidInputException", "LookupValue is not a number")
        return [lead for lead in account.world.leads if _ORDERS[sign](lead.number, int(value))]
    if sign not in {"=", "IN"} or (sign == "IN" and account.options.refuse_in):
        raise refusal("MXInvalidEntityException", f"Operator {sign[:20]} is not supported")
    wanted = {item.strip().casefold() for item in (value.split(",") if sign == "IN" else [value])}
    if name == "ProspectAutoId":
        found = map(account.world.lead_numbered, sorted(wanted))
        return [lead for lead in found if lead]
    return [lead for lead in account.world.leads if str(_lead(lead).get(name, "")).casefold() in wanted - {""}]


def _page(leads: Sequence[Lead], body: Json) -> list[dict[str, Any]]:
    columns = body.child("Columns").text("Include_CSV")
    return [_lead(lead, columns) for lead in leads[_page_of(body)]]


def _page_of(body: Json) -> slice:
    paging = body.child("Paging")
    size = min(max(paging.integer("PageSize") or 100, 1), MAX_PAGE)
    start = max((paging.integer("PageIndex") or 1) - 1, 0) * size
    return slice(start, start + size)


def _lead(lead: Lead, columns: str | None = None) -> dict[str, Any]:
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


def _phone_forms(lead: Lead) -> tuple[str, str]:
    digits = re.sub(r"\D", "", lead.phone)
    return digits, digits[-10:]


def _found_user(user: User | None) -> list[dict[str, Any]]:
    """An inactive user is not found."""
    if user is None or not user.active:
        return []
    return [{"UserId": user.id} | _person(user)]


def _person(user: User) -> dict[str, Any]:
    return {
        "FirstName": user.first_name,
        "LastName": user.last_name,
        "EmailAddress": user.email,
        "Role": user.role,
    }


def _user(user: User) -> dict[str, Any]:
    return _person(user) | {"StatusCode": 0 if user.active else 1, "Tag": None}


def _fits(shown: dict[str, Any], body: Json) -> bool:
    """Whether a user is wanted by the GroupConditions."""
    groups = body.children("GroupConditions")
    verdicts = []
    for group in groups:
        conditions = group.children("Condition")
        verdicts.append(_joined([_meets(shown, each) for each in conditions], conditions, "ConditionOperator"))
    return _joined(verdicts, [body, *groups], "GroupOperator")


def _joined(verdicts: list[bool], places: list[Json], name: str) -> bool:
    says_or = any((place.text(name) or "").upper() == "OR" for place in places)
    return any(verdicts) if says_or else all(verdicts)


def _meets(shown: dict[str, Any], condition: Json) -> bool:
    name, sign = condition.needed("LookupName"), condition.needed("Operator").lower()
    if name not in shown or sign not in _TESTS:
        raise refusal("MXInvalidInputException", f"{name[:50]} {sign[:20]} is not supported")
    return _TESTS[sign](str(shown[name]).casefold(), (condition.text("LookupValue") or "").strip().casefold())
