"""Two jobs at the same time, on one ledger or one account; and a wall clock that jumps: nothing is sent twice."""

from __future__ import annotations

import asyncio
import datetime as dt
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from invariants import check_all_shared, check_never_twice
from trial import CREATE, DROPPED, SHARE, STATUS, Fault, Onlooker, Trial, sheet_rows, trial

from batch_share import common
from batch_share.common import Rate
from batch_share.errors import LedgerLocked
from batch_share.leadsquared import account
from batch_share.ledger.states import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STRICT = Rate(20, 0.4)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the account asks often."""
    monkeypatch.setattr(account, "ASK_AGAIN", 0.01)


@asynccontextmanager
async def two_trials(folder: Path) -> AsyncIterator[tuple[Trial, Trial]]:
    """Two sheets of one account, whose leads are not the same, and which share its state folder."""
    async with trial(folder, rate=STRICT) as first:
        (folder / "second").mkdir()
        second = Trial(folder / "second", first.sandbox, {"state_folder": folder / "state"})
        second.write(sheet_rows(24)[12:])
        yield first, second


async def started(it: Trial) -> asyncio.Task[object]:
    """A run that is under way: some of its activities are posted."""
    before = len(it.sent(CREATE))
    running = asyncio.create_task(it.run())
    async with asyncio.timeout(30):
        while len(it.sent(CREATE)) < before + 3:  # noqa: ASYNC110 - the sandbox tells nobody
            await asyncio.sleep(0.001)
    return running


async def test_two_sheets_of_one_account_take_turns_and_share_its_one_limit(tmp_path: Path) -> None:
    async with two_trials(tmp_path) as (first, second):
        onlookers = Onlooker(), Onlooker()
        endings = await asyncio.gather(first.run(onlookers[0], rate=STRICT), second.run(onlookers[1], rate=STRICT))
        assert [ending.summary.states for ending in endings] == [{State.SHARED: 12}] * 2
        assert sorted(len(each.waited_for) for each in onlookers) == [0, 1]
        report = first.sandbox.report()
        assert (report["refusals"], report["activities"], report["duplicates"]) == (0, 24, 0)
        assert report["fullest_window"] <= STRICT.limit


@pytest.mark.parametrize("other", ["run", "resume", "reconcile", "follow_up"])
async def test_a_ledger_that_is_worked_on_is_left_alone(tmp_path: Path, other: str) -> None:
    async with trial(tmp_path, latency=0.02) as it:
        running = await started(it)
        with pytest.raises(LedgerLocked, match="is working on it"):
            await getattr(it, other)()
        await running
        check_all_shared(it, sheet_rows(12))


async def test_a_follow_up_of_another_ledger_waits_for_the_run(tmp_path: Path) -> None:
    async with two_trials(tmp_path) as (first, second):
        await second.run(follow_up=False)
        running = await started(first)
        onlooker = Onlooker()
        ending = await second.follow_up(onlooker)
        await running
        assert len(onlooker.waited_for) == 1
        assert ending.summary.states == {State.SHARED: 12}
        endpoints = [call["endpoint"] for call in first.sandbox.journal.since(0)]
        assert endpoints[-12:] == [STATUS] * 12, "the follow-up came after the run"


class JumpingClock(dt.datetime):
    """A wall clock that somebody sets by a day or two, now this way, now that."""

    jumps = 0

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> JumpingClock:
        """Another time at each look."""
        cls.jumps += 1
        moved = dt.datetime.now(tz) + dt.timedelta(days=(-2, 0, 1, -1, 2)[cls.jumps % 5])
        return cls.fromtimestamp(moved.timestamp(), tz)


async def test_a_clock_that_jumps_repeats_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Fault(CREATE, [3, 5, 6, 9], DROPPED, applied=True), Fault(SHARE, [2, 7], DROPPED, applied=True)
    async with trial(tmp_path, *lost, read_lag=0.05) as it:
        with monkeypatch.context() as patch:
            patch.setattr(common, "datetime", JumpingClock)
            ending = await it.run(grace=0.2)
        assert ending.error is None
        check_never_twice(it)
        assert (await it.run()).error is None
        check_all_shared(it, sheet_rows(12))
