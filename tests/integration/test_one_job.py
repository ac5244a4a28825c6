"""A sheet is one job: what is corrected in its sheet of failed rows, or in itself, is counted where it belongs."""

from __future__ import annotations

import asyncio
import csv
import datetime as dt
from typing import TYPE_CHECKING

import openpyxl
import pytest
from trial import CREATE, SHARE, Fault, Onlooker, Trial, envelope, sheet_rows, trial

from batch_share.errors import BatchShareError, LedgerError, SettingsError, SheetError
from batch_share.jobs.job import do
from batch_share.jobs.outputs import report_of, status_of
from batch_share.jobs.run import RunSheet
from batch_share.ledger.files import LedgerName, read_ledger
from batch_share.ledger.states import State
from batch_share.planning.intake import SheetJob, plan_job
from batch_share.results.wording import ExitCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from batch_share.jobs.job import Ending
    from batch_share.sending.onlookers import Preview

NOBODY = "ffffffff-0000-4000-8000-000000000000"


class Cuts(Onlooker):
    """Cuts a run off before its first call, once its rows are taken in."""

    def agree(self, preview: Preview) -> bool:
        raise asyncio.CancelledError


async def refusal(work: Awaitable[Ending]) -> BatchShareError | None:
    """What a run was refused with."""
    try:
        return (await work).error
    except BatchShareError as error:
        return error


REFERENCE = "Row Reference"


async def go_on(it: Trial, sheet: Path, ledger: LedgerName | None = None, **changes: object) -> Ending:
    """What `batch-share run leads.failed.csv` does."""
    job = SheetJob(sheet, ledger or LedgerName.of_sheet(sheet))
    return await do(RunSheet(job), it.settings(**changes), Onlooker())


def rows_of(sheet: Path) -> list[dict[str, str]]:
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def correct(sheet: Path, how: Callable[[list[dict[str, str]]], object]) -> list[dict[str, str]]:
    """Change the rows of a sheet of failed rows, as a spreadsheet program would write it again."""
    rows = rows_of(sheet)
    how(rows)
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def put(column: str, *values: str) -> Callable[[list[dict[str, str]]], object]:
    def change(rows: list[dict[str, str]]) -> None:
        for row, value in zip(rows, values, strict=False):
            row[column] = value

    return change


async def with_mistakes(it: Trial, rows: int = 6, wrong: int = 2) -> Path:
    """Run a sheet whose first rows are wrong in their duration; its sheet of failed rows."""
    good = sheet_rows(rows)
    it.write([*([*row[:4], "soon", "201"] for row in good[:wrong]), *good[wrong:]])
    ending = await it.run()
    assert ending.summary.states == {State.SHARED: rows - wrong, State.INVALID: wrong}
    assert ending.summary.failed_sheet is not None
    return ending.summary.failed_sheet


async def test_the_sheet_itself_run_again_brings_no_mistake_back_and_sends_nothing_twice(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=6) as it:
        failed = await with_mistakes(it)
        correct(failed, put("Duration", "7d", "3d"))
        await go_on(it, failed)
        assert (await status_of(it.name)).states == {State.SHARED: 6}
        for note in ("as before", "another digest, so that it is taken in anew"):
            again = await it.run(note=note)
            assert (again.summary.states, again.sent, again.summary.earlier) == ({State.SHARED: 6}, 0, {})
            assert again.summary.corrected == {"leads.failed.csv": 2}
        plan = await plan_job(SheetJob(tmp_path / "leads.csv", it.name), it.settings())
        assert len([*plan.checked()]) == 6
        assert "2 rows as corrected in leads.failed.csv" in plan.sheet.notes()
        results = rows_of(tmp_path / "leads.results.csv")
        assert [(row["Duration"], row["Result"]) for row in results[:2]] == [("7d", "shared"), ("3d", "shared")]
        report = (await report_of(it.name, None)).path.read_text()
        assert "All 6 rows are shared." in report
        assert "2 rows as corrected in leads.failed.csv." in report
        assert len(it.leads_sent()) == 6


