"""Mappings: from options, from a file, and back into one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from placing import named

from batch_share.common import Order
from batch_share.errors import SettingsError
from batch_share.sheet.mapping import Remembered, SheetMapping, read_mapping, write_mapping

if TYPE_CHECKING:
    from pathlib import Path


def test_an_option_maps_a_header_even_with_an_equals_sign_in_it() -> None:
    assert read_mapping(None, ["Owner mail=User Email", "a=b = Note"]).columns == {
        "Owner mail": "User Email",
        "a=b": "Note",
    }


@pytest.mark.parametrize("option", ["=Note", "Owner="])
def test_what_is_no_mapping_is_reported(option: str) -> None:
    with pytest.raises(SettingsError, match="is no mapping"):
        read_mapping(None, [option])


def test_an_option_may_name_a_file_and_what_is_given_later_wins(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.toml", "two.toml")]
    write_mapping(named(files[0]), SheetMapping({"A": "Note", "B": "Note"}))
    write_mapping(named(files[1]), SheetMapping({"B": "Access", "C": "Note"}))
    reported = read_mapping(files[0], [str(files[1]), "C=Duration"])
    assert reported.columns == {"A": "Note", "B": "Access", "C": "Duration"}


def test_it_keeps_what_comes_first_in_dates(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.toml", "two.toml", "three.toml")]
    for file, order in zip(files, (Order.DMY, Order.MDY, None), strict=True):
        write_mapping(named(file), SheetMapping({"A": "Until"}, {}, order))
    for given, order in ([], Order.DMY), ([str(files[1])], Order.MDY), ([str(files[2])], Order.DMY):
        assert read_mapping(files[0], given) == SheetMapping({"A": "Until"}, {}, order)


def test_a_slip_in_an_option_is_reported_with_what_it_may_be() -> None:
    with pytest.raises(SettingsError) as caught:
        read_mapping(None, ["Owner mail:User Email"])
    reported = """map: there is no file 'Owner mail:User Email': name one, or write "your column=field", as in """
    assert str(caught.value) == f'{reported}"Owner mail=User Email"'


@pytest.mark.parametrize("header", ["Owner mail", 'say "hi"', "a\\b", "Größe", "a=b", "two\nlines", "[x]"])
def test_what_was_written_is_read_again(header: str, tmp_path: Path) -> None:
    write_mapping(named(tmp_path / "map.toml"), SheetMapping({header: "Note"}))
    assert read_mapping(tmp_path / "map.toml", []).columns == {header: "Note"}


def test_a_mark_at_the_beginning_of_the_file_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text('[columns]\n"A" = "Note"\n', encoding="utf-8-sig")
    assert read_mapping(tmp_path / "map.toml", []).columns == {"A": "Note"}


def test_an_option_wins_over_the_file(tmp_path: Path) -> None:
    write_mapping(named(tmp_path / "map.toml"), SheetMapping({"A": "Note", "B": "Access"}))
    assert read_mapping(tmp_path / "map.toml", ["A=ignore"]).columns == {"A": "ignore", "B": "Access"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"columns = ", "is not valid TOML"),
        (b"\xff", "is not valid TOML"),
        (b"x = 1", "has no table"),
        (b"[columns]\na = 1", "has no table"),
        (b"[columns]\n[words]\na = 1", r"has no table \[words\] with lines as"),
        (b"dates = 'ymd'\n[columns]", "says of dates something else"),
    ],
)
def test_a_file_that_is_none_is_reported(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=words):
        read_mapping(tmp_path / "map.toml", [])


def test_files_that_can_not_be_read_or_written_are_reported(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"mapping: there is no file '.*none.toml'"):
        read_mapping(tmp_path / "none.toml", [])
    with pytest.raises(SettingsError, match=r"mapping: .* can't be read"):
        read_mapping(tmp_path, [])
    with pytest.raises(SettingsError, match="can't be written"):
        write_mapping(named(tmp_path / "no" / "map.toml"), SheetMapping())


# --------------------------------------------------------------------------------------------------- words


def test_words_of_the_sheet_s_own_language_are_read_from_a_file_and_from_options(tmp_path: Path) -> None:
    file = tmp_path / "map.toml"
    file.write_text('[words]\nLesen = "read"\n"nur  lesen" = "read"\nTage = "days"\n', encoding="utf-8")
    said = read_mapping(file, ["schreiben=write", "LESEN=view", "Entziehen = revoke", "Zugriff=Access"])
    assert said.columns == {"Zugriff": "Access"}
    assert said.words == {
        "lesen": "view", "nur lesen": "read", "tage": "day", "schreiben": "write", "entziehen": "revoke",
    }  # fmt: skip
    write_mapping(named(tmp_path / "again.toml"), said)
    assert read_mapping(tmp_path / "again.toml", []) == said


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        ({"lesen": "raed"}, "the word 'lesen' is to mean 'raed', which means nothing: write one of read, write, "),
        ({"lesen": "raed"}, "Did you mean 'read'?"),
        ({"lesen": "Access"}, "means nothing"),
        ({"lesen": ""}, "means nothing"),
        ({"lesen": "read", "Lesen": "write"}, "the word 'Lesen' is defined twice"),
        ({"read": "write"}, "the word 'read' can't mean 'write': it has a meaning already"),
        ({"2": "read"}, "it has a meaning already"),
        ({"m": "days"}, "it has a meaning already"),
        ({"7d": "8d"}, "it has a meaning already"),
        ({" ": "read"}, "it has a meaning already"),
    ],
)
def test_a_word_that_means_nothing_or_something_else_is_refused(
    words: dict[str, str], reported: str, tmp_path: Path
) -> None:
    lines = [f"{json.dumps(word)} = {json.dumps(meaning)}" for word, meaning in words.items()]
    (tmp_path / "map.toml").write_text("\n".join(["[words]", *lines]), encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        read_mapping(tmp_path / "map.toml", [])
    assert reported in str(caught.value)
    assert str(tmp_path / "map.toml") in str(caught.value)
    assert "--" not in caught.value.problem


def test_a_word_that_means_something_is_refused_as_an_option_too() -> None:
    with pytest.raises(SettingsError, match="'write' can't mean 'read'"):
        read_mapping(None, ["write=read"])


# ---------------------------------------------------------------------------------------------- remembered

HEADERS = ["Kunde", "Neuer  Betreuer", "Zugriff"]
SAID = SheetMapping({"Kunde": "Lead Number", "Neuer Betreuer": "User Email"}, {"lesen": "read"}, Order.DMY)


def test_what_was_said_is_known_for_the_same_headers_alone(tmp_path: Path) -> None:
    Remembered.load(tmp_path / "data").keep(tmp_path / "data", HEADERS, SAID)
    known = Remembered.load(tmp_path / "data")
    assert (known.of(HEADERS), known.of(["zugriff", "KUNDE", "Neuer Betreuer", ""]), known.remark) == (
        SAID,
        SAID,
        "",
    )
    for other in (
        HEADERS[:2],
        [*HEADERS, "Ort"],
        ["Kunde", "Neuer-Betreuer", "Zugriff"],
        [*HEADERS[:2], "Zugriff?"],
    ):
        assert known.of(other) is None
    (file,) = (tmp_path / "data").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_last_that_was_said_counts_and_the_oldest_are_forgotten(tmp_path: Path) -> None:
    other = SheetMapping({"Kunde": "Lead Id"})
    for at in range(203):
        Remembered.load(tmp_path).keep(tmp_path, ["Kunde", str(at)], SAID)
    Remembered.load(tmp_path).keep(tmp_path, ["Kunde", "100"], other)
    known = Remembered.load(tmp_path)
    assert len(known.by_headers) == 200
    assert [known.of(["Kunde", at]) for at in ("2", "3", "100", "202")] == [None, SAID, other, SAID]


@pytest.mark.parametrize("content", [b"", b"{}", b"[[1, 2]]", b"\xff", b'[[["kunde"], {"columns": {"Kunde": 1}}]]'])
def test_a_file_that_is_damaged_is_left_aside_with_a_remark_and_replaced(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "mappings.json").write_bytes(content)
    damaged = Remembered.load(tmp_path)
    assert damaged.of(HEADERS) is None
    assert damaged.remark.startswith("what was said of columns before can't be used: ")
    assert damaged.remark.endswith("mappings.json (it is damaged)")
    damaged.keep(tmp_path, HEADERS, SAID)
    assert Remembered.load(tmp_path).of(HEADERS) == SAID


def test_a_file_that_others_can_write_says_nothing(tmp_path: Path) -> None:
    Remembered().keep(tmp_path, HEADERS, SAID)
    (tmp_path / "mappings.json").chmod(0o620)
    known = Remembered.load(tmp_path)
    assert (known.of(HEADERS), known.remark.rpartition(" (")[2]) == (None, "others can write it)")


def test_where_there_is_nothing_nothing_is_known(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for folder in (tmp_path, tmp_path / "none", tmp_path / "file"):
        assert Remembered.load(folder) == Remembered()
