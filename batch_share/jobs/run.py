"""A sheet run into its ledger, a ledger gone on with, its unknown rows settled, its requests followed up.

With a canary, the first rows of a run are brought to their end before any other is sent.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from batch_share.errors import BatchShareError, CanaryFailed, OfAnotherSheet, SettingsError
from batch_share.jobs.job import Choice, Kind, preview_of, sheet_of
from batch_share.jobs.reconcile import Reconciler
from batch_share.jobs.revoke_earlier import (
    check_canary_of,
    find_due,
    reported_of,
    revoke_earlier,
    revoked_earlier,
    still_due,
)
from batch_share.ledger.reading import ZONE, pages
from batch_share.ledger.states import Stage, State
from batch_share.planning.already_shared import choose_renewals, live_for, skip_reassigned, skip_shared
from batch_share.planning.intake import plan_job, plan_meant, settle_doubt, take_in, unread_columns
from batch_share.planning.overview import Counts
from batch_share.planning.plan import check_approval, named_zone
from batch_share.results.wording import spell_row
from batch_share.sending.follow_up import all_followed_up, following_up
from batch_share.sending.guards import call_by_address, check_canary, excesses
from batch_share.sending.onlookers import NOTHING_REVOKED, RevokedEarlier
from batch_share.sending.owner import find_key_user, is_verified, note_proof, verify_owner
from batch_share.sending.sender import send_rows
from batch_share.sending.session import Form, ending_early
from batch_share.sending.steps import activity_marker, asked, in_time, post, posted, share
from batch_share.sheet.mapping import Remembered, SheetMapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from batch_share.jobs.revoke_earlier import Due
    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.records import Row
    from batch_share.ledger.statistics import Changes
    from batch_share.ledger.store import Ledger
    from batch_share.planning.intake import SheetJob
    from batch_share.sending.onlookers import Watcher
    from batch_share.sending.session import Session
    from batch_share.settings import Settings


async def send_canary(session: Session, most: int) -> None:
    """Send `most` rows one by one and wait for the status API's word on each; rows shared before count.

    Those of a run that was cut off before it judged them are judged now, and those of one that failed once more:
    until they are fixed, tried again or left out, no others are sent. What ended it early is `session.stop.error`:
    CanaryFailed if any of them did not get shared.
    """
    ledger = session.ledger
    with ending_early(session.stop):
        rows = await _chosen(ledger, most)
        if not rows:
            return
        await ledger.note_canary(row.id for row in rows)
        await _send(session, [row for row in rows if row.state.is_to_do])
        await all_followed_up(session)
        if session.stop.asked:
            return
        judged = await ledger.rows_by_id([row.id for row in rows])
        # While one of them has failed it stays noted: the same command again sends no other rows.
        _decide(judged, ledger.name)
        await ledger.note_canary(())


async def _chosen(ledger: Ledger, most: int) -> list[Row]:
    """Rows that an earlier run did not see shared, then as many more as are missing: accepted ones, fresh ones."""
    chosen = {row.id: row for row in await ledger.canary() if _is_on_its_way(row)}
    counts = await ledger.counts()
    shared_before = counts.get(State.SHARED, 0) + counts.get(State.ENDED, 0)
    room = most - shared_before + sum(row.state is State.SHARED for row in chosen.values())
    chosen |= {row.id: row for row in await ledger.accepted_rows(max(0, room - len(chosen)))}
    async for row in ledger.to_do():
        if len(chosen) >= room:
            break
        chosen.setdefault(row.id, row)
    return [*chosen.values()]


def _is_on_its_way(row: Row) -> bool:
    """Whether it is still for a canary to tell: not one that is skipped by now, or whose share was revoked."""
    is_going = row.state.is_to_do or row.state.is_shared or row.state in {State.FAILED, State.UNKNOWN}
    return is_going and row.stage is not Stage.REVOKE


async def _send(session: Session, rows: Sequence[Row]) -> None:
    if rows and session.settings.bulk and session.memory.account.ignores_owner:
        raise SettingsError("canary", "rows posted by themselves do not get their user as owner here: run without")
    session.tally.phase = "sending the canary"
    key_user_id = await find_key_user(session) if rows else ""
    for row in rows:
        if session.stop.asked:
            return
        await _send_row(session, row, key_user_id)


async def _send_row(session: Session, row: Row, key_user_id: str) -> None:
    """Post it, check its owner unless that was proved for its type, and share it."""
    if not await in_time(session, row):
        return
    form = Form.EARLIER if row.state is State.POSTED else Form.SINGLE
    if form is Form.SINGLE:
        activity_id = await post(session, row)
        if activity_id is None:
            return
        row = posted(row, activity_id)
    await _check_owner(session, row, form, key_user_id)
    if await in_time(session, row):
        await share(session, [row])


async def _check_owner(session: Session, row: Row, form: Form, key_user_id: str) -> None:
    wanted = asked(row)
    if is_verified(session, wanted.event, form, wanted.user_id):
        return
    await verify_owner(session, row, wanted, row.activity_id or "")
    note_proof(session, wanted.event, form, wanted.user_id, key_user_id)


def _decide(rows: Sequence[Row], ledger: LedgerName) -> None:
    """Raises CanaryFailed unless all are shared."""
    bad = next((row for row in rows if row.state is not State.SHARED), None)
    if bad is not None:
        counts = Counter(str(row.state) for row in rows)
        why = spell_row(bad) or f"it is {bad.state}"
        raise CanaryFailed(len(rows), dict(counts), bad.sheet_row, why, str(ledger))


class Resume(Kind):
    """Go on with a ledger, without its sheet."""

    command = "resume"
    renews = True

    def __init__(self, ledger: LedgerName) -> None:
        super().__init__(ledger)
        self.changes: Changes | None = None
        self.notes: Sequence[str] = ()
        self.reported: Sequence[str] = ()
        self.meant: Mapping[str, str] = {}
        self.read_notes: Sequence[str] = ()

    async def prepare(self, settings: Settings, watcher: Watcher) -> Settings:  # noqa: ARG002 - as every Kind
        """A canary must be able to be judged."""
        check_canary(settings)
        return settings

    async def choose(self, session: Session, cut_off: int) -> Choice:
        """All rows that are to be sent, but for those that other ledgers have shared."""
        ledger, settings = session.ledger, session.settings
        await skip_shared(session)
        await choose_renewals(ledger, settings)
        due, reported, taken = await due_in(session)
        counts = await self._counted(session)
        counts.earlier = sum(taken.users.values())
        names = await ledger.type_names()
        preview = await preview_of(session, cut_off, to_do=counts.to_do, events=len(counts.events))
        session.tally.waiting = counts.waiting.rows
        preview = replace(
            preview,
            waiting=counts.waiting,
            changes=self.changes,
            notes=self.notes,
            cut_off=cut_off,
            reported=[*renewed(*await ledger.renewals()), *reported, *self.reported],
            revoked_earlier=taken,
            activities=[(event, names.get(event, "")) for event in counts.events],
            to_share=await ledger.to_share(),
            zone=counts.zone,
            plan=counts.as_json(),
        )
        addresses = call_by_address(await ledger.known_users())
        excess = next(excesses(counts.due, settings, addresses, counts.earlier), None)
        return Choice(preview, await ledger.ids_to_do(), due, excess)

    async def _counted(self, session: Session) -> Counts:
        """What is to be done, as a plan counts it."""
        ledger = session.ledger
        users = {user: f"{name} <{email}>" for user, (name, email) in (await ledger.known_users()).items() if user}
        counts = Counts(
            record=await sheet_of(ledger),
            settings=session.settings,
            account=session.memory.account,
            zone=await _zone(session),
            notes=self.read_notes,
            user_name=lambda user: users.get(user, user),
            recalled=self.changes.recalled if self.changes else 0,
        )
        live = live_for(session.settings, (await ledger.facts())["job"])
        async for page in pages(ledger.planned()):
            # All but what is renewed was judged already.
            for row in live.decide(page) if ledger.renew_before is not None else page:
                counts.add(row)
        return counts

    async def begin(self, session: Session) -> None:
        """What somebody was sure of is said now; each share that is to be renewed has another row from now on."""
        ledger = session.ledger
        await ledger.note_said(self.meant)
        if await ledger.renew(activity_marker(session)):
            ledger.renew_before = None
            await skip_shared(session)
            session.tally.begin(await ledger.counts())

    async def work(self, session: Session, due: Sequence[Due]) -> None:
        """The canary first, if there is to be one: its rows that were cut off are its own again once settled.

        As many rows have earlier shares revoked for them, then all others.
        """
        reconciler, most = Reconciler(session), session.settings.canary
        await reconciler.begin()
        if any(each.claim.state is State.UNKNOWN for each in due):  # of a ledger that was recovered
            while await reconciler.settle():
                pass
            due = await still_due(session, due)
        if session.stop.asked:
            return
        if most is None:
            with ending_early(session.stop):  # whatever an earlier run had chosen is not waited for any more
                if await session.ledger.canary():
                    await session.ledger.note_canary(())
        else:
            while await reconciler.settle():
                pass
            await _revoke_earlier(session, due[:most])
            with ending_early(session.stop):
                await check_canary_of(session, due[:most])
            if not session.stop.asked:
                await skip_shared(session, only_more=True)
                await send_canary(session, most)
        await _send_and_settle(session, reconciler, due[most or 0 :])


class RunSheet(Resume):
    """Take a sheet into its ledger and send what is to be sent; whoever its rows name is looked up first."""

    command = "run"

    def __init__(self, sheet: SheetJob) -> None:
        super().__init__(sheet.ledger)
        self.sheet = sheet

    async def prepare(self, settings: Settings, watcher: Watcher) -> Settings:
        """Read the sheet, which must be what was approved, and know who is to get the leads.

        A sheet of failed rows goes on with the job that they are of.
        """
        self.sheet, settings, self.plan = await plan_meant(self.sheet, settings)
        sheet, self.ledger = self.sheet, self.sheet.ledger
        if sheet.approved is not None:
            approved = check_approval(sheet.approved, self.plan, settings)
            self.plan = replace(self.plan, approved_types=approved.activity_types)
        check_canary(settings)
        self.host, _, _ = settings.account()
        if self.plan.sheet.found.doubtful:
            self.meant = await settle_doubt(sheet, self.plan, settings, watcher)
        return settings

    async def check(self, ledger: Ledger, settings: Settings) -> None:  # noqa: ARG002 - as every Kind
        """The ledger may be new, and what nobody has agreed to is asked again.

        What was corrected is looked at anew, now that nobody else can send any of it.
        """
        if self.sheet.corrects:
            self.plan = await plan_job(self.sheet, settings)

    async def begin(self, session: Session) -> None:
        """What was said of the columns is known from now on for other sheets with these headers."""
        sheet, folder = self.plan.sheet, session.settings.data_folder
        said = sheet.mapping
        if self.plan.rules.orders:
            said = replace(said, dates=session.settings.dates or said.dates)
        if said != SheetMapping() and not self.sheet.corrects:
            try:
                Remembered.load(folder).keep(folder, sheet.columns, said)
            except OSError as error:
                session.tally.remark(f"What its columns hold can't be kept for other sheets ({error.strerror})")
        await super().begin(session)

    async def take_in(self, session: Session, watcher: Watcher) -> None:
        """Bring the ledger up to the sheet. An error other than OfAnotherSheet ends the run in good order."""
        try:
            self.changes = await take_in(session, self.plan, watcher)
            if self.meant:
                await session.ledger.note_unsaid([*self.meant])
            for _ in self.plan.sheet.rows() if self.changes is None else ():
                pass  # only then all is known that is to be said of it
        except OfAnotherSheet:
            raise
        except BatchShareError as error:
            session.stop.ask(error)
        sheet = self.plan.sheet
        self.read_notes = [*sheet.notes(), *sheet.of_people]
        self.notes = sheet.notes() if self.changes else ()
        self.reported = await unread_columns(self.plan, session.ledger)


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


def renewed(shares: int, standing: int) -> Iterator[str]:
    """What a person is to know of shares that are renewed."""
    if shares:
        one = "1 share is" if shares == 1 else f"{shares:,} shares are"
        overlap = f"; {standing:,} of them not ended yet: old and new overlap until then" if standing else ""
        yield f"{one} renewed, each with an activity of its own{overlap}"


async def due_in(
    session: Session, among: frozenset[int] | None = None
) -> tuple[Sequence[Due], Sequence[str], RevokedEarlier]:
    """The rows for which earlier shares are revoked first, what is to be told of them, and who loses what."""
    claims = await session.ledger.claims(among)
    if not claims:
        return (), (), NOTHING_REVOKED
    due = await find_due(session, claims)
    return due, [*reported_of(due)], await revoked_earlier(session, due)


async def _zone(session: Session) -> ZoneInfo | None:
    """The time zone that the settings name, else the account's; None if nobody has asked for that."""
    account = (await session.ledger.facts()).get(ZONE)
    with suppress(KeyError, ValueError, OSError):  # another machine may not know it
        return named_zone(session.settings) or (ZoneInfo(account) if account else None)
    return None


async def _revoke_earlier(session: Session, due: Sequence[Due]) -> None:
    """Revoke earlier shares, and look anew at which rows repeat a share that stands now."""
    with ending_early(session.stop):
        if due:
            await revoke_earlier(session, due)
            await skip_reassigned(session)
            await skip_shared(session)
            session.tally.begin(await session.ledger.counts())


async def _send_and_settle(session: Session, reconciler: Reconciler, due: Sequence[Due]) -> None:
    """Send what is to be sent, and find out about each unknown row, until there is no more to do."""
    if not session.stop.asked:
        await _revoke_earlier(session, due)
    while not session.stop.asked:
        with ending_early(session.stop):
            if session.tally.looked_up:  # which may take so long that another ledger shares the same by now
                await skip_shared(session, only_more=True)
                session.tally.begin(await session.ledger.counts())
        await send_rows(session)
        if session.stop.asked or await reconciler.settle():
            continue
        if session.settings.follow_up:
            await all_followed_up(session)
        # Rows whose request failed with those of others are to be shared by themselves.
        returned, session.health.returned = session.health.returned, 0
        if not returned:
            return
