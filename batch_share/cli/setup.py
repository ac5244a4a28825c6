"""The commands that set a machine up: `config …`, `store …`, `doctor`, and `login` and `logout` for its keyring.

`verify` tries what an account really does, and says what follows from it.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from batch_share.cli.entry import Asked, CommandLine
from batch_share.cli.options import SETTING_TEXTS, Given, load, takes
from batch_share.errors import BatchShareError, NotConfirmed, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import SecretStr

    from batch_share import Verified
    from batch_share.jobs.check_up import Finding
    from batch_share.library import BatchShare
    from batch_share.settings import Settings

_WIDEST = 44

config = CommandLine(no_args_is_help=True, rich_markup_mode=None)


@config.callback()
def _root() -> None:
    """Create a settings file, or show the settings in force."""


@config.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="Where it goes.")] = Path("batch-share.toml"),
) -> None:
    """Write a settings file with every setting commented out. It overwrites no file.

    Example: batch-share config init
    """
    write_template(file)
    typer.echo(f"Wrote {file}, with every setting commented out.")


@config.command()
@takes("account", "json")
def show(given: Given) -> None:
    """Show every setting in force and where it comes from. Keys are never shown.

    Of an account, what it sets is in force; the others are listed too.

    Example: batch-share config show
    """
    settings = shown(load(account=given["account"]))
    if given["json"]:
        typer.echo(json.dumps({each.name: {"value": each.value, "from": each.origin} for each in settings}))
        return
    name_width = max(len(each.name) for each in settings)
    text_width = min(max(len(each.text) for each in settings), _WIDEST)  # one long note must not push all apart
    for each in settings:
        typer.echo(f"{each.name:<{name_width}}  {each.text:<{text_width}}  {each.origin}")


_USUAL = ("account", "proxy", "rate", "calls today", "state folder", "folder", "free space", ".env")
"""Checks that say nothing which a person needs to know, as long as all is well."""

_COLOURS = {"ok": typer.colors.GREEN, "warning": typer.colors.YELLOW, "problem": typer.colors.RED}


store = CommandLine(no_args_is_help=True, rich_markup_mode=None)


@store.callback()
def _store_root() -> None:
    """Make, upgrade or check the database of ledgers."""


@store.command("init")
@takes("store", "json")
def init_store(given: Given) -> None:
    """Make the tables that ledgers are kept in. What is there already stays.

    Example: batch-share store init
    """
    from batch_share.results.wording import STORE_DONE

    library, url = _library(given)
    made = library.init_store()
    if given["json"]:
        typer.echo(json.dumps({"store": url, "made": made}))
    else:
        typer.echo(STORE_DONE["made" if made else "there"].format(store=url))


@store.command("upgrade")
@takes("store", "json")
def upgrade(given: Given) -> None:
    """Bring the tables up to this version.

    Nobody may work on any of its ledgers meanwhile.

    Example: batch-share store upgrade
    """
    from batch_share.results.wording import STORE_DONE

    library, url = _library(given)
    since, now = library.upgrade_store()
    if given["json"]:
        typer.echo(json.dumps({"store": url, "from": since, "to": now}))
    else:
        typer.echo(STORE_DONE["newest" if since == now else "upgraded"].format(since=since, to=now))


@store.command("check")
@takes("store", "json")
def check(
    given: Given,
    allow_async_standby: Annotated[
        bool, typer.Option("--allow-async-standby", help="Accept a standby that is not waited for.")
    ] = False,
) -> int:
    """Check that ledgers can be kept there.

    It looks at the server, the way there, the user, the tables and standbys. Exit code 0 if there is no problem,
    else 1.

    Example: batch-share store check
    """
    return _report(_library(given)[0].check_store(allow_async=allow_async_standby), given)


@takes("ledger", "store", "json")
def move(
    named: Annotated[
        str, typer.Argument(metavar="LEDGER", help="A ledger in a file, or its sheet; with --to, one in a store.")
    ],
    given: Given,
    to: Annotated[
        Optional[Path], typer.Option(metavar="FILE", help="Move it from the store into this new file.")
    ] = None,
) -> None:
    """Move a ledger into the store, or from there into a file.

    Its name in the store is that of its sheet, unless --ledger names another. Nobody can work any more on what it
    was moved from.

    Example: batch-share move leads.csv.ledger.db --store postgresql://batch_share@db.example.com/leads
    """
    import asyncio

    from batch_share.results.wording import STORE_DONE

    source, target = asyncio.run(_library(given)[0].move(named, given["ledger"], to=to))
    if given["json"]:
        typer.echo(json.dumps({"ledger": str(target.absolute()), "from": str(source.absolute())}))
    else:
        done = STORE_DONE["moved_back" if to is not None else "moved"]
        typer.echo(done.format(source=source if to is not None else named, target=target))


def _library(given: Given) -> tuple[BatchShare, str]:
    """With the store that is typed, or set; its URL as it may be shown."""
    from batch_share.library import BatchShare
    from batch_share.settings import without_password

    library = BatchShare(given.settings() if given["store"] is not None else None)
    return library, without_password(library.store.get_secret_value()) if library.store is not None else ""


@takes("account", "json")
def doctor(given: Given) -> int:
    """Check settings, keys, host, clock, limits and folders.

    Each line says what is fine, or what to do next; --json has all that is fine, too. It makes three calls, which
    change nothing. Exit code 0 if there is no problem, else 1.

    Example: batch-share doctor
    """
    import asyncio

    from batch_share.library import BatchShare

    return _report(asyncio.run(BatchShare().doctor(given["account"])), given)


def _report(findings: Sequence[Finding], given: Given) -> int:
    """Tell what was found; the exit code."""
    from batch_share.common import plural
    from batch_share.jobs.check_up import Finding, Level

    counts = Counter(finding.level for finding in findings)
    if given["json"]:
        reported = {
            "problems": counts[Level.PROBLEM],
            "warnings": counts[Level.WARNING],
            "checks": [*map(asdict, findings)],
        }
        typer.echo(json.dumps(reported, ensure_ascii=False))
    else:
        usual = [each.check for each in findings if each.level is Level.OK and each.check in _USUAL]
        alike = Counter(each.words for each in findings)
        unknown = [each.check for each in findings if alike[each.words] > 1]  # all for the one reason
        _tell(each for each in findings if each.check not in {*usual, *unknown})
        if unknown:
            _tell([Finding("unknown", Level.WARNING, f"{', '.join(unknown)}, as long as the keys don't work.")])
        if usual:
            _tell([Finding("also fine", Level.OK, f"{', '.join(usual)}.")])
        found = [plural(counts[level], level.value) for level in (Level.PROBLEM, Level.WARNING) if counts[level]]
        typer.echo(f"{' and '.join(found)} to look at." if found else "Everything is as a run needs it.")
    return int(counts[Level.PROBLEM] > 0)


def _tell(findings: Iterable[Finding]) -> None:
    """What was found, line by line, and what to do next."""
    from batch_share.cli.screen import console, say

    out = console()
    for finding in findings:
        words = f"{finding.check:<14} {finding.words}"
        say(out, words, _COLOURS[finding.level], head=f"{finding.level:<8}", hang=24)
        if finding.next:
            say(out, f"→ {finding.next}", indent=24)


@takes("account")
def login(
    given: Given,
    stdin: Annotated[
        bool,
        typer.Option("--stdin", help="Read host, access key and secret key from standard input, one per line."),
    ] = False,
    no_check: Annotated[bool, typer.Option("--no-check", help="Store the keys without trying them.")] = False,
) -> None:
    """Store host and keys in the system's keyring, or in a .env.

    A .env of this folder is for machines without a keyring, and written if you agree. Keys are asked for and not
    shown, must be an administrator's, and are tried first, with three calls that change nothing. Those in the
    environment, .env or the settings file take precedence over the keyring.

    Of an --account, which the settings give its host, only the keys are stored.

    Example: batch-share login
    """
    import asyncio

    from batch_share import keychain
    from batch_share.jobs.check_up import Level
    from batch_share.library import BatchShare
    from batch_share.settings import origins

    name = given["account"]
    settings = load(account=name)  # what is wrong with the settings is told before anything is asked for
    if name is not None and settings.host is None:
        raise SettingsError(f"accounts.{name}.host", "is not set: its keys are kept for its host")
    has_keyring = True
    try:
        keychain.check()
    except keychain.KeychainError as error:
        if stdin or not sys.stdin.isatty():
            raise
        has_keyring, env_file = False, EnvFile.here()
        typer.echo(f"{error.reason}.")
        what = "host and keys" if name is None else "the keys"
        if not typer.confirm(f"Store {what} in {env_file.file}, which only you can read?", default=True):
            raise BatchShareError(f"Nothing was stored. {keychain.INSTEAD}.") from None
    host, access_key, secret_key = _asked_for(settings.host if name is not None else None, stdin=stdin)
    settings = load(account=name, host=host, access_key=access_key, secret_key=secret_key)
    account = settings.credentials()
    whose = f"Host and keys of {account[0]}" if name is None else f"The keys of the account {name}"
    if not no_check:
        findings = {finding.check: finding for finding in asyncio.run(BatchShare(settings).doctor())}
        for check in ("keys", "administrator", "region"):
            found = findings[check]
            if found.level is Level.PROBLEM or (check == "keys" and found.level is not Level.OK):
                unchecked = "" if found.level is Level.PROBLEM else "--no-check stores them all the same."
                said = filter(None, ("The keys were not stored.", found.words, found.next, unchecked))
                raise BatchShareError(" ".join(said))
        _tell(findings[check] for check in ("keys", "administrator", "region", "activity types"))
    if has_keyring:
        keychain.keep(*account, account=name)
        typer.echo(f"{whose} are stored in the system's keyring.")
    else:
        env_file = EnvFile.here()
        env_file.store(*account, name)
        typer.echo(f"{whose} are stored in .env, which only you can read.")
        if env_file.may_be_committed():
            typer.echo("Keep it out of git: add a line .env to .gitignore.")
    typer.echo("Next, see what a run of your sheet would do: batch-share plan SHEET")
    in_force, places = load(account=name), origins(name)
    others = [
        places.get(name) for name, ours in zip(ACCOUNT, account, strict=True) if getattr(in_force, name) != ours
    ]
    if named := dict.fromkeys(place for place in others if place):
        typer.echo(f"Others are in force, though, which take precedence: those of {' and '.join(named)}.", err=True)


def _asked_for(host: str | None, *, stdin: bool) -> list[str]:
    """Host, if it is not known, access key and secret key, as they are typed or read. Raises SettingsError."""
    known = [] if host is None else [host]

    def as_host(text: str) -> str | None:
        try:
            return load(host=text).host
        except SettingsError as error:
            raise typer.BadParameter(error.wrong) from None

    if stdin:
        given = [line.strip() for line in sys.stdin.read().splitlines() if line.strip()]
        if len(known + given) != 3:  # without a word of what was read
            lines = "two lines:" if known else "three lines: the host,"
            raise SettingsError("stdin", f"write {lines} the access key, the secret key")
        return known + given
    if not sys.stdin.isatty():
        raise SettingsError(
            "login",
            "there is no terminal to ask on: give the lines to --stdin",
            problem="There is no terminal to ask on.",
        )
    known = known or [typer.prompt("Host, such as https://api-in21.leadsquared.com", value_proc=as_host)]
    return [*known, *(typer.prompt(name, hide_input=True) for name in ("Access key", "Secret key"))]


@dataclass(frozen=True, slots=True)
class EnvFile:
    """The `.env` of a folder, and what it says."""

    file: Path
    text: str

    @classmethod
    def here(cls) -> EnvFile:
        """That of this folder, which need not be there. Raises SettingsError for one that can't be rewritten."""
        from batch_share.settings import ENV_FILE

        file = Path.cwd() / ENV_FILE
        try:
            if not file.exists():
                return cls(file, "")
            if not file.is_file():
                raise SettingsError(ENV_FILE, "is no plain file, and was left as it is")
            if os.name == "posix" and file.stat().st_uid != os.geteuid():
                raise SettingsError(ENV_FILE, "is another user's, and was left as it is")
            return cls(file, file.read_text(encoding="utf-8-sig"))
        except UnicodeDecodeError:
            raise SettingsError(ENV_FILE, "is not UTF-8 text, and was left as it is") from None
        except OSError as error:
            raise SettingsError(ENV_FILE, f"can't be read ({error.strerror})") from None

    def store(self, host: str, access_key: SecretStr, secret_key: SecretStr, account: str | None = None) -> None:
        """Have it set host and keys, or an account's keys; what else it says stays. Raises SettingsError."""
        import io

        from dotenv import dotenv_values
        from dotenv.parser import parse_stream

        from batch_share.outputs import telling_of, temporary_for
        from batch_share.settings import ENV_FILE

        keys = (access_key.get_secret_value(), secret_key.get_secret_value())
        prefix = "BATCH_SHARE_" if account is None else f"BATCH_SHARE_ACCOUNTS__{account.upper()}__"
        values = dict(zip(ACCOUNT, (host, *keys), strict=True))
        if account is not None:  # its host is in the settings
            del values["host"]
        ours = {f"{prefix}{name.upper()}": value for name, value in values.items()}
        kept = [part for part in parse_stream(io.StringIO(self.text)) if (part.key or "").upper() not in ours]
        before = "".join(part.original.string for part in kept)
        lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in ours.items())
        text = before + ("\n" if before and not before.endswith("\n") else "") + lines
        if not ours.items() <= dotenv_values(stream=io.StringIO(text)).items():
            raise SettingsError(ENV_FILE, "can't hold these keys: set them in the environment")
        target = self.file.resolve()  # through a link that stands there
        with telling_of(target), temporary_for(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(target)

    def may_be_committed(self) -> bool:
        """Whether it lies in a git repository of which no .gitignore, here or at its top, names it."""
        here = self.file.parent
        top = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), None)
        if top is None:
            return False
        ignored = (folder / ".gitignore" for folder in (here, top))
        lines = [
            line.strip() for file in ignored if file.is_file() for line in file.read_text("utf-8").splitlines()
        ]
        return not {".env", "/.env", ".env*", "*.env"}.intersection(lines)


