"""`kill -9`, and then the ledger is restored from a copy, lost, or run as a copy: each row is sent once anyway.

`make test` hits each point once; with KILLS=200 or more, each at several rows, one by one and in bulk.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from forks import KILLED, Forks
from kills import AT_THE_SERVER, POINTS, Killer
from storm import RUN, Storm
from trial import Trial, options

from batch_share.sandbox import Sandbox
from batch_share.sending.steps import markers_in

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 8
HIT = (3, 5, ROWS)
MANY = int(os.environ.get("KILLS", "0")) >= 200
ALL = [(point, hit) for point in POINTS for hit in HIT]
ONCE = [(point, HIT[at % 3]) for at, point in enumerate(POINTS)]
RECOVER = (*RUN, "--recover")
SOME_UNKNOWN = 4


def hit_of(hit: int, fate: str, *, bulk: bool) -> int:
    """A bulk call is of many rows, and what was restored is killed when it has fewer rows left."""
    return 1 if bulk else min(hit, 4) if fate == "restored" else hit


def check_once(it: Trial) -> None:
    """No marker is there twice, and each row has one share that stands."""
    markers = Counter(marker for each in it.sandbox.account.visible() for marker in markers_in(each.note))
    assert [marker for marker, count in markers.items() if count > 1] == []
    assert len(it.sandbox.account.activities) == ROWS
    live = Counter((share["lead"], share["user"]) for share in it.sandbox.report()["live_shares"]["shares"])
    assert (set(live.values()), live.total()) == ({1}, ROWS)


async def killed(storm: Storm, killers: list[Killer], point: str, number: int) -> None:
    """A run that dies there."""
    dies = storm.run_into(killers[0]) if killers else storm.run([point, number])
    assert await dies == KILLED, storm.said()


async def recovered(storm: Storm) -> None:
    """The plain command sends nothing of which it can't know; with --recover, all is done once."""
    if await storm.run() != 0:
        assert "--recover" in storm.said()
        code = await storm.run(command=RECOVER)
        if code == SOME_UNKNOWN and not len(storm.it.sandbox.account.activities):
            # Nothing was ever posted, so nothing shows that reads show markers: somebody has to say so.
            code = await storm.run(command=(*RUN, "--trust-marker"))
        assert code == 0, storm.said()
    check_once(storm.it)
    assert await storm.run() == 0, storm.said()
    check_once(storm.it)


@pytest.mark.parametrize(("point", "hit"), ALL if MANY else ONCE)
@pytest.mark.parametrize("bulk", [False, True] if MANY else [False])
@pytest.mark.parametrize("fate", ["restored", "lost", "copied"])
async def test_what_was_killed_is_sent_once_whatever_becomes_of_its_ledger(
    tmp_path: Path, forks: Forks, point: str, hit: int, fate: str, *, bulk: bool
) -> None:
    number = hit_of(hit, fate, bulk=bulk)
    killers = [Killer(point, number)] if point.rpartition(":")[2] in AT_THE_SERVER else []
    async with Sandbox(options(), wrappers=killers) as sandbox:
        it = Trial(tmp_path, sandbox)
        storm = Storm(it, forks, ROWS, bulk=bulk)
        copy = tmp_path / "copy.db"
        if fate == "restored":
            assert await storm.run(["activity:before-intent", 2]) == KILLED, storm.said()
            shutil.copy(it.ledger, copy)
        await killed(storm, killers, point, number)
        if fate == "copied":
            shutil.copy(it.ledger, copy)
            assert await storm.run() == 0, storm.said()
        if fate != "lost":
            shutil.copy(copy, it.ledger)
        else:
            it.ledger.unlink()
        for beside in ("-wal", "-shm"):
            it.ledger.with_name(it.ledger.name + beside).unlink(missing_ok=True)
        await recovered(storm)
