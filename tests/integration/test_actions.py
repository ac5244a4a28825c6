"""The Action column: what earlier runs shared is revoked first, in its own ledger."""

from __future__ import annotations

import asyncio
import csv
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from copies import OLDER, keep, restore
from trial import (
    CREATE,
    DROPPED,
    HEADER,
    REVOKE,
    SHARE,
    STATUS,
    Fault,
    Onlooker,
    Refuses,
    Trial,
    altogether,
    envelope,
    sheet_rows,
    stopping,
    trial,
)

from batch_share.errors import CanaryFailed, HistoryError, TooManyRevokes, TooManyRows
from batch_share.jobs import revoke, run
from batch_share.jobs.outputs import nothing_due, unchanged
from batch_share.ledger.files import LedgerName
from batch_share.ledger.known import FILE
from batch_share.ledger.states import State
from batch_share.library import BatchShare
from batch_share.planning.already_shared import known_runs
from batch_share.planning.intake import SheetJob, show_sheet
from batch_share.planning.plan import SheetOptions
from batch_share.results.wording import ExitCode, reason_of
from batch_share.sandbox.sheets import active_users

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trial import Step

    from batch_share.jobs.job import Ending
    from batch_share.sandbox.wire import Reply, SandboxCall
    from batch_share.sending.session import Session


def another(first: Trial, name: str = "another") -> Trial:
    """A second folder of the same account, on the same machine."""
    folder = first.folder / name
    folder.mkdir()
    return Trial(
        folder, first.sandbox, {"state_folder": first.folder / "state", "data_folder": first.folder / "data"}
    )


def acting(it: Trial, *rows: Sequence[str]) -> None:
    """Write a sheet with an Action column, last."""
    with (it.folder / "leads.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([(*HEADER, "Action"), *rows])


def live(it: Trial) -> set[tuple[str, str]]:
    """Whom the sandbox lets see which lead: number and user."""
    return {(each["lead"], each["user"]) for each in it.sandbox.report()["live_shares"]["shares"]}


NO_ACTION = (
    "not an action: write share, revoke (takes a share back) or reassign (takes the others' back, then shares); "
    "if the whole column is about something else, map it to ignore"
)


class Scene:
    """The rows and users of a first run, which gives lead n to user n; `second` is a folder for another sheet."""

    def __init__(self, first: Trial) -> None:
        self.first = first
        self.rows = sheet_rows(4, first.sandbox.world)
        self.users = [user.id for user in active_users(first.sandbox.world)]
        self.second = another(first)

    def row(self, lead: int, user: int, action: str) -> list[str]:
        row = self.rows[lead]
        return [*row[:2], self.users[user], *row[3:], action]

    def pair(self, lead: int, user: int) -> tuple[str, str]:
        return self.rows[lead][1], self.users[user]


async def test_revoke_takes_back_what_another_ledger_shared(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 0, "revoke"))
        onlooker = Onlooker()
        ending = await scene.second.run(onlooker)
        assert live(it) == {scene.pair(1, 1), scene.pair(2, 2)}
        assert (ending.summary.states, ending.summary.exit_code) == ({State.REVOKED: 1}, 0)
        (remark,) = ending.remarks
        assert remark.startswith("The results of another ledger still show shares that were revoked: ")
        assert remark.endswith(f"`batch-share results {it.folder}/leads.csv` writes them anew")
        assert scene.second.rows("reason") == [("revoked: leads.csv row 2",)]
        assert it.rows("state") == [("revoked",), ("shared",), ("shared",)]
        (preview,) = onlooker.previews
        assert (preview.to_send, preview.revocations, preview.reported) == (0, 1, [])
        assert len(it.sent(CREATE)) == 3


