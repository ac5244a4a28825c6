"""Calls, replies and refusals, the careful reading of bodies, and the dialects in which replies are written.

Error shapes: https://apidocs.leadsquared.com/error-handling/. What can't be read as the documented type is a 400;
what can be read and makes no sense is an MX exception at HTTP 500, as seen on live accounts.

LeadSquared's own pages contradict each other, now and then within one sample, and public clients read what no page
shows. So the same answers can be had as other pages, accounts and clients show them, to see that a client reads
them all. Each dialect was seen somewhere, or is a fair guess of what a serializer or a server in between may do:

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
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batch_share.common import Rate

_INTEGER = re.compile(r"-?[0-9]{1,9}")  # what surely fits into 32 bits


@dataclass(slots=True)
class SandboxCall:
    """A call as it arrived: `n` counts from 1, `at` is seconds since the sandbox began.

    `lead`, `user`, `activity` and `outcome` are filled in as far as the call got, `status` when it is answered;
    `fault` names the fault that hit it, `host` is the one it was sent to. `outcome` is "done" only if the call took
    effect.
    """

    n: int
    at: float
    method: str
    endpoint: str
    query: Mapping[str, str]
    body: bytes = b""
    lead: str | None = None
    user: str | None = None
    activity: str | None = None
    outcome: str = "under way"
    status: int | None = None
    fault: str | None = None
    host: str = ""

    def parameter(self, name: str) -> str:
        """A parameter of the query that must be there. Raises Refusal."""
        if not self.query.get(name):
            raise missing(name)
        return self.query[name]


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back. With `drop` nothing does: the connection is closed; with `silent` it stays open, unanswered.

    `missing` bytes are promised beyond the body and never sent; over `drip` seconds the body comes, byte by byte;
    for `away` seconds after a drop nobody gets a connection; without a `content_type` the answer names none.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = "application/json"
    drop: bool = False
    silent: bool = False
    missing: int = 0
    drip: float = 0.0
    away: float = 0.0

    @classmethod
    def json(cls, value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
        """A reply that carries `value`."""
        return cls(status, json.dumps(value).encode(), headers or {})


@dataclass(eq=False)
class Refusal(Exception):
    """The call is refused and nothing was done: `reply` says so, `words` is the part for people."""

    reply: Reply
    kind: str
    words: str


NO_SUCH_API = Reply(404, b"No such API.", content_type="text/plain")
"""Nothing is at this path, as the documentation says of 404."""


def envelope(kind: str, words: str) -> dict[str, str]:
    """LeadSquared's error envelope."""
    return {"Status": "Error", "ExceptionType": kind, "ExceptionMessage": words}


def refusal(kind: str, words: str, status: int = 500) -> Refusal:
    """An MX exception: nearly all of them come as HTTP 500."""
    return Refusal(Reply.json(envelope(kind, words), status), kind, words)


def missing(name: str) -> Refusal:
    """A mandatory property or parameter is not there."""
    return refusal("MXMandatoryAttributeMissingException", f"'{name}' is mandatory")


def mistyped(name: str) -> Refusal:
    """A property is not of the documented type: 400."""
    return refusal("MXInvalidInputException", f"Cannot deserialize the value of '{name}'", 400)


def throttled(rate: Rate, status: int, wait: float | None = None) -> Reply:
    """Too many calls, with a Retry-After of `wait` seconds if given.

    The words are documented; 429, 403 and 200 have all been seen around them.
    """
    words = f"API calls exceeded the limit of {rate.limit} in {rate.period:g} second(s)"
    headers = {} if wait is None else {"Retry-After": f"{wait:g}"}
    return Reply.json(envelope("MXAPIRateLimitExceededException", words), status, headers)


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON object of a body, read property by property; a property of a wrong type is a 400."""

    properties: dict[str, Any]

    def text(self, name: str) -> str | None:
        """A string; a whole number will do, as for the deserialiser there."""
        value = self.properties.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value is not None and not isinstance(value, str):
            raise mistyped(name)
        return value

    def needed(self, name: str) -> str:
        """A string that must be there and not be empty."""
        value = (self.text(name) or "").strip()
        if not value:
            raise missing(name)
        return value

    def integer(self, name: str) -> int | None:
        """A 32-bit number, or its digits in a string."""
        value = self.text(name)
        if value and not _INTEGER.fullmatch(value):
            raise mistyped(name)
        return int(value) if value else None

    def child(self, name: str) -> Json:
        """An object; an empty one where there is none."""
        value = self.properties.get(name) or {}
        if not isinstance(value, dict):
            raise mistyped(name)
        return Json(value)

    def children(self, name: str) -> list[Json]:
        """An array of objects; an empty one where there is none."""
        value = [] if self.properties.get(name) is None else self.properties[name]
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise mistyped(name)
        return [Json(item) for item in value]


def json_object(body: bytes) -> Json:
    """The body as one object."""
    return Json(_parsed(body, dict, "value because the type requires a JSON object"))


def json_array(body: bytes) -> list[Json]:
    """The body as an array of objects."""
    return Json({"body": _parsed(body, list, "object because the type requires a JSON array")}).children("body")


def _parsed(body: bytes, kind: type, instead: str) -> Any:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        words = "The request body contains malformed or unexpected JSON"
        raise refusal("MXInvalidInputException", words, 400) from None
    if not isinstance(value, kind):
        raise refusal("MXInvalidInputException", f"Cannot deserialize the current JSON {instead}", 400)
    return value


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
        return replace(reply, body=json.dumps({name: value} if isinstance(value, list) else value).encode())
    if dialect == "nulls" and isinstance(value, dict):  # an answer as a whole has names that none within it has
        if "Status" in value:
            value = value | {name: None for name in _ENVELOPE if name not in value}
        elif value.keys() == {"RecordCount"}:
            value = value | {"List": None}
    return replace(reply, body=json.dumps(_everywhere(_REWRITTEN[dialect], value)).encode())


def _everywhere(change: Callable[[Any], Any], value: Any) -> Any:
    """Change every value in a JSON value, the innermost first."""
    if isinstance(value, dict):
        value = {name: _everywhere(change, each) for name, each in value.items()}
    elif isinstance(value, list):
        value = [_everywhere(change, each) for each in value]
    return change(value)


def _renamed(rename: Callable[[str], str], value: Any) -> Any:
    return {rename(name): each for name, each in value.items()} if isinstance(value, dict) else value


def _null(value: Any) -> Any:
    if isinstance(value, dict):
        beside = [name for place in value.keys() & _LEFT_OUT for name in _LEFT_OUT[place]]
        shown = value | {name: None for name in beside if name not in value}
        value = {name: None if name == "RecordCount" else each for name, each in shown.items()}
    return None if value in ([], {}, "") else value


_REWRITTEN: dict[str, Callable[[Any], Any]] = {
    "lower": partial(_renamed, str.lower),
    "upper": partial(_renamed, str.upper),
    "swapped": partial(_renamed, lambda name: _ID.sub(lambda found: "Id" if found[0] == "ID" else "ID", name)),
    "texts": lambda value: str(value) if isinstance(value, bool | int | float) else value,
    "nulls": _null,
    "single": lambda value: value[0] if isinstance(value, list) and len(value) == 1 else value,
}
"""How each value is written, the innermost first."""

DIALECTS = ("plain", *_REWRITTEN, "wrapped", "bom", "typeless")
"""Every dialect by its name."""
