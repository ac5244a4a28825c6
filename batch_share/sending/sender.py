"""The way of rows: every row that is still to be sent, through intent → activity → intent → share → accepted.

Alone, or in bulk: activities posted many to a call, shares made many to a call, and nothing else different. Each
row has its intent, its marker and its own ending, as if it went by itself. What a call for many does not say
plainly of a row is looked up; a row that was sent before goes by itself from then on. Bulk calls have a pace of
their own inside the account's, so in the slots that they leave idle rows are posted one by one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from batch_share.common import Cause, ascii_lower
from batch_share.errors import OwnerNotVerified
from batch_share.leadsquared.people import ALL_USERS, found_by, read_users
from batch_share.leadsquared.protocol import MOST_ACTIVITIES, Done, NotSent, Refused, post_activities, read_items
from batch_share.ledger.records import Why
from batch_share.ledger.states import Stage, State
from batch_share.sending.calls import UNDONE, Dispatch, before_repeating, consult, write_once
from batch_share.sending.owner import SINGLE, STANDING, Way, is_verified, verify_owners
from batch_share.sending.queue import Queue
from batch_share.sending.session import Form, ending_early, in_parallel
from batch_share.sending.steps import activity_for_bulk, asked, give_up, in_time, post, posted, share
from batch_share.sending.verdict import needs_own_call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from batch_share.leadsquared.people import FoundUser
    from batch_share.leadsquared.protocol import Outcome
    from batch_share.ledger.records import Result, Row
    from batch_share.sending.session import Session


async def find_owner_emails(session: Session) -> dict[str, str]:
    """The address of each user whose rows are to be posted, by user Id; asked anew, for addresses change.

    A user without one, or with one that others have too, is left out: an activity must not go to somebody else.
    Raises as `calls.read`.
    """
    wanted = await session.ledger.users_to_do()
    users = await _users(session, wanted) if wanted else []
    shared_by = Counter(ascii_lower(user.email) for user in users)
    found = {user.id: user.email for user in users if user.active and shared_by[ascii_lower(user.email)] == 1}
    return {user_id: email for user_id, email in found.items() if email and user_id in wanted}


async def _users(session: Session, wanted: set[str]) -> Sequence[FoundUser]:
    """Everybody whom the account lists, and those of `wanted` whom it does not: large accounts leave some out."""
    listed = await consult(session, ALL_USERS, read_users)
    users = listed if isinstance(listed, list) else []
    for user_id in sorted(wanted - {user.id for user in users}):
        found = await consult(session, found_by("user id", user_id), read_users)
        users += [user for user in found if user.id == user_id] if isinstance(found, list) else []
    return users


MOST_REFUSED: Final = 3
"""Bulk calls of one row that may be refused, before the account is taken to have none and rows go one by one."""


class BulkRefused(Exception):
    """Bulk calls are refused whatever row they hold; its text is LeadSquared's."""


