"""`doctor` and `config show` as a person runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from processes import Shell


def test_an_account_that_is_well_is_reported_line_by_line(shell: Shell) -> None:
    done = shell.run("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"ok"}


def test_a_host_that_is_not_there_is_a_problem_and_reported_at_once(offline: Shell) -> None:
    done = offline.run("doctor", "--json")
    assert done.returncode == 1
    reported = json.loads(done.stdout)
    assert reported["problems"] == 1
    assert [each["check"] for each in reported["checks"] if each["level"] == "problem"] == ["keys"]
    assert "sandbox-secret-key" not in done.stdout + done.stderr


def test_what_is_in_force_is_shown_without_the_keys(offline: Shell) -> None:
    done = offline.run("config", "show")
    assert done.returncode == 0
    lines = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert lines["secret_key"] == ["set", "environment"]
    assert lines["bulk"] == ["false", "default"]
    reported = json.loads(offline.run("config", "show", "--json").stdout)
    assert reported["access_key"] == {"value": True, "from": "environment"}
    assert "sandbox-" not in done.stdout + json.dumps(reported)
