"""batch_share for programs: what the commands do, as methods. The command line itself goes through here.

::

    async with BatchShare(settings) as bs:
        run = await bs.run("leads.csv")
        print(run.summary)
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from batch_share.common import parse_duration
from batch_share.errors import BatchShareError, SettingsError, is_blank
from batch_share.jobs import run
from batch_share.jobs.check_up import check_keys, check_up
from batch_share.jobs.purge import delete, find_old
from batch_share.jobs.retry import Wanted
from batch_share.ledger.files import ledger_beside, read_ledger
from batch_share.outputs import Named
from batch_share.planning.already_shared import known_runs, ledger_of_run
from batch_share.planning.approval import Approval
from batch_share.planning.intake import SheetJob, show_sheet
from batch_share.planning.look import look_at
from batch_share.planning.plan import SheetOptions
from batch_share.results.report import ROWS_TOLD
from batch_share.results.rows import page_of
from batch_share.sending.onlookers import check_revokes
from batch_share.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from os import PathLike
    from types import TracebackType
    from typing import Any

    from batch_share.jobs.findings import Finding
    from batch_share.jobs.purge import Sweep
    from batch_share.jobs.run import Ending
    from batch_share.ledger.states import State
    from batch_share.planning.already_shared import KnownRuns
    from batch_share.planning.look import Look
    from batch_share.planning.overview import Overview
    from batch_share.results.failed_sheet import FailedSheet
    from batch_share.results.rows import Page
    from batch_share.results.summary import Summary
    from batch_share.results.writing import Placed
    from batch_share.sending.onlookers import Doubt, Preview, Watcher
    from batch_share.sending.session import Connection
    from batch_share.settings import Settings

    Name = str | PathLike[str]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: its `phase`, the rows by state, the calls so far and per second, and refusals."""

    phase: str
    states: Mapping[State, int] = field(default_factory=dict)
    calls: int = 0
    calls_per_second: float = 0.0
    refusals: int = 0


