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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from batch_share.common import Rate
from batch_share.leadsquared import guesses
from batch_share.leadsquared.models import (
    NOT_JSON,
    ActivityBody,
    FieldValue,
    RevokeItem,
    ShareItem,
    StatusAnswer,
    as_text,
    count_of,
    id_of,
    is_empty_page,
    is_guid,
    named_values,
    read_json,
    records,
    text_of,
)
from batch_share.leadsquared.outcome import (
    Activities,
    ActivityView,
    Denied,
    Done,
    Failure,
    Lost,
    Outcome,
    Owner,
    Refused,
    ShareStatus,
    Throttled,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

_LIMIT_WORDS: Final = re.compile(r"limit of (\d{1,12}) in (\d{1,12}) second", re.IGNORECASE)
_THROTTLE_WORDS: Final = "api calls exceeded the limit of"
_THROTTLE_TYPE: Final = "MXAPIRateLimitExceededException"
_WORDS_LIMIT: Final = 500
_ADDRESS: Final = re.compile(r"[^\s<>()\[\],;:\"]+@[^\s<>()\[\],;:\"]+")
_DATE: Final = "%Y-%m-%d %H:%M:%S"

LONGEST_PAUSE: Final = 300.0
"""Seconds of the longest Retry-After that a run waits for."""

LEAD_PAGE: Final = 100
"""Activities of a lead to a page."""

TYPE_PAGE: Final = 1000
"""Activities of a type to a page: the most that the documentation allows."""


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


# ------------------------------------------------------------------------------------------------- requests


def post_activity(
    *, lead_id: str, event: int, note: str, owner_id: str, custom: Mapping[str, str] | None = None
) -> Call:
    """Post an activity on the lead `lead_id` (GUID), owned by the user `owner_id` (GUID), with `custom` fields.

    https://apidocs.leadsquared.com/post-an-activity-to-lead/. Not idempotent: sent twice, it makes two.
    """
    owner = {guesses.OWNER_FIELD: owner_id}
    fields = owner | dict(custom or {}) | owner  # no custom field may take its place
    body = ActivityBody(
        related_prospect_id=lead_id,
        activity_event=event,
        activity_note=note,
        fields=tuple(FieldValue(schema_name=name, value=value) for name, value in fields.items()),
    )
    return Call("POST", "ProspectActivity.svc/Create", body=body.json_bytes())


def share_leads(*items: ShareItem) -> Call:
    """Share leads, each in the context of an activity of its own: https://apidocs.leadsquared.com/share-a-lead/

    The body is an array, but no page shows one of more than one element, or says how many it may have.
    """
    return Call("POST", "EntityAccess.svc/Share", body=b"[" + b",".join(item.json_bytes() for item in items) + b"]")


def revoke_share(item: RevokeItem) -> Call:
    """Revoke a share, in the context of its activity only.

    https://apidocs.leadsquared.com/revoke-access-to-a-shared-lead/
    """
    return Call("POST", "EntityAccess.svc/Revoke", body=b"[" + item.json_bytes() + b"]")


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
    return Call("POST", "ProspectActivity.svc/Retrieve", query={"leadId": lead_id}, body=json.dumps(body).encode())


def activities_of_type(event: int, since: datetime, until: datetime, page: int = 1) -> Call:
    """Read a page of the account's activities of one type, modified in this time (UTC); the first page is 1.

    https://apidocs.leadsquared.com/bulk-retrieve-activities-by-activity-event/
    """
    parameter = {"FromDate": f"{since:{_DATE}}", "ToDate": f"{until:{_DATE}}", "ActivityEvent": event}
    body = {
        "Parameter": parameter,
        "Paging": {"PageIndex": page, "PageSize": TYPE_PAGE},
        "Sorting": {"ColumnName": "ProspectActivityId", "Direction": 1},
    }
    return Call(
        "POST", "ProspectActivity.svc/CustomActivity/RetrieveByActivityEvent", body=json.dumps(body).encode()
    )


def activity_types() -> Call:
    """The account's activity types: https://apidocs.leadsquared.com/get-activity-types/"""
    return Call("GET", "ProspectActivity.svc/ActivityTypes.Get")


# -------------------------------------------------------------------------------------------------- answers


_STATUS: Final = TypeAdapter(StatusAnswer)


def read_activity_id(answer: Answer) -> Outcome:
    """The Outcome of a call that posts an activity."""
    return _read_id(answer, guesses.ACTIVITY_ID_KEYS)


def read_request_id(answer: Answer) -> Outcome:
    """The Outcome of a call that shares, or revokes a share."""
    return _read_id(answer, guesses.REQUEST_ID_KEYS)


def _read_id(answer: Answer, names: Sequence[str]) -> Outcome:
    judged = judge(answer)
    if isinstance(judged, Refused) and _id_in(read_json(answer.body), names):
        return Lost(f"the answer is a failure, but holds an Id: {judged.words}", answer.status)
    if not isinstance(judged, Judged):
        return judged
    if _said_status(judged.value) != "success":
        return Lost("the answer was not understood", answer.status)
    found = _id_in(judged.value, names)
    return Done(found) if found else Lost("the answer has no Id", answer.status)


def _id_in(value: Any, names: Sequence[str]) -> str:
    """The Id that an answer gives, wherever it stands; "" if it gives none."""
    whole = value if isinstance(value, dict) else {}
    message = whole.get("message")
    if isinstance(message, list) and len(message) == 1:  # of several, nobody knows whose Id is meant
        message = message[0]
    places = [message, whole] if isinstance(message, dict) else [whole]
    found = (usable_id(text_of(each, name)) for each in places for name in names)
    return next(filter(None, found), "")


def read_status(answer: Answer) -> ShareStatus | Failure:
    """The status API's word. Only ErrorMessage and the one documented number decide; the rest is pending."""
    status = read_as(answer, _STATUS)
    if not isinstance(status, StatusAnswer):
        return status
    if (status.error_message or "").strip():
        words = answer.redact(clean(status.error_message or ""))
        return ShareStatus("failed", status.share_status, words, answer.status)
    verdict = "processed" if status.share_status == guesses.PROCESSED else "pending"
    words = answer.redact(clean(status.message.response_text or ""))
    return ShareStatus(verdict, status.share_status, words, answer.status)


def read_activities(answer: Answer) -> Activities | Failure:
    """A page of activities: a lead's, the account's of a type, or one by its Id."""
    judged = judge(answer)
    if not isinstance(judged, Judged):
        return judged
    found = records(judged.value, *guesses.ACTIVITY_ID_KEYS)
    views = [_view(each) for each in found or ()]
    # What has no Id can't be counted, and an empty answer that is no page is what a misunderstood question gets.
    if not all(view.id for view in views) or not (found or is_empty_page(judged.value, found)):
        return Lost("the answer was not understood", answer.status)
    return Activities(count_of(judged.value), tuple(views))


def read_activity_types(answer: Answer) -> dict[int, str] | Failure:
    """What people call each activity type, by its code; Lost where none is told."""
    judged = judge(answer)
    if not isinstance(judged, Judged):
        return judged
    found = records(judged.value, *guesses.EVENT_KEYS) or ()
    named = ((text_of(each, *guesses.EVENT_KEYS), clean(text_of(each, *guesses.EVENT_NAMES))) for each in found)
    types = {int(code): name for code, name in named if code.isdecimal()}
    return types or Lost("the answer was not understood", answer.status)


def read_as(answer: Answer, adapter: TypeAdapter[T]) -> T | Failure:
    """What an answer that reports no failure holds; Lost if it is not of the documented shape."""
    judged = judge(answer)
    if not isinstance(judged, Judged):
        return judged
    try:
        return adapter.validate_python(judged.value)
    except ValidationError:
        return Lost("the answer was not understood", answer.status)


def usable_id(text: str | None) -> str:
    """An Id that names something, or ""."""
    found = (text or "").strip()
    if found.startswith("{") and is_guid(found):
        found = found[1:-1]
    return found if found not in guesses.NO_ID and len(found) <= 100 and found.isprintable() else ""


def _view(record: Mapping[str, Any]) -> ActivityView:
    """An activity: what it says of itself, be it plainly, in its fields or among named values."""
    shown = {name: value for name, value in record.items() if not isinstance(value, list)}
    for inside in ("data", "activityfields", "fields"):
        shown |= named_values(record.get(inside))
    return ActivityView(
        usable_id(text_of(record, "prospectactivityid", "id", "activityid")),
        _owner(shown),
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


def _texts(value: Any) -> list[str]:
    """What a value says: itself, or what an object holds."""
    return [as_text(each) for each in (value.values() if isinstance(value, dict) else [value])]


def _owner(shown: Mapping[str, Any]) -> Owner | None:
    """Whose it is, of every way in which that is told the first."""
    reported = [clean(text) for name in guesses.OWNER_KEYS for text in _texts(shown.get(name)) if clean(text)]
    ids = [id_of(text) for text in reported if is_guid(text)]
    emails = [match[0] for text in reported if (match := _ADDRESS.search(text))]
    names = [text for text in reported if "@" not in text and not is_guid(text)]
    found = Owner(*(next(iter(each), "") for each in (ids, emails, names)))
    return found if str(found) and usable_id(str(found)) else None


# ------------------------------------------------------------------------------------------------- judgement


@dataclass(frozen=True, slots=True)
class Judged:
    """The JSON `value` of an answer that reports no failure."""

    value: Any


def judge(answer: Answer) -> Judged | Failure:
    """Apply the table of this module's docstring to an answer, whatever bytes it holds."""
    value = read_json(answer.body)
    envelope = value if isinstance(value, dict) else {}
    reported, kind = _said_status(value), _text(envelope.get("exceptiontype"))
    if value is not NOT_JSON and _is_success(answer.status, reported, kind):
        return Judged(value)
    message = _message(envelope) or _text_of_page(answer)
    if _is_throttle(answer.status, reported, kind, message):
        return throttled(_message(envelope) or _body_words(answer), answer)
    words = answer.redact(_message(envelope) or _body_words(answer))
    if answer.status in {401, 403}:
        return Denied(words, answer.status)
    if answer.status in {400, 404} or _is_refusal(answer.status, reported, kind):
        return Refused(words, answer.redact(kind), answer.status)
    if value is NOT_JSON and _is_success(answer.status, reported, kind):
        words = f"the answer was not understood: {words}"
    return Lost(words, answer.status)


def _said_status(value: Any) -> str:
    """`Status`, in lower case: no page says that its case is always the same. "" if the answer has none."""
    return _text(value.get("status")).strip().lower() if isinstance(value, dict) else ""


def _is_success(status: int, reported: str, kind: str) -> bool:
    return 200 <= status < 300 and reported not in {"error", "failed"} and kind != _THROTTLE_TYPE


def _is_throttle(status: int, reported: str, kind: str, message: str) -> bool:
    if status == 429 or kind == _THROTTLE_TYPE:
        return True
    if status == 200 and reported in {"error", "failed"}:
        return says_throttled(kind, message)
    return status == 403 and says_throttled("", message)


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
    pause, closed_for = _retry_after(answer), None
    if seconds > guesses.LONGEST_PERIOD or (pause or 0.0) > LONGEST_PAUSE:
        pause, closed_for = None, min(seconds if pause is None else pause, guesses.LONGEST_CLOSED)
    return Throttled(answer.redact(said), pause, limit, answer.status, closed_for)


def _is_refusal(status: int, reported: str, kind: str) -> bool:
    if not (200 <= status < 300 or status == 500):
        return False
    return reported == "failed" or (reported == "error" and kind.startswith("MX"))


def _message(envelope: dict[str, Any]) -> str:
    message = envelope.get("message")
    inner = message.get("message") if isinstance(message, dict) else message
    return clean(_text(envelope.get("exceptionmessage")) or _text(inner) or _text(envelope.get("exceptiontype")))


def _body_words(answer: Answer) -> str:
    """What can be said of an answer that has no envelope: a page's text, or that it was empty."""
    if not answer.body.strip():
        return f"HTTP {answer.status} with an empty body"
    return f"HTTP {answer.status}: {_text_of_page(answer)}"


def _text_of_page(answer: Answer) -> str:
    return clean(re.sub(r"<[^>]*>", " ", answer.body[:4000].decode("utf-8", "replace")))[:200]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def clean(text: str) -> str:
    """The API's words on one line, without control characters, at most 500 characters."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(text.split())[:_WORDS_LIMIT]


def _retry_after(answer: Answer) -> float | None:
    """Retry-After in seconds, where one comes (none is documented); nonsense or a time that is over counts as none.

    A date is set against the answer's own, as clocks may differ.
    """
    value = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return float(value)
    until = read_date(value)
    if until is None:
        return None
    sent = read_date(answer.headers.get("date", "")) or datetime.now(UTC)
    return (until - sent).total_seconds() if until > sent else None


def read_date(text: str) -> datetime | None:
    """An HTTP date, None if the text is none."""
    try:
        reported = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return reported.replace(tzinfo=reported.tzinfo or UTC)
