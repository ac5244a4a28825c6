"""Sheets in other encodings, as a person gives them to `plan` and `run`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from processes import SandboxProcess, Shell

HOW = ("--event", "201", "--duration", "7d")
CITIES = ["Köln, 50 €", "Straße", "Müller"]


def write(folder: Path, cities: list[str], encoding: str) -> None:
    lines = [
        "Lead Number;User Email;Ort",
        *(f"{869001 + at};asha.rao.1@sales.example.com;{city}" for at, city in enumerate(cities)),
    ]
    (folder / "leads.csv").write_bytes("\r\n".join(lines).encode(encoding))


@pytest.mark.parametrize("rows", [20, 30, 40, 50, 60])
def test_what_excel_writes_is_read_whatever_its_length_and_a_sample_is_reported(
    offline: Shell, tmp_path: Path, rows: int
) -> None:
    write(tmp_path, (CITIES * 20)[:rows], "cp1252")
    done = offline.run("plan", "leads.csv", *HOW)
    assert (done.returncode, f"{rows} rows" in done.stdout) == (0, True)
    assert "  read as Windows-1252: “Köln”, “€”, “Straße”\n" in done.stdout


def test_a_run_tells_it_too(shell: Shell, tmp_path: Path) -> None:
    write(tmp_path, CITIES, "cp1252")
    done = shell.run("run", "leads.csv", *HOW, "--no-follow-up", "--trust-owner")
    assert "  read as Windows-1252: “Köln”, “€”, “Straße”\n" in done.stderr
    again = shell.run("run", "leads.csv", *HOW, "--no-follow-up", "--trust-owner")
    assert "read as" not in again.stderr  # it was not read again


def test_another_encoding_is_named_and_what_is_not_of_it_is_reported_with_its_place(
    offline: Shell, tmp_path: Path
) -> None:
    write(tmp_path, ["Praha", "Plzeň", "Ťažký"], "cp1250")
    done = offline.run("plan", "leads.csv", *HOW)
    assert done.returncode == 2
    assert done.stderr.startswith("batch-share: leads.csv, row 4: column C holds a byte (0x8D)")
    assert "with --encoding, such as windows-1250" in done.stderr
    done = offline.run("plan", "leads.csv", *HOW, "--encoding", "windows-1250", "--json")
    assert json.loads(done.stdout)["notes"] == [
        "read as windows-1250: “Plzeň”, “Ťažký”",
        "cells divided by semicolons",
    ]


@pytest.mark.parametrize("command", ["plan", "run"])
def test_an_encoding_that_is_none_ends_with_exit_code_2_and_what_it_could_be(
    offline: Shell, tmp_path: Path, command: str
) -> None:
    write(tmp_path, CITIES, "cp1252")
    done = offline.run(command, "leads.csv", *HOW, "--encoding", "windows-125O")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        "encoding: 'windows-125O' is no encoding of text that is known here. Did you mean 'windows-1250'?"
        in done.stderr
    )


def test_what_was_approved_in_one_encoding_is_not_run_in_another(shell: Shell, tmp_path: Path) -> None:
    write(tmp_path, CITIES, "cp1252")
    assert shell.run("plan", "leads.csv", *HOW, "--save", "plan.json", "--encoding", "cp850").returncode == 0
    done = shell.run("run", "leads.csv", *HOW, "--plan", "plan.json")
    assert "The sheet leads.csv, or how it is read, changed since plan.json was approved" in done.stderr


def test_damage_far_down_stops_a_run_before_anything_is_sent(
    shell: Shell, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    write(tmp_path, ["Köln"] * 300 + ["HERE"], "utf-8")
    sheet = tmp_path / "leads.csv"
    sheet.write_bytes(sheet.read_bytes().replace(b"HERE", b"K\xf6ln"))
    done = shell.run("run", "leads.csv", *HOW, "--yes")
    assert done.returncode == 2
    assert "leads.csv, row 302: column C holds a byte (0xF6) that is no UTF-8" in done.stderr
    assert sandbox.report()["activities"] == 0
