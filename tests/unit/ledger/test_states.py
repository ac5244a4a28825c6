"""The table of legal transitions, pinned."""

from __future__ import annotations

import pytest

from batch_share.ledger.states import (
    BEFORE,
    INTENT_OF,
    INTENTS,
    TO_DO,
    TRANSITIONS,
    TROUBLED,
    Stage,
    State,
    predecessors,
    rows_in,
)

LEGAL = {
    "pending": "posting skipped failed revoked unknown",
    "posting": "posted pending failed unknown",
    "posted": "sharing failed unknown to_revoke",
    "sharing": "accepted posted failed unknown",
    "accepted": "shared failed posted to_revoke revoked",
    "shared": "to_revoke revoked",
    "invalid": "",
    "skipped": "pending unknown",
    "failed": "pending posted to_revoke unknown",
    "unknown": "posted pending failed to_revoke accepted shared",
    "to_revoke": "revoking",
    "revoking": "ending to_revoke failed unknown",
    "ending": "revoked failed unknown",
    "revoked": "",
    "ended": "",  # no ledger holds it
}


@pytest.mark.parametrize("state", list(State))
def test_a_row_may_go_from_a_state_where_the_table_says_and_nowhere_else(state: State) -> None:
    assert TRANSITIONS[state] == {State(name) for name in LEGAL[state].split()}


@pytest.mark.parametrize("state", list(State))
def test_predecessors_are_the_table_read_backwards(state: State) -> None:
    assert predecessors(state) == {State(old) for old, news in LEGAL.items() if state in news.split()}


def test_no_way_leads_to_a_second_call_that_may_have_been_done() -> None:
    """Once a call's answer is not a plain "not done", only a look-up leads back to the intent of that call.

    From failed, which is a plain "not done", a person's wish leads back.
    """
    for after in (State.POSTED, State.SHARING, State.ACCEPTED):
        assert State.POSTING not in reachable(after, without=(State.UNKNOWN, State.FAILED))
    # an accepted share goes back only by the status API's word that it failed, and not straight to its intent
    ends = {State.SHARED, State.FAILED, State.TO_REVOKE, State.REVOKED}
    assert TRANSITIONS[State.ACCEPTED] == {State.POSTED, *ends}
    assert not set(INTENTS) & TRANSITIONS[State.UNKNOWN]
    assert reachable(State.REVOKED) == set()
    undoing = {State.TO_REVOKE, State.REVOKING, State.ENDING, State.REVOKED, State.FAILED, State.UNKNOWN}
    assert reachable(State.SHARED, without=(State.UNKNOWN, State.FAILED)) < undoing


def reachable(state: State, without: tuple[State, ...] = ()) -> set[State]:
    found: set[State] = set()
    ahead = [state]
    while ahead:
        news = TRANSITIONS[ahead.pop()] - found - set(without)
        found |= news
        ahead += news
    return found


def test_every_intent_is_entered_from_the_state_before_its_step_and_may_go_back_there() -> None:
    for stage, intent in INTENT_OF.items():
        assert predecessors(intent) == {BEFORE[stage]}
        assert BEFORE[stage] in TRANSITIONS[intent]
        assert {State.FAILED, State.UNKNOWN} < TRANSITIONS[intent]
    stages = {State.POSTING: Stage.ACTIVITY, State.SHARING: Stage.SHARE, State.REVOKING: Stage.REVOKE}
    assert stages == INTENTS


def test_no_state_is_both_to_do_and_for_a_person_to_look_at() -> None:
    assert not {*TO_DO} & {*TROUBLED}


def test_rows_are_counted_by_what_their_states_have_in_common() -> None:
    assert rows_in({State.POSTED: 2, State.PENDING: 3, State.SHARED: 7}, TO_DO) == 5


def test_a_stage_keeps_the_word_that_ledgers_hold() -> None:
    assert [stage.value for stage in Stage] == ["activity", "share", "processing", "revoke", "earlier"]
