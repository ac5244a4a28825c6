"""A worker: it drives what is due of the accounts whose keys it has, one job of each at a time.

It looks by itself, so that nothing that was to wake it is ever needed. That it lives shows by its one connection; a
job whose worker does not live is due again, and goes on by what its ledger holds.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import platform
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from batch_share import (
    Approval,
    ExitCode,
    ReadOptions,
    Selection,
    SheetMapping,
    SheetOptions,
    Watcher,
    check_sheet_file,
)
from batch_share.cluster.engine import waking
from batch_share.cluster.queue import JobEnd, Post, Queue, Wanted
from batch_share.common import Order, plural
from batch_share.errors import BatchShareError, LedgerLocked, SheetError, StoreTrouble
from batch_share.ledger.postgres import StoredName
from batch_share.ledger.states import PROCESSING, rows_in
from batch_share.library import BatchShare
from batch_share.logs import log
from batch_share.planning.plan import check_approval

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batch_share import Ending, Job, Overview, Settings
    from batch_share.cluster.queue import QueuedJob, Seen
    from batch_share.ledger.postgres import Store

LOOK: Final = 0.5
"""Seconds between looks: what the time is spent on until another worker has what a killed one had."""

_TOLD: Final = 2.0  # seconds between reports of how far a job is: as often as anybody looks
_TAKEN_FROM: Final = ("event", "access", "duration", "until", "dates", "note", "allow_duplicates", "renew", "force")
_AND_FROM: Final = ("timezone", "trust_owner", "header_row", "encoding")


class _Agrees(Watcher):
    """Nobody looks on: what was submitted was agreed to, and what somebody would have to be sure of is refused."""


def account_of(settings: Settings) -> str:
    """What the account in force is called where work is handed over: by its name, else by its host."""
    return settings.account or settings.credentials()[0]


def options_of(seen: Overview, settings: Settings, given: Mapping[str, Any]) -> dict[str, Any]:
    """A sheet's plan as another host can make it anew: what is set, and what was said of the sheet."""
    read, public = seen.plan.sheet.mapping, settings.public()
    told = {name: public[name] for name in (*_TAKEN_FROM, *_AND_FROM)} | dict(given)
    chosen = seen.plan.selection
    return {
        "settings": {name: value for name, value in told.items() if value not in (None, "", False)},
        "worksheet": seen.record.worksheet,
        "columns": dict(read.columns),
        "words": dict(read.words),
        "order": read.dates.value if read.dates else None,
        "limit": chosen.limit,
        "rows": [list(each) for each in chosen.ranges],
        "only": [list(each) for each in chosen.only],
    }


def sheet_options(options: Mapping[str, Any], settings: Settings) -> SheetOptions:
    """What `options_of` wrote down, to read the sheet by."""
    order = options.get("order")
    mapping = SheetMapping(options.get("columns", {}), options.get("words", {}), Order(order) if order else None)
    read = ReadOptions(
        options.get("worksheet"), settings.header_row, mapping, settings.sheet, settings.encoding or None
    )
    ranges = tuple((first, last) for first, last in options.get("rows", ()))
    only = tuple((name, value) for name, value in options.get("only", ()))
    return SheetOptions(read, Selection(options.get("limit"), ranges, only))


async def prepare(
    library: BatchShare,
    ledger: StoredName,
    sheet: Path,
    options: SheetOptions,
    approved: Path | None = None,
    given: Mapping[str, Any] | None = None,
) -> tuple[Overview, Wanted]:
    """What a sheet would do by a ledger, and the job to submit for it, which is held to just this plan.

    With `approved`, a saved plan, only if it is that. `given` are other settings that its run is to have. Raises
    SheetError, SettingsError, LedgerError, PlanChanged.
    """
    check_sheet_file(sheet)
    try:
        size = sheet.stat().st_size  # noqa: ASYNC240 - a moment
        if size > library.settings.sheet.file_mb * 1_000_000:
            wrong = f"it is larger than {library.settings.sheet.file_mb} MB, the most that sheet.file_mb allows"
            raise SheetError(sheet, wrong, problem="The sheet is larger than is allowed.")
        content = await asyncio.to_thread(sheet.read_bytes)  # before it is read: another one would be refused
    except OSError as error:
        raise SheetError(sheet, f"can't be read ({error.strerror})") from None
    settings = library.settings
    seen = await library.plan(sheet, options, ledger=ledger)
    held_to = check_approval(approved, seen.plan, settings) if approved is not None else seen.approval()
    by, told = f"{getpass.getuser()}@{platform.node()}", options_of(seen, settings, given or {})
    its = Wanted(ledger.name, account_of(settings), by, options=told, approved=held_to.model_dump())
    return seen, replace(its, sheet=(sheet.name, content))


