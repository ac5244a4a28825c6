"""Where a sheet goes by how its work ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch_share.errors import (
    AccessDenied,
    BatchShareError,
    DailyLimitReached,
    LedgerLocked,
    OwnerNotVerified,
    SettingsError,
    SheetError,
    Unreachable,
)
from batch_share.jobs.watch import SheetOutcome
from batch_share.ledger.files import LedgerName
from batch_share.ledger.states import State
from batch_share.results.summary import ExitCode, Summary

SHEET, LEDGER = Path("leads.csv"), LedgerName.of("leads.csv.ledger.db")


def ended(**states: int) -> SheetOutcome:
    return SheetOutcome(SHEET, Summary({State(name): count for name, count in states.items()}, LEDGER))


@pytest.mark.parametrize(
    ("outcome", "place"),
    [
        (ended(shared=3, skipped=1), "done"),
        (ended(), "done"),
        (ended(shared=3, failed=1), "failed"),
        (ended(shared=3, invalid=1), "failed"),
        (ended(shared=3, unknown=1), "failed"),
        (ended(shared=3, accepted=1), None),
        (ended(failed=3, accepted=1), None),
        (ended(shared=3, pending=1), None),
        (SheetOutcome(SHEET, error=SheetError(Path("a.csv"), "bad")), "failed"),
        (SheetOutcome(SHEET, error=OwnerNotVerified("a", "b", "c")), "failed"),
        (SheetOutcome(SHEET, error=BatchShareError("Nothing was sent.")), "failed"),
        (SheetOutcome(SHEET, error=Unreachable("host", 3, "no")), None),
        (SheetOutcome(SHEET, error=DailyLimitReached(1, 1)), None),
        (SheetOutcome(SHEET, error=LedgerLocked(LEDGER, "in use")), None),
        (SheetOutcome(SHEET, error=AccessDenied(401, "no")), None),
        (SheetOutcome(SHEET, ended(pending=2).summary, interrupted=True), None),
    ],
)
def test_where_it_goes(outcome: SheetOutcome, place: str | None) -> None:
    assert outcome.place == place


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (SheetOutcome(SHEET, error=SheetError(Path("a.csv"), "bad")), ExitCode.USAGE),
        (SheetOutcome(SHEET, error=SettingsError("timezone", "bad")), ExitCode.USAGE),
        (SheetOutcome(SHEET, error=Unreachable("host", 3, "no")), ExitCode.NOT_DONE),
        (SheetOutcome(SHEET, error=BatchShareError("Nothing was sent.")), ExitCode.NOT_DONE),
        (SheetOutcome(SHEET, ended(pending=2).summary, SettingsError("canary", "bad")), ExitCode.NOT_DONE),
        (SheetOutcome(SHEET, ended().summary, SheetError(Path("a.csv"), "it breaks off")), ExitCode.USAGE),
        (SheetOutcome(SHEET, ended(pending=2).summary, interrupted=True), ExitCode.INTERRUPTED),
        (ended(shared=1, failed=1), ExitCode.SOME_FAILED),
    ],
)
def test_the_code_is_that_of_a_run_of_the_sheet(outcome: SheetOutcome, code: ExitCode) -> None:
    """What stops a run after it began leaves totals: then something may have been sent, whatever is wrong."""
    assert outcome.exit_code is code


def test_of_several_sheets_the_most_urgent_code_is_reported() -> None:
    error, refused = (
        SheetOutcome(SHEET, error=Unreachable("host", 3, "no")),
        SheetOutcome(SHEET, error=SheetError(Path("a.csv"), "bad")),
    )
    urgent = [error, ended(unknown=1), refused, ended(failed=1), ended(accepted=1), ended(shared=1)]
    assert ExitCode.most_urgent([]) is ExitCode.DONE
    for first, outcome in enumerate(urgent):
        assert ExitCode.most_urgent(each.exit_code for each in reversed(urgent[first:])) is outcome.exit_code
