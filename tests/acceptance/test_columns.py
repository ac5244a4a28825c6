"""A sheet in its own language, week after week: told once what its columns and words mean, then never again."""

from __future__ import annotations

import json
import shlex
import sqlite3
from typing import TYPE_CHECKING

import openpyxl
import pytest

from batch_share.sandbox import World
from batch_share.sandbox.sheets import active_users

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from processes import Shell

HEADERS = ("Kontakt E-Mail", "Telefon", "Neuer Betreuer", "Zugriff", "Dauer")
MAPPING = """
[columns]
"Kontakt E-Mail" = "Lead Email"
"Neuer Betreuer" = "User Email"
"Zugriff" = "Access"
"Dauer" = "Duration"

[words]
lesen = "read"
schreiben = "write"
Wochen = "weeks"
Tage = "days"
"""
AS_LAST_TIME = (
    "  columns as last time: Kontakt E-Mail → Lead Email, Neuer Betreuer → User Email, Zugriff → Access, "
    "Dauer → Duration; words: lesen → read, schreiben → write, wochen → weeks, tage → day\n"
)
RUN = ("--event", "201", "--yes", "--trust-owner")


def write(
    file: Path, first: int, headers: Sequence[str] = HEADERS, access: Sequence[str] = ("lesen", "Schreiben")
) -> None:
    """Four leads under a title, in a workbook or as a German Excel saves its CSV."""
    world = World()
    users = active_users(world)
    rows = [
        [lead.email, lead.phone, users[at % 2].email, access[at % 2], ("3 Wochen", "10 Tage")[at % 2]]
        for at, lead in enumerate(world.leads[first : first + 4])
    ]
    table = [["Übergabe der Woche"], [], list(headers), *rows]
    if file.suffix == ".csv":
        lines = [";".join([*cells, *[""] * (len(HEADERS) - len(cells))]) for cells in table]
        file.write_bytes("\r\n".join([*lines, ""]).encode("cp1252"))
        return
    book = openpyxl.Workbook()
    for cells in table:
        book.worksheets[0].append(cells)
    book.save(file)


def shares(folder: Path, sheet: str) -> list[tuple[int, int]]:
    """The access and the minutes of each share, as the ledger has them."""
    with sqlite3.connect(folder / f"{sheet}.ledger.db") as opened:
        return opened.execute("SELECT access, duration FROM rows ORDER BY sheet_row").fetchall()


@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_next_week_s_sheet_needs_no_option(shell: Shell, tmp_path: Path, suffix: str) -> None:
    weeks = [f"kw{week}.{suffix}" for week in (47, 48)]
    for at, name in enumerate(weeks):
        write(tmp_path / name, 4 * at)
    (tmp_path / "map.toml").write_text(MAPPING, encoding="utf-8")

    refused = shell.run("run", weeks[0], *RUN)
    assert refused.returncode == 2
    assert '--map "Kontakt E-Mail=Lead Email"' in refused.stderr
    assert '--map "Neuer Betreuer=User Email"' in refused.stderr
    first = shell.run("run", weeks[0], *RUN, "--map", "map.toml")
    assert (first.returncode, "as last time" in first.stderr) == (0, False)

    planned = shell.run("plan", weeks[1], "--event", "201")
    assert (planned.returncode, planned.stdout.count(AS_LAST_TIME)) == (0, 1)
    second = shell.run("run", weeks[1], *RUN)
    assert (second.returncode, second.stderr.count(AS_LAST_TIME)) == (0, 1)
    for name in weeks:
        assert shares(tmp_path, name) == [(1, 3 * 7 * 1440), (2, 10 * 1440)] * 2
    # The first week's sheet itself goes on as it was read.
    again = shell.run("run", weeks[0], *RUN, "--json")
    assert (again.returncode, json.loads(again.stdout)["states"]) == (0, {"shared": 4})


