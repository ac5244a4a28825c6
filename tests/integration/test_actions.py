"""The Action column: what earlier runs shared is taken back first, in its own ledger."""

from __future__ import annotations

import asyncio
import csv
import shutil
from typing import TYPE_CHECKING

import pytest
from trial import (
    CREATE,
    DROPPED,
    HEADER,
    REVOKE,
    SHARE,
    Fault,
    Onlooker,
    Trial,
    ask_to_stop,
    envelope,
    sheet_rows,
    trial,
)

from batch_share.errors import HistoryError
from batch_share.history.opening import FILE
from batch_share.ledger.lock import LedgerLock
from batch_share.ledger.records import ALREADY
from batch_share.ledger.states import State
from batch_share.pipeline import earlier
from batch_share.pipeline.earlier import NOBODY_ELSE
from batch_share.sandbox.sheets import active_users

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trial import Step

    from batch_share.sandbox.wire import Call, Reply


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
        assert scene.second.rows("reason") == [("taken back: leads.csv row 2",)]
        assert it.rows("state") == [("revoked",), ("shared",), ("shared",)]
        (preview,) = onlooker.previews
        assert (preview.to_send, preview.revocations) == (0, 1)
        assert preview.told == ["1 earlier share taken back first, by 1 row with revoke or reassign as Action"]
        assert len(it.sent(CREATE)) == 3


async def test_reassign_takes_it_from_all_others_and_shares_then(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 3, "Reassign"), scene.row(3, 4, ""), scene.row(1, 2, "share"))
        ending = await scene.second.run()
        assert live(it) == {
            scene.pair(0, 3), scene.pair(3, 4), scene.pair(1, 2), scene.pair(1, 1), scene.pair(2, 2)
        }  # fmt: skip
        assert ending.summary.states == {State.SHARED: 3}
        assert scene.second.rows("notice")[0] == ("reassigned: taken back before it: leads.csv row 2",)
        order = [call["endpoint"] for call in it.sandbox.journal.since(0)]
        assert order.index(REVOKE) < [at for at, each in enumerate(order) if each == CREATE][3]
        again = await scene.second.run()
        assert again.summary.states == {State.SHARED: 3}
        assert (len(it.sent(REVOKE)), len(it.sent(SHARE))) == (1, 6)


