"""A sheet run into its ledger, a ledger gone on with, its unknown rows settled, its requests followed up."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from batch_share.errors import BatchShareError, OfAnotherSheet
from batch_share.jobs.canary import send_canary
from batch_share.jobs.job import Choice, Kind, preview_of
from batch_share.jobs.reconcile import Reconciler
from batch_share.jobs.take_back import check_canary_of, find_due, take_back_earlier, taken_back, told_of
from batch_share.ledger.reading import ZONE
from batch_share.planning.already_shared import skip_reassigned, skip_shared
from batch_share.planning.approval import check_approval
from batch_share.planning.doubts import settle_doubt
from batch_share.planning.intake import plan_job, take_in, unread_told
from batch_share.planning.plan import named_zone
from batch_share.sending.follow_up import all_followed_up, following_up
from batch_share.sending.guards import call_by_address, check_canary, check_sizes
from batch_share.sending.onlookers import NOTHING_TAKEN, TakenBack
from batch_share.sending.sender import send_rows
from batch_share.sending.session import ending_early

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch_share.jobs.take_back import Due
    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.records import Changes
    from batch_share.ledger.store import Ledger
    from batch_share.planning.intake import SheetJob
    from batch_share.sending.onlookers import Watcher
    from batch_share.sending.session import Session
    from batch_share.settings import Settings


class Resume(Kind):
    """Go on with a ledger, without its sheet."""

    command = "resume"

    def __init__(self, ledger: LedgerName) -> None:
        super().__init__(ledger)
        self.changes: Changes | None = None
        self.notes: Sequence[str] = ()
        self.told: Sequence[str] = ()
        self.meant: Mapping[str, str] = {}

    async def prepare(self, settings: Settings, watcher: Watcher) -> None:  # noqa: ARG002 - as every Kind
        """A canary must be able to be judged."""
        check_canary(settings)

    async def choose(self, session: Session, cut_off: int) -> Choice:
        """All rows that are to be sent, but for those that other ledgers have shared."""
        ledger, settings = session.ledger, session.settings
        await skip_shared(session)
        to_do, events = await ledger.to_do_counts(), len(await ledger.events_to_do())
        preview = await preview_of(session, cut_off, to_do=to_do, events=events)
        session.tally.waiting = preview.waiting.rows
        due, told, taken = await due_in(session)
        preview = replace(
            preview,
            changes=self.changes,
            notes=self.notes,
            cut_off=cut_off,
            told=[*told, *self.told],
            taken_back=taken,
            to_share=await ledger.to_share(),
            zone=await _zone(session),
        )
        names = call_by_address(await ledger.known_users()) if settings.max_per_user is not None else {}
        check_sizes(await ledger.to_do_by_user(), settings, names, preview.revocations)
        return Choice(preview, await ledger.ids_to_do(), due)

    async def begin(self, session: Session) -> None:
        """What somebody was sure of is said now."""
        await session.ledger.note_said(self.meant)

    async def work(self, session: Session, due: Sequence[Due]) -> None:
        """The canary first, if there is to be one: its rows that were cut off are its own again once settled.

        As many rows have earlier shares taken back for them, then all others.
        """
        reconciler, most = Reconciler(session), session.settings.canary
        await reconciler.begin()
        if session.stop.asked:
            return
        if most is None:
            with ending_early(session.stop):  # whatever an earlier run had chosen is not waited for any more
                if await session.ledger.canary():
                    await session.ledger.note_canary(())
        else:
            while await reconciler.settle():
                pass
            await _take_back(session, due[:most])
            with ending_early(session.stop):
                await check_canary_of(session, due[:most])
            if not session.stop.asked:
                await send_canary(session, most)
        await _send_and_settle(session, reconciler, due[most or 0 :])


class RunSheet(Resume):
    """Take a sheet into its ledger and send what is to be sent; whoever its rows name is looked up first."""

    command = "run"

    def __init__(self, sheet: SheetJob) -> None:
        super().__init__(sheet.ledger)
        self.sheet = sheet

    async def prepare(self, settings: Settings, watcher: Watcher) -> None:
        """Read the sheet, which must be what was approved, and know who is to get the leads."""
        sheet = self.sheet
        self.plan = plan_job(sheet.sheet, sheet.options, settings)
        if sheet.approved is not None:
            check_approval(sheet.approved, self.plan, settings)
        check_canary(settings)
        self.host, _, _ = settings.account()
        if self.plan.sheet.found.doubtful:
            self.meant = await settle_doubt(sheet, self.plan, settings, watcher)

    async def check(self, ledger: Ledger, settings: Settings) -> None:
        """The ledger may be new, and what nobody has agreed to is asked again."""

    async def take_in(self, session: Session, watcher: Watcher) -> None:
        """Bring the ledger up to the sheet. An error other than OfAnotherSheet ends the run in good order."""
        try:
            self.changes = await take_in(session, self.sheet, self.plan, watcher)
            if self.meant:
                await session.ledger.note_unsaid([*self.meant])
        except OfAnotherSheet:
            raise
        except BatchShareError as error:
            session.stop.ask(error)
        self.notes = self.plan.sheet.notes() if self.changes else ()
        self.told = await unread_told(self.plan, session.ledger)


class Reconcile(Kind):
    """Settle the unknown rows of a ledger and send those alone."""

    command = "resume --only-unknown"
    guarded = False
    only_looked_up = True

    async def work(self, session: Session, due: Sequence[Due]) -> None:
        """Look each up, then send what may go on."""
        reconciler = Reconciler(session)
        await reconciler.begin()
        await _send_and_settle(session, reconciler, due)


class FollowUp(Kind):
    """Ask what became of every accepted request of a ledger."""

    command = "follow-up"
    guarded = posts = False

    async def work(self, session: Session, due: Sequence[Due]) -> None:  # noqa: ARG002 - as every Kind
        """Nothing but what is done beside every job, unless the settings say no."""
        if not session.settings.follow_up:
            async with following_up(session):
                pass


async def due_in(
    session: Session, among: frozenset[int] | None = None
) -> tuple[Sequence[Due], Sequence[str], TakenBack]:
    """The rows for which earlier shares are taken back first, what is to be told of them, and who loses what."""
    claims = await session.ledger.claims(among)
    if not claims:
        return (), (), NOTHING_TAKEN
    due = await find_due(session, claims)
    return due, [*told_of(due)], await taken_back(session, due)


async def _zone(session: Session) -> ZoneInfo | None:
    """The time zone that the settings name, else the account's; None if nobody has asked for that."""
    account = (await session.ledger.facts()).get(ZONE)
    with suppress(KeyError, ValueError, OSError):  # another machine may not know it
        return named_zone(session.settings) or (ZoneInfo(account) if account else None)
    return None


async def _take_back(session: Session, due: Sequence[Due]) -> None:
    """Take earlier shares back, and look anew at which rows repeat a share that stands now."""
    with ending_early(session.stop):
        if due:
            await take_back_earlier(session, due)
            await skip_reassigned(session)
            await skip_shared(session)
            session.tally.begin(await session.ledger.counts())


async def _send_and_settle(session: Session, reconciler: Reconciler, due: Sequence[Due]) -> None:
    """Send what is to be sent, and find out about each row of which nobody knows, until there is no more to do."""
    if not session.stop.asked:
        await _take_back(session, due)
    while not session.stop.asked:
        await send_rows(session)
        if session.stop.asked or await reconciler.settle():
            continue
        if session.settings.follow_up:
            await all_followed_up(session)
        # Rows whose request failed with those of others are to be shared by themselves.
        returned, session.health.returned = session.health.returned, 0
        if not returned:
            return
