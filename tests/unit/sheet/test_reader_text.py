"""Text files: every delimiter with every encoding, told apart by their content alone."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

import pytest
from spreadsheets import LIVE, STARTS

from batch_share.errors import SheetError
from batch_share.settings import SheetLimits
from batch_share.sheet.reader import DELIMITERS, FORMULA_STARTS, guarded, read_sheet, text_tables

if TYPE_CHECKING:
    from pathlib import Path

TABLE = [["Lead Number", "User Email", "City"], ["00123", "a@x.com", "Málaga"], ["2", "b@x.com", "Köln"]]
ENCODINGS = {
    "UTF-8": (b"", "utf-8"),
    "UTF-8 with a BOM": (codecs.BOM_UTF8, "utf-8"),
    "UTF-16 LE": (b"", "utf-16-le"),
    "UTF-16 BE": (b"", "utf-16-be"),
    "UTF-16 LE with a BOM": (codecs.BOM_UTF16_LE, "utf-16-le"),
    "UTF-16 BE with a BOM": (codecs.BOM_UTF16_BE, "utf-16-be"),
    "Windows-1252": (b"", "cp1252"),
}


@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("name", ENCODINGS)
def test_every_delimiter_is_read_in_every_encoding_and_reported(name: str, delimiter: str, tmp_path: Path) -> None:
    bom, encoding = ENCODINGS[name]
    path = tmp_path / "leads.csv"
    path.write_bytes(bom + "\r\n".join(delimiter.join(cells) for cells in TABLE).encode(encoding))
    sheet = read_sheet(path)
    assert [sheet.columns, *(row.cells for row in sheet.rows())] == TABLE
    reported = {"UTF-1": "UTF-16 text", "Windo": "read as Windows-1252: “Málaga”, “Köln”"}.get(name[:5])
    assert [note for note in sheet.notes() if note == reported] == ([reported] if reported else [])
    assert len(sheet.notes()) == (reported is not None) + (delimiter != ",")
    assert (f"cells divided by {DELIMITERS[delimiter]}" in sheet.notes()) == (delimiter != ",")


@pytest.mark.parametrize(
    "content", [b"Lead Number,User Email\n\x81\x8d\x8f\x90\x9d\n", b"\0" * 40, b"\xff\xfe\x00\xd8\x00\xd8\n"]
)
def test_what_can_not_be_decoded_is_refused_in_one_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    path.write_bytes(content)
    with pytest.raises(SheetError) as caught:
        [*read_sheet(path).rows()]
    assert "\n" not in str(caught.value)


def test_a_file_is_offered_once_for_each_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    path.write_bytes(b"a,b;c\td|e\n")
    widths = [len(next(table.rows()).cells) for table in text_tables(path, SheetLimits())]
    assert widths == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("=1", "'=1"),
        ("+91", "'+91"),
        ("'=1", "''=1"),
        ("'tis", "'tis"),
        ("x=1", "x=1"),
        ("", ""),
        (" =1", "' =1"),
        ("\ufeff+1", "'\ufeff+1"),
        ("\u200b＝1", "'\u200b＝1"),
        ('"@x', "'\"@x"),
        (" x-1", " x-1"),
    ],
)
def test_a_formula_is_guarded_and_nothing_else(cell: str, safe: str) -> None:
    assert guarded(cell) == safe


def test_every_start_that_makes_a_formula_is_guarded_whatever_unseen_stands_before_it() -> None:
    assert set(FORMULA_STARTS) == set(STARTS)
    assert [guarded(cell) for cell in LIVE] == [f"'{cell}" for cell in LIVE]
