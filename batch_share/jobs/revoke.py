"""Revoking shares: those that a run made, to undo it, and earlier ones for rows whose action asks for that.

https://apidocs.leadsquared.com/revoke-access-to-a-shared-lead/. Access is granted for each activity, so nothing is
taken away but what the ledger gave that made the share: there, and nowhere else, is the truth about it. A row is
shared after a `reassign` only once all others are known to have lost its lead: `reassign` is revoke, then share.
"""

from __future__ import annotations

import asyncio
import shlex
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from batch_share.common import Action, Cause, ascii_lower, plural
from batch_share.errors import BatchShareError, LedgerError, LedgerLocked, SettingsError, check_not_empty
from batch_share.jobs.job import Choice, Due, Kind, noted, preview_of
from batch_share.leadsquared.account import name_of_account
from batch_share.leadsquared.protocol import Done, ShareItem, read_request_id, revoke_share
from batch_share.ledger.files import open_ledger, read_ledger
from batch_share.ledger.known import catch_up, check_whole, note_runs, open_history, refresh
from batch_share.ledger.queries import TO_BE_REVOKED
from batch_share.ledger.records import Result, Row, Why
from batch_share.ledger.states import Stage, State
from batch_share.logs import log
from batch_share.planning.already_shared import shares_meant
from batch_share.results.wording import (
    HALF_REASSIGNED,
    LEDGER_IN_USE,
    NOT_LOOKED_AT,
    NOTHING_TO_REVOKE,
    STALE_RESULTS,
    named_in_commands,
    spell_losing,
    spell_revoking,
)
from batch_share.sending.calls import Dispatch, write
from batch_share.sending.follow_up import Polls, all_followed_up, following_up
from batch_share.sending.guards import FailureGuard, Health, call_by_address
from batch_share.sending.onlookers import RevokedEarlier, Tally
from batch_share.sending.session import ending_early, in_parallel
from batch_share.sending.steps import asked
from batch_share.sheet.rows import Selection
from batch_share.sheet.values import check_seen

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from typing import Literal

    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.known import LiveShare
    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Share
    from batch_share.ledger.store import Ledger
    from batch_share.sending.session import Session
    from batch_share.settings import Settings

    Became = Mapping[LiveShare, Row | BatchShareError | None]
    """The row that made each share as it is now, or why its ledger could not be used; None: it was not come to."""

PASSES: Final = 3
"""Times that a share is revoked whose revocation was not answered: once too often does no harm."""

_PAGE: Final = 500

_LOST: Final = (State.UNKNOWN, State.POSTED)
"""Where a row stands whose share may have been made, its answer lost: unknown, or to be shared again."""


@dataclass(frozen=True, slots=True)
class Undone:
    """Which shares to revoke: those of the rows in `ranges` (none: all) and of `user_ids` (None: all).

    With `row_ids`, only those of the rows that have them in the ledger.
    """

    ranges: tuple[tuple[int, int], ...] = ()
    user_ids: frozenset[str] | None = None
    row_ids: frozenset[int] | None = None

    @classmethod
    async def find(cls, ledger: LedgerReader, rows: str | None, user: str | None) -> Undone:
        """From the options' words (None: all). Raises SettingsError, also if they choose no row, as a slip does."""
        chosen, user_ids = Selection.parse(None, rows, ()), None
        if user is not None:
            check_not_empty("user", user)
            wanted = ascii_lower(user.strip())
            try:
                check_seen(wanted)
            except ValueError as unseen:
                raise SettingsError("user", str(unseen)) from None
            known = [(id_, email) for id_, (_, email) in (await ledger.known_users()).items() if id_]
            known += [(row.user_id, "") for row in await ledger.shared_rows()]
            user_ids = frozenset(id_ for id_, email in known if wanted in {ascii_lower(id_), ascii_lower(email)})
            if not user_ids:
                raise SettingsError(
                    "user", f"no row of this ledger is of a user with the Id or e-mail address {user}"
                )
        if chosen and not (await ledger.numbers(chosen.ranges, user_ids))[0]:
            whose = "the user's" if user is not None else "the ledger's"
            of_none = chosen.none_of(*await ledger.numbers(user_ids=user_ids), whose)
            raise SettingsError("rows", f"{chosen} {of_none}", problem=f"The choice of rows {of_none}.")
        return cls(chosen.ranges, user_ids)

    def of(self, rows: Iterable[Share], now: dt.datetime) -> tuple[list[Share], int]:
        """Of these rows the ones whose share is to be revoked, and how many others have ended by themselves."""
        meant = [
            row
            for row in rows
            if (self.row_ids is None or row.row_id in self.row_ids)
            and (self.user_ids is None or row.user_id in self.user_ids)
            # Rows that the sheet lost have no number any more.
            and (not self.ranges or (row.is_in_sheet and any(a <= row.sheet_row <= b for a, b in self.ranges)))
        ]
        standing = [row for row in meant if row.ends_at is None or row.ends_at > now]
        return standing, len(meant) - len(standing)


