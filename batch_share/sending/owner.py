"""Is the activity really owned by the sales user?

No page says that Create honours the owner field, and a bulk call names the owner in another way. Were it ignored,
the activity would belong to the key's own user and every share would go wrong, so in each run one activity of each
type, and of each way to post it, is read back before the others go out.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from batch_share.common import Cause, ascii_lower, utc_now
from batch_share.errors import OwnerNotVerified
from batch_share.leadsquared.guesses import CLOCK_SKEW
from batch_share.leadsquared.people import ALL_USERS, KeyUser, found_by, read_users
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
from batch_share.sending.steps import asked, markers_in

if TYPE_CHECKING:
    from batch_share.leadsquared.protocol import Owner
    from batch_share.ledger.records import Instruction, Row
    from batch_share.sending.session import Session


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
            await session.ledger.note_unchecked(Cause.OWNER_NOT_CHECKED, 0, shown and f"it is shown as {shown}")
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
    wanted = await session.ledger.users_to_do()
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
