"""The arguments and options that commands share, what they become, and what the shell completes of them.

A command names those that it takes, `@takes("event", "rate")`. Settings that are not among them are given by
`--set`, and each is an option of its own name too, which `entry` turns into a `--set`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Optional, TypeVar, cast, get_args

import typer

from batch_share.errors import SettingsError

if TYPE_CHECKING:
    from batch_share.ledger.files import LedgerName
    from batch_share.outputs import Named
    from batch_share.planning.plan import SheetOptions
    from batch_share.results.writing import Placed
    from batch_share.settings import Settings

LEDGERS = frozenset({".db"})

SETTING_TEXTS: Final = {
    "allow_host": "A host besides LeadSquared's own that keys may go to. Not allowed in a file beside sheets.",
    "host": "Base URL of your region's API: https, or http on this machine.",
    "access_key": "The access key of an administrator.",
    "secret_key": "The secret key of the same administrator.",
    "account": "The account by its name in the settings. If not set: the default one.",
    "accounts": "Tables of accounts by name: host, keys or their files, default, limits.",
    "event": "Code or name of the activity type, for rows that name none.",
    "access": "read or write, for rows that don't say. If not set: read.",
    "duration": "How long a share lasts: minutes, or 30m, 12h, 7d, 2w; for rows that don't say.",
    "until": "When shares end, in place of duration: 2026-12-31, or 2026-12-31 18:00; for rows that don't say.",
    "note": "Note of the activity, for rows that have none.",
    "header_row": "Row of the headers. If not set: found by their names.",
    "encoding": "Encoding of CSV files, such as windows-1250. If not set: detected.",
    "mapping": "A file that says what columns hold and words mean, as written by plan --save-map.",
    "dates": "What comes first in 03/04/2026: the day (dmy) or the month (mdy). If not set: as its column shows.",
    "timezone": "Time zone of dates that name none, such as Asia/Kolkata. If not set: the account's own.",
    "rate": "Calls it may make. If not set: 25/5s; auto: the limit that LeadSquared last reported.",
    "bulk": "Post and share many rows per call: several times as fast.",
    "bulk_rate": "Bulk calls it may make, depending on your plan: 1/5s, 5/5s, 10/5s, or auto.",
    "share_batch": "In bulk, shares per call, at most 25. If not set: 25, or what the account has accepted.",
    "workers": "Rows under way at once. If not set: derived from the rate.",
    "wait": "How long the follow-up waits for each request, such as 10m.",
    "follow_up": "Check afterwards whether the shares were processed.",
    "trust_owner": "Continue if the first activity shows no owner.",
    "trust_ids": "Use lead and user Ids as they are where they can't be checked.",
    "trust_marker": "Treat an activity that is not found as never posted, even if no marker was ever seen.",
    "on_unknown": "Unknown rows: settle (look up, send again if they never arrived) or park (leave them).",
    "grace": "How long reads may lag behind writes; at least 5s, except for a sandbox.",
    "answer_timeout": "How long a call may go unanswered before its row counts as unknown.",
    "keep_answers": "How long leads and users that were found are remembered; 0: always look them up.",
    "marker_field": "A custom field for the marker, such as mx_Custom_5, in place of the note.",
    "allow_duplicates": "Send rows that repeat an earlier row.",
    "renew": "Share again what ends within this time, such as 3d, or has ended.",
    "force": "Share again whatever is shared already.",
    "recover": "Continue with a ledger that is older than its job, or was lost: each row is looked up first.",
    "one_line": "Print one line with the totals, and nothing else but errors.",
    "daily_limit": "Calls a day that your plan allows. If not set: unlimited.",
    "max_rows": "Send nothing if there are more rows to send. If not set: unlimited.",
    "max_per_user": "Send nothing if a user would get more leads. If not set: unlimited.",
    "max_revokes": "Earlier shares that rows with revoke or reassign may revoke without asking.",
    "canary": "Send this many rows first, and the rest only once all of them are shared.",
    "stop_after_failures": "Stop when this many rows in a row failed, at the same step; 0: never.",
    "stop_at": "Stop when this percentage of 50 or more rows sent has failed. If not set: never.",
    "two_people": "On the page, who prepares a sheet can't approve it.",
    "notify": "Where to report how a run ended: the URL of a webhook, which is a secret, or a file.",
    "proxy": "The proxy that calls go through, or none. If not set: that of HTTPS_PROXY, if any.",
    "store": "URL of the PostgreSQL database that ledgers are in, or none. Not allowed in a file beside sheets.",
    "sheet": "Limits on sheets: megabytes, seconds and counts.",
    "state_folder": "Where it remembers when the account was last called, and its limit.",
    "data_folder": "Where the index of runs is, and what columns were said to hold.",
    "log_folder": "Where the log is.",
    "log_level": "What to log: info, or debug, which adds every call.",
    "audit_pages": "Pages of 1,000 activities that a run reads at most, at its end, to prove that none is doubled.",
    "wire_log": "A new file for every call and answer, without anybody's data, to be sent to whoever helps.",
}
"""What each setting is for: for its option's help, the settings file of `config init`, the manual.

