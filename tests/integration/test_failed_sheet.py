"""The sheet of failed rows of a real run: fixed, it runs by itself and shares what was left."""

from __future__ import annotations

import csv
from datetime import datetime
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest
from placing import named
from spreadsheets import opened
from trial import CREATE, HEADER, SHARE, Fault, Onlooker, Trial, envelope, sheet_rows, trial
from visiting import on_both

from batch_share import BatchShare, Correction
from batch_share.errors import BatchShareError, LedgerError, SettingsError
from batch_share.jobs.job import do
from batch_share.jobs.outputs import results_of, status_of
from batch_share.jobs.run import RunSheet
from batch_share.ledger.files import LedgerName, read_ledger
from batch_share.ledger.states import State
from batch_share.planning.already_shared import known_runs
from batch_share.planning.intake import SheetJob
from batch_share.results import answers
from batch_share.results.wording import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

    from batch_share.jobs.job import Ending
    from batch_share.results.answers import FailedSheet

NOBODY = "ffffffff-0000-4000-8000-000000000000"


async def run_failed(it: Trial, sheet: Path) -> Ending:
    """What `batch-share run leads.failed.csv` does."""
    job = SheetJob(sheet, LedgerName.of_sheet(sheet, it.changes.get("store")))
    return await do(RunSheet(job), it.settings(), Onlooker())


def rows_of(sheet: Path) -> list[dict[str, str]]:
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def write(sheet: Path, rows: list[dict[str, str]]) -> None:
    with sheet.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@on_both
async def test_a_fixed_sheet_of_failed_rows_shares_them_and_nothing_else(
    tmp_path: Path, its_store: SecretStr | None
) -> None:
    failed = tmp_path / "leads.failed.csv"
    async with trial(tmp_path, rows=6) as it:
        it.changes["store"] = its_store
        rows = sheet_rows(6)
        it.write([*rows[:2], [NOBODY, "", *rows[2][2:]], [*rows[3][:4], "soon", "201"], *rows[4:]])
        ending = await it.run()
        assert ending.summary.states == {State.SHARED: 4, State.INVALID: 2}
        assert ending.summary.failed_sheet == failed
        to_fix = rows_of(failed)
        assert [row["Sheet Row"] for row in to_fix] == ["4", "5"]
        assert [*to_fix[0]] == [*rows_of(tmp_path / "leads.csv")[0], "Reason", "Sheet Row", "Row Reference"]

        again = await run_failed(it, failed)  # nothing was fixed: nothing is sent
        assert again.summary.states == {State.SHARED: 4, State.INVALID: 2}
        assert again.summary.failed_sheet == failed

        to_fix[0] |= {"Lead Id": rows[2][0]}
        to_fix[1] |= {"Duration": "7d"}
        write(failed, to_fix[::-1])
        fixed = await run_failed(it, failed)
        assert fixed.summary.states == {State.SHARED: 6}
        assert fixed.summary.corrected == {"leads.failed.csv": 2}
        assert (fixed.summary.failed_sheet, fixed.summary.earlier) == (None, {})
        assert not failed.exists()
        assert not LedgerName.of_sheet(failed, its_store).exists()
        assert sorted(it.leads_sent()) == sorted(row[0] for row in rows)


