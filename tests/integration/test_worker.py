"""A worker in this process: what is handed over is done as a run does it, once, and by one worker."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from queues import emptied, hand_over
from trial import Trial, trial

from batch_share.cluster.worker import Worker
from batch_share.ledger.files import read_ledger
from batch_share.ledger.postgres import StoredName
from batch_share.ledger.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from batch_share.ledger.postgres import Store
    from batch_share.settings import Settings


def worker_for(it: Trial, store: Store, said: list[str]) -> Worker:
    def settings(given: Mapping[str, Any]) -> Settings:
        return it.settings(**given)

    return Worker(store, {it.sandbox.url: settings}, said.append)


async def test_what_is_submitted_is_done_and_its_results_are_those_of_a_run(tmp_path: Path, store: Store) -> None:
    queue, said = emptied(store), list[str]()
    async with trial(tmp_path) as it:
        job = await hand_over(it, queue, f"{tmp_path}-s")
        assert (job.state, job.sheet is not None) == ("queued", True)
        await worker_for(it, store, said).work(once=True)
        over = queue.job(job.id)
        assert (over.state, over.exit_code, over.error) == ("ended", 0, None)
        async with read_ledger(StoredName(store, job.ledger)) as ledger:
            assert await ledger.counts() == {State.SHARED: 12}
        assert max(Counter(it.leads_sent()).values()) == 1
        assert over.progress is not None
        assert over.progress["states"] == {"shared": 12}
    assert [line.partition(" ")[0] for line in said] == ["job", "job"]
