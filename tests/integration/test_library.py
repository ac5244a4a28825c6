"""BatchShare, as a program uses it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from functools import partial
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from trial import CREATE, SHARE, Fault, envelope, sheet_rows, trial
from turns import account_turn

import batch_share
from batch_share import (
    AccessDenied,
    Approval,
    BatchShare,
    BatchShareError,
    ExitCode,
    Level,
    PlanChanged,
    Progress,
    SettingsError,
    SheetError,
    State,
    library,
)
from batch_share.ledger.known import FILE as HISTORY
from batch_share.outputs import Named
from batch_share.sandbox import World
from batch_share.sandbox.sheets import write_excel

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from trial import Step

    from batch_share import Preview
    from batch_share.sandbox.wire import Reply, SandboxCall


async def test_the_example_of_the_package_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its text is taken from where people read it, and run as it stands: a bad row, a failed one, two revoked."""
    words = str(batch_share.__doc__)
    example = dedent(words[words.index("    import asyncio") : words.index("\n\nWhat stops a job")])
    async with trial(tmp_path, Fault(CREATE, [3], envelope(500, "Lead does not exist")), rows=6) as it:
        it.write([*sheet_rows(6), ["nobody", *sheet_rows(1)[0][1:]]])
        for name, value in (it.settings(workers=1).model_dump(exclude_unset=True)).items():
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            monkeypatch.setenv(f"BATCH_SHARE_{name.upper()}", str(plain))
        monkeypatch.chdir(tmp_path)
        ran: dict[str, Any] = {}
        await asyncio.to_thread(exec, example, ran)
        assert (ran["code"], it.live()) == (ExitCode.SOME_FAILED, 2)
    planned, ended, failed, invalid, left = capsys.readouterr().out.splitlines()
    assert planned.startswith("6 to send, ")
    assert ended == "7 rows: 5 shared, 1 invalid, 1 failed "
    assert failed.startswith("4 ")
    assert invalid.startswith("8 ")
    assert left == "2 shares give access"


async def test_every_job_does_what_its_command_does(tmp_path: Path) -> None:
    async with trial(tmp_path) as it, BatchShare(it.settings()) as bs:
        assert (await bs.plan(tmp_path / "leads.csv")).states == {State.PENDING: 12}
        assert it.sandbox.report()["total_calls"] == 0
        assert (await bs.plan(tmp_path / "leads.csv", online=True)).states == {State.PENDING: 12}
        ending = await bs.run(str(tmp_path / "leads.csv"))
        assert (ending.exit_code, str(ending.summary)) == (ExitCode.DONE, "12 rows: 12 shared")
        for again in (bs.resume, partial(bs.resume, only_unknown=True), bs.follow_up):
            assert (await again(it.ledger)).summary.states == {State.SHARED: 12}
        assert (await bs.status(it.ledger)).states == {State.SHARED: 12}
        assert (await bs.results(it.ledger, tmp_path / "answered.csv")).path == tmp_path / "answered.csv"
        assert len(it.leads_sent()) == 12


@pytest.mark.parametrize("named", [None, "elsewhere.db"])
async def test_wherever_a_ledger_is_asked_for_its_sheet_will_do(tmp_path: Path, named: str | None) -> None:
    sheet = tmp_path / "leads.csv"
    async with trial(tmp_path) as it, BatchShare(it.settings()) as bs:
        with pytest.raises(SheetError, match="it was never run on this machine"):
            await bs.status(sheet)
        ending = await bs.run(sheet, ledger=named and tmp_path / named)
        for work in (bs.resume, bs.retry, bs.follow_up, bs.revoke):
            assert (await work(sheet)).summary.rows == 12
        assert (await bs.status(sheet)).states == {State.REVOKED: 12}
        assert str(bs.ledger_of(sheet)) == str(ending.summary.ledger)
        sheet.unlink()
        if named is None:
            assert (await bs.status(sheet)).rows == 12


