"""What a person sees while calls are made: no time that nobody knows, and in a log no line that is not new."""

from __future__ import annotations

import asyncio
import io
import json
import re
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from json_reference import misfits
from rich.console import Console
from virtual_time import run_virtually

from batch_share.cli.printed import InProgress
from batch_share.cli.progress import LINE_SECONDS, SAME_LINE_SECONDS, _clock, status_line, view
from batch_share.cli.screen import Display, console
from batch_share.common import Rate, loop_time
from batch_share.leadsquared.account import Account
from batch_share.leadsquared.pacing import Pacer
from batch_share.ledger.states import State
from batch_share.sending.guards import Health
from batch_share.sending.onlookers import Awaited, Outage, Tally
from batch_share.sending.session import Connection, ShareBatch, Stop
from batch_share.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rich.text import Text

    from batch_share.sending.onlookers import Progress

    Work = Callable[[Connection], Awaitable[None]]

PACE = "0 calls, 0.0/s of 5/s"
NO_CONNECTION = Outage("no connection: Connection refused", 2, 7)


def connected(phase: str = "sharing", *, bulk: bool = False, **states: int) -> Connection:
    """Work in this phase with rows in these states, which has made no call."""
    batch = 10 if bulk else None
    settings = Settings.model_construct(
        follow_up=True, bulk=bulk, workers=None, daily_limit=None, share_batch=batch
    )
    pacer = Pacer(Rate(25, 5.0))
    memory = SimpleNamespace(account=Account())
    bulk_pacer, sizes = Pacer(Rate(1, 5.0)), ShareBatch(settings, cast("Any", memory))
    made = cast("Any", Connection)(
        settings, None, None, pacer, Stop(), Tally(phase), memory, bulk_pacer, sizes, None, Health(), None, set()
    )
    made.tally.states.update({State(name): count for name, count in states.items()})
    return cast("Connection", made)


def line(session: Connection, *, awaited: Awaited | None = None) -> str | None:
    """What a log says of it at moment 0."""

    async def said() -> str | None:
        session.tally.ask_awaited = lambda: awaited
        return status_line(session.progress())

    return run_virtually(said())


def drawn(session: Connection, width: int) -> str:
    """What a terminal of this width shows of it now."""
    out = io.StringIO()
    terminal = Console(file=out, width=width, force_terminal=True, color_system=None)
    terminal.print(view(session.progress(), terminal))
    return out.getvalue()


def screen(session: Connection, width: int, *, awaited: Awaited | None = None) -> list[str]:
    """What a terminal of this width shows of it at moment 0."""

    async def shown() -> str:
        session.tally.ask_awaited = lambda: awaited
        return drawn(session, width)

    return [each.rstrip() for each in run_virtually(shown()).splitlines()]


def printed(
    session: Connection, work: Work, *, one_line: bool = False, as_json: bool = False
) -> list[tuple[float, str]]:
    """The lines of a log, each with its moment, while `work` is done in virtual time."""

    class Log(io.StringIO):
        """Keeps the moment of each line."""

        def write(self, text: str) -> int:
            if text.strip():
                lines.append((asyncio.get_running_loop().time(), text.strip()))
            return len(text)

    lines: list[tuple[float, str]] = []

    async def watched() -> None:
        display = Display(one_line=one_line, json=as_json, console=console(file=Log()))
        async with display.watch(session.progress, session.stop.ask):
            await work(session)

    run_virtually(watched())
    return lines


@pytest.mark.parametrize(
    ("again", "seconds_a_call", "least", "most"),
    [(None, 0.25, 115, 121), (None, 60.0, 1, 15), (58.0, 60.0, 57, 70)],
    ids=["calls", "nothing goes on", "a wait told in seconds"],
)
def test_a_terminal_is_drawn_anew_only_where_it_shows_something_new(
    monkeypatch: pytest.MonkeyPatch, again: float | None, seconds_a_call: float, least: int, most: int
) -> None:
    session, views = connected("following up", accepted=300), list[object]()
    terminal = Console(file=io.StringIO(), width=80, force_terminal=True)

    def drawing(progress: Progress, console: Console) -> Text:
        views.append(progress)
        return view(progress, console)

    async def watched() -> None:
        session.tally.ask_awaited = lambda: Awaited(again, 480.0, 300)
        async with Display(console=terminal).watch(session.progress, session.stop.ask):
            while loop_time() < 60.0:
                session.tally.calls += 1
                await asyncio.sleep(seconds_a_call)

    monkeypatch.setattr("batch_share.cli.progress.view", drawing)
    run_virtually(watched())
    assert least <= len(views) <= most


