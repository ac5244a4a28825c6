"""The way of rows: every row that is still to be sent, through intent → activity → intent → share → accepted.

Alone, or in bulk: activities posted many to a call, shares made many to a call, and nothing else different. Each
row has its intent, its marker and its own ending, as if it went by itself. What a call for many does not say
plainly of a row is looked up; a row that was sent before goes by itself from then on. Bulk calls have a pace of
their own inside the account's, so in the slots that they leave idle rows are posted one by one.

The first row of each activity type goes before the others of it, until one activity is seen to have its owner.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, cast

from batch_share.common import Cause, wait_for_event
from batch_share.errors import OwnerNotVerified
from batch_share.leadsquared.protocol import (
    MOST_ACTIVITIES,
    Done,
    NotSent,
    Refused,
    ShareItem,
    bulk_activity,
    post_activities,
    post_activity,
    read_activity_id,
    read_items,
    read_request_id,
    share_leads,
)
from batch_share.ledger.records import Result, Why
from batch_share.ledger.states import Stage, State
from batch_share.sending.calls import (
    UNDONE,
    Dispatch,
    before_repeating,
    in_doubt,
    is_repeated,
    log_outcome,
    needs_own_call,
    write,
    write_once,
)
from batch_share.sending.guards import TOO_LATE
from batch_share.sending.onlookers import FEW_TOGETHER
from batch_share.sending.session import MOST_AT_ONCE, ending_early, in_parallel
from batch_share.sending.steps import Form, Owners, asked, find_owner_emails, texts_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import datetime

    from batch_share.leadsquared.protocol import Outcome
    from batch_share.ledger.records import Instruction, Row
    from batch_share.sending.session import Session

MOST_REFUSED: Final = 3
"""Bulk calls of one row that may be refused, before the account is taken to have none and rows go one by one."""

SAVED_CALLS: Final = 30
"""What parts save against single rows where a call of 25 failed, for one round more: (25 - 10) shares, each asked
for once."""

MOST_WAITING: Final = 100
"""Rows that may wait for their share before no more are posted: what is begun is finished first.

