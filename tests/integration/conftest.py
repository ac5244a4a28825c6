"""What these tests share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from parsed_here import parse_here
from pydantic import SecretStr
from trial import Trial, options

from batch_share.sandbox import Sandbox
from batch_share.sending import follow_up
from batch_share.sending.session import Stop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def its_store(request: pytest.FixtureRequest) -> SecretStr | None:
    """None where ledgers are in files; where a test is `on_both`, then a store that is no other test's."""
    is_stored = getattr(request, "param", "file") == "store"
    return SecretStr(str(request.getfixturevalue("own_store"))) if is_stored else None


@pytest.fixture
async def trial(tmp_path: Path, its_store: SecretStr | None) -> AsyncIterator[Trial]:
    """What the page is to share, and a sandbox for it."""
    async with Sandbox(options()) as sandbox:
        yield Trial(tmp_path, sandbox, {"store": its_store})


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