async def test_what_the_same_ledger_shared_is_taken_back_too(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        await it.run()
        scene = Scene(it)
        acting(it, scene.row(0, 3, "reassign"), scene.row(1, 1, "revoke"), [*scene.rows[2], "share"])
        ending = await it.run()
        assert live(it) == {scene.pair(0, 3), scene.pair(2, 2)}
        assert ending.summary.states == {State.SHARED: 2, State.REVOKED: 3}
        assert ending.summary.exit_code == 0


async def test_what_nobody_knows_of_is_skipped_and_a_lead_that_nobody_has_is_shared(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(1, 1, "revoke"), scene.row(2, 2, "reassign"))
        ending = await scene.second.run()
        assert ending.summary.states == {State.SKIPPED: 1, State.SHARED: 1}
        (skipped, _), (_, notice) = scene.second.rows("reason", "notice")
        assert skipped.startswith("no share of this lead with this user is known")
        assert notice == f"reassigned: {NOBODY_ELSE}"
        assert (await scene.second.run()).summary.states == {State.SKIPPED: 1, State.SHARED: 1}


async def test_whoever_has_the_lead_already_keeps_it_and_the_others_lose_it(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        scene = Scene(it)
        it.write([scene.row(0, 0, "")[:-1], scene.row(0, 1, "")[:-1]])
        await it.run()
        acting(scene.second, scene.row(0, 1, "reassign"))
        await scene.second.run()
        assert live(it) == {scene.pair(0, 1)}
        ((state, reason),) = scene.second.rows("state", "reason")
        assert (state, reason.startswith(ALREADY)) == ("skipped", True)
        assert len(it.sent(SHARE)) == 2


async def test_two_users_for_one_reassigned_lead_are_a_question(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=1) as it:
        scene = Scene(it)
        acting(it, scene.row(0, 1, "reassign"), scene.row(0, 2, "reassign"), scene.row(1, 2, "lend"))
        ending = await it.run()
        assert ending.summary.states == {State.SHARED: 1, State.INVALID: 2}
        assert [reason for (reason,) in it.rows("reason")][1:] == [
            "Row 3: the lead is reassigned to another user in row 2 already",
            "Row 4, Action 'lend': none of share, revoke, reassign",
        ]


async def test_a_share_that_cannot_be_taken_back_is_not_given_to_another(tmp_path: Path) -> None:
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
            "not all that was shared before could be taken back, and it was not shared with this one: leads.csv "
            "row 2: the share stands: LeadSquared refused to take it back: Not permitted"
        )
        again = await scene.second.retry()
        assert again.summary.states == {State.SHARED: 1}
        assert live(it) == {scene.pair(0, 3), scene.pair(1, 1)}


async def test_a_ledger_that_is_in_use_or_gone_is_told(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        scene = Scene(it)
        acting(scene.second, scene.row(0, 3, "reassign"))
        lock = LedgerLock(it.ledger)
        lock.acquire()
        try:
            await scene.second.run()
        finally:
            lock.release()
        assert "is working on it" in scene.second.rows("reason")[0][0]
        moved = it.ledger.rename(tmp_path / "moved.db")
        await scene.second.retry()
        assert "there is no such file" in scene.second.rows("reason")[0][0]
        moved.rename(it.ledger)
        assert (await scene.second.retry()).summary.states == {State.SHARED: 1}


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


def three_actions(scene: Scene) -> None:
    """One lead for another user, one taken back, one for another user."""
    rows = scene.row(0, 3, "reassign"), scene.row(1, 1, "revoke"), scene.row(2, 4, "reassign")
    acting(scene.second, *rows)


async def test_stopped_in_the_middle_it_goes_on_with_what_stands(tmp_path: Path) -> None:
    onlooker = Onlooker()

    async def stop(step: Step, call: Call) -> Reply:
        ask_to_stop(onlooker)
        return await step(call)

    async with trial(tmp_path, Fault(REVOKE, [1], stop), rows=3) as it:
        await it.run()
        scene = Scene(it)
        three_actions(scene)
        ending = await scene.second.run(onlooker, workers=1)
        assert ending.interrupted
        assert len(it.sent(REVOKE)) == 1
        assert ending.summary.states == {State.PENDING: 3}
        assert len(it.sent(CREATE)) == 3
        ending = await scene.second.resume()
        assert ending.summary.states == {State.SHARED: 2, State.REVOKED: 1}
        assert live(it) == {scene.pair(0, 3), scene.pair(2, 4)}


async def test_cut_off_after_it_was_taken_back_it_still_says_what_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut_off(*_: object) -> None:
        raise asyncio.CancelledError

    async with trial(tmp_path, rows=3) as it:
        await it.run()
        scene = Scene(it)
        three_actions(scene)
        with monkeypatch.context() as patch:
            patch.setattr(earlier, "_answer", cut_off)
            with pytest.raises(asyncio.CancelledError):
                await scene.second.run()
        assert live(it) == set()
        assert scene.second.rows("state", "reason")[1] == ("pending", "being taken back first: leads.csv row 3")
        ending = await scene.second.resume()
        assert ending.summary.states == {State.SHARED: 2, State.REVOKED: 1}
        assert scene.second.rows("reason")[1] == ("taken back: leads.csv row 3",)
        assert scene.second.rows("notice")[2] == ("reassigned: taken back before it: leads.csv row 4",)


@pytest.mark.parametrize("lost", ["before", "after"])
async def test_cut_off_while_it_is_taken_back_the_share_counts_as_standing(tmp_path: Path, lost: str) -> None:
    async def cut_off(step: Step, call: Call) -> Reply:
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
