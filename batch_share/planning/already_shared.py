"""What earlier runs of the account have shared, and is shared still: not shared again by another ledger.

The index of runs is of help, not of need: what goes wrong with it is remarked on, and the run goes on.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import shlex
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from batch_share.common import Action, Cause, chunks, spell_time, utc_now
from batch_share.errors import HistoryError, LedgerError, LedgerLocked, SettingsError, SheetError, sentence
from batch_share.leadsquared.account import name_of_account, names_of_account
from batch_share.ledger.files import LedgerName
from batch_share.ledger.known import (
    add_ledgers,
    catch_up,
    check_whole,
    is_in_use,
    note_runs,
    open_history,
    refresh,
)
from batch_share.ledger.reading import pages
from batch_share.ledger.records import Why, run_id
from batch_share.ledger.states import BEING_REVOKED, TO_DO, State
from batch_share.outputs import is_database
from batch_share.results.wording import BEGUN_ANEW, LOST_JOB, WITHOUT_INDEX, named_in_commands
from batch_share.sending.session import Missing
from batch_share.sending.steps import activity_marker, asked
from batch_share.settings import STORES
from batch_share.sheet.reader import SHEET_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
    from os import PathLike

    from pydantic import SecretStr

    from batch_share.ledger.known import History, KnownRun, LiveShare
    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Instruction, NewRow, Row
    from batch_share.sending.session import Session
    from batch_share.settings import Settings

_PAGE: Final = 500
MOST_LOST_TOLD: Final = 3


@dataclass(slots=True)
class AlreadyShared:
    """Tells which rows need not be sent, since their lead is shared with their user already. Of none, by default.

    `accounts` are the names by which the account is or was known. `job` is the ledger's own, which has its own way
    not to send anything twice. What ends before `after` is no reason; where it is `forced` no share is, but rows
    that are under way are held all the same. `remarks` are what went wrong.
    """

    settings: Settings | None = None
    ledger: LedgerName | None = None
    accounts: frozenset[str] = frozenset()
    host: str = ""
    job: str = ""
    after: dt.datetime = field(default_factory=utc_now)
    remarks: list[str] = field(default_factory=list)
    forced: bool = False

    def reasons(self, history: History, asked: Sequence[Instruction]) -> list[Why | None]:
        """For each, why it is not to be sent. Raises HistoryError.

        By the share that lasts longest of those that give the access that is wanted; else by a held row.
        """
        found: dict[tuple[str, str], list[LiveShare]] = {}
        leads = {each.lead_id for each in asked}
        for share in history.live_among(self.accounts, leads, self.after, not_in=self.job, host=self.host):
            found.setdefault((share.lead_id, share.user_id), []).append(share)
        whys: list[Why | None] = []
        for each in asked:
            shares, why = found.get((each.lead_id, each.user_id), ()), None
            if held := next((share for share in shares if share.held), None):
                why = Why(Cause.HELD, {"sheet": held.sheet, "run": held.run_id})
            if enough := [share for share in shares if share.access >= each.access and not self.forced]:
                last = max(enough, key=lambda share: share.ends_at)
                place = {"sheet": last.sheet, "row": last.sheet_row, "run": last.run_id}
                why = Why(Cause.ALREADY_SHARED, {"until": f"{last.ends_at:%Y-%m-%d %H:%M}"} | place)
            whys.append(why)
        return whys

    def knows_any(self) -> bool:
        """Whether there is any share of another ledger."""
        if self.settings is None:
            return False
        with _index(self.settings, self.ledger, self.remarks.append) as history, _remarking(self.remarks.append):
            return history is not None and history.knows_any(self.accounts, self.host, self.after, self.job)
        return False  # it could not be asked, which is among the remarks

    def decide(self, rows: Iterable[NewRow]) -> Iterator[NewRow]:
        """The rows of a plan, those skipped that earlier runs have shared; those failed whose activity stands."""
        if self.settings is None or not self.knows_any():
            yield from rows
            return
        left = iter(rows)
        with _index(self.settings, self.ledger, self.remarks.append) as history:
            if history is None:
                yield from left
                return
            while page := list(islice(left, _PAGE)):
                wishes = {}  # those before which nothing else has to be done
                for row in page:
                    asked, is_to_do = row.instruction, row.chosen and row.state in TO_DO
                    if is_to_do and asked is not None and asked.action is Action.SHARE:
                        wishes[row.key] = asked
                found: dict[str, Why | None] = {}
                with _remarking(self.remarks.append):
                    found = dict(zip(wishes, self.reasons(history, [*wishes.values()]), strict=True))
                for row in page:
                    why = found.get(row.key)
                    # As a run ends it: what was posted is not shared then.
                    state = State.FAILED if row.state is State.POSTED else State.SKIPPED
                    yield replace(row, state=state, why=why) if why else row

    def earlier(self, claims: Sequence[Instruction]) -> int:
        """How many shares are to be revoked, by all ledgers, this one with them."""
        shares: set[LiveShare] = set()
        if self.host and self.settings is not None and claims:
            with _index(self.settings, self.ledger, self.remarks.append) as history:
                if history is not None:
                    check_whole(history)
                    now = utc_now() if history.store is None else history.store.now()
                    shares.update(*shares_meant(history, self.host, claims, now))
        return len(shares)


def shares_meant(
    history: History, host: str, claims: Sequence[Instruction], now: dt.datetime
) -> Iterator[list[LiveShare]]:
    """For each, the shares that it asks to be revoked: its user's, or all others'. Raises HistoryError."""
    for page in chunks(claims, _PAGE):
        by_lead: dict[str, list[LiveShare]] = {}
        for share in history.live_after(now, {claim.lead_id for claim in page}, host):
            by_lead.setdefault(share.lead_id, []).append(share)
        for claim in page:
            own = claim.action is Action.REVOKE
            yield [each for each in by_lead.get(claim.lead_id, ()) if (each.user_id == claim.user_id) is own]


def live_for(settings: Settings, ledger: LedgerName, job: str, now: dt.datetime) -> AlreadyShared:
    """What other ledgers of the account have shared `now` than the one of `job`."""
    try:
        accounts, host = names_of_account(settings), settings.credentials()[0]
    except SettingsError:
        return AlreadyShared()
    after = now + dt.timedelta(minutes=settings.renew)
    return AlreadyShared(settings, ledger, accounts, host, job, after, forced=settings.force)


async def choose_renewals(ledger: LedgerReader, settings: Settings, number: int = 0) -> None:
    """Let a ledger's shares be sent again that end within the time that the settings say, or all if forced.

    The store's job of this `number` does so once, even if its end was told to nobody.
    """
    if settings.force and await ledger.is_renewing():
        return  # who types `--force` again after a run that was cut off means the same renewals
    if settings.force and number and (await ledger.facts()).forced_by == number:
        return
    if settings.renew or settings.force:
        ledger.renew_before = ledger.now() + dt.timedelta(minutes=settings.renew)
        ledger.renews_all = settings.force
        ledger.forced_by = number if settings.force else 0


# ------------------------------------------------------------------------------------------------- of a run


async def find_missing(session: Session, *, recovers: bool) -> Missing | None:
    """What the ledger does not know of its job, if it is to be recovered; None if it is as new as it can be.

    Raises LedgerError if it is an older copy, or in the place of one that is gone with its job unfinished; also if
    that is to be recovered, and the job at hand is none that `recovers`.
    """
    ledger, settings = session.ledger, session.settings
    may_recover = settings.recover and recovers
    with _index(settings, session.ledger.name, session.tally.remark) as history:
        facts, began = await ledger.facts(), [run.started_at for run in await ledger.runs()][:1]
        # Whoever asks for it may know of another copy that no index does.
        is_asked = may_recover and bool(began)
        if history is None:
            return Missing(0, began[0]) if is_asked else None
        job, gone = facts.job, None
        if not began:
            gone = history.unfinished(ledger.name.resolved(), session.client.base_url, job)
        if not began and gone is None and may_recover:  # the sheet may have been renamed or moved meanwhile
            lost = history.lost(session.client.base_url)
            if len(lost) > 1:
                raise _are_gone(ledger.name, [last for _, last in lost])
            gone = next(iter(lost), None)
        if gone is not None:
            known, last = gone
            if not may_recover:
                raise _is_gone(ledger.name, last)
            job = known.job
        calls = history.last_call(job)
        if gone is None and await ledger.last_number() >= calls and not is_asked:
            return None
        if not may_recover:
            raise _is_older(ledger.name, calls)
        since = min([*began, *(run.started_at for run in history.runs(job=job))], default=ledger.now())
        if gone is not None:
            await ledger.take_up(job, since, calls)
        history.take_aside(job)
        return Missing(calls, since)
    return None


async def lost_jobs(session: Session) -> list[str]:
    """What a person must know before a new ledger is begun: jobs that may have sent its rows, whose ledger is gone.

    Whether they did is not known: the list of ledgers has no rows but those that were shared.
    """
    if session.missing is not None or len(await session.ledger.runs()) > 1:
        return []
    with _index(session.settings, session.ledger.name, session.tally.remark) as history:
        lost = history.lost(session.client.base_url) if history else []
    told = lost[:MOST_LOST_TOLD]
    return [LOST_JOB.format(sheet=last.sheet or last.ledger, run=last.id) for _, last in told]


async def what_is_behind(name: LedgerName, ledger: LedgerReader | None, settings: Settings) -> LedgerError | None:
    """For a plan: why a run would not begin with this ledger, None where there is none.

    Every other ledger that was written since it was last looked at is looked at, as a run does.
    """
    if settings.recover:
        return None
    remarks: list[str] = []
    with _index(settings, name, remarks.append) as history, suppress(SettingsError):
        if history is not None:
            await catch_up(history, besides=name)
        if history is not None and ledger is None:
            gone = history.unfinished(name.resolved(), settings.credentials()[0], "")
            return _is_gone(name, gone[1]) if gone else None
        if history is not None and ledger is not None:
            calls = history.last_call((await ledger.facts()).job)
            return _is_older(name, calls) if await ledger.last_number() < calls else None
    return None


async def check_newest(session: Session) -> None:
    """Raises LedgerError if another copy of the ledger has made calls since this one was opened."""
    with _index(session.settings, session.ledger.name, session.tally.remark) as history:
        calls = history.last_call((await session.ledger.facts()).job) if history else 0
        if await session.ledger.last_number() < calls:
            raise _is_older(session.ledger.name, calls)


class Elsewhere(NamedTuple):
    """What other copies of a ledger, older and newer, are known to have shared and not to have ended.

    By lead and user; `revoked`: a newer one has revoked shares, so that what is not among these may be revoked.
    """

    shares: dict[tuple[str, str], LiveShare]
    revoked: bool


async def known_elsewhere(session: Session) -> Elsewhere:
    """What the index knows of a job whose ledger was recovered; nothing where it can't be read."""
    ledger, facts = session.ledger, await session.ledger.facts()
    if facts.recovered is None:
        return Elsewhere({}, revoked=False)
    with _index(session.settings, session.ledger.name, session.tally.remark) as history:
        if history is not None:
            job = facts.job
            own = {run_id(job, run.id, run.started_at) for run in await ledger.runs()}
            others = [run.counts or {} for run in history.runs(job=job) if run.id not in own]
            states = (*BEING_REVOKED, State.ENDING, State.REVOKED)
            revoked = any(counts.get(state) for counts in others for state in states)
            shares = [share for share in history.live_of(job) if share.access]
            return Elsewhere({(share.lead_id, share.user_id): share for share in shares}, revoked)
    return Elsewhere({}, revoked=False)


