"""Commands of `batch-share` that start at once: forked from one process that has imported everything.

A command takes a second to start, nearly all of it for imports, and the tests run hundreds.
"""

from __future__ import annotations

import asyncio
import atexit
import fcntl
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import warnings
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

_HERE = Path(__file__)
IMPORTED = (
    "rich.live",
    "xlsxwriter",
    "batch_share.cli.plan",
    "batch_share.cli.progress",
    "batch_share.cli.screen",
    "batch_share.cli.work",
    "batch_share.jobs.run",
    "batch_share.results.writing",
    "batch_share.sheet.workbook",
)
"""What commands import once they know what they are to do."""


@dataclass
class ForkServer:
    """A process that forks others, as many as it is asked to, one at a time. It ends with this one."""

    process: subprocess.Popen[str]

    @classmethod
    def of(cls, file: Path) -> Self:
        """One that runs this file."""
        pipe = subprocess.PIPE
        made = cls(subprocess.Popen([sys.executable, str(file)], stdin=pipe, stdout=pipe, text=True))
        atexit.register(made.end)
        return made

    def ask(self, job: dict[str, Any]) -> None:
        """Have a process forked."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{json.dumps(job)}\n")
        self.process.stdin.flush()

    def number(self) -> int:
        """The next that it tells of it."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def end(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@dataclass
class Commands(ForkServer):
    """Forks commands, each run to its end."""

    files: tempfile.TemporaryDirectory[str] = field(default_factory=tempfile.TemporaryDirectory)

    def run(
        self, arguments: Sequence[str], folder: Path, env: Mapping[str, str], seconds: float, said: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as if a shell had started it. Raises AssertionError if it takes longer."""
        (given := Path(self.files.name, "in")).write_text(said)
        self.start(arguments, folder, env, seconds, str(given))
        return self.ended(arguments, seconds)

    def start(
        self,
        arguments: Sequence[str],
        folder: Path,
        env: Mapping[str, str],
        seconds: float,
        given: str,
        *,
        is_whole: bool = False,
    ) -> None:
        """Start a command with this file or terminal as its standard input.

        A terminal gets its standard error too, and, if it `is_whole`, its standard output.
        """
        terminal = given if given.startswith("/dev/") else ""
        files = {"in": given, "out": str(self._out), "err": terminal or str(self._err)}
        if is_whole:
            files["out"] = terminal
        self.ask(
            {"arguments": list(arguments), "folder": str(folder), "env": dict(env), "seconds": seconds} | files
        )

    def ended(self, arguments: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
        """What became of the command that was started."""
        code = self.number()
        assert code != -signal.SIGALRM, f"it did not end in {seconds:g} s: {arguments}"
        out, err = (file.read_text() if file.exists() else "" for file in (self._out, self._err))
        return subprocess.CompletedProcess(["batch-share", *arguments], code, out, err)

    @property
    def _out(self) -> Path:
        return Path(self.files.name, "out")

    @property
    def _err(self) -> Path:
        return Path(self.files.name, "err")

    def end(self) -> None:
        """End the process, and what its commands printed."""
        super().end()
        self.files.cleanup()


@cache
def commands() -> Commands:
    """The one of this process."""
    return Commands.of(_HERE)


def _serve() -> None:
    """Fork a command for each line of standard input; print how it ended."""
    import batch_share.cli.app

    prepare()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(json.loads(line))
            run(batch_share.cli.app.main)
        _, status = os.waitpid(child, 0)
        tell(os.waitstatus_to_exitcode(status))


def prepare() -> None:
    """Do before any fork what each would do again: the statements of a job are compiled, its modules imported."""
    from compiled import share_compiled
    from trial import trial

    async def jobs(folder: Path) -> None:
        async with trial(folder, rows=2) as it:
            await it.run()
            await it.follow_up()
            await it.revoke()

    for name in IMPORTED:
        import_module(name)
    share_compiled()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(jobs(Path(folder)))
    gc.collect()
    gc.freeze()


def tell(number: int) -> None:
    """Answer whoever asked."""
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def become(job: dict[str, Any]) -> None:
    """Take over the arguments, the environment, the folder and the files of a command."""
    sys.argv[:] = ["batch-share", *job["arguments"]]
    os.environ.clear()
    os.environ.update(job["env"])
    if job["env"].get("PYTHONWARNINGS") == "error":
        warnings.simplefilter("error")
    os.chdir(job["folder"])
    new = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOCTTY  # both may be the same file
    read = os.open(job.get("in", os.devnull), os.O_RDONLY | os.O_NOCTTY)
    if os.isatty(read):  # its own, as a shell's: a hidden question asks there
        os.setsid()
        fcntl.ioctl(read, termios.TIOCSCTTY, 0)
    files = read, os.open(job["out"], new, 0o600), os.open(job["err"], new, 0o600)
    for target, source in enumerate(files):
        os.dup2(source, target)
        os.close(source)
    # These were made of what they were in the process that forks: a file or a pipe.
    sys.stdin = os.fdopen(0, closefd=False)
    if os.isatty(1):
        sys.stdout = os.fdopen(1, "w", buffering=1)
    if os.isatty(2):
        sys.stderr = os.fdopen(2, "w", buffering=1)
    signal.alarm(int(job["seconds"]))


def run(main: Callable[[], object]) -> None:
    """Run a command and end the process as Python does, but for what it had imported before it was forked.

    To take that to pieces takes longer than most commands do. What is left open is still told.
    """
    code: Any = 0
    try:
        main()
    except SystemExit as ended:
        if not isinstance(code := ended.code, int):
            raise
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
