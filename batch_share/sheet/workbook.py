"""Workbooks: .xlsx, .xlsm, .xls and .ods. No formula is computed, no link followed.

Each is parsed in a process of its own (`parsing`), which may take so much memory and time and no more. Its rows
wait in a temporary file, to be read as often as they are wanted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import weakref
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock, Timer
from typing import TYPE_CHECKING, Any, Final, cast

from batch_share.errors import SheetError
from batch_share.sheet.table import SAVE_AS, Block, RawRow, Table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import IO, Self

    from batch_share.settings import SheetLimits

ANSWERED: Final = ("Summary", "Failures", "Results")
"""The worksheets of a workbook of results. Read as a sheet, it is the last of them: that alone has every row."""

EARLIER: Final = "Earlier"
"""The worksheet that may stand behind them: rows that only earlier sheets had."""

_START: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from batch_share.sheet.parsing import main; main()"
)
# Windows would open a window for it.
_UNSEEN: Final[int] = getattr(subprocess, "CREATE_NO_WINDOW", 0) | getattr(
    subprocess, "CREATE_NEW_PROCESS_GROUP", 0
)
_IN_MEMORY: Final = 1 << 18
"""Bytes of rows for which no file is made: a workbook may have hundreds of worksheets."""

_LONGEST: Final = 1 << 26
"""Bytes of a row, 64 MiB: far more than one can have that is within the limits."""

_STEP: Final = 1 << 16
"""Bytes of rows that are read back at a time: some hundreds of rows."""


def workbook_tables(path: Path, wanted: str | None, limits: SheetLimits) -> Iterator[Table]:
    """The worksheets that may be meant: the one that is named, else every visible one. Raises SheetError."""
    with _Parser(path, limits) as parser:
        worksheets = parser.worksheets()
        names = [name for name, _ in worksheets]
        if wanted is not None:
            meant = [index for index, name in enumerate(names) if name == wanted][:1]
            if not meant:
                raise SheetError(path, f"it has no worksheet {wanted!r}, only {', '.join(map(repr, names))}")
        else:
            meant = [index for index, (_, is_visible) in enumerate(worksheets) if is_visible]
            if not meant:
                raise SheetError(
                    path,
                    "the workbook has no visible worksheet: name one with --worksheet",
                    problem="The workbook has no visible worksheet.",
                    hint="Choose a worksheet.",
                )
            if tuple(names[index] for index in meant if names[index] != EARLIER) == ANSWERED:
                meant = meant[2:3]
        for index in meant:
            rows = _Rows(path, limits)
            late_notes = parser.read(index, rows)
            yield Table(
                worksheet=names[index],
                ragged=False,
                blocks=rows.read,
                notes=[f"worksheet {names[index]!r}"] if len(names) > 1 else [],
                late_notes=late_notes,
                worksheets=names,
            )


@dataclass(frozen=True, slots=True)
class Look:
    """How a worksheet of an .xlsx looks, as far as it is kept.

    By column, None where nothing is known: its `widths` in characters, and the number formats by which most of its
    `numbers` and `dates` are shown, in words or by Excel's own number. The columns `texts` hold numbers as text. So
    many `rows_above` the headers hold a `title`: cells, each with its row, its column (both from 0), its text, its
    number format and its style in xlsxwriter's words; some are `merged`: first row and column, last row and column.
    """

    widths: Sequence[float | None] = ()
    numbers: Sequence[str | int | None] = ()
    dates: Sequence[str | int | None] = ()
    texts: Collection[int] = ()
    rows_above: int = 0
    title: Sequence[tuple[int, int, str, str | int | None, Mapping[str, Any]]] = ()
    merged: Sequence[tuple[int, int, int, int]] = ()


NO_LOOK: Final = Look()


def look_of(path: Path, worksheet: str | None, columns: Sequence[str], limits: SheetLimits) -> Look:
    """How a worksheet with these headers looks; nothing is known of one that is gone, changed, or no .xlsx."""
    if worksheet is None or path.suffix.lower() not in {".xlsx", ".xlsm"} or not path.is_file():
        return NO_LOOK
    try:
        with _Parser(path, limits) as parser:
            if worksheet not in (name for name, _ in parser.worksheets()):
                return NO_LOOK
            reported = parser.ask({"worksheet": worksheet, "columns": [*columns]})
    except SheetError:
        return NO_LOOK
    return NO_LOOK if "refused" in reported else Look(**reported)


class _Rows:
    """The rows of a worksheet: if many, in a file that has no name and is gone when nobody reads it any more."""

    def __init__(self, path: Path, limits: SheetLimits) -> None:
        self.problem: str | None = None
        self._path, self._limits = path, limits
        self._size = 0
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - as long as this object
        self._reading = Lock()
        weakref.finalize(self, self._file.close)

    def add(self, line: bytes) -> None:
        """The next row, as it was told. Raises SheetError for one too many, OSError."""
        self._size += len(line)
        if self._size > self._limits.unpacked_mb * 1_000_000 or len(line) == _LONGEST:
            limit = f"the limit is {self._limits.unpacked_mb} MB (sheet.unpacked_mb)"
            raise SheetError(self._path, f"its cells hold more than can be taken in; {limit}")
        self._file.write(line)

    def read(self) -> Iterator[Block]:
        """All of them, and at their end SheetError if it is not the worksheet's."""
        at = 0
        while True:
            with self._reading:
                self._file.seek(at)
                lines = self._file.readlines(_STEP)
                at = self._file.tell()
            if not lines:
                break
            numbers, cells, odd = list[int](), list[list[str]](), dict[int, RawRow]()
            for number, texts, *faults in json.loads(b"[%s]" % b",".join(lines)):
                if faults:
                    odd[len(numbers)] = RawRow(number, texts, faults=dict(*faults))
                numbers.append(number)
                cells.append(texts)
            yield Block(numbers, cells, odd)
        if self.problem is not None:
            raise SheetError(self._path, self.problem)


