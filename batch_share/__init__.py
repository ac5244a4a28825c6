"""Share LeadSquared leads with sales users from a sheet: never twice, never lost.

The way of a row, from its sheet to a shared lead, each step in the module that does it::

    sheet.reader        its cells as text, with the row number that a spreadsheet shows
    sheet.rows          what they ask for, made canonical; or every reason why it can't be sent: invalid
    planning.directory  the lead and the user that it names are asked for: who is meant
    planning.intake     into the ledger, known by what it asks for: pending, or skipped if that was done before
    jobs.job            shown and agreed to; then calls are made, each paced, noted first, settled when answered
    sending.sender      posting: its intent is committed, then sending.steps posts the user's activity: posted
    sending.steps       the first of a kind is read back: is the activity really the user's?
    sending.sender      sharing: intent again, then the lead is shared in its context: accepted, a request Id
    sending.follow_up   the status API, asked until it says what became of the request: shared, or failed
    results.answers     the sheet again, each row with its result

What an answer means says leadsquared.protocol, what that makes of a row sending.calls: its state and its cause.
What people are told of these is made in results.wording alone. A row whose call may have arrived and was not
answered is unknown: jobs.reconcile looks its activity up before anything is sent again.

A program does the same with BatchShare; `help(batch_share.BatchShare)` has all that it can::

    import asyncio
    from batch_share import BatchShare

    async def share(sheet):
        async with BatchShare() as bs:  # with the settings in force
            plan = await bs.plan(sheet)  # makes no call
            print(plan.to_send, "to send,", plan.cost.calls, "calls,", *map(str, plan.problems))
            ending = await bs.run(sheet)  # once more, it goes on: nothing is sent twice
            print(ending.summary, ending.error or "")
            async for row in bs.rows(sheet, states=["failed", "unknown", "invalid"]):
                print(row.row, row.reason)
            await bs.retry(sheet, reason="timeout")  # failed rows, from the step that failed
            await bs.revoke(sheet, rows="5-40")  # without rows: all that the sheet shared
            found = await bs.access()
            print(len(found.shares), "shares give access")
            return ending.exit_code

    code = asyncio.run(share("leads.csv"))

What stops a job before its first call is raised: a BatchShareError, with `problem` and `hint`. What stops it later
is `ending.error`. Times are UTC; the classes say which have no zone. Waits are in seconds, the lengths of shares in
minutes. Rows have the sheet's own numbers: 2 is the first below the headers.

Importing this costs next to nothing: whatever is heavy is imported where it is needed.
"""

from typing import TYPE_CHECKING, Final

from batch_share.errors import (
    AccessDenied,
    AccountClosed,
    BatchShareError,
    CanaryFailed,
    DailyLimitReached,
    HistoryError,
    IllegalTransition,
    LedgerError,
    LedgerLocked,
    LedgerMoved,
    LedgerTooNew,
    NoLedger,
    NoSuchApi,
    NotAnswered,
    NotConfirmed,
    OfAnotherSheet,
    OwnerNotVerified,
    PlanChanged,
    SettingsError,
    SheetError,
    StillThrottled,
    StoreTrouble,
    TooManyFailures,
    TooManyForUser,
    TooManyRevokes,
    TooManyRows,
    Unreachable,
)

if TYPE_CHECKING:
    from batch_share.common import Correction, Holder, __version__
    from batch_share.jobs.check_up import Finding, Level
    from batch_share.jobs.job import Ending
    from batch_share.jobs.purge import Sweep
    from batch_share.jobs.revoke import Losing, Revocation
    from batch_share.jobs.verify import Verified
    from batch_share.jobs.watch import SheetOutcome
    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.known import KnownRun
    from batch_share.ledger.records import Alike, Changes, Occasion, ToShare, Waiting
    from batch_share.ledger.states import State
    from batch_share.library import BatchShare, Job
    from batch_share.planning.access import Access, KnownShare
    from batch_share.planning.already_shared import KnownRuns
    from batch_share.planning.overview import Look, LookColumn, Overview, PlanFiles
    from batch_share.planning.plan import Approval, SheetOptions
    from batch_share.results.answers import FailedSheet, LedgerRow, Page
    from batch_share.results.wording import ExitCode, Summary
    from batch_share.results.writing import Placed
    from batch_share.sending.onlookers import (
        AskingAgain,
        Cost,
        Doubt,
        Held,
        Outage,
        Outlook,
        Preview,
        Progress,
        Watcher,
    )
    from batch_share.settings import Settings, load_settings
    from batch_share.sheet.mapping import SheetMapping
    from batch_share.sheet.reader import SHEET_SUFFIXES, ReadOptions, check_sheet_file
    from batch_share.sheet.rows import Problem, Selection

