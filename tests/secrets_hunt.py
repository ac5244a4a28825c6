"""Keys that occur nowhere else, and the search for any piece of them in everything that a program leaves behind."""

from __future__ import annotations

import base64
import html
import json
import traceback
import zipfile
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from pathlib import Path

ACCESS: Final = "u$rQ7xZ&Jk4WvY9<Tg2NpX"
SECRET: Final = 'Xw3"Lq8\\VzK5Hy>6MbU1Rj'
"""No four characters of them are digits, hexadecimal or a word, so none is anywhere by chance."""

_ESCAPES: Final = "&amp; &quot; &lt; &gt;"


def _forms(key: str) -> set[str]:
    encoded = base64.b64encode(key.encode()).decode().rstrip("=")
    return {key, json.dumps(key)[1:-1], html.escape(key), quote(key, safe=""), encoded[:-1]}


PIECES: Final = {
    form[at : at + 4].encode()
    for key in (ACCESS, SECRET)
    for form in _forms(key)
    for at in range(len(form) - 3)
    if form[at : at + 4] not in _ESCAPES
}
"""Every four characters of the keys, as they are and as JSON, HTML, URLs and base64 write them."""


def leaks(held: bytes | str) -> set[bytes]:
    """The pieces of the keys in it; of a zip file, in what is packed."""
    return {*_pieces_in(held.encode("utf-8", "surrogatepass") if isinstance(held, str) else held)}


@lru_cache(64)  # most files are as they were at the call before
def _pieces_in(content: bytes) -> frozenset[bytes]:
    if content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(BytesIO(content)) as parts:
            content = b"".join(parts.read(name) for name in parts.namelist())
    return frozenset(piece for piece in PIECES if piece in content)


def leaks_in(folder: Path) -> dict[str, set[bytes]]:
    """The files of a folder that hold pieces, or are named so, with the pieces."""
    found = {str(file): leaks(file.name) | (leaks(_content(file))) for file in folder.rglob("*")}
    return {name: pieces for name, pieces in found.items() if pieces}


def _content(file: Path) -> bytes:
    try:
        content = file.read_bytes() if file.is_file() else b""
    except FileNotFoundError:  # a temporary file that has just been renamed
        return b""
    return _pages_of(content) if file.name.endswith("-wal") else content


def _pages_of(log: bytes) -> bytes:
    """The pages of a SQLite write-ahead log, without the random salts and checksums before each.

    These hold four given letters by chance once in a while. See https://www.sqlite.org/fileformat2.html#walformat
    """
    size = int.from_bytes(log[8:12], "big")
    starts = range(32 + 24, len(log), 24 + size)
    return b"".join(log[start : start + size] for start in starts)


def reported_by(error: BaseException) -> str:
    """All that can be shown of an error: its words, its data, its traceback with every variable, its causes."""
    shown, seen = [], set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        full = traceback.TracebackException.from_exception(each, capture_locals=True)
        shown += [repr(each), str(each), repr(vars(each)), repr(each.args), *full.format()]
        waiting += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
    return "\n".join(shown)
