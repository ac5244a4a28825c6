"""`login` and `logout`, with a keyring of the test's own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from processes import DEADLINE, ROOT, SAMPLES

if TYPE_CHECKING:
    from pathlib import Path

    from processes import SandboxProcess, Shell

GOOD = ("sandbox-access-key", "sandbox-secret-key")


@pytest.fixture
def env(shell: Shell, tmp_path: Path) -> dict[str, str]:
    """An environment without host and keys, and with a keyring in a file."""
    ours = {name: value for name, value in shell.env.items() if not name.endswith(("_HOST", "_KEY"))}
    backend = {"PYTHON_KEYRING_BACKEND": "keyring_in_file.InFile", "TEST_KEYRING": str(tmp_path / "keyring.json")}
    return {**ours, **backend, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}


def call(env: dict[str, str], folder: Path, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command with these words on its standard input."""
    command = [sys.executable, "-m", "batch_share", *arguments]
    return subprocess.run(
        command, cwd=folder, env=env, input=said, capture_output=True, text=True, check=False, timeout=DEADLINE
    )


def test_a_run_after_a_login_needs_no_other_setting_and_after_a_logout_it_does(
    env: dict[str, str], tmp_path: Path, sandbox: SandboxProcess
) -> None:
    done = call(env, tmp_path, "login", "--stdin", said="\n".join([sandbox.url, *GOOD]))
    assert done.returncode == 0, done.stderr
    assert GOOD[0] not in done.stdout + done.stderr
    sheet = tmp_path / "minimal.csv"
    sheet.write_bytes((SAMPLES / "minimal.csv").read_bytes())
    run = ("run", str(sheet), "--event", "201", "--duration", "7d")
    assert call(env, tmp_path, *run).returncode == 0
    assert (
        call(env, tmp_path, "logout").stdout
        == f"The keys for {sandbox.url} are removed from the system's keyring.\n"
    )
    refused = call(env, tmp_path, *run)
    assert refused.returncode == 2
    assert "host: is not set" in refused.stderr
    assert call(env, tmp_path, "logout").stdout == "The system's keyring holds no keys.\n"


def test_wrong_keys_are_not_kept(env: dict[str, str], tmp_path: Path, sandbox: SandboxProcess) -> None:
    done = call(env, tmp_path, "login", "--stdin", said=f"{sandbox.url}\nwrong-access\nwrong-secret")
    assert done.returncode == 1
    assert "refused access (HTTP 401)" in done.stderr
    assert "The keys were not stored." in done.stderr
    assert not (tmp_path / "keyring.json").exists()


@pytest.mark.parametrize("backend", ["fail", "null"])
def test_a_machine_without_a_keyring_is_told_what_to_do(
    env: dict[str, str], tmp_path: Path, sandbox: SandboxProcess, backend: str
) -> None:
    env["PYTHON_KEYRING_BACKEND"] = f"keyring.backends.{backend}.Keyring"
    done = call(env, tmp_path, "login", "--stdin", said="\n".join([sandbox.url, *GOOD]))
    assert done.returncode == 1
    assert "Set BATCH_SHARE_ACCESS_KEY and BATCH_SHARE_SECRET_KEY in the environment" in done.stderr
    assert "Traceback" not in done.stderr
    assert GOOD[1] not in done.stderr


@pytest.mark.parametrize("said", ["", "one\ntwo", "a\nb\nc\nd"])
def test_anything_but_three_lines_is_refused(env: dict[str, str], tmp_path: Path, said: str) -> None:
    done = call(env, tmp_path, "login", "--stdin", said=said)
    assert done.returncode == 2
    assert "write three lines" in done.stderr
    assert "Traceback" not in done.stderr
