"""The `watch` command: a folder that sheets are dropped into."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from batch_share.cli.options import (
    Access,
    Bulk,
    BulkRate,
    DailyLimit,
    Duplicates,
    Duration,
    Encoding,
    Event,
    HeaderRow,
    Map,
    MappingFile,
    Note,
    OnUnknown,
    Rate,
    ShareBatch,
    TimeZone,
    TrustMarker,
    TrustOwner,
    Wait,
    Workers,
    Worksheet,
    load_given,
    sheet_options,
)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder that sheets are dropped into.")]
Once = Annotated[bool, typer.Option("--once", help="Work on what is there, and end: for cron.")]
Every = Annotated[str, typer.Option(help="How often it looks.")]
Settle = Annotated[str, typer.Option(help="How long a file must not have changed to be taken for whole.")]
YesToAll = Annotated[bool, typer.Option("--yes", "-y", help="Send sheets too that have more than 50 rows to send.")]


def watch(
    folder: Folder,
    once: Once = False,
    every: Every = "10s",
    settle: Settle = "5s",
    worksheet: Worksheet = None,
    header_row: HeaderRow = None,
    encoding: Encoding = None,
    map_: Map = None,
    mapping: MappingFile = None,
    timezone: TimeZone = None,
    event: Event = None,
    access: Access = None,
    duration: Duration = None,
    note: Note = None,
    rate: Rate = None,
    daily_limit: DailyLimit = None,
    bulk: Bulk = False,
    bulk_rate: BulkRate = None,
    share_batch: ShareBatch = None,
    workers: Workers = None,
    wait: Wait = None,
    trust_owner: TrustOwner = False,
    on_unknown: OnUnknown = None,
    trust_marker: TrustMarker = False,
    allow_duplicates: Duplicates = False,
    yes: YesToAll = False,
) -> None:
    """Run every sheet that is dropped into FOLDER, until Ctrl-C.

    It takes a sheet once it is fully written, works on it in working/, and moves it with its ledger and results to
    done/ or failed/.

    Example: batch-share watch inbox --event 201 --duration 7d --yes
    """
    from batch_share.cli.watching import Looks, watch_inbox

    settings = load_given(locals())
    options = sheet_options(worksheet, header_row, map_, mapping, None, None, None, encoding)
    looks = Looks.parse(every, settle, once=once)
    raise typer.Exit(watch_inbox(folder, options, settings, looks, yes=yes))
