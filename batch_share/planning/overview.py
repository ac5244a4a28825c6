"""A plan as a person approves it: what will happen to how many rows, to whom, at what cost, and what looks odd.

What a sheet's own ledger knows of its rows belongs to it: what was sent is not sent again. Before there is a plan,
a sheet can be looked at: its columns, what they are taken to hold, what is wrong.
"""

from __future__ import annotations

import datetime as dt
import re
from array import array
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import partial
from itertools import groupby, islice
from math import ceil
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from batch_share.common import Cause, plural, spell_length, spell_rows, utc_now
from batch_share.errors import NoLedger, SettingsError, SheetError
from batch_share.leadsquared.account import Account, account_name, name_of_account
from batch_share.leadsquared.guesses import DAY_ZONE
from batch_share.leadsquared.people import FoundLead
from batch_share.ledger.files import read_ledger
from batch_share.ledger.queries import ASKED_ANEW, Reasons
from batch_share.ledger.records import NONE_WAITING, Instruction, Waiting
from batch_share.ledger.states import NEVER_SENT, PROCESSING, TO_DO, State
from batch_share.ledger.store import Repeated
from batch_share.outputs import Named
from batch_share.planning.already_shared import AlreadyShared, choose_renewals, what_is_behind
from batch_share.planning.directory import (
    Directory,
    Hashes,
    Numbers,
    calls_by_number,
    calls_for,
    is_plain,
    type_key,
)
from batch_share.planning.plan import Approval, all_lacking, defaults_of, plan_of
from batch_share.planning.unchanged import unchanged_rows
from batch_share.results.answers import job_named, write_table
from batch_share.results.wording import (
    ANOTHER_ACCOUNT,
    ANOTHER_HOST,
    ODD_LENGTHS,
    REPEATS_OTHERWISE,
    SAYS_ANOTHER,
    spell_guards,
    spell_row,
)
from batch_share.results.writing import check_format
from batch_share.sending.guards import excesses
from batch_share.sending.onlookers import NO_NUMBERS, ByNumber, Pace
from batch_share.sheet.columns import (
    LASTING,
    LEADS,
    USERS,
    Field,
    doubt_of,
    field_named,
    is_of_header,
    spell_unread,
    squeeze,
)
from batch_share.sheet.mapping import SheetMapping, write_mapping
from batch_share.sheet.reader import open_sheet
from batch_share.sheet.rows import Asked, Problem, ShareRow, user_ref
from batch_share.sheet.values import kind_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from batch_share.errors import TooManyForUser, TooManyRows
    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import NewRow, SheetRecord
    from batch_share.planning.plan import Plan, SheetOptions
    from batch_share.planning.unchanged import Unchanged
    from batch_share.sending.onlookers import Cost
    from batch_share.settings import Settings
    from batch_share.sheet.reader import Sheet
    from batch_share.sheet.table import RawRow

_STATES: Final = tuple(State)


