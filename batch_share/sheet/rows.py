"""Which rows of a sheet a run is for; and a row's cells made canonical, or every reason why it can't be sent.

The rules do no I/O. Values a cell leaves blank come from the options of the whole run.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from batch_share.common import MAX_DURATION_MINUTES, Action, Cause, Order, Wrong, parse_duration
from batch_share.errors import SettingsError, SheetError
from batch_share.sheet.columns import LASTING, LEADS, USERS, Columns, Field, squeeze, suggest
from batch_share.sheet.dates import parse_start, parse_until
from batch_share.sheet.mapping import word_key
from batch_share.sheet.table import FAULTS, is_error
from batch_share.sheet.values import (
    check_seen,
    parse_access,
    parse_action,
    parse_custom,
    parse_days,
    parse_email,
    parse_event,
    parse_guid,
    parse_lead_number,
    parse_note,
    parse_phone,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from batch_share.sheet.table import RawRow

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
        return cls(limit, _ranges(rows) if rows is not None else (), tuple(_condition(each) for each in only))

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
        wanted = [(_place(path, columns, name), value.lower()) for name, value in self.only]
        taken = 0

        def is_chosen(row: RawRow) -> bool:
            nonlocal taken
            if self.ranges and not any(first <= row.number <= last for first, last in self.ranges):
                return False
            if not all(_says(row, place, value) for place, value in wanted):
                return False
            taken += 1
            return self.limit is None or taken <= self.limit

        return is_chosen


def _says(row: RawRow, place: int, value: str) -> bool:
    return place < len(row.cells) and row.cells[place].strip().lower() == value


def _ranges(text: str) -> tuple[tuple[int, int], ...]:
    found = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise SettingsError("rows", f"{part.strip()!r} is no range of rows: write 5-40, or 5-40,50")
        found.append((int(match[1]), int(match[2] or match[1])))
    return tuple(found)


def _condition(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise SettingsError("only", f"{text!r} is no condition: write a column, =, and what it says: Region=North")
    return name.strip(), value.strip()


def _place(path: Path, columns: Sequence[str], name: str) -> int:
    places = [index for index, header in enumerate(columns) if squeeze(header) == squeeze(name)]
    if not places:
        reported = f"names a column {name!r} that is not there.{suggest(name, columns)}"
        raise SheetError(
            path, f"--only {reported}", problem=f"The choice of rows {reported}", hint="Name a column of the sheet."
        )
    return places[0]


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
    """What is wrong with a sheet: where, in words and by its `cause`, and what to do, if the words don't say.

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

    def in_words(self, text: str) -> str:
        """A cell with the words of its own language as they are read here: the whole, else each by itself."""
        meant = self.words.get(word_key(text))
        return meant or _WORD.sub(lambda word: self.words.get(word_key(word[0]), word[0]), text)

    def check(self, row: RawRow) -> ShareRow | list[Problem]:
        """The row's canonical values, or everything that is wrong with it."""
        if row.problem is not None:
            return [Problem(row.number, "", "", row.problem, Cause.SHIFTED)]
        reading = _Reading(self, row)
        asked = reading.read()
        return asked if asked is not None else reading.problems

    def users(self, row: RawRow) -> tuple[Ref, ...]:
        """Everything that the row says of its user, whatever else is wrong with it; nothing if it can't be told."""
        return () if row.problem is not None else _Reading(self, row).users()


