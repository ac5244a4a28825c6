"""The errors a caller can meet: one tree, one sentence each, and the facts as attributes."""

from __future__ import annotations

import ast
import inspect
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

import batch_share
from batch_share import errors
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
    ScheduleMissed,
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

LEDGER: Final = Path("leads.ledger.db")
UNTIL: Final = datetime(2026, 12, 31, 9, 0, 5, tzinfo=UTC)
THEN: Final = f"{UNTIL.astimezone():%Y-%m-%d %H:%M:%S %Z}"
TYPED: Final = re.compile(r"`|(?<![\w-])--[a-z]|(?<!\w)[~.]*/\w")
"""What only somebody at a terminal, on this machine, can make use of: commands, options, paths."""

IN_WORDS: Final = {
    "BatchShareError", "HistoryError", "KeychainError", "LedgerError", "LedgerLocked", "LedgerTooNew",
    "NoLedger", "SettingsError", "SheetError", "StoreTrouble",
}  # fmt: skip
"""The errors whose words are given where they are raised."""

EXAMPLES: Final[list[tuple[BatchShareError, str, dict[str, Any]]]] = [
    (SettingsError("rate", "is odd"), "rate: is odd", {"setting": "rate", "wrong": "is odd"}),
    (
        ScheduleMissed("nightly", "europe", "did not run"),
        "The schedule nightly did not run.",
        {"schedule": "nightly", "account": "europe", "words": "did not run"},
    ),
    (
        SheetError(Path("a/leads.csv"), "is empty"),
        "leads.csv: is empty",
        {"path": Path("a/leads.csv"), "wrong": "is empty", "row": None},
    ),
    (SheetError(Path("leads.csv"), "is odd", row=7), "leads.csv, row 7: is odd", {"row": 7}),
    (LedgerError(LEDGER, "is odd"), "Ledger leads.ledger.db: is odd", {"ledger": LEDGER, "wrong": "is odd"}),
    (LedgerLocked(LEDGER, "is in use"), "Ledger leads.ledger.db: is in use", {"ledger": LEDGER}),
    (NoLedger(LEDGER, "is none"), "Ledger leads.ledger.db: is none", {"ledger": LEDGER}),
    (StoreTrouble(LEDGER, "is off"), "Ledger leads.ledger.db: is off", {"wrong": "is off"}),
    (
        LedgerMoved(LEDGER, "postgresql://h/d#s"),
        "Ledger leads.ledger.db: it was moved to postgresql://h/d#s: name that",
        {"other": "postgresql://h/d#s", "on_its_way": False},
    ),
    (LedgerTooNew(LEDGER, "is too new"), "Ledger leads.ledger.db: is too new", {"ledger": LEDGER}),
    (
        OfAnotherSheet(LEDGER, "old.csv", "new.csv"),
        (
            "Ledger leads.ledger.db: it belongs to the sheet old.csv, and holds no row of new.csv "
            "that asks for the same: give new.csv a ledger of its own (leave out --ledger)"
        ),
        {"ledger": LEDGER, "named": "old.csv", "sheet": "new.csv"},
    ),
    (
        IllegalTransition(LEDGER, 3, "shared"),
        "Ledger leads.ledger.db: row 3 can't become shared from where it is; nothing was changed",
        {"row_id": 3, "state": "shared"},
    ),
    (
        HistoryError(Path("history.db"), "is odd"),
        "Index of runs history.db: is odd",
        {"file": Path("history.db"), "wrong": "is odd"},
    ),
    (
        Unreachable("https://api.example", 7, "no connection"),
        "https://api.example could not be reached in 7 tries: no connection. Nothing was sent",
        {"host": "https://api.example", "tries": 7, "words": "no connection"},
    ),
    (
        Unreachable("https://api.example", 7, "refused", left=False, answered=False),
        (
            "https://api.example could not be reached in 7 tries: refused. Check that the host that is set is "
            "right. Run the same command again when it can be reached."
        ),
        {},
    ),
    (
        AccessDenied(401, "bad keys"),
        "LeadSquared refused access (HTTP 401): bad keys. Check the keys",
        {"status": 401, "words": "bad keys"},
    ),
    (
        AccountClosed(UNTIL, "Too many"),
        f"LeadSquared takes no calls of this account until {THEN}: Too many. What was sent is in the ledger; run ",
        {"until": UNTIL, "words": "Too many"},
    ),
    (
        AccountClosed(UNTIL),
        f"LeadSquared takes no calls of this account until {THEN}, as it told an earlier run. What was sent is in ",
        {"until": UNTIL, "words": ""},
    ),
    (DailyLimitReached(1000, 1000), "1,000 calls were made today and 1,000 are allowed, so the run stopped", {}),
    (
        StillThrottled(930, "Limit."),
        "For 16 minutes LeadSquared refused every call as one too many: Limit. Other",
        {},
    ),
    (AccessDenied(401, "Bad keys."), "LeadSquared refused access (HTTP 401): Bad keys. Check the keys", {}),
    (TooManyRows(1200, 1000), "1,200 rows would be sent and --max-rows allows 1,000", {"rows": 1200, "most": 1000}),
    (
        TooManyForUser(dict.fromkeys("abcdef", 7), 5),
        "These users would get more leads than the 5 that --max-per-user allows: a (7), b (7), ",
        {"most": 5},
    ),
    (
        TooManyRevokes("5 shares of a.csv would be revoked from b (3), c (2)", {"b": 3, "c": 2}, ["a.csv"], 0),
        "5 shares of a.csv would be revoked from b (3), c (2), and nobody was asked: add --max-revokes 5, or",
        {"users": {"b": 3, "c": 2}, "sheets": ["a.csv"], "most": 0},
    ),
    (
        TooManyRevokes("5 shares would be", {"b": 5}, ["a.csv"], 4),
        "5 shares would be, and nobody was asked (--max-revokes allows 4): add --max-revokes 5, or set",
        {"most": 4},
    ),
    (
        TooManyFailures(10, "no such lead"),
        "10 rows failed in a row, so the run stopped before more did. The last: no such lead. The",
        {"rows": 10, "reason": "no such lead"},
    ),
    (
        CanaryFailed(3, {"shared": 2, "failed": 1}, 4, "no such lead", "a.db"),
        "Not all of the 3 canary rows were shared: 2 shared, 1 failed. Row 4: no such lead. The rest was not",
        {"rows": 3, "sheet_row": 4, "reason": "no such lead"},
    ),
    (
        AccessDenied(403, "HTTP 403: Blocked.", is_page=True),
        "A web page came instead of LeadSquared's answer: HTTP 403: Blocked. If it is of a web filter,",
        {"words": "HTTP 403: Blocked."},
    ),
    (AccessDenied(403, ""), "LeadSquared refused access (HTTP 403): no reason given. Check", {"words": ""}),
    (
        NotAnswered(10, "HTTP 502"),
        "10 calls in a row were sent and not properly answered (HTTP 502)",
        {"calls": 10, "words": "HTTP 502"},
    ),
    (
        PlanChanged(Path("a/plan.json"), "the sheet"),
        "The sheet changed since plan.json was approved. Nothing was sent",
        {"plan": Path("a/plan.json"), "what": "the sheet"},
    ),
    (NotConfirmed(), "Nothing was sent: the run was not confirmed.", {"sent_before": 0}),
    (
        OwnerNotVerified("act", "user", ""),
        "LeadSquared does not show who owns activity act",
        {"activity_id": "act", "expected": "user", "found": "", "is_anothers": False},
    ),
    (
        OwnerNotVerified("act", "user", "Asha Rao"),
        "LeadSquared shows the owner of activity act as 'Asha Rao', which can't be compared",
        {"found": "Asha Rao", "is_anothers": False},
    ),
    (
        OwnerNotVerified("act", "user", "other", is_anothers=True),
        "Activity act was posted for user user, but LeadSquared says its owner is other.",
        {"found": "other", "is_anothers": True},
    ),
    (
        NoSuchApi("https://host", "EntityAccess.svc/Share", "No such API"),
        "https://host has no API EntityAccess.svc/Share: No such API.",
        {"host": "https://host", "path": "EntityAccess.svc/Share", "words": "No such API"},
    ),
]


