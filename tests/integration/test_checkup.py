"""Check-ups of accounts that are well, and that are not, over a real socket."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import re
from dataclasses import replace
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from turns import account_turn

from batch_share.common import Rate
from batch_share.errors import AccessDenied, BatchShareError
from batch_share.jobs.check_up import Passer, check_keys, check_up, trouble_writing
from batch_share.sandbox.options import SandboxOptions
from batch_share.sandbox.server import Sandbox
from batch_share.sandbox.wire import Reply, throttled
from batch_share.sending import session
from batch_share.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from batch_share.jobs.check_up import Finding
    from batch_share.sandbox.wire import SandboxCall

    Step = Callable[[SandboxCall], Awaitable[Reply]]
    Wrapper = Callable[[Step, SandboxCall], Awaitable[Reply]]

ACCOUNT = ("settings", "keys", "administrator", "region", "account", "sharing", "clock")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATCH_SHARE_STATE_FOLDER", str(tmp_path / "state"))
    monkeypatch.setenv("BATCH_SHARE_ACCESS_KEY", "sandbox-access-key")
    monkeypatch.setenv("BATCH_SHARE_SECRET_KEY", "sandbox-secret-key")
    monkeypatch.delenv("BATCH_SHARE_HOST", raising=False)


def checked(
    monkeypatch: pytest.MonkeyPatch, *wrappers: Wrapper, busy: bool = False, refuse: tuple[str, ...] = ()
) -> tuple[dict[str, Finding], int]:
    """The findings by check, and the calls that the sandbox saw."""

    async def work() -> tuple[list[Finding], int]:
        async with Sandbox(SandboxOptions(port=0, latency=0.0, refuse=refuse), wrappers=wrappers) as sandbox:
            monkeypatch.setenv("BATCH_SHARE_HOST", sandbox.url)
            if busy:
                async with account_turn(session._account_file(load_settings()), lambda _: None):
                    return await check_up(), sandbox.report()["total_calls"]
            return await check_up(), sandbox.report()["total_calls"]

    findings, calls = asyncio.run(work())
    return {finding.check: finding for finding in findings}, calls


def kept(monkeypatch: pytest.MonkeyPatch, *wrappers: Wrapper) -> list[str]:
    """What is asked before keys are kept that were typed in. Raises what is the matter with them."""

    async def work() -> list[str]:
        async with Sandbox(SandboxOptions(port=0, latency=0.0), wrappers=wrappers) as sandbox:
            monkeypatch.setenv("BATCH_SHARE_HOST", sandbox.url)
            await check_keys(load_settings(), Passer())
            return [call["endpoint"] for call in sandbox.journal.since(0)]

    return asyncio.run(work())


def levels(findings: dict[str, Finding]) -> list[str]:
    """How bad those that need an account are."""
    return [str(findings[name].level) for name in ACCOUNT]


def test_an_account_that_is_well_costs_three_calls_which_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    found, calls = checked(monkeypatch)
    assert {finding.level for finding in found.values()} == {"ok"}
    assert calls == 3
    assert found["activity types"].words == "201 Site visit, 202 Call back, 999 Old campaign."
    assert found["calls today"].words.startswith("3 from this machine")
    assert "“Request Id does not exist”" in found["sharing"].words
    assert found["settings"].words == "Host and keys are set, from: environment."
    assert re.fullmatch(r"batch_share \S+, Python \S+, aiohttp \S+, SQLite [\d.]+", found["versions"].words[:-1])


def test_wrong_keys_are_asked_about_once_and_their_answer_tells_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_SHARE_SECRET_KEY", "wrong-secret-key")
    found, calls = checked(monkeypatch)
    assert levels(found) == ["ok", "problem", "warning", "warning", "warning", "warning", "ok"]
    assert calls == 1
    assert not any("wrong-secret" in finding.words for finding in found.values())


def test_a_call_that_reached_nobody_is_none_of_todays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_SHARE_HOST", "http://127.0.0.1:9")
    found = {finding.check: finding for finding in asyncio.run(check_up())}
    assert "Connection refused" in found["keys"].words
    assert found["calls today"].words.startswith("0 from this machine")


def in_the_role(role: str) -> Wrapper:
    """The keys' user has it."""

    async def tell(step: Step, call: SandboxCall) -> Reply:
        reply = await step(call)
        if not call.endpoint.endswith("UserByAccessKey.Get"):
            return reply
        return replace(reply, body=json.dumps(json.loads(reply.body) | {"Role": role}).encode())

    return tell


def test_keys_of_a_sales_user_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = checked(monkeypatch, in_the_role("Sales_User"))
    assert levels(found) == ["ok", "ok", "problem", "ok", "ok", "ok", "ok"]
    assert "is a Sales_User" in found["administrator"].words


def test_what_a_server_says_of_the_user_is_printed_on_one_line_and_without_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def quote(step: Step, call: SandboxCall) -> Reply:
        reply = await step(call)
        reported = {
            "Id": "x\x1b[2J",
            "Role": "of\nsandbox-secret",
            "LSQCommonServiceURLs": {"api": "sandbox-secret"},
        }
        return replace(reply, body=json.dumps(json.loads(reply.body) | reported).encode())

    found, _ = checked(monkeypatch, quote)
    said = "".join(finding.words + finding.next for finding in found.values())
    assert said.isprintable()
    assert "sandbox-secret" not in said


