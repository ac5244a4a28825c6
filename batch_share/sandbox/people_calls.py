"""LeadManagement.svc, UserManagement.svc and Authentication.svc: looking up leads and users.

Whatever is not found is an empty array, never an error (https://apidocs.leadsquared.com/search-by-lead-criteria/).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from batch_share.sandbox.wire import Json, json_object, missing, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batch_share.sandbox.account import Account
    from batch_share.sandbox.wire import Call
    from batch_share.sandbox.world import Lead, User

MAX_IDS = 10_000
MAX_PAGE = 1000


def lead_by_id(account: Account, call: Call) -> Any:
    """GET Leads.GetById?id="""
    call.lead = call.query.get("id", "")[:100]
    lead = account.world.lead(call.lead)
    return [_lead(lead)] if lead else []


def lead_by_email(account: Account, call: Call) -> Any:
    """GET Leads.GetByEmailaddress?emailaddress=: https://apidocs.leadsquared.com/get-a-lead-by-email-id/"""
    email = call.query.get("emailaddress", "").strip().lower()
    return [_lead(lead) for lead in account.world.leads if lead.email == email]


def lead_by_phone(account: Account, call: Call) -> Any:
    """GET RetrieveLeadByPhoneNumber?phone=, with or without the country code.

    https://apidocs.leadsquared.com/get-lead-by-phone/
    """
    digits = re.sub(r"\D", "", call.query.get("phone", ""))
    return [_lead(lead) for lead in account.world.leads if digits in _phone_forms(lead)]


def leads_by_ids(account: Account, call: Call) -> Any:
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


def leads_by_criteria(account: Account, call: Call) -> Any:
    """POST Leads.Get: https://apidocs.leadsquared.com/search-by-lead-criteria/

    Its traps are as seen live: a LookupName in the wrong case finds nothing, a body without `Parameter` finds
    everybody, and a page is never larger than 1000.
    """
    body = json_object(call.body)
    if "Parameter" not in body.properties:
        return _page(account.world.leads, body)
    return _page(_matching(account, body.child("Parameter")), body)


def users(account: Account, call: Call) -> Any:  # noqa: ARG001 - every handler takes the call
    """GET Users.Get, as many as the account lists: https://apidocs.leadsquared.com/get-users/"""
    return [
        {
            "ID": user.id,
            "FirstName": user.first_name,
            "LastName": user.last_name,
            "EmailAddress": user.email,
            "Role": user.role,
            "StatusCode": 0 if user.active else 1,
            "Tag": None,
        }
        for user in account.world.users[: account.options.listed_users]
    ]


def user_by_id(account: Account, call: Call) -> Any:
    """GET User/Retrieve/ByUserId?userId=: https://apidocs.leadsquared.com/get-user-by-id/"""
    return _found_user(account.world.user(call.query.get("userId", "")))


def user_by_email(account: Account, call: Call) -> Any:
    """GET User/Retrieve/ByEmailAddress?emailAddress=, answered as by Id."""
    return _found_user(account.world.user_with_email(call.query.get("emailAddress", "")))


def key_user(account: Account, call: Call) -> Any:
    """GET UserByAccessKey.Get: https://apidocs.leadsquared.com/user-authentication/"""
    user = account.world.key_user
    return {
        "Id": user.id,
        "Name": user.name,
        "Role": user.role,
        "EmailAddress": user.email,
        "TimeZone": "Asia/Kolkata",
        "OrgId": "0",
        "OrgShortCode": "SANDBOX",
        "LSQCommonServiceURLs": {"api": call.host} if call.host else {},
    }


def _matching(account: Account, parameter: Json) -> list[Lead]:
    name, value = parameter.needed("LookupName"), parameter.text("LookupValue") or ""
    operator = (parameter.text("SqlOperator") or "=").strip().upper()
    if operator not in {"=", "IN"} or (operator == "IN" and account.options.refuse_in):
        raise refusal("MXInvalidEntityException", f"Operator {operator[:20]} is not supported")
    wanted = {item.strip().casefold() for item in (value.split(",") if operator == "IN" else [value])}
    if name == "ProspectAutoId":
        found = map(account.world.lead_numbered, sorted(wanted))
        return [lead for lead in found if lead]
    return [lead for lead in account.world.leads if str(_lead(lead).get(name, "")).casefold() in wanted - {""}]


def _page(leads: Iterable[Lead], body: Json) -> list[dict[str, Any]]:
    paging, columns = body.child("Paging"), body.child("Columns").text("Include_CSV")
    size = min(max(paging.integer("PageSize") or 100, 1), MAX_PAGE)
    start = max((paging.integer("PageIndex") or 1) - 1, 0) * size
    return [_lead(lead, columns) for lead in list(leads)[start : start + size]]


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
    return [
        {
            "UserId": user.id,
            "FirstName": user.first_name,
            "LastName": user.last_name,
            "EmailAddress": user.email,
            "Role": user.role,
        }
    ]
