"""Which column holds what: headers matched to fields, whatever their case and spacing."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from batch_share.errors import SheetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Field(StrEnum):
    """What batch_share reads from a sheet, by the name it has in messages."""

    LEAD_ID = "Lead Id"
    LEAD_NUMBER = "Lead Number"
    USER_ID = "User Id"
    ACCESS = "Access"
    DURATION = "Duration"
    NOTE = "Note"
    EVENT = "Activity Event"


HEADERS: Final[dict[Field, tuple[str, ...]]] = {
    Field.LEAD_ID: ("Lead Id", "ProspectID", "RelatedProspectId"),
    Field.LEAD_NUMBER: ("Lead Number", "ProspectAutoId", "LeadAutoId", "EntityId"),
    Field.USER_ID: ("User Id",),
    Field.ACCESS: ("Access", "AccessType"),
    Field.DURATION: ("Duration", "DurationInMinutes"),
    Field.NOTE: ("Note", "ActivityNote"),
    Field.EVENT: ("Activity Event",),
}
"""The headers each field is known by."""

REQUIRED: Final = (Field.LEAD_ID, Field.LEAD_NUMBER, Field.USER_ID)


def squeeze(header: str) -> str:
    """A header without what people vary: case, spaces, underscores, hyphens."""
    return "".join(char for char in header.casefold() if char.isalnum())


_FIELD_OF: Final = {squeeze(header): field for field, headers in HEADERS.items() for header in headers}


def match_columns(path: Path, columns: Sequence[str]) -> Mapping[Field, int]:
    """Where each field stands. Raises SheetError when one is there twice, or a required one is missing."""
    found: dict[Field, int] = {}
    for index, header in enumerate(columns):
        field = _FIELD_OF.get(squeeze(header))
        if field is None:
            continue
        if field in found:
            both = f"{columns[found[field]]!r} and {header!r}"
            raise SheetError(path, f"two columns could be the {field}: {both}. Rename or remove one")
        found[field] = index
    missing = [field for field in REQUIRED if field not in found]
    if missing:
        raise SheetError(path, _missing(missing, columns))
    return found


def _missing(missing: Sequence[Field], columns: Sequence[str]) -> str:
    wanted = "; ".join(f"{field} (or {', '.join(HEADERS[field][1:])})".replace(" (or )", "") for field in missing)
    there = ", ".join(repr(column) for column in columns if column)
    return f"no column for {wanted}. Its headers are: {there}"
