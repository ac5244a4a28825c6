"""A ledger in numbers: by state, user, kind of reason, and its calls over time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from ledgers import REFUSED, advance, because, new_row, row_of, unsendable, working

from batch_share.ledger import queries
from batch_share.ledger.queries import kind_of
from batch_share.ledger.records import Lookup
from batch_share.ledger.states import Stage, State
from batch_share.results.wording import spell_alike

if TYPE_CHECKING:
    from pathlib import Path


async def test_an_empty_ledger_has_no_numbers(file: Path) -> None:
    async with working(file) as ledger:
        found = await ledger.statistics()
    assert (found.states, found.users, found.reasons) == ({}, [], [])
    assert (found.all_users, found.all_reasons) == (0, 0)


async def test_every_row_is_counted_once_by_state_and_once_by_user(file: Path) -> None:
    same_user = {"user_id": "u1"}
    rows = [new_row(number, **same_user) for number in range(3)]
    async with working(file, *rows, new_row(7), unsendable(8, State.INVALID)) as ledger:
        await advance(ledger, 1, State.SHARED)
        await advance(ledger, 2, State.FAILED)
        await ledger.note_lookups([Lookup("User Id", "u1", {"id": "u1", "name": "Asha", "email": "a@x.example"})])
        found = await ledger.statistics()
        assert found.states == await ledger.counts()
    assert sum(user.rows for user in found.users) == 5 == sum(found.states.values())
    asha = found.users[0]
    assert (asha.user_id, asha.name, asha.email) == ("u1", "Asha", "a@x.example")
    assert asha.states == {State.SHARED: 1, State.FAILED: 1, State.PENDING: 1}
    nobody = next(user for user in found.users if user.user_id is None)
    assert (nobody.name, nobody.states) == ("", {State.INVALID: 1})


async def test_the_busiest_users_are_reported_and_the_others_counted(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "USERS_REPORTED", 1)
    async with working(file, new_row(1), new_row(2, user_id="u"), new_row(3, user_id="u")) as ledger:
        found = await ledger.statistics()
    assert [(user.user_id, user.rows) for user in found.users] == [("u", 2)]
    assert found.all_users == 2


async def _refuse(file: Path, *reasons: str) -> list[tuple[str, int]]:
    async with working(file, *map(new_row, range(len(reasons)))) as ledger:
        for number, reason in enumerate(reasons):
            row = await row_of(ledger, number)
            attempt = await ledger.intend([row], Stage.ACTIVITY, [None])
            await ledger.settle(attempt, [row], [replace(REFUSED, why=because(reason))])
        found = await ledger.statistics()
    assert {kind.row.state for kind in found.reasons} == {State.FAILED}
    return [(f"{spell_alike(each)}", each.rows) for each in found.reasons]


async def test_reasons_that_differ_only_in_what_they_quote_are_one_kind(file: Path) -> None:
    reasons = ["No lead 'a' here", "No user", "No lead 'b' here", "No lead 'c' here"]
    assert await _refuse(file, *reasons) == [
        ("Rows 1, 3 and 4, for example row 1: No lead 'a' here", 3),
        ("Row 2: No user", 1),
    ]


async def test_no_more_kinds_are_kept_than_fit(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "KINDS_KEPT", 2)
    found = await _refuse(file, "aa", "bb", "cc", "dd", "aa")
    assert sorted(found) == [
        ("Row 2: bb", 1),
        ("Rows 1 and 5: aa", 2),
        ("Rows 3 and 4: other reasons", 2),
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Row 2, Access 'full': not an access", "Row 31, Access 'all': not an access"),
        ("lead ab5b2b89-225a-56a3-9ab2-16b4303c73f7 is gone", "lead 247ffe33-6daa-53de-9543-8f15ca51b396 is gone"),
        ("nobody has a.b@x.example", "nobody has c@y.example"),
        ("repeats row 12", "repeats row 7"),
        ("ended 2026-01-02 10:00", "ended 2026-12-31 23:59"),
        ("lead 869000 is not there", "lead 869001 is not there"),
        ('says "x"', 'says "y"'),
        ("210 characters; LeadSquared keeps 200", "4711 characters; LeadSquared keeps 200"),
        ("only 5 of 12 cells: something", "only 7 of 12 cells: something"),
        ("marked bs-abc123", "marked bs-def-9"),
    ],
)
def test_what_differs_makes_no_other_kind(one: str, other: str) -> None:
    assert kind_of(one) == kind_of(other)
    assert "…" in kind_of(one)


def test_what_a_reason_says_stays() -> None:
    assert kind_of("HTTP 503: Service Unavailable") == "HTTP 503: Service Unavailable"
    assert kind_of("it's the user's own") == "it's the user's own"
    assert (
        kind_of("Duration 'soon': no duration: write 30m, 12h, 7d")
        == "Duration “…”: no duration: write 30m, 12h, 7d"
    )
