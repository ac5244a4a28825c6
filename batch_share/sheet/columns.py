"""Which column holds what: by a mapping that was given, else by headers as people write them."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from rapidfuzz import fuzz, process

from batch_share.errors import SheetError
from batch_share.sheet.values import parse_email, parse_guid, parse_lead_number, parse_phone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
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


HEADERS: Final[dict[Field, tuple[str, ...]]] = {
    Field.LEAD_ID: ("Lead Id", "ProspectID", "RelatedProspectId", "Lead GUID"),
    Field.LEAD_NUMBER: ("Lead Number", "ProspectAutoId", "LeadAutoId", "EntityId", "Lead No"),
    Field.LEAD_EMAIL: ("Lead Email", "Lead Email Address", "Customer Email"),
    Field.LEAD_PHONE: ("Lead Phone", "Lead Phone Number", "Lead Mobile", "Customer Phone"),
    Field.USER_ID: ("User Id", "Sales User Id"),
    Field.USER_EMAIL: ("User Email", "User Email Address", "Sales User Email"),
    Field.ACCESS: ("Access", "AccessType", "Permission"),
    Field.DURATION: ("Duration", "DurationInMinutes"),
    Field.DAYS: ("Days", "DurationInDays"),
    Field.UNTIL: ("Until", "Share Until", "Valid Until", "End Date"),
    Field.START: ("Start", "Start Date", "Start Time", "Start At", "Share From", "Share Start"),
    Field.NOTE: ("Note", "Notes", "ActivityNote"),
    Field.EVENT: ("Activity Event", "Activity Event Code", "Event Code"),
    Field.ACTION: ("Action", "Share Action"),
}
"""The headers each field is known by, whatever else the sheet has."""

VAGUE: Final[dict[Field, tuple[str, ...]]] = {
    Field.LEAD_EMAIL: ("Email", "Email Address"),
    Field.LEAD_PHONE: ("Phone", "Phone Number", "Mobile", "Mobile Number"),
    Field.USER_ID: ("Owner Id",),
    Field.USER_EMAIL: ("Owner Email", "Owner Email Address"),
    Field.USER: ("Sales User", "User", "Owner", "Assigned To", "Share With"),
}
"""Headers that are read so only where no plainer column says which lead, or which user."""

LEADS: Final = (Field.LEAD_ID, Field.LEAD_NUMBER, Field.LEAD_EMAIL, Field.LEAD_PHONE)
"""What can name a lead, the surest first."""

USERS: Final = (Field.USER_ID, Field.USER_EMAIL, Field.USER)
"""What can name a user, the surest first."""

NAMING: Final[dict[Field, tuple[Callable[[str], str], ...]]] = {
    Field.LEAD_ID: (parse_guid,),
    Field.LEAD_NUMBER: (parse_lead_number,),
    Field.LEAD_EMAIL: (parse_email,),
    Field.LEAD_PHONE: (parse_phone,),
    Field.USER_ID: (parse_guid,),
    Field.USER_EMAIL: (parse_email,),
    Field.USER: (parse_guid, parse_email),
}
"""What a cell may be that names a lead or a user: any of these reads it."""

LASTING: Final = (Field.DURATION, Field.DAYS, Field.UNTIL)
"""What can say how long a share lasts."""

IGNORE: Final = "ignore"
"""What a mapping says of a column that is not to be read, whatever its header."""

_CUSTOM: Final = re.compile(r"mx_?custom_?(\d{1,2})", re.IGNORECASE)
_CLOSE: Final = 75.0
_UNQUOTED: Final = frozenset('"$`\\!%')
"""What means something to a shell even within quotation marks; in a header that is mapped it means nothing."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each field and each custom field of the activity stands, from 0."""

    fields: Mapping[Field, int]
    custom: Mapping[str, int]

    @property
    def used(self) -> set[int]:
        """The columns that are read."""
        return {*self.fields.values(), *self.custom.values()}


