"""The commands. Heavy libraries are imported inside them, so that `--help` answers at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from batch_share import __version__
from batch_share.cli.entry import CommandLine, standing_streams
from batch_share.cli.ledgers import purge, report, runs
from batch_share.cli.options import (
    Access,
    Bulk,
    BulkRate,
    Canary,
    DailyLimit,
    Due,
    Duplicates,
    Duration,
    Encoding,
    Event,
    Force,
    HeaderRow,
    IfChanged,
    Json,
    LedgerFile,
    LedgerOption,
    Limit,
    Map,
    MappingFile,
    MaxPerUser,
    MaxRevokes,
    MaxRows,
    NoFollowUp,
    Note,
    NotifyOption,
    OneLine,
    Online,
    Only,
    OnUnknown,
    Rate,
    Renew,
    Rows,
    ShareBatch,
    Sheet,
    StopAfterFailures,
    StopAt,
    TimeZone,
    TrustIds,
    TrustMarker,
    TrustOwner,
    Verbose,
    Wait,
    Workers,
    Worksheet,
    Yes,
    load_given,
    named_output,
    sheet_options,
    tell_place,
)
from batch_share.cli.setup import config, doctor, login, logout
from batch_share.cli.undoing import retry, revoke
from batch_share.cli.watch import watch
from batch_share.errors import BatchShareError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from batch_share.jobs.job import Ending
    from batch_share.sending.onlookers import Watcher

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
        typer.echo(f"batch-share {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Share LeadSquared leads with sales users from a sheet: never twice, never lost."""


@app.command()
def plan(
    sheet: Sheet,
    ledger: LedgerOption = None,
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
    limit: Limit = None,
    rows: Rows = None,
    only: Only = None,
    rate: Rate = None,
    daily_limit: DailyLimit = None,
    bulk: Bulk = False,
    bulk_rate: BulkRate = None,
    share_batch: ShareBatch = None,
    allow_duplicates: Duplicates = False,
    renew: Renew = None,
    force: Force = False,
    max_rows: MaxRows = None,
    max_per_user: MaxPerUser = None,
    max_revokes: MaxRevokes = None,
    canary: Canary = None,
    stop_after_failures: StopAfterFailures = None,
    stop_at: StopAt = None,
    trust_ids: TrustIds = False,
    online: Online = False,
    output: Annotated[
        Optional[Path], typer.Option("--output", "-o", help="A .csv or .xlsx file for the plan of every row.")
    ] = None,
    save: Annotated[
        Optional[Path], typer.Option(help="A file for what was planned: run --plan accepts no other.")
    ] = None,
    save_map: Annotated[Optional[Path], typer.Option(help="A file for the mapping used, for --mapping.")] = None,
    json: Json = False,
) -> None:
    """Show what a run of SHEET would do, and send nothing. Without --online no call is made at all.

    Example: batch-share plan leads.csv --event 201 --duration 7d
    """
    from batch_share.cli.plan import PlanFiles, show_plan
    from batch_share.ledger.files import ledger_beside
    from batch_share.planning.intake import SheetJob

    options = sheet_options(worksheet, header_row, map_, mapping, limit, rows, only, encoding)
    settings = load_given(locals())
    job = SheetJob(sheet, ledger or ledger_beside(sheet), options)
    files = PlanFiles.named(job, settings, output=output, save=save, save_map=save_map)
    raise typer.Exit(show_plan(job, settings, files, online=online, json=json))


