"""Watching an inbox under a person's hands, or a service manager's: signals, one line for each sheet, exit code."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import typer

from batch_share.cli.screen import ASK_ABOVE, near, one_line
from batch_share.cli.work import TerminalWatcher, draining
from batch_share.common import parse_seconds, wait_for_event
from batch_share.errors import BatchShareError, SettingsError
from batch_share.jobs.watch import Arrivals, Folders, SheetOutcome, Watch, work_on
from batch_share.planning.already_shared import note_move
from batch_share.planning.plan import check_options
from batch_share.results.summary import ExitCode, most_urgent
from batch_share.sending.onlookers import check_revokes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from batch_share.jobs.watch import Case
    from batch_share.planning.plan import SheetOptions
    from batch_share.sending.onlookers import Doubt, Preview, Progress
    from batch_share.settings import Settings


SHORTEST: Final = 0.1
"""Seconds between two looks, at the least."""


@dataclass(frozen=True, slots=True)
class Looks:
    """How often the folder is looked at, and how long a file must have been quiet; in seconds."""

    every: float
    settle: float
    once: bool

    @classmethod
    def parse(cls, every: str, settle: str, *, once: bool) -> Looks:
        """Raises SettingsError."""
        looks = cls(_seconds("every", every), _seconds("settle", settle), once)
        if looks.every < SHORTEST:
            raise SettingsError("every", f"at least {SHORTEST:g}s")
        return looks


def _seconds(name: str, text: str) -> float:
    try:
        return parse_seconds(text)
    except ValueError as error:
        raise SettingsError(name, str(error)) from None


class SheetWatcher(TerminalWatcher):
    """The Watcher of a sheet that nobody looks at: it shows nothing and asks nobody. `end` ends all sheets."""

    def __init__(self, end: asyncio.Event, *, yes: bool) -> None:
        super().__init__(yes=yes, one_line=True)
        self._end = end
        self.refused = 0

    def agree(self, preview: Preview) -> bool:
        """Agree to 50 rows, or to all. Raises TooManyRevokes for more earlier shares than the settings allow."""
        check_revokes(preview)
        self.refused = 0 if self.yes or preview.changes_made <= ASK_ABOVE else preview.changes_made
        return not self.refused

    def is_sure(self, doubt: Doubt) -> bool:  # noqa: ARG002 - as every Watcher
        """No: nobody is asked."""
        return False

    @contextlib.asynccontextmanager
    async def watch(self, progress: Callable[[], Progress], stop: Callable[[], None]) -> AsyncIterator[None]:
        """Listen for signals, also for one that came before."""
        if self._end.is_set():
            stop()
        async with super().watch(progress, stop):
            yield


@dataclass(slots=True)
class Lines:
    """One line for each sheet on standard output, and again only when it says something else."""

    told: dict[str, str] = field(default_factory=dict)

    def sheet(self, case: Case, outcome: SheetOutcome, place: str | None) -> None:
        """How the work on a sheet ended."""
        line = f"{_said(case, outcome)}{'' if place or outcome.interrupted else '; looked at again'}"
        if self.told.get(case.folder.name) != line:
            typer.echo(line)
        if place is None:
            self.told[case.folder.name] = line
        else:
            self.told.pop(case.folder.name, None)

    def trouble(self, words: str) -> None:
        """Something else went wrong."""
        typer.echo(f"batch-share: {words}", err=True)


def _said(case: Case, outcome: SheetOutcome) -> str:
    if outcome.error is not None:
        words = str(outcome.error).removeprefix(f"{case.sheet.name}: ")
        return f"{case.sheet.name}: {words} (exit {outcome.exit_code:d}); in {near(case.folder.absolute())}"
    assert outcome.summary is not None  # noqa: S101 - for the type checker: there is one or an error
    line = one_line(outcome.summary, outcome.exit_code)
    return f"{line.partition('; ledger')[0]}; in {near(case.folder.absolute())}"


def watch_inbox(folder: Path, options: SheetOptions, settings: Settings, looks: Looks, *, yes: bool) -> ExitCode:
    """Watch until a signal comes, or look once. Raises BatchShareError."""
    settings.account()
    check_options(settings)
    places = Folders(folder)
    try:
        with places.held():
            return asyncio.run(_watch(places, options, settings, looks, yes=yes))
    except (KeyboardInterrupt, asyncio.CancelledError):
        typer.echo(
            "batch-share: Cut. What was under way is in its ledger: the next watch goes on with it.", err=True
        )
        return ExitCode.INTERRUPTED


async def _watch(
    places: Folders, options: SheetOptions, settings: Settings, looks: Looks, *, yes: bool
) -> ExitCode:
    end = asyncio.Event()

    async def work(case: Case) -> SheetOutcome:
        watcher = SheetWatcher(end, yes=yes)
        outcome = await work_on(case, options, settings, watcher)
        if outcome.interrupted:
            end.set()
        if watcher.refused:
            words = (
                f"Nothing was sent: it has {watcher.refused:,} rows to send, and above {ASK_ABOVE} the watch needs "
                "--yes. `batch-share resume` on its ledger sends them."
            )
            return SheetOutcome(error=BatchShareError(words))
        return outcome

    lines = Lines()

    def moved(before: Case, after: Case) -> None:
        if after.ledger.exists():
            note_move(settings, before.ledger, after.ledger, lines.trouble)

    arrivals = Arrivals(places.inbox, time.monotonic, looks.settle)
    watch = Watch(arrivals, places, work, moved, lines, partial(wait_for_event, end), end.is_set)
    with draining(end.is_set, end.set):
        if not looks.once:
            await watch.forever(looks.every)
            return ExitCode.DONE
        await watch.once()
    return most_urgent(each.exit_code for each in watch.endings)
