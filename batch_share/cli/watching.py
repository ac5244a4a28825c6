"""Watching an inbox under a person's hands, or a service manager's: signals, one line for each sheet, exit code."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from batch_share.cli.screen import Display, console, near, one_line, say
from batch_share.cli.work import draining
from batch_share.common import parse_seconds
from batch_share.errors import AccessDenied, BatchShareError, SettingsError
from batch_share.library import BatchShare
from batch_share.results.wording import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.jobs.watch import SheetOutcome
    from batch_share.planning.plan import SheetOptions
    from batch_share.settings import Settings


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
            case, line = outcome.sheet.parent.name, _line(outcome)
            if reported.pop(case, "") != line:
                typer.echo(line)
            if outcome.place is None:
                reported[case] = line
            is_over = outcome.place is not None or isinstance(outcome.error, AccessDenied)
            if is_over and (problem := await library.notify("watch", outcome.sheet, outcome)):
                _say(problem)
    return codes


def _line(outcome: SheetOutcome) -> str:
    name, folder = outcome.sheet.name, outcome.sheet.parent.absolute()
    if isinstance(outcome.ended, BatchShareError) or outcome.error is not None:
        words = f"{name}: {str(outcome.error).removeprefix(f'{name}: ')} (exit {outcome.exit_code:d})"
    else:
        words = one_line(outcome.ended.summary, outcome.exit_code).partition("; ledger")[0]
    line = f"{words}; in {near(folder)}"
    if outcome.place == "held":
        return f"{line}: to send it as it is, move that folder to {near(folder.parents[1] / 'agreed')}"
    return line if outcome.place or outcome.interrupted else f"{line}; to be looked at again"
