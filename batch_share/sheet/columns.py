"""Which column holds what: by a mapping that was given, else by headers as people write them.

What stands in the cells says which column may be meant, and which header is wrong; who is to get a lead is never
told by that alone.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from batch_share.common import ascii_lower
from batch_share.errors import SheetError, first_of
from batch_share.sheet.values import SERIAL_DATE, WORDS, Kind, date_readings, kind_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from batch_share.sheet.table import RawRow


class Field(StrEnum):
    """What a column can hold. The name is lower-cased for options and models, the value is for people."""

    LEAD_ID = "Lead Id"
    LEAD_NUMBER = "Lead Number"
    LEAD_EMAIL = "Lead Email"
    LEAD_PHONE = "Lead Phone"
    USER_ID = "User Id"
    USER_EMAIL = "User Email"
    USER = "Sales User"
    ACCESS = "Access"
    DURATION = "Duration"
    DAYS = "Days"
    UNTIL = "Until"
    START = "Start"
    NOTE = "Note"
    EVENT = "Activity Event"
    ACTION = "Action"


_MAIL: Final = ("Email", "Email Address", "Mail", "Mail Address")
_PHONE: Final = ("Phone", "Phone Number", "Mobile", "Mobile Number")
_LEAD: Final = ("Lead", "Customer", "Contact", "Client", "Prospect")

HEADERS: Final[dict[Field, tuple[str, ...]]] = {
    Field.LEAD_ID: ("Lead Id", "ProspectID", "RelatedProspectId", "Lead GUID"),
    Field.LEAD_NUMBER: (
        *("Lead Number", "ProspectAutoId", "LeadAutoId", "EntityId", "Lead No", "Lead Num"),
        *("Prospect Number", "Prospect No", "Prospect Auto Number"),
    ),
    Field.LEAD_EMAIL: tuple(f"{who} {what}" for who in _LEAD for what in _MAIL),
    Field.LEAD_PHONE: tuple(f"{who} {what}" for who in _LEAD for what in _PHONE),
    Field.ACCESS: (
        "Access",
        "AccessType",
        "Access Level",
        "Permission",
        "Permissions",
    ),
    Field.DURATION: ("Duration", "DurationInMinutes", "Share Duration", "Access Duration"),
    Field.DAYS: (
        "Days",
        "DurationInDays",
        "Duration Days",
        "No of Days",
        "Number of Days",
        "Share Days",
        "Access Days",
    ),
    Field.UNTIL: (
        *("Until", "Share Until", "Valid Until", "Access Until", "Until Date", "End Date", "Share End"),
        *("Till", "Share Till", "Valid Till", "Access Till", "Till Date", "Valid Upto", "Share End Date"),
        *("Share Expiry", "Access Expiry", "Share Expires", "Access Expires"),
    ),
    Field.START: (
        *("Start", "Start Date", "Start Time", "Start At", "Share From", "Share Start", "Share Start Date"),
        "Access From",
    ),
    Field.NOTE: ("Note", "Notes", "ActivityNote"),
    Field.EVENT: ("Activity Event", "Activity Event Code", "Event Code", "Activity Code"),
    Field.ACTION: ("Action", "Share Action"),
}
"""The headers each field is known by, whatever else the sheet has; those of the user are below."""

VAGUE: Final[dict[Field, tuple[str, ...]]] = {
    Field.LEAD_EMAIL: ("Email", "Email Address"),
    Field.LEAD_PHONE: _PHONE,
}
"""Headers that are read so only where no column names the lead as surely, or surer."""

_STAFF: Final = (
    "Owner", "Lead Owner", "Account Owner", "Account Manager", "Relationship Manager", "Agent", "Sales Agent",
    "Rep", "Sales Rep", "Sales Representative", "Sales Person", "Assignee", "Assigned User",
)  # fmt: skip

INTENT: Final = (
    "User", "Sales User", "Target User", "New User", "New Sales User", *(f"New {who}" for who in _STAFF),
    "Assign To", "Reassign To", "Transfer To", "Hand Over To", "Give To", "Share To", "Share With",
)  # fmt: skip
"""What headers call the person who is to get a lead."""

STATE: Final = (
    *_STAFF, "Current Owner", "Present Owner", "Existing Owner", "Old Owner", "Previous Owner",
    "Assigned To", "Lead Assigned To", "Shared To", "Shared With",
)  # fmt: skip
"""What headers call a person who most often has the lead now: never taken to be the user without being asked."""

_BY: Final[dict[Field | None, tuple[str, ...]]] = {
    Field.USER: ("",),
    Field.USER_ID: ("Id", "GUID"),
    Field.USER_EMAIL: (*_MAIL, "Id Email Address"),
    None: ("Name", "Full Name", "Id Name"),
}
"""What stands behind such a word, by how the column names the person; a name does not say which user it is."""

_OTHER_IDS: Final = ("Activity Id", "ProspectActivityId", "Request Id", "Company Id", "RelatedCompanyId")
"""Headers of Ids that are nobody's."""