async def test_an_older_copy_of_a_ledger_revokes_nothing_and_nobody_else_gets_its_lead(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        await it.run()
        copy = keep(it)
        await it.revoke(rows="3")
        restore(it, copy)
        scene = Scene(it)
        acting(scene.second, scene.row(0, 3, "reassign"))
        ending = await scene.second.run()
        assert ending.summary.states == {State.FAILED: 1}
        assert OLDER in scene.second.rows("reason")[0][0]
        assert len(it.sent(REVOKE)) == 1
        assert live(it) == {scene.pair(0, 0), scene.pair(2, 2)}


async def test_reassign_takes_it_from_all_others_and_shares_then(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 3, "Reassign"), scene.row(3, 4, ""), scene.row(1, 2, "share"))
        onlooker = Onlooker()
        ending = await scene.second.run(onlooker)
        assert (onlooker.previews[0].to_send, onlooker.previews[0].changes_made) == (3, 4)
        assert live(it) == {
            scene.pair(0, 3), scene.pair(3, 4), scene.pair(1, 2), scene.pair(1, 1), scene.pair(2, 2)
        }  # fmt: skip
        assert ending.summary.states == {State.SHARED: 3}
        assert scene.second.rows("notice")[0] == (
            "the lead's shares with other users were revoked first: leads.csv row 2",
        )
        order = [call["endpoint"] for call in it.sandbox.journal.since(0)]
        assert order.index(REVOKE) < [at for at, each in enumerate(order) if each == CREATE][3]
        again = await scene.second.run()
        assert again.summary.states == {State.SHARED: 3}
        assert (len(it.sent(REVOKE)), len(it.sent(SHARE))) == (1, 6)


async def test_what_the_same_ledger_shared_is_revoked_too(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        await it.run()
        scene = Scene(it)
        acting(it, scene.row(0, 3, "reassign"), scene.row(1, 1, "revoke"), [*scene.rows[2], "share"])
        ending = await it.run()
        assert live(it) == {scene.pair(0, 3), scene.pair(2, 2)}
        assert altogether(ending.summary) == {State.SHARED: 2, State.REVOKED: 3}
        assert ending.summary.exit_code == 0


async def test_what_nobody_knows_of_is_skipped_and_a_lead_that_nobody_has_is_shared(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(1, 1, "revoke"), scene.row(2, 2, "reassign"))
        ending = await scene.second.run()
        assert ending.summary.states == {State.SKIPPED: 1, State.SHARED: 1}
        (skipped, _), (_, notice) = scene.second.rows("reason", "notice")
        assert skipped.startswith("this machine's ledgers know of no share of this lead with this user")
        assert notice == "reassigned: this machine's ledgers know of no share of the lead with another user"
        assert (await scene.second.run()).summary.states == {State.SKIPPED: 1, State.SHARED: 1}


async def test_whoever_has_the_lead_already_keeps_it_and_the_others_lose_it(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        scene = Scene(it)
        it.write([scene.row(0, 0, "")[:-1], scene.row(0, 1, "")[:-1]])
        await it.run()
        acting(scene.second, scene.row(0, 1, "reassign"))
        ending = await scene.second.run()
        assert live(it) == {scene.pair(0, 1)}
        ((state, reason),) = scene.second.rows("state", "reason")
        assert (state, reason.startswith("already shared with this user until ")) == ("skipped", True)
        assert len(it.sent(SHARE)) == 2
        assert ending.revoked_earlier == 1
        (skipped,) = ending.summary.skipped
        taken = "the lead's shares with other users were revoked first: leads.csv row 2"
        assert reason_of(skipped.row) == f"{reason}; {taken}"
        onlooker = Onlooker()
        assert (await scene.second.run(onlooker)).revoked_earlier == 0
        assert onlooker.previews[0].revocations == 0


async def test_a_share_that_two_rows_revoke_is_counted_once(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 0, "revoke"), scene.row(0, 1, "reassign"))
        assert (await scene.second.run(canary=1)).revoked_earlier == 1


async def test_a_share_that_was_not_revoked_is_not_counted(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(REVOKE, [1], envelope(400, "Not permitted")), rows=2) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 0, "revoke"), scene.row(1, 1, "revoke"))
        assert (await scene.second.run()).revoked_earlier == 1


async def test_rows_of_which_nothing_is_known_are_reported_once_with_what_to_do(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(2, 2, "revoke"), scene.row(3, 3, "revoke"))
        first, again, both = Onlooker(), Onlooker(), Onlooker()
        await scene.second.run(first)
        unknown = "with revoke or reassign as Action, and nothing to revoke is known here for"
        how = "`batch-share runs --add LEDGER` adds a ledger from elsewhere"
        assert first.previews[0].reported == [f"2 rows {unknown} them: {how}"]
        await scene.second.run(again)
        assert again.previews[0].reported == []
        acting(scene.second, scene.row(2, 2, "revoke"), scene.row(0, 0, "revoke"), scene.row(0, 2, "reassign"))
        await scene.second.run(both)
        assert both.previews[0].reported == [f"1 row {unknown} it: {how}"]
        assert both.previews[0].revocations == 1


