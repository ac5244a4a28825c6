"""The answered sheet: every original column in the input's order, then what became of the row.

No cell of it is ever a live formula. CSV has no types, so there a text that a spreadsheet would take for a formula
gets an apostrophe in front, which batch_share's own reader takes off again. In a workbook numbers and dates are
such, shown as the sheet shows them, Ids and phone numbers are text, and before the answers stand a worksheet
"Summary" (what became of the sheet, who got what, until when, on which account) and
a worksheet "Failures", only the rows that a person has to look at, with what to do about each. Programs get the
same rows page by page. Failed rows that can be fixed get a sheet of their own.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from batch_share.common import IN_THE_SHEET, Cause, __version__, plural
from batch_share.errors import BatchShareError, LedgerError, SettingsError, sentence
from batch_share.ledger.queries import FIXABLE, OF_EARLIER_SHEET, TROUBLE
from batch_share.ledger.records import Settled, Why
from batch_share.ledger.states import AT_REST, TROUBLED, State, rows_in
from batch_share.outputs import Named, Output, digest_of, is_in_the_way
from batch_share.results.wording import (
    BY_NAME,
    MEANING,
    NO_USER,
    Advice,
    Standing,
    Summary,
    how_it_ended,
    lasting,
    named_in_commands,
    next_steps,
    reason_of,
    spell_alike,
    spell_audit,
    spell_corrected,
    spell_corrections,
    spell_earlier,
    spell_unchecked,
)
from batch_share.results.writing import (
    CHANGED,
    Column,
    Layout,
    Line,
    beside,
    check_format,
    fill,
    last_of,
    write_csv,
    write_output,
    writing,
    written_last,
)
from batch_share.settings import SheetLimits
from batch_share.sheet.columns import Field
from batch_share.sheet.reader import WORKBOOK_SUFFIXES, likeliest_header
from batch_share.sheet.table import RawRow
from batch_share.sheet.workbook import ANSWERED, EARLIER, Look, look_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Container, Iterable, Mapping, Sequence
    from datetime import datetime

    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Row, RunRecord, SheetRecord
    from batch_share.ledger.store import Ledger
    from batch_share.results.writing import Book, Placed
    from batch_share.sheet.reader import Sheet

RUNS_SHOWN: Final = 20
"""The last runs: a week of a job that runs three times a day."""

REASONS_SHOWN: Final = 5
"""Of those for which rows are skipped: usually one or two, and the screen has the troubles to show too."""

ENDS_SHOWN: Final = 15
"""Days on which shares end: two weeks of a sheet whose shares are renewed day by day."""

_WIDTHS: Final = (28, 10, 9, 9, 13, 11, 11, 11, 11, 11, 11, 11)
_WIDEST_NAME: Final = 60
_LAST: Final = len(_WIDTHS) - 1
_STANDING: Final = ("Read", "Write", "Until")
_WHO: Final = (
    "User", "Shared", *_STANDING, "Ended", "Under way", "Failed", "Unknown", "Revoked", "Not sent", "Rows",
)  # fmt: skip
_ENDS: Final = ("Ends", "Shares", "Read", "Write", "People")
_GROUPS: Final = {
    State.SHARED: "Shared",
    State.ENDED: "Ended",
    State.FAILED: "Failed",
    State.UNKNOWN: "Unknown",
    State.INVALID: "Not sent",
    State.SKIPPED: "Not sent",
    State.PENDING: "Not sent",
    State.REVOKED: "Revoked",
}
"""In which column of the users a row is counted; every other state is one of being under way."""


async def summarize(ledger: LedgerReader, results: Path | None = None) -> Summary:
    """Count the ledger's rows. Raises LedgerError."""
    totals, sheet, facts = await ledger.totals(), await ledger.sheet(), await ledger.facts()
    counted = {name: getattr(totals, name) for name in totals.__slots__}
    run, ended = await ledger.last_run()
    unchecked = [Why(Cause(what), {"rows": rows, "why": why}) for what, (rows, why) in facts.unchecked.items()]
    return Summary(
        **counted | {"skipped": totals.skipped[:REASONS_SHOWN]},
        ledger=ledger.name.absolute(),
        results=results,
        run=run or None,
        ended=ended,
        sheet=sheet.name if sheet else "",
        failed_sheet=await written_last(ledger, Output.FAILED),
        unchecked=unchecked,
        audit=facts.audit,
    )


_CORRECTIONS: Final = 20
"""Rows that are as corrected of which the summary tells each cell: what more there are, the report lists."""