class _Parser:
    """The process that parses a workbook, as long as it is wanted."""

    def __init__(self, path: Path, limits: SheetLimits) -> None:
        self.path, self.limits = path, limits
        self._late = False

    def __enter__(self) -> Self:
        keyless = {name: value for name, value in os.environ.items() if not name.startswith("BATCH_SHARE_")}
        try:
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-P", "-c", _START, json.dumps(sys.path, default=str)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Each of its threads would take memory for numbers that nobody reckons with.
                env=keyless | {"OPENBLAS_NUM_THREADS": "1"},
                # Ctrl-C is for whoever asks.
                process_group=0,
                creationflags=_UNSEEN,
            )
        except OSError as error:
            raise SheetError(self.path, f"no process could be started to read it ({error.strerror})") from None
        self._timer = Timer(self.limits.seconds, self._end)
        self._timer.daemon = True
        self._timer.start()
        self._in = cast("IO[bytes]", self._process.stdin)
        self._out = cast("IO[bytes]", self._process.stdout)
        self._ask({"path": str(self.path.absolute()), "limits": self.limits.model_dump()})
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._process.kill()
        with self._process:  # its pipes are closed, and it is waited for
            pass

    def worksheets(self) -> list[tuple[str, bool]]:
        """Each with its name and whether it is visible. Raises SheetError."""
        reported = self._answer()
        if "refused" in reported:
            raise SheetError(self.path, reported["refused"])
        return [(name, is_visible) for name, is_visible in reported["worksheets"]]

    def read(self, index: int, rows: _Rows) -> list[str]:
        """Fill `rows` with those of a worksheet; what is to be known of it. Raises SheetError."""
        reported = self.ask(index, rows)
        rows.problem = reported.get("refused")
        return [*reported.get("notes", ())]

    def ask(self, question: object, rows: _Rows | None = None) -> dict[str, Any]:
        """What is answered; the rows before it go into `rows`. Raises SheetError."""
        self._ask(question)
        return self._answer(rows)

    def _end(self) -> None:
        self._late = True
        self._process.kill()

    def _ask(self, question: object) -> None:
        with suppress(OSError):  # it has ended: what it answers tells
            os.write(self._in.fileno(), json.dumps(question).encode() + b"\n")

    def _answer(self, rows: _Rows | None = None) -> dict[str, Any]:
        """What comes once; the rows before it go into `rows`. Raises SheetError."""
        try:
            while line := self._out.readline(_LONGEST):
                if line.startswith(b"{") and line.endswith(b"\n"):
                    return dict(json.loads(line))
                if rows is not None:
                    rows.add(line)
        except OSError as error:
            raise SheetError(
                self.path, f"no room for its rows in the temporary folder ({error.strerror})"
            ) from None
        limit = "" if sys.platform == "win32" else f" within {self.limits.memory_mb:,} MB (sheet.memory_mb)"
        if self._late:
            limit = f" within {self.limits.seconds:,} s (sheet.seconds)"
        raise SheetError(self.path, f"damaged, or too large to be read{limit}: {SAVE_AS}")
