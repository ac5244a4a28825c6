"""The commands that hand work over: to submit a sheet, to do what was submitted, to have it done at times.

Heavy imports are inside.
"""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from batch_share.cli.entry import CommandLine
from batch_share.cli.options import Given, Sheet, sheet_options, takes
from batch_share.errors import BatchShareError, NotConfirmed, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from batch_share.cluster.queue import Queue, QueuedJob
    from batch_share.ledger.files import LedgerName
    from batch_share.library import BatchShare
    from batch_share.settings import Settings

_SHEET = ("account", "event", "access", "duration", "worksheet", "map", "rate", "bulk", "set")
_PART = ("rows", "limit", "only", "renew", "force")

JobId = Annotated[int, typer.Argument(metavar="ID", help="The Id that submit gave.")]
ScheduleName = Annotated[str, typer.Argument(metavar="NAME", help="What the schedule is called.")]


def _queue(given: Given) -> Queue:
    """What is to be done in the store in force. Raises SettingsError."""
    from batch_share.cluster.queue import Queue

    store = given.settings().store
    if store is None:
        raise SettingsError(
            "store",
            "work is handed over in a store: name it with --store, or set BATCH_SHARE_STORE. On one machine "
            "`watch`, `serve`, cron and systemd do without",
            problem="No store is set, in which work could be handed over.",
            hint="Set the URL of the store.",
        )
    return Queue.at(store.get_secret_value())


def _moment(words: str, settings: Settings, queue: Queue) -> datetime:
    """When `--at` means, by the clock of the store, which jobs are due by. Raises SettingsError, LedgerError."""
    import datetime as dt
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(settings.timezone) if settings.timezone else None
    now = queue.store.clock()().replace(tzinfo=dt.UTC).astimezone(zone)
    try:
        if len(words) <= len("07:00"):  # the next time that clocks say so
            meant = dt.datetime.combine(now.date(), dt.time.fromisoformat(words), now.tzinfo)
            return meant if meant > now else meant + dt.timedelta(days=1)
        found = dt.datetime.fromisoformat(words)
    except ValueError:
        wrong = "write 07:00, or 2026-12-01 07:00"
        raise SettingsError("--at", wrong, problem="It is not clear when the job is to begin.") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=zone).astimezone(zone)


def _agree(rows: int, *, yes: bool) -> None:
    """Have it confirmed. Raises NotConfirmed."""
    import sys

    from batch_share.cli.screen import ASK_ABOVE
    from batch_share.common import plural

    if yes:
        return
    if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty():
        if typer.confirm("Submit it?", err=True):
            return
        raise NotConfirmed
    if rows > ASK_ABOVE:
        raise NotConfirmed(
            f"Nothing was submitted: {plural(rows, 'row')} to send, more than {ASK_ABOVE}, and nobody to ask. "
            "Add --yes to submit them."
        )


def _overrides(given: Given, settings: Settings) -> dict[str, Any]:
    """What was typed that a worker is to know, and that a plan does not say. The account it knows."""
    typed = {said.partition("=")[0].strip().replace("-", "_") for said in given.get("set") or ()}
    typed |= {name for name, value in given.items() if value not in (None, False)}
    public = settings.public()
    return {name: public[name] for name in typed & public.keys() - {"host", "account", "store"}}


def _show(job: QueuedJob, words: str, *, json: bool) -> None:
    typer.echo(json_module.dumps(job.as_json()) if json else words)


def hand_over(kind: str, ledger: LedgerName, given: Given, **told: Any) -> int:
    """Have a worker do what a command would do on a ledger. Raises SettingsError, LedgerError, NotConfirmed."""
    import getpass
    import platform

    from batch_share.cluster.queue import Queue, Wanted
    from batch_share.cluster.worker import account_of

    settings, queue = given.settings(), Queue.of(ledger)
    if queue is None:
        raise SettingsError(
            "--queue",
            f"workers reach no file: leave it out, or `batch-share move {ledger}` into the store first",
            problem="The ledger is in a file, which workers can't reach.",
        )
    if not given.get("yes", True):
        raise NotConfirmed("Nothing was submitted: nobody is there to ask when a worker does it. Add --yes.")
    ledger.check_exists()
    options = {"settings": _overrides(given, settings), "told": {name: each for name, each in told.items() if each}}
    by = f"{getpass.getuser()}@{platform.node()}"
    job = queue.submit(Wanted(ledger.short, account_of(settings), by, kind, options))
    _show(job, f"Submitted as job {job.id}, of the ledger {job.ledger}.", json=given["json"])
    return 0


