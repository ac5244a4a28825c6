"""Why a row is where it is, and what is to be done next, in words."""

from __future__ import annotations

from typing import Any

import pytest
from ledgers import because

from batch_share.common import IN_THE_SHEET, Cause
from batch_share.ledger.records import Row, Why
from batch_share.ledger.states import Stage, State
from batch_share.results.wording import (
    _FIXING,
    _NOTICES,
    _REASONS,
    _THEN,
    Advice,
    reason_of,
    spell,
    spell_notice,
    spell_unchecked,
)

TWICE = Why(Cause.DOUBLE, {"counts": "act", "others": ["act2", "act3"]})
ADVICE = Advice("my leads.db", "my leads.failed.csv")

_UNCHECKED = Cause.IDS_NOT_CHECKED, Cause.OWNER_NOT_CHECKED


def row(state: State, **changes: Any) -> Row:
    values: dict[str, Any] = {"id": 1, "key": "k", "sheet_row": 2, "cells": [], "instruction": None, "position": 0}
    return Row(**values | {"state": state} | changes)


def failed(said: str = "No", cause: Cause = Cause.REFUSED, **changes: Any) -> Row:
    return row(State.FAILED, **{"stage": Stage.ACTIVITY, "why": Why(cause, {"said": said})} | changes)


def invalid(cause: Cause, wrong: str = "wrong") -> Row:
    return row(State.INVALID, why=Why(cause, {"problems": [["Lead", "x", wrong]]}))


TOO_LATE = Why(Cause.TOO_LATE, {"until": "2026-01-01 18:00"})


@pytest.mark.parametrize(
    ("fixed", "step"),
    [
        (
            invalid(Cause.NO_LEAD),
            "Correct the lead in my leads.failed.csv, or create it in LeadSquared; then run",
        ),
        (failed("Lead does not exist in the system"), "Correct the lead in"),
        (failed("The entity does not exist"), "Correct the lead in"),
        (invalid(Cause.NOT_TOLD), "or put Lead Id, Lead Number and User Id in"),
        (invalid(Cause.UNCHECKED), "or trust the Ids in"),
        (invalid(Cause.AMBIGUOUS), "Give its Id"),
        (invalid(Cause.NO_USER), "Name an active user"),
        (failed("Owner is not an active user of the account"), "Name an active user"),
        (invalid(Cause.NO_TYPE), "Give the code of an activity type"),
        (failed("Event Code is invalid or empty"), "Give the code of an activity type"),
        (row(State.FAILED, stage=Stage.ACTIVITY, why=TOO_LATE), "Give the row a later end"),
        (invalid(Cause.OVER), "Give the row a later end"),
        (invalid(Cause.TOO_FAR), "or wait until it is less than ten years away"),
        (failed("A potentially dangerous value was detected in the request"), "Remove characters such as < and >"),
        (invalid(Cause.MARKUP), "Remove characters such as < and >"),
        (failed("A note has at most 1,755 characters"), "Shorten the text"),
        (invalid(Cause.TOO_LONG), "Shorten the text"),
        (failed("Attribute(s) does not exist - mx_Custom_9"), "keep only fields that this activity type has"),
        (
            failed("You are not allowed to use this API"),
            "Have your LeadSquared administrator allow it; nothing needs changing in",
        ),
        (
            failed("API calls exceeded the limit of 20 in 5 second(s)"),
            "There were too many calls; nothing needs changing in",
        ),
        (invalid(Cause.INVALID, "no duration"), "Correct what the reason names"),
        (invalid(Cause.INVALID, "found 2 times: lead not found"), "Correct what the reason names"),
        (row(State.FAILED, why=because("lead not found")), "Correct what the reason names"),
    ],
)
def test_a_row_with_nothing_at_leadsquared_is_fixed_in_the_sheet_of_failed_rows(fixed: Row, step: str) -> None:
    reported = ADVICE.next_step(fixed)
    assert step in reported
    assert "my leads.failed.csv" in reported
    assert reported.endswith("; then run that file.")


def test_what_leadsquared_said_counts_as_the_reason_does() -> None:
    assert "Correct the lead" in ADVICE.next_step(failed("refused"), "Lead not found")


def test_without_such_a_sheet_another_one_is_made() -> None:
    assert (
        Advice("leads.db").next_step(failed())
        == "Correct what the reason names in a sheet of its own; then run that sheet."
    )


