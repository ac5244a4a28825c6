"""The watch over a folder that sheets are dropped into: one after the other is worked on and filed away.

Which files are sheets and fully written, where each is worked on, in a folder of its own that is moved whole, what
becomes of it, and a sheet that an earlier watch was cut off in: gone on with. What needs a person's yes is held,
and whoever moves it to agreed/ has said yes: where a sheet is says all of that, also after a crash.
"""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from batch_share.errors import (
    AccessDenied,
    AccountClosed,
    BatchShareError,
    DailyLimitReached,
    LedgerLocked,
    NotAnswered,
    NotConfirmed,
    StillThrottled,
    TooManyForUser,
    TooManyRevokes,
    TooManyRows,
    Unreachable,
)
from batch_share.ledger.files import LedgerName
from batch_share.ledger.states import rows_in
from batch_share.outputs import names_for, write_private
from batch_share.results.summary import ExitCode
from batch_share.sheet.reader import SHEET_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from batch_share.jobs.job import Ending
    from batch_share.results.summary import Summary

WORKING, DONE, FAILED, HELD, AGREED = "working", "done", "failed", "held", "agreed"
WHY: Final = "why.txt"
_AGREE: Final = """
If it is right as it is, move this folder ({folder}) to {agreed}: then all of it is sent,
whatever max_rows, max_per_user and max_revokes say. If not, correct the sheet and drop it once more.
"""


class FolderTrouble(BatchShareError):
    """The folder, or something in it, can't be read or changed now: `file`, for this `error`."""

    def __init__(self, file: Path, error: OSError) -> None:
        wrong = f"can't be read, made or moved ({error.strerror})"
        super().__init__(
            f"{file} {wrong}: the folder must be writable.",
            problem=f"{file.name} {wrong}.",
            hint="The folder must be writable.",
        )


