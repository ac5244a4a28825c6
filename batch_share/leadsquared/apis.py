"""Which of LeadSquared's APIs an account has, as far as a run has seen.

Three of them are essential: post an activity, share, ask the status. Every other one only helps: it may be missing,
refused or silent on somebody's account, and the run goes on without it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from batch_share.leadsquared.outcome import Denied, Lost

if TYPE_CHECKING:
    from batch_share.leadsquared.outcome import Failure

MOST_REFUSED: Final = 25
"""Refusals after which an API that never answered well is taken to be refused whatever it is asked: as many leads
that are not there are no accident either."""

MOST_LOST: Final = 3
"""The same of calls that went unanswered, each of them repeated."""

_NOT_THERE: Final = frozenset({404, 405, 501})


@dataclass(slots=True)
class Apis:
    """What became of calls, by path: which ones `worked`.

    `gone` are those that never answered well and are not asked again: why not.
    """

    worked: set[str] = field(default_factory=set)
    gone: dict[str, Failure] = field(default_factory=dict)
    _failures: Counter[tuple[str, type]] = field(default_factory=Counter)

    def failed(self, path: str, failure: Failure) -> None:
        """A call was refused, or went unanswered however often it was repeated."""
        if path in self.worked:
            return
        self._failures[path, type(failure)] += 1
        most = MOST_LOST if isinstance(failure, Lost) else MOST_REFUSED
        if (
            isinstance(failure, Denied)
            or failure.status in _NOT_THERE
            or self._failures[path, type(failure)] >= most
        ):
            self.gone[path] = failure
