"""Too many calls: what a run waits for and says so, what ends it, and what only looks like a throttle."""

from __future__ import annotations

import io
import json
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from trial import CREATE, SHARE, Fault, Onlooker, Samples, envelope, options
from virtual_time import run_virtually
from virtual_trial import START, in_virtual_time

from batch_share.cli.progress import status_line
from batch_share.cli.screen import console
from batch_share.cli.work import TerminalWatcher
from batch_share.common import Rate
from batch_share.errors import AccountClosed
from batch_share.leadsquared.account import Account
from batch_share.ledger.states import State
from batch_share.sandbox.wire import Reply, throttled
from batch_share.sending.session import remembered

if TYPE_CHECKING:
    from pathlib import Path

    from trial import Trial

    from batch_share.jobs.job import Ending

DAY = 86_400.0
DAILY = "API calls exceeded the limit of 10000 in 86400 second(s)"
ALL = {State.SHARED: 12}


def calls(it: Trial) -> int:
    """How many arrived."""
    return len(it.sandbox.journal.since(0))


CLOSING = [
    throttled(Rate(25, 5.0), 429, DAY),
    envelope(429, DAILY),
    envelope(200, DAILY, "MXAPIRateLimitExceededException"),
    envelope(403, DAILY, ""),
]


@pytest.mark.parametrize("endpoint", [CREATE, SHARE, "EntityAccess.svc/Status/Get"])
@pytest.mark.parametrize("reply", CLOSING, ids=["Retry-After", "429", "200", "403"])
def test_what_no_run_waits_for_ends_it_and_the_next_makes_no_call_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reply: Reply, endpoint: str
) -> None:
    it = in_virtual_time(tmp_path, monkeypatch, options(), Fault(endpoint, [2], reply))
    ending = run_virtually(it.run())
    assert isinstance(ending.error, AccountClosed)
    assert (ending.error.until - START).total_seconds() == pytest.approx(DAY, abs=60)
    assert ending.exit_code == 1
    assert State.UNKNOWN not in ending.summary.states
    until = ending.summary.waiting_until
    assert until is not None
    assert ending.summary.as_json()["waiting_until"] == f"{until:%Y-%m-%dT%H:%M:%SZ}"
    made = calls(it)
    for again in (it.run, it.resume, it.follow_up, it.reconcile, it.retry, it.revoke):
        onlooker = Onlooker()
        more: dict[str, Any] = {} if again == it.reconcile else {"onlooker": onlooker}
        ending = run_virtually(again(**more))
        assert isinstance(ending.error, AccountClosed)
        assert (ending.exit_code, ending.error.until, ending.summary.waiting_until) == (1, until, until)
        assert onlooker.previews == []
    assert calls(it) == made


def test_with_force_an_account_is_called_before_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = in_virtual_time(tmp_path, monkeypatch, options(), Fault(SHARE, [2], CLOSING[0]))
    assert isinstance(run_virtually(it.run()).error, AccountClosed)
    assert run_virtually(it.run(force=True)).summary.states == ALL
    assert run_virtually(it.run()).error is None


def test_what_closes_an_account_leaves_the_rate_that_was_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = in_virtual_time(
        tmp_path,
        monkeypatch,
        options(),
        Fault(CREATE, [2], envelope(429, "API calls exceeded the limit of 20 in 5 second(s)")),
        Fault(SHARE, [2], envelope(429, DAILY)),
    )
    assert isinstance(run_virtually(it.run()).error, AccountClosed)
    known = remembered(it.settings())
    assert known.rate == Rate(20, 5.0)
    assert time.time() < known.closed_until <= time.time() + DAY


def test_bulk_calls_close_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bulk = "ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId"
    it = in_virtual_time(tmp_path, monkeypatch, options(), Fault(bulk, [2], CLOSING[1]), bulk=True)
    assert isinstance(run_virtually(it.run()).error, AccountClosed)
    made = calls(it)
    assert isinstance(run_virtually(it.run()).error, AccountClosed)
    assert calls(it) == made


@pytest.mark.parametrize("status", [500, 400, 200])
def test_a_refusal_that_quotes_such_words_is_no_throttle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    words = f"Invalid note: {DAILY}"
    quoted = envelope(status, words, "MXInvalidInputException")
    it = in_virtual_time(tmp_path, monkeypatch, options(), Fault(CREATE, [3], quoted))
    ending = run_virtually(it.run())
    assert (ending.error, ending.summary.states) == (None, {State.SHARED: 11, State.FAILED: 1})
    assert run_virtually(it.run()).error is None
    assert remembered(it.settings()).closed_until == 0.0


def test_a_bulk_item_that_quotes_such_words_is_no_throttle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse_an_item(step: Any, call: Any) -> Reply:
        reply: Reply = await step(call)
        items = json.loads(reply.body)["Response"]
        said = {"ActivityCreated": False, "ExceptionMessage": f"Invalid note: {DAILY}"}
        items[0] = {"RowNumber": items[0]["RowNumber"], "ExceptionType": "MXInvalidInputException"} | said
        return Reply.json({"Response": items}, 200)

    bulk = "ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId"
    it = in_virtual_time(tmp_path, monkeypatch, options(), Fault(bulk, [2], refuse_an_item), bulk=True)
    ending = run_virtually(it.run())
    assert ending.error is None
    assert ending.summary.states == {State.SHARED: 11, State.FAILED: 1}


