"""Whoever works on a ledger in a store is killed, or sleeps and wakes, while another takes it over."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from trial import CREATE, Trial, options, sheet_rows

from batch_share.common import Rate
from batch_share.ledger.files import read_ledger
from batch_share.ledger.postgres import LEASE, StoredName
from batch_share.ledger.states import State
from batch_share.sandbox import Sandbox

if TYPE_CHECKING:
    from trial import Step

    from batch_share.ledger.postgres import Store
    from batch_share.sandbox.wire import Reply, SandboxCall

ROWS = 24
WORK = """
import asyncio, json, sys
from pathlib import Path
from trial import Onlooker, Trial
from batch_share.common import Rate
from batch_share.errors import BatchShareError
from batch_share.jobs.job import do
from batch_share.jobs.run import Resume, RunSheet
from batch_share.ledger.files import LedgerName
from batch_share.planning.intake import SheetJob

host, folder, sheet, name = json.loads(sys.argv[1])
settings = Trial(Path(folder), None).settings(host=host, workers=4, wait=30.0, rate=Rate(10, 0.5))
name = LedgerName.of(name)
job = RunSheet(SheetJob(Path(sheet), name)) if sheet else Resume(name)
try:
    ending = asyncio.run(do(job, settings, Onlooker()))
except BatchShareError as error:
    sys.exit(f"{type(error).__name__}: {error}")
sys.exit(str(ending.error) if ending.error else 0)
"""


class Host:
    """A process on another host, as far as it can tell: with no file of the others."""

    def __init__(self, *given: str | None) -> None:
        self._given = json.dumps(given)

    async def __aenter__(self) -> asyncio.subprocess.Process:
        here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        command = sys.executable, "-c", WORK, self._given
        self.process = await asyncio.create_subprocess_exec(*command, env=here, stderr=asyncio.subprocess.PIPE)
        return self.process

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.communicate()


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
async def test_another_host_goes_on_and_nothing_is_sent_twice(
    tmp_path: Path, store: Store, how: signal.Signals
) -> None:
    posted = asyncio.Semaphore(0)

    async def count(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == CREATE:
            posted.release()
        return await step(call)

    name = str(StoredName(store, str(tmp_path)))
    reported = options(rate=Rate(10, 0.5), latency=0.05)
    async with Sandbox(reported, wrappers=[count]) as sandbox:
        sheet = tmp_path / "leads.csv"
        for folder in ("one", "two"):
            (tmp_path / folder).mkdir()
        it = Trial(tmp_path, sandbox)
        it.write(sheet_rows(ROWS, sandbox.world))
        async with Host(sandbox.url, str(tmp_path / "one"), str(sheet), name) as first:
            for _ in range(ROWS // 3):
                await asyncio.wait_for(posted.acquire(), 60)
            first.send_signal(how)
            began, words = time.monotonic(), b"LedgerLocked"
            while words.startswith(b"LedgerLocked"):
                async with Host(sandbox.url, str(tmp_path / "two"), None, name) as second:
                    _, words = await second.communicate()
            assert (second.returncode, words) == (0, b"")
            if how is signal.SIGSTOP:
                assert time.monotonic() - began > LEASE / 2
                first.send_signal(signal.SIGCONT)
                _, words = await asyncio.wait_for(first.communicate(), 60)
                assert b"the account was given up" in words
        done = it.leads_sent()
    async with read_ledger(StoredName(store, str(tmp_path))) as ledger:
        assert await ledger.counts() == {State.SHARED: ROWS}
    assert max(Counter(done).values()) == 1
