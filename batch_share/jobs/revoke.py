"""Undoing a run: each share that it made is revoked, in its own context, and the status API asked about it.

https://apidocs.leadsquared.com/revoke-access-to-a-shared-lead/. Access is granted for each activity, so that
nothing is taken away but what this ledger gave.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Final, cast

from batch_share.common import ascii_lower, utc_now
from batch_share.errors import SettingsError, check_not_empty
from batch_share.jobs.job import Choice, Kind, preview_of
from batch_share.leadsquared.models import RevokeItem
from batch_share.leadsquared.outcome import Done
from batch_share.leadsquared.protocol import read_request_id, revoke_share
from batch_share.ledger.states import Stage, State
from batch_share.sending.calls import Dispatch, write
from batch_share.sending.follow_up import all_followed_up
from batch_share.sending.sender import Feed
from batch_share.sending.session import ending_early, in_parallel
from batch_share.sending.steps import asked
from batch_share.sheet.rows import Selection

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Literal

    from batch_share.jobs.revoke_earlier import Due
    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Row, Share
    from batch_share.ledger.store import Ledger
    from batch_share.sending.session import Session
    from batch_share.settings import Settings

_NOT_WAITED: Final = "revoked all the same, since --no-follow-up waits for nothing"

USERS_REPORTED: Final = 5
ROWS_REPORTED: Final = 10
"""Of how many users, and of how many rows, a person is told before their shares are revoked."""

PASSES: Final = 3
"""Times that a share is revoked whose revocation was not answered: once too often does no harm."""


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
        chosen = Selection.parse(None, rows, ())
        user_ids = await _user_ids(ledger, user) if user is not None else None
        if chosen and not (await ledger.numbers(chosen.ranges, user_ids))[0]:
            whose = "the user's" if user is not None else "the ledger's"
            of_none = chosen.none_of(*await ledger.numbers(user_ids=user_ids), whose)
            raise SettingsError("rows", f"{chosen} {of_none}", problem=f"The choice of rows {of_none}.")
        return cls(chosen.ranges, user_ids)

    def has(self, row: Share) -> bool:
        """Whether a row's share is among them. Rows that the sheet lost have no number any more."""
        if self.row_ids is not None and row.row_id not in self.row_ids:
            return False
        if self.user_ids is not None and row.user_id not in self.user_ids:
            return False
        in_range = any(first <= row.sheet_row <= last for first, last in self.ranges)
        return not self.ranges or (row.is_in_sheet and in_range)

    def of(self, rows: Iterable[Share], now: dt.datetime) -> tuple[list[Share], int]:
        """Of these rows the ones whose share is to be revoked, and how many others have ended by themselves."""
        meant = [row for row in rows if self.has(row)]
        standing = [row for row in meant if row.ends_at is None or row.ends_at > now]
        return standing, len(meant) - len(standing)


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
        standing = await session.ledger.shared_rows()
        chosen, ended = self.undone.of(standing, utc_now())
        begun = (await session.ledger.counts()).get(State.TO_REVOKE, 0)
        fresh = sum(row.state is not State.TO_REVOKE for row in chosen)
        to_do = {State.TO_REVOKE: begun + fresh}
        preview = await preview_of(session, cut_off, to_do=to_do, events=0, deed="revoke")
        session.tally.begin(await session.ledger.counts(shares=True))
        reported = from_whom(chosen, standing, await session.ledger.known_users())
        reported = chain(reported, reported_before(chosen, ended, preview.states, waits=session.settings.follow_up))
        return Choice(replace(preview, reported=[*reported]), frozenset(row.row_id for row in chosen))

    async def work(self, session: Session, due: Sequence[Due]) -> None:  # noqa: ARG002 - as every Kind
        """Revoke them."""
        await revoke_rows(session, self.undone)


async def _user_ids(ledger: LedgerReader, user: str) -> frozenset[str]:
    check_not_empty("user", user)
    wanted = ascii_lower(user.strip())
    known = await ledger.known_users()
    named = {user: {ascii_lower(user), ascii_lower(email)} for user, (_, email) in known.items() if user}
    found = {user for user, names in named.items() if wanted in names}
    found |= {row.user_id for row in await ledger.shared_rows() if ascii_lower(row.user_id) == wanted}
    if not found:
        raise SettingsError("user", f"no row of this ledger is of a user with the Id or e-mail address {user}")
    return frozenset(found)


