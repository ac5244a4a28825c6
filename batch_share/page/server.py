"""What the page answers to a browser: each address with what it shows, each form with what it does.

Every page can be reloaded and kept as a bookmark; what it shows is read anew each time. A form brings a number that
is good once: whoever sends it again is led to what it did the first time.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import quote

from aiohttp import BodyPartReader, web
from filelock import FileLock, Timeout
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from batch_share import BatchShare, NotConfirmed, State, __version__
from batch_share.common import plural
from batch_share.errors import BatchShareError, SettingsError, SheetError, first_of
from batch_share.logs import log
from batch_share.outputs import private
from batch_share.page import words
from batch_share.page.desk import DEEDS, Desk, handed_over
from batch_share.page.door import HEADERS, Door, Refused, new_link, note_server, server_of
from batch_share.page.shelf import Kept, Shelf
from batch_share.results.wording import at_rest, headline, others, spell_corrections, spell_guards

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from pydantic import SecretStr

    from batch_share import KnownRun, Settings
    from batch_share.cluster.queue import QueuedJob

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

T = TypeVar("T")

RUNS_ON_PAGE: Final = 50
ROWS_ON_PAGE: Final = 100
"""As many as a person reads, and little enough for a telephone."""

_COUNTED_AT_ONCE: Final = 5000
"""Rows up to which results are counted by user without being asked: 50,000 take two seconds, these a blink."""

TYPED_ABOVE: Final = 50
"""Rows above which the number is typed, and not only ticked: as the command asks for above so many."""

RENEWED_AHEAD: Final = "7d"
"""What ends within this time is renewed by the page: as far ahead as results say what ends soon."""

_MOST_RUNS: Final = 1000
_TROUBLED: Final = (State.FAILED, State.UNKNOWN, State.INVALID)
_STANDS_STILL: Final = 60.0
"""Seconds after which an upload of which nothing more comes is given up: a telephone may be in a tunnel for one."""

MOST_CONNECTIONS: Final = 200
"""At once, of all browsers: a process may have but so many files open, often 1,024, and runs need some."""

_IDLE: Final = 20.0
"""Seconds after which a connection is closed that asks for nothing, or does so in too small pieces."""

_SPEAKS: Final = 10.0
"""Seconds between two sentences for those who listen to the page."""

_KEEP_ALIVE: Final = 15.0
"""Seconds after which a stream says that it is there: some proxies end what is silent for half a minute."""

_FIELDS: Final = (
    "Lead Id", "Lead Number", "Lead Email", "Lead Phone", "User Id", "User Email", "Sales User", "Access",
    "Duration", "Days", "Until", "Start", "Note", "Activity Event", "Action",
)  # fmt: skip
_KINDS: Final = {".css": "text/css", ".js": "text/javascript", ".csv": "text/csv"}
_SAID: Final = ("event", "duration", "access", "note", "dates")
"""The settings that can be said for one sheet."""


_OF_THE_MACHINE: Final = frozenset({".env", "folder", "free space", "proxy", "state folder", "versions"})
"""What a check of the settings looks at, and names by paths and addresses."""

_MOST_WANTED: Final = 100
"""Confirmations that wait for the second person: more are of somebody who plays with the forms."""


class Server:
    """The page of a `folder`, behind a `door`. `settings` makes those in force, with what is said for a sheet.

    With `two_people`, who approves a plan must be another one than who prepared it. Ledgers of what is dropped
    here are in the `store`, if there is one.
    """

    def __init__(
        self,
        folder: Path,
        door: Door,
        settings: Callable[..., Settings],
        *,
        two_people: bool = False,
        store: SecretStr | None = None,
    ) -> None:
        self.door, self._settings, self._two_people = door, settings, two_people
        self.folder, self._shelf, self._desks = folder, Shelf(folder, store), dict[str, Desk]()
        self._store = store
        self._once, self._uploading = dict[str, str](), asyncio.Lock()
        self._wanted = dict[tuple[str, ...], str]()  # what one of two people has confirmed, and who that is
        self._is_closing = False
        self._static = _static_files()
        self._templates = Environment(
            loader=ChoiceLoader([PackageLoader("batch_share.page"), PackageLoader("batch_share.results")]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
        )
        self._templates.globals |= {"static": {name: f"/static/{path}" for path, (name, _) in self._static.items()}}
        self._templates.globals |= {"version": __version__, "plural": plural, "words": words}
        self._templates.globals |= {"in_store": store is not None}  # all that share it see the same runs
        self.app = web.Application(middlewares=[self._guarded])
        self.app.on_response_prepare.append(_add_headers)
        self.app.on_shutdown.append(lambda _: self.drain())
        one = "/r/{id:[0-9A-Za-z]+}"
        self.app.add_routes(
            [
                web.get("/", self.runs),
                web.get("/enter", self.enter),
                web.get("/settings", self.settings_page),
                web.get("/static/{file}", self.static),
                web.post("/sheets", self.upload),
                web.get(one, self.where),
                web.get(f"{one}/columns", self.columns),
                web.post(f"{one}/columns", self.say),
                web.get(f"{one}/plan", self.plan),
                web.post(f"{one}/plan", self.begin_plan),
                web.post(f"{one}/approve", self.approve),
                web.get(f"{one}/run", self.run),
                web.get(f"{one}/live", self.live),
                web.post(f"{one}/do", self.do),
                web.get(f"{one}/results", self.results),
                web.get(f"{one}/files/{{file}}", self.download),
            ]
        )

    # ------------------------------------------------------------------------------------- coming in

    async def drain(self) -> None:
        """Stop all that goes on, in good order, and wait for that; whoever cancels this cuts it off."""
        self._is_closing = True
        for desk in self._desks.values():
            desk.drain()
        try:
            await asyncio.gather(*(desk.over() for desk in self._desks.values()))
        except asyncio.CancelledError:
            for desk in self._desks.values():
                desk.cut()
            await asyncio.gather(*(desk.over() for desk in self._desks.values()))
            raise

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        here = "/" + request.path_qs.lstrip("/\\")  # two of them would begin another host's name
        try:
            self.door.check(request)
            is_open = request.path == "/enter" or request.path.startswith("/static/")
            if not is_open and self.door.is_led_here(request):
                return self._page(request, "again.html", to=here)
            if not is_open and (session := self.door.check_in(request)):
                again = self._lead(here)
                self.door.give(session, again)
                return again
            return await handler(request)
        except Refused as refused:
            return self._page(request, "refused.html", refused.status, said=str(refused))
        except web.HTTPNotFound:
            return self._page(request, "refused.html", 404, said="There is no such page.")
        except web.HTTPRequestEntityTooLarge:
            return self._page(request, "refused.html", 413, said="That is more than a form of this page says.")
        except BatchShareError as error:
            return self._page(request, "refused.html", 409, said=f"{error.problem} {error.hint}")
        except (web.HTTPException, asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:
            log.error("the page failed", error=type(error).__name__, path=request.path)
            words_ = "Something went wrong here that nobody foresaw. Runs are not affected: open the page again."
            return self._page(request, "refused.html", 500, said=words_)

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """Follow a link: its token is taken out of the address at once."""
        response = self._lead("/")
        self.door.give(self.door.enter(request.query.get("token", "")), response)
        return response

    async def static(self, request: web.Request) -> web.StreamResponse:
        """A file that belongs to the page, by a name that changes with what is in it."""
        if (found := self._static.get(request.match_info["file"])) is None:
            raise web.HTTPNotFound
        kind = _KINDS[Path(found[0]).suffix]
        cached = {"Cache-Control": "public, max-age=31536000, immutable"}
        return web.Response(body=found[1], content_type=kind, charset="utf-8", headers=cached)

    def _page(self, request: web.Request, template: str, status: int = 200, **values: Any) -> web.Response:
        session = self.door.session(request)
        shown = {
            "form_key": self.door.form_key(session) if session else "",
            "once": secrets.token_hex(16),
            "user": self.door.user(request),
            "alert": None,
            "here": request.path,
            "is_event": False,
            "speaks": False,
            **values,
        }
        text = self._templates.get_template(template).render(shown)
        return web.Response(text=text, status=status, content_type="text/html")

    async def _form(self, request: web.Request) -> dict[str, str]:
        """What a form says, once it is known to be ours. Raises Refused."""
        form = await request.post()
        self.door.check_form(self.door.session(request), form.get("form_key"))
        return {name: value for name, value in form.items() if isinstance(value, str)}

    # ------------------------------------------------------------------------------------- all runs

    async def runs(
        self, request: web.Request, alert: BatchShareError | None = None, status: int = 200
    ) -> web.Response:
        """Every sheet and run of this machine, newest first, and the way to drop another sheet."""
        library, known, account, accounts = BatchShare(self._settings()), None, None, list[str]()
        handed: Mapping[str, QueuedJob] = {}
        try:
            known = await library.runs(_MOST_RUNS)
            handed = await handed_over(self._store)
            account, accounts = library.settings.account, sorted(library.settings.accounts or ())
            if account or len(accounts) < 2:  # else one is chosen with the sheet
                library.settings.credentials()
        except BatchShareError as error:
            alert = alert or error
        # The newest run of a ledger stands for it.
        newest = {str(run.ledger.resolved()): run for run in reversed(known.runs if known else ())}
        kept, fixed = dict[str, Kept](), dict[str, list[str]]()
        for each_kept in await asyncio.to_thread(self._shelf.all):
            place = str(each_kept.ledger.resolved())
            if place in kept:  # fixed rows stand where the job does that they are of, whose sheet is older
                fixed.setdefault(place, []).append(kept[place].name)
            kept[place] = each_kept
        places = {**newest, **kept}
        lines = [
            self._line(each, newest.get(each), kept.get(each), handed.get(each)) | {"fixed": fixed.get(each, [])}
            for each in places
        ]
        lines.sort(key=lambda line: line["at"], reverse=True)
        if wanted := request.query.get("name", "").strip():
            lines = [line for line in lines if wanted.casefold() in line["name"].casefold()]
        begin, shown = paged(request, lines, RUNS_ON_PAGE)
        for line in shown:
            if line["waits"] is not None:
                with suppress(BatchShareError):
                    first = (await library.status(line["waits"])).waiting.first
                    line["counts"] += f"; next due {words.clock(words.utc(first))}" if first is not None else ""
        return self._page(
            request, "runs.html", status, lines=shown, total=len(lines), begin=begin, size=RUNS_ON_PAGE,
            wanted=wanted, goes_on=any(line["colour"] == "way" for line in shown), alert=alert,
            is_whole=known is not None and not known.remarks, account=account, accounts=accounts,
        )  # fmt: skip

    def _line(
        self, place: str, run: KnownRun | None, kept: Kept | None, handed: QueuedJob | None
    ) -> dict[str, Any]:
        """What the list says of a ledger: by its newest run, or else of a sheet that was not sent.

        Workers may do what was `handed` over to them, or be about to.
        """
        desk, counts = self._desks.get(place), run.counts or {} if run is not None else {}
        size = run.ledger.size() if run is not None else 0
        goes_on = False
        if run is None:  # of rows that were fixed, the run is that of their job
            goes_on, at = desk is not None and desk.is_running, words.utc_text(kept.made if kept else "")
            state, colour = ("going on", "way") if goes_on else (words.before_it_runs(desk), "todo")
        else:
            goes_on = desk.is_running if desk is not None else False
            if run.ended_at is None and not goes_on and size:
                goes_on = BatchShare(self._settings()).in_use(run.ledger)
            waits = goes_on and desk is not None and desk.progress is not None and desk.progress.waiting_for
            ahead = desk.ahead if waits and desk is not None else ""
            state, colour = words.how_it_stands(run, goes_on=goes_on, waits=bool(waits), ahead=ahead)
            at = words.utc(run.started_at)
            if not goes_on and desk is not None and (desk.is_planning or desk.plan is not None):
                state, colour = words.before_it_runs(desk), "todo"
        if handed is not None:
            goes_on = True
            state, colour = "going on" if handed.state == "running" else "handed over", "way"
        name = kept.name if kept is not None else run.sheet if run is not None else None
        return {
            "id": kept.id if kept is not None else run.id if run is not None else "",
            "name": name or "(no sheet yet)", "state": state, "colour": colour, "at": at,
            "counts": words.spell_counts(counts), "gone": size is None,
            "by": kept.prepared_by if kept is not None else "",
            "waits": run.ledger if run is not None and size and counts.get(State.PENDING) and not goes_on else None,
        }  # fmt: skip

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Take a sheet in: streamed to its own folder, and no larger than sheets may be."""
        if self._uploading.locked():
            busy = BatchShareError("Another sheet is just being uploaded: try again.")
            return await self.runs(request, busy, 409)
        try:
            async with self._uploading:
                return await self._upload(request)
        except TimeoutError:
            refused = BatchShareError("The upload stood still, so it was given up: choose the sheet again.")
            return await self.runs(request, refused, 408)
        except web.HTTPRequestEntityTooLarge:
            why = f"it is larger than {self._settings().sheet.file_mb} MB"
            refused = SheetError(Path("sheet"), why, hint="Split it into smaller sheets.")
            return await self.runs(request, refused, 413)
        except SheetError as error:
            return await self.runs(request, error, 400)
        except OSError as error:
            why = error.strerror or "the disk is full"
            return await self.runs(request, BatchShareError(f"The sheet can't be kept here ({why})."), 507)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        most, length = self._settings().sheet.file_mb << 20, request.content_length or 0
        if length > most + (1 << 16):
            raise web.HTTPRequestEntityTooLarge(most, length)
        said, once = dict[str, str](), ""
        try:
            parts = await request.multipart()
        except (AssertionError, ValueError):
            raise Refused(400, "That was no form of this page.") from None
        while part := await _in_time(parts.next()):
            if not isinstance(part, BodyPartReader) or part.name not in {"form_key", "once", "account", "sheet"}:
                break
            if part.name != "sheet":
                said[part.name] = (await _in_time(part.read_chunk(1024))).decode("utf-8", "replace")
                continue
            self.door.check_form(self.door.session(request), said.get("form_key"))
            if (once := said.get("once", "")) in self._once:
                return self._lead(self._once[once])
            chosen = said.get("account", "")
            account = self._settings(**({"account": chosen} if chosen else {})).account or ""
            kept = await asyncio.to_thread(self._shelf.new, part.filename or "", self.door.user(request))
            kept.account = account
            size = 0
            try:
                with open(kept.sheet, "xb", opener=private) as out:  # noqa: ASYNC230 - as quick as a thread begins
                    while size <= most and (chunk := await _in_time(part.read_chunk(1 << 16))):
                        size += len(chunk)
                        await asyncio.to_thread(out.write, chunk)
                if size > most:
                    raise web.HTTPRequestEntityTooLarge(most, size)  # noqa: TRY301 - as above
                await asyncio.to_thread(kept.note)  # from now on it is there
            except BaseException:  # also when the browser goes away
                kept.sheet.unlink(missing_ok=True)
                kept.folder.rmdir()
                raise
            return self._lead(f"/r/{kept.id}/columns", once)
        raise Refused(400, "No sheet came with that: choose one, and try again.")

    def _lead(self, to: str, once: str = "") -> web.Response:
        """Lead on to what a form did, this time and whenever it comes again."""
        if once:
            self._once[once] = to
        return web.Response(status=303, headers={"Location": to})

    # ------------------------------------------------------------------------------------- one sheet

    async def _desk(self, request: web.Request) -> Desk:
        """The desk of what is named in the address. Raises HTTPNotFound, BatchShareError."""
        wanted = request.match_info["id"]
        kept = await asyncio.to_thread(self._shelf.find, wanted)
        if kept is not None:
            ledger, name = kept.ledger, kept.name
        else:
            known = await BatchShare(self._settings()).runs(_MOST_RUNS)
            run = next((each for each in known.runs if each.id == wanted), None)
            if run is None:
                raise web.HTTPNotFound
            ledger, name = run.ledger, run.sheet or "(no sheet)"
        place = str(ledger.resolved())
        desk = self._desks.setdefault(place, Desk(wanted, name, ledger, kept, self._settings, self._desks))
        await desk.look_elsewhere()
        return desk

    async def where(self, request: web.Request) -> web.StreamResponse:
        """Lead to the page that shows how it stands."""
        desk = await self._desk(request)
        raise web.HTTPSeeOther(f"/r/{desk.id}/{await desk.state()}")

    async def _at(self, request: web.Request, *states: str) -> Desk:
        """The desk, if it stands where the address says; else it leads there."""
        desk = await self._desk(request)
        if (state := await desk.state()) not in states:
            raise web.HTTPSeeOther(f"/r/{desk.id}/{state}")
        return desk

    async def columns(self, request: web.Request) -> web.Response:
        """How the sheet was read: a row for each column."""
        return await self._columns(request, await self._unbegun(request))

    async def _unbegun(self, request: web.Request) -> Desk:
        """The desk, if nothing was sent for its sheet; else it leads to where it stands."""
        desk = await self._at(request, "columns", "plan")
        if await desk.has_begun():
            raise web.HTTPSeeOther(f"/r/{desk.id}/plan")
        return desk

    async def _columns(
        self,
        request: web.Request,
        desk: Desk,
        alert: BatchShareError | None = None,
        typed: Mapping[str, str] | None = None,
    ) -> web.Response:
        look, rows_wrong, said = None, 0, dict[str, str]()
        try:
            said = {name: str(getattr(desk.settings, name) or "") for name in _SAID}
            look, rows_wrong = await desk.look()
        except BatchShareError as error:
            alert = alert or error
        return self._page(
            request, "columns.html", 200 if alert is None else 400, desk=desk, look=look,
            problems=look.of_the_sheet if look else (), rows_wrong=rows_wrong, fields=_FIELDS,
            said={**dict.fromkeys(_SAID, ""), **said, **(typed or {})}, alert=alert,
            wrong=alert.setting if isinstance(alert, SettingsError) else "",
        )  # fmt: skip

    async def say(self, request: web.Request) -> web.StreamResponse:
        """Take in what the columns hold and what holds for all rows; then look again, or plan."""
        form, desk = await self._form(request), await self._unbegun(request)
        kept = desk.kept
        assert kept is not None  # noqa: S101 - what has no sheet here stands at its results
        before = (kept.worksheet, kept.columns, kept.said)
        kept.worksheet = form.get("worksheet", kept.worksheet)
        if kept.worksheet != before[0]:
            kept.columns = {}  # it has others
        else:
            headers = {name.removeprefix("header-"): form[name] for name in form if name.startswith("header-")}
            chosen = {header: form.get(f"field-{at}", "") for at, header in headers.items()}
            kept.columns = {header: field for header, field in chosen.items() if header.strip() and field}
        kept.said = {name: form[name].strip() for name in _SAID if form.get(name, "").strip()}
        if before != (kept.worksheet, kept.columns, kept.said) and (user := self.door.user(request)):
            kept.changed_by = [*dict.fromkeys([*kept.changed_by, user])]
        desk.forget_plan()
        is_to_be_planned = form.get("then") == "plan"
        try:
            look = (await desk.look())[0] if is_to_be_planned or kept.said != before[2] else None
        except BatchShareError as error:
            if isinstance(error, SettingsError):
                kept.said = before[2]  # with what is wrong, no page of it could be shown any more
            return await self._columns(request, desk, error, {name: form.get(name, "") for name in _SAID})
        finally:
            await asyncio.to_thread(kept.note)
        if not is_to_be_planned or look is None or look.of_the_sheet:
            return self._lead(f"/r/{desk.id}/columns")
        await desk.begin_plan()
        return self._lead(f"/r/{desk.id}/plan")

    async def plan(self, request: web.Request) -> web.Response:
        """What a run would do: to be approved."""
        return await self._plan(request, await self._at(request, "columns", "plan"))

    async def _plan(self, request: web.Request, desk: Desk, alert: BatchShareError | None = None) -> web.Response:
        begun = await desk.has_begun()
        plan = desk.plan  # nothing is waited for from here on: it would be none while it is made, and no more later
        begin, problems = paged(request, plan.problems if plan else [], ROWS_ON_PAGE)
        users = plan.users.most_common() if plan else []
        host = plan.settings.credentials()[0].partition("//")[2] if plan else ""
        host = f"{plan.settings.account} ({host})" if plan and plan.settings.account else host
        alone = not self._may_approve(desk, self.door.user(request))
        return self._page(
            request, "plan.html", 200 if alert is None else 400, desk=desk, plan=plan, problems=problems,
            begin=begin, size=ROWS_ON_PAGE, users=users, host=host, alert=alert or desk.error,
            typed=plan is not None and plan.to_send > TYPED_ABOVE,
            guards=spell_guards(plan.settings) if plan else "", alone=alone, progress=desk.progress,
            fields=words.fields(
                (str(each.row), each.column, each.value)
                for each in problems
                if each.row and plan is not None and plan.record.columns.count(each.column) == 1
            ),
            corrections=plan.plan.sheet.corrections() if plan else (), begun=begun,
            notes=plan.plan.sheet.notes() if plan else (),
        )  # fmt: skip

    def _may_approve(self, desk: Desk, user: str) -> bool:
        """Whether it is another one than those who chose the sheet and said what it holds, where that is wanted."""
        hands = {desk.kept.prepared_by, *desk.kept.changed_by} if desk.kept is not None else set()
        return not self._two_people or (bool(user) and user.casefold() not in {each.casefold() for each in hands})

    def _waits_for_another(self, request: web.Request, *what: str) -> str:
        """Where two people are wanted, that somebody else has to confirm the very same; "" once that is so."""
        user = self.door.user(request)
        first = self._wanted.setdefault(what, user) if self._two_people else ""
        if not self._two_people or (user and first and user.casefold() != first.casefold()):
            self._wanted.pop(what, None)
            return ""
        while len(self._wanted) > _MOST_WANTED:
            del self._wanted[next(iter(self._wanted))]
        return "Two people are needed: it is done once somebody else has confirmed the same here."

    async def begin_plan(self, request: web.Request) -> web.StreamResponse:
        """Plan, or plan again."""
        form, desk = await self._form(request), await self._at(request, "columns", "plan", "results")
        if form.get("once") not in self._once:
            renews = form.get("deed") == "renew"
            await desk.begin_plan(**({"renew": RENEWED_AHEAD} if renews else {}))
        return self._lead(f"/r/{desk.id}/plan", form.get("once", ""))

    async def approve(self, request: web.Request) -> web.StreamResponse:
        """Send what was planned."""
        form, desk = await self._form(request), await self._desk(request)
        once, plan, user = form.get("once", ""), desk.plan, self.door.user(request)
        if once in self._once or await desk.state() in {"run", "results"}:
            return self._lead(f"/r/{desk.id}", once)
        wrong = ""
        if not self._may_approve(desk, user):
            wrong = "Who prepared a sheet can't approve it: somebody else has to."
        elif plan is not None and form.get("plan") != desk.plan_number:
            wrong = "The plan has changed since this page was shown: look at it again."
        elif not form.get("sure"):
            wrong = "Nothing was sent: tick the box first."
        elif (
            plan
            and plan.to_send > TYPED_ABOVE
            and form.get("typed", "").replace(",", "").strip() != str(plan.to_send)
        ):
            wrong = f"Nothing was sent: type {plan.to_send}, the number of leads, to confirm."
        if wrong:
            return await self._plan(request, desk, NotConfirmed(wrong))
        self._once[once] = f"/r/{desk.id}"  # before anything is waited for: the second click comes at once
        try:
            await desk.approve(user)
        except BatchShareError as error:
            desk.error = error
        return self._lead(f"/r/{desk.id}")

    async def run(self, request: web.Request) -> web.Response:
        """How far a run is."""
        desk = await self._at(request, "run")
        return self._page(request, "run.html", desk=desk, progress=desk.progress)

    async def live(self, request: web.Request) -> web.StreamResponse:
        """How far it is, again and again: each event is the whole of it, and the last one says that it ended."""
        desk = await self._desk(request)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await stream.prepare(request)
        number, before, sent, said = 0, "", time.monotonic(), float("-inf")
        with suppress(ConnectionError):  # whoever looked on has gone: what goes on goes on
            await stream.write(b"retry: 2000\n\n")
            while desk.is_running or desk.is_planning:
                now = time.monotonic()
                if (progress := desk.progress) is not None:
                    # A screen reader is not to talk without end.
                    shown = {"desk": desk, "progress": progress, "is_event": True, "speaks": now - said > _SPEAKS}
                    text = self._templates.get_template("live.html").render(shown)
                    if text != before:
                        number, before, sent, said = number + 1, text, now, now if shown["speaks"] else said
                        data = "".join(f"data: {line}\n" for line in text.splitlines())
                        await stream.write(f"id: {number}\n{data}\n".encode())
                if now - sent > _KEEP_ALIVE:
                    sent = now
                    await stream.write(b": still there\n\n")
                await desk.changes()
            # Of a server that closes, there would be nobody to load the page from.
            how = "closed" if self._is_closing else "end"
            await stream.write(f"id: {number + 1}\nevent: {how}\ndata: {{}}\n\n".encode())
        return stream

    async def do(self, request: web.Request) -> web.StreamResponse:
        """Stop, cut, or do what is to be done next."""
        form, desk = await self._form(request), await self._desk(request)
        once, deed = form.get("once", ""), form.get("deed", "")
        if once not in self._once or deed in {"stop", "cut"}:
            self._once[once] = f"/r/{desk.id}"
            if deed == "stop":
                desk.stop()
            elif deed == "cut":
                desk.cut()
            elif deed in DEEDS and desk.ledger.size():
                try:
                    await desk.do(deed)
                except BatchShareError as error:
                    desk.error = error
        if "HX-Request" not in request.headers:
            return self._lead(f"/r/{desk.id}")
        if not desk.is_running:
            return web.Response(headers={"HX-Refresh": "true"})
        return self._page(request, "run.html", desk=desk, progress=desk.progress)  # as it stands now: it stops

    async def results(self, request: web.Request) -> web.Response:
        """What became of it, and what can be done next."""
        desk = await self._at(request, "plan", "results")
        if not await desk.has_begun():
            raise web.HTTPSeeOther(f"/r/{desk.id}/plan")
        return await self._results(request, desk)

    async def _results(
        self, request: web.Request, desk: Desk, alert: BatchShareError | None = None
    ) -> web.Response:
        library = BatchShare(desk.settings)
        summary = await desk.summary()
        begin = _begins_at(request)
        lines = await library.troubled(desk.ledger, begin, ROWS_ON_PAGE)
        troubled = max(sum(summary.states.get(each, 0) for each in _TROUBLED), begin + len(lines))
        doing = desk.doing
        elsewhere = doing is not None or library.in_use(desk.ledger)
        known = await library.runs(_MOST_RUNS)
        last = next((each for each in known.runs if each.id == summary.run), None)
        if not elsewhere and request.headers.get("HX-Target") == "became-of":
            return web.Response(headers={"HX-Refresh": "true"})  # it went on elsewhere, and has ended
        interrupted = last is not None and words.is_cut_off(last) and not elsewhere
        if interrupted and sum(summary.states.get(each, 0) for each in words.UNSETTLED) == 0:
            interrupted = False
        failed = summary.states.get(State.FAILED, 0) + summary.earlier.get(State.FAILED, 0)
        is_counted = 0 < failed <= _COUNTED_AT_ONCE and not elsewhere
        helped = await library.retryable(desk.ledger) if is_counted else failed
        is_told = interrupted or elsewhere or desk.error is not None
        ended = words.how_it_ended(last) if last is not None and not is_told else ""
        can_fix = summary.fixable > summary.in_sheet  # whether or not a file of them lies here: workers write none
        counts_people = summary.rows <= _COUNTED_AT_ONCE or "people" in request.query
        corrections, more, to_come = await library.corrections(desk.ledger, ROWS_ON_PAGE)
        ahead = BatchShare(desk.settings_with(renew=RENEWED_AHEAD))
        renews = 0 if elsewhere else await ahead.renewable(desk.ledger)
        cells = [(line["sheet_row"], *cell) for line in lines for cell in line["wrong"]]
        return self._page(
            request, "results.html", 200 if alert is None else 400, desk=desk, summary=summary, lines=lines,
            begin=begin, size=ROWS_ON_PAGE, corrected=spell_corrections(corrections, more), to_come=to_come,
            fields=words.fields(cells) if not elsewhere else {},
            planned=desk.plan is not None, stands=words.stands(summary), renews=renews,
            troubled=troubled, headline=headline(summary.states),
            others=others(summary.states), ended=ended, interrupted=interrupted,
            elsewhere=elsewhere, doing=doing,
            buttons=[] if elsewhere else words.buttons(summary, helped, interrupted=interrupted),
            rest=at_rest(summary.states), can_fix=can_fix, alert=alert or desk.error,
            noted="noted" in request.query,
            parts_shown=words.parts(summary.states),
            reported=await library.reported(desk.ledger) if counts_people else None,
        )  # fmt: skip

    async def download(self, request: web.Request) -> web.StreamResponse:
        """A file with results, made anew of what the ledger says."""
        desk, wanted = await self._desk(request), request.match_info["file"]
        library, plan, has_ledger = BatchShare(desk.settings), desk.plan, desk.ledger.size() is not None
        with tempfile.TemporaryDirectory(prefix="page", dir=self._shelf.folder) as folder:
            target = Path(folder, wanted)
            if wanted == "plan.xlsx" and plan is not None:
                await desk.write_plan(target)
            elif wanted == "mistakes.csv" and plan is not None:
                await desk.write_mistakes(target)
            elif wanted in {"results.xlsx", "results.csv"} and has_ledger:
                await library.results(desk.ledger, target)
            elif wanted == "failed.xlsx" and has_ledger:
                await library.failed_sheet(desk.ledger, target)
            elif wanted == "report.html" and has_ledger:
                await library.report(desk.ledger, target)
            return await sent(target, f"{Path(desk.name).stem}.{wanted}")

    # ------------------------------------------------------------------------------------- settings

    async def settings_page(self, request: web.Request) -> web.Response:
        """What is set, and whether it is well; nothing can be changed here."""
        findings = list[Any]()
        shown = dict[str, str]()
        alert = None
        try:
            settings = self._settings()
            shown = {
                "Account": (settings.host or "none is set").partition("//")[2] or "none is set",
                **({"Accounts by name": first_of(sorted(settings.accounts))} if settings.accounts else {}),
                "Calls it may make": str(settings.rate or "as many as LeadSquared last reported"),
                "Guards": spell_guards(settings) or "none",
                "Two people": "who prepares a sheet can't approve it" if self._two_people else "not needed",
            }
            if "check" in request.query:  # it makes calls, so not each time that somebody looks in
                found = await BatchShare(settings).doctor()
                # Behind a proxy it is nobody's business what this machine is like inside.
                findings = [
                    each for each in found if self.door.lets_in_by_link or each.check not in _OF_THE_MACHINE
                ]
        except BatchShareError as error:
            alert = error
        return self._page(request, "settings.html", shown=shown, findings=findings, alert=alert)


