"""The two steps of a row, as calls: post its activity, share its lead in that activity's context.

Posting is not idempotent, so a row whose call may or may not have arrived is looked up before anything is sent for
it again, by its marker: it is the same for every attempt of a row, and no other row of any ledger has it.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import math
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, cast

from batch_share.common import Cause, utc_now
from batch_share.leadsquared.protocol import (
    Done,
    ShareItem,
    bulk_activity,
    post_activity,
    read_activity_id,
    read_request_id,
    share_leads,
)
from batch_share.ledger.records import Result, Why
from batch_share.ledger.states import Stage, State
from batch_share.sending import log_events
from batch_share.sending.calls import Dispatch, write
from batch_share.sending.guards import TOO_LATE
from batch_share.sending.verdict import in_doubt, is_repeated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from batch_share.leadsquared.protocol import BulkActivity, Outcome
    from batch_share.ledger.records import Instruction, Row
    from batch_share.sending.session import Session

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


async def post(session: Session, row: Row, *, if_free: bool = False) -> str | None:
    """Post the activity of `row`; its Id, None when it failed or nobody knows. Raises as `calls.write`."""
    wanted, texts = asked(row), texts_of(session, row)
    call = post_activity(
        lead_id=wanted.lead_id,
        event=wanted.event,
        note=texts.note,
        owner_id=wanted.user_id,
        custom=texts.custom,
    )
    outcome = await write(
        session, Dispatch([row], Stage.ACTIVITY, call, read_activity_id, [texts.marker]), if_free=if_free
    )
    return outcome.id if isinstance(outcome, Done) else None


def posted(row: Row, activity_id: str) -> Row:
    """The row once its activity stands."""
    return replace(row, state=State.POSTED, stage=None, activity_id=activity_id)


async def share(session: Session, rows: Sequence[Row]) -> Outcome:
    """Share the leads of rows whose activities stand, in one call. Raises as `calls.write`."""
    call = share_leads(*(_share_item(row) for row in rows))
    outcome = await write(session, Dispatch(rows, Stage.SHARE, call, read_request_id, [None] * len(rows)))
    if isinstance(outcome, Done) and session.settings.follow_up:
        session.polls.add(outcome.id)
    return outcome


def activity_for_bulk(session: Session, row: Row, owner_email: str) -> tuple[BulkActivity, str]:
    """The activity of `row` as an element of a bulk call, and its marker."""
    wanted, texts = asked(row), texts_of(session, row)
    activity = bulk_activity(
        lead_id=wanted.lead_id,
        event=wanted.event,
        note=texts.note,
        owner_email=owner_email,
        custom=texts.custom,
    )
    return activity, texts.marker


def texts_of(session: Session, row: Row) -> Texts:
    """The texts of the activity of `row`: its marker, the same for every attempt, then when its share ends."""
    wanted, field = asked(row), session.settings.marker_field
    end = f"{wanted.until or utc_now() + timedelta(minutes=wanted.duration or 0):%Y-%m-%dT%H:%MZ}"
    bare = marker_of(row.key, Stage.ACTIVITY, row.renewal)
    if field:
        return Texts(bare, wanted.note, {**(wanted.custom or {}), field: f"{bare} {end}"})
    return Texts(in_note(bare), f"{in_note(bare)} [{end}] {wanted.note}", wanted.custom)


def _share_item(row: Row) -> ShareItem:
    wanted = asked(row)
    return ShareItem(
        user_id=wanted.user_id,
        entity_id=wanted.lead_number,
        context_entity_id=row.activity_id or "",
        access_type=cast("Literal[1, 2]", wanted.access),
        duration_in_minutes=minutes_left(wanted, utc_now()),
    )


def minutes_left(asked: Instruction, now: dt.datetime) -> int:
    """How long the share lasts from `now` (UTC, without a zone): to the next whole minute if it has an end."""
    if asked.until is None:
        return asked.duration or 0
    return math.ceil((asked.until - now).total_seconds() / 60)


async def in_time(session: Session, row: Row) -> bool:
    """Whether the end of `row` is still to come; else it ends as failed."""
    if minutes_left(asked(row), utc_now()) >= 1:
        return True
    why = Why(Cause.TOO_LATE, {"until": f"{asked(row).until:%Y-%m-%d %H:%M}"})
    await give_up(session, row, why, TOO_LATE)
    return False


async def give_up(session: Session, row: Row, why: Why, outcome: str = "failed") -> None:
    """End a row, before a step of it, as failed. Raises TooManyFailures."""
    stage = Stage.ACTIVITY if row.state is State.PENDING else Stage.SHARE
    ending = Result(State.FAILED, outcome, stage=stage, why=why)
    if is_repeated(row):
        ending = in_doubt(ending)
    await session.ledger.end(row, ending)
    log_events.outcomes([row], stage, [ending])
    session.moved(row.state, ending)
    session.guard.check()


def asked(row: Row) -> Instruction:
    """What `row` asks for."""
    if row.instruction is None:
        raise AssertionError("a row without instruction is invalid and never sent")
    return row.instruction
