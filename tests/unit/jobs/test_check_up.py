"""What each check makes of its facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from batch_share.common import Rate
from batch_share.jobs import check_up
from batch_share.leadsquared.people import KeyUser
from batch_share.leadsquared.protocol import Denied, Lost, NotSent, Refused, ShareStatus, Throttled
from batch_share.settings import Proxy

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.leadsquared.protocol import Failure

HOST = "https://api-in21.leadsquared.com"


def user(role: str = "Administrator", **urls: object) -> KeyUser:
    return KeyUser("u-1", role, api_host=str(urls.get("api") or ""))


def of_user(reported: KeyUser | Failure | None) -> list[check_up.Finding]:
    found = check_up.of_user(reported, HOST)
    assert [each.check for each in found] == ["administrator", "region", "account"]
    return found


@pytest.mark.parametrize(
    ("reported", "level", "then"),
    [
        (user(), "ok", ""),
        (Denied("Invalid Access Details", 401), "problem", "Copy both keys again"),
        (Denied("Use api-us11.leadsquared.com please", 401), "problem", "=https://api-us11.leadsquared.com."),
        (Denied("Wrong keys for api-in21.leadsquared.com", 401), "problem", "Copy both keys again"),
        (Throttled("too many"), "warning", "fewer calls"),
        (NotSent("the host's name was not found"), "problem", "proxy or firewall"),
        (NotSent("its certificate is not trusted", hopeless=True), "problem", "Fix that"),
        (Lost("HTTP 502: bad gateway"), "problem", "your region's"),
        (Refused("No such API", status=404), "problem", "your region's"),
        (None, "warning", ""),
    ],
)
def test_keys(reported: KeyUser | Failure | None, level: str, then: str) -> None:
    found = check_up.of_keys(reported, HOST, "host is not set")
    assert found.level == level
    assert then in found.next


PROXY = Proxy(SecretStr("http://me:hush@proxy.example:3128"), "HTTPS_PROXY")


def test_a_proxy_is_named_without_its_password_also_where_nobody_is_reached() -> None:
    found = check_up.of_proxy(PROXY, "")
    assert (found.level, found.words) == ("ok", "Calls go through http://proxy.example:3128, from HTTPS_PROXY.")
    assert check_up.of_proxy(None, "").level == "ok"
    assert check_up.of_proxy(None, "HTTPS_PROXY: is odd").level == "problem"
    found = check_up.of_keys(NotSent("no connection"), HOST, "", None, PROXY)
    assert "the proxy http://proxy.example:3128, which is from HTTPS_PROXY" in found.next


@pytest.mark.parametrize(
    ("reported", "level"),
    [
        (user(), "ok"),
        (user(" administrator "), "ok"),
        (user("Sales_User"), "problem"),
        (user(""), "warning"),
        (Denied("no", 401), "warning"),
        (None, "warning"),
    ],
)
def test_only_an_administrator_may_share(reported: KeyUser | Failure | None, level: str) -> None:
    assert of_user(reported)[0].level == level


@pytest.mark.parametrize(
    ("reported", "level"),
    [
        (user(api="api-in21.leadsquared.com"), "ok"),
        (user(api="https://API-in21.leadsquared.com/v2/"), "ok"),
        (user(api="api-us11.leadsquared.com"), "problem"),
        (user(api=None), "warning"),
        (user(api="http://[half"), "warning"),
        (user(api="no host at all"), "warning"),
        (user(), "warning"),
        (None, "warning"),
    ],
)
def test_the_host_is_the_one_that_leadsquared_names(reported: KeyUser | None, level: str) -> None:
    assert of_user(reported)[1].level == level


@pytest.mark.parametrize(
    ("reported", "level"), [(KeyUser("u", org_id="41"), "ok"), (KeyUser("u"), "warning"), (None, "warning")]
)
def test_two_keys_of_an_account_that_is_not_told_are_warned_of(reported: KeyUser | None, level: str) -> None:
    assert of_user(reported)[2].level == level


def test_activity_types_are_listed_by_code_and_name() -> None:
    assert check_up.of_types({202: "", 201: "Site visit"}).words == "201 Site visit, 202."
    many = check_up.of_types(dict.fromkeys(range(300, 325), "x")).words
    assert many.endswith("319 x and 5 more.")
    refused = check_up.of_types(Refused("no such API", status=404))
    assert (refused.level, refused.words) == ("warning", "LeadSquared does not list them: no such API.")
    assert check_up.of_types(None).level == "warning"


def test_another_host_is_reported_as_a_setting() -> None:
    found = of_user(user(api="api-us11.leadsquared.com"))[1]
    assert found.next == "Set BATCH_SHARE_HOST=https://api-us11.leadsquared.com."


@pytest.mark.parametrize(
    ("reported", "level"),
    [
        (Refused("Request Id does not exist", "MXInvalid", 500), "ok"),
        (ShareStatus("failed", None, "no such request"), "ok"),
        (Refused("No such API", status=404), "problem"),
        (Denied("not for you", 403), "problem"),
        (Lost("HTTP 503"), "warning"),
        (Throttled("too many"), "warning"),
        (None, "warning"),
    ],
)
def test_sharing_is_quoted_and_never_promised(reported: ShareStatus | Failure | None, level: str) -> None:
    found = check_up.of_sharing(reported)
    assert found.level == level
    assert reported is None or reported.words in found.words
    assert ("Only a first share tells" in found.words) == (level == "ok")


@pytest.mark.parametrize(
    ("skew", "level", "said"),
    [
        (0.0, "ok", "agrees"),
        (-30.0, "ok", "agrees"),
        (30.5, "warning", "30 s ahead of"),
        (-300.0, "warning", "5 min behind"),
        (301.0, "problem", "5 min ahead of"),
        (None, "warning", "no answer"),
    ],
)
def test_the_clock(skew: float | None, level: str, said: str) -> None:
    found = check_up.of_clock(skew)
    assert found.level == level
    assert said in found.words


@pytest.mark.parametrize(
    ("rate", "learned", "level"),
    [
        (Rate(25, 5), None, "ok"),
        (None, None, "ok"),
        (Rate(25, 5), Rate(20, 5), "warning"),
        (Rate(20, 5), Rate(20, 5), "ok"),
        (None, Rate(20, 5), "ok"),
    ],
)
def test_a_rate_above_the_limit_is_reported(rate: Rate | None, learned: Rate | None, level: str) -> None:
    assert check_up.of_rate(rate, learned).level == level


@pytest.mark.parametrize(
    ("calls", "limit", "level"),
    [(5000, None, "ok"), (899, 1000, "ok"), (900, 1000, "warning"), (1000, 1000, "problem")],
)
def test_the_calls_of_the_day(calls: int, limit: int | None, level: str) -> None:
    assert check_up.of_day(calls, limit).level == level


@pytest.mark.parametrize(("free", "level"), [(10**9, "ok"), (10**9 - 1, "warning"), (10**8 - 1, "problem")])
def test_free_space(free: int, level: str) -> None:
    assert check_up.of_space(free).level == level


def test_folders_that_cannot_be_written_are_problems() -> None:
    assert check_up.of_folder("folder", "/x", "").level == "ok"
    found = check_up.of_folder("state folder", "/x", "Permission denied")
    assert found.level == "problem"
    assert "BATCH_SHARE_STATE_FOLDER" in found.next


@pytest.mark.parametrize(
    ("mode", "level"), [(None, "ok"), (0o100600, "ok"), (0o100640, "warning"), (0o100604, "warning")]
)
def test_an_env_file_that_others_can_read_is_reported(mode: int | None, level: str) -> None:
    assert check_up.of_env_file(mode).level == level


def test_an_env_file_of_another_user_is_reported_whoever_can_read_it() -> None:
    found = check_up.of_env_file(0o100600, is_foreign=True)
    assert (found.level, found.words) == ("warning", ".env is another user's.")


@pytest.mark.parametrize(("mode", "warnings"), [(0o600, 0), (0o640, 1), (0o604, 1)])
async def test_a_file_of_a_key_that_others_can_read_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, warnings: int
) -> None:
    async def unasked(_: object) -> check_up.Replies:
        return check_up.Replies()

    monkeypatch.setattr(check_up, "ask", unasked)
    monkeypatch.chdir(tmp_path)
    for name in ("HOST", "ACCESS_KEY", "SECRET_KEY"):
        monkeypatch.delenv(f"BATCH_SHARE_{name}", raising=False)
    key = tmp_path / "my key"
    key.write_text("hush")
    key.chmod(mode)
    text = f"[accounts.asia]\nhost = 'http://127.0.0.1:9'\naccess_key_file = '{key}'\nsecret_key = 'hush'\n"
    (tmp_path / "batch-share.toml").write_text(text)
    found = [each for each in await check_up.check_up(account="asia") if each.check == "key file"]
    assert [each.level for each in found] == [check_up.Level.WARNING] * warnings
    assert all(str(key) in each.words and each.next == f"chmod 600 '{key}'" for each in found)
