"""Keys that a server quotes, on a debugging page for one: what we keep of its answers holds no piece of them."""

from __future__ import annotations

import base64
import html
import json
import re
from itertools import groupby
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import SecretStr

HIDDEN: Final = "***"
"""What stands where a key stood."""

_PIECE: Final = 4
_PIECE_OF_WORDS: Final = 8
_MADE_OF_WORDS: Final = re.compile(r"[a-z._-]*")


class Redactor:
    """Takes two keys out of what a server said: whole ones out of anything, pieces out of its words for people."""

    # A key may come back cut off or masked, so four characters of it are hidden in words; not in Ids and other
    # data: a GUID shares four hexadecimal digits with a real key by chance (about one in sixty does), and an Id
    # that was touched is no Id. Words are judged before they are redacted, so there a false alarm costs a word.
    # A key of mere words, such as the sandbox's, shares "acce" with "Access denied": eight characters of that.

    def __init__(self, *keys: SecretStr) -> None:
        known = [key.get_secret_value() for key in keys]
        self._whole = [form.encode() for key in known if key for form in _forms(key)]
        self._pieces: dict[int, set[str]] = {_PIECE: set(), _PIECE_OF_WORDS: set()}
        for key in known:
            size = _PIECE_OF_WORDS if _MADE_OF_WORDS.fullmatch(key) else _PIECE
            for form in {*_forms(key), *_inside_base64(key)}:
                self._pieces[size].update(form[at : at + size] for at in range(len(form) - size + 1))

    def without_keys(self, body: bytes) -> bytes:
        """The body of an answer without whole keys, as they are or escaped."""
        for form in self._whole:
            body = body.replace(form, HIDDEN.encode())
        return body

    def without_pieces(self, words: str) -> str:
        """Words for people without anything that may be a piece of a key."""
        hidden = {at for start, end in self._found(words) for at in range(start, end)}
        if not hidden:
            return words
        runs = groupby(range(len(words)), hidden.__contains__)
        return "".join(HIDDEN if is_hidden else "".join(words[at] for at in run) for is_hidden, run in runs)

    def _found(self, words: str) -> Iterator[tuple[int, int]]:
        for size, pieces in self._pieces.items():
            for at in range(len(words) - size + 1):
                if words[at : at + size] in pieces:
                    yield at, at + size


def _forms(key: str) -> set[str]:
    """A key as it is, and as JSON, HTML, a URL and base64 write it."""
    encoded = base64.b64encode(key.encode()).decode()
    return {key, json.dumps(key)[1:-1], html.escape(key), quote(key, safe=""), encoded}


def _inside_base64(key: str) -> Iterator[str]:
    """What base64 makes of a key in the middle of a longer text, without the characters it shares with that."""
    for before, shared in ((0, 0), (1, 2), (2, 3)):
        yield base64.b64encode(b"\0" * before + key.encode()).decode().rstrip("=")[shared:-1]
