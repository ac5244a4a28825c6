"""The words for people: what a state means, why a row is where it is, and what is to be done next.

The totals of a ledger, of which they tell, stand at the end, with the exit code that these mean.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import IntEnum
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batch_share.common import ON_PAGE, ROWS_NAMED, Cause, Correction, plural, spell_length, spell_rows, spell_time
from batch_share.errors import (
    AccessDenied,
    AccountClosed,
    BatchShareError,
    CanaryFailed,
    DailyLimitReached,
    HistoryError,
    LedgerError,
    NoSuchApi,
    NotAnswered,
    NotConfirmed,
    OfAnotherSheet,
    OwnerNotVerified,
    PlanChanged,
    ScheduleMissed,
    SettingsError,
    SheetError,
    StillThrottled,
    TooManyFailures,
    TooManyForUser,
    TooManyRevokes,
    TooManyRows,
    Unreachable,
    sentence,
)
from batch_share.leadsquared.guesses import HOPELESS
from batch_share.ledger.records import (
    NONE_ENDING,
    NONE_WAITING,
    OLD_WORDS,
    EndingSoon,
    NewRow,
    Row,
    Waiting,
    why_of,
)
from batch_share.ledger.states import (
    ARE_SHARED,
    AT_REST,
    BEING_REVOKED,
    ON_ITS_WAY,
    PROCESSING,
    TROUBLED,
    Stage,
    State,
    rows_in,
)
from batch_share.settings import ENOUGH
from batch_share.sheet.rows import Problem, shortened

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import tzinfo

    from batch_share.common import Holder
    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.records import Alike, Result, RunRecord, Share, Why
    from batch_share.settings import Settings

CUT_OFF: Final = "cut off"
NO_USER: Final = "(user not found, or not looked up)"
"""In place of a user: for rows that name one in vain, and those that were wrong before anybody was looked up."""

OPEN: Final = "still running, or cut off"

MEANING: Final = {
    State.PENDING: "not yet sent",
    State.POSTING: "posting its activity, or cut off while doing so: the next run looks it up",
    State.POSTED: "activity posted, not yet shared",
    State.SHARING: "sharing, or cut off while doing so: the next run shares again in the same activity",
    State.ACCEPTED: "accepted by LeadSquared, processing not yet confirmed",
    State.SHARED: "LeadSquared confirms that the share was processed",
    State.ENDED: "the share has ended",
    State.INVALID: "can't be sent: something is wrong in the sheet",
    State.SKIPPED: "not sent, for the reasons below",
    State.FAILED: "refused by LeadSquared",
    State.UNKNOWN: "may have arrived: looked up before anything is sent",
    State.TO_REVOKE: "its share is still to be revoked",
    State.REVOKING: "revoking its share, or cut off while doing so: `batch-share revoke` revokes it again",
    State.ENDING: "LeadSquared accepted the revocation, processing not yet confirmed",
    State.REVOKED: "LeadSquared confirms that the share was revoked",
}


def spell_ending(ending: EndingSoon) -> str:
    """How many shares end soon, in one sentence; "" for none."""
    if not ending.shares or ending.first is None:
        return ""
    end = "end" if ending.shares > 1 else "ends"
    first = "the first " if ending.shares > 1 else ""
    return (
        f"{plural(ending.shares, 'share')} {end} within the next {ending.days} days, {first}on "
        f"{spell_time(ending.first)}."
    )


def how_it_ended(run: RunRecord, *, is_last: bool) -> str:
    """How a run ended; one that did not say so was cut off if others came after it: only one works at a time."""
    return run.ended or (OPEN if is_last else CUT_OFF)


NOT_ASKED: Final = (
    "the sheet no longer has this row, or the row now asks for another activity type, lead, user or access"
)
"""A row is known by what it asks for, so one that asks for something else is another one."""

_LOOK: Final = "Check the lead in LeadSquared"
"""What a person does where LeadSquared itself does not say what became of a share."""

_FOUND_OUT: Final = (
    "The next run or `batch-share resume --only-unknown` looks it up before it sends again (never with "
    "--on-unknown park)"
)
_REVOKED_AGAIN: Final = "`batch-share revoke` revokes it again, which does no harm"
HOW_TO_ADD: Final = "`batch-share runs --add LEDGER` adds a ledger from elsewhere"

_HELD: Final = (
    "held by run {run} of {sheet}, which has the same lead and user under way: `batch-share resume {run}` finishes "
    "it, `batch-share runs --forget {run}` gives it up"
)
_NOT_KNOWN: Final = "it is unknown whether the activity was posted: "

_REASONS: Final[Mapping[Cause | tuple[Cause, State | Stage | None], str]] = {
    Cause.LEFT_OUT: "left out by {by}",
    Cause.REPEAT: "the same lead, user, access and activity as row {row}",
    Cause.CONTRADICTED: "row {row} says {says} for the same lead, {how}: keep only the one you mean",
    Cause.UNCHECKED: "its Ids could not be checked ({said}): --trust-ids uses them as they are",
    Cause.ALREADY_SHARED: "already shared with this user until {until} by {sheet} row {row} (run Id {run})",
    (Cause.ALREADY_SHARED, State.FAILED): (
        "its activity was posted, but it was not shared: {sheet} row {row} (run Id {run}) shares it with this user "
        "until {until}"
    ),
    Cause.HELD: _HELD,
    (Cause.HELD, State.FAILED): f"its activity was posted, but it was not shared: {_HELD}",
    (Cause.GONE, State.SKIPPED): f"{NOT_ASKED}; nothing was sent for it",
    (Cause.GONE, State.FAILED): f"{NOT_ASKED}: its activity was posted, the lead was not shared",
    (Cause.GONE, State.UNKNOWN): (
        f"{NOT_ASKED}: its activity was posted, but it is unknown whether the lead was shared"
    ),
    Cause.REVOKING_EARLIER: "being revoked first: {of}",
    Cause.EARLIER_REVOKED: "revoked: {of}",
    Cause.EARLIER_NOT_REVOKED: "not all earlier shares could be revoked{then}: {left}",
    Cause.NOTHING_KNOWN: (f"this machine's ledgers know of no share of this lead with this user; {HOW_TO_ADD}"),
    (Cause.REFUSED, Stage.ACTIVITY): "LeadSquared refused the activity: {said}",
    (Cause.REFUSED, Stage.SHARE): "LeadSquared refused the share: {said}",
    (Cause.REFUSED, Stage.REVOKE): "LeadSquared refused to revoke it: {said}",
    (Cause.NOT_PROCESSED, Stage.PROCESSING): "LeadSquared accepted the share but could not process it: {said}",
    (Cause.NOT_PROCESSED, Stage.SHARE): (
        "the shares in its call could not be processed, so each is shared again on its own: {said}"
    ),
    (Cause.NOT_PROCESSED, Stage.REVOKE): (
        "LeadSquared could not process the revocation (request Id {request}): {said}"
    ),
    (Cause.WAITING, State.ACCEPTED): "accepted, not yet processed ({status})",
    (Cause.WAITING, State.ENDING): "being revoked (request Id {request}), not yet processed ({status})",
    (Cause.STATUS_UNREAD, State.ACCEPTED): "accepted; its status could not be read: {read}",
    (Cause.STATUS_UNREAD, State.ENDING): (
        "being revoked (request Id {request}); its status could not be read: {read}"
    ),
    (Cause.STATUS_REFUSED, State.ACCEPTED): f"accepted; its status could not be read: {{read}}. {_LOOK}",
    (Cause.STATUS_REFUSED, State.ENDING): (
        f"being revoked (request Id {{request}}); its status could not be read: {{read}}. {_LOOK}"
    ),
    Cause.REVOKED: "the share was revoked (request Id {request})",
    Cause.TOO_LATE: "its end, {until}, has passed",
    Cause.NO_ADDRESS: (
        "nothing was sent: its user has no e-mail address of their own, by which a bulk call names the owner, and "
        "an activity posted on its own does not get its user as owner here"
    ),
    Cause.ANOTHERS: ("activity {activity} was posted, but its owner is {owner}, not this row's user: not shared"),
    (Cause.LOST, Stage.ACTIVITY): f"{_NOT_KNOWN}{{said}}",
    (Cause.LOST, Stage.SHARE): "it is unknown whether the share was accepted: {said}",
    (Cause.LOST, Stage.REVOKE): "it is unknown whether the share was revoked: {said}",
    Cause.CUT_OFF: "the program was cut off during this call, which may or may not have arrived",
    Cause.RECOVERED: "its ledger does not know what was sent for it: looked up before anything is sent",
    (Cause.PERHAPS_REVOKED, State.REVOKED): "as far as is known here, a newer copy of the ledger has revoked it",
    Cause.PERHAPS_REVOKED: (
        "its activity exists, but as far as is known here its lead is not shared: a newer copy of the ledger has "
        "revoked shares. `batch-share retry` shares it again"
    ),
    Cause.REPEATED: "its share may already have been made: it is repeated in the same activity",
    Cause.UNREAD: f"{_NOT_KNOWN}the lead's activities could not be read: {{said}}",
    Cause.UNSHOWN: (
        f"{_NOT_KNOWN}no activity of this type was ever seen with its marker, so not finding it proves nothing: "
        "check the lead in LeadSquared, or take it for not posted with --trust-marker"
    ),
    Cause.PARKED: f"{_NOT_KNOWN}it was not found in two looks, and --on-unknown park posts nothing again",
    Cause.SENT_AGAIN: f"{_NOT_KNOWN}it was posted again and again, and never found",
}
"""Why a row is where it is: by its cause, where that says different things with its state, or else its step."""

_REFUSALS: Final = frozenset({Cause.REFUSED, Cause.NOT_PROCESSED, Cause.TOO_LATE})
_DOUBTS: Final = {
    (State.FAILED, Stage.REVOKE): "the share still stands: ",
    (State.UNKNOWN, Stage.SHARE): "it is unknown whether the share was accepted before, and it can't be repeated: ",
    (State.UNKNOWN, Stage.REVOKE): "it is unknown whether the share still stands, and ",
}
"""What stands before a refusal, which says nothing of the share that may have been made before."""

_LOOKS_AGAIN: Final = "The next run looks again"
_THEN: Final[Mapping[tuple[Cause, Stage | None], str]] = {
    (Cause.LOST, Stage.ACTIVITY): _FOUND_OUT,
    (Cause.LOST, Stage.SHARE): _FOUND_OUT,
    (Cause.LOST, Stage.REVOKE): _REVOKED_AGAIN,
    (Cause.UNREAD, Stage.ACTIVITY): _LOOKS_AGAIN,
    (Cause.UNSHOWN, Stage.ACTIVITY): _LOOKS_AGAIN,
    (Cause.SENT_AGAIN, Stage.ACTIVITY): _LOOKS_AGAIN,
    (Cause.PARKED, Stage.ACTIVITY): (
        "`batch-share resume --only-unknown` with --on-unknown settle looks again, and posts it if it is missing"
    ),
    (Cause.REFUSED, Stage.REVOKE): _LOOK,
    (Cause.NOT_PROCESSED, Stage.REVOKE): _LOOK,
}
"""What becomes of an unknown row, or what a person does about it."""


_PLACE_FREE: Final[Mapping[Cause | tuple[Cause, State | Stage | None], str]] = {
    Cause.UNCHECKED: "its Ids could not be checked ({said})",
    Cause.HELD: "held by a run of {sheet}, which has the same lead and user under way",
    (Cause.HELD, State.FAILED): (
        "its activity was posted, but it was not shared: a run of {sheet} has the same lead and user under way"
    ),
    Cause.NOTHING_KNOWN: "this machine's ledgers know of no share of this lead with this user",
    Cause.PERHAPS_REVOKED: (
        "its activity exists, but as far as is known here its lead is not shared: a newer copy of the ledger has "
        "revoked shares. To retry it shares it again"
    ),
    Cause.UNSHOWN: (
        f"{_NOT_KNOWN}no activity of this type was ever seen with its marker, so not finding it proves nothing: "
        "check the lead in LeadSquared"
    ),
    Cause.PARKED: f"{_NOT_KNOWN}it was not found in two looks, and it was set that nothing is posted again",
}
_THEN_PLACE_FREE: Final[Mapping[tuple[Cause, Stage | None], str]] = {
    (Cause.LOST, Stage.ACTIVITY): "Whoever goes on looks it up before it is sent again",
    (Cause.LOST, Stage.SHARE): "Whoever goes on looks it up before it is sent again",
    (Cause.LOST, Stage.REVOKE): "To revoke it again does no harm",
    (Cause.PARKED, Stage.ACTIVITY): "To settle it looks again",
}
_MEANING_PLACE_FREE: Final = {
    State.REVOKING: "revoking its share, or cut off while doing so: it can be revoked again"
}
"""The same three where people have no terminal: without commands and options."""


def spell(
    state: State,
    stage: Stage | None,
    why: Why | None,
    sheet_row: int | None = None,
    *,
    says_cell: bool = True,
    place_free: bool = False,
) -> str:
    """Why a row is where it is, in words, with what follows from it; "" where nothing is to be said.

    With `sheet_row`, what is wrong in the sheet says in which row; without `says_cell`, not what the cell says. If
    `place_free`, no commands are named.
    """
    if why is None:
        return ""
    cause, details = why.cause, why.details
    if OLD_WORDS in details:
        return str(details[OLD_WORDS])
    thens = {**_THEN, **_THEN_PLACE_FREE} if place_free else _THEN
    then = thens.get((cause, stage)) if state is State.UNKNOWN else None
    if "problems" in details:
        cells = ((column, says if says_cell else "", text) for column, says, text in details["problems"])
        problems = (Problem(sheet_row or 0, *each) for each in cells)
        reported = "; ".join(str(each) if sheet_row is not None else each.said for each in problems)
    else:
        keys: tuple[Cause | tuple[Cause, State | Stage | None], ...] = ((cause, state), (cause, stage), cause)
        reasons = {**_REASONS, **_PLACE_FREE} if place_free else _REASONS
        reason = next((reasons[key] for key in keys if key in reasons), str(cause).replace("_", " "))
        row = f"Row {sheet_row}: " if sheet_row is not None and state is State.INVALID else ""
        doubt = _DOUBTS.get((state, stage), "") if stage and cause in _REFUSALS else ""
        reported = row + doubt + reason.format_map(_shown(cause, details, place_free=place_free))
    return f"{sentence(reported)} {then}" if then else reported


def _shown(cause: Cause, details: Mapping[str, Any], *, place_free: bool) -> dict[str, Any]:
    """The details as a sentence has them."""
    shown = dict(details)
    if "until" in details:
        shown["until"] = spell_time(datetime.fromisoformat(details["until"]))
    match cause:
        case Cause.REVOKING_EARLIER | Cause.EARLIER_REVOKED:
            shown["of"] = ", ".join(details["of"])
        case Cause.EARLIER_NOT_REVOKED:
            shown["then"] = ", so it was not shared with this user" if details["reassigns"] else ""
            shown["left"] = "; ".join(
                f"{each['of']}: {_not_revoked(each, place_free=place_free)}" for each in details["left"]
            )
        case Cause.CONTRADICTED:
            shown["how"] = f"and this one says {details['not']}" if details["not"] else "to another user"
        case Cause.WAITING:
            number = "no ShareStatus" if details["status"] is None else f"ShareStatus {details['status']}"
            shown["status"] = f"{number}: {details['said']}" if details["said"] else number
        case Cause.STATUS_UNREAD | Cause.STATUS_REFUSED:
            shown["read"] = details["said"].rstrip(".")
    return shown


def _not_revoked(share: Mapping[str, Any], *, place_free: bool) -> str:
    """Why a share that was made before was not revoked: how the row stands that made it, or what kept us."""
    if "said" in share:
        return str(share["said"])
    state, stage = State(share["state"]), Stage(share["stage"]) if share["stage"] else None
    reported = spell(state, stage, why_of(share["cause"], share["details"]), place_free=place_free).rstrip(".")
    return reported or (_MEANING_PLACE_FREE.get(state, MEANING[state]) if place_free else MEANING[state])


def spell_row(row: Row | NewRow) -> str:
    """Why a row is where it is, in words."""
    return spell(row.state, row.stage if isinstance(row, Row) else None, row.why, row.sheet_row)


def spell_result(result: Result) -> str:
    """Why a row gets where the result brings it, in words."""
    return spell(result.state, result.stage, result.why)


_NOTICES: Final = {
    Cause.DOUBLE: ("its activity was found {times} times: keep {counts}, delete {others} in LeadSquared"),
    Cause.SENT_BEFORE: ("already sent ({before}); the sheet or its options now say {now}, which changes nothing"),
    Cause.REVOKED_FIRST: "the lead's shares with other users were revoked first: {of}",
    Cause.NOBODY_ELSE: ("reassigned: this machine's ledgers know of no share of the lead with another user"),
}


def spell_notice(notice: Why | None) -> str:
    """What a notice says to people; "" for none."""
    if notice is None:
        return ""
    details = notice.details
    if OLD_WORDS in details:
        return str(details[OLD_WORDS])
    shown: dict[str, Any] = {}
    match notice.cause:
        case Cause.DOUBLE:
            others = details["others"]
            shown = {"times": 1 + len(others), "counts": details["counts"], "others": ", ".join(others)}
        case Cause.SENT_BEFORE:
            for name in ("before", "now"):
                minutes, until = details[name]
                shown[name] = spell_length(minutes, datetime.fromisoformat(until) if until else None)
        case _:
            shown = {"of": ", ".join(details.get("of", ()))}
    return _NOTICES[notice.cause].format_map(shown)


def spell_unchecked(why: Why) -> str:
    """What could not be checked, and because of what."""
    rows, said = why.details["rows"], why.details["why"]
    because = f" ({said.rstrip('.')})" if said else ""
    if why.cause is Cause.OWNER_NOT_CHECKED:
        return f"whether activities belong to the users they are posted for{because}"
    return f"whether the lead and user Ids of {rows:,} row{'' if rows == 1 else 's'} are right{because}"


TO_REPORT: Final = (
    "If they stay unknown: run again with --wire-log trouble.jsonl, which holds nobody's data; `batch-share "
    "manual practice` says more."
)
"""What is said where answers were not understood, or never came."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be said, or to be done next, in `words`, and the `command` that does it, as it is typed; or "".

    Of several for rows that were refused, `for_some`, each helps others of them.
    """

    words: str
    command: str = ""
    for_some: bool = False

    def with_typed(self, words: Sequence[str]) -> Step:
        """The same with these options to its command, as they were typed to the one before."""
        return replace(self, command=f"{self.command} {shlex.join(words)}") if words and self.command else self

    def __str__(self) -> str:
        return f"{self.words}: {self.command}" if self.command else self.words


Naming = Callable[[Path], str]
"""How a file is called by whoever reads what is said of it."""

BY_NAME: Final[Naming] = attrgetter("name")
"""As those may know it who are elsewhere."""


def named_in_commands(ledger: LedgerName, naming: Naming = str) -> str:
    """The sheet of a ledger that is called after it, which commands take in its place; else the ledger itself.

    One in a store with its store, which a command need not be told then; but for those who may know it by its name.
    """
    from batch_share.sheet.reader import SHEET_SUFFIXES  # noqa: PLC0415 - `status` reads no sheet

    if ledger.in_store:
        return ledger.short if naming is BY_NAME else str(ledger)
    file = Path(str(ledger))
    sheet = file.with_name(file.name.removesuffix(".ledger.db"))
    return naming(sheet if sheet.suffix.lower() in SHEET_SUFFIXES else file)


NOTHING_PROVED: Final = "Not proved: no activity is known to be posted yet, so none was looked for."


def audits_all(summary: Summary) -> bool:
    """Whether the last look at activities was at all that the ledger shared, and not at the last run's alone."""
    shared = sum(summary.states.get(each, 0) for each in (*ARE_SHARED, State.ENDED))
    return summary.audit is not None and summary.audit["expected"] >= shared


