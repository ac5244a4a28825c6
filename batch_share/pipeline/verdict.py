"""What an Outcome means for its row: the state it enters and the reason a person reads. A pure table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from batch_share.errors import sentence
from batch_share.leadsquared.outcome import Denied, Done, NotSent, Refused, ShareStatus, Throttled
from batch_share.ledger.records import Result
from batch_share.ledger.states import BEFORE, Stage, State

if TYPE_CHECKING:
    from batch_share.leadsquared.outcome import Failure, Outcome
    from batch_share.ledger.records import Row

_DONE: Final = {Stage.ACTIVITY: (State.POSTED, "activity_id"), Stage.SHARE: (State.ACCEPTED, "request_id")}
_WHAT: Final = {Stage.ACTIVITY: "the activity was posted", Stage.SHARE: "the share was accepted"}
_REFUSED: Final = {Stage.ACTIVITY: "LeadSquared refused the activity", Stage.SHARE: "LeadSquared refused the share"}

FOUND_OUT: Final = (
    "The next run or `batch-share reconcile` finds out before it sends again (never with --on-unknown park)"
)
"""What becomes of a row of which nobody knows."""


def judge_step(step: Stage, outcome: Outcome) -> Result:
    """How the answer to a row's activity or share changes the row."""
    match outcome:
        case Done():
            state, learned = _DONE[step]
            return Result(state, "done", answer_id=outcome.id, http_status=200, learned={learned: outcome.id})
        case Refused():
            reason = f"{_REFUSED[step]}: {outcome.words}"
            return Result(State.FAILED, "refused", outcome.words, outcome.status, stage=step, reason=reason)
        case Throttled() | Denied() | NotSent():
            return Result(BEFORE[step], type(outcome).__name__.lower(), outcome.words, outcome.status)
        case _:
            doubt = sentence(f"nobody knows whether {_WHAT[step]}: {outcome.words}")
            reason = f"{doubt} {FOUND_OUT}"
            return Result(State.UNKNOWN, "lost", outcome.words, outcome.status, stage=step, reason=reason)


def is_repeated(row: Row) -> bool:
    """Whether an earlier share of the row may have been done, so that it is repeated in the same context."""
    return row.state is State.POSTED and row.stage is Stage.SHARE


REPEATED: Final = "its share may have been done already: it is repeated in the same activity"


def in_doubt(result: Result) -> Result:
    """What a result means for a row whose share is repeated: of the one before, still nobody knows."""
    if result.state is State.POSTED:
        return replace(result, stage=Stage.SHARE, reason=REPEATED)
    if result.state is State.FAILED:
        reason = f"nobody knows whether the share was accepted before, and it can't be repeated: {result.reason}"
        return replace(result, state=State.UNKNOWN, stage=Stage.SHARE, reason=reason)
    return result


def judge_status(answer: ShareStatus | Failure) -> Result:
    """How the status API's answer changes the rows of a request. What is not plain stays accepted."""
    if not isinstance(answer, ShareStatus):
        advice = ". Look at the lead in LeadSquared" if isinstance(answer, Refused) else ""
        reason = f"accepted; its status could not be read: {answer.words.rstrip('.')}{advice}"
        outcome = type(answer).__name__.lower()
        return Result(State.ACCEPTED, outcome, answer.words, answer.status, reason=reason)
    learned = {"share_status": answer.number}
    if answer.verdict == "processed":
        return Result(State.SHARED, "processed", answer.words, answer.status, learned=learned)
    if answer.verdict == "failed":
        return Result(
            State.FAILED,
            "failed",
            answer.words,
            answer.status,
            stage=Stage.PROCESSING,
            reason=f"LeadSquared accepted the share but could not process it: {answer.words}",
            learned=learned,
        )
    number = "no ShareStatus" if answer.number is None else f"ShareStatus {answer.number}"
    reason = f"accepted, not yet processed ({number}{': ' + answer.words if answer.words else ''})"
    return Result(State.ACCEPTED, "pending", answer.words, answer.status, reason=reason, learned=learned)
