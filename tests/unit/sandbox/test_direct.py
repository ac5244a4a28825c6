"""A sandbox called without a socket, in virtual time: the same answers, limits, latency and faults."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from direct import DirectClient
from pydantic import SecretStr
from virtual_time import run_virtually

from batch_share.common import Rate
from batch_share.leadsquared.pacing import Pacer
from batch_share.leadsquared.people import ALL_USERS
from batch_share.leadsquared.protocol import Answer, Done, Lost, NotSent, Throttled, post_activity, read_activity_id
from batch_share.sandbox import Sandbox, SandboxOptions
from batch_share.sandbox.faults import Particulars, strike

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from batch_share.leadsquared.protocol import Call as Request
    from batch_share.sandbox.wire import Reply, SandboxCall

RATE = Rate(25, 5.0)
CUT_OFF = "sent, but the connection was lost before the answer"


def a_sandbox(*wrappers: Any, **changes: Any) -> Sandbox:
    """A small sandbox that nobody can reach."""
    values: dict[str, Any] = {"leads": 40, "rate": RATE}
    return Sandbox(SandboxOptions(**values | changes), wrappers=wrappers)


def activity(sandbox: Sandbox, at: int = 0) -> Request:
    """Post an activity on a lead of the sandbox."""
    world = sandbox.world
    return post_activity(lead_id=world.leads[at].id, event=201, note="n", owner_id=world.users[1].id)


def always(kind: str) -> Callable[[Callable[[SandboxCall], Awaitable[Reply]], SandboxCall], Awaitable[Reply]]:
    """A wrapper that lets `kind` hit every call."""
    reported = Particulars(RATE, away=3.0, drip=2.0)
    return lambda step, call: strike(kind, reported, step, call)


def sent(sandbox: Sandbox, **how: Any) -> tuple[object, float]:
    """What becomes of one activity, and how many seconds that takes."""

    async def main() -> tuple[object, float]:
        async with DirectClient(sandbox, **how) as client:
            heard = await client.send(activity(sandbox))
            return heard, asyncio.get_running_loop().time()

    return run_virtually(main())


def test_an_answer_takes_its_time_and_is_the_sandboxs() -> None:
    sandbox = a_sandbox(latency=0.4)
    heard, seconds = sent(sandbox)
    assert isinstance(heard, Answer)
    assert isinstance(read_activity_id(heard), Done)
    assert heard.headers == {"content-type": "application/json"}
    assert seconds == pytest.approx(0.4)
    (call,) = sandbox.journal.since(0)
    assert (call["outcome"], call["status"], call["lead"]) == ("done", 200, sandbox.world.leads[0].id)


def test_an_answer_without_a_type_has_no_such_header() -> None:
    heard, _ = sent(a_sandbox(dialect="typeless"))
    assert isinstance(heard, Answer)
    assert heard.headers == {}


def test_wrong_keys_are_refused() -> None:
    sandbox = a_sandbox()
    heard, _ = sent(sandbox, keys=(SecretStr("sandbox-access-key"), SecretStr("wrong")))
    assert isinstance(heard, Answer)
    assert heard.status == 401
    assert len(sandbox.account.activities) == 0


@pytest.mark.parametrize("applied", ["", "applied-"])
@pytest.mark.parametrize(
    ("kind", "words", "seconds"),
    [
        ("reset", CUT_OFF, 0.4),
        ("refused", CUT_OFF, 0.4),
        ("truncated", "sent, but the answer broke off", 0.4),
        ("silent", "sent, but no answer came in time", 9.0),
    ],
)
def test_what_is_lost_on_the_wire_is_lost_here(applied: str, kind: str, words: str, seconds: float) -> None:
    sandbox = a_sandbox(always(applied + kind), latency=0.4)
    heard, took = sent(sandbox, answer_seconds=9.0)
    assert heard == Lost(words)
    assert took == pytest.approx(seconds)
    assert len(sandbox.account.activities) == (1 if applied else 0)


def test_a_slow_answer_is_waited_for_and_an_endless_one_given_up() -> None:
    heard, took = sent(a_sandbox(always("slow")), answer_seconds=1.0)
    assert isinstance(heard, Answer)
    assert took == pytest.approx(2.0)

    async def endless(step: Any, call: SandboxCall) -> Reply:
        return await strike("slow", Particulars(RATE, drip=1000.0), step, call)

    assert sent(a_sandbox(endless), answer_seconds=1.0) == (Lost("sent, but no answer came in time"), 16.0)


def test_a_call_that_takes_too_long_is_given_up_and_done_all_the_same() -> None:
    sandbox = a_sandbox(latency=4.0)

    async def main() -> None:
        async with DirectClient(sandbox, answer_seconds=1.0) as client:
            assert await client.send(activity(sandbox)) == Lost("sent, but no answer came in time")
            assert asyncio.get_running_loop().time() == pytest.approx(1.0)
            sending = asyncio.create_task(client.send(activity(sandbox, 1)))
            await asyncio.sleep(0.1)
            sending.cancel()
            assert sandbox.report()["activities"] == 0
            await asyncio.sleep(4.0)
        assert sandbox.report()["activities"] == 2

    run_virtually(main())


def test_nobody_gets_a_connection_while_it_is_away() -> None:
    sandbox = a_sandbox(always("refused"))

    async def main() -> list[object]:
        async with DirectClient(sandbox) as client:
            heard: list[object] = [await client.send(ALL_USERS) for _ in range(2)]
            await asyncio.sleep(3.0)
            return [*heard, await client.send(ALL_USERS)]

    assert run_virtually(main()) == [Lost(CUT_OFF), NotSent("no connection: Connection refused"), Lost(CUT_OFF)]
    assert len(sandbox.journal.calls) == 2


def test_the_limit_is_the_sandboxs() -> None:
    sandbox = a_sandbox()

    async def main() -> list[object]:
        async with DirectClient(sandbox) as client:
            heard = await asyncio.gather(*(client.send(activity(sandbox, at)) for at in range(26)))
            return [read_activity_id(answer) for answer in heard if isinstance(answer, Answer)]

    outcomes = run_virtually(main())
    assert [type(outcome) for outcome in outcomes] == [Done] * 25 + [Throttled]


def test_hours_of_paced_calls_pass_in_a_moment_and_repeat_for_a_seed() -> None:
    def journal() -> str:
        sandbox = a_sandbox(latency=0.15, jitter=0.5, faults="applied-reset=3%,502=2%")
        seconds, report = run_virtually(paced(sandbox))
        assert seconds > 180
        assert (report["refusals"], report["fullest_window"], report["total_calls"]) == (0, 25, 1000)
        assert report["faults"].keys() == {"applied-reset", "502"}
        assert report["activities"] == report["outcomes"]["done"] == 1000 - report["faults"]["502"]
        return json.dumps(sandbox.journal.since(0))

    assert journal() == journal()


async def paced(sandbox: Sandbox) -> tuple[float, dict[str, Any]]:
    """Post 1000 activities through a pacer; the seconds that takes, and the sandbox's report."""
    pacer = Pacer(RATE)

    async def post(at: int) -> None:
        async with pacer.slot():
            await client.send(activity(sandbox, at % 40))

    async with DirectClient(sandbox) as client:
        await asyncio.gather(*map(post, range(1000)))
    return asyncio.get_running_loop().time(), sandbox.report()
