"""A plan as a person approves it: what will happen to how many rows, to whom, at what cost, and what looks odd.

What a sheet's own ledger knows of its rows belongs to it: what was sent is not sent again.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from math import ceil
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from batch_share.common import Cause, spell_length, utc_now
from batch_share.errors import SettingsError
from batch_share.leadsquared.account import Account
from batch_share.leadsquared.guesses import DAY_ZONE
from batch_share.leadsquared.people import FoundLead
from batch_share.ledger.files import read_ledger
from batch_share.ledger.records import Instruction
from batch_share.ledger.states import State
from batch_share.ledger.statistics import NONE_WAITING, Reasons, Waiting
from batch_share.outputs import Named
from batch_share.planning.already_shared import AlreadyShared, choose_renewals, what_is_behind
from batch_share.planning.directory import Directory, Numbers, type_key
from batch_share.planning.lookup import calls_for
from batch_share.planning.plan import Approval
from batch_share.results.answers import write_table
from batch_share.results.wording import spell_guards, spell_row
from batch_share.results.writing import check_format
from batch_share.sending.cost import Pace
from batch_share.sending.guards import excesses
from batch_share.sheet.columns import LEADS, Field
from batch_share.sheet.mapping import SheetMapping, write_mapping
from batch_share.sheet.rows import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import NewRow
    from batch_share.planning.plan import Plan
    from batch_share.sending.cost import Cost
    from batch_share.settings import Settings
    from batch_share.sheet.rows import Ref, ShareRow
    from batch_share.sheet.table import RawRow

_STATES: Final = tuple(State)


@dataclass(slots=True)
class KnownRows:
    """The rows that were sent before, or begun, by their keys. None, by default.

    `job` is the ledger's, `sheet` the name of the one in force; `refusal` says why a run would not go on with it,
    `hint` what to do then.
    """

    job: str = ""
    refusal: str = ""
    hint: str = "Use a ledger of its own for this sheet, or the host that the ledger belongs to."
    sheet: str = ""
    _known: Numbers = field(default_factory=Numbers)
    _any_sent: bool = False
    _any_met: bool = False

    async def learn(self, ledger: LedgerReader) -> None:
        """Take in what the ledger knows. Raises LedgerError."""
        sheet = await ledger.sheet()
        self.sheet = sheet.name if sheet else ""
        async for key, state, renewed_after in ledger.keys():
            # Rounded up: what the sheet says of a share's end as before is not later.
            after = 0 if renewed_after is None else ceil(renewed_after.replace(tzinfo=dt.UTC).timestamp())
            self._known.put(key, after * len(_STATES) + _STATES.index(state))
            self._any_sent = self._any_sent or state.was_sent

    def decide(self, rows: Iterable[NewRow]) -> Iterator[NewRow]:
        """The rows of a plan, those that were sent with the state that they are in."""
        for row in rows:
            number = self._known.get(row.key)
            self._any_met = self._any_met or number is not None
            after, at = divmod(number or 0, len(_STATES))
            if number is None or not _STATES[at].was_sent or not row.chosen or row.instruction is None:
                yield row
                continue
            until = row.instruction.until
            if after and (until is None or until.replace(tzinfo=dt.UTC).timestamp() > after):
                # A run renews it, and what was begun goes on, whatever the sheet says of its start by now.
                yield replace(row, state=State.PENDING, why=None, instruction=replace(row.instruction, start=None))
            else:
                yield replace(row, state=_STATES[at], why=None)

    def refuses(self, sheet: str) -> str:
        """Why a run of the sheet called so would not begin, once its rows were judged; "" if it would."""
        if self._any_sent and not self._any_met and self.sheet != sheet:
            return f"the ledger belongs to the sheet {self.sheet}, and holds none of these rows"
        return self.refusal


async def before_of(ledger: LedgerName, settings: Settings, directory: Directory) -> KnownRows:
    """What is known of the rows by `ledger`, if there is one; `directory` learns who is. Raises LedgerError."""
    if not ledger.holds_anything():
        behind = await what_is_behind(ledger, None, settings)
        return KnownRows(refusal=behind.wrong, hint=behind.hint) if behind else KnownRows()
    async with read_ledger(ledger) as opened:
        facts, host = await opened.facts(), _host(settings)
        if host is not None and facts["host"] != host and await opened.sheet() is not None:
            return KnownRows(
                refusal=f"the ledger {ledger.short} belongs to {facts['host']}, and the host is {host}"
            )
        async for answer in opened.lookups():
            directory.learn([answer])
        await choose_renewals(opened, settings)
        before = KnownRows(facts["job"])
        await before.learn(opened)
        if behind := await what_is_behind(ledger, opened, settings):
            before.refusal, before.hint = behind.wrong, behind.hint
        return before


def _host(settings: Settings) -> str | None:
    """The host that is set, None if none is: a plan needs no account."""
    try:
        return settings.account()[0]
    except SettingsError:
        return None


ODD_MINUTES: Final = 90 * 1440
"""A share longer than LeadSquared's own default of 90 days is worth a second look."""

