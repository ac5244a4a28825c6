"""Ledgers that were restored, lost or copied, and rows that another job has under way: nothing is sent twice."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from copies import GONE, OLDER, ROWS, beside, check_shared_once, keep, restore, stopped, turn_index_back
from trial import CREATE, DROPPED, OF_LEAD, OF_TYPE, SHARE, Fault, Onlooker, sheet_rows, trial

from batch_share import BatchShare
from batch_share.common import Cause, utc_now
from batch_share.errors import LedgerError, TooManyRows
from batch_share.ledger import files
from batch_share.ledger.files import read_ledger
from batch_share.ledger.known import CallCount, open_history
from batch_share.ledger.states import State
from batch_share.planning.already_shared import forget_job, known_runs
from batch_share.results.answers import summarize
from batch_share.results.wording import ExitCode
from batch_share.sending.steps import markers_in

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.sending.onlookers import Preview


# ----------------------------------------------------------------------------------------------- older copies


async def test_a_ledger_that_was_restored_stops_every_job(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        copy = keep(it)
        assert (await it.run()).summary.states == {State.SHARED: ROWS}
        restore(it, copy)
        calls = len(it.sandbox.journal.since(0))
        for work in (it.run, it.resume, it.follow_up, it.revoke, it.retry, it.reconcile):
            with pytest.raises(LedgerError, match=OLDER):
                await work()
        assert len(it.sandbox.journal.since(0)) == calls
        assert it.query("SELECT count(*) FROM runs") == [(1,)], "it is left as it was"


@pytest.mark.parametrize("resumed", [False, True])
async def test_a_restored_ledger_is_recovered_by_looking_every_row_up(tmp_path: Path, *, resumed: bool) -> None:
    async with stopped(tmp_path) as it:
        copy = keep(it)
        await it.run()
        restore(it, copy)
        looked = len(it.sent(OF_LEAD))
        ending = await (it.resume if resumed else it.run)(recover=True)
        assert ending.summary.states == {State.SHARED: ROWS}
        check_shared_once(it)
        assert len(it.sent(OF_TYPE)) <= 3
        assert len(it.sent(OF_LEAD)) <= looked + 1, "but for the owner's check"
        assert (await it.run()).sent == 0


async def test_what_was_not_sent_by_any_copy_is_sent_by_the_one_that_is_recovered(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        copy = keep(it)
        await it.run()
        restore(it, copy)
        it.write(sheet_rows(ROWS + 8))
        assert (await it.run(recover=True)).summary.states == {State.SHARED: ROWS + 8}
        check_shared_once(it, ROWS + 8, ROWS + 8)


async def test_a_sheet_that_brings_back_rows_after_a_recovery_sends_none_of_them_again(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        copy = keep(it)
        it.write(sheet_rows(ROWS + 3))
        await it.run()
        restore(it, copy)
        await it.resume(recover=True)  # which knows nothing of the three rows
        assert (await it.run()).summary.states == {State.SHARED: ROWS + 3}
        check_shared_once(it, ROWS + 3, ROWS + 3)


async def test_a_renewal_that_an_older_copy_does_not_know_of_is_not_made_again(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        await it.run()
        copy = keep(it)
        it.change("UPDATE rows SET ends_at = '2020-01-01 00:00:00.000000'")
        assert (await it.run(renew=1440)).sent == 2 * ROWS
        restore(it, copy)
        it.change("UPDATE rows SET ends_at = '2020-01-01 00:00:00.000000'")
        ending = await it.run(recover=True, renew=1440)
        assert ending.summary.states == {State.SHARED: ROWS}
        markers = Counter(marker for each in it.sandbox.account.visible() for marker in markers_in(each.note))
        assert (set(markers.values()), len(it.sandbox.account.activities)) == ({1}, 2 * ROWS)


async def test_what_a_recovery_may_send_is_agreed_to_and_counted_by_the_guards(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        copy = keep(it)
        await it.run()
        restore(it, copy)
        left = sum(state in {"pending", "posted"} for (state,) in it.rows("state"))
        onlooker = Onlooker()
        ending = await it.run(onlooker, recover=True, max_rows=3)
        assert isinstance(ending.error, TooManyRows)
        assert (await it.run(onlooker, max_rows=ROWS)).summary.states == {State.SHARED: ROWS}
        assert onlooker.previews[0].to_send == left > 3
        it.write(sheet_rows(ROWS + 5))
        assert isinstance((await it.run(max_rows=3)).error, TooManyRows)
        check_shared_once(it)


async def test_a_copy_is_recovered_also_where_the_index_knows_of_no_other(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        copy = keep(it)
        await it.run()
        restore(it, copy)
        shutil.rmtree(tmp_path / "data")
        assert (await it.run(recover=True)).summary.states == {State.SHARED: ROWS}
        check_shared_once(it)


async def test_a_copy_that_was_run_makes_the_other_one_older(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        other = beside(it)
        shutil.copy(it.ledger, other.ledger)
        assert (await other.run()).summary.states == {State.SHARED: ROWS}
        with pytest.raises(LedgerError, match=OLDER):
            await it.run()
        assert (await it.run(recover=True)).summary.states == {State.SHARED: ROWS}
        with pytest.raises(LedgerError, match=OLDER):
            await other.run()
        check_shared_once(it)


async def test_a_copy_of_a_ledger_under_work_is_older_at_once(tmp_path: Path) -> None:
    """What a run that was killed could not note in the index is known by its calls."""
    async with stopped(tmp_path) as it:
        ((job,),) = it.query("SELECT value FROM about WHERE name = 'job'")
        ((number,),) = it.query("SELECT max(id) FROM attempts")
        count = CallCount(tmp_path / "data", job)
        count.note(number)
        count.close()
        assert (await it.run()).error is None
        assert count.read() == 0, "it is known by the index now"
        count.note(10_000)
        count.close()
        with pytest.raises(LedgerError, match=OLDER):
            await it.run()


async def test_a_look_at_an_older_copy_makes_nobody_forget_what_is_known(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        copy = keep(it)
        await it.run()
        restore(it, copy)
        async with read_ledger(it.name) as ledger:
            await summarize(ledger)
        await known_runs(it.settings(), 5, [it.name])
        assert (await beside(it).run()).summary.states == {State.SKIPPED: ROWS}
        with pytest.raises(LedgerError, match=OLDER):
            await it.run()


# ----------------------------------------------------------------------------------------------- lost ledgers


async def test_a_ledger_that_is_gone_with_its_job_unfinished_stops_the_run(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        it.ledger.unlink()
        for _ in range(2):
            with pytest.raises(LedgerError, match=GONE):
                await it.run()
        shares = len(it.sent(SHARE))
        assert (await it.run(recover=True)).summary.states == {State.SHARED: ROWS}
        check_shared_once(it)
        assert len(it.sent(SHARE)) == ROWS, f"{shares} were shared before, and are known by their requests"
        assert (await it.run()).sent == 0


async def test_what_has_ended_since_its_ledger_was_lost_is_not_shared_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stopped(tmp_path) as it:
        posted, shares = len(it.leads_sent()), len(it.sent(SHARE))
        it.ledger.unlink()
        monkeypatch.setattr(files, "utc_now", lambda: utc_now() + timedelta(days=8))
        states = (await it.run(recover=True)).summary.states
        assert states == {State.ENDED: posted, State.SHARED: ROWS - posted}
        assert len(it.sent(SHARE)) - shares == ROWS - posted


async def test_a_ledger_that_is_gone_and_was_done_with_is_begun_anew(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        it.ledger.unlink()
        assert (await it.run()).summary.states == {State.SKIPPED: ROWS}
        check_shared_once(it)


class Unwilling(Onlooker):
    """Agrees to nothing."""

    def agree(self, preview: Preview) -> bool:
        """Keep it, and say no."""
        return super().agree(preview) and False


async def test_of_a_sheet_that_was_moved_and_its_ledger_lost_a_person_is_told_before_it_is_sent(
    tmp_path: Path,
) -> None:
    async with stopped(tmp_path) as it:
        it.ledger.unlink()
        moved, onlooker = beside(it), Unwilling()
        await moved.run(onlooker)
        (run,) = [run for run in (await known_runs(it.settings(), 5, [])).runs if run.ledger == it.name]
        (told,) = [each for each in onlooker.previews[0].reported if "is gone" in each]
        assert "run it with --recover" in told
        assert f"`batch-share runs --forget {run.id}`" in told
        for file in moved.name.files():
            file.unlink()
        assert (await moved.run(recover=True)).summary.states == {State.SHARED: ROWS}
        check_shared_once(moved)


async def test_of_a_lost_job_that_nobody_will_finish_nothing_is_told(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        it.ledger.unlink()
        await forget_job(it.settings(), (await known_runs(it.settings(), 5, [])).runs[0].id)
        onlooker = Unwilling()
        await beside(it).run(onlooker)
        assert not [each for each in onlooker.previews[0].reported if "is gone" in each]


async def test_a_job_that_was_given_up_stops_nothing(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        it.ledger.unlink()
        (run,) = (await known_runs(it.settings(), 5, [])).runs
        with pytest.raises(LedgerError, match=f"runs --forget {run.id}"):
            await it.run()
        await forget_job(it.settings(), run.id)
        assert (await it.run()).error is None


# ----------------------------------------------------------------------------------------------- held rows


@pytest.mark.parametrize("forced", [False, True])
async def test_rows_that_another_job_has_under_way_are_held(tmp_path: Path, *, forced: bool) -> None:
    async with stopped(tmp_path) as it:
        under_way = [state for (state,) in it.rows("state")].count("posted")
        second = beside(it)
        ending = await second.run(force=forced)
        assert ending.exit_code is ExitCode.NOT_DONE
        assert ending.summary.held == under_way > 0
        bs = BatchShare(second.settings())
        assert await bs.unchanged(second.folder / "leads.csv") is await bs.nothing_due(second.ledger) is None
        held = [why for cause, why in second.rows("cause", "reason") if cause == Cause.HELD]
        assert len(held) == under_way
        assert "which has the same lead and user under way: `batch-share resume " in held[0]
        assert (await it.run()).error is None
        ending = await second.run()
        assert (ending.summary.held, ending.exit_code) == (0, ExitCode.DONE)
        if not forced:
            check_shared_once(it)


async def test_rows_of_which_nobody_knows_are_held(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [3, 4], DROPPED), Fault(SHARE, [5], DROPPED)) as it:
        await it.run(on_unknown="park")
        unknown = [state for (state,) in it.rows("state")].count("unknown")
        assert unknown >= 2
        assert (await beside(it).run()).summary.held == unknown


async def test_what_another_ledger_shares_by_now_is_not_shared_by_a_job_that_goes_on(tmp_path: Path) -> None:
    async with stopped(tmp_path) as it:
        second = beside(it)
        why = (await second.run()).summary.skipped[-1].row.why
        assert why is not None
        run = why.details["run"]
        await forget_job(it.settings(), run)
        assert (await second.run()).summary.held == 0
        ending = await it.run()
        assert ending.summary.states[State.FAILED] > 0
        reasons = [why for state, why in it.rows("state", "reason") if state == "failed"]
        assert all("its activity was posted, but it was not shared: " in why for why in reasons)
        live = Counter((share["lead"], share["user"]) for share in it.sandbox.report()["live_shares"]["shares"])
        assert (set(live.values()), live.total()) == ({1}, ROWS)


# ----------------------------------------------------------------------------------------------- the index


async def test_an_index_of_the_version_before_is_kept(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        turn_index_back(tmp_path)
        assert (await beside(it).run()).summary.states == {State.SKIPPED: ROWS}
        with open_history(tmp_path / "data") as history:
            assert history.begun_anew is None
            assert len(history.live_after(utc_now())) == ROWS
