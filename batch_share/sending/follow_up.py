"""The follow-up: ask the status API what became of each accepted request, while others are still being shared.

Each request is asked for once an answer is likely, then ever more rarely while there is none. How long LeadSquared
takes is learnt as the answers come: to ask too early costs a call, to ask late costs nothing while there is other
work.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from batch_share.common import loop_time, wait_for_event
from batch_share.errors import NoSuchApi
from batch_share.leadsquared.protocol import Lost, ShareStatus, read_status, share_status
from batch_share.ledger.states import State
from batch_share.logs import log
from batch_share.sending.calls import decide_answer, read
from batch_share.sending.onlookers import Awaited
from batch_share.sending.session import ending_early, in_parallel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from batch_share.ledger.records import Row
    from batch_share.sending.session import Session

MOST_NOT_THERE: Final = 3
"""Requests that were answered 404 more than once, after which there is no status API."""

FOLLOWING_UP: Final = "following up"
"""What the progress display calls it."""

FIRST_PATIENCE: Final = 0.5
"""Seconds after which the first request is asked for. Short: it costs a few calls, and the rest is learnt."""

LONGEST_PATIENCE: Final = 80.0
"""A third more than a minute: where processing takes one, few are asked in vain, and the last is not asked late."""

FIRST_INTERVAL: Final = 2.0
LONGEST_INTERVAL: Final = 60.0
GROWTH: Final = 1.6

SOON: Final = 1.0
"""Seconds to the first ask that are no waiting."""

_TOO_EARLY: Final = 1.25
_IN_TIME: Final = 0.998
"""A quarter up after an ask in vain; a little down after another, since many are under way before it shows.

