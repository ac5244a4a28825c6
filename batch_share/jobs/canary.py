"""The canary: the first rows of a run, brought to their end before any other is sent."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from batch_share.errors import CanaryFailed, SettingsError
from batch_share.ledger.states import Stage, State
from batch_share.results.wording import spell_row
from batch_share.sending.follow_up import all_followed_up
from batch_share.sending.owner import find_key_user, is_verified, note_proof, verify_owner
from batch_share.sending.session import Form, ending_early
from batch_share.sending.steps import asked, in_time, post, posted, share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch_share.ledger.records import Row
    from batch_share.ledger.store import Ledger
    from batch_share.sending.session import Session


async def send_canary(session: Session, most: int) -> None:
    """Send `most` rows one by one and wait for the status API's word on each; rows shared before count.

    Those of a run that was cut off before it judged them are judged now. What ended it early is
    `session.stop.error`: CanaryFailed if any of them did not get shared.
    """
    ledger = session.ledger
    with ending_early(session.stop):
        rows = await _chosen(ledger, most)
        if not rows:
            return
        await ledger.note_canary(row.id for row in rows)
        await _send(session, [row for row in rows if row.state.is_to_do])
        await all_followed_up(session)
        if session.stop.asked:
            return
        judged = await ledger.rows_by_id([row.id for row in rows])
        await ledger.note_canary(())
        _decide(judged)


async def _chosen(ledger: Ledger, most: int) -> list[Row]:
    """Rows that a run was cut off from judging, then as many more as are missing: accepted ones, fresh ones."""
    chosen = {row.id: row for row in await ledger.canary() if _is_on_its_way(row)}
    shared_before = (await ledger.counts()).get(State.SHARED, 0)
    room = most - shared_before + sum(row.state is State.SHARED for row in chosen.values())
    chosen |= {row.id: row for row in await ledger.accepted_rows(max(0, room - len(chosen)))}
    async for row in ledger.to_do():
        if len(chosen) >= room:
            break
        chosen.setdefault(row.id, row)
    return [*chosen.values()]


def _is_on_its_way(row: Row) -> bool:
    """Whether it is still for a canary to tell: not one that is skipped by now, or whose share was taken back."""
    is_going = row.state.is_to_do or row.state.is_shared or row.state in {State.FAILED, State.UNKNOWN}
    return is_going and row.stage is not Stage.REVOKE


async def _send(session: Session, rows: Sequence[Row]) -> None:
    if rows and session.settings.bulk and session.memory.account.ignores_owner:
        raise SettingsError("canary", "rows posted by themselves do not get their user as owner here: run without")
    session.tally.phase = "sending the canary"
    key_user_id = await find_key_user(session) if rows else ""
    for row in rows:
        if session.stop.asked:
            return
        await _send_row(session, row, key_user_id)


async def _send_row(session: Session, row: Row, key_user_id: str) -> None:
    """Post it, check its owner unless that was proved for its type, and share it."""
    if not await in_time(session, row):
        return
    form = Form.EARLIER if row.state is State.POSTED else Form.SINGLE
    if form is Form.SINGLE:
        activity_id = await post(session, row)
        if activity_id is None:
            return
        row = posted(row, activity_id)
    await _check_owner(session, row, form, key_user_id)
    if await in_time(session, row):
        await share(session, [row])


async def _check_owner(session: Session, row: Row, form: Form, key_user_id: str) -> None:
    wanted = asked(row)
    if is_verified(session, wanted.event, form, wanted.user_id):
        return
    await verify_owner(session, row, wanted, row.activity_id or "")
    note_proof(session, wanted.event, form, wanted.user_id, key_user_id)


def _decide(rows: Sequence[Row]) -> None:
    """Raises CanaryFailed unless all are shared."""
    bad = next((row for row in rows if row.state is not State.SHARED), None)
    if bad is not None:
        counts = Counter(str(row.state) for row in rows)
        raise CanaryFailed(len(rows), dict(counts), bad.sheet_row, spell_row(bad) or f"it is {bad.state}")
