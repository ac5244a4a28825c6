"""Taking a sheet in: read, looked up, decided on, and into the ledger; or only shown.

Doubts about the people whom it names are settled by a person before any call.
"""

from __future__ import annotations

import datetime as dt
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from batch_share.common import Cause, ascii_lower, utc_now
from batch_share.errors import BatchShareError, LedgerError, NotAnswered, SettingsError, SheetError
from batch_share.leadsquared.pacing import PacerClosed
from batch_share.leadsquared.people import KeyUser
from batch_share.leadsquared.protocol import activity_types, read_activity_types
from batch_share.ledger.files import LedgerName, read_ledger
from batch_share.ledger.records import Lookup, Why
from batch_share.ledger.states import State
from batch_share.ledger.statistics import Occasion
from batch_share.outputs import Output, Written
from batch_share.planning.already_shared import live_for
from batch_share.planning.corrections import (
    as_corrected,
    ledger_of_job,
    read_corrections,
    settings_of_job,
)
from batch_share.planning.directory import Directory, Names
from batch_share.planning.lookup import LOOKING_UP, Enquiry
from batch_share.planning.overview import Overview, Unasked, before_of, overview
from batch_share.planning.plan import SheetOptions, plan_of
from batch_share.results.failed_sheet import reference_column, reference_in
from batch_share.sending.calls import ask_key_user, consult
from batch_share.sending.guards import check_canary
from batch_share.sending.onlookers import Doubt
from batch_share.sending.session import Course, open_connection, remembered
from batch_share.sheet.columns import Field, doubt_of, unread_people
from batch_share.sheet.reader import ReadOptions, open_sheet, read_sheet
from batch_share.sheet.rows import Selection

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import SheetRecord
    from batch_share.ledger.statistics import Changes
    from batch_share.ledger.store import Ledger
    from batch_share.planning.plan import Approval, Plan
    from batch_share.sending.onlookers import Watcher
    from batch_share.sending.session import Connection, Session
    from batch_share.settings import Settings
    from batch_share.sheet.reader import Sheet


@dataclass(frozen=True, slots=True)
class SheetJob:
    """A sheet to be run into a `ledger`; with `approved`, or a file of it, only if it is what that says.

    If it `corrects`, it is a sheet of failed rows, and the ledger is that of the job that they are of.
    """

    sheet: Path
    ledger: LedgerName
    options: SheetOptions = field(default_factory=SheetOptions)
    approved: Approval | Path | None = None
    corrects: bool = False


async def plan_job(job: SheetJob, settings: Settings, opened: Sheet | None = None) -> Plan:
    """The plan of a sheet, which may be `opened` already, as of now.

    What the job's ledger knows of how its dates are written counts, and of how its rows were corrected. Raises
    SheetError, also if it has no row or none is chosen, SettingsError, LedgerError.
    """
    now = utc_now().replace(tzinfo=dt.UTC)
    if job.corrects:
        async with read_ledger(job.ledger) as ledger:
            sheet, corrections = await read_corrections(job.sheet, ledger, job.options, settings)
            before = await ledger.dates()
        plan = plan_of(sheet, replace(job.options, selection=Selection()), settings, now=now, before=before)
        return replace(plan, corrections=corrections)
    sheet, before = opened or read_sheet(job.sheet, job.options.read), {}
    if job.ledger.holds_anything():
        async with read_ledger(job.ledger) as ledger:
            before = await ledger.dates()
            if edits := await ledger.edits():
                sheet = as_corrected(sheet, edits)
    plan = plan_of(sheet, job.options, settings, now=now, before=before)
    plan.check_rows()
    return plan


