"""Ten thousand rows, one call in twenty going wrong in one of many ways, at the real limit: in virtual time.

`make test` runs a tenth of it; SOAK says how many seeds are run whole: 1 in CI, 20 by `make soak`.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
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
    from pathlib import Path

    from pydantic import SecretStr

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
def test_a_long_run_through_many_faults_shares_every_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(store, "datetime", VirtualDate)
    told = options(rate=Rate(25, 5.0), latency=0.15, jitter=0.4, processing=4.0, read_lag=2.0)
    run_virtually(soak(tmp_path, monkeypatch, told_with(told, seed)))


def told_with(told: Any, seed: int) -> Any:
    """The sandbox's options for a seed."""
    from dataclasses import replace

    return replace(told, seed=seed, leads=ROWS, faults=FAULTS)


async def soak(folder: Path, monkeypatch: pytest.MonkeyPatch, told: Any) -> None:
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
    report = sandbox.report()
    assert report["fullest_window"] <= 25
