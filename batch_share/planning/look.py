"""A sheet as a person looks at it before anything else: its columns, what they are taken to hold, what is wrong."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Final

from batch_share.errors import SheetError
from batch_share.planning.overview import Unasked, overview
from batch_share.planning.plan import defaults_of, plan_of
from batch_share.sheet.columns import Field, doubt_of, field_named, is_of_header, spell_unread, squeeze
from batch_share.sheet.reader import open_sheet
from batch_share.sheet.rows import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from batch_share.planning.plan import SheetOptions
    from batch_share.settings import Settings
    from batch_share.sheet.reader import Sheet

FIRST: Final = 5
"""Rows of which a person is shown what stands in them."""


class Origin(StrEnum):
    """By what a column is taken to hold what it does."""

    MAPPING = "mapping"
    HEADER = "header"
    VALUES = "values"


@dataclass(frozen=True, slots=True)
class LookColumn:
    """A column under its `header`, with what stands in its first rows (`values`, at most `FIRST`).

    It is read as `field` (a Field's value, or mx_Custom_1 and so on), as `origin` says; None: it is not read. With
    `is_doubtful` it most often says who has the lead now: a run shares with that person only once somebody has said
    so.
    """

    header: str
    field: str | None
    origin: Origin | None
    values: Sequence[str]
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """A sheet as it was read: `name`, the `worksheet` of all `worksheets` (none in a text file), `header_row`.

    `rows` counts the rows below the headers, `notes` say how it was read. `defaults` say by field what a row has
    that does not say: from the settings. `problems` are all that keep the sheet, or a row of it, from being sent as
    far as that can be told without asking LeadSquared; those of the whole sheet have no row.
    """

    name: str
    worksheets: Sequence[str]
    worksheet: str | None
    header_row: int
    columns: Sequence[LookColumn]
    rows: int
    notes: Sequence[str]
    defaults: Mapping[str, str]
    problems: Sequence[Problem]


def look_at(path: Path, options: SheetOptions, settings: Settings) -> Look:
    """Look at a sheet; nobody is asked, and no ledger is. Raises SheetError if there is no table, SettingsError."""
    sheet, lacking = open_sheet(path, options.read)
    defaults, rows, problems = defaults_of(settings), 0, list[Problem]()
    try:
        if lacking is not None:
            raise lacking
        plan = plan_of(sheet, options, settings, now=dt.datetime.now(dt.UTC))
        sheet = plan.sheet  # which says how its dates were read
        plan.check_rows()
        seen = overview(plan, settings, Unasked())
        rows, problems = seen.rows, seen.problems
    except SheetError as error:
        problems = [Problem(error.row, "", "", error.problem, hint=error.hint)]
        with suppress(SheetError):
            for _ in sheet.rows():
                rows += 1
    found = sheet.found
    if found.doubtful:
        words, _ = doubt_of(sheet.columns, found)
        hint = "Say whether each lead is to be shared with the person there, or choose another column."
        problems = [Problem(None, "", "", f"{words}.", hint=hint), *problems]
    return Look(
        name=path.name,
        worksheets=sheet.worksheets,
        worksheet=sheet.worksheet,
        header_row=sheet.header_row,
        columns=_columns(sheet),
        rows=rows,
        notes=[*sheet.notes(), *spell_unread(sheet.columns, found)],
        defaults={str(each): text for each, text in defaults.items()},
        problems=problems,
    )


def _columns(sheet: Sheet) -> list[LookColumn]:
    first: list[list[str]] = []
    with suppress(SheetError):  # which is among the problems
        blank = [""] * len(sheet.columns)
        first.extend([*row.cells, *blank] for row in islice(sheet.rows(), FIRST))
    said = {squeeze(header): field_named(name) or None for header, name in sheet.mapping.columns.items()}
    fields: dict[int, str] = {index: each for each, index in sheet.found.fields.items()}
    fields |= {index: name for name, index in sheet.found.custom.items()}
    shown = []
    for index, header in enumerate(sheet.columns):
        field = fields.get(index)
        origin = None
        if squeeze(header) in said:
            # Also where the others can't be told, and so none is read yet.
            field, origin = said[squeeze(header)], Origin.MAPPING
        elif not fields and (guess := field_named(header)):
            field, origin = guess, Origin.HEADER
        elif field is not None:
            is_plain = not isinstance(field, Field) or is_of_header(header, field)
            origin = Origin.HEADER if is_plain else Origin.VALUES
        values = [row[index] for row in first]
        shown.append(LookColumn(header, field and str(field), origin, values, index in sheet.found.doubtful))
    return shown
