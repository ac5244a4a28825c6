"""What every room uses and none owns: the version, what a row asks for and why it is where it is, small values.

Nothing here knows of sheets, ledgers or LeadSquared, and nothing does I/O. Ledgers hold the values of `Cause`: one
that is there keeps its meaning, and what is said of it to people is made in results.wording alone.
"""

from __future__ import annotations

import re
import string
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import tzinfo

T = TypeVar("T")


class Cause(StrEnum):
    """Why a row is where it is; with its state, its step and some details, all that its sentence is made of."""

    OLD_WORDS = "told"
    """An older ledger said it in words of its own."""

    # of the sheet: what only the sheet itself can fix comes first, for of several the first that is here counts
    SHIFTED = "shifted"
    NEVER_STORED = "never_stored"
    ERROR_VALUE = "error_value"
    AMBIGUOUS = "ambiguous"
    NO_USER = "no_user"
    NO_LEAD = "no_lead"
    NO_TYPE = "no_type"
    OVER = "over"
    TOO_FAR = "too_far"
    """A date that is too many years away."""

    MARKUP = "markup"
    TOO_LONG = "too_long"
    INVALID = "invalid"
    NOT_TOLD = "not_told"
    """LeadSquared was asked whom it names, and did not tell."""

    CONTRADICTED = "contradicted"
    UNCHECKED = "unchecked"

    # need not be sent
    LEFT_OUT = "left_out"
    REPEAT = "repeat"
    ALREADY_SHARED = "already_shared"
    HELD = "held"
    """Another job has the same lead and user under way."""

    GONE = "gone"
    """The sheet no longer has the row; its state says how far it had come."""

    # shares that were made before, and are revoked for the row
    REVOKING_EARLIER = "being_taken"
    EARLIER_REVOKED = "taken_back"
    EARLIER_NOT_REVOKED = "not_taken"
    NOTHING_KNOWN = "nothing_known"

    # what LeadSquared answered
    REFUSED = "refused"
    NOT_PROCESSED = "not_processed"
    WAITING = "waiting"
    STATUS_UNREAD = "status_unread"
    STATUS_REFUSED = "status_refused"
    REVOKED = "revoked"

    # not sent after all, or never to be shared
    TOO_LATE = "too_late"
    NO_ADDRESS = "no_address"
    ANOTHERS = "anothers"

    # of a call that may have been done
    LOST = "lost"
    CUT_OFF = "cut_off"
    RECOVERED = "recovered"
    """Its ledger is older than the job, or was lost: nobody knows yet what was sent for the row."""

    PERHAPS_REVOKED = "perhaps_revoked"
    """Another copy of its ledger, which is not there any more, has revoked shares: this may be one of them."""

    REPEATED = "repeated"
    UNREAD = "unread"
    UNSHOWN = "unshown"
    PARKED = "parked"
    SENT_AGAIN = "sent_again"

    # what a person must know of a row whatever becomes of it, its notice
    DOUBLE = "double"
    """Its activity was found twice: one of them is to be deleted."""

    SENT_BEFORE = "sent_before"
    """Its share was sent before the sheet asked for another length."""

    REVOKED_FIRST = "taken_before"
    NOBODY_ELSE = "nobody_else"
    """What others had of its lead was revoked first, or nobody had any: without one it may not be reassigned."""

    # what could not be checked, so that a run went on without: that Ids are right, whose an activity is
    IDS_NOT_CHECKED = "ids"
    OWNER_NOT_CHECKED = "owner"


IN_THE_SHEET = frozenset({Cause.SHIFTED, Cause.NEVER_STORED, Cause.ERROR_VALUE})
"""What can be fixed in the sheet itself alone: no sheet of failed rows can hold such a row as it is."""


class Wrong(ValueError):
    """What is wrong with a value, in words, and of which kind it is."""

    def __init__(self, words: str, cause: Cause) -> None:
        super().__init__(words)
        self.cause = cause


__version__: Final = "0.1.0"

ROWS_NAMED: Final = 3
"""Of rows that have something in common, the first ones, by whose numbers people find them: more make no line
that is read."""

_RATE = re.compile(r"\s*([0-9]{1,6})\s*/\s*([0-9]{0,6}(?:\.[0-9]{1,3})?)\s*(ms|s|m)\s*", re.IGNORECASE)
_TIME = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*(ms|s|m|h)?\s*", re.IGNORECASE)
# What a program writes for a whole number, 7.0, and no 10.080: that is ten here, and ten thousand there.
_DURATION = re.compile(
    r"\s*([0-9]{1,9})(?:\.00?)?\s*(m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)?\s*", re.IGNORECASE
)

_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_MINUTES = {"m": 1, "h": 60, "d": 1440}

# Nobody documents a maximum; ten years is beyond any honest use and guards against a date typed as minutes.
MAX_DURATION_MINUTES = 10 * 366 * 1440


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `limit` calls in any `period` seconds."""

    limit: int
    period: float

    def __post_init__(self) -> None:
        if self.limit < 1 or self.period <= 0:
            raise ValueError("a rate needs at least one call and a period longer than nothing")

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read `25/5s`, `10/500ms` or `1/s`; ValueError says what a rate looks like."""
        match = _RATE.fullmatch(text)
        if match is None or (match[2] and float(match[2]) == 0) or int(match[1]) == 0:
            raise ValueError(f"{text!r} is no rate: write calls/period, such as 25/5s")
        return cls(int(match[1]), float(match[2] or 1) * _SECONDS[match[3].lower()])

    @property
    def per_second(self) -> float:
        """Calls per second in the long run."""
        return self.limit / self.period

    def __str__(self) -> str:
        return f"{self.limit}/{self.period:g}s"