@takes("account")
def logout(
    given: Given,
    host: Annotated[
        Optional[str], typer.Option(help="Whose keys to remove. Default: those of the last login.")
    ] = None,
) -> None:
    """Remove host and keys from the system's keyring. Keys set elsewhere stay.

    Of an --account, its keys are removed.

    Example: batch-share logout
    """
    from batch_share import keychain
    from batch_share.settings import parse_host

    try:
        account = given["account"]
        host = host if account is None else load(account=account).host
        named = parse_host(host) if host is not None else next(reversed(keychain.hosts()), None)
    except ValueError as error:
        raise SettingsError("host", str(error)) from None
    except keychain.KeychainError as error:
        raise BatchShareError(f"{error.reason}. Keys in .env or in the environment are removed there.") from None
    if named is not None and keychain.forget(named, account):
        typer.echo(f"The keys for {account or named} are removed from the system's keyring.")
    else:
        typer.echo("The system's keyring holds no keys" + (f" for {account or named}." if named else "."))


# ---------------------------------------------------------------------------------------- the settings shown

KEYS = ("access_key", "secret_key")
ACCOUNT = ("host", *KEYS)
_HEAD = """\
# Settings of batch_share. Take the # away from a line and change it; the others keep their default, as shown.
# The keys (access_key, secret_key) do not belong here: `batch-share login` keeps them in the system's keyring; or
# set BATCH_SHARE_ACCESS_KEY and BATCH_SHARE_SECRET_KEY in the environment, or in a .env that only you can read.
"""


