"""What the page has besides sharing: its history and what may go of it, whether all is well, and the manual.

History is by run, the list of runs by sheet. What is deleted is what the command `purge` deletes, and the copy of
the sheet that was uploaded here.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from markdown_it import MarkdownIt
from markupsafe import Markup

from batch_share import BatchShare, NotConfirmed, Watcher
from batch_share.errors import BatchShareError, SettingsError
from batch_share.page import words
from batch_share.page.server import RUNS_ON_PAGE, Server, paged, sent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from importlib.resources.abc import Traversable

    from batch_share import KnownRun, Progress, Sweep, Verified
    from batch_share.page.shelf import Kept

MOST_PAST: Final = 10_000
"""Runs that history goes back, a few years of them: they are gone through in a fraction of a second."""

_LONGEST_NOTE: Final = 500  # characters: enough to say why, and no place for a list of people

_FIRST_READ: Final = ("page", "team", "sheets", "results", "shares")
"""The pages of the manual that whoever has this page wants first; the others follow by name."""


class Upkeep(Server):
    """The server with history, checks and the manual."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._trial: Trial | None = None
        self._swept: tuple[Sweep, int] | None = None
        self.app.add_routes(
            [
                web.get("/history", self.history),
                web.get("/history/purge", self.purge),
                web.post("/history/purge", self.delete),
                web.post("/r/{id:[0-9A-Za-z]+}/note", self.note),
                web.get("/verify", self.verify),
                web.post("/verify", self.begin_verify),
                web.get("/verify/file", self.verified_file),
                web.get("/manual", self.manual),
                web.get("/manual/{topic:[a-z]+}", self.manual),
            ]
        )

    async def drain(self) -> None:
        """As of every server; what a trial of the account has shared is revoked first."""
        if self._trial is not None and self._trial.work is not None:
            self._trial.work.cancel()
            await asyncio.wait((self._trial.work,))
        await super().drain()

    # ------------------------------------------------------------------------------------- what was

    async def history(self, request: web.Request) -> web.Response:
        """Every run of this machine, newest first: what it did, for whom, and how it ended."""
        wanted, which = (request.query.get(name, "").strip() for name in ("name", "which"))
        alert, past = None, []
        try:
            past = [*(await BatchShare(self._settings()).runs(MOST_PAST)).runs]
        except BatchShareError as error:
            alert = error
        kept = {str(each.ledger.resolved()): each for each in await asyncio.to_thread(self._shelf.all)}
        places = {run.ledger: str(run.ledger.resolved()) for run in past}
        lines = [self._entry(run, places[run.ledger], kept.get(places[run.ledger])) for run in past]
        if which:
            lines = [line for line in lines if line["kind"] == which]
        if wanted:
            lines = [line for line in lines if wanted.casefold() in line["said"].casefold()]
        begin, shown = paged(request, lines, RUNS_ON_PAGE)
        return self._page(
            request, "history.html", alert=alert, lines=shown, total=len(lines), begin=begin, size=RUNS_ON_PAGE,
            wanted=wanted, which=which, is_cut=len(past) == MOST_PAST,
        )  # fmt: skip

    def _entry(self, run: KnownRun, place: str, kept: Kept | None) -> dict[str, Any]:
        """What history says of a run."""
        desk = self._desks.get(place)
        goes_on = run.ended_at is None and (
            (desk is not None and desk.is_running)
            or (bool(run.ledger.size()) and BatchShare(self._settings()).in_use(run.ledger))
        )
        state, colour = words.how_it_stands(run, goes_on=goes_on, waits=False)
        name = kept.name if kept is not None else run.sheet or "(no sheet)"
        by = kept.prepared_by if kept is not None else ""
        approved = kept.approved_by if kept is not None else ""
        remark = kept.remark if kept is not None else ""
        return {
            "id": "" if run.purged_at or not run.ledger.size() else kept.id if kept is not None else run.id,
            "run": run.id, "name": name, "deed": words.deed_of(run.command), "state": state, "colour": colour,
            "kind": "purged" if run.purged_at else colour, "counts": words.spell_counts(run.counts or {}),
            "at": words.utc(run.started_at), "purged": run.purged_at and words.utc(run.purged_at),
            "by": by, "approved": approved, "remark": remark,
            "said": f"{name}\n{run.id}\n{by}\n{approved}\n{remark}",
        }  # fmt: skip

    async def note(self, request: web.Request) -> web.StreamResponse:
        """Keep what somebody wants to say of a sheet's runs; it is shown with them."""
        form, desk = await self._form(request), await self._desk(request)
        if desk.kept is not None:
            desk.kept.remark = " ".join(form.get("note", "").split())[:_LONGEST_NOTE]
            await asyncio.to_thread(desk.kept.note)
        return self._lead(f"/r/{desk.id}/results?noted=1#noted")

    # ------------------------------------------------------------------------------------- what may go

    async def purge(self, request: web.Request) -> web.Response:
        """What may be deleted of old runs, and what is kept, and why."""
        return await self._purge(request, request.query.get("older", "").strip())

    async def _purge(self, request: web.Request, older: str, alert: BatchShareError | None = None) -> web.Response:
        sweep, is_wrong = None, False
        try:
            sweep = await BatchShare(self._settings()).purge(older) if older else None
        except BatchShareError as error:
            alert, is_wrong = alert or error, isinstance(error, SettingsError)
        names = {each.ledger.resolved(): each.name for each in await asyncio.to_thread(self._shelf.all)}

        def called(ledger: Any) -> str:
            return names.get(ledger.resolved()) or ledger.short.removesuffix(".ledger.db")

        old = [(called(each.known.ledger), len(each.files)) for each in sweep.old] if sweep else []
        # What an error says of a place is nobody's business here.
        stays = (
            [(called(each.ledger), each.why if "/" not in each.why else "") for each in sweep.kept] if sweep else []
        )
        changed = sum(len(each.changed) for each in sweep.old) if sweep else 0
        return self._page(
            request, "purge.html", 200 if alert is None else 400, alert=alert, older=older, is_wrong=is_wrong,
            sweep=sweep, old=old, stays=stays, changed=changed, swept=self._swept,
        )  # fmt: skip

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """Delete what was shown: it takes the tick and the number."""
        form = await self._form(request)
        once, older, promised = form.get("once", ""), form.get("older", "").strip(), form.get("sheets", "")
        if once in self._once:
            return self._lead("/history/purge")
        library, wrong = BatchShare(self._settings()), ""
        sweep = await library.purge(older)
        if str(len(sweep.old)) != promised:
            wrong = "Nothing was deleted: what is old has changed since this page was shown. Look at it again."
        elif not form.get("sure"):
            wrong = "Nothing was deleted: tick the box first."
        elif form.get("typed", "").replace(",", "").strip() != promised:
            wrong = f"Nothing was deleted: type {promised}, the number of ledgers, to confirm."
        ledgers = sorted(str(each.known.ledger) for each in sweep.old)
        if wrong := wrong or self._waits_for_another(request, "purge", *ledgers):
            return await self._purge(request, older, NotConfirmed(wrong))
        self._once[once] = "/history/purge"
        done = await library.delete(sweep)
        self._swept = done, await asyncio.to_thread(self._drop_copies, sweep)
        return self._lead("/history/purge")

    def _drop_copies(self, sweep: Sweep) -> int:
        """Delete the uploaded copies of sheets whose ledgers are gone: nobody else would; how many."""
        gone, dropped = {each.known.ledger.resolved() for each in sweep.old if not each.known.ledger.exists()}, 0
        for kept in self._shelf.all():
            if kept.ledger.resolved() in gone and kept.sheet.exists():
                kept.sheet.unlink()
                dropped += 1
                self._desks.pop(str(kept.ledger.resolved()), None)
        return dropped

    # ------------------------------------------------------------------------------------- what the account does

    async def verify(self, request: web.Request) -> web.Response:
        """What is tried on the account, how far it is, and what it found."""
        return await self._verify(request, {})

    async def _verify(
        self, request: web.Request, typed: Mapping[str, str], alert: BatchShareError | None = None
    ) -> web.Response:
        trial, host, event, account, accounts = self._trial, "", "", None, list[str]()
        try:
            settings = self._settings()
            event, account, accounts = settings.event, settings.account, sorted(settings.accounts or ())
            if account or len(accounts) < 2:  # else it is said which
                host = settings.credentials()[0].partition("//")[2]
        except BatchShareError as error:
            alert = alert or error
        if trial is not None and not trial.goes_on:
            alert = alert or trial.error
        said = {"lead": "", "user": "", "event": event, "account": account or "", **typed}
        return self._page(
            request, "verify.html", 200 if alert is None or not typed else 400, alert=alert, trial=trial, said=said,
            host=host, accounts=accounts, wrong=alert.setting if isinstance(alert, SettingsError) else "",
        )  # fmt: skip

    async def begin_verify(self, request: web.Request) -> web.StreamResponse:
        """Try it, once that is agreed to."""
        form = await self._form(request)
        once = form.get("once", "")
        if once in self._once or (self._trial is not None and self._trial.goes_on):
            return self._lead("/verify", once)
        lead, user = form.get("lead", "").strip(), form.get("user", "").strip()
        try:
            if not (lead and user and form.get("event", "").strip()):
                raise NotConfirmed("Nothing was tried: name a lead, a user and the activity type.")
            if not form.get("sure"):
                raise NotConfirmed("Nothing was tried: tick the box first.")
            said = {"event": form["event"].strip()}
            said |= {"account": form["account"]} if form.get("account") else {}
            trial = Trial(lead, user)
            library = BatchShare(self._settings(**said), watcher=trial)
            library.verify_intent(lead, user)  # which says whether there are keys
            if wrong := self._waits_for_another(request, "verify", lead, user, *map(str, said.values())):
                raise NotConfirmed(wrong)
        except BatchShareError as error:
            return await self._verify(request, form, error)
        self._trial = trial
        trial.work = asyncio.create_task(trial.carry_out(library))
        return self._lead("/verify", once)

    async def verified_file(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002 - as of every page
        """What was found, as it can be sent to whoever helps: nobody's data is in it."""
        if self._trial is None or self._trial.found is None or self._trial.found.file is None:
            raise web.HTTPNotFound
        return await sent(self._trial.found.file, "verified.json")

    # ------------------------------------------------------------------------------------- the manual

    async def manual(self, request: web.Request) -> web.Response:
        """The manual's pages, or one of them."""
        topic, pages = request.match_info.get("topic", ""), _manual()
        if topic and topic not in pages:
            raise web.HTTPNotFound
        title, text = pages[topic] if topic else ("Manual", Markup())
        titles = {name: title for name, (title, _) in pages.items()}
        return self._page(request, "manual.html", topic=topic, title=title, text=text, titles=titles)


@dataclass(eq=False)
class Trial(Watcher):
    """A trial of the account on a lead and a user, begun `at` a time, and in the end what it `found`."""

    lead: str
    user: str
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    found: Verified | None = None
    error: BatchShareError | None = None
    work: asyncio.Task[None] | None = None
    progress: Callable[[], Progress] | None = None

    @property
    def goes_on(self) -> bool:
        """Whether it has not ended yet."""
        return self.work is not None and not self.work.done()

    def watch(
        self,
        progress: Callable[[], Progress],
        stop: Callable[[], None],  # noqa: ARG002 - it ends by itself, and revokes what it shared
    ) -> AbstractAsyncContextManager[None]:
        """Keep where to see how far it is."""
        self.progress = progress
        return nullcontext()

    async def carry_out(self, library: BatchShare) -> None:
        """Try everything, and revoke what was shared."""
        try:
            self.found = await library.verify(self.lead, self.user)
            self.error = self.found.error
        except BatchShareError as error:
            self.error = error


@cache
def _manual() -> dict[str, tuple[str, Markup]]:
    """The manual by topic: the title of each page, and its text; what is in them is ours alone."""
    there: Traversable = files("batch_share").joinpath("manual")
    texts = {file.name.removesuffix(".md"): file.read_text("utf-8") for file in there.iterdir()}
    order = [*(name for name in _FIRST_READ if name in texts), *sorted({*texts} - {*_FIRST_READ})]
    return {name: _rendered(texts[name]) for name in order if not name.startswith("_")}


def _rendered(text: str) -> tuple[str, Markup]:
    """The title of a page of Markdown, and the rest of it."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    title, *tokens = markdown.parse(re.sub(r"^<!-- .* -->\n", "", text, flags=re.MULTILINE))[1:]
    levels = [int(token.tag[1]) for token in tokens[1:] if token.type == "heading_open"]
    for at, token in enumerate(tokens):
        if token.type in {"heading_open", "heading_close"}:  # no level is left out, as screen readers want it
            token.tag = f"h{int(token.tag[1]) - min(levels, default=2) + 2}"
        if token.type == "heading_open":
            token.attrSet("id", re.sub(r"[^\w-]", "", tokens[at + 1].content.lower().replace(" ", "-")))
        elif token.type == "th_open":
            token.attrSet("scope", "col")
        for child in token.children or ():
            if child.type == "link_open":  # to another page of it
                child.attrSet("href", re.sub(r"^(\w+)\.md", r"/manual/\1", str(child.attrGet("href"))))
    return title.content.replace("`", ""), Markup(markdown.renderer.render(tokens[1:], markdown.options, {}))  # noqa: S704 - ours