@contextmanager
def _usable(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FolderTrouble(file, error) from None


@dataclass(frozen=True, slots=True)
class Case:
    """A sheet in its folder, with everything that is made of it."""

    folder: Path
    sheet: Path

    @property
    def ledger(self) -> LedgerName:
        """Its ledger, there or not yet."""
        return LedgerName.of_sheet(self.sheet)

    @property
    def is_agreed(self) -> bool:
        """Whether a person has said yes to all of it."""
        return self.folder.parent.name == AGREED


class Folders:
    """The folders of an inbox. Raises BatchShareError where it is none, FolderTrouble where it can't be changed."""

    def __init__(self, inbox: Path, now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)) -> None:
        if not inbox.is_dir():
            raise BatchShareError(
                f"{inbox} is no folder: name the one that sheets are dropped into.",
                problem="What is to be watched is no folder.",
                hint="Name the folder that sheets are dropped into.",
            )
        self.inbox, self._now = inbox, now

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one who watches. Raises BatchShareError if somebody does already."""
        lock = FileLock(self.inbox / ".batch-share-watch.lock", mode=0o600, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BatchShareError(
                f"{self.inbox} is watched already by another batch_share process: one is enough.",
                problem="The folder is watched already by another batch_share process.",
                hint="One is enough: leave the other one at work, or stop it.",
            ) from None
        except OSError as error:
            raise FolderTrouble(self.inbox, error) from None
        try:
            yield
        finally:
            lock.release()

    def begun(self) -> list[Case]:
        """What was agreed to, then what is being worked on or was when an earlier watch ended; the oldest first."""
        with _usable(self.inbox):
            folders = [each for name in (AGREED, WORKING) for each in sorted(self.inbox.glob(f"{name}/*_*"))]
            for folder in folders:
                if folder.is_dir() and not any(folder.iterdir()):  # of a move that was cut off
                    folder.rmdir()
            # The name of a case's folder ends in the sheet's.
            cases = [Case(each, each / each.name.partition("_")[2]) for each in folders]
            return [case for case in cases if case.sheet.is_file() or case.ledger.exists()]

    def take(self, sheet: Path) -> Case:
        """Move a sheet into a folder of its own, out of the inbox or among those that were agreed to."""
        with _usable(sheet):
            folder = self._fresh(WORKING if sheet.parent == self.inbox else AGREED, sheet.name)
            folder.mkdir()
            try:
                return Case(folder, sheet.rename(folder / sheet.name))
            except OSError:
                folder.rmdir()
                raise

    def finish(self, case: Case, place: str, why: str = "") -> Case:
        """Move a sheet with all that was made of it to `place`; `why` is kept beside it."""
        with _usable(case.folder):
            target = self._fresh(place, case.sheet.name, case.folder.name)
            if place == HELD:
                agreed = self.inbox.absolute() / AGREED
                agreed.mkdir(exist_ok=True)
                why = f"{why}\n{_AGREE.rstrip().format(folder=target.absolute(), agreed=agreed)}"
            if why:
                write_private(next(file for file in names_for(case.folder / WHY) if not file.exists()), f"{why}\n")
            case.folder.rename(target)
        return Case(target, target / case.sheet.name)

    def _fresh(self, place: str, sheet: str, name: str = "") -> Path:
        """A folder that is not there yet, in one that is."""
        parent, stamp, more = self.inbox / place, f"{self._now():%Y%m%d-%H%M%S}", 1
        parent.mkdir(exist_ok=True)
        wanted = parent / (name or f"{stamp}_{sheet}")
        while wanted.exists():
            more += 1
            wanted = parent / f"{stamp}-{more}_{sheet}"
        return wanted


SETTLE: Final = 5.0
"""Seconds for which a file must not have changed."""

PATIENCE: Final = 12
"""So many times as long a workbook may stay cut off, as one is whose copy has stalled."""

_ZIPPED: Final = frozenset({".xlsx", ".xlsm", ".ods"})
_PASSING: Final = ("~$", ".", "#")
"""How the names begin of files that programs keep beside the one they work on."""

_OUR_OWN: Final = re.compile(r".*\.(results|failed|plan)(-\d+)?", re.DOTALL)
"""How sheets that batch_share writes are called, before their suffix."""


def is_sheet(file: Path) -> bool:
    """Whether its name is that of a sheet that somebody dropped: no temporary file, and nothing of our own."""
    if file.name.startswith(_PASSING) or file.suffix.lower() not in SHEET_SUFFIXES - {".txt"}:  # somebody's notes
        return False
    return not _OUR_OWN.fullmatch(file.stem.lower())


@dataclass(slots=True)
class Arrivals:
    """The sheets of `folder`, how each was last written, and since when. `now` is any clock that goes forward."""

    folder: Path
    now: Callable[[], float]
    settle: float = SETTLE
    _seen: dict[Path, tuple[tuple[int, int], float]] = field(default_factory=dict)

    def ready(self) -> list[Path]:
        """Look once; the sheets that are fully written, the oldest first. Raises FolderTrouble."""
        now = self.now()
        found: dict[Path, tuple[tuple[int, int], float]] = {}
        with _usable(self.folder):
            files = [*self.folder.iterdir(), *self.folder.glob(f"{AGREED}/*")]
        for file in filter(is_sheet, files):
            with suppress(OSError):  # gone again, or on its way
                if file.is_file():
                    written = file.stat().st_mtime_ns, file.stat().st_size
                    before, since = self._seen.get(file, (written, now))
                    found[file] = written, since if written == before else now
        self._seen = found
        whole = [file for file, (_, since) in found.items() if self._is_whole(file, now - since)]
        return sorted(whole, key=lambda file: (found[file][0][0], file.name))

    def unsettled(self) -> list[Path]:
        """The sheets of the last look that are still there."""
        return sorted(file for file in self._seen if file.is_file())

    def _is_whole(self, file: Path, quiet: float) -> bool:
        if quiet < self.settle:
            return False
        try:
            with file.open("rb"):
                pass
            is_cut_off = file.suffix.lower() in _ZIPPED and not zipfile.is_zipfile(file)
        except OSError:  # whoever writes it may keep it to himself
            return False
        return not is_cut_off or quiet >= PATIENCE * self.settle


_PASSES: Final = (Unreachable, NotAnswered, StillThrottled, AccountClosed, DailyLimitReached, LedgerLocked)
"""What is not the sheet's fault, and may be over when it is tried again."""

_NEEDS_A_YES: Final = (NotConfirmed, TooManyRows, TooManyForUser, TooManyRevokes)


