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
        self._server: asyncio.Server | None = None
        self._away: asyncio.Task[None] | None = None
        self._in_use: set[RequestHandler] = set()
        self.address = ("", 0)

    async def open(self, host: str, port: int) -> None:
        """Listen, on any free port if `port` is 0. Raises OSError."""
        await self._runner.setup()
        try:
            server = await self._listen(host, port)
        except BaseException:
            await self._runner.cleanup()
            raise
        self.address = server.sockets[0].getsockname()[:2]

    async def close(self) -> None:
        """Listen no more, and cut what is under way."""
        if self._away is not None:
            self._away.cancel()
            with suppress(asyncio.CancelledError):
                await self._away
        await self._shut_door()
        await self._runner.cleanup()

    def leave(self, seconds: float) -> None:
        """Close the door and all connections, those in use once they are answered, and be back in `seconds`."""
        if self._away is None or self._away.done():
            self._away = asyncio.create_task(self._leave(seconds))

    async def _leave(self, seconds: float) -> None:
        await self._shut_door()
        for connection in self._runner.server.connections if self._runner.server else ():
            if connection in self._in_use:
                connection.close()
            else:  # `close` would leave it open, and let what is sent on it go unheard
                connection.force_close()
        await self._clock.sleep(seconds)
        await self._listen(*self.address)

    async def _shut_door(self) -> None:
        """Accept nobody any more, but let those be served who were accepted in this turn of the loop.

        asyncio forgets them, open, if their server is closed first (python/cpython#109564).
        """
        if self._server is None:
            return
        with suppress(NotImplementedError):  # the loop of Windows accepts in another way
            for listening in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listening)
        for _turn in range(2):  # one makes the connection, one makes it known to the application
            await asyncio.sleep(0)
        self._server.close()

    @web.middleware
    async def _note_use(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self._in_use.add(request.protocol)
        try:
            return await handler(request)
        finally:
            self._in_use.discard(request.protocol)

    async def _listen(self, host: str, port: int) -> asyncio.Server:
        if self._runner.server is None:
            raise RuntimeError("the door is opened once the runner is set up")
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._runner.server, host, port)
        return self._server
