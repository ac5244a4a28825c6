"""What goes into the index and comes out of it. Times are UTC, without a zone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class KnownLedger:
    """A ledger of this machine. `account` is None where it was added without its keys."""

    id: int
    path: Path
    job: str
    host: str
    account: str | None
    sheet_path: Path | None
    mark: str | None


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run, with its totals by state. `ended_at` is None while it goes on; if `purged_at`, only this is left."""

    id: str
    ledger: Path
    host: str
    number: int
    command: str
    sheet: str | None
    started_at: datetime
    ended_at: datetime | None
    ended: str | None
    counts: Mapping[str, int] | None
    purged_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        """The object that `runs --json` prints."""
        return {
            "run": self.id,
            "started": _iso(self.started_at),
            "ended": _iso(self.ended_at),
            "how": self.ended,
            "command": self.command,
            "host": self.host,
            "sheet": self.sheet,
            "ledger": str(self.ledger),
            "states": dict(self.counts or {}),
            "purged": _iso(self.purged_at),
        }


@dataclass(frozen=True, slots=True)
class LiveShare:
    """A share that has not ended: whose, until when, and where it is recorded.

    `access` is 1 (read), 2 (write), or 0 where nobody knows whether it stands; `row_id` is the row's Id in the
    ledger, `job` what the ledger is known by, `sheet` the name of its sheet.
    """

    lead_id: str
    user_id: str
    access: int
    ends_at: datetime
    ledger: Path
    job: str
    row_id: int
    sheet: str
    sheet_row: int
    request_id: str | None
    run_id: str


def _iso(at: datetime | None) -> str | None:
    return None if at is None else f"{at.isoformat(timespec='seconds')}Z"