@dataclass(frozen=True, slots=True)
class SheetOutcome:
    """How the work on a sheet ended, this time: as a job's Ending, or by what stopped it before its first call.

    `sheet` is where it is now, in a folder with all that was made of it; the totals name the files where they were
    before it was moved there.
    """

    sheet: Path
    ended: Ending | BatchShareError
    interrupted: bool = False

    @property
    def summary(self) -> Summary | None:
        """The totals, if it began."""
        return None if isinstance(self.ended, BatchShareError) else self.ended.summary

    @property
    def error(self) -> BatchShareError | None:
        """What stopped it."""
        return self.ended if isinstance(self.ended, BatchShareError) else self.ended.error

    @property
    def ledger(self) -> LedgerName:
        """Its ledger where it is now, if the work came so far that there is one."""
        return LedgerName.of_sheet(self.sheet)

    @property
    def exit_code(self) -> ExitCode:
        """What it would mean as the ending of a run."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        return ExitCode.of(self.ended) if isinstance(self.ended, BatchShareError) else self.ended.exit_code

    @property
    def place(self) -> str | None:
        """Where the sheet goes; None while there is something to come: rows that wait, or are processed still."""
        if self.interrupted or isinstance(self.error, (*_PASSES, AccessDenied)):
            return None
        if isinstance(self.error, _NEEDS_A_YES):
            return HELD
        if self.error is not None or self.summary is None:
            return FAILED
        states = self.summary.states
        if rows_in(states, lambda state: state.is_on_its_way or state.is_processing or state.is_intent):
            return None
        return DONE if self.summary.exit_code is ExitCode.DONE else FAILED


AGAIN: Final = 300.0
"""Seconds until a sheet is looked at again of which something is to come."""


@dataclass(slots=True)
class Watch:
    """`work` does what is to be done for a sheet; `moved` is told of each that is filed away, before and after.

    `trouble` is told of what else goes wrong and may be over later. `sleep` returns early when `is_over`.
    """

    arrivals: Arrivals
    places: Folders
    work: Callable[[Case], Awaitable[SheetOutcome]]
    moved: Callable[[Case, Case], None]
    trouble: Callable[[str], None]
    sleep: Callable[[float], Awaitable[None]]
    is_over: Callable[[], bool]
    _looked: dict[Path, float] = field(default_factory=dict)

    async def once(self) -> AsyncIterator[SheetOutcome]:
        """Work on what is there, and on what settles while it is looked at twice. Raises BatchShareError."""
        async for outcome in self._round():
            yield outcome
        if self.arrivals.unsettled() and not self.is_over():
            await self.sleep(self.arrivals.settle)
            async for outcome in self._round():
                yield outcome
        for sheet in self.arrivals.unsettled():
            self.trouble(f"{sheet.name}: still being written, or cut off; left for the next time.")

    async def forever(self, every: float) -> AsyncIterator[SheetOutcome]:
        """Look each `every` seconds until it is over. Raises BatchShareError for what no later look can fix."""
        troubled = ""
        while not self.is_over():
            try:
                async for outcome in self._round():
                    yield outcome
                troubled = ""
            except FolderTrouble as error:  # a folder on another machine may be gone for a while; told once
                if str(error) != troubled:
                    self.trouble(f"{error} It is tried again.")
                troubled = str(error)
            if not self.is_over():
                await self.sleep(every)

    async def _round(self) -> AsyncIterator[SheetOutcome]:
        due = self.arrivals.now() - AGAIN
        begun = [case for case in self.places.begun() if self._looked.get(case.folder, due) <= due]
        while not self.is_over():
            if begun:
                case = begun.pop(0)
            elif ready := self.arrivals.ready():  # looked at anew for each: the work may have taken long
                case = self.places.take(ready[0])
            else:
                return
            outcome = await self.work(case)
            self._looked[case.folder] = self.arrivals.now()
            if outcome.place is not None:
                filed = self.places.finish(case, outcome.place, str(outcome.error or ""))
                self.moved(case, filed)
                outcome = replace(outcome, sheet=filed.sheet)
            yield outcome
            if isinstance(outcome.error, AccessDenied):  # it would stop every sheet, until a person fixes it
                raise outcome.error
