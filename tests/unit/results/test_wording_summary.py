"""The totals and the exit code they mean."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ledgers import advance, new_row, unsendable, working

from batch_share.ledger.files import LedgerName
from batch_share.ledger.records import Waiting
from batch_share.ledger.states import State
from batch_share.results.answers import summarize
from batch_share.results.wording import ExitCode, Summary

if TYPE_CHECKING:
    from collections.abc import Iterable

CODES = {
    State.PENDING: 1,
    State.POSTING: 1,
    State.POSTED: 1,
    State.SHARING: 1,
    State.UNKNOWN: 4,
    State.FAILED: 3,
    State.INVALID: 3,
    State.ACCEPTED: 5,
    State.SHARED: 0,
    State.ENDED: 0,
    State.SKIPPED: 0,
    State.TO_REVOKE: 1,
    State.REVOKING: 1,
    State.ENDING: 5,
    State.REVOKED: 0,
}


def summary(states: Iterable[State]) -> Summary:
    return Summary(dict.fromkeys(states, 1), LedgerName.of("leads.db"))


@pytest.mark.parametrize("state", list(State))
def test_each_state_means_an_exit_code(state: State) -> None:
    assert summary([state]).exit_code == CODES[state]


@pytest.mark.parametrize("first", list(State))
@pytest.mark.parametrize("second", list(State))
def test_of_two_states_the_more_urgent_wins(first: State, second: State) -> None:
    codes = {CODES[first], CODES[second]}
    assert summary([first, second]).exit_code == next(code for code in (1, 4, 3, 5, 0) if code in codes)


def test_no_rows_are_all_done() -> None:
    assert summary([]).exit_code == 0
    assert Summary({State.UNKNOWN: 0, State.SHARED: 3}, LedgerName.of("leads.db")).exit_code == 0


def test_the_exit_codes_are_the_documented_ones() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "NOT_DONE": 1,
        "USAGE": 2,
        "SOME_FAILED": 3,
        "SOME_UNKNOWN": 4,
        "STILL_PROCESSING": 5,
        "ENDED": 6,
        "INTERRUPTED": 130,
    }


def test_its_json_names_the_states_that_there_are_and_where_things_lie() -> None:
    states = {State.INVALID: 1, State.SHARED: 97, State.FAILED: 2, State.PENDING: 0}
    reported = Summary(states, LedgerName.of("leads.db"), Path("leads.results.csv")).as_json()
    assert json.loads(json.dumps(reported)) == {
        "rows": 100,
        "states": {"shared": 97, "failed": 2, "invalid": 1},
        "doubles": 0,
        "unchecked": [],
        "run": None,
        "ledger": "leads.db",
        "results": "leads.results.csv",
        "failed_sheet": None,
    }


def test_its_json_without_results_says_so() -> None:
    assert summary([State.SHARED]).as_json()["results"] is None


def test_its_json_names_the_sheet_of_failed_rows() -> None:
    reported = Summary(
        {State.FAILED: 1}, LedgerName.of("leads.db"), failed_sheet=Path("leads.failed.csv")
    ).as_json()
    assert reported["failed_sheet"] == "leads.failed.csv"


async def test_a_ledger_is_summed_up_with_its_first_rows_in_trouble(tmp_path: Path) -> None:
    file = tmp_path / "leads.db"
    rows = [*map(new_row, range(3)), unsendable(3, State.INVALID)]
    async with working(file, *rows) as ledger:
        await advance(ledger, 1, State.UNKNOWN)
        found = await summarize(ledger, tmp_path / "out.csv")
    assert (found.rows, found.exit_code) == (4, ExitCode.NOT_DONE)
    assert found.states == {State.PENDING: 2, State.UNKNOWN: 1, State.INVALID: 1}
    assert (found.ledger, found.results) == (LedgerName.of(file), tmp_path / "out.csv")
    assert [(each.row.sheet_row, each.rows) for each in found.troubles] == [(2, 1), (4, 1)]


def test_rows_that_wait_for_their_time_are_no_fault() -> None:
    first = datetime(2026, 3, 1, 9)  # noqa: DTZ001 - the ledger notes UTC without a zone
    waiting = Summary({State.PENDING: 2, State.SHARED: 1}, LedgerName.of("leads.db"), waiting=Waiting(2, first))
    assert waiting.exit_code is ExitCode.DONE
    assert (
        Summary({State.PENDING: 3}, LedgerName.of("leads.db"), waiting=Waiting(2, first)).exit_code
        is ExitCode.NOT_DONE
    )
    reported = waiting.as_json()
    assert (reported["waiting"], reported["first_due"]) == (2, "2026-03-01T09:00:00Z")
    assert "waiting" not in summary([State.PENDING]).as_json()


def test_its_json_says_in_utc_until_when_no_call_is_wanted() -> None:
    until = datetime(2026, 12, 31, 14, 30, 5, 600_000, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert (
        Summary({}, LedgerName.of("leads.db"), waiting_until=until).as_json()["waiting_until"]
        == "2026-12-31T09:00:05Z"
    )
    assert "waiting_until" not in Summary({}, LedgerName.of("leads.db")).as_json()