class BulkPoster:
    """Posts the activities of many rows in a call. `owner_emails`: e-mail addresses by user Id."""

    def __init__(self, session: Session, owner_emails: dict[str, str]) -> None:
        self._session = session
        self.owner_emails = owner_emails
        self._refused = 0

    def can_post(self, row: Row) -> bool:
        """Whether the row may go in a bulk call: its type is proved, its user has an address, it was never sent."""
        wanted = asked(row)
        is_proved = is_verified(self._session, wanted.event, Form.BULK, wanted.user_id)
        return is_proved and wanted.user_id in self.owner_emails and not needs_own_call(row)

    async def post(
        self, rows: Sequence[Row], *, is_last_way: bool = False
    ) -> tuple[Outcome | tuple[Outcome, ...], list[Result]]:
        """Post them once. Raises as `calls.write`.

        Refused as a whole, they may be sent in another way, unless this is their last.
        """
        made = [activity_for_bulk(self._session, row, self.owner_emails[asked(row).user_id]) for row in rows]
        activities, markers = [activity for activity, _ in made], [marker for _, marker in made]
        read = partial(read_items, activities=activities)
        call = post_activities(activities)
        dispatch = Dispatch(rows, Stage.ACTIVITY, call, read, markers, bulk=not is_last_way)
        return await write_once(self._session, dispatch)

    async def post_first(self, session: Session, row: Row) -> str | None:
        """Post one row in a bulk call of its own; its activity's Id. Raises BulkRefused, and as `calls.write`."""
        outcome, result = await self.post_one(session, row)
        if isinstance(outcome, Refused):
            self._refused += 1
            if self._refused >= MOST_REFUSED:
                raise BulkRefused(outcome.words)
        return result.answer_id

    async def post_one(
        self, session: Session, row: Row, *, is_last_way: bool = False
    ) -> tuple[Outcome | tuple[Outcome, ...], Result]:
        """Post one row in a bulk call of its own, until it is done or refused. Raises as `calls.write`."""
        unsent = 0
        while True:
            async with session.bulk_pacer.slot():
                outcome, [result] = await self.post([row], is_last_way=is_last_way)
            if result.state is not State.PENDING or isinstance(outcome, Refused):
                return outcome, result
            unsent += isinstance(outcome, NotSent)
            await repeat_bulk(session, outcome, unsent)


async def repeat_bulk(session: Session, outcome: Outcome | tuple[Outcome, ...], unsent: int) -> None:
    """Do what must come before rows of a bulk call are sent again, if it was undone in whole or in part."""
    parts = outcome if isinstance(outcome, tuple) else (outcome,)
    undone = next((each for each in parts if isinstance(each, UNDONE)), None)
    if undone is not None:
        await before_repeating(session, undone, unsent, bulk=True)


async def send_in_bulk(session: Session) -> None:
    """Send every row that is still to be sent. Returns when all are, or when the work is to end."""
    with ending_early(session.stop):
        # First by itself: that it is seen in reads lets rows be looked up of which a bulk call says nothing.
        await verify_owners(session, STANDING)
        ignored = await _owner_ignored(session)
        poster = BulkPoster(session, await find_owner_emails(session))
        users = await session.ledger.users_to_do()
        way = Way(Form.BULK, State.PENDING, poster.post_first, users - poster.owner_emails.keys())
        try:
            await verify_owners(session, way)
        except BulkRefused as refused:
            session.tally.remark(f"LeadSquared refuses bulk calls, so activities were posted one by one: {refused}")
        if not is_proved(session, Form.BULK):
            # No row can go in bulk: activities that are posted by themselves must get their owner.
            if ignored is not None:
                raise ignored
            await verify_owners(session, SINGLE)
        session.tally.phase = "sharing"
        await BulkRun(session, poster, singles=not session.memory.account.ignores_owner).send()


async def _owner_ignored(session: Session) -> OwnerNotVerified | None:
    """How an activity that was posted by itself did not get its owner: bulk calls may. None if it did, or may have.

    Raises OwnerNotVerified where the owner can't be read, TooManyFailures where one is too many.
    """
    if session.memory.account.ignores_owner:
        return None
    try:
        await verify_owners(session, SINGLE)
    except OwnerNotVerified as ignored:
        if not ignored.is_anothers:
            raise
        session.memory.keep(ignores_owner=True)
        session.tally.remark(
            "Activities posted by themselves do not get their user as owner here, so all rows go in bulk calls"
        )
        session.guard.check()
        return ignored
    return None


def is_proved(session: Session, form: Form) -> bool:
    """Whether activities of any type were seen to get their owner in this form."""
    return any(known is form for _, known in session.verified)


