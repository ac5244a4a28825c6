"""Which rows of a sheet a run is for; and a row's cells made canonical, or every reason why it can't be sent.

The rules do no I/O. Values a cell leaves blank come from the options of the whole run.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache, partial
from itertools import compress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from batch_share.common import MAX_DURATION_MINUTES, Action, Cause, Order, Wrong, parse_duration
from batch_share.errors import SettingsError, SheetError
from batch_share.sheet.columns import LASTING, LEADS, USERS, Columns, Field, squeeze, suggest
from batch_share.sheet.mapping import word_key
from batch_share.sheet.table import FAULTS, is_error
from batch_share.sheet.values import (
    KEPT,
    SERIAL_DATE,
    SOMEBODY,
    check_seen,
    date_meant,
    date_readings,
    kind_of,
    parse_access,
    parse_action,
    parse_custom,
    parse_days,
    parse_email,
    parse_event,
    parse_guid,
    parse_lead_number,
    parse_moment,
    parse_note,
    parse_phone,
    plain_emails,
    plain_guids,
    plain_numbers,
    spelled_day,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from batch_share.sheet.reader import Sheet
    from batch_share.sheet.table import Block, RawRow

_RANGE: Final = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")


@dataclass(frozen=True, slots=True)
class Selection:
    """The first `limit` rows of those whose number is within `ranges` and whose cells say what `only` says."""

    limit: int | None = None
    ranges: tuple[tuple[int, int], ...] = ()
    only: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, limit: int | None, rows: str | None, only: Sequence[str]) -> Selection:
        """From the options' words: `5-40,50` (None: all); `Region=North`. Raises SettingsError."""
        ranges, conditions = [], []
        for part in map(str.strip, rows.split(",") if rows is not None else ()):
            match = _RANGE.fullmatch(part)
            if match is None or int(match[2] or match[1]) < int(match[1]):
                wrong = f"{part!r} is no range of rows: write 5-40, or 5-40,50"
                raise SettingsError("rows", wrong, problem=f"{wrong[0].upper()}{wrong[1:]}.")
            ranges.append((int(match[1]), int(match[2] or match[1])))
        for each in only:
            name, _, value = (part.strip() for part in each.partition("="))
            if not name or not value:  # Region=$REGION, where that was never set, means no blank cells
                wrong = f"{each!r} is no condition: write a column, =, and what it says: Region=North"
                raise SettingsError("only", wrong)
            conditions.append((name, value))
        return cls(limit, tuple(ranges), tuple(conditions))

    def __bool__(self) -> bool:
        return self.limit is not None or bool(self.ranges) or bool(self.only)

    def __str__(self) -> str:
        parts = [f"--limit {self.limit}"] if self.limit is not None else []
        rows = ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self.ranges)
        parts += [f"--rows {rows}"] if rows else []
        return " ".join([*parts, *(f"--only {name}={value}" for name, value in self.only)])

    def none_of(self, rows: int, first: int, last: int, whose: str = "its") -> str:
        """The end of a sentence: that it chooses none of so many rows, whose numbers these are the ends of."""
        where = f", which are numbered {first} to {last}" if self.ranges and rows else ""
        return f"chooses none of {whose} {rows:,} row{'' if rows == 1 else 's'}{where}"

    def chooser(self, path: Path, columns: Sequence[str]) -> Callable[[RawRow], bool]:
        """Says of each row, in order, whether it is chosen. Raises SheetError for a column that is not there."""
        wanted: list[tuple[int, str]] = []
        for name, value in self.only:
            for alike in (str.casefold, squeeze):  # as it is written, else but for signs and spaces
                places = [index for index, header in enumerate(columns) if alike(header) == alike(name)]
                if places:
                    break
            if not places:
                reported = f"names a column {name!r} that is not there.{suggest(name, columns)}"
                problem = f"The choice of rows {reported}"
                raise SheetError(path, f"--only {reported}", problem=problem, hint="Name a column of the sheet.")
            if len(places) > 1:
                reported = (
                    f"names a column {name!r} and there are {' and '.join(repr(columns[at]) for at in places)}"
                )
                problem = f"The choice of rows {reported}"
                raise SheetError(path, f"--only {reported}", problem=problem, hint="Name it as the sheet does.")
            wanted.append((places[0], value.lower()))
        taken = 0

        def is_chosen(row: RawRow) -> bool:
            nonlocal taken
            if self.ranges and not any(first <= row.number <= last for first, last in self.ranges):
                return False
            for place, value in wanted:
                if place >= len(row.cells) or row.cells[place].strip().lower() != value:
                    return False
            taken += 1
            return self.limit is None or taken <= self.limit

        return is_chosen


