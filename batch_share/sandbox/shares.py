"""Shares and revokes: requests that are accepted at once and processed a little later, and the grants they make.

https://apidocs.leadsquared.com/entity-sharing/: access is granted for each context activity, and ends by itself.
The documentation shows one ShareStatus, 6; the other numbers here are inventions that a client must not rely on.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from batch_share.sandbox.chance import fraction, guid

if TYPE_CHECKING:
    from datetime import datetime

    from batch_share.sandbox.account import Activity
    from batch_share.sandbox.clock import Clock
    from batch_share.sandbox.options import SandboxOptions
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
        due = max([self._due(n, now), *(self._last_due.get(grant.context, now) for grant in grants)])
        request = Request(
            id=guid(self._options.seed, "request", n).replace("-", ""),
            kind=kind,
            grants=grants,
            accepted=now,
            due=due,
            due_on=self._clock.now() + timedelta(seconds=due - now),
            error=FAILURE if self._fails(n, grants) else None,
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

    def _fails(self, n: int, grants: tuple[Grant, ...]) -> bool:
        bad = any(grant.lead.number in self._options.fail_leads for grant in grants)
        return bad or fraction(self._options.seed, "fail", n) < self._options.fail

    def _due(self, n: int, now: float) -> float:
        return now + self._options.processing * (0.5 + fraction(self._options.seed, "processing", n))

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