Also those that may wait to go by themselves, while others that go together are looked for among those to come.
"""


async def send_rows(session: Session) -> None:
    """Send every row that is still to be sent. Returns when all are, or when the work is to end.

    What ended it early is `session.stop.error`.
    """
    session.tally.phase = "sharing"
    if session.settings.bulk and session.memory.account.repeats_harm:
        session.tally.remark(
            "Each share goes in a call of its own: when this account was tried, sharing again by the same activity "
            "did not go well, so no good share of a failed call could be repeated"
        )
    if not session.settings.bulk:
        several = session.share_batch.most > 1
        await Sender(session, session.ledger.to_do(), {} if several else None).send()
        return
    with ending_early(session.stop):
        sender = Sender(session, session.ledger.to_do(), await find_owner_emails(session))
        await sender.send()
        if sender.has_no_way:
            await Sender(session, session.ledger.to_do(), {}).send()


class Sender:
    """Brings rows on their way: each is posted, its owner looked at if it is the first of a kind, and shared.

    Without `owner_emails` they go one by one, by as many `workers` at once (None: as the session has). With them,
    by user Id, shares go several to a call, and so do the activities of these users, if any.
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
        self._queue = Queue(
            self._first_of_each(rows),
            self._can_go_together,
            self._is_suspect,
            self._is_quicker_one_by_one,
            session.polls.is_asking,
            linger=session.pacer.rate.period,
        )
        session.stop.also(self._queue.close)

    async def send(self) -> None:
        """Send them all. Returns when they are sent, or when the work is to end."""
        session = self._session
        if not self._in_bulk:
            await in_parallel(session, self._post_and_share, self._workers)
            return
        # As many as its limit: more could not be under way at once.
        together = min(session.bulk_pacer.rate.limit, MOST_AT_ONCE) if self._owner_emails else 0
        session.polls.take_back, session.tally.repeats.waiting = self._queue.share_again, self._queue.to_share_again
        try:
            async with asyncio.TaskGroup() as group:
                posters = group.create_task(in_parallel(session, self._post_together, together))
                group.create_task(in_parallel(session, self._post_alone))
                group.create_task(in_parallel(session, self._share))
                if await self._queue.all_posted():
                    posters.cancel()  # one waits for a slot that nobody needs any more
        finally:
            session.polls.take_back, session.tally.repeats.waiting = None, tuple
            session.health.returned += sum(self._queue.to_share_again())

    async def _first_of_each(self, rows: AsyncIterator[Row]) -> AsyncIterator[Row]:
        """The rows, in order; those of an activity type whose owners nobody has seen yet are brought on meanwhile.

        By themselves, also in bulk: that one is seen in reads lets rows be looked up of which a bulk call says
        nothing. Each bulk call's first is looked at as well, in `_call_bulk`. Raises OwnerNotVerified,
        TooManyFailures.
        """
        session = self._session
        async for row in rows:
            form = Form.EARLIER if row.state is State.POSTED else Form.SINGLE
            if self._owners.is_proved(row, form) or (form is Form.SINGLE and not self._singles):
                yield row
                continue
            if form is Form.EARLIER:
                stands = row if await self._is_in_time(row) else None
            else:
                stands = await self._post(row)
            if stands is None:
                continue
            try:
                await self._owners.prove(stands, form)
            except OwnerNotVerified as ignored:
                if form is not Form.SINGLE or not self._owner_emails or not ignored.is_anothers:
                    raise
                # Bulk calls name the owner in another way, and may give what this one did not.
                self._ignored, self._singles = ignored, False
                session.memory.keep(ignores_owner=True)
                session.tally.remark(
                    "Activities posted by themselves do not get their user as owner here, so all rows go in bulk "
                    "calls"
                )
                session.guard.check()
            else:
                yield stands

    # ---------------------------------------------------------------------------------------- posted one by one

    async def _post_and_share(self) -> None:
        """Post a row and share it before the next."""
        while (row := await self._queue.next()) is not None:
            stands = row if row.state is State.POSTED else await self._post(row)
            if stands is not None:
                await self._share_together([stands])

    async def _post_alone(self) -> None:
        """Post rows by themselves, those that must and those for which there is a slot that no bulk call uses."""
        unsent = 0
        while (row := await self._queue.to_post_alone(self._may_take_others)) is not None:
            if self._singles:
                self._queue.settle(await self._post(row, if_free=self._can_go_together(row)))
            elif asked(row).user_id not in self._owner_emails:
                await self._give_up(row, Why(Cause.NO_ADDRESS))
                self._queue.settle(None)
            else:
                async with self._session.bulk_pacer.slot():
                    outcome = await self._post_in_bulk([row], alone=True)
                unsent = await self._before_next(outcome, unsent)

    def _may_take_others(self) -> bool:
        """Whether those that could go together may go alone: not before it is known whether they can."""
        return self._singles and (self._owners.are_proved(Form.BULK) or self._refused.total() >= MOST_REFUSED)

    async def _post(self, row: Row, *, if_free: bool = False) -> Row | None:
        """The row with its activity, None when that failed, nobody knows, or it is too late for it."""
        if not await self._is_in_time(row):
            return None
        wanted, texts = asked(row), texts_of(self._session, row)
        call = post_activity(
            lead_id=wanted.lead_id,
            event=wanted.event,
            note=texts.note,
            owner_id=wanted.user_id,
            custom=texts.custom,
        )
        dispatch = Dispatch([row], Stage.ACTIVITY, call, read_activity_id, [texts.marker])
        outcome = await write(self._session, dispatch, if_free=if_free)
        if not isinstance(outcome, Done):
            return None
        return replace(row, state=State.POSTED, stage=None, activity_id=outcome.id)

    # ---------------------------------------------------------------------------------------- posted together

    def _can_go_together(self, row: Row) -> bool:
        """Whether a row may go in a bulk call: its user has an address, it was never sent, its type was seen."""
        wanted = asked(row)
        return (
            wanted.user_id in self._owner_emails
            and not needs_own_call(row)
            and not self._is_refused(wanted.event)
            and (not self._singles or self._owners.is_proved(row, Form.SINGLE))
        )

    def _is_refused(self, event: int) -> bool:
        """Whether bulk calls of this type are refused; if none was ever taken, of any."""
        refused = self._refused[event] if self._owners.are_proved(Form.BULK) else self._refused.total()
        return refused >= MOST_REFUSED

    async def _post_together(self) -> None:
        """Post rows in bulk calls. A slot is waited for only once there are rows: others may need it before."""
        unsent = 0
        while True:
            async with AsyncExitStack() as slot:
                async with self._one_waits:
                    if not await self._queue.has_rows_to_go_together(MOST_ACTIVITIES):
                        return
                    await slot.enter_async_context(self._session.bulk_pacer.slot())
                rows = await self._queue.to_post(MOST_ACTIVITIES)
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
        """Post rows in one call, once, and see each on its way, the first of a type once its owner was seen."""
        due, activities, markers = [], [], []
        for row in rows:
            if not await self._is_in_time(row):
                self._queue.settle(None)
                continue
            wanted, texts = asked(row), texts_of(self._session, row)
            activity = bulk_activity(
                lead_id=wanted.lead_id,
                event=wanted.event,
                note=texts.note,
                owner_email=self._owner_emails[wanted.user_id],
                custom=texts.custom,
            )
            due.append(row)
            activities.append(activity)
            markers.append(texts.marker)
        if not due:
            return ()
        call, read = post_activities(activities), partial(read_items, activities=activities)
        dispatch = Dispatch(due, Stage.ACTIVITY, call, read, markers, bulk=not is_last_way)
        outcome, results = await write_once(self._session, dispatch)
        for row, result in zip(due, results, strict=True):
            if result.state is State.POSTED and result.answer_id:
                stands = replace(row, state=State.POSTED, stage=None, activity_id=result.answer_id)
                if not self._owners.is_proved(stands, Form.BULK):
                    await self._owners.prove(stands, Form.BULK)
                self._queue.settle(stands)
            elif result.state is State.PENDING:
                self._queue.put_back(replace(row, stage=result.stage))
            else:
                self._queue.settle(None)
        return outcome

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

    # ---------------------------------------------------------------------------------------- shared

    async def _share(self) -> None:
        while rows := await self._queue.to_share(self._session.share_batch.most):
            await self._share_together(rows)

    async def _share_together(self, rows: Sequence[Row]) -> bool:
        """Share rows whose activities stand, in their context, in one call; what is refused, in halves.

        So a guilty row ends up alone. Whether all were accepted: then their number may have been to blame.
        """
        session, outcome = self._session, None
        size = session.share_batch.most
        if len(rows) <= size:
            rows = [row for row in rows if await self._is_in_time(row)]
            if rows:
                items = [
                    ShareItem(
                        user_id=asked(row).user_id,
                        entity_id=asked(row).lead_number,
                        context_entity_id=row.activity_id or "",
                        access_type=cast("Literal[1, 2]", asked(row).access),
                        duration_in_minutes=minutes_left(asked(row), session.ledger.now()),
                    )
                    for row in rows
                ]
                markers = [None] * len(rows)
                dispatch = Dispatch(
                    rows, Stage.SHARE, share_leads(*items), partial(read_request_id, of=len(items)), markers
                )
                with session.tally.repeats.sends(len(rows)):
                    outcome = await write(session, dispatch)
            if isinstance(outcome, Done):
                session.share_batch.accepted(len(rows))
                if session.settings.follow_up:
                    session.tally.repeats.under_way[len(rows)] += 1
                    session.polls.add(outcome.id, users=[asked(row).user_id for row in rows])
            if not isinstance(outcome, Refused) or len(rows) == 1:
                return isinstance(outcome, Done)
            size = (len(rows) + 1) // 2
        all_accepted = all([await self._share_together(part) for part in (rows[:size], rows[size:])])
        if all_accepted and outcome is not None:
            session.share_batch.refused(len(rows), size)
        return all_accepted

    def _is_suspect(self, row: Row) -> bool:
        """Whether it would spoil a call for others: every share of its user fails."""
        return self._session.failing.includes(asked(row).user_id)

    def _is_quicker_one_by_one(self, failed: int) -> bool:
        """Whether so many calls that failed are sooner over row by row, where slots are idle: in fewer rounds."""
        session = self._session
        saved = failed * SAVED_CALLS / session.pacer.rate.per_second
        return session.settings.daily_limit is None and saved < session.tally.took

    # ---------------------------------------------------------------------------------------- not at all

    async def _is_in_time(self, row: Row) -> bool:
        """Whether the end of `row` is still to come; else it ends as failed."""
        if minutes_left(asked(row), self._session.ledger.now()) >= 1:
            return True
        await self._give_up(row, Why(Cause.TOO_LATE, {"until": f"{asked(row).until:%Y-%m-%d %H:%M}"}), TOO_LATE)
        return False

    async def _give_up(self, row: Row, why: Why, outcome: str = "failed") -> None:
        """End a row, before a step of it, as failed. Raises TooManyFailures."""
        stage = Stage.ACTIVITY if row.state is State.PENDING else Stage.SHARE
        ending = Result(State.FAILED, outcome, stage=stage, why=why)
        if is_repeated(row):
            ending = in_doubt(ending)
        await self._session.ledger.end(row, ending)
        log_outcome(row, stage, ending)
        self._session.moved(row.state, ending)
        self._session.guard.check()


