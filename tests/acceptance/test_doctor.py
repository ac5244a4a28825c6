"""`doctor` as a person runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from processes import Shell


def test_an_account_that_is_well_is_told_line_by_line(shell: Shell) -> None:
    done = shell.run("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"ok"}


def test_a_host_that_is_not_there_is_a_problem_and_told_at_once(offline: Shell) -> None:
    done = offline.run("doctor", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["problems"] == 1
    assert [each["check"] for each in told["checks"] if each["level"] == "problem"] == ["keys"]
    assert "sandbox-secret-key" not in done.stdout + done.stderr