class Losing(NamedTuple):
    """A user who loses `shares` shares: the `user_id`, and `name` and `email` if a look-up told them."""

    user_id: str
    name: str
    email: str
    shares: int


@dataclass(frozen=True, slots=True)
class Revocation:
    """What `revoke` would revoke: so many `shares`, of whom (`users`, who loses most first).

    Of them LeadSquared is still `processing` some, and `doubtful` ones may be live or not. Others that were meant
    have `ended` by themselves, and are left alone.
    """

    users: Sequence[Losing]
    processing: int
    doubtful: int
    ended: int

    @property
    def shares(self) -> int:
        """All of them."""
        return sum(each.shares for each in self.users)


async def would_revoke(name: LedgerName, rows: str | None, user: str | None) -> Revocation:
    """What a Revoke would do now. Raises LedgerError; SettingsError for a choice of no row or user of it."""
    async with read_ledger(name) as ledger:
        undone, standing = await Undone.find(ledger, rows, user), await ledger.shared_rows()
        chosen, ended = undone.of(standing, ledger.now())
        losing = [*chosen, *_begun(standing, {row.row_id for row in chosen})]
        known = await ledger.known_users()
        return Revocation(
            [
                Losing(user_id, *known.get(user_id, ("", "")), shares)
                for user_id, shares in Counter(row.user_id for row in losing).most_common()
            ],
            processing=sum(row.state is State.ACCEPTED for row in chosen),
            doubtful=sum(row.doubtful or row.state is State.FAILED for row in losing),
            ended=ended,
        )


def _begun(standing: Iterable[Share], chosen: Collection[int]) -> list[Share]:
    """Those of the others that an earlier revocation began with, and this one goes on with."""
    return [row for row in standing if row.state is State.TO_REVOKE and row.row_id not in chosen]


class Revoke(Kind):
    """Revoke what the rows of a ledger shared: all, those with these numbers, those of this user.

    Shares that have ended are left alone.
    """

    command = "revoke"
    guarded = posts = False

    def __init__(self, ledger: LedgerName, rows: str | None = None, user: str | None = None) -> None:
        super().__init__(ledger)
        self.rows, self.user = rows, user

    async def check(self, ledger: Ledger, settings: Settings) -> None:
        """Which rows are meant. Raises SettingsError, also if there are none such."""
        await super().check(ledger, settings)
        self.undone = await Undone.find(ledger, self.rows, self.user)

    async def choose(self, session: Session, cut_off: int) -> Choice:
        """Those whose share stands, or may, and has not ended by itself."""
        ledger = session.ledger
        standing = await ledger.shared_rows()
        chosen, ended = self.undone.of(standing, ledger.now())
        ids = frozenset(row.row_id for row in chosen)
        fresh = [row for row in chosen if row.state is not State.TO_REVOKE]
        to_do = {State.TO_REVOKE: (await ledger.counts()).get(State.TO_REVOKE, 0) + len(fresh)}
        preview = await preview_of(session, cut_off, to_do=to_do, events=0, deed="revoke")
        session.tally.begin(await ledger.counts(shares=True))
        known = await ledger.known_users()
        begun = _begun(standing, ids)
        unsent = preview.states.get(State.PENDING, 0) + preview.states.get(State.POSTED, 0)
        counts = {
            "processing": sum(row.state is State.ACCEPTED for row in chosen),
            "doubtful": sum(row.doubtful or row.state is State.FAILED for row in fresh),
            "ended": ended,
            "unsent": unsent - sum(row.state is State.POSTED for row in chosen),
        }
        losing = (spell_losing(chosen, known), spell_losing(begun, known))
        reported = spell_revoking(*losing, counts, waits=session.settings.follow_up)
        return Choice(replace(preview, reported=reported), ids | {row.row_id for row in begun})

    async def work(self, session: Session, due: Sequence[Due]) -> None:  # noqa: ARG002 - as every Kind
        """Revoke them."""
        await revoke_rows(session, self.undone)


