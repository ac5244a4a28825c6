"""The command line itself: help, version, quick answers."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from processes import SAMPLES, SandboxProcess, Shell
from readme_reference import commands

import batch_share

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {
    "aiohttp",
    "asyncio",
    "hashlib",
    "numpy",
    "pandas",
    "pydantic",
    "rich",
    "sqlalchemy",
    "tempfile",
    "xlsxwriter",
}


def test_help_imports_nothing_heavy() -> None:
    code = """
import atexit, sys
atexit.register(lambda: print(*{name.split(".")[0] for name in sys.modules}, file=sys.stderr))
from batch_share.cli.app import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert "Every day" in done.stdout
    assert not HEAVY & set(done.stderr.split())


def test_plan_and_status_wait_for_nothing_that_calls_and_a_run_only_for_what_it_uses(shell: Shell) -> None:
    code = """
import atexit, sys
until = sys.argv.pop(1)
told = []
def tell(event, _):
    if event == until and not told:
        told.append(print("imported", *{name.split(".")[0] for name in sys.modules}, file=sys.stderr))
sys.addaudithook(tell)
atexit.register(sys.audit, "the end")
from batch_share.cli.app import main
main()
"""

    def imported(until: str, *arguments: str) -> set[str]:
        command = [sys.executable, "-c", code, until, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=shell.folder, env=shell.env, check=False)
        assert done.returncode == 0, done.stderr
        return set(next(line for line in done.stderr.splitlines() if line.startswith("imported")).split())

    shutil.copy(SAMPLES / "minimal.csv", shell.folder)
    unused = {"jinja2", "keyring", "numpy", "openpyxl", "pandas", "rapidfuzz", "xlsxwriter"}
    sheet = ("minimal.csv", "--event", "201", "--duration", "7d")
    assert not imported("the end", "plan", *sheet) & {*unused, "aiohttp"}
    at_first_call = imported("socket.connect", "run", *sheet, "--yes")
    assert "aiohttp" in at_first_call
    assert not at_first_call & unused
    assert not imported("the end", "status", "minimal.csv") & {*unused, "aiohttp"}


@pytest.mark.parametrize("command", [*commands()])
def test_every_command_shows_an_example_in_its_help(command: str, offline: Shell) -> None:
    done = offline.run(*command.split(), "--help")
    assert done.returncode == 0
    assert f"Example: batch-share {command}" in " ".join(done.stdout.split())


def test_a_port_that_is_taken_is_reported(offline: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = offline.run("sandbox", "--port", str(port))
    assert done.returncode == 2
    assert f"port: {port} can't be listened on" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_variable_that_was_never_set_sends_nothing_and_takes_nothing_back(
    shell: Shell, sandbox: SandboxProcess, tmp_path: Path, blank: str
) -> None:
    shutil.copy(SAMPLES / "minimal.csv", tmp_path)
    ledger, sheets = "minimal.csv.ledger.db", {"BATCH_SHARE_EVENT": "201", "BATCH_SHARE_DURATION": "7d"}
    assert shell.run("run", "minimal.csv", "--yes", **sheets).returncode == 0
    before, files = sandbox.report(), sorted(tmp_path.iterdir())
    for command in (
        ("revoke", ledger, "--user", blank, "--yes"),
        ("revoke", ledger, "--rows", blank, "--yes"),
        ("retry", ledger, "--reason", blank, "--yes"),
        ("run", "minimal.csv", "--force", "--rows", blank, "--yes"),
        ("run", "minimal.csv", "--force", "--only", blank, "--yes"),
        ("run", "minimal.csv", "--ledger", blank, "--yes"),
        ("run", blank, "--yes"),
        ("plan", "minimal.csv", "--output", blank),
    ):
        done = shell.run(*command, **sheets)
        assert (command, done.returncode, done.stdout) == (command, 2, "")
        assert " is empty: " in done.stderr
        assert "Traceback" not in done.stderr
    assert sandbox.report()["live_shares"] == before["live_shares"]
    assert sandbox.report()["total_calls"] == before["total_calls"]
    assert sorted(tmp_path.iterdir()) == files


def test_a_setting_that_is_empty_is_reported_as_not_set(offline: Shell) -> None:
    empty = {
        "BATCH_SHARE_DAILY_LIMIT": "",
        "BATCH_SHARE_BULK": " ",
        "BATCH_SHARE_RATE": "",
        "BATCH_SHARE_CONFIG": "",
    }
    done = offline.run("config", "show", **empty)
    assert done.returncode == 0
    shown = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert (shown["rate"], shown["bulk"]) == (["25/5s", "default"], ["false", "default"])
    assert shown["daily_limit"] == ["not", "set", "default"]


def test_the_version_is_the_packages(offline: Shell) -> None:
    assert offline.run("--version").stdout == f"batch-share {batch_share.__version__}\n"
