"""A client without a network: hands each call straight to a sandbox in this process.

The same keys, limits, latency and faults as over HTTP, on the sandbox's clock, and the same answers as
`leadsquared.client.Client` gives. For tests and rehearsals, also on a loop that has no sockets.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from batch_share.leadsquared.client import (
    ANSWER_SECONDS,
    BROKEN_OFF,
    CONNECT_SECONDS,
    CONNECTION_LOST,
    NO_ANSWER,
)
from batch_share.leadsquared.protocol import Answer, Lost, NotSent

if TYPE_CHECKING:
    from types import TracebackType

    from pydantic import SecretStr

    from batch_share.leadsquared.protocol import Call
    from batch_share.sandbox.server import Sandbox
    from batch_share.sandbox.wire import Reply


class DirectClient:
    """Calls a sandbox as `Client` calls a host: with the sandbox's own keys, if no others are given.

    Use it as an async context manager. A call that is given up, or cancelled, takes effect all the same.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        keys: tuple[SecretStr, SecretStr] | None = None,
        *,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.base_url = "http://sandbox.invalid"
        self.wire_log = None
        self._sandbox = sandbox
        access_key, secret_key = (key.get_secret_value() for key in keys) if keys else _keys_of(sandbox)
        self._headers = {"x-LSQ-AccessKey": access_key, "x-LSQ-SecretKey": secret_key}
        self._answer_seconds = answer_seconds
        self._under_way: set[asyncio.Task[Reply]] = set()

    async def __aenter__(self) -> DirectClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def send(self, call: Call) -> Answer | NotSent | Lost:
        """Send `call` once. Never raises for what the sandbox does."""
        sandbox = self._sandbox
        if sandbox.clock.time() < sandbox.back_at:
            return NotSent("no connection: Connection refused")
        began = sandbox.clock.time()
        arrived, refused = sandbox.arrive(call.method, call.path, call.query, self._headers)
        arrived.body = call.body or b""
        task = asyncio.create_task(sandbox.answer(arrived, refused))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        # Not wait_for: it would cancel the call, and a caller that has gone changes nothing.
        done, _ = await asyncio.wait({task}, timeout=self._answer_seconds)
        return await self._hear(task.result(), began) if done else Lost(NO_ANSWER, is_silence=True)

    async def _hear(self, reply: Reply, began: float) -> Answer | Lost:
        """What a caller hears of a reply to a call that left at `began`."""
        if reply.silent:
            await self._wait_until(began + self._answer_seconds)
            return Lost(NO_ANSWER, is_silence=True)
        if reply.drop:
            return Lost(CONNECTION_LOST)
        await self._wait_until(
            min(self._now + reply.drip, patience := began + CONNECT_SECONDS + self._answer_seconds)
        )
        if reply.drip and self._now >= patience:
            return Lost(NO_ANSWER, is_silence=True)
        if reply.missing:
            return Lost(BROKEN_OFF)
        headers = {"content-type": reply.content_type} if reply.content_type is not None else {}
        headers |= reply.headers
        return Answer(reply.status, {name.lower(): value for name, value in headers.items()}, reply.body)

    @property
    def _now(self) -> float:
        return self._sandbox.clock.time()

    async def _wait_until(self, moment: float) -> None:
        if moment > self._now:
            await self._sandbox.clock.sleep(moment - self._now)


def _keys_of(sandbox: Sandbox) -> tuple[str, str]:
    return sandbox.options.access_key, sandbox.options.secret_key