class BulkRun:
    """The rows of one pass on their way, by three kinds of workers."""

    def __init__(self, session: Session, poster: BulkPoster, *, singles: bool) -> None:
        self._session = session
        self._poster = poster
        self._singles = singles
        rows = session.ledger.to_do()
        self._queue = Queue(rows, poster.can_post, linger=session.pacer.rate.period)
        session.stop.also(self._queue.close)

    async def send(self) -> None:
        """Send them all."""
        session = self._session
        # As many as its limit: more could not be under way at once.
        together = session.bulk_pacer.rate.limit if is_proved(session, Form.BULK) else 0
        async with asyncio.TaskGroup() as group:
            posters = group.create_task(in_parallel(session, self._post_together, together))
            group.create_task(in_parallel(session, self._post_alone))
            group.create_task(in_parallel(session, self._share))
            if await self._queue.all_posted():
                posters.cancel()  # they wait for slots that nobody needs any more

    async def _post_together(self) -> None:
        session, unsent = self._session, 0
        while not session.stop.asked:
            async with session.bulk_pacer.slot():
                rows = await self._queue.to_post(MOST_ACTIVITIES)
                if not rows:
                    return
                rows = [row for row in rows if await self._in_time(row)]
                if not rows:
                    continue
                outcome, results = await self._poster.post(rows)
            for row, result in zip(rows, results, strict=True):
                self._sort(row, result)
            unsent = unsent + 1 if isinstance(outcome, NotSent) else 0
            await repeat_bulk(session, outcome, unsent)

    async def _post_alone(self) -> None:
        while (row := await self._queue.to_post_alone(others=self._singles)) is not None:
            if not await self._in_time(row):
                continue
            activity_id = await self._post_by_itself(row)
            if activity_id is None:
                self._queue.ended()
            else:
                self._queue.posted(posted(row, activity_id))

    async def _post_by_itself(self, row: Row) -> str | None:
        """In a call of its own, or if that would not get its owner in a bulk call of one."""
        session = self._session
        if self._singles:
            return await post(session, row, if_free=self._poster.can_post(row))
        if asked(row).user_id not in self._poster.owner_emails:
            await give_up(session, row, Why(Cause.NO_ADDRESS))
            return None
        _, result = await self._poster.post_one(session, row, is_last_way=True)
        return result.answer_id

    async def _in_time(self, row: Row) -> bool:
        if await in_time(self._session, row):
            return True
        self._queue.ended()
        return False

    def _sort(self, row: Row, result: Result) -> None:
        if result.state is State.POSTED and result.answer_id:
            self._queue.posted(posted(row, result.answer_id))
        elif result.state is State.PENDING:
            self._queue.put_back(replace(row, stage=result.stage))
        else:
            self._queue.ended()

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


async def send_rows(session: Session) -> None:
    """Send every row that is still to be sent. Returns when all are, or when the work is to end.

    What ended it early is `session.stop.error`. Before an activity type is used by many rows, one activity of it is
    posted and its owner read back.
    """
    if session.settings.bulk:
        await send_in_bulk(session)
        return
    with ending_early(session.stop):
        await verify_owners(session, STANDING, SINGLE)
    session.tally.phase = "sharing"
    feed = Feed(session.ledger.to_do())
    await in_parallel(session, lambda: _work(session, feed))


class Feed:
    """The rows to do, handed out one by one to whichever worker asks first."""

    def __init__(self, rows: AsyncIterator[Row]) -> None:
        self._rows = rows
        self._turn = asyncio.Lock()

    async def next(self) -> Row | None:
        """The next row, None when there is none left."""
        async with self._turn:
            return await anext(self._rows, None)


async def _work(session: Session, feed: Feed) -> None:
    while not session.stop.asked and (row := await feed.next()) is not None:
        await _send_row(session, row)


async def _send_row(session: Session, row: Row) -> None:
    if not await in_time(session, row):
        return
    if row.state is not State.POSTED:
        activity_id = await post(session, row)
        if activity_id is None:
            return
        row = posted(row, activity_id)
        if not await in_time(session, row):
            return
    await share(session, [row])
