"""Looking leads and users up: the requests, and their answers turned into what was found. Nothing here does I/O.

The API answers a question it did not understand with nothing, or with somebody else: a LookupName in the wrong
case finds nobody, a wrong wrapper object finds everybody. So whoever asks must keep only what was asked for; these
readers return what came, with every Id in one spelling and every text safe to store and show. An answer may also
leave a lead's Ids out: such a lead is returned without them, and is no answer.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from batch_share.leadsquared import guesses
from batch_share.leadsquared.models import id_of, records, text_of
from batch_share.leadsquared.outcome import Lost
from batch_share.leadsquared.protocol import Call, Judged, clean, judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch_share.leadsquared.outcome import Failure
    from batch_share.leadsquared.protocol import Answer

PAGE: Final = 1000
"""Leads that one page holds at most."""

_COLUMNS: Final = {"Include_CSV": "ProspectID,ProspectAutoId,EmailAddress,Phone"}
_LEAD_IDS: Final = ("prospectid", "leadid", "id")
_LEAD_NUMBERS: Final = ("prospectautoid", "leadautoid", "leadnumber")
_DIGITS: Final = re.compile(r"[0-9]+(?=(\.0+)?$)")
_USER_IDS: Final = ("userid", "id")
_USER_EMAILS: Final = ("emailaddress", "email")


@dataclass(frozen=True, slots=True)
class FoundLead:
    """A lead as LeadSquared shows it: `id` (ProspectID, GUID), `number` (ProspectAutoId, digits)."""

    id: str
    number: str
    email: str
    phone: str

    @property
    def is_whole(self) -> bool:
        """Whether it can be shared: an answer may leave a lead's Ids out."""
        return bool(self.id and self.number)


@dataclass(frozen=True, slots=True)
class FoundUser:
    """A user of the account as LeadSquared shows it."""

    id: str
    email: str
    name: str
    active: bool

    @property
    def is_whole(self) -> bool:
        """Whether its Id is shown."""
        return bool(self.id)


@dataclass(frozen=True, slots=True)
class KeyUser:
    """The user behind the keys, the account's time zone by name, its bare host, and its OrgId ("" if not told)."""

    id: str
    role: str = ""
    time_zone: str = ""
    api_host: str = ""
    org_id: str = ""


# ------------------------------------------------------------------------------------------------- requests


def leads_by_ids(lead_ids: Sequence[str]) -> Call:
    """Up to 1,000 leads by GUID: https://apidocs.leadsquared.com/get-leads-in-bulk-by-ids/"""
    paging = {"PageIndex": 1, "PageSize": PAGE}
    return _post("Leads/Retrieve/ByIds", {"SearchParameters": {"LeadIds": [*lead_ids]}, "Paging": paging})


def lead_by_id(lead_id: str) -> Call:
    """One lead by GUID, with all that is known of it: https://apidocs.leadsquared.com/get-lead-by-id/"""
    return Call("GET", "LeadManagement.svc/Leads.GetById", query={"id": lead_id})


def leads_where(
    name: Literal["ProspectAutoId", "EmailAddress", "Phone"], values: Sequence[str], operator: Literal["=", "IN"]
) -> Call:
    """Leads by one of their fields, whose name is case-sensitive: https://apidocs.leadsquared.com/search-by-lead-criteria/

    That IN takes its values with commas between them is a guess; `=` takes one value.
    """
    criteria = {"LookupName": name, "LookupValue": ",".join(values), "SqlOperator": operator}
    return _post("Leads.Get", {"Parameter": criteria, "Paging": {"PageIndex": 1, "PageSize": PAGE}})


def leads_from_number(number: int) -> Call:
    """The next 1,000 leads by their number, from this one on: https://apidocs.leadsquared.com/search-by-lead-criteria/"""
    criteria = {"LookupName": "ProspectAutoId", "LookupValue": str(number), "SqlOperator": ">="}
    sorting = {"ColumnName": "ProspectAutoId", "Direction": guesses.ASCENDING}
    return _post(
        "Leads.Get", {"Parameter": criteria, "Sorting": sorting, "Paging": {"PageIndex": 1, "PageSize": PAGE}}
    )


def lead_by_email(email: str) -> Call:
    """Leads by e-mail address: https://apidocs.leadsquared.com/get-a-lead-by-email-id/"""
    return Call("GET", "LeadManagement.svc/Leads.GetByEmailaddress", query={"emailaddress": email})


def leads_by_phone(phone: str) -> Call:
    """Leads by phone number, with or without a country code: https://apidocs.leadsquared.com/get-lead-by-phone/"""
    return Call("GET", "LeadManagement.svc/RetrieveLeadByPhoneNumber", query={"phone": phone})


