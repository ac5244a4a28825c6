"""Taking a sheet in: read, looked up, decided on, and into the ledger; or only shown.

Doubts about the people whom it names are settled by a person before any call. Whom earlier look-ups found is kept.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
import os
import sqlite3
from collections import Counter
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from batch_share.common import Cause, chunks, utc_now
from batch_share.errors import (
    BatchShareError,
    LedgerError,
    NoLedger,
    NoSuchApi,
    NotAnswered,
    PlanChanged,
    SettingsError,
    SheetError,
)
from batch_share.leadsquared.account import NOT_THERE, is_foreign, name_of_account
from batch_share.leadsquared.pacing import PacerClosed
from batch_share.leadsquared.people import PAGE, KeyUser
from batch_share.leadsquared.protocol import (
    ACTIVITY_TYPES,
    Lost,
    NotSent,
    Refused,
    read_activity_types,
    read_status,
    share_status,
)
from batch_share.ledger.database import create_private
from batch_share.ledger.files import LedgerName, read_ledger
from batch_share.ledger.records import CHOICE_FROM, Lookup, Occasion, Why
from batch_share.ledger.states import State
from batch_share.ledger.store import Repeated
from batch_share.outputs import Output, Written, with_written
from batch_share.planning.already_shared import live_for
from batch_share.planning.corrections import (
    as_corrected,
    ledger_of_job,
    read_corrections,
    settings_of_job,
)
from batch_share.planning.directory import (
    LOOKING_UP,
    Directory,
    Enquiry,
    Names,
    Numbers,
    calls_by_number,
    calls_for,
    is_plain,
    key_of,
)
from batch_share.planning.overview import Overview, Unasked, before_of, overview
from batch_share.planning.plan import FirstLook, SheetOptions, all_lacking, plan_of
from batch_share.planning.unchanged import unchanged_rows
from batch_share.results.answers import job_named
from batch_share.sending.calls import ask_key_user, ask_once, consult
from batch_share.sending.guards import check_canary
from batch_share.sending.onlookers import Doubt, Outlook
from batch_share.sending.session import Course, open_connection, remembered
from batch_share.sheet.columns import LEADS, USERS, Field, doubt_of
from batch_share.sheet.reader import ReadOptions, open_sheet, read_sheet
from batch_share.sheet.rows import Ref, Selection
from batch_share.sheet.values import parse_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Changes, SheetRecord
    from batch_share.ledger.store import Ledger
    from batch_share.planning.plan import Approval, Plan
    from batch_share.planning.unchanged import Unchanged
    from batch_share.sending.onlookers import Watcher
    from batch_share.sending.session import Connection, Session
    from batch_share.settings import Settings
    from batch_share.sheet.reader import Sheet


LONG_LOOK_UP: Final = 10.0
"""Seconds that looking people up may take before it is told what comes, and what is wrong in the sheet already: who
waits for less soon sees all of it together."""


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
    """The plan of a sheet, which may be `opened` already, as of now by its ledger's clock.

    What the job's ledger knows of how its dates are written counts, and of how its rows were corrected. Raises
    SheetError, also if it has no row or none is chosen, SettingsError, LedgerError.
    """
    now = job.ledger.now().replace(tzinfo=dt.UTC)  # a worker on a host whose clock is off plans as it was approved
    if job.corrects:
        async with read_ledger(job.ledger) as ledger:
            sheet, corrections = await read_corrections(job.sheet, ledger, job.options, settings)
            before = (await ledger.facts()).dates
        plan = plan_of(sheet, replace(job.options, selection=Selection()), settings, now=now, before=before)
        return replace(plan, corrections=corrections)
    sheet = opened if opened is not None else await asyncio.to_thread(read_sheet, job.sheet, job.options.read)
    before = {}
    if job.ledger.size():
        with suppress(NoLedger):  # as a run leaves it that was cut off at its very beginning
            async with read_ledger(job.ledger) as ledger:
                before = (await ledger.facts()).dates
                if edits := await ledger.edits():
                    sheet = as_corrected(sheet, edits)
    plan = await asyncio.to_thread(plan_of, sheet, job.options, settings, now=now, before=before)
    await asyncio.to_thread(plan.check_rows)
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
            opened, _ = await asyncio.to_thread(open_sheet, job.sheet, ReadOptions(limits=read.limits))
            of_job = job_named(opened)
    if of_job is None:
        # In a thread, as all that goes through every row: whoever is served by this process is not to wait for it.
        opened, lacking = await asyncio.to_thread(open_sheet, job.sheet, read)
        of_job = job_named(opened) if is_plain else None
        if of_job is None:
            if (wrong := lacking and all_lacking(opened, settings, lacking)) is not None:
                raise wrong
            return job, settings, await plan_job(job, settings, opened)
    is_named = job.ledger != LedgerName.of_sheet(job.sheet, settings.store)
    ledger = job.ledger if is_named else await ledger_of_job(of_job, job.sheet, settings)
    settings = await settings_of_job(settings, ledger, of_job, job.sheet)
    job = replace(job, ledger=ledger, corrects=True)
    return job, settings, await plan_job(job, settings)


async def take_in(session: Session, whole: Plan, watcher: Watcher) -> Changes | None:
    """Bring the ledger up to the sheet; None if it was already, or if the work is to end.

    Asks LeadSquared only for those that the ledger does not know. Rows that are unchanged stay as they are, unless
    what was learned meanwhile, or time, says that all must be judged. Raises BatchShareError.
    """
    ledger, directory = session.ledger, Directory()
    occasion = _occasion(await ledger.sheet(), whole.record)
    is_same = occasion is Occasion.FOUND
    whole, is_time = await as_in_force(ledger, whole) if is_same else (whole, False)
    if is_same and not is_time and not await ledger.asked_in_vain():
        return None
    # Of a sheet in force the ledger is told once its rows are judged by it: cut off before, a run must ask again.
    held = _Held() if is_same else None
    unchanged, plan, first = await look(ledger, whole, directory)
    kept = kept_answers(session.settings)
    kept.forget()
    wanted = await asyncio.to_thread(_recall, plan, directory, first.unknown, kept)
    _foresee(watcher, plan, first, wanted, directory, session)
    asks_zone = plan.needs_zone and first.may_do
    zone, is_new_type = None, False
    session.tally.phase = LOOKING_UP
    async with watcher.watch(session.progress, session.stop.ask) if wanted or asks_zone else nullcontext():
        zone = await account_zone(session) if asks_zone else None
        if first.may_do:
            is_new_type = directory.learn_types(await types_of(session, kept, directory))
            check_type(plan, directory, session.settings)
        await Enquiry(session, directory, [held or ledger, kept]).ask(wanted)
    if session.stop.asked:
        return None
    finds_nobody = is_same and not (
        is_time or directory.unanswered or is_new_type or any(map(directory.is_found, first.unknown))
    )
    if unchanged is not None and not finds_nobody and not unchanged.is_meant(directory):
        await learn_all(ledger, directory)
        unchanged, plan = None, whole
    unchecked = await _note_unanswered(session, plan, directory)
    if unchecked is not None:
        reported = (
            f"LeadSquared could not be asked whether the Ids of {unchecked.details['rows']:,} rows are right "
            f"({unchecked.details['why']})."
        )
        risk = "If a column has shifted, an activity is posted on one lead and another one is shared."
        doubt = Doubt([reported, risk], "Take these Ids as they are?")
        directory.trusts_ids = session.settings.trust_ids or watcher.is_sure(doubt)
        if directory.trusts_ids and not session.settings.trust_ids:
            await ledger.note(unsaid=sorted({*(await ledger.facts()).unsaid, Cause.IDS_NOT_CHECKED}))
    if finds_nobody:
        await ledger.note_lookups([*held.answers.values()] if held else [])
        return None
    if directory.trusts_ids and unchecked is not None:
        noted = {Cause.IDS_NOT_CHECKED: [unchecked.details["rows"], unchecked.details["why"]]}
        await ledger.note(unchecked={**(await ledger.facts()).unchecked, **noted})
    recalled = kept.find(first.unknown, numbers_too=False)
    if zone:
        plan = plan.in_zone(zone)
        await ledger.note(zone=zone.key)
    try:
        occasion = Occasion.TIME if is_time else occasion
        changes = await commit(ledger, plan, directory, occasion, recalled, unchanged)
    except Repeated:
        await learn_all(ledger, directory)
        changes = await commit(ledger, whole, directory, occasion, recalled, None)
    await ledger.note_lookups([*held.answers.values()] if held else [])
    return changes


class _Held:
    """Answers that the ledger is told later."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Lookup] = {}

    async def note_lookups(self, answers: Sequence[Lookup]) -> None:
        self.answers |= {(each.kind, each.value): each for each in answers}


