"""The sandbox's own record: every call in the order of arrival, and a report of what came of them.

This is what a test holds a run's ledger against; nothing in it is part of LeadSquared's API.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from batch_share.sandbox.account import show_date
from batch_share.sandbox.wire import Call

if TYPE_CHECKING:
    from batch_share.sandbox.account import Account
    from batch_share.sandbox.clock import Clock
    from batch_share.sandbox.window import Limits

KEY_PARAMETERS = ("accessKey", "secretKey")


class Journal:
    """All calls since the sandbox began. Keys never enter it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began: float | None = None
        self.calls: list[Call] = []

    def begin(self) -> None:
        """Count seconds from now on."""
        self._began = self._clock.time()

    def open(self, method: str, endpoint: str, query: dict[str, str]) -> Call:
        """Write down a call that arrives now."""
        kept = {name: value for name, value in query.items() if name not in KEY_PARAMETERS}
        call = Call(len(self.calls) + 1, self._elapsed(), method, endpoint, kept)
        self.calls.append(call)
        return call

    def since(self, n: int) -> list[dict[str, Any]]:
        """The calls after the n-th, as JSON values."""
        return [_entry(call) for call in self.calls[max(n, 0) :]]

    def seconds(self) -> float:
        """Seconds since the first call; 0 before it."""
        return self._elapsed() - self.calls[0].at if self.calls else 0.0

    def _elapsed(self) -> float:
        now = self._clock.time()
        if self._began is None:
            self._began = now
        return now - self._began


def report(journal: Journal, limits: Limits, account: Account) -> dict[str, Any]:
    """What happened so far: calls, refusals, activities, live shares, requests."""
    pairs, shares = account.pairs(), _live_shares(account)
    return {
        "total_calls": len(journal.calls),
        "calls": dict(Counter(call.endpoint for call in journal.calls)),
        "outcomes": dict(Counter(call.outcome for call in journal.calls)),
        "faults": dict(Counter(call.fault for call in journal.calls if call.fault)),
        "seconds": round(journal.seconds(), 6),
        "rate": str(limits.calls.rate),
        "refusals": limits.refusals,
        "fullest_window": limits.calls.fullest,
        "activities": account.activity_count(),
        "activities_per_lead_and_user": {f"{lead}|{owner}": count for (lead, owner), count in pairs.items()},
        "duplicates": sum(count > 1 for count in pairs.values()),
        "live_shares": {"count": len(shares), "shares": shares},
        "requests": dict(account.shares.states()),
    }


def _live_shares(account: Account) -> list[dict[str, Any]]:
    return [
        {
            "lead": str(grant.lead.number),
            "user": grant.user.id,
            "activity": grant.activity.id,
            "access": grant.access,
            "expires": show_date(grant.expires) if grant.expires else None,
        }
        for grant in account.shares.live()
    ]


def _entry(call: Call) -> dict[str, Any]:
    names = ("n", "at", "endpoint", "lead", "user", "activity", "outcome", "status", "fault")
    return {name: getattr(call, name) for name in names}
