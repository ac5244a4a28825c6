"""A row's cells checked and made canonical, or every reason why the row can't be sent.

The rules do no I/O. Values a cell leaves blank come from the options of the whole run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from batch_share.sheet.columns import Field
from batch_share.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch_share.sheet.reader import RawRow

DEFAULT_NOTE: Final = "Lead shared for a limited time"
NOTE_LIMIT: Final = 1800
"""Characters of a note that every account seen so far keeps whole: a guess, no page gives a number."""

_ACCESS: Final = {"read": 1, "1": 1, "write": 2, "2": 2}
# Stricter than UUID(), which takes underscores, a sign or a 0x for digits.
_GUID: Final = re.compile(r"\{?[0-9a-f]{8}(-?)([0-9a-f]{4}\1){3}[0-9a-f]{12}\}?", re.IGNORECASE)
_MARKUP: Final = re.compile(r"<[A-Za-z/!?]")


def parse_guid(text: str) -> str:
    """A GUID in LeadSquared's spelling: lower case, with dashes. Raises ValueError."""
    if not _GUID.fullmatch(text):
        raise ValueError("not a GUID such as 0f8fad5b-d9cb-469f-a165-70867728950e")
    guid = UUID(text)
    if guid.int == 0:
        raise ValueError("an empty GUID names nobody")
    return str(guid)


def parse_lead_number(text: str) -> str:
    """A lead number: digits. Raises ValueError."""
    if re.fullmatch(r"\d\.\d+E\+\d+", text):
        raise ValueError("too long for a number in Excel, its last digits are lost: keep the column as text")
    if not re.fullmatch(r"[0-9]{1,20}", text):
        raise ValueError("not a lead number: digits only")
    return text


def parse_access(text: str) -> int:
    """An AccessType, 1 (read) or 2 (write): https://apidocs.leadsquared.com/share-a-lead/. Raises ValueError."""
    try:
        return _ACCESS[text.casefold()]
    except KeyError:
        raise ValueError("not an access: write read, write, 1 or 2") from None


def parse_event(text: str) -> int:
    """The code of an activity type. Raises ValueError."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) == 0:
        raise ValueError("not the code of an activity type, such as 201")
    return int(text)


def parse_note(text: str) -> str:
    """A note that LeadSquared keeps whole. Raises ValueError."""
    if len(text) > NOTE_LIMIT:
        raise ValueError(f"{len(text)} characters; LeadSquared keeps {NOTE_LIMIT}")
    if _MARKUP.search(text):
        raise ValueError("looks like markup (<…), which LeadSquared refuses")
    return text


class ShareRow(BaseModel):
    """What a row asks for, in canonical form. `duration` is in minutes."""

    model_config = ConfigDict(frozen=True)

    lead_id: Annotated[str, BeforeValidator(parse_guid)]
    lead_number: Annotated[str, BeforeValidator(parse_lead_number)]
    user_id: Annotated[str, BeforeValidator(parse_guid)]
    access: Annotated[int, BeforeValidator(parse_access)]
    duration: Annotated[int, BeforeValidator(parse_duration)]
    event: Annotated[int, BeforeValidator(parse_event)]
    note: Annotated[str, BeforeValidator(parse_note)]


_NAMES: Final = {field.name.lower(): field for field in Field}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a row can't be sent: in the sheet's `row`, under `column`, this `value` has this wrong with it."""

    row: int
    column: str
    value: str
    wrong: str

    def __str__(self) -> str:
        if not self.column:
            return f"Row {self.row}: {self.wrong}"
        shown = f" {_short(self.value)!r}:" if self.value else ":"
        return f"Row {self.row}, {self.column}{shown} {self.wrong}"


@dataclass(frozen=True, slots=True)
class RowRules:
    """How to read the rows of one sheet: its columns, and what blank cells take from the options."""

    columns: Sequence[str]
    fields: Mapping[Field, int]
    defaults: Mapping[Field, str]

    def check(self, row: RawRow) -> ShareRow | list[Problem]:
        """The row's canonical values, or everything that is wrong with it."""
        if row.problem is not None:
            return [Problem(row.number, "", "", row.problem)]
        given = {name: self._text(field, row.cells) for name, field in _NAMES.items()}
        blank = [name for name, text in given.items() if not text]
        try:
            return ShareRow.model_validate(given)
        except ValidationError as error:
            faults: list[Any] = error.errors(include_url=False, include_context=False)
            return [self._problem(row, str(fault["loc"][0]), fault["msg"], blank) for fault in faults]

    def _text(self, field: Field, cells: Sequence[str]) -> str:
        text = cells[self.fields[field]].strip() if field in self.fields else ""
        return text or self.defaults.get(field, "")

    def _problem(self, row: RawRow, name: str, message: str, blank: Sequence[str]) -> Problem:
        field = _NAMES[name]
        column = self.columns[self.fields[field]] if field in self.fields else str(field)
        wrong = "blank" if name in blank else message.removeprefix("Value error, ")
        value = "" if name in blank else self._text(field, row.cells)
        return Problem(row.number, column, value, wrong)


def _short(value: str) -> str:
    return value if len(value) <= 60 else f"{value[:57]}…"
