"""What a person sees while calls are made: how far the work is, what it waits for, and how long it takes if known.

A terminal has a live view; in a file or a pipe there is a line now and then, when it says something new.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from batch_share.cli.screen import STYLES, lasting
from batch_share.common import plural
from batch_share.ledger.states import INTENTS, State
from batch_share.sending.log_events import LONG_WAIT
from batch_share.sending.onlookers import STARTING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from typing import Any

    from rich.console import Console, RenderableType

    from batch_share.sending.onlookers import Awaited, Tally
    from batch_share.sending.session import Connection

REFRESH_SECONDS: Final = 0.25
LOOK_SECONDS: Final = 1.0
"""How often it is looked whether there is a line to be said."""

LINE_SECONDS: Final = 15.0
"""Between two lines, at least, if the second says something new."""

SAME_LINE_SECONDS: Final = 300.0
"""Between two lines that say the same: whoever looks sees that it goes on."""

LONG: Final = 60.0
"""Seconds of calls that are worth telling beside requests of which nobody knows how long they take."""

BAR_WIDTH: Final = 40


@asynccontextmanager
async def shown(session: Connection, console: Console, *, waits_only: bool = False) -> AsyncIterator[None]:
    """Show progress until the body is over: a live view on a terminal, else a plain line now and then.

    With `waits_only` there are no lines but of waits that are worth telling.
    """
    if waits_only or not console.is_terminal:
        async with _during(_print_lines(Lines(session, waits_only), console)):
            yield
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        async with _during(_refresh(session, live)):
            yield


@asynccontextmanager
async def _during(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _refresh(session: Connection, live: Live) -> None:
    while True:
        live.update(view(session), refresh=True)
        await asyncio.sleep(REFRESH_SECONDS)


async def _print_lines(lines: Lines, console: Console) -> None:
    while True:
        if line := lines.next():
            console.print(line, soft_wrap=True, markup=False)
        await asyncio.sleep(LOOK_SECONDS)


@dataclass(slots=True)
class Lines:
    """The lines of a log: one that says something new now and then; at once that LeadSquared can't be reached, or
    has asked for a long wait, unless `waits_only` the latter alone.
    """

    session: Connection
    waits_only: bool = False
    said_at: float = float("-inf")
    said: object = None
    told_outage: bool = False
    told_until: float = float("-inf")

    def next(self) -> str | None:
        """The line to be said now, None if there is none."""
        now, news, outage = _now(), _news(self.session), self.session.tally.outage is not None
        distance = SAME_LINE_SECONDS if news == self.said else LINE_SECONDS
        is_due = outage is not self.told_outage or now - self.said_at >= distance
        hold = self.session.hold  # a wait that is worth telling at once
        long_until = hold.until if hold is not None and hold.until - hold.since > LONG_WAIT else float("-inf")
        # Calls that were under way together are refused one after the other: one line is enough for them.
        if long_until <= self.told_until + LINE_SECONDS and (self.waits_only or not is_due):
            return None
        line = status_line(self.session)
        if line is not None:
            self.said_at, self.said, self.told_outage = now, news, outage
            self.told_until = max(self.told_until, long_until)
        return line


def _news(session: Connection) -> object:
    """What makes a line a new one: while it only waits, neither the calls that ask in vain nor the time do."""
    tally, awaited = session.tally, session.tally.awaited
    goes_on = (awaited.requests,) if awaited is not None else (tally.calls, _left(session))
    return tally.phase, _counts(tally), tally.refusals, session.stop.asked, tally.outage, goes_on


def view(session: Connection) -> RenderableType:
    """The live view: a bar over all rows, the counts by state, the pace, and what it waits for."""
    if not _has_begun(session):
        return Text()
    tally = session.tally
    bar = Table.grid(padding=(0, 1))
    bar.add_column(no_wrap=True)
    bar.add_column(max_width=BAR_WIDTH)
    bar.add_column(no_wrap=True)
    total = max(sum(tally.states.values()), 1)
    bar.add_row(tally.phase, ProgressBar(total=total, completed=_done(session)), _left(session))
    counts = Text("  ").join(
        Text(f"{state} {count:,}", style=STYLES.get(state, "")) for state, count in _counts(tally).items()
    )
    lines: list[RenderableType] = [bar, counts, Text(_pace(session), style="dim")]
    if said := _said(session):
        lines.append(Text(said, style="bold yellow" if tally.outage else ""))
    return Group(*lines)


def status_line(session: Connection) -> str | None:
    """The same on one line, for a log; None while there is nothing to tell."""
    if not _has_begun(session):
        return None
    counts = ", ".join(f"{state} {count}" for state, count in _counts(session.tally).items())
    parts = (counts, _pace(session), _left(session), _said(session))
    return f"{session.tally.phase}: {' | '.join(filter(None, parts))}"


def _has_begun(session: Connection) -> bool:
    """Whether anything was done, or is left to be: a run that finds all rows done has no progress to show."""
    was_done = session.tally.calls > 0 and session.tally.phase != STARTING
    return was_done or bool(_left(session) or _said(session))


def _counts(tally: Tally) -> dict[State, int]:
    return {state: tally.states[state] for state in State if tally.states[state]}


def _done(session: Connection) -> float:
    """Rows done, an accepted one counted as two thirds of the way while it is still to be followed up."""
    weight = {State.PENDING: 0.0, State.POSTING: 0.0, State.POSTED: 1 / 3, State.SHARING: 1 / 3}
    weight |= {State.TO_REVOKE: 0.0, State.REVOKING: 0.0}
    if session.settings.follow_up:
        weight |= {State.ACCEPTED: 2 / 3, State.ENDING: 1 / 2}
    done = sum(count * weight.get(state, 1.0) for state, count in session.tally.states.items())
    return done + session.tally.waiting


def _left(session: Connection) -> str:
    """How long the calls take that are left; nothing where they are not all that it takes."""
    tally, awaited, seconds = session.tally, session.tally.awaited, session.seconds_left
    if not seconds:
        return ""
    if awaited is not None:
        return f"at least {lasting(seconds)} left" if awaited.again is None and seconds >= LONG else ""
    about = "at least" if tally.states[State.UNKNOWN] else "about"
    return f"{about} {lasting(seconds)} left"


def _said(session: Connection) -> str:
    """Why it takes longer than calls do, if it does."""
    if session.stop.asked:
        return "finishing what is under way; press Ctrl-C again to cut it"
    if session.tally.outage is not None:
        outage = session.tally.outage
        return f"LeadSquared: {outage.words}; trying again, {outage.tries + 1} of {outage.most}"
    if (hold := session.hold) is not None:
        waiting = "waiting" if session.pacer.hold else "bulk calls wait"
        why = "LeadSquared asked for it" if hold.asked else "LeadSquared refused a call as one too many"
        return f"{waiting} until {_at(hold.until - _now(), '%H:%M:%S')}: {why}"
    if (awaited := session.tally.awaited) is not None:
        return _spell_awaited(awaited)
    is_unanswered = session.is_idle and any(session.tally.states[state] for state in INTENTS)
    return "waiting for LeadSquared to answer" if is_unanswered else ""


def _spell_awaited(awaited: Awaited) -> str:
    now = _now()
    again = max(0.0, awaited.again - now) if awaited.again is not None else None
    until = max(0.0, awaited.until - now)
    if not awaited.requests:
        return f"the next look is in {lasting(again)}, the last in {lasting(until)}" if again is not None else ""
    are = "is" if awaited.requests == 1 else "are"
    asked = f"asked again in {lasting(again)}" if again is not None else "being asked again"
    return f"{plural(awaited.requests, 'request')} {are} still being processed; {asked}, until {_at(until)} at most"


def _at(seconds: float, clock: str = "%H:%M") -> str:
    """The local time in so many seconds, with its date if that is not today's."""
    today = datetime.now().astimezone()
    then = today + timedelta(seconds=seconds)
    return then.strftime(clock if then.date() == today.date() else f"%Y-%m-%d {clock}")


def _pace(session: Connection) -> str:
    rate = session.pacer.rate
    pace = f"{session.tally.calls:,} calls, {session.tally.calls_per_second():.1f}/s of {rate.per_second:g}/s"
    return f"{pace}, {plural(session.tally.refusals, 'refusal')}" if session.tally.refusals else pace


def _now() -> float:
    return asyncio.get_running_loop().time()
