"""The report of a ledger for people: one HTML file that needs nothing else, neither a network nor a script.

Whatever comes from the sheet or from LeadSquared is text in it, never markup: the template escapes everything. Its
bars are numbers here, which the template draws as SVG.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from batch_share.common import ON_PAGE, __version__, utc_now
from batch_share.errors import BatchShareError
from batch_share.ledger.queries import IS_DOUBLE
from batch_share.ledger.states import TROUBLED, State, rows_in
from batch_share.outputs import Named, Output
from batch_share.results import wording
from batch_share.results.answers import ENDS_SHOWN, clock_of, is_unsent, spell_standing, standing, summarize
from batch_share.results.wording import BY_NAME, NO_USER, Advice, how_it_ended, named_in_commands, reason_of
from batch_share.results.writing import write_output

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Row, RunRecord, SheetRecord, Statistics
    from batch_share.results.wording import Standing
    from batch_share.results.writing import Placed

T = TypeVar("T")

WIDTH: Final = 100.0
"""Of every bar, whatever room it is given: it is stretched."""

COLOUR: Final = {
    State.SHARED: "good",
    State.ENDED: "quiet",
    State.ACCEPTED: "way",
    State.FAILED: "bad",
    State.UNKNOWN: "doubt",
    State.INVALID: "wrong",
    State.SKIPPED: "quiet",
    State.SHARING: "todo",
    State.POSTED: "todo",
    State.POSTING: "todo",
    State.PENDING: "todo",
}
"""The class of each state's colour; of all others `other`."""

ORDER: Final = tuple(COLOUR)


def colour_of(state: State) -> str:
    """The class of a state's colour."""
    return COLOUR.get(state, "other")


def in_order(states: Mapping[State, int]) -> list[tuple[State, int]]:
    """The states that there are, as bars show them from left to right."""
    first = [state for state in ORDER if states.get(state)]
    return [(state, states[state]) for state in [*first, *(s for s in states if s not in ORDER and states[s])]]


