"""What an Outcome means for its row: the state it enters and the reason a person reads. A pure table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from batch_share.errors import sentence
from batch_share.leadsquared.outcome import Denied, Done, Lost, NotSent, Refused, ShareStatus, Throttled
from batch_share.ledger.records import Result, Status
from batch_share.ledger.states import BEFORE, Stage, State

if TYPE_CHECKING:
    from batch_share.leadsquared.outcome import Failure, Outcome
    from batch_share.ledger.records import Row

_DONE: Final = {
    Stage.ACTIVITY: (State.POSTED, "activity_id"),
    Stage.SHARE: (State.ACCEPTED, "request_id"),
    Stage.REVOKE: (State.ENDING, "revoke_id"),
}
_WHAT: Final = {
    Stage.ACTIVITY: "the activity was posted",
    Stage.SHARE: "the share was accepted",
    Stage.REVOKE: "the share was taken back",
}
_STANDS: Final = "the share stands: "
_REFUSED: Final = {
    Stage.ACTIVITY: "LeadSquared refused the activity",
    Stage.SHARE: "LeadSquared refused the share",
    Stage.REVOKE: f"{_STANDS}LeadSquared refused to take it back",
}

LOOK: Final = "Look at the lead in LeadSquared"
"""What a person does where LeadSquared itself does not say what became of a share."""

_ACCEPTED: Final = "accepted"
"""How the reason of a row begins whose request was accepted, and more is not known."""

FOUND_OUT: Final = (
    "The next run or `batch-share resume --only-unknown` finds out before it sends again (never with --on-unknown "
    "park)"
)
"""What becomes of a row of which nobody knows."""

TAKEN_BACK_AGAIN: Final = "`batch-share revoke` takes it back again, which can't take more away"
"""What becomes of a share of which nobody knows whether it was taken back."""


def decide_step(step: Stage, outcome: Outcome) -> Result:
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
            reason = f"{doubt} {TAKEN_BACK_AGAIN if step is Stage.REVOKE else FOUND_OUT}"
            return Result(State.UNKNOWN, "lost", outcome.words, outcome.status, stage=step, reason=reason)


def decide(step: Stage, outcome: Outcome | tuple[Outcome, ...], rows: int, *, bulk: bool = False) -> list[Result]:
    """How a call changes each of its rows: by its own outcome if each has one, else by that of the whole call."""
    if isinstance(outcome, tuple):
        return [decide_step(step, each) for each in outcome]
    if isinstance(outcome, Refused) and (rows > 1 or bulk):
        return [_decide_refused_call(step, outcome)] * rows
    return [decide_step(step, outcome)] * rows


def _decide_refused_call(step: Stage, outcome: Refused) -> Result:
    """A call refused as a whole does not say which row is to blame, so none has failed yet.

    A share call is repeated in parts, in the same contexts. A bulk call whose body or API was refused did nothing:
    its rows go by themselves. Of any other no page says whether it may have done a part, and what is sent again
    must surely not be there.
    """
    if step is Stage.SHARE:
        return Result(State.POSTED, "refused", outcome.words, outcome.status)
    if outcome.status in {400, 404}:
        return Result(State.PENDING, "refused", outcome.words, outcome.status, stage=Stage.ACTIVITY)
    return decide_step(step, Lost(f"the bulk call was refused as a whole: {outcome.words}", outcome.status))


def goes_alone(row: Row) -> bool:
    """Whether the row was sent before and is sent again: by itself, so that nothing else can be its trouble."""
    return row.stage is not None


def carry(row: Row, result: Result) -> Result:
    """A result with what the row's earlier calls add to it."""
    if is_repeated(row):
        return in_doubt(result)
    if row.state is State.TO_REVOKE and row.stage is Stage.REVOKE:
        return undone_in_doubt(result)
    return replace(result, stage=result.stage or row.stage) if result.state is State.PENDING else result


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


def undone_in_doubt(result: Result) -> Result:
    """What a result means for a row of which nobody knew whether its share stands when it was taken back.

    That there is nothing to take back may be why that was refused, or could not be processed.
    """
    if result.state in {State.TO_REVOKE, State.ENDING}:
        return replace(result, stage=Stage.REVOKE)
    if result.state is State.FAILED:
        why = (result.reason or "").removeprefix(_STANDS)
        doubt = sentence(f"nobody knows whether the share stands, and {why}")
        return replace(result, state=State.UNKNOWN, reason=f"{doubt} {LOOK}")
    return result


def decide_status_of_many(result: Result) -> Result:
    """What a `decide_status` means for each row of a request of many: a failure does not say which is to blame."""
    if result.state is not State.FAILED:
        return result
    reason = f"the shares of its call could not be processed, so each is shared again by itself: {result.words}"
    # The number was of that request: the next one has none yet.
    return replace(result, state=State.POSTED, stage=Stage.SHARE, reason=reason, learned={"share_status": None})


def decide_status(answer: ShareStatus | Failure) -> Result:
    """How the status API's answer changes the rows of a request. What is not plain stays accepted."""
    if not isinstance(answer, ShareStatus):
        advice = f". {LOOK}" if isinstance(answer, Refused) else ""
        reason = f"{_ACCEPTED}; its status could not be read: {answer.words.rstrip('.')}{advice}"
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
    reason = f"{_ACCEPTED}, not yet processed ({number}{': ' + answer.words if answer.words else ''})"
    return Result(State.ACCEPTED, "pending", answer.words, answer.status, reason=reason, learned=learned)


def decide_revocation(answer: ShareStatus | Failure, request_id: str) -> Result:
    """How the status API's answer changes the row whose share the request takes back."""
    shared = decide_status(answer)
    if shared.state is State.SHARED:
        reason = f"the share was taken back (request Id {request_id})"
        return replace(shared, state=State.REVOKED, reason=reason, learned={})
    if shared.state is State.FAILED:
        reason = f"{_STANDS}LeadSquared could not process its revocation (request Id {request_id})"
        return replace(shared, stage=Stage.REVOKE, reason=f"{reason}: {shared.words}", learned={})
    why = (shared.reason or "").removeprefix(_ACCEPTED)
    reason = f"it is being taken back (request Id {request_id}){why}"
    return replace(shared, state=State.ENDING, reason=reason, learned={})


def decide_answer(answer: ShareStatus | Failure, request_id: str) -> Status:
    """What the status API's answer means, whatever the request is of."""
    result, revocation = decide_status(answer), decide_revocation(answer, request_id)
    return Status(result, decide_status_of_many(result), revocation, undone_in_doubt(revocation))
