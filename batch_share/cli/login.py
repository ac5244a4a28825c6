"""The commands `login` and `logout`: host and keys in the system's keyring."""

from __future__ import annotations

import sys
from typing import Annotated, Optional

import typer

from batch_share.errors import BatchShareError, SettingsError


def login(
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read host, access key and secret key from there, one to a line.")
    ] = False,
    no_check: Annotated[bool, typer.Option("--no-check", help="Keep the keys without trying them.")] = False,
) -> None:
    """Keep host and keys in the system's keyring.

    They are asked for and not shown, have to be an administrator's, and are tried first. Keys in the environment,
    .env or the settings file win over those that are kept.

    Example: batch-share login
    """
    import asyncio

    from batch_share import keychain
    from batch_share.cli.arguments import load
    from batch_share.cli.display import Display
    from batch_share.cli.work import TerminalWatcher
    from batch_share.jobs.check_up import check_keys

    host, access_key, secret_key = _from_stdin() if stdin else _from_terminal()
    settings = load(host=host, access_key=access_key, secret_key=secret_key)
    account = settings.account()
    try:
        if not no_check:
            asyncio.run(check_keys(settings, TerminalWatcher(Display())))
    except BatchShareError as error:
        raise BatchShareError(f"{error} The keys were not kept.") from None
    keychain.keep(*account)
    typer.echo(f"The keys for {account[0]} are kept in the system's keyring.")


def logout(
    host: Annotated[Optional[str], typer.Option(help="Whose keys. Default: those of the last login.")] = None,
) -> None:
    """Remove host and keys from the system's keyring. What is set elsewhere stays.

    Example: batch-share logout
    """
    from batch_share import keychain
    from batch_share.settings import parse_host

    try:
        named = parse_host(host) if host is not None else next(reversed(keychain.hosts()), None)
    except ValueError as error:
        raise SettingsError("host", str(error)) from None
    if named is not None and keychain.forget(named):
        typer.echo(f"The keys for {named} are removed from the system's keyring.")
    else:
        typer.echo("The system's keyring holds no keys" + (f" for {named}." if named else "."))


def _from_stdin() -> tuple[str, str, str]:
    """Raises SettingsError, without a word of what was read."""
    lines = [line.strip() for line in sys.stdin.read().splitlines() if line.strip()]
    if len(lines) != 3:
        raise SettingsError("stdin", "write three lines: the host, the access key, the secret key")
    return lines[0], lines[1], lines[2]


def _from_terminal() -> tuple[str, str, str]:
    if not sys.stdin.isatty():
        raise SettingsError("login", "there is no terminal to ask at: give the three lines to --stdin")
    host = typer.prompt("Host, such as https://api-in21.leadsquared.com")
    return host, *(typer.prompt(name, hide_input=True) for name in ("Access key", "Secret key"))
