"""The commands about ledgers: `report` on one, `runs` lists them all, `purge` deletes what is left of old ones."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Optional

import typer

from batch_share.cli.options import Json, LedgerFile, load, named_output, tell_place
from batch_share.errors import BatchShareError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rich.console import Console
    from rich.table import Table

    from batch_share.jobs.purge import Sweep
    from batch_share.ledger.known import KnownRun


def report(
    ledger: LedgerFile,
    output: Annotated[
        Optional[Path], typer.Option("--output", "-o", help="An .html file. Default: beside the sheet.")
    ] = None,
    most: Annotated[int, typer.Option(min=0, help="Rows to look at that are listed.")] = 100,
) -> None:
    """Write what became of LEDGER as one HTML file, for people.

    It has charts, is good to read, send and print, and can be asked while a run works on the ledger.

    Example: batch-share report leads.csv.ledger.db -o report.html
    """
    import asyncio

    from batch_share.jobs.outputs import report_of

    tell_place(asyncio.run(report_of(ledger, named_output(output), most)))


_WIDEST: Final = 120
"""Characters of how a run ended."""

_INDENT: Final = 2


def ledger_of_run(named: str) -> Path:
    """The ledger of the run with this Id, or of the `last` one. Raises LedgerError, HistoryError."""
    from batch_share.planning import already_shared

    return already_shared.ledger_of_run(load(), named)


def runs(
    limit: Annotated[int, typer.Option(min=1, help="So many at most, the newest.")] = 20,
    add: Annotated[
        Optional[list[Path]],
        typer.Option(metavar="LEDGER", help="A ledger that is not listed: one of another machine, say."),
    ] = None,
    json: Json = False,
) -> None:
    """List the runs on this machine, newest first.

    Commands that take a ledger take the Id of one of its runs too, or last.

    Example: batch-share runs --limit 5
    """
    import asyncio

    from batch_share.cli.screen import console
    from batch_share.planning.already_shared import known_runs

    settings = load()
    known = asyncio.run(known_runs(settings, limit, add or []))
    found = known.runs
    for remark in known.remarks:
        typer.echo(f"{remark}.", err=True)
    if json:
        print(json_module.dumps([each.as_json() for each in found]))  # noqa: T201 - what was asked for
    else:
        _show_runs(console(), found)


def _show_runs(out: Console, found: Sequence[KnownRun]) -> None:
    from rich.measure import Measurement

    from batch_share.cli.screen import UNBROKEN

    if not found:
        out.print("No run yet on this machine.")
        return
    table = _table(found)
    if Measurement.get(out, out.options.update(max_width=UNBROKEN), table).maximum <= out.width:
        out.print(table)
        return
    for each in found:
        _show_block(out, each)


def _table(found: Sequence[KnownRun]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_edge=False, pad_edge=False)
    for name in ("run Id", "started", "command", "sheet", "ended", "rows"):
        table.add_column(name)
    for each in found:
        cells = (*_which(each), _how(each), _counts(each.counts))
        table.add_row(*map(Text, cells), style=_style(each))
    return table


def _show_block(out: Console, run: KnownRun) -> None:
    """A run on a terminal that has no room for the table: which it was, and below it how it ended."""
    from rich.padding import Padding
    from rich.text import Text

    parts = [part for part in (_how(run), _counts(run.counts)) if part]
    on_one_line = ": ".join(parts)
    below = [on_one_line] if len(on_one_line) + _INDENT <= out.width else parts
    out.print(Text("  ".join(filter(None, _which(run))), style=_style(run)))
    for line in below:
        out.print(Padding(Text(line, style=_style(run)), (0, 0, 0, _INDENT), expand=False))


def _style(run: KnownRun) -> str:
    return "dim" if run.purged_at else ""


def _which(run: KnownRun) -> tuple[str, ...]:
    return run.id, _local(run.started_at), run.command, run.sheet or ""


def _local(at: datetime) -> str:
    from datetime import UTC

    return f"{at.replace(tzinfo=UTC).astimezone():%Y-%m-%d %H:%M}"


def _how(run: KnownRun) -> str:
    how = "running" if run.ended_at is None else _shortened(run.ended or "")
    return f"{how}; purged" if run.purged_at else how


def _shortened(words: str) -> str:
    """All of it, or the first sentence of what is long: what went wrong comes first, what to do then."""
    if len(words) <= _WIDEST:
        return words
    first = words.partition(". ")[0].rstrip(".")
    return first if len(first) <= _WIDEST else f"{first[:_WIDEST]}…"


def _counts(counts: Mapping[str, int] | None) -> str:
    return ", ".join(f"{count:,} {state}" for state, count in (counts or {}).items())


def purge(
    older_than: Annotated[str, typer.Option(metavar="90d", help="Runs that ended longer ago than this.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also ledgers with rows to send, in doubt, or with live shares.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before deleting.")] = False,
    json: Json = False,
) -> None:
    """Delete what old runs left that holds personal data.

    That is their ledger, the results and what else was written of it beside the sheet, unless it was changed since;
    the sheet itself is never deleted, and the counts are kept. A ledger with rows still to be sent, unknown or
    accepted, or with shares that are still live, stays, as does one in use.

    Example: batch-share purge --older-than 90d
    """
    import asyncio

    from batch_share.cli.screen import console
    from batch_share.common import parse_duration
    from batch_share.jobs.purge import delete, find_old

    try:
        minutes = parse_duration(older_than)
    except ValueError as error:
        raise SettingsError("older-than", str(error)) from None
    settings, out = load(), console(stderr=json)
    sweep = asyncio.run(find_old(settings, minutes, force=force))
    _show_sweep(out, sweep)
    if not sweep.old:
        out.print("Nothing to delete.")
    elif yes or _agreed(out):
        sweep = asyncio.run(delete(settings, sweep))
        _show_deleted(out, sweep)
    else:
        raise BatchShareError(
            "Nothing was deleted: it was not confirmed. --yes answers.",
            problem="Nothing was deleted: it was not confirmed.",
            hint="Confirm it, if it is to be deleted.",
        )
    if json:
        print(json_module.dumps(sweep.as_json()))  # noqa: T201 - what was asked for


def _agreed(out: Console) -> bool:
    import sys

    if not sys.stdin.isatty():
        return False
    return out.input("[bold]Delete these for good? (y/N) [/bold]").strip().lower() in {"y", "yes"}


def _show_sweep(out: Console, sweep: Sweep) -> None:
    from batch_share.common import plural

    for kept in sweep.kept:
        out.print(f"Kept: {kept.ledger}: {kept.why}", soft_wrap=True, markup=False)
    if sweep.old:
        count = sum(len(each.files) for each in sweep.old)
        out.print(f"To be deleted, of {plural(len(sweep.old), 'ledger')}: {plural(count, 'file')}")
    for old in sweep.old:
        for file in old.files:
            out.print(f"  {file}", soft_wrap=True, markup=False)
    for file in (file for old in sweep.old for file in old.changed):
        out.print(f"Kept: {file}: it was changed since it was written", soft_wrap=True, markup=False)


def _show_deleted(out: Console, sweep: Sweep) -> None:
    from batch_share.common import plural

    for kept in sweep.kept_at_last:
        out.print(f"Kept after all: {kept.ledger}: {kept.why}", soft_wrap=True, markup=False)
    out.print(f"Deleted: {plural(len(sweep.deleted), 'file')}. The runs' counts are kept: `batch-share runs`.")
