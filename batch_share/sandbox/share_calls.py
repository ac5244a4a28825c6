"""EntityAccess.svc: share, revoke, status (https://apidocs.leadsquared.com/entity-sharing/).

Which exception a bad element raises is not documented; all of them come as an MX exception with words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batch_share.common import MAX_DURATION_MINUTES
from batch_share.sandbox.shares import DEFAULT_MINUTES, Grant
from batch_share.sandbox.wire import Json, Refusal, json_array, missing, refusal, succeeded

if TYPE_CHECKING:
    from batch_share.sandbox.account import Account, Activity
    from batch_share.sandbox.wire import Call
    from batch_share.sandbox.world import Lead, User

_CONSTANTS = {"Entity": 1, "EntityType": 3, "ContextEntity": 1}
# Only 6 is documented, with this text.
_PROGRESS = {
    "queued": (1, "Request is queued."),
    "processing": (3, "Request is being processed."),
    "processed": (6, "Request processed successfully."),
    "failed": (5, "Request processed with errors."),
}


def share(account: Account, call: Call) -> Any:
    """POST Share: grant users access to leads, in the context of activities they own.

    https://apidocs.leadsquared.com/share-a-lead/. All elements are checked before any is accepted.
    """
    grants = tuple(_share_grant(account, item) for item in _elements(account, call))
    return succeeded(account.shares.accept("share", grants).id)


def revoke(account: Account, call: Call) -> Any:
    """POST Revoke: take access back, in the context of those activities only.

    https://apidocs.leadsquared.com/revoke-access-to-a-shared-lead/. A grant goes whatever its access type; revoking
    one that is not there is accepted.
    """
    grants = tuple(_grant(account, item, item.integer("AccessType") or 1) for item in _elements(account, call))
    return succeeded(account.shares.accept("revoke", grants).id)


def status(account: Account, call: Call) -> Any:
    """GET Status/Get?id=: https://apidocs.leadsquared.com/get-status-of-a-share-revoke-request/"""
    request_id = call.query.get("id", "")
    if not request_id:
        raise missing("id")
    request = account.shares.request(request_id)
    if request is None:
        raise _invalid("Request Id does not exist")
    state = request.state(account.clock.time())
    number, text = _PROGRESS[state]
    return {
        "Status": "Success",
        "Message": {"ResponseText": text},
        "ShareStatus": number,
        "ErrorMessage": request.error if state == "failed" else None,
    }


def _elements(account: Account, call: Call) -> list[Json]:
    items, most = json_array(call.body), account.options.share_batch
    call.lead, call.user, call.activity = (
        ",".join((item.text(name) or "")[:100] for item in items)
        for name in ("EntityId", "UserId", "ContextEntityId")
    )
    if not 1 <= len(items) <= most:
        raise _invalid(f"Between 1 and {most} entities can be shared in a request")
    return items


def _share_grant(account: Account, item: Json) -> Grant:
    item.needed("AccessType")
    minutes = item.integer("DurationInMinutes")
    if minutes is not None and not 1 <= minutes <= MAX_DURATION_MINUTES:
        raise _invalid("DurationInMinutes is out of range")
    grant = _grant(account, item, item.integer("AccessType"), DEFAULT_MINUTES if minutes is None else minutes)
    if not grant.user.active:
        raise _invalid("User is not an active user of the account")
    if grant.activity.owner != grant.user:
        raise _invalid("User is not the owner of the activity")
    return grant


def _grant(account: Account, item: Json, access: int | None, minutes: int = DEFAULT_MINUTES) -> Grant:
    for name, value in _CONSTANTS.items():
        item.needed(name)
        if item.integer(name) != value:
            raise _invalid(f"{name} is not supported")
    if access not in {1, 2}:
        raise _invalid("AccessType is 1 (read) or 2 (write)")
    lead = _lead(account, item)
    return Grant(lead, _user(account, item), _activity(account, item, lead), access, minutes)


def _lead(account: Account, item: Json) -> Lead:
    """EntityId is the lead's ProspectAutoId, not its GUID."""
    lead = account.world.lead_numbered(item.needed("EntityId"))
    if lead is None:
        raise refusal("MXInvalidEntityException", "Lead does not exist in the system")
    return lead


def _user(account: Account, item: Json) -> User:
    user = account.world.user(item.needed("UserId"))
    if user is None:
        raise _invalid("User does not exist in the system")
    return user


def _activity(account: Account, item: Json, lead: Lead) -> Activity:
    activity = account.activity(item.needed("ContextEntityId"))
    if activity is None or activity.lead != lead:
        raise _invalid("Activity does not exist on the lead")
    return activity


def _invalid(words: str) -> Refusal:
    return refusal("MXInvalidInputException", words)
