"""What a good engineer writes in an hour: aiohttp, AsyncLimiter(25, 5), a semaphore, retries on 429, polls.

It is no straw man. It keeps the connections busy, backs off with jitter when refused, polls as rarely as it can
without keeping anybody waiting, and stops at what it does not understand. What it has not is what takes longer than
an hour: a ledger, so that it may be stopped and started again; any notion of an answer that was lost; a check of
the owner; and a limiter that a strict window does not refuse.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiolimiter import AsyncLimiter
from trial import CREATE, SHARE, STATUS

from benchmarks.bare import activity_of, share_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import aiohttp

UNDER_WAY: Final = 50
"""Rows at once: enough to fill the limit while most of them wait for their share to be processed."""

POLL_SECONDS: Final = 5.0
"""A share takes about 3 s: asked for after 5, nearly all are done, and a second poll costs a call."""

TRIES: Final = 10
PROCESSED: Final = 6


@dataclass(slots=True)
class Script:
    """Shares rows through a session whose base URL ends in /v2/ and whose headers hold the keys."""

    session: aiohttp.ClientSession
    seed: int | None = None
    _limiter: AsyncLimiter = field(init=False)
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._limiter = AsyncLimiter(25, 5)
        self._chance = random.Random(self.seed)

    async def share_all(self, rows: Iterable[Sequence[str]]) -> int:
        """Share all rows; how many were processed. Raises RuntimeError at the first that goes wrong."""
        room = asyncio.Semaphore(UNDER_WAY)

        async def share(row: Sequence[str]) -> None:
            async with room:
                await self._share(row)

        return len(await asyncio.gather(*(share(row) for row in rows)))

    async def _share(self, row: Sequence[str]) -> None:
        lead, number, user, access, _, event = row
        posted = await self._call("POST", CREATE, json=activity_of(lead, user, event))
        item = share_of(number, user, access, posted["Message"]["Id"])
        shared = await self._call("POST", SHARE, json=[item])
        await self._until_processed(shared["Message"]["Id"])

    async def _until_processed(self, request: str) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            status = await self._call("GET", STATUS, params={"id": request})
            if status["ErrorMessage"]:
                raise RuntimeError(status["ErrorMessage"])
            if status["ShareStatus"] == PROCESSED:
                return

    async def _call(self, method: str, path: str, **content: Any) -> Any:
        for attempt in range(TRIES):
            async with self._limiter, self.session.request(method, path, **content) as answer:
                if answer.status != 429:
                    answer.raise_for_status()
                    return await answer.json()
                pause = float(answer.headers.get("Retry-After") or min(2**attempt, 30))
            await asyncio.sleep(pause * self._chance.uniform(0.5, 1.0))
        raise RuntimeError(f"{path} was refused {TRIES} times")
