"""Who has access now, by the shares that the ledgers of this machine know, and those of the store.

LeadSquared is only asked if that is wanted: then the activities that carry our markers tell of other machines too.
"""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from batch_share.common import ascii_lower, plural, utc_now
from batch_share.errors import BatchShareError, HistoryError, LedgerError, SettingsError
from batch_share.leadsquared.account import names_of_others
from batch_share.leadsquared.guesses import CLOCK_SKEW
from batch_share.leadsquared.people import ALL_USERS, leads_where, read_leads, read_users
from batch_share.leadsquared.protocol import Owner, activities_of_type
from batch_share.ledger.files import read_ledger
from batch_share.ledger.known import SAME_END, catch_up, check_whole, is_in_use, open_history, refresh
from batch_share.planning.directory import Directory
from batch_share.planning.intake import kept_answers, types_of
from batch_share.results.wording import (
    AS_LAST_KNOWN,
    BY_HAND,
    ENDLESS,
    LEAD_NAMED,
    NAMELESS,
    NO_TYPES_KNOWN,
    NOBODY_KNOWN,
    NOT_ALL_READ,
    NOT_BY_PHONE,
    NUMBER_UNKNOWN,
    OTHER_HOST,
    OTHERS,
    OTHERS_OF_STORE,
)
from batch_share.sending.calls import consult
from batch_share.sending.session import ending_early, open_connection
from batch_share.sending.steps import collect, end_in
from batch_share.sheet.values import check_seen, parse_event, parse_guid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from batch_share.leadsquared.protocol import ActivityView
    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.known import History, KnownLedger, LiveShare
    from batch_share.sending.onlookers import Watcher
    from batch_share.sending.session import Connection, Course
    from batch_share.settings import Settings

LOOK_BACK: Final = dt.timedelta(days=366)
"""How old an activity may be whose share goes on: hardly anybody shares for more than a year."""

_MOST_PAGES: Final = 200
"""Of 1,000 activities each, read of one type: at 25 calls in 5 seconds that takes 40 seconds."""

_NAMED: Final = 3
"""Ledgers that a remark names; of the others only how many."""


