"""The sandbox as a server: receives a call, holds it against keys and limits, lets it act, answers.

The way of a call::

    arrives (counted) → half the latency → wrappers → handler takes effect → wrappers → in the account's dialect
    → half the latency → answer

A caller that has gone away changes nothing: the effect still happens, as it may at LeadSquared. A test sends calls
the same way without a socket. Every call stands, in the order of arrival, in the sandbox's own record, against
which a test holds a run's ledger; nothing in that is part of LeadSquared's API.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
from collections import Counter
from contextlib import suppress
from functools import partial
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, TypeAlias

from aiohttp import web

from batch_share.sandbox.account import SandboxAccount, show_date
from batch_share.sandbox.endpoints import BULK, HANDLERS, paths_of
from batch_share.sandbox.faults import Faults, Particulars, ShareCache
from batch_share.sandbox.options import SandboxOptions
from batch_share.sandbox.window import Limits, LoopClock
from batch_share.sandbox.wire import (
    Refusal,
    Reply,
    SandboxCall,
    envelope,
    in_dialect,
    no_such_api,
    refusal,
    throttled,
)
from batch_share.sandbox.world import fraction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.web_protocol import RequestHandler

    from batch_share.sandbox.window import Clock

_LOOK_SECONDS = 0.05


async def send(request: web.Request, reply: Reply, clock: Clock) -> web.StreamResponse:
    """Answer `request` as `reply` says. Returns when there is nothing more to send."""
    if reply.silent:
        await _keep_silent(request)
    elif reply.drop and request.transport is not None:
        request.transport.abort()
    elif reply.missing or reply.drip:
        return await _in_pieces(request, reply, clock)
    return web.Response(
        status=reply.status, body=reply.body, headers=reply.headers, content_type=reply.content_type
    )


async def drop_made_up_type(_: web.Request, response: web.StreamResponse) -> None:
    """Send no Content-Type where a reply has none: aiohttp fills in this one. A signal, on_response_prepare."""
    if response.headers.get("Content-Type") == "application/octet-stream":
        del response.headers["Content-Type"]


async def _keep_silent(request: web.Request) -> None:
    """Hold the connection until the caller gives it up."""
    while request.transport is not None:  # noqa: ASYNC110 - aiohttp tells no handler that its caller has gone
        await asyncio.sleep(_LOOK_SECONDS)


async def _in_pieces(request: web.Request, reply: Reply, clock: Clock) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    if reply.content_type is not None:
        response.content_type = reply.content_type
    response.content_length = len(reply.body) + reply.missing
    await response.prepare(request)
    size = 1 if reply.drip else len(reply.body)
    for start in range(0, len(reply.body), size):
        await clock.sleep(reply.drip / len(reply.body))
        await response.write(reply.body[start : start + size])
    if reply.missing and request.transport is not None:
        request.transport.close()
    return response


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


KEY_PARAMETERS = ("accessKey", "secretKey")


class Journal:
    """All calls since the sandbox began. Keys never enter it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began: float | None = None
        self.calls: list[SandboxCall] = []

    def begin(self) -> None:
        """Count seconds from now on."""
        self._began = self._clock.time()

    def open(self, method: str, endpoint: str, query: dict[str, str]) -> SandboxCall:
        """Write down a call that arrives now."""
        kept = {name: value for name, value in query.items() if name not in KEY_PARAMETERS}
        call = SandboxCall(len(self.calls) + 1, self._elapsed(), method, endpoint, kept)
        self.calls.append(call)
        return call

    def since(self, n: int) -> list[dict[str, Any]]:
        """The calls after the n-th, as JSON values."""
        return [_entry(call) for call in self.calls[max(n, 0) :]]

    def seconds(self) -> float:
        """Seconds since the first call; 0 before it."""
        return self._elapsed() - self.calls[0].at if self.calls else 0.0

    def _elapsed(self) -> float:
        now = self._clock.time()
        if self._began is None:
            self._began = now
        return now - self._began


