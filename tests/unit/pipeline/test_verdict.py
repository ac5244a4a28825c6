"""What an answer means for its row."""

from __future__ import annotations

import pytest

from batch_share.leadsquared.outcome import Denied, Done, Lost, NotSent, Refused, ShareStatus, Throttled
from batch_share.ledger.states import INTENT_OF, TRANSITIONS, Stage, State
from batch_share.pipeline.verdict import judge_status, judge_step

STEPS = pytest.mark.parametrize("step", [Stage.ACTIVITY, Stage.SHARE])
ANY = [
    Done("id"),
    Refused("No such lead", "MXEntityNotFoundException", 500),
    Throttled("too many", status=429),
    Denied("bad keys", 401),
    NotSent("no connection"),
    Lost("timeout"),
]


@pytest.mark.parametrize(
    ("step", "state", "learned"),
    [
        (Stage.ACTIVITY, State.POSTED, {"activity_id": "the id"}),
        (Stage.SHARE, State.ACCEPTED, {"request_id": "the id"}),
    ],
)
def test_what_was_done_brings_the_row_on_with_its_id(step: Stage, state: State, learned: dict[str, str]) -> None:
    result = judge_step(step, Done("the id"))
    assert (result.state, result.learned, result.answer_id) == (state, learned, "the id")
    assert (result.outcome, result.http_status, result.stage, result.reason) == ("done", 200, None, None)


@STEPS
def test_a_refusal_fails_the_row_with_the_apis_own_words(step: Stage) -> None:
    result = judge_step(step, Refused("No such lead", "MXEntityNotFoundException", 500))
    assert (result.state, result.stage, result.words, result.http_status) == (
        State.FAILED,
        step,
        "No such lead",
        500,
    )
    assert result.reason == f"LeadSquared refused the {step}: No such lead"
    assert (result.outcome, result.learned) == ("refused", {})


@pytest.mark.parametrize(("step", "before"), [(Stage.ACTIVITY, State.PENDING), (Stage.SHARE, State.POSTED)])
@pytest.mark.parametrize(
    ("outcome", "name", "status"),
    [
        (Throttled("words", status=200), "throttled", 200),
        (Denied("words", 403), "denied", 403),
        (NotSent("words"), "notsent", None),
    ],
)
def test_what_was_definitely_not_done_puts_the_row_back_where_it_was(
    step: Stage, before: State, outcome: Throttled | Denied | NotSent, name: str, status: int | None
) -> None:
    result = judge_step(step, outcome)
    assert (result.state, result.outcome, result.words, result.http_status) == (before, name, "words", status)
    assert (result.stage, result.reason, result.learned) == (None, None, {})


@pytest.mark.parametrize(
    ("step", "what"), [(Stage.ACTIVITY, "the activity was posted"), (Stage.SHARE, "the share was accepted")]
)
def test_what_may_have_been_done_is_unknown(step: Stage, what: str) -> None:
    assert judge_step(step, Lost("HTTP 502.", 502)).reason == judge_step(step, Lost("HTTP 502", 502)).reason
    result = judge_step(step, Lost("HTTP 502", 502))
    assert (result.state, result.stage, result.outcome, result.http_status) == (State.UNKNOWN, step, "lost", 502)
    assert result.reason == (
        f"nobody knows whether {what}: HTTP 502. The next run or `batch-share reconcile` finds out before it sends "
        "again (never with --on-unknown park)"
    )


@STEPS
@pytest.mark.parametrize("outcome", ANY)
def test_every_verdict_on_a_step_is_a_legal_transition_from_its_intent(step: Stage, outcome: Done) -> None:
    assert judge_step(step, outcome).state in TRANSITIONS[INTENT_OF[step]]


def test_processed_is_shared() -> None:
    result = judge_status(ShareStatus("processed", 6, "Request processed successfully."))
    assert (result.state, result.reason, result.learned) == (State.SHARED, None, {"share_status": 6})
    assert (result.outcome, result.words) == ("processed", "Request processed successfully.")


def test_an_error_message_is_failed_in_processing() -> None:
    result = judge_status(ShareStatus("failed", 4, "User is inactive"))
    assert (result.state, result.stage, result.learned) == (State.FAILED, Stage.PROCESSING, {"share_status": 4})
    assert result.reason == "LeadSquared accepted the share but could not process it: User is inactive"


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (ShareStatus("pending", 3, "Queued"), "(ShareStatus 3: Queued)"),
        (ShareStatus("pending", 3, ""), "(ShareStatus 3)"),
        (ShareStatus("pending", None, ""), "(no ShareStatus)"),
    ],
)
def test_anything_else_stays_accepted_with_the_raw_number_and_text(status: ShareStatus, told: str) -> None:
    result = judge_status(status)
    assert (result.state, result.outcome) == (State.ACCEPTED, "pending")
    assert (result.words, result.learned) == (status.words, {"share_status": status.number})
    assert result.reason == f"accepted, not yet processed {told}"


@pytest.mark.parametrize("failure", ANY[1:])
def test_a_status_that_could_not_be_read_says_nothing_about_the_share(failure: Lost) -> None:
    result = judge_status(failure)
    assert (result.state, result.stage, result.learned) == (State.ACCEPTED, None, {})
    advice = ". Look at the lead in LeadSquared" if isinstance(failure, Refused) else ""
    assert result.reason == f"accepted; its status could not be read: {failure.words}{advice}"
