"""From a sheet's rows to what will happen with each, before anything happens. No network, no ledger.

A row's key is made of what it asks for, not of where it stands: rows may be sorted, inserted or fixed between two
runs, and what was done stays done.

A plan that somebody approved is kept, in memory or in a file: a run that is held to it runs nothing else.
"""

from __future__ import annotations

import codecs
import datetime as dt
import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, ValidationError

from batch_share.common import Action, Cause, Order, parse_duration
from batch_share.errors import PlanChanged, SettingsError, SheetError
from batch_share.ledger.queries import Reasons
from batch_share.ledger.records import CHOICE_FROM, Instruction, NewRow, SheetRecord, Why
from batch_share.ledger.states import State
from batch_share.planning.directory import Names, Numbers
from batch_share.sheet.columns import LASTING, Field, field_named, kind_held, letters, map_option
from batch_share.sheet.mapping import read_mapping
from batch_share.sheet.reader import ReadOptions
from batch_share.sheet.rows import (
    DATED,
    DEFAULT_NOTE,
    Asked,
    ColumnRules,
    Dates,
    Problem,
    Ref,
    RowRules,
    Selection,
    ShareRow,
    read_dates,
    shortened,
    user_ref,
)
from batch_share.sheet.values import Kind, date_meant, parse_access, parse_event, parse_note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from batch_share.outputs import Named
    from batch_share.planning.corrections import Corrections
    from batch_share.planning.directory import Directory, Hashes
    from batch_share.planning.overview import Unasked
    from batch_share.settings import Settings
    from batch_share.sheet.reader import Sheet
    from batch_share.sheet.table import RawRow

_OPTIONS: Final[dict[Field, Callable[[str], object]]] = {
    Field.ACCESS: parse_access,
    Field.DURATION: parse_duration,
    Field.EVENT: parse_event,
    Field.NOTE: parse_note,
}
_FALLBACK: Final = {Field.ACCESS: "read", Field.NOTE: DEFAULT_NOTE}


@dataclass(frozen=True, slots=True)
class SheetOptions:
    """How a sheet is `read`, and the `selection` of its rows that are meant."""

    read: ReadOptions = field(default_factory=ReadOptions)
    selection: Selection = field(default_factory=Selection)

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        worksheet: str | None = None,
        maps: Sequence[str] | None = None,
        limit: int | None = None,
        rows: str | None = None,
        only: Sequence[str] | None = None,
    ) -> SheetOptions:
        """As the settings say, and what is said for this sheet alone. Raises SettingsError."""
        read = ReadOptions(
            worksheet,
            settings.header_row,
            read_mapping(settings.mapping, maps or ()),
            settings.sheet,
            settings.encoding or None,
            settings.data_folder,
        )
        return cls(read, Selection.parse(limit, rows, only or ()))


@dataclass(frozen=True, slots=True)
class Checked:
    """A row as far as it can be judged without asking anybody. `is_chosen`: the run is for it."""

    raw: RawRow
    asked: ShareRow | list[Problem]
    is_chosen: bool

    @property
    def wish(self) -> ShareRow | None:
        """What is to be done for it by this run, if anything."""
        if self.is_chosen and isinstance(self.asked, ShareRow) and self.asked.over is None:
            return self.asked
        return None


@dataclass(slots=True)
class FirstLook:
    """What the chosen rows of a sheet say by themselves: `wrong` of them can't be sent, for `mistakes`.

    So many have a date that is `too_far` away. `may_do`: some row may be sent, once its people are known and the
    time zone of its dates. `unknown` of them are not known yet.
    """

    rows: int = 0
    wrong: int = 0
    too_far: int = 0
    may_do: bool = False
    mistakes: Reasons = field(default_factory=Reasons)
    unknown: Names = field(default_factory=lambda: Names(()))

    def says_otherwise(self, dates: Mapping[Cause, int]) -> bool:
        """Whether time has changed what rows are invalid for that a ledger has as invalid for their `dates`."""
        return Cause.OVER in dates or dates.get(Cause.TOO_FAR, 0) != self.too_far