async def look(ledger: Ledger, whole: Plan, directory: Directory) -> tuple[Unchanged | None, Plan, FirstLook]:
    """Which rows are unchanged, the plan of all others, and what these say; `directory` learns whom they name."""
    if (await ledger.counts()).get(State.SHARED):
        async for answer in ledger.lookups(among=()):
            directory.learn([answer])
        if (unchanged := await unchanged_rows(ledger, whole, directory)) is not None:
            plan = unchanged.rest_of(whole)
            first = await asyncio.to_thread(plan.first_look, directory)
            async for answer in ledger.lookups(among=first.unknown):
                directory.learn([answer])
            first.unknown = Names(ref for ref in first.unknown if not directory.is_found(ref))
            # A list of leads by number that contradicts a row is not believed, be that row unchanged.
            if sum(ref.field is Field.LEAD_NUMBER for ref in first.unknown) > 1:
                await learn_all(ledger, directory)
            first.rows, first.may_do = first.rows + len(unchanged), first.may_do or bool(unchanged)
            return unchanged, plan, first
    async for answer in ledger.lookups():
        directory.learn([answer])
    return None, whole, await asyncio.to_thread(whole.first_look, directory)


async def learn_all(ledger: Ledger, directory: Directory) -> None:
    """Let the directory know whom unchanged rows are about as well, since all are to be judged.

    Nobody is asked again: all others were just now, and what that told stays.
    """
    async for answer in ledger.lookups():
        if answer.kind in LEADS and answer.found is not None:
            directory.learn([answer])