@asynccontextmanager
async def listening(server: Server, port: int) -> AsyncIterator[str]:
    """While the body runs, the server answers on this machine, at the address that is given; 0: any free port.

    It has its folder alone. Raises SettingsError if another one has that, or the port.
    """
    folder, lock = server.folder, FileLock(server.folder / ".lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = server_of(folder).get("process", "unknown")
        instead = "use that one (`batch-share serve --link`), or name another folder"
        raise SettingsError(
            "--folder",
            f"another server has {folder} (process {who}): {instead}",
            problem="Another server has this folder.",
        ) from None
    runner = web.AppRunner(server.app, access_log=None, shutdown_timeout=0.1, keepalive_timeout=_IDLE)

    def answering() -> asyncio.Protocol:
        assert runner.server is not None  # noqa: S101 - it was set up
        return runner.server() if len(runner.server.connections) < MOST_CONNECTIONS else _TurnedAway()

    listener = None
    try:
        await runner.setup()
        try:
            listener = await asyncio.get_running_loop().create_server(answering, "127.0.0.1", port)
        except OSError as error:
            wrong = f"{port} can't be listened on ({error.strerror}): name another"
            raise SettingsError("--port", wrong, problem="The server can't listen on this port.") from None
        server.door.port = listener.sockets[0].getsockname()[1]
        note_server(folder, {"port": server.door.port, "process": os.getpid()})
        link = f"enter?token={new_link(folder)}" if server.door.lets_in_by_link else ""
        yield f"http://127.0.0.1:{server.door.port}/{link}"
    finally:
        if listener is not None:
            listener.close()
        await runner.cleanup()
        (folder / ".server").unlink(missing_ok=True)
        lock.release()


class _TurnedAway(asyncio.Protocol):
    """One connection too many: it is closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.pop("Server", None)


async def sent(file: Path, called: str) -> web.Response:
    """A file as a download, never opened in the page's place."""
    try:
        body = await asyncio.to_thread(file.read_bytes)
    except FileNotFoundError:  # there is nothing to be written in it, or no such file
        raise web.HTTPNotFound from None
    ascii_name = "".join(each if each.isascii() and (each.isalnum() or each in "._- ") else "_" for each in called)
    disposition = f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(called, safe='')}"
    return web.Response(
        body=body, content_type="application/octet-stream", headers={"Content-Disposition": disposition}
    )


async def _in_time(reading: Awaitable[T]) -> T:
    """What is read, if it comes: one that stands still would keep everybody else from uploading."""
    async with asyncio.timeout(_STANDS_STILL):
        return await reading


def paged(request: web.Request, lines: list[Any], size: int) -> tuple[int, list[Any]]:
    """Where the page begins that the address asks for, and what is on it."""
    begin = _begins_at(request)
    begin = begin if begin < len(lines) else 0
    return begin, lines[begin : begin + size]


def _begins_at(request: web.Request) -> int:
    asked = request.query.get("from", "")
    return int(asked) if asked.isdecimal() and len(asked) < 9 else 0


def _static_files() -> dict[str, tuple[str, bytes]]:
    """The files of the page: by the name in its address, their own, and what is in them."""
    found = {}
    report = files("batch_share.results").joinpath("templates", "report.css")  # the page looks as its reports do
    for file in (report, *files("batch_share.page").joinpath("static").iterdir()):
        if Path(file.name).suffix in _KINDS:
            content = file.read_bytes()
            stem, _, suffix = file.name.rpartition(".")
            found[f"{stem}-{sha256(content).hexdigest()[:12]}.{suffix}"] = (file.name, content)
    return found
