"""The commands for practice, without an account: `sandbox` and `demo`. Heavy imports are inside."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from batch_share.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch_share import Ending
    from batch_share.common import Rate
    from batch_share.sandbox import Sandbox


def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8080,
    limit: Annotated[str, typer.Option(help="Calls it allows.")] = "25/5s",
    bulk_limit: Annotated[str, typer.Option(help="Bulk calls it allows, which count as calls too.")] = "1/5s",
    share_batch: Annotated[int, typer.Option(min=1, help="Shares it takes in one call.")] = 25,
    window: Annotated[str, typer.Option(help="How it counts calls: sliding or fixed.")] = "sliding",
    latency: Annotated[str, typer.Option(help="How long a call takes.")] = "150ms",
    processing: Annotated[str, typer.Option(help="How long a share takes to be processed.")] = "3s",
    reject_as: Annotated[str, typer.Option(help="How it says “too many calls”: 429, 403 or 200.")] = "429",
    fail: Annotated[
        float, typer.Option(min=0, max=1, help="Fraction of the requests whose processing fails.")
    ] = 0.0,
    ignore_owner: Annotated[
        bool, typer.Option("--ignore-owner", help="Ignore the owner field of activities.")
    ] = False,
    hide_owner: Annotated[bool, typer.Option("--hide-owner", help="Don't show the owner of activities.")] = False,
    hide_note: Annotated[bool, typer.Option("--hide-note", help="Don't show the note of activities.")] = False,
    read_lag: Annotated[str, typer.Option(help="How long reads don't show a new activity.")] = "0s",
    refuse_in: Annotated[bool, typer.Option("--refuse-in", help="Refuse the operator IN in look-ups.")] = False,
    refuse: Annotated[
        Optional[list[str]], typer.Option(metavar="API", help="Refuse an API altogether, such as Users.Get.")
    ] = None,
    without: Annotated[
        Optional[str],
        typer.Option(metavar="API,…", help="APIs it lacks: ByIds,Users, …; helpers: all that can be done without."),
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
        typer.Option("--one-request-id", help="Answer all Shares but the first from a cache, with that one's Id."),
    ] = False,
    listed_users: Annotated[
        Optional[int], typer.Option(min=0, help="List only this many users, as large accounts may.")
    ] = None,
    faults: Annotated[
        Optional[str], typer.Option(help="What goes wrong and how often, such as applied-reset=2%,Create:503=1%.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Which leads and users it has, and which calls go wrong.")] = 1,
    replay: Annotated[
        Optional[Path],
        typer.Option(
            help="Answer as the account did that this wire log is of; the sheet to run is written beside it."
        ),
    ] = None,
) -> None:
    """Start an imitation LeadSquared here, to practise on. Ctrl-C stops it.

    --faults takes, separated by commas, KIND=PERCENT%, or ENDPOINT:KIND=PERCENT% for one endpoint: Create,
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
    given = dict(locals())
    import asyncio
    import dataclasses

    from batch_share.common import Rate, parse_seconds, plural
    from batch_share.outputs import names_for
    from batch_share.sandbox import SandboxOptions, serve_forever
    from batch_share.sandbox.replay import Replay

    if window not in {"sliding", "fixed"}:
        raise SettingsError("window", "write sliding or fixed")
    if reject_as not in {"429", "403", "200"}:
        raise SettingsError("reject-as", "write 429, 403 or 200")
    try:
        given |= {name: parse_seconds(given[name]) for name in ("latency", "processing", "read_lag")}
        given |= {
            "rate": Rate.parse(given.pop("limit")),
            "bulk_rate": Rate.parse(bulk_limit),
            "fixed_window": given.pop("window") == "fixed",
            "reject_as": int(reject_as),
            "refuse": tuple(refuse or ()),
            "without": tuple(without.split(",")) if without is not None else (),
            "faults": faults or "",
        }
        given.pop("bulk_limit")
        given.pop("replay")
        options = SandboxOptions(**given)
    except ValueError as error:
        raise SettingsError("sandbox", str(error)) from None
    wrappers = []
    if replay is not None:
        sheet = next(name for name in names_for(replay.with_suffix(".csv")) if not name.exists())
        try:
            wrappers = [again := Replay(replay)]
            again.write_sheet(sheet)
        except (OSError, ValueError) as error:
            raise SettingsError("replay", f"{replay}: {getattr(error, 'strerror', None) or error}") from None
        options = dataclasses.replace(options, rate=Rate(1000, 1.0))  # the log has every refusal there was
        typer.echo(
            f"It answers the {plural(again.calls, 'call')} of {replay}. The {plural(len(again.sheet), 'row')} that "
            f"go with it are in {sheet}."
        )
    try:
        asyncio.run(serve_forever(options, _announce, wrappers))
    except OSError as error:
        why = os.strerror(error.errno or 0)
        problem = f"{port} can't be listened on ({why}): choose another, or 0 for any"
        raise SettingsError("port", problem) from None


