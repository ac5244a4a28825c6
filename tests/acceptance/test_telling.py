"""`report` and `--notify` as a person uses them: files beside the sheet, a webhook on this machine."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from processes import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from processes import Pause, Shell


TOKEN = "T0Xw3LqVzK5HyMbU1Rj"
SHEET = """Lead Number,User Email,Customer
869400,isha.rao.2@sales.example.com,Secret Customer
869401,nobody@x.example,B
"""


@contextmanager
def hook(status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook in a thread: its URL, and what it was sent."""
    reported: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            reported.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/{TOKEN}", reported
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    file = tmp_path / "leads.csv"
    file.write_text(SHEET, encoding="utf-8")
    return file


RUN = ("run", "leads.csv", "--event", "201", "--duration", "7d")


def test_a_webhook_is_told_counts_and_names_of_files_only(shell: Shell, sheet: Path) -> None:
    with hook() as (url, reported):
        done = shell.run(*RUN, BATCH_SHARE_NOTIFY=url)
    assert done.returncode == 3, done.stderr
    (message,) = reported
    assert list(message) == ["text"]
    assert message["text"].splitlines()[:2] == [
        "batch-share run of leads.csv: done.",
        "1 of 2 rows are shared. 1 invalid (not sent).",
    ]
    for private in ("isha", "nobody", "Customer", "869400", str(sheet.parent)):
        assert private not in message["text"]
    left = b"".join(file.read_bytes() for file in sheet.parent.rglob("*") if file.is_file())
    assert TOKEN not in done.stdout + done.stderr
    assert TOKEN.encode() not in left


def test_a_webhook_that_fails_changes_no_exit_code(shell: Shell, sheet: Path) -> None:
    with hook(500) as (url, reported):
        done = shell.run(*RUN, "--notify", url, "--json")
    assert (done.returncode, len(reported)) == (3, 2)
    assert json.loads(done.stdout)["rows"] == 2
    assert done.stderr.count("The webhook was not told how it ended (HTTP 500)") == 1
    assert TOKEN not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_that_an_error_stopped_is_reported(shell: Shell, sheet: Path) -> None:
    out = sheet.parent / "told.jsonl"
    refused = shell.run(*RUN, "--notify", "told.jsonl", BATCH_SHARE_SECRET_KEY="wrong")
    missing = shell.run("run", "missing.csv", "--notify", "told.jsonl")
    reported = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [(each["file"], each["exit_code"]) for each in reported] == [
        ("leads.csv", refused.returncode),
        ("missing.csv", missing.returncode),
    ]
    assert [each["ended"] for each in reported] == [
        "stopped, LeadSquared refused access",
        "stopped, the sheet can't be used",
    ]
    assert (refused.returncode, missing.returncode) == (1, 2)


@pytest.mark.parametrize("presses", [1, 2])
def test_a_run_that_a_person_stopped_is_reported(shell: Shell, pause: Pause, tmp_path: Path, presses: int) -> None:
    pause.after = 3
    rows = "".join(f"{869000 + number},isha.rao.2@sales.example.com\n" for number in range(40))
    (tmp_path / "leads.csv").write_text(f"Lead Number,User Email\n{rows}", encoding="utf-8")
    with shell.start(*RUN, "--yes", "--notify", "told.jsonl", "--rate", "20/1s") as process:
        pause.catch(process)
        for _ in range(presses):
            process.send_signal(2)
        pause.go_on()
        _, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, said
    (reported,) = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text(encoding="utf-8").splitlines()]
    assert reported["ended"] in {"interrupted by the user", "cut off by the user"}
    assert (reported["exit_code"], reported["rows"]) == (130, 40)
    assert "batch-share resume leads.csv" in reported["text"]
    assert "ledger.db" not in reported["text"].partition("batch-share resume")[2].splitlines()[0]


def test_the_report_goes_beside_the_sheet(shell: Shell, sheet: Path) -> None:
    shell.run(*RUN)
    done = shell.run("report", "leads.csv.ledger.db")
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.strip()).name == "leads.report.html"
    reported = (sheet.parent / "leads.report.html").read_text(encoding="utf-8")
    assert "1 of 2 rows are shared." in reported
    assert "nobody@x.example" in reported


def test_a_report_of_nothing_is_refused_in_a_sentence(offline: Shell, tmp_path: Path) -> None:
    done = offline.run("report", "missing.db")
    assert done.returncode == 1
    assert "there is no such file" in done.stderr
    (tmp_path / "leads.csv").write_text(SHEET, encoding="utf-8")
    done = offline.run("report", "leads.csv")
    assert done.returncode == 2
    assert "it was never run on this machine" in done.stderr
