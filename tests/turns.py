"""An account's turn, held while the body of a test goes on."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from batch_share.leadsquared.account import AccountTurn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from batch_share.common import Holder


@asynccontextmanager
async def account_turn(file: Path, on_wait: Callable[[Holder], None]) -> AsyncIterator[AccountTurn]:
    """Take it, waiting for whoever has it, and give it back whatever becomes of the body."""
    turn = AccountTurn(file, on_wait)
    await turn.take()
    try:
        yield turn
    finally:
        turn.give_back()