def from_whom(
    chosen: Sequence[Share], standing: Sequence[Share], known: Mapping[str | None, tuple[str, str]]
) -> Iterator[str]:
    """Who loses how many shares, and of few the rows too: it can't be undone.

    Of those `standing` also the ones that an earlier revocation began with, which goes on.
    """
    yield from _losing(chosen, known)
    ids = {row.row_id for row in chosen}
    begun = [row for row in standing if row.state is State.TO_REVOKE and row.row_id not in ids]
    yield from (f"and, since it was begun before, {reported}" for reported in _losing(begun, known))


def _losing(losing: Sequence[Share], known: Mapping[str | None, tuple[str, str]]) -> Iterator[str]:
    if not losing:
        return
    counted = Counter(row.user_id for row in losing).most_common()
    names = {user: f"{name} <{email}>" for user, (name, email) in known.items() if user}
    reported = "from " + ", ".join(
        f"{names.get(user, user)} ({count:,})" for user, count in counted[:USERS_REPORTED]
    )
    if (more := len(counted) - USERS_REPORTED) > 0:
        reported += f" and {more:,} other{'' if more == 1 else 's'}"
    rows = [str(number) for number in sorted({row.sheet_row for row in losing if row.is_in_sheet})]
    if 0 < len(rows) <= ROWS_REPORTED:
        reported += f": row{'' if len(rows) == 1 else 's'} {', '.join(rows)}"
    yield reported


def reported_before(
    chosen: Sequence[Share], ended: int, states: Mapping[State, int], *, waits: bool = True
) -> Iterator[str]:
    """What a person should know before shares are revoked: after what is being processed, if it `waits`."""
    processing = sum(row.state is State.ACCEPTED for row in chosen)
    if processing:
        how = "waited for, then revoked" if waits else _NOT_WAITED
        yield f"{processing:,} still being processed: {how}"
    repeated = sum(row.state is State.POSTED for row in chosen)
    doubtful = sum(
        row.state is State.FAILED or (row.doubtful and row.state is not State.TO_REVOKE) for row in chosen
    )
    if doubtful:
        yield f"{doubtful:,} that may be live or not: revoked to be sure"
    if ended:
        yield f"{ended:,} have ended by themselves: left alone"
    unsent = states.get(State.PENDING, 0) + states.get(State.POSTED, 0) - repeated
    if unsent:
        yield f"{unsent:,} were never shared, and a run would still do it"


async def revoke_rows(session: Session, undone: Undone) -> None:
    """Revoke the shares, those first of an earlier run that did not end.

    What is still being processed as a share is waited for: a share may not overtake its revocation.
    """
    if session.settings.follow_up:
        await all_followed_up(session)
    session.tally.phase = "revoking"
    chosen, _ = undone.of(await session.ledger.shared_rows(), utc_now())
    for _ in range(PASSES):
        await _begin(session, chosen)
        await _revoke_each(session, undone)
        left, _ = undone.of(await session.ledger.shared_rows(), utc_now())
        chosen = [row for row in left if row.state is State.UNKNOWN]  # those not answered, and so not revoked
        if session.stop.asked or not chosen:
            return


async def _begin(session: Session, chosen: Sequence[Share]) -> None:
    with ending_early(session.stop):
        fresh = [row for row in chosen if row.state is not State.TO_REVOKE]
        doubtful = {row.row_id for row in fresh if row.doubtful}
        await session.ledger.undo([row.row_id for row in fresh], doubtful)
        for row in fresh:
            session.tally.moved(row.state, State.TO_REVOKE)


async def _revoke_each(session: Session, undone: Undone) -> None:
    feed = Feed(session.ledger.to_revoke())

    async def work() -> None:
        while not session.stop.asked and (row := await feed.next()) is not None:
            if undone.row_ids is None or row.id in undone.row_ids:  # what somebody stopped is not gone on with
                call = revoke_share(_item(row))
                outcome = await write(session, Dispatch([row], Stage.REVOKE, call, read_request_id, [None]))
                if isinstance(outcome, Done) and session.settings.follow_up:
                    session.polls.add(outcome.id)

    await in_parallel(session, work)


def _item(row: Row) -> RevokeItem:
    wanted = asked(row)
    return RevokeItem(
        user_id=wanted.user_id,
        entity_id=wanted.lead_number,
        context_entity_id=row.activity_id or "",
        access_type=cast("Literal[1, 2]", wanted.access),
    )
