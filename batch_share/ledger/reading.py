"""Reading a ledger: its facts, its counts, its rows; possible while another process writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import case, func, or_, select, tuple_

from batch_share.ledger.database import check_version
from batch_share.ledger.records import Instruction, Lookup, Row, RunRecord, SheetRecord, Skipped, Unsettled
from batch_share.ledger.schema import about, attempts, lookups, rows, runs, sheets
from batch_share.ledger.states import TO_DO, TROUBLED, Stage, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence
    from pathlib import Path

    from sqlalchemy import Column, ColumnElement, Executable, RowMapping

    from batch_share.ledger.database import Database

PAGE: Final = 500
"""Rows that are read at a time: memory stays flat however long the sheet is."""

INSTRUCTION: Final = tuple(Instruction.__slots__)
"""The columns that hold what a row asks for."""

LOOK: Final = "look"
"""The step of an attempt that looked an unknown row up."""

SENT_BEFORE: Final = "sent as it was before: "
"""How the notice of a row begins whose share was sent before the sheet asked for another length."""

_IS_DOUBLE: Final = rows.c.notice.is_not(None) & ~rows.c.notice.startswith(SENT_BEFORE)
"""Rows whose activity was found twice: all other notices."""

_GONE_LAST: Final = (rows.c.position.is_(None), rows.c.position)  # databases differ in where they sort NULL


_MEANT: Final = rows.c.position.is_not(None) & rows.c.chosen
"""Rows that the sheet in force has, and that were not left out of it."""


class LedgerReader:
    """An open ledger, to be looked at. Make one with `read_ledger`.

    Every method raises LedgerError, in one sentence, when the file can't be read.
    """

    def __init__(self, file: Path, opened: Database) -> None:
        self.file = file
        self._database = opened

    async def facts(self) -> dict[str, str]:
        """What is known of the ledger as a whole: `job`, `host`, `schema_version`."""
        return {row["name"]: row["value"] for row in await self._all(select(about))}

    async def sheet(self) -> SheetRecord | None:
        """The sheet in force, None before the first was taken in."""
        found = await self._all(select(sheets).order_by(sheets.c.id.desc()).limit(1))
        if not found:
            return None
        return SheetRecord(**{name: found[0][name] for name in SheetRecord.__slots__})

    async def runs(self) -> list[RunRecord]:
        """Every process that worked on the ledger, oldest first."""
        return [RunRecord(**row) for row in await self._all(select(runs).order_by(runs.c.id))]

    async def counts(self) -> dict[State, int]:
        """How many rows are in each state; the sum is the number of rows."""
        found = await self._all(select(rows.c.state, func.count().label("n")).group_by(rows.c.state))
        return {State(row["state"]): row["n"] for row in found}

    async def to_do_counts(self) -> dict[State, int]:
        """How many rows are still to be sent, by state: those that were left out of the sheet do not count."""
        found = await self._all(
            select(rows.c.state, func.count().label("n")).where(_to_do(None)).group_by(rows.c.state)
        )
        return {State(row["state"]): row["n"] for row in found}

    async def events_to_do(self, looked_up_in: int | None = None) -> list[int]:
        """The activity types of the rows that are still to be sent, in order of first use.

        With `looked_up_in`, here and below, only of rows that this run has looked up.
        """
        todo = (
            select(rows.c.event)
            .where(_to_do(looked_up_in))
            .group_by(rows.c.event)
            .order_by(func.min(rows.c.position))
        )
        return [row["event"] for row in await self._all(todo)]

    async def next_to_do(
        self, event: int, state: State, not_for: Collection[str] = (), looked_up_in: int | None = None
    ) -> Row | None:
        """The first row of this activity type that is to be sent from `state`, passing over those for these users.

        Of two, one that was never sent before comes first.
        """
        which = (rows.c.event == event, rows.c.state == state, rows.c.user_id.not_in(not_for))
        first = select(rows).where(_to_do(looked_up_in), *which)
        found = await self._all(first.order_by(rows.c.stage.is_not(None), rows.c.position).limit(1))
        return _row(found[0]) if found else None

    async def users_to_do(self, looked_up_in: int | None = None) -> set[str]:
        """The users of the rows whose activity is still to be posted."""
        users = select(rows.c.user_id).where(_to_do(looked_up_in), rows.c.state == State.PENDING).distinct()
        return {row["user_id"] for row in await self._all(users)}

    async def to_do_by_user(self) -> dict[str, int]:
        """By user Id, how many rows are still to be sent."""
        counted = select(rows.c.user_id, func.count().label("n")).where(_to_do(None)).group_by(rows.c.user_id)
        return {row["user_id"]: row["n"] for row in await self._all(counted)}

    async def accepted_rows(self, most: int) -> list[Row]:
        """The first rows of the sheet in force that wait for the status API's word."""
        waiting = select(rows).where(rows.c.state == State.ACCEPTED, _MEANT).order_by(rows.c.position)
        return [_row(found) for found in await self._all(waiting.limit(most))]

    async def rows_by_id(self, ids: Collection[int]) -> list[Row]:
        """These rows as they are now, in the sheet's order."""
        these = select(rows).where(rows.c.id.in_(ids)).order_by(*_GONE_LAST)
        return [_row(found) for found in await self._all(these)]

    async def to_do(self, looked_up_in: int | None = None) -> AsyncIterator[Row]:
        """The rows that are still to be sent, in the sheet's order, read page by page as they are wanted."""
        # By its index of states, a database would read and sort all that are to do for every page.
        in_order = (rows.c.state + "").in_(TO_DO)
        async for row in self._in_order(in_order & _to_go_on(looked_up_in)):
            yield row

    async def unknown_rows(self, stage: Stage) -> list[Unsettled]:
        """The rows of the sheet in force that are unknown in this stage, each with its last call, in order."""
        each = attempts.alias()
        last = select(func.max(each.c.id)).where(each.c.row_id == rows.c.id, each.c.step == stage)
        found = await self._all(
            select(rows, attempts.c.marker, attempts.c.sent_at)
            .select_from(rows)
            .join(attempts, attempts.c.id == last.correlate(rows).scalar_subquery())
            .where(rows.c.state == State.UNKNOWN, rows.c.stage == stage, _MEANT)
            .order_by(rows.c.position)
        )
        return [Unsettled(_row(row), row["marker"], row["sent_at"], row["changed_at"]) for row in found]

    async def posted_with_marker(self, event: int, *, in_note: bool) -> Row | None:
        """A row whose activity of this type was posted with such a marker, and answered; the latest."""
        marker = attempts.c.marker.like("[%") if in_note else attempts.c.marker.like("bs-%")
        done = (attempts.c.step == Stage.ACTIVITY) & (attempts.c.outcome == "done") & marker
        found = await self._all(
            select(rows)
            .join(attempts, attempts.c.row_id == rows.c.id)
            .where(rows.c.event == event, done)
            .order_by(attempts.c.id.desc())
            .limit(1)
        )
        return _row(found[0]) if found else None

    async def all_rows(self) -> AsyncIterator[Row]:
        """Every row in the sheet's order, then those that the sheet no longer has."""
        async for row in self._in_order(rows.c.position.is_not(None)):
            yield row
        async for row in self._in_order(rows.c.position.is_(None), rows.c.id):
            yield row

    async def troubled_rows(self, most: int) -> list[Row]:
        """The first rows that a person has to look at, in the sheet's order."""
        trouble = or_(rows.c.state.in_(TROUBLED), _IS_DOUBLE)
        troubled = select(rows).where(trouble).order_by(*_GONE_LAST).limit(most)
        return [_row(found) for found in await self._all(troubled)]

    async def noticed(self) -> int:
        """How many rows have a notice that somebody has to act on: their activity was found twice."""
        counted = await self._all(select(func.count().label("n")).where(_IS_DOUBLE))
        return int(counted[0]["n"])

    async def skipped(self, most: int) -> list[Skipped]:
        """Why rows are skipped: the `most` frequent reasons, and of those as frequent the first in the sheet."""
        count, position = func.count(), func.min(rows.c.position)
        is_there = case((func.count(rows.c.position) == count, func.min(rows.c.sheet_row)))
        found = await self._all(
            select(rows.c.reason, count.label("rows"), is_there.label("sheet_row"))
            .where(rows.c.state == State.SKIPPED)
            .group_by(rows.c.reason)
            .order_by(count.desc(), position.is_(None), position)
            .limit(most)
        )
        return [Skipped(row["reason"] or "", row["rows"], row["sheet_row"]) for row in found]

    async def lookups(self) -> AsyncIterator[Lookup]:
        """Everything that LeadSquared was asked about leads and users, and its answers, read page by page."""
        place = tuple_(lookups.c.kind, lookups.c.value)
        in_order = select(lookups).order_by(lookups.c.kind, lookups.c.value).limit(PAGE)
        found = await self._all(in_order)
        while found:
            for row in found:
                yield Lookup(**{name: row[name] for name in Lookup.__slots__})
            found = await self._all(in_order.where(place > (found[-1]["kind"], found[-1]["value"])))

    async def asked_in_vain(self) -> bool:
        """Whether LeadSquared was asked for somebody who was not there."""
        return bool(await self._all(select(lookups.c.value).where(lookups.c.found.is_(None)).limit(1)))

    async def waiting_requests(self) -> list[str]:
        """The request Ids of accepted rows, each once, oldest first."""
        accepted = select(rows.c.request_id).where(rows.c.state == State.ACCEPTED)
        ordered = accepted.group_by(rows.c.request_id).order_by(func.min(rows.c.changed_at))
        return [row["request_id"] for row in await self._all(ordered)]

    async def _in_order(self, which: ColumnElement[bool], by: Column[Any] = rows.c.position) -> AsyncIterator[Row]:
        last = -1
        while True:
            page = select(rows).where(which, by > last).order_by(by).limit(PAGE)
            found = await self._all(page)
            for row in found:
                yield _row(row)
            if len(found) < PAGE:
                return
            last = found[-1][by]

    async def _all(self, query: Executable) -> Sequence[RowMapping]:
        return await self._database.read(lambda connection: connection.execute(query).mappings().all())

    async def schema_version(self) -> int:
        """The version of the ledger's tables. Raises LedgerError or LedgerTooNew for what we can't read."""
        return await self._database.read(lambda connection: check_version(connection, self.file))

    async def close(self) -> None:
        """Finish what is being written and close the file."""
        await self._database.close()


def _to_do(looked_up_in: int | None) -> ColumnElement[bool]:
    return rows.c.state.in_(TO_DO) & _to_go_on(looked_up_in)


def _to_go_on(looked_up_in: int | None) -> ColumnElement[bool]:
    if looked_up_in is None:
        return _MEANT
    looked_up = select(attempts.c.row_id).where(attempts.c.run_id == looked_up_in, attempts.c.step == LOOK)
    return _MEANT & rows.c.id.in_(looked_up)


def _row(found: RowMapping) -> Row:
    asked = Instruction(**{name: found[name] for name in INSTRUCTION}) if found["lead_id"] else None
    stage = Stage(found["stage"]) if found["stage"] else None
    return Row(
        id=found["id"],
        key=found["key"],
        sheet_row=found["sheet_row"],
        cells=found["cells"],
        state=State(found["state"]),
        instruction=asked,
        position=found["position"],
        stage=stage,
        reason=found["reason"],
        activity_id=found["activity_id"],
        request_id=found["request_id"],
        share_status=found["share_status"],
        notice=found["notice"],
    )
