"""`kill -9` while shares are revoked, or failed rows tried again; then the same command again.

`make test` hits each point once; with KILLS=200 or more, each at the first, a middle and the last row, with one
worker and with eight.
"""

from __future__ import annotations

import os
from itertools import product
from typing import TYPE_CHECKING

import pytest
from forks import KILLED, Forks
from invariants import check_all_revoked, check_all_shared, check_never_twice, posts
from kills import AT_THE_SERVER, OF_RETRY, OF_REVOKE, Killer
from storm import Storm
from trial import CREATE, SHARE, Fault, Trial, envelope, options, sheet_rows

from batch_share.ledger.states import State
from batch_share.results.wording import ExitCode
from batch_share.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROWS = 5
HIT = (1, 3, ROWS)
WORKERS = (1, 8)
MANY = int(os.environ.get("KILLS", "0")) >= 200
ALL = [
    (point, hit, workers)
    for point, hit, workers in product(OF_REVOKE, HIT, WORKERS)
    if point != "put-back" or hit == 1  # all rows are chosen at once
]
ONCE = [(point, 1 if point == "put-back" else HIT[at % 3], WORKERS[at % 2]) for at, point in enumerate(OF_REVOKE)]
REVOKE_LEDGER, RETRY_LEDGER = ("revoke", "leads.csv.ledger.db"), ("retry", "leads.csv.ledger.db")
BUSY = envelope(500, "The tenant is being upgraded")


def killers(point: str, number: int) -> list[Killer]:
    """What the sandbox kills by, if it is the one to do it."""
    return [Killer(point, number)] if point.rpartition(":")[2] in AT_THE_SERVER else []


async def killed(storm: Storm, command: Sequence[str], point: str, number: int, killer: Sequence[Killer]) -> None:
    """Run a command that dies at the n-th hit of a point."""
    into = storm.run_into(killer[0], command) if killer else storm.run([point, number], command)
    assert await into == KILLED, storm.said()
    check_never_twice(storm.it)


@pytest.mark.parametrize(("point", "row", "workers"), ALL if MANY else ONCE)
async def test_what_was_shared_is_revoked_whatever_kills_it(
    tmp_path: Path, forks: Forks, point: str, row: int, workers: int
) -> None:
    killer = killers(point, row)
    async with Sandbox(options(), wrappers=killer) as sandbox:
        it = Trial(tmp_path, sandbox)
        storm, rows = Storm(it, forks, ROWS, workers), sheet_rows(ROWS, sandbox.world)
        assert (await it.run()).summary.states == {State.SHARED: ROWS}
        await killed(storm, REVOKE_LEDGER, point, row, killer)
        assert (await it.revoke()).exit_code is ExitCode.DONE
        check_all_revoked(it, rows)
        before = posts(it)
        for again in (it.revoke, it.retry, it.run):
            assert (await again()).summary.states == {State.REVOKED: ROWS}
        assert posts(it) == before, "what was revoked was sent for again"


@pytest.mark.parametrize(("point", "workers"), [(point, WORKERS[at % 2]) for at, point in enumerate(OF_RETRY)])
async def test_what_failed_is_tried_again_whatever_kills_it(
    tmp_path: Path, forks: Forks, point: str, workers: int
) -> None:
    faults, killer = [Fault(CREATE, [2], BUSY), Fault(SHARE, [3], BUSY)], killers(point, 1)
    async with Sandbox(options(), wrappers=[*faults, *killer]) as sandbox:
        it = Trial(tmp_path, sandbox)
        storm = Storm(it, forks, ROWS, workers)
        assert (await it.run(workers=1)).summary.states == {State.SHARED: ROWS - 2, State.FAILED: 2}
        await killed(storm, RETRY_LEDGER, point, 1, killer)
        assert (await it.retry()).exit_code is ExitCode.DONE
        check_all_shared(it, sheet_rows(ROWS, sandbox.world))
        before = posts(it)
        assert (await it.retry()).summary.states == {State.SHARED: ROWS}
        assert posts(it) == before, "a retry with nothing to do sent something"


def test_there_are_nine_points_of_revoke_and_six_of_retry() -> None:
    assert (len(OF_REVOKE), len(OF_RETRY)) == (9, 6)
