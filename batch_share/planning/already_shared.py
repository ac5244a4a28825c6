"""What earlier runs of the account have shared, and is shared still: not shared again by another ledger.

The index of runs is of help, not of need: what goes wrong with it is remarked on, and the run goes on.
"""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from batch_share.common import Action, Cause, utc_now
from batch_share.errors import HistoryError, LedgerError, SettingsError
from batch_share.ledger.known import add_ledgers, catch_up, check_whole, note_runs, open_history, refresh
from batch_share.ledger.reading import pages
from batch_share.ledger.records import Why
from batch_share.ledger.states import State
from batch_share.sending.session import name_of_account
from batch_share.sending.steps import asked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.known import History, KnownRun, LiveShare
    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Instruction, NewRow, Row
    from batch_share.sending.session import Session
    from batch_share.settings import Settings

_PAGE: Final = 500


@dataclass(slots=True)
class AlreadyShared:
    """Tells which rows need not be sent, since their lead is shared with their user already. Of none, by default.

    `job` is the ledger's own, which has its own way not to send anything twice. What ends before `after` is no
    reason; of those that are `forced` none is. `remarks` are what went wrong.
    """

    folder: Path | None = None
    account: str = ""
    host: str = ""
    job: str = ""
    after: dt.datetime = field(default_factory=utc_now)
    remarks: list[str] = field(default_factory=list)
    forced: bool = False

    @property
    def is_known(self) -> bool:
        """Whether there is an account whose shares can be known."""
        return self.folder is not None

    def reasons(self, history: History, asked: Sequence[Instruction]) -> list[Why | None]:
        """For each, why it is not to be sent. Raises HistoryError."""
        found: dict[tuple[str, str], list[LiveShare]] = {}
        leads = {each.lead_id for each in asked}
        for share in history.live_among(self.account, leads, self.after, not_in=self.job):
            found.setdefault((share.lead_id, share.user_id), []).append(share)
        return [_reason(each.access, found.get((each.lead_id, each.user_id), ())) for each in asked]

    def decide(self, rows: Iterable[NewRow]) -> Iterator[NewRow]:
        """The rows of a plan, those skipped that earlier runs have shared."""
        if self.folder is None or self.forced:
            yield from rows
            return
        left = iter(rows)
        with _index(self.folder, self.remarks.append) as history:
            if history is None or not self._any(history):
                yield from left
                return
            while page := list(islice(left, _PAGE)):
                yield from self._decided(history, page)

    def earlier(self, claims: Sequence[Instruction]) -> int:
        """How many shares are to be revoked, by all ledgers, this one with them."""
        shares: set[LiveShare] = set()
        if self.host and self.folder is not None and claims:
            with _index(self.folder, self.remarks.append) as history, remarking(self.remarks.append):
                if history is not None:
                    check_whole(history)
                    shares.update(*shares_meant(history, self.host, claims))
        return len(shares)

    def _any(self, history: History) -> bool:
        with remarking(self.remarks.append):
            return history.any_live(self.account, self.after, not_in=self.job)
        return False

    def _decided(self, history: History, page: list[NewRow]) -> list[NewRow]:
        asked = [row.instruction for row in page if row.instruction and _may_repeat(row)]
        try:
            reasons = iter(self.reasons(history, asked))
        except HistoryError as error:
            _remark(self.remarks.append, error)
            return page
        return [
            replace(row, state=State.SKIPPED, why=why) if _may_repeat(row) and (why := next(reasons)) else row
            for row in page
        ]


def _may_repeat(row: NewRow) -> bool:
    """Whether nothing has to be done before a row is found to repeat what is shared already."""
    return row.state is State.PENDING and row.instruction is not None and row.instruction.action is Action.SHARE


