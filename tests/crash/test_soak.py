"""Ten thousand rows, one call in twenty going wrong in one of many ways, at the real limit: in virtual time.

`make test` runs a tenth of it; SOAK says how many seeds are run whole: 1 in CI, 20 by `make soak`.
"""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from invariants import check_never_twice
from trial import Onlooker, Trial, options, sheet_rows
from virtual_time import run_virtually

from batch_share.leadsquared.client import ANSWER_SECONDS
from batch_share.ledger import store
from batch_share.ledger.states import State
from batch_share.pipeline import session
from batch_share.sandbox import Sandbox
from batch_share.sandbox.clock import LoopClock
from batch_share.sandbox.direct import DirectClient
from batch_share.units import Rate

if TYPE_CHECKING:
    from pydantic import SecretStr

    from batch_share.sandbox import SandboxOptions

SEEDS = int(os.environ.get("SOAK", "0"))
ROWS = 10_000 if SEEDS else 1_000
FAULTS = (
    "reset=0.6%,applied-reset=0.6%,silent=0.3%,applied-silent=0.3%,502=0.4%,applied-502=0.4%,504=0.2%,"
    "applied-504=0.2%,bad-json=0.2%,applied-bad-json=0.2%,applied-no-id=0.2%,html=0.2%,applied-truncated=0.2%,"
    "429=0.3%,429-retry-after=0.2%,throttle-200=0.2%,refused=0.1%,Create:500-mx=0.2%,Share:error-envelope=0.2%,"
    "Status:pending=0.2%,Status:id-gone=0.1%"
)
START = datetime(2026, 3, 1, tzinfo=UTC)
MOST_RUNS = 12
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Time is virtual, and so the disk should be: syncing it would take most of the minute."""


def wall() -> datetime:
    """The date in virtual time."""
    return START + timedelta(seconds=LoopClock().time())


class VirtualClock(LoopClock):
    """The sandbox's clock."""

    def now(self) -> datetime:
        return wall()


class VirtualDate(datetime):
    """The ledger's clock."""

    @classmethod
    def now(cls, _: Any = None) -> VirtualDate:
        return cls.fromtimestamp(wall().timestamp(), UTC)


@pytest.mark.parametrize("seed", range(1, max(SEEDS, 1) + 1))
def test_a_long_run_through_many_faults_shares_every_row_once(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(store, "datetime", VirtualDate)
    pace = {"rate": Rate(25, 5.0), "latency": 0.15, "jitter": 0.4, "processing": 4.0, "read_lag": 2.0}
    told = options(seed=seed, leads=ROWS, faults=FAULTS, **pace)
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        run_virtually(soak(Path(folder), monkeypatch, told))


async def soak(folder: Path, monkeypatch: pytest.MonkeyPatch, told: SandboxOptions) -> None:
    """Run the sheet until nothing is left to do, and look at it after each run."""
    sandbox = Sandbox(told, VirtualClock())

    def client(_host: str, access: SecretStr, secret: SecretStr, *, answer_seconds: float) -> DirectClient:
        return DirectClient(sandbox, (access, secret), answer_seconds=answer_seconds)

    monkeypatch.setattr(session, "Client", client)
    changes = {"host": "http://127.0.0.1", "rate": Rate(25, 5.0), "workers": None, "grace": 60.0, "wait": 600.0}
    it = Trial(folder, sandbox, changes | {"answer_timeout": ANSWER_SECONDS})
    it.write(sheet_rows(ROWS, sandbox.world))
    for _ in range(MOST_RUNS):
        ending = await it.run(Onlooker())
        check_never_twice(it)
        states = ending.summary.states
        assert sum(states.values()) == ROWS
        if not set(states) & {State.PENDING, State.POSTED, State.UNKNOWN}:
            break
    assert set(states) <= {State.SHARED, State.ACCEPTED, State.FAILED}
    assert states[State.SHARED] > 0.97 * ROWS
    report = sandbox.report()
    assert sum(report["faults"].values()) > 0.04 * report["total_calls"]
    assert report["fullest_window"] <= 25
