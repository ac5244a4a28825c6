"""How things stand, in sentences for people who have no terminal: no commands, and no places of files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from batch_share import State
from batch_share.common import parse_duration, plural, spell_rows
from batch_share.errors import first_of
from batch_share.results.wording import (
    CUT_OFF,
    DECLINED,
    DONE,
    INTERRUPTED,
    NOT_BEGUN,
    NOTHING_PROVED,
    RENEWED,
    STOPPED,
    audits_all,
    end_in_short,
    reason_of,
    spell_ranges,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from batch_share import KnownRun, KnownShare, Overview, Progress, Summary
    from batch_share.page.desk import Desk

PARTS: Final = (
    ("shared", "good", (State.SHARED, State.ENDED)),
    ("revoked", "other", (State.REVOKED,)),
    ("accepted", "way", (State.ACCEPTED, State.ENDING)),
    ("posted", "todo", (State.POSTED, State.SHARING)),
    ("failed or unknown", "bad", (State.FAILED, State.UNKNOWN)),
    ("not sent: wrong in the sheet, or skipped", "quiet", (State.INVALID, State.SKIPPED)),
    ("not begun", "rest", (State.PENDING, State.POSTING)),
    ("still to be revoked", "todo", (State.TO_REVOKE, State.REVOKING)),
)
"""The parts of the bar: what each is called, the class of its colour, and the states that are in it."""


_COLUMNS: Final = 12
"""Headers that are named: more are a list that nobody reads."""

_A_FEW: Final = 10.0
"""Seconds below which an answer that takes its time is most of what it takes, and not the pace of the calls."""


class Part(NamedTuple):
    """A part of a bar of 100: how many rows are in it, where it begins and how long it is."""

    name: str
    colour: str
    rows: int
    x: float
    width: float


class Button(NamedTuple):
    """Something that can be done next: the deed, what the button says, and what that does."""

    deed: str
    label: str
    what: str


def parts(states: Mapping[State, int]) -> list[Part]:
    """The bar of rows in these states."""
    total, x, found = max(1, sum(states.values())), 0.0, []
    for name, colour, members in PARTS:
        if rows := sum(states.get(state, 0) for state in members):
            width = 100 * rows / total
            found.append(Part(name, colour, rows, round(x, 3), round(width, 3)))
            x += width
    return found


def clock(at: datetime) -> str:
    """A time of day on this machine's clock, with the day if it is another."""
    there, now = at.astimezone(), datetime.now().astimezone()
    return f"{there:%H:%M}" if there.date() == now.date() else f"{there:%Y-%m-%d %H:%M}"


def lasting(seconds: float) -> str:
    """About how long, in words."""
    if seconds < 90:
        return plural(max(1, round(seconds)), "second")
    return plural(round(seconds / 60), "minute") if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def ends_in(seconds: float) -> str:
    """How long it takes, and when it ends then."""
    if seconds < _A_FEW:
        return "a few seconds"
    return f"about {lasting(seconds)}, until {clock(datetime.now(UTC) + timedelta(seconds=seconds))}"


def waits(progress: Progress, ahead: str = "") -> list[str]:
    """What keeps it just now, most pressing first; empty where nothing does.

    The account, if it waits for that, is used for the sheet `ahead`, as far as the page knows.
    """
    said = []
    if progress.stopping:
        said.append("Stopping: calls under way are finished and noted.")
    if (holder := progress.waiting_for) is not None:
        whose = "which is among the runs" if not holder.host else f"by {holder.host}"
        which = f"“{ahead}”, which has the same account" if ahead else f"another run of the same account, {whose}"
        said.append(f"Waiting for {which}; then this goes on.")
    if (outage := progress.outage) is not None:
        why = outage.words.rstrip(".")
        said.append(f"LeadSquared can't be reached: {why}. It was tried {outage.tries} of {outage.most} times.")
    if (held := progress.held) is not None:
        why = "asked for a pause" if held.asked else "refused calls as too many"
        said.append(
            f"LeadSquared {why}. The next {'bulk call' if held.bulk else 'one'} goes at {clock(held.until)}."
        )
    if (awaited := progress.awaited) is not None:
        again = f"It is asked again at {clock(awaited.again)}" if awaited.again else "It is being asked again now"
        what = (
            f"{plural(awaited.requests, 'share')} still being processed by LeadSquared."
            if awaited.requests
            else ("Waiting before it is looked up once more what nobody knows.")
        )
        said.append(f"{what} {again}, and for the last time at {clock(awaited.until)}.")
    if progress.unanswered and not said:
        said.append("Waiting for LeadSquared to answer.")
    return said