LEADS: Final = (Field.LEAD_ID, Field.LEAD_NUMBER, Field.LEAD_EMAIL, Field.LEAD_PHONE)
"""What can name a lead, the surest first."""

USERS: Final = (Field.USER_ID, Field.USER_EMAIL, Field.USER)
"""What can name a user, the surest first."""

_LENGTHS: Final = frozenset({Kind.LENGTH, Kind.NUMBER})
_DATES: Final = frozenset({Kind.DATE, Kind.NUMBER})
_DIALLED: Final = range(10, 16)
"""Digits of a number that is more likely one of a phone than one of a lead."""

HOLDS: Final[dict[Field, frozenset[Kind]]] = {
    Field.LEAD_ID: frozenset({Kind.ID}),
    Field.LEAD_NUMBER: frozenset({Kind.NUMBER}),
    Field.LEAD_EMAIL: frozenset({Kind.EMAIL}),
    Field.LEAD_PHONE: frozenset({Kind.NUMBER, Kind.PHONE}),
    Field.USER_ID: frozenset({Kind.ID}),
    Field.USER_EMAIL: frozenset({Kind.EMAIL}),
    Field.USER: frozenset({Kind.ID, Kind.EMAIL}),
    Field.ACCESS: frozenset({Kind.ACCESS, Kind.NUMBER}),
    Field.DURATION: _LENGTHS,
    Field.DAYS: _LENGTHS,
    Field.UNTIL: _DATES,
    Field.START: _DATES,
    Field.EVENT: frozenset({Kind.NUMBER}),
    Field.ACTION: frozenset(),
}
"""What the cells of a column may look like, where they look like anything; a note may say whatever it wants."""

LASTING: Final = (Field.DURATION, Field.DAYS, Field.UNTIL)
"""What can say how long a share lasts."""

IGNORE: Final = "ignore"
"""What a mapping says of a column that is not to be read, whatever its header."""

_CUSTOM: Final = re.compile(r"mx_?custom_?(\d{1,2})", re.IGNORECASE)
_WRITERS: Final = ("createdby", "modifiedby", "lastmodifiedby", "updatedby", "lastupdatedby")
"""How headers of whoever wrote a record begin: never of who is to get it, so none is suggested."""

_CLOSE: Final = 75.0
"""How alike two headers are, of 100, if one may be meant by the other: a letter in four may be another."""

_VERY_CLOSE: Final = 85.0
"""The same where it keeps another column from being taken: one in seven, a slip of the keys."""

_ENOUGH: Final = 3
"""Cells by which a column is told to hold something else than its header says: fewer may be slips."""

_NEARLY_ALL: Final = 0.8
"""The part of them that has to be of one kind then: a fifth may be words, such as “unknown”."""

_MOST_SHOWN: Final = 10
"""Headers that a sentence shows at the most: of a sheet with hundreds it would be pages."""

_WORD: Final = re.compile(r"[^\W\d_]+")
_STARTS: Final = frozenset({"from", "start", "starts", "starting", "begin", "begins", "since"})
_ENDS: Final = frozenset({"to", "till", "until", "upto", "end", "ends", "ending", "expiry", "expires"})
"""What is in headers of dates that may be the beginning or the end of a share: suggested, and never read so."""

_LOOKED_AT: Final = 20
"""Cells by which a column is told to hold dates: each takes longer to be read than any other."""

