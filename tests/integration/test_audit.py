"""The look at the end of a run at what stands at LeadSquared: each activity once, and no other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from trial import CREATE, DROPPED, SHARE, Fault, Onlooker, envelope, hurry, stopping, trial

from batch_share.ledger.states import State
from batch_share.sending import audit

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.sandbox.server import Step
    from batch_share.sandbox.wire import Reply, SandboxCall

OF_TYPE = "ProspectActivity.svc/CustomActivity/RetrieveByActivityEvent"
AUDITED: dict[str, Any] = {"audit_pages": 10, "workers": 1}


async def twice(step: Step, call: SandboxCall) -> Reply:
    """Post it, and post it once more, as a proxy does that repeats a call."""
    await step(call)
    return await step(call)


async def test_a_run_whose_activities_are_there_once_is_proved(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [2], DROPPED, applied=True), rows=6) as it:
        await it.run(**AUDITED)
        found = it.audited()
        assert (found["verdict"], found["expected"], found["seen"]) == ("proved", 6, 6)
        assert (found["found"], found["named"], found["unread"], found["again"]) == (0, [], {}, None)


async def test_a_doubled_activity_is_told_with_its_id_and_which_is_shared(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [3], twice), rows=5) as it:
        await it.run(**AUDITED)
        found = it.audited()
        assert (found["verdict"], found["found"], found["seen"]) == ("doubles", 1, 5)
        (one,) = found["named"]
        ids = {each.id for each in it.sandbox.account.visible(it.sandbox.world.leads[2])}
        assert one["sheet_row"] == 4
        assert {one["ours"], *one["extra"]} == ids
        assert (one["ours"],) in it.query("SELECT activity_id FROM rows")
        assert one["shared"]


async def upper(step: Step, call: SandboxCall) -> Reply:
    """Answer in capital letters."""
    reply = await step(call)
    return replace(reply, body=reply.body.upper().replace(b'"SUCCESS"', b'"Success"'))


@pytest.mark.parametrize("endpoint", [CREATE, OF_TYPE])
async def test_an_id_in_capital_letters_is_the_same_activitys(tmp_path: Path, endpoint: str) -> None:
    async with trial(tmp_path, Fault(endpoint, range(1, 99, 2), upper), rows=5) as it:
        await it.run(**AUDITED)
        found = it.audited()
        assert (found["verdict"], found["seen"], found["named"]) == ("proved", 5, [])


async def test_what_was_refused_and_is_there_all_the_same_is_found(tmp_path: Path) -> None:
    refused = Fault(CREATE, [3], envelope(500, "Invalid event code", "MXInvalidInputException"), applied=True)
    async with trial(tmp_path, refused, rows=5) as it:
        ending = await it.run(**AUDITED)
        assert ending.summary.states == {State.SHARED: 4, State.FAILED: 1}
        found = it.audited()
        assert (found["verdict"], found["expected"], found["seen"], found["found"]) == ("doubles", 4, 4, 1)
        assert [(one["sheet_row"], one["ours"], one["shared"]) for one in found["named"]] == [(4, None, False)]


async def test_a_marker_of_a_row_that_nothing_was_posted_for_is_found(tmp_path: Path) -> None:
    """As after a second copy of the ledger was run on another machine."""
    async with trial(tmp_path, rows=5) as it:
        await it.run(**AUDITED)
        it.change("UPDATE attempts SET marker = NULL WHERE row_id = (SELECT id FROM rows WHERE sheet_row = 6)")
        it.change("UPDATE rows SET state = 'pending', activity_id = NULL, request_id = NULL WHERE sheet_row = 6")
        found = await it.audit(**AUDITED)
        assert (found["verdict"], found["found"]) == ("doubles", 1)
        assert [(one["sheet_row"], one["ours"]) for one in found["named"]] == [(6, None)]


async def test_a_list_that_lags_proves_nothing_and_says_when_to_ask_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch, 0.01)
    async with trial(tmp_path, rows=5, read_lag=60.0) as it:
        await it.run(**AUDITED, trust_owner=True)
        found = it.audited()
        assert (found["verdict"], found["expected"], found["seen"]) == ("not conclusive", 5, 0)
        assert found["again"] > found["at"]
        it.put_forward(61.0)
        assert (await it.audit(**AUDITED))["verdict"] == "proved"


@pytest.mark.parametrize("paging", ["page-count", "ignored", "oldest-first"])
async def test_however_activities_are_listed_no_verdict_is_false(tmp_path: Path, paging: str) -> None:
    async with trial(tmp_path, Fault(CREATE, [2], twice), rows=30, paging=paging) as it:
        await it.run(**AUDITED)
        found = it.audited()
        assert found["verdict"] != "proved"
        assert found["verdict"] == "doubles" or found["seen"] < 30


async def test_an_account_without_the_list_is_said_to_be_so(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3, without=("RetrieveByActivityEvent",)) as it:
        ending = await it.run(**AUDITED)
        assert ending.summary.states == {State.SHARED: 3}
        found = it.audited()
        assert (found["verdict"], found["seen"]) == ("not conclusive", 0)
        assert "404" in found["unread"]["201"]
        assert found["again"] is None


async def test_an_audit_that_fails_changes_nothing_of_the_runs_ending(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(OF_TYPE, range(1, 99), DROPPED), rows=3) as it:
        ending = await it.run(**AUDITED)
        assert ending.summary.states == {State.SHARED: 3}
        assert ending.error is None
        assert it.audited()["verdict"] == "not conclusive"
        assert len(it.sent(SHARE)) == 3


async def test_who_stops_a_run_waits_for_no_audit(tmp_path: Path) -> None:
    onlooker = Onlooker()
    async with trial(tmp_path, Fault(SHARE, [2], stopping(onlooker)), rows=6) as it:
        ending = await it.run(onlooker, **AUDITED)
        assert ending.interrupted
        assert it.sent(OF_TYPE) == []
        assert it.query("SELECT value FROM about WHERE name = 'audit'") == []


async def test_more_than_the_pages_allowed_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "TYPE_PAGE", 5)
    async with trial(tmp_path, rows=11) as it:
        await it.run(audit_pages=2)
        found = it.audited()
        assert (found["verdict"], found["seen"], found["again"]) == ("not conclusive", 0, None)
        assert found["unread"] == {"any": "it would take more than 2 pages"}
        assert it.sent(OF_TYPE) == []


async def test_a_day_that_is_used_up_by_then_is_no_failure_of_the_run(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        await it.run(**AUDITED)
        calls = it.sandbox.report()["total_calls"] - len(it.sent(OF_TYPE))
    other = tmp_path / "other"
    other.mkdir()
    async with trial(other, rows=3) as it:
        ending = await it.run(**AUDITED, daily_limit=calls)
        assert (ending.summary.states, ending.error) == ({State.SHARED: 3}, None)
        assert it.audited()["verdict"] == "not conclusive"
        assert "calls were made today" in it.audited()["unread"]["201"]
