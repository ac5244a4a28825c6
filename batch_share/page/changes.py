"""What is done to a sheet once it is there: its cells corrected, its shares revoked; and who has access now.

It is the whole page: all that the server has, and this.
"""

from __future__ import annotations

import asyncio
import csv
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from batch_share import BatchShare, Correction, NotConfirmed
from batch_share.errors import BatchShareError, SettingsError
from batch_share.page import words
from batch_share.page.desk import Desk
from batch_share.page.server import ROWS_ON_PAGE, paged
from batch_share.page.upkeep import Upkeep


class WholePage(Upkeep):
    """The server with all of its pages."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        one = "/r/{id:[0-9A-Za-z]+}"
        self.app.add_routes(
            [
                web.post(f"{one}/correct", self.correct),
                web.post(f"{one}/take-back", self.correct),
                web.get(f"{one}/undo", self.undo),
                web.post(f"{one}/undo", self.revoke),
                web.get("/access", self.access),
            ]
        )

    async def correct(self, request: web.Request) -> web.StreamResponse:
        """Keep what was typed in the cells that are wrong, and plan anew."""
        form, desk = await self._form(request), await self._at(request, "plan", "results")
        once, cells = form.get("once", ""), list[Correction]()
        for name, number in form.items():
            at = name.removeprefix("row-")
            if at == name or not number.isdecimal() or form.get("only", at) != at:
                continue
            before, after = form.get(f"saw-{at}", ""), form.get(f"cell-{at}", "")
            if _typed(after) != _typed(before):
                cells.append(Correction(int(number), form.get(f"column-{at}", ""), before, after))
        if once not in self._once:
            self._once[once] = f"/r/{desk.id}"  # before anything is waited for: the second click comes at once
            try:
                if not cells:
                    raise NotConfirmed("Nothing was corrected: every cell says what it said.")
                if desk.kept is None:
                    desk = await self._failed_rows(desk, cells, self.door.user(request))
                    await desk.begin_plan()
                else:
                    await desk.correct(cells, self.door.user(request))
            except BatchShareError as error:
                del self._once[once]
                is_plan = await desk.state() == "plan"
                return await (self._plan if is_plan else self._results)(request, desk, error)
            self._once[once] = f"/r/{desk.id}/plan"
        return self._lead(self._once[once])

    async def _failed_rows(self, desk: Desk, cells: list[Correction], user: str) -> Desk:
        """The failed rows of a run that a command began, so corrected, as if somebody had dropped them here.

        How its sheet was read only its ledger says. Raises BatchShareError.
        """
        kept = await asyncio.to_thread(self._shelf.new, f"{Path(desk.name).stem}.failed.csv", user)
        try:
            made = await BatchShare(desk.settings).failed_sheet(desk.ledger, kept.sheet)
            await asyncio.to_thread(_put, made.path, cells)
        except BaseException:
            kept.sheet.unlink(missing_ok=True)
            kept.folder.rmdir()
            raise
        await asyncio.to_thread(kept.note)
        place = str(kept.ledger.resolved())
        desk = Desk(kept.id, kept.name, kept.ledger, kept, self._settings, self._desks)
        return self._desks.setdefault(place, desk)

    # ------------------------------------------------------------------------------------- undo

    async def undo(self, request: web.Request) -> web.Response:
        """Which shares to revoke, and what that will do."""
        return await self._undo(request, await self._at(request, "plan", "results"), request.query)

    async def _undo(
        self, request: web.Request, desk: Desk, said: Any, alert: BatchShareError | None = None
    ) -> web.Response:
        library, meant = BatchShare(desk.settings), None
        every = await library.would_revoke(desk.ledger)
        # Whoever names rows or a person, and chooses nothing else, means these.
        named = [which for which, field in (("rows", "rows"), ("user", "of")) if said.get(field, "").strip()]
        which = said.get("which", "") or (named[0] if len(named) == 1 else "")
        try:
            if said and (not which or (which == "user" and not said.get("of"))):
                raise NotConfirmed("Nothing is shown: choose first whose shares are meant.")
            if which:  # all of many are not read twice
                chosen = _chosen({**said, "which": which})
                meant = every if which == "all" else await library.would_revoke(desk.ledger, **chosen)
        except BatchShareError as error:
            alert = alert or error
        return self._page(
            request, "undo.html", 200 if alert is None else 400, desk=desk, every=every, meant=meant, which=which,
            rows=said.get("rows", ""), chosen=said.get("of", ""), alert=alert,
            wrong=alert.setting if isinstance(alert, SettingsError) else "",
        )  # fmt: skip

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        """Revoke what was shown: it takes the tick and the number of shares."""
        form, desk = await self._form(request), await self._desk(request)
        once, promised = form.get("once", ""), form.get("shares", "")
        if once in self._once or await desk.state() == "run":
            return self._lead(f"/r/{desk.id}", once)
        wrong = ""
        if form.get("which") not in {"all", "rows", "user"}:
            wrong = "Nothing was revoked: choose first whose shares are meant."
        elif not form.get("sure"):
            wrong = "Nothing was revoked: tick the box first."
        elif not promised.isdecimal() or form.get("typed", "").replace(",", "").strip() != promised:
            wrong = f"Nothing was revoked: type {promised}, the number of shares, to confirm."
        fields = (form.get(name, "") for name in ("which", "rows", "of", "shares"))
        if wrong := wrong or self._waits_for_another(request, "revoke", desk.id, *fields):
            return await self._undo(request, desk, form, NotConfirmed(wrong))
        self._once[once] = f"/r/{desk.id}"  # before anything is waited for: the second click comes at once
        try:
            await desk.revoke(**_chosen(form), promised=int(promised))
        except BatchShareError as error:
            desk.error = error
        return self._lead(f"/r/{desk.id}")

    # ------------------------------------------------------------------------------------- who has what

    async def access(self, request: web.Request) -> web.Response:
        """Who has access now and until when: by user, or each share of one user, of a lead, that ends soon."""
        user, lead = (request.query.get(name, "").strip() for name in ("user", "lead"))
        soon, found, alert = "soon" in request.query, None, None
        try:
            found = await BatchShare(self._settings()).access(
                user or None, lead or None, words.SOON if soon else None
            )
        except BatchShareError as error:
            alert = error
        shares = list(found.shares) if found is not None else []
        by_share = bool(user or lead or soon)
        people = words.people(shares)
        begin, shown = paged(request, shares if by_share else people, ROWS_ON_PAGE)
        return self._page(
            request, "access.html", 200 if alert is None else 400, alert=alert, user_asked=user, lead=lead,
            soon=soon, by_share=by_share, shown=shown, begin=begin, size=ROWS_ON_PAGE, total=len(shares),
            people=len(people), lines=len(shares) if by_share else len(people),
            asked=urlencode([each for each in request.query.items() if each[0] != "from"]),
            ending=sum(each.soon for each in people),
            is_unknown=bool(user) and found is not None and not found.user_ids,
            leads=len({each.lead_id for each in shares}), unseen=len(found.unseen) if found is not None else 0,
            elsewhere=found.elsewhere if found is not None else 0,
        )  # fmt: skip


def _put(file: Path | None, cells: list[Correction]) -> None:
    """Correct cells of a sheet of failed rows. Raises NotConfirmed for one that says something else."""
    if file is None:
        raise NotConfirmed("These rows can be corrected in their sheet alone.")
    with file.open(encoding="utf-8-sig", newline="") as opened:
        header, *rows = csv.reader(opened)
    for each in cells:
        at = header.index(each.column) if each.column in header else -1
        # The three last columns are ours: the reason, the number in the sheet, and the row's reference.
        row = next((row for row in rows if row[-2] == str(each.row)), [""])
        if at < 0 or row[min(at, len(row) - 1)] != each.before:
            raise NotConfirmed(f"Row {each.row} says something else by now, or is to be corrected in its sheet.")
        row[at] = each.after
    with file.open("w", encoding="utf-8-sig", newline="") as out:
        csv.writer(out).writerows([header, *rows])


def _typed(cell: str) -> str:
    """What a field of one line makes of a cell."""
    return cell.replace("\r", "").replace("\n", "")


def _chosen(said: Any) -> dict[str, str | None]:
    """Which shares are meant, as `revoke` is told."""
    which = said.get("which", "")
    return {
        "rows": said.get("rows", "").strip() if which == "rows" else None,
        "user": said.get("of", "").strip() if which == "user" else None,
    }