@pytest.mark.parametrize("cause", sorted(IN_THE_SHEET))
def test_what_only_the_sheet_shows_is_fixed_there(cause: Cause) -> None:
    reported = ADVICE.next_step(invalid(cause))
    assert "the sheet itself" in reported
    assert "failed.csv" not in reported


@pytest.mark.parametrize("stage", [Stage.SHARE, Stage.PROCESSING])
def test_a_row_whose_activity_stands_is_never_said_to_be_run_elsewhere(stage: Stage) -> None:
    reported = ADVICE.next_step(failed(stage=stage, activity_id="act"), "Lead does not exist")
    assert reported.endswith("in the same activity: batch-share retry 'my leads.db' --all")
    assert "batch-share run" not in reported


def test_an_activity_of_somebody_else_is_looked_at() -> None:
    reported = ADVICE.next_step(failed(cause=Cause.ANOTHERS, activity_id="act"))
    assert reported.startswith("Look at the activity in LeadSquared")


def test_a_share_whose_time_is_over_is_not_repeated() -> None:
    over = failed(why=TOO_LATE, stage=Stage.SHARE, activity_id="act")
    assert ADVICE.next_step(over).startswith("Nothing: its end has passed.")


@pytest.mark.parametrize(
    "standing",
    [
        failed(stage=Stage.REVOKE, activity_id="act"),
        row(State.UNKNOWN, stage=Stage.REVOKE, activity_id="act"),
        row(State.TO_REVOKE, activity_id="act"),
    ],
)
def test_a_share_that_was_to_be_revoked_is_revoked_again(standing: Row) -> None:
    step = ADVICE.next_step(standing)
    assert step.endswith("batch-share revoke 'my leads.db'")
    assert "retry" not in step


@pytest.mark.parametrize("stage", [None, Stage.REVOKE])
def test_a_share_that_is_being_revoked_needs_nothing(stage: Stage | None) -> None:
    assert ADVICE.next_step(row(State.ENDING, activity_id="act", stage=stage)) == ""


def test_an_unknown_row_is_settled_alone() -> None:
    reported = ADVICE.next_step(row(State.UNKNOWN, stage=Stage.ACTIVITY, why=Why(Cause.CUT_OFF)))
    assert reported.endswith("batch-share resume 'my leads.db' --only-unknown --set on_unknown=settle")


@pytest.mark.parametrize(
    ("lost", "step"),
    [
        (row(State.UNKNOWN, position=None), "it is looked up first"),
        (failed(position=None, activity_id="act", stage=Stage.SHARE), "put the row back into the sheet as it was"),
        (failed(position=None), "Nothing: the sheet no longer asks for it."),
    ],
)
def test_a_row_that_the_sheet_lost_is_not_said_to_be_fixed(lost: Row, step: str) -> None:
    reported = ADVICE.next_step(lost)
    assert step in reported
    assert "failed.csv" not in reported


def test_a_double_is_deleted_whatever_became_of_the_row() -> None:
    assert ADVICE.next_step(row(State.SHARED, notice=TWICE)) == ("Delete the second activity, as the reason says.")
    both = ADVICE.next_step(failed(stage=Stage.SHARE, activity_id="act", notice=TWICE))
    assert both.startswith("Delete the second activity")
    assert "retry" in both
    assert ADVICE.next_step(row(State.SHARED, notice=Why(Cause.SENT_BEFORE))) == ""


@pytest.mark.parametrize("stage", [None, *Stage])
@pytest.mark.parametrize("state", [*State])
def test_every_state_has_an_answer_and_without_a_ledger_no_command_is_in_it(
    state: State, stage: Stage | None
) -> None:
    for there in (row(state, stage=stage), row(state, stage=stage, activity_id="act")):
        named, free = ADVICE.next_step(there), Advice(None, "my leads.failed.csv").next_step(there)
        assert "batch-share" not in free
        assert bool(named) == bool(free)
        assert named.partition(": batch-share")[0].split(";")[0].rstrip(".") == free.split(";")[0].rstrip(".")


