"""What a cell may say, field by field: from text to a canonical value, or why not. No I/O, no clock.

Whether 03/04/2026 is a day of April or of March no cell can say by itself: the other cells of its column do, or a
person. Each form of a date is matched by its own pattern: `strptime` would take the months of the process's
language, digits of other scripts, and 69 for 1969.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from contextlib import suppress
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from batch_share.common import Action, Cause, Order, Wrong, ascii_lower, parse_duration

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

NOTE_LIMIT: Final = 1755
"""Characters of a note: with marker and end fewer than the 1,800 that every account seen so far keeps whole."""

CUSTOM_LIMIT: Final = 200
"""Characters of a custom text field of an activity, as documented."""

_EVENT_LIMIT: Final = 200
"""Characters of an activity type's name: more than any that was seen, and less than a text in the wrong column."""

WORDS: Final = ("read", "write", "share", "revoke", "reassign", "minutes", "hours", "days", "weeks")
"""What a word of another language may mean, by the names that are shown."""

_ACCESS: Final = {"read": 1, "1": 1, "view": 1, "write": 2, "2": 2, "edit": 2}
# Stricter than UUID(), which takes underscores, a sign or a 0x for digits.
_GUID: Final = re.compile(r"\{?[0-9a-f]{8}(-?)([0-9a-f]{4}\1){3}[0-9a-f]{12}\}?", re.IGNORECASE)
# As they nearly always are: matched three times as fast.
_PLAIN_GUID: Final = re.compile("-".join(f"[0-9a-fA-F]{{{digits}}}" for digits in (8, 4, 4, 4, 12)))
_NO_GUID: Final = "00000000-0000-0000-0000-000000000000"
_HEX_AS_ZERO: Final = bytes.maketrans(b"0123456789abcdefABCDEF", b"0" * 22)
_MOST_DIGITS: Final = 20
"""Of a lead number: more than any integer of 64 bits has."""

_DECIMAL: Final = re.compile(r"([0-9]{4,15})\.00?")
"""A whole number as programs write it that take it for another one; of more digits it would have lost some."""

_EMAIL: Final = re.compile(r"[^\s@,:;<>\"]+@[^\s@,:;<>\".]+(\.[^\s@,:;<>\".]+)+")
_IN_BRACKETS: Final = re.compile(r"[^<>@]*<([^<>]*)>")
"""An address as mail programs write it, behind a name."""

_EMAILS: Final = re.compile(f"(?:{_EMAIL.pattern}\n)*+{_EMAIL.pattern}")
"""Many, each in a line."""

_LONGEST_EMAIL: Final = 254
"""Characters: the longest that mail can be sent to (RFC 5321)."""

_PHONE: Final = re.compile(r"\+?[0-9 ().\-/]{5,30}")
_DATE: Final = re.compile(r"[0-9]{1,4}([-/.])[0-9]{1,2}\1[0-9]{1,4}(?:[ T].*)?")
"""As dates look that could be taken for phone numbers."""

