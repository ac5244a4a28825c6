"""Running a job under a person's hands: signals, the display, the log, telling others, the exit code."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from batch_share.cli.entry import Asked
from batch_share.cli.screen import ASK_ABOVE, Display, say
from batch_share.errors import BatchShareError
from batch_share.library import BatchShare
from batch_share.logs import LineHandler, attached, open_log
from batch_share.results.wording import ExitCode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from batch_share import Ending
    from batch_share.cli.options import Given
    from batch_share.ledger.files import LedgerName
    from batch_share.results.wording import Summary
    from batch_share.sending.onlookers import Progress
    from batch_share.settings import Settings

T = TypeVar("T")


class TerminalWatcher(Display):
    """The Watcher of a terminal: Ctrl-C (SIGTERM, SIGHUP) drains, a second one cuts."""

    @contextlib.asynccontextmanager
    async def watch(self, progress: Callable[[], Progress], stop: Callable[[], None]) -> AsyncIterator[None]:
        """Show progress and listen for signals."""
        with draining(lambda: progress().stopping, stop):
            async with super().watch(progress, stop):
                yield


@contextlib.contextmanager
def draining(is_asked: Callable[[], bool], ask: Callable[[], None]) -> Iterator[None]:
    """The first signal asks the work to end, the second cancels it where it is.

    Signals are Ctrl-C, `kill`, and a terminal that is closed, unless nohup has that ignored.
    """
    loop, work = asyncio.get_running_loop(), asyncio.current_task()

    def heard() -> None:
        if is_asked() and work is not None:
            work.cancel()
        ask()

    signals = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    # Not loop.add_signal_handler: Windows has none.
    before = {each: signal.signal(each, lambda *_: loop.call_soon_threadsafe(heard)) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def logged(
    work: Callable[[], Coroutine[Any, Any, T]],
    watcher: TerminalWatcher,
    asked: Asked,
    settings: Settings,
    *,
    verbose: bool,
) -> T | None:
    """What the work comes to, which is logged, where that is wanted also on the screen; None if a person cut it."""

    def show(line: str) -> None:
        watcher.console.print(line, markup=False, highlight=False, soft_wrap=True)

    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    file = open_log(settings.log_folder, show)
    try:
        with attached(file, LineHandler(show) if verbose else None, level=level):
            return asyncio.run(work())
    except (KeyboardInterrupt, asyncio.CancelledError):
        watcher.cut(asked)
        return None


class Work:
    """A command's work on its `subject`, a sheet or a ledger: as it was asked for, shown, logged, told to others.

    Raises SettingsError, LedgerError.
    """

    def __init__(
        self, command: str, subject: Path | LedgerName, given: Given, *, ask_above: int = ASK_ABOVE
    ) -> None:
        self.settings = given.settings()
        self._asked = Asked(command, subject)
        self._display = TerminalWatcher(
            yes=given.get("yes", False),
            json=given["json"],
            one_line=self.settings.one_line,
            ask_above=ask_above,
            typed=given.typed("account"),
        )
        self._verbose = given.get("verbose", False)
        self.library = BatchShare(self.settings, watcher=self._display)
        if isinstance(subject, Path):
            self.ledger, self._file = self.library.ledger_for(subject, given["ledger"]), subject
        else:
            self.ledger, self._file = subject, Path(subject.short)

    def is_at_rest(self, look: Coroutine[Any, Any, Summary | None]) -> bool:
        """Whether there is nothing to do now, which is told in one line. Raises BatchShareError."""
        summary = asyncio.run(look)
        if summary is not None:
            self._display.at_rest(summary)
        return summary is not None

    def do(self, job: Callable[[BatchShare], Coroutine[Any, Any, Ending]]) -> ExitCode:
        """Do it to its end, log it, show how it ended, tell others, and return the exit code.

        Raises BatchShareError.
        """
        self.library.check_notify()  # before anything is done
        try:
            ending = logged(
                lambda: job(self.library), self._display, self._asked, self.settings, verbose=self._verbose
            )
        except BatchShareError as error:
            self._tell(error)
            raise
        if ending is not None:
            self._display.end(ending, self._asked)
        self._tell(ending)
        return ExitCode.INTERRUPTED if ending is None else ending.exit_code

    def _tell(self, ended: Ending | BatchShareError | None) -> None:
        """Tell whoever the setting `notify` names how it ended; whatever comes of that is one line, and no more."""
        try:
            problem = asyncio.run(self.library.notify(self._asked.command, self._file, ended, ledger=self.ledger))
        except (KeyboardInterrupt, asyncio.CancelledError):
            problem = "Reporting how it ended was interrupted. The run itself is not affected."
        if problem:
            say(self._display.console, f"batch-share: {problem}")