def test_the_time_that_the_calls_take_is_reported_while_there_is_nothing_else_to_wait_for() -> None:
    assert line(connected(pending=50, shared=10)) == f"sharing: pending 50, shared 10 | {PACE} | about 30 s left"
    assert line(connected(accepted=10)) == f"sharing: accepted 10 | {PACE} | about 2 s left"


def test_with_rows_of_which_nobody_knows_it_takes_longer_than_the_calls() -> None:
    assert line(connected(pending=50, unknown=1)) == f"sharing: pending 50, unknown 1 | {PACE} | at least 30 s left"


def test_while_requests_are_being_processed_nobody_knows_how_long_it_takes() -> None:
    session = connected("following up", accepted=3, shared=57)
    said = line(session, awaited=Awaited(42.0, 480.0, 3))
    assert said is not None
    assert said.startswith(f"following up: accepted 3, shared 57 | {PACE} | 3 requests are still being processed; ")
    assert "; asked again in 42 s, until " in said
    assert said.endswith(" at most")
    said = line(session, awaited=Awaited(None, 480.0, 1))
    assert said is not None
    assert "1 request is still being processed; being asked again, until " in said
    assert "left" not in said


def test_asking_for_very_many_requests_takes_a_time_that_is_known_at_least() -> None:
    said = line(connected("following up", accepted=3000), awaited=Awaited(None, 480.0, 3000))
    assert said is not None
    assert f"| {PACE} | at least 10 min left | 3,000 requests are still being processed; being asked again" in said


@pytest.mark.parametrize(
    ("awaited", "reported"),
    [(Awaited(42.0, 58.0), " | the next look is in 42 s, the last in 58 s"), (Awaited(None, 58.0), "")],
)
def test_the_wait_for_another_look_is_reported(awaited: Awaited, reported: str) -> None:
    session = connected("waiting to look up unknown rows again", unknown=2, accepted=3)
    session.tally.calls = 9
    pace = PACE.replace("0 calls", "9 calls")
    assert line(session, awaited=awaited) == f"{session.tally.phase}: accepted 3, unknown 2 | {pace}{reported}"


def test_while_nobody_is_reached_that_is_reported_and_no_time() -> None:
    session = connected(pending=50)
    session.tally.outage = NO_CONNECTION
    reported = "LeadSquared: no connection: Connection refused; retrying, 3 of 7"
    assert line(session) == f"sharing: pending 50 | {PACE} | {reported}"
    assert reported in screen(session, 80)
    session.stop.ask()
    assert str(line(session)).endswith("| finishing what is under way; press Ctrl-C again to cut it off")


def minute_in(seconds: float) -> str:
    """The minute in so many seconds, as it is told: with its date if that is another day."""
    then = time.localtime(time.time() + seconds)
    return time.strftime("%H:%M:" if then.tm_yday == time.localtime().tm_yday else "%Y-%m-%d %H:%M:", then)


@pytest.mark.parametrize(
    ("pause", "reported"),
    [(120.0, "LeadSquared asked for it"), (None, "LeadSquared refused a call as one too many")],
)
@pytest.mark.parametrize("of_bulk", [False, True])
def test_while_a_refusal_is_waited_out_its_end_is_reported_and_no_time(
    pause: float | None, reported: str, *, of_bulk: bool
) -> None:
    session = connected(pending=50, bulk=of_bulk)

    async def said() -> tuple[str | None, str]:
        pacer = session.bulk_pacer if of_bulk else session.pacer
        pacer.refused(pause=pause, reported=None)
        return status_line(session.progress()), drawn(session, 80)

    thens = [minute_in(pause or 5.0)]  # the next minute may begin meanwhile
    line, shown = run_virtually(said())
    thens.append(minute_in(pause or 5.0))
    then = next((each for each in thens if each in shown), thens[0])
    first = "bulk calls wait" if of_bulk else "waiting"
    assert re.search(rf"\| {first} until {then}\d\d: {reported}$", str(line))
    assert f"{first} until {then}" in shown
    assert (" left" in str(line) + shown) == of_bulk


