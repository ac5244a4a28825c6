"""Every state that a page can be in: nothing overflows, axe finds nothing, and there is a picture of it."""

from __future__ import annotations

import asyncio
import csv
import io
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from browsing import opened
from openpyxl import Workbook
from trial import HEADER, Trial, options, sheet_rows
from visiting import visiting

from batch_share.common import Rate
from batch_share.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser
    from visiting import Visitor


def sheet(rows: int = 6, **more: str) -> bytes:
    """A sheet, with more columns that say the same in each row."""
    out = io.StringIO()
    csv.writer(out).writerows([[*HEADER, *more], *([*row, *more.values()] for row in sheet_rows(rows))])
    return out.getvalue().encode()


def workbook() -> bytes:
    """One of two worksheets, of which a column says who has the lead now."""
    book, out = Workbook(), io.BytesIO()
    first = book.active
    assert first is not None
    first.append(["Lead Number", "Owner", "Duration", "Notes that a person wrote for others, at some length"])
    first.append([869000, "asha.rao@sales.example.com", "7d", "x" * 200])
    book.create_sheet("A long name, as they are").append(["Lead Number"])
    book.save(out)
    return out.getvalue()


async def test_sheets_and_plans(browser: Browser, visitor: Visitor, trial: Trial) -> None:
    async with opened(browser, visitor) as seen:

        async def show(name: str) -> None:
            await seen.page.goto(visitor.origin + visitor.path)
            await seen.check(name)

        await visitor.upload(b"PK nothing", "nothing.xlsx")
        await show("a-unreadable")
        await visitor.upload(workbook(), "two worksheets.xlsx")
        await show("b-worksheets")
        await seen.page.get_by_label("How long shares last").fill("a while")
        await seen.page.get_by_label("What column Owner holds").select_option("User Email")
        await seen.page.get_by_role("button", name="Plan it").click()
        await seen.page.get_by_text("'a while' is no duration").wait_for()
        await seen.check("c-typed-wrong")
        await visitor.upload(b"Name\nAsha\n", "no leads.csv")
        await show("d-no-leads")
        await visitor.plan(sheet(3).replace(b"7d", b"soon"))
        await show("e-nothing-to-send")
        trial.changes["max_rows"] = 5
        await visitor.plan(sheet(6))
        await show("f-guard")
        del trial.changes["max_rows"]
        await seen.page.goto(f"{visitor.origin}{visitor.sheet}/nothing")
        await seen.check("g-no-such-page")
        await seen.page.goto(f"{visitor.origin}/settings")
        await seen.page.get_by_role("link", name="Check now").click()
        await seen.page.get_by_text("keys").first.wait_for()
        await seen.check("h-settings-checked")
        await seen.page.context.clear_cookies()
        await seen.page.goto(visitor.origin)
        await seen.check("i-not-let-in")
        seen.wrong.clear()  # the browser says of a page that it is not there


async def test_runs_that_wait(browser: Browser, visitor: Visitor, trial: Trial) -> None:
    trial.changes["rate"] = Rate(1, 15.0)
    async with opened(browser, visitor) as seen:
        page = seen.page
        await visitor.upload(sheet(60), "long.csv")
        await visitor.post(f"{visitor.sheet}/columns", visitor.form(f"{visitor.sheet}/columns") | {"then": "plan"})
        await page.goto(visitor.origin + visitor.path)
        await page.get_by_role("heading", name="Looking up leads and users").wait_for()
        await seen.check("j-looking-up")
        await page.get_by_role("button", name="Stop").click()
        trial.changes["rate"] = Rate(4, 1.0)
        await visitor.plan(sheet(60), "long.csv")
        await visitor.approve(typed="60")
        await visitor.under_way("</b> posted")  # else the other one may have the account first
        await visitor.upload(sheet(3), "other.csv")
        await visitor.post(f"{visitor.sheet}/columns", visitor.form(f"{visitor.sheet}/columns") | {"then": "plan"})
        await page.goto(visitor.origin + visitor.path)
        await page.get_by_text("Waiting for “long.csv”, which has the same account").first.wait_for()
        await seen.check("k-waiting")
        await page.goto(visitor.origin)
        await seen.check("l-runs")


