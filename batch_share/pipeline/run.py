"""The run: every row that is still to be sent, through intent → activity → intent → share → accepted."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import TYPE_CHECKING, Literal, cast

from batch_share.leadsquared.models import ShareItem
from batch_share.leadsquared.outcome import Done
from batch_share.leadsquared.protocol import post_activity, share_lead
from batch_share.ledger.records import Result
from batch_share.ledger.states import Stage, State
from batch_share.ledger.store import utc_now
from batch_share.pipeline.calls import write
from batch_share.pipeline.marker import in_note, marker_of
from batch_share.pipeline.owner import find_key_user, verify_owner
from batch_share.pipeline.session import ending_early
from batch_share.pipeline.verdict import in_doubt, is_repeated

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import AsyncIterator, Awaitable, Callable

    from batch_share.ledger.records import Instruction, Row
    from batch_share.pipeline.session import Connection, Session


async def send_rows(session: Session) -> None:
    """Send every row that is still to be sent. Returns when all are, or when the work is to end.

    What ended it early is `session.stop.error`. Before an activity type is used by many rows, one activity of it is
    posted and its owner read back.
    """
    with ending_early(session.stop):
        await _verify_owners(session)
    session.tally.phase = "sharing"
    feed = Feed(session.ledger.to_do(session.looked_up_in))
    await in_parallel(session, lambda: _work(session, feed))


class Feed:
    """The rows to do, handed out one by one to whichever worker asks first."""

    def __init__(self, rows: AsyncIterator[Row]) -> None:
        self._rows = rows
        self._turn = asyncio.Lock()

    async def next(self) -> Row | None:
        """The next row, None when there is none left."""
        async with self._turn:
            return await anext(self._rows, None)


async def in_parallel(session: Connection, worker: Callable[[], Awaitable[None]]) -> None:
    """Run `worker` as often as the session has workers. One that fails ends the work of all, in good order."""

    async def guarded() -> None:
        with ending_early(session.stop):
            await worker()

    async with asyncio.TaskGroup() as group:
        for _ in range(session.workers):
            group.create_task(guarded())


async def _work(session: Session, feed: Feed) -> None:
    while not session.stop.asked and (row := await feed.next()) is not None:
        await _send_row(session, row)


async def _send_row(session: Session, row: Row) -> None:
    if minutes_left(_asked(row), utc_now()) < 1:
        await _too_late(session, row)
        return
    activity_id = row.activity_id if row.state is State.POSTED else await post(session, row)
    if activity_id is not None:
        await _share(session, row, activity_id)


async def post(session: Session, row: Row) -> str | None:
    """Post the activity of `row`; its Id, None when it failed or nobody knows. Raises as `calls.write`."""
    asked, field = _asked(row), session.settings.marker_field
    bare = marker_of(row.key, Stage.ACTIVITY)
    marker = bare if field else in_note(bare)
    call = post_activity(
        lead_id=asked.lead_id,
        event=asked.event,
        note=asked.note if field else f"{marker} {asked.note}",
        owner_id=asked.user_id,
        custom={**(asked.custom or {}), field: marker} if field else asked.custom,
    )
    outcome = await write(session, row, Stage.ACTIVITY, call, marker)
    return outcome.id if isinstance(outcome, Done) else None


async def _share(session: Session, row: Row, activity_id: str) -> None:
    asked = _asked(row)
    minutes = minutes_left(asked, utc_now())
    if minutes < 1:
        await _too_late(session, row, State.POSTED)
        return
    item = ShareItem(
        user_id=asked.user_id,
        entity_id=asked.lead_number,
        context_entity_id=activity_id,
        access_type=cast("Literal[1, 2]", asked.access),
        duration_in_minutes=minutes,
    )
    outcome = await write(session, row, Stage.SHARE, share_lead(item))
    if isinstance(outcome, Done) and session.settings.follow_up:
        session.polls.add(outcome.id)


def minutes_left(asked: Instruction, now: dt.datetime) -> int:
    """How long the share lasts from `now` (UTC, without a zone): to the next whole minute if it has an end."""
    if asked.until is None:
        return asked.duration or 0
    return math.ceil((asked.until - now).total_seconds() / 60)


async def _too_late(session: Session, row: Row, state: State | None = None) -> None:
    """Its end came before its turn. `state` is where the row stands, if not where it was read."""
    stood = state or row.state
    reason = f"it was to end at {_asked(row).until:%Y-%m-%d %H:%M} UTC, which is over"
    stage = Stage.ACTIVITY if stood is State.PENDING else Stage.SHARE
    ending = Result(State.FAILED, "failed", stage=stage, reason=reason)
    if is_repeated(row):
        ending = in_doubt(ending)
    await session.ledger.end(row, ending)
    session.tally.moved(stood, ending.state)


def _asked(row: Row) -> Instruction:
    if row.instruction is None:
        raise AssertionError("a row without instruction is invalid and never sent")
    return row.instruction


async def _verify_owners(session: Session) -> None:
    found = await session.ledger.events_to_do(session.looked_up_in)
    events = [event for event in found if event not in session.verified]
    if not events:
        return
    session.tally.phase = "checking the first activity's owner"
    key_user_id = await find_key_user(session)
    for event in events:
        await _verify_event(session, event, key_user_id)


async def _verify_event(session: Session, event: int, key_user_id: str) -> None:
    """Post rows of this activity type one at a time until one stands, and check whose it is.

    Rows for the key's own user prove nothing: were the owner field ignored, theirs would be right all the same.
    """
    next_row = partial(session.ledger.next_to_do, event, key_user_id, session.looked_up_in)
    while (row := await next_row()) is not None:
        if minutes_left(_asked(row), utc_now()) < 1:
            await _too_late(session, row)
            continue
        activity_id = row.activity_id if row.state is State.POSTED else await post(session, row)
        if activity_id is not None:
            await verify_owner(session, row, _asked(row), activity_id)
            session.verified.add(event)
            return