@dataclass(frozen=True, slots=True)
class Plan:
    """A sheet with the rules to read it by. `record` identifies it: same digest, same rows, same meaning.

    `zone` is that of dates which name none; None: nobody has said, and they are taken as UTC. `approved_types` are
    the codes that names of activity types stood for when it was approved. `corrections` are what a sheet of failed
    rows says: the sheet is the job's own with them.
    """

    sheet: Sheet
    rules: RowRules
    record: SheetRecord
    selection: Selection
    allow_duplicates: bool
    zone: ZoneInfo | None = None
    approved_types: Mapping[str, int] = field(default_factory=dict)
    corrections: Corrections | None = None

    @property
    def needs_zone(self) -> bool:
        """Whether there are dates, and nobody named the time zone that they are of."""
        return self.zone is None and not {*DATED}.isdisjoint({*self.sheet.found.fields, *self.rules.defaults})

    @property
    def dates(self) -> Order | None:
        """What comes first in the dates of all columns where that is known; None where they differ, too."""
        orders = {*self.rules.orders.values()}
        return next(iter(orders)) if len(orders) == 1 else None

    def in_zone(self, zone: ZoneInfo | None) -> Plan:
        """The same with dates that name no zone taken as of this one."""
        return replace(self, zone=zone, rules=replace(self.rules, zone=zone or dt.UTC))

    def checked(self) -> Iterator[Checked]:
        """Every row, judged by itself. May raise SheetError while it goes."""
        is_chosen = self._chooser()
        for raw in self.sheet.rows():
            yield Checked(raw, self.rules.check(raw), is_chosen(raw))

    def _chooser(self) -> Callable[[RawRow], bool]:
        """Says of each row, in order, whether this run is for it."""
        is_chosen = self.selection.chooser(self.sheet.path, self.sheet.columns)
        before = self.corrections.left_out if self.corrections else {}
        return lambda raw: is_chosen(raw) and raw.number not in before

    def judged(self) -> Iterator[Checked | Asked]:
        """The same, with the chosen rows in which nothing is wrong together, as columns; far sooner.

        A row that is wrong, and asks for nothing, may come a little later than in the sheet. Where a sheet says of
        each row what to do, no two come together.
        """
        if Field.ACTION in self.sheet.found.fields:
            yield from self.checked()
            return
        rules, is_chosen = ColumnRules(self.rules), self._chooser()
        chooses = bool(self.selection or self.corrections)
        for block in self.sheet.blocks():
            asked, apart = rules.check(block)
            left_out = {at for at, raw in enumerate(block.rows()) if not is_chosen(raw)} if chooses else set()
            last, wrong = 0, list[Checked]()
            for at in sorted(apart | left_out):
                raw = block.row(at)
                checked = Checked(raw, self.rules.check(raw), at not in left_out)
                if checked.is_chosen and not isinstance(checked.asked, ShareRow):
                    wrong.append(checked)
                    continue
                yield asked.some(last, at, apart)
                yield from wrong
                yield checked
                last, wrong = at + 1, []
            yield asked.some(last, len(block.cells), apart) if apart or last else asked
            yield from wrong

    def check_rows(self) -> None:
        """Raises SheetError if there is no row, or if the selection chooses none, as one with a slip in it does.

        An export that went wrong is a sheet of headers alone; taken in, it would be one that lost all its rows.
        """
        is_chosen = self.selection.chooser(self.sheet.path, self.sheet.columns)
        numbers = []
        for raw in self.sheet.rows():
            if is_chosen(raw):
                return
            numbers.append(raw.number)
        if not numbers:
            sheet = f"worksheet {self.sheet.worksheet!r}" if self.sheet.worksheet else "sheet"
            raise SheetError(self.sheet.path, f"the {sheet} is empty: no row with a lead stands below its headers")
        of_none = self.selection.none_of(len(numbers), numbers[0], numbers[-1])
        raise SheetError(self.sheet.path, f"{self.selection} {of_none}", problem=f"The choice of rows {of_none}.")

    def first_look(self, directory: Directory) -> FirstLook:
        """What the chosen rows say, and whom they name that the directory does not know. May raise SheetError.

        Leads and users are looked up by the surest that a row says of them, and all are named before the first is
        asked for: a sheet that turns out to be broken costs no call.
        """
        seen = FirstLook()

        def named() -> Iterator[Ref]:
            for each in self.judged():
                if isinstance(each, Asked):
                    seen.rows += len(each.numbers)
                    seen.may_do = seen.may_do or bool(each.numbers)
                    for lead, user in zip(each.leads, each.users, strict=True):
                        yield Ref(each.lead, lead)
                        yield user_ref(user)
                    continue
                if not each.is_chosen:
                    continue
                seen.rows += 1
                seen.may_do = seen.may_do or isinstance(each.asked, ShareRow)
                if each.wish is not None:
                    yield each.wish.leads[0]
                    yield each.wish.users[0]
                    continue
                over = each.asked.over if isinstance(each.asked, ShareRow) else None
                problems = [over] if over else each.asked
                why = _wrong(problems) if isinstance(problems, list) else None
                seen.wrong += 1
                seen.too_far += why is not None and why.cause is Cause.TOO_FAR
                seen.mistakes.add(NewRow("", each.raw.number, (), State.INVALID, why=why))

        seen.unknown = Names(ref for ref in named() if not directory.is_found(ref))
        return seen

    def header(self, named: Field) -> str:
        """The header under which the sheet names leads or users so."""
        found = self.sheet.found
        places = (found.fields[each] for each in (named, Field.USER) if each in found.fields)
        return self.sheet.columns[next(places, *found.others[:1])]

    def unanswered(self, job: str, directory: Directory) -> Iterator[tuple[str, str | None]]:
        """The keys of the rows that this run is for and of whose lead or user no API could tell.

        With each why its Ids can't be checked, if it has them all.
        """
        for row, each in zip(self.rows(job, directory), self.checked(), strict=True):
            if each.wish and not directory.unanswered.keys().isdisjoint((each.wish.leads[0], each.wish.users[0])):
                yield row.key, directory.unchecked(each.wish)

    def rows(self, job: str, directory: Directory) -> Iterator[NewRow]:
        """Every row as it will stand in the ledger `job`. May raise SheetError while it goes."""
        seen = _Seen()
        if Field.ACTION in self.sheet.found.fields:  # else no two rows can contradict each other
            seen.contradictions = _Contradictions()
            for each in self.checked():
                if each.wish and isinstance(asked := self._resolved(each, directory, seen), Instruction):
                    seen.contradictions.learn(asked, each.raw.number)
        for each in self.checked():
            yield replace(self._row(job, each, directory, seen), edit=each.raw.edit)

    def foreseen(self, directory: Unasked, first: Hashes) -> Iterator[NewRow | Asked]:
        """Every row as it would stand in a ledger that is new, without its key; those to be sent as columns.

        For a plan of the whole sheet, and of a directory that knows no lead. `first` learns of each lead, user and
        type the first row, with its access in two bits: they are told by 64 bits, so that two others are taken for
        equal once in 30 million sheets of a million rows. Nothing is sent by it.
        """
        if Field.ACTION in self.sheet.found.fields:  # where one row can contradict another
            yield from self.rows("", directory)
            return
        seen, repeats = _SeenByHash(first), list[NewRow]()
        for each in self.judged():
            if isinstance(each, Checked):
                while repeats and repeats[0].sheet_row < each.raw.number:
                    yield repeats.pop(0)
                yield self._row("", each, directory, seen)
                continue
            yield from repeats
            asked = directory.resolve_all(each)
            places = (4 * number + access for number, access in zip(asked.numbers, asked.access, strict=True))
            again = first.add_all(zip(asked.leads, asked.users, asked.events, strict=True), places)
            last, repeats = 0, []
            for at in again:
                row = self._again(asked, at, seen)
                if row.state is State.SKIPPED:
                    repeats.append(row)
                    continue
                yield asked.some(last, at, again)
                yield row
                last = at + 1
            yield asked.some(last, len(asked.numbers), again) if again else asked
        yield from repeats

    def _again(self, asked: Asked, at: int, seen: _Seen) -> NewRow:
        """A row that asks for the lead, user and type of an earlier one."""
        lasting, number = asked.lasting[at], asked.numbers[at]
        until, start = lasting if isinstance(lasting, dt.datetime) else None, asked.starts[at]
        instruction = Instruction(
            asked.leads[at],
            "",
            asked.users[at],
            asked.access[at],
            None if isinstance(lasting, dt.datetime) else lasting,
            asked.events[at],
            "",
            until=until and until.replace(tzinfo=None),
            start=start and start.replace(tzinfo=None),
        )
        _, first = seen.add(_identity(instruction), number)
        if first != number and not self.allow_duplicates:
            return NewRow("", number, (), State.SKIPPED, instruction, Why(Cause.REPEAT, {"row": first}))
        return NewRow("", number, (), State.PENDING, instruction)

    def _row(self, job: str, each: Checked, directory: Directory, seen: _Seen) -> NewRow:
        raw = each.raw
        asked = self._resolved(each, directory, seen)
        identity = _identity(asked) if isinstance(asked, Instruction) else ("invalid", *raw.cells)
        occurrence, first = seen.add(identity, raw.number)
        key = key_of_row(job, identity, occurrence)
        # Whose row it is, though it can't be sent.
        user_id = None if isinstance(asked, Instruction) else directory.user_of(self.rules.users(raw))
        if not each.is_chosen:
            # One that an earlier run was for keeps its key, and what became of it.
            before = self.corrections.left_out if self.corrections else {}
            left_out = Why(Cause.LEFT_OUT, {"by": before.get(raw.number, str(self.selection))})
            known = asked if isinstance(asked, Instruction) else None
            if known and first != raw.number and not self.allow_duplicates:  # chosen, it would not be sent either
                left_out = Why(Cause.REPEAT, {"row": first})
            return NewRow(key, raw.number, raw.cells, State.SKIPPED, known, left_out, chosen=False, user_id=user_id)
        if not isinstance(asked, Instruction):
            return NewRow(key, raw.number, raw.cells, State.INVALID, why=_wrong(asked), user_id=user_id)
        if isinstance(each.asked, ShareRow) and each.asked.over is not None:
            # With its key and all: what was sent for it while it was right is its own.
            return NewRow(key, raw.number, raw.cells, State.INVALID, asked, _wrong([each.asked.over]))
        if seen.contradictions is not None and (contradicted := seen.contradictions.of(asked)):
            # With its key and all: what was sent for it before the other row came is its own.
            return NewRow(key, raw.number, raw.cells, State.INVALID, asked, contradicted)
        if first != raw.number and not self.allow_duplicates:
            repeat = Why(Cause.REPEAT, {"row": first})
            return NewRow(key, raw.number, raw.cells, State.SKIPPED, asked, repeat)
        said = directory.unchecked(each.asked) if isinstance(each.asked, ShareRow) else None
        if said is not None and not directory.trusts_ids:
            # With its key and all: what was sent for it when it was trusted, or could be checked, is its own.
            unchecked = Why(Cause.UNCHECKED, {"said": said.rstrip(".")})
            return NewRow(key, raw.number, raw.cells, State.INVALID, asked, unchecked)
        return NewRow(key, raw.number, raw.cells, State.PENDING, asked)

    def _resolved(self, each: Checked, directory: Directory, seen: _Seen) -> Instruction | list[Problem]:
        row = each.asked
        if not isinstance(row, ShareRow):
            return row
        if row.over is None:
            return directory.resolve(row, each.raw, self.header)
        # It is what it was before its end was over, unless a row whose end is not over asks for the same. Only for
        # those who are known: nobody is looked up for it.
        if not (directory.is_found(row.leads[0]) and directory.is_found(row.users[0])):
            return [row.over]
        asked = directory.resolve(row, each.raw, self.header)
        if not isinstance(asked, Instruction):
            return [row.over]
        if seen.standing is None:  # the sheet is read for that once, if ever
            seen.standing = Numbers()
            for other in self.checked():
                is_over = isinstance(other.asked, ShareRow) and other.asked.over is not None
                if not is_over and isinstance(stands := self._resolved(other, directory, seen), Instruction):
                    seen.standing.put(_identity(stands), other.raw.number)
        return asked if seen.standing.get(_identity(asked)) is None else [row.over]