async def commit(
    ledger: Ledger,
    plan: Plan,
    directory: Directory,
    occasion: Occasion,
    recalled: Iterator[Lookup],
    unchanged: Unchanged | None,
) -> Changes:
    """Commit the rows as they are judged now, and by what they were. Raises Repeated."""
    if directory.kept:  # but for leads without their addresses, of which it would not know that nobody told them
        for page in chunks(recalled, PAGE):
            await ledger.note_lookups(page)
    new_rows = plan.rows((await ledger.facts()).job, directory)
    record, corrections = plan.record, plan.corrections
    if corrections is None:
        changes = await ledger.take_in(record, new_rows, unchanged=unchanged)
    else:  # the sheet in force stays that, as it was read
        in_force = await ledger.sheet() or record
        changes = await ledger.take_in(in_force, new_rows, corrections.edits)
        failed = await ledger.ids_in(State.FAILED)  # what the sheet asks for otherwise by now went back already
        await ledger.try_again({row_id: State.PENDING for row_id in corrections.again if row_id in failed})
        if corrections.digest:  # as if it were what we wrote, for nothing is lost with it
            taken = Written(Output.FAILED, plan.sheet.path.name, corrections.digest)
            await ledger.note_written(partial(with_written, new=taken, only_known=True))
    # Which activity types there are; and which that rows ask for are not there, but may be another time.
    types = [Lookup(Field.EVENT, str(code), {"name": name}) for code, name in directory.types.items()]
    types += [
        Lookup(Field.EVENT, str(event), None, "no such activity type", Cause.NO_TYPE)
        for event in directory.strange_types
    ]
    await ledger.note_lookups(types)
    # Only now: another sheet, which the ledger refuses, must not say how this one is read.
    # What comes first in dates is the same in a later sheet that leaves it open.
    orders = {str(column): order for column, order in plan.rules.orders.items()}
    words = dict(plan.sheet.mapping.words)
    await ledger.note(dates={**(await ledger.facts()).dates, **orders}, words=words)
    return replace(changes, occasion=occasion, recalled=directory.kept, looked_up=directory.asked)