def legend(states: Mapping[State, int]) -> list[tuple[str, str]]:
    """Each colour that there is, with the states that it stands for."""
    names: dict[str, list[str]] = {}
    for state, _ in in_order(states):
        names.setdefault(colour_of(state), []).append(str(state))
    return [(colour, ", ".join(each)) for colour, each in names.items()]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a bar."""

    x: float
    width: float
    colour: str


def bar(states: Mapping[State, int], most: int) -> list[Piece]:
    """A bar of rows by state, where `most` rows would be as long as a bar gets."""
    pieces, x = [], 0.0
    for state, count in in_order(states):
        width = WIDTH * count / max(most, 1)
        pieces.append(Piece(round(x, 3), round(width, 3), colour_of(state)))
        x += width
    return pieces


ROWS_REPORTED: Final = 100
"""Rows to look at that are listed by default: more than a person works through in a day; the results have all."""

RUNS_REPORTED: Final = 20
"""Runs that are listed, the latest: as in the workbook."""

SUFFIXES: Final = frozenset({".html", ".htm"})
_LONGEST: Final = 600  # characters of a reason: LeadSquared may answer with a page of HTML
_LEAD_COLUMNS: Final = ("Lead Number", "Lead Email", "Lead Phone", "Lead Id")
_USER_COLUMNS: Final = ("Sales User", "User Email", "User Id")


@dataclass(frozen=True, slots=True)
class Line:
    """A row to look at, as the report tells it."""

    sheet_row: str
    lead: str
    user: str
    state: str
    colour: str
    reason: str
    advice: str
    wrong: Sequence[tuple[str, str]] = ()
    """Columns that are wrong, with what they say, of a row that may be corrected: nothing of it was sent."""


def report_path(sheet: Path) -> Path:
    """Where the report goes when nobody says: beside the sheet (or its results)."""
    return sheet.with_name(f"{sheet.stem}.report.html")


async def write_report(ledger: LedgerReader, target: Path | Named, *, most: int = ROWS_REPORTED) -> Placed:
    """Write the report, with `most` rows to look at, as `write_output` does.

    Raises BatchShareError if it can't be written, LedgerError.
    """
    path = target.target if isinstance(target, Named) else target
    if path.suffix.lower() not in SUFFIXES:
        raise BatchShareError(f"A report is written as .html, not as {path.name}")

    import jinja2  # noqa: PLC0415 - only when a report is written

    environment: Any = jinja2.Environment(
        loader=jinja2.PackageLoader("batch_share.results"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    async def write(file: Path) -> None:
        said = await reported(ledger, most)
        with file.open("w", encoding="utf-8", errors="replace") as out:
            environment.get_template("report.html").stream(said).dump(out)

    return await write_output(ledger, Output.REPORT, target, write)


async def reported(ledger: LedgerReader, most: int) -> dict[str, Any]:
    """Everything that the templates tell, with `most` rows to look at. Raises LedgerError."""
    numbers, summary, sheet = await ledger.statistics(), await summarize(ledger), await ledger.sheet()
    history = [f"{wording.spell_corrected(*each)}." for each in summary.corrected.items()]
    corrections, more = await ledger.corrections(ROWS_REPORTED)
    if summary.earlier:
        history.append(f"Apart from these, {wording.spell_earlier(summary.earlier)}.")
    failed_sheet = summary.failed_sheet.name if summary.failed_sheet else None
    advice = Advice(named_in_commands(ledger.name, BY_NAME), failed_sheet)
    clock = await clock_of(ledger)
    users = await ledger.known_users()
    stands, by_user, by_day = await standing(ledger)
    return {
        "version": __version__,
        "now": _moment(clock(utc_now())),
        "host": (await ledger.facts()).host,
        "sheet": sheet,
        "ledger": summary.ledger,
        "headline": wording.headline(summary.states),
        "others": wording.others(summary.states),
        "history": history,
        "corrections": wording.spell_corrections(corrections, more),
        "ending": wording.spell_ending(summary.ending),
        "audit": wording.spell_audit(summary),
        "unchecked": [wording.spell_unchecked(each) for each in summary.unchecked],
        "steps": wording.next_steps(summary),
        "at_rest": wording.at_rest(summary.states),
        "lines": [
            _line(row, sheet, advice, users, words) async for row, words in _some(ledger.all_troubled(), 0, most)
        ],
        "doubles": summary.noticed,
        "double_lines": [_line(row, sheet, advice, users) for row in await ledger.rows_where(IS_DOUBLE, most=most)],
        "stands": await spell_standing(ledger, stands),
        "ends": [
            {
                "day": f"{day:%-d %b %Y}",
                "shares": each.shares,
                "access": each.spell_access(),
                "people": len(each.users),
            }
            for day, each in [*by_day.items()][:ENDS_SHOWN]
        ],
        "more_ends": sum(each.shares for each in [*by_day.values()][ENDS_SHOWN:]),
        **_counted(numbers, by_user),
        **_of_runs(await ledger.runs(), clock),
    }


async def troubled(ledger: LedgerReader, skip: int, most: int) -> list[Line]:
    """Rows to look at, so many after the first ones, for who has no terminal. Raises LedgerError."""
    summary, sheet = await summarize(ledger), await ledger.sheet()
    advice = Advice(None, wording.ROWS_TO_FIX if summary.failed_sheet else None)
    users, some = await ledger.known_users(), _some(ledger.all_troubled(), skip, most)
    # A cell that was corrected since, and is still wrong or was not run yet, is shown as it was corrected last.
    edits = (await ledger.edits()).values()
    corrected = {key: edit.cells for edit in edits if edit.source == ON_PAGE for key in edit.replaced}
    lines = [(row.key, _line(row, sheet, advice, users, words)) async for row, words in some]
    return [
        replace(line, wrong=[(name, corrected.get(key, {}).get(name, cell)) for name, cell in line.wrong])
        for key, line in lines
    ]


async def _some(rows: AsyncIterator[T], skip: int, most: int) -> AsyncIterator[T]:
    at = 0
    async for row in rows:
        if at >= skip + most:
            return
        if at >= skip:
            yield row
        at += 1


def _counted(numbers: Statistics, stands: Mapping[str, Standing]) -> dict[str, Any]:
    """How many rows are in which state, whose they are, and why rows need a person."""
    total = sum(numbers.states.values())
    longest_user = max((user.rows for user in numbers.users), default=0)
    longest_reason = max((kind.rows for kind in numbers.reasons), default=0)
    return {
        "states": [(str(each), count, colour_of(each)) for each, count in in_order(numbers.states)],
        "legend": legend(numbers.states),
        "total": total,
        "whole": bar(numbers.states, total),
        "users": [
            {
                "name": user.name or user.email or user.user_id or NO_USER,
                "email": user.email if user.name else "",
                "has": f"{has.spell_access()}, until {has.last:%-d %b %Y}"
                if (has := stands.get(user.user_id or "")) and has.last
                else "",
                "rows": user.rows,
                "shared": user.states.get(State.SHARED, 0),
                "reported": ", ".join(f"{count:,} {state}" for state, count in in_order(user.states)),
                "pieces": bar(user.states, longest_user),
            }
            for user in numbers.users
        ],
        "more_users": numbers.all_users - len(numbers.users),
        "reasons": [
            {
                "state": str(kind.row.state),
                "reason": _short(wording.spell_alike(kind, total)),
                "rows": kind.rows,
                "pieces": bar({kind.row.state: kind.rows}, longest_reason),
            }
            for kind in numbers.reasons
        ],
        "more_reasons": numbers.all_reasons - len(numbers.reasons),
        "troubled": rows_in(numbers.states, TROUBLED),
    }


def _of_runs(runs: Sequence[RunRecord], clock: Callable[[datetime], datetime]) -> dict[str, Any]:
    return {
        "open_run": bool(runs) and runs[-1].ended_at is None,
        "runs": [
            {
                "number": run.id,
                "command": run.command,
                "started": _moment(clock(run.started_at)),
                "lasted": wording.lasting((run.ended_at - run.started_at).total_seconds()) if run.ended_at else "",
                "ended": how_it_ended(run, is_last=run is runs[-1]),
            }
            for run in runs[-RUNS_REPORTED:]
        ],
        "more_runs": max(0, len(runs) - RUNS_REPORTED),
    }


def _line(
    row: Row,
    sheet: SheetRecord | None,
    advice: Advice,
    users: Mapping[str | None, tuple[str, str]],
    words: str = "",
) -> Line:
    user_id = row.instruction.user_id if row.instruction else ""
    user = _named(row, sheet, _USER_COLUMNS) or user_id
    if user == user_id:  # which says nothing to people
        user = next(filter(None, users.get(user_id, ())), user_id)
    return Line(
        sheet_row=str(row.sheet_row) if row.position is not None else "no longer there",
        lead=_named(row, sheet, _LEAD_COLUMNS) or (row.instruction.lead_number if row.instruction else ""),
        user=user,
        state=str(row.state),
        colour=colour_of(row.state),
        reason=_short(reason_of(row, says_row=False, place_free=advice.ledger is None)),
        advice=advice.next_step(row, words),
        wrong=_wrong_cells(row, sheet) if sheet and row.position is not None and is_unsent(row) else (),
    )


def _wrong_cells(row: Row, sheet: SheetRecord) -> list[tuple[str, str]]:
    told = row.why.details.get("problems", ()) if row.why is not None else ()
    return [*dict.fromkeys((column, value) for column, value, _ in told if sheet.columns.count(column) == 1)]


def _named(row: Row, sheet: SheetRecord | None, fields: Sequence[str]) -> str:
    """What the row's own cell says in the first column that holds one of these fields and is filled."""
    if sheet is None or not sheet.mapping:
        return ""
    places = {field: place for place, header in enumerate(sheet.columns) if (field := sheet.mapping.get(header))}
    cells = (row.cells[places[field]] for field in fields if places.get(field, len(row.cells)) < len(row.cells))
    return next((_short(cell, 80) for cell in cells if cell), "")


def _short(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else f"{text[:longest]} …"


def _moment(at: datetime) -> str:
    return f"{at:%-d %b %Y %H:%M %Z}"