def plan_of(
    sheet: Sheet,
    options: SheetOptions,
    settings: Settings,
    *,
    now: dt.datetime | None = None,
    before: Mapping[str, Order] | None = None,
) -> Plan:
    """The plan of a sheet that is open, by its header, its dates and the options.

    `now` is for dates that are over; `before`, by column, is what came first in dates when the job last read the
    sheet. Raises SheetError, SettingsError.
    """
    path, defaults = sheet.path, defaults_of(settings)
    if (lacking := all_lacking(sheet, settings)) is not None:
        raise lacking
    if settings.marker_field in sheet.found.custom:
        raise SettingsError(
            "marker_field", f"the sheet has a column for {settings.marker_field}: name another field"
        )
    zone = named_zone(settings)
    dates, notes = Dates(), sheet.notes
    if not sheet.found.fields.keys().isdisjoint(DATED):  # else it is not read through for them
        # What was said of another sheet must agree with the cells of this one.
        known = {str(each): sheet.mapping.dates for each in DATED if sheet.mapping.dates}
        dates = read_dates(sheet, settings.dates or options.read.mapping.dates, {**known, **(before or {})})
        sheet = replace(sheet, notes=lambda: [*notes(), *dates.notes])
    rules = RowRules(sheet.columns, sheet.found, defaults, zone or dt.UTC, now, dates.orders, sheet.mapping.words)
    record = SheetRecord(
        name=path.name,
        path=str(path.absolute()),
        worksheet=sheet.worksheet,
        digest=_digest(path, sheet, rules, settings, options),
        columns=list(sheet.columns),
        mapping=mapping_of(sheet),
    )
    return Plan(sheet, rules, record, options.selection, settings.allow_duplicates, zone)