def _is_gone(name: LedgerName, last: KnownRun) -> LedgerError:
    return LedgerError(
        name,
        f"the ledger that was here is gone, and its job was not finished (run {last.id}, begun "
        f"{spell_time(last.started_at)}). Nothing was sent. Put it back; or run the sheet with --recover, "
        "which looks every row up in LeadSquared before it sends; or give that job up with "
        f"`batch-share runs --forget {last.id}`",
        problem="The ledger of an unfinished job is gone.",
        hint="Put it back, or recover the job from LeadSquared.",
    )


def _are_gone(name: LedgerName, lost: Sequence[KnownRun]) -> LedgerError:
    runs = ", ".join(f"{last.id} of {last.sheet or last.ledger}" for last in lost)
    return LedgerError(
        name,
        f"the ledgers of several unfinished jobs are gone (runs {runs}), and which of them this sheet is to take "
        "up is not known. Nothing was sent. Put the right one back, or give the others up, each with "
        f"`batch-share runs --forget {lost[-1].id}`",
        problem="The ledgers of several unfinished jobs are gone.",
        hint="Put the right one back, or give the other jobs up.",
    )


def _is_older(name: LedgerName, calls: int) -> LedgerError:
    named = shlex.quote(named_in_commands(name))
    return LedgerError(
        name,
        f"it is older than its job: call {calls:,} was made for that, and it does not know of it. It was restored "
        "or copied, and the other one went on. Nothing was sent. Put the newer one in its place; or have each row "
        f"looked up in LeadSquared before anything is sent: `batch-share resume {named} --recover`",
        problem="The ledger is older than its job: another copy of it went on.",
        hint="Put the newer one in its place, or have the job recovered from LeadSquared.",
    )