def _announce(sandbox: Sandbox) -> None:
    from rich.console import Console

    options = sandbox.options
    Console(highlight=False).print(
        f"The sandbox listens on {sandbox.url} and allows {options.rate}. Ctrl-C stops it.\n\n"
        f"  export BATCH_SHARE_HOST={sandbox.url}\n"
        f"  export BATCH_SHARE_ACCESS_KEY={options.access_key}\n"
        f"  export BATCH_SHARE_SECRET_KEY={options.secret_key}\n\n"
        f"What it saw: {sandbox.url}/sandbox/report",
        soft_wrap=True,
    )


def demo(
    sheets: Annotated[
        Optional[list[Path]],
        typer.Argument(metavar="[SHEET]...", help="Sheets to run. Default: made-up ones."),
    ] = None,
    folder: Annotated[
        Optional[Path], typer.Option(help="Where the files go. Default: a new temporary folder.")
    ] = None,
    limit: Annotated[str, typer.Option(help="Calls the sandbox allows; the real API: 25/5s.")] = "25/1s",
) -> int:
    """Run sheets against a sandbox of its own, to see a real run. It goes from plan to results.

    Example: batch-share demo
    """
    import asyncio
    import tempfile

    from batch_share.common import Rate

    try:
        rate = Rate.parse(limit)
    except ValueError as error:
        raise SettingsError("limit", str(error)) from None
    try:  # a folder of this demo's own, so that no demo goes on where another stopped
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        own = Path(tempfile.mkdtemp(prefix="demo-", dir=folder))
    except OSError as error:
        raise SettingsError("folder", f"{folder} can't be written ({error.strerror})") from None
    return asyncio.run(_demo(sheets or [], own, rate))


async def _demo(sheets: Sequence[Path], folder: Path, rate: Rate) -> int:
    """Run `sheets`, or made-up ones, against a sandbox of the demo's own. Raises BatchShareError."""
    from rich.console import Console
    from rich.rule import Rule

    from batch_share.common import plural
    from batch_share.ledger.states import State
    from batch_share.results.wording import ExitCode
    from batch_share.sandbox import Sandbox, SandboxOptions

    console = Console(highlight=False)
    copies = _gather(sheets, folder)
    options = SandboxOptions(port=0, rate=rate, latency=0.15, processing=2 * rate.period, fail=0.02)
    async with Sandbox(options) as sandbox:
        console.print(
            f"[bold]batch_share demo[/bold]: an imitation LeadSquared listens on {sandbox.url} and allows "
            f"{rate} (the real one: 25/5s). Each row becomes an activity, then a share; afterwards the status API "
            "is asked what became of it. Some rows are wrong on purpose.",
        )
        endings = []
        for sheet in copies:
            console.print(Rule(sheet.name, align="left"))
            endings.append(await _run(sheet, sandbox, folder))
        seen = sandbox.report()
        console.print(Rule("what the imitation LeadSquared saw", align="left"))
        console.print(
            f"{plural(seen['total_calls'], 'call')}, {plural(seen['refusals'], 'refusal')}, at most "
            f"{seen['fullest_window']} in any {rate.period:g} s. "
            f"{plural(seen['activities'], 'activity', 'activities')}, {seen['duplicates']} of them twice; "
            f"{plural(seen['live_shares']['count'], 'live share')}.",
        )
    unknown = any(ending.summary.states.get(State.UNKNOWN) for ending in endings)
    stopped = any(ending.error is not None or ending.interrupted for ending in endings)
    return ExitCode.NOT_DONE if unknown or stopped else ExitCode.DONE


def _gather(sheets: Sequence[Path], folder: Path) -> list[Path]:
    """Copies of the sheets, so that ledgers and results stand beside them and not among yours; or made-up ones."""
    import shutil

    from batch_share.outputs import names_for
    from batch_share.sandbox import World
    from batch_share.sandbox.sheets import write_csv, write_excel
    from batch_share.sheet.reader import check_sheet_file

    if not sheets:
        world = World()
        made = [folder / "leads.csv", folder / "leads.xlsx"]
        write_csv(world, made[0])
        write_excel(world, made[1])
        return made
    for sheet in sheets:
        check_sheet_file(sheet)
    copies = []
    for sheet in sheets:  # one takes no other's place: two sheets may be called the same
        place = next(name for name in names_for(folder / sheet.name) if not name.exists())
        copies.append(Path(shutil.copy(sheet, place)))
    return copies


async def _run(sheet: Path, sandbox: Sandbox, folder: Path) -> Ending:
    """One sheet, exactly as `batch-share run` does it."""
    from pydantic import SecretStr

    from batch_share.cli.work import TerminalWatcher
    from batch_share.library import BatchShare
    from batch_share.sandbox.sheets import EVENT
    from batch_share.settings import Settings

    settings = Settings(
        host=sandbox.url,
        access_key=SecretStr(sandbox.options.access_key),
        secret_key=SecretStr(sandbox.options.secret_key),
        rate=sandbox.options.rate,
        event=str(EVENT),
        duration="7d",
        state_folder=folder / ".state",
        data_folder=folder / ".data",
    )
    display = TerminalWatcher(yes=True)
    ending = await BatchShare(settings, watcher=display).run(sheet)
    display.end(ending)
    return ending
