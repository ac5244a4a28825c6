"""The arguments and options that commands share, what they become, and what the shell completes of them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from batch_share.errors import SheetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_share.outputs import Named
    from batch_share.planning.plan import SheetOptions
    from batch_share.results.writing import Placed
    from batch_share.settings import Settings

LEDGERS = frozenset({".db"})


def complete_sheet(incomplete: str) -> list[str]:
    """The sheets that the text may become."""
    from batch_share.sheet.reader import TEXT_SUFFIXES, WORKBOOK_SUFFIXES

    return _files(incomplete, TEXT_SUFFIXES | WORKBOOK_SUFFIXES)


def complete_ledger(incomplete: str) -> list[str]:
    """The ledgers that the text may become."""
    return _files(incomplete, LEDGERS)


def _files(incomplete: str, suffixes: frozenset[str] | set[str]) -> list[str]:
    """Files with these suffixes, and folders; of a folder that is the only one what is in it, to go on at once."""
    folder, start = os.path.split(incomplete)
    found = [*_within(folder, start, suffixes)]
    if len(found) == 1 and found[0].endswith(os.sep):
        return [_written(each) for each in _within(found[0], "", suffixes) or found]
    return [_written(each) for each in found]


def _within(folder: str, start: str, suffixes: frozenset[str] | set[str]) -> list[str]:
    try:
        each = sorted(Path(folder or ".").expanduser().iterdir())
    except OSError:
        return []
    named = [path for path in each if path.name.startswith(start) and (start or not path.name.startswith("."))]
    folders = [os.path.join(folder, path.name, "") for path in named if path.is_dir()]  # noqa: PTH118 - as typed
    files = [path.name for path in named if path.suffix.lower() in suffixes and path.is_file()]
    return [*(os.path.join(folder, name) for name in files), *folders]  # noqa: PTH118


def _written(name: str) -> str:
    """As bash wants it: it takes what it is given as it stands, blanks and all."""
    in_bash = os.environ.get("_BATCH_SHARE_COMPLETE") == "complete_bash"
    return name.replace("\\", "\\\\").replace(" ", "\\ ") if in_bash else name


_RUN = re.compile(r"last|[a-z2-7]{8}")

Sheet = Annotated[
    Path,
    typer.Argument(
        metavar="SHEET",
        help="A .csv, .tsv, .xlsx, .xlsm, .xls or .ods file, one lead to a row.",
        autocompletion=complete_sheet,
    ),
]


def _ledger_file(named: Path) -> Path:
    """The ledger that is meant: a file, a run Id, or `last`. A file that is there wins. Raises BatchShareError."""
    try:
        is_there = named.exists()
    except OSError:  # whoever opens it says why it can't be looked at
        return named
    if is_there or named.name != str(named) or not _RUN.fullmatch(named.name):
        return _no_sheet(named)
    from batch_share.cli.ledgers import ledger_of_run

    return ledger_of_run(named.name)


def _no_sheet(file: Path) -> Path:
    """A sheet in place of its ledger is a slip that is easily made. Raises SheetError."""
    from batch_share.ledger.files import ledger_beside
    from batch_share.sheet.reader import LEDGER_MAGIC, TEXT_SUFFIXES, WORKBOOK_SUFFIXES

    if file.suffix.lower() not in TEXT_SUFFIXES | WORKBOOK_SUFFIXES:
        return file
    try:
        with file.open("rb") as start:
            is_sheet = start.read(len(LEDGER_MAGIC)) != LEDGER_MAGIC
        ledger = ledger_beside(file)
        has_ledger = ledger.is_file()
    except OSError:  # whoever opens it says why it can't be
        return file
    if is_sheet:
        its = f"its own is {ledger}" if has_ledger else f"`batch-share run {file}` makes one"
        raise SheetError(file, f"a sheet, not a ledger: {its}")
    return file


LedgerFile = Annotated[
    Path,
    typer.Argument(
        metavar="LEDGER",
        help="The ledger of an earlier run, a run Id, or last.",
        callback=_ledger_file,
        autocompletion=complete_ledger,
    ),
]
Worksheet = Annotated[
    Optional[str], typer.Option(help="Worksheet of the workbook. Default: the first visible one that fits.")
]
HeaderRow = Annotated[Optional[int], typer.Option(min=1, help="Row of the headers. Default: it is found.")]
Encoding = Annotated[
    Optional[str],
    typer.Option(metavar="NAME", help="How a CSV file is encoded, as in windows-1250. Default: its bytes tell."),
]
Map = Annotated[
    Optional[list[str]],
    typer.Option("--map", metavar="HEADER=FIELD", help='What a column holds, as in "Owner mail=User Email".'),
]
MappingFile = Annotated[
    Optional[Path], typer.Option("--mapping", help="A file with such mappings; plan --save-map writes one.")
]
TimeZone = Annotated[
    Optional[str], typer.Option(help="Time zone of dates that name none. Default: the account's own.")
]
Limit = Annotated[Optional[int], typer.Option(min=1, help="Only the first N rows.")]
Rows = Annotated[Optional[str], typer.Option(metavar="5-40", help="Only rows with these numbers.")]
Only = Annotated[
    Optional[list[str]],
    typer.Option(metavar="HEADER=VALUE", help="Only rows where a column says this, as in Region=North."),
]
LedgerOption = Annotated[
    Optional[Path], typer.Option(help="Where the ledger is. Default: SHEET.ledger.db beside it.")
]
Event = Annotated[Optional[str], typer.Option(help="Code of the activity type, for rows that name none.")]
Access = Annotated[Optional[str], typer.Option(help="read or write, for rows that say nothing. Default: read.")]
Duration = Annotated[Optional[str], typer.Option(help="How long: minutes, or 30m, 12h, 7d; for rows without.")]
Note = Annotated[Optional[str], typer.Option(help="Note of the activity, for rows that have none.")]
Rate = Annotated[
    Optional[str], typer.Option(help="Calls it may make: 20/5s, or auto: what the last run learnt. Default: 25/5s.")
]
Bulk = Annotated[bool, typer.Option("--bulk", help="Post and share many rows to a call: several times as fast.")]
BulkRate = Annotated[
    Optional[str],
    typer.Option(help="Bulk calls it may make, by your plan: 1/5s, 5/5s, 10/5s, auto. Default: 1/5s."),
]
ShareBatch = Annotated[
    Optional[int],
    typer.Option(min=1, max=25, help="With --bulk, shares to a call. Default: 25, or what the account has taken."),
]
Workers = Annotated[
    Optional[int], typer.Option(min=1, max=64, help="Rows under way at once. Default: by the rate.")
]
Wait = Annotated[
    Optional[str], typer.Option(help="How long a request may take before its follow-up ends. Default: 10m.")
]
NoFollowUp = Annotated[bool, typer.Option("--no-follow-up", help="Don't ask afterwards what became of the shares.")]
TrustOwner = Annotated[bool, typer.Option("--trust-owner", help="Go on if the first activity shows no owner.")]
TrustIds = Annotated[
    bool, typer.Option("--trust-ids", help="Take lead and user Ids as they are where they can't be checked.")
]
TrustMarker = Annotated[
    bool,
    typer.Option("--trust-marker", help="Take what is not found for not there, if no marker was ever seen."),
]
OnUnknown = Annotated[
    Optional[str],
    typer.Option(help="Rows of which nobody knows: settle (look up, send again if it never arrived) or park."),
]
Duplicates = Annotated[bool, typer.Option("--allow-duplicates", help="Send rows that repeat an earlier row.")]
Renew = Annotated[
    Optional[str],
    typer.Option(metavar="3d", help="Share again what an earlier run shared and ends within this time."),
]
Force = Annotated[bool, typer.Option("--force", help="Share again whatever an earlier run shared.")]
DailyLimit = Annotated[Optional[int], typer.Option(min=1, help="Calls that the account may make a day.")]
NotifyOption = Annotated[
    Optional[str],
    typer.Option(
        "--notify",
        metavar="URL|FILE",
        help="Who is told how it ended: a webhook (its URL is a secret: better in the environment) or a file.",
    ),
]
MaxRows = Annotated[Optional[int], typer.Option(min=1, help="Send nothing if there are more rows to send than N.")]
MaxPerUser = Annotated[
    Optional[int], typer.Option(min=1, help="Send nothing if a user would get more leads than N.")
]
MaxRevokes = Annotated[
    Optional[int], typer.Option(min=0, help="Take back up to N earlier shares unasked, for rows that say so.")
]
Canary = Annotated[
    Optional[int], typer.Option(min=1, help="Send N rows first; go on only when all of them are shared.")
]
StopAfterFailures = Annotated[
    Optional[int],
    typer.Option(min=0, help="Stop when N rows failed in a row, at one step; 0: never. Default: 10."),
]
StopAt = Annotated[
    Optional[str], typer.Option(help="Stop when so many of the rows sent failed, such as 5%; of 50 or more.")
]
Online = Annotated[bool, typer.Option("--online", help="Look leads and users up; nothing is changed.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before sending.")]
OneLine = Annotated[
    bool, typer.Option("--one-line", help="Print one line with the totals, and nothing else but errors.")
]
IfChanged = Annotated[
    bool,
    typer.Option("--if-changed", help="End at once if the sheet is as it was and nothing is to be done now."),
]
Due = Annotated[bool, typer.Option("--due", help="End at once if nothing is to be done now.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show what is logged: rates, refusals, rows that fail.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")]


def sheet_options(
    worksheet: str | None,
    header_row: int | None,
    maps: list[str] | None,
    mapping: Path | None,
    limit: int | None,
    rows: str | None,
    only: list[str] | None,
    encoding: str | None,
) -> SheetOptions:
    """How the sheet is read. Raises SettingsError."""
    from batch_share.planning.plan import SheetOptions
    from batch_share.settings import load_settings
    from batch_share.sheet.columns import read_mapping
    from batch_share.sheet.reader import ReadOptions
    from batch_share.sheet.rows import Selection

    columns = read_mapping(mapping, maps or [])
    reading = ReadOptions(worksheet, header_row, columns, load_settings().sheet, encoding)
    return SheetOptions(reading, Selection.parse(limit, rows, only or []))


def named_output(output: Path | None) -> Named | None:
    """Where --output says that a file of a ledger goes, if it does. Raises SettingsError."""
    from batch_share.outputs import Named

    return None if output is None else Named("output", output, load().data_folder)


def tell_place(placed: Placed) -> None:
    """Tell where an output is; on standard error, what else there is to know."""
    if placed.remark:
        typer.echo(f"{placed.remark}.", err=True)
    typer.echo(placed.path)


def load(**flags: object) -> Settings:
    from batch_share.settings import load_settings

    return load_settings(**flags)


def load_given(arguments: Mapping[str, object]) -> Settings:
    """The settings, with a command's own `arguments`: each is called as its setting, if it is one.

    A switch that was not given leaves its setting as it is. Raises SettingsError.
    """
    from batch_share.settings import Settings

    given = {name: value for name, value in arguments.items() if value is not False}
    # The settings' own `sheet` is of the limits that a sheet is read within.
    flags = {name: given[name] for name in given if name in Settings.model_fields and name != "sheet"}
    return load(**flags, follow_up=False if "no_follow_up" in given else None)