The settings themselves, with their kinds and what they are if nobody sets them, are in `settings`, which takes too
long to import for `--help`."""


def complete_sheet(incomplete: str) -> list[str]:
    """The sheets that the text may become."""
    from batch_share.sheet.reader import SHEET_SUFFIXES

    return _files(incomplete, SHEET_SUFFIXES)


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


def complete_account(incomplete: str) -> list[str]:
    """The accounts of the settings that the text may become."""
    try:
        return sorted(name for name in load().accounts or () if name.startswith(incomplete))
    except SettingsError:
        return []


def _written(name: str) -> str:
    """As bash wants it: it takes what it is given as it stands, blanks and all."""
    in_bash = os.environ.get("_BATCH_SHARE_COMPLETE") == "complete_bash"
    return name.replace("\\", "\\\\").replace(" ", "\\ ") if in_bash else name


Sheet = Annotated[
    Path,
    typer.Argument(
        metavar="SHEET",
        help="A .csv, .tsv, .xlsx, .xlsm, .xls or .ods file, one lead per row.",
        autocompletion=complete_sheet,
    ),
]


# As typed, until the command line is read: what it means depends on the store. A command gets a LedgerName.
_LEDGER: Final[dict[str, Any]] = {
    "help": "A sheet that was run, its ledger, a run Id, or last.",
    "parser": str,
    "autocompletion": complete_ledger,
}
LedgerNamed = Annotated[Any, typer.Argument(metavar="LEDGER", **_LEDGER)]
LedgerNamedIfAny = Annotated[Any, typer.Argument(metavar="[LEDGER]", **_LEDGER)]
WHAT, WHICH, HOW, SAFETY, OUTPUT = "What to send", "Which rows", "How", "Safety", "Output"
GROUPS: Final = (WHAT, WHICH, HOW, SAFETY, OUTPUT)
"""What options are for, in the order that `--help` has."""


def _value(group: str, metavar: str, text: str, kind: Any = str, *names: str, **more: Any) -> Any:
    return Annotated[
        Optional[kind], typer.Option(*names, metavar=metavar, help=text, rich_help_panel=group, **more)
    ]


def _switch(group: str, text: str, *names: str) -> Any:
    return Annotated[bool, typer.Option(*names, help=text, rich_help_panel=group)]


OPTIONS: Final = {
    "account": _value(HOW, "NAME", SETTING_TEXTS["account"], autocompletion=complete_account),
    "event": _value(WHAT, "CODE|NAME", SETTING_TEXTS["event"]),
    "access": _value(WHAT, "read|write", SETTING_TEXTS["access"]),
    "duration": _value(WHAT, "7d", SETTING_TEXTS["duration"]),
    "worksheet": _value(WHICH, "NAME", "Worksheet of the workbook. Default: the first visible one that fits."),
    "map": _value(
        WHICH,
        "HEADER=FIELD",
        'What a column holds or a word means ("Owner mail=User Email", "lesen=read"), or a file of these.',
        list[str],
    ),
    "rows": _value(WHICH, "5-40", "Only rows with these numbers."),
    "limit": _value(WHICH, "N", "Only the first N rows.", int, min=1),
    "only": _value(WHICH, "HEADER=VALUE", "Only rows where a column says this, as in Region=North.", list[str]),
    "user": _value(WHICH, "USER", "Only shares with this user: an Id or e-mail address."),
    "all_jobs": _switch(WHICH, "All that a --user has, by every ledger of this machine.", "--all-jobs"),
    "reason": _value(WHICH, "TEXT", "Only rows whose reason contains this text."),
    "all": _switch(WHICH, "Also rows unlikely to succeed, such as a lead that does not exist.", "--all"),
    "only_unknown": _switch(WHICH, "Settle the unknown rows, and send nothing else.", "--only-unknown"),
    "queue": _switch(HOW, "Have a worker do it, and return: of a ledger in a store.", "--queue"),
    "ledger": _value(
        HOW, "FILE", "The ledger: a file, or a name in the store. Default: SHEET.ledger.db beside it."
    ),
    "store": _value(HOW, "URL", SETTING_TEXTS["store"]),
    "plan": _value(HOW, "FILE", "A plan from plan --save: run exactly that, or nothing.", Path),
    "online": _switch(HOW, "Look up leads and users; nothing is changed.", "--online"),
    "once": _switch(HOW, "Run what is there and exit, for cron.", "--once"),
    "every": _value(HOW, "10s", "How often to look. Default: 10s."),
    "settle": _value(HOW, "5s", "How long a file must be unchanged to count as complete. Default: 5s."),
    "rate": _value(HOW, "25/5s", SETTING_TEXTS["rate"]),
    "bulk": _switch(HOW, SETTING_TEXTS["bulk"], "--bulk"),
    "wait": _value(HOW, "10m", SETTING_TEXTS["wait"]),
    "renew": _value(HOW, "3d", SETTING_TEXTS["renew"]),
    "force": _switch(HOW, SETTING_TEXTS["force"], "--force"),
    "if_changed": _switch(
        HOW, "Exit at once if the sheet is unchanged and there is nothing to do now.", "--if-changed"
    ),
    "due": _switch(HOW, "Exit at once if there is nothing to do now.", "--due"),
    "set": _value(HOW, "NAME=VALUE", "Any other setting, such as max_rows=100; may be repeated.", list[str]),
    "canary": _value(SAFETY, "N", SETTING_TEXTS["canary"]),
    "yes": _switch(
        SAFETY, "Don't ask. If nobody can be asked, needed to revoke, and to send over 50 rows.", "--yes", "-y"
    ),
    "output": _value(OUTPUT, "FILE", "A .csv or .xlsx file for the plan of every row.", Path, "--output", "-o"),
    "save": _value(OUTPUT, "FILE", "A file for the plan, to run exactly that with run --plan.", Path),
    "save_map": _value(OUTPUT, "FILE", "A file for the mapping used, for --map.", Path),
    "json": _switch(OUTPUT, "Print one JSON object at the end.", "--json"),
    "verbose": _switch(OUTPUT, "Show what is logged: rates, refusals, rows that fail.", "--verbose", "-v"),
}
"""The options that commands share, in the order that `--help` has. One that is a setting has the setting's text."""


