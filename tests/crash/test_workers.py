"""Workers on several hosts are killed, frozen and stopped while they drive several accounts: nothing is sent twice.

`make test` kills a few times; `make cluster` does what the specification asks for.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from queues import WorkerProcess, emptied, ended, hand_over
from trial import CREATE, Trial, options, sheet_rows

from batch_share.common import Rate
from batch_share.ledger.files import read_ledger
from batch_share.ledger.postgres import LEASE, StoredName
from batch_share.ledger.states import State
from batch_share.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from trial import Step

    from batch_share.ledger.postgres import Store
    from batch_share.sandbox.wire import Reply, SandboxCall

RATE = Rate(10, 0.5)
SLOW = {"rate": [RATE.limit, RATE.period], "workers": 4, "wait": 30.0}
KILLS = int(os.environ.get("CLUSTER_KILLS", "3"))
FREEZES = int(os.environ.get("CLUSTER_FREEZES", "1"))
ROWS = 24


def fullest(sandbox: Sandbox) -> int:
    """The most calls that the sandbox counted in any period, from its own journal."""
    at = sorted(call["at"] for call in sandbox.journal.since(0) if call.get("limited", True))
    return max((sum(1 for other in at if when <= other < when + RATE.period) for when in at), default=0)


async def settled(store: Store, ledger: str) -> dict[State, int]:
    async with read_ledger(StoredName(store, ledger)) as opened:
        return await opened.counts()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
async def test_another_worker_goes_on_in_time(tmp_path: Path, store: Store, how: signal.Signals) -> None:
    queue, posted, ledger = emptied(store), asyncio.Semaphore(0), f"{tmp_path}-w"
    times: list[float] = []

    async def count(step: Step, call: SandboxCall) -> Reply:
        times.append(time.monotonic())
        if call.endpoint == CREATE:
            posted.release()
        return await step(call)

    async with Sandbox(options(rate=RATE, latency=0.05), wrappers=[count]) as sandbox:
        it = Trial(tmp_path, sandbox)
        it.write(sheet_rows(ROWS, sandbox.world))
        async with WorkerProcess(store, tmp_path / "one", [sandbox.url], **SLOW) as first:
            job = await hand_over(it, queue, ledger)
            for _ in range(ROWS // 3):
                await asyncio.wait_for(posted.acquire(), 60)
            async with WorkerProcess(store, tmp_path / "two", [sandbox.url], **SLOW):
                await asyncio.sleep(2.5)  # it is up
                first.send_signal(how)
                at = time.monotonic()
                over = await ended(queue, job)
                if how is signal.SIGSTOP:
                    first.send_signal(signal.SIGCONT)
                    await asyncio.sleep(2)  # it wakes, and finds that it has lost
        assert (over.state, over.exit_code) == ("ended", 0)
        done = it.leads_sent()
    assert await settled(store, ledger) == {State.SHARED: ROWS}
    assert max(Counter(done).values()) == 1
    # Lease, period and 2 seconds; and what a loaded machine takes to look.
    later = [when for when in times if when > at + 0.5]
    if later and how is not signal.SIGTERM:
        assert later[0] - at < LEASE + RATE.period + 4