async def test_a_sheet_is_read_as_the_settings_say(tmp_path: Path) -> None:
    """Also a workbook where they name an encoding, which is of the CSV files beside it."""
    async with trial(tmp_path) as it:
        sheet, mapping = tmp_path / "leads.csv", tmp_path / "mapping.toml"
        header, *rows = sheet.read_text(encoding="utf-8").splitlines()
        titled = ["Größe der Liste", "", header.replace("Lead Number", "Kunde"), *rows]
        sheet.write_text("\n".join(titled), encoding="cp850")
        mapping.write_text('[columns]\n"Kunde" = "Lead Number"\n', encoding="utf-8")
        settings = it.settings(header_row=3, encoding="cp850", mapping=mapping)
        seen = await BatchShare(settings).plan(sheet)
        assert (seen.states, seen.plan.sheet.header_row) == ({State.PENDING: 12}, 3)
        with pytest.raises(SheetError):
            await BatchShare(settings.model_copy(update={"header_row": 4})).plan(sheet)
        write_excel(World(), tmp_path / "leads.xlsx")
        workbook = await BatchShare(it.settings(event="201", duration="7d", encoding="cp850")).plan(
            tmp_path / "leads.xlsx"
        )
        assert workbook.states[State.PENDING]


async def test_what_is_not_agreed_to_is_not_sent(tmp_path: Path) -> None:
    shown: list[Preview] = []

    def refuse(preview: Preview) -> bool:
        shown.append(preview)
        return False

    async with trial(tmp_path) as it:
        ending = await BatchShare(it.settings(), agree=refuse).run(tmp_path / "leads.csv")
        assert (ending.exit_code, shown[0].to_send, it.sent(CREATE)) == (ExitCode.NOT_DONE, 12, [])


async def test_progress_is_reported_from_the_beginning_to_the_end(tmp_path: Path) -> None:
    reported: list[Progress] = []
    async with trial(tmp_path) as it:
        await BatchShare(it.settings(), on_progress=reported.append, every=0.001).run(tmp_path / "leads.csv")
    assert reported[-1].states == {State.SHARED: 12}
    assert reported[-1].calls >= 36
    assert [each.calls for each in reported] == sorted(each.calls for each in reported)
    assert {sum(each.states.values()) for each in reported} <= {0, 12}


async def test_a_callback_that_raises_ends_the_run_in_good_order(tmp_path: Path) -> None:
    def fail(progress: Progress) -> None:
        if progress.states.get(State.SHARED):
            raise ZeroDivisionError

    async with trial(tmp_path) as it:
        with pytest.raises(ZeroDivisionError):
            await BatchShare(it.settings(workers=1), on_progress=fail, every=0.0).run(tmp_path / "leads.csv")
        states = (await BatchShare().status(it.ledger)).states
        assert not {State.POSTING, State.SHARING, State.UNKNOWN} & {each for each in states if states[each]}
        assert (await it.run()).summary.states == {State.SHARED: 12}
        assert len(it.leads_sent()) == 12


