"""The counts behind a progress display, and what is told of waiting and of outages."""

from __future__ import annotations

import asyncio

import pytest
from virtual_time import run_virtually

from batch_share.ledger.states import State
from batch_share.sending.onlookers import Awaited, Outage, Tally


async def calls_at(*moments: float, now: float) -> Tally:
    """A tally at `now` whose calls left at these moments."""
    tally = Tally()
    for moment in moments:
        await asyncio.sleep(moment - asyncio.get_running_loop().time())
        tally.called()
    await asyncio.sleep(now - asyncio.get_running_loop().time())
    return tally


@pytest.mark.parametrize(
    ("moments", "now", "period", "expected"),
    [
        ([], 5.0, 1.0, 0.0),
        ([5.0] * 3, 5.2, 1.0, 3.0),  # no rate is made up from a moment
        ([1.0, 2.0, 3.0, 4.0], 5.0, 1.0, 1.0),
        ([1.0, 12.0, 13.0], 20.0, 1.0, 2 / 10),  # the oldest is past
        ([1.0], 60.0, 1.0, 0.0),
        ([1.0] * 25, 3.0, 5.0, 5.0),  # all that five seconds allow, at their beginning
        ([1.0] * 25 + [6.1] * 25, 6.2, 5.0, 5.0),
        ([1.0] * 25 + [6.1] * 25 + [11.2] * 25, 11.3, 5.0, 5.0),
    ],
)
def test_the_speed_is_that_of_the_last_ten_seconds(
    moments: list[float], now: float, period: float, expected: float
) -> None:
    async def measured() -> float:
        return (await calls_at(*moments, now=now)).calls_per_second(period)

    assert run_virtually(measured()) == pytest.approx(expected, abs=0.01)


def test_a_remark_is_kept_once_however_often_it_is_made() -> None:
    tally = Tally()
    for words in ("one", "another", "one"):
        tally.remark(words)
    assert tally.remarks == ["one", "another"]


def test_a_call_that_never_left_is_not_counted_here_nor_above() -> None:
    async def counted() -> tuple[int, int, float]:
        above = Tally()
        tally = Tally(parent=above)
        tally.called()
        await asyncio.sleep(1.0)
        at = tally.called()
        await asyncio.sleep(1.0)
        tally.called()
        tally.never_left(at)
        return tally.calls, above.calls, above.calls_per_second()

    assert run_virtually(counted()) == (2, 2, 1.0)


def test_a_call_that_never_left_may_be_too_old_to_be_among_the_recent_ones() -> None:
    async def counted() -> int:
        tally = Tally()
        at = tally.called()
        for _ in range(500):
            await asyncio.sleep(0.1)
            tally.called()
        tally.never_left(at)
        return tally.calls

    assert run_virtually(counted()) == 500


def test_of_an_outage_the_call_that_is_nearest_to_giving_up_is_reported_until_one_is_answered() -> None:
    above = Tally()
    tally = Tally(parent=above)
    for tries in (1, 3, 2):
        tally.reached(Outage("no connection", tries, 7))
    assert above.outage == tally.outage == Outage("no connection", 3, 7)
    tally.reached()
    assert [tally.outage, above.outage] == [None, None]
    tally.reached(Outage("no connection", 2, 7))
    assert above.outage == Outage("no connection", 2, 7)


def test_what_is_waited_for_is_asked_for_anew_each_time_and_above_too() -> None:
    above = Tally()
    tally = Tally(parent=above)
    reported = iter([Awaited(5.0, 9.0, 2), None])
    assert tally.awaited is None
    with tally.waits_for(lambda: next(reported)):
        assert above.awaited == Awaited(5.0, 9.0, 2)
        assert tally.awaited is None
    assert tally.awaited is None


def test_whatever_ends_the_waiting_nothing_is_waited_for_then() -> None:
    tally = Tally()
    with pytest.raises(ZeroDivisionError), tally.waits_for(lambda: Awaited(None, 0.0)):
        raise ZeroDivisionError
    assert tally.awaited is None


def test_what_was_sent_is_counted_here_and_above_but_not_what_certainly_did_nothing() -> None:
    above = Tally()
    tally = Tally(parent=above)
    for old, new, rows in (
        (State.PENDING, State.POSTING, 3),
        (State.POSTING, State.PENDING, 1),  # refused as one call too many, or the keys were
        (State.POSTING, State.POSTED, 1),
        (State.POSTING, State.UNKNOWN, 1),
        (State.POSTED, State.SHARING, 1),
        (State.SHARING, State.POSTED, 1),
        (State.TO_REVOKE, State.REVOKING, 2),
        (State.REVOKING, State.ENDING, 2),
        (State.UNKNOWN, State.PENDING, 1),
    ):
        tally.moved(old, new, rows)
    assert (tally.sent, above.sent) == (4, 4)
