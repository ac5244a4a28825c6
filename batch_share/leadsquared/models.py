"""The bodies of LeadSquared's requests and answers (https://apidocs.leadsquared.com).

Answers tolerate fields nobody told us of; a known field of a wrong type is a ValidationError, which `protocol`
turns into an Outcome. Their names are read in lower case, as `spelling` gives them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_pascal

from batch_share.leadsquared.spelling import as_text, folded


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
