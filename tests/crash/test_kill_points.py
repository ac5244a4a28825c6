"""`kill -9` at every point that matters, then the same command again, and the server's own log as the judge.

`make test` hits each point once; with KILLS=200 or more, each at the first, a middle and the last row, with one
worker and with eight.
"""

from __future__ import annotations

import os
from itertools import product
from typing import TYPE_CHECKING

import pytest
from forks import KILLED, Forks
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
ONCE = [(point, HIT[at % 3], WORKERS[at % 2]) for at, point in enumerate(POINTS)]
CHOSEN = ALL if int(os.environ.get("KILLS", "0")) >= 200 else ONCE


@pytest.mark.parametrize(("point", "row", "workers"), CHOSEN)
async def test_a_kill_repeats_nothing_and_loses_nothing(
    tmp_path: Path, forks: Forks, point: str, row: int, workers: int
) -> None:
    at_the_server = point.rpartition(":")[2] in AT_THE_SERVER
    killer = [Killer(point, row)] if at_the_server else []
    async with Sandbox(options(), wrappers=killer) as sandbox:
        storm = Storm(Trial(tmp_path, sandbox), forks, ROWS, workers)
        code = await (storm.run_into(killer[0]) if killer else storm.run([point, row]))
        assert code == KILLED, storm.said()
        await storm.recover()


def test_there_are_twelve_points_and_seventy_two_kills() -> None:
    assert len(POINTS) == 12
    assert len(set(ALL)) == 72
