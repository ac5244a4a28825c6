"""The rules of who may import whom: arrows only downward, and no I/O where none belongs."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import batch_share

PACKAGE = Path(batch_share.__file__).parent
_GROUND = {"errors", "common", "outputs", "settings", "logs"}
_FLOOR = {"sheet", "ledger", "leadsquared"}
ALLOWED = {
    "errors": set[str](),
    "common": set[str](),
    "logs": set[str](),
    "outputs": {"errors"},
    "keychain": {"errors"},
    "settings": {"keychain", "errors", "common"},
    "leadsquared": _GROUND,
    "ledger": _GROUND,
    "sheet": _GROUND,
    "sandbox": {"common"},
    "sending": {*_FLOOR, *_GROUND},
    "planning": {"sending", "results", *_FLOOR, *_GROUND},
    "results": {*_FLOOR, *_GROUND},
    "jobs": {"planning", "results", "sending", *_FLOOR, *_GROUND},
    "library": {"jobs", "planning", "sending", "results", "ledger", *_GROUND},
    "page": {"library", "cluster", "results", *_GROUND},
    "cluster": {"library", "planning", "results", "ledger", *_GROUND},
    "cli": {
        "library",
        "cluster",
        "page",
        "jobs",
        "planning",
        "sending",
        "results",
        "sandbox",
        "keychain",
        *_FLOOR,
        *_GROUND,
    },
    "__main__": {"cli"},
    "__init__": {
        "errors",
        "common",
        "library",
        "ledger",
        "sheet",
        "planning",
        "sending",
        "jobs",
        "results",
        "settings",
    },
}
"""What each part may import of batch_share, besides itself."""

NO_IO = {
    "leadsquared/protocol.py": {"aiohttp", "asyncio", "sqlalchemy", "os", "socket"},
    "ledger/states.py": {"aiohttp", "asyncio", "sqlalchemy", "os", "pathlib"},
    "sending/guards.py": {"aiohttp", "asyncio", "sqlalchemy", "os", "pathlib"},
    "planning/plan.py": {"aiohttp", "asyncio", "sqlalchemy", "socket"},
    "sheet/rows.py": {"aiohttp", "asyncio", "sqlalchemy", "os", "pandas"},
    "sheet/columns.py": {"aiohttp", "asyncio", "sqlalchemy", "os", "pandas"},
    "sheet/values.py": {"aiohttp", "asyncio", "sqlalchemy", "os", "pandas"},
    "leadsquared/people.py": {"aiohttp", "asyncio", "sqlalchemy", "os", "socket"},
    "planning/directory.py": {"aiohttp", "asyncio", "sqlalchemy", "os", "socket"},
}

FILES = sorted(PACKAGE.rglob("*.py"))


@cache
def imports(file: Path) -> set[str]:
    """Every module that a file names in an import, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part(module: str) -> str | None:
    """The part of batch_share that a module belongs to; `__version__` belongs to none."""
    names = module.split(".")
    return names[1] if names[0] == "batch_share" and names[1] in ALLOWED else None


def test_arrows_go_only_downward() -> None:
    upward = {}
    for file in FILES:
        own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        used = {name for module in imports(file) if (name := part(module)) is not None}
        if wrong := used - ALLOWED[own] - {own}:
            upward[str(file.relative_to(PACKAGE))] = wrong
    assert upward == {}


def test_the_command_line_uses_what_the_library_makes_public() -> None:
    """But for the ground, the words for people and the sandbox, which are nobody's secret."""
    tree = ast.parse((PACKAGE / "library.py").read_text(encoding="utf-8"))
    public = {*batch_share.__all__, *(node.name for node in tree.body if isinstance(node, ast.ClassDef))}
    rooms = {"jobs", "planning", "sending", "results", "ledger", "sheet", "leadsquared"}
    used = {
        alias.name
        for file in (PACKAGE / "cli").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and part(f"{node.module}.") in rooms
        if node.module != "batch_share.results.wording"
        for alias in node.names
    }
    assert used - public == set(), "ask the library, or make it public there"


def test_what_only_thinks_does_no_io() -> None:
    used = {name: {module.split(".")[0] for module in imports(PACKAGE / name)} & NO_IO[name] for name in NO_IO}
    assert {name: roots for name, roots in used.items() if roots} == {}


def test_only_workbooks_are_read_with_pandas() -> None:
    users = [file.relative_to(PACKAGE).as_posix() for file in FILES if "pandas" in imports(file)]
    assert users == ["sheet/excel.py"]


def test_only_the_client_notices_and_the_sandbox_speak_http() -> None:
    users = {file for file in FILES if any(module.split(".")[0] == "aiohttp" for module in imports(file))}
    assert {file.parent.name for file in users} == {"leadsquared", "page", "results", "sandbox"}
    outside = [file for file in users if file.parent.name not in {"page", "sandbox"}]
    assert {file.name for file in outside} == {"client.py", "notify.py"}


def test_no_row_fails_without_the_guard_of_failures_being_told() -> None:
    """Elsewhere a row only sets out for a step."""
    users = [file.name for file in FILES if "tally.moved(" in file.read_text(encoding="utf-8")]
    assert sorted(users) == ["calls.py", "revoke.py", "session.py"]


def test_only_the_room_of_ledgers_knows_that_a_ledger_is_a_file() -> None:
    """Everybody else asks its name."""
    users = [file for file in FILES if ".as_file()" in file.read_text(encoding="utf-8")]
    assert [file.relative_to(PACKAGE).as_posix() for file in users] == []
