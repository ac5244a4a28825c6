"""Trying failed rows again: from the step that failed, and none that would fail again for its own reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from trial import (
    CREATE,
    REVOKE,
    SHARE,
    STATUS,
    Fault,
    Onlooker,
    Refuses,
    answer,
    envelope,
    sheet_rows,
    stopping,
    trial,
)

from batch_share.jobs.run import Wanted
from batch_share.ledger.states import State
from batch_share.results.wording import ExitCode

if TYPE_CHECKING:
    from pathlib import Path


BUSY = envelope(500, "The tenant is being upgraded")
GONE = envelope(500, "Lead does not exist in the system")
UNPROCESSED = answer(200, '{"Status":"Success","ShareStatus":4,"ErrorMessage":"Queue full","Message":{}}')


@pytest.mark.parametrize(
    ("endpoint", "reply", "posts", "shares"),
    [(CREATE, BUSY, 13, 12), (SHARE, BUSY, 12, 13), (STATUS, UNPROCESSED, 12, 13)],
)
async def test_a_failed_row_goes_on_from_the_step_that_failed(
    tmp_path: Path, endpoint: str, reply: object, posts: int, shares: int
) -> None:
    async with trial(tmp_path, Fault(endpoint, [3], reply)) as it:  # type: ignore[arg-type]
        assert (await it.run(workers=1)).summary.states == {State.SHARED: 11, State.FAILED: 1}
        onlooker = Onlooker()
        ending = await it.retry(onlooker=onlooker)
        assert ending.summary.states == {State.SHARED: 12}
        assert (len(it.sent(CREATE)), len(it.sent(SHARE))) == (posts, shares)
        assert sorted(it.leads_sent()) == sorted(lead for (lead,) in it.rows("lead_id"))
        assert (it.live(), onlooker.previews[0].to_send, onlooker.previews[0].left_out) == (12, 1, 0)
        assert onlooker.previews[0].reported[0].startswith("Row ")


async def test_a_row_whose_own_fault_it_is_waits_for_all(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [2], BUSY), Fault(CREATE, [4], GONE)) as it:
        await it.run()
        onlooker = Onlooker()
        assert (await it.retry(onlooker=onlooker)).summary.states == {State.SHARED: 11, State.FAILED: 1}
        assert any("fix it" in line for line in onlooker.previews[0].reported)
        assert (await it.retry(Wanted(everything=True))).summary.states == {State.SHARED: 12}


async def test_a_command_about_some_rows_is_judged_by_those_alone(tmp_path: Path) -> None:
    faults = Fault(CREATE, [2], BUSY), Fault(REVOKE, [1], envelope(500, "Locked"))
    async with trial(tmp_path, *faults) as it:
        rows = sheet_rows(12)
        rows[0][3] = "soon"
        it.write(rows)
        assert (await it.run(workers=1)).exit_code is ExitCode.SOME_FAILED
        ending = await it.retry()
        assert (ending.summary.states, ending.exit_code) == ({State.SHARED: 11, State.INVALID: 1}, ExitCode.DONE)
        assert (await it.revoke(rows="3-4", workers=1)).exit_code is ExitCode.SOME_FAILED
        ending = await it.revoke()
        assert (ending.summary.states, ending.exit_code) == ({State.REVOKED: 11, State.INVALID: 1}, ExitCode.DONE)


async def test_nothing_is_tried_again_that_was_not_confirmed(tmp_path: Path) -> None:
    async with trial(tmp_path, *(Fault(CREATE, [1], envelope(500, f"Busy {each}")) for each in range(7))) as it:
        await it.run(workers=1)
        onlooker = Refuses()
        ending = await it.retry(onlooker=onlooker)
        assert (ending.summary.states, ending.exit_code) == ({State.SHARED: 5, State.FAILED: 7}, ExitCode.NOT_DONE)
        assert onlooker.previews[0].reported[-1] == "and 4 other reasons"
        assert (await it.retry()).summary.states == {State.SHARED: 12}


async def test_only_rows_whose_reason_says_so(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [2], BUSY), Fault(SHARE, [4], envelope(500, "Locked"))) as it:
        await it.run()
        assert (await it.retry(Wanted("locked"))).summary.states == {State.SHARED: 11, State.FAILED: 1}
        assert (await it.retry(Wanted("UPGRADED"))).summary.states == {State.SHARED: 12}


async def test_no_other_row_is_sent(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [2], BUSY)) as it:
        await it.run(workers=1)
        it.change("UPDATE rows SET state = 'pending', activity_id = NULL, request_id = NULL WHERE id = 12")
        assert (await it.retry()).summary.states == {State.SHARED: 11, State.PENDING: 1}


async def test_a_row_that_the_sheet_no_longer_has_is_not_tried_again(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [1, 2], BUSY)) as it:
        await it.run(workers=1)
        it.change("UPDATE rows SET position = NULL WHERE id = 1")
        assert (await it.retry(Wanted(everything=True))).summary.states == {State.SHARED: 11}
        assert it.rows("state")[0] == ("failed",)


async def test_a_row_that_failed_again_says_why_now(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [2, 13], BUSY)) as it:
        await it.run()
        assert (await it.retry()).summary.states == {State.SHARED: 11, State.FAILED: 1}
        assert (await it.retry()).summary.states == {State.SHARED: 12}
        steps = it.query("SELECT step FROM attempts GROUP BY row_id, step HAVING count(*) = 2 ORDER BY step")
        assert steps == [("retry",)]  # the wish is noted with the calls: activity 3 times, the wish twice


async def test_it_works_in_bulk_too(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(SHARE, [1], UNPROCESSED), fail_leads=()) as it:
        await it.run(bulk=True)
        assert (await it.retry(bulk=True)).summary.states == {State.SHARED: 12}
        assert it.live() == 12


async def test_a_stopped_retry_goes_on_with_the_rows_that_it_chose_and_no_others(tmp_path: Path) -> None:
    """What it put back has failed no more, so that the same command would not find it among the failed rows."""
    onlooker = Onlooker()

    stop = stopping(onlooker)

    # The first post of the retry: this fault sees only the nine that the other let through.
    stops = Fault(CREATE, [10], stop)
    async with trial(tmp_path, Fault(CREATE, [2, 3, 4], BUSY), stops) as it:
        await it.run(workers=1)
        it.change("UPDATE rows SET state = 'pending', activity_id = NULL, request_id = NULL WHERE id = 12")
        stopped = await it.retry(onlooker=onlooker, workers=1)
        assert stopped.summary.states == {State.SHARED: 8, State.POSTED: 1, State.PENDING: 3}
        again = Onlooker()
        ending = await it.retry(Wanted("no such reason"), onlooker=again)
        assert ending.summary.states == {State.SHARED: 11, State.PENDING: 1}
        assert again.previews[0].to_send == 3
        assert again.previews[0].reported == ["3 × put back by an earlier retry that was stopped"]
