"""Is the activity really owned by the sales user?

No page says that Create honours the owner field. Were it ignored, the activity would belong to the key's own user
and every share would go wrong, so in each run one activity of each type is read back before the others go out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batch_share.errors import LookupRefused, OwnerNotVerified
from batch_share.leadsquared.lookups import KeyUser, key_user, read_key_user
from batch_share.leadsquared.outcome import Activities
from batch_share.leadsquared.protocol import activities_of_lead, read_activities
from batch_share.ledger.records import Result
from batch_share.ledger.states import Stage, State
from batch_share.pipeline.calls import read
from batch_share.pipeline.marker import markers_in

if TYPE_CHECKING:
    from batch_share.ledger.records import Instruction, Row
    from batch_share.pipeline.session import Session

LOOKS: Final = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds to wait before each look: reads may lag behind writes."""


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
        await session.ledger.end(row, Result(State.FAILED, "failed", stage=Stage.ACTIVITY, reason=reason))
        session.tally.moved(State.POSTED, State.FAILED)
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
