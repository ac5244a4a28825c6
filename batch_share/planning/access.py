"""Who has access now, by the shares that the ledgers of this machine know.

LeadSquared is only asked if that is wanted: then the activities that carry our markers tell of other machines too.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from batch_share.common import ascii_lower, plural, utc_now
from batch_share.errors import BatchShareError, HistoryError
from batch_share.leadsquared.guesses import CLOCK_SKEW
from batch_share.leadsquared.outcome import Owner
from batch_share.leadsquared.people import all_users, read_users
from batch_share.leadsquared.protocol import activities_of_type
from batch_share.ledger.files import read_ledger
from batch_share.ledger.known import catch_up, check_whole, is_in_use, open_history, refresh
from batch_share.sending.activities import collect
from batch_share.sending.calls import consult
from batch_share.sending.session import Course, ending_early, open_connection
from batch_share.sending.steps import end_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch_share.leadsquared.outcome import ActivityView
    from batch_share.leadsquared.protocol import Call
    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.known import History, KnownLedger
    from batch_share.sending.onlookers import Watcher
    from batch_share.settings import Settings

OTHERS: Final = "Shares that were made on other machines, or by hand in LeadSquared, are not known here"
"""What no index of one machine can tell."""

BY_HAND: Final = (
    "Of shares of other machines only their activities are known here, not whether they were revoked; of those that"
    " were made by hand in LeadSquared nothing is"
)
"""What our activities in LeadSquared can't tell."""

LOOK_BACK: Final = dt.timedelta(days=366)
"""How old an activity may be whose share goes on: hardly anybody shares for more than a year."""

_MOST_PAGES: Final = 200
"""Of 1,000 activities each, read of one type: at 25 calls in 5 seconds that takes 40 seconds."""

_NAMED: Final = 3
"""Ledgers that a remark names; of the others only how many."""


@dataclass(frozen=True, slots=True)
class KnownShare:
    """A share that has not ended: whose, until when (UTC, without a zone), and by which row of which ledger.

    `access` is `read` or `write`; where it is `doubtful`, nobody knows that the share stands, and it is None.
    What no look-up of a ledger told is "": the lead's number, the user's name and address. Of a ledger that could
    not be looked at it `is_seen` no more: it is told as it was known before. What another machine shared only
    LeadSquared's activities tell: it has no `ledger`, and is `doubtful`.
    """

    lead_id: str
    lead_number: str
    user_id: str
    user_name: str
    user_email: str
    access: str | None
    doubtful: bool
    ends_at: dt.datetime
    sheet: str
    sheet_row: int | None
    ledger: LedgerName | None
    run_id: str
    is_seen: bool = True

    def as_json(self) -> dict[str, Any]:
        """The object that `access --json` has of it."""
        return {
            "lead": self.lead_id,
            "lead_number": self.lead_number or None,
            "user": self.user_id,
            "user_name": self.user_name or None,
            "user_email": self.user_email or None,
            "access": self.access,
            "doubtful": self.doubtful,
            "ends": f"{self.ends_at.isoformat(timespec='seconds')}Z",
            "known_by": "leadsquared" if self.ledger is None else "ledger",
            "sheet": self.sheet or None,
            "row": self.sheet_row,
            "ledger": None if self.ledger is None else str(self.ledger),
            "run": self.run_id or None,
        }


class Access(NamedTuple):
    """The shares that were asked for, the first to end first. `remarks` say what a person should know of them.

    `user_ids` are whom the `user` that was asked for may be, none if no ledger knows; of the ledgers that are
    `unseen` is only told what was known of them before.
    """

    shares: Sequence[KnownShare]
    remarks: Sequence[str]
    user_ids: frozenset[str]
    unseen: Sequence[LedgerName]

    def as_json(self) -> dict[str, Any]:
        """The object that `access --json` prints."""
        return {"shares": [each.as_json() for each in self.shares], "remarks": [*self.remarks]}


