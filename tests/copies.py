"""A job that was stopped, and copies of its ledger: kept, restored, lost, run in another place."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

from trial import CREATE, Fault, Onlooker, Trial, ask_to_stop, sheet_rows, trial

from batch_share.ledger.states import State
from batch_share.sending.steps import markers_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from trial import Step, Wrapper

    from batch_share.sandbox.wire import Reply, SandboxCall

ROWS = 12
OLDER = "it is older than its job"
GONE = "the ledger that was here is gone, and its job was not finished"


@asynccontextmanager
async def stopped(folder: Path, *faults: Wrapper, **changes: Any) -> AsyncIterator[Trial]:
    """A trial whose first run was stopped: a row is shared, some are posted and not shared, others neither."""
    onlooker = Onlooker()

    async def stop(step: Step, call: SandboxCall) -> Reply:
        if it.leads_sent():
            ask_to_stop(onlooker)
        return await step(call)

    async with trial(folder, Fault(CREATE, [5], stop), *faults, **changes) as it:
        ending = await it.run(onlooker, workers=2)
        states = ending.summary.states
        assert min(states[each] for each in (State.POSTED, State.SHARED, State.PENDING)) > 0
        yield it


def keep(it: Trial) -> Path:
    """A copy of the ledger, as a backup has it."""
    copy = it.folder / "backup.db"
    shutil.copy(it.ledger, copy)
    return copy


def restore(it: Trial, copy: Path) -> None:
    """Put it back."""
    for file in it.name.files():
        file.unlink()
    shutil.copy(copy, it.ledger)


def beside(it: Trial, rows: int = ROWS) -> Trial:
    """The same sheet in another folder of the same machine."""
    folder = it.folder / "second"
    folder.mkdir()
    own = {f"{name}_folder": it.folder / name for name in ("state", "data")}
    second = Trial(folder, it.sandbox, own)
    second.write(sheet_rows(rows))
    return second


def turn_index_back(folder: Path) -> None:
    """The index as the version before had it."""
    with closing(sqlite3.connect(folder / "data" / "history.db")) as index:
        for statement in (
            "ALTER TABLE ledgers DROP COLUMN seen",
            "ALTER TABLE ledgers DROP COLUMN calls",
            "ALTER TABLE ledgers DROP COLUMN forgotten_at",
            "ALTER TABLE live DROP COLUMN held",
            "UPDATE about SET version = 1",
        ):
            index.execute(statement)
        index.commit()


def other_copy(it: Trial) -> Trial:
    """The same sheet with a copy of its ledger in another folder of the same machine."""
    folder = it.folder / "copy"
    folder.mkdir()
    own = {f"{name}_folder": it.folder / name for name in ("state", "data")}
    other = Trial(folder, it.sandbox, own)
    shutil.copy(it.folder / "leads.csv", other.folder / "leads.csv")
    shutil.copy(it.ledger, other.ledger)
    return other


def posted(it: Trial) -> Counter[str]:
    """How often each marker is there."""
    return Counter(marker for each in it.sandbox.account.visible() for marker in markers_in(each.note))


def live_pairs(it: Trial) -> Counter[tuple[str, str]]:
    """How many shares stand, by lead and user."""
    return Counter((share["lead"], share["user"]) for share in it.sandbox.report()["live_shares"]["shares"])


def check_shared_once(it: Trial, rows: int = ROWS, activities: int = ROWS) -> None:
    """Each row has one share that stands, and no marker is there twice."""
    assert set(posted(it).values()) == {1}
    assert len(it.sandbox.account.activities) == activities
    live = live_pairs(it)
    assert set(live.values()) == {1}
    assert live.total() == rows
