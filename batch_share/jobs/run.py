"""A sheet run into its ledger, which is gone on with, its unknown rows settled, failed ones tried again.

With a canary, the first rows of a run are brought to their end before any other is sent.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from batch_share.common import Cause, ascii_lower
from batch_share.errors import BatchShareError, CanaryFailed, OfAnotherSheet, SettingsError, check_not_empty
from batch_share.jobs.job import Choice, Kind, preview_of, sheet_of
from batch_share.jobs.reconcile import Reconciler
from batch_share.jobs.revoke import find_due, revoke_earlier
from batch_share.leadsquared.account import tried
from batch_share.leadsquared.guesses import HOPELESS
from batch_share.ledger.queries import ACCEPTED, Reasons
from batch_share.ledger.reading import pages
from batch_share.ledger.records import NewRow
from batch_share.ledger.states import ARE_SHARED, INTENTS, PROCESSING, TO_DO, Stage, State
from batch_share.planning.already_shared import choose_renewals, live_for, lost_jobs, skip_reassigned, skip_shared
from batch_share.planning.intake import plan_job, plan_meant, settle_doubt, take_in
from batch_share.planning.overview import Counts
from batch_share.planning.plan import check_approval, named_zone
from batch_share.results.wording import NOT_KEPT, OVERLAP, RENEWED, named_in_commands, spell_retry, spell_row
from batch_share.sending.audit import audit
from batch_share.sending.follow_up import all_followed_up, following_up
from batch_share.sending.guards import call_by_address, check_canary, excesses
from batch_share.sending.onlookers import NOTHING_REVOKED, RevokedEarlier
from batch_share.sending.sender import Sender, send_rows
from batch_share.sending.session import ending_early
from batch_share.sending.steps import activity_marker, asked
from batch_share.sheet.columns import Field, spell_unread
from batch_share.sheet.mapping import Remembered, SheetMapping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from batch_share.jobs.job import Due
    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.records import Changes, Row
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
    to_do: list[Row] = []

    async def first() -> AsyncIterator[Row]:
        for row in to_do:
            yield row

    with ending_early(session.stop):
        # Rows that an earlier run did not see shared, but for those that are skipped by now, or were revoked.
        going = [row for row in await ledger.canary() if row.stage is not Stage.REVOKE]
        tried = {State.FAILED, State.UNKNOWN}
        going = [row for row in going if row.state in TO_DO or row.state in ARE_SHARED or row.state in tried]
        # Then as many more as are missing: accepted ones, fresh ones.
        counts, chosen = await ledger.counts(), {row.id: row for row in going}
        room = most - counts.get(State.SHARED, 0) - counts.get(State.ENDED, 0)
        room += sum(row.state is State.SHARED for row in going)
        chosen |= {row.id: row for row in await ledger.rows_where(ACCEPTED, most=max(0, room - len(chosen)))}
        async for row in ledger.to_do():
            if len(chosen) >= room:
                break
            chosen.setdefault(row.id, row)
        if not chosen:
            return
        await ledger.note(canary=[*chosen])
        if any(row.state is State.ACCEPTED for row in chosen.values()):
            # The request of many may fail for another row of it: then these are shared by themselves as well.
            await all_followed_up(session)
            chosen = await ledger.rows_by_id(chosen)
        to_do += [row for row in chosen.values() if row.state in TO_DO]
        if to_do:
            if session.settings.bulk and session.memory.account.ignores_owner:
                wrong = "rows posted by themselves do not get their user as owner here: run without"
                raise SettingsError("canary", wrong)
            session.tally.phase = "sending the canary"
            await Sender(session, first(), workers=1).send()
        await all_followed_up(session)
        if session.stop.asked:
            return
        judged = [*(await ledger.rows_by_id(chosen)).values()]
        # While one of them has failed it stays noted: the same command again sends no other rows.
        _check_canary(judged, [row for row in judged if row.state is not State.SHARED], ledger.name)
        await ledger.note(canary=[])


def _check_canary(rows: Sequence[Row], bad: Sequence[Row], ledger: LedgerName) -> None:
    """Raises CanaryFailed, with the first of these, if some of the rows are bad."""
    if bad:
        counts, why = Counter(str(row.state) for row in rows), spell_row(bad[0]) or f"it is {bad[0].state}"
        raise CanaryFailed(len(rows), dict(counts), bad[0].sheet_row, why, named_in_commands(ledger))


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
        await choose_renewals(ledger, settings, self.number)
        due, reported, taken = await _due_in(session)
        counts = await self._counted(session)
        counts.earlier = sum(taken.users.values())
        names = await ledger.type_names()
        preview = await preview_of(session, cut_off, to_do=counts.to_do, events=len(counts.events))
        session.tally.waiting = counts.waiting.rows
        shares, standing = await ledger.renewals()
        if shares:
            told = RENEWED.format(shares="1 share is" if shares == 1 else f"{shares:,} shares are")
            reported = [OVERLAP.format(shares=told, standing=standing) if standing else told, *reported]
        preview = replace(
            preview,
            waiting=counts.waiting,
            changes=self.changes,
            notes=self.notes,
            cut_off=cut_off,
            reported=[*await lost_jobs(session), *reported, *self.reported],
            revoked_earlier=taken,
            activities=[(event, names.get(event, "")) for event in counts.events],
            to_share=await ledger.to_share(),
            zone=counts.zone,
            plan=counts.as_json(),
            is_verified=session.memory.account.shared or tried(settings) is not None,
        )
        addresses = call_by_address(await ledger.known_users())
        excess = next(excesses(counts.due, settings, addresses, counts.earlier), None)
        return Choice(preview, frozenset(await ledger.ids_to_do()), due, excess)

    async def _counted(self, session: Session) -> Counts:
        """What is to be done, as a plan counts it."""
        ledger, zone = session.ledger, None
        facts = await ledger.facts()
        with suppress(KeyError, ValueError, OSError):  # another machine may not know it
            zone = named_zone(session.settings) or (ZoneInfo(facts.zone) if facts.zone else None)
        users = {user: f"{name} <{email}>" for user, (name, email) in (await ledger.known_users()).items() if user}
        counts = Counts(
            record=await sheet_of(ledger),
            settings=session.settings,
            account=session.memory.account,
            now=ledger.now(),
            zone=zone,
            notes=self.read_notes,
            user_name=lambda user: users.get(user, user),
            recalled=self.changes.recalled if self.changes else 0,
        )
        live = live_for(session.settings, ledger.name, facts.job, ledger.now())
        async for page in pages(ledger.planned()):
            rows = list[NewRow]()
            for each in page:
                if isinstance(each, NewRow):
                    rows.append(each)
                else:
                    counts.add_known(*each)
            # All but what is renewed was judged already.
            for row in live.decide(rows) if ledger.renew_before is not None else rows:
                counts.add(row)
        return counts

    async def begin(self, session: Session) -> None:
        """What somebody was sure of is said now; each share that is to be renewed has another row from now on."""
        ledger = session.ledger
        await ledger.note(said_columns={**(await ledger.facts()).said_columns, **self.meant}, unsaid=[])
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
            rows = await session.ledger.rows_by_id({each.claim.id for each in due})
            looked_up = (replace(each, claim=rows[each.claim.id]) for each in due)
            due = [each for each in looked_up if each.claim.state in {State.PENDING, State.SKIPPED}]
        if session.stop.asked:
            return
        if most is None:
            with ending_early(session.stop):  # whatever an earlier run had chosen is not waited for any more
                if await session.ledger.canary():
                    await session.ledger.note(canary=[])
        else:
            while await reconciler.settle():
                pass
            await _revoke_earlier(session, due[:most])
            with ending_early(session.stop):
                first = [*(await session.ledger.rows_by_id({each.claim.id for each in due[:most]})).values()]
                _check_canary(first, [row for row in first if row.stage is Stage.EARLIER], session.ledger.name)
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
        self.host, _, _ = settings.credentials()
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
                session.tally.remark(NOT_KEPT.format(why=error.strerror))
        await super().begin(session)

    async def take_in(self, session: Session, watcher: Watcher) -> None:
        """Bring the ledger up to the sheet. An error other than OfAnotherSheet ends the run in good order."""
        try:
            self.changes = await take_in(session, self.plan, watcher)
            if self.meant:
                unsaid = (await session.ledger.facts()).unsaid
                await session.ledger.note(unsaid=sorted({*unsaid, *self.meant}))
            for _ in self.plan.sheet.rows() if self.changes is None else ():
                pass  # only then all is known that is to be said of it
        except OfAnotherSheet:
            raise
        except BatchShareError as error:
            session.stop.ask(error)
        sheet = self.plan.sheet
        self.read_notes = [*sheet.notes(), *sheet.of_people]
        self.notes = sheet.notes() if self.changes else ()
        # Of columns that hold somebody and are not read it is told once users were looked up.
        known = await session.ledger.known_users()
        users = {ascii_lower(name) for user_id, (_, email) in known.items() for name in (user_id or "", email)}
        self.reported = [*spell_unread(sheet.columns, sheet.found, users - {""})]
        self.reported += [f"{told}: {option}" if option else told for told, option in sheet.checks.items()]
        if (wire_log := session.client.wire_log) is not None and (taken := await session.ledger.sheet()):
            mapping = taken.mapping or {}
            async for row in session.ledger.in_order():
                cells = {
                    mapping[name]: cell
                    for name, cell in zip(taken.columns, row.cells, strict=False)
                    if name in mapping
                }
                if row.instruction:  # what people call a type of activity is hidden
                    cells[Field.EVENT] = str(row.instruction.event)
                wire_log.note_row(row.sheet_row, cells)


class AuditLedger(Kind):
    """Look whether every activity that a ledger knows of is at LeadSquared once, and no other of its rows."""

    command = "status --audit"
    guarded = False
    posts = False

    async def work(self, session: Session, due: Sequence[Due]) -> None:  # noqa: ARG002 - as every Kind
        """Ask for all that was ever posted."""
        with ending_early(session.stop):
            await audit(session)


class Reconcile(Kind):
    """Settle the unknown rows of a ledger and send those alone."""

    command = "resume --only-unknown"
    guarded = False
    only_looked_up = True

    async def choose(self, session: Session, cut_off: int) -> Choice:  # noqa: ARG002 - as every Kind
        """Nobody is asked: whatever is unknown is meant, but for revocations, of which no look-up tells."""
        lost = {row.id for row in await session.ledger.unknown_rows(Stage.REVOKE)}
        return Choice(rows=await session.ledger.ids_in(State.UNKNOWN, *INTENTS) - lost)

    async def work(self, session: Session, due: Sequence[Due]) -> None:
        """Look each up, then send what may go on."""
        reconciler = Reconciler(session)
        await reconciler.begin()
        await _send_and_settle(session, reconciler, due)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which failed rows to try again: those whose reason holds `reason` (None: all), which may not be empty.

    With `everything` the hopeless too. Raises SettingsError.
    """

    reason: str | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        check_not_empty("reason", self.reason)


