"""batch_share for programs: what the commands do, as methods. The command line itself goes through here.

::

    async with BatchShare(settings) as bs:
        run = await bs.run("leads.csv")
        print(run.summary)
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property, partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypedDict, TypeVar

from batch_share.common import parse_duration
from batch_share.errors import (
    BatchShareError,
    LedgerError,
    LedgerLocked,
    NotConfirmed,
    SettingsError,
    check_not_empty,
    is_blank,
)
from batch_share.jobs import outputs
from batch_share.jobs.check_up import check_keys, check_up
from batch_share.jobs.job import Ending, do
from batch_share.jobs.purge import delete, find_old
from batch_share.jobs.revoke import Revoke, would_revoke
from batch_share.jobs.run import (
    AuditLedger,
    FollowUp,
    Reconcile,
    Resume,
    RetryFailed,
    RunSheet,
    Wanted,
    is_hopeless,
)
from batch_share.jobs.verify import Verification, Verified
from batch_share.jobs.watch import SETTLE, Inbox, SheetOutcome, Watch
from batch_share.ledger.files import LedgerName, read_ledger
from batch_share.outputs import Named
from batch_share.planning.access import who_has_access
from batch_share.planning.already_shared import (
    choose_renewals,
    forget_job,
    known_runs,
    ledger_meant,
    note_move,
)
from batch_share.planning.corrections import correct
from batch_share.planning.intake import SheetJob, show_sheet
from batch_share.planning.overview import look_at
from batch_share.planning.plan import Approval, SheetOptions, check_options
from batch_share.results.answers import page_of
from batch_share.results.notify import check_target
from batch_share.results.report import ROWS_REPORTED, reported, troubled
from batch_share.sending.onlookers import Watcher, log_error
from batch_share.sending.session import Course, Stop
from batch_share.settings import load_settings, store_in_force

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Collection,
        Coroutine,
        Generator,
        Mapping,
        Sequence,
    )
    from os import PathLike
    from types import TracebackType
    from typing import Unpack

    from pydantic import SecretStr

    from batch_share.common import Correction
    from batch_share.jobs.check_up import Finding
    from batch_share.jobs.job import Kind
    from batch_share.jobs.purge import Sweep
    from batch_share.jobs.revoke import Revocation
    from batch_share.ledger.known import KnownRun
    from batch_share.ledger.postgres import Store
    from batch_share.ledger.states import State
    from batch_share.planning.access import Access
    from batch_share.planning.already_shared import KnownRuns
    from batch_share.planning.overview import Look, Overview, PlanFiles
    from batch_share.results.answers import FailedSheet, LedgerRow, Page
    from batch_share.results.wording import Summary
    from batch_share.results.writing import Placed
    from batch_share.sending.onlookers import Doubt, Preview, Progress
    from batch_share.settings import Settings

    Name = str | PathLike[str]
    LedgerLike = Name | LedgerName

T = TypeVar("T")

_ROWS_AT_ONCE: Final = 500
"""Rows of a page that nobody sees: few calls of the ledger, and little memory."""

JobKind = Literal["run", "resume", "retry", "revoke", "follow_up", "audit"]


class JobOptions(TypedDict, total=False):
    """What a job can be told besides its file; `BatchShare.start` says which kind takes what."""

    ledger: LedgerLike | None
    approved: Approval | Name | None
    only_unknown: bool
    reason: str | None
    everything: bool
    rows: str | None
    user: str | None


class Job(Generic[T]):
    """A job that goes on: looked at, waited for, stopped, cut. `BatchShare.start` makes it.

    `await job` gives its Ending, as often as it is awaited. It raises BatchShareError for what stopped the job
    before its first call, CancelledError if it was cut, and whatever a callback raised or nobody foresaw. Whoever
    awaits it may be cancelled: the job goes on.

    `async for progress in job` gives its Progress: at once, then now and then (`BatchShare(every=)`, in seconds),
    and once more when it has ended. Each reader reads for itself, and a slow one gets what is newest by then.

    `id` is the job's alone, `kind` is as it was started.
    """

    def __init__(
        self,
        kind: str,
        ledger: Callable[[], LedgerName | None] | None,
        work: Callable[[Course], Coroutine[Any, Any, T]],
        on_progress: Callable[[Progress], None] | None,
        every: float,
    ) -> None:
        self.id, self.kind, self._ledger = secrets.token_hex(16), kind, ledger
        self._course, self._every = Course(), every
        self._last: Progress | None = None
        self._work = asyncio.create_task(self._do(work))
        self._whole = self._work if on_progress is None else asyncio.create_task(self._tell(on_progress))

    @property
    def ledger(self) -> LedgerName | None:
        """Its ledger, there or not yet: of a sheet of failed rows that of their own job, once it was read."""
        return self._ledger() if self._ledger is not None else None

    @property
    def preview(self) -> Preview | None:
        """What it is about to do, as it was last shown to whoever agrees; None before, or if nobody is asked."""
        return self._course.preview

    @property
    def progress(self) -> Progress:
        """How far it is now; how far it came, once it has ended."""
        return self._last or self._course.progress(self.id)

    @property
    def is_done(self) -> bool:
        """Whether it has ended, so that awaiting it takes no time."""
        return self._whole.done()

    def stop(self) -> None:
        """End it in good order: no new calls, and those made are finished and noted. Not from other threads."""
        self._course.stop.ask()

    def cut(self) -> None:
        """End it where it is: what became of a call under way nobody knows then, and the next run settles that."""
        self._work.cancel()

    async def over(self) -> None:
        """Wait until it has ended, however that is; raises nothing of it."""
        await asyncio.wait((self._whole,))
        if not self._whole.cancelled():
            self._whole.exception()  # looked at, so that nobody is told that nobody did

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.shield(self._whole).__await__()

    async def __aiter__(self) -> AsyncIterator[Progress]:
        while not self._work.done():
            yield self.progress
            await asyncio.wait((self._work,), timeout=self._every)
        yield self.progress

    async def _do(self, work: Callable[[Course], Coroutine[Any, Any, T]]) -> T:
        try:
            return await work(self._course)
        except BatchShareError as error:
            log_error(error)
            raise
        finally:
            self._last = self._course.progress(self.id)

    async def _tell(self, on_progress: Callable[[Progress], None]) -> T:
        """The work's end, once the callback has heard of it; what that raises ends the work, and is raised then."""
        try:
            async for progress in self:
                on_progress(progress)
        except Exception:
            self.stop()
            await asyncio.wait((self._work,))
            raise
        return await self._work


