"""When a request is asked for: once an answer is likely, then ever more rarely, never after its time is over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from virtual_time import run_virtually

from batch_share.sending.follow_up import FIRST_INTERVAL, FIRST_PATIENCE, LONGEST_PATIENCE, Polls
from batch_share.sending.onlookers import Awaited

if TYPE_CHECKING:
    from collections.abc import Callable


def now() -> float:
    """The loop's time, in virtual seconds."""
    return asyncio.get_running_loop().time()


async def follow(polls: Polls, is_settled: Callable[[str], bool]) -> list[tuple[float, str]]:
    """When each request was asked for, until none is left."""
    asked = []
    while (poll := await polls.take()) is not None:
        asked.append((round(now(), 6), poll.request_id))
        polls.done(poll, settled=is_settled(poll.request_id))
    return asked


def test_requests_of_an_earlier_run_are_asked_for_at_once_and_in_order() -> None:
    async def job() -> list[tuple[float, str]]:
        polls = Polls(wait=60)
        polls.add("a", "b", is_old=True)
        polls.complete()
        return await follow(polls, lambda _: True)

    assert run_virtually(job()) == [(0.0, "a"), (0.0, "b")]


def test_a_new_request_is_given_time_and_then_ever_more_until_its_wait_is_over() -> None:
    async def job() -> list[float]:
        polls = Polls(wait=12)
        polls.add("a")
        polls.complete()
        return [at for at, _ in await follow(polls, lambda _: False)]

    first, second, third, fourth = run_virtually(job())
    assert first == FIRST_PATIENCE
    assert second == first + FIRST_INTERVAL
    assert third - second == pytest.approx(3.2)
    assert fourth - third == pytest.approx(5.12)
    assert fourth <= first + 12


def test_without_a_wait_each_is_asked_for_once() -> None:
    async def job() -> list[tuple[float, str]]:
        polls = Polls(wait=0)
        polls.add("a", is_old=True)
        polls.add("b")
        polls.complete()
        return await follow(polls, lambda _: False)

    assert [request for _, request in run_virtually(job())] == ["a", "b"]


@pytest.mark.parametrize("takes", [0.2, 3.0, 12.0])
def test_how_long_processing_takes_is_learnt(takes: float) -> None:
    """Of many requests, hardly more asks than requests: and hardly a wait longer than it takes."""
    accepted: dict[str, float] = {}
    reported: dict[str, float] = {}

    async def share(polls: Polls) -> None:
        for number in range(500):
            accepted[str(number)] = now()
            polls.add(str(number))
            await asyncio.sleep(0.4)
        polls.complete()

    def is_settled(request: str) -> bool:
        reported[request] = now() - accepted[request]
        return reported[request] >= takes

    async def job() -> int:
        polls = Polls(wait=600)
        sharing = asyncio.create_task(share(polls))
        asked = await asyncio.gather(*(follow(polls, is_settled) for _ in range(3)))
        await sharing
        return sum(map(len, asked))

    assert run_virtually(job()) <= 500 * 1.1
    assert sorted(reported.values())[250] <= takes * 1.4 + FIRST_PATIENCE


def test_a_server_that_calls_each_pending_when_first_asked_does_not_teach_to_ask_ever_later() -> None:
    reported: set[str] = set()

    def is_settled(request: str) -> bool:
        is_known = request in reported
        reported.add(request)
        return is_known

    async def job() -> tuple[list[tuple[float, str]], float]:
        polls = Polls(600)
        poller = asyncio.create_task(follow(polls, is_settled))
        for number in range(24):
            polls.add(str(number))
            await asyncio.sleep(0.4)
        polls.complete()
        sent = now()
        return await poller, now() - sent

    asked, waited = run_virtually(job())
    assert len(asked) == 48
    assert waited <= 15


@pytest.mark.parametrize("is_old", [True, False])
@pytest.mark.parametrize("ready", [60.0, 300.0])
def test_of_very_many_that_wait_none_is_given_up_before_its_wait_is_over(ready: float, *, is_old: bool) -> None:
    given_up: list[str] = []

    async def job() -> None:
        polls = Polls(600)
        polls.add(*map(str, range(3000)), is_old=is_old)
        polls.complete()
        waiting = {str(number) for number in range(3000)}
        while (poll := await polls.take()) is not None:
            await asyncio.sleep(0.2)  # the pace of 25/5s
            if now() >= ready:
                waiting.discard(poll.request_id)
            polls.done(poll, settled=now() >= ready)
        given_up.extend(waiting)

    run_virtually(job())
    assert given_up == []


def test_patience_has_an_end() -> None:
    async def job() -> float:
        polls = Polls(wait=1e6)
        polls.add("a")
        poll = await polls.take()
        assert poll is not None
        await asyncio.sleep(1000)
        polls.done(poll, settled=False)
        return polls.patience

    assert run_virtually(job()) == LONGEST_PATIENCE


