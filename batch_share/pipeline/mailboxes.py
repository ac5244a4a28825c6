"""The e-mail addresses by which a bulk call names the owners of its activities."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from batch_share.common import ascii_lower
from batch_share.leadsquared.people import all_users, read_users, user_by_id
from batch_share.pipeline.calls import consult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch_share.leadsquared.people import FoundUser
    from batch_share.pipeline.session import Session


async def find_mailboxes(session: Session) -> dict[str, str]:
    """The address of each user whose rows are to be posted, by user Id; asked anew, for addresses change.

    A user without one, or with one that others have too, is left out: an activity must not go to somebody else.
    Raises as `calls.read`.
    """
    wanted = await session.ledger.users_to_do(session.looked_up_in)
    users = await _users(session, wanted) if wanted else []
    shared_by = Counter(ascii_lower(user.email) for user in users)
    found = {user.id: user.email for user in users if user.active and shared_by[ascii_lower(user.email)] == 1}
    return {user_id: email for user_id, email in found.items() if email and user_id in wanted}


async def _users(session: Session, wanted: set[str]) -> Sequence[FoundUser]:
    """Everybody whom the account lists, and those of `wanted` whom it does not: large accounts leave some out."""
    listed = await consult(session, all_users(), read_users)
    users = listed if isinstance(listed, list) else []
    for user_id in sorted(wanted - {user.id for user in users}):
        found = await consult(session, user_by_id(user_id), read_users)
        users += [user for user in found if user.id == user_id] if isinstance(found, list) else []
    return users
