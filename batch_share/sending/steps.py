"""What a row asks for, what its activity says, and whose that activity turns out to be.

Posting is not idempotent, so a row whose call may or may not have arrived is looked up before anything is sent for
it again, by the marker that its activity says: it is the same for every attempt of a row, and no other row of any
ledger has it.

No page says that Create honours the owner field, and a bulk call names the owner in another way. Were it ignored,
the activity would belong to the key's own user and every share would go wrong, so in each run one activity of each
type, and of each way to post it, is read back before the others go out.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from batch_share.common import Cause, ascii_lower
from batch_share.errors import OwnerNotVerified
from batch_share.leadsquared.guesses import CLOCK_SKEW, SMALLEST_PAGE
from batch_share.leadsquared.people import ALL_USERS, KeyUser, found_by, read_users
from batch_share.leadsquared.protocol import (
    Activities,
    activities_of_lead,
    activities_of_type,
    activity_details,
    id_of,
    read_activities,
)
from batch_share.ledger.records import Result, Why
from batch_share.ledger.states import Stage, State
from batch_share.sending.calls import ask_key_user, consult

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from batch_share.leadsquared.protocol import ActivityView, Call, Owner
    from batch_share.ledger.records import Instruction, Row
    from batch_share.sending.session import Connection, Session

_MARKER: Final = re.compile(
    r"^(?:\[bs-[a-z2-7]{16}\]|bs-[a-z2-7]{16}(?=(?: \d{4}-\d\d-\d\dt\d\d:\d\dz)?$))", re.MULTILINE
)


def marker_of(key: str, step: Stage, renewal: int = 0) -> str:
    """The marker of a row's step and renewal; `key` is the row's, which its ledger's job is part of."""
    named = f"{key}\n{step}\n{renewal}" if renewal else f"{key}\n{step}"  # as it was before there were renewals
    digest = hashlib.blake2b(named.encode(), digest_size=10).digest()
    # Letters and digits in one case: an account may fold it, and its filters look for markup.
    return f"bs-{base64.b32encode(digest).decode().lower()}"


def activity_marker(session: Session) -> Callable[[Row], str]:
    """What says by which marker, as it is written, the activity of a row is found."""
    written = in_note if not session.settings.marker_field else str
    return lambda row: written(marker_of(row.key, Stage.ACTIVITY, row.renewal))


def in_note(marker: str) -> str:
    """A marker as it stands at the start of a note, where nothing cuts it off; a custom field holds it bare."""
    return f"[{marker}]"


def markers_in(said: str) -> frozenset[str]:
    """The markers, as they were written, in texts of lower case, one to a line; what follows them says until when.

    Only at the start of a note or as the whole of a field: somebody's note may quote another row's.
    """
    return frozenset(_MARKER.findall(said))


def end_in(said: str, marker: str) -> dt.datetime | None:
    """When the share ends that stands after a marker, in texts as `markers_in` takes them; None if none does."""
    found = re.search(rf"^{re.escape(marker)} \[?(\d{{4}}-\d\d-\d\dt\d\d:\d\d)z", said, re.MULTILINE)
    try:
        return dt.datetime.fromisoformat(found[1].upper()) if found else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Texts:
    """What an activity says: its marker, as it stands in the note or in a custom field, and all else around it."""

    marker: str
    note: str
    custom: Mapping[str, str] | None


def texts_of(session: Session, row: Row) -> Texts:
    """The texts of the activity of `row`: its marker, the same for every attempt, then when its share ends."""
    wanted, field = asked(row), session.settings.marker_field
    end = f"{wanted.until or session.ledger.now() + timedelta(minutes=wanted.duration or 0):%Y-%m-%dT%H:%MZ}"
    bare = marker_of(row.key, Stage.ACTIVITY, row.renewal)
    if field:
        return Texts(bare, wanted.note, {**(wanted.custom or {}), field: f"{bare} {end}"})
    return Texts(in_note(bare), f"{in_note(bare)} [{end}] {wanted.note}", wanted.custom)


def asked(row: Row) -> Instruction:
    """What `row` asks for."""
    if row.instruction is None:
        raise AssertionError("a row without instruction is invalid and never sent")
    return row.instruction