def ascii_lower(text: str) -> str:
    """`text` with A to Z in lower case and all else as it is: `casefold` makes weiss@ of weiß@, another person."""
    return text.lower() if text.isascii() else text.translate(_ASCII_LOWER)


def plural(count: int, noun: str, nouns: str = "") -> str:
    """`1 row`, `2 rows`, `1,000 rows`; `nouns` where an s won't do."""
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"


def spell_rows(first: Sequence[int], rows: int) -> str:
    """Which of so many rows they are, by the numbers of the first: `row 25`, `rows 25, 39, 54 and 12 more`."""
    named = [str(number) for number in first[:ROWS_NAMED]]
    if more := rows - len(named):
        named.append(f"{more:,} more")
    *others, last = named
    return f"rows {', '.join(others)} and {last}" if others else f"row {last}"


def parse_seconds(text: str) -> float:
    """Read a wait: `150ms`, `3s`, `10m`, `1h`, or a bare number of seconds. Raises ValueError."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no length of time: write 150ms, 30s, 10m or 1h")
    return float(match[1]) * _SECONDS[(match[2] or "s").lower()]


def seconds_text(seconds: float) -> str:
    """A wait as `parse_seconds` reads it, in the largest unit of which it is a whole number: `10m`, `90s`."""
    for unit, size in reversed(_SECONDS.items()):
        if seconds and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds * 1000:.12g}ms" if seconds else "0s"


def minutes_text(minutes: int) -> str:
    """A duration as `parse_duration` reads it, in the largest unit of which it is a whole number: `7d`, `36h`."""
    unit, size = next((unit, size) for unit, size in reversed(_MINUTES.items()) if minutes % size == 0)
    return f"{minutes // size}{unit}"


def parse_duration(text: str) -> int:
    """Read how long a share lasts, in minutes: `90`, `30m`, `12h`, `7d` or `2 weeks`. Raises ValueError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no duration: write minutes, or 30m, 12h, 7d, 2w")
    minutes = int(match[1]) * (_MINUTES | {"w": 7 * _MINUTES["d"]})[(match[2] or "m")[0].lower()]
    if not 1 <= minutes <= MAX_DURATION_MINUTES:
        raise ValueError(f"{text!r} is not between 1 minute and ten years")
    return minutes


def spell_minutes(minutes: int) -> str:
    """A duration as people say it: `7 days`, `12 hours`, `90 minutes`."""
    for size, name in ((1440, "day"), (60, "hour")):
        if minutes % size == 0:
            return f"{minutes // size} {name}{'' if minutes == size else 's'}"
    return f"{minutes} minute{'' if minutes == 1 else 's'}"


def spell_length(minutes: int | None, until: datetime | None, zone: tzinfo | None = None) -> str:
    """How long a share lasts: its `minutes`, or to its end `until` (UTC, without a zone), told as of `zone`."""
    return spell_minutes(minutes or 0) if until is None else f"until {spell_time(until, zone)}"


def spell_time(time: datetime, zone: tzinfo | None = None) -> str:
    """A time (UTC, without a zone) as of `zone`, without it as of this machine's."""
    there = time.replace(tzinfo=UTC).astimezone(zone)
    return f"{there:%Y-%m-%d %H:%M} {zone or there.tzname()}"


class Order(StrEnum):
    """What comes first in a date of three numbers; the name is what --dates takes."""

    DMY = "dmy"
    MDY = "mdy"

    @property
    def words(self) -> str:
        """As a sentence has it."""
        return "the day first" if self is Order.DMY else "the month first"


class Action(StrEnum):
    """Share the lead with the user, revoke that share, or do both: revoke the others', then share."""

    SHARE = "share"
    REVOKE = "revoke"
    REASSIGN = "reassign"

    @property
    def shares(self) -> bool:
        """Whether its user gets access."""
        return self is not Action.REVOKE

    @property
    def revokes(self) -> bool:
        """Whether somebody loses access."""
        return self is not Action.SHARE


ON_PAGE: Final = "page"
"""The source of what is corrected on the page: no sheet of failed rows is called so."""


class Correction(NamedTuple):
    """A cell that a person corrects outside of its sheet: in this `row` and `column`, from `before` to `after`.

    Its `source` is the name of the sheet of failed rows that has it, or `page`.
    """

    row: int
    column: str
    before: str
    after: str
    source: str = ON_PAGE


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """So many at a time, the last ones as they are."""
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


async def wait_for_event(event: asyncio.Event, at_most: float | None = None) -> None:
    """Wait until `event` is set, or `at_most` seconds are over."""
    import asyncio  # noqa: PLC0415 - what only prints help needs none of it

    # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the event.
    with suppress(TimeoutError):
        async with asyncio.timeout(at_most):
            await event.wait()


def loop_time() -> float:
    """Seconds by the clock of the running event loop."""
    import asyncio  # noqa: PLC0415 - as above

    return asyncio.get_running_loop().time()


def utc_now() -> datetime:
    """The time as ledgers note it: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", None)
boot_time: Callable[[], float] = time.monotonic if _BOOT is None else partial(time.clock_gettime, _BOOT)
"""Seconds by a clock that goes on while the machine sleeps, as a server's does."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who uses the account, so that a job waits: a `process` of this machine; None: this one, or not known.

    Where a store says whose turn it is, a process of that `host`, the `command` that it does, and `since` when
    (UTC, with a zone).
    """

    process: int | None = None
    host: str = ""
    command: str = ""
    since: datetime | None = None
