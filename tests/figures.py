"""Figures of the package's structure, and of the way of one row through it: `make figures`.

What a reader has to hold in mind is counted, not judged: how finely the code is cut, what imports what, how many
files one row enters from sheet to shared. `unit/test_figures.py` lets none of the kept ones get worse.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tempfile
import threading
import tokenize
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import pytest

import batch_share

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import FrameType

PACKAGE: Final = Path(batch_share.__file__).parent
TESTS: Final = Path(__file__).parent

FLOORS: Final = (
    {"__main__"},
    {"cli"},
    {"page", "cluster"},
    {"library", "__init__"},
    {"jobs"},
    {"planning"},
    {"results"},
    {"sending"},
    {"sandbox"},
    {"sheet", "ledger", "leadsquared"},
    {"settings"},
    {"keychain"},
    {"logs"},
    {"outputs", "common"},
    {"errors"},
)
"""The parts of the package, the uppermost first: an import from a lower one to a higher one goes upward."""

TINY: Final = 3
"""Lines up to which a helper that is used once is told: its name seldom says more than they do."""

_SENTENCE: Final = re.compile(
    r"(?:reason|notice|words|why)[\w.()\[\] ]*\.(?:startswith|removeprefix|endswith)\("
    r"|(?:reason|notice) (?:==|in) |\.like\("
)
"""A place that asks what a sentence says: there, words for people are used as data."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(slots=True)
class Figures:
    """What was counted. `lengths` are of functions without their docstrings, `upward` says which imports go so."""

    lines: int = 0
    code: int = 0
    modules: int = 0
    comments: int = 0
    docstrings: int = 0
    imports: int = 0
    sentences: int = 0
    tests: int = 0
    lengths: list[int] = field(default_factory=list)
    longest: str = ""
    tiny: list[str] = field(default_factory=list)
    upward: list[str] = field(default_factory=list)
    circles: list[list[str]] = field(default_factory=list)

    @property
    def functions_per_100_lines(self) -> float:
        """How finely the code is cut."""
        return 100 * len(self.lengths) / self.code


@dataclass(frozen=True, slots=True)
class Way:
    """What one row enters, from its sheet until LeadSquared says that it is shared."""

    files: frozenset[str]
    functions: int
    calls: int


def count(package: Path = PACKAGE, tests: Path = TESTS) -> Figures:
    """Count a package's code, and how many lines of tests there are to it."""
    files = sorted(package.rglob("*.py"))
    texts = {file: file.read_text(encoding="utf-8") for file in files}
    used = Counter(re.findall(r"\b_[a-z]\w*", "\n".join(texts.values())))
    names = {file: _module(file, package) for file in files}
    arrows: dict[str, set[str]] = defaultdict(set)
    reported = Figures(modules=len(files))
    for file, text in texts.items():
        tree = ast.parse(text)
        lines = text.splitlines()
        reported.lines += len(lines)
        reported.code += sum(bool(line.strip()) for line in lines)
        reported.sentences += len(_SENTENCE.findall(text))
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        reported.comments += sum(token.type == tokenize.COMMENT for token in tokens)
        _count_nodes(reported, tree, file.relative_to(package), used)
        for imported, at, is_for_types in _imports(tree, package.name, set(names.values())):
            if imported == names[file]:
                continue
            if not is_for_types:
                arrows[names[file]].add(imported)
            if _floor(imported) < _floor(names[file]):
                reported.upward.append(f"{file.relative_to(package)}:{at} imports {imported}")
    reported.circles = _circles(arrows)
    whole = (file.read_text(encoding="utf-8").splitlines() for file in tests.rglob("*.py"))
    reported.tests = sum(bool(line.strip()) for lines in whole for line in lines)
    return reported


