"""The README is true: its commands run, and no command or option is missing from it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import commands
from processes import DEADLINE, FAST, ROOT, SAMPLES, SandboxProcess, sandbox_process, shell_for
from readme_reference import README, with_reference

from batch_share.cli.entry import Asked
from batch_share.errors import AccessDenied
from batch_share.ledger.files import LedgerName
from batch_share.ledger.records import Waiting
from batch_share.ledger.states import State
from batch_share.results.wording import Summary

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT = README.read_text(encoding="utf-8")
COMMANDS = [
    line.split("  #")[0].strip()
    for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def test_the_reference_names_every_command_and_option_as_they_are() -> None:
    assert with_reference(TEXT) == TEXT, "run `make reference`"


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("make")])
def test_make_knows_its_targets(command: str) -> None:
    subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


@pytest.fixture
def port() -> Iterator[str]:
    """The sandbox that the README starts, on a port of this test's own and in a hurry."""
    command = next(line for line in COMMANDS if line.startswith("batch-share sandbox"))
    options = command.removeprefix("batch-share sandbox").replace("--port 8080", "").split()
    with sandbox_process(*options, "--limit", FAST, "--latency", "5ms", "--processing", "50ms") as sandbox:
        yield sandbox.url.rpartition(":")[2]


def test_its_first_run_works_line_by_line(port: str, tmp_path: Path) -> None:
    lines = [line for line in COMMANDS if not line.startswith(("make", "batch-share sandbox"))]
    assert [line.split()[1] for line in lines if line.startswith("batch-share")] == [
        "plan", "plan", "plan", "plan", "doctor", "run", "status", "run", "resume", "follow-up", "results",
        "resume",
        "retry", "revoke", "runs", "status", "purge", "access", "access", "revoke",
        "report", "follow-up",
        "run", "resume", "watch",
    ]  # fmt: skip
    shutil.copytree(SAMPLES, tmp_path / "samples")
    env = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),  # the command may be installed from elsewhere
        "BATCH_SHARE_STATE_FOLDER": str(tmp_path),
        "BATCH_SHARE_DATA_FOLDER": str(tmp_path / "data"),
        "BATCH_SHARE_LOG_FOLDER": str(tmp_path / "log"),
        "BATCH_SHARE_RATE": FAST,
    }
    is_installed = False
    for line in (line.replace(":8080", f":{port}") for line in lines):
        name, *words = shlex.split(line)
        if name == "export":
            variable, _, value = words[0].partition("=")
            env[variable] = value
            continue
        if name == "batch-share" and is_installed:
            done = commands().run(words, tmp_path, env, DEADLINE)
        else:
            done = subprocess.run(
                ["sh", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
            )
            is_installed |= name == "batch-share"
        assert done.returncode in {0, 3}, (line, done.stderr)  # one row of the sample fails: exit code 3
    assert (tmp_path / "samples" / "leads.results.xlsx").is_file()
    assert (tmp_path / "samples" / "answered.csv").is_file()
    assert (tmp_path / "plan.xlsx").is_file()
    assert (tmp_path / "plan.json").is_file()
    assert "rows are shared." in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "told.jsonl").read_text(encoding="utf-8"))["command"] == "follow-up"


def test_the_object_of_json_is_as_it_says() -> None:
    """Every key and kind of value; those that are left away where no row waits are told last."""
    reported, stopped = [
        json.loads(text) for text in re.findall(r"^```json\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    ]
    states, file = {State(name): count for name, count in reported["states"].items()}, Path("/srv/x")
    waiting = Waiting(reported["waiting"], datetime.fromisoformat(reported["first_due"].removesuffix("Z")))
    ledger = LedgerName.of(file)
    whole = Summary(states, ledger, file, run=reported["run"], waiting=waiting, failed_sheet=file).as_json()
    assert [*whole] == [*reported]
    assert whole == reported | dict.fromkeys(("ledger", "results", "failed_sheet"), str(file))
    least = Summary(states, ledger).as_json()
    assert [*least, "waiting", "first_due"] == [*reported]
    assert {name for name in least if least[name] is None} == {"run", "results", "failed_sheet"}
    error = AccessDenied(401, "Invalid.")
    answered = Asked(stopped["command"], Path(stopped["file"])).stopped(error, 1, 0)
    assert answered | {"error": None} == stopped | {"error": None}
    assert [*answered["error"]] == [*stopped["error"]]
    assert answered["error"]["kind"] == stopped["error"]["kind"]
    assert answered["error"]["message"].startswith(stopped["error"]["message"].removesuffix("…"))


PROGRAMS = [
    each for each in re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL) if "BatchShare" in each
]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (PROGRAMS[0], ["Progress(phase=", "5 rows: 5 shared\n", "minimal.results.csv 0 None\n"]),
        (PROGRAMS[1], ["starting 0 None\n", "5 rows: 5 shared\n", "5 rows: 3 shared, 2 revoked\n"]),
    ],
    ids=["methods", "jobs"],
)
def test_its_programs_run_as_they_stand(
    sandbox: SandboxProcess, tmp_path: Path, program: str, said: list[str]
) -> None:
    shutil.copytree(SAMPLES, tmp_path / "samples")
    env = {**shell_for(sandbox, tmp_path).env, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    places = [done.stdout.find(words) for words in said]
    assert -1 not in places
    assert places == sorted(places)