def left(progress: Progress) -> str:
    """How long it still takes, as far as anybody knows; "" for what ends with the calls under way."""
    if progress.stopping:
        return ""
    if progress.eta is not None:
        return f"Time left: {ends_in(progress.eta)}."
    if progress.at_least:
        return f"Time left: at least {lasting(progress.at_least)}."
    return "Time left: nobody knows yet."


def percent(progress: Progress) -> int:
    """How much of it is done."""
    if progress.is_looking_up and progress.looked_up:
        return round(100 * progress.looked_up[0] / max(1, progress.looked_up[1]))
    return min(100, int(100 * progress.done / max(1, sum(progress.states.values()))))


def promise(plan: Overview) -> str:
    """What a run of it does, in a sentence."""
    if not (plan.to_send or plan.claiming):
        return "Nothing will be sent."
    said = [f"{plural(plan.to_send, 'lead')} will be shared with {plural(len(plan.users), 'person', 'people')}"]
    if plan.waiting.rows:
        said.append(f"{plan.waiting.rows:,} of them only once their start has come")
    if plan.earlier:
        said.append(f"{plural(plan.earlier, 'earlier share')} will be revoked")
    renewed = RENEWED.format(shares="1 share is" if plan.renewed == 1 else f"{plan.renewed:,} shares are")
    return f"{', '.join(said)}.{f' {renewed}.' if plan.renewed else ''}"


def posted(plan: Overview) -> str:
    """With which types of activity leads are shared now, each by its name and code; "" for none."""
    called = ((code, plan.directory.type_name(code)) for code in sorted(plan.events))
    named = [f"“{name}” ({code})" if name else str(code) for code, name in called]
    return f"Posted on each lead: activity {first_of(named)}." if named else ""


def columns_read(plan: Overview) -> list[str]:
    """Which columns are read as what, and which are not."""
    read = [
        header if header == name else f"{header} as {name}" for header, name in (plan.record.mapping or {}).items()
    ]
    ignored = [header for header in plan.ignored if header]
    of_both = (("Columns read", read), ("Kept but not read", ignored))
    return [f"{what}: {first_of(headers, _COLUMNS)}." for what, headers in of_both if headers]


def not_sent(plan: Overview) -> list[str]:
    """What becomes of all other rows."""
    names = {
        "invalid": "Can't be sent, for the mistakes below",
        "repeats": "Skipped, as they repeat another row",
        "held": "Skipped, as another run has the same lead and user under way",
        "already_shared": "Skipped, as they are shared already",
        "sent_before": "Sent before",
        "left_out": "Left out",
        "revoking": "Only to be revoked",
    }
    return [f"{names[part]}: {plural(rows, 'row')}" for part, rows in plan.parts.items() if rows and part in names]


def before_it_runs(desk: Desk | None) -> str:
    """The state of a sheet that was not sent, in a few words."""
    if desk is not None and desk.is_planning:
        return "looking up leads and users"
    return "waiting for your approval" if desk is not None and desk.plan is not None else "not sent"


def how_it_stands(run: KnownRun, *, goes_on: bool, waits: bool, ahead: str = "") -> tuple[str, str]:
    """The state of a run in a word or two, and the class of its colour."""
    if goes_on:
        return f"waiting for {ahead or 'another run of the account'}" if waits else "going on", "way"
    if is_cut_off(run):
        return "interrupted", "doubt"
    counts = {State(state): rows for state, rows in (run.counts or {}).items()}
    troubled = sum(counts.get(state, 0) for state in (State.FAILED, State.UNKNOWN, State.INVALID))
    ended = end_in_short(run.ended or "")
    if ended == DECLINED:
        return NOT_BEGUN, "other"
    if ended != DONE:
        return "stopped", "doubt"
    return ("done, with rows to look at", "wrong") if troubled else ("done", "good")


