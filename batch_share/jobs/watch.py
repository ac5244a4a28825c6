"""The watch over a folder that sheets are dropped into: one after the other is worked on and filed away.

Which files are sheets and fully written, where each is worked on, in a folder of its own that is moved whole, what
becomes of it, and a sheet that an earlier watch was cut off in: gone on with.
"""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from filelock import FileLock, Timeout

from batch_share.errors import (
    AccessDenied,
    AccountClosed,
    BatchShareError,
    DailyLimitReached,
    LedgerLocked,
    NotAnswered,
    StillThrottled,
    Unreachable,
)
from batch_share.jobs.job import do
from batch_share.jobs.outputs import nothing_due
from batch_share.jobs.run import Resume, RunSheet
from batch_share.ledger.files import LedgerName, read_ledger
from batch_share.ledger.states import rows_in
from batch_share.outputs import names_for, write_private
from batch_share.planning.intake import SheetJob
from batch_share.results.summary import ExitCode
from batch_share.sending.session import Course
from batch_share.sheet.reader import SHEET_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from batch_share.planning.plan import SheetOptions
    from batch_share.results.summary import Summary
    from batch_share.sending.onlookers import Watcher
    from batch_share.settings import Settings

WORKING, DONE, FAILED = "working", "done", "failed"
WHY: Final = "why.txt"
_LOCK: Final = ".batch-share-watch.lock"


@dataclass(frozen=True, slots=True)
class Case:
    """A sheet in its folder, with everything that is made of it."""

    folder: Path
    sheet: Path

    @property
    def ledger(self) -> LedgerName:
        """Its ledger, there or not yet."""
        return LedgerName.of_sheet(self.sheet)


class Folders:
    """The folders of an inbox. Raises BatchShareError where one can't be made or changed."""

    def __init__(self, inbox: Path, now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)) -> None:
        if not inbox.is_dir():
            raise BatchShareError(
                f"{inbox} is no folder: name the one that sheets are dropped into.",
                problem="What is to be watched is no folder.",
                hint="Name the folder that sheets are dropped into.",
            )
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
                f"{self.inbox} is watched already by another batch_share process: one is enough.",
                problem="The folder is watched already by another batch_share process.",
                hint="One is enough: leave the other one at work, or stop it.",
            ) from None
        except OSError as error:
            raise BatchShareError(
                f"{self.inbox} can't be written ({error.strerror}).",
                problem=f"The folder can't be written ({error.strerror}).",
            ) from None

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
        if case.sheet != folder and (case.sheet.is_file() or case.ledger.exists()):
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
    return BatchShareError(
        f"{file} can't be made or moved ({error.strerror}): the folder must be writable.",
        problem=f"{file.name} can't be made or moved ({error.strerror}).",
        hint="The folder must be writable.",
    )


SETTLE: Final = 5.0
"""Seconds for which a file must not have changed."""

PATIENCE: Final = 12
"""So many times as long a workbook may stay cut off, as one is whose copy has stalled."""

_ZIPPED: Final = frozenset({".xlsx", ".xlsm", ".ods"})
_PASSING: Final = ("~$", ".", "#")
"""How the names begin of files that programs keep beside the one they work on."""

_OUR_OWN: Final = re.compile(r".*\.(results|failed|plan)(-\d+)?", re.DOTALL)
"""How sheets that batch_share writes are called, before their suffix."""


def is_sheet(name: str) -> bool:
    """Whether a file of this name is a sheet that somebody dropped: no temporary file, and nothing of our own."""
    stem, dot, suffix = name.rpartition(".")
    if name.startswith(_PASSING) or not stem or f"{dot}{suffix}".lower() not in SHEET_SUFFIXES:
        return False
    return not _OUR_OWN.fullmatch(stem.lower())


@dataclass(frozen=True, slots=True)
class _Sight:
    """How a file looked, and since when it has looked so."""

    size: int
    written: int
    since: float


@dataclass(slots=True)
class Arrivals:
    """The sheets of `folder`, and how they looked at `now` and before. `now` is any clock that goes forward."""

    folder: Path
    now: Callable[[], float]
    settle: float = SETTLE
    _seen: dict[Path, _Sight] = field(default_factory=dict)

    def ready(self) -> list[Path]:
        """Look once; the sheets that are fully written, the oldest first.

        Raises OSError if the folder can't be read.
        """
        now = self.now()
        found = {file: sight for file in self.folder.iterdir() if (sight := self._look(file, now)) is not None}
        self._seen = found
        settled = [file for file, sight in found.items() if self._is_whole(file, now - sight.since)]
        return sorted(settled, key=lambda file: (found[file].written, file.name))

    def unsettled(self) -> list[Path]:
        """The sheets of the last look that were not ready and are still there."""
        return sorted(file for file in self._seen if file.is_file())

    @property
    def saw_any(self) -> bool:
        """Whether there was a sheet at the last look, ready or not."""
        return bool(self._seen)

    def _look(self, file: Path, now: float) -> _Sight | None:
        if not is_sheet(file.name):
            return None
        try:
            if not file.is_file():
                return None
            seen = file.stat()
        except OSError:  # gone again, or on its way
            return None
        before = self._seen.get(file)
        if before is not None and (before.size, before.written) == (seen.st_size, seen.st_mtime_ns):
            return before
        return _Sight(seen.st_size, seen.st_mtime_ns, now)

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


