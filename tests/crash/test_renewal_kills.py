"""`kill -9` while shares that have ended are renewed; then the same command again: each once, by another activity.

`make test` hits each point once; with KILLS=200 or more, each at the first, a middle and the last row.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from forks import KILLED, Forks
from invariants import check_never_twice
from kills import AT_THE_SERVER, POINTS, Killer
from storm import Storm
from trial import Trial, options

from batch_share.ledger.states import State
from batch_share.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 5
HIT = (1, 3, ROWS)
MANY = int(os.environ.get("KILLS", "0")) >= 200
ALL = [(point, hit) for point in POINTS for hit in HIT]
ONCE = [(point, HIT[at % 3]) for at, point in enumerate(POINTS)]
RENEW = ("run", "leads.csv", "--renew", "1d")


@pytest.mark.parametrize(("point", "hit"), ALL if MANY else ONCE)
@pytest.mark.parametrize("bulk", [False, True])
async def test_what_has_ended_is_renewed_once_whatever_kills_it(
    tmp_path: Path, forks: Forks, point: str, hit: int, *, bulk: bool
) -> None:
    number = 1 if bulk else hit
    killer = [Killer(point, number)] if point.rpartition(":")[2] in AT_THE_SERVER else []
    async with Sandbox(options(), wrappers=killer) as sandbox:
        it = Trial(tmp_path, sandbox)
        storm = Storm(it, forks, ROWS, bulk=bulk)
        assert (await it.run()).summary.states == {State.SHARED: ROWS}
        it.change("UPDATE rows SET ends_at = '2020-01-01 00:00:00.000000'")
        dies = storm.run_into(killer[0], RENEW) if killer else storm.run([point, number], RENEW)
        assert await dies == KILLED, storm.said()
        check_never_twice(it)
        assert await storm.run(command=RENEW) == 0, storm.said()
        check_never_twice(it)
        assert len(sandbox.account.activities) == 2 * ROWS
        assert it.query("SELECT renewal, state, count(*) FROM rows GROUP BY 1, 2") == [
            (0, "shared", ROWS),
            (1, "shared", ROWS),
        ]
        assert await storm.run(command=RENEW) == 0, storm.said()
        assert len(sandbox.account.activities) == 2 * ROWS


@pytest.mark.parametrize("point", [point for point in POINTS if ":" in point])
async def test_a_forced_renewal_that_was_killed_at_its_last_row_is_gone_on_with_and_not_begun_anew(
    tmp_path: Path, forks: Forks, point: str
) -> None:
    killer = [Killer(point, ROWS)] if point.rpartition(":")[2] in AT_THE_SERVER else []
    async with Sandbox(options(), wrappers=killer) as sandbox:
        it = Trial(tmp_path, sandbox)
        storm, force = Storm(it, forks, ROWS, workers=1), ("run", "leads.csv", "--force")
        await it.run()
        dies = storm.run_into(killer[0], force) if killer else storm.run([point, ROWS], force)
        assert await dies == KILLED, storm.said()
        assert await storm.run(command=force) == 0, storm.said()
        check_never_twice(it)
        assert len(sandbox.account.activities) == 2 * ROWS
