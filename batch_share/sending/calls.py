"""Making one call count: paced, noted before it leaves, settled when answered, repeated only if that is safe.

What its answer means for its rows, the state that each enters and why, is the pure table at the end.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from batch_share.common import Cause
from batch_share.errors import AccessDenied, AccountClosed, NoSuchApi, Unreachable
from batch_share.leadsquared.account import MOST_LOST, NOT_THERE
from batch_share.leadsquared.people import KEY_USER, read_key_user
from batch_share.leadsquared.protocol import Answer, Denied, Done, Lost, NotSent, Refused, ShareStatus, Throttled
from batch_share.ledger.records import Result, Why
from batch_share.ledger.states import BEFORE, INTENT_OF, TO_DO, Stage, State
from batch_share.logs import log
from batch_share.sending.onlookers import LONG_WAIT, Outage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batch_share.leadsquared.people import KeyUser
    from batch_share.leadsquared.protocol import Call, Failure, Outcome
    from batch_share.ledger.records import Row
    from batch_share.sending.session import Connection, Session

T = TypeVar("T")

UNDONE: Final = (NotSent, Throttled, Denied)
"""The outcomes of a call that certainly did nothing, and would do something another time."""

FAILURES: Final = (*UNDONE, Refused, Lost)
"""All outcomes of a read that are no answer to it."""

MOST_GIVEN: Final = 5000
"""Ids that were given lately and are compared before they are in the ledger: more than can be under way at once."""

CONNECT_TRIES: Final = 7
"""Tries to connect before the run gives up; with the waits between them, about a minute."""

READ_TRIES: Final = 3
"""Times that a call which changes nothing may go unanswered before that is its answer."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A call that is not idempotent, and the rows whose `step` it is; `read` says what became of all, or of each.

    `markers` are what their activities can be found by, should the answer be lost. `bulk`: it is a bulk call, and
    its rows can be sent in another way.
    """

    rows: Sequence[Row]
    step: Stage
    call: Call
    read: Callable[[Answer], Outcome | tuple[Outcome, ...]]
    markers: Sequence[str | None]
    bulk: bool = False


async def write(session: Session, dispatch: Dispatch, *, if_free: bool = False) -> Outcome:
    """Make a call with one answer for all its rows, and record what came of it.

    Repeated only after answers that say for certain that nothing was done. Raises PacerClosed when the work is to
    end, AccessDenied, AccountClosed, Unreachable, DailyLimitReached, LedgerError; the rows are then where the
    ledger says.
    """
    unsent = 0
    while True:
        outcome, _ = await write_once(session, dispatch, if_free=if_free)
        assert not isinstance(outcome, tuple), "a call with an answer for each row"  # noqa: S101
        if not isinstance(outcome, UNDONE):
            return outcome
        unsent += isinstance(outcome, NotSent)
        await before_repeating(session, outcome, unsent)


async def write_once(
    session: Session, dispatch: Dispatch, *, if_free: bool = False
) -> tuple[Outcome | tuple[Outcome, ...], list[Result]]:
    """Make the call once: noted before it leaves, settled when answered. Raises as `write`.

    What became of it, of the whole or of each row, and what that means for each row.
    """
    rows, step = dispatch.rows, dispatch.step
    async with session.pacer.slot(if_free=if_free):
        counted = session.called()
        attempts = await session.ledger.intend(rows, step, dispatch.markers)
        session.tally.moved(BEFORE[step], INTENT_OF[step], len(rows))
        answer = await session.send(dispatch.call, counted)
    outcome, path = dispatch.read(answer) if isinstance(answer, Answer) else answer, dispatch.call.path
    _report_strange(session, outcome)
    if isinstance(outcome, Done | tuple):
        session.apis.worked.add(path)
    elif isinstance(outcome, Refused) and outcome.status == 404:
        # A missing API, but only where it has never worked in this run; nothing else needs the one that revokes.
        if path in session.apis.worked:
            words = f"the call was answered as if there were none such, which there is: {outcome.words}"
            outcome = Lost(words, 404)
        elif step is not Stage.REVOKE and not dispatch.bulk:
            outcome = Denied(outcome.words, 404, path)
    if isinstance(outcome, tuple):
        pairs = zip(outcome, rows, strict=True)
        outcome = tuple([await _own(session, step, part, [row]) for part, row in pairs])
    else:
        outcome = await _own(session, step, outcome, rows)
    decided = decide(step, outcome, len(rows), bulk=dispatch.bulk)
    results = [carry(row, result) for row, result in zip(rows, decided, strict=True)]
    await session.ledger.settle(attempts, rows, results)
    for row, result in zip(rows, results, strict=True):
        log_outcome(row, step, result)
        session.moved(INTENT_OF[step], result)
    parts = outcome if isinstance(outcome, tuple) else (outcome,)
    if not all(isinstance(part, UNDONE) for part in parts):
        session.health.answered()
        lost = [part.words for part in parts if isinstance(part, Lost)]
        session.health.count_lost(lost[0] if len(lost) == len(parts) else None)
    session.guard.check()
    return outcome, results


def log_outcome(row: Row, step: Stage, result: Result) -> None:
    """Tell the log of a row that did not go well, without names, addresses or lead Ids."""
    if result.state is State.UNKNOWN:
        log.warning("outcome unknown", row=row.sheet_row, step=str(step))
    elif result.state is State.FAILED:
        log.info("row failed", row=row.sheet_row, step=str(step))


async def _own(session: Session, step: Stage, outcome: Outcome, rows: Sequence[Row]) -> Outcome:
    """The outcome, but for an Id that was given for other rows already: a cache may have answered, or who knows."""
    if not isinstance(outcome, Done):
        return outcome
    ids = frozenset(row.id for row in rows)
    first = session.given.setdefault((step, outcome.id), ids)
    if len(session.given) > MOST_GIVEN:  # the ledger knows those that are no longer under way
        session.given.pop(next(iter(session.given)))
    if first.isdisjoint(ids) or await session.ledger.is_given(step, outcome.id, ids):
        return Lost(f"the answer gives an Id that was given for another row: {outcome.id}", 200)
    return outcome


async def consult(session: Connection, call: Call, parse: Callable[[Answer], T | Failure]) -> T | Failure:
    """Ask an API that a run can do without: whatever it answers ends nothing, and in vain it is not asked for ever.

    Only a few ask at a time until it has answered once as it should: one that is missing is asked no more then, nor
    one that was silent through all its tries. Each of these takes a minute, so after one such API others have one.
    Raises as `read`, but for a 403, which is this API's alone: refused keys are a 401.
    """
    apis, path = session.apis, call.path
    async with AsyncExitStack() as few:
        if path not in apis.worked:
            await few.enter_async_context(apis.few.setdefault(path, asyncio.Semaphore(MOST_LOST)))
        if path in apis.worked:  # by now, and nobody is to wait for those who waited
            await few.aclose()
        if (failure := apis.gone.get(path)) is not None:
            return failure
        others_silent = any(isinstance(each, Lost) and each.is_silence for each in apis.gone.values())
        tries = 1 if others_silent and path not in apis.worked else READ_TRIES
        answer = await read(session, call, parse, tries=tries, spared=403)
        if isinstance(answer, FAILURES):
            apis.failed(path, answer)
            if isinstance(answer, Lost) and answer.is_silence and path not in apis.worked:
                apis.gone[path] = answer
        else:
            apis.answered(path)
        return answer


def _report_strange(session: Connection, outcome: object) -> None:
    """Say once, where a call went well by its status and its answer is not understood, how that can be reported."""
    if isinstance(outcome, Lost) and outcome.status is not None and outcome.status < 300:
        session.tally.remark(
            "An answer was not understood: to report it, run once more with --wire-log trouble.jsonl, which holds "
            "nobody's data; `batch-share manual practice` says more"
        )


async def read(
    session: Connection,
    call: Call,
    parse: Callable[[Answer], T | Failure],
    *,
    tries: int = READ_TRIES,
    spared: int | None = None,
) -> T | Failure:
    """Make a call that changes nothing, repeated over throttles, lost connections and lost answers.

    `tries` is how often it may go unanswered; being denied with the HTTP status `spared` ends nothing. Raises as
    `write` does.
    """
    unsent = lost = 0
    while True:
        async with session.pacer.slot():
            answer = await session.send(call, session.called())
        parsed = parse(answer) if isinstance(answer, Answer) else answer
        if isinstance(parsed, UNDONE) and not (isinstance(parsed, Denied) and parsed.status == spared):
            unsent += isinstance(parsed, NotSent)
            await before_repeating(session, parsed, unsent)
            continue
        session.health.answered()
        _report_strange(session, parsed)
        lost += isinstance(parsed, Lost)
        is_missing = spared is not None and isinstance(parsed, Lost) and parsed.status in NOT_THERE
        if not isinstance(parsed, Lost) or lost >= tries or is_missing:
            return parsed


async def ask_once(session: Connection, call: Call, parse: Callable[[Answer], T | Failure]) -> T | Failure:
    """Ask an API that a run can do without, in one try. Raises DailyLimitReached, AccountClosed, PacerClosed."""
    async with session.pacer.slot():
        answer = await session.send(call, session.called())
    parsed = parse(answer) if isinstance(answer, Answer) else answer
    if isinstance(parsed, Throttled):
        heed(session, parsed)
    return parsed


async def ask_key_user(session: Connection) -> KeyUser | Failure:
    """Whose the keys are, asked once for a connection. Raises as `consult`."""
    if session.key_user is not None:
        return session.key_user
    return await consult(session, KEY_USER, read_key_user)


async def before_repeating(
    session: Connection, outcome: NotSent | Throttled | Denied, unsent: int, *, bulk: bool = False
) -> None:
    """Do what must come before another try: close the account's gate, wait, or give up by raising."""
    if isinstance(outcome, Denied):
        if outcome.path:
            raise NoSuchApi(session.client.base_url, outcome.path, outcome.words)
        raise AccessDenied(outcome.status, outcome.words, is_page=outcome.is_page)
    if isinstance(outcome, Throttled):
        heed(session, outcome, bulk=bulk)
        rate, reported = (session.bulk_pacer if bulk else session.pacer).rate, outcome.rate and str(outcome.rate)
        pause = outcome.pause
        log.warning("refused as one call too many", bulk=bulk, pause=pause, reported=reported, rate=str(rate))
        if pause is not None and pause > LONG_WAIT:
            until = datetime.now().astimezone() + timedelta(seconds=pause)
            log.warning("waiting as LeadSquared asked", until=until.isoformat(timespec="seconds"))
        now, period = asyncio.get_running_loop().time(), session.pacer.rate.period
        session.health.refused(now, period, outcome.words)
        return
    if outcome.hopeless or unsent >= CONNECT_TRIES:
        tally, tries = session.tally, 1 if outcome.hopeless else unsent
        left = any(tally.states.get(state) for state in TO_DO)  # a plan, or a look at who has access, sends nothing
        raise Unreachable(session.client.base_url, tries, outcome.words, left=left, answered=tally.calls > 0)
    session.tally.reached(Outage(outcome.words, unsent, CONNECT_TRIES))
    await session.stop.sleep(min(2.0**unsent, 30.0) * random.uniform(0.5, 1.0))  # noqa: S311 - jitter


