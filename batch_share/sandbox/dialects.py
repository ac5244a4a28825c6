"""Dialects: the same answers as other pages, accounts and clients show them, to see that a client reads them all.

LeadSquared's own pages contradict each other, now and then within one sample, and public clients read what no page
shows. Each of these was seen somewhere, or is a fair guess of what a serializer or a server in between may do:

- `plain`: as most samples of the documentation have it (seen);
- `lower`, `upper`: every name in lower or upper case (guess: a serializer set up otherwise);
- `swapped`: `ProspectId` for `ProspectID`, `ProspectAutoID`, `UserID`, `ID` for `Id` and so on (seen);
- `texts`: numbers and truth values as text, "2" or "True" (seen for Lead Numbers and truth values of leads);
- `nulls`: null where `plain` leaves a name out or has nothing to show, and for RecordCount (seen in part);
- `wrapped`: bare lists as `Leads`, `Users` or `Data` of an object (clients expect both);
- `single`: a list of one shown as that one object (a client expects both);
- `bom`: a byte order mark before the JSON (guess: .NET writes one unless it is told not to);
- `typeless`: no Content-Type (guess: a server in between drops it).

Names change and values stay, those that hold the name of a field too.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch_share.sandbox.wire import Reply

Change: TypeAlias = "Callable[[Any], Any]"

_ID = re.compile(r"I[dD](?![a-z])")
_ENVELOPE = ("Status", "Message", "ExceptionType", "ExceptionMessage")
_LEAD = ("ProspectID", "ProspectAutoId", "FirstName", "LastName", "EmailAddress", "Phone", "OwnerId")
_LEFT_OUT = {
    "ProspectID": _LEAD,
    "ProspectAutoId": _LEAD,
    "RowNumber": ("ProspectActivityId", "ActivityCreated", "ExceptionType", "ExceptionMessage"),
}
"""Where this name is, those may be left out."""
_LISTS = {"LeadManagement.svc": "Leads", "UserManagement.svc": "Users"}


def in_dialect(dialect: str, endpoint: str, reply: Reply) -> Reply:
    """The reply of this endpoint in this one of DIALECTS, if its body is JSON; a fault's may be anything."""
    if dialect == "plain":
        return reply
    try:
        value = json.loads(reply.body)
    except (ValueError, RecursionError):
        return reply
    if dialect == "bom":
        return replace(reply, body=codecs.BOM_UTF8 + reply.body)
    if dialect == "typeless":
        return replace(reply, content_type=None)
    if dialect == "wrapped":
        name = _LISTS.get(endpoint.partition("/")[0], "Data")
        told = {name: value} if isinstance(value, list) else value
    else:
        told = _REWRITTEN[dialect](value)
    return replace(reply, body=json.dumps(told).encode())


def _everywhere(change: Change) -> Change:
    """Change every value in a JSON value, the innermost first."""

    def changed(value: Any) -> Any:
        if isinstance(value, dict):
            value = {name: changed(each) for name, each in value.items()}
        elif isinstance(value, list):
            value = [changed(each) for each in value]
        return change(value)

    return changed


def _renamed(rename: Callable[[str], str]) -> Change:
    return _everywhere(
        lambda value: {rename(name): each for name, each in value.items()} if isinstance(value, dict) else value
    )


def _nulls(value: Any) -> Any:
    if isinstance(value, dict):
        if "Status" in value:
            value = value | {name: None for name in _ENVELOPE if name not in value}
        elif value.keys() == {"RecordCount"}:
            value = value | {"List": None}
    return _everywhere(_null)(value)


def _null(value: Any) -> Any:
    if isinstance(value, dict):
        beside = [name for place in value.keys() & _LEFT_OUT for name in _LEFT_OUT[place]]
        shown = value | {name: None for name in beside if name not in value}
        value = {name: None if name == "RecordCount" else each for name, each in shown.items()}
    return None if value in ([], {}, "") else value


_REWRITTEN: dict[str, Change] = {
    "lower": _renamed(str.lower),
    "upper": _renamed(str.upper),
    "swapped": _renamed(lambda name: _ID.sub(lambda found: "Id" if found[0] == "ID" else "ID", name)),
    "texts": _everywhere(lambda value: str(value) if isinstance(value, bool | int | float) else value),
    "nulls": _nulls,
    "single": _everywhere(lambda value: value[0] if isinstance(value, list) and len(value) == 1 else value),
}
DIALECTS = ("plain", *_REWRITTEN, "wrapped", "bom", "typeless")
"""Every dialect by its name."""
