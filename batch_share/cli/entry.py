"""How a command line begins and ends: its streams, values typed as nothing, the answer where there is no other."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from batch_share.errors import AccessDenied, BatchShareError, LedgerError, SettingsError, SheetError, is_blank
from batch_share.outputs import spelled
from batch_share.results.notify import CUT, why_of

if TYPE_CHECKING:
    from collections.abc import Mapping


@contextmanager
def standing_streams() -> Iterator[None]:
    """Let the body read and print whatever became of its standard streams.

    One that is closed is the null device. A letter that a stream can't show becomes its number (`\\u0905`). Where
    nothing can be written, on a full disk or to a reader that is gone, that is told once, and the rest is dropped.
    """
    before = sys.stdin, sys.stdout, sys.stderr
    # In this order: each gets the lowest number that is free, which is its own.
    sys.stdin = sys.stdin or open(_null(os.O_RDONLY), encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = _lenient(sys.stdout, _tell_lost)
    sys.stderr = _lenient(sys.stderr, lambda _: None)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdin, sys.stdout, sys.stderr = before


def _null(flags: int) -> int:
    return os.open(os.devnull, flags)


def _tell_lost(why: str) -> None:
    told = f"standard output can't be written ({why}): what is printed there is lost, the work is not."
    print(f"batch-share: {told}", file=sys.stderr)  # noqa: T201


def _lenient(stream: TextIO | None, tell: Callable[[str], None]) -> TextIO:
    if stream is None:
        return open(_null(os.O_WRONLY), "w", encoding="utf-8", closefd=False)
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
            null = _null(os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            self._tell(error.strerror or "no reason given")
            return len(memoryview(data))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for: a `command`, and the `file` it was to work on, if it was to work on one."""

    command: str
    file: Path | None

    @classmethod
    def of(cls, command_path: str, typed: Mapping[str, Any]) -> Asked:
        """By the command's own arguments, as they were typed."""
        file = next((typed[name] for name in ("sheet", "ledger", "folder") if typed.get(name)), None)
        return cls(command_path.partition(" ")[2], Path(file) if file else None)

    def stopped(self, error: BatchShareError, code: int, sent: int) -> dict[str, Any]:
        """What JSON has of a command that an error ended."""
        return self._ended(type(error).__name__, str(error), code, sent)

    def cut(self, code: int) -> dict[str, Any]:
        """What JSON has of a command that a person cut off: the ledger alone knows what was sent."""
        return self._ended(KeyboardInterrupt.__name__, CUT, code, None)

    def _ended(self, kind: str, words: str, code: int, sent: int | None) -> dict[str, Any]:
        file = None if self.file is None else str(self.file.absolute())
        told = {"kind": kind, "message": words}
        return {"command": self.command, "file": file, "sent": sent, "error": told, "exit_code": int(code)}

    def line(self, error: BatchShareError, code: int, sent: int) -> str:
        """The same in one line: `leads.csv: nothing sent: keys refused (exit 1)`."""
        return f"{self.name}: {in_short(error, sent)} (exit {code:d})"

    @property
    def name(self) -> str:
        """What a line is about."""
        return self.file.name if self.file is not None else self.command


def in_short(error: BatchShareError, sent: int) -> str:
    """How a command ended by an error, in few words: whether anything was sent, and why not more was."""
    return f"{'stopped' if sent else 'nothing sent'}: {_why(error)}"


def _why(error: BatchShareError) -> str:
    """Of what a person has to mend here, the error's own first sentence: the others say what to do next."""
    if isinstance(error, AccessDenied):
        return "keys refused"
    words = str(error)
    if isinstance(error, SheetError | LedgerError):
        row = error.row if isinstance(error, SheetError) else None
        words = error.wrong if row is None else f"row {row}: {error.wrong}"
    elif not isinstance(error, SettingsError) and (why := why_of(error)) is not None:
        words = why
    return " ".join(words.split()).partition(". ")[0].rstrip(".")


def answer(error: BatchShareError, asked: Asked, typed: Mapping[str, Any]) -> None:
    """Print the answer that the options ask for, if they do, of a command that ended by an error."""
    from batch_share.results.summary import code_of

    code = code_of(error)
    if typed.get("json"):
        print(json.dumps(asked.stopped(error, code, error.sent_before)))  # noqa: T201 - what was asked for
    elif "one_line" in typed and (typed["one_line"] or _is_one_line_set()):
        print(asked.line(error, code, error.sent_before))  # noqa: T201 - what was asked for


def _is_one_line_set() -> bool:
    from batch_share.settings import load_settings

    try:
        return load_settings().one_line
    except BatchShareError:  # that may be why
        return False


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