def _reason(wanted: int, shares: Iterable[LiveShare]) -> Why | None:
    """By the share that lasts longest of those that give at least the access that is wanted."""
    last = max((share for share in shares if share.access >= wanted), key=lambda share: share.ends_at, default=None)
    if last is None:
        return None
    by = {"sheet": last.sheet, "row": last.sheet_row, "run": last.run_id}
    return Why(Cause.ALREADY_SHARED, {"until": f"{last.ends_at:%Y-%m-%d %H:%M}", **by})


def shares_meant(history: History, host: str, claims: Sequence[Instruction]) -> Iterator[list[LiveShare]]:
    """For each, the shares that it asks to be revoked: its user's, or all others'. Raises HistoryError."""
    left = iter(claims)
    while page := [*islice(left, _PAGE)]:
        by_lead: dict[str, list[LiveShare]] = {}
        for share in history.live_at(host, {claim.lead_id for claim in page}, utc_now()):
            by_lead.setdefault(share.lead_id, []).append(share)
        for claim in page:
            own = claim.action is Action.REVOKE
            yield [each for each in by_lead.get(claim.lead_id, ()) if (each.user_id == claim.user_id) is own]


def live_for(settings: Settings, job: str) -> AlreadyShared:
    """For a plan: what other ledgers of the account have shared than that of `job`."""
    try:
        account = name_of_account(settings)
    except SettingsError:
        return AlreadyShared()
    host = settings.account()[0]
    return AlreadyShared(settings.data_folder, account, host, job, _after(settings), forced=settings.force)


async def choose_renewals(ledger: LedgerReader, settings: Settings) -> None:
    """Let a ledger's shares be sent again that end within the time that the settings say, or all if forced."""
    if settings.force and await ledger.is_renewing():
        return  # who types `--force` again after a run that was cut off means the same renewals
    if settings.renew or settings.force:
        ledger.renew_before, ledger.renews_all = _after(settings), settings.force


def _after(settings: Settings) -> dt.datetime:
    return utc_now() + dt.timedelta(minutes=settings.renew)


# ------------------------------------------------------------------------------------------------- of a run


async def note_begin(session: Session) -> None:
    """Take this run into the index, and find out about earlier ones that were cut off."""
    with _index(session.settings.data_folder, session.tally.remark) as history:
        if history is not None:
            with remarking(session.tally.remark):
                await catch_up(history, besides=session.ledger.name)
                await note_runs(history, session.ledger, name_of_account(session.settings), goes_on=True)


async def note_end(session: Session) -> None:
    """Note in the index how this run ended, and what is shared by it."""
    with _index(session.settings.data_folder, session.tally.remark) as history:
        if history is not None:
            with remarking(session.tally.remark):
                await refresh(history, session.ledger, name_of_account(session.settings))


async def skip_shared(session: Session) -> None:
    """Skip the rows, of those that nothing was sent for, whose share would repeat one of another ledger.

    And send those that were skipped so once, when that is over or they are to be sent all the same.
    """
    ledger, settings = session.ledger, session.settings
    job = (await ledger.facts())["job"]
    live = AlreadyShared(settings.data_folder, name_of_account(settings), "", job, _after(settings))
    with _index(settings.data_folder, session.tally.remark) as history:
        if history is None:
            return
        with remarking(session.tally.remark):
            for action, judge in ((Action.SHARE, live), (Action.REASSIGN, replace(live, job=""))):
                skipped = ledger.wishes(State.SKIPPED, action)
                await _decide(session, skipped, partial(_reasons, judge, history, force=settings.force))
            if not settings.force and history.any_live(live.account, live.after, not_in=job):
                pending = ledger.wishes(State.PENDING, Action.SHARE)
                await _decide(session, pending, partial(live.reasons, history))


async def skip_reassigned(session: Session) -> None:
    """Skip the rows whose lead was taken from all others, and is shared with their user already, by any ledger."""
    settings = session.settings
    account = name_of_account(settings)
    live = AlreadyShared(settings.data_folder, account, after=_after(settings))
    with _index(settings.data_folder, session.tally.remark) as history:
        if history is None or settings.force:
            return
        with remarking(session.tally.remark):
            await refresh(history, session.ledger, account, goes_on=True)
            pending = session.ledger.wishes(State.PENDING, Action.REASSIGN)
            await _decide(session, pending, partial(live.reasons, history))


