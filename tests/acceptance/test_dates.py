"""Sheets with dates as people and their spreadsheets write them, given to `plan` and `run`."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from processes import SandboxProcess, Shell

NEXT = dt.datetime.now(dt.UTC).year + 1
HOW = ("--event", "201", "--timezone", "UTC")
RUN = ("--yes", "--trust-owner", "--json")
OPEN = (
    f"batch-share: leads.csv: column 'Until' leaves open whether \"03/04/{NEXT}\" (row 2) is 3 April {NEXT} or "
    f"4 March {NEXT}: say which is meant with --dates dmy or --dates mdy\n"
)


def write(folder: Path, cells: Sequence[str], header: str = "Until") -> None:
    """A sheet as Excel saves it where commas stand in numbers: with semicolons, in Windows-1252."""
    rows = (f"{869001 + at};isha.rao.2@sales.example.com;Köln;{cell}" for at, cell in enumerate(cells))
    lines = "\r\n".join([f"Lead Number;User Email;Ort;{header}", *rows, ""])
    (folder / "leads.csv").write_bytes(lines.encode("cp1252"))


def ends(folder: Path, ledger: str = "leads.csv.ledger.db") -> list[str]:
    """When the shares of its rows end, as the ledger has it."""
    with sqlite3.connect(folder / ledger) as opened:
        return [
            until[:16]
            for (until,) in opened.execute("SELECT until FROM rows WHERE until NOT NULL ORDER BY sheet_row")
        ]


def test_a_sheet_as_excel_writes_it_in_germany_is_read(shell: Shell, tmp_path: Path) -> None:
    write(tmp_path, [f"31.12.{NEXT}", f"03.04.{NEXT} 14:30", f"1. 2. {NEXT}"])
    done = shell.run("run", "leads.csv", *HOW, *RUN)
    assert done.returncode == 3
    assert json.loads(done.stdout)["states"] == {"shared": 2, "invalid": 1}
    assert ends(tmp_path) == [f"{NEXT}-12-31 23:59", f"{NEXT}-04-03 14:30"]
    assert (
        f"Row 4, Until '1. 2. {NEXT}': not a date: write 2026-12-31" in shell.run("plan", "leads.csv", *HOW).stdout
    )


def test_a_sheet_as_excel_writes_it_in_india_tells_its_order(shell: Shell, tmp_path: Path) -> None:
    write(tmp_path, [f"03-04-{NEXT}", f"05-06-{NEXT} 2:30 PM", f"31-12-{NEXT}"])
    done = shell.run("plan", "leads.csv", *HOW)
    assert (done.returncode, done.stdout.count(" is 3 April ")) == (0, 1)
    assert f'\n  "03-04-{NEXT}" is 3 April {NEXT}\n' in done.stdout
    done = shell.run("run", "leads.csv", *HOW, *RUN[:-1])
    assert f'\n  "03-04-{NEXT}" is 3 April {NEXT}\n' in done.stderr
    assert ends(tmp_path) == [f"{NEXT}-04-03 23:59", f"{NEXT}-06-05 14:30", f"{NEXT}-12-31 23:59"]


@pytest.mark.parametrize("command", ["plan", "run"])
def test_dates_that_leave_their_order_open_are_one_error(
    shell: Shell, sandbox: SandboxProcess, tmp_path: Path, command: str
) -> None:
    write(tmp_path, [f"03/04/{NEXT}", f"05/06/{NEXT}", f"07/08/{NEXT}"])
    done = shell.run(command, "leads.csv", *HOW)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", OPEN)
    assert sandbox.report()["total_calls"] == 0
    assert not (tmp_path / "leads.csv.ledger.db").exists()


def test_a_job_remembers_how_its_dates_were_read(shell: Shell, tmp_path: Path) -> None:
    write(tmp_path, [f"03/04/{NEXT}", f"05/06/{NEXT}"])
    assert shell.run("run", "leads.csv", *HOW, *RUN, "--dates", "dmy").returncode == 0
    assert shell.run("run", "leads.csv", *HOW, *RUN, "--if-changed").returncode == 0
    other = f"Lead Number,User Email,Until\n869009,isha.rao.2@sales.example.com,12/31/{NEXT}\n"
    (tmp_path / "other.csv").write_text(other)
    done = shell.run("run", "other.csv", *HOW, *RUN, "--ledger", "leads.csv.ledger.db")
    assert "leads.csv" in done.stderr  # whose ledger it is, and it learns nothing of the other
    write(tmp_path, [f"03/04/{NEXT}", f"05/06/{NEXT}", f"07/08/{NEXT}"])
    done = shell.run("plan", "leads.csv", *HOW, "--json")
    assert json.loads(done.stdout)["to_send"] == 1
    assert shell.run("run", "leads.csv", *HOW, *RUN).returncode == 0
    assert ends(tmp_path) == [f"{NEXT}-04-03 23:59", f"{NEXT}-06-05 23:59", f"{NEXT}-08-07 23:59"]
    write(tmp_path, [f"03/04/{NEXT}", f"12/31/{NEXT}"])
    for command in ("plan", "run"):
        done = shell.run(command, "leads.csv", *HOW)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "and with the day first (so it was read before): say which is meant with --dates" in done.stderr


def test_a_cell_that_contradicts_what_was_said_is_its_rows_own_error(offline: Shell, tmp_path: Path) -> None:
    write(tmp_path, [f"03/04/{NEXT}", f"31/12/{NEXT}"])
    plan = json.loads(offline.run("plan", "leads.csv", *HOW, "--json", BATCH_SHARE_DATES="mdy").stdout)
    assert (plan["to_send"], plan["notes"][-1]) == (1, f'"03/04/{NEXT}" is 4 March {NEXT}')
    assert plan["problems"] == [
        f"Row 3, Until '31/12/{NEXT}': not a date with the month first (--dates mdy): write {NEXT}-12-31"
    ]


def test_a_mapping_keeps_the_order_and_an_approval_is_held_to_it(shell: Shell, tmp_path: Path) -> None:
    write(tmp_path, [f"03/04/{NEXT}", f"31/12/{NEXT}"], header="Ende")
    named = ("--map", "Ende=Until")
    assert (
        shell.run("plan", "leads.csv", *HOW, *named, "--save-map", "map.toml", "--save", "plan.json").returncode
        == 0
    )
    assert (tmp_path / "map.toml").read_text().startswith('dates = "dmy"\n')
    write(tmp_path, [f"03/04/{NEXT}"], header="Ende")
    assert shell.run("plan", "leads.csv", *HOW, *named).returncode == 2
    done = shell.run("plan", "leads.csv", *HOW, "--map", "map.toml", "--json", "--save", "plan.json")
    assert json.loads(done.stdout)["lasting"] == {f"until {NEXT}-04-03 23:59 UTC": 1}
    said = shell.run("plan", "leads.csv", *HOW, "--map", "map.toml", "--json", "--dates", "mdy")
    assert json.loads(said.stdout)["lasting"] == {f"until {NEXT}-03-04 23:59 UTC": 1}
    done = shell.run(
        "run", "leads.csv", *HOW, "--yes", "--map", "map.toml", "--plan", "plan.json", "--dates", "mdy"
    )
    assert (done.returncode, "The setting dates changed since plan.json was approved" in done.stderr) == (1, True)
    (tmp_path / "map.toml").write_text((tmp_path / "map.toml").read_text().replace("dmy", "mdy"))
    done = shell.run("run", "leads.csv", *HOW, "--yes", "--map", "map.toml", "--plan", "plan.json")
    assert "or how it is read, changed since plan.json" in done.stderr
    (tmp_path / "map.toml").write_text((tmp_path / "map.toml").read_text().replace('"mdy"', '["dmy"]'))
    done = shell.run("plan", "leads.csv", *HOW, "--map", "map.toml")
    assert (done.returncode, done.stderr) == (
        2,
        "batch-share: map: map.toml says of dates something else than “dmy” or “mdy”\n",
    )


def test_an_end_may_be_said_for_the_whole_run(shell: Shell, tmp_path: Path) -> None:
    write(tmp_path, [f"03.04.{NEXT}", ""])
    done = shell.run("run", "leads.csv", *HOW, *RUN, "--until", f"31/12/{NEXT}")
    assert (done.returncode, ends(tmp_path)) == (0, [f"{NEXT}-04-03 23:59", f"{NEXT}-12-31 23:59"])
    (tmp_path / "batch-share.toml").write_text(f"until = {NEXT}-12-31\n")
    lasting = json.loads(shell.run("plan", "leads.csv", *HOW, "--json").stdout)["lasting"]
    assert lasting == {}  # all were sent, and nothing has changed


@pytest.mark.parametrize(
    ("given", "reported"),
    [
        (("--until", f"03/04/{NEXT}"), f"3 April {NEXT} or 4 March {NEXT}? Write {NEXT}-04-03 or {NEXT}-03-04"),
        (("--until", "soon"), "not a date: write 2026-12-31, or 2026-12-31 18:00"),
        (("--until", f"31/12/{NEXT}", "--duration", "7d"), "the duration is set too, which says how long already"),
        (("--dates", "ymd"), "should be 'dmy' or 'mdy'"),
    ],
)
def test_what_makes_no_sense_for_a_whole_run_is_refused_in_a_line(
    offline: Shell, tmp_path: Path, given: Sequence[str], reported: str
) -> None:
    write(tmp_path, [f"31.12.{NEXT}"])
    for command in ("plan", "run"):
        done = offline.run(command, "leads.csv", *HOW, *given)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert reported in done.stderr


def test_next_week_s_dates_are_read_as_they_were_said_or_asked_about(shell: Shell, tmp_path: Path) -> None:
    weeks = [("a.csv", f"03/04/{NEXT}"), ("b.csv", f"05/06/{NEXT}"), ("c.csv", f"12/31/{NEXT}")]
    for name, cell in weeks:
        write(tmp_path, [cell, f"04/05/{NEXT}"])
        text = (tmp_path / "leads.csv").read_bytes().replace(b"Lead Number", b"Kunde")
        (tmp_path / name).write_bytes(text)
    said = ("--map", "Kunde=Lead Number", "--set", "dates=dmy")
    assert shell.run("run", "a.csv", *HOW, *RUN, *said).returncode == 0
    second = shell.run("run", "b.csv", *HOW, *RUN)
    assert second.returncode == 0
    assert ends(tmp_path, "b.csv.ledger.db") == [f"{NEXT}-06-05 23:59", f"{NEXT}-05-04 23:59"]
    planned = shell.run("plan", "b.csv", *HOW).stdout
    assert "columns as last time: Kunde → Lead Number; in dates the day first\n" in planned
    third = shell.run("run", "c.csv", *HOW, *RUN)
    assert third.returncode == 2
    assert "and with the day first (so it was read before): say which is meant with --dates" in third.stderr