async def test_the_sheet_corrected_in_place_comes_to_the_same(tmp_path: Path) -> None:
    refusal = Fault(CREATE, [1], envelope(500, "No"))
    async with trial(tmp_path, refusal, rows=6) as it:
        good = sheet_rows(6)
        it.write([[*good[0][:4], "soon", "201"], *good[1:]])
        assert (await it.run(workers=1)).summary.states == {State.SHARED: 4, State.INVALID: 1, State.FAILED: 1}
        (refused,) = (row for row in rows_of(tmp_path / "leads.failed.csv") if row["Reason"].startswith("Lead"))
        assert refused["Lead Id"] == good[1][0]
        it.write([good[0], [good[1][0], "", *sheet_rows(7)[6][2:]], *good[2:]])
        ending = await it.run()
        assert ending.summary.states == {State.SHARED: 6}
        assert (ending.summary.earlier, ending.summary.troubled, ending.exit_code) == ({}, 0, ExitCode.DONE)
        assert ending.summary.failed_sheet is None
        assert len(rows_of(tmp_path / "leads.results.csv")) == 6


async def test_a_refused_row_is_replaced_and_its_attempts_are_kept(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [1], envelope(500, "No")), rows=3) as it:
        failed = (await it.run(workers=1)).summary.failed_sheet
        assert failed is not None
        correct(failed, put("Note", "said otherwise"))
        correct(failed, put("Access", "write"))
        ending = await go_on(it, failed)
        assert (ending.summary.states, ending.summary.earlier) == ({State.SHARED: 3}, {})
        assert it.query("SELECT count(*) FROM attempts WHERE words LIKE '%No%'") == [(1,)]
        assert len(it.leads_sent()) == 3
        assert (await it.run()).sent == 0


async def test_what_still_fails_stays_in_the_sheet_and_can_be_corrected_again(
    tmp_path: Path,
) -> None:
    async with trial(tmp_path, rows=6) as it:
        failed = await with_mistakes(it)
        correct(failed, put("Duration", "7d", "later"))
        ending = await go_on(it, failed)
        assert ending.summary.states == {State.SHARED: 5, State.INVALID: 1}
        assert ending.summary.failed_sheet == failed
        assert not any("kept" in remark for remark in ending.remarks)
        (left,) = rows_of(failed)
        assert (left["Duration"], left["Sheet Row"]) == ("later", "3")
        correct(failed, put("Duration", "1d"))
        assert (await go_on(it, failed)).summary.states == {State.SHARED: 6}
        assert (await it.run(note="taken in anew")).summary.states == {State.SHARED: 6}
        assert len(it.leads_sent()) == 6


async def test_the_same_file_again_changes_nothing_that_was_sent(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=6) as it:
        failed = await with_mistakes(it)
        correct(failed, put("Duration", "7d", "7d"))
        kept = failed.read_bytes()
        await go_on(it, failed)
        for place in (failed, tmp_path / "mine.csv"):
            place.write_bytes(kept)
            again = await go_on(it, place)
            assert (again.summary.states, again.sent) == ({State.SHARED: 6}, 0)
        correct(place, put("Access", "write"))
        again = await go_on(it, place)
        assert (again.summary.states, again.sent) == ({State.SHARED: 6}, 0)
        assert place.exists()
        plan = await plan_job(SheetJob(place, it.name, corrects=True), it.settings())
        assert any("of the failed rows not corrected: sent meanwhile" in note for note in plan.sheet.notes())


