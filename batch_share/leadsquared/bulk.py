"""Activities posted many to a call (https://apidocs.leadsquared.com/post-bulk-activities-on-leads/), without I/O.

Each is accepted or refused by itself, inside one answer whose exact form no page shows. So an answer is believed
only as far as nothing in it contradicts the request: the rest is Lost, and is looked up before it is sent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from batch_share.leadsquared.models import BulkActivity, BulkItem, FieldValue, read_json, records
from batch_share.leadsquared.outcome import Done, Lost, Refused
from batch_share.leadsquared.protocol import Call, Judged, clean, judge, says_throttled, throttled, usable_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch_share.leadsquared.outcome import Failure, Outcome
    from batch_share.leadsquared.protocol import Answer

MOST: Final = 25
"""Activities that one call may hold."""

_ITEMS: Final = TypeAdapter(list[BulkItem])


def bulk_activity(
    *, lead_id: str, event: int, note: str, owner_email: str, custom: Mapping[str, str] | None = None
) -> BulkActivity:
    """An activity on the lead `lead_id` (GUID), owned by the user with this e-mail address."""
    fields = tuple(FieldValue(schema_name=name, value=value) for name, value in (custom or {}).items())
    return BulkActivity(
        related_prospect_id=lead_id,
        activity_event=event,
        activity_note=note,
        activity_owner_email=owner_email,
        fields=fields or None,
    )


def post_activities(activities: Sequence[BulkActivity]) -> Call:
    """Post up to `MOST` activities. Not idempotent."""
    body = b"[" + b",".join(each.json_bytes() for each in activities) + b"]"
    return Call("POST", "ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId", body=body)


def read_items(answer: Answer, activities: Sequence[BulkActivity]) -> tuple[Outcome, ...] | Failure:
    """What became of each activity, in their order; or what became of the call as a whole."""
    judged = judge(answer)
    if not isinstance(judged, Judged):
        says_both = not isinstance(judged, Lost) and _items(read_json(answer.body))
        return Lost("the answer is a refusal, but holds items", answer.status) if says_both else judged
    read = _items(judged.value)
    if read is None:
        return Lost("the answer was not understood", answer.status)
    items = _in_order(read)
    if items is None or _contradicts(items, activities):
        return Lost("the answer does not match what was sent", answer.status)
    return tuple(_outcome(item, answer) for item in items)


def _items(value: Any) -> list[BulkItem] | None:
    """The items of an answer, whatever else it says; None if it has none that can be read."""
    found = records(value, "prospectactivityid", "activitycreated", "activityadded")
    try:
        return _ITEMS.validate_python(found) or None
    except ValidationError:
        return None


def _in_order(items: Sequence[BulkItem]) -> Sequence[BulkItem] | None:
    """By row number, from 1, where there are any, else as they came; None if the numbers make no sense."""
    numbers = [item.row_number for item in items if item.row_number is not None]
    if not numbers:
        return items
    if sorted(numbers) != [*range(1, len(items) + 1)]:
        return None
    return sorted(items, key=lambda item: item.row_number or 0)


def _contradicts(items: Sequence[BulkItem], activities: Sequence[BulkActivity]) -> bool:
    """Whether these can't be the answers to those: too many or few, another lead's, one Id given twice."""
    if len(items) != len(activities):
        return True
    ids = [made.lower() for item in items if (made := usable_id(item.prospect_activity_id))]
    pairs = zip(items, activities, strict=True)
    leads = ((item.related_prospect_id or "", each.related_prospect_id) for item, each in pairs)
    return len(set(ids)) < len(ids) or any(
        reported and reported.lower() != asked.lower() for reported, asked in leads
    )


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