class Found(NamedTuple):
    """Activities by the marker in them; `problem` says why they are not all, None if they are."""

    views: dict[str, dict[str, ActivityView]]
    problem: str | None = None


async def collect(
    session: Connection, event: int, page: Callable[[int], Call], most: int, wanted: Collection[str] = ()
) -> Found:
    """Read page after page, at most `most`. A list that is not whole proves nothing about what is not on it.

    Activities are counted and told apart by their Ids, in whatever spelling each answer has them: a server may
    ignore which page it is asked for, or of what size, list the oldest first, or tell the count of the page for
    that of all. So the list ends with an empty page, however many the one before it had; one that brings nothing
    new comes from a server that ignores the page, which shows all there are only if they are fewer than it has on a
    page at least. Once all the `wanted` markers are found, no absence is to be proved, and what the list says of
    its length is believed.
    """
    views: dict[str, dict[str, ActivityView]] = defaultdict(dict)
    seen: set[str] = set()
    for number in range(most):
        call = page(number)
        answer = await consult(session, call, read_activities)
        if not isinstance(answer, Activities):
            return Found(views, answer.words)
        for view in answer.shown:
            markers = markers_in(view.said)
            session.saw(call.path, event, markers)
            for marker in markers:
                views[marker][id_of(view.id)] = view
        new = {id_of(view.id) for view in answer.shown} - seen
        seen |= new
        if wanted and views.keys() >= {*wanted} and answer.total is not None and len(seen) >= answer.total:
            return Found(views)
        if not new:
            is_end = not answer.shown or len(seen) < SMALLEST_PAGE
            is_whole = is_end and len(seen) >= (answer.total or 0)
            return Found(views, None if is_whole else "the list is not whole")
        if (answer.total or 0) > most * len(answer.shown):
            break
    return Found(views, "there are too many")


class Form(StrEnum):
    """The ways in which an activity got its owner: by an earlier call, by a call of its own, by a bulk call."""

    EARLIER = "earlier"
    SINGLE = "single"
    BULK = "bulk"


FOR_ALL: Final = ""
"""For whom owners are proved, if it is for every user."""

_RECENT: Final = timedelta(days=1)
"""How far back the activities of a type are looked through for one."""

LOOKS: Final = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds to wait before each look: reads may lag behind writes."""


class Owners:
    """Of which rows it is known that their activity gets its owner: for a pass over the rows of a session.

    Rows for the keys' own user prove it for them alone: were the owner ignored, theirs would be right all the same.
    Where nobody knows who that is, rows for two users prove it, since one of them is somebody else.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._phase = session.tally.phase
        for event, _ in [where for where, user in session.verified.items() if user == FOR_ALL]:
            session.verified[event, Form.EARLIER] = FOR_ALL  # what stands by now was posted in such a form

    def are_proved(self, form: Form) -> bool:
        """Whether activities of any type were seen to get their owner in this form."""
        return any(known is form for _, known in self._session.verified)

    def is_proved(self, row: Row, form: Form) -> bool:
        """Whether owners of its type and form are proved, for all users or for the row's."""
        wanted = asked(row)
        return self._session.verified.get((wanted.event, form)) in {FOR_ALL, wanted.user_id}

    async def prove(self, row: Row, form: Form) -> None:
        """Read the owner of the activity of `row`, which lacks the proof, and note it.

        A wrong one makes the row `failed`: that activity must never carry a share. Raises OwnerNotVerified.
        """
        session, wanted, activity_id = self._session, asked(row), row.activity_id or ""
        session.tally.phase = "checking the first activity's owner"
        key_user = await ask_key_user(session)
        owner = await _read_owner(session, wanted, activity_id)
        whose = Whose.UNKNOWN if owner is None else await whose_is(session, owner, wanted.user_id)
        session.tally.phase = self._phase
        shown = str(owner or "")
        if whose is Whose.ANOTHERS:
            why = Why(Cause.ANOTHERS, {"activity": activity_id, "owner": shown})
            ending = Result(State.FAILED, "failed", stage=Stage.ACTIVITY, why=why)
            await session.ledger.end(row, ending)
            session.moved(State.POSTED, ending)  # not checked: whose it is says more than that it failed
            raise OwnerNotVerified(activity_id, wanted.user_id, shown, is_anothers=True)
        if whose is Whose.UNKNOWN:
            if not session.settings.trust_owner:
                raise OwnerNotVerified(activity_id, wanted.user_id, shown)
            noted = {Cause.OWNER_NOT_CHECKED: [0, shown and f"it is shown as {shown}"]}
            await session.ledger.note(unchecked={**(await session.ledger.facts()).unchecked, **noted})
        await session.ledger.note_owner_check(wanted.event, activity_id, verified=whose is Whose.THEIRS)
        is_somebody_elses = isinstance(key_user, KeyUser) and key_user.id != wanted.user_id
        is_for_all = is_somebody_elses or (wanted.event, form) in session.verified
        session.verified[wanted.event, form] = FOR_ALL if is_for_all else wanted.user_id
        if form is Form.SINGLE and is_for_all:
            session.memory.keep(ignores_owner=False)


