"""ProspectActivity.svc: posting activities, one or many (https://apidocs.leadsquared.com/post-an-activity-to-lead/)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch_share.sandbox.account import read_date
from batch_share.sandbox.wire import Json, Refusal, failed, json_array, json_object, refusal, succeeded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_share.sandbox.account import Account, Activity
    from batch_share.sandbox.wire import Call
    from batch_share.sandbox.world import Lead, User

MAX_BULK = 25
MAX_NOTE = 2000
MAX_FIELD = 200
# As ASP.NET validates requests: a tag, a closing tag, a comment, an entity. "a < b" and "<3" pass.
_MARKUP = re.compile(r"<[a-z!/?]|&#", re.IGNORECASE)
_FIELD_NAME = re.compile(r"Owner|Status|mx_Custom_[0-9]{1,2}")


@dataclass(frozen=True, slots=True)
class Draft:
    """An activity as its caller wrote it: well typed, not yet checked against the account."""

    lead_id: str
    event: str
    note: str
    owner_id: str
    owner_email: str
    date: str
    fields: Mapping[str, str]

    @classmethod
    def read(cls, body: Json) -> Draft:
        """Read the object of Create, or an element of the bulk call's array."""
        fields = {field.needed("SchemaName"): field.text("Value") or "" for field in body.children("Fields")}
        return cls(
            lead_id=body.text("RelatedProspectId") or "",
            event=body.text("ActivityEvent") or "",
            note=body.text("ActivityNote") or "",
            owner_id=fields.pop("Owner", ""),
            owner_email=body.text("ActivityOwnerEmail") or "",
            date=body.text("ActivityDateTime") or "",
            fields=fields,
        )


def create(account: Account, call: Call) -> Any:
    """POST Create: one activity on a lead.

    https://apidocs.leadsquared.com/post-an-activity-to-lead/. The form with an e-mail address instead of the lead's
    GUID, which makes leads, is refused here as if the GUID were missing.
    """
    draft = Draft.read(json_object(call.body))
    call.lead, call.user = draft.lead_id[:100], draft.owner_id[:100] or None
    activity = _post(account, draft)
    call.user, call.activity = activity.owner.id, activity.id
    return succeeded(activity.id)


def create_many(account: Account, call: Call) -> Any:
    """POST Bulk/CustomActivity/Add/ByLeadId: up to 25 activities, each accepted or refused by itself.

    https://apidocs.leadsquared.com/post-bulk-activities-on-leads/; the form of a refused row is from client code.
    """
    drafts = [Draft.read(item) for item in json_array(call.body)]
    if not 1 <= len(drafts) <= MAX_BULK:
        raise refusal("MXInvalidInputException", f"Between 1 and {MAX_BULK} activities can be posted in a call")
    rows = [_row(account, number, draft) for number, draft in enumerate(drafts, start=1)]
    call.lead = ",".join(draft.lead_id[:100] for draft in drafts)
    call.activity = ",".join(row["ProspectActivityId"] or "" for row in rows)
    return {"Response": rows}


def _row(account: Account, number: int, draft: Draft) -> dict[str, Any]:
    row: dict[str, Any] = {"RowNumber": number, "ProspectActivityId": None, "ActivityCreated": False}
    try:
        return row | {"ProspectActivityId": _post(account, draft).id, "ActivityCreated": True}
    except Refusal as refused:
        return row | {"ExceptionType": refused.kind, "ExceptionMessage": refused.words}


def _post(account: Account, draft: Draft) -> Activity:
    lead, event = _lead(account, draft), _event(account, draft)
    _check_texts(draft)
    date = read_date(draft.date) if draft.date else None
    return account.post(lead, event, draft.note, _owner(account, draft), draft.fields, date)


def _lead(account: Account, draft: Draft) -> Lead:
    if not draft.lead_id:
        raise refusal("MXMandatoryAttributeMissingException", "'RelatedProspectId' is mandatory")
    lead = account.world.lead(draft.lead_id)
    if lead is None:
        raise refusal("MXInvalidEntityException", "Lead does not exist in the system")
    return lead


def _event(account: Account, draft: Draft) -> int:
    if not draft.event:
        raise refusal("MXInvalidActivityException", "Event Code is invalid or empty")
    if draft.event not in map(str, account.options.activity_types):
        raise failed("Invalid event code")
    return int(draft.event)


def _check_texts(draft: Draft) -> None:
    unknown = [name for name in draft.fields if not _FIELD_NAME.fullmatch(name)]
    if unknown:
        raise refusal("MXUnknownAttributeException", f"Attribute(s) does not exist - {','.join(unknown)}")
    if any(_MARKUP.search(text) for text in (draft.note, *draft.fields.values())):
        raise refusal("MXXSSException", "A potentially dangerous value was detected in the request")
    if len(draft.note) > MAX_NOTE or any(len(text) > MAX_FIELD for text in draft.fields.values()):
        raise refusal("MXInvalidInputException", f"A note has at most {MAX_NOTE} characters, a field {MAX_FIELD}")


def _owner(account: Account, draft: Draft) -> User:
    """The owner that was named, if it can be one; the key's own user where none was, or where it is ignored."""
    if account.options.ignore_owner or not (draft.owner_email or draft.owner_id):
        return account.world.key_user
    named = account.world.user_with_email(draft.owner_email) if draft.owner_email else None
    owner = named if draft.owner_email else account.world.user(draft.owner_id)
    if owner is None or not owner.active:
        raise refusal("MXInvalidInputException", "Owner is not an active user of the account")
    return owner
