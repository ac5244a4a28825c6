"""Where an output of a ledger goes, never over what is not its own; and how the lines of a workbook are written."""

# ruff: noqa: ASYNC240 - a test waits for its own small files
from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import new_row, working
from placing import named

from batch_share.errors import BatchShareError
from batch_share.ledger.states import State
from batch_share.outputs import Output
from batch_share.results.writing import (
    COLOURS,
    Column,
    Layout,
    Line,
    Placed,
    _as_cell,
    fill,
    write_output,
    writing,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from batch_share.results.writing import Write


def saying(text: str, error: BaseException | None = None) -> Write:
    async def write(file: Path) -> None:
        file.write_text(text)
        if error is not None:
            raise error

    return write


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "leads.db"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "leads.results.csv"


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), OSError(28, "No space left on device"), KeyboardInterrupt()]
)
async def test_an_error_in_the_middle_leaves_the_older_file_and_no_other(
    file: Path, target: Path, error: BaseException
) -> None:
    async with working(file, new_row(1)) as ledger:
        await write_output(ledger, Output.RESULTS, target, saying("older"))
        before = sorted(file.parent.iterdir())
        for where in (target, named(target)):
            with pytest.raises((BatchShareError, ZeroDivisionError, KeyboardInterrupt)):
                await write_output(ledger, Output.RESULTS, where, saying("half of", error))
        assert sorted(file.parent.iterdir()) == before
    assert target.read_text() == "older"


@pytest.mark.parametrize("there", ["a file", "a folder", "a link to nothing"])
async def test_what_is_in_the_way_stays_and_the_next_free_name_is_reported(
    file: Path, target: Path, there: str
) -> None:
    second, third = (target.with_name(f"leads.results-{number}.csv") for number in (2, 3))
    second.write_text("theirs")
    if there == "a file":
        target.write_text("theirs")
    elif there == "a folder":
        target.mkdir()
    else:
        target.symlink_to("nowhere")
    async with working(file, new_row(1)) as ledger:
        placed = await write_output(ledger, Output.RESULTS, target, saying("ours"))
        reported = "leads.results-2.csv is not what this ledger wrote, so it is kept, and the results are in"
        assert placed == Placed(third, f"{reported} leads.results-3.csv")
        assert await write_output(ledger, Output.RESULTS, target, saying("newer")) == Placed(third)
    assert (third.read_text(), second.read_text()) == ("newer", "theirs")
    assert target.is_symlink() is (there == "a link to nothing")


