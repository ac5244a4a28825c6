"""Workers on several hosts are killed, frozen and stopped while they drive several accounts: nothing is sent twice.

`make test` kills a few times; `make cluster` does what the specification asks for.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from queues import WorkerProcess, emptied, ended, hand_over, places
from sqlalchemy import make_url
from stores import server
from trial import CREATE, Trial, options, sheet_rows

from batch_share.cluster.queue import Queue
from batch_share.common import Rate
from batch_share.ledger.files import read_ledger
from batch_share.ledger.postgres import LEASE, Store, StoredName, shared
from batch_share.ledger.states import State
from batch_share.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trial import Step

    from batch_share.cluster.queue import QueuedJob
    from batch_share.sandbox.wire import Reply, SandboxCall

RATE = Rate(10, 0.5)
SLOW = {"rate": [RATE.limit, RATE.period], "workers": 4, "wait": 30.0}
KILLS = int(os.environ.get("CLUSTER_KILLS", "1"))
FREEZES = int(os.environ.get("CLUSTER_FREEZES", "1"))
RESTARTS = int(os.environ.get("CLUSTER_RESTARTS", "1"))
ROWS = 24


def is_loaded() -> bool:
    """Whether the machine has so much else to do that nobody can tell what took the time."""
    return os.getloadavg()[0] > 2 * (os.cpu_count() or 1)


async def settled(store: Store, ledger: str) -> dict[State, int]:
    async with read_ledger(StoredName(store, ledger)) as opened:
        return await opened.counts()


@pytest.mark.parametrize(
    ("how", "ahead"), [(signal.SIGKILL, 3600), (signal.SIGSTOP, -3600), (signal.SIGTERM, 3600)]
)
async def test_another_worker_goes_on_in_time(
    tmp_path: Path, store: Store, how: signal.Signals, ahead: int
) -> None:
    """Also where the clocks of their hosts are off, one `ahead` by an hour and the other behind."""
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
        async with WorkerProcess(store, tmp_path / "one", [sandbox.url], ahead=ahead, **SLOW) as first:
            job = await hand_over(it, queue, ledger)
            for _ in range(ROWS // 3):
                await asyncio.wait_for(posted.acquire(), 60)
            async with WorkerProcess(store, tmp_path / "two", [sandbox.url], ahead=-ahead, **SLOW):
                await asyncio.sleep(2.5)  # it is up
                first.process.send_signal(how)
                at = time.monotonic()
                over = await ended(queue, job)
                if how is signal.SIGSTOP:
                    first.process.send_signal(signal.SIGCONT)
                    await asyncio.sleep(2)  # it wakes, and finds that it has lost
        assert (over.state, over.exit_code) == ("ended", 0)
        done, report = it.leads_sent(), sandbox.report()
    assert await settled(store, ledger) == {State.SHARED: ROWS}
    assert max(Counter(done).values()) == 1
    assert (report["duplicates"], report["refusals"]) == (0, 0)
    assert report["fullest_window"] <= RATE.limit
    # Lease, period and 2 seconds; and what a loaded machine takes to look.
    later = [when for when in times if when > at + 0.5]
    if later and how is not signal.SIGTERM and not is_loaded():
        assert later[0] - at < LEASE + RATE.period + 4


class Storm:
    """Two workers, three accounts: sheets keep coming, each of other leads, while the workers are hit."""

    def __init__(self, folder: Path, stack: AsyncExitStack, served: Sequence[Sandbox]) -> None:
        self.folder, self.stack, self.served = folder, stack, served
        self.chance = random.Random(KILLS)
        self.jobs: dict[Sandbox, list[QueuedJob]] = {each: [] for each in served}
        self.workers: dict[str, WorkerProcess] = {}
        self.taken: list[float] = []

    async def begin(self, name: str, store: Store) -> None:
        """Start a worker, or start it anew."""
        made = WorkerProcess(store, self.folder / name, [each.url for each in self.served], **SLOW)
        self.workers[name] = made
        await self.stack.enter_async_context(made)

    async def keep_busy(self, queue: Queue) -> None:
        """Each account has a job that is not over, and both workers live."""
        async with asyncio.timeout(120):  # to start takes a worker longer, on a busy machine, than until it is hit
            while len(places(queue.store)) < len(self.workers):  # noqa: ASYNC110 - others do it
                await asyncio.sleep(0.1)
        for sandbox, own in self.jobs.items():
            if not own or queue.job(own[-1].id).is_over:
                it, first = Trial(self.folder, sandbox), ROWS * len(own)
                it.write(sheet_rows(first + ROWS, sandbox.world)[first:])
                own.append(await hand_over(it, queue, f"{sandbox.url} {len(own)}"))

    async def hit(self, queue: Queue, how: signal.Signals) -> None:
        """Kill or freeze one, and see how soon the other has what it had."""
        name = self.chance.choice([*self.workers])
        hit = self.workers[name]
        driven = [own[-1] for own in self.jobs.values() if drives(queue, own[-1], hit)]
        hit.process.send_signal(how)
        at = time.monotonic()
        for job in driven:
            while drives(queue, job, hit) and time.monotonic() < at + 20:  # noqa: ASYNC110 - others do it
                await asyncio.sleep(0.05)
            self.taken.append(time.monotonic() - at)
        if how is signal.SIGSTOP:
            await asyncio.sleep(max(0, at + LEASE + self.chance.uniform(0, 2) - time.monotonic()))
            hit.process.send_signal(signal.SIGCONT)
        else:
            await hit.process.wait()
            await self.begin(name, queue.store)

    async def check(self, queue: Queue) -> None:
        """Every job came to its end, every row is settled, nothing was doubled or refused."""
        for sandbox, own in self.jobs.items():
            for job in own:
                over = await ended(queue, job, 600)
                assert (over.state, over.exit_code, over.error) == ("ended", 0, None)
                assert await settled(queue.store, job.ledger) == {State.SHARED: ROWS}
            report, rows = sandbox.report(), ROWS * len(own)
            assert (report["duplicates"], report["refusals"]) == (0, 0)
            assert report["fullest_window"] <= RATE.limit
            assert (report["activities"], report["live_shares"]["count"]) == (rows, rows)


def drives(queue: Queue, job: QueuedJob, worker: WorkerProcess) -> bool:
    """Whether it is this worker that has a job now."""
    found = queue.job(job.id)
    return found.state == "running" and (found.host or "").endswith(f":{worker.process.pid}")


async def test_workers_are_killed_and_frozen_and_their_store_is_restarted(tmp_path: Path) -> None:
    with server() as running:
        store = running.store()
        store.init()
        queue = Queue(store)
        async with AsyncExitStack() as stack:
            served = [Sandbox(options(rate=RATE, latency=0.02)) for _ in range(3)]
            for each in served:
                await stack.enter_async_context(each)
            storm = Storm(tmp_path, stack, served)
            await storm.begin("one", store)
            await storm.begin("two", store)
            left = [signal.SIGKILL] * KILLS + [signal.SIGSTOP] * FREEZES + [None] * RESTARTS
            storm.chance.shuffle(left)
            for how in left:
                await storm.keep_busy(queue)
                await asyncio.sleep(storm.chance.uniform(0.5, 4))
                if how is not None:
                    await storm.hit(queue, how)
                    continue
                await asyncio.to_thread(running.stop)
                await asyncio.to_thread(running.start)
                shared(store).dispose()
            await storm.check(queue)
        shared(store).dispose()
    taken, jobs = sorted(storm.taken), sum(map(len, storm.jobs.values()))
    sys.stderr.write(f"\n{jobs} jobs, {len(taken)} taken over, in {[round(each, 1) for each in taken]} s\n")
    if not is_loaded():
        assert not taken or taken[len(taken) // 2] < LEASE + 1


class Way:
    """The way to a store, which can fall silent without either end being told, as where a cable is out."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._there = f"{make_url(str(store)).query['host']}/.s.PGSQL.5432"
        self._here = folder
        self.is_silent = False
        self.store = Store.of(f"{str(store).partition('?')[0]}?host={quote(str(folder), safe='')}")
        self._pumps: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Way:
        self._server = await asyncio.start_unix_server(self._join, self._here / ".s.PGSQL.5432")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        its_reader, its_writer = await asyncio.open_unix_connection(self._there)
        for pump in (self._pump(reader, its_writer), self._pump(its_reader, writer)):
            self._pumps.add(asyncio.create_task(pump))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while said := await source.read(65_536):
                while self.is_silent:  # noqa: ASYNC110 - what was said meanwhile comes late
                    await asyncio.sleep(0.05)
                sink.write(said)
                await sink.drain()
        while self.is_silent:  # noqa: ASYNC110 - that it ended is not heard of either
            await asyncio.sleep(0.05)
        sink.close()