__all__ = [
    "SHEET_SUFFIXES",
    "Access",
    "AccessDenied",
    "AccountClosed",
    "Alike",
    "Approval",
    "AskingAgain",
    "BatchShare",
    "BatchShareError",
    "CanaryFailed",
    "Changes",
    "Correction",
    "Cost",
    "DailyLimitReached",
    "Doubt",
    "Ending",
    "ExitCode",
    "FailedSheet",
    "Finding",
    "Held",
    "HistoryError",
    "Holder",
    "IllegalTransition",
    "Job",
    "KnownRun",
    "KnownRuns",
    "KnownShare",
    "LedgerError",
    "LedgerLocked",
    "LedgerMoved",
    "LedgerName",
    "LedgerRow",
    "LedgerTooNew",
    "Level",
    "Look",
    "LookColumn",
    "Losing",
    "NoLedger",
    "NoSuchApi",
    "NotAnswered",
    "NotConfirmed",
    "Occasion",
    "OfAnotherSheet",
    "Outage",
    "Outlook",
    "Overview",
    "OwnerNotVerified",
    "Page",
    "Placed",
    "PlanChanged",
    "PlanFiles",
    "Preview",
    "Problem",
    "Progress",
    "ReadOptions",
    "Revocation",
    "Selection",
    "Settings",
    "SettingsError",
    "SheetError",
    "SheetMapping",
    "SheetOptions",
    "SheetOutcome",
    "State",
    "StillThrottled",
    "StoreTrouble",
    "Summary",
    "Sweep",
    "ToShare",
    "TooManyFailures",
    "TooManyForUser",
    "TooManyRevokes",
    "TooManyRows",
    "Unreachable",
    "Verified",
    "Waiting",
    "Watcher",
    "__version__",
    "check_sheet_file",
    "load_settings",
]

_ELSEWHERE: Final = {
    "SHEET_SUFFIXES": "sheet.reader",
    "Access": "planning.access",
    "Approval": "planning.plan",
    "AskingAgain": "sending.onlookers",
    "BatchShare": "library",
    "Changes": "ledger.records",
    "Correction": "common",
    "Cost": "sending.onlookers",
    "Doubt": "sending.onlookers",
    "Ending": "jobs.job",
    "ExitCode": "results.wording",
    "FailedSheet": "results.answers",
    "Finding": "jobs.check_up",
    "Held": "sending.onlookers",
    "Holder": "common",
    "Job": "library",
    "KnownRun": "ledger.known",
    "KnownRuns": "planning.already_shared",
    "KnownShare": "planning.access",
    "LedgerName": "ledger.files",
    "LedgerRow": "results.answers",
    "Level": "jobs.check_up",
    "Look": "planning.overview",
    "LookColumn": "planning.overview",
    "Losing": "jobs.revoke",
    "Occasion": "ledger.records",
    "Outage": "sending.onlookers",
    "Outlook": "sending.onlookers",
    "Overview": "planning.overview",
    "Page": "results.answers",
    "Placed": "results.writing",
    "PlanFiles": "planning.overview",
    "Preview": "sending.onlookers",
    "Problem": "sheet.rows",
    "Progress": "sending.onlookers",
    "ReadOptions": "sheet.reader",
    "Revocation": "jobs.revoke",
    "Selection": "sheet.rows",
    "Settings": "settings",
    "SheetMapping": "sheet.mapping",
    "SheetOptions": "planning.plan",
    "SheetOutcome": "jobs.watch",
    "Alike": "ledger.records",
    "State": "ledger.states",
    "Summary": "results.wording",
    "Sweep": "jobs.purge",
    "ToShare": "ledger.records",
    "Verified": "jobs.verify",
    "Waiting": "ledger.records",
    "Watcher": "sending.onlookers",
    "__version__": "common",
    "check_sheet_file": "sheet.reader",
    "load_settings": "settings",
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
