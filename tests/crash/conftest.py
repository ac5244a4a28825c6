"""One process that forks all others, for as long as an event loop lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from forks import Forks, forking

from batch_share.pipeline import polls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def forks() -> AsyncIterator[Forks]:
    """What starts processes."""
    async with forking() as made:
        yield made


@pytest.fixture(autouse=True)
def _asks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox of these tests processes at once."""
    monkeypatch.setattr(polls, "FIRST_PATIENCE", 0.0)
