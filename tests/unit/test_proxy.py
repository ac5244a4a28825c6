"""Which proxy calls go through, and what is shown of it."""

from __future__ import annotations

import os

import pytest
from pydantic import SecretStr

from batch_share.cli.setup import shown
from batch_share.errors import SettingsError
from batch_share.settings import load_settings, parse_proxy, proxy_for

HOST = "https://api-in21.leadsquared.com"
PROXY = "http://me:hush@proxy.example:3128"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but the test's."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize("given", [PROXY, f" {PROXY}/ ", PROXY.removeprefix("http://")])
def test_the_environment_names_a_proxy(monkeypatch: pytest.MonkeyPatch, variable: str, given: str) -> None:
    monkeypatch.setenv(variable, given)
    found = proxy_for(HOST, None)
    assert found is not None
    assert (found.url.get_secret_value(), found.origin) == (PROXY, "HTTPS_PROXY")
    assert str(found) == "http://proxy.example:3128"
    assert "hush" not in repr(found)


@pytest.mark.parametrize(
    "exempt", ["*", ".leadsquared.com", "example.com,leadsquared.com", "api-in21.leadsquared.com:443"]
)
def test_a_host_may_be_exempt(monkeypatch: pytest.MonkeyPatch, exempt: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", exempt)
    assert proxy_for(HOST, None) is None
    assert proxy_for("https://other.example", None) is None or exempt != "*"
    assert proxy_for(HOST, SecretStr(PROXY)) is not None


def test_a_host_on_this_machine_is_called_without(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, PROXY)
    assert proxy_for("http://127.0.0.1:8425", None) is None
    with pytest.raises(SettingsError, match="only inside TLS") as caught:
        proxy_for("http://127.0.0.1:8425", SecretStr(PROXY))
    assert caught.value.setting == "proxy"


@pytest.mark.parametrize("given", ["", "  ", "none", "None"])
def test_none_is_as_if_it_were_not_set(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("BATCH_SHARE_PROXY", given)
    assert load_settings().proxy is None
    monkeypatch.setenv("HTTPS_PROXY", given)
    assert proxy_for(HOST, load_settings().proxy) is None


def test_the_setting_wins_over_the_environment_and_is_shown_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://other.example:1")
    monkeypatch.setenv("BATCH_SHARE_PROXY", PROXY)
    settings = load_settings()
    assert str(proxy_for(HOST, settings.proxy)) == "http://proxy.example:3128"
    assert next(each.text for each in shown(settings) if each.name == "proxy") == "http://proxy.example:3128"
    assert "hush" not in repr(settings) + str(settings.public()) + settings.model_dump_json()


@pytest.mark.parametrize(
    "odd",
    [
        "socks5://me:hush@proxy.example:1080",
        "http://me:hush@proxy.example:99999",
        "http://me:hush@proxy.example/path",
        "http://me:hush@proxy.example?x=1",
        "http://me:hu#sh@proxy.example",
        "http://me:hu sh@proxy.example",
        "http://me:hush@",
        "http://[::1",
    ],
)
def test_what_is_no_proxy_is_refused_and_not_quoted(monkeypatch: pytest.MonkeyPatch, odd: str) -> None:
    with pytest.raises(ValueError, match=r"proxy|proxies") as refused:
        parse_proxy(odd)
    monkeypatch.setenv("HTTPS_PROXY", odd)
    with pytest.raises(SettingsError, match="HTTPS_PROXY: ") as caught:
        proxy_for(HOST, None)
    monkeypatch.setenv("BATCH_SHARE_PROXY", odd)
    with pytest.raises(SettingsError, match="proxy: ") as of_setting:
        load_settings()
    for error in (refused, caught, of_setting):
        assert "hu" not in str(error.value)
        assert error.value.__context__ is None or error is of_setting