@pytest.mark.parametrize(
    ("state", "reported"), [(State.SHARING, " | waiting for LeadSquared to answer"), (State.POSTED, "")]
)
def test_a_while_after_the_last_call_no_time_is_reported(state: State, reported: str) -> None:
    session = connected()
    session.tally.states[state] = 10

    async def said() -> tuple[str | None, str | None]:
        session.tally.called()
        await asyncio.sleep(10.0)
        before = status_line(session.progress())
        await asyncio.sleep(0.1)
        return before, status_line(session.progress())

    before, after = run_virtually(said())
    assert str(before).endswith(" s left")
    assert after == f"sharing: {state} 10 | 1 call, 0.0/s of 5/s{reported}"


def test_a_long_wait_is_reported_at_once_and_once_and_with_one_line_nothing_else_is() -> None:
    async def work(session: Connection) -> None:
        await asyncio.sleep(2.5)
        for _ in range(3):  # calls that were under way together
            session.pacer.refused(pause=100.0, reported=None)
            await asyncio.sleep(1.0)
        await asyncio.sleep(100.0)
        session.pacer.refused(pause=60.0, reported=None)
        await asyncio.sleep(70.0)
        session.pacer.refused(pause=61.0, reported=None)
        await asyncio.sleep(70.0)

    lines = printed(connected(pending=50), work)
    assert next(round(at) for at, line in lines if "waiting" in line) == 3
    only = printed(connected(pending=50), work, one_line=True)
    assert [round(at) for at, _ in only] == [3, 176]
    assert all(line.endswith(": LeadSquared asked for it") for _, line in only)


def test_the_end_of_the_wait_is_reported_in_local_time_with_its_date_if_it_is_another_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.time()
    assert _clock(datetime.fromtimestamp(now, UTC)) == time.strftime("%H:%M", time.localtime(now))
    then = time.time() + 50 * 3600
    assert _clock(datetime.fromtimestamp(then, UTC)) == time.strftime("%Y-%m-%d %H:%M", time.localtime(then))


@pytest.mark.parametrize("phase", ["starting", "sharing"])
def test_where_nothing_is_left_to_do_and_nothing_was_done_nothing_is_reported(phase: str) -> None:
    session = connected(phase, shared=80)
    assert line(session) is None
    assert screen(session, 80) == [""]
    session.tally.calls = 3
    assert (line(session) is None) == (phase == "starting")


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("phase", ["sharing", "waiting to look up unknown rows again"])
def test_on_a_narrow_terminal_the_bar_gives_way(phase: str, width: int) -> None:
    bar, counts, pace = screen(connected(phase, pending=50, shared=10), width)
    assert bar.startswith(f"{phase} ")
    assert bar.endswith(("about 30 s left", "about 30 s"))
    assert len(bar) <= width
    assert (counts, pace) == ("pending 50  shared 10", PACE)


def test_a_log_has_a_line_each_quarter_of_a_minute_while_calls_are_made() -> None:
    async def work(session: Connection) -> None:
        for _ in range(40):
            session.tally.called()
            session.tally.moved(State.PENDING, State.SHARED)
            await asyncio.sleep(1.0)

    moments = [at for at, _ in printed(connected(pending=50), work)]
    assert moments == [0.0, LINE_SECONDS, 2 * LINE_SECONDS]


