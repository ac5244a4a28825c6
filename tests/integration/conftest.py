"""What all tests against a sandbox in this process share."""

from __future__ import annotations

import pytest

from batch_share.pipeline import polls


@pytest.fixture(autouse=True)
def _asks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox of these tests processes at once."""
    monkeypatch.setattr(polls, "FIRST_PATIENCE", 0.0)