def spell_audit(summary: Summary, naming: Naming = BY_NAME) -> list[Step]:
    """What the last look at all activities of a ledger found, and what is to be done about it, a sentence each."""
    if (audit := summary.audit) is None:
        return []
    expected, seen, found = audit["expected"], audit["seen"], audit["found"]
    activities = plural(expected, "activity", "activities")
    if audit["verdict"] == "proved":
        if not expected:
            return [Step(NOTHING_PROVED)]
        if not audits_all(summary):
            look = "`status --audit` looks at all"
            return [Step(f"Proved: of {activities} posted by the last run, LeadSquared has each once; {look}.")]
        return [Step(f"Proved: of {activities} posted, LeadSquared has each once.")]
    said = []
    if found:
        has = "has" if found == 1 else "have"
        said.append(Step(f"{plural(found, 'row')} {has} activities at LeadSquared that should not be there:"))
    for each in audit["named"][:ROWS_NAMED]:
        extra, ours = ", ".join(each["extra"]), each["ours"]
        has_share = f"; {'the share is' if each['shared'] else 'no share is'} by {ours}" if ours else ""
        said.append(Step(f"Row {each['sheet_row']}: delete {extra} in LeadSquared{has_share}."))
    if (more := found - ROWS_NAMED) > 0:
        said.append(Step(f"and {plural(more, 'row')} more: --json names them."))
    unread = "; ".join(f"type {event}: {why.rstrip('.')}" for event, why in audit["unread"].items())
    because = f" ({unread})" if unread else ""
    if unread and not audit["again"]:
        said.append(Step(f"Not checked: whether each activity is at LeadSquared once{because}."))
    if audit["again"]:
        ledger = shlex.quote(named_in_commands(summary.ledger, naming))
        after = spell_time(datetime.fromisoformat(audit["again"]).replace(tzinfo=None))
        words = f"Not proved yet: LeadSquared showed {seen:,} of {activities}{because}. To look again after {after}"
        said.append(Step(words, f"batch-share status {ledger} --audit"))
    return said


