"""Guards: a run that is too large sends nothing, one in which row after row fails stops."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from trial import (
    BULK,
    CREATE,
    DROPPED,
    OF_LEAD,
    OF_TYPE,
    SHARE,
    STATUS,
    UNCHANGED,
    Fault,
    Onlooker,
    answer,
    envelope,
    sheet_rows,
    stopping,
    trial,
)

from batch_share.errors import (
    CanaryFailed,
    OwnerNotVerified,
    SettingsError,
    TooManyFailures,
    TooManyForUser,
    TooManyRows,
)
from batch_share.jobs.run import Wanted
from batch_share.ledger.states import State
from batch_share.sandbox import World
from batch_share.sandbox.sheets import active_users
from batch_share.sending import follow_up

if TYPE_CHECKING:
    from pathlib import Path

    from trial import Step

    from batch_share.sandbox.wire import Reply, SandboxCall

REFUSED = envelope(400, "no such field")


async def test_a_run_that_is_too_large_sends_nothing(tmp_path: Path) -> None:
    async with trial(tmp_path) as made:
        assert isinstance((await made.run(max_rows=11)).error, TooManyRows)
        ending = await made.run(max_per_user=2)
        assert isinstance(ending.error, TooManyForUser)
        first, second = active_users(made.sandbox.world)[:2]
        assert ending.error.users == {first.email: 3, second.email: 3}
        assert made.sent(CREATE) == []
        assert (await made.resume(max_rows=12, max_per_user=3)).error is None


@pytest.mark.parametrize("bulk", [False, True])
async def test_row_after_row_that_fails_stops_the_run_and_resume_goes_on(tmp_path: Path, bulk: bool) -> None:
    fault = Fault(CREATE, range(2, 100), REFUSED)
    async with trial(tmp_path, fault, rows=40) as made:
        changes: dict[str, Any] = {"stop_after_failures": 5, "workers": 2, "follow_up": False}
        ending = await made.run(**changes)
        assert isinstance(ending.error, TooManyFailures)
        assert ending.exit_code == 1
        failed = made.query("SELECT count(*) FROM rows WHERE state = 'failed'")[0][0]
        assert 5 <= failed <= 7
        fault.numbers = ()
        after = await made.resume(bulk=bulk, **changes)
        assert after.error is None
        assert made.query("SELECT count(*) FROM rows WHERE state = 'failed'") == [(failed,)]


@pytest.mark.parametrize("bulk", [False, True])
async def test_no_other_row_is_sent_before_the_canary_is_shared(tmp_path: Path, bulk: bool) -> None:
    async with trial(tmp_path, processing=0.3) as made:
        ending = await made.run(canary=3, wait=10.0, bulk=bulk)
        assert ending.error is None
        assert made.query("SELECT count(*) FROM rows WHERE state = 'shared'") == [(12,)]
        calls = [call["endpoint"] for call in made.sandbox.journal.since(0)]
        creates = [at for at, name in enumerate(calls) if name in (CREATE, BULK)]
        shares = [at for at, name in enumerate(calls) if name == SHARE]
        asks = [at for at, name in enumerate(calls) if name == STATUS]
        assert shares[2] < creates[3]
        assert sum(shares[2] < at < creates[3] for at in asks) >= 1


async def test_a_canary_that_fails_stops_the_run_and_resume_goes_on(tmp_path: Path) -> None:
    fault = Fault(CREATE, [2], REFUSED)
    async with trial(tmp_path, fault) as made:
        ending = await made.run(canary=3, wait=5.0)
        assert isinstance(ending.error, CanaryFailed)
        assert ending.error.states == {"shared": 2, "failed": 1}
        assert len(made.sent(CREATE)) == 3
        assert (await made.resume(wait=5.0)).error is None
        assert made.query("SELECT count(*) FROM rows WHERE state = 'shared'") == [(11,)]


async def test_a_canary_still_accepted_after_the_wait_stops_the_run(tmp_path: Path) -> None:
    async with trial(tmp_path, processing=60.0) as made:
        ending = await made.run(canary=2)
        assert isinstance(ending.error, CanaryFailed)
        assert ending.error.states == {"accepted": 2}
        assert isinstance((await made.resume(canary=2)).error, CanaryFailed)
        assert len(made.sent(CREATE)) == 2


async def test_a_canary_that_is_shared_is_over_and_one_needs_the_follow_up(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [2], REFUSED)) as made:
        with pytest.raises(SettingsError):
            await made.run(canary=2, follow_up=False)
        assert isinstance((await made.run(canary=2, wait=5.0)).error, CanaryFailed)
        assert (await made.retry(Wanted(None, everything=True), wait=5.0)).error is None
        assert (await made.resume(canary=1, wait=5.0)).error is None


async def test_a_canary_that_failed_stays_stopped_until_its_row_is_fixed_or_left_out(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [2], REFUSED)) as made:
        for _ in range(3):
            ending = await made.run(canary=3, wait=5.0)
            assert isinstance(ending.error, CanaryFailed)
            assert f"`batch-share retry {made.folder}/leads.csv`" in str(ending.error)
            assert len(made.sent(CREATE)) == 3
        rows = sheet_rows(12)
        made.write([rows[0], [*rows[1][:3], "read", *rows[1][4:]], *rows[2:]])
        assert (await made.run(canary=3, wait=5.0)).error is None
        assert made.query("SELECT count(*) FROM rows WHERE state = 'shared'") == [(12,)]


async def test_a_canary_that_failed_is_passed_without_one(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [2], REFUSED)) as made:
        assert isinstance((await made.run(canary=3, wait=5.0)).error, CanaryFailed)
        assert (await made.run(wait=5.0)).summary.states == {State.SHARED: 11, State.FAILED: 1}


async def test_a_canary_that_a_person_stopped_is_judged_by_the_next_run(tmp_path: Path) -> None:
    """Its second row has failed, its third is under way; nobody was told."""
    onlooker = Onlooker()
    stops = Fault(CREATE, [2], stopping(onlooker))  # what is refused is no call for this one
    async with trial(tmp_path, Fault(CREATE, [2], REFUSED), stops) as made:
        ending = await made.run(onlooker, canary=3, wait=5.0)
        assert ending.interrupted
        assert len(made.sent(CREATE)) == 3
        after = await made.resume(canary=3, wait=5.0)
        assert isinstance(after.error, CanaryFailed)
        assert after.error.states == {"shared": 2, "failed": 1}
        assert len(made.sent(CREATE)) == 3
        assert isinstance((await made.resume(canary=3, wait=5.0)).error, CanaryFailed)
        assert (await made.resume(wait=5.0)).summary.states == {State.SHARED: 11, State.FAILED: 1}


async def test_a_canary_that_was_stopped_while_it_was_processed_is_judged_by_the_next_run(tmp_path: Path) -> None:
    """Nobody knew yet what became of it: that is no failure."""
    onlooker = Onlooker()
    async with trial(tmp_path, Fault(STATUS, [1], stopping(onlooker)), processing=60.0) as made:
        ending = await made.run(onlooker, canary=1, wait=5.0)
        assert (ending.interrupted, ending.error) == (True, None)
        assert ending.summary.states == {State.ACCEPTED: 1, State.PENDING: 11}
        assert isinstance((await made.resume(canary=1)).error, CanaryFailed)
        assert len(made.sent(CREATE)) == 1
        made.put_forward(90.0)
        assert (await made.resume(canary=1)).summary.states == {State.SHARED: 1, State.ACCEPTED: 11}


async def test_a_canary_of_the_keys_own_user_proves_nothing_of_the_next_rows_owner(tmp_path: Path) -> None:
    async with trial(tmp_path, ignore_owner=True) as made:
        rows = sheet_rows(3, made.sandbox.world)
        made.write([[*rows[0][:2], made.sandbox.world.key_user.id, *rows[0][3:]], *rows[1:]])
        ending = await made.run(canary=3, wait=5.0)
        assert isinstance(ending.error, OwnerNotVerified)
        assert ending.error.expected == rows[1][2]
        assert made.rows("state")[1:] == [("failed",), ("pending",)]
        assert (made.leads_sent(), len(made.sent(SHARE))) == ([row[0] for row in rows[:2]], 1)


async def test_a_run_without_a_canary_lets_go_of_one_that_was_stopped(tmp_path: Path) -> None:
    onlooker = Onlooker()
    async with trial(tmp_path, Fault(CREATE, [2], stopping(onlooker))) as made:
        assert (await made.run(onlooker, canary=3)).interrupted
        assert (await made.resume()).summary.states == {State.SHARED: 12}
        assert made.query("SELECT value FROM about WHERE name = 'canary'") == [("",)]


async def test_what_was_revoked_is_no_canary_any_more(tmp_path: Path) -> None:
    onlooker = Onlooker()
    async with trial(tmp_path, Fault(CREATE, [3], stopping(onlooker))) as made:
        assert (await made.run(onlooker, canary=3, wait=5.0)).interrupted
        assert (await made.revoke(rows="2-3", wait=5.0)).summary.states[State.REVOKED] == 2
        assert (await made.resume(canary=3, wait=5.0)).summary.states == {State.SHARED: 10, State.REVOKED: 2}


async def test_a_canary_row_that_never_arrived_goes_first_again(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(CREATE, [2], DROPPED)) as made:
        ending = await made.run(canary=3, wait=5.0)
        assert isinstance(ending.error, CanaryFailed)
        assert ending.error.states == {"shared": 2, "unknown": 1}
        assert (await made.resume(canary=3, wait=5.0)).summary.states == {State.SHARED: 12}
        assert made.leads_sent()[:3] == [sheet_rows(12)[at][0] for at in (0, 2, 1)]


async def test_a_canary_row_whose_share_may_have_been_done_is_not_reported_as_failed(tmp_path: Path) -> None:
    """Its answer was lost, and the same share is refused when it is repeated."""
    faults = Fault(SHARE, [2], DROPPED), Fault(SHARE, [3], REFUSED)  # what is dropped is no call for the other
    async with trial(tmp_path, *faults) as made:
        assert isinstance((await made.run(canary=3, wait=5.0)).error, CanaryFailed)
        again = await made.resume(canary=3, wait=5.0)
        assert isinstance(again.error, CanaryFailed)
        assert again.error.states == {"shared": 2, "unknown": 1}
        assert len(made.sent(CREATE)) == 3


async def test_an_activity_that_stood_before_proves_nothing_of_those_that_a_canary_posts(tmp_path: Path) -> None:
    """A run was stopped at its first share; then the account begins to ignore the owner of an activity."""
    onlooker, ignores = Onlooker(), False

    async def ignoring(step: Step, call: SandboxCall) -> Reply:
        if ignores and call.endpoint == CREATE:
            call.body = json.dumps(json.loads(call.body) | {"Fields": []}).encode()
        return await step(call)

    async with trial(tmp_path, ignoring, Fault(SHARE, [1], stopping(onlooker))) as made:
        assert (await made.run(onlooker)).interrupted
        stood = len(made.sent(CREATE))
        assert stood > 1
        ignores = True
        ending = await made.resume(canary=12, wait=5.0)
        assert isinstance(ending.error, OwnerNotVerified)
        assert ending.summary.states[State.FAILED] == 1
        assert (len(made.sent(CREATE)), made.live()) == (stood + 1, stood)


async def test_shares_that_fail_in_bulk_stop_the_run(tmp_path: Path) -> None:
    async with trial(tmp_path, Fault(SHARE, range(1, 1000), REFUSED), rows=40) as made:
        ending = await made.run(bulk=True, stop_after_failures=5, workers=2)
        assert isinstance(ending.error, TooManyFailures)
        assert 5 <= made.query("SELECT count(*) FROM rows WHERE state = 'failed'")[0][0] < 40


@pytest.mark.parametrize("bulk", [False, True])
async def test_ten_failures_in_a_row_stop_a_run_if_nobody_says_otherwise(tmp_path: Path, bulk: bool) -> None:
    """Share after share is refused; in bulk, each in halves until its rows are alone."""
    async with trial(tmp_path, Fault(SHARE, range(1, 1000), REFUSED), rows=60) as made:
        ending = await made.run(bulk=bulk, workers=1, **UNCHANGED)
        assert isinstance(ending.error, TooManyFailures)
        assert (ending.error.rows, ending.exit_code) == (10, 1)
        assert ending.summary.states[State.FAILED] == 10


async def test_a_bulk_call_that_is_refused_as_a_whole_has_failed_none_of_its_rows(tmp_path: Path) -> None:
    faults = Fault(BULK, [2], REFUSED), Fault(SHARE, [3], REFUSED)
    async with trial(tmp_path, *faults, rows=60) as made:
        ending = await made.run(bulk=True, wait=5.0, **UNCHANGED)
        assert ending.error is None
        assert ending.summary.states == {State.SHARED: 60}


async def test_rows_of_a_refused_bulk_call_stop_the_run_once_ten_fail_by_themselves(tmp_path: Path) -> None:
    faults = Fault(BULK, range(2, 100), REFUSED), Fault(CREATE, range(2, 100), REFUSED)
    async with trial(tmp_path, *faults, rows=60) as made:
        ending = await made.run(bulk=True, workers=1, **UNCHANGED)
        assert isinstance(ending.error, TooManyFailures)
        assert ending.error.rows == 10


async def test_a_request_of_many_that_fails_counts_no_row_twice(tmp_path: Path) -> None:
    """Its rows are shared again by themselves; only those whose own request fails have failed."""
    async with trial(tmp_path, rows=40, fail=1.0) as made:
        ending = await made.run(bulk=True, workers=1, wait=5.0, **UNCHANGED)
        assert isinstance(ending.error, TooManyFailures)
        assert ending.error.rows == ending.summary.states[State.FAILED] == 10
        assert ending.error.accepted is not None


async def test_a_guard_that_sees_late_says_how_many_rows_were_accepted_by_then(tmp_path: Path) -> None:
    async with trial(tmp_path, rows=30, fail=1.0, processing=0.5) as made:
        ending = await made.run(wait=5.0, **UNCHANGED)
        assert isinstance(ending.error, TooManyFailures)
        accepted = sum(ending.summary.states.get(each, 0) for each in (State.ACCEPTED, State.FAILED))
        assert 10 <= (ending.error.accepted or 0) <= accepted
        assert f"and {ending.error.accepted} were accepted by then" in str(ending.error)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is learnt of how long processing takes, requests are asked for at once."""
    monkeypatch.setattr(follow_up, "LONGEST_PATIENCE", 0.01)