def squeeze(header: str) -> str:
    """A header without what people vary: case, spaces, underscores, hyphens."""
    return "".join(char for char in header.casefold() if char.isalnum())


def _by_header(headers: Mapping[Field, tuple[str, ...]]) -> dict[str, Field]:
    return {squeeze(header): field for field, names in headers.items() for header in names}


_PLAIN: Final = _by_header(HEADERS)
_VAGUE: Final = _by_header(VAGUE)
_ALL: Final = _by_header({field: (field.value,) for field in Field}) | _VAGUE | _PLAIN


def match_columns(
    path: Path,
    columns: Sequence[str],
    mapping: Mapping[str, str] | None = None,
    first_rows: Callable[[], Iterable[RawRow]] = tuple,
) -> Columns:
    """Find each field's column. `mapping` names fields by header and wins over what headers look like.

    `first_rows` are looked at only where a column is missing: what others hold says which may be meant.

    Raises SheetError for headers that are blank or there twice, a mapping that fits no header, two columns for one
    field, and a sheet that says no lead or no user; each names the candidates.
    """
    _check_headers(path, columns)
    named = _mapped(path, columns, mapping or {})
    fields = {field: index for index, field in named.items() if isinstance(field, Field)}
    custom = {field: index for index, field in named.items() if field and not isinstance(field, Field)}
    open_columns = [index for index in range(len(columns)) if index not in named]
    plain = _known(columns, open_columns, _PLAIN)
    fields |= _single(path, columns, {field: at for field, at in plain.items() if field not in fields})
    for role in (LEADS, USERS):
        if not any(field in fields for field in role):
            vague = _known(columns, open_columns, _VAGUE)
            fields |= _single(path, columns, {field: at for field, at in vague.items() if field in role})
    custom |= {
        name: index
        for index in open_columns
        if index not in fields.values() and (name := custom_field(columns[index])) and name not in custom
    }
    missing = [role for role in (LEADS, USERS) if not any(field in fields for field in role)]
    found = Columns(fields, custom)
    if missing:
        unread = [index for index in open_columns if index not in found.used]
        raise SheetError(path, _missing(missing, columns, unread, [*first_rows()]))
    return found


def custom_field(text: str) -> str | None:
    """The SchemaName of an activity's custom field, mx_Custom_1 to mx_Custom_99, if `text` is one."""
    match = _CUSTOM.fullmatch(text.strip())
    return f"mx_Custom_{int(match[1])}" if match and int(match[1]) else None


def field_named(text: str) -> Field | str | None:
    """The field or custom field that `text` names; "" for one to be ignored, None for no field at all."""
    if text.strip().casefold() == IGNORE:
        return ""
    return _ALL.get(squeeze(text)) or custom_field(text)


def suggest(text: str, known: Sequence[str]) -> str:
    """` Did you mean …?` for the closest of what is known, or nothing."""
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
        raise SheetError(path, f"column {', '.join(blank)} has no header: name it or remove it")
    counts = Counter(header.casefold() for header in columns if header)
    twice = [f"{name!r} ({letters(index)})" for index, name in enumerate(columns) if counts[name.casefold()] > 1]
    if twice:
        raise SheetError(path, f"a header is there more than once: {', '.join(twice)}. Rename or remove one")


def _mapped(path: Path, columns: Sequence[str], mapping: Mapping[str, str]) -> dict[int, Field | str]:
    """By column, what the mapping says it holds ("": nothing)."""
    found: dict[int, Field | str] = {}
    for header, name in mapping.items():
        field = field_named(name)
        if field is None:
            choices = [*map(str, Field), "mx_Custom_1", IGNORE]
            raise SheetError(path, f"the mapping of {header!r} names no field: {name!r}.{suggest(name, choices)}")
        if field in found.values() and field:
            raise SheetError(path, f"the mapping names two columns for {field}")
        found[_place(path, columns, header)] = field
    return found


