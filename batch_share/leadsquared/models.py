"""The bodies of LeadSquared's requests and answers (https://apidocs.leadsquared.com).

Answers tolerate fields nobody told us of; a known field of a wrong type is a ValidationError, which `protocol`
turns into an Outcome.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_pascal


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


class Answer(BaseModel):
    """An answer's JSON object."""

    model_config = ConfigDict(alias_generator=to_pascal, extra="ignore", hide_input_in_errors=True)


class Message(Answer):
    """`Message` of a success: an Id, or a text about a request."""

    id: str | None = None
    response_text: str | None = None


class SuccessAnswer(Answer):
    """The answer of Create, Share and Revoke."""

    status: Literal["Success"]
    message: Message


class BulkItem(Answer):
    """What became of one activity of a bulk call: one page shows `ProspectActivityId`, client code the others."""

    row_number: int | None = None
    prospect_activity_id: str | None = None
    related_prospect_id: str | None = None
    activity_created: bool | None = None
    activity_added: bool | None = None
    exception_type: str | None = None
    exception_message: str | None = None
    error_message: str | None = None


class BulkAnswer(Answer):
    """The answer of a bulk call."""

    response: list[BulkItem]


class StatusAnswer(SuccessAnswer):
    """https://apidocs.leadsquared.com/get-status-of-a-share-revoke-request/"""

    # Bounded as the ledger's column is.
    share_status: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None
    error_message: str | None = None


class KeyValue(Answer):
    """An entry of an activity's `Data`."""

    key: str = ""
    value: Any = None


class ActivityRecord(Answer):
    """An activity in https://apidocs.leadsquared.com/get-activities-of-a-lead/

    Everything else is kept: a marker may come back in any of it.
    """

    model_config = ConfigDict(extra="allow")

    id: str
    created_on: Any = None
    data: Annotated[list[KeyValue], BeforeValidator(lambda value: value or [])] = []
    activity_fields: Annotated[dict[str, Any], BeforeValidator(lambda value: value or {})] = {}


class ActivityPage(Answer):
    """One page of a lead's activities. The count is always there: what lacks it is no page, not an empty one."""

    record_count: int
    prospect_activities: list[ActivityRecord] = Field(default_factory=list)


class EventRecord(Answer):
    """An activity in https://apidocs.leadsquared.com/bulk-retrieve-activities-by-activity-event/"""

    model_config = ConfigDict(extra="allow")

    prospect_activity_id: str
    created_on: Any = None


class EventPage(Answer):
    """One page of an account's activities of one type; the list is left out when it is empty."""

    record_count: int
    records: list[EventRecord] = Field(default_factory=list, alias="List")
