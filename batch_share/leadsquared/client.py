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

from batch_share.leadsquared.protocol import Answer, Call, Lost, NotSent
from batch_share.logs import LOGGER, log

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from pydantic import SecretStr

    from batch_share.leadsquared.wire_log import CallLog
    from batch_share.settings import Proxy

HIDDEN: Final = "***"
"""What stands where a key stood."""

_PIECE: Final = 4
"""Characters of a key that are hidden in words, for it may come back cut off or masked: fewer tell nothing."""

_PIECE_OF_WORDS: Final = 8
"""The same of what reads like words: a key with "lead" in it shares that with many a message, and the one of the
sandbox "acce" with "Access denied"."""

_SHORT: Final = 8
"""A key of fewer characters is none of LeadSquared's, and in any answer by chance: only a whole word is hidden."""

_LIKE_WORDS: Final = re.compile(r"[A-Za-z._-][a-z._-]*")


class Redactor:
    """Takes two keys out of what a server said: whole ones out of anything, pieces out of its words for people."""

    # Pieces are hidden in words alone, not in Ids and other data: a GUID shares four hexadecimal digits with a real
    # key by chance (about one in sixty does), and an Id that was touched is no Id. Words are judged before they are
    # redacted, so there a false alarm costs a word.

    def __init__(self, *keys: SecretStr) -> None:
        self._whole: list[re.Pattern[bytes]] = []
        self._pieces: dict[int, set[str]] = {_PIECE: set(), _PIECE_OF_WORDS: set()}
        for key in filter(None, (each.get_secret_value() for each in keys)):
            # As it is, and as JSON, HTML, a URL and base64 write it.
            forms = {key, json.dumps(key)[1:-1], html.escape(key), quote(key, safe="")}
            forms.add(base64.b64encode(key.encode()).decode())
            bounds = (rb"(?<!\w)", rb"(?!\w|\"\s*:)") if len(key) < _SHORT else (b"", b"")
            self._whole += [re.compile(re.escape(form.encode()).join(bounds)) for form in forms]
            # And as base64 does in the middle of a longer text, without the characters it shares with that.
            for before, shared in ((0, 0), (1, 2), (2, 3)):
                encoded = base64.b64encode(b"\0" * before + key.encode()).decode()
                forms.add(encoded.rstrip("=")[shared:-1])
            for size, found in self._pieces.items():
                each = (form[at : at + size] for form in forms for at in range(len(form) - size + 1))
                found.update(piece for piece in each if size > _PIECE or not _LIKE_WORDS.fullmatch(piece))

    def without_keys(self, body: bytes) -> bytes:
        """The body of an answer without whole keys, as they are or escaped."""
        for form in self._whole:
            body = form.sub(HIDDEN.encode(), body)
        return body

    def without_pieces(self, words: str) -> str:
        """Words for people without anything that may be a piece of a key."""
        hidden = {
            at
            for size, pieces in self._pieces.items()
            for start in range(len(words) - size + 1)
            if words[start : start + size] in pieces
            for at in range(start, start + size)
        }
        runs = groupby(range(len(words)), hidden.__contains__)
        return "".join(HIDDEN if is_hidden else "".join(words[at] for at in run) for is_hidden, run in runs)


CONNECT_SECONDS = 15.0
"""A packet that is lost is sent again after 1, 3 and 7 seconds: what those do not mend is no mishap."""

ANSWER_SECONDS = 60.0
"""Where no setting says it: what takes longer than a minute is as good as lost, and is looked up."""

KEEP_ALIVE_SECONDS = 4.0
"""Shorter than any server is known to keep an idle connection: a POST on one that is closing is lost."""

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Many times a page of 1,000 leads, and still little for a machine's memory."""

NO_ANSWER = "sent, but no answer came in time"
BROKEN_OFF = "sent, but the answer broke off"
CONNECTION_LOST = "sent, but the connection was lost before the answer"
NO_HTTP = "sent, but the host answered with something that is no HTTP"
WITHHELD = "withheld: the account was given up, for another may work on it"
UNREADABLE = "sent, but the answer could not be read"

_AFTER: Final = (
    (TimeoutError, NO_ANSWER),
    (aiohttp.ClientPayloadError, BROKEN_OFF),
    (aiohttp.ClientResponseError, NO_HTTP),
    (ValueError, UNREADABLE),
)
"""What went wrong with a call that had left, by the first kind that the exception is of."""

MOST_LOST_REUSED: Final = 2
"""Calls lost on a connection that had served another, after which each call gets one of its own: once may happen
wherever the server and we close it in the same moment."""

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


class _Withheld(aiohttp.ClientConnectionError):
    """There was a connection, and nothing was written to it."""


