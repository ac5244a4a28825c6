"""Tests of the ledger run on a file, and in a store where what starts one is installed, as it is in `make test`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch_share.ledger.postgres import StoredName

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def in_file(tmp_path: Path) -> Path:
    """Where the ledger is of a test that knows of files alone."""
    return tmp_path / "leads.ledger.db"


@pytest.fixture(params=["file", "store"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path | StoredName:
    """Where the ledger of a test is."""
    if request.param == "file":
        return tmp_path / "leads.ledger.db"
    return StoredName(request.getfixturevalue("store"), str(tmp_path))
