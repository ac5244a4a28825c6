"""Where the rows of a bulk run wait: who gets which, who waits for whom, and when there is nothing left."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from ledgers import instruction
from virtual_time import run_virtually

from batch_share.common import Cause
from batch_share.ledger.records import Row, Why
from batch_share.ledger.states import Stage, State
from batch_share.sending.sender import MOST_WAITING, Queue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence

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


def trays(
    rows: Iterable[Row] | AsyncIterator[Row],
    in_bulk: Callable[[Row], bool] = is_odd,
    *,
    suspects: Collection[int] = (),
    few: int = 0,
    asked_for: Collection[str] = (),
) -> Queue:
    """Queue over these rows: the `suspects` are shared by themselves, and those of at most `few` failed calls.

    The requests `asked_for` are those whose answer is just being noted.
    """
    each = aiter(Rows(rows)) if isinstance(rows, Iterable) else rows
    return Queue(
        each,
        in_bulk,
        lambda row: row.id in suspects,
        lambda failed: failed <= few,
        asked_for.__contains__,
        LINGER,
    )


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
        them = trays(aiter(rows))
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
        them = trays(aiter(rows))
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


def test_rows_that_are_being_posted_count_as_rows_that_wait_for_their_share() -> None:
    async def job() -> None:
        rows = Rows(row(at) for at in range(1, 2000, 2))
        them = trays(aiter(rows))
        out = [each for _ in range(MOST_WAITING // 25) for each in await them.to_post(25)]
        more = await soon(them.has_rows_to_go_together(25))
        assert (len(out), rows.read, more.done()) == (MOST_WAITING, MOST_WAITING, False)
        them.settle(out[0])
        them.settle(None)  # one goes no further, so another may come
        await soon(asyncio.sleep(0))
        assert (rows.read, await more) == (MOST_WAITING + 25, True)

    virtually(job)


def test_few_rows_that_go_by_themselves_are_read_while_those_that_go_together_are_looked_for() -> None:
    async def job() -> list[int]:
        rows = Rows([*(row(at) for at in range(0, 2000, 2)), row(2001)])
        them = trays(aiter(rows))
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

        them = trays(slowly())
        waiting: list[asyncio.Task[Any]] = [await soon(them.to_post_alone(lambda: True)) for _ in range(3)]
        waiting += [await soon(them.to_post(25)), await soon(them.to_share(25)), await soon(them.all_posted())]
        them.close()
        page.set()
        return [await each for each in waiting]

    assert virtually(job) == [None, None, None, [], [], False]


# ------------------------------------------------------------------------------------------ shared again


def standing(numbers: Iterable[int], request: str | None = None) -> list[Row]:
    """Rows whose activities stand; those of a `request` were shared, and could not be processed."""
    why = Why(Cause.NOT_PROCESSED, {"said": ""}) if request else None
    stage = Stage.SHARE if request else None
    rows = (row(number, State.POSTED, stage) for number in numbers)
    return [replace(each, why=why, request_id=request, doubtful=request is not None) for each in rows]


async def calls(them: Queue, most: int = 25) -> list[list[int]]:
    """What is shared from now on, call by call."""
    made = []
    while rows := await them.to_share(most):
        made.append(ids(rows))
    return made


def fifths_of(numbers: Sequence[int]) -> list[list[int]]:
    """In five calls."""
    size = math.ceil(len(numbers) / 5)
    return [[*numbers[at : at + size]] for at in range(0, len(numbers), size)]


@pytest.mark.parametrize("size", [2, 4, 5, 6, 23, 25])
def test_a_call_that_could_not_be_processed_is_shared_again_in_fifths_and_these_row_by_row(size: int) -> None:
    async def job() -> list[list[int]]:
        them = trays([])
        assert await them.to_post(25) == []
        them.share_again(standing(range(size), "R"))
        return await calls(them)

    assert virtually(job) == fifths_of(range(size))
    if size <= 5:
        assert all(len(call) == 1 for call in fifths_of(range(size)))


def test_one_that_failed_is_shared_again_before_others_are_shared() -> None:
    async def job() -> list[list[int]]:
        them = trays(standing(range(100, 110)))
        assert await them.to_post(25) == []
        them.share_again(standing(range(3), "R"))
        return await calls(them)

    assert virtually(job) == [[0], [1], [2], [*range(100, 110)]]


@pytest.mark.parametrize(("few", "to_come", "size"), [(1, 0, 1), (0, 0, 5), (1, 30, 5)])
def test_few_calls_that_failed_go_row_by_row_at_once_where_nothing_else_is_to_be_sent(
    few: int, to_come: int, size: int
) -> None:
    async def job() -> list[int]:
        them = trays([*standing(range(100, 100 + to_come)), *map(row, range(200, 200 + to_come))], few=few)
        assert len(await them.to_post(25)) == min(25, to_come // 2)
        them.share_again(standing(range(25), "R"))
        return ids(await them.to_share(25))

    assert virtually(job) == [*range(size)]


def test_whoever_fails_always_is_shared_alone_and_the_rest_of_the_call_goes_whole() -> None:
    async def job() -> list[list[int]]:
        them = trays(standing(range(100, 106)), suspects={3, 9, 104})
        assert await them.to_post(25) == []
        them.share_again(standing(range(25), "R"))
        return await calls(them)

    rest = [number for number in range(25) if number not in {3, 9}]
    assert virtually(job) == [[3], [9], rest, [100, 101, 102, 103, 105], [104]]


def test_requests_that_failed_in_an_earlier_run_are_shared_again_in_fifths_too() -> None:
    async def job() -> list[list[int]]:
        ones, others = standing(range(0, 50, 2), "R"), standing(range(1, 20, 2), "S")
        them = trays(sorted([*ones, *others], key=lambda each: each.id))
        assert await them.to_post(25) == []
        return await calls(them)

    assert virtually(job) == [*fifths_of(range(0, 50, 2)), *fifths_of(range(1, 20, 2))]


def test_more_than_may_wait_of_them_do_not_keep_the_rows_behind_from_being_read() -> None:
    async def job() -> tuple[int, list[int]]:
        failed = [each for at in range(8) for each in standing(range(25 * at, 25 * at + 25), f"R{at}")]
        them = trays([*failed, row(1001)])
        reading = await soon(them.to_post(25))
        made = [await them.to_share(25) for _ in range(40)]
        return len({each.id for rows in made for each in rows}), ids(await reading)

    assert virtually(job) == (200, [1001])


def test_of_a_request_of_which_nothing_more_is_to_be_sent_nothing_is_shared_again() -> None:
    async def job() -> list[list[int]]:
        them = trays([])
        assert await them.to_post(25) == []
        them.share_again([])
        return await calls(them)

    assert virtually(job) == []


def test_a_row_that_came_back_before_it_was_read_is_shared_again_but_once() -> None:
    async def job() -> list[list[int]]:
        them = trays([*standing([1, 2], "R"), *standing([3])])
        them.share_again(standing([1, 2], "R"))
        assert them.to_share_again() == [2]
        assert await them.to_post(25) == []
        return await calls(them)

    assert virtually(job) == [[1], [2], [3]]


def test_a_row_that_is_read_before_it_comes_back_is_shared_again_but_once() -> None:
    async def job() -> list[list[int]]:
        them = trays([*standing([1, 2], "R"), *standing([3], "S")], asked_for={"R"})
        assert await them.to_post(25) == []
        them.share_again(standing([1, 2], "R"))
        return await calls(them)

    assert virtually(job) == [[3], [1], [2]]


def test_no_row_is_shared_ever_again_as_one_user_after_the_other_turns_out_to_fail() -> None:
    suspects: set[int] = set()

    async def job() -> Counter[int]:
        them, times = trays(standing([]), suspects=suspects), Counter[int]()
        assert await them.to_post(25) == []
        them.share_again(standing(range(25), "R"))
        while rows := await them.to_share(25):
            times.update(ids(rows))
            if len(rows) > 1:
                them.share_again(rows)
                suspects.add(rows[0].id)
        return times

    assert max(virtually(job).values()) == 3
