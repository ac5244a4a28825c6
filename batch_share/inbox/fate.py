"""What becomes of a sheet that was worked on: done, failed, or looked at again later. A pure function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batch_share.errors import (
    AccessDenied,
    AccountClosed,
    DailyLimitReached,
    LedgerLocked,
    NotAnswered,
    StillThrottled,
    Unreachable,
)
from batch_share.inbox.places import DONE, FAILED
from batch_share.ledger.states import State
from batch_share.results.summary import ExitCode, code_of, code_of_ending

if TYPE_CHECKING:
    from batch_share.errors import BatchShareError
    from batch_share.results.summary import Summary

_PASSES: Final = (Unreachable, NotAnswered, StillThrottled, AccountClosed, DailyLimitReached, LedgerLocked)
"""What is not the sheet's fault, and may be over when it is tried again."""

_ON_ITS_WAY: Final = frozenset(
    {State.ACCEPTED, State.POSTING, State.POSTED, State.SHARING, State.PENDING, State.REVOKING, State.ENDING}
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the work on a sheet ended, this time: the totals if it began, and what stopped it."""

    summary: Summary | None = None
    error: BatchShareError | None = None
    interrupted: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """What it would mean as the ending of a run."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.summary is None:
            return ExitCode.NOT_DONE if self.error is None else code_of(self.error)
        return self.summary.exit_code if self.error is None else code_of_ending(self.error)


def place_of(outcome: Outcome) -> str | None:
    """Where the sheet goes; None while there is something to come: rows that wait, or are processed still."""
    if outcome.interrupted or isinstance(outcome.error, (*_PASSES, AccessDenied)):
        return None
    if outcome.error is not None or outcome.summary is None:
        return FAILED
    if any(outcome.summary.states.get(state) for state in _ON_ITS_WAY):
        return None
    return DONE if outcome.exit_code is ExitCode.DONE else FAILED


def is_for_all(outcome: Outcome) -> bool:
    """Whether what stopped the work would stop it for every sheet, until a person mends it."""
    return isinstance(outcome.error, AccessDenied)
