"""One process at a time calls an account from this machine: the limit is the account's, a pacer's calls its own.

The lock is the operating system's, so it ends with its process, however that ends: whoever waits takes over.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from batch_share.leadsquared.memory import Account, unwritable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

ASK_AGAIN: Final = 0.5
"""Seconds between two tries to get the turn."""


@asynccontextmanager
async def account_turn(file: Path, on_wait: Callable[[int | None], None]) -> AsyncIterator[None]:
    """Hold the account whose memory is `file`; waits while another process does.

    Before it waits it calls `on_wait` once, with the other's process Id if that is known. Raises BatchShareError if
    the folder can't be written.
    """
    lock = FileLock(file.with_suffix(".lock"), mode=0o600, thread_local=False)
    if not _taken(lock, file):
        on_wait(_holder(file))
        while not _taken(lock, file):  # noqa: ASYNC110 - a lock tells nobody that it is free
            await asyncio.sleep(ASK_AGAIN)
    try:
        yield
    finally:
        lock.release()


def _taken(lock: FileLock, file: Path) -> bool:
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire(timeout=0)
    except Timeout:
        return False
    except OSError as error:
        raise unwritable(file.parent, error) from None
    return True


def _holder(file: Path) -> int | None:
    """The process Id that whoever holds the account has left in its memory."""
    try:
        process = Account.read(file).process
    except OSError:
        return None
    return process if process not in {0, os.getpid()} else None