def reason_of(row: Row | NewRow, *, says_row: bool = True, says_cell: bool = True, place_free: bool = False) -> str:
    """Why a row is where it is and what else is to be known of it, for the person who reads the results.

    What is wrong in the sheet says in which row, if it `says_row`, and what the cell says, if it `says_cell`. If
    `place_free`, no commands are named.
    """
    sheet_row = row.sheet_row if says_row else None
    if isinstance(row, NewRow):
        return spell(row.state, None, row.why, sheet_row, says_cell=says_cell, place_free=place_free)
    start = row.instruction.start if row.instruction and row.state is State.PENDING else None
    is_moving = row.state in {*ON_ITS_WAY, *BEING_REVOKED}
    meaning = {**MEANING, **_MEANING_PLACE_FREE} if place_free else MEANING
    label = f"waits until {spell_time(start)}" if start else meaning[row.state] if is_moving else ""
    history = ""
    said = spell(row.state, row.stage, row.why, sheet_row, says_cell=says_cell, place_free=place_free)
    if row.earlier:  # the shares before the one that it has: `shared 20-27 Nov 2026; again until 4 Dec 2026`
        days = ((f"{begun:%-d %b %Y}", f"{ended:%-d %b %Y}") for begun, ended in row.earlier)
        history = f"shared {', '.join(first if first == last else f'{first} - {last}' for first, last in days)}"
        if row.ends_at and row.state in ARE_SHARED:
            history += f"; again until {row.ends_at.replace(tzinfo=UTC).astimezone():%-d %b %Y %H:%M %Z}"
    reason = "; ".join(filter(None, (history, said or label, spell_notice(row.notice))))
    if row.position is not None or row.state is not State.UNKNOWN:
        return reason
    reported = reason if row.cause is Cause.GONE else f"{NOT_ASKED}: {reason}"
    return f"{reported}; a run that asks for it again, with the sheet and options as they were, settles it"


