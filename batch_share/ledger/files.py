"""A ledger by its name, be it a file or in a store: opened alone for work, or beside others to look at it.

Nothing else knows which it is: it is asked by name what is to be known of it.

One process at a time writes a ledger. The lock of a file is the operating system's, on a hidden file beside it, so
it ends with its process, however that ends: a killed run leaves nothing to clean up.
"""

from __future__ import annotations

import getpass
import os
import platform
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from filelock import FileLock, Timeout

from batch_share.common import spell_time, utc_now
from batch_share.errors import (
    CAN_T_BE_USED,
    IN_USE,
    WAIT,
    LedgerError,
    LedgerLocked,
    LedgerMoved,
    SettingsError,
    spelled,
)
from batch_share.ledger import schema
from batch_share.ledger.database import Database, connect, create_private, end_move
from batch_share.ledger.reading import LedgerReader
from batch_share.ledger.store import Ledger
from batch_share.outputs import check_apart, is_database, is_spelled, temporary_for
from batch_share.settings import STORES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from datetime import datetime
    from os import PathLike

    from pydantic import SecretStr

    from batch_share.outputs import Named


@dataclass(frozen=True, slots=True)
class LedgerName:
    """Which ledger is meant, be it there or not: a file here. `str()` is what people and commands call it.

    Make one with `LedgerName.of`. Two are equal that are called the same; of `resolved` ones, if they are the same.
    """

    _file: Path
    in_store: ClassVar[bool] = False

    now = staticmethod(utc_now)  # by the clock that its jobs go by: of a file, this machine's

    @classmethod
    def of(cls, named: str | PathLike[str] | LedgerName, store: SecretStr | None = None) -> LedgerName:
        """The ledger that is called so: a file, by its path; or in the `store` in force, by its name there.

        One in whichever store is called by the store's URL, then `#` and its name. Raises SettingsError for a URL
        that is none.
        """
        if isinstance(named, LedgerName):
            return named
        name, url = os.fspath(named), store and store.get_secret_value()
        if url is None and not name.startswith(STORES):
            return LedgerName(Path(named))
        from batch_share.ledger.postgres import Store, StoredName  # noqa: PLC0415 - for few, and it takes time

        there = Store.of(url) if url else None  # first: it may have the password of a store that is named without
        if name.startswith(STORES):
            url, _, name = name.partition("#")
            there = Store.of(url)
        if there is None or not name:
            raise SettingsError("ledger", "a ledger in a store is named by its URL, then # and its name")
        return StoredName(there, name)

    @classmethod
    def of_sheet(cls, sheet: Path, store: SecretStr | None = None) -> LedgerName:
        """The ledger of a sheet when nobody names one: beside it, or in the `store` in force.

        There it is this user's, of this machine: no two people's sheets are in one ledger.
        """
        if store is None:
            return LedgerName(sheet.with_name(f"{sheet.name}.ledger.db"))
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container's may have no name
            user = str(os.getuid())
        return cls.of(f"{user}@{platform.node()}:{spelled(os.path.abspath(sheet))}", store)  # noqa: PTH100 - no ..

    def __str__(self) -> str:
        return str(self._file)

    def as_file(self) -> Path:
        """Its file."""
        return self._file

    @property
    def short(self) -> str:
        """What it is called by somebody who knows where it is."""
        return self._file.name

    def absolute(self) -> LedgerName:
        """The same by a name that is good everywhere on this machine."""
        return LedgerName(self._file.absolute())

    def resolved(self) -> LedgerName:
        """The same by its one name: through links and all, two names of one file are one ledger."""
        return LedgerName(self._file.resolve())

    def exists(self) -> bool:
        """Whether it is there. Raises LedgerError if that can't be told."""
        return self.size() is not None

    def size(self) -> int | None:
        """Bytes; None if it is not there, 0 if a run was killed as it began. Raises LedgerError."""
        try:
            return self._file.stat().st_size if self._file.is_file() else None
        except OSError as error:
            raise LedgerError(self, f"it can't be looked at ({error.strerror})") from None

    def beside(self, name: str) -> Path:
        """The file of this name that lies, or would lie, beside it."""
        return self._file.absolute().with_name(name)

    def place(self) -> tuple[int, int] | None:
        """What tells it from another in its place; None if none is there."""
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def stamp(self) -> str | None:
        """Another one whenever it was written, or another ledger is in its place; None if none is there."""
        try:
            found = self._file.stat()
        except OSError:
            return None
        return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"

    def files(self) -> list[Path]:
        """The files that it is made of and that are there: itself first, its lock last."""
        log, memory = (self._file.with_name(self._file.name + suffix) for suffix in ("-wal", "-shm"))
        return [file for file in (self._file, log, memory, self.lock_file) if file.is_file()]

    @property
    def lock_file(self) -> Path:
        """The file that is locked while somebody works on it."""
        real = self._file.resolve()
        return real.with_name(f".{real.name}.lock")

    def check_apart(self, *named: Named | None) -> None:
        """Raises SettingsError if two of these are one file, or one is where the ledger is to be."""
        check_apart(self._file, *named)

    @contextmanager
    def locked(self, patience: float = 0.2) -> Iterator[None]:
        """Hold its lock. Raises LedgerLocked while another process does, LedgerError.

        It is waited for `patience` seconds, for whoever looks whether somebody has it takes it for a moment.
        """
        lock = FileLock(self.lock_file, mode=0o600, thread_local=False)
        try:
            lock.acquire(timeout=patience, poll_interval=0.02)
        except Timeout:
            raise LedgerLocked(self, f"{IN_USE} {WAIT}", problem=CAN_T_BE_USED) from None
        except OSError as error:
            raise LedgerError(self, f"its folder can't be written ({error.strerror})") from None
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def becoming(self) -> Iterator[Path]:
        """A file that is to be this ledger's, once it is whole and on the disk. Raises LedgerError if one is there.

        Never in the place of one: whoever still looks at that has its log open, by this name.
        """
        if self.exists() or any(file != self.lock_file for file in self.files()):
            raise LedgerError(
                self,
                "there is a file already, so nothing was moved: name another, or delete it if nothing needs it",
                problem="There is a file of this name already.",
                hint="Choose another name.",
            )
        try:
            with temporary_for(self._file) as temporary:
                yield temporary
                with temporary.open("rb+") as written:
                    os.fsync(written.fileno())
                temporary.replace(self._file)
                if os.name == "posix":
                    folder = os.open(self._file.absolute().parent, os.O_RDONLY)
                    try:
                        os.fsync(folder)
                    finally:
                        os.close(folder)
        except OSError as error:
            raise LedgerError(self, f"it can't be written ({error.strerror})") from None

    @contextmanager
    def working(self, *, make: bool) -> Iterator[Database]:
        """Hold its lock, and work on it; `make` it if it is not there. Raises as `locked`, and LedgerError."""
        if not make:
            self.check_exists()
        elif not self._file.parent.is_dir():
            raise LedgerError(self, "there is no such folder")
        with self.locked():
            database = self.database()
            if make:
                create_private(self._file)
            yield database

    def database(self) -> Database:
        """What is worked with, or looked at. Raises LedgerError if something else is there."""
        # Of a file that holds anything it is asked how it begins: SQLite would take one of a single byte for empty.
        if not is_spelled(self._file):
            raise LedgerError(spelled(str(self)), "its name, or that of its folder, is not UTF-8: rename it")
        try:
            is_one = not self.size() or is_database(self._file)
        except OSError as error:
            raise LedgerError(self, f"it can't be looked at ({error.strerror})") from None
        if not is_one:
            raise LedgerError(
                self,
                "this file is no ledger, or a damaged one: name another",
                problem="The ledger is damaged, or its file holds something else.",
                hint="If there is a copy of it, put that in its place.",
            )
        return Database(connect(self._file), self)

    def check_exists(self) -> None:
        """Raises LedgerError if it is not there."""
        if not self.exists():
            raise LedgerError(
                self,
                "there is no such file. `batch-share run SHEET` makes a ledger",
                problem="There is no such ledger.",
                hint="Running a sheet makes one.",
            )