def test_what_could_not_be_revoked_names_no_command_either_where_none_is_to_be_named() -> None:
    left = [
        {"of": "a run", "state": "unknown", "stage": "revoke", "cause": "lost", "details": {"said": "no answer"}},
        {"of": "another", "state": "revoking", "stage": None, "cause": None, "details": None},
    ]
    why = Why(Cause.EARLIER_NOT_REVOKED, {"reassigns": True, "left": left})
    stuck = row(State.FAILED, stage=Stage.EARLIER, why=why)
    assert reason_of(stuck).count("batch-share") == 2
    free = reason_of(stuck, place_free=True)
    assert "a run: " in free
    assert "another: " in free
    assert "batch-share" not in free


def test_a_row_that_retry_leaves_alone_by_itself_is_named_with_all() -> None:
    failed = row(State.FAILED, stage=Stage.SHARE, activity_id="a")
    assert ADVICE.next_step(failed, "Entity not found").endswith("batch-share retry 'my leads.db' --all")
    assert ADVICE.next_step(failed, "Try later").endswith("batch-share retry 'my leads.db'")


def test_a_row_before_which_nothing_could_be_revoked_is_tried_again() -> None:
    failed = row(State.FAILED, stage=Stage.EARLIER, why=Why(Cause.EARLIER_NOT_REVOKED))
    assert ADVICE.next_step(failed).endswith("then retry: batch-share retry 'my leads.db'")


# -------------------------------------------------------------------------------------------------- reasons

NOBODY = "it is unknown whether the activity was posted: "
LOOK = "Check the lead in LeadSquared"
SAID = {"said": "No", "request": "req"}


@pytest.mark.parametrize(
    ("state", "stage", "cause", "details", "words"),
    [
        (State.SKIPPED, None, Cause.LEFT_OUT, {"by": "--rows 3"}, "left out by --rows 3"),
        (State.INVALID, None, Cause.UNCHECKED, SAID, "Row 7: its Ids could not be checked (No): --trust-ids uses"),
        (State.SKIPPED, None, Cause.GONE, {}, "user or access; nothing was sent for it"),
        (State.FAILED, Stage.SHARE, Cause.GONE, {}, "its activity was posted, the lead was not shared"),
        (State.UNKNOWN, Stage.SHARE, Cause.GONE, {}, "it is unknown whether the lead was shared"),
        (
            State.PENDING,
            None,
            Cause.REVOKING_EARLIER,
            {"of": ["a row 2", "b row 3"]},
            "revoked first: a row 2, b row 3",
        ),
        (State.REVOKED, None, Cause.EARLIER_REVOKED, {"of": ["a row 2"]}, "revoked: a row 2"),
        (State.SKIPPED, None, Cause.NOTHING_KNOWN, {}, "know of no share of this lead with this user"),
        (State.FAILED, Stage.ACTIVITY, Cause.REFUSED, SAID, "LeadSquared refused the activity: No"),
        (
            State.FAILED,
            Stage.REVOKE,
            Cause.REFUSED,
            SAID,
            "the share still stands: LeadSquared refused to revoke it: No",
        ),
        (
            State.UNKNOWN,
            Stage.REVOKE,
            Cause.REFUSED,
            SAID,
            f"it is unknown whether the share still stands, and LeadSquared refused to revoke it: No. {LOOK}",
        ),
        (
            State.UNKNOWN,
            Stage.SHARE,
            Cause.TOO_LATE,
            {"until": "2026-03-01 12:00"},
            "before, and it can't be repeated: its end, 2026-03-01 12:00 UTC, has passed",
        ),
        (
            State.ENDING,
            None,
            Cause.WAITING,
            {**SAID, "status": None},
            "(request Id req), not yet processed (no",
        ),
        (State.ENDING, Stage.REVOKE, Cause.STATUS_REFUSED, SAID, f"its status could not be read: No. {LOOK}"),
        (State.REVOKED, None, Cause.REVOKED, SAID, "the share was revoked (request Id req)"),
        (State.UNKNOWN, Stage.ACTIVITY, Cause.PARKED, {}, f"{NOBODY}it was not found in two looks, and"),
        (State.UNKNOWN, Stage.ACTIVITY, Cause.SENT_AGAIN, {}, "and never found. The next run looks again"),
        (State.UNKNOWN, Stage.SHARE, Cause.CUT_OFF, {}, "the program was cut off during this call"),
    ],
)
def test_a_reason_is_made_of_its_cause_with_the_state_and_the_step(
    state: State, stage: Stage | None, cause: Cause, details: dict[str, Any], words: str
) -> None:
    reported = reason_of(row(state, stage=stage, why=Why(cause, details), sheet_row=7))
    assert words in reported
    assert "{" not in reported


