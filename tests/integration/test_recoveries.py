"""Ledgers that are recovered: what other copies shared, revoked or left undone, however that was noted."""

from __future__ import annotations

import asyncio
import csv
import json
import shutil
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from copies import (
    GONE,
    OLDER,
    ROWS,
    beside,
    check_shared_once,
    keep,
    live_pairs,
    other_copy,
    posted,
    restore,
    stopped,
    turn_index_back,
)
from trial import CREATE, DROPPED, HEADER, SHARE, Fault, Onlooker, Trial, ask_to_stop, sheet_rows, stopping, trial

from batch_share.common import Action, Cause, utc_now
from batch_share.errors import LedgerError
from batch_share.jobs import job
from batch_share.jobs.run import RunSheet
from batch_share.ledger import files
from batch_share.ledger.states import State
from batch_share.planning.already_shared import forget_job, known_runs
from batch_share.planning.intake import SheetJob, show_sheet
from batch_share.planning.plan import SheetOptions
from batch_share.results.wording import ExitCode

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from trial import Step

    from batch_share.jobs.job import Ending
    from batch_share.sandbox.wire import Reply, SandboxCall
    from batch_share.sending.onlookers import Preview


def close_account(folder: Path, *, until: float) -> None:
    """LeadSquared wants no call until then, in seconds since 1970."""
    (file,) = (folder / "state").glob("*.account")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"closed_until": until}))


async def run_some(it: Trial, most: int, **changes: Any) -> Ending:
    """A run of the first rows of the sheet."""
    options = SheetOptions.of(it.settings(), limit=most)
    return await it.do(RunSheet(SheetJob(it.folder / "leads.csv", it.name, options)), **changes)


async def run_of(it: Trial) -> str:
    """The Id of the last run of its ledger."""
    known = (await known_runs(it.settings(), 9, [])).runs
    return next(run.id for run in known if run.ledger == it.name.resolved())


# -------------------------------------------------------------------------------- of what nobody has noted enough


async def test_a_recovery_that_ended_before_its_look_ups_goes_on_as_one(tmp_path: Path) -> None:
    """The index of an earlier version knows of no call: only the ledger can know that it was to be recovered."""
    async with stopped(tmp_path) as it:
        turn_index_back(tmp_path)
        it.ledger.unlink()
        with pytest.raises(LedgerError, match=GONE):
            await it.run()
        close_account(tmp_path, until=time.time() + 600)
        assert (await it.run(recover=True)).error is not None
        close_account(tmp_path, until=0.0)
        assert (await it.run()).summary.states == {State.SHARED: ROWS}
        check_shared_once(it)


