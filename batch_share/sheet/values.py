"""What a cell may say, field by field: from text to a canonical value, or why not. No I/O, no clock."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final
from uuid import UUID

from batch_share.common import Action, Cause, Wrong, ascii_lower, parse_duration

NOTE_LIMIT: Final = 1755
"""Characters of a note: with marker and end fewer than the 1,800 that every account seen so far keeps whole."""

CUSTOM_LIMIT: Final = 200
"""Characters of a custom text field of an activity."""

_EVENT_LIMIT: Final = 200
"""Characters of an activity type's name."""

WORDS: Final = ("read", "write", "share", "revoke", "reassign", "minutes", "hours", "days", "weeks")
"""What a word of another language may mean, by the names that are shown."""

_ACCESS: Final = {"read": 1, "1": 1, "view": 1, "write": 2, "2": 2, "edit": 2}
# Stricter than UUID(), which takes underscores, a sign or a 0x for digits.
_GUID: Final = re.compile(r"\{?[0-9a-f]{8}(-?)([0-9a-f]{4}\1){3}[0-9a-f]{12}\}?", re.IGNORECASE)
_EMAIL: Final = re.compile(r"[^\s@,:;<>\"]+@[^\s@,:;<>\".]+(\.[^\s@,:;<>\".]+)+")
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


@lru_cache(1 << 12)
def kind_of(cell: str) -> Kind | None:
    """What a cell looks like; None for a name, a text, or anything else."""
    if _EMAIL.fullmatch(cell):
        return Kind.EMAIL
    if _GUID.fullmatch(cell):
        return Kind.ID
    if cell.isascii() and cell.isdigit():
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
    check_seen(text)
    if not _GUID.fullmatch(text):
        raise ValueError("not a GUID such as 0f8fad5b-d9cb-469f-a165-70867728950e")
    guid = UUID(text)
    if guid.int == 0:
        raise ValueError("an empty GUID names nobody")
    return str(guid)


def parse_lead_number(text: str) -> str:
    """A lead number: digits. Raises ValueError."""
    check_seen(text)
    if _LONG_NUMBER.fullmatch(text):
        raise ValueError("too long for a number in Excel, its last digits are lost: keep the column as text")
    if not re.fullmatch(r"[0-9]{1,20}", text):
        raise ValueError("not a lead number: digits only")
    return text


def parse_email(text: str) -> str:
    """One e-mail address as it is written, but for A to Z in lower case. Raises ValueError."""
    check_seen(text)
    lower = ascii_lower(text)
    if lower.startswith("mailto:"):
        raise ValueError("begins with “mailto:”, which is no part of an address: remove it")
    if not _EMAIL.fullmatch(lower) or len(lower) > 254:
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
    return _unmarked(_plain(text, NOTE_LIMIT))


def parse_custom(text: str) -> str:
    """The value of an activity's custom field. Raises ValueError."""
    return _unmarked(_plain(text, CUSTOM_LIMIT))


def _unmarked(text: str) -> str:
    """Not what another row would be found by."""
    if _MARKER.match(text):
        raise ValueError("begins with a marker of batch_share ([bs-…]), by which it would be taken for another row")
    return text


def _plain(text: str, limit: int) -> str:
    if len(text) > limit:
        raise Wrong(f"{len(text)} characters; LeadSquared keeps {limit}", Cause.TOO_LONG)
    if _MARKUP.search(text):
        raise Wrong("looks like markup (<…), which LeadSquared refuses", Cause.MARKUP)
    return text


def parse_days(text: str) -> int:
    """A number of days, or a length with its unit, in minutes. Raises ValueError."""
    match = _DAYS.fullmatch(text)
    if match is not None:
        return parse_duration(str(int(Decimal(match[1]) * 1440)))
    if _BARE.fullmatch(text):
        raise ValueError("not a number of days, such as 7")
    return parse_duration(text)
