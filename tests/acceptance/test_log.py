"""The log of the command line."""

from __future__ import annotations

import json
import shutil
import stat
from typing import TYPE_CHECKING

from processes import SAMPLES

if TYPE_CHECKING:
    from pathlib import Path

    from processes import Shell


def test_a_run_is_logged_and_shown_and_goes_on_where_no_log_can_be(shell: Shell, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "minimal.csv", tmp_path / "leads.csv")
    command = ("run", "leads.csv", "--event", "201", "--duration", "7d", "--yes")
    shown = shell.run(*command, "--verbose", BATCH_SHARE_LOG_LEVEL="debug")
    file = tmp_path / "log" / "batch-share.log"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    events = [line["event"] for line in lines]
    # Before it begins, it is asked which account the key is of.
    assert (*events[:2], events[-1]) == ("called", "started", "ended")
    assert lines[-1]["rows"] == {"shared": 5}
    assert all(len(line["account"]) == 16 for line in lines)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "sandbox-secret-key" not in file.read_text(encoding="utf-8") + shown.stderr
    assert "Z info    started " in shown.stderr
    assert "Z debug   called " in shown.stderr
    without = shell.run(*command, BATCH_SHARE_LOG_FOLDER=str(tmp_path / "leads.csv" / "log"))
    assert without.returncode == 0
    assert without.stderr.count("No log is written") == 1
    assert "started " not in without.stderr


def test_what_a_retry_and_an_undo_do_is_shown_and_logged(shell: Shell, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "minimal.csv", tmp_path / "leads.csv")
    shell.run("run", "leads.csv", "--event", "201", "--duration", "7d", "--yes")
    file = tmp_path / "log" / "batch-share.log"
    for command, to_do in (("retry", {}), ("revoke", {"to_revoke": 5})):
        file.unlink()
        shown = shell.run(command, "leads.csv.ledger.db", "--yes", "--verbose")
        assert shown.returncode == 0, shown.stderr
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        (planned,) = [line for line in lines if line["event"] == "planned"]
        assert (planned["command"], planned["rows"], planned["to_do"]) == (command, {"shared": 5}, to_do)
        assert "Z info    planned " in shown.stderr
    assert "planned " not in shell.run("revoke", "leads.csv.ledger.db", "--yes").stderr
