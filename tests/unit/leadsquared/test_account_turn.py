"""One process at a time calls an account: who waits is told why, and takes over from the dead."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from turns import account_turn

from batch_share.errors import BatchShareError
from batch_share.leadsquared import account

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOLDER = """
import asyncio, pathlib, sys
from batch_share.leadsquared.account import AccountMemory, AccountTurn

async def hold(file):
    turn = AccountTurn(file, print)
    await turn.take()
    with AccountMemory(file):
        print("held", flush=True)
        sys.stdin.read()

asyncio.run(hold(pathlib.Path(sys.argv[1])))
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An account's file, in a folder that is not yet there, asked for often."""
    monkeypatch.setattr(account, "ASK_AGAIN", 0.01)
    return tmp_path / "state" / "name.account"


@contextmanager
def held_by_another_process(file: Path) -> Iterator[subprocess.Popen[str]]:
    """The account is in use."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(file)], stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


async def take(file: Path, waited_for: list[int | None]) -> None:
    """Take the turn and give it back."""
    async with account_turn(file, lambda holder: waited_for.append(holder.process)):
        pass


async def test_a_free_account_is_taken_at_once(file: Path) -> None:
    waited_for: list[int | None] = []
    await take(file, waited_for)
    await take(file, waited_for)
    assert waited_for == []
    assert file.with_suffix(".lock").stat().st_mode & 0o777 == 0o600


async def test_who_waits_is_told_for_whom_and_takes_over_when_that_is_killed(file: Path) -> None:
    waited_for: list[int | None] = []
    with held_by_another_process(file) as process:
        waiting = asyncio.create_task(take(file, waited_for))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        process.kill()
        await asyncio.wait_for(waiting, 60)
        assert waited_for == [process.pid]


async def test_one_after_the_other_in_one_process_too(file: Path) -> None:
    order: list[str] = []

    async def work(name: str) -> None:
        async with account_turn(file, lambda holder: order.append(f"{name} waits for {holder.process}")):
            order.append(f"{name} begins")
            await asyncio.sleep(0.03)
            order.append(f"{name} ends")

    await asyncio.gather(work("a"), work("b"))
    assert order == ["a begins", "b waits for None", "a ends", "b begins", "b ends"]


async def test_an_error_gives_the_turn_back(file: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with account_turn(file, print):
            raise ZeroDivisionError
    await take(file, [])


async def test_whoever_is_cancelled_while_waiting_leaves_nothing_behind(file: Path) -> None:
    async with account_turn(file, print):
        waiting = asyncio.create_task(take(file, []))
        await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await take(file, [])


async def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(
        BatchShareError, match=r"state folder .* can't be written \(.*\); set BATCH_SHARE_STATE_FOLDER"
    ):
        await take(tmp_path / "state" / "name.account", [])