async def revoke_rows(session: Session, undone: Undone) -> None:
    """Revoke the shares, those first of an earlier run that did not end; what is not answered once more.

    What is still being processed as a share is waited for: a share may not overtake its revocation. So is the grace
    of one whose answer was lost just now, since its call may still be on its way.
    """
    ledger, follows_up = session.ledger, session.settings.follow_up
    if follows_up:
        await all_followed_up(session)
    chosen, _ = undone.of(await ledger.shared_rows(), ledger.now())
    grace = session.settings.grace
    lost = [each.changed_at for each in chosen if each.state in _LOST and each.request_id is None]
    if (since := max(filter(None, lost), default=None)) is not None:
        session.tally.phase = "waiting for shares whose answer was lost"
        # A clock that was set back makes the loss look later than now.
        await session.stop.sleep(min(grace - (ledger.now() - since).total_seconds(), grace))
        if session.stop.asked:  # once they are to be revoked, nobody would wait for the rest of it
            return
    session.tally.phase = "revoking"

    async def work() -> None:
        while not session.stop.asked:
            async with turn:
                row = await anext(rows, None)
            if row is None:
                return
            if undone.row_ids is not None and row.id not in undone.row_ids:
                continue  # what somebody stopped is not gone on with
            wanted = asked(row)
            item = ShareItem(
                user_id=wanted.user_id,
                entity_id=wanted.lead_number,
                context_entity_id=row.activity_id or "",
                access_type=cast("Literal[1, 2]", wanted.access),
            )
            call = Dispatch([row], Stage.REVOKE, revoke_share(item), read_request_id, [None])
            outcome = await write(session, call)
            if isinstance(outcome, Done) and follows_up:
                session.polls.add(outcome.id)

    turn = asyncio.Lock()
    for _ in range(PASSES):
        with ending_early(session.stop):
            fresh = [row for row in chosen if row.state is not State.TO_REVOKE]
            await ledger.undo([row.row_id for row in fresh], {row.row_id for row in fresh if row.doubtful})
            for row in fresh:
                session.tally.moved(row.state, State.TO_REVOKE)
        rows = ledger.in_order(TO_BE_REVOKED, by_id=True)
        await in_parallel(session, work)
        left, _ = undone.of(await ledger.shared_rows(), ledger.now())
        chosen = [row for row in left if row.state is State.UNKNOWN]  # those not answered, and so not revoked
        if session.stop.asked or not chosen:
            return


# ------------------------------------------------------------------------------------------ for rows with an action