def spell_ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers of rows as they are chosen by: `2-4,7`; "" for none."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1].append(number)
        else:
            ranges.append([number])
    return ",".join(f"{each[0]}-{each[-1]}" if len(each) > 1 else str(each[0]) for each in ranges)


def next_steps(summary: Summary, naming: Naming = BY_NAME) -> list[Step]:
    """What to do next, the most urgent first; nothing where all is well."""
    ledger = shlex.quote(named_in_commands(summary.ledger, naming))
    states = Counter(summary.states) + Counter(summary.earlier)
    until = summary.waiting_until
    when = f", from {until.astimezone():%Y-%m-%d %H:%M:%S %Z} on" if until is not None else ""
    steps = []
    if to_send := rows_in(states, ON_ITS_WAY) - summary.waiting.rows:
        steps.append(Step(f"{plural(to_send, 'row')} still to be sent{when}", f"batch-share resume {ledger}"))
    if unknown := states[State.UNKNOWN] - summary.lost:
        command = f"batch-share resume {ledger} --only-unknown --set on_unknown=settle"
        words = f"{plural(unknown, 'row')} unknown; to settle them, and send nothing else{when}"
        steps += [Step(words, command), Step(TO_REPORT)]
    if revoking := rows_in(states, BEING_REVOKED) + summary.lost:
        rows = f" --rows {spell_ranges(summary.unrevoked)}" * bool(summary.unrevoked)
        command = f"batch-share revoke {ledger}{rows}"
        steps.append(Step(f"{plural(revoking, 'share')} still to be revoked", command))
    if processing := rows_in(states, PROCESSING):
        words = f"{plural(processing, 'row')} not yet confirmed as processed; to ask again"
        steps.append(Step(words, f"batch-share follow-up {ledger}"))
    refused = states[State.FAILED] + states[State.INVALID]
    if failed := summary.failed_sheet:
        file = naming(failed)
        command = shlex.join(["batch-share", "run", file])
        if untold := summary.untold:
            words = f"LeadSquared did not tell whom {plural(untold, 'row names', 'rows name')}; to ask again"
            steps.append(Step(words, command, for_some=True))
        if not untold or refused > untold + summary.in_sheet + summary.standing:
            steps.append(Step(f"Some rows can be fixed: correct them in {file}, then", command, for_some=True))
    if summary.in_sheet:
        rows = plural(summary.in_sheet, "row")
        words = f"{rows} to be fixed in the sheet itself, as the reason says; then run it again"
        steps.append(Step(words, for_some=True))
    if summary.standing:
        words = f"{plural(summary.standing, 'row')} failed after the activity was posted; to share in it"
        steps.append(Step(words, f"batch-share retry {ledger}", for_some=True))
    if refused and not (summary.failed_sheet or summary.in_sheet or summary.standing):
        steps.append(Step(f"{plural(refused, 'row')} failed or invalid: the results say why"))
    if summary.noticed:
        words = f"{plural(summary.noticed, 'row')} posted twice: the results say which activity to delete"
        steps.append(Step(words))
    if ended := summary.renewable:
        words = f"{plural(ended, 'share')} ended; to share again"
        steps.append(Step(words, f"batch-share resume {ledger} --renew 1d"))
    if summary.waiting.rows:
        steps.append(Step(f"{spell_waiting(summary.waiting)} Then", f"batch-share resume {ledger} --due"))
    return steps


OTHER_END: Final = (
    "{say} another end, which changes nothing: --renew shares again until a later one; for an earlier one, revoke "
    "the row, then run it with a new --ledger"
)
"""No share that was sent is changed: only these two give it the end that its row says by now."""


_ANSWERS: Final[Mapping[str, tuple[str, str, Collection[State]]]] = {
    "revoke": ("Nothing to revoke: no share of it stands.", "revoked", {State.REVOKED}),
    "retry": ("Nothing to try again.", "went through", {State.SHARED, State.ENDED, State.REVOKED}),
    "follow-up": ("Nothing to ask: no row is being processed.", "asked about", ()),
    "resume --only-unknown": ("Nothing to look up.", "looked up", ()),
}
"""By command: its answer where there was nothing to do, what it did to all rows, or to those in these states."""


TO_SHARE_AGAIN: Final = "To share again, run the sheet with `--ledger` and a new name."
"""Its ledger never sends again what was revoked."""


def answer(command: str, summary: Summary, became: Mapping[State, int], *, is_stopped: bool = False) -> str:
    """What came of what was asked for: `12 of 12 revoked.`, or of a run `97 of 100 rows are shared. 3 failed.`

    `became` counts the rows that the command was about, by the state that they are in now. "" if it was stopped
    before it was about any: that there are none is not said then.
    """
    if command not in _ANSWERS:
        return f"{headline(summary.states)} {others(summary.states)}".strip()
    nothing, done, states = _ANSWERS[command]
    if not (asked := sum(became.values())):
        return "" if is_stopped else nothing
    if not states:
        return f"{plural(asked, 'row')} {done}: {_counted(became)}"
    rest = {state: rows for state, rows in became.items() if state not in states}
    return f"{rows_in(became, states):,} of {asked:,} {done}. {_counted(rest)}".strip()


def steps_after(command: str, summary: Summary, became: Mapping[State, int], naming: Naming) -> list[Step]:
    """The one thing to do next after a command; nothing where all is well.

    With it, what other command helps refused rows if it helps some of them, and that another end changes nothing.
    """
    if command != "revoke":
        steps = next_steps(summary, naming)
        helping = [each for each in steps[1:] if each.for_some and each.command]
        steps = steps[:1] + (helping if steps and steps[0].for_some else [])
        if other := summary.other_end:
            steps.append(Step(OTHER_END.format(say=plural(other, "row now says", "rows now say"))))
        return steps
    ledger = shlex.quote(named_in_commands(summary.ledger, naming))
    if stand := sum(rows for state, rows in became.items() if state not in {State.REVOKED, State.ENDING}):
        stands = "share stands" if stand == 1 else "shares stand"
        return [Step(f"{stand:,} {stands}, or may; to revoke again", f"batch-share revoke {ledger}")]
    if ending := became.get(State.ENDING):
        words = f"{plural(ending, 'share')} not yet confirmed as revoked; to ask again"
        return [Step(words, f"batch-share follow-up {ledger}")]
    return []


def troubles_of(command: str, summary: Summary, became: Mapping[State, int]) -> list[Alike]:
    """The reasons that matter after a command: of what was sent, and of a run then those of what was not sent."""
    if command not in _ANSWERS:
        return [*sorted(summary.troubles, key=lambda each: each.row.state is State.INVALID), *summary.skipped]
    rows = [(each, each.row) for each in summary.troubles]
    kinds = [(each, row) for each, row in rows if isinstance(row, Row) and row.state is not State.INVALID]
    if command == "revoke":
        kinds = [(each, row) for each, row in kinds if row.stage is Stage.REVOKE or row.state is State.ENDING]
    return [each for each, _ in kinds] if sum(became.values()) else []


def spell_holder(holder: Holder) -> str:
    """Who uses the account, in brackets behind what that is called; nothing where nobody knows."""
    if not holder.host:
        return f" (process {holder.process})" if holder.process else ""
    since = f" since {spell_time(holder.since)}" if holder.since else ""
    work = f", `{holder.command}`" if holder.command else ""
    return f" ({holder.host}, process {holder.process}{work}{since})"


def spell_waiting(waiting: Waiting, zone: tzinfo | None = None) -> str:
    """That rows are not sent yet, and when the first of them may be: as of `zone`, without it of this machine's."""
    wait = "waits for its" if waiting.rows == 1 else "wait for their"
    first = f", the first until {spell_time(waiting.first, zone)}" if waiting.first else ""
    return f"{plural(waiting.rows, 'row')} {wait} start{first}."


