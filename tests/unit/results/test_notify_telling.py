"""Telling a webhook or a file: what arrives, what is tried again, and that no failure shows the URL."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from ledgers import NOON
from pydantic import SecretStr

from batch_share.errors import SettingsError
from batch_share.ledger.files import LedgerName
from batch_share.ledger.states import State
from batch_share.results.notify import Notice, check_target, post, tell
from batch_share.results.wording import Summary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKEN = "T0Xw3LqVzK5HyMbU1Rj"
PATH = f"/services/{TOKEN}"
NOTICE = Notice(
    "run", Path("<!channel> & b.csv"), "done", 0, NOON, Summary({State.SHARED: 2}, LedgerName.of("x.db"))
)


class Hook:
    """A webhook that answers as told, and remembers what it was sent."""

    def __init__(self, *answers: int | str) -> None:
        self.answers = list(answers)
        self.bodies: list[object] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.json())
        answer = self.answers.pop(0) if self.answers else 200
        if answer == "silent":
            await asyncio.sleep(30)
        if answer == "reset":
            assert request.transport is not None
            request.transport.abort()
        if isinstance(answer, int):
            return web.Response(status=answer, headers={"Location": "/elsewhere"}, text=f"{request.url}")
        return web.Response()

    def secret(self) -> SecretStr:
        return SecretStr(self.url + PATH)


@asynccontextmanager
async def hook(*answers: int | str) -> AsyncIterator[Hook]:
    made = Hook(*answers)
    app = web.Application()
    app.router.add_post("/{any:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


async def test_a_webhook_gets_the_text_as_chats_take_it() -> None:
    async with hook() as made:
        assert await tell(made.secret(), NOTICE) is None
    (body,) = made.bodies
    assert isinstance(body, dict)
    assert body["text"] == NOTICE.text.replace("<!channel> &", "&lt;!channel&gt; &amp;")


@pytest.mark.parametrize("first", [500, 503, 429, "reset", "silent"])
async def test_what_may_pass_is_tried_once_more(first: int | str) -> None:
    async with hook(first) as made:
        assert await post(made.secret(), "text", seconds=0.3) is None
    assert made.bodies == [{"text": "text"}] * 2


@pytest.mark.parametrize(
    ("answers", "tries", "words"),
    [
        ((500, 500), 2, "HTTP 500"),
        ((404,), 1, "HTTP 404"),
        ((302,), 1, "HTTP 302: redirects are not followed"),
        (("reset", "reset"), 2, "no connection, or it was lost"),
        (("silent", "silent"), 2, "no answer within 0.3 s"),
    ],
)
async def test_what_fails_is_reported_in_a_few_words(
    answers: tuple[int | str, ...], tries: int, words: str
) -> None:
    async with hook(*answers) as made:
        assert await post(made.secret(), "text", seconds=0.3) == words
    assert len(made.bodies) == tries


async def test_a_failure_is_one_sentence_without_the_url(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    async with hook(404) as made:
        reported = await tell(SecretStr(f"{made.url}/{TOKEN}"), NOTICE)
    assert reported == "The webhook was not told how it ended (HTTP 404). The run itself is not affected."
    refused = await tell(SecretStr(f"http://127.0.0.1:9/{TOKEN}"), NOTICE)
    assert refused is not None
    assert "no connection" in refused
    logged = [each.getMessage() for each in caplog.records if each.name != "aiohttp.access"]  # the hook's own log
    assert TOKEN not in "".join([reported, refused, *logged])


@pytest.mark.parametrize("prefix", ["", "file:"])
async def test_a_file_gets_a_line_a_run(tmp_path: Path, prefix: str) -> None:
    file = tmp_path / "told.jsonl"
    for _ in range(2):
        assert await tell(SecretStr(f"{prefix}{file}"), NOTICE) is None
    assert [json.loads(line) for line in file.read_text().splitlines()] == [NOTICE.as_json()] * 2
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["missing/hooks.slack.example/T0/B1", "."])
async def test_a_file_that_can_not_be_written_is_reported_without_its_name(tmp_path: Path, name: str) -> None:
    reported = await tell(SecretStr(str(tmp_path / name)), NOTICE)
    assert reported is not None
    assert reported.startswith("The file that `notify` names was not written (")
    assert str(tmp_path) not in reported
    assert "slack" not in reported


@pytest.mark.parametrize("held", [b"Lead Id,User Id\n", b"SQLite format 3\0", b"PK\x03\x04", b"[]", b"{}", b"\n"])
async def test_nothing_is_added_to_a_file_that_holds_something_else(tmp_path: Path, held: bytes) -> None:
    file = tmp_path / "leads.csv"
    file.write_bytes(held)
    with pytest.raises(SettingsError, match="since it holds something other than such lines") as reported:
        check_target(SecretStr(str(file)))
    words = await tell(SecretStr(str(file)), NOTICE)
    assert words is not None
    assert "it holds something other than such lines" in words
    assert file.read_bytes() == held
    assert str(tmp_path) not in f"{reported.value}{words}"


@pytest.mark.parametrize(
    "target", ["told.jsonl", "empty", "missing/told", "/dev/null", "https://hooks.example/T0", "\0"]
)
async def test_what_may_be_reported_is_not_refused(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").touch()
    await tell(SecretStr("told.jsonl"), NOTICE)
    check_target(SecretStr(target))
