"""What was written of a ledger: its results, its failed rows, its reports, each by name and by its bytes."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import astuple, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batch_share.outputs import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

WRITTEN: Final = "written"
"""The fact that lists what was written."""

RESULTS: Final = "results"
"""The fact by which the results are known that were written of the rows as they are."""

_FAILED_SHEET: Final = "failed_sheet"
_STAMP: Final = 5


class Output(StrEnum):
    """The kinds of files that are written of a ledger, but for those that a person named: they are `NAMED`."""

    RESULTS = "results"
    FAILED = "failed"
    REPORT = "report"
    NAMED = "named"


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written, or was to be when the program was cut off.

    `digest` is that of its bytes, as `digest_of` has it; `said` that of what it says, where that is kept.
    """

    kind: str
    name: str
    digest: str
    said: str = ""


def written_in(facts: Mapping[str, str]) -> list[Written]:
    """What a ledger with these facts notes of what was written of it, oldest first."""
    if WRITTEN in facts:
        return [Written(*each) for each in json.loads(facts[WRITTEN])]
    return [*_noted_before(facts)]


def with_written(before: Sequence[Written], new: Written, there: str) -> list[Written]:
    """The list with a new entry instead of those of its name, but for the file that is `there` until it comes."""
    same = [each for each in before if (each.kind, each.name) == (new.kind, new.name) and each.digest != there]
    return [*(each for each in before if each not in same), new]


def as_fact(written: Sequence[Written]) -> str:
    """The list as the fact has it."""
    return json.dumps([astuple(each) for each in written])


def _noted_before(facts: Mapping[str, str]) -> Iterator[Written]:
    """Before there was a list, the last failed sheet was noted, and the results by their size and time."""
    if failed := facts.get(_FAILED_SHEET):
        noted = json.loads(failed)
        yield Written(Output.FAILED, Path(noted["path"]).name, noted["file"], noted["rows"])
    stamp = json.loads(facts.get(RESULTS) or "[]")
    if len(stamp) == _STAMP:
        _, path, _, size, written_at = stamp
        file = Path(path)
        with suppress(OSError):
            found = file.stat()
            if (found.st_size, found.st_mtime_ns) == (size, written_at):
                yield Written(Output.RESULTS, file.name, digest_of(file))