@takes(*_SHEET, *_PART, "store", "plan", "canary", "yes", "json")
def submit(
    sheet: Sheet,
    given: Given,
    into: Annotated[
        Optional[str],
        typer.Option(metavar="NAME", help="The ledger, of a sheet that comes again. Default: anew."),
    ] = None,
    at: Annotated[
        Optional[str],
        typer.Option(metavar="TIME", help="When to begin: 07:00, 2026-12-01 07:00. Default: at once."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end, and exit as run does.")] = False,
) -> int:
    """Hand SHEET to the workers of a store, and return.

    It shows the plan and asks as run does. The sheet is kept as it is now, and the job is held to that plan: a
    worker runs just that, or nothing.

    Example: batch-share submit leads.csv --event 201 --duration 7d
    """
    import asyncio
    import dataclasses

    from batch_share.cli.plan import show_plan
    from batch_share.cluster.worker import prepare
    from batch_share.library import BatchShare

    settings, queue = given.settings(), _queue(given)
    settings.credentials()
    due = _moment(at, settings, queue) if at is not None else None
    library = BatchShare(settings)
    told = _overrides(given, settings)
    options = sheet_options(given, settings)
    ledger = queue.ledger(into, sheet.stem)
    seen, wanted = asyncio.run(prepare(library, ledger, sheet, options, given["plan"], told))
    if not given["json"]:
        show_plan(seen, online=False, json=False)
    if seen.would_stop:
        raise NotConfirmed(f"Nothing was submitted: {seen.would_stop[0]}.")
    _agree(seen.to_send, yes=given["yes"])
    job = queue.submit(dataclasses.replace(wanted, due=due))
    if not wait:
        _show(job, f"Submitted as job {job.id}, into the ledger {job.ledger}.", json=given["json"])
        return 0
    if not given["json"]:
        typer.echo(f"Submitted as job {job.id}, into the ledger {job.ledger}.", err=True)
    return asyncio.run(_followed(queue, job.id, library, json=given["json"]))


async def _followed(queue: Queue, number: int, library: BatchShare, *, json: bool) -> int:
    """Wait for the end of a job, tell the totals of its ledger, and exit as it did."""
    import asyncio

    from batch_share.cli.screen import Display, console, say
    from batch_share.results.wording import ExitCode

    while not (job := queue.job(number)).is_over:  # noqa: ASYNC110 - it is another process's
        await asyncio.sleep(1)
    code = ExitCode(job.exit_code if job.exit_code is not None else ExitCode.INTERRUPTED)
    summary = None
    try:
        summary = await library.status(queue.ledger(job.ledger))
    except BatchShareError as error:  # it may have ended before it had a ledger
        if job.error is None:
            raise error from None
    if json:
        totals = summary.as_json() if summary is not None else None
        typer.echo(json_module.dumps(job.as_json() | {"totals": totals}))
        return code
    if job.error is not None:
        say(console(stderr=True), f"batch-share: {job.error}")
    if summary is not None:
        Display(one_line=True).line(summary, code)
    return code


@takes("store", "set", "verbose")
def worker(
    given: Given,
    account: Annotated[
        Optional[list[str]],
        typer.Option(metavar="NAME", help="Only this account; may be repeated. Default: all that it has keys for."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Do what is due, and exit.")] = False,
) -> int:
    """Do what was submitted to a store, until Ctrl-C.

    Any number of them, on any hosts, share the work: each account is driven by one at a time. Ctrl-C, or SIGTERM,
    ends the calls that are under way, and leaves the jobs to the others.

    Example: batch-share worker --once
    """
    import asyncio
    import logging
    from functools import partial

    from batch_share.cli.work import draining
    from batch_share.cluster.worker import Worker, account_of
    from batch_share.logs import LineHandler, attached, open_log
    from batch_share.results.wording import ExitCode

    queue, settings = _queue(given), given.settings()
    accounts: dict[str, Callable[[Mapping[str, Any]], Settings]] = {}

    def with_told(name: str | None, told: Mapping[str, Any]) -> Settings:
        more = [f"{setting}={value}" for setting, value in told.items()]
        return Given({**given, "account": name, "set": [*(given.get("set") or ()), *more]}).settings()

    def tell(line: str) -> None:
        typer.echo(f"batch-share: {line}", err=True)

    named: list[str | None] = [*(account or sorted(settings.accounts or ()))] or [None]
    for name in named:
        try:
            its = with_told(name, {})
            its.credentials()
        except SettingsError as error:
            if account or name is None:
                raise
            tell(f"{error}. Nothing is done for {name} here.")
            continue
        accounts[account_of(its)] = partial(with_told, name)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    at_work = Worker(queue.store, accounts, tell)

    async def work() -> None:
        with draining(lambda: at_work.drains, at_work.drain):
            await at_work.work(once=once)

    with attached(
        open_log(settings.log_folder, tell), LineHandler(tell) if given["verbose"] else None, level=level
    ):
        try:
            asyncio.run(work())
        except (KeyboardInterrupt, asyncio.CancelledError):
            tell("Cut off. What was under way is in the ledgers: another worker goes on with it.")
            return ExitCode.INTERRUPTED
    return 0


@takes("store", "json")
def cancel(job: JobId, given: Given) -> int:
    """End a job that was submitted.

    One under way ends as by Ctrl-C, and what it has sent stays; one that waits never begins.

    Example: batch-share cancel 17
    """
    asked = _queue(given).cancel(job)
    words = {
        "cancelled": f"Job {job} is cancelled.",
        "running": f"Job {job} is being ended: what it has sent stays.",
        "ended": f"Job {job} had ended already.",
    }
    _show(asked, words.get(asked.state, asked.state), json=given["json"])
    return 0


@takes("store", "json")
def jobs(
    given: Given,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest.")] = 20,
) -> int:
    """List what was submitted to a store, newest first.

    Example: batch-share jobs --limit 5
    """
    found = _queue(given).jobs(limit)
    if given["json"]:
        typer.echo(json_module.dumps([each.as_json() for each in found]))
        return 0
    for each in found:
        code = f" (exit {each.exit_code})" if each.exit_code is not None else ""
        where = f" on {each.host}" if each.state == "running" and each.host else ""
        why = f". {each.error}" if each.error else ""
        typer.echo(
            f"{each.id}  {each.submitted.astimezone():%Y-%m-%d %H:%M}  {each.kind} {each.ledger} ({each.account}), "
            f"by {each.submitted_by}: {each.state}{where}{code}{why}"
        )
    return 0


schedule = CommandLine(no_args_is_help=True, rich_markup_mode=None)


@schedule.callback()
def _root() -> None:
    """Have a sheet in a store run at times."""


@schedule.command()
@takes(*_SHEET, *_PART, "store", "yes", "json")
def add(
    name: ScheduleName,
    sheet: Sheet,
    given: Given,
    cron: Annotated[str, typer.Option(metavar="FIELDS", help='Minute hour day month weekday, "0 7 * * 1-5".')],
) -> int:
    """Run SHEET into the ledger NAME whenever --cron says so, by the clocks of --set timezone=ZONE.

    The sheet is kept in the store; submit --into NAME replaces it.

    Example: batch-share schedule add nightly leads.csv --cron "0 7 * * 1-5" --event 201 --duration 7d
    """
    import asyncio
    from datetime import UTC, datetime

    from batch_share.cli.plan import show_plan
    from batch_share.cluster.queue import next_time
    from batch_share.cluster.worker import prepare
    from batch_share.library import BatchShare

    settings, queue = given.settings(), _queue(given)
    next_time(cron, settings.timezone or "UTC", datetime.now(UTC))  # what is wrong with it is told before a plan is
    library, told = BatchShare(settings), _overrides(given, settings)
    options = sheet_options(given, settings)
    ledger = queue.ledger(name)
    seen, wanted = asyncio.run(prepare(library, ledger, sheet, options, given=told))
    if not given["json"]:
        show_plan(seen, online=False, json=False)
    _agree(seen.to_send, yes=given["yes"])
    made = queue.add_schedule(name, cron, settings.timezone or "UTC", wanted)
    if given["json"]:
        typer.echo(json_module.dumps(made.as_json()))
    else:
        typer.echo(f"{name} runs next at {made.next.astimezone():%Y-%m-%d %H:%M %Z}.")
    return 0


@schedule.command(name="list")
@takes("store", "json")
def list_(given: Given) -> int:
    """List the schedules of a store, with when each runs next and ran last.

    Example: batch-share schedule list
    """
    found = _queue(given).schedules()
    if given["json"]:
        typer.echo(json_module.dumps([each.as_json() for each in found]))
        return 0
    for each in found:
        then = "paused" if each.paused else f"next {each.next.astimezone():%Y-%m-%d %H:%M}"
        last = f", last {each.last.astimezone():%Y-%m-%d %H:%M}" if each.last else ""
        left = f", {each.dropped} left out, as the one before went on" if each.dropped else ""
        left += f", did not run at {each.missed.astimezone():%Y-%m-%d %H:%M}" if each.missed else ""
        typer.echo(f"{each.name}  {each.cron} ({each.zone}), {each.account}: {then}{last}{left}")
    return 0


@schedule.command()
@takes("store")
def pause(
    name: ScheduleName,
    given: Given,
    end: Annotated[bool, typer.Option("--end", help="Go on: one run makes up for those missed.")] = False,
) -> int:
    """Have a schedule make no runs, until pause --end.

    Example: batch-share schedule pause nightly
    """
    _queue(given).pause_schedule(name, paused=not end)
    typer.echo(f"{name} {'goes on' if end else 'is paused'}.")
    return 0


@schedule.command()
@takes("store")
def remove(name: ScheduleName, given: Given) -> int:
    """Remove a schedule. Its ledger and what it has shared stay.

    Example: batch-share schedule remove nightly
    """
    _queue(given).remove_schedule(name)
    typer.echo(f"{name} is removed.")
    return 0
