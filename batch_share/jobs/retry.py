"""Trying failed rows again: which of them, from which step, and which had better be fixed first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from batch_share.common import Cause
from batch_share.errors import check_not_empty
from batch_share.jobs.job import Choice, preview_of
from batch_share.jobs.revoke import due_in
from batch_share.jobs.run import Reconcile
from batch_share.leadsquared.guesses import HOPELESS
from batch_share.ledger.states import Stage, State
from batch_share.ledger.statistics import Reasons
from batch_share.planning.already_shared import skip_shared
from batch_share.results.wording import spell_alike, spell_row
from batch_share.sending.steps import asked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.records import Row
    from batch_share.sending.session import Session

SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which failed rows to try again: those whose reason holds `reason` (None: all), which may not be empty.

    With `everything` the hopeless too. Raises SettingsError.
    """

    reason: str | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        check_not_empty("reason", self.reason)

    def has(self, row: Row) -> bool:
        """Whether a row is among those that were asked for, by what people are told of it, hopeless or not."""
        return self.reason is None or self.reason.casefold() in spell_row(row).casefold()


@dataclass(slots=True)
class Retry:
    """Failed rows by Id, with the state that each goes back to, and their `reasons`; those of rows `left` alone.

    `begun` are rows, with their state, that an earlier retry put back and did not come to send.
    """

    states: dict[int, State] = field(default_factory=dict)
    begun: dict[int, State] = field(default_factory=dict)
    events: set[int] = field(default_factory=set)
    reasons: Reasons = field(default_factory=Reasons)
    left: Reasons = field(default_factory=Reasons)

    @classmethod
    async def of(cls, rows: AsyncIterator[Row], wanted: Wanted, begun: Iterable[Row] = ()) -> Retry:
        """Of these failed rows, the ones that are wanted and that another try may help; all that were `begun`."""
        chosen = cls()
        for each in begun:
            chosen._add(each.id, each.state, asked(each).event, chosen.begun)
        async for row in rows:
            if not wanted.has(row):
                continue
            if not wanted.everything and is_hopeless(row):
                chosen.left.add(row)
                continue
            chosen.reasons.add(row)
            chosen._add(row.id, goes_back_to(row), asked(row).event, chosen.states)
        return chosen

    def _add(self, row_id: int, state: State, event: int, to: dict[int, State]) -> None:
        to[row_id] = state
        if state is State.PENDING:
            self.events.add(event)

    @property
    def to_do(self) -> dict[State, int]:
        """How many rows are to be sent, by the state that they go on from."""
        return dict(Counter([*self.states.values(), *self.begun.values()]))

    def reported(self) -> Iterator[str]:
        """Why the rows failed, those left alone last."""
        if self.begun:
            yield f"{len(self.begun):,} × put back by an earlier retry that was stopped"
        yield from _reported(self.reasons, "")
        if self.left.most():
            yield "Not tried again, for the reason lies in the row: fix it and run the sheet again, or give --all."
            yield from _reported(self.left, "  ")


class RetryFailed(Reconcile):
    """Send failed rows again, each from the step that failed, and no others but those that a retry began."""

    command = "retry"
    guarded = True

    def __init__(self, ledger: LedgerName, wanted: Wanted) -> None:
        super().__init__(ledger)
        self.wanted = wanted

    async def choose(self, session: Session, cut_off: int) -> Choice:
        """Those that are wanted, and that another try may help."""
        ledger = session.ledger
        self.chosen = chosen = await Retry.of(ledger.failed_rows(), self.wanted, await ledger.put_back())
        rows = frozenset({*chosen.states, *chosen.begun})
        preview = await preview_of(
            session, cut_off, to_do=chosen.to_do, events=len(chosen.events), deed="try again"
        )
        due, reported, taken = await due_in(session, rows)
        preview = replace(preview, cut_off=cut_off, reported=[*chosen.reported(), *reported], revoked_earlier=taken)
        return Choice(preview, rows, due)

    async def begin(self, session: Session) -> None:
        """Put them back, but for those that other ledgers have shared by now."""
        await session.ledger.try_again(self.chosen.states, self.chosen.begun)
        await skip_shared(session)
        session.tally.begin(await session.ledger.counts())


def goes_back_to(row: Row) -> State:
    """A row whose activity stands, and is its user's, goes on with it."""
    return State.POSTED if row.activity_id and row.stage is not Stage.ACTIVITY else State.PENDING


def is_hopeless(row: Row) -> bool:
    """Whether the same call would meet the same end: a lead that is not there, an end that is over."""
    activity_is_anothers = row.stage is Stage.ACTIVITY and row.activity_id is not None
    said = row.last_call.words if row.last_call else ""
    return activity_is_anothers or row.cause is Cause.TOO_LATE or HOPELESS.search(said) is not None


def _reported(reasons: Reasons, indent: str) -> Iterator[str]:
    found = reasons.most()
    for each in found[:SHOWN]:
        yield f"{indent}{spell_alike(each)}"
    if len(found) > SHOWN:
        yield f"{indent}and {len(found) - SHOWN} other reasons"