class BatchShare:
    """All jobs with the same settings, those in force (`load_settings()`) if none are given.

    `agree` is shown what a run is about to do and says whether to; without it every run is agreed to, but for one
    that revokes more shares of earlier runs than the setting `max_revokes` allows (TooManyRevokes). It may be
    async, and take its time: other jobs have the account meanwhile, and it is asked again if by then there is more
    to do, or something else, than it agreed to.
    `on_progress` is called when a job begins, then every `every` seconds, and when it has ended; if it raises, the
    job ends in good order and raises that. A `watcher` takes the place of both.

    `start` begins a job and returns; `run` and the others are that, and wait for its Ending. They raise
    BatchShareError for what stops it before its first call; what stops it later is in the Ending, with the totals.
    With `writes_beside` off, no results are written beside the sheet: `results` writes them anywhere, at any time.
    Several jobs may go on at once; of one account, one at a time makes calls. Leaving `async with BatchShare()`
    stops those that go on, and waits for them. An argument that is None was not given; one that is empty is an
    error.
    """

    number = 0
    """Of the job of a store that a worker does by this: begun anew, it is not forced anew."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        agree: Callable[[Preview], bool | Awaitable[bool]] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        every: float = 1.0,
        watcher: Watcher | None = None,
        writes_beside: bool = True,
    ) -> None:
        self._settings, self._writes = settings, writes_beside
        self._watcher = watcher or _Asks(agree)
        self._on_progress, self._every = None if watcher else on_progress, every
        self._jobs: list[Job[Any]] = []
        self._watches: list[Stop] = []

    @cached_property
    def settings(self) -> Settings:
        """Those given, else those in force; only looked for when a job needs them. Raises SettingsError."""
        return self._settings or load_settings()

    @property
    def store(self) -> SecretStr | None:
        """The store in force; of settings that are not given nothing else is looked at. Raises SettingsError."""
        return self._settings.store if self._settings is not None else store_in_force()

    async def __aenter__(self) -> BatchShare:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        try:
            for job in self._jobs:
                await job.over()
        except asyncio.CancelledError:
            for job in self._jobs:
                job.cut()
            for job in self._jobs:
                await job.over()
            raise

    def stop(self) -> None:
        """Stop all jobs that go on, as `Job.stop` does, and every watch."""
        for watch in self._watches:
            watch.ask()
        for job in self._jobs:
            job.stop()

    async def plan(
        self,
        sheet: Name,
        options: SheetOptions | None = None,
        *,
        ledger: LedgerLike | None = None,
        online: bool = False,
        files: PlanFiles | None = None,
    ) -> Overview:
        """What a run of the sheet would do. No call is made, or with `online` those that look people up.

        The ledger, if there is one, is beside the sheet unless named: what it knows was sent is not sent again.
        `files` are to be written of it. Raises SettingsError for one that is there and is nothing that batch_share
        wrote, as it wrote it.
        """
        job = _sheet_job(sheet, options, ledger, None, self.settings)
        targets = files.named(job.sheet, job.ledger, self.settings) if files is not None else ()
        if online:
            seen = await self._ending(await self.start_plan(sheet, options, ledger=ledger))
        else:
            seen = await show_sheet(job.sheet, job.options, self.settings, None, job.ledger)
        await seen.write(*targets)
        return seen

    async def start_plan(
        self, sheet: Name, options: SheetOptions | None = None, *, ledger: LedgerLike | None = None
    ) -> Job[Overview]:
        """Begin `plan` with `online`, and return the job while people are looked up; awaited, it is the plan."""
        job, settings = _sheet_job(sheet, options, ledger, None, self.settings), self.settings
        show = partial(show_sheet, job.sheet, job.options, settings, self._watcher, job.ledger)
        return self._begin("plan", lambda: job.ledger, show)

    async def start(
        self, kind: JobKind, file: LedgerLike, options: SheetOptions | None = None, **chosen: Unpack[JobOptions]
    ) -> Job[Ending]:
        """Begin a job, and return it while it goes on. `file` is a ledger, or for a run the sheet.

        | kind | what it does | what it can be told |
        |---|---|---|
        | `run` | as the method `run` | `options`, `ledger`, `approved` |
        | `resume` | as `resume` | `only_unknown` |
        | `retry` | as `retry` | `reason`, `everything` |
        | `revoke` | as `revoke` | `rows`, `user` |
        | `follow_up`, `audit` | as `follow_up`, `audit` | |

        Raises SettingsError if none are in force, or for an argument that is empty; ValueError for a kind that is
        none of these, TypeError for what the kind is not told. All else is raised by `await job`.
        """
        settings = self.settings
        kinds: Mapping[str, Callable[..., Kind]] = {
            "run": lambda sheet, options=None, ledger=None, approved=None: RunSheet(
                _sheet_job(sheet, options, ledger, approved, settings)
            ),
            "resume": lambda ledger, only_unknown=False: (Reconcile if only_unknown else Resume)(
                self.ledger_of(ledger)
            ),
            "retry": lambda ledger, reason=None, everything=False: RetryFailed(
                self.ledger_of(ledger), Wanted(reason, everything)
            ),
            "revoke": lambda ledger, rows=None, user=None: Revoke(self.ledger_of(ledger), rows, user),
            "follow_up": lambda ledger: FollowUp(self.ledger_of(ledger)),
            "audit": lambda ledger: AuditLedger(self.ledger_of(ledger)),
        }
        if kind not in kinds:
            raise ValueError(f"a job is one of {', '.join(kinds)}, not {kind!r}")
        given = chosen if options is None else {"options": options, **chosen}
        strange = sorted({*given} - {*signature(kinds[kind]).parameters})
        if strange:  # never passed over: what was meant for a few rows would be done to all
            raise TypeError(f"{kind} is not told {', '.join(strange)}")
        made = kinds[kind](file, **given)
        made.writes, made.number = self._writes, self.number

        def work(course: Course) -> Coroutine[Any, Any, Ending]:
            return do(made, settings, self._watcher, course)

        return self._begin(kind, lambda: made.ledger, work)

    async def run(
        self,
        sheet: Name,
        options: SheetOptions | None = None,
        *,
        ledger: LedgerLike | None = None,
        approved: Approval | Name | None = None,
    ) -> Ending:
        """Share every lead of the sheet with its user, follow up, write the results; again, it goes on.

        The ledger is beside the sheet unless named. With `approved`, an approval or the file it was saved in, it
        runs that or nothing (PlanChanged).
        """
        job = await self.start("run", sheet, options, ledger=ledger, approved=approved)
        return await self._ending(job)

    async def resume(self, ledger: LedgerLike, *, only_unknown: bool = False) -> Ending:
        """Go on with a ledger where its run stopped, without the sheet.

        With `only_unknown` its unknown rows are settled, and nothing else is sent.
        """
        return await self._ending(await self.start("resume", ledger, only_unknown=only_unknown))

    async def retry(self, ledger: LedgerLike, *, reason: str | None = None, everything: bool = False) -> Ending:
        """Send failed rows once more, each from the step that failed: those whose reason holds `reason`.

        Rows whose reason lies in themselves, such as a lead that is not there, only with `everything`.
        """
        return await self._ending(await self.start("retry", ledger, reason=reason, everything=everything))

    async def revoke(self, ledger: LedgerLike, *, rows: str | None = None, user: str | None = None) -> Ending:
        """Revoke what a ledger shared: all, the rows with these numbers (`5-40,50`), what this user has."""
        return await self._ending(await self.start("revoke", ledger, rows=rows, user=user))

    async def would_revoke(
        self, ledger: LedgerLike, *, rows: str | None = None, user: str | None = None
    ) -> Revocation:
        """What `revoke` would revoke now, and from whom; no call is made. Raises LedgerError, SettingsError."""
        return await would_revoke(self.ledger_of(ledger), rows, user)

    async def renewable(self, ledger: LedgerLike) -> int:
        """How many shares a run of the ledger's sheet as it was would renew now, by the setting `renew`.

        Raises LedgerError.
        """
        async with read_ledger(self.ledger_of(ledger)) as opened:
            await choose_renewals(opened, self.settings)
            return (await opened.renewals())[0]

    async def retryable(self, ledger: LedgerLike) -> int:
        """How many failed rows of a ledger another try may help, as `retry` has it. Raises LedgerError."""
        async with read_ledger(self.ledger_of(ledger)) as opened:
            return sum([not is_hopeless(row) async for row in opened.failed_rows()])

    async def follow_up(self, ledger: LedgerLike) -> Ending:
        """Ask what became of every accepted share of a ledger."""
        return await self._ending(await self.start("follow_up", ledger))

    async def audit(self, ledger: LedgerLike) -> Ending:
        """Hold all activities of a ledger against LeadSquared: each there once, and none that should not be.

        What was found is in the summary's `audit`, and kept in the ledger.
        """
        return await self._ending(await self.start("audit", ledger))

    async def watch(
        self,
        folder: Name,
        options: SheetOptions | None = None,
        *,
        every: float = 10.0,
        settle: float = SETTLE,
        once: bool = False,
        on_trouble: Callable[[str], None] | None = None,
    ) -> AsyncIterator[SheetOutcome]:
        """Run each sheet that is dropped into the folder, and give what became of it, until `stop` is called.

        The folder is looked at `every` so many seconds, with `once` only now. A sheet is taken when it has not
        changed for `settle` seconds, worked on in working/, and moved with all that was made of it to done/,
        failed/ or, where it needs a person's yes, held/. Whatever is moved to agreed/ has that. One that waits
        stays, and is given again each time that it was gone on with.
        `on_trouble` is told, in a sentence, of what else goes wrong and may be over at the next look.

        Raises BatchShareError for what would stop every sheet, such as keys that are refused.
        """
        # Its ledgers stay beside their sheets in a store too: they are moved about with them.
        settings, stop = self.settings.model_copy(update={"store": None}), Stop()
        settings.credentials()
        check_options(settings)
        inbox = Inbox(_file("folder", folder), settle)

        async def run(job: Kind, its_settings: Settings, agreed: bool) -> Ending:
            watcher = _AsksForSheet(self._watcher, agreed)
            return await self._ending(
                self._begin("run", lambda: job.ledger, partial(do, job, its_settings, watcher))
            )

        watch = Watch(
            inbox, settings, options or SheetOptions.of(settings), run, stop, on_trouble or (lambda _: None)
        )
        self._watches.append(stop)
        try:
            with inbox.locked():
                async for outcome in watch.outcomes(every, once=once):
                    yield outcome
        finally:
            self._watches.remove(stop)

    async def status(self, ledger: LedgerLike) -> Summary:
        """The totals of a ledger, also while a run works on it."""
        return await outputs.status_of(self.ledger_of(ledger))

    async def results(self, ledger: LedgerLike, target: Name | Named | None = None) -> Placed:
        """Write a ledger's sheet with what became of each row, beside the sheet unless told where; its place.

        Raises SettingsError for a target that is there and is nothing that batch_share wrote, as it wrote it.
        """
        return await outputs.results_of(self.ledger_of(ledger), self._named(target))

    async def report(
        self, ledger: LedgerLike, target: Name | Named | None = None, *, most: int = ROWS_REPORTED
    ) -> Placed:
        """Write a ledger's report for people, one .html file, with the first `most` rows to look at."""
        return await outputs.report_of(self.ledger_of(ledger), self._named(target), most)

    async def reported(self, ledger: LedgerLike) -> Mapping[str, Any]:
        """What a report of a ledger says, as its templates take it, but for the rows. Raises LedgerError."""
        async with read_ledger(self.ledger_of(ledger)) as opened:
            return await reported(opened, 0)

    async def troubled(self, ledger: LedgerLike, skip: int = 0, most: int = 100) -> Sequence[Mapping[str, Any]]:
        """Rows to look at as a report lists them, but naming no commands: `most` after the first ones.

        Each has `sheet_row`, `lead`, `user`, `state`, its `colour`, `reason` and `advice`; in `wrong` the columns
        that `correct` can help, with what they say. Raises LedgerError.
        """
        async with read_ledger(self.ledger_of(ledger)) as opened:
            return [asdict(line) for line in await troubled(opened, skip, most)]

    async def failed_sheet(self, ledger: LedgerLike, target: Name | Named | None = None) -> FailedSheet:
        """Write the failed and invalid rows that can be fixed, as the sheet had them, to be run by themselves.

        A .csv or .xlsx file, beside the sheet unless told where. As `results`; there is no file if there is no such
        row.
        """
        return await outputs.failed_sheet_of_ledger(self.ledger_of(ledger), self._named(target))

    async def look(self, sheet: Name, options: SheetOptions | None = None) -> Look:
        """A sheet as it is read: its columns, what each is taken to hold, its first rows, and all that is wrong.

        No call is made and no ledger is touched. Raises SheetError where there is no table that could be shown, and
        SettingsError; what else is wrong is among the problems.
        """
        path = _file("sheet", sheet)
        return await asyncio.to_thread(look_at, path, options or SheetOptions.of(self.settings), self.settings)

    async def correct(
        self,
        sheet: Name,
        cells: Sequence[Correction],
        options: SheetOptions | None = None,
        *,
        ledger: LedgerLike | None = None,
    ) -> None:
        """Have cells of a sheet read as corrected from now on, by whatever plans or runs it; the sheet stays.

        It is kept in the ledger, which is made if need be, until the row says something else in the sheet. One that
        is to say what the sheet says is corrected no more. All is kept, or nothing. Raises BatchShareError for a
        cell that says something else than `before`, or whose row was sent; SheetError, SettingsError, LedgerError.
        """
        job = _sheet_job(sheet, options, ledger, None, self.settings)
        await correct(job.sheet, job.options, job.ledger, self.settings, cells)

    async def corrections(self, ledger: LedgerLike, most: int = 100) -> tuple[Sequence[Correction], int, int]:
        """What is as corrected in so many rows of a ledger; in how many more; and how many are not taken in yet.

        Raises LedgerError.
        """
        async with read_ledger(self.ledger_of(ledger)) as opened:
            return *await opened.corrections(most), await opened.corrections_to_come()

    async def rows(
        self, ledger: LedgerLike, *, states: Collection[State | str] | None = None
    ) -> AsyncIterator[LedgerRow]:
        """The rows of a ledger, `async for`: in the sheet's order first, then those that it no longer has.

        With `states`, only rows in one of these. Any number of them is read in little memory; while a run works on
        the ledger, each few hundred are as of their own time. Raises LedgerError, SettingsError.
        """
        after = None
        while True:
            page = await self.page(ledger, after=after, most=_ROWS_AT_ONCE, states=states)
            for row in page.rows:
                yield row
            if (after := page.next) is None:
                return

    async def page(
        self,
        ledger: LedgerLike,
        *,
        after: str | None = None,
        most: int = 100,
        states: Collection[State | str] | None = None,
    ) -> Page:
        """At most so many of the rows that `rows` gives, for whoever shows them page by page.

        The `next` of a page is what the following one comes `after`. Raises LedgerError, SettingsError.
        """
        async with read_ledger(self.ledger_of(ledger)) as opened:
            return await page_of(opened, after, most, states)

    async def runs(self, most: int = 20, *, add: Sequence[LedgerLike] = ()) -> KnownRuns:
        """The newest runs on this machine, so many at most, newest first.

        Ledgers that are to be `add`ed were made elsewhere, and are known from now on. Raises HistoryError,
        LedgerError.
        """
        return await known_runs(self.settings, most, [_ledger(each, None, "add") for each in add])

    async def forget(self, run: str) -> KnownRun:
        """Give up the job of the run with this Id, or of the `last` one: its rows hold no others any more.

        Raises LedgerError, HistoryError.
        """
        return await forget_job(self.settings, run)

    async def access(
        self,
        user: str | None = None,
        lead: str | None = None,
        ending: str | None = None,
        *,
        online: bool = False,
    ) -> Access:
        """Who has access now, by the shares that this machine's ledgers know: no call is made.

        With `online`, also by the activities in LeadSquared that carry our markers: shares of other machines too.
        Only those with this user (an Id or e-mail address), of this lead (an Id or number), that end within this
        time (`7d`, `90m`). Raises HistoryError, SettingsError; with `online` BatchShareError.
        """
        check_not_empty("user", user)
        check_not_empty("lead", lead)
        try:
            minutes = None if ending is None else parse_duration(ending)
        except ValueError as error:
            raise SettingsError("ending", str(error)) from None
        settings = self.settings
        if not online:
            return await who_has_access(settings, user, lead, minutes)

        look = partial(who_has_access, settings, user, lead, minutes, self._watcher)
        return await self._ending(self._begin("access", None, look))

    def in_use(self, ledger: LedgerLike) -> bool:
        """Whether somebody, be it another process, works on a ledger just now. Raises LedgerError."""
        try:
            with self.ledger_of(ledger).locked(patience=0):
                return False
        except LedgerLocked:
            return True

    def init_store(self) -> bool:
        """Make the tables of the store in force; whether there were none. Raises SettingsError, LedgerError."""
        store = self._store()
        if not (made := store.init()):
            with store.looking() as connection:
                store.check_version(connection)
        return made

    def upgrade_store(self) -> tuple[int, int]:
        """Bring the store's tables up to this version: from which, to which. Raises SettingsError, LedgerError.

        LedgerLocked while somebody works on a ledger of it.
        """
        from batch_share.jobs.stores import upgrade_store  # noqa: PLC0415 - for few, and it takes time
        from batch_share.ledger.schema import VERSION  # noqa: PLC0415

        return upgrade_store(self._store()), VERSION

    def check_store(self, *, allow_async: bool = False) -> Sequence[Finding]:
        """Whether ledgers can be kept in the store in force: findings, the first to fix first.

        With `allow_async`, also if a standby is not waited for. Raises SettingsError.
        """
        from batch_share.jobs.stores import check_store  # noqa: PLC0415

        return check_store(self._store(), allow_async=allow_async)

    async def move(
        self, named: LedgerLike, ledger: str | None = None, *, to: Name | None = None
    ) -> tuple[LedgerName, LedgerName]:
        """Move a ledger into the store in force, or with `to` from a store into that file: from where, to where.

        A file is named by its path or that of its sheet, beside it; its name in the store is that of its sheet's
        ledger, unless one is given. Afterwards nobody can work on what it was moved from. Raises SettingsError,
        LedgerError, LedgerMoved, LedgerLocked while somebody works on it.
        """
        from batch_share.jobs.stores import move_ledger  # noqa: PLC0415

        if to is not None:
            if ledger is not None:
                wrong = "a file has no other name: leave --ledger out"
                raise SettingsError("to", wrong, problem="A ledger in a file has the name of its file.")
            source, target = self.ledger_of(named), LedgerName.of(_file("to", to))
        else:
            self._store()
            path = _file("file", str(named))
            source = LedgerName.of_sheet(path)
            source = source if source.exists() else LedgerName.of(path)
            own = LedgerName.of_sheet(Path(str(source).removesuffix(".ledger.db")), self.store)
            target = _ledger(ledger, self.store) if ledger is not None else own
        job = await move_ledger(source, target)
        note_move(self.settings, source.absolute(), target.absolute(), lambda _: None, job)  # of help, not of need
        if not target.in_store:  # nobody else tells this machine of it
            with suppress(BatchShareError):
                await self.runs(1, add=[target.absolute()])
        return source, target

    def _store(self) -> Store:
        """Raises SettingsError if none is set."""
        from batch_share.ledger.postgres import Store  # noqa: PLC0415 - for few, and it takes time

        if (url := self.store) is None:
            raise SettingsError(
                "store",
                "is not set: set BATCH_SHARE_STORE in the environment, or name it with --store URL",
                problem="No store is set.",
                hint="Set one.",
            )
        return Store.of(url.get_secret_value())

    def ledger_for(self, sheet: Name, named: LedgerLike | None = None) -> LedgerName:
        """The ledger that a run of the sheet works on: the one that is named, else the sheet's own.

        Raises SettingsError, LedgerError if the sheet's own is in a file still, and a store is set.
        """
        return _ledger_for(_file("sheet", sheet), named, self.store)

    def ledger_of(self, named: LedgerLike) -> LedgerName:
        """The ledger that is meant by its own name, by its sheet's, by the Id of a run, or by `last`.

        A ledger or file that is there is meant before a run. Raises LedgerError, SheetError, HistoryError,
        SettingsError.
        """
        if isinstance(named, LedgerName):
            return named
        _file("ledger", named)
        return ledger_meant(named, self.store, lambda: self.settings)

    def verify_intent(self, lead: str, user: str) -> str:
        """What `verify` will do, in a sentence. Raises SettingsError."""
        return Verification(self.settings, self._watcher, lead, user).intent()

    async def verify(self, lead: str, user: str) -> Verified:
        """Try what the account really does on a lead and a user of the caller's own; what it shares it revokes.

        `lead` is a GUID, number or e-mail address, or a GUID and a number with a comma between them; `user` a GUID
        or e-mail address. Raises BatchShareError for what stops it before its first share.
        """
        return await Verification(self.settings, self._watcher, lead, user).carry_out()

    async def doctor(self, account: str | None = None) -> Sequence[Finding]:
        """Whether settings, keys, host, clock, limits and folders are well: findings, the first to fix first.

        Of the settings in force, those of this account, by its name in them. It makes three calls, which change
        nothing, and raises nothing foreseeable.
        """
        return await check_up(self._settings, account)

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
        ledger: LedgerLike | None = None,
        approved: Approval | Name | None = None,
    ) -> Summary | None:
        """The totals of the sheet's ledger if a run would do nothing now: neither has changed. None if it would.

        Rows that wait for their time are not to be done now. Raises SheetError, SettingsError, LedgerError.
        """
        return await outputs.unchanged(_sheet_job(sheet, options, ledger, approved, self.settings), self.settings)

    async def nothing_due(self, ledger: LedgerLike) -> Summary | None:
        """The totals of a ledger if nothing is to be done in it now, else None. Raises LedgerError."""
        return await outputs.nothing_due(self.ledger_of(ledger))

    def check_notify(self) -> None:
        """Whether what the setting `notify` names, if it is set, can be told. Raises SettingsError."""
        if self.settings.notify is not None:
            check_target(self.settings.notify)

    async def notify(
        self,
        command: str,
        file: Name,
        ended: Ending | BatchShareError | SheetOutcome | None,
        *,
        ledger: LedgerLike | None = None,
    ) -> str | None:
        """Tell whoever the setting `notify` names how a command on a file ended; None: it was cut off.

        It is told counts and the names of files; where there is no Ending those of the `ledger`, if that has any;
        of a sheet that a watch holds, also where to move it.
        Returns a sentence that says why it could not be told; None if it was, or if nobody is named.
        """
        path = _file("file", file)
        its_ledger = _ledger(ledger, self.store) if ledger is not None else LedgerName.of(path)
        release = ""
        if isinstance(ended, SheetOutcome):
            its_ledger, release, ended = ended.ledger, ended.release, ended.ended
        return await outputs.notify(self.settings, command, path, ended, its_ledger, release)

    async def check_keys(self) -> None:
        """Ask LeadSquared whose the keys are. Raises AccessDenied, BatchShareError if they can't share."""
        check = partial(check_keys, self.settings, self._watcher)
        await self._ending(self._begin("check_keys", None, check))

    def _named(self, target: Name | Named | None) -> Named | None:
        if target is None or isinstance(target, Named):
            return target
        return Named("target", _file("target", target), self.settings.data_folder)

    def _begin(
        self,
        kind: str,
        ledger: Callable[[], LedgerName | None] | None,
        work: Callable[[Course], Coroutine[Any, Any, T]],
    ) -> Job[T]:
        job = Job(kind, ledger, work, self._on_progress, self._every)
        self._jobs = [*(each for each in self._jobs if not each.is_done), job]
        return job

    async def _ending(self, job: Job[T]) -> T:
        """The end of a job that is nobody else's: whoever cancels this cuts the job, and it is over then."""
        try:
            return await job
        finally:
            if not job.is_done:
                job.cut()
                await job.over()


