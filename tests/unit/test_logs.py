"""The log: its lines, its file, and what it leaves alone."""

from __future__ import annotations

import json
import logging
import stat
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from batch_share import logs
from batch_share.logs import (
    FILE_NAME,
    LOGGER,
    LineHandler,
    LogFile,
    about,
    attached,
    bind_run,
    log,
    masked,
    open_log,
)

if TYPE_CHECKING:
    from pathlib import Path


def lines(file: Path) -> list[dict[str, Any]]:
    """The lines of a log, read."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def nobody(_line: str) -> None:
    raise AssertionError("nothing was to be told")


def test_a_line_says_when_what_and_of_which_run(tmp_path: Path) -> None:
    with attached(open_log(tmp_path, nobody), level=logging.INFO):
        with about(command="run", ledger="a.db", account="abc"):
            bind_run("r-1")
            log.warning("outcome unknown", row=7, step="share")
        log.info("after it")
        log.debug("not asked for")
    first, second = lines(tmp_path / FILE_NAME)
    time = first.pop("time")
    assert time.endswith("Z")
    assert "T" in time
    assert first == {
        "level": "warning",
        "event": "outcome unknown",
        "run": "r-1",
        "command": "run",
        "ledger": "a.db",
        "account": "abc",
        "row": 7,
        "step": "share",
    }
    assert (second["run"], second["command"]) == (None, None)


def test_the_files_rotate_and_are_their_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_BYTES", 500)
    with attached(open_log(tmp_path, nobody), level=logging.INFO):
        for number in range(100):
            log.info("event", number=number)
    files = sorted(tmp_path.iterdir())
    assert len(files) == logs.FILES
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert lines(tmp_path / FILE_NAME)[-1]["number"] == 99


def test_a_folder_that_cannot_be_written_is_reported_in_one_line(tmp_path: Path) -> None:
    reported: list[str] = []
    (tmp_path / "file").touch()
    assert open_log(tmp_path / "file" / "log", reported.append) is None
    assert len(reported) == 1
    assert "BATCH_SHARE_LOG_FOLDER" in reported[0]


def test_a_file_that_can_no_longer_be_written_is_reported_once(tmp_path: Path) -> None:
    reported: list[str] = []
    file = LogFile(tmp_path, reported.append)
    assert file.stream is not None
    file.stream.close()
    with attached(file, level=logging.INFO):
        log.info("one")
        log.info("two")
    assert len(reported) == 1
    assert "continues without it" in reported[0]


def test_a_person_gets_readable_lines() -> None:
    shown: list[str] = []
    with attached(LineHandler(shown.append), level=logging.INFO), about(command="run"):
        log.info("row failed", row=7, step="share")
    assert shown[0][8:] == "Z info    row failed row=7 step=share"


def test_the_logging_and_structlog_of_a_program_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    before = LOGGER.level
    with attached(LineHandler(nobody), level=logging.CRITICAL):
        pass
    assert LOGGER.level == before
    assert not structlog.is_configured()
    with caplog.at_level(logging.INFO, "batch_share"):
        log.info("row failed", row=7)
    assert caplog.records[0].getMessage() == "row failed"
    assert vars(caplog.records[0])["row"] == 7


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no user ann.lee+x@example.co.in here", "no user <e-mail> here"),
        ("phone +91-98765 43210 is wrong", "phone +<digits> is wrong"),
        ("lead 0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f", "lead <id>"),
        ("HTTP 500 after 10 of 25 calls", "HTTP 500 after 10 of 25 calls"),
    ],
)
def test_people_are_taken_out_of_words(said: str, shown: str) -> None:
    assert masked(said) == shown
