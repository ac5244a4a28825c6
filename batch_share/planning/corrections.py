"""What a person corrects in a sheet of failed rows, or on the page: edits of the job that the rows are of.

Each row of such a sheet has a reference, which names the job and the row as it was. What is corrected there is kept
in the ledger as an edit of what the sheet itself says: wherever that is read again, it is read as corrected, until
somebody changes it in the sheet. So is what is corrected on the page, cell by cell, also before the first run. A
row is corrected only while nothing of it is at LeadSquared.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from batch_share.common import ON_PAGE, Cause, Correction, Order, spell_rows
from batch_share.errors import BatchShareError, LedgerError, SettingsError, SheetError
from batch_share.ledger.files import LedgerName, open_ledger, read_ledger
from batch_share.ledger.known import open_history
from batch_share.ledger.records import OLD_WORDS, Edit
from batch_share.ledger.states import NEVER_SENT, State
from batch_share.outputs import digest_of
from batch_share.planning.directory import type_key
from batch_share.planning.plan import mapping_of
from batch_share.results.answers import (
    ADDED,
    KEY_LENGTH,
    REFERENCE,
    is_fixable,
    is_unsent,
    reference_column,
    reference_in,
)
from batch_share.results.wording import (
    CORRECTED_LATER,
    CORRECTED_NO_MORE,
    NOT_CORRECTED,
    NOT_READ,
    spell_corrected,
    spell_lapsed,
)
from batch_share.sheet.columns import IGNORE, match_columns
from batch_share.sheet.mapping import SheetMapping
from batch_share.sheet.reader import SHEET_SUFFIXES, ReadOptions, Sheet, open_sheet, read_sheet
from batch_share.sheet.table import FAULTS, RawRow, blocks_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Row, SheetRecord
    from batch_share.planning.plan import SheetOptions
    from batch_share.settings import Settings

_CAUSE_OF: Final = {text: cause for cause, text in FAULTS.items()}
MEANING: Final = ("event", "access", "duration", "until", "dates", "note", "timezone", "allow_duplicates")
"""The settings that say what a row means: its job's hold for a row that is corrected."""


@dataclass(frozen=True, slots=True)
class Corrections:
    """What a sheet of failed rows says: its new `edits`, and by Id the failed rows that are to be tried `again`.

    `left_out` are the rows, by number, that the job has left out, and by what. `digest` is of the file, if all that
    it says is in the job then, so that it may go; else None.
    """

    edits: Sequence[Edit]
    again: Sequence[int]
    left_out: Mapping[int, str]
    digest: str | None


async def ledger_of_job(job: str, sheet: Path, settings: Settings) -> LedgerName:
    """The ledger of the job that a sheet of failed rows is of: beside it, else where this machine knows it to be.

    Raises SheetError if there is none, LedgerError, HistoryError.
    """
    stem = sheet.stem.partition(".failed")[0]
    names = [sheet.with_name(stem + suffix) for suffix in sorted(SHEET_SUFFIXES)]
    beside = [LedgerName.of_sheet(each, settings.store) for each in names]
    others = sorted(sheet.absolute().parent.glob("*.ledger.db"))  # noqa: ASYNC240 - as every look at a file here
    for name in dict.fromkeys([*beside, *map(LedgerName.of, others)]):
        if name.size():
            try:
                async with read_ledger(name) as ledger:
                    if (await ledger.facts()).job.startswith(job):
                        return name
            except LedgerError:
                continue
    with open_history(settings.data_folder, store=settings.store) as history:
        elsewhere = history.ledger_of_job(job)
    if elsewhere is None:
        why = "the job that its rows failed in is not known on this machine"
        raise SheetError(
            sheet,
            f"{why}: put it beside that job's ledger, or name that with --ledger",
            problem=f"{why[0].upper()}{why[1:]}.",
            hint="Name the job's ledger.",
        )
    return elsewhere