@pytest.mark.usefixtures("_impatient")
async def test_rows_that_fail_here_and_there_stop_nothing_however_late_their_status_comes(tmp_path: Path) -> None:
    """Every third activity is refused, and no share is processed before the last: that is not in a row."""
    async with trial(tmp_path, Fault(CREATE, range(2, 100, 3), REFUSED), rows=60, processing=60.0) as made:
        ending = await made.run(**UNCHANGED)
        assert ending.error is None
        assert ending.summary.states == {State.ACCEPTED: 40, State.FAILED: 20}


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(("every", "kind"), [(20, type(None)), (3, TooManyFailures)])
async def test_a_percentage_is_of_what_was_sent_however_late_its_status_comes(
    tmp_path: Path, every: int, kind: type
) -> None:
    """Some activities are refused, and no share is processed before the last row."""
    async with trial(tmp_path, Fault(CREATE, range(2, 100, every), REFUSED), rows=90, processing=60.0) as made:
        ending = await made.run(stop_at=10)
        assert isinstance(ending.error, kind)
        assert ending.summary.states.get(State.PENDING, 0) > 20 or ending.error is None


async def test_rows_found_to_be_anothers_stop_the_run(tmp_path: Path) -> None:
    """Six activities are made, their answers lost, and a look shows the key's own user as their owner."""

    async def forgets_owners(step: Step, call: SandboxCall) -> Reply:
        reply = await step(call)
        if call.endpoint not in {OF_LEAD, OF_TYPE} or fault.seen < 7:
            return reply
        body = reply.body.decode()
        for user in active_users(World()):
            body = body.replace(user.id, World().key_user.id)
        return answer(200, body)

    fault = Fault(CREATE, range(2, 8), DROPPED, applied=True)
    async with trial(tmp_path, fault, forgets_owners) as made:
        ending = await made.run(stop_after_failures=3, workers=1)
        assert isinstance(ending.error, TooManyFailures)
        assert ending.error.rows == 3
        assert "not this row's user: not shared" in ending.error.reason
        assert ending.summary.states[State.FAILED] == 3
        assert (await made.reconcile(stop_after_failures=3)).summary.states[State.FAILED] == 6


async def test_a_wrong_owner_says_more_than_that_a_row_failed(tmp_path: Path) -> None:
    async with trial(tmp_path, ignore_owner=True) as made:
        assert isinstance((await made.run(stop_after_failures=1)).error, OwnerNotVerified)


@pytest.mark.parametrize(("most", "kind"), [(1, TooManyFailures), (2, type(None))])
async def test_a_wrong_owner_that_stops_no_bulk_run_is_a_failure(tmp_path: Path, most: int, kind: type) -> None:
    async def ignoring(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == CREATE:
            call.body = json.dumps(json.loads(call.body) | {"Fields": []}).encode()
        return await step(call)

    async with trial(tmp_path, ignoring) as made:
        ending = await made.run(bulk=True, stop_after_failures=most, wait=5.0)
        assert isinstance(ending.error, kind)
        assert ending.summary.states[State.FAILED] == 1
        assert ending.summary.states.get(State.SHARED, 0) == (11 if most > 1 else 0)
