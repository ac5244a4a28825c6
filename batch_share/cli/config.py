"""The commands `config …`: the settings file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

config = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@config.callback()
def _root() -> None:
    """Make a settings file."""


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