async def settings_of_job(settings: Settings, name: LedgerName, job: str, sheet: Path) -> Settings:
    """The settings with those of the job for what its rows mean.

    Raises SheetError if it is another job's, SettingsError if others are set, LedgerError.
    """
    async with read_ledger(name) as ledger:
        if not (await ledger.facts()).job.startswith(job):
            raise SheetError(
                sheet,
                f"its rows are of another job than {name.short}: leave --ledger out",
                problem=f"Its rows are of another job than {name.short}.",
                hint="Leave the ledger out.",
            )
        of_job, types = await ledger.settings_of_sheet(), await ledger.type_names()
    meant: dict[str, Any] = {}
    for each in MEANING:
        now, before = getattr(settings, each), of_job.get(each)
        if each not in of_job or (now or None) == (before or None):
            continue
        is_same = False
        if each == "event" and now and before:  # by its code in one place, and by its name in the other
            called = [
                {code for code, name in types.items() if text == str(code) or type_key(name) == type_key(text)}
                for text in (str(now).strip(), str(before).strip())
            ]
            is_same = called[0] == called[1] and len(called[0]) == 1
        if now and not is_same:
            raise SettingsError(
                each,
                f"the job of {sheet.name} has {before!r}, and its failed rows go on with that: leave this out"
                if before
                else f"the job of {sheet.name} was run without, and so are its failed rows: leave this out",
            )
        meant[each] = Order(str(before)) if before and each == "dates" else before
    return settings.model_copy(update=meant)


# ------------------------------------------------------------------------------------------------ the sheet itself


def as_corrected(sheet: Sheet, edits: Mapping[str, Edit]) -> Sheet:
    """The sheet with its rows as they were corrected elsewhere, and notes that say so."""
    mapping, used = mapping_of(sheet), dict[str, int]()

    def rows() -> Iterator[RawRow]:
        used.clear()
        alike = Counter[str]()
        for raw in sheet.rows():
            edit = edits.get(_key(mapping, sheet.columns, raw.cells, alike))
            if edit is None or raw.problem is not None or not edit.cells.keys() <= {*sheet.columns}:
                yield raw
                continue
            used[edit.key] = raw.number
            yield _with_edit(raw, sheet.columns, edit)

    def notes() -> Sequence[str]:
        sources = Counter(edits[key].source for key in used)
        lapsed = sum(edit.source == ON_PAGE and key not in used for key, edit in edits.items())
        said = [spell_corrected(source, rows) for source, rows in sources.items()]
        return [*sheet.notes(), *said, *([spell_lapsed(lapsed)] if lapsed else [])]

    def corrections() -> Sequence[Correction]:
        return [each for key, row in used.items() for each in edits[key].corrections(row)]

    of_page = sorted((key, sorted(edit.cells.items())) for key, edit in edits.items() if edit.source == ON_PAGE)
    return replace(
        sheet,
        blocks=lambda: blocks_of(rows()),
        notes=notes,
        corrections=corrections,
        corrected=json.dumps(of_page) if of_page else "",
    )


def _with_edit(raw: RawRow, columns: Sequence[str], edit: Edit) -> RawRow:
    cells = [edit.cells.get(header, cell) for header, cell in zip(columns, raw.cells, strict=True)]
    faults = {at: cause for at, cause in raw.faults.items() if columns[at] not in edit.cells}
    return replace(raw, cells=cells, faults=faults, edit=edit.key)