def all_users() -> Call:
    """Every user of the account, though large accounts leave some out: https://apidocs.leadsquared.com/get-users/"""
    return Call("GET", "UserManagement.svc/Users.Get")


def user_by_id(user_id: str) -> Call:
    """One user by GUID; nothing if inactive: https://apidocs.leadsquared.com/get-user-by-id/"""
    return Call("GET", "UserManagement.svc/User/Retrieve/ByUserId", query={"userId": user_id})


def user_by_email(email: str) -> Call:
    """One user by e-mail address; nothing if inactive."""
    return Call("GET", "UserManagement.svc/User/Retrieve/ByEmailAddress", query={"emailAddress": email})


def users_where(name: Literal["UserID", "EmailAddress"], value: str) -> Call:
    """Users by one of their fields: https://apidocs.leadsquared.com/user-advanced-search/"""
    condition = {
        "LookupName": name,
        "Operator": guesses.USER_EQUALS,
        "LookupValue": value,
        "ConditionOperator": None,
    }
    body = {
        "Columns": {"Include_CSV": "UserID,FirstName,LastName,EmailAddress,StatusCode"},
        "GroupConditions": [{"Condition": [condition], "GroupOperator": None}],
        "Paging": {"PageIndex": 1, "PageSize": 5},
    }
    return Call("POST", "UserManagement.svc/User/AdvancedSearch", body=json.dumps(body).encode())


def key_user() -> Call:
    """The user behind the keys: https://apidocs.leadsquared.com/user-authentication/"""
    return Call("GET", "Authentication.svc/UserByAccessKey.Get")


def _post(path: str, body: dict[str, Any]) -> Call:
    return Call("POST", f"LeadManagement.svc/{path}", body=json.dumps({**body, "Columns": _COLUMNS}).encode())


# -------------------------------------------------------------------------------------------------- answers


def read_leads(answer: Answer) -> list[FoundLead] | Failure:
    """The leads in the answer to any call for leads; one that shows no Id or no number has "" for it."""
    found = _read(answer, *_LEAD_IDS, *_LEAD_NUMBERS)
    return [_lead(each) for each in found] if isinstance(found, list) else found


def read_users(answer: Answer) -> list[FoundUser] | Failure:
    """The users in the answer to any call for users. Only a StatusCode other than 0 says that one is not active."""
    found = _read(answer, *_USER_IDS)
    return [_user(each) for each in found] if isinstance(found, list) else found


def read_key_user(answer: Answer) -> KeyUser | Failure:
    """The answer to `key_user`; Lost if it names nobody."""
    found = _read(answer, *_USER_IDS)
    if not isinstance(found, list):
        return found
    user = found[0] if found else {}
    if not (user_id := id_of(clean(text_of(user, *_USER_IDS)))):
        return Lost("the answer was not understood", answer.status)
    # Nothing else of the account's URLs is of use, so nothing else can be wrong.
    urls = user.get("lsqcommonserviceurls")
    host = text_of(urls, "api") if isinstance(urls, dict) else ""
    org_id = clean(text_of(user, "orgid"))
    org_id = org_id if guesses.ORG_ID.fullmatch(org_id) else ""
    return KeyUser(user_id, text_of(user, "role"), text_of(user, "timezone"), clean(host), org_id)


def _read(answer: Answer, *ids: str) -> list[dict[str, Any]] | Failure:
    judged = judge(answer)
    if not isinstance(judged, Judged):
        return judged
    found = records(judged.value, *ids)
    return Lost("the answer was not understood", answer.status) if found is None else found


def _lead(lead: Mapping[str, Any]) -> FoundLead:
    return FoundLead(
        id_of(clean(text_of(lead, *_LEAD_IDS))),
        number[0] if (number := _DIGITS.match(clean(text_of(lead, *_LEAD_NUMBERS)))) else "",
        clean(text_of(lead, "emailaddress")),
        clean(text_of(lead, "phone", "mobile")),
    )


def _user(user: Mapping[str, Any]) -> FoundUser:
    name = clean(f"{text_of(user, 'firstname')} {text_of(user, 'lastname')}") or clean(text_of(user, "name"))
    status = "1" if user.get("statuscode") is True else text_of(user, "statuscode").strip().lower()
    return FoundUser(
        id_of(clean(text_of(user, *_USER_IDS))),
        clean(text_of(user, *_USER_EMAILS)),
        name,
        active=status in guesses.ACTIVE,
    )
