"""Kills at random times, recoveries included. KILLS says how many: 10 in `make test`, 2,000 in `make crash`."""

from __future__ import annotations

import os
import random
from itertools import count
from typing import TYPE_CHECKING

import pytest
from forks import KILLED, Forks
from invariants import check_never_twice
from storm import Storm
from trial import Trial, options

from batch_share.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("KILLS", "0")) or 10
TOGETHER = 5
ROWS = 30


@pytest.mark.parametrize("seed", range(-(-KILLS // TOGETHER)))
async def test_no_storm_of_kills_repeats_or_loses_anything(tmp_path: Path, forks: Forks, seed: int) -> None:
    chance, kills, sheets = random.Random(seed), 0, count()
    while kills < TOGETHER:
        async with Sandbox(options(latency=0.01, jitter=0.5, seed=1)) as sandbox:
            folder = tmp_path / str(next(sheets))  # not by kills: a run may end before it is killed
            folder.mkdir()
            storm = Storm(Trial(folder, sandbox), forks, ROWS, chance.choice([1, 3, 8]), bulk=seed % 2 == 1)
            while kills < TOGETHER and await storm.run_until(chance.uniform(0.0, 1.0)) == KILLED:
                kills += 1
                check_never_twice(storm.it)
            await storm.recover()
