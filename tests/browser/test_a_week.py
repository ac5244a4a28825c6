"""A week of somebody with a workbook and nothing but a browser: planned, stopped, corrected, one number."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import openpyxl
from browsing import opened
from week import STAYS_WRONG, TYPO, WRONG_ACCESS, WRONG_DATE, YEAR, write

from batch_share.common import Rate
from batch_share.sandbox import World
from batch_share.sandbox.sheets import active_users

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser, Page
    from trial import Trial
    from visiting import Visitor


async def approve(page: Page, leads: int) -> None:
    await page.get_by_label(f"Share {leads} leads in").check()
    if leads > 50:
        await page.get_by_label(f"Type {leads}").fill(str(leads))
    await page.get_by_role("button", name=f"Share {leads} leads").click()


async def correct(page: Page, column: str, says: str, instead: str) -> None:
    """Type something else where a cell says this."""
    for field in await page.get_by_label(re.compile(rf"^Row \d+, {column}$")).all():
        if await field.input_value() == says:
            await field.fill(instead)
            return
    raise AssertionError(f"no field for {column} {says!r}")


async def downloaded(page: Page, trial: Trial, name: str) -> Path:
    async with page.expect_download() as download:
        await page.get_by_role("link", name=name).click()
    file: Path = trial.folder / (await download.value).suggested_filename
    await (await download.value).save_as(file)
    return file


async def test_a_week_in_the_browser_alone(browser: Browser, visitor: Visitor, trial: Trial) -> None:
    trial.changes |= {"timezone": "UTC", "rate": Rate(100, 1.0)}
    world = World()
    leads = [lead for lead in world.leads if lead.email]
    write(trial.folder / "reassign.xlsx")
    async with opened(browser, visitor) as seen:
        page = seen.page
        await page.get_by_label("Choose a workbook").set_input_files(trial.folder / "reassign.xlsx")
        await page.get_by_role("button", name="Read this sheet").click()
        await page.get_by_label("Activity type, its code or name").fill("Site visit")
        await page.get_by_role("button", name="Plan it").click()
        await page.get_by_text("292 leads will be shared").wait_for()
        await page.get_by_role("heading", name="Mistakes").wait_for()
        await approve(page, 292)
        await page.get_by_text("posted").first.wait_for()
        await page.get_by_role("button", name="Stop").click()
        await page.get_by_role("button", name="Go on with").click()
        await page.get_by_role("heading", name="292 of 300 rows are shared.").wait_for()

        await correct(page, "Contact E-mail", f"nobody-{TYPO}@example.com", leads[TYPO].email)
        await correct(page, "Assign To", "left.the.company@sales.example.com", active_users(world)[3].email)
        await correct(page, "Share Until", "end of March", f"31 March {YEAR}")
        await correct(page, "Access", "full", "write")
        await page.get_by_role("button", name="Correct and plan again").click()
        await page.get_by_text("4 leads will be shared").wait_for()
        await approve(page, 4)
        await page.get_by_role("heading", name="296 of 300 rows are shared.").wait_for()
        said = await page.get_by_role("main").inner_text()
        assert f"Row {WRONG_ACCESS + 6}, Access: corrected on the page from 'full' to 'write'" in said
        assert await page.get_by_label(re.compile(r"^Row \d+, Contact E-mail$")).count() == len(STAYS_WRONG)
        await seen.check("week-results")

        report = trial.sandbox.report()
        assert (report["activities"], report["duplicates"], trial.live()) == (296, 0, 296)
        assert "296 of 300 rows are shared" in (await downloaded(page, trial, "Report, to be sent")).read_text()
        book = openpyxl.load_workbook(await downloaded(page, trial, "Results as a workbook"))
        cells = {str(cell.value) for each in book for row in each for cell in row}
        assert any("296 of 300" in each for each in cells)
        assert {"end of March", "left.the.company@sales.example.com"}.isdisjoint(cells)

        await page.get_by_role("link", name="Who has access now").click()
        await page.get_by_role("heading", name="296 shares of 296 leads, with 7 people").wait_for()
        await page.go_back()
        await page.get_by_role("link", name="Undo: revoke shares").click()
        await page.get_by_label("Those of some rows").check()
        await page.get_by_label("Rows, such as").fill(f"{WRONG_DATE + 5}-{WRONG_DATE + 14}")
        await page.get_by_role("button", name="Show what it will do").click()
        await page.get_by_text("10 shares will be revoked").wait_for()
        await page.get_by_label("Revoke 10 shares. Access").check()
        await page.get_by_label("Type 10").fill("10")
        await page.get_by_role("button", name="Revoke 10 shares").click()
        await page.get_by_role("heading", name="286 of 300 rows are shared.").wait_for()
        assert trial.live() == 286