@dataclass(slots=True)
class _Seen:
    """What the ledgers tell that their index does not. `users` by Id, numbers by ledger and row, activity types."""

    users: dict[str | None, tuple[str, str]] = field(default_factory=dict)
    numbers: dict[tuple[LedgerName, str], dict[int, str]] = field(default_factory=dict)
    events: set[int] = field(default_factory=set)
    unseen: list[KnownLedger] = field(default_factory=list)


async def who_has_access(
    settings: Settings,
    user: str | None,
    lead: str | None,
    ending: int | None,
    watcher: Watcher | None = None,
    course: Course | None = None,
) -> Access:
    """The live shares of the host that is set (none: of all) with this user, of this lead, that end so soon.

    `user` is an Id or address, `lead` an Id or number, `ending` in minutes; None: all. With `watcher`, LeadSquared
    is asked too. Raises HistoryError; then also as `open_connection`, and BatchShareError if it is stopped.
    """
    remarks: list[str] = []
    with open_history(settings.data_folder) as history:
        try:
            check_whole(history)
        except HistoryError as error:
            remarks.append(str(error))
        seen = await _look(history, settings.host)
        now, here = utc_now(), {(known.ledger, known.job) for known in _of_host(history, settings.host)}
        live = history.live_after(now)
    shares = []
    for each in live:
        if (of := (each.ledger, each.job)) in here:
            name, email = seen.users.get(each.user_id, ("", ""))
            number = seen.numbers.get(of, {}).get(each.row_id, "")
            access = {1: "read", 2: "write"}.get(each.access)
            whose = (each.lead_id, number, each.user_id, name, email, access, access is None, each.ends_at)
            place = (each.sheet, each.sheet_row, each.ledger, each.run_id)
            shares.append(KnownShare(*whose, *place, is_seen=of in seen.numbers))
    remarks += _remarks(seen.unseen, shares, len(live) - len(shares))
    if watcher is not None:
        others, more = await _of_others(settings, seen, watcher, course or Course())
        shares, remarks = sorted([*shares, *others], key=lambda share: share.ends_at), [*remarks, *more]
    user_ids: set[str] = set()
    if user is not None:
        wanted = ascii_lower(user.strip())
        user_ids = {each for each, (_, email) in seen.users.items() if each and ascii_lower(email) == wanted}
        known = {each for each in seen.users if each} | {each.user_id for each in shares}
        user_ids |= {each for each in known if ascii_lower(each) == wanted}
        if not user_ids and watcher is None:
            remarks.append(f"No ledger of this machine knows a user with the Id or e-mail address {user.strip()}")
        asked_for = user_ids | {wanted}
        shares = [each for each in shares if not asked_for.isdisjoint((each.user_id, ascii_lower(each.user_email)))]
    if lead is not None:
        wanted = ascii_lower(lead.strip())
        shares = [each for each in shares if wanted in {ascii_lower(each.lead_id), each.lead_number}]
    if ending is not None:
        shares = [each for each in shares if each.ends_at <= now + dt.timedelta(minutes=ending)]
    unseen = [known.ledger for known in seen.unseen]
    return Access(shares, [*remarks, OTHERS if watcher is None else BY_HAND], frozenset(user_ids), unseen)


