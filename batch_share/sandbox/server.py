"""The sandbox as a server: receives a call, holds it against keys and limits, lets it act, answers.

The way of a call::

    arrives (counted) → half the latency → wrappers → handler takes effect → wrappers → half the latency → answer

A caller that has gone away changes nothing: the effect still happens, as it may at LeadSquared.
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

from batch_share.sandbox import activity_calls, activity_reads, journal, people_calls, share_calls
from batch_share.sandbox.account import Account
from batch_share.sandbox.chance import fraction
from batch_share.sandbox.clock import LoopClock
from batch_share.sandbox.options import SandboxOptions
from batch_share.sandbox.window import Limits
from batch_share.sandbox.wire import Call, Refusal, Reply, envelope, refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType

    from batch_share.sandbox.clock import Clock
    from batch_share.sandbox.world import World
    from batch_share.units import Rate

    Handler: TypeAlias = Callable[[Account, Call], Any]
    Step: TypeAlias = Callable[[Call], Awaitable[Reply]]
    Wrapper: TypeAlias = Callable[[Step, Call], Awaitable[Reply]]

BULK = "ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId"
HANDLERS: dict[tuple[str, str], Handler] = {
    ("POST", "ProspectActivity.svc/Create"): activity_calls.create,
    ("POST", BULK): activity_calls.create_many,
    ("POST", "ProspectActivity.svc/Retrieve"): activity_reads.of_lead,
    ("GET", "ProspectActivity.svc/GetActivityDetails"): activity_reads.details,
    ("POST", "ProspectActivity.svc/CustomActivity/RetrieveByActivityEvent"): activity_reads.by_event,
    ("POST", "EntityAccess.svc/Share"): share_calls.share,
    ("POST", "EntityAccess.svc/Revoke"): share_calls.revoke,
    ("GET", "EntityAccess.svc/Status/Get"): share_calls.status,
    ("POST", "LeadManagement.svc/Leads/Retrieve/ByIds"): people_calls.leads_by_ids,
    ("POST", "LeadManagement.svc/Leads.Get"): people_calls.leads_by_criteria,
    ("GET", "LeadManagement.svc/Leads.GetById"): people_calls.lead_by_id,
    ("GET", "LeadManagement.svc/Leads.GetByEmailaddress"): people_calls.lead_by_email,
    ("GET", "LeadManagement.svc/RetrieveLeadByPhoneNumber"): people_calls.lead_by_phone,
    ("GET", "UserManagement.svc/Users.Get"): people_calls.users,
    ("GET", "UserManagement.svc/User/Retrieve/ByEmailAddress"): people_calls.user_by_email,
    ("GET", "UserManagement.svc/User/Retrieve/ByUserId"): people_calls.user_by_id,
    ("GET", "Authentication.svc/UserByAccessKey.Get"): people_calls.key_user,
}
_MAX_BODY_BYTES = 8 * 1024 * 1024
# Long enough to send an answer that is ready, short enough that nobody notices: open keep-alive connections and
# calls in the middle of their latency are cut off.
_SHUTDOWN_SECONDS = 0.1


class Sandbox:
    """An imitation LeadSquared. As an async context manager it listens on `url`, on a free port if `port` is 0.

    `wrappers` stand around every handler, the first one outermost: each gets the next step and the call, and may
    wait, change the reply, drop it, or not go on at all, before or after the effect.
    """

    def __init__(
        self, options: SandboxOptions | None = None, clock: Clock | None = None, wrappers: Sequence[Wrapper] = ()
    ) -> None:
        self.options = options or SandboxOptions()
        self.clock: Clock = clock or LoopClock()
        self.account = Account(self.options, self.clock)
        self.journal = journal.Journal(self.clock)
        self.limits = Limits(self.options)
        self._step: Step = self._handle
        for wrapper in reversed(wrappers):
            self._step = partial(wrapper, self._step)
        self._runner: web.AppRunner | None = None

    @property
    def world(self) -> World:
        """The leads and users it knows."""
        return self.account.world

    @property
    def url(self) -> str:
        """`http://host:port`, without `/v2`. RuntimeError while it does not listen."""
        if self._runner is None or not self._runner.addresses:
            raise RuntimeError("the sandbox is not listening: use it as an async context manager")
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def report(self) -> dict[str, Any]:
        """What happened so far, as `GET /sandbox/report` tells it."""
        return journal.report(self.journal, self.limits, self.account)

    async def __aenter__(self) -> Sandbox:
        runner = web.AppRunner(build_app(self), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.options.host, self.options.port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def receive(self, request: web.Request) -> web.StreamResponse:
        """Answer a call under /v2/."""
        call = self.journal.open(request.method, request.match_info["endpoint"], dict(request.query))
        refused = self._refused(call, request)
        call.body = await request.read()
        half_trip = self._round_trip(call.n) / 2
        await self._travel(half_trip)
        reply = refused or await self._step(call)
        await self._travel(half_trip)
        return _send(request, call, reply)

    def _refused(self, call: Call, request: web.Request) -> Reply | None:
        """What keeps a call out, decided as it arrives. Only calls with the right keys are the account's."""
        if not self._keys_fit(request):
            call.outcome = "unauthenticated"
            return Reply.json(envelope("MXInvalidAccessDetailsException", "Invalid Access Details provided."), 401)
        exceeded = self.limits.exceeded(self.clock.time(), bulk=call.endpoint == BULK)
        if exceeded is not None:
            call.outcome = "throttled"
            return self._throttle(exceeded)
        return None

    def _keys_fit(self, request: web.Request) -> bool:
        """Both transports of https://apidocs.leadsquared.com/authentication/"""
        keys = (self.options.access_key, self.options.secret_key)
        headers, query = request.headers, request.query
        return keys in (
            (headers.get("x-LSQ-AccessKey"), headers.get("x-LSQ-SecretKey")),
            (query.get("accessKey"), query.get("secretKey")),
        )

    def _throttle(self, rate: Rate) -> Reply:
        """The words are documented; 429, 403 and 200 have all been seen around them."""
        words = f"API calls exceeded the limit of {rate.limit} in {rate.period:g} second(s)"
        wait = self.options.retry_after
        headers: Mapping[str, str] = {} if wait is None else {"Retry-After": f"{wait:g}"}
        return Reply.json(envelope("MXAPIRateLimitExceededException", words), self.options.reject_as, headers)

    async def _handle(self, call: Call) -> Reply:
        """The innermost step: the call takes effect, or is refused."""
        handler = HANDLERS.get((call.method, call.endpoint))
        if handler is None:
            call.outcome = "unknown path"
            return Reply(404, b"No such API.", content_type="text/plain")
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
                loop.add_signal_handler(number, stop.set)
                handlers.callback(loop.remove_signal_handler, number)
            announce(sandbox)
            await stop.wait()


def _send(request: web.Request, call: Call, reply: Reply) -> web.Response:
    if reply.drop and request.transport is not None:
        call.status = None
        request.transport.abort()
    else:
        call.status = reply.status
    return web.Response(
        status=reply.status, body=reply.body, headers=reply.headers, content_type=reply.content_type
    )
