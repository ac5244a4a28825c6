"""What is in force, and from where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch_share import keychain
from batch_share.cli.setup import Shown, shown
from batch_share.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

HOST = "https://api-in21.leadsquared.com"


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting but those of the test."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOST", "ACCESS_KEY", "SECRET_KEY", "RATE", "EVENT", "WAIT", "CONFIG"):
        monkeypatch.delenv(f"BATCH_SHARE_{name}", raising=False)


def by_name() -> dict[str, Shown]:
    return {each.name: each for each in shown(load_settings())}


def test_each_setting_tells_the_source_that_won(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "batch-share.toml").write_text('rate = "5/5s"\nevent = 201\nwait = "3m"\n', encoding="utf-8")
    (tmp_path / ".env").write_text("BATCH_SHARE_RATE=6/5s\nBATCH_SHARE_EVENT=202\n", encoding="utf-8")
    monkeypatch.setenv("BATCH_SHARE_RATE", "7/5s")
    found = by_name()
    reported = {name: (found[name].text, found[name].origin) for name in ("rate", "event", "wait", "bulk", "host")}
    assert reported == {
        "rate": ("7/5s", "environment"),
        "event": ("202", ".env"),
        "wait": ("3m", "batch-share.toml"),
        "bulk": ("false", "default"),
        "host": ("not set", "default"),
    }


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        ("wait", 300, "5m"),
        ("grace", "150ms", "150ms"),
        ("answer_timeout", 90, "90s"),
        ("wait", 0, "0s"),
        ("renew", 4320, "3d"),
        ("renew", "36h", "36h"),
        ("renew", 0, "0"),
        ("renew", "0", "0"),
        ("stop_at", 5, "5%"),
        ("stop_at", "2.5 %", "2.5%"),
    ],
)
def test_a_value_with_a_unit_is_reported_as_a_settings_file_may_have_it(
    tmp_path: Path, name: str, given: object, text: str
) -> None:
    value = f'"{given}"' if isinstance(given, str) else given
    (tmp_path / "batch-share.toml").write_text(f"{name} = {value}\n", encoding="utf-8")
    before, reported = getattr(load_settings(), name), by_name()[name]
    assert (reported.text, reported.origin) == (text, "batch-share.toml")
    again = f'"{reported.value}"' if isinstance(reported.value, str) else reported.value
    (tmp_path / "batch-share.toml").write_text(f"{name} = {again}\n", encoding="utf-8")
    assert getattr(load_settings(), name) == before


def test_a_table_tells_the_source_of_each_of_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "batch-share.toml").write_text("[sheet]\nrows = 10\ncolumns = 11\n", encoding="utf-8")
    monkeypatch.setenv("BATCH_SHARE_SHEET__ROWS", "12")
    found = by_name()
    assert (found["sheet.rows"].text, found["sheet.rows"].origin) == ("12", "environment")
    assert (found["sheet.columns"].text, found["sheet.columns"].origin) == ("11", "batch-share.toml")
    assert found["sheet.ratio"].origin == "default"


def test_keys_are_reported_as_set_and_nothing_more(tmp_path: Path) -> None:
    text = f"BATCH_SHARE_HOST={HOST}\nBATCH_SHARE_ACCESS_KEY=open-sesame\nBATCH_SHARE_SECRET_KEY=hush-hush\n"
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    found = by_name()
    assert (found["access_key"].text, found["access_key"].origin) == ("set", ".env")
    assert "sesame" not in repr(found)
    assert "hush" not in repr(found)


def test_host_and_keys_of_the_keyring_are_reported_as_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"host": HOST, "access_key": "open-sesame", "secret_key": "hush-hush"}
    monkeypatch.setattr(keychain, "find", lambda *_: kept)
    found = by_name()
    assert {found[name].origin for name in kept} == {"keyring"}
    assert found["host"].text == HOST
    monkeypatch.setenv("BATCH_SHARE_HOST", HOST)
    assert by_name()["host"].origin == "environment"
    monkeypatch.setenv("BATCH_SHARE_ACCESS_KEY", "another")
    assert by_name()["secret_key"].text == "not set"
