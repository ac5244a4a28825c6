"""One process at a time writes a ledger.

The lock is the operating system's, on a hidden file beside the ledger, so it ends with its process, however that
ends: a killed run leaves nothing to clean up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from batch_share.errors import LedgerError, LedgerLocked

if TYPE_CHECKING:
    from pathlib import Path


IN_USE: Final = "another batch_share process is working on it."
WAIT: Final = "Wait for it to end, or stop it; `batch-share status` shows how far it is."


class LedgerLock:
    """Held from `acquire` to `release`. Raises LedgerLocked while another process holds it."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        real = ledger.resolve()  # two names of one file are one ledger
        self._lock = FileLock(real.with_name(f".{real.name}.lock"), mode=0o600, thread_local=False)

    def acquire(self) -> None:
        """Take the lock or say at once why not."""
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise LedgerLocked(self._ledger, f"{IN_USE} {WAIT}") from None
        except OSError as error:
            raise LedgerError(self._ledger, f"its folder can't be written ({error.strerror})") from None

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()