_MARKUP: Final = re.compile(r"<[A-Za-z/!?]")
_MARKER: Final = re.compile(r"\s*\[?bs-[a-z2-7]{16}", re.IGNORECASE)
_LONG_NUMBER: Final = re.compile(r"[0-9]\.[0-9]+E\+[0-9]+")
# With three decimals it could be thousands, as 1.500 is in Germany; 0.125 could not.
_DAYS: Final = re.compile(r"([0-9]{1,5}(?:\.[0-9]{1,2})?|0\.[0-9]{3})(?:\s*d(?:ays?)?)?", re.IGNORECASE)
_BARE: Final = re.compile(r"[0-9.]*")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | frozenset(
    map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
"""What shows nothing though Unicode counts it among letters, marks and signs: fillers and selectors."""


def check_seen(text: str) -> None:
    """Raises ValueError for a character that nobody sees, by name and place: two such texts look the same."""
    if text.isascii() and text.isprintable():  # as nearly all are
        return
    for at, char in enumerate(text):
        if char != " " and (char in _INVISIBLE or unicodedata.category(char) in _UNSEEN):
            name = unicodedata.name(char, "a control character").lower()
            place = f"after {text[max(0, at - 20) : at]!r}" if at else "at its beginning"
            raise ValueError(f"holds an unseen character (U+{ord(char):04X}, {name}) {place}: type it anew")


class Kind(StrEnum):
    """What a cell looks like, whatever its header says; the value is for people, of many."""

    EMAIL = "e-mail addresses"
    ID = "Ids"
    NUMBER = "numbers"
    PHONE = "phone numbers"
    DATE = "dates"
    LENGTH = "lengths of time"
    ACCESS = "kinds of access (read, write)"


SOMEBODY: Final = frozenset({Kind.EMAIL, Kind.ID})
"""What names a user; a name does not say which one."""


@lru_cache(1 << 12)
def kind_of(cell: str) -> Kind | None:
    """What a cell looks like; None for a name, a text, or anything else."""
    named = _IN_BRACKETS.fullmatch(cell)
    if _EMAIL.fullmatch(named[1] if named else cell):
        return Kind.EMAIL
    if _GUID.fullmatch(cell):
        return Kind.ID
    if (cell.isascii() and cell.isdigit()) or _DECIMAL.fullmatch(cell):
        return Kind.NUMBER
    if ascii_lower(cell) in _ACCESS:
        return Kind.ACCESS
    if _DATE.fullmatch(cell):
        return Kind.DATE
    if _PHONE.fullmatch(cell) and len(digits(cell)) >= 6:
        return Kind.PHONE
    with suppress(ValueError):
        return Kind.LENGTH if parse_duration(cell) else None
    return None


def is_word(text: str) -> bool:
    """Whether it means something as an access, an action, a length of time or a unit of such."""
    for parse in (parse_access, parse_action, parse_duration, lambda unit: parse_duration(f"1 {unit}")):
        with suppress(ValueError):
            return bool(text.strip() and parse(text.strip()))
    return False


def parse_action(text: str) -> Action:
    """What is to be done. Raises ValueError."""
    try:
        return Action(ascii_lower(text))
    except ValueError:
        raise ValueError(
            "not an action: write share, revoke (takes a share back) or reassign (takes the others' back, then "
            "shares); if the whole column is about something else, map it to ignore"
        ) from None


def parse_guid(text: str) -> str:
    """A GUID in LeadSquared's spelling: lower case, with dashes. Raises ValueError."""
    if _PLAIN_GUID.fullmatch(text):
        guid = text.lower()
    else:
        check_seen(text)
        if not _GUID.fullmatch(text):
            raise ValueError("not a GUID such as 0f8fad5b-d9cb-469f-a165-70867728950e")
        guid = str(UUID(text))
    if guid == _NO_GUID:
        raise ValueError("an empty GUID names nobody")
    return guid


def parse_lead_number(text: str) -> str:
    """A lead number: digits. Raises ValueError."""
    check_seen(text)
    if _LONG_NUMBER.fullmatch(text):
        raise ValueError("too long for a number in Excel, its last digits are lost: keep the column as text")
    if decimal := _DECIMAL.fullmatch(text):
        return decimal[1]
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise ValueError("not a lead number: digits only")
    return text


def plain_guids(texts: Sequence[str]) -> list[str] | None:
    """A column of GUIDs as `parse_guid` reads each, all at once; None if not all are written as they mostly are.

    Its digits are made zeros and the whole is compared, which takes a fifth of the time of one after the other.
    """
    lines = "\n".join(texts)
    plain = "\n".join([_NO_GUID] * len(texts)).encode()
    if not texts or not lines.isascii() or lines.encode().translate(_HEX_AS_ZERO) != plain:
        return None
    guids = lines.lower().split("\n")
    return None if _NO_GUID in guids else guids


def plain_numbers(texts: Sequence[str]) -> list[str] | None:
    """A column of lead numbers as `parse_lead_number` reads each, all at once; None if one of them is none."""
    line = "".join(texts)
    is_plain = line.isascii() and line.isdigit() and all(texts) and max(map(len, texts)) <= _MOST_DIGITS
    return [*texts] if is_plain else None


def plain_emails(texts: Sequence[str]) -> list[str] | None:
    """A column of e-mail addresses as `parse_email` reads each, all at once; None if one of them is none."""
    lines = "\n".join(texts)
    if not (lines.isascii() and "".join(texts).isprintable() and _EMAILS.fullmatch(lines)):
        return None
    return lines.lower().split("\n") if max(map(len, texts)) <= _LONGEST_EMAIL else None


def parse_email(text: str) -> str:
    """One e-mail address as it is written, but for A to Z in lower case. Raises ValueError."""
    check_seen(text)
    named = _IN_BRACKETS.fullmatch(text)
    lower = ascii_lower(named[1] if named else text)
    if lower.startswith("mailto:"):
        raise ValueError("begins with “mailto:”, which is no part of an address: remove it")
    if not _EMAIL.fullmatch(lower) or len(lower) > _LONGEST_EMAIL:
        raise ValueError("not an e-mail address such as asha@example.com")
    return lower


def parse_phone(text: str) -> str:
    """A phone number as written, with at least six digits. Raises ValueError."""
    check_seen(text)
    if _LONG_NUMBER.fullmatch(text):
        raise ValueError("too long for a number in Excel, its last digits are lost: keep the column as text")
    if not _PHONE.fullmatch(text) or len(digits(text)) < 6:
        raise ValueError("not a phone number such as +91-9812345678")
    return text


def digits(text: str) -> str:
    """A phone number's digits alone."""
    return "".join(char for char in text if "0" <= char <= "9")


def parse_access(text: str) -> int:
    """An AccessType, 1 (read) or 2 (write): https://apidocs.leadsquared.com/share-a-lead/. Raises ValueError."""
    try:
        return _ACCESS[ascii_lower(text)]
    except KeyError:
        raise ValueError("not an access: write read, write, 1 or 2, or map the word (lesen=read)") from None


def parse_event(text: str) -> int | str:
    """The code of an activity type, or its name. Raises ValueError."""
    if re.fullmatch(r"[0-9]{1,9}", text) and int(text):
        return int(text)
    name = " ".join(text.split())
    check_seen(name)
    if len(name) > _EVENT_LIMIT or not any(map(str.isalpha, name)):
        raise Wrong("not the code of an activity type, such as 201, nor its name", Cause.NO_TYPE)
    return name


def parse_note(text: str) -> str:
    """A note that LeadSquared keeps whole. Raises ValueError."""
    return _kept_whole(text, NOTE_LIMIT)


def parse_custom(text: str) -> str:
    """The value of an activity's custom field. Raises ValueError."""
    return _kept_whole(text, CUSTOM_LIMIT)


def _kept_whole(text: str, limit: int) -> str:
    if len(text) > limit:
        raise Wrong(f"{len(text)} characters; LeadSquared keeps {limit}", Cause.TOO_LONG)
    if _MARKUP.search(text):
        raise Wrong("looks like markup (<…), which LeadSquared refuses", Cause.MARKUP)
    if _MARKER.match(text):
        raise ValueError("begins with a marker of batch_share ([bs-…]), by which it would be taken for another row")
    return text


def parse_days(text: str) -> int:
    """A number of days, or a length with its unit, in minutes. Raises ValueError."""
    match = _DAYS.fullmatch(text)
    if match is not None or not _BARE.fullmatch(text):
        with suppress(ValueError):  # which speaks of minutes: whoever wrote them here would share for years
            return parse_duration(text if match is None else str(int(Decimal(match[1]) * 1440)))
    raise ValueError("not a number of days up to ten years: write one such as 7, or 2w")


# ---------------------------------------------------------------------------------------------------- dates


class Meant(NamedTuple):
    """A moment that is written; without `has_time` a whole day."""

    moment: dt.datetime
    has_time: bool

    @property
    def iso(self) -> str:
        """The same as nobody misreads it."""
        return self.moment.isoformat(" ") if self.has_time else self.moment.date().isoformat()


_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_MONTH_OF: Final = {
    name: number
    for number, month in enumerate(_MONTHS, start=1)
    for name in (month.lower(), month[:3].lower(), *(["sept"] if number == 9 else []))
}
_ISO_DATE: Final = re.compile(r"[0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-?W[0-9]{2}(-?[0-9])?")
_YEAR: Final = r"(?P<year>[0-9]{4}|[0-9]{2})"
_TH: Final = "(?:st|nd|rd|th)?"
_FORMS: Final = (
    re.compile(rf"(?P<day>[0-9]{{1,2}})(?P<mark>[/.])(?P<month>[0-9]{{1,2}})(?P=mark){_YEAR}"),
    re.compile(r"(?P<year>[0-9]{4})(?P<mark>)-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"),
    re.compile(r"(?P<year>[0-9]{4})(?P<mark>)/(?P<month>[0-9]{1,2})/(?P<day>[0-9]{1,2})"),
    # Of two digits each, it could begin with the year.
    re.compile(r"(?P<day>[0-9]{1,2})(?P<mark>-)(?P<month>[0-9]{1,2})-(?P<year>[0-9]{4})"),
    re.compile(rf"(?P<day>[0-9]{{1,2}}){_TH}(?P<mark>[- ])(?P<month>[A-Za-z]{{3,9}})(?P=mark){_YEAR}"),
    re.compile(rf"(?P<month>[A-Za-z]{{3,9}})(?P<mark> )(?P<day>[0-9]{{1,2}}){_TH},? (?P<year>[0-9]{{4}})"),
)
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEKDAY: Final = re.compile(f"({'|'.join(f'{each}|{each[:3]}' for each in _WEEKDAYS)}),? ", re.IGNORECASE)
_TIMED: Final = re.compile(r"(.*[0-9]),? ([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?(?: ?([AaPp])[Mm])?")
SERIAL_DATE: Final = re.compile(r"[0-9]{5}(?:\.[0-9]{1,15})?")
_SERIALS: Final = range(36_526, 73_051)
"""The days of 2000 to 2099, as Excel counts them."""

_EXCEL: Final = dt.datetime(1899, 12, 30)  # noqa: DTZ001 - a date of no zone yet
_LAST_SHORT_YEAR: Final = 68  # as `strptime` has it; what follows is of the last century, and ends no share
_START_OF_DAY: Final = dt.time()
_END_OF_DAY: Final = dt.time(23, 59)
KEPT: Final = 1 << 12
"""Texts of cells that are known: a column says the same in row after row, or a few thousand dates."""

_NO_DATE: Final = "not a date: write 2026-12-31, or 2026-12-31 18:00"


@lru_cache(KEPT)
def parse_moment(
    text: str, zone: ZoneInfo | dt.timezone, order: Order | None = None, *, is_end: bool
) -> dt.datetime:
    """A moment in UTC; a date means the beginning of that day in `zone`, or its end. Raises ValueError."""
    moment, has_time = date_meant(text, order)
    if not has_time:
        moment = dt.datetime.combine(moment, _END_OF_DAY if is_end else _START_OF_DAY, zone)
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(dt.UTC)
    except OverflowError:
        raise ValueError(_NO_DATE) from None


def date_meant(text: str, order: Order | None) -> Meant:
    """What a text means in this order; None: in any. Raises ValueError."""
    found = date_readings(text)
    if not found:
        raise ValueError(_NO_DATE)
    if order is None and len({*found.values()}) > 1:
        which = " or ".join(spelled_day(found[each].moment.date()) for each in Order)
        instead = " or ".join(found[each].iso for each in Order)
        raise ValueError(f"{which}? Write {instead}, or say --dates dmy or mdy")
    if order is not None and order not in found:
        (meant,) = found.values()
        raise ValueError(f"not a date with {order.words} (--dates {order}): write {meant.iso}")
    return found[order] if order is not None else next(iter(found.values()))


@lru_cache(KEPT)
def date_readings(text: str) -> dict[Order, Meant]:
    """What a text means with the day first and with the month first, where that is a date."""
    try:
        moment = dt.datetime.fromisoformat(text)
        return dict.fromkeys(Order, Meant(moment, not _ISO_DATE.fullmatch(text)))
    except ValueError:
        written = " ".join(text.split())
    if SERIAL_DATE.fullmatch(written):
        if int(float(written)) not in _SERIALS:
            return {}
        moment = _EXCEL + dt.timedelta(seconds=round(float(written) * 86_400))
        return dict.fromkeys(Order, Meant(moment, float(written) % 1 != 0))
    time = None
    if timed := _TIMED.fullmatch(written):
        written, hour, minute, second, half = timed.groups()
        if half and not 1 <= int(hour) <= 12:
            return {}
        hours = int(hour) % 12 + 12 * (half in "Pp") if half else int(hour)
        if hours > 23 or int(minute) > 59 or int(second or 0) > 59:
            return {}
        time = dt.time(hours, int(minute), int(second or 0))
    return {
        order: Meant(dt.datetime.combine(day, time or _START_OF_DAY), time is not None)
        for order, day in _dates(written).items()
    }


@lru_cache(KEPT)  # also where no two times are alike, days are
def _dates(written: str) -> dict[Order, dt.date]:
    weekday = _WEEKDAY.match(written)
    written = written[weekday.end() :] if weekday else written
    match = next(filter(None, (form.fullmatch(written) for form in _FORMS)), None)
    if match is None:
        return {}
    day, month, year = match["day"], match["month"], int(match["year"])
    if len(match["year"]) == 2:
        year = 2000 + year if year <= _LAST_SHORT_YEAR else 0
    # Nobody writes dots who begins with the month.
    swaps = match["mark"] in {"/", "-"} and not month.isalpha()
    if month.isalpha():
        month = str(_MONTH_OF.get(month.lower(), 0))
    found = {}
    for order in Order:
        first, second = (month, day) if swaps and order is Order.MDY else (day, month)
        with suppress(ValueError):  # no such day
            found[order] = dt.date(year, int(second), int(first))
    if weekday:  # of another day, it is a slip in one of the two
        found = {
            order: day for order, day in found.items() if _WEEKDAYS[day.weekday()].startswith(weekday[1].lower())
        }
    return found


def spelled_day(day: dt.date) -> str:
    """A day as nobody misreads it: 3 April 2026."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