def report(journal: Journal, limits: Limits, account: SandboxAccount) -> dict[str, Any]:
    """What happened so far: calls, refusals, activities, live shares, requests."""
    pairs, shares = account.pairs(), _live_shares(account)
    return {
        "total_calls": len(journal.calls),
        "calls": dict(Counter(call.endpoint for call in journal.calls)),
        "outcomes": dict(Counter(call.outcome for call in journal.calls)),
        "faults": dict(Counter(call.fault for call in journal.calls if call.fault)),
        "seconds": round(journal.seconds(), 6),
        "rate": str(limits.calls.rate),
        "refusals": limits.refusals,
        "fullest_window": limits.calls.fullest,
        "activities": account.activity_count(),
        "activities_per_lead_and_user": {f"{lead}|{owner}": count for (lead, owner), count in pairs.items()},
        "duplicates": sum(count > 1 for count in pairs.values()),
        "live_shares": {"count": len(shares), "shares": shares},
        "requests": dict(account.shares.states()),
    }


def _live_shares(account: SandboxAccount) -> list[dict[str, Any]]:
    return [
        {
            "lead": str(grant.lead.number),
            "user": grant.user.id,
            "activity": grant.activity.id,
            "access": grant.access,
            "expires": show_date(grant.expires) if grant.expires else None,
        }
        for grant in account.shares.live()
    ]


def _entry(call: SandboxCall) -> dict[str, Any]:
    names = ("n", "at", "endpoint", "lead", "user", "activity", "outcome", "status", "fault")
    return {name: getattr(call, name) for name in names}


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType

    from batch_share.sandbox.window import Clock
    from batch_share.sandbox.world import World

    Step: TypeAlias = Callable[[SandboxCall], Awaitable[Reply]]
    Wrapper: TypeAlias = Callable[[Step, SandboxCall], Awaitable[Reply]]

_MAX_BODY_BYTES = 8 * 1024 * 1024


