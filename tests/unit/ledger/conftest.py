"""Tests of the ledger run on a file, and in a store where what starts one is installed, as it is in `make test`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from stores import IS_INSTALLED, server

from batch_share.ledger.postgres import StoredName, shared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch_share.ledger.postgres import Store


@pytest.fixture(scope="session")
def store() -> Iterator[Store]:
    """A store with its tables, for all tests of the session: each has ledgers of its own."""
    if not IS_INSTALLED:
        pytest.skip("nothing that starts PostgreSQL is installed")
    with server() as made:
        its = made.store()
        its.init()
        yield its
        shared(its).dispose()


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
