"""The words for people: what a state means, why a row is where it is, and what is to be done next."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batch_share.leadsquared.guesses import HOPELESS
from batch_share.ledger.records import NOT_ASKED, REASSIGNED, SENT_BEFORE, spell_notice
from batch_share.ledger.states import Stage, State
from batch_share.sheet.table import ERROR_VALUE, NEVER_STORED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_share.ledger.records import Row, RunRecord

CUT_OFF: Final = "cut off"
NO_USER: Final = "(rows whose user was not found, or not looked up)"
"""In place of a user: for rows that name one in vain, and those that were wrong before anybody was looked up."""

OPEN: Final = "going on, or cut off before it could say how it ended"

MEANING: Final = {
    State.PENDING: "not yet sent",
    State.POSTING: "its activity is being posted, or was when the run was cut off",
    State.POSTED: "activity posted, not yet shared",
    State.SHARING: "being shared, or was when the run was cut off",
    State.ACCEPTED: "accepted by LeadSquared, not yet known to be processed",
    State.SHARED: "LeadSquared says the share was processed",
    State.INVALID: "can't be sent: something is wrong in the sheet",
    State.SKIPPED: "not to be sent, as told below",
    State.FAILED: "refused by LeadSquared",
    State.UNKNOWN: "sent, but nobody knows whether it arrived; looked up before it is sent again",
    State.TO_REVOKE: "its share is still to be taken back: `batch-share revoke` goes on",
    State.REVOKING: "its share is being taken back, or was when the run was cut off",
    State.ENDING: "LeadSquared is taking its share back, not yet known to be processed",
    State.REVOKED: "LeadSquared says the share was taken back",
}


def how_it_ended(run: RunRecord, *, is_last: bool) -> str:
    """How a run ended; one that did not say so was cut off if others came after it: only one works at a time."""
    return run.ended or (OPEN if is_last else CUT_OFF)


def meaning_of(state: State) -> str:
    """What `state` means; its own name where there is nothing more to say."""
    return MEANING.get(state, str(state).replace("_", " "))


_LABELS: Final = {
    State.PENDING: "not yet sent",
    State.POSTED: "activity posted, not yet shared",
    State.POSTING: "posting the activity, or cut off while it did: then the next run looks it up",
    State.REVOKING: "taking its share back, or cut off while it did: `batch-share revoke` takes it back again",
    State.SHARING: "sharing, or cut off while it did: then the next run shares again in the same activity",
}


def reason_of(row: Row) -> str:
    """Why a row is where it is, for the person who reads the results."""
    reason = "; ".join(filter(None, (row.reason or _label(row), spell_notice(row.notice or ""))))
    if row.position is not None or row.state is not State.UNKNOWN:
        return reason
    told = reason if NOT_ASKED in reason else f"{NOT_ASKED}: {reason}"
    return f"{told}; a run that asks for it again, as the sheet and its options were, settles it"


def _label(row: Row) -> str | None:
    start = row.instruction.start if row.instruction and row.state is State.PENDING else None
    return f"waits until {start:%Y-%m-%d %H:%M} UTC" if start else _LABELS.get(row.state)


_TO_BE_SENT: Final = frozenset({State.PENDING, State.POSTING, State.POSTED, State.SHARING})

AT_REST: Final = (State.SHARED, State.SKIPPED, State.REVOKED)
"""The states of rows for which nothing is to be done."""


def next_steps(states: Mapping[State, int], doubles: int, ledger: str, mend: str = "") -> list[str]:
    """What to do next, the most urgent first; nothing where all is well.

    `ledger` as it should be written, `mend` the command that runs the sheet of failed rows, if there is one.
    """
    steps = []
    if sum(states.get(state, 0) for state in _TO_BE_SENT):
        steps.append(f"Rows are still to be sent: batch-share resume {ledger}")
    if states.get(State.UNKNOWN):
        steps.append(f"To settle the unknown rows: batch-share resume {ledger} --only-unknown")
    if states.get(State.FAILED) or states.get(State.INVALID):
        steps.append(_mending(states, mend))
    if states.get(State.TO_REVOKE) or states.get(State.REVOKING):
        steps.append(f"Shares are still to be taken back: batch-share revoke {ledger}")
    if states.get(State.ACCEPTED) or states.get(State.ENDING):
        steps.append(f"To ask what became of the accepted requests: batch-share follow-up {ledger}")
    if doubles:
        steps.append("Delete the activities that are there twice; the results say which.")
    return steps


def _mending(states: Mapping[State, int], mend: str) -> str:
    """A row that LeadSquared refused is not sent again by running its sheet."""
    failed, invalid = states.get(State.FAILED), states.get(State.INVALID)
    which = " or ".join(filter(None, ("failed" if failed else "", "are invalid" if invalid else "")))
    said = f"See to the rows that {which}: the results say why."
    if mend:
        return f"{said} Those that can be mended have a sheet of their own: correct them there, then run it: {mend}"
    return said if failed else f"{said} Then run the sheet again."


def at_rest(states: Mapping[State, int]) -> str:
    """Why nothing is to be done, where `next_steps` has nothing: `every row is shared or skipped.`"""
    *others, last = [str(state) for state in AT_REST if states.get(state)] or [""]
    if not last:
        return "no row was taken in."
    return f"every row is {', '.join(others)}{' or ' if others else ''}{last}."


def headline(states: Mapping[State, int]) -> str:
    """The outcome in plain words: `97 of 100 rows are shared.`"""
    total, shared = sum(states.values()), states.get(State.SHARED, 0)
    if not total:
        return "The ledger holds no row yet."
    if shared == total:
        return "The one row is shared." if total == 1 else f"All {total:,} rows are shared."
    return f"{shared:,} of {total:,} {'row is' if total == 1 else 'rows are'} shared."


_SAID: Final = {
    State.FAILED: "failed",
    State.UNKNOWN: "unknown (sent and never answered)",
    State.INVALID: "invalid (never sent)",
    State.SKIPPED: "skipped",
    State.ACCEPTED: "accepted (not yet known to be processed)",
}


def others(states: Mapping[State, int]) -> str:
    """The rows that are not shared, in one line: `2 failed, 1 skipped.` Empty where all are."""
    said = [f"{states[state]:,} {words}" for state, words in _SAID.items() if states.get(state)]
    if left := sum(states.get(state, 0) for state in _TO_BE_SENT):
        said.append(f"{left:,} still to be sent")
    known = {State.SHARED, *_SAID, *_TO_BE_SENT}
    said += [f"{count:,} {state}" for state, count in states.items() if count and state not in known]
    return f"{', '.join(said)}." if said else ""


SHIFTED: Final = "something may be under a wrong header"
"""Said of a row whose cells don't stand under their headers: no sheet of failed rows can hold it as it is."""

