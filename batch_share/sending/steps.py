"""What a row asks for, and what its activity says: its marker, by which it is found again in lists of activities.

Posting is not idempotent, so a row whose call may or may not have arrived is looked up before anything is sent for
it again, by its marker: it is the same for every attempt of a row, and no other row of any ledger has it.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from batch_share.common import utc_now
from batch_share.leadsquared.guesses import SMALLEST_PAGE
from batch_share.leadsquared.protocol import Activities, read_activities
from batch_share.ledger.states import Stage
from batch_share.sending.calls import consult

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from batch_share.leadsquared.protocol import ActivityView, Call
    from batch_share.ledger.records import Instruction, Row
    from batch_share.sending.session import Connection, Session

_MARKER: Final = re.compile(
    r"^(?:\[bs-[a-z2-7]{16}\]|bs-[a-z2-7]{16}(?=(?: \d{4}-\d\d-\d\dt\d\d:\d\dz)?$))", re.MULTILINE
)


def marker_of(key: str, step: Stage, renewal: int = 0) -> str:
    """The marker of a row's step and renewal; `key` is the row's, which its ledger's job is part of."""
    named = f"{key}\n{step}\n{renewal}" if renewal else f"{key}\n{step}"  # as it was before there were renewals
    digest = hashlib.blake2b(named.encode(), digest_size=10).digest()
    # Letters and digits in one case: an account may fold it, and its filters look for markup.
    return f"bs-{base64.b32encode(digest).decode().lower()}"


def activity_marker(session: Session) -> Callable[[Row], str]:
    """What says by which marker, as it is written, the activity of a row is found."""
    written = in_note if not session.settings.marker_field else str
    return lambda row: written(marker_of(row.key, Stage.ACTIVITY, row.renewal))


def in_note(marker: str) -> str:
    """A marker as it stands at the start of a note, where nothing cuts it off; a custom field holds it bare."""
    return f"[{marker}]"


def markers_in(said: str) -> frozenset[str]:
    """The markers, as they were written, in texts of lower case, one to a line; what follows them says until when.

    Only at the start of a note or as the whole of a field: somebody's note may quote another row's.
    """
    return frozenset(_MARKER.findall(said))


def end_in(said: str, marker: str) -> dt.datetime | None:
    """When the share ends that stands after a marker, in texts as `markers_in` takes them; None if none does."""
    found = re.search(rf"^{re.escape(marker)} \[?(\d{{4}}-\d\d-\d\dt\d\d:\d\d)z", said, re.MULTILINE)
    try:
        return dt.datetime.fromisoformat(found[1].upper()) if found else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Texts:
    """What an activity says: its marker, as it stands in the note or in a custom field, and all else around it."""

    marker: str
    note: str
    custom: Mapping[str, str] | None


def texts_of(session: Session, row: Row) -> Texts:
    """The texts of the activity of `row`: its marker, the same for every attempt, then when its share ends."""
    wanted, field = asked(row), session.settings.marker_field
    end = f"{wanted.until or utc_now() + timedelta(minutes=wanted.duration or 0):%Y-%m-%dT%H:%MZ}"
    bare = marker_of(row.key, Stage.ACTIVITY, row.renewal)
    if field:
        return Texts(bare, wanted.note, {**(wanted.custom or {}), field: f"{bare} {end}"})
    return Texts(in_note(bare), f"{in_note(bare)} [{end}] {wanted.note}", wanted.custom)


def asked(row: Row) -> Instruction:
    """What `row` asks for."""
    if row.instruction is None:
        raise AssertionError("a row without instruction is invalid and never sent")
    return row.instruction


class Found(NamedTuple):
    """Activities by the marker in them; `problem` says why they are not all, None if they are."""

    views: dict[str, dict[str, ActivityView]]
    problem: str | None = None


async def collect(
    session: Connection, event: int, page: Callable[[int], Call], most: int, wanted: Collection[str] = ()
) -> Found:
    """Read page after page, at most `most`. A list that is not whole proves nothing about what is not on it.

    Activities are counted by their Ids: a server may ignore which page it is asked for, or of what size, list the
    oldest first, or tell the count of the page for that of all. So the list ends with an empty page, however many
    the one before it had; one that brings nothing new comes from a server that ignores the page, which shows all
    there are only if they are fewer than it has on a page at least. Once all the `wanted` markers are found, no
    absence is to be proved, and what the list says of its length is believed.
    """
    views: dict[str, dict[str, ActivityView]] = defaultdict(dict)
    seen: set[str] = set()
    for number in range(most):
        call = page(number)
        answer = await consult(session, call, read_activities)
        if not isinstance(answer, Activities):
            return Found(views, answer.words)
        for view in answer.shown:
            markers = markers_in(view.said)
            session.saw(call.path, event, markers)
            for marker in markers:
                views[marker][view.id] = view
        new = {view.id for view in answer.shown} - seen
        seen |= new
        if wanted and views.keys() >= {*wanted} and answer.total is not None and len(seen) >= answer.total:
            return Found(views)
        if not new:
            is_end = not answer.shown or len(seen) < SMALLEST_PAGE
            is_whole = is_end and len(seen) >= (answer.total or 0)
            return Found(views, None if is_whole else "the list is not whole")
        if (answer.total or 0) > most * len(answer.shown):
            break
    return Found(views, "there are too many")
