"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

import codecs
import re
from typing import Final

from batch_share.sheet.table import DAMAGED, SAVE_AS

ZIP_MAGIC: Final = b"PK\x03\x04"
OLE_MAGIC: Final = b"\xd0\xcf\x11\xe0"
BARE_XLS: Final = tuple(b"\x09%c" % version for version in (0, 2, 4, 8))
"""How an .xls begins that is in no container, as those of Excel 4 and older: with the version of its records."""

HEAD: Final = 4096
"""So many bytes tell it."""

_ARCHIVES: Final = {ZIP_MAGIC: "zip", b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7-Zip", b"Rar!": "RAR"}
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WEB_PAGE: Final = re.compile(r"\Amime-version:|<!doctype html|<(?:html|head|body|table)\b")
_BINARY: Final = re.compile(r"[\x00-\x08\x0e-\x19\x1c-\x1f]")


def archive(head: bytes) -> str | None:
    """What a file is, and what to do about it, if it is an archive. Workbooks may be zip archives, too."""
    kind = next((kind for magic, kind in _ARCHIVES.items() if head.startswith(magic)), None)
    return kind and f"a {kind} archive, not a sheet: unpack it"


def no_workbook(head: bytes) -> str:
    """What a file is, and what to do about it, that is called a workbook and is none."""
    if packed := archive(head):
        return packed
    text = head.decode("utf-16" if head.startswith(_UTF_16) else "latin-1", errors="ignore")
    text = text.removeprefix(codecs.BOM_UTF8.decode("latin-1")).lstrip().lower()
    if _BINARY.search(text) or not text:
        return DAMAGED
    if _WEB_PAGE.search(text):
        return f"a web page, not a workbook: {SAVE_AS}"
    if text.startswith("<"):
        return f"XML, not a workbook: {SAVE_AS}"
    return "text, not a workbook: give it a name that ends in .csv"
