"""Every control of the page has a role and a name, and the manual lists them: others drive the page by these."""

from __future__ import annotations

import io
import re
import sqlite3
from contextlib import closing
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final

from openpyxl import Workbook
from trial import HEADER, Trial, options, sheet_rows
from visiting import visiting

from batch_share.cli.manual import page as manual
from batch_share.common import Rate
from batch_share.ledger.files import LedgerName
from batch_share.page import server
from batch_share.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest
    from visiting import Visitor

_ROLES: Final = {
    "a": "link", "button": "button", "select": "combobox", "progress": "progressbar", "summary": "disclosure",
    "text": "textbox", "file": "file field", "checkbox": "checkbox", "search": "searchbox",
    "radio": "radio button",
}  # fmt: skip
_VARIABLE: Final = {
    "N": r"[\d,]+", "HEADER": ".+", "HOST": r"\S+", "NAME": r".+\.csv", "PERSON": r"\w+ \w+", "LEAD": r"\d+",
    "TOPIC": r"\w+: .+",
}  # fmt: skip

HTMX: Final = {"HX-Request": "true"}
"""What a page sends along that waits for the answer itself."""

Control = tuple[str, str]


class _Controls(HTMLParser):
    """All controls of a page: their roles and names, as a browser has them from what is used here."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._texts, self._labels = list[list[str]](), dict[str, str]()
        self._found = list[tuple[str, dict[str, str | None], list[str]]]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag == "input" and said.get("type") != "hidden":
            self._found.append((_ROLES[said.get("type") or "text"], said, []))
        if said.get("role") == "status":
            self._found.append(("status", {"aria-label": "what is being done, every ten seconds at most"}, []))
        if tag in {"a", "button", "label", "select", "summary", "progress"}:
            self._texts.append([])
            self._found.append((_ROLES.get(tag, tag), said, self._texts[-1]))

    def handle_endtag(self, tag: str) -> None:
        if tag in {"a", "button", "label", "select", "summary", "progress"}:
            self._texts.pop()

    def handle_data(self, data: str) -> None:
        for each in self._texts:
            each.append(data)

    def __iter__(self) -> Iterator[Control]:
        texts = [(role, said, " ".join("".join(text).split())) for role, said, text in self._found]
        labels = {said.get("for"): text for role, said, text in texts if role == "label"}
        for role, said, text in texts:
            own = text if role in {"link", "button", "disclosure"} else ""
            if role != "label":
                yield role, said.get("aria-label") or labels.get(said.get("id")) or own


def listed() -> dict[str, set[Control]]:
    """By page, the controls that the manual lists, their names as patterns."""
    found: dict[str, set[Control]] = {}
    for pages, role, names in re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", manual("page"), re.MULTILINE)[
        1:
    ]:
        for each in pages.split(", "):
            for name in names.split("; "):
                pattern = re.escape(re.sub(r" \([^)]*\)$", "", name)).replace(r"\ ", " ")
                pattern = re.sub(r"\b[A-Z]+\b", lambda word: _VARIABLE.get(word[0], word[0]), pattern)
                found.setdefault(each, set()).add(
                    (role, re.sub(r"(?<= )(leads|rows|shares|ledgers)\b", r"\1?", pattern))
                )
    return found


async def test_the_manual_lists_all_controls_of_the_pages_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "RUNS_ON_PAGE", 1)
    monkeypatch.setattr(server, "ROWS_ON_PAGE", 1)
    for name in ("changes.ROWS_ON_PAGE", "upkeep.RUNS_ON_PAGE"):
        monkeypatch.setattr(f"batch_share.page.{name}", 1)
    monkeypatch.setattr(server, "TYPED_ABOVE", 3)
    monkeypatch.setattr(server, "_COUNTED_AT_ONCE", 5)
    manuals, seen = listed(), set[tuple[str, Control]]()
    every = manuals.pop("every page")

    def look(page: str, text: str) -> None:
        for role, name in _Controls(text):
            of_page = {
                (each, control)
                for each, controls in ((page, manuals[page]), ("every page", every))
                for control in controls
                if control[0] == role and re.fullmatch(control[1], name)
            }
            assert of_page, f"{page}: {role} {name!r} is not listed"
            seen.update(of_page)

    faults = "Create:failed=25%,Share:no-id=30%,Status:pending=100%"
    async with Sandbox(options(faults=faults)) as sandbox:
        trial = Trial(tmp_path, sandbox, {"rate": Rate(1, 2.0), "wait": 0.0})
        async with visiting(trial) as visitor:
            look("Runs", await visitor.get("/"))
            trial.changes["accounts"] = {"asia": {}, "europe": {}}
            look("Runs", await visitor.get("/"))
            del trial.changes["accounts"]
            look("Settings", await visitor.get("/settings"))
            look("Columns", await visitor.upload(b"", "empty.csv"))
            look("Columns", await visitor.upload(two_worksheets(), "two.xlsx"))

            rows = [list(HEADER), *sheet_rows(40)]
            for row in rows[1:3]:
                row[HEADER.index("Duration")] = "soon"
            await visitor.upload("\n".join(",".join(row) for row in rows).encode(), "forty.csv")
            action = f"{visitor.sheet}/columns"
            look("Plan", await visitor.post(action, visitor.form(action) | {"then": "plan"}))
            stop = f"{visitor.sheet}/do"
            await visitor.post(stop, visitor.form(stop) | {"deed": "stop"})
            look("Plan", await visitor.ended("/plan", "Looking up leads"))
            trial.changes["rate"] = Rate(40, 1.0)
            await visitor.post(f"{visitor.sheet}/plan", visitor.form(f"{visitor.sheet}/plan"))
            for of_these in ("", "?from=1"):
                look("Plan", await visitor.ended(f"/plan{of_these}", "Looking up leads"))
            look("Sending", await visitor.approve(typed="38"))
            while "</b> accepted" not in visitor.text:
                look("Sending", await visitor.get(f"{visitor.sheet}/run"))
            look("Sending", await visitor.post(stop, visitor.form(stop) | {"deed": "stop"}, visitor.sends | HTMX))
            await visitor.results()
            for of_these in ("", "?from=1"):
                look("Results", await visitor.get(f"{visitor.sheet}/results{of_these}"))
            with LedgerName(next((tmp_path / "page").glob("*/forty.csv.ledger.db"))).locked():
                look("Results", await visitor.get(f"{visitor.sheet}/results"))

            for at in range(21):
                visitor.server._shelf.new(f"{at}.csv", "").note()
            for of_these in ("", "?from=1"):
                look("Runs", await visitor.get(f"/{of_these}"))
    async with Sandbox(options()) as sandbox:
        trial = Trial(tmp_path / "changes", sandbox)
        async with visiting(trial) as visitor:
            await changes(visitor, trial, look)
            await upkeep(visitor, trial, look)
    all_listed = {(page, each) for page, controls in manuals.items() for each in controls}
    assert seen == all_listed | {("every page", each) for each in every}


async def changes(visitor: Visitor, trial: Trial, look: Callable[[str, str], None]) -> None:
    """What is corrected, undone, renewed, and who has access."""
    rows = [list(HEADER), *sheet_rows(60)[40:]]
    for row in rows[1:4]:
        row[HEADER.index("Duration")] = "soon"
    await visitor.plan("\n".join(",".join(row) for row in rows).encode(), "twenty.csv")

    async def correct() -> None:
        action = f"{visitor.sheet}/correct"
        form = visitor.form(action)
        await visitor.post(action, form | {name: "7d" for name in form if name.startswith("cell-")})

    await correct()
    look("Plan", await visitor.ended("/plan", "Looking up leads"))
    await visitor.approve(typed="18")
    await visitor.results()
    look("Results", visitor.text)
    await correct()
    look("Plan", await visitor.ended("/plan", "Looking up leads"))
    look("Results", await visitor.get(f"{visitor.sheet}/results"))
    visitor.server._desks.clear()  # as when it is started again
    look("Results", await visitor.get(f"{visitor.sheet}/results"))
    (ledger,) = (trial.folder / "page").glob("*/twenty.csv.ledger.db")
    with closing(sqlite3.connect(ledger)) as connection:  # as if most of its time were over
        connection.execute(
            "UPDATE rows SET ends_at = datetime('now', '+1 hour') || '.000000' WHERE state = 'shared'"
        )
        connection.commit()
    look("Results", await visitor.get(f"{visitor.sheet}/results"))
    look("Undo", await visitor.get(f"{visitor.sheet}/undo?which=all"))
    look("Access", await visitor.get("/access"))
    look("Access", await visitor.get("/access?from=1"))
    look("Access", await visitor.get("/access?soon=yes"))


async def upkeep(visitor: Visitor, trial: Trial, look: Callable[[str, str], None]) -> None:
    """What was, what may be deleted of it, and what the account does."""
    await visitor.plan("\n".join(",".join(row) for row in [HEADER, *sheet_rows(2)]).encode(), "two.csv")
    await visitor.approve()
    await visitor.results()
    for of_these in ("", "?name=csv&from=1"):
        look("History", await visitor.get(f"/history{of_these}"))
    with closing(sqlite3.connect(trial.folder / "data" / "history.db")) as connection:
        connection.execute("UPDATE runs SET ended_at = '2020-01-01 00:00:00.000000'")
        connection.commit()
    (ledger,) = (trial.folder / "page").glob("*/two.csv.ledger.db")
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("UPDATE rows SET ends_at = '2020-01-01 00:00:00.000000' WHERE state = 'shared'")
        connection.execute("UPDATE runs SET ended_at = '2020-01-01 00:00:00.000000'")
        connection.commit()
    look("Delete old runs", await visitor.get("/history/purge?older=90d"))
    trial.changes["accounts"] = {"asia": {}, "europe": {}}
    look("Try the account", await visitor.get("/verify"))
    del trial.changes["accounts"]
    look("Try the account", await visitor.get("/verify"))
    lead, user = trial.sandbox.world.leads[100], trial.sandbox.world.users[0]
    said = {"lead": lead.id, "user": user.id, "event": "201", "sure": "yes"}
    look("Try the account", await visitor.post("/verify", visitor.form("/verify") | said))
    trying = visitor.server._trial
    assert trying is not None
    assert trying.work is not None
    await trying.work
    look("Try the account", await visitor.get("/verify"))
    look("Manual", await visitor.get("/manual"))
    look("Manual", await visitor.get("/manual/page"))


def two_worksheets() -> bytes:
    """A workbook that leaves open which of its worksheets is meant."""
    book, out = Workbook(), io.BytesIO()
    for title in ("First", "Second"):
        book.create_sheet(title).append(["Lead Number", "User Email"])
    book.save(out)
    return out.getvalue()
