"""The command line: all commands, by what they are for, and how it begins and ends."""

from __future__ import annotations

import gc
import shlex
import sys
from typing import Annotated, Final

import typer

from batch_share.cli.cluster import cancel, jobs, schedule, submit, worker
from batch_share.cli.entry import CommandLine, standing_streams
from batch_share.cli.ledgers import access, purge, report, results, runs, status
from batch_share.cli.manual import manual
from batch_share.cli.practice import demo, sandbox
from batch_share.cli.run import follow_up, plan, resume, retry, revoke, run, watch
from batch_share.cli.serving import serve
from batch_share.cli.setup import config, doctor, login, logout, move, store, verify
from batch_share.errors import BatchShareError

_SET_UP: Final = "Set up"
_HANDED_OVER: Final = "On several hosts"
_COMMANDS: Final = {
    "Every day": (plan, run, serve, watch, status, access, results, report),
    "When something went wrong": (resume, retry, revoke, follow_up),
    _HANDED_OVER: (submit, jobs, cancel, worker),
    _SET_UP: (doctor, verify, login, logout),
    "Learn": (manual, demo, sandbox),
    "Housekeeping": (runs, purge, move),
}

app = CommandLine(
    name="batch-share",
    help="Share LeadSquared leads with sales users from a sheet: never twice, never lost.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from batch_share import __version__

        typer.echo(f"batch-share {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Share LeadSquared leads with sales users from a sheet: never twice, never lost."""


for _group, _commands in _COMMANDS.items():
    for _command in _commands:
        app.command(rich_help_panel=_group)(_command)
app.add_typer(config, name="config", rich_help_panel=_SET_UP)
app.add_typer(store, name="store", rich_help_panel=_HANDED_OVER)
app.add_typer(schedule, name="schedule", rich_help_panel=_HANDED_OVER)


@app.command(hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def reconcile(context: typer.Context) -> int:
    """Say what it is called now."""
    now = shlex.join(["batch-share", "resume", *context.args, "--only-unknown"])
    typer.echo(f"batch-share: reconcile is now called: {now}", err=True)
    return 2


def main() -> None:
    """The console script. An error is one sentence and an exit code, never a traceback: of ours that is a file."""
    # What a start imports stays, and is a few hundred thousand objects: looking through them after every 700 takes
    # a tenth of the start. 20,000 objects are a few megabytes at most.
    gc.set_threshold(20_000)
    with standing_streams():
        try:
            app()
        except BatchShareError as error:
            from batch_share.cli.screen import console, say
            from batch_share.results.wording import ExitCode

            say(console(stderr=True), f"batch-share: {error}")
            sys.exit(ExitCode.of(error))
        except Exception as error:
            from batch_share.cli.screen import console, say
            from batch_share.results.wording import ExitCode, fault

            say(console(stderr=True), f"batch-share: {fault(error, _details(error))}")
            sys.exit(ExitCode.NOT_DONE)


def _details(error: Exception) -> str | None:
    """Where the traceback is kept, for its owner alone, as the words in it may be a sheet's; None if nowhere."""
    import tempfile
    import traceback

    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", errors="replace", prefix="batch-share-fault-", suffix=".txt", delete=False
        ) as file:
            file.writelines(traceback.format_exception(error))
    except OSError:
        return None
    return file.name
