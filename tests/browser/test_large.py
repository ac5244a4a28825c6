"""A sheet of 100,000 rows on the page of a server of its own: how long, how large, how much of a core and memory.

What is measured is the process of the server, as the system sees it; the rows are shared as slowly as the account
allows, so that there is time to look.
"""

from __future__ import annotations

import asyncio
import csv
import io
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp
from browsing import PATIENCE, environment
from trial import HEADER, Trial, options
from visiting import Visitor

from batch_share.common import Rate
from batch_share.sandbox import Sandbox
from batch_share.sandbox.sheets import active_users

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS: Final = 100_000
WRONG: Final = 10_000


class Process:
    """Another process, as the system tells of it."""

    def __init__(self, number: int) -> None:
        self._place = Path("/proc", str(number))

    def seconds(self) -> float:
        """Seconds of a core that it has had."""
        fields = (self._place / "stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self) -> float:
        """How much memory it has now."""
        return int((self._place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    async def share(self, seconds: float) -> float:
        """Which part of a core it takes meanwhile."""
        before, began = self.seconds(), time.monotonic()
        await asyncio.sleep(seconds)
        return (self.seconds() - before) / (time.monotonic() - began)


def sheet(sandbox: Sandbox) -> bytes:
    """A sheet of all leads, of which the first can't be sent."""
    users, out = active_users(sandbox.world), io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*HEADER, "Note"])
    for at, lead in enumerate(sandbox.world.leads):
        length = "soon" if at < WRONG else "7d"
        writer.writerow([lead.id, lead.number, users[at % len(users)].id, "read", length, 201, f"Note {at}"])
    return out.getvalue().encode()


async def test_a_hundred_thousand_rows(tmp_path: Path) -> None:
    fast = Rate(2000, 1.0)
    async with Sandbox(options(leads=ROWS, users=2000, rate=fast, bulk_rate=fast, processing=0.05)) as sandbox:
        trial = Trial(tmp_path, sandbox)
        command = [sys.executable, "-m", "batch_share", "serve", "--no-open", "--port", "0"]
        server = await asyncio.create_subprocess_exec(
            *command, "--folder", str(tmp_path / "page"), env=environment(trial), stdout=asyncio.subprocess.PIPE
        )
        try:
            assert server.stdout is not None
            link = (await server.stdout.readline()).decode().split()[1]
            await asyncio.wait_for(used(link, Process(server.pid), sheet(sandbox)), 900 * PATIENCE)
        finally:
            if server.returncode is None:
                server.send_signal(signal.SIGKILL)
                await server.wait()


async def used(link: str, process: Process, content: bytes) -> None:
    """What somebody does with it, who looks often."""
    jar, long = aiohttp.CookieJar(unsafe=True), aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=long) as http:
        visitor = Visitor.__new__(Visitor)  # of a server in another process
        visitor.http, visitor.origin = http, link.partition("/enter")[0]
        visitor.sends = {"Origin": visitor.origin, "Sec-Fetch-Site": "same-origin"}
        await visitor.get(link.removeprefix(visitor.origin))

        longest = [0.0]

        async def looking() -> None:
            """Somebody else has a page of the same server."""
            while True:
                began = time.monotonic()
                async with http.get(f"{visitor.origin}/settings") as answer:
                    await answer.read()
                longest[0] = max(longest[0], time.monotonic() - began)
                await asyncio.sleep(0.2)

        other = asyncio.create_task(looking())
        await planned(visitor, process, content)  # sheets and plans are gone through in threads
        told(f"another page meanwhile: after {longest[0]:.1f} s at the latest")
        assert longest[0] < 2 * PATIENCE
        longest[0] = 0
        await visitor.approve(typed="90000")
        while "</b> shared" not in await visitor.get(f"{visitor.sheet}/run"):  # noqa: ASYNC110 - as people reload
            await asyncio.sleep(0.5)
        told(f"taken in; another page meanwhile: after {longest[0]:.1f} s at the latest")
        other.cancel()
        await watched(visitor, process)


async def planned(visitor: Visitor, process: Process, content: bytes) -> None:
    """From the sheet to its plan."""
    began, before = time.monotonic(), process.seconds()
    await visitor.upload(content, "large.csv")
    took, of_core = time.monotonic() - began, process.seconds() - before
    told(f"columns page: {took:.1f} s, {of_core:.1f} s of a core, with the process that parses it")
    assert "10,000 rows can't be sent" in visitor.text
    assert of_core < 6
    assert took < 12 * PATIENCE, "on a machine that others use, too"
    assert len(visitor.text) < 50_000
    action = f"{visitor.sheet}/columns"
    began = time.monotonic()
    await visitor.get(action)
    assert time.monotonic() - began < 1 * PATIENCE, "it was read before"

    await visitor.post(action, visitor.form(action) | {"then": "plan"})
    while "Looking up leads" in await visitor.get(f"{visitor.sheet}/plan"):  # noqa: ASYNC110 - as people reload
        await asyncio.sleep(0.5)
    assert "90,000 leads will be shared with" in visitor.text
    sizes = [len(visitor.text), len(await visitor.get(f"{visitor.sheet}/plan?from=9000"))]
    told(f"plan page: {max(sizes) / 1000:.0f} KB")
    assert max(sizes) < 200_000


async def watched(visitor: Visitor, process: Process) -> None:
    """How far it is, by many who look."""
    alone = await process.share(10)
    streams = [asyncio.create_task(followed(visitor)) for _ in range(5)]
    by_all = await process.share(10)
    seen = [await each for each in streams]
    told(f"live page: {(by_all - alone) * 20:.1f} % of a core each, {seen[0]} snapshots in 10 s")
    assert (by_all - alone) / len(streams) < 0.05
    assert all(15 <= each <= 22 for each in seen) or PATIENCE > 1, seen

    await looked(visitor, 50)  # what is made once is there then
    first = process.megabytes()
    for _ in range(4):  # an hour's worth of a page that somebody loads every ten seconds
        await looked(visitor, 90)
    told(f"memory: {first:.0f} MB, after an hour of looking {process.megabytes():.0f} MB")
    assert process.megabytes() < first + 8


async def followed(visitor: Visitor) -> int:
    """How many snapshots come in ten seconds."""
    seen, ends = 0, time.monotonic() + 10
    async with visitor.http.get(f"{visitor.origin}{visitor.sheet}/live") as stream:
        async for line in stream.content:
            seen += line.startswith(b"id:")
            if time.monotonic() > ends:
                break
    return seen


async def looked(visitor: Visitor, times: int) -> None:
    """Load the pages of a run that goes on so often."""
    for _ in range(times):
        for path in ("/", f"{visitor.sheet}/run"):
            await visitor.get(path)


told = cast("Callable[[Any], None]", print)
"""What was measured is shown with `-s`, or where the test fails."""