async def test_stop_lets_calls_end_and_the_next_run_goes_on(tmp_path: Path) -> None:
    async def stopping(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == CREATE and len(it.sent(CREATE)) == 3:
            bs.stop()
        return await step(call)

    async with trial(tmp_path, stopping) as it:
        bs = BatchShare(it.settings(workers=1))
        ending = await bs.run(tmp_path / "leads.csv")
        assert (ending.exit_code, ending.interrupted) == (ExitCode.INTERRUPTED, True)
        assert 0 < ending.summary.states[State.PENDING] < 12
        assert State.UNKNOWN not in ending.summary.states
        assert (await it.run()).summary.states == {State.SHARED: 12}
        assert len(it.leads_sent()) == 12


async def test_stop_ends_a_run_that_waits_for_its_turn(tmp_path: Path) -> None:
    waits = asyncio.Event()

    async with trial(tmp_path) as it:
        from batch_share.sending.session import _account_file

        bs = BatchShare(it.settings(), on_progress=lambda _: waits.set())
        async with account_turn(_account_file(it.settings()), lambda _: None):
            run = asyncio.create_task(bs.run(tmp_path / "leads.csv"))
            await waits.wait()
            bs.stop()
            with pytest.raises(
                BatchShareError, match="Nothing was sent: it was stopped while waiting for another run"
            ):
                await run
        assert it.sandbox.report()["total_calls"] == 0


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
async def test_what_is_empty_is_refused_and_not_taken_for_all(tmp_path: Path, blank: str) -> None:
    async with trial(tmp_path) as it, BatchShare(it.settings()) as bs:
        sheet = tmp_path / "leads.csv"
        await bs.run(sheet)
        before = it.sandbox.report()["total_calls"], await bs.status(it.ledger)
        of_unknown = partial(bs.resume, only_unknown=True)
        on_ledgers = (bs.resume, of_unknown, bs.retry, bs.revoke, bs.follow_up, bs.status, bs.results)
        views = (bs.page, bs.report, bs.failed_sheet)
        jobs: list[tuple[str, Callable[[], Coroutine[Any, Any, object]]]] = [
            ("sheet", partial(bs.plan, blank)),
            ("sheet", partial(bs.run, blank)),
            ("ledger", partial(bs.plan, sheet, ledger=blank)),
            ("ledger", partial(bs.plan, sheet, ledger=blank, online=True)),
            ("ledger", partial(bs.run, sheet, ledger=blank)),
            *(("ledger", partial(job, blank)) for job in (*on_ledgers, *views)),
            ("sheet", partial(bs.look, blank)),
            ("add", partial(bs.runs, add=[blank])),
            ("target", partial(bs.report, it.ledger, blank)),
            ("approved", partial(bs.run, sheet, approved=blank)),
            ("target", partial(bs.results, it.ledger, blank)),
            ("rows", partial(bs.revoke, it.ledger, rows=blank)),
            ("user", partial(bs.revoke, it.ledger, user=blank)),
            ("user", partial(bs.revoke, it.ledger, rows="2", user=blank)),
            ("reason", partial(bs.retry, it.ledger, reason=blank)),
            ("reason", partial(bs.retry, it.ledger, reason=blank, everything=True)),
        ]
        for name, job in jobs:
            with pytest.raises(SettingsError) as refused:
                await job()
            assert refused.value.setting == name
        assert (it.sandbox.report()["total_calls"], await bs.status(it.ledger)) == before


async def test_what_is_none_was_not_given(tmp_path: Path) -> None:
    async with trial(tmp_path) as it, BatchShare(it.settings()) as bs:
        await bs.run(tmp_path / "leads.csv", None, ledger=None, approved=None)
        assert (await bs.retry(it.ledger, reason=None)).summary.states == {State.SHARED: 12}
        assert (await bs.results(it.ledger, None)).path.name == "leads.results.csv"
        assert (await bs.revoke(it.ledger, rows=None, user=None)).summary.states == {State.REVOKED: 12}


# ------------------------------------------------------------------------------------- what there is to look at


async def test_a_sheet_is_looked_at_without_a_call_or_a_ledger(tmp_path: Path) -> None:
    async with trial(tmp_path) as it, BatchShare(it.settings()) as bs:
        it.write([*sheet_rows(12), [*sheet_rows(1)[0][:3], "all", "7d", "201"]])
        look = await bs.look(tmp_path / "leads.csv")
        assert (look.name, look.rows, look.header_row, look.worksheets) == ("leads.csv", 13, 1, ())
        assert [(each.row, each.column, each.value) for each in look.problems] == [(14, "Access", "all")]
        assert not it.ledger.exists()
        assert it.sandbox.report()["total_calls"] == 0
        with pytest.raises(SheetError, match="there is no such file"):
            await bs.look(tmp_path / "gone.csv")


async def test_a_run_is_held_to_an_approval_in_memory_or_in_a_file(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it, BatchShare(it.settings()) as bs:
        sheet, file = tmp_path / "leads.csv", tmp_path / "plan.json"
        approval = (await bs.plan(sheet, online=True)).approval()
        approval.save(Named("save", file, tmp_path / "data"))
        assert Approval.load(file) == approval
        it.write(sheet_rows(4))
        for approved in (approval, file):
            with pytest.raises(
                PlanChanged, match=r"^The sheet leads\.csv, or how it is read, changed since"
            ) as refused:
                await bs.run(sheet, approved=approved)
            assert refused.value.problem.endswith("changed since the plan was approved. Nothing was sent.")
        assert not it.ledger.exists()
        it.write(sheet_rows(3))
        assert (await bs.run(sheet, approved=approval)).summary.states == {State.SHARED: 3}


async def test_rows_come_page_by_page_in_the_sheets_order_each_once(tmp_path: Path) -> None:
    bad = Fault(SHARE, [2], envelope(500, "Lead does not exist"))
    async with trial(tmp_path, bad) as it, BatchShare(it.settings(workers=1)) as bs:
        await bs.run(tmp_path / "leads.csv")
        it.write([*sheet_rows(12)[1:], ["nobody", *sheet_rows(1)[0][1:]]])
        await bs.run(tmp_path / "leads.csv")
        pages = [await bs.page(it.ledger, most=5)]
        while pages[-1].next is not None:
            pages.append(await bs.page(it.ledger, most=5, after=pages[-1].next))
        shown = [row for page in pages for row in page.rows]
        assert [len(page.rows) for page in pages] == [5, 5, 3]
        assert [row.row for row in shown] == [*range(2, 14), 2]
        assert [row.is_in_sheet for row in shown] == [*[True] * 12, False]
        last = shown[10]
        assert (last.state, last.reason, last.cells) == (State.SHARED, "", sheet_rows(12)[11])
        assert (last.lead_id, last.user_id, last.access) == (last.cells[0], last.cells[2], "write")
        assert "@" in last.user or " " in last.user
        assert last.activity_id
        assert last.request_id
        assert last.until is not None
        found = await bs.page(it.ledger, states=["failed", State.INVALID])
        assert [row.state for row in found.rows] == [State.FAILED, State.INVALID]
        assert "Lead does not exist" in found.rows[0].reason
        assert found.rows[1].reason.startswith("Lead Id 'nobody': ")
        assert found.next is None


async def test_all_rows_come_in_one_loop_however_many_pages_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_ROWS_AT_ONCE", 5)
    bad = Fault(SHARE, [2], envelope(500, "Lead does not exist"))
    async with trial(tmp_path, bad) as it, BatchShare(it.settings(workers=1)) as bs:
        await bs.run(tmp_path / "leads.csv")
        assert [row.row async for row in bs.rows(it.ledger)] == [*range(2, 14)]
        assert [row.row async for row in bs.rows(tmp_path / "leads.csv", states=["failed"])] == [3]
        assert [row async for row in bs.rows(it.ledger, states=["invalid"])] == []
        async for _ in bs.rows(it.ledger):  # whoever has seen enough leaves nothing open
            break
        await bs.revoke(it.ledger)
        for given in ({"states": ["lost"]}, {"states": "failed"}):
            with pytest.raises(SettingsError, match="each is one of pending"):
                await anext(bs.rows(it.ledger, **given))


async def test_rows_can_be_looked_at_while_a_run_works_on_them(tmp_path: Path) -> None:
    seen: list[int] = []

    async def looking(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == CREATE and not seen:
            seen.append(len((await bs.page(it.ledger, states=[State.PENDING, State.POSTING])).rows))
        return await step(call)

    async with trial(tmp_path, looking) as it, BatchShare(it.settings()) as bs:
        await bs.run(tmp_path / "leads.csv")
    assert seen == [12]


@pytest.mark.parametrize(
    ("setting", "given"), [("most", {"most": 0}), ("states", {"states": ["lost"]}), ("after", {"after": "there"})]
)
async def test_a_page_that_there_can_not_be_is_refused(tmp_path: Path, setting: str, given: dict[str, Any]) -> None:
    async with trial(tmp_path, rows=1) as it, BatchShare(it.settings()) as bs:
        await bs.run(tmp_path / "leads.csv")
        with pytest.raises(SettingsError) as refused:
            await bs.page(it.ledger, **given)
        assert refused.value.setting == setting


async def test_runs_report_and_rows_to_fix_are_there_for_programs(tmp_path: Path) -> None:
    bad = Fault(CREATE, [1], envelope(500, "Lead does not exist"))
    async with trial(tmp_path, bad) as it, BatchShare(it.settings(workers=1)) as bs:
        await bs.run(tmp_path / "leads.csv")
        await bs.resume(it.ledger)
        found = await bs.runs()
        assert [run.command for run in found.runs] == ["resume", "run"]
        assert [bs.ledger_of(each.id) for each in found.runs] == [it.name, it.name]
        assert bs.ledger_of("last") == it.name
        assert (await bs.report(it.ledger)).path == tmp_path / "leads.report.html"
        assert (
            (await bs.report(it.ledger, tmp_path / "told.html")).path.read_text(encoding="utf-8").startswith("<!")
        )
        beside = await bs.failed_sheet(it.ledger)
        assert (beside.path, beside.remark) == (tmp_path / "leads.failed.csv", None)
        elsewhere = await bs.failed_sheet(it.ledger, tmp_path / "fix.csv")
        assert elsewhere.path is not None
        assert beside.path is not None
        assert elsewhere.path.read_bytes() == beside.path.read_bytes()
        with pytest.raises(SettingsError, match="is the sheet itself"):
            await bs.failed_sheet(it.ledger, tmp_path / "leads.csv")
        with pytest.raises(BatchShareError, match=r"written as \.csv or \.xlsx"):
            await bs.failed_sheet(it.ledger, tmp_path / "fix.txt")


async def test_no_row_to_fix_is_no_file(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it, BatchShare(it.settings()) as bs:
        await bs.run(tmp_path / "leads.csv")
        assert (await bs.failed_sheet(it.ledger, tmp_path / "fix.csv")).path is None
        assert (await bs.failed_sheet(it.ledger)).path is None
        assert not (tmp_path / "fix.csv").exists()


async def test_a_check_up_is_of_the_settings_that_were_given(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        well = {each.check: each.level for each in await BatchShare(it.settings()).doctor()}
        assert well["keys"] is Level.OK
        assert it.sandbox.report()["total_calls"] == 3
        wrong = {each.check: each.level for each in await BatchShare(it.settings(access_key="other")).doctor()}
        assert wrong["keys"] is Level.PROBLEM


async def test_whether_anything_is_to_be_done_can_be_asked_first(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it, BatchShare(it.settings()) as bs:
        sheet = tmp_path / "leads.csv"
        assert await bs.unchanged(sheet) is None
        await bs.run(sheet)
        for summary in (await bs.unchanged(sheet), await bs.nothing_due(it.ledger)):
            assert summary is not None
            assert summary.states == {State.SHARED: 2}
        it.write(sheet_rows(3))
        assert await bs.unchanged(sheet) is None
        it.change("UPDATE rows SET state = 'posted' WHERE position = 0")
        assert await bs.nothing_due(it.ledger) is None


async def test_keys_are_checked_before_anything_rests_on_them(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await BatchShare(it.settings()).check_keys()
        with pytest.raises(AccessDenied) as refused:
            await BatchShare(it.settings(access_key="other")).check_keys()
        assert refused.value.hint.startswith("Check the keys")


async def test_what_would_be_purged_is_shown_first_and_deleted_when_it_is_reported_to(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it, BatchShare(it.settings()) as bs:
        await bs.run(tmp_path / "leads.csv")
        with closing(sqlite3.connect(tmp_path / "data" / HISTORY)) as index, index:
            index.execute("UPDATE runs SET ended_at = '2020-01-01 00:00:00.000000'")
        kept = await bs.purge("1d")
        assert ([*kept.old], [each.ledger for each in kept.kept]) == ([], [it.name])
        sweep = await bs.purge("1d", force=True)
        assert it.ledger in sweep.old[0].files
        assert it.ledger.exists()
        done = await bs.delete(sweep)
        assert it.ledger in done.deleted
        assert not it.ledger.exists()
        with pytest.raises(SettingsError) as refused:
            await bs.purge("long ago")
        assert refused.value.setting == "older-than"