class Worker:
    """Drives the jobs of `accounts`: by name, what gives the settings for one with what a job was told.

    `tell` is told, in a sentence, what begins and ends, and what goes wrong.
    """

    def __init__(
        self,
        store: Store,
        accounts: Mapping[str, Callable[[Mapping[str, Any]], Settings]],
        tell: Callable[[str], None],
    ) -> None:
        self._queue, self._accounts, self._tell = Queue(store), accounts, tell
        self._host = f"{platform.node()}:{os.getpid()}"
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._jobs: dict[int, Job[Ending]] = {}
        self._stopped: set[int] = set()  # those that somebody asked to end
        self._cut: set[int] = set()  # those of which nobody waits for calls under way
        self._ends: list[JobEnd] = []
        self._telling: set[asyncio.Task[None]] = set()
        self._far: dict[int, Mapping[str, Any]] = {}
        self._told = 0.0
        self._wake = threading.Event()
        self.drains = self._is_cut = self._has_place = False

    async def work(self, *, once: bool = False) -> None:
        """Until it is told to `drain`, which ends calls and gives jobs back; or `once`: what is due now.

        While the store can't be reached it is tried again each second. Raises LedgerError if its tables are not
        of this version any more.
        """
        said = ""
        # What is due now needs nobody to be called; and the engine does not always end that is only just beginning.
        engine = nullcontext() if once else waking(self._queue.store, [*self._accounts], self.wake)
        async with engine:
            while not self.drains:
                try:
                    post = await asyncio.to_thread(Post, self._queue.store, self._host, self._accounts)
                    said = ""
                    await self._serve(post, once=once)
                except StoreTrouble as error:
                    if said != str(error):
                        self._tell(f"{error} It is tried again.")
                    said = str(error)
                    await asyncio.sleep(1)
                else:
                    return

    def drain(self) -> None:
        """Take nothing more, and let what goes on end its calls."""
        self.drains = True
        for job in self._jobs.values():
            job.stop()
        self.wake()

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    async def _serve(self, post: Post, *, once: bool) -> None:
        """Look by this place in the store until it is lost, or all is done. Raises LedgerError."""
        self._ends, self._is_cut, self._has_place = [], False, True
        loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(self._look_on, post, loop, once)
        except asyncio.CancelledError:
            self._is_cut = True
            for task in self._tasks.values():
                task.cancel()
            raise
        finally:
            # Without its place whatever it has is anybody's: who holds a ledger ends its calls, and leaves it, and
            # who waits for one waits no longer.
            self._has_place = False
            for job in self._jobs.values():
                job.stop()
            self.wake()
            if under_way := {*self._tasks.values(), *self._telling}:
                await asyncio.wait(under_way)
            post.close()

    def _look_on(self, post: Post, loop: asyncio.AbstractEventLoop, once: bool) -> None:
        """In a thread of its own: a large sheet holds the loop up, and the server takes the silent for dead."""
        mine: set[int] = set()
        while not self._is_cut:
            ends, far, self._far = [*self._ends], self._far, {}
            is_last = self.drains
            seen = post.look([] if is_last else [*self._accounts], ends, far)
            del self._ends[: len(ends)]
            mine -= {end.id for end in ends}
            mine |= {job.id for job in seen.claimed}
            loop.call_soon_threadsafe(self._take, seen)
            if not mine and (is_last or (once and not seen.late)):
                return
            self._wake.wait(LOOK)
            self._wake.clear()

    def _take(self, seen: Seen) -> None:
        """Begin what was taken, and end what somebody asked to end."""
        self._stopped |= {*seen.stop}
        self._cut |= {*seen.cut}
        for job in seen.claimed:
            self._tasks[job.id] = asyncio.create_task(self._drive(job))
        for number in seen.stop:
            if number in self._jobs:
                self._jobs[number].stop()
        for number in seen.cut:
            if number in self._jobs:
                self._jobs[number].cut()
        for missed in seen.missed:
            self._tell(str(missed))
            told = self._notify("schedule", missed.account, missed.schedule, missed)
            self._telling.add(task := asyncio.create_task(told))
            task.add_done_callback(self._telling.discard)
        if self._jobs and time.monotonic() - self._told > _TOLD:
            self._told = time.monotonic()
            self._far = {number: _far(job) for number, job in self._jobs.items()}

    async def _drive(self, queued: QueuedJob) -> None:
        """Do one job, and have told how it ended."""
        if queued.stop:
            self._stopped.add(queued.id)
        end = JobEnd(queued.id, "running")  # cut off: whoever looks next goes on with it
        try:
            if not (queued.stop or self.drains):
                self._tell(f"job {queued.id} ({queued.kind} of {queued.ledger}) begins.")
                ended = await self._do(queued)
                end = self._how(queued, ended)
                if (job := self._jobs.get(queued.id)) is not None and (refused := job.progress.refusals):
                    what = f"{plural(refused, 'call')} of job {queued.id} refused as too many"
                    self._tell(f"{what}: its account's limit is lower than was known, or somebody else calls it.")
                # Of a follow-up only what it comes to, not that nothing is heard yet.
                if end.state != "running" and not (end.follows and queued.kind == "follow_up"):
                    await self._notify(queued.kind, queued.account, queued.ledger, ended, ended.summary.sheet)
            elif queued.stop:
                end = JobEnd(queued.id, "cancelled", ExitCode.INTERRUPTED)
        except (StoreTrouble, LedgerLocked) as error:  # it may pass: somebody tries again, after a rest
            end = replace(end, error=str(error), rests=True)
        except BatchShareError as error:
            end = JobEnd(queued.id, "ended", ExitCode.of(error), str(error))
            if self.drains:  # it was to end before its first call
                end = JobEnd(queued.id, "running")
            else:
                await self._notify(queued.kind, queued.account, queued.ledger, error)
        except asyncio.CancelledError:
            if self._is_cut or queued.id not in self._cut:
                raise
            end = JobEnd(queued.id, "cancelled", ExitCode.INTERRUPTED)
        except Exception as error:
            log.exception("a job failed for a reason that nobody foresaw", job=queued.id)
            words = f"batch_share has a fault of its own: {type(error).__name__}. The log has more."
            end = JobEnd(queued.id, "ended", ExitCode.NOT_DONE, words)
        finally:
            self._jobs.pop(queued.id, None)
            self._tasks.pop(queued.id, None)
            self._stopped.discard(queued.id)
            self._cut.discard(queued.id)
            self._ends.append(end)
            self.wake()
            if end.error or end.state != "running":
                how = "rests" if end.rests else end.state
                code = f" (exit {end.exit_code})" if end.exit_code is not None else ""
                self._tell(f"job {queued.id} {how}{code}. {end.error or ''}".strip())

    def _how(self, queued: QueuedJob, ending: Ending) -> JobEnd:
        """How a job ended, once it had begun."""
        number, summary = queued.id, ending.summary
        if isinstance(ending.error, (StoreTrouble, LedgerLocked)):
            return JobEnd(number, "running", error=str(ending.error), rests=True)
        states = {str(state): rows for state, rows in summary.states.items() if rows}
        far = {"phase": "", "states": states, "done": 1.0}
        if ending.interrupted and number not in self._stopped:
            return JobEnd(number, "running", progress=far)  # this worker ends, and the job does not
        error = str(ending.error) if ending.error is not None else None
        if ending.interrupted:
            return JobEnd(number, "cancelled", ending.exit_code, error, progress=far)
        waits = rows_in(summary.states, PROCESSING) + rows_in(summary.earlier, PROCESSING)
        follows = waits > 0 and error is None and queued.may_be_followed_up
        return JobEnd(number, "ended", ending.exit_code, error, progress=far, follows=follows)

    async def _notify(
        self, kind: str, account: str, ledger: str, ended: Ending | BatchShareError, file: str | None = None
    ) -> None:
        """Tell whoever the settings of the account here name, or of another one, of what came of a ledger."""
        settings_of = self._accounts.get(account) or next(iter(self._accounts.values()))
        try:
            name = StoredName(self._queue.store, ledger)
            command = kind.replace("_", "-")
            problem = await BatchShare(settings_of({})).notify(command, file or ledger, ended, ledger=name)
        except BatchShareError as error:
            problem = str(error)
        if problem:
            self._tell(problem)

    async def _do(self, queued: QueuedJob) -> Ending:
        """The job as any other, on a copy of its sheet that nobody else can read. Raises BatchShareError."""
        settings = self._accounts[queued.account](queued.options.get("settings", {}))
        if (
            "since" in queued.options
        ):  # a follow-up that comes by itself asks once, lest it hold up what else is due
            settings = settings.model_copy(update={"wait": 0.0})
        name = StoredName(self._queue.store, queued.ledger)
        library = BatchShare(settings, watcher=_Agrees(), writes_beside=False)
        library.number = queued.id
        with TemporaryDirectory(prefix="batch-share-") as folder:
            # It may be in use by a person, or by a worker that was frozen a moment ago.
            # (Nobody here would hear of its end: so it is looked, as for everything.)
            while name.exists() and library.in_use(name) and not self._is_to_end(queued.id):  # noqa: ASYNC110
                await asyncio.sleep(LOOK)
            if queued.kind == "run":
                called, content = await asyncio.to_thread(self._queue.sheet, queued)
                file = Path(folder) / Path(called).name
                await asyncio.to_thread(file.write_bytes, content)
                approved = Approval.model_validate(queued.approved) if queued.approved else None
                how = sheet_options(queued.options, settings)
                job = await library.start("run", file, how, ledger=name, approved=approved)
            else:
                told = queued.options.get("told", {})
                job = await library.start(queued.kind, name, **told)  # type: ignore[arg-type]
            self._jobs[queued.id] = job
            if self._is_to_end(queued.id):
                job.stop()
            try:
                return await job
            except asyncio.CancelledError:
                job.cut()
                await job.over()
                raise

    def _is_to_end(self, number: int) -> bool:
        return self.drains or not self._has_place or number in self._stopped


def _far(job: Job[Ending]) -> dict[str, Any]:
    """How far a job is, for whoever looks on elsewhere."""
    seen = job.progress
    plain = ("phase", "calls", "calls_per_second", "allowed_per_second", "refusals", "looked_up", "done", "eta")
    return {name: getattr(seen, name) for name in (*plain, "at_least", "stopping")} | {
        "states": {str(state): rows for state, rows in seen.states.items()}
    }
