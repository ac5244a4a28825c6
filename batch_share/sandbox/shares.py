"""EntityAccess.svc: share, revoke, status (https://apidocs.leadsquared.com/entity-sharing/).

Requests are accepted at once and processed a little later; access is granted for each context activity, and ends by
itself. The documentation shows one ShareStatus, 6; the other numbers here are inventions that a client must not
rely on. Which exception a bad element raises is not documented; all of them come as an MX exception with words.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from batch_share.common import MAX_DURATION_MINUTES
from batch_share.sandbox.wire import Json, Refusal, json_array, missing, refusal, succeeded
from batch_share.sandbox.world import fraction, guid

if TYPE_CHECKING:
    from datetime import datetime

    from batch_share.sandbox.account import Activity, SandboxAccount
    from batch_share.sandbox.options import SandboxOptions
    from batch_share.sandbox.window import Clock
    from batch_share.sandbox.wire import SandboxCall
    from batch_share.sandbox.world import Lead, User

DEFAULT_MINUTES = 90 * 24 * 60
FAILURE = "User does not have access to the entity type."


@dataclass(frozen=True, slots=True)
class Grant:
    """A lead shared with a user in the context of an activity; `access` 1 reads, 2 writes."""

    lead: Lead
    user: User
    activity: Activity
    access: int
    minutes: int = DEFAULT_MINUTES
    expires: datetime | None = None

    @property
    def context(self) -> tuple[str, str]:
        """What makes a grant this one: sharing again in the same context replaces it."""
        return self.activity.id, self.user.id


@dataclass(frozen=True, slots=True)
class Request:
    """A share or revoke request, processed at `due` (measured), dated `due_on`; with `error` it fails."""

    id: str
    kind: Literal["share", "revoke"]
    grants: tuple[Grant, ...]
    accepted: float
    due: float
    due_on: datetime
    error: str | None

    def state(self, now: float) -> str:
        """`queued`, `processing`, then `processed` or `failed`."""
        if now >= self.due:
            return "failed" if self.error else "processed"
        return "queued" if now < (self.accepted + self.due) / 2 else "processing"


class Shares:
    """The account's queue of requests and its grants."""

    def __init__(self, options: SandboxOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._requests: dict[str, Request] = {}
        self._queue: list[tuple[float, int, Request]] = []
        self._last_due: dict[tuple[str, str], float] = {}
        self._grants: dict[tuple[str, str], Grant] = {}

    def accept(self, kind: Literal["share", "revoke"], grants: tuple[Grant, ...]) -> Request:
        """Queue a request. Requests for the same context are processed in the order in which they came."""
        n, now = len(self._requests), self._clock.time()
        soonest = now + self._options.processing * (0.5 + fraction(self._options.seed, "processing", n))
        due = max([soonest, *(self._last_due.get(grant.context, now) for grant in grants)])
        is_bad = any(grant.lead.number in self._options.fail_leads for grant in grants)
        request = Request(
            id=guid(self._options.seed, "request", n).replace("-", ""),
            kind=kind,
            grants=grants,
            accepted=now,
            due=due,
            due_on=self._clock.now() + timedelta(seconds=due - now),
            error=FAILURE if is_bad or fraction(self._options.seed, "fail", n) < self._options.fail else None,
        )
        self._requests[request.id] = request
        self._last_due.update((grant.context, due) for grant in grants)
        heapq.heappush(self._queue, (due, n, request))
        return request

    def request(self, request_id: str) -> Request | None:
        """The request with this Id."""
        return self._requests.get(request_id.lower())

    def live(self) -> list[Grant]:
        """The grants in force now."""
        self._settle()
        now = self._clock.now()
        return [grant for grant in self._grants.values() if grant.expires is None or grant.expires > now]

    def states(self) -> Counter[str]:
        """How many requests are in each state."""
        now = self._clock.time()
        return Counter(request.state(now) for request in self._requests.values())

    def _settle(self) -> None:
        """Apply what has come due since anybody last looked: nobody can tell it from doing so in time."""
        now = self._clock.time()
        while self._queue and self._queue[0][0] <= now:
            request = heapq.heappop(self._queue)[2]
            if request.error is None:
                self._apply(request)

    def _apply(self, request: Request) -> None:
        for grant in request.grants:
            if request.kind == "revoke":
                self._grants.pop(grant.context, None)
            else:
                expires = request.due_on + timedelta(minutes=grant.minutes)
                self._grants[grant.context] = replace(grant, expires=expires)


_CONSTANTS = {"Entity": 1, "EntityType": 3, "ContextEntity": 1}
# Only 6 is documented, with this text.
_PROGRESS = {
    "queued": (1, "Request is queued."),
    "processing": (3, "Request is being processed."),
    "processed": (6, "Request processed successfully."),
    "failed": (5, "Request processed with errors."),
}


def share(account: SandboxAccount, call: SandboxCall) -> Any:
    """POST Share: grant users access to leads, in the context of activities they own.

    https://apidocs.leadsquared.com/share-a-lead/. All elements are checked before any is accepted.
    """
    grants = tuple(_share_grant(account, item) for item in _elements(account, call))
    return succeeded(account.shares.accept("share", grants).id)


def revoke(account: SandboxAccount, call: SandboxCall) -> Any:
    """POST Revoke: revoke access, in the context of those activities only.

    https://apidocs.leadsquared.com/revoke-access-to-a-shared-lead/. A grant goes whatever its access type; revoking
    one that is not there is accepted.
    """
    grants = tuple(_grant(account, item, item.integer("AccessType") or 1) for item in _elements(account, call))
    return succeeded(account.shares.accept("revoke", grants).id)


def status(account: SandboxAccount, call: SandboxCall) -> Any:
    """GET Status/Get?id=: https://apidocs.leadsquared.com/get-status-of-a-share-revoke-request/"""
    request_id = call.query.get("id", "")
    if not request_id:
        raise missing("id")
    request = account.shares.request(request_id)
    if request is None:
        raise _invalid("Request Id does not exist")
    state = request.state(account.clock.time())
    number, text = _PROGRESS[state]
    return {
        "Status": "Success",
        "Message": {"ResponseText": text},
        "ShareStatus": number,
        "ErrorMessage": request.error if state == "failed" else None,
    }


def _elements(account: SandboxAccount, call: SandboxCall) -> list[Json]:
    items, most = json_array(call.body), account.options.share_batch
    call.lead, call.user, call.activity = (
        ",".join((item.text(name) or "")[:100] for item in items)
        for name in ("EntityId", "UserId", "ContextEntityId")
    )
    if not 1 <= len(items) <= most:
        raise _invalid(f"Between 1 and {most} entities can be shared in a request")
    return items


def _share_grant(account: SandboxAccount, item: Json) -> Grant:
    item.needed("AccessType")
    minutes = item.integer("DurationInMinutes")
    if minutes is not None and not 1 <= minutes <= MAX_DURATION_MINUTES:
        raise _invalid("DurationInMinutes is out of range")
    grant = _grant(account, item, item.integer("AccessType"), DEFAULT_MINUTES if minutes is None else minutes)
    if not grant.user.active:
        raise _invalid("User is not an active user of the account")
    if grant.activity.owner != grant.user:
        raise _invalid("User is not the owner of the activity")
    return grant


def _grant(account: SandboxAccount, item: Json, access: int | None, minutes: int = DEFAULT_MINUTES) -> Grant:
    for name, value in _CONSTANTS.items():
        item.needed(name)
        if item.integer(name) != value:
            raise _invalid(f"{name} is not supported")
    if access not in {1, 2}:
        raise _invalid("AccessType is 1 (read) or 2 (write)")
    lead = _lead(account, item)
    return Grant(lead, _user(account, item), _activity(account, item, lead), access, minutes)


def _lead(account: SandboxAccount, item: Json) -> Lead:
    """EntityId is the lead's ProspectAutoId, not its GUID."""
    lead = account.world.lead_numbered(item.needed("EntityId"))
    if lead is None:
        raise refusal("MXInvalidEntityException", "Lead does not exist in the system")
    return lead


def _user(account: SandboxAccount, item: Json) -> User:
    user = account.world.user(item.needed("UserId"))
    if user is None:
        raise _invalid("User does not exist in the system")
    return user


def _activity(account: SandboxAccount, item: Json, lead: Lead) -> Activity:
    activity = account.activity(item.needed("ContextEntityId"))
    if activity is None or activity.lead != lead:
        raise _invalid("Activity does not exist on the lead")
    return activity


def _invalid(words: str) -> Refusal:
    return refusal("MXInvalidInputException", words)
