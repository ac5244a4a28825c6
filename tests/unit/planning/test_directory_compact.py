"""Little memory for many names, and nothing lost or mixed up for it."""

from __future__ import annotations

import tracemalloc
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from batch_share.leadsquared.people import FoundLead
from batch_share.ledger.records import Instruction, Lookup, NewRow, SheetRecord
from batch_share.ledger.states import State
from batch_share.planning import directory, overview, plan
from batch_share.planning.directory import Directory, Names, Numbers, PackedTexts
from batch_share.settings import Settings
from batch_share.sheet.columns import Field
from batch_share.sheet.rows import Ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

MANY = 20_000


def guid(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


# --------------------------------------------------------------------------------------------------- numbers


def test_each_key_has_its_own_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where many of them share a shelf."""
    where = directory._where
    monkeypatch.setattr(directory, "_where", lambda key: (where(key)[0], 0))
    numbers = Numbers()
    for number in range(2000):
        numbers.put(str(number), number)
    assert [numbers.get(str(number)) for number in range(2001)] == [*range(2000), None]


def test_a_number_is_replaced_by_put_and_kept_by_setdefault() -> None:
    numbers = Numbers()
    assert (numbers.setdefault("key", 7), numbers.setdefault("key", 8), numbers.get("key")) == (7, 7, 7)
    numbers.put("key", 2**40 - 1)
    numbers.put("other", 0)
    assert (numbers.get("key"), numbers.setdefault("other", 5)) == (2**40 - 1, 0)


def test_a_digest_is_not_found_across_two_entries() -> None:
    digest = bytes(range(16))
    across = b"x" * 20 + digest[:1], digest[1:] + b"y" * 6
    assert directory._find(b"".join(across), digest) == -1
    assert directory._find(b"".join(across) + digest + b"1" * 5, digest) == 42


# ----------------------------------------------------------------------------------------- lines and names


def test_a_line_comes_back_as_it_was() -> None:
    values = ["a\nb", "", ["Ä", '"', "\udc80"], 7]
    lines = PackedTexts()
    places = [lines.add(value) for value in values]
    assert [lines.at(place) for place in places] == list(lines) == values


def test_names_are_kept_once_by_field_and_can_be_gone_through_again() -> None:
    seven, eight = Ref(Field.LEAD_NUMBER, "7"), Ref(Field.LEAD_NUMBER, "8")
    user, its_number = Ref(Field.USER_ID, "x"), Ref(Field.LEAD_ID, "7")
    names = Names([seven, user, seven, eight, user, its_number])
    assert list(names) == list(names) == [seven, eight, its_number, user]
    assert Names([seven])
    assert Names([user])
    assert not Names([])


# ---------------------------------------------------------------------------------------------------- memory


@contextmanager
def measured() -> Iterator[dict[str, int]]:
    """Says in `kept` how many bytes were taken and kept for each of MANY."""
    reported: dict[str, int] = {}
    tracemalloc.start()
    try:
        yield reported
        reported["kept"] = tracemalloc.get_traced_memory()[0] // MANY
    finally:
        tracemalloc.stop()


def answer(number: int) -> Lookup:
    lead = FoundLead(guid(number), str(number), f"lead{number}@customers.example", f"+91-98{number:08}")
    return Lookup("Lead Id", lead.id, asdict(lead))


def test_a_lead_that_was_looked_up_takes_little_memory() -> None:
    with measured() as bytes_of_one:
        directory = Directory()
        directory.learn(answer(number) for number in range(MANY))
    assert bytes_of_one["kept"] < 300
    assert directory.is_found(Ref(Field.LEAD_ID, guid(MANY - 1)))


def test_a_name_that_is_to_be_looked_up_takes_little_memory() -> None:
    with measured() as bytes_of_one:
        names = Names(Ref(Field.LEAD_ID, guid(number)) for number in range(MANY))
    assert bytes_of_one["kept"] < 80
    assert next(iter(names)) == (Field.LEAD_ID, guid(0))


def test_a_row_that_is_looked_for_repeats_takes_little_memory() -> None:
    with measured() as bytes_of_one:
        seen = plan._Seen()
        for number in range(MANY):
            seen.add((guid(number), str(number), guid(7), 1, 201), number)
    assert bytes_of_one["kept"] < 90
    assert seen.add((guid(3), "3", guid(7), 1, 201), MANY) == (2, 3)


def test_a_row_that_is_looked_for_conflicts_takes_little_memory() -> None:
    def row(number: int, lead: int, access: int) -> NewRow:
        asked = Instruction(guid(lead), str(lead), guid(7), access, 60, 201, "Note")
        return NewRow(str(number), number, (), State.PENDING, asked)

    settings = Settings()
    with measured() as bytes_of_one:
        counts = overview.Counts(record=SheetRecord("leads.csv", "", None, "", ()), settings=settings)
        for number in range(MANY):
            counts.add(row(number, number, 1))
    assert bytes_of_one["kept"] < 90
    counts.add(row(MANY, 3, 2))
    reported, *_ = counts.oddities()
    assert reported.endswith(f"row 3 says read and row {MANY} says write")