async def types_of(connection: Connection, kept: KeptAnswers, directory: Directory) -> dict[int, str]:
    """What the account's activity types are called, by code; nothing where LeadSquared does not say.

    Then `directory` learns what it said lately: enough to know one by its name, and not to refuse any.
    """
    heard = connection.apis.heard
    try:
        found = await consult(connection, ACTIVITY_TYPES, read_activity_types)
    except PacerClosed:
        return {}
    connection.apis.heard = heard  # that this is told says nothing of those who are looked up then
    if isinstance(found, dict):
        kept.note_types(found)
        return found
    directory.learn(kept.types())
    return {}


def check_type(plan: Plan, directory: Directory, settings: Settings) -> None:
    """Raises SettingsError if the account has no such activity type as all rows are to be posted with.

    Raises PlanChanged if a name means another type than the one that was approved.
    """
    is_of_all = Field.EVENT not in plan.sheet.found.fields and settings.event
    if is_of_all and (strange := directory.strange(parse_event(settings.event.strip()))):
        raise SettingsError("event", strange)
    for name, code in plan.approved_types.items():
        if directory.code_of(name) != code:
            raise PlanChanged(None, f"the activity type that is called {name!r}")


async def _check_answered(connection: Connection, directory: Directory) -> None:
    """Some are `unanswered`: raises NotAnswered in an outage, NoSuchApi from a server that is not LeadSquared."""
    apis, trusts = connection.apis, connection.settings.trust_ids
    # That it has none of these APIs LeadSquared may say, and any other server would. Who trusts the Ids needs none.
    if apis.heard and (apis.understood or trusts):
        return
    status = share_status("0" * 32)  # an API that every account has tells
    told = await ask_once(connection, status, read_status) if apis.heard or trusts else None
    if apis.heard and isinstance(told, Lost | Refused) and is_foreign(told) and told.status in NOT_THERE:
        raise NoSuchApi(connection.client.base_url, status.path, told.words)
    if told is None or isinstance(told, Lost | NotSent):
        raise NotAnswered(len(directory.unanswered), next(iter(directory.unanswered.values())), look_up=True)


async def _note_unanswered(session: Session, plan: Plan, directory: Directory) -> Why | None:
    """Note how many rows wait for an API that tells of their people; those of them that have all Ids.

    Only of rows that nothing was sent for: what was checked or trusted when it was sent is no question any more.
    Raises as `_check_answered`.
    """
    if directory.unanswered:
        await _check_answered(session, directory)
    ledger = session.ledger
    facts = await ledger.facts()
    unanswered = dict(plan.unanswered(facts.job, directory)) if directory.unanswered else {}
    unsent = await ledger.unsent(unanswered)
    noted = dict(facts.unchecked)
    if len(unsent) == len(unanswered):  # whatever was trusted before, nothing was sent
        noted.pop(Cause.IDS_NOT_CHECKED, None)
    await ledger.note(unanswered=len(unsent), unchecked=noted)
    whys = [why for key in unsent if (why := unanswered[key]) is not None]
    return Why(Cause.IDS_NOT_CHECKED, {"rows": len(whys), "why": whys[0]}) if whys else None


