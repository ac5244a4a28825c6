"""Undo: what a run shared is revoked in its own contexts, whatever happens on the way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from trial import (
    DROPPED,
    REVOKE,
    SHARE,
    STATUS,
    Fault,
    Onlooker,
    Refuses,
    altogether,
    answer,
    ask_to_stop,
    envelope,
    options,
    sheet_rows,
    trial,
)
from virtual_time import run_virtually
from virtual_trial import in_virtual_time

from batch_share.errors import AccessDenied, SettingsError
from batch_share.ledger.states import State
from batch_share.ledger.store import Ledger
from batch_share.results.wording import ExitCode, next_steps, spell_row
from batch_share.sandbox.sheets import active_users

if TYPE_CHECKING:
    from pathlib import Path

    from trial import Step

    from batch_share.sandbox.wire import Reply, SandboxCall
    from batch_share.sandbox.world import World

WHOLE = {State.REVOKED: 12}


async def test_the_shares_of_a_run_are_revoked_and_seen_to_be_gone(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        assert it.live() == 12
        ending = await it.revoke()
        assert ending.summary.states == WHOLE
        assert ending.exit_code is ExitCode.DONE
        assert it.live() == 0
        assert all("was revoked" in reason for (reason,) in it.rows("reason"))


async def test_nothing_is_revoked_that_was_not_confirmed(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        onlooker = Refuses()
        ending = await it.revoke(onlooker)
        (preview,) = onlooker.previews
        assert (preview.deed, preview.to_send, preview.cost.calls) == ("revoke", 12, 24)
        assert ending.exit_code is ExitCode.NOT_DONE
        assert (it.live(), it.sent(REVOKE)) == (12, [])
        assert ending.summary.states == {State.SHARED: 12}


async def test_another_undo_and_a_run_change_nothing_any_more(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        await it.revoke()
        for again in (it.revoke, it.run, it.resume, it.reconcile):
            assert (await again()).summary.states == WHOLE
        assert (len(it.sent(REVOKE)), len(it.sent(SHARE)), it.live()) == (12, 12, 0)


@pytest.mark.parametrize("by", ["User Id", "User Email"])
async def test_a_person_is_told_who_loses_what_before_it_is_revoked(tmp_path: Path, by: str) -> None:
    async with trial(tmp_path) as it:
        users = active_users(it.sandbox.world)
        leads = it.sandbox.world.leads
        owners = [users[0]] * 9 + users[1:7]
        rows = [
            [lead.id, str(lead.number), user.email if by == "User Email" else user.id, "read", "7d", "201"]
            for lead, user in zip(leads, owners, strict=False)
        ]
        it.write(rows)
        sheet = it.folder / "leads.csv"
        sheet.write_text(sheet.read_text().replace("User Id", by, 1))
        await it.run()
        onlooker = Refuses()
        await it.revoke(onlooker)
        await it.revoke(onlooker, rows="2-3,11")
        name = f"{users[0].name} <{users[0].email}>"
        whole, few = (preview.reported[0] for preview in onlooker.previews)
        assert whole.startswith(f"from {name} (9), ")
        assert whole.endswith(" (1) and 4 others")
        assert few == f"from {name} (2), {users[1].name} <{users[1].email}> (1): rows 2, 3, 11"


async def test_shares_that_an_earlier_revocation_began_with_are_counted_too(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=4) as it:
        await it.run()
        it.change("UPDATE rows SET state = 'to_revoke' WHERE id > 1")
        onlooker = Onlooker()
        assert (await it.revoke(onlooker, rows="2")).summary.states == {State.REVOKED: 4}
        first, others = onlooker.previews[0].reported[:2]
        assert first.startswith("from ")
        assert first.endswith("(1): row 2")
        assert others.startswith("and, since it was begun before, from ")
        assert others.endswith(": rows 3, 4, 5")


async def test_more_ranges_may_be_named_than_a_database_has_room_for(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run()
        ranges = ",".join(str(number) for number in range(3, 3003, 2))
        assert (await it.revoke(rows=ranges)).summary.states == {State.SHARED: 1, State.REVOKED: 1}


async def test_a_share_that_may_stand_ends_when_it_was_to_end_whatever_the_sheet_says_by_now(
    tmp_path: Path,
) -> None:
    """Else another day it would be taken for over, while its user still has it."""
    async with trial(tmp_path, Fault(REVOKE, range(1, 9), DROPPED), rows=2) as it:
        await it.run()
        assert (await it.revoke()).summary.states == {State.UNKNOWN: 2}
        it.write([[*row[:4], "1d", row[5]] for row in sheet_rows(2, it.sandbox.world)])
        await it.run(on_unknown="park")
        assert it.rows("duration") == [(7 * 1440,)] * 2


async def test_a_revocation_that_was_lost_is_said_to_be_repeated_for_its_rows_alone_and_not_looked_up(
    tmp_path: Path,
) -> None:
    async with trial(tmp_path, Fault(REVOKE, range(1, 13), DROPPED, applied=True), rows=8) as it:
        await it.run()
        summary = (await it.revoke(rows="3-4,7")).summary
        assert summary.states == {State.SHARED: 5, State.UNKNOWN: 3}
        (step,) = next_steps(summary)
        assert str(step) == "3 shares still to be revoked: batch-share revoke leads.csv --rows 3-4,7"
        assert (await it.reconcile()).became == {}
        assert (await it.revoke(rows="3-4,7")).summary.states == {State.SHARED: 5, State.REVOKED: 3}
        assert next_steps((await it.resume()).summary) == []


async def test_only_the_chosen_rows_are_revoked(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        assert (await it.revoke(rows="3-5,9")).summary.states == {State.SHARED: 8, State.REVOKED: 4}
        assert [row for (row, state) in it.rows("sheet_row", "state") if state == "revoked"] == [3, 4, 5, 9]
        assert it.live() == 8


@pytest.mark.parametrize("name", ["id", "email"])
async def test_only_the_shares_of_a_user_are_revoked(tmp_path: Path, name: str) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        user = it.sandbox.world.user(it.rows("user_id")[0][0])
        assert user is not None
        await it.revoke(user=getattr(user, name).upper())
        assert {user_id for user_id, state in it.rows("user_id", "state") if state == "revoked"} == {user.id}
        assert it.live() == 12 - 3  # five users in turn


async def test_a_user_whom_no_row_names_is_a_slip(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        with pytest.raises(SettingsError, match="no row of this ledger"):
            await it.revoke(user="nobody@example.com")
        with pytest.raises(SettingsError, match=r"user: holds an unseen character .*zero width space.* after"):
            await it.revoke(user="somebody\u200b@example.com")


@pytest.mark.parametrize(
    ("rows", "user", "words"),
    [
        ("500", None, "--rows 500 chooses none of the ledger's 12 rows, which are numbered 2 to 13"),
        ("1,14-20", None, "--rows 1,14-20 chooses none of the ledger's 12 rows, which are numbered 2 to 13"),
        ("2", 1, "--rows 2 chooses none of the user's 3 rows, which are numbered 3 to 13"),
    ],
)
async def test_a_choice_of_no_row_is_a_slip(tmp_path: Path, rows: str, user: int | None, words: str) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        wanted = None if user is None else it.rows("user_id")[user][0]
        with pytest.raises(SettingsError) as reported:
            await it.revoke(rows=rows, user=wanted)
        assert reported.value.wrong == words
        assert (it.live(), it.query("SELECT count(*) FROM runs")) == (12, [(1,)])


async def test_a_row_that_the_sheet_lost_has_no_number_to_choose_it_by(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        it.write(sheet_rows(3))
        await it.run()
        with pytest.raises(SettingsError, match="none of the ledger's 3 rows, which are numbered 2 to 4"):
            await it.revoke(rows="9")


async def test_where_nothing_stands_of_the_chosen_rows_nothing_is_to_be_done(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        await it.revoke(rows="3-5")
        ending = await it.revoke(rows="4")
        assert (ending.exit_code, len(it.sent(REVOKE))) == (ExitCode.DONE, 3)


async def test_shares_that_have_ended_are_left_alone(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        it.change("UPDATE rows SET ends_at = '2020-01-01 00:00:00.000000' WHERE id <= 4")
        onlooker = Onlooker()
        assert (await it.revoke(onlooker)).summary.states == {State.ENDED: 4, State.REVOKED: 8}
        assert "4 have ended by themselves: left alone" in onlooker.previews[0].reported


async def test_what_was_never_shared_is_not_touched(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(SHARE, [2, 3], envelope(500, "No"))) as it:
        await it.run()
        states = (await it.revoke()).summary.states
        assert states == {State.FAILED: 2, State.REVOKED: 10}
        assert len(it.sent(REVOKE)) == 10


@pytest.mark.parametrize("applied", [False, True])
async def test_a_revocation_without_an_answer_is_repeated(tmp_path: Path, applied: bool) -> None:
    async with trial(tmp_path, Fault(REVOKE, [2, 5], DROPPED, applied=applied)) as it:
        await it.run()
        assert (await it.revoke()).summary.states == WHOLE
        assert it.live() == 0


async def test_a_share_of_which_nobody_knows_is_revoked_to_be_sure(tmp_path: Path) -> None:
    lost = Fault(SHARE, [2], DROPPED, applied=True)
    async with trial(tmp_path, lost) as it:
        assert (await it.run(on_unknown="park")).summary.states[State.UNKNOWN] == 1
        onlooker = Onlooker()
        assert (await it.revoke(onlooker)).summary.states == WHOLE
        assert it.live() == 0
        assert any("to be sure" in line for line in onlooker.previews[0].reported)


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("settled", [False, True])
def test_a_share_whose_answer_was_lost_does_not_overtake_its_revocation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settled: bool, stopped: bool
) -> None:
    """It was cut off on its way, and gets there twenty seconds later: unknown, or to be shared again."""
    late: list[asyncio.Task[Reply]] = []

    async def hold(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint != SHARE or late:
            return await step(call)

        async def arrive() -> Reply:
            await asyncio.sleep(20)
            return await step(call)

        late.append(asyncio.create_task(arrive()))
        return DROPPED

    it = in_virtual_time(tmp_path, monkeypatch, options(), hold, rows=1)

    async def main() -> None:
        await it.run(on_unknown="park", grace=30.0)
        if settled:
            it.change("UPDATE rows SET state = 'posted', stage = 'share'")
        if stopped:  # while that is waited for, and begun again at once
            onlooker = Onlooker(lambda session: session.stop.ask())
            assert (await it.revoke(onlooker, grace=30.0)).exit_code is ExitCode.INTERRUPTED
        assert (await it.revoke(grace=30.0)).summary.states == {State.REVOKED: 1}
        await late[0]
        await asyncio.sleep(60)
        assert it.live() == 0

    run_virtually(main())


async def test_a_share_that_was_to_be_repeated_is_revoked_to_be_sure(tmp_path: Path) -> None:
    """Its row is posted, as one whose lead was never shared is: only the stage tells them apart."""
    lost, denied = Fault(SHARE, [2], DROPPED, applied=True), Fault(SHARE, [4], answer(403, "No"))
    async with trial(tmp_path, lost, denied, rows=3) as it:
        await it.run(on_unknown="park", workers=1)
        assert isinstance((await it.run()).error, AccessDenied)
        assert it.rows("state", "stage")[1] == ("posted", "share")
        onlooker = Onlooker()
        assert (await it.revoke(onlooker)).summary.states == {State.REVOKED: 3}
        assert it.live() == 0
        reported = onlooker.previews[0].reported[1:]
        assert (len(reported), "1 that may be live or not" in reported[0]) == (
            1,
            True,
        )  # and none that was never shared


async def test_a_refused_revocation_says_that_the_share_stands_and_can_be_tried_again(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(REVOKE, [1], envelope(500, "Locked"))) as it:
        await it.run()
        ending = await it.revoke()
        assert ending.summary.states == {State.REVOKED: 11, State.FAILED: 1}
        assert ending.exit_code is ExitCode.SOME_FAILED
        (trouble,) = ending.summary.troubles
        assert ending.summary.standing == 0  # retry has nothing to do with it
        assert spell_row(trouble.row) == "the share still stands: LeadSquared refused to revoke it: Locked"
        assert it.live() == 1
        assert (await it.retry()).summary.states == ending.summary.states  # it is no share to be made again
        assert (await it.revoke()).summary.states == WHOLE
        assert it.live() == 0


@pytest.mark.parametrize("endpoint", [SHARE, REVOKE])
async def test_a_share_in_doubt_that_is_refused_to_be_revoked_is_not_said_to_stand(
    tmp_path: Path, endpoint: str
) -> None:
    """The share may never have been made, or an earlier call may have taken it back: that may be why."""
    lost = Fault(endpoint, [1], DROPPED, applied=endpoint == REVOKE)
    refused = Fault(REVOKE, [1, 2, 3] if endpoint == SHARE else [2, 3], envelope(500, "No such share"))
    async with trial(tmp_path, lost, refused, rows=1) as it:
        await it.run(on_unknown="park")
        ending = await it.revoke()
        assert (ending.summary.states, it.live()) == ({State.UNKNOWN: 1}, 0)
        reason = (
            "it is unknown whether the share still stands, and LeadSquared refused to revoke it: No such share. "
        )
        assert it.rows("stage", "reason") == [("revoke", f"{reason}Check the lead in LeadSquared")]
        assert (await it.revoke()).summary.states == {State.REVOKED: 1}


async def test_a_share_stays_in_doubt_where_its_revocation_was_not_sent(tmp_path: Path) -> None:
    lost, denied = Fault(REVOKE, [1], DROPPED, applied=True), Fault(REVOKE, [2], answer(403, "No"))
    async with trial(tmp_path, lost, denied, rows=1) as it:
        await it.run()
        assert isinstance((await it.revoke()).error, AccessDenied)
        assert it.rows("state", "stage") == [("to_revoke", "revoke")]


async def test_a_share_in_doubt_that_has_ended_is_left_alone_while_others_are_revoked_again(
    tmp_path: Path,
) -> None:
    async with trial(tmp_path, Fault(REVOKE, [2], DROPPED), rows=3) as it:
        await it.run()
        it.change("UPDATE rows SET state = 'unknown', stage = 'revoke' WHERE id = 1")
        it.change("UPDATE rows SET ends_at = '2020-01-01 00:00:00.000000' WHERE id = 1")
        assert (await it.revoke(workers=1)).summary.states == {State.UNKNOWN: 1, State.REVOKED: 2}
        assert len(it.sent(REVOKE)) == 3


async def test_a_revocation_that_could_not_be_processed_says_so(tmp_path: Path) -> None:
    refusal = answer(200, '{"Status":"Success","ShareStatus":4,"ErrorMessage":"Not today","Message":{}}')
    fault = Fault(STATUS, [2], refusal)  # the first is of the share
    async with trial(tmp_path, fault, rows=1) as it:
        await it.run()
        assert (await it.revoke()).summary.states == {State.FAILED: 1}
        (reason,) = it.rows("reason")[0]
        assert reason.startswith("the share still stands: LeadSquared could not process the revocation")
        assert reason.endswith(": Not today")


async def test_a_share_in_doubt_whose_revocation_could_not_be_processed_is_not_said_to_stand(
    tmp_path: Path,
) -> None:
    """The first revocation was done, and its answer lost: there was nothing to revoke any more."""
    pending, failed = (
        answer(200, f'{{"Status":"Success","ShareStatus":{number},"ErrorMessage":"{words}","Message":{{}}}}')
        for number, words in ((1, ""), (4, "Nothing there"))
    )
    lost = Fault(REVOKE, [1], DROPPED, applied=True)
    async with trial(tmp_path, lost, Fault(STATUS, [3], failed), Fault(STATUS, [2], pending), rows=1) as it:
        await it.run()
        assert (await it.revoke()).summary.states == {State.ENDING: 1}
        assert (await it.follow_up()).summary.states == {State.UNKNOWN: 1}
        stage, reason = it.rows("stage", "reason")[0]
        assert stage == "revoke"
        words, its_id = reason.split(" (request Id ")
        assert (
            words
            == "it is unknown whether the share still stands, and LeadSquared could not process the revocation"
        )
        assert its_id.endswith("): Nothing there. Check the lead in LeadSquared")
        assert (await it.revoke()).summary.states == {State.REVOKED: 1}


async def test_an_error_of_our_own_in_the_follow_up_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(*_: Any) -> None:
        raise ZeroDivisionError

    async with trial(tmp_path, rows=2) as it:
        await it.run(follow_up=False)
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "note_status", breaks)
            async with asyncio.timeout(60) as limit:
                with pytest.raises(ExceptionGroup):
                    await it.revoke(wait=600.0)
            assert not limit.expired()
        assert (await it.revoke(wait=5.0)).summary.states == {State.REVOKED: 2}


async def test_a_stopped_undo_goes_on_and_takes_nothing_back_twice(tmp_path: Path) -> None:
    onlooker = Onlooker()

    async def stop(step: Any, call: Any) -> Any:
        ask_to_stop(onlooker)
        return await step(call)

    async with trial(tmp_path, Fault(REVOKE, [3], stop)) as it:
        await it.run()
        stopped = await it.revoke(onlooker, workers=1)
        assert stopped.exit_code is ExitCode.INTERRUPTED
        assert stopped.summary.states[State.TO_REVOKE] == 9
        assert (await it.resume()).summary.states[State.TO_REVOKE] == 9  # shares nothing, and takes nothing back
        assert (await it.revoke()).summary.states == WHOLE
        assert (len(it.sent(REVOKE)), it.live()) == (12, 0)


async def test_what_is_being_revoked_is_followed_up_later(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        ending = await it.revoke(follow_up=False)
        assert ending.summary.states == {State.ENDING: 12}
        assert ending.exit_code is ExitCode.STILL_PROCESSING
        assert (await it.follow_up()).summary.states == WHOLE


async def test_a_share_that_is_still_processed_is_waited_for(tmp_path: Path) -> None:
    """Else the share could overtake its revocation."""
    async with trial(tmp_path) as it:
        await it.run(follow_up=False)
        assert (await it.revoke()).summary.states == WHOLE
        endpoints = [call["endpoint"] for call in it.sandbox.journal.since(0)]
        assert endpoints[endpoints.index(REVOKE) - 12 : endpoints.index(REVOKE)] == [STATUS] * 12
        assert it.live() == 0


async def test_a_person_is_told_that_a_run_would_still_share_what_was_never_shared(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=3) as it:
        await it.run()
        it.change("UPDATE rows SET state = 'posted', stage = NULL, request_id = NULL WHERE id > 1")
        onlooker = Onlooker()
        assert (await it.revoke(onlooker)).summary.states == {State.REVOKED: 1, State.POSTED: 2}
        assert onlooker.previews[0].reported[1:] == ["2 were never shared, and a run would still do it"]


async def test_who_waits_for_nothing_is_told_that_a_share_may_still_be_processed(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=2) as it:
        await it.run(follow_up=False)
        reported: list[str] = []
        for follow_up in (False, True):
            onlooker = Refuses()
            await it.revoke(onlooker, follow_up=follow_up)
            reported += onlooker.previews[0].reported[1:]
        assert reported == [
            "2 still being processed: revoked all the same, since --no-follow-up waits for nothing",
            "2 still being processed: waited for, then revoked",
        ]


async def test_rows_that_the_sheet_lost_are_revoked_too(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        await it.run()
        it.write(_some(it.sandbox.world))
        await it.run()
        assert altogether((await it.revoke()).summary) == {State.REVOKED: 13}
        assert it.live() == 0


def _some(world: World) -> list[list[str]]:
    lead, user = world.leads[50], world.users[0]
    return [[lead.id, str(lead.number), user.id, "read", "7d", "201"]]
