"""What the tests of crashes share."""

from __future__ import annotations

import forks as forking
import pytest

from batch_share.sending import follow_up


@pytest.fixture
def forks() -> forking.Forks:
    """What starts processes."""
    return forking.forks()


@pytest.fixture(autouse=True)
def _asks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox of these tests processes at once."""
    monkeypatch.setattr(follow_up, "FIRST_PATIENCE", 0.0)
