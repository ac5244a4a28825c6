"""The thin aiohttp adapter: sends a Call, returns the Answer or what became of it.

aiohttp's exceptions carry the request's headers, so its keys: none leaves this module. Servers quote keys, too, on
a debugging page for one: what is kept of an answer holds no piece of them.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import re
import ssl
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from http import HTTPStatus
from itertools import groupby
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote
from weakref import WeakSet

import aiohttp

from batch_share.leadsquared.outcome import Lost, NotSent
from batch_share.leadsquared.protocol import Answer, Call
from batch_share.logs import LOGGER, log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from pydantic import SecretStr

    from batch_share.leadsquared.wire_log import CallLog
    from batch_share.proxy import Proxy

HIDDEN: Final = "***"
"""What stands where a key stood."""

_PIECE: Final = 4
_PIECE_OF_WORDS: Final = 8
_MADE_OF_WORDS: Final = re.compile(r"[a-z._-]*")


class Redactor:
    """Takes two keys out of what a server said: whole ones out of anything, pieces out of its words for people."""

    # A key may come back cut off or masked, so four characters of it are hidden in words; not in Ids and other
    # data: a GUID shares four hexadecimal digits with a real key by chance (about one in sixty does), and an Id
    # that was touched is no Id. Words are judged before they are redacted, so there a false alarm costs a word.
    # A key of mere words, such as the sandbox's, shares "acce" with "Access denied": eight characters of that.

    def __init__(self, *keys: SecretStr) -> None:
        known = [key.get_secret_value() for key in keys]
        self._whole = [form.encode() for key in known if key for form in _forms(key)]
        self._pieces: dict[int, set[str]] = {_PIECE: set(), _PIECE_OF_WORDS: set()}
        for key in known:
            size = _PIECE_OF_WORDS if _MADE_OF_WORDS.fullmatch(key) else _PIECE
            for form in {*_forms(key), *_inside_base64(key)}:
                self._pieces[size].update(form[at : at + size] for at in range(len(form) - size + 1))

    def without_keys(self, body: bytes) -> bytes:
        """The body of an answer without whole keys, as they are or escaped."""
        for form in self._whole:
            body = body.replace(form, HIDDEN.encode())
        return body

    def without_pieces(self, words: str) -> str:
        """Words for people without anything that may be a piece of a key."""
        hidden = {at for start, end in self._found(words) for at in range(start, end)}
        if not hidden:
            return words
        runs = groupby(range(len(words)), hidden.__contains__)
        return "".join(HIDDEN if is_hidden else "".join(words[at] for at in run) for is_hidden, run in runs)

    def _found(self, words: str) -> Iterator[tuple[int, int]]:
        for size, pieces in self._pieces.items():
            for at in range(len(words) - size + 1):
                if words[at : at + size] in pieces:
                    yield at, at + size


def _forms(key: str) -> set[str]:
    """A key as it is, and as JSON, HTML, a URL and base64 write it."""
    encoded = base64.b64encode(key.encode()).decode()
    return {key, json.dumps(key)[1:-1], html.escape(key), quote(key, safe=""), encoded}


def _inside_base64(key: str) -> Iterator[str]:
    """What base64 makes of a key in the middle of a longer text, without the characters it shares with that."""
    for before, shared in ((0, 0), (1, 2), (2, 3)):
        yield base64.b64encode(b"\0" * before + key.encode()).decode().rstrip("=")[shared:-1]


CONNECT_SECONDS = 15.0
ANSWER_SECONDS = 60.0
# Shorter than any server is known to keep an idle connection: a POST that meets a closing one is lost for nothing.
KEEP_ALIVE_SECONDS = 4.0
NO_ANSWER = "sent, but no answer came in time"
BROKEN_OFF = "sent, but the answer broke off"
CONNECTION_LOST = "sent, but the connection was lost before the answer"
NO_HTTP = "sent, but the host answered with something that is no HTTP"
MAX_BODY_BYTES = 32 * 1024 * 1024

MOST_LOST_REUSED: Final = 2
"""Calls lost on a connection that had served another, after which each call gets a connection of its own."""

_NOT_VALID_NOW: Final = (9, 10)
_OTHER_NAME: Final = (62, 64)
"""OpenSSL's numbers of what is wrong with a certificate: its time; the name of the host, or its address."""


@dataclass(slots=True)
class _Trip:
    """What is known of a call: whether it `departed`, on a connection that was `reused`."""

    departed: bool = False
    reused: bool = False


_TRIP: Final[ContextVar[_Trip]] = ContextVar("trip")
"""Of the call that a task is making."""


class _Connector(aiohttp.TCPConnector):
    """Tells a call that never left from one that may have arrived: what has a connection is written at once.

    aiohttp's traces tell it as well, but a fifth of a call's time goes to them.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._used = WeakSet[Any]()

    async def connect(self, *request: Any, **more: Any) -> Any:
        """A connection for a call, once: what comes after it may have arrived."""
        trip = _TRIP.get()
        if trip.departed:
            # aiohttp repeats a GET by itself when a connection in use breaks: a call that nobody has paced.
            raise ConnectionResetError
        connection = await super().connect(*request, **more)
        trip.departed, trip.reused = True, connection.protocol in self._used
        self._used.add(connection.protocol)
        return connection


class Client:
    """A session with one account on one host. Use it as an async context manager.

    `base_url` is the host's base, without `/v2`; the keys travel in headers only
    (https://apidocs.leadsquared.com/authentication/), and through a `proxy` inside TLS only. A `wire_log` is told
    of every call.
    """

    def __init__(
        self,
        base_url: str,
        access_key: SecretStr,
        secret_key: SecretStr,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        proxy: Proxy | None = None,
        wire_log: CallLog | None = None,
    ) -> None:
        if proxy is not None and not base_url.startswith("https:"):
            raise ValueError("a proxy would see the keys")
        self.base_url = base_url
        self._proxy = proxy
        self.wire_log = wire_log
        self._root = f"{base_url}/v2/"
        self._keys = (access_key, secret_key)
        self._redactor = Redactor(access_key, secret_key)
        self._answer_seconds = answer_seconds
        self._session: aiohttp.ClientSession | None = None
        self._sessions = AsyncExitStack()
        self._tls: ssl.SSLContext | bool = True
        self._lost_reused = 0

    async def __aenter__(self) -> Client:
        # Its own, not aiohttp's: that was made when aiohttp was imported, maybe before SSL_CERT_FILE was set.
        if self.base_url.startswith("https:"):
            self._tls = tls = ssl.create_default_context()
            tls.set_alpn_protocols(["http/1.1"])
        self._session = await self._open(keepalive_timeout=KEEP_ALIVE_SECONDS)
        return self

    async def _open(self, **connections: Any) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            connector=_Connector(limit=0, ssl=self._tls, **connections),
            timeout=aiohttp.ClientTimeout(
                total=CONNECT_SECONDS + self._answer_seconds,
                connect=CONNECT_SECONDS,
                sock_read=self._answer_seconds,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return await self._sessions.enter_async_context(session)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session = None
        await self._sessions.aclose()

    async def send(self, call: Call) -> Answer | NotSent | Lost:
        """Send `call` once. Never raises for what the network or the server does."""
        began = perf_counter()
        answer = await self._send(call)
        seconds = perf_counter() - began
        if self.wire_log is not None:
            self.wire_log.note_call(call, answer, seconds)
        if LOGGER.isEnabledFor(logging.DEBUG):
            status = answer.status if isinstance(answer, Answer) else None
            log.debug("called", endpoint=call.path, status=status, milliseconds=round(1000 * seconds, 1))
        return answer

    async def _send(self, call: Call) -> Answer | NotSent | Lost:
        if self._session is None:
            raise RuntimeError("the client is not open: use it as an async context manager")
        trip = _Trip()
        _TRIP.set(trip)
        try:
            async with self._session.request(
                call.method,
                self._root + call.path,
                params=call.query,
                data=call.body,
                headers=self._headers(),
                proxy=self._proxy.url.get_secret_value() if self._proxy else None,
                allow_redirects=False,
            ) as response:
                if not trip.departed:  # not an assert: without this, what was sent could be taken for not sent
                    raise AssertionError("answered without having asked for a connection")
                body = self._redactor.without_keys(await _body(response))
                return Answer(response.status, response.headers, body, self._redactor.without_pieces)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if not trip.departed:
                return _not_sent(error, self._proxy)
            if trip.reused:
                # Whatever is in between may end connections in silence: then none is used twice any more.
                self._lost_reused += 1
                if self._lost_reused == MOST_LOST_REUSED:
                    self._session = await self._open(force_close=True)
            return Lost(_after(error))

    def _headers(self) -> dict[str, str]:
        """Of each request, not of the session: those are sent to a proxy as well, outside of TLS."""
        access_key, secret_key = (key.get_secret_value() for key in self._keys)
        return {
            "x-LSQ-AccessKey": access_key,
            "x-LSQ-SecretKey": secret_key,
            "Content-Type": "application/json",
            "Accept": "application/json",
        }


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = await response.content.read(MAX_BODY_BYTES + 1)
    while chunk := await response.content.read(MAX_BODY_BYTES + 1 - len(body)):
        body += chunk
    if len(body) > MAX_BODY_BYTES:
        raise ValueError("the answer is too long")
    return body


def _not_sent(error: Exception, proxy: Proxy | None) -> NotSent:
    """Why no connection came about, in words of our own: the exception's could hold a URL or a header."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return NotSent(_of_certificate(error), hopeless=True)
    if proxy is None:
        return NotSent(_before(error, "the host"))
    if isinstance(error, aiohttp.ClientHttpProxyError):
        words = f"the proxy {proxy} did not connect to the host (HTTP {error.status})"
        is_login = error.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
        then = ": it wants a user and a password, which stand in its URL" if is_login else ""
        return NotSent(words + then, hopeless=is_login)
    if isinstance(error, aiohttp.ClientResponseError):
        return NotSent(f"the proxy {proxy} answered with something that is no HTTP")
    return NotSent(f"{_before(error, 'the proxy')} (calls go through the proxy {proxy})")


def _of_certificate(error: aiohttp.ClientConnectorCertificateError) -> str:
    """What is wrong with a certificate, and what to do. OpenSSL's words name no more than the host."""
    number = getattr(error.certificate_error, "verify_code", None)
    why = getattr(error.certificate_error, "verify_message", "it could not be checked").rstrip(".")
    if number in _OTHER_NAME:
        return f"the certificate shown is not {error.host}'s ({why}): check the host's name"
    if number in _NOT_VALID_NOW:
        return f"the certificate of {error.host} is not valid now ({why}): check this machine's clock"
    return (
        f"the certificate of {error.host} is not trusted ({why}): if a proxy or firewall looks into TLS here, set "
        "the environment variable SSL_CERT_FILE to a file with the certificate of its authority"
    )


def _before(error: Exception, first: str) -> str:
    """As `_not_sent`; `first` is what is connected to."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"{first}'s name was not found"
    if isinstance(error, aiohttp.ClientSSLError):
        return "the TLS connection failed: the host speaks none, or no version that is accepted here"
    if isinstance(error, TimeoutError):
        return f"no connection within {CONNECT_SECONDS:g} s"
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        # Not strerror: of a refused connection, asyncio's holds the address.
        return f"no connection: {os.strerror(error.errno)}"
    return "no connection"


def _after(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return NO_ANSWER
    if isinstance(error, aiohttp.ClientPayloadError):
        return BROKEN_OFF
    if isinstance(error, aiohttp.ClientResponseError):
        return NO_HTTP
    if isinstance(error, ValueError):
        return "sent, but the answer could not be read"
    return CONNECTION_LOST
