"""Revoking what was shared before, for rows whose action says so; then, and only then, they are shared.

Each share is revoked in the ledger that made it: there, and nowhere else, is the truth about it. Which ones
stand is asked of the index of runs, and not guessed where it can't be read. A row of which a share can't be taken
back ends as failed: nobody is given access in the place of somebody who has it still.
"""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from batch_share.common import Action, Cause, __version__, utc_now
from batch_share.errors import BatchShareError, CanaryFailed, LedgerError, LedgerLocked
from batch_share.jobs.revoke import Undone, revoke_rows
from batch_share.leadsquared.account import name_of_account
from batch_share.ledger.files import open_ledger, read_ledger
from batch_share.ledger.known import catch_up, check_whole, note_runs, open_history, refresh
from batch_share.ledger.records import Result, Why
from batch_share.ledger.states import Stage, State
from batch_share.logs import log
from batch_share.planning.already_shared import remarking, shares_meant
from batch_share.results.wording import HOW_TO_ADD, spell_row
from batch_share.sending.follow_up import following_up
from batch_share.sending.guards import FailureGuard, Health, call_by_address
from batch_share.sending.onlookers import RevokedEarlier, Tally
from batch_share.sending.polls import Polls
from batch_share.sending.session import Session
from batch_share.sending.steps import asked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence

    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.known import LiveShare
    from batch_share.ledger.records import Row
    from batch_share.ledger.store import Ledger

    Ended = Mapping[int, Row] | BatchShareError
    """The rows of a ledger once their shares were revoked, or why the ledger could not be used."""

_PAGE: Final = 500
_STALE: Final = "The results of another ledger still show shares that were revoked"


class Origin(NamedTuple):
    """Where a share is recorded: a ledger, by its name and its job."""

    ledger: LedgerName
    job: str


@dataclass(frozen=True, slots=True)
class Due:
    """A row that asks for shares to be revoked, its user's or those of all others, and which these are."""

    claim: Row
    shares: Sequence[LiveShare]

    @property
    def is_vain(self) -> bool:
        """Whether there is nothing to revoke, and this is the first to see that."""
        return not self.shares and not self.claim.begun and self.claim.state is not State.SKIPPED

    @property
    def where(self) -> list[str]:
        """The rows that made them; those too that an earlier try named, which did not get to its end."""
        return [*dict.fromkeys([*self.claim.begun, *map(_row_of, self.shares)])]


async def find_due(session: Session, claims: Sequence[Row]) -> list[Due]:
    """Every row with one of these claims, and the shares that stand, or may stand, for it.

    Every ledger of the host that is known is looked at first. Raises HistoryError, LedgerError.
    """
    ledger = session.ledger
    account, host = name_of_account(session.settings), session.client.base_url
    with open_history(session.settings.data_folder) as history:
        check_whole(history)
        for unseen in await catch_up(history, ledger.name, host):
            session.tally.remark(f"{unseen} can't be looked at: what it shared since it last was is not revoked")
        await refresh(history, ledger, account, goes_on=True)
        shares = shares_meant(history, host, [asked(claim) for claim in claims])
        return [Due(claim, meant) for claim, meant in zip(claims, shares, strict=True)]


async def still_due(session: Session, due: Sequence[Due]) -> list[Due]:
    """Those whose row was not sent, now that they were looked up. Raises LedgerError."""
    rows = {row.id: row for row in await _rows(session.ledger, {each.claim.id for each in due})}
    now = [replace(each, claim=rows[each.claim.id]) for each in due]
    return [each for each in now if each.claim.state in {State.PENDING, State.SKIPPED}]


def reported_of(due: Sequence[Due]) -> Iterator[str]:
    """Rows that ask for shares to be revoked and of which none is known, if that was not told before."""
    if nothing := sum(each.is_vain for each in due):
        rows, them = ("row", "it") if nothing == 1 else ("rows", "them")
        yield (
            f"{nothing:,} {rows} with revoke or reassign as Action, and nothing to revoke is known here for "
            f"{them}: {HOW_TO_ADD}"
        )


async def revoked_earlier(session: Session, due: Sequence[Due]) -> RevokedEarlier:
    """What is to be revoked, from whom, and of which sheets. Raises LedgerError for the session's own ledger."""
    shares = sorted({share for each in due for share in each.shares}, key=lambda share: (share.sheet, share.row_id))
    losing = Counter(share.user_id for share in shares)
    known = await session.ledger.known_users()
    for ledger in dict.fromkeys(share.ledger for share in shares if share.user_id not in known):
        with suppress(LedgerError):  # then its users are called by their Ids
            async with read_ledger(ledger) as reader:
                known = await reader.known_users() | known
    names = call_by_address({user: name for user, name in known.items() if user in losing})
    users = {names.get(user, user): count for user, count in losing.most_common()}
    return RevokedEarlier(users, [*dict.fromkeys(share.sheet for share in shares)])