@dataclass(slots=True)
class KnownRows:
    """The rows that were sent before, or begun, by their keys. None, by default.

    `job` is the ledger's, `sheet` the one in force, `zone` that of its dates if it was asked for, `in_vain` whether
    somebody whom it names was not there, `dates` how many rows are invalid for one that time may have made right.
    `refusal` says why a run would not go on with it, `hint` what to do then. `unchanged` are the rows that it has
    shared as the sheet asks for them, `found` how many a run finds in which state: of these nothing more is to be
    told.
    """

    job: str = ""
    refusal: str = ""
    hint: str = "Use a ledger of its own for this sheet, or the host that the ledger belongs to."
    sheet: SheetRecord | None = None
    zone: ZoneInfo | None = None
    in_vain: bool = True
    dates: Mapping[Cause, int] = field(default_factory=dict)
    unchanged: Unchanged | None = None
    found: Counter[State] = field(default_factory=Counter)
    _known: Numbers = field(default_factory=Numbers)  # by key, whether unchanged, the state, the time to end after
    # By the key of each row that was refused, where it begins again; and, with its key, for what it asked.
    _refused: Numbers = field(default_factory=Numbers)
    any_sent: bool = False
    any_met: bool = False
    renewed: int = 0  # rows that were last decided to be shared once more, as they end or have ended

    async def learn(
        self, ledger: LedgerReader, unchanged: Unchanged | None = None, again: Collection[int] = ()
    ) -> None:
        """Take in what the ledger knows, and which failed rows are to be tried `again`. Raises LedgerError."""
        self.unchanged, same = unchanged, {*unchanged.ids} if unchanged else set[int]()
        self.sheet, self.in_vain = await ledger.sheet(), await ledger.asked_in_vain()
        self.dates, zone = await ledger.wrong_dates(), (await ledger.facts()).zone
        with suppress(KeyError, ValueError, OSError):  # another machine may not know it
            self.zone = ZoneInfo(zone) if zone else self.zone
        async for row_id, key, state, renewed_after in ledger.keys():
            # Rounded up: what the sheet says of a share's end as before is not later.
            after = 0 if renewed_after is None else ceil(renewed_after.replace(tzinfo=dt.UTC).timestamp())
            number = after * len(_STATES) + _STATES.index(state)
            if row_id in again:
                number = _STATES.index(State.PENDING)
            self._known.put(key, 2 * number + (row_id in same))
            self.any_sent = self.any_sent or state not in NEVER_SENT
            if row_id in same:
                self.found[state] += 1
        async for key, back, asked in ledger.refused():
            self._refused.put(key, _STATES.index(back))
            self._refused.put(_asked(key, asked), 0)

    @property
    def knows_any(self) -> bool:
        """Whether it knows of any row."""
        return bool(self._known)

    def decide(self, rows: Iterable[NewRow], *, are_others: bool = False) -> Iterator[NewRow]:
        """The rows of a plan, those that were sent with the state that they are in.

        Raises Repeated if they `are_others` than the unchanged ones, and one is one of these after all.
        """
        self.renewed = 0
        for row in rows:
            known = self._known.get(row.key)
            self.any_met = self.any_met or known is not None
            number, is_same = divmod(known or 0, 2)
            if is_same and are_others:
                raise Repeated
            after, at = divmod(number, len(_STATES))
            if known is None or _STATES[at] in NEVER_SENT or row.instruction is None:
                yield row
                continue
            if not row.chosen:  # whatever became of it: a run asks for what is still processed
                yield replace(row, state=_STATES[at]) if _STATES[at] in PROCESSING else row
                continue
            until = row.instruction.until
            if after and (until is None or until.replace(tzinfo=dt.UTC).timestamp() > after):
                # A run renews it, and what was begun goes on, whatever the sheet says of its start by now.
                self.renewed += 1
                yield replace(row, state=State.PENDING, why=None, instruction=replace(row.instruction, start=None))
                continue
            state = _STATES[at]
            if row.state is State.PENDING and (again := self._refused.get(row.key)) is not None:
                anew = [getattr(row.instruction, name) for name in ASKED_ANEW[_STATES[again]]]
                if self._refused.get(_asked(row.key, anew)) is None:  # something else than what was refused
                    state = _STATES[again]
            yield replace(row, state=state, why=None)


def _asked(key: str, values: Iterable[Any]) -> tuple[Any, ...]:
    """What a row asks for, whichever of its columns comes first."""
    return key, *(sorted(each.items()) if isinstance(each, dict) else each for each in values)


async def before_of(ledger: LedgerName, settings: Settings, directory: Directory, plan: Plan) -> KnownRows:
    """What is known of a plan's rows by `ledger`, if there is one; `directory` learns who is.

    Raises LedgerError, SheetError.
    """
    if ledger.size():
        try:
            return await _known_of(ledger, settings, directory, plan)
        except NoLedger as error:  # a run that was cut off at its very beginning leaves an empty one
            if not error.is_empty:
                raise
    behind = await what_is_behind(ledger, None, settings)
    return KnownRows(refusal=behind.wrong, hint=behind.hint) if behind else KnownRows()


async def _known_of(ledger: LedgerName, settings: Settings, directory: Directory, plan: Plan) -> KnownRows:
    async with read_ledger(ledger) as opened:
        facts, host, account = await opened.facts(), None, set[str]()
        with suppress(SettingsError):  # a plan needs no account
            host, access_key, _ = settings.credentials()
            account = {name_of_account(settings)} - {account_name(host, access_key)}  # if that was told
        if host is not None and facts.host != host and await opened.sheet() is not None:
            return KnownRows(refusal=ANOTHER_HOST.format(ledger.short, facts.host, host))
        is_other = bool(account - {facts.account})
        if facts.account is None:  # nobody was ever told whose it is: then names tell, as for a run
            named = (await opened.settings_of_sheet()).get("account")
            is_other = bool(named and settings.account) and named != settings.account
        if is_other and await opened.sheet() is not None:
            return KnownRows(refusal=ANOTHER_ACCOUNT.format(ledger.short, host))
        async for answer in opened.lookups():
            directory.learn([answer])
        await choose_renewals(opened, settings)
        before = KnownRows(facts.job)
        # Of those that may be renewed, more is to be told.
        may_be = opened.renew_before is None and (await opened.counts()).get(State.SHARED)
        same = await unchanged_rows(opened, plan, directory) if may_be else None
        await before.learn(opened, same, plan.corrections.again if plan.corrections else ())
        if behind := await what_is_behind(ledger, opened, settings):
            before.refusal, before.hint = behind.wrong, behind.hint
        return before


ODD_MINUTES: Final = 90 * 1440
"""A share longer than LeadSquared's own default of 90 days is worth a second look."""

_SHORT_MINUTES: Final = 60
"""And so is one shorter than an hour: whoever wrote 3 for days is read as of minutes."""

