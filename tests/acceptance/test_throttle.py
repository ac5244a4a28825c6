"""An account that wants no call for a day, as a person or a script meets it."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from processes import SAMPLES, SandboxProcess, Shell, sandbox_thread, shell_for

from batch_share.common import Rate
from batch_share.sandbox import SandboxOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = 43_200.0


@pytest.fixture
def strict() -> Iterator[SandboxProcess]:
    """A sandbox that allows 60 calls in two seconds, and closes for half a day after one too many."""
    reported = SandboxOptions(port=0, rate=Rate(60, 2.0), retry_after=SECONDS, processing=0.05)
    with sandbox_thread(reported) as made:
        yield made


def test_a_run_says_until_when_and_the_next_makes_no_call_unless_a_rate_is_given(
    strict: SandboxProcess, tmp_path: Path
) -> None:
    shell: Shell = shell_for(strict, tmp_path)
    shutil.copy(SAMPLES / "leads.csv", tmp_path / "other.csv")
    shutil.copy(SAMPLES / "leads.csv", tmp_path)
    done = shell.run("run", "leads.csv", "--limit", "40", "--yes", "--json")
    assert done.returncode == 1
    reported = json.loads(done.stdout)
    until = datetime.fromisoformat(reported["waiting_until"])
    assert (until - datetime.now(UTC)).total_seconds() == pytest.approx(SECONDS, abs=60)
    then = f"{until.astimezone():%Y-%m-%d %H:%M:%S %Z}"
    assert f"Stopped: LeadSquared takes no calls of this account until {then}: " in done.stderr
    calls = strict.report()["total_calls"]
    for command in (
        ("run", "leads.csv", "--limit", "40", "--yes"),
        ("run", "leads.csv", "--limit", "40", "--yes", "--one-line"),
        ("run", "other.csv", "--yes"),
        ("resume", reported["ledger"], "--yes"),
        ("follow-up", reported["ledger"]),
        ("plan", "other.csv", "--online"),
    ):
        done = shell.run(*command)
        assert done.returncode == 1
        assert f"until {then}, as it told an earlier run." in done.stderr
        assert "With --rate 25/5s (or --force) it calls before then" in done.stderr
    assert f"until {then}" in shell.run("doctor").stdout
    assert strict.report()["total_calls"] == calls
    done = shell.run("resume", reported["ledger"], "--yes", "--json", "--rate", "50/2s")
    assert json.loads(done.stdout)["states"]["shared"] > 30
    assert "waiting_until" not in json.loads(done.stdout)