def template() -> str:
    """The text of a settings file. Tables come last, as TOML wants it."""
    import tomli_w

    from batch_share.settings import Settings

    plain = Settings.model_construct().model_dump(mode="json")
    names = sorted((name for name in plain if name not in KEYS), key=lambda name: name in {"accounts", "sheet"})
    parts = [_HEAD]
    for name in names:
        default, field = plain[name], Settings.model_fields[name]
        unset = " Not set; for example:" if default is None else ""
        lines = tomli_w.dumps({name: (field.examples or [""])[0] if default is None else default}).splitlines()
        parts.append("\n".join([f"# {SETTING_TEXTS[name]}{unset}", *(f"# {line}" for line in lines if line), ""]))
    return "\n".join(parts)


def write_template(file: Path) -> None:
    """Write it where nothing is yet. Raises SettingsError."""
    from batch_share.outputs import temporary_for

    if os.path.lexists(file):
        raise SettingsError(
            str(file),
            "is there already, and was left as it is: name another file",
            problem="There is such a file already, and it was left as it is.",
            hint="Name another file.",
        )
    try:
        with temporary_for(file) as temporary:
            temporary.write_text(template(), encoding="utf-8")
            temporary.replace(file)
    except OSError as error:
        raise SettingsError(
            str(file),
            f"can't be written ({error.strerror})",
            problem=f"The settings file can't be written ({error.strerror}).",
        ) from None


DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Shown:
    """A setting: `value` as JSON knows it, of a key whether it is set; `origin` is where it comes from."""

    name: str
    value: Any
    origin: str

    @property
    def text(self) -> str:
        """The value on one line, as a settings file or the environment would hold it."""
        if self.name.rpartition(".")[2] in KEYS:
            return "set" if self.value else "not set"
        if self.value is None or self.value == "":
            return "not set"
        return str(self.value).lower() if isinstance(self.value, bool) else " ".join(str(self.value).split())


def shown(settings: Settings) -> list[Shown]:
    """Every setting, those of a table as `sheet.rows`. Raises SettingsError as `load_settings`."""
    from batch_share.settings import origins

    found = origins(settings.account)
    # No key leaves its SecretStr: only whether it is there.
    keys = {name: bool(getattr(settings, name)) for name in KEYS}
    values = settings.model_dump(mode="json", exclude={*KEYS, "accounts"})
    limits = {f"sheet.{part}": value for part, value in values.pop("sheet").items()}
    accounts = {
        f"accounts.{name}.{part}": part in KEYS or value
        for name, profile in sorted((settings.accounts or {}).items())
        for part, value in profile.model_dump(mode="json", exclude_unset=True).items()
    }
    reported = {"host": values.pop("host"), **keys, **values, **limits, **accounts}
    return [Shown(name, value, found.get(name, DEFAULT)) for name, value in reported.items()]