def heed(session: Connection, outcome: Throttled, *, bulk: bool = False) -> None:
    """Call no more for as long as LeadSquared asks. Raises AccountClosed if that is longer than a run waits.

    A bulk call may be too many for its own limit, or for the account's: the limit that is told says which.
    """
    session.tally.refusals += 1
    if outcome.closed_for is not None:
        raise AccountClosed(session.memory.close_for(outcome.closed_for), outcome.words)
    reported, account = outcome.rate, session.pacer.limit
    of_bulk_alone = bulk and reported is not None and reported.per_second < account.per_second
    if bulk:
        session.bulk_pacer.refused(pause=outcome.pause, reported=reported if of_bulk_alone else None)
    if not of_bulk_alone:
        session.pacer.refused(pause=outcome.pause, reported=None if bulk else reported)


_DONE: Final = {
    Stage.ACTIVITY: (State.POSTED, "activity_id"),
    Stage.SHARE: (State.ACCEPTED, "request_id"),
    Stage.REVOKE: (State.ENDING, "revoke_id"),
}


def decide_step(step: Stage, outcome: Outcome) -> Result:
    """How the answer to a row's activity or share changes the row."""
    match outcome:
        case Done():
            state, learned = _DONE[step]
            return Result(state, "done", answer_id=outcome.id, http_status=200, learned={learned: outcome.id})
        case Refused():
            why = Why(Cause.REFUSED, {"said": outcome.words})
            return Result(State.FAILED, "refused", outcome.words, outcome.status, stage=step, why=why)
        case Throttled() | Denied() | NotSent():
            return Result(BEFORE[step], type(outcome).__name__.lower(), outcome.words, outcome.status)
        case _:
            why = Why(Cause.LOST, {"said": outcome.words})
            return Result(State.UNKNOWN, "lost", outcome.words, outcome.status, stage=step, why=why)