async def find_due(session: Session, claims: Sequence[Row]) -> tuple[Sequence[Due], Sequence[str], RevokedEarlier]:
    """The shares that are revoked first for rows with a claim, what is to be told of them, and who loses what.

    Every ledger of the host that is known is looked at first. Raises HistoryError, LedgerError.
    """
    ledger, host = session.ledger, session.client.base_url
    settings = session.settings
    with open_history(settings.data_folder, ledger.name, settings.store) as history:
        check_whole(history)
        for unseen in await catch_up(history, ledger.name, host):
            session.tally.remark(NOT_LOOKED_AT.format(ledger=unseen))
        await refresh(history, ledger, name_of_account(session.settings), goes_on=True)
        meant = shares_meant(history, host, [asked(claim) for claim in claims], ledger.now())
        due = [Due(claim, shares) for claim, shares in zip(claims, meant, strict=True)]
    reported = []
    # Of those that are skipped it was told before.
    if vain := sum(not (each.where or each.claim.state is State.SKIPPED) for each in due):
        them = "it" if vain == 1 else "them"
        reported.append(NOTHING_TO_REVOKE.format(rows=plural(vain, "row"), them=them))
    shares = sorted({share for each in due for share in each.shares}, key=lambda share: (share.sheet, share.row_id))
    losing = Counter(share.user_id for share in shares)
    known = await ledger.known_users()
    for name in dict.fromkeys(share.ledger for share in shares if share.user_id not in known):
        with suppress(LedgerError):  # then its users are called by their Ids
            async with read_ledger(name) as reader:
                known = await reader.known_users() | known
    names = call_by_address({user: name for user, name in known.items() if user in losing})
    users = {names.get(user, user): count for user, count in losing.most_common()}
    return due, reported, RevokedEarlier(users, [*dict.fromkeys(share.sheet for share in shares)])


async def revoke_earlier(session: Session, due: Sequence[Due]) -> None:
    """Revoke the shares, each in the ledger that made it and as `revoke` does, and say of each row what came of it.

    When the work is to end, rows of which not all is revoked stay as they are, to go on. Raises LedgerError for the
    session's own ledger.
    """
    session.tally.phase = "revoking earlier shares"
    skipped = [each.claim for each in due if each.claim.state is State.SKIPPED]
    await session.ledger.rejudge([(claim, None) for claim in skipped])
    session.moved(State.SKIPPED, Result(State.PENDING, ""), len(skipped))
    # Committed first: whoever goes on after a kill finds the shares gone, and must know why.
    begun = {each.claim.id: Why(Cause.REVOKING_EARLIER, {"of": each.where}) for each in due if each.shares}
    await _note(session.ledger, {row_id: Result(State.PENDING, "", why=why) for row_id, why in begun.items()})
    made: dict[tuple[LedgerName, str], set[LiveShare]] = defaultdict(set)
    for each in due:
        for share in each.shares:
            made[share.ledger, share.job].add(share)
    became: dict[LiveShare, Row | BatchShareError | None] = {}
    for (name, job), shares in made.items():
        if not session.stop.asked:
            found = await _revoke_in(session, name, job, {share.row_id for share in shares})
            for share in shares:
                became[share] = found if isinstance(found, BatchShareError) else found.get(share.row_id)
    rows = {share: row for share, row in became.items() if isinstance(row, Row)}
    session.tally.revoked_earlier.update(share for share, row in rows.items() if row.state is State.REVOKED)
    await _answer(session, due, became)
    if session.stop.asked:
        moving = {share for each in due if asked(each.claim).action is Action.REASSIGN for share in each.shares}
        # Those that were revoked, and those that will have been once LeadSquared gets to it.
        gone = {State.REVOKING, State.ENDING, State.REVOKED}
        if lost := sum(row.state in gone for share, row in rows.items() if share in moving):
            session.tally.remark(HALF_REASSIGNED.format(shares=lost))


async def _revoke_in(
    session: Session, name: LedgerName, job: str, row_ids: set[int]
) -> Mapping[int, Row] | BatchShareError:
    """What became of these rows of a ledger, or why it can't be used. Raises LedgerError of the session's own."""
    if name == session.ledger.name.resolved():
        if session.settings.follow_up:  # the run's own asks for what is still being processed: once is enough
            with session.tally.waits_for(session.polls.awaited):
                await session.polls.none_left()
        return await _followed(session, session.ledger, session.tally, row_ids)
    tally = Tally(parent=session.tally)
    try:
        if not name.exists():
            raise LedgerError(name, "it is not there any more: put it back, or do anything with it where it is now")
        async with open_ledger(name) as ledger:
            if (await ledger.facts()).job != job:
                raise LedgerError(name, "another ledger has taken its place")
            async with noted(replace(session, ledger=ledger, tally=tally), Revoke):
                with open_history(session.settings.data_folder) as history:
                    await note_runs(history, ledger, name_of_account(session.settings), goes_on=True)
                rows = await _followed(session, ledger, tally, row_ids)
    except BatchShareError as error:
        return error
    finally:
        session.tally.refusals += tally.refusals
        for each in tally.remarks:
            session.tally.remark(each)
    if any(row.state is State.REVOKED for row in rows.values()):
        session.tally.remark(STALE_RESULTS.format(ledger=shlex.quote(named_in_commands(name))))
    return rows


