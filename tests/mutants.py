"""How much of a change to three modules their unit tests notice: `make mutants`.

mutmut changes what stands in functions. It leaves alone what a module says outside of them (constants, enums, the
table of transitions) and functions with a decorator, so these are changed here, one thing at a time: every text and
number, every entry of a set or dict, every state that a set lacks, every statement of a decorated function.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from contextlib import redirect_stdout
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

ROOT: Final = Path(__file__).parents[1]
TESTS: Final = {
    "batch_share.leadsquared.protocol": (
        "tests/unit/leadsquared/test_protocol.py",
        "tests/unit/leadsquared/test_bulk.py",
    ),
    "batch_share.leadsquared.pacing": ("tests/unit/leadsquared/test_pacing.py",),
    "batch_share.ledger.states": ("tests/unit/ledger/test_states.py",),
}
PATIENCE: Final = 120
"""Seconds that the tests of one mutant may take; more is a mutant that hangs, and was noticed."""

GOAL: Final = 90
"""Per cent of each module's mutants that must be noticed."""


# ------------------------------------------------------------------------------------------------- inside functions


def inside() -> Iterator[tuple[str, bool, str]]:
    """The module of each of mutmut's mutants, whether a test noticed it, and its name."""
    mutmut = Path(sys.executable).with_name("mutmut")
    shutil.rmtree(ROOT / "mutants", ignore_errors=True)
    subprocess.run([mutmut, "run"], cwd=ROOT, check=True)
    reported = subprocess.run(
        [mutmut, "results", "--all", "true"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for line in reported.stdout.splitlines():
        name, _, verdict = line.strip().partition(": ")
        yield name.rpartition(".")[0], verdict in {"killed", "timeout"}, name


# ------------------------------------------------------------------------------------------------ outside functions


def outside(module: str) -> Iterator[tuple[str, bool, str]]:
    """The same for this module's mutants outside of functions, or in functions with a decorator."""
    tree = ast.parse(_source(module))
    if _is_noticed(module, ast.unparse(tree)):
        raise SystemExit(f"the tests of {module} fail though nothing was changed")
    for line, change in _changes(tree):
        yield module, _is_noticed(module, ast.unparse(tree)), f"{module}:{line}: {change}"


def _source(module: str) -> str:
    return (ROOT / module.replace(".", "/")).with_suffix(".py").read_text("utf-8")


def _changes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Change the tree in one place after the other; while its line and change are looked at, it is so changed."""
    states = [f"State.{target.id}" for target in _members(tree, "State")]
    for node in _outer(tree):
        if isinstance(node, ast.Constant) and type(node.value) in {str, int, float}:
            yield from _other_value(node)
        elif isinstance(node, ast.Set):
            yield from _without_each(node.elts)
            missing = [state for state in states if state not in {ast.unparse(each) for each in node.elts}]
            for state in missing if "State." in ast.unparse(node) else []:
                yield from _with(node, state)
        elif isinstance(node, ast.Call) and ast.unparse(node) == "frozenset()":
            for state in states:
                yield from _with_argument(node, state)
        elif isinstance(node, ast.Dict):
            yield from _without_each(node.keys, node.values)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _without_statements(node)


def _members(tree: ast.Module, name: str) -> Iterator[ast.Name]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for line in node.body:
                if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
                    yield line.targets[0]


def _outer(node: ast.AST) -> Iterator[ast.AST]:
    """What stands outside of functions and in decorated ones, but for annotations, docstrings and TypeVars."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not child.decorator_list:
            continue
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        if isinstance(child, ast.Call) and ast.unparse(child.func) == "TypeVar":
            continue
        if child is getattr(node, "annotation", None) or child is getattr(node, "returns", None):
            continue
        yield child
        yield from _outer(child)


def _other_value(node: ast.Constant) -> Iterator[tuple[int, str]]:
    old = node.value
    new = f"XX{old}" if isinstance(old, str) else old + 1  # type: ignore[operator]
    node.value = new
    yield node.lineno, f"{old!r} is {new!r}"
    node.value = old


def _without_each(*lists: list[ast.expr] | list[ast.expr | None]) -> Iterator[tuple[int, str]]:
    for index, each in enumerate(lists[0]):
        before = [list(entries) for entries in lists]
        for entries in lists:
            del entries[index]
        yield each.lineno if each else 0, f"no {ast.unparse(each) if each else '**'}"
        for entries, old in zip(lists, before, strict=True):
            entries[:] = old  # type: ignore[assignment]


def _with(node: ast.Set, state: str) -> Iterator[tuple[int, str]]:
    node.elts.append(ast.parse(state, mode="eval").body)
    yield node.lineno, f"also {state}"
    node.elts.pop()


def _with_argument(node: ast.Call, state: str) -> Iterator[tuple[int, str]]:
    node.args.append(ast.parse(f"{{{state}}}", mode="eval").body)
    yield node.lineno, f"also {state}"
    node.args.pop()


def _without_statements(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[int, str]]:
    for block in _blocks(function):
        for index, old in enumerate(block):
            if not (isinstance(old, ast.Expr) and isinstance(old.value, ast.Constant | ast.Yield)):
                block[index] = ast.Pass()
                yield old.lineno, f"no {ast.unparse(old).splitlines()[0]}"
                block[index] = old


def _blocks(function: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(function):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and block:
                yield block


def _warm_up() -> None:
    """Import what every child needs."""
    with redirect_stdout(StringIO()):
        if pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", *chain(*TESTS.values())]) != 0:
            raise SystemExit("the tests can't be collected")


def _is_noticed(module: str, mutant: str) -> bool:
    """Whether the module's tests fail, or hang, in a child process in which `mutant` stands for the module."""
    code = compile(mutant, module, "exec")
    child = os.fork()
    if child == 0:
        os._exit(_run_tests(module, code))
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) != 0


def _run_tests(module: str, mutant: CodeType) -> int:
    signal.alarm(PATIENCE)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        _put_in_place(module, mutant)
        return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *TESTS[module]]))
    except BaseException:  # a module that can't even be imported
        return 1


def _put_in_place(name: str, mutant: CodeType) -> None:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    exec(mutant, module.__dict__)
    parent, _, own = name.rpartition(".")
    setattr(sys.modules[parent], own, module)
    for tests in [each for each in sys.modules if each.rpartition(".")[2].startswith("test_")]:
        del sys.modules[tests]  # they hold the module as it was


# ---------------------------------------------------------------------------------------------------------- the sum


def say(text: str) -> None:
    """Write a line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Try all mutants, say what was not noticed, and how much was; 0 if that is enough."""
    made, noticed = Counter[str](), Counter[str]()
    os.chdir(ROOT)
    _warm_up()
    for mutants in [*(outside(module) for module in TESTS), inside()]:
        for module, was_noticed, name in mutants:
            made[module] += 1
            noticed[module] += was_noticed
            if not was_noticed:
                say(f"survived: {name}")
    for module in TESTS:
        say(_line(module, noticed[module], made[module]))
    say(_line("all", noticed.total(), made.total()))
    return int(any(100 * noticed[module] < GOAL * made[module] for module in TESTS))


def _line(name: str, noticed: int, made: int) -> str:
    return f"{name:34} {noticed:4} killed {made - noticed:4} survived {made:5} total {100 * noticed / made:6.1f} %"


if __name__ == "__main__":
    sys.exit(main())
