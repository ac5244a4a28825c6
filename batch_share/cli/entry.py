"""How a command line begins and ends: its streams, its help, what is typed, the answer where there is no other."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar, cast

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from batch_share.cli.options import GROUPS, OPTIONS, OUTPUT, Given, option_of, setting_kinds, with_options
from batch_share.errors import (
    AccessDenied,
    BatchShareError,
    LedgerError,
    SettingsError,
    SheetError,
    is_blank,
    spelled,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch_share.ledger.files import LedgerName


@contextmanager
def standing_streams() -> Iterator[None]:
    """Let the body read and print whatever became of its standard streams.

    One that is closed is the null device. A letter that a stream can't show becomes its number (`\\u0905`). Where
    nothing can be written, on a full disk or to a reader that is gone, that is told once, and the rest is dropped.
    """
    before = sys.stdin, sys.stdout, sys.stderr
    # In this order: each gets the lowest number that is free, which is its own.
    sys.stdin = sys.stdin or open(os.open(os.devnull, os.O_RDONLY), encoding="utf-8", closefd=False)  # noqa: SIM115
    lost = "batch-share: standard output can't be written ({}): what is printed there is lost, the work is not."
    sys.stdout = _lenient(sys.stdout, lambda why: print(lost.format(why), file=sys.stderr))  # noqa: T201
    sys.stderr = _lenient(sys.stderr, lambda _: None)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdin, sys.stdout, sys.stderr = before


def _lenient(stream: TextIO | None, tell: Callable[[str], None]) -> TextIO:
    if stream is None:
        return open(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8", closefd=False)
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.reconfigure(errors="backslashreplace")
    # Without a buffer (python -u) it is its own. A console of Windows, or a test's stream, is none of that kind.
    if not isinstance(getattr(stream.buffer, "raw", stream.buffer), io.FileIO):
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(stream.fileno(), tell)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Output(io.FileIO):
    """A file that takes everything. Below all buffers, so that whoever writes to the stream goes through it."""

    def __init__(self, descriptor: int, tell: Callable[[str], None]) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._tell = tell

    def write(self, data: object) -> int:
        """Write, or go on without."""
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError as error:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            self._tell(error.strerror or "no reason given")
            return len(memoryview(data))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for: a `command`, and the `file` it was to work on, if it was to work on one."""

    command: str
    file: Path | LedgerName | None

    @classmethod
    def of(cls, command_path: str, typed: Mapping[str, Any]) -> Asked:
        """By the command's own arguments, as they were typed."""
        file = next((typed[name] for name in ("sheet", "ledger", "folder") if typed.get(name)), None)
        return cls(command_path.partition(" ")[2], Path(file) if isinstance(file, str) else file)

    def stopped(self, error: BatchShareError, code: int, sent: int) -> dict[str, Any]:
        """What JSON has of a command that an error ended."""
        return self._ended(type(error).__name__, str(error), code, sent)

    def cut(self, code: int) -> dict[str, Any]:
        """What JSON has of a command that a person cut off: the ledger alone knows what was sent."""
        from batch_share.results.wording import CUT

        return self._ended(KeyboardInterrupt.__name__, CUT, code, None)

    def broken(self, error: Exception, code: int) -> dict[str, Any]:
        """What JSON has of a command that a fault of ours ended: the ledger alone knows what was sent."""
        from batch_share.results.wording import fault

        return self._ended(type(error).__name__, fault(error, None), code, None)

    def _ended(self, kind: str, words: str, code: int, sent: int | None) -> dict[str, Any]:
        file = None if self.file is None else str(self.file.absolute())
        reported = {"kind": kind, "message": words}
        return {"command": self.command, "file": file, "sent": sent, "error": reported, "exit_code": int(code)}

    def line(self, error: BatchShareError, code: int, sent: int) -> str:
        """The same in one line: `leads.csv: nothing sent: keys refused (exit 1)`."""
        return f"{self.name}: {in_short(error, sent)} (exit {code:d})"

    @property
    def name(self) -> str:
        """What a line is about."""
        if self.file is None:
            return self.command
        return self.file.name if isinstance(self.file, Path) else self.file.short