async def revoke_earlier(session: Session, due: Sequence[Due]) -> None:
    """Revoke the shares, wait until that is processed, and say of each row what came of it.

    When the work is to end, rows of which not all is back stay as they are, to go on. Raises LedgerError for the
    session's own ledger.
    """
    session.tally.phase = "revoking earlier shares"
    await _claim(session, due)
    wanted: dict[Origin, set[int]] = defaultdict(set)
    for each in due:
        for share in each.shares:
            wanted[Origin(share.ledger, share.job)].add(share.row_id)
    ends: dict[Origin, Ended] = {}
    for place, row_ids in wanted.items():
        if not session.stop.asked:
            ends[place] = await _revoke_earlier(session, place, row_ids)
    now = {share: _found(share, ends) for each in due for share in each.shares}
    session.tally.revoked_earlier.update(share for share, row in now.items() if row and row.state is State.REVOKED)
    await _answer(session, due, ends)
    if session.stop.asked:
        moving = {share for each in due if asked(each.claim).action is Action.REASSIGN for share in each.shares}
        rows = filter(None, (now[share] for share in moving))
        # Those that were revoked, and those that will have been once LeadSquared gets to it.
        if lost := sum(row.state in {State.REVOKING, State.ENDING, State.REVOKED} for row in rows):
            session.tally.remark(
                f"Shares of leads to be reassigned that are revoked, or being so: {lost:,}. Their new users get "
                "these leads when this sheet is run again, and nobody has them until then"
            )


async def _claim(session: Session, due: Sequence[Due]) -> None:
    """Commit what is about to be revoked: whoever goes on after a kill finds it gone, and must know why."""
    skipped = [each.claim for each in due if each.claim.state is State.SKIPPED]
    await session.ledger.rejudge([(claim, None) for claim in skipped])
    session.moved(State.SKIPPED, Result(State.PENDING, ""), len(skipped))
    begun = {each.claim.id: Why(Cause.REVOKING_EARLIER, {"of": each.where}) for each in due if each.shares}
    for page in _pages({row_id: Result(State.PENDING, "", why=why) for row_id, why in begun.items()}):
        await session.ledger.answer_claims(page)


async def _revoke_earlier(session: Session, place: Origin, row_ids: set[int]) -> Ended:
    """What became of the rows, or why their ledger could not be used. Raises LedgerError of the session's own."""
    if place.ledger == session.ledger.name.resolved():
        if session.settings.follow_up:  # the run's own asks for what is still being processed: once is enough
            with session.tally.waits_for(session.polls.awaited):
                await session.polls.none_left()
        return await _revoke_in(session, session.ledger, session.tally, row_ids)
    try:
        async with _opened(session, place) as (ledger, tally):
            rows = await _revoke_in(session, ledger, tally, row_ids)
            if any(row.state is State.REVOKED for row in rows.values()):
                session.tally.remark(
                    f"{_STALE}: `batch-share results {shlex.quote(str(place.ledger))}` writes them anew"
                )
            return rows
    except BatchShareError as error:
        return error


@asynccontextmanager
async def _opened(session: Session, place: Origin) -> AsyncIterator[tuple[Ledger, Tally]]:
    """Another ledger, open for a run of its own that the index knows. Raises BatchShareError."""
    account = name_of_account(session.settings)
    if not place.ledger.exists():
        raise LedgerError(
            place.ledger, "it is not there any more: put it back, or do anything with it where it is now"
        )
    async with open_ledger(place.ledger) as ledger:
        if (await ledger.facts())["job"] != place.job:
            raise LedgerError(place.ledger, "another ledger has taken its place")
        await ledger.begin_run("revoke", __version__, session.settings.public())
        ended, tally = "cut off", Tally(parent=session.tally)
        with open_history(session.settings.data_folder) as history:
            await note_runs(history, ledger, account, goes_on=True)
            try:
                yield ledger, tally
                ended = "stopped" if session.stop.asked else "done"
            finally:
                await ledger.end_run(ended)
                session.tally.refusals += tally.refusals
            with remarking(session.tally.remark):  # what was revoked is in the ledger, which is the truth
                await refresh(history, ledger, account)


async def _revoke_in(session: Session, ledger: Ledger, tally: Tally, row_ids: set[int]) -> dict[int, Row]:
    """Revoke the shares of these rows of a ledger, each followed to its end; the rows as they are then."""
    values = vars(session) | {"ledger": ledger, "tally": tally, "health": Health()}
    values |= {"polls": Polls(session.settings.wait), "guard": FailureGuard()}
    values["settings"] = session.settings.model_copy(update={"follow_up": True})
    values["given"] = {}  # rows are numbered in each ledger anew
    own = Session(**values)
    found = await _rows(ledger, row_ids)
    waiting = [row.request_id for row in found if row.state is State.ACCEPTED]
    waiting += [row.revoke_id for row in found if row.state is State.ENDING]
    async with following_up(own, dict.fromkeys(filter(None, waiting))):
        await revoke_rows(own, Undone(row_ids=frozenset(row_ids)))
    return {row.id: row for row in await _rows(ledger, row_ids)}


