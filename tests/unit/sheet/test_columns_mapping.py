"""Mappings: from options, from a file, and back into one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from placing import named

from batch_share.common import Order
from batch_share.errors import SettingsError
from batch_share.sheet.mapping import SheetMapping, read_mapping, write_mapping

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
