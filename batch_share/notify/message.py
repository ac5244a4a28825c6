"""What is told of a job that ended: counts and the names of files, never who the leads and users are."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batch_share.errors import (
    AccessDenied,
    AccountClosed,
    BatchShareError,
    CanaryFailed,
    DailyLimitReached,
    HistoryError,
    LedgerError,
    NoSuchApi,
    NotAnswered,
    NotConfirmed,
    OwnerNotVerified,
    PlanChanged,
    SettingsError,
    SheetError,
    StillThrottled,
    TooManyFailures,
    TooManyForUser,
    TooManyRevokes,
    TooManyRows,
    Unreachable,
)
from batch_share.results.advice import headline, next_steps, others

if TYPE_CHECKING:
    from datetime import datetime

    from batch_share.results.summary import Summary

DONE: Final = "done"
INTERRUPTED: Final = "interrupted by a person"
CUT: Final = "cut off by a person"

_WHY: Final[dict[type[BatchShareError], str]] = {
    AccessDenied: "LeadSquared refused access",
    AccountClosed: "LeadSquared wants no more calls for now",
    NoSuchApi: "LeadSquared has no such API",
    CanaryFailed: "the first rows did not go well",
    DailyLimitReached: "the calls of the day are spent",
    LedgerError: "the ledger can't be used",
    HistoryError: "the index of runs can't be used",
    NotAnswered: "LeadSquared did not answer",
    NotConfirmed: "nobody agreed to it",
    OwnerNotVerified: "the owner of the first activity is not proved",
    PlanChanged: "it is not what was approved",
    SettingsError: "a setting is wrong",
    SheetError: "the sheet can't be used",
    StillThrottled: "LeadSquared refused every call as one too many",
    TooManyFailures: "too many rows failed",
    TooManyForUser: "a user would have got too many leads",
    TooManyRevokes: "shares would have been taken back and nobody was asked",
    TooManyRows: "there were too many rows to send",
    Unreachable: "LeadSquared could not be reached",
}
"""In words without Ids and paths: an error's own sentence may hold them."""

OTHERWISE: Final = "its own output says why"


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told: which `command` on which file, how it ended, and the totals, None where none are known."""

    command: str
    subject: Path
    ended: str
    exit_code: int
    at: datetime
    summary: Summary | None = None

    @property
    def text(self) -> str:
        """A few short lines for a chat."""
        first = f"batch-share {self.command} of {_name(self.subject)}: {self.ended}."
        if self.summary is None:
            return f"{first}\nNothing is known of its rows: look at the machine that it ran on."
        told = self.summary
        totals = " ".join(filter(None, (headline(told.states), others(told.states))))
        steps = next_steps(told.states, told.noticed, shlex.quote(_name(told.ledger)))
        files = [f"Ledger: {_name(told.ledger)}"]
        if told.results is not None:
            files.append(f"results: {_name(told.results)}")
        return "\n".join([first, totals, *steps, ", ".join(files)])

    def as_json(self) -> dict[str, Any]:
        """The same as data, for the line in a file."""
        told: dict[str, Any] = {"at": f"{self.at.isoformat(timespec='seconds')}Z", "command": self.command}
        told |= {"file": _name(self.subject), "ended": self.ended, "exit_code": int(self.exit_code)}
        if self.summary is None:
            return told | {"text": self.text}
        totals = self.summary.as_json()
        for name in ("ledger", "results", "failed_sheet"):
            totals[name] = _name(Path(totals[name])) if totals[name] else None
        # Not why: that may name somebody.
        totals["unchecked"] = [{"what": each["what"], "rows": each["rows"]} for each in totals["unchecked"]]
        return told | totals | {"text": self.text}


def why_of(error: BatchShareError) -> str | None:
    """Why a job ended that an error stopped, without anything of the sheet or the account; None: who knows."""
    return next((_WHY[kind] for kind in type(error).__mro__ if kind in _WHY), None)


def why_stopped(error: BatchShareError) -> str:
    """How such a job ended."""
    return f"stopped, {why_of(error) or OTHERWISE}"


def for_chat(text: str) -> str:
    """The text as a chat takes it: the name of a file is neither a link nor a call to everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _name(file: Path) -> str:
    """The name of a file on one line."""
    return "".join(each if each.isprintable() else "?" for each in file.name)
