"""A ledger whose disk is full, locked, read-only or broken, at any operation: one sentence, and nothing lost.

`make test` tries one operation of ninety; with KILLS=200 or more, every single one; with 2,000, with every fault.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from invariants import check_all_shared, check_never_twice
from sqlalchemy import Engine, event
from sqlalchemy.engine.default import DefaultDialect
from trial import BULK, Trial, options, sheet_rows

from batch_share.errors import BatchShareError
from batch_share.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROWS = {False: 3, True: 10}
"""By whether they go in bulk."""

FAULTS = (
    "database or disk is full",
    "database is locked",
    "attempt to write a readonly database",
    "disk I/O error",
)
KILLS = int(os.environ.get("KILLS", "0"))
STEP = 1 if KILLS >= 200 else 30
PARTS = 10 if KILLS >= 200 else 3


class Disk:
    """Counts the operations on any ledger of this process, and breaks at one of them."""

    def __init__(self, breaks_at: int = 0, problem: str = "", *, for_good: bool = False) -> None:
        self.operations = 0
        self.broke = False
        self._breaks_at = breaks_at
        self.problem = problem
        self._for_good = for_good

    def operate(self, *_: object) -> None:
        """Count an operation. Raises sqlite3.OperationalError where it breaks."""
        self.operations += 1
        broken = self.operations >= self._breaks_at if self._for_good else self.operations == self._breaks_at
        if self._breaks_at and broken:
            self.broke = True
            raise sqlite3.OperationalError(self.problem)


@contextmanager
def using(disk: Disk) -> Iterator[None]:
    """Let every opening of a file, every statement and every commit pass through `disk`."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("do_execute", "do_executemany", "do_execute_no_params", "do_commit"):
            patch.setattr(DefaultDialect, name, breakable(disk, getattr(DefaultDialect, name)))
        event.listen(Engine, "connect", disk.operate)
        try:
            yield
        finally:
            event.remove(Engine, "connect", disk.operate)


def breakable(disk: Disk, operation: Callable[..., None]) -> Callable[..., None]:
    """The operation, where the disk does not break."""

    def operate(*arguments: Any) -> None:
        disk.operate()
        operation(*arguments)

    return operate


async def run(folder: Path, disk: Disk, sandbox: Sandbox, *, bulk: bool) -> tuple[Trial, BatchShareError | None]:
    """Run a few rows on this disk; the error that stopped it, or what it says of an index that it could not write.

    Any other exception is a failure.
    """
    it = Trial(folder, sandbox, {"bulk": bulk})
    it.write(sheet_rows(ROWS[bulk], sandbox.world))
    try:
        with using(disk):
            ending = await it.run()
    except BatchShareError as error:
        return it, error
    said = "; ".join(ending.remarks)
    return it, ending.error or (BatchShareError(said) if said else None)


_counted: dict[bool, int] = {}


async def operations(folder: Path, *, bulk: bool) -> int:
    """How many there are in an undisturbed run: about as many each time, for writes are grouped as they come."""
    if bulk in _counted:
        return _counted[bulk]
    disk = Disk()
    async with Sandbox(options()) as sandbox:
        _, error = await run(folder, disk, sandbox, bulk=bulk)
        assert bool(sandbox.report()["calls"].get(BULK)) is bulk
    assert error is None
    assert disk.operations > 100
    _counted[bulk] = disk.operations
    return disk.operations


@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("bulk", [False, True])
async def test_a_broken_disk_stops_the_run_in_one_sentence_and_the_next_settles_it(
    tmp_path: Path, part: int, for_good: bool, bulk: bool
) -> None:
    count = await operations(tmp_path, bulk=bulk)
    for number in range(1 + part, count + 1, PARTS * STEP):
        for problem in FAULTS if KILLS >= 2000 else [FAULTS[number // PARTS % 4]]:
            folder = tmp_path / f"{number}-{FAULTS.index(problem)}"
            folder.mkdir()
            await break_at(folder, Disk(number, problem, for_good=for_good), bulk=bulk, for_good=for_good)


async def break_at(folder: Path, disk: Disk, *, bulk: bool, for_good: bool) -> None:
    """Run on a disk that breaks, then on a whole one. (How writes are grouped differs: it may never break.)"""
    async with Sandbox(options()) as sandbox:
        it, error = await run(folder, disk, sandbox, bulk=bulk)
        if for_good and disk.broke:
            assert error is not None
            assert disk.problem in str(error)
        assert error is None or "\n" not in str(error)
        check_never_twice(it)
        assert (await it.run()).error is None
        check_all_shared(it, sheet_rows(ROWS[bulk], sandbox.world))