async def test_a_copy_that_was_run_while_somebody_was_asked_stops_this_one(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        other = other_copy(it)

        class Asked(Onlooker):
            def agree(self, preview: Preview) -> Awaitable[bool]:  # type: ignore[override]
                async def answer() -> bool:
                    await other.run()
                    return True

                return answer()

        ending = await it.run(Asked())
        assert OLDER in str(ending.error)
        check_shared_once(it)


async def test_markers_in_notes_are_found_also_where_they_go_into_a_field_now(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        it.ledger.unlink()
        other = beside(it)
        other.write(sheet_rows(ROWS + 6)[ROWS:])  # by which it is seen that fields are shown
        await other.run(marker_field="mx_Custom_1")
        ending = await it.run(recover=True, marker_field="mx_Custom_1")
        assert ending.summary.states == {State.SHARED: ROWS}
        check_shared_once(it, ROWS + 6, ROWS + 6)


async def test_a_recovery_of_some_rows_forgets_no_share_of_the_others(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        it.ledger.unlink()
        assert (await run_some(it, 2, recover=True)).summary.states[State.SHARED] == 2
        await beside(it).run()
        assert set(live_pairs(it).values()) == {1}


async def test_a_recovery_with_another_sheet_forgets_no_share_of_the_one_before(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        it.ledger.unlink()
        it.write(sheet_rows(30)[20:])
        assert (await it.run(recover=True)).summary.states == {State.SHARED: 10}
        await beside(it).run()
        assert set(live_pairs(it).values()) == {1}


# ------------------------------------------------------------------------------------------ revoked, or over


async def test_what_a_newer_copy_revoked_is_shared_again_by_nobody_but_a_person(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        copy = keep(it)
        await it.run()
        await it.revoke()
        restore(it, copy)
        ending = await it.run(recover=True)
        assert it.live() == 0
        assert ending.summary.states[State.FAILED] > 0
        why = {reason for state, reason in it.rows("state", "reason") if state == "failed"}
        assert ["`batch-share retry` shares it again" in each for each in why] == [True]
        assert (await it.run()).sent == 0
        failed = ending.summary.states[State.FAILED]
        assert (await it.retry()).sent == failed
        assert set(posted(it).values()) == {1}
        assert it.live() == failed


async def test_a_lost_ledger_that_had_revoked_shares_gives_none_of_them_back(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        await it.revoke()
        revoked = [state for (state,) in it.rows("state")].count("revoked")
        assert revoked > 0
        it.ledger.unlink()
        await it.run(recover=True)
        assert it.live() <= ROWS - revoked


async def test_a_share_that_was_lost_and_revoked_by_a_newer_copy_is_not_repeated(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(SHARE, [3], DROPPED, applied=True)) as it:
        await it.run(on_unknown="park")
        copy = keep(it)
        await it.run()
        await it.revoke()
        restore(it, copy)
        await it.run(recover=True)
        assert it.live() == 0


async def test_what_a_newer_copy_shared_and_has_ended_is_not_shared_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stopped(tmp_path) as it:
        copy = keep(it)
        await it.run()
        shares = len(it.sent(SHARE))
        restore(it, copy)
        monkeypatch.setattr(files, "utc_now", lambda: utc_now() + timedelta(days=8))
        await it.run(recover=True)
        assert len(it.sent(SHARE)) == shares


async def test_a_share_that_a_newer_copy_revoked_is_revoked_and_never_renewed(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        copy = keep(it)
        await it.revoke()
        restore(it, copy)
        assert (await it.resume(recover=True)).summary.states == {State.REVOKED: ROWS}
        it.change("UPDATE rows SET ends_at = '2020-01-01 00:00:00.000000'")
        await it.run(renew=1440)
        assert it.live() == 0
        assert (await beside(it).run()).summary.states == {State.SHARED: ROWS}, "nor is it in the way of others"


async def test_what_a_ledger_shares_after_its_recovery_is_not_taken_for_revoked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was killed before the index was told of what it shared."""
    async with trial(tmp_path) as it:
        await it.run()
        copy = keep(it)
        await it.revoke()
        restore(it, copy)
        await it.resume(recover=True)
        it.write(sheet_rows(ROWS + 3))
        with monkeypatch.context() as patch:
            patch.setattr(job, "note_end", lambda *_: asyncio.sleep(0))
            await it.run()
        assert (await it.run()).summary.states == {State.REVOKED: ROWS, State.SHARED: 3}
        assert it.live() == 3


async def test_a_row_that_was_under_way_in_a_copy_is_not_shared_again_once_revoked(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        it.change("UPDATE rows SET state = 'posting', activity_id = NULL WHERE state = 'posted'")
        copy = keep(it)
        await it.run()
        await it.revoke()
        restore(it, copy)
        await it.run(recover=True)
        assert it.live() == 0


async def test_what_a_newer_copy_reassigned_is_not_given_back(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        copy = keep(it)
        await it.run()
        rows = sheet_rows(ROWS)
        users = [row[2] for row in rows]
        for row, user in zip(rows, [*users[1:], users[0]], strict=True):
            row[2] = user
        with (it.folder / "leads.csv").open("w", newline="") as out:
            sheet = [[*row, Action.REASSIGN.value] for row in rows]
            csv.writer(out).writerows([[*HEADER, "Action"], *sheet])
        await it.run()
        given = live_pairs(it)
        restore(it, copy)
        await it.resume(recover=True)
        assert live_pairs(it) == given


async def test_a_recovery_of_the_newest_leaves_what_is_known_as_it_is(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        await it.resume(recover=True)
        await it.revoke()
        assert (await beside(it).run()).summary.states == {State.SHARED: ROWS}


async def test_a_renewal_by_a_newer_copy_stays_known(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        it.change("UPDATE rows SET ends_at = datetime('now', '+1 day') || '.000000'")
        copy = keep(it)
        assert (await it.run(renew=2880)).sent == 2 * ROWS
        restore(it, copy)
        await it.run(recover=True)
        assert (await beside(it).run(renew=2880)).summary.states == {State.SKIPPED: ROWS}


async def test_a_ledger_that_was_recovered_once_is_recovered_again_when_asked_to(tmp_path: Path) -> None:
    onlookers = [Onlooker(), Onlooker()]
    at_work = iter(onlookers)

    async def stop(step: Step, call: SandboxCall) -> Reply:
        ask_to_stop(next(at_work))
        return await step(call)

    async with trial(tmp_path, Fault(CREATE, [3, 5], stop)) as it:
        await it.run(onlookers[0], workers=1)
        it.ledger.unlink()
        await it.run(onlookers[1], workers=1, recover=True)
        copy = keep(it)
        await it.run()
        restore(it, copy)
        shutil.rmtree(tmp_path / "data")
        await it.run(recover=True)
        check_shared_once(it)


async def test_only_the_newest_copy_has_rows_under_way(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        other = other_copy(it)
        assert (await other.run()).summary.states == {State.SHARED: ROWS}
        await other.revoke()
        assert (await beside(it).run()).summary.held == 0


# ------------------------------------------------------------------------------------------ no dead ends


@pytest.mark.parametrize("others", [False, True])
async def test_leads_to_be_reassigned_are_so_by_a_ledger_that_was_recovered(
    tmp_path: Path, *, others: bool
) -> None:
    onlooker = Onlooker()

    stop = stopping(onlooker)

    async with trial(tmp_path, Fault(CREATE, [5 + others * ROWS], stop)) as it:
        if others:
            other, rows = beside(it), sheet_rows(ROWS)
            users = [row[2] for row in rows]
            other.write(
                [[*row[:2], user, *row[3:]] for row, user in zip(rows, [*users[1:], users[0]], strict=True)]
            )
            assert (await other.run()).summary.states == {State.SHARED: ROWS}
        with (it.folder / "leads.csv").open("w", newline="") as out:
            rows = [[*row, Action.REASSIGN.value] for row in sheet_rows(ROWS)]
            csv.writer(out).writerows([[*HEADER, "Action"], *rows])
        await it.run(onlooker, workers=2)
        it.ledger.unlink()
        ending = await it.run(recover=True)
        assert (ending.summary.states, ending.exit_code) == ({State.SHARED: ROWS}, ExitCode.DONE)
        check_shared_once(it, ROWS, ROWS + others * ROWS)


async def test_rows_that_a_recovery_leaves_out_hold_up_nothing(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        copy = keep(it)
        await it.run()
        restore(it, copy)
        await run_some(it, 6, recover=True)
        assert (await run_some(it, 6)).exit_code is ExitCode.DONE
        assert (await it.run()).summary.states == {State.SHARED: ROWS}
        check_shared_once(it)


async def test_a_job_whose_ledger_was_destroyed_can_be_given_up(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        second = beside(it)
        assert (await second.run()).summary.held > 0
        run = await run_of(it)
        for file in it.name.files():
            file.unlink()
        it.ledger.write_bytes(b"of no use" * 3000)
        await forget_job(it.settings(), run)
        assert (await second.run()).summary.held == 0


async def test_a_job_that_was_given_up_stays_so_when_its_shares_are_revoked(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        second = beside(it)
        await forget_job(it.settings(), await run_of(it))
        await it.revoke()
        assert (await second.run()).summary.held == 0


async def test_a_job_before_the_last_one_at_its_place_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier version began it anew without a word, and came to its end."""
    async with stopped(tmp_path) as it:
        it.ledger.unlink()
        with monkeypatch.context() as patch:
            patch.setattr(job, "find_missing", lambda *_, **__: asyncio.sleep(0))
            await it.run()
        it.ledger.unlink()
        assert (await it.run()).error is None


async def test_only_what_a_person_is_asked_about_is_recovered(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        before = len(it.leads_sent())
        await it.reconcile(recover=True, max_rows=1)
        assert len(it.leads_sent()) == before


async def test_rows_whose_time_is_to_come_are_not_counted_as_sent_by_a_ledger_that_was_recovered(
    tmp_path: Path,
) -> None:
    async with stopped(tmp_path) as it:
        it.ledger.unlink()
        await it.run(recover=True)
        rows = sheet_rows(ROWS + 10)[ROWS:]
        with (it.folder / "leads.csv").open("w", newline="") as out:
            starts = [[*row, "" if at < 2 else "2030-01-01 10:00"] for at, row in enumerate(rows)]
            csv.writer(out).writerows([[*HEADER, "Start"], *starts])
        assert (await it.run(max_rows=5)).error is None


# ------------------------------------------------------------------------------------------ what is told


async def test_an_older_copy_that_is_to_be_taken_in_is_told_to_be_one(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        copy = keep(it)
        await it.run()
        restore(it, copy)
        (remark,) = (await known_runs(it.settings(), 5, [it.name])).remarks
        assert "a newer copy of it is known already" in remark


async def test_a_plan_says_that_its_run_would_be_refused_and_which_rows_are_held(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        second, sheet = beside(it), tmp_path / "leads.csv"
        seen = await show_sheet(second.folder / "leads.csv", SheetOptions(), second.settings(), None)
        held = seen.parts["held"]
        assert held > 0
        assert (seen.parts["repeats"], sum(seen.parts.values())) == (0, ROWS)
        copy = keep(it)
        await it.run()
        restore(it, copy)
        seen = await show_sheet(sheet, SheetOptions(), it.settings(), None)
        assert any(OLDER in why for why in seen.would_stop)
        it.ledger.unlink()
        seen = await show_sheet(sheet, SheetOptions(), it.settings(), None)
        assert seen.would_stop == []
        assert "its own" not in {each.hint for each in seen.obstacles}


async def test_rows_that_were_never_sent_are_not_told_to_be(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        it.ledger.unlink()
        onlooker = Onlooker()
        await it.run(onlooker, recover=True, on_unknown="park")
        causes = {cause for state, cause in it.rows("state", "cause") if state == "unknown"}
        assert causes == {Cause.PARKED}