async def add_summary(book: Book, ledger: LedgerReader, failed_sheet: Path | None) -> Summary:
    """Write the worksheet of the totals; `failed_sheet` is where failed rows can be fixed. Raises LedgerError."""
    page = _Page(book, book.page(ANSWERED[0]))
    summary, runs = replace(await summarize(ledger), failed_sheet=failed_sheet), await ledger.runs()
    sheet, facts = await ledger.sheet(), await ledger.facts()
    page.title(f"{summary.states.get(State.SHARED, 0):,} of {plural(summary.rows, 'row')} shared")
    page.wide(0, _standing(summary))
    page.line += 2
    where = f", worksheet {sheet.worksheet}" if sheet and sheet.worksheet else ""
    page.fact("Sheet", f"{sheet.name}{where}" if sheet else "none yet")
    stands, by_user, by_day = await standing(ledger)
    for label, said in (await spell_standing(ledger, stands)).items():
        page.fact(label, said)
    page.fact("Account", facts.host)
    page.fact("Ledger", str(summary.ledger))
    page.fact("Took", f"{lasting(sum(map(_seconds, runs)))} in {plural(len(runs), 'run')}")
    for source, rows in summary.corrected.items():
        page.fact("Corrected", spell_corrected(source, rows))
    for correction in spell_corrections(*await ledger.corrections(_CORRECTIONS)):
        page.fact("", correction)
    for each in summary.unchecked:
        page.fact("Not checked", spell_unchecked(each))
    for line in spell_audit(summary):
        page.fact("Audit", str(line))
    for step in next_steps(summary):
        page.fact("To do", str(step))
    if summary.earlier:
        page.fact("Earlier sheets", spell_earlier(summary.earlier))
    page.section("What became of the rows")
    page.header(("Result", "Rows", "Meaning"), range(1, 2))
    for state in State:
        if summary.states.get(state):
            page.counted(str(state), [summary.states[state]], page.book.fills.get(state))
            page.wide(2, MEANING[state])
            page.line += 1
    if skipped := summary.states.get(State.SKIPPED):
        page.section("Why rows were skipped")
        for kind in summary.skipped:
            page.fact(plural(kind.rows, "row"), spell_alike(kind, summary.rows))
        if more := skipped - sum(kind.rows for kind in summary.skipped):
            page.fact(plural(more, "row"), "for other reasons: see Results")
    await _users(page, ledger, by_user)
    _ends(page, by_day)
    _runs(page, runs, await clock_of(ledger))
    page.end()
    return summary


async def clock_of(ledger: LedgerReader) -> Callable[[dt.datetime], dt.datetime]:
    """Makes of a time that the ledger noted (UTC, without a zone) that of people's clocks: in the account's zone.

    Where that is not known, in this machine's. Raises LedgerError.
    """
    zone = (await ledger.facts()).zone
    there = ZoneInfo(zone) if zone else None
    return lambda noted: noted.replace(tzinfo=dt.UTC).astimezone(there)


async def standing(ledger: LedgerReader) -> tuple[Standing, dict[str, Standing], dict[dt.date, Standing]]:
    """The shares of the sheet's rows that LeadSquared confirms and that have not ended.

    All of them, by user, and by the day on which they end. Raises LedgerError.
    """
    clock, now = await clock_of(ledger), ledger.now()
    by_user, by_day = defaultdict[str, Standing](Standing), defaultdict[dt.date, Standing](Standing)
    whole = Standing()
    async for share in ledger.shares():
        if share.state is State.SHARED and share.is_in_sheet and share.ends_at is not None and share.ends_at > now:
            end = clock(share.ends_at)
            for each in (whole, by_user[share.user_id], by_day[end.date()]):
                each.add(share.access, share.user_id, end)
    return whole, by_user, dict(sorted(by_day.items()))


async def spell_standing(ledger: LedgerReader, stands: Standing) -> dict[str, str]:
    """What stands, with whom, until when and with which activities, by what each is called; nothing for nothing."""
    if not stands.shares:
        return {}
    names = await ledger.type_names()
    types = [
        f"{names[event]} ({event})" if event in names else str(event) for event in sorted(await ledger.events())
    ]
    people = plural(len(stands.users), "person", "people")
    return {
        "Access": f"{plural(stands.shares, 'share')} with {people}: {stands.spell_access()}",
        "Until": stands.spell_until(),
        "Activity": ", ".join(types),
    }