def lasting(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:  # up to there a tenth of an hour would say less than the minutes
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def at_rest(states: Mapping[State, int]) -> str:
    """Why nothing is to be done, where `next_steps` has nothing: `every row is shared or skipped.`"""
    *others, last = [str(state) for state in State if state in AT_REST and states.get(state)] or [""]
    if not last:
        return "no rows were read."
    return f"every row is {', '.join(others)}{' or ' if others else ''}{last}."


def headline(states: Mapping[State, int]) -> str:
    """The outcome in plain words: `97 of 100 rows are shared.`"""
    total, shared = sum(states.values()), states.get(State.SHARED, 0)
    if not total:
        return "The ledger has no rows yet."
    if shared == total:
        return "The one row is shared." if total == 1 else f"All {total:,} rows are shared."
    return f"{shared:,} of {total:,} {'row is' if total == 1 else 'rows are'} shared."


_SAID: Final = {
    State.SHARED: "shared",
    State.FAILED: "failed",
    State.UNKNOWN: "unknown (may have arrived)",
    State.INVALID: "invalid (not sent)",
    State.SKIPPED: "skipped",
    State.ACCEPTED: "accepted (processing not yet confirmed)",
}


def others(states: Mapping[State, int]) -> str:
    """The rows that are not shared, in one line: `2 failed, 1 skipped.` Empty where all are."""
    return _counted({state: rows for state, rows in states.items() if state is not State.SHARED})


def _counted(states: Mapping[State, int]) -> str:
    said = [f"{states[state]:,} {words}" for state, words in _SAID.items() if states.get(state)]
    if left := rows_in(states, ON_ITS_WAY):
        said.append(f"{left:,} still to be sent")
    left_over = (state for state in states if states[state] and state not in {*_SAID, *ON_ITS_WAY})
    said += [f"{states[state]:,} {state}" for state in left_over]
    return f"{', '.join(said)}." if said else ""


def spell_earlier(earlier: Mapping[State, int]) -> str:
    """The rows that only earlier sheets had: `16 rows from earlier sheets: 15 shared, 1 unknown`."""
    said = ", ".join(f"{earlier[state]:,} {state}" for state in State if earlier.get(state))
    return f"{plural(sum(earlier.values()), 'row')} from earlier sheets: {said}"


def spell_corrected(source: str, rows: int) -> str:
    """That so many rows are as they were corrected in a file, or on the page."""
    return f"{plural(rows, 'row')} as corrected {'on the page' if source == ON_PAGE else f'in {source}'}"


def spell_lapsed(rows: int) -> str:
    """That so many rows are not as they were corrected on the page."""
    them = "the row" if rows == 1 else "the rows"
    return f"{plural(rows, 'row')} corrected on the page in vain: the sheet no longer has {them} as it was then"


def spell_corrections(corrections: Sequence[Correction], more: int = 0) -> list[str]:
    """What was corrected, cell by cell; and in how many more rows."""
    said = []
    for row, column, before, after, source in corrections:
        where = "on the page" if source == ON_PAGE else f"in {source}"
        old = (
            f" from {shortened(before)!r}" if before else ""
        )  # it was empty, or an earlier version did not note it
        said.append(f"Row {row}, {column}: corrected {where}{old} to {shortened(after)!r}")
    return said + ([f"{plural(more, 'more row')} corrected"] if more else [])


@dataclass(slots=True)
class Standing:
    """Shares that stand: how many to read and to write, with which users, and when the `first` and `last` ends.

    The ends are local times, with their zone; None where nothing stands.
    """

    reads: int = 0
    writes: int = 0
    users: set[str] = field(default_factory=set)
    first: datetime | None = None
    last: datetime | None = None

    @property
    def shares(self) -> int:
        """All of them."""
        return self.reads + self.writes

    def add(self, access: int, user: str, end: datetime) -> None:
        """One more, with this AccessType."""
        self.reads += access == 1
        self.writes += access == 2
        self.users.add(user)
        self.first, self.last = min(self.first or end, end), max(self.last or end, end)

    def spell_access(self) -> str:
        """What may be done by them: `36 to read, 16 to write`, `to read`."""
        counts = {"to read": self.reads, "to write": self.writes}
        return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)

    def spell_until(self) -> str:
        """When they end: `31 Dec 2026 23:59 IST at the latest, the first 5 Dec 2026 23:59`."""
        if self.first is None or self.last is None:
            return ""
        last = f"{self.last:%-d %b %Y %H:%M %Z}"
        return last if self.first == self.last else f"{last} at the latest, the first {self.first:%-d %b %Y %H:%M}"


_IN_THE_SHEET: Final = {
    Cause.SHIFTED: "Put its cells under their headers in the sheet itself, and run the sheet again.",
    Cause.NEVER_STORED: "Open the sheet itself in a spreadsheet program, save it, and run it again.",
    Cause.ERROR_VALUE: "Fix the formula in the sheet itself, and run the sheet again.",
}
"""What is done about rows that no sheet of failed rows can hold as they are."""

_TOLD_LATER: Final = (
    "Wait until LeadSquared tells whom it names, or put Lead Id, Lead Number and User Id in {place} and trust these"
)
_BY_ID: Final = "Give its Id in {place}: several match what the row says"
_ACTIVE: Final = "Name an active user in {place}"
_LEAD: Final = "Correct the lead in {place}, or create it in LeadSquared"
_TYPE: Final = "Give the code of an activity type of the account in {place}"
_LATER: Final = "Give the row a later end in {place}"
_SOONER: Final = "Correct the date in {place}, or wait until it is less than ten years away"
_PLAIN: Final = "Remove characters such as < and > from its texts in {place}"
_SHORTER: Final = "Shorten the text in {place}"

_FIXING: Final = {
    Cause.NOT_TOLD: _TOLD_LATER,
    Cause.UNCHECKED: "Wait until LeadSquared tells whom it names, or trust the Ids in {place}",
    Cause.AMBIGUOUS: _BY_ID,
    Cause.NO_USER: _ACTIVE,
    Cause.NO_LEAD: _LEAD,
    Cause.NO_TYPE: _TYPE,
    Cause.OVER: _LATER,
    Cause.TOO_FAR: _SOONER,
    Cause.TOO_LATE: _LATER,
    Cause.MARKUP: _PLAIN,
    Cause.TOO_LONG: _SHORTER,
}
"""What is done about rows of which nothing is at LeadSquared, by what is wrong with them."""

_FIXING_SAID: Final = (
    (re.compile(r"not an active user|no longer an active|\bowner is not\b"), _ACTIVE),
    (re.compile(r"\b(lead|entity|prospect)\b.*\b(does not|doesn't) exist|\blead not found"), _LEAD),
    (re.compile(r"event code|activity (type|event)"), _TYPE),
    (re.compile(r"dangerous value|mxxss|markup"), _PLAIN),
    (re.compile(r"at most [\d,]+ characters|too long"), _SHORTER),
    (
        re.compile(r"attribute"),
        "In {place}, keep only fields that this activity type has, and fill in those it needs",
    ),
    (
        re.compile(r"not allowed|unauthori[sz]ed|permission"),
        "Have your LeadSquared administrator allow it; nothing needs changing in {place}",
    ),
    (
        re.compile(r"exceeded the limit|too many|throttl"),
        "There were too many calls; nothing needs changing in {place}",
    ),
)
"""The same by LeadSquared's own words, in lower case, where it refused them: the first that fits."""

_WHATEVER: Final = "Correct what the reason names in {place}"


