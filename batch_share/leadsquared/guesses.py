"""What no page of LeadSquared's documentation says, each in one named place.

The README lists these as the things to verify on a live account; when one turns out otherwise, it changes here.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

OWNER_FIELD: Final = "Owner"
"""SchemaName of the owner inside `Fields`: documented for Update Activity, not for Create."""

OWNER_KEYS: Final = ("Owner", "OwnerId", "ActivityOwner")
"""Names under which an activity that is read back may show its owner."""

PROCESSED: Final = 6
"""The only ShareStatus that the documentation shows, next to "Request processed successfully."."""

NO_ID: Final = frozenset({"", "00000000-0000-0000-0000-000000000000", "0" * 32})
"""Ids that are there but name nothing: an answer with one is an answer without an Id."""

HOPELESS: Final = re.compile(
    r"not (?:be )?found|(?:does|do) not exist|doesn.t exist|no such|invalid|mandatory|missing|not (?:a )?valid"
    r"|inactive|not active|out of range|not supported|duplicate|not the owner",
    re.IGNORECASE,
)
"""Words of a refusal that lie in the row itself, so that the same call would be refused again. No list of
exception types is published."""

CLOCK_SKEW: Final = 300.0
"""Seconds by which the server's dates may differ from ours."""

CLOCK_MARGIN: Final = 0.01
"""Seconds added to a period: our clock and the server's need not tick alike."""

DAY_ZONE: Final = dt.UTC
"""Whose midnight ends the day of a daily allowance: LeadSquared's dates are UTC, its days may not be."""