@pytest.mark.parametrize("skipped_before", [False, True])
async def test_whoever_has_the_lead_already_gets_it_again_by_force(tmp_path: Path, skipped_before: bool) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 0, "reassign"))
        if skipped_before:
            assert (await scene.second.run()).summary.states == {State.SKIPPED: 1}
        assert (await scene.second.run(force=True)).summary.states == {State.SHARED: 1}
        assert len(it.sent(SHARE)) == 2


async def test_two_users_for_one_reassigned_lead_are_a_question(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        scene = Scene(it)
        acting(it, scene.row(0, 1, "reassign"), scene.row(0, 2, "reassign"), scene.row(1, 2, "lend"))
        ending = await it.run()
        assert ending.summary.states == {State.INVALID: 3}
        assert it.sent(SHARE) == []
        why = "says reassign for the same lead, to another user: keep only the one you mean"
        assert [reason for (reason,) in it.rows("reason")] == [
            f"Row 2: row 3 {why}",
            f"Row 3: row 2 {why}",
            f"Row 4, Action 'lend': {NO_ACTION}",
        ]


async def test_a_share_that_cannot_be_revoked_is_not_given_to_another(tmp_path: Path) -> None:
    refused = Fault(REVOKE, [1], envelope(400, "Not permitted"))
    async with trial(tmp_path, refused, rows=2) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 3, "reassign"))
        ending = await scene.second.run()
        assert ending.summary.states == {State.FAILED: 1}
        assert live(it) == {scene.pair(0, 0), scene.pair(1, 1)}
        ((stage, reason),) = scene.second.rows("stage", "reason")
        assert stage == "earlier"
        assert reason == (
            "not all earlier shares could be revoked, so it was not shared with this user: leads.csv "
            "row 2: the share still stands: LeadSquared refused to revoke it: Not permitted"
        )
        again = await scene.second.retry()
        assert again.summary.states == {State.SHARED: 1}
        assert live(it) == {scene.pair(0, 3), scene.pair(1, 1)}


async def test_a_ledger_that_is_in_use_or_gone_is_reported(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 3, "reassign"))
        with LedgerName.of(it.ledger).locked():
            ending = await scene.second.run()
        assert "is in use, so rows that revoke its shares wait: run again" in ending.remarks[0]
        assert ending.summary.exit_code == 1
        assert scene.second.rows("state", "reason") == [("pending", "being revoked first: leads.csv row 2")]
        moved = it.ledger.rename(tmp_path / "moved.db")
        ending = await scene.second.run()
        assert "it is not there any more" in scene.second.rows("reason")[0][0]
        assert "can't be looked at" in ending.remarks[0]
        moved.rename(it.ledger)
        assert (await scene.second.retry()).summary.states == {State.SHARED: 1}


async def test_a_row_that_waits_for_a_ledger_in_use_is_something_to_do(tmp_path: Path) -> None:
    """It asks for no share, so it does not count among the rows to be sent."""
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 0, "revoke"))
        with LedgerName.of(it.ledger).locked():
            await scene.second.run()
        job = SheetJob(scene.second.folder / "leads.csv", LedgerName.of(scene.second.ledger))
        assert await nothing_due(job.ledger) is None
        assert await unchanged(job, scene.second.settings()) is None
        assert (await scene.second.resume()).summary.states == {State.REVOKED: 1}
        assert await nothing_due(job.ledger) is not None
        assert await unchanged(job, scene.second.settings()) is not None


async def test_a_share_is_not_sought_in_another_ledger_that_took_the_place_of_its_own(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        scene = Scene(it)
        third = another(it, "third")
        third.write(scene.rows[1:2])
        await third.run()
        acting(scene.second, scene.row(0, 3, "reassign"))
        kept = it.ledger.rename(tmp_path / "kept.db")
        shutil.copy(third.ledger, it.ledger)
        ending = await scene.second.run()
        assert ending.summary.states == {State.FAILED: 1}
        assert "another ledger has taken its place" in scene.second.rows("reason")[0][0]
        assert (live(it), it.sent(REVOKE)) == ({scene.pair(0, 0), scene.pair(1, 1)}, [])
        kept.rename(it.ledger)
        assert (await scene.second.retry()).summary.states == {State.SHARED: 1}
        assert live(it) == {scene.pair(0, 3), scene.pair(1, 1)}


async def test_a_ledger_that_was_moved_is_known_again_once_it_is_worked_on(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 3, "reassign"), scene.row(1, 1, "revoke"))
        moved = tmp_path / "moved"
        moved.mkdir()
        for name in ("leads.csv", "leads.csv.ledger.db"):
            (tmp_path / name).rename(moved / name)
        await Trial(moved, it.sandbox, scene.second.changes).follow_up()
        assert (await scene.second.run()).summary.states == {State.SHARED: 1, State.REVOKED: 1}
        assert live(it) == {scene.pair(0, 3)}