def in_short(error: BatchShareError, sent: int) -> str:
    """How a command ended by an error, in few words: whether anything was sent, and why not more was.

    Of what a person has to fix here it is the error's own first sentence: the others say what to do next.
    """
    from batch_share.results.wording import why_ended

    words = str(error)
    if isinstance(error, AccessDenied):
        words = "keys refused"
    elif isinstance(error, SheetError | LedgerError):
        row = error.row if isinstance(error, SheetError) else None
        words = error.wrong if row is None else f"row {row}: {error.wrong}"
    elif isinstance(error, SettingsError):
        words = f"{error.problem[:1].lower()}{error.problem[1:]}"
    elif (why := why_ended(error)) is not None:
        words = why
    why = " ".join(words.split()).partition(". ")[0].rstrip(".")
    return f"{'stopped' if sent else 'nothing sent'}: {why}"


def answer(error: BatchShareError, asked: Asked, typed: Mapping[str, Any]) -> None:
    """Print the answer that the options ask for, if they do, of a command that ended by an error."""
    import json

    from batch_share.results.wording import ExitCode

    code = ExitCode.of(error)
    if typed.get("json"):
        print(json.dumps(asked.stopped(error, code, error.sent_before)))  # noqa: T201 - what was asked for
    elif "set" in typed:
        try:
            is_one_line = Given({name: typed.get(name) for name in OPTIONS}).settings().one_line
        except BatchShareError:  # that may be why
            is_one_line = not {"--one-line=true", "one_line=true"}.isdisjoint(typed["set"] or ())
        if is_one_line:
            print(asked.line(error, code, error.sent_before))  # noqa: T201 - what was asked for


F = TypeVar("F", bound=Callable[..., Any])


class CommandLine(typer.Typer):
    """A Typer whose commands, and groups of commands, refuse empty values: those of all options and arguments."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=_Group, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[F], F]:
        """As Typer's, but that what it takes is built only for who asks: see `_Command`."""

        def register(function: F) -> F:
            def unbuilt() -> None: ...

            unbuilt.__name__, unbuilt.__doc__ = function.__name__, function.__doc__
            unbuilt.__dict__[_FUNCTION] = function
            super(CommandLine, self).command(name, cls=_Command, **settings)(unbuilt)
            return function

        return register


_FUNCTION: Final = "batch_share_function"


class _Command(TyperCommand):
    """A command that returns its exit code. It answers in the form asked for, also where an error ends it.

    What it takes is built once that is asked for: for all of some twenty commands it would take as long as all else
    that `--help` does, which needs their names and first lines.
    """

    _built: TyperCommand | None = None

    @property
    def params(self) -> Any:
        """Its arguments and options. From the first time on its callback takes them."""
        if self._built is None:
            alone = typer.Typer(add_completion=False)
            alone.command()(with_options(getattr(self.callback, _FUNCTION)))
            self._built = cast("TyperCommand", typer.main.get_command(alone))
            self.callback = self._built.callback
        return self._built.params

    @params.setter
    def params(self, _none: Any) -> None:
        """Typer sets those of the function that stands for the command: none."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:  # a shell completes what is half typed
            args = _with_settings(self, ctx, args)
        typed = _checked(self, ctx, args)
        with _answering(ctx, typed):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with _answering(ctx, ctx.params):
            if ctx.params.get("ledger") is not None and "sheet" not in ctx.params:
                ctx.params["ledger"] = Given(ctx.params).ledger()
            code = super().invoke(ctx)
        ctx.exit(int(code or 0))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The arguments as they are called: Typer's braces and brackets say nothing to a person."""
        params: list[Any] = self.get_params(ctx)
        return [
            "[OPTIONS]",
            *(param.metavar or param.name.upper() for param in params if param.param_type_name == "argument"),
        ]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """What it takes, by groups; and, where it takes settings, that it takes all of them."""
        params: list[Any] = self.get_params(ctx)
        has_groups = any(getattr(param, "rich_help_panel", None) for param in params)
        rows: dict[str, list[tuple[str, str]]] = {name: [] for name in ("Arguments", "Options", *GROUPS)}
        for param in params:
            if param.param_type_name == "argument":
                rows["Arguments"].append((param.metavar, param.help))
            elif not param.hidden:
                rest = OUTPUT if has_groups and param.name == "help" else "Options"
                rows[param.rich_help_panel or rest].append((param.get_help_record(ctx)[0], reported_of(param)))
        _write_sections(formatter, rows)
        if any(param.name == "set" for param in params):
            with formatter.indentation():
                formatter.write_paragraph()
                formatter.write_text(_MORE_OPTIONS)


