"""One process that forks all others, for as long as an event loop lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from forks import Forks, forking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def forks() -> AsyncIterator[Forks]:
    """What starts processes."""
    async with forking() as made:
        yield made
