"""The adapter against a real server on loopback: what it sends, and what it makes of whatever comes back."""

from __future__ import annotations

import asyncio
import html
import json
import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from batch_share.leadsquared import client as client_module
from batch_share.leadsquared.client import Client
from batch_share.leadsquared.protocol import Answer, Call, Lost, NotSent, share_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

ACCESS: Final = "u$r0123&access<key>"
SECRET: Final = 'se"cret\\key-4567'
POST: Final = Call("POST", "ProspectActivity.svc/Create", body=b'{"a":1}')
GET: Final = share_status("98fe&x=1 é")


def client_for(url: str, answer_seconds: float = 30.0) -> Client:
    """A client with the keys of this file."""
    return Client(url, SecretStr(ACCESS), SecretStr(SECRET), answer_seconds=answer_seconds)


async def send(url: str, call: Call = POST, answer_seconds: float = 30.0) -> Answer | NotSent | Lost:
    """Send one call with a client of its own."""
    async with client_for(url, answer_seconds) as client:
        return await client.send(call)


@asynccontextmanager
async def web_server(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A web server on a free port; its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_server(
    answer: bytes, *, first: bytes = b"", reset: bool = False, host: str = "127.0.0.1"
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that reads a request's head, sends `answer` and hangs up; its address and the heads it read.

    With `first`, it answers the very first request with that, and keeps the connection for another.
    """
    heads: list[bytes] = []
    handlers: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        while head := await _head(reader):
            heads.append(head)
            if not first or len(heads) > 1:
                writer.write(answer)
                break
            writer.write(first)
        if reset:  # closing without lingering sends a reset
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    async with await asyncio.start_server(serve, host, 0) as server:
        name = f"[{host}]" if ":" in host else host
        yield f"{name}:{server.sockets[0].getsockname()[1]}", heads
        await asyncio.sleep(0.005)  # a connection that was only just made gets its handler
        await asyncio.gather(*filter(None, handlers))


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


# ------------------------------------------------------------------------------------------------- sending


async def test_a_call_goes_out_as_it_was_built_with_the_keys_in_its_headers() -> None:
    seen: list[tuple[str, str, dict[str, str], bytes]] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, dict(request.headers), await request.read()))
        return web.json_response({"Status": "Success"}, headers={"Retry-After": "3"})

    async with web_server(handle) as url:
        answer = await send(url)
    ((method, path, headers, body),) = seen
    assert (method, path, body) == ("POST", "/v2/ProspectActivity.svc/Create", b'{"a":1}')
    assert (headers["x-LSQ-AccessKey"], headers["x-LSQ-SecretKey"]) == (ACCESS, SECRET)
    assert headers["Content-Type"] == "application/json"
    assert isinstance(answer, Answer)
    assert (answer.status, json.loads(answer.body)) == (200, {"Status": "Success"})
    assert answer.headers["retry-after"] == "3"


async def test_a_query_arrives_as_it_was_given_and_holds_no_key() -> None:
    seen: list[web.Request] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response()

    async with web_server(handle) as url:
        await send(url, GET)
    assert (seen[0].method, dict(seen[0].query)) == ("GET", {"id": "98fe&x=1 é"})
    assert not any(name.lower().endswith("key") for name in seen[0].query)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_never_followed(status: int) -> None:
    visits = []

    async def handle(request: web.Request) -> web.Response:
        visits.append(request.path)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async with web_server(handle) as url:
        answer = await send(url)
    assert isinstance(answer, Answer)
    assert (answer.status, len(visits)) == (status, 1)


async def test_a_cookie_is_not_sent_back() -> None:
    cookies = []

    async def handle(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return web.Response(headers={"Set-Cookie": "session=1"})

    # By name: a jar keeps no cookies of a bare address.
    async with web_server(handle) as url, client_for(url.replace("127.0.0.1", "localhost")) as client:
        for _ in range(2):
            await client.send(POST)
    assert cookies == [None, None]


async def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    async def handle(request: web.Request) -> web.Response:
        return web.Response()

    async with web_server(handle) as url:
        assert isinstance(await send(url), Answer)


# ------------------------------------------------------------------------------------------------- never sent


async def test_a_refused_connection_was_not_sent() -> None:
    with socket.socket() as unused:  # bound, but nobody listens
        unused.bind(("127.0.0.1", 0))
        outcome = await send(f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert outcome == NotSent("no connection: Connection refused")


async def test_a_host_without_an_address_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: object, **__: object) -> list[object]:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
    monkeypatch.setattr("aiohttp.connector.DefaultResolver", aiohttp.ThreadedResolver)
    assert await send("https://api.invalid") == NotSent("the host's name was not found")


async def test_tls_to_a_server_that_speaks_none_was_not_sent() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        outcome = await send(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert outcome == NotSent(
        "the TLS connection failed: the host speaks none, or no version that is accepted here"
    )


async def test_a_connection_that_never_comes_about_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stuck(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", stuck)
    assert await send("http://127.0.0.1:1") == NotSent("no connection within 15 s")


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://[::1", "http://"])
async def test_an_address_that_makes_no_sense_was_not_sent(url: str) -> None:
    assert await send(url) == NotSent("no connection")


# ------------------------------------------------------------------------------------------------- sent, and lost

HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "sent, but the connection was lost before the answer"),
        (b"HTTP/1.1 2", "sent, but the connection was lost before the answer"),
        (HEAD, "sent, but the connection was lost before the answer"),
        (b"garbage\r\n\r\n", "sent, but the host answered with something that is no HTTP"),
        (b"\x16\x03\x01\x02", "sent, but the host answered with something that is no HTTP"),
        (HEAD + b"Content-Length: 9\r\n\r\n{}", "sent, but the answer broke off"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "sent, but the answer broke off"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", "sent, but the "),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd", "sent, but the answer broke off"),
    ],
)
async def test_an_answer_that_breaks_off_was_sent_and_is_lost(answer: bytes, words: str) -> None:
    async with raw_server(answer) as (address, heads):
        outcome = await send(f"http://{address}")
    assert isinstance(outcome, Lost)
    assert outcome.words.startswith(words)
    assert len(heads) == 1


async def test_a_reset_after_the_request_left_is_lost() -> None:
    async with raw_server(b"", reset=True) as (address, _):
        assert await send(f"http://{address}") == Lost("sent, but the connection was lost before the answer")


@pytest.mark.parametrize("used", [False, True])
async def test_a_call_is_withheld_when_another_may_call_the_account_by_now(used: bool) -> None:
    kept = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    async with raw_server(kept, first=kept) as (url, heads), client_for(f"http://{url}") as client:
        if used:
            assert isinstance(await client.send(POST), Answer)
        client.may_send = lambda: False
        answer = await client.send(POST)
        assert isinstance(answer, NotSent)
        assert (answer.hopeless, "given up" in answer.words, len(heads)) == (True, True, used)
        client.may_send = lambda: True
        assert isinstance(await client.send(POST), Answer)


@pytest.mark.parametrize("call", [POST, GET])
async def test_a_call_lost_on_a_connection_in_use_is_not_repeated_by_itself(call: Call) -> None:
    first = HEAD + b"Content-Length: 2\r\n\r\n{}"
    async with raw_server(b"", first=first) as (address, heads), client_for(f"http://{address}") as client:
        answered = await client.send(GET)
        lost = await client.send(call)
    assert isinstance(answered, Answer)
    assert isinstance(lost, Lost)
    assert len(heads) == 2


async def test_an_answer_that_does_not_come_in_time_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    release = asyncio.Event()
    # Out of reach, so that it is the wait for the answer that ends, not the whole call's.
    monkeypatch.setattr(client_module, "CONNECT_SECONDS", 3600.0)
    async with web_server(handle) as url, asyncio.timeout(30):
        assert await send(url, answer_seconds=0.05) == Lost("sent, but no answer came in time")
        release.set()


async def test_an_answer_that_drips_is_lost_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not over.is_set():
            await response.write(b" ")
            await asyncio.sleep(0.002)
        return response

    over = asyncio.Event()
    monkeypatch.setattr(client_module, "CONNECT_SECONDS", 0.05)
    async with web_server(handle) as url, asyncio.timeout(30):
        assert await send(url, answer_seconds=0.05) == Lost("sent, but no answer came in time")
        over.set()


async def test_an_answer_that_is_too_long_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_BODY_BYTES", 100_000)

    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * (100_000 + (request.method == "POST")))

    async with web_server(handle) as url:
        assert isinstance(await send(url, GET), Answer)
        assert await send(url, POST) == Lost("sent, but the answer could not be read")


async def test_a_cancelled_call_stays_cancelled() -> None:
    async def handle(request: web.Request) -> web.Response:
        arrived.set()
        await release.wait()
        return web.Response()

    arrived, release = asyncio.Event(), asyncio.Event()
    async with web_server(handle) as url, client_for(url) as client:
        call = asyncio.create_task(client.send(POST))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        release.set()


# ------------------------------------------------------------------------------------------------- the keys


@pytest.mark.parametrize(
    "write",
    [str, json.dumps, quote, html.escape],
    ids=["raw", "json", "url", "html"],
)
async def test_an_answer_that_quotes_the_keys_is_redacted(write: Callable[[str], str]) -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=500, text=f"<pre>{write(ACCESS)} | {write(SECRET)}</pre>")

    async with web_server(handle) as url:
        answer = await send(url)
    assert isinstance(answer, Answer)
    assert answer.body.count(b"***") == 2
    assert not any(piece in answer.body for key in (ACCESS, SECRET) for piece in pieces(write(key)))


def pieces(key: str) -> list[bytes]:
    """Every four characters of a key, without the quotes around it."""
    bare = key.removeprefix('"').removesuffix('"')
    return [bare[at : at + 4].encode() for at in range(len(bare) - 3)]


async def test_an_empty_key_does_not_spoil_the_answer() -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(text="{}")

    async with web_server(handle) as url, Client(url, SecretStr(""), SecretStr("")) as client:
        answer = await client.send(POST)
    assert isinstance(answer, Answer)
    assert answer.body == b"{}"


async def test_nothing_that_can_be_printed_holds_a_key() -> None:
    async with raw_server(b"") as (address, _), client_for(f"http://{address}") as client:
        shown = repr(client) + str(vars(client)) + repr(await client.send(POST))
    assert ACCESS not in shown
    assert SECRET not in shown


async def test_a_client_that_is_not_open_sends_nothing() -> None:
    with pytest.raises(RuntimeError, match="not open"):
        await client_for("http://127.0.0.1:1").send(POST)


async def test_a_closed_client_sends_nothing() -> None:
    async with client_for("http://127.0.0.1:1") as client:
        pass
    with pytest.raises(RuntimeError, match="not open"):
        await client.send(POST)


async def test_an_ipv6_address_works_too() -> None:
    try:
        async with raw_server(HEAD + b"Content-Length: 2\r\n\r\n{}", host="::1") as (address, _):
            assert isinstance(await send(f"http://{address}"), Answer)
    except OSError:
        pytest.skip("this machine has no IPv6")