async def correct(
    path: Path, options: SheetOptions, name: LedgerName, settings: Settings, wanted: Sequence[Correction]
) -> None:
    """Keep in the job's ledger, which is made if need be, what is corrected in cells of its sheet.

    A cell that is to say what the sheet says is corrected no more. All of it is kept, or nothing. Raises
    BatchShareError for a cell that says something else by now, or whose row was sent; SheetError, SettingsError,
    LedgerError.
    """
    sheet = await asyncio.to_thread(read_sheet, path, options.read)
    if any(sheet.columns.count(each.column) != 1 for each in wanted):
        raise SheetError(path, "its columns are not what they were: look at it again")
    by_row: dict[int, list[Correction]] = defaultdict(list)
    for each in wanted:
        by_row[each.row].append(each)
    found = await asyncio.to_thread(_rows_known_by, sheet, by_row.keys())
    host, _, _ = settings.credentials()
    async with open_ledger(name, host=host) as ledger:
        before, there = await ledger.edits(), await ledger.rows_numbered([*by_row])
        edits, elsewhere = list[Edit](), dict[tuple[str, ...], int]()
        for number, cells in by_row.items():
            key, raw = found.get(number, ("", RawRow(number, [])))
            now = _with_edit(raw, sheet.columns, before[key]) if key in before else raw
            said = dict(zip(sheet.columns, now.cells, strict=False))
            row = there.get(number)
            if row is None or (row.edit != key and [*row.cells] not in ([*raw.cells], [*now.cells])):
                row, elsewhere[tuple(now.cells)] = None, number  # the sheet was sorted, or rows are new
            # Of a correction that was taken back since, the results show what the ledger still has.
            is_back = row is not None and row.edit == key and key not in before
            shown = dict(zip(sheet.columns, row.cells, strict=False)) if row is not None and is_back else said
            if raw.problem is not None or any(
                each.before not in (said.get(each.column), shown.get(each.column)) for each in cells
            ):
                raise BatchShareError(f"Row {number} says something else by now: look at it again.")
            if row is not None and not (row.state in NEVER_SENT or is_unsent(row)):
                raise BatchShareError(NOT_CORRECTED.format(number))
            kept = before.get(key)
            was = dict(zip(sheet.columns, raw.cells, strict=True))
            changed = {**(kept.cells if kept else {}), **{each.column: each.after for each in cells}}
            changed = {column: cell for column, cell in changed.items() if cell != was[column]}
            replaced = [*(kept.replaced if kept else ()), *([row.key] if row is not None else ())]
            of_these = {column: was[column] for column in changed}
            edits.append(Edit(key, changed, ON_PAGE, [*dict.fromkeys(replaced)], of_these))
        if elsewhere:
            async for row in ledger.in_order():
                number = elsewhere.get(tuple(row.cells), 0)
                if number and not (row.state in NEVER_SENT or is_unsent(row)):
                    raise BatchShareError(NOT_CORRECTED.format(number))
        await ledger.put_edits(edits)


def _rows_known_by(sheet: Sheet, numbers: Collection[int]) -> dict[int, tuple[str, RawRow]]:
    """By its number in the sheet, what each of these rows is known by, and what it says there."""
    mapping, alike, found = mapping_of(sheet), Counter[str](), dict[int, tuple[str, RawRow]]()
    for raw in sheet.rows():
        key = _key(mapping, sheet.columns, raw.cells, alike)
        if raw.number in numbers:
            found[raw.number] = key, raw
    return found


def _key(mapping: Mapping[str, str], columns: Sequence[str], cells: Sequence[str], alike: Counter[str]) -> str:
    """What a row is known by: all that is read of it, and which it is of those alike; wherever it stands."""
    read = sorted(
        (mapping[header], cell) for header, cell in zip(columns, cells, strict=False) if header in mapping
    )
    digest = hashlib.blake2b(json.dumps(read).encode(), digest_size=20).hexdigest()
    alike[digest] += 1
    return f"{digest}.{alike[digest]}"


# ------------------------------------------------------------------------------------------------ its failed rows