DEFAULT_NOTE: Final = "Lead shared for a limited time"
_LONGEST: Final = dt.timedelta(minutes=MAX_DURATION_MINUTES)


class Ref(NamedTuple):
    """How a row names a lead or a user: by which field, and the value in canonical form."""

    field: Field
    value: str


@dataclass(frozen=True, slots=True)
class ShareRow:
    """What a row asks for. `leads` and `users` name one lead and one user, in as many ways as the row does.

    The share lasts `duration` minutes, or `until` (UTC); one of them is None. Nothing is done before `start` (UTC).
    The activity type `event` is given by its code, or by its name.
    A row that only revokes a share has no access, length or activity: they are 0. Where nothing is wrong with it
    but that its end is `over`, that is told there: it may have been sent while it was right.
    """

    leads: tuple[Ref, ...]
    users: tuple[Ref, ...]
    access: int
    duration: int | None
    until: dt.datetime | None
    event: int | str
    note: str
    custom: Mapping[str, str] = field(default_factory=dict)
    start: dt.datetime | None = None
    action: Action = Action.SHARE
    over: Problem | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a sheet: where, in words (`text`) and by its `cause`; a `hint` if the words lack one.

    `row` is its number in the sheet, None where it is about the whole; `column` its header, "" where it is about
    the whole row; `value` what the cell says, "" if nothing.
    """

    row: int | None
    column: str
    value: str
    text: str
    cause: Cause = Cause.INVALID
    hint: str = ""

    def __str__(self) -> str:
        return f"Row {self.row}{', ' if self.column else ': '}{self.said}"

    @property
    def said(self) -> str:
        """The same without the row."""
        if not self.column:
            return self.text
        shown = f" {shortened(self.value)!r}:" if self.value else ":"
        return f"{self.column}{shown} {self.text}"


def user_ref(value: str) -> Ref:
    """Whom a user's canonical value names."""
    return Ref(Field.USER_EMAIL if "@" in value else Field.USER_ID, value)


def parse_user(text: str) -> Ref:
    """A user by GUID or e-mail address, whichever it is. Raises ValueError."""
    check_seen(text)
    if "@" in text:
        return Ref(Field.USER_EMAIL, parse_email(text))
    try:
        return Ref(Field.USER_ID, parse_guid(text))
    except ValueError:
        raise ValueError("neither an e-mail address nor a GUID: a name does not say which user it is") from None


_PARSERS: Final[dict[Field, Callable[[str], Any]]] = {
    Field.LEAD_ID: parse_guid,
    Field.LEAD_NUMBER: parse_lead_number,
    Field.LEAD_EMAIL: parse_email,
    Field.LEAD_PHONE: parse_phone,
    # These say the same in row after row.
    Field.USER_ID: lru_cache(parse_guid),
    Field.USER_EMAIL: lru_cache(parse_email),
    Field.USER: lru_cache(parse_user),
    Field.ACCESS: lru_cache(parse_access),
    Field.DURATION: lru_cache(parse_duration),
    Field.DAYS: lru_cache(parse_days),
    Field.NOTE: lru_cache(parse_note),
    Field.EVENT: lru_cache(parse_event),
    Field.ACTION: lru_cache(parse_action),
}


_IN_WORDS: Final = frozenset({Field.ACCESS, Field.ACTION, Field.DURATION, Field.DAYS})
"""What is said in words, which may be another language's."""

