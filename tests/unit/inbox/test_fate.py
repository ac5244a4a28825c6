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
    SheetError,
    Unreachable,
)
from batch_share.inbox.fate import Outcome, is_for_all, place_of
from batch_share.ledger.states import State
from batch_share.results.summary import ExitCode, Summary, most_urgent

LEDGER = Path("leads.csv.ledger.db")


def ended(**states: int) -> Outcome:
    return Outcome(Summary({State(name): count for name, count in states.items()}, LEDGER))


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
        (Outcome(error=SheetError(Path("a.csv"), "bad")), "failed"),
        (Outcome(error=OwnerNotVerified("a", "b", "c")), "failed"),
        (Outcome(error=BatchShareError("Nothing was sent.")), "failed"),
        (Outcome(error=Unreachable("host", 3, "no")), None),
        (Outcome(error=DailyLimitReached(1, 1)), None),
        (Outcome(error=LedgerLocked(LEDGER, "in use")), None),
        (Outcome(error=AccessDenied(401, "no")), None),
        (Outcome(ended(pending=2).summary, interrupted=True), None),
    ],
)
def test_where_it_goes(outcome: Outcome, place: str | None) -> None:
    assert place_of(outcome) == place


def test_refused_keys_are_everybodys_trouble() -> None:
    assert is_for_all(Outcome(error=AccessDenied(401, "no")))
    assert not is_for_all(Outcome(error=Unreachable("host", 3, "no")))
    assert not is_for_all(ended(failed=1))


def test_of_several_sheets_the_most_urgent_code_is_told() -> None:
    done, failed, unknown = ended(shared=1), ended(failed=1), ended(unknown=1)
    error = Outcome(error=SheetError(Path("a.csv"), "bad"))
    assert most_urgent([]) is ExitCode.DONE
    assert most_urgent(each.exit_code for each in (done, failed, unknown)) is ExitCode.SOME_UNKNOWN
    assert most_urgent(each.exit_code for each in (unknown, error)) is ExitCode.NOT_DONE