_ACCESS: Final = {1: "read", 2: "write"}


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
        event, lead = self._code(row.event), self._answer(row.leads[0])
        if event >= 0 and self.is_found(row.leads[0]) and self.is_found(row.users[0]):
            return super().resolve(row, raw, header)
        named, value = row.leads[0]
        lead_id, number = value if named is Field.LEAD_ID else f"{named} {value}", ""
        if isinstance(lead, FoundLead):
            lead_id, number = lead.id, lead.number
        return Instruction(
            lead_id=lead_id,
            lead_number=number,
            user_id=self.user_of(row.users[:1]) or row.users[0].value,
            access=row.access,
            duration=row.duration,
            event=event,
            note=row.note,
            until=row.until.replace(tzinfo=None) if row.until else None,
            start=row.start.replace(tzinfo=None) if row.start else None,
            action=row.action,
        )

    @property
    def knows_leads(self) -> bool:
        """Whether some lead was found, or was not."""
        return any(True for _ in self._leads) or any(ref.field in LEADS for ref in self._nobody)

    def resolve_all(self, asked: Asked) -> Asked:
        """The same for many rows whose leads are not known."""
        users = {user: self.user_of((user_ref(user),)) or user for user in {*asked.users}}
        codes = {event: self._code(event) for event in dict.fromkeys(asked.events)}
        if asked.lead is not Field.LEAD_ID:
            asked = asked._replace(leads=[f"{asked.lead} {value}" for value in asked.leads])
        if any(user != found for user, found in users.items()):
            asked = asked._replace(users=[users[user] for user in asked.users])
        if any(event != code for event, code in codes.items()):
            asked = asked._replace(events=[codes[event] for event in asked.events])
        return asked

    def _code(self, event: int | str) -> int:
        """The code of an activity type, or its stand-in."""
        code = self.code_of(event)
        if code is None:
            code = self._stand_ins.setdefault(type_key(str(event)), -1 - len(self._stand_ins))
            self._names_meant.setdefault(code, str(event))
        return code

    def type_name(self, code: int) -> str:
        """As of every Directory; of a stand-in the name that the sheet says."""
        return self._names_meant.get(code) or super().type_name(code)


_NAMES: Final = re.compile(r"[^\W\d_]{2,}")
"""The words of a name, without initials."""

_MOST_ALIKE: Final = 1 << 16
"""Different things that rows told together ask for, of which it is kept how many: 20 MB."""


def _minutes(lasting: int | dt.datetime | None, now: dt.datetime) -> float:
    """How long a share lasts that is made now, if it lasts so many minutes, or ends then (UTC)."""
    if isinstance(lasting, dt.datetime):
        return (lasting.replace(tzinfo=None) - now).total_seconds() / 60
    return lasting or 0


