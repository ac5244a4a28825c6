"""The wire without the network: builds each request and turns each answer into an Outcome.

Nothing here does I/O. The order of the rules in `judge` is the retry policy of the whole program:

=======================================================  =============  ===============
what came back                                           done there?    outcome
=======================================================  =============  ===============
a throttle: 429; its type; a failure of 403 or 200 that  no             Throttled
begins with its words
401, 403                                                 no             Denied
a failure of a call that makes something, with an Id     maybe          Lost
400, 404; `Status: Failed`; an MX… type in a 2xx or 500  no             Refused
2xx with a usable Id                                     yes            Done
anything else                                            maybe          Lost
=======================================================  =============  ===============

(A call that never left is NotSent; the adapter says so. What a 404 means, `calls` decides: whether this API was
ever there is not told by one answer.) Documentation: https://apidocs.leadsquared.com/error-handling/
and https://apidocs.leadsquared.com/rate-limits/; a 200 or 403 that throttles was seen on live accounts. Anywhere
else a throttle's words are somebody's own: a refusal may quote a row's note.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from batch_share.common import Rate
from batch_share.leadsquared import guesses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LIMIT_WORDS: Final = re.compile(r"limit of (\d{1,12}) in (\d{1,12}) second", re.IGNORECASE)
_THROTTLE_WORDS: Final = "api calls exceeded the limit of"
_THROTTLE_TYPE: Final = "MXAPIRateLimitExceededException"
_SAID: Final = frozenset({"message", "exceptiontype", "exceptionmessage"})
_ADDRESS: Final = re.compile(r"[^\s<>()\[\],;:\"]+@[^\s<>()\[\],;:\"]+")
_DATE: Final = "%Y-%m-%d %H:%M:%S"

_WORDS_LIMIT: Final = 500
"""Characters of the API's words that are kept: what is longer is a dump, and no message."""

_PAGE_LIMIT: Final = 200
"""Characters that are shown of what is no message, such as a proxy's page: its title is among them."""

LONGEST_PAUSE: Final = 300.0
"""Seconds of the longest Retry-After that a run waits for: whoever looks on takes a longer pause for a hang."""

LEAD_PAGE: Final = 100
"""Activities of a lead to a page: as many as one lead seldom has of a type; no page gives a maximum."""

TYPE_PAGE: Final = 1000
"""Activities of a type to a page: the most that the documentation allows."""

MOST_ACTIVITIES: Final = 25
"""Activities that one bulk call may hold, as documented."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request to be made. `path` is relative to `{host}/v2/`; keys are the adapter's business."""

    method: Literal["GET", "POST"]
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `status`, `headers` by lower-case names, and the whole `body`.

    `redact` takes the pieces of keys out of its words. No part is shown that a server may have quoted a key in.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    redact: Callable[[str], str] = field(default=str, repr=False, compare=False)


# ------------------------------------------------------------------------------------------------- outcomes

# What became of a call, in the only words the rest of the program knows: what to do next follows from the class
# alone. `words` are the API's own, made safe to print.


@dataclass(frozen=True, slots=True)
class Done:
    """LeadSquared did it and gave `id`: an activity's Id or a request Id."""

    id: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Definitely not done, and asking again would get the same answer. `is_page`: that was no JSON."""

    words: str
    type: str = ""
    status: int | None = None
    is_page: bool = False


@dataclass(frozen=True, slots=True)
class Throttled:
    """Not done: too many calls. For `pause` seconds no call is to be made; `rate` is the account's real limit.

    Each is None if it is not told. For `closed_for` seconds no call is to be made, and that is too long to wait.
    """

    words: str
    pause: float | None = None
    rate: Rate | None = None
    status: int | None = None
    closed_for: float | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """Not done, and nothing else will be either: the keys or their user were refused, or the API is not there.

    `path` is of the API that is not there. `is_page`: the answer was a web page, as those are that stand between.
    """

    words: str
    status: int
    path: str = ""
    is_page: bool = False


@dataclass(frozen=True, slots=True)
class NotSent:
    """The call never left: no connection. It may be tried again, if `hopeless` when that is fixed."""

    words: str
    status: None = None
    hopeless: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """It was sent, and nobody knows whether it was done; `is_silence`: nothing came for as long as it is waited."""

    words: str
    status: int | None = None
    is_silence: bool = field(default=False, compare=False)


Failure: TypeAlias = Refused | Throttled | Denied | NotSent | Lost
Outcome: TypeAlias = Done | Failure


@dataclass(frozen=True, slots=True)
class ShareStatus:
    """The status API's word on a request: `verdict` is `processed`, `failed` or `pending`.

    `number` is the raw ShareStatus, `words` the ErrorMessage or the ResponseText.
    """

    verdict: str
    number: int | None
    words: str
    status: int = 200


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose an activity is, in as many ways as LeadSquared shows it: user Id (lower case), e-mail address, name."""

    id: str = ""
    email: str = ""
    name: str = ""

    def __str__(self) -> str:
        return self.id or self.email or self.name


