"""The process that parses a workbook: within its limits, without keys, and gone when nobody asks any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from hostile import HEAD, long, wide
from processes import ROOT, wait_until

from batch_share.errors import SheetError
from batch_share.settings import SheetLimits
from batch_share.sheet import workbook
from batch_share.sheet.reader import ReadOptions, read_sheet
from batch_share.sheet.table import DAMAGED, SAVE_AS

pytestmark = pytest.mark.usefixtures("parsed_apart")
LINUX = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Every process that was started for a workbook."""
    found: list[subprocess.Popen[bytes]] = []

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        found.append(subprocess.Popen(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(workbook, "subprocess", _With(start))
    return found


class _With:
    """The module `subprocess` with another Popen."""

    def __init__(self, start: Any) -> None:
        self.Popen = start

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)


def book(path: Path, rows: int = 1) -> Path:
    with xlsxwriter.Workbook(path) as made:
        page = made.add_worksheet("One")
        page.write_row(0, 0, HEAD)
        for number in range(1, rows + 1):
            page.write_row(number, 0, [number, "a@x.com", "Pune"])
    return path


def refusal(path: Path, **limits: int) -> str:
    with pytest.raises(SheetError) as caught:
        read_sheet(path, ReadOptions(limits=SheetLimits(**limits)))
    return caught.value.wrong


# ----------------------------------------------------------------------------------------------------- limits


@POSIX
@pytest.mark.parametrize("memory_mb", [600, 60])
def test_a_workbook_takes_no_more_memory_than_it_may(
    memory_mb: int, started: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """Within the lesser not even its parser has room, which says nothing of the workbook."""
    limit = f"{memory_mb} MB (sheet.memory_mb)"
    reported = f"damaged, or too large to be read within {limit}: {SAVE_AS}"
    assert refusal(wide(tmp_path / "leads.xlsx"), memory_mb=memory_mb) == reported
    assert None not in [process.returncode for process in started]


def test_a_workbook_takes_no_more_time_than_it_may(started: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    path = long(tmp_path / "leads.ods")
    limit = "1 s (sheet.seconds)"
    assert refusal(path, seconds=1) == f"damaged, or too large to be read within {limit}: {SAVE_AS}"
    assert [process.returncode for process in started] == [-signal.SIGKILL]


def test_a_workbook_takes_no_more_room_than_it_may(started: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    reported = "its cells hold more than can be taken in; the limit is 9 MB (sheet.unpacked_mb)"
    assert refusal(long(tmp_path / "leads.ods"), unpacked_mb=9) == reported
    assert [process.returncode for process in started] == [-signal.SIGKILL]


def test_a_row_is_no_longer_than_it_may_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(workbook, "_LONGEST", 100)
    with xlsxwriter.Workbook(tmp_path / "leads.xlsx") as made:
        made.add_worksheet("One").write(0, 0, "x" * 1000)
    assert refusal(tmp_path / "leads.xlsx").startswith("its cells hold more than can be taken in; ")


def test_no_room_in_the_temporary_folder_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Full(workbook._Rows):
        def add(self, line: bytes) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(workbook, "_Rows", Full)
    reported = "no room for its rows in the temporary folder (No space left on device)"
    assert refusal(book(tmp_path / "leads.xlsx")) == reported


def test_a_process_that_cannot_be_started_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    reported = "no process could be started to read it (No such file or directory)"
    assert refusal(book(tmp_path / "leads.xlsx")) == reported


# --------------------------------------------------------------------------------------------------- the end


def test_nobody_parses_any_more_once_a_sheet_is_read_or_refused(
    started: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    sheet = read_sheet(book(tmp_path / "leads.xlsx"))
    with pytest.raises(SheetError) as caught:
        read_sheet(book(tmp_path / "leads.xlsx"), ReadOptions(worksheet="Two"))
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 2
    assert [*sheet.rows()]
    assert caught.value.wrong == "it has no worksheet 'Two', only 'One'"


def test_its_rows_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    sheet = read_sheet(book(tmp_path / "leads.xlsx", 10_000))
    assert len([*sheet.rows()]) == 10_000
    del sheet
    assert [*temporary.iterdir()] == []


@LINUX
def test_it_ends_with_whoever_asked_it(tmp_path: Path) -> None:
    asking = (
        "import sys, time; from pathlib import Path; from batch_share.settings import SheetLimits;"
        "from batch_share.sheet.workbook import _Parser; parser = _Parser(Path(sys.argv[1]), SheetLimits());"
        "parser.__enter__(); print(parser._process.pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", asking, str(long(tmp_path / "leads.ods"))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        parser = Path("/proc", process.stdout.readline().strip())
        assert b"batch_share.sheet.parsing" in (parser / "cmdline").read_bytes()
        process.kill()
    wait_until(lambda: not parser.exists() or "Z (zombie)" in (parser / "status").read_text())


@POSIX
def test_ctrl_c_does_not_reach_it(tmp_path: Path) -> None:
    with workbook._Parser(book(tmp_path / "leads.xlsx"), SheetLimits()) as parser:
        assert os.getpgid(parser._process.pid) != os.getpgrp()


# ---------------------------------------------------------------------------------------------- what it is given


@LINUX
def test_it_has_no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BATCH_SHARE_SECRET_KEY", "very-secret")
    monkeypatch.setenv("ORDINARY", "ordinary")
    with workbook._Parser(book(tmp_path / "leads.xlsx"), SheetLimits()) as parser:
        parser.worksheets()
        environment = Path(f"/proc/{parser._process.pid}/environ").read_bytes()
    assert b"ordinary" in environment
    assert b"very-secret" not in environment


def test_nothing_of_the_current_folder_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = book(tmp_path / "leads.xlsx")
    for name in ("json", "pandas", "python_calamine", "batch_share"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    assert len([*read_sheet(path).rows()]) == 1


def test_it_knows_the_ways_to_modules_that_this_process_knows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "xlrd.py").write_text("raise MemoryError")
    (tmp_path / "leads.xls").write_bytes(b"\t\x08")
    assert refusal(tmp_path / "leads.xls") == DAMAGED
    monkeypatch.syspath_prepend(tmp_path)
    assert refusal(tmp_path / "leads.xls").startswith("damaged, or too large to be read within ")


# -------------------------------------------------------------------------------------------------- its rows


def test_rows_are_read_as_often_as_they_are_wanted_and_at_once(tmp_path: Path) -> None:
    sheet = read_sheet(book(tmp_path / "leads.xlsx", 5000))
    one, other = sheet.rows(), sheet.rows()
    assert next(one).number == 2
    assert [row.number for row in other] == [*range(2, 5002)]
    assert [row.number for row in one] == [*range(3, 5002)]
    found: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: found.append([row.number for row in sheet.rows()])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[*range(2, 5002)]] * 4


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two worksheets, the first of which is cut off in its middle."""
    path = tmp_path / "leads.xlsx"
    with xlsxwriter.Workbook(path) as made:
        for name in ("One", "Two"):
            page = made.add_worksheet(name)
            page.write_row(0, 0, HEAD)
            page.write_row(1, 0, [7, "a@x.com", name])
    with zipfile.ZipFile(path) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    first = "xl/worksheets/sheet1.xml"
    parts[first] = parts[first][: len(parts[first]) // 2]
    with zipfile.ZipFile(path, "w") as out:
        for name, content in parts.items():
            out.writestr(name, content)
    return path


def test_a_worksheet_that_is_damaged_is_reported_unless_another_can_be_read(two: Path) -> None:
    (row,) = read_sheet(two).rows()
    assert row.cells == ["7", "a@x.com", "Two"]
    with pytest.raises(SheetError) as caught:
        read_sheet(two, ReadOptions(worksheet="One"))
    assert caught.value.wrong == DAMAGED
