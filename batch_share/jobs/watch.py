"""The watch over a folder that sheets are dropped into: one after the other is worked on and filed away.

Each is worked on in a folder of its own, that is moved whole with all that was made of it; so where a sheet is says
what became of it, also after a crash. What needs a person's yes is held: moved back, or to agreed/, it is sent.
"""

from __future__ import annotations

import re
import time
import zipfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from batch_share.common import utc_now
from batch_share.errors import NEEDS_A_YES, PASSING, AccessDenied, BatchShareError
from batch_share.jobs.job import Ending
from batch_share.jobs.outputs import is_agreed_to, nothing_due
from batch_share.jobs.run import Resume, RunSheet
from batch_share.ledger.files import LedgerName
from batch_share.ledger.states import INTENTS, ON_ITS_WAY, PROCESSING, rows_in
from batch_share.outputs import names_for, write_private
from batch_share.planning.already_shared import note_move
from batch_share.planning.intake import SheetJob
from batch_share.results.wording import ExitCode, spell_release
from batch_share.sheet.reader import SHEET_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from contextlib import AbstractContextManager

    from batch_share.jobs.job import Kind
    from batch_share.planning.plan import SheetOptions
    from batch_share.results.wording import Summary
    from batch_share.sending.session import Stop
    from batch_share.settings import Settings

WORKING, DONE, FAILED, HELD, AGREED = "working", "done", "failed", "held", "agreed"
WHY: Final = "why.txt"
SETTLE: Final = 5.0
"""Seconds for which a file must not have changed."""

PATIENCE: Final = 12
"""So many times as long a workbook may stay cut off, as one is whose copy has stalled."""

AGAIN: Final = 300.0
"""Seconds until a sheet is looked at again of which something is to come."""


class FolderTrouble(BatchShareError):
    """The folder, or something in it, can't be read, made or moved now."""