async def test_without_the_index_nothing_is_begun(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 3, "reassign"), scene.row(3, 3, "share"))
        shutil.rmtree(tmp_path / "data")
        (tmp_path / "data").write_text("in the way")
        ending = await scene.second.run()
        assert isinstance(ending.error, HistoryError)
        assert ending.summary.states == {State.PENDING: 2}
        (tmp_path / "data").unlink()
        assert (tmp_path / FILE).exists() is False


async def test_without_the_index_nothing_is_tried_again(tmp_path: Path) -> None:
    refused = Fault(REVOKE, [1], envelope(400, "Not permitted"))
    async with trial(tmp_path, refused, rows=1) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 3, "reassign"))
        await scene.second.run()
        (tmp_path / "data").rename(tmp_path / "kept")
        (tmp_path / "data").write_text("in the way")
        onlooker = Onlooker()
        ending = await scene.second.retry(onlooker=onlooker)
        assert isinstance(ending.error, HistoryError)
        assert (onlooker.previews, ending.summary.states) == ([], {State.FAILED: 1})
        assert (len(it.sent(REVOKE)), len(it.sent(CREATE))) == (1, 1)
        (tmp_path / "data").unlink()
        (tmp_path / "kept").rename(tmp_path / "data")
        assert (await scene.second.retry()).summary.states == {State.SHARED: 1}


async def test_an_index_that_is_lost_while_shares_are_revoked_stops_no_run(tmp_path: Path) -> None:
    async def lose(step: Step, call: SandboxCall) -> Reply:
        (tmp_path / "data").rename(tmp_path / "lost")
        (tmp_path / "data").write_text("in the way")
        return await step(call)

    async with trial(tmp_path, Fault(REVOKE, [1], lose), rows=1) as it:
        await it.run()
        scene = Scene(it)
        acting(it, scene.row(0, 3, "reassign"))
        ending = await it.run()
        assert altogether(ending.summary) == {State.REVOKED: 1, State.SHARED: 1}
        assert any("The run continues without it" in remark for remark in ending.remarks)
        assert live(it) == {scene.pair(0, 3)}


@pytest.mark.parametrize(("action", "user", "ends"), [("reassign", 3, State.SHARED), ("revoke", 0, State.REVOKED)])
async def test_what_another_ledger_took_back_counts_though_the_index_can_not_note_it(
    tmp_path: Path, action: str, user: int, ends: State
) -> None:
    async def spoil(step: Step, call: SandboxCall) -> Reply:
        with closing(sqlite3.connect(tmp_path / "data" / FILE)) as index:
            index.executescript("DROP TABLE live; CREATE TABLE live (x)")
        return await step(call)

    async with trial(tmp_path, Fault(REVOKE, [1], spoil), rows=1) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, user, action))
        ending = await scene.second.run()
        assert ending.summary.states == {ends: 1}
        assert any("The run continues without it" in remark for remark in ending.remarks)
        assert live(it) == ({scene.pair(0, 3)} if ends is State.SHARED else set())


async def test_an_index_that_was_begun_anew_knows_nothing(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 3, "reassign"), scene.row(1, 1, "revoke"))
        index = tmp_path / "data" / FILE
        for file in index.parent.glob(f"{FILE}*"):
            file.write_bytes(b"no database" * 100)
        for _ in range(2):
            ending = await scene.second.run()
            assert isinstance(ending.error, HistoryError)
            assert ending.summary.states == {State.PENDING: 2}
        await known_runs(it.settings(), 5, [it.name])
        (aside,) = index.parent.glob(f"{FILE}.damaged-*")
        aside.unlink()
        assert (await scene.second.run()).summary.states == {State.SHARED: 1, State.REVOKED: 1}
        assert live(it) == {scene.pair(0, 3)}