async def test_a_program_that_is_cut_off_before_the_file_is_there_knows_the_older_one(
    file: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    async with working(file, new_row(1)) as ledger:
        await write_output(ledger, Output.RESULTS, target, saying("older"))
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", cut_off)
            for _ in range(3):
                with pytest.raises(KeyboardInterrupt):
                    await write_output(ledger, Output.RESULTS, target, saying("newer"))
        assert target.read_text() == "older"
        assert await write_output(ledger, Output.RESULTS, target, saying("newest")) == Placed(target)


async def test_a_file_that_another_program_holds_open_is_left_and_the_next_name_taken(
    file: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Windows does it with what Excel shows."""
    replace = Path.replace

    def hold(new: Path, place: Path) -> Path:
        if place == target:
            raise PermissionError(13, "Access is denied")
        return replace(new, place)

    async with working(file, new_row(1)) as ledger:
        await write_output(ledger, Output.RESULTS, target, saying("older"))
        monkeypatch.setattr(Path, "replace", hold)
        placed = await write_output(ledger, Output.RESULTS, target, saying("newer"))
        reported = "leads.results.csv is held open by another program, so it is kept, and the results are in"
        assert placed == Placed(target.with_name("leads.results-2.csv"), f"{reported} leads.results-2.csv")
        target.unlink()
        placed.path.unlink()
        with pytest.raises(BatchShareError, match=r"leads\.results\.csv can't be written \(Access is denied\)"):
            await write_output(ledger, Output.REPORT, target, saying("newest"))


async def test_each_kind_goes_on_where_its_last_one_is(file: Path, target: Path) -> None:
    report = target.with_name("leads.report.html")
    target.write_text("theirs")
    async with working(file, new_row(1)) as ledger:
        results = (await write_output(ledger, Output.RESULTS, target, saying("ours"))).path
        assert await write_output(ledger, Output.REPORT, report, saying("page")) == Placed(report)
        target.unlink()
        assert await write_output(ledger, Output.RESULTS, target, saying("newer")) == Placed(results)
        results.write_text("with remarks")
        reported = "leads.results-2.csv is not what this ledger wrote, so it is kept, and the results are in"
        placed = await write_output(ledger, Output.RESULTS, target, saying("newest"))
        assert placed == Placed(target, f"{reported} leads.results.csv")


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text(
    "<>&'\"_x0041é \n\r\t\0=1", max_size=9
)
LIKE_NUMBERS = st.from_regex(r"\A-?[0-9]{1,18}(\.[0-9]{1,9})?([eE][0-9]+)?\Z") | st.integers(0, 10**16).map(str)
DATES = st.datetimes(dt.datetime(1890, 1, 1)).map(lambda each: each.isoformat(" ", "seconds")[:19])  # noqa: DTZ001
IDS = st.uuids().map(str) | st.dates().map(str)
LONG = st.sampled_from(["x" * 61, "x\n" * 400, "é" * 20_000, "😀" * 20_000, "_x0041_", "_x000d_" * 10])
CELLS = st.lists(TEXT | LIKE_NUMBERS | DATES | IDS | LONG, min_size=3, max_size=3)
KINDS = (Column(), Column(is_text=True), Column(takes_dates=True, number="#,##0.00", date="d mmm yyyy"))


@settings(max_examples=50)
@given(rows=st.lists(CELLS, max_size=4), is_exact=st.booleans())
def test_our_lines_are_those_that_xlsxwriter_would_write(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], is_exact: bool
) -> None:
    folder, layout = tmp_path_factory.mktemp("lines"), Layout(0, columns=KINDS, is_exact=is_exact)
    header, states = ["a", "b", "c"], itertools.cycle([State.PENDING, State.SHARED])
    lines = [Line(next(states), cells, {2: "wrong"} if at == 1 else {}) for at, cells in enumerate(rows)]

    async def each() -> AsyncIterator[Line]:
        for line in lines:
            yield line

    async def write() -> None:
        async with writing(folder / "ours.xlsx", dt.datetime.now(dt.UTC)) as book:
            await fill(book, book.page("Rows"), header, each(), layout)
        async with writing(folder / "theirs.xlsx", dt.datetime.now(dt.UTC)) as book:
            page = book.page("Rows")
            page.write_row(0, 0, header, book.aside if layout.ours else book.head)
            for number, (state, cells, wrong) in enumerate(lines, start=1):
                high = -(-max(map(len, cells)) // layout.widest)
                if high > 1:
                    page.set_row(number, 15 * min(high, 10))
                for at, cell in enumerate(cells):
                    value, shape, _ = _as_cell(cell, KINDS[at], layout)
                    colour = {"bg_color": COLOURS[state], "text_wrap": True} if at == 0 and state in COLOURS else {}
                    colour = {"bg_color": "#FFC7CE"} if at in wrong else colour
                    page.write(number, at, value, book.shape(**shape | colour))

    asyncio.run(write())
    ours, theirs = (sheet_data(folder / f"{name}.xlsx") for name in ("ours", "theirs"))
    style = re.compile(r' s="([0-9]+)"')
    assert style.sub("", ours) == style.sub("", theirs)
    pairs = {*zip(style.findall(ours), style.findall(theirs), strict=True)}
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)  # one of ours for each of theirs


def sheet_data(workbook: Path) -> str:
    with zipfile.ZipFile(workbook) as package:
        sheet = package.read("xl/worksheets/sheet1.xml").decode()
    return sheet[sheet.index("<sheetData>") : sheet.index("</sheetData>")]


async def test_a_text_that_looks_like_a_workbooks_own_xml_is_a_text(tmp_path: Path) -> None:
    text, target = "<r><t>x</t></r>", tmp_path / "out.xlsx"

    async def lines() -> AsyncIterator[Line]:
        yield Line(State.SHARED, [text], {0: "A note on the first line"})

    async with writing(target) as book:
        await fill(book, book.page("Rows"), ["a"], lines(), Layout(1))
    cell = openpyxl.load_workbook(target)["Rows"]["A2"]
    assert (cell.value, cell.comment and cell.comment.text) == (text, "A note on the first line")


@pytest.mark.parametrize("most", [5, None], ids=["larger than a worksheet", "an error of the ledger's"])
async def test_an_error_in_the_middle_of_lines_with_notes_stays_that_error(
    tmp_path: Path, most: int | None
) -> None:
    async def lines() -> AsyncIterator[Line]:
        for _ in range(20):
            yield Line(State.SHARED, ["a", "b"], {1: "a note"})
        raise BatchShareError("The ledger can't be read")

    async def write() -> None:
        async with writing(tmp_path / "out.xlsx") as book:
            page = book.page("Rows")
            page.xls_rowmax = most or page.xls_rowmax
            await fill(book, page, ["a", "b"], lines(), Layout(1))

    with pytest.raises(BatchShareError, match="larger than a worksheet" if most else "can't be read"):
        await write()