@contextmanager
def _usable(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        wrong, hint = f"can't be read, made or moved ({error.strerror})", "The folder must be writable."
        raise FolderTrouble(f"{file} {wrong}. {hint}", problem=f"{file.name} {wrong}.", hint=hint) from None


def is_sheet(file: Path) -> bool:
    """Whether its name is that of a sheet that somebody dropped: no temporary file, and nothing of our own."""
    if file.name.startswith(("~$", ".", "#")) or file.suffix.lower() not in SHEET_SUFFIXES - {".txt"}:  # notes
        return False
    return not re.fullmatch(r".*\.(results|failed|plan)(-\d+)?", file.stem.lower(), re.DOTALL)


class Inbox:
    """The `folder` that sheets are dropped into, with those that they are moved to, each in one of its own.

    A sheet is taken that has not changed for `settle` seconds, by any `clock` that goes forward. Raises
    BatchShareError where it is no folder, FolderTrouble where it can't be changed.
    """

    def __init__(self, folder: Path, settle: float = SETTLE, clock: Callable[[], float] = time.monotonic) -> None:
        if not folder.is_dir():
            raise BatchShareError(
                f"{folder} is no folder: name the one that sheets are dropped into.",
                problem="What is to be watched is no folder.",
                hint="Name the folder that sheets are dropped into.",
            )
        self.folder, self.settle, self.clock = folder, settle, clock
        self.unsettled: dict[Path, tuple[tuple[int, int], float]] = {}  # how each was last written, since when

    def locked(self) -> AbstractContextManager[object]:
        """Be the only one who watches, until that is left. Raises BatchShareError if somebody does already."""
        lock = FileLock(self.folder / ".batch-share-watch.lock", mode=0o600, thread_local=False)
        with _usable(self.folder):
            try:
                return lock.acquire(timeout=0)
            except Timeout:
                raise BatchShareError(
                    f"{self.folder} is watched already by another batch_share process: one is enough.",
                    problem="The folder is watched already by another batch_share process.",
                    hint="One is enough: leave the other one at work, or stop it.",
                ) from None

    def begun(self) -> list[Path]:
        """Sheets that were agreed to, then those being worked on, now or in an earlier watch; the oldest first."""
        with _usable(self.folder):
            for held in self.folder.glob(f"*_*/.{HELD}"):  # moved back: agreed to as well
                held.parent.rename(self._fresh(AGREED, held.parent.name))
            folders = [each for name in (AGREED, WORKING) for each in sorted(self.folder.glob(f"{name}/*_*"))]
            for folder in folders:
                if folder.is_dir() and not any(folder.iterdir()):  # of a move that was cut off
                    folder.rmdir()
            sheets = [each / each.name.partition("_")[2] for each in folders]
            return [sheet for sheet in sheets if sheet.is_file() or LedgerName.of_sheet(sheet).exists()]

    def ready(self) -> list[Path]:
        """Look once; the sheets that are fully written, the oldest first."""
        now, seen, self.unsettled = self.clock(), self.unsettled, {}
        with _usable(self.folder):
            files = [*self.folder.iterdir(), *self.folder.glob(f"{AGREED}/*")]
        for file in filter(is_sheet, files):
            with suppress(OSError):  # gone again, or on its way
                if file.is_file():
                    written = file.stat().st_mtime_ns, file.stat().st_size
                    before, since = seen.get(file, (written, now))
                    self.unsettled[file] = written, since if written == before else now
        whole = [file for file, (_, since) in self.unsettled.items() if self._is_whole(file, now - since)]
        return sorted(whole, key=lambda file: (self.unsettled[file][0][0], file.name))

    def _is_whole(self, file: Path, quiet: float) -> bool:
        if quiet < self.settle:
            return False
        try:
            with file.open("rb"):
                is_cut_off = file.suffix.lower() in {".xlsx", ".xlsm", ".ods"} and not zipfile.is_zipfile(file)
        except OSError:  # whoever writes it may keep it to himself
            return False
        return not is_cut_off or quiet >= PATIENCE * self.settle

    def take(self, sheet: Path) -> Path:
        """Move a sheet into a folder of its own, out of the inbox or among those that were agreed to."""
        with _usable(sheet):
            place = WORKING if sheet.parent == self.folder else AGREED
            folder = self._fresh(place, f"{utc_now():%Y%m%d-%H%M%S}_{sheet.name}")
            self.unsettled.pop(sheet, None)
            folder.mkdir()
            try:
                return sheet.rename(folder / sheet.name)
            except OSError:
                folder.rmdir()
                raise

    def finish(self, sheet: Path, place: str, why: str = "") -> Path:
        """Move a sheet with all that was made of it to `place`; `why` is kept beside it."""
        with _usable(sheet.parent):
            target = self._fresh(place, sheet.parent.name)
            sheet.with_name(f".{HELD}").unlink(missing_ok=True)
            if place == HELD:
                (agreed := self.folder.absolute() / AGREED).mkdir(exist_ok=True)
                sheet.with_name(f".{HELD}").touch()
                why = f"{why}\n\n{spell_release(target.absolute(), agreed)}"
            if why:
                free = (file for file in names_for(sheet.with_name(WHY)) if not file.exists())
                write_private(next(free), f"{why}\n")
            return sheet.parent.rename(target) / sheet.name

    def _fresh(self, place: str, name: str) -> Path:
        """A folder that is not there yet, in one that is; what its name says behind the time is kept."""
        (parent := self.folder / place).mkdir(exist_ok=True)
        stamp, _, sheet = name.partition("_")
        names = chain([name], (f"{stamp}-{number}_{sheet}" for number in count(2)))
        return next(folder for folder in map(parent.joinpath, names) if not folder.exists())


@dataclass(frozen=True, slots=True)
class SheetOutcome:
    """How the work on a sheet `ended`, this time: as a job's Ending, or by what stopped it before its first call.

    `sheet` is where it is now, in a folder with all that was made of it; the totals name the files where they were
    before it was moved there. `interrupted`: a person stopped it.
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
        """Its ledger where it is now, there or not."""
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
        if self.interrupted or isinstance(self.error, (*PASSING, AccessDenied)):
            return None
        if isinstance(self.error, NEEDS_A_YES):
            return HELD
        if self.error is not None or self.summary is None:
            return FAILED
        states = self.summary.states
        if rows_in(states, (*ON_ITS_WAY, *PROCESSING, *INTENTS)):
            return None
        return DONE if self.summary.exit_code is ExitCode.DONE else FAILED

    @property
    def release(self) -> str:
        """How a sheet that is held is sent after all; "" for others. Where the inbox itself is, it does not say."""
        if self.place != HELD:
            return ""
        folder, *_, inbox = self.sheet.absolute().parents[:3]
        return spell_release(folder.relative_to(inbox.parent), Path(inbox.name, AGREED))


@dataclass(slots=True)
class Watch:
    """Runs each sheet of an inbox by these options, until `stop` is asked. Raises BatchShareError.

    `run` does a job with these settings, agreed to or not. `trouble` is told, in a sentence, of what goes wrong and
    may be over later.
    """

    inbox: Inbox
    settings: Settings
    options: SheetOptions
    run: Callable[[Kind, Settings, bool], Awaitable[Ending]]
    stop: Stop
    trouble: Callable[[str], None]
    _looked: dict[Path, float] = field(default_factory=dict)

    async def outcomes(self, every: float, *, once: bool) -> AsyncIterator[SheetOutcome]:
        """Look each `every` seconds, until it is to end or for what no later look can fix.

        Or `once`: work on what is there, and on what settles while it is looked at twice.
        """
        troubled, looks = "", 0
        while not self.stop.asked:
            try:
                async for outcome in self._round():
                    yield outcome
                troubled = ""
            except FolderTrouble as error:  # a folder on another machine may be gone for a while; told once
                if once:
                    raise
                if str(error) != troubled:
                    self.trouble(f"{error} It is tried again.")
                troubled = str(error)
            looks += 1
            if once and (looks == 2 or not self.inbox.unsettled):
                break
            await self.stop.sleep(self.inbox.settle if once else every)
        for sheet in self.inbox.unsettled if once else ():
            self.trouble(f"{sheet.name}: still being written, or cut off; left for the next time.")

    async def _round(self) -> AsyncIterator[SheetOutcome]:
        due = self.inbox.clock() - AGAIN
        begun = [sheet for sheet in self.inbox.begun() if self._looked.get(sheet, due) <= due]
        while not self.stop.asked:
            if begun:
                sheet = begun.pop(0)
            elif ready := self.inbox.ready():  # looked at anew for each: the work may have taken long
                sheet = self.inbox.take(ready[0])
            else:
                return
            outcome = await self._work(sheet)
            self._looked[sheet] = self.inbox.clock()
            if outcome.place is not None:
                filed = self.inbox.finish(sheet, outcome.place, str(outcome.error or ""))
                if (moved := LedgerName.of_sheet(filed)).exists():
                    note_move(self.settings, LedgerName.of_sheet(sheet), moved, self.trouble)
                outcome = replace(outcome, sheet=filed)
            yield outcome
            if isinstance(outcome.error, AccessDenied):  # it would stop every sheet, until a person fixes it
                raise outcome.error

    async def _work(self, sheet: Path) -> SheetOutcome:
        ledger, settings, is_agreed = LedgerName.of_sheet(sheet), self.settings, sheet.parents[1].name == AGREED
        if is_agreed:
            settings = settings.model_copy(update={"max_rows": None, "max_per_user": None})
        job: Kind = RunSheet(SheetJob(sheet, ledger, self.options))
        try:
            if await is_agreed_to(ledger):
                if (at_rest := await nothing_due(ledger)) is not None:
                    return SheetOutcome(sheet, Ending(at_rest))
                # Not run: with other options than it was taken in with, the same rows would be other ones.
                job = Resume(ledger)
            ending = await self.run(job, settings, is_agreed)
        except BatchShareError as error:
            # Of what a person ends before its first call nobody knows what would have become: it stays.
            return SheetOutcome(sheet, error, interrupted=self.stop.asked)
        if ending.interrupted:
            self.stop.ask()
        return SheetOutcome(sheet, ending, ending.interrupted)