@pytest.mark.parametrize(
    "text",
    [
        '{"closed": true, "period": 1e308}',
        '{"closed": false, "period": 86400.0}',
        '{"closed": false, "rate": "10000/86400s", "bulk_rate": "1/86400s"}',
        '{"closed_until": 1e308}',
        '{"closed_until": NaN, "period": NaN}',
        '{"closed_until": -Infinity, "calls": -1e308, "share_batch": -3}',
        '{"closed_until": true, "calls": true, "process": [], "rate": {}}',
        "[" * 100_000,
    ],
    ids=["period", "period, open", "rates", "end", "NaN", "negative", "types", "nested"],
)
def test_what_no_run_would_remember_keeps_no_run_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    it = in_virtual_time(tmp_path, monkeypatch, options(), bulk_rate=None, rate=None)
    assert run_virtually(it.run(follow_up=False)).error is None
    (file,) = (tmp_path / "state").glob("*.account")
    file.write_text(text)

    async def timed() -> tuple[Ending, float]:
        began = it.sandbox.clock.time()
        return await it.follow_up(), it.sandbox.clock.time() - began

    ending, took = run_virtually(timed())
    assert ending.error is None
    assert took < 30
    assert Account.read(file).rate is None


# ------------------------------------------------------------------------------------------------- shorter waits


def lines_of(it: Trial, *, one_line: bool, **changes: Any) -> list[str]:
    """The lines on standard error of a run, where no terminal is."""
    out = io.StringIO()
    watcher = TerminalWatcher(yes=True, one_line=one_line, console=console(file=out))
    ending = run_virtually(it.run(watcher, **changes))  # type: ignore[arg-type]
    assert (ending.error, ending.summary.states) == (None, ALL)
    return [line for line in out.getvalue().splitlines() if "waiting until" in line]


@pytest.mark.parametrize("one_line", [False, True])
@pytest.mark.parametrize(("seconds", "reported"), [(61.0, 1), (300.0, 1), (60.0, 0)])
def test_a_wait_above_a_minute_is_one_line_where_no_terminal_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, reported: int, *, one_line: bool
) -> None:
    asks = throttled(Rate(25, 5.0), 429, seconds)
    it = in_virtual_time(tmp_path, monkeypatch, options(latency=0.05), Fault(SHARE, [2, 3, 4], asks))
    lines = lines_of(it, one_line=one_line)
    if one_line or reported:
        assert len(lines) == reported
    assert all(line.endswith(": LeadSquared asked for it") for line in lines)
    assert not any(" left" in line for line in lines)


def test_the_log_tells_of_a_long_wait_and_of_an_end_until_when(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waits = Fault(SHARE, [2], throttled(Rate(25, 5.0), 429, 61.0)), Fault(SHARE, [2], envelope(429, "slow"))
    closes = Fault(CREATE, [12], CLOSING[0])
    it = in_virtual_time(tmp_path, monkeypatch, options(), *waits, closes)
    with caplog.at_level(logging.INFO, "batch_share"):
        ending = run_virtually(it.run(workers=1))
    reported = {record.getMessage(): vars(record) for record in caplog.records}
    waits_until = datetime.fromisoformat(reported["waiting as LeadSquared asked"]["until"])
    assert (waits_until - datetime.now(UTC)).total_seconds() == pytest.approx(61, abs=30)
    assert [record.getMessage() for record in caplog.records].count("waiting as LeadSquared asked") == 1
    assert isinstance(ending.error, AccountClosed)
    assert reported["stopped by an error"]["until"] == ending.error.until.isoformat(timespec="seconds")


def test_while_it_waits_its_end_is_reported_and_no_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = throttled(Rate(25, 5.0), 429, 200.0)
    it = in_virtual_time(tmp_path, monkeypatch, options(), Fault(SHARE, [2], asks))
    samples = Samples(lambda connection: status_line(connection.progress()))
    assert run_virtually(it.run(samples)).summary.states == ALL
    waiting = [line for line in samples.seen if line is not None and "waiting until" in line]
    assert 390 <= len(waiting) <= 401
    assert not any(" left" in line for line in waiting)
    assert not any("waiting until" in (line or "") for line in samples.seen[-3:])


def test_a_refusal_that_does_not_say_how_long_is_reported_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = in_virtual_time(tmp_path, monkeypatch, options(), Fault(SHARE, [2], throttled(Rate(25, 5.0), 429)))
    samples = Samples(lambda connection: status_line(connection.progress()))
    assert run_virtually(it.run(samples)).summary.states == ALL
    waiting = [line for line in samples.seen if line is not None and "waiting until" in line]
    assert waiting
    assert all(line.endswith("LeadSquared refused a call as one too many") for line in waiting)