async def _rows(ledger: Ledger, row_ids: Iterable[int]) -> list[Row]:
    ids = sorted(row_ids)
    found: list[Row] = []
    for start in range(0, len(ids), _PAGE):
        found += await ledger.rows_by_id(ids[start : start + _PAGE])
    return found


# ------------------------------------------------------------------------------------------- what came of it


async def check_canary_of(session: Session, due: Sequence[Due]) -> None:
    """Raises CanaryFailed unless everything was revoked for these rows, which go before all others."""
    rows = await _rows(session.ledger, {each.claim.id for each in due})
    bad = next((row for row in rows if row.stage is Stage.EARLIER), None)
    if bad is not None:
        counts = Counter(str(row.state) for row in rows)
        raise CanaryFailed(len(rows), counts, bad.sheet_row, spell_row(bad), str(session.ledger.name))


async def _answer(session: Session, due: Sequence[Due], ends: Mapping[Origin, Ended]) -> None:
    """Commit for each row what came of its claim; where the work was to end first, it stays as it is."""
    results: dict[int, Result] = {}
    for each in due:
        left = [*_not_ended(each, ends)]
        if left and (session.stop.asked or _is_busy(session, each, ends)):
            continue
        results[each.claim.id] = _result(each, left)
    for page in _pages(results):
        await session.ledger.answer_claims(page)
    rows = {each.claim.id: each.claim.sheet_row for each in due}
    for row_id, result in results.items():
        session.moved(State.PENDING, result)
        if result.state is State.FAILED:
            log.info("row failed", row=rows[row_id], step=str(Stage.EARLIER))


def _not_ended(due: Due, ends: Mapping[Origin, Ended]) -> Iterator[dict[str, Any]]:
    """Each share that is not known to have ended, and how the row that made it stands."""
    for share in due.shares:
        found, row = ends.get(Origin(share.ledger, share.job), {}), _found(share, ends)
        if row is not None:
            never_stood = row.state is State.FAILED and row.stage is not Stage.REVOKE
            if row.state is State.REVOKED or never_stood or share.ends_at <= utc_now():
                continue
        if isinstance(found, BatchShareError):
            yield {"of": _row_of(share), "said": str(found).rstrip(".")}
        elif row is None:
            yield {"of": _row_of(share), "said": "it was not revoked"}
        else:
            why = {"cause": row.cause, "details": row.why.details if row.why else None}
            yield {"of": _row_of(share), "state": row.state, "stage": row.stage, **why}


def _row_of(share: LiveShare) -> str:
    return f"{share.sheet} row {share.sheet_row}"


def _found(share: LiveShare, ends: Mapping[Origin, Ended]) -> Row | None:
    """The row that made the share, as it is now; None where its ledger could not be used."""
    found = ends.get(Origin(share.ledger, share.job), {})
    return None if isinstance(found, BatchShareError) else found.get(share.row_id)


def _is_busy(session: Session, due: Due, ends: Mapping[Origin, Ended]) -> bool:
    """Whether a ledger is in use by another process: that passes, so its rows stay to be done."""
    for share in due.shares:
        if isinstance(ends.get(Origin(share.ledger, share.job)), LedgerLocked):
            session.tally.remark(f"{share.ledger} is in use, so rows that revoke its shares wait: run again")
            return True
    return False


def _result(due: Due, left: Sequence[Mapping[str, Any]]) -> Result:
    reassigns = asked(due.claim).action is Action.REASSIGN
    if left:
        why = Why(Cause.EARLIER_NOT_REVOKED, {"reassigns": reassigns, "left": left})
        return Result(State.FAILED, "failed", stage=Stage.EARLIER, why=why)
    taken = {"of": due.where}
    if reassigns:
        notice = Why(Cause.REVOKED_FIRST, taken) if due.where else Why(Cause.NOBODY_ELSE)
        return Result(State.PENDING, "", notice=notice)
    if due.where:
        return Result(State.REVOKED, "", why=Why(Cause.EARLIER_REVOKED, taken))
    return Result(State.SKIPPED, "", why=Why(Cause.NOTHING_KNOWN))


def _pages(results: Mapping[int, Result]) -> Iterator[dict[int, Result]]:
    items = [*results.items()]
    for start in range(0, len(items), _PAGE):
        yield dict(items[start : start + _PAGE])
