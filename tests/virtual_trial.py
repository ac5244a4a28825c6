"""A trial whose time is virtual, the pacer's, the ledger's and the sandbox's: waiting for minutes takes none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from direct import DirectClient
from trial import Trial, sheet_rows

from batch_share import common
from batch_share.leadsquared import client as leadsquared
from batch_share.leadsquared.account import AccountMemory
from batch_share.sandbox import Sandbox
from batch_share.sandbox.account import Clock
from batch_share.sending import session

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from pydantic import SecretStr
    from trial import Wrapper

    from batch_share.sandbox import SandboxOptions

START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
"""Now, for what asks the real clock: an end in the future is so for both. By the hour, for at midnight the calls of
the day are counted anew, and no trial of minutes may come to it by the hour at which it is run."""


def wall() -> datetime:
    """The date in virtual time."""
    return START + timedelta(seconds=Clock().time())


class VirtualClock(Clock):
    """The sandbox's clock."""

    def now(self) -> datetime:
        return wall()


class VirtualDate(datetime):
    """The ledger's clock."""

    @classmethod
    def now(cls, _: Any = None) -> VirtualDate:
        return cls.fromtimestamp(wall().timestamp(), UTC)


def in_virtual_time(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    reported: SandboxOptions,
    *faults: Wrapper,
    rows: int = 12,
    **changes: Any,
) -> Trial:
    """A trial with a sheet of `rows` rows, its jobs to be run by `run_virtually`."""
    sandbox = Sandbox(reported, VirtualClock(), faults)

    def client(
        host: str, access: SecretStr, secret: SecretStr, *, answer_seconds: float, proxy: None, wire_log: None
    ) -> DirectClient:
        made = DirectClient(sandbox, (access, secret), answer_seconds=answer_seconds)
        made.base_url = host
        return made

    monkeypatch.setattr(common, "datetime", VirtualDate)
    # What a job leaves for the next is how long ago its last call was: of real time there may go by any.
    account = partial(AccountMemory, wall_clock=lambda: wall().timestamp())
    monkeypatch.setattr(session, "AccountMemory", account)
    monkeypatch.setattr(leadsquared, "Client", client)
    it = Trial(folder, sandbox, {"host": "http://127.0.0.1"} | changes)
    it.write(sheet_rows(rows, sandbox.world))
    return it
