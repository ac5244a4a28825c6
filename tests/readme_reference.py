"""The README's list of commands and options, made from the commands: `make reference` writes it anew."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer.main

from batch_share.cli.app import app
from batch_share.cli.entry import told_of

if TYPE_CHECKING:
    from collections.abc import Iterator

README = Path(__file__).parents[1] / "README.md"
_PLACE = re.compile(r"(?<=<!-- reference: begin -->\n).*?(?=<!-- reference: end -->)", re.DOTALL)


def reference() -> str:
    """Markdown for every command, with its arguments and options."""
    return "\n".join(_command(name, each) for name, each in commands().items())


def commands() -> dict[str, Any]:
    """The commands by name; those of a group with its name before theirs."""
    return dict(_commands(typer.main.get_command(app)))


def _commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, each in group.commands.items():
        if each.hidden:
            continue
        if hasattr(each, "commands"):
            yield from _commands(each, f"{before}{name} ")
        else:
            yield f"{before}{name}", each


def with_reference(readme: str) -> str:
    """The README's text with the reference of today."""
    return _PLACE.sub(lambda _: reference(), readme)


def _command(name: str, command: Any) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option" and param.name != "help"]
    usage = " ".join([f"batch-share {name}", *(param.metavar for param in arguments)])
    text = " ".join(command.help.partition("\nExample:")[0].split())
    lines = [f"#### `{usage}`", "", text, ""]
    lines += [f"- {_option(param)}" for param in options]
    return "\n".join([*lines, ""]) if options else "\n".join(lines)


def _option(param: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*param.opts, *param.secondary_opts])
    return f"{names}: {told_of(param)}"


if __name__ == "__main__":
    README.write_text(with_reference(README.read_text(encoding="utf-8")), encoding="utf-8")
