"""Where a sheet is worked on, and where it goes. Each has a folder of its own, moved whole.

A move is one renaming: a sheet and its ledger are never apart, whenever the program is cut off. A folder's name
begins with the time at which its sheet was taken, so that no two are called the same.
"""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from batch_share.errors import BatchShareError
from batch_share.ledger.files import ledger_beside
from batch_share.outputs import names_for, write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WORKING, DONE, FAILED = "working", "done", "failed"
WHY: Final = "why.txt"
_LOCK: Final = ".batch-share-watch.lock"


@dataclass(frozen=True, slots=True)
class Case:
    """A sheet in its folder, with everything that is made of it."""

    folder: Path
    sheet: Path

    @property
    def ledger(self) -> Path:
        """Its ledger, there or not yet."""
        return ledger_beside(self.sheet)


class Places:
    """The folders of an inbox. Raises BatchShareError where one can't be made or changed."""

    def __init__(self, inbox: Path, now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)) -> None:
        if not inbox.is_dir():
            raise BatchShareError(f"{inbox} is no folder: name the one that sheets are dropped into.")
        self.inbox = inbox
        self._now = now
        self._lock = FileLock(inbox / _LOCK, mode=0o600, thread_local=False)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only one who watches. Raises BatchShareError if somebody does already."""
        self._hold()
        try:
            yield
        finally:
            self._lock.release()

    def _hold(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise BatchShareError(
                f"{self.inbox} is watched already by another batch_share process: one is enough."
            ) from None
        except OSError as error:
            raise BatchShareError(f"{self.inbox} can't be written ({error.strerror}).") from None

    def begun(self) -> list[Case]:
        """The sheets that are being worked on, or were when an earlier watch ended; the oldest first."""
        try:
            folders = sorted(self._place(WORKING).iterdir())
            return [case for folder in folders if folder.is_dir() and (case := self._case(folder)) is not None]
        except OSError as error:
            raise _unmovable(self.inbox / WORKING, error) from None

    def take(self, sheet: Path) -> Case:
        """Move a sheet out of the inbox into a folder of its own."""
        folder = self._fresh(self._place(WORKING), sheet.name)
        try:
            folder.mkdir()
            taken = sheet.rename(folder / sheet.name)
        except OSError as error:
            if folder.is_dir():
                folder.rmdir()
            raise _unmovable(sheet, error) from None
        return Case(folder, taken)

    def finish(self, case: Case, place: str, why: str = "") -> Case:
        """Move a sheet with all that was made of it to `place`; `why` is kept beside it."""
        target = self._fresh(self._place(place), case.sheet.name, case.folder.name)
        try:
            if why:
                write_private(next(file for file in names_for(case.folder / WHY) if not file.exists()), f"{why}\n")
            case.folder.rename(target)
        except OSError as error:
            raise _unmovable(case.folder, error) from None
        return Case(target, target / case.sheet.name)

    def _case(self, folder: Path) -> Case | None:
        """What a folder is of: its name ends in the sheet's. An empty one is of a move that was cut off."""
        case = Case(folder, folder / folder.name.partition("_")[2])
        if case.sheet != folder and (case.sheet.is_file() or case.ledger.is_file()):
            return case
        if not any(folder.iterdir()):
            folder.rmdir()
        return None

    def _fresh(self, place: Path, sheet: str, name: str = "") -> Path:
        """A folder that is not there yet."""
        stamp = f"{self._now():%Y%m%d-%H%M%S}"
        wanted, more = place / (name or f"{stamp}_{sheet}"), 1
        while wanted.exists():
            more += 1
            wanted = place / f"{stamp}-{more}_{sheet}"
        return wanted

    def _place(self, name: str) -> Path:
        place = self.inbox / name
        try:
            place.mkdir(exist_ok=True)
        except OSError as error:
            raise _unmovable(place, error) from None
        return place


def _unmovable(file: Path, error: OSError) -> BatchShareError:
    return BatchShareError(f"{file} can't be made or moved ({error.strerror}): the folder must be writable.")