async def test_what_was_shared_with_other_keys_is_known(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 3, "reassign"))
        with closing(sqlite3.connect(tmp_path / "data" / FILE)) as index:
            index.execute("UPDATE ledgers SET account = 'of other keys'")
            index.commit()
        await scene.second.run()
        assert live(it) == {scene.pair(0, 3), scene.pair(1, 1)}


async def test_what_somebody_began_to_revoke_and_stopped_is_left(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=4) as it:
        await it.run()
        scene = Scene(it)
        onlooker = Onlooker(lambda session: session.stop.ask())
        await it.revoke(onlooker)
        assert len(live(it)) == 4
        acting(scene.second, scene.row(0, 0, "revoke"))
        await scene.second.run()
        assert live(it) == {scene.pair(at, at) for at in (1, 2, 3)}


async def test_a_canary_comes_before_anything_else_is_revoked(tmp_path: Path) -> None:
    refused = Fault(CREATE, range(4, 99), envelope(400, "Invalid event code"))
    async with trial(tmp_path, refused, rows=3) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, *(scene.row(at, at + 1, "reassign") for at in range(3)))
        ending = await scene.second.run(canary=1)
        assert isinstance(ending.error, CanaryFailed)
        assert live(it) == {scene.pair(1, 1), scene.pair(2, 2)}


async def test_a_canary_that_cannot_be_revoked_ends_the_run(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(REVOKE, [1], envelope(400, "Not permitted")), rows=3) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, *(scene.row(at, at + 1, "reassign") for at in range(3)))
        ending = await scene.second.run(canary=1)
        assert isinstance(ending.error, CanaryFailed)
        assert len(live(it)) == 3


async def test_a_plan_tells_how_many_shares_are_revoked(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 3, "reassign"), scene.row(1, 1, "revoke"), scene.row(3, 3, "revoke"))
        sheet, settings = scene.second.folder / "leads.csv", scene.second.settings()
        plan = await show_sheet(sheet, SheetOptions(), settings, None)
        assert (plan.earlier, plan.to_send, plan.live.remarks) == (2, 1, [])
        plan = await show_sheet(sheet, SheetOptions(), scene.second.settings(force=True), None)
        assert (plan.earlier, plan.unasked, plan.to_send) == (2, 0, 1)
        plan = await show_sheet(sheet, SheetOptions(), scene.second.settings(access_key=None), None)
        assert (plan.earlier, plan.unasked) == (0, 3), "without an account nobody knows"
        onlooker = Onlooker()
        await scene.second.run(onlooker)
        assert onlooker.previews[0].revocations == 2
        shutil.rmtree(tmp_path / "data")
        (tmp_path / "data").write_text("in the way")
        plan = await show_sheet(sheet, SheetOptions(), settings, None)
        assert (plan.earlier, "can't be used" in plan.live.remarks[0]) == (0, True)


async def test_shares_revoked_count_as_rows_of_a_run(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, *(scene.row(at, at, "revoke") for at in range(3)))
        ending = await scene.second.run(max_rows=2)
        assert isinstance(ending.error, TooManyRows)
        assert "3 rows would be sent or revoked (3) and --max-rows allows 2" in str(ending.error)
        assert len(live(it)) == 3


async def test_who_loses_shares_is_called_as_the_ledgers_that_made_them_know_them(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        await it.run()
        scene, third = Scene(it), another(it, "third")
        mails = [user.email for user in active_users(it.sandbox.world)]
        third.write([scene.row(2, 0, "")[:-1]])
        await third.run()
        acting(scene.second, *(scene.row(at, 5, "reassign") for at in range(3)), scene.row(2, 4, "revoke"))
        onlooker = Refuses()
        ending = await scene.second.run(onlooker)
        taken = onlooker.previews[0].revoked_earlier
        assert taken.users == {mails[0]: 2, mails[1]: 1, mails[2]: 1}
        assert taken.sheets == ["leads.csv"]
        assert str(ending.error) == "Nothing was sent: the run was not confirmed."
        assert len(live(it)) == 4


async def test_who_loses_shares_is_called_by_their_id_where_no_ledger_can_tell(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 3, "reassign"))
        it.ledger.rename(tmp_path / "moved.db")
        onlooker = Refuses()
        await scene.second.run(onlooker)
        assert onlooker.previews[0].revoked_earlier.users == {scene.users[0]: 1}