@dataclass(frozen=True, slots=True)
class ActivityView:
    """An activity as LeadSquared shows it: its `id` and its `owner`, None where it shows none.

    `created_on` is UTC text, `said` every text of it in lower case, wherever it stood; `lead` is its lead's Id, ""
    where that is not told.
    """

    id: str
    owner: Owner | None
    created_on: str = ""
    said: str = ""
    lead: str = ""


@dataclass(frozen=True, slots=True)
class Activities:
    """A page of activities, and how many there are on all pages: None where that is not told.

    A total may be the count of this page alone: more than were seen are not all, as many may be.
    """

    total: int | None
    shown: tuple[ActivityView, ...] = ()


# ------------------------------------------------------------------------------------------------- requests


def post(path: str, body: object, **query: str) -> Call:
    """A call with a JSON body, in UTF-8 (half a character, as a broken sheet may have, is escaped)."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Call("POST", path, query, text.encode("utf-8", "backslashreplace"))


def post_activity(
    *, lead_id: str, event: int, note: str, owner_id: str, custom: Mapping[str, str] | None = None
) -> Call:
    """Post an activity on the lead `lead_id` (GUID), owned by the user `owner_id` (GUID), with `custom` fields.

    https://apidocs.leadsquared.com/post-an-activity-to-lead/. Not idempotent: sent twice, it makes two.
    """
    owner = {guesses.OWNER_FIELD: owner_id}
    fields = owner | dict(custom or {}) | owner  # no custom field may take its place
    body = {
        "RelatedProspectId": lead_id,
        "ActivityEvent": event,
        "ActivityNote": note,
        "Fields": [{"SchemaName": name, "Value": value} for name, value in fields.items()],
    }
    return post("ProspectActivity.svc/Create", body)


BulkActivity: TypeAlias = Mapping[str, Any]


def bulk_activity(
    *, lead_id: str, event: int, note: str, owner_email: str, custom: Mapping[str, str] | None = None
) -> BulkActivity:
    """An activity on the lead `lead_id` (GUID); unlike a single one it names its owner by e-mail address."""
    fields = [{"SchemaName": name, "Value": value} for name, value in (custom or {}).items()]
    return {
        "RelatedProspectId": lead_id,
        "ActivityEvent": event,
        "ActivityNote": note,
        "ActivityOwnerEmail": owner_email,
        **({"Fields": fields} if fields else {}),
    }


def post_activities(activities: Sequence[BulkActivity]) -> Call:
    """Post up to `MOST_ACTIVITIES`. Not idempotent. https://apidocs.leadsquared.com/post-bulk-activities-on-leads/"""
    return post("ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId", activities)


@dataclass(frozen=True, slots=True)
class ShareItem:
    """A share in the context of an activity: `entity_id` is the lead number (ProspectAutoId), not the lead's GUID.

    `access_type` 1 reads, 2 writes; of one that is revoked, the duration is not told.
    """

    user_id: str
    entity_id: str
    context_entity_id: str
    access_type: Literal[1, 2]
    duration_in_minutes: int | None = None


def share_leads(*items: ShareItem) -> Call:
    """Share leads, each in the context of an activity of its own: https://apidocs.leadsquared.com/share-a-lead/

    The body is an array, but no page shows one of more than one element, or says how many it may have.
    """
    body = [
        {
            "UserId": item.user_id,
            "Entity": 1,
            "EntityType": 3,
            "EntityId": item.entity_id,
            "ContextEntity": 1,
            "ContextEntityId": item.context_entity_id,
            "AccessType": item.access_type,
            **({} if item.duration_in_minutes is None else {"DurationInMinutes": item.duration_in_minutes}),
        }
        for item in items
    ]
    return post("EntityAccess.svc/Share", body)


