"""What people said of a sheet: by options, in a file, or of one with the same headers when it was last run.

A mapping is given as people say it, `--map "Owner mail=User Email"`, or as a TOML file that can be kept::

    dates = "dmy"

    [columns]
    "Owner mail" = "User Email"
    "Remarks" = "Note"
    "Old owner" = "ignore"

    [words]
    "lesen" = "read"
    "Wochen" = "weeks"

A run keeps the one that it was agreed to with, by the headers of its sheet: the next sheet with the very same
headers needs none.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping  # noqa: TC003 - read when what was kept is checked
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from batch_share.common import Order
from batch_share.errors import SettingsError
from batch_share.outputs import temporary_for
from batch_share.sheet.columns import field_named, suggest
from batch_share.sheet.values import WORDS, is_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch_share.outputs import Named


@dataclass(frozen=True, slots=True)
class SheetMapping:
    """`columns` say by header what a column holds: a Field's value, mx_Custom_1 and so on, `ignore`.

    `words` say what words of the sheet's own language mean, as `word_key` has them; `dates` what comes first in
    dates.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    dates: Order | None = None

    def over(self, other: SheetMapping) -> SheetMapping:
        """This one, and of the other what this one does not say."""
        columns, words = {**other.columns, **self.columns}, {**other.words, **self.words}
        return SheetMapping(columns, words, self.dates or other.dates)

    def spelled(self) -> str:
        """What it says, for people."""
        said = {"": self.columns, "words: ": self.words}
        parts = [
            what + ", ".join(f"{left} → {right}" for left, right in each.items())
            for what, each in said.items()
            if each
        ]
        return "; ".join([*parts, *([f"in dates {self.dates.words}"] if self.dates else [])])


_HOW_TO_MAP: Final = 'write "your column=field", as in "Owner mail=User Email"'


def word_key(text: str) -> str:
    """A word as it is known: without what people vary."""
    return " ".join(text.split()).casefold()


def read_mapping(file: Path | None, options: Sequence[str]) -> SheetMapping:
    """What `file` says, and the options, each a file's name, HEADER=FIELD or WORD=MEANING.

    What is given later wins. Raises SettingsError.
    """
    mapping = _from_file(file, "mapping") if file is not None else SheetMapping()
    for option in options:
        left, equals, right = (part.strip() for part in option.rpartition("="))
        if not equals:
            mapping = _from_file(Path(option), "map").over(mapping)
        elif not left or not right:
            raise SettingsError("map", f"{option!r} is no mapping: {_HOW_TO_MAP}")
        elif field_named(right) is None and is_word(right):
            mapping = SheetMapping(words=_words({left: right}, "map", "")).over(mapping)
        else:
            mapping = SheetMapping({left: right}).over(mapping)
    return mapping


def write_mapping(target: Named, mapping: SheetMapping) -> None:
    """Write a mapping file. Raises SettingsError."""
    import tomli_w  # noqa: PLC0415 - only when one is saved

    content: dict[str, Any] = {"dates": str(mapping.dates)} if mapping.dates else {}
    content["columns"] = dict(mapping.columns)
    if mapping.words:
        content["words"] = dict(mapping.words)
    with target.written() as temporary:
        temporary.write_text(tomli_w.dumps(content), encoding="utf-8")


def _from_file(file: Path, setting: str) -> SheetMapping:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        # A slip in HEADER=FIELD looks like the name of a file, too.
        raise SettingsError(setting, f"there is no file {str(file)!r}: name one, or {_HOW_TO_MAP}") from None
    except OSError as error:
        raise _wrong(setting, file, f"can't be read ({error.strerror})") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise _wrong(setting, file, f"is not valid TOML ({error})") from None
    tables = [content.get(name, {}) for name in ("columns", "words")]
    if not any(tables) and "columns" not in content:
        raise _wrong(setting, file, 'has no table [columns] with lines as "Owner mail" = "User Email"')
    for name, example, table in zip(
        ("columns", "words"), ('"Owner mail" = "User Email"', '"lesen" = "read"'), tables, strict=True
    ):
        if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
            raise _wrong(setting, file, f"has no table [{name}] with lines as {example}")
    dates = content.get("dates")
    if dates not in (None, *Order):
        raise _wrong(setting, file, "says of dates something else than “dmy” or “mdy”")
    return SheetMapping(tables[0], _words(tables[1], setting, f"{file}: "), dates and Order(dates))


def _wrong(setting: str, file: Path, reported: str) -> SettingsError:
    return SettingsError(setting, f"{file} {reported}", problem=f"The file of the mapping {reported}.")


def _words(given: Mapping[str, str], setting: str, where: str) -> dict[str, str]:
    """Words as they are known, with what they mean. Raises SettingsError."""
    words: dict[str, str] = {}
    for word, meaning in given.items():
        reported = ""
        if not is_word(meaning):
            known = f"write one of {', '.join(WORDS)}, or a length such as 7d"
            reported = (
                f"the word {word!r} is to mean {meaning!r}, which means nothing: {known}.{suggest(meaning, WORDS)}"
            )
        elif is_word(word) or not word_key(word):
            reported = f"the word {word!r} can't mean {meaning!r}: it has a meaning already"
        elif word_key(word) in words:
            reported = f"the word {word!r} is defined twice"
        if reported:
            raise SettingsError(setting, f"{where}{reported}", problem=f"The mapping is wrong: {reported}.")
        # As an option `days` would be the field of that name.
        words[word_key(word)] = "day" if field_named(meaning) else meaning
    return words


# --------------------------------------------------------------------------- what was said of the same headers

_KEPT_IN: Final = "mappings.json"
_MOST: Final = 200
"""Sets of headers that are kept, the latest: far more kinds of sheets than a team has, and read in no time."""

_Kept = list[tuple[list[str], SheetMapping]]


@dataclass(frozen=True, slots=True)
class Remembered:
    """What runs before were agreed to with, by the headers of their sheets; `remark` is why that is not known."""

    by_headers: Mapping[frozenset[str], SheetMapping] = field(default_factory=dict)
    remark: str = ""

    @classmethod
    def load(cls, folder: Path) -> Remembered:
        """As it lies in the data folder; nothing where there is none."""
        file = folder / _KEPT_IN
        try:
            if os.name == "posix" and file.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise PermissionError(0, "others can write it")
            kept = TypeAdapter(_Kept).validate_json(file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return cls()
        except OSError as error:
            why = error.strerror
        except ValidationError:
            why = "it is damaged"
        else:
            return cls({frozenset(headers): mapping for headers, mapping in kept})
        return cls(remark=f"what was said of columns before can't be used: {file} ({why})")

    def of(self, headers: Sequence[str]) -> SheetMapping | None:
        """What was said of a sheet with these very headers, in whatever order."""
        return self.by_headers.get(_known_by(headers))

    def keep(self, folder: Path, headers: Sequence[str], mapping: SheetMapping) -> None:
        """Have `mapping` known for these headers from now on. Raises OSError."""
        if self.of(headers) == mapping:
            return
        others = {each: said for each, said in self.by_headers.items() if each != _known_by(headers)}
        kept = [*[*others.items()][1 - _MOST :], (_known_by(headers), mapping)]
        content = TypeAdapter(_Kept).dump_json([(sorted(each), said) for each, said in kept], indent=1)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with temporary_for(folder / _KEPT_IN) as temporary:
            temporary.write_bytes(content)
            temporary.replace(folder / _KEPT_IN)


def _known_by(headers: Sequence[str]) -> frozenset[str]:
    return frozenset(word_key(header) for header in headers if header.strip())
