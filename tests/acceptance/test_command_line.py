"""The command line itself: help, version, the demo, quick answers."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from processes import SAMPLES, Shell
from readme_reference import commands

import batch_share

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {"aiohttp", "pandas", "pydantic", "sqlalchemy", "xlsxwriter", "numpy"}


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, batch_share.cli.app; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.parametrize("command", [*commands()])
def test_every_command_shows_an_example_in_its_help(command: str, offline: Shell) -> None:
    done = offline.run(*command.split(), "--help")
    assert done.returncode == 0
    assert f"Example: batch-share {command}" in " ".join(done.stdout.split())


def test_a_port_that_is_taken_is_told(offline: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = offline.run("sandbox", "--port", str(port))
    assert done.returncode == 2
    assert f"port: {port} can't be listened on" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_version_is_the_packages(offline: Shell) -> None:
    assert offline.run("--version").stdout == f"batch-share {batch_share.__version__}\n"


def test_the_demo_runs_csv_and_excel_to_their_end(offline: Shell, tmp_path: Path) -> None:
    sheets = [str(SAMPLES / name) for name in ("minimal.csv", "leads.xlsx")]
    done = offline.run("demo", *sheets, "--folder", str(tmp_path / "demo"), "--limit", "50/100ms")
    assert done.returncode == 0
    assert "5 rows" in done.stdout
    assert "40 rows" in done.stdout
    assert "0 refusals" in done.stdout
    assert len([*(tmp_path / "demo").glob("demo-*/*.results.*")]) == 2


def test_the_demo_makes_sheets_of_its_own_where_none_are_given(offline: Shell, tmp_path: Path) -> None:
    done = offline.run("demo", "--folder", str(tmp_path), "--limit", "50/100ms")
    assert done.returncode == 0
    assert "110 rows" in done.stdout
    assert "leads.xlsx, worksheet Cover: 40 rows" in done.stderr
