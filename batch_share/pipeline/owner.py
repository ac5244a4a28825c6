"""Is the activity really owned by the sales user?

No page says that Create honours the owner field, and a bulk call names the owner in another way. Were it ignored,
the activity would belong to the key's own user and every share would go wrong, so in each run one activity of each
type, and of each way to post it, is read back before the others go out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from batch_share.errors import LookupRefused, OwnerNotVerified
from batch_share.leadsquared.lookups import KeyUser, key_user, read_key_user
from batch_share.leadsquared.outcome import Activities
from batch_share.leadsquared.protocol import activities_of_lead, read_activities
from batch_share.ledger.records import Result
from batch_share.ledger.states import Stage, State
from batch_share.pipeline.calls import read
from batch_share.pipeline.marker import markers_in
from batch_share.pipeline.steps import asked, in_time, post
from batch_share.pipeline.verdict import goes_alone

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from batch_share.ledger.records import Instruction, Row
    from batch_share.pipeline.session import Session

LOOKS: Final = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds to wait before each look: reads may lag behind writes."""


class Form(StrEnum):
    """The ways in which an activity got its owner: by an earlier call, by a call of its own, by a bulk call."""

    STANDING = "standing"
    SINGLE = "single"
    BULK = "bulk"


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


STANDING: Final = Way(Form.STANDING, State.POSTED, stands)
SINGLE: Final = Way(Form.SINGLE, State.PENDING, post)


async def verify_owners(session: Session, *ways: Way) -> None:
    """Before many rows go out, bring one of each type on in each way, and check whose its activity is.

    Raises OwnerNotVerified, LookupRefused, and as `calls.write`.
    """
    events = await session.ledger.events_to_do(session.looked_up_in)
    wanted = [(event, way) for event in events for way in ways if not is_verified(session, event, way.form)]
    if not wanted:
        return
    session.tally.phase = "checking the first activity's owner"
    key_user_id = await find_key_user(session)
    for event, way in wanted:
        await _verify(session, event, way, key_user_id)


def is_verified(session: Session, event: int, form: Form) -> bool:
    """What an earlier call posted was checked in its run, or is by any activity of this one."""
    verified = [known for type_, known in session.verified if type_ == event]
    return form in verified or (form is Form.STANDING and bool(verified))


async def _verify(session: Session, event: int, way: Way, key_user_id: str) -> None:
    """Bring rows on one at a time until one stands, and check whose it is.

    Rows for the key's own user prove nothing: were the owner ignored, theirs would be right all the same.
    """
    passed_over = {*way.not_for, key_user_id}
    while row := await session.ledger.next_to_do(event, way.state, passed_over, session.looked_up_in):
        if way.form is Form.BULK and goes_alone(row):
            return  # so do all that come after it
        if await in_time(session, row) and (activity_id := await way.make(session, row)) is not None:
            await verify_owner(session, row, asked(row), activity_id)
            session.verified.add((event, way.form))
            if way.form is Form.SINGLE:
                session.memory.learn_owner(ignored=False)
            return


async def find_key_user(session: Session) -> str:
    """The Id of the user behind the keys, to whom an ignored owner field would give everything.

    Raises LookupRefused: an activity of that very user would prove nothing. "" if the owner is trusted anyway.
    """
    found = await read(session, key_user(), read_key_user)
    if isinstance(found, KeyUser):
        return found.id.strip().lower()
    if session.settings.trust_owner:
        return ""
    raise LookupRefused("UserByAccessKey.Get", found.words)


async def verify_owner(session: Session, row: Row, asked: Instruction, activity_id: str) -> None:
    """Check the owner of the activity just posted for `row`, and note it. Raises OwnerNotVerified.

    A wrong owner makes the row `failed`: that activity must never carry a share.
    """
    owner = await _read_owner(session, asked, activity_id)
    if owner is None and not session.settings.trust_owner:
        raise OwnerNotVerified(activity_id, asked.user_id, None)
    if owner is not None and owner.lower() != asked.user_id:
        reason = (
            f"activity {activity_id} was posted, but its owner is {owner}, not the user of this row: not shared"
        )
        ending = Result(State.FAILED, "failed", stage=Stage.ACTIVITY, reason=reason)
        await session.ledger.end(row, ending)
        session.moved(State.POSTED, ending)  # not checked: whose it is says more than that it failed
        raise OwnerNotVerified(activity_id, asked.user_id, owner)
    await session.ledger.note_owner_check(asked.event, activity_id, verified=owner is not None)


async def _read_owner(session: Session, asked: Instruction, activity_id: str) -> str | None:
    for pause in LOOKS:
        await session.stop.sleep(pause)
        found = await read(session, activities_of_lead(asked.lead_id, asked.event), read_activities)
        for view in found.shown if isinstance(found, Activities) else ():
            session.saw(asked.event, markers_in(view.said))
            if view.id == activity_id and view.owner is not None:
                return view.owner
    return None
