"""The totals of a ledger, and the exit code they mean."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from batch_share.errors import OfAnotherSheet, SettingsError, SheetError
from batch_share.ledger.records import NONE_ENDING, NONE_WAITING, EndingSoon, Waiting
from batch_share.ledger.states import State, rows_in
from batch_share.outputs import Output
from batch_share.results.writing import written_last

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from batch_share.errors import BatchShareError
    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Alike, Why


REASONS_SHOWN: Final = 5
"""Of those for which rows are skipped: usually one or two, and the screen has the troubles to show too."""


class ExitCode(IntEnum):
    """How a command ends; of several, the most urgent: 1, 4, 2, 3, 5, 6."""

    DONE = 0
    NOT_DONE = 1
    USAGE = 2
    SOME_FAILED = 3
    SOME_UNKNOWN = 4
    STILL_PROCESSING = 5
    ENDED = 6
    INTERRUPTED = 130

    @classmethod
    def of(cls, error: BatchShareError) -> ExitCode:
        """What an error means to a script that stopped a command before its work began."""
        is_usage = isinstance(error, SheetError | SettingsError | OfAnotherSheet)
        return cls.USAGE if is_usage else cls.NOT_DONE

    @classmethod
    def of_ended(cls, error: BatchShareError) -> ExitCode:
        """What an error means that ended a job under way: only of a sheet that broke off was nothing sent."""
        return cls.USAGE if isinstance(error, SheetError) else cls.NOT_DONE

    @classmethod
    def most_urgent(cls, codes: Iterable[ExitCode]) -> ExitCode:
        """The code of several pieces of work."""
        return min(codes, key=_ORDER.index, default=cls.DONE)


_URGENCY: Final[Sequence[tuple[ExitCode, Callable[[State], bool]]]] = (
    (ExitCode.NOT_DONE, lambda state: state.is_on_its_way or state.is_being_revoked),
    (ExitCode.SOME_UNKNOWN, lambda state: state is State.UNKNOWN),
    (ExitCode.SOME_FAILED, lambda state: state.needs_person),
    (ExitCode.STILL_PROCESSING, lambda state: state.is_processing),
)


_ORDER: Final = (
    ExitCode.INTERRUPTED,
    ExitCode.NOT_DONE,  # the one that trying again may fix
    ExitCode.SOME_UNKNOWN,
    ExitCode.USAGE,
    ExitCode.SOME_FAILED,
    ExitCode.STILL_PROCESSING,
    ExitCode.ENDED,
    ExitCode.DONE,
)


@dataclass(frozen=True, slots=True)
class Summary:
    """How many rows are in which state, where the ledger and the results are, and why rows are in trouble.

    `states` are of the rows of the sheet, `earlier` of those that only earlier sheets had and of which something is
    at LeadSquared, or may be. `corrected` rows, by the name of the file, are as that has them.
    `troubles` are all reasons why rows are, the most frequent first, `skipped` those why most rows are skipped.
    `run` is the Id of the ledger's last run.
    `waiting` rows are pending until their time has come: no fault. `sheet` is the name of what the rows are from.
    `failed_sheet` is where rows can be fixed and run again; `standing` failed rows are not in it, for their
    activity stands, nor are those that can only be fixed `in_sheet`, the sheet itself. `noticed` rows have
    something a person must know, whatever became of them: an activity that is there twice. `renewable` shares
    have ended, and the sheet does not say so; `ending` shares do so soon. `held` rows wait for another job that has
    their lead and user under way. `unchecked` is what LeadSquared could
    not be asked about, so that a run went on without. `audit` is what the last look at all its activities found,
    as it is noted in the ledger. Before `waiting_until` (with its zone) it wants no call.
    """

    states: Mapping[State, int]
    ledger: LedgerName
    results: Path | None = None
    troubles: Sequence[Alike] = ()
    noticed: int = 0
    skipped: Sequence[Alike] = ()
    run: str | None = None
    waiting: Waiting = NONE_WAITING
    sheet: str = ""
    failed_sheet: Path | None = None
    standing: int = 0
    in_sheet: int = 0
    unchecked: Sequence[Why] = ()
    renewable: int = 0
    held: int = 0
    waiting_until: datetime | None = None
    ending: EndingSoon = NONE_ENDING
    earlier: Mapping[State, int] = field(default_factory=dict)
    corrected: Mapping[str, int] = field(default_factory=dict)
    audit: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        reported = ", ".join(f"{self.states[state]:,} {state}" for state in State if self.states.get(state))
        return f"{self.rows:,} row{'' if self.rows == 1 else 's'}" + (f": {reported}" if reported else "")

    @property
    def rows(self) -> int:
        """All rows: the sum over the states."""
        return sum(self.states.values())

    @property
    def troubled(self) -> int:
        """Rows that a person has to look at."""
        counts = (rows_in(states, lambda state: state.needs_person) for states in (self.states, self.earlier))
        return sum(counts) + self.noticed

    @property
    def exit_code(self) -> ExitCode:
        """What the states mean to a script."""
        left = Counter(self.states) + Counter(self.earlier)
        left[State.PENDING] -= self.waiting.rows
        for code, belongs in _URGENCY:
            if rows_in(left, belongs) or (self.held and code is ExitCode.NOT_DONE):
                return code
        return ExitCode.DONE

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        states = {str(state): self.states[state] for state in State if self.states.get(state)}
        results = str(self.results) if self.results else None
        failed = str(self.failed_sheet) if self.failed_sheet else None
        reported: dict[str, Any] = {"rows": self.rows, "states": states, "doubles": self.noticed}
        reported["unchecked"] = [{"what": each.cause, **each.details} for each in self.unchecked]
        reported |= {"run": self.run, "ledger": str(self.ledger), "results": results, "failed_sheet": failed}
        if self.audit is not None:
            reported["audit"] = dict(self.audit)
        if self.earlier:
            reported["earlier"] = {str(state): self.earlier[state] for state in State if self.earlier.get(state)}
        if self.corrected:
            reported["corrected"] = dict(self.corrected)
        if self.waiting_until is not None:
            reported["waiting_until"] = f"{self.waiting_until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        if self.waiting.rows:
            first = self.waiting.first
            reported |= {"waiting": self.waiting.rows, "first_due": f"{first.isoformat()}Z" if first else None}
        return reported


async def summarize(ledger: LedgerReader, results: Path | None = None) -> Summary:
    """Count the ledger's rows. Raises LedgerError."""
    (counts, earlier), troubles = await ledger.totals(), await ledger.troubles()
    noticed, skipped = await ledger.noticed(), await ledger.skipped(REASONS_SHOWN)
    sheet, failed_sheet = await ledger.sheet(), await written_last(ledger, Output.FAILED)
    return Summary(
        counts,
        ledger.name.absolute(),
        results,
        troubles,
        noticed,
        skipped,
        await ledger.last_run_id(),
        await ledger.waiting(),
        sheet.name if sheet else "",
        failed_sheet,
        await ledger.standing(),
        await ledger.fixable_in_sheet(),
        unchecked=await ledger.unchecked(),
        renewable=await ledger.renewable(),
        held=await ledger.held(),
        ending=await ledger.ending_soon(),
        earlier=earlier,
        corrected=await ledger.edited(),
        audit=await ledger.audit(),
    )
