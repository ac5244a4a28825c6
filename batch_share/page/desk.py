"""The work on one sheet or ledger, as the page has it done: looked at, planned, run, gone on with.

Whoever looks at the page is nobody whom the work waits for: a browser may close, and the work goes on. What stands
is in the ledger; lost with the process are only plans that nobody has approved, and they are made anew.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Final

from batch_share import (
    BatchShare,
    LedgerLocked,
    NoLedger,
    NotConfirmed,
    Progress,
    SheetMapping,
    SheetOptions,
    State,
)
from batch_share.common import plural
from batch_share.errors import BatchShareError, LedgerError, SheetError, StoreTrouble
from batch_share.outputs import Named
from batch_share.results.writing import Line, write_csv

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
    from pathlib import Path
    from typing import Any, Literal

    from pydantic import SecretStr

    from batch_share import Correction, Job, LedgerName, Look, Overview, Preview, Settings, Summary
    from batch_share.cluster.queue import Queue, QueuedJob
    from batch_share.page.shelf import Kept

PLANNED_ROWS: Final = 250_000
"""Rows of plans that wait for an approval, all together: these take 60 MB. The oldest plans are let go first."""

EVERY: Final = 0.5
"""Seconds between two looks at how far it is: twice a second is as live as anybody can read."""

DEEDS: Final[dict[str, tuple[Literal["resume", "retry", "follow_up", "audit"], dict[str, Any]]]] = {
    "resume": ("resume", {}),
    "settle": ("resume", {"only_unknown": True}),
    "retry": ("retry", {}),
    "retry-all": ("retry", {"everything": True}),
    "ask": ("follow_up", {}),
    "audit": ("audit", {}),
}
"""What a button of the results does: a kind of job, and what it is told."""


class JobElsewhere:
    """A job that is handed over to workers, as far as a desk knows jobs: looked at, waited for, stopped, cut."""

    ledger = None

    def __init__(self, queue: Queue, seen: QueuedJob) -> None:
        self._queue, self._seen, self.kind = queue, seen, seen.kind
        self._is_left = False
        self._asked: set[asyncio.Task[None]] = set()

    @property
    def progress(self) -> Progress:
        """How far it is, as its worker told last."""
        seen, far = self._seen, dict(self._seen.progress or {})
        if seen.state == "queued":
            far["phase"] = "handed over: it begins once a worker is free"
        elif seen.error is not None or not far.get("phase"):
            far["phase"] = "it is tried again, after trouble with the store" if seen.error else "a worker begins"
        states = {State(state): rows for state, rows in far.pop("states", {}).items()}
        known = {each.name for each in fields(Progress)}
        far = {name: value for name, value in far.items() if name in known} | {"stopping": seen.stop}
        return Progress(**far, states=states, has_begun=bool(states))

    def stop(self) -> None:
        """Ask its worker to end it in good order, or whoever would begin it not to."""
        self._ask(cut=False)

    def cut(self) -> None:
        """Ask its worker to end it where it is."""
        self._ask(cut=True)

    def leave(self) -> None:
        """Look on no longer."""
        self._is_left = True

    async def over(self) -> None:
        """It has ended: there is nothing of it here."""

    def _ask(self, *, cut: bool) -> None:
        async def ask() -> None:
            with suppress(LedgerError):  # the store is away for a moment: the button is still there
                self._seen = await asyncio.to_thread(self._queue.cancel, self._seen.id, cut=cut)

        self._asked.add(task := asyncio.create_task(ask()))
        task.add_done_callback(self._asked.discard)

    def __await__(self) -> Generator[Any, None, None]:
        return self._end().__await__()

    async def _end(self) -> None:
        """Look until it is over. Raises BatchShareError for what ended it early."""
        while not self._seen.is_over and not self._is_left:
            await asyncio.sleep(EVERY)
            with suppress(StoreTrouble):  # it is back soon, and so is the job
                self._seen = await asyncio.to_thread(self._queue.job, self._seen.id)
        if self._seen.is_over and self._seen.error is not None:
            raise BatchShareError(self._seen.error)


def _queue_of(ledger: LedgerName) -> Queue | None:
    """Where work on a ledger is handed over: its store, if it has one."""
    if not ledger.in_store:
        return None
    from batch_share.cluster.queue import Queue  # noqa: PLC0415 - for few, and it takes time

    return Queue.of(ledger)


async def handed_over(store: SecretStr | None) -> Mapping[str, QueuedJob]:
    """What workers of a store do or are to do, by what its ledger is called everywhere. Raises BatchShareError."""
    if store is None:
        return {}
    from batch_share.cluster.queue import Queue  # noqa: PLC0415 - as above

    queue = Queue.at(store.get_secret_value())
    return {f"{queue.store}#{name}": job for name, job in (await asyncio.to_thread(queue.open_jobs)).items()}


async def _hand_over(ledger: LedgerName, kept: Kept, plan: Overview, by: str) -> JobElsewhere | None:
    """Submit the run of a plan, and that or nothing; None if no worker is there that has the account's keys."""
    if (queue := _queue_of(ledger)) is None:
        return None
    from batch_share.cluster.queue import Wanted  # noqa: PLC0415 - as above
    from batch_share.cluster.worker import account_of, options_of  # noqa: PLC0415

    settings = plan.settings
    if not await asyncio.to_thread(queue.has_worker, account_of(settings)):
        return None
    try:
        content = await asyncio.to_thread(kept.sheet.read_bytes)
    except OSError as error:
        raise SheetError(kept.sheet, f"can't be read ({error.strerror})") from None
    its = Wanted(
        ledger.short,
        account_of(settings),
        by or "the page",
        options=options_of(plan, settings, {}),
        approved=plan.approval().model_dump(),
        sheet=(kept.file, content),
    )
    return JobElsewhere(queue, await asyncio.to_thread(queue.submit, its))


