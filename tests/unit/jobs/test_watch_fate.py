"""Where a sheet goes by how its work ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch_share.errors import (
    AccessDenied,
    BatchShareError,
    DailyLimitReached,
    LedgerLocked,
    NotConfirmed,
    OwnerNotVerified,
    SettingsError,
    SheetError,
    TooManyForUser,
    TooManyRevokes,
    TooManyRows,
    Unreachable,
)
from batch_share.jobs.job import Ending
from batch_share.jobs.watch import SheetOutcome
from batch_share.ledger.files import LedgerName
from batch_share.ledger.states import State
from batch_share.results.wording import ExitCode, Summary

SHEET, LEDGER = Path("leads.csv"), LedgerName.of("leads.csv.ledger.db")


def totals(**states: int) -> Summary:
    return Summary({State(name): count for name, count in states.items()}, LEDGER)


def ended(**states: int) -> SheetOutcome:
    return SheetOutcome(SHEET, Ending(totals(**states)))


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
        (SheetOutcome(SHEET, SheetError(Path("a.csv"), "bad")), "failed"),
        (SheetOutcome(SHEET, OwnerNotVerified("a", "b", "c")), "failed"),
        (SheetOutcome(SHEET, BatchShareError("Nothing was sent.")), "failed"),
        (SheetOutcome(SHEET, NotConfirmed()), "held"),
        (SheetOutcome(SHEET, Ending(totals(shared=3, pending=60), NotConfirmed())), "held"),
        (SheetOutcome(SHEET, TooManyRows(60, 50)), "held"),
        (SheetOutcome(SHEET, TooManyForUser({"a": 3}, 2)), "held"),
        (SheetOutcome(SHEET, TooManyRevokes("words", {"a": 3}, ["b.csv"], 0)), "held"),
        (SheetOutcome(SHEET, Unreachable("host", 3, "no")), None),
        (SheetOutcome(SHEET, DailyLimitReached(1, 1)), None),
        (SheetOutcome(SHEET, LedgerLocked(LEDGER, "in use")), None),
        (SheetOutcome(SHEET, AccessDenied(401, "no")), None),
        (SheetOutcome(SHEET, Ending(totals(pending=2), interrupted=True), interrupted=True), None),
    ],
)
def test_where_it_goes(outcome: SheetOutcome, place: str | None) -> None:
    assert outcome.place == place


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (SheetOutcome(SHEET, SheetError(Path("a.csv"), "bad")), ExitCode.USAGE),
        (SheetOutcome(SHEET, SettingsError("timezone", "bad")), ExitCode.USAGE),
        (SheetOutcome(SHEET, Unreachable("host", 3, "no")), ExitCode.NOT_DONE),
        (SheetOutcome(SHEET, BatchShareError("Nothing was sent.")), ExitCode.NOT_DONE),
        (SheetOutcome(SHEET, Ending(totals(pending=2), SettingsError("canary", "bad"))), ExitCode.NOT_DONE),
        (SheetOutcome(SHEET, Ending(totals(), SheetError(Path("a.csv"), "it breaks off"))), ExitCode.USAGE),
        (SheetOutcome(SHEET, Ending(totals(pending=2), interrupted=True), interrupted=True), ExitCode.INTERRUPTED),
        (ended(shared=1, failed=1), ExitCode.SOME_FAILED),
    ],
)
def test_the_code_is_that_of_a_run_of_the_sheet(outcome: SheetOutcome, code: ExitCode) -> None:
    """What stops a run after it began leaves totals: then something may have been sent, whatever is wrong."""
    assert outcome.exit_code is code


def test_of_several_sheets_the_most_urgent_code_is_reported() -> None:
    error, refused = (
        SheetOutcome(SHEET, Unreachable("host", 3, "no")),
        SheetOutcome(SHEET, SheetError(Path("a.csv"), "bad")),
    )
    urgent = [error, ended(unknown=1), refused, ended(failed=1), ended(accepted=1), ended(shared=1)]
    assert ExitCode.most_urgent([]) is ExitCode.DONE
    for first, outcome in enumerate(urgent):
        assert ExitCode.most_urgent(each.exit_code for each in reversed(urgent[first:])) is outcome.exit_code
