"""The whole jobs, each from opening the ledger to the written results: run a sheet, resume, follow up."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from batch_share.common import __version__
from batch_share.errors import (
    AccountClosed,
    BatchShareError,
    LedgerError,
    NotConfirmed,
    OfAnotherSheet,
    SettingsError,
)
from batch_share.jobs.canary import drop_canary, send_canary
from batch_share.jobs.reconcile import Reconciler
from batch_share.jobs.retry import Retry
from batch_share.jobs.revoke import Undone, from_whom, revoke_rows, told_before
from batch_share.jobs.take_back import check_canary_of, find_due, take_back_earlier, taken_back, told_of
from batch_share.ledger.files import open_ledger, read_ledger
from batch_share.ledger.reading import UNANSWERED, ZONE, utc_now
from batch_share.ledger.states import State, rows_in
from batch_share.ledger.written import Output
from batch_share.logs import bind_run
from batch_share.planning.already_shared import note_begin, note_end, skip_reassigned, skip_shared
from batch_share.planning.approval import check_approval, check_said, settle_doubt, unread_told
from batch_share.planning.intake import SheetJob, plan_job, take_in
from batch_share.planning.plan import named_zone
from batch_share.results.answers import fingerprint, results_path, write_results
from batch_share.results.failed_sheet import FailedSheet, failed_path, failed_sheet_of, write_failed
from batch_share.results.report import ROWS_TOLD, report_path, write_report
from batch_share.results.summary import REASONS_SHOWN, ExitCode, Summary, code_of_ending, summarize
from batch_share.results.wording import spell_result
from batch_share.results.writing import beside, written_last
from batch_share.sending import log_events
from batch_share.sending.follow_up import all_followed_up, following_up
from batch_share.sending.guards import call_by_address, check_canary, check_sizes
from batch_share.sending.onlookers import Preview
from batch_share.sending.sender import send_rows
from batch_share.sending.session import ending_early, open_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from batch_share.jobs.retry import Wanted
    from batch_share.jobs.take_back import Due
    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Changes, SheetRecord
    from batch_share.ledger.store import Ledger
    from batch_share.outputs import Named
    from batch_share.results.writing import Placed
    from batch_share.sending.onlookers import Watcher
    from batch_share.sending.session import Session
    from batch_share.settings import Settings


async def unchanged(job: SheetJob, settings: Settings) -> Summary | None:
    """The totals of the job's ledger if its sheet and options are as they were and nothing is to be done now.

    Rows that wait for their time are not to be done now. Raises SheetError, SettingsError, LedgerError.
    """
    if not job.ledger.is_file():
        return None
    planned = plan_job(job.sheet, job.options, settings).record
    async with read_ledger(job.ledger) as ledger:
        in_force = await ledger.sheet()
        if in_force is None or in_force.digest != planned.digest:
            return None
        return await _at_rest(ledger)


async def nothing_due(ledger_file: Path) -> Summary | None:
    """The totals of a ledger if nothing is to be done in it now. Raises LedgerError."""
    async with read_ledger(ledger_file) as ledger:
        return None if await ledger.sheet() is None else await _at_rest(ledger)


async def _at_rest(ledger: LedgerReader) -> Summary | None:
    """None also where the last run came to no end, its results being part of it, or one goes on just now.

    Nor is it at rest while somebody is to be asked for again, since LeadSquared could not tell of them.
    """
    facts = await ledger.facts()
    if "results" not in facts or facts.get(UNANSWERED, "0") != "0" or await ledger.to_do_counts():
        return None
    if any(claim.state is not State.SKIPPED for claim in await ledger.claims()):
        return None
    if rows_in(await ledger.counts(), lambda state: state.is_open):
        return None
    return await summarize(ledger, await written_last(ledger, Output.RESULTS))


UNGUARDED: Final = frozenset({"follow-up", "reconcile", "revoke"})
"""Commands that must see every row to its end, however many fail."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ended: the totals, the error that stopped it early, whether a person did.

    `sent` counts the posts, shares and revocations that were. `taken_back` earlier shares were, for rows whose
    action asked for that. `looked_up` counts what settling unknown rows led to: found, absent, again (shared),
    foreign (another's); `remarks` are what else a person should know.
    """

    summary: Summary
    error: BatchShareError | None = None
    interrupted: bool = False
    sent: int = 0
    taken_back: int = 0
    looked_up: Mapping[str, int] = field(default_factory=dict)
    remarks: Sequence[str] = ()

    @property
    def exit_code(self) -> ExitCode:
        """What the ending means to a script."""
        if self.error is not None:
            return code_of_ending(self.error)
        return ExitCode.INTERRUPTED if self.interrupted else self.summary.exit_code


async def run_sheet(job: SheetJob, settings: Settings, watcher: Watcher) -> Ending:
    """Take the sheet into the ledger, send what is to be sent, follow up, and write the results beside the sheet.

    Whoever the rows name is looked up first. What the ledger holds already is never sent again. Raises
    BatchShareError for what stops it before the first call; an error after that is in the Ending, with the totals.
    """
    plan = plan_job(job.sheet, job.options, settings)
    if job.approved is not None:
        check_approval(job.approved, plan, settings)
    check_canary(settings)
    host, _, _ = settings.account()
    meant = await settle_doubt(job, plan, settings, watcher)
    async with open_ledger(job.ledger, host=host) as ledger:
        cut_off = await _under_way(ledger)
        async with _session(ledger, "run", settings, watcher) as session:
            if session.stop.asked:
                return await _end(session)
            changes = None
            try:
                changes = await take_in(session, job, plan, watcher)
                if meant:
                    await ledger.note_unsaid([*meant])
            except OfAnotherSheet:
                raise
            except BatchShareError as error:
                session.stop.ask(error)
            notes = plan.sheet.notes() if changes else ()
            told = await unread_told(plan, ledger)
            return await _work(session, watcher, cut_off, Taken(changes, notes, told, meant))


async def resume(ledger_file: Path, settings: Settings, watcher: Watcher) -> Ending:
    """Go on with a ledger, without its sheet. Raises and returns as `run_sheet`."""
    check_canary(settings)
    async with open_ledger(ledger_file) as ledger:
        await _sheet_of(ledger)
        await check_said(ledger, settings)
        cut_off = await _under_way(ledger)
        async with _session(ledger, "resume", settings, watcher) as session:
            return await _work(session, watcher, cut_off, Taken())


async def reconcile(ledger_file: Path, settings: Settings, watcher: Watcher) -> Ending:
    """Settle the unknown rows of a ledger and send those alone. Raises and returns as `run_sheet`."""
    async with open_ledger(ledger_file) as ledger:
        await _sheet_of(ledger)
        await check_said(ledger, settings)
        async with _session(ledger, "reconcile", settings, watcher, only_looked_up=True) as session:
            if session.stop.asked:
                return await _end(session)
            return await _send(session, watcher)


async def retry(ledger_file: Path, settings: Settings, watcher: Watcher, wanted: Wanted) -> Ending:
    """Send failed rows again, each from the step that failed, and no others. Raises and returns as `run_sheet`."""
    async with open_ledger(ledger_file) as ledger:
        await _sheet_of(ledger)
        await check_said(ledger, settings)
        cut_off = await _under_way(ledger)
        async with _session(ledger, "retry", settings, watcher, only_looked_up=True) as session:
            if session.stop.asked:
                return await _end(session)
            chosen = await Retry.of(ledger.failed_rows(), wanted, await ledger.put_back())
            preview = await _preview(session, to_do=chosen.to_do, events=len(chosen.events), deed="try again")
            log_events.planned(preview.states, preview.to_do, cut_off)
            try:
                due = await find_due(session, {*chosen.states, *chosen.begun})
                preview = replace(preview, cut_off=cut_off, told=[*chosen.told(), *told_of(due)])
                is_agreed = watcher.agree(replace(preview, taken_back=await taken_back(session, due)))
            except BatchShareError as error:
                session.stop.ask(error)
                return await _end(session)
            if not is_agreed:
                return await _not_confirmed(session)
            await ledger.try_again(chosen.states, chosen.begun)
            await skip_shared(session)
            session.tally.begin(await ledger.counts())
            return await _send(session, watcher, due)


async def revoke(
    ledger_file: Path, settings: Settings, watcher: Watcher, *, rows: str | None = None, user: str | None = None
) -> Ending:
    """Take back what the rows of a ledger shared: all, those with these numbers, those of this user.

    Shares that have ended are left alone. Raises and returns as `run_sheet`.
    """
    async with open_ledger(ledger_file) as ledger:
        await _sheet_of(ledger)
        undone = await Undone.find(ledger, rows, user)
        cut_off = await _under_way(ledger)
        async with _session(ledger, "revoke", settings, watcher) as session:
            if session.stop.asked:
                return await _end(session)
            standing = await ledger.shared_rows()
            chosen, ended = undone.of(standing, utc_now())
            begun = session.tally.states[State.TO_REVOKE]
            fresh = sum(row.state is not State.TO_REVOKE for row in chosen)
            preview = await _preview(session, to_do={State.TO_REVOKE: begun + fresh}, events=0, deed="take back")
            log_events.planned(preview.states, preview.to_do, cut_off)
            told = from_whom(chosen, standing, await ledger.known_users())
            told = chain(told, told_before(chosen, ended, session.tally.states, waits=settings.follow_up))
            if not watcher.agree(replace(preview, told=[*told])):
                return await _not_confirmed(session)
            async with watcher.watch(session), following_up(session) if settings.follow_up else nullcontext():
                await revoke_rows(session, undone)
            return await _end(session)


async def follow_up_ledger(ledger_file: Path, settings: Settings, watcher: Watcher) -> Ending:
    """Ask what became of every accepted request of a ledger. Raises and returns as `run_sheet`."""
    async with open_ledger(ledger_file) as ledger:
        await _sheet_of(ledger)
        async with _session(ledger, "follow-up", settings, watcher) as session:
            if session.stop.asked:
                return await _end(session)
            async with watcher.watch(session), following_up(session):
                pass
            return await _end(session)


async def _sheet_of(ledger: LedgerReader) -> SheetRecord:
    """The sheet in force. Raises LedgerError if none was ever taken in: then there is nothing to do or to tell."""
    sheet = await ledger.sheet()
    if sheet is None:
        raise LedgerError(ledger.file, "it holds no sheet yet: run one with `batch-share run SHEET`")
    return sheet


async def _under_way(ledger: Ledger) -> int:
    """Rows whose call was under way when an earlier process was cut off."""
    return rows_in(await ledger.counts(), lambda state: state.is_intent)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a person should know of a sheet that was taken in: how it was read, what was `told` of its columns.

    `meant` are columns of which somebody was sure that they say who is to get the leads.
    """

    changes: Changes | None = None
    notes: Sequence[str] = ()
    told: Sequence[str] = ()
    meant: Mapping[str, str] = field(default_factory=dict)


async def _work(session: Session, watcher: Watcher, cut_off: int, taken: Taken) -> Ending:
    ledger = session.ledger
    if session.stop.asked:
        return await _end(session)
    await skip_shared(session)
    to_do, events = await ledger.to_do_counts(), len(await ledger.events_to_do())
    preview = await _preview(session, to_do=to_do, events=events)
    log_events.planned(preview.states, to_do, cut_off)
    session.tally.waiting = preview.waiting.rows
    try:
        due = await find_due(session)
        preview = replace(
            preview,
            changes=taken.changes,
            notes=taken.notes,
            cut_off=cut_off,
            told=[*told_of(due), *taken.told],
            taken_back=await taken_back(session, due),
            to_share=await ledger.to_share(),
            zone=await _zone(session),
        )
        await _check_sizes(session, preview.revocations)
        is_agreed = watcher.agree(preview)
    except BatchShareError as error:
        session.stop.ask(error)
        return await _end(session)
    if not is_agreed:
        return await _not_confirmed(session)
    await ledger.note_said(taken.meant)
    return await _send(session, watcher, due)


async def _zone(session: Session) -> ZoneInfo | None:
    """The time zone that the settings name, else the account's; None if nobody has asked for that."""
    account = (await session.ledger.facts()).get(ZONE)
    with suppress(KeyError, ValueError, OSError):  # another machine may not know it
        return named_zone(session.settings) or (ZoneInfo(account) if account else None)
    return None


async def _check_sizes(session: Session, revocations: int) -> None:
    """Raises TooManyRows, TooManyForUser if the run would send more than it may."""
    ledger, settings = session.ledger, session.settings
    names = call_by_address(await ledger.known_users()) if settings.max_per_user is not None else {}
    check_sizes(await ledger.to_do_by_user(), settings, names, revocations)


async def _preview(session: Session, *, to_do: dict[State, int], events: int, deed: str = "send") -> Preview:
    ledger = session.ledger
    states = await ledger.counts()
    session.tally.begin(states)
    return Preview(
        sheet=await _sheet_of(ledger),
        host=session.client.base_url,
        states=states,
        changes=None,
        cut_off=0,
        settings=session.settings,
        pace=session.pace,
        to_do=to_do,
        events=events,
        skipped=await ledger.skipped(REASONS_SHOWN),
        waiting=await ledger.waiting(),
        deed=deed,
    )


async def _not_confirmed(session: Session) -> Ending:
    session.stop.ask(NotConfirmed())
    return Ending(await summarize(session.ledger), session.stop.error)


def _check_marker_field(sheet: SheetRecord | None, settings: Settings) -> None:
    """The marker must not take the place of what the sheet says. Raises SettingsError."""
    field = settings.marker_field
    if sheet is not None and field and field in (sheet.mapping or {}).values():
        raise SettingsError("marker_field", f"the sheet has a column for {field}: name another field")


async def _send(session: Session, watcher: Watcher, due: Sequence[Due] = ()) -> Ending:
    _check_marker_field(await session.ledger.sheet(), session.settings)
    async with watcher.watch(session), following_up(session) if session.settings.follow_up else nullcontext():
        await _send_and_settle(session, due)
    return await _end(session)


async def _take_back(session: Session, due: Sequence[Due]) -> None:
    """Take earlier shares back, and look anew at which rows repeat a share that stands now."""
    with ending_early(session.stop):
        if due:
            await take_back_earlier(session, due)
            await skip_reassigned(session)
            await skip_shared(session)
            session.tally.begin(await session.ledger.counts())


async def _send_and_settle(session: Session, due: Sequence[Due]) -> None:
    """Send what is to be sent, and find out about each row of which nobody knows, until there is no more to do.

    For rows that are `due` earlier shares are taken back first.
    """
    reconciler = Reconciler(session)
    await reconciler.begin()
    if not session.only_looked_up and not session.stop.asked:
        due = await _send_first(session, reconciler, due)
    if not session.stop.asked:
        await _take_back(session, due)
    if session.stop.asked:
        return
    await send_rows(session)
    while not session.stop.asked and (await reconciler.settle() or await _any_returned(session)):
        await send_rows(session)


async def _send_first(session: Session, reconciler: Reconciler, due: Sequence[Due]) -> Sequence[Due]:
    """The canary, if there is to be one: its rows that were cut off are its own again once they are settled.

    As many rows have earlier shares taken back for them; the others, that are still due.
    """
    most = session.settings.canary
    if most is None:
        await drop_canary(session)
        return due
    while await reconciler.settle():
        pass
    await _take_back(session, due[:most])
    with ending_early(session.stop):
        await check_canary_of(session, due[:most])
    if not session.stop.asked:
        await send_canary(session, most)
    return due[most:]


async def _any_returned(session: Session) -> bool:
    """Wait until every request was asked for; whether rows of one that failed are to be shared by themselves."""
    if session.settings.follow_up:
        await all_followed_up(session)
    returned, session.tally.returned = session.tally.returned, 0
    return returned > 0


@asynccontextmanager
async def _session(
    ledger: Ledger, command: str, settings: Settings, watcher: Watcher, *, only_looked_up: bool = False
) -> AsyncIterator[Session]:
    """A session on the ledger, noted in it from beginning to end; stopped if LeadSquared wants no call yet."""
    async with AsyncExitStack() as stack:
        stack.enter_context(log_events.of_job(ledger, command, settings))
        opening = open_session(settings, ledger, watcher, only_looked_up=only_looked_up)
        session = await stack.enter_async_context(opening)
        session.guard.spell = spell_result
        if command in UNGUARDED:
            session.guard.off()
        await ledger.begin_run(command, __version__, settings.public())
        bind_run(await ledger.last_run_id() or "")
        session.tally.begin(await ledger.counts())
        ended = "cut off"
        await note_begin(session)
        try:
            with log_events.from_start_to_end(session):
                with ending_early(session.stop):
                    session.memory.check_open()
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
        await note_end(session)


def _ended(session: Session) -> str:
    """How the run ended, in words."""
    stop, tally = session.stop, session.tally
    ended = str(stop.error) if stop.error else "stopped" if stop.asked else "done"
    if not tally.refusals:
        return ended
    of_bulk = f", of bulk calls {session.bulk_pacer.limit}" if session.settings.bulk else ""
    return f"{ended} ({tally.refusals} calls were refused; the limit is {session.pacer.limit}{of_bulk})"


async def _end(session: Session) -> Ending:
    """Write the results; that they can't be written must not hide what the ledger knows."""
    ledger, error = session.ledger, session.stop.error
    written = None
    await ledger.end_run(_ended(session))  # the results tell of it
    try:
        written = await _write_beside(session)
        ledger.check_place()
    except BatchShareError as problem:
        log_events.stopped_by(problem)
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
        taken_back=len(tally.taken_back),
        looked_up=dict(tally.looked_up),
        remarks=tally.remarks,
    )


