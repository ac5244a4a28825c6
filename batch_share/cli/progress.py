"""What a person sees while calls are made: how far the work is, what it waits for, and how long it takes if known.

A terminal has a live view; in a file or a pipe there is a line now and then, when it says something new, with
`--json` an object.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from batch_share.cli.screen import STYLES
from batch_share.common import plural
from batch_share.ledger.states import State
from batch_share.results.wording import lasting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from rich.console import Console

    from batch_share.sending.onlookers import Progress

REFRESH_SECONDS: Final = 0.5
"""Of the live view while calls leave, 5 a second: nobody reads faster."""

LOOK_SECONDS: Final = 1.0
"""How often it is looked whether there is something to be said, while all that changes is a count of seconds."""

LINE_SECONDS: Final = 15.0
"""Between two lines, at least, if the second says something new: some 75 calls later."""

SAME_LINE_SECONDS: Final = 300.0
"""Between two lines that say the same: whoever looks sees that it is still running, and a night fills no log."""

LONG: Final = 60.0
"""Seconds of calls that are worth telling beside requests that take an unknown time."""

BAR_WIDTH: Final = 40


@asynccontextmanager
async def shown(
    progress: Callable[[], Progress], console: Console, *, waits_only: bool = False, as_json: bool = False
) -> AsyncIterator[None]:
    """Show progress until the body is over: a live view on a terminal, else a plain line now and then.

    With `waits_only` there are no lines but of waits that are worth telling.
    """
    if waits_only or not console.is_terminal:
        lines = Lines(progress, waits_only, spell=json_line if as_json else status_line)

        def say() -> float:
            if line := lines.next():
                console.print(line, soft_wrap=True, markup=False, highlight=False)
            return LOOK_SECONDS

        async with _again(say):
            yield
        return
    drawn: str | None = ""
    calls = 0

    def draw() -> float:
        nonlocal drawn, calls
        # The line says all that the view shows, and is made in a tenth of the time that a view is drawn in: while
        # a run waits for minutes, it would do nothing else.
        seen = progress()
        if (line := status_line(seen)) != drawn:
            drawn = line
            live.update(view(seen, console), refresh=True)
        before, calls = calls, seen.calls
        return REFRESH_SECONDS if calls > before else LOOK_SECONDS

    with Live(console=console, auto_refresh=False, transient=True) as live:
        async with _again(draw):
            yield


@asynccontextmanager
async def _again(each: Callable[[], float]) -> AsyncIterator[None]:
    """Call it again and again while the body runs, each time after so many seconds as it said."""

    async def go_on() -> None:
        while True:
            seconds = each()
            await asyncio.sleep(seconds)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@dataclass(slots=True)
class Lines:
    """The lines of a log: one that says something new now and then; at once that LeadSquared can't be reached, or
    has asked for a long wait, unless `waits_only` the latter alone.
    """

    progress: Callable[[], Progress]
    waits_only: bool = False
    said_at: float = float("-inf")
    said: object = None
    reported_outage: bool = False
    reported_until: float = float("-inf")
    spell: Callable[[Progress], str | None] = field(kw_only=True)

    def next(self) -> str | None:
        """The line to be said now, None if there is none."""
        now, progress = asyncio.get_running_loop().time(), self.progress()
        # While it only waits, neither the calls that ask in vain nor the time that is left make a line a new one.
        awaited, outage = progress.awaited, progress.outage is not None
        goes_on = (
            (awaited.requests,) if awaited is not None else (progress.calls, progress.looked_up, _left(progress))
        )
        news = (progress.phase, progress.states, progress.refusals, progress.stopping, progress.outage, goes_on)
        distance = SAME_LINE_SECONDS if news == self.said else LINE_SECONDS
        is_due = outage is not self.reported_outage or now - self.said_at >= distance
        held = progress.held  # a wait that is worth telling at once
        long_until = now + _until(held.until) if held is not None and held.is_long else float("-inf")
        # Calls that were under way together are refused one after the other: one line is enough for them.
        if long_until <= self.reported_until + LINE_SECONDS and (self.waits_only or not is_due):
            return None
        line = self.spell(progress)
        if line is not None:
            self.said_at, self.said, self.reported_outage = now, news, outage
            self.reported_until = max(self.reported_until, long_until)
        return line


def view(progress: Progress, console: Console) -> Text:
    """The live view: a bar over all rows, the counts by state, the pace, and what it waits for.

    All in one text: a table of them, which a terminal shows alike, takes twice the time to draw.
    """
    if not _is_shown(progress):
        return Text()
    total, done = max(sum(progress.states.values()), 1), progress.done
    if progress.is_looking_up and progress.looked_up is not None:
        done, total = progress.looked_up
    phase, left = _phase(progress), _left(progress)
    width = max(1, min(BAR_WIDTH, console.width - len(phase) - len(left) - 2))
    drawn = console.render(ProgressBar(total, done, width=width))
    bar = Text.assemble(*((part.text, part.style or "") for part in drawn))
    bar.truncate(width, pad=True)  # without colours, what is not done is not drawn
    shown = Text.assemble(f"{phase} ", bar, f" {left}\n")
    counts = (Text(f"{state} {count:,}", STYLES.get(state, "")) for state, count in _counts(progress).items())
    shown.append_text(Text("  ").join(counts)).append(f"\n{_pace(progress)}", "dim")
    if said := _said(progress):
        shown.append(f"\n{said}", "bold yellow" if progress.outage else "")
    return shown


def status_line(progress: Progress) -> str | None:
    """The same on one line, for a log; None while there is nothing to tell."""
    if not _is_shown(progress):
        return None
    counts = ", ".join(f"{state} {count}" for state, count in _counts(progress).items())
    parts = (counts, _pace(progress), _left(progress), _said(progress))
    return f"{_phase(progress)}: {' | '.join(filter(None, parts))}"


def json_line(progress: Progress) -> str | None:
    """The same as one object, for a program: `InProgress` of cli/printed.py."""
    if not _is_shown(progress):
        return None
    going = {
        "phase": progress.phase,
        "states": _counts(progress),
        "done": round(progress.done, 2),
        "calls": progress.calls,
        "refusals": progress.refusals,
        "seconds_left": None if progress.eta is None else round(progress.eta),
        "waits": _said(progress),
    }
    return json.dumps({"progress": going})


def _phase(progress: Progress) -> str:
    if not progress.is_looking_up or progress.looked_up is None:
        return progress.phase
    done, of_all = progress.looked_up
    return f"looking up {done:,} of {of_all:,} leads and users"


def _is_shown(progress: Progress) -> bool:
    """Whether anything was done, or is left to be: a run that finds all rows done has no progress to show."""
    return progress.has_begun or bool(_left(progress) or _said(progress))


def _counts(progress: Progress) -> dict[State, int]:
    return {state: progress.states[state] for state in State if state in progress.states}


def _left(progress: Progress) -> str:
    """How long the calls take that are left; nothing where they are not all that it takes, or none goes now."""
    awaited, held, seconds = progress.awaited, progress.held, progress.at_least
    if not seconds or progress.outage is not None or (held is not None and not held.bulk):
        return ""
    if awaited is not None and (awaited.again is not None or seconds < LONG):
        return ""
    return f"{'at least' if progress.eta is None else 'about'} {lasting(seconds)} left"


def _said(progress: Progress) -> str:
    """Why it takes longer than calls do, if it does."""
    if progress.stopping:
        return "finishing what is under way; press Ctrl-C again to cut it off"
    if (outage := progress.outage) is not None:
        return f"LeadSquared: {outage.words}; retrying, {outage.tries + 1} of {outage.most}"
    if (held := progress.held) is not None:
        waiting = "bulk calls wait" if held.bulk else "waiting"
        why = "LeadSquared asked for it" if held.asked else "LeadSquared refused a call as one too many"
        return f"{waiting} until {_clock(held.until, '%H:%M:%S')}: {why}"
    if (awaited := progress.awaited) is None:
        return "waiting for LeadSquared to answer" if progress.unanswered else ""
    again = lasting(max(0.0, _until(awaited.again))) if awaited.again is not None else None
    if not awaited.requests:
        last = lasting(max(0.0, _until(awaited.until)))
        return f"the next look is in {again}, the last in {last}" if again is not None else ""
    are = "is" if awaited.requests == 1 else "are"
    asked = f"asked again in {again}" if again is not None else "being asked again"
    until = _clock(max(awaited.until, datetime.now(UTC)))
    return f"{plural(awaited.requests, 'request')} {are} still being processed; {asked}, until {until} at most"


def _until(moment: datetime) -> float:
    """Seconds from now."""
    return (moment - datetime.now(UTC)).total_seconds()


def _clock(moment: datetime, clock: str = "%H:%M") -> str:
    """The local time, with its date if that is not today's."""
    today, then = datetime.now().astimezone(), moment.astimezone()
    return then.strftime(clock if then.date() == today.date() else f"%Y-%m-%d {clock}")


def _pace(progress: Progress) -> str:
    allowed = progress.allowed_per_second or 0
    pace = f"{plural(progress.calls, 'call')}, {progress.calls_per_second:.1f}/s of {allowed:g}/s"
    return f"{pace}, {plural(progress.refusals, 'refusal')}" if progress.refusals else pace
