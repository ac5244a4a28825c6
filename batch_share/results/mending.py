"""A sheet of failed rows as a person runs it: its headers, and the command, with the options that it needs.

Those are the options of the last run of its own sheet without which the same rows would mean something else.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batch_share.errors import SheetError
from batch_share.sheet.columns import IGNORE, Field, field_named, match_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import SheetRecord

ADDED: Final = ("Reason", "Sheet Row")
"""The columns that a sheet of failed rows has behind the sheet's own."""

OPTIONS: Final = ("event", "access", "duration", "note", "timezone", "allow_duplicates")
"""The settings that change what a row means. Worksheet and header row are not needed: the file has one of each."""

_OF_DATES: Final = frozenset({Field.START, Field.UNTIL})


async def command_for(ledger: LedgerReader, failed_sheet: str) -> str:
    """The whole command, for a shell, that runs the `failed_sheet` of a ledger as its own sheet was run."""
    sheet = await ledger.sheet()
    settings = await ledger.settings_of_sheet()
    maps = _maps(sheet) if sheet else []
    words = ["batch-share", "run", failed_sheet, *maps, *_options(sheet, settings)]
    return shlex.join(words)


def _options(sheet: SheetRecord | None, settings: Mapping[str, Any]) -> list[str]:
    words = []
    for name in OPTIONS:
        value = settings.get(name)
        if not value or (name == "timezone" and not _has_dates(sheet)):
            continue
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words


def _has_dates(sheet: SheetRecord | None) -> bool:
    return sheet is not None and not _OF_DATES.isdisjoint((sheet.mapping or {}).values())


def _maps(sheet: SheetRecord) -> list[str]:
    """What has to be said of its columns, as options."""
    header, mapping = header_of(sheet), sheet.mapping or {}
    needed = _needed(header, {name: mapping[name] for name in header if name in mapping}) if mapping else {}
    return [word for name, field in needed.items() for word in ("--map", f"{_on_one_line(name)}={field}")]


def _needed(header: Sequence[str], wanted: Mapping[str, str]) -> dict[str, str]:
    """By header, what has to be said so that its columns hold what is `wanted`: no more than headers leave open."""
    needed = {name: wanted.get(name, IGNORE) for name in header if name in wanted or field_named(name)}
    for name in [*needed]:
        fewer = {other: field for other, field in needed.items() if other != name}
        if _read(header, fewer) == wanted:
            needed = fewer
    return needed


def _read(header: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """By header, what each column is taken to hold; nothing where that is an open question."""
    try:
        found = match_columns(Path(), header, mapping)
    except SheetError:
        return {}
    return {header[at]: str(name) for name, at in (*found.fields.items(), *found.custom.items())}


def _on_one_line(name: str) -> str:
    """A header, which is known by its letters and digits, as a command can hold it."""
    return " ".join("".join(each if each.isprintable() else " " for each in name).split())


def header_of(sheet: SheetRecord) -> list[str]:
    """The headers of its sheet of failed rows: its own columns and ours, whose names are no other's."""
    header = _own_columns(sheet)
    for name in ADDED:
        header = [*header, _unused(name, header)]
    return header


def _own_columns(sheet: SheetRecord) -> list[str]:
    """The sheet's own columns, without those that an earlier sheet of failed rows brought."""
    own = list(sheet.columns)
    came_from_us = Path(sheet.name).stem.partition(".failed")[1] and tuple(own[-2:]) == ADDED
    return own[: -len(ADDED)] if came_from_us else own


def _unused(name: str, header: Sequence[str]) -> str:
    """`name`, or with the first number that makes it one that is not there: no header may be there twice."""
    there, number, chosen = {each.casefold() for each in header}, 1, name
    while chosen.casefold() in there:
        number += 1
        chosen = f"{name} {number}"
    return chosen
