"""Calls to a sandbox that does not listen, as bytes come and go."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batch_share.sandbox import Sandbox
    from batch_share.sandbox.wire import Reply

KEYS = {"x-LSQ-AccessKey": "sandbox-access-key", "x-LSQ-SecretKey": "sandbox-secret-key"}


async def ask(sandbox: Sandbox, method: str, endpoint: str, body: object = None, **query: str) -> Reply:
    """A sandbox's reply to a call with the right keys."""
    call, refused = sandbox.arrive(method, endpoint, query, KEYS)
    call.body = b"" if body is None else json.dumps(body).encode()
    return await sandbox.answer(call, refused)


async def reported(sandbox: Sandbox, method: str, endpoint: str, body: object = None, **query: str) -> Any:
    """The JSON of a reply that is a success."""
    reply = await ask(sandbox, method, endpoint, body, **query)
    assert reply.status == 200, reply
    return json.loads(reply.body)
