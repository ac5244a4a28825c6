"""The commands about ledgers: what became of one, who has access; `runs` lists all, `purge` deletes old ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Optional

import typer

from batch_share.cli.options import Given, LedgerNamed, named_output, takes, tell_place
from batch_share.errors import BatchShareError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rich.console import Console
    from rich.table import Table

    from batch_share import Access
    from batch_share.ledger.known import KnownRun


@takes("account", "store", "json")
def status(
    ledger: LedgerNamed,
    given: Given,
    audit: Annotated[
        bool, typer.Option("--audit", help="Ask LeadSquared whether each activity is there once, and no other.")
    ] = False,
) -> int:
    """Show how many rows of LEDGER are in which state. It works during a run, too.

    Example: batch-share status leads.csv.ledger.db --json
    """
    import asyncio

    from batch_share.cli.screen import Display
    from batch_share.cli.work import Work
    from batch_share.library import BatchShare

    if audit:
        return Work("status --audit", ledger, given).do(lambda library: library.audit(ledger))
    summary = asyncio.run(BatchShare().status(ledger))
    Display(json=given["json"], typed=given.typed("account")).totals(summary)
    return summary.exit_code


@takes("store")
def results(
    ledger: LedgerNamed,
    given: Given,  # noqa: ARG001 - which ledger is meant was found out by it
    output: Annotated[
        Optional[Path], typer.Option("--output", "-o", help="A .csv or .xlsx file. Default: beside the sheet.")
    ] = None,
) -> None:
    """Write the sheet of LEDGER with the result of each row.

    Example: batch-share results leads.csv.ledger.db -o answered.xlsx
    """
    import asyncio

    from batch_share.library import BatchShare

    tell_place(asyncio.run(BatchShare().results(ledger, named_output(output))))


@takes("store")
def report(
    ledger: LedgerNamed,
    given: Given,  # noqa: ARG001
    output: Annotated[
        Optional[Path], typer.Option("--output", "-o", help="An .html file. Default: beside the sheet.")
    ] = None,
    most: Annotated[int, typer.Option(min=0, help="How many rows that need attention it lists.")] = 100,
) -> None:
    """Write a report on LEDGER as one HTML file.

    It has charts, can be sent and printed, and can be written during a run.

    Example: batch-share report leads.csv.ledger.db -o report.html
    """
    import asyncio

    from batch_share.library import BatchShare

    tell_place(asyncio.run(BatchShare().report(ledger, named_output(output), most=most)))


_SHOWN: Final = 20
"""Shares that the screen lists: as many as fit one."""

_WITH_ZONE: Final = "%Y-%m-%d %H:%M %Z"


@takes("account", "user", "store", "set", "json")
def access(
    given: Given,
    lead: Annotated[
        Optional[str], typer.Option(metavar="LEAD", help="Only shares of this lead: its Id or number.")
    ] = None,
    ending: Annotated[
        Optional[str], typer.Option(metavar="7d", help="Only shares that end within this time, such as 7d or 90m.")
    ] = None,
    online: Annotated[
        bool,
        typer.Option("--online", help="Also shares of other machines, by batch_share's activities in LeadSquared."),
    ] = False,
) -> None:
    """Show who has access now, according to this machine's ledgers.

    And to those of the store, if there is one. What ends first comes first. Without --online no call is made, and
    shares made on other machines are unknown.

    Example: batch-share access --ending 7d
    """
    import asyncio

    from batch_share.cli.screen import console, say
    from batch_share.cli.work import TerminalWatcher
    from batch_share.library import BatchShare

    library = BatchShare(given.settings(), watcher=TerminalWatcher(yes=True, json=given["json"]))
    found = asyncio.run(library.access(given["user"], lead, ending, online=online))
    if given["json"]:
        print(json.dumps(found.as_json()))  # noqa: T201 - what was asked for
        return
    out = console()
    say(out, _said(found, chosen=any((given["user"], lead, ending))))
    if found.shares:
        out.print(_table(found))
    if (more := len(found.shares) - _SHOWN) > 0:
        say(out, f"and {more:,} more: --json lists all")
    for remark in found.remarks:
        say(console(stderr=True), f"{remark}.")


def _said(found: Access, *, chosen: bool) -> str:
    """How many leads are shared with how many users, and what is in doubt; `chosen`: not all were asked for."""
    from batch_share.common import plural

    sure = [each for each in found.shares if not each.doubtful]
    others = sum(each.ledger is None for each in found.shares)
    doubtful = len(found.shares) - len(sure) - others
    said = f"This machine knows of no {'such ' if chosen else ''}share that gives anyone access."
    if sure:
        leads, users = ({getattr(each, name) for each in sure} for name in ("lead_id", "user_id"))
        is_shared = f"{plural(len(leads), 'lead')} {'is' if len(leads) == 1 else 'are'} shared"
        ends = f"the {'first ' if len(sure) > 1 else ''}share ends {_local(sure[0].ends_at, _WITH_ZONE)}"
        said = f"{is_shared} with {plural(len(users), 'user')}; {ends}."
    elif doubtful:
        said = "No share is known to be live."
    if doubtful:
        is_live = "is" if doubtful == 1 else "are"
        said += f" Whether {plural(doubtful, 'share')} {is_live} still live is unknown."
    if others:
        elsewhere = "another machine is" if others == 1 else "other machines are"
        made = f"{plural(others, 'share')} made on {elsewhere} live"
        said += f" By the activities in LeadSquared, {made}."
    return said


def _table(found: Access) -> Table:
    """The first shares; on a narrow terminal what is long is cut."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_edge=False, pad_edge=False)
    table.add_column("lead")
    table.add_column("user")
    table.add_column("access", no_wrap=True)
    table.add_column("ends", no_wrap=True)
    table.add_column("sheet and row")
    for each in found.shares[:_SHOWN]:
        lead, user = each.lead_number or each.lead_id, each.user_email or each.user_name or each.user_id
        place = "another machine" if each.ledger is None else f"{each.sheet} {each.sheet_row}"
        cells = (lead, user, each.access or "?", _local(each.ends_at, _WITH_ZONE), place)
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in cells))
    return table


