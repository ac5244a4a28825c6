"""The follow-up: ask the status API what became of each accepted request, while others are still being shared."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from batch_share.common import utc_now
from batch_share.errors import NoSuchApi
from batch_share.leadsquared.protocol import Lost, ShareStatus, read_status, share_status
from batch_share.ledger.states import State
from batch_share.logs import log
from batch_share.sending.calls import decide_answer, read
from batch_share.sending.session import ending_early, in_parallel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from batch_share.sending.polls import Poll
    from batch_share.sending.session import Session

MOST_NOT_THERE: Final = 3
"""Requests of this run that were answered 404 more than once, after which there is no status API."""

FOLLOWING_UP: Final = "following up"
"""What the progress display calls it."""


@asynccontextmanager
async def following_up(session: Session, waiting: Iterable[str] | None = None) -> AsyncIterator[None]:
    """Ask for every accepted request, those of earlier runs first, while the body adds more and until none is left.

    Of earlier runs only those that are `waiting`, if that is given.

    Each is asked for at least once, and again for the wait of the settings while it is being processed. What ended
    it early is `session.stop.error`.
    """
    with ending_early(session.stop):
        session.polls.add_old(await session.ledger.waiting_requests() if waiting is None else waiting)
    session.stop.also(session.polls.close)
    pollers = asyncio.create_task(_poll(session))
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


async def all_followed_up(session: Session) -> None:
    """Wait until all that were accepted so far are settled or given up, while nothing else is done."""
    session.tally.phase = FOLLOWING_UP
    with session.tally.waits_for(session.polls.awaited):
        await session.polls.none_left()


async def _poll(session: Session) -> None:
    try:
        await in_parallel(session, lambda: _work(session))
    finally:
        session.polls.close()  # whatever ended it: nobody is to wait for what nobody asks for


async def _work(session: Session) -> None:
    while (poll := await session.polls.take()) is not None:
        settled = False
        try:
            settled = await _ask(session, poll)
        finally:
            session.polls.done(poll, settled=settled)


async def _ask(session: Session, poll: Poll) -> bool:
    """Ask once and record the answer; whether the request is settled."""
    sent_at, request_id = utc_now(), poll.request_id
    call = share_status(request_id)
    answer = await read(session, call, read_status, tries=1)  # it is asked again anyway
    if isinstance(answer, ShareStatus):
        session.apis.worked.add(call.path)
    elif answer.status == 404:
        if poll.accepted_at is not None and poll.until is not None:  # others may be forgotten, or not known yet
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
    session.health.returned += rows if result.state is State.POSTED else 0
    session.guard.check()
    return True
