"""What is called a sheet and is something else: told for what it is, with what to do."""

from __future__ import annotations

import gzip
import io
import zipfile
from typing import TYPE_CHECKING

import pytest

from batch_share.errors import SheetError
from batch_share.sheet.reader import read_sheet
from batch_share.sheet.table import DAMAGED, PROTECTED, SAVE_AS

if TYPE_CHECKING:
    from pathlib import Path

CSV = b"Lead Number,User Email\n7,a@x.com\n"
TSV = "Lead Number\tUser Email\n7\ta@x.com\n"
TABLE = "<table><tr><td>Lead Number</td></tr></table>"
MHTML = b"MIME-Version: 1.0\r\nContent-Type: multipart/related\r\n\r\n<html>"
OF_2003 = b'\n<?xml version="1.0"?>\n<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"/>'
WEB_PAGE = f"a web page, not a workbook: {SAVE_AS}"
XML = f"XML, not a workbook: {SAVE_AS}"
TEXT = "text, not a workbook: give it a name that ends in .csv"


def packed(**parts: bytes) -> bytes:
    """A zip archive."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as out:
        for name, content in parts.items():
            out.writestr(name, content)
    return made.getvalue()


def locked(content: bytes) -> bytes:
    """A zip archive that says its parts are encrypted."""
    changed = bytearray(content)
    for start, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        changed[changed.index(start) + flags] |= 1
    return bytes(changed)


@pytest.mark.parametrize("name", ["leads.xls", "leads.xlsx", "leads.ods"])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (f"<html>{TABLE}</html>".encode(), WEB_PAGE),
        (TABLE.encode(), WEB_PAGE),
        (f"\ufeff\n<!DOCTYPE HTML>{TABLE}".encode(), WEB_PAGE),
        (f"<html>{TABLE}</html>".encode("utf-16"), WEB_PAGE),
        (f'<?xml version="1.0"?><html xmlns="x">{TABLE}</html>'.encode(), WEB_PAGE),
        (MHTML, WEB_PAGE),
        (OF_2003, XML),
        (b"\xef\xbb\xbf<leads/>", XML),
        (CSV, TEXT),
        (b"\t" + CSV, TEXT),
        (CSV + b"\x1a", TEXT),
        (TSV.encode("utf-16"), TEXT),
        ("Lead Number;Näme\n".encode("cp1252"), TEXT),
        (packed(leads=CSV), "a zip archive, not a sheet: unpack it"),
        (gzip.compress(CSV), "a gzip archive, not a sheet: unpack it"),
        (packed(**{"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<document/>"}), DAMAGED),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), DAMAGED),
        (b" \n ", DAMAGED),
        (b"PK\3\4 cut off", DAMAGED),
        (locked(packed(**{"[Content_Types].xml": b"<Types/>"})), PROTECTED),
        (packed(**{"META-INF/manifest.xml": b"<encryption-data/>", "encrypted-package": b"\1"}), PROTECTED),
    ],
)
def test_what_is_no_workbook_is_told_for_what_it_is(
    content: bytes, problem: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SheetError) as caught:
        read_sheet(tmp_path / name)
    assert caught.value.problem == problem


@pytest.mark.parametrize("name", ["leads.csv", "leads.txt", "leads.zip"])
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (packed(leads=CSV), "zip"),
        (gzip.compress(CSV), "gzip"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
        (b"Rar!\x1a", "RAR"),
    ],
)
def test_an_archive_is_to_be_unpacked_whatever_it_is_called(
    content: bytes, kind: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SheetError, match=f"a {kind} archive, not a sheet: unpack it"):
        read_sheet(tmp_path / name)