def mapping_of(sheet: Sheet) -> dict[str, str]:
    """By header, what each column that is read holds."""
    fields = {sheet.columns[index]: str(each) for each, index in sheet.found.fields.items()}
    return fields | {sheet.columns[index]: name for name, index in sheet.found.custom.items()}


def named_zone(settings: Settings) -> ZoneInfo | None:
    """The time zone that the settings name. Raises SettingsError."""
    if not settings.timezone:
        return None
    try:
        return ZoneInfo(settings.timezone)
    except (KeyError, ValueError, OSError):  # not found, not a name, the name of a folder
        raise SettingsError("timezone", "not the name of a time zone, such as Asia/Kolkata") from None


def check_options(settings: Settings) -> None:
    """Raises SettingsError for an option that no sheet could be run with."""
    defaults_of(settings)
    named_zone(settings)


def defaults_of(settings: Settings) -> dict[Field, str]:
    """What blank cells take from the options, each checked once for the whole run. Raises SettingsError."""
    if settings.until and settings.duration:
        raise SettingsError("until", "the duration is set too, which says how long already: set one of them")
    given = {each: str(getattr(settings, each.name.lower())).strip() for each in _OPTIONS}
    for each, text in given.items():
        try:
            _OPTIONS[each](text) if text else None
        except ValueError as error:
            raise SettingsError(each.name.lower(), str(error)) from None
    try:  # as it is written for all, and not as some column is
        until = date_meant(settings.until.strip(), settings.dates).iso if settings.until else ""
    except ValueError as error:
        raise SettingsError("until", str(error)) from None
    return _FALLBACK | {each: text for each, text in (*given.items(), (Field.UNTIL, until)) if text}


