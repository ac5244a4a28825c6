"""What the guards count, and when they end a run."""

from __future__ import annotations

import pytest
from ledgers import because

from batch_share.errors import SettingsError, TooManyFailures, TooManyForUser, TooManyRows
from batch_share.ledger.records import Result
from batch_share.ledger.states import Stage, State
from batch_share.results.wording import spell_guards
from batch_share.sending.guards import (
    TOO_LATE,
    FailureGuard,
    call_by_address,
    check_canary,
    excesses,
)
from batch_share.settings import Settings


def sized(max_rows: int | None = None, max_per_user: int | None = None) -> Settings:
    return Settings(max_rows=max_rows, max_per_user=max_per_user)


def test_as_much_as_is_allowed_may_be_sent() -> None:
    assert [*excesses({"a": 3, "b": 2}, sized(5, 3), {})] == []
    assert [*excesses({"a": 1_000_000}, sized(), {})] == []


def test_more_is_reported() -> None:
    (rows,) = excesses({"a": 3, "b": 2}, sized(max_rows=4), {})
    assert isinstance(rows, TooManyRows)
    (of_user,) = excesses({"a": 3, "b": 2, "c": 4}, sized(max_per_user=2), {"c": "c@x.example"})
    assert isinstance(of_user, TooManyForUser)
    assert of_user.users == {"c@x.example": 4, "a": 3}


def test_a_plan_says_all_that_is_too_much() -> None:
    rows, users = excesses({"a": 3, "b": 2}, sized(4, 2), {})
    assert rows.excess == "5 rows would be sent and --max-rows allows 4"
    assert users.excess == "these users would get more leads than the 2 that --max-per-user allows: a (3)"


def test_users_are_called_by_an_address_that_is_theirs_alone_and_by_their_id_if_nothing_is_known() -> None:
    known: dict[str | None, tuple[str, str]] = {
        "1": ("Asha Rao", "asha@x.example"),
        "2": ("Two Desks", "desk@x.example"),
        "3": ("Two Desks", "desk@x.example"),
        "4": ("No Mail", ""),
        "5": ("", ""),
        None: ("Nobody", "nobody@x.example"),
    }
    assert call_by_address(known) == {
        "1": "asha@x.example",
        "2": "desk@x.example, 2",
        "3": "desk@x.example, 3",
        "4": "No Mail",
    }


def test_a_canary_without_a_follow_up_is_refused() -> None:
    check_canary(Settings(follow_up=False))
    check_canary(Settings(canary=3))
    with pytest.raises(SettingsError, match="needs the follow-up"):
        check_canary(Settings(canary=3, follow_up=False))


def failed(reason: str, stage: Stage = Stage.ACTIVITY, outcome: str = "refused") -> Result:
    return Result(State.FAILED, outcome, stage=stage, why=because(reason))


SHARED = Result(State.SHARED, "processed")
ACCEPTED = Result(State.ACCEPTED, "done")
POSTED = Result(State.POSTED, "done")


def test_a_success_begins_the_count_anew() -> None:
    guard = FailureGuard(2, spell=lambda result: result.why.details["told"] if result.why else "")
    for result in (failed("one"), POSTED, failed("two")):
        guard.count(result)
        guard.check()
    guard.count(failed("three"))
    with pytest.raises(TooManyFailures, match="three"):
        guard.check()


@pytest.mark.parametrize(
    ("stage", "through", "others"),
    [
        (Stage.ACTIVITY, POSTED, [ACCEPTED, SHARED]),
        (Stage.SHARE, ACCEPTED, [POSTED, SHARED]),
        (Stage.PROCESSING, SHARED, [POSTED, ACCEPTED]),
    ],
)
def test_only_what_got_through_the_same_step_is_a_success(
    stage: Stage, through: Result, others: list[Result]
) -> None:
    """Else rows that wait to be processed would count against a step that goes well for nearly all."""
    guard = FailureGuard()
    guard.count(failed("", stage), 3)
    for other in others:
        guard.count(other)
    assert guard.in_a_row == 3
    guard.count(through)
    assert guard.in_a_row == 0