@dataclass(frozen=True, slots=True)
class SheetOutcome:
    """How the work on a sheet ended, this time: the totals if it began, and what stopped it.

    `sheet` is where it is now, in a folder with all that was made of it; the totals name the files where they were
    before it was moved there.
    """

    sheet: Path
    summary: Summary | None = None
    error: BatchShareError | None = None
    interrupted: bool = False

    @property
    def ledger(self) -> LedgerName:
        """Its ledger where it is now, if the work came so far that there is one."""
        return LedgerName.of_sheet(self.sheet)

    @property
    def exit_code(self) -> ExitCode:
        """What it would mean as the ending of a run."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.summary is None:
            return ExitCode.NOT_DONE if self.error is None else ExitCode.of(self.error)
        return self.summary.exit_code if self.error is None else ExitCode.of_ended(self.error)

    @property
    def place(self) -> str | None:
        """Where the sheet goes; None while there is something to come: rows that wait, or are processed still."""
        if self.interrupted or isinstance(self.error, (*_PASSES, AccessDenied)):
            return None
        if self.error is not None or self.summary is None:
            return FAILED
        states = self.summary.states
        if rows_in(states, lambda state: state.is_on_its_way or state.is_processing or state.is_intent):
            return None
        return DONE if self.exit_code is ExitCode.DONE else FAILED


async def work_on(
    case: Case, options: SheetOptions, settings: Settings, watcher: Watcher, course: Course | None = None
) -> SheetOutcome:
    """Do what is to be done now for a sheet. It raises nothing that is foreseeable: that is in the SheetOutcome."""
    course = course or Course()
    try:
        if not await _is_taken_in(case.ledger):
            ending = await do(RunSheet(SheetJob(case.sheet, case.ledger, options)), settings, watcher, course)
        elif (at_rest := await nothing_due(case.ledger)) is not None:
            return SheetOutcome(case.sheet, at_rest)
        else:
            # Not run: with other options than those it was taken in with, the same rows would be other ones.
            ending = await do(Resume(case.ledger), settings, watcher, course)
    except BatchShareError as error:
        # Of what a person ends before its first call nobody knows what would have become: it is gone on with later.
        by_person = course.stop.asked and course.stop.error is None
        return SheetOutcome(case.sheet, error=error, interrupted=by_person)
    return SheetOutcome(case.sheet, ending.summary, ending.error, interrupted=ending.interrupted)


async def _is_taken_in(ledger: LedgerName) -> bool:
    """Whether a ledger is there and holds a sheet. One that was cut off before it had tables is empty."""
    if not ledger.holds_anything():
        return False
    async with read_ledger(ledger) as opened:
        return await opened.sheet() is not None


T = TypeVar("T")

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
    again: float = AGAIN
    _looked: dict[Path, float] = field(default_factory=dict)

    async def once(self) -> AsyncIterator[SheetOutcome]:
        """Work on what is there, and on what settles while it is looked at twice. Raises BatchShareError."""
        async for outcome in self._round():
            yield outcome
        if self.arrivals.saw_any and not self.is_over():
            await self.sleep(self.arrivals.settle)
            async for outcome in self._round():
                yield outcome
        for sheet in self.arrivals.unsettled():
            self.trouble(f"{sheet.name}: still being written, or cut off; left for the next time.")

    async def forever(self, every: float) -> AsyncIterator[SheetOutcome]:
        """Look each `every` seconds until it is over. Raises BatchShareError for what no later look can fix."""
        troubled = ""
        while not self.is_over():
            words = ""
            try:
                async for outcome in self._round():
                    yield outcome
            except _Unusable as error:  # a folder on another machine may be gone for a while; told once
                words = str(error)
            if words and words != troubled:
                self.trouble(f"{words} It is tried again.")
            troubled = words
            if not self.is_over():
                await self.sleep(every)

    async def _round(self) -> AsyncIterator[SheetOutcome]:
        for case in self._usable(self.places.begun):
            async for outcome in self._go_on(case):
                yield outcome
        for sheet in self._usable(self.arrivals.ready):
            if self.is_over():
                return
            async for outcome in self._go_on(self._usable(partial(self.places.take, sheet))):
                yield outcome

    async def _go_on(self, case: Case) -> AsyncIterator[SheetOutcome]:
        now = self.arrivals.now()
        if self.is_over() or now - self._looked.get(case.folder, -self.again) < self.again:
            return
        outcome = await self.work(case)
        self._looked[case.folder] = self.arrivals.now()
        if outcome.place is not None:
            why = str(outcome.error) if outcome.error is not None else ""
            filed = self._usable(partial(self.places.finish, case, outcome.place, why))
            self.moved(case, filed)
            outcome = replace(outcome, sheet=filed.sheet)
        yield outcome
        if isinstance(outcome.error, AccessDenied):  # it would stop every sheet, until a person fixes it
            raise outcome.error

    def _usable(self, step: Callable[[], T]) -> T:
        try:
            return step()
        except OSError as error:
            raise _Unusable(
                f"{self.places.inbox} can't be read ({error.strerror}).",
                problem=f"The folder can't be read ({error.strerror}).",
            ) from None
        except BatchShareError as error:
            raise _Unusable(str(error), problem=error.problem, hint=error.hint) from None


class _Unusable(BatchShareError):
    """The folder can't be read or changed now."""
