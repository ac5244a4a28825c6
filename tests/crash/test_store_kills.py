"""Whoever drives an account by a store is killed, or sleeps and wakes, while others wait for it on other hosts.

`make test` strikes three times; with KILLS=200 or more, 21 times, and at LeadSquared's own limit, too.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from stores import IS_INSTALLED, server
from trial import Trial, options, sheet_rows

from batch_share.common import Rate
from batch_share.ledger.accounts import holders
from batch_share.ledger.files import read_ledger
from batch_share.ledger.postgres import LEASE, StoredName, shared
from batch_share.ledger.states import State
from batch_share.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from batch_share.ledger.postgres import Store

ROWS = 24
RATE = Rate(10, 0.5)
SECOND = "the-second-key-of-the-trial"
MANY = int(os.environ.get("KILLS", "0")) >= 200
BLOWS = [signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL] * (7 if MANY else 1)
PATIENCE = 4.0  # seconds beside every bound: the machine that runs this may have much else to do

WORK = """
import asyncio, json, sys
from pathlib import Path
from pydantic import SecretStr
from trial import Onlooker, Trial
from batch_share.common import Rate
from batch_share.errors import BatchShareError
from batch_share.jobs.job import do
from batch_share.jobs.run import RunSheet
from batch_share.ledger.files import LedgerName
from batch_share.planning.intake import SheetJob

host, folder, sheet, name, key, rate = json.loads(sys.argv[1])
own = {"access_key": SecretStr(key)} if key else {}
settings = Trial(Path(folder), None).settings(host=host, workers=4, wait=30.0, rate=Rate.parse(rate), **own)
try:
    ending = asyncio.run(do(RunSheet(SheetJob(Path(sheet), LedgerName.of(name))), settings, Onlooker()))
except BatchShareError as error:
    sys.exit(f"{type(error).__name__}: {error}")
sys.exit(str(ending.error) if ending.error else 0)
"""


class Host:
    """Works on a sheet and its ledger in a store, on another host as far as it can tell: with no file of others.

    It has a key of its own of the one account.
    """

    def __init__(self, it: Trial, store: Store, number: int, rows: list[list[str]], rate: Rate = RATE) -> None:
        own = Trial(it.folder / f"host{number}", it.sandbox)
        own.folder.mkdir()
        own.write(rows)
        self.name = StoredName(store, str(own.folder))
        sheet, key = str(own.folder / "leads.csv"), SECOND if number % 2 else None
        given = it.sandbox.url, str(own.folder), sheet, str(self.name), key, str(rate)
        self._command = sys.executable, "-c", WORK, json.dumps(given)
        self.said = b""

    async def start(self) -> None:
        """Begin, or go on."""
        here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        self.process = await asyncio.create_subprocess_exec(
            *self._command, env=here, stderr=asyncio.subprocess.PIPE
        )

    async def end(self) -> int | None:
        """Wait for its end."""
        _, self.said = await asyncio.wait_for(self.process.communicate(), 900)
        return self.process.returncode

    async def work(self) -> None:
        """Run the sheet until it is done: what was struck down leaves its ledger locked for a moment."""
        async with asyncio.timeout(900):
            while await self.end() != 0:
                known = (b"LedgerLocked", b"given up", b"can't be reached")
                assert any(words in self.said for words in known), self.said
                await self.start()

    async def states(self) -> Counter[State]:
        """What the ledger says."""
        async with read_ledger(self.name) as ledger:
            return Counter(await ledger.counts())


@asynccontextmanager
async def started(*hosts: Host) -> AsyncIterator[None]:
    """Begin, and leave nothing behind."""
    try:
        for host in hosts:
            await host.start()
        yield
    finally:
        for host in hosts:
            with suppress(ProcessLookupError):
                host.process.kill()
            await host.process.communicate()


@asynccontextmanager
async def account(folder: Path, rate: Rate = RATE) -> AsyncIterator[Trial]:
    """An account with two keys that keeps its limit strictly."""
    async with Sandbox(options(rate=rate, latency=0.05, other_access_keys=(SECOND,))) as sandbox:
        yield Trial(folder, sandbox)


def check(it: Trial, rate: Rate = RATE) -> None:
    """By the account's own log: no call too many in any window, over all hosts, and nothing twice."""
    report = it.sandbox.report()
    assert (report["refusals"], report["duplicates"]) == (0, 0)
    assert report["fullest_window"] <= rate.limit
    assert max(Counter(it.leads_sent()).values()) == 1


