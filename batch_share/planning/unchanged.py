"""Which rows of a sheet are shared already as they are asked for: most of one that is run again.

They stay as the ledger has them, and only the others are read by the rules, looked up and taken in.
"""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass, field, replace
from itertools import chain, count
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from batch_share.common import chunks
from batch_share.ledger.reading import PAGE
from batch_share.ledger.states import State
from batch_share.planning.plan import key_of_row, mapping_of
from batch_share.sheet.columns import LEADS, Field
from batch_share.sheet.rows import DATED, ShareRow
from batch_share.sheet.table import Block
from batch_share.sheet.values import KEPT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Row

    from batch_share.ledger.reading import LedgerReader
    from batch_share.planning.directory import Directory
    from batch_share.planning.plan import Plan
    from batch_share.sheet.table import RawRow


MOST_OTHERS: Final = 20_000
"""Rows that are others, up to which it is worth while to tell them: they are kept for a moment, 500 bytes each."""

_PLACE, _ID, _NUMBER, _CELLS, _NOTE, _LEAD = range(6)
_USER, _LENGTH = 7, 10
"""Where in a row of `LedgerReader.taken` what stands: from the lead up to the length all that makes its key."""


@dataclass(slots=True)
class Unchanged:
    """The rows of a sheet that are unchanged, by their place in it, from 0.

    `ids` are theirs in the ledger, 0 in the place of any other row. `events` are the codes of activity types that
    they were taken in with, by what the sheet says. `noted` are the places of those that get another note, by note.
    """

    ids: array[int] = field(default_factory=lambda: array("Q"))
    events: dict[int | str, int] = field(default_factory=dict)
    noted: dict[str, array[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids) - self.ids.count(0)

    def rest_of(self, plan: Plan) -> Plan:
        """The plan of all other rows, which are kept once the sheet was read for them: there are not many."""
        kept: list[Block] | None = None

        def read() -> Iterator[Block]:
            nonlocal kept
            start, rest = 0, list[Block]()
            for block in plan.sheet.blocks():
                length = len(block.cells)
                same = self.ids[start : start + length]
                same.extend([0] * (length - len(same)))  # should it have grown meanwhile
                if left := [at for at, row_id in enumerate(same) if not row_id]:
                    odd = {place: block.odd[at] for place, at in enumerate(left) if at in block.odd}
                    rest.append(Block([block.numbers[at] for at in left], [block.cells[at] for at in left], odd))
                    yield rest[-1]
                start += length
            kept = rest

        return replace(plan, sheet=replace(plan.sheet, blocks=lambda: read() if kept is None else iter(kept)))

    def places(self) -> Iterator[int]:
        """Where all other rows stand, in order."""
        return chain((place for place, row_id in enumerate(self.ids) if not row_id), count(len(self.ids)))

    def notes(self) -> dict[str, list[int]]:
        """By each note that is another than it was, the rows that get it, by Id."""
        return {note: [*filter(None, map(self.ids.__getitem__, places))] for note, places in self.noted.items()}

    def is_meant(self, directory: Directory) -> bool:
        """Whether their activity types are still there, and are called so."""
        return not any(
            directory.strange(event) or directory.code_of(event) != code for event, code in self.events.items()
        )

    def take(self, block: Block, found: Sequence[Row[Any]], told: _Told) -> Iterator[Row[Any]]:
        """Take in the next rows, and what the ledger has in their places. Yields of that what is other."""
        start = len(self.ids)
        self.ids.extend([0] * len(block.cells))
        is_as_it_was = [row[_NUMBER] for row in found] == [*block.numbers]
        # All at once: by itself each takes several times as long.
        if not is_as_it_was or f"[{', '.join(row[_CELLS] for row in found)}]" != json.dumps(block.cells):
            is_as_it_was, written = False, [*map(json.dumps, block.cells)]
        for row in found:
            at = row[_PLACE] - start
            if is_as_it_was or (row[_NUMBER] == block.numbers[at] and row[_CELLS] == written[at]):
                asked = None if at in block.odd else told.of(block, at)
                if asked is not None and row[_USER:] == asked[1]:
                    self.ids[start + at] = row[_ID]
                    if row[_NOTE] != asked[0]:
                        self.noted.setdefault(asked[0], array("Q")).append(start + at)
                    continue
            yield row


class _Told:
    """What rows ask for, but of which lead: by the cells that say so, which are the same in row after row."""

    def __init__(self, plan: Plan, directory: Directory, events: dict[int | str, int]) -> None:
        found = plan.sheet.found
        places = {index for each, index in found.fields.items() if each not in LEADS} | {*found.custom.values()}
        places |= {*found.others}
        self._cells = itemgetter(*sorted(places))
        self._plan, self._directory, self._events = plan, directory, events
        self._known: dict[Any, tuple[str, tuple[Any, ...]] | None] = {}

    def of(self, block: Block, at: int) -> tuple[str, tuple[Any, ...]] | None:
        """The note and all else that a row which is as it was asks for; None if the rules are to say."""
        key = self._cells(block.cells[at])
        if key not in self._known:
            if len(self._known) > KEPT:
                self._known.clear()
            self._known[key] = self._read(block.row(at))
        return self._known[key]

    def _read(self, raw: RawRow) -> tuple[str, tuple[Any, ...]] | None:
        asked = self._plan.rules.check(raw)
        if not isinstance(asked, ShareRow):
            return None
        user, event = self._directory.user_of(asked.users), self._directory.code_of(asked.event)
        if user is None or event is None:
            return None
        self._events[asked.event] = event
        custom = json.dumps(dict(asked.custom)) if asked.custom else None
        length = asked.duration, asked.until
        # It is shared, chosen, corrected by no sheet of failed rows, and nothing else is to be known of it.
        return asked.note, (user, asked.access, event, *length, custom, State.SHARED, True, None, None)


async def unchanged_rows(ledger: LedgerReader, plan: Plan, directory: Directory) -> Unchanged | None:
    """The rows of a plan that the ledger has shared as they are asked for; None if there can be none.

    `directory` knows the users and activity types that the ledger knows. Raises SheetError, LedgerError.

    By the same cells under the same headers a row means the same lead, since whom a look-up once found stays who
    is meant; all else that it asks for is read anew. Left to the rules are whole sheets that say what to do, of
    which one row may contradict another, or dates, of which time changes what they mean.
    """
    sheet, before = plan.sheet, await ledger.sheet()
    is_timeless = {*DATED, Field.ACTION}.isdisjoint({*sheet.found.fields, *plan.rules.defaults})
    is_read_so = before is not None and [*before.columns] == [*sheet.columns]
    if before is None or not is_read_so or not is_timeless or plan.selection or plan.corrections is not None:
        return None
    if before.mapping != mapping_of(sheet) or len({*sheet.columns}) < len(sheet.columns):
        return None
    if await ledger.asked_in_vain(unanswered=True):
        return None
    unchanged, place, others = Unchanged(), 0, set[tuple[Any, ...]]()
    told = _Told(plan, directory, unchanged.events)
    for block in sheet.blocks():
        end = place + len(block.cells)
        others.update(
            tuple(row[_LEAD:_LENGTH]) for row in unchanged.take(block, await ledger.taken(place, end), told)
        )
        place = end
        if len(others) > MOST_OTHERS:
            return None
    while gone := await ledger.taken(place, place + PAGE):
        others.update(tuple(row[_LEAD:_LENGTH]) for row in gone)
        place += PAGE
        if len(others) > MOST_OTHERS:
            return None
    # Of those that ask for the same each is told by how many of them stand above it: they go together.
    job, occurrence = (await ledger.facts()).job, 0
    while others:
        occurrence += 1
        keys = {
            key_of_row(job, (lead, number and number.lstrip("0"), *rest), occurrence): (lead, number, *rest)
            for lead, number, *rest in others
        }
        others = set()
        for page in chunks(keys, PAGE):
            for key, place in await ledger.places_of(page):
                if place < len(unchanged.ids):
                    unchanged.ids[place] = 0
                others.add(keys[key])
    return unchanged
