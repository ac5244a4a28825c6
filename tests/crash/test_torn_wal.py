"""The power goes while the last page is being written: the commit that it belonged to has not happened.

`make test` does it a few times; with KILLS=200 or more, a hundred times.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from forks import KILLED, Forks
from storm import Storm
from trial import Trial, options

from batch_share.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 6
PAGE = 4096
TIMES = 100 if int(os.environ.get("KILLS", "0")) >= 200 else 4


def zeroed(wal: bytes) -> bytes:
    return wal[:-PAGE] + bytes(PAGE)


def half_written(wal: bytes) -> bytes:
    return wal[: -PAGE // 2] + bytes(PAGE // 2)


def cut_short(wal: bytes) -> bytes:
    return wal[: -PAGE + 700]


def garbled(wal: bytes) -> bytes:
    return wal[: -PAGE + 100] + b"\xa5" * 512 + wal[-PAGE + 612 :]


TEARS: list[Callable[[bytes], bytes]] = [zeroed, half_written, cut_short, garbled]


@pytest.mark.parametrize("time", range(TIMES))
async def test_a_torn_last_page_loses_and_repeats_nothing(tmp_path: Path, forks: Forks, time: int) -> None:
    commits = 3 + time * 17 % 23
    async with Sandbox(options()) as sandbox:
        storm = Storm(Trial(tmp_path, sandbox), forks, ROWS, workers=(1, 3)[time % 2])
        assert await storm.run(["commit", commits]) == KILLED, storm.said()
        wal = storm.it.ledger.with_name(f"{storm.it.ledger.name}-wal")
        wal.write_bytes(TEARS[time % 4](wal.read_bytes()))
        storm.it.ledger.with_name(f"{storm.it.ledger.name}-shm").unlink()  # memory, so gone with the power
        await storm.recover()
