"""Who has access now, and taking it all back, as a person asks for them: two sheets through the sandbox."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

from processes import SAMPLES, SandboxProcess, Shell

if TYPE_CHECKING:
    from pathlib import Path


def test_who_has_access_is_told_without_a_call(shell: Shell, sandbox: SandboxProcess, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "minimal.csv", tmp_path)
    assert shell.run("access").stdout == "Nobody has access by a share that this machine knows.\n"
    assert shell.run("run", "minimal.csv", "--event", "201", "--duration", "7d", "--yes").returncode == 0
    calls = sandbox.report()["total_calls"]

    done = shell.run("access")
    assert done.returncode == 0
    first, *rest = done.stdout.splitlines()
    ends = r"the first share ends \d{4}-\d\d-\d\d \d\d:\d\d [+\w-]+"
    assert re.fullmatch(rf"5 leads are shared with 3 users; {ends}\.", first)
    assert len(rest) == 7
    assert "on other machines" in done.stderr

    found = json.loads(shell.run("access", "--json").stdout)
    assert [each["row"] for each in found["shares"]] == [2, 3, 4, 5, 6]
    one = found["shares"][0]
    assert (one["sheet"], one["ledger"]) == ("minimal.csv", str(tmp_path / "minimal.csv.ledger.db"))
    assert one["ends"].endswith("Z")
    user = one["user_email"] or one["user"]
    theirs = json.loads(shell.run("access", "--user", user.upper(), "--json").stdout)["shares"]
    assert theirs == [each for each in found["shares"] if each["user"] == one["user"]]
    by_lead = json.loads(shell.run("access", "--lead", one["lead"], "--json").stdout)["shares"]
    assert by_lead == [one]
    assert json.loads(shell.run("access", "--ending", "6d", "--json").stdout)["shares"] == []
    assert shell.run("access", "--ending", "soon").returncode == 2
    assert sandbox.report()["total_calls"] == calls