def revoke_share(item: ShareItem) -> Call:
    """Revoke a share, in the context of its activity only.

    https://apidocs.leadsquared.com/revoke-access-to-a-shared-lead/
    """
    return replace(share_leads(item), path="EntityAccess.svc/Revoke")


def activity_details(activity_id: str) -> Call:
    """Read one activity: https://apidocs.leadsquared.com/get-activity-details/"""
    return Call("GET", "ProspectActivity.svc/GetActivityDetails", query={"activityId": activity_id})


def share_status(request_id: str) -> Call:
    """Ask what became of a request: https://apidocs.leadsquared.com/get-status-of-a-share-revoke-request/"""
    return Call("GET", "EntityAccess.svc/Status/Get", query={"id": request_id})


def activities_of_lead(lead_id: str, event: int, page: int = 0) -> Call:
    """Read a page of a lead's activities of one type, latest first, `LEAD_PAGE` of them; the first page is 0.

    https://apidocs.leadsquared.com/get-activities-of-a-lead/
    """
    paging = {"Offset": str(page), "RowCount": str(LEAD_PAGE)}
    body = {"Parameter": {"ActivityEvent": event}, "Paging": paging}
    return post("ProspectActivity.svc/Retrieve", body, leadId=lead_id)


def activities_of_type(event: int, since: datetime, until: datetime, page: int = 0) -> Call:
    """Read a page of the account's activities of one type, modified in this time (UTC); the first page is 0.

    https://apidocs.leadsquared.com/bulk-retrieve-activities-by-activity-event/
    """
    parameter = {"FromDate": f"{since:{_DATE}}", "ToDate": f"{until:{_DATE}}", "ActivityEvent": event}
    body = {
        "Parameter": parameter,
        "Paging": {"PageIndex": page + 1, "PageSize": TYPE_PAGE},
        "Sorting": {"ColumnName": "ProspectActivityId", "Direction": 1},
    }
    return post("ProspectActivity.svc/CustomActivity/RetrieveByActivityEvent", body)


ACTIVITY_TYPES: Final = Call("GET", "ProspectActivity.svc/ActivityTypes.Get")
"""Asks for the account's activity types: https://apidocs.leadsquared.com/get-activity-types/"""


# --------------------------------------------------------------------------------------------------- bodies

# In however many spellings: `ProspectID` and `ProspectId`, `ID` and `Id` stand for the same, between pages of the
# documentation and within one; numbers, truth values and Ids come as JSON or as text; lists come bare or wrapped,
# and one object where a list of one is meant. So names are read without regard to their case: `read_json` gives all
# of them in lower case. Fields nobody told us of are tolerated; a known one of a wrong type is a ValidationError.

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


_DEEPEST: Final = 20
"""Objects that a list may be wrapped in: two were seen, and what nests a hundred times would exhaust the stack."""


def records(value: Any, *ids: str, deepest: int = _DEEPEST) -> list[dict[str, Any]] | None:
    """The objects of a list, however it is wrapped; None if there is no list in `value`.

    `ids` are names that one of its objects has: by one of them it is told when it stands for a list of one. It is
    looked for in `deepest` objects within each other.
    """
    if isinstance(value, dict) and deepest:
        names = (name for name in (*LISTS, *WRAPPERS) if name in value)
        wrapped = next((name for name in names if isinstance(value[name], list | dict | None)), None)
        if wrapped not in LISTS and (_PROPERTIES in value or any(name in value for name in ids)):
            value = [value]
        elif wrapped is not None:
            return records(value[wrapped], *ids, deepest=deepest - 1)
        else:
            # It may be under a name that nobody told us of, or be left out where the count says that it is empty.
            inside = [each for each in value.values() if isinstance(each, list | dict)]
            told = [found for each in inside if (found := records(each, *ids, deepest=deepest - 1))]
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
        told = {"sharestatus": inside.get("sharestatus")}
        told |= {name: each for name, each in value.items() if each not in ("", None)} | {"message": inside}
        status, error = told.get("status"), value.get("errormessage") or inside.get("errormessage") or None
        if isinstance(status, str):
            told["status"] = status.strip().lower()
        is_none = isinstance(error, str) and error.strip().lower() in guesses.NO_ERROR
        told["errormessage"] = None if is_none else error
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


# -------------------------------------------------------------------------------------------------- answers


_ITEMS: Final = TypeAdapter(list[BulkItem])


