"""The skeleton of all jobs: open the ledger, see what is to be done, have that agreed to, do it, and end.

What is a job's own stands in its class, in the order in which `do` asks for it.
"""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, closing, nullcontext
from dataclasses import dataclass, field, replace
from inspect import isawaitable
from typing import TYPE_CHECKING, ClassVar

from batch_share.common import Cause, __version__
from batch_share.errors import (
    AccountClosed,
    BatchShareError,
    LedgerError,
    NoLedger,
    NotConfirmed,
    OfAnotherSheet,
    SettingsError,
    SheetError,
    first_of,
)
from batch_share.leadsquared.account import account_name, name_of_account
from batch_share.ledger.files import open_ledger
from batch_share.ledger.known import CallCount
from batch_share.ledger.states import BEING_REVOKED, INTENTS, State, rows_in
from batch_share.logs import about, bind_run, log
from batch_share.planning.already_shared import check_newest, find_missing, note_begin, note_end, recover
from batch_share.results.answers import REASONS_SHOWN, summarize, write_beside
from batch_share.results.wording import DECLINED, DONE, STOPPED, ExitCode, Summary, spell_result
from batch_share.sending.audit import audit
from batch_share.sending.follow_up import Polls, following_up
from batch_share.sending.guards import FailureGuard
from batch_share.sending.onlookers import Preview, log_error, logging_ends
from batch_share.sending.session import Course, Session, ending_early, open_connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.known import LiveShare
    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Row, SheetRecord
    from batch_share.ledger.store import Ledger
    from batch_share.sending.onlookers import Watcher
    from batch_share.settings import Settings


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ended: its totals (`summary`), the `error` that stopped it early, or `interrupted`: a person did.

    `sent` counts the posts, shares and revocations that were. `revoked_earlier` earlier shares were, for rows whose
    action asked for that. `looked_up` counts what settling unknown rows led to: found, absent, again (shared),
    foreign (another's); `remarks` are what else a person should know. `renews`: it could have shared
    again what has ended, so that to send nothing is no success then. `preview` is what it was about to do, None
    where nobody came to be asked. `command` is what the ledger notes it as. Of the rows that it was about, `became`
    counts how many are in which state now; of a run, which is about its whole sheet, the totals say that.
    """

    summary: Summary
    error: BatchShareError | None = None
    interrupted: bool = False
    sent: int = 0
    revoked_earlier: int = 0
    looked_up: Mapping[str, int] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    renews: bool = False
    preview: Preview | None = None
    command: str = "run"
    became: Mapping[State, int] = field(default_factory=dict)

    @property
    def exit_code(self) -> ExitCode:
        """What the ending means to a script."""
        if self.error is not None:
            # Only of a sheet that broke off was nothing sent.
            return ExitCode.USAGE if isinstance(self.error, SheetError) else ExitCode.NOT_DONE
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.command in {"revoke", "retry"}:  # which say nothing of the rows that they were not about
            became = Counter(self.became)
            if self.command == "revoke":  # what an earlier one began is gone on with
                became |= Counter(
                    {each: self.summary.states.get(each, 0) for each in (*BEING_REVOKED, State.ENDING)}
                )
            return ExitCode.of_states(became, self.summary.held if became[State.SKIPPED] else 0)
        code = self.summary.exit_code
        is_over = code is ExitCode.DONE and not self.sent and self.summary.renewable
        return ExitCode.ENDED if self.renews and is_over else code


@dataclass(frozen=True, slots=True)
class Due:
    """A row that asks for shares to be revoked, its user's or those of all others, and which these are."""

    claim: Row
    shares: Sequence[LiveShare]

    @property
    def where(self) -> list[str]:
        """The rows that made them; those too that an earlier try named, which did not get to its end."""
        return [*dict.fromkeys([*self.claim.begun, *map(self.row_of, self.shares)])]

    @staticmethod
    def row_of(share: LiveShare) -> str:
        """What the row is called that made a share."""
        return f"{share.sheet} row {share.sheet_row}"


@dataclass(frozen=True, slots=True)
class Choice:
    """What a job is about to do, for a person to agree to; without a `preview` nobody is asked.

    It sends the rows with these Ids; for those that are `due` earlier shares are revoked first. If it is more than
    a guard allows, nobody is asked: that is the `excess`.
    """

    preview: Preview | None = None
    rows: frozenset[int] = frozenset()
    due: Sequence[Due] = ()
    excess: BatchShareError | None = None


class Kind:
    """A kind of job on a `ledger`, which notes it as `command`. Its parts are asked for in this order.

    Only for a `host` is a ledger made that is not there.
    `guarded`: failures may stop it; else it must see every row to its end, however many fail. `posts`: it may post
    activities and share. `only_looked_up`: it sends no other rows than those that it looks up or puts back.
    `renews`: it sends what has ended once more, if it is told to. `writes`: its results go beside the sheet.
    `number`: that of the store's job which it is, 0 if it is none.
    """

    command: ClassVar[str]
    guarded: ClassVar[bool] = True
    posts: ClassVar[bool] = True
    only_looked_up: ClassVar[bool] = False
    renews: ClassVar[bool] = False
    writes = True
    number = 0

    def __init__(self, ledger: LedgerName) -> None:
        self.ledger = ledger
        self.host: str | None = None

    async def prepare(self, settings: Settings, watcher: Watcher) -> Settings:  # noqa: ARG002 - others need it
        """Before the ledger is opened, which ledger is meant, and the settings for it.

        Raises BatchShareError, as all of these may.
        """
        return settings

    async def check(self, ledger: Ledger, settings: Settings) -> None:
        """Whether there is anything to do it on, and somebody agreed to that when it was taken in.

        Raises LedgerError if rows rest on what somebody was sure of, and nobody agreed to the run then.
        """
        await sheet_of(ledger)
        unsaid = [*(await ledger.facts()).unsaid] if self.posts else []
        if settings.trust_ids and Cause.IDS_NOT_CHECKED in unsaid:
            unsaid.remove(Cause.IDS_NOT_CHECKED)
        if unsaid:
            about = "their Ids" if unsaid == [Cause.IDS_NOT_CHECKED] else "who is to get them"
            raise LedgerError(ledger.name, f"nobody has agreed to its rows ({about}): run the sheet itself again")

    async def take_in(self, session: Session, watcher: Watcher) -> None:
        """Bring the ledger up to what is to be done."""

    async def choose(self, session: Session, cut_off: int) -> Choice:  # noqa: ARG002 - most of the others need it
        """What it would do now; asked anew after each wait for an answer. An earlier run left `cut_off` calls."""
        return Choice()

    async def begin(self, session: Session) -> None:
        """Once it is agreed to, before any call."""

    async def work(self, session: Session, due: Sequence[Due]) -> None:
        """Do it, while accepted requests are followed up."""


async def do(job: Kind, settings: Settings, watcher: Watcher, course: Course | None = None) -> Ending:
    """Do a job, from opening its ledger to the results beside its sheet. What the ledger holds is never sent again.

    Raises BatchShareError for what stops it before the first call; an error after that is in the Ending, with the
    totals.
    """
    course = course or Course()
    settings = await job.prepare(settings, watcher)
    async with open_ledger(job.ledger, host=job.host) as ledger:
        await job.check(ledger, settings)
        counts = await ledger.counts()
        cut_off = rows_in(counts, INTENTS)  # under way when an earlier process was
        async with _session(ledger, job, settings, watcher, course) as session:
            if not session.stop.asked:
                await job.take_in(session, watcher)
                await recover(session)
            choice = await _agreed(job, session, watcher, course, cut_off)
            if choice is not None:
                sheet, field_ = await sheet_of(ledger), settings.marker_field
                if job.posts and field_ and field_ in (sheet.mapping or {}).values():
                    raise SettingsError("marker_field", f"the sheet has a column for {field_}: name another field")
                await job.begin(session)
                begun = ledger.now()
                following = following_up(session) if settings.follow_up else nullcontext()
                async with watcher.watch(session.progress, session.stop.ask), following:
                    await job.work(session, choice.due)
                    if job.posts and session.tally.sent and settings.audit_pages and not session.stop.asked:
                        with ending_early(session.stop):
                            await audit(session, begun)
            became = await ledger.states_of(choice.rows) if choice is not None and not job.renews else {}
            return replace(await _end(session, job), preview=course.preview, command=job.command, became=became)


async def _agreed(job: Kind, session: Session, watcher: Watcher, course: Course, cut_off: int) -> Choice | None:
    """What is to be done, once somebody has agreed to it; None if the work is to end.

    An answer that is awaited may come minutes later: others had the account meanwhile, and copies of the ledger may
    have been run. So what would be done is looked at again: less of it is done, and for anything more somebody is
    asked again.
    """
    agreed: Choice | None = None
    with ending_early(session.stop):
        while not session.stop.asked:
            choice = await job.choose(session, cut_off)
            if choice.preview is None:
                return choice
            if agreed is not None and choice.rows <= agreed.rows:
                mine, theirs = ({share for due in each.due for share in due.shares} for each in (choice, agreed))
                if mine <= theirs:  # it is no more than what was agreed to, and nothing else
                    return choice
            course.preview = choice.preview
            if choice.excess is not None:
                raise choice.excess
            answer = watcher.agree(choice.preview)
            if isawaitable(answer):
                session.tally.phase = "waiting for a confirmation"
                agreed, answer = choice, await session.answered(answer)
                await check_newest(session)
            elif answer:
                return choice
            if not answer and not session.stop.asked:
                session.stop.ask(NotConfirmed(deed=choice.preview.deed))
    return None


async def preview_of(
    session: Session, cut_off: int, *, to_do: dict[State, int], events: int, deed: str = "send"
) -> Preview:
    """What every preview says; the counts begin anew with it, and the log is told."""
    ledger = session.ledger
    session.tally.begin(await ledger.counts())
    totals = await ledger.totals()
    there, sent = ({str(state): n for state, n in each.items() if n} for each in (totals.states, to_do))
    log.info("planned", rows=there, to_do=sent)
    if cut_off:
        log.warning("calls were under way when an earlier run was cut off", rows=cut_off)
    return Preview(
        sheet=await sheet_of(ledger),
        host=session.client.base_url,
        states=totals.states,
        changes=None,
        cut_off=0,
        settings=session.settings,
        pace=session.pace,
        to_do=to_do,
        events=events,
        skipped=totals.skipped[:REASONS_SHOWN],
        waiting=totals.waiting,
        deed=deed,
        earlier=sum(totals.earlier.values()),
    )


async def sheet_of(ledger: LedgerReader) -> SheetRecord:
    """The sheet in force. Raises LedgerError if none was ever taken in: then there is nothing to do or to tell."""
    sheet = await ledger.sheet()
    if sheet is None:
        raise NoLedger(
            ledger.name,
            "it holds no sheet yet: run one with `batch-share run SHEET`",
            problem="The ledger holds no sheet yet.",
            hint="Run a sheet first.",
        )
    return sheet


@asynccontextmanager
async def _session(
    ledger: Ledger, job: Kind, settings: Settings, watcher: Watcher, course: Course
) -> AsyncIterator[Session]:
    """A session on the ledger, noted as a run; stopped if LeadSquared wants no call yet.

    Raises as `open_connection`; LedgerError if the ledger is another host's or account's.
    """
    async with AsyncExitStack() as stack:
        account = name_of_account(settings)
        stack.enter_context(about(command=job.command, ledger=ledger.name.short, account=account))
        host, access_key, _ = settings.credentials()
        facts, is_new = await ledger.facts(), await ledger.sheet() is None
        if is_new:  # nothing was ever sent for it: the host may have been mistyped
            await ledger.note(host=host)
        elif facts.host != host:
            raise LedgerError(
                ledger.name,
                f"it belongs to {facts.host}, but the host is set to {host}. Set the host it belongs to, or name "
                "another ledger with --ledger",
                problem="The ledger belongs to another LeadSquared host than the one that is set.",
                hint="Set the host that it belongs to, or use another ledger.",
            )
        accounts = ledger.accounts(job.command) if ledger.name.in_store else None
        opened = open_connection(settings, watcher, course, job.command, accounts=accounts)
        connection = await stack.enter_async_context(opened)
        # By now it was asked which account the key is of. Where that is not told, a key may have been replaced.
        ours, theirs = name_of_account(settings), None if is_new else facts.account
        is_told = ours != account_name(host, access_key)
        named = None if is_new else (await ledger.settings_of_sheet()).get("account")
        is_other = is_told and theirs != ours
        if theirs is None:  # nobody was ever told whose it is: then names tell
            is_other = bool(named and settings.account) and named != settings.account
        if is_other:
            known = sorted(settings.accounts or {})
            which = f"--account {named}" if named in known else f"--account ({first_of(known)})"
            raise LedgerError(
                ledger.name,
                f"it belongs to another account of {host}. "
                f"{f'Name its own with {which}' if known else 'Set its own keys'}, or name another ledger "
                "with --ledger",
                problem="The ledger belongs to another LeadSquared account than the one whose keys are set.",
                hint="Set the account that it belongs to, or use another ledger.",
            )
        if is_told and theirs is None:
            await ledger.note(account=ours)
        elif not is_told and theirs and not (connection.memory.account.asked or course.stop.asked):
            raise LedgerError(
                ledger.name,
                f"it belongs to one account of {host}, and LeadSquared could not be asked just now whether the "
                "keys are of it. Run it again",
                problem="LeadSquared could not be asked just now which account the keys are of.",
                hint="Run it again.",
            )
        limits = (settings.stop_after_failures, settings.stop_at) if job.guarded else (0, None)
        guard = FailureGuard(*limits, spell=spell_result)
        session = Session(**vars(connection), ledger=ledger, polls=Polls(settings.wait), guard=guard)
        session = await stack.enter_async_context(noted(session, job))
        bind_run((await ledger.last_run())[0])
        session.tally.begin(await ledger.counts())
        await note_begin(session, goes_on=job.posts)
        with logging_ends(session):
            with ending_early(session.stop):
                session.memory.check_open()
            yield session


@asynccontextmanager
async def noted(session: Session, job: Kind | type[Kind]) -> AsyncIterator[Session]:
    """The session, as a run of its ledger that it notes from beginning to end, and the index of runs at the end.

    It knows what the ledger does not know of its job. Raises LedgerError if there is a newer copy of that.
    """
    ledger, settings, ended = session.ledger, session.settings, "cut off"
    recovers = job.posts and not job.only_looked_up  # else nobody would be asked
    session = replace(session, missing=await find_missing(session, recovers=recovers))
    with closing(CallCount(settings.data_folder, (await ledger.facts()).job)) as count:
        ledger.on_call = count.note
        await ledger.begin_run(job.command, __version__, settings.public(), only_looked_up=job.only_looked_up)
        try:
            yield session
            ended = _ended(session)
        except OfAnotherSheet as error:
            ended = str(error)
            raise
        except BatchShareError as error:
            error.sent_before = session.tally.sent
            raise
        finally:
            await ledger.end_run(ended)
        # Else the index may not know what it is behind. No index has what is in a store, which may be restored.
        if await note_end(session) and session.missing is None and not ledger.name.in_store:
            count.forget()


def _ended(session: Session) -> str:
    """How the run ended, in words."""
    stop, tally = session.stop, session.tally
    ended = str(stop.error) if stop.error else STOPPED if stop.asked else DONE
    if isinstance(stop.error, NotConfirmed):
        return DECLINED
    if not tally.refusals:
        return ended
    of_bulk = f", of bulk calls {session.bulk_pacer.limit}" if session.settings.bulk else ""
    return f"{ended} ({tally.refusals} calls were refused; the limit is {session.pacer.limit}{of_bulk})"


async def _end(session: Session, job: Kind) -> Ending:
    """Write the results; that they can't be written must not hide what the ledger knows."""
    ledger, error = session.ledger, session.stop.error
    if isinstance(error, NotConfirmed):
        return Ending(await summarize(ledger), error)
    written = None
    await ledger.end_run(_ended(session))  # the results tell of it
    try:
        if job.writes:
            written = await write_beside(ledger, session.tally.remark)
        ledger.check_place()
    except BatchShareError as problem:
        log_error(problem)
        error = error or problem
    summary = await summarize(ledger, written)
    if isinstance(error, AccountClosed):
        summary = replace(summary, waiting_until=error.until)
    interrupted = session.stop.asked and error is None
    tally = session.tally
    # The tally's own remarks: what the index of runs, which is written last, has to say is among them then.
    return Ending(
        summary,
        error,
        interrupted=interrupted,
        sent=tally.sent,
        revoked_earlier=len(tally.revoked_earlier),
        looked_up=dict(tally.looked_up),
        remarks=tally.remarks,
        renews=job.renews,
    )
