"""Every API that the sandbox imitates, by method and path, and the names that people call them by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from batch_share.sandbox import activities, people, shares

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch_share.sandbox.account import SandboxAccount
    from batch_share.sandbox.wire import SandboxCall

    Handler: TypeAlias = Callable[[SandboxAccount, SandboxCall], Any]

BULK = "ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId"
SHARE = "EntityAccess.svc/Share"
HANDLERS: dict[tuple[str, str], Handler] = {
    ("POST", "ProspectActivity.svc/Create"): activities.create,
    ("POST", BULK): activities.create_many,
    ("POST", "ProspectActivity.svc/Retrieve"): activities.of_lead,
    ("GET", "ProspectActivity.svc/GetActivityDetails"): activities.details,
    ("POST", "ProspectActivity.svc/CustomActivity/RetrieveByActivityEvent"): activities.by_event,
    ("GET", "ProspectActivity.svc/ActivityTypes.Get"): activities.types,
    ("POST", SHARE): shares.share,
    ("POST", "EntityAccess.svc/Revoke"): shares.revoke,
    ("GET", "EntityAccess.svc/Status/Get"): shares.status,
    ("POST", "LeadManagement.svc/Leads/Retrieve/ByIds"): people.leads_by_ids,
    ("POST", "LeadManagement.svc/Leads.Get"): people.leads_by_criteria,
    ("GET", "LeadManagement.svc/Leads.GetById"): people.lead_by_id,
    ("GET", "LeadManagement.svc/Leads.GetByEmailaddress"): people.lead_by_email,
    ("GET", "LeadManagement.svc/RetrieveLeadByPhoneNumber"): people.lead_by_phone,
    ("GET", "UserManagement.svc/Users.Get"): people.users,
    ("GET", "UserManagement.svc/User/Retrieve/ByEmailAddress"): people.user_by_email,
    ("GET", "UserManagement.svc/User/Retrieve/ByUserId"): people.user_by_id,
    ("POST", "UserManagement.svc/User/AdvancedSearch"): people.users_by_criteria,
    ("GET", "Authentication.svc/UserByAccessKey.Get"): people.key_user,
}
STATUS = "EntityAccess.svc/Status/Get"
_THE_WORK = {"ProspectActivity.svc/Create", SHARE, "EntityAccess.svc/Revoke", STATUS}
_GROUPS = {"Status": STATUS, "Bulk": BULK, "Leads": "LeadManagement.svc/", "Users": "UserManagement.svc/"}


def _names() -> dict[str, frozenset[str]]:
    paths = [path for _, path in HANDLERS]
    groups = {name: frozenset(path for path in paths if path.startswith(start)) for name, start in _GROUPS.items()}
    names = groups | {path.rpartition("/")[2]: frozenset({path}) for path in paths}
    return names | {"helpers": frozenset(paths) - _THE_WORK}


NAMES = _names()
"""The endpoints behind a name: the last part of a path (`Share`, `Users.Get`), or Status, Bulk, Leads, Users.

`helpers` are all but those that post an activity, share, revoke and ask what became of it.
"""


def paths_of(name: str) -> frozenset[str]:
    """The endpoints behind a name, in any case. Raises ValueError, one sentence that names the choices."""
    found = {known.lower(): paths for known, paths in NAMES.items()}.get(name.strip().lower())
    if found is None:
        raise ValueError(f"there is no endpoint {name.strip()!r}: choose {', '.join(NAMES)}")
    return found
