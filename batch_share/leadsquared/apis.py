"""Which of LeadSquared's APIs an account has, as far as a run has seen.

Three of them are essential: post an activity, share, ask the status. Every other one only helps: it may be missing,
refused or silent on somebody's account, and the run goes on without it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from batch_share.leadsquared.guesses import NOT_FOR_US
from batch_share.leadsquared.outcome import Denied, Lost

if TYPE_CHECKING:
    from batch_share.leadsquared.outcome import Failure

MOST_LOST: Final = 3
"""Calls in a row, each of them repeated, that may go unanswered before an API is taken to be silent."""

_NOT_THERE: Final = frozenset({404, 405, 501})


@dataclass(slots=True)
class Apis:
    """What became of calls, by path: which ones `worked`.

    `gone` are those that are not asked again: why not. `heard`: any call was answered, be it with a refusal.
    """

    worked: set[str] = field(default_factory=set)
    gone: dict[str, Failure] = field(default_factory=dict)
    heard: bool = False
    _lost: Counter[str] = field(default_factory=Counter)

    def answered(self, path: str) -> None:
        """A call was answered as it should be."""
        self.heard = True
        self.worked.add(path)
        del self._lost[path]

    def failed(self, path: str, failure: Failure) -> None:
        """A call was refused, or went unanswered however often it was repeated.

        What is refused may be what was asked for; an API that is missing, or not for these keys, is so from the
        first call on.
        """
        self.heard = self.heard or not isinstance(failure, Lost)
        self._lost[path] += isinstance(failure, Lost)
        is_missing = isinstance(failure, Denied) or failure.status in _NOT_THERE or NOT_FOR_US.search(failure.words)
        if self._lost[path] >= MOST_LOST or (is_missing and path not in self.worked):
            self.gone[path] = failure
