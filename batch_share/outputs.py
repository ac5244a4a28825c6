"""Files that are written for people: none takes the place of what is not ours, none is seen half written.

A file is ours as long as its bytes are those that were noted when it was written: in its ledger, which knows its
results, failed rows and reports by name and bytes, or, where a person named the file, in a list in the user's data
folder too. Whatever else is there stays. A name that nobody gave is numbered then (`leads.results-2.csv`); for one
that somebody gave nothing else will do, so it is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batch_share.errors import BatchShareError, SettingsError, spelled

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

DATABASE_MAGIC: Final = b"SQLite format 3\0"
"""How every ledger in a file begins, and every other database of SQLite."""

_LIST: Final = "written"
_STEP: Final = 1 << 20  # bytes read at a time: more is no quicker


def digest_of(file: Path) -> str:
    """What the bytes of a file are known by: their SHA-256; "" where there is no file, or none that can be read."""
    digest = hashlib.sha256()
    try:
        if not file.is_file():  # a pipe would never end
            return ""
        with file.open("rb") as source:
            while chunk := source.read(_STEP):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()


def is_database(file: Path) -> bool:
    """Whether it is a ledger, or another database. Raises OSError if it can't be read."""
    if not file.is_file():
        return False
    with file.open("rb") as source:
        return source.read(len(DATABASE_MAGIC)) == DATABASE_MAGIC


def is_spelled(name: Path) -> bool:
    """Whether a file, with the folders that it is in, has a name that can be kept."""
    whole = str(name.absolute())
    return spelled(whole) == whole


def names_for(target: Path, first: Path | None = None) -> Iterator[Path]:
    """Where an output may go that nobody named: `first`, if there is one, then `target` and its numbered names."""
    numbered = (target.with_name(f"{target.stem}-{number}{target.suffix}") for number in count(2))
    yield from dict.fromkeys([first or target, target])
    yield from (each for each in numbered if each != first)


def is_in_the_way(place: Path, ours: Container[str]) -> bool:
    """Whether something is there that is not ours, which is known by these digests."""
    return os.path.lexists(place) and digest_of(place) not in ours


@contextmanager
def temporary_for(target: Path) -> Iterator[Path]:
    """A file beside `target` that only its owner can read, and that is gone at the end. Raises OSError."""
    handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def telling_of(target: Path) -> Iterator[None]:
    """Raises BatchShareError, in one sentence, for what keeps `target` from being written."""
    try:
        yield
    except OSError as error:
        raise BatchShareError(
            f"{target} can't be written ({error.strerror}).",
            problem=f"{target.name} can't be written ({error.strerror}).",
        ) from None


def write_private(file: Path, text: str) -> None:
    """Write a text file that only its owner can read. Raises OSError."""
    with open(file, "w", encoding="utf-8", opener=private) as out:
        out.write(text)


def private(path: str, flags: int) -> int:
    """The `opener` of a file that only its owner can read."""
    return os.open(path, flags, 0o600)


@dataclass(frozen=True, slots=True)
class Named:
    """A `target` that a person named by an `option`, and the `spared` files, its sheet above all.

    The list of what was written by such names lies in `folder`: one that can't be written keeps nothing from being
    written, but the file is not known as ours the next time.
    """

    option: str
    target: Path
    folder: Path
    spared: Sequence[Path] = ()

    def check(self, ours: Container[str] = ()) -> None:
        """Raises SettingsError if something is there that is not ours, nor known by these digests."""
        if not os.path.lexists(self.target):
            return
        why = "is there, and is nothing that batch_share wrote, or was changed since"
        listed: Container[str] = ()
        with suppress(OSError):
            listed = {*(self.folder / _LIST).read_text(encoding="ascii", errors="replace").split()}
        try:
            if any(each.exists() and self.target.exists() and each.samefile(self.target) for each in self.spared):
                why = "is the sheet itself"
            elif is_database(self.target):
                why = "is a ledger, or another database"
            elif (digest := digest_of(self.target)) and (digest in ours or digest in listed):
                return
        except OSError as error:
            why = f"is there, and can't be looked at ({error.strerror})"
        raise SettingsError(
            self.option,
            f"{self.target} {why}: name another file",
            problem=f"{self.target.name} {why}.",
            hint="Name another file.",
        )

    @contextmanager
    def written(self, ours: Container[str] = ()) -> Iterator[Path]:
        """A temporary file that takes the place of the target at the end. Raises SettingsError, as `check` too."""
        self.check(ours)
        try:
            with temporary_for(self.target) as temporary:
                yield temporary
                with suppress(OSError):  # first: whatever is cut off then, the file is known as ours
                    self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                    with open(self.folder / _LIST, "a", encoding="ascii", opener=private) as out:
                        out.write(f"{digest_of(temporary)}\n")
                temporary.replace(self.target)
        except OSError as error:
            raise SettingsError(
                self.option,
                f"{self.target} can't be written ({error.strerror})",
                problem=f"{self.target.name} can't be written ({error.strerror}).",
            ) from None


def check_apart(ledger: Path | None, *named: Named | None) -> None:
    """Raises SettingsError if two of them are one file, or one is where the `ledger` is to be."""
    taken = {ledger.resolve(): "the ledger"} if ledger else {}
    for each in filter(None, named):
        other = taken.setdefault(each.target.resolve(), f"--{each.option}")
        if other != f"--{each.option}":
            raise SettingsError(
                each.option,
                f"{each.target} is where {other} goes: name another file",
                problem=f"Two things would be written to {each.target.name}.",
                hint="Name another file for one of them.",
            )


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
    # Before there was a list, the last failed sheet was noted, and the results by their size and time.
    found = []
    if failed := facts.get(_FAILED_SHEET):
        noted = json.loads(failed)
        found.append(Written(Output.FAILED, Path(noted["path"]).name, noted["file"], noted["rows"]))
    stamp = json.loads(facts.get(RESULTS) or "[]")
    if len(stamp) == _STAMP:
        _, path, _, size, written_at = stamp
        with suppress(OSError):
            there = Path(path).stat()
            if (there.st_size, there.st_mtime_ns) == (size, written_at):
                found.append(Written(Output.RESULTS, Path(path).name, digest_of(Path(path))))
    return found


def with_written(
    before: Sequence[Written], new: Written, there: str = "", *, only_known: bool = False
) -> Sequence[Written]:
    """The list with a new entry instead of those of its name, but for the file that is `there` until it comes.

    `there` is its digest, "" for none. If `only_known`, nothing changes where none of its name is in the list.
    """
    if only_known and not any((each.kind, each.name) == (new.kind, new.name) for each in before):
        return before
    same = [each for each in before if (each.kind, each.name) == (new.kind, new.name) and each.digest != there]
    return [*(each for each in before if each not in same), new]


def as_fact(written: Sequence[Written]) -> str:
    """The list as the fact has it."""
    return json.dumps([astuple(each) for each in written])