@takes("account", "event", "yes", "json", "set")
def verify(
    given: Given,
    lead: Annotated[
        str,
        typer.Argument(metavar="LEAD", help="A lead of your own to try it on: its GUID, number or e-mail address."),
    ],
    user: Annotated[
        str, typer.Argument(metavar="USER", help="An active user of your own: GUID or e-mail address.")
    ],
) -> int:
    """Try what this account really does: owners, shares, look-ups.

    Posts five activities on the lead and shares it with the user for five minutes, each time revoked at the end;
    the activities stay. Killed in between, the same command revokes first what stands. Nobody's data is in the file
    that it writes, which is fit to be sent to whoever helps you.

    Example: batch-share verify 869196 asha@example.com --event 201
    """
    import asyncio
    import sys

    from rich.table import Table

    from batch_share.cli.screen import console
    from batch_share.cli.work import TerminalWatcher
    from batch_share.library import BatchShare
    from batch_share.results.wording import ExitCode

    settings = given.settings()
    library = BatchShare(settings, watcher=TerminalWatcher(yes=True, json=given["json"]))
    if not settings.event:
        raise SettingsError(
            "event",
            "is not set: name the type of the activities with --event",
            problem="No type of activities is named.",
            hint="Name one.",
        )
    if not given["yes"]:
        if not sys.stdin.isatty():
            raise NotConfirmed
        typer.echo(library.verify_intent(lead, user), err=True)
        if not typer.confirm("Go on?", err=True):
            raise NotConfirmed
    found = asyncio.run(library.verify(lead, user))
    code = int(found.standing > 0) if found.error is None else ExitCode.of(found.error)
    if given["json"]:
        print(json.dumps(_verified_as_json(found, code)))  # noqa: T201 - what was asked for
    else:
        out, table = console(), Table(show_edge=False, pad_edge=False)
        for name in ("question", "expected", "seen"):
            table.add_column(name)
        looks = [each for each in found.answers if each.is_look_up]
        answering = sum(each.is_usual for each in looks)
        table.add_row("Which look-ups answer?", "all", f"{answering} of {len(looks)}")
        for each in found.answers:
            if each.is_usual:
                continue
            kind = "documented" if each.is_documented else "a guess"
            seen = f"{each.seen}\n→ {each.follows}" if each.follows else each.seen
            table.add_row(each.question, f"{each.expected} ({kind})", seen)
        out.print(table)
        out.print(
            "Not to be found out so: whether calls are counted in a sliding or a fixed window, and how long a "
            "request Id lives.",
            highlight=False,
        )
        if found.standing:
            out.print(f"{found.standing} shares could not be revoked: run the same command again.", style="red")
        out.print(f"Fit to be sent: {found.file}", soft_wrap=True, highlight=False)
    if found.error is not None:
        if not given["json"]:
            raise found.error
        typer.echo(f"batch-share: {found.error}", err=True)  # raised, it would be printed as an object of its own
    return code


def _verified_as_json(found: Verified, code: int) -> dict[str, object]:
    """The object that `--json` prints: what was found out, and the error that ended it, if one did."""
    at, answers = f"{found.at:%Y-%m-%dT%H:%M:%SZ}", [*map(asdict, found.answers)]
    reported = {"at": at, "file": str(found.file), "standing": found.standing, "answers": answers}
    if found.error is not None:
        reported = Asked("verify", None).stopped(found.error, code, found.error.sent_before) | reported
    return reported
