"""Running a job under a person's hands: signals, the display, the exit code."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from typing import TYPE_CHECKING, Protocol

from batch_share.cli.entry import Asked
from batch_share.cli.screen import Display
from batch_share.errors import BatchShareError
from batch_share.results.summary import ExitCode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from contextlib import AbstractAsyncContextManager
    from typing import Any

    from batch_share.cli.notifying import Notifier
    from batch_share.jobs.job import Ending
    from batch_share.results.summary import Summary
    from batch_share.sending.onlookers import Doubt, Preview
    from batch_share.sending.session import Connection
    from batch_share.settings import Settings


class Stoppable(Protocol):
    """What a signal asks to end."""

    @property
    def asked(self) -> bool:
        """Whether it is to end."""

    def ask(self) -> None:
        """End it."""


class TerminalWatcher:
    """The Watcher of a terminal: Ctrl-C (SIGTERM, SIGHUP) drains, a second one cuts."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def agree(self, preview: Preview) -> bool:
        """See `Display.agree`."""
        return self._display.agree(preview)

    def is_sure(self, doubt: Doubt) -> bool:
        """See `Display.is_sure`."""
        return self._display.is_sure(doubt)

    def wait_turn(self, process: int | None) -> None:
        """See `Display.wait_turn`."""
        self._display.wait_turn(process)

    def watch(self, session: Connection) -> AbstractAsyncContextManager[None]:
        """Show progress and listen for signals."""
        return self._watch(session)

    @contextlib.asynccontextmanager
    async def _watch(self, session: Connection) -> AsyncIterator[None]:
        with draining(session.stop):
            async with self._display.watch(session):
                yield


@contextlib.contextmanager
def draining(stop: Stoppable) -> Iterator[None]:
    """The first signal asks the work to end, the second cancels it where it is."""
    loop, work = asyncio.get_running_loop(), asyncio.current_task()

    def heard() -> None:
        if stop.asked and work is not None:
            work.cancel()
        stop.ask()

    def pass_on(_number: int, _frame: object) -> None:
        loop.call_soon_threadsafe(heard)

    # Not loop.add_signal_handler: Windows has none.
    before = {each: signal.signal(each, pass_on) for each in _signals()}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _signals() -> list[signal.Signals]:
    """The signals that end work: Ctrl-C, `kill`, and a terminal that is closed, unless nohup has that ignored."""
    signals = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    return signals


def at_rest(look: Callable[[], Coroutine[Any, Any, Summary | None]], display: Display) -> bool:
    """Whether there is nothing to do now, which is told in one line. Raises BatchShareError."""
    summary = asyncio.run(look())
    if summary is not None:
        display.at_rest(summary)
    return summary is not None


@contextlib.contextmanager
def _logged(display: Display, settings: Settings, *, verbose: bool) -> Iterator[None]:
    """Write the log, and show it if `verbose`. An error that ends the job before it has a session is in it too."""
    from batch_share.logs import LineHandler, attached, open_log
    from batch_share.sending.log_events import stopped_by

    def show(line: str) -> None:
        display.console.print(line, markup=False, highlight=False, soft_wrap=True)

    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    file = open_log(settings.log_folder, show)
    with attached(file, LineHandler(show) if verbose else None, level=level):
        try:
            yield
        except BatchShareError as error:
            stopped_by(error)
            raise


def finish(
    job: Callable[[TerminalWatcher], Coroutine[Any, Any, Ending]],
    display: Display,
    settings: Settings,
    notifier: Notifier | None = None,
    *,
    verbose: bool = False,
) -> ExitCode:
    """Run a job to its end, log it, show how it ended, tell others, and return the exit code.

    Raises BatchShareError.
    """
    asked = None
    if notifier is not None:
        asked = Asked(notifier.command, notifier.subject)
        notifier.check()
    try:
        with _logged(display, settings, verbose=verbose):
            ending = asyncio.run(job(TerminalWatcher(display)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        display.cut(asked)
        if notifier is not None:
            notifier.cut()
        return ExitCode.INTERRUPTED
    except BatchShareError as error:
        if notifier is not None:
            notifier.failed(error)
        raise
    display.end(ending, asked)
    if notifier is not None:
        notifier.ended(ending)
    return ending.exit_code