@dataclass(slots=True, kw_only=True)
class Counts:
    """What a run does with the rows of a sheet, in numbers: of a plan as of what a run shows before it begins.

    Whoever has the rows tells them to `add`, in their order: a plan as they will be, a run as its ledger has them.

    | field | what it is |
    |---|---|
    | `record`, `settings` | the sheet as it was read, and what the run is to be done with |
    | `account` | what earlier runs left to know of it: the limit that it told, the calls made today |
    | `now` | by the ledger's clock, UTC without a zone: what starts later waits |
    | `zone` | of the times that the sheet says; None: this machine's |
    | `notes` | how the sheet was read |
    | `user_name` | what people call the user with an Id |
    | `recalled` | names known from earlier look-ups |
    | `rows`, `states` | all rows; those that were chosen, by the state that the run finds or leaves them in |
    | `left_out` | rows that were not chosen |
    | `waiting` | rows that are sent once their time has come |
    | `processing` | requests that are asked for, those of rows that are left out with them, by state |
    | `already`, `held` | rows skipped for what other ledgers share, and for what another job has under way |
    | `repeated` | which row repeats which |
    | `problems` | what is wrong in the sheet, cell by cell |
    | `reasons` | why rows are invalid or skipped, the most frequent first |
    | `revoking`, `reassigning` | numbers of rows that only revoke, and of those that share then |
    | `claims` | what rows ask to be revoked now |
    | `earlier`, `unasked` | shares that these revoke; claims without an Id, which may revoke any |
    | `leads`, `due` | rows to be sent, by user's Id: all, and those whose time has come |
    | `events` | codes of their activity types |
    | `access`, `lasting` | how many share what, `read` or `write`; and for how long, in words |
    | `long`, `short` | numbers of rows that share for more than 90 days, and for less than an hour |
    | `checks` | what else deserves a second look, in words; each with the option that may be meant, "": none |
    | `to_look_up` | rows whose lead is still to be looked up, by the surest thing that they say of it |
    | `by_number` | how many calls look those up that are named by number |
    | `unknown_users` | whom they name and nobody knows yet |
    | `refusal` | why a run would not go on with the ledger; "": it would |
    """

    record: SheetRecord
    settings: Settings
    account: Account = field(default_factory=Account)
    now: dt.datetime = field(default_factory=utc_now)
    zone: dt.tzinfo | None = None
    notes: Sequence[str] = ()
    user_name: Callable[[str], str] = str
    recalled: int = 0
    rows: int = 0
    states: Counter[State] = field(default_factory=Counter)
    processing: Counter[State] = field(default_factory=Counter)
    left_out: int = 0
    already: int = 0
    held: int = 0
    waiting: Waiting = NONE_WAITING
    revoking: list[int] = field(default_factory=list)
    reassigning: list[int] = field(default_factory=list)
    claims: list[Instruction] = field(default_factory=list)
    unasked: int = 0
    earlier: int = 0
    repeated: list[Problem] = field(default_factory=list)
    reasons: Reasons = field(default_factory=Reasons)
    problems: list[Problem] = field(default_factory=list)
    leads: Counter[str] = field(default_factory=Counter)
    due: Counter[str] = field(default_factory=Counter)
    events: dict[int, None] = field(default_factory=dict)
    access: Counter[str] = field(default_factory=Counter)
    lasting: Counter[str] = field(default_factory=Counter)
    long: list[int] = field(default_factory=list)
    short: list[int] = field(default_factory=list)
    checks: dict[str, str] = field(default_factory=dict)
    to_look_up: Counter[Field] = field(default_factory=Counter)
    by_number: ByNumber = NO_NUMBERS
    unknown_users: set[str] = field(default_factory=set)
    refusal: str = ""
    # By what is shared: the first row, its access in two bits.
    _first: Numbers | Hashes = field(default_factory=Numbers)
    _other: dict[int, dict[int, int]] = field(default_factory=dict)
    _alike: Counter[tuple[Any, ...]] = field(default_factory=Counter)  # users and more of rows told together

    def add(self, row: NewRow) -> None:
        """Count the next row."""
        self.add_known(row.state, row.chosen, 1)
        if not row.chosen:
            return
        if row.state in (State.INVALID, State.SKIPPED) and row.cause is not Cause.ALREADY_SHARED:
            self.reasons.add(row)
        if row.state is State.SKIPPED:
            if row.cause is Cause.ALREADY_SHARED:
                self.already += 1
            elif row.cause is Cause.HELD:
                self.held += 1
            else:
                self.repeated.append(Problem(row.sheet_row, "", "", spell_row(row)))
        elif row.state is State.INVALID:
            self.problems += problems_of(row)
        elif row.state in TO_DO and row.instruction is not None:
            self.count_alike()
            asked = row.instruction
            is_due = self._add_to_do(row.state, asked, 1)
            if asked.action.revokes and row.state is State.PENDING:
                (self.reassigning if asked.action.shares else self.revoking).append(row.sheet_row)
                if is_due:
                    self.claims.append(asked)
            if asked.action.shares:
                minutes = _minutes(asked.until or asked.duration, self.now)
                if minutes > ODD_MINUTES:
                    self.long.append(row.sheet_row)
                if 0 < minutes < _SHORT_MINUTES:
                    self.short.append(row.sheet_row)
                key = asked.lead_id, asked.user_id, asked.event
                first, before = divmod(self._first.setdefault(key, 4 * row.sheet_row + asked.access), 4)
                if asked.access != before:
                    self._other.setdefault(first, {before: first}).setdefault(asked.access, row.sheet_row)

    def add_known(self, state: State, is_chosen: bool, rows: int) -> None:
        """Count rows of which there is no more to tell: they are not to be sent, and nothing is wrong with them."""
        self.rows += rows
        if state in PROCESSING:
            self.processing[state] += rows
        if is_chosen:
            self.states[state] += rows
        else:
            self.left_out += rows

    def add_all(self, asked: Asked) -> None:
        """Count the next rows, each of which is to be shared with somebody of whom no earlier one has said so."""
        self.rows += len(asked.numbers)
        self.states[State.PENDING] += len(asked.numbers)
        self._alike.update(zip(asked.users, asked.access, asked.lasting, asked.events, asked.starts, strict=True))
        if len(self._alike) > _MOST_ALIKE:
            self.count_alike()
        minutes = {each: _minutes(each, self.now) for each in {*asked.lasting}}
        long = {each for each, lasts in minutes.items() if lasts > ODD_MINUTES}
        short = {each for each, lasts in minutes.items() if 0 < lasts < _SHORT_MINUTES}
        for found, odd in ((self.long, long), (self.short, short)):
            if odd:
                found += [n for n, lasting in zip(asked.numbers, asked.lasting, strict=True) if lasting in odd]

    def count_alike(self) -> None:
        """Count what was told together up to now. Whoever told any calls it at the end."""
        for (user, access, lasting, event, start), rows in self._alike.items():
            until = lasting.replace(tzinfo=None) if isinstance(lasting, dt.datetime) else None
            begins = start.replace(tzinfo=None) if start else None
            duration = None if until else lasting
            asked = Instruction("", "", user, access, duration, event, "", until, start=begins)
            self._add_to_do(State.PENDING, asked, rows)
        self._alike.clear()

    def _add_to_do(self, state: State, asked: Instruction, rows: int) -> bool:
        """Count rows that ask for the same, be it of several leads. Whether their time has come."""
        # What was begun goes on, whatever the sheet says of its start by now.
        is_due = state is not State.PENDING or asked.start is None or asked.start <= self.now
        if not is_due and asked.start is not None:
            first = min(asked.start, self.waiting.first or asked.start)
            self.waiting = Waiting(self.waiting.rows + rows, first)
        if asked.action.shares:
            self.leads[asked.user_id] += rows
            self.access[_ACCESS[asked.access]] += rows
            self.lasting[spell_length(asked.duration, asked.until, self.zone or dt.UTC)] += rows
            if is_due:
                self.due[asked.user_id] += rows
                self.events[asked.event] = None
        return is_due

    @property
    def invalid(self) -> list[str]:
        """What is wrong with each row that can't be sent, in one sentence."""
        rows = groupby(self.problems, key=attrgetter("row"))
        return ["; ".join(map(str, problems)) for _, problems in rows]

    @property
    def to_send(self) -> int:
        """Rows that will be shared, be it once their time has come."""
        return self.states[State.PENDING] + self.states[State.POSTED] - len(self.revoking)

    @property
    def to_do(self) -> dict[State, int]:
        """How many rows are sent now, by state."""
        posted = self.states[State.POSTED]
        counted = {State.PENDING: self.due.total() - posted, State.POSTED: posted}
        return {state: rows for state, rows in counted.items() if rows}

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
        return {state: count for state, count in self.states.items() if state not in NEVER_SENT}

    @property
    def look_ups(self) -> tuple[int, int]:
        """How many calls look people up before the run: at least, and where the account has no API for many."""
        return calls_for(self.to_look_up, len(self.unknown_users), self.by_number)

    @property
    def cost(self) -> Cost:
        """What the run costs at least, after its look-ups."""
        return self._cost(bulk=self.settings.bulk)

    @property
    def other_cost(self) -> Cost:
        """The same one by one if the run is in bulk, else in bulk."""
        return self._cost(bulk=not self.settings.bulk)

    def _cost(self, *, bulk: bool) -> Cost:
        states = {**self.to_do, **self.processing, State.TO_REVOKE: self.earlier}
        return Pace.of(self.settings, self.account, bulk=bulk).cost(states, len(self.events))

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
        return [header for header in self.record.columns if header not in (self.record.mapping or {})]

    @property
    def excesses(self) -> list[TooManyRows | TooManyForUser]:
        """What is too much for the guards in force."""
        return [*excesses(self.due, self.settings, self.called, self.earlier)]

    @property
    def would_stop(self) -> list[str]:
        """Why a run would send nothing: its ledger can't be used, or it is too large for the guards in force."""
        return [*filter(None, [self.refusal]), *(error.excess for error in self.excesses)]

    @property
    def called(self) -> dict[str, str]:
        """By Id, what people call the users who get leads; several of one name are told apart by their Ids."""
        names = {user: self.user_name(user) for user in self.leads}
        having = Counter(names.values())
        return {user: name if having[name] == 1 else f"{name}, {user}" for user, name in names.items()}

    @property
    def users(self) -> Counter[str]:
        """How many leads users get, by what people call them."""
        called = self.called
        return Counter({called[user]: leads for user, leads in self.leads.items()})

    def oddities(self) -> list[str]:
        """What deserves a second look before anything is sent."""
        odd, sent = [*self.checks], self.to_send
        for _, rows in sorted(self._other.items()):
            said = " and ".join(f"row {number} says {_ACCESS[access]}" for access, number in sorted(rows.items()))
            odd.append(f"the same lead and user twice, with different access: {said}")
        for user, count in self.users.most_common(1):
            if 2 * count > sent > 4:
                odd.append(f"{user} gets {count:,} of {sent:,} leads")
        for found, said in zip((self.long, self.short), ODD_LENGTHS, strict=True):
            if found:
                last = plural(len(found), "share lasts", "shares last")
                odd.append(said.format(last, spell_rows(sorted(found), len(found))))
        return odd

    def as_json(self) -> dict[str, Any]:
        """The object that `plan --json` prints, and `run --json` under `preview`."""
        cost, other = self.cost, self.other_cost
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
            "columns": self.record.mapping,
            "ignored_columns": self.ignored,
            "notes": [*self.notes],
            "leads_per_user": dict(self.users.most_common()),
            "access": dict(self.access),
            "lasting": dict(self.lasting),
            "calls": cost.calls,
            "look_ups": list(self.look_ups),
            "recalled": self.recalled,
            "seconds": round(cost.seconds),
            "rate": str(cost.rate),
            "bulk_rate": str(cost.bulk_rate) if cost.bulk_rate else None,
            "seconds_in_bulk": round((cost if self.settings.bulk else other).seconds),
            "share_of_daily_limit": self.share_of_day,
            "calls_today": self.calls_today,
            "ends_on": self.ends_on.isoformat(),
            "guards": spell_guards(self.settings),
            "would_stop": self.would_stop,
            "oddities": self.oddities(),
            "problems": self.invalid,
            "repeats": [f"row {each.row}: {each.text}" for each in self.repeated],
            "problem_cells": [asdict(each) for each in self.problems],
        }