async def test_a_row_whose_columns_name_two_people_is_shared_once_one_of_them_is_gone(tmp_path: Path) -> None:
    """Also as a failed row, whose job knows of the other column by nothing but that."""
    async with trial(tmp_path, rows=2) as it:
        rows = [[*row, "Asha Rao"] for row in sheet_rows(2)]
        rows[1][-1] = next(user.email for user in it.sandbox.world.users if user.id == rows[0][2])
        with (tmp_path / "leads.csv").open("w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows([[*HEADER, "Sales User"], *rows])
        ending = await it.run()
        assert ending.summary.states == {State.SHARED: 1, State.INVALID: 1}
        assert ending.summary.failed_sheet is not None
        (to_fix,) = rows_of(ending.summary.failed_sheet)
        assert to_fix["Reason"].startswith("Sales User: is not that of User Id")
        again = await run_failed(it, ending.summary.failed_sheet)
        assert again.summary.states == {State.SHARED: 1, State.INVALID: 1}
        write(ending.summary.failed_sheet, [to_fix | {"Sales User": ""}])
        fixed = await run_failed(it, ending.summary.failed_sheet)
        assert fixed.summary.states == {State.SHARED: 2}
        assert (await it.run()).summary.states == {State.SHARED: 2}


@pytest.mark.parametrize(
    ("of_job", "now", "is_same"),
    [
        ("201", "Site visit", True),
        ("site  visit", "201", True),
        ("201", "202", False),
        ("Site visit", "Call back", False),
    ],
)
async def test_a_type_of_activity_is_the_same_by_its_name_and_by_its_code(
    tmp_path: Path, of_job: str, now: str, is_same: bool
) -> None:
    async with trial(tmp_path, rows=3) as it:
        it.write([[*row[:4], each, ""] for row, each in zip(sheet_rows(3), ("soon", "7d", "7d"), strict=True)])
        it.changes["event"] = of_job
        await it.run()
        failed = tmp_path / "leads.failed.csv"
        write(failed, [each | {"Duration": "7d"} for each in rows_of(failed)])
        it.changes["event"] = now
        if is_same:
            assert (await run_failed(it, failed)).summary.states == {State.SHARED: 3}
            return
        with pytest.raises(SettingsError, match=f"has {of_job!r}, and its failed rows go on with that"):
            await run_failed(it, failed)


async def test_a_file_from_before_a_correction_does_not_undo_that(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        it.write([[*row[:4], each, "201"] for row, each in zip(sheet_rows(3), ("soon", "soon", "7d"), strict=True)])
        await it.run()
        failed, sheet = tmp_path / "leads.failed.csv", tmp_path / "leads.csv"
        old = rows_of(failed)
        library = BatchShare(it.settings())
        await library.correct(
            sheet, [Correction(2, "Duration", "soon", "later"), Correction(3, "Duration", "soon", "then")]
        )
        await it.run()  # which takes them in, wrong as they are
        await library.correct(sheet, [Correction(2, "Duration", "later", "3d")])  # and this is not taken in yet
        write(failed, [old[0], old[1] | {"Duration": "5d"}])
        ending = await run_failed(it, failed)
        assert ending.summary.states == {State.SHARED: 3}
        assert [minutes for (minutes,) in it.rows("duration")] == [3 * 1440, 5 * 1440, 7 * 1440]


async def test_a_refused_activity_can_be_fixed_and_one_that_stands_is_left_out(tmp_path: Path) -> None:
    refusals = Fault(CREATE, [2], envelope(500, "No")), Fault(SHARE, [3], envelope(500, "No share"))
    async with trial(tmp_path, *refusals, rows=6) as it:
        ending = await it.run(workers=1)
        assert ending.summary.states == {State.SHARED: 4, State.FAILED: 2}
        assert ending.summary.standing == 1
        assert ending.summary.failed_sheet is not None
        (to_fix,) = rows_of(ending.summary.failed_sheet)
        assert to_fix["Reason"] == "LeadSquared refused the activity: No"
        write(ending.summary.failed_sheet, [to_fix | {"Access": "read"}])
        states = (await run_failed(it, ending.summary.failed_sheet)).summary.states
        assert states == {State.SHARED: 5, State.FAILED: 1}
        newest = (await known_runs(it.settings(), 1, [])).runs[0]
        assert newest.counts == {"shared": 5, "failed": 1}, "the row as it was is history"
        sent = it.leads_sent()
        assert len(sent) == len(set(sent)) == 6


@pytest.mark.parametrize("where", ["failed sheet", "page", "sheet"])
@on_both
async def test_a_refused_row_whose_length_alone_is_corrected_is_sent_so_as_its_plan_says(
    tmp_path: Path, its_store: SecretStr | None, where: str
) -> None:
    async with trial(tmp_path, Fault(CREATE, [2], envelope(500, "No")), rows=3) as it:
        it.changes["store"] = its_store
        failed = (await it.run(workers=1)).summary.failed_sheet
        assert failed is not None
        (to_fix,) = rows_of(failed)
        sheet, library = it.folder / "leads.csv", BatchShare(it.settings())
        assert (await library.plan(sheet)).to_send == 0
        assert (await library.plan(failed)).to_send == 1, "run as it is, it tries its rows again"
        number = int(to_fix["Sheet Row"])
        if where == "failed sheet":
            write(failed, [to_fix | {"Duration": "3d"}])
        elif where == "page":
            await library.correct(sheet, [Correction(number, "Duration", to_fix["Duration"], "3d")])
        else:
            rows = sheet_rows(3)
            rows[number - 2][HEADER.index("Duration")] = "3d"
            it.write(rows)
        meant = failed if where == "failed sheet" else sheet
        for online in (False, True):
            plan = await library.plan(meant, online=online)
            assert (plan.to_send, plan.lasting) == (1, {"3 days": 1})
        ending = await (run_failed(it, failed) if where == "failed sheet" else it.run())
        assert ending.summary.states == {State.SHARED: 3}
        assert (3 * 1440,) in it.rows("duration")
        assert len(it.leads_sent()) == len({*it.leads_sent()}) == 3


@on_both
async def test_what_somebody_is_fixing_is_not_touched_by_the_next_run_which_says_so(
    tmp_path: Path, its_store: SecretStr | None
) -> None:
    async with trial(tmp_path, rows=3) as it:
        it.changes["store"] = its_store
        rows = sheet_rows(3)
        it.write([rows[0], [NOBODY, "", *rows[1][2:]]])
        failed = (await it.run()).summary.failed_sheet
        assert failed is not None
        failed.write_text("half fixed")
        it.write([rows[0], [NOBODY, "", *rows[1][2:]], [*rows[2][:4], "soon", "201"]])
        ending = await it.run()
        assert failed.read_text() == "half fixed"
        assert ending.summary.failed_sheet == tmp_path / "leads.failed-2.csv"
        assert any("leads.failed.csv is not what this ledger wrote" in remark for remark in ending.remarks)


DAY = datetime(2035, 12, 31)  # noqa: DTZ001 - as a cell has it


@pytest.mark.parametrize("typed", [DAY, DAY.replace(hour=18), "31 Dec 2035"])
async def test_a_date_that_a_person_types_into_the_workbook_is_a_date_however_its_rows_are_sorted(
    tmp_path: Path, typed: datetime | str
) -> None:
    """As Excel does it: a new value in a cell as it is formatted."""
    async with trial(tmp_path, rows=4) as it:
        book = openpyxl.Workbook()
        page: Any = book.active
        page.append(["Leads of December"])
        page.merge_cells("A1:C1")
        page.append([])
        page.append(["Lead Number", "User Id", "Access", "Until", "Deal", "Activity Event"])
        for at, (_, number, user, access, _, event) in enumerate(sheet_rows(4)):
            page.append([int(number), user, access, "soon" if at > 1 else DAY, 100.5 * at, event])
            page.cell(at + 4, 4).number_format = "dd/mm/yyyy"
            page.cell(at + 4, 5).number_format = "[$₹-4009] #,##0.00"
        sheet = tmp_path / "cover.xlsx"
        book.save(sheet)
        ending = await run_failed(it, sheet)
        assert ending.summary.states == {State.SHARED: 2, State.INVALID: 2}
        failed = tmp_path / "cover.failed.xlsx"
        assert ending.summary.failed_sheet == failed

        again = await run_failed(it, failed)  # nothing was corrected: nothing is taken for a correction
        assert (again.summary.corrected, again.summary.states) == ({}, ending.summary.states)

        book = opened(failed)
        page = book.active
        assert page["A1"].value == "Leads of December"
        first, second = ([cell.value for cell in row] for row in page.iter_rows(min_row=4))
        assert [first[4], second[4], page["D4"].number_format] == [201, 301.5, "dd/mm/yyyy"]
        for at, row in enumerate([second, first], start=4):
            for column, value in enumerate(row, start=1):
                page.cell(at, column).value = typed if column == 4 else value
        book.save(failed)
        fixed = await run_failed(it, failed)
        assert fixed.summary.states == {State.SHARED: 4}
        assert fixed.summary.corrected == {"cover.failed.xlsx": 2}
        async with read_ledger(LedgerName.of_sheet(sheet)) as ledger:
            ends = {row.sheet_row: row.ends_at async for row in ledger.in_order()}
        assert {number: end and end.year for number, end in ends.items()} == dict.fromkeys(range(4, 8), 2035)
        answered = opened(tmp_path / "cover.results.xlsx")["Results"]
        shown = [(row[4].value, row[4].number_format) for row in answered.iter_rows(min_row=2)]
        assert shown == [(100.5 * at, "[$₹-4009] #,##0.00") for at in range(4)]


async def test_it_goes_when_the_sheet_itself_was_fixed(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        rows = sheet_rows(2)
        it.write([rows[0], [*rows[1][:4], "soon", "201"]])
        failed = (await it.run()).summary.failed_sheet
        assert failed is not None
        assert (await status_of(it.name)).failed_sheet == failed
        it.write(rows)
        ending = await it.run()
        assert (ending.summary.states, ending.summary.failed_sheet) == ({State.SHARED: 2}, None)
        assert ending.remarks == ["No row is left to fix: leads.failed.csv was removed"]
        assert not failed.exists()
        assert (await status_of(it.name)).failed_sheet is None


async def test_the_results_tell_of_the_run_that_wrote_them(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        it.write([*sheet_rows(3)[:2], [NOBODY, "", *sheet_rows(3)[2][2:]]])
        await it.run()
        target = await results_of(it.name, named(tmp_path / "answered.xlsx"))
    book = openpyxl.load_workbook(target.path)
    reported = {row[0]: row[1:] for row in book["Summary"].iter_rows(values_only=True)}
    assert reported["run"][5] == "done"
    assert str(reported["To do"][0]).startswith("Some rows can be fixed: correct them in leads.failed.csv, then: ")
    (_, failure) = book["Failures"].iter_rows(values_only=True)
    assert str(failure[4]).endswith(" in leads.failed.csv, or create it in LeadSquared; then run that file.")


async def test_a_ledger_that_can_not_note_it_is_trouble_and_no_mere_remark(tmp_path: Path) -> None:
    fails = "BEFORE INSERT ON about WHEN NEW.name = 'written' BEGIN SELECT RAISE(FAIL, 'it is full'); END"
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        it.change(f"CREATE TRIGGER full {fails}")
        it.write([sheet_rows(2)[0], [NOBODY, "", *sheet_rows(2)[1][2:]]])
        ending = await it.run()
        assert isinstance(ending.error, LedgerError)
        assert "it is full" in str(ending.error)
        assert (ending.exit_code, [*ending.remarks]) == (ExitCode.NOT_DONE, [])
        it.change("DROP TRIGGER full")
        assert (await it.run()).error is None


async def test_that_it_can_not_be_written_hides_neither_the_results_nor_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> FailedSheet:
        raise BatchShareError("No space left on device.")

    async with trial(tmp_path, rows=2) as it:
        it.write([sheet_rows(2)[0], [NOBODY, "", *sheet_rows(2)[1][2:]]])
        with monkeypatch.context() as patch:
            patch.setattr(answers, "write_failed", refuse)
            ending = await it.run()
        assert ending.remarks == ["The rows to fix are in no file: No space left on device"]
        assert ending.summary.results == tmp_path / "leads.results.csv"
        assert len(rows_of(tmp_path / "leads.results.csv")) == 2
        assert (await it.resume()).summary.failed_sheet == tmp_path / "leads.failed.csv"
