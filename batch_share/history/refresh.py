"""Bringing the index up to date with ledgers: they are the truth, it only knows where they are and what is live."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batch_share.errors import BatchShareError, HistoryError, LedgerLocked
from batch_share.ledger.lock import LedgerLock
from batch_share.ledger.opening import read_ledger
from batch_share.ledger.reading import utc_now
from batch_share.ledger.records import run_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from batch_share.history.index import History
    from batch_share.history.records import KnownLedger
    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import RunRecord, Share

CUT_OFF: Final = "cut off"
GONE: Final = "nobody knows: its ledger is gone, or can't be read"
_CHUNK: Final = 2000


async def note_runs(
    history: History, ledger: LedgerReader, account: str | None, *, goes_on: bool
) -> KnownLedger | None:
    """Take in every run of an open ledger; with `goes_on` the last has not ended. None if it holds none."""
    facts, sheet = await ledger.facts(), await ledger.sheet()
    recorded, counts = await ledger.runs(), await ledger.counts()
    if not recorded:
        return None
    path, file = Path(sheet.path) if sheet else None, ledger.file.resolve()
    for other in history.elsewhere(facts["job"], file):
        if not other.is_file():
            history.moved(other, file, facts["job"])
    known = history.note_ledger(file, facts["job"], facts["host"], account, path)
    ended = history.numbers(known)
    last = recorded[-1]
    entries = []
    for each in recorded:
        if ended.get(each.id) and each is not last:
            continue
        entry = await _ended(ledger, each, goes_on=goes_on and each is last)
        entry |= {"counts": {str(state): n for state, n in counts.items()} if each is last else None}
        entry |= {"id": run_id(facts["job"], each), "number": each.id, "command": each.command}
        entries.append(entry | {"started_at": each.started_at, "sheet": sheet.name if sheet else None})
    history.note_runs(known, entries)
    return known


async def _ended(ledger: LedgerReader, run: RunRecord, *, goes_on: bool) -> dict[str, Any]:
    """When and how a run ended, also if it could not say so itself."""
    if goes_on:
        return {"ended_at": None, "ended": None}
    if run.ended_at is not None:
        return {"ended_at": run.ended_at, "ended": run.ended}
    return {"ended_at": await ledger.last_call(run.id) or run.started_at, "ended": CUT_OFF}


async def refresh(history: History, ledger: LedgerReader, account: str | None, *, goes_on: bool = False) -> None:
    """Take in the runs of an open ledger, and its live shares if they are others than last time.

    Raises HistoryError, LedgerError.
    """
    known = await note_runs(history, ledger, account, goes_on=goes_on)
    if known is not None and (mark := await ledger.share_mark()) != known.mark:
        await _note_live(history, ledger, known, mark, utc_now())


async def _note_live(history: History, ledger: LedgerReader, known: KnownLedger, mark: str, now: datetime) -> None:
    """In parts, so that others need not wait: what was live stays until all was seen."""
    ids = {run.id: run_id(known.job, run) for run in await ledger.runs()}
    made, chunk = history.next_making(known), list[dict[str, Any]]()
    async for share in ledger.shares():
        if share.ends_at > now:
            chunk.append(_values(share, ids))
        if len(chunk) == _CHUNK:
            history.note_live(known, made, chunk)
            chunk = []
    history.note_live(known, made, chunk)
    history.live_noted(known, made, mark, now)


def _values(share: Share, run_ids: Mapping[int, str]) -> dict[str, Any]:
    return {
        "row_id": share.row_id,
        "sheet_row": share.sheet_row,
        "lead_id": share.lead_id,
        "user_id": share.user_id,
        "access": share.access,
        "ends_at": share.ends_at,
        "request_id": share.request_id,
        "run_id": run_ids.get(share.run or 0, ""),
    }


async def catch_up(history: History, besides: Path | None = None) -> None:
    """Find out about every run of which no end is known, but those of the ledger `besides`. Raises HistoryError."""
    for known in history.ledgers(unended=True):
        if not _is_same(known.path, besides):
            await _catch_up(history, known)


def _is_same(known: Path, other: Path | None) -> bool:
    return other is not None and known == other.resolve()


async def _catch_up(history: History, known: KnownLedger) -> None:
    if not known.path.is_file():
        history.give_up(known, GONE)
        return
    try:
        in_use = is_in_use(known.path)
        async with read_ledger(known.path) as ledger:
            if (await ledger.facts())["job"] != known.job:
                history.give_up(known, GONE)
                return
            await refresh(history, ledger, known.account, goes_on=in_use)
    except HistoryError:
        raise
    except LedgerLocked:  # of an older version, and its run goes on
        return
    except BatchShareError:
        history.give_up(known, GONE)


async def look_at_all(history: History, host: str, besides: Path) -> list[Path]:
    """Bring everything that is known of a host's ledgers up to date; those that can't be looked at.

    Raises HistoryError.
    """
    unseen = []
    for known in history.ledgers():
        if known.host == host and not _is_same(known.path, besides):
            try:
                async with read_ledger(known.path) as ledger:
                    await refresh(history, ledger, known.account, goes_on=is_in_use(known.path))
            except HistoryError:
                raise
            except BatchShareError:
                unseen.append(known.path)
    return unseen


def is_in_use(ledger: Path) -> bool:
    """Whether a process works on the ledger. Raises LedgerError."""
    lock = LedgerLock(ledger)
    try:
        lock.acquire()
    except LedgerLocked:
        return True
    lock.release()
    return False


async def add_ledgers(history: History, files: Sequence[Path], accounts: Mapping[str, str]) -> None:
    """Take in ledgers that the index does not know; `accounts` by host. Raises LedgerError, HistoryError."""
    for file in files:
        async with read_ledger(file) as ledger:
            account = accounts.get((await ledger.facts())["host"])
            await refresh(history, ledger, account, goes_on=is_in_use(file))