async def _followed(session: Session, ledger: Ledger, tally: Tally, row_ids: set[int]) -> dict[int, Row]:
    """Revoke the shares of these rows of a ledger, each followed to its end; the rows as they are then."""
    own = replace(
        session,
        ledger=ledger,
        tally=tally,
        health=Health(),
        polls=Polls(session.settings.wait),
        guard=FailureGuard(),
        settings=session.settings.model_copy(update={"follow_up": True}),
        given={},  # rows are numbered in each ledger anew
    )
    found = (await ledger.rows_by_id(row_ids)).values()
    waiting = [row.request_id for row in found if row.state is State.ACCEPTED]
    waiting += [row.revoke_id for row in found if row.state is State.ENDING]
    async with following_up(own, dict.fromkeys(filter(None, waiting))):
        await revoke_rows(own, Undone(row_ids=frozenset(row_ids)))
    return await ledger.rows_by_id(row_ids)


async def _answer(session: Session, due: Sequence[Due], became: Became) -> None:
    """Commit for each row what came of its claim; where the work was to end first, it stays as it is."""
    results: dict[int, Result] = {}
    for each in due:
        left: list[dict[str, Any]] = []  # each share that is not known to have ended, and how its row stands
        for share in each.shares:
            row = became.get(share)
            if not isinstance(row, Row):
                said = str(row).rstrip(".") if row else "it was not revoked"
                left.append({"of": Due.row_of(share), "said": said})
                continue
            never_stood = row.state is State.FAILED and row.stage is not Stage.REVOKE
            if not (row.state is State.REVOKED or never_stood or share.ends_at <= session.ledger.now()):
                why = {"cause": row.cause, "details": row.why.details if row.why else None}
                left.append({"of": Due.row_of(share), "state": row.state, "stage": row.stage, **why})
        locked = [share.ledger for share in each.shares if isinstance(became.get(share), LedgerLocked)]
        if left and session.stop.asked:
            continue
        if left and locked:  # another process uses it, which passes
            session.tally.remark(LEDGER_IN_USE.format(ledger=locked[0]))
            continue
        results[each.claim.id] = _result(each, left)
    await _note(session.ledger, results)
    for each in due:
        if (result := results.get(each.claim.id)) is not None:
            session.moved(State.PENDING, result)
            if result.state is State.FAILED:
                log.info("row failed", row=each.claim.sheet_row, step=str(Stage.EARLIER))


def _result(due: Due, left: Sequence[Mapping[str, Any]]) -> Result:
    reassigns, taken = asked(due.claim).action is Action.REASSIGN, {"of": due.where}
    if left:  # nobody is given access in the place of somebody who has it still
        why = Why(Cause.EARLIER_NOT_REVOKED, {"reassigns": reassigns, "left": left})
        return Result(State.FAILED, "failed", stage=Stage.EARLIER, why=why)
    if reassigns:
        notice = Why(Cause.REVOKED_FIRST, taken) if due.where else Why(Cause.NOBODY_ELSE)
        return Result(State.PENDING, "", notice=notice)
    if due.where:
        return Result(State.REVOKED, "", why=Why(Cause.EARLIER_REVOKED, taken))
    return Result(State.SKIPPED, "", why=Why(Cause.NOTHING_KNOWN))


async def _note(ledger: Ledger, results: Mapping[int, Result]) -> None:
    items = [*results.items()]
    for start in range(0, len(items), _PAGE):
        await ledger.answer_claims(dict(items[start : start + _PAGE]))