@app.command()
def run(
    sheet: Sheet,
    ledger: LedgerOption = None,
    plan: Annotated[
        Optional[Path], typer.Option(help="A plan that plan --save wrote: run this or nothing.")
    ] = None,
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
    limit: Limit = None,
    rows: Rows = None,
    only: Only = None,
    rate: Rate = None,
    daily_limit: DailyLimit = None,
    bulk: Bulk = False,
    bulk_rate: BulkRate = None,
    share_batch: ShareBatch = None,
    workers: Workers = None,
    wait: Wait = None,
    no_follow_up: NoFollowUp = False,
    trust_ids: TrustIds = False,
    trust_owner: TrustOwner = False,
    on_unknown: OnUnknown = None,
    trust_marker: TrustMarker = False,
    allow_duplicates: Duplicates = False,
    if_changed: IfChanged = False,
    renew: Renew = None,
    force: Force = False,
    max_rows: MaxRows = None,
    max_per_user: MaxPerUser = None,
    max_revokes: MaxRevokes = None,
    canary: Canary = None,
    stop_after_failures: StopAfterFailures = None,
    stop_at: StopAt = None,
    yes: Yes = False,
    one_line: OneLine = False,
    notify: NotifyOption = None,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Share every lead of SHEET with its user, and write the results.

    It follows up, and the results go beside the sheet. The same command again goes on where it stopped and repeats
    nothing.

    Example: batch-share run leads.csv --event 201 --duration 7d
    """
    from batch_share.cli.notifying import Notifier
    from batch_share.cli.screen import Display
    from batch_share.cli.work import at_rest, finish
    from batch_share.jobs.outputs import unchanged
    from batch_share.ledger.files import ledger_beside
    from batch_share.library import BatchShare
    from batch_share.planning.intake import SheetJob

    settings = load_given(locals())
    options = sheet_options(worksheet, header_row, map_, mapping, limit, rows, only, encoding)
    its_ledger = ledger or ledger_beside(sheet)
    display = Display(yes=yes, json=json, one_line=settings.one_line)
    if if_changed and at_rest(lambda: unchanged(SheetJob(sheet, its_ledger, options, plan), settings), display):
        return

    def job(watcher: Watcher) -> Coroutine[Any, Any, Ending]:
        return BatchShare(settings, watcher=watcher).run(sheet, options, ledger=its_ledger, approved=plan)

    raise typer.Exit(
        finish(job, display, settings, Notifier(settings.notify, "run", sheet, its_ledger), verbose=verbose)
    )


@app.command()
def resume(
    ledger: LedgerFile,
    rate: Rate = None,
    daily_limit: DailyLimit = None,
    bulk: Bulk = False,
    bulk_rate: BulkRate = None,
    share_batch: ShareBatch = None,
    workers: Workers = None,
    wait: Wait = None,
    no_follow_up: NoFollowUp = False,
    trust_owner: TrustOwner = False,
    on_unknown: OnUnknown = None,
    trust_marker: TrustMarker = False,
    due: Due = False,
    renew: Renew = None,
    force: Force = False,
    max_rows: MaxRows = None,
    max_per_user: MaxPerUser = None,
    max_revokes: MaxRevokes = None,
    canary: Canary = None,
    stop_after_failures: StopAfterFailures = None,
    stop_at: StopAt = None,
    yes: Yes = False,
    one_line: OneLine = False,
    notify: NotifyOption = None,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Go on with LEDGER where its run stopped. The sheet is not needed, and nothing is repeated.

    Rows that wait for their time are sent once it has come.

    Example: batch-share resume leads.csv.ledger.db
    """
    from batch_share.cli.notifying import Notifier
    from batch_share.cli.screen import Display
    from batch_share.cli.work import at_rest, finish
    from batch_share.jobs.outputs import nothing_due
    from batch_share.library import BatchShare

    settings = load_given(locals())
    display = Display(yes=yes, json=json, one_line=settings.one_line)
    if due and at_rest(lambda: nothing_due(ledger), display):
        return

    def job(watcher: Watcher) -> Coroutine[Any, Any, Ending]:
        return BatchShare(settings, watcher=watcher).resume(ledger)

    raise typer.Exit(
        finish(job, display, settings, Notifier(settings.notify, "resume", ledger, ledger), verbose=verbose)
    )


app.command()(retry)
app.command()(revoke)


@app.command()
def reconcile(
    ledger: LedgerFile,
    rate: Rate = None,
    daily_limit: DailyLimit = None,
    bulk: Bulk = False,
    bulk_rate: BulkRate = None,
    share_batch: ShareBatch = None,
    wait: Wait = None,
    no_follow_up: NoFollowUp = False,
    on_unknown: OnUnknown = None,
    trust_marker: TrustMarker = False,
    notify: NotifyOption = None,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Settle the unknown rows of LEDGER, and send nothing else.

    Their activities are found, or posted again where they never arrived, and shared.

    Example: batch-share reconcile leads.csv.ledger.db
    """
    from batch_share.cli.notifying import Notifier
    from batch_share.cli.screen import Display
    from batch_share.cli.work import finish
    from batch_share.library import BatchShare

    settings = load_given(locals())
    display = Display(json=json)

    def job(watcher: Watcher) -> Coroutine[Any, Any, Ending]:
        return BatchShare(settings, watcher=watcher).resume(ledger, only_unknown=True)

    raise typer.Exit(
        finish(job, display, settings, Notifier(settings.notify, "reconcile", ledger, ledger), verbose=verbose)
    )


@app.command("follow-up")
def follow_up(
    ledger: LedgerFile,
    rate: Rate = None,
    daily_limit: DailyLimit = None,
    wait: Wait = None,
    notify: NotifyOption = None,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Ask what became of every accepted share of LEDGER. The results are written again.

    Example: batch-share follow-up leads.csv.ledger.db --wait 30s
    """
    from batch_share.cli.notifying import Notifier
    from batch_share.cli.screen import Display
    from batch_share.cli.work import finish
    from batch_share.library import BatchShare

    settings = load_given(locals())
    display = Display(json=json)

    def job(watcher: Watcher) -> Coroutine[Any, Any, Ending]:
        return BatchShare(settings, watcher=watcher).follow_up(ledger)

    raise typer.Exit(
        finish(job, display, settings, Notifier(settings.notify, "follow-up", ledger, ledger), verbose=verbose)
    )


@app.command()
def status(ledger: LedgerFile, json: Json = False) -> None:
    """Show how many rows of LEDGER are in which state. It can be asked while a run works on it.

    Example: batch-share status leads.csv.ledger.db --json
    """
    import asyncio

    from batch_share.cli.screen import Display
    from batch_share.library import BatchShare

    summary = asyncio.run(BatchShare().status(ledger))
    Display(json=json).totals(summary)
    raise typer.Exit(summary.exit_code)


@app.command()
def results(
    ledger: LedgerFile,
    output: Annotated[
        Optional[Path], typer.Option("--output", "-o", help="A .csv or .xlsx file. Default: beside the sheet.")
    ] = None,
) -> None:
    """Write the sheet of LEDGER with what became of each row.

    Example: batch-share results leads.csv.ledger.db -o answered.xlsx
    """
    import asyncio

    from batch_share.jobs.outputs import results_of

    tell_place(asyncio.run(results_of(ledger, named_output(output))))


app.command("report")(report)


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8080,
    limit: Annotated[str, typer.Option(help="Calls it allows.")] = "25/5s",
    bulk_limit: Annotated[str, typer.Option(help="Bulk calls it allows, which count as calls too.")] = "1/5s",
    share_batch: Annotated[int, typer.Option(min=1, help="Shares that it takes in one call.")] = 25,
    window: Annotated[str, typer.Option(help="How it counts them: sliding or fixed.")] = "sliding",
    latency: Annotated[str, typer.Option(help="How long a call takes.")] = "150ms",
    processing: Annotated[str, typer.Option(help="How long a share takes to be processed.")] = "3s",
    reject_as: Annotated[str, typer.Option(help="How it says “too many calls”: 429, 403 or 200.")] = "429",
    fail: Annotated[float, typer.Option(min=0, max=1, help="Share of the requests whose processing fails.")] = 0.0,
    ignore_owner: Annotated[
        bool, typer.Option("--ignore-owner", help="Ignore the owner field of activities.")
    ] = False,
    hide_owner: Annotated[bool, typer.Option("--hide-owner", help="Show nobody's owner of an activity.")] = False,
    hide_note: Annotated[bool, typer.Option("--hide-note", help="Show nobody the note of an activity.")] = False,
    read_lag: Annotated[str, typer.Option(help="How long a new activity is not shown by reads.")] = "0s",
    refuse_in: Annotated[bool, typer.Option("--refuse-in", help="Refuse the operator IN in look-ups.")] = False,
    refuse: Annotated[
        Optional[list[str]], typer.Option(metavar="API", help="Refuse an API whole, such as Users.Get.")
    ] = None,
    without: Annotated[
        Optional[str],
        typer.Option(metavar="API,…", help="APIs that it does not have: ByIds,Users, …; helpers: hardly any."),
    ] = None,
    dialect: Annotated[str, typer.Option(help="How its answers are written.")] = "plain",
    owners: Annotated[
        str, typer.Option(help="What it shows as an activity's owner: id, email, name, or both name and Ids.")
    ] = "id",
    paging: Annotated[
        str, typer.Option(help="How it lists activities: usual, ignored, oldest-first or page-count.")
    ] = "usual",
    one_request_id: Annotated[
        bool,
        typer.Option("--one-request-id", help="Let a cache answer all Shares but the first, with that one's Id."),
    ] = False,
    listed_users: Annotated[
        Optional[int], typer.Option(min=0, help="List only so many users, as large accounts may.")
    ] = None,
    faults: Annotated[
        Optional[str], typer.Option(help="What goes wrong how often, such as applied-reset=2%,Create:503=1%.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Which leads and users it has, and which calls go wrong.")] = 1,
) -> None:
    """Start an imitation LeadSquared here, to rehearse on. Ctrl-C ends it.

    --faults takes, with commas between them, KIND=PERCENT%, or ENDPOINT:KIND=PERCENT% for one endpoint: Create,
    Share, Status, Retrieve, Revoke, Bulk, Leads, Users, or the last part of another's path. Not done, and the
    answer says so: error-envelope, failed, throttle-200, 400, 401, 403, 404, 429, 429-retry-after, 500-mx. Not
    done, and nobody can tell: bad-json, no-id, html, truncated, 204, 302, 500, 502, 503, 504, reset, silent,
    refused; with applied- before it, it is done. Done, and oddly answered: wrong-type, slow. Of Status alone:
    pending, unknown-number, id-gone. Of Bulk alone: shuffled, unnumbered, item-missing, item-doubled,
    misnumbered, unsaid, applied-500-mx. Done, and denied: applied-404, and with the Id of what was made, of Create,
    Share and Revoke alone, failed-with-id and error-with-id.

    --without takes such endpoints, and helpers: all but Create, Share, Status and Revoke.

    --dialect is plain, or for names in another case lower, upper, swapped (ID and Id); for values texts (no
    numbers), nulls (for what is left out); for lists wrapped (none is bare), single (no list of one); for the
    whole answer bom (a byte order mark first), typeless (no Content-Type).

    --paging ignored lists the first page whichever is asked for; page-count counts the page, not all there are.

    Example: batch-share sandbox --port 8080 --limit 25/5s --latency 150ms
    """
    from batch_share.cli.practice import serve_sandbox

    serve_sandbox(
        port=port,
        rate=limit,
        bulk_rate=bulk_limit,
        share_batch=share_batch,
        window=window,
        latency=latency,
        processing=processing,
        read_lag=read_lag,
        reject_as=reject_as,
        fail=fail,
        ignore_owner=ignore_owner,
        hide_owner=hide_owner,
        hide_note=hide_note,
        refuse_in=refuse_in,
        refuse=tuple(refuse or ()),
        without=tuple(without.split(",")) if without is not None else (),
        dialect=dialect,
        owners=owners,
        paging=paging,
        one_request_id=one_request_id,
        listed_users=listed_users,
        faults=faults or "",
        seed=seed,
    )


@app.command()
def demo(
    sheets: Annotated[
        Optional[list[Path]],
        typer.Argument(metavar="[SHEET]...", help="Sheets to run; made up, if none are given."),
    ] = None,
    folder: Annotated[
        Optional[Path], typer.Option(help="Where the files go. Default: a new temporary folder.")
    ] = None,
    limit: Annotated[str, typer.Option(help="Calls that the sandbox allows; the real API: 25/5s.")] = "25/1s",
) -> None:
    """Run sheets against a sandbox of its own, to see a real run. It goes from plan to results.

    Example: batch-share demo
    """
    from batch_share.cli.practice import run_demo

    raise typer.Exit(run_demo(sheets or [], folder, limit))


app.command("runs")(runs)
app.command("purge")(purge)
app.command("watch")(watch)
app.add_typer(config, name="config")
app.command("doctor")(doctor)
app.command("login")(login)
app.command("logout")(logout)


def main() -> None:
    """The console script. A foreseeable error is one sentence and an exit code, never a traceback."""
    with standing_streams():
        try:
            app()
        except BatchShareError as error:
            from batch_share.results.summary import code_of

            typer.echo(f"batch-share: {error}", err=True)
            sys.exit(code_of(error))