_ACCESS: Final = {1: "read", 2: "write"}
_TOP: Final = 10


class Unasked(Directory):
    """Takes everybody that a row names to exist: for a plan that makes no call. What is known is used.

    An activity type whose name is not known, or known of several, has a stand-in below 0 for its code.
    """

    def __init__(self) -> None:
        super().__init__()
        self._stand_ins: dict[str, int] = {}
        self._names_meant: dict[int, str] = {}

    def resolve(
        self,
        row: ShareRow,
        raw: RawRow,
        header: Callable[[Field], str],
    ) -> Instruction | list[Problem]:
        """The instruction; with a name in place of an Id that is not known: enough to see what is there twice."""
        event, lead = self.code_of(row.event), self._answer(row.leads[0])
        if event is not None and self.is_found(row.leads[0]) and self.is_found(row.users[0]):
            return super().resolve(row, raw, header)
        if event is None:
            event = self._stand_ins.setdefault(type_key(str(row.event)), -1 - len(self._stand_ins))
            self._names_meant.setdefault(event, str(row.event))
        return Instruction(
            lead_id=lead.id if isinstance(lead, FoundLead) else _id_of(row.leads[0]),
            lead_number=lead.number if isinstance(lead, FoundLead) else "",
            user_id=self.user_of(row.users[:1]) or row.users[0].value,
            access=row.access,
            duration=row.duration,
            event=event,
            note=row.note,
            until=row.until.replace(tzinfo=None) if row.until else None,
            start=row.start.replace(tzinfo=None) if row.start else None,
            action=row.action,
        )

    def type_name(self, code: int) -> str:
        """As of every Directory; of a stand-in the name that the sheet says."""
        return self._names_meant.get(code) or super().type_name(code)


def _id_of(lead: Ref) -> str:
    """The lead's Id if that is what the row says, else what can't be taken for one."""
    return lead.value if lead.field is Field.LEAD_ID else f"{lead.field} {lead.value}"


def _is_named(asked: Instruction) -> bool:
    """Whether there are names in place of Ids: then nobody knows what is shared with whom."""
    return " " in asked.lead_id or "@" in asked.user_id