async def recover(session: Session) -> None:
    """Let every row be looked up of which the ledger does not know whether anything was sent.

    In a ledger that was recovered once, those too that are new in it.
    """
    missing = session.missing
    since, calls = (missing.since, missing.calls) if missing else (None, 0)
    if await session.ledger.recover(activity_marker(session), since, calls) or missing:
        await note_begin(session)


async def note_begin(session: Session, *, goes_on: bool = True) -> None:
    """Take this run into the index, and find out about earlier ones that were cut off.

    If it `goes_on` with its job, nobody has given that up any more.
    """
    with _index(session.settings, session.ledger.name, session.tally.remark) as history:
        if history is not None:
            await catch_up(history, besides=session.ledger.name)
            if goes_on:
                history.go_on((await session.ledger.facts()).job)
            await note_runs(history, session.ledger, name_of_account(session.settings), goes_on=True)


async def note_end(session: Session) -> bool:
    """Note in the index how this run ended, and what is shared by it: whether that could be done."""
    with _index(session.settings, session.ledger.name, session.tally.remark) as history:
        if history is not None:
            await refresh(history, session.ledger, name_of_account(session.settings))
            return True
    return False


async def skip_shared(session: Session, *, only_more: bool = False) -> None:
    """Skip the rows that are not shared yet whose share would repeat one of another ledger, or of a job under way.

    And send those that were skipped so once, when that is over or they are to be sent all the same, unless
    `only_more` are to be skipped.
    """
    ledger, settings = session.ledger, session.settings
    job = (await ledger.facts()).job
    live = live_for(settings, ledger.name, job, ledger.now())
    with _index(settings, session.ledger.name, session.tally.remark) as history:
        if history is None:
            return
        for action, judge in ((Action.SHARE, live), (Action.REASSIGN, replace(live, job=""))):
            if only_more:
                break
            skipped = ledger.wishes(State.SKIPPED, action)
            await _decide(session, skipped, partial(judge.reasons, history))
        if history.knows_any(live.accounts, live.host, live.after, job):
            for state in (State.PENDING, State.POSTED):
                await _decide(session, ledger.wishes(state, Action.SHARE), partial(live.reasons, history))