Never more than a quarter above what requests are seen to take: where each is called pending when it is first asked
for, whenever that is, every ask would be in vain, and put off all that come.
"""

_NEW: Final = 0.1
"""What the latest counts for in how long a request is seen to take."""


@dataclass(order=True, slots=True)
class Poll:
    """A request Id to be asked for at `due`; given up after `until`, None before it was asked for in vain.

    Of one that an earlier run was given nobody knows when it was accepted, nor here with which `users` it shares.
    """

    due: float
    order: int
    request_id: str = field(compare=False)
    accepted_at: float | None = field(compare=False, default=None)
    users: Sequence[str] = field(compare=False, default=())
    until: float | None = field(compare=False, default=None)
    interval: float = field(compare=False, default=FIRST_INTERVAL)


class Polls:
    """The requests that are waiting, the earliest due first. `wait`: seconds for each, from its first ask."""

    def __init__(self, wait: float) -> None:
        self._wait = wait
        self._heap: list[Poll] = []
        self._orders = 0
        self._under_way: list[Poll] = []
        self._in_vain = 0  # of those that are waiting or under way, the ones that were asked for already
        self._last_until = self._last_added = 0.0
        self._complete = False
        self._closed = False
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self.patience = FIRST_PATIENCE
        self._took = 0.0  # seconds from accepted to settled, the latest counting most; 0: none is settled yet
        self.take_back: Callable[[Sequence[Row]], None] | None = None
        """Who shares the rows of a request that failed again; None: nobody does at the moment."""

    def add(self, *request_ids: str, is_old: bool = False, users: Sequence[str] = ()) -> None:
        """Requests that were accepted just now, with shares of these users.

        Those of an earlier run are asked for at once: nobody knows when they were (`is_old`).
        """
        now = loop_time()
        for request_id in request_ids:
            poll = Poll(0.0, self._orders, request_id, users=users)
            if not is_old:
                poll.due, poll.accepted_at, self._last_added = now + self.patience, now, now
            self._orders += 1
            heapq.heappush(self._heap, poll)
        self._changed.set()

    def complete(self) -> None:
        """No more will be added."""
        self._complete = True
        self._changed.set()

    async def take(self) -> Poll | None:
        """The next poll, once it is due; None when all are settled or given up. Give each back with `done`."""
        async with self._turn:  # one waits for what is next, the others for their turn
            while not self._closed and (self._heap or self._under_way or not self._complete):
                rest = self._rest()
                if rest is not None and rest <= 0:
                    self._under_way.append(poll := heapq.heappop(self._heap))
                    return poll
                self._changed.clear()
                await wait_for_event(self._changed, rest)
        return None

    def done(self, poll: Poll, *, settled: bool) -> None:
        """What became of a poll that was taken: unless settled, it is asked again later, or its time is over.

        The first ask of a request whose age is known tells whether it came too early.
        """
        now = loop_time()
        is_first = poll.until is None
        self._under_way.remove(poll)
        self._in_vain -= not is_first
        if is_first and poll.accepted_at is not None:
            too_early = max(self.patience, (now - poll.accepted_at) * _TOO_EARLY)
            longest = min(self._took * _TOO_EARLY or math.inf, LONGEST_PATIENCE)
            self.patience = self.patience * _IN_TIME if settled else max(self.patience, min(too_early, longest))
        if settled and poll.accepted_at is not None:
            took = now - poll.accepted_at
            self._took += (took - self._took) * (_NEW if self._took else 1.0)
        if not settled:
            if poll.until is None:
                poll.until = self._last_until = now + self._wait
            poll.due = now + poll.interval
            poll.interval = min(poll.interval * GROWTH, LONGEST_INTERVAL)
            if poll.due <= poll.until:
                self._in_vain += 1
                heapq.heappush(self._heap, poll)
        self._changed.set()

    def is_asking(self, request_id: str | None) -> bool:
        """Whether it is asked for just now: until that is `done`, its rows may still be given to `take_back`."""
        return any(poll.request_id == request_id for poll in self._under_way)

    async def none_left(self, unless: Callable[[], object] = lambda: False) -> None:
        """Wait until all that were added are settled or given up, or this is true; more may be added then."""
        while not (self._closed or unless()) and (self._heap or self._under_way):
            self._changed.clear()
            await self._changed.wait()

    def awaited(self) -> Awaited | None:
        """What is waited for if there is nothing else to do; None while first asks, soon, may settle all.

        It is asked often, and there may be a hundred thousand: none of them is looked at but the next.
        """
        waiting, rest, now = len(self._heap) + len(self._under_way), self._rest(), loop_time()
        if not waiting or not (self._in_vain or (rest is not None and rest > SOON)):
            return None
        until = self._last_until if self._in_vain else 0.0
        if self._in_vain < waiting:
            until = max(until, max(self._last_added + self.patience, now) + self._wait)
        again = now + rest if rest is not None and rest > 0 else None
        return Awaited(again, until, waiting)

    def close(self) -> None:
        """Give up all that are waiting."""
        self._closed = True
        self._changed.set()

    def _rest(self) -> float | None:
        """Seconds to the next poll, None if there is none.

        What was learnt since it was put there counts: a first ask is put off until an answer is likely.
        """
        while self._heap:
            poll = self._heap[0]
            is_first = poll.accepted_at is not None and poll.until is None
            if not is_first or poll.due >= (likely := (poll.accepted_at or 0.0) + self.patience):
                return poll.due - loop_time()
            poll.due = likely
            heapq.heapreplace(self._heap, poll)
        return None


@asynccontextmanager
async def following_up(session: Session, waiting: Iterable[str] | None = None) -> AsyncIterator[None]:
    """Ask for every accepted request, those of earlier runs first, while the body adds more and until none is left.

    Of earlier runs only those that are `waiting`, if that is given.

    Each is asked for at least once, and again for the wait of the settings while it is being processed. What ended
    it early is `session.stop.error`.
    """
    with ending_early(session.stop):
        session.polls.add(*(await session.ledger.waiting_requests() if waiting is None else waiting), is_old=True)
    session.stop.also(session.polls.close)
    pollers = asyncio.create_task(in_parallel(session, partial(_work, session)))
    # Whatever ends them: nobody is to wait for what nobody asks for.
    pollers.add_done_callback(lambda _: session.polls.close())
    try:
        yield
        session.polls.complete()
        session.tally.phase = FOLLOWING_UP
        with session.tally.waits_for(session.polls.awaited):
            await pollers
    finally:
        pollers.cancel()
        with suppress(asyncio.CancelledError):
            await pollers


async def all_followed_up(session: Session, unless: Callable[[], object] = lambda: False) -> None:
    """Wait until all that were accepted so far are settled or given up, or until this is true."""
    session.tally.phase = FOLLOWING_UP
    with session.tally.waits_for(session.polls.awaited):
        await session.polls.none_left(unless)


async def _work(session: Session) -> None:
    while (poll := await session.polls.take()) is not None:
        settled = False
        try:
            settled = await _ask(session, poll)
        finally:
            session.polls.done(poll, settled=settled)


async def _ask(session: Session, poll: Poll) -> bool:
    """Ask once and record the answer; whether the request is settled."""
    sent_at, request_id = session.ledger.now(), poll.request_id
    call = share_status(request_id)
    answer = await read(session, call, read_status, tries=1)  # it is asked again anyway
    if isinstance(answer, ShareStatus):
        session.apis.worked.add(call.path)
    elif answer.status == 404:
        # It may not be known yet when it is first asked for. One of an earlier run may be forgotten by now, but not
        # where no status was ever read: then the API is missing, as that run said.
        is_known = poll.accepted_at is not None or not session.memory.account.shared
        if is_known and poll.until is not None:
            session.not_there.add(request_id)
        if call.path not in session.apis.worked and len(session.not_there) >= MOST_NOT_THERE:
            raise NoSuchApi(session.client.base_url, call.path, answer.words)
        answer = Lost(answer.words, answer.status)
    meaning = partial(decide_answer, answer, request_id)
    rows, before, result = await session.ledger.note_status(request_id, sent_at, meaning)
    if result.state is before:
        return False
    if result.state is State.FAILED:
        log.info("processing failed", rows=rows)
    session.moved(before, result, rows)
    if poll.accepted_at is not None:
        # Some are asked for late, since other calls are due: that is no time that a round takes.
        session.tally.took = min(loop_time() - poll.accepted_at, session.tally.took * 1.05 or math.inf)
    session.failing.note(poll.users, processed=result.state is State.SHARED)
    if poll.users:  # else an earlier run made it
        session.tally.repeats.settle(len(poll.users), failed=result.state is State.POSTED)
    if result.state is State.SHARED:
        session.memory.keep(shared=True, takes_arrays=session.memory.account.takes_arrays or len(poll.users) > 1)
    if result.state is State.POSTED:  # they failed together
        failed = await session.ledger.failed_together(request_id)
        if session.polls.take_back is not None:
            session.polls.take_back(failed)
        else:
            session.health.returned += rows
    session.guard.check()
    return True
