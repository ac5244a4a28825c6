"""Where the rows of a bulk run wait: who gets which, who waits for whom, and when there is nothing left."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from ledgers import instruction
from virtual_time import run_virtually

from batch_share.ledger.records import Row
from batch_share.ledger.states import Stage, State
from batch_share.sending.sender import MOST_WAITING, Queue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable

T = TypeVar("T")
LINGER = 5.0


def now() -> float:
    """The loop's time, in virtual seconds."""
    return asyncio.get_running_loop().time()


def row(number: int, state: State = State.PENDING, stage: Stage | None = None) -> Row:
    """A row of a ledger; an odd one may be posted with others."""
    return Row(number, f"key{number}", number + 1, [str(number)], state, instruction(number), number, stage=stage)


class Rows:
    """A ledger's rows, counted as they are read."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[Row]:
        for each in self._rows:
            self.read += 1
            yield each


def is_odd(each: Row) -> bool:
    """Whether it may be posted with others."""
    return each.id % 2 == 1 and each.stage is None


def trays(rows: Iterable[Row], in_bulk: Callable[[Row], bool] = is_odd) -> Queue:
    """Queue over these rows."""
    return Queue(aiter(Rows(rows)), in_bulk, LINGER)


def ids(rows: Iterable[Row]) -> list[int]:
    """Which they are."""
    return [each.id for each in rows]


def virtually(job: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a job in virtual time; one that waits for something that never happens fails."""
    return run_virtually(job())