@dataclass(slots=True)
class Overview:
    """The counts of a plan. `problems` says what is wrong in the sheet, cell by cell; `conflicts` are sentences.

    `account` is what earlier runs left to know of it: the limit that it told, the calls made today; `live` which
    leads they have shared; `before` what the sheet's own ledger holds. `already` are the rows that are skipped for
    what is live, `held` for what another job has under way, `repeated` says which repeat another one.
    `directory` is who was looked up. `revoking` rows share nothing, and only revoke; `earlier` shares that are
    known are revoked, `claiming` rows ask for that, `unasked` of them without an Id: nobody knows what they revoke.
    `users` get all rows to be sent, `due` those whose time has come. `to_look_up` counts those whose lead is still
    to be looked up, by the surest thing that they say of it, and `unknown_users` are to be looked up.
    """

    plan: Plan
    settings: Settings
    account: Account = field(default_factory=Account)
    live: AlreadyShared = field(default_factory=AlreadyShared)
    before: KnownRows = field(default_factory=KnownRows)
    directory: Directory = field(default_factory=Directory)
    rows: int = 0
    states: Counter[State] = field(default_factory=Counter)
    left_out: int = 0
    already: int = 0
    held: int = 0
    waiting: Waiting = NONE_WAITING
    revoking: list[int] = field(default_factory=list)
    reassigning: list[int] = field(default_factory=list)
    unasked: int = 0
    earlier: int = 0
    repeated: list[Problem] = field(default_factory=list)
    reasons: Reasons = field(default_factory=Reasons)
    problems: list[Problem] = field(default_factory=list)
    users: Counter[str] = field(default_factory=Counter)
    due: Counter[str] = field(default_factory=Counter)
    events: set[int] = field(default_factory=set)
    access: Counter[str] = field(default_factory=Counter)
    lasting: Counter[str] = field(default_factory=Counter)
    conflicts: list[str] = field(default_factory=list)
    long: list[int] = field(default_factory=list)
    to_look_up: Counter[Field] = field(default_factory=Counter)
    unknown_users: set[str] = field(default_factory=set)

    def planned(
        self, directory: Directory, problems: dict[int | None, Sequence[Problem]] | None = None
    ) -> Iterator[NewRow]:
        """Every row with what will happen to it. May raise SheetError while it goes. `problems` as in Plan."""
        return self.live.decide(self.before.decide(self.plan.rows(self.before.job, directory, problems)))

    @property
    def is_asked(self) -> bool:
        """Whether LeadSquared was asked for those whom nobody knew."""
        return not isinstance(self.directory, Unasked)

    @property
    def invalid(self) -> list[str]:
        """What is wrong with each row that can't be sent, in one sentence."""
        rows = groupby(self.problems, key=attrgetter("row"))
        return ["; ".join(map(str, problems)) for _, problems in rows]

    @property
    def repeats(self) -> list[str]:
        """Which rows repeat another one, in a sentence each."""
        return [f"row {each.row}: {each.text}" for each in self.repeated]

    @property
    def to_send(self) -> int:
        """Rows that will be shared."""
        return self.states[State.PENDING] + self.states[State.POSTED] - len(self.revoking)

    @property
    def claiming(self) -> int:
        """Rows for which shares that were made before are taken back, whatever is shared then."""
        return len(self.revoking) + len(self.reassigning)

    @property
    def parts(self) -> dict[str, int]:
        """What becomes of the rows, each of which is in one part.

        One whose activity stands is `to_send`, though it was begun before; what is `sent_before` is not.
        """
        return {
            "to_send": self.to_send,
            "revoking": len(self.revoking),
            "invalid": self.states[State.INVALID],
            "repeats": len(self.repeated),
            "held": self.held,
            "already_shared": self.already,
            "sent_before": sum(self.sent_before.values()) - self.states[State.POSTED],
            "left_out": self.left_out,
        }

    @property
    def sent_before(self) -> dict[State, int]:
        """How many rows the sheet's ledger knows to be sent, or begun, by state."""
        return {state: count for state, count in self.states.items() if state.was_sent}

    @property
    def cost(self) -> Cost:
        """What the run costs at least, after its look-ups."""
        return self._cost(bulk=self.settings.bulk)

    @property
    def look_ups(self) -> tuple[int, int]:
        """How many calls look people up before the run: at least, and where the account has no API for many."""
        return calls_for(self.to_look_up, len(self.unknown_users))

    @property
    def other_cost(self) -> Cost:
        """The same one by one if the run is in bulk, else in bulk."""
        return self._cost(bulk=not self.settings.bulk)

    def _cost(self, *, bulk: bool) -> Cost:
        to_do = {state: self.states[state] for state in (State.PENDING, State.POSTED, State.ACCEPTED, State.ENDING)}
        to_do[State.PENDING] -= len(self.revoking)
        to_do[State.TO_REVOKE] = self.earlier
        return Pace.of(self.settings, self.account, bulk=bulk).cost(to_do, len(self.events))

    @property
    def calls_today(self) -> int:
        """Calls that this machine has made for the account today."""
        return self.account.calls_on(dt.datetime.now(DAY_ZONE).date().isoformat())

    @property
    def days(self) -> int:
        """How many days after today the run ends, by the daily allowance and what was used of it today."""
        most = self.settings.daily_limit
        return max(0, self.cost.calls + min(self.calls_today, most) - 1) // most if most else 0

    @property
    def ends_on(self) -> dt.date:
        """The day on which the run ends, if it is run again each day."""
        return dt.datetime.now(DAY_ZONE).date() + dt.timedelta(days=self.days)

    @property
    def share_of_day(self) -> float | None:
        """The part of the daily allowance that they use, 1 being all of it; None where none is set."""
        return self.cost.calls / self.settings.daily_limit if self.settings.daily_limit else None

    @property
    def ignored(self) -> list[str]:
        """The columns that are not read."""
        used = self.plan.sheet.found.used
        return [header for index, header in enumerate(self.plan.sheet.columns) if index not in used]

    @property
    def would_stop(self) -> list[str]:
        """Why a run would send nothing: its ledger can't be used, or it is too large for the guards in force."""
        refusal = self.before.refuses(self.plan.record.name)
        return [*filter(None, [refusal])] + [
            error.excess for error in excesses(self.due, self.settings, {}, self.earlier)
        ]

    @property
    def obstacles(self) -> list[Problem]:
        """The same, each with what to do."""
        refusal = self.before.refuses(self.plan.record.name)
        hint = self.before.hint
        return [
            Problem(None, "", "", f"{refusal[0].upper()}{refusal[1:]}.", hint=hint) for _ in filter(None, [refusal])
        ] + [
            Problem(None, "", "", error.problem, hint=error.hint)
            for error in excesses(self.due, self.settings, {}, self.earlier)
        ]

    def approval(self) -> Approval:
        """What approving this plan means: a run that is given it sends this or nothing."""
        return Approval.of(self.plan, self.settings, self.directory.meant_types)

    @property
    def top_users(self) -> Sequence[tuple[str, int]]:
        """The ten users who get the most leads, and how many each."""
        return self.users.most_common(_TOP)

    async def write(
        self, output: Named | None = None, save: Named | None = None, save_map: Named | None = None
    ) -> None:
        """Write what is wanted of it, as PlanFiles says. Raises SettingsError."""
        sheet = self.plan.sheet
        if output is not None:
            header = [*sheet.columns, "Plan", "Reason", "Sheet Row"]
            await write_table(output, header, _planned(self), coloured=len(sheet.columns))
        if save is not None:
            self.approval().save(save)
        if save_map is not None:  # without what only a person can say: in a file it would be said
            doubtful = {sheet.columns[index] for index in sheet.found.doubtful}
            mapping = (self.plan.record.mapping or {}).items()
            said = {header: name for header, name in mapping if header not in doubtful}
            write_mapping(save_map, SheetMapping(said, sheet.mapping.words, self.plan.dates))

    def oddities(self) -> list[str]:
        """What deserves a second look before anything is sent."""
        odd = list(self.conflicts)
        sent = self.to_send
        for user, count in self.users.most_common(1):
            if 2 * count > sent > 4:
                odd.append(f"{user} gets {count:,} of {sent:,} leads")
        if self.long:
            shown = ", ".join(map(str, self.long[:5])) + ("…" if len(self.long) > 5 else "")
            share, row = ("share lasts", "row") if len(self.long) == 1 else ("shares last", "rows")
            odd.append(f"{len(self.long):,} {share} longer than 90 days: {row} {shown}")
        return odd

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "rows": self.rows,
            "to_send": self.to_send,
            "parts": self.parts,
            "taking_back": self.claiming,
            "earlier_shares": None if self.unasked else self.earlier,
            "sent_before": {str(state): count for state, count in self.sent_before.items()},
            "invalid": self.states[State.INVALID],
            "skipped": self.states[State.SKIPPED],
            "already_shared": self.already,
            "left_out": self.left_out,
            "waiting": self.waiting.rows,
            "columns": self.plan.record.mapping,
            "ignored_columns": self.ignored,
            "notes": [*self.plan.sheet.notes(), *self.plan.sheet.of_people],
            "leads_per_user": dict(self.users.most_common()),
            "access": dict(self.access),
            "lasting": dict(self.lasting),
            "calls": self.cost.calls,
            "look_ups": list(self.look_ups),
            "recalled": self.directory.kept,
            "seconds": round(self.cost.seconds),
            "rate": str(self.cost.rate),
            "bulk_rate": str(self.cost.bulk_rate) if self.cost.bulk_rate else None,
            "seconds_in_bulk": round((self.cost if self.settings.bulk else self.other_cost).seconds),
            "share_of_daily_limit": self.share_of_day,
            "calls_today": self.calls_today,
            "ends_on": self.ends_on.isoformat(),
            "guards": spell_guards(self.settings),
            "would_stop": self.would_stop,
            "oddities": self.oddities(),
            "problems": self.invalid,
            "repeats": self.repeats,
            "problem_cells": [asdict(each) for each in self.problems],
        }


