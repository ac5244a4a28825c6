"""Cells that are corrected outside of their sheet, before its first run or after: read so by whoever runs it."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import openpyxl
import pytest
from trial import CREATE, HEADER, Fault, Trial, envelope, sheet_rows, trial
from visiting import on_both

from batch_share import BatchShare, BatchShareError, Correction, NotConfirmed, PlanChanged, SheetError
from batch_share.ledger.states import State

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

WHERE = HEADER.index("Duration")
NOBODY = "ffffffff-0000-4000-8000-000000000000"


def with_typos(it: Trial, rows: int = 6, wrong: int = 2) -> Path:
    """A sheet whose first rows are wrong in their duration."""
    lines = sheet_rows(rows)
    it.write([*([*row[:WHERE], "soon", *row[WHERE + 1 :]] for row in lines[:wrong]), *lines[wrong:]])
    return it.folder / "leads.csv"


def of(it: Trial) -> BatchShare:
    return BatchShare(it.settings())


@on_both
async def test_what_is_corrected_before_the_first_run_is_planned_sent_and_told(
    tmp_path: Path, its_store: SecretStr | None
) -> None:
    async with trial(tmp_path, rows=6) as it:
        it.changes["store"] = its_store
        sheet, library = with_typos(it), of(it)
        as_written = sheet.read_bytes()
        first = await library.plan(sheet)
        assert [(each.row, each.column, each.value) for each in first.problems] == [
            (2, "Duration", "soon"),
            (3, "Duration", "soon"),
        ]
        await library.correct(sheet, [Correction(2, "Duration", "soon", "7d")])
        plan = await library.plan(sheet)
        assert (plan.to_send, [each.row for each in plan.problems]) == (5, [3])
        assert plan.plan.sheet.corrections() == [Correction(2, "Duration", "soon", "7d")]
        assert "1 row as corrected on the page" in plan.plan.sheet.notes()

        ending = await it.run()
        assert ending.summary.states == {State.SHARED: 5, State.INVALID: 1}
        assert ending.summary.corrected == {"page": 1}
        assert sheet.read_bytes() == as_written
        told = "Row 2, Duration: corrected on the page from 'soon' to '7d'"
        assert told in (await library.report(it.name)).path.read_text().replace("&#39;", "'")
        with (tmp_path / "leads.results.csv").open(encoding="utf-8-sig") as file:
            results = [*csv.DictReader(file)]
        assert (results[0]["Duration"], results[0]["Result"]) == ("7d", "shared")
        book = openpyxl.load_workbook((await library.results(it.name, tmp_path / "x.xlsx")).path)
        assert told in {cell.value for row in book["Summary"] for cell in row}

        await library.correct(sheet, [Correction(3, "Duration", "soon", "3d")])
        assert (await library.corrections(it.name))[2] == 1, "it is in no run yet"
        assert (await it.run()).summary.states == {State.SHARED: 6}
        assert (await library.corrections(it.name))[2] == 0
        assert len(it.leads_sent()) == 6
        assert ((await it.run()).sent, it.sandbox.report()["duplicates"]) == (0, 0)


@on_both
async def test_a_row_that_was_sent_or_says_something_else_is_not_corrected_nor_is_any_other_then(
    tmp_path: Path, its_store: SecretStr | None
) -> None:
    async with trial(tmp_path, rows=6) as it:
        it.changes["store"] = its_store
        sheet, library = with_typos(it), of(it)
        await it.run()
        before = it.rows("*")
        right = Correction(2, "Duration", "soon", "7d")
        for wrong, said in (
            (Correction(5, "Duration", "7d", "9d"), "Row 5 was sent, or begun"),
            (Correction(3, "Duration", "later", "9d"), "Row 3 says something else by now"),
            (Correction(99, "Duration", "", "9d"), "Row 99 says something else by now"),
        ):
            with pytest.raises(BatchShareError, match=said):
                await library.correct(sheet, [right, wrong])
        with pytest.raises(SheetError, match="columns are not what they were"):
            await library.correct(sheet, [Correction(2, "Nothing", "", "7d")])
        assert (await library.corrections(it.name)) == ([], 0, 0)
        assert it.rows("*") == before


async def test_a_row_that_was_sent_is_not_corrected_either_where_the_sheet_was_sorted_since(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        sheet, library = with_typos(it, 3, 1), of(it)
        await it.run()
        wrong, *others = sheet_rows(3)
        it.write([*others, [*wrong[:WHERE], "soon", *wrong[WHERE + 1 :]]])
        with pytest.raises(BatchShareError, match="Row 2 was sent, or begun"):
            await library.correct(sheet, [Correction(2, "User Id", others[0][2], wrong[2])])
        await library.correct(sheet, [Correction(4, "Duration", "soon", "7d")])
        assert (await it.run()).summary.states == {State.SHARED: 3}
        assert len(it.leads_sent()) == 3


@on_both
async def test_a_correction_is_corrected_again_and_taken_back(tmp_path: Path, its_store: SecretStr | None) -> None:
    async with trial(tmp_path, rows=3) as it:
        it.changes["store"] = its_store
        sheet, library = with_typos(it, 3, 1), of(it)
        await library.correct(sheet, [Correction(2, "Duration", "soon", "later")])
        with pytest.raises(BatchShareError, match="something else by now"):
            await library.correct(sheet, [Correction(2, "Duration", "soon", "7d")])  # of a page that is old
        await library.correct(sheet, [Correction(2, "Duration", "later", "70d")])
        assert (await library.plan(sheet)).plan.sheet.corrections() == [Correction(2, "Duration", "soon", "70d")]
        await library.correct(sheet, [Correction(2, "Duration", "70d", "soon")])
        plan = await library.plan(sheet)
        assert ([*plan.plan.sheet.corrections()], len(plan.problems)) == ([], 1)
        await library.correct(sheet, [Correction(2, "Duration", "soon", "7d")])
        await it.run()
        assert it.rows("duration")[0] == (7 * 1440,)


@on_both
async def test_a_correction_that_is_taken_back_after_the_run_is_taken_out_by_the_next_one(
    tmp_path: Path, its_store: SecretStr | None
) -> None:
    async with trial(tmp_path, Fault(CREATE, [1], envelope(500, "No")), rows=3) as it:
        it.changes["store"] = its_store
        sheet, library = with_typos(it, 3, 1), of(it)
        await library.correct(sheet, [Correction(2, "Duration", "soon", "7d")])
        assert (await it.run(workers=1)).summary.states == {State.SHARED: 2, State.FAILED: 1}
        await library.correct(sheet, [Correction(2, "Duration", "7d", "soon")])
        assert (await library.corrections(it.name)) == ([], 0, 1)
        assert (await it.run()).summary.states == {State.SHARED: 2, State.INVALID: 1}
        assert (await library.corrections(it.name)) == ([], 0, 0)
        assert len(it.leads_sent()) == 2


async def test_a_cell_is_corrected_as_the_results_show_it_though_a_correction_was_taken_back(
    tmp_path: Path,
) -> None:
    async with trial(tmp_path, rows=3) as it:
        sheet, library = with_typos(it, 3, 1), of(it)
        await library.correct(sheet, [Correction(2, "Duration", "soon", "later")])
        await it.run()
        await library.correct(sheet, [Correction(2, "Duration", "later", "soon")])
        (line,) = await library.troubled(it.name)
        assert [*line["wrong"]] == [("Duration", "later")], "nothing was run since"
        with pytest.raises(BatchShareError, match="something else by now"):
            await library.correct(sheet, [Correction(2, "Duration", "never seen", "7d")])
        await library.correct(sheet, [Correction(2, "Duration", "later", "7d")])
        assert (await it.run()).summary.states == {State.SHARED: 3}


async def test_a_row_that_was_sent_as_it_was_corrected_first_is_not_corrected_again(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [1], envelope(500, "No")), rows=1) as it:
        sheet, library = with_typos(it, 1, 1), of(it)
        await library.correct(sheet, [Correction(2, "Duration", "soon", "7d")])
        assert (await it.run()).summary.states == {State.FAILED: 1}
        await library.correct(sheet, [Correction(2, "Duration", "7d", "8d")])
        assert (await library.retry(it.name, everything=True)).summary.states == {State.SHARED: 1}
        with pytest.raises(BatchShareError, match="Row 2 was sent, or begun"):
            await library.correct(sheet, [Correction(2, "Duration", "8d", "9d")])


@on_both
async def test_a_row_that_the_sheet_no_longer_has_so_is_read_as_it_is_and_that_is_told(
    tmp_path: Path, its_store: SecretStr | None
) -> None:
    async with trial(tmp_path, rows=3) as it:
        it.changes["store"] = its_store
        sheet, library = with_typos(it, 3, 1), of(it)
        await library.correct(sheet, [Correction(2, "Duration", "soon", "7d")])
        rows = sheet_rows(3)
        it.write([[*rows[0][:WHERE], "9d", *rows[0][WHERE + 1 :]], *rows[1:]])
        notes = (await library.plan(sheet)).plan.sheet.notes()
        assert "1 row corrected on the page in vain: the sheet no longer has the row as it was then" in notes
        assert (await it.run()).summary.states == {State.SHARED: 3}
        assert it.rows("duration")[0] == (9 * 1440,)


@on_both
async def test_what_was_approved_is_sent_with_its_corrections_or_not_at_all(
    tmp_path: Path, its_store: SecretStr | None
) -> None:
    async with trial(tmp_path, rows=6) as it:
        it.changes["store"] = its_store
        sheet, library = with_typos(it), of(it)
        await library.correct(sheet, [Correction(2, "Duration", "soon", "7d")])
        approval = (await library.plan(sheet)).approval()
        await library.correct(sheet, [Correction(3, "Duration", "soon", "7d")])
        with pytest.raises(PlanChanged):
            await library.run(sheet, approved=approval)
        assert it.leads_sent() == []
        ending = await library.run(sheet, approved=(await library.plan(sheet)).approval())
        assert ending.summary.states == {State.SHARED: 6}


@on_both
async def test_an_owner_is_corrected_to_another_before_anything_is_sent_for_the_row(
    tmp_path: Path, its_store: SecretStr | None
) -> None:
    async with trial(tmp_path, rows=3) as it:
        it.changes["store"] = its_store
        rows, library = sheet_rows(3), of(it)
        owner = HEADER.index("User Id")
        it.write([[*rows[0][:owner], NOBODY, *rows[0][owner + 1 :]], *rows[1:]])
        await it.run()
        sheet = tmp_path / "leads.csv"
        (line,) = await library.troubled(it.name)
        assert line["wrong"] == [("User Id", NOBODY)]
        await library.correct(sheet, [Correction(int(line["sheet_row"]), "User Id", NOBODY, rows[1][owner])])
        assert (await it.run()).summary.states == {State.SHARED: 3}
        assert it.live() == 3
        assert await library.troubled(it.name) == []


@on_both
async def test_while_a_run_goes_on_nothing_is_corrected(tmp_path: Path, its_store: SecretStr | None) -> None:
    async with trial(tmp_path, rows=3) as it:
        it.changes["store"] = its_store
        sheet, library = with_typos(it, 3, 1), of(it)
        await it.run()
        with (
            it.name.locked(),
            pytest.raises(BatchShareError, match="Another batch_share process"),
        ):
            await library.correct(sheet, [Correction(2, "Duration", "soon", "7d")])
        assert issubclass(NotConfirmed, BatchShareError)
