"""The follow-up: ask the status API what became of each accepted request, until settled or the wait is over."""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from batch_share.leadsquared.protocol import read_status, share_status
from batch_share.ledger.states import State
from batch_share.ledger.store import utc_now
from batch_share.pipeline.calls import read
from batch_share.pipeline.run import in_parallel
from batch_share.pipeline.verdict import judge_status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batch_share.pipeline.session import Session

FIRST_INTERVAL: Final = 2.0
LONGEST_INTERVAL: Final = 60.0
GROWTH: Final = 1.6


async def follow_up(session: Session, wait: float) -> None:
    """Ask for every accepted request at least once, and again for `wait` seconds while it is being processed.

    What ended it early is `session.stop.error`.
    """
    session.tally.phase = "following up"
    polls = Polls(await session.ledger.waiting_requests(), wait)
    await in_parallel(session, lambda: _work(session, polls))


@dataclass(order=True, slots=True)
class Poll:
    """A request Id to be asked for at `due`; given up after `until`, once it has been asked."""

    due: float
    order: int
    request_id: str = field(compare=False)
    interval: float = field(compare=False, default=FIRST_INTERVAL)
    until: float | None = field(compare=False, default=None)


class Polls:
    """The polls that are waiting, the earliest due first."""

    def __init__(self, request_ids: Iterable[str], wait: float) -> None:
        self._wait = wait
        self._heap = [Poll(0.0, order, request_id) for order, request_id in enumerate(request_ids)]

    def take(self) -> Poll | None:
        """The next poll; None if none is waiting. Others may still be under way and come back."""
        return heapq.heappop(self._heap) if self._heap else None

    def put_back(self, poll: Poll, now: float) -> None:
        """Ask again later, unless its time is over."""
        poll.until = now + self._wait if poll.until is None else poll.until
        poll.due = now + poll.interval
        poll.interval = min(poll.interval * GROWTH, LONGEST_INTERVAL)
        if poll.due <= poll.until:
            heapq.heappush(self._heap, poll)


async def _work(session: Session, polls: Polls) -> None:
    while not session.stop.asked and (poll := polls.take()) is not None:
        await session.stop.sleep(max(0.0, poll.due - _now()))
        if session.stop.asked:
            return
        if not await _ask(session, poll.request_id):
            polls.put_back(poll, _now())


async def _ask(session: Session, request_id: str) -> bool:
    """Ask once and record the answer; whether the request is settled."""
    sent_at = utc_now()
    answer = await read(session, share_status(request_id), read_status, tries=1)  # it is asked again anyway
    result = judge_status(answer)
    rows = await session.ledger.note_status(request_id, sent_at, result)
    if result.state is State.ACCEPTED:
        return False
    session.tally.moved(State.ACCEPTED, result.state, rows)
    return True


def _now() -> float:
    return asyncio.get_running_loop().time()