def reported_of(option: Any) -> str:
    """What help says of an option: its text, and what it is if nothing is said."""
    if option.required:
        return f"{option.help} (required)"
    return option.help if option.is_flag or option.default is None else f"{option.help} Default: {option.default}."


class _Group(TyperGroup):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _checked(self, ctx, args)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Its commands by what they are for, then its options."""
        commands = [
            (name, self.commands[name]) for name in self.list_commands(ctx) if not self.commands[name].hidden
        ]
        width = formatter.width - 6 - max(len(name) for name, _ in commands)
        rows: dict[str, list[tuple[str, str]]] = {}
        command: Any
        for name, command in commands:
            rows.setdefault(command.rich_help_panel or "Commands", []).append(
                (name, command.get_short_help_str(width))
            )
        options = [param.get_help_record(ctx) for param in self.get_params(ctx)]
        _write_sections(formatter, rows)
        _write_sections(formatter, {"Options": [*filter(None, options)]})


_WIDEST_NAME: Final = 28

_MORE_OPTIONS: Final = (
    "Every setting is an option too (--max-rows 100, --no-follow-up); `batch-share config show` lists them."
)


def _write_sections(formatter: Any, rows: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """What each is called and says, by their headings, all in the same two columns."""
    widths = [len(name) for section in rows.values() for name, _ in section]
    width = max(each for each in widths if each <= _WIDEST_NAME)
    for heading, section in rows.items():
        if section:
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), text) for name, text in section])


def _with_settings(command: _Command, ctx: Any, args: Sequence[str]) -> list[str]:
    """The arguments with each option that is none of the command's own, but a setting's, as a `--set`.

    `--max-rows 100` is `--set --max-rows=100`: so that an error can name it as it was typed. Raises UsageError for
    an option that is neither.
    """
    params: list[Any] = command.get_params(ctx)
    own = {name: param for param in params for name in (*param.opts, *param.secondary_opts)}
    if "--set" not in own:
        return [*args]
    reported: list[str] = []
    left = [*args]
    while left and left[0] != "--":
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if name in own or not word.startswith("--"):
            reported.append(word)
            # What an option takes is its value, whatever it looks like.
            if left and word in own and not (own[word].is_flag or own[word].count):
                reported.append(left.pop(0))
            continue
        setting, kinds = name.removeprefix("--").replace("-", "_"), setting_kinds()
        switch = setting if setting in kinds else setting.removeprefix("no_")
        if kinds.get(switch):
            if equals:
                ctx.fail(f"Option {name!r} does not take a value.")
            reported += ["--set", f"{option_of(switch)}={'true' if switch == setting else 'false'}"]
        elif setting not in kinds:
            close = get_close_matches(name, [*own, *map(option_of, kinds)], n=1)
            ctx.fail(f"No such option: {spelled(name)}" + (f" (Did you mean {close[0]}?)" if close else ""))
        elif not equals and not left:
            ctx.fail(f"Option {name!r} requires an argument.")
        else:
            reported += ["--set", f"{name}={value if equals else left.pop(0)}"]
    return [*reported, *left]


_ENDS: Final = (typer.Exit, typer.Abort, typer.BadParameter.__mro__[2])
"""How typer ends a command; the last is what all that is said of wrong arguments is, in whichever click it has."""


@contextmanager
def _answering(ctx: Any, typed: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except BatchShareError as error:
        answer(error, Asked.of(ctx.command_path, typed), typed)
        raise
    except Exception as error:
        if typed.get("json") and not isinstance(error, _ENDS):
            import json

            from batch_share.results.wording import ExitCode

            asked = Asked.of(ctx.command_path, typed)
            print(json.dumps(asked.broken(error, ExitCode.NOT_DONE)))  # noqa: T201 - what was asked for
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
