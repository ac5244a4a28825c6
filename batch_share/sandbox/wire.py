"""Calls, replies and refusals, and the careful reading of bodies.

Error shapes: https://apidocs.leadsquared.com/error-handling/. What can't be read as the documented type is a 400;
what can be read and makes no sense is an MX exception at HTTP 500, as seen on live accounts.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_share.common import Rate

_INTEGER = re.compile(r"-?[0-9]{1,9}")


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


class Refusal(Exception):
    """The call is refused and nothing was done: `reply` says so, `words` is the part for people."""

    def __init__(self, reply: Reply, kind: str, words: str) -> None:
        super().__init__(words)
        self.reply = reply
        self.kind = kind
        self.words = words


def envelope(kind: str, words: str) -> dict[str, str]:
    """LeadSquared's error envelope."""
    return {"Status": "Error", "ExceptionType": kind, "ExceptionMessage": words}


def refusal(kind: str, words: str, status: int = 500) -> Refusal:
    """An MX exception: nearly all of them come as HTTP 500."""
    return Refusal(Reply.json(envelope(kind, words), status), kind, words)


def failed(words: str) -> Refusal:
    """A refusal in a 200, seen live for a deactivated activity type."""
    return Refusal(Reply.json({"Status": "Failed", "Message": {"Message": words}}), "", words)


def throttled(rate: Rate, status: int, wait: float | None = None) -> Reply:
    """Too many calls, with a Retry-After of `wait` seconds if given.

    The words are documented; 429, 403 and 200 have all been seen around them.
    """
    words = f"API calls exceeded the limit of {rate.limit} in {rate.period:g} second(s)"
    headers = {} if wait is None else {"Retry-After": f"{wait:g}"}
    return Reply.json(envelope("MXAPIRateLimitExceededException", words), status, headers)


def no_such_api() -> Reply:
    """Nothing is at this path, as the documentation says of 404."""
    return Reply(404, b"No such API.", content_type="text/plain")


def missing(name: str) -> Refusal:
    """A mandatory property or parameter is not there."""
    return refusal("MXMandatoryAttributeMissingException", f"'{name}' is mandatory")


def malformed(words: str) -> Refusal:
    """The body is not of the documented type: 400."""
    return refusal("MXInvalidInputException", words, 400)


def succeeded(message_id: str) -> dict[str, Any]:
    """The answer of every call that makes something."""
    return {"Status": "Success", "Message": {"Id": message_id}}


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON object of a body, read property by property; a property of a wrong type is a 400."""

    properties: dict[str, Any]

    def text(self, name: str) -> str | None:
        """A string; a whole number will do, as for the deserialiser there."""
        value = self.properties.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return value if value is None or isinstance(value, str) else _mistyped(name)

    def needed(self, name: str) -> str:
        """A string that must be there and not be empty."""
        value = (self.text(name) or "").strip()
        if not value:
            raise missing(name)
        return value

    def integer(self, name: str) -> int | None:
        """A 32-bit number, or its digits in a string."""
        value = self.text(name)
        if not value:
            return None
        return int(value) if _INTEGER.fullmatch(value) else _mistyped(name)

    def child(self, name: str) -> Json:
        """An object; an empty one where there is none."""
        value = self.properties.get(name) or {}
        return Json(value) if isinstance(value, dict) else _mistyped(name)

    def children(self, name: str) -> list[Json]:
        """An array of objects; an empty one where there is none."""
        value = self.properties.get(name)
        return [] if value is None else _objects(value, name)

    def strings(self, name: str) -> list[str]:
        """An array of strings."""
        value = self.properties.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            _mistyped(name)
        return value


def json_object(body: bytes) -> Json:
    """The body as one object."""
    value = _parsed(body)
    if not isinstance(value, dict):
        raise malformed("Cannot deserialize the current JSON value because the type requires a JSON object")
    return Json(value)


def json_array(body: bytes) -> list[Json]:
    """The body as an array of objects."""
    value = _parsed(body)
    if not isinstance(value, list):
        raise malformed("Cannot deserialize the current JSON object because the type requires a JSON array")
    return _objects(value, "body")


def _objects(value: object, name: str) -> list[Json]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        _mistyped(name)
    return [Json(item) for item in value]


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise malformed("The request body contains malformed or unexpected JSON") from None


def _mistyped(name: str) -> NoReturn:
    raise malformed(f"Cannot deserialize the value of '{name}'")
