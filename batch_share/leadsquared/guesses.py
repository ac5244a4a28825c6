"""What no page of LeadSquared's documentation says, each in one named place.

`batch-share manual accounts` lists these, for an account to try; when one turns out otherwise, it changes here.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from batch_share.common import Rate

OWNER_FIELD: Final = "Owner"
"""SchemaName of the owner inside `Fields`: documented for Update Activity, not for Create."""

OWNER_KEYS: Final = (
    "ownerid",
    "owner",
    "activityowner",
    "activityownerid",
    "owneridemailaddress",
    "owneremailaddress",
    "owneremail",
    "activityowneremail",
    "owneridname",
    "ownername",
)
"""Names, in lower case, under which an activity that is read back may show its owner: by Id, address or name."""

ACTIVITY_ID_KEYS: Final = ("id", "prospectactivityid", "activityid")
REQUEST_ID_KEYS: Final = ("id", "requestid")
"""Names, in lower case, under which a call gives the Id of the activity, or of the request, that it makes."""

BARE_REQUEST_ID: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""A whole `Message` of a share or a revocation that succeeded is the request's Id if it is nothing but this: each
page shows an object there, and nothing else of that form belongs in its place."""

NO_ERROR: Final = frozenset({"null", "none", "nil", "na", "n/a", "-", "no error", "success", "ok"})
"""Each a whole `ErrorMessage` of a processed share, in lower case, where no error is: the page shows "" alone."""

EVENT_KEYS: Final = ("activityevent", "eventcode", "code")
EVENT_NAMES: Final = ("activityeventname", "eventname", "displayname", "name")
"""Names, in lower case, under which a list of activity types tells the code of each, and what people call it."""

SMALLEST_PAGE: Final = 25
"""Activities on a page where no size is given, as documented. Of a list that shows fewer nothing was cut off, even
by a server that ignores what page it is asked for, and of what size."""

ACTIVE: Final = frozenset({"", "0", "active"})
"""StatusCode of an active user, in lower case: 0 is documented; LeadSquared refuses an owner who is not active."""

ASCENDING: Final = "0"
"""Direction of a sorting that begins with the least: its pages explain 1 as descending."""

USER_EQUALS: Final = "eq"
"""Operator of the search for users: its page shows `lik` alone. Who comes back is compared with who was meant."""

PROCESSED: Final = 6
"""The only ShareStatus that the documentation shows, next to "Request processed successfully."."""

NO_ID: Final = frozenset({"", "0", "00000000-0000-0000-0000-000000000000", "0" * 32})
"""Ids that are there but name nothing: an answer with one is an answer without an Id."""

ORG_ID: Final = re.compile(r"(?=.*[1-9a-z])[a-z0-9][a-z0-9-]{0,63}", re.IGNORECASE)
"""An OrgId that names an account, as a number or otherwise: two accounts with the same would be taken for one."""

HOPELESS: Final = re.compile(
    r"not (?:be )?found|(?:does|do) not exist|doesn.t exist|no such|invalid|mandatory|missing|not (?:a )?valid"
    r"|inactive|not active|out of range|not supported|duplicate|not the owner",
    re.IGNORECASE,
)
"""Words of a refusal that lie in the row itself, so that the same call would be refused again. No list of
exception types is published."""

NOT_FOR_US: Final = re.compile(
    r"not allowed|not enabled|unauthori[sz]ed|permission|privilege|restricted"
    r"|\b(api|endpoint|method|page|url)( was| is| could| can)? ?not (be )?found|no http resource was found",
    re.IGNORECASE,
)
"""Words of a refusal that is of the whole API, whatever it is asked."""

CLOCK_SKEW: Final = 300.0
"""Seconds by which the server's dates may differ from ours: five minutes, as sign-in protocols allow."""

CLOCK_MARGIN: Final = 0.01
"""Seconds added to a period, for our clock and the server's need not tick alike: of five seconds 0.2 %, many times
what a clock drifts."""

LONGEST_PERIOD: Final = 60.0
"""Seconds of the longest period in which an account's calls are counted for its limit: 5 is documented. A throttle
that names a longer one is of an allowance, such as a day's."""

MOST_CALLS: Final = 1000
"""Calls of the highest limit that is believed: 72 in 5 s is the highest that was seen."""

LONGEST_CLOSED: Final = 31 * 86_400.0
"""Seconds for which an account may be closed at the most: a month, as no allowance is known of a longer time."""


def is_believed(limit: Rate) -> bool:
    """Whether an account may have such a limit."""
    return limit.limit <= MOST_CALLS and 1.0 <= limit.period <= LONGEST_PERIOD


DAY_ZONE: Final = dt.UTC
"""Whose midnight ends the day of a daily allowance: LeadSquared's dates are UTC, its days may not be."""
