"""What a worker costs that has nothing to do: `PYTHONPATH=tests python -m benchmarks.idle`.

CPU seconds of its process and statements at the server, a second each, with 3 and with 200 accounts.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from typing import TYPE_CHECKING, Final

from sqlalchemy import text
from stores import server

from batch_share.cluster.queue import Post
from batch_share.cluster.worker import Worker
from batch_share.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch_share.ledger.postgres import Store

SECONDS: Final = 20.0


async def measure(store: Store, accounts: int) -> tuple[float, float]:
    """CPU seconds, and looks of the worker, a second."""
    looks, look = [0], Post.look

    def count(post: Post, accounts: Sequence[str], *more: object) -> object:
        looks[0] += 1
        return look(post, accounts, *more)  # type: ignore[arg-type]

    Post.look = count  # type: ignore[method-assign, assignment]
    settings = Settings()
    worker = Worker(store, {f"account{n}": lambda _told: settings for n in range(accounts)}, print)
    working = asyncio.create_task(worker.work())
    await asyncio.sleep(3)
    began, used, before = time.monotonic(), cpu(), looks[0]
    await asyncio.sleep(SECONDS)
    spent, took, looked = cpu() - used, time.monotonic() - began, looks[0] - before
    worker.drain()
    await working
    Post.look = look  # type: ignore[method-assign]
    return spent / took, looked / took


def cpu() -> float:
    """What this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def transactions(store: Store) -> int:
    """How many the server has ended in this store."""
    with store.looking() as connection:
        ended = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        return int(connection.execute(text(ended)).scalar_one())


def main() -> None:
    """Measure and print."""
    with server() as running:
        for accounts in (3, 200):
            store = running.store()
            store.init()
            before, began = transactions(store), time.monotonic()
            used, looks = asyncio.run(measure(store, accounts))
            time.sleep(1.5)  # the server counts now and then
            many = (transactions(store) - before) / (time.monotonic() - began)
            told = f"{used * 1000:.1f} ms CPU, {looks:.1f} looks, about {many:.1f} transactions a second"
            sys.stdout.write(f"{accounts} accounts: {told}\n")


if __name__ == "__main__":
    main()