async def test_what_is_corrected_in_the_sheet_itself_wins(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        failed = await with_mistakes(it, 3, 1)
        correct(failed, put("Duration", "later"))
        await go_on(it, failed)
        rows = sheet_rows(3)
        it.write([[*rows[0][:4], "9d", "201"], *rows[1:]])
        ending = await it.run()
        assert (ending.summary.states, ending.summary.corrected) == ({State.SHARED: 3}, {})
        assert it.rows("duration")[0] == (9 * 1440,)


async def test_rows_alike_are_corrected_each_by_itself(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        rows = sheet_rows(3)
        wrong = [NOBODY, "", *rows[0][2:]]
        it.write([wrong, wrong, *rows[2:]])
        failed = (await it.run()).summary.failed_sheet
        assert failed is not None
        correct(failed, lambda found: found[1].update({"Lead Id": rows[1][0]}))
        correct(failed, lambda found: found.sort(key=lambda row: row["Sheet Row"], reverse=True))
        ending = await go_on(it, failed)
        assert ending.summary.states == {State.SHARED: 2, State.INVALID: 1}
        assert [state for (state,) in it.rows("state")] == ["invalid", "shared", "shared"]
        again = await it.run(note="taken in anew")
        assert (again.summary.states, again.sent) == ({State.SHARED: 2, State.INVALID: 1}, 0)


async def test_a_row_that_was_corrected_to_what_another_asks_for_is_not_sent(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        rows = sheet_rows(3)
        it.write([*rows[:2], [NOBODY, "", *rows[2][2:]]])
        failed = (await it.run()).summary.failed_sheet
        assert failed is not None
        same = dict(zip(rows_of(tmp_path / "leads.csv")[0], rows[0], strict=True))
        correct(failed, lambda found: found[0].update(same))
        ending = await go_on(it, failed)
        assert ending.summary.states == {State.SHARED: 2, State.SKIPPED: 1}
        assert len(it.leads_sent()) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[1].update({REFERENCE: ""}), "row 3: its 'Row Reference' is missing"),
        (
            lambda rows: rows[1].update({REFERENCE: rows[0][REFERENCE]}),
            "row 3: it has the 'Row Refer.*of row 2",
        ),
        (lambda rows: [row.pop("Access") for row in rows], "the column 'Access' is not there any more"),
        (
            lambda rows: rows[1].update({REFERENCE: f"R-{'0' * 10}-{'1' * 20}"}),
            "row 3: its 'Row Reference' is of another job",
        ),
    ],
)
async def test_what_can_not_be_told_is_refused_before_anything_is_sent(
    tmp_path: Path, change: Callable[[list[dict[str, str]]], object], words: str
) -> None:
    async with trial(tmp_path, rows=4) as it:
        failed = await with_mistakes(it, 4)
        correct(failed, put("Duration", "7d", "7d"))
        correct(failed, change)
        with pytest.raises(SheetError, match=words):
            await go_on(it, failed)
        assert len(it.leads_sent()) == 2


async def test_a_column_that_was_added_to_failed_rows_is_said_not_to_be_read(tmp_path: Path) -> None:
    """As somebody adds it where LeadSquared said that a field is mandatory."""
    async with trial(tmp_path, rows=4) as it:
        failed = await with_mistakes(it, 4)
        correct(failed, lambda rows: [row.update({"mx_Custom_1": "blue"}) for row in rows])
        onlooker = Onlooker()
        correct(failed, put("Duration", "7d", "7d"))
        await do(RunSheet(SheetJob(failed, LedgerName.of_sheet(failed))), it.settings(), onlooker)
        told = [each for each in onlooker.previews[0].notes if each.startswith("not read")]
        assert told == ["not read: mx_Custom_1, which leads.csv does not have: add it there"]


async def test_the_job_of_an_unknown_reference_is_asked_for(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=4) as it:
        failed = await with_mistakes(it, 4)
        away = tmp_path / "away"
        away.mkdir()
        failed = failed.rename(away / "mine.csv")
        correct(failed, put("Duration", "7d", "7d"))
        with pytest.raises(SheetError, match="the job that its rows failed in is not known on this machine"):
            await go_on(it, failed, data_folder=tmp_path / "other")
        with pytest.raises(LedgerError):
            await go_on(it, failed, LedgerName.of(away / "none.db"))
        assert (await go_on(it, failed)).summary.states == {State.SHARED: 4}  # the index of runs knows it
        assert failed.exists()