def problems_of(row: NewRow) -> list[Problem]:
    """What is wrong with a row that can't be sent, one by one."""
    if row.why is None:
        return []
    if "problems" in row.why.details:
        told = row.why.details["problems"]
        return [Problem(row.sheet_row, column, value, text, row.why.cause) for column, value, text in told]
    text = spell_row(row).removeprefix(f"Row {row.sheet_row}: ")
    return [Problem(row.sheet_row, "", "", text, row.why.cause, _HINTS.get(row.why.cause, ""))]


_HINTS: Final = {
    Cause.UNCHECKED: "Plan again when LeadSquared can be asked, or trust the Ids if they are right.",
}


@dataclass(slots=True, kw_only=True)
class Overview(Counts):
    """What `BatchShare.plan` gives: what a run of a sheet would do, with its counts.

    `plan` has the rows; `directory` is who was looked up, `before` what the sheet's own ledger holds, and `live`
    tells which leads other ledgers have shared. `to_send` is how many rows would be shared, `renewed` of them once
    more as their shares end or have ended, `cost` how many calls that takes, `obstacles` why a run would send
    nothing; `approval()` is what a run can be held to.
    """

    plan: Plan
    live: AlreadyShared = field(default_factory=AlreadyShared)
    before: KnownRows = field(default_factory=KnownRows)
    directory: Directory = field(default_factory=Directory)
    renewed: int = 0

    def planned(self) -> Iterator[NewRow]:
        """Every row with what will happen to it. May raise SheetError while it goes."""
        return self.live.decide(self.before.decide(self.plan.rows(self.before.job, self.directory)))

    def foreseen(self) -> Iterator[NewRow | Asked]:
        """The same to be counted: rows to be sent as columns where nothing is known of any lead, far sooner."""
        directory, plan, known = self.directory, self.plan, self.before.knows_any
        if (unchanged := self.before.unchanged) is not None and unchanged.is_meant(directory):
            self.before.any_met = self.before.any_met or len(unchanged) > 0
            for state, rows in self.before.found.items():
                self.add_known(state, True, rows)
            others = unchanged.rest_of(plan).rows(self.before.job, directory)
            return self.live.decide(self.before.decide(others, are_others=True))
        is_part = bool(plan.selection or plan.corrections)
        if not isinstance(directory, Unasked) or is_part or known or directory.knows_leads or self.live.knows_any():
            return self.planned()
        self._first = first = Hashes()  # of 100 bytes for each, where `Numbers` take 25
        return plan.foreseen(directory, first)

    @property
    def mapping(self) -> str:
        """The options that a run needs where a person has to say which column holds the user, else ""."""
        sheet = self.plan.sheet
        return doubt_of(sheet.columns, sheet.found)[1] if sheet.found.doubtful else ""

    @property
    def is_asked(self) -> bool:
        """Whether LeadSquared was asked for those whom nobody knew."""
        return not isinstance(self.directory, Unasked)

    @property
    def obstacles(self) -> list[Problem]:
        """Why a run would send nothing, each with what to do."""
        refusal = self.refusal and f"{self.refusal[0].upper()}{self.refusal[1:]}."
        of_ledger = [Problem(None, "", "", refusal, hint=self.before.hint)] if refusal else []
        return of_ledger + [Problem(None, "", "", error.problem, hint=error.hint) for error in self.excesses]

    def approval(self) -> Approval:
        """What approving this plan means: a run that is given it sends this or nothing."""
        return Approval.of(self.plan, self.settings, self.directory.meant_types)

    async def write(
        self, output: Named | None = None, save: Named | None = None, save_map: Named | None = None
    ) -> None:
        """Write what is wanted of it, as PlanFiles says. Raises SettingsError."""
        sheet = self.plan.sheet
        if output is not None:
            await write_table(output, self.record, ("Plan", "Reason", "Sheet Row"), _planned(self))
        if save is not None:
            self.approval().save(save)
        if save_map is not None:  # without what only a person can say: in a file it would be said
            doubtful = {sheet.columns[index] for index in sheet.found.doubtful}
            mapping = (self.record.mapping or {}).items()
            said = {header: name for header, name in mapping if header not in doubtful}
            write_mapping(save_map, SheetMapping(said, sheet.mapping.words, self.plan.dates))


