"""Deleting what old runs left behind that holds personal data, and nothing else.

A ledger is deleted with what it notes as written of it, beside its sheet or beside itself, and nobody has changed
since. The sheet is somebody else's, and stays.
"""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from batch_share.common import spell_time, utc_now
from batch_share.errors import BatchShareError, HistoryError, LedgerLocked
from batch_share.ledger.files import read_ledger
from batch_share.ledger.known import CallCount, catch_up, open_history
from batch_share.ledger.states import BEING_REVOKED, ON_ITS_WAY, OPEN
from batch_share.outputs import digest_of
from batch_share.planning.intake import KeptAnswers

if TYPE_CHECKING:
    from collections.abc import Sequence, Set
    from pathlib import Path

    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.known import History, KnownLedger
    from batch_share.settings import Settings


@dataclass(frozen=True, slots=True)
class Old:
    """A ledger that may go, with its own files and those that were written of it, which have these `digests`.

    What was `changed` since is no longer ours, and stays.
    """

    known: KnownLedger
    own: Sequence[Path]
    written: Sequence[Path]
    changed: Sequence[Path]
    digests: Set[str]

    @property
    def files(self) -> Sequence[Path]:
        """Every file that goes: none of a ledger in a store but what was written of it."""
        return [*self.own, *self.written]


@dataclass(frozen=True, slots=True)
class Kept:
    """A ledger old enough that stays, and why."""

    ledger: LedgerName
    why: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is `old`, to be deleted, and what is `kept`; afterwards what was `deleted`, and what was `kept_at_last`.

    Of ledgers in a store, `purged`, no file is deleted but what was written of them.

    With `force`, whatever is still needed may go. Of what is kept of look-ups all that is older than `minutes` goes
    too, and afterwards so many were `forgotten`: it is no more than a saving of calls.
    """

    old: Sequence[Old]
    kept: Sequence[Kept]
    deleted: Sequence[Path] = ()
    purged: Sequence[LedgerName] = ()
    kept_at_last: Sequence[Kept] = field(default=())
    force: bool = False
    minutes: int = 0
    forgotten: int = 0

    def as_json(self) -> dict[str, Any]:
        """The object that `purge --json` prints."""
        kept = [{"ledger": str(each.ledger), "why": each.why} for each in (*self.kept, *self.kept_at_last)]
        changed = [str(file) for old in self.old for file in old.changed]
        deleted = [str(each) for each in (*self.deleted, *self.purged)]
        return {"deleted": deleted, "kept": kept, "changed": changed, "look_ups": self.forgotten}


async def find_old(settings: Settings, minutes: int, *, force: bool) -> Sweep:
    """What may be deleted of runs that ended more than so many minutes ago. Raises HistoryError."""
    with open_history(settings.data_folder, store=settings.store) as history:
        await catch_up(history)
        everything = history.all_ledgers()
        old, kept = [], []
        for known in everything:
            ended = history.last_end(known)
            if ended is None or ended > known.ledger.now() - dt.timedelta(minutes=minutes):
                continue
            if why := await _why_kept(history, known, force=force):
                kept.append(Kept(known.ledger, why))
            else:
                old.append(known)
        sheets = {known.sheet_path.resolve() for known in everything if known.sheet_path}
        return Sweep([await _with_files(known, sheets) for known in old], kept, force=force, minutes=minutes)


async def _why_kept(history: History, known: KnownLedger, *, force: bool) -> str | None:
    """Why a ledger must stay; None if it may go."""
    if history.store is not None and known.ledger.in_store and (why := history.store.needed_for(known.ledger)):
        return why
    if not known.ledger.exists():
        return "it no longer exists; what was written beside its sheet is left to you"
    try:
        async with read_ledger(known.ledger) as ledger:
            if (await ledger.facts()).job != known.job:
                return "another ledger has taken its place"
            if force:
                return None
            counts = await ledger.counts()
            going_on = [state for state in counts if state in {*OPEN, *ON_ITS_WAY, *BEING_REVOKED}]
            if going_on:
                reported = ", ".join(f"{counts[state]:,} {state}" for state in going_on)
                return f"rows are unfinished: {reported}"
            now = ledger.now()
            ends = [share.ends_at or now async for share in ledger.shares()]
            live = [end for end in ends if end > now]
            words = f"{len(live):,} of its shares are live, the last until "
            return f"{words}{spell_time(max(live))}" if live else None
    except LedgerLocked:
        return "it is in use"
    except BatchShareError as error:
        return str(error)


async def _with_files(known: KnownLedger, sheets: Set[Path]) -> Old:
    """What goes with a ledger, but for what is any ledger's sheet."""
    async with read_ledger(known.ledger) as ledger:
        noted = await ledger.written()
    digests = {each.digest for each in noted}
    # Beside the sheet, or beside the ledger while the sheet's folder was gone.
    names = dict.fromkeys(each.name for each in noted)
    places = [known.sheet_path.with_name(name) for name in names] if known.sheet_path else []
    there = [file for file in dict.fromkeys([*places, *map(known.ledger.beside, names)]) if file.is_file()]
    theirs = [file for file in there if file.resolve() not in sheets]
    written = [file for file in theirs if digest_of(file) in digests]
    return Old(known, known.ledger.files(), written, [file for file in theirs if file not in written], digests)


async def delete(settings: Settings, sweep: Sweep) -> Sweep:
    """Delete what was found, each ledger only if nothing has changed meanwhile. Raises HistoryError."""
    deleted: list[Path] = []
    purged: list[LedgerName] = []
    kept: list[Kept] = []
    with open_history(settings.data_folder, store=settings.store) as history:
        for old in sweep.old:
            try:
                deleted += await _delete(history, old, settings.data_folder, force=sweep.force)
                purged += [old.known.ledger] if old.known.ledger.in_store else []
            except HistoryError:
                raise
            except BatchShareError as error:
                kept.append(Kept(old.known.ledger, str(error)))
            except OSError as error:
                kept.append(Kept(old.known.ledger, f"it can't be deleted ({error.strerror})"))
    forgotten = KeptAnswers(settings.data_folder, "", settings.keep_answers).forget(sweep.minutes)
    return replace(sweep, deleted=deleted, purged=purged, kept_at_last=kept, forgotten=forgotten)


async def _delete(history: History, old: Old, folder: Path, *, force: bool) -> list[Path]:
    """Under the ledger's lock, which is the last file to go; the ledger itself is the last but one."""
    if why := await _why_kept(history, old.known, force=force):
        raise BatchShareError(why)
    if history.store is not None and old.known.ledger.in_store:
        history.store.purge(old.known, old.known.ledger.now())
        CallCount(folder, old.known.job).forget()
        files = [file for file in old.written if digest_of(file) in old.digests]
        for file in files:
            file.unlink(missing_ok=True)
        return files
    lock_file = old.known.ledger.lock_file
    with old.known.ledger.locked():
        written = [file for file in old.written if digest_of(file) in old.digests]
        files = [*written, *(file for file in reversed(old.own) if file != lock_file)]
        for file in files:
            file.unlink(missing_ok=True)
        history.purged(old.known, utc_now())
        with suppress(OSError):  # Windows deletes no file that is open; it is empty
            lock_file.unlink(missing_ok=True)
    return [*files, lock_file]
