"""What proves the work and makes trouble reportable, as a person asks for it: audit, verify, wire log."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from processes import FAST, SAMPLES, SandboxProcess, Shell, sandbox_thread

from batch_share.common import Rate
from batch_share.sandbox import SandboxOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    """One that allows bulk calls as fast as any."""
    rate = Rate.parse(FAST)
    with sandbox_thread(SandboxOptions(port=0, rate=rate, bulk_rate=rate, latency=0.005, processing=0.05)) as made:
        yield made


ONCE = "Proved: of 5 activities posted, LeadSquared has each once."


def test_a_run_is_proved_at_its_end_and_whenever_it_is_asked_for(
    shell: Shell, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    shutil.copy(SAMPLES / "minimal.csv", tmp_path)
    done = shell.run("run", "minimal.csv", "--event", "201", "--duration", "7d", "--yes")
    assert ONCE in done.stdout
    assert "was never tried: `batch-share verify LEAD USER` finds out." in done.stderr
    calls = sandbox.report()["total_calls"]
    assert ONCE in shell.run("status", "minimal.csv").stdout
    assert sandbox.report()["total_calls"] == calls
    assert ONCE in shell.run("status", "minimal.csv", "--audit").stdout
    assert sandbox.report()["total_calls"] > calls
    audit = json.loads(shell.run("status", "minimal.csv", "--json").stdout)["audit"]
    assert (audit["verdict"], audit["expected"], audit["seen"]) == ("proved", 5, 5)


def test_an_account_is_tried_and_what_it_does_told(shell: Shell, sandbox: SandboxProcess, tmp_path: Path) -> None:
    header, row, *_ = (SAMPLES / "minimal.csv").read_text(encoding="utf-8").splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    lead = next(cell for name, cell in cells.items() if name.startswith("Lead"))
    user = next(cell for name, cell in cells.items() if name.startswith(("User", "Sales User")))
    unasked = shell.run("verify", lead, user, "--event", "201")
    assert unasked.returncode == 1
    assert sandbox.report()["activities"] == 0
    done = shell.run("verify", lead, user, "--event", "201", "--yes", BATCH_SHARE_BULK_RATE=FAST)
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    assert "Which look-ups answer?" in told
    assert "Does an activity that is posted by itself get its owner?" in told
    assert sandbox.report()["live_shares"]["count"] == 0
    assert sandbox.report()["activities"] == 5
    (file,) = tmp_path.rglob("verify-*.json")
    assert user not in file.read_text(encoding="utf-8")
    shutil.copy(SAMPLES / "minimal.csv", tmp_path)
    done = shell.run("run", "minimal.csv", "--event", "201", "--duration", "7d", "--yes")
    assert "was never tried" not in done.stderr


def test_a_wire_log_is_written_once_and_read_by_the_sandbox_alone(shell: Shell, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "minimal.csv", tmp_path)
    asked = ("run", "minimal.csv", "--event", "201", "--duration", "7d", "--yes", "--wire-log", "trouble.jsonl")
    assert shell.run(*asked).returncode == 0
    log = (tmp_path / "trouble.jsonl").read_text(encoding="utf-8")
    assert log.count('"path": "EntityAccess.svc/Share"') == 5
    assert "asha" not in log.lower()
    again = shell.run(*asked)
    assert again.returncode == 2
    assert "trouble.jsonl is there already: name a new file" in again.stderr
    (tmp_path / "other.jsonl").write_text("{}\n", encoding="utf-8")
    done = shell.run("sandbox", "--replay", "other.jsonl")
    assert (done.returncode, done.stdout) == (2, "")
    assert "it is no wire log" in done.stderr
