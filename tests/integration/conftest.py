"""What several of these tests need."""

from __future__ import annotations

import asyncio

import pytest

from batch_share.pipeline.session import Stop


@pytest.fixture
def traceable_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sleep without a timeout, where nobody stops the work.

    Python 3.11 does not tell coverage.py of the lines that follow once a timeout was thrown through a coroutine.
    """

    async def sleep(_stop: Stop, seconds: float) -> None:
        await asyncio.sleep(seconds)

    monkeypatch.setattr(Stop, "sleep", sleep)