def test_why_a_share_could_not_be_revoked_is_reported_as_its_own_row_tells_it() -> None:
    left = [
        {"of": "a row 2", "state": "failed", "stage": "revoke", "cause": "refused", "details": {"said": "No."}},
        {"of": "b row 3", "state": "to_revoke", "stage": None, "cause": None, "details": None},
        {"of": "c row 4", "said": "it is not there any more"},
    ]
    assert spell(
        State.FAILED, Stage.EARLIER, Why(Cause.EARLIER_NOT_REVOKED, {"reassigns": True, "left": left})
    ) == (
        "not all earlier shares could be revoked, so it was not shared with this user: a row 2: the "
        "share still stands: LeadSquared refused to revoke it: No; b row 3: its share is still to "
        "be revoked; c row 4: it is not there any more"
    )


def test_what_an_older_ledger_said_is_reported_as_it_was() -> None:
    assert (
        reason_of(row(State.FAILED, stage=Stage.SHARE, why=Why(Cause.REFUSED, {"told": "as it was"})))
        == "as it was"
    )
    assert spell_notice(Why(Cause.DOUBLE, {"told": "twice"})) == "twice"


def test_notices_are_reported_in_words() -> None:
    assert spell_notice(TWICE) == ("its activity was found 3 times: keep act, delete act2, act3 in LeadSquared")
    lengths = {"before": [60, None], "now": [None, "2026-01-02T18:00:00"]}
    assert spell_notice(Why(Cause.SENT_BEFORE, lengths)) == (
        "already sent (1 hour); the sheet or its options now say until 2026-01-02 18:00 UTC, which changes nothing"
    )
    assert spell_notice(None) == ""


def test_a_name_in_braces_is_no_part_of_a_sentence() -> None:
    assert spell(State.FAILED, Stage.SHARE, Why(Cause.REFUSED, {"said": "{said} {x}"})).endswith(": {said} {x}")


@pytest.mark.parametrize("cause", [*Cause])
def test_every_cause_has_words(cause: Cause) -> None:
    """What the checker of the sheet found and an older ledger said are words already; a notice has its own."""
    has_words = any(cause in (key if isinstance(key, tuple) else (key,)) for key in _REASONS)
    assert has_words is (
        cause
        not in {
            Cause.OLD_WORDS,
            Cause.INVALID,
            Cause.IDS_NOT_CHECKED,
            Cause.OWNER_NOT_CHECKED,
            *_NOTICES,
            *_FIXING,
            *IN_THE_SHEET,
        }
        or cause in {Cause.TOO_LATE, Cause.UNCHECKED}
    )


def test_what_was_not_checked_says_of_how_many_rows_and_why() -> None:
    ids = Why(Cause.IDS_NOT_CHECKED, {"rows": 1200, "why": "HTTP 404."})
    assert spell_unchecked(ids) == "whether the lead and user Ids of 1,200 rows are right (HTTP 404)"
    owner = Why(Cause.OWNER_NOT_CHECKED, {"rows": 0, "why": ""})
    assert spell_unchecked(owner) == "whether activities belong to the users they are posted for"


@pytest.mark.parametrize("key", [*_REASONS, *_THEN, State.REVOKING], ids=str)
def test_where_nobody_has_a_terminal_no_reason_names_commands(key: Any) -> None:
    cause, at = key if isinstance(key, tuple) else (key, None)
    state = at if isinstance(at, State) else key if isinstance(key, State) else State.UNKNOWN
    said: Any = dict.fromkeys(
        ("said", "by", "sheet", "row", "run", "says", "owner", "activity", "request", "what", "date", "read"), "it"
    )
    said |= {"of": ["it"], "left": [], "reassigns": False, "not": "", "status": None, "until": "2026-01-01 18:00"}
    why = None if isinstance(key, State) else Why(cause, said)
    reason = reason_of(row(state, stage=at if isinstance(at, Stage) else None, why=why), place_free=True)
    assert reason
    assert "`" not in reason
    assert "--" not in reason
    assert "batch-share" not in reason
