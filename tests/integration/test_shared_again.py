"""Calls of many shares that can't be processed: what is shared again, in which calls, and with whom no more.

In virtual time at the real limit, so that what a sheet takes is the same in every run.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from invariants import check_never_twice
from trial import BULK, REVOKE, SHARE, Onlooker, options, sheet_rows
from virtual_time import run_virtually
from virtual_trial import in_virtual_time

from batch_share.common import Rate
from batch_share.ledger.reading import LedgerReader
from batch_share.sandbox import World
from batch_share.sandbox.faults import Particulars, strike

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trial import Step, Trial, Wrapper

    from batch_share.ledger.records import Row
    from batch_share.sandbox.wire import Reply, SandboxCall
    from batch_share.sending.session import Connection

RATE = Rate(25, 5.0)
MINUTE = 60.0


class Bulk:
    """Runs in bulk over as many rows, at the real limit; the shares of some leads can't be processed."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._monkeypatch = folder, monkeypatch
        self.seconds = 0.0

    def start(
        self, rows: int, bad: Callable[[int], bool], *faults: Wrapper, processing: float = 1.0, **changes: Any
    ) -> Trial:
        """A trial; which rows are bad is told by their place in the sheet."""
        leads = World(seed=1, leads=rows).leads
        self.bad = {lead.number for at, lead in enumerate(leads) if bad(at)}
        reported = options(
            leads=rows, seed=1, rate=RATE, bulk_rate=Rate(10, 5.0), latency=0.15, jitter=0.4, processing=processing,
            fail_leads=frozenset(self.bad),
        )  # fmt: skip
        pace: dict[str, Any] = {"rate": RATE, "bulk_rate": Rate(10, 5.0), "workers": None, "grace": 60.0}
        return in_virtual_time(
            self._folder, self._monkeypatch, reported, *faults, rows=rows,
            **{"bulk": True, "wait": 600.0} | pace | changes,
        )  # fmt: skip

    def run(self, it: Trial, rows: int) -> None:
        """A run to its end: every good row is shared, every bad one failed, no activity was posted twice."""

        async def timed() -> float:
            began = it.sandbox.clock.time()
            ending = await it.run()
            took = it.sandbox.clock.time() - began
            assert ending.error is None
            self.check(it, rows)
            return took

        self.seconds = run_virtually(timed())

    def check(self, it: Trial, rows: int) -> None:
        """That it is all done."""
        check_never_twice(it)
        states = Counter(state for (state,) in it.rows("state"))
        assert states == Counter({"shared": rows - len(self.bad), "failed": len(self.bad)})
        failed = it.query("SELECT lead_number FROM rows WHERE state = 'failed'")
        assert {int(number) for (number,) in failed} == self.bad
        assert len(it.sandbox.account.activities) == rows

    @staticmethod
    def calls(it: Trial, endpoint: str = "") -> list[dict[str, Any]]:
        """Those that the sandbox saw."""
        return [each for each in it.sandbox.journal.since(0) if endpoint in ("", each["endpoint"])]


@pytest.fixture
def bulk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bulk:
    """Makes trials, and runs them."""
    return Bulk(tmp_path, monkeypatch)


def times_shared(it: Trial) -> Counter[str]:
    """How often each lead was shared."""
    return Counter(lead for call in it.sent(SHARE) for lead in call["lead"].split(","))


@pytest.mark.parametrize(
    ("bad", "processing", "calls_a_row", "rows_a_minute"),
    [(0.0, 1.0, 0.2, 1_600), (1 / 97, 1.0, 0.45, 650), (0.05, 1.0, 1.1, 250), (1 / 97, 10.0, 0.5, 500)],
)
def test_a_few_bad_rows_cost_few_calls(
    bulk: Bulk, bad: float, processing: float, calls_a_row: float, rows_a_minute: float
) -> None:
    rows = 1000
    wrong = random.Random(3).sample(range(rows), round(bad * rows))
    it = bulk.start(rows, set(wrong).__contains__, processing=processing)
    bulk.run(it, rows)
    # A fifth more than is measured: on a busy machine the ledger's thread lets virtual time pass.
    assert len(bulk.calls(it)) <= calls_a_row * rows
    assert rows * MINUTE / bulk.seconds >= rows_a_minute
    assert max(times_shared(it).values()) <= 3, "a row was shared again more than twice"
    assert it.sandbox.limits.refusals == 0


def test_a_failed_call_is_shared_again_while_others_are_posted_and_processed(bulk: Bulk) -> None:
    it = bulk.start(1000, lambda at: at == 30)
    bulk.run(it, 1000)
    ours = [call["n"] for call in it.sent(SHARE) if str(min(bulk.bad)) in call["lead"]]
    assert len(ours) == 3
    assert ours[-1] < it.sent(BULK)[-1]["n"]


