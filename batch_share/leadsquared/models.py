"""The bodies of LeadSquared's answers (https://apidocs.leadsquared.com), in however many spellings.

`ProspectID` and `ProspectId`, `ID` and `Id` stand for the same, between pages of the documentation and within one;
numbers, truth values and Ids come as JSON or as text; lists come bare or wrapped, and one object where a list of
one is meant. So names are read without regard to their case: `read_json` gives all of them in lower case.

Answers tolerate fields nobody told us of; a known field of a wrong type is a ValidationError, which `protocol`
turns into an Outcome.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from collections.abc import Mapping

LISTS: Final = ("leads", "users", "prospectactivities", "activities", "list", "records", "results", "items")
"""Names, in lower case, that a list is wrapped in."""

WRAPPERS: Final = ("response", "data")
"""The same, but an object may have these beside its own values: then they are no wrapper of it."""

COUNT: Final = "recordcount"
"""The name, in lower case, of how many there are on all pages; an empty list may be left out beside it."""

NOT_JSON: Final = object()
"""What `read_json` gives for a body that is no JSON."""


_PROPERTIES: Final = "leadpropertylist"
"""Under this some calls show a lead as a list of `Attribute` and `Value`."""


_GUID: Final = re.compile(r"\{?[0-9a-f]{8}(-?)([0-9a-f]{4}\1){3}[0-9a-f]{12}\}?", re.IGNORECASE)


def folded(name: str) -> str:
    """The name of an answer's property for one of ours: `share_status` is read as `sharestatus`."""
    return name.replace("_", "")


def read_json(body: bytes) -> Any:
    """The JSON value of a body with all names in lower case, NOT_JSON if it is none. A BOM may lead it."""
    try:
        return json.loads(body, object_pairs_hook=_in_lower_case)
    except (ValueError, RecursionError):
        return NOT_JSON


def _in_lower_case(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if found.get(key := name.lower()) in (None, ""):  # of `Id` and `ID`, the one that says something
            found[key] = value
    return found


def records(value: Any, *ids: str) -> list[dict[str, Any]] | None:
    """The objects of a list, however it is wrapped; None if there is no list in `value`.

    `ids` are names that one of its objects has: by one of them it is told when it stands for a list of one.
    """
    if isinstance(value, dict):
        names = (name for name in (*LISTS, *WRAPPERS) if name in value)
        wrapped = next((name for name in names if isinstance(value[name], list | dict | None)), None)
        if wrapped not in LISTS and (_PROPERTIES in value or any(name in value for name in ids)):
            value = [value]
        elif wrapped is not None:
            return records(value[wrapped], *ids)
        else:
            # It may be under a name that nobody told us of, or be left out where the count says that it is empty.
            inside = [each for each in value.values() if isinstance(each, list | dict)]
            told = [found for each in inside if (found := records(each, *ids))]
            if len(told) == 1 and any(name in told[0][0] for name in ids):
                return told[0]
            return [] if COUNT in value and not count_of(value) else None
    kept = [each for each in value if each is not None] if isinstance(value, list) else None
    if kept is None or not all(isinstance(each, dict) for each in kept):
        return [] if value is None else None
    return [named_values(each[_PROPERTIES]) if _PROPERTIES in each else each for each in kept]


def named_values(entries: Any) -> dict[str, Any]:
    """A list of named values (`Key`, `SchemaName` or `Attribute`, and `Value`) as a dict, names in lower case."""
    if isinstance(entries, dict):
        return entries
    found: dict[str, Any] = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            name = next((text for each in ("key", "schemaname", "attribute") if (text := text_of(entry, each))), "")
            found[name.lower().replace(" ", "")] = entry.get("value")
    return found


def text_of(record: Mapping[str, Any], *names: str) -> str:
    """What stands under the first of `names` that says something, as text; "" if none does."""
    for name in names:
        if (text := as_text(record.get(name))).strip():
            return text
    return ""


def id_of(text: str) -> str:
    """An Id in one spelling: a GUID in lower case with dashes, whatever it was written in."""
    found = text.strip()
    return str(UUID(found)) if _GUID.fullmatch(found) else found.lower()


def is_guid(text: str) -> bool:
    """Whether it is a GUID, be it in braces or without dashes."""
    return _GUID.fullmatch(text) is not None


def as_text(value: Any) -> str:
    """Text as it is, a whole number in digits; "" for everything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def count_of(value: Any) -> int | None:
    """How many there are on all pages, if the answer says so in a way that can be understood."""
    text = as_text(value.get(COUNT)).strip() if isinstance(value, dict) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _in_digits(value: Any) -> Any:
    # A list where a text should be stays a wrong type: it is no Id.
    return as_text(value) or value


def _nothing_for_blank(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


Text = Annotated[str | None, BeforeValidator(_in_digits)]
Whole = Annotated[int | None, BeforeValidator(_nothing_for_blank)]
Truth = Annotated[bool | None, BeforeValidator(_nothing_for_blank)]


class AnswerBody(BaseModel):
    """An answer's JSON object."""

    model_config = ConfigDict(alias_generator=folded, extra="ignore", hide_input_in_errors=True)


class Message(AnswerBody):
    """`Message` of a status: a text about a request."""

    response_text: Text = None


class StatusAnswer(AnswerBody):
    """https://apidocs.leadsquared.com/get-status-of-a-share-revoke-request/

    What stands inside its message is read as if it stood beside it, where nothing does.
    """

    status: Literal["success"]
    message: Message = Message()
    # Bounded as the ledger's column is.
    share_status: Annotated[
        Annotated[int, Field(ge=-(2**31), lt=2**31)] | None, BeforeValidator(_nothing_for_blank)
    ] = None
    error_message: Text = None

    @model_validator(mode="before")
    @classmethod
    def _as_one(cls, value: Any) -> Any:
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if not isinstance(value, dict):
            return value
        inside = value["message"] if isinstance(value.get("message"), dict) else {}
        told = {name: inside[name] for name in ("sharestatus", "errormessage") if name in inside}
        told |= {name: each for name, each in value.items() if each not in ("", None)} | {"message": inside}
        status, error = told.get("status"), told.get("errormessage")
        if isinstance(status, str):
            told["status"] = status.strip().lower()
        if error in ([], {}) or (isinstance(error, str) and error.strip().lower() == "null"):
            told["errormessage"] = None  # so an error may be written that is none
        return told


class BulkItem(AnswerBody):
    """What became of one activity of a bulk call: one page shows `ProspectActivityId`, client code the others."""

    row_number: Whole = None
    prospect_activity_id: Text = None
    related_prospect_id: Text = None
    activity_created: Truth = None
    activity_added: Truth = None
    exception_type: Text = None
    exception_message: Text = None
    error_message: Text = None
