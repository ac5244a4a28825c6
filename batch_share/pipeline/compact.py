"""What there is a million of, in little memory: bytes beside each other, and no object for each.

A dict of a million names and the leads they mean takes some 440 MB, the same here about 120.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from batch_share.sheet.columns import USERS
from batch_share.sheet.rows import Ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from batch_share.sheet.columns import Field

_SHELVES: Final = 1 << 14
"""So many that of a million numbers a shelf holds some sixty: 22 MB in all."""

_DIGEST: Final = 16
_ENTRY: Final = _DIGEST + 5

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode
_decode: Final = json.JSONDecoder().raw_decode


class Numbers:
    """A number, not negative and below 2 to the 40, by each of many keys, which are known by their digests."""

    def __init__(self) -> None:
        self._shelves = [b""] * _SHELVES

    def get(self, key: str) -> int | None:
        """The key's number, None if it has none."""
        digest, shelf = _where(key)
        return _number(self._shelves[shelf], _find(self._shelves[shelf], digest))

    def put(self, key: str, number: int) -> None:
        """Give the key this number, whichever it had."""
        digest, shelf = _where(key)
        entries = self._shelves[shelf]
        at = _find(entries, digest)
        rest = entries if at < 0 else entries[:at] + entries[at + _ENTRY :]
        self._shelves[shelf] = rest + digest + number.to_bytes(_ENTRY - _DIGEST)

    def setdefault(self, key: str, number: int) -> int:
        """The key's number: this one if it had none."""
        digest, shelf = _where(key)
        entries = self._shelves[shelf]
        had = _number(entries, _find(entries, digest))
        if had is not None:
            return had
        self._shelves[shelf] = entries + digest + number.to_bytes(_ENTRY - _DIGEST)
        return number


def _where(key: str) -> tuple[bytes, int]:
    """The key's digest, and on which shelf it is."""
    digest = _digest(key)
    return digest, int.from_bytes(digest[:2]) % _SHELVES


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def _find(entries: bytes, digest: bytes) -> int:
    """Where the entry of `digest` begins, -1 if there is none."""
    at = entries.find(digest)
    while at > 0 and at % _ENTRY:  # within two entries, by chance
        at = entries.find(digest, at + 1)
    return at


def _number(entries: bytes, at: int) -> int | None:
    return None if at < 0 else int.from_bytes(entries[at + _DIGEST : at + _ENTRY])


class Lines:
    """Values such as JSON holds, each a line in one text."""

    def __init__(self) -> None:
        self._text = bytearray()

    def add(self, value: Any) -> int:
        """Keep the value. Returns where."""
        place = len(self._text)
        self._text += _encode(value).encode() + b"\n"
        return place

    def at(self, place: int) -> Any:
        """The value that `add` kept there."""
        return self._value(place, self._text.index(b"\n", place))

    def __iter__(self) -> Iterator[Any]:
        place = 0
        while place < len(self._text):
            end = self._text.index(b"\n", place)
            yield self._value(place, end)
            place = end + 1

    def _value(self, start: int, end: int) -> Any:
        return _decode(self._text[start:end].decode())[0]


class Names:
    """Names of leads and then of users, each once: those of one field after those of another.

    Users are kept as they are: they are few, and in every row.
    """

    def __init__(self, refs: Iterable[Ref]) -> None:
        self._values: dict[Field, Lines] = defaultdict(Lines)
        self._users: dict[Ref, None] = {}
        seen, count = Numbers(), 0
        for ref in refs:
            if ref.field in USERS:
                self._users[ref] = None
            elif seen.setdefault(key_of(ref), count) == count:
                self._values[ref.field].add(ref.value)
                count += 1

    def __bool__(self) -> bool:
        return bool(self._values or self._users)

    def __iter__(self) -> Iterator[Ref]:
        for field, values in self._values.items():
            for value in values:
                yield Ref(field, value)
        yield from self._users


def key_of(ref: Ref) -> str:
    """The key of a name in `Numbers`."""
    return f"{ref.field}\n{ref.value}"
