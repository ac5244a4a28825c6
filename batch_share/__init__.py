"""Share LeadSquared leads with sales users from a sheet: never twice, never lost.

Importing this costs next to nothing: whatever is heavy is imported where it is needed.
"""

from typing import TYPE_CHECKING, Final

from batch_share.common import __version__
from batch_share.errors import (
    AccessDenied,
    AccountClosed,
    BatchShareError,
    CanaryFailed,
    DailyLimitReached,
    IllegalTransition,
    LedgerError,
    LedgerLocked,
    LedgerTooNew,
    NoSuchApi,
    NotAnswered,
    OfAnotherSheet,
    OwnerNotVerified,
    PlanChanged,
    SettingsError,
    SheetError,
    StillThrottled,
    TooManyFailures,
    TooManyForUser,
    TooManyRevokes,
    TooManyRows,
    Unreachable,
)

if TYPE_CHECKING:
    from batch_share.jobs.job import Ending
    from batch_share.ledger.states import State
    from batch_share.library import BatchShare, Job
    from batch_share.planning.overview import Overview
    from batch_share.planning.plan import SheetOptions
    from batch_share.results.summary import Summary
    from batch_share.sending.onlookers import AskingAgain, Holder, Outage, Preview, Progress
    from batch_share.settings import Settings, load_settings

__all__ = [
    "AccessDenied",
    "AccountClosed",
    "AskingAgain",
    "BatchShare",
    "BatchShareError",
    "CanaryFailed",
    "DailyLimitReached",
    "Ending",
    "Holder",
    "IllegalTransition",
    "Job",
    "LedgerError",
    "LedgerLocked",
    "LedgerTooNew",
    "NoSuchApi",
    "NotAnswered",
    "OfAnotherSheet",
    "Outage",
    "Overview",
    "OwnerNotVerified",
    "PlanChanged",
    "Preview",
    "Progress",
    "Settings",
    "SettingsError",
    "SheetError",
    "SheetOptions",
    "State",
    "StillThrottled",
    "Summary",
    "TooManyFailures",
    "TooManyForUser",
    "TooManyRevokes",
    "TooManyRows",
    "Unreachable",
    "__version__",
    "load_settings",
]

_ELSEWHERE: Final = {
    "BatchShare": "library",
    "AskingAgain": "sending.onlookers",
    "Holder": "sending.onlookers",
    "Job": "library",
    "Outage": "sending.onlookers",
    "Progress": "sending.onlookers",
    "Settings": "settings",
    "load_settings": "settings",
    "Ending": "jobs.job",
    "Overview": "planning.overview",
    "Preview": "sending.onlookers",
    "SheetOptions": "planning.plan",
    "State": "ledger.states",
    "Summary": "results.summary",
}
"""Where the names are that are too heavy to be imported with the package."""

if not TYPE_CHECKING:  # a type checker would take every name for one that is there

    def __getattr__(name: str) -> object:
        """Import what is asked for, the first time."""
        if name not in _ELSEWHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - as above

        found = globals()[name] = getattr(import_module(f"{__name__}.{_ELSEWHERE[name]}"), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