class RetryFailed(Reconcile):
    """Send failed rows again, each from the step that failed, and no others but those that a retry began."""

    command = "retry"
    guarded = True

    def __init__(self, ledger: LedgerName, wanted: Wanted) -> None:
        super().__init__(ledger)
        self.wanted = wanted

    async def choose(self, session: Session, cut_off: int) -> Choice:
        """Those that are wanted, by what people are told of them, and that another try may help."""
        ledger, part = session.ledger, (self.wanted.reason or "").casefold()
        begun = await ledger.put_back()
        self.begun, self.states = {row.id: row.state for row in begun}, dict[int, State]()
        events = {asked(row).event for row in begun if row.state is State.PENDING}
        reasons, left = Reasons(), Reasons()
        async for row in ledger.failed_rows():
            if part and part not in spell_row(row).casefold():
                continue
            if not self.wanted.everything and is_hopeless(row):
                left.add(row)
                continue
            reasons.add(row)
            # A row whose activity stands, and is its user's, goes on with it.
            stands = row.activity_id and row.stage is not Stage.ACTIVITY
            self.states[row.id] = State.POSTED if stands else State.PENDING
            if not stands:
                events.add(asked(row).event)
        rows, to_do = frozenset({*self.states, *self.begun}), Counter([*self.states.values(), *self.begun.values()])
        preview = await preview_of(session, cut_off, to_do=dict(to_do), events=len(events), deed="try again")
        due, reported, taken = await _due_in(session, rows)
        why = spell_retry(len(begun), reasons.most(), left.most())
        preview = replace(preview, cut_off=cut_off, reported=[*why, *reported], revoked_earlier=taken)
        return Choice(preview, rows, due)

    async def begin(self, session: Session) -> None:
        """Put them back, but for those that other ledgers have shared by now."""
        await session.ledger.try_again(self.states, self.begun)
        await skip_shared(session)
        session.tally.begin(await session.ledger.counts())


