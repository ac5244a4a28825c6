"""What a run is about to do, in a sentence that whoever is responsible can read, and the question after it."""

from __future__ import annotations

from datetime import UTC, timedelta
from math import ceil
from typing import TYPE_CHECKING, Final

from batch_share.common import plural, spell_minutes
from batch_share.sending.guards import spell_revokes
from batch_share.sheet.columns import LEADS, USERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from batch_share.ledger.records import ToShare
    from batch_share.sending.onlookers import Preview

HOUR: Final = 60
"""Minutes below which a length is told in words: it is often a slip, such as 7 for 7d."""

DAY: Final = 1440
"""Minutes below which a date alone says too little."""

LONGEST_NAME: Final = 40
"""Characters of a header that are shown."""


def spell_intent(preview: Preview, now: datetime) -> str:
    """What is about to be taken back and sent, at `now` (UTC, without a zone); "" if neither is known."""
    given, columns = preview.to_share, ", ".join(_read_from(preview.sheet.mapping or {}))
    told = []
    if preview.revocations:
        told.append(spell_revokes(preview.taken_back, "is" if preview.revocations == 1 else "are"))
    if given is not None and given.leads:
        told.append(f"{'Then ' if told else ''}{_giving(given)}, {_lasting(preview, given, now)}")
    if told and columns:
        told[-1] += f"; {columns}"
    return " ".join(f"{sentence}." for sentence in told)


def question_of(preview: Preview) -> str:
    """What a person is asked once that was said."""
    if preview.deed == "take back":
        return "Take these shares back?"
    if preview.deed == "try again":
        return "Take back and try again?" if preview.revocations else "Try them again?"
    if not preview.revocations:
        return "Send?"
    return "Take back and send?" if preview.to_send else "Take back?"


def _giving(given: ToShare) -> str:
    shares = given.reads + given.writes
    counted = {"read": given.reads, "write": given.writes}
    access = [f"{count:,} {name}" if count < shares else name for name, count in counted.items() if count]
    many = f" in {plural(shares, 'share')}" if shares != given.leads else ""
    people = plural(given.people, "person", "people")
    return f"{plural(given.leads, 'lead')} to {people}{many} ({', '.join(access)})"


def _lasting(preview: Preview, given: ToShare, now: datetime) -> str:
    """Until when the shares last, of several the latest; for how long where that is short.

    What lasts so many minutes is counted from when the run may make the last of its shares.
    """
    lengths = [given.shortest, given.longest] if given.shortest and given.longest else []
    ends = [given.first_end, given.last_end] if given.first_end and given.last_end else []
    minutes = [*lengths, *(ceil((end - now) / timedelta(minutes=1)) for end in ends)]
    if not minutes:
        return "until a time that is over"
    shortest, longest = min(minutes), max(minutes)
    if longest < HOUR or (longest < DAY and not ends):
        how, most = f"for {spell_minutes(longest)}", "at the longest"
    else:
        made = now + timedelta(seconds=preview.cost.seconds)
        last = max([*ends, *(made + timedelta(minutes=length) for length in lengths)])
        there = last.replace(tzinfo=UTC).astimezone(preview.zone)
        how, most = f"until {there.day} {there:%b %Y}", "at the latest"
        if longest < DAY:
            how = f"until {there:%H:%M} on {there.day} {there:%b %Y}"
    if shortest == longest:
        return how
    return f"{how} {most}{f', some only for {spell_minutes(shortest)}' if shortest < HOUR else ''}"


def _read_from(mapping: Mapping[str, str]) -> Iterator[str]:
    """Which columns name the lead and the person, the surest of several first."""
    for said, role in (("lead", LEADS), ("person", USERS)):
        headers = [_shown(header) for field in role for header, name in mapping.items() if name == field]
        if headers:
            yield f"{said} from {' and '.join(headers)}"


def _shown(header: str) -> str:
    """A header on one line, between quotation marks."""
    words = "".join(each for each in " ".join(header.split()) if each.isprintable())
    return f"“{words if len(words) <= LONGEST_NAME else f'{words[: LONGEST_NAME - 1]}…'}”"