def overview(
    plan: Plan,
    settings: Settings,
    directory: Directory,
    account: Account | None = None,
    live: AlreadyShared | None = None,
    before: KnownRows | None = None,
) -> Overview:
    """Count a plan's rows. May raise SheetError."""
    seen = Overview(
        record=plan.record,
        settings=settings,
        account=account or Account(),
        now=plan.rules.now.replace(tzinfo=None) if plan.rules.now is not None else utc_now(),
        zone=plan.zone,
        checks={**plan.sheet.checks},
        user_name=directory.user_name,
        recalled=directory.kept,
        plan=plan,
        live=live or AlreadyShared(),
        before=before or KnownRows(),
        directory=directory,
    )
    numbers = array("Q")  # little memory, of which there may be a million
    others, strangers = plan.sheet.found.others, dict[int, list[Any]]()
    repeats = dict[int, tuple[int, dt.datetime | int | None]]()
    try:
        foreseen: Iterable[NewRow | Asked] = (
            seen.foreseen() if seen.before.unchanged is None else [*seen.foreseen()]
        )
    except Repeated:
        seen.before.unchanged = None  # all are to be judged
        return overview(plan, settings, directory, account, live, seen.before)
    for row in foreseen:
        if isinstance(row, Asked):
            seen.add_all(row)
            seen.to_look_up[row.lead] += len(row.numbers)
            if row.lead is Field.LEAD_NUMBER:
                texts = (lead.removeprefix(f"{Field.LEAD_NUMBER} ") for lead in row.leads)
                numbers.extend(int(text) for text in texts if is_plain(text))
            seen.unknown_users |= {user for user in {*row.users} if directory.user_name(user) == user}
            continue
        seen.add(row)
        asked = row.instruction
        if row.chosen and asked is not None and row.why is not None and row.cause is Cause.REPEAT:
            repeats[row.sheet_row] = row.why.details["row"], asked.until or asked.duration
        if not row.chosen or row.state not in TO_DO or asked is None:
            continue
        if seen.is_asked:
            name = directory.user_name(asked.user_id).rpartition(" <")[0]
            for at in _named_otherwise(row, others, name):
                told = strangers.setdefault(at, [0, row.sheet_row, row.cells[at].strip(), name])
                told[0] += 1
            continue
        if not asked.lead_number:
            kind = next((each for each in LEADS if asked.lead_id.startswith(f"{each} ")), Field.LEAD_ID)
            seen.to_look_up[kind] += 1
            if kind is Field.LEAD_NUMBER and is_plain(number := asked.lead_id.removeprefix(f"{kind} ")):
                numbers.append(int(number))
        if directory.user_name(asked.user_id) == asked.user_id:
            seen.unknown_users.add(asked.user_id)
    seen.checks |= _spelled(plan, strangers) | _repeated_otherwise(plan, repeats)
    seen.by_number = calls_by_number(seen.to_look_up[Field.LEAD_NUMBER], numbers)
    seen.count_alike()
    seen.renewed = min(seen.before.renewed, seen.to_send)  # other ledgers may share some of them
    seen.notes = [*plan.sheet.notes(), *plan.sheet.of_people]  # which may only know once it was read to its end
    # Where names are in place of Ids, nobody knows what is shared with whom; nor where there is no account.
    known = [asked for asked in seen.claims if " " not in asked.lead_id and "@" not in asked.user_id]
    known = known if seen.live.settings is not None else []
    seen.unasked, seen.earlier = len(seen.claims) - len(known), seen.live.earlier(known)
    seen.refusal, of = seen.before.refusal, seen.before.sheet.name if seen.before.sheet else ""
    if seen.before.any_sent and not seen.before.any_met and of != plan.record.name:
        seen.refusal = f"the ledger belongs to the sheet {of}, and holds none of these rows"
    return seen