_WORD: Final = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class RowRules:
    """How to read the rows of one sheet: its columns, and what blank cells take from the options.

    `zone` is for dates that name none, `orders` say by column which number comes first in one; a share whose end is
    before `now` is no share any more. `words` are those that a mapping says the meaning of.
    """

    columns: Sequence[str]
    found: Columns
    defaults: Mapping[Field, str]
    zone: ZoneInfo | dt.timezone = dt.UTC
    now: dt.datetime | None = None
    orders: Mapping[Field, Order] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    def check(self, row: RawRow) -> ShareRow | list[Problem]:
        """The row's canonical values, or everything that is wrong with it."""
        if row.problem is not None:
            return [Problem(row.number, "", "", row.problem, Cause.SHIFTED)]
        reading = _Reading(self, row)
        asked = reading.read()
        return asked if asked is not None else reading.problems

    def users(self, row: RawRow) -> tuple[Ref, ...]:
        """Everything that the row says of its user, whatever else is wrong with it; nothing if it can't be told."""
        return () if row.problem is not None else _Reading(self, row).refs(USERS)

    def parse(self, each: Field, text: str) -> Any:
        """The value of a cell that is not blank. Raises ValueError."""
        if each in DATED:
            moment = parse_moment(text, self.zone, self.orders.get(each), is_end=each is Field.UNTIL)
            if self.now is not None and moment - self.now > _LONGEST:
                raise Wrong("is more than ten years away", Cause.TOO_FAR)
            return moment
        if self.words and each in _IN_WORDS:
            # The words of its own language as they are read here: the whole, else each by itself.
            meant = self.words.get(word_key(text))
            text = meant or _WORD.sub(lambda word: self.words.get(word_key(word[0]), word[0]), text)
        try:
            return _PARSERS[each](text)
        except ValueError as error:
            if each not in USERS or each is Field.USER or "@" in text or kind_of(text) is not None:
                raise
            raise ValueError(f"{error}: a name does not say which user it is") from None

    def is_over(self, each: Field, value: Any) -> bool:
        """Whether this is the end of a share that is over."""
        return each is Field.UNTIL and self.now is not None and value is not None and value <= self.now


