"""What an Outcome means for its row: the state it enters, and why. A pure table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from batch_share.common import Cause
from batch_share.leadsquared.protocol import Denied, Done, Lost, NotSent, Refused, ShareStatus, Throttled
from batch_share.ledger.records import Result, Why
from batch_share.ledger.states import BEFORE, Stage, State

if TYPE_CHECKING:
    from batch_share.leadsquared.protocol import Failure, Outcome
    from batch_share.ledger.records import Row

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
