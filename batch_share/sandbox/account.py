"""What the account holds: its people, its activities, its requests and shares, and the clock they live by.

Requests to share and revoke are accepted at once and processed a little later; access is granted for each context
activity, and ends by itself. Nothing outlives the process.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from batch_share.sandbox.wire import refusal
from batch_share.sandbox.world import World, fraction, guid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_share.sandbox.options import SandboxOptions
    from batch_share.sandbox.world import Lead, User

DEFAULT_MINUTES = 90 * 24 * 60  # as documented for a share that says no length
FAILURE = "User does not have access to the entity type."
_DATE_FORMAT = "%Y-%m-%d %H:%M:%S"


class Clock:
    """The sandbox's only source of time: the running event loop's, and the wall's date. A test brings its own."""

    def time(self) -> float:
        """Seconds since some moment, which measure limits, latency and processing; it never goes back.

        The loop's: one that runs in virtual time takes the sandbox along.
        """
        return asyncio.get_running_loop().time()

    def now(self) -> datetime:
        """The date and time in UTC, for CreatedOn and the ends of shares."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed on this clock."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Activity:
    """An activity. `posted_at` is when it was made on the clock that measures, `modified_on` on the one that dates.

    `created_on` is the ActivityDateTime, where the caller gave one.
    """

    id: str
    lead: Lead
    event: int
    note: str
    owner: User
    fields: Mapping[str, str]
    created_on: datetime
    modified_on: datetime
    posted_at: float


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


class SandboxAccount:
    """The account and everything in it: `activities` and `requests` by their Ids, the oldest first."""

    def __init__(self, options: SandboxOptions, clock: Clock) -> None:
        self.options = options
        self.clock = clock
        self.world = World(options.seed, options.leads, options.users, options.first_number, options.number_step)
        self.activities: dict[str, Activity] = {}
        self.requests: dict[str, Request] = {}
        self._by_lead: dict[str, list[Activity]] = defaultdict(list)
        self._queue: list[tuple[float, int, Request]] = []
        self._last_due: dict[tuple[str, str], float] = {}
        self._grants: dict[tuple[str, str], Grant] = {}

    def post(
        self, lead: Lead, event: int, note: str, owner: User, fields: Mapping[str, str], created_on: datetime | None
    ) -> Activity:
        """Make an activity. Posting is not idempotent: the same again makes another one."""
        activity = Activity(
            id=guid(self.options.seed, self.options.start, "activity", len(self.activities)),
            lead=lead,
            event=event,
            note=note,
            owner=owner,
            fields=fields,
            created_on=created_on or self.clock.now(),
            modified_on=self.clock.now(),
            posted_at=self.clock.time(),
        )
        self.activities[activity.id] = activity
        self._by_lead[lead.id].append(activity)
        return activity

    def visible(self, lead: Lead | None = None) -> list[Activity]:
        """The activities that reads show, of all or of one lead, oldest first: their index lags behind writes."""
        found = self.activities.values() if lead is None else self._by_lead.get(lead.id, [])
        now = self.clock.time()
        return [activity for activity in found if now - activity.posted_at >= self.options.read_lag]

    def accept(self, kind: Literal["share", "revoke"], grants: tuple[Grant, ...]) -> Request:
        """Queue a request. Requests for the same context are processed in the order in which they came."""
        n, now = len(self.requests), self.clock.time()
        soonest = now + self.options.processing * (0.5 + fraction(self.options.seed, "processing", n))
        due = max([soonest, *(self._last_due.get(grant.context, now) for grant in grants)])
        is_bad = any(grant.lead.number in self.options.fail_leads for grant in grants)
        request = Request(
            id=guid(self.options.seed, self.options.start, "request", n).replace("-", ""),
            kind=kind,
            grants=grants,
            accepted=now,
            due=due,
            due_on=self.clock.now() + timedelta(seconds=due - now),
            error=FAILURE if is_bad or fraction(self.options.seed, "fail", n) < self.options.fail else None,
        )
        self.requests[request.id] = request
        self._last_due.update((grant.context, due) for grant in grants)
        heapq.heappush(self._queue, (due, n, request))
        return request

    def live_shares(self) -> list[Grant]:
        """The grants in force now.

        What has come due since anybody last looked is applied first: nobody can tell it from doing so in time.
        """
        while self._queue and self._queue[0][0] <= self.clock.time():
            request = heapq.heappop(self._queue)[2]
            for grant in request.grants if request.error is None else ():
                if request.kind == "revoke":
                    self._grants.pop(grant.context, None)
                else:
                    expires = request.due_on + timedelta(minutes=grant.minutes)
                    self._grants[grant.context] = replace(grant, expires=expires)
        now = self.clock.now()
        return [grant for grant in self._grants.values() if grant.expires is None or grant.expires > now]


def read_date(text: str) -> datetime:
    """A UTC date as LeadSquared writes it (https://apidocs.leadsquared.com/overview/)."""
    try:
        return datetime.strptime(text, _DATE_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise refusal("MXInvalidInputException", "Invalid date: use YYYY-MM-DD HH:MM:SS") from None


def show_date(moment: datetime) -> str:
    """A date as LeadSquared writes it, without the fraction that it keeps."""
    return moment.strftime(_DATE_FORMAT)