@asynccontextmanager
async def open_ledger(
    name: LedgerName, *, host: str | None = None, now: Callable[[], datetime] | None = None
) -> AsyncIterator[Ledger]:
    """Open a ledger for work, alone. With `host` a missing one is created, for that host.

    What it notes has the time of its store: what one host noted, another one waits by.

    Raises LedgerLocked while another process has it, LedgerTooNew, and LedgerError for anything else.
    """
    async with AsyncExitStack() as stack:
        try:
            database = stack.enter_context(name.working(make=host is not None))
        except LedgerLocked:
            holder, process = await _holder(name)
            whose = f" (process {process})" if process else ""
            problem = f"Another batch_share process{whose} is working on the ledger."
            raise LedgerLocked(name, f"{holder} {WAIT}", problem=problem) from None
        ledger = Ledger(name, database, now or (database.held.now if database.held is not None else utc_now))
        stack.push_async_callback(ledger.close)
        try:
            await ledger.prepare(host)
        except LedgerMoved as moved:
            if not moved.on_its_way or not await was_moved(LedgerName.of(moved.other), name):
                raise
            await database.write(end_move)  # which was cut off just before
            await ledger.prepare(host)
        yield ledger


@asynccontextmanager
async def read_ledger(name: LedgerName) -> AsyncIterator[LedgerReader]:
    """Open a ledger to look at it, also while a run works on it. Raises LedgerTooNew, LedgerError.

    One of an older version is brought up to date first; LedgerLocked if its run still goes on. LedgerMoved where it
    is elsewhere now.
    """
    name.check_exists()
    ledger = LedgerReader(name, name.database())
    try:
        try:
            is_of_now = await ledger.schema_version() == schema.VERSION
        except LedgerMoved as moved:
            if not moved.on_its_way:
                raise
            is_of_now = False  # if it is the ledger by now, whoever opens it says so
        if not is_of_now:
            async with open_ledger(name):
                pass
        yield ledger
    finally:
        await ledger.close()


async def was_moved(source: LedgerName, to: LedgerName) -> bool:
    """Whether a ledger says that it was moved to this one. Raises LedgerError where that can't be told."""
    try:
        async with read_ledger(source):
            return False
    except LedgerMoved as moved:
        return not moved.on_its_way and moved.other == str(to.resolved())


async def _holder(name: LedgerName) -> tuple[str, str | None]:
    """Who works on a ledger, as far as it tells, and the number of that process."""
    with suppress(LedgerError):
        ledger = LedgerReader(name, name.database())
        try:
            process, runs = (await ledger.facts()).process, await ledger.runs()
        finally:
            await ledger.close()
        if process and runs and runs[-1].ended_at is None:
            since = spell_time(runs[-1].started_at)
            return f"`{runs[-1].command}` (process {process}) is working on it since {since}.", process
    return "Another batch_share process is working on it.", None