class _Reading:
    """One row being read; everything that is wrong is collected, not only the first."""

    def __init__(self, rules: RowRules, row: RawRow) -> None:
        self._rules = rules
        self._row = row
        self.problems: list[Problem] = []

    def read(self) -> ShareRow | None:
        action = self._value(Field.ACTION, needed=False) or Action.SHARE
        leads, users = self._refs(LEADS), self.users()
        if not action.shares:
            return self._revocation(leads, users)
        lasting = self._lasting()
        values = {each: self._value(each, needed=True) for each in (Field.ACCESS, Field.EVENT, Field.NOTE)}
        custom = {name: self._parse(index, parse_custom) for name, index in self._rules.found.custom.items()}
        until = lasting if isinstance(lasting, dt.datetime) else None
        start = self._value(Field.START, needed=False)
        if start and until and until <= start:
            end = self._text(Field.UNTIL) or self._rules.defaults.get(Field.UNTIL, "")
            self._wrong(Field.UNTIL, end, f"is not after {self._header(Field.START)}")
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

    def users(self) -> tuple[Ref, ...]:
        """What it says of its user."""
        return self._refs(USERS)

    def _revocation(self, leads: tuple[Ref, ...], users: tuple[Ref, ...]) -> ShareRow | None:
        """What it says of a share is not read: there is none to be made."""
        start = self._value(Field.START, needed=False)
        if self.problems:
            return None
        return ShareRow(leads, users, 0, 0, None, 0, "", start=start, action=Action.REVOKE)

    def _refs(self, fields: Sequence[Field]) -> tuple[Ref, ...]:
        """Everything the row says of its lead, or of its user: at least one thing."""
        there = [each for each in fields if each in self._rules.found.fields]
        before = len(self.problems)
        refs = [self._ref(each) for each in there]
        found = tuple(ref for ref in refs if ref is not None)
        if not found and len(self.problems) == before:
            self._wrong(there[0], "", "blank")
        return found

    def _ref(self, each: Field) -> Ref | None:
        value = self._value(each, needed=False)
        return value if value is None or isinstance(value, Ref) else Ref(each, value)

    def _lasting(self) -> Any:
        """Minutes, or when the share ends; from the one column of several that says so, else from the option."""
        given = [each for each in LASTING if self._says_something(each)]
        if len(given) > 1:
            problem = f"{given[0]} says how long already: leave one of them blank"
            self._wrong(given[1], self._text(given[1]), problem)
            return None
        for_all = [each for each in LASTING if self._rules.defaults.get(each)]
        if not given and not for_all:
            self._no_length()
            return None
        return self._value((given or for_all)[0], needed=True)

    def _no_length(self) -> None:
        """Nothing says how long: told by the columns that could, as the sheet calls them."""
        there = [self._header(each) for each in LASTING if each in self._rules.found.fields]
        *others, last = there or [str(Field.DURATION)]
        column = f"{', '.join(others)} or {last}" if others else last
        self.problems.append(Problem(self._row.number, column, "", "blank"))

    def _value(self, each: Field, *, needed: bool) -> Any:
        index = self._rules.found.fields.get(each)
        text = self._text(each)
        if not text and index not in self._row.faults:
            text = self._rules.defaults.get(each, "")
            if needed and not text:
                self._wrong(each, "", "blank")
        parse = {Field.UNTIL: self._until, Field.START: self._start}.get(each) or _PARSERS[each]
        if each in _IN_WORDS and self._rules.words:
            return self._checked(lambda cell: parse(self._rules.in_words(cell)), text, self._header(each), index)
        return self._checked(parse, text, self._header(each), index)

    def _until(self, text: str) -> dt.datetime:
        end = parse_until(text, self._rules.zone, self._rules.orders.get(Field.UNTIL))
        if self._rules.now is not None and end <= self._rules.now:
            header = self._header(Field.UNTIL)
            self.problems.append(Problem(self._row.number, header, text, "is over already", Cause.OVER))
        return self._near(end)

    def _start(self, text: str) -> dt.datetime:
        return self._near(parse_start(text, self._rules.zone, self._rules.orders.get(Field.START)))

    def _near(self, moment: dt.datetime) -> dt.datetime:
        if self._rules.now is not None and moment - self._rules.now > _LONGEST:
            raise ValueError("is more than ten years away")
        return moment

    def _parse(self, index: int, parse: Callable[[str], Any]) -> Any:
        return self._checked(parse, self._row.cells[index].strip(), self._rules.columns[index], index)

    def _checked(self, parse: Callable[[str], Any], text: str, header: str, index: int | None) -> Any:
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

    def _says_something(self, each: Field) -> bool:
        return bool(self._text(each)) or self._rules.found.fields.get(each) in self._row.faults

    def _text(self, each: Field) -> str:
        index = self._rules.found.fields.get(each)
        return self._row.cells[index].strip() if index is not None else ""

    def _header(self, each: Field) -> str:
        index = self._rules.found.fields.get(each)
        return self._rules.columns[index] if index is not None else str(each)

    def _wrong(self, each: Field, value: str, wrong: str) -> None:
        cause = Cause.NO_TYPE if each is Field.EVENT else Cause.INVALID
        self.problems.append(Problem(self._row.number, self._header(each), value, wrong, cause))


def shortened(value: str) -> str:
    """As much of a cell as a person needs to find it."""
    return value if len(value) <= 60 else f"{value[:57]}…"
