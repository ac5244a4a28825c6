"""The thin aiohttp adapter: sends a Call, returns the Answer or what became of it.

aiohttp's exceptions carry the request's headers, so its keys: none leaves this module.
"""

from __future__ import annotations

import logging
import os
from contextvars import ContextVar
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from batch_share.leadsquared.outcome import Lost, NotSent
from batch_share.leadsquared.protocol import Answer, Call
from batch_share.leadsquared.redaction import Redactor
from batch_share.logs import LOGGER, log

if TYPE_CHECKING:
    from types import TracebackType

    from pydantic import SecretStr

CONNECT_SECONDS = 15.0
ANSWER_SECONDS = 60.0
# Shorter than any server is known to keep an idle connection: a POST that meets a closing one is lost for nothing.
KEEP_ALIVE_SECONDS = 4.0
NO_ANSWER = "sent, but no answer came in time"
BROKEN_OFF = "sent, but the answer broke off"
CONNECTION_LOST = "sent, but the connection was lost before the answer"
MAX_BODY_BYTES = 32 * 1024 * 1024

_DEPARTED: Final[ContextVar[list[bool]]] = ContextVar("departed")
"""Of the call that a task is making: empty until it leaves."""


class _Connector(aiohttp.TCPConnector):
    """Tells a call that never left from one that may have arrived: what has a connection is written at once.

    aiohttp's traces tell it as well, but a fifth of a call's time goes to them.
    """

    async def connect(self, *request: Any, **more: Any) -> Any:
        """A connection for a call, once: what comes after it may have arrived."""
        departed = _DEPARTED.get()
        if departed:
            # aiohttp repeats a GET by itself when a connection in use breaks: a call that nobody has paced.
            raise ConnectionResetError
        connection = await super().connect(*request, **more)
        departed.append(True)
        return connection


class Client:
    """A session with one account on one host. Use it as an async context manager.

    `base_url` is the host's base, without `/v2`; the keys travel in headers only
    (https://apidocs.leadsquared.com/authentication/).
    """

    def __init__(
        self,
        base_url: str,
        access_key: SecretStr,
        secret_key: SecretStr,
        *,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.base_url = base_url
        self._root = f"{base_url}/v2/"
        self._keys = (access_key, secret_key)
        self._redactor = Redactor(access_key, secret_key)
        self._answer_seconds = answer_seconds
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        access_key, secret_key = (key.get_secret_value() for key in self._keys)
        self._session = aiohttp.ClientSession(
            connector=_Connector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS),
            headers={
                "x-LSQ-AccessKey": access_key,
                "x-LSQ-SecretKey": secret_key,
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
            timeout=aiohttp.ClientTimeout(
                total=CONNECT_SECONDS + self._answer_seconds,
                sock_connect=CONNECT_SECONDS,
                sock_read=self._answer_seconds,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, call: Call) -> Answer | NotSent | Lost:
        """Send `call` once. Never raises for what the network or the server does."""
        if not LOGGER.isEnabledFor(logging.DEBUG):
            return await self._send(call)
        began = perf_counter()
        answer = await self._send(call)
        status = answer.status if isinstance(answer, Answer) else None
        log.debug("called", endpoint=call.path, status=status, milliseconds=_since(began))
        return answer

    async def _send(self, call: Call) -> Answer | NotSent | Lost:
        if self._session is None:
            raise RuntimeError("the client is not open: use it as an async context manager")
        departed: list[bool] = []
        _DEPARTED.set(departed)
        try:
            async with self._session.request(
                call.method,
                self._root + call.path,
                params=call.query,
                data=call.body,
                allow_redirects=False,
            ) as response:
                if not departed:  # not an assert: without this, what was sent could be taken for not sent
                    raise AssertionError("answered without having asked for a connection")
                body = self._redactor.without_keys(await _body(response))
                return Answer(response.status, response.headers, body, self._redactor.without_pieces)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return Lost(_after(error)) if departed else NotSent(_before(error))


def _since(began: float) -> float:
    return round(1000 * (perf_counter() - began), 1)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = await response.content.read(MAX_BODY_BYTES + 1)
    while chunk := await response.content.read(MAX_BODY_BYTES + 1 - len(body)):
        body += chunk
    if len(body) > MAX_BODY_BYTES:
        raise ValueError("the answer is too long")
    return body


def _before(error: Exception) -> str:
    """Why no connection came about, in words of our own: the exception's could hold a URL or a header."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host's name was not found"
    if isinstance(error, aiohttp.ClientSSLError):
        return "the TLS connection failed: the certificate or the protocol was refused"
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
    if isinstance(error, ValueError):
        return "sent, but the answer could not be read"
    return CONNECTION_LOST
