"""The run: every row that is still to be sent, through intent → activity → intent → share → accepted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from batch_share.ledger.states import State
from batch_share.pipeline.bulk import send_in_bulk
from batch_share.pipeline.owner import SINGLE, STANDING, verify_owners
from batch_share.pipeline.session import ending_early, in_parallel
from batch_share.pipeline.steps import in_time, post, posted, share

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from batch_share.ledger.records import Row
    from batch_share.pipeline.session import Session


async def send_rows(session: Session) -> None:
    """Send every row that is still to be sent. Returns when all are, or when the work is to end.

    What ended it early is `session.stop.error`. Before an activity type is used by many rows, one activity of it is
    posted and its owner read back.
    """
    if session.settings.bulk:
        await send_in_bulk(session)
        return
    with ending_early(session.stop):
        await verify_owners(session, STANDING, SINGLE)
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


async def _work(session: Session, feed: Feed) -> None:
    while not session.stop.asked and (row := await feed.next()) is not None:
        await _send_row(session, row)


async def _send_row(session: Session, row: Row) -> None:
    if not await in_time(session, row):
        return
    if row.state is not State.POSTED:
        activity_id = await post(session, row)
        if activity_id is None:
            return
        row = posted(row, activity_id)
        if not await in_time(session, row):
            return
    await share(session, [row])