def decide(step: Stage, outcome: Outcome | tuple[Outcome, ...], rows: int, *, bulk: bool = False) -> list[Result]:
    """How a call changes each of its rows: by its own outcome if each has one, else by that of the whole call.

    A call refused as a whole does not say which row is to blame, so none has failed yet.
    """
    if isinstance(outcome, tuple):
        return [decide_step(step, each) for each in outcome]
    if not isinstance(outcome, Refused) or not (rows > 1 or bulk):
        return [decide_step(step, outcome)] * rows
    if step is Stage.SHARE:  # repeated in parts, in the same contexts
        return [Result(State.POSTED, "refused", outcome.words, outcome.status)] * rows
    if outcome.status in {400, 404}:  # its body or its API, so that nothing was done: its rows go by themselves
        return [Result(State.PENDING, "refused", outcome.words, outcome.status, stage=Stage.ACTIVITY)] * rows
    # No page says whether it may have done a part, and what is sent again must surely not be there.
    lost = Lost(f"the bulk call was refused as a whole: {outcome.words}", outcome.status)
    return [decide_step(step, lost)] * rows


def needs_own_call(row: Row) -> bool:
    """Whether the row was sent before and is sent again: by itself, so that nothing else can be its trouble."""
    return row.stage is not None


def carry(row: Row, result: Result) -> Result:
    """A result with what the row's earlier calls add to it."""
    if is_repeated(row):
        return in_doubt(result)
    if row.state is State.TO_REVOKE and row.doubtful:
        return undone_in_doubt(result)
    return replace(result, stage=result.stage or row.stage) if result.state is State.PENDING else result