@pytest.mark.parametrize(("error", "text", "facts"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_an_error_says_one_sentence_and_carries_its_facts(
    error: BatchShareError, text: str, facts: dict[str, Any]
) -> None:
    assert str(error).startswith(text)
    assert {name: getattr(error, name) for name in facts} == facts


@pytest.mark.parametrize("error", [error for error, _, _ in EXAMPLES], ids=lambda value: type(value).__name__)
def test_an_error_says_what_is_wrong_and_what_to_do_to_somebody_without_a_terminal(error: BatchShareError) -> None:
    for said in (error.problem, error.hint):
        assert said[0].isupper() or said[0].isdigit()
        assert said[-1] in ".!?"
        assert not TYPED.search(said), said
    assert not any(name in error.problem + error.hint for name in ("leads.", "history.db", "plan.json"))
    assert error.row == {SheetError: getattr(error, "row", None), CanaryFailed: 4}.get(type(error))


def test_no_error_is_raised_with_a_command_or_an_option_that_only_a_terminal_can_use() -> None:
    """What holds one says the same without it, as its `problem`."""
    for file in sorted(Path(batch_share.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IN_WORDS:
                said = {each.arg: " ".join(_constants(each.value)) for each in node.keywords}
                typed = [words for each in node.args for words in _constants(each) if TYPED.search(words)]
                place = f"{file.name}:{node.lineno}"
                assert "problem" in said or not typed, f"{place}: {typed}"
                assert not TYPED.search(said.get("problem", "") + said.get("hint", "")), place


def _constants(node: ast.expr) -> list[str]:
    return [each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def test_every_error_is_in_the_tree_and_in_its_drawing() -> None:
    classes = [
        each for _, each in inspect.getmembers(errors, inspect.isclass) if each.__module__ == errors.__name__
    ]
    assert {type(error) for error, _, _ in EXAMPLES} | {BatchShareError} == set(classes)
    assert all(issubclass(each, BatchShareError) for each in classes)
    assert errors.__doc__ is not None
    assert all(each.__name__ in errors.__doc__ for each in classes)


@pytest.mark.parametrize("kind", [LedgerLocked, LedgerTooNew, NoLedger, OfAnotherSheet, IllegalTransition])
def test_what_is_wrong_with_a_ledger_can_be_caught_as_such(kind: type[BatchShareError]) -> None:
    assert issubclass(kind, LedgerError)
