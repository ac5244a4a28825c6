"""The command `verify`: tries what an account really does, and says what follows from it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from batch_share.cli.entry import Asked
from batch_share.cli.options import Given, takes
from batch_share.errors import NotConfirmed, SettingsError

if TYPE_CHECKING:
    from batch_share import Verified


@takes("account", "event", "yes", "json", "set")
def verify(
    given: Given,
    lead: Annotated[
        str,
        typer.Argument(metavar="LEAD", help="A lead of your own to try it on: its GUID, number or e-mail address."),
    ],
    user: Annotated[
        str, typer.Argument(metavar="USER", help="An active user of your own: GUID or e-mail address.")
    ],
) -> int:
    """Try what this account really does: owners, shares, look-ups.

    Posts five activities on the lead and shares it with the user for five minutes, each time revoked at the end;
    the activities stay. Killed in between, the same command revokes first what stands. Nobody's data is in the file
    that it writes, which is fit to be sent to whoever helps you.

    Example: batch-share verify 869196 asha@example.com --event 201
    """
    import asyncio
    import sys

    from rich.table import Table

    from batch_share.cli.screen import console
    from batch_share.cli.work import TerminalWatcher
    from batch_share.library import BatchShare
    from batch_share.results.wording import ExitCode

    settings = given.settings()
    library = BatchShare(settings, watcher=TerminalWatcher(yes=True, json=given["json"]))
    if not settings.event:
        raise SettingsError(
            "event",
            "is not set: name the type of the activities with --event",
            problem="No type of activities is named.",
            hint="Name one.",
        )
    if not given["yes"]:
        if not sys.stdin.isatty():
            raise NotConfirmed
        typer.echo(library.verify_intent(lead, user), err=True)
        if not typer.confirm("Go on?", err=True):
            raise NotConfirmed
    found = asyncio.run(library.verify(lead, user))
    code = int(found.standing > 0) if found.error is None else ExitCode.of(found.error)
    if given["json"]:
        print(json.dumps(as_json(found, code)))  # noqa: T201 - what was asked for
    else:
        out, table = console(), Table(show_edge=False, pad_edge=False)
        for name in ("question", "expected", "seen"):
            table.add_column(name)
        looks = [each for each in found.answers if each.is_look_up]
        answering = sum(each.is_usual for each in looks)
        table.add_row("Which look-ups answer?", "all", f"{answering} of {len(looks)}")
        for each in found.answers:
            if each.is_usual:
                continue
            kind = "documented" if each.is_documented else "a guess"
            seen = f"{each.seen}\n→ {each.follows}" if each.follows else each.seen
            table.add_row(each.question, f"{each.expected} ({kind})", seen)
        out.print(table)
        out.print(
            "Not to be found out so: whether calls are counted in a sliding or a fixed window, and how long a "
            "request Id lives.",
            highlight=False,
        )
        if found.standing:
            out.print(f"{found.standing} shares could not be revoked: run the same command again.", style="red")
        out.print(f"Fit to be sent: {found.file}", soft_wrap=True, highlight=False)
    if found.error is not None:
        if not given["json"]:
            raise found.error
        typer.echo(f"batch-share: {found.error}", err=True)  # raised, it would be printed as an object of its own
    return code


def as_json(found: Verified, code: int) -> dict[str, object]:
    """The object that `--json` prints: what was found out, and the error that ended it, if one did."""
    at, answers = f"{found.at:%Y-%m-%dT%H:%M:%SZ}", [*map(asdict, found.answers)]
    reported = {"at": at, "file": str(found.file), "standing": found.standing, "answers": answers}
    if found.error is not None:
        reported = Asked("verify", None).stopped(found.error, code, found.error.sent_before) | reported
    return reported
