"""What stands between us and the host: certificates, proxies, connections that are ended in silence."""

from __future__ import annotations

import re
from base64 import b64encode
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from certificates import Authority
from pydantic import SecretStr
from secrets_hunt import ACCESS, SECRET, leaks
from tunnels import ConnectProxy, connect_proxy, front, listening

from batch_share.leadsquared import client as client_module
from batch_share.leadsquared.client import NO_ANSWER, NO_HTTP, Client
from batch_share.leadsquared.protocol import Answer, Call, Lost, NotSent
from batch_share.settings import Proxy

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

POST = Call("POST", "EntityAccess.svc/Share", body=b"[]")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One for all tests here: nobody trusts it unless told to."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The same, as the environment has it trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


def client_for(url: str, proxy: str = "", answer_seconds: float = 30.0) -> Client:
    """A client with keys that are nowhere by chance."""
    through = Proxy(SecretStr(proxy), "HTTPS_PROXY") if proxy else None
    return Client(url, SecretStr(ACCESS), SecretStr(SECRET), answer_seconds=answer_seconds, proxy=through)


async def send(url: str, proxy: str = "", times: int = 1) -> list[Answer | NotSent | Lost]:
    """Send a call so many times, one after the other."""
    async with client_for(url, proxy) as client:
        return [await client.send(POST) for _ in range(times)]


@asynccontextmanager
async def host() -> AsyncIterator[tuple[int, list[web.Request]]]:
    """A server that answers everything; its port, and the requests that it had."""
    seen: list[web.Request] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"Status": "Success"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1], seen
    finally:
        await runner.cleanup()


# ---------------------------------------------------------------------------------------------- certificates


@pytest.mark.parametrize(
    ("name", "days", "words"),
    [
        ("localhost", 1, r"the certificate of localhost is not trusted \(.*\): .* SSL_CERT_FILE to a file "),
        ("localhost", -1, r"the certificate of localhost is not valid now \(certificate has expired\): .* clock"),
        (
            "elsewhere.example",
            1,
            r"the certificate shown is not localhost's \(Hostname mismatch, .*\): check the host's name$",
        ),
    ],
)
async def test_what_is_wrong_with_a_certificate_is_said_and_nothing_is_sent(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, name: str, days: int, words: str
) -> None:
    if "not trusted" not in words:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    tls = authority.server(name, timedelta(days=days))
    async with host() as (port, seen), front(port, tls) as (secure, _):
        (outcome,) = await send(f"https://localhost:{secure}")
    assert isinstance(outcome, NotSent)
    assert outcome.hopeless
    assert re.match(words, outcome.words)
    assert seen == []


async def test_a_certificate_of_an_authority_that_the_environment_names_is_trusted(trusted: Authority) -> None:
    async with host() as (port, seen), front(port, trusted.server()) as (secure, _):
        (outcome,) = await send(f"https://localhost:{secure}")
    assert isinstance(outcome, Answer)
    assert seen[0].headers["x-LSQ-AccessKey"] == ACCESS


# --------------------------------------------------------------------------------------------------- proxies


async def test_calls_go_through_a_proxy_inside_tls_with_its_login_and_it_sees_no_key(trusted: Authority) -> None:
    login = f"Basic {b64encode(b'us er:p@ss:word').decode()}"
    async with (
        host() as (port, seen),
        front(port, trusted.server()) as (secure, _),
        connect_proxy(ConnectProxy(login)) as proxy,
    ):
        url = f"http://us%20er:p%40ss%3Aword@127.0.0.1:{proxy.port}"
        outcomes = await send(f"https://localhost:{secure}", url, times=3)
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT localhost:{secure} HTTP/1.1\r\n")
    assert [request.headers["x-LSQ-SecretKey"] for request in seen] == [SECRET] * 3
    assert "Proxy-Authorization" not in seen[0].headers
    assert leaks(bytes(proxy.seen)) == set()
    assert b"x-lsq" not in bytes(proxy.seen).lower()