_OVER: Final = re.compile(r"is over\b")

IN_THE_SHEET: Final = {
    SHIFTED: "Put its cells under their headers in the sheet itself, and run the sheet again.",
    NEVER_STORED: "Open the sheet itself in a spreadsheet program, save it, and run it again.",
    ERROR_VALUE: "Mend the formula in the sheet itself, and run the sheet again.",
}
"""What is done about rows that no sheet of failed rows can hold as they are, by what their reason says."""

_MENDING: Final = (
    (re.compile(r"found \d+ times"), "Name it by its Id in {place}, for several fit what the row says"),
    (re.compile(r"not an active user|no longer an active|\bowner is not\b"), "Name an active user in {place}"),
    (
        re.compile(r"no lead has|\b(lead|entity|prospect)\b.*\b(does not|doesn't) exist|\blead not found"),
        "Correct the lead in {place}, or create it in LeadSquared",
    ),
    (
        re.compile(r"event code|activity (type|event)"),
        "Give the code of an activity type of the account in {place}",
    ),
    (_OVER, "Give the row a later end in {place}"),
    (re.compile(r"dangerous value|mxxss|markup"), "Take signs such as < and > out of its texts in {place}"),
    (re.compile(r"at most [\d,]+ characters|too long"), "Shorten the text in {place}"),
    (
        re.compile(r"attribute"),
        "In {place}, leave only fields that this activity type has, and fill those that it needs",
    ),
    (
        re.compile(r"not allowed|unauthori[sz]ed|permission"),
        "Have LeadSquared's administrator allow it; nothing has to be changed in {place}",
    ),
    (
        re.compile(r"exceeded the limit|too many|throttl"),
        "There were too many calls; nothing has to be changed in {place}",
    ),
)
"""What is done about rows of which nothing is at LeadSquared, by what was said: the first that fits."""