@dataclass(slots=True)
class _Page:
    """The worksheet from top to bottom: each line is on disk once the next one is begun."""

    book: Book
    sheet: Any
    line: int = 0
    widest: int = _WIDTHS[0]
    shapes: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        book = self.book
        self.shapes = {
            "title": book.shape(bold=True, font_size=16, font_color="#1F3864"),
            "section": book.shape(bold=True, font_size=12, font_color="#1F3864", bottom=2, bottom_color="#1F3864"),
            "label": book.shape(bold=True),
            "number": book.number,
            "meaning": book.shape(text_wrap=True, align="left", indent=1),
            "day": book.shape(align="left", num_format="d mmm yyyy", quote_prefix=False),
            "until": book.shape(align="right", num_format="d mmm yyyy", quote_prefix=False),
            "moment": book.shape(align="left", indent=1, num_format="d mmm yyyy hh:mm", quote_prefix=False),
            "head_meaning": book.shape(bold=True, bg_color="#1F3864", font_color="white", align="left", indent=1),
            "head_number": book.shape(bold=True, bg_color="#1F3864", font_color="white", align="right"),
        }
        self.sheet.hide_gridlines(2)

    def title(self, text: str) -> None:
        self.sheet.set_row(self.line, 24)
        self.sheet.write_string(self.line, 0, text, self.shapes["title"])
        self.line += 1

    def section(self, text: str) -> None:
        """An empty line, and a heading over the whole width."""
        self.line += 1
        self.sheet.set_row(self.line, 18)
        for column in range(_LAST + 1):
            self.sheet.write_string(self.line, column, text if column == 0 else "", self.shapes["section"])
        self.line += 1

    def fact(self, label: str, value: str) -> None:
        self.sheet.write_string(self.line, 0, label, self.shapes["label"])
        self.wide(1, value)
        self.line += 1

    def header(self, names: Sequence[str], numbers: range) -> None:
        """A line of headers; those of `numbers` stand to the right, as their numbers do."""
        for column in range(_LAST + 1):
            shape = (
                self.shapes["head_number" if column in numbers else "head_meaning"] if column else self.book.head
            )
            self.sheet.write_string(self.line, column, names[column] if column < len(names) else "", shape)
        self.line += 1

    def wide(self, first: int, text: str) -> None:
        """A text across all columns from `first`, on as many lines as it takes."""
        shape, room = self.shapes["meaning"] if first else self.book.wrapped, sum(_WIDTHS[first:])
        lines = max(-(-len(text) // room), 1)
        if lines > 1:
            self.sheet.set_row(self.line, 15 * lines)
        if first < _LAST:
            self.sheet.merge_range(self.line, first, self.line, _LAST, "", shape)
        self.sheet.write_string(self.line, first, text, shape)

    def counted(self, label: str | dt.date, values: Iterable[int | dt.date | None], shape: Any = None) -> None:
        """A label, and numbers or days beside it; a zero is left blank."""
        self.widest = min(max(self.widest, len(str(label)) + 2), _WIDEST_NAME)
        plain = self.book.text if isinstance(label, str) else self.shapes["day"]
        self.sheet.write(self.line, 0, label, shape or plain)
        for column, value in enumerate(values, start=1):
            if value:
                self.sheet.write(
                    self.line, column, value, self.shapes["number" if isinstance(value, int) else "until"]
                )

    def end(self) -> None:
        """Columns as wide as their texts; and it is what people see first."""
        for column, width in enumerate((self.widest, *_WIDTHS[1:])):
            self.sheet.set_column(column, column, width)
        self.sheet.activate()


# ------------------------------------------------------------------------------------------------ its parts


def _standing(summary: Summary) -> str:
    """How the job stands, in a sentence."""
    troubled = rows_in(summary.states, TROUBLED) + summary.noticed
    if troubled:
        need = "needs" if troubled == 1 else "need"
        return f"{plural(troubled, 'row')} {need} attention: the worksheet Failures says what to do about each."
    left = summary.rows - rows_in(summary.states, AT_REST)
    if left:
        return f"Nothing went wrong; {plural(left, 'row')} still under way or to be sent."
    return "Nothing is left to do."


async def _users(page: _Page, ledger: LedgerReader, stands: Mapping[str, Standing]) -> None:
    by_user = await ledger.counts_by_user()
    if not by_user:
        return
    names = {user: f"{name} <{email}>" for user, (name, email) in (await ledger.known_users()).items()}
    page.section("Who got what")
    page.header(_WHO, range(1, len(_WHO)))
    reported = [(names.get(user, user) if user else NO_USER, user, counts) for user, counts in by_user.items()]
    for name, user, counts in sorted(
        reported, key=lambda each: (each[0] == NO_USER, -each[2].get(State.SHARED, 0), each[0])
    ):
        grouped = dict.fromkeys(("Shared", "Ended", "Under way", "Failed", "Unknown", "Revoked", "Not sent"), 0)
        for state, count in counts.items():
            grouped[_GROUPS.get(state, "Under way")] += count
        shared, *others = grouped.values()
        has = stands.get(user or "") or Standing()
        page.counted(
            name, [shared, has.reads, has.writes, has.last and has.last.date(), *others, sum(counts.values())]
        )
        page.line += 1


def _ends(page: _Page, by_day: Mapping[dt.date, Standing]) -> None:
    if not by_day:
        return
    page.section("What ends when")
    page.header(_ENDS, range(1, len(_ENDS)))
    days = [*by_day.items()]
    for day, each in days[:ENDS_SHOWN]:
        page.counted(day, [each.shares, each.reads, each.writes, len(each.users)])
        page.line += 1
    if later := [each for _, each in days[ENDS_SHOWN:]]:
        reads, writes = sum(each.reads for each in later), sum(each.writes for each in later)
        people = set[str]().union(*(each.users for each in later))
        page.counted("later", [reads + writes, reads, writes, len(people)])
        page.line += 1


def _runs(page: _Page, runs: Sequence[RunRecord], clock: Callable[[dt.datetime], dt.datetime]) -> None:
    page.section("When")
    shown = runs[-RUNS_SHOWN:]
    if len(shown) < len(runs):
        page.wide(0, f"The last {len(shown)} of {len(runs):,} runs.")
        page.line += 1
    zone = f"{clock(runs[-1].started_at):%Z}" if runs else ""
    page.header(("Command", f"Started ({zone})", "", f"Ended ({zone})", "", "Took", "How it ended"), range(0))
    for run in shown:
        page.sheet.write_string(page.line, 0, run.command, page.book.text)
        for column, noted in ((1, run.started_at), (3, run.ended_at)):
            page.sheet.merge_range(page.line, column, page.line, column + 1, "", page.shapes["moment"])
            shown_at = clock(noted).replace(tzinfo=None) if noted else "not recorded"
            page.sheet.write(page.line, column, shown_at, page.shapes["moment"])
        took = lasting(_seconds(run)) if run.ended_at else ""
        page.sheet.write_string(page.line, 5, took, page.shapes["meaning"])
        page.wide(6, how_it_ended(run, is_last=run is runs[-1]))
        page.line += 1


def _seconds(run: RunRecord) -> float:
    return (run.ended_at - run.started_at).total_seconds() if run.ended_at else 0.0


_ACCESS: Final = {1: "read", 2: "write"}
_GONE: Final = "gone-"


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A row of a ledger: its number (`row`) and `cells` in the sheet, its `state`, and the `reason`, in words.

    `lead_id` and `user_id` are LeadSquared's, "" where the row is invalid; `user` is the user's name or e-mail
    address, else the Id. `access` is read, write or "" (it shares nothing). `until` is when its share ends, or
    would (UTC, without a zone; None: that is reckoned from when it is shared, for `minutes`). `activity_id` is its
    activity's Id, `request_id` that of the request that shares and `revoke_id` of the one that revokes, None where
    there is none that is known. If `is_in_sheet` is false, the sheet has lost the row since it was taken in.
    """

    row: int
    is_in_sheet: bool
    cells: Sequence[str]
    state: State
    reason: str
    lead_id: str
    user_id: str
    user: str
    access: str
    minutes: int | None
    until: datetime | None
    activity_id: str | None
    request_id: str | None
    revoke_id: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some `rows` of a ledger; `next` is where the following page begins, None if no row is left."""

    rows: Sequence[LedgerRow]
    next: str | None


async def page_of(
    ledger: LedgerReader, after: str | None, most: int, states: Collection[State | str] | None
) -> Page:
    """The rows that come after a place that an earlier page named. Raises SettingsError, LedgerError."""
    if most < 1:
        raise SettingsError("most", "at least 1")
    try:
        wanted = None if states is None else [State(each) for each in states]
    except ValueError:
        raise SettingsError("states", f"each is one of {', '.join(State)}") from None
    is_gone = after is not None and after.startswith(_GONE)
    try:
        last = -1 if after is None else int(after.removeprefix(_GONE))
    except ValueError:
        raise SettingsError(
            "after", "is not the `next` of a page", problem="The page is none that was named."
        ) from None
    found = await ledger.page((is_gone, last), most, wanted)
    users = await ledger.known_users()
    following = None
    if len(found) == most:
        row = found[-1]
        following = f"{_GONE}{row.id}" if row.position is None else str(row.position)
    return Page([_shown(row, users, ledger.now()) for row in found], following)


def _shown(row: Row, users: dict[str | None, tuple[str, str]], now: datetime) -> LedgerRow:
    asked = row.instruction
    user_id = asked.user_id if asked else ""
    return LedgerRow(
        row=row.sheet_row,
        is_in_sheet=row.position is not None,
        cells=row.cells,
        state=row.state_at(now),
        reason=reason_of(row, says_row=False, place_free=True),
        lead_id=asked.lead_id if asked else "",
        user_id=user_id,
        user=next(filter(None, users.get(user_id, ())), user_id),
        access=_ACCESS.get(asked.access, "") if asked and asked.action.shares else "",
        minutes=asked.duration if asked else None,
        until=row.ends_at or (asked.until if asked else None),
        activity_id=row.activity_id,
        request_id=row.request_id,
        revoke_id=row.revoke_id,
    )


FAILURES_COLUMNS: Final = ("Sheet Row", "Result", "Reason", "LeadSquared Said", "What To Do Next")
NONE: Final = "No row failed, is unknown or invalid: there is nothing to look at."
ON_PAPER: Final = 165
"""Characters that a line on paper has at most: so many can be read, and the person has the sheet for the rest."""

_WIDEST: Final = 40


async def add_failures(
    book: Book, ledger: LedgerReader, columns: Sequence[str], kept: Sequence[Column], failed_sheet: Path | None
) -> None:
    """Write the worksheet; `failed_sheet` is where failed rows can be fixed. Raises LedgerError."""
    page = book.page(ANSWERED[1])
    advice = Advice(named_in_commands(ledger.name, BY_NAME), failed_sheet.name if failed_sheet else None)
    ours = range(len(FAILURES_COLUMNS))
    together = [*[Column()] * len(ours), *kept]
    layout = Layout(FAILURES_COLUMNS.index("Result"), ours, together, widest=_WIDEST, on_paper=ON_PAPER)
    if not await ledger.rows_where(TROUBLE, most=1):
        page.set_column(0, 0, len(NONE))
        page.write_string(0, 0, NONE, book.text)
        return
    await fill(book, page, [*FAILURES_COLUMNS, *columns], _failed_rows(ledger, advice, len(columns)), layout)


async def _failed_rows(ledger: LedgerReader, advice: Advice, width: int) -> AsyncIterator[Line]:
    async for row, words in ledger.all_troubled():
        where = str(row.sheet_row) if row.position is not None else ""
        ours = [
            where,
            str(row.state),
            reason_of(row, says_row=False, says_cell=False),
            words,
            advice.next_step(row, words),
        ]
        yield Line(row.state, ours + _cells(row, width))


_AS_TEXT: Final = frozenset({Field.LEAD_ID, Field.LEAD_PHONE, Field.USER_ID, Field.USER})
_DATES: Final = frozenset({Field.UNTIL, Field.START})


def _look_of(ledger: LedgerReader, sheet: SheetRecord) -> Look:
    """How the sheet looks, if it is there still."""
    return look_of(beside(ledger.name, sheet), sheet.worksheet, sheet.columns, SheetLimits())


def _columns_like(sheet: SheetRecord, look: Look) -> list[Column]:
    """How the sheet's own columns are written: shown as it shows them, where nobody would lose a digit by it."""
    columns = []
    for at, header in enumerate(sheet.columns):
        field = (sheet.mapping or {}).get(header)
        is_text = field in _AS_TEXT or (at in look.texts and field not in _DATES)
        form = (look.numbers[at], look.dates[at], look.widths[at]) if look.widths else ()
        columns.append(Column(is_text, field in _DATES, *form))
    return columns


def _cells(row: Row, width: int) -> list[str]:
    return [*row.cells[:width], *[""] * (width - len(row.cells))]


COLUMNS: Final = ("Result", "Reason", "Activity Id", "Request Id", "Share Status", "Sheet Row")


def results_path(sheet: Path) -> Path:
    """Where the results of `sheet` go when nobody says: beside it, in its own format."""
    suffix = ".xlsx" if sheet.suffix.lower() in WORKBOOK_SUFFIXES else ".csv"
    return sheet.with_name(f"{sheet.stem}.results{suffix}")


async def write_results(ledger: LedgerReader, target: Path | Named, failed_sheet: Path | None = None) -> Placed:
    """Write the answered sheet as CSV or .xlsx, as `write_output` does.

    A workbook has a summary and the failures before it, which name the `failed_sheet`. Raises BatchShareError when
    the file can't be written, LedgerError.
    """
    sheet = await ledger.sheet()
    columns = list(sheet.columns) if sheet else []
    header = [*columns, *COLUMNS]

    async def write(file: Path) -> None:
        both = ledger.answered(), ledger.answered(OF_EARLIER_SHEET, by_id=True)
        if file.suffix.lower() == ".csv":
            await write_csv(file, header, _answers(ledger, len(columns), *both))
            return
        answers = _answers(ledger, len(columns), both[0])
        async with writing(file) as book:
            earlier = (await add_summary(book, ledger, failed_sheet)).earlier
            kept = _columns_like(sheet, _look_of(ledger, sheet)) if sheet else []
            await add_failures(book, ledger, columns, kept, failed_sheet)
            layout = Layout(len(columns), range(len(columns), len(header)), kept)
            await fill(book, book.page(ANSWERED[-1]), header, answers, layout)
            if earlier:
                rows = _answers(ledger, len(columns), both[1])
                await fill(book, book.page(EARLIER), header, rows, layout)

    check_format(target.target if isinstance(target, Named) else target)
    return await write_output(ledger, Output.RESULTS, target, write)


async def fingerprint(ledger: LedgerReader, target: Path) -> str:
    """What a file of results is known by.

    It is another if anybody else wrote it, or another version of this program, if more shares have ended, or if it
    is a workbook and the sheet, as which it looks, is another file.
    """
    sheet, look = await ledger.sheet(), ""
    if sheet is not None and target.suffix.lower() in WORKBOOK_SUFFIXES:
        look = digest_of(beside(ledger.name, sheet))
    return json.dumps([__version__, digest_of(target), (await ledger.counts()).get(State.ENDED, 0), look])


async def write_beside(ledger: Ledger, remark: Callable[[str], None]) -> Path | None:
    """Write the results and the failed rows where they go; None where there is no sheet to answer.

    Not if they stand there already: else that is most of the work of a run without any. Raises BatchShareError.
    """
    sheet = await ledger.sheet()
    if sheet is None:
        return None
    there = beside(ledger.name, sheet)
    before = await written_last(ledger, Output.RESULTS)
    if before is not None and ledger.results == await fingerprint(ledger, before):
        await ledger.note_results(ledger.results)
        return before
    failed = None
    try:
        failed = await write_failed(ledger, failed_path(there))
        if failed.remark:
            remark(failed.remark)
    except LedgerError:
        raise
    except BatchShareError as problem:  # which must not hide the results
        remark(f"The rows to fix are in no file: {str(problem).rstrip('.')}")
    results = await write_results(ledger, results_path(there), failed.path if failed else None)
    if results.remark:
        remark(results.remark)
    if failed is not None:
        await ledger.note_results(await fingerprint(ledger, results.path))
    return results.path


async def write_table(
    target: Named, sheet: SheetRecord, added: Sequence[str], rows: AsyncIterator[tuple[State, list[str]]]
) -> None:
    """Write rows of a sheet as CSV or .xlsx, with columns that are `added`: the first shows each row's state.

    Raises SettingsError, as `Named` does.
    """
    header = [*sheet.columns, *added]
    lines = (Line(*each) async for each in rows)
    with target.written() as temporary:
        if temporary.suffix.lower() == ".csv":
            await write_csv(temporary, header, lines)
            return
        async with writing(temporary) as book:
            kept = _columns_like(sheet, look_of(Path(sheet.path), sheet.worksheet, sheet.columns, SheetLimits()))
            await fill(book, book.page(ANSWERED[-1]), header, lines, Layout(len(sheet.columns), columns=kept))


async def _answers(ledger: LedgerReader, width: int, *sources: AsyncIterator[Row | Settled]) -> AsyncIterator[Line]:
    for source in sources:
        async for row in source:
            if isinstance(row, Settled):  # nearly all of a sheet that is done
                state, reason, where = row.state, "", str(row.sheet_row)
            else:
                state, reason = row.state_at(ledger.now()), reason_of(row, says_row=False, says_cell=False)
                where = str(row.sheet_row) if row.position is not None else ""
            status = "" if row.share_status is None else str(row.share_status)
            ours = [str(state), reason, row.activity_id or "", row.request_id or "", status, where]
            yield Line(state, [*row.cells[:width], *[""] * (width - len(row.cells)), *ours])


# ------------------------------------------------------------------------------------- the sheet of failed rows

# Those that can be fixed, as the sheet had them, to be run again by itself.
#
# Not in it: unknown rows (`resume --only-unknown` settles them), rows whose activity stands at LeadSquared (they
# would get a second one; `retry` shares them in the first), rows that the sheet no longer has, and rows that can
# only be fixed in the sheet itself: their cells don't stand under their headers, or a formula gives no value. What
# a person began to fix is never written over, nor removed.
#
# Each row has a reference, by which it is known wherever it is sorted to: running the sheet goes on with the job
# that its rows are of, with that job's settings and columns.

REFERENCE: Final = "Row Reference"
ADDED: Final = ("Reason", "Sheet Row", REFERENCE)
"""The columns that a sheet of failed rows has behind the sheet's own."""

_ADDED_BEFORE: Final = ADDED[:2]
"""Those of earlier versions, whose sheets of failed rows were jobs of their own."""

KEY_LENGTH: Final = 20
_REFERENCE: Final = re.compile(rf"R-([0-9a-f]{{10}})-([0-9a-f]{{{KEY_LENGTH}}})")


def reference_in(cell: str) -> tuple[str, str] | None:
    """The beginnings of the job's Id and of the row's key that a row reference names; None for anything else."""
    found = _REFERENCE.fullmatch(cell.strip())
    return (found[1], found[2]) if found else None


def reference_column(sheet: Sheet) -> int | None:
    """Which column holds the references; of several, as another file of failed rows may have had one, the last."""
    named = [at for at, header in enumerate(sheet.columns) if header.startswith(REFERENCE)]
    return named[-1] if named else None


def job_named(sheet: Sheet) -> str | None:
    """The beginning of the Id of the job that a sheet of failed rows is of, by its first row; None for others."""
    place = reference_column(sheet)
    if place is None:
        return None
    cells = (raw.cells[place] for raw in sheet.rows() if place < len(raw.cells))
    return next((reference[0] for cell in cells if (reference := reference_in(cell))), None)


def is_unsent(row: Row) -> bool:
    """Whether it failed or is invalid, with nothing at LeadSquared."""
    return row.state in {State.FAILED, State.INVALID} and row.activity_id is None and not row.doubtful


def is_fixable(row: Row, sheet: SheetRecord) -> bool:
    """Whether it is that, and can be fixed outside of its sheet."""
    return is_unsent(row) and len(row.cells) == len(sheet.columns) and row.cause not in IN_THE_SHEET


_ALWAYS: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
"""The time that is noted in the workbook: the same rows give the same file."""

_LONGEST_TITLE: Final = 31


@dataclass(frozen=True, slots=True)
class FailedSheet:
    """Its `path`, None if there are no rows to fix and so no sheet; `remark` is what a person should know of it."""

    path: Path | None = None
    remark: str | None = None


def failed_path(sheet: Path) -> Path:
    """Where the failed rows of `sheet` go: beside it, in its own format."""
    suffix = ".xlsx" if sheet.suffix.lower() in WORKBOOK_SUFFIXES else ".csv"
    return sheet.with_name(f"{sheet.stem}.failed{suffix}")


async def write_failed_to(ledger: LedgerReader, target: Named) -> FailedSheet:
    """Write the failed rows to a file that was named, and leave the sheet of them beside the sheet as it is.

    There is none if no row can be fixed. Raises SettingsError for a file that is there and not ours, LedgerError,
    BatchShareError for one that is neither .csv nor .xlsx.
    """
    check_format(target.target)
    sheet = await ledger.sheet()
    rows = _Fixable(ledger, sheet)
    if sheet is None or not await rows.are_any():
        return FailedSheet()
    placed = await write_output(ledger, Output.FAILED, target, lambda file: _write_fixable(file, sheet, rows))
    return FailedSheet(placed.path)


async def write_failed(ledger: LedgerReader, target: Path) -> FailedSheet:
    """Write the failed rows to `target`, or to another name where somebody is at work on that; or remove the file.

    Raises BatchShareError when it can't be written, LedgerError.
    """
    noted, sheet = await ledger.written(), await ledger.sheet()
    before, ours = last_of(noted, Output.FAILED), {each.digest for each in noted}
    rows = _Fixable(ledger, sheet)
    if sheet is None or not await rows.are_any():
        if before is None:
            return FailedSheet()
        remark = _removed(target.with_name(before.name), ours)
        await ledger.note_written(lambda noted: [each for each in noted if each.kind != Output.FAILED])
        return FailedSheet(None, remark)
    said = await rows.digest()
    if before is not None and before.said == said:
        place = target.with_name(before.name)
        found = digest_of(place)
        if found == before.digest:
            return FailedSheet(place)
        if found and found not in ours:
            return FailedSheet(place, f"{place.name} {CHANGED}: it is kept")
    placed = await write_output(
        ledger, Output.FAILED, target, lambda file: _write_fixable(file, sheet, rows), said=said
    )
    return FailedSheet(placed.path, placed.remark)


def _removed(place: Path, ours: Container[str]) -> str | None:
    """No row failed: take away what we wrote, unless somebody changed it. What is to be told of that."""
    if is_in_the_way(place, ours):
        return f"No row is left to fix; {place.name} {CHANGED}, so it is kept"
    try:
        place.unlink()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BatchShareError(
            f"{place} is no longer true, and can't be removed ({error.strerror}).",
            problem=f"{place.name} is no longer true, and can't be removed ({error.strerror}).",
        ) from None
    return f"No row is left to fix: {place.name} was removed"


@dataclass(frozen=True, slots=True)
class _Fixable:
    """The rows, read from the ledger as often as they are wanted: there may be a million."""

    ledger: LedgerReader
    sheet: SheetRecord | None

    @property
    def header(self) -> list[str]:
        """The sheet's own columns and ours, whose names are no other's: no header may be there twice."""
        if self.sheet is None:
            return []
        header = list(self.sheet.columns)
        if Path(self.sheet.name).stem.partition(".failed")[1] and tuple(header[-2:]) == _ADDED_BEFORE:
            header = header[:-2]  # which an earlier sheet of failed rows brought
        for name in ADDED:
            there, number, chosen = {each.casefold() for each in header}, 1, name
            while chosen.casefold() in there:
                number += 1
                chosen = f"{name} {number}"
            header.append(chosen)
        return header

    async def are_any(self) -> bool:
        """Whether there is one."""
        counts = await self.ledger.counts()
        if not counts.get(State.FAILED) and not counts.get(State.INVALID):
            return False
        async for _ in self.lines():
            return True
        return False

    async def digest(self) -> str:
        """Of all that the rows say."""
        digest = hashlib.sha256(json.dumps(self.header).encode())
        async for line in self.lines():
            digest.update(json.dumps(line.cells).encode())
        return digest.hexdigest()

    async def lines(self) -> AsyncIterator[Line]:
        """Each row as it will stand there."""
        width, job = len(self.header) - len(ADDED), (await self.ledger.facts()).job
        async for row in self.ledger.in_order(FIXABLE):
            if self.sheet is not None and is_fixable(row, self.sheet):
                reference = f"R-{job[:10]}-{row.key[:KEY_LENGTH]}"
                wrong: dict[int, str] = {}
                for column, _, what in row.why.details.get("problems", ()) if row.why else ():
                    if column in self.sheet.columns:
                        at = self.sheet.columns.index(column)
                        said = sentence(f"{what[:1].upper()}{what[1:]}")
                        wrong[at] = f"{wrong[at]}\n{said}" if at in wrong else said
                reason = reason_of(row, says_row=False, says_cell=False)
                cells = [*row.cells[:width], reason, str(row.sheet_row), reference]
                yield Line(row.state, cells, wrong)


async def _write_fixable(file: Path, sheet: SheetRecord, rows: _Fixable) -> None:
    header = rows.header
    if file.suffix.lower() == ".csv":
        await write_csv(file, header, rows.lines())
        return
    look = _look_of(rows.ledger, sheet)
    above = [RawRow(at, [cell[2] for cell in look.title if cell[0] == at]) for at in range(look.rows_above)]
    if likeliest_header([*above, RawRow(look.rows_above, header)], {}) in above:
        look = replace(look, rows_above=0, title=(), merged=())  # or the sheet could not be read without a word
    ours = range(len(header) - len(ADDED), len(header))
    columns = _columns_like(sheet, look)[: ours.start]
    async with writing(file, _ALWAYS) as book:
        # As the sheet's own worksheet is called, so that --worksheet means this one too.
        name = sheet.worksheet or ""
        fits = 0 < len(name) <= _LONGEST_TITLE and not set(name) & set("[]:*?/\\") and name.strip("'") == name
        layout = Layout(ours.start, ours, columns, is_exact=True, above=look)
        await fill(book, book.page(name if fits else "Failed"), header, rows.lines(), layout)
