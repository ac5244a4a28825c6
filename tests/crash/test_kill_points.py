"""`kill -9` at every point that matters, then the same command again, and the server's own log as the judge.

`make test` hits each point once, by turns one by one and in bulk; with KILLS=200 or more, each at the first, a
middle and the last row, with one worker and with eight, and in bulk at each of the first three calls.
"""

from __future__ import annotations

import os
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from forks import KILLED, Forks
from invariants import check_never_twice, posts
from kills import AT_THE_SERVER, POINTS, Killer
from storm import Storm
from trial import Trial, options

from batch_share.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 7
HIT = (1, 4, ROWS)
WORKERS = (1, 8)
ALL = list(product(POINTS, HIT, WORKERS))
ONCE = [(point, HIT[at % 3], WORKERS[at % 2]) for at, point in enumerate(POINTS)][::2]
CHOSEN = ALL if int(os.environ.get("KILLS", "0")) >= 200 else ONCE

BULK_ROWS = 60
"""Some go in bulk calls, others, in the slots that those leave idle, by themselves; the first of each alone."""

BULK_HIT = (1, 2, 3)
BULK_ALL = list(product(POINTS, BULK_HIT, WORKERS))
BULK_ONCE = [(point, BULK_HIT[at % 3], WORKERS[at % 2]) for at, point in enumerate(POINTS)][1::2]
BULK_CHOSEN = BULK_ALL if int(os.environ.get("KILLS", "0")) >= 200 else BULK_ONCE

BAD = frozenset({869011, 869042})
"""Leads whose shares can't be processed, so that the calls that they are in are repeated in parts."""

AGAIN = [*(point for point in POINTS if point.startswith("share:")), "status-recorded"]
AGAIN_HIT = range(4, 12)
AGAIN_ALL = list(product(AGAIN, AGAIN_HIT))
AGAIN_ONCE = [(point, 5 + at % 5) for at, point in enumerate(AGAIN)]
AGAIN_CHOSEN = AGAIN_ALL if int(os.environ.get("KILLS", "0")) >= 200 else AGAIN_ONCE


async def kill_and_recover(tmp_path: Path, forks: Forks, kill: tuple[str, int], made: dict[str, Any]) -> None:
    """Die at the n-th hit of a point, and run the same command again."""
    point, number = kill
    at_the_server = point.rpartition(":")[2] in AT_THE_SERVER
    killer = [Killer(point, number)] if at_the_server else []
    async with Sandbox(options(), wrappers=killer) as sandbox:
        storm = Storm(Trial(tmp_path, sandbox), forks, **made)
        code = await (storm.run_into(killer[0]) if killer else storm.run([point, number]))
        assert code == KILLED, storm.said()
        await storm.recover()


@pytest.mark.parametrize(("point", "row", "workers"), CHOSEN)
async def test_a_kill_repeats_nothing_and_loses_nothing(
    tmp_path: Path, forks: Forks, point: str, row: int, workers: int
) -> None:
    await kill_and_recover(tmp_path, forks, (point, row), {"rows": ROWS, "workers": workers})


@pytest.mark.parametrize(("point", "call", "workers"), BULK_CHOSEN)
async def test_a_kill_in_bulk_repeats_nothing_and_loses_nothing(
    tmp_path: Path, forks: Forks, point: str, call: int, workers: int
) -> None:
    await kill_and_recover(tmp_path, forks, (point, call), {"rows": BULK_ROWS, "workers": workers, "bulk": True})


@pytest.mark.parametrize(("point", "call"), AGAIN_CHOSEN)
async def test_a_kill_while_failed_calls_are_shared_again_repeats_no_activity_and_loses_nothing(
    tmp_path: Path, forks: Forks, point: str, call: int
) -> None:
    at_the_server = point.rpartition(":")[2] in AT_THE_SERVER
    killer = [Killer(point, call)] if at_the_server else []
    async with Sandbox(options(fail_leads=BAD), wrappers=killer) as sandbox:
        storm = Storm(Trial(tmp_path, sandbox), forks, BULK_ROWS, bulk=True)
        code = await (storm.run_into(killer[0]) if killer else storm.run([point, call]))
        assert code == KILLED, storm.said()
        check_never_twice(storm.it)
        for run in range(2):
            before = posts(storm.it)
            assert await storm.run() == 3, storm.said()
            check_never_twice(storm.it)
            assert storm.it.query("SELECT lead_number FROM rows WHERE state = 'failed' ORDER BY 1") == [
                (str(lead),) for lead in sorted(BAD)
            ]
            assert storm.it.query("SELECT count(*) FROM rows WHERE state = 'shared'") == [(BULK_ROWS - len(BAD),)]
            assert len(sandbox.account.activities) == BULK_ROWS
            assert sandbox.report()["live_shares"]["count"] == BULK_ROWS - len(BAD)
            assert run == 0 or posts(storm.it) == before, "a run with nothing to do sent something"


def test_there_are_twelve_points_and_seventy_two_kills_one_by_one_and_in_bulk() -> None:
    assert len(POINTS) == 12
    assert len(set(ALL)) == len(set(BULK_ALL)) == 72