async def show_sheet(
    sheet: Path,
    options: SheetOptions,
    settings: Settings,
    watcher: Watcher | None,
    ledger: LedgerName | None = None,
    course: Course | None = None,
) -> Overview:
    """What a run of the sheet would do, by its `ledger` or the one beside it. Without `watcher` no call is made.

    Raises BatchShareError.
    """
    check_canary(settings)
    named = SheetJob(sheet, ledger or LedgerName.of_sheet(sheet, settings.store), options)
    job, settings, plan = await plan_meant(named, settings)
    directory = Unasked() if watcher is None else Directory()
    before, kept = await before_of(job.ledger, settings, directory, plan), kept_answers(settings)
    if before.zone and plan.needs_zone:
        plan = plan.in_zone(before.zone)
    same = before.unchanged
    rest = plan if same is None else same.rest_of(plan)
    asks = watcher is not None or kept.holds_anything
    first = await asyncio.to_thread(rest.first_look, directory) if asks else FirstLook()
    if same is not None:
        first.rows, first.may_do = first.rows + len(same), first.may_do or bool(same)
    if watcher is not None and (before.refusal or not first.may_do):  # no answer would change that
        watcher, directory = None, Unasked()
        before = await before_of(job.ledger, settings, directory, plan)
    # A run of a sheet that its ledger has as it is asks nobody; whom it recalled once is in its rows.
    in_vain = before.in_vain or first.says_otherwise(before.dates)
    is_known = not in_vain and _occasion(before.sheet, plan.record) is Occasion.FOUND
    if watcher is None or is_known:
        directory.learn(kept.types())
        _recall(plan, directory, first.unknown, kept)
        directory.kept = 0 if is_known else directory.kept
    else:
        plan = await _ask(plan, settings, watcher, directory, first, course or Course())
    directory.trusts_ids = settings.trust_ids
    live = live_for(settings, job.ledger, before.job, job.ledger.now())
    return await asyncio.to_thread(overview, plan, settings, directory, remembered(settings), live, before)


async def _ask(
    plan: Plan, settings: Settings, watcher: Watcher, directory: Directory, first: FirstLook, course: Course
) -> Plan:
    """Look everybody up whom nobody knows, be it from earlier look-ups; the plan in the account's time zone."""
    async with open_connection(settings, watcher, course, "plan") as connection:
        kept = kept_answers(settings)  # by now it is known of which account
        kept.forget()
        connection.tally.phase = LOOKING_UP
        async with watcher.watch(connection.progress, connection.stop.ask):
            if plan.needs_zone:
                plan = plan.in_zone(await account_zone(connection))
                first = await asyncio.to_thread(
                    plan.first_look, directory
                )  # what seemed to be over may go on there
            wanted = await asyncio.to_thread(_recall, plan, directory, first.unknown, kept)
            _foresee(watcher, plan, first, wanted, directory, connection)
            directory.learn_types(await types_of(connection, kept, directory))
            check_type(plan, directory, settings)
            await Enquiry(connection, directory, [kept]).ask(wanted)
            if directory.unanswered and not connection.stop.asked:
                with suppress(PacerClosed):  # it was stopped meanwhile
                    await _check_answered(connection, directory)
    if connection.stop.asked:
        raise connection.stop.error or BatchShareError("No plan: it was stopped before everybody was looked up.")
    return plan


def kept_answers(settings: Settings) -> KeptAnswers:
    """What is kept of look-ups for the account that is set; nothing where none is."""
    try:
        return KeptAnswers(settings.data_folder, name_of_account(settings), settings.keep_answers)
    except SettingsError:
        return KeptAnswers(settings.data_folder, "", 0)


def _recall(plan: Plan, directory: Directory, unknown: Names, kept: KeptAnswers) -> Names:
    """Let the directory know whom earlier look-ups found. Those that are left to be looked up.

    No row is refused for what was found earlier: where it says something else, LeadSquared is asked again.
    """
    fields = plan.sheet.found.fields.keys()
    numbers_too = fields.isdisjoint({Field.LEAD_EMAIL, Field.LEAD_PHONE})
    known = Numbers()
    for answer in kept.find(unknown, numbers_too=numbers_too):
        directory.learn([answer])
        directory.kept += 1
        known.put(key_of(Ref(Field(answer.kind), answer.value)), 1)
    if directory.kept and (len(fields & {*LEADS}) > 1 or len(fields & {*USERS}) > 1):
        for each in plan.checked():
            for refs in (each.wish.leads, each.wish.users) if each.wish is not None else ():
                if directory.disagrees(refs) and known.get(key_of(refs[0])):
                    directory.forget(refs[0])
                    directory.kept -= 1
    left = Names(ref for ref in unknown if not directory.is_found(ref)) if directory.kept else unknown
    directory.asked = len(left)
    return left


