"""`doctor` and `config show` as a person runs it."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

from processes import ROOT, dialogue

if TYPE_CHECKING:
    from processes import Shell


def test_an_account_that_is_well_is_reported_line_by_line_on_one_screen(shell: Shell) -> None:
    done = shell.run("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    *lines, last = done.stdout.splitlines()
    assert {line.split()[0] for line in lines} == {"ok"}
    assert last == "Everything is as a run needs it."
    command = [sys.executable, "-m", "batch_share", "doctor"]
    _, shown = dialogue(command, shell.folder, {**shell.env, "PYTHONPATH": str(ROOT)})
    shown = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert len(shown.splitlines()) <= 15
    assert max(map(len, shown.splitlines())) <= 80
    said = " ".join(shown.split())
    assert all(" ".join(line.split()[:9]) in said for line in lines)


def test_what_is_to_be_looked_at_is_counted_at_the_end(offline: Shell) -> None:
    done = offline.run("doctor")
    assert done.returncode == 1
    assert done.stdout.endswith("\n1 problem and 6 warnings to look at.\n")


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
