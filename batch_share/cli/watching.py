"""Watching an inbox under a person's hands, or a service manager's: signals, one line for each sheet, exit code."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import typer

from batch_share.cli.screen import ASK_ABOVE, near, one_line
from batch_share.cli.work import TerminalWatcher, draining
from batch_share.common import parse_seconds
from batch_share.errors import NotConfirmed, SettingsError
from batch_share.library import BatchShare
from batch_share.results.summary import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.jobs.watch import SheetOutcome
    from batch_share.planning.plan import SheetOptions
    from batch_share.sending.onlookers import Doubt, Outlook, Preview
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
    """The Watcher of a sheet that nobody looks at: it shows nothing and asks nobody."""

    def foresee(self, outlook: Outlook) -> None:
        """Nothing."""

    def agree(self, preview: Preview) -> bool:
        """Agree to 50 rows, or to all. Raises NotConfirmed for more, TooManyRevokes for more earlier shares."""
        preview.check_revokes()
        if self.yes or preview.changes_made <= ASK_ABOVE:
            return True
        raise NotConfirmed(
            f"Nothing was sent: it has {preview.changes_made:,} rows to send, and above {ASK_ABOVE} the watch "
            "needs --yes. `batch-share resume` on its ledger sends them."
        )

    def is_sure(self, doubt: Doubt) -> bool:  # noqa: ARG002 - as every Watcher
        """No: nobody is asked."""
        return False


@dataclass(slots=True)
class Lines:
    """One line for each sheet on standard output, and again only when it says something else."""

    reported: dict[str, str] = field(default_factory=dict)

    def sheet(self, outcome: SheetOutcome) -> None:
        """How the work on a sheet ended."""
        folder = outcome.sheet.parent
        again = "" if outcome.place or outcome.interrupted else "; looked at again"
        line = f"{_said(outcome)}; in {near(folder.absolute())}{again}"
        if self.reported.get(folder.name) != line:
            typer.echo(line)
        if outcome.place is None:
            self.reported[folder.name] = line
        else:
            self.reported.pop(folder.name, None)

    def trouble(self, words: str) -> None:
        """Something else went wrong."""
        typer.echo(f"batch-share: {words}", err=True)


def _said(outcome: SheetOutcome) -> str:
    if outcome.error is not None:
        words = str(outcome.error).removeprefix(f"{outcome.sheet.name}: ")
        return f"{outcome.sheet.name}: {words} (exit {outcome.exit_code:d})"
    assert outcome.summary is not None  # noqa: S101 - for the type checker: there is one or an error
    return one_line(outcome.summary, outcome.exit_code).partition("; ledger")[0]


def watch_inbox(folder: Path, options: SheetOptions, settings: Settings, looks: Looks, *, yes: bool) -> ExitCode:
    """Watch until a signal comes, or look once. Raises BatchShareError."""
    try:
        return asyncio.run(_watch(folder, options, settings, looks, yes=yes))
    except (KeyboardInterrupt, asyncio.CancelledError):
        typer.echo(
            "batch-share: Cut. What was under way is in its ledger: the next watch goes on with it.", err=True
        )
        return ExitCode.INTERRUPTED


async def _watch(folder: Path, options: SheetOptions, settings: Settings, looks: Looks, *, yes: bool) -> ExitCode:
    library = BatchShare(settings, watcher=SheetWatcher(yes=yes, one_line=True))
    asked, lines, codes = asyncio.Event(), Lines(), list[ExitCode]()

    def ask() -> None:
        asked.set()
        library.stop()

    outcomes = library.watch(
        folder, options, every=looks.every, settle=looks.settle, once=looks.once, on_trouble=lines.trouble
    )
    with draining(asked.is_set, ask):
        async for outcome in outcomes:
            lines.sheet(outcome)
            codes.append(outcome.exit_code)
    return ExitCode.most_urgent(codes) if looks.once else ExitCode.DONE