async def read_corrections(
    path: Path, ledger: LedgerReader, options: SheetOptions, settings: Settings
) -> tuple[Sheet, Corrections]:
    """The sheet of a job as its sheet of failed rows at `path` has it corrected, and what that changes.

    It is made of what the ledger holds: the sheet itself may be gone, or have changed. Raises SheetError if rows
    can't be told, or are of another job; LedgerError.
    """
    record, facts, digest = await ledger.sheet(), await ledger.facts(), digest_of(path)
    if record is None:
        raise SheetError(path, f"its job's ledger {ledger.name.short} holds no sheet")
    wanted, is_whole, strange = _wanted(path, record, facts.job, options, settings)
    before = await ledger.edits()
    replaced = {key[:KEY_LENGTH]: edit.key for edit in before.values() for key in edit.replaced}
    of_edit = {replaced[key]: key for key in wanted if key in replaced}
    rows: list[RawRow] = []
    edits: list[Edit] = []
    told = dict[str, list[int]](again=[], sent=[], gone=[], later=[], over=[])
    left_out: dict[int, str] = {}
    alike, mapping, wrong = Counter[str](), record.mapping or {}, set[str]()
    async for row in ledger.in_order():
        raw = _as_read(row, record.columns)
        key = _key(mapping, record.columns, row.cells, alike) if row.edit is None else row.edit
        if row.edit is not None:
            alike[row.edit.partition(".")[0]] += 1
        wrong |= {column for column, *_ in row.why.details.get("problems", ())} if row.why is not None else set()
        if row.why is not None and row.cause is Cause.LEFT_OUT:
            left_out[row.sheet_row] = str(row.why.details.get("by", ""))
        known = before.get(key)
        if known is not None and raw.problem is None and (row.state in NEVER_SENT or is_unsent(row)):
            # It may have been corrected on the page since the ledger took it in, and that holds as in the sheet.
            raw = _with_edit(raw, record.columns, known)
        is_older = row.key[:KEY_LENGTH] not in wanted
        said = wanted.pop(of_edit.get(key, "") if is_older else row.key[:KEY_LENGTH], None)
        if said is None:
            rows.append(raw)
            continue
        number, cells = said
        changed, passed = _said_anew(row, record, cells, known, is_older=is_older)
        told["later"] += [row.sheet_row] if not passed <= changed.keys() else []
        if not changed:
            told["again"] += [row.id] if row.state is State.FAILED and is_fixable(row, record) else []
        elif not is_fixable(row, record):
            told["sent"].append(number)
        else:
            told["over"] += [row.sheet_row] if not passed.isdisjoint(changed) else []
            edits.append(_edited(row, record, Edit(key, changed, path.name, [row.key]), known))
            # Only these cells are its own: what the page corrected besides holds as well.
            cells = [changed.get(name, cell) for name, cell in zip(record.columns, raw.cells, strict=True)]
            raw = RawRow(row.sheet_row, cells, edit=key)
        rows.append(raw)
    told["gone"] += [number for number, _ in wanted.values()]
    is_taken = is_whole and not told["sent"] and not told["gone"]
    corrections = Corrections(edits, told["again"], left_out, digest if is_taken else None)
    found = match_columns(path, record.columns, {each: mapping.get(each, IGNORE) for each in record.columns})
    # Nobody said so of the others: what contradicted a row is looked at again, corrected or not.
    found = replace(found, others=[at for at, each in enumerate(record.columns) if each in wrong - {*mapping}])
    notes = [*_notes(rows, {**before, **{edit.key: edit for edit in edits}}, told, path.name)]
    notes += [NOT_READ.format(", ".join(strange), record.name)] if strange else []
    words = SheetMapping(words=facts.words)
    sheet = Sheet(
        path, record.worksheet, 1, record.columns, found, lambda: blocks_of(rows), lambda: notes, mapping=words
    )
    return sheet, corrections


def _said_anew(
    row: Row, record: SheetRecord, cells: Sequence[str], known: Edit | None, *, is_older: bool
) -> tuple[dict[str, str], set[str]]:
    """What a file of failed rows corrects of a row, by column; and where it and the page say different things.

    The newest correction holds. A file that `is_older` than one need not correct anything where it differs: a cell
    that says what the sheet itself does is none.
    """
    corrected, was = (known.cells, known.was or {}) if known is not None else ({}, {})
    pairs = [*zip(record.columns, row.cells, cells, strict=False)]
    changed = {
        name: new
        for name, old, new in pairs
        if new != old and not (is_older and name in corrected and new == was.get(name))
    }
    is_of_page = known is not None and known.source == ON_PAGE
    return changed, {name for name, _, new in pairs if is_of_page and corrected.get(name, new) != new}


