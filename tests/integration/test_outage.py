"""LeadSquared can't be reached for a while: what is counted, and what a person is told meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trial import CREATE, Fault, Onlooker, Samples, options
from virtual_time import run_virtually
from virtual_trial import in_virtual_time

from batch_share.errors import Unreachable
from batch_share.ledger.states import State
from batch_share.sandbox.wire import Reply
from batch_share.sending import calls

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from trial import Trial


def gone_for(seconds: float) -> Fault:
    """From the fifth activity on nobody gets a connection."""
    return Fault(CREATE, [5], Reply(200, b"", drop=True, away=seconds))


def counted(it: Trial, onlooker: Onlooker) -> tuple[int, int, int]:
    """The calls that the sandbox saw, that a person is told of, and that are taken off the day's."""
    connection = onlooker.connection
    assert connection is not None
    return len(it.sandbox.journal.since(0)), connection.tally.calls, connection.memory.account.calls


def test_calls_that_reach_nobody_are_neither_reported_nor_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = in_virtual_time(tmp_path, monkeypatch, options(), gone_for(1e6))
    onlooker = Onlooker()
    ending = run_virtually(it.run(onlooker))
    assert isinstance(ending.error, Unreachable)
    assert "Nothing was sent for the rows that are left. Run the same command" in str(ending.error)
    arrived, reported, spent = counted(it, onlooker)
    assert (reported, spent) == (arrived, arrived)


def test_an_outage_does_not_eat_up_the_calls_of_the_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = in_virtual_time(tmp_path, monkeypatch, options(), gone_for(20.0))
    onlooker = Onlooker()
    ending = run_virtually(it.run(onlooker, daily_limit=60))
    assert (ending.error, ending.summary.states) == (None, {State.SHARED: 12})
    arrived, reported, spent = counted(it, onlooker)
    assert (reported, spent) == (arrived, arrived)


def test_that_nobody_is_reached_is_reported_at_once_and_until_somebody_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = in_virtual_time(tmp_path, monkeypatch, options(), gone_for(20.0), workers=3)
    samples = Samples(lambda connection: connection.tally.outage)
    assert run_virtually(it.run(samples)).summary.states == {State.SHARED: 12}
    reported = [outage for outage in samples.seen if outage is not None]
    assert {outage.words for outage in reported} == {"no connection: Connection refused"}
    assert [outage.tries for outage in reported] == sorted(outage.tries for outage in reported)
    assert (reported[0].tries, reported[-1].most) == (1, calls.CONNECT_TRIES)
    assert 40 <= len(reported) <= 100  # the 20 s, and what is left of the last pause
    assert samples.seen[-1] is None
