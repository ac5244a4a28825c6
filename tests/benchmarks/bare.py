"""The calls that a run makes for each row, in a bare loop: no ledger, no checks, no pace, no second thoughts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
from trial import CREATE, SHARE, STATUS

from batch_share.sandbox import SandboxOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SHARED = 6


def keys_of(options: SandboxOptions) -> dict[str, str]:
    """The headers that open a sandbox with these options."""
    return {"x-LSQ-AccessKey": options.access_key, "x-LSQ-SecretKey": options.secret_key}


async def make_calls(url: str, rows: Iterable[Sequence[str]], workers: int) -> None:
    """Post, share and ask for each of `rows` once."""
    left = iter(rows)
    async with aiohttp.ClientSession(f"{url}/v2/", headers=keys_of(SandboxOptions())) as session:

        async def worker() -> None:
            for row in left:
                await _row(session, row)

        await asyncio.gather(*(worker() for _ in range(workers)))


async def _row(session: aiohttp.ClientSession, row: Sequence[str]) -> None:
    lead, number, user, access, _, event = row
    activity = await _post(session, CREATE, activity_of(lead, user, event))
    request = await _post(session, SHARE, [share_of(number, user, access, activity)])
    async with session.get(STATUS, params={"id": request}) as answer:
        assert (await answer.json())["ShareStatus"] == _SHARED


async def _post(session: aiohttp.ClientSession, path: str, body: Any) -> str:
    async with session.post(path, json=body) as answer:
        return str((await answer.json())["Message"]["Id"])


def activity_of(lead: str, user: str, event: str) -> dict[str, Any]:
    """The body of Create."""
    return {
        "RelatedProspectId": lead,
        "ActivityEvent": int(event),
        "ActivityNote": "Shared for a while",
        "Fields": [{"SchemaName": "Owner", "Value": user}],
    }


def share_of(number: str, user: str, access: str, activity: str) -> dict[str, Any]:
    """One element of the body of Share."""
    return {
        "UserId": user,
        "Entity": 1,
        "EntityType": 3,
        "EntityId": number,
        "ContextEntity": 1,
        "ContextEntityId": activity,
        "AccessType": {"read": 1, "write": 2}[access],
        "DurationInMinutes": 7 * 1440,
    }
