"""Empty is not absent: no command begins with a value that was typed as nothing.

In a script it is a variable that was never set, and what a command does without its `--user` or `--rows` is seldom
what was meant. What was typed is looked at before it is converted: an empty path would be the current folder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from batch_share.errors import is_blank

F = TypeVar("F", bound=Callable[..., Any])


class CommandLine(typer.Typer):
    """A Typer whose commands, and groups of commands, refuse empty values: those of all options and arguments."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=_Group, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[F], F]:
        """As Typer's."""
        return super().command(name, cls=_Command, **settings)


class _Command(TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _refuse_empty(self, ctx, args)
        return super().parse_args(ctx, args)


class _Group(TyperGroup):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _refuse_empty(self, ctx, args)
        return super().parse_args(ctx, args)


def _refuse_empty(command: _Command | _Group, ctx: Any, args: list[str]) -> None:
    """Raises UsageError, but not for a shell that completes what is half typed."""
    if ctx.resilient_parsing:
        return
    typed, _, _ = command.make_parser(ctx).parse_args(args=[*args])
    for param in command.get_params(ctx):
        if any(map(is_blank, _values(typed.get(param.name)))):
            is_option = param.param_type_name == "option"
            name = max(param.opts, key=len) if is_option else (param.metavar or param.name.upper()).strip("[].")
            ctx.fail(f"{name} is empty: {'' if param.required else 'leave it out, or '}give it a value.")


def _values(typed: object) -> list[object]:
    """What was typed for one option or argument, one by one where it takes several."""
    return [value for each in typed for value in _values(each)] if isinstance(typed, list | tuple) else [typed]
