"""What surrounds a run: who agrees to it and on what, and what is told of a ledger and written from it."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import pytest
from placing import named
from pydantic import SecretStr
from trial import CREATE, HEADER, SHARE, STATUS, Fault, Onlooker, Trial, altogether, envelope, sheet_rows, trial

from batch_share.errors import (
    AccessDenied,
    BatchShareError,
    LedgerError,
    OfAnotherSheet,
    PlanChanged,
    SettingsError,
    SheetError,
)
from batch_share.jobs.job import do
from batch_share.jobs.outputs import report_of, results_of, status_of
from batch_share.jobs.run import RunSheet
from batch_share.ledger.files import LedgerName, open_ledger
from batch_share.ledger.reading import LedgerReader
from batch_share.ledger.records import Changes, Occasion, ToShare
from batch_share.ledger.states import State
from batch_share.outputs import digest_of
from batch_share.planning.intake import SheetJob, plan_job, show_sheet
from batch_share.planning.plan import Approval, SheetOptions
from batch_share.results.wording import ExitCode
from batch_share.sheet.rows import Selection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from trial import Step

    from batch_share.jobs.job import Ending
    from batch_share.sandbox.wire import Reply, SandboxCall
    from batch_share.sending.onlookers import Preview


@dataclass(slots=True)
class Doubter(Onlooker):
    """Says no."""

    def agree(self, preview: Preview) -> bool:
        """Keep the preview and say no."""
        self.previews.append(preview)
        return False


def part(*ranges: tuple[int, int]) -> SheetOptions:
    return SheetOptions(selection=Selection(ranges=ranges))


def rows_of(results: Path) -> list[dict[str, str]]:
    with results.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def written_in(folder: Path) -> list[Path]:
    return [*folder.glob("*.results.*"), *folder.glob("*.report.*")]


async def run(
    it: Trial, options: SheetOptions, approved: Path | None = None, onlooker: Onlooker | None = None
) -> Ending:
    job = SheetJob(it.folder / "leads.csv", it.name, options, approved)
    return await do(RunSheet(job), it.settings(), onlooker or Onlooker())


async def test_a_ledger_is_not_given_to_another_sheet(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=9) as it:
        await it.run()
        it.write(sheet_rows(12, it.sandbox.world)[9:])
        job = SheetJob((tmp_path / "leads.csv").rename(tmp_path / "other.csv"), it.name)
        with pytest.raises(OfAnotherSheet) as caught:
            await do(RunSheet(job), it.settings(), Onlooker())
        assert (caught.value.named, caught.value.sheet) == ("leads.csv", "other.csv")
        assert it.query("SELECT count(position), count(*) FROM rows") == [(9, 9)]
        assert it.query("SELECT count(*) FROM sheets") == [(1,)]
        assert it.query("SELECT ended FROM runs ORDER BY id")[-1][0] == str(caught.value)


async def test_a_sheet_may_be_written_anew_and_go_on_under_another_name(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=9) as it:
        rows, onlooker = sheet_rows(14, it.sandbox.world), Onlooker()
        await it.run()
        it.write(rows[9:12])
        await it.run(onlooker)
        it.write(rows[11:])
        job = SheetJob((tmp_path / "leads.csv").rename(tmp_path / "other.csv"), it.name)
        ending = await do(RunSheet(job), it.settings(), onlooker)
        assert altogether(ending.summary) == {State.SHARED: 14}
        assert [preview.changes for preview in onlooker.previews] == [
            Changes(3, 0, 0, looked_up=3),
            Changes(2, 1, 0, looked_up=2),
        ]


# ------------------------------------------------------------------------------------------------- agreeing


async def test_nothing_is_sent_that_nobody_agreed_to(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        ending = await it.run(Doubter())
        assert str(ending.error) == "Nothing was sent: the run was not confirmed."
        assert ending.exit_code is ExitCode.NOT_DONE
        assert ending.summary.states == {State.PENDING: 12}
        assert (it.sent(CREATE), it.sent(SHARE)) == ([], [])
        assert it.query("SELECT ended FROM runs") == [("not confirmed",)]
        assert (await it.run()).summary.states == {State.SHARED: 12}


async def test_a_person_agrees_to_what_is_left_to_be_sent(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(SHARE, [1], envelope(401, "No"))) as it:
        first, second = Onlooker(), Onlooker()
        await it.run(first, workers=1)
        assert (first.previews[0].to_send, first.previews[0].cost.calls) == (12, 36 + 2)
        assert it.query("SELECT state, count(*) FROM rows GROUP BY 1") == [("pending", 11), ("posted", 1)]
        await it.resume(second)
        assert (second.previews[0].to_send, second.previews[0].cost.calls) == (12, 35 + 2)


async def test_a_person_is_told_what_is_given_to_whom_and_until_when(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        rows = sheet_rows(12, it.sandbox.world)
        rows[1][4], rows[2][4], rows[3][0] = "30m", "10d", "nobody"
        it.write([*rows, rows[0]])
        onlooker = Onlooker()
        await run(it, SheetOptions(selection=Selection(ranges=((2, 9), (14, 14)))), onlooker=onlooker)
        (preview,) = onlooker.previews
        assert preview.states == {State.PENDING: 7, State.INVALID: 1, State.SKIPPED: 5}
        assert preview.to_share == ToShare(7, 4, 4, 3, 30, 14_400)
        again = Onlooker()
        await it.run(again)
        assert again.previews[0].to_share == ToShare(4, 4, 2, 2, 10_080, 10_080)


async def test_a_zone_that_this_machine_does_not_know_is_left_out(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        it.change("INSERT INTO about VALUES ('zone', 'Mars/Olympus')")
        onlooker = Onlooker()
        await it.resume(onlooker)
        assert onlooker.previews[0].zone is None


async def test_a_run_costs_what_its_plan_and_its_preview_said(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        plan = await show_sheet(tmp_path / "leads.csv", SheetOptions(), it.settings(), None)
        looking = Onlooker()
        await it.run(looking)
        (preview,) = looking.previews
        assert plan.cost == preview.cost
        asked = ("Management", "ActivityTypes")
        looked_up = [
            call for call in it.sandbox.journal.since(0) if any(name in call["endpoint"] for name in asked)
        ]
        assert len(it.sandbox.journal.since(0)) - len(looked_up) == plan.cost.calls


async def test_shares_that_were_accepted_before_cost_a_call_each(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run(follow_up=False)
        looking = Onlooker()
        await it.resume(looking)
        await it.resume(looking, follow_up=False)
        assert [preview.cost.calls for preview in looking.previews] == [12, 0]


async def test_only_what_was_approved_is_run(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        settings, file = it.settings(), tmp_path / "plan.json"
        plan = await plan_job(SheetJob(tmp_path / "leads.csv", it.name), settings)
        Approval.of(plan, settings).save(named(file))
        it.write(sheet_rows(4))
        with pytest.raises(PlanChanged):
            await run(it, SheetOptions(), file)
        assert it.sandbox.report()["total_calls"] == 0
        assert not it.ledger.exists()
        it.write(sheet_rows(3))
        assert (await run(it, SheetOptions(), file)).summary.states == {State.SHARED: 3}


async def test_a_part_and_then_the_whole_is_sent_once(tmp_path: Path) -> None:
    """A duplicate of a row that is left out is not sent either, until the first of them is."""
    async with trial(tmp_path) as it:
        rows = sheet_rows(3)
        it.write([rows[0], rows[1], rows[0], rows[2]])
        assert (await run(it, part((4, 5)))).summary.states == {State.SKIPPED: 3, State.SHARED: 1}
        assert (await run(it, part((2, 2)))).summary.states == {State.SKIPPED: 2, State.SHARED: 2}
        assert (await it.run()).summary.states == {State.SKIPPED: 1, State.SHARED: 3}
        assert sorted(it.leads_sent()) == sorted(row[0] for row in rows)


async def test_why_a_sheet_is_taken_in_again_is_reported(tmp_path: Path) -> None:
    looking = Onlooker()
    async with trial(tmp_path, rows=3) as it:
        for options in (SheetOptions(), part((2, 3)), part((2, 3))):
            await run(it, options, onlooker=looking)
        it.write(sheet_rows(4))
        await run(it, part((2, 3)), onlooker=looking)
        changes = [preview.changes for preview in looking.previews]
        assert [each and (each.occasion, each.kept) for each in changes] == [
            (Occasion.SHEET, 0),
            (Occasion.CHOICE, 3),
            None,
            (Occasion.SHEET, 3),
        ]


async def test_that_somebody_is_found_at_last_is_reported(tmp_path: Path) -> None:
    looking = Onlooker()
    async with trial(tmp_path, rows=3) as it:
        leads = it.sandbox.world._leads
        late = leads.pop(sheet_rows(3)[1][0])
        assert (await it.run()).summary.states == {State.SHARED: 2, State.INVALID: 1}
        leads[late.id] = late
        assert (await it.run(looking)).summary.states == {State.SHARED: 3}
    assert [preview.changes and preview.changes.occasion for preview in looking.previews] == [Occasion.FOUND]


async def test_a_run_of_no_row_is_refused_before_a_ledger_is_made(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        with pytest.raises(SheetError, match="--rows 8-9 chooses none of its 3 rows, which are numbered 2 to 4"):
            await run(it, part((8, 9)))
        assert not it.ledger.exists()


@pytest.mark.parametrize("job", ["resume", "reconcile", "follow_up", "status", "results", "report"])
async def test_a_ledger_without_a_sheet_has_nothing_to_do_or_to_tell(tmp_path: Path, job: str) -> None:
    async with trial(tmp_path) as it:
        async with open_ledger(LedgerName.of(it.ledger), host=it.sandbox.url):
            pass
        jobs: dict[str, Callable[[], Awaitable[object]]] = {
            "resume": it.resume,
            "reconcile": it.reconcile,
            "follow_up": it.follow_up,
            "status": partial(status_of, it.name),
            "results": partial(results_of, it.name, None),
            "report": partial(report_of, it.name, None),
        }
        with pytest.raises(LedgerError, match="it holds no sheet yet: run one with `batch-share run SHEET`"):
            await jobs[job]()
        assert it.sandbox.report()["total_calls"] == 0
        assert written_in(tmp_path) == []


async def test_a_sheet_that_breaks_off_is_not_taken_in_at_all(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        with (tmp_path / "leads.csv").open("a", encoding="utf-8") as sheet:
            sheet.write('"')
        ending = await it.run()
        assert isinstance(ending.error, BatchShareError)
        assert (ending.exit_code, ending.summary.rows) == (ExitCode.USAGE, 0)
        assert it.sent(CREATE) == []


async def test_a_run_that_ends_before_it_took_its_sheet_in_leaves_no_results(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        it.write([["", *row[1:]] for row in sheet_rows(3)])
        with pytest.raises(AccessDenied):
            await it.run(secret_key=SecretStr("wrong"))
        assert written_in(tmp_path) == []


@pytest.mark.parametrize("bulk", [False, True])
async def test_a_run_whose_ledger_vanishes_sends_no_more_and_tells_what_it_did(tmp_path: Path, bulk: bool) -> None:
    async def vanish(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == SHARE:
            it.ledger.unlink(missing_ok=True)
        return await step(call)

    async with trial(tmp_path, vanish, rows=60) as it:
        ending = await it.run(workers=1, bulk=bulk)
        assert isinstance(ending.error, LedgerError)
        assert "it was moved, deleted or replaced while the run worked on it" in str(ending.error)
        assert len(it.sent(SHARE)) == 1
        assert ending.exit_code is ExitCode.NOT_DONE
        counts = Counter(row["Result"] for row in rows_of(tmp_path / "leads.results.csv"))
        assert counts["accepted"] + counts["shared"] == (25 if bulk else 1)
        assert not it.ledger.exists()


async def test_a_ledger_that_vanishes_at_the_very_end_is_reported(tmp_path: Path) -> None:
    async def vanish(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == STATUS:
            it.ledger.unlink(missing_ok=True)
        return await step(call)

    async with trial(tmp_path, vanish, rows=1) as it:
        ending = await it.run()
        assert isinstance(ending.error, LedgerError)
        results = tmp_path / "leads.results.csv"
        assert (ending.summary.states, ending.summary.results) == ({State.SHARED: 1}, results)


# -------------------------------------------------------------------------------------- status and results


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("batch_share.outputs.tempfile.mkstemp", refuse)


async def test_results_that_can_not_be_written_hide_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trial(tmp_path) as it:
        with monkeypatch.context() as patch:
            full_disk(patch)
            ending = await it.run()
        assert ending.exit_code is ExitCode.NOT_DONE
        assert "leads.results.csv can't be written (No space left on device)" in str(ending.error)
        assert (ending.summary.states, ending.summary.results) == ({State.SHARED: 12}, None)
        assert (await results_of(it.name, None)).path == tmp_path / "leads.results.csv"


async def test_results_that_stand_there_as_they_were_written_are_not_written_again(tmp_path: Path) -> None:
    results = tmp_path / "leads.results.csv"
    async with trial(tmp_path) as it:
        await it.run()
        before = results.stat()
        for again in (it.run, it.resume, it.follow_up):
            assert (await again()).summary.results == results
        assert results.stat() == before


async def test_results_that_were_deleted_are_written_again(tmp_path: Path) -> None:
    results = tmp_path / "leads.results.csv"
    async with trial(tmp_path) as it:
        await it.run()
        written = results.read_bytes()
        results.unlink()
        await it.resume()
        assert results.read_bytes() == written


async def test_results_that_somebody_wrote_in_are_kept_and_the_new_ones_go_beside_them(tmp_path: Path) -> None:
    results, second = tmp_path / "leads.results.csv", tmp_path / "leads.results-2.csv"
    async with trial(tmp_path) as it:
        await it.run(follow_up=False)
        results.write_text("with remarks")
        ending = await it.follow_up()
        assert ending.summary.results == second
        reported = "leads.results.csv is not what this ledger wrote, so it is kept, and the results are in"
        assert [*ending.remarks] == [f"{reported} leads.results-2.csv"]
        assert (await status_of(it.name)).results == second
        again = await it.resume()
        assert (again.summary.results, [*again.remarks]) == (second, [])
        assert [row["Result"] for row in rows_of(second)] == ["shared"] * 12
        second.write_text("with more remarks")
        assert (await it.resume()).summary.results == tmp_path / "leads.results-3.csv"
    assert (results.read_text(), second.read_text()) == ("with remarks", "with more remarks")


async def test_what_a_person_keeps_under_the_name_of_results_or_a_report_is_never_written_over(
    tmp_path: Path,
) -> None:
    theirs = [tmp_path / "leads.results.csv", tmp_path / "leads.report.html"]
    for file in theirs:
        file.write_text("mine")
    async with trial(tmp_path, rows=2) as it:
        ending = await it.run()
        assert ending.summary.results == tmp_path / "leads.results-2.csv"
        assert (await results_of(it.name, None)).path == tmp_path / "leads.results-2.csv"
        for _ in range(2):
            report = await report_of(it.name, None)
            assert report.path == tmp_path / "leads.report-2.html"
    assert [file.read_text() for file in theirs] == ["mine", "mine"]


async def test_two_sheets_of_one_stem_have_results_of_their_own(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        before = (tmp_path / "leads.results.csv").read_bytes()
        sheet = tmp_path / "leads.tsv"
        sheet.write_text("\n".join("\t".join(row) for row in [HEADER, *sheet_rows(4)[2:]]))
        job = SheetJob(sheet, LedgerName.of(tmp_path / "leads.tsv.ledger.db"))
        for _ in range(2):
            ending = await do(RunSheet(job), it.settings(), Onlooker())
            assert ending.summary.results == tmp_path / "leads.results-2.csv"
        assert (await it.run()).summary.results == tmp_path / "leads.results.csv"
    assert (tmp_path / "leads.results.csv").read_bytes() == before
    assert [row["Result"] for row in rows_of(tmp_path / "leads.results-2.csv")] == ["shared"] * 2


async def test_a_file_that_was_named_is_written_again_by_any_ledger_until_somebody_changes_it(
    tmp_path: Path,
) -> None:
    target = named(tmp_path / "answered.csv")
    folder = tmp_path / "another"
    folder.mkdir()
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        other = Trial(folder, it.sandbox, {"state_folder": tmp_path / "state", "data_folder": tmp_path / "data"})
        other.write(sheet_rows(3)[2:])
        await other.run()
        for ledger, rows in ((it.ledger, 2), (it.ledger, 2), (other.ledger, 1), (it.ledger, 2)):
            await results_of(LedgerName.of(ledger), target)
            assert len(rows_of(target.target)) == rows
        target.target.write_text("with remarks")
        with pytest.raises(SettingsError, match="is nothing that batch_share wrote, or was changed since"):
            await results_of(it.name, target)
        with pytest.raises(SettingsError, match="is a ledger, or another database: name another file"):
            await results_of(it.name, named(other.ledger.rename(folder / "kept.csv")))
    assert target.target.read_text() == "with remarks"


async def test_a_ledger_knows_its_results_also_where_the_data_folder_is_new(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        for number in (1, 2):
            target = replace(named(tmp_path / "answered.csv"), folder=tmp_path / f"data{number}")
            assert (await results_of(it.name, target)).path == target.target


@pytest.mark.parametrize("fact", ["results", "failed_sheet"])
async def test_a_ledger_of_before_there_was_a_list_knows_what_it_wrote(tmp_path: Path, fact: str) -> None:
    results, failed = tmp_path / "leads.results.csv", tmp_path / "leads.failed.csv"
    async with trial(tmp_path, rows=2) as it:
        it.write([*sheet_rows(2), [*sheet_rows(3)[2][:4], "soon", "201"]])
        await it.run()
        found = results.stat()
        stamp = ["0.0.9", str(results), found.st_ino, found.st_size, found.st_mtime_ns]
        sheet = {"path": str(failed), "file": digest_of(failed), "rows": "other rows"}
        it.change("DELETE FROM about WHERE name IN ('written', 'results')")
        value = json.dumps({"results": stamp, "failed_sheet": sheet}[fact])
        it.change(f"INSERT INTO about VALUES ('{fact}', '{value}')")
        ending = await it.run()
    ours, theirs = (results, failed) if fact == "results" else (failed, results)
    reported = {file.name for file in (ending.summary.results, ending.summary.failed_sheet) if file}
    assert reported == {ours.name, theirs.with_stem(f"{theirs.stem}-2").name}


async def test_a_ledger_that_can_not_note_what_is_written_of_it_tells_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(ledger: LedgerReader, *_: object) -> None:
        raise LedgerError(ledger.name, "attempt to write a readonly database")

    async with trial(tmp_path, rows=2) as it:
        await it.run()
        monkeypatch.setattr(LedgerReader, "note_written", refuse)
        assert (await report_of(it.name, None)).path.is_file()
        (tmp_path / "leads.results.csv").unlink()
        ending = await it.run()
        assert "attempt to write a readonly database" in str(ending.error)


async def test_results_are_written_again_after_a_run_that_was_cut_off(tmp_path: Path) -> None:
    results = tmp_path / "leads.results.csv"
    async with trial(tmp_path) as it:
        await it.run()
        async with open_ledger(LedgerName.of(it.ledger)) as ledger:
            await ledger.begin_run("run", "1.0", {})
        before = results.stat()
        await it.resume()
        assert results.stat() != before


async def test_what_stopped_the_run_is_reported_rather_than_that_there_are_no_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trial(tmp_path, Fault(CREATE, [1], envelope(401, "No such key"))) as it:
        full_disk(monkeypatch)
        ending = await it.run()
        assert "No such key" in str(ending.error)
        assert ending.summary.results is None


async def test_the_status_is_the_totals_and_where_the_results_are(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        status = await status_of(it.name)
        assert (status.states, status.rows) == ({State.SHARED: 12}, 12)
        assert (status.ledger, status.results) == (it.name, tmp_path / "leads.results.csv")
        (tmp_path / "leads.results.csv").unlink()
        assert (await status_of(it.name)).results is None


async def test_the_status_can_be_asked_for_while_a_run_works_on_the_ledger(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run(Doubter())
        async with open_ledger(LedgerName.of(it.ledger)):
            assert (await status_of(it.name)).states == {State.PENDING: 12}


@pytest.mark.parametrize("name", [None, "answered.csv"])
async def test_results_are_written_where_they_are_wanted_else_beside_the_sheet(
    tmp_path: Path, name: str | None
) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        (tmp_path / "leads.results.csv").unlink()
        written = (await results_of(it.name, named(tmp_path / name) if name else None)).path
        assert written == tmp_path / (name or "leads.results.csv")
        assert [row["Result"] for row in rows_of(written)] == ["shared"] * 12


@pytest.mark.parametrize("name", [None, "told.html"])
async def test_a_report_is_written_where_it_is_wanted_else_beside_the_sheet(
    tmp_path: Path, name: str | None
) -> None:
    async with trial(tmp_path, Fault(CREATE, [2, 3], envelope(500, "No such field")), rows=4) as it:
        await it.run(workers=1)
        written = (await report_of(it.name, named(tmp_path / name) if name else None, most=1)).path
        assert written == tmp_path / (name or "leads.report.html")
        page = written.read_text("utf-8")
        assert [lead in page for (lead,) in it.rows("lead_number")] == [False, True, False, False]
        with pytest.raises(BatchShareError, match=r"written as \.html"):
            await report_of(it.name, named(tmp_path / "told.pdf"))


async def test_results_go_beside_the_ledger_where_the_sheets_folder_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    async with trial(folder) as it:
        await it.run()
        ledger = it.ledger.rename(tmp_path / "kept.db")
    shutil.rmtree(folder)
    assert (await results_of(LedgerName.of(ledger), None)).path == tmp_path / "leads.results.csv"
