"""What these tests share."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest

from batch_share.pipeline import polls
from batch_share.pipeline.session import Stop

HERE = Path(__file__).parent
EVERY = int(os.environ.get("EVERY", "0")) or 10
"""Of each test of this folder, every so manieth case is run: the tenth by `make test`, all by `make faults`."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the other cases."""
    seen: Counter[str] = Counter()
    left_out = []
    for item in items:
        if item.path.parent == HERE:
            seen[name := item.nodeid.partition("[")[0]] += 1
            if seen[name] % EVERY != 1 % EVERY:
                left_out.append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture(autouse=True)
def _asks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox of these tests processes at once."""
    monkeypatch.setattr(polls, "FIRST_PATIENCE", 0.0)


@pytest.fixture
def traceable_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sleep without a timeout, where nobody stops the work.

    Python 3.11 does not tell coverage.py of the lines that follow once a timeout was thrown through a coroutine.
    """

    async def sleep(_stop: Stop, seconds: float) -> None:
        await asyncio.sleep(seconds)

    monkeypatch.setattr(Stop, "sleep", sleep)
