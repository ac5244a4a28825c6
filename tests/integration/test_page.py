"""The page without a browser: from a sheet to results, and who is kept out."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiohttp
import pytest
from ledgers import seen_from_outside
from trial import HEADER, Trial, sheet_rows
from visiting import on_both, visiting

from batch_share.common import Rate
from batch_share.errors import SettingsError
from batch_share.ledger.postgres import StoredName
from batch_share.page import desk, server
from batch_share.page.door import LINK_SECONDS, new_link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def sheet(rows: int = 6, **changed: Any) -> bytes:
    """A sheet, with other cells in row 2."""
    lines = sheet_rows(rows)
    lines[0] = [changed.get(header.replace(" ", "_"), cell) for header, cell in zip(HEADER, lines[0], strict=True)]
    out = io.StringIO()
    csv.writer(out).writerows([HEADER, *lines])
    return out.getvalue().encode()


@on_both
async def test_a_sheet_is_for_the_account_that_was_chosen_with_it(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        assert "Choose one" not in visitor.text
    trial.changes["accounts"] = {"asia": {"event": 201}, "europe": {"event": 202}}
    lines = [line.rsplit(",", 1) for line in sheet(3).decode().splitlines()]
    assert HEADER[-1] == "Activity Event", HEADER
    by_default = "\n".join(line[0] for line in lines).encode()
    async with visiting(trial) as visitor:
        await visitor.get("/")
        assert visitor.form("/sheets")["account"] == "", "nobody can tell which"
        await visitor.send_sheet(by_default, b"leads.csv", account="africa")
        assert visitor.status == 409
        assert not [*(trial.folder / "page").glob("*leads*")]
        await visitor.send_sheet(by_default, b"leads.csv", account="europe")
        await visitor.post(f"{visitor.sheet}/columns", visitor.form(f"{visitor.sheet}/columns") | {"then": "plan"})
        await visitor.ended("/plan", "Looking up leads")
        assert "in the account at europe (127.0.0.1:" in visitor.text
        await visitor.approve()
        await visitor.results()
        assert "All 3 rows are shared." in visitor.text
        (kept,) = visitor.server._shelf.all()
        assert seen_from_outside(kept.ledger, "SELECT DISTINCT event FROM rows") == [(202,)]
        assert "asia, europe" in await visitor.get("/settings")
    trial.changes["account"] = "asia"
    async with visiting(trial) as visitor:
        await visitor.get("/")
        assert visitor.form("/sheets")["account"] == "asia"


@on_both
async def test_a_sheet_goes_from_the_page_to_its_results(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        assert "Nothing yet" in visitor.text
        await visitor.upload(sheet(6, Duration="soon"))
        assert visitor.path.endswith("/columns"), visitor.text
        assert "6 rows below the headers in row 1" in visitor.text
        assert "1 row can't be sent as it is" in visitor.text
        await visitor.plan(sheet(6, Duration="soon"))
        assert "5 leads will be shared with 5 people" in visitor.text
        assert "Posted on each lead: activity “Site visit” (201)." in visitor.text
        assert "Columns read: Lead Id, Lead Number, User Id, Access, Duration, Activity Event." in visitor.text
        assert "Kept but not read" not in visitor.text
        assert "soon" in visitor.text
        assert trial.sandbox.report()["activities"] == 0
        await visitor.approve()
        await visitor.results()
        assert "5 of 6 rows are shared." in visitor.text, visitor.text
        assert trial.sandbox.report()["activities"] == trial.live() == 5
        assert "/results" in visitor.path
        await visitor.get(f"{visitor.sheet}/files/results.csv")
        lines = [*csv.reader(visitor.text.splitlines())]
        assert len(lines) == 7
        assert "attachment" in visitor.headers["Content-Disposition"]
        await visitor.get("/")
        assert "done, with rows to look at" in visitor.text


async def test_a_plan_says_which_columns_are_read_as_what_and_which_are_not(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        content = sheet(3).decode().splitlines()
        content[0] = content[0].replace("User Id", "Bearer <b>")
        await visitor.upload("\n".join(f"{line},{at}" for at, line in enumerate(content)).encode())
        action = f"{visitor.sheet}/columns"
        form = visitor.form(action)
        (at,) = [name for name, header in form.items() if header == "Bearer <b>"]
        said = {at.replace("header", "field"): "User Id", "then": "plan"}
        await visitor.post(action, form | said)
        await visitor.ended("/plan", "Looking up leads")
        assert "Lead Number, Bearer &lt;b&gt; as User Id, Access" in visitor.text
        assert "Kept but not read: 0." in visitor.text


@on_both
async def test_what_is_sent_twice_is_done_once(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.upload(sheet(), once="1" * 32)
        first = visitor.sheet
        await visitor.upload(sheet(), once="1" * 32)
        assert visitor.sheet == first
        await visitor.plan(sheet())
        page, action = visitor.text, f"{visitor.sheet}/approve"
        form = visitor.form(action) | {"sure": "yes"}
        await visitor.post(action, form)
        await visitor.post(action, form)  # a double click, or Back and again
        visitor.text = page
        await visitor.post(action, form | {"once": "another tab"})
        await visitor.results()
        assert "All 6 rows are shared." in visitor.text
        await visitor.post(action, form | {"once": "later still"})
        assert "All 6 rows are shared." in visitor.text
        assert trial.sandbox.report()["activities"] == 6
        assert trial.sandbox.report()["duplicates"] == 0


async def test_nothing_is_sent_without_the_tick_the_number_and_the_plan_itself(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.plan(sheet(60))
        action = f"{visitor.sheet}/approve"
        form = visitor.form(action)
        await visitor.post(action, form)
        assert "tick the box first" in visitor.text
        await visitor.post(action, visitor.form(action) | {"sure": "yes", "typed": "59"})
        assert "type 60, the number of leads" in visitor.text
        await visitor.post(action, visitor.form(action) | {"sure": "yes", "typed": "60", "plan": "another"})
        assert "The plan has changed" in visitor.text
        (kept,) = (trial.folder / "page").glob("*/leads.csv")
        kept.write_bytes(sheet(59))
        await visitor.post(action, visitor.form(action) | {"sure": "yes", "typed": "60"})
        await visitor.ended("/plan", "How far it is")
        assert "Nothing was sent." in visitor.text
        assert "Plan it" in visitor.text
        assert trial.sandbox.report()["activities"] == 0


@on_both
async def test_a_run_that_was_cut_off_is_shown_as_interrupted_and_waits_for_a_person(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.plan(sheet(6))
        await visitor.approve()
        await visitor.results()
        visitor.alter(  # as a killed process leaves it
            "UPDATE runs SET ended_at = NULL, ended = NULL",
            "UPDATE rows SET state = 'sharing', request_id = NULL WHERE position = 0",
        )
        before, address = visitor.sheet, trial.sandbox.report()["total_calls"]
    async with visiting(trial) as visitor:
        await visitor.get("/")
        assert "interrupted" in visitor.text
        await visitor.get(before)
        assert "The run was interrupted. It does not go on by itself" in visitor.text
        assert trial.sandbox.report()["total_calls"] == address
        action = f"{before}/do"
        await visitor.post(action, visitor.form(action) | {"deed": "resume"})
        await visitor.results()
        assert "All 6 rows are shared." in visitor.text
        assert "interrupted" not in visitor.text
        assert trial.sandbox.report()["duplicates"] == 0


async def test_each_answer_forbids_what_the_page_does_not_need(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.upload(sheet())
        for path in (
            "/",
            "/settings",
            f"{visitor.sheet}/columns",
            f"{visitor.sheet}/plan",
            "/nothing",
            "/static/x",
        ):
            await visitor.get(path)
            policy = visitor.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
            assert "frame-ancestors 'none'" in policy
            assert visitor.headers["X-Content-Type-Options"] == "nosniff"
            assert visitor.headers["Referrer-Policy"] == "same-origin"
            assert visitor.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert visitor.headers["Cache-Control"] == "no-store"
            assert "<script>" not in visitor.text
            assert " style=" not in visitor.text
            assert " onclick=" not in visitor.text
        for name in re.findall(r'"(/static/[^"]+)"', visitor.text):
            await visitor.get(name)
            assert visitor.status == 200
            assert "immutable" in visitor.headers["Cache-Control"]


async def test_only_our_own_pages_get_anything_done(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.plan(sheet())
        action, form = f"{visitor.sheet}/approve", visitor.form(f"{visitor.sheet}/approve") | {"sure": "yes"}
        ours = {"Origin": visitor.origin}
        for headers in (
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": visitor.origin.replace("127.0.0.1", "localhost")},
            {"Origin": visitor.origin.replace(str(visitor.door.port), "1")},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {},
        ):
            await visitor.post(action, form, headers)
            assert visitor.status == 403, headers
        for key in ("", "0" * 64, "é"):
            await visitor.post(action, form | {"form_key": key}, ours)
            assert visitor.status == 403
        await visitor.get(action)
        assert visitor.status in {404, 405}
        for host in ("evil.example", f"evil.example:{visitor.door.port}", "127.0.0.1", "127.0.0.1:1"):
            await visitor.get("/", headers={"Host": host})
            assert visitor.status == 421
        assert trial.sandbox.report()["activities"] == 0
        await visitor.post(action, form, ours)
        await visitor.results()
        assert trial.sandbox.report()["activities"] == 6


async def test_a_link_lets_one_browser_in_once_and_not_for_long(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with visiting(trial) as visitor:
        token = new_link(visitor.server.folder)
        visitor.http.cookie_jar.clear()
        for path in ("/", "/settings", "/r/" + "0" * 32):
            await visitor.get(path)
            assert visitor.status == 403
            assert "Open the link" in visitor.text
        for wrong in ("", "x", "../../x", token[:-1]):
            await visitor.get("/enter", params={"token": wrong})
            assert visitor.status == 403
        await visitor.get(f"/enter?token={token}")
        assert (visitor.status, visitor.path) == (200, "/")
        (cookie,) = visitor.http.cookie_jar
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        assert cookie.key.startswith("batch_share_")
        visitor.http.cookie_jar.clear()
        await visitor.get(f"/enter?token={token}")
        assert visitor.status == 403
        late = new_link(visitor.server.folder)
        now = time.time()
        monkeypatch.setattr("batch_share.page.door.time.time", lambda: now + LINK_SECONDS + 1)
        await visitor.get(f"/enter?token={late}")
        assert visitor.status == 403


@pytest.mark.parametrize(
    "name",
    [
        "../../x.csv",
        "..\\..\\x.csv",
        "/etc/x.csv",
        "<script>alert(1)</script>.csv",
        f"{'x' * 300}.csv",
        "é\n.csv",
        b"\xe9.csv",
        "x\u202evsc.exe.csv",
        "=1.CSV",
        "日本.csv",
    ],
)
async def test_no_name_of_a_file_is_a_path_or_markup(trial: Trial, name: str | bytes) -> None:
    async with visiting(trial) as visitor:
        called = name.replace("\n", "%0A") if isinstance(name, str) else name.decode("utf-8", "surrogateescape")
        content = sheet().replace(b"Access", b"<script>x</script>")
        await visitor.send_sheet(content, called.encode("utf-8", "surrogateescape"))
        assert visitor.status in {200, 400}, visitor.text
        assert "<script>" not in visitor.text
        await visitor.get("/")  # whatever it is called, all others are still shown
        assert visitor.status == 200
        assert "<script>" not in visitor.text
        outside = {each.name for each in trial.folder.iterdir()} - {"page", "state", "data", "log"}
        assert outside == set()
        (found,) = (trial.folder / "page").glob("*/*.csv")
        assert found.parent.parent == trial.folder / "page"
        assert found.stat().st_mode & 0o777 == 0o600
        assert found.parent.stat().st_mode & 0o777 == 0o700


async def test_what_is_no_sheet_or_too_large_is_told_in_a_sentence(trial: Trial) -> None:
    trial.changes["sheet"] = {"file_mb": 1}
    async with visiting(trial) as visitor:
        await visitor.upload(b"x", "x.exe")
        assert visitor.status == 400
        assert "no kind of sheet" in visitor.text
        await visitor.upload(b"x" * ((1 << 20) + 100_000))
        assert visitor.status == 413
        assert "larger than 1 MB" in visitor.text
        await visitor.upload(b"x" * ((1 << 20) + 1))  # the form around it might have been that
        assert visitor.status == 413
        assert not [*(trial.folder / "page").glob("*_*")]
        for content in (b"", b"\0\1\2", b"PK\3\4nonsense"):
            await visitor.upload(content, "x.xlsx")
            assert 'role="alert"' in visitor.text
            assert "Traceback" not in visitor.text


async def test_cells_and_headers_are_text_and_never_markup(trial: Trial) -> None:
    evil = "<img src=x onerror=alert(1)>"
    content = sheet(3, Duration=evil).replace(b"\r\n", f",{evil}\r\n".encode())
    async with visiting(trial) as visitor:
        await visitor.upload(content, f"{evil}.csv")
        assert evil not in visitor.text
        assert "&lt;img" in visitor.text
        await visitor.plan(content)
        assert evil not in visitor.text
        assert "&lt;img" in visitor.text


async def test_progress_comes_as_a_stream_of_whole_snapshots(trial: Trial) -> None:
    trial.changes |= {"rate": Rate(30, 1.0)}
    async with visiting(trial) as visitor:
        await visitor.plan(sheet(30))
        await visitor.approve()
        address = f"{visitor.origin}{visitor.sheet}/live"
        async with visitor.http.get(address):
            pass  # a browser that goes away at once ends nothing
        async with visitor.http.get(address) as stream:
            assert stream.content_type == "text/event-stream"
            events = (await stream.text()).split("\n\n")
        assert events[0] == "retry: 2000"
        shown = [each for each in events if each.startswith("id: ") and "event: " not in each]
        assert shown
        assert all(re.search(r"\ndata: <title>\d+ % · leads.csv</title>", each) for each in shown)
        assert all(re.fullmatch(r"id: \d+(\ndata: .*)+", each) for each in shown)
        assert sum("hx-swap-oob" in each for each in shown) == 1  # it speaks every ten seconds at most
        assert "event: end" in events[-2]
        await visitor.results()
        assert "All 30 rows are shared." in visitor.text


async def test_a_server_that_closes_sends_nobody_to_a_page_that_is_gone(trial: Trial) -> None:
    trial.changes |= {"rate": Rate(20, 1.0)}
    async with visiting(trial) as visitor:
        await visitor.plan(sheet(40))
        await visitor.approve()
        async with visitor.http.get(f"{visitor.origin}{visitor.sheet}/live") as stream:
            await stream.content.readuntil(b"data: ")
            await visitor.server.drain()
            ending = await stream.text()
        assert "event: end" not in ending
        assert "event: closed" in ending


async def test_a_server_that_is_started_again_leaves_no_more_cookies_and_knows_none_of_before(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        (before,) = visitor.http.cookie_jar
    async with visiting(trial) as visitor:
        (after,) = visitor.http.cookie_jar
        assert after.key == before.key
        mine = aiohttp.ClientSession(cookies={before.key: before.value})
        async with mine, mine.get(visitor.origin) as answer:
            assert answer.status == 403
    async with visiting(replace(trial, folder=trial.folder / "other")) as visitor:
        (other,) = visitor.http.cookie_jar
        assert other.key != before.key  # browsers share cookies among the ports of a host


@on_both
async def test_a_run_is_stopped_and_gone_on_with(trial: Trial) -> None:
    trial.changes |= {"rate": Rate(20, 1.0)}
    async with visiting(trial) as visitor:
        await visitor.plan(sheet(40))
        await visitor.approve()
        action = f"{visitor.sheet}/do"
        await visitor.post(action, visitor.form(action) | {"deed": "stop"})  # before it has taken the sheet in
        assert "Plan it" in await visitor.results()
        assert "It was stopped before anything was sent." in visitor.text
        await visitor.post(f"{visitor.sheet}/plan", visitor.form(f"{visitor.sheet}/plan"))
        await visitor.ended("/plan", "Looking up leads")
        await visitor.approve()
        await visitor.under_way("</b> posted")
        own = visitor.form(action) | {"deed": "stop"}
        await visitor.post(action, own, visitor.sends | {"HX-Request": "true"})
        assert (visitor.status, visitor.path) == (200, action)  # the answer itself says so, whatever the load
        assert "Stopping: calls under way are finished and noted." in visitor.text
        assert re.search("<details>.*Cut it off now.*</details>", visitor.text)
        await visitor.results()
        assert "It was stopped" in visitor.text
        await visitor.post(action, own | {"deed": "cut"}, visitor.sends | {"HX-Request": "true"})
        assert visitor.headers["HX-Refresh"] == "true"  # it is over
        await visitor.get(f"{visitor.sheet}/results")
        await visitor.post(action, visitor.form(action) | {"deed": "resume"})
        await visitor.results()
        assert "All 40 rows are shared." in visitor.text
        assert trial.sandbox.report()["duplicates"] == 0


@on_both
async def test_behind_a_proxy_another_person_approves(trial: Trial) -> None:
    async with visiting(trial, two_people=True, origin="http://share.example", user_header="X-User") as visitor:
        await visitor.get("/")
        assert visitor.status == 403
        assert "did not say who you are" in visitor.text
        visitor.http.headers.update({"X-User": "asha", "Host": "share.example"})
        visitor.sends = {"Origin": "http://share.example"}
        await visitor.get("/")
        assert "Signed in as <bdi>asha</bdi>" in visitor.text
        await visitor.plan(sheet())
        assert "Somebody else approves it" in visitor.text
        await visitor.get("/")
        address = next(iter(re.findall(r'href="(/r/[^"]+)"', visitor.text)))
        form = visitor.form("/sheets") | {"sure": "yes"}
        await visitor.post(f"{address}/approve", form)
        assert "approve it: somebody else has to" in visitor.text
        visitor.http.headers["X-User"] = "ravi"
        await visitor.post(f"{address}/approve", form, {"Origin": visitor.origin})
        assert visitor.status == 403  # not of the proxy's pages
        await visitor.get(f"{address}/plan")
        await visitor.approve()
        await visitor.results()
        assert "All 6 rows are shared." in visitor.text
        assert "Prepared by <bdi>asha</bdi>, approved by <bdi>ravi</bdi>." in visitor.text


async def test_a_cookie_of_a_page_behind_tls_goes_through_nothing_else(trial: Trial) -> None:
    async with visiting(trial, origin="https://share.example") as visitor:
        await visitor.get("/", allow_redirects=False)
        assert "Secure" in visitor.headers["Set-Cookie"]


@on_both
async def test_a_run_that_could_not_even_make_its_ledger_is_planned_again(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.plan(sheet())
        (kept,) = visitor.server._shelf.all()
        if isinstance(kept.ledger, StoredName):  # as whoever is killed as they begin leaves it
            kept.ledger.number(make=True)
        else:
            with closing(sqlite3.connect(str(kept.ledger))) as made:  # as a full disk leaves it
                made.execute("PRAGMA journal_mode = WAL")
        await visitor.post(
            f"{visitor.sheet}/plan", {"form_key": visitor.form(f"{visitor.sheet}/approve")["form_key"]}
        )
        assert "6 leads will be shared" in await visitor.ended("/plan", "Looking up leads")
        await visitor.approve()
        await visitor.results()
        assert "All 6 rows are shared." in visitor.text


async def test_a_plan_that_was_made_anew_is_not_approved_unseen(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.plan(sheet())
        action, seen = f"{visitor.sheet}/approve", visitor.text
        await visitor.get(f"{visitor.sheet}/columns")  # in another tab
        said = visitor.form(f"{visitor.sheet}/columns") | {"note": "another", "then": "plan"}
        await visitor.post(f"{visitor.sheet}/columns", said)
        await visitor.ended("/plan", "Looking up leads")
        visitor.text = seen
        await visitor.approve()
        assert "The plan has changed" in visitor.text
        assert trial.sandbox.report()["activities"] == 0
        await visitor.post(action, visitor.form(action) | {"sure": "yes"})
        await visitor.results()
        assert trial.sandbox.report()["activities"] == 6


async def test_of_many_plans_that_nobody_approves_the_oldest_is_let_go_and_made_anew(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "PLANNED_ROWS", 12)
    async with visiting(trial) as visitor:
        await visitor.plan(sheet(), "first.csv")
        first = visitor.sheet
        await visitor.plan(sheet(), "second.csv")
        assert "leads will be shared" in await visitor.get(f"{first}/plan")
        await visitor.plan(sheet(), "third.csv")
        assert "leads will be shared" in visitor.text
        shown = await visitor.get(f"{first}/plan")
        assert "Its plan was let go" in shown
        await visitor.post(f"{first}/plan", visitor.form(f"{first}/plan"))
        assert visitor.sheet == first
        assert "leads will be shared" in await visitor.ended("/plan", "Looking up leads")


async def test_whoever_had_a_hand_in_a_sheet_is_not_the_one_who_approves_it(trial: Trial) -> None:
    proxy: Any = {"origin": "http://share.example", "user_header": "X-User"}
    async with visiting(trial, two_people=True, **proxy) as visitor:
        visitor.http.headers.update({"X-User": "asha", "Host": "share.example"})
        visitor.sends = {"Origin": "http://share.example"}
        await visitor.upload(sheet())
        where, keys = visitor.sheet, visitor.form(f"{visitor.sheet}/columns")
        visitor.http.headers["X-User"] = "ravi"
        await visitor.get(f"{where}/columns")
        said = visitor.form(f"{where}/columns") | {"note": "ravi's", "then": "plan"}
        await visitor.post(f"{where}/columns", said)
        for name in ("ravi", "asha", "Asha"):  # who logs in may write a name in another way
            visitor.http.headers["X-User"] = name
            await visitor.ended("/plan", "Looking up leads")
            assert "Somebody else approves it" in visitor.text, name
            await visitor.post(f"{where}/approve", keys | {"sure": "yes"})
            assert "somebody else has to" in visitor.text, name
        visitor.http.headers["X-User"] = "meera"
        await visitor.get(f"{where}/plan")
        await visitor.approve()
        await visitor.results()
        assert "All 6 rows are shared." in visitor.text


async def test_a_proxy_may_name_a_user_in_any_bytes(trial: Trial) -> None:
    async with visiting(trial, origin="http://share.example", user_header="X-User") as visitor:
        for name in (b"asha\xe9", "日本".encode(), b"<b>x</b>"):
            answer = await visitor.raw(b"GET / HTTP/1.1\r\nHost: share.example\r\nX-User: " + name + b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 303")
            cookie = re.findall(rb"Set-Cookie: ([^;]+)", answer)[0]
            asked = b"GET / HTTP/1.1\r\nHost: share.example\r\nCookie: " + cookie + b"\r\nX-User: " + name
            answer = await visitor.raw(asked + b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer
            assert b"<b>x" not in answer


async def test_no_address_leads_to_another_host(trial: Trial) -> None:
    async with visiting(trial, origin="http://share.example") as visitor:
        for path in (
            "http://evil.example/x",
            "//evil.example/x",
            "///evil.example",
            "/\\evil.example",
            "//evil.example%2f..",
        ):
            for more in (
                "",
                "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
            ):
                head = f"GET {path} HTTP/1.1\r\nHost: share.example\r\n{more}\r\n".encode()
                found = re.findall(rb"Location: (\S+)|; url=([^\"]+)", await visitor.raw(head))
                for each in filter(None, (where for both in found for where in both)):
                    assert re.match(rb"/(?![/\\])", each), (path, each)


async def test_a_link_in_a_mail_leads_to_the_page_once_the_page_itself_asks(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.upload(sheet())
        kept, where = visitor.http.cookie_jar, f"{visitor.sheet}/columns"
        led = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        await visitor.get(where, headers=led | {"Cookie": "none"})
        assert f'content="0; url={where}"' in visitor.text
        assert visitor.status == 200
        assert kept is visitor.http.cookie_jar
        await visitor.get(where, headers={"Sec-Fetch-Site": "same-origin"})
        assert "How it was read" in visitor.text


async def test_a_folder_that_others_can_write_is_not_served(trial: Trial) -> None:
    folder = trial.folder / "page"
    folder.mkdir()
    folder.chmod(0o777)  # whoever leaves a link in it would come in
    with pytest.raises(SettingsError, match="others can write it"):
        async with visiting(trial):
            pass


async def test_connections_that_ask_for_nothing_keep_nobody_out(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch_share.page.server.MOST_CONNECTIONS", 10)
    monkeypatch.setattr("batch_share.page.server._IDLE", 0.3)
    async with visiting(trial) as visitor:
        slow = [await asyncio.open_connection("127.0.0.1", visitor.door.port) for _ in range(30)]
        for _, out in slow:
            out.write(b"GET / HTTP/1.1\r\nX-Slow: ")
        at_once = [each for each in slow if await ended(each[0], 0.15)]
        assert len(at_once) >= 20  # those above what is allowed
        for reader, _ in slow:
            assert await ended(reader, 2)
        await visitor.get("/")
        assert visitor.status == 200
        for _, out in slow:
            out.close()


async def ended(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Whether the server closes a connection within this time."""
    try:
        async with asyncio.timeout(seconds):
            await reader.read()
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