def _edited(row: Row, record: SheetRecord, new: Edit, known: Edit | None) -> Edit:
    """A new edit of a row with what an earlier one corrected besides."""
    was = {name: cell for name, cell in zip(record.columns, row.cells, strict=True) if name in new.cells}
    if known is None:
        return replace(new, was=was)
    keys = [*dict.fromkeys([*known.replaced, *new.replaced])]
    return replace(new, cells={**known.cells, **new.cells}, replaced=keys, was=was | {**(known.was or {})})


def _notes(
    rows: Iterable[RawRow], edits: Mapping[str, Edit], told: Mapping[str, list[int]], file: str
) -> Iterator[str]:
    used = Counter(edits[raw.edit].source for raw in rows if raw.edit)
    yield from (spell_corrected(source, count) for source, count in used.items())
    for kind, why in {  # those of the first two are rows of the file, the others are rows of the sheet
        "sent": "of the failed rows not corrected: sent meanwhile, or begun",
        "gone": "of the failed rows left alone: the sheet no longer has what they correct, so correct it there",
        "later": CORRECTED_LATER.format(file),
        "over": CORRECTED_NO_MORE.format(file),
    }.items():
        if numbers := told[kind]:
            yield f"{spell_rows(numbers, len(numbers))} {why}"


def _wanted(
    path: Path, record: SheetRecord, job: str, options: SheetOptions, settings: Settings
) -> tuple[dict[str, tuple[int, list[str]]], bool, list[str]]:
    """By the reference's key, each row's number and cells; whether nothing else stands there.

    And columns that neither the job's sheet has nor we wrote. Raises SheetError.
    """
    opened, _ = open_sheet(path, ReadOptions(limits=settings.sheet))
    at = reference_column(opened)
    missing = [header for header in record.columns if header not in opened.columns]
    if at is None or missing:
        lacking = repr(missing[0]) if missing else repr(REFERENCE)
        raise SheetError(path, f"the column {lacking} is not there any more: put it back as it was")
    places = [opened.columns.index(header) for header in record.columns]
    is_chosen = options.selection.chooser(path, opened.columns)
    wanted: dict[str, tuple[int, list[str]]] = {}
    is_whole = len(opened.worksheets) < 2 and len(opened.columns) == len(record.columns) + len(ADDED)
    for raw in opened.rows():
        if not is_chosen(raw):
            is_whole = False
            continue
        fault = next((raw.faults[place] for place in places if place in raw.faults), None)
        if raw.problem or fault:
            raise SheetError(path, raw.problem or FAULTS[Cause(fault or "")], row=raw.number)
        reference = reference_in(raw.cells[at])
        if reference is None:
            raise SheetError(
                path,
                f"its {REFERENCE!r} is missing or not as it was written: put it back; a row that is new belongs in "
                f"{record.name}",
                row=raw.number,
            )
        if not job.startswith(reference[0]):
            raise SheetError(path, f"its {REFERENCE!r} is of another job", row=raw.number)
        if twice := wanted.get(reference[1]):
            raise SheetError(
                path,
                f"it has the {REFERENCE!r} of row {twice[0]}: a row can be corrected in one way only",
                row=raw.number,
            )
        wanted[reference[1]] = raw.number, [raw.cells[place] for place in places]
    strange = [each for each in opened.columns if each not in {"", *record.columns} and not each.startswith(ADDED)]
    return wanted, is_whole, strange


def _as_read(row: Row, columns: Sequence[str]) -> RawRow:
    """A row as it was read from the sheet: what could not be read of it then, it can't be now."""
    problem, faults = None, dict[int, str]()
    details = row.why.details if row.why is not None and row.state is State.INVALID else {}
    for column, _, text in details.get("problems", ()):
        if cause := _CAUSE_OF.get(text):
            faults[list(columns).index(column)] = cause
        elif row.cause is Cause.SHIFTED:
            problem = text
    if len(row.cells) != len(columns) or (row.cause in {Cause.SHIFTED, *FAULTS} and not faults):
        problem = problem or details.get(OLD_WORDS) or "its cells can't be told: correct it in the sheet itself"
    return RawRow(row.sheet_row, row.cells, problem, faults, row.edit)
