"""Which encoding a text file is in: told the same whatever its length, and never taken for another in silence."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_share.errors import SettingsError, SheetError
from batch_share.sheet.reader import ReadOptions, read_sheet

if TYPE_CHECKING:
    from pathlib import Path

HEAD = ["Lead Number", "User Email", "City"]
GERMAN = ["Köln, 50 €", "Gruß", "München", "Straße 5", "“Spaß”", "Österreich", "GROß…", "50 €", "Übersee", "Weiß"]
FRENCH = ["« Société »", "« café »", "ANDRÉ\xa0", "l’été", "Œuvre", "NESTLÉ®", "à côté", "déjà vu…"]


def sheet_of(
    folder: Path,
    cities: list[str],
    encoding: str,
    *,
    delimiter: str = ";",
    name: str = "leads.csv",
    mark: bytes = b"",
) -> Path:
    """A sheet whose rows differ in their last cell."""
    rows = [HEAD, *([f"{number}", "asha@x.com", city] for number, city in enumerate(cities, start=1))]
    path = folder / name
    path.write_bytes(mark + "".join(f"{delimiter.join(cells)}\r\n" for cells in rows).encode(encoding))
    return path


def cities_of(path: Path, encoding: str | None = None) -> tuple[list[str], list[str]]:
    """The last cells, and what is told of how the sheet was read."""
    sheet = read_sheet(path, ReadOptions(encoding=encoding))
    return [row.cells[2] for row in sheet.rows()], [*sheet.notes()]


def refusal(path: Path, encoding: str | None = None) -> str:
    """Why it is not read: one sentence."""
    with pytest.raises(SheetError) as caught:
        cities_of(path, encoding)
    assert str(caught.value).isprintable()
    return str(caught.value)


# ------------------------------------------------------------------------------------------------- Windows-1252


@pytest.mark.parametrize("rows", [1, 2, 3, 10, 20, 30, 40, 50, 60, 1000])
@pytest.mark.parametrize("words", [GERMAN, FRENCH], ids=["German", "French"])
def test_a_sheet_of_excels_is_read_right_whatever_its_length(words: list[str], rows: int, tmp_path: Path) -> None:
    cities = [words[number % len(words)] for number in range(rows)]
    found, notes = cities_of(sheet_of(tmp_path, cities, "cp1252"))
    assert found == cities
    assert notes[0].startswith("read as Windows-1252: “")


QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
# Of the rest some, one after the other, are as well UTF-8: nobody can tell.
LETTERS = st.characters(max_codepoint=0xFF, categories=["Ll", "Lu", "Nd"], exclude_characters="µ")
WORD = st.text(LETTERS, min_size=1, max_size=12)


@QUIET
@given(cities=st.lists(WORD, min_size=1, max_size=40))
def test_no_sheet_of_words_is_refused_by_chance(cities: list[str], tmp_path: Path) -> None:
    found, _ = cities_of(sheet_of(tmp_path, cities, "cp1252"))
    assert found == cities


def test_a_sample_of_what_was_read_is_reported(tmp_path: Path) -> None:
    path = sheet_of(tmp_path, ["Pune", "Müller Söhne", "Müller", "Straße, 5 €", "Århus"], "cp1252")
    assert cities_of(path)[1][0] == "read as Windows-1252: “Müller”, “Söhne”, “Straße”"
    path = sheet_of(tmp_path, ["x" * 5000, "ü" * 100], "cp1252")
    assert cities_of(path)[1][0] == f"read as Windows-1252: “{'ü' * 29}…”"


def test_what_is_foreign_stands_far_into_a_large_file(tmp_path: Path) -> None:
    cities = ["Pune"] * 80_000 + ["Köln"]
    found, notes = cities_of(sheet_of(tmp_path, cities, "cp1252"))
    assert found == cities
    assert notes[0] == "read as Windows-1252: “Köln”"


@pytest.mark.parametrize("at", [1, 3, 60])
def test_a_byte_that_windows_1252_has_not_is_reported_with_its_place(at: int, tmp_path: Path) -> None:
    """A sheet in the alphabet of Prague: it is not taken for Western Europe's, in which it would be nonsense."""
    cities = ["Praha"] * (at - 1) + ["Plzeň, Ťažká"] + ["Praha"] * 3
    path = sheet_of(tmp_path, cities, "cp1250")
    assert refusal(path) == (
        f"leads.csv, row {at + 1}: column C holds a byte (0x8D) that is neither UTF-8 nor Windows-1252: say which "
        "encoding the sheet is in with --encoding, such as windows-1250, windows-1251 or shift_jis, or save it as "
        "“CSV UTF-8”"
    )