_WHATEVER: Final = "Correct what the reason names in {place}"


@dataclass(frozen=True, slots=True)
class Advice:
    """Gives the next step. `ledger` and `failed_sheet` are how commands name them; None: there is no such sheet."""

    ledger: str
    failed_sheet: str | None = None

    def next_step(self, row: Row, words: str = "") -> str:
        """What a person does next about `row`, of which LeadSquared last said `words`."""
        steps = [self._revoking(row) or self._about(row, words)]
        if row.notice and not row.notice.startswith((SENT_BEFORE, REASSIGNED)):
            steps.insert(0, "Delete the second activity, as the reason says.")
        return " ".join(filter(None, steps))

    def _revoking(self, row: Row) -> str:
        """What to do about a row whose share was to be taken back, nothing where it was not or is."""
        if row.state is State.ENDING:
            return ""
        if row.state in {State.TO_REVOKE, State.REVOKING} or row.stage is Stage.REVOKE:
            return f"Its share stands, or may stand. To take it back: {self._command('revoke')}"
        if row.stage is Stage.EARLIER and row.position is not None:
            return f"See to what the reason names, then try again: {self._command('retry')}"
        return ""

    def _about(self, row: Row, words: str) -> str:
        said = f"{row.reason or ''} {words}".casefold()
        match row.state:
            case State.UNKNOWN:
                return self._settle(row)
            case State.FAILED if row.position is None:
                return _gone(row)
            case State.FAILED if row.activity_id is not None:
                return self._standing(row, said, words)
            case State.FAILED | State.INVALID:
                return in_the_sheet(row) or self._mend(said)
            case _:
                return ""

    def _settle(self, row: Row) -> str:
        if row.position is None:
            return "Put the row back into the sheet as it was, and run the sheet: it is looked up first."
        return (
            f"To find out whether it arrived, and go on with it: {self._command('resume')} --only-unknown "
            "--set on_unknown=settle"
        )

    def _standing(self, row: Row, said: str, words: str) -> str:
        """Its activity is there: whoever runs the row elsewhere posts a second one."""
        if row.stage is Stage.ACTIVITY:
            return (
                "Look at the activity in LeadSquared: delete it, or make the row's user its owner, and share the "
                "lead by hand."
            )
        if _OVER.search(said):
            return (
                "Nothing: its time is over. To share the lead again, put the row into a new sheet with a later end."
            )
        everything = " --all" if HOPELESS.search(words) else ""  # which it would leave alone without
        command = self._command("retry") + everything
        return f"Mend what LeadSquared names, then share the lead in the same activity: {command}"

    def _mend(self, said: str) -> str:
        what = next((what for pattern, what in _MENDING if pattern.search(said)), _WHATEVER)
        if self.failed_sheet is None:
            return f"{what.format(place='a sheet of its own')}; then run that sheet."
        return f"{what.format(place=self.failed_sheet)}; then run that file."

    def _command(self, name: str) -> str:
        return f"batch-share {name} {shlex.quote(self.ledger)}"


def in_the_sheet(row: Row) -> str:
    """What to do about a row that is to be mended in the sheet itself, nothing for others."""
    return next((step for said, step in IN_THE_SHEET.items() if said in (row.reason or "")), "")


def _gone(row: Row) -> str:
    if row.activity_id is None:
        return "Nothing: the sheet no longer asks for it."
    return "If it is still to be shared, put the row back into the sheet as it was, and run the sheet."
