"""In a real browser: cells corrected where they are told as wrong, shares undone, and who has access."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from browsing import opened
from trial import HEADER, sheet_rows

from batch_share.common import Rate

if TYPE_CHECKING:
    from playwright.async_api import Browser
    from trial import Trial
    from visiting import Visitor

OWNER, DURATION, ACCESS = map(HEADER.index, ("User Id", "Duration", "Access"))
NOBODY = "ffffffff-0000-4000-8000-000000000000"


def sheet(rows: int = 12, users: int = 3) -> bytes:
    """A sheet of which three rows are wrong, with so many users."""
    lines = sheet_rows(rows)
    for at, line in enumerate(lines):
        line[OWNER] = lines[at % users][OWNER]
    lines[0][DURATION], lines[1][ACCESS], lines[2][OWNER] = "a fortnight", "full", NOBODY
    out = io.StringIO()
    csv.writer(out).writerows([HEADER, *lines])
    return out.getvalue().encode()


async def test_cells_are_corrected_and_there_is_one_number(
    browser: Browser, visitor: Visitor, trial: Trial
) -> None:
    owner = sheet_rows(3)[2][OWNER]
    async with opened(browser, visitor) as seen:
        page = seen.page
        await visitor.plan(sheet(), "to be corrected.csv")
        await page.goto(visitor.origin + visitor.path)
        await page.get_by_text("9 leads will be shared").wait_for()
        await seen.check("r-plan-with-mistakes")
        await page.get_by_label("Row 2, Duration").fill("14d")
        await page.get_by_label("Row 3, Access").fill("wrote")
        await page.get_by_role("button", name="Correct and plan again").click()
        await page.get_by_text("10 leads will be shared").wait_for()
        await page.get_by_text("2 rows as corrected on the page").wait_for()
        await seen.check("s-plan-corrected")
        await page.get_by_role("button", name="Take back the correction of row 3, Access").click()
        await page.get_by_text("1 row as corrected on the page").wait_for()
        await page.get_by_label("Share 10 leads in").check()
        await page.get_by_role("button", name="Share 10 leads").click()
        await page.get_by_role("heading", name="10 of 12 rows are shared.").wait_for()
        await seen.check("t-results-to-correct")
        await page.get_by_label("Row 3, Access").fill("write")
        await page.get_by_label("Row 4, User Id").fill(owner)
        await page.get_by_label("Row 4, User Id").press("Enter")
        await page.get_by_text("2 leads will be shared").wait_for()
        await page.get_by_role("link", name="Back to the results").click()
        await page.get_by_role("link", name="Look at the plan").wait_for()
        await seen.check("u-results-with-a-plan")
        await page.get_by_role("link", name="Look at the plan").click()
        await page.get_by_label("Share 2 leads in").check()
        await page.get_by_role("button", name="Share 2 leads").click()
        await page.get_by_role("heading", name="All 12 rows are shared.").wait_for()
        await page.get_by_text("Row 4, User Id: corrected on the page from").wait_for()
        await seen.check("v-results-corrected")
        reported = trial.sandbox.report()
        assert (reported["activities"], reported["duplicates"], trial.live()) == (12, 0, 12)


async def test_the_shares_of_one_user_are_undone_and_all_others_stay(
    browser: Browser, visitor: Visitor, trial: Trial
) -> None:
    content = sheet(42).replace(b"a fortnight", b"7d").replace(b"full", b"read")
    content = content.replace(NOBODY.encode(), sheet_rows(3)[2][OWNER].encode())
    async with opened(browser, visitor) as seen:
        page = seen.page
        await visitor.plan(content, "to be undone.csv")
        await visitor.approve()
        await visitor.results()
        await page.goto(visitor.origin + visitor.path)
        await page.get_by_role("link", name="Who has access now").click()
        await page.get_by_role("heading", name="42 shares of 42 leads, with 3 people").wait_for()
        await seen.check("w-access")
        await page.locator("tbody a").first.click()
        await page.get_by_role("heading", name="14 shares of 14 leads, with 1 person").wait_for()
        await seen.check("w-access-of-one")
        await page.goto(visitor.origin + visitor.sheet)
        await page.get_by_role("link", name="Undo: revoke shares").click()
        await page.get_by_text("42 shares of 3 people can be revoked.").wait_for()
        await seen.check("x-undo")
        await page.get_by_role("button", name="Show what it will do").click()
        await page.get_by_role("alert").wait_for()
        seen.wrong.clear()  # the browser says that it was refused
        await page.get_by_label("Rows, such as").fill("nothing")
        assert await page.get_by_label("Those of some rows").is_checked()
        await page.get_by_role("button", name="Show what it will do").click()
        await page.get_by_role("alert").wait_for()
        await seen.check("x-undo-of-no-rows")
        seen.wrong.clear()  # the browser says that it was refused
        theirs = await page.get_by_label("Person").locator("option").nth(1).get_attribute("value")
        await page.get_by_label("Person", exact=True).select_option(theirs)
        assert await page.get_by_label("Those of one person").is_checked()
        await page.get_by_role("button", name="Show what it will do").click()
        await page.get_by_text("14 shares will be revoked from 1 person.").wait_for()
        await seen.check("x-undo-of-one")
        await page.get_by_role("button", name="Revoke 14 shares").click()
        assert "/undo" in page.url, "the browser wants the tick"
        await page.get_by_label("Revoke 14 shares. Access").check()
        await page.get_by_label("Type 14").fill("14")
        trial.changes["rate"] = Rate(1, 1.0)  # slow enough to be looked at
        await page.get_by_role("button", name="Revoke 14 shares").dblclick()
        await page.get_by_text("Undo: revoking shares").wait_for()
        await seen.check("y-revoking")
        await page.get_by_role("heading", name="28 of 42 rows are shared.").wait_for()
        await seen.check("z-undone")
        stand = trial.sandbox.report()["live_shares"]["shares"]
        assert len(stand) == 28
        assert theirs not in {each["user"] for each in stand}
        assert trial.sandbox.report()["activities"] == 42
        await page.get_by_role("link", name="Undo: revoke shares").click()
        await page.get_by_text("28 shares of 2 people can be revoked.").wait_for()