async def _of_others(
    settings: Settings, seen: _Seen, watcher: Watcher, course: Course
) -> tuple[list[KnownShare], list[str]]:
    """The shares that go on by our activities in LeadSquared, and are of no ledger here; and remarks."""
    events = sorted({*seen.events, *([int(settings.event)] if settings.event.isdecimal() else [])})
    if not events:
        return [], ["LeadSquared was not asked: no activity type is known here; name one with --set event=CODE"]
    now, remarks = utc_now(), list[str]()
    views: dict[str, ActivityView] = {}
    async with open_connection(settings, watcher, course) as connection:
        connection.tally.phase = "looking for what was shared"
        async with watcher.watch(connection.progress, connection.stop.ask):
            for event in events:
                with ending_early(connection.stop):
                    found = await collect(connection, event, partial(_page, event, now), _MOST_PAGES)
                    views |= {marker: next(iter(those.values())) for marker, those in found.views.items()}
                    if found.problem is not None:
                        remarks.append(
                            f"Not all of LeadSquared's activities of type {event} could be read "
                            f"({found.problem.rstrip('.')}): shares of other machines may be missing"
                        )
            with ending_early(connection.stop):
                owners = {view.owner.id for view in views.values() if view.owner and view.owner.id}
                if not owners <= seen.users.keys():  # an activity shows its owner's Id, and people know addresses
                    listed = await consult(connection, all_users(), read_users)
                    for each in listed if isinstance(listed, list) else ():
                        seen.users.setdefault(each.id, (each.name, each.email))
    if connection.stop.asked:
        raise connection.stop.error or BatchShareError("It was stopped before LeadSquared had answered.")
    for ledger, _ in seen.numbers:
        async with read_ledger(ledger) as reader:
            async for marker in reader.markers():
                views.pop(marker, None)
    ends = {marker: end_in(view.said, marker) for marker, view in views.items()}
    if endless := sum(end is None for end in ends.values()):
        posted = plural(endless, "activity", "activities")
        remarks.append(
            f"Without an end, since earlier versions of batch_share posted it: {posted} of other machines"
        )
    return [_share_of(views[marker], end, seen) for marker, end in ends.items() if end and end > now], remarks


def _page(event: int, now: dt.datetime, number: int) -> Call:
    return activities_of_type(event, now - LOOK_BACK, now + dt.timedelta(seconds=CLOCK_SKEW), number + 1)


def _share_of(view: ActivityView, end: dt.datetime, seen: _Seen) -> KnownShare:
    """What an activity of another machine tells of its share."""
    owner = view.owner or Owner()
    name, email = seen.users.get(owner.id, ("", "")) if owner.id else ("", "")
    whose = (view.lead, "", owner.id, owner.name or name, owner.email or email)
    return KnownShare(*whose, None, True, end, "", None, None, "")


def _of_host(history: History, host: str | None) -> list[KnownLedger]:
    return [known for known in history.ledgers() if host in {None, known.host}]


async def _look(history: History, host: str | None) -> _Seen:
    """Bring what is known of these ledgers up to date, and read what else they tell. Raises HistoryError."""
    seen = _Seen()
    await catch_up(history)
    for known in _of_host(history, host):
        try:
            async with read_ledger(known.ledger) as ledger:
                if (await ledger.facts())["job"] != known.job:  # another one is in its place
                    seen.unseen.append(known)
                    continue
                await refresh(history, ledger, known.account, goes_on=is_in_use(known.ledger))
                for user, (name, email) in (await ledger.known_users()).items():
                    before = seen.users.get(user, ("", ""))
                    seen.users[user] = (name or before[0], email or before[1])
                seen.numbers[known.ledger, known.job] = await ledger.lead_numbers()
                seen.events |= await ledger.events()
        except HistoryError:
            raise
        except BatchShareError:
            seen.unseen.append(known)
    return seen


def _remarks(unseen: Sequence[KnownLedger], shares: Sequence[KnownShare], elsewhere: int) -> list[str]:
    """Which ledgers could not be looked at, and how many shares are of other hosts than the one that is set."""
    remarks = []
    if unseen:
        names = ", ".join(str(known.ledger) for known in unseen[:_NAMED])
        more = f" and {len(unseen) - _NAMED:,} more" if len(unseen) > _NAMED else ""
        count = sum(not each.is_seen for each in shares)
        told = f"{plural(count, 'share')} of before {'is' if count == 1 else 'are'} told as last known"
        remarks.append(f"Could not be looked at: {names}{more}; {told}")
    if elsewhere:
        remarks.append(f"Left out: {plural(elsewhere, 'share')} at another host than the one that is set")
    return remarks