_INDENT: Final = 2

_FILES: Final = 5
"""Files, and ledgers, of which `purge` tells one by one."""


@takes("store", "json")
def runs(
    given: Given,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest.")] = 20,
    add: Annotated[
        Optional[list[Path]],
        typer.Option(metavar="LEDGER", help="A ledger that is not listed, such as one from another machine."),
    ] = None,
    forget: Annotated[
        Optional[str],
        typer.Option(metavar="RUN", help="Give up the job of the run with this Id, so that it holds no rows."),
    ] = None,
) -> None:
    """List the runs on this machine, newest first.

    With a store, also those of all hosts that work with it. Commands that take a ledger also take a run Id, or
    last.

    Example: batch-share runs --limit 5
    """
    import asyncio

    from batch_share.cli.screen import console, say
    from batch_share.library import BatchShare

    library = BatchShare(given.settings())
    if forget is not None:
        given_up = asyncio.run(library.forget(forget))
        words = f"Gave up the job of run {given_up.id}: it no longer holds rows of other sheets."
        say(console(stderr=True), words)
    known = asyncio.run(library.runs(limit + 1, add=add or []))
    found = known.runs[:limit]
    for remark in known.remarks:
        say(console(stderr=True), f"{remark}.")
    if given["json"]:
        print(json.dumps([each.as_json() for each in found]))  # noqa: T201 - what was asked for
    else:
        out = console()
        _show_runs(out, found)
        if len(known.runs) > limit:
            say(out, f"and older ones: --limit {2 * limit} lists more")


def _show_runs(out: Console, found: Sequence[KnownRun]) -> None:
    from urllib.parse import urlsplit

    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    from batch_share.cli.screen import UNBROKEN, say
    from batch_share.results.wording import DECLINED, NOT_BEGUN, end_in_short

    if not found:
        out.print("No runs yet on this machine.")
        return
    lines, hosts = [], {each.host for each in found}
    for each in found:
        which = each.id, _local(each.started_at), each.command, each.sheet or ""
        counts = ", ".join(f"{count:,} {state}" for state, count in (each.counts or {}).items())
        how = "running" if each.ended_at is None else end_in_short(each.ended) if each.ended else ""
        how = NOT_BEGUN if how == DECLINED else how
        how, style = (f"{how}; purged", "dim") if each.purged_at else (how, "")
        # Where its files are, unless that is here, or its name in the store; and whose, if not all are one's.
        folder, host = Path(str(each.ledger)).absolute().parent, urlsplit(each.host).netloc
        place = each.ledger.short if each.ledger.in_store else str(folder) if folder != Path.cwd() else ""
        places = place, host if len(hosts) > 1 else ""
        lines.append((which, how, counts, " → ".join(filter(None, places)), style))
    table = Table(show_edge=False, pad_edge=False)
    for name in ("run Id", "started", "command", "sheet", "ended", "rows"):
        table.add_column(name)
    if has_places := any(place for *_, place, _ in lines):
        table.add_column("where")
    for which, how, counts, place, style in lines:
        table.add_row(*map(Text, (*which, how, counts, place)[: 7 if has_places else 6]), style=style)
    if Measurement.get(out, out.options.update(max_width=UNBROKEN), table).maximum <= out.width:
        out.print(table)
        return
    for which, how, counts, place, style in lines:  # no room for it: which run it was, and below it how it ended
        say(out, "  ".join(filter(None, which)), style)
        ended = ": ".join(filter(None, (how, counts)))
        for line in (ended,) if len(ended) + _INDENT <= out.width else (how, counts):
            say(out, line, style, indent=_INDENT)
        if place:
            say(out, f"in {place}", style, indent=_INDENT)


