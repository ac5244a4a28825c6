"""The way of rows: every row that is still to be sent, through intent → activity → intent → share → accepted.

Alone, or in bulk: activities posted many to a call, shares made many to a call, and nothing else different. Each
row has its intent, its marker and its own ending, as if it went by itself. What a call for many does not say
plainly of a row is looked up; a row that was sent before goes by itself from then on. Bulk calls have a pace of
their own inside the account's, so in the slots that they leave idle rows are posted one by one.

The first row of each activity type goes before the others of it, until one activity is seen to have its owner.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from batch_share.common import Cause, wait_for_event
from batch_share.errors import OwnerNotVerified
from batch_share.leadsquared import bulk
from batch_share.leadsquared.outcome import Done, NotSent, Refused
from batch_share.ledger.records import Why
from batch_share.ledger.states import State
from batch_share.sending.calls import UNDONE, before_repeating
from batch_share.sending.owner import Owners, find_owner_emails
from batch_share.sending.session import Form, ending_early, in_parallel
from batch_share.sending.steps import asked, give_up, in_time, post, post_together, posted, share
from batch_share.sending.verdict import needs_own_call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from batch_share.leadsquared.outcome import Outcome
    from batch_share.ledger.records import Row
    from batch_share.sending.session import Session

MOST_REFUSED: Final = 3
"""Bulk calls of one row that may be refused, before the account is taken to have none and rows go one by one."""

MOST_WAITING: Final = 100
"""Rows that may wait for their share before no more are posted: what is begun is finished first.

