"""The page in a real browser: what a person does with it, and what it looks like then."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import re
import shutil
import signal
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from browsing import PATIENCE, environment, opened
from hostile import wide
from openpyxl import load_workbook
from trial import FAST, HEADER, options, sheet_rows
from visiting import visiting

from batch_share.page.desk import Desk
from batch_share.sandbox import Sandbox
from batch_share.sending import calls

if TYPE_CHECKING:
    import pytest
    from playwright.async_api import Browser, Page
    from trial import Trial
    from visiting import Visitor

SAMPLES: Final = Path(__file__).parents[2] / "samples"


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
        await page.get_by_label("Choose a workbook").set_input_files(sheet(trial.folder, 60, 3))
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


async def focused(page: Page, name: str) -> None:
    """Go on with the Tab key until what has the focus is called so."""
    for _ in range(60):
        await page.keyboard.press("Tab")
        said = await page.evaluate(
            "(({labels, textContent}) => [...(labels || [])].map(each => each.textContent).join() || textContent)"
            "(document.activeElement)"
        )
        if name in said:
            return
    raise AssertionError(f"no {name!r} within 60 presses of Tab")


async def test_the_keyboard_alone_leads_to_the_results(browser: Browser, visitor: Visitor, trial: Trial) -> None:
    trial.changes |= {"event": "201", "duration": "7d", "rate": FAST}
    async with opened(browser, visitor) as seen:
        page = seen.page
        await page.get_by_role("heading", name="A new sheet").wait_for()
        await focused(page, "Choose a workbook")
        async with page.expect_file_chooser() as chooser:
            await page.keyboard.press("Space")
        await (await chooser.value).set_files(SAMPLES / "leads.xlsx")
        await focused(page, "Read this sheet")
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="Columns").wait_for()
        assert await page.evaluate("document.activeElement.tagName") == "H1"  # a new step is read from its top
        await focused(page, "Plan it")
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="Approve").wait_for()
        await focused(page, "Share 37 leads in")
        await page.keyboard.press("Space")
        await focused(page, "Share 37 leads")
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="37 of 40 rows are shared.").wait_for()
        await focused(page, "Results as a workbook")
        async with page.expect_download() as download:
            await page.keyboard.press("Enter")
        await (await download.value).save_as(mine := trial.folder / "mine.xlsx")
    assert cells(mine) == cells(await run_by_command(trial))


async def run_by_command(trial: Trial) -> Path:
    """The workbook that `batch-share run` writes of the same sheet, in an account as the other one was."""
    folder = trial.folder / "by command"
    folder.mkdir()
    shutil.copy(SAMPLES / "leads.xlsx", folder)
    async with Sandbox(options(processing=0.05)) as sandbox:
        env = environment(replace(trial, sandbox=sandbox, folder=folder))
        env |= {"BATCH_SHARE_EVENT": "201", "BATCH_SHARE_DURATION": "7d"}
        command = [sys.executable, "-m", "batch_share", "run", "leads.xlsx", "--yes"]
        ran = await asyncio.create_subprocess_exec(
            *command, env=env, cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        assert await ran.wait() == 3  # some rows can't be sent
    return folder / "leads.results.xlsx"


def cells(file: Path) -> dict[str, list[list[str]]]:
    """What stands in a workbook, but for what is of one run: Ids, times, and where its files are."""
    one = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}|\d{4}-\d\d-\d\d \d\d:\d\d\S*|\d+ \w{3} 20\d\d.*")
    return {
        page.title: [[one.sub("…", str(cell)) for cell in row] for row in page.values]
        for page in load_workbook(file)
        if page.title not in {"Summary", "Runs"}
    }


async def test_two_clicks_two_tabs_and_going_back_are_one_run(
    browser: Browser, visitor: Visitor, trial: Trial
) -> None:
    async with opened(browser, visitor) as seen:
        page = seen.page
        await planned(page, sheet(trial.folder, 6))
        other = await page.context.new_page()
        await other.goto(page.url)
        for each in (page, other):
            await each.get_by_label("Share 6 leads in").check()
        await page.get_by_role("button", name="Share 6 leads").dblclick()
        await other.get_by_role("button", name="Share 6 leads").click()
        for each in (page, other):
            await each.get_by_role("heading", name="All 6 rows are shared.").wait_for()
        await page.go_back()
        await page.get_by_role("heading", name="All 6 rows are shared.").wait_for()
        reported = trial.sandbox.report()
        assert (reported["activities"], reported["duplicates"]) == (6, 0)


async def test_a_sheet_that_changed_after_its_plan_is_not_sent(
    browser: Browser, visitor: Visitor, trial: Trial
) -> None:
    async with opened(browser, visitor) as seen:
        await planned(seen.page, sheet(trial.folder, 6))
        (kept,) = (trial.folder / "page").glob("*/new leads.csv")
        kept.write_bytes(sheet(trial.folder, 5).read_bytes())
        await seen.page.get_by_label("Share 6 leads in").check()
        await seen.page.get_by_role("button", name="Share 6 leads").click()
        await seen.page.get_by_role("alert").get_by_text("changed since the plan was approved").wait_for()
        assert trial.sandbox.report()["activities"] == 0


async def test_a_run_needs_no_browser_and_a_broken_stream_comes_back(
    browser: Browser, visitor: Visitor, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = list[float]()
    changes = Desk.changes

    async def breaking(desk: Desk) -> None:
        if not broken:
            broken.append(time.monotonic())
            raise ConnectionError
        await changes(desk)

    async with opened(browser, visitor) as seen:
        await planned(seen.page, sheet(trial.folder, 60))
        monkeypatch.setattr(Desk, "changes", breaking)
        await approved(seen.page, 60)
        await seen.page.get_by_text("The page has lost its connection").wait_for()
        await seen.page.get_by_text("The page has lost its connection").wait_for(state="hidden")
        assert time.monotonic() - broken[0] < 5 * PATIENCE
        where = seen.page.url
        await far(seen.page, 30)
        seen.wrong.clear()  # the browser says that the stream broke
    async with opened(browser, visitor) as seen:
        await seen.page.goto(where)
        await seen.page.get_by_role("heading", name="All 60 rows are shared.").wait_for()


async def test_an_outage_of_twenty_seconds_is_told_and_the_run_goes_on_after_it(
    browser: Browser, visitor: Visitor, trial: Trial
) -> None:
    async with opened(browser, visitor) as seen:
        await planned(seen.page, sheet(trial.folder, 60))
        await approved(seen.page, 60)
        await seen.page.get_by_text("posted").first.wait_for()
        assert trial.sandbox._listener is not None
        trial.sandbox._listener.leave(20)
        began = time.monotonic()
        await seen.page.get_by_text("LeadSquared can't be reached").wait_for()
        assert time.monotonic() - began < 3 * PATIENCE
        await seen.check("8-outage")
        await seen.page.get_by_role("heading", name="All 60 rows are shared.").wait_for(timeout=120_000)
        assert trial.sandbox.report()["duplicates"] == 0


async def test_an_outage_for_good_ends_with_what_to_do(
    browser: Browser, visitor: Visitor, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "CONNECT_TRIES", 2)  # as after minutes
    async with opened(browser, visitor) as seen:
        await planned(seen.page, sheet(trial.folder, 60))
        await approved(seen.page, 60)
        await seen.page.get_by_text("posted").first.wait_for()
        assert trial.sandbox._listener is not None
        trial.sandbox._listener.leave(15)
        alert = seen.page.get_by_role("alert")
        await alert.get_by_text("could not be reached").or_(alert.get_by_text("can't be reached")).wait_for()
        await seen.check("8-outage-for-good")
        assert "`" not in await alert.inner_text()
        await asyncio.sleep(15)
        await seen.page.get_by_role("button", name="Go on with").click()
        await seen.page.get_by_role("heading", name="All 60 rows are shared.").wait_for()
        assert trial.sandbox.report()["duplicates"] == 0


async def test_stop_ends_in_good_order_and_go_on_finishes(browser: Browser, visitor: Visitor, trial: Trial) -> None:
    async with opened(browser, visitor) as seen:
        page = seen.page
        await planned(page, sheet(trial.folder, 60))
        await approved(page, 60)
        await page.get_by_text("posted").first.wait_for()
        began = time.monotonic()
        await page.get_by_role("button", name="Stop").click()
        told = page.get_by_role("heading", name="What to do next").or_(
            page.locator("#live").get_by_text("Stopping:")
        )
        await told.wait_for()
        assert time.monotonic() - began < 1 * PATIENCE
        await page.get_by_role("heading", name="What to do next").wait_for()
        assert time.monotonic() - began < 10 * PATIENCE
        await seen.check("9-stopped")
        counts = [int(each) for each in await page.locator(".legend b").all_inner_texts()]
        assert sum(counts) == 60
        await page.get_by_role("button", name="Go on with").click()
        await page.get_by_role("heading", name="All 60 rows are shared.").wait_for()
        assert trial.sandbox.report()["duplicates"] == 0


async def test_nothing_of_a_sheet_is_executed_and_nobody_frames_the_page(
    browser: Browser, visitor: Visitor, trial: Trial
) -> None:
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    content = sheet(trial.folder, 3).read_text().replace("\n", f",{evil}\n").replace("7d", evil, 1)
    async with opened(browser, visitor) as seen:
        page = seen.page
        page.on("dialog", lambda dialog: seen.wrong.append(dialog.message))
        for name in (f"{evil}.csv", "../../x.csv"):
            await page.goto(visitor.origin)
            sent: Any = {"name": name, "mimeType": "text/csv", "buffer": content.encode()}
            await page.get_by_label("Choose a workbook").set_input_files(sent)
            await page.get_by_role("button", name="Read this sheet").click()
            await page.get_by_role("heading", name="Columns").wait_for()
            found = page.locator("img, script:not([src])")
            assert [await each.evaluate("each => each.outerHTML") for each in await found.all()] == []
        before = visitor.sandbox_calls()
        stranger = await page.context.new_page()
        await stranger.route("http://evil.example/", lambda route: route.fulfill(
            body=f"<iframe src='{visitor.origin}/'></iframe><img src='{page.url}/../approve'>"
            f"<form method=post action='{page.url}/../plan'><button>Go</button></form>", content_type="text/html"
        ))  # fmt: skip
        await stranger.goto("http://evil.example/")
        assert await stranger.frames[1].get_by_text("batch_share").count() == 0  # it is in every page of ours
        await stranger.get_by_role("button", name="Go").click()
        await stranger.get_by_text("nothing was done").or_(stranger.get_by_text("Open the link")).wait_for()
        assert visitor.sandbox_calls() == before


async def test_without_scripts_loading_the_pages_again_does_it_all(
    browser: Browser, visitor: Visitor, trial: Trial
) -> None:
    async with opened(browser, visitor, java_script_enabled=False) as seen:
        page = seen.page
        await page.get_by_label("Choose a workbook").set_input_files(sheet(trial.folder, 30))
        await page.get_by_role("button", name="Read this sheet").click()
        await page.get_by_role("button", name="Plan it").click()
        await page.get_by_role("heading", name="What will happen").wait_for()  # by itself, after five seconds
        await approved(page, 30)
        await page.get_by_role("heading", name="All 30 rows are shared.").wait_for()


async def test_two_servers_share_no_login(browser: Browser, visitor: Visitor, trial: Trial) -> None:
    async with opened(browser, visitor) as seen, visiting(replace(trial, folder=trial.folder / "other")) as other:
        await seen.page.goto(other.origin)
        await seen.page.get_by_role("heading", name="That is not possible").wait_for()
        await seen.page.goto(f"{other.origin}/enter?token={other.link()}")
        await seen.page.goto(visitor.origin)
        await seen.page.get_by_role("heading", name="Share leads from a sheet").wait_for()
        seen.wrong.clear()  # it is asked for another server's pages here


async def test_links_from_elsewhere_lead_in_and_a_login_at_another_site_too(
    browser: Browser, visitor: Visitor
) -> None:
    async with opened(browser, visitor) as seen:
        page, proxied = seen.page, visitor.origin.replace("127.0.0.1", "localhost")

        async def follow(link: str) -> None:
            body = f"<a href='{link}'>Go</a>"
            await page.route(
                "http://mail.example/", lambda route: route.fulfill(body=body, content_type="text/html")
            )
            await page.goto("http://mail.example/")
            await page.get_by_role("link", name="Go").click()
            await page.get_by_role("heading", name="Settings").wait_for()
            await page.unroute("http://mail.example/")

        await follow(f"{visitor.origin}/settings")  # a Strict cookie stays behind on that way
        visitor.door._origin = proxied
        await follow(f"{proxied}/settings")  # who comes from a proxy's login has no cookie yet
        seen.wrong.clear()  # it saw another site's page


async def test_parts_of_pages_are_read_anew_without_loading_the_page(
    browser: Browser, visitor: Visitor, trial: Trial
) -> None:
    async with opened(browser, visitor) as seen:
        page = seen.page
        file = sheet(trial.folder, 250, 130)
        for _ in range(21):  # from there on they can be filtered
            await visitor.enter()
            await visitor.upload(b"Lead Number,User Id\n1,2\n", "another.csv")
        await page.get_by_label("Choose a workbook").set_input_files(file)
        await page.get_by_role("button", name="Read this sheet").click()
        await page.evaluate("document.body.dataset.first = 'yes'")
        await page.get_by_label("What column Duration holds").select_option("(not read)")
        await page.get_by_text("has no column for Duration").wait_for()
        await page.get_by_label("What column Duration holds").select_option("Duration")
        await page.get_by_text("130 rows can't be sent").wait_for()
        await page.get_by_role("button", name="Plan it").press("Tab")
        assert await page.evaluate("document.body.dataset.first") == "yes"
        await page.get_by_role("button", name="Plan it").click()
        await page.get_by_role("heading", name="Approve").wait_for()
        await page.evaluate("document.body.dataset.first = 'yes'")
        await page.get_by_role("link", name="Next ones").click()
        await page.get_by_text("101 to 130 of 130").wait_for()
        assert await page.evaluate("document.body.dataset.first") == "yes"
        assert page.url.endswith("?from=100")
        await page.go_back()
        await page.get_by_text("1 to 100 of 130").wait_for()
        await approved(page, 120)
        await page.get_by_text("posted").first.wait_for()
        await page.get_by_role("link", name="Runs").click()
        await page.get_by_text("going on").wait_for()
        await page.evaluate("document.body.dataset.first = 'yes'")
        await page.get_by_text("done, with rows to look at").wait_for()  # by itself
        await page.get_by_label("Name of the sheet").press_sequentially("new")
        await page.get_by_text("another.csv").first.wait_for(state="hidden")
        await page.get_by_role("link", name="new leads.csv").wait_for()
        assert page.url.endswith("name=new")
        await page.get_by_label("Name of the sheet").press_sequentially("er")
        await page.get_by_text("No sheet is called so.").wait_for()
        assert await page.evaluate("document.body.dataset.first") == "yes"


async def far(page: Page, percent: int) -> None:
    """Wait until a run is as far as that; the title says so."""
    await page.get_by_text(re.compile(rf"\b({'|'.join(map(str, range(percent, 101)))}) % done")).wait_for()


async def planned(page: Page, file: Path) -> None:
    """From a sheet to its plan."""
    await page.get_by_label("Choose a workbook").set_input_files(file)
    await page.get_by_role("button", name="Read this sheet").click()
    await page.get_by_role("button", name="Plan it").click()
    await page.get_by_role("heading", name="Approve").wait_for()


async def approved(page: Page, leads: int) -> None:
    """Approve it."""
    await page.get_by_label(f"Share {leads} leads in").check()
    if leads > 50:
        await page.get_by_label(f"Type {leads}").fill(str(leads))
    await page.get_by_role("button", name=f"Share {leads} leads").click()


async def test_a_server_that_was_killed_shows_the_run_as_interrupted(browser: Browser, trial: Trial) -> None:
    folder = trial.folder / "killed"
    env = environment(trial)
    command = [sys.executable, "-m", "batch_share", "serve", "--no-open", "--port", "0", "--folder", str(folder)]

    async def serving() -> tuple[asyncio.subprocess.Process, str]:
        server = await asyncio.create_subprocess_exec(*command, env=env, stdout=asyncio.subprocess.PIPE)
        assert server.stdout is not None
        return server, (await server.stdout.readline()).decode().split()[1]

    server, link = await serving()
    page = await browser.new_page()
    try:
        await page.goto(link)
        await planned(page, sheet(trial.folder, 60))
        await approved(page, 60)
        await far(page, 30)
        server.kill()
        await server.wait()
        await page.get_by_text("The page has lost its connection").wait_for()
        server, link = await serving()
        await page.goto(link)
        await page.get_by_text("interrupted").wait_for()
        calls = trial.sandbox.report()["total_calls"]
        await page.get_by_role("link", name="new leads.csv").click()
        await page.get_by_text("The run was interrupted. It does not go on by itself").wait_for()
        assert trial.sandbox.report()["total_calls"] == calls
        await page.get_by_role("button", name="Go on").click()
        await page.get_by_role("heading", name="All 60 rows are shared.").wait_for()
        assert trial.sandbox.report()["duplicates"] == 0
        assert trial.live() == 60
        server.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(server.wait(), 10) == 0
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


async def test_sheets_that_are_too_large_or_bombs_are_refused_in_a_sentence(
    browser: Browser, visitor: Visitor, trial: Trial
) -> None:
    large = trial.folder / "large.csv"
    with large.open("wb") as out:
        out.truncate(300 << 20)
    bomb = trial.folder / "bomb.xlsx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("xl/worksheets/sheet1.xml", b" " * (250 << 20))
    async with opened(browser, visitor) as seen:
        page = seen.page
        for file, said in (
            (large, "larger than 200 MB"),
            (bomb, "unpacks to 1,029 times its size"),
            (
                wide(trial.folder / "wide.xlsx"),
                "has no column for Duration",
            ),  # read in little memory, and then told
        ):
            began, before = time.monotonic(), memory()
            await page.goto(visitor.origin)
            await page.get_by_label("Choose a workbook").set_input_files(file)
            await page.get_by_role("button", name="Read this sheet").click()
            await page.get_by_role("alert").get_by_text(said).wait_for()
            assert time.monotonic() - began < 20 * PATIENCE
            assert memory() - before < 100 << 20  # it is parsed elsewhere, and what is too large is not even kept
        seen.wrong.clear()  # the browser says that it was refused


def memory() -> int:
    """Bytes of memory that this process, the server, has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
