"""History, old runs, checks of the account and the manual, in a real browser."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from browsing import opened
from trial import HEADER, Trial, sheet_rows
from visiting import visiting

if TYPE_CHECKING:
    from playwright.async_api import Browser
    from visiting import Visitor


def sheet(rows: int, after: int = 0) -> bytes:
    """A sheet of so many leads, those after the first ones."""
    return "\n".join(",".join(row) for row in [HEADER, *sheet_rows(after + rows)[after:]]).encode()


async def test_history_old_runs_and_checks(browser: Browser, trial: Trial) -> None:
    proxy: Any = {"origin": "http://share.example", "user_header": "X-User"}
    trial.changes |= {"audit_pages": 5, "event": "201"}
    async with visiting(trial, **proxy) as visitor:
        visitor.http.headers["X-User"], visitor.sends = "asha.rao@example.com", {"Origin": "http://share.example"}
        for name, after in (("Leads of the fair in Pune, March 2026.csv", 0), ("april.csv", 20), ("may.csv", 40)):
            await visitor.plan(sheet(4, after), name)
            visitor.http.headers["X-User"] = "ravi.iyer@example.com"
            await visitor.approve()
            await visitor.results()
            note = f"{visitor.sheet}/note"
            await visitor.post(
                note, visitor.form(note) | {"note": f"Agreed with the people of {name}" * (after < 30)}
            )
            if after < 40:
                old = "datetime('now', '-100 days') || '.000000'"
                for file in [*(trial.folder / "page").glob("*/*.ledger.db"), trial.folder / "data" / "history.db"]:
                    with closing(sqlite3.connect(file)) as connection:
                        connection.execute(f"UPDATE runs SET ended_at = {old}")
                        if file.name.startswith("Leads"):
                            connection.execute(f"UPDATE rows SET ends_at = {old} WHERE state = 'shared'")
                        connection.commit()
        visitor.door._origin = visitor.origin
        async with opened(browser, visitor, extra_http_headers={"X-User": "asha.rao@example.com"}) as seen:
            page = seen.page
            await page.goto(visitor.origin)
            await page.get_by_role("link", name="History", exact=True).click()
            await page.get_by_role("heading", name="3 runs").wait_for()
            await seen.check("v-history")
            await page.get_by_label("Sheet, who ran it").fill("pune")
            await page.get_by_role("button", name="Show these").click()
            await page.get_by_role("heading", name="1 run", exact=True).wait_for()
            await page.get_by_role("link", name="Look what is old").click()
            await page.get_by_role("heading", name="What goes").wait_for()
            await seen.check("v-old-runs")
            await page.get_by_label("Delete 1 ledger for good").check()
            await page.get_by_label("Type 1, the number").fill("1")
            await page.get_by_role("button", name="Delete 1 ledger").click()
            await page.get_by_text("uploaded sheet were deleted").wait_for()
            await seen.check("v-deleted")
            await page.get_by_role("link", name="Back to the history").click()
            await page.get_by_text("deleted 20").wait_for()


async def test_checks_of_a_run_and_of_the_account(browser: Browser, trial: Trial) -> None:
    trial.changes |= {"audit_pages": 5, "event": "201"}
    async with visiting(trial) as visitor:
        await visitor.plan(sheet(4), "may.csv")
        await visitor.approve()
        await visitor.results()
        async with opened(browser, visitor) as seen:
            page = seen.page
            await page.get_by_role("link", name="may.csv").click()
            await page.get_by_role("button", name="Check all activities").click()
            await page.get_by_text(": of 4 activities posted").wait_for()
            await seen.check("v-audited")
            await page.get_by_role("link", name="Settings").click()
            await page.get_by_role("link", name="Check now").click()
            await page.get_by_text("What was looked at").wait_for()
            await seen.check("v-settings-checked")
            await page.get_by_role("link", name="Try the account").click()
            await page.get_by_role("heading", name="Try it").wait_for()
            await seen.check("w-verify")
            lead, user = trial.sandbox.world.leads[100], trial.sandbox.world.users[1]
            await page.get_by_label("Lead of your own").fill(str(lead.number))
            await page.get_by_label("Active user of your own").fill(user.email)
            await page.get_by_label("Post five activities").check()
            await page.get_by_role("button", name="Try it").click()
            await page.get_by_role("heading", name="What was seen").wait_for()  # by itself
            await seen.check("w-verified")


async def test_the_manual(browser: Browser, visitor: Visitor) -> None:
    async with opened(browser, visitor) as seen:
        page = seen.page
        await page.get_by_role("link", name="Manual", exact=True).click()
        await seen.check("x-manual")
        await page.get_by_role("link", name=re.compile("^Page: ")).click()
        await page.get_by_role("heading", name="The way of a sheet").wait_for()
        await seen.check("x-manual-page")
        for topic in ("sheets", "json", "reference"):  # with wide tables, long words and long lines
            await page.goto(f"{visitor.origin}/manual/{topic}")
            await seen.check(f"x-manual-{topic}")
