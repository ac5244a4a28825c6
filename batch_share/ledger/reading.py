"""Reading a ledger: its facts, its counts, its rows; possible while another process writes it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import (
    DateTime,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    extract,
    false,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    true,
    tuple_,
)

from batch_share.common import ON_PAGE, Action, Cause, chunks
from batch_share.ledger.database import check_version
from batch_share.ledger.queries import (
    ASKED_ANEW,
    CLEARED,
    COUNTED,
    DURATION_NOW,
    FIXABLE,
    FIXABLE_IN_SHEET,
    GIVES_ACCESS,
    GONE_LAST,
    IN_SHEET,
    IS_DOUBLE,
    LEAN,
    LONG_AGO,
    MATTERS,
    MEANT,
    OF_CALL,
    OF_EARLIER_SHEET,
    RECOVERS,
    RETRY,
    REVOCATION_LOST,
    SHARE_MAY_COME,
    SHARE_MAY_STAND,
    SHARE_NOT_ENDED,
    SHARES,
    STATES,
    STATUS_NOT_READ,
    TROUBLE,
    TROUBLE_IN_ORDER,
    UNTIL_NOW,
    USER_KINDS,
    WITH_SHARE,
    again_from,
    counts_by_user,
    gather,
    known_users,
    new_row_of,
    reasons_of,
    row_of,
    share_of,
    state_at,
    state_in_sheet,
    to_go_on,
    with_last_call,
)
from batch_share.ledger.records import (
    NONE_ENDING,
    Edit,
    EndingSoon,
    Facts,
    Lookup,
    NewRow,
    Posted,
    Row,
    RunRecord,
    Settled,
    Share,
    SheetRecord,
    Statistics,
    ToShare,
    Totals,
    Waiting,
    run_id,
)
from batch_share.ledger.schema import about, attempts, edits, lookups, rows, runs, sheets
from batch_share.ledger.states import (
    BEING_REVOKED,
    INTENTS,
    NEVER_SENT,
    ON_ITS_WAY,
    TO_DO,
    UNTIL_ENDED,
    Stage,
    State,
    rows_in,
)
from batch_share.outputs import WRITTEN, Written, as_fact, written_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Column, ColumnElement, Connection, Executable, RowMapping, Select
    from sqlalchemy import Row as Taken

    from batch_share.common import Correction
    from batch_share.ledger.database import Database
    from batch_share.ledger.files import LedgerName

T = TypeVar("T")


_HAVING: Final = {
    step: select(rows.c.id).where(column == bindparam("given")).limit(100)  # several times as many as a call has
    for step, column in (
        (Stage.ACTIVITY, rows.c.activity_id),
        (Stage.SHARE, rows.c.request_id),
        (Stage.REVOKE, rows.c.revoke_id),
    )
}
"""By step, the rows for which an Id was given. Built once: building takes longer than running."""

PAGE: Final = 500
"""Rows that are read at a time: memory stays flat however long the sheet is."""

SHARES_PAGE: Final = 2000

SHOWN: Final = "shown"
"""The fact that is the number of the last sheet that changed anything that results and shares show."""

_TAKEN: Final = (
    select(
        *(rows.c.position, rows.c.id, rows.c.sheet_row, cast(rows.c.cells, Text), rows.c.note),
        *(rows.c.lead_id, rows.c.lead_number, rows.c.user_id, rows.c.access, rows.c.event),
        *(rows.c.duration, rows.c.until, cast(rows.c.custom, Text)),
        *(rows.c.state, rows.c.chosen, rows.c.edit, rows.c.notice_kind),
    )
    .where(IN_SHEET)
    .order_by(rows.c.position)
)
"""What a sheet says of its rows, as they were taken in."""

_TOLD_ALONE: Final = (*TO_DO, State.INVALID, State.SKIPPED)
"""The states of rows of which more is counted than their state."""

_EVENT: Final = "Activity Event"
"""The kind of what LeadSquared was asked about activity types."""


class LedgerReader:
    """An open ledger, to be looked at. Make one with `read_ledger`.

    Every method raises LedgerError, in one sentence, when the file can't be read.
    Rows whose share ends before `renew_before` (UTC, without a zone), or with `renews_all` each that is shared, are
    to be sent too, once more; None: no row is. `forced_by`: the number of the store's job that has this done.
    """

    def __init__(self, name: LedgerName, opened: Database, now: Callable[[], datetime] | None = None) -> None:
        self.name = name
        self._database = opened
        self.now = now or opened.now
        self._only_looked_up_in: int | None = None
        self.renew_before: datetime | None = None
        self.renews_all = False
        self.forced_by = 0

    async def facts(self) -> Facts:
        """What is known of the ledger as a whole."""
        return Facts.of({row["name"]: row["value"] for row in await self._all(select(about))})

    async def edits(self) -> dict[str, Edit]:
        """How rows of the sheet were corrected elsewhere, by key."""
        columns = [edits.c[name] for name in Edit.__slots__]
        return {row["key"]: Edit(**row) for row in await self._all(select(*columns))}

    async def corrections(self, most: int) -> tuple[list[Correction], int]:
        """Cells of the sheet's rows that are as corrected elsewhere, so many rows in order; and how many more are.

        Of what an earlier version noted, nobody knows what it was before.
        """
        columns = [edits.c[name] for name in Edit.__slots__]
        edited = select(rows.c.sheet_row, *columns).join(rows, rows.c.edit == edits.c.key).where(IN_SHEET)
        found = [dict(row) for row in await self._all(edited.order_by(rows.c.position).limit(most))]
        (of_all,) = await self._all(select(func.count().label("n")).select_from(edited.subquery()))
        numbers = [row.pop("sheet_row") for row in found]
        cells = [
            each for number, row in zip(numbers, found, strict=True) for each in Edit(**row).corrections(number)
        ]
        return cells, of_all["n"] - len(found)

    async def corrections_to_come(self) -> int:
        """How many rows were corrected on the page, or no longer are, since the sheet was taken in."""
        taken_at = select(func.max(sheets.c.taken_at)).scalar_subquery()
        is_new = or_(taken_at.is_(None), edits.c.made_at > taken_at)
        made = select(func.count()).select_from(edits).where(edits.c.source == ON_PAGE, is_new).scalar_subquery()
        undone = (
            select(func.count())
            .where(IN_SHEET, rows.c.edit.is_not(None), rows.c.edit.not_in(select(edits.c.key)))
            .scalar_subquery()
        )
        return int((await self._all(select((made + undone).label("n"))))[0]["n"])

    async def rows_numbered(self, numbers: Sequence[int]) -> dict[int, Row]:
        """The sheet's rows that have these numbers, by number."""
        found: dict[int, Row] = {}
        for page in chunks(numbers, PAGE):
            of_page = await self.rows_where(rows.c.sheet_row.in_(page), rows.c.position.is_not(None))
            found |= {row.sheet_row: row for row in of_page}
        return found

    async def written(self) -> list[Written]:
        """What was written of it, oldest first."""
        return written_in({row["name"]: row["value"] for row in await self._all(select(about))})

    async def note_written(self, change: Callable[[Sequence[Written]], Sequence[Written]]) -> None:
        """Commit what was written of it, or is about to be, in place of what is noted by then.

        Also beside a run: this fact is no part of its work.
        """

        def note(connection: Connection) -> None:
            facts = {row.name: row.value for row in connection.execute(select(about))}
            connection.execute(delete(about).where(about.c.name == WRITTEN))
            connection.execute(insert(about).values(name=WRITTEN, value=as_fact(change(written_in(facts)))))

        await self._database.write(note)

    async def sheet(self) -> SheetRecord | None:
        """The sheet in force, None before the first was taken in."""
        found = await self._all(select(sheets).order_by(sheets.c.id.desc()).limit(1))
        if not found:
            return None
        return SheetRecord(**{name: found[0][name] for name in SheetRecord.__slots__})

    async def settings_of_sheet(self) -> Mapping[str, Any]:
        """The settings of the run that took the sheet in force in; nothing before the first.

        A run that was refused, or ended before that, had others that mean nothing.
        """
        taken_at = select(sheets.c.taken_at).order_by(sheets.c.id.desc()).limit(1).scalar_subquery()
        took = select(runs.c.settings).where(runs.c.command == "run", runs.c.started_at <= taken_at)
        found = await self._all(took.order_by(runs.c.id.desc()).limit(1))
        return dict(found[0]["settings"]) if found else {}

    async def runs(self) -> list[RunRecord]:
        """Every process that worked on the ledger, oldest first."""
        return [RunRecord(**row) for row in await self._all(select(runs).order_by(runs.c.id))]

    async def last_run(self) -> tuple[str, str]:
        """The Id of the last process that worked on the ledger, and how it ended, in words; "" for what is not."""
        last = await self._all(select(runs).order_by(runs.c.id.desc()).limit(1))
        if not last:
            return "", ""
        return run_id((await self.facts()).job, last[0]["id"], last[0]["started_at"]), last[0]["ended"] or ""

    async def counts(self, *, shares: bool = False) -> dict[State, int]:
        """How many rows are in each state: those of the sheet, and earlier ones that matter still.

        With `shares`, those whose share was renewed count for each of their shares that has not ended.
        """
        is_over = and_(rows.c.state == State.SHARED, rows.c.ends_at <= self.now())
        each = select(rows.c.state, func.count(), func.count(case((is_over, 1)))).group_by(rows.c.state)
        # All by what is in order in an index, less the few that are history: every run asks several times.
        found = await self._rows(each.where(COUNTED | (rows.c.ends_at > self.now()) if shares else COUNTED))
        history = {state: n for state, n, _ in await self._rows(each.where(COUNTED, ~MATTERS))}
        left = {State(state): n - over - history.get(state, 0) for state, n, over in found}
        ended = sum(over for *_, over in found)
        return {state: n for state, n in left.items() if n} | ({State.ENDED: ended} if ended else {})

    async def totals(self) -> Totals:
        """Everything that a summary tells of the rows."""
        now, is_now = self.now(), IN_SHEET.label("is_now")
        state, is_shared = state_at(now).label("state"), rows.c.state == State.SHARED
        found = await self._all(
            select(state, is_now, func.count().label("n")).where(COUNTED, MATTERS).group_by(state, is_now)
        )
        states, earlier = (
            {State(row["state"]): row["n"] for row in found if row["is_now"] == at} for at in (True, False)
        )
        waits = and_(MEANT, rows.c.state == State.PENDING, rows.c.start > now)
        ends = and_(is_shared, rows.c.ends_at > now, rows.c.ends_at <= now + timedelta(days=NONE_ENDING.days))
        ends = ends & rows.c.renewed_as.is_(None)
        has_ended = and_(MEANT, is_shared, rows.c.action == Action.SHARE, rows.c.ends_at <= now)
        stands = rows.c.activity_id.is_not(None) & rows.c.stage.not_in((Stage.ACTIVITY, Stage.REVOKE))
        lost = REVOCATION_LOST & or_(
            rows.c.ends_at.is_(None), rows.c.ends_at > now
        )  # else there is nothing to revoke
        which = {
            "noticed": IS_DOUBLE,
            "standing": and_(rows.c.state == State.FAILED, IN_SHEET, stands),
            "fixable": FIXABLE,
            "in_sheet": FIXABLE_IN_SHEET,
            "lost": lost,
            "untold": FIXABLE & rows.c.cause.in_((Cause.NOT_TOLD, Cause.UNCHECKED)),
            "held": (rows.c.cause == Cause.HELD) & MEANT,
            "renewable": has_ended & or_(UNTIL_NOW.is_(None), now < UNTIL_NOW),
            "other_end": and_(MEANT, is_shared, rows.c.ends_at > now, rows.c.notice_kind == Cause.SENT_BEFORE),
            "waiting": waits,
            "ending": ends,
        }
        counts = [func.count(case((each, 1))).label(name) for name, each in which.items()]
        first_due = func.min(case((waits, rows.c.start))).label("first_due")
        first_end = func.min(case((ends, rows.c.ends_at))).label("first_end")
        counted = dict((await self._all(select(*counts, first_due, first_end)))[0])
        of_source = select(edits.c.source, func.count().label("n")).join(rows, rows.c.edit == edits.c.key)
        of_source = of_source.where(IN_SHEET).group_by(edits.c.source).order_by(edits.c.source)
        skipped = (rows.c.state == State.SKIPPED) & MATTERS
        begun = counted["lost"] + sum(rows_in(each, BEING_REVOKED) for each in (states, earlier))
        unrevoked: list[int] = []  # whoever goes on with them must name them: without a choice all shares are meant
        if begun:
            chosen = select(rows.c.sheet_row).where(IN_SHEET, rows.c.state.in_(BEING_REVOKED) | lost)
            unrevoked = [row["sheet_row"] for row in await self._all(chosen.order_by(rows.c.sheet_row))]
        return Totals(
            states=states,
            earlier=earlier,
            corrected={row["source"]: row["n"] for row in await self._all(of_source)},
            troubles=await self._database.read(
                lambda connection: reasons_of(connection, TROUBLE | STATUS_NOT_READ)
            ),
            skipped=await self._database.read(lambda connection: reasons_of(connection, skipped)),
            waiting=Waiting(counted.pop("waiting"), counted.pop("first_due")),
            ending=EndingSoon(counted.pop("ending"), counted.pop("first_end")),
            unrevoked=unrevoked if len(unrevoked) == begun else [],
            **counted,
        )

    async def keys(self) -> AsyncIterator[tuple[int, str, State, datetime | None]]:
        """By Id and key, the state of each row as a run finds it once the sheet has it again; page by page.

        If the share of one is to be renewed, with the time after which it must end, where the sheet says when.
        """
        which, after = self._renewal() if self.renew_before is not None else (false(), null())
        columns = rows.c.id, rows.c.key, self._found().label("state"), rows.c.cause
        each = select(*columns, case((which, after)).label("renewed_after"))
        async for row in self._paged(each, rows.c.id, SHARES_PAGE):
            yield row["id"], row["key"], state_in_sheet(row["state"], row["cause"]), row["renewed_after"]

    async def refused(self) -> AsyncIterator[tuple[str, State, list[Any]]]:
        """By key, where each refused row begins again should the sheet change; and for what it asked."""
        columns = [rows.c[name] for name in ("state", "cause", "stage", "doubtful", "activity_id")]
        each = select(rows.c.id, rows.c.key, *columns, *(rows.c[name] for name in ASKED_ANEW[State.PENDING]))
        async for row in self._paged(each.where(rows.c.state + "" == State.FAILED), rows.c.id):
            if (back := again_from(row)) is not None:
                yield row["key"], back, [row[name] for name in ASKED_ANEW[back]]

    async def planned(self) -> AsyncIterator[NewRow | tuple[State, bool, int]]:
        """The rows of the sheet in force as a plan would have them, without their cells, to be counted.

        First those of which there is no more to tell, as state, whether chosen, and how many; then all others page
        by page, in order. One that is renewed is `pending`, with what the sheet says now.
        """
        renews = self.to_renew() if self.renew_before is not None else false()
        state = case((renews, State.PENDING.value), else_=self._found())
        first = func.min(rows.c.position)
        alike = select(state.label("state"), rows.c.chosen, func.count().label("n")).where(IN_SHEET)
        for row in await self._all(alike.group_by(state, rows.c.chosen).order_by(first)):
            if row["state"] not in _TOLD_ALONE:
                yield State(row["state"]), row["chosen"], row["n"]
        length = DURATION_NOW.label("duration"), UNTIL_NOW.label("until")
        start = case((renews, null()), else_=rows.c.start).label("start")
        asked = (rows.c[name] for name in ("lead_id", "lead_number", "user_id", "access", "event", "action"))
        told = (rows.c[name] for name in ("key", "position", "sheet_row", "chosen", "cause", "details"))
        each = select(*told, state.label("state"), *asked, *length, start).where(IN_SHEET, state.in_(_TOLD_ALONE))
        async for row in self._paged(each, rows.c.position):
            yield new_row_of(row)

    async def to_share(self) -> ToShare:
        """What the rows that are still to be sent would give, to how many people and until when."""
        is_ahead = case((self.now() < UNTIL_NOW, UNTIL_NOW))
        found = await self._all(
            select(
                func.count(rows.c.lead_id.distinct()).label("leads"),
                func.count(rows.c.user_id.distinct()).label("people"),
                func.count(case((rows.c.access == 1, 1))).label("reads"),
                func.count(case((rows.c.access == 2, 1))).label("writes"),
                func.min(DURATION_NOW).label("shortest"),
                func.max(DURATION_NOW).label("longest"),
                func.min(is_ahead).label("first_end"),
                func.max(UNTIL_NOW).label("last_end"),
            ).where(self._to_do())
        )
        return ToShare(**found[0])

    async def rows_by_id(self, ids: Iterable[int]) -> dict[int, Row]:
        """These rows as they are now, by Id."""
        found: dict[int, Row] = {}
        for chunk in chunks(sorted(ids), PAGE):
            found |= {row.id: row for row in await self.rows_where(rows.c.id.in_(chunk))}
        return found

    async def canary(self) -> list[Row]:
        """The rows that a run chose to go first and did not come to judge, but for those that are out by now."""
        return await self.rows_where(rows.c.id.in_((await self.facts()).canary), MEANT, self._is_due())

    async def ids_to_do(self, state: State | None = None) -> dict[int, str]:
        """The rows that are still to be sent now, by Id, with the user of each; only those in this state.

        Those that were left out of the sheet are none of them, nor are those whose time has not come.
        """
        which = true() if state is None else rows.c.state == state
        to_send = which, self._to_do(), to_go_on(self._only_looked_up_in)
        found = await self._all(select(rows.c.id, rows.c.user_id).where(*to_send))
        return {row["id"]: row["user_id"] for row in found}

    def to_do(self) -> AsyncIterator[Row]:
        """The rows that are still to be sent, in the sheet's order, read page by page as they are wanted."""
        # By its index of states, a database would read and sort all that are to do for every page.
        in_order = (rows.c.state + "").in_(TO_DO)
        to_go_on_with = in_order & to_go_on(self._only_looked_up_in)
        return self.in_order(to_go_on_with & self._is_due() & GIVES_ACCESS & CLEARED)

    async def claims(self, among: Collection[int] | None = None) -> list[Row]:
        """The rows for which shares that were made before are to be revoked now, in the sheet's order.

        Skipped are those for which none was known when it was looked at last. With `among`, those of the rows with
        these Ids, also where that has failed. All come without their cells. A ledger that was recovered may not
        know that some were sent, with all before it: they are looked up first.
        """
        in_vain = (rows.c.state == State.SKIPPED) & (rows.c.cause == Cause.NOTHING_KNOWN)
        is_pending = (rows.c.state == State.PENDING) & rows.c.stage.is_(None)
        has_failed = (rows.c.state == State.FAILED) & (rows.c.stage == Stage.EARLIER)
        may_be_pending = RECOVERS & (rows.c.stage == Stage.ACTIVITY) & ~CLEARED
        which = in_vain | is_pending | may_be_pending if among is None else is_pending | has_failed
        claiming = select(*LEAN).where(rows.c.action != Action.SHARE, which, MEANT, self._is_due())
        found = await self._all(claiming.order_by(rows.c.position))
        return [row_of(row) for row in found if among is None or row["id"] in among]

    async def unknown_rows(self, stage: Stage) -> list[Row]:
        """The rows of the sheet in force that are unknown in this stage, each with its last call if it is known."""
        each = attempts.alias()
        last = select(func.max(each.c.id)).where(each.c.row_id == rows.c.id, each.c.step == stage)
        found = await self._all(
            select(rows, *OF_CALL)
            .select_from(rows)
            .outerjoin(attempts, attempts.c.id == last.correlate(rows).scalar_subquery())
            .where(rows.c.state == State.UNKNOWN, rows.c.stage == stage, MEANT)
            .order_by(rows.c.position)
        )
        return [with_last_call(row) for row in found]

    async def posted_with_marker(self, event: int, *, in_note: bool) -> Row | None:
        """A row whose activity of this type was posted with such a marker, and answered; the latest."""
        marker = attempts.c.marker.startswith("[" if in_note else "bs-")
        done = (attempts.c.step == Stage.ACTIVITY) & (attempts.c.outcome == "done") & marker
        found = await self._all(
            select(rows)
            .join(attempts, attempts.c.row_id == rows.c.id)
            .where(rows.c.event == event, done)
            .order_by(attempts.c.id.desc())
            .limit(1)
        )
        return row_of(found[0]) if found else None

    async def failed_rows(self) -> AsyncIterator[Row]:
        """The failed rows of the sheet in force that were sent, each with its last call, read page by page.

        In the sheet's order, and without their cells.
        """
        last = select(func.max(attempts.c.id)).where(attempts.c.row_id == rows.c.id, attempts.c.step != RETRY)
        last_call = attempts.c.id == last.correlate(rows).scalar_subquery()
        each = select(*LEAN, *OF_CALL).select_from(rows.outerjoin(attempts, last_call))
        failed = rows.c.state + "" == State.FAILED, rows.c.stage != Stage.REVOKE, MEANT
        async for row in self._paged(each.where(*failed), rows.c.position):
            yield with_last_call(row)

    async def ids_in(self, *states: State) -> frozenset[int]:
        """The Ids of the rows in these states, those included of rows that the sheet no longer has."""
        return frozenset(row["id"] for row in await self._all(select(rows.c.id).where(rows.c.state.in_(states))))

    async def states_of(self, row_ids: Iterable[int]) -> dict[State, int]:
        """Of the rows with these Ids, how many are in which state."""
        counted: Counter[State] = Counter()
        for chunk in chunks(row_ids, PAGE):
            state = state_at(self.now()).label("state")
            found = select(state, func.count().label("n")).where(rows.c.id.in_(chunk)).group_by(state)
            counted.update({State(row["state"]): row["n"] for row in await self._all(found)})
        return dict(counted)

    async def failed_together(self, request_id: str) -> list[Row]:
        """The rows of a request that could not be processed, which are to be shared again, in the sheet's order."""
        here = (rows.c.request_id == request_id) & (rows.c.state == State.POSTED)
        meant = to_go_on(self._only_looked_up_in) & self._is_due() & GIVES_ACCESS & CLEARED
        return await self.rows_where(here, meant)

    async def put_back(self) -> list[Row]:
        """The rows that were to be tried again and still are to be sent now, in the sheet's order."""
        tried_again = select(attempts.c.row_id).where(attempts.c.step == RETRY)
        return await self.rows_where(rows.c.state.in_(TO_DO), MEANT, self._is_due(), rows.c.id.in_(tried_again))

    async def shared_rows(self) -> list[Share]:
        """The shares that stand or may stand, those included of rows that the sheet no longer has, in order.

        Of rows whose share was renewed, an earlier one that has ended is none of them.
        """
        may_stand = SHARE_MAY_STAND & (COUNTED | (rows.c.ends_at > self.now()))
        found = await self._rows(SHARES.where(may_stand).order_by(*GONE_LAST, rows.c.id))
        return [share_of(row) for row in found]

    async def numbers(
        self, ranges: Sequence[tuple[int, int]] = (), user_ids: Collection[str] | None = None
    ) -> tuple[int, int, int]:
        """Of the sheet's rows within `ranges` (none: all) and of these users: how many, first and last number."""
        of_them = rows.c.user_id.in_(user_ids) if user_ids is not None else true()
        found = await self._all(select(rows.c.sheet_row).where(rows.c.position.is_not(None), of_them))
        numbers = (row["sheet_row"] for row in found)
        # Not in the database's words: it has no room for the thousand ranges that a person may name.
        within = [n for n in numbers if not ranges or any(first <= n <= last for first, last in ranges)]
        return len(within), min(within, default=0), max(within, default=0)

    async def all_rows(self) -> AsyncIterator[Row]:
        """Every row in the sheet's order, then those that the sheet no longer has."""
        async for row in self.in_order():
            yield row
        async for row in self.in_order(rows.c.position.is_(None) & COUNTED, by_id=True):
            yield row

    async def page(self, after: tuple[bool, int], most: int, states: Collection[State] | None = None) -> list[Row]:
        """Rows that come `after` a place, at most so many.

        They come in the sheet's order, then those that the sheet no longer has. A place is whether it is of those,
        and the row's position, or its Id if it is: (False, -1) is the beginning. With `states`, only rows in these.
        """
        is_gone, last = after
        which = true() if states is None else (state_at(self.now()) + "").in_(states)
        found: list[RowMapping] = []
        ways = ((rows.c.position.is_not(None), rows.c.position), (OF_EARLIER_SHEET, rows.c.id))
        for (there, by), begin in zip(ways[is_gone:], (last, -1), strict=False):
            page = select(rows).where(there, which, by > begin)
            found += await self._all(page.order_by(by).limit(most - len(found)))
        return [row_of(each) for each in found]

    async def all_troubled(self) -> AsyncIterator[tuple[Row, str]]:
        """Every row that a person has to look at, in order, each with the last that LeadSquared said of it."""
        in_sheet = self.in_order(TROUBLE_IN_ORDER & rows.c.position.is_not(None))
        for troubled in (in_sheet, self.in_order(TROUBLE & rows.c.position.is_(None), by_id=True)):
            async for page in pages(troubled):
                said = attempts.c.row_id.in_([row.id for row in page]) & attempts.c.words.is_not(None)
                last = select(func.max(attempts.c.id)).where(said).group_by(attempts.c.row_id)
                found = await self._all(select(attempts.c.row_id, attempts.c.words).where(attempts.c.id.in_(last)))
                words = {each["row_id"]: each["words"] for each in found}
                for row in page:
                    yield row, words.get(row.id, "")

    async def counts_by_user(self) -> dict[str | None, dict[State, int]]:
        """By user Id, None for rows whose user is not known, how many rows are in each state."""
        return await self._database.read(lambda connection: counts_by_user(connection, self.now()))

    async def known_users(self) -> dict[str | None, tuple[str, str]]:
        """By Id, name and e-mail address of the users that LeadSquared was asked for."""
        return await self._database.read(known_users)

    async def statistics(self) -> Statistics:
        """The ledger in numbers that fit each other."""
        return await self._database.read(lambda connection: gather(connection, self.now()))

    async def taken(self, start: int, end: int) -> Sequence[Taken[Any]]:
        """The rows from one place of the sheet in force to another, in its order, as columns of it and of theirs.

        Place, Id, number, cells as they are written, note, the two of the lead, user, access, type, length, custom
        fields as they are written, state, whether it is chosen, edit, notice.
        """
        return await self._rows(_TAKEN.where(rows.c.position >= start, rows.c.position < end))

    async def places_of(self, keys: Collection[str]) -> list[tuple[str, int]]:
        """Those of these rows, by key, that the sheet in force has, each with its place in it."""
        found = await self._all(select(rows.c.key, rows.c.position).where(rows.c.key.in_(keys), IN_SHEET))
        return [(row["key"], row["position"]) for row in found]

    async def lookups(self, among: Iterable[tuple[str, str]] | None = None) -> AsyncIterator[Lookup]:
        """Everything that LeadSquared was asked about leads and users, and its answers, read page by page.

        Of leads, with `among`, only of these, by kind and value.
        """
        place = tuple_(lookups.c.kind, lookups.c.value)
        if among is not None:
            of_others = select(lookups).where(lookups.c.kind.in_((*USER_KINDS, _EVENT)))
            named = (select(lookups).where(place.in_(page)) for page in chunks(among, PAGE))
            for query in chain([of_others], named):
                for row in await self._all(query):
                    yield Lookup(**{name: row[name] for name in Lookup.__slots__})
            return
        in_order = select(lookups).order_by(lookups.c.kind, lookups.c.value).limit(PAGE)
        found = await self._all(in_order)
        while found:
            for row in found:
                yield Lookup(**{name: row[name] for name in Lookup.__slots__})
            found = await self._all(in_order.where(place > (found[-1]["kind"], found[-1]["value"])))

    async def asked_in_vain(self, *, unanswered: bool = False) -> bool:
        """Whether LeadSquared was asked for somebody who was not there; `unanswered`: of whom it did not tell."""
        nobody_told = lookups.c.cause.is_(None) | lookups.c.cause.in_((Cause.INVALID, Cause.NOT_TOLD))
        in_vain = lookups.c.found.is_(None) & (nobody_told if unanswered else true())
        return bool(await self._all(select(lookups.c.value).where(in_vain).limit(1)))

    async def wrong_dates(self) -> dict[Cause, int]:
        """How many rows are invalid for a date of which time may say otherwise by now, by cause.

        An end that was over goes on only where the clock was put back since the sheet was taken in.
        """
        taken = select(sheets.c.taken_at).order_by(sheets.c.id.desc()).limit(1)
        was_ahead = any(row["taken_at"] > self.now() for row in await self._all(taken))
        causes = [Cause.TOO_FAR, *([Cause.OVER] if was_ahead else [])]
        dated = MEANT & (rows.c.state == State.INVALID) & rows.c.cause.in_(causes)
        found = await self._all(select(rows.c.cause, func.count().label("n")).where(dated).group_by(rows.c.cause))
        return {Cause(row["cause"]): row["n"] for row in found}

    async def unsent(self, keys: Iterable[str]) -> list[str]:
        """Those of these rows, by key, that nothing was sent for; new ones are among them."""
        left = []
        for chunk in chunks(keys, PAGE):
            sent = select(rows.c.key).where(rows.c.key.in_(chunk), rows.c.state.not_in(NEVER_SENT))
            there = {row["key"] for row in await self._all(sent)}
            left += [key for key in chunk if key not in there]
        return left

    async def is_given(self, step: Stage, given: str, but: Collection[int]) -> bool:
        """Whether rows other than those with the Ids `but` have this Id: an activity's, or a request's."""
        asked, values = (_HAVING[step], ("given",)), [{"given": given}]
        execute = self._database.execute
        found = await self._database.read(lambda connection: execute(connection, asked, values).scalars().all())
        return any(row_id not in but for row_id in found)

    async def waiting_requests(self, among: Collection[int] | None = None) -> list[str]:
        """The request Ids of shares and revocations that were accepted, each once, oldest first.

        With `among`, only those of the rows with these Ids.
        """
        which = true() if among is None else rows.c.id.in_(among)
        found: list[str] = []
        for state, column in ((State.ACCEPTED, rows.c.request_id), (State.ENDING, rows.c.revoke_id)):
            waiting = select(column.label("request")).where(rows.c.state == state, which).group_by(column)
            found += [row["request"] for row in await self._all(waiting.order_by(func.min(rows.c.changed_at)))]
        return found

    async def share_mark(self) -> str:
        """Other whenever a share may be another one than it was, or be in another row of the sheet."""
        called = await self._all(select(func.max(attempts.c.id).label("n")))
        taken = await self._all(select(about.c.value.label("n")).where(about.c.name == SHOWN))
        if not taken:  # nobody noted it in an older ledger
            taken = await self._all(select(func.max(sheets.c.id).label("n")))
        counts = await self.counts()
        states = (*(state for state, _ in UNTIL_ENDED), State.POSTING, State.SHARING)
        return f"{called[0]['n']} {taken[0]['n']} {[counts.get(state, 0) for state in states]}"

    async def shares(self, *, held: bool = False) -> AsyncIterator[Share]:
        """Every share of which nobody has heard that it failed, or was revoked, read page by page.

        With `held`, those too that are still to be made, of rows that are under way.
        """
        async for page in self.share_pages(held=held):
            for share in page:
                yield share

    async def share_pages(self, *, held: bool = False) -> AsyncIterator[list[Share]]:
        """The same page by page, in the order of their rows."""
        last, each = -1, SHARES.where(SHARE_MAY_COME if held else SHARE_NOT_ENDED)
        page = each.order_by(rows.c.id).limit(SHARES_PAGE)
        while found := await self._rows(page.where(rows.c.id > last)):
            shares = [share_of(row, at_latest=True) for row in found]
            yield shares
            last = shares[-1].row_id

    async def type_names(self) -> dict[int, str]:
        """What activity types are called, by code, as far as LeadSquared told."""
        told = select(lookups.c.value, lookups.c.found).where(
            lookups.c.kind == _EVENT, lookups.c.found.is_not(None)
        )
        return {int(row["value"]): str(row["found"]["name"]) for row in await self._all(told)}

    async def events(self) -> set[int]:
        """The activity types of its rows."""
        found = await self._all(select(rows.c.event).where(rows.c.event.is_not(None)).distinct())
        return {row["event"] for row in found}

    async def markers(self) -> AsyncIterator[str]:
        """The markers of all activities that were sent, answered or not, read page by page."""
        each = select(attempts.c.id, attempts.c.marker).where(attempts.c.marker.is_not(None))
        async for row in self._paged(each, attempts.c.id, SHARES_PAGE):
            yield row["marker"]

    async def posted(self, since: datetime | None = None) -> AsyncIterator[Posted]:
        """The activities that were sent with a marker, answered or not, `since` then; each once for each try."""
        sent = attempts.join(rows, rows.c.id == attempts.c.row_id)
        columns = rows.c.sheet_row, rows.c.event, rows.c.activity_id, rows.c.state, rows.c.stage, rows.c.request_id
        each = select(attempts.c.id, attempts.c.marker, attempts.c.sent_at, *columns).select_from(sent)
        which = attempts.c.marker.is_not(None), true() if since is None else attempts.c.sent_at >= since
        async for row in self._paged(each.where(*which), attempts.c.id, SHARES_PAGE):
            is_refused = row["state"] == State.FAILED and row["stage"] == Stage.ACTIVITY
            given = row["event"], row["sent_at"], row["activity_id"]
            yield Posted(row["sheet_row"], row["marker"], *given, is_refused, row["request_id"] is not None)

    async def marked_rows(self) -> AsyncIterator[tuple[str, int, int]]:
        """The key of every row, its number in the sheet, and how many shares of it there were before."""
        each = select(rows.c.id, rows.c.key, rows.c.sheet_row, rows.c.renewal)
        async for row in self._paged(each, rows.c.id, SHARES_PAGE):
            yield row["key"], row["sheet_row"], row["renewal"]

    async def ends_of(self, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], datetime]:
        """Of these pairs of lead and user, those whose rows are settled: when the last share of each ends or did.

        Where there was none, a time long ago.
        """
        settled = rows.c.lead_id.is_not(None) & rows.c.state.not_in((*INTENTS, State.UNKNOWN))
        each = select(rows.c.id, rows.c.lead_id, rows.c.user_id, rows.c.ends_at).where(settled)
        ends: dict[tuple[str, str], datetime] = {}
        async for row in self._paged(each, rows.c.id):
            if (pair := (row["lead_id"], row["user_id"])) in pairs:
                ends[pair] = max(ends.get(pair, LONG_AGO), row["ends_at"] or LONG_AGO)
        return ends

    async def lead_numbers(self) -> dict[int, str]:
        """By row Id, the lead numbers of the rows whose share may not have ended."""
        lasts = rows.c.ends_at.is_(None) | (rows.c.ends_at > self.now())
        found = await self._all(select(rows.c.id, rows.c.lead_number).where(SHARE_NOT_ENDED, lasts))
        return {row["id"]: row["lead_number"] for row in found if row["lead_number"]}

    async def last_number(self) -> int:
        """The number of the last call, 0 before the first: one of another copy if this one was recovered since."""
        found = await self._all(select(func.max(attempts.c.id).label("n")))
        return max(found[0]["n"] or 0, (await self.facts()).calls)

    async def last_call(self, run: int) -> datetime | None:
        """When a run made its last call, None if it made none."""
        sent = await self._all(select(func.max(attempts.c.sent_at).label("at")).where(attempts.c.run_id == run))
        at: datetime | None = sent[0]["at"]
        return at

    async def wishes(self, state: State, *actions: Action) -> AsyncIterator[Row]:
        """The rows in this state that may share; in `skipped`, those that are so for what another ledger shares.

        Only those that ask for one of these actions, and without their cells. They may be judged anew while they
        are read.
        """
        why = rows.c.cause.in_((Cause.ALREADY_SHARED, Cause.HELD)) if state is State.SKIPPED else true()
        which = (rows.c.state == state, why, MEANT, rows.c.action.in_(actions), CLEARED)
        async for row in self._paged(select(*LEAN).where(*which), rows.c.id):
            yield row_of(row)

    async def in_order(self, which: ColumnElement[bool] = IN_SHEET, *, by_id: bool = False) -> AsyncIterator[Row]:
        """The rows of which this is true, in the sheet's order, read page by page as they are wanted.

        Those that the sheet no longer has have no place in it: `by_id` they come too.
        """
        last, by = -1, rows.c.id if by_id else rows.c.position
        while True:
            found = await self._all(select(rows).where(which, by > last).order_by(by).limit(PAGE))
            # By the Id of a row that was renewed, its shares before, each from when until when.
            earlier: dict[int, list[tuple[datetime, datetime]]] = {}
            if renewed := [row["id"] for row in found if row["renewal"]]:
                columns = rows.c.renewed_as, attempts.c.answered_at, rows.c.ends_at
                was_shared = attempts.c.answered_at.is_not(None), rows.c.ends_at.is_not(None)
                before = select(*columns).select_from(WITH_SHARE).where(rows.c.renewed_as.in_(renewed), *was_shared)
                for row in await self._all(before.order_by(rows.c.renewal)):
                    earlier.setdefault(row["renewed_as"], []).append((row["answered_at"], row["ends_at"]))
            for row in found:
                read = row_of(row)
                yield replace(read, earlier=earlier[read.id]) if read.id in earlier else read
            if len(found) < PAGE:
                return
            last = found[-1][by]

    async def answered(
        self, which: ColumnElement[bool] = IN_SHEET, *, by_id: bool = False
    ) -> AsyncIterator[Row | Settled]:
        """The same, with those of which there is nothing to tell but that they are shared in few words."""
        last, by = -1, rows.c.id if by_id else rows.c.position
        is_plain = and_(
            *(rows.c.state == State.SHARED, rows.c.position.is_not(None), rows.c.lead_id.is_not(None)),
            *(rows.c.cause.is_(None), rows.c.notice_kind.is_(None), rows.c.renewal == 0),
        )
        names = ("activity_id", "request_id", "share_status", "sheet_row")
        first = is_plain, by, rows.c.id, cast(rows.c.cells, Text), state_at(self.now())
        page = select(*first, *(rows.c[name] for name in names)).where(which).order_by(by).limit(SHARES_PAGE)
        while found := await self._rows(page.where(by > last)):
            others = [row_id for is_plain_row, _, row_id, *_ in found if not is_plain_row]
            whole = self.in_order(rows.c.id.in_(others), by_id=True)
            told = {row.id: row async for row in whole} if others else {}
            cells = json.loads(f"[{','.join(row[3] for row in found)}]")  # at once: each by itself takes longer
            for of_row, (is_plain_row, _, row_id, _, *known) in zip(cells, found, strict=True):
                if is_plain_row:
                    yield Settled(of_row, STATES[known[0]], *known[1:])
                elif row_id in told:  # which it is, unless a run takes a sheet in meanwhile
                    yield told[row_id]
            last = found[-1][1]

    async def renewals(self) -> tuple[int, int]:
        """How many shares are to be renewed, and how many of them have not ended by now."""
        if self.renew_before is None:
            return 0, 0
        stands = func.count(case((rows.c.ends_at > self.now(), 1)))
        which = self.to_renew()
        found = await self._all(select(func.count().label("n"), stands.label("standing")).where(which))
        return found[0]["n"], found[0]["standing"]

    async def is_renewing(self) -> bool:
        """Whether an earlier run began to renew shares and has not come to the end of them all."""
        states = rows.c.state.in_((*ON_ITS_WAY, State.UNKNOWN))
        under_way = MEANT & (rows.c.renewal > 0) & states & self._is_due()
        return bool(await self._all(select(rows.c.id).where(under_way).limit(1)))

    def to_renew(self) -> ColumnElement[bool]:
        """Rows whose share is renewed now."""
        which, after = self._renewal()
        return and_(MEANT, which, or_(UNTIL_NOW.is_(None), after < UNTIL_NOW))

    def _renewal(self) -> tuple[ColumnElement[bool], ColumnElement[datetime]]:
        """Rows whose share is renewed now if the sheet has them, and what it must end after if that says when.

        That is the end of the share that stands, unless all are wished for: what ends no later gives nothing.
        """
        now = self.now()
        # A share that is shorter than the time before its end that is asked for would be renewed by every run.
        left = extract("epoch", rows.c.ends_at) - extract("epoch", literal(now, DateTime))
        is_late = rows.c.duration.is_(None) | (left <= rows.c.duration * 30)  # half of it, which is in minutes
        which = true() if self.renews_all else and_(rows.c.ends_at <= self.renew_before, is_late)
        stands = false() if self.renews_all else rows.c.ends_at > now
        renewed = and_(rows.c.state == State.SHARED, rows.c.action == Action.SHARE, which)
        return renewed, case((stands, rows.c.ends_at), else_=literal(now, DateTime))

    def _to_do(self) -> ColumnElement[bool]:
        # What another copy may have sent is looked up first, and sent if it did not: that is to be agreed to too.
        is_due = rows.c.start.is_(None) | (rows.c.start <= self.now())
        left: ColumnElement[bool] = rows.c.state.in_(TO_DO) | (RECOVERS & is_due)
        if self.renew_before is not None:
            left = left | self.to_renew()
        return left & MEANT & self._is_due() & GIVES_ACCESS

    def _found(self) -> ColumnElement[str]:
        """The state in which a run finds a row: of what was under way when another was cut off nobody knows.

        What is looked up first since another copy may have sent it is to be sent if it did not.
        """
        in_vain = (rows.c.state == State.SKIPPED) & (rows.c.cause == Cause.NOTHING_KNOWN)
        return case(
            (RECOVERS | in_vain, State.PENDING.value),
            (rows.c.state.in_([*INTENTS]), State.UNKNOWN.value),
            else_=state_at(self.now()),
        )

    def _is_due(self) -> ColumnElement[bool]:
        """What was begun goes on, whatever the sheet says of its start by now."""
        return or_(rows.c.start.is_(None), rows.c.start <= self.now(), rows.c.state != State.PENDING)

    async def rows_where(self, *which: ColumnElement[bool], most: int | None = None) -> list[Row]:
        """The rows of which all this is true, at most so many: in the sheet's order, then those that it lost."""
        found = await self._all(select(rows).where(*which).order_by(*GONE_LAST).limit(most))
        return [row_of(row) for row in found]

    async def _paged(self, each: Select[Any], by: Column[Any], size: int = PAGE) -> AsyncIterator[RowMapping]:
        """In the order of this column, page by page as they are wanted: what is read may change meanwhile."""
        last, page = -1, each.order_by(by).limit(size)
        while found := await self._all(page.where(by > last)):
            for row in found:
                yield row
            last = found[-1][by]

    async def _all(self, query: Executable) -> Sequence[RowMapping]:
        return await self._database.read(lambda connection: connection.execute(query).mappings().all())

    async def _rows(self, query: Executable) -> Sequence[Any]:
        return await self._database.read(lambda connection: connection.execute(query).all())

    async def schema_version(self) -> int:
        """The version of the ledger's tables. Raises LedgerError or LedgerTooNew for what we can't read."""
        return await self._database.read(lambda connection: check_version(connection, self.name))

    async def close(self) -> None:
        """Finish what is being written and close the file."""
        await self._database.close()


async def pages(source: AsyncIterator[T], size: int = PAGE) -> AsyncIterator[list[T]]:
    """So many at a time, the last ones as they are."""
    page: list[T] = []
    async for each in source:
        page.append(each)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page
