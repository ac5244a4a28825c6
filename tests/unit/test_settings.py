"""Settings: who wins, what is refused, and that no key is ever quoted."""

from __future__ import annotations

import json
import os
import traceback
from inspect import isfunction
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import PlainSerializer, SecretStr, ValidationError

from batch_share import settings
from batch_share.common import Rate
from batch_share.errors import SettingsError
from batch_share.ledger.postgres import Store
from batch_share.settings import (
    DEFAULT_RATE,
    Settings,
    SheetLimits,
    load_settings,
    origins,
    parse_host,
    store_in_force,
)

if TYPE_CHECKING:
    from pathlib import Path

KEY = "u$r0123456789"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and an environment without settings."""
    for name in [name for name in os.environ if name.upper().startswith("BATCH_SHARE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def in_toml(folder: Path, *lines: str, name: str = "batch-share.toml") -> Path:
    """Write a settings file."""
    (folder / name).write_text("\n".join(lines), encoding="utf-8")
    return folder / name


def refused(**flags: object) -> SettingsError:
    """The error that the settings make."""
    with pytest.raises(SettingsError) as caught:
        load_settings(**flags)
    return caught.value


# ------------------------------------------------------------------------------------------------- who wins


def test_nothing_set_means_the_defaults() -> None:
    settings = load_settings()
    assert (settings.host, settings.access_key, settings.secret_key) == (None, None, None)
    assert (settings.rate, settings.wait, settings.follow_up) == (DEFAULT_RATE, 600.0, True)
    assert settings.answer_timeout == 60.0
    assert Rate(25, 5.0) == DEFAULT_RATE
    assert settings.state_folder.name == "batch-share"


def test_a_date_in_a_file_needs_no_quotation_marks(folder: Path) -> None:
    for written, until in (("2026-12-31", "2026-12-31"), ("2026-12-31 18:00:00", "2026-12-31 18:00:00")):
        in_toml(folder, f"until = {written}")
        assert load_settings().until == until


def test_flags_win_over_the_environment_over_dot_env_over_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [load_settings().note]
    in_toml(folder, "note = 'file'")
    found.append(load_settings().note)
    (folder / ".env").write_text("BATCH_SHARE_NOTE=dotenv\nOTHER=1\n")
    found.append(load_settings().note)
    monkeypatch.setenv("BATCH_SHARE_NOTE", "environment")
    found.append(load_settings().note)
    found.append(load_settings(note="flag").note)
    found.append(load_settings(note=None).note)
    assert found == ["", "file", "dotenv", "environment", "flag", "environment"]


def test_each_setting_comes_from_where_it_is_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_toml(
        folder, "rate = '10/5s'", "wait = 30", "follow_up = false", "event = 201", "duration = 90", "access = 1"
    )
    (folder / ".env").write_text(f"BATCH_SHARE_ACCESS_KEY='{KEY}'\n")
    monkeypatch.setenv("BATCH_SHARE_SECRET_KEY", f" {KEY}\n")
    settings = load_settings(host="api.leadsquared.com", workers=3)
    host, access_key, secret_key = settings.credentials()
    assert (host, access_key.get_secret_value(), secret_key.get_secret_value()) == (
        "https://api.leadsquared.com",
        KEY,
        KEY,
    )
    assert (settings.rate, settings.wait, settings.follow_up) == (Rate(10, 5.0), 30.0, False)
    assert (settings.event, settings.duration, settings.access, settings.workers) == ("201", "90", "1", 3)


def test_the_limits_of_a_sheet_come_one_by_one_from_where_they_are_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_toml(folder, "[sheet]", "rows = 7", "columns = 8")
    monkeypatch.setenv("BATCH_SHARE_SHEET__COLUMNS", "9")
    assert load_settings().sheet == SheetLimits(rows=7, columns=9)


def test_another_file_can_be_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_toml(folder, "note = 'usual'")
    other = in_toml(folder, "note = 'other'", name="other.toml")
    monkeypatch.setenv("BATCH_SHARE_CONFIG", str(other))
    assert load_settings().note == "other"


def test_a_file_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_SHARE_CONFIG", "missing.toml")
    assert str(refused()) == "BATCH_SHARE_CONFIG: there is no file missing.toml"


def test_settings_can_not_be_changed_later() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(load_settings(), "note", "other")  # noqa: B010 - the type checker knows it too


# ------------------------------------------------------------------------------------------------- what is empty

BLANKS = ["", " ", " \t"]


@pytest.mark.parametrize(("name", "blank"), [*zip(Settings.model_fields, cycle(BLANKS), strict=False)])
def test_a_setting_that_is_set_but_empty_is_not_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, blank: str
) -> None:
    before = load_settings()
    monkeypatch.setenv(f"BATCH_SHARE_{name.upper()}", blank)
    assert (load_settings(), origins()) == (before, {})
    monkeypatch.delenv(f"BATCH_SHARE_{name.upper()}")
    (folder / ".env").write_text(f"BATCH_SHARE_{name.upper()}='{blank}'\n")
    assert (load_settings(), origins()) == (before, {})
    (folder / ".env").unlink()
    in_toml(folder, f'{name} = "{blank}"')
    assert (load_settings(), origins()) == (before, {})


@pytest.mark.parametrize(("name", "blank"), [*zip(SheetLimits.model_fields, cycle(BLANKS), strict=False)])
def test_a_limit_of_a_sheet_that_is_set_but_empty_is_not_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, blank: str
) -> None:
    monkeypatch.setenv(f"BATCH_SHARE_SHEET__{name.upper()}", blank)
    monkeypatch.setenv("BATCH_SHARE_SHEET", blank)
    in_toml(folder, "[sheet]", f'{name} = "{blank}"')
    assert (load_settings().sheet, origins()) == (SheetLimits(), {})


@pytest.mark.parametrize("blank", BLANKS)
def test_what_is_empty_leaves_what_is_set_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch, blank: str
) -> None:
    in_toml(folder, "event = 201", "[sheet]", "rows = 5")
    (folder / ".env").write_text(f"BATCH_SHARE_EVENT='{blank}'\nBATCH_SHARE_RATE=7/5s\n")
    monkeypatch.setenv("BATCH_SHARE_EVENT", blank)
    monkeypatch.setenv("BATCH_SHARE_RATE", blank)
    monkeypatch.setenv("BATCH_SHARE_SHEET__ROWS", blank)
    settings = load_settings()
    assert (settings.event, settings.rate, settings.sheet.rows) == ("201", Rate(7, 5.0), 5)
    file = "batch-share.toml"
    assert origins() == {"event": file, "rate": ".env", "sheet.rows": file}


@pytest.mark.parametrize("blank", BLANKS)
def test_a_file_with_an_empty_name_is_none_that_was_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, blank: str
) -> None:
    in_toml(folder, "note = 'usual'")
    monkeypatch.setenv("BATCH_SHARE_CONFIG", blank)
    assert (load_settings().note, origins()) == ("usual", {"note": "batch-share.toml"})


@pytest.mark.parametrize(("name", "blank"), [*zip(Settings.model_fields, cycle(BLANKS), strict=False)])
def test_a_flag_that_is_empty_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, blank: str) -> None:
    monkeypatch.setenv("BATCH_SHARE_EVENT", "201")  # which nothing given may hide
    error = refused(**{name: blank})
    assert str(error) == f"{name}: is empty: leave it out, or give it a value"
    with pytest.raises(SettingsError, match="is empty: leave it out"):
        Settings.model_validate({name: blank})


# ------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate", "fast"),
        ("rate", "0/5s"),
        ("wait", "soon"),
        ("wait", "-5"),
        ("answer_timeout", "0"),
        ("workers", "many"),
        ("workers", "0"),
        ("workers", "-1"),
        ("workers", "2.5"),
        ("follow_up", "perhaps"),
        ("trust_owner", "2"),
        ("host", "http://api.example"),
        ("host", "https://api.example"),
        ("allow_host", "http://api.example"),
    ],
)
def test_a_bad_value_is_refused_by_the_settings_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"BATCH_SHARE_{name.upper()}", value)
    error = refused()
    assert error.setting == name
    assert error.wrong
    assert "Value error" not in error.wrong


@pytest.mark.parametrize(
    ("line", "setting"),
    [
        ("wait = -1", "wait"),
        ("wait = inf", "wait"),
        ("wait = nan", "wait"),
        ("wait = true", "wait"),
        ("rate = 25", "rate"),
        ("workers = []", "workers"),
        ("note = 5", "note"),
        ("event = true", "event"),
        ("state_folder = 5", "state_folder"),
        ("host = 5", "host"),
    ],
)
def test_a_value_of_a_wrong_type_in_the_file_is_refused_by_name(folder: Path, line: str, setting: str) -> None:
    in_toml(folder, line)
    assert refused().setting == setting


@pytest.mark.parametrize(
    ("name", "value", "setting"),
    [
        ("SHEET__ROWS", "0", "sheet.rows"),
        ("SHEET__FILE_MB", "lots", "sheet.file_mb"),
        ("SHEET__ROWZ", "5", "sheet.rowz"),
        ("SHEET", "nonsense", "sheet"),
        ("SHEET", "5", "sheet"),
    ],
)
def test_a_bad_limit_of_a_sheet_is_refused_by_its_own_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, setting: str
) -> None:
    monkeypatch.setenv(f"BATCH_SHARE_{name}", value)
    assert refused().setting == setting


@pytest.mark.parametrize("in_dot_env", [False, True])
def test_limits_that_can_not_be_read_are_refused_and_not_quoted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, in_dot_env: bool
) -> None:
    if in_dot_env:
        (folder / ".env").write_text(f"BATCH_SHARE_SHEET={KEY}\n")
    else:
        monkeypatch.setenv("BATCH_SHARE_SHEET", KEY)
    error = refused()
    assert error.setting == "sheet"
    assert KEY not in everything_about(error)


def test_a_file_that_may_not_be_read_is_refused_with_the_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    in_toml(folder, "rate = '1/s'")
    monkeypatch.setattr("pathlib.Path.open", forbid)
    assert str(refused()) == "batch-share.toml: can't be read (Permission denied)"


@pytest.mark.parametrize("host", ["https://api-in21.leadsquared.com", "127.0.0.1.example.com"])
def test_a_grace_that_would_make_doubles_is_refused_for_a_real_host(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCH_SHARE_ALLOW_HOST", "127.0.0.1.example.com")
    error = refused(host=host, grace="4s")
    assert str(error) == (
        "grace: at least 5s, but for a sandbox on this machine: what reads do not show yet would be posted twice"
    )
    assert load_settings(host=host, grace="5s").grace == 5.0


@pytest.mark.parametrize("host", ["http://127.0.0.1:8080", "http://localhost", "https://[::1]:8080", None])
def test_a_sandbox_and_a_plan_need_no_grace(host: str | None) -> None:
    assert load_settings(host=host, grace="0s").grace == 0.0


def test_a_flag_is_refused_like_any_other() -> None:
    assert refused(rate="fast").wrong == "'fast' is no rate: write calls/period, such as 25/5s"


def test_an_unknown_name_in_the_file_is_refused(folder: Path) -> None:
    in_toml(folder, "rate = '1/s'", "acess_key = 'x'", "zzz = 1")
    assert str(refused()) == "batch-share.toml: has no setting called 'acess_key'"


def test_a_file_that_is_no_toml_is_refused_with_its_place(folder: Path) -> None:
    in_toml(folder, "rate = '1/s'", f"access_key = {KEY}")
    error = refused()
    assert "is not valid TOML" in error.wrong
    assert "line 2" in error.wrong
    assert KEY not in str(error)


@pytest.mark.parametrize("name", ["batch-share.toml", ".env"])
def test_a_file_that_is_no_text_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"BATCH_SHARE_ACCESS_KEY='u$r\xff0123456'\n")
    error = refused()
    assert name in error.setting
    assert "0123456" not in everything_about(error)


# ------------------------------------------------------------------------------------------------- the host


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("https://api-in21.leadsquared.com", "https://api-in21.leadsquared.com"),
        ("api-in21.leadsquared.com", "https://api-in21.leadsquared.com"),
        (" HTTPS://API.LeadSquared.com/v2/ ", "https://api.leadsquared.com"),
        ("https://api.example:8443/", "https://api.example:8443"),
        ("api.example:8443", "https://api.example:8443"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:8080/v2", "http://127.0.0.1:8080"),
        ("http://127.8.9.1", "http://127.8.9.1"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]"),
    ],
)
def test_a_host_becomes_a_base_url(text: str, host: str) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://",
        "https:///v2",
        "ftp://api.example",
        "file:///etc/passwd",
        "http://api.example",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "http://0.0.0.0:8080",
        "http://192.168.0.1",
        "https://api.example/v2/EntityAccess.svc",
        f"https://api.example?accessKey={KEY}",
        f"https://api.example#{KEY}",
        f"https://user:{KEY}@api.example",
        f"https://:{KEY}@api.example",
        f"https://{KEY}@api.example",
        "https://@api.example",
        "http://localhost@api.example",
        "https://api.example:port",
        "https://api.example:99999",
        "https://api.example:0x50",
        "https://[::1",
        "https://[nonsense]",
        "https://two words",
        "https://api.example\\@elsewhere",
        f"https://{KEY}",
    ],
)
def test_what_is_no_safe_host_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        parse_host(text)
    assert KEY not in str(caught.value)
    assert refused(host=text).setting == "host"


# ------------------------------------------------------------------------------------------------- the keys


@pytest.mark.parametrize(
    "key",
    ["with\nnewline", "with\rreturn", "with\x00null", "with space", "with\ttab", "späße", "”quoted”", "\udcff"],
)
@pytest.mark.parametrize("name", ["access_key", "secret_key"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_quoted(name: str, key: str) -> None:
    error = refused(**{name: key})
    assert error.setting == name
    assert key not in everything_about(error)


WRONG_TYPES = ["{}", "['{}']", "{{a = '{}'}}", "{{'{}' = 1}}", "[{{a = ['{}']}}]", "[[{}]]", "{}.5", "{}e3", "0x{}"]


@pytest.mark.parametrize("name", ["access_key", "secret_key"])
@pytest.mark.parametrize("value", WRONG_TYPES)
def test_a_key_of_a_wrong_type_is_refused_and_not_quoted(folder: Path, name: str, value: str) -> None:
    in_toml(folder, f"{name} = {value.format('123456789')}")
    error = refused()
    assert error.setting == name
    assert not pieces_in(everything_about(error), "123456789")


@pytest.mark.parametrize(
    "lines",
    [
        (f"access_key = {KEY}",),
        (f"access_key = '{KEY}",),
        (f'access_key = "{KEY}\\q"',),
        (f'access_key = "{KEY}\x01"',),
        (f"access_key = ['{KEY}' '{KEY}']",),
        (f"[access_key.'{KEY}']", f"[access_key.'{KEY}']"),
        (f"access_key = {{'{KEY}' = 1, '{KEY}' = 2}}",),
        ("access_key = 1", f"[access_key.'{KEY}']"),
    ],
)
def test_a_key_in_a_file_that_is_no_toml_is_not_quoted(folder: Path, lines: tuple[str, ...]) -> None:
    in_toml(folder, *lines)
    error = refused()
    assert error.wrong.startswith("is not valid TOML (")
    assert not pieces_in(everything_about(error), KEY)


@pytest.mark.parametrize("in_dot_env", [False, True])
@pytest.mark.parametrize("bad", ["\t", "\x01", "\x7f", "\x9f", "\u200b", " "])
def test_a_key_with_a_character_that_no_key_has_is_refused_by_its_name_wherever_it_is_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch, bad: str, in_dot_env: bool
) -> None:
    if in_dot_env:
        (folder / ".env").write_text(f'BATCH_SHARE_SECRET_KEY="{KEY}{bad}{KEY}"\n', encoding="utf-8")
    else:
        monkeypatch.setenv("BATCH_SHARE_SECRET_KEY", f"{KEY}{bad}{KEY}")
    error = refused()
    assert error.setting == "secret_key"
    assert not pieces_in(everything_about(error), KEY)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (" https://hooks.example/T0/B1 ", "https://hooks.example/T0/B1"),
        ("http://127.0.0.1:8099/x", "http://127.0.0.1:8099/x"),
        ("http://localhost/x", "http://localhost/x"),
        ("file:told.jsonl", "file:told.jsonl"),
        ("told.jsonl", "told.jsonl"),
    ],
)
def test_a_webhook_or_a_file_may_be_told(given: str, taken: str) -> None:
    notify = load_settings(notify=given).notify
    assert notify is not None
    assert notify.get_secret_value() == taken


@pytest.mark.parametrize(
    "given",
    [
        f"http://hooks.example/{KEY}",
        f"ftp://hooks.example/{KEY}",
        f"https:///{KEY}",
        f"https://hooks.example:99999/{KEY}",
        f"https://[{KEY}/x",
        f"https://hooks.example/ {KEY}",
        f"https://hooks.example/{KEY}\x01",
        f"file:///{KEY}",
        "file:",
    ],
)
def test_a_webhook_that_is_none_is_refused_and_not_quoted(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("BATCH_SHARE_NOTIFY", given)
    error = refused()
    assert error.setting == "notify"
    assert not pieces_in(everything_about(error), KEY)


@pytest.mark.parametrize("value", WRONG_TYPES)
def test_a_webhook_of_a_wrong_type_is_not_quoted(folder: Path, value: str) -> None:
    in_toml(folder, f"notify = {value.format('123456789')}")
    error = refused()
    assert error.setting == "notify"
    assert not pieces_in(everything_about(error), "123456789")


def test_nothing_of_the_settings_shows_a_webhook() -> None:
    settings = load_settings(notify=f"https://hooks.example/{KEY}")
    shown = repr(settings) + str(settings) + settings.model_dump_json() + repr(settings.public())
    assert not pieces_in(shown, KEY)
    assert "hooks.example" not in shown


def test_nothing_of_the_settings_shows_the_password_of_a_store() -> None:
    url = f"postgresql://asha:{KEY}@db.example.com:5433/leads?sslmode=require&sslpassword={KEY}"
    settings = load_settings(store=url)
    shown = repr(settings) + str(settings) + settings.model_dump_json() + repr(settings.public())
    assert not pieces_in(shown, KEY)
    named = json.loads(settings.model_dump_json())["store"]
    assert named == "postgresql://asha@db.example.com:5433/leads?sslmode=require"
    assert str(Store.of(url)) == named


@pytest.mark.parametrize(
    "given", [f"mysql://u:{KEY}@h/d", f"postgresql://u:{KEY}@h", f"postgresql://h/d#{KEY}", KEY]
)
def test_a_store_that_is_none_is_refused_and_not_quoted(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("BATCH_SHARE_STORE", given)
    error = refused()
    assert error.setting == "store"
    assert not pieces_in(everything_about(error), KEY)
    with pytest.raises(SettingsError, match=r"^store: is no URL like postgresql:") as caught:
        store_in_force()
    assert not pieces_in(everything_about(caught.value), KEY)


def test_the_store_in_force_is_known_without_any_key_and_can_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert store_in_force() is None
    monkeypatch.setenv("BATCH_SHARE_STORE", "postgresql://h/d")
    assert store_in_force() == load_settings().store == SecretStr("postgresql://h/d")
    monkeypatch.setenv("BATCH_SHARE_STORE", "none")
    assert store_in_force() is load_settings().store is None


def test_settings_made_without_the_loader_quote_no_key_either() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"access_key": [KEY]})
    assert KEY not in str(caught.value)


def everything_about(error: SettingsError) -> str:
    """All that a traceback would show, also one that shows the variables, and that no other error hides behind."""
    assert (error.__cause__, error.__context__) == (None, None)
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [frame for frame in shown.stack if "batch_share/" in frame.filename.replace(os.sep, "/")]
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)) + locals_of(ours)


def locals_of(frames: list[traceback.FrameSummary]) -> str:
    """The variables of our own functions, but for the flags that a test has handed over."""
    return "".join(f"{frame.name}: { ({**(frame.locals or {}), 'flags': ''}) }\n" for frame in frames)


def pieces_in(text: str, key: str) -> list[str]:
    """The pieces of a key, of four characters, that a text holds."""
    return [key[at : at + 4] for at in range(len(key) - 3) if key[at : at + 4] in text]


def test_nothing_of_the_settings_shows_a_key() -> None:
    settings = load_settings(access_key=KEY, secret_key=KEY, host="api.leadsquared.com")
    shown = repr(settings) + str(settings) + settings.model_dump_json() + repr(settings.credentials())
    assert KEY not in shown


def test_public_settings_are_plain_values_without_keys_and_this_machine() -> None:
    public = load_settings(access_key=KEY, secret_key=KEY, host="api.leadsquared.com", rate="20/5s").public()
    assert public["rate"] == "20/5s"
    assert public["host"] == "https://api.leadsquared.com"
    assert set(public) == set(Settings.model_fields) - {
        "allow_host",
        "access_key",
        "secret_key",
        "accounts",
        "notify",
        "proxy",
        "store",
        "state_folder",
        "data_folder",
        "log_folder",
        "log_level",
        "wire_log",
    }


ALL: dict[str, Any] = {"host": "api.leadsquared.com", "access_key": KEY, "secret_key": KEY}


@pytest.mark.parametrize("missing", ALL)
@pytest.mark.parametrize("empty", [None, "", "  "])
def test_an_account_needs_host_and_keys(monkeypatch: pytest.MonkeyPatch, missing: str, empty: str | None) -> None:
    if empty is not None:
        monkeypatch.setenv(f"BATCH_SHARE_{missing.upper()}", empty)
    with pytest.raises(SettingsError, match=f"Set BATCH_SHARE_{missing.upper()} in the environment") as caught:
        load_settings(**ALL | {missing: None}).credentials()
    assert caught.value.setting == missing


def test_an_account_that_is_closed_is_called_only_where_a_rate_or_force_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load_settings(rate="25/5s").calls_when_closed
    assert load_settings(force=True).calls_when_closed
    monkeypatch.setenv("BATCH_SHARE_RATE", "25/5s")
    assert not load_settings(rate=None, event="201").calls_when_closed


def test_every_serializer_says_what_it_takes() -> None:
    """As a built-in function does not, to pydantic 2.14.4 on Python 3.13: nothing could be imported there."""
    parts = [part for kind in vars(settings).values() for part in getattr(kind, "__metadata__", ())]
    found = [part.func for part in parts if isinstance(part, PlainSerializer)]
    assert found
    assert all(map(isfunction, found))
