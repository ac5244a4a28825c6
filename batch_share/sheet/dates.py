"""What a cell of dates may say, as people and Excel write them: read for certain, or refused. No I/O, no clock.

Whether 03/04/2026 is a day of April or of March no cell can say by itself: the other cells of its column do, or a
person. Each form is matched by its own pattern: `strptime` would take the months of the process's language, digits
of other scripts, and 69 for 1969.
"""

from __future__ import annotations

import datetime as dt
import re
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from batch_share.common import Order
from batch_share.errors import SheetError
from batch_share.sheet.columns import Field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from zoneinfo import ZoneInfo

    from batch_share.sheet.reader import Sheet

DATED: Final = (Field.UNTIL, Field.START)
"""What is a date, or a time."""


@dataclass(frozen=True, slots=True)
class Dates:
    """How the dates of a sheet are read: in which order, by column, and what a person should know of it."""

    orders: Mapping[Field, Order] = field(default_factory=dict)
    notes: Sequence[str] = ()


class _Meant(NamedTuple):
    """A moment that is written; without `has_time` a whole day."""

    moment: dt.datetime
    has_time: bool

    @property
    def iso(self) -> str:
        """The same as nobody misreads it."""
        return self.moment.isoformat(" ") if self.has_time else self.moment.date().isoformat()


class _Open(StrEnum):
    """What of a cell a person should be shown, for its look does not tell it."""

    ORDER = "order"
    SERIAL = "serial"


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
_FORMS: Final = (
    re.compile(rf"(?P<day>[0-9]{{1,2}})(?P<mark>[/.])(?P<month>[0-9]{{1,2}})(?P=mark){_YEAR}"),
    re.compile(r"(?P<year>[0-9]{4})(?P<mark>)-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"),
    # Of two digits each, it could begin with the year.
    re.compile(r"(?P<day>[0-9]{1,2})(?P<mark>-)(?P<month>[0-9]{1,2})-(?P<year>[0-9]{4})"),
    re.compile(rf"(?P<day>[0-9]{{1,2}})(?P<mark>[- ])(?P<month>[A-Za-z]{{3,9}})(?P=mark){_YEAR}"),
    re.compile(r"(?P<month>[A-Za-z]{3,9})(?P<mark> )(?P<day>[0-9]{1,2}),? (?P<year>[0-9]{4})"),
)
_TIMED: Final = re.compile(r"(.*[0-9]),? ([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?(?: ?([AaPp])[Mm])?")
_SERIAL: Final = re.compile(r"[0-9]{5}(?:\.[0-9]{1,15})?")
_SERIALS: Final = range(36_526, 73_051)
"""The days of 2000 to 2099, as Excel counts them."""

_EXCEL: Final = dt.datetime(1899, 12, 30)  # noqa: DTZ001 - a date of no zone yet
_LAST_SHORT_YEAR: Final = 68
_START_OF_DAY: Final = dt.time()
_END_OF_DAY: Final = dt.time(23, 59)
_KEPT: Final = 1 << 12
"""Texts of cells that are known: a column says the same in row after row."""

_NO_DATE: Final = "not a date: write 2026-12-31, or 2026-12-31 18:00"


def parse_until(text: str, zone: ZoneInfo | dt.timezone, order: Order | None = None) -> dt.datetime:
    """When a share ends, in UTC; a date means the end of that day in `zone`. Raises ValueError."""
    return _in_utc(text, zone, order, _END_OF_DAY)


def parse_start(text: str, zone: ZoneInfo | dt.timezone, order: Order | None = None) -> dt.datetime:
    """When a share may begin, in UTC; a date means the beginning of that day in `zone`. Raises ValueError."""
    return _in_utc(text, zone, order, _START_OF_DAY)


def iso_date(text: str, order: Order | None) -> str:
    """The same date or time as 2026-12-31, or 2026-12-31 18:00:00. Raises ValueError."""
    return _meant(text, order).iso


@lru_cache(_KEPT)
def _in_utc(text: str, zone: ZoneInfo | dt.timezone, order: Order | None, of_a_day: dt.time) -> dt.datetime:
    moment, has_time = _meant(text, order)
    if not has_time:
        moment = dt.datetime.combine(moment, of_a_day, zone)
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(dt.UTC)
    except OverflowError:
        raise ValueError(_NO_DATE) from None


