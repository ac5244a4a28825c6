"""`kill -9` in the middle of a canary: the next run judges the whole of it before it sends anything else.

`make test` hits every third point; with KILLS=200 or more, each.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from forks import KILLED, Forks
from kills import AT_THE_SERVER, POINTS, Killer
from storm import Storm
from trial import BULK, CREATE, STATUS, Fault, Trial, envelope, options, sheet_rows

from batch_share.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

ROWS, CANARY = 30, 3
IN_THE_CANARY = [point for point in POINTS if point != "results-renamed"]
ONCE = [(point, 1 + at % CANARY, at % 2 == 1) for at, point in enumerate(IN_THE_CANARY)]
CHOSEN = ONCE if int(os.environ.get("KILLS", "0")) >= 200 else ONCE[::3]
HELD = {"BATCH_SHARE_CANARY": str(CANARY)}


def check_canary_went_first(it: Trial) -> None:
    """Of each of the first rows LeadSquared had said that it is shared before any other activity was posted."""
    canary = {row[0] for row in sheet_rows(CANARY)}
    requests = {request for (request,) in it.rows("request_id")[:CANARY]}
    asked: set[str] = set()
    for call in it.sandbox.journal.calls:
        if call.endpoint == STATUS and call.outcome == "done":
            asked.add(call.query["id"])
        if call.endpoint in {CREATE, BULK} and call.lead and not set(call.lead.split(",")) <= canary:
            break  # a call whose caller was killed may not have come to its lead
    else:
        raise AssertionError("no other row was sent")
    assert requests <= asked


@pytest.mark.parametrize(("point", "row", "bulk"), CHOSEN)
async def test_the_next_run_judges_the_whole_canary_first(
    tmp_path: Path, forks: Forks, point: str, row: int, bulk: bool
) -> None:
    killer = [Killer(point, row)] if point.rpartition(":")[2] in AT_THE_SERVER else []
    async with Sandbox(options(), wrappers=killer) as sandbox:
        storm = Storm(Trial(tmp_path, sandbox), forks, ROWS, bulk=bulk, own=HELD)
        code = await (storm.run_into(killer[0]) if killer else storm.run([point, row]))
        assert code == KILLED, storm.said()
        await storm.recover()
        check_canary_went_first(storm.it)


async def test_a_row_that_failed_before_the_kill_is_judged_all_the_same(tmp_path: Path, forks: Forks) -> None:
    """Nobody was told of it: the next runs end with the rest unsent, one without a canary sends it."""
    refused = Fault(CREATE, [2], envelope(400, "no such field"))
    async with Sandbox(options(), wrappers=[refused]) as sandbox:
        storm = Storm(Trial(tmp_path, sandbox), forks, ROWS, own=HELD)
        assert await storm.run(["activity:after-intent", 3]) == KILLED, storm.said()
        assert await storm.run() == 1
        assert "Not all of the 3 canary rows were shared: 2 shared, 1 failed. Row 3:" in storm.said()
        assert states(storm.it) == {"shared": 2, "failed": 1, "pending": ROWS - 3}
        assert await storm.run() == 1, "as long as nothing was changed"
        assert states(storm.it) == {"shared": 2, "failed": 1, "pending": ROWS - 3}
        storm.own = {}
        assert await storm.run() == 3, storm.said()
        assert states(storm.it) == {"shared": ROWS - 1, "failed": 1}


async def test_a_run_without_a_canary_lets_go_of_the_one_that_was_cut_off(tmp_path: Path, forks: Forks) -> None:
    refused = Fault(CREATE, [2], envelope(400, "no such field"))
    async with Sandbox(options(), wrappers=[refused]) as sandbox:
        storm = Storm(Trial(tmp_path, sandbox), forks, ROWS, own=HELD)
        assert await storm.run(["activity:after-intent", 3]) == KILLED, storm.said()
        storm.own = {}
        assert await storm.run() == 3, storm.said()
        storm.own = HELD
        assert await storm.run() == 3, storm.said()
        assert states(storm.it) == {"shared": ROWS - 1, "failed": 1}


def states(it: Trial) -> dict[str, int]:
    """The rows by state."""
    return dict(it.query("SELECT state, count(*) FROM rows GROUP BY 1"))