ROWS_TO_FIX: Final = "the rows to fix"
"""How the page calls the sheet of failed rows."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Gives the next step. `ledger` and `failed_sheet` are how commands name them; None: there is no such sheet.

    Without a `ledger` no commands are named: who has no terminal has buttons of these names.
    """

    ledger: str | None
    failed_sheet: str | None = None

    def next_step(self, row: Row, words: str = "") -> str:
        """What a person does next about `row`, of which LeadSquared last said `words`."""
        steps = [self._about(row, words)]
        if row.notice and row.notice.cause is Cause.DOUBLE:
            steps.insert(0, "Delete the second activity, as the reason says.")
        return " ".join(filter(None, steps))

    def _about(self, row: Row, words: str) -> str:
        match row.state:
            case State.ENDING:
                return ""
            case _ if row.state in BEING_REVOKED or row.stage is Stage.REVOKE:
                return self._step("Its share still stands, or may. Revoke it", "revoke")
            case _ if row.stage is Stage.EARLIER and row.position is not None:
                return self._step("Resolve what the reason names, then retry", "retry")
            case State.UNKNOWN if row.position is None:
                return "Put the row back into the sheet as it was, and run the sheet: it is looked up first."
            case State.UNKNOWN:
                how = "--only-unknown --set on_unknown=settle"
                return self._step("Settle it, to find out whether it arrived and continue with it", "resume", how)
            case State.FAILED if row.position is None and row.activity_id is None:
                return "Nothing: the sheet no longer asks for it."
            case State.FAILED if row.position is None:
                return "If it is still to be shared, put the row back into the sheet as it was, and run the sheet."
            case State.FAILED if row.activity_id is not None:
                return self._standing(row, words)
            case State.FAILED | State.INVALID:
                return _IN_THE_SHEET.get(row.cause or Cause.OLD_WORDS) or self._fix(row, words)
        return ""

    def _standing(self, row: Row, words: str) -> str:
        """Its activity is there: whoever runs the row elsewhere posts a second one."""
        if row.stage is Stage.ACTIVITY:
            return (
                "Look at the activity in LeadSquared: delete it, or make the row's user its owner, and share the "
                "lead by hand."
            )
        if row.cause is Cause.TOO_LATE:
            return "Nothing: its end has passed. To share the lead again, put it into a new sheet with a later end."
        everything = "--all" if HOPELESS.search(words) else ""  # which it would leave alone without
        return self._step(
            "Fix what LeadSquared names, then retry, which shares the lead in the same activity",
            "retry",
            everything,
        )

    def _fix(self, row: Row, words: str) -> str:
        said = f"{row.why.details.get('said', '') if row.why else ''} {words}".casefold()
        by_words = next((what for pattern, what in _FIXING_SAID if pattern.search(said)), _WHATEVER)
        what = _FIXING.get(row.cause or Cause.OLD_WORDS, by_words)
        run = "choose" if self.ledger is None else "run"
        if self.failed_sheet is None:
            return f"{what.format(place='a sheet of its own')}; then {run} that sheet."
        return f"{what.format(place=self.failed_sheet)}; then {run} that file."

    def _step(self, words: str, command: str, how: str = "") -> str:
        if self.ledger is None:
            return f"{words}."
        return f"{words}: {' '.join(filter(None, ('batch-share', command, shlex.quote(self.ledger), how)))}"


DONE: Final = "done"
STOPPED: Final = "stopped"
DECLINED: Final = "not confirmed"
"""What a ledger notes of a run that nobody agreed to."""

NOT_BEGUN: Final = "not begun, nobody confirmed it"
"""What a person is told of it: of a revocation it would read as if LeadSquared had not confirmed that."""

INTERRUPTED: Final = "interrupted by the user"
CUT: Final = "cut off by the user"

_WHY: Final[dict[type[BatchShareError], str]] = {
    AccessDenied: "LeadSquared refused access",
    AccountClosed: "LeadSquared takes no more calls for now",
    NoSuchApi: "LeadSquared has no such API",
    CanaryFailed: "the first rows did not go well",
    DailyLimitReached: "the calls of the day are used up",
    LedgerError: "the ledger can't be used",
    HistoryError: "the index of runs can't be used",
    NotAnswered: "LeadSquared did not answer",
    NotConfirmed: "it was not confirmed",
    OwnerNotVerified: "the first activity's owner could not be verified",
    PlanChanged: "it differs from what was approved",
    SettingsError: "a setting is wrong",
    SheetError: "the sheet can't be used",
    StillThrottled: "LeadSquared kept refusing calls as too many",
    TooManyFailures: "too many rows failed",
    TooManyForUser: "a user would have received too many leads",
    TooManyRevokes: "shares would have been revoked without a confirmation",
    TooManyRows: "there were too many rows to send",
    Unreachable: "LeadSquared could not be reached",
}
"""In words without Ids and paths: an error's own sentence may hold them."""

NOT_READ: Final = "not read: {}, which {} does not have: add it there"
"""Of columns in a sheet of failed rows that its job's sheet has not."""

CORRECTED_LATER: Final = "as corrected on the page, which was later than in {}"
CORRECTED_NO_MORE: Final = "as {} says now, and no longer as corrected on the page"
"""Of rows that the page and a sheet of failed rows correct differently: the newest correction holds."""

NOT_CORRECTED: Final = "Row {} was sent, or begun, so it is not corrected here."
OTHERWISE: Final = "its output says why"


def end_in_short(ended: str) -> str:
    """How a run ended, in a word of `ended`, as it was noted: an error's sentence there says why it was stopped."""
    first = ended.partition(" (")[0] or DONE  # in brackets stands how many calls were refused
    return first if first in {DONE, DECLINED, INTERRUPTED, CUT_OFF} else STOPPED


def why_ended(error: BatchShareError) -> str | None:
    """Why a job ended that an error stopped, without anything of the sheet or the account; None: who knows."""
    return next((_WHY[kind] for kind in type(error).__mro__ if kind in _WHY), None)


def why_stopped(error: BatchShareError) -> str:
    """How such a job ended, or that none began."""
    return error.words if isinstance(error, ScheduleMissed) else f"stopped, {why_ended(error) or OTHERWISE}"


def spell_release(folder: Path, agreed: Path) -> str:
    """What a person does with a sheet that a watch holds in this folder."""
    return (
        f"If it is right as it is, move the folder {folder} to {agreed}: then all of it is sent, "
        "whatever max_rows, max_per_user and max_revokes say. If not, correct the sheet and drop it once more."
    )


def spell_alike(alike: Alike, all_rows: int = 0) -> str:
    """Which rows are where they are for one reason, and why; `all_rows` are as many as there are.

    Where it differs in what each says, the first stands for them.
    """
    row, first = alike.row, alike.row.sheet_row
    is_gone = isinstance(row, Row) and row.position is None
    if alike.rows == 1 and row.why and "problems" in row.why.details:
        return spell_row(row)  # which says its row
    which = f"all {alike.rows:,} rows" if alike.rows == all_rows > 1 else spell_rows(alike.first, alike.rows)
    which = f"Formerly {which}" if is_gone else f"{which[0].upper()}{which[1:]}"
    reason = reason_of(row, says_row=False) or "other reasons"
    return f"{which}: {reason}" if alike.is_same else f"{which}, for example row {first}: {reason}"


# ----------------------------------------------------------------------------- what is told before, and remarks

RENEWED: Final = "{shares} renewed, each with an activity of its own"
OVERLAP: Final = "{shares}; {standing:,} of them not ended yet: old and new overlap until then"
NOT_KEPT: Final = "What its columns hold can't be kept for other sheets ({why})"
NOT_LOOKED_AT: Final = "{ledger} can't be looked at: what it shared since it last was is not revoked"
NOTHING_TO_REVOKE: Final = (
    f"{{rows}} with revoke or reassign as Action, and nothing to revoke is known here for {{them}}: {HOW_TO_ADD}"
)
HALF_REASSIGNED: Final = (
    "Shares of leads to be reassigned that are revoked, or being so: {shares:,}. Their new users get these leads "
    "when this sheet is run again, and nobody has them until then"
)
STALE_RESULTS: Final = (
    "The results of another ledger still show shares that were revoked: `batch-share results {ledger}` writes them "
    "anew"
)
LEDGER_IN_USE: Final = "{ledger} is in use, so rows that revoke its shares wait: run again"
LOST_JOB: Final = (
    "The ledger of {sheet} is gone, and its job was not finished (run {run}). If this is its sheet, renamed or "
    "moved, rows could be shared twice: run it with --recover, or put the ledger back. Else `batch-share runs "
    "--forget {run}` ends this warning."
)
WITHOUT_INDEX: Final = (
    "{why}. The run continues without it: it does not see the shares of other ledgers, nor they its own"
)
BEGUN_ANEW: Final = (
    "The index of runs could not be read and was begun anew (the old one is {before}): what earlier ledgers have "
    "shared is known again after `batch-share runs --add LEDGER`"
)