@pytest.mark.parametrize(
    "result",
    [
        Result(State.POSTED, "refused"),  # a share call of many: made again in halves
        Result(State.PENDING, "refused", stage=Stage.ACTIVITY),  # a bulk call: its rows go by themselves
        Result(State.POSTED, "failed", stage=Stage.SHARE),  # a request of many: each is shared by itself
        Result(State.POSTED, "found"),  # by a look-up, posted who knows when
        Result(State.UNKNOWN, "lost", stage=Stage.SHARE),
        failed("the share stands", Stage.REVOKE),
        failed("its end is over", outcome=TOO_LATE),
    ],
)
def test_what_says_nothing_of_this_run_counts_for_nothing(result: Result) -> None:
    guard = FailureGuard(2, percent=1)
    guard.count(failed("one"))
    guard.count(result, 100)
    guard.check()
    assert (guard.in_a_row, guard.failed, guard.sent) == (1, 1, 1)


def test_an_answer_for_many_is_judged_as_a_whole() -> None:
    guard = FailureGuard(10)
    for result in [*[failed("no such lead")] * 12, POSTED]:
        guard.count(result)
    guard.check()
    guard.count(failed("no such field"), 25)
    with pytest.raises(TooManyFailures, match="25 rows failed in a row"):
        guard.check()


def test_a_row_is_sent_once_whatever_is_heard_of_it_later() -> None:
    guard = FailureGuard()
    guard.count(ACCEPTED, 3)
    guard.count(SHARED)
    guard.count(failed("no longer there", Stage.PROCESSING))
    assert (guard.sent, guard.failed) == (3, 1)
    guard.count(SHARED, 3)  # two of them an earlier run sent
    assert (guard.sent, guard.failed) == (5, 1)


def test_rows_that_are_shared_again_by_themselves_are_sent_once() -> None:
    guard = FailureGuard()
    guard.count(ACCEPTED, 25)
    guard.count(Result(State.POSTED, "failed", stage=Stage.SHARE), 25)
    assert guard.sent == 0
    guard.count(ACCEPTED, 25)
    guard.count(SHARED, 25)
    assert guard.sent == 25


def test_none_is_any_number() -> None:
    guard = FailureGuard(0)
    guard.count(failed(""), 1000)
    guard.check()


def test_a_percentage_counts_once_enough_rows_are_sent() -> None:
    """Accepted is enough: were it only of those that are shared, a slow account would make it a false alarm."""
    guard = FailureGuard(percent=5)
    guard.count(failed("early"), 2)
    guard.count(ACCEPTED, 48)
    guard.check()
    guard.count(failed("late"))
    with pytest.raises(TooManyFailures, match="3 rows failed of the 51 that were sent"):
        guard.check()


def test_a_guard_without_limits_ends_nothing() -> None:
    guard = FailureGuard()
    guard.count(failed(""), 100)
    guard.check()


def test_all_guards_are_reported_in_one_line() -> None:
    settings = Settings(max_rows=500, max_revokes=9, canary=5, stop_after_failures=10, stop_at="5%")
    assert spell_guards(settings) == (
        "at most 500 rows, revokes at most 9 without asking, a canary of 5, stops after 10 failures in a row or at "
        "5 % failed of 50 or more"
    )
    assert spell_guards(Settings(stop_after_failures=0)) == ""
    assert spell_guards(Settings()) == "stops after 10 failures in a row"


def test_shares_revoked_count_as_rows() -> None:
    assert [*excesses({"a": 3}, sized(max_rows=5), {}, revocations=2)] == []
    (rows,) = excesses({"a": 3}, sized(max_rows=5), {}, revocations=3)
    assert rows.excess == "6 rows would be sent or revoked (3) and --max-rows allows 5"
