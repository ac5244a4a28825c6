"""Shares with an end: they last until then, and are not sent once it is over. In virtual time."""

from __future__ import annotations

import asyncio
import csv
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from trial import BULK, CREATE, SHARE, Onlooker, options, sheet_rows
from virtual_time import run_virtually
from virtual_trial import START, in_virtual_time

from batch_share.common import Rate
from batch_share.errors import CanaryFailed
from batch_share.ledger.states import State
from batch_share.results.wording import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from trial import Step, Trial

    from batch_share.sandbox.wire import Reply, SandboxCall
    from batch_share.sending.session import Connection

KEY_USER = "Authentication.svc/UserByAccessKey.Get"
SOON, LATER = START + timedelta(days=1), START + timedelta(days=9)
WHY = f"its end, {SOON:%Y-%m-%d %H:%M} UTC, has passed"


def slow(folder: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str, number: int, *ends: datetime) -> Trial:
    """A trial of one worker with a row for each end, in which one call of `endpoint` takes two days."""
    seen = 0

    async def takes_days(step: Step, call: SandboxCall) -> Reply:
        nonlocal seen
        seen += call.endpoint == endpoint
        if call.endpoint == endpoint and seen == number:
            await it.sandbox.clock.sleep(2 * 86_400)
        return await step(call)

    reported = options(leads=40, users=7)
    it = in_virtual_time(folder, monkeypatch, reported, takes_days, workers=1, answer_timeout=1e6, timezone="UTC")
    header = ["Lead Id", "Lead Number", "User Id", "Access", "Until", "Activity Event"]
    rows = [[*row[:4], end.isoformat(), row[5]] for row, end in zip(sheet_rows(len(ends)), ends, strict=True)]
    with (folder / "leads.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([header, *rows])
    return it


def troubles(it: Trial) -> list[tuple[str, str, str]]:
    return [(state, stage, reason) for state, stage, reason in it.rows("state", "stage", "reason") if reason]


def test_a_share_lasts_to_the_minute_after_its_end_however_late_it_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = LATER + timedelta(seconds=30)
    it = slow(tmp_path, monkeypatch, CREATE, 2, end, end)
    ending = run_virtually(it.run())
    assert ending.summary.states == {State.SHARED: 2}
    requests = [it.sandbox.account.requests.get(request) for (request,) in it.rows("request_id")]
    lasting = [grant.minutes for request in requests if request is not None for grant in request.grants]
    assert lasting == [9 * 1440 + 1, 7 * 1440 + 1]


def test_a_row_whose_end_comes_before_its_turn_is_not_posted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = slow(tmp_path, monkeypatch, CREATE, 2, LATER, LATER, SOON)
    ending = run_virtually(it.run())
    assert ending.summary.states == {State.SHARED: 2, State.FAILED: 1}
    assert ending.exit_code is ExitCode.SOME_FAILED
    assert troubles(it) == [("failed", "activity", WHY)]
    assert it.leads_sent() == [row[0] for row in sheet_rows(2)]


def test_a_row_whose_end_comes_after_its_activity_was_posted_is_not_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = slow(tmp_path, monkeypatch, CREATE, 2, LATER, SOON)
    ending = run_virtually(it.run())
    assert ending.summary.states == {State.SHARED: 1, State.FAILED: 1}
    assert troubles(it) == [("failed", "share", WHY)]
    assert (len(it.sent(CREATE)), len(it.sent(SHARE))) == (2, 1)


def test_the_owner_is_checked_on_a_row_that_is_not_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = slow(tmp_path, monkeypatch, KEY_USER, 1, SOON, SOON, LATER)
    ending = run_virtually(it.run())
    assert ending.summary.states == {State.SHARED: 1, State.FAILED: 2}
    assert troubles(it) == [("failed", "activity", WHY)] * 2
    assert it.leads_sent() == [sheet_rows(3)[2][0]]
    assert it.query("SELECT event, verified FROM owner_checks") == [(201, 1)]


def test_a_sheet_that_is_all_over_is_all_failed_and_nothing_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = slow(tmp_path, monkeypatch, KEY_USER, 1, SOON, SOON)
    ending = run_virtually(it.run())
    assert (ending.error, ending.summary.states) == (None, {State.FAILED: 2})
    assert (it.sent(CREATE), it.sent(SHARE)) == ([], [])


# ------------------------------------------------------------------------------------------ of a canary


def test_canary_rows_that_are_over_are_not_posted_and_no_other_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = slow(tmp_path, monkeypatch, KEY_USER, 1, SOON, SOON, LATER)
    ending = run_virtually(it.run(canary=2))
    assert isinstance(ending.error, CanaryFailed)
    assert (ending.error.states, ending.error.reason) == ({"failed": 2}, WHY)
    assert troubles(it) == [("failed", "activity", WHY)] * 2
    assert (it.rows("state")[2], it.sent(CREATE), it.sent(SHARE)) == (("pending",), [], [])


def test_a_canary_row_whose_end_comes_after_its_activity_was_posted_is_not_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = slow(tmp_path, monkeypatch, CREATE, 1, SOON, LATER)
    ending = run_virtually(it.run(canary=1))
    assert isinstance(ending.error, CanaryFailed)
    assert ending.summary.states == {State.FAILED: 1, State.PENDING: 1}
    assert troubles(it) == [("failed", "share", WHY)]
    assert (len(it.sent(CREATE)), it.sent(SHARE)) == (1, [])


def test_a_canary_that_is_stopped_decides_nothing_about_its_next_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first share takes two days, and somebody stops it after one; the second row's end comes meanwhile."""

    def stop_in_a_day(session: Connection) -> None:
        asyncio.get_running_loop().call_later(86_400, session.stop.ask)

    it = slow(tmp_path, monkeypatch, SHARE, 1, LATER, SOON)
    ending = run_virtually(it.run(Onlooker(stop_in_a_day), canary=2))
    assert (ending.interrupted, ending.error) == (True, None)
    assert ending.summary.states == {State.ACCEPTED: 1, State.PENDING: 1}
    assert (len(it.sent(CREATE)), troubles(it)) == (1, [])


# ------------------------------------------------------------------------------------------ in bulk

IN_BULK: dict[str, Any] = {"bulk": True, "bulk_rate": Rate(9, 5.0)}
ONE_BY_ONE: dict[str, Any] = {"bulk": True, "bulk_rate": Rate(1, 5.0)}
"""Since the second bulk call comes too late."""


@pytest.mark.parametrize("others", [[SOON] * 30, [SOON, LATER] * 15, [LATER] * 29 + [SOON]])
@pytest.mark.parametrize("settings", [IN_BULK, ONE_BY_ONE])
def test_rows_whose_end_comes_before_their_turn_in_bulk_are_not_posted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: list[datetime], settings: dict[str, Any]
) -> None:
    """The bulk call that proves the owner takes two days."""
    it = slow(tmp_path, monkeypatch, BULK, 1, LATER, LATER, *others)
    ending = run_virtually(it.run(**settings))
    over = others.count(SOON)
    assert ending.error is None
    assert ending.summary.states[State.SHARED] == 32 - over
    assert troubles(it) == [("failed", "activity", WHY)] * over
    assert len(it.sandbox.account.activities) == 32 - over


def test_rows_whose_end_comes_after_a_bulk_call_posted_them_are_not_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = slow(tmp_path, monkeypatch, BULK, 2, LATER, LATER, *[SOON, LATER] * 15)
    ending = run_virtually(it.run(**IN_BULK))
    states = Counter(ending.summary.states)
    shared = states[State.SHARED] + states[State.ENDED]
    in_bulk = len(it.sent(BULK)[1]["lead"].split(","))
    assert states[State.FAILED] == 32 - shared
    assert troubles(it) == [("failed", "share", WHY)] * (32 - shared)
    assert in_bulk // 2 - 1 <= 32 - shared <= in_bulk // 2 + 1
    assert len(it.sandbox.account.activities) == 32