class _Reading:
    """One row being read; everything that is wrong is collected, not only the first."""

    def __init__(self, rules: RowRules, row: RawRow) -> None:
        self._rules = rules
        self._row = row
        self.problems: list[Problem] = []

    def read(self) -> ShareRow | None:
        action = self._value(Field.ACTION) or Action.SHARE
        leads, users = self.refs(LEADS), self.refs(USERS)
        if not action.shares:  # what it says of a share is not read: there is none to be made
            start = self._value(Field.START)
            asked = ShareRow(leads, users, 0, 0, None, 0, "", start=start, action=Action.REVOKE)
            return None if self.problems else asked
        lasting = self._lasting()
        values = {each: self._value(each, needed=True) for each in (Field.ACCESS, Field.EVENT, Field.NOTE)}
        custom = {
            name: self._parsed(parse_custom, self._row.cells[index].strip(), self._rules.columns[index], index)
            for name, index in self._rules.found.custom.items()
        }
        until = lasting if isinstance(lasting, dt.datetime) else None
        start = self._value(Field.START)
        if start and until and until <= start:
            end = self._cell(Field.UNTIL)[1] or self._rules.defaults.get(Field.UNTIL, "")
            self._wrong(Field.UNTIL, end, f"is not after {self._cell(Field.START)[0]}")
        if any(each.cause is not Cause.OVER for each in self.problems):
            return None
        return ShareRow(
            leads=leads,
            users=users,
            access=values[Field.ACCESS],
            duration=None if until else lasting,
            until=until,
            event=values[Field.EVENT],
            note=values[Field.NOTE],
            custom={name: value for name, value in custom.items() if value},
            start=start,
            action=action,
            over=next(iter(self.problems), None),
        )

    def refs(self, fields: Sequence[Field]) -> tuple[Ref, ...]:
        """Everything the row says of its lead, or of its user: at least one thing."""
        there = [each for each in fields if each in self._rules.found.fields]
        before = len(self.problems)
        values = [(each, self._value(each)) for each in there]
        found = tuple(
            value if isinstance(value, Ref) else Ref(each, value) for each, value in values if value is not None
        )
        if not found and len(self.problems) == before:
            self._wrong(there[0], "", "blank")
        if fields is not USERS or len(self.problems) > before:
            return found
        # A column beside those that is called so, too: mostly a name, which says nothing here. An address or an Id
        # there has to be of the same person.
        for index in self._rules.found.others:
            text, said = self._row.cells[index].strip(), {ref.field: ref.value for ref in found}
            if kind_of(text) not in SOMEBODY:
                continue
            header = self._rules.columns[index]
            ref = self._parsed(parse_user, text, header, index)
            if ref is not None and said.setdefault(ref.field, ref.value) != ref.value:
                than = self._cell(ref.field if ref.field in self._rules.found.fields else Field.USER)
                wrong = f"names somebody else than {than[0]} {than[1]!r}: correct one of them, or leave this blank"
                self.problems.append(Problem(self._row.number, header, text, wrong))
            elif ref is not None and ref not in found:
                found = (*found, ref)
        return found

    def _lasting(self) -> Any:
        """Minutes, or when the share ends; from the one column of several that says so, else from the option."""
        there = [each for each in LASTING if each in self._rules.found.fields]
        given = [
            each for each in there if self._cell(each)[1] or self._rules.found.fields[each] in self._row.faults
        ]
        if len(given) > 1:
            problem = f"{given[0]} says how long already: leave one of them blank"
            self._wrong(given[1], self._cell(given[1])[1], problem)
            return None
        for_all = [each for each in LASTING if self._rules.defaults.get(each)]
        if given or for_all:
            return self._value((given or for_all)[0], needed=True)
        # Nothing says how long: told by the columns that could, as the sheet calls them.
        *others, last = [self._cell(each)[0] for each in there] or [str(Field.DURATION)]
        column = f"{', '.join(others)} or {last}" if others else last
        self.problems.append(Problem(self._row.number, column, "", "blank"))
        return None

    def _value(self, each: Field, *, needed: bool = False) -> Any:
        """What the row says, else the option of the whole run."""
        index = self._rules.found.fields.get(each)
        header, text = self._cell(each)
        if not text and index not in self._row.faults:
            text = self._rules.defaults.get(each, "")
            if needed and not text:
                self._wrong(each, "", "blank")
        value = self._parsed(partial(self._rules.parse, each), text, header, index)
        if self._rules.is_over(each, value):
            self.problems.append(Problem(self._row.number, header, text, "is over already", Cause.OVER))
        return value

    def _parsed(self, parse: Callable[[str], Any], text: str, header: str, index: int | None) -> Any:
        """The value of a cell; None if it says nothing, or something wrong."""
        if index is not None and (fault := self._row.faults.get(index) or (is_error(text) and Cause.ERROR_VALUE)):
            cause = Cause(fault)
            self.problems.append(Problem(self._row.number, header, text, FAULTS[cause], cause))
            return None
        if not text:
            return None
        try:
            return parse(text)
        except ValueError as error:
            cause = error.cause if isinstance(error, Wrong) else Cause.INVALID
            self.problems.append(Problem(self._row.number, header, text, str(error), cause))
            return None

    def _cell(self, each: Field) -> tuple[str, str]:
        """The header of a field's column, and what stands in it; the field's own name and nothing without one."""
        index = self._rules.found.fields.get(each)
        if index is None:
            return str(each), ""
        return self._rules.columns[index], self._row.cells[index].strip()

    def _wrong(self, each: Field, value: str, wrong: str) -> None:
        cause = Cause.NO_TYPE if each is Field.EVENT else Cause.INVALID
        self.problems.append(Problem(self._row.number, self._cell(each)[0], value, wrong, cause))


_DOUBT: Final = object()
"""In place of the value of a cell that is wrong, or may be."""


class Asked(NamedTuple):
    """What rows below each other ask for in which nothing is wrong, as columns. All of them share.

    `leads` are named by the field `lead`, the surest of the sheet, `users` by Id or e-mail address. `lasting` are
    minutes, or when a share ends (UTC), `starts` when it begins, if not at once.
    """

    numbers: Sequence[int]
    lead: Field
    leads: Sequence[str]
    users: Sequence[str]
    access: Sequence[int]
    lasting: Sequence[int | dt.datetime]
    events: Sequence[Any]
    starts: Sequence[dt.datetime | None]

    def some(self, start: int, end: int, apart: Iterable[int] = ()) -> Asked:
        """The rows from one place to another, without those at the places `apart`."""
        columns: list[Any] = [column[start:end] for column in (self.numbers, *self[2:])]
        wanted = bytearray(b"\1") * (end - start)
        for at in apart:
            if start <= at < end:
                wanted[at - start] = 0
        if not all(wanted):
            columns = [[*compress(column, wanted)] for column in columns]
        numbers, *others = columns
        return Asked(numbers, self.lead, *others)


