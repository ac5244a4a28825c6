"""The names that others may import from batch_share: changing one is a decision, not an accident."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys
from enum import StrEnum

import pytest

import batch_share


def test_the_public_names_are_these() -> None:
    assert batch_share.__all__ == [
        "SHEET_SUFFIXES", "Access", "AccessDenied", "AccountClosed", "Alike", "Approval", "AskingAgain",
            "BatchShare",
        "BatchShareError", "CanaryFailed", "Changes", "Correction",
        "Cost", "DailyLimitReached", "Doubt", "Ending", "ExitCode",
        "FailedSheet", "Finding", "Held", "HistoryError", "Holder", "IllegalTransition", "Job", "KnownRun",
        "KnownRuns", "KnownShare", "LedgerError", "LedgerLocked", "LedgerMoved", "LedgerName", "LedgerRow",
        "LedgerTooNew", "Level", "Look",
        "LookColumn", "Losing", "NoLedger", "NoSuchApi", "NotAnswered", "NotConfirmed", "Occasion",
        "OfAnotherSheet", "Outage", "Outlook",
        "Overview", "OwnerNotVerified", "Page", "Placed", "PlanChanged", "PlanFiles", "Preview", "Problem",
        "Progress", "ReadOptions", "Revocation", "Selection", "Settings", "SettingsError", "SheetError",
        "SheetMapping", "SheetOptions", "SheetOutcome", "State", "StillThrottled", "StoreTrouble", "Summary",
        "Sweep", "ToShare", "TooManyFailures",
        "TooManyForUser", "TooManyRevokes", "TooManyRows", "Unreachable", "Verified", "Waiting", "Watcher",
        "__version__", "check_sheet_file", "load_settings",
    ]  # fmt: skip


def test_each_public_name_is_there_and_documented() -> None:
    for name in batch_share.__all__:
        assert getattr(batch_share, name).__doc__


def test_each_field_of_a_public_class_is_documented() -> None:
    """In its class's words, in backticks; of Settings by the text that each option's help has."""
    for name in batch_share.__all__:
        kind = getattr(batch_share, name)
        if not isinstance(kind, type) or kind is batch_share.Settings:
            continue
        fields = [each.name for each in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
        fields += getattr(kind, "_fields", ())
        fields += getattr(kind, "model_fields", ())
        if issubclass(kind, BaseException):
            fields += re.findall(r"self\.(\w+) =", inspect.getsource(kind))
        if issubclass(kind, StrEnum) and kind is batch_share.State:
            fields += list(kind)
        words = "".join(each.__doc__ or "" for each in kind.__mro__)
        for field in fields:
            assert field.startswith("_") or f"`{field}`" in words, f"{name}.{field}"


def test_each_method_of_a_public_class_is_documented() -> None:
    for name in batch_share.__all__:
        kind = getattr(batch_share, name)
        for method, found in vars(kind).items() if isinstance(kind, type) else ():
            if not method.startswith("_") and (inspect.isroutine(found) or isinstance(found, property)):
                assert inspect.getdoc(found) or method.startswith("model_"), f"{name}.{method}"


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, batch_share; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"aiohttp", "pandas", "pydantic", "sqlalchemy", "typer", "rich"} & set(done.stdout.split())


def test_a_name_that_is_not_there_is_reported() -> None:
    with pytest.raises(AttributeError, match="module 'batch_share' has no attribute 'BatchShore'"):
        getattr(batch_share, "BatchShore")  # noqa: B009 - a type checker knows that it is not there