_LONGEST_SHOWN: Final = 60  # characters of one: half a line of a terminal
_SHOWN: Final = 3  # of cells or columns: enough to tell what is meant, and a sentence stays one
_NO_NAMES: Final = "not e-mail addresses or Ids in most of the first rows, and a name does not say which user it is"
_UNQUOTED: Final = frozenset('"$`\\!%')
"""What means something to a shell even within quotation marks; in a header that is mapped it means nothing."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each field and each custom field of the activity stands, from 0.

    `doubtful` are the columns of the user that most often say who has the lead now: a person has to say that they
    are meant. `unread` are columns that are not read though they hold e-mail addresses or Ids of somebody. Both are
    there with their first cells. `others` are called as the user's are, beside what is read: most often they hold
    the name, and whoever else is named there contradicts the row. `dated` hold dates that are still to come and are
    not read: perhaps a start or an end, as their headers say, where no column that is read says that.
    """

    fields: Mapping[Field, int]
    custom: Mapping[str, int]
    doubtful: Mapping[int, Sequence[str]] = field(default_factory=dict)
    unread: Mapping[int, Sequence[str]] = field(default_factory=dict)
    others: Sequence[int] = ()
    dated: Mapping[int, Field | None] = field(default_factory=dict)

    @property
    def used(self) -> set[int]:
        """The columns that are read."""
        return {*self.fields.values(), *self.custom.values()}


@dataclass(frozen=True, slots=True)
class _Person:
    """What a header says of a person: in which words, and by what field; None: by a name."""

    who: str
    by: Field | None


def squeeze(header: str) -> str:
    """A header without what people vary: case, spaces, underscores, hyphens."""
    return "".join(char for char in header.casefold() if char.isalnum())


def _by_header(headers: Mapping[Field, tuple[str, ...]]) -> dict[str, Field]:
    return {squeeze(header): field for field, names in headers.items() for header in names}


def _people(words: Sequence[str]) -> dict[str, _Person]:
    return {squeeze(f"{who} {end}"): _Person(who, by) for who in words for by, ends in _BY.items() for end in ends}


_INTENT: Final = _people(INTENT)
_STATE: Final = _people(STATE)
_PLAIN: Final = _by_header(HEADERS) | {header: each.by for header, each in _INTENT.items() if each.by is not None}
_VAGUE: Final = _by_header(VAGUE)
_ALL: Final = _by_header({field: (field.value,) for field in Field}) | _VAGUE | _PLAIN
_OWN_NUMBER: Final = [f"{who} {end}" for who in _LEAD for end in ("No", "Number", "Num")]
_NUMBERS: Final = _by_header({Field.LEAD_NUMBER: tuple(_OWN_NUMBER)})
"""Headers that may mean a lead's number, or one of somebody's own: suggested, never read without being asked."""
_USERS: Final = {header: each.by for header, each in (_STATE | _INTENT).items() if each.by is not None}
_KNOWN: Final = {*_ALL, *_INTENT, *_STATE, *map(squeeze, _OTHER_IDS)}


