"""What follows from what a store tells of itself."""

from __future__ import annotations

import pytest

from batch_share.jobs.check_up import Level
from batch_share.jobs.stores import StoreSeen, judge
from batch_share.ledger import schema

NOW = schema.VERSION
WELL = StoreSeen(150018, "15.18", "batch_share")


def found(seen: StoreSeen, *, allow_async: bool = False) -> list[tuple[str, Level]]:
    return [(each.check, each.level) for each in judge(seen, allow_async=allow_async)]


@pytest.mark.parametrize(
    ("seen", "checks"),
    [
        (WELL, ["store ok"]),
        (StoreSeen(130012, "13.12", "x", has_lease=False), ["version problem"]),
        (StoreSeen(140001, "14.1", "x"), ["store ok"]),
        (StoreSeen(150018, "15.18", "x", is_superuser=True), ["user warning"]),
        (StoreSeen(150018, "15.18", "x", keeps=False, has_lease=False), ["way there problem"]),
        (StoreSeen(150018, "15.18", "x", has_lease=False), ["lease problem"]),
        (StoreSeen(150018, "15.18", "x", tables=None), ["tables problem"]),
        (StoreSeen(150018, "15.18", "x", tables=NOW - 1), ["tables problem"]),
        (StoreSeen(150018, "15.18", "x", tables=NOW + 1), ["tables problem"]),
        (StoreSeen(150018, "15.18", "x", tables=None, kept_from=["rows"]), ["user problem"]),
        (StoreSeen(150018, "15.18", "x", commit="off"), ["commits problem"]),
        (StoreSeen(150018, "15.18", "x", standbys=1), ["standby problem"]),
        (StoreSeen(150018, "15.18", "x", standbys=1, waited_for="b", commit="local"), ["standby problem"]),
        (StoreSeen(150018, "15.18", "x", standbys=1, waited_for="b"), ["store ok"]),
    ],
)
def test_each_thing_that_is_wrong_is_found(seen: StoreSeen, checks: list[str]) -> None:
    assert [f"{check} {level}" for check, level in found(seen)] == checks


def test_a_standby_that_is_not_waited_for_can_be_accepted() -> None:
    seen = StoreSeen(150018, "15.18", "x", standbys=2)
    assert found(seen, allow_async=True) == [("standby", Level.WARNING)]
