"""Sentences for people are made in one room: nobody makes one elsewhere any more, and there are ever fewer."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

from figures import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOMS: Final = ("jobs", "planning", "sending", "ledger", "results")
WORDING: Final = "results/wording.py"

MOST: Final = {
    # What a check found, and what is done about it, stands beside the check, and is said nowhere else.
    "jobs/check_up.py": 59,
    "jobs/verify.py": 56,
    # What earlier versions wrote, by which old ledgers are understood.
    "ledger/schema.py": 26,
    # Kept as they are until somebody comes by: whoever moves one lowers its number, nobody raises one.
    "jobs/job.py": 2,
    "jobs/purge.py": 5,
    "jobs/revoke.py": 1,
    "jobs/run.py": 1,
    "jobs/watch.py": 4,
    "ledger/database.py": 1,
    "ledger/files.py": 3,
    "ledger/known.py": 1,
    "ledger/records.py": 3,
    "planning/already_shared.py": 5,
    "planning/corrections.py": 4,
    "planning/directory.py": 16,
    "planning/intake.py": 5,
    "planning/overview.py": 5,
    "planning/plan.py": 2,
    "results/answers.py": 12,
    "results/notify.py": 9,
    "results/writing.py": 6,
    "sending/audit.py": 1,
    "sending/calls.py": 4,
    "sending/sender.py": 3,
    "sending/session.py": 1,
    "sending/steps.py": 3,
}
"""By file, how many sentences are made there."""

_WORD: Final = re.compile(r"(?:^|\s)[\"'“(`]?[A-Za-z][a-z']*\b")
_NO_SENTENCE: Final = re.compile(r"\b(SELECT|INSERT|CREATE|UPDATE|ALTER|PRAGMA|coalesce)\b|yyyy|\\b")
"""What a database, and what a spreadsheet is told."""

_MAKES_ERRORS: Final = re.compile(r"(Error|Locked|NoLedger|NewerSchema|Trouble)$|^(log\.\w+|text)$")
"""Who may be called with a sentence of its own: an error, which says it itself, and the log."""


def sentences(file: Path) -> Iterator[tuple[int, str]]:
    """The texts of four words or more that are neither an error's, nor the log's, nor documentation."""
    nodes = [*ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    left_out: set[int] = set()
    for node in nodes:
        match node:
            case ast.Raise() | ast.Assert():
                left_out |= {id(each) for each in ast.walk(node)}
            case ast.Assign(targets=[ast.Attribute(attr="phase")]):  # what the progress display calls it
                left_out |= {id(each) for each in ast.walk(node.value)}
            case ast.Call() if _MAKES_ERRORS.search(ast.unparse(node.func)):
                left_out |= {id(each) for each in ast.walk(node)}
            case ast.Expr(value=ast.Constant()):
                left_out.add(id(node.value))
            case ast.JoinedStr():
                left_out |= {id(each) for each in node.values}
            case _:
                pass
    for node in nodes:
        if id(node) in left_out:
            continue
        match node:
            case ast.JoinedStr():
                said = "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values)
            case ast.Constant(value=str(said)):
                pass
            case _:
                continue
        if len(_WORD.findall(said)) >= 4 and not _NO_SENTENCE.search(said):
            yield node.lineno, said


def test_no_sentence_for_people_is_made_outside_the_room_for_them() -> None:
    found = {
        file.relative_to(PACKAGE).as_posix(): [*sentences(file)]
        for room in ROOMS
        for file in sorted((PACKAGE / room).rglob("*.py"))
    }
    assert len(found.pop(WORDING)) > 100, "else nothing would be found elsewhere either"
    assert {name: those for name, those in found.items() if len(those) > MOST.get(name, 0)} == {}
    assert {name: len(found[name]) for name in MOST if len(found[name]) < MOST[name]} == {}, "lower these"