def is_repeated(row: Row) -> bool:
    """Whether an earlier share of the row may have been done, so that it is repeated in the same context."""
    return row.state is State.POSTED and row.doubtful


AGAIN: Final = Result(State.POSTED, "again", stage=Stage.SHARE, why=Why(Cause.REPEATED), doubtful=True)
"""An unknown share is to be repeated."""


def in_doubt(result: Result) -> Result:
    """What a result means for a row whose share is repeated: of the one before, still nobody knows."""
    if result.state is State.POSTED:
        return replace(result, stage=AGAIN.stage, why=AGAIN.why, doubtful=True)
    if result.state is State.FAILED:
        return replace(result, state=State.UNKNOWN, stage=Stage.SHARE)
    return result


def undone_in_doubt(result: Result) -> Result:
    """What a result means for a row of which nobody knew whether its share stands when it was revoked.

    That there is nothing to revoke may be why that was refused, or could not be processed.
    """
    if result.state in {State.TO_REVOKE, State.ENDING}:
        return replace(result, stage=Stage.REVOKE, doubtful=True)
    return replace(result, state=State.UNKNOWN) if result.state is State.FAILED else result


def decide_status(answer: ShareStatus | Failure) -> Result:
    """How the status API's answer changes the rows of a request. What is not plain stays accepted."""
    words, status = answer.words, answer.status
    if not isinstance(answer, ShareStatus):
        cause = Cause.STATUS_REFUSED if isinstance(answer, Refused) else Cause.STATUS_UNREAD
        return Result(State.ACCEPTED, type(answer).__name__.lower(), words, status, why=Why(cause, {"said": words}))
    learned = {"share_status": answer.number}
    if answer.verdict == "processed":
        return Result(State.SHARED, "processed", words, status, learned=learned)
    if answer.verdict == "failed":
        why = Why(Cause.NOT_PROCESSED, {"said": words})
        return Result(State.FAILED, "failed", words, status, stage=Stage.PROCESSING, why=why, learned=learned)
    why = Why(Cause.WAITING, {"status": answer.number, "said": words})
    return Result(State.ACCEPTED, "pending", words, status, why=why, learned=learned)


def decide_answer(
    answer: ShareStatus | Failure,
    request_id: str,
    before: State,
    rows: int,
    doubtful: bool,
) -> Result:
    """What an answer of the status API means for the `rows` rows of a request, in `before`, `doubtful` or not."""
    result = decide_status(answer)
    if before is State.ENDING:  # the request revokes the share of its one row
        why = result.why or Why(Cause.REVOKED)
        ended = {State.FAILED: State.FAILED, State.SHARED: State.REVOKED}.get(result.state, State.ENDING)
        stage = Stage.REVOKE if ended is State.FAILED else result.stage
        why = replace(why, details={**why.details, "request": request_id})
        result = replace(result, state=ended, stage=stage, why=why, learned={})
        return undone_in_doubt(result) if doubtful else result
    if rows == 1 or result.state is not State.FAILED:
        return result
    # It does not say which is to blame. The number was of that request: the next one has none yet.
    return replace(result, state=State.POSTED, stage=Stage.SHARE, doubtful=True, learned={"share_status": None})
