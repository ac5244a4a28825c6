"""Watching an inbox under a person's hands, or a service manager's: signals, one line for each sheet, exit code."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import typer

from batch_share.cli.screen import ASK_ABOVE, Display, near, one_line
from batch_share.cli.work import draining
from batch_share.common import parse_seconds
from batch_share.errors import AccessDenied, NotConfirmed, SettingsError
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


class SheetWatcher(Display):
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
            "needs --yes."
        )

    def is_sure(self, doubt: Doubt) -> bool:  # noqa: ARG002 - as every Watcher
        """No: nobody is asked."""
        return False


def watch_inbox(
    folder: Path, options: SheetOptions, settings: Settings, *, every: str, settle: str, once: bool, yes: bool
) -> ExitCode:
    """Watch until a signal comes, or look once. Raises BatchShareError."""
    looks = _seconds("every", every), _seconds("settle", settle)
    if looks[0] < SHORTEST:
        raise SettingsError("every", f"at least {SHORTEST:g}s")
    library = BatchShare(settings, watcher=SheetWatcher(yes=yes, one_line=True))
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


def _seconds(name: str, text: str) -> float:
    try:
        return parse_seconds(text)
    except ValueError as error:
        raise SettingsError(name, str(error)) from None


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
            case, line = outcome.sheet.parent.name, _line(outcome)
            if reported.pop(case, "") != line:
                typer.echo(line)
            if outcome.place is None:
                reported[case] = line
            if outcome.place is not None or isinstance(outcome.error, AccessDenied):
                problem = await library.notify("watch", outcome.sheet, outcome.ended, ledger=outcome.ledger)
                if problem:
                    _say(problem)
    return codes


def _line(outcome: SheetOutcome) -> str:
    name, folder = outcome.sheet.name, outcome.sheet.parent.absolute()
    if outcome.error is not None:
        words = f"{name}: {str(outcome.error).removeprefix(f'{name}: ')} (exit {outcome.exit_code:d})"
    else:
        assert outcome.summary is not None  # noqa: S101 - for the type checker: there is one or an error
        words = one_line(outcome.summary, outcome.exit_code).partition("; ledger")[0]
    line = f"{words}; in {near(folder)}"
    if outcome.place == "held":
        return f"{line}: to send it as it is, move that folder to {near(folder.parents[1] / 'agreed')}"
    return line if outcome.place or outcome.interrupted else f"{line}; to be looked at again"


def _say(words: str) -> None:
    typer.echo(f"batch-share: {words}", err=True)
