"""Following up in virtual time: asked less and less often, until it is settled or the wait is over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from trial import STATUS, Onlooker, Samples, Trial, options
from virtual_time import VirtualTimeLoop, run_virtually
from virtual_trial import in_virtual_time

from batch_share.ledger.states import State
from batch_share.results.wording import ExitCode
from batch_share.sending.follow_up import LONGEST_INTERVAL

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.jobs.job import Ending
    from batch_share.sending.onlookers import Awaited
    from batch_share.sending.session import Connection


def asked(it: Trial) -> int:
    return len(it.sent(STATUS))


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """A trial of one row, in an account that takes 50 to 150 seconds for a share."""
    reported = options(leads=3, users=7, processing=100.0)
    return in_virtual_time(tmp_path, monkeypatch, reported, rows=1, wait=600.0)


@pytest.mark.usefixtures("traceable_sleep")
def test_a_request_is_asked_for_less_and_less_often_until_it_is_settled(slow: Trial) -> None:
    ending = run_virtually(slow.run())
    assert ending.summary.states == {State.SHARED: 1}
    assert 5 <= asked(slow) <= 12  # every two seconds would be 25 at least


@pytest.mark.usefixtures("traceable_sleep")
def test_while_requests_are_being_processed_nothing_wakes_a_run_but_its_calls(slow: Trial) -> None:
    async def woken() -> int:
        await slow.run()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        assert loop.time() > 50.0
        return loop.wakeups

    # Each call travels, and its permit comes back a period later; then it is waited for the next.
    assert run_virtually(woken()) <= 4 * len(slow.sandbox.journal.since(0))


def test_a_request_that_is_not_settled_in_time_is_left_to_the_next_follow_up(slow: Trial) -> None:
    ending = run_virtually(slow.run(wait=30.0))
    assert ending.summary.states == {State.ACCEPTED: 1}
    assert ending.exit_code is ExitCode.STILL_PROCESSING
    assert 2 <= asked(slow) <= 6


def test_a_run_that_does_not_follow_up_asks_nothing(slow: Trial) -> None:
    assert run_virtually(slow.run(follow_up=False)).summary.states == {State.ACCEPTED: 1}
    assert asked(slow) == 0


def test_a_stop_ends_the_wait_at_once_and_keeps_what_was_accepted(slow: Trial) -> None:
    """It comes while nothing is under way, between one question and the next."""

    async def stopped() -> tuple[Ending, float]:
        tasks: list[asyncio.Task[None]] = []

        async def stop(connection: Connection) -> None:
            await asyncio.sleep(15.0)
            connection.stop.ask()

        onlooker = Onlooker(lambda connection: tasks.append(asyncio.create_task(stop(connection))))
        return await slow.run(onlooker), asyncio.get_running_loop().time()

    ending, seconds = run_virtually(stopped())
    assert ending.exit_code is ExitCode.INTERRUPTED
    assert ending.summary.states == {State.ACCEPTED: 1}
    assert seconds < 16.0


def test_while_there_is_nothing_to_do_but_wait_it_is_told_what_for_and_until_when(slow: Trial) -> None:
    def look(connection: Connection) -> tuple[float, Awaited | None]:
        return asyncio.get_running_loop().time(), connection.tally.awaited

    samples = Samples(look)
    assert run_virtually(slow.run(samples)).summary.states == {State.SHARED: 1}
    reported = [(at, awaited) for at, awaited in samples.seen if awaited is not None]
    assert len(reported) >= 60
    assert {awaited.requests for _, awaited in reported} == {1}
    assert len({round(awaited.until) for _, awaited in reported}) == 1
    assert all(0 <= awaited.again - at <= LONGEST_INTERVAL for at, awaited in reported if awaited.again is not None)