async def test_the_settings_of_the_job_hold_and_others_are_refused(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        rows = sheet_rows(3)
        it.write([[NOBODY, "", *rows[0][2:4], "", "201"], *rows[1:]])
        failed = (await it.run(duration="9d")).summary.failed_sheet
        assert failed is not None
        correct(failed, put("Lead Id", rows[0][0]))
        with pytest.raises(SettingsError, match="has '9d'"):
            await go_on(it, failed, duration="1d")
        assert (await go_on(it, failed)).summary.states == {State.SHARED: 3}
        assert it.rows("duration")[0] == (9 * 1440,)
        assert (await it.run(duration="9d")).sent == 0


async def test_cells_that_could_not_be_read_are_not_read_as_blank_then(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=4) as it:
        rows = sheet_rows(4)
        it.write(
            [[*rows[0][:4], "soon", "201"], [*rows[1], "too far"], [*rows[2][:3], "#N/A", *rows[2][4:]], rows[3]]
        )
        failed = (await it.run()).summary.failed_sheet
        assert failed is not None
        correct(failed, put("Duration", "7d"))
        before = it.rows("state", "cause", "details")[1:]
        assert (await go_on(it, failed)).summary.states[State.SHARED] == 2
        assert it.rows("state", "cause", "details")[1:] == before


async def test_rows_that_the_job_left_out_stay_so(tmp_path: Path) -> None:
    from batch_share.planning.plan import SheetOptions
    from batch_share.sheet.rows import Selection

    async with trial(tmp_path, rows=4) as it:
        rows = sheet_rows(4)
        it.write([[*rows[0][:4], "soon", "201"], *rows[1:]])
        options = SheetOptions(selection=Selection.parse(None, "2-3", ()))
        await it.do(RunSheet(SheetJob(tmp_path / "leads.csv", it.name, options)))
        failed = tmp_path / "leads.failed.csv"
        correct(failed, put("Duration", "7d"))
        before = it.rows("state", "cause", "details")[2:]
        assert (await go_on(it, failed)).summary.states == {State.SHARED: 2, State.SKIPPED: 2}
        assert it.rows("state", "cause", "details")[2:] == before


async def test_a_workbook_with_a_date_that_is_one(tmp_path: Path) -> None:
    end = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=30)
    async with trial(tmp_path, rows=3) as it:
        rows = sheet_rows(3)
        book = openpyxl.Workbook()
        page = book.active
        page.append(["Lead Id", "User Id", "Access", "Until", "Activity Event"])
        for row, until in zip(rows, ["soon", f"{end:%d.%m.%Y}", "soon as well"], strict=True):
            page.append([row[0], row[2], "read", until, 201])
        sheet = tmp_path / "week.xlsx"
        book.save(sheet)
        job = SheetJob(sheet, LedgerName.of_sheet(sheet))
        assert (await it.do(RunSheet(job))).summary.states == {State.SHARED: 1, State.INVALID: 2}
        failed = tmp_path / "week.failed.xlsx"
        book = openpyxl.load_workbook(failed)
        page = book.active
        for at in (2, 3):
            page.cell(at, 4).value = end
            page.cell(at, 4).number_format = "dd/mm/yyyy"
        page.move_range("A2:Z2", rows=3)
        page.delete_rows(2)
        book.save(failed)
        ending = await go_on(it, failed)
        assert (ending.summary.states, ending.remarks) == (
            {State.SHARED: 3},
            ["No row is left to fix: week.failed.xlsx was removed"],
        )
        assert not failed.exists()
        assert (await it.do(RunSheet(job))).sent == 0
        answered = openpyxl.load_workbook(tmp_path / "week.results.xlsx")
        assert answered["Results"]["D2"].value == dt.datetime.combine(end, dt.time())
        reported = {row[0]: row[1] for row in answered["Summary"].iter_rows(values_only=True)}
        assert "3 of 3 rows shared" in reported
        assert reported["Corrected"] == "2 rows as corrected in week.failed.xlsx"


