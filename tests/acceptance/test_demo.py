"""The demo, as `make demo` runs it: its one screen, the files to open, and what can be tried on it afterwards."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from processes import DEADLINE, ROOT, SAMPLES, Shell, Started, dialogue

if TYPE_CHECKING:
    from pathlib import Path

HURRY = ("--limit", "50/100ms")
SHEETS = ("samples/leads.csv", "samples/leads.xlsx")
FILES = ["demo/leads.results.xlsx", "demo/leads.failed.xlsx", "demo/leads.report.html"]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A shell's that knows no setting, in a folder that has the samples, and the command where make installs it."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    shutil.copytree(SAMPLES, tmp_path / "samples")
    return {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}


def test_one_screen_says_what_became_of_the_sheets_which_files_to_open_and_the_next_command(
    env: dict[str, str], tmp_path: Path
) -> None:
    command = [".venv/bin/batch-share", "demo", *SHEETS, *HURRY]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) <= 14  # and one of make's
    assert max(map(len, lines)) <= 80
    assert "  leads.csv, 110 rows: 10" in done.stdout
    assert "  leads.xlsx, 40 rows: 3" in done.stdout
    assert " 0 refused; 141 activities, 0 of them twice." in done.stdout
    assert [line.split()[0] for line in lines if line.startswith("  demo/")] == FILES
    assert all((tmp_path / name).stat().st_size for name in FILES)
    assert lines[-1] == "  .venv/bin/batch-share demo --keep"


def test_one_that_is_kept_is_there_until_ctrl_c_for_every_command_that_it_names(
    env: dict[str, str], tmp_path: Path
) -> None:
    command = [".venv/bin/batch-share", "demo", *SHEETS, *HURRY, "--keep"]
    with Started(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        lines: list[str] = []
        while not (lines and "revoke" in lines[-1]):
            lines.append(demo.stdout.readline())
            assert lines[-1]
        assert len(lines) <= 14
        first = next(number for number, line in enumerate(lines) if "until Ctrl-C" in line) + 1
        settings, *others = (line.strip() for line in lines[first:])
        assert [line.split()[1] for line in others] == ["access", "run", "retry", "revoke"]
        # Whose environment has the keys of a real account keeps them from it.
        real = {"BATCH_SHARE_HOST": "https://api.leadsquared.com", "BATCH_SHARE_ACCESS_KEY": "real"}
        codes = {}
        for line in others:
            shell = ["/bin/sh", "-c", f"{settings}\n{line}"]
            codes[line.split()[1]], _ = dialogue(shell, tmp_path, env | real, ("(y/N)", "y"))
        # Some rows stay wrong, which is nothing to a retry of others; some shares can't be revoked.
        assert codes == {"access": 0, "run": 3, "retry": 0, "revoke": 3}
        demo.send_signal(signal.SIGINT)
        assert demo.wait(DEADLINE) == 0


def test_make_keeps_it_where_that_is_asked_for() -> None:
    said = {
        keep: subprocess.run(
            ["make", "--no-print-directory", "demo", *keep, "--dry-run"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for keep in ((), ("KEEP=1",))
    }
    assert "--keep" not in said[()]
    assert said[("KEEP=1",)].endswith(f"demo {' '.join(SHEETS)} --keep\n")


def test_a_second_demo_leaves_the_files_of_the_first_as_they_are(offline: Shell, tmp_path: Path) -> None:
    for folder in ("demo", "demo-2"):
        done = offline.run("demo", str(SAMPLES / "minimal.csv"), *HURRY)
        assert done.returncode == 0
        assert "  minimal.csv, 5 rows: " in done.stdout
        assert f"  {folder}/minimal.results.csv " in done.stdout
        assert (tmp_path / folder / "minimal.results.csv").is_file()


def test_two_sheets_of_one_name_both_run(offline: Shell, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(SAMPLES / "leads.csv", tmp_path / name)
    (tmp_path / "a" / "leads.csv").write_text("Lead Number,User Email\n")
    done = offline.run("demo", "a/leads.csv", "b/leads.csv", "--folder", "new", *HURRY)
    assert done.returncode == 2
    assert "leads.csv: the sheet is empty" in done.stderr
    sizes = {file.name: file.stat().st_size for file in (tmp_path / "new").glob("leads*.csv")}
    assert sizes == {"leads.csv": 23, "leads-2.csv": (SAMPLES / "leads.csv").stat().st_size}


def test_it_makes_sheets_of_its_own_where_none_are_given(offline: Shell) -> None:
    done = offline.run("demo", *HURRY)
    assert done.returncode == 0
    assert "  leads.csv, 110 rows: " in done.stdout
    assert "  leads.xlsx, 40 rows: " in done.stdout
