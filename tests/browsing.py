"""A real browser in front of the page: Chromium, as the system has it, driven by Playwright."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trial import KEY, SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, BrowserContext, Page
    from trial import Trial
    from visiting import Visitor

PICTURES: Final = Path(__file__).parent / "browser" / "pictures"
AXE: Final = Path(os.environ.get("AXE", Path(__file__).parent / "browser" / "axe" / "axe.min.js"))
"""Where `make browser` puts axe-core, which is MPL-2.0 and lies beside its licence; it is in no wheel."""

PATIENCE: Final = float(os.environ.get("PATIENCE", "1"))
"""How many times longer than it should anything may take: CI's machines are busy."""

_TAGS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def environment(trial: Trial) -> dict[str, str]:
    """What a command needs to share in the trial's account."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("BATCH_SHARE")}
    env |= {"BATCH_SHARE_HOST": trial.sandbox.url, "BATCH_SHARE_ACCESS_KEY": KEY, "BATCH_SHARE_SECRET_KEY": SECRET}
    env |= {"BATCH_SHARE_RATE": "25/1s", "BATCH_SHARE_GRACE": "0", "BATCH_SHARE_AUDIT_PAGES": "0"}
    return env | {
        f"BATCH_SHARE_{kind}_FOLDER": str(trial.folder / kind.lower()) for kind in ("STATE", "DATA", "LOG")
    }


class Seen:
    """A page in the browser, and all that went wrong in it: each is an error of the test at its end."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page, self.origin, self.wrong = page, origin, list[str]()
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        page.on("request", lambda asked: self._check(asked.url))

    def _check(self, url: str) -> None:
        if not url.startswith((self.origin, "data:")):
            self.wrong.append(f"a request to {url}")

    async def check(self, name: str) -> None:
        """No violation that axe knows, in light, dark and forced colours; nothing overflows; a picture of each.

        At 640 px it is what a window of 1,280 px shows at 200 %.
        """
        page = self.page
        PICTURES.mkdir(exist_ok=True)
        for scheme, width in (
            *((("light", width)) for width in (320, 390, 640, 1280, 1600)),
            ("dark", 390),
            ("dark", 1280),
        ):
            await page.emulate_media(color_scheme=scheme, forced_colors="none")
            await page.set_viewport_size({"width": width, "height": 900})
            wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{name} at {width} px is {wide} px too wide"
            await page.screenshot(path=PICTURES / f"{name}-{scheme}-{width}.png", full_page=True)
            if width in {390, 1280}:
                await self.check_axe(f"{name}, {scheme}, {width} px")
        await page.emulate_media(color_scheme="light", forced_colors="active")
        await self.check_axe(f"{name}, forced colours")
        await page.emulate_media(forced_colors="none")

    async def check_axe(self, where: str) -> None:
        """No violation that axe knows."""
        await self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found: Any = await self.page.evaluate(
            "tags => axe.run({runOnly: tags}).then(done => done.violations)", _TAGS
        )
        said = [f"{each['id']}: {each['nodes'][0]['html']} {each['nodes'][0]['failureSummary']}" for each in found]
        assert said == [], where


@asynccontextmanager
async def opened(browser: Browser, visitor: Visitor, **how: Any) -> AsyncIterator[Seen]:
    """A new browser that follows a new link."""
    context: BrowserContext = await browser.new_context(**how)
    context.set_default_timeout(60_000)
    page = await context.new_page()
    seen = Seen(page, visitor.origin)
    await page.goto(f"{visitor.origin}/enter?token={visitor.link()}")
    yield seen
    assert seen.wrong == []
    await context.close()
