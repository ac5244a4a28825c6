"""What a person is told to do next about a row."""

from __future__ import annotations

from typing import Any

import pytest

from batch_share.ledger.records import SENT_BEFORE, Row
from batch_share.ledger.states import Stage, State
from batch_share.results.wording import SHIFTED, Advice
from batch_share.sheet.table import ERROR_VALUE, NEVER_STORED

ADVICE = Advice("my leads.db", "my leads.failed.csv")


def row(state: State, **changes: Any) -> Row:
    values: dict[str, Any] = {"id": 1, "key": "k", "sheet_row": 2, "cells": [], "instruction": None, "position": 0}
    return Row(**values | {"state": state} | changes)


def failed(reason: str = "LeadSquared refused the activity: No", **changes: Any) -> Row:
    return row(State.FAILED, **{"stage": Stage.ACTIVITY, "reason": reason} | changes)


@pytest.mark.parametrize(
    ("said", "step"),
    [
        (
            "Row 2, Lead Email 'x@y.z': no lead has this email",
            "Correct the lead in my leads.failed.csv, or create it in LeadSquared; then run",
        ),
        ("LeadSquared refused the activity: Lead does not exist in the system", "Correct the lead in"),
        ("LeadSquared refused the activity: The entity does not exist", "Correct the lead in"),
        ("Row 2, Lead Phone '1': found 2 times: use the Id instead", "Name it by its Id"),
        ("Row 2, User Id 'x': not an active user of the account", "Name an active user"),
        ("Row 2, User Id 'x': Asha Rao is no longer an active user of the account", "Name an active user"),
        ("LeadSquared refused the activity: Owner is not an active user of the account", "Name an active user"),
        ("LeadSquared refused the activity: Event Code is invalid or empty", "Give the code of an activity type"),
        ("it was to end at 2026-01-01 18:00 UTC, which is over", "Give the row a later end"),
        ("Row 2, Until '2020-01-01': is over already", "Give the row a later end"),
        ("A potentially dangerous value was detected in the request", "Take signs such as < and >"),
        ("Row 2, Note: looks like markup (<…), which LeadSquared refuses", "Take signs such as < and >"),
        ("A note has at most 1,775 characters", "Shorten the text"),
        ("Attribute(s) does not exist - mx_Custom_9", "leave only fields that this activity type has"),
        (
            "You are not allowed to use this API",
            "Have LeadSquared's administrator allow it; nothing has to be changed in",
        ),
        (
            "API calls exceeded the limit of 20 in 5 second(s)",
            "There were too many calls; nothing has to be changed in",
        ),
        ("Row 2, Duration 'soon': no duration", "Correct what the reason names"),
    ],
)
@pytest.mark.parametrize("state", [State.FAILED, State.INVALID])
def test_a_row_with_nothing_at_leadsquared_is_mended_in_the_sheet_of_failed_rows(
    state: State, said: str, step: str
) -> None:
    told = ADVICE.next_step(row(state, reason=said))
    assert step in told
    assert "my leads.failed.csv" in told
    assert told.endswith("; then run that file.")


def test_what_leadsquared_said_counts_as_the_reason_does() -> None:
    assert "Correct the lead" in ADVICE.next_step(failed("refused"), "Lead not found")


def test_without_such_a_sheet_another_one_is_made() -> None:
    assert (
        Advice("leads.db").next_step(failed())
        == "Correct what the reason names in a sheet of its own; then run that sheet."
    )


@pytest.mark.parametrize("said", [f"3 cells for 2 headers: {SHIFTED}", NEVER_STORED, ERROR_VALUE])
def test_what_only_the_sheet_shows_is_mended_there(said: str) -> None:
    told = ADVICE.next_step(row(State.INVALID, reason=f"Row 2: {said}"))
    assert "the sheet itself" in told
    assert "failed.csv" not in told


