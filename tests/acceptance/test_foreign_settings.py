"""Settings beside a sheet that somebody else may have written: no call is made, and every command says why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from processes import SandboxProcess, Shell, sandbox_thread, shell_for

from batch_share.sandbox import SandboxOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIXED = "check what it says, then `chmod go-w .env`"


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[SandboxProcess]:
    """Where keys are lured to."""
    with sandbox_thread(SandboxOptions(port=0, latency=0.0)) as sandbox:
        yield sandbox


@pytest.fixture
def shell(elsewhere: SandboxProcess, tmp_path: Path) -> Shell:
    """Keys in the environment, and a host that anybody may have written beside the sheet."""
    whole = shell_for(elsewhere, tmp_path)
    (tmp_path / ".env").write_text(f"BATCH_SHARE_HOST={elsewhere.url}\nBATCH_SHARE_FORCE=true\n", encoding="utf-8")
    (tmp_path / ".env").chmod(0o666)
    (tmp_path / "leads.csv").write_text(
        "Lead Number,User Email\n100001,user1@sales.example.com\n", encoding="utf-8"
    )
    return Shell(tmp_path, {name: value for name, value in whole.env.items() if name != "BATCH_SHARE_HOST"})


@pytest.mark.parametrize(
    "command",
    [
        ("run", "leads.csv", "--event", "201", "--yes"),
        ("plan", "leads.csv", "--online"),
        ("config", "show"),
        ("watch", ".", "--once"),
        ("resume", "leads.csv.ledger.db"),
    ],
)
def test_no_key_goes_where_a_file_says_that_others_can_write(
    shell: Shell, elsewhere: SandboxProcess, command: tuple[str, ...]
) -> None:
    done = shell.run(*command)
    assert done.returncode == 2
    assert f".env: it sets force, host, but others can write it: {FIXED}" in done.stderr
    assert elsewhere.report()["total_calls"] == 0


def test_doctor_says_the_same_and_makes_no_call(shell: Shell, elsewhere: SandboxProcess) -> None:
    done = shell.run("doctor", "--json")
    found = {each["check"]: each for each in json.loads(done.stdout)["checks"]}
    assert (done.returncode, found["settings"]["level"]) == (1, "problem")
    assert FIXED in found["settings"]["words"]
    assert found[".env"]["level"] == "warning"
    assert elsewhere.report()["total_calls"] == 0


def test_once_it_is_fixed_it_counts(shell: Shell, elsewhere: SandboxProcess) -> None:
    (shell.folder / ".env").chmod(0o600)
    shown = json.loads(shell.run("config", "show", "--json").stdout)
    assert (shown["host"], shown["force"]["from"]) == ({"value": elsewhere.url, "from": ".env"}, ".env")


def test_a_host_that_only_looks_like_leadsquareds_is_refused_by_every_command(shell: Shell) -> None:
    (shell.folder / ".env").unlink()
    env = {"BATCH_SHARE_HOST": "https://api.leadsquared.com.evil.example", "BATCH_SHARE_GRACE": "5s"}
    words = "host: keys go to no host but leadsquared.com's and this machine"
    assert words in shell.run("run", "leads.csv", "--event", "201", **env).stderr
    assert words in shell.run("config", "show", **env).stderr
    assert words in shell.run("doctor", **env).stdout
    shown = shell.run("config", "show", **env, BATCH_SHARE_ALLOW_HOST=env["BATCH_SHARE_HOST"])
    assert (shown.returncode, "evil" in shown.stdout) == (0, True)
