"""(i) Ledgers in a store beside those in files: many small ones, and a large one; no call is made.

All that does not depend on LeadSquared: to take a sheet in, to open a ledger and look at it, what is known across
all of them, to purge them, what they take on disk, and commits, each of one row and on disk before the next.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr
from sqlalchemy import case, insert, literal, select, text, update
from stores import IS_INSTALLED, server

from batch_share.common import utc_now
from batch_share.jobs.outputs import status_of
from batch_share.jobs.purge import delete, find_old
from batch_share.leadsquared.account import name_of_account, names_of_account
from batch_share.ledger.files import LedgerName, open_ledger
from batch_share.ledger.known import open_history, refresh
from batch_share.ledger.postgres import Store, StoredName, shared
from batch_share.ledger.records import Instruction, NewRow, SheetRecord
from batch_share.ledger.schema import attempts, rows
from batch_share.ledger.states import Stage, State
from batch_share.planning.access import who_has_access
from batch_share.planning.already_shared import known_runs
from batch_share.settings import Settings
from benchmarks.report import Line, Part, Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from batch_share.ledger.store import Ledger
    from benchmarks.sizes import ShareBatch

PLACES: Final = ("files", "store")
_HOST: Final = "https://api.leadsquared.com"  # which nobody calls
_LATER: Final = timedelta(days=30)
_LOOKS: Final = 30
_PAGE: Final = 20_000
_LINES: Final[Sequence[tuple[str, str, str, float]]] = (
    ("take in a small sheet, its ledger made", "small_taken", "ms", 1000),
    ("open a small ledger for work, and close it", "small_opened", "ms", 1000),
    ("status of a small ledger", "small_status", "ms", 1000),
    ("take in the large sheet", "large_taken", "s", 1),
    ("open the large ledger for work, and close it", "large_opened", "ms", 1000),
    ("status of the large ledger", "large_status", "ms", 1000),
    ("runs, the newest 20 of all ledgers", "runs", "ms", 1000),
    ("who has access, all live shares", "access", "s", 1),
    ("are these leads shared already? a lead", "lead_checked", "ms", 1000),
    ("commits of one row, one after the other", "commits", "a second", 1),
    ("size on disk, a row", "bytes_a_row", "bytes", 1),
    ("find what may be purged, a ledger", "found_old", "ms", 1000),
    ("purge a small ledger", "small_purged", "ms", 1000),
    ("purge the large ledger", "large_purged", "s", 1),
)
WHATS: Final = [what for what, *_ in _LINES]


def measure(sizes: ShareBatch) -> Part:
    """The same of both, one after the other."""
    runs = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        runs.append({"place": "files"} | asyncio.run(_Measured(sizes, folder / "files", None).all()))
        if IS_INSTALLED:
            store = stack.enter_context(server("fsync=on", "shared_buffers=128MB")).store()
            store.init()
            runs.append({"place": "store"} | asyncio.run(_Measured(sizes, folder / "store", store).all()))
            shared(store).dispose()
    title = f"ledgers in a store: {sizes.ledgers:,} of {sizes.ledger_rows:,} rows, one of {sizes.stored_rows:,}"
    how = (
        f"By the clock, medians of {_LOOKS} of small ledgers; all rows were shared, one share of ten is live. "
        "Leads are checked as a plan does, so many at once as a small sheet has. Files: SQLite with "
        "synchronous=FULL, and the index of runs. Store: PostgreSQL on this machine, its socket, synced, 128 MB of "
        "buffers. The ratio is the store's over the files', of commits the other way round."
    )
    options = {"ledgers": sizes.ledgers, "ledger_rows": sizes.ledger_rows, "stored_rows": sizes.stored_rows}
    return Part("i", title, how, [_line(runs, *each) for each in _LINES], runs, options)


def _line(runs: Sequence[Run], what: str, name: str, unit: str, times: float) -> Line:
    values = {run["place"]: run[name] * times for run in runs}
    shape = ",.0f" if unit in ("a second", "bytes") else ",.2f"
    told = {place: f"{value:{shape}} {unit}" for place, value in values.items()}
    if "store" not in values:
        return Line(what, "not installed: `make bench` does", f"files: {told['files']}")
    ratio = values["store"] / values["files"] if values["files"] else None
    return Line(what, told["store"], f"files: {told['files']}", 1 / ratio if ratio and name == "commits" else ratio)


class _Measured:
    """What is measured of ledgers in one place."""

    def __init__(self, sizes: ShareBatch, folder: Path, store: Store | None) -> None:
        self._sizes, self._folder, self._store = sizes, folder, store
        folder.mkdir()
        given: dict[str, Any] = {name: folder / name for name in ("state_folder", "data_folder", "log_folder")}
        self._settings = Settings(
            host=_HOST,
            access_key=SecretStr("none"),
            secret_key=SecretStr("none"),
            store=SecretStr(str(store)) if store else None,
            **given,
        )

    def _name(self, number: int) -> LedgerName:
        called = f"sheet{number}.csv.ledger.db"
        return StoredName(self._store, called) if self._store else LedgerName.of(self._folder / called)

    async def all(self) -> Run:
        """Everything, in this order."""
        sizes, settings, run = self._sizes, self._settings, dict[str, Any]()
        small = range(sizes.ledgers)
        large = self._name(sizes.ledgers)
        taken = [await self._make(number, number * sizes.ledger_rows, sizes.ledger_rows) for number in small]
        run["small_taken"] = statistics.median(taken)
        run["large_taken"] = await self._make(sizes.ledgers, sizes.ledgers * sizes.ledger_rows, sizes.stored_rows)
        await known_runs(settings, 20, [])  # what was written is looked at once, where that is needed
        looked_at = [self._name(number) for number in small[:: max(1, sizes.ledgers // _LOOKS)]]
        run["small_opened"] = statistics.median([await self._open(name) for name in looked_at])
        run["small_status"] = statistics.median([await self._status(name) for name in looked_at])
        run["large_opened"], run["large_status"] = await self._open(large), await self._status(large)
        with _clock(run, "runs"):
            run["runs_told"] = len((await known_runs(settings, 20, [])).runs)
        with _clock(run, "access"):
            run["accesses"] = len((await who_has_access(settings, None, None, None)).shares)
        self._check_leads(run)
        async with open_ledger(looked_at[0]) as ledger:
            with _clock(run, "commits"):
                for at in range(sizes.commits):
                    await ledger.note(results=str(at))
        run["commits"] = sizes.commits / run["commits"]
        run["bytes_a_row"] = self._size() / (sizes.ledgers * sizes.ledger_rows + sizes.stored_rows)
        await self._purge(run)
        return run

    async def _make(self, number: int, first: int, count: int) -> float:
        """A ledger of as many leads; how long it took to take them in. Then all of them are shared."""
        record = SheetRecord(f"sheet{number}.csv", f"sheet{number}.csv", None, "digest", ["Lead", "Note"])
        began = time.perf_counter()
        async with open_ledger(self._name(number), host=_HOST) as ledger:
            await ledger.take_in(record, _rows(first, count))
            took = time.perf_counter() - began
            await ledger.begin_run("run", "1.0", {})
            now = utc_now()
            for start in range(0, count, _PAGE):
                page = partial(_share, now, range(start, start + _PAGE))
                await ledger._database.write(page)
            await ledger.end_run("done")
            await self._note(ledger)
        return took

    async def _note(self, ledger: Ledger) -> None:
        with open_history(self._settings.data_folder, ledger.name) as history:
            await refresh(history, ledger, name_of_account(self._settings))

    async def _open(self, name: LedgerName) -> float:
        began = time.perf_counter()
        async with open_ledger(name) as ledger:
            await ledger.facts()
        return time.perf_counter() - began

    async def _status(self, name: LedgerName) -> float:
        began = time.perf_counter()
        summary = await status_of(name)
        assert summary.states.keys() == {State.SHARED, State.ENDED}
        return time.perf_counter() - began

    def _check_leads(self, run: Run) -> None:
        """Of one page, its leads of as many ledgers as there are."""
        sizes = self._sizes
        total = sizes.ledgers * sizes.ledger_rows
        leads = [_guid(first) for first in range(0, total, sizes.ledgers)]
        accounts = names_of_account(self._settings)
        with (
            open_history(self._settings.data_folder, store=self._settings.store) as history,
            _clock(run, "lead_checked"),
        ):
            for _ in range(_LOOKS):
                found = history.live_among(accounts, leads, utc_now(), host=_HOST)
        run["found"] = len(found)
        run["lead_checked"] /= _LOOKS * len(leads)

    def _size(self) -> int:
        if self._store is None:
            return sum(file.stat().st_size for file in self._folder.rglob("*") if file.is_file())
        with self._store.looking() as connection:
            return int(connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)

    async def _purge(self, run: Run) -> None:
        settings, large = self._settings, self._name(self._sizes.ledgers)
        with _clock(run, "found_old"):
            sweep = await find_old(settings, 0, force=True)
        run["found_old"] /= len(sweep.old)
        ones = [old for old in sweep.old if old.known.ledger != large]
        with _clock(run, "small_purged"):
            await delete(settings, replace(sweep, old=ones))
        run["small_purged"] /= len(ones)
        with _clock(run, "large_purged"):
            await delete(settings, replace(sweep, old=[old for old in sweep.old if old not in ones]))
        run["purged"] = len(sweep.old)
        with open_history(settings.data_folder, store=settings.store) as history:
            run["left"] = len(history.all_ledgers())


@contextmanager
def _clock(run: Run, name: str) -> Iterator[None]:
    """Note in a run how many seconds the body took."""
    began = time.perf_counter()
    yield
    run[name] = time.perf_counter() - began


def _guid(number: int) -> str:
    return f"{number * 2_654_435_761 % 2**32:08x}-0000-4000-8000-{number:012x}"


def _rows(first: int, count: int) -> Iterator[NewRow]:
    user = _guid(0)
    for at in range(count):
        lead = first + at
        asked = Instruction(_guid(lead), str(lead), user, 1, 10_080, 201, "")
        yield NewRow(f"{lead:020x}", at + 2, [asked.lead_id, "shared for a week"], State.PENDING, asked)


def _share(now: datetime, places: range, connection: Connection) -> None:
    """Have rows as a run leaves them; of ten shares one has not ended."""
    here = (rows.c.position >= places.start) & (rows.c.position < places.stop)
    ids = {name: literal(f"{name}-0123456789abcdef") for name in ("activity_id", "request_id")}
    ends_at = case((rows.c.position % 10 == 0, now + _LATER), else_=now - _LATER)
    connection.execute(update(rows).where(here).values(state=State.SHARED, share_status=6, ends_at=ends_at, **ids))
    columns = ("row_id", "run_id", "step", "sent_at", "answered_at", "http_status", "outcome")
    for at, step in enumerate((Stage.ACTIVITY, Stage.SHARE)):
        values = (literal(1), literal(str(step)), literal(now), literal(now), literal(200), literal("done"))
        each = select(2 * rows.c.id + at, rows.c.id, *values).where(here)
        connection.execute(insert(attempts).from_select(["id", *columns], each))