def _meant(text: str, order: Order | None) -> _Meant:
    """What a text means in this order; None: in any. Raises ValueError."""
    found = _readings(text)
    if not found:
        raise ValueError(_NO_DATE)
    if order is None and len({*found.values()}) > 1:
        which = " or ".join(_spelled(found[each].moment.date()) for each in Order)
        instead = " or ".join(found[each].iso for each in Order)
        raise ValueError(f"{which}? Write {instead}, or say --dates dmy or mdy")
    if order is not None and order not in found:
        (meant,) = found.values()
        raise ValueError(f"not a date with {order.words} (--dates {order}): write {meant.iso}")
    return found[order] if order is not None else next(iter(found.values()))


@lru_cache(_KEPT)
def _readings(text: str) -> dict[Order, _Meant]:
    """What a text means with the day first and with the month first, where that is a date."""
    try:
        moment = dt.datetime.fromisoformat(text)
        return dict.fromkeys(Order, _Meant(moment, not _ISO_DATE.fullmatch(text)))
    except ValueError:
        written = " ".join(text.split())
    if _SERIAL.fullmatch(written):
        if int(float(written)) not in _SERIALS:
            return {}
        moment = _EXCEL + dt.timedelta(seconds=round(float(written) * 86_400))
        return dict.fromkeys(Order, _Meant(moment, float(written) % 1 != 0))
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
        order: _Meant(dt.datetime.combine(day, time or _START_OF_DAY), time is not None)
        for order, day in _days(written).items()
    }


@lru_cache(_KEPT)  # also where no two times are alike, days are
def _days(written: str) -> dict[Order, dt.date]:
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
    return found


def _spelled(day: dt.date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


# ------------------------------------------------------------------------------------------------ whole columns


@lru_cache(_KEPT)
def _tells(text: str) -> Order | _Open | None:
    """The order that a cell can be of alone, or what a person should be shown of it."""
    found = _readings(text)
    if len(found) == 1:
        return next(iter(found))
    if len({*found.values()}) > 1:
        return _Open.ORDER
    return _Open.SERIAL if found and _SERIAL.fullmatch(text) else None


def read_dates(sheet: Sheet, said: Order | None, before: Mapping[str, Order]) -> Dates:
    """In which order each column of dates is written: as somebody `said`, else as its own cells tell.

    Where these leave it open, it is as that column was read `before`. Raises SheetError for a column that tells
    both orders, or none where it matters.
    """
    places = {each: sheet.found.fields[each] for each in DATED if each in sheet.found.fields}
    seen: dict[Field, dict[Order | _Open, tuple[int, str]]] = {each: {} for each in places}
    for row in sheet.rows():
        if row.problem is None:  # else a cell may be of another column
            for each, index in places.items():
                text = row.cells[index].strip()
                # Most begin with the year, and there is nothing to tell.
                if not (text[4:5] == "-" and text[:4].isdigit()) and (told := _tells(text)) is not None:
                    seen[each].setdefault(told, (row.number, text))
    orders, notes = dict[Field, Order](), list[str]()
    for each, firsts in seen.items():
        header = sheet.columns[places[each]]
        order = said or _order_of(sheet, header, firsts, before.get(each))
        if order is not None:
            orders[each] = order
        for _, text in (firsts[of] for of in _Open if of in firsts):
            moment, has_time = _meant(text, order)
            time = f" {moment:%H:%M}" if has_time else ""
            where = f"{header}: " if len(places) > 1 else ""
            notes.append(f'{where}"{text}" is {_spelled(moment.date())}{time}')
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
        day, month = (_spelled(meant.moment.date()) for meant in _readings(text).values())
        problem = f'{column} leaves open whether "{text}" (row {number}) is {day} or {month}'
    raise SheetError(
        sheet.path,
        f"{problem}: say which is meant with --dates dmy or --dates mdy",
        problem=f"{problem[0].upper()}{problem[1:]}.",
        hint="Say whether the day or the month comes first.",
    )
