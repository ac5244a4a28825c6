"""The commands for practice, without an account: `sandbox` and `demo`. Heavy imports are inside."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Optional

import typer

from batch_share.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch_share.common import Rate
    from batch_share.sandbox import Sandbox
    from batch_share.sending.onlookers import Outlook, Preview
    from batch_share.settings import Settings


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
    lead_lists: Annotated[
        str,
        typer.Option(
            help="How it lists leads by number (>=): usual, refused, unsorted, as-text, repeating or skipping."
        ),
    ] = "usual",
    lead_page: Annotated[
        int, typer.Option(min=1, max=1000, help="The most leads of a page, however many are asked for.")
    ] = 1000,
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
    seed: Annotated[
        Optional[int],
        typer.Option(
            help="Which leads and users it has, and which calls go wrong. By default as with 1, in an account of "
            "its own at each start."
        ),
    ] = None,
    replay: Annotated[
        Optional[Path],
        typer.Option(
            help="Answer as the account did that this wire log is of; the sheet to run is written beside it."
        ),
    ] = None,
) -> None:
    """Start an imitation LeadSquared here, to practise on. Ctrl-C stops it.

    Paste the three lines that it prints into another terminal: commands there work with it. It knows leads and
    users of its own, those of the sheets in samples/; `batch-share demo --keep` writes such sheets too.

    What follows is for trying what may go wrong.

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

    Example: batch-share sandbox --port 8080
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
            "seed": 1 if seed is None else seed,
        }
        if seed is None:
            import secrets

            # This machine remembers what an earlier practice shared, and by its key of which account that was.
            start, plain = 1 + secrets.randbelow(10**9), SandboxOptions().access_key
            given |= {"start": start, "access_key": f"{plain}-{start}", "other_access_keys": (plain,)}
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
        Path, typer.Option(help="Where the files go: a new folder, numbered if there is one with files in it.")
    ] = Path("demo"),
    limit: Annotated[str, typer.Option(help="Calls the sandbox allows; the real API: 25/5s.")] = "25/1s",
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the sandbox up until Ctrl-C, to try commands on it.")
    ] = False,
) -> int:
    """Run sheets against a sandbox of its own, to see a real run.

    It says which of the files that it wrote to open, and what to try next.

    Example: batch-share demo --keep
    """
    import asyncio

    from batch_share.common import Rate
    from batch_share.outputs import names_for
    from batch_share.sheet.reader import check_sheet_file

    try:
        rate = Rate.parse(limit)
    except ValueError as error:
        raise SettingsError("limit", str(error)) from None
    for sheet in sheets or []:
        check_sheet_file(sheet)
    try:  # a folder of this demo's own: none goes on where another stopped, and nothing of yours is among its files
        own = next(name for name in names_for(folder) if not name.exists() or not any(name.iterdir()))
        own.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError("folder", f"{folder} can't be written ({error.strerror})") from None
    return asyncio.run(_demo(sheets or [], own, rate, keep=keep))