def overview(
    plan: Plan,
    settings: Settings,
    directory: Directory,
    account: Account | None = None,
    live: AlreadyShared | None = None,
    before: KnownRows | None = None,
) -> Overview:
    """Count a plan's rows. May raise SheetError."""
    seen = Overview(plan, settings, account or Account(), live or AlreadyShared(), before or KnownRows(), directory)
    conflicts = _Conflicts()
    claims: list[Instruction] = []
    problems: dict[int | None, Sequence[Problem]] = {}
    for row in seen.planned(directory, problems):
        wrong = problems.pop(row.sheet_row, ())
        seen.rows += 1
        if row.cause is Cause.LEFT_OUT:
            seen.left_out += 1
            continue
        seen.states[row.state] += 1
        if row.state in (State.INVALID, State.SKIPPED) and row.cause is not Cause.ALREADY_SHARED:
            seen.reasons.add(row)
        if row.state is State.SKIPPED:
            if row.cause is Cause.ALREADY_SHARED:
                seen.already += 1
            elif row.cause is Cause.HELD:
                seen.held += 1
            else:
                seen.repeated.append(Problem(row.sheet_row, "", "", spell_row(row)))
        elif row.state is State.INVALID:
            seen.problems += wrong
        elif row.state.is_to_do and row.instruction is not None:
            _count_look_ups(seen, row.instruction)
            if row.instruction.action.revokes and row.state is State.PENDING:
                claims.append(row.instruction)
                (seen.reassigning if row.instruction.action.shares else seen.revoking).append(row.sheet_row)
            if row.instruction.action.shares:
                _count(seen, row, row.instruction, directory)
                conflicts.add(row.sheet_row, row.instruction)
    known = [asked for asked in claims if seen.live.is_known and not _is_named(asked)]
    seen.unasked, seen.earlier = len(claims) - len(known), seen.live.earlier(known)
    seen.conflicts = list(conflicts.reported())
    return seen


