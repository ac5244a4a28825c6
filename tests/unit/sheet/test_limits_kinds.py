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


FOREIGN = {
    "html": (f"<html>{TABLE}</html>".encode(), WEB_PAGE),
    "a table": (TABLE.encode(), WEB_PAGE),
    "html with a BOM": (f"\ufeff\n<!DOCTYPE HTML>{TABLE}".encode(), WEB_PAGE),
    "html in UTF-16": (f"<html>{TABLE}</html>".encode("utf-16"), WEB_PAGE),
    "xhtml": (f'<?xml version="1.0"?><html xmlns="x">{TABLE}</html>'.encode(), WEB_PAGE),
    "mhtml": (MHTML, WEB_PAGE),
    "XML of 2003": (OF_2003, XML),
    "XML with a BOM": (b"\xef\xbb\xbf<leads/>", XML),
    "text": (CSV, TEXT),
    "text that begins blank": (b"\t" + CSV, TEXT),
    "text with Ctrl-Z": (CSV + b"\x1a", TEXT),
    "text in UTF-16": (TSV.encode("utf-16"), TEXT),
    "text in Windows-1252": ("Lead Number;Näme\n".encode("cp1252"), TEXT),
    "zip": (packed(leads=CSV), "a zip archive, not a sheet: unpack it"),
    "gzip": (gzip.compress(CSV), "a gzip archive, not a sheet: unpack it"),
    "docx": (packed(**{"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<document/>"}), DAMAGED),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(100), DAMAGED),
    "blanks": (b" \n ", DAMAGED),
    "zip cut off": (b"PK\3\4 cut off", DAMAGED),
    "locked zip": (locked(packed(**{"[Content_Types].xml": b"<Types/>"})), PROTECTED),
    "locked ods": (
        packed(**{"META-INF/manifest.xml": b"<encryption-data/>", "encrypted-package": b"1"}),
        PROTECTED,
    ),
}


@pytest.mark.parametrize("name", ["leads.xls", "leads.xlsx", "leads.ods"])
@pytest.mark.parametrize(("content", "problem"), FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_workbook_is_reported_for_what_it_is(
    content: bytes, problem: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SheetError) as caught:
        read_sheet(tmp_path / name)
    assert caught.value.wrong == problem


@pytest.mark.parametrize("name", ["leads.csv", "leads.txt", "leads.zip"])
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (packed(leads=CSV), "zip"),
        (gzip.compress(CSV), "gzip"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
        (b"Rar!\x1a", "RAR"),
    ],
    ids=["zip", "gzip", "7-Zip", "RAR"],
)
def test_an_archive_is_to_be_unpacked_whatever_it_is_called(
    content: bytes, kind: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SheetError, match=f"a {kind} archive, not a sheet: unpack it"):
        read_sheet(tmp_path / name)
