"""Revoking what one user has by every ledger of this machine: one question, then ledger by ledger."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from batch_share.cli.entry import Asked, in_short
from batch_share.cli.screen import console, one_line, say
from batch_share.cli.work import TerminalWatcher, draining, logged
from batch_share.common import plural
from batch_share.errors import BatchShareError, LedgerError, NotConfirmed, SettingsError
from batch_share.library import BatchShare
from batch_share.results.wording import ExitCode, answer
from batch_share.sending.onlookers import Doubt

if TYPE_CHECKING:
    from batch_share import Access, Ending, LedgerName
    from batch_share.cli.options import Given

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
    _ask(asking, found, user)
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


def _ask(asking: TerminalWatcher, found: Access, user: str) -> None:
    """Say how many shares of which sheets are revoked, and ask, unless `--yes` answers. Raises NotConfirmed."""
    if not found.shares:
        return
    sheets = Counter(each.sheet for each in found.shares)
    named = ", ".join(f"{sheet} ({count:,})" for sheet, count in sheets.most_common(_NAMED))
    more = f" and {plural(len(sheets) - _NAMED, 'other sheet')}" if len(sheets) > _NAMED else ""
    line = f"{plural(len(found.shares), 'share')} with {user} to revoke: {named}{more}."
    if asking.yes:
        if not asking.one_line:
            say(asking.console, line)
    elif not asking.is_sure(Doubt([line], "Revoke these shares?")):
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