def match_columns(
    path: Path,
    columns: Sequence[str],
    mapping: Mapping[str, str] | None = None,
    first_rows: Sequence[RawRow] = (),
) -> Columns:
    """Find each field's column. `mapping` names fields by header and wins over what headers look like.

    What stands in the `first_rows` says which of several columns may be meant. Without any, no column is taken for
    the user whose header most often says who has the lead now.

    Raises SheetError for headers that are blank or there twice, a mapping that fits no header, two columns for one
    field, a sheet that says no lead or no user, and one whose only column of users most often says who has the lead
    now, if another could be meant, or that would know its leads by phone though another column has addresses, and
    for a column that holds something else than its header or the mapping says; each names the candidates.
    """
    _check_headers(path, columns)
    named = _mapped(path, columns, mapping or {})
    fields = {field: index for index, field in named.items() if isinstance(field, Field)}
    custom = {field: index for index, field in named.items() if field and not isinstance(field, Field)}
    everything = {
        index: [cell for row in first_rows if index < len(row.cells) and (cell := row.cells[index].strip())]
        for index in range(len(columns))
    }
    cells = {index: held for index, held in everything.items() if index not in named}
    plain = _by_what_they_hold(_known(columns, cells, _PLAIN), cells, fields)
    said = () if set(USERS).isdisjoint(named.values()) else USERS  # a mapping that names the user has said by what
    fields |= _single(path, columns, {at: of for at, of in plain.items() if at not in fields and at not in said})
    for each in VAGUE:  # a mapping that names the lead has said by what
        surer = LEADS[: LEADS.index(each) + 1]
        if fields.keys().isdisjoint(surer) and set(LEADS).isdisjoint(named.values()):
            vague = _known(columns, cells, _VAGUE).get(each, [])
            fields |= _single(path, columns, {each: vague} if vague else {})
    custom |= {
        name: index
        for index in cells
        if index not in fields.values() and (name := custom_field(columns[index])) and name not in custom
    }
    left = {index: held for index, held in cells.items() if index not in Columns(fields, custom).used}
    addresses = _unnamed(columns, left, Kind.EMAIL) if fields.keys() & {*LEADS} == {Field.LEAD_PHONE} else []
    is_open = bool(addresses) and set(LEADS).isdisjoint(named.values())
    missing = [role for role in (LEADS, USERS) if fields.keys().isdisjoint(role)]
    doubtful = _who_has_it(path, columns, left) if missing == [USERS] else {}
    if missing and not doubtful:
        raise _missing(path, [LEADS, USERS] if is_open else missing, columns, left)
    fields |= doubtful
    if is_open:
        raise _by_phone(path, columns, fields[Field.LEAD_PHONE], addresses)
    _check_held(path, columns, fields, everything)
    # Of those that are left, a person should know which hold somebody, or what no column that is read says.
    wanted = {Kind.ACCESS} if Field.ACCESS not in fields else set()
    wanted |= {Kind.LENGTH} if fields.keys().isdisjoint(LASTING) else set()
    unread = {
        index: held
        for index, held in left.items()
        if index not in fields.values() and (_person(held) is not None or kind_held(held) in wanted)
    }
    dated: dict[int, Field | None] = {}
    today = dt.datetime.now(dt.UTC).date()
    for index in [at for at in left if at not in fields.values()]:
        first = [
            cell for cell in left[index][:_LOOKED_AT] if not SERIAL_DATE.fullmatch(cell) and not cell.isdigit()
        ]
        to_come = sum(any(each.moment.date() >= today for each in date_readings(cell).values()) for cell in first)
        if 2 * to_come > len(left[index][:_LOOKED_AT]):
            words = {*_WORD.findall(columns[index].casefold())}
            start, end = not words.isdisjoint(_STARTS), not words.isdisjoint(_ENDS)
            meant = (Field.START if start else Field.UNTIL) if start != end else None
            said_by = LASTING if meant is Field.UNTIL else (Field.START,)
            dated[index] = meant if fields.keys().isdisjoint(said_by) else None
    # Where a mapping names the user, somebody has said which of them is meant.
    others = [at for at in left if squeeze(columns[at]) in _INTENT and at not in fields.values() and not said]
    return Columns(fields, custom, {index: left[index] for index in doubtful.values()}, unread, (*others,), dated)


def custom_field(text: str) -> str | None:
    """The SchemaName of an activity's custom field, mx_Custom_1 to mx_Custom_99, if `text` is one."""
    match = _CUSTOM.fullmatch(text.strip())
    return f"mx_Custom_{int(match[1])}" if match and int(match[1]) else None


def field_named(text: str) -> Field | str | None:
    """The field or custom field that `text` names; "" for one to be ignored, None for no field at all."""
    if text.strip().casefold() == IGNORE:
        return ""
    return _ALL.get(squeeze(text)) or custom_field(text)


def is_of_header(header: str, field: Field) -> bool:
    """Whether the header alone says that its column holds this."""
    name = squeeze(header)
    return field in (_ALL.get(name), _USERS.get(name))


def is_known(header: str) -> bool:
    """Whether it is one of the headers that sheets like these have, be its column read or not."""
    return squeeze(header) in _KNOWN or custom_field(header) is not None