async def test_a_sheet_of_the_same_name_with_other_rows_has_totals_of_its_own(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=9) as it:
        rows = sheet_rows(9)
        it.write([*rows[:5], [*rows[5][:4], "soon", "201"]])
        await it.run()
        it.write(rows[6:])
        ending = await it.run()
        assert (ending.summary.states, ending.summary.earlier) == ({State.SHARED: 3}, {State.SHARED: 5})
        assert ending.summary.as_json()["earlier"] == {"shared": 5}
        assert ending.exit_code is ExitCode.DONE
        results = rows_of(tmp_path / "leads.results.csv")
        assert [bool(row["Sheet Row"]) for row in results] == [True] * 3 + [False] * 5
        async with read_ledger(it.name) as ledger:
            assert sum((await ledger.counts()).values()) == 8
        report = (await report_of(it.name, None)).path.read_text()
        assert "All 3 rows are shared." in report
        assert "5 rows from earlier sheets: 5 shared" in report


async def test_a_run_that_is_cut_off_as_it_takes_corrections_in_has_taken_none(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=4) as it:
        failed = await with_mistakes(it, 4)
        correct(failed, put("Duration", "7d", "7d"))
        before = it.rows("key", "state", "cells", "edit")
        it.change("CREATE TRIGGER full BEFORE INSERT ON edits BEGIN SELECT RAISE(FAIL, 'it is full'); END")
        assert "it is full" in str((await go_on(it, failed)).error)
        assert it.rows("key", "state", "cells", "edit") == before
        assert it.query("SELECT count(*) FROM edits") == [(0,)]
        assert failed.exists()
        it.change("DROP TRIGGER full")
        assert (await go_on(it, failed)).summary.states == {State.SHARED: 4}
        assert len(it.leads_sent()) == 4


async def test_a_run_that_is_cut_off_once_they_are_taken_in_goes_on_with_them(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=6) as it:
        failed = await with_mistakes(it, 6, 3)
        correct(failed, put("Duration", "7d", "7d", "7d"))
        kept = failed.read_bytes()
        with pytest.raises(asyncio.CancelledError):
            await do(RunSheet(SheetJob(failed, it.name)), it.settings(), Cuts())
        assert len(it.leads_sent()) == 3
        failed.write_bytes(kept)
        assert (await go_on(it, failed)).summary.states == {State.SHARED: 6}
        assert sorted(it.leads_sent()) == sorted({*it.leads_sent()})


async def test_a_row_with_an_activity_by_now_is_not_sent_again_by_a_correction(tmp_path: Path) -> None:
    """It was in the file when it had failed for good; by now another try has posted its activity."""
    faults = Fault(CREATE, [1], envelope(500, "No")), Fault(SHARE, [3], envelope(500, "No share"))
    async with trial(tmp_path, *faults, rows=3) as it:
        failed = (await it.run(workers=1)).summary.failed_sheet
        assert failed is not None
        mine = failed.rename(tmp_path / "mine.csv")
        assert (await it.retry()).summary.states == {State.SHARED: 2, State.FAILED: 1}
        correct(mine, put("Access", "write"))
        assert (await go_on(it, mine)).summary.states == {State.SHARED: 2, State.FAILED: 1}
        assert len(it.leads_sent()) == 3
        assert it.query("SELECT count(*) FROM edits") == [(0,)]


async def test_a_copy_that_was_recovered_looks_corrected_rows_up_before_it_sends_them(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [1], envelope(500, "No")), rows=3) as it:
        failed = (await it.run(workers=1)).summary.failed_sheet
        assert failed is not None
        correct(failed, put("Access", "write"))
        kept, older = failed.read_bytes(), it.ledger.read_bytes()
        assert (await go_on(it, failed)).summary.states == {State.SHARED: 3}
        it.ledger.write_bytes(older)
        failed.write_bytes(kept)
        assert "it is older than its job" in str(await refusal(go_on(it, failed)))
        recovered = await go_on(it, failed, recover=True)
        assert (recovered.summary.states, recovered.summary.corrected) == ({State.SHARED: 3}, {failed.name: 1})
        assert len(it.leads_sent()) == 3
