"""Share LeadSquared leads with sales users from a sheet: never twice, never lost.

Importing this costs next to nothing: whatever is heavy is imported where it is needed.
"""

from batch_share.errors import (
    AccessDenied,
    BatchShareError,
    CanaryFailed,
    DailyLimitReached,
    IllegalTransition,
    LedgerError,
    LedgerLocked,
    LedgerTooNew,
    LookupRefused,
    NotAnswered,
    OwnerNotVerified,
    PlanChanged,
    SettingsError,
    SheetError,
    StillThrottled,
    TooManyFailures,
    TooManyForUser,
    TooManyRows,
    Unreachable,
)

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "BatchShareError",
    "CanaryFailed",
    "DailyLimitReached",
    "IllegalTransition",
    "LedgerError",
    "LedgerLocked",
    "LedgerTooNew",
    "LookupRefused",
    "NotAnswered",
    "OwnerNotVerified",
    "PlanChanged",
    "SettingsError",
    "SheetError",
    "StillThrottled",
    "TooManyFailures",
    "TooManyForUser",
    "TooManyRows",
    "Unreachable",
    "__version__",
]