def _foresee(
    watcher: Watcher, plan: Plan, first: FirstLook, wanted: Names, directory: Directory, connection: Connection
) -> None:
    """Tell what the sheet says by itself, where it takes a while until everybody is looked up."""
    rate = connection.pacer.rate
    leads = Counter(ref.field for ref in wanted)
    users = sum(leads.pop(each, 0) for each in USERS)
    numbers = (int(ref.value) for ref in wanted if ref.field is Field.LEAD_NUMBER and is_plain(ref.value))
    by_number = calls_by_number(leads[Field.LEAD_NUMBER], numbers)
    least, most = calls_for(leads, users, by_number)
    seconds = (most - rate.limit) / rate.per_second
    if seconds >= LONG_LOOK_UP:
        outlook = Outlook(
            sheet=plan.record.name,
            rows=first.rows,
            wrong=first.wrong,
            mistakes=first.mistakes.most(),
            people=len(wanted),
            kept=directory.kept,
            least=least,
            most=most,
            seconds=seconds,
            by_number=by_number,
        )
        watcher.foresee(outlook)


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


async def as_in_force(ledger: LedgerReader, plan: Plan) -> tuple[Plan, bool]:
    """The plan of the sheet in force, in the zone of its dates; whether time has changed which are wrong."""
    if plan.needs_zone:
        with suppress(KeyError, ValueError, OSError):  # another machine may not know it
            plan = plan.in_zone(ZoneInfo((await ledger.facts()).zone or ""))
    dates = await ledger.wrong_dates()  # most have none, and are not read for that
    return plan, bool(dates) and (await asyncio.to_thread(plan.first_look, Directory())).says_otherwise(dates)


def _occasion(in_force: SheetRecord | None, planned: SheetRecord) -> Occasion:
    """Why the sheet is to be taken in; of one that is in force already only what was not found can change."""
    # Up to there a digest says whether the rows are the same and mean the same, whichever of them were chosen.
    if in_force is None or in_force.digest[:CHOICE_FROM] != planned.digest[:CHOICE_FROM]:
        return Occasion.SHEET
    return Occasion.FOUND if in_force.digest == planned.digest else Occasion.CHOICE


async def settle_doubt(job: SheetJob, plan: Plan, settings: Settings, watcher: Watcher) -> dict[str, str]:
    """Ask whether the doubtful columns name who is to get the leads, where nobody has said so yet.

    Returns them, by header with what they hold, if somebody is sure now: it is said once the run is agreed to.
    Raises SheetError if nobody is sure, and if the sheet was changed meanwhile; LedgerError.
    """
    sheet = plan.sheet
    doubtful = {sheet.columns[index] for index in sheet.found.doubtful}
    meant = {header: name for header, name in (plan.record.mapping or {}).items() if header in doubtful}
    agreed: dict[str, str] = {}  # in an earlier run
    if meant and job.ledger.size():
        async with read_ledger(job.ledger) as ledger:
            agreed = dict((await ledger.facts()).said_columns)
    if meant.items() <= agreed.items():
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


# ------------------------------------------------------------------------------------- what look-ups found

# Kept on this machine for the next plan or run, by account. It is of help, not of need: what can't be read or
# written is as if nothing were kept, and a damaged file is begun anew. It is asked by digests, so that it tells
# nobody whom it knows but by what is found. That nobody was found is not kept: whoever is made in a minute must be
# found then.

T = TypeVar("T")

ANSWERS_FILE: Final = "answers.db"
_ANSWERS_VERSION: Final = 1
_PAGE: Final = 500
_AHEAD: Final = 1
"""Minutes by which an answer may be of later than now: a clock that was set back by more tells nothing."""