async def soon(job: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A job that has begun, and waits for whatever it waits for."""
    task = asyncio.create_task(job)
    for _ in range(20):
        await asyncio.sleep(0)
    return task


def posted(each: Row) -> Row:
    """The row with its activity."""
    return replace(each, state=State.POSTED, activity_id="act")


# ------------------------------------------------------------------------------------------ to be posted


def test_rows_are_handed_out_in_order_together_and_by_themselves() -> None:
    async def job() -> tuple[list[int], list[int]]:
        them = trays(map(row, range(1, 8)))
        together = ids(await them.to_post(3))
        return together, [each.id for _ in range(3) if (each := await them.to_post_alone(lambda: True))]

    assert virtually(job) == ([1, 3, 5], [2, 4, 6])


def test_the_last_call_is_for_what_is_left_and_then_there_is_none() -> None:
    async def job() -> list[list[int]]:
        them = trays(map(row, (1, 3, 5)))
        return [ids(await them.to_post(2)) for _ in range(3)]

    assert virtually(job) == [[1, 3], [5], []]


def test_a_row_of_those_that_go_by_themselves_is_taken_first() -> None:
    async def job() -> int:
        them = trays(map(row, (1, 2)))
        await them.to_post(5)
        them.put_back(row(1))
        found = await them.to_post_alone(lambda: True)
        assert found is not None
        return found.id

    assert virtually(job) == 2


def test_whoever_posts_rows_one_by_one_waits_for_those_that_may_come_back() -> None:
    async def job() -> tuple[bool, Row | None, Row | None]:
        them = trays([row(1)])
        await them.to_post(5)
        first, second = [await soon(them.to_post_alone(lambda: True)) for _ in range(2)]
        waits = not first.done() and not second.done()
        them.put_back(replace(row(1), stage=Stage.ACTIVITY))
        found = await first
        them.settle(None)
        return waits, found, await second

    assert virtually(job) == (True, replace(row(1), stage=Stage.ACTIVITY), None)


@pytest.mark.parametrize("stage", [None, Stage.ACTIVITY])
def test_a_row_that_comes_back_goes_where_it_belongs_now_and_first(stage: Stage | None) -> None:
    async def job() -> list[int]:
        them = trays(map(row, (1, 3)))
        await them.to_post(1)
        them.put_back(replace(row(1), stage=stage))
        return ids(await them.to_post(2))

    assert virtually(job) == ([3] if stage else [1, 3])


def test_what_may_not_go_together_any_more_goes_by_itself() -> None:
    async def job() -> tuple[list[int], Row | None]:
        together = {1, 3, 5}
        them = trays(map(row, (1, 3, 5)), lambda each: each.id in together)
        first = ids(await them.to_post(1))
        together.remove(3)
        them.sort_anew()
        return first + ids(await them.to_post(5)), await them.to_post_alone(lambda: False)

    assert virtually(job) == ([1, 5], row(3))


def test_whoever_brings_rows_to_their_end_gets_each_as_it_is_read() -> None:
    async def job() -> list[Row | None]:
        rows = Rows([row(1), row(2), row(3, State.POSTED), row(5, State.POSTED, Stage.SHARE)])
        them = Queue(aiter(rows), is_odd, LINGER)
        first = await them.next()
        assert (first, rows.read) == (row(1), 1)
        return [await them.next() for _ in range(4)]

    assert virtually(job) == [row(2), row(3, State.POSTED), row(5, State.POSTED, Stage.SHARE), None]


def test_whoever_posts_rows_together_waits_for_those_that_may_come_back_too() -> None:
    async def job() -> tuple[bool, list[int], bool]:
        them = trays([row(1)])
        await them.to_post(25)
        waiting = await soon(them.has_rows_to_go_together(25))
        assert not waiting.done()
        them.put_back(row(1))
        found = await waiting, ids(await them.to_post(25))
        them.settle(None)
        return *found, await them.has_rows_to_go_together(25)

    assert virtually(job) == (True, [1], False)


# ------------------------------------------------------------------------------------------ to be shared


def test_a_share_waits_for_more_rows_but_not_for_long() -> None:
    async def job() -> tuple[list[int], float]:
        them = trays([row(1), row(3)])
        (first,) = await them.to_post(1)
        await asyncio.sleep(7)
        them.settle(posted(first))
        return ids(await them.to_share(25)), now()

    assert virtually(job) == ([1], 7 + LINGER)


def test_a_share_does_not_wait_when_it_is_full_or_nothing_more_can_come() -> None:
    async def job() -> tuple[list[int], list[int], list[int], float]:
        them = trays(map(row, (1, 3, 5)))
        for each in await them.to_post(4):
            them.settle(posted(each))
        return ids(await them.to_share(2)), ids(await them.to_share(2)), ids(await them.to_share(2)), now()

    assert virtually(job) == ([1, 3], [5], [], 0.0)


def test_what_is_left_after_a_full_share_waits_anew() -> None:
    async def job() -> tuple[list[int], float]:
        them = trays(map(row, (1, 3, 5, 7)))
        for each in await them.to_post(3):
            them.settle(posted(each))
        await asyncio.sleep(2)
        await them.to_share(2)
        return ids(await them.to_share(2)), now()

    assert virtually(job) == ([5], 2 + LINGER)


def test_rows_whose_share_may_have_been_done_go_first_and_by_themselves() -> None:
    async def job() -> list[list[int]]:
        them = trays([row(2, State.POSTED), row(4, State.POSTED, Stage.SHARE), row(6, State.POSTED, Stage.SHARE)])
        await them.to_post(1)
        return [ids(await them.to_share(25)) for _ in range(4)]

    assert virtually(job) == [[4], [6], [2], []]


def test_rows_that_go_no_further_end_the_waiting_for_shares() -> None:
    async def job() -> list[Row]:
        them = trays([row(1)])
        await them.to_post(1)
        sharer = await soon(them.to_share(25))
        reader = await soon(them.to_post(1))
        assert not sharer.done()
        them.settle(None)
        assert await reader == []
        return await sharer

    assert virtually(job) == []


# ------------------------------------------------------------------------------------------ the end


def test_all_is_posted_when_nothing_waits_and_nothing_is_out() -> None:
    async def job() -> tuple[bool, bool, bool]:
        them = trays(map(row, (1, 2)))
        ended = await soon(them.all_posted())
        (one,), two = await them.to_post(5), await them.to_post_alone(lambda: True)
        assert two is not None
        await soon(them.to_post(5))
        them.settle(posted(one))
        before = (await soon(asyncio.sleep(0))).done() and ended.done()
        them.settle(None)
        return before, await ended, await them.all_posted()

    assert virtually(job) == (False, True, True)


def test_closing_wakes_everybody_and_hands_out_nothing_more() -> None:
    async def job() -> list[object]:
        them = trays(map(row, range(1, 200, 2)))
        out = await them.to_post(25)
        waiting = [await soon(them.to_share(25)), await soon(them.all_posted())]
        them.close()
        them.settle(posted(out[0]))
        reported: list[object] = [await each for each in waiting]
        return [*reported, await them.to_post(25), await them.to_post_alone(lambda: True), await them.to_share(25)]

    assert virtually(job) == [[], False, [], None, []]


# ------------------------------------------------------------------------------------------ few rows wait


@pytest.mark.parametrize("stage", [None, Stage.SHARE])
def test_nothing_more_is_read_or_posted_while_many_wait_for_their_share(stage: Stage | None) -> None:
    async def job() -> None:
        rows = Rows([*(row(at, State.POSTED, stage) for at in range(1000)), row(1001), row(1002)])
        them = Queue(aiter(rows), is_odd, LINGER)
        together, alone = await soon(them.to_post(25)), await soon(them.to_post_alone(lambda: True))
        assert rows.read == MOST_WAITING
        shared = 0
        while shared < 1000:
            shared += len(await them.to_share(25))
            await soon(asyncio.sleep(0))
            assert rows.read - shared <= MOST_WAITING + 2
            assert shared >= 900 or not (together.done() or alone.done())
        assert ids(await together) == [1001]
        assert await alone == row(1002)

    virtually(job)


def test_few_rows_that_go_by_themselves_are_read_while_those_that_go_together_are_looked_for() -> None:
    async def job() -> list[int]:
        rows = Rows([*(row(at) for at in range(0, 2000, 2)), row(2001)])
        them = Queue(aiter(rows), is_odd, LINGER)
        poster = await soon(them.has_rows_to_go_together(25))
        assert not poster.done()
        for _ in range(1000):
            assert await them.to_post_alone(lambda: True) is not None
            them.settle(None)
            await soon(asyncio.sleep(0))
            assert len(them._alone) <= MOST_WAITING
        assert await poster
        return ids(await them.to_post(25))

    assert virtually(job) == [2001]


def test_what_can_go_together_does_not_wait_for_more_where_many_go_by_themselves() -> None:
    async def job() -> list[int]:
        them = trays([row(1), *(row(at) for at in range(2, 2000, 2)), row(2001)])
        return ids(await them.to_post(25))

    assert virtually(job) == [1]


def test_whoever_is_reading_when_the_work_is_to_end_and_who_waits_for_that_ends_too() -> None:
    """As the page of rows that was asked for comes, or does not, after Ctrl-C."""

    async def job() -> list[object]:
        page = asyncio.Event()

        async def slowly() -> AsyncIterator[Row]:
            await page.wait()
            for number in range(100):
                yield row(number)

        them = Queue(slowly(), is_odd, LINGER)
        waiting: list[asyncio.Task[Any]] = [await soon(them.to_post_alone(lambda: True)) for _ in range(3)]
        waiting += [await soon(them.to_post(25)), await soon(them.to_share(25)), await soon(them.all_posted())]
        them.close()
        page.set()
        return [await each for each in waiting]

    assert virtually(job) == [None, None, None, [], [], False]
