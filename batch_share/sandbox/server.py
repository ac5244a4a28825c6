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
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, TypeAlias

from aiohttp import web

from batch_share.sandbox.account import Clock, SandboxAccount, show_date
from batch_share.sandbox.endpoints import BULK, HANDLERS, paths_of
from batch_share.sandbox.faults import Faults, Particulars, ShareCache, parse_faults
from batch_share.sandbox.options import SandboxOptions
from batch_share.sandbox.wire import (
    NO_SUCH_API,
    Refusal,
    Reply,
    SandboxCall,
    envelope,
    in_dialect,
    refusal,
    throttled,
)
from batch_share.sandbox.world import fraction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType

    from aiohttp.web_protocol import RequestHandler

    from batch_share.common import Rate

    Step: TypeAlias = Callable[[SandboxCall], Awaitable[Reply]]
    Wrapper: TypeAlias = Callable[[Step, SandboxCall], Awaitable[Reply]]

_LOOK_SECONDS = 0.05  # short beside any time that a caller waits, and nearly no work
_MAX_BODY_BYTES = 8 * 1024 * 1024  # 10,000 GUIDs are half a megabyte
# Long enough to send an answer that is ready, short enough that nobody notices: open keep-alive connections and
# calls in the middle of their latency are cut off.
_SHUTDOWN_SECONDS = 0.1
KEY_PARAMETERS = ("accessKey", "secretKey")
_SHOWN = ("n", "at", "endpoint", "lead", "user", "activity", "outcome", "status", "fault")
"""What the record of calls shows of each."""


