"""Which encoding a text file is in: UTF-8, UTF-16 or Windows-1252, told apart by its bytes."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Final

from batch_share.errors import SheetError

if TYPE_CHECKING:
    from pathlib import Path

_STEP: Final = 1 << 20
_SAMPLE: Final = 1 << 18
_UTF_16: Final = ("utf_16_le", "utf_16_be")

NAMES: Final = {
    "utf-8-sig": "UTF-8",
    "utf-16": "UTF-16",
    "utf_16_le": "UTF-16",
    "utf_16_be": "UTF-16",
    "cp1252": "Windows-1252",
}
"""What people call the encodings that are read."""


def detect_encoding(path: Path) -> str:
    """The codec to open `path` with. Raises SheetError for bytes that are no text in any of them."""
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head:
        return _guess(path, head, _UTF_16)
    foreign = _first_foreign_byte(path)
    if foreign is None:
        return "utf-8-sig"
    with path.open("rb") as file:
        file.seek(max(0, foreign - _SAMPLE // 2))
        return _guess(path, file.read(_SAMPLE), ("cp1252",))


def _guess(path: Path, sample: bytes, candidates: tuple[str, ...]) -> str:
    from charset_normalizer import from_bytes  # noqa: PLC0415 - most sheets are UTF-8 and never need it

    found = from_bytes(sample, cp_isolation=[*candidates]).best()
    if found is None:
        raise SheetError(path, "not a text file in UTF-8, UTF-16 or Windows-1252: save it as “CSV UTF-8”")
    return found.encoding


def _first_foreign_byte(path: Path) -> int | None:
    """Where the file stops being UTF-8, None if it never does."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    done = 0
    with path.open("rb") as file:
        while chunk := file.read(_STEP):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                return done + error.start
            done += len(chunk)
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return done
    return None