def minutes_left(asked: Instruction, now: datetime) -> int:
    """How long the share lasts from `now`: to the next whole minute if it has an end."""
    if asked.until is None:
        return asked.duration or 0
    return math.ceil((asked.until - now).total_seconds() / 60)


class Queue:
    """Where the rows of a run wait: to be posted together, to be posted by themselves, to be shared.

    It hands them out to those who post and to those who share. `in_bulk` tells which may be posted together. No I/O
    but the reading of the rows, page by page as they are wanted: however long the sheet is, few rows wait.

    Whoever takes rows to post gives each back, by `settle` or `put_back`. A share call waits for more rows
    while some are being posted, but no longer than `linger` seconds.

    Rows whose request failed with those of others come back, and are shared again in parts; row by row where that
    `is_quicker` and nothing else is left to be sent. One that `is_suspect` is shared by itself. While one's request
    `is_asking`, it comes back by the answer alone, though the ledger may say by then that it is to be shared.
    """

    def __init__(
        self,
        rows: AsyncIterator[Row],
        in_bulk: Callable[[Row], bool],
        is_suspect: Callable[[Row], bool],
        is_quicker: Callable[[int], bool],
        is_asking: Callable[[str | None], bool],
        linger: float,
    ) -> None:
        self._rows = rows
        self._in_bulk = in_bulk
        self._is_suspect = is_suspect
        self._is_quicker = is_quicker
        self._is_asking = is_asking
        self._linger = linger
        self._failed_earlier: dict[str, list[Row]] = {}
        self._came_back: Counter[int] = Counter()
        self._again: deque[list[Row]] = deque()
        self._parts: deque[list[Row]] = deque()
        self._failed_last = 0  # since nothing else is left to be sent
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

    async def next(self) -> Row | None:
        """The next row, for those who bring each to its end; None when there is none, or the work is to end."""
        async with self._turn:
            return None if self._closed else await anext(self._rows, None)

    async def has_rows_to_go_together(self, most: int) -> bool:
        """Wait for rows to be posted together, `most` if so many are there; False once there will be none any more.

        Also when the work is to end. They are left to whoever takes them first.
        """
        while not self._closed:
            await self._fill(most)
            if self._together:
                return True
            if self._is_all_posted:
                break
            await self._change()
        return False

    async def to_post(self, most: int) -> list[Row]:
        """Rows for one bulk call; none where others have taken them, and when the work is to end."""
        await self._fill(most)
        rows = self._take(self._together, most)
        self._out += len(rows)
        return rows

    async def to_post_alone(self, takes_others: Callable[[], bool]) -> Row | None:
        """A row to be posted by itself, None when nobody has a row left to post; also when the work is to end.

        When it `takes_others`, one that could go together where there is none that can't.
        """
        while not self._closed:
            await self._fill(1, 1)
            tray = self._together if takes_others() and not self._alone else self._alone
            if rows := self._take(tray, 1):
                self._out += 1
                return rows[0]
            if self._is_all_posted:
                break
            await self._change()
        return None

    async def to_share(self, most: int) -> list[Row]:
        """Rows for one share call, none when there will be no more; also when the work is to end."""
        while not self._closed:
            if self._doubtful:
                return self._take(self._doubtful, 1)
            if self._again or self._parts:
                return self._take_part()
            now, patience = asyncio.get_running_loop().time(), None
            if self._posted:
                is_full = len(self._posted) >= most or self._is_all_posted
                patience = 0.0 if is_full else self._first_posted_at + self._linger - now
                if patience <= 0:
                    self._first_posted_at = now
                    rows = self._take(self._posted, most)
                    self._doubtful.extend(filter(self._is_suspect, rows))
                    if rows := [row for row in rows if not self._is_suspect(row)]:
                        return rows
                    continue
            elif self._is_all_posted:
                break
            await self._change(patience)
        return []

    def share_again(self, rows: Sequence[Row]) -> None:
        """Rows that were shared in one call, and could not be processed; none if the sheet has none any more."""
        if not rows:
            return
        self._came_back.update(row.id for row in rows)
        self._again.append([*rows])
        self._failed_last += self._is_all_posted and not self._posted
        self._changed.set()

    def to_share_again(self) -> Sequence[int]:
        """The calls in which rows wait to be shared again: of how many each is."""
        return [len(rows) for rows in (*self._again, *self._parts, *self._failed_earlier.values())]

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

    async def _fill(self, together: int, alone: int = MOST_WAITING) -> None:
        """Read on until so many wait to be posted, in either way; but not while many wait for their share."""
        async with self._turn:
            while not self._closed:
                waiting = len(self._posted) + len(self._doubtful) + sum(self.to_share_again())
                if waiting + self._out >= MOST_WAITING:  # those that are out will wait as well
                    self._gather_failed()
                    await self._change()
                elif self._all_read or len(self._together) >= together or len(self._alone) >= alone:
                    return
                elif (row := await anext(self._rows, None)) is None:
                    self._all_read = True
                    self._gather_failed()
                    self._changed.set()
                elif row.id in self._came_back or self._is_asking(row.request_id):
                    continue  # it is on its way again, or will be in a moment: two ways must not take it
                elif row.state is State.POSTED:
                    self._put_posted(row)
                else:
                    (self._together if self._in_bulk(row) else self._alone).append(row)

    def _put_posted(self, row: Row) -> None:
        if not self._posted:
            self._first_posted_at = asyncio.get_running_loop().time()
        if row.cause is Cause.NOT_PROCESSED and row.request_id is not None:
            self._failed_earlier.setdefault(row.request_id, []).append(row)
        else:
            (self._doubtful if needs_own_call(row) else self._posted).append(row)
        self._changed.set()

    def _gather_failed(self) -> None:
        """Of a request that failed in an earlier run the rows came one by one: by now all are likely to be here."""
        for rows in self._failed_earlier.values():
            self.share_again(rows)
        self._failed_earlier.clear()

    def _take_part(self) -> list[Row]:
        """Some of the rows that came back together: suspect ones alone, which leaves the others without blame."""
        if not self._parts:
            rows = self._again.popleft()
            suspects = [row for row in rows if self._is_suspect(row)]
            others = [row for row in rows if row not in suspects]
            is_last = self._is_all_posted and not self._posted
            size = math.ceil(len(others) / FEW_TOGETHER)
            if any(self._came_back[row.id] > 2 for row in others):
                size = 1  # else, as one user after the other becomes suspect, the rest would be shared ever again
            elif suspects:
                size = len(others)
            elif is_last and self._is_quicker(self._failed_last):
                size = 1
            self._parts.extend([row] for row in suspects)
            self._parts.extend(others[at : at + size] for at in range(0, len(others), size or 1))
        self._changed.set()
        return self._parts.popleft()

    def _take(self, tray: deque[Row], most: int) -> list[Row]:
        if self._closed or not tray:  # who finds nothing must not wake others who find nothing
            return []
        self._changed.set()
        return [tray.popleft() for _ in range(min(most, len(tray)))]

    async def _change(self, at_most: float | None = None) -> None:
        if self._closed:  # meanwhile, and nothing will change any more
            return
        self._changed.clear()
        await wait_for_event(self._changed, at_most)