async def until(happens: Callable[[], bool]) -> float:
    """Seconds until something happens."""
    began = time.monotonic()
    while not happens():
        assert time.monotonic() - began < 60
        await asyncio.sleep(0.01)
    return time.monotonic() - began


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
async def test_another_goes_on_with_a_ledger_and_nothing_is_sent_twice(
    tmp_path: Path, store: Store, how: signal.Signals
) -> None:
    async with account(tmp_path) as it:
        first = Host(it, store, 0, sheet_rows(ROWS, it.sandbox.world))
        second = Host(it, store, 1, sheet_rows(ROWS, it.sandbox.world))
        second.name, second._command = first.name, first._command
        async with started(first):
            await until(lambda: len(it.leads_sent()) >= ROWS // 3)
            first.process.send_signal(how)
            began = time.monotonic()
            async with started(second):
                await second.work()
            if how is signal.SIGSTOP:
                assert time.monotonic() - began > LEASE / 2
                first.process.send_signal(signal.SIGCONT)
                await first.end()
                assert b"the account was given up" in first.said
        assert await first.states() == {State.SHARED: ROWS}
        check(it)


@pytest.mark.parametrize("rate", [RATE, *([Rate(25, 5.0)] if MANY else [])])
async def test_who_drives_an_account_is_killed_or_sleeps_and_another_host_calls_it(
    tmp_path: Path, store: Store, rate: Rate
) -> None:
    """Each has a ledger and a key of its own. Whoever has the account is struck down, again and again."""
    rows = ROWS // 2 + 4 * len(BLOWS)
    async with account(tmp_path, rate) as it:
        every = sheet_rows(3 * rows, it.sandbox.world)
        hosts = [Host(it, store, at, every[at::3], rate) for at in range(3)]
        calls = it.sandbox.journal.calls

        def driver() -> Host | None:
            theirs = {holder.process for holder in holders(store).values() if holder.command == "run"}
            return next((host for host in hosts if host.process.pid in theirs), None)

        def more_calls(than: int) -> bool:
            return len(calls) > than

        def is_anothers(struck: Host) -> bool:
            return driver() not in {None, struck}

        def waits(host: Host) -> bool:
            return host.process.returncode is None and host is not driver()

        blows = 0
        async with started(*hosts):
            for blow in BLOWS:
                await until(lambda: driver() is not None or all(host.process.returncode == 0 for host in hosts))
                if not any(map(waits, hosts)):  # on a busy machine one may be done before the next has begun
                    break
                await until(partial(more_calls, len(calls) + rate.limit // 2))
                struck = driver()
                if struck is None or not any(map(waits, hosts)):
                    break
                blows += 1
                struck.process.send_signal(blow)
                locked = await until(partial(is_anothers, struck))
                if blow is signal.SIGKILL:
                    await struck.end()
                called = locked + await until(partial(more_calls, len(calls)))
                bound = LEASE + 0.5 if blow is signal.SIGSTOP else 1.0
                assert locked < bound + PATIENCE
                assert rate.period + 1 < called < bound + rate.period + 1.5 + PATIENCE
                if blow is signal.SIGSTOP:
                    struck.process.send_signal(signal.SIGCONT)
                    await struck.end()
                    assert b"the account was given up" in struck.said
                await struck.start()
            await asyncio.gather(*(host.work() for host in hosts))
        for host in hosts:
            assert await host.states() == {State.SHARED: rows}
        check(it, rate)
        if not blows:
            pytest.skip("the machine is so busy that no two hosts were ever at work together")


async def test_a_store_that_is_started_anew_under_load_loses_and_repeats_nothing(tmp_path: Path) -> None:
    if not IS_INSTALLED:
        pytest.skip("nothing that starts PostgreSQL is installed")
    with server() as made:
        store = made.store()
        store.init()
        async with account(tmp_path) as it:
            hosts = [Host(it, store, at, sheet_rows(2 * ROWS, it.sandbox.world)[at::2]) for at in range(2)]
            async with started(*hosts):
                await until(lambda: len(it.leads_sent()) >= ROWS // 3)
                made.stop()
                made.start()
                ends = await asyncio.gather(*(host.end() for host in hosts))
                assert ends == [1, 1]
                assert {b"the account was given up" in host.said for host in hosts} == {True}
                for host in hosts:
                    await host.start()
                await asyncio.gather(*(host.work() for host in hosts))
            for host in hosts:
                assert await host.states() == {State.SHARED: ROWS}
            check(it)
        shared(store).dispose()
