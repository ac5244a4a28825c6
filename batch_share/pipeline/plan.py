"""From a sheet's rows to what will happen with each, before anything happens. No network, no ledger.

A row's key is made of what it asks for, not of where it stands: rows may be sorted, inserted or mended between two
runs, and what was done stays done.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from batch_share.errors import SettingsError, SheetError
from batch_share.ledger.records import Instruction, NewRow, SheetRecord
from batch_share.ledger.states import State
from batch_share.sheet.columns import Field, match_columns
from batch_share.sheet.reader import RawRow, read_sheet
from batch_share.sheet.rows import (
    DEFAULT_NOTE,
    RowRules,
    ShareRow,
    parse_access,
    parse_event,
    parse_note,
)
from batch_share.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from batch_share.settings import Settings
    from batch_share.sheet.reader import Sheet

_OPTIONS: Final[dict[Field, Callable[[str], object]]] = {
    Field.ACCESS: parse_access,
    Field.DURATION: parse_duration,
    Field.EVENT: parse_event,
    Field.NOTE: parse_note,
}
_FALLBACK: Final = {Field.ACCESS: "read", Field.NOTE: DEFAULT_NOTE}


@dataclass(frozen=True, slots=True)
class Plan:
    """A sheet with the rules to read it by. `record` identifies it: same digest, same rows, same meaning."""

    sheet: Sheet
    rules: RowRules
    record: SheetRecord
    allow_duplicates: bool

    def rows(self, job: str) -> Iterator[NewRow]:
        """Every row as it will stand in the ledger `job`. May raise SheetError while it goes."""
        seen: dict[tuple[Any, ...], list[int]] = {}
        for raw in self.sheet.rows():
            yield self._row(job, raw, seen)

    def _row(self, job: str, raw: RawRow, seen: dict[tuple[Any, ...], list[int]]) -> NewRow:
        checked = self.rules.check(raw)
        asked = _identity(checked) if isinstance(checked, ShareRow) else ("invalid", *raw.cells)
        earlier = seen.setdefault(asked, [])
        earlier.append(raw.number)
        key = _key(job, asked, occurrence=len(earlier))
        if not isinstance(checked, ShareRow):
            reason = "; ".join(str(problem) for problem in checked)
            return NewRow(key, raw.number, raw.cells, State.INVALID, reason=reason)
        instruction = Instruction(**checked.model_dump())
        if len(earlier) > 1 and not self.allow_duplicates:
            reason = f"the same lead, user, access and activity as row {earlier[0]}"
            return NewRow(key, raw.number, raw.cells, State.SKIPPED, instruction, reason)
        return NewRow(key, raw.number, raw.cells, State.PENDING, instruction)


def make_plan(path: Path, worksheet: str | None, settings: Settings) -> Plan:
    """Read the sheet's header and the options. Raises SheetError, SettingsError."""
    sheet = read_sheet(path, worksheet)
    fields = match_columns(path, sheet.columns)
    defaults = _defaults(settings)
    for field in (Field.DURATION, Field.EVENT):
        if field not in fields and field not in defaults:
            raise SheetError(path, _nowhere(field))
    record = SheetRecord(
        name=path.name,
        path=str(path.absolute()),
        worksheet=sheet.worksheet,
        digest=_digest(path, sheet.worksheet, defaults, settings),
        columns=list(sheet.columns),
    )
    return Plan(sheet, RowRules(sheet.columns, fields, defaults), record, settings.allow_duplicates)


def _defaults(settings: Settings) -> dict[Field, str]:
    """What blank cells take from the options, each checked once for the whole run."""
    given = {field: str(getattr(settings, field.name.lower())).strip() for field in _OPTIONS}
    for field, text in given.items():
        try:
            _OPTIONS[field](text) if text else None
        except ValueError as error:
            raise SettingsError(field.name.lower(), str(error)) from None
    return _FALLBACK | {field: text for field, text in given.items() if text}


def _nowhere(field: Field) -> str:
    flag, example = {Field.DURATION: ("--duration", "7d"), Field.EVENT: ("--event", "201")}[field]
    return (
        f"no column for {field}, and no option either: add the column or give {flag}, for example {flag} {example}"
    )


def _identity(row: ShareRow) -> tuple[Any, ...]:
    return row.lead_id, row.lead_number, row.user_id, row.access, row.event


def _key(job: str, asked: tuple[Any, ...], occurrence: int) -> str:
    return hashlib.sha256(json.dumps([job, *asked, occurrence]).encode()).hexdigest()


def _digest(path: Path, worksheet: str | None, defaults: dict[Field, str], settings: Settings) -> str:
    options = [worksheet, sorted(defaults.items()), settings.allow_duplicates]
    digest = hashlib.sha256(json.dumps(options).encode())
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise SheetError(path, f"can't be read ({error.strerror})") from None
    return digest.hexdigest()