class Given(dict[str, Any]):
    """What was typed for the options of a command, by name: None, or False of a switch, where nothing was."""

    def settings(self) -> Settings:
        """The settings in force, with what was typed. Raises SettingsError, which names one as it was typed."""
        from batch_share.settings import Settings, load_settings

        values: dict[str, Any] = {}
        typed: dict[str, str] = {}
        if self.get("store") is not None:
            check_typed(self["store"])
        for said in self.get("set") or ():
            typed_name, equals, value = said.partition("=")
            if not equals:  # not quoted: it may be anything
                raise SettingsError(
                    "--set", "write NAME=VALUE, as in --set max_rows=100", problem="A setting was given no value."
                )
            name, as_typed = _setting_named(typed_name)
            if name == "store":
                check_typed(value)
            typed[name] = as_typed
            table, dot, part = name.partition(".")
            values[table] = {**values.get(table, {}), part: value} if dot else value
        for name in self.keys() & Settings.model_fields.keys():
            if self[name] is not None and self[name] is not False:
                typed[name], values[name] = option_of(name), self[name]
        try:
            return load_settings(**values)
        except SettingsError as error:
            raise SettingsError(typed.get(error.setting, error.setting), error.wrong) from None

    def ledger(self) -> LedgerName:
        """The ledger that is meant by its name, its sheet's, a run Id, or `last`. Raises BatchShareError."""
        from batch_share.library import BatchShare

        check_typed(self["ledger"])
        says_store = self.get("store") is not None or any("store" in said for said in self.get("set") or ())
        return BatchShare(self.settings() if says_store else None).ledger_of(self["ledger"])

    def typed(self, *names: str) -> list[str]:
        """What was typed for these options, as it is typed once more."""
        words: list[str] = []
        for name in names:
            given = self.get(name)
            for value in given if isinstance(given, list) else [given]:
                if value is True:
                    words.append(option_of(name))
                elif value not in {None, False}:
                    text = str(value)
                    # What is typed as an option of its own comes here as a setting.
                    words += [text] if name == "set" and text.startswith("--") else [option_of(name), text]
        return words


def check_typed(store: str) -> None:
    """Raises SettingsError if the URL of a store, or of a ledger there, has a password where everybody reads it."""
    from batch_share.settings import STORES, without_password

    url = store.partition("#")[0]
    if store.startswith(STORES) and without_password(url) != url:
        raise SettingsError(
            "store",
            "never type a password in a command, where others can read it: set BATCH_SHARE_STORE in the "
            "environment, or leave the password to PGPASSFILE or PGPASSWORD",
            problem="A password was typed in a command, where others can read it.",
            hint="Set the store in the environment.",
        )