_DEEDS: Final = {
    "run": "shared",
    "resume": "gone on with",
    "retry": "failed rows tried again",
    "revoke": "revoked",
    "follow-up": "asked again",
    "resume --only-unknown": "unknown rows settled",
    "status --audit": "activities checked",
}


def deed_of(command: str) -> str:
    """What a run did, by the command that it stands for."""
    return _DEEDS.get(command, command)


def audited(summary: Summary) -> str:
    """What the last look at a ledger's activities came to, in a sentence; "" if there was none."""
    if (audit := summary.audit) is None:
        return ""
    activities = plural(audit["expected"], "activity", "activities")
    if audit["verdict"] == "proved" and not audit["expected"]:
        return NOTHING_PROVED
    if audit["verdict"] == "proved":
        whose = "" if audits_all(summary) else " by the last run"
        when = f" at {clock(datetime.fromisoformat(audit['at']))}" if audit.get("at") else ""
        return f"Proved{when}: of {activities} posted{whose}, LeadSquared has each once."
    if found := audit["found"]:
        return f"{plural(found, 'row has', 'rows have')} activities in LeadSquared that should not be there."
    why = "; ".join(text.rstrip(".") for text in audit["unread"].values())
    said = f"Not proved yet: LeadSquared showed {audit['seen']:,} of {activities}{f' ({why})' if why else ''}."
    again = f" Check again after {clock(datetime.fromisoformat(audit['again']))}." if audit["again"] else ""
    return f"{said}{again}"


def is_cut_off(run: KnownRun) -> bool:
    """Whether a run that does not go on came to no end of its own."""
    return run.ended_at is None or run.ended == CUT_OFF


def spell_counts(counts: Mapping[State, int] | Mapping[str, int]) -> str:
    """How many rows are in which state."""
    return ", ".join(f"{rows:,} {str(state).replace('_', ' ')}" for state, rows in counts.items() if rows)


def buttons(summary: Summary, helped: int, *, interrupted: bool) -> list[Button]:
    """What can be done next, most urgent first. Of failed rows another try may help so many."""
    states, found = summary.states, []
    count = {state: states.get(state, 0) + summary.earlier.get(state, 0) for state in State}
    to_send = sum(count[each] for each in (State.PENDING, State.POSTING, State.POSTED, State.SHARING))
    if (to_send := to_send - summary.waiting.rows) or interrupted:
        rows = f" with {plural(to_send, 'row')}" if to_send > 0 else ""
        found.append(Button("resume", f"Go on{rows}", "Goes on where it stopped; nothing is sent twice."))
    if unknown := count[State.UNKNOWN] - summary.lost:
        what = "Looks up whether they arrived, and sends again only what never did."
        found.append(Button("settle", f"Settle {plural(unknown, 'unknown row')}", what))
    if helped:
        what = "Tries again what can succeed, each row from the step that failed."
        found.append(Button("retry", f"Retry {plural(helped, 'failed row')}", what))
    if accepted := count[State.ACCEPTED] + count[State.ENDING]:
        what = "LeadSquared took them and has not said yet that they were processed."
        found.append(Button("ask", f"Ask again about {plural(accepted, 'row')}", what))
    if (failed := count[State.FAILED]) > helped:
        what = "Those too that LeadSquared is to refuse again, unless what the reason names was changed there."
        found.append(Button("retry-all", f"Retry all of {plural(failed, 'failed row')}", what))
    return found


def begun_with(summary: Summary) -> dict[str, Any]:
    """How many shares are still to be revoked, or perhaps, and what chooses them where shares are revoked."""
    of_all = (summary.states, summary.earlier)
    begun = summary.lost + sum(each.get(state, 0) for each in of_all for state in (State.TO_REVOKE, State.REVOKING))
    rows = spell_ranges(summary.unrevoked)
    return {"shares": begun, "which": f"which=rows&rows={rows}" if rows else "which=all"}


