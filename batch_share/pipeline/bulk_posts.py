"""Bulk calls: the activities of many rows in one, at their own pace inside the account's."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from batch_share.leadsquared import bulk
from batch_share.leadsquared.outcome import NotSent, Refused
from batch_share.ledger.states import Stage, State
from batch_share.pipeline.calls import UNDONE, Dispatch, before_repeating, write_once
from batch_share.pipeline.owner import Form, is_verified
from batch_share.pipeline.steps import activity_for_bulk, asked
from batch_share.pipeline.verdict import goes_alone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch_share.leadsquared.outcome import Outcome
    from batch_share.ledger.records import Result, Row
    from batch_share.pipeline.session import Session

MOST_REFUSED: Final = 3
"""Bulk calls of one row that may be refused, before the account is taken to have none and rows go one by one."""


class BulkRefused(Exception):
    """Bulk calls are refused whatever row they hold; its text is LeadSquared's."""


class BulkPoster:
    """Posts the activities of many rows in a call. `mailboxes`: e-mail addresses by user Id."""

    def __init__(self, session: Session, mailboxes: dict[str, str]) -> None:
        self._session = session
        self.mailboxes = mailboxes
        self._refused = 0

    def can_post(self, row: Row) -> bool:
        """Whether the row may go in a bulk call: its type is proved, its user has an address, it was never sent."""
        wanted = asked(row)
        is_proved = is_verified(self._session, wanted.event, Form.BULK, wanted.user_id)
        return is_proved and wanted.user_id in self.mailboxes and not goes_alone(row)

    async def post(
        self, rows: Sequence[Row], *, is_last_way: bool = False
    ) -> tuple[Outcome | tuple[Outcome, ...], list[Result]]:
        """Post them once. Raises as `calls.write`.

        Refused as a whole, they may be sent in another way, unless this is their last.
        """
        made = [activity_for_bulk(self._session, row, self.mailboxes[asked(row).user_id]) for row in rows]
        activities, markers = [activity for activity, _ in made], [marker for _, marker in made]
        read = partial(bulk.read_items, activities=activities)
        call = bulk.post_activities(activities)
        dispatch = Dispatch(rows, Stage.ACTIVITY, call, read, markers, bulk=not is_last_way)
        return await write_once(self._session, dispatch)

    async def post_first(self, session: Session, row: Row) -> str | None:
        """Post one row in a bulk call of its own; its activity's Id. Raises BulkRefused, and as `calls.write`."""
        outcome, result = await self.post_one(session, row)
        if isinstance(outcome, Refused):
            self._count_refusal(outcome)
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

    def _count_refusal(self, outcome: Refused) -> None:
        self._refused += 1
        if self._refused >= MOST_REFUSED:
            raise BulkRefused(outcome.words)


async def repeat_bulk(session: Session, outcome: Outcome | tuple[Outcome, ...], unsent: int) -> None:
    """Do what must come before rows of a bulk call are sent again, if it was undone in whole or in part."""
    parts = outcome if isinstance(outcome, tuple) else (outcome,)
    undone = next((each for each in parts if isinstance(each, UNDONE)), None)
    if undone is not None:
        await before_repeating(session, undone, unsent, bulk=True)
