"""What no command begins with: a value that was typed as nothing, or in letters that are none.

Empty is not absent: in a script it is a variable that was never set, and what a command does without its `--user`
or `--rows` is seldom what was meant. What was typed is looked at before it is converted: an empty path would be the
current folder. And a name that is not UTF-8, as old archives have them, can be kept in no ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from batch_share.errors import BatchShareError, is_blank
from batch_share.outputs import spelled

F = TypeVar("F", bound=Callable[..., Any])


class CommandLine(typer.Typer):
    """A Typer whose commands, and groups of commands, refuse empty values: those of all options and arguments."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=_Group, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[F], F]:
        """As Typer's."""
        return super().command(name, cls=_Command, **settings)


class _Command(TyperCommand):
    """A command that answers in the form it was asked for, also where an error ends it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        typed = _checked(self, ctx, args)
        with _answering(ctx, typed):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with _answering(ctx, ctx.params):
            return super().invoke(ctx)


class _Group(TyperGroup):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _checked(self, ctx, args)
        return super().parse_args(ctx, args)


@contextmanager
def _answering(ctx: Any, typed: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except BatchShareError as error:
        from batch_share.cli.answering import Asked, answer

        answer(error, Asked.of(ctx.command_path, typed), typed)
        raise


def _checked(command: _Command | _Group, ctx: Any, args: list[str]) -> dict[str, Any]:
    """What was typed, by parameter. Raises UsageError, but not for a shell that completes what is half typed."""
    typed: dict[str, Any] = {}
    if ctx.resilient_parsing:
        return typed
    typed, _, _ = command.make_parser(ctx).parse_args(args=[*args])
    for param in command.get_params(ctx):
        values = _values(typed.get(param.name))
        is_option = param.param_type_name == "option"
        name = max(param.opts, key=len) if is_option else (param.metavar or param.name.upper()).strip("[].")
        if any(map(is_blank, values)):
            ctx.fail(f"{name} is empty: {'' if param.required else 'leave it out, or '}give it a value.")
        for value in values:
            if isinstance(value, str) and (shown := spelled(value)) != value:
                ctx.fail(f"{name} is not UTF-8: {shown}. If it is the name of a file, rename that.")
    return typed


def _values(typed: object) -> list[object]:
    """What was typed for one option or argument, one by one where it takes several."""
    return [value for each in typed for value in _values(each)] if isinstance(typed, list | tuple) else [typed]