async def plan_meant(job: SheetJob, settings: Settings) -> tuple[SheetJob, Settings, Plan]:
    """The job that is run by a sheet, with its settings and its plan as of now; the sheet is opened once for both.

    A sheet of failed rows goes on with the job of its rows. Raises as `plan_job`, SheetError also if that is not
    known, HistoryError.
    """
    read = job.options.read
    is_plain = read.header_row is None and read.worksheet is None
    of_job = None
    if not is_plain:  # said of the sheet, and not of its failed rows
        with suppress(SheetError):
            of_job = _job_named(open_sheet(job.sheet, ReadOptions(limits=read.limits))[0])
    if of_job is None:
        opened, lacking = open_sheet(job.sheet, read)
        of_job = _job_named(opened) if is_plain else None
        if of_job is None:
            if lacking is not None:
                raise lacking
            return job, settings, await plan_job(job, settings, opened)
    is_named = job.ledger != LedgerName.of_sheet(job.sheet)
    ledger = job.ledger if is_named else await ledger_of_job(of_job, job.sheet, settings)
    settings = await settings_of_job(settings, ledger, of_job, job.sheet)
    job = replace(job, ledger=ledger, corrects=True)
    return job, settings, await plan_job(job, settings)


def _job_named(sheet: Sheet) -> str | None:
    """The beginning of the Id of the job that a sheet of failed rows is of, by its first row; None for others."""
    place = reference_column(sheet)
    if place is None:
        return None
    cells = (raw.cells[place] for raw in sheet.rows() if place < len(raw.cells))
    return next((reference[0] for cell in cells if (reference := reference_in(cell))), None)


async def take_in(session: Session, plan: Plan, watcher: Watcher) -> Changes | None:
    """Bring the ledger up to the sheet; None if it was already, or if the work is to end.

    Asks LeadSquared only for those that the ledger does not know. Raises BatchShareError.
    """
    ledger, directory = session.ledger, Directory()
    occasion = _occasion(await ledger.sheet(), plan.record)
    is_same = occasion is Occasion.FOUND
    if is_same and not await ledger.asked_in_vain():
        return None
    async for answer in ledger.lookups():
        directory.learn([answer])
    wanted = directory.unfound() if is_same else _unknown(plan, directory)
    asks_zone = not is_same and needs_zone(plan, session.settings)
    zone = None
    session.tally.phase = LOOKING_UP
    async with watcher.watch(session.progress, session.stop.ask) if wanted or asks_zone else nullcontext():
        zone = await account_zone(session) if asks_zone else None
        await Enquiry(session, directory, ledger).ask(wanted)
    if session.stop.asked:
        return None
    if directory.unanswered and not session.apis.heard:  # an outage, and no account without these APIs
        raise NotAnswered(len(directory.unanswered), next(iter(directory.unanswered.values())))
    is_new_type = directory.learn_types(await types_of(session))
    check_type(plan, directory, session.settings)
    ledger_job = (await ledger.facts())["job"]
    unchecked = await _note_unanswered(ledger, plan, directory, ledger_job)
    if unchecked is not None:
        directory.trusts_ids = session.settings.trust_ids or watcher.is_sure(_doubt(unchecked))
        if directory.trusts_ids and not session.settings.trust_ids:
            await ledger.note_unsaid([Cause.IDS_NOT_CHECKED])
    if is_same and not directory.unanswered and not is_new_type and not any(map(directory.is_found, wanted)):
        return None
    if directory.trusts_ids and unchecked is not None:
        await ledger.note_unchecked(Cause.IDS_NOT_CHECKED, unchecked.details["rows"], unchecked.details["why"])
    final = plan
    if zone:
        final = plan.in_zone(zone)
        await ledger.note_zone(zone.key)
    new_rows, record, corrections = final.rows(ledger_job, directory), final.record, plan.corrections
    if corrections is None:
        changes = await ledger.take_in(record, new_rows)
    else:  # the sheet in force stays that, as it was read
        in_force = await ledger.sheet() or record
        changes = await ledger.take_in(in_force, new_rows, corrections.edits)
        await ledger.try_again(dict.fromkeys(corrections.again, State.PENDING))
        if corrections.digest:  # as if it were written by us, for nothing is lost with it
            taken = Written(Output.FAILED, plan.sheet.path.name, corrections.digest)
            await ledger.note_taken(taken)
    await ledger.note_lookups(_told_types(directory))
    # Only now: another sheet, which the ledger refuses, must not say how this one is read.
    await ledger.note_dates({str(column): order for column, order in plan.rules.orders.items()})
    return replace(changes, occasion=occasion)


