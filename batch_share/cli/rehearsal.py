"""The sandbox and the demo: trying everything without an account."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from rich.console import Console
from rich.rule import Rule

from batch_share.cli.work import TerminalWatcher
from batch_share.common import Rate, parse_seconds, plural
from batch_share.errors import SettingsError
from batch_share.ledger.states import State
from batch_share.library import BatchShare
from batch_share.outputs import names_for
from batch_share.results.summary import ExitCode
from batch_share.sandbox import Sandbox, SandboxOptions, World, serve_forever
from batch_share.sandbox.replay import Replay
from batch_share.sandbox.sheets import EVENT, write_csv, write_excel
from batch_share.settings import Settings
from batch_share.sheet.reader import check_sheet_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch_share import Ending


def serve_sandbox(
    *,
    limit: str,
    bulk_limit: str,
    window: str,
    reject_as: str,
    refuse: Sequence[str] | None,
    without: str | None,
    faults: str | None,
    replay: Path | None,
    **given: Any,
) -> None:
    """Serve a sandbox, as the command's options say, until a signal ends it, telling how to use it.

    Raises SettingsError.
    """
    if window not in {"sliding", "fixed"}:
        raise SettingsError("window", "write sliding or fixed")
    if reject_as not in {"429", "403", "200"}:
        raise SettingsError("reject-as", "write 429, 403 or 200")
    try:
        given |= {name: parse_seconds(given[name]) for name in ("latency", "processing", "read_lag")}
        options = SandboxOptions(
            rate=Rate.parse(limit),
            bulk_rate=Rate.parse(bulk_limit),
            fixed_window=window == "fixed",
            reject_as=int(reject_as),
            refuse=tuple(refuse or ()),
            without=tuple(without.split(",")) if without is not None else (),
            faults=faults or "",
            **given,
        )
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
        options = replace(options, rate=Rate(limit=1000, period=1.0))  # the log has every refusal there was
        Console(highlight=False).print(
            f"It answers the {plural(again.calls, 'call')} of {replay}, {plural(len(again.sheet), 'row')} of which "
            f"to run are in {sheet}.",
            soft_wrap=True,
        )
    try:
        asyncio.run(serve_forever(options, _announce, wrappers))
    except OSError as error:
        problem = (
            f"{options.port} can't be listened on ({os.strerror(error.errno or 0)}): choose another, or 0 for any"
        )
        raise SettingsError("port", problem) from None


def _announce(sandbox: Sandbox) -> None:
    options = sandbox.options
    Console(highlight=False).print(
        f"The sandbox listens on {sandbox.url} and allows {options.rate}. Ctrl-C ends it.\n\n"
        f"  export BATCH_SHARE_HOST={sandbox.url}\n"
        f"  export BATCH_SHARE_ACCESS_KEY={options.access_key}\n"
        f"  export BATCH_SHARE_SECRET_KEY={options.secret_key}\n\n"
        f"What it saw: {sandbox.url}/sandbox/report",
        soft_wrap=True,
    )


def run_demo(sheets: Sequence[Path], folder: Path | None, limit: str) -> ExitCode:
    """Run `sheets`, or made-up ones, against a sandbox of the demo's own. Raises BatchShareError."""
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
    return asyncio.run(_demo(sheets, own, rate))


async def _demo(sheets: Sequence[Path], folder: Path, rate: Rate) -> ExitCode:
    console = Console(highlight=False)
    copies = _gather(sheets, folder)
    options = SandboxOptions(port=0, rate=rate, latency=0.15, processing=2 * rate.period, fail=0.02)
    async with Sandbox(options) as sandbox:
        console.print(
            f"[bold]batch_share demo[/bold]: an imitation LeadSquared listens on {sandbox.url} and allows "
            f"{sandbox.options.rate} (the real one: 25/5s). Each row becomes an activity, then a share; afterwards "
            "the status API is asked what became of it. Some rows are wrong on purpose.",
        )
        endings = []
        for sheet in copies:
            console.print(Rule(sheet.name, align="left"))
            endings.append(await _run(sheet, sandbox, folder))
        _conclude(console, sandbox)
    unknown = any(ending.summary.states.get(State.UNKNOWN) for ending in endings)
    stopped = any(ending.error is not None or ending.interrupted for ending in endings)
    return ExitCode.NOT_DONE if unknown or stopped else ExitCode.DONE


def _gather(sheets: Sequence[Path], folder: Path) -> list[Path]:
    """Copies of the sheets, so that ledgers and results stand beside them and not among yours."""
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


def _conclude(console: Console, sandbox: Sandbox) -> None:
    report = sandbox.report()
    console.print(Rule("what the imitation LeadSquared saw", align="left"))
    console.print(
        f"{plural(report['total_calls'], 'call')}, {plural(report['refusals'], 'refusal')}, at most "
        f"{report['fullest_window']} in any {sandbox.options.rate.period:g} s. "
        f"{plural(report['activities'], 'activity', 'activities')}, {report['duplicates']} of them twice; "
        f"{plural(report['live_shares']['count'], 'live share')}.",
    )