def all_lacking(sheet: Sheet, settings: Settings, lacking: SheetError | None = None) -> SheetError | None:
    """What a sheet says by no column and no option says, all in one: `lacking` is what names leads and users.

    How long and by which activity; None if it says all. Where it `lacks` leads, none of its columns is read yet.
    """
    found: set[Field | str | None] = {*sheet.found.fields, *defaults_of(settings)}
    if lacking is not None:
        found |= {field_named(header) for header in (*sheet.columns, *sheet.mapping.columns.values())}
    errors = [lacking] if lacking is not None else []
    if Field.ACTION in found:  # it may have no row that needs them
        return lacking
    nowhere = "no column for {}: add it, or say it of all rows with {}"
    if found.isdisjoint(LASTING):
        lengths = [at for at, cells in sheet.found.unread.items() if kind_held(cells) is Kind.LENGTH]
        meant = sheet.columns[lengths[0]] if lengths else ""
        asked = f" Did you mean {meant!r} for {Field.DURATION}?" if meant else ""
        typed = f".{asked} Then add {map_option(meant, Field.DURATION)}" if meant else ""
        lacks = SheetError(
            sheet.path,
            f"{nowhere.format('Duration, Days or Until', '--duration 7d')}{typed}",
            problem=f"The sheet has no column for Duration, Days or Until.{asked}",
            hint="Add the column, or say for all rows how long shares last.",
        )
        errors.append(lacks)
    if Field.EVENT not in found:
        lacks = SheetError(
            sheet.path,
            nowhere.format("Activity Event", "--event 201"),
            problem="The sheet has no column for Activity Event.",
            hint="Add the column, or name the activity type for all rows.",
        )
        errors.append(lacks)
    if len(errors) < 2:
        return errors[0] if errors else None
    problem, hint = (" ".join(getattr(each, name) for each in errors) for name in ("problem", "hint"))
    return SheetError(sheet.path, "; ".join(each.wrong for each in errors), problem=problem, hint=hint)


