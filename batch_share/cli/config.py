"""The commands `config …`: the settings file, and what is in force."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from batch_share.cli.arguments import Json, load
from batch_share.cli.empty import CommandLine

_WIDEST = 44

config = CommandLine(no_args_is_help=True, rich_markup_mode=None)


@config.callback()
def _root() -> None:
    """Make a settings file, or show what is set."""


@config.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="Where it goes.")] = Path("batch-share.toml"),
) -> None:
    """Write a settings file with every setting commented out. No file is overwritten.

    Example: batch-share config init
    """
    from batch_share.settings_file import write_template

    write_template(file)
    typer.echo(f"{file} is written: every setting is in it, commented out.")


@config.command()
def show(json: Json = False) -> None:
    """Show every setting in force and where it comes from. No key is shown.

    Example: batch-share config show
    """
    from batch_share.settings_shown import shown

    settings = shown(load())
    if json:
        from json import dumps

        typer.echo(dumps({each.name: {"value": each.value, "from": each.origin} for each in settings}))
        return
    name_width = max(len(each.name) for each in settings)
    text_width = min(max(len(each.text) for each in settings), _WIDEST)  # one long note must not push all apart
    for each in settings:
        typer.echo(f"{each.name:<{name_width}}  {each.text:<{text_width}}  {each.origin}")