class ColumnRules:
    """The same rules for whole columns: what a column says again and again is parsed once.

    What is not plain is left to the rules for rows, which have the words for what is wrong.
    """

    def __init__(self, rules: RowRules) -> None:
        self._rules = rules
        self._known: dict[Field | str, dict[str, Any]] = defaultdict(dict)
        self._lead, self._user = (next(each for each in of if each in rules.found.fields) for of in (LEADS, USERS))
        of_all: dict[Field | str, Any] = {each: self._parsed(each, text) for each, text in rules.defaults.items()}
        # What a blank cell says.
        self._blank: dict[Field | str, Any] = dict.fromkeys((self._lead, self._user), _DOUBT) | of_all
        for each in (Field.ACCESS, Field.EVENT, Field.NOTE):
            self._blank.setdefault(each, _DOUBT)
        # Where some value is in doubt, or may be; the other columns need no search.
        self._doubtful: set[Field | str] = {_LENGTH, Field.ACCESS, Field.EVENT, Field.NOTE}
        self._length = next((of_all[each] for each in LASTING if each in of_all), _DOUBT)
        self._blank |= dict.fromkeys(LASTING)

    def check(self, block: Block) -> tuple[Asked, set[int]]:
        """What the rows ask for, and the places of those that the rules for rows are to check."""
        rules, count = self._rules, len(block.cells)
        places = (*rules.found.fields.items(), *rules.found.custom.items())
        values: dict[Field | str, list[Any]] = {
            each: self._values(each, block.column(index)) for each, index in places
        }
        for each in (Field.ACCESS, Field.EVENT, Field.NOTE, Field.START):
            if each not in values:
                values[each] = [self._blank.get(each)] * count
        lengths = [values[each] for each in LASTING if each in values]
        values[_LENGTH] = [self._length] * count
        if len(lengths) == 1:
            values[_LENGTH] = [self._length if each is None else each for each in lengths[0]]
        elif lengths:
            for at, of_row in enumerate(zip(*lengths, strict=True)):
                said = [each for each in of_row if each is not None]
                if said:
                    values[_LENGTH][at] = said[0] if len(said) == 1 else _DOUBT
        doubts = {*block.odd}
        for column in (values[each] for each in self._doubtful & values.keys()):
            at = -1
            with suppress(ValueError):
                while True:
                    doubts.add(at := column.index(_DOUBT, at + 1))
        for index in rules.found.others:
            texts = block.column(index)
            if people := {text for text in {*texts} if kind_of(text.strip()) in SOMEBODY}:
                doubts |= {at for at, text in enumerate(texts) if text in people}
        starts, lasting = values[Field.START], values[_LENGTH]
        if Field.START in rules.found.fields:
            doubts |= {
                at
                for at, (start, length) in enumerate(zip(starts, lasting, strict=True))
                if isinstance(start, dt.datetime) and isinstance(length, dt.datetime) and length <= start
            }
        access, events = values[Field.ACCESS], values[Field.EVENT]
        users = values[self._user]
        return Asked(block.numbers, self._lead, values[self._lead], users, access, lasting, events, starts), doubts

    def _values(self, each: Field | str, texts: Sequence[str]) -> list[Any]:
        if each in _WHOLE and (plain := _WHOLE[each](texts)):
            return plain
        known = self._known[each]
        try:
            return [*map(known.__getitem__, texts)]
        except KeyError:
            new = {*texts} - known.keys()
        if 2 * len(new) > len(texts):  # nearly every cell says something else: it is not kept
            return [self._parsed(each, text.strip()) for text in texts]
        if len(known) > KEPT:
            known.clear()
            new = {*texts}
        known.update((text, self._parsed(each, text.strip())) for text in new)
        return [*map(known.__getitem__, texts)]

    def _parsed(self, each: Field | str, text: str) -> Any:
        """What a cell says, or that it is to be looked at by itself."""
        value: Any = _DOUBT
        if not text:
            value = self._blank.get(each)
        elif not is_error(text):
            with suppress(ValueError):
                value = self._rules.parse(each, text) if isinstance(each, Field) else parse_custom(text)
        if isinstance(each, Field) and isinstance(value, dt.datetime) and self._rules.is_over(each, value):
            value = _DOUBT
        if value is _DOUBT:
            self._doubtful.add(each)
        return value.value if isinstance(value, Ref) else value


_WHOLE: Final[Mapping[Field | str, Callable[[Sequence[str]], list[str] | None]]] = {
    Field.LEAD_ID: plain_guids,
    Field.LEAD_NUMBER: plain_numbers,
    Field.LEAD_EMAIL: plain_emails,
}
"""What reads a whole column of leads in one go, where all its cells are plain: a fifth of the time."""