class _Seen:
    """How often a sheet asks for the same, and where first; by digests, for a sheet may have a million rows."""

    def __init__(self) -> None:
        self._first = Numbers()
        self._more: Counter[int] = Counter()
        self.contradictions: _Contradictions | None = None
        self.standing: Numbers | None = None

    def add(self, identity: tuple[Any, ...], number: int) -> tuple[int, int]:
        """Which occurrence row `number` is, from 1, and the row of the first."""
        first = self._first.setdefault(identity, number)
        if first != number:
            self._more[first] += 1
        return 1 + self._more.get(first, 0), first


class _SeenByHash(_Seen):
    """The same for a plan: by what `Plan.foreseen` learns, and so without the occurrence."""

    def __init__(self, first: Hashes) -> None:
        super().__init__()
        self._by_hash, self._others = first, dict[tuple[Any, ...], int]()

    def add(self, identity: tuple[Any, ...], number: int) -> tuple[int, int]:
        if identity[0] == "invalid":
            return 1, number
        lead, _, user, access, event = identity
        first, before = divmod(self._by_hash.setdefault((lead, user, event), 4 * number + access), 4)
        return 1, first if before == access else self._others.setdefault(identity, number)


class _Contradictions:
    """Rows of a sheet of which only one can be meant: each is refused, for nobody but its author knows which.

    A lead is reassigned to one user, and nobody else gets it then; nor is one share both made and revoked.
    """

    def __init__(self) -> None:
        self._first = Numbers()
        self._reassigned: dict[str, dict[str, int]] = {}

    def learn(self, asked: Instruction, number: int) -> None:
        """Take in what row `number` asks for, before any is judged."""
        if asked.action is Action.SHARE:
            self._first.setdefault((asked.lead_id, asked.action), number)
        if asked.action is Action.REASSIGN:
            self._reassigned.setdefault(asked.lead_id, {}).setdefault(asked.user_id, number)
        self._first.setdefault((asked.lead_id, asked.user_id, asked.action), number)

    def of(self, asked: Instruction) -> Why | None:
        """Which other row contradicts one that asks for this, and how; None if none does."""
        reassigned = self._reassigned.get(asked.lead_id, {})
        elsewhere = next((number for user, number in reassigned.items() if user != asked.user_id), None)
        of_pair = {each: self._first.get((asked.lead_id, asked.user_id, each)) for each in Action}
        if asked.action is Action.SHARE:
            found = {Action.REASSIGN: of_pair[Action.REASSIGN] or elsewhere, Action.REVOKE: of_pair[Action.REVOKE]}
        elif asked.action is Action.REVOKE:
            found = {Action.SHARE: of_pair[Action.SHARE], Action.REASSIGN: of_pair[Action.REASSIGN]}
        else:
            shared = self._first.get((asked.lead_id, Action.SHARE))
            found = {Action.REASSIGN: elsewhere, Action.SHARE: shared, Action.REVOKE: of_pair[Action.REVOKE]}
        for action, number in found.items():
            if number is not None:
                other = None if action is asked.action else asked.action
                return Why(Cause.CONTRADICTED, {"row": number, "says": action, "not": other})
        return None


def _wrong(problems: Sequence[Problem]) -> Why:
    """Why a row can't be sent, of the kind that matters most: in the order of causes."""
    order = [*Cause]
    cause = min((problem.cause for problem in problems), key=order.index)
    return Why(cause, {"problems": [[each.column, shortened(each.value), each.text] for each in problems]})


def key_of_row(job: str, identity: Sequence[Any], occurrence: int) -> str:
    """By what a ledger knows a row: what it asks for, and which it is of those that ask for the same, from 1."""
    return hashlib.sha256(json.dumps([job, *identity, occurrence]).encode()).hexdigest()


