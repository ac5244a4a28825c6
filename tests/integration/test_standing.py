"""Rows that wait, and what a schedule's runs do where there is nothing to do: no call at all."""

from __future__ import annotations

import csv
import datetime as dt
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from trial import HEADER, Onlooker, Trial, sheet_rows, trial

from batch_share.errors import LedgerLocked, SheetError
from batch_share.jobs.outputs import nothing_due, results_of, unchanged
from batch_share.jobs.run import Resume
from batch_share.ledger.files import LedgerName, open_ledger
from batch_share.ledger.states import State
from batch_share.planning.intake import SheetJob, show_sheet
from batch_share.planning.plan import SheetOptions
from batch_share.results.wording import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from batch_share.results.wording import Summary

FUTURE = (dt.datetime.now(dt.UTC) + dt.timedelta(days=30)).strftime("%Y-%m-%d %H:%M")


def write(it: Trial, starts: Sequence[str]) -> None:
    """The sheet, with a Start for each row."""
    rows = [[*row, start] for row, start in zip(sheet_rows(len(starts)), starts, strict=True)]
    with (it.folder / "leads.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([[*HEADER, "Start"], *rows])


async def looked(it: Trial) -> Summary | None:
    return await unchanged(SheetJob(it.folder / "leads.csv", it.name), it.settings())


def calls(it: Trial) -> int:
    return len(it.sandbox.journal.since(0))


def it_is_later(it: Trial) -> None:
    """As if a month had gone: the rows that wait became due."""
    with closing(sqlite3.connect(it.ledger)) as connection, connection:
        connection.execute("UPDATE rows SET start = '2020-01-01 00:00:00.000000' WHERE state = 'pending'")


@pytest.mark.parametrize("bulk", [False, True])
async def test_only_what_is_due_is_sent_and_the_rest_when_its_time_has_come(tmp_path: Path, bulk: bool) -> None:
    async with trial(tmp_path) as it:
        write(it, ["", FUTURE, "2020-01-01", FUTURE])
        looking = Onlooker()
        ending = await it.run(looking, timezone="UTC", bulk=bulk)
        assert ending.summary.states == {State.SHARED: 2, State.PENDING: 2}
        assert ending.exit_code is ExitCode.DONE
        assert ending.summary.waiting.rows == 2
        assert (looking.previews[0].to_send, looking.previews[0].waiting.rows) == (2, 2)
        assert f"waits until {FUTURE} UTC" in (tmp_path / "leads.results.csv").read_text("utf-8-sig")
        assert it.sandbox.report()["activities"] == 2
        write(it, ["", "2020-01-01", "2020-01-01", FUTURE])
        ending = await it.run(timezone="UTC", bulk=bulk)
        assert ending.summary.states == {State.SHARED: 3, State.PENDING: 1}
        assert it.sandbox.report()["activities"] == 3


@pytest.mark.parametrize("look", [False, True])
async def test_a_sheet_that_lost_all_its_rows_is_refused_and_its_ledger_is_left_alone(
    tmp_path: Path, look: bool
) -> None:
    async with trial(tmp_path, rows=3) as it:
        await it.run()
        before, made = it.ledger.read_bytes(), calls(it)
        it.write([])
        with pytest.raises(SheetError, match="the sheet is empty"):
            await (looked(it) if look else it.run())
        assert (it.ledger.read_bytes(), calls(it)) == (before, made)


async def test_a_plan_tells_who_waits(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ["", FUTURE, FUTURE])
        plan = await show_sheet(tmp_path / "leads.csv", SheetOptions(), it.settings(timezone="UTC"), None)
        assert (plan.waiting.rows, plan.as_json()["waiting"], plan.as_json()["to_send"]) == (2, 2, 3)
        assert f"{plan.waiting.first:%Y-%m-%d %H:%M}" == FUTURE


async def test_a_sheet_that_is_as_it_was_and_done_needs_no_run(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        assert await looked(it) is None  # no ledger yet
        await it.run()
        before, ran = calls(it), it.query("SELECT count(*) FROM runs")
        summary = await looked(it)
        assert summary is not None
        assert summary.states == {State.SHARED: 3}
        assert (calls(it), it.query("SELECT count(*) FROM runs")) == (before, ran)
        it.write(sheet_rows(4))
        assert await looked(it) is None


async def test_other_options_are_a_change(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        await it.run()
        job = SheetJob(tmp_path / "leads.csv", it.name)
        assert await unchanged(job, it.settings(note="Another")) is None


async def test_what_is_still_processed_or_came_to_no_end_is_something_to_do(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        await it.run(follow_up=False)
        assert await looked(it) is None
        assert await nothing_due(it.name) is None
        await it.follow_up()
        assert await nothing_due(it.name) is not None
        async with open_ledger(LedgerName.of(it.ledger)) as ledger:
            await ledger.begin_run("run", "1.0", {})  # and cut off
        assert await looked(it) is None
        assert await nothing_due(it.name) is None


async def test_rows_that_wait_are_nothing_to_do_until_they_are_due(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ["", FUTURE])
        await it.run(timezone="UTC")
        resting = await nothing_due(it.name)
        assert resting is not None
        assert resting.waiting.rows == 1
        it_is_later(it)
        assert await nothing_due(it.name) is None
        assert (await it.resume()).summary.states == {State.SHARED: 2}


async def test_whoever_has_the_ledger_is_named(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        async with open_ledger(LedgerName.of(it.ledger)) as ledger:
            with pytest.raises(LedgerLocked, match="Another batch_share process is working on it"):
                await it.run()
            await ledger.begin_run("resume", "1.0", {})
            with pytest.raises(LedgerLocked, match=r"`resume` \(process \d+ on .+\) is working on it since 20"):
                await it.run()


async def test_a_ledger_that_was_moved_with_its_sheet_answers_beside_it(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        moved = tmp_path / "done" / "one"
        moved.mkdir(parents=True)
        for name in ("leads.csv", "leads.csv.ledger.db", "leads.results.csv"):
            shutil.move(tmp_path / name, moved / name)
        it.write(sheet_rows(5))  # another sheet of the same name comes into the old place
        ending = await it.do(Resume(LedgerName.of(moved / "leads.csv.ledger.db")))
        assert ending.summary.results == moved / "leads.results.csv"
        assert (
            await results_of(LedgerName.of(moved / "leads.csv.ledger.db"), None)
        ).path == moved / "leads.results.csv"
        assert not (tmp_path / "leads.results.csv").exists()