class BatchShare:
    """All jobs with the same settings, those in force (`load_settings()`) if none are given.

    `agree` is shown what a run is about to do and says whether to; without it every run is agreed to, but for one
    that takes back more shares of earlier runs than the setting `max_revokes` allows (TooManyRevokes).
    `on_progress` is called when calls begin to be made, then every `every` seconds, and when they end; if it
    raises, the job ends in good order and raises that. A `watcher` takes the place of both. Every method raises
    BatchShareError for what stops it before its first call; what stops it later is in the Ending, with the totals.
    An argument that is None was not given; one that is empty is an error.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        agree: Callable[[Preview], bool] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        every: float = 1.0,
        watcher: Watcher | None = None,
    ) -> None:
        self._settings = settings
        self._watcher = watcher or _Callbacks(agree, on_progress, every)
        self._jobs: set[_Job] = set()

    @cached_property
    def settings(self) -> Settings:
        """Those given, else those in force; only looked for when a job needs them. Raises SettingsError."""
        return self._settings or load_settings()

    async def __aenter__(self) -> BatchShare:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End what is under way: no new calls, and those made are finished and noted. Not from other threads."""
        for job in self._jobs:
            job.stop()

    async def plan(
        self,
        sheet: Name,
        options: SheetOptions | None = None,
        *,
        ledger: Name | None = None,
        online: bool = False,
    ) -> Overview:
        """What a run of the sheet would do. No call is made, or with `online` those that look people up.

        The ledger, if there is one, is beside the sheet unless named: what it knows was sent is not sent again.
        """
        path = _file("sheet", sheet)
        named = _file("ledger", ledger) if ledger is not None else None
        show = partial(show_sheet, path, options or SheetOptions(), self.settings)
        if not online:
            return (await show(None, named))[0]
        seen, _ = await self._do(lambda watcher: show(watcher, named))
        return seen

    async def run(
        self,
        sheet: Name,
        options: SheetOptions | None = None,
        *,
        ledger: Name | None = None,
        approved: Approval | Name | None = None,
    ) -> Ending:
        """Share every lead of the sheet with its user, follow up, write the results; again, it goes on.

        The ledger is beside the sheet unless named. With `approved`, an approval or the file it was saved in, it
        runs that or nothing (PlanChanged).
        """
        job = self._job(sheet, options, ledger, approved)
        return await self._do(lambda watcher: run.run_sheet(job, self.settings, watcher))

    async def resume(self, ledger: Name) -> Ending:
        """Go on with a ledger where its run stopped, without the sheet."""
        return await self._do(lambda watcher: run.resume(_file("ledger", ledger), self.settings, watcher))

    async def reconcile(self, ledger: Name) -> Ending:
        """Settle the unknown rows of a ledger, and send nothing else."""
        return await self._do(lambda watcher: run.reconcile(_file("ledger", ledger), self.settings, watcher))

    async def retry(self, ledger: Name, *, reason: str | None = None, everything: bool = False) -> Ending:
        """Send failed rows once more, each from the step that failed: those whose reason holds `reason`.

        Rows whose reason lies in themselves, such as a lead that is not there, only with `everything`.
        """
        wanted = Wanted(reason, everything)
        return await self._do(lambda watcher: run.retry(_file("ledger", ledger), self.settings, watcher, wanted))

    async def revoke(self, ledger: Name, *, rows: str | None = None, user: str | None = None) -> Ending:
        """Take back what a ledger shared: all, the rows with these numbers (`5-40,50`), what this user has."""
        return await self._do(
            lambda watcher: run.revoke(_file("ledger", ledger), self.settings, watcher, rows=rows, user=user)
        )

    async def follow_up(self, ledger: Name) -> Ending:
        """Ask what became of every accepted share of a ledger."""
        return await self._do(lambda watcher: run.follow_up_ledger(_file("ledger", ledger), self.settings, watcher))

    async def status(self, ledger: Name) -> Summary:
        """The totals of a ledger, also while a run works on it."""
        return await run.status_of(_file("ledger", ledger))

    async def results(self, ledger: Name, target: Name | None = None) -> Placed:
        """Write a ledger's sheet with what became of each row, beside the sheet unless told where; its place.

        Raises SettingsError for a target that is there and is nothing that batch_share wrote, as it wrote it.
        """
        return await run.results_of(_file("ledger", ledger), self._named(target))

    async def report(self, ledger: Name, target: Name | None = None, *, most: int = ROWS_TOLD) -> Placed:
        """Write a ledger's report for people, one .html file, with the first `most` rows to look at."""
        return await run.report_of(_file("ledger", ledger), self._named(target), most)

    async def failed_sheet(self, ledger: Name, target: Name | None = None) -> FailedSheet:
        """Write the failed and invalid rows that can be mended, as the sheet had them, to be run by themselves.

        A .csv or .xlsx file, beside the sheet unless told where. As `results`; there is no file if there is no such
        row.
        """
        return await run.failed_sheet_of_ledger(_file("ledger", ledger), self._named(target))

    async def look(self, sheet: Name, options: SheetOptions | None = None) -> Look:
        """A sheet as it is read: its columns, what each is taken to hold, its first rows, and all that is wrong.

        No call is made and no ledger is touched. Raises SheetError where there is no table that could be shown, and
        SettingsError; what else is wrong is among the problems.
        """
        path = _file("sheet", sheet)
        return await asyncio.to_thread(look_at, path, options or SheetOptions(), self.settings)

    async def rows(
        self,
        ledger: Name,
        *,
        after: str | None = None,
        most: int = 100,
        states: Collection[State | str] | None = None,
    ) -> Page:
        """At most so many rows of a ledger, those in the sheet's order first, then those that it no longer has.

        The `next` of a page is what the following one comes `after`. With `states`, only rows in one of these. Also
        while a run works on it: each page is as of its own time. Raises LedgerError, SettingsError.
        """
        async with read_ledger(_file("ledger", ledger)) as opened:
            return await page_of(opened, after, most, states)

    async def runs(self, most: int = 20, *, add: Sequence[Name] = ()) -> KnownRuns:
        """The newest runs on this machine, so many at most, newest first.

        Ledgers that are to be `add`ed were made elsewhere, and are known from now on. Raises HistoryError,
        LedgerError.
        """
        return await known_runs(self.settings, most, [_file("add", each) for each in add])

    def ledger_of(self, named: str) -> Path:
        """The ledger of the run with this Id, or of the `last` one here. Raises LedgerError, HistoryError."""
        return ledger_of_run(self.settings, named)

    async def doctor(self) -> Sequence[Finding]:
        """Whether settings, keys, host, clock, limits and folders are well: findings, the first to mend first.

        It makes two calls, which change nothing, and raises nothing foreseeable.
        """
        return await check_up(self._settings)

    async def purge(self, older_than: str, *, force: bool = False) -> Sweep:
        """What may be deleted of runs that ended more than this time ago (`90d`, `36h`), and what is kept, and why.

        Nothing is deleted before `delete` is told to. With `force`, also what has rows that are not at their end or
        shares that are live. Raises HistoryError, SettingsError.
        """
        try:
            minutes = parse_duration(older_than)
        except ValueError as error:
            raise SettingsError("older-than", str(error)) from None
        return await find_old(self.settings, minutes, force=force)

    async def delete(self, sweep: Sweep) -> Sweep:
        """Delete what `purge` found, each ledger only if nothing has changed since. Raises HistoryError."""
        return await delete(self.settings, sweep)

    async def unchanged(
        self,
        sheet: Name,
        options: SheetOptions | None = None,
        *,
        ledger: Name | None = None,
        approved: Approval | Name | None = None,
    ) -> Summary | None:
        """The totals of the sheet's ledger if a run would do nothing now: neither has changed. None if it would.

        Rows that wait for their time are not to be done now. Raises SheetError, SettingsError, LedgerError.
        """
        return await run.unchanged(self._job(sheet, options, ledger, approved), self.settings)

    async def nothing_due(self, ledger: Name) -> Summary | None:
        """The totals of a ledger if nothing is to be done in it now, else None. Raises LedgerError."""
        return await run.nothing_due(_file("ledger", ledger))

    async def check_keys(self) -> None:
        """Ask LeadSquared whose the keys are. Raises AccessDenied, BatchShareError if they can't share."""
        await self._do(lambda watcher: check_keys(self.settings, watcher))

    def _job(
        self, sheet: Name, options: SheetOptions | None, ledger: Name | None, approved: Approval | Name | None
    ) -> SheetJob:
        path = _file("sheet", sheet)
        return SheetJob(
            path,
            _file("ledger", ledger) if ledger is not None else ledger_beside(path),
            options or SheetOptions(),
            approved if approved is None or isinstance(approved, Approval) else _file("approved", approved),
        )

    def _named(self, target: Name | None) -> Named | None:
        return None if target is None else Named("target", _file("target", target), self.settings.data_folder)

    async def _do(self, work: Callable[[Watcher], Coroutine[Any, Any, T]]) -> T:
        job = _Job(self._watcher)
        self._jobs.add(job)
        try:
            return await job.do(work)
        finally:
            self._jobs.discard(job)