@pytest.mark.parametrize(
    ("proxy", "words", "hopeless"),
    [
        (ConnectProxy("Basic abc"), "did not connect to the host (HTTP 407): it wants a user and a password", True),
        (ConnectProxy(says=b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), "the host (HTTP 503)", False),
        (ConnectProxy(says=b"SSH-2.0-OpenSSH_9.6\r\n"), "answered with something that is no HTTP", False),
    ],
    ids=["login", "503", "no HTTP"],
)
async def test_a_call_that_a_proxy_does_not_pass_on_was_not_sent(
    proxy: ConnectProxy, words: str, *, hopeless: bool
) -> None:
    async with connect_proxy(proxy):
        (outcome,) = await send("https://localhost:9", f"http://me:hush@127.0.0.1:{proxy.port}")
    assert isinstance(outcome, NotSent)
    assert f"the proxy http://127.0.0.1:{proxy.port} " in outcome.words
    assert words in outcome.words
    assert outcome.hopeless is hopeless
    assert "hush" not in outcome.words


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("http://me:hush@127.0.0.1:9", "no connection: Connection refused"),
        ("http://me:hush@proxy.invalid:9", "the proxy's name was not found"),
    ],
)
async def test_a_proxy_that_is_not_there_is_named_without_its_password(proxy: str, words: str) -> None:
    (outcome,) = await send("https://localhost:9", proxy)
    shown = proxy.replace("me:hush@", "")
    assert outcome == NotSent(f"{words} (calls go through the proxy {shown})")


async def test_the_certificate_of_a_proxy_that_looks_into_tls_is_reported_as_the_hosts(
    authority: Authority,
) -> None:
    async with (
        host() as (port, seen),
        front(port, authority.server()) as (secure, _),
        connect_proxy(ConnectProxy()) as proxy,
    ):
        (outcome,) = await send(f"https://localhost:{secure}", f"http://127.0.0.1:{proxy.port}")
    assert isinstance(outcome, NotSent)
    assert outcome.words.startswith("the certificate of localhost is not trusted")
    assert seen == []


def test_no_key_goes_to_a_proxy_outside_of_tls() -> None:
    with pytest.raises(ValueError, match="would see the keys"):
        client_for("http://127.0.0.1:9", "http://127.0.0.1:9")


# ----------------------------------------------------------------------------------- connections in use


async def test_after_two_calls_lost_on_connections_in_use_each_call_gets_its_own() -> None:
    async with host() as (port, seen), front(port, used_once=True) as (resetting, requests):
        outcomes = await send(f"http://127.0.0.1:{resetting}", times=12)
    assert [type(outcome) for outcome in outcomes] == [Answer, Lost, Answer, Lost, *[Answer] * 8]
    assert requests == [2, 2, *[1] * 8]
    assert len(seen) == 10


async def test_calls_lost_without_an_answer_on_connections_in_use_count_too() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.readuntil(b"[]")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await reader.read()

    connections: list[asyncio.StreamWriter] = []
    async with listening(serve) as port, client_for(f"http://127.0.0.1:{port}", answer_seconds=0.2) as client:
        outcomes = [await client.send(POST) for _ in range(8)]
    assert [outcome for outcome in outcomes if not isinstance(outcome, Answer)] == [Lost(NO_ANSWER)] * 2
    assert len(connections) == 6


async def test_calls_lost_on_new_connections_change_nothing() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        if len(connections) <= 5:
            await reader.readuntil(b"[]")
            writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
            return
        while await reader.readuntil(b"[]"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    connections: list[asyncio.StreamWriter] = []
    async with listening(serve) as port:
        outcomes = await send(f"http://127.0.0.1:{port}", times=12)
    assert outcomes[:5] == [Lost(NO_HTTP)] * 5
    assert all(isinstance(outcome, Answer) for outcome in outcomes[5:])
    assert len(connections) == 6


async def test_a_host_whose_connection_does_not_come_about_in_time_was_not_sent_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    monkeypatch.setattr(client_module, "CONNECT_SECONDS", 0.2)
    async with listening(serve) as port:
        (outcome,) = await send("https://localhost:9", f"http://127.0.0.1:{port}")
    assert outcome == NotSent(f"no connection within 0.2 s (calls go through the proxy http://127.0.0.1:{port})")