def _module(file: Path, package: Path) -> str:
    return ".".join(file.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")


def _count_nodes(reported: Figures, tree: ast.Module, file: Path, used: Mapping[str, int]) -> None:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            reported.docstrings += _height(node, node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            reported.imports += _height(node, node)
        elif isinstance(node, _FUNCTIONS):
            has_docstring = ast.get_docstring(node, clean=False) is not None and len(node.body) > 1
            length = _height(node.body[has_docstring], node)
            if length > max(reported.lengths, default=0):
                reported.longest = f"{file}:{node.lineno} {node.name}"
            reported.lengths.append(length)
            is_private = re.fullmatch(r"_[a-z]\w*", node.name) is not None and not node.decorator_list
            if length <= TINY and is_private and used[node.name] == 2:
                reported.tiny.append(f"{file}:{node.lineno} {node.name}")


def _height(first: ast.stmt, whole: ast.stmt) -> int:
    return (whole.end_lineno or first.lineno) - first.lineno + 1


def _imports(tree: ast.Module, package: str, modules: set[str]) -> Iterator[tuple[str, int, bool]]:
    """What is imported of the package when the module is loaded, on which line, and whether for types alone."""
    inside = {
        id(node) for function in ast.walk(tree) if isinstance(function, _FUNCTIONS) for node in ast.walk(function)
    }
    for_types = {
        id(node)
        for choice in ast.walk(tree)
        if isinstance(choice, ast.If) and "TYPE_CHECKING" in ast.unparse(choice.test)
        for node in ast.walk(choice)
    }
    for node in ast.walk(tree):
        if (
            not isinstance(node, ast.ImportFrom)
            or not (node.module or "").startswith(package)
            or id(node) in inside
        ):
            continue
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            yield full if full in modules else str(node.module), node.lineno, id(node) in for_types


def _floor(module: str) -> int:
    part = module.split(".")[1] if "." in module else "__init__"
    return next((floor for floor, parts in enumerate(FLOORS) if part in parts), len(FLOORS))


def _circles(arrows: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Groups of modules of which each leads to every other: those that reach each other."""
    reached = {start: _reached(arrows, start) for start in arrows}
    groups = {
        frozenset(each for each in reached[start] if start in reached.get(each, ())) | {start}
        for start in arrows
        if start in reached[start]
    }
    return sorted(map(sorted, groups))


def _reached(arrows: Mapping[str, Iterable[str]], start: str) -> set[str]:
    found: set[str] = set()
    left = list(arrows.get(start, ()))
    while left:
        if (module := left.pop()) not in found:
            found.add(module)
            left += arrows.get(module, ())
    return found


def follow_one_row(folder: Path) -> Way:
    """Run a sheet of one row against a sandbox in this process, and see what it enters."""
    from trial import options
    from virtual_time import run_virtually
    from virtual_trial import in_virtual_time

    from batch_share.ledger.states import State

    entered: Counter[tuple[str, int, str]] = Counter()

    def note(frame: FrameType, what: str, _: Any) -> None:
        if what == "call" and frame.f_code.co_filename.startswith(str(PACKAGE)):
            code = frame.f_code
            entered[code.co_filename, code.co_firstlineno, code.co_name] += 1

    with pytest.MonkeyPatch.context() as patch:
        it = in_virtual_time(folder, patch, options(processing=1.0), rows=1, wait=60.0)
        lead, user = it.sandbox.world.leads[0], it.sandbox.world.users[1]
        sheet = f"Lead Number,User Email,Access,Duration,Activity Event\n{lead.number},{user.email},read,7d,201\n"
        (folder / "leads.csv").write_text(sheet, encoding="utf-8")
        threading.setprofile(note)
        sys.setprofile(note)
        try:
            ending = run_virtually(it.run())
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
    assert ending.summary.states == {State.SHARED: 1}
    ours = {place: times for place, times in entered.items() if "sandbox" not in Path(place[0]).parts}
    files = frozenset(Path(file).relative_to(PACKAGE).as_posix() for file, *_ in ours)
    # Before Python 3.12 a comprehension is entered as if it were one.
    functions = {place: times for place, times in ours.items() if place[2] == "<lambda>" or place[2][0] != "<"}
    return Way(files, len(functions), sum(functions.values()))


def lines_of(reported: Figures, way: Way) -> Sequence[str]:
    """The figures, as they are printed."""
    sizes = sorted(reported.lengths)
    code = reported.code
    return [
        (
            f"lines {reported.lines} (code {code}), modules {reported.modules}, functions {len(sizes)}: "
            f"{reported.functions_per_100_lines:.1f} per 100 lines, median {median(sizes):.0f}, "
            f"p90 {sizes[len(sizes) * 9 // 10]}, longest {sizes[-1]} ({reported.longest})"
        ),
        (
            f"private helpers of up to {TINY} lines used once {len(reported.tiny)}, sentences read as data "
            f"{reported.sentences}, imports {100 * reported.imports / code:.1f} % of code, comments "
            f"{100 * reported.comments / code:.1f} %, docstrings {100 * reported.docstrings / code:.1f} %, "
            f"tests:code {reported.tests / code:.2f}"
        ),
        f"one row enters {len(way.files)} files and {way.functions} functions, in {way.calls} calls",
        *(f"  circle: {', '.join(each)}" for each in reported.circles),
        *(f"  upward: {each}" for each in reported.upward),
    ]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        print("\n".join(lines_of(count(), follow_one_row(Path(made)))))  # noqa: T201