async def _write_beside(session: Session) -> Path | None:
    """Write the results and the failed rows where they go; None where there is no sheet to answer.

    Not if they stand there already: else that is most of the work of a run without any. Raises BatchShareError.
    """
    ledger = session.ledger
    sheet = await ledger.sheet()
    if sheet is None:
        return None
    there = beside(ledger.file, sheet)
    before = await written_last(ledger, Output.RESULTS)
    if before is not None and ledger.results == fingerprint(before):
        await ledger.note_results(ledger.results)
        return before
    failed = await _write_failed(session, failed_path(there))
    results = await write_results(ledger, results_path(there), failed.path if failed else None)
    if results.remark:
        session.tally.remark(results.remark)
    if failed is not None:
        await ledger.note_results(fingerprint(results.path))
    return results.path


async def _write_failed(session: Session, target: Path) -> FailedSheet | None:
    """Write the failed rows; None where they can't be written, which must not hide the results either."""
    try:
        failed = await write_failed(session.ledger, target)
    except LedgerError:
        raise
    except BatchShareError as problem:
        session.tally.remark(f"The rows to mend are in no file: {str(problem).rstrip('.')}")
        return None
    if failed.remark:
        session.tally.remark(failed.remark)
    return failed


async def status_of(ledger_file: Path) -> Summary:
    """The totals of a ledger, also while a run works on it. Raises LedgerError."""
    async with read_ledger(ledger_file) as ledger:
        await _sheet_of(ledger)
        return await summarize(ledger, await written_last(ledger, Output.RESULTS))


async def results_of(ledger_file: Path, target: Named | None) -> Placed:
    """Write a ledger's results to `target`, by default beside its sheet; where they are. Raises BatchShareError."""
    async with read_ledger(ledger_file) as ledger:
        there = beside(ledger.file, await _sheet_of(ledger))
        chosen = _sparing(target, there) or results_path(there)
        return await write_results(ledger, chosen, await failed_sheet_of(ledger))


async def report_of(ledger_file: Path, target: Named | None, most: int = ROWS_TOLD) -> Placed:
    """Write a ledger's report to `target`, by default beside its sheet; where it is. Raises BatchShareError."""
    async with read_ledger(ledger_file) as ledger:
        there = beside(ledger.file, await _sheet_of(ledger))
        return await write_report(ledger, _sparing(target, there) or report_path(there), most=most)


def _sparing(target: Named | None, sheet: Path) -> Named | None:
    """The target, which is never the sheet itself."""
    return target and replace(target, spared=[sheet])