OTHERS: Final = "Shares that were made on other machines, or by hand in LeadSquared, are not known here"
"""What no index of one machine can tell."""

OTHERS_OF_STORE: Final = (
    "Shares whose ledgers are neither in the store nor on this machine, or that were made by hand in LeadSquared, "
    "are not known here"
)
"""What no store can tell."""

BY_HAND: Final = (
    "Of shares of other machines only their activities are known here, not whether they were revoked; of those that"
    " were made by hand in LeadSquared nothing is"
)
"""What our activities in LeadSquared can't tell."""

NOBODY_KNOWN: Final = "No ledger of this machine{nor} knows a user with the Id or e-mail address {user}"
NAMELESS: Final = "Left out: {shares} whose user LeadSquared does not show by Id or address"
NO_TYPES_KNOWN: Final = "LeadSquared was not asked: no activity type is known here; name one with --set event=CODE"
NOT_ALL_READ: Final = (
    "Not all of LeadSquared's activities of type {event} could be read ({why}): shares of other machines may be "
    "missing"
)
ENDLESS: Final = "Without an end, since earlier versions of batch_share posted it: {activities} of other machines"
NUMBER_UNKNOWN: Final = (
    "Which lead has the number {number} LeadSquared did not say: other machines' shares are left out"
)
AS_LAST_KNOWN: Final = "Could not be looked at: {ledgers}; {shares} told as last known"
OTHER_HOST: Final = "Left out: {shares} at another host, or of another account, than the one that is set{whose}"
LEAD_NAMED: Final = (
    "name the lead by its number or Id: by an e-mail address or a phone number its shares are not found"
)
NOT_BY_PHONE: Final = "{number} was taken for a lead's number: by a phone number nobody's shares are found"

USERS_TOLD: Final = 3
ROWS_TOLD: Final = 10
"""Of how many users, and of how many rows, a person is told before their shares are revoked."""

KINDS_TOLD: Final = 3
"""Reasons that are told of rows that are tried again."""


def spell_losing(losing: Sequence[Share], known: Mapping[str | None, tuple[str, str]]) -> str:
    """Who loses how many shares, and of few the rows too: it can't be undone. "" where nobody loses any."""
    if not losing:
        return ""
    counted = Counter(row.user_id for row in losing).most_common()
    names = {user: f"{name} <{email}>" for user, (name, email) in known.items() if user}
    reported = "from " + ", ".join(f"{names.get(user, user)} ({count:,})" for user, count in counted[:USERS_TOLD])
    if (more := len(counted) - USERS_TOLD) > 0:
        reported += f" and {plural(more, 'other')}"
    rows = [str(number) for number in sorted({row.sheet_row for row in losing if row.is_in_sheet})]
    if 0 < len(rows) <= ROWS_TOLD:
        reported += f": row{'' if len(rows) == 1 else 's'} {', '.join(rows)}"
    return reported


def spell_revoking(chosen: str, begun: str, counts: Mapping[str, int], *, waits: bool) -> list[str]:
    """What is told before shares are revoked: who loses them, and how many are what they are `counts` of.

    Those that are still being processed as shares are waited for, if it `waits`: none may overtake its revocation.
    """
    how = "waited for, then revoked" if waits else "revoked all the same, since --no-follow-up waits for nothing"
    reported = [chosen, f"and, since it was begun before, {begun}" if begun else ""]
    for kind, words in (
        ("processing", f"still being processed: {how}"),
        ("doubtful", "that may be live or not: revoked to be sure"),
        ("ended", "have ended by themselves: left alone"),
        ("unsent", "were never shared, and a run would still do it"),
    ):
        reported.append(f"{counts[kind]:,} {words}" if counts[kind] else "")
    return [*filter(None, reported)]


def spell_retry(put_back: int, kinds: Sequence[Alike], left: Sequence[Alike]) -> list[str]:
    """What is told before failed rows are tried again: why they failed, and why others are left alone."""
    reported = [f"{put_back:,} × put back by an earlier retry that was stopped"] if put_back else []
    for indent, those in (("", kinds), ("  ", left)):
        if those is left and left:
            reported.append(
                "Not tried again, for the reason lies in the row: fix it and run the sheet again, or give --all."
            )
        reported += [f"{indent}{spell_alike(each)}" for each in those[:KINDS_TOLD]]
        if (more := len(those) - KINDS_TOLD) > 0:
            reported.append(f"{indent}and {more} other reasons")
    return reported


def spell_recalled(recalled: int, others: int) -> str:
    """How many leads and users need no look-up, beside so many `others`."""
    people = "leads and users are" if recalled + others > 1 else "leads and users is"
    return f"{recalled:,} of {recalled + others:,} {people} known from earlier look-ups"


MANY_NUMBERS: Final = 25
"""Calls that the usual limit lets go at once: of fewer it makes no difference how many they are."""


def spell_by_number(leads: int, in_lists: int, in_ranges: int) -> str:
    """How many calls look up leads by number in each way; "" where it makes no difference."""
    if leads <= MANY_NUMBERS:
        return ""
    listed, close = f", {in_ranges:,} where it lists leads in the order of their numbers", ""
    if in_ranges == leads:
        listed, close = "", ", as too few are close to each other to be read from a list"
    return (
        f"The {leads:,} lead numbers take {in_lists:,} calls where LeadSquared finds many at once"
        f"{listed}, else one each{close}"
    )


def spell_guards(settings: Settings) -> str:
    """The guards of a run in one line, "" if there are none."""
    failures, share = settings.stop_after_failures, settings.stop_at
    in_a_row = f"after {failures:,} failures in a row" if failures else ""
    stops = [in_a_row, f"at {share:g} % failed of {ENOUGH} or more" if share else ""]
    guards = [
        f"at most {settings.max_rows:,} rows" if settings.max_rows else "",
        f"at most {settings.max_per_user:,} leads for each user" if settings.max_per_user else "",
        f"revokes at most {settings.max_revokes:,} without asking" if settings.max_revokes else "",
        f"a canary of {settings.canary:,}" if settings.canary else "",
        f"stops {' or '.join(filter(None, stops))}" if any(stops) else "",
    ]
    return ", ".join(filter(None, guards))


SAYS_ANOTHER: Final = "in {} {} names somebody else than {}: row {} {!r}, not {}"
REPEATS_OTHERWISE: Final = "{} {} with another {}"
ODD_LENGTHS: Final = "{} longer than 90 days: {}", "{} less than an hour: {}"
ANOTHER_HOST: Final = "the ledger {} belongs to {}, and the host is {}"
ANOTHER_ACCOUNT: Final = "the ledger {} belongs to another account of {}"