class Desk:
    """One sheet with its ledger: `kept` where it was dropped on the page, None for a ledger from elsewhere.

    `settings` makes those that are in force with what is said besides; `all_desks` are those of the page, itself
    among them.
    """

    def __init__(
        self,
        called: str,
        name: str,
        ledger: LedgerName,
        kept: Kept | None,
        settings: Callable[..., Settings],
        all_desks: Mapping[str, Desk],
    ) -> None:
        self.id, self.name, self.ledger, self.kept = called, name, ledger, kept
        self._settings, self._all = settings, all_desks
        self._seen: tuple[tuple[Any, ...], Look, int] | None = None
        self.error: BatchShareError | None = None
        self.plan: Overview | None = None
        self.plan_number = ""
        self.planned_at = 0.0
        self._job: Job[Any] | JobElsewhere | None = None
        self._ended: asyncio.Task[None] | None = None
        self._one = asyncio.Lock()

    async def state(self) -> Literal["columns", "plan", "run", "results"]:
        """Which page shows how it stands. Raises LedgerError."""
        if self.is_running:
            return "run"
        if self._job is not None and self._job.kind == "plan":
            return "plan"  # of what was begun before, too: it is to go on with what was corrected, or is renewed
        if await self.has_begun():
            return "results"
        return "plan" if self._job is not None else "columns"

    async def has_begun(self) -> bool:
        """Whether its ledger holds rows: one that was stopped before it had taken the sheet in has none."""
        if not self.ledger.size():
            return False
        if self.kept is None:
            return True
        try:
            return bool((await BatchShare(self.settings).page(self.ledger, most=1)).rows)
        except NoLedger:
            return False

    @property
    def goes_on(self) -> str:
        """The kind of the job that goes on, `plan` while leads and users are looked up; "" for none."""
        return self._job.kind if self._job is not None and self._ended and not self._ended.done() else ""

    @property
    def is_planning(self) -> bool:
        """Whether leads and users are just being looked up."""
        return self.goes_on == "plan"

    @property
    def is_running(self) -> bool:
        """Whether a job of it goes on that sends, or asks what became of what was sent."""
        return self.goes_on not in {"", "plan"}

    @property
    def doing(self) -> Desk | None:
        """The sheet of the page whose job has this one's ledger just now: itself, or that of its fixed rows."""
        of_it = (each for each in self._all.values() if each.is_running and each.is_of(self.ledger))
        return next(of_it, None)

    def is_of(self, ledger: LedgerName) -> bool:
        """Whether this is its ledger, or, for rows that were fixed, that of the job which they are of."""
        of = (self._job.ledger if self._job is not None else None) or self.ledger
        return of.resolved() == ledger.resolved()

    @property
    def progress(self) -> Progress | None:
        """How far the job or the plan is."""
        return self._job.progress if self._job is not None else None

    @property
    def ahead(self) -> str:
        """The sheet whose work has the account that this one waits for; "" where no sheet of the page has it."""
        account = self.kept.account if self.kept is not None else ""
        for each in self._all.values():
            is_of_it = each is not self and account == (each.kept.account if each.kept is not None else "")
            if is_of_it and each.goes_on and each.progress is not None and each.progress.waiting_for is None:
                return each.name
        return ""

    @property
    def settings(self) -> Settings:
        """Those in force, and what was said for this sheet. Raises SettingsError."""
        return self.settings_with()

    def settings_with(self, **changes: str) -> Settings:
        """The same but for these. Raises SettingsError."""
        if self.kept is None:
            return self._settings(**changes)
        of_account = {"account": self.kept.account} if self.kept.account else {}
        return self._settings(**self.kept.said, **of_account, **changes)

    def options(self, settings: Settings) -> SheetOptions:
        """How the sheet is read, by what was said of it. Raises SettingsError."""
        kept = self._must_be_kept()
        options = SheetOptions.of(settings, worksheet=kept.worksheet or None)
        mapping = SheetMapping(kept.columns).over(options.read.mapping)
        return replace(options, read=replace(options.read, mapping=mapping))

    async def look(self) -> tuple[Look, int]:
        """The sheet as it is read, with the problems of all of it alone; and how many rows have their own.

        A large one is read for seconds, so what was seen last is kept: a page that is loaded again shows that.
        Raises SheetError, SettingsError.
        """
        settings, kept = self.settings, self._must_be_kept()
        if not kept.sheet.exists():
            raise BatchShareError("The sheet was deleted with its old runs: choose it again.")
        there = kept.sheet.stat()
        of = settings, kept.worksheet, {**kept.columns}, there.st_ino, there.st_size, there.st_mtime_ns
        if self._seen is None or self._seen[0] != of:
            look = await BatchShare(settings).look(kept.sheet, self.options(settings))
            wrong = len({each.row for each in look.problems} - {None})
            self._seen = of, replace(look, problems=look.of_the_sheet), wrong
        _, look, wrong = self._seen
        return look, wrong

    def forget_plan(self) -> None:
        """Let the plan go, for something else is said of the sheet now."""
        self.stop()
        self.plan = self.error = self._job = None

    async def correct(self, cells: Sequence[Correction], by: str) -> None:
        """Have cells of the sheet read as corrected, and plan anew. Raises BatchShareError if nothing is kept."""
        kept = self._must_be_kept()
        async with self._one:
            if self.is_running:
                raise BatchShareError("Nothing was corrected: wait until the run has ended, or stop it.")
            settings = self.settings
            await BatchShare(settings).correct(kept.sheet, cells, self.options(settings), ledger=self.ledger)
            self.forget_plan()
            kept.changed_by = [*dict.fromkeys([*kept.changed_by, *([by] if by else [])])]
            await asyncio.to_thread(kept.note)
        await self.begin_plan()

    async def begin_plan(self, **changes: str) -> None:
        """Look everybody up, unless something goes on already; with settings other than those in force."""
        async with self._one:
            if self.goes_on:
                return
            self.plan, settings, sheet = None, self.settings_with(**changes), self._must_be_kept().sheet
            options = self.options(settings)
            self._follow(await BatchShare(settings).start_plan(sheet, options, ledger=self.ledger))

    async def approve(self, by: str) -> None:
        """Run what was planned, that or nothing. Raises BatchShareError where there is no plan to be approved."""
        kept = self._must_be_kept()
        async with self._one:
            plan, self.plan = self.plan, None
            if plan is None and (self.is_running or await self.has_begun()):
                return  # a second click, or a second tab
            if plan is None or plan.obstacles:
                raise NotConfirmed("There is no plan that could be approved: plan again.")
            promised, approval = plan.to_send + plan.earlier, plan.approval()
            kept.approved, kept.approved_by = plan.to_send, by
            await asyncio.to_thread(kept.note)
            settings = plan.settings
            if (handed := await _hand_over(self.ledger, kept, plan, by)) is not None:
                self._follow(handed)
                return
            library = BatchShare(settings, agree=lambda preview: _is_as_promised(preview, promised))
            options = self.options(settings)
            job = await library.start("run", kept.sheet, options, ledger=self.ledger, approved=approval)
            self._follow(job)

    async def do(self, deed: str) -> None:
        """Do what a button says, unless something goes on already. Raises BatchShareError."""
        async with self._one:
            if not self.is_running:
                kind, told = DEEDS[deed]
                self.plan = None
                self._follow(await BatchShare(self.settings).start(kind, self.ledger, **told))

    async def revoke(self, rows: str | None, user: str | None, promised: int) -> None:
        """Revoke what the ledger shared, all or some, unless it is more than was promised by now.

        Raises BatchShareError.
        """
        async with self._one:
            if self.is_running:
                return
            library = BatchShare(self.settings, agree=lambda preview: _revokes_no_more(preview, promised))
            self.plan = None
            self._follow(await library.start("revoke", self.ledger, rows=rows, user=user))

    def stop(self) -> None:
        """Make no more calls; what is under way is finished and noted."""
        if self._job is not None:
            self._job.stop()

    def drain(self) -> None:
        """Stop what this process does; what a worker does goes on."""
        if isinstance(self._job, JobElsewhere):
            self._job.leave()
        else:
            self.stop()

    def cut(self) -> None:
        """End it where it is; what became of calls under way is looked up by whoever goes on."""
        if self._job is not None and self._job.progress.stopping:
            self._job.cut()

    async def over(self) -> None:
        """Wait for its end."""
        if self._ended is not None:
            await asyncio.wait((self._ended,))

    async def look_elsewhere(self) -> None:
        """If a worker has a job of its ledger, or is to have it, look on. Raises LedgerError."""
        if not self.goes_on and (queue := _queue_of(self.ledger)) is not None:
            job = (await asyncio.to_thread(queue.open_jobs)).get(self.ledger.short)
            if job is not None and not self.goes_on:
                self._follow(JobElsewhere(queue, job))

    async def changes(self) -> None:
        """Wait until it may look otherwise: a moment, or its end."""
        if self._ended is not None:
            await asyncio.wait((self._ended,), timeout=EVERY)

    async def summary(self) -> Summary:
        """The totals of its ledger. Raises LedgerError."""
        return await BatchShare(self.settings).status(self.ledger)

    async def write_plan(self, target: Path) -> None:
        """Write every row with its plan to a workbook. Raises BatchShareError."""
        if self.plan is not None:
            await self.plan.write(output=Named("output", target, self.settings.data_folder))

    async def write_mistakes(self, target: Path) -> None:
        """Write all that is wrong with the rows of the plan to a CSV file."""

        async def lines() -> AsyncIterator[Line]:
            for each in self.plan.problems if self.plan is not None else ():
                yield Line(State.INVALID, [str(each.row), each.column, each.value, each.text])

        await write_csv(target, ("Row", "Column", "Says", "What is wrong"), lines())

    def _must_be_kept(self) -> Kept:
        if self.kept is None:
            raise BatchShareError("This run was not begun here, so its sheet can't be read anew.")
        return self.kept

    def _follow(self, job: Job[Any] | JobElsewhere) -> None:
        self._job, self.error = job, None
        self._ended = asyncio.create_task(self._await(job))

    async def _await(self, job: Job[Any] | JobElsewhere) -> None:
        came_to: Any = None
        error: BatchShareError | None = None
        try:
            came_to = await job
        except LedgerLocked as locked:  # the results say so themselves, for as long as it is so
            error = None if await self.has_begun() else locked
        except BatchShareError as wrong:
            error = wrong
        except asyncio.CancelledError:
            await job.over()  # it was cut: the ledger has what was sent
        if job is not self._job:
            return  # a plan that was let go meanwhile
        if self.kept is not None and job.ledger is not None and job.ledger != self.ledger:
            # It is a sheet of failed rows: from now on it stands where their job does.
            self.kept.of, self.ledger = str(job.ledger.absolute()), job.ledger
            await asyncio.to_thread(self.kept.note)
        if job.kind == "plan":
            self.plan, self.plan_number = came_to, secrets.token_hex(16)
            self.error = error if not job.progress.stopping else None  # whoever stopped it knows
            self.planned_at = time.monotonic()
            others = [each for each in self._all.values() if each is not self and each.plan is not None]
            rows = self.plan.rows if self.plan is not None else 0
            for each in sorted(others, key=lambda other: -other.planned_at):
                rows += each.plan.rows if each.plan is not None else 0
                if rows > PLANNED_ROWS:
                    each.plan = None
                    each.error = BatchShareError(
                        "Its plan was let go, for larger ones were made since: plan again."
                    )
        else:
            self.error = error or (came_to.error if came_to is not None else None)
            for each in self._all.values():  # a plan of the same ledger from before tells of rows that were sent
                if each is not self and each.is_of(self.ledger) and await each.state() == "plan":
                    each.forget_plan()


def _revokes_no_more(preview: Preview, promised: int) -> bool:
    """Whether it revokes no more than was said. Raises NotConfirmed."""
    if (shares := sum(preview.to_do.values())) > promised:
        raise NotConfirmed(
            f"It was to revoke {plural(promised, 'share')}, and by now it would be {shares:,}, so nothing was "
            "revoked: look again."
        )
    return True


def _is_as_promised(preview: Preview, promised: int) -> bool:
    """Whether the run does no more than the plan said. Raises NotConfirmed."""
    changes = preview.changes_made + preview.waiting.rows
    if changes > promised:
        raise NotConfirmed(
            f"The plan said {plural(promised, 'row')}, and by now it would be {changes:,}, so nothing was sent: "
            "plan again."
        )
    return True