async def types_of(connection: Connection) -> dict[int, str]:
    """What the account's activity types are called, by code; nothing where LeadSquared does not say."""
    try:
        found = await consult(connection, activity_types(), read_activity_types)
    except PacerClosed:
        return {}
    return found if isinstance(found, dict) else {}


def check_type(plan: Plan, directory: Directory, settings: Settings) -> None:
    """Raises SettingsError if the account has no such activity type as all rows are to be posted with."""
    is_of_all = Field.EVENT not in plan.sheet.found.fields and settings.event
    if is_of_all and (strange := directory.strange(int(settings.event))):
        raise SettingsError("event", strange)


def _told_types(directory: Directory) -> list[Lookup]:
    """Which activity types there are; and which that rows ask for are not there, but may be another time."""
    found = [Lookup(Field.EVENT, str(code), {"name": name}) for code, name in directory.types.items()]
    return found + [
        Lookup(Field.EVENT, str(code), None, "no such activity type", Cause.NO_TYPE)
        for code in directory.strange_types
    ]


async def unread_columns(plan: Plan, ledger: LedgerReader) -> list[str]:
    """What is to be known of columns that hold somebody and are not read, once users were looked up."""
    known = await ledger.known_users()
    users = {ascii_lower(name) for user_id, (_, email) in known.items() for name in (user_id or "", email)}
    return unread_people(plan.sheet.columns, plan.sheet.found, users - {""})


async def _note_unanswered(ledger: Ledger, plan: Plan, directory: Directory, job: str) -> Why | None:
    """Note how many rows wait for an API that tells of their people; those of them that have all Ids.

    Only of rows that nothing was sent for: what was checked or trusted when it was sent is no question any more.
    """
    unanswered = dict(plan.unanswered(job, directory)) if directory.unanswered else {}
    unsent = await ledger.unsent(unanswered)
    await ledger.note_unanswered(len(unsent))
    if len(unsent) == len(unanswered):  # whatever was trusted before, nothing was sent
        await ledger.note_unchecked(Cause.IDS_NOT_CHECKED, None)
    whys = [why for key in unsent if (why := unanswered[key]) is not None]
    return Why(Cause.IDS_NOT_CHECKED, {"rows": len(whys), "why": whys[0]}) if whys else None


def _doubt(unchecked: Why) -> Doubt:
    reported = (
        f"LeadSquared could not be asked whether the Ids of {unchecked.details['rows']:,} rows are right "
        f"({unchecked.details['why']})."
    )
    risk = "If a column has shifted, an activity is posted on one lead and another one is shared."
    return Doubt([reported, risk], "Take these Ids as they are?")


async def show_sheet(
    sheet: Path,
    options: SheetOptions,
    settings: Settings,
    watcher: Watcher | None,
    ledger: LedgerName | None = None,
    course: Course | None = None,
) -> tuple[Overview, Directory]:
    """What a run of the sheet would do, by its `ledger` or the one beside it. Without `watcher` no call is made.

    Raises BatchShareError.
    """
    check_canary(settings)
    named = SheetJob(sheet, ledger or LedgerName.of_sheet(sheet), options)
    job, settings, plan = await plan_meant(named, settings)
    directory = Unasked() if watcher is None else Directory()
    before = await before_of(job.ledger, settings, directory)
    if watcher is not None:
        plan = await _ask(plan, settings, watcher, directory, course or Course())
    live = live_for(settings, before.job)
    return overview(plan, settings, directory, remembered(settings), live, before), directory


