"""A run's wire log: nobody's data in it, and the same outcomes once it is answered again."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

from trial import CREATE, DROPPED, HEADER, SHARE, Fault, Trial, answer, envelope, options, sheet_rows, trial

from batch_share.ledger.states import State
from batch_share.sandbox import Sandbox
from batch_share.sandbox.replay import Replay
from batch_share.sandbox.wire import Reply

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.sandbox.server import Step
    from batch_share.sandbox.wire import SandboxCall

PLANTED = "zqplantedqz"
KEY = "zqplantedqz-access-key-0123"


async def plant(step: Step, call: SandboxCall) -> Reply:
    """Plant a word in every answer, under names of its own and of LeadSquared's."""
    reply = await step(call)
    if reply.drop:
        return reply
    value = json.loads(reply.body)
    planted = {PLANTED: PLANTED, "Notes": PLANTED, "Name": PLANTED, "ExceptionMessage2": f"Invalid {PLANTED}"}
    if isinstance(value, dict):
        value |= planted
    return Reply.json(value, reply.status)


async def test_nothing_planted_anywhere_comes_into_a_wire_log(tmp_path: Path) -> None:
    refused = envelope(500, f"Invalid value {PLANTED} for {PLANTED}", "MXInvalidInputException")
    async with trial(tmp_path, plant, Fault(CREATE, [2], refused), access_key=KEY) as it:
        rows = [[*row, f"{PLANTED} note", PLANTED] for row in sheet_rows(6, it.sandbox.world)]
        rows[4][2] = f"{PLANTED}@example.org"
        with (tmp_path / "leads.csv").open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([[*HEADER, "Note", f"{PLANTED} column"], *rows])
        log = tmp_path / "wire.jsonl"
        ending = await it.run(access_key=KEY, wire_log=log)
        assert ending.summary.states == {State.SHARED: 4, State.FAILED: 1, State.INVALID: 1}
        text = log.read_text(encoding="utf-8")
        assert PLANTED not in text.lower()
        assert "sandbox-secret" not in text
        for lead in it.sandbox.world.leads[:6]:
            assert lead.id not in text
            assert str(lead.number) not in text
        assert text.count('"path": "EntityAccess.svc/Share"') == 4


async def test_a_faulty_run_has_the_same_outcomes_once_its_wire_log_is_answered_again(tmp_path: Path) -> None:
    """Run by the sheet that comes with the log, on another machine."""
    faults = (
        Fault(CREATE, [2, 9], DROPPED, applied=True),
        Fault(CREATE, [5], envelope(500, "Invalid event code")),
        Fault(SHARE, [3, 8], DROPPED, applied=True),
        Fault(SHARE, range(11, 13), envelope(500, "Already shared in this context", "MXDuplicateEntryException")),
    )
    log, there = tmp_path / "wire.jsonl", tmp_path / "there"
    there.mkdir()
    async with trial(tmp_path, *faults, rows=12) as it:
        before = await it.run(wire_log=log, workers=1)
        rows = it.rows("sheet_row", "state", "stage")
    again = Replay(log)
    async with Sandbox(options(), wrappers=[again]) as sandbox:
        another = Trial(there, sandbox)
        again.write_sheet(there / "leads.csv")
        after = await another.run(workers=3)
        assert another.rows("sheet_row", "state", "stage") == rows
    assert len(set(before.summary.states)) > 1
    assert after.summary.states == before.summary.states
    assert after.looked_up == before.looked_up
    assert another.ledger.exists()


async def test_an_answer_that_is_not_understood_says_once_how_to_report_it(tmp_path: Path) -> None:
    strange = Fault(CREATE, [2, 4], answer(200, "<html>all is well</html>", "text/html"), applied=True)
    async with trial(tmp_path, strange, rows=5) as it:
        ending = await it.run(workers=1)
        assert ending.summary.states == {State.SHARED: 5}
        assert [each for each in ending.remarks if "--wire-log" in each] == [*ending.remarks][:1]
    another = tmp_path / "another"
    another.mkdir()
    async with trial(another, Fault(CREATE, [2], DROPPED, applied=True), rows=5) as it:
        assert (await it.run(workers=1)).remarks == []