# -------------------------------------------------------------------------------------------------- other UTFs

MARKS = [
    ("utf-8", codecs.BOM_UTF8, None),
    ("utf-16-le", codecs.BOM_UTF16_LE, "UTF-16 text"),
    ("utf-16-be", codecs.BOM_UTF16_BE, "UTF-16 text"),
    ("utf-32-le", codecs.BOM_UTF32_LE, "UTF-32 text"),
    ("utf-32-be", codecs.BOM_UTF32_BE, "UTF-32 text"),
    ("utf-8", b"", None),
    ("utf-16-le", b"", "UTF-16 text"),
    ("utf-16-be", b"", "UTF-16 text"),
]
WORLD = ["Köln", "मुंबई", "東京都", "Москва", "Αθήνα", "🌍", "Ārija"]


@pytest.mark.parametrize(("encoding", "mark", "note"), MARKS)
@pytest.mark.parametrize("rows", [1, 7, 500])
def test_every_utf_is_read(encoding: str, mark: bytes, note: str | None, rows: int, tmp_path: Path) -> None:
    cities = [WORLD[number % len(WORLD)] for number in range(rows)]
    path = sheet_of(tmp_path, cities, encoding, delimiter=",", mark=mark)
    assert cities_of(path) == (cities, [note] if note else [])


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_half_a_letter_in_utf_16_is_reported_with_its_place(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    lines = [
        "Lead Number,User Email,City",
        *(f"{number},a@x.com,Pune" for number in range(5000)),
        "1,a@x.com,\ud83c",
    ]
    path.write_bytes("\n".join(lines).encode(encoding, "surrogatepass"))
    assert "leads.csv, row 5002: column C holds a byte (0x" in refusal(path)
    assert "that is no UTF-16" in refusal(path)


# ------------------------------------------------------------------------------------------------ damaged UTF-8


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("broken", [1, 2, 49, 50, 120])
@pytest.mark.parametrize("wrong", [b"M\xfcller", b"\xff", b"\xe2\x82", b"\x81", b"\xc3"])
def test_a_wrong_byte_in_utf_8_is_reported_with_its_row_and_column(
    wrong: bytes, broken: int, delimiter: str, tmp_path: Path
) -> None:
    cities = ["Köln", "München"] * 75
    cities[broken - 1] = "HERE"
    path = sheet_of(tmp_path, cities, "utf-8", delimiter=delimiter)
    path.write_bytes(path.read_bytes().replace(b"HERE", wrong))
    said = refusal(path)
    assert said.startswith(f"leads.csv, row {broken + 1}: column C holds a byte (0x")
    assert said.endswith(
        "that is no UTF-8, as the rest of the sheet is: fix that cell and save the sheet as “CSV UTF-8”, or say "
        "which encoding it is in with --encoding"
    )


@pytest.mark.parametrize("wrong", [b"\xff", b"\xe2\x82", b"\xf0\x9f\x8c"])
def test_one_letter_beside_what_is_wrong_is_enough(wrong: bytes, tmp_path: Path) -> None:
    path = sheet_of(tmp_path, ["Köln", "HERE", "\ufffd"], "utf-8")
    path.write_bytes(path.read_bytes().replace(b"HERE", wrong))
    assert refusal(path).startswith("leads.csv, row 3: column C holds a byte (0x")


def test_a_row_is_counted_as_a_spreadsheet_does_whatever_stands_in_cells(tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    text = 'Lead Number;User Email;City\n1;a@x.com;"Köln;\nam Rhein"\n\n2;a@x.com;Ürz\n3;a@x.com;HERE\n'
    path.write_bytes(text.encode().replace(b"HERE", b"K\xf6ln"))
    assert refusal(path).startswith("leads.csv, row 5: column C holds a byte (0xF6) that is no UTF-8")


def test_a_wrong_byte_in_a_header_is_the_reason_and_not_that_a_header_lacks(tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    path.write_bytes("Übersicht\nLead Numb\x01r,User Email\n1,a@x.com\n".encode().replace(b"\x01", b"\xff"))
    assert refusal(path).startswith("leads.csv, row 2: column A holds a byte (0xFF) that is no UTF-8")


def test_a_file_that_was_cut_within_a_letter_is_damaged(tmp_path: Path) -> None:
    path = sheet_of(tmp_path, ["Köln", "मुंबई"], "utf-8")
    path.write_bytes(path.read_bytes().rstrip()[:-1])
    assert refusal(path).startswith("leads.csv, row 3: column C holds a byte (0xE0) that is no UTF-8")


def test_two_files_of_different_encodings_in_one_are_not_read_as_either(tmp_path: Path) -> None:
    path = sheet_of(tmp_path, ["Köln", "Málaga", "Plzeň"], "utf-8")
    path.write_bytes(path.read_bytes() + "4;a@x.com;Zürich\r\n5;a@x.com;Genève\r\n".encode("cp1252"))
    assert refusal(path).startswith("leads.csv, row 5: column C holds a byte (0xFC) that is no UTF-8")


# ------------------------------------------------------------------------------------------ what is no letter


@pytest.mark.parametrize(
    ("encoding", "mark"), [("utf-8", b""), ("cp1252", b""), ("utf-16-le", codecs.BOM_UTF16_LE)]
)
def test_a_nul_byte_is_reported_with_its_row_and_column(encoding: str, mark: bytes, tmp_path: Path) -> None:
    path = sheet_of(tmp_path, ["Köln", "Pu\0ne"], encoding, mark=mark)
    assert refusal(path) == (
        "leads.csv, row 3: column C holds a NUL byte, which no text has: remove it, or export the sheet again"
    )


@pytest.mark.parametrize("at_the_end", ["\x1a", "\x1a\x1a\x1a", "9;asha@x.com;Pune\x1a"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp850", "utf-16"])
def test_a_ctrl_z_at_the_end_of_a_dos_file_is_left_out(at_the_end: str, encoding: str, tmp_path: Path) -> None:
    path = sheet_of(tmp_path, ["Pune", "Köln"], encoding)
    path.write_bytes(path.read_bytes() + at_the_end.encode(encoding).removeprefix(codecs.BOM_UTF16))
    found, _ = cities_of(path, "cp850" if encoding == "cp850" else None)
    assert found == ["Pune", "Köln", "Pune"][: 3 if "Pune" in at_the_end else 2]


def test_a_ctrl_z_within_a_file_stays_where_it_is(tmp_path: Path) -> None:
    assert cities_of(sheet_of(tmp_path, ["Pu\x1ane", "x"], "utf-8"))[0] == ["Pu\x1ane", "x"]


@pytest.mark.parametrize("content", [b"x", b"\xe4"])
def test_one_byte_is_a_text_too(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "leads.csv").write_bytes(content)
    assert "no column for the lead" in refusal(tmp_path / "leads.csv")


@pytest.mark.parametrize("start", [b"\x89PNG\r\n\x1a\n", b"%PDF-1.7\n", b"\xff\xd8\xff\xe0"])
def test_what_is_no_text_at_all_is_called_that(start: bytes, tmp_path: Path) -> None:
    (tmp_path / "leads.csv").write_bytes(start + bytes(range(256)) * 9)
    assert refusal(tmp_path / "leads.csv").startswith("leads.csv: not a text file")


# --------------------------------------------------------------------------------------------- what is named

NAMED = [
    ("windows-1250", "Plzeň"),
    ("Windows 1251", "Москва"),
    ("cp1253", "Αθήνα"),
    ("latin1", "Köln"),
    ("cp850", "Köln"),
    ("mac-roman", "Köln"),
    ("koi8-r", "Москва"),
    ("shift_jis", "東京"),
    ("gb18030", "北京市"),
    ("euc-kr", "서울"),
    ("utf-16-be", "मुंबई"),
    ("UTF8", "मुंबई"),
]


@pytest.mark.parametrize(("name", "city"), NAMED)
def test_what_is_named_is_taken_and_reported_with_a_sample(name: str, city: str, tmp_path: Path) -> None:
    path = sheet_of(tmp_path, ["Pune", city], name.replace(" ", "-"), delimiter=",")
    assert cities_of(path, name) == (["Pune", city], [f"read as {name}: “{city}”"])


def test_what_is_named_overrides_what_the_bytes_say(tmp_path: Path) -> None:
    path = sheet_of(tmp_path, ["Köln"], "utf-8")
    assert cities_of(path, "cp1252")[0] == ["KÃ¶ln"]
    damaged = sheet_of(tmp_path, ["Köln", "Bär", "HERE"], "utf-8")
    damaged.write_bytes(damaged.read_bytes().replace(b"HERE", b"\xe4"))
    assert cities_of(damaged, "cp1252")[0] == ["KÃ¶ln", "BÃ¤r", "ä"]


@pytest.mark.parametrize("name", ["utf-8", "utf-16", "utf-16-le"])
def test_a_mark_is_skipped_where_the_encoding_is_named(name: str, tmp_path: Path) -> None:
    path = sheet_of(tmp_path, ["Köln"], name.removesuffix("-le"))
    if name == "utf-8":
        path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert cities_of(path, name)[0] == ["Köln"]


@pytest.mark.parametrize(
    ("name", "wrong"), [("windows-1251", b"\x98"), ("shift_jis", b"\x81\x20"), ("ascii", b"\xe4")]
)
def test_a_byte_that_is_not_of_what_was_named_is_reported_with_its_place(
    name: str, wrong: bytes, tmp_path: Path
) -> None:
    path = sheet_of(tmp_path, ["Pune", "HERE"], "utf-8")
    path.write_bytes(path.read_bytes().replace(b"HERE", wrong))
    assert refusal(path, name) == (
        f"leads.csv, row 3: column C holds a byte (0x{wrong[0]:02X}) that is no {name}: look whether --encoding "
        "says the right one, or save the sheet as “CSV UTF-8”"
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("windows-1265", " Did you mean 'windows-1255'?|windows-125"),
        ("utf-9", " Did you mean 'utf-8'?"),
        ("klingon", " Write a name such as windows-1250, windows-1251 or shift_jis."),
        ("base64", " Write a name such as"),
        ("rot13", " Write a name such as"),
        ("idna", " Write a name such as"),
        ("undefined", " Write a name such as"),
        ("utf-8\0", " Did you mean 'utf-8'?"),
        ("../utf-8", ""),
    ],
)
def test_a_name_that_is_none_is_refused_with_what_it_could_be(name: str, hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ReadOptions(encoding=name)
    assert str(caught.value).startswith(f"encoding: {name!r} is no encoding of text")
    assert any(words in str(caught.value) for words in hint.split("|"))


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^encoding: is empty"):
        ReadOptions(encoding=" ")