@pytest.mark.parametrize("stage", [Stage.SHARE, Stage.PROCESSING])
def test_a_row_whose_activity_stands_is_never_told_to_be_run_elsewhere(stage: Stage) -> None:
    told = ADVICE.next_step(failed(stage=stage, activity_id="act"), "Lead does not exist")
    assert told.endswith("in the same activity: batch-share retry 'my leads.db' --all")
    assert "batch-share run" not in told


def test_an_activity_of_somebody_else_is_looked_at() -> None:
    told = ADVICE.next_step(failed("its owner is another", activity_id="act"))
    assert told.startswith("Look at the activity in LeadSquared")


def test_a_share_whose_time_is_over_is_not_repeated() -> None:
    over = failed("it was to end at 2026-01-01 18:00 UTC, which is over", stage=Stage.SHARE, activity_id="act")
    assert ADVICE.next_step(over).startswith("Nothing: its time is over.")


@pytest.mark.parametrize(
    "standing",
    [
        failed(stage=Stage.REVOKE, activity_id="act"),
        row(State.UNKNOWN, stage=Stage.REVOKE, activity_id="act"),
        row(State.TO_REVOKE, activity_id="act"),
    ],
)
def test_a_share_that_was_to_be_taken_back_is_taken_back_again(standing: Row) -> None:
    step = ADVICE.next_step(standing)
    assert step.endswith("batch-share revoke 'my leads.db'")
    assert "retry" not in step


@pytest.mark.parametrize("stage", [None, Stage.REVOKE])
def test_a_share_that_is_being_taken_back_needs_nothing(stage: Stage | None) -> None:
    assert ADVICE.next_step(row(State.ENDING, activity_id="act", stage=stage)) == ""


def test_an_unknown_row_is_settled_alone() -> None:
    told = ADVICE.next_step(row(State.UNKNOWN, stage=Stage.ACTIVITY, reason="nobody knows"))
    assert told.endswith("batch-share resume 'my leads.db' --only-unknown --set on_unknown=settle")


@pytest.mark.parametrize(
    ("lost", "step"),
    [
        (row(State.UNKNOWN, position=None), "it is looked up first"),
        (failed(position=None, activity_id="act", stage=Stage.SHARE), "put the row back into the sheet as it was"),
        (failed(position=None), "Nothing: the sheet no longer asks for it."),
    ],
)
def test_a_row_that_the_sheet_lost_is_not_told_to_be_mended(lost: Row, step: str) -> None:
    told = ADVICE.next_step(lost)
    assert step in told
    assert "failed.csv" not in told


def test_a_double_is_deleted_whatever_became_of_the_row() -> None:
    assert ADVICE.next_step(row(State.SHARED, notice="found 2 times")) == (
        "Delete the second activity, as the reason says."
    )
    both = ADVICE.next_step(failed(stage=Stage.SHARE, activity_id="act", notice="found 2 times"))
    assert both.startswith("Delete the second activity")
    assert "retry" in both
    assert ADVICE.next_step(row(State.SHARED, notice=f"{SENT_BEFORE}7 days")) == ""


@pytest.mark.parametrize("state", [*State])
def test_every_state_has_an_answer(state: State) -> None:
    assert isinstance(ADVICE.next_step(row(state)), str)


def test_a_row_that_retry_leaves_alone_by_itself_is_named_with_all() -> None:
    failed = row(State.FAILED, stage=Stage.SHARE, activity_id="a")
    assert ADVICE.next_step(failed, "Entity not found").endswith("batch-share retry 'my leads.db' --all")
    assert ADVICE.next_step(failed, "Try later").endswith("batch-share retry 'my leads.db'")


def test_a_row_before_which_nothing_could_be_taken_back_is_tried_again() -> None:
    failed = row(State.FAILED, stage=Stage.EARLIER, reason="not all that was shared before could be taken back")
    assert ADVICE.next_step(failed).endswith("then try again: batch-share retry 'my leads.db'")