async def _demo(sheets: Sequence[Path], folder: Path, rate: Rate, *, keep: bool) -> int:
    """Run `sheets`, or made-up ones, against a sandbox of the demo's own. Raises BatchShareError.

    What it prints, with make's line before, is 15 lines of 80 columns, as long as the names of files are short.
    """
    import asyncio

    from batch_share.cli.screen import console
    from batch_share.cli.work import TerminalWatcher, draining
    from batch_share.common import plural
    from batch_share.library import BatchShare
    from batch_share.results.wording import ExitCode, named_in_commands
    from batch_share.sandbox import Sandbox, SandboxOptions

    class Watcher(TerminalWatcher):
        """Shows how far a run is, to whoever sees it come; and no plan, for nobody has to agree to it."""

        def foresee(self, outlook: Outlook) -> None:
            pass

        def agree(self, preview: Preview) -> bool:  # noqa: ARG002 - whatever it is
            return True

    def say(*lines: str) -> None:
        out.print(*lines, sep="\n", soft_wrap=True, markup=False)

    out = console()
    copies = _gather(sheets, folder)
    options = SandboxOptions(port=0, rate=rate, latency=0.15, processing=2 * rate.period, fail=0.02)
    async with Sandbox(options) as sandbox:
        say("Sheets with some rows wrong on purpose, run against an imitation LeadSquared:")
        watcher = Watcher()
        watcher.one_line = not watcher.console.is_terminal
        library = BatchShare(_settings_for(sandbox, folder), watcher=watcher)
        for sheet in copies:
            ending = await library.run(sheet)
            if ending.error is not None or ending.interrupted:
                watcher.end(ending)
                return ExitCode.NOT_DONE
            summary = ending.summary
            say(f"  {sheet.name}, {summary}")
        seen = sandbox.report()
        say(
            f"{plural(seen['total_calls'], 'call')}, at most {seen['fullest_window']} in any {rate.period:g} s, "
            f"{seen['refusals']:,} refused; {plural(seen['activities'], 'activity', 'activities')}, "
            f"{seen['duplicates']:,} of them twice.",
            f"To open, of {sheet.name}:",
        )
        report = await library.report(summary.ledger)
        files = {summary.results: "every row, with its result", summary.failed_sheet: "the rows to fix"}
        files |= {report.path: "the report"}
        shown = {_here(file): words for file, words in files.items() if file is not None}
        say(*(f"  {file:<{max(map(len, shown))}}  {words}" for file, words in shown.items()))
        if not keep:
            say("Next, to try commands on an imitation LeadSquared that stays up:", f"  {_called()} demo --keep")
            return ExitCode.DONE
        ledger, failed = _here(named_in_commands(summary.ledger)), summary.failed_sheet
        say(
            "The imitation LeadSquared stays up until Ctrl-C. Try, here in a second shell:",
            f"  . ./{_here(folder / SETTINGS)}",
            f"  {_called()} access",
            *([f"  {_called()} run {_here(failed)}"] if failed else []),
            f"  {_called()} retry {ledger}",
            f"  {_called()} revoke {ledger}",
        )
        stop = asyncio.Event()
        with draining(stop.is_set, stop.set):
            await stop.wait()
    return ExitCode.DONE


def _gather(sheets: Sequence[Path], folder: Path) -> list[Path]:
    """Copies of the sheets, so that ledgers and results stand beside them and not among yours; or made-up ones."""
    from batch_share.outputs import names_for
    from batch_share.sandbox import World
    from batch_share.sandbox.sheets import write_csv, write_excel

    if not sheets:
        world = World()
        made = [folder / "leads.csv", folder / "leads.xlsx"]
        write_csv(world, made[0])
        write_excel(world, made[1])
        return made
    copies = []
    for sheet in sheets:  # one takes no other's place: two sheets may be called the same
        place = next(name for name in names_for(folder / sheet.name) if not name.exists())
        copies.append(Path(shutil.copy(sheet, place)))
    return copies


SETTINGS: Final = "settings.sh"
"""The file of a demo's folder by which a shell's commands reach its sandbox."""


def _settings_for(sandbox: Sandbox, folder: Path) -> Settings:
    """Those of a demo, which a shell can have too: the environment's, so that no file or keyring has other keys."""
    from batch_share.sandbox.sheets import EVENT
    from batch_share.settings import load_settings

    given = {
        "host": sandbox.url,
        "access_key": sandbox.options.access_key,
        "secret_key": sandbox.options.secret_key,
        "rate": str(sandbox.options.rate),
        "event": str(EVENT),
        "duration": "7d",
        **{f"{kind}_folder": str(folder.absolute() / f".{kind}") for kind in ("state", "data", "log")},
    }
    lines = [f"export BATCH_SHARE_{name.upper()}={shlex.quote(value)}\n" for name, value in given.items()]
    (folder / SETTINGS).write_text("".join(lines), encoding="utf-8")
    return load_settings(**given)


def _here(file: Path | str) -> str:
    """A file as a shell in this folder takes it."""
    return shlex.quote(os.path.relpath(file))


def _called() -> str:
    """How this command was called, and can be again by the same shell in the same folder."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m batch_share"
    found = shutil.which(called.name)
    is_found = found is not None and Path(found).resolve() == called.resolve()
    return called.name if is_found else shlex.quote(str(called))
