"""The report: one file that needs nothing else, holds what the ledger holds, and takes no cell for markup."""

from __future__ import annotations

import os
import re
import stat
import sys
import tracemalloc
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from ledgers import HOST, NOON, advance, because, new_row, row_of, sheet_record, unsendable, working

from batch_share.common import Cause
from batch_share.errors import BatchShareError
from batch_share.ledger.files import LedgerName, open_ledger, read_ledger
from batch_share.ledger.records import Lookup, Result, SheetRecord, Why
from batch_share.ledger.states import State
from batch_share.results.answers import ENDS_SHOWN
from batch_share.results.report import report_path, write_report

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.ledger.store import Ledger

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src="http://evil.example/x.png" onerror=alert(1)>',
    "</style><style>@import url(http://evil.example/x.css)",
    "{{ 7 * 191 }}{% raw %}",
    "javascript:alert(1)",
    "&lt;b&gt; <b>bold</b>",
    "' onmouseover='alert(1)",
    "]]><!-- ",
    "\u202egnp.exe",
    "tab\tand\nline",
]
VOID = {"meta", "wbr", "rect", "line", "path", "br", "link", "img", "input"}


class Page(HTMLParser):
    """What a browser would see: tags with attributes, and text by the tag that it is in."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))

    def count(self, name: str) -> int:
        return sum(tag == name for tag, _ in self.tags)


async def report_of(ledger: Ledger, folder: Path, **more: Any) -> Page:
    placed = await write_report(ledger, folder / "out.report.html", **more)
    page = Page(placed.path.read_text(encoding="utf-8"))
    assert page.open == []
    return page


async def mixed(ledger: Ledger) -> None:
    for number, state in enumerate([State.SHARED, State.FAILED, State.UNKNOWN, State.ACCEPTED, State.POSTED]):
        await advance(ledger, number, state)


ROWS = [*map(new_row, range(6)), unsendable(8, State.INVALID), unsendable(9, State.SKIPPED)]


async def test_it_tells_in_plain_words_what_became_of_the_rows(tmp_path: Path) -> None:
    async with working(tmp_path / "leads.db", *ROWS) as ledger:
        await mixed(ledger)
        page = await report_of(ledger, tmp_path)
    assert "1 of 8 rows are shared." in page.text
    assert (
        "1 failed, 1 unknown (may have arrived), 1 invalid (not sent), 1 skipped, "
        "1 accepted (processing not yet confirmed), 2 still to be sent."
    ) in page.text
    for reported in (
        HOST,
        "leads.csv",
        "leads.db",
        "why it is invalid",
        "nobody knows",
        "batch-share resume leads.db --only-unknown",
    ):
        assert reported in page.text
    assert "A run was going on when this was written" in page.text


async def test_it_tells_what_access_who_has_until_when_by_which_activity_and_what_ends_when(tmp_path: Path) -> None:
    asha = "a" * 36
    rows = [new_row(at, duration=day * 1440, access=1 + at % 2, user_id=asha) for at, day in enumerate([1, 1, 9])]
    async with working(tmp_path / "leads.db", *rows, new_row(7)) as ledger:
        found = {"id": asha, "name": "Asha Rao", "email": "asha@x.example", "active": True}
        await ledger.note_lookups([Lookup("User Email", "asha@x.example", found)])
        await ledger.note_lookups([Lookup("Activity Event", "201", {"name": "Site visit"})])
        await ledger.note(zone="Asia/Kolkata")
        for at in range(3):
            await advance(ledger, at, State.SHARED)
        page = await report_of(ledger, tmp_path)
    for reported in (
        "3 shares with 1 person: 2 to read, 1 to write",
        "11 Jan 2026 17:30 IST at the latest, the first 3 Jan 2026 17:30",
        "Site visit (201)",
        "2 to read, 1 to write, until 11 Jan 2026",
        "2 Jan 2026 17:30 IST",  # when the run began
    ):
        assert reported in page.text
    for line in (["3 Jan 2026", "2", "1 to read, 1 to write", "1"], ["11 Jan 2026", "1", "1 to read", "1"]):
        assert page.texts[page.texts.index(line[0]) :][:4] == line


async def test_of_many_days_on_which_shares_end_the_first_are_told(tmp_path: Path) -> None:
    rows = [new_row(day, duration=day * 1440) for day in range(1, ENDS_SHOWN + 3)]
    async with working(tmp_path / "leads.db", *rows) as ledger:
        for day in range(1, ENDS_SHOWN + 3):
            await advance(ledger, day, State.SHARED)
        page = await report_of(ledger, tmp_path)
    assert "And 2 that end later." in page.text


async def test_how_each_run_ended_is_reported(tmp_path: Path) -> None:
    async with working(tmp_path / "leads.db", new_row(1)) as ledger:
        await ledger.end_run("LeadSquared <refused> access")
        page = await report_of(ledger, tmp_path)
    assert "LeadSquared <refused> access" in page.text
    assert "A run was going on" not in page.text


async def test_a_run_after_which_others_came_was_cut_off(tmp_path: Path) -> None:
    async with working(tmp_path / "leads.db", new_row(1)) as ledger:
        page = await report_of(ledger, tmp_path)
        assert "still running, or cut off" in page.text
        await ledger.begin_run("resume", "1.0", {})
        await ledger.end_run("done")
        page = await report_of(ledger, tmp_path)
    assert "going on" not in page.text
    assert "cut off" in page.texts


async def test_where_nothing_is_to_be_done_it_says_what_became_of_all(tmp_path: Path) -> None:
    async with working(tmp_path / "leads.db", *map(new_row, range(3))) as ledger:
        for number, state in enumerate([State.SHARED, State.REVOKED, State.SHARED]):
            await advance(ledger, number, state)
        page = await report_of(ledger, tmp_path)
    assert "2 of 3 rows are shared. 1 revoked." in page.text
    assert "Nothing: every row is shared or revoked." in page.text


async def test_nothing_in_it_is_loaded_or_run(tmp_path: Path) -> None:
    async with working(tmp_path / "leads.db", *ROWS) as ledger:
        await mixed(ledger)
        page = await report_of(ledger, tmp_path)
    used = {tag for tag, _ in page.tags}
    assert not used & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "a", "image", "use"}
    for _, attributes in page.tags:
        assert not {name for name in attributes if name.startswith("on")} | {"src", "href", "style"} & set(
            attributes
        )
    markup = (tmp_path / "out.report.html").read_text(encoding="utf-8")
    assert not re.search(r"@import|url\(", markup)
    policy = [attributes for tag, attributes in page.tags if attributes.get("http-equiv")]
    assert policy[0]["content"] == "default-src 'none'; style-src 'unsafe-inline'"


@pytest.mark.parametrize("cell", HOSTILE)
async def test_a_cell_is_text_wherever_it_stands(tmp_path: Path, cell: str) -> None:
    plain = SheetRecord(
        "leads.csv", "leads.csv", None, "d", ["Lead", "User"], {"Lead": "Lead Id", "User": "User Id"}
    )
    hostile = SheetRecord(cell, f"sheets/{cell}", cell, "d", ["Lead", "User"], dict(plain.mapping or {}))
    counts = []
    for number, (record, said) in enumerate([(plain, "harmless"), (hostile, cell)]):
        async with open_ledger(LedgerName.of(tmp_path / f"{number}.db"), host=HOST) as ledger:
            row = unsendable(1, State.INVALID)
            row = type(row)(row.key, 2, [said, said], row.state, None, because(f"Row 2: {said}"))
            await ledger.take_in(record, [row])
            await ledger.begin_run("run", "1.0", {})
            await ledger.end_run(said)
            page = await report_of(ledger, tmp_path)
            counts.append([tag for tag, _ in page.tags])
    assert set(counts[0]) == set(counts[1]) - {"wbr"}  # after the @ of an address
    assert "".join(cell.split()) in "".join(page.text.split())
    assert "1337" not in page.text


async def test_bars_and_tables_have_names_for_those_who_do_not_see_them(tmp_path: Path) -> None:
    async with working(tmp_path / "leads.db", *ROWS) as ledger:
        await mixed(ledger)
        page = await report_of(ledger, tmp_path)
    assert page.count("h1") == 1
    assert page.count("caption") == page.count("table") >= 5
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {attributes["aria-labelledby"] for tag, attributes in page.tags if tag == "section"} <= ids
    drawn = [attributes for _, attributes in page.tags if attributes.get("role") == "img"]
    assert drawn
    assert all(attributes["aria-label"] for attributes in drawn)
    for tag, attributes in page.tags:
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or attributes.get("aria-label")


async def test_only_the_first_rows_in_trouble_are_listed_and_it_says_so(tmp_path: Path) -> None:
    rows = [unsendable(number, State.INVALID) for number in range(5)]
    async with working(tmp_path / "leads.db", *rows) as ledger:
        page = await report_of(ledger, tmp_path, most=2)
    assert "The first 2 of 5; the results have all." in page.text


async def test_doubles_are_listed(tmp_path: Path) -> None:
    twice = Why(Cause.DOUBLE, {"counts": "act", "others": ["act2"]})
    async with working(tmp_path / "leads.db", new_row(1)) as ledger:
        assert "there twice" not in (await report_of(ledger, tmp_path)).text
        row = await advance(ledger, 1, State.UNKNOWN)
        await ledger.resolve(NOON, {row.id: Result(State.POSTED, "found", notice=twice)})
        page = await report_of(ledger, tmp_path)
    assert "1 row whose activity was found twice." in page.text
    assert "delete act2" in page.text


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX's")
async def test_only_its_owner_can_read_it_and_an_older_one_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "out.report.html"
    async with working(tmp_path / "leads.db", new_row(1)) as ledger:
        for _ in range(2):
            await report_of(ledger, tmp_path)
            assert stat.S_IMODE(target.stat().st_mode) == 0o600
            target.chmod(0o644)
    assert [name for name in os.listdir(tmp_path) if name.startswith(".out")] == []  # noqa: PTH208


async def test_it_is_never_written_as_anything_else(tmp_path: Path) -> None:
    async with working(tmp_path / "leads.db", new_row(1)) as ledger:
        with pytest.raises(BatchShareError, match=r"as \.html, not as leads\.csv"):
            await write_report(ledger, tmp_path / "leads.csv")
        with pytest.raises(BatchShareError, match="can't be written"):
            await write_report(ledger, tmp_path / "missing" / "x.html")


async def test_it_can_be_asked_while_a_run_goes_on(tmp_path: Path) -> None:
    async with (
        working(tmp_path / "leads.db", new_row(1)) as ledger,
        read_ledger(LedgerName.of(tmp_path / "leads.db")) as other,
    ):
        await ledger.intend([await row_of(ledger, 1)], "activity", [None])  # type: ignore[arg-type]
        await write_report(other, tmp_path / "x.html")
    assert "1 still to be sent" in (tmp_path / "x.html").read_text(encoding="utf-8")


async def test_its_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    peaks = []
    for size in (500, 10_000):
        rows = [
            new_row(number, user_id=f"u{number % 7}") if number % 2 else unsendable(number, State.INVALID)
            for number in range(size)
        ]
        async with open_ledger(LedgerName.of(tmp_path / f"{size}.db"), host=HOST) as ledger:
            await ledger.take_in(sheet_record(), rows)
        del rows
        async with read_ledger(LedgerName.of(tmp_path / f"{size}.db")) as reader:
            await write_report(reader, tmp_path / "warm.html")
            tracemalloc.start()
            await write_report(reader, tmp_path / "x.html")
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2_000_000


def test_it_goes_beside_the_sheet(tmp_path: Path) -> None:
    assert report_path(tmp_path / "leads.xlsx") == tmp_path / "leads.report.html"


async def test_it_tells_what_ends_within_a_week(tmp_path: Path) -> None:
    async with working(tmp_path / "leads.db", new_row(1), new_row(2)) as ledger:
        assert "within the next 7 days" not in (await report_of(ledger, tmp_path)).text
        for number in (1, 2):
            await advance(ledger, number, State.SHARED)
        page = await report_of(ledger, tmp_path)
        assert "2 shares end within the next 7 days, the first on 2026-01-02 13:00 UTC." in page.text