class Sandbox:
    """An imitation LeadSquared. As an async context manager it listens on `url`, on a free port if `port` is 0.

    `wrappers` stand around every handler, the first one outermost: each gets the next step and the call, and may
    wait, change the reply, drop it, or not go on at all, before or after the effect. The options' own stand
    innermost.
    """

    def __init__(
        self, options: SandboxOptions | None = None, clock: Clock | None = None, wrappers: Sequence[Wrapper] = ()
    ) -> None:
        self.options = options or SandboxOptions()
        self.clock: Clock = clock or LoopClock()
        self.account = SandboxAccount(self.options, self.clock)
        self.journal = Journal(self.clock)
        self.limits = Limits(self.options)
        absent = frozenset().union(*map(paths_of, self.options.without))
        self._handlers = {place: handler for place, handler in HANDLERS.items() if place[1] not in absent}
        self._step: Step = self._handle
        faults: Wrapper = Faults(self.options.faults, self.options.seed, Particulars(self.options.rate))
        caches: list[Wrapper] = [ShareCache()] if self.options.one_request_id else []
        for wrapper in reversed([*wrappers, faults, *caches]):
            self._step = partial(wrapper, self._step)
        self._listener: Listener | None = None
        self._back_at = -math.inf

    @property
    def world(self) -> World:
        """The leads and users it knows."""
        return self.account.world

    @property
    def url(self) -> str:
        """`http://host:port`, without `/v2`. RuntimeError while it does not listen."""
        if self._listener is None:
            raise RuntimeError("the sandbox is not listening: use it as an async context manager")
        host, port = self._listener.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def report(self) -> dict[str, Any]:
        """What happened so far, as `GET /sandbox/report` tells it."""
        return report(self.journal, self.limits, self.account)

    async def __aenter__(self) -> Sandbox:
        listener = Listener(build_app(self), self.clock)
        await listener.open(self.options.host, self.options.port)
        self._listener = listener
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.close()

    @property
    def is_away(self) -> bool:
        """Whether nobody gets a connection now."""
        return self.clock.time() < self._back_at

    async def receive(self, request: web.Request) -> web.StreamResponse:
        """Answer a call under /v2/."""
        call, refused = self.arrive(request.method, request.match_info["endpoint"], request.query, request.headers)
        call.body = await request.read()
        return await send(request, await self.answer(call, refused), self.clock)

    def arrive(
        self, method: str, endpoint: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[SandboxCall, Reply | None]:
        """Count a call that arrives now; what keeps it out, if anything does."""
        call = self.journal.open(method, endpoint, dict(query))
        call.host = headers.get("Host", "")
        return call, self._refused(call, query, headers)

    async def answer(self, call: SandboxCall, refused: Reply | None) -> Reply:
        """Let a call that arrived take effect, unless it was `refused`, and take its time."""
        half_trip = self._round_trip(call.n) / 2
        await self._travel(half_trip)
        reply = in_dialect(self.options.dialect, call.endpoint, refused or await self._step(call))
        await self._travel(half_trip)
        call.status = None if reply.drop or reply.silent else reply.status
        if reply.away:
            self._leave(reply.away)
        return reply

    def _leave(self, seconds: float) -> None:
        self._back_at = self.clock.time() + seconds
        if self._listener is not None:
            self._listener.leave(seconds)

    def _refused(self, call: SandboxCall, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply | None:
        """What keeps a call out, decided as it arrives. Only calls with the right keys are the account's."""
        if not self._keys_fit(query, headers):
            call.outcome = "unauthenticated"
            return Reply.json(envelope("MXInvalidAccessDetailsException", "Invalid Access Details provided."), 401)
        exceeded = self.limits.exceeded(self.clock.time(), bulk=call.endpoint == BULK)
        if exceeded is not None:
            call.outcome = "throttled"
            return throttled(exceeded, self.options.reject_as, self.options.retry_after)
        return None

    def _keys_fit(self, query: Mapping[str, str], headers: Mapping[str, str]) -> bool:
        """Both transports of https://apidocs.leadsquared.com/authentication/"""
        known, secret = {self.options.access_key, *self.options.other_access_keys}, self.options.secret_key
        given = (
            (headers.get("x-LSQ-AccessKey"), headers.get("x-LSQ-SecretKey")),
            (query.get("accessKey"), query.get("secretKey")),
        )
        return any(access in known and theirs == secret for access, theirs in given)

    async def _handle(self, call: SandboxCall) -> Reply:
        """The innermost step: the call takes effect, or is refused."""
        handler = self._handlers.get((call.method, call.endpoint))
        if handler is None:
            call.outcome = "unknown path"
            return no_such_api()
        try:
            if call.endpoint.rpartition("/")[2] in self.options.refuse or call.endpoint in self.options.refuse:
                raise refusal("MXUnauthorizedException", "You are not allowed to use this API")
            value = handler(self.account, call)
        except Refusal as refused:
            call.outcome = "refused"
            return refused.reply
        call.outcome = "done"
        return Reply.json(value)

    def _round_trip(self, n: int) -> float:
        """The n-th call's round trip: lognormal around `latency`, the same in every run."""
        if not self.options.jitter:
            return self.options.latency
        deviation = NormalDist().inv_cdf(fraction(self.options.seed, "latency", n) or 0.5)
        return self.options.latency * math.exp(self.options.jitter * deviation)

    async def _travel(self, seconds: float) -> None:
        if seconds > 0:
            await self.clock.sleep(seconds)


def build_app(sandbox: Sandbox) -> web.Application:
    """The sandbox as an aiohttp application: LeadSquared's API under /v2/, its own reports under /sandbox/."""

    async def began(_: web.Application) -> None:
        sandbox.journal.begin()

    async def report(_: web.Request) -> web.Response:
        return web.json_response(sandbox.report())

    async def calls(request: web.Request) -> web.Response:
        since = request.query.get("since", "0")
        if not (since.isascii() and since.isdigit() and len(since) < 10):
            raise web.HTTPBadRequest(text="since is the number of a call")
        return web.json_response(sandbox.journal.since(int(since)))

    app = web.Application(client_max_size=_MAX_BODY_BYTES)
    app.on_startup.append(began)
    app.on_response_prepare.append(drop_made_up_type)
    app.router.add_get("/sandbox/report", report)
    app.router.add_get("/sandbox/calls", calls)
    app.router.add_route("*", "/v2/{endpoint:.*}", sandbox.receive)
    return app


async def serve_forever(
    options: SandboxOptions, announce: Callable[[Sandbox], None], wrappers: Sequence[Wrapper] = ()
) -> None:
    """Serve until SIGINT or SIGTERM. `announce` is called once, when the sandbox listens."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    async with Sandbox(options, wrappers=wrappers) as sandbox:
        with contextlib.ExitStack() as handlers:
            for number in (signal.SIGINT, signal.SIGTERM):
                # Not loop.add_signal_handler: Windows has none.
                before = signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
                handlers.callback(signal.signal, number, before)
            announce(sandbox)
            await stop.wait()