async def unattended(it: Trial, job: str = "run", **changes: Any) -> Ending:
    """A job by a program that asks nobody."""
    async with BatchShare(it.settings(**changes)) as bs:
        if job == "run":
            return await bs.run(it.folder / "leads.csv")
        return await (bs.resume if job == "resume" else bs.retry)(it.ledger)


@pytest.mark.parametrize("most", [0, 1])
async def test_where_nobody_is_asked_no_more_is_revoked_than_the_settings_allow(tmp_path: Path, most: int) -> None:
    async with trial(tmp_path, rows=3) as it:
        await it.run()
        scene, before = Scene(it), live(it)
        acting(scene.second, scene.row(0, 3, "reassign"), scene.row(1, 1, "revoke"), scene.row(3, 3, "share"))
        for job in ("run", "resume"):
            ending = await unattended(scene.second, job, max_revokes=most)
            assert isinstance(ending.error, TooManyRevokes)
            assert "2 shares of leads.csv would be revoked from " in str(ending.error)
            assert "add --max-revokes 2," in str(ending.error)
            assert ending.summary.states == {State.PENDING: 3}
            assert ending.exit_code is ExitCode.NOT_DONE
        assert (live(it), it.sent(REVOKE), len(it.sent(CREATE))) == (before, [], 3)
        done = await unattended(scene.second, "resume", max_revokes=2)
        assert done.summary.states == {State.SHARED: 2, State.REVOKED: 1}
        assert live(it) == {scene.pair(0, 3), scene.pair(2, 2), scene.pair(3, 3)}


async def test_a_program_that_agrees_itself_needs_no_such_setting(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 0, "revoke"))
        bs = BatchShare(scene.second.settings(), agree=lambda preview: preview.revocations == 1)
        assert (await bs.run(scene.second.folder / "leads.csv")).summary.states == {State.REVOKED: 1}


async def test_what_is_left_to_be_revoked_is_to_be_agreed_to_anew(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(REVOKE, [2], envelope(400, "Not permitted")), rows=2) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, *(scene.row(at, at, "revoke") for at in range(2)))
        ending = await unattended(scene.second, max_revokes=2, workers=1)
        assert ending.summary.states == {State.REVOKED: 1, State.FAILED: 1}
        again = await unattended(scene.second, "retry")
        assert isinstance(again.error, TooManyRevokes)
        assert "1 share of leads.csv would be revoked" in str(again.error)
        assert len(it.sent(REVOKE)) == 2
        assert (await unattended(scene.second, "retry", max_revokes=1)).summary.states == {State.REVOKED: 2}


async def test_a_run_that_was_cut_off_takes_nothing_more_back_unasked(tmp_path: Path) -> None:
    async def cut_off(step: Step, call: SandboxCall) -> Reply:
        task.cancel()
        return DROPPED

    async with trial(tmp_path, Fault(REVOKE, [2], cut_off), rows=3) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, *(scene.row(at, at, "revoke") for at in range(3)))
        task = asyncio.create_task(unattended(scene.second, max_revokes=3, workers=1))
        with pytest.raises(asyncio.CancelledError):
            await task
        standing = live(it)
        assert len(standing) == 2
        ending = await unattended(scene.second, "resume")
        assert isinstance(ending.error, TooManyRevokes)
        assert "add --max-revokes 2," in str(ending.error)
        assert live(it) == standing
        assert (await unattended(scene.second, "resume", max_revokes=2)).summary.states == {State.REVOKED: 3}
        assert live(it) == set()


async def test_a_row_whose_user_has_the_lead_by_this_ledger_stays_skipped(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        scene = Scene(it)
        acting(it, scene.row(0, 0, "reassign"))
        for onlooker in (Onlooker(), Onlooker()):
            assert altogether((await it.run(onlooker)).summary) == {State.SHARED: 1, State.SKIPPED: 1}
        assert onlooker.previews[0].to_send == 0
        assert len(it.sent(SHARE)) == 1


async def test_a_retry_that_was_stopped_takes_back_the_rest(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(REVOKE, [1, 2], envelope(400, "Not permitted")), rows=2) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, *(scene.row(at, at, "revoke") for at in range(2)))
        assert (await scene.second.run()).summary.states == {State.FAILED: 2}
        onlooker = Onlooker(lambda session: session.stop.ask())
        await scene.second.retry(onlooker=onlooker)
        assert onlooker.previews[0].revocations == 2
        assert (await scene.second.retry()).summary.states == {State.REVOKED: 2}
        assert live(it) == set()


