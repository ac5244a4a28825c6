"""What all tests share: which cases are run, and no keyring, since this machine's own may hold real keys."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from compiled import share_compiled
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stores import Server

    from batch_share.ledger.postgres import Store

os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and then lines are broken also where no terminal is

os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"  # for the processes that tests start, too

MEMORY, ROOM = "/dev/shm", 2_000_000_000
if Path(MEMORY).is_dir():  # what tests write lasts for a moment, and syncing it to a disk takes most of their time
    _file_system = os.statvfs(MEMORY)
    if _file_system.f_bavail * _file_system.f_frsize > ROOM and not _file_system.f_flag & os.ST_NOEXEC:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)

EVERY = {
    "integration": int(os.environ.get("EVERY", "0")) or 10,
    "crash": 1 if os.environ.get("KILLS") or os.environ.get("SOAK") else 6,
}
"""Of each test of these folders, every so manieth case is run by `make test`; all by `make faults` and `crash`."""

share_compiled()
settings.register_profile("here", deadline=None, derandomize=True)  # neither a busy machine nor chance is a bug
settings.load_profile("here")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the other cases."""
    seen: Counter[str] = Counter()
    left_out = set()
    for item in items:
        every = EVERY.get(item.path.parent.name, 1)
        # What runs on both engines does so always: of the two, one says nothing about the other.
        is_of_both = item.nodeid.endswith(("[file]", "[store]"))
        seen[name := item.nodeid if is_of_both else item.nodeid.partition("[")[0]] += 1
        if seen[name] % every != 1 % every:
            left_out.add(item)
    config.hook.pytest_deselected(items=[*left_out])
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def give_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make a file another user's: where only root may, by becoming another user ourselves."""
    nobody = 65_534

    def give(file: Path) -> None:
        if os.geteuid() == 0:
            os.chown(file, nobody, -1, follow_symlinks=False)
        else:
            monkeypatch.setattr("os.geteuid", lambda: nobody)

    return give


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A server for all tests of the session."""
    from stores import IS_INSTALLED, server

    from batch_share.ledger import postgres

    if not IS_INSTALLED:
        pytest.skip("nothing that starts PostgreSQL is installed")
    with server() as made, pytest.MonkeyPatch.context() as patch:
        # A machine that is busy with other tests may be silent for seconds.
        patch.setattr(postgres, "LEASE", 60.0)
        patch.setattr(postgres, "HEARD_WITHIN", 45.0)
        yield made


@pytest.fixture(scope="session")
def store(postgres_server: Server) -> Iterator[Store]:
    """A store with its tables, for all tests of the session: each has ledgers of its own."""
    from stores import with_tables

    with with_tables(postgres_server) as its:
        yield its


@pytest.fixture
def own_store(postgres_server: Server) -> Iterator[Store]:
    """A store with its tables, in which no other test has a ledger."""
    from stores import with_tables

    with with_tables(postgres_server) as its:
        yield its


@pytest.fixture(autouse=True, scope="session")
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test looks into, or leaves anything in, the settings, the index and the log of the person who runs it.

    Nor does it depend on their umask: what others could write sets nothing.
    """
    os.umask(0o022)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCH_SHARE_LOG_FOLDER", str(tmp_path_factory.mktemp("log")))
        patch.setenv("BATCH_SHARE_DATA_FOLDER", str(tmp_path_factory.mktemp("data")))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield
