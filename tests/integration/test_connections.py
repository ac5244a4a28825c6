"""Whole runs with something in between: a proxy, one that looks into TLS, one that resets connections in use."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from certificates import Authority
from pydantic import SecretStr
from secrets_hunt import ACCESS, SECRET, leaks, leaks_in
from trial import Trial, trial
from tunnels import ConnectProxy, connect_proxy, front

from batch_share.errors import Unreachable
from batch_share.jobs.check_up import ask, of_keys
from batch_share.ledger.states import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KEYS: dict[str, Any] = {"access_key": SecretStr(ACCESS), "secret_key": SecretStr(SECRET)}


@asynccontextmanager
async def behind_tls(folder: Path, authority: Authority, rows: int = 12) -> AsyncIterator[tuple[Trial, str]]:
    """A trial whose sandbox is reached over TLS; its URL."""
    async with (
        trial(folder, rows=rows, access_key=ACCESS, secret_key=SECRET) as it,
        front(urlsplit(it.sandbox.url).port or 0, authority.server()) as (port, _),
    ):
        yield it, f"https://localhost:{port}"


def files_with(folder: Path, text: bytes) -> list[Path]:
    """The files that hold it."""
    return [file for file in folder.rglob("*") if file.is_file() and text in file.read_bytes()]


@pytest.fixture
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One that nobody trusts unless told to."""
    return Authority(tmp_path_factory.mktemp("authority"))


async def test_where_connections_in_use_are_reset_every_row_is_shared_in_one_run(tmp_path: Path) -> None:
    async with (
        trial(tmp_path, rows=15) as it,
        front(urlsplit(it.sandbox.url).port or 0, used_once=True) as (port, requests),
    ):
        ending = await it.run(host=f"http://127.0.0.1:{port}")
        assert (ending.error, ending.summary.states) == (None, {State.SHARED: 15})
        assert sum(number > 1 for number in requests) >= 2
        report = it.sandbox.report()
        assert (report["live_shares"]["count"], report["duplicates"]) == (15, 0)


async def test_a_run_through_a_proxy_leaves_no_key_and_no_password_anywhere(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with behind_tls(tmp_path, authority) as (it, url), connect_proxy(ConnectProxy()) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:hush-hush@127.0.0.1:{proxy.port}")
        ending = await it.run(host=url, **KEYS)
        assert (ending.error, ending.summary.states) == (None, {State.SHARED: 12})
        assert {head.split(" ")[0] for head in proxy.heads} == {"CONNECT"}
        assert leaks(bytes(proxy.seen)) == set()
        seen = len(proxy.heads)
        monkeypatch.setenv("NO_PROXY", "localhost")
        assert (await it.run(host=url, **KEYS)).error is None
        assert len(proxy.heads) == seen
    assert leaks_in(tmp_path) == {}
    assert files_with(tmp_path, b"hush-hush") == []


async def test_a_certificate_that_is_not_trusted_ends_a_run_at_once_and_nothing_is_sent(
    tmp_path: Path, authority: Authority
) -> None:
    async with behind_tls(tmp_path, authority) as (it, url), asyncio.timeout(60):
        ending = await it.run(host=url, **KEYS)
        assert isinstance(ending.error, Unreachable)
        assert ending.error.tries == 1
        assert "SSL_CERT_FILE" in str(ending.error)
        assert ending.exit_code == 1
        assert it.sandbox.report()["total_calls"] == 0
        asked = await ask(it.settings(host=url, **KEYS))
        found = of_keys(asked.user, url, asked.why_not)
        assert "localhost is not trusted" in found.words
        assert found.next == "Fix that, and check again."


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"])
async def test_doctor_names_the_proxy_that_does_not_let_it_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: bytes
) -> None:
    async with trial(tmp_path, rows=1) as it, connect_proxy(ConnectProxy("Basic none", says)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:hush@127.0.0.1:{proxy.port}")
        asked = await ask(it.settings(host="https://localhost:9"))
        found = of_keys(asked.user, "https://localhost:9", asked.why_not, None, asked.proxy)
        assert f"http://127.0.0.1:{proxy.port}" in found.words
        assert "hush" not in found.words + found.next


async def test_a_proxy_that_can_not_be_used_is_reported_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")
    async with trial(tmp_path, rows=1) as it:
        asked = await ask(it.settings(host="https://localhost:9"))
        assert asked.why_not == asked.no_proxy == "HTTPS_PROXY: only http:// and https:// proxies can be used"