def fault(error: BaseException, details: str | None) -> str:
    """What a person is told of an error that nobody foresaw, whose traceback is in the file `details`."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    kept = f" The details are in {details}: please report them." if details else ""
    return (
        f"a fault of batch_share itself ({type(error).__name__}) ended this. What was sent is noted in the ledger: "
        f"run the same command again to go on, nothing is repeated.{kept}"
    )


class ExitCode(IntEnum):
    """How a command ends; of several, the most urgent: 1, 4, 2, 3, 5, 6.

    | code | what it means |
    |---|---|
    | 0 | all that was to be done was |
    | 1 | not all was: trying again may do it |
    | 2 | the command, a setting or the sheet is to be corrected |
    | 3 | rows failed, are invalid, or need a person's look |
    | 4 | rows are unknown |
    | 5 | rows are accepted, and not yet confirmed as processed |
    | 6 | nothing was sent, since shares have ended that may be renewed |
    | 130 | a person ended it |
    """

    DONE = 0
    NOT_DONE = 1
    USAGE = 2
    SOME_FAILED = 3
    SOME_UNKNOWN = 4
    STILL_PROCESSING = 5
    ENDED = 6
    INTERRUPTED = 130

    @classmethod
    def of(cls, error: BatchShareError) -> ExitCode:
        """What an error means to a script that stopped a command before its work began."""
        is_usage = isinstance(error, SheetError | SettingsError | OfAnotherSheet)
        return cls.USAGE if is_usage else cls.NOT_DONE

    @classmethod
    def of_states(cls, states: Mapping[State, int], held: int = 0) -> ExitCode:
        """What it means that so many rows are in each state, and so many `held` until another job ends."""
        for code, those in _URGENCY:
            if rows_in(states, those) or (held and code is cls.NOT_DONE):
                return code
        return cls.DONE

    @classmethod
    def most_urgent(cls, codes: Iterable[ExitCode]) -> ExitCode:
        """The code of several pieces of work."""
        return min(codes, key=_ORDER.index, default=cls.DONE)


_URGENCY: Final[Sequence[tuple[ExitCode, Collection[State]]]] = (
    (ExitCode.NOT_DONE, (*ON_ITS_WAY, *BEING_REVOKED)),
    (ExitCode.SOME_UNKNOWN, (State.UNKNOWN,)),
    (ExitCode.SOME_FAILED, TROUBLED),
    (ExitCode.STILL_PROCESSING, PROCESSING),
)


_ORDER: Final = (
    ExitCode.INTERRUPTED,
    ExitCode.NOT_DONE,  # the one that trying again may fix
    ExitCode.SOME_UNKNOWN,
    ExitCode.USAGE,
    ExitCode.SOME_FAILED,
    ExitCode.STILL_PROCESSING,
    ExitCode.ENDED,
    ExitCode.DONE,
)


@dataclass(frozen=True, slots=True)
class Summary:
    """How many rows are in which state, where the ledger and the results are, and why rows are in trouble.

    `states` are of the rows of the sheet, `earlier` of those that only earlier sheets had and of which something is
    at LeadSquared, or may be. `corrected` rows, by the name of the file, are as that has them.
    `troubles` are all reasons why rows are, the most frequent first, those why the status of some could not be read
    among them; `skipped` those why most rows are skipped.
    `run` is the Id of the last run of `ledger`, `ended` how that ended as it was noted, `results` where these were
    written (None: they were not).
    `waiting` rows are pending until their time has come: no fault. `sheet` is the name of what the rows are from.
    `failed_sheet` is where rows can be fixed and run again; `standing` failed rows are not in it, for their
    activity stands, nor are those of all `fixable` rows that can only be fixed `in_sheet`, the sheet itself. Of
    `untold` rows LeadSquared did not tell whom they name; of unknown ones the revocation was `lost`, and
    `unrevoked` are the numbers of all whose revocation was begun, if the sheet has them all. `noticed` rows
    have something a person must know, whatever became of them: an activity that is there twice. `renewable`
    shares have ended, and the sheet does not say so; `ending` shares do so soon; of `other_end` shared rows the
    sheet says another end. `held` rows wait for another job that has their lead and user under way. `unchecked`
    is what it could not be asked about, so that a run went on without. `audit` is what the last look at all its
    activities found, as it is noted in the ledger. Before `waiting_until` (with its zone) it wants no call.
    """

    states: Mapping[State, int]
    ledger: LedgerName
    results: Path | None = None
    troubles: Sequence[Alike] = ()
    noticed: int = 0
    skipped: Sequence[Alike] = ()
    run: str | None = None
    waiting: Waiting = NONE_WAITING
    sheet: str = ""
    failed_sheet: Path | None = None
    standing: int = 0
    fixable: int = 0
    in_sheet: int = 0
    untold: int = 0
    lost: int = 0
    unrevoked: Sequence[int] = ()
    unchecked: Sequence[Why] = ()
    renewable: int = 0
    other_end: int = 0
    held: int = 0
    waiting_until: datetime | None = None
    ending: EndingSoon = NONE_ENDING
    earlier: Mapping[State, int] = field(default_factory=dict)
    corrected: Mapping[str, int] = field(default_factory=dict)
    audit: Mapping[str, Any] | None = None
    ended: str = ""

    def __str__(self) -> str:
        reported = ", ".join(f"{self.states[state]:,} {state}" for state in State if self.states.get(state))
        return f"{self.rows:,} row{'' if self.rows == 1 else 's'}" + (f": {reported}" if reported else "")

    @property
    def rows(self) -> int:
        """All rows: the sum over the states."""
        return sum(self.states.values())

    @property
    def troubled(self) -> int:
        """Rows that a person has to look at."""
        counts = (rows_in(states, TROUBLED) for states in (self.states, self.earlier))
        return sum(counts) + self.noticed

    @property
    def exit_code(self) -> ExitCode:
        """What the states mean to a script."""
        left = Counter(self.states) + Counter(self.earlier)
        left[State.PENDING] -= self.waiting.rows
        return ExitCode.of_states(left, self.held)

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        states = {str(state): self.states[state] for state in State if self.states.get(state)}
        results = str(self.results) if self.results else None
        failed = str(self.failed_sheet) if self.failed_sheet else None
        reported: dict[str, Any] = {"rows": self.rows, "states": states, "doubles": self.noticed}
        reported["unchecked"] = [{"what": each.cause, **each.details} for each in self.unchecked]
        reported |= {"run": self.run, "ledger": str(self.ledger), "results": results, "failed_sheet": failed}
        if self.audit is not None:
            reported["audit"] = dict(self.audit)
        if self.earlier:
            reported["earlier"] = {str(state): self.earlier[state] for state in State if self.earlier.get(state)}
        if self.corrected:
            reported["corrected"] = dict(self.corrected)
        if self.waiting_until is not None:
            reported["waiting_until"] = f"{self.waiting_until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        if self.waiting.rows:
            first = self.waiting.first
            reported |= {"waiting": self.waiting.rows, "first_due": f"{first.isoformat()}Z" if first else None}
        return reported


# ------------------------------------------------------------------------------------------------ of a store

STORE_FOUND: Final = {
    "unreachable": ("{why}.", "Check the URL, the network, and that PostgreSQL runs and lets this user in."),
    "password": ("The password is refused.", "Set BATCH_SHARE_STORE with the right one, or PGPASSWORD."),
    "pooled": (
        "Something in between, such as PgBouncer, keeps from the server what is asked of it: a lock may be lost.",
        "Connect to PostgreSQL itself: also where it keeps a connection for the session, it sets no time-outs.",
    ),
    "lease": (
        "The server does not end a silent connection: a host that froze would keep its lock.",
        "Allow idle_session_timeout to be set, or connect to PostgreSQL itself.",
    ),
    "old": ("PostgreSQL {version} is too old.", "It ends no silent connection before version {oldest}: update it."),
    "superuser": (
        "The user {user} is a superuser, which batch_share does not need to be.",
        "Make a role of its own: `batch-share manual store` shows how.",
    ),
    "kept_from": (
        "The user {user} may not read and write all of its tables: {tables}.",
        "Have that granted on all tables of batch_share, batch_share_ledger and batch_share_engine.",
    ),
    "no_tables": ("It has no tables of batch_share.", "batch-share store init"),
    "later": ("Its tables are of a later version of batch_share.", "Update batch_share on this machine."),
    "earlier": ("Its tables are of an earlier version of batch_share.", "batch-share store upgrade"),
    "unsynced": (
        "synchronous_commit is {commit}: a crash may lose what was noted of a call, which is sent twice then.",
        "Set it to on for this database.",
    ),
    "asynchronous": (
        "A standby is not waited for: after a fail-over what was noted of a call may be missing: it is sent twice.",
        "Name it in synchronous_standby_names; or pass --allow-async-standby, if you never fail over to it.",
    ),
    "well": ("PostgreSQL {version}, tables of this version, as {user}.", ""),
}
"""What `store check` finds, and what is to be done about it."""

STORE_DONE: Final = {
    "made": "The tables are made: ledgers can be kept in {store} now.",
    "there": "The tables are there already, in {store}.",
    "upgraded": "The tables are of version {to} now; they were of {since}.",
    "newest": "The tables are of this version already.",
    "moved": "{source} is now the ledger {target}. The file is kept, and can't be worked on any more.",
    "moved_back": "{source} is now the ledger {target}. What the store has of it is kept, and can't be worked on "
    "any more.",
}
"""How the commands about a store end."""