def _named_otherwise(row: NewRow, places: Sequence[int], name: str) -> Iterator[int]:
    """Of these cells, those that hold a name of which no word is in this one, the user's; "": not known.

    A name says nothing of who is meant, but it may say that somebody else was.
    """
    for at in places if name else ():
        cell = row.cells[at].strip()
        words = {*_NAMES.findall(cell.casefold())} if kind_of(cell) is None else set()
        if words and words.isdisjoint(_NAMES.findall(name.casefold())):
            yield at


def _spelled(plan: Plan, strangers: Mapping[int, Sequence[Any]]) -> dict[str, str]:
    """By column, in how many rows it names somebody else than the user, and the first of them."""
    fields, columns = plan.sheet.found.fields, plan.sheet.columns
    than, said = next(columns[fields[each]] for each in USERS if each in fields), dict[str, str]()
    for at, (count, *first) in strangers.items():
        more = f", and {count - 1:,} more" if count > 1 else ""
        said[SAYS_ANOTHER.format(plural(count, "row"), columns[at], than, *first) + more] = ""
    return said


def _repeated_otherwise(plan: Plan, repeats: Mapping[int, tuple[int, Any]]) -> dict[str, str]:
    """Which rows repeat an earlier one, but for their end: that is lost. The sheet is read once more for it."""
    if not repeats or plan.sheet.found.fields.keys().isdisjoint(LASTING):
        return {}
    firsts, lasting = {first for first, _ in repeats.values()}, dict[int, Any]()
    for raw in plan.sheet.rows():
        if raw.number in firsts and isinstance(asked := plan.rules.check(raw), ShareRow):
            lasting[raw.number] = asked.until.replace(tzinfo=None) if asked.until else asked.duration
    found = [number for number, (first, other) in repeats.items() if lasting.get(first, other) != other]
    if not found:
        return {}
    are_ends = any(isinstance(repeats[number][1], dt.datetime) for number in found)
    repeat = f"repeats row {repeats[found[0]][0]}" if len(found) == 1 else "repeat earlier rows"
    return {REPEATS_OTHERWISE.format(spell_rows(found, len(found)), repeat, "end" if are_ends else "length"): ""}


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
    for row in seen.planned():
        cells = [*row.cells[:width], *[""] * (width - len(row.cells))]
        yield row.state, [*cells, _PLANNED.get(row.state, str(row.state)), spell_row(row), str(row.sheet_row)]