_LENGTH: Final = "length"


def shortened(value: str) -> str:
    """As much of a cell as a person needs to find it."""
    return value if len(value) <= 60 else f"{value[:57]}…"  # half a line of a terminal


# ------------------------------------------------------------------------------------ whole columns of dates

DATED: Final = (Field.UNTIL, Field.START)
"""What is a date, or a time."""


@dataclass(frozen=True, slots=True)
class Dates:
    """How the dates of a sheet are read: in which order, by column, and what a person should know of it."""

    orders: Mapping[Field, Order] = field(default_factory=dict)
    notes: Sequence[str] = ()


class _Open(StrEnum):
    """What of a cell a person should be shown, for its look does not tell it."""

    ORDER = "order"
    SERIAL = "serial"


@lru_cache(KEPT)
def _tells(text: str) -> Order | _Open | None:
    """The order that a cell can be of alone, or what a person should be shown of it."""
    found = date_readings(text)
    if len(found) == 1:
        return next(iter(found))
    if len({*found.values()}) > 1:
        return _Open.ORDER
    return _Open.SERIAL if found and SERIAL_DATE.fullmatch(text) else None


def read_dates(sheet: Sheet, said: Order | None, before: Mapping[str, Order]) -> Dates:
    """In which order each column of dates is written: as somebody `said`, else as its own cells tell.

    Where these leave it open, it is as that column was read `before`. Raises SheetError for a column that tells
    both orders, or none where it matters.
    """
    places = {each: sheet.found.fields[each] for each in DATED if each in sheet.found.fields}
    seen: dict[Field, dict[Order | _Open, tuple[int, str]]] = {each: {} for each in places}
    known: dict[Field, set[str]] = {each: set() for each in places}
    for block in sheet.blocks():
        # Elsewhere a cell may be of another column.
        whole = [at for at in range(len(block.cells)) if at not in block.odd or block.odd[at].problem is None]
        for each, index in places.items():
            texts = [block.cells[at][index].strip() for at in whole]
            new = {*texts} - known[each]
            # Most begin with the year, and there is nothing to tell.
            telling = {text for text in new if not (text[4:5] == "-" and text[:4].isdigit()) and _tells(text)}
            for at, text in zip(whole, texts, strict=True) if telling else ():
                if text in telling:
                    seen[each].setdefault(cast("Order | _Open", _tells(text)), (block.numbers[at], text))
            known[each] = new if len(known[each]) > KEPT else known[each] | new
    orders, notes = dict[Field, Order](), list[str]()
    for each, firsts in seen.items():
        header = sheet.columns[places[each]]
        order = said or _order_of(sheet, header, firsts, before.get(each))
        if order is not None:
            orders[each] = order
        for _, text in (firsts[of] for of in _Open if of in firsts):
            moment, has_time = date_meant(text, order)
            time = f" {moment:%H:%M}" if has_time else ""
            where = f"{header}: " if len(places) > 1 else ""
            notes.append(f'{where}"{text}" is {spelled_day(moment.date())}{time}')
    return Dates(orders, notes)


def _order_of(
    sheet: Sheet, header: str, firsts: Mapping[Order | _Open, tuple[int, str]], before: Order | None
) -> Order | None:
    column = f"column {header!r}"
    cells = {order: firsts[order] for order in Order if order in firsts}
    told = {order: f'{order.words} ("{text}", row {number})' for order, (number, text) in cells.items()}
    if before is not None and _Open.ORDER in firsts:
        told.setdefault(before, f"{before.words} (so it was read before)")
    if len(told) == 1 or (not told and _Open.ORDER not in firsts):
        return next(iter(told), None)
    if told:
        problem = f"{column} has dates with {' and with '.join(told.values())}"
    else:
        number, text = firsts[_Open.ORDER]
        day, month = (spelled_day(meant.moment.date()) for meant in date_readings(text).values())
        problem = f'{column} leaves open whether "{text}" (row {number}) is {day} or {month}'
    raise SheetError(
        sheet.path,
        f"{problem}: say which is meant with --dates dmy or --dates mdy",
        problem=f"{problem[0].upper()}{problem[1:]}.",
        hint="Say whether the day or the month comes first.",
    )