async def test_one_sheet_that_shares_and_takes_back_the_same_is_a_question(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 0, "share"), scene.row(0, 0, "revoke"))
        assert (await scene.second.run()).summary.states == {State.INVALID: 2}
        acting(it, scene.row(0, 0, "share"), scene.row(0, 1, "reassign"))
        assert (await it.run()).summary.states == {State.SHARED: 1, State.INVALID: 1}
        assert live(it) == {scene.pair(0, 0)}


async def test_a_share_that_could_not_be_revoked_is_not_made_again_by_another_sheet(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(REVOKE, [1], envelope(400, "Not permitted")), rows=1) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 0, "revoke"))
        assert (await scene.second.run()).summary.states == {State.FAILED: 1}
        third = another(it, "third")
        acting(third, scene.row(0, 0, "share"))
        assert (await third.run()).summary.states == {State.SKIPPED: 1}
        assert len(it.sent(SHARE)) == 1


async def test_what_was_revoked_is_reported_though_the_run_was_stopped_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stop(session: Session) -> None:
        session.stop.ask()

    async with trial(tmp_path, rows=1) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 3, "reassign"))
        with monkeypatch.context() as patch:
            patch.setattr(run, "send_rows", stop)
            await scene.second.run()
        assert live(it) == set()
        await scene.second.resume()
        assert scene.second.rows("state", "notice") == [
            ("shared", "the lead's shares with other users were revoked first: leads.csv row 2")
        ]


async def test_what_was_revoked_for_a_row_is_known_though_its_sheet_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 0, "revoke"))
        await run_cut_off_before_it_is_noted(scene, monkeypatch)
        acting(scene.second, scene.row(0, 0, "revoke"), scene.row(1, 3, "share"))
        assert (await scene.second.run()).summary.states == {State.REVOKED: 1, State.SHARED: 1}
        assert scene.second.rows("reason")[0] == ("revoked: leads.csv row 2",)


async def test_a_share_that_was_never_processed_is_in_nobodys_way(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1, fail=1.0) as it:
        await it.run(follow_up=False)
        scene = Scene(it)
        acting(scene.second, scene.row(0, 3, "reassign"))
        await scene.second.run()
        assert it.rows("state", "stage") == [("failed", "processing")]
        assert len(it.sent(CREATE)) == 2


@pytest.mark.parametrize("where", ["own", "another"])
async def test_the_status_of_what_is_revoked_is_asked_for_once(tmp_path: Path, where: str) -> None:
    async with trial(tmp_path, rows=6) as it:
        await it.run(follow_up=False)
        scene = Scene(it)
        second = it if where == "own" else scene.second
        acting(second, *([*row, "revoke"] for row in sheet_rows(6, it.sandbox.world)))
        await second.run()
        assert live(it) == set()
        assert len(it.sent(STATUS)) == 12


async def test_without_a_follow_up_it_is_seen_that_a_share_was_revoked_and_no_more(tmp_path: Path) -> None:
    """Nobody is given access before somebody else is known to have lost it."""
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        scene = Scene(it)
        acting(it, scene.row(0, 3, "reassign"), scene.row(1, 1, "revoke"))
        ending = await it.run(follow_up=False)
        assert altogether(ending.summary) == {State.REVOKED: 3, State.ACCEPTED: 1}
        calls = [call["endpoint"] for call in it.sandbox.journal.since(0)]
        assert calls.count(STATUS) == 2 + 2
        assert [each for each in calls if each in {SHARE, STATUS}][-1] == SHARE
        assert live(it) == {scene.pair(0, 3)}