def _count_look_ups(seen: Overview, asked: Instruction) -> None:
    if not isinstance(seen.directory, Unasked):
        return
    if not asked.lead_number:
        seen.to_look_up[next((each for each in LEADS if asked.lead_id.startswith(f"{each} ")), Field.LEAD_ID)] += 1
    if seen.directory.user_name(asked.user_id) == asked.user_id:
        seen.unknown_users.add(asked.user_id)


def _count(seen: Overview, row: NewRow, asked: Instruction, directory: Directory) -> None:
    user = directory.user_name(asked.user_id)
    seen.users[user] += 1
    seen.events.add(asked.event)
    seen.access[_ACCESS[asked.access]] += 1
    seen.lasting[spell_length(asked.duration, asked.until, seen.plan.zone)] += 1
    # What was begun goes on, whatever the sheet says of its start by now.
    if row.state is State.PENDING and asked.start is not None and asked.start > utc_now():
        seen.waiting = Waiting(seen.waiting.rows + 1, min(asked.start, seen.waiting.first or asked.start))
    else:
        seen.due[user] += 1
    if _minutes(asked) > ODD_MINUTES:
        seen.long.append(row.sheet_row)


class _Conflicts:
    """Rows that ask for different access of one user to one lead; of all others only digests are kept."""

    def __init__(self) -> None:
        self._first = Numbers()  # by lead, user and activity: the first row, and in the last two bits its access
        self._rows: dict[int, dict[int, int]] = {}

    def add(self, number: int, asked: Instruction) -> None:
        key = repr((asked.lead_id, asked.user_id, asked.event))
        first, access = divmod(self._first.setdefault(key, 4 * number + asked.access), 4)
        if access != asked.access:
            self._rows.setdefault(first, {access: first}).setdefault(asked.access, number)

    def reported(self) -> Iterator[str]:
        for _, rows in sorted(self._rows.items()):
            said = " and ".join(f"row {number} says {_ACCESS[access]}" for access, number in sorted(rows.items()))
            yield f"the same lead and user twice, with different access: {said}"


def _minutes(asked: Instruction) -> float:
    if asked.until is None:
        return asked.duration or 0
    return (asked.until - utc_now()).total_seconds() / 60


_PLANNED: Final = {State.PENDING: "to send", State.POSTED: "to share"}


@dataclass(frozen=True, slots=True)
class PlanFiles:
    """What is to be written of a plan: in `output`, a .csv or .xlsx file, every row with its plan.

    In `save` the approval that a run can be held to, in `save_map` which column was read as what.
    """

    output: Path | None = None
    save: Path | None = None
    save_map: Path | None = None

    def named(self, sheet: Path, ledger: LedgerName, settings: Settings) -> Sequence[Named | None]:
        """The three. Raises SettingsError, before anything is read, for what can't go there."""
        files = {"output": self.output, "save": self.save, "save-map": self.save_map}
        named = [
            None if file is None else Named(option, file, settings.data_folder, [sheet])
            for option, file in files.items()
        ]
        if self.output is not None:
            check_format(self.output)
        ledger.check_apart(*named)
        for file in filter(None, named):
            file.check()
        return named


async def _planned(seen: Overview) -> AsyncIterator[tuple[State, list[str]]]:
    """Every row with its plan and the reason."""
    width = len(seen.plan.sheet.columns)
    for row in seen.planned(seen.directory):
        cells = [*row.cells[:width], *[""] * (width - len(row.cells))]
        yield row.state, [*cells, _PLANNED.get(row.state, str(row.state)), spell_row(row), str(row.sheet_row)]
