"""Calls to a sandbox that does not listen, as bytes come and go, and a clock for it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from batch_share.sandbox.account import Clock

if TYPE_CHECKING:
    from batch_share.sandbox import Sandbox
    from batch_share.sandbox.wire import Reply

KEYS = {"x-LSQ-AccessKey": "sandbox-access-key", "x-LSQ-SecretKey": "sandbox-secret-key"}


async def ask(sandbox: Sandbox, method: str, endpoint: str, body: object = None, **query: str) -> Reply:
    """A sandbox's reply to a call with the right keys."""
    call, refused = sandbox.arrive(method, endpoint, query, KEYS)
    call.body = b"" if body is None else json.dumps(body).encode()
    return await sandbox.answer(call, refused)


async def reported(sandbox: Sandbox, method: str, endpoint: str, body: object = None, **query: str) -> Any:
    """The JSON of a reply that is a success."""
    reply = await ask(sandbox, method, endpoint, body, **query)
    assert reply.status == 200, reply
    return json.loads(reply.body)


class ManualClock(Clock):
    """A clock that stands still until it is advanced; a sleep advances it at once."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._passed = 0.0

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._passed += seconds

    def time(self) -> float:
        """Seconds advanced so far."""
        return self._passed

    def now(self) -> datetime:
        """The start, plus what was advanced."""
        return self._start + timedelta(seconds=self._passed)

    async def sleep(self, seconds: float) -> None:
        """Advance by `seconds` and let others run."""
        self.advance(seconds)
        await asyncio.sleep(0)
