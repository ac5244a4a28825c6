"""Looking leads and users up: the requests, and their answers turned into what was found. Nothing here does I/O.

The API answers a question it did not understand with nothing, or with somebody else: a LookupName in the wrong
case finds nobody, a wrong wrapper object finds everybody. So whoever asks must keep only what was asked for; these
readers return what came, with every Id in one spelling and every text safe to store and show.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_pascal

from batch_share.leadsquared.models import Answer as AnswerModel
from batch_share.leadsquared.protocol import Call, clean, read_as

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch_share.leadsquared.outcome import Failure
    from batch_share.leadsquared.protocol import Answer

T = TypeVar("T")

PAGE: Final = 1000
"""Leads that one page holds at most."""

_COLUMNS: Final = {"Include_CSV": "ProspectID,ProspectAutoId,EmailAddress,Phone"}
_ACTIVE: Final = 0


@dataclass(frozen=True, slots=True)
class FoundLead:
    """A lead as LeadSquared shows it: `id` (ProspectID, GUID), `number` (ProspectAutoId, digits)."""

    id: str
    number: str
    email: str
    phone: str


@dataclass(frozen=True, slots=True)
class FoundUser:
    """A user of the account as LeadSquared shows it."""

    id: str
    email: str
    name: str
    active: bool


# ------------------------------------------------------------------------------------------------- requests


def leads_by_ids(lead_ids: Sequence[str]) -> Call:
    """Up to 1,000 leads by GUID: https://apidocs.leadsquared.com/get-leads-in-bulk-by-ids/"""
    paging = {"PageIndex": 1, "PageSize": PAGE}
    return _post("Leads/Retrieve/ByIds", {"SearchParameters": {"LeadIds": [*lead_ids]}, "Paging": paging})


def leads_where(
    name: Literal["ProspectAutoId", "EmailAddress"], values: Sequence[str], operator: Literal["=", "IN"]
) -> Call:
    """Leads by one of their fields, whose name is case-sensitive: https://apidocs.leadsquared.com/search-by-lead-criteria/

    That IN takes its values with commas between them is a guess; `=` takes one value.
    """
    criteria = {"LookupName": name, "LookupValue": ",".join(values), "SqlOperator": operator}
    return _post("Leads.Get", {"Parameter": criteria, "Paging": {"PageIndex": 1, "PageSize": PAGE}})


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


def key_user() -> Call:
    """The user behind the keys: https://apidocs.leadsquared.com/user-authentication/"""
    return Call("GET", "Authentication.svc/UserByAccessKey.Get")


def _post(path: str, body: dict[str, Any]) -> Call:
    return Call("POST", f"LeadManagement.svc/{path}", body=json.dumps({**body, "Columns": _COLUMNS}).encode())


# -------------------------------------------------------------------------------------------------- answers


def _as_text(value: object) -> object:
    """Ids come as strings, numbers as either."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_as_text)]


def _spelling(name: str) -> str:
    """ProspectID, not ProspectId: the one field whose name breaks the rule."""
    return {"prospect_id": "ProspectID"}.get(name, to_pascal(name))


class _Lead(AnswerModel):
    model_config = ConfigDict(alias_generator=_spelling, extra="ignore", hide_input_in_errors=True)

    prospect_id: Text
    prospect_auto_id: Text
    email_address: Text = ""
    phone: Text = ""


class _LeadPage(AnswerModel):
    leads: list[_Lead]


class _ListedUser(AnswerModel):
    model_config = ConfigDict(
        alias_generator=lambda name: "ID" if name == "id" else to_pascal(name), extra="ignore"
    )

    id: Text
    first_name: Text = ""
    last_name: Text = ""
    email_address: Text = ""
    status_code: int


class _RetrievedUser(AnswerModel):
    user_id: Text
    first_name: Text = ""
    last_name: Text = ""
    email_address: Text = ""


def _api_host(urls: object) -> str:
    """The API's host among an account's URLs; nothing else of them is of use, so nothing else can be wrong."""
    host = urls.get("api") if isinstance(urls, dict) else None
    return clean(host) if isinstance(host, str) else ""


class KeyUser(AnswerModel):
    """The user behind the keys, the account's time zone by name, and the bare host that its calls belong to."""

    id: Text
    role: Text = ""
    time_zone: Text = ""
    api_host: Annotated[str, BeforeValidator(_api_host)] = Field("", alias="LSQCommonServiceURLs")


_KEY_USER: Final = TypeAdapter(KeyUser)
_LEADS: Final = TypeAdapter(list[_Lead])
_LISTED: Final = TypeAdapter(list[_ListedUser])
_RETRIEVED: Final = TypeAdapter(list[_RetrievedUser])


def read_lead_page(answer: Answer) -> list[FoundLead] | Failure:
    """The answer to `leads_by_ids`."""
    page = read_as(answer, TypeAdapter(_LeadPage))
    return [_lead(lead) for lead in page.leads] if isinstance(page, _LeadPage) else page


def read_leads(answer: Answer) -> list[FoundLead] | Failure:
    """The answer to `leads_where` and `leads_by_phone`."""
    leads = read_as(answer, _LEADS)
    return [_lead(lead) for lead in leads] if isinstance(leads, list) else leads


def read_users(answer: Answer) -> list[FoundUser] | Failure:
    """The answer to `all_users`: StatusCode 0 is active."""
    users = read_as(answer, _LISTED)
    if not isinstance(users, list):
        return users
    return [_user(user.id, user, active=user.status_code == _ACTIVE) for user in users]


def read_user(answer: Answer) -> list[FoundUser] | Failure:
    """The answer to `user_by_id` and `user_by_email`: only active users are shown."""
    users = read_as(answer, _RETRIEVED)
    return [_user(user.user_id, user, active=True) for user in users] if isinstance(users, list) else users


def read_key_user(answer: Answer) -> KeyUser | Failure:
    """The answer to `key_user`."""
    return read_as(answer, _KEY_USER)


def _lead(lead: _Lead) -> FoundLead:
    return FoundLead(
        clean(lead.prospect_id).lower(),
        clean(lead.prospect_auto_id),
        clean(lead.email_address),
        clean(lead.phone),
    )


def _user(user_id: str, user: _ListedUser | _RetrievedUser, *, active: bool) -> FoundUser:
    name = clean(f"{user.first_name} {user.last_name}")
    return FoundUser(clean(user_id).lower(), clean(user.email_address), name, active)