async def skip_reassigned(session: Session) -> None:
    """Skip the rows whose lead was taken from all others, and is shared with their user already, by any ledger."""
    settings, ledger = session.settings, session.ledger
    live = live_for(settings, ledger.name, "", ledger.now())
    with _index(settings, ledger.name, session.tally.remark) as history:
        if history is not None:
            await refresh(history, ledger, name_of_account(settings), goes_on=True)
            pending = ledger.wishes(State.PENDING, Action.REASSIGN)
            await _decide(session, pending, partial(live.reasons, history))


async def _decide(
    session: Session, wishes: AsyncIterator[Row], reasons: Callable[[Sequence[Instruction]], list[Why | None]]
) -> None:
    """Commit the reasons that are other ones than they were."""
    async for page in pages(wishes, _PAGE):
        found = zip(page, reasons([asked(row) for row in page]), strict=True)
        await session.ledger.rejudge([(row, why) for row, why in found if why != row.why])


@contextmanager
def _index(
    settings: Settings, ledger: LedgerName | None, remark: Callable[[str], None]
) -> Iterator[History | None]:
    """The index of runs, None if it can't be used. What goes wrong with it then ends the body, and no more."""
    is_open = False
    with (
        _remarking(remark),
        open_history(settings.data_folder, ledger, settings.store) as history,
    ):
        is_open = True
        if history.begun_anew is not None:
            remark(BEGUN_ANEW.format(before=history.begun_anew))
        yield history
    if not is_open:
        yield None


@contextmanager
def _remarking(remark: Callable[[str], None]) -> Iterator[None]:
    """What goes wrong with the index is remarked on."""
    try:
        yield
    except HistoryError as error:
        remark(WITHOUT_INDEX.format(why=error))


def note_move(
    settings: Settings, old: LedgerName, new: LedgerName, remark: Callable[[str], None], job: str | None = None
) -> None:
    """Note in the index that a ledger is at another place now; without its `job`, all that were ever there."""
    with _index(settings, new, remark) as history:
        if history is not None:
            history.moved(old.resolved(), new.resolved(), job)