async def _ask(plan: Plan, settings: Settings, watcher: Watcher, directory: Directory, course: Course) -> Plan:
    """Look everybody up whom the sheet names and `directory` does not know; the plan in the account's time zone."""
    async with open_connection(settings, watcher, course) as connection:
        connection.tally.phase = LOOKING_UP
        async with watcher.watch(connection.progress, connection.stop.ask):
            if needs_zone(plan, settings):
                plan = plan.in_zone(await account_zone(connection))
            await Enquiry(connection, directory, None).ask(_unknown(plan, directory))
            directory.learn_types(await types_of(connection))
    check_type(plan, directory, settings)
    directory.trusts_ids = settings.trust_ids
    if connection.stop.asked:
        raise connection.stop.error or BatchShareError("No plan: it was stopped before everybody was looked up.")
    return plan


def needs_zone(plan: Plan, settings: Settings) -> bool:
    """Whether the sheet has dates whose time zone nobody named."""
    return not settings.timezone and plan.is_dated


async def account_zone(connection: Connection) -> ZoneInfo | None:
    """The account's time zone; None when the work is to end. Raises SettingsError if it can't be found out."""
    try:
        answer = await ask_key_user(connection)
    except PacerClosed:
        return None
    try:
        return ZoneInfo(answer.time_zone if isinstance(answer, KeyUser) else "")
    except (KeyError, ValueError, OSError):
        raise SettingsError(
            "timezone",
            "the account's own could not be found out: give --timezone, such as Asia/Kolkata",
            problem="The account's time zone could not be found out, and the sheet has dates.",
            hint="Name the time zone, such as Asia/Kolkata.",
        ) from None


def _occasion(in_force: SheetRecord | None, planned: SheetRecord) -> Occasion:
    """Why the sheet is to be taken in; of one that is in force already only what was not found can change."""
    if in_force is None or not in_force.means_the_same(planned):
        return Occasion.SHEET
    return Occasion.FOUND if in_force.digest == planned.digest else Occasion.CHOICE


def _unknown(plan: Plan, directory: Directory) -> Names:
    """All are named before the first is asked for: a sheet that turns out to be broken costs no call."""
    return Names(ref for ref in plan.refs() if not directory.is_found(ref))


async def settle_doubt(job: SheetJob, plan: Plan, settings: Settings, watcher: Watcher) -> dict[str, str]:
    """Ask whether the doubtful columns name who is to get the leads, where nobody has said so yet.

    Returns them, by header with what they hold, if somebody is sure now: it is said once the run is agreed to.
    Raises SheetError if nobody is sure, and if the sheet was changed meanwhile; LedgerError.
    """
    sheet = plan.sheet
    doubtful = {sheet.columns[index] for index in sheet.found.doubtful}
    meant = {header: name for header, name in (plan.record.mapping or {}).items() if header in doubtful}
    if not meant or meant.items() <= (await _said(job)).items():
        return {}
    words, options = doubt_of(sheet.columns, sheet.found)
    columns = " and ".join(map(repr, meant))
    name = f"{sheet.path.name}, worksheet {sheet.worksheet}" if sheet.worksheet else sheet.path.name
    if not watcher.is_sure(Doubt([f"{name}: {words}."], f"Share each lead with the person in {columns}?")):
        raise SheetError(
            sheet.path,
            f"{words}: if each is to be shared with that person, say so with {options}",
            problem=f"{words}.",
            hint=f"If each lead is to be shared with the person in {columns}, say so.",
        )
    if (await plan_job(job, settings)).record.digest != plan.record.digest:
        raise SheetError(sheet.path, "it was changed while you were asked about it: run it again")
    return meant


async def check_said(ledger: LedgerReader, settings: Settings) -> None:
    """Raises LedgerError if rows rest on what somebody was sure of, and nobody agreed to the run then."""
    unsaid = [each for each in await ledger.unsaid() if each != Cause.IDS_NOT_CHECKED or not settings.trust_ids]
    if unsaid:
        about = "their Ids" if unsaid == [Cause.IDS_NOT_CHECKED] else "who is to get them"
        raise LedgerError(ledger.name, f"nobody has agreed to its rows ({about}): run the sheet itself again")


async def _said(job: SheetJob) -> dict[str, str]:
    """What somebody has agreed to in an earlier run."""
    if not job.ledger.holds_anything():
        return {}
    async with read_ledger(job.ledger) as ledger:
        return await ledger.said_columns()