@dataclass(frozen=True, slots=True)
class KnownShare:
    """A share that has not ended: whose, until when (UTC, without a zone), and by which row of which ledger.

    `lead_id` and `user_id` are LeadSquared's; `lead_number`, `user_name` and `user_email` are "" where no look-up
    of a ledger told them. `access` is `read` or `write`; where it is `doubtful`, nobody knows that the share
    stands, and it is None. It `ends_at` that time. `sheet` is the name of the sheet ("": not known), `sheet_row`
    the row's number in it, `run_id` the run. Of a ledger that could not be looked at it `is_seen` no more: it is
    told as it was known before. What another machine shared only LeadSquared's activities tell: it has no
    `ledger`, and is `doubtful`.
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
    """The `shares` that were asked for, the first to end first; `remarks` say what a person should know of them.

    `user_ids` are whom the `user` that was asked for may be, none if no ledger knows; of the ledgers that are
    `unseen` is only told what was known of them before. So many more shares are `elsewhere`: at another host, or of
    another account, than the one that is set.
    """

    shares: Sequence[KnownShare]
    remarks: Sequence[str]
    user_ids: frozenset[str]
    unseen: Sequence[LedgerName]
    elsewhere: int = 0

    def as_json(self) -> dict[str, Any]:
        """The object that `access --json` prints."""
        return {"shares": [each.as_json() for each in self.shares], "remarks": [*self.remarks]}


@dataclass(slots=True)
class _Seen:
    """What the ledgers that are `here` tell and their index does not: `users` by Id, numbers by ledger and row.

    And activity types. `unseen` are those that could not be looked at.
    """

    here: set[tuple[LedgerName, str]] = field(default_factory=set)
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
    try:
        check_seen((user or "").strip())
    except ValueError as unseen:
        raise SettingsError("user", str(unseen)) from None
    if lead is not None and not lead.strip().isdecimal():
        try:
            lead = parse_guid(lead.strip())
        except ValueError:  # by no other name a share tells its lead, so nobody would be found to have it
            raise SettingsError("lead", LEAD_NAMED, problem=f"{LEAD_NAMED[0].upper()}{LEAD_NAMED[1:]}.") from None
    if watcher is None:
        return await _told(settings, None, user, lead, ending)
    try:
        parse_event(settings.event or "1")
    except ValueError as error:
        raise SettingsError("event", str(error)) from None
    # Before the ledgers are looked at: a run that goes on changes them, and what they lack is another machine's.
    async with open_connection(settings, watcher, course, "access") as connection:
        connection.tally.phase = "looking for what was shared"
        async with watcher.watch(connection.progress, connection.stop.ask):
            found = await _told(settings, connection, user, lead, ending)
    if connection.stop.asked:
        raise connection.stop.error or BatchShareError("It was stopped before LeadSquared had answered.")
    return found


async def _told(
    settings: Settings, connection: Connection | None, user: str | None, lead: str | None, ending: int | None
) -> Access:
    remarks: list[str] = []
    with open_history(settings.data_folder, store=settings.store) as history:
        try:
            check_whole(history)
        except HistoryError as error:
            remarks.append(str(error))
        foreign = set[str]()
        with suppress(SettingsError):  # nobody needs keys to look at what is here
            foreign = names_of_others(settings)
        now = utc_now() if history.store is None else history.store.now()
        seen = await _look(history, settings.host, foreign, now)
        live = history.live_after(now)
    last = None if ending is None else now + dt.timedelta(minutes=ending)
    shares = []
    for each in live:
        if (of := (each.ledger, each.job)) in seen.here:
            name, email = seen.users.get(each.user_id, ("", ""))
            number = seen.numbers.get(of, {}).get(each.row_id, "")
            access = {1: "read", 2: "write"}.get(each.access)
            whose = (each.lead_id, number, each.user_id, name, email, access, access is None, each.ends_at)
            shares.append(
                KnownShare(*whose, each.sheet, each.sheet_row, each.ledger, each.run_id, is_seen=of in seen.numbers)
            )
    left_out = [each for each in live if (each.ledger, each.job) not in seen.here]
    elsewhere = _count_asked(left_out, user, lead, last)
    is_untold = "@" in (user or "") or (lead or "").strip().isdecimal()
    remarks += _remarks(seen.unseen, shares, elsewhere, ", whosever they are" if is_untold else "")
    lead_ids = {ascii_lower(lead.strip())} if lead is not None else set[str]()
    if connection is not None:
        with ending_early(connection.stop):
            shares += await _of_others(connection, seen, shares, remarks, now)
            shares.sort(key=lambda share: share.ends_at)
            lead_ids |= await _lead_with_number(connection, lead_ids, remarks)
    user_ids: set[str] = set()
    if user is not None:
        wanted = ascii_lower(user.strip())
        user_ids = {each for each, (_, email) in seen.users.items() if each and ascii_lower(email) == wanted}
        known = {each for each in seen.users if each} | {each.user_id for each in shares}
        user_ids |= {each for each in known if ascii_lower(each) == wanted}
        if not user_ids:
            nor = "" if connection is None else ", nor LeadSquared,"
            remarks.append(NOBODY_KNOWN.format(nor=nor, user=user.strip()))
        if nameless := sum(not each.user_id for each in shares):
            remarks.append(NAMELESS.format(shares=plural(nameless, "share")))
        shares = [each for each in shares if each.user_id in user_ids]
    if lead is not None:
        shares = [each for each in shares if not lead_ids.isdisjoint((ascii_lower(each.lead_id), each.lead_number))]
        if lead.strip().isdecimal() and not shares:
            remarks.append(NOT_BY_PHONE.format(number=lead.strip()))
    if last is not None:
        shares = [each for each in shares if each.ends_at <= last]
    not_known = OTHERS if settings.store is None else OTHERS_OF_STORE
    remarks.append(not_known if connection is None else BY_HAND)
    return Access(shares, remarks, frozenset(user_ids), [known.ledger for known in seen.unseen], elsewhere)


async def _of_others(
    connection: Connection, seen: _Seen, ours: Sequence[KnownShare], remarks: list[str], now: dt.datetime
) -> list[KnownShare]:
    """The shares that go on by our activities in LeadSquared, and are of no ledger here."""
    event = connection.settings.event.strip()
    events = sorted(seen.events | (await _event_named(connection, event) if event else set()))
    if not events:
        remarks.append(NO_TYPES_KNOWN)
    views: dict[str, ActivityView] = {}
    for each in events:
        page = partial(activities_of_type, each, now - LOOK_BACK, now + dt.timedelta(seconds=CLOCK_SKEW))
        found = await collect(connection, each, page, _MOST_PAGES)
        views |= {marker: next(iter(those.values())) for marker, those in found.views.items()}
        if found.problem is not None:
            remarks.append(NOT_ALL_READ.format(event=each, why=found.problem.rstrip(".")))
    for ledger, _ in seen.numbers:
        with suppress(LedgerError):  # it is gone since it was looked at: as those that could not be
            async with read_ledger(ledger) as reader:
                async for marker in reader.markers():
                    views.pop(marker, None)
    ends = {marker: end_in(view.said, marker) for marker, view in views.items()}
    if endless := sum(end is None for end in ends.values()):
        posted = plural(endless, "activity", "activities")
        remarks.append(ENDLESS.format(activities=posted))
    owners = [view.owner for view in views.values() if view.owner is not None]
    if any(owner.id not in seen.users for owner in owners):  # Ids are shown, or addresses, and both are known by
        listed = await consult(connection, ALL_USERS, read_users)
        for user in listed if isinstance(listed, list) else ():
            seen.users.setdefault(user.id, (user.name, user.email))
    by_address = {ascii_lower(email): user for user, (_, email) in seen.users.items() if user and email}
    going_on = {marker: end for marker, end in ends.items() if end is not None and end > now}
    found_here = [_share_of(views[marker], end, seen, by_address) for marker, end in going_on.items()]
    unseen: dict[tuple[str, str], dt.datetime] = {}
    for share in ours:
        if not share.is_seen:
            unseen[share.lead_id, share.user_id] = share.ends_at + SAME_END
    return [each for each in found_here if each.ends_at > unseen.get((each.lead_id, each.user_id), now)]


async def _event_named(connection: Connection, named: str) -> set[int]:
    """The code of the activity type that the settings name. Raises SettingsError if the account has none such."""
    event, directory = parse_event(named), Directory()
    if isinstance(event, str):
        directory.learn_types(await types_of(connection, kept_answers(connection.settings), directory))
        if strange := directory.strange(event):
            raise SettingsError("event", strange)
    return {code for code in [directory.code_of(event)] if code is not None}


async def _lead_with_number(connection: Connection, wanted: set[str], remarks: list[str]) -> set[str]:
    """The Id of the lead with this number, if it is one: by their numbers activities tell nobody."""
    number = next(iter(wanted), "")
    if not number.isdecimal():
        return set()
    answer = await consult(connection, leads_where("ProspectAutoId", [number], "="), read_leads)
    found = (
        {ascii_lower(each.id) for each in answer if each.number == number} if isinstance(answer, list) else set()
    )
    if len(found) != 1:
        remarks.append(NUMBER_UNKNOWN.format(number=number))
        return set()
    return found


def _share_of(view: ActivityView, end: dt.datetime, seen: _Seen, by_address: Mapping[str, str]) -> KnownShare:
    """What an activity of another machine tells of its share; of an owner shown by name alone no Id is guessed."""
    owner = view.owner or Owner()
    user = owner.id or by_address.get(ascii_lower(owner.email), "")
    name, email = seen.users.get(user, ("", ""))
    whose = (view.lead, "", user, owner.name or name, owner.email or email)
    return KnownShare(*whose, None, True, end, "", None, None, "")


async def _look(history: History, host: str | None, others: AbstractSet[str], now: dt.datetime) -> _Seen:
    """Bring what is known of a host's ledgers up to date, but of no `others`, and read what else they tell.

    Raises HistoryError.
    """
    seen = _Seen()
    await catch_up(history)
    for known in history.ledgers():
        if host not in {None, known.host} or known.account in others:
            continue
        seen.here.add((known.ledger, known.job))
        try:
            async with read_ledger(known.ledger) as ledger:
                if (await ledger.facts()).job != known.job:  # another one is in its place
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
    if history.store is not None:  # of all its ledgers at once
        told = history.store.seen(host, now)
        seen.here |= told.here
        seen.numbers |= told.numbers
        seen.events |= told.events
        seen.users = told.users | seen.users
    return seen


def _remarks(unseen: Sequence[KnownLedger], shares: Sequence[KnownShare], elsewhere: int, whose: str) -> list[str]:
    """Which ledgers could not be looked at, and how many shares are another host's or account's."""
    remarks = []
    if unseen:
        names = ", ".join(str(known.ledger) for known in unseen[:_NAMED])
        more = f" and {len(unseen) - _NAMED:,} more" if len(unseen) > _NAMED else ""
        count = sum(not each.is_seen for each in shares)
        told = f"{plural(count, 'share')} of before {'is' if count == 1 else 'are'}"
        remarks.append(AS_LAST_KNOWN.format(ledgers=f"{names}{more}", shares=told))
    if elsewhere:
        remarks.append(OTHER_HOST.format(shares=plural(elsewhere, "share"), whose=whose))
    return remarks


def _count_asked(live: Sequence[LiveShare], user: str | None, lead: str | None, last: dt.datetime | None) -> int:
    """How many of other accounts' shares may be those asked for.

    Nothing is known here of their users' addresses, nor of their leads' numbers: by these nobody can say whose.
    """
    wanted, lead_id, asked = ascii_lower((user or "").strip()), ascii_lower((lead or "").strip()), 0
    for each in live:
        of_user = not wanted or "@" in wanted or ascii_lower(each.user_id) == wanted
        of_lead = not lead_id or lead_id.isdecimal() or ascii_lower(each.lead_id) == lead_id
        asked += of_user and of_lead and (last is None or each.ends_at <= last)
    return asked
