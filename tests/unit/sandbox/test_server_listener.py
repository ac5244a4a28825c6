"""The door of the sandbox: nobody who came in is forgotten when it closes."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from batch_share.sandbox.account import Clock
from batch_share.sandbox.server import Listener

if TYPE_CHECKING:
    from collections.abc import Callable


def _leave(listener: Listener) -> None:
    listener.leave(0.0)


def _close(listener: Listener) -> None:
    _closings.append(asyncio.create_task(listener.close()))


_closings: list[asyncio.Task[None]] = []


@pytest.mark.parametrize("end", [_leave, _close])
async def test_a_connection_taken_in_the_turn_in_which_the_door_closes_is_cut(
    end: Callable[[Listener], None], recwarn: pytest.WarningsRecorder
) -> None:
    listener = Listener(web.Application(), Clock())
    await listener.open("127.0.0.1", 0)
    with socket.create_connection(listener.address) as caller:
        caller.settimeout(60)
        await asyncio.sleep(0)  # it is taken in this turn of the loop, after this test's step
        end(listener)
        assert await asyncio.to_thread(_heard, caller) == b""
    await listener.close()
    await asyncio.gather(*_closings)
    _closings.clear()
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []


def _heard(caller: socket.socket) -> bytes:
    """What the caller hears: nothing, where the connection was closed or reset."""
    try:
        return caller.recv(1)
    except ConnectionResetError:
        return b""