@pytest.mark.parametrize(("minutes", "level", "said"), [(-20, "problem", "20 min ahead"), (2, "warning", "behind")])
def test_a_clock_that_is_wrong_is_reported(
    monkeypatch: pytest.MonkeyPatch, minutes: int, level: str, said: str
) -> None:
    async def at_another_time(step: Step, call: SandboxCall) -> Reply:
        date = format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes), usegmt=True)
        return replace(await step(call), headers={"Date": date})

    found, _ = checked(monkeypatch, at_another_time)
    assert found["clock"].level == level
    assert said in found["clock"].words


def test_an_answer_without_a_date_tells_nothing_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_no_time(step: Step, call: SandboxCall) -> Reply:
        return replace(await step(call), headers={"Date": "yesterday"})

    found, calls = checked(monkeypatch, at_no_time)
    assert levels(found) == ["ok"] * 6 + ["warning"]
    assert (calls, found["clock"].words) == (3, "Unknown: no answer gave LeadSquared's time.")


def test_an_account_in_use_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found, calls = checked(monkeypatch, busy=True)
    assert levels(found) == ["ok", *["warning"] * 6]
    assert "another batch_share" in found["keys"].words
    assert calls == 0


def test_a_limit_that_is_reported_is_kept_and_set_beside_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    async def one_too_many(_step: Step, _call: SandboxCall) -> Reply:
        return throttled(Rate(10, 5.0), 429)

    found, calls = checked(monkeypatch, one_too_many)
    assert calls == 1
    assert found["keys"].level == "warning"
    assert found["rate"].next == "Set BATCH_SHARE_RATE=10/5s, or auto."


def test_a_sharing_api_that_is_closed_to_the_keys_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = checked(monkeypatch, refuse=("Get",))
    assert found["sharing"].level == "problem"
    assert "You are not allowed to use this API" in found["sharing"].words


def test_of_a_server_that_is_not_leadsquared_nothing_else_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    async def other(step: Step, call: SandboxCall) -> Reply:
        await step(call)
        return Reply(404, b"<h1>File not found</h1>")

    found, _ = checked(monkeypatch, other)
    assert levels(found) == ["ok", "problem", *["warning"] * 5]
    assert "did not answer as LeadSquared does" in found["keys"].words
    assert all(found[each].words.startswith("Unknown") for each in (*ACCOUNT[2:], "activity types"))


def test_without_a_host_this_machine_is_checked_all_the_same() -> None:
    found = {finding.check: finding for finding in asyncio.run(check_up())}
    assert levels(found) == ["problem", *["warning"] * 6]
    assert {found[name].level for name in found if name not in {*ACCOUNT, "activity types"}} == {"ok"}


def test_settings_that_make_no_sense_are_a_problem_and_no_folder_is_guessed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BATCH_SHARE_RATE", "quick")
    found = {finding.check: finding for finding in asyncio.run(check_up())}
    assert found["settings"].words.startswith("rate: ")
    assert "state folder" not in found


def test_an_env_file_that_others_can_read_is_reported(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("BATCH_SHARE_EVENT=201\n", encoding="utf-8")
    (tmp_path / ".env").chmod(0o644)
    found = {finding.check: finding for finding in asyncio.run(check_up())}
    assert found[".env"].level == "warning"


def test_an_env_file_of_another_user_is_a_problem_if_it_sets_anything(
    tmp_path: Path, give_away: Callable[[Path], None]
) -> None:
    (tmp_path / ".env").write_text("BATCH_SHARE_EVENT=201\n", encoding="utf-8")
    give_away(tmp_path / ".env")
    findings = {finding.check: finding for finding in asyncio.run(check_up())}
    assert findings["settings"].level == "problem"
    assert "it sets event, but it is another user's" in findings["settings"].words
    assert findings[".env"].words == ".env is another user's."


def test_a_folder_is_tried_where_it_would_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert trouble_writing(tmp_path / "not" / "yet") == ""
    assert not (tmp_path / "not").exists()
    assert trouble_writing(tmp_path / "file" / "below") == "Not a directory"


# ------------------------------------------------------------------------------------------- before keys are kept


@pytest.mark.parametrize("role", ["Administrator", " ADMINISTRATOR", ""])
def test_keys_of_an_administrator_cost_one_call_and_so_do_those_of_whom_no_role_is_reported(
    monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    assert kept(monkeypatch, in_the_role(role)) == ["Authentication.svc/UserByAccessKey.Get"]


def test_keys_of_anybody_else_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BatchShareError, match="The keys are not an administrator's"):
        kept(monkeypatch, in_the_role("Sales_User"))


def test_wrong_keys_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_SHARE_SECRET_KEY", "wrong-secret-key")
    with pytest.raises(AccessDenied) as caught:
        kept(monkeypatch)
    assert "wrong-secret" not in str(caught.value)


def test_keys_are_not_kept_where_nobody_says_whose_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(_step: Step, _call: SandboxCall) -> Reply:
        return Reply(200, b"{}")

    with pytest.raises(BatchShareError, match=r"UserByAccessKey\.Get.*--no-check"):
        kept(monkeypatch, nobody)
