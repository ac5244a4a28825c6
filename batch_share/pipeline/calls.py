"""Making one call count: paced, noted before it leaves, settled when answered, repeated only if that is safe."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final, TypeVar

from batch_share.errors import AccessDenied, NotAnswered, StillThrottled, Unreachable
from batch_share.leadsquared.outcome import Denied, Lost, NotSent, Throttled
from batch_share.leadsquared.protocol import Answer, read_id
from batch_share.ledger.states import BEFORE, INTENT_OF
from batch_share.pipeline.verdict import in_doubt, is_repeated, judge_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch_share.leadsquared.outcome import Failure, Outcome
    from batch_share.leadsquared.protocol import Call
    from batch_share.ledger.records import Row
    from batch_share.ledger.states import Stage
    from batch_share.pipeline.session import Connection, Session

T = TypeVar("T")

MOST_LOST: Final = 10
"""Calls that may go without a proper answer, one after the other, before the run stops."""

CONNECT_TRIES: Final = 7
"""Tries to connect before the run gives up; with the waits between them, about a minute."""

LONGEST_REFUSED: Final = 900.0
"""Seconds in which every call may be refused as one too many, before the run stops."""

READ_TRIES: Final = 3
"""Times that a call which changes nothing may go unanswered before that is its answer."""


async def write(session: Session, row: Row, step: Stage, call: Call, marker: str | None = None) -> Outcome:
    """Make a call that is not idempotent, for `row`, and record what came of it. `marker` is in the call.

    Repeated only after answers that say for certain that nothing was done. Raises PacerClosed when the work is to
    end, AccessDenied, Unreachable, DailyLimitReached, LedgerError; the row is then where the ledger says.
    """
    unsent = 0
    while True:
        async with session.pacer.slot():
            session.called()
            attempt = await session.ledger.intend(row, step, marker)
            session.tally.moved(BEFORE[step], INTENT_OF[step])
            answer = await session.client.send(call)
        outcome = read_id(answer) if isinstance(answer, Answer) else answer
        result = judge_step(step, outcome)
        if is_repeated(row):
            result = in_doubt(result)
        await session.ledger.settle(attempt, row, result)
        session.tally.moved(INTENT_OF[step], result.state)
        if not isinstance(outcome, NotSent | Throttled | Denied):
            session.tally.refused_since = None
            _watch_silence(session, outcome)
            return outcome
        unsent += isinstance(outcome, NotSent)
        await before_repeating(session, outcome, unsent)


def _watch_silence(session: Session, outcome: Outcome) -> None:
    """One answer lost is bad luck, ten in a row are a server that is not well. Raises NotAnswered."""
    if not isinstance(outcome, Lost):
        session.tally.lost_in_a_row = 0
        return
    session.tally.lost_in_a_row += 1
    if session.tally.lost_in_a_row >= MOST_LOST:
        raise NotAnswered(session.tally.lost_in_a_row, outcome.words)


async def read(
    session: Connection, call: Call, parse: Callable[[Answer], T | Failure], *, tries: int = READ_TRIES
) -> T | Failure:
    """Make a call that changes nothing, repeated over throttles, lost connections and lost answers.

    `tries` is how often it may go unanswered. Raises as `write` does.
    """
    unsent = lost = 0
    while True:
        async with session.pacer.slot():
            session.called()
            answer = await session.client.send(call)
        parsed = parse(answer) if isinstance(answer, Answer) else answer
        if isinstance(parsed, NotSent | Throttled | Denied):
            unsent += isinstance(parsed, NotSent)
            await before_repeating(session, parsed, unsent)
            continue
        session.tally.refused_since = None
        lost += isinstance(parsed, Lost)
        if not isinstance(parsed, Lost) or lost >= tries:
            return parsed


def _watch_refusals(session: Connection, outcome: Throttled) -> None:
    """Too many calls is soon over; when it is not, somebody must know. Raises StillThrottled."""
    now, tally = asyncio.get_running_loop().time(), session.tally
    tally.refused_since = now if tally.refused_since is None else tally.refused_since
    if now - tally.refused_since > max(LONGEST_REFUSED, 20 * session.pacer.rate.period):
        raise StillThrottled(now - tally.refused_since, outcome.words)


async def before_repeating(session: Connection, outcome: NotSent | Throttled | Denied, unsent: int) -> None:
    """Do what must come before another try: close the account's gate, wait, or give up by raising."""
    if isinstance(outcome, Denied):
        raise AccessDenied(outcome.status, outcome.words)
    if isinstance(outcome, Throttled):
        session.tally.refusals += 1
        session.pacer.refused(pause=outcome.pause, told=outcome.rate)
        _watch_refusals(session, outcome)
        return
    if unsent >= CONNECT_TRIES:
        raise Unreachable(session.client.base_url, unsent, outcome.words)
    await session.stop.sleep(min(2.0**unsent, 30.0) * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