def _file(argument: str, name: Name) -> Path:
    """Raises SettingsError for a name that is empty: it would be the current folder's."""
    if is_blank(os.fspath(name)):
        raise SettingsError(argument, "is empty: name a file")
    return Path(name)


class _Job:
    """One job under way: passes on what its watcher says, and the wish to stop."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._task: asyncio.Task[Any] | None = None
        self._connection: Connection | None = None
        self._is_waiting = self._stopped = self._cut = False

    async def do(self, work: Callable[[Watcher], Coroutine[Any, Any, T]]) -> T:
        """Do it. Raises BatchShareError also if it was stopped before its turn came."""
        self._task = asyncio.current_task()
        try:
            return await work(self)
        except asyncio.CancelledError:
            if not self._cut or self._task is None or self._task.uncancel():
                raise
            raise BatchShareError("Nothing was sent: it was stopped while another run used the account.") from None

    def stop(self) -> None:
        """End it as soon as its calls have an end: at once while it waits for its turn."""
        self._stopped = True
        if self._connection is not None:
            self._connection.stop.ask()
        elif self._is_waiting and self._task is not None and not self._cut:
            self._cut = True
            self._task.cancel()

    def agree(self, preview: Preview) -> bool:
        """As the watcher says."""
        return self._watcher.agree(preview)

    def is_sure(self, doubt: Doubt) -> bool:
        """As the watcher says."""
        return self._watcher.is_sure(doubt)

    def wait_turn(self, process: int | None) -> None:
        """Tell the watcher; from now on a stop cuts."""
        self._is_waiting = True
        self._watcher.wait_turn(process)
        if self._stopped:
            self.stop()

    def watch(self, session: Connection) -> AbstractAsyncContextManager[None]:
        """Let the watcher watch, and the work be stopped."""
        return self._watch(session)

    @asynccontextmanager
    async def _watch(self, session: Connection) -> AsyncIterator[None]:
        self._connection = session
        if self._stopped:
            session.stop.ask()
        async with self._watcher.watch(session):
            yield


@dataclass(frozen=True, slots=True)
class _Callbacks:
    """The Watcher of a program: no questions but those that it wants to be asked."""

    agrees: Callable[[Preview], bool] | None
    on_progress: Callable[[Progress], None] | None
    every: float

    def agree(self, preview: Preview) -> bool:
        if self.agrees is not None:
            return self.agrees(preview)
        check_revokes(preview)
        return True

    def is_sure(self, doubt: Doubt) -> bool:  # noqa: ARG002 - a program answers by its settings
        return False

    def wait_turn(self, process: int | None) -> None:  # noqa: ARG002 - as every Watcher
        if self.on_progress is not None:
            self.on_progress(Progress("waiting for another run of the account to end"))

    def watch(self, session: Connection) -> AbstractAsyncContextManager[None]:
        return self._watch(session)

    @asynccontextmanager
    async def _watch(self, session: Connection) -> AsyncIterator[None]:
        if self.on_progress is None:
            yield
            return
        telling = asyncio.create_task(_tell(session, self.on_progress, self.every))
        try:
            yield
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling
        self.on_progress(_progress(session))


async def _tell(session: Connection, on_progress: Callable[[Progress], None], every: float) -> None:
    """Tell how far it is, now and then; what the callback raises ends the work, and is raised after it."""
    try:
        while True:
            on_progress(_progress(session))
            await asyncio.sleep(every)
    except Exception:
        session.stop.ask()
        raise


def _progress(session: Connection) -> Progress:
    tally = session.tally
    states = {state: count for state, count in tally.states.items() if count}
    return Progress(tally.phase, states, tally.calls, tally.calls_per_second(), tally.refusals)