def test_whoever_waits_is_woken_by_an_addition_and_by_the_end() -> None:
    async def job() -> list[tuple[float, str]]:
        polls = Polls(wait=60)
        following = asyncio.create_task(follow(polls, lambda _: True))
        await asyncio.sleep(5)
        polls.add("a")
        await asyncio.sleep(5)
        polls.complete()
        return await following

    ((at, request),) = run_virtually(job())
    assert request == "a"
    assert at == pytest.approx(5 + FIRST_PATIENCE)


def test_what_is_closed_asks_for_nothing_more() -> None:
    async def job() -> list[tuple[float, str]]:
        polls = Polls(wait=60)
        polls.add("a", "b", is_old=True)
        following = asyncio.create_task(follow(polls, lambda _: False))
        await asyncio.sleep(1)
        polls.close()
        return await following

    assert run_virtually(job()) == [(0.0, "a"), (0.0, "b")]


def test_one_under_way_keeps_the_others_waiting_for_its_end() -> None:
    """It may come back."""

    async def job() -> list[tuple[float, str]]:
        polls = Polls(wait=60)
        polls.add("a", is_old=True)
        polls.complete()
        poll = await polls.take()
        assert poll is not None
        following = asyncio.create_task(follow(polls, lambda _: True))
        await asyncio.sleep(1)
        assert not following.done()
        polls.done(poll, settled=False)
        return await following

    ((at, request),) = run_virtually(job())
    assert request == "a"
    assert at == pytest.approx(1 + FIRST_INTERVAL)


# ------------------------------------------------------------------------------------------ none left


def test_none_is_left_once_all_are_settled_or_given_up() -> None:
    async def job() -> tuple[bool, float]:
        polls = Polls(wait=12)
        polls.add("settled")
        polls.add("given up")
        poller = asyncio.create_task(follow(polls, lambda request: request == "settled"))
        await polls.none_left()
        waits, ended = not poller.done(), now()
        polls.complete()
        asked = await poller
        assert asked[-1][0] == pytest.approx(ended)
        return waits, ended

    waits, ended = run_virtually(job())
    assert waits
    assert 5 < ended < 13


def test_none_is_left_while_there_was_none_and_more_may_still_come() -> None:
    async def job() -> list[tuple[float, str]]:
        polls = Polls(wait=12)
        await polls.none_left()
        polls.add("a")
        poller = asyncio.create_task(follow(polls, lambda _: True))
        await polls.none_left()
        polls.add("b")
        await polls.none_left()
        polls.complete()
        return await poller

    assert [request for _, request in run_virtually(job())] == ["a", "b"]


def test_one_that_is_being_asked_for_is_not_settled_yet() -> None:
    async def job() -> float:
        polls = Polls(wait=0)
        polls.add("a", is_old=True)
        poll = await polls.take()
        assert poll is not None
        asyncio.get_running_loop().call_later(3, lambda: polls.done(poll, settled=True))
        await polls.none_left()
        return now()

    assert run_virtually(job()) == pytest.approx(3.0)


def test_nobody_waits_for_requests_when_the_work_is_to_end() -> None:
    async def job() -> float:
        polls = Polls(wait=600)
        polls.add("a")
        asyncio.get_running_loop().call_later(0.1, polls.close)
        await polls.none_left()
        return now()

    assert run_virtually(job()) == pytest.approx(0.1)


# ------------------------------------------------------------------------------------------ what is told of it


def test_of_a_request_that_is_asked_for_soon_no_waiting_is_reported() -> None:
    async def job() -> list[Awaited | None]:
        polls = Polls(wait=600)
        reported = [polls.awaited()]
        polls.add("a")
        reported.append(polls.awaited())
        await asyncio.sleep(FIRST_PATIENCE)
        poll = await polls.take()
        assert poll is not None
        reported.append(polls.awaited())
        polls.done(poll, settled=True)
        return [*reported, polls.awaited()]

    assert run_virtually(job()) == [None] * 4


def test_a_first_ask_that_is_far_off_is_reported() -> None:
    async def job() -> Awaited | None:
        polls = Polls(wait=600)
        polls.patience = 40.0
        polls.add("a")
        await asyncio.sleep(10.0)
        return polls.awaited()

    assert run_virtually(job()) == Awaited(40.0, 640.0, 1)


def test_requests_that_were_asked_for_in_vain_are_reported_with_the_next_ask_and_the_end_of_the_last() -> None:
    async def job() -> list[Awaited | None]:
        polls = Polls(wait=600)
        polls.add("a", is_old=True)
        poll = await polls.take()
        assert poll is not None
        polls.done(poll, settled=False)
        reported = [polls.awaited()]
        await asyncio.sleep(FIRST_INTERVAL)
        poll = await polls.take()
        assert poll is not None
        reported.append(polls.awaited())
        polls.add("b")
        return [*reported, polls.awaited()]

    asked = FIRST_INTERVAL
    assert run_virtually(job()) == [
        Awaited(asked, 600.0, 1),
        Awaited(None, 600.0, 1),
        Awaited(asked + FIRST_PATIENCE, asked + FIRST_PATIENCE + 600.0, 2),
    ]