# ------------------------------------------------------------------------------------ before anything else

FIRST: Final = 5
"""Rows of which a person is shown what stands in them."""


class Origin(StrEnum):
    """By what a column is taken to hold what it does."""

    MAPPING = "mapping"
    HEADER = "header"
    VALUES = "values"


@dataclass(frozen=True, slots=True)
class LookColumn:
    """A column under its `header`, with what stands in its first rows (`values`, at most `FIRST`).

    It is read as `field` (a Field's value, or mx_Custom_1 and so on), as `origin` says; None: it is not read. With
    `is_doubtful` it most often says who has the lead now: a run shares with that person only once somebody has said
    so.
    """

    header: str
    field: str | None
    origin: Origin | None
    values: Sequence[str]
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """A sheet as it was read: `name`, the `worksheet` of all `worksheets` (none in a text file), `header_row`.

    `columns` say what is read of it, `rows` counts the rows below the headers, `notes` say how it was read.
    `defaults` say by field what a row has that does not say: from the settings. `problems` are all that keep the
    sheet, or a row of it, from being sent as far as that can be told without asking LeadSquared; those of the
    whole sheet have no row. One that `is_of_job` has failed rows, which go on with all that was said of their job.
    """

    name: str
    worksheets: Sequence[str]
    worksheet: str | None
    header_row: int
    columns: Sequence[LookColumn]
    rows: int
    notes: Sequence[str]
    defaults: Mapping[str, str]
    problems: Sequence[Problem]
    is_of_job: bool = False

    @property
    def of_the_sheet(self) -> Sequence[Problem]:
        """The problems that keep all of it from being sent."""
        return [each for each in self.problems if each.row is None]


def look_at(path: Path, options: SheetOptions, settings: Settings) -> Look:
    """Look at a sheet; nobody is asked, and no ledger is. Raises SheetError if there is no table, SettingsError."""
    sheet, lacking = open_sheet(path, options.read)
    defaults, rows, problems = defaults_of(settings), 0, list[Problem]()
    looked = partial(Look, path.name, sheet.worksheets, sheet.worksheet, sheet.header_row, _columns(sheet))
    if job_named(sheet) is not None:
        of_job = sum(1 for _ in sheet.rows())
        return looked(rows=of_job, notes=[], defaults={}, problems=[], is_of_job=True)
    try:
        if (wrong := lacking and all_lacking(sheet, settings, lacking)) is not None:
            raise wrong
        plan = plan_of(sheet, options, settings, now=dt.datetime.now(dt.UTC))
        sheet = plan.sheet  # which says how its dates were read
        plan.check_rows()
        seen = overview(plan, settings, Unasked())
        rows, problems = seen.rows, seen.problems
    except SheetError as error:
        problems = [Problem(error.row, "", "", error.problem, hint=error.hint)]
        with suppress(SheetError):
            for _ in sheet.rows():
                rows += 1
    found = sheet.found
    if found.doubtful:
        words, _ = doubt_of(sheet.columns, found)
        hint = "Say whether each lead is to be shared with the person there, or choose another column."
        problems = [Problem(None, "", "", f"{words}.", hint=hint), *problems]
    return looked(
        rows=rows,
        notes=[*sheet.notes(), *spell_unread(sheet.columns, found), *sheet.checks],
        defaults={str(each): text for each, text in defaults.items()},
        problems=problems,
    )


def _columns(sheet: Sheet) -> list[LookColumn]:
    first: list[list[str]] = []
    with suppress(SheetError):  # which is among the problems
        blank = [""] * len(sheet.columns)
        first.extend([*row.cells, *blank] for row in islice(sheet.rows(), FIRST))
    said = {squeeze(header): field_named(name) or None for header, name in sheet.mapping.columns.items()}
    fields: dict[int, str] = {index: each for each, index in sheet.found.fields.items()}
    fields |= {index: name for name, index in sheet.found.custom.items()}
    shown = []
    for index, header in enumerate(sheet.columns):
        field = fields.get(index)
        origin = None
        if squeeze(header) in said:
            # Also where the others can't be told, and so none is read yet.
            field, origin = said[squeeze(header)], Origin.MAPPING
        elif not fields and (guess := field_named(header)):
            field, origin = guess, Origin.HEADER
        elif field is not None:
            is_plain = not isinstance(field, Field) or is_of_header(header, field)
            origin = Origin.HEADER if is_plain else Origin.VALUES
        values = [row[index] for row in first]
        shown.append(LookColumn(header, field and str(field), origin, values, index in sheet.found.doubtful))
    return shown
