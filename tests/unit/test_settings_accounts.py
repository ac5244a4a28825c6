"""Accounts as tables of the settings: which one is in force, where its keys come from, and that none is shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from batch_share import keychain
from batch_share.cli.options import complete_account
from batch_share.cli.setup import shown
from batch_share.common import Rate
from batch_share.errors import SettingsError
from batch_share.settings import Settings, load_settings, origins

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ASIA, EUROPE = "https://api-in21.leadsquared.com", "https://api-ir31.leadsquared.com"
BOTH = f"[accounts.asia]\nhost = '{ASIA}'\nrate = '10/5s'\n[accounts.europe]\nhost = '{EUROPE}'\n"
DEFAULT = BOTH.replace("rate =", "default = true\nrate =")
KEYS = {"ACCESS_KEY": "u$r0123456789", "SECRET_KEY": "0123456789"}


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An empty folder, an environment without settings, and the keyring: entries by name."""
    for name in [name for name in os.environ if name.upper().startswith("BATCH_SHARE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    ring: dict[str, str] = {}

    def ask(what: str, *of: str) -> str | None:
        if what == "set_password":
            ring[of[0]] = of[1]
        return ring.pop(of[0], None) if what == "delete_password" else ring.get(of[0])

    monkeypatch.setattr(keychain, "_ask", ask)
    return ring


def toml(text: str) -> None:
    """Write the settings file."""
    with open("batch-share.toml", "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)


def env(monkeypatch: pytest.MonkeyPatch, account: str = "", keys: Mapping[str, str] = KEYS) -> None:
    """Set keys in the environment: of an account by name, else plainly."""
    for name, key in keys.items():
        monkeypatch.setenv(
            f"BATCH_SHARE_ACCOUNTS__{account.upper()}__{name}" if account else f"BATCH_SHARE_{name}", key
        )


def secrets(settings: Settings) -> list[str]:
    """Host and keys in force."""
    host, *keys = settings.credentials()
    return [host, *(key.get_secret_value() for key in keys)]


def refusal(**flags: object) -> str:
    """Why there is no account to call."""
    with pytest.raises(SettingsError) as caught:
        load_settings(**flags).credentials()
    return str(caught.value)


# ------------------------------------------------------------------------------------------- which is in force


def test_the_only_account_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    toml(f"[accounts.asia]\nhost = '{ASIA}'\n")
    env(monkeypatch, "asia")
    settings = load_settings()
    assert (settings.account, secrets(settings)) == ("asia", [ASIA, *KEYS.values()])


def test_one_of_several_is_the_default_and_another_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    toml(DEFAULT)
    env(monkeypatch, "asia")
    env(monkeypatch, "europe", {"ACCESS_KEY": "eu-access", "SECRET_KEY": "eu-secret"})
    assert load_settings().account == "asia"
    assert secrets(load_settings(account="europe")) == [EUROPE, "eu-access", "eu-secret"]
    monkeypatch.setenv("BATCH_SHARE_ACCOUNT", "europe")
    assert load_settings().host == EUROPE
    assert load_settings(account="asia").host == ASIA


@pytest.mark.parametrize(
    ("text", "why"), [(BOTH, "none of them is"), (DEFAULT + "default = true\n", "2 of them are")]
)
def test_what_is_not_clear_is_not_guessed(text: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    toml(text)
    env(monkeypatch, "asia")
    assert load_settings().account is None, "what needs no account goes on"
    assert refusal() == f"account: there are asia, europe, and {why} the default: name one with --account"
    assert secrets(load_settings(account="asia"))[0] == ASIA


def test_an_unknown_account_is_answered_with_the_known() -> None:
    assert refusal(account="asia") == "account: there is no account 'asia': there are none in the settings"
    toml(BOTH)
    assert refusal(account="africa") == "account: there is no account 'africa': known are asia, europe"


@pytest.mark.parametrize("name", ["Asia", "as-ia", "a__b", "_a", "1a", "a b", "é"])
def test_a_name_is_one_that_the_environment_can_hold(name: str) -> None:
    toml(f"[accounts.'{name}']\nhost = '{ASIA}'\n")
    assert refusal().startswith(f"accounts: {name!r} is no name for one: ")


def test_what_an_account_sets_wins_over_all_but_what_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    toml("rate = '7/5s'\nevent = 201\n" + DEFAULT)
    monkeypatch.setenv("BATCH_SHARE_RATE", "8/5s")
    assert load_settings().rate == Rate(10, 5.0)
    assert load_settings(account="europe").rate == Rate(8, 5.0)
    assert load_settings(rate="9/5s").rate == Rate(9, 5.0)
    assert load_settings().event == "201"
    assert origins()["rate"] == "accounts.asia"


def test_an_account_may_learn_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    toml(DEFAULT.replace("10/5s", "auto"))
    monkeypatch.setenv("BATCH_SHARE_RATE", "8/5s")
    assert load_settings().rate is None


def test_an_account_is_put_together_from_all_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    toml(f"[accounts.asia]\nhost = '{ASIA}'\nevent = 201\ntimezone = 'Asia/Kolkata'\n")
    (tmp_path / ".env").write_text("BATCH_SHARE_ACCOUNTS__ASIA__EVENT=202\nBATCH_SHARE_ACCOUNTS__ASIA__RATE=5/5s\n")
    monkeypatch.setenv("BATCH_SHARE_ACCOUNTS__ASIA__RATE", "6/5s")
    settings = load_settings()
    assert (settings.event, settings.rate, settings.timezone) == ("202", Rate(6, 5.0), "Asia/Kolkata")


# ----------------------------------------------------------------------------------- host and keys stay together


def test_no_key_goes_to_the_host_of_an_account_that_is_not_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    toml("host = 'api.leadsquared.com'\naccess_key = 'plain'\nsecret_key = 'plain'\n" + DEFAULT)
    assert refusal(account="asia").startswith(
        "accounts.asia.access_key: is not set. Set BATCH_SHARE_ACCOUNTS__ASIA__ACCESS_KEY in the environment, "
    )
    env(monkeypatch)
    assert "accounts.asia.access_key" in refusal(account="asia")


@pytest.mark.parametrize(
    "keys", ["access_key = 'hush'\nsecret_key = 'hush'\n", "access_key_file = 'k'\nsecret_key = 'h'\n"]
)
@pytest.mark.parametrize("near", [".env", "batch-share.toml"])
def test_keys_go_to_no_host_that_a_nearer_place_gives_their_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, near: str, keys: str
) -> None:
    users = tmp_path / "users.toml"
    users.write_text(f"[accounts.europe]\nhost = '{EUROPE}'\nevent = 201\n{keys}")
    (tmp_path / "k").write_text("hush")
    monkeypatch.setattr("batch_share.settings.user_file", lambda: users)

    def put(host: str) -> None:
        text = f"[accounts.europe]\nhost = '{host}'\n"
        (tmp_path / near).write_text(
            text if near.endswith("toml") else f"BATCH_SHARE_ACCOUNTS__EUROPE__HOST={host}\n"
        )

    put(EUROPE.removeprefix("https://").upper() + "/")
    assert secrets(load_settings(account="europe"))[0] == EUROPE, "it is the same host"
    put("http://127.0.0.1:9")
    assert refusal(account="europe").startswith("accounts.europe.access_key: is not set")
    assert load_settings(account="europe").event == "201"
    env(monkeypatch, "europe")
    assert refusal(account="europe").startswith("accounts.europe.host: is another in another place, and its keys")
    monkeypatch.setenv("BATCH_SHARE_ACCOUNTS__EUROPE__HOST", "http://127.0.0.1:9")
    assert secrets(load_settings(account="europe")) == ["http://127.0.0.1:9", *KEYS.values()]


@pytest.mark.parametrize("anybodys", ["http://127.0.0.1:8080", EUROPE])
def test_keys_of_the_environment_go_to_no_host_that_a_file_beside_sheets_names_in_place_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, anybodys: str
) -> None:
    own = tmp_path / "own.toml"
    own.write_text(f"[accounts.asia]\nhost = '{ASIA}'\n", encoding="utf-8")
    monkeypatch.setattr("batch_share.settings.user_file", lambda: own)
    toml(f"[accounts.asia]\nhost = '{anybodys}'\n")
    env(monkeypatch, "asia")
    with pytest.raises(SettingsError, match="name the host there, too") as refused:
        load_settings(account="asia")
    assert not any(key in str(refused.value) for key in KEYS.values())
    monkeypatch.setenv("BATCH_SHARE_ACCOUNTS__ASIA__HOST", ASIA)
    assert load_settings(account="asia").credentials()[0] == ASIA


@pytest.mark.parametrize("file", ["batch-share.toml", ".env"])
def test_keys_of_the_environment_go_to_no_strange_host_of_an_account_without_leave(
    monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    strange = "https://leadsquared.com.example"
    words = f"[accounts.asia]\nhost = '{strange}'\n"
    if file == ".env":
        words = f"BATCH_SHARE_ACCOUNTS__ASIA__HOST={strange}\n"
    with open(file, "w", encoding="utf-8") as out:  # noqa: PTH123
        out.write(words)
    env(monkeypatch, "asia")
    with pytest.raises(SettingsError, match="keys go to no host but"):
        load_settings(account="asia")
    monkeypatch.setenv("BATCH_SHARE_ALLOW_HOST", strange)
    assert load_settings(account="asia").credentials()[0] == strange


def test_a_host_that_is_typed_with_an_account_is_that_of_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    toml(DEFAULT)
    env(monkeypatch, "europe")
    assert (
        refusal(account="europe", host=ASIA) == "host: is not that of the account 'europe': its keys go to no other"
    )
    assert secrets(load_settings(account="europe", host=f"{EUROPE}/v2/"))[0] == EUROPE
    toml("[accounts.europe]\n")
    assert secrets(load_settings(account="europe", host=ASIA))[0] == ASIA


def test_host_and_keys_beside_accounts_in_one_place_are_not_guessed_about() -> None:
    toml("host = 'api.leadsquared.com'\naccess_key = 'plain'\nsecret_key = 'plain'\n" + DEFAULT)
    assert refusal() == (
        "account: host or keys are set beside the accounts, which are asia, europe: name one with --account"
    )


def test_host_and_keys_that_are_nearer_than_the_accounts_count(monkeypatch: pytest.MonkeyPatch) -> None:
    toml(DEFAULT)
    env(monkeypatch, keys={"HOST": "api.leadsquared.com"} | KEYS)
    settings = load_settings()
    assert (settings.account, secrets(settings)) == (None, ["https://api.leadsquared.com", *KEYS.values()])
    assert settings.rate == Rate(25, 5.0)


def test_an_account_whose_keys_are_not_in_force_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    toml("account = 'europe'\n" + DEFAULT)
    env(monkeypatch, keys={"HOST": "api.leadsquared.com"} | KEYS)
    settings = load_settings()
    assert (settings.account, secrets(settings)) == (None, ["https://api.leadsquared.com", *KEYS.values()])
    assert "account" not in origins()
    assert load_settings(account="europe").account == "europe"


def test_a_program_that_gives_host_and_keys_means_these() -> None:
    toml("account = 'europe'\n" + DEFAULT)
    given = load_settings(host="api.leadsquared.com", access_key="mine", secret_key="hush")
    assert (given.account, secrets(given)) == (None, ["https://api.leadsquared.com", "mine", "hush"])


def test_an_accounts_host_is_one_that_keys_may_go_to() -> None:
    toml("[accounts.asia]\nhost = 'https://leadsquared.example.com'\n")
    assert refusal().startswith("host: keys go to no host but leadsquared.com's and this machine")
    toml(f"[accounts.asia]\nhost = '{ASIA}'\nallow_host = 'https://leadsquared.example.com'\n")
    assert refusal().startswith("accounts.asia.allow_host: ")


# ------------------------------------------------------------------------------------------------ where keys are


def test_keys_are_read_from_files_without_the_end_of_their_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml(f"[accounts.asia]\nhost = '{ASIA}'\naccess_key_file = 'access'\nsecret_key_file = '{tmp_path}/secret'\n")
    for name, key in (("access", "12345678\n"), ("secret", " hush\r\n")):
        (tmp_path / name).write_text(key)
    assert secrets(load_settings()) == [ASIA, "12345678", "hush"]
    env(monkeypatch, "asia", {"ACCESS_KEY": "nearer"})
    assert secrets(load_settings()) == [ASIA, "nearer", "hush"]


def test_a_file_of_a_key_that_can_not_be_one_is_told(tmp_path: Path) -> None:
    toml(f"[accounts.asia]\nhost = '{ASIA}'\naccess_key_file = 'access'\n")
    assert refusal() == "accounts.asia.access_key_file: there is no file access"
    file = tmp_path / "access"
    file.write_text("\n")
    assert refusal() == "accounts.asia.access_key_file: the file access is empty"
    file.write_text("hush\nhush")
    assert refusal() == "access_key: holds a character that no key has; copy it again"
    file.write_text("hush")
    file.chmod(0o620)
    assert refusal().startswith("access: it holds a key, but others can write it: ")


def test_only_the_files_of_the_account_in_force_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    toml(DEFAULT + "access_key_file = 'missing'\n")
    env(monkeypatch, "asia")
    assert secrets(load_settings())[0] == ASIA


def test_the_keyring_has_keys_for_an_account_and_its_host_alone(kept: dict[str, str]) -> None:
    toml(DEFAULT)
    keychain.keep(ASIA, SecretStr("of-host"), SecretStr("of-host"))
    assert "accounts.asia.access_key" in refusal()
    keychain.keep(ASIA, SecretStr("of-asia"), SecretStr("hush"), account="asia")
    assert secrets(load_settings()) == [ASIA, "of-asia", "hush"]
    assert origins()["access_key"] == "keyring"
    assert keychain.hosts() == [ASIA], "no login of an account is the last login"
    toml(DEFAULT.replace(ASIA, EUROPE))
    assert "accounts.asia.access_key" in refusal()
    assert keychain.forget(ASIA, "asia")
    assert [*kept] == [ASIA, "hosts"]


def test_the_last_login_is_of_none_of_the_accounts(kept: dict[str, str]) -> None:
    keychain.keep("https://api.leadsquared.com", SecretStr("plain"), SecretStr("plain"))
    toml(BOTH)
    assert refusal().startswith("account: there are asia, europe")
    assert kept


# ------------------------------------------------------------------------------------------------ what is shown


def test_no_key_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    toml(DEFAULT)
    for name in ("asia", "europe"):
        env(monkeypatch, name)
    settings = load_settings()
    listed = {each.name: (each.text, each.origin) for each in shown(settings)}
    assert listed["accounts.europe.access_key"] == ("set", "environment")
    assert listed["accounts.asia.rate"] == ("10/5s", "batch-share.toml")
    assert listed["account"] == ("asia", "accounts.asia")
    assert listed["secret_key"] == ("set", "accounts.asia")
    said = repr(settings) + settings.model_dump_json() + repr(settings.public()) + repr(listed)
    assert not [key for key in KEYS.values() if key in said]
    assert "accounts" not in settings.public()
    assert settings.public()["account"] == "asia"


def test_names_are_completed() -> None:
    assert complete_account("") == []
    toml(BOTH)
    assert complete_account("") == ["asia", "europe"]
    assert complete_account("e") == ["europe"]
    toml("nonsense")
    assert complete_account("") == []