def read_activity_id(answer: Answer) -> Outcome:
    """The Outcome of a call that posts an activity."""
    return _read_id(answer, guesses.ACTIVITY_ID_KEYS)


def read_request_id(answer: Answer, of: int = 1) -> Outcome:
    """The Outcome of a call that shares, or revokes, `of` so many: a list of one answers one of them."""
    outcome = _read_id(answer, guesses.REQUEST_ID_KEYS)
    if of > 1 and isinstance(outcome, Done) and isinstance(read_json(answer.body), list):
        return Lost("the answer was not understood", answer.status)
    return outcome


def _read_id(answer: Answer, names: Sequence[str]) -> Outcome:
    judged = judge(answer)
    if not isinstance(judged, Judged | Refused):
        return judged
    value = judged.value if isinstance(judged, Judged) else read_json(answer.body)
    whole = as_envelope(value)
    message = whole.get("message")
    if isinstance(message, list) and len(message) == 1:  # of several, nobody knows whose Id is meant
        message = message[0]
    places = [message, whole] if isinstance(message, dict) else [whole]
    found = next(filter(None, (usable_id(text_of(each, name)) for each in places for name in names)), "")
    if not found and names is guesses.REQUEST_ID_KEYS and isinstance(message, str):
        bare = usable_id(message)
        found = bare if guesses.BARE_REQUEST_ID.fullmatch(bare) else ""
    if isinstance(judged, Refused):
        left = [value]  # what was refused made nothing, so an Id contradicts that wherever it stands
        while left and not found:
            each = left.pop()
            if isinstance(each, dict):
                found = next(filter(None, (usable_id(text_of(each, name)) for name in names)), "")
            left += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        words = f"the answer is a failure, but holds an Id: {judged.words}"
        return Lost(words, answer.status) if found else judged
    if judged.said != "success":
        return Lost("the answer was not understood", answer.status)
    return Done(found) if found else Lost("the answer has no Id", answer.status)


def read_items(answer: Answer, activities: Sequence[BulkActivity]) -> tuple[Outcome, ...] | Failure:
    """What became of each activity of a bulk call, in their order; or what became of the call as a whole.

    Each is accepted or refused by itself, inside one answer whose exact form no page shows. So an answer is
    believed only as far as nothing in it contradicts the request: the rest is Lost, and looked up before it is sent
    again.
    """
    judged = judge(answer)
    if isinstance(judged, Lost):
        return judged
    value = judged.value if isinstance(judged, Judged) else read_json(answer.body)
    try:
        items = _ITEMS.validate_python(records(value, "prospectactivityid", "activitycreated", "activityadded"))
    except ValidationError:
        items = []
    if not isinstance(judged, Judged):
        return Lost("the answer is a refusal, but holds items", answer.status) if items else judged
    if not items:
        return Lost("the answer was not understood", answer.status)
    # By row number, from 1, where there are any, else as they came.
    if numbers := sorted(item.row_number for item in items if item.row_number is not None):
        items = sorted(items, key=lambda item: item.row_number or 0)
    ids = [made.lower() for item in items if (made := usable_id(item.prospect_activity_id))]
    if (
        len(items) != len(activities)
        or (numbers and numbers != [*range(1, len(items) + 1)])
        or len(set(ids)) < len(ids)
        or any(
            item.related_prospect_id and item.related_prospect_id.lower() != each["RelatedProspectId"].lower()
            for item, each in zip(items, activities, strict=True)
        )
    ):
        return Lost("the answer does not match what was sent", answer.status)
    return tuple(_outcome(item, answer) for item in items)


def _outcome(item: BulkItem, answer: Answer) -> Outcome:
    made = item.activity_added if item.activity_created is None else item.activity_created
    found = usable_id(item.prospect_activity_id)
    said = clean(item.exception_message or item.error_message or item.exception_type or "")
    if found and (made or (made is None and not said)):
        return Done(found)
    if found or made is not False:
        return Lost("the answer does not say plainly whether it was posted", answer.status)
    if says_throttled(item.exception_type or "", said):
        return throttled(said, answer)
    words = answer.redact(said) or "no reason was given"
    return Refused(words, answer.redact(clean(item.exception_type or "")), answer.status)


