"""Chromium, as the system has it, in front of a page of this process."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import async_playwright
from trial import Trial, options
from visiting import visiting

from batch_share.common import Rate
from batch_share.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser
    from visiting import Visitor


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Chromium; as root it can't have its sandbox."""
    place = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    assert place, "there is no Chromium: `make browser` installs one as root; or name one in CHROMIUM"
    async with async_playwright() as playwright:
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = await playwright.chromium.launch(executable_path=place, args=root)
        yield chromium
        await chromium.close()


@pytest.fixture
async def trial(tmp_path: Path) -> AsyncIterator[Trial]:
    async with Sandbox(options(processing=0.05)) as sandbox:
        yield Trial(tmp_path, sandbox, {"rate": Rate(25, 1.0), "wait": 20.0})


@pytest.fixture
async def visitor(trial: Trial) -> AsyncIterator[Visitor]:
    async with visiting(trial) as visitor:
        yield visitor
