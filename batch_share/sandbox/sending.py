"""Replies on the wire, also those that break off, drip, or never come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from batch_share.sandbox.clock import Clock
    from batch_share.sandbox.wire import Reply

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