@dataclass(slots=True)
class Window:
    """Admits calls up to `rate`; `fullest` is the most that it admitted in any period.

    No page says whether LeadSquared's window slides or is fixed (https://apidocs.leadsquared.com/rate-limits/), so
    there are both, and both are strict: never more than the limit in any period, wherever it begins, or, if it
    `is_fixed`, between two ticks of the clock, and around a tick up to twice as many. A refused call does not
    count: it costs nothing but the answer.
    """

    rate: Rate
    is_fixed: bool = False
    fullest: int = 0
    _recent: deque[float] = field(default_factory=deque, init=False)

    def has_room(self, now: float) -> bool:
        """Whether a call that arrives now would be admitted."""
        while self._recent and now - self._recent[0] >= self.rate.period:
            self._recent.popleft()
        tick = now // self.rate.period
        counted = [at for at in self._recent if at // self.rate.period == tick] if self.is_fixed else self._recent
        return len(counted) < self.rate.limit

    def count(self, now: float) -> None:
        """Count a call that there was room for."""
        self._recent.append(now)
        self.fullest = max(self.fullest, len(self._recent))


@dataclass(slots=True)
class Limits:
    """The account's two buckets: every call counts in `calls`, a bulk call in `bulk` as well.

    Whether LeadSquared counts a bulk call twice is unknown; this is the stricter reading. `refusals` are the calls
    that either refused.
    """

    calls: Window
    bulk: Window | None = None
    refusals: int = 0

    def exceeded(self, now: float, *, bulk: bool) -> Rate | None:
        """Count a call in its buckets, or name the rate that has no room for it: then it counts nowhere."""
        buckets = [self.calls, self.bulk] if bulk and self.bulk else [self.calls]
        full = next((bucket for bucket in buckets if not bucket.has_room(now)), None)
        if full is not None:
            self.refusals += 1
            return full.rate
        for bucket in buckets:
            bucket.count(now)
        return None


@dataclass(slots=True)
class Journal:
    """All calls since the sandbox began. Keys never enter it."""

    clock: Clock
    began: float | None = None
    calls: list[SandboxCall] = field(default_factory=list)

    def elapsed(self) -> float:
        """Seconds since the sandbox began: when it listens, or with the first call."""
        now = self.clock.time()
        if self.began is None:
            self.began = now
        return now - self.began

    def open(self, method: str, endpoint: str, query: Mapping[str, str]) -> SandboxCall:
        """Write down a call that arrives now."""
        kept = {name: value for name, value in query.items() if name not in KEY_PARAMETERS}
        call = SandboxCall(len(self.calls) + 1, self.elapsed(), method, endpoint, kept)
        self.calls.append(call)
        return call

    def since(self, n: int) -> list[dict[str, Any]]:
        """The calls after the n-th, as JSON values."""
        return [{name: getattr(call, name) for name in _SHOWN} for call in self.calls[max(n, 0) :]]


class Sandbox:
    """An imitation LeadSquared. As an async context manager it listens on `url`, on a free port if `port` is 0.

    `wrappers` stand around every handler, the first one outermost: each gets the next step and the call, and may
    wait, change the reply, drop it, or not go on at all, before or after the effect. The options' own stand
    innermost. `world` are the leads and users it knows; until `back_at`, on its clock, nobody gets a connection.
    """

    def __init__(
        self, options: SandboxOptions | None = None, clock: Clock | None = None, wrappers: Sequence[Wrapper] = ()
    ) -> None:
        self.options = options or SandboxOptions()
        self.clock = clock or Clock()
        self.account = SandboxAccount(self.options, self.clock)
        self.world = self.account.world
        self.journal = Journal(self.clock)
        bulk, is_fixed = self.options.bulk_rate, self.options.fixed_window
        self.limits = Limits(Window(self.options.rate, is_fixed), Window(bulk, is_fixed) if bulk else None)
        absent = frozenset().union(*map(paths_of, self.options.without))
        self._handlers = {place: handler for place, handler in HANDLERS.items() if place[1] not in absent}
        particulars = Particulars(self.options.rate)
        faults: Wrapper = Faults(parse_faults(self.options.faults), self.options.seed, particulars)
        caches: list[Wrapper] = [ShareCache()] if self.options.one_request_id else []
        self._step: Step = self._handle
        for wrapper in reversed([*wrappers, faults, *caches]):
            self._step = partial(wrapper, self._step)
        self._listener: Listener | None = None
        self.back_at = -math.inf

    @property
    def url(self) -> str:
        """`http://host:port`, without `/v2`. RuntimeError while it does not listen."""
        if self._listener is None:
            raise RuntimeError("the sandbox is not listening: use it as an async context manager")
        host, port = self._listener.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def __aenter__(self) -> Sandbox:
        self.journal.began = self.clock.time()
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

    def arrive(
        self, method: str, endpoint: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[SandboxCall, Reply | None]:
        """Count a call that arrives now; what keeps it out, if anything does, is decided here.

        Only calls with the right keys are the account's, in one of both transports of
        https://apidocs.leadsquared.com/authentication/
        """
        call = self.journal.open(method, endpoint, dict(query))
        call.host = headers.get("Host", "")
        known, secret = {self.options.access_key, *self.options.other_access_keys}, self.options.secret_key
        given = (
            (headers.get("x-LSQ-AccessKey"), headers.get("x-LSQ-SecretKey")),
            (query.get("accessKey"), query.get("secretKey")),
        )
        if not any(access in known and theirs == secret for access, theirs in given):
            call.outcome = "unauthenticated"
            words = "Invalid Access Details provided."
            return call, Reply.json(envelope("MXInvalidAccessDetailsException", words), 401)
        exceeded = self.limits.exceeded(self.clock.time(), bulk=endpoint == BULK)
        if exceeded is not None:
            call.outcome = "throttled"
            return call, throttled(exceeded, self.options.reject_as, self.options.retry_after)
        return call, None

    async def answer(self, call: SandboxCall, refused: Reply | None) -> Reply:
        """Let a call that arrived take effect, unless it was `refused`, and take its time.

        The round trip is lognormal around the latency, and that of the n-th call the same in every run.
        """
        round_trip = self.options.latency
        if self.options.jitter:
            deviation = NormalDist().inv_cdf(fraction(self.options.seed, "latency", call.n) or 0.5)
            round_trip *= math.exp(self.options.jitter * deviation)
        if round_trip > 0:
            await self.clock.sleep(round_trip / 2)
        reply = in_dialect(self.options.dialect, call.endpoint, refused or await self._step(call))
        if round_trip > 0:
            await self.clock.sleep(round_trip / 2)
        call.status = None if reply.drop or reply.silent else reply.status
        if reply.away:
            self.back_at = self.clock.time() + reply.away
            if self._listener is not None:
                self._listener.leave(reply.away)
        return reply

    async def _handle(self, call: SandboxCall) -> Reply:
        """The innermost step: the call takes effect, or is refused."""
        handler = self._handlers.get((call.method, call.endpoint))
        if handler is None:
            call.outcome = "unknown path"
            return NO_SUCH_API
        try:
            if call.endpoint.rpartition("/")[2] in self.options.refuse or call.endpoint in self.options.refuse:
                raise refusal("MXUnauthorizedException", "You are not allowed to use this API")
            value = handler(self.account, call)
        except Refusal as refused:
            call.outcome = "refused"
            return refused.reply
        call.outcome = "done"
        return Reply.json(value)

    def report(self) -> dict[str, Any]:
        """What happened so far, as `GET /sandbox/report` tells it."""
        calls, account = self.journal.calls, self.account
        pairs = Counter((each.lead.id, each.owner.id) for each in account.activities.values())
        shares = [
            {
                "lead": str(grant.lead.number),
                "user": grant.user.id,
                "activity": grant.activity.id,
                "access": grant.access,
                "expires": show_date(grant.expires) if grant.expires else None,
            }
            for grant in account.live_shares()
        ]
        return {
            "total_calls": len(calls),
            "calls": dict(Counter(call.endpoint for call in calls)),
            "outcomes": dict(Counter(call.outcome for call in calls)),
            "faults": dict(Counter(call.fault for call in calls if call.fault)),
            "seconds": round(self.journal.elapsed() - calls[0].at, 6) if calls else 0.0,
            "rate": str(self.options.rate),
            "refusals": self.limits.refusals,
            "fullest_window": self.limits.calls.fullest,
            "activities": len(account.activities),
            "activities_per_lead_and_user": {f"{lead}|{owner}": count for (lead, owner), count in pairs.items()},
            "duplicates": sum(count > 1 for count in pairs.values()),
            "live_shares": {"count": len(shares), "shares": shares},
            "requests": dict(Counter(each.state(self.clock.time()) for each in account.requests.values())),
        }


def build_app(sandbox: Sandbox) -> web.Application:
    """The sandbox as an aiohttp application: LeadSquared's API under /v2/, its own reports under /sandbox/."""

    async def drop_made_up_type(_: web.Request, response: web.StreamResponse) -> None:
        """Send no Content-Type where a reply has none: aiohttp fills in this one."""
        if response.headers.get("Content-Type") == "application/octet-stream":
            del response.headers["Content-Type"]

    async def receive(request: web.Request) -> web.StreamResponse:
        endpoint = request.match_info["endpoint"]
        call, refused = sandbox.arrive(request.method, endpoint, request.query, request.headers)
        call.body = await request.read()
        return await send(request, await sandbox.answer(call, refused), sandbox.clock)

    async def report(_: web.Request) -> web.Response:
        return web.json_response(sandbox.report())

    async def calls(request: web.Request) -> web.Response:
        since = request.query.get("since", "0")
        if not (since.isascii() and since.isdigit() and len(since) < 10):
            raise web.HTTPBadRequest(text="since is the number of a call")
        return web.json_response(sandbox.journal.since(int(since)))

    app = web.Application(client_max_size=_MAX_BODY_BYTES)
    app.on_response_prepare.append(drop_made_up_type)
    app.router.add_get("/sandbox/report", report)
    app.router.add_get("/sandbox/calls", calls)
    app.router.add_route("*", "/v2/{endpoint:.*}", receive)
    return app


async def send(request: web.Request, reply: Reply, clock: Clock) -> web.StreamResponse:
    """Answer `request` as `reply` says. Returns when there is nothing more to send."""
    if reply.silent:
        while request.transport is not None:  # noqa: ASYNC110 - aiohttp tells no handler that its caller has gone
            await asyncio.sleep(_LOOK_SECONDS)
    elif reply.drop and request.transport is not None:
        request.transport.abort()
    if reply.silent or reply.drop or not (reply.missing or reply.drip):
        return web.Response(
            status=reply.status, body=reply.body, headers=reply.headers, content_type=reply.content_type
        )
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
        self._server = await asyncio.get_running_loop().create_server(self._runner.server, host, port)
        return self._server


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
