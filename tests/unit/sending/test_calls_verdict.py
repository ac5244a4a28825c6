"""What an answer means for its row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ledgers import instruction

from batch_share.leadsquared.protocol import Denied, Done, Lost, NotSent, Refused, ShareStatus, Throttled
from batch_share.ledger.records import Result, Row
from batch_share.ledger.states import INTENT_OF, TRANSITIONS, Stage, State
from batch_share.results.wording import spell_result
from batch_share.sending.calls import carry, decide, decide_answer, decide_status, decide_step, needs_own_call

if TYPE_CHECKING:
    from batch_share.leadsquared.protocol import Outcome

REPEATED = "its share may already have been made: it is repeated in the same activity"
STEPS = pytest.mark.parametrize("step", [Stage.ACTIVITY, Stage.SHARE])
ANY: list[Outcome] = [
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
    result = decide_step(step, Done("the id"))
    assert (result.state, result.learned, result.answer_id) == (state, learned, "the id")
    assert (result.outcome, result.http_status, result.stage, spell_result(result)) == ("done", 200, None, "")


@STEPS
def test_a_refusal_fails_the_row_with_the_apis_own_words(step: Stage) -> None:
    result = decide_step(step, Refused("No such lead", "MXEntityNotFoundException", 500))
    assert (result.state, result.stage, result.words, result.http_status) == (
        State.FAILED,
        step,
        "No such lead",
        500,
    )
    assert spell_result(result) == f"LeadSquared refused the {step}: No such lead"
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
    result = decide_step(step, outcome)
    assert (result.state, result.outcome, result.words, result.http_status) == (before, name, "words", status)
    assert (result.stage, spell_result(result), result.learned) == (None, "", {})


@pytest.mark.parametrize(
    ("step", "what"), [(Stage.ACTIVITY, "the activity was posted"), (Stage.SHARE, "the share was accepted")]
)
def test_what_may_have_been_done_is_unknown(step: Stage, what: str) -> None:
    assert spell_result(decide_step(step, Lost("HTTP 502.", 502))) == spell_result(
        decide_step(step, Lost("HTTP 502", 502))
    )
    result = decide_step(step, Lost("HTTP 502", 502))
    assert (result.state, result.stage, result.outcome, result.http_status) == (State.UNKNOWN, step, "lost", 502)
    assert spell_result(result) == (
        f"it is unknown whether {what}: HTTP 502. The next run or `batch-share resume --only-unknown` looks it up "
        "before it sends again (never with --on-unknown park)"
    )


@STEPS
@pytest.mark.parametrize("outcome", ANY)
def test_every_verdict_on_a_step_is_a_legal_transition_from_its_intent(step: Stage, outcome: Done) -> None:
    assert decide_step(step, outcome).state in TRANSITIONS[INTENT_OF[step]]


def test_processed_is_shared() -> None:
    result = decide_status(ShareStatus("processed", 6, "Request processed successfully."))
    assert (result.state, spell_result(result), result.learned) == (State.SHARED, "", {"share_status": 6})
    assert (result.outcome, result.words) == ("processed", "Request processed successfully.")


def test_an_error_message_is_failed_in_processing() -> None:
    result = decide_status(ShareStatus("failed", 4, "User is inactive"))
    assert (result.state, result.stage, result.learned) == (State.FAILED, Stage.PROCESSING, {"share_status": 4})
    assert spell_result(result) == "LeadSquared accepted the share but could not process it: User is inactive"


@pytest.mark.parametrize(
    ("status", "reported"),
    [
        (ShareStatus("pending", 3, "Queued"), "(ShareStatus 3: Queued)"),
        (ShareStatus("pending", 3, ""), "(ShareStatus 3)"),
        (ShareStatus("pending", None, ""), "(no ShareStatus)"),
    ],
)
def test_anything_else_stays_accepted_with_the_raw_number_and_text(status: ShareStatus, reported: str) -> None:
    result = decide_status(status)
    assert (result.state, result.outcome) == (State.ACCEPTED, "pending")
    assert (result.words, result.learned) == (status.words, {"share_status": status.number})
    assert spell_result(result) == f"accepted, not yet processed {reported}"


@pytest.mark.parametrize("failure", ANY[1:])
def test_a_status_that_could_not_be_read_says_nothing_about_the_share(failure: Lost) -> None:
    result = decide_status(failure)
    assert (result.state, result.stage, result.learned) == (State.ACCEPTED, None, {})
    advice = ". Check the lead in LeadSquared" if isinstance(failure, Refused) else ""
    assert spell_result(result) == f"accepted; its status could not be read: {failure.words}{advice}"


FAILED, PROCESSED = ShareStatus("failed", 4, "User is inactive"), ShareStatus("processed", 6, "Done")


@pytest.mark.parametrize(
    ("answer", "before", "rows", "doubtful", "after"),
    [
        (PROCESSED, State.ACCEPTED, 1, False, State.SHARED),
        (PROCESSED, State.ACCEPTED, 25, False, State.SHARED),
        (PROCESSED, State.ENDING, 1, False, State.REVOKED),
        (FAILED, State.ACCEPTED, 1, False, State.FAILED),
        (FAILED, State.ACCEPTED, 25, False, State.POSTED),  # it does not say which is to blame
        (FAILED, State.ENDING, 1, False, State.FAILED),
        (FAILED, State.ENDING, 1, True, State.UNKNOWN),  # perhaps since there was nothing to revoke
    ],
)
def test_what_an_answer_means_depends_on_what_its_request_is_of(
    answer: ShareStatus, before: State, rows: int, after: State, *, doubtful: bool
) -> None:
    assert decide_answer(answer, "req", before, rows, doubtful).state is after


# ------------------------------------------------------------------------------------------ calls for many


def row(state: State, stage: Stage | None = None) -> Row:
    """A row of a ledger."""
    return Row(1, "key", 2, ["1"], state, instruction(), 0, stage=stage, doubtful=state is State.POSTED)


@STEPS
def test_each_row_of_a_call_has_its_own_outcome_where_there_are_as_many(step: Stage) -> None:
    assert decide(step, tuple(ANY), len(ANY), bulk=True) == [decide_step(step, each) for each in ANY]


@STEPS
@pytest.mark.parametrize("outcome", [each for each in ANY if not isinstance(each, Refused)])
@pytest.mark.parametrize("rows", [1, 25])
@pytest.mark.parametrize("bulk", [False, True])
def test_what_became_of_a_call_became_of_all_its_rows(step: Stage, outcome: Lost, rows: int, *, bulk: bool) -> None:
    assert decide(step, outcome, rows, bulk=bulk) == [decide_step(step, outcome)] * rows


@STEPS
def test_a_call_of_one_row_that_was_refused_fails_it(step: Stage) -> None:
    refused = Refused("No", "MXSome", 500)
    assert decide(step, refused, 1) == [decide_step(step, refused)]
    assert decide(step, refused, 1)[0].state is State.FAILED


@pytest.mark.parametrize("status", [200, 400, 404, 500])
def test_a_refused_share_of_many_is_repeated_in_parts(status: int) -> None:
    wanted = Result(State.POSTED, "refused", "No", status)
    assert decide(Stage.SHARE, Refused("No", "MXSome", status), 3) == [wanted] * 3


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("status", [400, 404])
def test_a_bulk_call_whose_body_or_api_was_refused_did_nothing(status: int, rows: int) -> None:
    wanted = Result(State.PENDING, "refused", "No", status, stage=Stage.ACTIVITY)
    assert decide(Stage.ACTIVITY, Refused("No", "MXSome", status), rows, bulk=True) == [wanted] * rows


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("status", [200, 500, None])
def test_a_bulk_call_that_was_refused_otherwise_may_have_done_a_part(status: int | None, rows: int) -> None:
    results = decide(Stage.ACTIVITY, Refused("No", "MXSome", status), rows, bulk=True)
    assert {(each.state, each.stage, each.http_status) for each in results} == {
        (State.UNKNOWN, Stage.ACTIVITY, status)
    }
    assert results[0].words == "the bulk call was refused as a whole: No"
    assert len(results) == rows


@pytest.mark.parametrize("state", [State.PENDING, State.POSTED])
@pytest.mark.parametrize("stage", [None, *Stage])
def test_a_row_goes_by_itself_when_it_was_sent_before(state: State, stage: Stage | None) -> None:
    assert needs_own_call(row(state, stage)) is (stage is not None)


@pytest.mark.parametrize(
    ("before", "result", "stage"),
    [
        (None, decide_step(Stage.ACTIVITY, Throttled("words")), None),
        (Stage.ACTIVITY, decide_step(Stage.ACTIVITY, Throttled("words")), Stage.ACTIVITY),
        (None, Result(State.PENDING, "refused", stage=Stage.ACTIVITY), Stage.ACTIVITY),
        (Stage.ACTIVITY, decide_step(Stage.ACTIVITY, Done("id")), None),
        (Stage.ACTIVITY, decide_step(Stage.ACTIVITY, Lost("words")), Stage.ACTIVITY),
    ],
)
def test_a_row_that_was_sent_before_stays_so_until_its_activity_stands(
    before: Stage | None, result: Result, stage: Stage | None
) -> None:
    carried = carry(row(State.PENDING, before), result)
    assert (carried.state, carried.stage) == (result.state, stage)


@pytest.mark.parametrize(
    ("outcome", "state", "reason"),
    [
        (Done("id"), State.ACCEPTED, ""),
        (Throttled("words"), State.POSTED, REPEATED),
        (NotSent("words"), State.POSTED, REPEATED),
        (
            Refused("No"),
            State.UNKNOWN,
            (
                "it is unknown whether the share was accepted before, and it can't be repeated: "
                "LeadSquared refused the share: No"
            ),
        ),
    ],
)
def test_of_a_share_that_is_repeated_nobody_knows_until_it_is_accepted(
    outcome: Refused, state: State, reason: str
) -> None:
    carried = carry(row(State.POSTED, Stage.SHARE), decide_step(Stage.SHARE, outcome))
    assert (carried.state, spell_result(carried)) == (state, reason)
    assert carried.stage is (None if state is State.ACCEPTED else Stage.SHARE)


@pytest.mark.parametrize(
    "status", [ShareStatus("processed", 6, ""), ShareStatus("pending", 3, "Queued"), Lost("timeout"), Refused("No")]
)
def test_a_status_that_is_no_failure_means_the_same_for_many(status: Lost) -> None:
    assert decide_answer(status, "req", State.ACCEPTED, 25, doubtful=False) == decide_status(status)


def test_a_failure_of_many_sends_each_back_to_be_shared_by_itself() -> None:
    result = decide_answer(ShareStatus("failed", 4, "User is inactive"), "req", State.ACCEPTED, 25, doubtful=False)
    assert (result.state, result.stage, result.learned) == (State.POSTED, Stage.SHARE, {"share_status": None})
    assert (result.outcome, result.words) == ("failed", "User is inactive")
    assert spell_result(result) == (
        "the shares in its call could not be processed, so each is shared again on its own: User is inactive"
    )
    assert result.state in TRANSITIONS[State.ACCEPTED]