_ANSWERS_TABLES: Final = """
CREATE TABLE about (salt BLOB NOT NULL);
CREATE TABLE answers (
    question BLOB PRIMARY KEY, found TEXT NOT NULL, found_at INTEGER NOT NULL, for_good INTEGER NOT NULL
) WITHOUT ROWID
"""
_TYPES: Final = (Field.EVENT, "")
_OTHERS: Final = 0o077


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """What was found for one `account`, in the `folder` of the index; used for so many `minutes`, 0: never.

    Which number a lead of an Id has, and the other way round, counts for good: neither ever changes.
    """

    folder: Path
    account: str
    minutes: int
    now: Callable[[], datetime] = utc_now
    _one: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False, compare=False)

    @property
    def holds_anything(self) -> bool:
        """Whether there may be something that is used."""
        return bool(self.minutes) and (self.folder / ANSWERS_FILE).exists()

    async def note_lookups(self, answers: Sequence[Lookup]) -> None:
        """Keep those who were found, all or none of them; of all others nothing is known any more."""
        if self.minutes:
            async with self._one:  # one after another: threads that wait for the file are missing to pages
                await asyncio.to_thread(self._do, lambda opened: self._note(opened, answers), None, makes=True)

    def find(self, names: Iterable[tuple[str, str]], *, numbers_too: bool) -> Iterator[Lookup]:
        """Those of these who were found, by kind and value, read page by page.

        With `numbers_too` also leads of whom only Id and number are known: their address and phone are "" then.
        """
        source, nobody = iter(names), list[Lookup]()
        while self.minutes and (page := list(islice(source, _PAGE))):
            yield from self._do(partial(self._found, page=page, numbers_too=numbers_too), nobody)

    def note_types(self, types: Mapping[int, str]) -> None:
        """Keep what the account's activity types are called, by code, if any were told."""
        if self.minutes and types:
            self._do(lambda opened: self._put(opened, [(_TYPES, types, False)]), None, makes=True)

    def types(self) -> list[Lookup]:
        """What the account's activity types are called, as far as that is known."""
        if not self.minutes:
            return []
        nothing: dict[bytes, Any] = {}
        found = self._do(lambda opened: self._get(opened, [self._key(opened, *_TYPES)]), nothing)
        names = (pair for each in found.values() for pair in each.items())
        return [Lookup(Field.EVENT, code, {"name": name}) for code, name in names]

    def forget(self, older_than: int | None = None) -> int:
        """Delete what is used no more, and what was found more than so many minutes ago. How much it was."""
        return self._do(lambda opened: self._forget(opened, older_than), 0)

    # ------------------------------------------------------------------------------------------ in a transaction

    def _note(self, opened: _Opened, answers: Sequence[Lookup]) -> None:
        gone = [(kinds + each.kind, each.value) for each in answers if each.found is None for kinds in _KINDS]
        keys = [(self._key(opened, *name),) for name in gone]
        opened.connection.executemany("DELETE FROM answers WHERE question = ?", keys)
        found: list[tuple[tuple[str, str], Any, bool]] = []
        for each in answers:
            if each.found is None:
                continue
            if each.kind not in LEADS:
                found.append(((each.kind, each.value), each.found, False))
                continue
            lead = [each.found[name] for name in _LEAD]
            found.append(((each.kind, each.value), lead, False))
            for kind, value in zip((Field.LEAD_ID, Field.LEAD_NUMBER), lead[:2], strict=True):
                found.append(((_FOR_GOOD + kind, value), lead[:2], True))
        self._put(opened, found)

    def _found(self, opened: _Opened, page: Sequence[tuple[str, str]], *, numbers_too: bool) -> list[Lookup]:
        whom: dict[bytes, tuple[str, str]] = {}
        for kinds in _KINDS if numbers_too else ("",):
            whom |= {self._key(opened, kinds + kind, value): (kind, value) for kind, value in page}
        answers = self._get(opened, [*whom])
        found: dict[tuple[str, str], Any] = {}
        for key, name in whom.items():  # in that order: of a lead known in both ways the last has its address, too
            if isinstance(answer := answers.get(key), list):
                answer = dict.fromkeys(_LEAD, "") | dict(zip(_LEAD, answer, strict=False))
            if key in answers:
                found[name] = answer
        return [Lookup(kind, value, answer) for (kind, value), answer in found.items()]

    def _put(self, opened: _Opened, found: Iterable[tuple[tuple[str, str], Any, bool]]) -> None:
        rows = [
            (self._key(opened, *name), json.dumps(answer, separators=(",", ":")), self._minute(), for_good)
            for name, answer, for_good in found
        ]
        opened.connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", rows)

    def _get(self, opened: _Opened, keys: Sequence[bytes]) -> dict[bytes, Any]:
        marks, now = ",".join("?" * len(keys)), self._minute()
        found = opened.connection.execute(
            f"SELECT question, found FROM answers WHERE question IN ({marks}) "  # noqa: S608 - no value is in it
            "AND (for_good OR found_at BETWEEN ? AND ?)",
            (*keys, now - self.minutes, now + _AHEAD),
        )
        return {key: json.loads(answer) for key, answer in found}

    def _forget(self, opened: _Opened, older_than: int | None) -> int:
        now = self._minute()
        since = 0 if older_than is None else now - older_than
        over = "NOT ? OR found_at < ? OR (NOT for_good AND found_at NOT BETWEEN ? AND ?)"
        values = self.minutes, since, now - self.minutes, now + _AHEAD
        return opened.connection.execute(f"DELETE FROM answers WHERE {over}", values).rowcount  # noqa: S608

    def _key(self, opened: _Opened, kind: str, value: str) -> bytes:
        name = f"{self.account}\n{kind}\n{value}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(name, digest_size=16, key=opened.salt).digest()

    def _minute(self) -> int:
        return int(self.now().replace(tzinfo=UTC).timestamp() // 60)

    # ------------------------------------------------------------------------------------------ the file

    def _do(self, work: Callable[[_Opened], T], otherwise: T, *, makes: bool = False) -> T:
        """What `work` comes to, in one transaction; `otherwise` where the file can't be used.

        So it is where there is none, unless the work `makes` it.
        """
        file = self.folder / ANSWERS_FILE
        if not makes and not file.exists():
            return otherwise
        for _ in range(2):
            try:
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                create_private(file)
                with closing(sqlite3.connect(file, timeout=5)) as connection, connection:
                    return work(_Opened(connection, _begun(connection, file)))
            except (sqlite3.DatabaseError, ValueError) as error:
                if getattr(error, "sqlite_errorcode", None) in _PASSING:
                    return otherwise
                with suppress(OSError):  # damaged
                    file.unlink(missing_ok=True)
                    file.with_name(f"{ANSWERS_FILE}-journal").unlink(missing_ok=True)
            except (OSError, LedgerError):
                return otherwise
        return otherwise


class _Opened(NamedTuple):
    """The file in a transaction, and what its digests are salted with."""

    connection: sqlite3.Connection
    salt: bytes


_FOR_GOOD: Final = "for good: "
_LEAD: Final = ("id", "number", "email", "phone")
"""What is kept of a lead, in this order: a sheet may have a million."""

_KINDS: Final = (_FOR_GOOD, "")
_PASSING: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
}
"""What says nothing of the file: it is in use for too long, or the disk is full."""


def _begun(connection: sqlite3.Connection, file: Path) -> bytes:
    """Begin a transaction, with the tables made if need be. The salt. Raises sqlite3.DatabaseError, OSError."""
    stat = file.stat()
    if os.name == "posix" and (stat.st_uid != os.geteuid() or stat.st_mode & _OTHERS):
        raise sqlite3.DatabaseError  # somebody else may have written whom it knows
    connection.execute("PRAGMA synchronous = OFF")  # what a failing machine spoils is begun anew
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        for table in _ANSWERS_TABLES.split(";"):
            connection.execute(table)
        connection.execute("INSERT INTO about VALUES (?)", (os.urandom(16),))
        connection.execute(f"PRAGMA user_version = {_ANSWERS_VERSION}")
    salts = connection.execute("SELECT salt FROM about").fetchall()
    if len(salts) != 1 or version not in {0, _ANSWERS_VERSION}:
        raise sqlite3.DatabaseError
    return bytes(salts[0][0])
