"""When an account was last called from this machine, remembered over restarts.

The pacer's promise covers any `period`, also one in which a process was killed and another started. The memory is
one small file for each account: its modification time is the time of the last send or answer (a touch costs
microseconds and survives `kill -9`), its text says whether the last process closed it with nothing under way.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from batch_share.errors import BatchShareError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydantic import SecretStr

# A call that was under way when its process was killed may arrive this many seconds after it was sent …
_ON_ITS_WAY_SECONDS = 1.0
# … and, if the network held it up, just before the next process starts; not when that is later than this.
_IN_FLIGHT_SECONDS = 60.0
_CLOSED = "closed\n"


class AccountMemory:
    """The file behind a pacer's `SendMemory`; a context manager, closed only when no call is under way.

    Raises BatchShareError on entering when the folder can't be written.
    """

    def __init__(self, file: Path, wall_clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._wall_clock = wall_clock
        self._last = 0.0
        self._age: float | None = None
        self._was_closed = True

    def __enter__(self) -> AccountMemory:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._recall()
            self._write(f"calls under way by process {os.getpid()}\n")
        except OSError as error:
            raise unwritable(self._file.parent, error) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # What ends by an exception, a second Ctrl-C say, may have cut off calls under way.
        if kind is None:
            with suppress(OSError):
                self._write(_CLOSED)

    def owed(self, period: float) -> float:
        """Seconds until the period after the last process's last call is over."""
        if self._age is None:
            return 0.0
        # A clock that was set back makes the last call look later than now: then it counts as now.
        age = max(0.0, self._age)
        if not self._was_closed and age < period + _IN_FLIGHT_SECONDS:
            return period + max(0.0, _ON_ITS_WAY_SECONDS - age)
        return max(0.0, period - age)

    def note(self) -> None:
        """Remember that the account was called, or answered, just now."""
        self._last = self._wall_clock()
        # An answer that has just come must reach the ledger, whatever becomes of this file.
        with suppress(OSError):
            os.utime(self._file, (self._last, self._last))

    def _recall(self) -> None:
        if self._file.exists():
            self._last = self._file.stat().st_mtime
            self._age = self._wall_clock() - self._last
            self._was_closed = self._file.read_bytes() == _CLOSED.encode()

    def _write(self, text: str) -> None:
        """Change the text but not the time: opening and closing are no calls."""
        self._file.write_text(text, encoding="utf-8")
        os.utime(self._file, (self._last, self._last))


def unwritable(folder: Path, error: OSError) -> BatchShareError:
    """The error of a state folder that can't be written."""
    return BatchShareError(
        f"The state folder {folder} can't be written ({error.strerror}); "
        "set BATCH_SHARE_STATE_FOLDER to one that can."
    )


def account_name(base_url: str, access_key: SecretStr) -> str:
    """A file name for the account: the same for the same host and key, and no way back to the key."""
    digest = hashlib.blake2b(f"{base_url}\n{access_key.get_secret_value()}".encode(), digest_size=10).digest()
    return base64.b32encode(digest).decode().lower()
