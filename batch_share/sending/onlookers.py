"""Whoever looks on while a job is done: a terminal, a test, a program that uses the library."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from batch_share.common import plural
from batch_share.errors import TooManyRevokes, first_of
from batch_share.ledger.records import NONE_WAITING, ToShare, Waiting
from batch_share.ledger.states import State
from batch_share.sending.session import Waiter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import tzinfo

    from batch_share.ledger.records import Changes, SheetRecord, Skipped
    from batch_share.sending.cost import Cost, Pace
    from batch_share.sending.session import Connection
    from batch_share.settings import Settings


@dataclass(frozen=True, slots=True)
class TakenBack:
    """Shares of earlier runs that are taken back first: how many each user loses, and which sheets they are of.

    Users are called by e-mail address, or by whatever else is known of them; who loses most comes first.
    """

    users: Mapping[str, int] = field(default_factory=dict)
    sheets: Sequence[str] = ()


NOTHING_TAKEN: Final = TakenBack()


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run is about to do, for a person to agree to.

    `changes` is None when the ledger knew this very sheet with these very options; else `notes` say what a person
    should know of how it was read. `cut_off` rows were under way
    when an earlier process was cut off: unknown, and looked up. `pace` is the one that the run begins with,
    `to_do` the rows that it will send, by state, `events` how many activity types they are of;
    `skipped` the most frequent reasons for which rows are skipped; `waiting` rows are not sent before their time.
    `taken_back` are shares of earlier runs, for rows whose action asks for that.
    `deed` is what is done with them, in a word or two, `told` what else a person should know of it.
    `to_share` says what the rows would give, None where they are tried again or taken back; its times are told as
    of `zone`, the account's if it is known, else (None) this machine's.
    """

    sheet: SheetRecord
    host: str
    states: dict[State, int]
    changes: Changes | None
    cut_off: int
    settings: Settings
    pace: Pace
    to_do: dict[State, int]
    events: int
    skipped: Sequence[Skipped] = ()
    deed: str = "send"
    told: Sequence[str] = ()
    notes: Sequence[str] = ()
    waiting: Waiting = NONE_WAITING
    taken_back: TakenBack = NOTHING_TAKEN
    to_share: ToShare | None = None
    zone: tzinfo | None = None

    @property
    def to_send(self) -> int:
        """Rows that will be sent."""
        return sum(self.to_do.values())

    @property
    def revocations(self) -> int:
        """Shares of earlier runs that are taken back first."""
        return sum(self.taken_back.users.values())

    @property
    def may_take_back(self) -> bool:
        """Whether so many shares may be taken back though nobody is asked."""
        return self.revocations <= self.settings.max_revokes

    @property
    def changes_made(self) -> int:
        """Shares that will be made, and that are taken back first: what a person is asked about."""
        return self.to_send + self.revocations

    @property
    def left_out(self) -> int:
        """Rows whose activity stands, and that go on only when they are not left out any more."""
        return self.states.get(State.POSTED, 0) - self.to_do.get(State.POSTED, 0) if self.deed == "send" else 0

    @property
    def cost(self) -> Cost:
        """What sending them costs at least, and asking for those that were accepted before."""
        states = self.to_do | {state: self.states.get(state, 0) for state in State if state.is_processing}
        states[State.TO_REVOKE] = states.get(State.TO_REVOKE, 0) + self.revocations
        return self.pace.cost(states, self.events)


@dataclass(frozen=True, slots=True)
class Doubt:
    """What only a person can answer, and no `--yes` does: lines `told` before the `question`."""

    told: Sequence[str]
    question: str


class Watcher(Waiter, Protocol):
    """Whoever looks on: agrees to the plan, shows progress, passes on a wish to stop."""

    def agree(self, preview: Preview) -> bool:
        """Show what will happen; False ends the job before anything is sent."""

    def is_sure(self, doubt: Doubt) -> bool:
        """Ask about a doubt; False also where there is nobody to ask."""

    def watch(self, session: Connection) -> AbstractAsyncContextManager[None]:
        """Entered while calls are made."""


def check_revokes(preview: Preview) -> None:
    """Whether shares of earlier runs may be taken back where nobody can be asked. Raises TooManyRevokes."""
    if not preview.may_take_back:
        taken = preview.taken_back
        words = spell_revokes(taken, "would be")
        raise TooManyRevokes(words, taken.users, taken.sheets, preview.settings.max_revokes)


def spell_revokes(taken: TakenBack, verb: str) -> str:
    """How many shares are taken back, of which sheets and from whom; `verb` stands before `taken back`."""
    losing = [f"{user} ({count:,})" if count > 1 else user for user, count in taken.users.items()]
    shares = plural(sum(taken.users.values()), "share")
    return f"{shares} of {first_of(taken.sheets)} {verb} taken back from {first_of(losing)}"
