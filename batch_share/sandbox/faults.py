"""Faults: calls that go wrong by chance, the same ones for the same seed, to see that a run survives them.

A spec such as `applied-reset=2%,Create:503=1%,Status:pending=100%` says which fault hits how many calls, of all or
of one endpoint (`endpoints.NAMES`). Of several that would hit a call the first one does. What can happen:

- nothing is done, and the answer says so: `error-envelope`, `failed`, `throttle-200`, `400`, `401`, `403`, `404`,
  `429`, `429-retry-after`, `500-mx`;
- nothing is done, and the answer, if one comes, leaves it open: `bad-json`, `no-id`, `html`, `truncated`, `204`,
  `302`, `500`, `502`, `503`, `504`, `reset` (the connection is), `silent` (no answer, ever), `refused` (a reset,
  and for a moment nobody gets a connection);
- the same with `applied-` before it: it is done all the same, and the answer leaves it open;
- it is done, and the answer denies it: `applied-404`, and of Create, Share and Revoke only `failed-with-id` and
  `error-with-id`, which name the Id of what was made;
- it is done, and the right answer comes as `wrong-type` (text/plain) or `slow` (byte by byte);
- of Bulk only, everything is done, and the answer is `shuffled` (right, its items in another order), `unnumbered`
  (right, without row numbers), `item-missing`, `item-doubled`, `misnumbered` (two items have one number),
  `unsaid` (of its first item it says neither yes nor no) or `applied-500-mx` (as if all had been refused);
- of Status only, by request and not by call: `pending` (for ever), `unknown-number` (a ShareStatus nobody knows),
  `id-gone` (the request Id does not exist).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from batch_share.sandbox.endpoints import NAMES, SHARE, paths_of
from batch_share.sandbox.wire import NO_SUCH_API, Reply, envelope, throttled
from batch_share.sandbox.world import fraction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from batch_share.common import Rate
    from batch_share.sandbox.wire import SandboxCall

    Step: TypeAlias = Callable[[SandboxCall], Awaitable[Reply]]
    Say: TypeAlias = Callable[["Particulars", Reply], Reply]

_ENTRY = re.compile(r"(?:(?P<endpoint>[^:=]*):)?(?P<kind>[^:=]*)=\s*(?P<percent>[0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%")


@dataclass(frozen=True, slots=True)
class Particulars:
    """What faults tell: `rate` is the limit in throttles, `elsewhere` where a 302 points; times are seconds."""

    rate: Rate
    elsewhere: str = "https://elsewhere.invalid/v2/"
    # A second is as short as a Retry-After can be, three are seen as slow and still waited for.
    retry_after: float = 1.0
    away: float = 1.0
    drip: float = 3.0


@dataclass(frozen=True, slots=True)
class Kind:
    """What comes back, always the same or made from the right answer, if the call is `applied`.

    `of` limits it to endpoints.
    """

    say: Reply | Say
    applied: bool = False
    outcome: str = "not done"
    of: frozenset[str] | None = None


def _mx(status: int, words: str, kind: str = "MXInvalidInputException") -> Reply:
    return Reply.json(envelope(kind, words), status)


def _page(status: int, words: str) -> Reply:
    page = f"<html><body><h1>{words}</h1></body></html>"
    return Reply(status, page.encode(), content_type="text/html")


def _denied(said: dict[str, Any], status: int, _particulars: Particulars, right: Reply) -> Reply:
    """A failure that names the Id of the right answer; where there is none, the right answer."""
    body = json.loads(right.body) if right.content_type == "application/json" else None
    message = body.get("Message") if isinstance(body, dict) else None
    if not isinstance(message, dict) or "Id" not in message:
        return right
    return Reply.json(said | {"Message": {"Id": message["Id"], **said.get("Message", {})}}, status)


def _items(
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], _particulars: Particulars, right: Reply
) -> Reply:
    """The right answer of a bulk call with its items changed; any other answer as it is."""
    body = json.loads(right.body) if right.content_type == "application/json" else None
    items = body.get("Response") if isinstance(body, dict) else None
    return replace(right, body=json.dumps({"Response": change(items)}).encode()) if items else right


def _without(item: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in names}


_CUT = b'{"Status":"Success","Message":{"Id":"'
_FAILED: dict[str, Any] = {"Status": "Failed", "Message": {"Message": "The request failed"}}
_REFUSED: dict[str, Reply | Say] = {
    "error-envelope": _mx(200, "The request can not be processed"),
    "failed": Reply.json(_FAILED),
    "throttle-200": lambda particulars, _right: throttled(particulars.rate, 200),
    "400": _mx(400, "The request body is malformed"),
    "401": _mx(401, "Invalid Access Details provided.", "MXInvalidAccessDetailsException"),
    "403": _mx(403, "You are not allowed to use this API", "MXUnauthorizedException"),
    "404": NO_SUCH_API,
    "429": lambda particulars, _right: throttled(particulars.rate, 429),
    "429-retry-after": lambda particulars, _right: throttled(particulars.rate, 429, particulars.retry_after),
    "500-mx": _mx(500, "The entity does not exist", "MXEntityNotFoundException"),
}
_OPEN: dict[str, Reply | Say] = {
    "bad-json": Reply(200, _CUT),
    "no-id": Reply.json({"Status": "Success", "Message": {}}),
    "html": _page(200, "Down for maintenance"),
    "truncated": Reply(200, _CUT, missing=40),  # about what an Id and the end of the answer take
    "204": Reply(204, b""),
    "302": lambda particulars, _right: Reply(302, b"", {"Location": particulars.elsewhere}),
    "500": _page(500, "Internal Server Error"),
    "502": _page(502, "Bad Gateway"),
    "503": _page(503, "Service Unavailable"),
    "504": _page(504, "Gateway Timeout"),
    "reset": Reply(200, b"", drop=True),
    "silent": Reply(200, b"", silent=True),
    "refused": lambda particulars, _right: Reply(200, b"", drop=True, away=particulars.away),
}
_STRANGE: dict[str, Say] = {
    "wrong-type": lambda _particulars, right: replace(right, content_type="text/plain"),
    "slow": lambda particulars, right: replace(right, drip=particulars.drip),
}
_OF_MAKING: dict[str, Say] = {
    "failed-with-id": partial(_denied, _FAILED, 200),
    "error-with-id": partial(_denied, envelope("MXInvalidInputException", "The request can not be processed"), 500),
}
_OF_BULK: dict[str, Reply | Say] = {
    "shuffled": partial(_items, lambda items: items[::-1]),
    "unnumbered": partial(_items, lambda items: [_without(item, "RowNumber") for item in items]),
    "item-missing": partial(_items, lambda items: items[:-1]),
    "item-doubled": partial(_items, lambda items: [*items, items[0]]),
    "misnumbered": partial(_items, lambda items: [item | {"RowNumber": 1} for item in items]),
    "unsaid": partial(
        _items, lambda items: [_without(items[0], "ActivityCreated", "ProspectActivityId"), *items[1:]]
    ),
    "applied-500-mx": _mx(500, "The activities can not be posted"),
}
_PROCESSED: dict[str, Any] = {"Status": "Success", "ErrorMessage": None}
_NOBODY_KNOWS = {"ResponseText": "Request is in a state that nobody knows."}
_OF_STATUS: dict[str, Reply] = {
    "pending": Reply.json(_PROCESSED | {"Message": {"ResponseText": "Request is queued."}, "ShareStatus": 1}),
    "unknown-number": Reply.json(_PROCESSED | {"Message": _NOBODY_KNOWS, "ShareStatus": 4711}),
    "id-gone": _mx(500, "Request Id does not exist"),
}

KINDS: dict[str, Kind] = {
    **{name: Kind(say, outcome="refused") for name, say in _REFUSED.items()},
    **{name: Kind(say) for name, say in _OPEN.items()},
    **{f"applied-{name}": Kind(say, applied=True) for name, say in _OPEN.items()},
    "applied-404": Kind(_REFUSED["404"], applied=True),
    **{name: Kind(say, applied=True) for name, say in _STRANGE.items()},
    **{
        name: Kind(say, applied=True, of=NAMES["Create"] | NAMES["Share"] | NAMES["Revoke"])
        for name, say in _OF_MAKING.items()
    },
    **{name: Kind(say, applied=True, of=NAMES["Bulk"]) for name, say in _OF_BULK.items()},
    **{name: Kind(say, of=NAMES["Status"]) for name, say in _OF_STATUS.items()},
}
"""Every fault by its name."""


async def strike(kind: str, particulars: Particulars, step: Step, call: SandboxCall) -> Reply:
    """Let a fault hit a call."""
    call.fault, fault = kind, KINDS[kind]
    right = Reply(200, b"")
    if fault.applied:
        right = await step(call)
    else:
        call.outcome = fault.outcome
    return fault.say if isinstance(fault.say, Reply) else fault.say(particulars, right)


@dataclass(frozen=True, slots=True)
class Chance:
    """How likely a fault is: a `share` (from 0 to 1) of the calls of `endpoints`, of all if None."""

    kind: str
    share: float
    endpoints: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Faults:
    """A wrapper for a Sandbox: lets the first fault that hits a call have it.

    Whether one does is always the same for the same seed and the same number of the call.
    """

    chances: tuple[Chance, ...]
    seed: int
    particulars: Particulars

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        """Let a fault hit the call, or none."""
        for chance in self.chances:
            if chance.endpoints is None or call.endpoint in chance.endpoints:
                # A request whose status is asked for stays as it is, however often that is.
                subject = call.query.get("id", call.n) if KINDS[chance.kind].of else call.n
                if fraction(self.seed, "fault", subject, chance.kind) < chance.share:
                    return await strike(chance.kind, self.particulars, step, call)
        return await step(call)


@dataclass(slots=True)
class ShareCache:
    """A wrapper for a Sandbox: a cache in between that answers every Share with what the first one was told."""

    kept: Reply | None = None

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        """Let the first Share through, and whatever is no Share."""
        if call.endpoint != SHARE:
            return await step(call)
        if self.kept is not None:
            call.outcome = "not done"
            return self.kept
        reply = await step(call)
        if call.outcome == "done":
            self.kept = reply
        return reply


def parse_faults(spec: str) -> tuple[Chance, ...]:
    """The faults of a spec, as in this module's docstring; none if it is empty.

    Raises ValueError, one sentence that names the choices.
    """
    chances = []
    for entry in map(str.strip, spec.split(",") if spec.strip() else ()):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise ValueError(f"{entry!r} is no fault: write 503=2% or Create:503=2%, with commas between several")
        kind, share, name = match["kind"].strip().lower(), float(match["percent"]) / 100, match["endpoint"]
        if kind not in KINDS:
            raise ValueError(f"there is no fault {kind!r}: choose {', '.join(KINDS)}")
        if share > 1:
            raise ValueError(f"{entry!r} is more than 100%")
        own = KINDS[kind].of
        found = own if name is None else paths_of(name)
        if own is not None and found is not None and not found <= own:
            only = {paths: known for known, paths in reversed(NAMES.items()) if paths <= own}
            choices = ", ".join(reversed(only.values()))
            raise ValueError(f"{kind} is a fault of {choices} alone, not of {name.strip()}")
        chances.append(Chance(kind, share, found))
    return tuple(chances)