def _place(path: Path, columns: Sequence[str], header: str) -> int:
    """Where the column is that is called so: as it is written, else but for signs and spaces."""
    for alike in (str.casefold, squeeze):
        places = [index for index, column in enumerate(columns) if alike(column) == alike(header)]
        if len(places) == 1:
            return places[0]
        if places:
            several = " and ".join(repr(columns[index]) for index in places[:2])
            raise SheetError(path, f"the mapping of {header!r} fits two columns: {several}")
    raise SheetError(path, f"the mapping names a column {header!r} that is not there.{suggest(header, columns)}")


def _known(columns: Sequence[str], places: Sequence[int], names: Mapping[str, Field]) -> dict[Field, list[int]]:
    found: dict[Field, list[int]] = {}
    for index in places:
        field = names.get(squeeze(columns[index]))
        if field is not None:
            found.setdefault(field, []).append(index)
    return found


def _single(path: Path, columns: Sequence[str], found: Mapping[Field, list[int]]) -> dict[Field, int]:
    for field, places in found.items():
        if len(places) > 1:
            several = " and ".join(repr(columns[index]) for index in places)
            problem = f"two columns could be the {field}: {several}. Rename one, or say which with --map"
            raise SheetError(path, problem)
    return {field: places[0] for field, places in found.items()}


def _missing(
    missing: Sequence[Sequence[Field]], columns: Sequence[str], unread: Sequence[int], rows: Sequence[RawRow]
) -> str:
    wanted = " and ".join({LEADS: "the lead", USERS: "the user"}[tuple(role)] for role in missing)
    names = "; ".join(", ".join(map(str, role)) for role in missing)
    cells = {index: _cells(rows, index) for index in unread}
    close = "".join(_close(role, columns, cells) for role in missing)
    there = ", ".join(repr(column) for column in columns)
    return f"no column for {wanted} ({names}).{close} Its headers are: {there}. Rename one, or say which with --map"


def _cells(rows: Sequence[RawRow], index: int) -> list[str]:
    """What stands in a column of these rows."""
    cells = (row.cells[index].strip() for row in rows if index < len(row.cells))
    return [cell for cell in cells if cell]


def _close(role: Sequence[Field], columns: Sequence[str], cells: Mapping[int, Sequence[str]]) -> str:
    """The first column whose header looks like one of the role's and which holds such a thing, if any does."""
    for index, held in cells.items():
        alike = _alike(columns[index], role)
        field = _held(role, alike, held) if alike is not None else None
        if field is not None:
            option = _map_option(columns[index], field)
            return f" Did you mean {columns[index]!r} for {field}? Then add {option}."
    return ""


def _alike(header: str, role: Sequence[Field]) -> Field | None:
    """The field of the role whose headers this one looks most like; None if it looks like none."""
    known = {squeeze(name): field for field in role for name in (*HEADERS.get(field, ()), *VAGUE.get(field, ()))}
    hit = process.extractOne(squeeze(header), known.keys(), scorer=fuzz.ratio)
    return known[hit[0]] if hit is not None and hit[1] >= _CLOSE else None


def _held(role: Sequence[Field], alike: Field, cells: Sequence[str]) -> Field | None:
    """The field that most of the cells can be of; of several, what the header looks like, then the surest."""
    fitting = {field: sum(_fits(cell, field) for cell in cells) for field in (alike, *role)}
    best = max(fitting, key=lambda field: fitting[field])
    return best if not cells or 2 * fitting[best] > len(cells) else None


def _fits(cell: str, field: Field) -> bool:
    for parse in NAMING[field]:
        with suppress(ValueError):
            return bool(parse(cell))
    return False


def _map_option(header: str, field: Field) -> str:
    """The option to type. What is left away of the header makes no other one of it."""
    typed = "".join(char for char in " ".join(header.split()) if char.isprintable() and char not in _UNQUOTED)
    return f'--map "{typed}={field}"'