def skipped(summary: Summary) -> list[str]:
    """Which rows were skipped, and why: for the reasons of most of them, as more would hide what is to be done."""
    found = ((each, reason_of(each.row, says_row=False, place_free=True)) for each in summary.skipped[:3])
    return [
        f"Skipped {spell_rows(each.first, each.rows)}"
        # Each may have its own place where it was shared before.
        f"{'' if each.is_same else f', for example row {each.row.sheet_row}'}: {why or 'other reasons'}."
        for each, why in found
    ]


class Field(NamedTuple):
    """A field to correct a cell in: its number on the page, the row and column, and what the cell says."""

    number: int
    row: str
    column: str
    says: str


def fields(cells: Iterable[tuple[str, str, str]]) -> dict[str, list[Field]]:
    """By row, a field for each cell that is wrong, once, of rows, columns and what these say."""
    found = dict[str, list[Field]]()
    for number, (row, column, says) in enumerate(dict.fromkeys(cells)):
        if column:
            found.setdefault(row, []).append(Field(number, row, column, says))
    return found


def stands(summary: Summary) -> int:
    """How many rows have shares that may be live, so that there is something to revoke."""
    states = (State.SHARED, State.ACCEPTED, State.UNKNOWN, State.TO_REVOKE)
    return sum(each.get(state, 0) for each in (summary.states, summary.earlier) for state in states)


SOON: Final = "7d"
"""What ends within this time ends soon."""


class Person(NamedTuple):
    """Somebody with access to so many leads: how many shares are to write, how many end soon, and when."""

    user_id: str
    name: str
    email: str
    leads: int
    writes: int
    soon: int
    first: datetime
    last: datetime


def people(shares: Sequence[KnownShare]) -> list[Person]:
    """Who has these shares, who has most leads first."""
    of: dict[str, list[KnownShare]] = {}
    for each in shares:
        of.setdefault(each.user_id, []).append(each)
    soon = datetime.now(UTC).replace(tzinfo=None) + timedelta(minutes=parse_duration(SOON))
    found = [
        Person(
            user_id,
            next((each.user_name for each in own if each.user_name), ""),
            next((each.user_email for each in own if each.user_email), ""),
            len({each.lead_id for each in own}),
            sum(each.access == "write" for each in own),
            sum(each.ends_at <= soon for each in own),
            min(each.ends_at for each in own),
            max(each.ends_at for each in own),
        )
        for user_id, own in of.items()
    ]
    return sorted(found, key=lambda each: (-each.leads, each.name or each.email or each.user_id))


def access_of(share: KnownShare) -> str:
    """What may be done by a share; that it may not stand where nobody knows."""
    return share.access or "not known whether it stands"


def how_it_ended(run: KnownRun) -> str:
    """What is to be said of the end itself, as it was noted; "" where the counts say all."""
    if run.ended in {STOPPED, INTERRUPTED}:
        return "It was stopped: rows that were not sent yet wait for you to go on."
    # What was noted of an error may name commands and places of files.
    return (
        ""
        if run.ended is None or end_in_short(run.ended) in {DONE, DECLINED, CUT_OFF}
        else "It ended before it was done: the report says why."
    )


UNSETTLED: Final = (
    State.PENDING, State.POSTING, State.POSTED, State.SHARING, State.ACCEPTED, State.UNKNOWN, State.TO_REVOKE,
    State.REVOKING, State.ENDING,
)  # fmt: skip
"""Of a run that was interrupted, what is left to be done."""


def utc(noted: datetime) -> datetime:
    """A time that a ledger noted, on this machine's clock."""
    return noted.replace(tzinfo=UTC).astimezone()


def utc_text(noted: str) -> datetime:
    """The same of one that is written down."""
    return utc(datetime.fromisoformat(noted))


def title(progress: Progress, name: str) -> str:
    """What the browser's tab says: how far it is comes first, for there it is cut."""
    return f"{percent(progress)} % · {name}"


def spoken(progress: Progress) -> str:
    """What a screen reader says now and then."""
    return " ".join([phase(progress), f"{percent(progress)} percent.", *waits(progress)])


def phase(progress: Progress) -> str:
    """What is being done."""
    said = f"{progress.phase[:1].upper()}{progress.phase[1:]}"
    if progress.looked_up and progress.is_looking_up:
        said += f": {progress.looked_up[0]:,} of {progress.looked_up[1]:,}"
    return f"{said}."