Also those that may wait to go by themselves, while others that go together are looked for among those to come.
"""


async def send_rows(session: Session) -> None:
    """Send every row that is still to be sent. Returns when all are, or when the work is to end.

    What ended it early is `session.stop.error`.
    """
    session.tally.phase = "sharing"
    if not session.settings.bulk:
        await Sender(session, session.ledger.to_do()).send()
        return
    with ending_early(session.stop):
        sender = Sender(session, session.ledger.to_do(), await find_owner_emails(session))
        await sender.send()
        if sender.has_no_way:
            await Sender(session, session.ledger.to_do(), {}).send()


class Sender:
    """Brings rows on their way: each is posted, its owner looked at if it is the first of a kind, and shared.

    Without `owner_emails` they go one by one, by as many `workers` at once (None: as the session has). With them,
    by user Id, shares go many to a call, and so do the activities of these users.
    """

    def __init__(
        self,
        session: Session,
        rows: AsyncIterator[Row],
        owner_emails: Mapping[str, str] | None = None,
        *,
        workers: int | None = None,
    ) -> None:
        self._session = session
        self._owner_emails = owner_emails or {}
        self._in_bulk = owner_emails is not None
        self._workers = workers
        self._owners = Owners(session)
        self._one_proves, self._one_waits = asyncio.Lock(), asyncio.Lock()
        self._refused: Counter[int] = Counter()
        self._ignored: OwnerNotVerified | None = None
        self._singles = not (self._owner_emails and session.memory.account.ignores_owner)
        self.has_no_way = False
        """No bulk call was taken, and single ones were not tried: in an earlier run they got no owner."""
        self._queue = Queue(self._first_of_each(rows), self._can_go_together, linger=session.pacer.rate.period)
        session.stop.also(self._queue.close)

    async def send(self) -> None:
        """Send them all. Returns when they are sent, or when the work is to end."""
        session = self._session
        if not self._in_bulk:
            await in_parallel(session, self._send_alone, self._workers)
            return
        # As many as its limit: more could not be under way at once.
        together = session.bulk_pacer.rate.limit if self._owner_emails else 0
        async with asyncio.TaskGroup() as group:
            posters = group.create_task(in_parallel(session, self._post_together, together))
            group.create_task(in_parallel(session, self._post_alone))
            group.create_task(in_parallel(session, self._share))
            if await self._queue.all_posted():
                posters.cancel()  # one waits for a slot that nobody needs any more

    async def _first_of_each(self, rows: AsyncIterator[Row]) -> AsyncIterator[Row]:
        """The rows, in order; those of an activity type whose owners nobody has seen yet are brought on meanwhile.

        By themselves, also in bulk: that one is seen in reads lets rows be looked up of which a bulk call says
        nothing. Each bulk call's first is looked at as well, in `_post_in_bulk`.
        """
        async for row in rows:
            form = Form.EARLIER if row.state is State.POSTED else Form.SINGLE
            if self._owners.is_proved(row, form) or (form is Form.SINGLE and not self._singles):
                yield row
            elif await in_time(self._session, row):
                stands = row if form is Form.EARLIER else await post(self._session, row)
                if stands is not None and await self._has_owner(stands, form):
                    yield stands

    async def _has_owner(self, row: Row, form: Form) -> bool:
        """Whether the activity of `row` has its user as owner; False if bulk calls may give what this one did not.

        Raises OwnerNotVerified, TooManyFailures.
        """
        try:
            await self._owners.prove(row, form)
        except OwnerNotVerified as ignored:
            if form is not Form.SINGLE or not self._owner_emails or not ignored.is_anothers:
                raise
            self._ignored, self._singles = ignored, False
        else:
            return True
        self._session.memory.learn_owner(ignored=True)
        self._session.tally.remark(
            "Activities posted by themselves do not get their user as owner here, so all rows go in bulk calls"
        )
        self._session.guard.check()
        return False

    # ---------------------------------------------------------------------------------------- one by one

    async def _send_alone(self) -> None:
        """Post a row and share it before the next."""
        while (row := await self._queue.next()) is not None:
            if row.state is State.POSTED:
                await self._share_together([row])
            elif await in_time(self._session, row) and (stands := await post(self._session, row)) is not None:
                await self._share_together([stands])

    async def _post_alone(self) -> None:
        """Post rows by themselves, those that must and those for which there is a slot that no bulk call uses."""
        session, unsent = self._session, 0
        while (row := await self._queue.to_post_alone(self._may_take_others)) is not None:
            if not await in_time(session, row):
                self._queue.settle(None)
            elif self._singles:
                self._queue.settle(await post(session, row, if_free=self._can_go_together(row)))
            elif asked(row).user_id not in self._owner_emails:
                await give_up(session, row, Why(Cause.NO_ADDRESS))
                self._queue.settle(None)
            else:
                async with session.bulk_pacer.slot():
                    outcome = await self._post_in_bulk([row], alone=True)
                unsent = await self._before_next(outcome, unsent)

    def _may_take_others(self) -> bool:
        """Whether those that could go together may go alone: not before it is known whether they can."""
        return self._singles and (self._owners.are_proved(Form.BULK) or self._refused.total() >= MOST_REFUSED)

    # ---------------------------------------------------------------------------------------- many to a call

    def _can_go_together(self, row: Row) -> bool:
        """Whether a row may go in a bulk call: its user has an address, it was never sent, its type was seen."""
        wanted = asked(row)
        return (
            wanted.user_id in self._owner_emails
            and not needs_own_call(row)
            and not self._is_refused(wanted.event)
            and (not self._singles or self._owners.is_proved(row, Form.SINGLE))
        )

    async def _post_together(self) -> None:
        """Post rows in bulk calls. A slot is waited for only once there are rows: others may need it before."""
        unsent = 0
        while True:
            async with AsyncExitStack() as slot:
                async with self._one_waits:
                    if not await self._queue.has_rows_to_go_together(bulk.MOST):
                        return
                    await slot.enter_async_context(self._session.bulk_pacer.slot())
                rows = await self._queue.to_post(bulk.MOST)
                outcome = await self._post_in_bulk(rows)
            unsent = await self._before_next(outcome, unsent)

    async def _before_next(self, outcome: Outcome | tuple[Outcome, ...], unsent: int) -> int:
        """Do what must come before another bulk call, if one was undone, be it in part; how many were not sent."""
        unsent = unsent + 1 if isinstance(outcome, NotSent) else 0
        parts = outcome if isinstance(outcome, tuple) else (outcome,)
        undone = next((each for each in parts if isinstance(each, UNDONE)), None)
        if undone is not None:
            await before_repeating(self._session, undone, unsent, bulk=True)
        return unsent

    async def _post_in_bulk(self, rows: Sequence[Row], *, alone: bool = False) -> Outcome | tuple[Outcome, ...]:
        """Post rows in a call; one of them alone, and the others later, while no owner of its type was seen.

        What is refused as a whole may be sent in another way, but for a row that must go `alone`.
        """
        is_last_way = alone and self._owners.are_proved(Form.BULK)
        if all(self._owners.is_proved(row, Form.BULK) for row in rows):
            return await self._call_bulk(rows, is_last_way=is_last_way)
        async with self._one_proves:
            fit = [row for row in rows if alone or self._can_go_together(row)]
            first = [row for row in fit if not self._owners.is_proved(row, Form.BULK)][:1]
            for row in reversed(rows):
                if row not in (first or fit):
                    self._queue.put_back(row)
            if first:
                outcome = await self._call_bulk(first, is_last_way=is_last_way)
                if isinstance(outcome, Refused):
                    self._count_refused(asked(first[0]).event, outcome.words)
                return outcome
        # All were seen meanwhile: nobody waits for this call, which may take long.
        return await self._call_bulk(fit, is_last_way=is_last_way)

    async def _call_bulk(self, rows: Sequence[Row], *, is_last_way: bool) -> Outcome | tuple[Outcome, ...]:
        due = [row for row in rows if await in_time(self._session, row)]
        for _ in range(len(rows) - len(due)):
            self._queue.settle(None)
        if not due:
            return ()
        outcome, results = await post_together(self._session, due, self._owner_emails, is_last_way=is_last_way)
        for row, result in zip(due, results, strict=True):
            if result.state is State.POSTED and result.answer_id:
                stands = posted(row, result.answer_id)
                if not self._owners.is_proved(stands, Form.BULK):
                    await self._owners.prove(stands, Form.BULK)
                self._queue.settle(stands)
            elif result.state is State.PENDING:
                self._queue.put_back(replace(row, stage=result.stage))
            else:
                self._queue.settle(None)
        return outcome

    def _is_refused(self, event: int) -> bool:
        """Whether bulk calls of this type are refused; if none was ever taken, of any."""
        refused = self._refused[event] if self._owners.are_proved(Form.BULK) else self._refused.total()
        return refused >= MOST_REFUSED

    def _count_refused(self, event: int, words: str) -> None:
        """A bulk call of one row was refused: after some, the others like it go by themselves.

        Raises OwnerNotVerified where those would not get their owner.
        """
        was_refused = self._is_refused(event)
        self._refused[event] += 1
        if was_refused or not self._is_refused(event):
            return
        self._session.tally.remark(f"LeadSquared refuses bulk calls, so activities were posted one by one: {words}")
        self._queue.sort_anew()
        if self._singles or self._owners.are_proved(Form.BULK):
            return
        if self._ignored is not None:
            raise self._ignored
        self.has_no_way = True
        self._queue.close()

    # ---------------------------------------------------------------------------------------- sharing

    async def _share(self) -> None:
        while rows := await self._queue.to_share(self._session.share_batch.most):
            await self._share_together(rows)

    async def _share_together(self, rows: Sequence[Row]) -> bool:
        """Share them in one call; a call that is refused, in halves, so that a guilty row ends up alone.

        Whether all were accepted: then their number may have been to blame.
        """
        session = self._session
        if len(rows) > (most := session.share_batch.most):
            return await self._share_parts([rows[:most], rows[most:]])
        rows = [row for row in rows if await in_time(session, row)]
        outcome = await share(session, rows) if rows else None
        if isinstance(outcome, Done):
            session.share_batch.accepted(len(rows))
        if not isinstance(outcome, Refused) or len(rows) == 1:
            return isinstance(outcome, Done)
        half = (len(rows) + 1) // 2
        all_accepted = await self._share_parts([rows[:half], rows[half:]])
        if all_accepted:
            session.share_batch.refused(len(rows), half)
        return all_accepted

    async def _share_parts(self, parts: Sequence[Sequence[Row]]) -> bool:
        return all([await self._share_together(part) for part in parts])


class Queue:
    """Where the rows of a run wait: to be posted together, to be posted by themselves, to be shared.

    It hands them out to those who post and to those who share. `in_bulk` tells which may be posted together. No I/O
    but the reading of the rows, page by page as they are wanted: however long the sheet is, few rows wait.

    Whoever takes rows to post gives each back, by `settle` or `put_back`. A share call waits for more rows
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

    async def has_rows_to_go_together(self, most: int) -> bool:
        """Wait for rows to be posted together, `most` if so many are there; False once there will be none any more.

        Also when the work is to end. They are left to whoever takes them first.
        """
        while not self._closed:
            await self._look_for(most)
            if self._together:
                return True
            if self._is_all_posted:
                break
            await self._change()
        return False

    async def to_post(self, most: int) -> list[Row]:
        """Rows for one bulk call; none where others have taken them, and when the work is to end."""
        await self._look_for(most)
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

    async def next(self) -> Row | None:
        """The next row, for those who bring each to its end; None when there is none, or the work is to end."""
        async with self._turn:
            return None if self._closed else await anext(self._rows, None)

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

    def settle(self, row: Row | None) -> None:
        """A row that was taken has its activity by now; None: it goes no further in this run."""
        self._out -= 1
        if row is not None:
            self._put_posted(row)
        self._changed.set()

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

    def close(self) -> None:
        """Hand out no more."""
        self._closed = True
        self._changed.set()

    @property
    def _is_all_posted(self) -> bool:
        return self._all_read and not (self._together or self._alone or self._out)

    async def _look_for(self, most: int) -> None:
        await self._fill(lambda: len(self._together) >= most or len(self._alone) >= MOST_WAITING)

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
