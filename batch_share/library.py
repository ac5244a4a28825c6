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

from batch_share.errors import BatchShareError, SettingsError, is_blank
from batch_share.jobs import run
from batch_share.jobs.retry import Wanted
from batch_share.ledger.files import ledger_beside
from batch_share.outputs import Named
from batch_share.planning.intake import SheetJob, show_sheet
from batch_share.planning.plan import SheetOptions
from batch_share.sending.guards import check_revokes
from batch_share.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
    from contextlib import AbstractAsyncContextManager
    from os import PathLike
    from types import TracebackType
    from typing import Any

    from batch_share.jobs.run import Ending
    from batch_share.ledger.states import State
    from batch_share.planning.overview import Overview
    from batch_share.results.summary import Summary
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
        show = partial(show_sheet, path, options or SheetOptions.of(self.settings), self.settings)
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
        approved: Name | None = None,
    ) -> Ending:
        """Share every lead of the sheet with its user, follow up, write the results; again, it goes on.

        The ledger is beside the sheet unless named. With `approved`, a saved plan, it runs that or nothing.
        """
        path = _file("sheet", sheet)
        job = SheetJob(
            path,
            _file("ledger", ledger) if ledger is not None else ledger_beside(path),
            options or SheetOptions.of(self.settings),
            _file("approved", approved) if approved is not None else None,
        )
        return await self._do(lambda watcher: run.run_sheet(job, self.settings, watcher))

    async def resume(self, ledger: Name, *, only_unknown: bool = False) -> Ending:
        """Go on with a ledger where its run stopped, without the sheet.

        With `only_unknown`, the rows of which nobody knows are settled, and nothing else is sent.
        """
        job = run.reconcile if only_unknown else run.resume
        return await self._do(lambda watcher: job(_file("ledger", ledger), self.settings, watcher))

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

    async def results(self, ledger: Name, target: Name | None = None) -> Path:
        """Write a ledger's sheet with what became of each row, beside the sheet unless told where; its place.

        Raises SettingsError for a target that is there and is nothing that batch_share wrote, as it wrote it.
        """
        named = None
        if target is not None:
            named = Named("target", _file("target", target), self.settings.data_folder)
        return (await run.results_of(_file("ledger", ledger), named)).path

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
