"""Runs in bulk through what is rare and lasting: each ends, in time, with every row where it belongs."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from invariants import check_all_shared, check_never_twice
from trial import BULK, CREATE, SHARE, STATUS, Onlooker, answer, envelope, options, sheet_rows
from virtual_time import run_virtually
from virtual_trial import in_virtual_time

from batch_share.common import Rate
from batch_share.errors import NotAnswered, OwnerNotVerified, StillThrottled
from batch_share.ledger.states import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trial import Step, Trial, Wrapper

    from batch_share.jobs.job import Ending
    from batch_share.sandbox.wire import Reply, SandboxCall

PACE: dict[str, Any] = {"rate": Rate(25, 5.0), "latency": 0.15, "jitter": 0.4, "processing": 3.0}
PACE |= {"bulk_rate": Rate(5, 5.0)}
REAL: dict[str, Any] = {"rate": Rate(25, 5.0), "workers": None, "grace": 60.0, "wait": 600.0}
REAL |= {"bulk": True, "bulk_rate": Rate(5, 5.0)}
LIMIT = "MXAPIRateLimitExceededException"
DAY = 86_400.0


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trial]:
    """Makes a trial in bulk, in virtual time."""

    def make(*faults: Wrapper, rows: int, **changes: Any) -> Trial:
        reported = options(leads=rows + 20, **PACE | changes)
        return in_virtual_time(tmp_path, monkeypatch, reported, *faults, rows=rows, **REAL)

    return make


def ended(it: Trial, shared: int = 0, **changes: Any) -> Ending:
    """A run that ends within a day, with nothing done twice; with so many rows `shared`, and no other."""

    async def within_a_day() -> Ending:
        async with asyncio.timeout(DAY):
            ending = await it.run(Onlooker(), **changes)
        check_never_twice(it)
        if shared:
            check_all_shared(it, sheet_rows(shared, it.sandbox.world))
        return ending

    return run_virtually(within_a_day())


def items_of(call: SandboxCall) -> list[dict[str, Any]]:
    """What a bulk call asks for; nothing of any other call."""
    return json.loads(call.body) if call.endpoint == BULK else []


# ------------------------------------------------------------------------------------------ bulk calls


def test_items_that_are_one_too_many_for_ever_end_the_run_as_calls_would(start: Callable[..., Trial]) -> None:
    async def one_too_many(step: Step, call: SandboxCall) -> Reply:
        refused = {"ActivityCreated": False, "ExceptionType": LIMIT, "ExceptionMessage": "Too many calls"}
        items = [refused | {"RowNumber": at} for at, _ in enumerate(items_of(call), 1)]
        return answer(200, json.dumps({"Response": items})) if items else await step(call)

    it = start(one_too_many, rows=60)
    ending = ended(it)
    assert isinstance(ending.error, StillThrottled)
    assert ending.summary.states == {State.PENDING: 59, State.SHARED: 1}


def unsaid(reply: Reply) -> Reply:
    """An answer that says of no item whether it was posted."""
    rows = [{"RowNumber": row["RowNumber"]} for row in json.loads(reply.body)["Response"]]
    return answer(200, json.dumps({"Response": rows}))


def test_an_account_whose_bulk_answers_never_say_anything_stops_the_run(start: Callable[..., Trial]) -> None:
    async def says_nothing(step: Step, call: SandboxCall) -> Reply:
        reply = await step(call)
        return unsaid(reply) if call.endpoint == BULK else reply

    it = start(says_nothing, rows=60)
    assert isinstance(ended(it).error, NotAnswered)
    answered = max(call["at"] for call in it.sent(STATUS))  # of the row that went first, and by itself
    assert len([call for call in it.sent(BULK) if call["at"] > answered]) <= 10 <= len(it.sent(BULK)) < 20


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("kind", [LIMIT, "MXSomeException"])
def test_a_refusal_that_holds_items_nevertheless_is_no_refusal(
    start: Callable[..., Trial], status: int, kind: str
) -> None:
    seen: list[SandboxCall] = []

    async def both(step: Step, call: SandboxCall) -> Reply:
        reply = await step(call)
        if len(items_of(call)) < 2 or seen:
            return reply
        seen.append(call)
        refusal = {"Status": "Error", "ExceptionType": kind, "ExceptionMessage": "Not all were posted"}
        return answer(status, json.dumps(refusal | json.loads(reply.body)))

    it = start(both, rows=60)
    assert ended(it, shared=60).error is None


@pytest.mark.parametrize("rows", [2, 3, 27])
def test_a_bulk_call_of_one_row_that_was_refused_may_have_been_done(start: Callable[..., Trial], rows: int) -> None:
    """As a single activity whose call was refused: that is never sent again without a look either."""

    async def refused_but_done(step: Step, call: SandboxCall) -> Reply:
        reply = await step(call)
        if len(items_of(call)) == 1:
            return envelope(500, "The automation of this activity failed")
        return reply

    it = start(refused_but_done, rows=rows)
    assert ended(it, shared=rows).error is None


def test_a_row_whose_bulk_call_was_lost_goes_by_itself_also_where_nothing_is_proved(
    start: Callable[..., Trial],
) -> None:
    async def not_done(step: Step, call: SandboxCall) -> Reply:
        return answer(502, "") if call.endpoint == BULK else await step(call)

    it = start(not_done, rows=4)
    ended(it, shared=4)
    assert len(it.sent(BULK)) == 3


# ------------------------------------------------------------------------------------------ owners


def test_where_bulk_calls_are_refused_what_stands_is_checked_all_the_same(start: Callable[..., Trial]) -> None:
    """An activity of a second type that an earlier run posted, and could not check."""
    stop = Onlooker()

    async def owned_by_nobody(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == CREATE and len(it.sent(CREATE)) == 1:
            call.body = call.body.replace(b'"Owner"', b'"mx_Custom_1"')
        reply = await step(call)
        if call.endpoint == CREATE and stop.connection is not None:
            stop.connection.stop.ask()
        return reply

    it = start(owned_by_nobody, rows=1, refuse=(BULK,))
    row, *others = sheet_rows(12, it.sandbox.world)
    second = [*row[:5], "202"]
    it.write([second])
    run_virtually(it.run(stop, bulk=False))
    assert it.rows("state") == [("posted",)]
    stop.connection = None
    it.write([*others, second])
    ending = ended(it)
    assert isinstance(ending.error, OwnerNotVerified)
    assert it.query("SELECT lead_number, state FROM rows WHERE event = 202") == [(second[1], "failed")]
    assert second[1] not in {lead for call in it.sent(SHARE) for lead in call["lead"].split(",")}


# ------------------------------------------------------------------------------------------ requests


def test_rows_that_are_shared_again_do_not_keep_the_old_requests_status(start: Callable[..., Trial]) -> None:
    it = start(rows=30, fail_leads=frozenset({869010}))
    ended(it, follow_up=False)
    run_virtually(it.follow_up())
    assert it.query("SELECT count(*) FROM attempts WHERE outcome = 'failed'") > [(1,)]
    ended(it, follow_up=False)
    assert it.query("SELECT DISTINCT share_status FROM rows WHERE state = 'accepted'") == [(None,)]


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_a_short_sheet_is_done_also_where_bulk_calls_are_refused(start: Callable[..., Trial], rows: int) -> None:
    """What was refused in bulk is looked up, and an activity of its own has shown what there is to see."""
    it = start(rows=rows, refuse=(BULK,))
    assert ended(it, shared=rows).error is None


# ------------------------------------------------------------------------------------------ nobody waits for ever


def test_rows_that_wait_for_the_owner_of_another_type_are_shared_however_many_are_under_way(
    start: Callable[..., Trial],
) -> None:
    """Two hundred at once, as at 200 calls a second; while the owner is looked at they all come back posted."""
    it = start(rows=160, rate=Rate(200, 1.0))
    rows = sheet_rows(160, it.sandbox.world)
    it.write([*rows[:150], *([*row[:5], "202"] for row in rows[150:])])
    ending = ended(it, bulk=False, rate=Rate(200, 1.0), workers=200)
    assert ending.summary.states == {State.SHARED: 160}


def test_many_rows_that_go_by_themselves_where_bulk_calls_alone_give_an_owner_do_not_wait_for_each_other(
    start: Callable[..., Trial],
) -> None:
    """They were sent before, and may be looked for no further; each goes in a bulk call of its own."""
    lost: list[SandboxCall] = []

    async def single_ones_get_no_owner_and_some_answers_are_lost(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == CREATE:
            call.body = json.dumps(json.loads(call.body) | {"Fields": []}).encode()
        if len(items_of(call)) > 1 and len(lost) < 6:
            lost.append(call)
            return answer(502, "")
        return await step(call)

    it = start(single_ones_get_no_owner_and_some_answers_are_lost, rows=250)
    ended(it, on_unknown="park")
    assert len(it.query("SELECT id FROM rows WHERE state = 'unknown'")) > 100
    it.write(sheet_rows(270, it.sandbox.world))
    ending = ended(it)
    assert ending.summary.states == {State.SHARED: 269, State.FAILED: 1}
    assert len(it.sent(CREATE)) == 1