async def run_cut_off_before_it_is_noted(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the second sheet until all was revoked for it, and not yet noted in its own ledger."""

    async def cut_off(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(revoke, "_answer", cut_off)
        with pytest.raises(asyncio.CancelledError):
            await scene.second.run()


def three_actions(scene: Scene) -> None:
    """One lead for another user, one revoked, one for another user."""
    rows = scene.row(0, 3, "reassign"), scene.row(1, 1, "revoke"), scene.row(2, 4, "reassign")
    acting(scene.second, *rows)


async def test_stopped_in_the_middle_it_goes_on_with_what_stands(tmp_path: Path) -> None:
    onlooker = Onlooker()

    stop = stopping(onlooker)

    async with trial(tmp_path, Fault(REVOKE, [1], stop), rows=3) as it:
        await it.run()
        scene = Scene(it)
        three_actions(scene)
        ending = await scene.second.run(onlooker, workers=1)
        assert ending.interrupted
        assert len(it.sent(REVOKE)) == 1
        assert ending.summary.states == {State.PENDING: 3}
        reported = "are revoked, or being so: 1. Their new users get these leads when this sheet is run again"
        assert [reported in remark for remark in ending.remarks] == [True]
        assert len(it.sent(CREATE)) == 3
        ending = await scene.second.resume()
        assert ending.summary.states == {State.SHARED: 2, State.REVOKED: 1}
        assert live(it) == {scene.pair(0, 3), scene.pair(2, 4)}


async def test_stopped_between_two_ledgers_the_other_is_left_alone(tmp_path: Path) -> None:
    onlooker = Onlooker()

    stop = stopping(onlooker)

    async with trial(tmp_path, Fault(REVOKE, [1], stop), rows=1) as it:
        await it.run()
        scene = Scene(it)
        third = another(it, "third")
        third.write(scene.rows[1:2])
        await third.run()
        acting(scene.second, scene.row(0, 3, "reassign"), scene.row(1, 4, "reassign"))
        ending = await scene.second.run(onlooker)
        assert (ending.interrupted, ending.summary.states) == (True, {State.PENDING: 2})
        assert len(it.sent(REVOKE)) == 1
        assert (third.rows("state"), third.query("SELECT command FROM runs")) == ([("shared",)], [("run",)])
        assert (await scene.second.resume()).summary.states == {State.SHARED: 2}
        assert live(it) == {scene.pair(0, 3), scene.pair(1, 4)}


async def test_cut_off_after_it_was_revoked_it_still_says_what_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trial(tmp_path, rows=3) as it:
        await it.run()
        scene = Scene(it)
        three_actions(scene)
        await run_cut_off_before_it_is_noted(scene, monkeypatch)
        assert live(it) == set()
        assert scene.second.rows("state", "reason")[1] == ("pending", "being revoked first: leads.csv row 3")
        ending = await scene.second.resume()
        assert ending.summary.states == {State.SHARED: 2, State.REVOKED: 1}
        assert scene.second.rows("reason")[1] == ("revoked: leads.csv row 3",)
        assert scene.second.rows("notice")[2] == (
            "the lead's shares with other users were revoked first: leads.csv row 4",
        )


@pytest.mark.parametrize("lost", ["before", "after"])
async def test_cut_off_while_it_is_revoked_the_share_counts_as_standing(tmp_path: Path, lost: str) -> None:
    async def cut_off(step: Step, call: SandboxCall) -> Reply:
        if lost == "after":
            await step(call)
        task.cancel()
        return DROPPED

    async with trial(tmp_path, Fault(REVOKE, [1], cut_off), rows=3) as it:
        await it.run()
        scene = Scene(it)
        three_actions(scene)
        task = asyncio.create_task(scene.second.run(workers=1))
        with pytest.raises(asyncio.CancelledError):
            await task
        ending = await scene.second.resume()
        assert ending.summary.states == {State.SHARED: 2, State.REVOKED: 1}
        assert live(it) == {scene.pair(0, 3), scene.pair(2, 4)}
        assert it.rows("state") == [("revoked",)] * 3


@pytest.mark.parametrize("bulk", [False, True])
async def test_in_bulk_it_is_the_same(tmp_path: Path, bulk: bool) -> None:
    async with trial(tmp_path, rows=30) as it:
        await it.run(bulk=bulk)
        second = another(it)
        users = [user.id for user in active_users(it.sandbox.world)]
        rows = sheet_rows(30, it.sandbox.world)
        acting(second, *([*row[:2], users[5], *row[3:], "reassign"] for row in rows))
        ending = await second.run(bulk=bulk)
        assert ending.summary.states == {State.SHARED: 30}
        assert live(it) == {(row[1], users[5]) for row in rows}
        assert len(it.sent(REVOKE)) == 30