def read_status(answer: Answer) -> ShareStatus | Failure:
    """The status API's word. Only ErrorMessage and the one documented number decide; the rest is pending."""
    judged = judge(answer)
    if not isinstance(judged, Judged):
        return judged
    try:
        status = StatusAnswer.model_validate(judged.value)
    except ValidationError:
        return Lost("the answer was not understood", answer.status)
    if (status.error_message or "").strip():
        words = answer.redact(clean(status.error_message or ""))
        return ShareStatus("failed", status.share_status, words, answer.status)
    verdict = "processed" if status.share_status == guesses.PROCESSED else "pending"
    words = answer.redact(clean(status.message.response_text or ""))
    return ShareStatus(verdict, status.share_status, words, answer.status)


def read_records(answer: Answer, *ids: str) -> list[dict[str, Any]] | Failure:
    """The objects in an answer, each known by one of `ids`; Lost if there is no list."""
    judged = judge(answer)
    if not isinstance(judged, Judged):
        return judged
    found = records(judged.value, *ids)
    return Lost("the answer was not understood", answer.status) if found is None else found


def read_activities(answer: Answer) -> Activities | Failure:
    """A page of activities: a lead's, the account's of a type, or one by its Id."""
    judged = judge(answer)
    if not isinstance(judged, Judged):
        return judged
    found = records(judged.value, *guesses.ACTIVITY_ID_KEYS)
    views = [_view(each) for each in found or ()]
    total = count_of(judged.value)
    # An empty page shows that it is one by its list, or by a count without one; what is none is an answer to a
    # question that was misunderstood. And what has no Id can't be counted.
    has_list = isinstance(judged.value, dict) and any(name in judged.value for name in (*LISTS, *WRAPPERS))
    is_page = bool(found) or (found is not None if has_list else total is not None)
    if not is_page or not all(view.id for view in views):
        return Lost("the answer was not understood", answer.status)
    return Activities(total, tuple(views))


def read_activity_types(answer: Answer) -> dict[int, str] | Failure:
    """What people call each activity type, by its code; Lost where none is told."""
    found = read_records(answer, *guesses.EVENT_KEYS)
    if not isinstance(found, list):
        return found
    named = ((text_of(each, *guesses.EVENT_KEYS), clean(text_of(each, *guesses.EVENT_NAMES))) for each in found)
    types = {int(code): name for code, name in named if code.isdecimal()}
    return types or Lost("the answer was not understood", answer.status)


def usable_id(text: str | None) -> str:
    """An Id that names something, or ""."""
    found = (text or "").strip()
    if found.startswith("{") and is_guid(found):
        found = found[1:-1]
    # A GUID has 36 characters; what is much longer is no Id, whatever else it may be.
    return found if found not in guesses.NO_ID and len(found) <= 100 and found.isprintable() else ""


def _view(record: Mapping[str, Any]) -> ActivityView:
    """An activity: what it says of itself, be it plainly, in its fields or among named values."""
    shown = {name: value for name, value in record.items() if not isinstance(value, list)}
    for inside in ("data", "activityfields", "fields"):
        shown |= named_values(record.get(inside))
    # Whose it is, of every way in which that is told the first.
    told = (shown.get(name) for name in guesses.OWNER_KEYS)
    values = (part for each in told for part in (each.values() if isinstance(each, dict) else [each]))
    texts = [text for each in values if (text := clean(as_text(each)))]
    ids = [id_of(text) for text in texts if is_guid(text)]
    emails = [match[0] for text in texts if (match := _ADDRESS.search(text))]
    names = [text for text in texts if "@" not in text and not is_guid(text)]
    owner = Owner(*(next(iter(each), "") for each in (ids, emails, names)))
    return ActivityView(
        usable_id(text_of(record, "prospectactivityid", "id", "activityid")),
        owner if usable_id(str(owner)) else None,
        text_of(shown, "createdon"),
        _said(record),
        id_of(clean(text_of(shown, "relatedprospectid"))),
    )


