"""Workbooks of a few kilobytes that ask too much of whoever parses them."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import xlsxwriter

if TYPE_CHECKING:
    from pathlib import Path

HEAD = ["Lead Number", "User Email", "City"]
_NAMES = ("office", "table", "text")


def wide(path: Path) -> Path:
    """One that takes a gigabyte of memory to lay out the rectangle of its cells."""
    with xlsxwriter.Workbook(path) as made:
        page = made.add_worksheet("One")
        page.write_row(0, 0, HEAD)
        page.write(1_000_000, 28, "far away")
    return path


def long(path: Path) -> Path:
    """One that takes seconds to say the same a million times."""
    cells = "".join(f"<table:table-cell><text:p>{name}</text:p></table:table-cell>" for name in HEAD)
    rows = [
        f"<table:table-row{again}>{cells}</table:table-row>"
        for again in ("", ' table:number-rows-repeated="1000000"')
    ]
    table = f'<table:table table:name="A">{"".join(rows)}</table:table>'
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in _NAMES)
    with zipfile.ZipFile(path, "w") as out:
        out.writestr(
            "content.xml",
            f"<office:document-content {spaces}><office:body><office:spreadsheet>{table}"
            "</office:spreadsheet></office:body></office:document-content>",
        )
    return path
