"""One process at a time: the lock ends with its process, however that ends."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

import pytest

import batch_share
from batch_share.errors import LedgerError, LedgerLocked
from batch_share.ledger.files import LedgerName

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLDER = """
import sys
from batch_share.ledger.files import LedgerName
with LedgerName.of(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "leads.db"


@contextmanager
def held_by_another_process(ledger: Path) -> Iterator[subprocess.Popen[str]]:
    folder = str(Path(batch_share.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(ledger)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": folder},
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_second_process_is_told_what_is_the_matter(ledger: Path) -> None:
    with held_by_another_process(ledger), pytest.raises(LedgerLocked) as caught, LedgerName.of(ledger).locked():
        pass
    assert caught.value.ledger == LedgerName.of(ledger)
    assert "Wait for it to end, or stop it" in str(caught.value)


def test_a_killed_process_leaves_no_lock_behind(ledger: Path) -> None:
    with held_by_another_process(ledger) as process:
        process.kill()
        process.wait()
        with LedgerName.of(ledger).locked():
            pass


def test_a_second_lock_in_the_same_process_is_refused_until_the_first_is_given_back(ledger: Path) -> None:
    with LedgerName.of(ledger).locked(), pytest.raises(LedgerLocked), LedgerName.of(ledger).locked():
        pass
    with LedgerName.of(ledger).locked():
        pass


def test_who_takes_the_lock_for_a_moment_to_look_keeps_nobody_from_working(ledger: Path) -> None:
    looking = ExitStack()
    looking.enter_context(LedgerName.of(ledger).locked())
    with pytest.raises(LedgerLocked), LedgerName.of(ledger).locked(patience=0):
        pass
    given_back = Timer(0.05, looking.close)
    given_back.start()
    with LedgerName.of(ledger).locked():
        pass
    given_back.join()


def test_another_name_of_the_same_file_is_the_same_ledger(ledger: Path, tmp_path: Path) -> None:
    ledger.touch()
    link = tmp_path / "link.db"
    link.symlink_to(ledger)
    with LedgerName.of(ledger).locked(), pytest.raises(LedgerLocked), LedgerName.of(link).locked():
        pass


def test_other_ledgers_are_free(ledger: Path, tmp_path: Path) -> None:
    with LedgerName.of(ledger).locked(), LedgerName.of(tmp_path / "other.db").locked():
        pass


def test_a_folder_that_cannot_be_written_is_reported(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permission bits don't bind root, so the refusal is put in by hand."""

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        refused = pytest.raises(LedgerError, match=r"its folder can't be written \(Permission denied\)")
        with refused, LedgerName.of(ledger).locked():
            pass
