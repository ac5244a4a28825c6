"""Processes of `batch-share` that start at once: forked from one that has imported everything, killed for real."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

KILLED = -9
_HERE = Path(__file__)
_DEADLINE = 60.0


@dataclass(frozen=True)
class Forks:
    """A process that forks others, one at a time. It ends with this one."""

    process: subprocess.Popen[bytes]

    async def start(self, arguments: list[str], env: Mapping[str, str], log: Path, kill: Any = None) -> int:
        """Start `batch-share` with these arguments; its process Id. `kill`: as in `kills.arm`."""
        job = {"arguments": arguments, "env": dict(env), "log": str(log), "kill": kill}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        return await self._number()

    async def end(self) -> int:
        """Wait for the process just started; its exit code, negative for a signal."""
        return await self._number()

    async def run(self, arguments: list[str], env: Mapping[str, str], log: Path, kill: Any = None) -> int:
        """Both."""
        await self.start(arguments, env, log, kill)
        return await self.end()

    async def _number(self) -> int:
        assert self.process.stdout is not None
        async with asyncio.timeout(_DEADLINE):
            return int(await asyncio.to_thread(self.process.stdout.readline))

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@cache
def forks() -> Forks:
    """The one of this process."""
    pipe = subprocess.PIPE
    made = Forks(subprocess.Popen([sys.executable, str(_HERE)], stdin=pipe, stdout=pipe))
    atexit.register(made.close)
    return made


def _serve() -> None:
    """Fork a process for each line of standard input; print its Id, and how it ended."""
    import kills

    import batch_share.cli.app
    import batch_share.cli.display
    import batch_share.cli.work
    import batch_share.pipeline.jobs
    import batch_share.sheet.workbook
    from batch_share.pipeline import polls

    vars(polls)["FIRST_PATIENCE"] = 0.0  # the sandbox of these tests processes at once

    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(job)
            kills.arm(job["kill"])
            batch_share.cli.app.main()
        _tell(child)
        _, status = os.waitpid(child, 0)
        _tell(os.waitstatus_to_exitcode(status))


def _tell(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _become(job: dict[str, Any]) -> None:
    """Take over the arguments, the environment and the files of a command."""
    sys.argv[:] = ["batch-share", *job["arguments"]]
    for name in [name for name in os.environ if name.startswith("BATCH_SHARE_")]:
        del os.environ[name]
    os.environ.update(job["env"])
    os.chdir(Path(job["log"]).parent)
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    signal.alarm(int(_DEADLINE))  # one that hangs would hang whoever waits for it


if __name__ == "__main__":
    _serve()
