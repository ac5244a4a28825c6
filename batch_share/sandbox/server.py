"""The sandbox as a server: receives a call, holds it against keys and limits, lets it act, answers.

The way of a call::

    arrives (counted) → half the latency → wrappers → handler takes effect → wrappers → in the account's dialect
    → half the latency → answer

A caller that has gone away changes nothing: the effect still happens, as it may at LeadSquared.
`direct.DirectClient` sends calls the same way without a socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
from functools import partial
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, TypeAlias

from aiohttp import web

from batch_share.sandbox import journal
from batch_share.sandbox.account import Account
from batch_share.sandbox.chance import fraction
from batch_share.sandbox.clock import LoopClock
from batch_share.sandbox.dialects import in_dialect
from batch_share.sandbox.endpoints import BULK, HANDLERS, paths_of
from batch_share.sandbox.faults import Faults, Particulars, ShareCache
from batch_share.sandbox.listener import Listener
from batch_share.sandbox.options import SandboxOptions
from batch_share.sandbox.sending import drop_made_up_type, send
from batch_share.sandbox.window import Limits
from batch_share.sandbox.wire import Call, Refusal, Reply, envelope, no_such_api, refusal, throttled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType

    from batch_share.sandbox.clock import Clock
    from batch_share.sandbox.world import World

    Step: TypeAlias = Callable[[Call], Awaitable[Reply]]
    Wrapper: TypeAlias = Callable[[Step, Call], Awaitable[Reply]]

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
        self.account = Account(self.options, self.clock)
        self.journal = journal.Journal(self.clock)
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
        return journal.report(self.journal, self.limits, self.account)

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
    ) -> tuple[Call, Reply | None]:
        """Count a call that arrives now; what keeps it out, if anything does."""
        call = self.journal.open(method, endpoint, dict(query))
        call.host = headers.get("Host", "")
        return call, self._refused(call, query, headers)

    async def answer(self, call: Call, refused: Reply | None) -> Reply:
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

    def _refused(self, call: Call, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply | None:
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
        keys = (self.options.access_key, self.options.secret_key)
        return keys in (
            (headers.get("x-LSQ-AccessKey"), headers.get("x-LSQ-SecretKey")),
            (query.get("accessKey"), query.get("secretKey")),
        )

    async def _handle(self, call: Call) -> Reply:
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


async def serve_forever(options: SandboxOptions, announce: Callable[[Sandbox], None]) -> None:
    """Serve until SIGINT or SIGTERM. `announce` is called once, when the sandbox listens."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    async with Sandbox(options) as sandbox:
        with contextlib.ExitStack() as handlers:
            for number in (signal.SIGINT, signal.SIGTERM):
                # Not loop.add_signal_handler: Windows has none.
                before = signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
                handlers.callback(signal.signal, number, before)
            announce(sandbox)
            await stop.wait()
