"""What is said of an audit."""

from __future__ import annotations

from typing import Any

import pytest

from batch_share.ledger.files import LedgerName
from batch_share.results.wording import Summary, spell_audit

PROVED = {
    "verdict": "proved", "expected": 103, "seen": 103, "found": 0, "named": [], "unread": {}, "again": None,
}  # fmt: skip
DOUBLE = {"sheet_row": 4, "extra": ["b"], "ours": "a", "shared": True}
STRANGER = {"sheet_row": 7, "extra": ["c", "d"], "ours": None, "shared": False}
AGAIN = "2026-11-27T15:04:00Z"
TIME = "2026-11-27 15:04 UTC"
LATER = "batch-share status 'my leads.db' --audit"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ["Proved: of 103 activities posted, LeadSquared has each once."]),
        (
            {"expected": 0, "seen": 0},
            ["Not proved: no activity is known to be posted yet, so none was looked for."],
        ),
        (
            {"verdict": "doubles", "found": 2, "named": [DOUBLE, STRANGER]},
            [
                "2 rows have activities at LeadSquared that should not be there:",
                "Row 4: delete b in LeadSquared; the share is by a.",
                "Row 7: delete c, d in LeadSquared.",
            ],
        ),
        (
            {"verdict": "doubles", "found": 9, "named": [DOUBLE] * 9},
            [
                "9 rows have activities at LeadSquared that should not be there:",
                *["Row 4: delete b in LeadSquared; the share is by a."] * 3,
                "and 6 rows more: --json names them.",
            ],
        ),
        (
            {"verdict": "not conclusive", "seen": 97, "again": AGAIN},
            [f"Not proved yet: LeadSquared showed 97 of 103 activities. To look again after {TIME}: {LATER}"],
        ),
        (
            {"verdict": "not conclusive", "seen": 0, "unread": {"201": "HTTP 404: No such API."}},
            ["Not checked: whether each activity is at LeadSquared once (type 201: HTTP 404: No such API)."],
        ),
    ],
)
def test_what_is_said_of_an_audit(changes: dict[str, Any], said: list[str]) -> None:
    summary = Summary({}, LedgerName.of("my leads.db"), audit=PROVED | changes)
    assert [str(each) for each in spell_audit(summary)] == said
    assert spell_audit(Summary({}, LedgerName.of("my leads.db"))) == []
