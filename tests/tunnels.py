"""What may stand between us and a host: a proxy that passes on CONNECT, one that ends TLS, one that resets."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

    Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
    Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class ConnectProxy:
    """A proxy for CONNECT alone, which keeps every byte that a client sends it.

    With `login`, the value of Proxy-Authorization, it refuses whoever has none; with `says`, it answers that.
    """

    login: str = ""
    says: bytes = b""
    port: int = 0
    heads: list[str] = field(default_factory=list)
    seen: bytearray = field(default_factory=bytearray)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.seen += head
        self.heads.append(head.decode())
        method, target, _ = self.heads[-1].split(" ", 2)
        if self.says:
            writer.write(self.says)
        elif method != "CONNECT":
            writer.write(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
        elif self.login and f"Proxy-Authorization: {self.login}" not in self.heads[-1]:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        else:
            host, _, port = target.rpartition(":")
            there = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with closing(there[1]):
                await _both_ways((reader, writer), there, self.seen.extend)


@asynccontextmanager
async def connect_proxy(proxy: ConnectProxy) -> AsyncIterator[ConnectProxy]:
    """Let it listen on a free port."""
    async with listening(proxy.serve) as proxy.port:
        yield proxy


@asynccontextmanager
async def front(
    port: int, tls: ssl.SSLContext | None = None, *, used_once: bool = False
) -> AsyncIterator[tuple[int, list[int]]]:
    """What stands before a server on `port`: its own port, and how many requests each connection was used for.

    With `used_once`, a connection is reset when a second request comes on it, which reaches nobody.
    """
    requests: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, was_answered = len(requests), False
        requests.append(1)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)

        async def answers() -> None:
            nonlocal was_answered
            while piece := await far_reader.read(65536):
                was_answered = True
                writer.write(piece)

        back = asyncio.create_task(answers())
        with closing(far_writer):
            try:
                while piece := await reader.read(65536):
                    requests[number] += was_answered
                    if was_answered and used_once:
                        return _reset(writer)
                    was_answered = False
                    far_writer.write(piece)
            finally:
                back.cancel()

    async with listening(serve, tls) as own:
        yield own, requests


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection without a word."""
    lingering = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)
    writer.transport.abort()


@asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on a free port of this machine, whose connections end with it."""
    under_way: set[asyncio.Task[None] | None] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way.add(asyncio.current_task())
        with closing(writer), suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await serve(reader, writer)

    async with await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]
        tasks = [task for task in under_way if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _both_ways(here: Pair, there: Pair, keep: Callable[[bytes], object]) -> None:
    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, kept: bool) -> None:
        with closing(writer), suppress(ConnectionError):
            while piece := await reader.read(65536):
                if kept:
                    keep(piece)
                writer.write(piece)

    await asyncio.gather(pass_on(here[0], there[1], kept=True), pass_on(there[0], here[1], kept=False))