def _reasons(
    live: AlreadyShared, history: History, page: Sequence[Instruction], *, force: bool
) -> list[Why | None]:
    return [None] * len(page) if force else live.reasons(history, page)


async def _decide(
    session: Session, wishes: AsyncIterator[Row], reasons: Callable[[Sequence[Instruction]], list[Why | None]]
) -> None:
    """Commit the reasons that are other ones than they were."""
    async for page in pages(wishes, _PAGE):
        found = zip(page, reasons([asked(row) for row in page]), strict=True)
        await session.ledger.rejudge([(row, why) for row, why in found if why != row.why])


@contextmanager
def _index(folder: Path, remark: Callable[[str], None]) -> Iterator[History | None]:
    """The index of runs, None if it can't be used."""
    try:
        opened = open_history(folder)
        history = opened.__enter__()
    except HistoryError as error:
        _remark(remark, error)
        yield None
        return
    try:
        if history.begun_anew is not None:
            remark(_begun_anew(history.begun_anew))
        yield history
    finally:
        opened.__exit__(None, None, None)


@contextmanager
def remarking(remark: Callable[[str], None]) -> Iterator[None]:
    """What goes wrong with the index is remarked on, and no more."""
    try:
        yield
    except HistoryError as error:
        _remark(remark, error)


def _remark(remark: Callable[[str], None], error: HistoryError) -> None:
    remark(f"{error}. The run goes on without it: shares of other ledgers are not seen, nor is this one by them")


def note_move(settings: Settings, old: LedgerName, new: LedgerName, remark: Callable[[str], None]) -> None:
    """Note in the index that a ledger is at another place now."""
    with _index(settings.data_folder, remark) as history, remarking(remark):
        if history is not None:
            history.moved(old.resolved(), new.resolved())


class KnownRuns(NamedTuple):
    """Runs of this machine, newest first. `remarks` say, in a sentence each, what a person should know of them."""

    runs: Sequence[KnownRun]
    remarks: Sequence[str]


async def known_runs(settings: Settings, limit: int, added: Sequence[LedgerName]) -> KnownRuns:
    """The newest runs of this machine; ledgers that are `added` come in first. Raises HistoryError, LedgerError."""
    remarks: list[str] = []
    with open_history(settings.data_folder) as history:
        if history.begun_anew is not None:
            remarks.append(_begun_anew(history.begun_anew))
        await add_ledgers(history, added, _accounts(settings))
        await catch_up(history)
        return KnownRuns(history.runs(limit), remarks)


def ledger_of_run(settings: Settings, named: str) -> LedgerName:
    """The ledger of the run with this Id, or of the `last` one. Raises LedgerError, HistoryError."""
    with open_history(settings.data_folder) as history:
        found = next(iter(history.runs(1)), None) if named == "last" else history.run(named)
    if found is None:
        known = "no run yet on this machine" if named == "last" else "no such file, and no run with this Id"
        raise LedgerError(
            named, f"there is {known}. `batch-share runs` lists the runs", problem=f"There is {known}."
        )
    if found.purged_at is not None:
        raise LedgerError(
            found.ledger, f"run {found.id} was purged on {found.purged_at:%Y-%m-%d}: only its counts are kept"
        )
    return found.ledger


def _accounts(settings: Settings) -> dict[str, str]:
    """The account that is set, by its host: a ledger does not say with which key it was made."""
    with suppress(SettingsError):
        host, _, _ = settings.account()
        return {host: name_of_account(settings)}
    return {}


def _begun_anew(before: Path) -> str:
    return (
        f"The index of runs could not be read and was begun anew (the old one is {before}): what earlier ledgers "
        "have shared is known again after `batch-share runs --add LEDGER`"
    )
