"""What a job says to the log, as a program hears it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from trial import CREATE, DROPPED, FAST, REVOKE, Fault, sheet_rows, trial

from batch_share.sandbox.wire import Reply, envelope

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from trial import Step

    from batch_share.sandbox.wire import SandboxCall


def said(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """The fields of all events of one name."""
    return [vars(record) for record in caplog.records if record.getMessage() == event]


class Troubles:
    """The second activity is lost, the third refused as one too many, the fourth refused."""

    def __init__(self) -> None:
        self.posts = 0

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        """A wrapper of the sandbox."""
        if call.endpoint != CREATE:
            return await step(call)
        self.posts += 1
        if self.posts == 2:
            return DROPPED
        if self.posts == 3:
            return Reply.json(envelope("MXAPIRateLimitExceededException", "slow"), 429, {"Retry-After": "0"})
        if self.posts == 4:
            return Reply.json(envelope("MXSomeException", "no"), 500)
        return await step(call)


async def test_a_job_tells_its_start_its_troubles_and_its_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "batch_share"):
        async with trial(tmp_path, Troubles(), rows=4, leads=4, users=7) as it:
            ending = await it.run(workers=1, on_unknown="park", note="for Ann Lee")
            cells = [cell for row in sheet_rows(4, it.sandbox.world) for cell in (row[0], row[2])]
    assert ending.summary.states == {"shared": 2, "unknown": 1, "failed": 1}
    (start,) = said(caplog, "started")
    assert start["settings"]["rate"] == str(FAST)
    assert "note" not in start["settings"]
    (planned,) = said(caplog, "planned")
    assert planned["rows"] == {"pending": 4}
    (unknown,) = said(caplog, "outcome unknown")
    (failed,) = said(caplog, "row failed")
    assert (unknown["step"], unknown["levelname"]) == ("activity", "WARNING")
    assert failed["row"] != unknown["row"]
    assert said(caplog, "refused as one call too many")[0]["levelname"] == "WARNING"
    (end,) = said(caplog, "ended")
    assert end["rows"] == {"shared": 2, "unknown": 1, "failed": 1}
    assert (end["command"], end["ledger"], end["run"]) == ("run", "leads.csv.ledger.db", ending.summary.run)
    calls = said(caplog, "called")
    assert {call["levelname"] for call in calls} == {"DEBUG"}
    assert len(calls) == end["calls"]
    everything = repr([vars(record) for record in caplog.records if record.name == "batch_share"])
    assert not [cell for cell in [*cells, "Ann Lee"] if cell in everything]


async def test_a_retry_and_an_undo_tell_what_they_are_about_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refused = Reply.json(envelope("MXSomeException", "no"), 500)
    async with trial(tmp_path, Fault(CREATE, [2], refused), Fault(REVOKE, [1, 2, 3], DROPPED), rows=3) as it:
        await it.run(workers=1)
        it.change("UPDATE rows SET state = 'sharing' WHERE id = 3")  # cut off
        with caplog.at_level(logging.INFO, "batch_share"):
            await it.retry(workers=1)
            await it.revoke(workers=1, rows="2")
            it.change("UPDATE rows SET state = 'revoking' WHERE id = 1")
            await it.revoke(workers=1)
    reported = [(each["command"], each["rows"], each["to_do"]) for each in said(caplog, "planned")]
    assert reported == [
        ("retry", {"shared": 1, "failed": 1, "unknown": 1}, {"pending": 1}),
        ("revoke", {"shared": 3}, {"to_revoke": 1}),
        ("revoke", {"shared": 2, "unknown": 1}, {"to_revoke": 3}),
    ]
    cut_off = said(caplog, "calls were under way when an earlier run was cut off")
    assert [(each["command"], each["rows"]) for each in cut_off] == [("retry", 1), ("revoke", 1)]
    assert {(each["row"], each["step"]) for each in said(caplog, "outcome unknown")} == {(2, "revoke")}
