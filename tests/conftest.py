"""What all tests share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_log_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A command that runs in this process writes its log where nobody minds."""
    monkeypatch.setenv("BATCH_SHARE_LOG_FOLDER", str(tmp_path_factory.getbasetemp() / "log"))