def is_hopeless(row: Row) -> bool:
    """Whether the same call would meet the same end: a lead that is not there, an end that is over."""
    activity_is_anothers = row.stage is Stage.ACTIVITY and row.activity_id is not None
    said = row.last_call.words if row.last_call else ""
    return activity_is_anothers or row.cause is Cause.TOO_LATE or HOPELESS.search(said) is not None


class FollowUp(Kind):
    """Ask what became of every accepted request of a ledger."""

    command = "follow-up"
    guarded = posts = False

    async def choose(self, session: Session, cut_off: int) -> Choice:  # noqa: ARG002 - as every Kind
        """All that was accepted."""
        return Choice(rows=await session.ledger.ids_in(*PROCESSING))

    async def work(self, session: Session, due: Sequence[Due]) -> None:  # noqa: ARG002 - as every Kind
        """Nothing but what is done beside every job, unless the settings say no."""
        if not session.settings.follow_up:
            async with following_up(session):
                pass


async def _due_in(
    session: Session, among: frozenset[int] | None = None
) -> tuple[Sequence[Due], Sequence[str], RevokedEarlier]:
    """What is revoked first, as `find_due` has it, for the rows of a ledger, or some of them, that ask for that."""
    claims = await session.ledger.claims(among)
    return await find_due(session, claims) if claims else ((), (), NOTHING_REVOKED)


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
            await all_followed_up(session, unless=lambda: session.health.returned)
        # Rows whose request failed with those of others are to be shared by themselves.
        returned, session.health.returned = session.health.returned, 0
        if not returned:
            return