def test_a_log_is_not_told_again_and_again_of_what_is_waited_for() -> None:
    async def work(session: Connection) -> None:
        until = asyncio.get_running_loop().time() + 900.0
        with session.tally.waits_for(lambda: Awaited(until - 880.0, until, session.tally.states[State.ACCEPTED])):
            for at in range(700):
                if at % 30 == 0:
                    session.tally.called()
                if at == 400:
                    session.tally.moved(State.ACCEPTED, State.SHARED)
                await asyncio.sleep(1.0)

    lines = printed(connected("following up", accepted=3), work)
    assert [at for at, _ in lines] == [0.0, SAME_LINE_SECONDS, 400.0]
    assert "2 requests are" in lines[-1][1]


def test_a_log_is_told_at_once_when_nobody_is_reached_and_when_it_is_over() -> None:
    async def work(session: Connection) -> None:
        await asyncio.sleep(2.5)
        for tries in (1, 2, 3):
            session.tally.reached(Outage("no connection", tries, 7))
            await asyncio.sleep(2.0)
        session.tally.reached()
        await asyncio.sleep(5.0)

    lines = printed(connected(pending=50), work)
    assert [round(at) for at, _ in lines] == [0, 3, 9]
    assert lines[1][1].endswith("LeadSquared: no connection; retrying, 2 of 7")
    assert lines[2][1] == lines[0][1]


def test_a_log_of_a_run_that_finds_nothing_to_do_has_no_line() -> None:
    async def work(_: Connection) -> None:
        await asyncio.sleep(60.0)

    assert printed(connected("starting", shared=80), work) == []


def test_a_terminal_shows_at_once_that_nobody_is_reached_and_no_more_when_it_is_over() -> None:
    reported = "LeadSquared: no connection: Connection refused; retrying, 3 of 7"

    async def work() -> list[bool]:
        session, out, seen = connected(pending=50), io.StringIO(), list[bool]()
        terminal = Console(file=out, width=80, force_terminal=True, color_system=None)
        async with Display(console=terminal).watch(session.progress, session.stop.ask):
            for outage in (None, NO_CONNECTION, None):
                out.truncate(out.seek(0))
                session.tally.outage = outage
                await asyncio.sleep(0.5)
                seen.append(reported in out.getvalue())
        return seen

    assert run_virtually(work()) == [False, True, False]


def test_with_one_line_nothing_is_shown() -> None:
    async def work() -> str:
        out = io.StringIO()
        session = connected(pending=5)
        async with Display(one_line=True, console=console(file=out)).watch(session.progress, session.stop.ask):
            await asyncio.sleep(60.0)
        return out.getvalue()

    assert run_virtually(work()) == ""


def test_while_people_are_looked_up_that_is_counted_and_the_time_is_reckoned_by_its_calls() -> None:
    session = connected("looking up leads and users")
    session.tally.calls = 4
    session.tally.to_look_up(282)
    assert line(session) == "looking up 0 of 282 leads and users: 4 calls, 0.0/s of 5/s"
    session.tally.calls, session.tally.people = 124, 120
    assert line(session) == "looking up 120 of 282 leads and users: 124 calls, 0.0/s of 5/s | about 32 s left"
    assert screen(session, 90)[0].split()[:8] == ["looking", "up", "120", "of", "282", "leads", "and", "users"]
    session.tally.people = 282
    assert (line(session) or "").startswith("looking up leads and users: ")


def test_for_a_program_each_line_is_an_object_as_described() -> None:
    session, met = connected(shared=10, pending=50), set[str]()

    async def work(session: Connection) -> None:
        for _ in range(3):
            session.tally.calls += 1
            await asyncio.sleep(LINE_SECONDS)
        session.tally.outage = NO_CONNECTION
        await asyncio.sleep(2)

    lines = [json.loads(line) for _, line in printed(session, work, as_json=True)]
    assert [each for line in lines for each in misfits(line, InProgress, met)] == []
    going = [line["progress"] for line in lines]
    assert [each["calls"] for each in going] == [1, 2, 3, 3]
    assert [each["seconds_left"] for each in going[:3]] == [30, 30, 30]
    assert [bool(each["waits"]) for each in going] == [False, False, False, True]
    assert going[0]["states"] == {"shared": 10, "pending": 50}
