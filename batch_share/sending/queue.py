"""Where the rows of a run wait: to be posted together, to be posted by themselves, to be shared.

No I/O but the reading of the rows, page by page as they are wanted: however long the sheet is, few rows wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from batch_share.common import wait_for_event
from batch_share.ledger.states import State
from batch_share.sending.verdict import needs_own_call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from batch_share.ledger.records import Row

MOST_WAITING: Final = 100
"""Rows that may wait for their share before no more are posted: what is begun is finished first.

Also those that may wait to go by themselves, while others that go together are looked for among those to come.
"""


class Queue:
    """Hands rows out to those who post and to those who share. `in_bulk` tells which may be posted together.

    Whoever takes rows to post gives each back, by `posted`, `put_back` or `ended`. A share call waits for more rows
    while some are being posted, but no longer than `linger` seconds.
    """

    def __init__(self, rows: AsyncIterator[Row], in_bulk: Callable[[Row], bool], linger: float) -> None:
        self._rows = rows
        self._in_bulk = in_bulk
        self._linger = linger
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._together: deque[Row] = deque()
        self._alone: deque[Row] = deque()
        self._posted: deque[Row] = deque()
        self._doubtful: deque[Row] = deque()
        self._first_posted_at = 0.0
        self._out = 0
        self._all_read = False
        self._closed = False

    async def to_post(self, most: int) -> list[Row]:
        """Rows for one bulk call, none if none is left; also when the work is to end."""

        def is_enough() -> bool:
            return len(self._together) >= most or len(self._alone) >= MOST_WAITING

        await self._fill(is_enough)
        while not (self._together or self._all_read or self._closed):
            await self._change()
            await self._fill(is_enough)
        return self._hand_out(self._together, most)

    async def to_post_alone(self, takes_others: Callable[[], bool]) -> Row | None:
        """A row to be posted by itself, None when nobody has a row left to post; also when the work is to end.

        When it `takes_others`, one that could go together where there is none that can't.
        """
        while not self._closed:
            await self._fill(lambda: bool(self._alone or self._together))
            if rows := self._hand_out(self._together if takes_others() and not self._alone else self._alone, 1):
                return rows[0]
            if self._is_all_posted:
                break
            await self._change()
        return None

    async def to_send_alone(self) -> Row | None:
        """A row to be shared by itself, else one to be posted; None when there is none, or the work is to end.

        For those who share what they have posted.
        """
        while not self._closed:
            await self._fill(lambda: bool(self._doubtful or self._posted or self._alone or self._together))
            if rows := self._take(self._doubtful or self._posted, 1):
                return rows[0]
            if rows := self._hand_out(self._alone or self._together, 1):
                return rows[0]
            if self._all_read:
                break
        return None

    async def to_share(self, most: int) -> list[Row]:
        """Rows for one share call, none when there will be no more; also when the work is to end."""
        while not self._closed:
            if self._doubtful:
                return self._take(self._doubtful, 1)
            if self._posted and (rest := self._rest(most)) <= 0:
                return self._take_posted(most)
            if not self._posted and self._is_all_posted:
                break
            await self._change(rest if self._posted else None)
        return []

    async def all_posted(self) -> bool:
        """Wait until no row is left to post, nor out to be posted; False if the work is to end before."""
        while not (self._closed or self._is_all_posted):
            await self._change()
        return not self._closed

    def posted(self, row: Row) -> None:
        """The activity of a row that was taken stands."""
        self._out -= 1
        self._put_posted(row)

    def put_back(self, row: Row) -> None:
        """A row that was taken is still to be posted."""
        self._out -= 1
        (self._together if self._in_bulk(row) else self._alone).appendleft(row)
        self._changed.set()

    def sort_anew(self) -> None:
        """Some that wait to be posted with others may not any more."""
        waiting = [*self._together]
        self._together.clear()
        for row in waiting:
            (self._together if self._in_bulk(row) else self._alone).append(row)
        self._changed.set()

    def ended(self) -> None:
        """A row that was taken goes no further in this run."""
        self._out -= 1
        self._changed.set()

    def close(self) -> None:
        """Hand out no more."""
        self._closed = True
        self._changed.set()

    @property
    def _is_all_posted(self) -> bool:
        return self._all_read and not (self._together or self._alone or self._out)

    async def _fill(self, is_enough: Callable[[], bool]) -> None:
        async with self._turn:
            while not self._closed:
                if len(self._posted) + len(self._doubtful) >= MOST_WAITING:
                    await self._change()
                elif self._all_read or is_enough():
                    return
                else:
                    await self._read()

    async def _read(self) -> None:
        row = await anext(self._rows, None)
        if row is None:
            self._all_read = True
            self._changed.set()
        elif row.state is State.POSTED:
            self._put_posted(row)
        else:
            (self._together if self._in_bulk(row) else self._alone).append(row)

    def _put_posted(self, row: Row) -> None:
        if not self._posted:
            self._first_posted_at = _now()
        (self._doubtful if needs_own_call(row) else self._posted).append(row)
        self._changed.set()

    def _hand_out(self, tray: deque[Row], most: int) -> list[Row]:
        if self._closed:
            return []
        rows = self._take(tray, most)
        self._out += len(rows)
        return rows

    def _rest(self, most: int) -> float:
        """Seconds that the rows to be shared may still wait for others."""
        if len(self._posted) >= most or self._is_all_posted:
            return 0.0
        return self._first_posted_at + self._linger - _now()

    def _take_posted(self, most: int) -> list[Row]:
        self._first_posted_at = _now()
        return self._take(self._posted, most)

    def _take(self, tray: deque[Row], most: int) -> list[Row]:
        if tray:  # who finds nothing must not wake others who find nothing
            self._changed.set()
        return [tray.popleft() for _ in range(min(most, len(tray)))]

    async def _change(self, at_most: float | None = None) -> None:
        if self._closed:  # meanwhile, and nothing will change any more
            return
        self._changed.clear()
        await wait_for_event(self._changed, at_most)


def _now() -> float:
    return asyncio.get_running_loop().time()
