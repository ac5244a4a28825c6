"""Is the activity really owned by the sales user?

No page says that Create honours the owner field, and a bulk call names the owner in another way. Were it ignored,
the activity would belong to the key's own user and every share would go wrong, so in each run one activity of each
type, and of each way to post it, is read back before the others go out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from batch_share.common import Cause, ascii_lower, utc_now
from batch_share.errors import OwnerNotVerified
from batch_share.leadsquared.guesses import CLOCK_SKEW
from batch_share.leadsquared.people import ALL_USERS, KeyUser, read_users
from batch_share.leadsquared.protocol import (
    Activities,
    activities_of_lead,
    activities_of_type,
    activity_details,
    read_activities,
)
from batch_share.ledger.records import Result, Why
from batch_share.ledger.states import Stage, State
from batch_share.sending.calls import ask_key_user, consult
from batch_share.sending.session import Form
from batch_share.sending.steps import asked, in_time, markers_in, post
from batch_share.sending.verdict import needs_own_call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from batch_share.leadsquared.protocol import Owner
    from batch_share.ledger.records import Instruction, Row
    from batch_share.sending.session import Session

FOR_ALL: Final = ""
"""For whom owners are proved, if it is for every user."""

_RECENT: Final = timedelta(days=1)
"""How far back the activities of a type are looked through for one."""

LOOKS: Final = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds to wait before each look: reads may lag behind writes."""


async def stands(_session: Session, row: Row) -> str | None:
    """The activity that an earlier call posted."""
    return row.activity_id


@dataclass(frozen=True, slots=True)
class Way:
    """How rows in `state` come by an activity: by `make`, which gives its Id; not for the users `not_for`."""

    form: Form
    state: State
    make: Callable[[Session, Row], Awaitable[str | None]]
    not_for: Collection[str] = ()


STANDING: Final = Way(Form.EARLIER, State.POSTED, stands)
SINGLE: Final = Way(Form.SINGLE, State.PENDING, post)


async def verify_owners(session: Session, *ways: Way) -> None:
    """Before many rows go out, bring one of each type on in each way, and check whose its activity is.

    Raises OwnerNotVerified, and as `calls.write`.
    """
    events = await session.ledger.events_to_do()
    wanted = [(event, way) for event in events for way in ways if not is_verified(session, event, way.form)]
    if not wanted:
        return
    session.tally.phase = "checking the first activity's owner"
    key_user_id = await find_key_user(session)
    for event, way in wanted:
        await _verify(session, event, way, key_user_id)


def is_verified(session: Session, event: int, form: Form, user_id: str = "") -> bool:
    """Whether owners of this type and form are proved, for all users or for this one.

    What an earlier call posted was checked in its run, or is by any activity of this one.
    """
    proofs = (
        user
        for (type_, known), user in session.verified.items()
        if type_ == event and (known is form or form is Form.EARLIER)
    )
    return any(user in {FOR_ALL, user_id} for user in proofs)


async def _verify(session: Session, event: int, way: Way, key_user_id: str) -> None:
    """Bring rows on one at a time until one stands, and check whose it is.

    Rows for the key's own user prove nothing: were the owner ignored, theirs would be right all the same. Where
    nobody knows who that is, rows for two users prove it, since one of them is somebody else.
    """
    proved = session.verified.get((event, way.form), "")
    passed_over = {*way.not_for, key_user_id, proved}
    while row := await session.ledger.next_to_do(event, way.state, passed_over):
        if way.form is Form.BULK and needs_own_call(row):
            return  # so do all that come after it
        if not await in_time(session, row) or (activity_id := await way.make(session, row)) is None:
            continue
        await verify_owner(session, row, asked(row), activity_id)
        note_proof(session, event, way.form, asked(row).user_id, key_user_id)
        if session.verified[event, way.form] == FOR_ALL:
            return
        passed_over.add(asked(row).user_id)


def note_proof(session: Session, event: int, form: Form, user_id: str, key_user_id: str) -> None:
    """Note that an activity of this type and form belongs to this user, as it should."""
    before = session.verified.get((event, form))
    for_all = user_id != key_user_id if key_user_id else before not in {None, user_id}
    if for_all:
        session.verified[event, form] = FOR_ALL
        if form is Form.SINGLE:
            session.memory.keep(ignores_owner=False)
    elif not key_user_id and before is None:
        session.verified[event, form] = user_id


async def find_key_user(session: Session) -> str:
    """The Id of the user behind the keys, to whom an ignored owner field would give everything; "" if unknown."""
    found = await ask_key_user(session)
    return found.id if isinstance(found, KeyUser) else ""


async def verify_owner(session: Session, row: Row, asked: Instruction, activity_id: str) -> None:
    """Check the owner of the activity just posted for `row`, and note it. Raises OwnerNotVerified.

    A wrong owner makes the row `failed`: that activity must never carry a share.
    """
    owner = await _read_owner(session, asked, activity_id)
    whose = Whose.UNKNOWN if owner is None else await whose_is(session, owner, asked.user_id)
    shown = str(owner or "")
    if whose is Whose.ANOTHERS:
        why = Why(Cause.ANOTHERS, {"activity": activity_id, "owner": shown})
        ending = Result(State.FAILED, "failed", stage=Stage.ACTIVITY, why=why)
        await session.ledger.end(row, ending)
        session.moved(State.POSTED, ending)  # not checked: whose it is says more than that it failed
        raise OwnerNotVerified(activity_id, asked.user_id, shown, is_anothers=True)
    if whose is Whose.UNKNOWN:
        if not session.settings.trust_owner:
            raise OwnerNotVerified(activity_id, asked.user_id, shown)
        await session.ledger.note_unchecked(Cause.OWNER_NOT_CHECKED, 0, shown and f"it is shown as {shown}")
    await session.ledger.note_owner_check(asked.event, activity_id, verified=whose is Whose.THEIRS)


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


async def _read_owner(session: Session, asked: Instruction, activity_id: str) -> Owner | None:
    """The owner that any of three APIs shows: which of them an account has, nobody knows."""
    until = utc_now() + timedelta(seconds=CLOCK_SKEW)
    calls = (
        activities_of_lead(asked.lead_id, asked.event),
        activity_details(activity_id),
        activities_of_type(asked.event, until - _RECENT, until),
    )
    for pause in LOOKS:
        await session.stop.sleep(pause)
        for call in calls:
            found = await consult(session, call, read_activities)
            for view in found.shown if isinstance(found, Activities) else ():
                session.saw(call.path, asked.event, markers_in(view.said))
                if view.id.lower() == activity_id.lower() and view.owner is not None:
                    return view.owner
        if all(call.path in session.apis.gone for call in calls):
            break
    return None
