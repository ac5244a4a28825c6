"""Look-ups in the ledger, and ledgers from before there were any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledgers import HOST, new_row, working
from old_ledgers import turn_back

from batch_share.ledger import schema
from batch_share.ledger.files import LedgerName, open_ledger, read_ledger
from batch_share.ledger.reading import PAGE
from batch_share.ledger.records import Lookup
from batch_share.ledger.states import State

if TYPE_CHECKING:
    from pathlib import Path

FOUND = Lookup("Lead Number", "7", {"id": "x", "number": "7"})
NOBODY = Lookup("Lead Number", "8", None, "no lead has this number")


async def test_what_was_answered_is_kept(file: Path) -> None:
    async with working(file) as ledger:
        await ledger.note_lookups([FOUND, NOBODY])
        await ledger.note_lookups([])
    async with read_ledger(LedgerName.of(file)) as ledger:
        assert [each async for each in ledger.lookups()] == [FOUND, NOBODY]


async def test_a_later_answer_takes_the_place_of_an_earlier(file: Path) -> None:
    later = Lookup("Lead Number", "8", {"id": "y", "number": "8"})
    async with working(file) as ledger:
        await ledger.note_lookups([FOUND, NOBODY])
        await ledger.note_lookups([later])
        assert [each async for each in ledger.lookups()] == [FOUND, later]


async def test_of_many_answers_none_is_left_out_where_a_page_ends(file: Path) -> None:
    values = [f"{number:04}" for number in range(3 * PAGE // 2)]
    many = [Lookup(kind, value, {"id": value}) for kind in ("A", "B") for value in values]
    async with working(file) as ledger:
        await ledger.note_lookups(list(reversed(many)))
        assert [each async for each in ledger.lookups()] == many


async def test_a_ledger_of_version_1_is_upgraded_and_keeps_its_rows(in_file: Path) -> None:
    async with working(in_file, new_row(1), new_row(2)) as ledger:
        before = [row async for row in ledger.all_rows()]
    turn_back(in_file, 1)
    async with open_ledger(LedgerName.of(in_file), host=HOST) as ledger:
        assert await ledger.schema_version() == schema.VERSION
        assert [row async for row in ledger.all_rows()] == before
        assert await ledger.counts() == {State.PENDING: 2}
        await ledger.note_lookups([FOUND])
        assert [each async for each in ledger.lookups()] == [FOUND]
