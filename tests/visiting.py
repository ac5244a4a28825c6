"""A visitor of the page without a browser: the page's server in this process, a sandbox, and forms as they are."""

from __future__ import annotations

import asyncio
import io
import re
from contextlib import asynccontextmanager
from html import unescape
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from ledgers import change_from_outside
from trial import UNCHANGED, Trial

from batch_share.page.changes import WholePage
from batch_share.page.door import Door, new_link
from batch_share.page.server import listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from batch_share.settings import Settings


on_both = pytest.mark.parametrize("its_store", ["file", "store"], indirect=True)
"""Of a test that is run with its ledgers in files, and in a store."""


class Visitor:
    """Somebody with a browser's cookies; `at` is the address of the server."""

    def __init__(self, server: WholePage, door: Door, trial: Trial, http: aiohttp.ClientSession) -> None:
        self.server, self.door, self.trial, self.http = server, door, trial, http
        self.origin = f"http://127.0.0.1:{door.port}"
        self.text, self.path, self.status = "", "", 0
        self.headers: Any = {}
        self.sends = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}

    async def get(self, path: str, **more: Any) -> str:
        """Open a page."""
        async with self.http.get(self.origin + path, **more) as answer:
            return await self._seen(answer)

    async def post(self, path: str, form: Any, headers: dict[str, str] | None = None) -> str:
        """Send a form as a browser does."""
        given = self.sends if headers is None else headers
        async with self.http.post(self.origin + path, data=form, headers=given) as answer:
            return await self._seen(answer)

    async def _seen(self, answer: aiohttp.ClientResponse) -> str:
        self.text = await answer.text(errors="replace")
        self.status, self.path, self.headers = answer.status, answer.url.path, answer.headers
        return self.text

    def link(self) -> str:
        """The token of a new link."""
        return new_link(self.server.folder)

    def sandbox_calls(self) -> int:
        """How many calls LeadSquared's stand-in has seen."""
        return int(self.trial.sandbox.report()["total_calls"])

    def alter(self, *statements: str, name: str = "", **values: Any) -> None:
        """Change what the ledgers of all sheets, or of those called so, say; and what is known of their runs."""
        for kept in self.server._shelf.all():
            if name in {"", kept.name}:
                change_from_outside(kept.ledger, *statements, **values)
        if self.trial.changes.get("store") is None:  # a store has no list of its ledgers besides
            of_runs = [each for each in statements if "UPDATE runs" in each]
            forgotten = "UPDATE ledgers SET mark = NULL, seen = NULL"
            change_from_outside(self.trial.folder / "data" / "history.db", *of_runs, forgotten, **values)

    async def enter(self) -> None:
        """Follow a new link."""
        await self.get(f"/enter?token={self.link()}")

    def form(self, action: str) -> dict[str, str]:
        """What the first form of this address on the page would send, with nothing changed in it."""
        inner, *_ = re.findall(rf'<form [^>]*action="{re.escape(action)}"[^>]*>(.*?)</form>', self.text, re.DOTALL)
        sent = {}
        for tag in re.findall(r"<input [^>]*>", inner):
            said = dict(re.findall(r'([a-z]+)="([^"]*)"', tag))
            if said.get("type") not in {"checkbox", "file"} and "name" in said:
                sent[said["name"]] = unescape(said.get("value", ""))
        for name, options in re.findall(r'<select [^>]*?name="([^"]+)".*?>(.*?)</select>', inner, re.DOTALL):
            for attributes, text in re.findall(r"<option([^>]*)>([^<]*)</option>", options):
                if "selected" in attributes or name not in sent:
                    value = re.search(r'value="([^"]*)"', attributes)
                    sent[name] = unescape(value[1] if value else text)
        return sent

    async def upload(self, content: bytes, name: str = "leads.csv", once: str | None = None) -> str:
        """Drop a sheet on the page."""
        return await self.send_sheet(content, name.encode(), **({"once": once} if once else {}))

    async def send_sheet(self, content: bytes, name: bytes, **more: str) -> str:
        """Drop a sheet whose name has any bytes, with other fields in the form."""
        await self.get("/")
        said = self.form("/sheets") | more
        head = b'Content-Disposition: form-data; name="'
        parts = [head + f'{each}"\r\n\r\n{value}'.encode() for each, value in said.items()]
        parts.append(head + b'sheet"; filename="' + name.replace(b'"', b"%22") + b'"\r\n\r\n' + content)
        form = b"".join(b"--the-end\r\n" + part + b"\r\n" for part in parts) + b"--the-end--\r\n"
        kind = {"Content-Type": "multipart/form-data; boundary=the-end"}
        return await self.post("/sheets", io.BytesIO(form), self.sends | kind)

    async def raw(self, request: bytes) -> bytes:
        """The answer to a request of these bytes."""
        reader, out = await asyncio.open_connection("127.0.0.1", self.door.port)
        out.write(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        answer = await reader.read()
        out.close()
        return answer

    @property
    def sheet(self) -> str:
        """The address of the sheet that is looked at: `/r/ID`."""
        return "/".join(self.path.split("/")[:3])

    async def plan(self, content: bytes, name: str = "leads.csv") -> str:
        """From dropping a sheet to its plan."""
        await self.upload(content, name)
        await self.post(f"{self.sheet}/columns", self.form(f"{self.sheet}/columns") | {"then": "plan"})
        return await self.ended("/plan", "Looking up leads")

    async def ended(self, path: str, going_on: str) -> str:
        """Load the page anew until it no longer says that this goes on."""
        async with asyncio.timeout(60):
            while going_on in await self.get(self.sheet + path):  # noqa: ASYNC110 - as people reload
                await asyncio.sleep(0.02)
        return self.text

    async def under_way(self, *words: str) -> str:
        """Load the page of a run that goes on anew until it says one of these."""
        async with asyncio.timeout(60):
            while True:
                await self.get(f"{self.sheet}/run")
                if any(each in self.text for each in words):
                    return self.text
                assert "How far it is" in self.text, f"it ended before anybody saw {words}"

    async def approve(self, **said: str) -> str:
        """Approve the plan on the page."""
        action = f"{self.sheet}/approve"
        return await self.post(action, self.form(action) | {"sure": "yes"} | said)

    async def results(self) -> str:
        """What the run has come to."""
        return await self.ended("", "How far it is")


@asynccontextmanager
async def shared_by_two(trial: Trial, content: bytes) -> AsyncIterator[Visitor]:
    """Where two people are wanted: asha has planned the sheet, and ravi, who looks at its results, approved it."""
    async with visiting(trial, two_people=True, origin="http://share.example", user_header="X-User") as visitor:
        visitor.http.headers.update({"X-User": "asha", "Host": "share.example"})
        visitor.sends = {"Origin": "http://share.example"}
        await visitor.plan(content)
        visitor.http.headers["X-User"] = "ravi"
        await visitor.get(f"{visitor.sheet}/plan")
        await visitor.approve()
        await visitor.results()
        yield visitor


@asynccontextmanager
async def visiting(trial: Trial, *, two_people: bool = False, **proxy: str) -> AsyncIterator[Visitor]:
    """A visitor of a server for the trial's account, who has followed its link."""

    def settings(**said: Any) -> Settings:
        return trial.settings(**{**UNCHANGED, **said})

    folder = trial.folder / "page"
    door = Door(folder, **proxy)
    store = trial.changes.get("store")
    server = WholePage(folder, door, settings, two_people=two_people, store=store)
    jar = aiohttp.CookieJar(unsafe=True)
    async with listening(server, 0), aiohttp.ClientSession(cookie_jar=jar) as http:
        visitor = Visitor(server, door, trial, http)
        if not proxy:
            await visitor.enter()
        yield visitor
