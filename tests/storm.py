"""A sheet that is run again and again by processes that are killed, against one sandbox that lives through it."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from invariants import check_all_shared, check_never_twice, posts
from trial import KEY, SECRET, sheet_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forks import Forks
    from kills import Killer
    from trial import Trial


RUN = ("run", "leads.csv")


@dataclass
class Storm:
    """Works on the sheet of a trial in processes of their own: by default runs it."""

    it: Trial
    forks: Forks
    rows: int
    workers: int = 8
    bulk: bool = False
    own: Mapping[str, str] = field(default_factory=dict)  # what else is in the environment
    starts: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.it.write(sheet_rows(self.rows, self.it.sandbox.world))

    async def start(self, kill: Any = None, command: Sequence[str] = RUN) -> int:
        """Start a command; its process Id."""
        self.starts += 1
        log = self.it.folder / f"{self.starts}.log"
        return await self.forks.start([*command, "--yes", "--json"], self._env(), log, kill)

    async def run(self, kill: Any = None, command: Sequence[str] = RUN) -> int:
        """A command to its end; its exit code."""
        await self.start(kill, command)
        return await self.forks.finish()

    async def run_until(self, seconds: float) -> int:
        """A run that is killed after so many seconds, unless it has ended by then."""
        pid = await self.start()
        end = asyncio.create_task(self.forks.finish())
        await asyncio.wait([end], timeout=seconds)
        if not end.done():
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(pid, signal.SIGKILL)
        return await end

    async def run_into(self, killer: Killer, command: Sequence[str] = RUN) -> int:
        """A command that is killed by the sandbox."""
        killer.pid = await self.start(command=command)
        code = await self.forks.finish()
        killer.pid = 0
        return code

    async def recover(self) -> None:
        """The plain command again: everything is done then, once, and a further run has nothing to send."""
        check_never_twice(self.it)
        assert await self.run() == 0, self.said()
        check_all_shared(self.it, sheet_rows(self.rows, self.it.sandbox.world))
        before = posts(self.it)
        assert await self.run() == 0, self.said()
        assert posts(self.it) == before, "a run with nothing to do sent something"
        check_all_shared(self.it, sheet_rows(self.rows, self.it.sandbox.world))

    def said(self) -> str:
        """What the last process printed."""
        return (self.it.folder / f"{self.starts}.log").read_text()

    def _env(self) -> dict[str, str]:
        return {
            "BATCH_SHARE_HOST": self.it.sandbox.url,
            "BATCH_SHARE_ACCESS_KEY": KEY,
            "BATCH_SHARE_SECRET_KEY": SECRET,
            "BATCH_SHARE_RATE": "500/100ms",
            "BATCH_SHARE_BULK": str(self.bulk),
            "BATCH_SHARE_BULK_RATE": "3/100ms",
            "BATCH_SHARE_WORKERS": str(self.workers),
            "BATCH_SHARE_WAIT": "5s",
            "BATCH_SHARE_GRACE": "0s",
            "BATCH_SHARE_DATA_FOLDER": str(self.it.folder / "data"),
            "BATCH_SHARE_LOG_FOLDER": str(self.it.folder / "log"),
            # Its own for each: one that was killed lets the next wait a second, which would be most of the storm.
            "BATCH_SHARE_STATE_FOLDER": str(self.it.folder / f"state-{self.starts}"),
            **self.own,
        }
