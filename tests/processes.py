"""The command line in processes of its own, against a sandbox in another or in this one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import re
import select
import signal
import subprocess
import sys
import termios
import threading
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands import commands
from trial import CREATE

from batch_share.sandbox import Sandbox, SandboxOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from trial import Step, Wrapper

    from batch_share.sandbox.wire import Reply, SandboxCall

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
FAST = "100/200ms"
DEADLINE = 300.0
"""Seconds after which something hangs; a busy machine is far quicker."""


@dataclass(frozen=True)
class SandboxProcess:
    """A sandbox that commands reach over HTTP, as another process."""

    url: str

    def report(self) -> dict[str, Any]:
        """What it saw so far."""
        return dict(self._get("report"))

    def calls(self, endpoint: str) -> list[dict[str, Any]]:
        """The calls of one endpoint, in order of arrival."""
        return [call for call in self._get("calls") if call["endpoint"] == endpoint]

    def _get(self, name: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/sandbox/{name}", timeout=10) as answer:
            return json.load(answer)


class Started(subprocess.Popen[str]):
    """A command that is killed where the test fails: nobody would tell it to end, and waiting would hang.

    Nobody waits for it longer than for any other.
    """

    def wait(self, timeout: float | None = DEADLINE) -> int:
        """Wait for its end. Raises TimeoutExpired."""
        return super().wait(timeout)

    def communicate(self, input: str | None = None, timeout: float | None = DEADLINE) -> tuple[str, str]:  # noqa: A002
        """What it says until its end. Raises TimeoutExpired."""
        return super().communicate(input, timeout)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None:
            self.kill()
        try:
            super().__exit__(kind, error, trace)  # type: ignore[arg-type]
        except subprocess.TimeoutExpired:
            self.kill()
            raise


@dataclass(frozen=True)
class Shell:
    """Runs `batch-share` in a folder, with an environment that knows one sandbox and nothing of this machine."""

    folder: Path
    env: Mapping[str, str]

    def run(self, *arguments: str, said: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, in a process that is forked: what it has imported was imported before.

        `said` is what its standard input holds.
        """
        return commands().run(arguments, self.folder, {**self.env, **env}, DEADLINE, said)

    def run_alone(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end in a process that nobody has prepared, as a person's shell does."""
        with self.start(*arguments, **env) as process:
            out, err = process.communicate(timeout=DEADLINE)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def at_terminal(self, answer: str, *arguments: str) -> tuple[int, str, str]:
        """Run a command on a terminal of 80 columns, whose every question is answered so.

        Its exit code, its standard output, which goes elsewhere, and what the terminal shows.
        """
        return self._talk(arguments, lambda shown: answer if "(y/N)" in shown else None, is_whole=False)

    def dialogue(self, answers: Sequence[tuple[str, str]], *arguments: str) -> tuple[int, str]:
        """As `dialogue` below, in a process that is forked."""
        left = [*answers]

        def answer(shown: str) -> str | None:
            return left.pop(0)[1] if left and left[0][0] in shown else None

        code, _, shown = self._talk(arguments, answer, is_whole=True)
        return code, shown

    def _talk(
        self, arguments: Sequence[str], answer: Callable[[str], str | None], *, is_whole: bool
    ) -> tuple[int, str, str]:
        """`answer` is asked with what was shown since the last answer. `is_whole`: also the output goes there."""
        ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        forks, shown, place = commands(), b"", 0
        forks.start(arguments, self.folder, self.env, DEADLINE, os.ttyname(theirs), is_whole=is_whole)
        ended: Any = forks.process.stdout
        while ours in select.select([ours, ended], [], [])[0]:  # else it has ended
            shown += os.read(ours, 4096)
            if (said := answer(shown[place:].decode(errors="replace"))) is not None:
                os.write(ours, f"{said}\n".encode())
                place = len(shown)
        done = forks.ended(arguments, DEADLINE)
        os.close(theirs)
        os.close(ours)
        return done.returncode, done.stdout, shown.decode().replace("\r\n", "\n")

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Start a command. It has no terminal, and nobody answers it."""
        return Started(
            [sys.executable, "-m", "batch_share", *arguments],
            cwd=self.folder,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@contextlib.contextmanager
def sandbox_process(*options: str) -> Iterator[SandboxProcess]:
    """A sandbox process on a free port, ended with the context."""
    command = [sys.executable, "-m", "batch_share", "sandbox", "--port", "0", *options]
    with Started(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://[\d.]+:\d+", process.stdout.readline())
        assert found is not None
        try:
            yield SandboxProcess(found[0])
        finally:
            process.send_signal(signal.SIGINT)


@contextlib.contextmanager
def sandbox_thread(options: SandboxOptions, *wrappers: Wrapper) -> Iterator[SandboxProcess]:
    """A sandbox on a thread of this process: as far from a command as one in a process, and there at once."""
    loop, sandbox = asyncio.new_event_loop(), Sandbox(options, wrappers=wrappers)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(sandbox.__aenter__(), loop).result(DEADLINE)
        try:
            yield SandboxProcess(sandbox.url)
        finally:
            asyncio.run_coroutine_threadsafe(sandbox.__aexit__(None, None, None), loop).result(DEADLINE)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Pause:
    """A wrapper for a sandbox on a thread: holds every call once `after` calls of an endpoint had their effect.

    So a command is caught in the middle of its work however busy the machine is. It ends with `go_on`.
    """

    def __init__(self, after: float = math.inf, endpoint: str = CREATE) -> None:
        self.after, self.endpoint, self._done = after, endpoint, Counter[str]()
        self._is_over = threading.Event()

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        """Let a call through, now or later."""
        while self.holds():  # noqa: ASYNC110 - it is ended from another thread
            await asyncio.sleep(0.01)
        reply = await step(call)
        self._done[call.endpoint] += call.outcome == "done"
        return reply

    def holds(self) -> bool:
        """Whether the middle is reached."""
        return self._done[self.endpoint] >= self.after and not self._is_over.is_set()

    def go_on(self) -> None:
        """Let all calls through from now on."""
        self._is_over.set()

    def catch(self, process: subprocess.Popen[str]) -> None:
        """Wait until a command is in the middle of its work."""
        wait_until(lambda: self.holds() or process.poll() is not None)
        assert process.poll() is None, process.communicate()


AT_TERMINAL = "import os, sys; os.login_tty(0); os.execv(sys.argv[1], sys.argv[1:])"


def dialogue(
    command: Sequence[str], folder: Path, env: Mapping[str, str], *answers: tuple[str, str]
) -> tuple[int, str]:
    """Run a command at a terminal of its own; its exit code, and what the terminal shows.

    `answers` are the last words of a question, up to its blank, and what is typed then, in the order in which they
    are asked: what is typed before, a hidden question would throw away.
    """
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    shown, left, place = "", [*answers], 0
    with Started([sys.executable, "-c", AT_TERMINAL, *command], cwd=folder, env=env, stdin=theirs) as process:
        os.close(theirs)
        with contextlib.suppress(OSError):  # how Linux says that nobody has it open any more
            while select.select([ours], [], [], DEADLINE)[0] and (part := os.read(ours, 4096)):
                shown += part.decode(errors="replace")
                if left and left[0][0] in shown[place:]:
                    os.write(ours, f"{left.pop(0)[1]}\n".encode())
                    place = len(shown)
        code = process.wait(DEADLINE)
    os.close(ours)
    return code, shown.replace("\r\n", "\n")


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for another process to get somewhere."""
    deadline = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def shell_for(sandbox: SandboxProcess, folder: Path) -> Shell:
    """A shell in `folder` whose settings point to `sandbox`."""
    own = {
        "BATCH_SHARE_HOST": sandbox.url,
        "BATCH_SHARE_ACCESS_KEY": "sandbox-access-key",
        "BATCH_SHARE_SECRET_KEY": "sandbox-secret-key",
        "BATCH_SHARE_RATE": FAST,
        "BATCH_SHARE_STATE_FOLDER": str(folder / "state"),
        "BATCH_SHARE_DATA_FOLDER": str(folder / "data"),
        "BATCH_SHARE_LOG_FOLDER": str(folder / "log"),
        "BATCH_SHARE_GRACE": "0s",
        "PYTHONWARNINGS": "error",
    }
    foreign = {name: value for name, value in os.environ.items() if not name.startswith("BATCH_SHARE_")}
    foreign.pop("PYTHONDONTWRITEBYTECODE", None)  # each of hundreds of commands would compile the package anew
    return Shell(folder, foreign | own)