def _sheet_job(
    sheet: Name,
    options: SheetOptions | None,
    ledger: LedgerLike | None,
    approved: Approval | Name | None,
    settings: Settings,
) -> SheetJob:
    path = _file("sheet", sheet)
    its_ledger = _ledger_for(path, ledger, settings.store)
    plan = approved if approved is None or isinstance(approved, Approval) else _file("approved", approved)
    return SheetJob(path, its_ledger, options or SheetOptions.of(settings), plan)


def _ledger_for(sheet: Path, named: LedgerLike | None, store: SecretStr | None) -> LedgerName:
    if named is not None:
        return _ledger(named, store)
    its_own, beside = LedgerName.of_sheet(sheet, store), LedgerName.of_sheet(sheet)
    # What the one in the file has sent, or has under way, the store may not know of, unless it came from there.
    if its_own.in_store and beside.exists() and not its_own.exists():
        raise LedgerError(
            beside,
            f"it is the ledger of {sheet.name}, and a store is set: `batch-share move {shlex.quote(str(beside))}` "
            "takes it in there, --store none goes on with it here",
            problem="The sheet has a ledger in a file already, and a store is set.",
            hint="Move the ledger into the store.",
        )
    return its_own


def _ledger(named: LedgerLike, store: SecretStr | None, argument: str = "ledger") -> LedgerName:
    """Raises SettingsError for a name that is empty, or a URL that is none."""
    if not isinstance(named, LedgerName):
        _file(argument, named)
    return LedgerName.of(named, store)


