"""The names that others may import from batch_share: changing one is a decision, not an accident."""

from __future__ import annotations

import batch_share


def test_the_public_names_are_these() -> None:
    assert batch_share.__all__ == [
        "AccessDenied", "BatchShareError", "CanaryFailed", "DailyLimitReached", "IllegalTransition", "LedgerError",
        "LedgerLocked", "LedgerTooNew", "LookupRefused", "NotAnswered", "OwnerNotVerified", "PlanChanged",
        "SettingsError",
        "SheetError", "StillThrottled", "TooManyFailures", "TooManyForUser", "TooManyRows", "Unreachable",
        "__version__",
    ]  # fmt: skip


def test_each_public_name_is_there_and_documented() -> None:
    for name in batch_share.__all__:
        assert getattr(batch_share, name).__doc__
