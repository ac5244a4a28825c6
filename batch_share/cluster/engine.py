"""What wakes workers: Procrastinate, whose jobs say no more than "see to this account".

A job of it that is stuck, lost or doubled changes nothing: what is due is asked of the store, by each worker, twice
a second. What it brings is that a worker on any host looks at once, and its own tools to see what waits.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from batch_share.errors import SettingsError
from batch_share.ledger.postgres import ENGINE, LEASE
from batch_share.logs import log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from procrastinate import App
    from sqlalchemy import Connection

    from batch_share.ledger.postgres import Store

_TASK: Final = "see_to"
_AGAIN: Final = 1.0
"""Seconds: its pool's own back-off would have it come back long after a store that was restarted."""

# A worker that is frozen between two statements of it must not keep others waiting.
_OPTIONS: Final = {
    "search_path": ENGINE,
    "idle_in_transaction_session_timeout": int(1000 * LEASE),
    "statement_timeout": 5000,
}

for _name in ("procrastinate", "psycopg"):  # what they log is of no job of ours, and their tracebacks are nobody's
    logging.getLogger(_name).addHandler(logging.NullHandler())


def _queue_of(account: str) -> str:
    """Its queue's name, for which there is room for 40 bytes."""
    return f"{_TASK}:{hashlib.blake2b(account.encode(), digest_size=8).hexdigest()}"


def call(connection: Connection, account: str) -> None:
    """Have whoever works for the account look, once the transaction of this connection is committed.

    Where the engine can't be used they look all the same, only later.
    """
    try:
        from procrastinate import App, SyncPsycopgConnector  # noqa: PLC0415 - it takes long
        from procrastinate.exceptions import AlreadyEnqueued, ProcrastinateException  # noqa: PLC0415
    except ModuleNotFoundError:
        return

    task = App(connector=SyncPsycopgConnector()).configure_task(
        _TASK,
        queue=_queue_of(account),
        queueing_lock=_queue_of(account),
        connection=connection.connection.driver_connection,
    )
    connection.exec_driver_sql(f"SET LOCAL search_path = {ENGINE}")
    try:
        with connection.begin_nested():
            task.defer()
    except AlreadyEnqueued:  # then somebody is called already
        pass
    except ProcrastinateException as error:
        log.info("nobody could be called", error=type(error).__name__)


def _app(store: Store, wake: Callable[[], None]) -> App:
    from procrastinate import App, PsycopgConnector  # noqa: PLC0415 - it takes long

    async def ready(connection: Any) -> None:
        await connection.set_autocommit(True)  # as an argument of the pool it breaks the listener

    options = " ".join(f"-c {name}={value}" for name, value in _OPTIONS.items())
    connector = PsycopgConnector(
        conninfo=store.conninfo(),
        kwargs={"options": options, "application_name": "batch-share engine"},
        configure=ready,
        min_size=1,
        max_size=3,
        timeout=5,
    )
    app = App(connector=connector)

    @app.task(name=_TASK)
    async def see_to() -> None:
        wake()  # and nothing else: work within a job would hold up the engine, and the engine the work

    return app


@asynccontextmanager
async def waking(store: Store, accounts: Sequence[str], wake: Callable[[], None]) -> AsyncIterator[None]:
    """Call `wake` whenever somebody calls for one of the accounts, as long as this is entered.

    It goes on by itself after whatever trouble. Raises SettingsError where the engine is not installed.
    """
    try:
        app = _app(store, wake)
    except ModuleNotFoundError:
        raise SettingsError(
            "store",
            "needs what `pip install 'batch-share[cluster]'` brings along",
            problem="What workers need is not installed.",
            hint="Install batch-share[cluster].",
        ) from None

    async def run() -> None:
        while True:
            try:
                # Not `async with`: who is cancelled while its pool is being opened would leave that pool's tasks,
                # which may not hear that they are to end, and then the process does not either.
                try:
                    await app.open_async()
                    await app.run_worker_async(
                        queues=[*map(_queue_of, accounts)],
                        concurrency=4,
                        delete_jobs="always",
                        fetch_job_polling_interval=1,
                        install_signal_handlers=False,
                        listen_notify=True,
                    )
                finally:
                    await app.close_async()
            except Exception as error:
                log.info("the engine stopped, and is begun anew", error=type(error).__name__)
            await asyncio.sleep(_AGAIN)

    running = asyncio.create_task(run())
    try:
        yield
    finally:
        while not running.done():  # one cancel may be lost in there, as while its pool is being opened
            running.cancel()
            await asyncio.wait({running}, timeout=_AGAIN)
