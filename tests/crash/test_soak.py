"""Ten thousand rows, one call in twenty going wrong in one of many ways, at the real limit: in virtual time.

Once they are shared, those of one user and some others are revoked, through the same faults.

`make test` runs a twentieth of it; SOAK says how many seeds are run whole: 1 in CI, 20 by `make soak`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from invariants import check_never_twice, check_what_stands
from trial import Onlooker, Trial, options
from virtual_time import run_virtually
from virtual_trial import in_virtual_time

from batch_share.common import Rate
from batch_share.leadsquared.client import ANSWER_SECONDS
from batch_share.ledger.states import State

if TYPE_CHECKING:
    from batch_share.sandbox import SandboxOptions

SEEDS = int(os.environ.get("SOAK", "0"))
ROWS = 10_000 if SEEDS else 500
FAULTS = (
    "reset=0.6%,applied-reset=0.6%,silent=0.3%,applied-silent=0.3%,502=0.4%,applied-502=0.4%,504=0.2%,"
    "applied-504=0.2%,bad-json=0.2%,applied-bad-json=0.2%,applied-no-id=0.2%,html=0.2%,applied-truncated=0.2%,"
    "429=0.3%,429-retry-after=0.2%,throttle-200=0.2%,refused=0.1%,Create:500-mx=0.2%,Share:error-envelope=0.2%,"
    "Revoke:error-envelope=1%,Revoke:500-mx=1%,Status:pending=0.2%,Status:id-gone=0.1%"
)
OF_BULK = (  # a sheet takes few bulk calls, so more of them go wrong
    "Bulk:applied-reset=4%,Bulk:applied-silent=2%,Bulk:silent=2%,Bulk:applied-502=4%,Bulk:502=2%,item-missing=4%,"
    "item-doubled=2%,misnumbered=4%,unsaid=4%,applied-500-mx=4%,shuffled=4%,unnumbered=4%,Bulk:429=3%,"
    "Bulk:429-retry-after=2%,Bulk:throttle-200=2%,Bulk:400=2%,Bulk:failed=1%,Share:500-mx=1%"
)
BULK_RATE = Rate(5, 5.0)
MOST_RUNS = 12
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Time is virtual, and so the disk should be: syncing it would take most of the minute."""


@pytest.mark.parametrize("seed", range(1, max(SEEDS, 1) + 1))
@pytest.mark.parametrize("bulk", [False, True])
def test_a_long_run_through_many_faults_shares_every_row_once(
    monkeypatch: pytest.MonkeyPatch, *, bulk: bool, seed: int
) -> None:
    pace: dict[str, Any] = {"rate": Rate(25, 5.0), "latency": 0.15, "jitter": 0.4, "processing": 4.0}
    pace |= {"read_lag": 2.0, "bulk_rate": BULK_RATE}
    faults, fail = (f"{OF_BULK},{FAULTS}", 0.01) if bulk else (FAULTS, 0.0)
    reported = options(seed=seed, leads=ROWS, faults=faults, fail=fail, **pace)
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        run_virtually(soak(Path(folder), monkeypatch, reported, bulk=bulk))


async def soak(folder: Path, monkeypatch: pytest.MonkeyPatch, reported: SandboxOptions, *, bulk: bool) -> None:
    """Run the sheet until nothing is left to do, and look at it after each run."""
    changes: dict[str, Any] = {"rate": Rate(25, 5.0), "workers": None, "grace": 60.0, "wait": 600.0}
    changes |= {"bulk": bulk, "bulk_rate": BULK_RATE}
    it = in_virtual_time(folder, monkeypatch, reported, rows=ROWS, answer_timeout=ANSWER_SECONDS, **changes)
    for _ in range(MOST_RUNS):
        ending = await it.run(Onlooker())
        check_never_twice(it)
        states = ending.summary.states
        assert sum(states.values()) == ROWS
        if not set(states) & {State.PENDING, State.POSTED, State.UNKNOWN}:
            break
    assert set(states) <= {State.SHARED, State.ACCEPTED, State.FAILED}
    assert states[State.SHARED] > 0.97 * ROWS
    await take_some_back(it)
    report = it.sandbox.report()
    assert sum(report["faults"].values()) > 0.04 * report["total_calls"]
    assert report["fullest_window"] <= 25


async def take_some_back(it: Trial) -> None:
    """Revoke what one user has, then some rows, each until nothing of it is left to be revoked."""
    ((user,),) = it.query("SELECT user_id FROM rows WHERE state = 'shared' ORDER BY position LIMIT 1")
    last_row = ROWS // 20
    await take_back(it, f"user_id = '{user}'", user=user)
    await take_back(it, f"sheet_row <= {last_row}", rows=f"2-{last_row}")


async def take_back(it: Trial, which: str, rows: str | None = None, user: str | None = None) -> None:
    """Revoke the chosen rows until none is left, and look at them, and at the others, after each time."""
    settled = "state NOT IN ('accepted', 'ending')"  # what is still processed may be followed up meanwhile
    others = it.query(f"SELECT id, state FROM rows WHERE NOT ({which}) AND {settled}")
    shared = count(it, f"{which} AND state = 'shared'")
    left = f"({which}) AND (state IN ('shared', 'accepted', 'to_revoke', 'unknown') OR stage = 'revoke')"
    left += " AND state <> 'ending'"  # asked for, be it in doubt: the follow-up sees its end
    for _ in range(MOST_RUNS):
        ending = await it.revoke(rows=rows, user=user)
        check_never_twice(it)
        check_what_stands(it)
        assert sum(ending.summary.states.values()) == ROWS
        if not count(it, left):
            break
    assert count(it, left) == 0
    assert count(it, f"{which} AND state IN ('revoked', 'ending')") >= shared > ROWS // 50
    assert set(others) <= set(it.query("SELECT id, state FROM rows"))


def count(it: Trial, which: str) -> int:
    """How many rows of the ledger are such ones."""
    ((rows,),) = it.query(f"SELECT count(*) FROM rows WHERE {which}")
    return int(rows)