def spell_unread(columns: Sequence[str], found: Columns, users: Collection[str] = ()) -> list[str]:
    """What a person should know of columns that hold somebody, or an access, and are not read, a sentence to each.

    `users` are Ids and e-mail addresses that are known to be users' of the account, in lower case. A header that
    says who it is needs no word, unless they are users; where leads are known by phone alone, an address is surer.
    """
    reported = []
    by_phone = found.fields.keys() & {*LEADS} == {Field.LEAD_PHONE}
    for index, cells in found.unread.items():
        person = _person(cells)
        kind = kind_held(cells) if person is None else Kind.ID if person is Field.USER_ID else Kind.EMAIL
        whose = " of users" if any(ascii_lower(cell) in users for cell in cells) else ""
        name = squeeze(columns[index])
        if not whose and name in _KNOWN and not (by_phone and _ALL.get(name) is Field.LEAD_EMAIL):
            continue
        instead = (
            f": leads are looked up by {columns[found.fields[Field.LEAD_PHONE]]!r}"
            if by_phone and kind is Kind.EMAIL and not whose
            else ""
        )
        reported.append(f"column {columns[index]!r} holds {kind}{whose} and is not read{instead}")
    return reported


def doubt_of(columns: Sequence[str], found: Columns) -> tuple[str, str]:
    """Of doubtful columns, the beginning of a sentence that shows who is in them, and the options to map them."""
    fields = {index: named for named, index in found.fields.items()}
    telling = max(found.doubtful, key=lambda index: _person(found.doubtful[index]) is Field.USER_EMAIL)
    values = [repr(cell) for cell in dict.fromkeys(found.doubtful[telling]) if _person([cell]) is not None]
    shown = ", ".join([*values[:_SHOWN], *(["…"] if len(values) > _SHOWN else [])])
    names = " and ".join(
        f"{columns[index]!r} ({shown})" if index == telling else repr(columns[index]) for index in found.doubtful
    )
    options = " ".join(map_option(columns[index], fields[index]) for index in found.doubtful)
    says = "says" if len(found.doubtful) == 1 else "say"
    return f"{names} usually {says} who has the lead now", options


def map_option(header: str, field: Field | str) -> str:
    """The option that says what a column holds. What is left away of the header makes no other one of it."""
    typed = "".join(char for char in " ".join(header.split()) if char.isprintable() and char not in _UNQUOTED)
    return f'--map "{typed}={field}"'


def suggest(text: str, known: Sequence[str]) -> str:
    """` Did you mean …?` for the closest of what is known, or nothing."""
    from rapidfuzz import fuzz, process  # noqa: PLC0415 - only what is mistyped has to wait for it

    close = process.extractOne(squeeze(text), {name: squeeze(name) for name in known}, scorer=fuzz.ratio)
    return f" Did you mean {close[2]!r}?" if close is not None and close[1] >= _CLOSE else ""


