"""The door of a sandbox: where it listens, and how it goes away for a moment."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.web_protocol import RequestHandler

    from batch_share.sandbox.clock import Clock

# Long enough to send an answer that is ready, short enough that nobody notices: open keep-alive connections and
# calls in the middle of their latency are cut off.
_SHUTDOWN_SECONDS = 0.1


class Listener:
    """Serves an application on one address. `address` is host and port, also while nobody gets a connection."""

    def __init__(self, app: web.Application, clock: Clock) -> None:
        app.middlewares.append(self._note_use)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        self._clock = clock
        self._away: asyncio.Task[None] | None = None
        self._in_use: set[RequestHandler] = set()
        self.address = ("", 0)

    async def open(self, host: str, port: int) -> None:
        """Listen, on any free port if `port` is 0. Raises OSError."""
        await self._runner.setup()
        try:
            await self._listen(host, port)
        except BaseException:
            await self._runner.cleanup()
            raise
        self.address = self._runner.addresses[0][:2]

    async def close(self) -> None:
        """Listen no more, and cut what is under way."""
        if self._away is not None:
            self._away.cancel()
            with suppress(asyncio.CancelledError):
                await self._away
        await self._runner.cleanup()

    def leave(self, seconds: float) -> None:
        """Close the door and all connections, those in use once they are answered, and be back in `seconds`."""
        if self._away is None or self._away.done():
            self._away = asyncio.create_task(self._leave(seconds))

    async def _leave(self, seconds: float) -> None:
        for site in self._runner.sites:
            await site.stop()
        for connection in self._runner.server.connections if self._runner.server else ():
            if connection in self._in_use:
                connection.close()
            else:  # `close` would leave it open, and let what is sent on it go unheard
                connection.force_close()
        await self._clock.sleep(seconds)
        await self._listen(*self.address)

    @web.middleware
    async def _note_use(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self._in_use.add(request.protocol)
        try:
            return await handler(request)
        finally:
            self._in_use.discard(request.protocol)

    async def _listen(self, host: str, port: int) -> None:
        await web.TCPSite(self._runner, host, port).start()