async def test_a_run_that_stops(browser: Browser, visitor: Visitor, trial: Trial) -> None:
    async with opened(browser, visitor) as seen:
        await visitor.plan(sheet(40), "long.csv")
        await visitor.approve()
        await seen.page.goto(visitor.origin + visitor.path)
        await seen.page.get_by_text("posted").first.wait_for()
        trial.sandbox.options = replace(trial.sandbox.options, latency=30.0)  # calls under way take their time
        await asyncio.sleep(1)
        await seen.page.get_by_role("button", name="Stop").dblclick()
        await seen.page.get_by_text("Stopping: calls under way").first.wait_for()
        await seen.page.locator("#said").get_by_text("Stopping: calls under way").wait_for()  # it is read out, too
        await seen.check("m-stopping")
        cut = seen.page.get_by_role("button", name="Cut it off now")
        assert not await cut.is_visible()
        await seen.page.get_by_text("It takes too long?").click()
        await cut.click()
        await seen.page.get_by_text("The run was interrupted").wait_for()
        await seen.check("m-was-cut-off")


async def test_a_server_that_is_ended_says_so(browser: Browser, visitor: Visitor) -> None:
    async with opened(browser, visitor) as seen:
        await visitor.plan(sheet(40), "long.csv")
        await visitor.approve()
        await seen.page.goto(visitor.origin + visitor.path)
        await seen.page.get_by_text("posted").first.wait_for()
        await visitor.server.drain()
        await seen.page.get_by_text("The program that serves this page was ended.").wait_for()
        await seen.check("m-ended")


async def test_results_that_need_a_person(browser: Browser, tmp_path: Path) -> None:
    faults = "Create:failed=15%,Share:no-id=60%,Status:pending=100%"
    async with Sandbox(options(faults=faults)) as sandbox:
        trial = Trial(tmp_path, sandbox)
        async with visiting(trial) as visitor, opened(browser, visitor) as seen:
            page = seen.page
            await visitor.plan(sheet(40, Note="Bought before"), "troubles.csv")
            await visitor.approve()
            await visitor.results()
            await page.goto(visitor.origin + visitor.path)
            await seen.check("n-troubles")
            later = sheet(50, Start="2030-01-02 10:00").splitlines(keepends=True)
            await visitor.plan(b"".join([later[0], *later[41:]]), "later.csv")  # other leads
            await page.goto(visitor.origin + visitor.path)
            await page.get_by_text("only once their start has come").wait_for()
            await seen.check("o-plan-of-rows-that-wait")
            (ledger,) = (tmp_path / "page").glob("*/troubles.csv.ledger.db")
            for file, counts in ((ledger, ""), (tmp_path / "data" / "history.db", ", counts = NULL")):
                with closing(sqlite3.connect(file)) as connection:  # as a killed process leaves it
                    connection.execute(f"UPDATE runs SET ended_at = NULL, ended = NULL{counts}")
                    connection.commit()
            await page.goto(visitor.origin)
            await page.get_by_role("link", name="troubles.csv").click()
            await page.get_by_text("The run was interrupted").wait_for()
            await seen.check("p-interrupted")


async def test_somebody_else_approves(browser: Browser, trial: Trial) -> None:
    proxy: Any = {"origin": "http://share.example", "user_header": "X-User"}
    async with visiting(trial, two_people=True, **proxy) as visitor:
        visitor.http.headers["X-User"], visitor.sends = "asha.rao@example.com", {"Origin": "http://share.example"}
        await visitor.plan(sheet(6), "for two.csv")
        visitor.door._origin = visitor.origin
        async with opened(browser, visitor, extra_http_headers={"X-User": "asha.rao@example.com"}) as seen:
            await seen.page.goto(visitor.origin + visitor.path)
            await seen.page.get_by_role("heading", name="Somebody else approves it").wait_for()
            await seen.check("q-two-people")
