"""Deleting what old runs left behind that holds personal data, and nothing else.

A ledger is deleted with what was written of it beside its sheet. The sheet is somebody else's, and stays.
"""

from __future__ import annotations

import datetime as dt
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from batch_share.errors import BatchShareError, HistoryError, LedgerLocked
from batch_share.history.opening import open_history
from batch_share.history.refresh import catch_up
from batch_share.ledger.lock import LedgerLock
from batch_share.ledger.opening import read_ledger
from batch_share.ledger.reading import utc_now
from batch_share.results.sheet import results_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from batch_share.history.index import History
    from batch_share.history.records import KnownLedger
    from batch_share.ledger.reading import LedgerReader
    from batch_share.settings import Settings

_ENDED: Final = frozenset({"shared", "failed", "invalid", "skipped", "revoked"})
"""States in which a row has come to its end: in any other, its ledger is still needed."""

_WRITTEN: Final = re.compile(r"\.(failed(-\d+)?\.(csv|xlsx)|report\.html)")
"""What else is written beside a sheet: how its name goes on after the sheet's."""


@dataclass(frozen=True, slots=True)
class Old:
    """A ledger that may go, and every file that goes with it."""

    known: KnownLedger
    files: Sequence[Path]


@dataclass(frozen=True, slots=True)
class Kept:
    """A ledger old enough that stays, and why."""

    ledger: Path
    why: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is to be deleted and what is kept; afterwards what was `deleted`, and what could not be at last."""

    old: Sequence[Old]
    kept: Sequence[Kept]
    deleted: Sequence[Path] = ()
    kept_at_last: Sequence[Kept] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """The object that `purge --json` prints."""
        kept = [{"ledger": str(each.ledger), "why": each.why} for each in (*self.kept, *self.kept_at_last)]
        return {"deleted": [str(file) for file in self.deleted], "kept": kept}


async def find_old(settings: Settings, minutes: int, *, force: bool) -> Sweep:
    """What may be deleted of runs that ended more than so many minutes ago. Raises HistoryError."""
    now = utc_now()
    with open_history(settings.data_folder) as history:
        await catch_up(history)
        everything = history.ledgers()
        old, kept = [], []
        for known in everything:
            ended = history.last_end(known)
            if ended is None or ended > now - dt.timedelta(minutes=minutes):
                continue
            if why := await _why_kept(known, now, force=force):
                kept.append(Kept(known.path, why))
            else:
                old.append(known)
        spared = _spared(everything, old)
        return Sweep([Old(known, _files(known, spared)) for known in old], kept)


async def _why_kept(known: KnownLedger, now: dt.datetime, *, force: bool) -> str | None:
    """Why a ledger must stay; None if it may go."""
    if not known.path.is_file():
        return "it is not there any more; what was written beside its sheet is left to you"
    try:
        async with read_ledger(known.path) as ledger:
            if (await ledger.facts())["job"] != known.job:
                return "another ledger has taken its place"
            return None if force else await _still_needed(ledger, now)
    except LedgerLocked:
        return "it is in use"
    except BatchShareError as error:
        return str(error)


async def _still_needed(ledger: LedgerReader, now: dt.datetime) -> str | None:
    going_on = {str(state): n for state, n in (await ledger.counts()).items() if n and str(state) not in _ENDED}
    if going_on:
        told = ", ".join(f"{count:,} {state}" for state, count in going_on.items())
        return f"rows are not at their end: {told}"
    live, last = 0, now
    async for share in ledger.shares():
        live, last = live + (share.ends_at > now), max(last, share.ends_at)
    return f"{live:,} of its shares are live, the last until {last:%Y-%m-%d %H:%M} UTC" if live else None


def _spared(everything: Iterable[KnownLedger], old: Sequence[KnownLedger]) -> set[Path]:
    """Files that must stay, whatever they are called: every sheet, and what belongs to a ledger that stays."""
    spared = {known.sheet_path.resolve() for known in everything if known.sheet_path}
    going = {known.id for known in old}
    for known in everything:
        if known.id not in going:
            spared.update(file.resolve() for file in _named(known))
    return spared


def _files(known: KnownLedger, spared: set[Path]) -> list[Path]:
    return [file for file in _named(known) if file.is_file() and file.resolve() not in spared]


def _named(known: KnownLedger) -> list[Path]:
    """Every file that may have been written of a ledger."""
    ledger = known.path
    beside = [ledger.with_name(ledger.name + suffix) for suffix in ("-wal", "-shm")]
    return [ledger, *beside, _lock_of(ledger), *_written(known)]


def _lock_of(ledger: Path) -> Path:
    return ledger.with_name(f".{ledger.name}.lock")


def _written(known: KnownLedger) -> list[Path]:
    sheet = known.sheet_path
    if sheet is None:
        return []
    # Beside the sheet, or beside the ledger while the sheet's folder was gone.
    folders = dict.fromkeys((sheet.parent, known.path.parent))
    results = [folder / results_path(sheet).name for folder in folders]
    return [*results, *(file for folder in folders for file in _also_written(folder, sheet.stem))]


def _also_written(folder: Path, stem: str) -> list[Path]:
    if not folder.is_dir():
        return []
    began = (file for file in folder.iterdir() if file.name.startswith(stem))
    return sorted(file for file in began if _WRITTEN.fullmatch(file.name[len(stem) :]))


async def delete(settings: Settings, sweep: Sweep, *, force: bool) -> Sweep:
    """Delete what was found, each ledger only if nothing has changed meanwhile. Raises HistoryError."""
    deleted: list[Path] = []
    kept: list[Kept] = []
    with open_history(settings.data_folder) as history:
        for old in sweep.old:
            try:
                deleted += await _delete(history, old, force=force)
            except HistoryError:
                raise
            except (BatchShareError, OSError) as error:
                kept.append(Kept(old.known.path, _words(error)))
    return replace(sweep, deleted=deleted, kept_at_last=kept)


def _words(error: BatchShareError | OSError) -> str:
    return str(error) if isinstance(error, BatchShareError) else f"it can't be deleted ({error.strerror})"


async def _delete(history: History, old: Old, *, force: bool) -> list[Path]:
    """Under the ledger's lock, which is the last file to go; the ledger itself is the last but one."""
    if why := await _why_kept(old.known, utc_now(), force=force):
        raise BatchShareError(why)
    lock, lock_file = LedgerLock(old.known.path), _lock_of(old.known.path)
    lock.acquire()
    try:
        files = [file for file in reversed(old.files) if file != lock_file]
        for file in files:
            file.unlink(missing_ok=True)
        history.purged(old.known, utc_now())
        with suppress(OSError):  # Windows deletes no file that is open; it is empty
            lock_file.unlink(missing_ok=True)
    finally:
        lock.release()
    return [*files, lock_file]
