"""The settings file to begin with."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from batch_share.cli.options import SETTING_TEXTS
from batch_share.cli.setup import KEYS, template, write_template
from batch_share.errors import SettingsError
from batch_share.settings import Settings, load_settings

if TYPE_CHECKING:
    from pathlib import Path

UNSET = {name for name, field in Settings.model_fields.items() if field.default is None}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_it_sets_nothing_as_it_is(tmp_path: Path) -> None:
    before = load_settings()
    write_template(tmp_path / "batch-share.toml")
    assert load_settings() == before


def test_every_setting_is_in_it_with_its_meaning_and_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("DATA", "LOG"):
        monkeypatch.delenv(f"BATCH_SHARE_{folder}_FOLDER")  # the tests' own
    lines = [re.sub(r"^# (?=\[|\w+ = )", "", line) for line in template().splitlines()]
    (tmp_path / "mine.toml").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setenv("BATCH_SHARE_CONFIG", "mine.toml")  # beside sheets, not all of it would count
    read, default = load_settings().model_dump(), Settings.model_construct().model_dump()
    assert {name for name in read if read[name] != default[name]} == UNSET - set(KEYS)
    for name in Settings.model_fields:
        assert name in KEYS or f"# {SETTING_TEXTS[name]}" in template()


def test_a_default_with_a_unit_says_which() -> None:
    reported = template()
    assert '# wait = "10m"\n' in reported
    assert '# grace = "1m"\n' in reported
    assert '# stop_at = "5%"\n' in reported


def test_nobody_else_may_read_or_write_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o002)
    write_template(tmp_path / "batch-share.toml")
    os.umask(before)
    assert (tmp_path / "batch-share.toml").stat().st_mode & 0o777 == 0o600


def test_it_overwrites_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("note = 'mine'", encoding="utf-8")
    with pytest.raises(SettingsError, match="is there already"):
        write_template(file)
    assert file.read_text(encoding="utf-8") == "note = 'mine'"