def _file(argument: str, name: Name) -> Path:
    """Raises SettingsError for a name that is empty: it would be the current folder's."""
    if is_blank(os.fspath(name)):
        raise SettingsError(argument, "is empty: name a file")
    return Path(name)


class _Asks(Watcher):
    """The Watcher of a program, which is asked what it wants to be asked."""

    def __init__(self, agrees: Callable[[Preview], bool | Awaitable[bool]] | None) -> None:
        self._agrees = agrees or super().agree

    def agree(self, preview: Preview) -> bool | Awaitable[bool]:
        return self._agrees(preview)


class _AsksForSheet:
    """The Watcher of a sheet in a watched folder: as the `others`, but what nobody has `agreed` to is held."""

    def __init__(self, others: Watcher, agreed: bool) -> None:
        self._others, self._agreed = others, agreed
        self.foresee, self.wait_turn, self.watch = others.foresee, others.wait_turn, others.watch

    def agree(self, preview: Preview) -> bool | Awaitable[bool]:
        return self._agreed or self._others.agree(preview)

    def is_sure(self, doubt: Doubt) -> bool:
        if not (self._agreed or self._others.is_sure(doubt)):
            nothing = "Nothing was sent, for nobody could be asked:"
            raise NotConfirmed(" ".join([*doubt.reported, nothing, doubt.question]))
        return True