async def find_owner_emails(session: Session) -> dict[str, str]:
    """The address of each user whose rows are to be posted, by user Id; asked anew, for addresses change.

    A user without one, or with one that others have too, is left out: an activity must not go to somebody else.
    Raises as `calls.read`.
    """
    wanted = {*(await session.ledger.ids_to_do(State.PENDING)).values()}
    if not wanted:
        return {}
    listed = await consult(session, ALL_USERS, read_users)
    users = listed if isinstance(listed, list) else []
    for user_id in sorted(wanted - {user.id for user in users}):  # large accounts leave some out of the list
        found = await consult(session, found_by("user id", user_id), read_users)
        users += [user for user in found if user.id == user_id] if isinstance(found, list) else []
    having = Counter(ascii_lower(user.email) for user in users)
    return {
        user.id: user.email
        for user in users
        if user.id in wanted and user.active and user.email and having[ascii_lower(user.email)] == 1
    }


class Whose(StrEnum):
    """Whose an activity is, as far as what LeadSquared shows can be compared with the user whose it should be."""

    THEIRS = "theirs"
    ANOTHERS = "another's"
    UNKNOWN = "unknown"


async def whose_is(session: Session, owner: Owner, user_id: str) -> Whose:
    """Whether `owner` is the user with this Id: by Id, else by address, else by a name that is one user's alone."""
    if owner.id:
        return Whose.THEIRS if owner.id == user_id else Whose.ANOTHERS
    if not session.listed:
        users = await consult(session, ALL_USERS, read_users)
        session.listed.extend(users if isinstance(users, list) else ())
    if not session.listed:  # an address that was noted once may be somebody else's by now, or not theirs any more
        _, address = (await session.ledger.known_users()).get(user_id, ("", ""))
        is_known = bool(owner.email) and ascii_lower(owner.email) == ascii_lower(address)
        return Whose.THEIRS if is_known else Whose.UNKNOWN
    if owner.email:
        having = {user.id for user in session.listed if ascii_lower(user.email) == ascii_lower(owner.email)}
    else:
        having = {user.id for user in session.listed if user.name.casefold() == owner.name.casefold()}
    # Of a list that leaves this very user out nobody knows who else it leaves out.
    if len(having) != 1 or not (owner.email or user_id in {user.id for user in session.listed}):
        return Whose.UNKNOWN
    return Whose.THEIRS if user_id in having else Whose.ANOTHERS


async def _read_owner(session: Session, wanted: Instruction, activity_id: str) -> Owner | None:
    """The owner that any of three APIs shows: which of them an account has, nobody knows."""
    until = session.ledger.now() + timedelta(seconds=CLOCK_SKEW)
    calls = (
        activities_of_lead(wanted.lead_id, wanted.event),
        activity_details(activity_id),
        activities_of_type(wanted.event, until - _RECENT, until),
    )
    for pause in LOOKS:
        await session.stop.sleep(pause)
        for call in calls:
            found = await consult(session, call, read_activities)
            for view in found.shown if isinstance(found, Activities) else ():
                session.saw(call.path, wanted.event, markers_in(view.said))
                if id_of(view.id) == id_of(activity_id) and view.owner is not None:
                    return view.owner
        if all(call.path in session.apis.gone for call in calls):
            break
    return None