def letters(index: int) -> str:
    """A column's name in a spreadsheet: 0 is A, 26 is AA."""
    name = ""
    number = index + 1
    while number:
        number, rest = divmod(number - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def _check_headers(path: Path, columns: Sequence[str]) -> None:
    # Left of the first header blank is no fault: a table may begin in column B, or number its rows.
    first = next((index for index, header in enumerate(columns) if header.strip()), 0)
    blank = [letters(index) for index, header in enumerate(columns) if index > first and not header.strip()]
    if blank:
        raise SheetError(path, f"column {_first_ten(blank)} has no header: name it or remove it")
    counts = Counter(header.casefold() for header in columns if header)
    twice = [f"{name!r} ({letters(index)})" for index, name in enumerate(columns) if counts[name.casefold()] > 1]
    if twice:
        raise SheetError(path, f"a header is there more than once: {_first_ten(twice)}. Rename or remove one")


def _mapped(path: Path, columns: Sequence[str], mapping: Mapping[str, str]) -> dict[int, Field | str]:
    """By column, what the mapping says it holds ("": nothing)."""
    found: dict[int, Field | str] = {}
    for header, name in mapping.items():
        field = field_named(name)
        if field is None:
            choices = [*map(str, Field), "mx_Custom_1", IGNORE, *WORDS]
            raise SheetError(path, f"the mapping of {header!r} names no field: {name!r}.{suggest(name, choices)}")
        if field in found.values() and field:
            raise SheetError(path, f"the mapping names two columns for {field}")
        for alike in (str.casefold, squeeze):  # as it is written, else but for signs and spaces
            places = [index for index, column in enumerate(columns) if alike(column) == alike(header)]
            if len(places) > 1:
                several = " and ".join(repr(columns[index]) for index in places[:2])
                raise SheetError(path, f"the mapping of {header!r} fits two columns: {several}")
            if places:
                break
        else:
            close = suggest(header, columns)
            raise SheetError(path, f"the mapping names a column {header!r} that is not there.{close}")
        found[places[0]] = field
    return found


def _known(columns: Sequence[str], places: Iterable[int], names: Mapping[str, Field]) -> dict[Field, list[int]]:
    found: dict[Field, list[int]] = {}
    for index in places:
        field = names.get(squeeze(columns[index]))
        if field is not None:
            found.setdefault(field, []).append(index)
    return found


def _by_what_they_hold(
    plain: Mapping[Field, list[int]], cells: Mapping[int, Sequence[str]], mapped: Mapping[Field, int]
) -> dict[Field, list[int]]:
    """The same, with a column of any kind of user as what it holds, where others say whether it is Id or e-mail.

    Beside those it is often one of names, which is not read.
    """
    found = {field: [*places] for field, places in plain.items()}
    if {*found, *mapped}.isdisjoint({Field.USER_ID, Field.USER_EMAIL}):
        return found
    for index in found.pop(Field.USER, []):
        if (field := _person(cells[index])) is not None:
            found.setdefault(field, []).append(index)
    return found


def _single(path: Path, columns: Sequence[str], found: Mapping[Field, list[int]]) -> dict[Field, int]:
    for wanted, places in found.items():
        if len(places) > 1:
            several = " and ".join(repr(columns[index]) for index in places)
            raise SheetError(
                path,
                f"two columns could be the {wanted}: {several}. Rename one, or say which with --map",
                problem=f"Two columns could be the {wanted}: {several}.",
                hint="Rename one, or say which is meant.",
            )
    return {field: places[0] for field, places in found.items()}


def _who_has_it(path: Path, columns: Sequence[str], left: Mapping[int, Sequence[str]]) -> dict[Field, int]:
    """The columns of whoever most often has the lead now, if they are of one person and no other could be meant.

    Raises SheetError where another could.
    """
    states = {index: known for index in left if (known := _STATE.get(squeeze(columns[index]))) is not None}
    held = {index: _person(left[index]) for index, known in states.items() if known.by is not None}
    usable = {index: field for index, field in held.items() if field is not None}
    if not usable:
        return {}
    others = []  # which may say who is to get the lead: by their headers, or by what they hold
    for index in [index for index in left if index not in states]:
        name = squeeze(columns[index])
        says_so = _person(left[index]) is not None or _alike(columns[index], _USERS, _VERY_CLOSE) is not None
        if name in _INTENT or (says_so and name not in _KNOWN):
            others.append(index)
    whose = {known.who for known in states.values()}
    if others or len(whose) > 1 or len({*usable.values()}) < len(usable):
        reported = {known.who for index, known in states.items() if index in usable}
        people = [index for index, known in states.items() if index in usable or known.who not in reported]
        raise _which_user(path, columns, people, others, left)
    if len(usable) == 1:
        (index,) = usable
        return {(Field.USER if states[index].by is Field.USER else usable[index]): index}
    return {field: index for index, field in usable.items()}


def _which_user(
    path: Path,
    columns: Sequence[str],
    states: Sequence[int],
    others: Sequence[int],
    cells: Mapping[int, Sequence[str]],
) -> SheetError:
    """Which columns may say the user, why none is taken, and what to add for each."""
    says = "says" if len(states) == 1 else "say"
    has_it = f"{_quoted(columns, states)} usually {says} who has the lead now"
    could = f", and {_quoted(columns, others)} could be meant too" if others else ""
    fields = {index: _person(cells[index]) for index in (*states, *others)}
    options = [map_option(columns[index], field) for index, field in fields.items() if field is not None]
    reported = f"column says who is to get the lead? {has_it}{could}."
    unusable = [index for index, field in fields.items() if field is None]
    unread = f" {_quoted(columns, unusable)}: {_NO_NAMES}." if unusable else ""
    return SheetError(
        path,
        f"which {reported} Add what is meant: {first_of(options)}{f'.{unread[:-1]}' if unread else ''}",
        problem=f"Which {reported}{unread}",
        hint="Say which column holds the user.",
    )


def _quoted(columns: Sequence[str], places: Iterable[int]) -> str:
    *others, last = [repr(columns[index]) for index in places]
    if len(others) >= _MOST_SHOWN:
        return _first_ten([*others, last])
    return f"{', '.join(others)} and {last}" if others else last


def _first_ten(names: Sequence[str]) -> str:
    """As many of these as a sentence can show, each as far as a person needs it, and how many more there are."""
    shown = [name if len(name) <= _LONGEST_SHOWN else f"{name[: _LONGEST_SHOWN - 1]}…" for name in names]
    return first_of(shown, _MOST_SHOWN)


def _person(cells: Sequence[str]) -> Field | None:
    """By what most of the cells name somebody, Ids or e-mail addresses; None if most of them do not."""
    kinds = Counter(map(kind_of, cells))
    best = Field.USER_ID if kinds[Kind.ID] > kinds[Kind.EMAIL] else Field.USER_EMAIL
    return best if 2 * (kinds[Kind.ID] + kinds[Kind.EMAIL]) > len(cells) else None


def kind_held(cells: Sequence[str], part: float = 0.5) -> Kind | None:
    """What more than this part of the cells look like; None if there is no such thing."""
    kinds = (kind_of(cell) for cell in cells)
    counts = Counter(
        Kind.PHONE if kind is Kind.NUMBER and len(cell) in _DIALLED else kind
        for cell, kind in zip(cells, kinds, strict=True)
    )
    return next((kind for kind, count in counts.items() if count > part * len(cells)), None)


def _unnamed(columns: Sequence[str], left: Mapping[int, Sequence[str]], kind: Kind) -> list[int]:
    """The columns that hold this and whose header does not say whose it is."""
    return [
        index
        for index, cells in left.items()
        if kind_held(cells) is kind
        and squeeze(columns[index]) not in _KNOWN
        and not squeeze(columns[index]).startswith(_WRITERS)
    ]


def _by_phone(path: Path, columns: Sequence[str], phone: int, surer: Sequence[int]) -> SheetError:
    """Leads would be known by phone, though columns have addresses that may be theirs."""
    those = "holds" if len(surer) == 1 else "hold"
    reported = (
        f"column says which lead it is? {columns[phone]!r} holds phone numbers, and {_quoted(columns, surer)} "
        f"{those} {Kind.EMAIL}, which are surer."
    )
    options = [map_option(columns[index], Field.LEAD_EMAIL) for index in surer[:_SHOWN]]
    options.append(map_option(columns[phone], Field.LEAD_PHONE))
    return SheetError(
        path,
        f"which {reported} Add what is meant: {' or '.join(options)}",
        problem=f"Which {reported}",
        hint="Say which column names the lead.",
    )


def _check_held(
    path: Path, columns: Sequence[str], fields: Mapping[Field, int], cells: Mapping[int, Sequence[str]]
) -> None:
    """Raises SheetError for columns that hold nothing of what they are read as, but something else."""
    wrong: dict[str, list[str]] = {}
    for each, index in fields.items():
        kind = kind_held(cells[index], _NEARLY_ALL)
        fitting = HOLDS[each].intersection(map(kind_of, cells[index])) if each in HOLDS else True
        if kind is None or fitting or len(cells[index]) < _ENOUGH:
            continue
        header, cell = columns[index], cells[index][0]
        role = next((role for role in (LEADS, USERS) if each in role), (Field.ACCESS, *LASTING))
        others = [other for other in role if kind in HOLDS[other] and other not in fields]
        options = [map_option(header, other) for other in (*others[:1], IGNORE)]
        wrong[f"column {header!r} holds {kind} ({cell!r}, …), so it is not the {each}"] = options
    if wrong:
        told = [f"{reported}: say what it is with {' or '.join(options)}" for reported, options in wrong.items()]
        raise SheetError(
            path,
            "; ".join(told),
            problem=f"C{'; '.join(wrong)[1:]}.",
            hint="Say what it is, or correct the sheet.",
        )


def _missing(
    path: Path, missing: Sequence[Sequence[Field]], columns: Sequence[str], left: Mapping[int, Sequence[str]]
) -> SheetError:
    wanted = " and ".join({LEADS: "the lead", USERS: "the user"}[tuple(role)] for role in missing)
    names = "; ".join(", ".join(map(str, role)) for role in missing)
    close: list[list[tuple[str, Field]]] = []
    for role in missing:
        taken = [header for headers in close for header, _ in headers if len(headers) == 1]
        close += filter(None, [_close(role, columns, {at: left[at] for at in left if columns[at] not in taken})])
    there = _first_ten([*map(repr, columns)])
    people = _INTENT | _STATE
    named = [
        index
        for index, cells in left.items()
        if USERS in missing and squeeze(columns[index]) in people and _person(cells) is None
    ]
    unusable = f" {_quoted(columns, named)}: {_NO_NAMES}." if named and not close else ""
    lacking, rest = f"no column for {wanted} ({names}).", f"{unusable} Its headers are: {there}."
    asked = [f" Did you mean {' or '.join(repr(header) for header, _ in each)} for {each[0][1]}?" for each in close]
    typed = [
        f"{ask} Then add {' or '.join(map_option(*meant) for meant in each)}."
        for ask, each in zip(asked, close, strict=True)
    ]
    typed_then, hint = "Rename one, or say which with --map", "Rename a column, or say which one it is."
    if unusable and [*missing] == [USERS]:  # under another header, they would be names still
        typed_then = f"Put e-mail addresses or user Ids in {columns[named[0]]!r}"
        hint = f"{typed_then}."
    return SheetError(
        path,
        f"{lacking}{''.join(typed)}{rest} {typed_then}",
        problem=f"The sheet has {lacking}{''.join(asked)}{rest}",
        hint=hint,
    )


def _close(
    role: Sequence[Field], columns: Sequence[str], left: Mapping[int, Sequence[str]]
) -> list[tuple[str, Field]]:
    """The first header that looks like one of the role's, of a column that holds such a thing, and what it is.

    Where none does, all of those that hold such a thing and whose header says nothing that is known.
    """
    names = (
        _USERS if role == USERS else {header: field for header, field in _ALL.items() if field in role} | _NUMBERS
    )
    for index, held in left.items():
        if squeeze(columns[index]).startswith(_WRITERS):
            continue
        alike = _alike(columns[index], names, _CLOSE)
        if role == USERS and squeeze(columns[index]) in _INTENT | _STATE:  # called a name, and no name
            alike = alike or _person(held)
        if alike is None:
            continue
        # What most of the cells can be of; of several, what the header looks like, then the surest.
        fitting = {field: sum(kind_of(cell) in HOLDS[field] for cell in held) for field in (alike, *role)}
        best = max(fitting, key=lambda field: fitting[field])
        if not held or 2 * fitting[best] > len(held):
            return [(columns[index], best)]
    names_of = {Kind.EMAIL: Field.USER_EMAIL, Kind.ID: Field.USER_ID}
    if role == LEADS:
        names_of = {Kind.EMAIL: Field.LEAD_EMAIL, Kind.ID: Field.LEAD_ID, Kind.PHONE: Field.LEAD_PHONE}
    found = ([(columns[at], field) for at in _unnamed(columns, left, kind)] for kind, field in names_of.items())
    return next(filter(None, found), [])[:_SHOWN]


def _alike(header: str, names: Mapping[str, Field], least: float) -> Field | None:
    """The field of the header that this one looks most like; None if it looks like none."""
    name = squeeze(header)
    if name in _KNOWN and name not in names:
        return None
    from rapidfuzz import fuzz, process  # noqa: PLC0415 - as above

    hit = process.extractOne(name, names.keys(), scorer=fuzz.ratio)
    return names[hit[0]] if hit is not None and hit[1] >= least else None