def _said(value: object) -> str:
    """Every text in a JSON value, in lower case, each on one line of its own."""
    texts, left = [], [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            texts.append(" ".join(each.lower().splitlines()))
        elif isinstance(each, dict):
            left.extend(each.values())
        elif isinstance(each, list):
            left.extend(each)
    return "\n".join(texts)


# ------------------------------------------------------------------------------------------------- judgement


@dataclass(frozen=True, slots=True)
class Judged:
    """The JSON `value` of an answer that reports no failure, and its `Status` in lower case, "" if it has none."""

    value: Any
    said: str = ""


def judge(answer: Answer) -> Judged | Failure:
    """Apply the table of this module's docstring to an answer, whatever bytes it holds."""
    value, status = read_json(answer.body), answer.status
    envelope = as_envelope(value)
    texts = {name: each for name, each in envelope.items() if isinstance(each, str)}
    # No page says that the case of `Status` is always the same.
    reported, kind = texts.get("status", "").strip().lower(), texts.get("exceptiontype", "")
    is_failure = reported in {"error", "failed"}
    is_success = 200 <= status < 300 and not is_failure and kind != _THROTTLE_TYPE
    if is_success and value is not NOT_JSON:
        return Judged(value, reported)
    inner = envelope.get("message")
    inner = inner.get("message") if isinstance(inner, dict) else inner
    message = clean(texts.get("exceptionmessage") or (inner if isinstance(inner, str) else "") or kind)
    # Of what has no envelope: a page's text (its beginning, for that may be long), or that there is none.
    page = clean(re.sub(r"<[^>]*>", " ", answer.body[:4000].decode("utf-8", "replace")))[:_PAGE_LIMIT]
    said = message or (f"HTTP {status}: {page}" if answer.body.strip() else f"HTTP {status} with an empty body")
    if 300 <= status < 400 and (host := re.match(r"https?://[\w.-]+", answer.headers.get("location", ""))):
        said = f"HTTP {status}: the host to set may be {host[0]}"
    if (
        status == 429
        or kind == _THROTTLE_TYPE
        or (status == 200 and is_failure and says_throttled(kind, message or page))
        or (status == 403 and says_throttled("", message or page))
    ):
        return throttled(said, answer)
    words = answer.redact(said)
    if status in {401, 403}:
        is_page = status == 403 and value is NOT_JSON and answer.body.lstrip().startswith(b"<")
        return Denied(words, status, is_page=is_page)
    is_refusal = reported == "failed" or (reported == "error" and kind.startswith("MX"))
    if status in {400, 404} or (is_refusal and (200 <= status < 300 or status == 500)):
        return Refused(words, answer.redact(kind), status, is_page=value is NOT_JSON)
    return Lost(f"the answer was not understood: {words}" if is_success else words, status)


def as_envelope(value: Any) -> dict[str, Any]:
    """The object that tells how a call went, also as a list of one, as arrays are shared; empty if there is none.

    A list of one lead is none, whatever its columns are called.
    """
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        one: dict[str, Any] = value[0]
        return one if "status" in one and "prospectid" not in one and not _SAID.isdisjoint(one) else {}
    return value if isinstance(value, dict) else {}


def says_throttled(kind: str, message: str) -> bool:
    """Whether what was not done was one call too many: by its exception's type, or if it has none by its words."""
    return kind == _THROTTLE_TYPE or (not kind and message.lower().startswith(_THROTTLE_WORDS))


def throttled(said: str, answer: Answer) -> Throttled:
    """What a throttle asks for that `said` this, with whatever keys are in it.

    A limit is believed as far as an account may have it. One of a longer period is an allowance, so it closes the
    account, for that period at the most, and so does a Retry-After of more than LONGEST_PAUSE.
    """
    match = _LIMIT_WORDS.search(said)
    calls, seconds = (int(match[1]), float(match[2])) if match else (0, 0.0)
    limit = Rate(calls, seconds) if calls and seconds else None
    if limit is not None and not guesses.is_believed(limit):
        limit = None
    # Retry-After, where one comes: none is documented. A date is set against the answer's own, for clocks differ;
    # nonsense, or a time that is over, counts as none.
    pause, closed_for, value = None, None, answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        pause = float(value)
    elif (until := read_date(value)) is not None:
        sent = read_date(answer.headers.get("date", "")) or datetime.now(UTC)
        pause = (until - sent).total_seconds() if until > sent else None
    if seconds > guesses.LONGEST_PERIOD or (pause or 0.0) > LONGEST_PAUSE:
        pause, closed_for = None, min(seconds if pause is None else pause, guesses.LONGEST_CLOSED)
    return Throttled(answer.redact(said), pause, limit, answer.status, closed_for)


def clean(text: str) -> str:
    """The API's words on one line, without control characters, at most 500 characters."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(text.split())[:_WORDS_LIMIT]


def read_date(text: str) -> datetime | None:
    """An HTTP date, None if the text is none."""
    try:
        reported = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return reported.replace(tzinfo=reported.tzinfo or UTC)
