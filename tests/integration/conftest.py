"""What these tests share."""

from __future__ import annotations

import asyncio

import pytest
from parsed_here import parse_here

from batch_share.sending import follow_up
from batch_share.sending.session import Stop


@pytest.fixture(autouse=True)
def _asks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox of these tests processes at once."""
    monkeypatch.setattr(follow_up, "FIRST_PATIENCE", 0.0)


@pytest.fixture(autouse=True)
def _parsed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started for a workbook: the acceptance tests start it."""
    parse_here(monkeypatch)


@pytest.fixture
def traceable_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sleep without a timeout, where nobody stops the work.

    Python 3.11 does not tell coverage.py of the lines that follow once a timeout was thrown through a coroutine.
    """

    async def sleep(_stop: Stop, seconds: float) -> None:
        await asyncio.sleep(seconds)

    monkeypatch.setattr(Stop, "sleep", sleep)
