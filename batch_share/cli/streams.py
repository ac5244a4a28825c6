"""Standard input, output and errors as a command needs them: there, fit for every letter, never the end of work."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
