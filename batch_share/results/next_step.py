"""What a person does next about a row in trouble: a pure table of its state, its stage, and what was said of it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batch_share.leadsquared.guesses import HOPELESS
from batch_share.ledger.records import REASSIGNED, SENT_BEFORE
from batch_share.ledger.states import Stage, State
from batch_share.sheet.table import ERROR_VALUE, NEVER_STORED

if TYPE_CHECKING:
    from batch_share.ledger.records import Row

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
            f"To find out whether it arrived, and go on with it: {self._command('reconcile')} --on-unknown settle"
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