def _local(at: datetime, shape: str = "%Y-%m-%d %H:%M") -> str:
    """A time (UTC, without a zone) as of this machine's zone."""
    from datetime import UTC

    return at.replace(tzinfo=UTC).astimezone().strftime(shape)


@takes("store", "json")
def purge(
    given: Given,
    older_than: Annotated[str, typer.Option(metavar="90d", help="Runs that ended longer ago than this.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also ledgers with rows to send, in doubt, or with live shares.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before deleting.")] = False,
) -> None:
    """Delete the personal data that old runs left behind.

    That is their ledger, the results and what else was written beside the sheet, unless it was changed since; the
    sheet itself is never deleted, and the counts are kept. So for the store's ledgers, whichever host made them;
    files on other hosts stay. Stored look-ups are deleted without asking. A ledger stays if it is in use,
    has rows to send, unknown or accepted, or has live shares.

    Example: batch-share purge --older-than 90d
    """
    import asyncio

    from batch_share.cli.screen import console, say
    from batch_share.common import plural
    from batch_share.library import BatchShare

    library, out = BatchShare(given.settings()), console(stderr=given["json"])
    sweep = asyncio.run(library.purge(older_than, force=force))
    kept = [f"{each.ledger}: {each.why}" for each in sweep.kept]
    kept += [f"{file}: it was changed since it was written" for old in sweep.old for file in old.changed]
    for each in kept[:_FILES]:
        say(out, each, head="Kept:")
    if len(kept) > _FILES:
        say(out, f"and {len(kept) - _FILES:,} more", head="Kept:")
    files = [str(file) for old in sweep.old for file in old.files]
    if sweep.old:
        of = plural(len(sweep.old), "ledger")
        if stored := sum(old.known.ledger.in_store for old in sweep.old):
            of += f", {stored:,} of them in the store"
        say(out, f"To be deleted, of {of}: {plural(len(files), 'file')}")
    for file in files[:_FILES]:
        out.print(f"  {file}", soft_wrap=True, markup=False)
    if len(files) > _FILES:
        say(out, f"and {len(files) - _FILES:,} more", indent=2)
    look_up, question = "stored look-up", "[bold]Delete these for good? (y/N) [/bold]"
    if not sweep.old:
        sweep = asyncio.run(library.delete(sweep))
        out.print(f"Deleted: {plural(sweep.forgotten, look_up)}." if sweep.forgotten else "Nothing to delete.")
    elif yes or (sys.stdin.isatty() and out.input(question).strip().lower() in {"y", "yes"}):
        sweep = asyncio.run(library.delete(sweep))
        for late in sweep.kept_at_last[:_FILES]:
            say(out, f"{late.ledger}: {late.why}", head="Kept after all:")
        deleted = [
            *([plural(len(sweep.purged), "ledger")] if sweep.purged else []),
            plural(len(sweep.deleted), "file"),
            *([plural(sweep.forgotten, look_up)] if sweep.forgotten else []),
        ]
        say(out, f"{' and '.join(deleted)}. The runs' counts are kept: `batch-share runs`.", head="Deleted:")
    else:
        raise BatchShareError(
            "Nothing was deleted: it was not confirmed. --yes confirms it.",
            problem="Nothing was deleted: it was not confirmed.",
            hint="Confirm it to delete it.",
        )
    if given["json"]:
        print(json.dumps(sweep.as_json()))  # noqa: T201 - what was asked for
