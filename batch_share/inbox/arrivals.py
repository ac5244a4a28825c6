"""Which files of a folder are sheets, and when one of them is fully written.

Nothing tells when a file is whole that is copied over a network, so it is looked at again and again: one whose size
and time have not changed for a while, and that can be opened, is taken for whole.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from batch_share.sheet.reader import TEXT_SUFFIXES, WORKBOOK_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SETTLE: Final = 5.0
"""Seconds for which a file must not have changed."""

PATIENCE: Final = 12
"""So many times as long a workbook may stay cut off, as one is whose copy has stalled."""

_ZIPPED: Final = frozenset({".xlsx", ".xlsm", ".ods"})
_PASSING: Final = ("~$", ".", "#")
"""How the names begin of files that programs keep beside the one they work on."""

_OUR_OWN: Final = re.compile(r".*\.(results|failed|plan)(-\d+)?", re.DOTALL)
"""How sheets that batch_share writes are called, before their suffix."""


def is_sheet(name: str) -> bool:
    """Whether a file of this name is a sheet that somebody dropped: no temporary file, and nothing of our own."""
    stem, dot, suffix = name.rpartition(".")
    if name.startswith(_PASSING) or not stem or f"{dot}{suffix}".lower() not in TEXT_SUFFIXES | WORKBOOK_SUFFIXES:
        return False
    return not _OUR_OWN.fullmatch(stem.lower())


@dataclass(frozen=True, slots=True)
class _Sight:
    """How a file looked, and since when it has looked so."""

    size: int
    written: int
    since: float


@dataclass(slots=True)
class Arrivals:
    """The sheets of `folder`, and how they looked at `now` and before. `now` is any clock that goes forward."""

    folder: Path
    now: Callable[[], float]
    settle: float = SETTLE
    _seen: dict[Path, _Sight] = field(default_factory=dict)

    def ready(self) -> list[Path]:
        """Look once; the sheets that are fully written, the oldest first.

        Raises OSError if the folder can't be read.
        """
        now = self.now()
        found = {file: sight for file in self.folder.iterdir() if (sight := self._look(file, now)) is not None}
        self._seen = found
        settled = [file for file, sight in found.items() if self._is_whole(file, now - sight.since)]
        return sorted(settled, key=lambda file: (found[file].written, file.name))

    def unsettled(self) -> list[Path]:
        """The sheets of the last look that were not ready and are still there."""
        return sorted(file for file in self._seen if file.is_file())

    @property
    def saw_any(self) -> bool:
        """Whether there was a sheet at the last look, ready or not."""
        return bool(self._seen)

    def _look(self, file: Path, now: float) -> _Sight | None:
        if not is_sheet(file.name):
            return None
        try:
            if not file.is_file():
                return None
            seen = file.stat()
        except OSError:  # gone again, or on its way
            return None
        before = self._seen.get(file)
        if before is not None and (before.size, before.written) == (seen.st_size, seen.st_mtime_ns):
            return before
        return _Sight(seen.st_size, seen.st_mtime_ns, now)

    def _is_whole(self, file: Path, quiet: float) -> bool:
        if quiet < self.settle:
            return False
        try:
            with file.open("rb"):
                pass
            is_cut_off = file.suffix.lower() in _ZIPPED and not zipfile.is_zipfile(file)
        except OSError:  # whoever writes it may keep it to himself
            return False
        return not is_cut_off or quiet >= PATIENCE * self.settle
