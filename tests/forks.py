"""Processes of `batch-share` that start at once: forked from one that has imported everything, killed for real."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands import ForkServer, become, prepare, run, tell

if TYPE_CHECKING:
    from collections.abc import Mapping

KILLED = -9
_HERE = Path(__file__)
_DEADLINE = 300.0


class Forks(ForkServer):
    """Forks processes that are killed."""

    async def start(self, arguments: list[str], env: Mapping[str, str], log: Path, kill: Any = None) -> int:
        """Start `batch-share` with these arguments; its process Id. `kill`: as in `kills.arm`."""
        foreign = {name: value for name, value in os.environ.items() if not name.startswith("BATCH_SHARE_")}
        job = {"arguments": arguments, "folder": str(log.parent), "env": foreign | dict(env), "seconds": _DEADLINE}
        self.ask(job | {"out": str(log), "err": str(log), "kill": kill})
        return await self._number()

    async def finish(self) -> int:
        """Wait for the process just started; its exit code, negative for a signal."""
        return await self._number()

    async def run(self, arguments: list[str], env: Mapping[str, str], log: Path, kill: Any = None) -> int:
        """Both."""
        await self.start(arguments, env, log, kill)
        return await self.finish()

    async def _number(self) -> int:
        try:
            async with asyncio.timeout(_DEADLINE):
                return await asyncio.to_thread(self.number)
        except TimeoutError:
            self.process.kill()  # else the thread that reads of it would keep this process for ever
            raise


@cache
def forks() -> Forks:
    """The one of this process."""
    return Forks.of(_HERE)


def _serve() -> None:
    """Fork a process for each line of standard input; print its Id, and how it ended."""
    import kills

    import batch_share.cli.app
    from batch_share.sending import follow_up

    vars(follow_up)["FIRST_PATIENCE"] = 0.0  # the sandbox of these tests processes at once

    prepare()
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            become(job)
            kills.arm(job["kill"])
            run(batch_share.cli.app.main)
        tell(child)
        _, status = os.waitpid(child, 0)
        tell(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    _serve()
