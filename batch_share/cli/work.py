"""Running a job under a person's hands: signals, the display, the log, telling others, the exit code.

An inbox is watched so (or under a service manager's hands), and what one user has by every ledger of this machine
is revoked so: one question, then ledger by ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import typer

from batch_share.cli.entry import Asked, in_short
from batch_share.cli.screen import ASK_ABOVE, Display, console, near, one_line, say
from batch_share.common import parse_seconds, plural
from batch_share.errors import AccessDenied, BatchShareError, LedgerError, NotConfirmed, SettingsError
from batch_share.library import BatchShare
from batch_share.logs import LineHandler, attached, open_log
from batch_share.results.wording import ExitCode, answer
from batch_share.sending.onlookers import Doubt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from batch_share import Access, Ending, LedgerName
    from batch_share.cli.options import Given
    from batch_share.jobs.watch import SheetOutcome
    from batch_share.planning.plan import SheetOptions
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


_NAMED: Final = 10
"""Sheets that the question names; of the others only how many."""


def revoke_all_jobs(given: Given) -> ExitCode:
    """Revoke all that a user has; the most urgent of the exit codes. Raises BatchShareError before it begins."""
    settings = given.settings()
    settings.credentials()
    watcher = TerminalWatcher(yes=given["yes"], json=given["json"], one_line=settings.one_line)
    library = BatchShare(settings, watcher=watcher)
    library.check_notify()
    asked, user = Asked("revoke", None), given["user"]
    code = logged(lambda: _revoke(library, watcher, user), watcher, asked, settings, verbose=given["verbose"])
    return ExitCode.INTERRUPTED if code is None else code


async def _revoke(library: BatchShare, asking: TerminalWatcher, user: str) -> ExitCode:
    found = await library.access(user)
    if not found.user_ids:
        raise SettingsError(
            "--user",
            f"no ledger on this machine that could be read knows a user with the Id or e-mail address {user}",
            problem="Nobody with this Id or e-mail address is known here.",
        )
    _ask_whether(asking, found, user)
    asking.yes = True  # to each ledger's job
    stop, jobs = asyncio.Event(), list[dict[str, Any]]()
    codes: list[ExitCode] = []

    def ask_to_stop() -> None:
        stop.set()
        library.stop()

    with draining(stop.is_set, ask_to_stop):
        for ledger, user_id, is_seen in dict.fromkeys(
            (each.ledger, each.user_id, each.is_seen) for each in found.shares if each.ledger is not None
        ):
            if stop.is_set():
                codes.append(ExitCode.INTERRUPTED)
                break
            ended: Ending | BatchShareError
            try:
                if not is_seen:
                    raise LedgerError(ledger, "it could not be read: what it shared is not revoked")
                ended = await library.revoke(ledger, user=user_id)
            except BatchShareError as error:
                ended = error
            line, reported, code = _outcome(ledger, ended, is_short=asking.one_line)
            jobs.append(reported)
            codes.append(code)
            if not asking.json:
                say(console(), line)
            if problem := await library.notify("revoke", Path(ledger.short), ended, ledger=ledger):
                say(asking.console, f"batch-share: {problem}")
            if not isinstance(ended, BatchShareError) and ended.interrupted:
                stop.set()
    code = ExitCode.most_urgent(codes)
    if asking.json:
        print(json.dumps({"jobs": jobs, "remarks": [*found.remarks], "exit_code": int(code)}))  # noqa: T201
    elif not found.shares:
        typer.echo(f"{user} has no share that this machine knows of: nothing to revoke.")
    for remark in () if asking.json else found.remarks:
        say(asking.console, f"{remark}.")
    return code


def _ask_whether(asking: TerminalWatcher, found: Access, user: str) -> None:
    """Say how many shares of which sheets are revoked, and ask, unless `--yes` answers. Raises NotConfirmed."""
    if not found.shares:
        return
    sheets = Counter(each.sheet for each in found.shares)
    named = ", ".join(f"{sheet} ({count:,})" for sheet, count in sheets.most_common(_NAMED))
    more = f" and {plural(len(sheets) - _NAMED, 'other sheet')}" if len(sheets) > _NAMED else ""
    line = f"{plural(len(found.shares), 'share')} with {user} to revoke: {named}{more}."
    if not (asking.yes and asking.one_line):  # also where nobody can be asked: who would agree is to see to what
        say(asking.console, line)
    if not asking.yes and not asking.is_sure(Doubt([], "Revoke these shares?")):
        raise NotConfirmed("Nothing was revoked: it was not confirmed. --yes confirms it.")


def _outcome(
    ledger: LedgerName, ended: Ending | BatchShareError, *, is_short: bool
) -> tuple[str, dict[str, Any], ExitCode]:
    """How the work on a ledger ended: in one line, as JSON has it, and its exit code."""
    asked = Asked("revoke", ledger)
    if isinstance(ended, BatchShareError):
        code = ExitCode.of(ended)
        return asked.line(ended, code, 0), asked.stopped(ended, code, 0), code
    code, reported = ended.exit_code, ended.summary.as_json()
    if ended.error is None:
        said = f"{ended.summary.sheet}: {answer(ended.command, ended.summary, ended.became)}"
        line = one_line(ended.summary, code) if is_short else said
        return line, reported | {"exit_code": int(code)}, code
    line = one_line(ended.summary, code, f"{in_short(ended.error, ended.sent)}; ")
    return line, reported | asked.stopped(ended.error, code, ended.sent), code


def watch_inbox(
    folder: Path, options: SheetOptions, settings: Settings, *, every: str, settle: str, once: bool, yes: bool
) -> ExitCode:
    """Watch until a signal comes, or look once. Raises BatchShareError."""
    looks = []
    for name, text, least in (("every", every, 0.1), ("settle", settle, 0.0)):
        try:
            looks.append(parse_seconds(text))
        except ValueError as error:
            raise SettingsError(name, str(error)) from None
        if looks[-1] < least:
            raise SettingsError(name, f"at least {least:g}s")
    library = BatchShare(settings, watcher=Display(yes=yes, one_line=True, asks=False))
    library.check_notify()
    if not once:
        _say(f"Watching {folder}: sheets dropped there are run. Ctrl-C stops it.")
    try:
        codes = asyncio.run(_watch(library, folder, options, *looks, once=once))
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say("Cut off. What was under way is in its ledger: the next watch resumes it.")
        return ExitCode.INTERRUPTED
    if not once:
        _say(f"Stopped watching {folder}: the next watch resumes what is in {folder / 'working'}.")
    return ExitCode.most_urgent(codes) if once else ExitCode.DONE


def _say(words: str) -> None:
    say(console(stderr=True), f"batch-share: {words}")


async def _watch(
    library: BatchShare, folder: Path, options: SheetOptions, every: float, settle: float, *, once: bool
) -> list[ExitCode]:
    """One line for each sheet on standard output, and again only when it says something else."""
    asked, reported, codes = asyncio.Event(), dict[str, str](), list[ExitCode]()

    def ask() -> None:
        asked.set()
        library.stop()

    with draining(asked.is_set, ask):
        outcomes = library.watch(folder, options, every=every, settle=settle, once=once, on_trouble=_say)
        async for outcome in outcomes:
            codes.append(outcome.exit_code)
            case, line = outcome.sheet.parent.name, _line_of(outcome)
            if reported.pop(case, "") != line:
                typer.echo(line)
            if outcome.place is None:
                reported[case] = line
            is_over = outcome.place is not None or isinstance(outcome.error, AccessDenied)
            if is_over and (problem := await library.notify("watch", outcome.sheet, outcome)):
                _say(problem)
    return codes


def _line_of(outcome: SheetOutcome) -> str:
    name, folder = outcome.sheet.name, outcome.sheet.parent.absolute()
    if isinstance(outcome.ended, BatchShareError) or outcome.error is not None:
        words = f"{name}: {str(outcome.error).removeprefix(f'{name}: ')} (exit {outcome.exit_code:d})"
    else:
        words = one_line(outcome.ended.summary, outcome.exit_code).partition("; ledger")[0]
    line = f"{words}; in {near(folder)}"
    if outcome.place == "held":
        return f"{line}: to send it as it is, move that folder to {near(folder.parents[1] / 'agreed')}"
    return line if outcome.place or outcome.interrupted else f"{line}; to be looked at again"