async def test_an_upload_that_stands_still_keeps_nobody_from_uploading(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch_share.page.server._STANDS_STILL", 0.2)
    async with visiting(trial) as visitor:
        await visitor.get("/")

        async def stuck() -> AsyncIterator[bytes]:
            for name, value in visitor.form("/sheets").items():
                yield f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            yield b'--x\r\nContent-Disposition: form-data; name="sheet"; filename="x.csv"\r\n\r\nLead'
            await asyncio.sleep(5)

        headers = visitor.sends | {"Content-Type": "multipart/form-data; boundary=x"}
        async with visitor.http.post(f"{visitor.origin}/sheets", data=stuck(), headers=headers) as answer:
            assert answer.status == 408
            assert "stood still" in await answer.text()
        assert not [*(trial.folder / "page").glob("*_*")]
        await visitor.upload(sheet())
        assert visitor.path.endswith("/columns")


async def test_a_form_of_many_parts_or_much_text_is_refused(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.upload(sheet())
        where = f"{visitor.sheet}/columns"
        form = urlencode(visitor.form(where) | {"note": "x" * (2 << 20)}).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        await visitor.post(where, io.BytesIO(form), visitor.sends | kind)
        assert visitor.status == 413
        assert "more than a form" in visitor.text
        await visitor.send_sheet(sheet(), b"x.csv", more="x" * 100_000)
        assert visitor.status == 400
        assert "No sheet came" in visitor.text


async def test_what_is_typed_wrong_is_said_at_its_field_and_can_be_corrected(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.upload(sheet())
        where = f"{visitor.sheet}/columns"
        await visitor.post(where, visitor.form(where) | {"duration": "a while", "note": "kept", "then": "plan"})
        assert visitor.status == 400
        assert 'value="a while" aria-invalid="true" aria-describedby="alarm"' in visitor.text
        assert 'value="kept"' in visitor.text
        assert 'id="alarm"' in visitor.text
        await visitor.post(where, visitor.form(where) | {"duration": "7d", "then": "plan"})
        assert "What will happen" in await visitor.ended("/plan", "Looking up leads")


async def test_the_sample_sheet_can_be_sent_as_it_is_but_for_its_names(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        (sample,) = re.findall(r'href="([^"]+sample-[^"]+csv)" download', visitor.text)
        content = (await visitor.get(sample)).encode()
        assert visitor.headers["Content-Type"].startswith("text/csv")
        await visitor.plan(content)
        assert "No row of this sheet can or need be sent" in visitor.text  # nobody is called so in this account
        assert "To be said before" not in visitor.text


async def test_mistakes_can_be_downloaded_and_are_no_formulas(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.plan(sheet(6, Duration="=1+1"))
        await visitor.get(f"{visitor.sheet}/files/mistakes.csv")
        first, *lines = csv.reader(visitor.text.lstrip("\ufeff").splitlines())
        assert first == ["Row", "Column", "Says", "What is wrong"]
        assert [line[:3] for line in lines] == [["2", "Duration", "'=1+1"]]
        assert "attachment" in visitor.headers["Content-Disposition"]
        for name in ("results.xlsx", "failed.xlsx", "report.html", "nothing", "page.json"):  # nothing was sent yet
            await visitor.get(f"{visitor.sheet}/files/{name}")
            assert visitor.status == 404


@on_both
async def test_runs_say_when_the_next_row_is_due(trial: Trial) -> None:
    content = sheet(3).replace(b"\r\n", b",2030-01-02 10:00\r\n").replace(b",2030-01-02 10:00", b",Start", 1)
    async with visiting(trial) as visitor:
        await visitor.plan(content)
        assert "only once their start has come" in visitor.text
        await visitor.approve()
        await visitor.results()
        await visitor.get("/")
        assert re.search(r"3 pending; next due 2030-01-0[12] \d\d:\d0", visitor.text)


def test_htmx_is_as_its_makers_released_it() -> None:
    folder = Path(server.__file__).parent / "static"
    digest = sha256((folder / "htmx-2.0.11.min.js").read_bytes()).hexdigest()
    assert digest == "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"
    assert "Zero-Clause BSD" in (folder / "htmx-2.0.11.LICENSE").read_text(encoding="utf-8")


async def test_results_are_counted_by_user_when_that_is_asked_for_or_quick(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with visiting(trial) as visitor:
        await visitor.plan(sheet(6))
        await visitor.approve()
        await visitor.results()
        assert "How many of each user" in visitor.text
        assert "What ends when" in visitor.text
        monkeypatch.setattr("batch_share.page.server._COUNTED_AT_ONCE", 5)
        await visitor.get(f"{visitor.sheet}/results")
        assert "How many of each user" not in visitor.text
        await visitor.get(f"{visitor.sheet}/results?people=1")
        assert "How many of each user" in visitor.text


@on_both
async def test_runs_are_listed_without_an_account_and_say_when_the_list_is_not_whole(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.plan(sheet(6))
        await visitor.approve()
        await visitor.results()
        await visitor.get("/")
        assert "Runs may be missing" not in visitor.text
        trial.changes["access_key"] = None
        await visitor.get("/")
        assert 'role="alert"' in visitor.text
        assert "6 shared" in visitor.text
        del trial.changes["access_key"]
        (trial.folder / "data" / "history.db").write_bytes(b"SQLite format 3\0nonsense")
        await visitor.get("/")
        assert "Runs may be missing" in visitor.text
        assert "`" not in visitor.text


async def test_settings_are_checked_in_words(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.get("/settings?check=1")
        assert "Finding(" not in visitor.text
        told = (
            r'>keys</th><td data-label="How"><span class="state good">ok</span></td>.*?<bdi>LeadSquared knows them'
        )
        assert re.search(told, visitor.text)
        assert str(trial.folder) in visitor.text
    async with visiting(trial, origin="http://share.example") as visitor:
        visitor.http.headers["Host"] = "share.example"
        await visitor.get("/settings?check=1")
        assert re.search(told, visitor.text)
        assert str(trial.folder) not in visitor.text  # who comes by a proxy learns no path of the machine
