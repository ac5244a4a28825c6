"""The command `access`: who has access now, by what this machine's ledgers know."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Final, Optional

import typer

from batch_share.cli.options import Given, takes

if TYPE_CHECKING:
    from datetime import datetime

    from rich.table import Table

    from batch_share import Access

_SHOWN: Final = 20
"""Shares that the screen lists."""


@takes("user", "set", "json")
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

    What ends first comes first. Without --online no call is made, and shares made on other machines are unknown.

    Example: batch-share access --ending 7d
    """
    import asyncio

    from batch_share.cli.screen import console
    from batch_share.cli.work import TerminalWatcher
    from batch_share.library import BatchShare

    library = BatchShare(given.settings(), watcher=TerminalWatcher(yes=True, json=given["json"]))
    found = asyncio.run(library.access(given["user"], lead, ending, online=online))
    if given["json"]:
        print(json.dumps(found.as_json()))  # noqa: T201 - what was asked for
        return
    out = console()
    out.print(_said(found, chosen=any((given["user"], lead, ending))), markup=False, soft_wrap=True)
    if found.shares:
        out.print(_table(found))
    if (more := len(found.shares) - _SHOWN) > 0:
        out.print(f"and {more:,} more: --json lists all")
    for remark in found.remarks:
        typer.echo(f"{remark}.", err=True)


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
        ends = f"the {'first ' if len(sure) > 1 else ''}share ends {_local(sure[0].ends_at)}"
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
        cells = (lead, user, each.access or "?", _local(each.ends_at), place)
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in cells))
    return table


def _local(at: datetime) -> str:
    """A time (UTC, without a zone) as of this machine's zone, with it."""
    from datetime import UTC

    return f"{at.replace(tzinfo=UTC).astimezone():%Y-%m-%d %H:%M %Z}"