def option_of(name: str) -> str:
    """The option that is called as a setting: `--max-rows`."""
    return f"--{name.replace('_', '-')}"


def setting_kinds() -> dict[str, bool]:
    """Every setting, those of a table as `sheet.rows`, and whether it is yes or no."""
    from batch_share.settings import Settings, SheetLimits

    tables = {"sheet", "accounts"}
    fields = {name: field for name, field in Settings.model_fields.items() if name not in tables}
    kinds = {name: field.annotation is bool for name, field in fields.items()}
    return kinds | {f"sheet.{name}": False for name in SheetLimits.model_fields}


_KEYRING: Final = "`batch-share login` stores it in the system's keyring; or set {} in the environment or in .env"
_ELSEWHERE: Final = {
    "access_key": f"never type a key in a command, where others can read it: {_KEYRING}",
    "secret_key": f"never type a key in a command, where others can read it: {_KEYRING}",
    "host": f"the host belongs with its keys: {_KEYRING}, or host in batch-share.toml",
    "accounts": "accounts are tables of a settings file, [accounts.NAME]; name one with --account",
    "allow_host": "only the keys' owner decides where they may go: set {} in the environment, or allow_host in "
    "your own settings file",
    "notify": "it may be a secret: set {} in the environment or in .env, or notify in batch-share.toml; a file may "
    "be named by --notify FILE",
}
"""Settings that `--set` does not take, and where they belong."""


def _setting_named(typed: str) -> tuple[str, str]:
    """The name of a setting that `--set` names, or an option (`--max-rows`), and the two as they were typed."""
    is_option = typed.startswith("--")
    name = typed.removeprefix("--").strip().replace("-", "_").lower()
    as_typed = typed if is_option else f"--set {typed}"
    if name in _ELSEWHERE and not (is_option and name == "notify"):
        raise SettingsError(as_typed, _ELSEWHERE[name].format(f"BATCH_SHARE_{name.upper()}"))
    if name not in (known := setting_kinds()):
        close = get_close_matches(name, known, n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        raise SettingsError(
            as_typed,
            f"there is no such setting: {meant}`batch-share config show` lists them all",
            problem=f"There is no setting {name}.",
            hint=f"Did you mean {close[0]}?" if close else "",
        )
    return name, as_typed


Command = TypeVar("Command", bound=Callable[..., int | None])

_TAKES: Final = "batch_share_takes"


def takes(*names: str) -> Callable[[Command], Command]:
    """Let a command take these options of the table; it gets what was typed for them as its argument `given`."""

    def taking(command: Command) -> Command:
        setattr(command, _TAKES, names)
        return command

    return taking


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command as Typer wants it, with an argument for each option of the table that it takes."""
    names = getattr(command, _TAKES, None)
    if names is None:
        return command
    options = {name: kind for name, kind in OPTIONS.items() if name in names}

    def taking(**typed: Any) -> Any:
        return command(given=Given({name: typed.pop(name) for name in options}), **typed)

    own = [each for each in signature(command, eval_str=True).parameters.values() if each.name != "given"]
    ours = [
        Parameter(
            name, Parameter.KEYWORD_ONLY, annotation=kind, default=False if get_args(kind)[0] is bool else None
        )
        for name, kind in options.items()
    ]
    made: Any = wraps(command)(taking)  # for the type checker: a function has no signature that can be set
    made.__signature__ = Signature([*own, *ours])
    made.__annotations__ = {each.name: each.annotation for each in (*own, *ours)}
    return cast("Callable[..., Any]", made)


def sheet_options(given: Given, settings: Settings) -> SheetOptions:
    """How the sheet is read. Raises SettingsError."""
    from batch_share.planning.plan import SheetOptions

    return SheetOptions.of(
        settings,
        worksheet=given["worksheet"],
        maps=given["map"],
        limit=given.get("limit"),
        rows=given.get("rows"),
        only=given.get("only"),
    )


def named_output(output: Path | None) -> Named | None:
    """Where --output says that a file of a ledger goes, if it does. Raises SettingsError."""
    from batch_share.outputs import Named

    return None if output is None else Named("output", output, load().data_folder)


def tell_place(placed: Placed) -> None:
    """Tell where an output is; on standard error, what else there is to know."""
    if placed.remark:
        from batch_share.cli.screen import console, say

        say(console(stderr=True), f"{placed.remark}.")
    typer.echo(placed.path)


def load(**given: object) -> Settings:
    """As `load_settings`, whose module is heavy to import."""
    from batch_share.settings import load_settings

    return load_settings(**given)