def _identity(asked: Instruction) -> tuple[Any, ...]:
    number = asked.lead_number.lstrip("0")  # of one lead with and without them, where nobody could look it up
    named = asked.lead_id, number, asked.user_id, asked.access, asked.event
    return (*named, asked.action) if asked.action.revokes else named


def _digest(path: Path, sheet: Sheet, rules: RowRules, settings: Settings, options: SheetOptions) -> str:
    places = {letters(index): str(name) for name, index in sheet.found.fields.items()}
    places |= {letters(index): name for name, index in sheet.found.custom.items()}
    meaning: list[object] = [
        sheet.worksheet,
        sheet.header_row,
        sorted(places.items()),
        sorted(rules.defaults.items()),
        settings.timezone,
        settings.allow_duplicates,
    ]
    if options.read.encoding is not None:  # else the bytes tell it, which are in the digest
        meaning.append(codecs.lookup(options.read.encoding).name)
    if rules.orders:  # however it is known
        meaning.append(sorted(rules.orders.items()))
    if rules.words:
        meaning.append(sorted(rules.words.items()))
    if sheet.corrected:
        meaning.append(sheet.corrected)
    digest = hashlib.blake2b(json.dumps(meaning).encode(), digest_size=CHOICE_FROM // 2)
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise SheetError(path, f"can't be read ({error.strerror})") from None
    return digest.hexdigest() + hashlib.blake2b(str(options.selection).encode(), digest_size=12).hexdigest()


_BINDING: Final = (
    "host",
    "account",
    "event",
    "access",
    "duration",
    "until",
    "dates",
    "note",
    "allow_duplicates",
    "renew",
    "force",
    "timezone",
    "trust_owner",
)
"""The settings that change what a run does, and not only how fast."""


class Approval(BaseModel):
    """What was approved: the sheet as it was read, and the settings that give it meaning. It holds no key.

    `sheet` is the sheet's name, `digest` of its bytes and of all that changes what its rows mean; `settings` are
    those that a run is held to, `activity_types` the codes that names were found to stand for. `version` is that of
    this form, for what is saved.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    sheet: str
    digest: str
    settings: dict[str, str | bool | int | None]
    activity_types: dict[str, int] = {}

    @classmethod
    def of(cls, plan: Plan, settings: Settings, activity_types: Mapping[str, int] | None = None) -> Approval:
        """What approving this plan means; `activity_types` are the codes that names were found to stand for."""
        public = settings.public()
        binding = {name: public[name] for name in _BINDING}
        types = {**activity_types} if activity_types else {}
        return cls(sheet=plan.record.name, digest=plan.record.digest, settings=binding, activity_types=types)

    def save(self, target: Named) -> None:
        """Write it as JSON. Raises SettingsError."""
        with target.written() as temporary:
            temporary.write_text(json.dumps(self.model_dump(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, file: Path) -> Approval:
        """As it was saved. Raises SettingsError if the file can't be read."""
        try:
            return cls.model_validate_json(file.read_bytes())
        except OSError as error:
            raise SettingsError(
                "plan",
                f"{file} can't be read ({error.strerror})",
                problem=f"The saved plan can't be read ({error.strerror}).",
            ) from None
        except ValidationError:
            raise SettingsError(
                "plan",
                f"{file} is not a plan that `batch-share plan --save` wrote",
                problem="The saved plan is none that batch_share wrote.",
                hint="Plan again, and save that.",
            ) from None


def check_approval(approved: Approval | Path, plan: Plan, settings: Settings) -> Approval:
    """What was approved. Raises PlanChanged if it is not this, SettingsError if its file can't be read."""
    file = None if isinstance(approved, Approval) else approved
    before = approved if isinstance(approved, Approval) else Approval.load(approved)
    now = Approval.of(plan, settings)
    # What was approved before there was such a setting was approved with nothing there.
    changed = [name for name in _BINDING if (before.settings.get(name) or None) != (now.settings[name] or None)]
    if changed:
        raise PlanChanged(file, f"the setting {changed[0]}")
    if before.digest[:CHOICE_FROM] != now.digest[:CHOICE_FROM]:
        raise PlanChanged(file, f"the sheet {plan.record.name}, or how it is read,")
    if before.digest != now.digest:
        raise PlanChanged(file, "the choice of rows")
    return before