class KnownRuns(NamedTuple):
    """The `runs` of this machine and of the store, newest first; `remarks` are what to know of them."""

    runs: Sequence[KnownRun]
    remarks: Sequence[str]


async def known_runs(settings: Settings, limit: int, added: Sequence[LedgerName]) -> KnownRuns:
    """The newest runs of this machine and of the store; ledgers that are `added` come in first.

    Raises HistoryError, LedgerError.
    """
    remarks: list[str] = []
    with open_history(settings.data_folder, store=settings.store) as history:
        if history.begun_anew is not None:
            remarks.append(BEGUN_ANEW.format(before=history.begun_anew))
        accounts: dict[str, str] = {}
        with suppress(SettingsError):  # a ledger does not say with which key it was made
            accounts[settings.credentials()[0]] = name_of_account(settings)
        older = await add_ledgers(history, added, accounts)
        remarks += [f"{each} was not taken in: a newer copy of it is known already" for each in older]
        await catch_up(history, runs_only=True)
        return KnownRuns(history.runs(limit), remarks)


async def forget_job(settings: Settings, named: str) -> KnownRun:
    """Note that nobody will finish the job of the run with this Id, or of the `last` one: that run.

    Raises LedgerError, LedgerLocked while it goes on, HistoryError.
    """
    with open_history(settings.data_folder, store=settings.store) as history:
        await catch_up(history)
        found = _run_named(history, named)
        if found.ledger.exists() and is_in_use(found.ledger):
            raise LedgerLocked(found.ledger, "its run is still going on: stop it first")
        history.forget(found, utc_now())
        return found


def _run_named(history: History, named: str) -> KnownRun:
    """Raises LedgerError."""
    found = next(iter(history.runs(1) if named == "last" else history.runs(run_id=named)), None)
    if found is None:
        known = "no run on this machine yet" if named == "last" else "no such file, and no run with this Id"
        raise LedgerError(
            named, f"there is {known}. `batch-share runs` lists the runs", problem=f"There is {known}."
        )
    return found


_RUN: Final = re.compile(r"last|[a-z2-7]{8}")


def ledger_meant(
    named: str | PathLike[str], store: SecretStr | None, settings: Callable[[], Settings]
) -> LedgerName:
    """The ledger that is meant by its own name, its sheet's, its sheet of failed rows', a run's Id, or by `last`.

    One that is there, in the `store` in force if there is one, else as a file, is meant before a run. A sheet's
    ledger is beside it, or in the store, or where it was named. Raises LedgerError, SheetError, HistoryError,
    SettingsError.
    """
    itself, file = LedgerName.of(named, store), Path(named)
    if itself.in_store and (store is None or os.fspath(named).startswith(STORES) or itself.exists()):
        return itself
    try:
        if not file.exists() and _RUN.fullmatch(str(file)):
            with open_history(settings().data_folder, store=store) as history:
                found = _run_named(history, str(file))
            if found.purged_at is not None:
                purged = f"run {found.id} was purged on {found.purged_at:%Y-%m-%d}"
                raise LedgerError(found.ledger, f"{purged}: only its counts are kept")
            return found.ledger
        if file.suffix.lower() not in SHEET_SUFFIXES:
            return itself
        beside = LedgerName.of_sheet(file, store)
        has_ledger, is_there = beside.exists(), file.is_file()
        if not (has_ledger or is_there) or is_database(file):
            return itself
    except OSError:  # whoever opens it says why it can't be looked at
        return itself
    if has_ledger:
        return beside
    stem, is_failed, _ = file.stem.partition(".failed")
    wholes = [file.with_name(f"{stem}{suffix}") for suffix in SHEET_SUFFIXES if is_failed]
    of_whole = [LedgerName.of_sheet(each, store) for each in wholes]
    there = [each for each in of_whole if each.exists()]
    if len(there) == 1:
        return there[0]
    with open_history(settings().data_folder) as history:
        elsewhere = history.ledger_of_sheet(file)
    if elsewhere is None:
        there_is_none = "it was never run on this machine, so there is no ledger of it"
        raise SheetError(
            file,
            f"{there_is_none}: `batch-share run {file}` runs it",
            problem=sentence(there_is_none),
            hint="Run it.",
        )
    return elsewhere
