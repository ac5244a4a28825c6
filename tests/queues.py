"""Jobs in a store: sheets handed over, and a worker in this process or in one of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from batch_share.cluster.queue import Queue, Wanted
from batch_share.cluster.worker import options_of
from batch_share.ledger.postgres import WORKERS
from batch_share.library import BatchShare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trial import Trial

    from batch_share.cluster.queue import QueuedJob
    from batch_share.ledger.postgres import Store

WORK = """
import asyncio, json, sys
from datetime import timedelta
from pathlib import Path
from batch_share import common

url, folder, hosts, changes = json.loads(sys.argv[1])
ahead, by_the_machine = timedelta(seconds=changes.pop("ahead", 0)), common.utc_now
common.utc_now = lambda: by_the_machine() + ahead  # before anybody has it

from trial import Trial
from batch_share.cli.work import draining
from batch_share.cluster.worker import Worker
from batch_share.common import Rate
from batch_share.ledger.postgres import Store

if "rate" in changes:
    changes["rate"] = Rate(*changes["rate"])

def settings_of(host):
    def made(given):
        its = Path(folder) / host.rpartition(":")[2]
        its.mkdir(exist_ok=True)
        return Trial(its, None).settings(host=host, **{**changes, **given})
    return made

async def work():
    accounts = {host: settings_of(host) for host in hosts}
    worker = Worker(Store.of(url), accounts, lambda line: print(line, flush=True))
    with draining(lambda: worker.drains, worker.drain):
        await worker.work()

asyncio.run(work())
"""


class WorkerProcess:
    """A worker on another host, as far as it can tell: with no file of the others, its clock seconds `ahead`."""

    def __init__(self, store: Store, folder: Path, hosts: Sequence[str], **changes: Any) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._given = json.dumps([str(store), str(folder), list(hosts), changes])

    async def __aenter__(self) -> WorkerProcess:
        here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        self._said = (self._folder / "said.txt").open("ab")
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WORK, self._given, env=here, stdout=self._said, stderr=self._said
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        self._said.close()


def emptied(store: Store) -> Queue:
    """The queue of a store without the jobs of other tests."""
    with store.looking() as connection:
        connection.execute(
            text("TRUNCATE batch_share.jobs, batch_share.stored_sheets, batch_share.schedules RESTART IDENTITY")
        )
    return Queue(store)


def places(store: Store) -> set[int]:
    """The connections by which workers have their places in a store."""
    asked = (
        "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database "
        f"WHERE datname = current_database() AND locktype = 'advisory' AND classid = {WORKERS} AND granted"
    )
    with store.looking() as connection:
        return {*connection.scalars(text(asked))}


async def hand_over(it: Trial, queue: Queue, ledger: str, **changes: Any) -> QueuedJob:
    """Submit the sheet of a trial, as a person does who has seen its plan."""
    settings, sheet = it.settings(**changes), it.folder / "leads.csv"
    seen = await BatchShare(settings).plan(sheet)
    wanted = Wanted(
        ledger,
        it.sandbox.url,
        "asha",
        options=options_of(seen, settings, {}),
        approved=seen.approval().model_dump(),
        sheet=(sheet.name, sheet.read_bytes()),
    )
    return queue.submit(wanted)


async def ended(queue: Queue, job: QueuedJob, seconds: float = 60) -> QueuedJob:
    """The job, once it is over."""
    async with asyncio.timeout(seconds):
        while not (found := queue.job(job.id)).is_over:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return found
