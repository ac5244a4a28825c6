"""A ledger's file: opened alone for work, or beside others to look at it.

One process at a time writes a ledger. The lock is the operating system's, on a hidden file beside the ledger, so it
ends with its process, however that ends: a killed run leaves nothing to clean up.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from batch_share.errors import LedgerError, LedgerLocked
from batch_share.ledger import schema
from batch_share.ledger.database import Database, connect, create_private
from batch_share.ledger.reading import LedgerReader, utc_now
from batch_share.ledger.store import PROCESS, Ledger
from batch_share.outputs import is_database, is_spelled, spelled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime
    from pathlib import Path

IN_USE: Final = "another batch_share process is working on it."
WAIT: Final = "Wait for it to end, or stop it; `batch-share status` shows how far it is."


class LedgerLock:
    """Held from `acquire` to `release`. Raises LedgerLocked while another process holds it."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        real = ledger.resolve()  # two names of one file are one ledger
        self._lock = FileLock(real.with_name(f".{real.name}.lock"), mode=0o600, thread_local=False)

    def acquire(self) -> None:
        """Take the lock or say at once why not."""
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise LedgerLocked(
                self._ledger, f"{IN_USE} {WAIT}", problem=f"The ledger can't be used: {IN_USE}"
            ) from None
        except OSError as error:
            raise LedgerError(self._ledger, f"its folder can't be written ({error.strerror})") from None

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()


def ledger_beside(sheet: Path) -> Path:
    """Where the ledger of a sheet is when nobody says."""
    return sheet.with_name(f"{sheet.name}.ledger.db")


@asynccontextmanager
async def open_ledger(
    file: Path, *, host: str | None = None, now: Callable[[], datetime] = utc_now
) -> AsyncIterator[Ledger]:
    """Open a ledger for work, alone. With `host` a missing one is created, for that host.

    Raises LedgerLocked while another process has it, LedgerTooNew, and LedgerError for anything else.
    """
    if host is None:
        _must_exist(file)
    elif not file.parent.is_dir():
        raise LedgerError(file, "there is no such folder")
    lock = LedgerLock(file)
    try:
        lock.acquire()
    except LedgerLocked:
        holder, process = await _holder(file)
        whose = f" (process {process})" if process else ""
        problem = f"Another batch_share process{whose} is working on the ledger."
        raise LedgerLocked(file, f"{holder} {WAIT}", problem=problem) from None
    try:
        _must_be_one(file)
        if host is not None:
            create_private(file)
        ledger = Ledger(file, Database(connect(file), file), now)
        try:
            await ledger.prepare(host)
            yield ledger
        finally:
            await ledger.close()
    finally:
        lock.release()


@asynccontextmanager
async def read_ledger(file: Path) -> AsyncIterator[LedgerReader]:
    """Open a ledger to look at it, also while a run works on it. Raises LedgerTooNew, LedgerError.

    One of an older version is brought up to date first; LedgerLocked if its run still goes on.
    """
    _must_exist(file)
    _must_be_one(file)
    ledger = LedgerReader(file, Database(connect(file), file))
    try:
        if await ledger.schema_version() < schema.VERSION:
            async with open_ledger(file):
                pass
        yield ledger
    finally:
        await ledger.close()


async def _holder(file: Path) -> tuple[str, str | None]:
    """Who works on a ledger, as far as it tells, and the number of that process."""
    ledger = LedgerReader(file, Database(connect(file), file))
    try:
        process, runs = (await ledger.facts()).get(PROCESS), await ledger.runs()
        if process and runs and runs[-1].ended_at is None:
            since = f"{runs[-1].started_at:%Y-%m-%d %H:%M} UTC"
            return f"`{runs[-1].command}` (process {process}) is working on it since {since}.", process
    except LedgerError:
        pass
    finally:
        await ledger.close()
    return "Another batch_share process is working on it.", None


def _must_exist(file: Path) -> None:
    try:
        is_there = file.is_file()
    except OSError as error:
        raise LedgerError(file, f"it can't be looked at ({error.strerror})") from None
    if not is_there:
        raise LedgerError(
            file,
            "there is no such file. `batch-share run SHEET` makes a ledger",
            problem="There is no such ledger.",
            hint="Running a sheet makes one.",
        )


def _must_be_one(file: Path) -> None:
    """Of a file that holds anything, ask how it begins: SQLite would take one of a single byte for empty."""
    if not is_spelled(file):
        raise LedgerError(spelled(str(file)), "its name, or that of its folder, is not UTF-8: rename it")
    try:
        is_one = not file.is_file() or not file.stat().st_size or is_database(file)
    except OSError as error:
        raise LedgerError(file, f"it can't be looked at ({error.strerror})") from None
    if not is_one:
        raise LedgerError(file, "this file is no ledger, or a damaged one: name another")