class _Connector(aiohttp.TCPConnector):
    """Tells a call that never left from one that may have arrived: what has a connection is written at once.

    aiohttp's traces tell it as well, but a fifth of a call's time goes to them.
    """

    def __init__(self, client: Client, **options: Any) -> None:
        super().__init__(**options)
        self._client = client
        self._used = WeakSet[Any]()

    async def connect(self, *request: Any, **more: Any) -> Any:
        """A connection for a call, once: what comes after it may have arrived."""
        trip = _TRIP.get()
        if trip.departed:
            # aiohttp repeats a GET by itself when a connection in use breaks: a call that nobody has paced.
            raise ConnectionResetError
        connection = await super().connect(*request, **more)
        # Only now, with nothing left to wait for: a process that slept until here would send what another sends.
        if self._client.may_send is not None and not self._client.may_send():
            connection.close()
            raise _Withheld
        trip.departed, trip.reused = True, connection.protocol in self._used
        self._used.add(connection.protocol)
        return connection


class Client:
    """A session with one account on one host. Use it as an async context manager.

    `base_url` is the host's base, without `/v2`; the keys travel in headers only
    (https://apidocs.leadsquared.com/authentication/), and through a `proxy` inside TLS only. A `wire_log` is told
    of every call. While `may_send` says no, none leaves.
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
        self.may_send: Callable[[], bool] | None = None
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
            connector=_Connector(self, limit=0, ssl=self._tls, **connections),
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
                # Of each request, not of the session: those are sent to a proxy as well, outside of TLS.
                headers={
                    "x-LSQ-AccessKey": self._keys[0].get_secret_value(),
                    "x-LSQ-SecretKey": self._keys[1].get_secret_value(),
                    "Content-Type": "application/json",
                    "Accept": "application/json",
                },
                proxy=self._proxy.url.get_secret_value() if self._proxy else None,
                allow_redirects=False,
            ) as response:
                if not trip.departed:  # not an assert: without this, what was sent could be taken for not sent
                    raise AssertionError("answered without having asked for a connection")
                body = b""
                while chunk := await response.content.read(MAX_BODY_BYTES + 1 - len(body)):
                    body += chunk
                if len(body) > MAX_BODY_BYTES:
                    return Lost(UNREADABLE)
                body = self._redactor.without_keys(body)
                return Answer(response.status, response.headers, body, self._redactor.without_pieces)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if not trip.departed:
                return _not_sent(error, self._proxy)
            if trip.reused:
                # Whatever is in between may end connections in silence: then none is used twice any more.
                self._lost_reused += 1
                if self._lost_reused == MOST_LOST_REUSED:
                    self._session = await self._open(force_close=True)
            lost = next((words for kind, words in _AFTER if isinstance(error, kind)), CONNECTION_LOST)
            return Lost(lost, is_silence=isinstance(error, TimeoutError))


def _not_sent(error: Exception, proxy: Proxy | None) -> NotSent:
    """Why no connection came about, in words of our own: the exception's could hold a URL or a header."""
    if isinstance(error, _Withheld):
        return NotSent(WITHHELD, hopeless=True)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        # What is wrong with it, and what to do. OpenSSL's words name no more than the host.
        number = getattr(error.certificate_error, "verify_code", None)
        why = getattr(error.certificate_error, "verify_message", "it could not be checked").rstrip(".")
        words = (
            f"the certificate of {error.host} is not trusted ({why}): if a proxy or firewall looks into TLS here, "
            "set the environment variable SSL_CERT_FILE to a file with the certificate of its authority"
        )
        if number in _OTHER_NAME:
            words = f"the certificate shown is not {error.host}'s ({why}): check the host's name"
        if number in _NOT_VALID_NOW:
            words = f"the certificate of {error.host} is not valid now ({why}): check this machine's clock"
        return NotSent(words, hopeless=True)
    if proxy is not None and isinstance(error, aiohttp.ClientHttpProxyError):
        words = f"the proxy {proxy} did not connect to the host (HTTP {error.status})"
        is_login = error.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
        then = ": it wants a user and a password, which stand in its URL" if is_login else ""
        return NotSent(words + then, hopeless=is_login)
    if proxy is not None and isinstance(error, aiohttp.ClientResponseError):
        return NotSent(f"the proxy {proxy} answered with something that is no HTTP")
    words = "no connection"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        words = f"the {'host' if proxy is None else 'proxy'}'s name was not found"
    elif isinstance(error, aiohttp.ClientSSLError):
        words = "the TLS connection failed: the host speaks none, or no version that is accepted here"
    elif isinstance(error, TimeoutError):
        words = f"no connection within {CONNECT_SECONDS:g} s"
    elif isinstance(error, OSError) and error.errno and error.errno > 0:
        # Not strerror: of a refused connection, asyncio's holds the address.
        words = f"no connection: {os.strerror(error.errno)}"
    return NotSent(words if proxy is None else f"{words} (calls go through the proxy {proxy})")