async def test_a_worker_that_is_cut_off_from_the_store_sends_nothing_more(tmp_path: Path, store: Store) -> None:
    queue, ledger, posted = emptied(store), f"{tmp_path}-split", asyncio.Semaphore(0)

    async def count(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == CREATE:
            posted.release()
        return await step(call)

    socket = Path(tempfile.mkdtemp(prefix="way-"))
    async with Sandbox(options(rate=RATE, latency=0.05), wrappers=[count]) as sandbox, Way(store, socket) as way:
        it = Trial(tmp_path, sandbox)
        it.write(sheet_rows(ROWS, sandbox.world))
        async with WorkerProcess(way.store, tmp_path / "one", [sandbox.url], **SLOW) as cut_off:
            job = await hand_over(it, queue, ledger)
            for _ in range(ROWS // 3):
                await asyncio.wait_for(posted.acquire(), 60)
            way.is_silent = True
            async with WorkerProcess(store, tmp_path / "two", [sandbox.url], **SLOW):
                over = await ended(queue, job, 120)
                assert not drives(queue, job, cut_off)
                way.is_silent = False
                await asyncio.sleep(2)  # it hears again, and finds that it has lost
        assert (over.state, over.exit_code) == ("ended", 0)
        report = sandbox.report()
        assert (report["duplicates"], report["refusals"], report["activities"]) == (0, 0, ROWS)
        assert report["fullest_window"] <= RATE.limit
    shutil.rmtree(socket)
    assert await settled(store, ledger) == {State.SHARED: ROWS}
