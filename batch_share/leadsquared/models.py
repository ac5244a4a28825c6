"""The bodies of LeadSquared's requests and answers (https://apidocs.leadsquared.com), in however many spellings.

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
from pydantic.alias_generators import to_pascal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
    if isinstance(value, list):
        kept = [each for each in value if each is not None]
        return [_record(each) for each in kept] if all(isinstance(each, dict) for each in kept) else None
    if not isinstance(value, dict):
        return [] if value is None else None
    wrapped = _wrapped(value, LISTS)
    if wrapped is None and (_PROPERTIES in value or any(name in value for name in ids)):
        return [_record(value)]
    wrapped = wrapped or _wrapped(value, WRAPPERS)
    return _unknown(value, ids) if wrapped is None else records(value[wrapped], *ids)


def _unknown(value: dict[str, Any], ids: tuple[str, ...]) -> list[dict[str, Any]] | None:
    """The list under a name that nobody told us of, if there is one; an empty one where the count says so."""
    inside = [found for each in value.values() if isinstance(each, list | dict) and (found := records(each, *ids))]
    if len(inside) == 1 and any(name in inside[0][0] for name in ids):
        return inside[0]
    return [] if COUNT in value and not count_of(value) else None


def _wrapped(value: dict[str, Any], names: Iterable[str]) -> str | None:
    return next((name for name in names if name in value and isinstance(value[name], list | dict | None)), None)


def _record(value: dict[str, Any]) -> dict[str, Any]:
    return named_values(value[_PROPERTIES]) if _PROPERTIES in value else value


def is_empty_page(value: Any, found: list[dict[str, Any]] | None) -> bool:
    """Whether an answer in which no object was found is a page all the same: by a list, or a count without one."""
    has_list = isinstance(value, dict) and any(name in value for name in (*LISTS, *WRAPPERS))
    return found is not None if has_list else count_of(value) is not None


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


class Body(BaseModel):
    """A request body, in LeadSquared's spelling."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True, frozen=True)

    def json_bytes(self) -> bytes:
        """The body as UTF-8 JSON, without what was not set."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


class FieldValue(Body):
    """One entry of an activity's `Fields`."""

    schema_name: str
    value: str


class ActivityBody(Body):
    """https://apidocs.leadsquared.com/post-an-activity-to-lead/"""

    related_prospect_id: str
    activity_event: int
    activity_note: str
    fields: tuple[FieldValue, ...]


class BulkActivity(Body):
    """One element of the array in https://apidocs.leadsquared.com/post-bulk-activities-on-leads/

    Unlike a single activity it names its owner by e-mail address.
    """

    related_prospect_id: str
    activity_event: int
    activity_note: str
    activity_owner_email: str
    fields: tuple[FieldValue, ...] | None = None


class ShareItem(Body):
    """One element of the array in https://apidocs.leadsquared.com/share-a-lead/

    `entity_id` is the lead number (ProspectAutoId), not the lead's GUID; `access_type` 1 reads, 2 writes.
    """

    user_id: str
    entity: Literal[1] = 1
    entity_type: Literal[3] = 3
    entity_id: str
    context_entity: Literal[1] = 1
    context_entity_id: str
    access_type: Literal[1, 2]
    duration_in_minutes: int


class RevokeItem(Body):
    """One element of the array in https://apidocs.leadsquared.com/revoke-access-to-a-shared-lead/, as above."""

    user_id: str
    entity: Literal[1] = 1
    entity_type: Literal[3] = 3
    entity_id: str
    context_entity: Literal[1] = 1
    context_entity_id: str
    access_type: Literal[1, 2]


def _in_digits(value: Any) -> Any:
    # A list where a text should be stays a wrong type: it is no Id.
    return as_text(value) or value


def _nothing_for_blank(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _nothing_for_none(value: Any) -> Any:
    """How an error that is none may be written."""
    return None if value in ([], {}) or (isinstance(value, str) and value.strip().lower() == "null") else value


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _object(value: Any) -> Any:
    return value if isinstance(value, dict) else {}


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

    status: Annotated[Literal["success"], BeforeValidator(_lower)]
    message: Annotated[Message, BeforeValidator(_object)] = Message()
    # Bounded as the ledger's column is.
    share_status: Annotated[
        Annotated[int, Field(ge=-(2**31), lt=2**31)] | None, BeforeValidator(_nothing_for_blank)
    ] = None
    error_message: Annotated[Text, BeforeValidator(_nothing_for_none)] = None

    @model_validator(mode="before")
    @classmethod
    def _as_one(cls, value: Any) -> Any:
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        inside = value.get("message") if isinstance(value, dict) else None
        if not isinstance(inside, dict):
            return value
        said = {name: each for name, each in value.items() if name == "message" or each not in ("", None)}
        return {name: inside[name] for name in ("sharestatus", "errormessage") if name in inside} | said


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
