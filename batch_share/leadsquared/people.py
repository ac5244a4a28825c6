"""Looking leads and users up: the requests, and their answers turned into what was found. Nothing here does I/O.

The API answers a question it did not understand with nothing, or with somebody else: a LookupName in the wrong
case finds nobody, a wrong wrapper object finds everybody. So whoever asks must keep only what was asked for; these
readers return what came, with every Id in one spelling and every text safe to store and show. An answer may also
leave a lead's Ids out: such a lead is returned without them, and is no answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from batch_share.leadsquared import guesses
from batch_share.leadsquared.protocol import Call, Lost, clean, id_of, post, read_records, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch_share.leadsquared.protocol import Answer, Failure

PAGE: Final = 1000
"""Leads that one page holds at most, as documented."""

_COLUMNS: Final = {"Include_CSV": "ProspectID,ProspectAutoId,EmailAddress,Phone"}
_PAGING: Final = {"PageIndex": 1, "PageSize": PAGE}
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


ALL_USERS: Final = Call("GET", "UserManagement.svc/Users.Get")
"""Every user of the account, though large accounts leave some out: https://apidocs.leadsquared.com/get-users/"""

KEY_USER: Final = Call("GET", "Authentication.svc/UserByAccessKey.Get")
"""The user behind the keys: https://apidocs.leadsquared.com/user-authentication/"""

_BY: Final = {
    # https://apidocs.leadsquared.com/get-lead-by-id/ , with all that is known of it
    "lead id": ("LeadManagement.svc/Leads.GetById", "id"),
    # https://apidocs.leadsquared.com/get-a-lead-by-email-id/
    "lead email": ("LeadManagement.svc/Leads.GetByEmailaddress", "emailaddress"),
    # https://apidocs.leadsquared.com/get-lead-by-phone/ , with or without a country code
    "lead phone": ("LeadManagement.svc/RetrieveLeadByPhoneNumber", "phone"),
    # https://apidocs.leadsquared.com/get-user-by-id/ : nobody if inactive; the same by e-mail address
    "user id": ("UserManagement.svc/User/Retrieve/ByUserId", "userId"),
    "user email": ("UserManagement.svc/User/Retrieve/ByEmailAddress", "emailAddress"),
}


def found_by(name: Literal["lead id", "lead email", "lead phone", "user id", "user email"], value: str) -> Call:
    """Whoever has this Id (a GUID), e-mail address or phone number, by the API that is for that alone."""
    path, parameter = _BY[name]
    return Call("GET", path, query={parameter: value})


def leads_by_ids(lead_ids: Sequence[str]) -> Call:
    """Up to 1,000 leads by GUID: https://apidocs.leadsquared.com/get-leads-in-bulk-by-ids/"""
    body = {"SearchParameters": {"LeadIds": [*lead_ids]}, "Paging": _PAGING, "Columns": _COLUMNS}
    return post("LeadManagement.svc/Leads/Retrieve/ByIds", body)


def leads_where(
    name: Literal["ProspectAutoId", "EmailAddress", "Phone"],
    values: Sequence[str],
    operator: Literal["=", "IN"],
) -> Call:
    """Leads by one of their fields, whose name is case-sensitive: https://apidocs.leadsquared.com/search-by-lead-criteria/

    That IN takes its values with commas between them is a guess; = takes one.
    """
    criteria = {"LookupName": name, "LookupValue": ",".join(values), "SqlOperator": operator}
    return post("LeadManagement.svc/Leads.Get", {"Parameter": criteria, "Paging": _PAGING, "Columns": _COLUMNS})


def leads_from(number: int, count: int = PAGE) -> Call:
    """The first `count` leads, at most `PAGE`, of those that have this number or a greater one, in their order.

    https://apidocs.leadsquared.com/search-by-lead-criteria/ has the operator and the sorting; that numbers are
    compared as such, and sorted so, it does not say. A second page is not asked for: pages shift as leads come and
    go, and the number after the last one does not.
    """
    body = {
        "Parameter": {"LookupName": "ProspectAutoId", "LookupValue": str(number), "SqlOperator": ">="},
        "Sorting": {"ColumnName": "ProspectAutoId", "Direction": guesses.ASCENDING},
        "Paging": {"PageIndex": 1, "PageSize": count},
        "Columns": _COLUMNS,
    }
    return post("LeadManagement.svc/Leads.Get", body)


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
        "Paging": {"PageIndex": 1, "PageSize": 5},  # one is meant: a few show that the question was not understood
    }
    return post("UserManagement.svc/User/AdvancedSearch", body)


# -------------------------------------------------------------------------------------------------- answers


def read_leads(answer: Answer) -> list[FoundLead] | Failure:
    """The leads in the answer to any call for leads; one that shows no Id or no number has "" for it."""
    found = read_records(answer, *_LEAD_IDS, *_LEAD_NUMBERS)
    if not isinstance(found, list):
        return found
    return [
        FoundLead(
            id_of(clean(text_of(lead, *_LEAD_IDS))),
            number[0] if (number := _DIGITS.match(clean(text_of(lead, *_LEAD_NUMBERS)))) else "",
            clean(text_of(lead, "emailaddress")),
            clean(text_of(lead, "phone", "mobile")),
        )
        for lead in found
    ]


def read_users(answer: Answer) -> list[FoundUser] | Failure:
    """The users in the answer to any call for users. Only a StatusCode other than 0 says that one is not active."""
    found = read_records(answer, *_USER_IDS)
    if not isinstance(found, list):
        return found
    users = []
    for user in found:
        name = clean(f"{text_of(user, 'firstname')} {text_of(user, 'lastname')}") or clean(text_of(user, "name"))
        status = "1" if user.get("statuscode") is True else text_of(user, "statuscode").strip().lower()
        user_id, email = id_of(clean(text_of(user, *_USER_IDS))), clean(text_of(user, *_USER_EMAILS))
        users.append(FoundUser(user_id, email, name, active=status in guesses.ACTIVE))
    return users


def read_key_user(answer: Answer) -> KeyUser | Failure:
    """The answer to `KEY_USER`; Lost if it names nobody."""
    found = read_records(answer, *_USER_IDS)
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