def test_with_a_user_of_whom_every_share_fails_nobody_elses_is_shared_again_for_long(bulk: Bulk) -> None:
    it = bulk.start(1000, lambda at: at % 5 == 2)
    bulk.run(it, 1000)
    good = {str(lead.number) for at, lead in enumerate(it.sandbox.world.leads) if at % 5 != 2}
    again = sum(times - 1 for lead, times in times_shared(it).items() if lead in good)
    assert again <= 500, "as many of 800 good rows as without: about all"
    assert 1000 * MINUTE / bulk.seconds >= 280


def test_where_failures_come_at_random_no_user_is_held_back(bulk: Bulk) -> None:
    it = bulk.start(600, lambda at: at % 20 == at // 20 % 20)
    bulk.run(it, 600)
    late = [len(call["lead"].split(",")) for call in it.sent(SHARE)]
    assert sum(size for size in late if size > 5) >= 550, "rows went by themselves from the start"


def test_few_rows_at_the_end_go_one_by_one_where_processing_takes_long(bulk: Bulk) -> None:
    it = bulk.start(60, lambda at: at == 31, processing=20.0)
    bulk.run(it, 60)
    assert max(times_shared(it).values()) == 2


def test_with_a_daily_limit_calls_are_saved_not_time(bulk: Bulk) -> None:
    it = bulk.start(60, lambda at: at == 31, processing=20.0, daily_limit=10_000)
    bulk.run(it, 60)
    assert max(times_shared(it).values()) == 3


@pytest.mark.parametrize(
    ("rows", "every", "within", "changes"),
    [
        (2000, 20, 1 / 3, {}),
        (2000, 97, 0.4, {}),  # how many calls fail is learned of few, in which chance has its part
        (150, 0, 1 / 3, {"bulk": False}),
        (1000, 0, 1 / 3, {}),
    ],
)
def test_the_time_left_is_true_within_a_third_repeats_included(
    bulk: Bulk, rows: int, every: int, within: float, changes: dict[str, Any]
) -> None:
    bad = random.Random(5).sample(range(rows), rows // every if every else 0)
    it = bulk.start(rows, set(bad).__contains__, **changes)
    seen: list[tuple[float, float | None]] = []

    async def timed() -> float:
        now = it.sandbox.clock.time
        began = now()

        async def watch(connection: Connection) -> None:
            while True:
                await asyncio.sleep(1.0)
                seen.append((now() - began, connection.progress().at_least))

        watching: list[asyncio.Task[None]] = []
        await it.run(Onlooker(lambda connection: watching.append(asyncio.create_task(watch(connection)))))
        watching[0].cancel()
        return now() - began

    took = run_virtually(timed())
    for part in (0.1, 0.25, 0.5, 0.75):
        at, left = next(each for each in seen if each[0] >= part * took)
        assert left == pytest.approx(took - at, rel=within), f"at {part} of the run"


KINDS = ["reset", "applied-reset", "applied-no-id", "502", "400", "500-mx", "429"]


class Strikes:
    """Lets a fault hit the n-th share call."""

    def __init__(self, kind: str, number: int) -> None:
        self.kind, self.number, self.seen = kind, number, 0

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        """A wrapper of the sandbox."""
        self.seen += call.endpoint == SHARE
        if call.endpoint == SHARE and self.seen == self.number:
            return await strike(self.kind, Particulars(RATE, retry_after=0.5, away=0.1, drip=0.1), step, call)
        return await step(call)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [4, 6, 7, 9])
def test_a_call_that_goes_wrong_while_rows_are_shared_again_changes_no_ending(
    bulk: Bulk, kind: str, number: int
) -> None:
    it = bulk.start(60, lambda at: at in {12, 40}, Strikes(kind, number))
    bulk.run(it, 60)


def test_what_failed_together_before_a_stop_is_shared_again_in_fifths_by_the_next_run(bulk: Bulk) -> None:
    it = bulk.start(300, lambda at: at % 50 == 20)

    async def stopped_and_resumed() -> None:
        await it.run(follow_up=False)
        await it.follow_up()
        returned = it.query("SELECT count(*) FROM rows WHERE state = 'posted'")[0][0]
        assert returned > 50
        before = len(it.sent(SHARE))
        ending = await it.resume()
        assert ending.error is None
        sizes = [len(call["lead"].split(",")) for call in it.sent(SHARE)[before:]]
        assert max(sizes) == 5
        assert len(sizes) < returned
        bulk.check(it, 300)

    run_virtually(stopped_and_resumed())


def test_rows_that_the_sheet_no_longer_has_are_not_shared_again(bulk: Bulk) -> None:
    it = bulk.start(120, {12, 31, 50}.__contains__)

    async def with_other_rows() -> None:
        leads = sheet_rows(120, it.sandbox.world)
        it.write(leads[:60])
        await it.run(follow_up=False)
        shares = len(it.sent(SHARE))
        it.write(leads[59:])  # but one is new, and one of them is known
        ending = await it.run()
        assert ending.error is None
        check_never_twice(it)
        gone = {str(lead.number) for lead in it.sandbox.world.leads[:59]}
        again = [lead for call in it.sent(SHARE)[shares:] for lead in call["lead"].split(",")]
        assert not gone.intersection(again)
        assert len(set(again)) in {60, 61}, "those that are new, and the one that is known if its request failed"

    run_virtually(with_other_rows())


def test_one_by_one_several_are_shared_in_a_call_once_that_was_seen_to_work(bulk: Bulk) -> None:
    it = bulk.start(120, lambda at: False)

    async def in_bulk_and_one_by_one() -> None:
        it.write(sheet_rows(60, it.sandbox.world))
        assert (await it.run(bulk=False)).error is None
        assert {len(call["lead"].split(",")) for call in it.sent(SHARE)} == {1}
        it.write(sheet_rows(90, it.sandbox.world))
        assert (await it.run()).error is None
        before = len(it.sent(SHARE))
        it.write(sheet_rows(120, it.sandbox.world))
        assert (await it.run(bulk=False)).error is None
        sizes = [len(call["lead"].split(",")) for call in it.sent(SHARE)[before:]]
        assert sum(sizes) == 30
        assert len(sizes) <= 5
        bulk.check(it, 120)

    run_virtually(in_bulk_and_one_by_one())


def test_nothing_is_revoked_while_other_shares_are_processed_though_one_request_failed(bulk: Bulk) -> None:
    it = bulk.start(120, {5, 60}.__contains__, processing=20.0)

    async def shared_and_revoked() -> None:
        await it.run(follow_up=False)
        processed = max(request.due for request in it.sandbox.account.requests.values())
        ending = await it.revoke()
        assert ending.error is None
        assert min(call["at"] for call in it.sent(REVOKE)) >= processed

    run_virtually(shared_and_revoked())


def test_rows_are_shared_again_before_a_canary_is_judged_by_them(bulk: Bulk) -> None:
    it = bulk.start(60, {3, 45}.__contains__, processing=20.0)

    async def begun_and_tried() -> None:
        await it.run(follow_up=False)
        ending = await it.run(canary=3)
        assert ending.error is None
        bulk.check(it, 60)

    run_virtually(begun_and_tried())


def test_a_row_is_not_to_blame_for_a_request_whose_other_rows_were_revoked_meanwhile(bulk: Bulk) -> None:
    it = bulk.start(60, lambda at: at == 5, processing=50.0)

    async def all_but_one_revoked() -> None:
        await it.run(follow_up=False)
        rows = it.query("SELECT sheet_row, request_id, lead_number FROM rows ORDER BY position")
        (bad,) = (request for _, request, lead in rows if int(lead) in bulk.bad)
        _, *others = (str(row) for row, request, _ in rows if request == bad)
        await it.revoke(rows=",".join(others), follow_up=False)
        await it.follow_up()
        assert not it.query("SELECT sheet_row FROM rows WHERE stage = 'processing'")
        assert (await it.resume()).error is None
        check_never_twice(it)
        assert it.query("SELECT count(*) FROM rows WHERE state = 'shared'") == [(60 - len(others),)]

    run_virtually(all_but_one_revoked())


def test_rows_that_are_read_while_their_failed_request_is_noted_are_not_sent_in_two_ways(
    bulk: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = bulk.start(100, lambda at: at % 25 == 7, processing=0.5)
    failed_together = LedgerReader.failed_together

    async def on_a_slow_disk(ledger: LedgerReader, request_id: str) -> list[Row]:
        await asyncio.sleep(3.0)
        return await failed_together(ledger, request_id)

    async def begun_and_run() -> None:
        it.write(sheet_rows(50, it.sandbox.world))
        await it.run(follow_up=False)
        monkeypatch.setattr(LedgerReader, "failed_together", on_a_slow_disk)
        it.write(sheet_rows(100, it.sandbox.world))
        ending = await it.run()
        assert ending.error is None
        bulk.check(it, 100)

    run_virtually(begun_and_run())
