"""The page in a real browser: what a person does with it, and what it looks like then."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from browsing import opened
from trial import HEADER, sheet_rows

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser
    from trial import Trial
    from visiting import Visitor


def sheet(folder: Path, rows: int, wrong: int = 0) -> Path:
    """A sheet of so many rows, of which the first can't be sent."""
    lines = sheet_rows(rows)
    for line in lines[:wrong]:
        line[HEADER.index("Duration")] = "soon"
    out = io.StringIO()
    csv.writer(out).writerows([HEADER, *lines])
    file = folder / "new leads.csv"
    file.write_text(out.getvalue(), encoding="utf-8")
    return file


async def test_every_page_and_state_is_accessible_and_fits(
    browser: Browser, visitor: Visitor, trial: Trial
) -> None:
    async with opened(browser, visitor) as seen:
        page = seen.page
        await seen.check("1-runs-empty")
        await page.get_by_label("Choose a workbook or CSV file").set_input_files(sheet(trial.folder, 60, 3))
        await page.get_by_role("button", name="Read this sheet").click()
        await page.get_by_role("heading", name="Columns").wait_for()
        await seen.check("2-columns")
        await page.get_by_role("button", name="Plan it").click()
        await page.get_by_role("heading", name="What will happen").wait_for()
        await seen.check("3-plan")
        await page.get_by_label(re.compile("^Share 57 leads")).check()
        await page.get_by_label("Type 57").fill("57")
        await page.get_by_role("button", name="Share 57 leads").click()
        await page.get_by_role("heading", name="How far it is").wait_for()
        await page.get_by_text("posted").first.wait_for()
        await seen.check("4-sending")
        await page.get_by_role("heading", name="What became of it").wait_for()
        await page.get_by_role("heading", name="57 of 60 rows are shared.").wait_for()
        await seen.check("5-results")
        await page.get_by_role("link", name="All runs").click()
        await page.get_by_text("done, with rows to look at").wait_for()
        await seen.check("6-runs")
        await page.get_by_role("link", name="Settings").click()
        await page.get_by_role("heading", name="In force").wait_for()
        await seen.check("7-settings")
