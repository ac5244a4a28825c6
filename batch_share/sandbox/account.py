"""What the account holds: its people, its activities, its shares, and the clock they live by."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from batch_share.sandbox.shares import Shares
from batch_share.sandbox.wire import refusal
from batch_share.sandbox.world import World, guid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_share.sandbox.options import SandboxOptions
    from batch_share.sandbox.window import Clock
    from batch_share.sandbox.world import Lead, User

_DATE_FORMAT = "%Y-%m-%d %H:%M:%S"


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


class SandboxAccount:
    """The account and everything in it; nothing outlives the process."""

    def __init__(self, options: SandboxOptions, clock: Clock) -> None:
        self.options = options
        self.clock = clock
        self.world = World(options.seed, options.leads, options.users)
        self.shares = Shares(options, clock)
        self._activities: dict[str, Activity] = {}
        self._by_lead: dict[str, list[Activity]] = defaultdict(list)

    def post(
        self, lead: Lead, event: int, note: str, owner: User, fields: Mapping[str, str], created_on: datetime | None
    ) -> Activity:
        """Make an activity. Posting is not idempotent: the same again makes another one."""
        activity = Activity(
            id=guid(self.options.seed, "activity", len(self._activities)),
            lead=lead,
            event=event,
            note=note,
            owner=owner,
            fields=fields,
            created_on=created_on or self.clock.now(),
            modified_on=self.clock.now(),
            posted_at=self.clock.time(),
        )
        self._activities[activity.id] = activity
        self._by_lead[lead.id].append(activity)
        return activity

    def activity(self, activity_id: str) -> Activity | None:
        """The activity with this GUID, as a write sees it: at once."""
        return self._activities.get(activity_id.lower())

    def is_visible(self, activity: Activity) -> bool:
        """Whether reads show the activity yet: their index lags behind writes."""
        return self.clock.time() - activity.posted_at >= self.options.read_lag

    def visible(self) -> list[Activity]:
        """All activities that reads show, oldest first."""
        return [activity for activity in self._activities.values() if self.is_visible(activity)]

    def visible_on(self, lead: Lead) -> list[Activity]:
        """The lead's activities that reads show, latest first."""
        return [activity for activity in reversed(self._by_lead.get(lead.id, [])) if self.is_visible(activity)]

    def activity_count(self) -> int:
        """All activities, visible or not."""
        return len(self._activities)

    def pairs(self) -> Counter[tuple[str, str]]:
        """How many activities there are for each (lead id, owner id)."""
        return Counter((activity.lead.id, activity.owner.id) for activity in self._activities.values())


def read_date(text: str) -> datetime:
    """A UTC date as LeadSquared writes it (https://apidocs.leadsquared.com/overview/)."""
    try:
        return datetime.strptime(text, _DATE_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise refusal("MXInvalidInputException", "Invalid date: use YYYY-MM-DD HH:MM:SS") from None


def show_date(moment: datetime) -> str:
    """A date as LeadSquared writes it, without the fraction that it keeps."""
    return moment.strftime(_DATE_FORMAT)