def test_what_was_not_run_with_or_has_other_headers_is_not_read_so(shell: Shell, tmp_path: Path) -> None:
    for at, name in enumerate(["a.csv", "b.csv"]):
        write(tmp_path / name, 4 * at)
    (tmp_path / "map.toml").write_text(MAPPING, encoding="utf-8")
    assert shell.run("plan", "a.csv", "--event", "201", "--map", "map.toml").returncode == 0
    assert shell.run("plan", "b.csv", "--event", "201").returncode == 2
    assert shell.run("run", "a.csv", *RUN, "--map", "map.toml").returncode == 0
    assert shell.run("plan", "b.csv", "--event", "201").returncode == 0
    write(tmp_path / "c.csv", 8, [*HEADERS[:2], "Betreuer neu", *HEADERS[3:]])
    assert shell.run("run", "c.csv", *RUN).returncode == 2
    # What is said now wins, as a whole.
    planned = shell.run(
        "plan", "b.csv", "--event", "201", "--duration", "7d", "--json",
        "--map", "Neuer Betreuer=Sales User", "--map", "Telefon=Lead Phone",
    )  # fmt: skip
    said = json.loads(planned.stdout)
    assert said["columns"] == {"Telefon": "Lead Phone", "Neuer Betreuer": "Sales User"}
    assert not any("as last time" in note for note in said["notes"])


def test_a_word_more_is_told_beside_what_is_remembered(shell: Shell, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", 0)
    write(tmp_path / "b.csv", 4, access=("ansehen", "lesen"))
    (tmp_path / "map.toml").write_text(MAPPING, encoding="utf-8")
    shell.run("run", "a.csv", *RUN, "--map", "map.toml")
    short = shell.run("run", "b.csv", *RUN)
    assert short.returncode == 3
    assert (
        "Zugriff 'ansehen': not an access: write read, write, 1 or 2, or map the word (lesen=read)" in short.stdout
    )
    mended = shell.run("run", "b.csv", *RUN, "--map", "Ansehen=read")
    assert (mended.returncode, "not an access" in mended.stdout) == (0, False)
    write(tmp_path / "c.csv", 8, access=("ansehen", "lesen"))
    assert shell.run("run", "c.csv", *RUN).returncode == 0


def test_where_it_is_damaged_the_columns_are_asked_for_again(shell: Shell, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", 0)
    (tmp_path / "map.toml").write_text(MAPPING, encoding="utf-8")
    shell.run("run", "a.csv", *RUN, "--map", "map.toml")
    (file,) = tmp_path.rglob("mappings.json")
    file.write_text("{", encoding="utf-8")
    refused = shell.run("plan", "a.csv", "--event", "201")
    assert refused.returncode == 2
    assert "no column for the lead and the user" in refused.stderr
    assert "mappings.json (it is damaged)" in refused.stderr


def test_a_column_that_holds_something_else_than_it_says_is_one_line(offline: Shell, tmp_path: Path) -> None:
    rows = [f"+91-98100000{at},isha.rao.2@sales.example.com" for at in range(10, 70)]
    (tmp_path / "leads.csv").write_text("\n".join(["Lead Email,New Owner", *rows, ""]), encoding="utf-8")
    done = offline.run("plan", "leads.csv", "--event", "201", "--duration", "7d")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "batch-share: leads.csv: column 'Lead Email' holds phone numbers ('+91-9810000010', …), so it is not "
        'the Lead Email: say what it is with --map "Lead Email=Lead Phone" or --map "Lead Email=ignore"\n'
    )
    assert (
        offline.run(
            "plan", "leads.csv", "--event", "201", "--duration", "7d", "--map", "Lead Email=Lead Phone"
        ).returncode
        == 0
    )


def test_a_plan_ends_with_the_mapping_that_its_run_needs(shell: Shell, tmp_path: Path) -> None:
    world = World()
    rows = [f"{lead.number},{active_users(world)[0].email}" for lead in world.leads[:2]]
    (tmp_path / "reps.csv").write_text("\n".join(["Lead Number,Sales Rep", *rows, ""]), encoding="utf-8")
    planned = shell.run("plan", "reps.csv", "--event", "201", "--duration", "7d", "--online")
    last = planned.stdout.splitlines()[-1]
    assert '--map "Sales Rep=' in last
    done = shell.run(*shlex.split(last)[1:], "--yes")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "All 2 rows are shared.")
