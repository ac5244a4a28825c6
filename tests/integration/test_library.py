"""BatchShare, as a program uses it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from trial import CREATE, trial

from batch_share import BatchShare, BatchShareError, Progress, SettingsError, SheetError, State
from batch_share.results.summary import ExitCode
from batch_share.sandbox import World
from batch_share.sandbox.sheets import write_excel

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from trial import Step

    from batch_share import Preview
    from batch_share.sandbox.wire import Call, Reply


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
        assert await bs.results(it.ledger, tmp_path / "answered.csv") == tmp_path / "answered.csv"
        assert len(it.leads_sent()) == 12


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


async def test_progress_is_told_from_the_beginning_to_the_end(tmp_path: Path) -> None:
    told: list[Progress] = []
    async with trial(tmp_path) as it:
        await BatchShare(it.settings(), on_progress=told.append, every=0.001).run(tmp_path / "leads.csv")
    assert told[-1].states == {State.SHARED: 12}
    assert told[-1].calls >= 36
    assert [each.calls for each in told] == sorted(each.calls for each in told)
    assert {sum(each.states.values()) for each in told} <= {0, 12}


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
    async def stopping(step: Step, call: Call) -> Reply:
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
        from batch_share.leadsquared.account import account_turn
        from batch_share.sending.session import _account_file

        bs = BatchShare(it.settings(), on_progress=lambda _: waits.set())
        async with account_turn(_account_file(it.settings()), lambda _: None):
            run = asyncio.create_task(bs.run(tmp_path / "leads.csv"))
            await waits.wait()
            bs.stop()
            with pytest.raises(BatchShareError, match="Nothing was sent: it was stopped while another run"):
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
        jobs: list[tuple[str, Callable[[], Coroutine[Any, Any, object]]]] = [
            ("sheet", partial(bs.plan, blank)),
            ("sheet", partial(bs.run, blank)),
            ("ledger", partial(bs.plan, sheet, ledger=blank)),
            ("ledger", partial(bs.plan, sheet, ledger=blank, online=True)),
            ("ledger", partial(bs.run, sheet, ledger=blank)),
            *(("ledger", partial(job, blank)) for job in on_ledgers),
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
        assert (await bs.results(it.ledger, None)).name == "leads.results.csv"
        assert (await bs.revoke(it.ledger, rows=None, user=None)).summary.states == {State.REVOKED: 12}
