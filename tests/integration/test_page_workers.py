"""The page where a store has workers: what is approved is handed over, and any host's page shows how far it is."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pydantic import SecretStr
from queues import emptied
from trial import Trial, options, sheet_rows
from visiting import visiting

from batch_share.cluster.queue import Queue
from batch_share.cluster.worker import Worker
from batch_share.common import Rate
from batch_share.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path
    from typing import Any

    import pytest

    from batch_share.ledger.postgres import Store
    from batch_share.settings import Settings

SLOW = Rate(10, 0.5)


class Hosts:
    """Two hosts that have a store and an account in common, and no file; and a worker on a third."""

    def __init__(self, folder: Path, sandbox: Sandbox, store: Store, rate: Rate) -> None:
        self.queue = emptied(store)
        in_store = {"store": SecretStr(str(store)), "rate": rate}
        self.one, self.two, self.third = (
            Trial(folder / name, sandbox, dict(in_store)) for name in ("one", "two", "three")
        )
        for each in (self.one, self.two, self.third):
            each.folder.mkdir()

    def sheet(self, rows: int) -> bytes:
        """A sheet of the first leads."""
        self.one.write(sheet_rows(rows, self.one.sandbox.world))
        return (self.one.folder / "leads.csv").read_bytes()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[Worker]:
        """While a worker is there, which has the account's keys."""

        def settings(given: Mapping[str, Any]) -> Settings:
            return self.third.settings(**given)

        url = self.third.sandbox.url
        worker = Worker(self.queue.store, {url: settings}, lambda _: None)
        task = asyncio.create_task(worker.work())
        async with asyncio.timeout(60):
            while not self.queue.has_worker(url):  # noqa: ASYNC110 - a thread's doing
                await asyncio.sleep(0.05)
        try:
            yield worker
        finally:
            worker.drain()
            await task


@asynccontextmanager
async def hosts(folder: Path, store: Store, rate: Rate = SLOW) -> AsyncIterator[Hosts]:
    async with Sandbox(options(rate=rate)) as sandbox:
        yield Hosts(folder, sandbox, store, rate)


async def test_what_is_approved_is_handed_over_and_told_when_it_has_ended(tmp_path: Path, store: Store) -> None:
    async with hosts(tmp_path, store) as its, its.working(), visiting(its.one) as visitor:
        await visitor.plan(its.sheet(12))
        await visitor.approve()
        assert "How far it is" in visitor.text
        text = await visitor.results()
        (job,) = its.queue.jobs()
        assert (job.state, job.exit_code, job.submitted_by) == ("ended", 0, "the page")
        assert "12 shared" in text
        assert Counter(its.one.leads_sent()).most_common(1)[0][1] == 1
        assert len(its.one.leads_sent()) == 12


async def test_without_a_worker_the_page_does_it_itself(tmp_path: Path, store: Store) -> None:
    async with hosts(tmp_path, store) as its, visiting(its.one) as visitor:
        await visitor.plan(its.sheet(3))
        await visitor.approve()
        assert "3 shared" in await visitor.results()
        assert its.queue.jobs() == []


async def test_any_page_shows_how_far_it_is_and_stops_it(tmp_path: Path, store: Store) -> None:
    """Also when the page is gone on which it was approved."""
    # Half a minute, so that it still goes on when it is stopped.
    async with hosts(tmp_path, store, Rate(2, 0.5)) as its, its.working():
        async with visiting(its.one) as visitor:
            await visitor.plan(its.sheet(40))
            await visitor.approve()
        assert its.queue.jobs()[0].state in {"queued", "running"}, "whoever ends a page ends no worker's job"
        async with visiting(its.two) as other:
            async with asyncio.timeout(60):
                while "going on" not in (text := await other.get("/")):  # noqa: ASYNC110 - it has not begun yet
                    await asyncio.sleep(0.05)
            address = next(part.partition('"')[0] for part in text.split('href="') if part.startswith("/r/"))
            await other.get(address)
            assert other.path == f"{address}/run", other.path
            async with asyncio.timeout(60):
                while "a second" not in await other.get(f"{address}/run"):  # noqa: ASYNC110 - the worker tells
                    await asyncio.sleep(0.05)
            await other.post(f"{address}/do", other.form(f"{address}/do") | {"deed": "stop"})
            text = await other.results()
        (job,) = its.queue.jobs()
        assert (job.state, job.exit_code) == ("cancelled", 130)
        assert 0 < len(its.one.leads_sent()) < 40


async def test_a_page_that_is_started_again_finds_what_is_handed_over(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Queue, "has_worker", lambda *_: True)  # one that has gone since
    async with hosts(tmp_path, store) as its:
        async with visiting(its.one) as visitor:
            await visitor.plan(its.sheet(12))
            await visitor.approve()
            sheet = visitor.sheet
        async with visiting(its.one) as visitor:
            assert "handed over" in await visitor.get("/")
            assert "begins once a worker is free" in await visitor.get(f"{sheet}/run")
            await visitor.post(f"{sheet}/do", visitor.form(f"{sheet}/do") | {"deed": "stop"})
            await visitor.results()
        assert [each.state for each in its.queue.jobs()] == ["cancelled"]
        assert its.one.leads_sent() == []


async def test_what_is_cut_off_ends_at_once_and_is_looked_up_by_whoever_goes_on(
    tmp_path: Path, store: Store
) -> None:
    async with hosts(tmp_path, store) as its, its.working(), visiting(its.one) as visitor:
        await visitor.plan(its.sheet(40))
        await visitor.approve()
        async with asyncio.timeout(60):
            while not its.one.leads_sent():  # noqa: ASYNC110 - a worker's doing
                await asyncio.sleep(0.02)
        job = its.queue.cancel(its.queue.jobs()[0].id, cut=True)
        text = await visitor.results()
        assert its.queue.job(job.id).state == "cancelled"
        assert "interrupted" in text.casefold()


async def test_rows_that_a_worker_could_not_send_can_be_fixed_on_the_page(tmp_path: Path, store: Store) -> None:
    async with hosts(tmp_path, store) as its, its.working(), visiting(its.one) as visitor:
        lines = its.sheet(3).decode().splitlines()
        cells = lines[2].split(",")
        cells[2] = "00000000-0000-4000-8000-000000000000"  # nobody's Id
        await visitor.plan("\n".join([*lines[:2], ",".join(cells), *lines[3:]]).encode())
        await visitor.approve()
        text = await visitor.results()
        assert its.queue.jobs()[0].state == "ended"
        assert "Some rows can be fixed" in text
        assert "Rows to fix" in text
        assert "<p>Nothing" not in text
        await visitor.get(f"{visitor.sheet}/files/failed.xlsx")
        assert visitor.status == 200


async def test_a_page_in_a_store_says_whose_runs_it_shows(tmp_path: Path, store: Store) -> None:
    async with hosts(tmp_path, store) as its:
        its.sheet(3)
        await its.one.run()
        async with visiting(its.two) as visitor:
            for path in ("/", "/access", "/history"):
                text = await visitor.get(path)
                assert "by all that share this store" in text
                assert "on this machine" not in text.replace("times are those of this machine", "")
                assert "from this machine" not in text
