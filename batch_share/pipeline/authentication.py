"""Whose the keys are, and whether they can share leads: asked with one paced call that changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_share.errors import BatchShareError
from batch_share.leadsquared.people import KeyUser, key_user, read_key_user
from batch_share.sending.calls import consult
from batch_share.sending.session import open_connection

if TYPE_CHECKING:
    from batch_share.sending.onlookers import Waiter
    from batch_share.settings import Settings

ADMINISTRATOR = "administrator"


async def check_keys(settings: Settings, waiter: Waiter) -> None:
    """Raises AccessDenied for wrong keys, BatchShareError for those of nobody, or no administrator; as `read`."""
    async with open_connection(settings, waiter) as connection:
        user = await consult(connection, key_user(), read_key_user)
    if not isinstance(user, KeyUser):
        raise BatchShareError(
            f"LeadSquared does not say whose the keys are ({key_user().path}: {user.words.rstrip('.')}). If the "
            "host is right, --no-check keeps them all the same."
        )
    if user.role and user.role.strip().casefold() != ADMINISTRATOR:
        raise BatchShareError("The keys are not an administrator's, and LeadSquared lets nobody else share leads.")
