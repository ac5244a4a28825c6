"""What all tests share: no keyring, since this machine's own may hold real keys, or ask for a password."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"  # for the processes that tests start, too


@pytest.fixture(autouse=True, scope="session")
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test looks into, or leaves anything in, the index and the log of the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCH_SHARE_LOG_FOLDER", str(tmp_path_factory.mktemp("log")))
        patch.setenv("BATCH_SHARE_DATA_FOLDER", str(tmp_path_factory.mktemp("data")))
        yield
